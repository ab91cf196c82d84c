//! Whose node it is.

use super::record::*;
use crate::correlate::{Case, Provisioner};

const A: &str = "i-0a";

fn provisioner(records: &[Record]) -> Provisioner {
    node(&case_of_all(records), A).provisioner
}

fn is_listed(case: &Case) -> bool {
    case.nodes.iter().any(|node| &*node.instance_id == A)
}

/// A known call of Karpenter, which shows its role.
fn karpenter_is_known() -> Record {
    configured(KEY)
}

#[test]
fn karpenters_own() {
    assert_eq!(provisioner(&[launch(0, &[A], "r1")]), Provisioner::Karpenter, "by tags through a fleet");
    assert_eq!(provisioner(&[karpenter_is_known(), launch(0, &[A], "r1")]), Provisioner::Karpenter);
    assert_eq!(provisioner(&[fleet(0, &fleet_item("\"i-0a\""), "{}")]), Provisioner::Karpenter);
}

#[test]
fn look_alike_tags_make_no_karpenter_node() {
    let look_alikes = [
        ("a person with the CLI", launch(0, &[A], "r1").by(person(), AWS_CLI)),
        (
            "Terraform",
            launch(0, &[A], "r1")
                .by(person(), "APN/1.0 HashiCorp/1.0 Terraform/1.9.0 terraform-provider-aws/5.0"),
        ),
        (
            "an Auto Scaling group",
            launch(0, &[A], "r1").by(
                role_session(
                    ACCOUNT,
                    "AWSServiceRoleForAutoScaling",
                    "AutoScaling",
                    Some("autoscaling.amazonaws.com"),
                ),
                "autoscaling.amazonaws.com",
            ),
        ),
    ];
    for (who, launch) in look_alikes {
        let records = [karpenter_is_known(), launch, refused(1, "CreateGrant", KEY, "r1")];
        assert!(!is_listed(&case(&records)), "{who}");
        assert_ne!(provisioner(&records), Provisioner::Karpenter, "{who}");
    }
}

#[test]
fn a_persons_fleet_with_karpenters_tags_is_not_karpenters() {
    let persons = fleet(0, &fleet_item("\"i-0a\""), "{}").by(person(), AWS_CLI);
    let launch = launch(0, &[A], "r1")
        .by(person().replace('}', r#","invokedBy":"ec2fleet.amazonaws.com"}"#), "ec2fleet.amazonaws.com");
    assert_eq!(provisioner(std::slice::from_ref(&persons)), Provisioner::Other);
    assert_eq!(provisioner(&[karpenter_is_known(), persons, launch]), Provisioner::Other);
}

#[test]
fn tags_put_on_by_a_person_do_not_make_a_node() {
    for tag in ["karpenter.sh/nodepool", "karpenter.sh/nodeclaim"] {
        let tagging = Record::new(0, "ec2", "CreateTags")
            .by(person(), AWS_CLI)
            .asks(format!(r#"{{"resourcesSet":{{"items":[{{"resourceId":"{A}"}}]}},"tagSet":{{"items":[{{"key":"{tag}","value":"x"}}]}}}}"#));
        let launch = launch_with(-60, &[A], "r1", "").by(person(), AWS_CLI);
        assert!(!is_listed(&case(&[launch, tagging])), "{tag}");
    }
}

#[test]
fn every_era_of_tags() {
    let era = |tags: &[(&str, &str)]| {
        let list: Vec<String> =
            tags.iter().map(|(key, value)| format!(r#"{{"key":"{key}","value":"{value}"}}"#)).collect();
        let mut launch = launch(0, &[A], "r1");
        launch = launch.asks(format!(
            r#"{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}},"tagSpecificationSet":{{"items":[{{"resourceType":"volume","tags":[]}},{{"resourceType":"instance","tags":[{}]}}]}}}}"#,
            list.join(",")
        ));
        let case = case(&[launch]);
        let node = node(&case, A);
        (node.nodepool.clone(), node.nodeclass.clone(), node.cluster.clone())
    };
    let some = |text: &str| Some(crate::event::Text::from(text));
    assert_eq!(
        era(&[
            ("karpenter.sh/provisioner-name", "p"),
            ("kubernetes.io/cluster/c", "owned"),
            ("Name", "karpenter.sh/provisioner-name/p")
        ]),
        (some("p"), None, some("c"))
    );
    assert_eq!(
        era(&[("karpenter.sh/provisioner-name", "p"), ("karpenter.sh/managed-by", "c")]),
        (some("p"), None, some("c"))
    );
    assert_eq!(
        era(&[
            ("karpenter.sh/nodepool", "n"),
            ("karpenter.k8s.aws/ec2nodeclass", "k"),
            ("karpenter.sh/managed-by", "x"),
            ("kubernetes.io/cluster/c", "owned")
        ]),
        (some("n"), some("k"), some("c"))
    );
    assert_eq!(
        era(&[
            ("karpenter.sh/nodepool", "n"),
            ("kubernetes.io/cluster/x", "owned"),
            ("eks:eks-cluster-name", "c")
        ]),
        (some("n"), None, some("c"))
    );
}

#[test]
fn auto_mode_is_not_the_customers_karpenter() {
    let tags = r#""tagSpecificationSet":{"items":[{"resourceType":"instance","tags":[{"key":"eks:eks-cluster-name","value":"demo"},{"key":"eks:kubernetes-node-pool-name","value":"system"},{"key":"eks:kubernetes-node-class-name","value":"default"}]}]}"#;
    let role = role_session(
        ACCOUNT,
        "eks-cluster-role",
        "aws-go-sdk-1768825272022703283",
        Some("ec2fleet.amazonaws.com"),
    );
    let launch = launch(0, &[A], "r1")
        .by(role, "ec2fleet.amazonaws.com")
        .asks(format!(r#"{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}},{tags}}}"#));
    let case = case(&[launch, refused(1, "CreateGrant", KEY, "r1")]);
    let node = node(&case, A);
    assert_eq!(node.provisioner, Provisioner::EksAutoMode);
    assert_eq!((node.nodepool.as_deref(), node.cluster.as_deref()), (Some("system"), Some("demo")));
    assert_eq!(says(&case, A), "denied unknown [] kms-denied");
}

#[test]
fn an_auto_scaling_group_that_uses_a_fleet_is_not_karpenters() {
    let token = format!(r#""clientToken":"{FLEET}-0","#);
    let role = role_session(
        ACCOUNT,
        "AWSServiceRoleForAutoScaling",
        "AutoScaling",
        Some("autoscaling.amazonaws.com"),
    );
    let launch = launch_with(0, &[A], "r1", &token).by(role, "autoscaling.amazonaws.com");
    assert_eq!(provisioner(&[karpenter_is_known(), launch]), Provisioner::Autoscaling);
}
