//! Keeps to the rate that the service admits, over all queries of an account and region.
//!
//! Who is about to ask waits for a slot here; slots are given in the order of asking, one interval apart.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// One account's and region's slots.
pub(super) struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    /// `requests_per_second` must be a positive number.
    pub(super) fn new(requests_per_second: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / requests_per_second),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the next slot.
    pub(super) async fn slot(&self) {
        let slot = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let slot = (*next).max(Instant::now());
            *next = slot + self.interval;
            slot
        };
        tokio::time::sleep_until(slot).await;
    }

    /// Gives no slot for a while: the service asks for less.
    pub(super) fn pause(&self, pause: Duration) {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *next = (*next).max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::Pacer;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    }

    #[test]
    fn slots_are_an_interval_apart_whoever_asks() {
        let pacer = Arc::new(Pacer::new(50.0));
        let begin = Instant::now();
        runtime().block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..3 {
                let pacer = Arc::clone(&pacer);
                tasks.spawn(async move {
                    for _ in 0..4 {
                        pacer.slot().await;
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        });
        assert!(begin.elapsed() >= Duration::from_millis(11 * 20), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_pause_holds_for_everybody() {
        let pacer = Pacer::new(1_000.0);
        pacer.pause(Duration::from_millis(150));
        let begin = Instant::now();
        runtime().block_on(pacer.slot());
        assert!(begin.elapsed() >= Duration::from_millis(140), "{:?}", begin.elapsed());
    }
}
