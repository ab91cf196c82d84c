//! How nodes ended.

use super::record::*;

const A: &str = "i-0a";
const MINUTE: i64 = 60;

/// A node whose volumes opened, and more.
fn node_with(more: &[Record]) -> String {
    let launch = [configured(KEY), launch(0, &[A], "r1")];
    end_of(&all(&[&launch, &opened(1, "vol-0a", A, KEY, "r1"), more]))
}

fn refused_with(more: &[Record]) -> String {
    let launch = [configured(KEY), launch(0, &[A], "r1"), refused(1, "CreateGrant", KEY, "r1")];
    end_of(&all(&[&launch, more]))
}

fn end_of(records: &[Record]) -> String {
    let case = case(records);
    says(&case, A).rsplit_once(' ').expect("four words").1.to_owned()
}

fn ended_at(records: &[Record]) -> Option<i64> {
    let case = case(records);
    let node = node(&case, A);
    Some(node.ended_at?.second() - node.launched_at?.second())
}

fn by_person(record: Record) -> Record {
    record.by(person(), AWS_CLI)
}

#[test]
fn no_end_in_the_archive_is_no_end() {
    assert_eq!(node_with(&[]), "-");
    assert_eq!(node_with(&[registered(60, A)]), "-");
}

#[test]
fn a_refusal_ends_a_node_when_ec2_cleans_up_or_else_at_the_refusal() {
    assert_eq!(refused_with(&[]), "kms-denied");
    assert_eq!(refused_with(&[cleaned_up(15, "r1")]), "kms-denied");
    let launch = [launch(0, &[A], "r1"), refused(1, "CreateGrant", KEY, "r1")];
    assert_eq!(ended_at(&launch), Some(1));
    assert_eq!(ended_at(&all(&[&launch, &[cleaned_up(15, "r1")]])), Some(15));
}

#[test]
fn a_refused_node_is_not_killed_again_by_who_comes_later() {
    for previous in ["pending", "shutting-down", "terminated"] {
        assert_eq!(refused_with(&[terminate(15 * MINUTE, A, previous)]), "kms-denied", "{previous}");
        assert_eq!(refused_with(&[by_person(terminate(40, A, previous))]), "kms-denied", "{previous}");
    }
}

#[test]
fn a_node_that_was_running_when_ended_did_not_die_of_a_refusal() {
    assert_eq!(refused_with(&[by_person(terminate(3600, A, "running"))]), "terminated-by-principal");
}

#[test]
fn a_caller_that_may_not_decrypt_does_not_kill_its_node() {
    // EC2 opens volumes with the grants: the caller's own right to decrypt is not needed.
    assert_eq!(node_with(&[refused(1, "Decrypt", KEY, "r1")]), "-");
}

#[test]
fn a_refusal_whose_retry_went_well_does_not_kill_a_node_that_opened_its_volume() {
    assert_eq!(node_with(&[refused(0, "GenerateDataKeyWithoutPlaintext", KEY, "r1")]), "-");
}

#[test]
fn an_aborted_launch_has_its_network_interface_removed_or_is_found_dying() {
    assert_eq!(end_of(&[launch(0, &[A], "r1"), cleaned_up(15, "r1")]), "launch-aborted");
    assert_eq!(end_of(&[launch(0, &[A], "r1"), cleaned_up(15, "r2")]), "-", "another request");
    assert_eq!(end_of(&[launch(0, &[A], "r1"), terminate(40, A, "shutting-down")]), "launch-aborted?");
    assert_eq!(end_of(&[launch(0, &[A], "r1"), terminate(40, A, "terminated")]), "launch-aborted?");
}

#[test]
fn an_instance_that_was_dead_already_was_not_terminated_by_who_finds_it() {
    // Liveness and garbage collection come after a quarter of an hour; the instance had died long before.
    let found_dead = [launch(0, &[A], "r1"), terminate(15 * MINUTE + 10, A, "terminated")];
    assert_ne!(end_of(&found_dead), "terminated-by-karpenter");
    assert_ne!(end_of(&found_dead), "terminated-by-karpenter?");
}

#[test]
fn an_unregistered_node_ended_by_karpenter_after_a_quarter_of_an_hour_timed_out() {
    for (second, previous, end) in [
        (13 * MINUTE, "running", "terminated-by-karpenter"),
        (14 * MINUTE, "running", "registration-timeout?"),
        (15 * MINUTE + 10, "running", "registration-timeout?"),
        (15 * MINUTE, "pending", "registration-timeout?"),
        (16 * MINUTE, "running", "registration-timeout?"),
        (17 * MINUTE, "running", "terminated-by-karpenter"),
    ] {
        assert_eq!(node_with(&[terminate(second, A, previous)]), end, "{second} s, {previous}");
    }
    let tagged = [registered(60, A), terminate(15 * MINUTE, A, "running")];
    assert_eq!(node_with(&tagged), "terminated-by-karpenter");
    assert_eq!(node_with(&[by_person(terminate(15 * MINUTE, A, "running"))]), "terminated-by-principal");
}

#[test]
fn karpenter_hears_of_an_interruption_first() {
    let karpenters = || terminate(600, A, "running");
    let spot = "spot-interruption";
    assert_eq!(node_with(&[evicted(600, &[A])]), spot);
    assert_eq!(node_with(&[karpenters(), evicted(720, &[A])]), spot);
    assert_eq!(node_with(&[evicted(600, &[A]), terminate(720, A, "shutting-down")]), spot);
    assert_eq!(node_with(&[evicted(600, &["i-0c", A, "i-0d"])]), spot);
    assert_eq!(node_with(&[karpenters(), evicted(720, &["i-0c"])]), "terminated-by-karpenter");
    let persons = by_person(terminate(500, A, "running"));
    assert_eq!(node_with(&[persons, evicted(600, &[A])]), "terminated-by-principal");
}

#[test]
fn an_attempt_that_failed_ends_nothing() {
    for code in
        ["Client.UnauthorizedOperation", "Client.DryRunOperation", "Client.InvalidInstanceID.NotFound"]
    {
        assert_eq!(node_with(&[by_person(terminate(600, A, "running")).fails(code, "x")]), "-", "{code}");
    }
    let failed = by_person(terminate(600, A, "running")).fails("Client.UnauthorizedOperation", "x");
    assert_eq!(node_with(&[failed, evicted(900, &[A])]), "spot-interruption");
}

#[test]
fn one_call_ends_many() {
    let states: Vec<String> = ["i-0a", "i-0b", "i-0c"]
        .iter()
        .map(|id| format!(r#"{{"instanceId":"{id}","previousState":{{"code":16,"name":"running"}}}}"#))
        .collect();
    let batch = terminate(600, A, "running")
        .answers(format!(r#"{{"instancesSet":{{"items":[{}]}}}}"#, states.join(",")));
    let records = [launch(0, &[A], "r1"), launch(0, &["i-0b"], "r2"), launch(0, &["i-0c"], "r3"), batch];
    let case = case(&records);
    for instance in ["i-0a", "i-0b", "i-0c"] {
        assert_eq!(says(&case, instance), "unknown unknown [] terminated-by-karpenter");
    }
}

#[test]
fn auto_scaling_is_told_from_people() {
    let service = Record::new(600, "autoscaling", "TerminateInstanceInAutoScalingGroup")
        .by(person(), AWS_CLI)
        .asks(r#"{"instanceId":"i-0a","shouldDecrementDesiredCapacity":true}"#);
    assert_eq!(node_with(&[service]), "terminated-by-autoscaling");
    let role = role_session(
        ACCOUNT,
        "AWSServiceRoleForAutoScaling",
        "AutoScaling",
        Some("autoscaling.amazonaws.com"),
    );
    let ec2 = terminate(600, A, "running").by(role, "autoscaling.amazonaws.com");
    assert_eq!(node_with(&[ec2]), "terminated-by-autoscaling");
}

#[test]
fn the_actor_is_the_role_or_the_user() {
    let records = [launch(0, &[A], "r1"), by_person(terminate(600, A, "running"))];
    let case = case(&records);
    let end = node(&case, A).termination.as_ref().expect("an end");
    assert_eq!(end.actor.as_deref(), Some("arn:aws:iam::111122223333:user/anna"));
    let denied = [launch(0, &[A], "r1"), refused(1, "CreateGrant", KEY, "r1")];
    let case = super::record::case(&denied);
    let end = node(&case, A).termination.as_ref().expect("an end");
    assert_eq!(end.actor.as_deref(), Some("arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"));
}

#[test]
fn ends_of_unknown_instances_by_others_are_no_nodes() {
    assert!(case(&[by_person(terminate(0, "i-0f", "running"))]).nodes.is_empty());
    assert!(case(&[evicted(0, &["i-0f"])]).nodes.is_empty());
    let failed = terminate(0, "i-0f", "running").fails("Client.InvalidInstanceID.NotFound", "x");
    assert!(case(&[failed]).nodes.is_empty());
}

#[test]
fn a_killed_launch_of_several_volumes_cites_every_refusal_and_the_launch() {
    let records = [
        launch(0, &[A], "r1").event_id("launch"),
        refused(1, "CreateGrant", KEY, "r1").event_id("one"),
        refused(1, "CreateGrant", OTHER, "r1").event_id("two"),
        cleaned_up(15, "r1").event_id("cleanup"),
    ];
    let case = case(&records);
    let end = node(&case, A).termination.as_ref().expect("an end");
    let mut cited: Vec<String> = end.evidence.iter().map(ToString::to_string).collect();
    cited.sort();
    assert_eq!(cited, ["cleanup", "launch", "one", "two"]);
}
