//! `lookup:` asks the event history: the same answers as from disk, at the rate that the service admits, and
//! nothing lost without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sample;
use crate::server::Server;

/// Records of an account, and the regions that they are of.
struct Incident {
    account: String,
    regions: BTreeSet<String>,
    records: Vec<String>,
}

impl Incident {
    /// What one account's history holds of a sample: the account with the most records.
    fn of_sample(name: &str) -> Self {
        let mut by_account: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in sample::records(&sample::directory(name)) {
            by_account.entry(sample::member(&record, "recipientAccountId")).or_default().push(record);
        }
        let (account, records) =
            by_account.into_iter().max_by_key(|(_, records)| records.len()).expect("a sample has records");
        let regions = records.iter().map(|record| sample::member(record, "awsRegion")).collect();
        Self { account, regions, records }
    }

    fn source(&self) -> String {
        let regions: Vec<&str> = self.regions.iter().map(String::as_str).collect();
        format!("lookup:{}", regions.join(","))
    }

    /// What `analyze` says of the records on disk.
    fn analyzed_from_disk(&self) -> Value {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let text = format!("{{\"Records\":[{}]}}", self.records.join(","));
        fs::write(directory.path().join("records.json"), text).expect("it can be written");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keytrail"))
            .args(["analyze", "-q", "-o", "json", "--all-launches"])
            .arg(directory.path())
            .output()
            .expect("the command runs");
        document(&output)
    }
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// Looks up without waiting between requests.
fn analyze(server: &Server, incident: &Incident, arguments: &[&str]) -> Output {
    server
        .keytrail(&incident.account, ["analyze", "-o", "json", "--all-launches"])
        .env("RATE", "1000")
        .args(arguments)
        .arg(incident.source())
        .output()
        .expect("the command runs")
}

/// A document without what names objects.
fn without_origins(mut document: Value) -> Value {
    for node in document["nodes"].as_array_mut().expect("nodes") {
        for entry in node["timeline"].as_array_mut().expect("a timeline") {
            entry["origin"] = Value::Null;
        }
    }
    document
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_sample_gives_the_same_nodes_and_findings_from_disk_and_from_lookup() {
    let Some(server) = Server::start() else { return };
    let mut wrong = Vec::new();
    // One sample holds damaged records, which no event history gives.
    for name in sample::names().iter().filter(|name| *name != "32-records-lost") {
        let incident = Incident::of_sample(name);
        server.reset();
        server.add_events(&incident.records, Duration::ZERO);
        let mut from_disk = without_origins(incident.analyzed_from_disk());
        if name == "23-silence" {
            // An event history cannot be switched off, and hours without the events asked for may have had others.
            let findings = from_disk["findings"].as_array_mut().expect("findings");
            findings.retain(|finding| finding["rule"] != "KT502");
        }
        let looked_up = without_origins(document(&analyze(&server, &incident, &[])));
        assert!(
            !from_disk["nodes"].as_array().expect("nodes").is_empty() || name.starts_with("20"),
            "{name}"
        );
        for part in ["nodes", "launch_failures", "findings", "keys"] {
            if from_disk[part] != looked_up[part] {
                wrong.push(format!(
                    "{name}: {part}: {} from disk, {} looked up",
                    from_disk[part], looked_up[part]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
