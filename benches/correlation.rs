//! Correlation alone: 10 thousand, 100 thousand and 1 million relevant events, and how the time grows.
//!
//! Prints wall time of gathering and correlating for each size, and the growth per event from one size to the
//! next: 1.0 is linear, and n log n is about 1.2 from each size to the next. Argument: the largest number of
//! events, 1,000,000 if not given.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use keytrail::correlate::{Evidence, Question, correlate};
use keytrail::event::{Coverage, Event, EventParser, Origin, Parsed};
use support::stream::Launches;

const ROUNDS: usize = 3;

fn main() {
    let largest = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let mut before: Option<f64> = None;
    for count in [10_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= largest) {
        let mut best: Option<(Duration, Duration, usize)> = None;
        for _ in 0..ROUNDS {
            let events = events(count);
            let begin = Instant::now();
            let evidence = Evidence::gather(events);
            let gathered = begin.elapsed();
            let case = correlate(evidence, Coverage::default(), &Question::default());
            let found = (begin.elapsed(), gathered, case.nodes.len());
            best = Some(best.map_or(found, |best| best.min(found)));
        }
        let (whole, gathering, nodes) = best.expect("at least one round");
        let nanoseconds = whole.as_secs_f64() * 1e9 / f64::from(count);
        let growth =
            before.map_or(String::new(), |before| format!(", {:.2}x per event", nanoseconds / before));
        println!(
            "{count} events, {nodes} nodes: {:.3} s (gathering {:.3} s), {nanoseconds:.0} ns per event{growth}",
            whole.as_secs_f64(),
            gathering.as_secs_f64()
        );
        before = Some(nanoseconds);
    }
}

/// The first `count` relevant events of an endless series of launches, in the order of their delivery.
fn events(count: u32) -> Vec<Box<Event>> {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    let mut record = 0;
    for batch in Launches::new(7, u64::from(count), 5, 0) {
        for text in batch {
            let origin = Origin { object: "bench".into(), record };
            record += 1;
            if let Ok(Parsed::Relevant(event)) = parser.parse(text.text.as_bytes(), origin) {
                events.push(event);
            }
            if events.len() == count as usize {
                return events;
            }
        }
    }
    events
}
