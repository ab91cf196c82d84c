//! Which nodes: time, place, pool; and what they are compared with.

use super::keytrail::{Keytrail, keytrail, sample_text};

const SAMPLE: &str = "sample-logs/07-policy-overwritten-by-terraform";

fn analyze(options: &str) -> Keytrail {
    keytrail(&format!("analyze {SAMPLE} -o json {options}"))
}

fn count(options: &str) -> usize {
    analyze(options).succeed().node_ids().len()
}

#[test]
fn a_window_begins_with_its_first_second_and_ends_before_its_last() {
    assert_eq!(count(""), 6);
    assert_eq!(count("--from 2026-05-06T11:36:06Z"), 4);
    assert_eq!(count("--from 2026-05-06T11:36:07Z"), 3);
    assert_eq!(count("--to 2026-05-06T11:36:06Z"), 2);
    assert_eq!(count("--from 2026-05-06T13:36:06+02:00 --to 2026-05-06T11:36:07Z"), 1);
    assert_eq!(count("--from 2026-05-06 --to 2026-05-07"), 6);
}

#[test]
fn since_counts_back_from_now() {
    assert_eq!(count("--since 1m"), 0);
    assert_eq!(analyze("--since").argument("5000 weeks").succeed().node_ids().len(), 6);
}

#[test]
fn a_filter_changes_which_nodes_are_shown_and_not_what_is_said_of_them() {
    let all = analyze("").succeed().json();
    // The launch template and the policy change are older than this window.
    let few = analyze("--from 2026-05-06T11:36:00Z --to 2026-05-06T11:40:00Z").succeed().json();
    assert_eq!(few["nodes"].as_array().unwrap()[..], all["nodes"].as_array().unwrap()[2..5]);
    assert_eq!(few["coverage"], all["coverage"]);
}

#[test]
fn accounts_regions_clusters_and_nodepools_are_told_apart() {
    for (options, nodes) in [
        ("--account 123456789012", 6),
        ("--account 111122223333", 0),
        ("--account 111122223333 --account 123456789012", 6),
        ("--region eu-west-1", 6),
        ("--region us-east-1", 0),
        ("--cluster orders", 6),
        ("--cluster order", 0),
        ("--nodepool general", 6),
        ("--nodepool system", 0),
    ] {
        assert_eq!(count(options), nodes, "{options}");
    }
}

#[test]
fn launches_of_others_are_shown_on_demand() {
    let others = "analyze sample-logs/28-terminated-by-auto-scaling -o json";
    let few = keytrail(others).succeed().node_ids();
    let all = keytrail(&format!("{others} --all-launches")).succeed().node_ids();
    assert!(all.len() > few.len(), "{all:?}");
}

#[test]
fn an_empty_window_says_its_bounds() {
    analyze("--from 2026-05-07 --to 2026-05-06").fail(&["window is empty", "2026-05-07", "2026-05-06"]);
}

#[test]
fn a_bad_time_or_duration_says_what_would_be_one() {
    analyze("--from yesterday").fail(&["--from yesterday", "not a time", "2026-03-02T10:00:00Z"]);
    analyze("--to 2026-02-30").fail(&["--to 2026-02-30", "not a time"]);
    analyze("--since soon").fail(&["--since soon", "not a duration", "2h"]);
    let run = analyze("--since").argument("1 year").fail(&["--since 1 year", "not a duration"]);
    assert!(!run.stderr.contains("Span"), "{}", run.stderr);
    analyze("--since 2h --from 2026-05-06").fail(&["--since", "cannot be used with"]);
}

fn verdicts(options: &str) -> Vec<String> {
    let document = analyze(options).succeed().json();
    let nodes = document["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|node| node["key_verdict"].as_str().expect("a verdict").to_owned()).collect()
}

#[test]
fn the_expected_key_may_be_written_in_every_form() {
    let key = "ed0b94da-c9c1-4389-80e4-227726e63811";
    let arn = format!("arn:aws:kms:eu-west-1:123456789012:key/{key}");
    let as_configured = ["match", "match", "denied", "denied", "denied", "match"];
    for options in [
        String::new(),
        format!("--expect-key {key}"),
        format!("--expect-key {arn}"),
        format!("--expect-key alias/nodes --alias alias/nodes={arn}"),
        format!("--expect-key alias/nodes --alias alias/nodes={key}"),
        format!("--expect-key arn:aws:kms:eu-west-1:123456789012:alias/nodes --alias alias/nodes={arn}"),
    ] {
        assert_eq!(verdicts(&options), as_configured, "{options}");
    }
}

#[test]
fn another_key_is_a_mismatch_and_an_unknown_alias_is_not() {
    let other = "11111111-2222-3333-4444-555555555555";
    assert_eq!(verdicts(&format!("--expect-key {other}"))[0], "mismatch");
    // The same key id in another region is another key.
    let elsewhere = "arn:aws:kms:us-east-1:123456789012:key/ed0b94da-c9c1-4389-80e4-227726e63811";
    assert_eq!(verdicts(&format!("--expect-key {elsewhere}"))[0], "mismatch");
    assert_eq!(verdicts("--expect-key alias/nodes")[0], "unknown");
}

#[test]
fn an_alias_without_its_key_is_a_usage_error() {
    analyze("--alias alias/nodes").fail(&["--alias", "NAME=ARN"]);
    analyze("--alias nodes=11111111-2222-3333-4444-555555555555").fail(&["--alias", "`alias/`"]);
}

#[test]
fn a_filter_by_a_text_that_a_log_made_up_is_taken_as_text() {
    let text = sample_text("01-healthy").replace("\"general\"", "\"a b;--x\"");
    let run = keytrail("analyze - -o json --nodepool").argument("a b;--x").input(text).succeed();
    assert_eq!(run.node_ids().len(), 2);
}

#[test]
fn a_name_that_the_archive_does_not_have_is_no_silent_success() {
    for (options, says) in [
        ("--nodepool genral", "--nodepool genral: not in this archive; the only nodepool there is general"),
        ("--cluster nope", "--cluster nope: not in this archive; the only cluster there is orders"),
        ("--region eu-wst-1", "--region eu-wst-1: not in this archive; the only region there is eu-west-1"),
        ("--account 111122223333", "the only account there is 123456789012"),
        ("--since 6h", "and the newest record is of 2026-05-06"),
    ] {
        let run = analyze(options).succeed();
        assert!(run.stderr.contains("check: ") && run.stderr.contains(says), "{options}: {}", run.stderr);
        assert!(!run.stderr.contains("--all-launches"), "{options}: {}", run.stderr);
    }
    assert!(!analyze("--nodepool general").succeed().stderr.contains("not in this archive"));
    analyze("--account 12345").fail(&["--account", "12 digits"]);
}

#[test]
fn an_incident_without_a_key_at_fault_has_a_next_command_too() {
    for sample in ["21-spot-interruption", "31-launch-aborted"] {
        let found = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs")).expect("samples");
        let name = found
            .filter_map(|entry| entry.expect("a name").file_name().into_string().ok())
            .find(|name| name[..2] == sample[..2])
            .expect("a sample");
        let run = keytrail(&format!("analyze sample-logs/{name}")).succeed();
        assert!(run.stderr.contains("next:  keytrail explain i-"), "{name}: {}", run.stderr);
    }
}
