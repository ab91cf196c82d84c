//! What the rules about the end of a node share: the cause that correlation found, and the finding.
//!
//! A node comes in; a verdict goes out. A node without an end in the archive is undetermined: it may still run.

use super::finding::{Finding, Subject};
use super::rule::{Rule, Verdict};
use super::view::NodeView;
use super::wording::span;
use crate::correlate::{Termination, TerminationCause, TimelineRole};
use crate::event::Event;

/// What a rule says of an end.
pub(super) struct Words {
    pub(super) title: String,
    pub(super) explanation: String,
    pub(super) ruled_out: Vec<String>,
    pub(super) missing: Vec<String>,
    pub(super) remediation: Option<super::Remediation>,
}

/// Judges a node by the cause of its end.
pub(super) fn judge<'a>(
    rule: &Rule,
    view: &NodeView<'a>,
    cause: TerminationCause,
    words: impl FnOnce(&'a Termination) -> Words,
) -> Verdict {
    let Some(end) = &view.node.termination else {
        return Verdict::undetermined("the end of the node: the archive shows none, it may still run");
    };
    if end.cause != cause {
        return Verdict::Silent;
    }
    if !view.facts.are_words_wanted && !end.evidence.is_empty() {
        let evidence = end.evidence.clone();
        return Verdict::fires(Finding {
            evidence,
            ..rule.finding(Subject::node(view), end.confidence, String::new())
        });
    }
    let words = words(end);
    let mut evidence = end.evidence.clone();
    evidence.extend(view.launch_evidence());
    Verdict::fires(Finding {
        explanation: words.explanation,
        evidence,
        ruled_out: words.ruled_out,
        missing: words.missing,
        remediation: words.remediation,
        ..rule.finding(Subject::node(view), end.confidence, words.title)
    })
}

/// How long the node lived, in seconds.
pub(super) fn lifetime_seconds(view: &NodeView<'_>, end: &Termination) -> Option<i64> {
    view.node.launched_at.map(|launch| end.at.second() - launch.second())
}

/// `, 14 min after its launch,`, or nothing where the launch is not known.
pub(super) fn age(view: &NodeView<'_>, end: &Termination) -> String {
    lifetime_seconds(view, end)
        .map_or_else(String::new, |seconds| format!(", {} after its launch,", span(seconds)))
}

/// The event that ended the node.
pub(super) fn event<'a>(view: &NodeView<'a>, end: &Termination) -> Option<&'a Event> {
    let mut events = view.events(TimelineRole::End).chain(view.events(TimelineRole::EndAttempt));
    events.find(|event| end.evidence.contains(&event.event_id))
}

/// What is always ruled out by a key that worked, or missing where none was seen.
pub(super) fn about_keys(view: &NodeView<'_>) -> (Vec<String>, Vec<String>) {
    if let Some(lack) = view.lack_of_key_evidence() {
        return (Vec::new(), vec![lack]);
    }
    if view.node.used_keys.is_empty() || !view.refusals.is_empty() {
        return (Vec::new(), Vec::new());
    }
    (vec!["not a refused key: KMS let the launch use its keys".to_owned()], Vec::new())
}
