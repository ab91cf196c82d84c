//! The key was waiting for its deletion at launch, or was deleted.
//!
//! A node's refusals come in, a finding with the scheduling, if the archive holds it, goes out.

use super::finding::Severity;
use super::key_condition;
use super::refusal::{Fit, Refusal};
use super::remediation::{self, Key};
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::{finding::Remediation, remedy};
use crate::correlate::KeyState;
use crate::event::DenialKind;

pub(super) static RULE: Rule = Rule {
    id: "KT105",
    name: "kms-key-pending-deletion",
    severity: Severity::Critical,
    summary: "The key was pending deletion or deleted at launch.",
    docs: "\
## Concludes

The key waits for its deletion, or is deleted. While it waits, deletion can be cancelled; afterwards every volume and snapshot
under it is lost.

## Evidence required

A KMS event with `KMSInvalidStateException` and `is pending deletion`, joined to the node; or one that does not find the key, with
a DeleteKey or ScheduleKeyDeletion of it before the launch in the archive.

## What would disprove it

CancelKeyDeletion and EnableKey before the launch; a use of the same key afterwards.

## Blind spots

A key whose deletion was scheduled before the archive begins shows no ScheduleKeyDeletion.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
",
    evaluate: Evaluate::Node(evaluate),
};

/// Whether the archive shows the key deleted, or waiting for it, when it was not found.
pub(super) fn is_known_deleted(view: &NodeView<'_>, refusal: &Refusal<'_>) -> bool {
    refusal
        .key_arn()
        .and_then(|key| view.facts.case.history.key_state(key, refusal.event.time))
        .is_some_and(|state| matches!(state.value, KeyState::PendingDeletion | KeyState::Deleted))
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    key_condition::judge(
        &RULE,
        view,
        |refusal| match refusal.denial.kind {
            DenialKind::KeyPendingDeletion => Fit::Yes,
            DenialKind::KeyNotFound if is_known_deleted(view, refusal) => Fit::Yes,
            DenialKind::KeyNotFound if refusal.key_arn().is_none() => {
                Fit::Unclear("which key was not found: the message does not name it".to_owned())
            }
            _ => Fit::No,
        },
        |refusals| {
            if refusals.iter().any(|refusal| refusal.denial.kind == DenialKind::KeyPendingDeletion) {
                ("the key is pending deletion".into(), "The key waits for its deletion.".into())
            } else {
                ("the key is deleted".into(), "The key was not found: it had been deleted.".into())
            }
        },
        &[KeyState::PendingDeletion, KeyState::Deleted],
        |refusal| cancel(view, refusal),
    )
}

fn cancel(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Option<Remediation> {
    if refusal.denial.kind == DenialKind::KeyNotFound {
        return remedy::dedicated_key(view.node);
    }
    Some(remediation::cancel_key_deletion(&Key::new(refusal.key_arn()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, ROLE, finding, is_undetermined, of_node};

    const CALL: &str = "GenerateDataKeyWithoutPlaintext";

    #[test]
    fn fires_while_the_key_waits_for_its_deletion() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "ScheduleKeyDeletion", KEY);
        let change = log.last_id();
        log.launch("a", "10:00:00");
        let message = format!("{KEY} is pending deletion.");
        log.kms_error("a", "10:00:02", CALL, "KMSInvalidStateException", &message, ROLE);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.ends_with("the key is pending deletion"), "{}", finding.title);
        assert!(finding.evidence.contains(&change));
        assert!(finding.remediation.expect("a remedy").documents[0].body.contains("cancel-key-deletion"));
    }

    #[test]
    fn fires_for_a_key_that_is_gone_after_its_deletion() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "DeleteKey", KEY).launch("a", "10:00:00");
        log.kms_error(
            "a",
            "10:00:02",
            CALL,
            "NotFoundException",
            &format!("Key '{KEY}' does not exist"),
            ROLE,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.ends_with("the key is deleted"), "{}", finding.title);
    }

    #[test]
    fn silent_for_a_key_that_was_never_seen() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        log.kms_error(
            "a",
            "10:00:02",
            CALL,
            "NotFoundException",
            &format!("Key '{KEY}' does not exist"),
            ROLE,
        );
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_for_a_disabled_key() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        log.kms_error("a", "10:00:02", CALL, "DisabledException", &format!("{KEY} is disabled."), ROLE);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_when_the_message_does_not_name_the_key() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        log.kms_error("a", "10:00:02", CALL, "NotFoundException", "The specified key does not exist", ROLE);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
