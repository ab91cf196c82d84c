//! A verification as SARIF 2.1.0, for code scanning: one result per assertion, at the line of the manifest that
//! sets the key.
//!
//! Where no manifest was given, a result has the node as its logical location only.

use std::io::{self, BufWriter, Write};

use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};

use super::sentence;
use crate::report::document::{Tool, write_escaped};
use crate::verify::{Assertion, Check, Location, Outcome, Verification};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const HOME: &str = "https://crates.io/crates/keytrail";

/// Writes the verification as a SARIF log with one run.
///
/// # Errors
/// When `out` fails.
pub fn write_sarif(out: &mut dyn Write, verification: &Verification, tool: Tool<'_>) -> io::Result<()> {
    let rules: Vec<Value> = Check::ALL
        .iter()
        .map(|check| {
            json!({
                "id": check.name(),
                "name": pascal(check.name()),
                "shortDescription": { "text": check.summary() },
                "fullDescription": { "text": check.summary() },
                "defaultConfiguration": { "level": "error" },
                "properties": { "tags": ["security", "kms", "karpenter"] },
            })
        })
        .collect();
    let results: Vec<Value> = verification.assertions.iter().map(result).collect();
    let notifications: Vec<Value> = verification
        .notices
        .iter()
        .map(|notice| {
            let mut value = json!({
                "level": "note",
                "message": { "text": notice.sentence() },
            });
            if let Some(location) = &notice.location {
                value["locations"] = json!([{ "physicalLocation": physical(location) }]);
            }
            if let Some(rule) = notice.rule {
                value["descriptor"] = json!({ "id": rule });
            }
            value
        })
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": tool.name,
                "version": tool.version,
                "informationUri": HOME,
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": { "result": verification.result.name() },
        }],
    });
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &log, PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn result(assertion: &Assertion) -> Value {
    let (kind, level) = match assertion.result {
        Outcome::Pass => ("pass", "none"),
        Outcome::Fail => ("fail", "error"),
        // A viewer that knows levels only must not take it for a pass.
        Outcome::Inconclusive => ("fail", "warning"),
    };
    let index = Check::ALL.iter().position(|check| *check == assertion.check).unwrap_or_default();
    let mut location = Map::new();
    if let Some(place) = &assertion.location {
        location.insert("physicalLocation".to_owned(), physical(place));
    }
    let mut logical = Vec::new();
    if let Some(address) = assertion.location.as_ref().and_then(|place| place.address.as_ref()) {
        logical.push(json!({ "fullyQualifiedName": **address, "kind": "resource" }));
    }
    if let Some(node) = &assertion.node {
        let mut name = node.to_string();
        if let Some(volume) = &assertion.volume_id {
            name = format!("{name}/{volume}");
        }
        logical.push(json!({ "fullyQualifiedName": name, "kind": "resource" }));
    }
    if !logical.is_empty() {
        location.insert("logicalLocations".to_owned(), Value::Array(logical));
    }
    let mut properties = json!({
        "result": assertion.result.name(),
        "evidence": assertion.evidence,
        "findings": assertion.findings,
        "confidence": assertion.confidence,
    });
    for (name, value) in [
        ("node", &assertion.node),
        ("device", &assertion.device),
        ("volume_id", &assertion.volume_id),
        ("expected_key", &assertion.expected_key),
        ("key_arn", &assertion.key_arn),
    ] {
        if let Some(value) = value {
            properties[name] = json!(&**value);
        }
    }
    let mut value = json!({
        "ruleId": assertion.check.name(),
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": { "text": sentence(assertion) },
        "partialFingerprints": { "assertion/v1": assertion.id },
        "properties": properties,
    });
    if !location.is_empty() {
        value["locations"] = json!([location]);
    }
    value
}

fn physical(location: &Location) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&location.file) } });
    // Lines of a text inside a Terraform resource are not those of the file.
    if location.address.is_none() {
        physical["region"] =
            json!({ "startLine": location.line.max(1), "startColumn": location.column.max(1) });
    }
    physical
}

/// A path as a URI: relative as it is given, so that it is found in the repository.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for (index, byte) in path.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~/@+=,".contains(&byte);
        // A colon in the first part would make it a scheme.
        if is_plain || byte == b':' && path[..index].contains('/') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// `volume-key` as `VolumeKey`.
fn pascal(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_ascii_uppercase())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{pascal, uri};

    #[test]
    fn paths_become_uris() {
        for (path, written) in [
            ("deploy/node class.yaml", "deploy/node%20class.yaml"),
            ("./a/b.yaml", "a/b.yaml"),
            ("/srv/x.yaml", "file:///srv/x.yaml"),
            ("a:b.yaml", "a%3Ab.yaml"),
            ("é\u{1b}.yaml", "%C3%A9%1B.yaml"),
        ] {
            assert_eq!(uri(path), written);
        }
        assert_eq!(pascal("volume-key"), "VolumeKey");
    }
}
