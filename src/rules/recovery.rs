//! Whether a refusal is over: what the archive shows after the last one of the same call.
//!
//! Refusals come in, a sentence with the events that say so goes out. Nothing counts but a later success of the
//! same call of the same principal with the same key, or a change that takes back what the refusal came from; a
//! later change for the worse undoes both. That nothing was refused since is no evidence.

use std::collections::BTreeSet;

use super::finding::Remediation;
use super::key_policy::decision;
use super::refusal::Refusal;
use super::tool::{who, with_tool};
use super::view::Facts;
use super::wording::{count, plain, principal_name, verb};
use crate::correlate::KeyState;
use crate::event::{DenialKind, Detail, Event, ExplicitDenyIn, Id, Timestamp, is_key_state_failure};
use crate::policy::Decision;

/// Most different calls that are looked up for one finding; of more, nothing is said.
const CALLS_MAX: usize = 20;
/// Most changes after the last refusal that are looked through for the one that took it back.
const CHANGES_MAX: usize = 20;

/// The end of what was refused.
pub(super) struct Recovery {
    /// The last refusal.
    refused_at: Timestamp,
    /// What shows that it is over, without a full stop.
    words: String,
    /// Whether a later use of the key shows it, not a change alone.
    is_used: bool,
    /// The change and the last use.
    evidence: Vec<Id>,
}

impl Recovery {
    /// What shows that all of these calls would go well now; `None` if the archive does not show it of each.
    pub(super) fn of(facts: &Facts<'_>, refusals: &[&Refusal<'_>]) -> Option<Self> {
        let mut calls = BTreeSet::new();
        let mut latest: Option<Self> = None;
        for refusal in refusals {
            let call =
                (refusal.kms.key_arn.as_deref()?, refusal.event.identity.principal()?, &refusal.event.name);
            if !calls.insert(call) {
                continue;
            }
            if calls.len() > CALLS_MAX {
                return None;
            }
            let one = of_call(facts, refusal)?;
            if latest.as_ref().is_none_or(|known| known.refused_at < one.refused_at) {
                latest = Some(one);
            }
        }
        latest
    }

    /// Says it in a finding's explanation, cites the events, and makes the remedy depend on a new refusal.
    pub(super) fn tell(
        self,
        explanation: &mut String,
        evidence: &mut Vec<Id>,
        remediation: &mut Option<Remediation>,
    ) {
        explanation.push_str(&format!(" Since the last refusal at {}: {}.", self.refused_at, self.words));
        evidence.extend(self.evidence);
        if let Some(remedy) = remediation {
            let begin = if self.is_used { "Nothing to do now" } else { "Perhaps mended already" };
            remedy.summary = format!("{begin}: {}. If it is refused again: {}", self.words, remedy.summary);
        }
    }
}

fn of_call(facts: &Facts<'_>, refusal: &Refusal<'_>) -> Option<Recovery> {
    let key = refusal.kms.key_arn.as_deref()?;
    let (last, uses) = facts.since_last_refusal(key, refusal.event)?;
    let refused_at = facts.event(last).time;
    let error = refusal.event.error.as_ref()?;
    let change = if is_key_state_failure(&error.code, &error.message) {
        change_of_state(facts, key, last, uses)?
    } else {
        change_of_policy(facts, key, last, uses, refusal)?
    };
    let mut words = Vec::new();
    let mut evidence = Vec::new();
    if let Some((event, effect)) = change {
        let by = principal_name(&who(event));
        words.push(format!("{} at {} by {by}{} {effect}", plain(&event.name), event.time, with_tool(event)));
        evidence.push(event.event_id.clone());
    }
    match uses.last() {
        Some(used) => {
            let event = facts.event(*used);
            let launches = facts.launches_since(key, refusal.event, refused_at);
            words.push(match launches.last() {
                Some(at) if launches.len() == 1 => format!("the launch at {at} used the key"),
                Some(at) => format!(
                    "{} {} used the key since then, the last at {at}",
                    count(launches.len(), "launch"),
                    verb(launches.len(), "has", "have")
                ),
                None => format!("KMS let the same call through, the last time at {}", event.time),
            });
            evidence.push(event.event_id.clone());
        }
        None if evidence.is_empty() => return None,
        None => words.push("no launch since then shows whether that is enough".to_owned()),
    }
    Some(Recovery { refused_at, words: words.join("; "), is_used: !uses.is_empty(), evidence })
}

type Change<'a> = Option<(&'a Event, &'static str)>;

/// The change that made the key usable again; `None` if it is not usable at the end.
fn change_of_state<'a>(facts: &Facts<'a>, key: &str, last: u32, uses: &[u32]) -> Option<Change<'a>> {
    let states = facts.case.history.key_states(key);
    let after = &states[states.partition_point(|state| state.event <= last)..];
    let Some(end) = after.last() else {
        return Some(None);
    };
    if end.value != KeyState::Enabled && uses.last().is_none_or(|used| *used < end.event) {
        return None;
    }
    let enabled = after.iter().take(CHANGES_MAX).find(|state| state.value == KeyState::Enabled);
    let event = enabled.map(|state| facts.event(state.event));
    Some(
        event
            .filter(|event| matches!(event.detail, Detail::KeyState(_)))
            .map(|event| (event, "made the key usable again")),
    )
}

/// The change that made the policy allow the call again; `None` if it does not allow it at the end.
fn change_of_policy<'a>(
    facts: &Facts<'a>,
    key: &str,
    last: u32,
    uses: &[u32],
    refusal: &Refusal<'_>,
) -> Option<Change<'a>> {
    let policies = facts.case.history.policies(key);
    let says = |event: u32| facts.policy(event).and_then(|policy| decision(&policy, refusal));
    let place = policies.partition_point(|policy| policy.event <= last);
    let after = &policies[place..];
    let Some(end) = after.last() else {
        return Some(None);
    };
    // Left to IAM, the call was refused for want of an IAM policy: a statement for the role mends that as well.
    let is_refusing = |decision: &Option<Decision>| match decision {
        Some(Decision::NotAllowed | Decision::ExplicitDeny { .. }) => true,
        Some(Decision::AllowedByRootDelegation { .. }) => refusal.denial.kind == DenialKind::NoIdentityPolicy,
        _ => false,
    };
    if uses.last().is_none_or(|used| *used < end.event)
        && !matches!(says(end.event), Some(Decision::Allowed { .. }))
    {
        return None;
    }
    // Where the policy allowed the call when it was refused, or is not known, its change is not what mends.
    let was_refusing = policies[..place].last().is_some_and(|policy| is_refusing(&says(policy.event)))
        && matches!(
            refusal.denial.kind,
            DenialKind::NoIdentityPolicy
                | DenialKind::NoResourcePolicy
                | DenialKind::ExplicitDeny(ExplicitDenyIn::ResourcePolicy)
                | DenialKind::Unspecified
        );
    let allowing = after
        .iter()
        .take(CHANGES_MAX)
        .find(|policy| matches!(says(policy.event), Some(Decision::Allowed { .. })));
    Some(
        allowing
            .filter(|policy| was_refusing && uses.first().is_none_or(|used| policy.event < *used))
            .map(|policy| (facts.event(policy.event), "changed the key policy, which allows it again")),
    )
}

#[cfg(test)]
mod tests {
    use crate::correlate::Case;
    use crate::rules::finding::Finding;
    use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, OTHER_KEY, ROLE, policy_for};
    use crate::rules::{evaluate, incidents};

    fn lost_policy() -> Log {
        let mut log = Log::new();
        log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE)).template(KEY);
        log.policy("09:55:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Backup"));
        log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
        log
    }

    fn finding(case: &Case, rule: &str) -> Finding {
        evaluate(case).into_iter().find(|finding| finding.rule == rule).expect("the rule fires")
    }

    fn fix(case: &Case) -> String {
        let findings = evaluate(case);
        let incidents = incidents(case, &findings);
        let remedy = incidents[0].remedy.expect("a remedy");
        findings[remedy].remediation.as_ref().expect("a remedy").summary.clone()
    }

    #[test]
    fn a_policy_put_back_and_a_launch_since_then_make_the_fix_conditional_and_are_cited() {
        let mut log = lost_policy();
        log.policy("10:10:00", KEY, &policy_for(ROLE));
        let change = log.last_id();
        log.healthy("b", "10:20:00", KEY);
        let case = log.case();
        for rule in ["KT101", "KT401"] {
            let finding = finding(&case, rule);
            assert!(finding.evidence.contains(&change), "{rule}");
            assert!(
                finding
                    .explanation
                    .contains("Since the last refusal at 2026-03-02T10:00:02Z: PutKeyPolicy at"),
                "{}",
                finding.explanation
            );
        }
        let fix = fix(&case);
        assert!(fix.starts_with("Nothing to do now: PutKeyPolicy at 2026-03-02T10:10:00Z by Admin"), "{fix}");
        assert!(
            fix.contains("the launch at 2026-03-02T10:20:00Z used the key. If it is refused again: "),
            "{fix}"
        );
    }

    #[test]
    fn a_policy_put_back_without_a_launch_since_then_is_perhaps_enough() {
        let mut log = lost_policy();
        log.policy("10:10:00", KEY, &policy_for(ROLE));
        let fix = fix(&log.case());
        assert!(fix.starts_with("Perhaps mended already: PutKeyPolicy"), "{fix}");
    }

    #[test]
    fn silence_another_key_and_a_policy_lost_again_are_no_recovery() {
        let mut silent = lost_policy();
        let mut other = lost_policy();
        other.healthy("b", "10:20:00", OTHER_KEY);
        let mut lost_again = lost_policy();
        lost_again.policy("10:10:00", KEY, &policy_for(ROLE)).healthy("b", "10:20:00", KEY);
        lost_again.policy("10:30:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Backup"));
        let mut refused_again = lost_policy();
        refused_again.healthy("b", "10:20:00", KEY).launch("c", "10:30:00");
        refused_again.denied("c", "10:30:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
        for log in [&mut silent, &mut other, &mut lost_again, &mut refused_again] {
            let case = log.case();
            let finding = finding(&case, "KT401");
            assert!(!finding.explanation.contains("Since the last refusal"), "{}", finding.explanation);
            assert!(finding.remediation.expect("a remedy").summary.starts_with("Add statements"));
        }
    }

    #[test]
    fn a_key_enabled_again_does_not_ask_for_what_was_done() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "DisableKey", KEY).launch("a", "10:00:00");
        let message = format!("{KEY} is disabled.");
        log.kms_error("a", "10:00:02", "CreateGrant", "DisabledException", &message, ROLE);
        assert!(fix(&log.case()).starts_with("Enable the key"), "{}", fix(&log.case()));
        log.key_state("10:10:00", "EnableKey", KEY);
        let fix = fix(&log.case());
        assert!(
            fix.starts_with("Perhaps mended already: EnableKey at 2026-03-02T10:10:00Z by Admin"),
            "{fix}"
        );
    }
}
