//! The timeline table of one million rows, as CSV and as Parquet.
//!
//! Prints wall time, rows and megabytes per second of each, and how far the memory grows above the case that is
//! written. Nothing is written to a disk. Argument: the number of rows, 1,000,000 if not given.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[allow(dead_code, reason = "there is no limit to compare with")]
mod floor;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{self, Write};
use std::time::Duration;

use floor::{forget_peak_memory, measured, peak_memory_mb};
use keytrail::correlate::{Case, Evidence, Question, correlate};
use keytrail::event::{Coverage, EventParser, Origin, Parsed};
use keytrail::report::{self, Table};
use keytrail::rules;
use support::stream::Launches;

const ROUNDS: usize = 3;
/// A launch has eleven or twelve rows.
const NODES_PER_MILLION_ROWS: u64 = 86_000;

fn main() {
    let rows = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let case = case(rows);
    let findings = rules::evaluate(&case);
    let rows: usize = case.nodes.iter().map(|node| node.timeline.len()).sum();
    println!("{} nodes, {rows} rows of the timeline", case.nodes.len());
    write("CSV", rows, |out| report::write_csv(out, &case, &findings, Table::Timeline));
    #[cfg(feature = "parquet")]
    write("Parquet", rows, |out| write_parquet(out, &case, &findings));
}

#[cfg(feature = "parquet")]
fn write_parquet(out: &mut dyn Write, case: &Case, findings: &[rules::Finding]) -> io::Result<()> {
    let tool = report::Tool { name: "keytrail", version: env!("CARGO_PKG_VERSION") };
    report::write_parquet(out, case, findings, Table::Timeline, tool)
}

fn write(format: &str, rows: usize, table: impl Fn(&mut dyn Write) -> io::Result<()>) {
    let mut best: Option<(Duration, u64, u64)> = None;
    for _ in 0..ROUNDS {
        forget_peak_memory();
        let before = peak_memory_mb();
        let mut out = Counted(0);
        let (cost, written) = measured(|| table(&mut out));
        written.expect("counting cannot fail");
        let found = (cost.wall, out.0, peak_memory_mb() - before);
        best = Some(best.map_or(found, |best| best.min(found)));
    }
    let (wall, bytes, grown) = best.expect("at least one round");
    let seconds = wall.as_secs_f64();
    println!(
        "{format}: {seconds:.2} s, {:.0} rows/s, {:.0} MB ({:.0} MB/s); memory grows by {grown} MB",
        rows as f64 / seconds,
        bytes as f64 / 1e6,
        bytes as f64 / 1e6 / seconds
    );
}

/// Counts bytes and forgets them.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Launches whose timelines have about that many rows.
fn case(rows: u64) -> Case {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    for record in Launches::new(7, rows * NODES_PER_MILLION_ROWS / 1_000_000, 5, 0).flatten() {
        let origin = Origin { object: "bench".into(), record: events.len() as u64 };
        if let Ok(Parsed::Relevant(event)) = parser.parse(record.text.as_bytes(), origin) {
            events.push(event);
        }
    }
    correlate(Evidence::gather(events), Coverage::default(), &Question::default())
}
