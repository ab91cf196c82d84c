//! Plans and states as `terraform show -json` prints them, against what they say about keys.

use proptest::prelude::*;

use super::parse_terraform;
use crate::manifest::{KeyForm, Manifest, NodeClassKind, NoteKind};

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn parse(text: &str) -> Manifest {
    parse_terraform("plan.json", text).expect("a plan or a state")
}

fn error(text: &str) -> String {
    parse_terraform("plan.json", text).expect_err("neither plan nor state").to_string()
}

fn notes(manifest: &Manifest, kind: NoteKind) -> Vec<String> {
    let notes = manifest.notes.iter().filter(|note| note.kind == kind);
    notes.map(|note| format!("{}: {}", note.position, note.message)).collect()
}

fn aliases(manifest: &Manifest) -> Vec<(String, String)> {
    manifest.aliases.iter().map(|(alias, setting)| (alias.to_string(), setting.key.to_string())).collect()
}

fn resource(address: &str, values: &str) -> String {
    let own = address.rsplit("module.").next().unwrap_or(address);
    let own = if address.starts_with("module.") { own.split_once('.').unwrap().1 } else { own };
    let (mode, own) = own.strip_prefix("data.").map_or(("managed", own), |own| ("data", own));
    let kind = own.split('.').next().unwrap();
    format!(
        r#"{{"address":"{address}","mode":"{mode}","type":"{kind}","name":"x","provider_name":"registry.terraform.io/x","schema_version":0,"values":{values},"sensitive_values":{{}}}}"#
    )
}

fn state(resources: &[String], modules: &str) -> String {
    format!(
        r#"{{"format_version":"1.0","terraform_version":"1.9.8","values":{{"root_module":{{"resources":[{}],"child_modules":[{modules}]}}}}}}"#,
        resources.join(",")
    )
}

/// A plan of one resource.
fn plan(address: &str, values: &str, unknown: &str, sensitive: &str, expressions: &str) -> String {
    let kind = address.split('.').next().unwrap();
    format!(
        r#"{{"format_version":"1.2","terraform_version":"1.9.8","planned_values":{{"root_module":{{"resources":[{}]}}}},
"resource_changes":[{{"address":"{address}","mode":"managed","type":"{kind}","name":"x","change":{{"actions":["create"],"before":null,"after":{values},"after_unknown":{unknown},"before_sensitive":false,"after_sensitive":{sensitive}}}}}],
"configuration":{{"root_module":{{"resources":[{{"address":"{address}","mode":"managed","type":"{kind}","name":"x","expressions":{expressions}}}]}}}}}}"#,
        resource(address, values)
    )
}

fn node_class_body(key: &str) -> String {
    format!(
        "apiVersion: karpenter.k8s.aws/v1\\nkind: EC2NodeClass\\nmetadata:\\n  name: default\\nspec:\\n  blockDeviceMappings:\\n  - deviceName: /dev/xvda\\n    ebs:\\n      encrypted: true\\n      kmsKeyID: {key}\\n"
    )
}

#[test]
fn a_state_with_a_key_an_alias_and_a_node_class_in_a_module() {
    let module = format!(
        r#"{{"address":"module.karpenter","resources":[],"child_modules":[{{"address":"module.karpenter.module.nodes[0]","resources":[{}]}}]}}"#,
        resource(
            r#"module.karpenter.module.nodes[0].kubectl_manifest.class[\"default\"]"#,
            &format!(r#"{{"yaml_body":"{}"}}"#, node_class_body("alias/karpenter-ebs"))
        )
    );
    let text = state(
        &[
            resource("aws_kms_key.ebs", &format!(r#"{{"arn":"{KEY}","key_id":"{KEY_ID}","id":"{KEY_ID}"}}"#)),
            resource(
                "aws_kms_alias.ebs",
                &format!(
                    r#"{{"name":"alias/karpenter-ebs","target_key_id":"{KEY_ID}","arn":"arn:aws:kms:eu-west-1:111122223333:alias/karpenter-ebs","target_key_arn":"{KEY}"}}"#
                ),
            ),
        ],
        &module,
    );
    let manifest = parse(&text);
    assert_eq!(
        aliases(&manifest),
        [("arn:aws:kms:eu-west-1:111122223333:alias/karpenter-ebs".to_owned(), KEY.to_owned())]
    );
    let class = &manifest.node_classes[0];
    let key = class.mappings[0].kms_key.as_ref().unwrap();
    assert_eq!((&*key.text, key.form), ("alias/karpenter-ebs", KeyForm::Key));
    assert_eq!(
        key.position.to_string(),
        "plan.json: module.karpenter.module.nodes[0].kubectl_manifest.class[\"default\"]: line 10, column 17"
    );
    assert_eq!(manifest.notes, []);
}

#[test]
fn an_alias_without_an_arn_goes_by_that_of_its_key() {
    let derived = state(
        &[
            resource("aws_kms_key.ebs", &format!(r#"{{"arn":"{KEY}","key_id":"{KEY_ID}"}}"#)),
            resource("aws_kms_alias.ebs", &format!(r#"{{"name":"alias/x","target_key_id":"{KEY_ID}"}}"#)),
        ],
        "",
    );
    assert_eq!(
        aliases(&parse(&derived)),
        [("arn:aws:kms:eu-west-1:111122223333:alias/x".to_owned(), KEY.to_owned())]
    );
    let alone = state(
        &[resource("aws_kms_alias.ebs", &format!(r#"{{"name":"alias/x","target_key_id":"{KEY_ID}"}}"#))],
        "",
    );
    let manifest = parse(&alone);
    assert_eq!(aliases(&manifest), [], "a name alone would hold in every account and region");
    assert_eq!(notes(&manifest, NoteKind::Unresolved).len(), 1);
}

#[test]
fn a_plan_says_what_is_known_only_after_apply() {
    let text = plan(
        "aws_kms_alias.ebs",
        r#"{"name":"alias/x","name_prefix":null}"#,
        r#"{"arn":true,"id":true,"target_key_arn":true,"target_key_id":true}"#,
        "{}",
        r#"{"name":{"constant_value":"alias/x"},"target_key_id":{"references":["aws_kms_key.ebs.key_id","aws_kms_key.ebs"]}}"#,
    );
    let manifest = parse(&text);
    assert_eq!(aliases(&manifest), []);
    assert_eq!(
        notes(&manifest, NoteKind::Unresolved),
        [
            "plan.json: aws_kms_alias.ebs: `alias/x` points to a key that is not known before apply: aws_kms_key.ebs.key_id"
        ]
    );
    let body = plan(
        "kubectl_manifest.class",
        r#"{"force_new":false}"#,
        r#"{"yaml_body":true,"yaml_body_parsed":true}"#,
        "{}",
        r#"{"yaml_body":{"references":["var.name","aws_kms_key.ebs.arn","aws_kms_key.ebs"]}}"#,
    );
    let manifest = parse(&body);
    assert_eq!(manifest.node_classes, []);
    assert_eq!(
        notes(&manifest, NoteKind::Unresolved),
        [
            "plan.json: kubectl_manifest.class: an object that may be a node class is known only after apply: aws_kms_key.ebs.arn"
        ]
    );
}

#[test]
fn one_unknown_or_sensitive_value_leaves_the_rest_known() {
    let manifest_of = |unknown: &str, sensitive: &str| {
        let values = r#"{"manifest":{"apiVersion":"karpenter.k8s.aws/v1","kind":"EC2NodeClass","metadata":{"name":"default"},"spec":{"blockDeviceMappings":[{"deviceName":"/dev/xvda","ebs":{"encrypted":true,"kmsKeyID":"alias/secret"}},{"deviceName":"/dev/xvdb","ebs":{"encrypted":true,"kmsKeyID":"alias/plain"}}]}}}"#;
        let values = if unknown == "{}" {
            values.to_owned()
        } else {
            values.replace(r#","kmsKeyID":"alias/secret""#, "")
        };
        let text = plan(
            "kubernetes_manifest.class",
            &values,
            unknown,
            sensitive,
            r#"{"manifest":{"references":["aws_kms_key.ebs.arn"]}}"#,
        );
        parse(&text)
    };
    let marks = r#"{"manifest":{"spec":{"blockDeviceMappings":[{"ebs":{"kmsKeyID":true}},{}]}}}"#;
    for (manifest, text, form) in [
        (manifest_of("{}", "{}"), "alias/secret", KeyForm::Key),
        (manifest_of(marks, "{}"), "aws_kms_key.ebs.arn", KeyForm::AfterApply),
        (manifest_of("{}", marks), "(sensitive)", KeyForm::Sensitive),
    ] {
        let class = &manifest.node_classes[0];
        let keys: Vec<(&str, KeyForm)> = class
            .mappings
            .iter()
            .filter_map(|mapping| mapping.kms_key.as_ref())
            .map(|key| (&*key.text, key.form))
            .collect();
        assert_eq!(keys, [(text, form), ("alias/plain", KeyForm::Key)]);
        assert_eq!(notes(&manifest, NoteKind::Unresolved).len(), usize::from(form != KeyForm::Key));
        assert!(form == KeyForm::Key || !format!("{manifest:?}").contains("alias/secret"));
    }
}

#[test]
fn a_body_that_the_provider_marks_as_sensitive_is_read_for_its_keys() {
    let text = plan(
        "kubectl_manifest.class",
        &format!(r#"{{"yaml_body":"{}"}}"#, node_class_body(KEY)),
        "{}",
        r#"{"yaml_body":true}"#,
        "{}",
    );
    let key = parse(&text).node_classes.remove(0).mappings.remove(0).kms_key.unwrap();
    assert_eq!((&*key.text, key.form), (KEY, KeyForm::Key));
}

#[test]
fn a_launch_template_has_its_mappings() {
    let text = state(
        &[resource(
            "aws_launch_template.golden",
            &format!(
                r#"{{"id":"lt-0123456789abcdef0","name":"golden","block_device_mappings":[{{"device_name":"/dev/xvda","ebs":[{{"encrypted":"true","kms_key_id":"{KEY}","snapshot_id":"","volume_size":20}}],"no_device":"","virtual_name":""}},{{"device_name":"/dev/xvdb","ebs":[{{"encrypted":"","kms_key_id":""}}]}},{{"device_name":"/dev/sdc","ebs":[],"virtual_name":"ephemeral0"}}]}}"#
            ),
        )],
        "",
    );
    let manifest = parse(&text);
    let template = manifest.launch_template(Some("lt-0123456789abcdef0"), None).expect("by id");
    assert_eq!(manifest.launch_template(None, Some("golden")), Some(template));
    assert_eq!(manifest.launch_template(None, Some("other")), None);
    assert_eq!(manifest.launch_template(None, None), None);
    let keys: Vec<bool> = template.mappings.iter().map(|mapping| mapping.kms_key.is_some()).collect();
    assert_eq!(keys, [true, false, false]);
    assert_eq!(template.mappings.iter().filter(|mapping| mapping.is_ebs).count(), 2);
}

#[test]
fn a_planned_change_makes_the_next_version_of_a_launch_template() {
    let version = |id: &str, actions: &str, latest: &str, unknown: &str, before: &str| {
        let text = format!(
            r#"{{"format_version":"1.2","planned_values":{{"root_module":{{"resources":[{{"address":"aws_launch_template.golden","mode":"managed","type":"aws_launch_template","name":"golden","values":{{{id}"name":"golden",{latest}"block_device_mappings":[]}}}}]}}}},"resource_changes":[{{"address":"aws_launch_template.golden","type":"aws_launch_template","change":{{"actions":[{actions}],"before":{before},"after_unknown":{unknown},"after_sensitive":{{}}}}}}]}}"#
        );
        parse(&text).launch_templates[0].version
    };
    let id = r#""id":"lt-0123456789abcdef0","#;
    let before = r#"{"id":"lt-0123456789abcdef0","latest_version":4}"#;
    assert_eq!(version(id, r#""update""#, "", r#"{"latest_version":true}"#, before), Some(5));
    assert_eq!(version(id, r#""no-op""#, r#""latest_version":4,"#, "{}", before), Some(4));
    // One that is made anew begins at 1, and its id is known only then.
    let unknown = r#"{"id":true,"latest_version":true}"#;
    assert_eq!(version("", r#""delete","create""#, "", unknown, before), None);
    assert_eq!(version("", r#""create""#, "", unknown, "null"), None);
    for odd in ["[]", "7", r#"{"latest_version":"four"}"#, r#"{"latest_version":18446744073709551615}"#] {
        assert_eq!(version(id, r#""update""#, "", r#"{"latest_version":true}"#, odd), None, "{odd}");
    }
}

#[test]
fn data_sources_that_a_plan_has_read_count() {
    let data = resource(
        "data.aws_kms_alias.ebs",
        &format!(
            r#"{{"name":"alias/x","arn":"arn:aws:kms:eu-west-1:111122223333:alias/x","target_key_arn":"{KEY}","target_key_id":"{KEY_ID}"}}"#
        ),
    );
    let old = resource(
        "aws_kms_alias.old",
        &format!(
            r#"{{"name":"alias/old","arn":"arn:aws:kms:eu-west-1:111122223333:alias/old","target_key_arn":"{KEY}"}}"#
        ),
    );
    let text = format!(
        r#"{{"format_version":"1.2","planned_values":{{"root_module":{{}}}},"prior_state":{{"format_version":"1.0","values":{{"root_module":{{"resources":[{data},{old}]}}}}}}}}"#
    );
    assert_eq!(
        aliases(&parse(&text)),
        [("arn:aws:kms:eu-west-1:111122223333:alias/x".to_owned(), KEY.to_owned())],
        "what a plan deletes is only in the prior state"
    );
}

#[test]
fn an_alias_with_two_keys_is_an_error() {
    let alias = |address: &str, key: &str| {
        resource(
            address,
            &format!(
                r#"{{"name":"alias/x","arn":"arn:aws:kms:eu-west-1:111122223333:alias/x","target_key_arn":"{key}"}}"#
            ),
        )
    };
    let other = KEY.replace("1234abcd", "9999abcd");
    let text = state(&[alias("aws_kms_alias.a", KEY), alias("aws_kms_alias.b", &other)], "");
    let message = error(&text);
    assert!(message.contains("aws_kms_alias.b") && message.contains("aws_kms_alias.a"), "{message}");
    let same = state(&[alias("aws_kms_alias.a", KEY), alias("aws_kms_alias.b", KEY)], "");
    assert_eq!(notes(&parse(&same), NoteKind::Repeated).len(), 1);
}

#[test]
fn other_json_is_named_for_what_it_is() {
    assert!(error("{").starts_with("plan.json:1:"));
    assert!(error("[]").contains("not the JSON of `terraform show -json`"));
    assert!(error("{}").contains("no `format_version`"));
    assert!(error(r#"{"version":4,"serial":7,"lineage":"x","resources":[]}"#).contains("a state file"));
    assert!(error(r#"{"format_version":"2.0"}"#).contains("`2.0` is not known"));
    assert!(error("{\"type\":\"version\"}\n{\"type\":\"plan\"}\n").contains("trailing characters"));
    assert_eq!(parse(r#"{"format_version":"1.0"}"#), Manifest::default());
    assert!(error(&format!("{}1", "[".repeat(100_000))).starts_with("plan.json:1:"));
}

#[test]
fn a_karpenter_chart_is_named_as_not_read() {
    let text = state(&[resource("helm_release.k", r#"{"name":"karpenter","chart":"karpenter"}"#)], "");
    assert_eq!(notes(&parse(&text), NoteKind::Unresolved).len(), 1);
    let other = state(&[resource("helm_release.k", r#"{"name":"nginx","chart":"nginx"}"#)], "");
    assert_eq!(parse(&other), Manifest::default());
}

#[test]
fn an_error_within_a_body_names_the_resource_and_the_line() {
    let text = state(&[resource("kubectl_manifest.x", r#"{"yaml_body":"a: b\n  c: [\n"}"#)], "");
    assert!(error(&text).starts_with("plan.json: kubectl_manifest.x: line "), "{}", error(&text));
}

#[test]
fn eras_and_kinds_are_kept_apart() {
    let body = r#"{"yaml_body":"apiVersion: eks.amazonaws.com/v1\nkind: NodeClass\nmetadata: {name: default}\nspec: {ephemeralStorage: {kmsKeyID: alias/a}}\n---\napiVersion: karpenter.k8s.aws/v1alpha1\nkind: AWSNodeTemplate\nmetadata: {name: default}\nspec: {launchTemplate: golden}\n"}"#;
    let manifest = parse(&state(&[resource("kubectl_manifest.x", body)], ""));
    let kinds: Vec<NodeClassKind> = manifest.node_classes.iter().map(|class| class.kind).collect();
    assert_eq!(kinds, [NodeClassKind::AutoModeNodeClass, NodeClassKind::AwsNodeTemplate]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "([\\[\\]{}:,\"a-z0-9]|\"values\":|\"root_module\":|\"resources\":|\"format_version\":\"1.0\"|\"type\":\"aws_kms_alias\"|true|null){0,60}") {
        let _ = parse_terraform("plan.json", &text);
    }

    #[test]
    fn no_values_of_a_known_resource_panic(values in "\\PC{0,40}", kind in "(aws_kms_alias|aws_kms_key|aws_launch_template|kubectl_manifest|kubernetes_manifest)") {
        let quoted = serde_json::to_string(&values).unwrap();
        let texts = format!(r#"{{"name":{quoted},"arn":{quoted},"key_id":{quoted},"target_key_id":{quoted},"yaml_body":{quoted},"manifest":{quoted},"block_device_mappings":[{{"ebs":[{{"kms_key_id":{quoted}}}]}}]}}"#);
        let _ = parse_terraform("plan.json", &state(&[resource(&format!("{kind}.x"), &texts)], ""));
    }
}
