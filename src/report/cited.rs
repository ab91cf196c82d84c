//! The events that a case rests on, each once, with the nodes and findings that it is evidence for.
//!
//! A case and its findings come in, [`Cited`] events go out in order of time: for outputs whose unit is the
//! event, not the node. An event of several nodes is one event there, not several.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sentence::sentence;
use crate::correlate::{Case, Confidence, Node, TimelineRef, TimelineRole};
use crate::event::{Event, Id, Timestamp, is_refusal, is_throttling};
use crate::rules::{Finding, Severity};

/// An event that some timeline, finding or failed launch cites.
pub(super) struct Cited<'a> {
    pub(super) event: &'a Event,
    /// Nodes in whose timelines it stands, in order of launch.
    pub(super) nodes: Vec<(&'a Node, TimelineRef)>,
    /// Findings that rest on it, in the order of the document.
    pub(super) findings: Vec<&'a Finding>,
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
        is_cited.then_some(Cited { event, nodes, findings })
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

    /// How bad the worst finding is that rests on it.
    pub(super) fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// When the first event was that each finding cites, by the finding's place; `None` where it cites none that
/// the case holds.
pub(super) fn first_evidence(case: &Case, findings: &[Finding]) -> Vec<Option<Timestamp>> {
    let mut places: HashMap<&Id, Vec<usize>> = HashMap::new();
    for (place, finding) in findings.iter().enumerate() {
        for id in &finding.evidence {
            places.entry(id).or_default().push(place);
        }
    }
    let mut first: Vec<Option<Timestamp>> = vec![None; findings.len()];
    for event in &case.events {
        for place in places.get(&event.event_id).into_iter().flatten() {
            first[*place].get_or_insert(event.time);
        }
    }
    first
}
