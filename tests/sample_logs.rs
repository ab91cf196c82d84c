//! The committed samples are what the generator writes, and each has a story and an expectation.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use support::incidents;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs")
}

fn files_below(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a sample directory can be listed") {
        let path = entry.expect("a sample directory can be listed").path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.insert(path);
        }
    }
}

fn inflate(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).expect("a sample is whole");
    text
}

#[test]
fn committed_samples_are_what_the_generator_writes() {
    for sample in incidents::samples() {
        let directory = root().join(sample.directory);
        let mut committed = BTreeSet::new();
        files_below(&directory.join("AWSLogs"), &mut committed);
        for file in &sample.files {
            let path = directory.join(&file.path);
            assert!(committed.remove(&path), "{} is not committed", path.display());
            let text = inflate(&fs::read(&path).unwrap());
            assert!(text == file.text, "{} differs: run the generate_samples example", path.display());
        }
        assert!(committed.is_empty(), "not written by the generator: {committed:?}");
    }
}
