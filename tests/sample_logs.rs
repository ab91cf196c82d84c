//! The committed samples are what the generator writes, and each has a story and an expectation that fits it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use support::archive::File;
use support::incidents::{self, Sample};
use support::record::second;

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(incidents::samples);

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

/// What can be inflated, and whether that was all.
fn inflate(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut inflated = Vec::new();
    let is_whole = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut inflated).is_ok();
    (inflated, is_whole && !bytes.is_empty())
}

fn records_of(file: &File) -> Vec<Value> {
    let value: Value = serde_json::from_str(&file.text).expect("a log file is JSON");
    value["Records"].as_array().expect("a log file has records").clone()
}

fn records(sample: &Sample) -> Vec<Value> {
    sample.files.iter().flat_map(records_of).collect()
}

fn expected(sample: &Sample) -> Value {
    let path = root().join(sample.directory).join("expected.json");
    serde_json::from_str(&fs::read_to_string(path).expect("each sample has an expectation"))
        .expect("an expectation is JSON")
}

#[test]
fn committed_samples_are_what_the_generator_writes() {
    for sample in SAMPLES.iter() {
        let directory = root().join(sample.directory);
        let mut committed = BTreeSet::new();
        files_below(&directory.join("AWSLogs"), &mut committed);
        for file in &sample.files {
            let path = directory.join(&file.path);
            assert!(committed.remove(&path), "{} is not committed", path.display());
            let (text, is_whole) = inflate(&fs::read(&path).unwrap());
            let name = path.display();
            assert_eq!(is_whole, !file.is_damaged, "{name}");
            if file.is_damaged {
                assert!(file.text.as_bytes().starts_with(&text), "{name} holds other text");
            } else {
                assert!(file.text.as_bytes() == text, "{name} differs: run the generate_samples example");
            }
        }
        assert!(committed.is_empty(), "not written by the generator: {committed:?}");
    }
}

#[test]
fn every_directory_is_a_sample() {
    let names: BTreeSet<String> = SAMPLES.iter().map(|sample| sample.directory.to_owned()).collect();
    let directories: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, directories);
}

#[test]
fn every_node_of_a_sample_has_an_expectation() {
    for sample in SAMPLES.iter() {
        let launched: BTreeSet<String> = records(sample)
            .iter()
            .filter(|record| record["eventName"] == "RunInstances")
            .filter_map(|record| record["responseElements"]["instancesSet"]["items"].as_array().cloned())
            .flatten()
            .map(|instance| instance["instanceId"].as_str().unwrap().to_owned())
            .collect();
        let judged: BTreeSet<String> = expected(sample)["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["instance_id"].as_str().unwrap().to_owned())
            .collect();
        assert!(launched.is_subset(&judged), "{}: {launched:?} {judged:?}", sample.directory);
    }
}

#[test]
fn expectations_name_only_keys_that_the_logs_name() {
    for sample in SAMPLES.iter() {
        let text: String = sample.files.iter().map(|file| file.text.as_str()).collect();
        for node in expected(sample)["nodes"].as_array().unwrap() {
            let used = node["used_keys"].as_array().into_iter().flatten();
            for key in used.chain([&node["expected_key_arn"]]).filter_map(Value::as_str) {
                let (_, key_id) = key.rsplit_once('/').unwrap();
                assert!(text.contains(key_id), "{}: {key}", sample.directory);
            }
        }
    }
}

#[test]
fn every_record_has_the_members_of_a_cloudtrail_record() {
    for sample in SAMPLES.iter() {
        let mut event_ids = BTreeSet::new();
        for record in records(sample) {
            for name in
                ["eventVersion", "eventTime", "eventSource", "eventName", "awsRegion", "recipientAccountId"]
            {
                assert!(record[name].is_string(), "{}: {name} in {record}", sample.directory);
            }
            assert!(record["userIdentity"].is_object());
            assert!(event_ids.insert(record["eventID"].as_str().unwrap().to_owned()), "event id twice");
        }
    }
}

#[test]
fn accounts_are_example_accounts() {
    const EXAMPLES: [&str; 4] = ["111122223333", "444455556666", "123456789012", "210987654321"];
    for sample in SAMPLES.iter() {
        for file in &sample.files {
            for text in
                file.text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-')
            {
                let is_account_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
                assert!(!is_account_id || EXAMPLES.contains(&text), "{}: {text}", file.path);
            }
        }
    }
}

#[test]
fn logs_are_silent_only_where_the_story_says_so() {
    const STEADY_SECONDS: i64 = 20 * 60;
    for sample in SAMPLES.iter() {
        let mut times: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        for record in records(sample) {
            let member = |name: &str| record[name].as_str().unwrap().to_owned();
            let scope = (member("recipientAccountId"), member("awsRegion"));
            times.entry(scope).or_default().push(second(&member("eventTime")));
        }
        for (scope, mut times) in times {
            times.sort_unstable();
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            let is_silent = sample.directory == "23-silence";
            assert_eq!(longest > STEADY_SECONDS, is_silent, "{} {scope:?}: {longest} s", sample.directory);
        }
    }
}

#[test]
fn samples_stay_small() {
    const SAMPLE_BYTES_MAX: usize = 60_000;
    for sample in SAMPLES.iter() {
        let bytes: usize = sample.files.iter().map(|file| file.bytes.len()).sum();
        assert!(bytes < SAMPLE_BYTES_MAX, "{}: {bytes} bytes", sample.directory);
    }
}
