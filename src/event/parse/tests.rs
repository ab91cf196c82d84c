use super::{EventParser, ParseError, Parsed};
use crate::event::{Detail, EbsDefault, Event, Id, IdentityKind, KmsOperation, Origin, VolumeChange};

fn parse(record: &str) -> Result<Parsed, ParseError> {
    EventParser::default().parse(record.as_bytes(), Origin { object: "test".into(), record: 0 })
}

fn event(record: &str) -> Event {
    match parse(record) {
        Ok(Parsed::Relevant(event)) => *event,
        other => panic!("expected evidence, got {other:?} for {record}"),
    }
}

fn is_irrelevant(record: &str) -> bool {
    matches!(parse(record), Ok(Parsed::Irrelevant))
}

/// A record of `source` and `name` with `members` (JSON members, without braces).
fn record(source: &str, name: &str, members: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE:1768825272022703283","arn":"arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283","accountId":"111122223333","sessionContext":{{"sessionIssuer":{{"type":"Role","arn":"arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"}}}},"invokedBy":"ec2-frontend-api.amazonaws.com"}},"eventTime":"2026-03-02T10:00:00Z","eventSource":"{source}","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"ec2-frontend-api.amazonaws.com","userAgent":"ec2-frontend-api.amazonaws.com",{members},"requestID":"667a374d-7679-450b-8964-6eae4b4b6882","eventID":"351203c4-371d-350e-8071-7227e3bbe185","eventType":"AwsApiCall","recipientAccountId":"111122223333"}}"#
    )
}

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
const OTHER_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/66666666-7777-8888-9999-000000000000";

#[test]
fn a_grant_ties_volume_instance_and_key() {
    for grantee in [
        "arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-0aaaaaaaaaaaaaaaa",
        "111122223333:aws:ec2-infrastructure:i-0aaaaaaaaaaaaaaaa",
    ] {
        let event = event(&record(
            "kms.amazonaws.com",
            "CreateGrant",
            &format!(
                r#""requestParameters":{{"constraints":{{"encryptionContextSubset":{{"aws:ebs:id":"vol-0a"}}}},"operations":["Decrypt"],"keyId":"{KEY}","granteePrincipal":"{grantee}"}},"responseElements":{{"grantId":"g1","keyId":"{KEY}"}},"resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{KEY}"}}]"#
            ),
        ));
        let Detail::Kms(kms) = event.detail else { panic!("a key use") };
        assert_eq!(kms.operation, KmsOperation::CreateGrant);
        assert_eq!(kms.volume_id.as_deref(), Some("vol-0a"));
        assert_eq!(kms.grantee_instance_id.as_deref(), Some("i-0aaaaaaaaaaaaaaaa"));
        assert_eq!(kms.key_arn.as_deref(), Some(KEY));
        assert_eq!(kms.grant_id.as_deref(), Some("g1"));
        assert_eq!(event.request_id, Some(Id::new("667a374d-7679-450b-8964-6eae4b4b6882")));
        assert_eq!(event.identity.kind, IdentityKind::AssumedRole);
        assert!(event.identity.is_invoked_by_ec2());
    }
}

#[test]
fn a_refusal_names_its_key_only_in_the_message() {
    let event = event(&record(
        "kms.amazonaws.com",
        "GenerateDataKeyWithoutPlaintext",
        &format!(
            r#""errorCode":"AccessDenied","errorMessage":"User: arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283 is not authorized to perform: kms:GenerateDataKeyWithoutPlaintext on resource: {KEY} because no identity-based policy allows the kms:GenerateDataKeyWithoutPlaintext action","requestParameters":null,"responseElements":null"#
        ),
    ));
    let Detail::Kms(kms) = event.detail else { panic!("a key use") };
    assert_eq!(kms.key_arn.as_deref(), Some(KEY));
    assert_eq!((kms.volume_id, kms.requested_key), (None, None));
}

#[test]
fn a_re_encryption_has_the_snapshots_key_and_the_volumes_key() {
    let event = event(&record(
        "kms.amazonaws.com",
        "ReEncrypt",
        &format!(
            r#""requestParameters":{{"sourceEncryptionContext":{{"aws:ebs:id":"snap-0a"}},"destinationEncryptionContext":{{"aws:ebs:id":"vol-0a"}},"destinationKeyId":"{OTHER_KEY}"}},"responseElements":null,"resources":[{{"ARN":"{KEY}"}},{{"ARN":"{OTHER_KEY}"}}]"#
        ),
    ));
    let Detail::Kms(kms) = event.detail else { panic!("a key use") };
    assert_eq!(kms.source_key_arn.as_deref(), Some(KEY));
    assert_eq!(kms.key_arn.as_deref(), Some(OTHER_KEY));
    assert_eq!((kms.volume_id.as_deref(), kms.snapshot_id.as_deref()), (Some("vol-0a"), Some("snap-0a")));
}

#[test]
fn one_or_many_block_device_mappings() {
    let one = r#"{"tag":1,"DeviceName":"/dev/xvda","Ebs":{"Encrypted":"true","KmsKeyId":"alias/karpenter-ebs","VolumeSize":100}}"#;
    let two = r#"{"tag":2,"DeviceName":"/dev/xvdb","Ebs":{"Encrypted":false,"KmsKeyId":""}}"#;
    for (mapping, names) in [
        (one.to_owned(), vec![Some("alias/karpenter-ebs")]),
        (format!("[{one},{two}]"), vec![Some("alias/karpenter-ebs"), None]),
        (format!(r#"{{"item":{one}}}"#), vec![Some("alias/karpenter-ebs")]),
        (format!(r#"{{"items":[{one},{two}]}}"#), vec![Some("alias/karpenter-ebs"), None]),
        (r#""""#.to_owned(), vec![]),
        ("{}".to_owned(), vec![]),
        ("null".to_owned(), vec![]),
    ] {
        let event = event(&record(
            "ec2.amazonaws.com",
            "CreateLaunchTemplate",
            &format!(
                r#""requestParameters":{{"CreateLaunchTemplateRequest":{{"LaunchTemplateName":"karpenter.k8s.aws/1","LaunchTemplateData":{{"ImageId":"ami-0a","BlockDeviceMapping":{mapping}}}}}}},"responseElements":{{"CreateLaunchTemplateResponse":{{"launchTemplate":{{"launchTemplateId":"lt-0a","latestVersionNumber":1}}}}}}"#
            ),
        ));
        let Detail::LaunchTemplate(template) = event.detail else { panic!("a launch template") };
        assert_eq!((template.template_id.as_deref(), template.version), (Some("lt-0a"), Some(1)));
        let mappings = template.mappings.expect("the request names its data");
        assert_eq!(mappings.iter().map(|mapping| mapping.kms_key.as_deref()).collect::<Vec<_>>(), names);
        if let Some(first) = mappings.first() {
            assert_eq!((first.device.as_deref(), first.encrypted), (Some("/dev/xvda"), Some(true)));
        }
    }
}

#[test]
fn a_fleets_instances_and_errors_in_every_nesting() {
    for (ids, expected) in [
        (r#""i-0a""#, vec!["i-0a"]),
        (r#"["i-0a","i-0b"]"#, vec!["i-0a", "i-0b"]),
        (r#"{"item":"i-0a"}"#, vec!["i-0a"]),
        (r#"{"item":["i-0a","i-0b"]}"#, vec!["i-0a", "i-0b"]),
        (r#"{"items":[{"instanceId":"i-0a"}]}"#, vec!["i-0a"]),
        (r#""""#, vec![]),
    ] {
        let event = event(&record(
            "ec2.amazonaws.com",
            "CreateFleet",
            &format!(
                r#""requestParameters":{{"CreateFleetRequest":{{"Type":"instant","TargetCapacitySpecification":{{"DefaultTargetCapacityType":"spot","TotalTargetCapacity":2}},"TagSpecification":[{{"ResourceType":"fleet","tag":1,"Tag":{{"Key":"Name","Value":"x","tag":1}}}},{{"ResourceType":"instance","tag":2,"Tag":[{{"Key":"karpenter.sh/nodepool","Value":7,"tag":1}},{{"Key":"kubernetes.io/cluster/prod","Value":"owned","tag":2}},{{"Key":"karpenter.sh/managed-by","Value":"other","tag":3}}]}}]}}}},"responseElements":{{"CreateFleetResponse":{{"fleetId":"fleet-1","fleetInstanceSet":{{"item":{{"lifecycle":"spot","instanceIds":{ids},"instanceType":"c6i.large"}}}},"errorSet":{{"item":[{{"errorCode":"InsufficientInstanceCapacity","errorMessage":"none left"}},{{"errorCode":"InsufficientInstanceCapacity","errorMessage":"none here"}},{{"errorCode":"UnfulfillableCapacity"}}]}}}}}}"#
            ),
        ));
        let Detail::Fleet(fleet) = event.detail else { panic!("a fleet") };
        assert_eq!(
            fleet.instances.iter().map(|instance| &*instance.instance_id).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(fleet.tags.nodepool.as_deref(), Some("7"));
        assert_eq!(fleet.tags.cluster.as_deref(), Some("prod"));
        let errors: Vec<_> = fleet.errors.iter().map(|error| (&*error.code, error.count)).collect();
        assert_eq!(errors, [("InsufficientInstanceCapacity", 2), ("UnfulfillableCapacity", 1)]);
    }
}

#[test]
fn capitalised_members_of_service_events_are_read() {
    let event = event(
        r#"{"eventVersion":"1.05","userIdentity":{"accountId":"111122223333","invokedBy":"ec2.amazonaws.com"},"eventTime":"2026-03-02T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"BidEvictedEvent","awsRegion":"us-east-1","RequestParameters":null,"ResponseElements":null,"eventID":"351203c4-371d-350e-8071-7227e3bbe185","eventType":"AwsServiceEvent","ServiceEventDetails":{"instanceIdSet":["i-0a","i-0b"]},"recipientAccountId":"111122223333"}"#,
    );
    assert_eq!(event.detail, Detail::SpotInterruption(vec!["i-0a".into(), "i-0b".into()]));
}

#[test]
fn empty_request_texts_and_default_changes() {
    let event = event(&record(
        "ec2.amazonaws.com",
        "EnableEbsEncryptionByDefault",
        r#""requestParameters":{"EnableEbsEncryptionByDefaultRequest":""},"responseElements":{"EnableEbsEncryptionByDefaultResponse":{"ebsEncryptionByDefault":true}}"#,
    ));
    assert_eq!(event.detail, Detail::EbsDefault(EbsDefault::Encryption(true)));
}

#[test]
fn an_alias_change_picks_the_key_among_its_resources() {
    let alias = "arn:aws:kms:us-east-1:111122223333:alias/karpenter-ebs";
    for resources in [
        format!(r#"[{{"ARN":"{alias}"}},{{"ARN":"{KEY}"}}]"#),
        format!(r#"[{{"ARN":"{KEY}"}},{{"ARN":"{alias}"}}]"#),
        format!(r#"[{{"ARN":"{OTHER_KEY}"}},{{"ARN":"{alias}"}},{{"ARN":"{KEY}"}}]"#),
    ] {
        let event = event(&record(
            "kms.amazonaws.com",
            "UpdateAlias",
            &format!(
                r#""requestParameters":{{"aliasName":"alias/karpenter-ebs","targetKeyId":"11111111-2222-3333-4444-555555555555"}},"responseElements":null,"resources":{resources}"#
            ),
        ));
        let Detail::Alias(change) = event.detail else { panic!("an alias change") };
        assert_eq!((&*change.alias, change.target.as_deref()), ("alias/karpenter-ebs", Some(KEY)));
    }
}

#[test]
fn key_uses_that_are_not_about_volumes_are_passed_over() {
    let decrypt = |request: &str| {
        record(
            "kms.amazonaws.com",
            "Decrypt",
            &format!(
                r#""requestParameters":{request},"responseElements":null,"resources":[{{"ARN":"{KEY}"}}]"#
            ),
        )
    };
    let by_s3 = |record: String| record.replace("ec2-frontend-api.amazonaws.com", "fas.s3.amazonaws.com");
    assert!(is_irrelevant(&by_s3(decrypt(r#"{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::bucket"}}"#))));
    assert!(is_irrelevant(&by_s3(decrypt(r#"{"omitted":true}"#))));
    assert!(!is_irrelevant(&by_s3(decrypt(r#"{"encryptionContext":{"aws:ebs:id":"vol-0a"}}"#))));
    assert!(is_irrelevant(&record("ec2.amazonaws.com", "DescribeInstances", r#""requestParameters":{}"#)));
    assert!(is_irrelevant(&record("sts.amazonaws.com", "RunInstances", r#""requestParameters":{}"#)));
}

#[test]
fn what_ec2_asked_of_kms_matters_whatever_cloudtrail_left_out() {
    for request in [r#"{"omitted":true}"#, r#"{"numberOfBytes":64}"#, "null"] {
        let event = event(&record(
            "kms.amazonaws.com",
            "GenerateDataKeyWithoutPlaintext",
            &format!(
                r#""requestParameters":{request},"responseElements":null,"resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{KEY}"}}]"#
            ),
        ));
        assert_eq!(event.omitted, request.contains("omitted"));
        let Detail::Kms(kms) = event.detail else { panic!("a key use") };
        assert_eq!((kms.key_arn.as_deref(), kms.volume_id), (Some(KEY), None));
    }
}

#[test]
fn what_every_record_has_is_demanded_and_nothing_else() {
    assert!(matches!(parse("[]"), Err(ParseError::NotARecord(_))));
    assert!(matches!(parse(r#"{"digestS3Bucket":"b"}"#), Err(ParseError::NotARecord(_))));
    assert!(matches!(parse(r#"{"eventName":"RunInstances"}"#), Err(ParseError::Incomplete(_))));
    assert!(matches!(
        parse(r#"{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","eventTime":"yesterday"}"#),
        Err(ParseError::Incomplete(_))
    ));
    assert!(matches!(parse(r#"{"eventSource":"#), Err(ParseError::InvalidJson(_))));
    let bare = event(
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"AttachVolume","eventTime":"2026-03-02T10:00:00Z","future":[1e300,123456789012345678901234567890]}"#,
    );
    assert!(bare.event_id.to_string().starts_with("no-event-id:"));
    assert_eq!(bare.detail, Detail::Volume(VolumeChange::Attached { volume_id: None, instance_id: None }));
}

#[test]
fn a_principal_id_is_what_the_record_says_whether_it_ends_in_the_sessions_name_or_not() {
    let session_arn = "arn:aws:sts::111122223333:assumed-role/Karpenter/1768825272022703283";
    let mut seasoned = EventParser::default();
    for (arn, principal_id) in [
        (session_arn, "AROAEXAMPLE:1768825272022703283"),
        (session_arn, "AROAEXAMPLE:other"),
        (session_arn, "AROAEXAMPLE"),
        (session_arn, "AROAEXAMPLE1768825272022703283"),
        (session_arn, ":1768825272022703283"),
        (session_arn, "1768825272022703283"),
        ("arn:aws:sts::111122223333:assumed-role/Karpenter/", "AROAEXAMPLE:"),
        ("arn:aws:iam::111122223333:user/anna", "AIDAEXAMPLE:anna"),
    ] {
        let text = format!(
            r#"{{"userIdentity":{{"type":"AssumedRole","principalId":"{principal_id}","arn":"{arn}"}},"eventTime":"2026-03-02T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"AttachVolume"}}"#
        );
        // Read again, the identity comes from the pool.
        for _ in 0..2 {
            let origin = Origin { object: "test".into(), record: 0 };
            match seasoned.parse(text.as_bytes(), origin) {
                Ok(Parsed::Relevant(event)) => {
                    assert_eq!(event.identity.principal_id().as_deref(), Some(principal_id), "{arn}");
                }
                other => panic!("expected evidence, got {other:?}"),
            }
        }
    }
}

#[test]
fn what_the_parser_remembers_changes_no_event() {
    let origin = || Origin { object: "test".into(), record: 0 };
    let user = |identity: &str| {
        format!(
            r#"{{"userIdentity":{identity},"eventTime":"2026-03-02T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"AttachVolume","requestParameters":{{"volumeId":"vol-0a"}}}}"#
        )
    };
    let session = r#""arn":"arn:aws:sts::111122223333:assumed-role/Karpenter/1""#;
    let role = r#""sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/Karpenter"}}"#;
    let other =
        r#""sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/path/Karpenter"}}"#;
    // Each differs from another in one thing only, so that one taken for the other would show.
    let identities = [
        format!(r#"{{"type":"AssumedRole",{session}}}"#),
        format!(r#"{{"type":"AssumedRole",{session},{role}}}"#),
        format!(r#"{{"type":"AssumedRole",{session},{other}}}"#),
        format!(r#"{{"type":"AWSAccount",{session}}}"#),
        format!(r#"{{{session},{role}}}"#),
        format!(r#"{{"type":"AssumedRole",{session},"accountId":"111122223333"}}"#),
        format!(r#"{{"type":"AssumedRole",{session},"accountId":"444455556666"}}"#),
        format!(r#"{{"type":"AssumedRole",{session},"principalId":"AROAEXAMPLE:1"}}"#),
        r#"{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}"#.to_owned(),
        r#"{"type":"AWSService","invokedBy":"ec2.amazonaws.com.cn"}"#.to_owned(),
        r#"{"type":"AWSService","principalId":"ec2.amazonaws.com"}"#.to_owned(),
        r#"{"accountId":"111122223333"}"#.to_owned(),
        r#"{"principalId":"111122223333"}"#.to_owned(),
        "null".to_owned(),
    ];
    let mut seasoned = EventParser::default();
    for _ in 0..2 {
        for first in &identities {
            for second in &identities {
                for identity in [first, second] {
                    let text = user(identity);
                    match seasoned.parse(text.as_bytes(), origin()) {
                        Ok(Parsed::Relevant(found)) => assert_eq!(*found, event(&text)),
                        other => panic!("expected evidence, got {other:?}"),
                    }
                }
            }
        }
    }
    assert_eq!(
        event(&user(&identities[0])).identity.issuer_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/Karpenter")
    );
    assert_eq!(event(&user(&identities[3])).identity.issuer_arn, None);
}

#[test]
fn white_space_changes_how_a_record_is_read_and_not_what_it_says() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/event");
    let mut relevant = 0;
    for file in std::fs::read_dir(directory).expect("the seeds") {
        let compact = std::fs::read_to_string(file.expect("a seed").path()).expect("text");
        // With a space, simd-json reads it.
        let spaced = compact.replacen('{', "{ ", 1);
        match (parse(compact.trim_end()), parse(spaced.trim_end())) {
            (Ok(Parsed::Relevant(compact)), Ok(Parsed::Relevant(mut spaced))) => {
                relevant += 1;
                assert_ne!(compact.digest, spaced.digest);
                spaced.digest = compact.digest;
                assert_eq!(compact, spaced);
            }
            (Ok(Parsed::Irrelevant), Ok(Parsed::Irrelevant)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(relevant > 20, "{relevant}");
}

#[test]
fn a_digest_tells_records_apart_by_any_byte() {
    let text = |zone: &str| record("ec2.amazonaws.com", "AttachVolume", &format!(r#""future":"{zone}""#));
    let digest = |text: &str| event(text).digest;
    assert_eq!(digest(&text("a")), digest(&text("a")));
    assert_ne!(digest(&text("a")), digest(&text("b")));
    assert_ne!(digest(&text("a")), digest(&text("\\u0061")));
}

#[test]
fn a_record_without_an_id_is_called_the_same_in_every_release() {
    let bare = r#"{"eventSource":"ec2.amazonaws.com","eventName":"AttachVolume","eventTime":"2026-03-02T10:00:00Z"}"#;
    assert_eq!(event(bare).event_id.to_string(), "no-event-id:a83bd1c0c1abbb82");
}

#[test]
fn bytes_that_are_no_utf8_are_told_from_bad_json() {
    let mut parser = EventParser::default();
    let origin = Origin { object: "test".into(), record: 0 };
    let outcome = parser.parse(b"{\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"Run\xff\"}", origin);
    assert!(matches!(outcome, Err(ParseError::InvalidUtf8)));
}

#[test]
fn selectors_that_leave_kms_out_are_understood() {
    let selectors = |members: &str| {
        let event = event(&record("cloudtrail.amazonaws.com", "PutEventSelectors", members));
        let Detail::Selectors(found) = event.detail else { panic!("selectors") };
        (found.excludes_kms, found.write_only, found.no_management_events)
    };
    let simple = |inner: &str| {
        selectors(&format!(r#""requestParameters":{{"trailName":"t","eventSelectors":[{inner}]}}"#))
    };
    assert_eq!(
        simple(
            r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#
        ),
        (true, false, false)
    );
    assert_eq!(
        simple(
            r#"{"readWriteType":"WriteOnly","includeManagementEvents":true,"excludeManagementEventSources":[]}"#
        ),
        (false, true, false)
    );
    assert_eq!(
        simple(r#"{"readWriteType":"ReadOnly","includeManagementEvents":false}"#),
        (false, false, true)
    );
    assert_eq!(
        selectors(
            r#""requestParameters":{"trailName":"t","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},{"field":"eventSource","notEquals":["kms.amazonaws.com"]}]}]}"#
        ),
        (true, false, false)
    );
}
