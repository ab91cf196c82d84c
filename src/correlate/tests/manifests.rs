//! What a node class manifest makes of the expected key.

use super::record::*;
use crate::correlate::{Case, DeviceKey, Expectations, KeySource, Question};
use crate::manifest::{Manifest, parse_terraform, parse_yaml};

const A: &str = "i-0a";
const ALIAS: &str = "alias/karpenter-ebs";

/// The node class of all nodes here, with these lines under `blockDeviceMappings`.
fn node_class(mappings: &[&str]) -> Manifest {
    named_node_class("default", mappings)
}

fn named_node_class(name: &str, mappings: &[&str]) -> Manifest {
    let mut text = format!(
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {{name: {name}}}\nspec:\n  role: node\n"
    );
    if !mappings.is_empty() {
        text.push_str("  blockDeviceMappings:\n");
    }
    for mapping in mappings {
        text.push_str(&format!("  - {mapping}\n"));
    }
    parse_yaml("default.yaml", &text).expect("a node class")
}

fn device(name: &str, ebs: &str) -> String {
    format!("{{deviceName: {name}, ebs: {{{ebs}}}}}")
}

fn under(name: &str, key: &str) -> String {
    device(name, &format!("encrypted: true, kmsKeyID: \"{key}\""))
}

fn one(key: &str) -> Manifest {
    node_class(&[&under("/dev/xvda", key)])
}

fn with(manifest: Manifest) -> Expectations {
    Expectations { manifest, ..Expectations::default() }
}

fn answer(records: &[Record], expectations: Expectations) -> Case {
    case_for(records, &Question { expectations, ..Question::default() })
}

fn judge(records: &[Record], expectations: Expectations) -> String {
    says(&answer(records, expectations), A).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// One launch without its template, whose volumes are under `keys`.
fn used(keys: &[&str]) -> Vec<Record> {
    let mut records = vec![launch(0, &[A], "r1")];
    for (index, key) in keys.iter().enumerate() {
        records.extend(opened(1, &format!("vol-0{index}"), A, key, "r1"));
    }
    records
}

/// Device, key as written, key and source of each.
fn devices(keys: &[DeviceKey]) -> Vec<String> {
    let show = |text: &Option<crate::event::Text>| text.as_deref().unwrap_or("-").to_owned();
    keys.iter()
        .map(|own| {
            let key = &own.key;
            format!("{} {} {} {:?}", show(&own.device), show(&key.written), show(&key.key_arn), key.source)
        })
        .collect()
}

#[test]
fn the_node_class_says_what_the_archive_does_not() {
    assert_eq!(judge(&used(&[KEY]), Expectations::default()), "no-expectation unknown");
    for written in [KEY, KEY_ID] {
        assert_eq!(judge(&used(&[KEY]), with(one(written))), "match configured", "{written}");
        assert_eq!(judge(&used(&[OTHER]), with(one(written))), "mismatch unknown", "{written}");
    }
    let elsewhere = named_node_class("gpu", &[&under("/dev/xvda", KEY)]);
    assert_eq!(judge(&used(&[KEY]), with(elsewhere)), "no-expectation unknown", "of another name");
    let west = KEY.replace("us-east-1", "us-west-2");
    assert_eq!(judge(&used(&[KEY]), with(one(&west))), "mismatch unknown", "the id in another region");
    let foreign = KEY.replace(ACCOUNT, OTHER_ACCOUNT);
    assert_eq!(judge(&used(&[KEY]), with(one(&foreign))), "mismatch unknown", "the id in another account");
}

#[test]
fn the_flag_wins_over_the_node_class_and_that_over_the_launch_template() {
    let records = all(&[&[configured(KEY)], &used(&[KEY])]);
    assert_eq!(judge(&records, Expectations::default()), "match configured");
    assert_eq!(judge(&records, with(one(OTHER))), "mismatch configured");
    let both = Expectations { key: Some(KEY.into()), ..with(one(OTHER)) };
    assert_eq!(judge(&records, both), "match configured");
}

#[test]
fn a_node_class_that_was_changed_since_the_launch_is_said() {
    let records = all(&[&[configured(KEY)], &used(&[KEY])]);
    let changed = answer(&records, with(one(OTHER)));
    let node = node(&changed, A);
    assert_eq!(devices(&node.expected_keys), [format!("/dev/xvda {OTHER} {OTHER} NodeClass")]);
    assert_eq!(devices(&node.template_keys), [format!("/dev/xvda {KEY} {KEY} LaunchTemplate")]);
    let template_keys = |template: Record, manifest: Manifest| {
        let case = answer(&all(&[&[template], &used(&[KEY])]), with(manifest));
        super::record::node(&case, A).template_keys.len()
    };
    assert_eq!(template_keys(configured(KEY_ID), one(KEY)), 0, "the same key, written otherwise");
    assert_eq!(template_keys(configured(""), one(KEY)), 1, "no key at launch");
    assert_eq!(template_keys(configured(KEY), node_class(&[])), 1, "no key now");
    assert_eq!(template_keys(configured(KEY), one("${KEY}")), 0, "what a placeholder becomes is not known");
    assert_eq!(template_keys(configured("alias/x"), one("alias/y")), 0, "two aliases that nothing resolves");
    let two = node_class(&[&under("/dev/xvda", KEY), &under("/dev/xvdb", OTHER)]);
    assert_eq!(template_keys(configured(KEY), two), 1, "a device that the launch did not have");
}

#[test]
fn no_key_is_an_expectation_of_none() {
    let without = [
        node_class(&[]),
        node_class(&[&device("/dev/xvda", "encrypted: true")]),
        node_class(&[&device("/dev/xvda", "encrypted: false")]),
        node_class(&[&device("/dev/xvda", "encrypted: true, snapshotID: snap-0123456789abcdef0")]),
    ];
    for manifest in without {
        let case = answer(&used(&[KEY]), with(manifest));
        let node = node(&case, A);
        assert_eq!(node.expected_keys.len(), 1);
        assert_eq!(
            (&node.expected_keys[0].key.written, node.expected_keys[0].key.source),
            (&None, KeySource::NodeClass)
        );
        assert_eq!(node.expected_key, None);
        assert!(says(&case, A).starts_with("no-expectation unknown"));
    }
}

#[test]
fn a_placeholder_is_never_compared() {
    for manifest in [
        one("${KMS_KEY_ARN}"),
        one("{{ .Values.key }}"),
        one("aws_kms_key.ebs.arn"),
        node_class(&["\"{{ .Values.mapping }}\""]),
        node_class(&[&under("/dev/xvda", KEY), &under("/dev/xvdb", "${KEY}")]),
    ] {
        for key in [KEY, OTHER] {
            let verdict = judge(&used(&[key]), with(manifest.clone()));
            assert_eq!(verdict.split(' ').next(), Some("unknown"), "{manifest:?}");
        }
    }
}

#[test]
fn devices_under_different_keys_are_paired_off() {
    let two = || with(node_class(&[&under("/dev/xvda", KEY), &under("/dev/xvdb", OTHER)]));
    assert_eq!(judge(&used(&[KEY, OTHER]), two()), "match configured");
    assert_eq!(judge(&used(&[OTHER, KEY]), two()), "match configured");
    assert_eq!(judge(&used(&[KEY, KEY]), two()), "mismatch configured");
    assert_eq!(judge(&used(&[KEY, THIRD]), two()), "mismatch unknown");
    assert_eq!(judge(&used(&[KEY]), two()), "unknown configured", "one volume is missing");
    let data_only = || with(node_class(&[&device("/dev/xvda", "encrypted: true"), &under("/dev/xvdb", KEY)]));
    assert_eq!(
        judge(&used(&[THIRD, KEY]), data_only()),
        "match unknown",
        "the system's volume may have any key"
    );
    assert_eq!(judge(&used(&[THIRD, OTHER]), data_only()), "mismatch unknown");
}

#[test]
fn aliases_of_terraform_serve_where_the_archive_is_silent() {
    let alias = |arn: &str, key: &str| {
        let text = format!(
            r#"{{"format_version":"1.0","values":{{"root_module":{{"resources":[{{"address":"aws_kms_alias.ebs","mode":"managed","type":"aws_kms_alias","name":"ebs","values":{{"name":"{ALIAS}","arn":"{arn}","target_key_arn":"{key}"}}}}]}}}}}}"#
        );
        parse_terraform("state.json", &text).expect("a state")
    };
    let here = format!("arn:aws:kms:us-east-1:{ACCOUNT}:{ALIAS}");
    let there = format!("arn:aws:kms:us-west-2:{ACCOUNT}:{ALIAS}");
    let both = |aliases: Manifest| {
        let mut manifest = one(ALIAS);
        manifest.merge(aliases).expect("no conflict");
        with(manifest)
    };
    assert_eq!(judge(&used(&[KEY]), with(one(ALIAS))), "unknown unknown");
    assert_eq!(judge(&used(&[KEY]), both(alias(&here, KEY))), "match configured");
    assert_eq!(judge(&used(&[OTHER]), both(alias(&here, KEY))), "mismatch unknown");
    assert_eq!(
        judge(&used(&[KEY]), both(alias(&there, KEY))),
        "unknown unknown",
        "an alias of another region"
    );
    let told = Expectations { aliases: [(ALIAS.into(), OTHER.into())].into(), ..both(alias(&here, KEY)) };
    assert_eq!(judge(&used(&[KEY]), told), "mismatch unknown", "--alias is asked first");
    let created = Record::new(-7200, "kms", "CreateAlias")
        .by(person(), AWS_CLI)
        .asks(format!(r#"{{"aliasName":"{ALIAS}","targetKeyId":"{OTHER}"}}"#))
        .resource(&here)
        .resource(OTHER);
    let records = all(&[&[created], &used(&[OTHER])]);
    assert_eq!(judge(&records, both(alias(&here, KEY))), "match configured", "the archive knows better");
}

#[test]
fn a_launch_template_of_terraform_serves_where_the_archive_is_silent() {
    let text = format!(
        r#"{{"format_version":"1.0","values":{{"root_module":{{"resources":[{{"address":"aws_launch_template.nodes","mode":"managed","type":"aws_launch_template","name":"nodes","values":{{"id":"lt-0a","name":"nodes","block_device_mappings":[{{"device_name":"/dev/xvda","ebs":[{{"encrypted":"true","kms_key_id":"{KEY}"}}]}}]}}}}]}}}}}}"#
    );
    let manifest = || parse_terraform("state.json", &text).expect("a state");
    assert_eq!(judge(&used(&[KEY]), with(manifest())), "match configured");
    let case = answer(&used(&[OTHER]), with(manifest()));
    assert!(says(&case, A).starts_with("mismatch unknown"));
    assert_eq!(node(&case, A).expected_keys[0].key.source, KeySource::LaunchTemplate);
    let known = all(&[&[configured(OTHER)], &used(&[OTHER])]);
    assert_eq!(judge(&known, with(manifest())), "match configured", "the archive knows better");
}
