//! The events that a case rests on, each once, with the nodes and findings that it is evidence for.
//!
//! A case and its findings come in, [`Cited`] events go out in order of time: for outputs whose unit is the
//! event, not the node. An event of several nodes is one event there, not several.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sentence::sentence;
use crate::correlate::{Case, Confidence, Node, TimelineRef, TimelineRole};
use crate::event::{Detail, Event, Id, is_refusal, is_throttling};
use crate::rules::{Finding, Severity};

/// An event that some timeline, finding or failed launch cites.
pub(super) struct Cited<'a> {
    pub(super) event: &'a Event,
    /// Nodes in whose timelines it stands, in order of launch.
    pub(super) nodes: Vec<(&'a Node, TimelineRef)>,
    /// Findings that rest on it, in the order of the document.
    pub(super) findings: Vec<&'a Finding>,
    /// How bad the worst finding is that this very event decides.
    decides: Option<Severity>,
}

/// All cited events, in order of time, causal rank and event id.
pub(super) fn cited<'a>(case: &'a Case, findings: &'a [Finding]) -> impl Iterator<Item = Cited<'a>> {
    let mut nodes: BTreeMap<u32, Vec<(&Node, TimelineRef)>> = BTreeMap::new();
    for node in &case.nodes {
        for reference in &node.timeline {
            nodes.entry(reference.event).or_default().push((node, *reference));
        }
    }
    let by_id = by_evidence(findings);
    let mut decided: HashMap<u32, Severity> = HashMap::new();
    for (finding, decisive) in findings.iter().zip(decisive_events(case, findings)) {
        if let Some(event) = decisive {
            let worst = decided.entry(event).or_insert(finding.severity);
            *worst = finding.severity.max(*worst);
        }
    }
    let failures: HashSet<&Id> = case.launch_failures.iter().map(|failure| &failure.event_id).collect();
    let mut unjoined = case.unjoined_refusals.clone();
    unjoined.sort_unstable();
    (0u32..).zip(&case.events).filter_map(move |(index, event)| {
        let nodes = nodes.remove(&index).unwrap_or_default();
        let findings = by_id.get(&event.event_id).cloned().unwrap_or_default();
        let is_cited = !nodes.is_empty()
            || !findings.is_empty()
            || failures.contains(&event.event_id)
            || unjoined.binary_search(&index).is_ok();
        let decides = decided.get(&index).copied();
        is_cited.then_some(Cited { event, nodes, findings, decides })
    })
}

fn by_evidence(findings: &[Finding]) -> HashMap<&Id, Vec<&Finding>> {
    let mut by_id: HashMap<&Id, Vec<&Finding>> = HashMap::new();
    for finding in findings {
        for id in &finding.evidence {
            let own = by_id.entry(id).or_default();
            if own.last().is_none_or(|last| !std::ptr::eq(*last, finding)) {
                own.push(finding);
            }
        }
    }
    by_id
}

impl Cited<'_> {
    /// What the event is: for its nodes, else by itself.
    pub(super) fn roles(&self) -> Vec<TimelineRole> {
        let mut roles: Vec<TimelineRole> = self.nodes.iter().map(|(_, reference)| reference.role).collect();
        if roles.is_empty() {
            roles.push(self.role_by_itself());
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    fn role_by_itself(&self) -> TimelineRole {
        match self.event.error.as_ref() {
            Some(error) if is_throttling(&error.code) => TimelineRole::Throttled,
            Some(error) if is_refusal(&error.code) => TimelineRole::Refusal,
            _ => TimelineRole::Configuration,
        }
    }

    /// One sentence about the event: for its first node, where it has one. Texts of the log stand in it as
    /// logged.
    pub(super) fn summary(&self) -> String {
        match self.nodes.first() {
            Some((node, reference)) => sentence(self.event, reference.role, node),
            None => sentence(self.event, self.role_by_itself(), &Node::default()),
        }
    }

    /// Inferred where a join to each of its nodes is.
    pub(super) fn confidence(&self) -> Confidence {
        self.nodes.iter().map(|(_, reference)| reference.confidence).min().unwrap_or_default()
    }

    /// How bad the worst finding is that the event decides; refusals and ends decide all that rest on them. What
    /// is cited for comparison, such as an earlier policy, is as harmless as it looks.
    pub(super) fn severity(&self) -> Option<Severity> {
        let is_end = self.nodes.iter().any(|(_, reference)| reference.role == TimelineRole::End);
        if is_end || is_refused(self.event) {
            self.findings.iter().map(|finding| finding.severity).max()
        } else {
            self.decides
        }
    }
}

fn is_refused(event: &Event) -> bool {
    event.error.as_ref().is_some_and(|error| is_refusal(&error.code))
}

/// The event of the case that decides each finding, by the finding's place; `None` where it cites none that the
/// case holds.
///
/// For refusals it is the first refusal, for an alias its last change, for other changes the one that is cited
/// first, for ends the last event, for keys that are not as expected the first use of a key, else the first event.
pub(super) fn decisive_events(case: &Case, findings: &[Finding]) -> Vec<Option<u32>> {
    let mut places: HashMap<&Id, Vec<usize>> = HashMap::new();
    for (place, finding) in findings.iter().enumerate() {
        for id in &finding.evidence {
            places.entry(id).or_default().push(place);
        }
    }
    let mut events: Vec<Vec<u32>> = vec![Vec::new(); findings.len()];
    for (index, event) in (0u32..).zip(&case.events) {
        for place in places.get(&event.event_id).into_iter().flatten() {
            events[*place].push(index);
        }
    }
    findings.iter().zip(&events).map(|(finding, events)| decisive(case, finding, events)).collect()
}

/// The decisive one of a finding's `events`, which are in order of time.
fn decisive(case: &Case, finding: &Finding, events: &[u32]) -> Option<u32> {
    let event = |index: &&u32| &*case.events[**index as usize];
    let chosen = match finding.rule.as_bytes() {
        [b'K', b'T', b'1', ..] => events.iter().find(|index| is_refused(event(index))),
        b"KT204" => events.iter().rfind(|index| matches!(event(index).detail, Detail::Alias(_))),
        [b'K', b'T', b'2', ..] => events.iter().find(|index| matches!(event(index).detail, Detail::Kms(_))),
        [b'K', b'T', b'3', ..] => events.last(),
        [b'K', b'T', b'4', ..] => {
            events.iter().find(|index| finding.evidence.first() == Some(&event(index).event_id))
        }
        _ => None,
    };
    chosen.or(events.first()).copied()
}
