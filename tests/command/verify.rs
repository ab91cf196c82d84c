//! `keytrail verify` as CI runs it: exit codes, files for machines, and what is said to people.

use super::keytrail::{Keytrail, Run, keytrail};

const HEALTHY: &str = "sample-logs/01-healthy";
const HEALTHY_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/12bbb7b7-4f23-4e32-b15f-d5f2b25823c0";
const WRONG_KEY: &str = "sample-logs/04-account-default-used";
const OTHER: &str = "11111111-2222-3333-4444-555555555555";

fn verify(arguments: &str) -> Keytrail {
    keytrail(&format!("verify {arguments}"))
}

/// Runs, and holds the run to an exit code.
fn ends(run: Keytrail, code: i32) -> Run {
    let run = run.run();
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    run
}

fn node_classes(key: &str) -> String {
    ["general", "batch", "default"]
        .map(|name| {
            format!(
                "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: {name}\nspec:\n  blockDeviceMappings:\n    - deviceName: /dev/xvda\n      ebs:\n        encrypted: true\n        kmsKeyID: {key}\n"
            )
        })
        .join("---\n")
}

/// A node class of the healthy sample.
fn node_class(key: &str) -> String {
    node_classes(key).split("---\n").nth(2).expect("the third").to_owned()
}

/// What `terraform show -json` prints of a state with a node class in it.
fn terraform(key: &str) -> String {
    let yaml = serde_json::to_string(&node_class(key)).expect("JSON");
    format!(
        r#"{{"format_version":"1.0","terraform_version":"1.9.5","values":{{"root_module":{{"resources":[{{"address":"kubectl_manifest.node_class","mode":"managed","type":"kubectl_manifest","name":"node_class","provider_name":"registry.terraform.io/gavinbunney/kubectl","schema_version":1,"values":{{"yaml_body":{yaml}}}}}]}}}}}}"#
    )
}

#[test]
fn each_way_to_expect_a_key_passes_fails_and_is_inconclusive() {
    ends(verify(HEALTHY), 0);
    ends(verify(WRONG_KEY), 1);
    ends(verify("sample-logs/22-kms-events-excluded"), 3);
    for (key, code) in [(HEALTHY_KEY, 0), (OTHER, 1), ("alias/nowhere", 3)] {
        ends(verify(&format!("{HEALTHY} --expect-key {key}")), code);
    }
    for (key, code) in [(HEALTHY_KEY, 0), (OTHER, 1), ("${KMS_KEY_ID}", 3), ("alias/nowhere", 3)] {
        let run = verify(&format!("{HEALTHY} --nodeclass class.yaml")).file("class.yaml", node_class(key));
        ends(run, code);
        let run = verify(&format!("{HEALTHY} --terraform state.json")).file("state.json", terraform(key));
        ends(run, code);
    }
}

#[test]
fn no_evidence_never_passes() {
    for arguments in [
        "sample-logs/20-launches-failed-for-capacity --since 1m",
        "sample-logs/01-healthy --min-nodes 4",
        "sample-logs/36-launched-before-the-archive",
        "sample-logs/37-alias-unresolved",
        "sample-logs/32-records-lost",
        "sample-logs/16-node-group-role-denied",
    ] {
        ends(verify(arguments), 3);
    }
    verify("empty").directory("empty").fail(&["empty", "no files"]);
    ends(verify("empty --wait 1s --poll-interval 1s").directory("empty"), 3);
    verify("sample-logs/01-healthy --min-nodes 0").fail(&["--min-nodes"]);
}

#[test]
fn a_failure_outweighs_what_is_inconclusive() {
    ends(verify("sample-logs/02-role-not-allowed-on-key --expect-key alias/nowhere"), 1);
    ends(verify(&format!("{WRONG_KEY} --min-nodes 50")), 1);
}

#[test]
fn launches_of_others_are_judged_on_demand() {
    ends(verify("sample-logs/16-node-group-role-denied --all-launches"), 1);
    ends(verify("sample-logs/28-terminated-by-auto-scaling"), 3);
}

#[test]
fn the_screen_says_the_result_first_and_the_reason() {
    let run = ends(verify("sample-logs/37-alias-unresolved"), 3);
    assert!(run.stdout.starts_with("INCONCLUSIVE  1 node"), "{}", run.stdout);
    assert!(run.stdout.contains("which key the alias led to as of the launch"), "{}", run.stdout);
    assert!(run.stdout.contains("it would take: --alias alias/nodes=KEY-ARN"), "{}", run.stdout);
    assert!(run.stderr.contains("41 records read"), "{}", run.stderr);
    let quiet = ends(verify("-q sample-logs/37-alias-unresolved"), 3);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_refused_key_is_named_in_the_line_of_its_node() {
    let sample = "sample-logs/07-policy-overwritten-by-terraform/AWSLogs";
    let key = "arn:aws:kms:eu-west-1:123456789012:key/ed0b94da-c9c1-4389-80e4-227726e63811";
    let run = ends(verify(sample), 1);
    let line = format!("fail          i-057f01a3e2626bbae  general  {key} refused\n");
    assert!(run.stdout.contains(&line), "{}", run.stdout);
    assert!(!run.stdout.contains("no key seen"), "{}", run.stdout);
    let markdown = ends(verify(&format!("{sample} -o markdown")), 1).stdout;
    assert!(markdown.contains(&format!("`{key}` refused | fail |")), "{markdown}");
    // What nobody saw is said to be so.
    let unseen = ends(verify("sample-logs/22-kms-events-excluded"), 3);
    assert!(unseen.stdout.contains("  no key seen\n"), "{}", unseen.stdout);
}

#[test]
fn the_next_command_explains_the_first_node_that_failed() {
    let sample = "sample-logs/07-policy-overwritten-by-terraform/AWSLogs";
    let run = ends(verify(sample), 1);
    let next = format!("next:  keytrail explain i-057f01a3e2626bbae {sample}\n");
    assert!(run.stderr.ends_with(&next), "{}", run.stderr);
    keytrail(&format!("explain i-057f01a3e2626bbae {sample}")).succeed();
    let by_flag = ends(verify(&format!("{HEALTHY} --expect-key {OTHER}")), 1);
    assert!(by_flag.stderr.contains(&format!(" {HEALTHY} --expect-key {OTHER}\n")), "{}", by_flag.stderr);
    assert!(!ends(verify(HEALTHY), 0).stderr.contains("next:"));
}

#[test]
fn the_document_is_as_its_schema_says() {
    let schema: serde_json::Value =
        serde_json::from_str(&keytrail("schema verify").succeed().stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (sample, code) in [("01-healthy", 0), ("04-account-default-used", 1), ("32-records-lost", 3)] {
        let document = ends(verify(&format!("sample-logs/{sample} -o json")), code).json();
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let names = ["pass", "fail", "", "inconclusive"];
        assert_eq!(document["result"], names[usize::try_from(code).expect("small")]);
        assert!(document["wait"].is_null());
    }
}

#[test]
fn junit_is_read_by_another_parser_and_counts_what_is_inconclusive_as_an_error() {
    let run = ends(verify("sample-logs/04-account-default-used --min-nodes 50 --junit out/junit.xml"), 1);
    let report = roxmltree::Document::parse(&run.text("out/junit.xml")).map(|document| {
        let root = document.root_element();
        let number = |name: &str| root.attribute(name).expect("a count").to_owned();
        let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
        assert_eq!(root.tag_name().name(), "testsuites");
        assert_eq!((number("failures"), number("errors")), ("2".to_owned(), "1".to_owned()));
        assert_eq!((count("failure"), count("error")), (2, 1));
        assert_eq!(number("tests"), count("testcase").to_string());
        // One for the run, and one per node.
        assert_eq!(count("testsuite"), 4);
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).expect("a failure");
        assert!(failure.attribute("message").is_some_and(|text| text.contains("account's default key")));
    });
    report.expect("XML");
}

#[test]
fn sarif_is_as_its_schema_says_and_points_at_the_line_that_sets_the_key() {
    let mut schema: serde_json::Value =
        serde_json::from_str(include_str!("../schemas/sarif-2.1.0.json")).expect("JSON");
    // As published, the pattern of languages has a bracket too many and is no regular expression.
    for definition in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][definition]["properties"]["language"];
        language["pattern"] = "^[a-zA-Z]{2}(-[a-zA-Z]{2})?$".into();
    }
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let class = verify(&format!("{HEALTHY} --nodeclass deploy/class.yaml --sarif out.sarif"))
        .file("deploy/class.yaml", node_class(OTHER));
    let state = verify(&format!("{HEALTHY} --terraform state.json --sarif out.sarif"))
        .file("state.json", terraform(OTHER));
    let lost = verify("sample-logs/32-records-lost --sarif out.sarif");
    let documents = [(class, 1), (state, 1), (lost, 3)].map(|(run, code)| {
        let run = ends(run, code);
        let document: serde_json::Value = serde_json::from_str(&run.text("out.sarif")).expect("JSON");
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        document
    });
    let error_of = |document: &serde_json::Value| {
        let results = document["runs"][0]["results"].as_array().expect("results").clone();
        results.into_iter().find(|result| result["level"] == "error").expect("an error")
    };
    let error = error_of(&documents[0]);
    assert_eq!(error["ruleId"], "volume-key");
    let place = &error["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "deploy/class.yaml");
    assert_eq!(place["region"]["startLine"], 10);
    // A state has no line of the user's own: the resource's address says where.
    let error = error_of(&documents[1]);
    let place = &error["locations"][0];
    assert!(place["physicalLocation"]["region"].is_null());
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "kubectl_manifest.node_class");
    let mut wrong = documents[0].clone();
    wrong["runs"][0]["results"][0]["level"] = "terrible".into();
    assert!(!validator.is_valid(&wrong), "a document that is wrong passes");
}

#[test]
fn markdown_goes_into_the_empty_file_that_ci_makes() {
    let run = ends(verify(&format!("{WRONG_KEY} --markdown summary.md -o none")).file("summary.md", ""), 1);
    let text = run.text("summary.md");
    assert!(text.starts_with("## ❌ keytrail verify: the configured key is not applied"), "{text}");
    assert_eq!(run.stdout, "");
    let same = ends(verify(&format!("{WRONG_KEY} -o markdown")), 1);
    assert_eq!(same.stdout, text);
    verify(&format!("{WRONG_KEY} --markdown summary.md")).file("summary.md", "mine").fail(&[
        "summary.md",
        "exists already",
        "--force",
    ]);
    let forced = verify(&format!("{WRONG_KEY} --markdown summary.md --force")).file("summary.md", "mine");
    assert_eq!(ends(forced, 1).text("summary.md"), text);
}

#[test]
fn two_results_are_not_written_to_one_file() {
    let arguments = format!("{HEALTHY} --junit out --sarif ./out");
    verify(&arguments).fail(&["out", "is named for two results"]);
    verify(&format!("{arguments} --force")).file("out", "mine").fail(&["is named for two results"]);
}

#[test]
fn annotations_point_at_the_manifest() {
    let run = ends(
        verify(&format!("-q {HEALTHY} --nodeclass class.yaml --annotations github"))
            .file("class.yaml", node_class(OTHER)),
        1,
    );
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("::error ")).collect();
    assert!(!errors.is_empty(), "{}", run.stderr);
    assert!(errors[0].starts_with("::error file=class.yaml,line=10,col="), "{}", errors[0]);
    assert!(!run.stdout.contains("::error"), "standard output is for the result");
}

#[test]
fn texts_of_logs_and_manifests_are_texts_everywhere() {
    let hostile = "x\\u001b[2J\\n::error::owned|<script>@team 100%\\u0000\\uffff";
    let text = super::keytrail::sample_text("04-account-default-used").replace("indexers", hostile);
    let arguments =
        "-q verify logs.json -o json --junit j.xml --sarif s.sarif --markdown m.md --annotations github";
    let run = ends(keytrail(arguments).file("logs.json", text), 1);
    let pool = run.json()["nodes"][0]["nodepool"].as_str().expect("a nodepool").to_owned();
    assert!(pool.contains("\u{1b}[2J\n::error::owned|<script>"), "the document holds it as logged: {pool}");
    roxmltree::Document::parse(&run.text("j.xml")).expect("XML");
    let _: serde_json::Value = serde_json::from_str(&run.text("s.sarif")).expect("JSON");
    let markdown = run.text("m.md");
    for line in run.stderr.lines().chain(markdown.lines()) {
        assert!(!line.contains('\u{1b}') && !line.starts_with("::error::owned"), "{line}");
    }
    assert!(!markdown.contains("<script>") || markdown.contains("`x"), "only as code");
}

#[test]
fn waiting_needs_a_source_that_can_be_read_again() {
    verify("- --wait 1m").fail(&["--wait", "standard input"]);
    verify(&format!("{HEALTHY} --wait soon")).fail(&["--wait soon", "not a duration"]);
    verify(&format!("{HEALTHY} --poll-interval 1s")).fail(&["--wait"]);
}

#[test]
fn waiting_ends_at_once_where_nothing_is_missing_or_a_failure_is_final() {
    let complete = ends(verify(&format!("{HEALTHY} --wait 10m -o json")), 0).json();
    assert_eq!(complete["wait"], serde_json::json!({"ended": "complete", "seconds_max": 600, "looks": 1}));
    let failed = ends(verify(&format!("{WRONG_KEY} --wait 10m --min-nodes 50 -o json")), 1).json();
    assert_eq!(failed["wait"]["ended"], "failed");
    // No time will resolve a placeholder.
    let placeholder = verify(&format!("{HEALTHY} --nodeclass class.yaml --wait 10m"))
        .file("class.yaml", node_class("${KMS_KEY_ID}"));
    ends(placeholder, 3);
}

#[test]
fn waiting_ends_inconclusive_when_time_is_out() {
    let run = ends(verify(&format!("{HEALTHY} --min-nodes 4 --wait 2s --poll-interval 1s -o json")), 3);
    let wait = &run.json()["wait"];
    assert_eq!(wait["ended"], "timed-out");
    assert!(wait["looks"].as_u64().is_some_and(|looks| (2..=4).contains(&looks)), "{wait}");
    assert!(run.stderr.contains("CloudTrail usually delivers within about 5 minutes"), "{}", run.stderr);
    assert!(run.stderr.contains("3 nodes launched, 4 wanted"), "{}", run.stderr);
}

/// Writes a sample's files to a directory one after the other, the launch first, as a copy of the bucket would grow.
#[test]
fn evidence_that_comes_in_pieces_turns_inconclusive_into_pass() {
    let waiting = verify("growing --wait 60s --poll-interval 1s -o json").directory("growing");
    let records: Vec<String> =
        super::keytrail::sample_text("01-healthy").lines().map(str::to_owned).collect();
    let (kms, others): (Vec<String>, Vec<String>) = split_kms(&records);
    let mut child = waiting.command().spawn().expect("keytrail can be started");
    let directory = waiting.path("growing");
    let put = |name: &str, text: &str| {
        // A copy tool writes beside and renames, or else a half-written file is one more look away.
        let beside = directory.join(format!(".{name}"));
        std::fs::write(&beside, text).expect("a file can be written");
        std::fs::rename(beside, directory.join(name)).expect("a file can be renamed");
    };
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(child.try_wait().expect("a process").is_none(), "it waits for the launch");
    put("launches.json", &others.join("\n"));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(child.try_wait().expect("a process").is_none(), "it waits for the keys");
    put("keys.json", &kms.join("\n"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["wait"]["ended"], "complete");
    assert!(document["wait"]["looks"].as_u64().is_some_and(|looks| looks >= 3), "{}", document["wait"]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("0 nodes launched, 1 wanted"), "{said}");
    assert!(said.contains("evidence missing for i-"), "{said}");
}

/// Records of KMS and all others, one per line.
fn split_kms(files: &[String]) -> (Vec<String>, Vec<String>) {
    let mut records = Vec::new();
    for file in files.iter().filter(|file| file.starts_with("{\"Records\"")) {
        let file: serde_json::Value = serde_json::from_str(file).expect("JSON");
        records.extend(file["Records"].as_array().expect("records").iter().map(ToString::to_string));
    }
    records.into_iter().partition(|record| record.contains("\"eventSource\":\"kms.amazonaws.com\""))
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_what_is_known_by_then() {
    let waiting =
        verify(&format!("{HEALTHY} --min-nodes 4 --wait 60s --poll-interval 30s -o json --junit j.xml"));
    let child = waiting.command().spawn().expect("keytrail can be started");
    std::thread::sleep(std::time::Duration::from_millis(2000));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill can be started").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["wait"]["ended"], "interrupted");
    assert_eq!(document["nodes"].as_array().map(Vec::len), Some(3));
    assert!(waiting.path("j.xml").exists());
}
