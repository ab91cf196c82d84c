//! Parsing alone: relevant records, as the reader hands them over, into events that are kept.
//!
//! Prints the CPU time per record, next to that of copying its bytes and making simd-json's tape of it, which is what
//! a parser built on the tape would take at least; and the memory that an event takes with all that belongs to it.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(dead_code, reason = "the corpus serves other benches too")]

mod corpus;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ProcessTime;
use keytrail::event::{Event, EventParser, Origin, Parsed};

/// The command's allocator: how long small pieces take depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 100_000;
const ROUNDS: usize = 7;
/// A quarter of a megabyte.
const RECORDS_TOGETHER: usize = 128;

fn main() {
    let records = corpus::relevant_records(RECORDS);
    let bytes: usize = records.iter().map(String::len).sum();
    let resident_before = resident_bytes();
    let first = parse(&records);
    let event_bytes = (resident_bytes() - resident_before) / RECORDS as u64;
    let parsing = fastest(|| parse(&records).0);
    drop(first);
    let taping = fastest(|| tape(&records));
    let per_record = |time: Duration| time.as_secs_f64() * 1e9 / RECORDS as f64;
    println!(
        "{RECORDS} records of {} bytes: {:.0} ns per record; tape alone {:.0} ns; ratio {:.2}; {event_bytes} bytes per event",
        bytes / RECORDS,
        per_record(parsing),
        per_record(taping),
        parsing.as_secs_f64() / taping.as_secs_f64()
    );
}

fn fastest(mut work: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| work()).min().expect("at least one round")
}

/// Bytes of memory in use; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes << 10)
}

/// Hands the bytes of all records to `work`, and gives the time that it took. As in a reading, they were written just
/// before, so that they are in the processor's cache.
fn hand_over(records: &[String], mut work: impl FnMut(&[u8])) -> Duration {
    let mut text = Vec::new();
    let mut time = Duration::ZERO;
    for together in records.chunks(RECORDS_TOGETHER) {
        text.clear();
        together.iter().for_each(|record| text.extend_from_slice(record.as_bytes()));
        let begin = ProcessTime::now();
        let mut rest = &text[..];
        for record in together {
            let (raw, behind) = rest.split_at(record.len());
            work(raw);
            rest = behind;
        }
        time += begin.elapsed();
    }
    time
}

/// Time of parsing, and the events: dropping them does not count.
fn parse(records: &[String]) -> (Duration, Vec<Box<Event>>) {
    let mut parser = EventParser::default();
    let object: keytrail::event::Text = "bench".into();
    let mut events = Vec::with_capacity(records.len());
    let time = hand_over(records, |raw| {
        let origin = Origin { object: object.clone(), record: events.len() as u64 };
        match parser.parse(raw, origin) {
            Ok(Parsed::Relevant(event)) => events.push(event),
            other => panic!("expected evidence, got {other:?}"),
        }
    });
    (time, black_box(events))
}

fn tape(records: &[String]) -> Duration {
    let mut buffers = simd_json::Buffers::new(4096);
    let mut kept = Some(simd_json::Tape::null());
    let mut text = Vec::new();
    hand_over(records, |raw| {
        text.clear();
        text.extend_from_slice(raw);
        text.resize(raw.len() + simd_json::INPUT_PADDING, 0);
        let mut tape = kept.take().expect("the tape of the record before").reset();
        simd_json::fill_tape_padded(&mut text, raw.len(), &mut buffers, &mut tape).expect("JSON");
        black_box(&tape.0);
        kept = Some(tape.reset());
    })
}
