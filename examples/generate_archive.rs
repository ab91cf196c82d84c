//! Writes a large archive for benches:
//! `cargo run --release --example generate_archive -- DIRECTORY NODES NOISE_BURSTS RECORDS_PER_FILE`.
//!
//! Each node gives about eleven relevant records, each burst of noise two irrelevant ones. Memory does not
//! grow with the archive.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use support::archive;
use support::stream::Launches;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("DIRECTORY is missing")?);
    let mut number = |name: &str| -> anyhow::Result<u64> {
        let text = arguments.next().with_context(|| format!("{name} is missing"))?;
        text.parse().with_context(|| format!("{name} is no number: {text}"))
    };
    let nodes = number("NODES")?;
    let noise_bursts = i64::try_from(number("NOISE_BURSTS")?)?;
    let records_per_file = number("RECORDS_PER_FILE")?;

    let launches = Launches::new(1, nodes, 20, noise_bursts);
    let written = archive::write_stream(&directory, launches, records_per_file)?;
    writeln!(
        std::io::stdout(),
        "{} files, {} records, {} bytes inflated",
        written.files,
        written.records,
        written.inflated_bytes
    )?;
    Ok(())
}
