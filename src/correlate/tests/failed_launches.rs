//! Launches that made no instance.

use super::record::*;
use crate::correlate::Case;

fn failures(case: &Case) -> Vec<String> {
    case.launch_failures
        .iter()
        .map(|failure| format!("{} {} {}", failure.event_name, failure.error_code, failure.count))
        .collect()
}

fn failures_of(records: &[Record]) -> Vec<String> {
    failures(&case(records))
}

fn errors(codes: &[&str]) -> String {
    let items: Vec<String> = codes
        .iter()
        .map(|code| format!(r#"{{"errorCode":"{code}","errorMessage":"no","lifecycle":"spot","tag":1}}"#))
        .collect();
    format!("[{}]", items.join(","))
}

/// RunInstances inside the fleet, refused.
fn inner_attempt(code: &str) -> Record {
    launch_with(1, &[], "r5", &format!(r#""clientToken":"{FLEET}-0","#)).fails(code, "no")
}

#[test]
fn a_fleet_that_made_nothing_fails_once_per_code() {
    let codes = ["InsufficientInstanceCapacity", "UnfulfillableCapacity", "InsufficientInstanceCapacity"];
    let case = case(&[fleet(0, "\"\"", &errors(&codes))]);
    assert_eq!(
        failures(&case),
        ["CreateFleet InsufficientInstanceCapacity 2", "CreateFleet UnfulfillableCapacity 1"]
    );
    let failure = &case.launch_failures[0];
    assert_eq!((failure.nodepool.as_deref(), failure.cluster.as_deref()), (Some("general"), Some("demo")));
    assert_eq!(failure.error_message.as_deref(), Some("no"));
    assert!(case.nodes.is_empty());
}

#[test]
fn one_error_may_be_an_object() {
    let item = r#"{"errorCode":"MaxSpotInstanceCountExceeded","errorMessage":"no"}"#;
    for set in [item.to_owned(), format!(r#"{{"item":{item}}}"#), format!(r#"{{"items":[{item}]}}"#)] {
        assert_eq!(
            failures_of(&[fleet(0, "{}", &set)]),
            ["CreateFleet MaxSpotInstanceCountExceeded 1"],
            "{set}"
        );
    }
}

#[test]
fn a_refused_fleet_fails_with_its_own_code() {
    for code in ["Client.UnauthorizedOperation", "UnauthorizedOperation", "Server.UnauthorizedOperation"] {
        let refused = fleet(0, "{}", "{}").fails(code, "You are not authorized");
        assert_eq!(failures_of(&[refused]), ["CreateFleet UnauthorizedOperation 1"]);
    }
}

#[test]
fn codes_with_and_without_prefix_are_one() {
    let codes = ["Client.VcpuLimitExceeded", "VcpuLimitExceeded", "Server.VcpuLimitExceeded"];
    assert_eq!(failures_of(&[fleet(0, "{}", &errors(&codes))]), ["CreateFleet VcpuLimitExceeded 3"]);
}

#[test]
fn a_partly_fulfilled_fleet_is_no_failure() {
    let partly = fleet(0, &fleet_item(r#"["i-0a"]"#), &errors(&["InsufficientInstanceCapacity"]));
    assert_eq!(failures_of(std::slice::from_ref(&partly)), [""; 0]);
    assert_eq!(case(std::slice::from_ref(&partly)).nodes.len(), 1);
    let inner = inner_attempt("Server.InsufficientInstanceCapacity");
    assert_eq!(failures_of(&[partly, inner]), [""; 0]);
}

#[test]
fn an_attempt_of_a_fleet_known_only_by_its_other_instances_is_no_failure() {
    // CreateFleet is missing; the fleet's second RunInstances went well.
    let second = launch_with(2, &["i-0a"], "r6", &format!(r#""clientToken":"{FLEET}-1","#));
    let template = configured(KEY);
    let case = case(&[template, inner_attempt("Server.InsufficientInstanceCapacity"), second]);
    assert_eq!(failures(&case), [""; 0]);
    assert_eq!(case.nodes.len(), 1);
}

#[test]
fn a_failed_fleet_and_its_failed_attempt_are_two_events() {
    let failed = fleet(0, "{}", &errors(&["InsufficientInstanceCapacity"]));
    let inner = inner_attempt("Server.InsufficientInstanceCapacity");
    assert_eq!(
        failures_of(&[failed, inner]),
        ["CreateFleet InsufficientInstanceCapacity 1", "RunInstances InsufficientInstanceCapacity 1"]
    );
}

#[test]
fn dry_runs_are_neither_launches_nor_failures() {
    let validation = |code: &str| {
        let empty = fleet(0, "{}", "{}");
        let text = empty.text(0);
        let request = text
            .split_once(r#""requestParameters":"#)
            .and_then(|(_, rest)| rest.split_once(r#","responseElements""#))
            .map(|(request, _)| request.replace(r#""Value":"general""#, r#""Value":"""#))
            .expect("a request");
        empty.asks(request).fails(code, "x")
    };
    assert_eq!(failures_of(&[validation("Client.DryRunOperation")]), [""; 0]);
    assert_eq!(failures_of(&[validation("DryRunOperation")]), [""; 0]);
    assert_eq!(failures_of(&[validation("Client.UnauthorizedOperation")]), [""; 0], "a refused validation");
    let flagged = |value: &str| {
        Record::new(0, "ec2", "CreateFleet")
            .asks(format!(r#"{{"CreateFleetRequest":{{"DryRun":{value},"Type":"instant"}}}}"#))
            .fails("Client.UnauthorizedOperation", "x")
    };
    assert_eq!(failures_of(&[flagged("true"), flagged("\"true\"")]), [""; 0]);
    let direct = launch_with(0, &[], "r1", "").by(session(ACCOUNT, SESSION, None), KARPENTER);
    for code in ["Client.DryRunOperation", "Client.UnauthorizedOperation"] {
        assert_eq!(
            failures_of(&[direct.clone().fails(code, "Encoded authorization failure message: x")]),
            [""; 0]
        );
    }
}

#[test]
fn failures_of_others_are_not_karpenters() {
    let persons = fleet(0, "{}", &errors(&["InsufficientInstanceCapacity"])).by(person(), AWS_CLI);
    assert_eq!(failures_of(std::slice::from_ref(&persons)), [""; 0]);
    assert_eq!(failures(&case_of_all(&[persons])).len(), 1);
    let role = role_session(
        ACCOUNT,
        "AWSServiceRoleForAutoScaling",
        "AutoScaling",
        Some("autoscaling.amazonaws.com"),
    );
    let groups = launch_with(0, &[], "r1", "")
        .by(role, "autoscaling.amazonaws.com")
        .fails("Client.VcpuLimitExceeded", "x");
    assert_eq!(failures_of(&[groups]), [""; 0]);
}

#[test]
fn an_answer_without_instances_and_errors_is_no_failure() {
    for answer in ["\"\"", "{}", "[]", "null"] {
        assert_eq!(failures_of(&[fleet(0, answer, answer)]), [""; 0]);
    }
    let omitted = fleet(0, "{}", "{}").answers(r#"{"omitted":true}"#);
    assert_eq!(failures_of(&[omitted]), [""; 0]);
}

#[test]
fn the_fleet_that_fails_does_not_refuse_a_key() {
    // KMS is asynchronous: a failed launch has no node, even with a refusal in the same second.
    let failed = fleet(0, "{}", &errors(&["UnauthorizedOperation"]));
    let case = case(&[failed, refused(1, "CreateGrant", KEY, "k1")]);
    assert!(case.nodes.is_empty());
    assert!(case.keys.is_empty());
}
