//! Which key a node should have had, which it had, and where that came from.

use super::record::*;
use crate::correlate::{Case, Expectations, Question};

const A: &str = "i-0a";
const ALIAS: &str = "alias/karpenter-ebs";

/// The verdict and the origin.
fn judged(case: &Case) -> String {
    says(case, A).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn judge(records: &[Record]) -> String {
    judged(&case(records))
}

fn judge_with(records: &[Record], key: Option<&str>, aliases: &[(&str, &str)]) -> String {
    let aliases = aliases.iter().map(|(name, key)| ((*name).into(), (*key).into())).collect();
    let expectations = Expectations { key: key.map(Into::into), aliases, ..Expectations::default() };
    judged(&case_for(records, &Question { expectations, ..Question::default() }))
}

/// One launch of the template whose one volume is under `used`.
fn used(used: &str) -> Vec<Record> {
    all(&[&[launch(0, &[A], "r1")], &opened(1, "vol-0a", A, used, "r1")])
}

fn with(template: Record, rest: &[Record]) -> Vec<Record> {
    all(&[&[template], rest])
}

fn alias(second: i64, change: &str, target: &str) -> Record {
    let record = Record::new(second, "kms", change).by(person(), AWS_CLI);
    if target.is_empty() {
        record.asks(format!(r#"{{"aliasName":"{ALIAS}"}}"#))
    } else {
        let id = target.rsplit_once('/').expect("a key ARN").1;
        record
            .asks(format!(r#"{{"aliasName":"{ALIAS}","targetKeyId":"{id}"}}"#))
            .resource(&format!("arn:aws:kms:us-east-1:{ACCOUNT}:{ALIAS}"))
            .resource(target)
    }
}

#[test]
fn every_way_to_write_the_key() {
    for written in [KEY, KEY_ID] {
        assert_eq!(judge(&with(configured(written), &used(KEY))), "match configured", "{written}");
        assert_eq!(judge(&with(configured(written), &used(OTHER))), "mismatch unknown", "{written}");
    }
    let west = KEY.replace("us-east-1", "us-west-2");
    assert_eq!(judge(&with(configured(&west), &used(KEY))), "mismatch unknown", "the id in another region");
}

#[test]
fn a_multi_region_key_is_another_key_in_another_region() {
    let key =
        |region: &str| format!("arn:aws:kms:{region}:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab");
    let (east, west) = (key("us-east-1"), key("us-west-2"));
    assert_eq!(judge(&with(configured(&west), &used(&east))), "mismatch unknown");
    assert_eq!(
        judge(&with(configured("mrk-1234abcd12ab34cd56ef1234567890ab"), &used(&east))),
        "match configured"
    );
    assert_eq!(
        judge(&with(configured("mrk-1234abcd12ab34cd56ef1234567890ab"), &used(&west))),
        "mismatch unknown"
    );
}

#[test]
fn an_alias_counts_as_of_the_launch() {
    let launched = |changes: &[Record], key: &str| judge(&all(&[&[configured(ALIAS)], changes, &used(key)]));
    let created = || alias(-7200, "CreateAlias", KEY);
    assert_eq!(launched(&[created()], KEY), "match configured");
    assert_eq!(launched(&[created(), alias(-60, "UpdateAlias", OTHER)], KEY), "mismatch unknown");
    assert_eq!(launched(&[created(), alias(-60, "UpdateAlias", OTHER)], OTHER), "match configured");
    assert_eq!(launched(&[created(), alias(60, "UpdateAlias", OTHER)], KEY), "match configured");
    assert_eq!(launched(&[alias(60, "CreateAlias", KEY)], KEY), "unknown unknown", "made after the launch");
    assert_eq!(launched(&[alias(60, "UpdateAlias", OTHER)], KEY), "unknown unknown", "only a later change");
    assert_eq!(launched(&[created(), alias(-60, "DeleteAlias", "")], KEY), "unknown unknown", "deleted");
    let failed = alias(-60, "UpdateAlias", OTHER).fails("AccessDenied", "x");
    assert_eq!(launched(&[created(), failed], KEY), "match configured", "a change that failed");
    let elsewhere = created().in_place(ACCOUNT, "us-west-2");
    assert_eq!(launched(&[elsewhere], KEY), "unknown unknown", "an alias of another region");
}

#[test]
fn the_user_resolves_what_the_archive_does_not() {
    let records = with(configured(ALIAS), &used(KEY));
    assert_eq!(judge_with(&records, None, &[]), "unknown unknown");
    assert_eq!(judge_with(&records, None, &[(ALIAS, KEY)]), "match configured");
    assert_eq!(judge_with(&records, None, &[(ALIAS, OTHER)]), "mismatch unknown");
    let arn = format!("arn:aws:kms:us-east-1:{ACCOUNT}:{ALIAS}");
    let by_arn = with(configured(&arn), &used(KEY));
    assert_eq!(judge_with(&by_arn, None, &[(ALIAS, KEY)]), "match configured");
    assert_eq!(judge_with(&records, None, &[(&arn, KEY)]), "match configured");
    let west = format!("arn:aws:kms:us-west-2:{ACCOUNT}:{ALIAS}");
    assert_eq!(judge_with(&with(configured(&west), &used(KEY)), None, &[(&arn, KEY)]), "unknown unknown");
    let known = all(&[&[configured(ALIAS), alias(-60, "CreateAlias", OTHER)], &used(OTHER)]);
    assert_eq!(judge_with(&known, None, &[(ALIAS, KEY)]), "match configured", "the archive knows better");
}

#[test]
fn what_is_told_of_an_alias_yields_to_what_the_archive_shows_of_it_after_the_launch() {
    let told = |later: &[Record]| {
        judge_with(&all(&[&with(configured(ALIAS), &used(KEY)), later]), None, &[(ALIAS, KEY)])
    };
    for change in ["CreateAlias", "UpdateAlias"] {
        for target in [KEY, OTHER] {
            assert_eq!(told(&[alias(60, change, target)]), "unknown unknown", "{change} {target}");
        }
        let failed = alias(60, change, OTHER).fails("AccessDenied", "x");
        assert_eq!(told(&[failed]), "match configured", "a change that failed");
        let elsewhere = alias(60, change, OTHER).in_place(ACCOUNT, "us-west-2");
        assert_eq!(told(&[elsewhere]), "match configured", "an alias of another region");
    }
    assert_eq!(told(&[alias(60, "DeleteAlias", "")]), "match configured", "it was there until then");
    let by_alias = |key| data_key_of(600, "vol-0f", ALIAS, key, "r9");
    assert_eq!(told(&[by_alias(KEY)]), "match configured", "a later launch by the alias says the same");
    assert_eq!(told(&[by_alias(KEY), alias(900, "UpdateAlias", OTHER)]), "match configured");
    assert_eq!(told(&[by_alias(OTHER)]), "unknown unknown", "a later launch by the alias says another");
    assert_eq!(told(&[alias(-60, "DeleteAlias", "")]), "unknown unknown");
    assert_eq!(told(&[alias(-60, "DeleteAlias", ""), alias(60, "CreateAlias", KEY)]), "unknown unknown");
}

#[test]
fn a_use_by_alias_resolves_the_alias() {
    let records = [configured(ALIAS), launch(0, &[A], "r1"), data_key_of(1, "vol-0a", ALIAS, KEY, "r1")];
    assert_eq!(judge(&records), "match configured");
}

#[test]
fn the_aws_managed_key() {
    let managed = |template: Record| {
        judge(&[template, launch(0, &[A], "r1"), data_key_of(1, "vol-0a", "alias/aws/ebs", THIRD, "r1")])
    };
    assert_eq!(managed(configured(KEY)), "mismatch aws-managed");
    assert_eq!(managed(configured("")), "no-expectation aws-managed");
    assert_eq!(managed(configured("alias/aws/ebs")), "match configured");
}

#[test]
fn mappings_in_every_shape() {
    let one = mapping("/dev/xvda", KEY);
    for shape in
        [one.clone(), format!("[{one}]"), format!(r#"{{"item":{one}}}"#), format!(r#"{{"items":[{one}]}}"#)]
    {
        assert_eq!(judge(&with(template(-60, "lt-0a", &shape), &used(KEY))), "match configured", "{shape}");
        assert_eq!(judge(&with(template(-60, "lt-0a", &shape), &used(OTHER))), "mismatch unknown", "{shape}");
    }
}

#[test]
fn a_placeholder_in_a_launch_template_is_never_compared() {
    for written in ["${kms_alias}", "{{ .Values.key }}", "<key>"] {
        let found = case(&with(configured(written), &used(KEY)));
        assert_eq!(judged(&found), "unknown unknown", "{written}");
        let key = &node(&found, A).expected_keys[0].key;
        assert_eq!((key.written.as_deref(), key.key_arn.as_deref()), (Some(written), None));
    }
}

#[test]
fn a_template_that_names_no_key_expects_none() {
    for mappings in ["\"\"", "{}", "null", &mapping("/dev/xvda", "")] {
        assert_eq!(judge(&with(template(-60, "lt-0a", mappings), &used(KEY))), "no-expectation unknown");
    }
    assert_eq!(judge(&used(KEY)), "no-expectation unknown", "no template");
    let other = template(-60, "lt-0b", &mapping("/dev/xvda", OTHER));
    assert_eq!(judge(&with(other, &used(KEY))), "no-expectation unknown", "another template");
}

#[test]
fn the_flag_is_asked_first() {
    assert_eq!(judge_with(&used(KEY), Some(KEY), &[]), "match configured");
    assert_eq!(judge_with(&used(OTHER), Some(KEY), &[]), "mismatch unknown");
    let templated = with(configured(OTHER), &used(OTHER));
    assert_eq!(
        judge_with(&templated, Some(KEY), &[]),
        "mismatch configured",
        "the template names what was used"
    );
    assert_eq!(judge_with(&used(KEY), Some(ALIAS), &[]), "unknown unknown");
    assert_eq!(judge_with(&used(KEY), Some(ALIAS), &[(ALIAS, KEY)]), "match configured");
}

fn version(second: i64, number: u64, source: &str, data: &str) -> Record {
    let source = if source.is_empty() { String::new() } else { format!(r#""SourceVersion":"{source}","#) };
    Record::new(second, "ec2", "CreateLaunchTemplateVersion")
        .asks(format!(
            r#"{{"CreateLaunchTemplateVersionRequest":{{"LaunchTemplateId":"lt-0a",{source}"LaunchTemplateData":{data}}}}}"#
        ))
        .answers(format!(
            r#"{{"CreateLaunchTemplateVersionResponse":{{"launchTemplateVersion":{{"launchTemplateId":"lt-0a","versionNumber":{number},"defaultVersion":false}}}}}}"#
        ))
}

fn modified(second: i64, number: u64) -> Record {
    Record::new(second, "ec2", "ModifyLaunchTemplate")
        .asks(format!(r#"{{"ModifyLaunchTemplateRequest":{{"LaunchTemplateId":"lt-0a","SetDefaultVersion":"{number}"}}}}"#))
        .answers(format!(r#"{{"ModifyLaunchTemplateResponse":{{"launchTemplate":{{"launchTemplateId":"lt-0a","defaultVersionNumber":{number}}}}}}}"#))
}

fn launched_from(version: &str, key: &str) -> Vec<Record> {
    let members = format!(r#""launchTemplate":{{"launchTemplateId":"lt-0a","version":{version}}},"#);
    all(&[&[launch_with(0, &[A], "r1", &members)], &opened(1, "vol-0a", A, key, "r1")])
}

#[test]
fn versions_of_a_template() {
    let data = |key: &str| format!(r#"{{"BlockDeviceMapping":{}}}"#, mapping("/dev/xvda", key));
    let second = || version(-600, 2, "", &data(OTHER));
    let with_second = |version: &str, key: &str, more: &[Record]| {
        judge(&all(&[&[configured(KEY), second()], more, &launched_from(version, key)]))
    };
    for (written, key) in
        [("1", KEY), ("\"1\"", KEY), ("2", OTHER), ("\"$Latest\"", OTHER), ("\"$Default\"", KEY)]
    {
        assert_eq!(with_second(written, key, &[]), "match configured", "{written}");
    }
    let default = "\"$Default\"";
    assert_eq!(with_second(default, OTHER, &[modified(-60, 2)]), "match configured");
    assert_eq!(with_second(default, KEY, &[modified(60, 2)]), "match configured", "changed after the launch");
    let third = version(60, 3, "", &data(THIRD));
    assert_eq!(with_second("\"$Latest\"", OTHER, &[third]), "match configured", "made after the launch");
    assert_eq!(with_second("3", KEY, &[]), "no-expectation unknown", "a version that is not in the archive");
}

#[test]
fn a_version_inherits_the_mappings_of_its_source() {
    for source in ["1", "$Default", "$Latest"] {
        let second = version(-600, 2, source, r#"{"ImageId":"ami-0b"}"#);
        let records = all(&[&[configured(KEY), second], &launched_from("2", KEY)]);
        assert_eq!(judge(&records), "match configured", "source {source}");
    }
    let empty = version(-600, 2, "", r#"{"ImageId":"ami-0b"}"#);
    let records = all(&[&[configured(KEY), empty], &launched_from("2", KEY)]);
    assert_eq!(judge(&records), "no-expectation unknown", "without a source nothing is inherited");
}

#[test]
fn a_template_recorded_after_the_launch_was_not_the_launchs() {
    // A template's name may be used again once the first was deleted; Karpenter does so.
    let by_name = launch_with(
        0,
        &[A],
        "r1",
        r#""launchTemplate":{"launchTemplateName":"karpenter.k8s.aws/1","version":"1"},"#,
    );
    let rest = all(&[&[by_name], &opened(1, "vol-0a", A, KEY, "r1")]);
    let old = template(-3600, "lt-0a", &mapping("/dev/xvda", KEY));
    let new = template(60, "lt-0b", &mapping("/dev/xvda", OTHER));
    assert_eq!(judge(&all(&[&[old, new.clone()], &rest])), "match configured");
    assert_eq!(judge(&all(&[&[new], &rest])), "no-expectation unknown");
    let later = template(60, "lt-0a", &mapping("/dev/xvda", OTHER));
    assert_eq!(judge(&with(later, &used(KEY))), "no-expectation unknown", "by id");
}

fn two_volumes(one: &str, two: &str) -> Vec<Record> {
    all(&[&[launch(0, &[A], "r1")], &opened(1, "vol-0a", A, one, "r1"), &opened(1, "vol-0b", A, two, "r1")])
}

fn two_devices(one: &str, two: &str) -> Record {
    template(-60, "lt-0a", &format!("[{},{}]", mapping("/dev/xvda", one), mapping("/dev/xvdb", two)))
}

#[test]
fn two_devices_with_keys_of_their_own() {
    let case_of = |volumes: &[Record]| judge(&with(two_devices(KEY, OTHER), volumes));
    assert_eq!(case_of(&two_volumes(KEY, OTHER)), "match configured");
    assert_eq!(case_of(&two_volumes(OTHER, KEY)), "match configured", "which is which is not logged");
    assert_eq!(case_of(&two_volumes(KEY, KEY)), "mismatch configured");
    assert_eq!(case_of(&two_volumes(KEY, THIRD)), "mismatch unknown");
    assert_eq!(case_of(&used(KEY)), "unknown configured", "one volume is missing");
}

#[test]
fn two_devices_with_one_key() {
    let case_of = |volumes: &[Record]| judge(&with(two_devices(KEY, KEY), volumes));
    assert_eq!(case_of(&two_volumes(KEY, KEY)), "match configured");
    assert_eq!(case_of(&two_volumes(KEY, OTHER)), "mismatch unknown");
    assert_eq!(case_of(&used(KEY)), "unknown configured", "one volume is missing");
    assert_eq!(case_of(&used(OTHER)), "mismatch unknown");
}

#[test]
fn a_device_without_a_key_may_have_any() {
    for template in [two_devices(KEY, ""), two_devices("", KEY)] {
        assert_eq!(judge(&with(template.clone(), &two_volumes(KEY, OTHER))), "match configured");
        assert_eq!(judge(&with(template, &two_volumes(OTHER, THIRD))), "mismatch unknown");
    }
}

fn default_key(second: i64, key: &str) -> Record {
    Record::new(second, "ec2", "ModifyEbsDefaultKmsKeyId")
        .by(person(), AWS_CLI)
        .asks(format!(r#"{{"ModifyEbsDefaultKmsKeyIdRequest":{{"KmsKeyId":"{key}"}}}}"#))
        .answers(format!(r#"{{"ModifyEbsDefaultKmsKeyIdResponse":{{"kmsKeyId":"{key}"}}}}"#))
}

#[test]
fn the_account_default_counts_as_of_the_launch_and_in_its_region() {
    let origin = |changes: &[Record]| judge(&all(&[&[configured(KEY)], changes, &used(OTHER)]));
    assert_eq!(origin(&[default_key(-60, OTHER)]), "mismatch account-default");
    assert_eq!(origin(&[default_key(60, OTHER)]), "mismatch unknown", "set after the launch");
    assert_eq!(origin(&[default_key(-60, OTHER), default_key(60, THIRD)]), "mismatch account-default");
    assert_eq!(origin(&[default_key(-60, OTHER), default_key(-30, THIRD)]), "mismatch other", "set anew");
    let reset = Record::new(-30, "ec2", "ResetEbsDefaultKmsKeyId")
        .by(person(), AWS_CLI)
        .asks(r#"{"ResetEbsDefaultKmsKeyIdRequest":""}"#)
        .answers(r#"{"ResetEbsDefaultKmsKeyIdResponse":{"kmsKeyId":"alias/aws/ebs"}}"#);
    assert_eq!(origin(&[default_key(-60, OTHER), reset]), "mismatch unknown", "reset");
    assert_eq!(origin(&[default_key(-60, OTHER).in_place(ACCOUNT, "us-west-2")]), "mismatch unknown");
    assert_eq!(origin(&[default_key(-60, OTHER).in_place(OTHER_ACCOUNT, REGION)]), "mismatch unknown");
    assert_eq!(
        origin(&[default_key(-60, OTHER).fails("Client.UnauthorizedOperation", "x")]),
        "mismatch unknown"
    );
    let refused = [default_key(-60, OTHER), launch(0, &[A], "r1"), refused(1, "CreateGrant", OTHER, "r1")];
    assert_eq!(judge(&refused), "denied account-default");
}

#[test]
fn encryption_by_default_is_no_key() {
    for name in ["EnableEbsEncryptionByDefault", "DisableEbsEncryptionByDefault"] {
        let toggled = Record::new(-60, "ec2", name)
            .asks(format!(r#"{{"{name}Request":""}}"#))
            .answers(format!(r#"{{"{name}Response":{{"ebsEncryptionByDefault":true}}}}"#));
        assert_eq!(judge(&with(toggled, &used(KEY))), "no-expectation unknown");
    }
}

#[test]
fn the_key_of_the_ami() {
    let copied = |image: &str| {
        Record::new(-3600, "ec2", "CopyImage")
            .asks(format!(r#"{{"sourceImageId":"ami-0f","encrypted":true,"kmsKeyId":"{OTHER}"}}"#))
            .answers(format!(r#"{{"imageId":"{image}"}}"#))
    };
    assert_eq!(judge(&all(&[&[configured(KEY), copied("ami-0a")], &used(OTHER)])), "mismatch ami-snapshot");
    assert_eq!(judge(&all(&[&[configured(KEY), copied("ami-0b")], &used(OTHER)])), "mismatch unknown");
    let same = [re_encrypt(1, "vol-0a", OTHER, OTHER, "r1"), data_key(1, "vol-0a", OTHER, "r1")];
    assert_eq!(judge(&all(&[&[configured(KEY), launch(0, &[A], "r1")], &same])), "mismatch ami-snapshot");
    let to_configured = [re_encrypt(1, "vol-0a", OTHER, KEY, "r1"), data_key(1, "vol-0a", KEY, "r1")];
    assert_eq!(judge(&all(&[&[configured(KEY), launch(0, &[A], "r1")], &to_configured])), "match configured");
    let alone = [re_encrypt(1, "vol-0a", OTHER, KEY, "r1")];
    assert_eq!(judge(&all(&[&[configured(KEY), launch(0, &[A], "r1")], &alone])), "match configured");
}

#[test]
fn the_key_of_the_clusters_secrets() {
    let cluster = |name: &str| {
        Record::new(-9000, "eks", "CreateCluster").by(person(), AWS_CLI).asks(format!(
            r#"{{"name":"{name}","encryptionConfig":[{{"resources":["secrets"],"provider":{{"keyArn":"{OTHER}"}}}}]}}"#
        ))
    };
    let origin = |cluster: Record| judge(&all(&[&[configured(KEY), cluster], &used(OTHER)]));
    assert_eq!(origin(cluster("demo")), "mismatch cluster-secrets");
    assert_eq!(origin(cluster("other")), "mismatch unknown");
    assert_eq!(origin(cluster("demo").at(60)), "mismatch unknown", "after the launch");
    assert_eq!(judge(&all(&[&[configured(OTHER), cluster("demo")], &used(OTHER)])), "match configured");
}

#[test]
fn the_key_summary_counts_nodes_volumes_and_refusals() {
    let records = all(&[
        &[
            configured(KEY),
            launch(0, &[A], "r1"),
            launch(0, &["i-0b"], "r2"),
            refused(1, "CreateGrant", KEY, "r2"),
        ],
        &opened(1, "vol-0a", A, KEY, "r1"),
        &[attach(3600, "vol-0f", A, "a1"), grant(3600, "vol-0f", A, OTHER, "a1")],
    ]);
    let case = case(&records);
    let keys: Vec<_> =
        case.keys.iter().map(|key| (&*key.key_arn, key.nodes, key.volumes, key.denials)).collect();
    assert_eq!(keys, [(KEY, 2, 1, 1), (OTHER, 1, 1, 0)]);
}
