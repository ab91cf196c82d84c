use std::sync::Arc;

use serde_json::{Value, json};

use super::{activity_of, write_ocsf};
use crate::correlate::Case;
use crate::event::{Detail, EbsDefault, IdentityKind, RELEVANCE_TABLE};
use crate::report::incident::{KARPENTER, RIGHT_KEY};
use crate::report::{Tool, incident, is_hazardous};
use crate::rules::Finding;

const TOOL: Tool<'static> = Tool { name: "keytrail", version: "1.2.3" };

fn lines(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    write_ocsf(&mut bytes, case, findings, TOOL).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

/// The events, each of which follows the schema.
fn events(case: &Case, findings: &[Finding]) -> Vec<Value> {
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schema-ocsf.json")).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let events: Vec<Value> = lines(case, findings)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    for event in &events {
        let errors: Vec<String> =
            validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?} in {event:#}");
        let type_uid = 600_300 + event["activity_id"].as_u64().expect("a number");
        assert_eq!(event["type_uid"].as_u64(), Some(type_uid));
    }
    events
}

#[test]
fn every_cited_event_follows_the_schema() {
    let events = events(&incident::case(), &incident::findings());
    let names: Vec<&str> = events.iter().filter_map(|event| event["api"]["operation"].as_str()).collect();
    assert_eq!(
        names,
        [
            "RunInstances",
            "GenerateDataKeyWithoutPlaintext",
            "CreateGrant",
            "BidEvictedEvent",
            "CreateFleet",
            "TerminateInstances"
        ]
    );
}

#[test]
fn a_refusal_is_a_failure_as_severe_as_its_finding() {
    let events = events(&incident::case(), &incident::findings());
    let refusal = &events[2];
    assert_eq!(refusal["time"], 1_772_445_902_000_u64);
    assert_eq!((&refusal["severity_id"], &refusal["severity"]), (&json!(5), &json!("Critical")));
    assert_eq!((&refusal["status_id"], &refusal["status_code"]), (&json!(2), &json!("AccessDenied")));
    assert_eq!(refusal["api"]["response"]["error"], "AccessDenied");
    assert!(refusal["status_detail"].as_str().is_some_and(|text| text.contains("no identity-based policy")));
    assert_eq!(refusal["actor"]["session"]["issuer"], KARPENTER);
    assert_eq!(refusal["src_endpoint"], json!({"ip": "192.0.2.10"}));
    assert_eq!(refusal["resources"][0]["uid"], RIGHT_KEY);
    assert_eq!(refusal["resources"][0]["owner"]["account"]["uid"], "111122223333");
    let node = &refusal["enrichments"][0];
    assert_eq!(
        (&node["value"], &node["data"]["key_verdict"]),
        (&json!("i-0cccccccccccccccc"), &json!("denied"))
    );
    let launch = &events[0];
    assert_eq!((&launch["severity_id"], &launch["status_id"]), (&json!(1), &json!(1)));
    assert!(launch["api"].get("response").is_none() && launch.get("status_code").is_none());
}

#[test]
fn what_a_finding_only_compares_with_is_for_information() {
    let case = incident::case();
    let mut findings = incident::findings();
    findings[0].evidence.insert(0, case.events[0].event_id.clone());
    let severities: Vec<Value> =
        events(&case, &findings).into_iter().map(|event| event["severity_id"].clone()).collect();
    assert_eq!(severities, [1, 1, 5, 1, 1, 1]);
}

#[test]
fn every_call_that_matters_has_an_activity() {
    let others: Vec<&str> =
        RELEVANCE_TABLE.iter().map(|(_, name, _)| *name).filter(|name| activity_of(name).0 == 99).collect();
    assert_eq!(others, ["BidEvictedEvent", "SharedSnapshotVolumeCreated"], "no calls, but notices");
    for (name, activity) in [
        ("RunInstances", "Create"),
        ("Decrypt", "Read"),
        ("GenerateDataKeyWithoutPlaintext", "Read"),
        ("PutKeyPolicy", "Update"),
        ("DisableKey", "Update"),
        ("TerminateInstances", "Delete"),
        ("TerminateInstanceInAutoScalingGroup", "Delete"),
        ("RetireGrant", "Delete"),
    ] {
        assert_eq!(activity_of(name).1, activity, "{name}");
    }
}

#[test]
fn what_is_not_known_is_left_out_and_the_schema_still_holds() {
    let mut case = incident::case();
    let event = &mut case.events[0];
    event.identity = Arc::default();
    event.user_agent = "".into();
    event.source_ip = "".into();
    event.detail = Detail::EbsDefault(EbsDefault::Encryption(true));
    let events = events(&case, &[]);
    assert_eq!(events[0]["actor"], json!({"user": {"name": "Unknown", "type_id": 0, "type": "Unknown"}}));
    assert_eq!(events[0]["src_endpoint"], json!({"name": "Unknown"}));
    assert!(events[0].get("http_request").is_none() && events[0].get("observables").is_none());
}

#[test]
fn services_are_no_addresses() {
    let mut case = incident::case();
    for (index, source) in
        ["ec2fleet.amazonaws.com", "AWS Internal", "vpce.example.com", "2001:db8::1"].iter().enumerate()
    {
        case.events[index].source_ip = (*source).into();
        let identity = Arc::make_mut(&mut case.events[index].identity);
        identity.kind = IdentityKind::AwsService;
    }
    let events = events(&case, &incident::findings());
    let endpoints: Vec<&Value> = events.iter().take(4).map(|event| &event["src_endpoint"]).collect();
    assert_eq!(
        endpoints,
        [
            &json!({"svc_name": "ec2fleet.amazonaws.com"}),
            &json!({"name": "AWS Internal"}),
            &json!({"domain": "vpce.example.com"}),
            &json!({"ip": "2001:db8::1"})
        ]
    );
}

#[test]
fn texts_are_those_of_the_log_and_steer_no_screen() {
    let text = lines(&incident::hostile_case(), &incident::hostile_findings());
    assert_eq!(text.replace('\n', "").find(is_hazardous), None);
    let events = events(&incident::hostile_case(), &incident::hostile_findings());
    assert_eq!(events[0]["http_request"]["user_agent"], incident::HOSTILE);
}

#[test]
fn an_event_of_many_nodes_names_the_first_of_them() {
    let mut case = incident::case();
    let launch = case.nodes[0].clone();
    case.nodes = vec![launch; 500];
    let events = events(&case, &[]);
    assert_eq!(events[0]["enrichments"].as_array().map(Vec::len), Some(50));
    assert_eq!(events[0]["unmapped"]["keytrail_nodes"], 500);
}
