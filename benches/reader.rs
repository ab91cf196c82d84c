//! The reader next to its physical limit: inflating the same files with libdeflate, as a whole, on the same
//! cores, in the same run.
//!
//! Prints wall and CPU time of both and their ratios. Arguments: layouts (`small`, `big`, `one`) and relevant
//! shares (`1`, `10`) to run, all but `one` by default; `-j N` workers.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod corpus;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keytrail::archive::{Quiet, ReadOptions, read};
use keytrail::source::{SourceObject, disk};

const ROUNDS: usize = 5;

#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let mut options = ReadOptions::default();
    if let Some(at) = arguments.iter().position(|argument| argument == "-j") {
        options.jobs = arguments.get(at + 1).and_then(|jobs| jobs.parse().ok()).expect("-j takes a number");
    }
    let is_any_layout = !["small", "big", "one"].into_iter().any(has);
    let is_any_share = !["1", "10"].into_iter().any(has);
    for layout in [corpus::SMALL, corpus::BIG, corpus::ONE] {
        if !(has(layout.name) || is_any_layout && layout.name != "one") {
            continue;
        }
        for percent in [1, 10] {
            if is_any_share || has(&percent.to_string()) {
                let directory = corpus::directory(layout, percent).expect("a corpus below target/");
                compare(&directory, &options);
            }
        }
    }
}

fn compare(directory: &Path, options: &ReadOptions) {
    let objects = disk::list(directory).expect("a corpus");
    let mut wall_ratios = Vec::new();
    let mut cpu_ratios = Vec::new();
    let mut last = None;
    for _ in 0..ROUNDS {
        let (floor, bytes) = measured(|| inflate_only(&objects, options.jobs));
        forget_peak_memory();
        let (cost, reading) = measured(|| read(&objects, options, &Quiet));
        let counts = reading.coverage.records;
        assert!(counts.balance() && reading.coverage.losses.is_empty(), "{counts:?}");
        wall_ratios.push(cost.wall.as_secs_f64() / floor.wall.as_secs_f64());
        cpu_ratios.push(cost.cpu.as_secs_f64() / floor.cpu.as_secs_f64());
        last = Some((floor, cost, bytes, counts));
    }
    let (floor, cost, bytes, counts) = last.expect("at least one round");
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
        floor.wall.as_secs_f64(),
        floor.cpu.as_secs_f64(),
        cost.wall.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        bytes as f64 / 1e6 / cost.wall.as_secs_f64()
    );
    println!(
        "  ratio: wall {:.2}, CPU {:.2} (medians of {ROUNDS}); peak memory {} MB",
        median(&mut wall_ratios),
        median(&mut cpu_ratios),
        peak_memory_mb()
    );
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn measured<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let (wall, cpu) = (Instant::now(), cpu_time());
    let result = work();
    (Cost { wall: wall.elapsed(), cpu: cpu_time() - cpu }, result)
}

/// CPU time of the process so far, user and system.
fn cpu_time() -> Duration {
    cpu_time::ProcessTime::now().as_duration()
}

/// Lets the peak begin at what is resident now, where the system can do that.
fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Largest resident set of the reader, with the events that it gave.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

/// Reads and inflates every file as a whole into a buffer that is used again.
fn inflate_only(objects: &[SourceObject], jobs: usize) -> usize {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut decompressor = libdeflater::Decompressor::new();
        let (mut stored, mut text, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            stored.clear();
            std::io::copy(&mut object.open().expect("a file"), &mut stored).expect("readable");
            let trailer = stored.last_chunk::<4>().expect("a gzip trailer");
            let length = u32::from_le_bytes(*trailer) as usize;
            if text.len() < length {
                text.resize(length, 0u8);
            }
            bytes += decompressor.gzip_decompress(&stored, &mut text[..length]).expect("gzip");
        }
        bytes
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().expect("no panic")).sum()
    })
}
