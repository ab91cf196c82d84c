//! `keytrail analyze DIRECTORY -o none -q` next to its physical limit: inflating the same files with libdeflate, as
//! a whole, on the same cores, in the same run.
//!
//! What the command does is done here step by step: listing, reading, gathering, correlating, judging. So both
//! sides run in one process, and CPU time and peak memory are told for both; the wall time of the command itself,
//! with its start and its end, stands beside. Arguments as for the bench `reader`.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod corpus;
mod floor;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use floor::{Ratios, forget_peak_memory, inflate_only, measured, median, peak_memory_mb};
use keytrail::archive::{Quiet, ReadOptions, read};
use keytrail::correlate::{Case, Evidence, Question, correlate};
use keytrail::rules::{self, Concern};
use keytrail::source::disk;

const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = floor::read_options(&arguments);
    for directory in corpus::asked_for(&arguments) {
        compare(&directory, &options);
    }
}

fn compare(directory: &Path, options: &ReadOptions) {
    let objects = disk::list(directory).expect("a corpus");
    let (mut ratios, mut command_ratios) = (Ratios::default(), Vec::new());
    let mut last = None;
    for _ in 0..ROUNDS {
        let (limit, bytes) = measured(|| inflate_only(&objects, options.jobs));
        forget_peak_memory();
        let (cost, (stages, case, findings)) = measured(|| analyze(directory, options));
        let peak = peak_memory_mb();
        ratios.note(cost, limit);
        let counted = (case.coverage.records.read, case.events.len(), case.nodes.len(), findings.len());
        drop((case, findings));
        let (command, ()) = measured(|| run_command(directory, options.jobs));
        command_ratios.push(command.wall.as_secs_f64() / limit.wall.as_secs_f64());
        last = Some((limit, cost, bytes, stages, peak, counted));
    }
    let (limit, cost, bytes, stages, peak, (records, events, nodes, findings)) = last.expect("a round");
    println!(
        "{}: {} files, {records} records, {:.0} MB inflated, {} jobs; {events} events, {nodes} nodes, {findings} findings",
        directory.file_name().unwrap_or_default().display(),
        objects.len(),
        bytes as f64 / 1e6,
        options.jobs
    );
    let [read, gathered, correlated, judged] = stages.map(|stage| stage.as_secs_f64());
    println!(
        "  inflate only: wall {:.2} s, CPU {:.2} s; analyze: wall {:.2} s, CPU {:.2} s, of which read {read:.2} s, gather {gathered:.2} s, correlate {correlated:.2} s, judge {judged:.2} s",
        limit.wall.as_secs_f64(),
        limit.cpu.as_secs_f64(),
        cost.wall.as_secs_f64(),
        cost.cpu.as_secs_f64(),
    );
    let (wall, cpu) = ratios.medians();
    println!(
        "  ratio: wall {wall:.2}, CPU {cpu:.2}; the command itself: wall {:.2} (medians of {ROUNDS}); peak memory {peak} MB; {:.0} records/s",
        median(&mut command_ratios),
        records as f64 / cost.wall.as_secs_f64()
    );
}

/// Wall time of each stage, and what came of them.
fn analyze(directory: &Path, options: &ReadOptions) -> ([Duration; 4], Case, Vec<Concern>) {
    let (reading_cost, reading) = measured(|| {
        let objects = disk::list(directory).expect("a corpus");
        read(&objects, options, &Quiet)
    });
    let mut coverage = reading.coverage;
    let (gathering_cost, evidence) = measured(|| {
        let evidence = Evidence::gather(reading.events);
        evidence.settle(&mut coverage);
        evidence
    });
    assert!(coverage.records.balance() && coverage.losses.is_empty(), "{:?}", coverage.records);
    let (correlating_cost, case) = measured(|| correlate(evidence, coverage, &Question::default()));
    let (judging_cost, findings) = measured(|| rules::concerns(&case));
    let stages = [reading_cost, gathering_cost, correlating_cost, judging_cost];
    (stages.map(|cost| cost.wall), case, findings)
}

fn run_command(directory: &Path, jobs: usize) {
    let status = Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .arg("analyze")
        .arg(directory)
        .args(["-o", "none", "-q", "-j", &jobs.to_string()])
        .stdin(Stdio::null())
        .status()
        .expect("the command starts");
    assert!(status.success(), "{status}");
}
