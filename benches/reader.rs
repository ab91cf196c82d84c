//! The reader next to its physical limit: inflating the same files with libdeflate, as a whole, on the same
//! cores, in the same run.
//!
//! Prints wall and CPU time of both and their ratios. Arguments: layouts (`small`, `big`, `one`, `lines`) and
//! relevant shares (`1`, `10`) to run, `small` and `big` by default; `-j=N` workers.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod corpus;
mod floor;

use std::path::Path;

use floor::{Ratios, forget_peak_memory, inflate_only, measured, peak_memory_mb};
use keytrail::archive::{Quiet, ReadOptions, read};
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
    let mut ratios = Ratios::default();
    let mut last = None;
    for _ in 0..ROUNDS {
        let (limit, bytes) = measured(|| inflate_only(&objects, options.jobs));
        forget_peak_memory();
        let (cost, reading) = measured(|| read(&objects, options, &Quiet));
        let counts = reading.coverage.records;
        assert!(counts.balance() && reading.coverage.losses.is_empty(), "{counts:?}");
        ratios.note(cost, limit);
        last = Some((limit, cost, bytes, counts));
    }
    let (limit, cost, bytes, counts) = last.expect("at least one round");
    let stored: u64 = objects.iter().filter_map(|object| object.size).sum();
    println!(
        "{}: {} files, {} records ({} selected), {:.0} MB inflated, {:.1}x compressed, {} jobs",
        directory.file_name().unwrap_or_default().display(),
        objects.len(),
        counts.read,
        counts.selected,
        bytes as f64 / 1e6,
        bytes as f64 / stored as f64,
        options.jobs
    );
    println!(
        "  inflate only: wall {:.2} s, CPU {:.2} s; reader: wall {:.2} s, CPU {:.2} s ({:.0} MB/s)",
        limit.wall.as_secs_f64(),
        limit.cpu.as_secs_f64(),
        cost.wall.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        bytes as f64 / 1e6 / cost.wall.as_secs_f64()
    );
    let (wall, cpu) = ratios.medians();
    println!(
        "  ratio: wall {wall:.2}, CPU {cpu:.2} (medians of {ROUNDS}); peak memory {} MB",
        peak_memory_mb()
    );
}
