//! `keytrail explain` as a user runs it, on the sample incidents.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The directory of a sample, by its number.
fn sample(number: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    let mut samples = std::fs::read_dir(root).expect("the samples can be listed");
    samples
        .find_map(|entry| {
            let entry = entry.expect("the samples can be listed");
            entry.file_name().to_string_lossy().starts_with(number).then(|| entry.path())
        })
        .unwrap_or_else(|| panic!("there is no sample {number}"))
}

fn run(arguments: &[&str], source: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(arguments)
        .arg(source)
        .env_remove("NO_COLOR")
        .output()
        .expect("the command runs")
}

fn explain(number: &str, subject: &str, more: &[&str]) -> String {
    let output = run(&[&["explain", subject], more].concat(), &sample(number));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is lost, so nothing is to be said");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A screen as one line of single blanks: what it says, wherever its lines break.
fn said(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(screen: &str, what: &[&str]) {
    let said = said(screen);
    for text in what {
        assert!(said.contains(text), "{text} is not in:\n{screen}");
    }
}

/// Each subject with what its explanation has to say: the incident's point, as its README tells it.
const SUBJECTS: [(&str, &str, &[&str]); 9] = [
    (
        "02",
        "i-0a9f1fc666da362dc",
        &[
            "denied: KMS refused kms:GenerateDataKeyWithoutPlaintext on key 35e3ba65… to \
             KarpenterControllerRole-payments: no identity-based policy allows it.",
            "It died of that 13s after its launch",
            "KT101 critical, observed:",
            "14:20:33 +1s ✗ KMS refused",
            "14:20:32 +0s ★ EC2 made the instance",
            "14:35:35 +15m03s · KarpenterControllerRole-payments terminated the instance, which was terminated",
            "RULED OUT",
            "target: statements for the key policy of arn:aws:kms:us-east-1:111122223333:key/35e3ba65",
        ],
    ),
    (
        "04",
        "i-06eb7567fea9bec3d",
        &[
            "mismatch: 1 of 2 volumes of its launch is under another key: 8cd65bc1…, the account's default key for \
             EBS, instead of alias/karpenter-nodes (6db9eb22…).",
            "09:03:47 -30m16s ◆ AWSReservedSSO_PlatformAdmin_1b74cd717d47002b made key 8cd65bc1… the default for EBS",
            "as maria from 198.51.100.24 with aws-cli/2.27.50",
            "used ≠ vol-08c3893c2319aee79: key 8cd65bc1…, the account's default key for EBS, set 2026-04-14 09:03:47",
            "used ✓ vol-0d1d47df6416b97ed: key 6db9eb22…, the configured key",
            "KT201 high, observed:",
        ],
    ),
    (
        "07",
        "i-057f01a3e2626bbae",
        &[
            "11:30:44 -5m22s ◆ terraform-pipeline replaced the policy of key ed0b94da…",
            "as run-4f1c2a from 198.51.100.77 with APN/1.0 HashiCorp/1.0 Terraform/1.12.2",
            "KT401 critical, observed: Policy of key",
            "AllowKarpenterToUseTheKey",
            "KT306 critical, observed: Launch loop: 3 nodes",
        ],
    ),
    (
        "07",
        "ed0b94da-c9c1-4389-80e4-227726e63811",
        &[
            "Key ed0b94da… was used by 3 nodes (3 volumes) and refused to 3. KMS refused it 3 times to \
             KarpenterControllerRole-orders",
            "11:44:52 ◆ AWSReservedSSO_PlatformAdmin_1b74cd717d47002b replaced the policy",
            "as ines from",
            "denied 3 nodes of nodepool general, cluster orders, kms-denied, launched 2026-05-06 11:36:06 to",
            "✗ 3 × kms:GenerateDataKeyWithoutPlaintext to KarpenterControllerRole-orders: no identity-based policy",
            "KT101 critical, observed, 3 nodes:",
        ],
    ),
    (
        "04",
        "alias/karpenter-nodes",
        &["aliases alias/karpenter-nodes", "09:06:20 ◆", "pointed alias/karpenter-nodes to key 6db9eb22…"],
    ),
    (
        "13",
        "i-00a92f911ac2c1242",
        &[
            "the key is disabled.",
            "15:22:37 -8m29s ◆ AWSReservedSSO_PlatformAdmin_1b74cd717d47002b made key ac9c29a5… disabled",
            "as tomas from",
            "kms-key-unusable (observed)",
            "KT104 critical, observed:",
            "KT403",
        ],
    ),
    (
        "18",
        "i-0a2fec30f69941f32",
        &[
            "match: The volume of its launch is under the expected key",
            "it had not registered within 15 minutes (inferred).",
            "registration-timeout (inferred)",
            "KT302",
        ],
    ),
    (
        "33",
        "i-0937492dacb90f713",
        &[
            "kms-denied (inferred)",
            "KT101 critical, inferred:",
            "inferred from session, account, region and time",
        ],
    ),
    (
        "09",
        "i-087fac7d145160a42",
        &["match: The volume of its launch", "ELSEWHERE", "KT306 Launch loop: 12 nodes of nodepool frames"],
    ),
];

#[test]
fn each_incident_is_told_with_its_point() {
    for (number, subject, what) in SUBJECTS {
        assert_says(&explain(number, subject, &[]), what);
    }
}

#[test]
fn a_healthy_node_is_not_blamed_for_the_loop_of_its_nodepool() {
    let text = explain("09", "i-087fac7d145160a42", &[]);
    assert!(!text.contains("\nCAUSE") && !text.contains("\nFIX"), "{text}");
}

#[test]
fn screens_fit_80_columns_but_for_what_is_to_be_pasted() {
    for (number, subject, _) in SUBJECTS {
        let text = explain(number, subject, &[]);
        let mut is_pasted = false;
        for line in text.lines() {
            is_pasted =
                line.starts_with("    --- ") || is_pasted && (line.starts_with("    ") || line.is_empty());
            let columns = line.chars().count();
            assert!(is_pasted || columns <= 80, "{columns} columns: {line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}

#[test]
fn documents_on_the_screen_are_those_of_the_finding_line_by_line() {
    let text = explain("02", "i-0a9f1fc666da362dc", &[]);
    let json: Value =
        serde_json::from_str(&explain("02", "i-0a9f1fc666da362dc", &["-o", "json"])).expect("JSON");
    let documents = json["remedies"][0]["documents"].as_array().expect("documents");
    assert_eq!(documents.len(), 3);
    for document in documents {
        let body = document["body"].as_str().expect("a text");
        let shown: String =
            body.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
        assert!(text.contains(&shown), "{shown}");
    }
}

#[test]
fn json_keeps_to_the_schema_that_the_command_prints() {
    let schema = Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(["schema", "explain"])
        .output()
        .expect("the command runs");
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (number, subject, _) in SUBJECTS {
        let document: Value = serde_json::from_str(&explain(number, subject, &["-o", "json"])).expect("JSON");
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{number} {subject}: {errors:?}");
        // Chain of custody: every number and every cited event leads to a record.
        let custody = document["custody"].as_array().expect("a list");
        let ids: Vec<&Value> = custody.iter().map(|exhibit| &exhibit["event_id"]).collect();
        for step in document["timeline"].as_array().expect("a list") {
            let number = step["number"].as_u64().expect("a number");
            assert_eq!(ids[usize::try_from(number).expect("a small number") - 1], &step["event_id"]);
        }
        for cause in document["causes"].as_array().expect("a list") {
            for id in cause["evidence"].as_array().expect("a list") {
                assert!(ids.contains(&id), "{id} of {} is not in custody", cause["rule"]);
            }
        }
    }
}

#[test]
fn markdown_has_its_fences_in_pairs_and_the_documents_in_them() {
    for (number, subject, _) in SUBJECTS {
        let text = explain(number, subject, &["-o", "markdown"]);
        let fences = text.lines().filter(|line| line.starts_with("```")).count();
        assert!(fences.is_multiple_of(2), "{fences} fences: {text}");
        assert!(text.starts_with("# Node `") || text.starts_with("# Key `"), "{text}");
    }
    let text = explain("02", "i-0a9f1fc666da362dc", &["-o", "markdown"]);
    assert!(text.contains("\n```json\n[\n  {\n    \"Sid\": \"EbsUsesKey\","), "{text}");
    assert!(text.contains("| 4 | 2026-02-10 14:20:33 | +1s | ✗ | KMS refused"), "{text}");
}

#[test]
fn an_unknown_subject_is_an_error_with_the_nearest_names() {
    let output = run(&["explain", "i-06eb7567fea9bec3e"], &sample("04"));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.starts_with("error: `i-06eb7567fea9bec3e` is neither a node"), "{error}");
    assert!(error.contains("\n  i-06eb7567fea9bec3d  (node of nodepool indexers, launched"), "{error}");

    let output = run(&["explain", "i-0"], &sample("04"));
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("may be any of 3") && error.contains("i-08c449aa734146175"), "{error}");

    let output = run(&["explain", "evil\u{1b}[2J"], &sample("04"));
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_filter_that_hides_the_subject_is_named() {
    let output = run(&["explain", "i-06eb7567fea9bec3d", "--nodepool", "scratch"], &sample("04"));
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("hint: only nodes that the time window and the filters admit"), "{error}");
}

#[test]
fn nodes_that_karpenter_did_not_launch_are_explained_too() {
    let sample = sample("16");
    let listed = run(&["analyze", "-q", "-o", "json", "--all-launches"], &sample);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let nodes = listed["nodes"].as_array().expect("a list");
    let foreign = nodes.iter().find(|node| node["provisioner"] == "autoscaling").expect("a node of a group");
    let output = run(&["explain", foreign["instance_id"].as_str().expect("an id")], &sample);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn analyze_names_the_command_that_explains_the_worst_node() {
    let output = run(&["analyze"], &sample("07"));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    let command = error.lines().find_map(|line| line.strip_prefix("next:  ")).expect("a next command");
    assert!(command.starts_with("keytrail explain i-057f01a3e2626bbae "), "{command}");
    // The shell reads it back as it was meant.
    let line = command.replacen("keytrail", env!("CARGO_BIN_EXE_keytrail"), 1);
    let output = Command::new("sh").args(["-c", &line]).output().expect("sh runs");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Node i-057f01a3e2626bbae\n"));
}

#[test]
fn losses_are_said() {
    let sample = sample("32");
    let listed = run(&["analyze", "-q", "-o", "json"], &sample);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let id = listed["nodes"][0]["instance_id"].as_str().expect("a node").to_owned();
    let output = run(&["explain", &id], &sample);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("lost:  "));
    assert!(said(&String::from_utf8_lossy(&output.stdout)).contains("what they held is not known"));
    assert_eq!(run(&["explain", &id, "--strict"], &sample).status.code(), Some(3));
}
