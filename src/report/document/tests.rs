use serde_json::{Value, json};

use super::{Tool, schema, write_json, write_json_lines, write_schema};
use crate::correlate::Case;
use crate::report::incident::{self, HOSTILE};
use crate::report::is_hazardous;
use crate::rules::Finding;

const TOOL: Tool<'_> = Tool { name: "keytrail", version: "0.1.0" };

fn text(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    write_json(&mut bytes, case, findings, TOOL).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

fn lines(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    write_json_lines(&mut bytes, case, findings).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

fn document() -> Value {
    serde_json::from_str(&text(&incident::case(), &incident::findings())).expect("JSON")
}

/// The names of an object's fields in the order of the text.
fn names_in_order(text: &str, indent: usize) -> Vec<String> {
    let prefix = format!("{}\"", " ".repeat(indent));
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split_once("\":").map(|(name, _)| name.to_owned()))
        .collect()
}

#[test]
fn fields_have_the_names_and_the_order_of_the_contract() {
    let text = text(&incident::case(), &incident::findings());
    assert_eq!(
        names_in_order(&text, 2),
        ["schema_version", "tool", "coverage", "nodes", "launch_failures", "keys", "findings"]
    );
    let nodes = text.split_once("\n  \"nodes\"").expect("nodes").1;
    let first_node = nodes.split_once("\n    },").expect("an end").0;
    assert_eq!(
        names_in_order(first_node, 6),
        [
            "instance_id",
            "node_name",
            "account_id",
            "region",
            "availability_zone",
            "instance_type",
            "image_id",
            "capacity_type",
            "provisioner",
            "karpenter_version",
            "cluster",
            "nodepool",
            "nodeclass",
            "nodeclaim",
            "fleet_id",
            "launch_template",
            "principal_arn",
            "launched_at",
            "ended_at",
            "expected_key",
            "expected_keys",
            "volumes",
            "used_keys",
            "key_verdict",
            "key_origin",
            "termination",
            "findings",
            "timeline"
        ]
    );
    assert!(text.ends_with("}\n"));
}

#[test]
fn a_node_carries_its_rules_and_its_timeline() {
    let document = document();
    let denied = &document["nodes"][2];
    assert_eq!(denied["findings"], json!(["KT101"]));
    assert_eq!(
        denied["timeline"],
        json!([{
            "time": "2026-03-02T10:05:02Z",
            "event_id": "00000004-0000-4000-8000-000000000000",
            "event_source": "kms.amazonaws.com",
            "event_name": "CreateGrant",
            "role": "refusal",
            "summary": "KMS refused CreateGrant on key 11111111… to KarpenterControllerRole-demo: no \
                        identity-based policy allows the kms:CreateGrant action",
            "error_code": "AccessDenied",
            "origin": {"object": "logs/one.json.gz", "record": 4}
        }])
    );
    assert_eq!(document["nodes"][0]["findings"], json!([]));
    assert_eq!(document["nodes"][0]["timeline"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_rule_that_fires_twice_for_a_node_is_named_once_and_rules_are_sorted() {
    let mut findings = incident::findings();
    let mut earlier = findings[0].clone();
    earlier.rule = "KT100";
    findings.extend([findings[0].clone(), earlier]);
    let document: Value = serde_json::from_str(&text(&incident::case(), &findings)).expect("JSON");
    assert_eq!(document["nodes"][2]["findings"], json!(["KT100", "KT101"]));
}

#[test]
fn unknown_is_null_and_enum_values_are_those_of_the_contract() {
    let document = document();
    let bare = &document["nodes"][3];
    for name in ["node_name", "launched_at", "expected_key", "launch_template", "capacity_type", "nodepool"] {
        assert!(bare.as_object().expect("a node").contains_key(name), "{name}");
        assert_eq!(bare[name], Value::Null, "{name}");
    }
    assert_eq!(bare["key_verdict"], "unknown");
    assert_eq!(bare["provisioner"], "other");
    assert_eq!(bare["termination"]["cause"], "terminated-by-karpenter");
    assert_eq!(document["nodes"][0]["expected_keys"][0]["source"], "launch-template");
    assert_eq!(document["nodes"][0]["expected_keys"][0]["device"], "/dev/xvda");
    assert_eq!(document["nodes"][1]["key_origin"], "account-default");
    assert_eq!(document["nodes"][0]["volumes"][0]["role"], "launch");
}

#[test]
fn coverage_and_sorted_losses_are_in_the_document() {
    let document = document();
    assert_eq!(document["coverage"]["objects"], json!({"read": 12, "skipped": 1, "failed": 1}));
    assert_eq!(
        document["coverage"]["losses"],
        json!([
            {"object": "logs/two.json.gz", "record": null, "kind": "truncated-compression",
             "detail": "the stream ends early at byte 812"},
            {"object": "logs/one.json.gz", "record": 9, "kind": "invalid-json", "detail": "no JSON at byte 4711"}
        ])
    );
    assert_eq!(
        document["coverage"]["scopes"],
        json!([{"account_id": "111122223333", "region": "us-east-1", "first_event": "2026-03-02T09:58:00Z",
                "last_event": "2026-03-02T11:02:30Z", "kms_events_seen": true}])
    );
}

#[test]
fn one_line_is_one_node_of_the_document() {
    let lines = lines(&incident::case(), &incident::findings());
    let nodes: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(Value::from(nodes), document()["nodes"]);
    assert_eq!(self::lines(&Case::default(), &[]), "");
}

#[test]
fn hostile_text_is_escaped_and_comes_back_as_logged() {
    let (case, findings) = (incident::hostile_case(), incident::hostile_findings());
    for output in [text(&case, &findings), lines(&case, &findings)] {
        assert_eq!(output.replace('\n', "").find(is_hazardous), None);
    }
    let document: Value = serde_json::from_str(&text(&case, &findings)).expect("JSON");
    assert_eq!(document["nodes"][0]["nodepool"], HOSTILE);
    assert_eq!(document["findings"][0]["title"], HOSTILE);
    let beyond_the_basic_plane = "a\u{e0041}b";
    let mut case = Case::default();
    case.nodes.push(incident::node(beyond_the_basic_plane, "2026-03-02T10:00:00Z"));
    let line = lines(&case, &[]);
    assert!(line.contains(r"a\udb40\udc41b"), "{line}");
    let node: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(node["instance_id"], beyond_the_basic_plane);
}

/// The schema with every object closed, so that a field that it does not name is an error.
fn closed_schema() -> Value {
    fn close(schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                fields.values_mut().for_each(close);
                if fields.contains_key("properties") && fields.get("type") == Some(&json!("object")) {
                    fields.insert("unevaluatedProperties".into(), json!(false));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            _ => {}
        }
    }
    let mut schema = serde_json::to_value(schema()).expect("JSON");
    close(&mut schema);
    schema
}

#[test]
fn output_keeps_to_the_published_schema() {
    let validator = jsonschema::validator_for(&closed_schema()).expect("a schema");
    for (case, findings) in [
        (incident::case(), incident::findings()),
        (incident::hostile_case(), incident::hostile_findings()),
        (Case::default(), Vec::new()),
    ] {
        let document: Value = serde_json::from_str(&text(&case, &findings)).expect("JSON");
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn the_schema_refuses_what_is_not_the_contract() {
    let validator = jsonschema::validator_for(&closed_schema()).expect("a schema");
    let valid = document();
    assert!(validator.is_valid(&valid));
    for (pointer, value) in [
        ("/nodes/0/key_verdict", json!("fine")),
        ("/nodes/0/account_id", json!(111_122_223_333_u64)),
        ("/nodes/0/timeline/0/role", json!("Launch")),
        ("/coverage/records/read", json!("3210")),
        ("/findings/0/severity", json!("fatal")),
    ] {
        let mut broken = valid.clone();
        *broken.pointer_mut(pointer).expect("a field") = value;
        assert!(!validator.is_valid(&broken), "{pointer}");
    }
    for (parent, field) in [("/nodes/3", "launched_at"), ("/nodes/0", "timeline"), ("", "coverage")] {
        let mut broken = valid.clone();
        broken.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(field);
        assert!(!validator.is_valid(&broken), "{field} is required");
    }
    let mut more = valid;
    more["nodes"][0]["invented"] = json!(1);
    assert!(!validator.is_valid(&more));
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.json");
    let mut bytes = Vec::new();
    write_schema(&mut bytes).expect("memory does not fail");
    let current = String::from_utf8(bytes).expect("UTF-8");
    if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
        std::fs::write(path, &current).expect("docs/ is writable");
    }
    let committed = std::fs::read_to_string(path).expect("docs/schema.json is committed");
    assert!(
        committed == current,
        "docs/schema.json is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
    );
}

#[test]
fn a_writer_that_fails_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = write_json(&mut Full, &incident::case(), &[], TOOL).expect_err("no room");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
