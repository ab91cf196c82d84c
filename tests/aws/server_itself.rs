//! The test server behaves as the service does: a test that passes against a wrong server proves nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sample;
use crate::server::Server;

const SAMPLE: &str = "03-create-grant-denied";

fn records() -> Vec<String> {
    sample::records(&sample::directory(SAMPLE))
}

/// Asks the history that the records belong to.
fn look_up(server: &Server, records: &[String], request: &Value) -> Value {
    let of = |name: &str| sample::member(&records[0], name);
    server.cloudtrail("LookupEvents", &of("recipientAccountId"), &of("awsRegion"), request)
}

fn ids(page: &Value) -> Vec<String> {
    let events = page["Events"].as_array().expect("a page has events");
    events.iter().map(|event| event["EventId"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn pages_hold_fifty_events_newest_first_and_lead_to_each_other() {
    let Some(server) = Server::start() else { return };
    let records = records();
    assert!(records.len() > 50, "more than a page: {}", records.len());
    server.add_events(&records, Duration::ZERO);
    let (mut seen, mut times, mut token) = (Vec::new(), Vec::new(), Value::Null);
    loop {
        let mut request = json!({ "MaxResults": 50 });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let page = look_up(&server, &records, &request);
        let events = page["Events"].as_array().expect("a page has events");
        assert!(events.len() <= 50);
        seen.extend(ids(&page));
        times.extend(events.iter().map(|event| event["EventTime"].as_i64().expect("a time")));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (records.len(), records.len()));
}

#[test]
fn attributes_times_and_regions_select_events() {
    let Some(server) = Server::start() else { return };
    let records = records();
    server.add_events(&records, Duration::ZERO);
    let launches: Vec<&String> =
        records.iter().filter(|record| sample::member(record, "eventName") == "RunInstances").collect();
    let by_name =
        json!({ "LookupAttributes": [{ "AttributeKey": "EventName", "AttributeValue": "RunInstances" }] });
    let ask = |request: &Value| ids(&look_up(&server, &records, request));
    assert_eq!(ask(&by_name).len(), launches.len());
    let account = sample::member(&records[0], "recipientAccountId");
    let elsewhere = |account: &str, region: &str| {
        ids(&server.cloudtrail("LookupEvents", account, region, &by_name)).len()
    };
    assert_eq!(elsewhere(&account, "eu-north-1"), 0, "another region has its own history");
    assert_eq!(
        elsewhere("777788889999", &sample::member(&records[0], "awsRegion")),
        0,
        "and so has another account"
    );
    let mut later = by_name.clone();
    later["StartTime"] = json!(4_000_000_000_i64);
    assert!(ask(&later).is_empty());
    let two = json!({ "LookupAttributes": [
        { "AttributeKey": "EventName", "AttributeValue": "RunInstances" },
        { "AttributeKey": "ReadOnly", "AttributeValue": "false" },
    ] });
    let refused = look_up(&server, &records, &two);
    assert_eq!(refused["__type"], "InvalidLookupAttributesException");
}

#[test]
fn a_token_serves_its_own_query_only() {
    let Some(server) = Server::start() else { return };
    let records = records();
    server.add_events(&records, Duration::ZERO);
    let page = look_up(&server, &records, &json!({ "MaxResults": 10 }));
    let other = json!({ "MaxResults": 10, "NextToken": page["NextToken"], "StartTime": 1 });
    let refused = look_up(&server, &records, &other);
    assert_eq!(refused["__type"], "InvalidNextTokenException");
}

#[test]
fn events_can_come_late() {
    let Some(server) = Server::start() else { return };
    let records = records();
    server.add_events(&records[..1], Duration::ZERO);
    server.add_events(&records[1..2], Duration::from_millis(600));
    let count = || ids(&look_up(&server, &records, &json!({}))).len();
    assert_eq!(count(), 1);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(count(), 2);
}

#[test]
fn faults_hit_as_often_as_asked() {
    let Some(server) = Server::start() else { return };
    server.fault(json!({ "kind": "throttle", "operation": "LookupEvents", "skip": 1, "times": 1 }));
    let errors: Vec<Value> = (0..3)
        .map(|_| server.cloudtrail("LookupEvents", "111122223333", "us-east-1", &json!({}))["__type"].clone())
        .collect();
    assert_eq!(errors, [Value::Null, json!("ThrottlingException"), Value::Null]);
    assert_eq!(server.count("LookupEvents"), 3);
}
