//! One summary per key, over the nodes of the case.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{KeySummary, Node, TimelineRole, VolumeOutcome};
use super::history::History;
use super::key_use::{UseResult, result_of};
use crate::event::{Detail, Event, KeyArn, Text};

#[derive(Default)]
struct Tally {
    nodes: u64,
    volumes: u64,
    refusals: BTreeSet<u32>,
    principals: BTreeSet<Text>,
    uses: BTreeSet<u32>,
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
                    tally.uses.insert(entry.event);
                }
                UseResult::Denied | UseResult::Failed => {
                    tally.refusals.insert(entry.event);
                }
                UseResult::Passing => continue,
            }
            tally.principals.extend(event.identity.principal().cloned());
        }
    }
    let mut aliases = history.alias_names();
    tallies
        .into_iter()
        .map(|(key_arn, tally)| {
            let arn = KeyArn::parse(&key_arn);
            let time = |index: Option<&u32>| index.map(|index| events[*index as usize].time);
            KeySummary {
                account_id: arn.map(|arn| arn.account_id.into()),
                region: arn.map(|arn| arn.region.into()),
                aliases: aliases.remove(&key_arn).unwrap_or_default(),
                nodes: tally.nodes,
                volumes: tally.volumes,
                denials: tally.refusals.len() as u64,
                principals: tally.principals.into_iter().collect(),
                first_used: time(tally.uses.first()),
                last_used: time(tally.uses.last()),
                state: history.key_states(&key_arn).last().map(|state| state.value),
                key_arn,
            }
        })
        .collect()
}
