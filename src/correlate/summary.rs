//! One summary per key, over the nodes of the case.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::case::{KeySummary, Node, TimelineRole, VolumeOutcome};
use super::history::History;
use super::key_use::{UseResult, result_of};
use crate::event::{Detail, Event, KeyArn, Text};

#[derive(Default)]
struct Tally {
    nodes: u64,
    volumes: u64,
    refusals: HashSet<u32>,
    principals: BTreeSet<Text>,
    /// Of the principals, the one seen last: one makes most of the calls.
    last_principal: Option<Text>,
    /// First and last event that used it.
    uses: Option<(u32, u32)>,
}

impl Tally {
    fn note_use(&mut self, event: u32) {
        let (first, last) = self.uses.unwrap_or((event, event));
        self.uses = Some((first.min(event), last.max(event)));
    }

    fn note_principal(&mut self, principal: &Text) {
        if self.last_principal.as_ref() != Some(principal) {
            self.principals.insert(principal.clone());
            self.last_principal = Some(principal.clone());
        }
    }
}

/// Sums the keys of `nodes` up.
pub(super) fn keys(nodes: &[Node], events: &[Box<Event>], history: &History) -> Vec<KeySummary> {
    let mut tallies: BTreeMap<Text, Tally> = BTreeMap::new();
    for node in nodes {
        let mut of_node = BTreeSet::new();
        for volume in &node.volumes {
            let Some(key) = &volume.key_arn else {
                continue;
            };
            let tally = tallies.entry(key.clone()).or_default();
            tally.volumes += u64::from(volume.outcome == VolumeOutcome::Used);
            if of_node.insert(key) {
                tally.nodes += 1;
            }
        }
        for entry in &node.timeline {
            let event = &events[entry.event as usize];
            let Detail::Kms(kms) = &event.detail else {
                continue;
            };
            let Some(key) = &kms.key_arn else {
                continue;
            };
            // A refusal counts even where the node lived on and its volumes are under another key.
            let tally = match entry.role {
                TimelineRole::Refusal => tallies.entry(key.clone()).or_default(),
                _ => match tallies.get_mut(key) {
                    Some(tally) => tally,
                    None => continue,
                },
            };
            match result_of(event) {
                UseResult::Success => {
                    tally.note_use(entry.event);
                }
                UseResult::Denied | UseResult::Failed => {
                    tally.refusals.insert(entry.event);
                }
                UseResult::Passing => continue,
            }
            if let Some(principal) = event.identity.principal() {
                tally.note_principal(principal);
            }
        }
    }
    let mut aliases = history.alias_names();
    tallies
        .into_iter()
        .map(|(key_arn, tally)| {
            let arn = KeyArn::parse(&key_arn);
            let time = |index: u32| events[index as usize].time;
            KeySummary {
                account_id: arn.map(|arn| arn.account_id.into()),
                region: arn.map(|arn| arn.region.into()),
                aliases: aliases.remove(&key_arn).unwrap_or_default(),
                nodes: tally.nodes,
                volumes: tally.volumes,
                denials: tally.refusals.len() as u64,
                principals: tally.principals.into_iter().collect(),
                first_used: tally.uses.map(|(first, _)| time(first)),
                last_used: tally.uses.map(|(_, last)| time(last)),
                state: history.key_states(&key_arn).last().map(|state| state.value),
                key_arn,
            }
        })
        .collect()
}
