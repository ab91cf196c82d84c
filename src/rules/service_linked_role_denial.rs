//! The refused principal is a service-linked role, not Karpenter's: the grant is missing for that role.
//!
//! A node's refusals come in; a finding with the statement or grant for the service-linked role goes out.

use super::finding::Severity;
use super::refusal::{self, Fit, Refusal, Wording};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{plain, principal_name};
use crate::event::DenialKind;

pub(super) static RULE: Rule = Rule {
    id: "KT108",
    name: "kms-denied-to-service-linked-role",
    severity: Severity::Critical,
    summary: "The refused principal is a service-linked role (Auto Scaling, Spot), not Karpenter's role.",
    docs: "\
## Concludes

An AWS service launched the instance with its service-linked role (`AWSServiceRoleForAutoScaling`, `AWSServiceRoleForEC2Spot`, …), and
the key does not let that role in. Permissions of Karpenter's role do not matter here, and IAM policies cannot be added to the
service-linked role: the key policy must name it, or a grant must be made for it.

## Evidence required

A KMS event refused for want of permission, joined to the node, whose caller is a role with the path `aws-service-role/` or a name
that begins with `AWSServiceRoleFor`.

## What would disprove it

The caller being any other role.

## Blind spots

Karpenter's own launches use Karpenter's role, for spot too; that a service-linked role is used besides for spot is unconfirmed.

## References

- <https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html>
- <https://github.com/aws/karpenter-provider-aws/issues/933>
- <https://github.com/aws/aws-cdk/issues/34491>
",
    evaluate: Evaluate::Node(evaluate),
};

fn fit(refusal: &Refusal<'_>) -> Fit {
    let is_about_permission = !matches!(
        refusal.denial.kind,
        DenialKind::KeyDisabled
            | DenialKind::KeyPendingDeletion
            | DenialKind::KeyUnusable
            | DenialKind::KeyNotFound
    );
    match refusal.principal() {
        _ if !is_about_permission => Fit::No,
        None => Fit::Unclear("who was refused: neither record nor message names the caller".to_owned()),
        Some(principal) => {
            let is_service_linked = principal.contains(":role/aws-service-role/")
                || principal_name(principal).starts_with("AWSServiceRoleFor");
            if is_service_linked { Fit::Yes } else { Fit::No }
        }
    }
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    refusal::judge(
        &RULE,
        view,
        fit,
        |refusals| {
            let role = refusals[0].principal().map(principal_name).unwrap_or_default();
            Wording {
                title: "the caller is a service-linked role".into(),
                meaning: format!(
                    " The caller is {role}, the service-linked role of the service that launched the instance, not \
                     Karpenter's role{}. Only the key policy or a grant can let it in.",
                    launched_by(view)
                ),
            }
        },
        |refusals| {
            let refusal = refusals.first()?;
            remedy::allow(refusal.principal(), refusal.key_arn(), false)
        },
    )
}

fn launched_by(view: &NodeView<'_>) -> String {
    view.node
        .principal_arn
        .as_deref()
        .map_or_else(String::new, |arn| format!(" (launched by {})", plain(arn)))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, finding, is_undetermined, of_node, session};

    const AUTO_SCALING: &str = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";

    #[test]
    fn fires_when_auto_scalings_role_is_refused() {
        let mut log = Log::new();
        let identity = session(AUTO_SCALING, "AutoScaling", Some("autoscaling.amazonaws.com"));
        log.template(KEY).launch_as("a", "10:00:00", &identity, "on-demand");
        let call = ("CreateGrant", "kms:CreateGrant");
        log.denied_as("a", "10:00:02", call, KEY, NO_IDENTITY_POLICY, AUTO_SCALING);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.contains("to AWSServiceRoleForAutoScaling"), "{}", finding.title);
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.documents.iter().any(|document| document.body.contains("create-grant")));
    }

    #[test]
    fn silent_when_karpenters_role_is_refused() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_IDENTITY_POLICY,
        );
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
