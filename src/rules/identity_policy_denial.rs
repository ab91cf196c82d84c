//! KMS refused because no identity-based policy allows it: neither the role's policies nor the key policy.
//!
//! A node's refusals come in, a finding with the statement to add goes out. A message that names no policy makes
//! it inferred, within one account only.

use super::finding::Severity;
use super::key_policy;
use super::refusal::{self, Fit, Refusal, Wording, is_unspecified};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::plain;
use crate::event::DenialKind;

pub(super) static RULE: Rule = Rule {
    id: "KT101",
    name: "kms-denied-by-identity-policy",
    severity: Severity::Critical,
    summary: "KMS refused a volume's key because no identity-based policy allows it.",
    docs: "\
## Concludes

The launching role may not use the key: its own policies do not allow the action, and the key policy does not name the role.
EC2 makes the instance, KMS refuses the volume's data key or grant, and the instance ends within seconds.

## Evidence required

A KMS event with `AccessDenied` whose message says `because no identity-based policy allows`, joined to the node by the request id
of its RunInstances (observed), or by session, account, region and time (inferred). A message that names no policy counts as
inferred where key and role are in one account.

## What would disprove it

The same call by the same role on the same key succeeding for another node at the same time; a message that names another
policy (KT102, KT103) or the key's state (KT104, KT105, KT106).

## Blind spots

CloudTrail does not hold the role's policies. Whether the key policy delegates to them is known only where its text is in the
archive; where that text allows the role and KMS refuses all the same, the role may have been made anew since (KMS keeps the id of
the role that it knew), or a later change is missing. A 1 KB message can be cut before the key's ARN.

## References

- <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
- <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
- <https://github.com/aws/karpenter-provider-aws/issues/4935>
",
    evaluate: Evaluate::Node(evaluate),
};

fn fit(refusal: &Refusal<'_>) -> Fit {
    match refusal.denial.kind {
        DenialKind::NoIdentityPolicy => Fit::Yes,
        kind if is_unspecified(kind) => match refusal.is_across_accounts() {
            Some(true) => Fit::No,
            Some(false) => Fit::Probably(
                "which policy refused: the message does not name it, so an explicit deny is possible"
                    .to_owned(),
            ),
            None => Fit::Unclear("key and policy: the message names neither".to_owned()),
        },
        _ => Fit::No,
    }
}

/// What is wrong where the archive's key policy allows what KMS refused.
const CONTRADICTION: &str = " That contradicts the refusal: either the role was deleted and made again since (KMS keeps \
                             the id of the role that it knew, so the same name is another principal), or a later change \
                             of the policy is not in this archive.";

/// Whether the key policy in force, as far as the archive knows, allows the refused call to the role.
fn is_contradicted(view: &NodeView<'_>, refusal: &Refusal<'_>) -> bool {
    key_policy::said(view, refusal).is_some_and(|said| said.is_allowed)
}

fn remedy_of(view: &NodeView<'_>, refusals: &[&Refusal<'_>]) -> Option<super::Remediation> {
    let refusal = refusals.first()?;
    if !is_contradicted(view, refusal) {
        return refusal::allow(view, refusals);
    }
    let key = plain(refusal.key_arn()?);
    let role = plain(refusal.principal()?);
    Some(remedy::words(
        format!(
            "Read the key policy as it stands (`aws kms get-key-policy`). Where it shows an id (AROA…) in place of {role}, \
             put the policy again, so that KMS looks the name up anew; where the statement is gone, restore it. To \
             add the statement that the archive already shows may not be enough."
        ),
        format!("key policy of {key}"),
    ))
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let verdict = refusal::judge(
        &RULE,
        view,
        fit,
        |refusals| {
            let is_named = refusals.iter().any(|refusal| fit(refusal) == Fit::Yes);
            Wording {
                title: if is_named { "no identity-based policy allows it" } else { "no policy is named" }.into(),
                meaning: if is_named {
                    " The message says that no identity-based policy allows it: neither the role's own policies \
                     nor a statement of the key policy that names the role."
                } else {
                    " The message does not say which policy refused; key and role are in one account, where one \
                     statement in the key policy or in the role's policies is enough."
                }
                .into(),
            }
        },
        |refusals| remedy_of(view, refusals),
    );
    let first = view.refusals.iter().find(|refusal| matches!(fit(refusal), Fit::Yes | Fit::Probably(_)));
    match verdict {
        Verdict::Fires(mut finding) if first.is_some_and(|first| is_contradicted(view, first)) => {
            finding.explanation.push_str(CONTRADICTION);
            finding
                .missing
                .push("the key policy as KMS holds it: `aws kms get-key-policy` shows it".to_owned());
            Verdict::Fires(finding)
        }
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::finding::Severity;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_IDENTITY_POLICY, NO_RESOURCE_POLICY, ROLE, finding, is_undetermined,
        of_node, policy_for,
    };

    #[test]
    fn fires_when_no_identity_policy_allows_the_grant() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:01", KEY).denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_IDENTITY_POLICY,
        );
        let denial = log.last_id();
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(
            finding.title,
            "KMS refuses kms:CreateGrant on key 11111111-2222-3333-4444-555555555555 to \
             KarpenterControllerRole-demo: no identity-based policy allows it"
        );
        assert_eq!((finding.severity, finding.confidence), (Severity::Critical, Confidence::Observed));
        assert!(finding.evidence.contains(&denial));
        for words in [KEY, ROLE, "2026-03-02T10:00:02Z"] {
            assert!(finding.explanation.contains(words), "{}", finding.explanation);
        }
        assert!(finding.ruled_out.iter().any(|text| text.starts_with("not the account's default key")));
        assert!(finding.missing.iter().any(|text| text.contains("no PutKeyPolicy or CreateKey")));
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.target.contains("key policy") && remedy.documents.len() > 1);
    }

    #[test]
    fn fires_with_the_policy_of_the_role_where_the_key_policy_delegates() {
        let mut log = Log::new();
        log.policy("09:00:00", KEY, &policy_for("arn:aws:iam::111122223333:root"));
        log.template(KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_IDENTITY_POLICY,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.explanation.contains("leaves it to the IAM policies"), "{}", finding.explanation);
        assert!(finding.remediation.expect("a remedy").target.contains("IAM policy"));
    }

    #[test]
    fn fires_and_says_that_a_key_policy_that_allows_the_role_contradicts() {
        for (allowed, is_contradicted) in [(ROLE, true), ("arn:aws:iam::111122223333:role/Other", false)] {
            let mut log = Log::new();
            log.policy("09:00:00", KEY, &policy_for(allowed)).template(KEY).launch("a", "10:00:00");
            log.denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
            let finding = finding(of_node(&RULE, &log.case(), "a"));
            assert_eq!(
                finding.explanation.contains("contradicts"),
                is_contradicted,
                "{}",
                finding.explanation
            );
            let remedy = finding.remediation.expect("a remedy");
            assert_eq!(remedy.documents.is_empty(), is_contradicted, "{}", remedy.summary);
        }
    }

    #[test]
    fn fires_as_inferred_when_the_message_names_no_policy() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, "");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.missing.iter().any(|text| text.contains("does not name it")));
    }

    #[test]
    fn fires_as_inferred_for_each_of_two_nodes_that_come_into_question() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").launch("b", "10:00:00").denied(
            "c",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_IDENTITY_POLICY,
        );
        for letter in ["a", "b"] {
            let finding = finding(of_node(&RULE, &log.case(), letter));
            assert_eq!(finding.confidence, Confidence::Inferred);
            assert!(finding.explanation.contains("2 nodes come into question"), "{}", finding.explanation);
        }
    }

    #[test]
    fn fires_less_severely_for_a_volume_attached_later() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
        let attach = r#""errorCode":"Client.CustomerKeyHasBeenRevoked","errorMessage":"The customer key has been revoked","requestParameters":{"volumeId":"vol-0b","instanceId":"i-0aaaaaaaaaaaaaaaa","device":"/dev/xvdba"},"responseElements":null,"requestID":"bbbbbbbb-0000-4000-8000-000000000000""#;
        log.by_terraform("11:00:00", ("ec2", "AttachVolume"), attach);
        log.denied("b", "11:00:00", "CreateGrant", KEY, NO_IDENTITY_POLICY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.severity, Severity::High);
        assert!(finding.explanation.contains("for its later volume"), "{}", finding.explanation);
    }

    #[test]
    fn silent_for_another_kind_of_policy_and_for_a_healthy_node() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_RESOURCE_POLICY,
        );
        log.healthy("b", "10:01:00", KEY);
        log.launch("d", "10:02:00").denied("d", "10:02:02", "CreateGrant", FOREIGN_KEY, "");
        for letter in ["a", "b", "d"] {
            assert_eq!(of_node(&RULE, &log.case(), letter), Verdict::Silent);
        }
    }

    #[test]
    fn silent_when_the_node_was_granted_on_a_second_try() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:01", KEY);
        log.denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY).grant("a", "10:00:03", KEY);
        log.registered("a", "10:01:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
