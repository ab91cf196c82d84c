//! What the rules about a key's state share: the refusal, and the change of state before it.
//!
//! A node's refusals come in; a finding that names who changed the state, if the archive shows it, goes out.

use super::finding::Remediation;
use super::refusal::{self, Fit, Refusal, Wording};
use super::rule::{Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::KeyState;

/// Judges a node by refusals about its key's state. `words` gives title and meaning; `states` are those that
/// the change before the refusal must lead to (none: no change is looked for).
pub(super) fn judge<'a>(
    rule: &Rule,
    view: &NodeView<'a>,
    fit: impl Fn(&Refusal<'a>) -> Fit,
    words: impl FnOnce(&[&Refusal<'a>]) -> (String, String),
    states: &[KeyState],
    remedy: impl FnOnce(&Refusal<'a>) -> Option<Remediation>,
) -> Verdict {
    let verdict = refusal::judge(
        rule,
        view,
        &fit,
        |refusals| {
            let (title, meaning) = words(refusals);
            Wording { title, meaning: format!(" {meaning}") }
        },
        |refusals| refusals.first().and_then(|refusal| remedy(refusal)),
    );
    let Verdict::Fires(mut finding) = verdict else {
        return verdict;
    };
    finding.missing.retain(|missing| !missing.starts_with("the key policy of"));
    let first = view.refusals.iter().find(|refusal| !matches!(fit(refusal), Fit::No | Fit::Unclear(_)));
    let Some(key) = first.and_then(Refusal::key_arn).filter(|_| !states.is_empty()) else {
        return Verdict::Fires(finding);
    };
    let refused_at = first.map(|refusal| refusal.event.time).unwrap_or_default();
    let change =
        view.facts.case.history.key_state(key, refused_at).filter(|state| states.contains(&state.value));
    match change {
        Some(change) => {
            let event = view.facts.event(change.event);
            finding.explanation.push_str(&format!(
                " {} by {}{} at {} led to it.",
                plain(&event.name),
                who(event),
                with_tool(event),
                event.time
            ));
            finding.evidence.push(event.event_id.clone());
        }
        None => finding.missing.push(format!(
            "who changed the state of {} and when: the archive shows no such change before the refusal",
            plain(key)
        )),
    }
    Verdict::Fires(finding)
}
