//! Parsing alone: relevant records, as the reader hands them over, into events that are kept.
//!
//! Prints the CPU time per record, next to that of copying its bytes and making simd-json's tape of it: the part
//! that a parser built on the tape cannot save.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(dead_code, reason = "the corpus serves other benches too")]

mod corpus;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ProcessTime;
use keytrail::event::{EventParser, Origin, Parsed};

const RECORDS: usize = 100_000;
const ROUNDS: usize = 7;

fn main() {
    let records = corpus::relevant_records(RECORDS);
    let bytes: usize = records.iter().map(String::len).sum();
    let parsing = fastest(|| parse(&records));
    let taping = fastest(|| tape(&records));
    let per_record = |time: Duration| time.as_secs_f64() * 1e9 / RECORDS as f64;
    println!(
        "{RECORDS} records of {} bytes: {:.0} ns per record; tape alone {:.0} ns; ratio {:.2}",
        bytes / RECORDS,
        per_record(parsing),
        per_record(taping),
        parsing.as_secs_f64() / taping.as_secs_f64()
    );
}

fn fastest(mut work: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| work()).min().expect("at least one round")
}

/// Time of parsing; dropping the events does not count.
fn parse(records: &[String]) -> Duration {
    let begin = ProcessTime::now();
    let mut parser = EventParser::default();
    let object: keytrail::event::Text = "bench".into();
    let events: Vec<_> = records
        .iter()
        .zip(0..)
        .map(|(record, index)| {
            let origin = Origin { object: object.clone(), record: index };
            match parser.parse(record.as_bytes(), origin) {
                Ok(Parsed::Relevant(event)) => event,
                other => panic!("expected evidence, got {other:?}"),
            }
        })
        .collect();
    let time = begin.elapsed();
    black_box(events);
    time
}

fn tape(records: &[String]) -> Duration {
    let begin = ProcessTime::now();
    let mut buffers = simd_json::Buffers::new(4096);
    let mut tape = simd_json::Tape::null();
    let mut text = Vec::new();
    for record in records {
        text.clear();
        text.extend_from_slice(record.as_bytes());
        text.resize(record.len() + simd_json::INPUT_PADDING, 0);
        let mut filled = tape.reset();
        simd_json::fill_tape_padded(&mut text, record.len(), &mut buffers, &mut filled).expect("JSON");
        black_box(&filled.0);
        tape = filled.reset();
    }
    begin.elapsed()
}
