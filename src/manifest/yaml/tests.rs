//! Manifests as people write them, against what they say about keys.

use proptest::prelude::*;

use super::parse_yaml;
use crate::manifest::{KeyForm, Manifest, ManifestError, NodeClass, NodeClassKind, NoteKind};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn parse(text: &str) -> Manifest {
    parse_yaml("nodes.yaml", text).expect("a manifest")
}

fn class(text: &str) -> NodeClass {
    let mut manifest = parse(text);
    assert_eq!(manifest.node_classes.len(), 1, "{manifest:?}");
    manifest.node_classes.remove(0)
}

/// Device, encryption, key and its form of each mapping.
fn says(class: &NodeClass) -> Vec<String> {
    let mappings = class.mappings.iter().map(|mapping| {
        let device = mapping.device.as_deref().unwrap_or("*");
        let key = mapping.kms_key.as_ref().map_or_else(String::new, |key| match key.form {
            KeyForm::Key => format!(" {}", key.text),
            form => format!(" {form:?}:{}", key.text),
        });
        format!("{device} {:?}{key}", mapping.encrypted)
    });
    mappings.collect()
}

fn notes(manifest: &Manifest, kind: NoteKind) -> Vec<String> {
    let notes = manifest.notes.iter().filter(|note| note.kind == kind);
    notes.map(|note| format!("{}: {}", note.position, note.message)).collect()
}

fn error(text: &str) -> String {
    parse_yaml("nodes.yaml", text).expect_err("no manifest").to_string()
}

/// A node class whose `ebs` has these lines.
fn with_ebs(lines: &[&str]) -> String {
    let mut text = String::from(
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: default\nspec:\n  \
         blockDeviceMappings:\n    - deviceName: /dev/xvda\n      ebs:\n        volumeSize: 50Gi\n",
    );
    for line in lines {
        text.push_str(&format!("        {line}\n"));
    }
    text
}

#[test]
fn a_node_class_with_two_volumes_of_bottlerocket() {
    let text = format!(
        "# rendered by hand
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: bottlerocket
spec:
  amiSelectorTerms:
    - alias: bottlerocket@latest
  role: KarpenterNodeRole-shop
  blockDeviceMappings:
    - deviceName: /dev/xvda
      ebs: {{ volumeSize: 4Gi, volumeType: gp3, encrypted: true, kmsKeyID: \"{KEY}\" }}
    - deviceName: /dev/xvdb
      rootVolume: true
      ebs:
        volumeSize: 100Gi
        encrypted: true
        kmsKeyID: alias/karpenter-data
        snapshotID: snap-0123456789abcdef0
"
    );
    let class = class(&text);
    assert_eq!((class.kind, &*class.name), (NodeClassKind::Ec2NodeClass, "bottlerocket"));
    assert_eq!(class.ami_family.as_deref(), Some("bottlerocket"));
    assert_eq!(says(&class), [format!("/dev/xvda On {KEY}"), "/dev/xvdb On alias/karpenter-data".to_owned()]);
    let data = &class.mappings[1];
    assert!(data.is_root && !class.mappings[0].is_root);
    assert_eq!(data.snapshot_id.as_deref(), Some("snap-0123456789abcdef0"));
    assert_eq!(data.kms_key.as_ref().unwrap().position.to_string(), "nodes.yaml:18:19");
    assert_eq!(class.mappings[0].kms_key.as_ref().unwrap().position.line, 12);
    assert_eq!(class.position.to_string(), "nodes.yaml:5:9");
    assert_eq!(parse(&text).notes, []);
}

#[test]
fn every_era_joins_its_pools_with_its_node_classes() {
    let text = "
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: general}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
---
apiVersion: karpenter.sh/v1beta1
kind: NodePool
metadata: {name: batch}
spec: {template: {spec: {nodeClassRef: {name: default}}}}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: auto}
spec: {template: {spec: {nodeClassRef: {group: eks.amazonaws.com, kind: NodeClass, name: default}}}}
---
apiVersion: karpenter.sh/v1alpha5
kind: Provisioner
metadata: {name: old}
spec: {providerRef: {name: default}}
---
apiVersion: karpenter.sh/v1alpha5
kind: Provisioner
metadata: {name: older}
spec:
  provider:
    amiFamily: AL2
    blockDeviceMappings:
      - deviceName: /dev/xvda
        ebs: {encrypted: true, kmsKeyID: alias/inline}
---
apiVersion: karpenter.k8s.aws/v1beta1
kind: EC2NodeClass
metadata: {name: default}
spec: {amiFamily: AL2023}
---
apiVersion: karpenter.k8s.aws/v1alpha1
kind: AWSNodeTemplate
metadata: {name: default}
spec: {launchTemplate: golden}
---
apiVersion: eks.amazonaws.com/v1
kind: NodeClass
metadata: {name: default}
spec: {ephemeralStorage: {size: 80Gi, kmsKeyID: alias/auto}}
";
    let manifest = parse(text);
    let kind_of = |is_auto_mode, class, pool| {
        manifest.node_class_of(is_auto_mode, class, pool).map(|class| (class.kind, class.name.to_string()))
    };
    let named = |kind, name: &str| Some((kind, name.to_owned()));
    assert_eq!(
        kind_of(false, Some("default"), Some("general")),
        named(NodeClassKind::Ec2NodeClass, "default")
    );
    assert_eq!(kind_of(false, None, Some("batch")), named(NodeClassKind::Ec2NodeClass, "default"));
    assert_eq!(kind_of(false, None, Some("old")), named(NodeClassKind::AwsNodeTemplate, "default"));
    assert_eq!(kind_of(false, None, Some("older")), named(NodeClassKind::InlineProvider, "older"));
    assert_eq!(kind_of(true, None, Some("auto")), named(NodeClassKind::AutoModeNodeClass, "default"));
    assert_eq!(kind_of(true, Some("default"), None), named(NodeClassKind::AutoModeNodeClass, "default"));
    assert_eq!(kind_of(false, None, Some("auto")), None, "a pool of EKS Auto Mode is not Karpenter's");
    assert_eq!(kind_of(false, Some("other"), Some("general")), None, "the tag of the node class decides");
    assert_eq!(manifest.node_class_of(true, Some("default"), None).map(says).unwrap(), ["* On alias/auto"]);
    assert_eq!(
        manifest.node_class_of(false, None, Some("old")).unwrap().launch_template.as_deref(),
        Some("golden")
    );
}

#[test]
fn a_list_as_kubectl_prints_it() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: karpenter.k8s.aws/v1\n  kind: EC2NodeClass\n  \
                metadata:\n    name: a\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n";
    let manifest = parse(text);
    assert_eq!(&*manifest.node_classes[0].name, "a");
    assert_eq!(notes(&manifest, NoteKind::Ignored), ["nodes.yaml:8:3: nothing about keys in 1 ConfigMap"]);
    let json = r#"{"apiVersion":"karpenter.k8s.aws/v1","kind":"EC2NodeClass","metadata":{"name":"a"}}"#;
    assert_eq!(&*class(json).name, "a");
}

#[test]
fn what_is_not_said_about_encryption_is_not_known() {
    assert_eq!(says(&class(&with_ebs(&[]))), ["/dev/xvda NotSaid"]);
    assert_eq!(says(&class(&with_ebs(&["encrypted: true"]))), ["/dev/xvda On"]);
    assert_eq!(says(&class(&with_ebs(&["encrypted: false"]))), ["/dev/xvda Off"]);
    assert_eq!(says(&class(&with_ebs(&["encrypted: \"yes\"", "kmsKeyID: ~"]))), ["/dev/xvda On"]);
    assert!(
        error(&with_ebs(&["encrypted: maybe"]))
            .contains("nodes.yaml:10:20: `encrypted` must be true or false")
    );
}

#[test]
fn a_placeholder_is_named_and_is_no_key() {
    for (placeholder, written) in [
        ("${KMS_KEY_ARN}", "${KMS_KEY_ARN}"),
        (
            "\"arn:aws:kms:${AWS_REGION}:111122223333:alias/x\"",
            "arn:aws:kms:${AWS_REGION}:111122223333:alias/x",
        ),
        ("{{ .Values.kmsKeyId | quote }}", "{{ .Values.kmsKeyId | quote }}"),
        ("\"{{ .Values.kmsKeyId }}\"", "{{ .Values.kmsKeyId }}"),
        ("<YOUR_KEY>", "<YOUR_KEY>"),
    ] {
        let text = with_ebs(&["encrypted: true", &format!("kmsKeyID: {placeholder}")]);
        assert_eq!(says(&class(&text)), [format!("/dev/xvda On Placeholder:{written}")]);
        let notes = notes(&parse(&text), NoteKind::Unresolved);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].starts_with("nodes.yaml:11:19: the key of `/dev/xvda` in node class `default`"),
            "{notes:?}"
        );
        assert!(notes[0].contains(written), "{notes:?}");
    }
}

#[test]
fn a_directive_in_the_place_of_settings_leaves_them_unknown() {
    let text = "{{- if .Values.karpenter.enabled }}
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: default
spec:
  blockDeviceMappings:
    {{- toYaml .Values.blockDeviceMappings | nindent 4 }}
{{- end }}
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: plain
spec:
  blockDeviceMappings: {{ .Values.mappings }}
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: certain
";
    let manifest = parse(text);
    let unread: Vec<Option<&str>> =
        manifest.node_classes.iter().map(|class| class.unread.as_deref()).collect();
    assert_eq!(unread, [Some("{{- if .Values.karpenter.enabled }}"), Some("{{ .Values.mappings }}"), None]);
    assert_eq!(notes(&manifest, NoteKind::Unresolved).len(), 2);
}

#[test]
fn settings_without_effect_are_noted() {
    let note = |lines: &[&str]| notes(&parse(&with_ebs(lines)), NoteKind::Invalid);
    assert_eq!(note(&["encrypted: true", "kmsKeyID: alias/x"]), [""; 0]);
    assert!(note(&["kmsKeyID: alias/x"])[0].contains("is not set to be encrypted: EC2 refuses that"));
    assert!(note(&["encrypted: false", "kmsKeyID: alias/x"])[0].contains("is set to be unencrypted"));
    assert!(note(&["encrypted: true", "kmsKeyId: alias/x"])[0].contains("`kmsKeyId`"));
    assert!(note(&["encrypted: true", "kmsKeyID: my-key"])[0].contains("no key id, key ARN, alias"));
    let wrong = class(&with_ebs(&["encrypted: true", "kmsKeyId: alias/x"]));
    assert_eq!(says(&wrong), ["/dev/xvda On"], "a field that Kubernetes drops sets no key");
}

#[test]
fn a_volume_of_the_ami_that_is_left_out_is_noted() {
    let text = |family: &str, devices: &[&str]| {
        let mut text = format!(
            "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {{name: n}}\nspec:\n  amiFamily: {family}\n  \
             blockDeviceMappings:\n"
        );
        for device in devices {
            text.push_str(&format!(
                "  - {{deviceName: {device}, ebs: {{encrypted: true, kmsKeyID: alias/x}}}}\n"
            ));
        }
        notes(&parse(&text), NoteKind::Uncovered)
    };
    assert_eq!(text("Bottlerocket", &["/dev/xvda", "/dev/xvdb"]), [""; 0]);
    assert!(text("Bottlerocket", &["/dev/xvda"])[0].contains("`/dev/xvdb`, the data volume"));
    assert!(text("AL2023", &["/dev/xvdb"])[0].contains("`/dev/xvda`, the root volume"));
    assert_eq!(text("AL2023", &["/dev/xvda"]), [""; 0]);
    assert_eq!(text("Custom", &["/dev/xvdb"]), [""; 0], "nothing is known of the AMI");
    assert_eq!(text("Bottlerocket", &["\"{{ .Values.device }}\""]), [""; 0], "the device may be any");
}

#[test]
fn one_name_with_two_keys_is_an_error_and_with_one_key_a_note() {
    let one = with_ebs(&["encrypted: true", "kmsKeyID: alias/one"]);
    let two = with_ebs(&["encrypted: true", "kmsKeyID: alias/two"]);
    let message = error(&format!("{one}---\n{two}"));
    assert!(
        message.starts_with("nodes.yaml:16:9: node class `default` is also set at nodes.yaml:4:9"),
        "{message}"
    );
    let twice = parse(&format!("{one}---\n# again\n{one}"));
    assert_eq!(twice.node_classes.len(), 1);
    assert_eq!(notes(&twice, NoteKind::Repeated).len(), 1);
    let mut merged = parse(&one);
    let mut other = parse(&two);
    assert!(matches!(merged.clone().merge(other.clone()), Err(ManifestError::Conflict(_))));
    other.node_classes[0].name = "other".into();
    merged.merge(other).expect("two names");
    assert_eq!(merged.node_classes.len(), 2);
}

#[test]
fn errors_say_where() {
    assert!(error("a: b\n c: d\n").starts_with("nodes.yaml:2:"));
    assert!(
        error(&with_ebs(&["encrypted: true", "encrypted: true"])).starts_with("nodes.yaml:11:9: duplicate")
    );
    let class = "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\n";
    assert!(error(class).starts_with("nodes.yaml:1:1: the object has no `metadata.name`"));
    let wrong = format!("{class}metadata: {{name: a}}\nspec:\n  blockDeviceMappings: 3\n");
    assert!(error(&wrong).starts_with("nodes.yaml:5:24: `blockDeviceMappings` must be a list"));
    let message = error(&format!(
        "{class}metadata: {{name: a}}\nspec:\n  {{{{ if x }}}}\n  a: 1\n  {{{{ else }}}}\n  a: 2\n"
    ));
    assert!(message.contains("duplicate") && message.contains("helm template"), "{message}");
}

#[test]
fn other_files_are_left_alone() {
    for text in
        ["", "---\n", "# nothing\n", "- a\n- b\n", "replicas: 3\nimage: x\n", "kind: 3\napiVersion: [a]\n"]
    {
        assert_eq!(parse(text).node_classes, []);
    }
    assert_eq!(parse("\u{feff}kind: X\napiVersion: v1\n").notes.len(), 1);
}

#[test]
fn anchors_cannot_blow_up() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for depth in 1..12 {
        let list = vec![format!("*a{}", depth - 1); 10].join(", ");
        text.push_str(&format!("a{depth}: &a{depth} [{list}]\n"));
    }
    assert!(error(&text).starts_with("nodes.yaml:"));
    assert!(error(&"[".repeat(100_000)).starts_with("nodes.yaml:1:"));
    assert!(error(&format!("{}a", "a: &x\n ".repeat(200))).starts_with("nodes.yaml:"));
    let anchored = format!("x: &key {KEY}\n---\n{}", with_ebs(&["encrypted: true", "kmsKeyID: &k alias/x"]));
    assert_eq!(says(&class(&anchored)), ["/dev/xvda On alias/x"]);
}

#[test]
fn many_directives_on_one_line_take_linear_time() {
    let text = format!("a: \"{}\"\n", "{{ x }} ".repeat(200_000));
    let started = std::time::Instant::now();
    parse(&text);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_panics(text in "([a-zA-Z:{}\\[\\]&*!|>'\"%#\\-\n ]|kmsKeyID|ebs: |  |: |\\{\\{|\\}\\}|apiVersion: karpenter.k8s.aws/v1\n|kind: EC2NodeClass\n|metadata: \\{name: a\\}\n|spec:\n|blockDeviceMappings:\n|- ){0,80}") {
        let _ = parse_yaml("nodes.yaml", &text);
    }

    #[test]
    fn no_scalar_of_a_known_object_panics(value in "\\PC{0,20}", field in "(encrypted|kmsKeyID|snapshotID|volumeSize)") {
        let text = with_ebs(&[&format!("{field}: {value}")]);
        let _ = parse_yaml("nodes.yaml", &text);
    }
}
