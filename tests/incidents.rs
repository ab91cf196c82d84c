//! Each sample incident gives exactly the answer that was worked out for it by hand, whatever the number of
//! workers and the names of the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    let mut samples: Vec<PathBuf> = fs::read_dir(root)
        .expect("the samples can be listed")
        .map(|entry| entry.expect("the samples can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    samples.sort();
    assert!(samples.len() >= 8, "{} samples", samples.len());
    samples
}

fn expected(sample: &Path) -> Value {
    let text = fs::read_to_string(sample.join("expected.json")).expect("each sample has an expectation");
    serde_json::from_str(&text).expect("an expectation is JSON")
}

/// Standard output of `keytrail analyze -o json`.
fn analyze(source: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(["analyze", "-q", "-o", "json"])
        .args(arguments)
        .arg(source)
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn case(source: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&analyze(source, arguments)).expect("the output is JSON")
}

/// The value that an expectation's name stands for.
fn actual<'a>(object: &'a Value, name: &str) -> &'a Value {
    match name {
        "expected_key_arn" => &object["expected_key"]["key_arn"],
        "termination_cause" => &object["termination"]["cause"],
        "termination_confidence" => &object["termination"]["confidence"],
        "termination_actor" => &object["termination"]["actor"],
        _ => &object[name],
    }
}

fn differences(sample: &str, what: &str, expected: &Value, found: &Value) -> Vec<String> {
    let facts = expected.as_object().expect("an expectation is an object");
    facts
        .iter()
        .filter(|(name, value)| actual(found, name) != *value)
        .map(|(name, value)| format!("{sample} {what}: {name} is {}, expected {value}", actual(found, name)))
        .collect()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn every_sample_gives_the_answer_worked_out_by_hand() {
    let mut wrong = Vec::new();
    for sample in samples() {
        let name = sample.file_name().expect("a directory has a name").to_string_lossy().into_owned();
        let expected = expected(&sample);
        let is_karpenters =
            |node: &&Value| matches!(text(node, "provisioner"), "karpenter" | "eks-auto-mode");
        let by_default: Vec<&Value> = list(&expected, "nodes").iter().filter(is_karpenters).collect();
        let default_case = case(&sample, &[]);
        if list(&default_case, "nodes").len() != by_default.len() {
            wrong.push(format!("{name}: {} nodes of Karpenter", list(&default_case, "nodes").len()));
        }
        let case = case(&sample, &["--all-launches"]);
        let ids = |case: &Value| -> BTreeSet<String> {
            list(case, "nodes").iter().map(|node| text(node, "instance_id").to_owned()).collect()
        };
        if ids(&case) != ids(&expected) {
            wrong.push(format!("{name}: nodes {:?}, expected {:?}", ids(&case), ids(&expected)));
        }
        for expectation in list(&expected, "nodes") {
            let id = text(expectation, "instance_id");
            if let Some(node) = list(&case, "nodes").iter().find(|node| text(node, "instance_id") == id) {
                wrong.extend(differences(&name, id, expectation, node));
            }
        }
        let (failures, expected_failures) =
            (list(&case, "launch_failures"), list(&expected, "launch_failures"));
        if failures.len() != expected_failures.len() {
            wrong.push(format!(
                "{name}: {} launch failures, expected {}",
                failures.len(),
                expected_failures.len()
            ));
        }
        for (found, expectation) in failures.iter().zip(expected_failures) {
            wrong.extend(differences(&name, "launch failure", expectation, found));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_sample_leads_to_the_findings_worked_out_by_hand() {
    let mut wrong = Vec::new();
    for sample in samples() {
        let case = case(&sample, &["--all-launches"]);
        let found: BTreeSet<&str> =
            list(&case, "findings").iter().map(|finding| text(finding, "rule")).collect();
        let expected = expected(&sample);
        let expected: BTreeSet<&str> = list(&expected, "findings").iter().filter_map(Value::as_str).collect();
        if found != expected {
            wrong.push(format!("{}: {found:?}, expected {expected:?}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_finding_cites_events_of_the_archive_or_is_about_lost_ones() {
    for sample in samples() {
        let case = case(&sample, &["--all-launches"]);
        for finding in list(&case, "findings") {
            let is_about_losses = text(finding, "rule") == "KT503";
            assert!(is_about_losses || !list(finding, "evidence").is_empty(), "{finding}");
        }
    }
}

#[test]
fn every_statement_cites_events_of_the_archive() {
    for sample in samples() {
        let case = case(&sample, &["--all-launches"]);
        for node in list(&case, "nodes") {
            let id = text(node, "instance_id");
            for volume in list(node, "volumes") {
                assert!(!list(volume, "evidence").is_empty(), "{id}: {volume}");
            }
            if !node["termination"].is_null() {
                assert!(!list(&node["termination"], "evidence").is_empty(), "{id}");
            }
            let of_node: BTreeSet<&str> =
                list(node, "timeline").iter().map(|entry| text(entry, "event_id")).collect();
            for volume in list(node, "volumes") {
                for event in list(volume, "evidence") {
                    assert!(
                        of_node.contains(event.as_str().unwrap_or_default()),
                        "{id}: {event} is not in its timeline"
                    );
                }
            }
        }
    }
}

/// The same bytes, but for where each record was read.
fn without_origins(mut case: Value) -> String {
    for node in case["nodes"].as_array_mut().into_iter().flatten() {
        for entry in node["timeline"].as_array_mut().into_iter().flatten() {
            entry["origin"] = Value::Null;
        }
    }
    let losses = case["coverage"]["losses"].as_array_mut();
    for loss in losses.into_iter().flatten() {
        loss["object"] = Value::Null;
    }
    serde_json::to_string_pretty(&case).expect("JSON is written")
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory can be listed") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn workers_and_file_names_change_nothing() {
    for sample in samples() {
        let one = analyze(&sample, &["-j1"]);
        assert!(one == analyze(&sample, &["-j2"]), "{}: two workers differ from one", sample.display());
        assert!(one == analyze(&sample, &["-j7"]), "{}: seven workers differ from one", sample.display());
        // New names in the opposite order, all in one directory, beside a second copy of one file.
        let mut files = Vec::new();
        files_below(&sample.join("AWSLogs"), &mut files);
        files.sort();
        let renamed = tempfile::tempdir().expect("a temporary directory");
        for (number, file) in files.iter().rev().enumerate() {
            fs::copy(file, renamed.path().join(format!("{number:03}.json.gz"))).expect("a file is copied");
        }
        let original = case(&sample.join("AWSLogs"), &["-j2"]);
        assert_eq!(
            without_origins(case(renamed.path(), &["-j2"])),
            without_origins(original.clone()),
            "{}: other names give another answer",
            sample.display()
        );
        fs::copy(&files[0], renamed.path().join("copy.json.gz")).expect("a file is copied");
        let with_copy = case(renamed.path(), &["-j2"]);
        for part in ["nodes", "launch_failures", "keys"] {
            let strip = |case: &Value| {
                let mut only = serde_json::json!({ "nodes": [], "coverage": { "losses": [] } });
                only[part] = case[part].clone();
                without_origins(only)
            };
            assert_eq!(strip(&with_copy), strip(&original), "{}: a copy changes {part}", sample.display());
        }
    }
}
