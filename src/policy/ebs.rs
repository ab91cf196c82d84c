//! What EBS does with a key for the role that launches an instance, and what a key policy says to each call.
//!
//! The table is the one place that knows the actions; a policy, a role and a key come in, one decision per
//! action goes out.

use super::decide::{Decision, Request, decide};
use super::document::Policy;
use crate::event::partition_of_region;

/// A KMS action that EC2 takes for the launching role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EbsAction {
    /// The action.
    pub action: &'static str,
    /// When a launch needs it.
    pub need: Need,
    /// Whether `kms:GrantIsForAWSResource` is true in the call.
    pub grant_is_for_aws_resource: Option<bool>,
    /// What EC2 does it for.
    pub why: &'static str,
}

/// When a launch needs an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Without it, no instance with a volume under the key starts.
    EveryLaunch,
    /// Only for volumes from an encrypted snapshot.
    EncryptedSnapshot,
    /// AWS documents it as needed; launches without it are known to succeed.
    Documented,
}

/// What a launch with an encrypted volume needs of the key, most needed first.
pub const EBS_ACTIONS: [EbsAction; 6] = [
    EbsAction {
        action: "kms:CreateGrant",
        need: Need::EveryLaunch,
        grant_is_for_aws_resource: Some(true),
        why: "gives EC2 and the instance the right to decrypt the volume's data key while it is attached",
    },
    EbsAction {
        action: "kms:GenerateDataKeyWithoutPlaintext",
        need: Need::EveryLaunch,
        grant_is_for_aws_resource: None,
        why: "makes the volume's data key",
    },
    EbsAction {
        action: "kms:ReEncryptFrom",
        need: Need::EncryptedSnapshot,
        grant_is_for_aws_resource: None,
        why: "takes the snapshot's data key from under the snapshot's key",
    },
    EbsAction {
        action: "kms:ReEncryptTo",
        need: Need::EncryptedSnapshot,
        grant_is_for_aws_resource: None,
        why: "puts the snapshot's data key under the volume's key",
    },
    EbsAction {
        action: "kms:DescribeKey",
        need: Need::Documented,
        grant_is_for_aws_resource: None,
        why: "looks the key up: its ARN behind an alias, its state",
    },
    EbsAction {
        action: "kms:Decrypt",
        need: Need::Documented,
        grant_is_for_aws_resource: None,
        why: "opens the data key at attachment; EC2 does so under its grant",
    },
];

/// The name under which EC2 in `region` calls KMS for others: the value of `kms:ViaService`.
#[must_use]
pub fn ec2_endpoint(region: &str) -> String {
    let suffix = if partition_of_region(region) == "aws-cn" { ".cn" } else { "" };
    format!("ec2.{region}.amazonaws.com{suffix}")
}

/// What `policy` says to each of [`EBS_ACTIONS`] when EC2 in `region` takes it for the role.
#[must_use]
pub fn decide_launch(
    policy: &Policy,
    principal_arn: &str,
    key_arn: &str,
    region: &str,
) -> [(EbsAction, Decision); EBS_ACTIONS.len()] {
    let via_service = ec2_endpoint(region);
    EBS_ACTIONS.map(|action| {
        let request = Request {
            principal_arn,
            session_name: None,
            principal_account: principal_arn.split(':').nth(4).unwrap_or_default(),
            action: action.action,
            key_arn,
            via_service: Some(&via_service),
            grant_is_for_aws_resource: action.grant_is_for_aws_resource,
        };
        (action, decide(policy, &request))
    })
}

#[cfg(test)]
mod tests {
    use super::{EBS_ACTIONS, Need, decide_launch, ec2_endpoint};
    use crate::policy::{Decision, Policy};

    const ROLE: &str = "arn:aws:iam::111122223333:role/KarpenterControllerRole-demo";
    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";

    #[test]
    fn the_statements_of_the_aws_documentation_allow_a_launch() {
        let policy = Policy::parse(
            r#"{"Version":"2012-10-17","Statement":[
                {"Sid":"Allow use of the key","Effect":"Allow",
                 "Principal":{"AWS":"arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"},
                 "Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"],
                 "Resource":"*"},
                {"Sid":"Allow attachment of persistent resources","Effect":"Allow",
                 "Principal":{"AWS":"arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"},
                 "Action":["kms:CreateGrant","kms:ListGrants","kms:RevokeGrant"],"Resource":"*",
                 "Condition":{"Bool":{"kms:GrantIsForAWSResource":true}}}]}"#,
        )
        .expect("a policy");
        for (action, decision) in decide_launch(&policy, ROLE, KEY, "us-east-1") {
            assert!(matches!(decision, Decision::Allowed { .. }), "{} {decision:?}", action.action);
        }
        let other = "arn:aws:iam::111122223333:role/other";
        for (action, decision) in decide_launch(&policy, other, KEY, "us-east-1") {
            assert_eq!(decision, Decision::NotAllowed, "{}", action.action);
        }
    }

    #[test]
    fn a_grant_condition_on_every_action_takes_the_data_key_away() {
        let policy = Policy::parse(
            r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"},
                "Action":"kms:*","Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"}}}}"#,
        )
        .expect("a policy");
        let decisions = decide_launch(&policy, ROLE, KEY, "us-east-1");
        assert!(matches!(decisions[0].1, Decision::Allowed { .. }));
        assert_eq!(decisions[1].1, Decision::NotAllowed);
    }

    #[test]
    fn ec2_has_another_name_in_china() {
        assert_eq!(ec2_endpoint("eu-west-1"), "ec2.eu-west-1.amazonaws.com");
        assert_eq!(ec2_endpoint("us-gov-west-1"), "ec2.us-gov-west-1.amazonaws.com");
        assert_eq!(ec2_endpoint("cn-north-1"), "ec2.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn the_table_is_ordered_by_need() {
        assert!(EBS_ACTIONS.is_sorted_by_key(|action| action.need));
        assert!(EBS_ACTIONS.iter().any(|action| action.need == Need::EncryptedSnapshot));
    }
}
