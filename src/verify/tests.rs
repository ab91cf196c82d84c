//! What passes, what fails, what does not tell: for every way to say which key is expected.

mod left_out;
mod overcome;
mod proof;
mod template_versions;

use super::{Assertion, Check, Demand, Outcome, Verification, verify};
use crate::correlate::{Confidence, Expectations, Filter, Question};
use crate::event::{Loss, LossKind};
use crate::manifest::{Manifest, parse_yaml};
use crate::rules;
use crate::rules::testing::{FOREIGN_KEY, KEY, Log, NO_IDENTITY_POLICY, OTHER_KEY, ROLE, instance, volume};

const KEY_ID: &str = "11111111-2222-3333-4444-555555555555";

/// Expectations from a flag.
fn flag(key: &str) -> Question {
    let expectations = Expectations { key: Some(key.into()), ..Expectations::default() };
    Question { expectations, ..Question::default() }
}

/// Expectations from a node class whose block device mappings are `mappings`, indented by four.
fn class(mappings: &str) -> Question {
    manifests(&format!(
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: default\nspec:\n  blockDeviceMappings:\n{mappings}"
    ))
}

fn manifests(text: &str) -> Question {
    let manifest = parse_yaml("default.yaml", text).expect("a manifest");
    Question { expectations: Expectations { manifest, ..Expectations::default() }, ..Question::default() }
}

fn mapping(device: &str, key: &str) -> String {
    format!(
        "  - deviceName: {device}\n    ebs:\n      encrypted: true\n      kmsKeyID: {key}\n      volumeSize: 100Gi\n"
    )
}

fn verified(log: &Log, question: &Question, nodes_min: usize) -> Verification {
    let case = log.case_for(question);
    let findings = rules::evaluate(&case);
    let demand = Demand { filter: &question.filter, expectations: &question.expectations, nodes_min };
    verify(&case, &findings, demand)
}

fn asked(log: &Log, question: &Question) -> Verification {
    verified(log, question, 1)
}

/// The assertions, one per line.
fn told(verification: &Verification) -> String {
    let line = |assertion: &Assertion| {
        let why = assertion.why.as_deref().unwrap_or_default();
        format!("{} {}: {} {why}\n", assertion.result.name(), assertion.id, assertion.text)
    };
    verification.assertions.iter().map(line).collect()
}

/// The one assertion on a check that did not pass.
fn only(verification: &Verification, check: Check, result: Outcome) -> &Assertion {
    let found: Vec<&Assertion> = verification
        .assertions
        .iter()
        .filter(|assertion| assertion.check == check && assertion.result == result)
        .collect();
    assert_eq!(found.len(), 1, "{check:?} {result:?} in: {}", told(verification));
    found[0]
}

fn is_inconclusive(verification: &Verification, check: Check, says: &str) {
    assert_eq!(verification.result, Outcome::Inconclusive, "{}", told(verification));
    let assertion = only(verification, check, Outcome::Inconclusive);
    let why = assertion.why.as_deref().expect("it says why");
    assert!(why.contains(says), "{why}");
    assert!(assertion.would_be_conclusive.is_some());
}

fn is_failure(verification: &Verification, check: Check, says: &str) {
    assert_eq!(verification.result, Outcome::Fail, "{}", told(verification));
    let assertion = only(verification, check, Outcome::Fail);
    assert!(assertion.text.contains(says), "{}", assertion.text);
    assert!(!assertion.evidence.is_empty(), "a failure cites events: {assertion:?}");
}

fn passes(verification: &Verification) {
    assert_eq!(verification.result, Outcome::Pass, "{}", told(verification));
}

/// A launch under `key`, and records that reach far beyond it.
fn launch_under(key: &str) -> Log {
    let mut log = Log::new();
    log.template(KEY).healthy("a", "10:00:00", key).registered("a", "10:01:00");
    later(&mut log);
    log
}

/// The archive goes on for longer than CloudTrail takes to deliver.
fn later(log: &mut Log) {
    log.default_key("10:40:00", OTHER_KEY);
}

#[test]
fn the_right_key_passes_for_every_way_to_expect_it() {
    let log = launch_under(KEY);
    for question in [
        Question::default(),
        flag(KEY),
        flag(KEY_ID),
        class(&mapping("/dev/xvda", KEY)),
        class(&mapping("/dev/xvda", KEY_ID)),
    ] {
        passes(&asked(&log, &question));
    }
}

#[test]
fn another_key_fails_for_every_way_to_expect_it() {
    let log = launch_under(OTHER_KEY);
    for question in [Question::default(), flag(KEY), class(&mapping("/dev/xvda", KEY))] {
        is_failure(&asked(&log, &question), Check::VolumeKey, OTHER_KEY);
    }
    // The node class of today asks for another key than the launch template did.
    let today = asked(&launch_under(KEY), &class(&mapping("/dev/xvda", OTHER_KEY)));
    is_failure(&today, Check::VolumeKey, "the key that its launch template named as of the launch");
}

#[test]
fn a_failure_names_the_line_of_the_manifest_that_sets_the_key() {
    let verification = asked(&launch_under(OTHER_KEY), &class(&mapping("/dev/xvda", KEY)));
    let location = only(&verification, Check::VolumeKey, Outcome::Fail).location.clone().expect("a place");
    assert_eq!((&*location.file, location.line), ("default.yaml", 10));
    let by_flag = asked(&launch_under(OTHER_KEY), &flag(KEY));
    assert_eq!(only(&by_flag, Check::VolumeKey, Outcome::Fail).location, None);
}

#[test]
fn no_launch_is_no_proof() {
    let mut log = Log::new();
    log.template(KEY);
    let verification = asked(&log, &flag(KEY));
    is_inconclusive(&verification, Check::NodesLaunched, "no launch of a node");
    assert!(verification.is_waiting());
}

#[test]
fn fewer_launches_than_wanted_are_no_proof() {
    let log = launch_under(KEY);
    is_inconclusive(&verified(&log, &Question::default(), 2), Check::NodesLaunched, "fewer launches");
    passes(&verified(&log, &Question::default(), 1));
    // Nobody can ask for a proof without a node.
    let empty = Log::new();
    assert_eq!(verified(&empty, &Question::default(), 0).result, Outcome::Inconclusive);
}

#[test]
fn launches_outside_the_window_do_not_count() {
    let log = launch_under(KEY);
    let from = crate::event::Timestamp::parse("2026-03-02T10:00:01Z");
    let filter = Filter { from, ..Filter::default() };
    let question = Question { filter, ..Question::default() };
    is_inconclusive(&asked(&log, &question), Check::NodesLaunched, "no launch of a node");
}

#[test]
fn no_expectation_is_no_proof() {
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY);
    later(&mut log);
    is_inconclusive(&asked(&log, &Question::default()), Check::KeyExpected, "does not hold the creation");
    passes(&asked(&log, &flag(KEY)));
}

#[test]
fn a_key_that_nobody_named_is_not_taken_for_expected() {
    let mut log = Log::new();
    log.template_with("08:00:00", &[("/dev/xvda", r#""Encrypted":true"#)]).healthy("a", "10:00:00", KEY);
    is_inconclusive(&asked(&log, &Question::default()), Check::KeyExpected, "does not show a default");
    passes(&asked(&log, &flag(KEY)));
    is_failure(&asked(&log, &flag(OTHER_KEY)), Check::VolumeKey, OTHER_KEY);
}

#[test]
fn a_default_that_the_archive_shows_decides_for_a_key_that_nobody_named() {
    let mut log = Log::new();
    log.template_with("08:00:00", &[("/dev/xvda", r#""Encrypted":true"#)]);
    log.default_key("09:00:00", KEY).healthy("a", "10:00:00", KEY);
    let verification = asked(&log, &Question::default());
    passes(&verification);
    assert!(verification.notices.iter().any(|notice| notice.text.contains("names no key")));
    // A default that changed between or after the launches is nobody's configuration.
    log.default_key("11:00:00", OTHER_KEY);
    is_inconclusive(&asked(&log, &Question::default()), Check::KeyExpected, "was changed at");
}

#[test]
fn a_volume_from_a_snapshot_without_a_key_is_no_proof() {
    let log = launch_under(KEY);
    let text = "  - deviceName: /dev/xvda\n    ebs:\n      encrypted: true\n      snapshotID: snap-0aaaaaaaaaaaaaaaa\n";
    is_inconclusive(&asked(&log, &class(text)), Check::KeyExpected, "made from snap-0aaaaaaaaaaaaaaaa");
    let with_key = format!("{text}      kmsKeyID: {KEY}\n");
    passes(&asked(&log, &class(&with_key)));
}

#[test]
fn a_placeholder_is_never_compared() {
    let verification = asked(&launch_under(KEY), &class(&mapping("/dev/xvda", "${KMS_KEY}")));
    is_inconclusive(&verification, Check::KeyExpected, "placeholder");
    assert!(!verification.is_waiting(), "no time will fill it in");
}

#[test]
fn an_alias_that_nothing_resolves_is_no_proof() {
    let log = launch_under(KEY);
    let mut question = flag("alias/nodes");
    is_inconclusive(&asked(&log, &question), Check::KeyExpected, "which key the alias led to");
    question.expectations.aliases.insert("alias/nodes".into(), KEY.into());
    let verification = asked(&log, &question);
    passes(&verification);
    let told = only(&verification, Check::KeyExpected, Outcome::Pass);
    assert!(told.text.contains("which --alias or Terraform resolves"), "{}", told.text);
}

#[test]
fn an_alias_that_moved_is_reported() {
    let mut log = Log::new();
    log.alias("06:00:00", "CreateAlias", "alias/nodes", OTHER_KEY).template("alias/nodes");
    log.healthy("a", "09:00:00", OTHER_KEY);
    log.alias("09:30:00", "UpdateAlias", "alias/nodes", KEY).healthy("b", "10:00:00", KEY);
    let verification = asked(&log, &Question::default());
    passes(&verification);
    assert!(verification.notices.iter().any(|notice| notice.rule == Some("KT204")));
    let told = &verification.assertions.iter().find(|assertion| assertion.check == Check::KeyExpected);
    assert!(told.expect("an expectation").text.ends_with("(written as alias/nodes) for /dev/xvda"));
}

#[test]
fn a_refused_key_fails_and_is_not_called_missing_evidence_too() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00");
    log.denied("a", "10:00:01", "GenerateDataKeyWithoutPlaintext", KEY, NO_IDENTITY_POLICY);
    let verification = asked(&log, &flag(KEY));
    is_failure(&verification, Check::KeyNotRefused, "for want of permission");
    assert_eq!(only(&verification, Check::KeyNotRefused, Outcome::Fail).findings, ["KT101"]);
    assert_eq!(verification.counts.inconclusive, 0, "{}", told(&verification));
    // The call may still have been made again with success: until records reach beyond that, there is hope.
    assert!(!verification.has_final_failure());
    later(&mut log);
    assert!(asked(&log, &flag(KEY)).has_final_failure());
}

#[test]
fn a_node_that_lived_was_not_refused() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00");
    log.denied("a", "10:00:01", "GenerateDataKeyWithoutPlaintext", KEY, NO_IDENTITY_POLICY);
    log.data_key("a", "10:00:02", KEY).grant("a", "10:00:02", KEY).registered("a", "10:01:00");
    passes(&asked(&log, &flag(KEY)));
}

#[test]
fn a_disabled_key_fails_by_its_state() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00");
    let message = format!("{KEY} is disabled.");
    log.kms_error("a", "10:00:01", "GenerateDataKeyWithoutPlaintext", "DisabledException", &message, ROLE);
    is_failure(&asked(&log, &Question::default()), Check::KeyNotRefused, "for the key's state");
}

#[test]
fn throttled_calls_are_no_refusal_and_no_proof() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00");
    let call = "GenerateDataKeyWithoutPlaintext";
    log.kms_error("a", "10:00:01", call, "ThrottlingException", "Rate exceeded", ROLE);
    later(&mut log);
    is_inconclusive(&asked(&log, &flag(KEY)), Check::Encrypted, "throttled");
}

#[test]
fn the_same_key_id_of_another_region_or_account_fails_with_its_own_words() {
    let east = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let west = "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let log = launch_under(east);
    passes(&asked(&log, &flag(east)));
    passes(&asked(&log, &flag("mrk-1234abcd12ab34cd56ef1234567890ab")));
    is_failure(
        &asked(&log, &flag(west)),
        Check::VolumeKey,
        "another region's key of the same id, in us-east-1 and not in us-west-2",
    );
    let log = launch_under(FOREIGN_KEY);
    is_failure(
        &asked(&log, &flag(KEY)),
        Check::VolumeKey,
        "another account, 444455556666 and not 111122223333",
    );
    passes(&asked(&log, &flag(FOREIGN_KEY)));
}

#[test]
fn a_launch_without_kms_events_is_no_proof_and_fails_only_where_others_show_the_recording() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00").registered("a", "10:01:00");
    let early = asked(&log, &Question::default());
    assert_eq!(early.result, Outcome::Inconclusive);
    assert!(early.is_waiting());
    // Another launch shows that the trail records KMS; but the first one's events may still be on their way.
    log.healthy("b", "10:05:00", KEY);
    let soon = asked(&log, &Question::default());
    is_inconclusive(&soon, Check::Encrypted, "less than 15 minutes after the launch");
    later(&mut log);
    let failed = asked(&log, &Question::default());
    is_failure(&failed, Check::Encrypted, "not encrypted");
    assert_eq!(only(&failed, Check::Encrypted, Outcome::Fail).confidence, Confidence::Inferred);
    // Who has time to wait waits: what is late would undo it.
    assert!(failed.is_waiting() && !failed.has_final_failure());
}

#[test]
fn a_trail_without_kms_events_is_no_proof() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00").registered("a", "10:01:00");
    later(&mut log);
    let verification = asked(&log, &flag(KEY));
    is_inconclusive(&verification, Check::Encrypted, "KMS events");
    assert_eq!(only(&verification, Check::Encrypted, Outcome::Inconclusive).findings, ["KT501"]);
}

#[test]
fn a_missing_volume_is_no_proof() {
    let mut log = Log::new();
    let ebs = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
    log.template_with("08:00:00", &[("/dev/xvda", &ebs), ("/dev/xvdb", &ebs)]);
    log.healthy("a", "10:00:00", KEY);
    later(&mut log);
    for question in [Question::default(), flag(KEY)] {
        is_inconclusive(&asked(&log, &question), Check::VolumeCount, "a volume are missing");
    }
    log.data_key_of("a", "10:00:01", &volume("b"), KEY, KEY).grant_of("a", "10:00:01", &volume("b"), KEY);
    for question in [Question::default(), flag(KEY)] {
        passes(&asked(&log, &question));
    }
}

#[test]
fn a_root_device_that_is_not_mapped_must_be_accounted_for() {
    let mut log = Log::new();
    let ebs = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
    // The image's root is /dev/xvda.
    log.template_with("08:00:00", &[("/dev/xvdb", &ebs)]).healthy("a", "10:00:00", KEY);
    later(&mut log);
    is_inconclusive(&asked(&log, &Question::default()), Check::VolumeCount, "the root device /dev/xvda");
    log.data_key_of("a", "10:00:01", &volume("b"), OTHER_KEY, OTHER_KEY);
    log.grant_of("a", "10:00:01", &volume("b"), OTHER_KEY);
    is_failure(&asked(&log, &Question::default()), Check::VolumeKey, OTHER_KEY);
}

#[test]
fn bottlerocket_has_two_volumes() {
    let bottlerocket = |mappings: &str| {
        manifests(&format!(
            "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: default\nspec:\n  amiFamily: Bottlerocket\n  blockDeviceMappings:\n{mappings}"
        ))
    };
    let (os, data) = (mapping("/dev/xvda", KEY), mapping("/dev/xvdb", KEY));
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY);
    later(&mut log);
    is_inconclusive(&asked(&log, &bottlerocket(&os)), Check::VolumeCount, "Bottlerocket's /dev/xvdb");
    let both = bottlerocket(&format!("{os}{data}"));
    is_inconclusive(&asked(&log, &both), Check::VolumeCount, "a volume are missing");
    log.data_key_of("a", "10:00:01", &volume("b"), KEY, KEY).grant_of("a", "10:00:01", &volume("b"), KEY);
    passes(&asked(&log, &both));
}

#[test]
fn a_mapping_that_asks_for_no_encryption_fails_once_kms_was_not_asked() {
    let mut log = Log::new();
    let ebs = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
    log.template_with("08:00:00", &[("/dev/xvda", &ebs), ("/dev/xvdb", r#""Encrypted":false"#)]);
    log.healthy("a", "10:00:00", KEY);
    assert_eq!(asked(&log, &flag(KEY)).result, Outcome::Inconclusive);
    later(&mut log);
    is_failure(&asked(&log, &flag(KEY)), Check::VolumeCount, "encrypted: false for /dev/xvdb");
}

#[test]
fn devices_with_different_keys_each_have_their_own() {
    let mut log = Log::new();
    let ebs = |key: &str| format!(r#""Encrypted":true,"KmsKeyId":"{key}""#);
    log.template_with("08:00:00", &[("/dev/xvda", &ebs(KEY)), ("/dev/xvdb", &ebs(OTHER_KEY))]);
    log.healthy("a", "10:00:00", KEY);
    assert_eq!(asked(&log, &Question::default()).result, Outcome::Inconclusive);
    let mut swapped = Log::new();
    swapped.template_with("08:00:00", &[("/dev/xvda", &ebs(KEY)), ("/dev/xvdb", &ebs(OTHER_KEY))]);
    swapped.healthy("a", "10:00:00", KEY);
    for (log, key) in [(&mut log, OTHER_KEY), (&mut swapped, KEY)] {
        log.data_key_of("a", "10:00:01", &volume("b"), key, key).grant_of("a", "10:00:01", &volume("b"), key);
    }
    passes(&asked(&log, &Question::default()));
    is_failure(&asked(&swapped, &Question::default()), Check::DeviceKeys, "The devices ask for");
}

#[test]
fn a_node_class_without_a_launch_is_not_proven_by_another() {
    let yaml = |name: &str| {
        format!(
            "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: {name}\nspec:\n  blockDeviceMappings:\n{}",
            mapping("/dev/xvda", KEY)
        )
    };
    let both = format!("{}---\n{}", yaml("default"), yaml("gpu"));
    let log = launch_under(KEY);
    is_inconclusive(&asked(&log, &manifests(&both)), Check::NodeClassLaunched, "other classes prove nothing");
    let pool = "---\napiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata:\n  name: default\nspec:\n  template:\n    spec:\n      nodeClassRef:\n        group: karpenter.k8s.aws\n        kind: EC2NodeClass\n        name: default\n";
    let mut question = manifests(&format!("{both}{pool}"));
    question.filter.nodepools = vec!["default".into()];
    passes(&asked(&log, &question));
}

#[test]
fn losses_leave_a_doubt_that_a_failure_outweighs() {
    let loss = Loss {
        object: "one.json.gz".into(),
        record: None,
        kind: LossKind::TruncatedCompression,
        detail: "ends early".into(),
    };
    let mut log = launch_under(KEY);
    log.coverage.losses.push(loss.clone());
    is_inconclusive(&asked(&log, &Question::default()), Check::ArchiveWhole, "1 truncated-compression");
    let mut log = launch_under(OTHER_KEY);
    log.coverage.losses.push(loss);
    assert_eq!(asked(&log, &Question::default()).result, Outcome::Fail);
}

#[test]
fn volumes_attached_later_and_other_ends_do_not_count() {
    let mut log = launch_under(KEY);
    log.by_terraform(
        "10:20:00",
        ("ec2", "CreateVolume"),
        &format!(
            r#""requestParameters":{{"size":"10","zone":"us-east-1a","encrypted":true}},"responseElements":{{"volumeId":"{}"}},"requestID":"d6828ca3-0d93-4abe-96f2-3cc612c9d8cf""#,
            volume("c")
        ),
    );
    log.grant_of("c", "10:20:05", &volume("c"), OTHER_KEY);
    log.evicted("a", "10:30:00");
    passes(&asked(&log, &flag(KEY)));
}

#[test]
fn a_launch_that_fails_for_its_key_fails_and_one_without_capacity_does_not() {
    let failed = |code: &str| {
        let mut log = launch_under(KEY);
        log.by_terraform(
            "10:10:00",
            ("ec2", "RunInstances"),
            &format!(
                r#""errorCode":"{code}","errorMessage":"no","requestParameters":{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}}}},"responseElements":null"#
            ),
        );
        let filter = Filter { all_launches: true, ..Filter::default() };
        asked(&log, &Question { filter, ..Question::default() })
    };
    is_failure(&failed("Client.InvalidKMSKey.InvalidState"), Check::LaunchesMade, "for its key");
    let other = failed("Server.InsufficientInstanceCapacity");
    passes(&other);
    assert!(other.notices.iter().any(|notice| notice.rule == Some("KT307")));
}

#[test]
fn a_volume_that_may_be_another_nodes_is_no_proof() {
    let mut log = Log::new();
    // Without a request id and a grant, session and time alone tie the data key to a node.
    log.template(KEY).launch("a", "10:00:00").launch("b", "10:00:05");
    log.data_key("c", "10:00:08", KEY);
    later(&mut log);
    let verification = asked(&log, &flag(KEY));
    assert_eq!(verification.result, Outcome::Inconclusive, "{}", told(&verification));
    assert!(
        verification
            .assertions
            .iter()
            .filter(|assertion| assertion.check == Check::VolumeKey)
            .all(|assertion| assertion.result == Outcome::Inconclusive)
    );
}

#[test]
fn an_instance_store_node_without_volumes_is_neither_proof_nor_failure() {
    let mut log = Log::new();
    log.template_with("08:00:00", &[]).launch_on_instance_store("a", "10:00:00").registered("a", "10:01:00");
    later(&mut log);
    let verification = asked(&log, &flag(KEY));
    is_inconclusive(&verification, Check::NodesLaunched, "1 node without an EBS volume");
    assert!(verification.nodes.is_empty());
    log.template(KEY).healthy("b", "10:05:00", KEY);
    passes(&asked(&log, &flag(KEY)));
}

#[test]
fn ids_are_unique_and_the_answer_is_the_same_again() {
    let mut log = launch_under(OTHER_KEY);
    log.healthy("b", "10:05:00", KEY).launch("c", "10:06:00");
    log.denied("c", "10:06:01", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    let verification = asked(&log, &Question::default());
    let ids: std::collections::BTreeSet<&String> =
        verification.assertions.iter().map(|assertion| &assertion.id).collect();
    assert_eq!(ids.len(), verification.assertions.len());
    assert!(ids.contains(&format!("volume-key/{}/{}", instance("a"), volume("a"))));
    assert_eq!(verification, asked(&log, &Question::default()));
    let worst: Vec<Outcome> = verification.nodes.iter().map(|node| node.result).collect();
    assert_eq!(worst, [Outcome::Fail, Outcome::Pass, Outcome::Fail]);
}

#[test]
fn names_are_the_same_in_every_output() {
    for check in Check::ALL {
        assert_eq!(serde_json::to_value(check).expect("JSON"), check.name());
    }
    for outcome in [Outcome::Pass, Outcome::Inconclusive, Outcome::Fail] {
        assert_eq!(serde_json::to_value(outcome).expect("JSON"), outcome.name());
    }
    assert_eq!(Manifest::default(), Question::default().expectations.manifest);
}
