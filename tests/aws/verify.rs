//! `keytrail verify --wait` on the event history: evidence that comes in pieces turns inconclusive into pass, in one
//! run.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sample;
use crate::server::Server;

const SAMPLE: &str = "01-healthy";
const ACCOUNT: &str = "111122223333";

/// Records of a sample: launches and configuration; keys of the first launch; the other keys.
fn pieces() -> [Vec<String>; 3] {
    let records = sample::records(&sample::directory(SAMPLE));
    let is_kms = |record: &String| sample::member(record, "eventSource") == "kms.amazonaws.com";
    let (keys, others): (Vec<String>, Vec<String>) = records.into_iter().partition(is_kms);
    let mut launches: Vec<&String> =
        others.iter().filter(|record| sample::member(record, "eventName") == "RunInstances").collect();
    launches.sort_by_key(|record| sample::member(record, "eventTime"));
    let of = |request: &String| keys.iter().any(|key| sample::member(key, "requestID") == *request);
    let requests = launches.iter().map(|record| sample::member(record, "requestID"));
    let request = requests.into_iter().find(of).expect("a launch with keys");
    let (some, rest) = keys.into_iter().partition(|record| sample::member(record, "requestID") == request);
    [others, some, rest]
}

fn verify(server: &Server, arguments: &[&str]) -> Output {
    server
        .keytrail(ACCOUNT, ["verify", "lookup:eu-west-1", "--lookup-rate", "1000", "-o", "json"])
        .args(arguments)
        .output()
        .expect("the command runs")
}

fn document(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn evidence_in_pieces_turns_inconclusive_into_pass_in_one_run() {
    let Some(server) = Server::start() else { return };
    let [launches, some, rest] = pieces();
    assert!(!some.is_empty() && !rest.is_empty(), "the evidence has two parts");
    server.add_events(&launches, Duration::from_secs(3));
    server.add_events(&some, Duration::from_secs(6));
    server.add_events(&rest, Duration::from_secs(10));
    let nothing = verify(&server, &[]);
    assert_eq!(nothing.status.code(), Some(3), "{}", String::from_utf8_lossy(&nothing.stderr));
    let begin = Instant::now();
    let output = verify(&server, &["--wait", "60s", "--poll-interval", "1s", "--min-nodes", "3"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(55), "it ends when the evidence is there");
    let document = document(&output);
    assert_eq!(document["result"], "pass");
    assert_eq!(document["wait"]["ended"], "complete");
    assert!(document["wait"]["looks"].as_u64().is_some_and(|looks| looks >= 4), "{}", document["wait"]);
    for part in ["0 nodes launched, 3 wanted", "3 nodes launched, 3 wanted; evidence missing for i-"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

#[test]
fn a_wait_that_runs_out_leaves_what_is_known() {
    let Some(server) = Server::start() else { return };
    let [launches, some, _] = pieces();
    server.add_events(&launches, Duration::ZERO);
    server.add_events(&some, Duration::ZERO);
    let output = verify(&server, &["--wait", "3s", "--poll-interval", "1s"]);
    // The first launch shows that KMS is recorded, and the history goes on for long after the others.
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let document = document(&output);
    assert_eq!(document["wait"]["ended"], "timed-out");
    let results: Vec<&str> = document["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["result"].as_str().expect("a result"))
        .collect();
    assert!(results.contains(&"pass") && results.contains(&"fail"), "{results:?}");
}

#[test]
fn a_look_that_fails_is_not_the_end_of_the_wait() {
    let Some(server) = Server::start() else { return };
    let [launches, some, rest] = pieces();
    server.add_events(&launches, Duration::ZERO);
    let mut child = server
        .keytrail(ACCOUNT, ["verify", "lookup:eu-west-1", "--lookup-rate", "1000", "-o", "json"])
        .args(["--wait", "60s", "--poll-interval", "1s"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    std::thread::sleep(Duration::from_secs(3));
    server.fault(serde_json::json!({"operation": "LookupEvents", "kind": "expired-token", "times": 1}));
    std::thread::sleep(Duration::from_secs(4));
    assert!(child.try_wait().expect("a process").is_none(), "it goes on");
    server.clear_faults();
    server.add_events(&some, Duration::ZERO);
    server.add_events(&rest, Duration::ZERO);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_bucket_that_fills_is_read_again() {
    let Some(server) = Server::start() else { return };
    let directory = sample::directory(SAMPLE);
    let empty = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(empty.path().join("other.txt"), "x").expect("it can be written");
    server.put_directory("trail", empty.path(), "elsewhere");
    let child = server
        .keytrail(ACCOUNT, ["verify", "s3://trail/AWSLogs", "-o", "json"])
        .args(["--wait", "60s", "--poll-interval", "1s"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    std::thread::sleep(Duration::from_secs(3));
    server.put_directory("trail", &directory.join("AWSLogs"), "AWSLogs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(document(&output)["wait"]["looks"].as_u64().is_some_and(|looks| looks >= 2));
}
