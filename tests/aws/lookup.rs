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
        .args(if arguments.contains(&"--lookup-rate") { &[][..] } else { &["--lookup-rate", "1000"] })
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

const SAMPLE: &str = "03-create-grant-denied";

fn losses(document: &Value) -> Vec<String> {
    let losses = document["coverage"]["losses"].as_array().expect("losses");
    losses.iter().map(|loss| format!("{}: {}", loss["object"], loss["detail"])).collect()
}

/// The same record as often as wanted, each with an id and a second of its own.
fn copies(record: &str, count: usize) -> Vec<String> {
    let (id, time) = (sample::member(record, "eventID"), sample::member(record, "eventTime"));
    (0..count)
        .map(|index| {
            let own_id = format!("{index:08x}-0000-4000-8000-000000000000");
            let own_time = format!("{}{:02}:{:02}Z", &time[..14], index / 60 % 60, index % 60);
            record.replace(&id, &own_id).replace(&time, &own_time)
        })
        .collect()
}

/// Parts of two documents that must not differ.
fn assert_same(one: &Value, other: &Value) {
    for part in ["nodes", "launch_failures", "findings", "keys"] {
        assert_eq!(one[part], other[part], "{part}");
    }
}

fn looked_up_attributes(server: &Server) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in server.requests() {
        let asked: Value =
            serde_json::from_str(request["detail"].as_str().expect("a body")).expect("a body is JSON");
        let attributes = asked["LookupAttributes"].as_array().expect("attributes");
        assert_eq!(attributes.len(), 1, "the service takes one attribute");
        *counts.entry(attributes[0]["AttributeValue"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn more_events_than_a_page_are_paged_to_the_end() {
    let Some(server) = Server::start() else { return };
    let mut incident = Incident::of_sample(SAMPLE);
    let grant = incident.records.iter().find(|record| sample::member(record, "eventName") == "CreateGrant");
    let grants = copies(grant.expect("the sample has a grant"), 130);
    incident.records.extend(grants);
    server.add_events(&incident.records, Duration::ZERO);
    let output = analyze(&server, &incident, &[]);
    assert_eq!(looked_up_attributes(&server)["CreateGrant"], 3);
    let document = document(&output);
    assert!(document["coverage"]["records"]["read"].as_u64().expect("a count") >= 130);
    assert_same(&without_origins(incident.analyzed_from_disk()), &without_origins(document));
    assert!(stderr(&output).contains("event history of"), "{}", stderr(&output));
}

#[test]
fn every_event_name_that_matters_is_asked_for_in_every_region() {
    let Some(server) = Server::start() else { return };
    let mut incident = Incident::of_sample("26-multi-region-key");
    assert!(incident.regions.len() > 1, "{:?}", incident.regions);
    server.add_events(&incident.records, Duration::ZERO);
    let document = document(&analyze(&server, &incident, &[]));
    let scopes = document["coverage"]["scopes"].as_array().expect("scopes");
    assert_eq!(scopes.len(), incident.regions.len());
    let counts = looked_up_attributes(&server);
    for (_, name, _) in keytrail::event::RELEVANCE_TABLE {
        assert_eq!(counts[name], incident.regions.len(), "{name}");
    }
    // A region that is not asked is not seen.
    incident.regions.pop_last();
    let one = self::document(&analyze(&server, &incident, &[]));
    assert_eq!(one["coverage"]["scopes"].as_array().expect("scopes").len(), 1);
}

#[test]
fn the_regions_of_interest_are_the_ones_asked() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    server.add_events(&incident.records, Duration::ZERO);
    let region = incident.regions.first().expect("a region");
    let output = server
        .keytrail(&incident.account, ["analyze", "-q", "-o", "json", "--lookup-rate", "1000", "lookup:"])
        .args(["--region", region])
        .output()
        .expect("the command runs");
    assert!(!document(&output)["nodes"].as_array().expect("nodes").is_empty());
    assert!(server.requests().iter().all(|request| request["region"] == **region));
}

#[test]
fn throttling_and_broken_answers_are_repeated_and_counted() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    server.add_events(&incident.records, Duration::ZERO);
    let undisturbed = without_origins(document(&analyze(&server, &incident, &[])));
    server.fault(json!({ "kind": "throttle", "operation": "LookupEvents", "skip": 3, "times": 2 }));
    for (kind, name) in [("truncate", "RunInstances"), ("reset", "CreateGrant"), ("stall", "CreateFleet")] {
        server.fault(json!({ "kind": kind, "contains": format!("\"{name}\""), "times": 1, "seconds": 1 }));
    }
    let output = analyze(&server, &incident, &[]);
    assert_same(&undisturbed, &without_origins(document(&output)));
    assert!(stderr(&output).contains("5 requests to AWS were retried"), "{}", stderr(&output));
}

#[test]
fn pages_that_cannot_be_had_are_a_loss_that_says_where() {
    let Some(server) = Server::start() else { return };
    let mut incident = Incident::of_sample(SAMPLE);
    let launch = incident.records.iter().find(|record| sample::member(record, "eventName") == "RunInstances");
    let launches = copies(launch.expect("the sample has a launch"), 120);
    incident.records.extend(launches);
    server.add_events(&incident.records, Duration::ZERO);
    server.fault(json!({
        "kind": "error", "status": 400, "code": "InvalidLookupAttributesException", "message": "no",
        "contains": "NextToken", "skip": 1,
    }));
    let output = analyze(&server, &incident, &["--strict"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("the output is JSON");
    let losses = losses(&document);
    let of_launches = losses.iter().find(|loss| loss.contains("/RunInstances\"")).expect("a loss");
    assert!(of_launches.contains("InvalidLookupAttributesException"), "{of_launches}");
    assert!(of_launches.contains("after 2 pages, which go back to 2"), "{of_launches}");
    // What came before the failure is evidence.
    assert!(document["coverage"]["records"]["selected"].as_u64().expect("a count") >= 100);
}

#[test]
fn credentials_that_expire_on_the_way_end_the_asking_but_not_the_answer() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    server.add_events(&incident.records, Duration::ZERO);
    server.fault(json!({ "kind": "expired-token", "skip": 40 }));
    let output = analyze(&server, &incident, &["--lookup-rate", "200"]);
    let document = document(&output);
    let losses = losses(&document);
    assert!(!losses.is_empty());
    assert!(losses.iter().all(|loss| loss.contains("have expired")), "{losses:?}");
    let asked = server.count("LookupEvents");
    assert!(asked < 46, "nothing more is asked with expired credentials: {asked}");
}

#[test]
fn a_token_that_expires_is_replaced_without_loss() {
    let Some(server) = Server::start() else { return };
    let mut incident = Incident::of_sample(SAMPLE);
    let launch = incident.records.iter().find(|record| sample::member(record, "eventName") == "RunInstances");
    let launches = copies(launch.expect("the sample has a launch"), 180);
    incident.records.extend(launches);
    server.add_events(&incident.records, Duration::ZERO);
    server.fault(json!({
        "kind": "error", "status": 400, "code": "InvalidNextTokenException", "message": "expired",
        "contains": "NextToken", "skip": 2, "times": 1,
    }));
    let document = document(&analyze(&server, &incident, &[]));
    assert_eq!(losses(&document), [""; 0]);
    assert_same(&without_origins(incident.analyzed_from_disk()), &without_origins(document));
}

#[test]
fn what_is_refused_at_once_is_said_in_one_line() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    for (fault, says) in [
        (json!({ "kind": "expired-token" }), vec!["have expired", "aws sso login"]),
        (
            json!({ "kind": "access-denied" }),
            vec![
                "is not authorized to perform: cloudtrail:LookupEvents",
                "cloudtrail:LookupEvents is needed",
            ],
        ),
        (json!({ "kind": "region-not-enabled" }), vec!["UnrecognizedClientException", "region"]),
    ] {
        server.reset();
        server.fault(fault);
        let output = analyze(&server, &incident, &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let error = text.lines().find(|line| line.starts_with("error: ")).expect("an error");
        for part in says {
            assert!(error.contains(part), "`{part}` is not in: {text:?}");
        }
        assert!(!text.contains("wJalrXUtnFEMI"), "no secret is shown");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn no_credentials_and_no_network_are_said_in_one_line() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    let arguments = ["analyze", "lookup:us-east-1"];
    let mut without_credentials = server.keytrail(&incident.account, arguments);
    without_credentials.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let mut without_network = server.keytrail(&incident.account, arguments);
    // The port of nothing.
    without_network.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let mut without_region = server.keytrail(&incident.account, ["analyze", "lookup:"]);
    without_region.env_remove("AWS_REGION");
    let hostile = server.keytrail(&incident.account, ["analyze", "lookup:evil.example/"]);
    for (mut command, says) in [
        (without_credentials, "no AWS credentials were found"),
        (without_network, "no answer from AWS"),
        (without_region, "needs a region"),
        (hostile, "is no name of a region"),
    ] {
        let output = command.output().expect("the command runs");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.lines().any(|line| line.starts_with("error: ") && line.contains(says)), "{text}");
    }
}

/// Times of the requests, in seconds.
fn request_times(server: &Server) -> Vec<f64> {
    server.requests().iter().map(|request| request["at"].as_f64().expect("a time")).collect()
}

#[test]
fn requests_keep_to_the_rate_over_all_queries_of_a_region() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    document(&analyze(&server, &incident, &["--lookup-rate", "25"]));
    let times = request_times(&server);
    let seconds = times.last().expect("requests") - times[0];
    assert!(seconds >= (times.len() - 1) as f64 / 25.0 - 0.1, "{} requests in {seconds} s", times.len());
}

#[test]
fn by_default_two_requests_a_second_are_made() {
    let Some(server) = Server::start() else { return };
    let mut command = server.keytrail("111122223333", ["analyze", "-q", "lookup:us-east-1"]);
    let mut process = command.spawn().expect("the command runs");
    while request_times(&server).len() < 6 {
        std::thread::sleep(Duration::from_millis(50));
    }
    process.kill().expect("it runs still");
    process.wait().expect("it ends");
    let times = request_times(&server);
    assert!(times[5] - times[0] >= 2.4, "{times:?}");
}

#[test]
fn a_window_is_asked_for_with_what_may_decide_before_it() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    document(&analyze(&server, &incident, &["--since", "2h", "--lookback", "3h"]));
    let now = request_times(&server)[0];
    let hours_back = |name: &str| {
        let requests = server.requests();
        let request = requests.iter().find(|request| {
            request["detail"].as_str().expect("a body").contains(&format!("\"AttributeValue\":\"{name}\""))
        });
        let body = request.expect("it was asked")["detail"].as_str().expect("a body").to_owned();
        let body: Value = serde_json::from_str(&body).expect("a body is JSON");
        assert!(body["EndTime"].is_null(), "{body}");
        body["StartTime"].as_f64().map(|start| ((now - start) / 360.0).round() / 10.0)
    };
    assert_eq!(hours_back("RunInstances"), Some(5.0));
    assert_eq!(hours_back("CreateLaunchTemplate"), Some(5.0));
    assert_eq!(hours_back("Decrypt"), Some(2.2));
    assert_eq!(hours_back("PutKeyPolicy"), None);
}

#[test]
fn what_is_saved_gives_the_same_answer_later() {
    let Some(server) = Server::start() else { return };
    let incident = Incident::of_sample(SAMPLE);
    server.add_events(&incident.records, Duration::ZERO);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("its path is UTF-8");
    let looked_up = document(&analyze(&server, &incident, &["--save-to", path]));
    drop(server);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(["analyze", "-q", "-o", "json", "--all-launches", path])
        .output()
        .expect("the command runs");
    let saved = document(&output);
    assert_same(&without_origins(looked_up), &without_origins(saved));
}
