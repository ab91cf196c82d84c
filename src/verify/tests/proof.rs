//! What is no proof: parts of the evidence, and devices that only look as if they had their keys.

use super::{asked, flag, is_failure, is_inconclusive, later, launch_under, passes, told};
use crate::correlate::{Expectations, Filter, KeyVerdict, Provisioner, Question};
use crate::manifest::parse_terraform;
use crate::rules;
use crate::rules::testing::{FOREIGN_KEY, KEY, Log, OTHER_KEY, ROLE, instance, volume};
use crate::verify::{Check, Demand, Outcome, Verification, verify};

/// Whether analysis and verification agree: a node whose verdict is no match proves nothing.
fn no_other_verdict_passes(verification: &Verification) {
    for node in &verification.nodes {
        let is_good = matches!(node.key_verdict, KeyVerdict::Match | KeyVerdict::NoExpectation);
        assert!(is_good || node.result != Outcome::Pass, "{node:?} in: {}", told(verification));
    }
}

/// A launch under an account default that was set before, from a template with a device that names `KEY` and one
/// that names none; one volume per key.
fn partly_by_default(keys: &[&str]) -> Verification {
    let mut log = Log::new();
    log.default_key("07:00:00", OTHER_KEY);
    let ebs = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
    log.template_with("08:00:00", &[("/dev/xvda", &ebs), ("/dev/xvdb", r#""Encrypted":true"#)]);
    log.launch("a", "10:00:00");
    for (name, key) in ["a", "b"].iter().zip(keys) {
        log.data_key_of("a", "10:00:01", &volume(name), key, key);
        log.grant_of("a", "10:00:01", &volume(name), key);
    }
    log.registered("a", "10:01:00").evicted("a", "10:40:00");
    let verification = asked(&log, &Question::default());
    no_other_verdict_passes(&verification);
    verification
}

#[test]
fn a_device_that_names_a_key_may_not_be_under_the_default_that_another_device_may_have() {
    passes(&partly_by_default(&[KEY, OTHER_KEY]));
    let both = partly_by_default(&[OTHER_KEY, OTHER_KEY]);
    assert_eq!(both.result, Outcome::Fail, "{}", told(&both));
    let named = partly_by_default(&[KEY, KEY]);
    assert_eq!(named.result, Outcome::Inconclusive, "{}", told(&named));
}

#[test]
fn a_verdict_that_is_no_match_never_passes() {
    let mut log = launch_under(KEY);
    let demand = Demand { filter: &Filter::default(), expectations: &Expectations::default(), nodes_min: 1 };
    for verdict in [KeyVerdict::Mismatch, KeyVerdict::Denied, KeyVerdict::Unknown, KeyVerdict::Unencrypted] {
        let mut case = log.case_for(&Question::default());
        let findings = rules::evaluate(&case);
        passes(&verify(&case, &findings, demand));
        case.nodes[0].key_verdict = verdict;
        let verification = verify(&case, &findings, demand);
        assert_ne!(verification.result, Outcome::Pass, "{verdict:?}");
        no_other_verdict_passes(&verification);
    }
    log.healthy("b", "10:05:00", OTHER_KEY).launch("c", "10:06:00");
    for key in [KEY, OTHER_KEY, FOREIGN_KEY, "alias/nowhere"] {
        no_other_verdict_passes(&asked(&log, &flag(key)));
    }
}

#[test]
fn a_data_key_alone_is_no_proof() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:01", KEY);
    let (call, code) = ("CreateGrant", "ThrottlingException");
    log.kms_error("a", "10:00:02", call, code, "Rate exceeded", ROLE);
    later(&mut log);
    is_inconclusive(&asked(&log, &Question::default()), Check::VolumeKey, "not that the volume was opened");
    // A grant shows that EC2 went on, and a node that registered has its volumes.
    for is_granted in [true, false] {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:01", KEY);
        if is_granted {
            log.grant("a", "10:00:02", KEY);
        } else {
            log.registered("a", "10:01:00");
        }
        later(&mut log);
        passes(&asked(&log, &Question::default()));
    }
}

#[test]
fn an_unknown_number_of_volumes_needs_records_beyond_the_launch() {
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY);
    let early = asked(&log, &flag(KEY));
    is_inconclusive(&early, Check::VolumeCount, "less than two minutes");
    assert!(early.is_waiting());
    later(&mut log);
    passes(&asked(&log, &flag(KEY)));
    // Another node of the same template and image has two.
    log.healthy("b", "10:05:00", KEY);
    log.data_key_of("b", "10:05:01", &volume("c"), KEY, KEY).grant_of("b", "10:05:01", &volume("c"), KEY);
    is_inconclusive(&asked(&log, &flag(KEY)), Check::VolumeCount, "another node of the same launch template");
}

#[test]
fn volumes_of_a_launch_template_of_terraform_are_counted() {
    let mapping = |device: &str| {
        format!(r#"{{"device_name":"{device}","ebs":[{{"encrypted":"true","kms_key_id":"{KEY}"}}]}}"#)
    };
    let question = |mappings: &str| {
        let text = format!(
            r#"{{"format_version":"1.0","values":{{"root_module":{{"resources":[{{"address":"aws_launch_template.nodes","mode":"managed","type":"aws_launch_template","name":"nodes","values":{{"id":"lt-0aaaaaaaaaaaaaaaa","name":"nodes","latest_version":1,"block_device_mappings":[{mappings}]}}}}]}}}}}}"#
        );
        let manifest = parse_terraform("state.json", &text).expect("a state");
        Question { expectations: Expectations { manifest, ..Expectations::default() }, ..Question::default() }
    };
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY);
    later(&mut log);
    passes(&asked(&log, &question(&mapping("/dev/xvda"))));
    let both = question(&format!("{},{}", mapping("/dev/xvda"), mapping("/dev/xvdb")));
    is_inconclusive(&asked(&log, &both), Check::VolumeCount, "a volume are missing");
}

#[test]
fn a_fleet_that_made_fewer_instances_for_their_key_fails() {
    let with_errors = |code: &str| {
        let mut log = launch_under(KEY);
        log.by_terraform(
            "10:00:00",
            ("ec2", "CreateFleet"),
            &format!(
                r#""requestParameters":{{"CreateFleetRequest":{{"Type":"instant"}}}},"responseElements":{{"CreateFleetResponse":{{"fleetId":"fleet-aaaaaaaa-0000-4000-8000-000000000000","fleetInstanceSet":{{"item":{{"instanceType":"m6i.xlarge","lifecycle":"on-demand","instanceIds":{{"item":"{}"}}}}}},"errorSet":{{"item":{{"errorCode":"{code}","errorMessage":"no","lifecycle":"on-demand"}}}}}}}},"requestID":"d6828ca3-0d93-4abe-96f2-3cc612c9d8cf""#,
                instance("a")
            ),
        );
        asked(&log, &Question::default())
    };
    is_failure(&with_errors("InvalidKMSKey.InvalidState"), Check::LaunchesMade, "for their key");
    passes(&with_errors("InsufficientInstanceCapacity"));
}

#[test]
fn a_node_of_auto_mode_has_two_volumes() {
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY);
    later(&mut log);
    let question = flag(KEY);
    let judged = |log: &Log| {
        let mut case = log.case_for(&question);
        case.nodes[0].provisioner = Provisioner::EksAutoMode;
        let findings = rules::evaluate(&case);
        let demand = Demand { filter: &question.filter, expectations: &question.expectations, nodes_min: 1 };
        verify(&case, &findings, demand)
    };
    is_inconclusive(&judged(&log), Check::VolumeCount, "a volume are missing");
    log.data_key_of("a", "10:00:01", &volume("b"), KEY, KEY).grant_of("a", "10:00:01", &volume("b"), KEY);
    passes(&judged(&log));
}
