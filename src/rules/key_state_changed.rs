//! A key of these nodes was disabled, scheduled for deletion, or enabled again.
//!
//! A key with its state changes comes in; a finding that lists them with their authors goes out.

use super::finding::{Finding, Remediation, Severity, Subject, SubjectKind};
use super::remediation::{self, Key};
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::KeyView;
use super::wording::{clauses, count, key_name, plain, principal_name};
use crate::correlate::{Confidence, KeyState};
use crate::event::{Detail, Event, KeyArn};

pub(super) static RULE: Rule = Rule {
    id: "KT403",
    name: "key-state-changed",
    severity: Severity::High,
    summary: "A key of these nodes was disabled, scheduled for deletion or enabled.",
    docs: "\
## Concludes

Somebody changed the state of a key that these nodes use. A disabled key stops new launches at once; running nodes keep their volumes
until they are stopped or detached. After a deletion every volume and snapshot under the key is lost.

## Evidence required

DisableKey, EnableKey, ScheduleKeyDeletion, CancelKeyDeletion, DeleteKey, or a change of imported key material, of a key that launches used
or were refused, in the archive.

## What would disprove it

Nothing: the event says it. Whether launches suffered, KT104 and KT105 say.

## Blind spots

A key of another account shows its changes in that account's archive only. Changes before the archive begins are not known.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/enabling-keys.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html>
",
    evaluate: Evaluate::Key(evaluate),
};

/// Most changes that the title names.
const TITLE_CHANGES_MAX: usize = 3;

/// Most changes that the explanation lists.
const CHANGES_MAX: usize = 6;

fn evaluate(view: &KeyView<'_>) -> Verdict {
    let key = &*view.key.key_arn;
    let changes = view.state_changes();
    let Some((_, state)) = changes.last().copied() else {
        return silent_or_dark(view);
    };
    let refused: Vec<&Event> = view
        .refusals
        .iter()
        .filter(|refusal| {
            let error = refusal.event.error.as_ref();
            error.is_some_and(|error| crate::event::is_key_state_failure(&error.code, &error.message))
        })
        .map(|refusal| refusal.event)
        .collect();
    let listed = changes.iter().map(|(event, _)| {
        let date = match &event.detail {
            Detail::KeyState(change) => change
                .deletion_date
                .as_deref()
                .map_or_else(String::new, |date| format!(" (to be deleted {})", plain(date))),
            _ => String::new(),
        };
        format!("{} at {} by {}{}{date}", event.name, event.time, who(event), with_tool(event))
    });
    let suffered = match refused.first() {
        Some(first) => {
            format!(" {} refused for that, from {} on.", count_refusals(refused.len()), first.time)
        }
        None => " The archive shows no launch that was refused for that.".to_owned(),
    };
    let mut evidence: Vec<_> = changes.iter().map(|(event, _)| event.event_id.clone()).collect();
    evidence.extend(refused.iter().map(|event| event.event_id.clone()));
    let is_usable = state == KeyState::Enabled;
    let severity = match (is_usable, refused.is_empty()) {
        (false, false) => Severity::Critical,
        (true, true) => Severity::Low,
        _ => RULE.severity,
    };
    Verdict::fires(Finding {
        severity,
        explanation: format!(
            "The state of {key}, which {} use or were refused, changed: {}. At the end of the archive it is {}.{suffered}",
            count(usize::try_from(view.key.nodes).unwrap_or(usize::MAX), "node"),
            clauses(listed, CHANGES_MAX),
            words(state)
        ),
        evidence,
        ruled_out: Vec::new(),
        missing: Vec::new(),
        remediation: if is_usable { None } else { restore(key, state) },
        ..RULE.finding(
            Subject::new(SubjectKind::Key, view.key.key_arn.clone()),
            Confidence::Observed,
            title(key, &changes),
        )
    })
}

/// The key and its last changes, with who made each.
fn title(key: &str, changes: &[(&Event, KeyState)]) -> String {
    let last = &changes[changes.len().saturating_sub(TITLE_CHANGES_MAX)..];
    let steps: Vec<String> = last
        .iter()
        .map(|(event, state)| format!("{} by {}", words(*state), principal_name(&who(event))))
        .collect();
    format!("{}: {}", key_name(key).replacen("key ", "Key ", 1), steps.join(", then "))
}

fn silent_or_dark(view: &KeyView<'_>) -> Verdict {
    let Some(arn) = KeyArn::parse(&view.key.key_arn) else {
        return Verdict::Silent;
    };
    let scope = (arn.account_id.into(), arn.region.into());
    if view.facts.case.coverage.scopes.contains_key(&scope) {
        Verdict::Silent
    } else {
        Verdict::undetermined(format!(
            "the archive of the key's account {} in {}",
            plain(arn.account_id),
            plain(arn.region)
        ))
    }
}

fn count_refusals(number: usize) -> String {
    format!("{} {}", count(number, "call"), super::wording::verb(number, "was", "were"))
}

fn words(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "enabled",
        KeyState::Disabled => "disabled",
        KeyState::PendingDeletion => "pending deletion",
        KeyState::Deleted => "deleted",
        KeyState::PendingImport => "without key material",
    }
}

fn restore(key: &str, state: KeyState) -> Option<Remediation> {
    let checked = Key::new(key).ok()?;
    match state {
        KeyState::Disabled => Some(remediation::enable_key(&checked)),
        KeyState::PendingDeletion => Some(remediation::cancel_key_deletion(&checked)),
        KeyState::PendingImport => Some(super::remedy::words(
            "Import the key material again.",
            format!("key material of {}", plain(key)),
        )),
        KeyState::Enabled | KeyState::Deleted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::finding::Severity;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{FOREIGN_KEY, KEY, Log, OTHER_KEY, ROLE, finding, is_undetermined, of_key};

    #[test]
    fn fires_when_a_key_of_the_nodes_was_disabled() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "09:00:00", KEY).key_state("09:30:00", "DisableKey", KEY);
        log.launch("b", "10:00:00");
        let message = format!("{KEY} is disabled.");
        log.kms_error("b", "10:00:02", "CreateGrant", "DisabledException", &message, ROLE);
        let finding = finding(of_key(&RULE, &log.case(), KEY));
        assert_eq!(finding.severity, Severity::Critical);
        assert_eq!(finding.title, "Key 11111111-2222-3333-4444-555555555555: disabled by Admin");
        assert!(finding.explanation.contains("1 call was refused for that"), "{}", finding.explanation);
        assert!(finding.remediation.is_some());
    }

    #[test]
    fn fires_mildly_when_the_key_was_enabled_again() {
        let mut log = Log::new();
        log.template(KEY).key_state("08:30:00", "DisableKey", KEY).key_state("08:40:00", "EnableKey", KEY);
        log.healthy("a", "09:00:00", KEY);
        let finding = finding(of_key(&RULE, &log.case(), KEY));
        assert_eq!(finding.severity, Severity::Low);
        assert!(finding.title.ends_with("disabled by Admin, then enabled by Admin"), "{}", finding.title);
        assert_eq!(finding.remediation, None);
    }

    #[test]
    fn silent_for_another_key_and_for_a_key_that_was_only_made() {
        let mut log = Log::new();
        let made = format!(
            r#""requestParameters":{{"keyUsage":"ENCRYPT_DECRYPT"}},"responseElements":{{"keyMetadata":{{"arn":"{KEY}","keyState":"Enabled"}}}}"#
        );
        log.by_terraform("07:00:00", ("kms", "CreateKey"), &made);
        log.template(KEY).key_state("08:30:00", "DisableKey", OTHER_KEY).healthy("a", "09:00:00", KEY);
        assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
    }

    #[test]
    fn undetermined_for_a_key_whose_account_is_not_in_the_archive() {
        let mut log = Log::new();
        log.template(FOREIGN_KEY).healthy("a", "10:00:00", FOREIGN_KEY);
        assert!(is_undetermined(&of_key(&RULE, &log.case(), FOREIGN_KEY)));
    }
}
