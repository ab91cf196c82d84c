//! The physical limit of reading, inflating the same files with libdeflate, and what any work costs beside it.
//!
//! Objects or a piece of work come in, wall and CPU time and peak memory go out. The limit inflates each file as
//! a whole into a buffer that is used again, on as many threads as the work beside it has workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keytrail::archive::ReadOptions;
use keytrail::source::SourceObject;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How to read, as a bench's arguments say: `-j=N` workers.
pub fn read_options(arguments: &[String]) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(jobs) = arguments.iter().find_map(|argument| argument.strip_prefix("-j=")) {
        options.jobs = jobs.parse().expect("-j= takes a number");
    }
    options
}

/// What a piece of work took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Time on the clock.
    pub wall: Duration,
    /// CPU time of the process, user and system.
    pub cpu: Duration,
}

/// Wall and CPU time of work as multiples of the limit's, round by round.
#[derive(Default)]
pub struct Ratios {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Ratios {
    /// Notes one round.
    pub fn note(&mut self, work: Cost, limit: Cost) {
        self.wall.push(work.wall.as_secs_f64() / limit.wall.as_secs_f64());
        self.cpu.push(work.cpu.as_secs_f64() / limit.cpu.as_secs_f64());
    }

    /// The medians of all rounds, wall and CPU.
    pub fn medians(mut self) -> (f64, f64) {
        (median(&mut self.wall), median(&mut self.cpu))
    }
}

/// The middle one.
pub fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Does the work and tells its cost.
pub fn measured<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let cpu_time = || cpu_time::ProcessTime::now().as_duration();
    let (wall, cpu) = (Instant::now(), cpu_time());
    let result = work();
    (Cost { wall: wall.elapsed(), cpu: cpu_time() - cpu }, result)
}

/// Lets the peak begin at what is resident now, where the system can do that.
pub fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Largest resident set since the peak was forgotten, in megabytes; 0 where the system does not tell.
pub fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

/// Reads and inflates every file as a whole; gives the bytes of their text.
pub fn inflate_only(objects: &[SourceObject], jobs: usize) -> usize {
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
