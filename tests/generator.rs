//! The generator of records: shapes, containers, delivery and the endless stream of launches.

mod support;

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::Value;
use support::archive;
use support::cluster::{Mapping, NodePool};
use support::container;
use support::incident::{FleetPlan, Incident, NodePlan, VolumePlan};
use support::kms::{Call, Refusal};
use support::noise::Noise;
use support::record::{Record, second};
use support::stream::Launches;

fn incident_records() -> Vec<Record> {
    let mut incident = Incident::new(7, "111122223333", "eu-west-1", "demo", "2026-01-20");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let time = incident.at("10:05:00");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);
    let noise = Noise::steady(incident.at("10:00:00"), incident.at("10:20:00"));
    incident.make_noise(noise);
    incident.take()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("the generator writes JSON")
}

fn event_ids<'a>(records: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    records.into_iter().map(|record| record["eventID"].as_str().expect("an event id").to_owned()).collect()
}

fn all_event_ids(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.event_id.clone()).collect()
}

/// Names of an object's members in the order of the text.
fn member_names(text: &str) -> Vec<String> {
    let (mut names, mut depth, mut word, mut in_word, mut is_escaped) =
        (Vec::new(), 0, String::new(), false, false);
    for character in text.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                in_word = !in_word;
                if in_word {
                    word.clear();
                }
            }
            _ if in_word => word.push(character),
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 1 => names.push(word.clone()),
            _ => {}
        }
    }
    names
}

#[test]
fn members_stand_in_cloudtrails_order() {
    const ORDER: [&str; 26] = [
        "eventVersion",
        "userIdentity",
        "eventTime",
        "eventSource",
        "eventName",
        "awsRegion",
        "sourceIPAddress",
        "userAgent",
        "errorCode",
        "errorMessage",
        "requestParameters",
        "responseElements",
        "additionalEventData",
        "requestID",
        "eventID",
        "readOnly",
        "resources",
        "eventType",
        "managementEvent",
        "recipientAccountId",
        "sharedEventID",
        "serviceEventDetails",
        "vpcEndpointId",
        "vpcEndpointAccountId",
        "eventCategory",
        "tlsDetails",
    ];
    for record in incident_records() {
        let places: Vec<usize> = member_names(&record.text)
            .iter()
            .map(|name| ORDER.iter().position(|known| known == name).unwrap())
            .collect();
        assert!(places.is_sorted(), "{}", record.text);
    }
}

#[test]
fn what_kms_logs_of_a_launch_carries_its_request_id() {
    let records = incident_records();
    let launch = records.iter().find(|record| record.name == "RunInstances").unwrap();
    let request_id = value(&launch.text)["requestID"].as_str().unwrap().to_owned();
    let names: Vec<&str> = records
        .iter()
        .filter(|record| value(&record.text)["requestID"] == request_id.as_str())
        .map(|record| record.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["RunInstances", "GenerateDataKeyWithoutPlaintext", "CreateGrant", "CreateGrant", "Decrypt"]
    );
}

#[test]
fn a_refusal_names_the_key_in_its_message_only() {
    let mut incident = Incident::new(8, "111122223333", "eu-west-1", "demo", "2026-01-20");
    let key = incident.key();
    let time = incident.at("10:05:00");
    let template = incident.launch_template(time - 4, &[]);
    let principal = incident.launching_session_arn(time);
    let refusal = Refusal::by_identity_policy(Call::CreateGrant, &principal, "kms:CreateGrant", &key);
    let volume = VolumePlan::under(&key).refused(refusal);
    incident.launch(time, &NodePool::new("general", "default"), &template, vec![volume]);
    let records = incident.take();
    let refused = value(&records.iter().find(|record| record.text.contains("errorCode")).unwrap().text);
    assert_eq!(refused["requestParameters"], Value::Null);
    assert_eq!(refused.get("resources"), None);
    assert!(refused["errorMessage"].as_str().unwrap().contains(&key));
    assert_eq!(records.iter().filter(|record| record.name == "Decrypt").count(), 0);
}

#[test]
fn one_request_for_several_instances_has_one_run_instances() {
    let mut incident = Incident::new(9, "111122223333", "eu-west-1", "demo", "2026-01-20");
    let time = incident.at("10:05:00");
    let template = incident.launch_template(time - 4, &[]);
    let plan = FleetPlan::new(
        time,
        &NodePool::new("general", "default"),
        &template,
        vec![NodePlan::new('a', Vec::new()); 3],
    );
    let nodes = incident.launch_fleet(&plan.in_one_request());
    let records = incident.take();
    let launches: Vec<_> = records.iter().filter(|record| record.name == "RunInstances").collect();
    assert_eq!(launches.len(), 1);
    let items = value(&launches[0].text)["responseElements"]["instancesSet"]["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 3);
    assert!(nodes.iter().all(|node| node.request_id == nodes[0].request_id));
}

#[test]
fn delivery_loses_nothing_and_shuffles() {
    let records = incident_records();
    let files = archive::bucket(1, records.clone());
    let mut found = BTreeSet::new();
    let mut out_of_order = 0;
    for file in &files {
        let content = value(&file.text);
        let content = content["Records"].as_array().unwrap();
        found.extend(event_ids(content));
        let times: Vec<i64> =
            content.iter().map(|record| second(record["eventTime"].as_str().unwrap())).collect();
        out_of_order += usize::from(!times.is_sorted());
        let mut inflated = String::new();
        flate2::read::MultiGzDecoder::new(&file.bytes[..]).read_to_string(&mut inflated).unwrap();
        assert_eq!(inflated, file.text);
        assert_eq!(file.bytes[4..8], [0; 4], "gzip with a time stamp");
    }
    assert_eq!(found, all_event_ids(&records));
    assert!(out_of_order > 0);
}

#[test]
fn every_container_holds_every_record() {
    let records = incident_records();
    let all = all_event_ids(&records);
    let whole = value(&container::records(&records));
    assert_eq!(event_ids(whole["Records"].as_array().unwrap()), all);
    assert_eq!(event_ids(value(&container::bare_array(&records)).as_array().unwrap()), all);
    let lines: Vec<Value> = container::json_lines(&records).lines().map(value).collect();
    assert_eq!(event_ids(&lines), all);
    let page = value(&container::lookup_page(&records, Some("next")));
    let inner: Vec<Value> = page["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| value(event["CloudTrailEvent"].as_str().unwrap()))
        .collect();
    assert_eq!(event_ids(&inner), all);
    let payload = value(&container::cloudwatch_logs(&records));
    let inner: Vec<Value> = payload["logEvents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| value(event["message"].as_str().unwrap()))
        .collect();
    assert_eq!(event_ids(&inner), all);
    let envelope = value(&container::event_bridge(&records[0]));
    assert_eq!(envelope["detail"]["eventID"], records[0].event_id.as_str());
}

#[test]
fn compressed_forms_inflate_to_the_text() {
    let text = container::json_lines(&incident_records());
    let (one, two) = text.as_bytes().split_at(text.len() / 2);
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(&container::gzip_members([one, two])[..])
        .read_to_end(&mut inflated)
        .unwrap();
    assert_eq!(inflated, text.as_bytes());
    let zstd = container::zstd(text.as_bytes());
    assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), text.as_bytes());
}

#[test]
fn the_stream_of_launches_is_the_same_every_time_and_repeats_no_id() {
    let batches: Vec<Vec<Record>> = Launches::new(3, 60, 10, 1).collect();
    assert_eq!(batches, Launches::new(3, 60, 10, 1).collect::<Vec<_>>());
    assert_eq!(batches.len(), 60);
    let records: Vec<Record> = batches.into_iter().flatten().collect();
    assert_eq!(all_event_ids(&records).len(), records.len());
    let refusals = records.iter().filter(|record| record.text.contains("\"errorCode\"")).count();
    assert_eq!(refusals, 3);
}

#[test]
fn the_stream_holds_one_launch_at_a_time() {
    const RECORDS_MAX: usize = 24;
    let longest = Launches::new(3, 200, 10, 2).map(|batch| batch.len()).max().unwrap();
    assert!(longest <= RECORDS_MAX, "{longest}");
}

#[test]
fn a_stream_written_to_files_can_be_read_back() {
    let root = tempfile::tempdir().unwrap();
    let written = archive::write_stream(root.path(), Launches::new(5, 40, 30, 0), 100).unwrap();
    let expected: Vec<Record> = Launches::new(5, 40, 30, 0).flatten().collect();
    assert_eq!(written.records, expected.len() as u64);
    assert_eq!(written.files, expected.len().div_ceil(100) as u64);
    let mut found = BTreeSet::new();
    let mut inflated_bytes = 0;
    for entry in walkdir::WalkDir::new(root.path()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let mut text = String::new();
            let file = std::fs::File::open(entry.path()).unwrap();
            flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
            inflated_bytes += text.len() as u64;
            found.extend(event_ids(value(&text)["Records"].as_array().unwrap()));
        }
    }
    assert_eq!(found, all_event_ids(&expected));
    assert_eq!(written.inflated_bytes, inflated_bytes);
}
