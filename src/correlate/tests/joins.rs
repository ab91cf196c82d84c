//! Which KMS events belong to which node.

use super::record::*;

const A: &str = "i-0a";
const B: &str = "i-0b";
/// Refused at launch by the node's configured key.
const DENIED: &str = "denied configured [] kms-denied";
const DENIED_INFERRED: &str = "denied configured [] kms-denied?";
const NOTHING: &str = "unknown unknown [] -";

fn one_launch() -> Vec<Record> {
    vec![configured(KEY), launch(0, &[A], "r1")]
}

#[test]
fn the_request_id_joins_uses_and_refusals() {
    let used = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, "r1")]));
    assert_eq!(says(&used, A), "match configured [KEY] -");
    let refusal = refused(1, "GenerateDataKeyWithoutPlaintext", KEY, "r1");
    assert_eq!(says(&case(&all(&[&one_launch(), &[refusal]])), A), DENIED);
}

#[test]
fn kms_events_with_request_ids_of_their_own_are_joined_by_instance_and_volume() {
    let own_id_each = [
        data_key(1, "vol-0a", KEY, "k1"),
        grant(1, "vol-0a", A, KEY, "k2"),
        decrypt(2, "vol-0a", A, KEY, "k3"),
    ];
    assert_eq!(says(&case(&all(&[&one_launch(), &own_id_each])), A), "match configured [KEY] -");
    let shared = opened(1, "vol-0a", A, KEY, "k1");
    assert_eq!(says(&case(&all(&[&one_launch(), &shared])), A), "match configured [KEY] -");
    let grant_only = [grant(1, "vol-0a", A, KEY, "k2")];
    assert_eq!(says(&case(&all(&[&one_launch(), &grant_only])), A), "match configured [KEY] -");
    let old = format!("{ACCOUNT}:aws:ec2-infrastructure:{A}");
    let old_form = [grant_to(1, "vol-0a", &old, KEY, "k2")];
    assert_eq!(says(&case(&all(&[&one_launch(), &old_form])), A), "match configured [KEY] -");
}

#[test]
fn a_refused_grant_takes_the_data_key_of_its_own_request_along() {
    let own = [data_key(1, "vol-0a", KEY, "k1"), refused(2, "CreateGrant", KEY, "k1")];
    let case = case(&all(&[&one_launch(), &own]));
    assert_eq!(says(&case, A), DENIED_INFERRED);
    assert_eq!(volumes(&case, A), ["launch denied KEY vol-0a"]);
}

#[test]
fn the_session_alone_is_an_inference() {
    let refusal = |second| refused(second, "GenerateDataKeyWithoutPlaintext", KEY, "k1");
    for second in [-1, 0, 30] {
        assert_eq!(says(&case(&all(&[&one_launch(), &[refusal(second)]])), A), DENIED_INFERRED, "{second} s");
    }
    for second in [-2, 31] {
        assert_eq!(says(&case(&all(&[&one_launch(), &[refusal(second)]])), A), NOTHING, "{second} s");
    }
}

#[test]
fn the_session_joins_without_any_request_id() {
    let refusal = refused(3, "GenerateDataKeyWithoutPlaintext", KEY, "k1").without_id();
    assert_eq!(says(&case(&all(&[&one_launch(), &[refusal]])), A), DENIED_INFERRED);
}

#[test]
fn refusals_of_others_are_not_the_nodes() {
    let refusal = || refused(2, "GenerateDataKeyWithoutPlaintext", KEY, "k1");
    let ec2 = Some("ec2-frontend-api.amazonaws.com");
    let near_misses = [
        ("another session of the role", refusal().by(session(ACCOUNT, "1768825272099999999", ec2), "x")),
        ("another region", refusal().in_place(ACCOUNT, "us-west-2")),
        ("another account", refusal().in_place(OTHER_ACCOUNT, REGION)),
        ("the role itself, not through EC2", refusal().by(session(ACCOUNT, SESSION, None), "aws-cli")),
        ("the role through SQS", refused(2, "Decrypt", KEY, "k1").through("sqs.amazonaws.com")),
        ("the role through Secrets Manager", refusal().through("secretsmanager.amazonaws.com")),
    ];
    for (what, refusal) in near_misses {
        assert_eq!(says(&case(&all(&[&one_launch(), &[refusal]])), A), NOTHING, "{what}");
    }
}

#[test]
fn refusals_of_calls_that_are_no_launch_are_not_the_launchs() {
    let karpenter_calls = [
        Record::new(1, "ec2", "CreateVolume")
            .id("k1")
            .asks(r#"{"size":"10","zone":"us-east-1a","encrypted":true}"#)
            .answers(r#"{"volumeId":"vol-0f","size":"10"}"#),
        Record::new(1, "ec2", "StartInstances")
            .id("k1")
            .asks(r#"{"instancesSet":{"items":[{"instanceId":"i-0c"}]}}"#)
            .answers(r#"{"instancesSet":{"items":[{"instanceId":"i-0c","previousState":{"code":80,"name":"stopped"}}]}}"#),
        Record::new(1, "ec2", "CopyImage")
            .id("k1")
            .asks(r#"{"sourceImageId":"ami-0b","encrypted":true}"#)
            .answers(r#"{"imageId":"ami-0c"}"#),
        attach(1, "vol-0f", "i-0c", "k1"),
    ];
    for call in karpenter_calls {
        let name = call.text(0);
        let refusal = refused(2, "GenerateDataKeyWithoutPlaintext", KEY, "k1");
        assert_eq!(says(&case(&all(&[&one_launch(), &[call, refusal]])), A), NOTHING, "{name}");
    }
}

#[test]
fn several_candidates_all_get_the_refusal_as_an_inference() {
    let launches = [configured(KEY), launch(0, &[A], "r1"), launch(0, &[B], "r2")];
    let case = case(&all(&[&launches, &[refused(5, "GenerateDataKeyWithoutPlaintext", KEY, "k1")]]));
    assert_eq!(says(&case, A), DENIED_INFERRED);
    assert_eq!(says(&case, B), DENIED_INFERRED);
}

#[test]
fn a_node_whose_volumes_opened_is_no_candidate() {
    let launches = [configured(KEY), launch(0, &[A], "r1"), launch(0, &[B], "r2")];
    let refusal = [refused(5, "GenerateDataKeyWithoutPlaintext", KEY, "k1")];
    for evidence in [
        vec![decrypt(3, "vol-0b", B, KEY, "k2")],
        vec![grant(3, "vol-0b", B, KEY, "k2")],
        opened(1, "vol-0b", B, KEY, "r2"),
    ] {
        let case = case(&all(&[&launches, &evidence, &refusal]));
        assert_eq!(says(&case, A), DENIED_INFERRED);
        assert_eq!(says(&case, B), "match configured [KEY] -");
    }
}

#[test]
fn a_node_that_spot_evicted_an_hour_later_was_not_refused_at_its_launch() {
    let launches = [configured(KEY), launch(0, &[A], "r1"), launch(0, &[B], "r2")];
    let refusal = [refused(5, "GenerateDataKeyWithoutPlaintext", KEY, "k1")];
    let case = case(&all(&[&launches, &refusal, &[evicted(3600, &[B])]]));
    assert_eq!(says(&case, A), DENIED_INFERRED);
    assert_eq!(says(&case, B), "unknown unknown [] spot-interruption");
}

#[test]
fn two_nodes_of_one_second_keep_their_own_refusals() {
    let launches = [configured(KEY), launch(0, &[A], "r1"), launch(0, &[B], "r2")];
    let by_id = refused(1, "GenerateDataKeyWithoutPlaintext", KEY, "r1");
    let alone = case(&all(&[&launches, std::slice::from_ref(&by_id)]));
    assert_eq!((says(&alone, A), says(&alone, B)), (DENIED.into(), NOTHING.into()));
    let other = refused(1, "CreateGrant", KEY, "k9");
    let both = case(&all(&[&launches, &[by_id, other]]));
    assert_eq!((says(&both, A), says(&both, B)), (DENIED.into(), DENIED_INFERRED.into()));
}

#[test]
fn a_key_use_joined_by_the_session_alone_is_not_lost_on_a_node_that_registered() {
    // Only its data key is in the archive: the file with its grant is not.
    let use_only = [data_key(2, "vol-0a", KEY, "k1"), registered(60, A)];
    let case = case(&all(&[&one_launch(), &use_only]));
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a"]);
}

#[test]
fn one_request_of_two_instances_of_which_one_is_refused() {
    let records = [
        configured(KEY),
        launch(0, &[A, B], "r1"),
        data_key(1, "vol-0a", KEY, "r1"),
        data_key(1, "vol-0b", KEY, "r1"),
        grant(1, "vol-0a", A, KEY, "r1"),
        decrypt(2, "vol-0a", A, KEY, "r1"),
        refused(2, "CreateGrant", KEY, "r1"),
    ];
    let case = case(&records);
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(says(&case, B), DENIED_INFERRED);
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a"]);
    assert_eq!(volumes(&case, B), ["launch denied KEY vol-0b"]);
}

#[test]
fn one_request_of_two_instances_that_both_opened_swallows_a_refusal() {
    let records = all(&[
        &[configured(KEY), launch(0, &[A, B], "r1"), refused(1, "CreateGrant", KEY, "r1")],
        &opened(2, "vol-0a", A, KEY, "r1"),
        &opened(2, "vol-0b", B, KEY, "r1"),
    ]);
    let case = case(&records);
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(says(&case, B), "match configured [KEY] -");
}

#[test]
fn fleet_instances_are_found_in_every_nesting() {
    for ids in [
        r#""i-0a""#,
        r#"["i-0a"]"#,
        r#"{"item":"i-0a"}"#,
        r#"{"item":["i-0a"]}"#,
        r#"{"items":["i-0a"]}"#,
        r#"{"item":{"instanceId":"i-0a"}}"#,
        r#"{"item":[{"instanceId":"i-0a"}]}"#,
    ] {
        let case =
            case(&[configured(KEY), fleet(0, &fleet_item(ids), "\"\""), grant(1, "vol-0a", A, KEY, "k1")]);
        assert_eq!(says(&case, A), "match configured [KEY] -", "{ids}");
        assert_eq!(node(&case, A).nodepool.as_deref(), Some("general"));
        assert_eq!(node(&case, A).fleet_id.as_deref(), Some(FLEET));
        assert_eq!(node(&case, A).karpenter_version.as_deref(), Some("1.5.0"));
    }
    let one = r#"{"lifecycle":"spot","instanceIds":"i-0a","tag":1},{"lifecycle":"spot","instanceIds":["i-0b"],"tag":2}"#;
    for two in [format!("[{one}]"), format!(r#"{{"item":[{one}]}}"#), format!(r#"{{"items":[{one}]}}"#)] {
        assert_eq!(case(&[fleet(0, &two, "{}")]).nodes.len(), 2, "{two}");
    }
    let three = fleet_item(r#"["i-0a","i-0b","i-0c"]"#);
    assert_eq!(case(&[fleet(0, &three, "{}")]).nodes.len(), 3);
}

#[test]
fn without_run_instances_the_session_of_the_fleet_joins() {
    let records = [
        configured(KEY),
        fleet(0, &fleet_item(r#"["i-0a"]"#), "{}"),
        refused(1, "GenerateDataKeyWithoutPlaintext", KEY, "k1"),
    ];
    assert_eq!(says(&case(&records), A), DENIED_INFERRED);
}

#[test]
fn without_create_fleet_the_node_is_still_karpenters() {
    let case = case(&[launch(0, &[A], "r1")]);
    assert_eq!(node(&case, A).nodepool.as_deref(), Some("general"));
    assert_eq!(node(&case, A).cluster.as_deref(), Some("demo"));
}

/// RunInstances without tags, template or answer to tell whose it is, except for what is given.
fn bare_launch(members: &str, instance_tags: &str) -> Record {
    Record::new(1, "ec2", "RunInstances")
        .through("ec2fleet.amazonaws.com")
        .id("r1")
        .asks(format!(r#"{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}},{members}"blockDeviceMapping":{{}}}}"#))
        .answers(format!(r#"{{"requestId":"r1","instancesSet":{{"items":[{{"instanceId":"{A}","imageId":"ami-0a","tagSet":{{"items":[{instance_tags}]}}}}]}}}}"#))
}

#[test]
fn a_fleet_whose_answer_was_left_out_is_joined_by_client_token_or_tag() {
    let token = format!(r#""clientToken":"{FLEET}-0","#);
    let tag = format!(r#"{{"key":"aws:ec2:fleet-id","value":"{FLEET}"}}"#);
    for launch in [bare_launch(&token, ""), bare_launch("", &tag)] {
        let fleet = fleet(2, "\"\"", "\"\"");
        let case = case(&[configured(KEY), fleet, launch]);
        let node = node(&case, A);
        assert_eq!(node.fleet_id.as_deref(), Some(FLEET));
        assert_eq!(node.nodepool.as_deref(), Some("general"), "of the fleet's request");
        assert_eq!(node.karpenter_version.as_deref(), Some("1.5.0"), "of the fleet's request");
    }
}

/// The fleet says spot and names the template; RunInstances says neither. Either may be stamped first.
fn cases_of_the_fleets_word() -> Vec<(i64, crate::correlate::Case)> {
    let set = fleet_item(r#"["i-0a"]"#).replace("on-demand", "spot");
    let case_at = |second| case(&[configured(KEY), fleet(second, &set, "{}"), bare_launch("", "")]);
    [2, 1, 0].map(|second| (second, case_at(second))).into()
}

#[test]
fn the_template_that_only_the_fleet_names_stays_known_whichever_event_comes_first() {
    for (second, case) in cases_of_the_fleets_word() {
        let node = node(&case, A);
        assert_eq!(node.launch_template.as_ref().map(|template| &*template.id), Some("lt-0a"), "{second} s");
        assert_eq!(
            node.expected_key.as_ref().and_then(|key| key.key_arn.as_deref()),
            Some(KEY),
            "{second} s"
        );
    }
}

#[test]
fn the_capacity_type_that_only_the_fleet_names_stays_known_whichever_event_comes_first() {
    for (second, case) in cases_of_the_fleets_word() {
        assert_eq!(node(&case, A).capacity_type, Some(crate::correlate::CapacityType::Spot), "{second} s");
    }
}

#[test]
fn the_owners_copy_of_a_cross_account_use_counts_once_and_alone_is_enough() {
    let foreign = "arn:aws:kms:us-east-1:444455556666:key/aaaaaaaa-1111-4111-8111-111111111111";
    let callers = data_key(1, "vol-0a", foreign, "r1").more(r#","sharedEventID":"s1""#);
    let owner = format!(
        r#"{{"type":"AWSAccount","principalId":"AROAEXAMPLE:{SESSION}","accountId":"{ACCOUNT}","invokedBy":"ec2-frontend-api.amazonaws.com"}}"#
    );
    let owners = callers.clone().by(owner, "ec2-frontend-api.amazonaws.com").received_by(OTHER_ACCOUNT);
    let launch = [configured(foreign), launch(0, &[A], "r1")];
    for copies in [vec![callers.clone()], vec![owners.clone()], vec![callers, owners]] {
        let case = case(&all(&[&launch, &copies]));
        assert_eq!(says(&case, A), format!("match configured [{foreign}] -"));
        assert_eq!(node(&case, A).volumes[0].evidence.len(), 1);
        assert_eq!(node(&case, A).account_id.as_ref(), ACCOUNT);
    }
}

#[test]
fn a_volume_attached_later_is_listed_and_not_judged() {
    let attached = [
        attach(3600, "vol-0f", A, "a1"),
        grant(3600, "vol-0f", A, OTHER, "a1"),
        decrypt(3601, "vol-0f", A, OTHER, "a2"),
    ];
    let case = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, "r1"), &attached]));
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "attached-later used OTHER vol-0f"]);
}

#[test]
fn a_volume_made_by_create_volume_or_only_opened_later_is_attached_later() {
    let created = [
        Record::new(300, "ec2", "CreateVolume")
            .by(role_session(ACCOUNT, "ebs-csi", "csi", None), "csi")
            .id("c1")
            .asks(r#"{"size":"10","zone":"us-east-1a","encrypted":true}"#)
            .answers(r#"{"volumeId":"vol-0f","size":"10"}"#),
        data_key(300, "vol-0f", OTHER, "c1"),
        grant(310, "vol-0f", A, OTHER, "a1"),
    ];
    for later in [created.to_vec(), vec![decrypt(3600, "vol-0f", A, OTHER, "d1")]] {
        let case = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, "r1"), &later]));
        assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "attached-later used OTHER vol-0f"]);
        assert_eq!(says(&case, A), "match configured [KEY] -");
    }
}

/// A driver's volume, whose CreateVolume and AttachVolume are not in the archive.
fn drivers(second: i64, key: &str, role: &str) -> Vec<Record> {
    let identity = || role_session(ACCOUNT, role, "1", Some("ec2-frontend-api.amazonaws.com"));
    vec![
        data_key(second, "vol-0f", key, "c1").by(identity(), "ec2-frontend-api.amazonaws.com"),
        grant(second + 4, "vol-0f", A, key, "a1").by(identity(), "ec2-frontend-api.amazonaws.com"),
        decrypt(second + 5, "vol-0f", A, key, "a1"),
    ]
}

#[test]
fn a_volume_of_another_session_and_request_is_not_the_launchs() {
    let verdict = |lists: &[&[Record]]| {
        let case = case(&all(lists));
        (says(&case, A).split(' ').next().map(str::to_owned).unwrap_or_default(), volumes(&case, A))
    };
    for second in [2, 19] {
        for request in ["r1", "k1"] {
            let (verdict, volumes) = verdict(&[
                &one_launch(),
                &opened(1, "vol-0a", A, KEY, request),
                &drivers(second, OTHER, "ebs-csi"),
            ]);
            assert_eq!(verdict, "match", "{second} s, request {request}");
            assert_eq!(volumes, ["launch used KEY vol-0a", "attached-later used OTHER vol-0f"]);
        }
        let alone = verdict(&[&one_launch(), &drivers(second, KEY, "ebs-csi"), &[registered(60, A)]]);
        assert_eq!(alone, ("unknown".into(), vec!["? used KEY vol-0f".into()]), "{second} s");
    }
    let same = role_session(
        ACCOUNT,
        "KarpenterControllerRole-demo",
        SESSION,
        Some("ec2-frontend-api.amazonaws.com"),
    );
    let own = drivers(2, OTHER, "x").into_iter().take(2).map(|record| record.by(same.clone(), "x"));
    let own: Vec<Record> = own.collect();
    assert_eq!(verdict(&[&one_launch(), &own]).0, "mismatch", "the launch's own session");
    let service = session(ACCOUNT, SESSION, Some("ec2-frontend-api.amazonaws.com"))
        .replace("assumed-role/KarpenterControllerRole-demo", "assumed-role/AWSServiceRoleForEC2Spot")
        .replace(
            "role/KarpenterControllerRole-demo\"",
            "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot\"",
        );
    let spots = drivers(2, OTHER, "x").into_iter().take(2).map(|record| record.by(service.clone(), "x"));
    let spots: Vec<Record> = spots.collect();
    assert_eq!(verdict(&[&one_launch(), &spots]).0, "mismatch", "a service of AWS for the launch");
}

#[test]
fn a_refusal_at_attaching_is_listed_with_the_volumes_attached_later() {
    let attached = attach(3600, "vol-0f", A, "a1").fails("Client.CustomerKeyHasBeenRevoked", "revoked");
    let refusal = refused(3600, "CreateGrant", OTHER, "a1");
    let case = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, "r1"), &[attached, refusal]]));
    assert_eq!(says(&case, A), "match configured [KEY] -");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "attached-later denied OTHER -"]);
}

#[test]
fn a_restart_does_not_make_a_launch_volume_one_attached_later() {
    let start = Record::new(7200, "ec2", "StartInstances")
        .by(person(), AWS_CLI)
        .id("s1")
        .asks(r#"{"instancesSet":{"items":[{"instanceId":"i-0a"}]}}"#)
        .answers(r#"{"instancesSet":{"items":[{"instanceId":"i-0a","previousState":{"code":80,"name":"stopped"}}]}}"#);
    for request in ["r1", "k1"] {
        let restarted =
            [start.clone(), grant(7200, "vol-0a", A, KEY, "s1"), decrypt(7201, "vol-0a", A, KEY, "s1")];
        let case = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, request), &restarted]));
        assert_eq!(volumes(&case, A), ["launch used KEY vol-0a"], "request {request}");
        assert_eq!(says(&case, A), "match configured [KEY] -", "request {request}");
    }
}

#[test]
fn a_volume_only_opened_later_is_attached_later_whatever_joined_the_launchs() {
    let later = [decrypt(3600, "vol-0f", A, OTHER, "d1")];
    for request in ["r1", "k1"] {
        let case = case(&all(&[&one_launch(), &opened(1, "vol-0a", A, KEY, request), &later]));
        assert_eq!(
            volumes(&case, A),
            ["launch used KEY vol-0a", "attached-later used OTHER vol-0f"],
            "request {request}"
        );
    }
}

#[test]
fn a_refused_second_volume_is_not_lost_because_the_first_one_opened() {
    // Each volume has a request id of its own; EC2 gave the launch up.
    let devices = format!("[{},{}]", mapping("/dev/xvda", KEY), mapping("/dev/xvdb", OTHER));
    let records = all(&[
        &[template(-60, "lt-0a", &devices), launch(0, &[A], "r1")],
        &opened(1, "vol-0a", A, KEY, "k1"),
        &[data_key(1, "vol-0b", OTHER, "k2"), refused(2, "CreateGrant", OTHER, "k2"), cleaned_up(15, "r1")],
    ]);
    let case = case(&records);
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "launch denied OTHER vol-0b"]);
    assert_eq!(says(&case, A), "denied configured [KEY] kms-denied?");
}

#[test]
fn the_fleet_names_the_template_where_nothing_else_does() {
    let set = r#"{"item":{"lifecycle":"on-demand","instanceIds":["i-0a"]}}"#;
    let records = all(&[&[configured(KEY), fleet(0, set, "{}")], &opened(1, "vol-0a", A, OTHER, "k1")]);
    assert_eq!(says(&case(&records), A), "mismatch unknown [OTHER] -");
}
