//! When a request is worth repeating, and how long to wait before.
//!
//! An error comes in, a yes or no goes out; a [`Backoff`] gives growing pauses that differ from request to request, so that
//! many that were refused at once do not come back at once.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Pause before the second attempt, at most.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The same where the service asked for less load.
const PAUSE_FIRST_OF_LOAD: Duration = Duration::from_millis(400);
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Attempts and the pauses between them.
pub(super) struct Backoff {
    attempts_left: u32,
    attempts_max: u32,
    pause: Duration,
    jitter: RandomState,
}

impl Backoff {
    /// For at most `attempts_max` attempts.
    pub(super) fn new(attempts_max: u32) -> Self {
        Self { attempts_left: attempts_max, attempts_max, pause: PAUSE_FIRST, jitter: RandomState::new() }
    }

    /// Something was achieved: the attempts count anew.
    pub(super) fn reset(&mut self) {
        (self.attempts_left, self.pause) = (self.attempts_max, PAUSE_FIRST);
    }

    /// The pause before the next attempt; `None` if there were enough.
    pub(super) fn next(&mut self, is_of_load: bool) -> Option<Duration> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        if self.attempts_left == 0 {
            return None;
        }
        if is_of_load {
            self.pause = self.pause.max(PAUSE_FIRST_OF_LOAD);
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(PAUSE_MAX);
        // Between half of the pause and all of it. The hasher's keys are random, one set for each backoff.
        let random = self.jitter.hash_one(self.attempts_left) % 1024;
        Some(pause / 2 + pause.mul_f64(random as f64 / 2048.0))
    }
}

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It would be the same again.
    None,
    /// Another attempt may succeed.
    Repeat,
    /// The service asks for less: another attempt may succeed later.
    Wait,
}

/// What is to be done about the error of a request.
pub(super) fn remedy<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Remedy {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Remedy::Repeat,
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => Remedy::Repeat,
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            match answer.err().code().unwrap_or_default() {
                "SlowDown" | "RequestLimitExceeded" | "TooManyRequests" => Remedy::Wait,
                // KMS's own too, which S3 hands on.
                code if code.contains("Throttling") => Remedy::Wait,
                // The SDK learns the right time from the first refusal.
                "RequestTimeout" | "InternalError" | "RequestTimeTooSkewed" => Remedy::Repeat,
                _ if status == 503 || status == 429 => Remedy::Wait,
                _ if status >= 500 => Remedy::Repeat,
                _ => Remedy::None,
            }
        }
        _ => Remedy::None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, PAUSE_FIRST, PAUSE_FIRST_OF_LOAD, PAUSE_MAX};

    #[test]
    fn pauses_grow_and_end() {
        let mut backoff = Backoff::new(12);
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.next(false)).collect();
        assert_eq!(pauses.len(), 11, "an attempt comes before the first pause");
        assert!(pauses[0] >= PAUSE_FIRST / 2 && pauses[0] <= PAUSE_FIRST);
        assert!(pauses[10] > PAUSE_MAX / 2 - PAUSE_FIRST && pauses[10] <= PAUSE_MAX);
        assert_eq!(backoff.next(false), None);
        backoff.reset();
        assert!(backoff.next(false).expect("a new begin") <= PAUSE_FIRST);
    }

    #[test]
    fn a_service_that_asks_for_less_load_is_left_alone_longer() {
        assert!(Backoff::new(2).next(true).expect("a pause") >= PAUSE_FIRST_OF_LOAD / 2);
    }
}
