//! A launch template as Terraform has it, and nodes of this and of other versions of it.

use super::{asked, flag, is_failure, is_inconclusive, later, passes, told};
use crate::correlate::{Expectations, KeyVerdict, Question};
use crate::manifest::{Manifest, NodeClassKind, parse_terraform, parse_yaml};
use crate::rules::testing::{KEY, Log, OTHER_KEY};
use crate::verify::{Check, Outcome};

/// A state with one launch template, of whose version 1 the nodes of these tests are launched.
fn state(latest_version: &str, key: &str) -> Manifest {
    let text = format!(
        r#"{{"format_version":"1.0","terraform_version":"1.9.8","values":{{"root_module":{{"resources":[{{"address":"aws_launch_template.nodes","mode":"managed","type":"aws_launch_template","name":"nodes","provider_name":"registry.terraform.io/hashicorp/aws","schema_version":0,"values":{{"id":"lt-0aaaaaaaaaaaaaaaa","name":"nodes",{latest_version}"block_device_mappings":[{{"device_name":"/dev/xvda","ebs":[{{"encrypted":"true","kms_key_id":"{key}"}}]}}]}}}}]}}}}}}"#
    );
    parse_terraform("state.json", &text).expect("a state")
}

fn question(manifest: Manifest) -> Question {
    Question { expectations: Expectations { manifest, ..Expectations::default() }, ..Question::default() }
}

/// A node of version 1 under `KEY`; with `is_archived`, its template is in the archive.
fn launched(is_archived: bool) -> Log {
    let mut log = Log::new();
    if is_archived {
        log.template(KEY);
    }
    log.healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
    later(&mut log);
    log
}

#[test]
fn a_node_of_the_version_that_the_manifest_has_passes() {
    for is_archived in [true, false] {
        for version in [r#""latest_version":1,"#, r#""latest_version":null,"#, ""] {
            passes(&asked(&launched(is_archived), &question(state(version, KEY))));
        }
    }
    let wrong = asked(&launched(false), &question(state(r#""latest_version":1,"#, OTHER_KEY)));
    is_failure(&wrong, Check::VolumeKey, OTHER_KEY);
}

#[test]
fn a_node_of_another_version_than_the_manifests_is_no_proof() {
    for is_archived in [true, false] {
        for key in [KEY, OTHER_KEY] {
            let verification = asked(&launched(is_archived), &question(state(r#""latest_version":2,"#, key)));
            is_inconclusive(&verification, Check::KeyExpected, "the node was launched with version 1");
            assert!(told(&verification).contains("version 2 of the launch template nodes"));
        }
    }
    // What another version asks for is not what was configured for this node.
    let case = launched(false).case_for(&question(state(r#""latest_version":2,"#, OTHER_KEY)));
    assert_eq!(case.nodes[0].key_verdict, KeyVerdict::NoExpectation);
    assert_eq!(case.nodes[0].expected_key, None);
}

#[test]
fn what_is_said_by_flag_holds_for_every_version() {
    let mut by_flag = flag(KEY);
    by_flag.expectations.manifest = state(r#""latest_version":2,"#, OTHER_KEY);
    passes(&asked(&launched(false), &by_flag));
}

#[test]
fn a_node_class_with_a_launch_template_is_proven_by_that_version_alone() {
    let class = "apiVersion: karpenter.k8s.aws/v1alpha1\nkind: AWSNodeTemplate\nmetadata:\n  name: default\nspec:\n  launchTemplate: nodes\n";
    let with = |version: &str, key: &str| {
        let mut manifest = parse_yaml("default.yaml", class).expect("a manifest");
        manifest.merge(state(version, key)).expect("nothing twice");
        // The nodes of these tests carry the tag of this kind.
        manifest.node_classes[0].kind = NodeClassKind::Ec2NodeClass;
        question(manifest)
    };
    passes(&asked(&launched(true), &with(r#""latest_version":1,"#, KEY)));
    let older = asked(&launched(true), &with(r#""latest_version":2,"#, KEY));
    is_inconclusive(&older, Check::KeyExpected, "the node was launched with version 1");
    let wrong = asked(&launched(true), &with(r#""latest_version":2,"#, OTHER_KEY));
    assert_eq!(wrong.result, Outcome::Fail, "{}", told(&wrong));
}
