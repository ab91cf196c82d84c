//! Writes the log files of `sample-logs/` anew: `cargo run --example generate_samples`.
//!
//! The READMEs and the expectations in there are written by hand and left alone.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::{fs, io};

use support::{archive, incidents};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    for sample in incidents::samples() {
        let directory = root.join(sample.directory);
        match fs::remove_dir_all(directory.join("AWSLogs")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => archive::write_to(&directory, &sample.files)?,
        }
    }
    Ok(())
}
