//! The decoder of DEFLATE next to libdeflate, on the same streams, in memory, on one core.
//!
//! Each file is inflated by both in turn, and of each the best of all rounds counts, so that what else runs on the
//! machine disturbs little. Arguments: layouts and relevant shares as for the bench `reader`.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

#[allow(dead_code, reason = "of interest is a part of it")]
mod corpus;

/// The decoder is no public interface, so its source is taken in by its path.
#[path = "../src/archive"]
mod archive {
    #[allow(dead_code, reason = "of interest is a part of it")]
    mod deflate;

    use deflate::{Deflate, FREE_BYTES_MIN};

    /// Inflates streams as a whole.
    pub struct Inflater {
        deflate: Deflate,
        window: Vec<u8>,
    }

    impl Inflater {
        pub fn new() -> Self {
            Self { deflate: Deflate::new(), window: Vec::new() }
        }

        /// The text of a stream, which is `length` bytes.
        pub fn inflate(&mut self, stream: &[u8], length: usize) -> &[u8] {
            if self.window.len() < length + FREE_BYTES_MIN {
                self.window.resize(length + FREE_BYTES_MIN, 0);
            }
            let outcome = self.deflate.inflate_whole(stream, &mut self.window).expect("DEFLATE");
            let (_, end) = outcome.expect("enough room");
            &self.window[..end]
        }
    }
}

use std::path::Path;
use std::time::{Duration, Instant};

use archive::Inflater;

const ROUNDS: usize = 9;
/// Files of a layout that are looked at.
const FILES: usize = 400;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for directory in corpus::asked_for(&arguments) {
        compare(&directory);
    }
}

fn compare(directory: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    files.sort();
    let step = files.len().div_ceil(FILES);
    let files: Vec<Vec<u8>> =
        files.iter().step_by(step).map(|path| std::fs::read(path).expect("a file")).collect();
    let mut decompressor = libdeflater::Decompressor::new();
    let mut inflater = Inflater::new();
    let mut expected = Vec::new();
    let mut best = vec![(Duration::MAX, Duration::MAX); files.len()];
    let mut bytes = 0;
    // Not one file again and again: the processor would know its branches by heart.
    for round in 0..ROUNDS {
        for (file, best) in files.iter().zip(&mut best) {
            let stream = &file[header_length(file)..];
            let length = u32::from_le_bytes(*stream.last_chunk::<4>().expect("a trailer")) as usize;
            expected.resize(length, 0);
            let start = Instant::now();
            decompressor.deflate_decompress(stream, &mut expected).expect("DEFLATE");
            best.0 = best.0.min(start.elapsed());
            let start = Instant::now();
            let found = inflater.inflate(stream, length);
            best.1 = best.1.min(start.elapsed());
            assert!(found == expected, "both give the same text");
            bytes += if round == 0 { length } else { 0 };
        }
    }
    let (limit, own) = best
        .iter()
        .fold((Duration::ZERO, Duration::ZERO), |(limit, own), best| (limit + best.0, own + best.1));
    println!(
        "{}: {:.0} MB of text, libdeflate {:.0} MB/s, keytrail {:.0} MB/s, ratio of time {:.3}",
        directory.file_name().unwrap_or_default().display(),
        bytes as f64 / 1e6,
        bytes as f64 / 1e6 / limit.as_secs_f64(),
        bytes as f64 / 1e6 / own.as_secs_f64(),
        own.as_secs_f64() / limit.as_secs_f64()
    );
}

/// Length of a gzip header without optional fields but a name.
fn header_length(file: &[u8]) -> usize {
    if file[3] == 0 { 10 } else { 11 + file[10..].iter().position(|byte| *byte == 0).expect("a name") }
}
