//! The records of the sample incidents, as texts.

use std::fs;
use std::path::{Path, PathBuf};

use keytrail::archive::raw_record;
use keytrail::source::disk;
use serde_json::Value;

/// The directory of a sample.
pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs").join(name)
}

/// All samples, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory(""))
        .expect("the samples can be listed")
        .map(|entry| entry.expect("the samples can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("names of samples are UTF-8"))
        .collect();
    names.sort();
    names
}

/// Every record below a directory, as it is written there.
pub fn records(directory: &Path) -> Vec<String> {
    let mut records = Vec::new();
    for object in disk::list(directory).expect("the sample can be listed") {
        if object.uri.ends_with(".json.gz") {
            let all = (0..).map_while(|index| raw_record(&object, index));
            records.extend(all.map(|raw| String::from_utf8(raw).expect("a record is UTF-8")));
        }
    }
    records
}

/// A text member of a record.
pub fn member(record: &str, name: &str) -> String {
    let record: Value = serde_json::from_str(record).expect("a record is JSON");
    record[name].as_str().unwrap_or_default().to_owned()
}
