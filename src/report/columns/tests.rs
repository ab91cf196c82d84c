use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{Findings, Nodes, Rows, Source, Table, Timeline, Value, Volumes};
use crate::correlate::Case;
use crate::report::{Tool, incident, write_json};

/// The incident, with no two fields of a node of the same value.
fn case() -> Case {
    let mut case = incident::case();
    let node = &mut case.nodes[0];
    node.expected_key.as_mut().expect("a key").written = Some("alias/karpenter-ebs".into());
    node.ended_at = Some(incident::time("2026-03-02T10:30:07Z"));
    case
}

/// The document's value of a column: of the field with its name, or of the nested field whose path it joins.
fn field<'a>(object: &'a Json, column: &str) -> &'a Json {
    let column = if column == "expected_key_arn" { "expected_key_key_arn" } else { column };
    if let Some(value) = object.get(column) {
        return value;
    }
    let (outer, inner) = object
        .as_object()
        .expect("an object")
        .keys()
        .filter_map(|outer| Some((outer, column.strip_prefix(outer.as_str())?.strip_prefix('_')?)))
        .max_by_key(|(outer, _)| outer.len())
        .unwrap_or_else(|| panic!("the document has no field for column {column}"));
    if object[outer].is_null() { &Json::Null } else { field(&object[outer], inner) }
}

fn as_json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) => text.into_owned().into(),
        Value::Time(at) => at.to_string().into(),
        Value::Integer(number) => number.into(),
        Value::List(texts) => texts.into_iter().map(std::borrow::Cow::into_owned).collect(),
    }
}

/// Compares every cell of a table with the document, but for columns that have no single field there.
fn compare<T: Rows>(objects: &[Json], but_for: &[&str]) {
    let (case, findings) = (case(), incident::findings());
    let source = Source::new(&case, &findings);
    let rows: Vec<_> = T::rows(&source).collect();
    assert_eq!(rows.len(), objects.len(), "{}", T::NAME);
    for (row, object) in rows.iter().zip(objects) {
        for column in T::COLUMNS.iter().filter(|column| !but_for.contains(&column.name)) {
            let value = as_json((column.get)(row));
            let expected = field(object, column.name);
            // Where an object is null in the document, its lists are null here.
            assert_eq!(&value, expected, "{}.{}", T::NAME, column.name);
        }
    }
}

#[test]
fn every_cell_is_what_the_document_says_under_the_same_name() {
    let mut bytes = Vec::new();
    let tool = Tool { name: "keytrail", version: "0.1.0" };
    write_json(&mut bytes, &case(), &incident::findings(), tool).expect("memory does not fail");
    let document: Json = serde_json::from_slice(&bytes).expect("JSON");
    let nodes = document["nodes"].as_array().expect("nodes");
    compare::<Nodes>(nodes, &["expected_keys", "volume_ids"]);
    compare::<Findings>(document["findings"].as_array().expect("findings"), &[]);
    let below = |list: &str| -> Vec<Json> {
        let of_node = |node: &Json| {
            let node = node.clone();
            let entries = node[list].as_array().expect("a list").clone();
            entries.into_iter().map(move |mut entry| {
                for name in ["instance_id", "account_id", "region", "cluster", "nodepool", "launched_at"] {
                    entry[name] = node[name].clone();
                }
                entry
            })
        };
        nodes.iter().flat_map(of_node).collect()
    };
    compare::<Volumes>(&below("volumes"), &[]);
    compare::<Timeline>(&below("timeline"), &[]);
}

#[test]
fn names_are_unique_and_every_column_is_explained() {
    fn check<T: Rows>() {
        let names: BTreeSet<_> = T::COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), T::COLUMNS.len(), "{}", T::NAME);
        assert!(T::COLUMNS.iter().all(|column| column.doc.ends_with('.') && !column.doc.contains('|')));
    }
    check::<Nodes>();
    check::<Volumes>();
    check::<Timeline>();
    check::<Findings>();
}

#[test]
fn tables_are_chosen_by_name() {
    for table in Table::ALL {
        assert_eq!(table.name().parse(), Ok(table));
    }
    let error = "Nodes".parse::<Table>().expect_err("no such table");
    assert_eq!(error.to_string(), "no table is named `Nodes`; there are nodes, volumes, timeline, findings");
}

#[test]
fn every_value_of_an_enum_is_in_the_columns_meaning() {
    fn doc<T: Rows>(name: &str) -> &'static str {
        T::COLUMNS.iter().find(|column| column.name == name).expect("a column").doc
    }
    let schema = serde_json::to_value(crate::report::schema()).expect("JSON");
    for (enumeration, doc) in [
        ("CapacityType", doc::<Nodes>("capacity_type")),
        ("Provisioner", doc::<Nodes>("provisioner")),
        ("KeySource", doc::<Nodes>("expected_key_source")),
        ("KeyVerdict", doc::<Nodes>("key_verdict")),
        ("KeyOrigin", doc::<Nodes>("key_origin")),
        ("KeyOrigin", doc::<Volumes>("key_origin")),
        ("TerminationCause", doc::<Nodes>("termination_cause")),
        ("Confidence", doc::<Nodes>("termination_confidence")),
        ("VolumeRole", doc::<Volumes>("role")),
        ("VolumeOutcome", doc::<Volumes>("outcome")),
        ("TimelineRole", doc::<Timeline>("role")),
        ("Severity", doc::<Findings>("severity")),
        ("SubjectKind", doc::<Findings>("subject_kind")),
    ] {
        let values = schema["$defs"][enumeration]["oneOf"].as_array().expect("values");
        assert!(values.len() > 1, "{enumeration}");
        for value in values {
            let value = value["const"].as_str().expect("a text");
            assert!(doc.contains(&format!("`{value}`")), "{enumeration}: {value} is not in: {doc}");
        }
    }
}
