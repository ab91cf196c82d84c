use std::collections::BTreeMap;

use serde_json::Value;

use super::write_timesketch;
use crate::correlate::Case;
use crate::report::{incident, is_hazardous};
use crate::rules::testing::{KEY, Log, NO_RESOURCE_POLICY, ROLE, policy_for};
use crate::rules::{Finding, evaluate};

fn rows(case: &Case, findings: &[Finding]) -> Vec<Value> {
    let mut bytes = Vec::new();
    write_timesketch(&mut bytes, case, findings).expect("memory does not fail");
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Fields that the importer takes away, because they are its own.
const RESERVED: [&str; 5] = ["_id", "_type", "_index", "_source", "__ts_timeline_id"];

/// What Timesketch's importer asks of a row, and what its documentation says of the fields.
fn assert_importable(row: &Value) {
    let row = row.as_object().expect("a row is an object");
    for field in ["message", "datetime", "timestamp_desc"] {
        assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {row:?}");
    }
    let datetime = row["datetime"].as_str().expect("text");
    let at: jiff::Timestamp = datetime.parse().expect("ISO 8601 with an offset");
    assert!(datetime.ends_with("+00:00"), "{datetime}");
    assert_eq!(row["timestamp"].as_i64(), Some(at.as_microsecond()), "microseconds of the same time");
    let tags = row["tag"].as_array().expect("a list");
    assert!(
        tags.iter().all(|tag| tag.as_str().is_some_and(|tag| !tag.is_empty() && !tag.contains([' ', ','])))
    );
    assert!(RESERVED.iter().all(|field| !row.contains_key(*field)));
    // A dot would make an object of the field, a blank cannot be searched for.
    assert!(
        row.keys().all(|field| field.chars().all(|one| one.is_ascii_lowercase() || one == '_')),
        "{row:?}"
    );
}

#[test]
fn every_row_has_what_the_importer_asks_for() {
    let rows = rows(&incident::case(), &incident::findings());
    assert_eq!(rows.len(), 6 + 6 + 1 + 2 + 1, "events, nodes, failures, findings, scopes");
    rows.iter().for_each(assert_importable);
}

#[test]
fn a_field_has_one_type_in_all_rows() {
    let kind = |value: &Value| match value {
        Value::String(_) => "text",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Object(_) => "object",
        Value::Null => "null",
        // The index knows no lists: a field may always have several values.
        Value::Array(values) if values.iter().all(Value::is_string) => "text",
        Value::Array(_) => "list",
    };
    let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
    for row in rows(&incident::case(), &incident::findings()) {
        for (field, value) in row.as_object().expect("an object") {
            let kind = kind(value);
            if kind != "null" {
                assert_eq!(*kinds.entry(field.clone()).or_insert(kind), kind, "{field}");
            }
        }
    }
    assert!(kinds.len() > 40, "{kinds:?}");
}

#[test]
fn a_refusal_its_node_its_finding_and_the_archive_each_have_their_row() {
    let rows = rows(&incident::case(), &incident::findings());
    let of = |kind: &str, part: &str| {
        rows.iter()
            .find(|row| {
                row["data_type"] == kind && row["message"].as_str().is_some_and(|text| text.contains(part))
            })
            .unwrap_or_else(|| panic!("no row {kind} with {part}: {rows:#?}"))
    };
    let refusal = of("keytrail:event", "KMS refused CreateGrant");
    assert_eq!(refusal["tag"], serde_json::json!(["refusal", "KT101"]));
    assert_eq!(refusal["instance_id"], serde_json::json!(["i-0cccccccccccccccc"]));
    assert_eq!(refusal["error_code"], "AccessDenied");
    assert_eq!(refusal["datetime"], "2026-03-02T10:05:02+00:00");
    let verdict = of("keytrail:verdict", "Node i-0cccccccccccccccc of nodepool default: denied.");
    assert_eq!(verdict["datetime"], "2026-03-02T10:05:00+00:00");
    assert_eq!(verdict["tag"], serde_json::json!(["denied", "KT101"]));
    assert_eq!(of("keytrail:end", "spot-interruption")["timestamp_desc"], "Node Ended");
    assert_eq!(of("keytrail:launch-failure", "InsufficientInstanceCapacity ×12")["count"], 12);
    let finding = of("keytrail:finding", "KT101 critical: KMS refused");
    assert_eq!(finding["datetime"], "2026-03-02T10:05:02+00:00", "the time of its evidence");
    let lost = of("keytrail:finding", "KT503");
    assert_eq!(lost["datetime"], "2026-03-02T11:02:30+00:00", "without evidence, the end of the archive");
    let archive = of("keytrail:archive", "end here");
    assert_eq!(archive["losses"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_finding_stands_where_its_decisive_event_is_and_not_at_what_it_is_compared_with() {
    let mut log = Log::new();
    log.policy("08:00:00", KEY, &policy_for(ROLE)).template(KEY);
    log.policy("09:55:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Backup"));
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_RESOURCE_POLICY);
    let case = log.case();
    let rows = rows(&case, &evaluate(&case));
    let at = |rule: &str| {
        let is_of_rule = |row: &&Value| row["data_type"] == "keytrail:finding" && row["rule"] == rule;
        rows.iter().find(is_of_rule).unwrap_or_else(|| panic!("no {rule}: {rows:#?}"))["datetime"].clone()
    };
    assert_eq!(at("KT401"), "2026-03-02T09:55:00+00:00");
    assert_eq!(at("KT102"), "2026-03-02T10:00:02+00:00");
}

#[test]
fn an_event_of_many_nodes_is_one_row() {
    let mut case = incident::case();
    let launch = case.nodes[0].clone();
    case.nodes = (0..500)
        .map(|number| {
            let mut node = launch.clone();
            node.instance_id = format!("i-{number:017x}").into();
            node
        })
        .collect();
    let rows = rows(&case, &[]);
    let launches: Vec<&Value> =
        rows.iter().filter(|row| row["event_name"] == "RunInstances" && row["tag"][0] == "launch").collect();
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0]["instances"], 500);
    assert_eq!(launches[0]["instance_id"].as_array().map(Vec::len), Some(100));
}

#[test]
fn an_empty_case_has_no_rows() {
    assert!(rows(&Case::default(), &[]).is_empty());
}

#[test]
fn no_text_of_a_log_steers_who_looks_at_the_timeline() {
    let rows = rows(&incident::hostile_case(), &incident::hostile_findings());
    assert!(rows.len() > 10);
    for row in &rows {
        assert_importable(row);
        assert_eq!(texts(row).find(is_hazardous), None, "{row}");
    }
}

fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(texts).collect(),
        Value::Object(fields) => fields.values().map(texts).collect(),
        _ => String::new(),
    }
}
