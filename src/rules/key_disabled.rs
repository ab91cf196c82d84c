//! The key was disabled at launch, or in another state in which it cannot be used.
//!
//! A node's refusals come in, a finding with the change that disabled the key, if the archive holds it, goes out.

use super::finding::{Remediation, Severity};
use super::key_condition;
use super::refusal::{Fit, Refusal};
use super::remediation::{self, Key};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::KeyState;
use crate::event::DenialKind;

pub(super) static RULE: Rule = Rule {
    id: "KT104",
    name: "kms-key-disabled",
    severity: Severity::Critical,
    summary: "The key was disabled at launch, or in another state in which it cannot be used.",
    docs: "\
## Concludes

KMS refused the key because of its state: disabled, or without usable key material (pending import, unavailable, of a usage
other than encryption). Permissions are not the cause.

## Evidence required

A KMS event with `DisabledException`, `KMSInvalidStateException`, `KeyUnavailableException` or `InvalidKeyUsageException`, joined to
the node.

## What would disprove it

EnableKey before the launch without a DisableKey after it; a use of the same key at the same time.

## Blind spots

How EC2's calls on a disabled key are logged at RunInstances is not documented. A key that was disabled before the archive begins
shows no DisableKey.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/enabling-keys.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn fit(refusal: &Refusal<'_>) -> Fit {
    match refusal.denial.kind {
        DenialKind::KeyDisabled | DenialKind::KeyUnusable => Fit::Yes,
        _ => Fit::No,
    }
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    key_condition::judge(
        &RULE,
        view,
        fit,
        |refusals| {
            if refusals.iter().any(|refusal| refusal.denial.kind == DenialKind::KeyDisabled) {
                ("the key is disabled".into(), "The key was disabled.".into())
            } else {
                (
                    "the key's state does not permit its use".into(),
                    "The key exists, but its state or usage does not permit this.".into(),
                )
            }
        },
        &[KeyState::Disabled, KeyState::PendingImport],
        |refusal| enable(refusal),
    )
}

fn enable(refusal: &Refusal<'_>) -> Option<Remediation> {
    let arn = refusal.key_arn()?;
    if refusal.denial.kind == DenialKind::KeyUnusable {
        return Some(remedy::words(
            "Give the key its material again, or give the node class another key.",
            format!("state of {}", plain(arn)),
        ));
    }
    Some(remediation::enable_key(&Key::new(arn).ok()?))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, ROLE, finding, is_undetermined, of_node};

    #[test]
    fn fires_and_names_who_disabled_the_key() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "DisableKey", KEY);
        let change = log.last_id();
        log.launch("a", "10:00:00");
        let message = format!("{KEY} is disabled.");
        log.kms_error(
            "a",
            "10:00:02",
            "GenerateDataKeyWithoutPlaintext",
            "DisabledException",
            &message,
            ROLE,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.ends_with("the key is disabled"), "{}", finding.title);
        assert!(finding.evidence.contains(&change));
        assert!(finding.explanation.contains("role/Admin with Terraform"), "{}", finding.explanation);
        assert!(finding.ruled_out.iter().any(|text| text.starts_with("not a missing permission")));
        assert!(finding.remediation.expect("a remedy").documents[0].body.contains("enable-key"));
    }

    #[test]
    fn fires_without_the_change_and_says_that_it_is_missing() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        let message = format!("{KEY} is disabled.");
        log.kms_error("a", "10:00:02", "CreateGrant", "DisabledException", &message, ROLE);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.missing.iter().any(|text| text.contains("who")), "{:?}", finding.missing);
    }

    #[test]
    fn silent_for_a_refusal_after_the_key_was_disabled_and_enabled_again() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:00:00", "DisableKey", KEY).key_state("09:10:00", "EnableKey", KEY);
        log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "DisableKey", KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
