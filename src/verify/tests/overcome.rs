//! Nodes that came up although KMS refused a key to their launch.

use super::{asked, flag, is_inconclusive, later, passes, told};
use crate::correlate::KeyVerdict;
use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, OTHER_KEY, instance, session, volume};
use crate::verify::{Check, Verification};

const DATA_KEY: &str = "GenerateDataKeyWithoutPlaintext";

/// A node under `KEY` that registered; its launch was refused `refused` before or after it got its key.
fn refused(call: &str, refused: &str, is_before: bool) -> Verification {
    let mut log = Log::new();
    log.launch("a", "10:00:00");
    if is_before {
        log.denied("a", "10:00:00", call, refused, NO_IDENTITY_POLICY);
    }
    log.data_key("a", "10:00:01", KEY).grant("a", "10:00:01", KEY);
    if !is_before {
        log.denied("a", "10:00:02", call, refused, NO_IDENTITY_POLICY);
    }
    log.registered("a", "10:01:00");
    later(&mut log);
    let verification = asked(&log, &flag(KEY));
    assert_eq!(verification.nodes[0].key_verdict, KeyVerdict::Match);
    verification
}

#[test]
fn a_refused_key_that_was_given_in_the_end_passes() {
    for is_before in [true, false] {
        let verification = refused(DATA_KEY, KEY, is_before);
        passes(&verification);
        assert!(told(&verification).contains("KMS gave every key that it refused at first"));
    }
}

#[test]
fn a_refused_key_that_was_never_given_is_a_doubt_even_if_the_node_lived() {
    for is_before in [true, false] {
        for call in [DATA_KEY, "CreateGrant", "ReEncrypt"] {
            let verification = refused(call, OTHER_KEY, is_before);
            is_inconclusive(&verification, Check::KeyNotRefused, "does not show that the key was given");
            assert!(verification.is_waiting());
        }
    }
}

#[test]
fn a_key_that_a_storage_driver_was_given_was_not_given_to_the_launch() {
    let mut log = Log::new();
    log.launch("a", "10:00:00").denied("a", "10:00:00", DATA_KEY, OTHER_KEY, NO_IDENTITY_POLICY);
    log.data_key("a", "10:00:01", KEY).grant("a", "10:00:01", KEY).registered("a", "10:01:00");
    let driver = session("arn:aws:iam::111122223333:role/ebs-csi", "1", None);
    let by_ec2 =
        session("arn:aws:iam::111122223333:role/ebs-csi", "1", Some("ec2-frontend-api.amazonaws.com"));
    let id = "6f1bd5a3-0d93-4abe-96f2-3cc612c9d8cf";
    let (volume, instance) = (volume("f"), instance("a"));
    log.record(
        "10:20:00",
        ("ec2", "AttachVolume"),
        &driver,
        "aws-ebs-csi-driver/1.40",
        &format!(
            r#""requestParameters":{{"volumeId":"{volume}","instanceId":"{instance}","device":"/dev/xvdaa"}},"responseElements":{{"volumeId":"{volume}","instanceId":"{instance}","status":"attaching"}},"requestID":"{id}""#
        ),
    );
    log.record(
        "10:20:00",
        ("kms", "CreateGrant"),
        &by_ec2,
        "ec2-frontend-api.amazonaws.com",
        &format!(
            r#""requestParameters":{{"constraints":{{"encryptionContextSubset":{{"aws:ebs:id":"{volume}"}}}},"operations":["Decrypt"],"keyId":"{OTHER_KEY}","granteePrincipal":"arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/{instance}"}},"responseElements":{{"grantId":"g1","keyId":"{OTHER_KEY}"}},"requestID":"{id}","resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{OTHER_KEY}"}}]"#
        ),
    );
    later(&mut log);
    is_inconclusive(&asked(&log, &flag(KEY)), Check::KeyNotRefused, "does not show that the key was given");
}

#[test]
fn what_a_launch_does_not_need_may_be_refused() {
    for call in ["DescribeKey", "Decrypt"] {
        passes(&refused(call, OTHER_KEY, true));
    }
    // What another request was refused, long after the launch, is not the launch's.
    let mut log = Log::new();
    log.healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
    log.launch("b", "10:05:00").data_key("b", "10:05:01", KEY).grant("b", "10:05:01", KEY);
    log.registered("b", "10:06:00").denied("b", "10:05:02", DATA_KEY, OTHER_KEY, NO_IDENTITY_POLICY);
    later(&mut log);
    let verification = asked(&log, &flag(KEY));
    is_inconclusive(&verification, Check::KeyNotRefused, "does not show");
    assert_eq!(verification.nodes[0].result, crate::verify::Outcome::Pass, "{}", told(&verification));
}
