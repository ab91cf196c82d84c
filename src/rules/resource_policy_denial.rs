//! KMS refused because no resource-based policy allows it: the key policy does not let the role in.
//!
//! A node's refusals come in, a finding with the statement for the key policy goes out. Ambiguous messages count
//! only where the archive shows that the key exists elsewhere or works for others.

use super::finding::Severity;
use super::refusal::{self, Fit, Refusal, Wording, is_unspecified};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use crate::event::DenialKind;

pub(super) static RULE: Rule = Rule {
    id: "KT102",
    name: "kms-denied-by-key-policy",
    severity: Severity::Critical,
    summary: "KMS refused a volume's key because no resource-based policy allows it.",
    docs: "\
## Concludes

The key policy does not let the launching role use the key: it names neither the role nor an account that may decide for it. Typical
for a key of another account, and for a key policy without a statement for its own account's root.

## Evidence required

A KMS event with `AccessDenied` whose message says `because no resource-based policy allows`, joined to the node. Inferred: a
message that names no policy for a key of another account, or AWS's ambiguous `does not exist, … or you are not allowed to access`
for a key that the archive shows at work.

## What would disprove it

A key policy of that time that allows the role by name; a message that names another policy.

## Blind spots

Across accounts the refusal is logged in the caller's account only, and the key policy changes in the owner's account only:
without both archives the policy text is missing.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html>
- <https://github.com/aws/karpenter-provider-aws/issues/5690>
",
    evaluate: Evaluate::Node(evaluate),
};

fn fit(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Fit {
    match refusal.denial.kind {
        DenialKind::NoResourcePolicy => Fit::Yes,
        kind if is_unspecified(kind) && refusal.is_across_accounts() == Some(true) => Fit::Probably(
            "which policy refused: the message does not name it, and across accounts both sides must allow"
                .to_owned(),
        ),
        DenialKind::Ambiguous if is_known_to_exist(view, refusal) => {
            Fit::Probably("whether the key exists: AWS's message leaves it open".to_owned())
        }
        _ => Fit::No,
    }
}

/// Whether somebody in the archive used the key.
pub(super) fn is_known_to_exist(view: &NodeView<'_>, refusal: &Refusal<'_>) -> bool {
    refusal.key_arn().is_some_and(|key| view.facts.first_use(key).is_some())
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    refusal::judge(
        &RULE,
        view,
        |refusal| fit(view, refusal),
        |refusals| {
            let is_named = refusals.iter().any(|refusal| fit(view, refusal) == Fit::Yes);
            let is_across = refusals.iter().any(|refusal| refusal.is_across_accounts() == Some(true));
            let mut meaning = if is_named {
                " The message says that no resource-based policy allows it: the key policy lets the role in neither \
                 by name nor through its account."
                    .to_owned()
            } else {
                " The message does not name the policy; that the key policy does not let the role in fits it."
                    .to_owned()
            };
            if is_across {
                meaning.push_str(
                    " The key belongs to another account, so both its key policy and the role's policies must allow it.",
                );
            }
            Wording { title: "the key policy does not allow it".into(), meaning }
        },
        |refusals| {
            let refusal = refusals.first()?;
            remedy::allow(refusal.principal(), refusal.key_arn(), false)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_IDENTITY_POLICY, NO_RESOURCE_POLICY, ROLE, finding, is_undetermined,
        of_node, policy_for,
    };

    const AMBIGUOUS: &str = "because the resource does not exist in this Region, no resource-based policies allow \
                             access, or a resource-based policy explicitly denies access";

    #[test]
    fn fires_when_the_key_policy_of_another_account_does_not_allow_it() {
        let mut log = Log::new();
        log.template(FOREIGN_KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "GenerateDataKeyWithoutPlaintext",
            FOREIGN_KEY,
            NO_RESOURCE_POLICY,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.explanation.contains("belongs to another account"));
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.summary.contains("444455556666") && remedy.target.contains(ROLE));
    }

    #[test]
    fn fires_and_says_what_the_key_policy_of_the_time_says() {
        let mut log = Log::new();
        log.policy("09:00:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Other"));
        let policy = log.last_id();
        log.template(KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_RESOURCE_POLICY,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.explanation.contains("with Terraform, has no statement that allows it"));
        assert!(finding.evidence.contains(&policy));
        assert!(!finding.missing.iter().any(|text| text.contains("PutKeyPolicy")));
    }

    #[test]
    fn fires_as_inferred_for_an_ambiguous_message_about_a_key_that_works_for_others() {
        let mut log = Log::new();
        log.template(KEY).healthy("b", "09:00:00", KEY).launch("a", "10:00:00");
        log.denied("a", "10:00:02", "CreateGrant", KEY, AMBIGUOUS);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.missing.iter().any(|text| text.starts_with("whether the key exists")));
    }

    #[test]
    fn silent_for_an_ambiguous_message_about_a_key_that_nobody_used() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, AMBIGUOUS);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_when_the_role_lacks_an_identity_policy() {
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
    fn undetermined_without_the_launch() {
        let mut log = Log::new();
        log.registered("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
