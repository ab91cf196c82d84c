//! The refused key's policy changed shortly before its first refusal, and the change took the permission away.
//!
//! A key, its refusals and the policies put on it come in; a finding that says who changed what, with which tool,
//! and which statements were lost goes out. A change that does not explain the refusal is no cause.

use std::collections::BTreeMap;

use super::finding::{Finding, Remediation, Severity, Subject, SubjectKind};
use super::key_policy::{
    added_denies, changes_before, decision, has_matching_deny, policy_of, without_denies,
};
use super::recovery::Recovery;
use super::refusal::Refusal;
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{tool, who, with_tool};
use super::view::KeyView;
use super::wording::{clauses, count, key_name, list, plain, principal_name, span, verb};
use crate::correlate::Confidence;
use crate::event::{DenialKind, Detail, Event, ExplicitDenyIn, KeyArn};
use crate::policy::{Decision, Policy, StatementName, compare};

pub(super) static RULE: Rule = Rule {
    id: "KT401",
    name: "key-policy-changed",
    severity: Severity::Critical,
    summary: "The refused key's policy changed within 24 h before its first refusal, and lost what the refused principal needs.",
    docs: "\
## Concludes

PutKeyPolicy replaced the key's policy, and the new one no longer lets the refused principal do what was refused. PutKeyPolicy replaces
the whole document: a tool that holds an older or a shorter version takes away what somebody else had added.

## Evidence required

A refused launch; a PutKeyPolicy (or CreateKey) on the refused key within 24 h before the first refusal of that principal; the policy text
of both versions, of which the old one allows the refused call and the new one does not (observed). Without the old text: a new policy
that does not allow the call (inferred). Inferred as well: a change in the same second as the first refusal, since CloudTrail's times
are whole seconds; and a message that names an explicit deny in a resource-based policy, where the new policy has a Deny statement for
this principal and action that the old one lacks, under a condition that the archive cannot decide.

## What would disprove it

A refusal of the same principal before the change; a new policy that allows the call; an old one that did not.

## Blind spots

Grants and IAM policies can allow or deny besides the key policy. A key of another account shows its changes in that account's archive only.
Conditions on facts that CloudTrail does not hold leave the decision open.

## References

- <https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying.html>
- <https://github.com/aws/karpenter-provider-aws/issues/5039>
",
    evaluate: Evaluate::Key(evaluate),
};

/// How long before the first refusal a change still counts as its cause.
const CAUSE_SECONDS_MAX: i64 = 24 * 3_600;

/// Most refused calls (principal and action) that are put to the policies.
const CALLS_MAX: usize = 20;

/// Most refusals that the finding cites.
const REFUSALS_CITED_MAX: usize = 50;

/// Most lines of lost permissions in a finding.
const LINES_MAX: usize = 6;

/// What a change of policy did to the refused calls.
enum Effect<'a> {
    /// The call was allowed before, and is not any more.
    Lost(&'a Refusal<'a>),
    /// The new policy does not allow the call; the old one is not in the archive.
    PerhapsLost(&'a Refusal<'a>),
    /// The message names an explicit deny of the key policy, and the new one has a Deny for this call under a
    /// condition that cannot be decided.
    PerhapsDenied(&'a Refusal<'a>),
    /// Neither before nor after: an older change, or none, is the cause.
    NotYetAllowed,
    /// The policy allows the call after the change.
    StillAllowed,
    /// Cannot be told.
    Unknown(String),
}

fn evaluate(view: &KeyView<'_>) -> Verdict {
    let key = &*view.key.key_arn;
    let mut calls: BTreeMap<(&str, String), &Refusal<'_>> = BTreeMap::new();
    for refusal in view.refusals.iter().filter(|refusal| refusal.denial.action.is_some()) {
        let principal = refusal.principal().unwrap_or_default();
        if calls.len() < CALLS_MAX {
            calls.entry((principal, refusal.action())).or_insert(refusal);
        }
    }
    let calls: Vec<&Refusal<'_>> = calls.into_values().collect();
    if calls.is_empty() {
        return if view.refusals.is_empty() {
            Verdict::Silent
        } else {
            Verdict::undetermined("the refused action: the messages do not name it")
        };
    }
    let first = first_refusal(view, &calls);
    let changes = changes_before(view.facts, key, first);
    let first = view.facts.event(first);
    let since = first.time.second() - CAUSE_SECONDS_MAX;
    let recent = changes.partition_point(|change| change.time.second() < since);
    if recent == changes.len() {
        return match lack_of_coverage(view, since) {
            Some(lack) => Verdict::undetermined(lack),
            None => Verdict::Silent,
        };
    }
    // The last change before the refusal was in force; an earlier one counts where later ones changed nothing.
    for index in (recent..changes.len()).rev() {
        let (change, old) = (changes[index], index.checked_sub(1).map(|before| changes[before]));
        let (refusal, confidence) = match effect(&calls, old, change) {
            Effect::StillAllowed => return Verdict::Silent,
            Effect::NotYetAllowed => continue,
            Effect::Unknown(lack) => return Verdict::undetermined(lack),
            Effect::Lost(refusal) => (refusal, Confidence::Observed),
            Effect::PerhapsLost(refusal) | Effect::PerhapsDenied(refusal) => (refusal, Confidence::Inferred),
        };
        let confidence = if is_same_second(change, first) { Confidence::Inferred } else { confidence };
        return fire(view, (old, change), first, refusal, confidence);
    }
    Verdict::Silent
}

/// CloudTrail's times are whole seconds: which of two events in one second came first is not known.
fn is_same_second(change: &Event, first: &Event) -> bool {
    change.time.second() == first.time.second()
}

/// The first refusal in the whole archive of the principals that were refused for nodes.
fn first_refusal(view: &KeyView<'_>, calls: &[&Refusal<'_>]) -> u32 {
    let earliest = calls.iter().map(|refusal| refusal.index).min().unwrap_or_default();
    let is_refused_before = |index: &&u32| {
        let event = view.facts.event(**index);
        event.identity.is_invoked_by_ec2()
            && event.error.as_ref().is_some_and(|error| crate::event::is_refusal(&error.code))
            && calls.iter().any(|refusal| refusal.event.identity.principal() == event.identity.principal())
    };
    let failures = view.facts.failures_of(&view.key.key_arn);
    failures.iter().find(is_refused_before).copied().unwrap_or(earliest).min(earliest)
}

/// Why a change may be missing: the archive must hold the key's account, from a day before the refusal on.
fn lack_of_coverage(view: &KeyView<'_>, since: i64) -> Option<String> {
    let arn = KeyArn::parse(&view.key.key_arn)?;
    let scope = (arn.account_id.into(), arn.region.into());
    let Some(activity) = view.facts.case.coverage.scopes.get(&scope) else {
        return Some(format!(
            "the archive of the key's account {} in {}",
            plain(arn.account_id),
            plain(arn.region)
        ));
    };
    let begins = activity.first_event()?;
    (begins.second() > since).then(|| {
        format!(
            "changes of the key policy before {begins}: the archive of account {} in {} begins there, less than {} \
             before the first refusal",
            plain(arn.account_id),
            plain(arn.region),
            span(CAUSE_SECONDS_MAX)
        )
    })
}

/// How far a policy lets a call through: 2 by name, 1 as far as IAM allows, 0 not; `None` if it cannot be told.
fn permission(policy: &Policy, refusal: &Refusal<'_>) -> Option<u8> {
    match decision(policy, refusal)? {
        Decision::Allowed { .. } => Some(2),
        Decision::AllowedByRootDelegation { .. } => Some(1),
        Decision::ExplicitDeny { .. } | Decision::NotAllowed => Some(0),
        Decision::CannotDecide { .. } => None,
    }
}

fn effect<'a>(calls: &[&'a Refusal<'a>], old: Option<&Event>, change: &Event) -> Effect<'a> {
    let Some(new_policy) = policy_of(change) else {
        return Effect::Unknown(format!(
            "the policy that {} at {} put in place",
            plain(&change.name),
            change.time
        ));
    };
    let old_policy = old.and_then(policy_of);
    let (mut is_open, mut is_allowed, mut perhaps) = (false, true, None);
    for refusal in calls {
        let Some(now) = permission(&new_policy, refusal) else {
            if change_is_of_existing_key(change)
                && is_perhaps_denied(old_policy.as_ref(), &new_policy, refusal)
            {
                return Effect::PerhapsDenied(refusal);
            }
            is_open = true;
            continue;
        };
        is_allowed &= now == 2;
        match old_policy.as_ref().map(|policy| permission(policy, refusal)) {
            Some(Some(before)) if before > now => return Effect::Lost(refusal),
            Some(Some(_)) => {}
            Some(None) => is_open = true,
            None if now == 0 => perhaps = perhaps.or(Some(*refusal)),
            None if now == 1 => is_open = true,
            None => {}
        }
    }
    match perhaps {
        Some(refusal) if change_is_of_existing_key(change) => Effect::PerhapsLost(refusal),
        _ if is_open => Effect::Unknown(
            "the key policy before the change, or facts that its conditions depend on".to_owned(),
        ),
        _ if is_allowed => Effect::StillAllowed,
        _ => Effect::NotYetAllowed,
    }
}

/// Whether a new Deny explains the message, though its condition cannot be decided. An old policy that may have
/// denied the call as well, or did not allow it, leaves the change without that meaning.
fn is_perhaps_denied(old: Option<&Policy>, new: &Policy, refusal: &Refusal<'_>) -> bool {
    let is_named = refusal.denial.kind == DenialKind::ExplicitDeny(ExplicitDenyIn::ResourcePolicy);
    let was_open = old.is_none_or(|old| {
        !has_matching_deny(old, refusal) && permission(old, refusal).is_none_or(|before| before > 0)
    });
    is_named && was_open && !added_denies(old, new, refusal).is_empty()
}

/// A key made with a policy had none before that could have been lost.
fn change_is_of_existing_key(change: &Event) -> bool {
    matches!(&change.detail, Detail::Policy(policy) if !policy.is_creation)
}

fn fire(
    view: &KeyView<'_>,
    (old, change): (Option<&Event>, &Event),
    first: &Event,
    refusal: &Refusal<'_>,
    confidence: Confidence,
) -> Verdict {
    let key = &*view.key.key_arn;
    let principal = refusal.principal().unwrap_or_default();
    let mut missing = Vec::new();
    let policies = (old.and_then(policy_of), policy_of(change));
    let denies = match &policies {
        (old, Some(new)) => added_denies(old.as_ref(), new, refusal),
        _ => Vec::new(),
    };
    let lost = lost_words(&policies, &denies, refusal);
    if policies.0.is_none() {
        missing.push(match old {
            None => "the policy before the change: no earlier PutKeyPolicy or CreateKey is in the archive"
                .to_owned(),
            Some(old) => {
                format!("the policy before the change: the record of {} does not hold it", old.time)
            }
        });
    }
    if is_same_second(change, first) {
        missing.push(
            "whether the change came before the refusal: both are of the same second, and CloudTrail's times \
             are no finer"
                .to_owned(),
        );
    }
    if let Some(Decision::CannotDecide { why }) = policies.1.as_ref().and_then(|new| decision(new, refusal)) {
        missing.push(format!("whether the condition held for the refused call ({})", plain(&why)));
    }
    let nodes = view.refused_nodes.len();
    let from = if change.source_ip.is_empty() {
        String::new()
    } else {
        format!(" from {}", plain(&change.source_ip))
    };
    let session = change
        .identity
        .session_name()
        .map_or_else(String::new, |session| format!(" (session {})", plain(session)));
    missing.push("grants and IAM policies that may have allowed it as well".to_owned());
    let mut evidence = vec![change.event_id.clone(), first.event_id.clone()];
    evidence.extend(old.map(|event| event.event_id.clone()));
    evidence
        .extend(view.refusals.iter().take(REFUSALS_CITED_MAX).map(|refusal| refusal.event.event_id.clone()));
    let mut remediation = remedy_for(policies.1.as_ref(), &denies, refusal, key);
    let mut explanation = format!(
        "At {} {}{session}{}{from} replaced the policy of {key}. {} at {}, KMS first refused {} to {}; {} refused.{lost}",
        change.time,
        who(change),
        with_tool(change),
        if is_same_second(change, first) {
            "In the same second,".to_owned()
        } else {
            format!("{} after that,", span(first.time.second() - change.time.second()))
        },
        first.time,
        refusal.action(),
        plain(principal),
        format_args!("{} {}", count(nodes, "node"), verb(nodes, "was", "were"))
    );
    if let Some(recovery) = Recovery::of(view.facts, &[refusal]) {
        recovery.tell(&mut explanation, &mut evidence, &mut remediation);
    }
    Verdict::fires(Finding {
        explanation,
        evidence,
        ruled_out: vec![
            "not an older fault: the archive shows no refusal of this principal on this key before the change".to_owned(),
        ],
        missing,
        remediation,
        ..RULE.finding(
            Subject::new(SubjectKind::Key, view.key.key_arn.clone()),
            confidence,
            format!(
                "Policy of {} changed by {}{}, and {} lost {}",
                key_name(key),
                principal_name(&who(change)),
                tool(change).map_or_else(String::new, |tool| format!(" with {tool}")),
                principal_name(principal),
                refusal.action()
            ),
        )
    })
}

/// What the change took away, in sentences with a space before them.
fn lost_words(
    (old, new): &(Option<Policy>, Option<Policy>),
    denies: &[StatementName],
    refusal: &Refusal<'_>,
) -> String {
    let mut words = match (old, new) {
        (Some(old), Some(new)) => {
            let lines = compare(old, new).lines();
            let is_loss = |line: &String| {
                line.contains(" may no longer ")
                    || line.ends_with(" is gone")
                    || (!denies.is_empty() && line.contains(" is now denied "))
            };
            let lines: Vec<String> = lines.into_iter().filter(is_loss).collect();
            if lines.is_empty() {
                String::new()
            } else {
                format!(" What was lost: {}.", clauses(lines, LINES_MAX))
            }
        }
        _ if denies.is_empty() => {
            " The new policy does not allow it; the earlier one is not known.".to_owned()
        }
        _ => " The earlier policy is not known.".to_owned(),
    };
    if denies.is_empty() {
        return words;
    }
    let names = list(denies, 3);
    let is_undecided =
        new.as_ref().is_some_and(|new| matches!(decision(new, refusal), Some(Decision::CannotDecide { .. })));
    words.push_str(&if is_undecided {
        format!(
            " The message names an explicit deny in a resource-based policy: {names} of the new policy denies this \
             call to this principal under a condition that the archive cannot decide."
        )
    } else {
        format!(" The new policy denies it by {names}.")
    });
    words
}

/// Takes the Deny back that was added; allows the call where it is not allowed without that.
fn remedy_for(
    new: Option<&Policy>,
    denies: &[StatementName],
    refusal: &Refusal<'_>,
    key: &str,
) -> Option<Remediation> {
    let allow = || remedy::allow(refusal.principal(), Some(key), false);
    if denies.is_empty() {
        return allow();
    }
    let mut summary = format!(
        "Remove {} from the key policy, or narrow it so that it does not apply to {} when EC2 calls for it.",
        list(denies, 3),
        plain(refusal.principal().unwrap_or_default())
    );
    let rest = new.map(|new| without_denies(new, denies));
    if rest.and_then(|rest| permission(&rest, refusal)) == Some(0)
        && let Some(allow) = allow()
    {
        summary.push_str(&format!(" That alone is not enough. {}", allow.summary));
        return Some(Remediation { summary, ..allow });
    }
    Some(remedy::words(summary, format!("key policy of {}", plain(key))))
}

#[cfg(test)]
mod tests;
