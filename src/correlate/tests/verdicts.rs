//! What can be said without a use of a key, and which failures of KMS are refusals.

use super::record::*;

const A: &str = "i-0a";

fn one_launch() -> Vec<Record> {
    vec![configured(KEY), launch(0, &[A], "r1")]
}

/// Another node, `second` seconds from the launch, that leaves all its KMS events.
fn other_node(second: i64) -> Vec<Record> {
    all(&[&[launch(second, &["i-0b"], "r9")], &opened(second, "vol-0b", "i-0b", KEY, "r9")])
}

#[test]
fn unencrypted_needs_life_and_read_only_kms_events_of_others_nearby() {
    let case_of = |more: &[Record]| says(&case(&all(&[&one_launch(), more])), A);
    let alive = [registered(60, A)];
    assert_eq!(case_of(&all(&[&alive, &other_node(600)])), "unencrypted unknown [] -");
    assert_eq!(case_of(&all(&[&alive, &other_node(-3000)])), "unencrypted unknown [] -");
    assert_eq!(case_of(&all(&[&alive, &other_node(7200)])), "unknown unknown [] -", "two hours away");
    assert_eq!(case_of(&other_node(600)), "unknown unknown [] -", "no sign of life");
    assert_eq!(case_of(&alive), "unknown unknown [] -", "no KMS events at all");
    let write_only = [launch(600, &["i-0b"], "r9"), grant(600, "vol-0b", "i-0b", KEY, "r9")];
    assert_eq!(case_of(&all(&[&alive, &write_only])), "unknown unknown [] -", "write-only trail");
    let elsewhere = data_key(600, "vol-0b", KEY, "r9").in_place(ACCOUNT, "us-west-2");
    assert_eq!(case_of(&all(&[&alive, &[elsewhere]])), "unknown unknown [] -", "another region");
    let foreign = data_key(600, "vol-0b", KEY, "r9").in_place(OTHER_ACCOUNT, REGION);
    assert_eq!(case_of(&all(&[&alive, &[foreign]])), "unknown unknown [] -", "another account");
}

#[test]
fn a_node_whose_run_instances_is_missing_is_not_unencrypted() {
    let fleet = fleet(0, &fleet_item(r#"["i-0a"]"#), "{}");
    let seen = all(&[&[configured(KEY), fleet, registered(60, A)], &other_node(600)]);
    assert_eq!(says(&case(&seen), A), "unknown unknown [] -");
    let launched = all(&[&seen, &[launch(1, &[A], "r1")]]);
    assert_eq!(says(&case(&launched), A), "unencrypted unknown [] -");
}

#[test]
fn a_launch_that_asked_for_a_volumes_key_is_not_unencrypted_even_if_another_node_has_the_volume() {
    let others = all(&[&other_node(600), &[registered(60, A)]]);
    let moved = [data_key(1, "vol-0c", KEY, "r1"), grant(1, "vol-0c", "i-0b", KEY, "r1")];
    assert_eq!(says(&case(&all(&[&one_launch(), &others, &moved])), A), "unknown unknown [] -");
    assert_eq!(says(&case(&all(&[&one_launch(), &others])), A), "unencrypted unknown [] -");
}

#[test]
fn a_storage_drivers_use_of_a_key_says_nothing_of_launches() {
    let driver = || role_session(ACCOUNT, "ebs-csi", "csi", Some("ec2-frontend-api.amazonaws.com"));
    for second in [12, 300] {
        let volume = [
            Record::new(second, "ec2", "CreateVolume")
                .by(role_session(ACCOUNT, "ebs-csi", "csi", None), "csi")
                .id("c1")
                .asks(r#"{"size":"10","zone":"us-east-1a","encrypted":true}"#)
                .answers(r#"{"volumeId":"vol-0f","size":"10"}"#),
            data_key(second, "vol-0f", KEY, "c1").by(driver(), "x"),
            attach(second + 20, "vol-0f", A, "a1"),
            grant(second + 20, "vol-0f", A, KEY, "a1").by(driver(), "x"),
        ];
        let alone = case(&all(&[&one_launch(), &volume, &[registered(60, A)]]));
        assert!(says(&alone, A).starts_with("unknown "), "{second} s");
        let elsewhere = [launch(600, &["i-0b"], "r9"), data_key(900, "vol-0e", KEY, "c9").by(driver(), "x")];
        let beside = case(&all(&[&one_launch(), &elsewhere, &[registered(60, A)]]));
        assert_eq!(says(&beside, A), "unknown unknown [] -", "no launch left its KMS events");
        let recorded = case(&all(&[&one_launch(), &volume, &other_node(600), &[registered(60, A)]]));
        assert!(says(&recorded, A).starts_with("unencrypted "), "{second} s");
    }
    let own_requests = [
        launch(600, &["i-0b"], "r9"),
        data_key(601, "vol-0b", KEY, "k1"),
        grant(601, "vol-0b", "i-0b", KEY, "k2"),
    ];
    let recorded = case(&all(&[&one_launch(), &own_requests, &[registered(60, A)]]));
    assert_eq!(
        says(&recorded, A),
        "unencrypted unknown [] -",
        "a launch whose KMS events have ids of their own"
    );
}

#[test]
fn an_unencrypted_node_may_have_an_encrypted_volume_attached_later() {
    let attached = [attach(3600, "vol-0f", A, "a1"), grant(3600, "vol-0f", A, OTHER, "a1")];
    let case = case(&all(&[&one_launch(), &attached, &other_node(600)]));
    assert_eq!(says(&case, A).split(' ').next(), Some("unencrypted"));
    assert_eq!(volumes(&case, A), ["attached-later used OTHER vol-0f"]);
}

#[test]
fn a_write_only_trail_still_tells_keys_by_grants() {
    let records = all(&[&one_launch(), &[grant(1, "vol-0a", A, OTHER, "r1"), registered(60, A)]]);
    assert_eq!(says(&case(&records), A).split(' ').next(), Some("mismatch"));
}

#[test]
fn failures_that_a_retry_may_pass_are_no_refusals() {
    for (code, message) in [
        ("ThrottlingException", "Rate exceeded"),
        ("Throttling", "You have exceeded the rate at which you may call KMS."),
        ("KMSInternalException", "The request failed because of an internal error"),
        ("DependencyTimeoutException", "The system timed out while trying to fulfill the request."),
        ("LimitExceededException", "Quota exceeded"),
        ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set."),
        ("InvalidCiphertextException", ""),
    ] {
        let failure = failed(1, "GenerateDataKeyWithoutPlaintext", code, message, "r1");
        assert_eq!(says(&case(&all(&[&one_launch(), &[failure]])), A), "unknown unknown [] -", "{code}");
    }
}

#[test]
fn throttled_calls_before_a_use_leave_the_use() {
    let throttled = failed(1, "CreateGrant", "ThrottlingException", "Rate exceeded", "r1");
    let records = all(&[&one_launch(), &[throttled], &opened(2, "vol-0a", A, KEY, "r1")]);
    assert_eq!(says(&case(&records), A), "match configured [KEY] -");
}

#[test]
fn a_key_that_cannot_be_used_is_denied_as_failed() {
    let disabled = format!("{KEY} is disabled.");
    let pending = format!("{KEY} is pending deletion.");
    let missing = format!("Key '{KEY}' does not exist");
    for (code, message) in [
        ("DisabledException", disabled.as_str()),
        ("KMSInvalidStateException", pending.as_str()),
        ("NotFoundException", missing.as_str()),
        ("KMSInvalidStateException", disabled.as_str()),
    ] {
        let failure = failed(1, "GenerateDataKeyWithoutPlaintext", code, message, "r1");
        let case = case(&all(&[&one_launch(), &[failure]]));
        assert_eq!(says(&case, A), "denied configured [] kms-key-unusable", "{code} {message}");
        assert_eq!(volumes(&case, A), ["launch failed KEY -"]);
    }
}

#[test]
fn a_refusal_that_does_not_name_its_key_is_still_a_refusal() {
    let cut = format!("{}{}", &not_authorized("CreateGrant", "arn:aws:kms:us-east-1:1111")[..150], "...");
    let ambiguous = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    for (code, message) in
        [("AccessDenied", cut.as_str()), ("AccessDeniedException", ambiguous), ("AccessDenied", "")]
    {
        let failure = failed(1, "CreateGrant", code, message, "r1");
        let case = case(&all(&[&one_launch(), &[failure]]));
        assert_eq!(says(&case, A), "denied unknown [] kms-denied", "{message}");
    }
    let missing = failed(
        1,
        "CreateGrant",
        "NotFoundException",
        "Alias arn:aws:kms:us-east-1:111122223333:alias/x is not found.",
        "r1",
    );
    assert_eq!(says(&case(&all(&[&one_launch(), &[missing]])), A), "denied unknown [] kms-key-unusable");
}

#[test]
fn refusals_before_a_retry_that_went_well_do_not_condemn_a_node_that_lived() {
    let retried = all(&[
        &one_launch(),
        &[
            refused(1, "GenerateDataKeyWithoutPlaintext", KEY, "r1"),
            refused(2, "GenerateDataKeyWithoutPlaintext", KEY, "r1"),
        ],
        &opened(4, "vol-0a", A, KEY, "r1"),
        &[registered(60, A)],
    ]);
    let case = case(&retried);
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a"]);
}

#[test]
fn a_data_key_whose_grant_was_refused_was_not_used() {
    let records = [data_key(1, "vol-0a", KEY, "r1"), refused(2, "CreateGrant", KEY, "r1")];
    let case = case(&all(&[&one_launch(), &records]));
    assert_eq!(says(&case, A), "denied configured [] kms-denied");
    assert_eq!(volumes(&case, A), ["launch denied KEY vol-0a"]);
}

#[test]
fn of_two_volumes_the_one_without_a_grant_was_refused() {
    let records = [
        data_key(1, "vol-0a", KEY, "r1"),
        data_key(1, "vol-0b", OTHER, "r1"),
        grant(1, "vol-0a", A, KEY, "r1"),
        refused(2, "CreateGrant", OTHER, "r1"),
    ];
    let case = case(&all(&[&one_launch(), &records]));
    assert_eq!(says(&case, A), "denied unknown [KEY] kms-denied");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "launch denied OTHER vol-0b"]);
}

#[test]
fn denied_wins_over_mismatch_and_permission_over_state() {
    let records = [
        data_key(1, "vol-0a", OTHER, "r1"),
        grant(1, "vol-0a", A, OTHER, "r1"),
        refused(2, "GenerateDataKeyWithoutPlaintext", KEY, "r1"),
    ];
    let both = case(&all(&[&one_launch(), &records]));
    assert_eq!(says(&both, A), "denied configured [OTHER] kms-denied");
    let state = failed(1, "CreateGrant", "DisabledException", &format!("{OTHER} is disabled."), "r1");
    let mixed = case(&all(&[&one_launch(), &[state, refused(2, "CreateGrant", KEY, "r1")]]));
    assert_eq!(says(&mixed, A), "denied configured [] kms-denied");
}

#[test]
fn refused_re_encryption_names_the_key_that_refused() {
    for (action, key, origin) in
        [("ReEncryptTo", KEY, "configured"), ("ReEncryptFrom", OTHER, "ami-snapshot")]
    {
        let refusal = failed(1, "ReEncrypt", "AccessDenied", &not_authorized(action, key), "r1");
        let case = case(&all(&[&one_launch(), &[refusal]]));
        assert_eq!(says(&case, A), format!("denied {origin} [] kms-denied"), "{action}");
    }
}

#[test]
fn a_node_known_only_by_its_tags_or_its_end_is_unknown() {
    let tagged = case(&[registered(0, A)]);
    assert_eq!(says(&tagged, A), "unknown unknown [] -");
    assert_eq!(node(&tagged, A).launched_at, None);
    let ended = case(&[terminate(0, A, "running")]);
    assert_eq!(says(&ended, A), "unknown unknown [] terminated-by-karpenter");
    let used = case(&all(&[&opened(0, "vol-0a", A, KEY, "k1"), &[registered(60, A)]]));
    assert_eq!(says(&used, A).split(' ').next(), Some("unknown"));
}

/// PutEventSelectors: what the trail records from `second` on is another matter.
fn selectors(second: i64) -> Record {
    Record::new(second, "cloudtrail", "PutEventSelectors").asks(
        r#"{"trailName":"t","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}]}"#,
    )
}

#[test]
fn what_was_recorded_before_a_change_of_selectors_says_nothing_of_what_came_after() {
    let verdict = |change: i64, other: i64| {
        let records = all(&[&one_launch(), &[registered(60, A), selectors(change)], &other_node(other)]);
        says(&case(&records), A).split(' ').next().map(str::to_owned)
    };
    assert_eq!(verdict(-300, -600).as_deref(), Some("unknown"), "KMS events only before the change");
    assert_eq!(verdict(300, 600).as_deref(), Some("unknown"), "KMS events only after the next change");
    assert_eq!(verdict(-900, -600).as_deref(), Some("unencrypted"), "KMS events since the change");
}

#[test]
fn a_refusal_without_a_node_is_kept() {
    let alone = refused(31, "CreateGrant", KEY, "r9");
    let found = case(&all(&[&one_launch(), &[alone]]));
    assert_eq!(says(&found, A), "unknown unknown [] -");
    let kept: Vec<&str> =
        found.unjoined_refusals.iter().map(|event| &*found.events[*event as usize].name).collect();
    assert_eq!(kept, ["CreateGrant"]);
    let joined = case(&all(&[&one_launch(), &[refused(3, "CreateGrant", KEY, "r9")]]));
    assert!(joined.unjoined_refusals.is_empty(), "joined by its session");
    let of_volume = Record::new(31, "ec2", "CreateVolume").id("r9");
    let elsewhere = case(&all(&[&one_launch(), &[of_volume, refused(31, "CreateGrant", KEY, "r9")]]));
    assert!(elsewhere.unjoined_refusals.is_empty(), "the request is known to be no launch");
}
