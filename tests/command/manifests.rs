//! `--nodeclass` and `--terraform`: what nodes should use, from the user's own files.

use super::keytrail::{Keytrail, Run, keytrail};

const HEALTHY_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/12bbb7b7-4f23-4e32-b15f-d5f2b25823c0";
const RIDDLE_KEY: &str = "arn:aws:kms:us-east-2:111122223333:key/64b326aa-068c-4d2d-8859-c29ec12a86f7";

fn node_class(name: &str, devices: &[&str], key: &str) -> String {
    let mut text = format!(
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: {name}\nspec:\n  \
         blockDeviceMappings:\n"
    );
    for device in devices {
        text.push_str(&format!(
            "    - deviceName: {device}\n      ebs:\n        encrypted: true\n        kmsKeyID: {key}\n"
        ));
    }
    text + "---\n"
}

fn analyze(sample: &str, options: &str) -> Keytrail {
    keytrail(&format!("analyze sample-logs/{sample} -o json {options}"))
}

/// `nodepool: verdict, source` of each node.
fn verdicts(run: &Run) -> Vec<String> {
    let document = run.json();
    let nodes = document["nodes"].as_array().expect("there are nodes");
    nodes
        .iter()
        .map(|node| {
            format!("{}: {}, {}", node["nodepool"], node["key_verdict"], node["expected_keys"][0]["source"])
                .replace('"', "")
        })
        .collect()
}

#[test]
fn node_classes_in_a_directory_are_what_is_expected() {
    let run = analyze("01-healthy", "--nodeclass manifests")
        .file("manifests/default.yaml", node_class("default", &["/dev/xvda"], HEALTHY_KEY))
        .file("manifests/more/b.yml", node_class("bottlerocket", &["/dev/xvda", "/dev/xvdb"], HEALTHY_KEY))
        .file("manifests/chart/templates/deployment.yaml", "{{- range }}\nkind: [\n")
        .file("manifests/readme.md", "kind: [")
        .succeed();
    let all = ["general: match, node-class", "batch: match, node-class", "general: match, node-class"];
    assert_eq!(verdicts(&run), all);
    assert!(run.stderr.contains("manifests: 2 node classes (default, bottlerocket)"), "{}", run.stderr);
    assert!(!run.stderr.contains("check:"), "{}", run.stderr);
}

#[test]
fn another_key_than_the_node_class_names_is_a_mismatch() {
    let other = HEALTHY_KEY.replace("12bbb7b7", "99999999");
    let run = analyze("01-healthy", "--nodeclass nodes.yaml --fail-on high")
        .file("nodes.yaml", node_class("default", &["/dev/xvda"], &other))
        .run();
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(
        verdicts(&run),
        ["general: mismatch, node-class", "batch: match, launch-template", "general: mismatch, node-class"]
    );
    for part in [
        "1 node is of node classes that no manifest holds: bottlerocket (1)",
        "2 nodes were launched when another key",
    ] {
        assert!(run.stderr.contains(part), "`{part}` is not in: {}", run.stderr);
    }
    let instance = run.node_ids().remove(0);
    let explained = keytrail(&format!("explain {instance} sample-logs/01-healthy --nodeclass nodes.yaml"))
        .file("nodes.yaml", node_class("default", &["/dev/xvda"], &other))
        .succeed();
    let text = explained.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("at launch, the launch template named 12bbb7b7"), "{text}");
    let flag = format!("--expect-key {HEALTHY_KEY} --nodeclass nodes.yaml");
    let run = analyze("01-healthy", &flag)
        .file("nodes.yaml", node_class("default", &["/dev/xvda"], &other))
        .succeed();
    assert!(verdicts(&run).iter().all(|verdict| verdict.ends_with(": match, flag")), "{:?}", verdicts(&run));
}

#[test]
fn a_placeholder_is_said_and_not_compared() {
    let run = analyze("01-healthy", "--nodeclass -")
        .input(node_class("default", &["/dev/xvda"], "${KMS_KEY_ARN}"))
        .succeed();
    assert_eq!(verdicts(&run)[0], "general: unknown, node-class");
    assert!(
        run.stderr.contains(
            "note:  -:10:19: the key of `/dev/xvda` in node class `default` is a placeholder: `${KMS_KEY_ARN}`"
        ),
        "{}",
        run.stderr
    );
}

#[test]
fn old_provisioners_lead_to_their_node_template() {
    let manifest = "apiVersion: karpenter.sh/v1alpha5
kind: Provisioner
metadata: {name: default}
spec:
  providerRef: {name: museum}
---
apiVersion: karpenter.k8s.aws/v1alpha1
kind: AWSNodeTemplate
metadata: {name: museum}
spec:
  blockDeviceMappings:
    - deviceName: /dev/xvda
      ebs: {encrypted: true, kmsKeyID: 1c70d95b-33ed-4df9-84ae-c8394d1fbd00}
";
    let run = analyze("29-provisioner-era", "--nodeclass old.yaml").file("old.yaml", manifest).succeed();
    assert_eq!(verdicts(&run), ["default: match, node-class"; 2]);
}

#[test]
fn auto_mode_has_node_classes_of_its_own() {
    let manifest = "apiVersion: eks.amazonaws.com/v1
kind: NodeClass
metadata: {name: default}
spec: {ephemeralStorage: {size: 80Gi, kmsKeyID: alias/not-this-one}}
";
    let karpenters = node_class("default", &["/dev/xvda"], HEALTHY_KEY);
    let run = analyze("11-auto-mode", "--nodeclass auto.yaml")
        .file("auto.yaml", format!("{karpenters}{manifest}"))
        .succeed();
    let document = run.json();
    assert_eq!(document["nodes"][0]["nodepool"], "system");
    assert_eq!(document["nodes"][0]["expected_key"]["written"], "alias/not-this-one");
}

#[test]
fn terraform_knows_the_alias_that_the_archive_does_not() {
    let state = |key: &str| {
        format!(
            r#"{{"format_version":"1.0","terraform_version":"1.9.8","values":{{"root_module":{{"child_modules":[{{"address":"module.kms","resources":[{{"address":"module.kms.aws_kms_alias.nodes","mode":"managed","type":"aws_kms_alias","name":"nodes","values":{{"name":"alias/nodes","arn":"arn:aws:kms:us-east-2:111122223333:alias/nodes","target_key_arn":"{key}"}}}}]}}]}}}}}}"#
        )
    };
    let run = analyze("37-alias-unresolved", "").succeed();
    assert_eq!(verdicts(&run), ["general: unknown, launch-template"]);
    let run = analyze("37-alias-unresolved", "--terraform state.json")
        .file("state.json", state(RIDDLE_KEY))
        .succeed();
    assert_eq!(verdicts(&run), ["general: match, launch-template"]);
    assert!(run.stderr.contains("manifests: no node class, 1 alias"), "{}", run.stderr);
    let other = RIDDLE_KEY.replace("64b326aa", "99999999");
    let run =
        analyze("37-alias-unresolved", "--terraform state.json").file("state.json", state(&other)).succeed();
    assert_eq!(verdicts(&run), ["general: mismatch, launch-template"]);
}

#[test]
fn what_cannot_be_read_ends_the_run_and_says_where() {
    let twice = node_class("a", &["/dev/xvda"], "alias/x") + &node_class("a", &["/dev/xvda"], "alias/y");
    for (options, file, text, says) in [
        ("--nodeclass gone.yaml", "x", "", "reading gone.yaml: No such file"),
        ("--nodeclass x.yaml", "x.yaml", "kind: [\n", "error: x.yaml:1:7: unclosed bracket"),
        ("--nodeclass x.yaml", "x.yaml", "kind: Pod\napiVersion: v1\n", "no node class in x.yaml"),
        (
            "--nodeclass x.yaml",
            "x.yaml",
            twice.as_str(),
            "x.yaml:15:9: node class `a` is also set at x.yaml:4:9",
        ),
        ("--nodeclass d", "d/x.yaml", "apiVersion: karpenter.sh/v1\nkind: {\n", "error: d/x.yaml:2:7:"),
        (
            "--terraform x.json",
            "x.json",
            "{\"lineage\":\"x\"}",
            "a state file; give the output of `terraform show -json`",
        ),
        ("--terraform x.json", "x.json", "{\"format_version\":\"1.2\"}", "neither a node class nor an alias"),
        ("--nodeclass - --terraform -", "x", "", "`-` is standard input"),
    ] {
        analyze("01-healthy", options).file(file, text).fail(&[says]);
    }
    keytrail("analyze - --nodeclass -").fail(&["`-` is standard input"]);
}

#[test]
fn a_manifest_that_is_not_text_or_too_long_is_an_error() {
    analyze("01-healthy", "--nodeclass x.yaml").file("x.yaml", [0xff, 0xfe, 0]).fail(&["reading x.yaml"]);
    let long = format!("# {}\n", "x".repeat(64 << 20));
    analyze("01-healthy", "--nodeclass x.yaml").file("x.yaml", long).fail(&["x.yaml:1:1: more than"]);
}
