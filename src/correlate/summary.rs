//! One summary per key, over the nodes of the case.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use rayon::prelude::*;

use super::case::{KeySummary, Node, TimelineRole, VolumeOutcome};
use super::history::History;
use crate::event::{Detail, Event, KeyArn, Text};

/// Nodes that one worker sums up before it takes more.
const NODES_AT_ONCE: usize = 256;

/// What is known of one key.
#[derive(Default)]
struct Tally {
    /// Whether a volume or a refusal named the key: uses before that do not count.
    is_known: bool,
    nodes: u64,
    volumes: u64,
    events: KeyEvents,
    /// Those before it was known.
    events_before: KeyEvents,
}

/// What the events of nodes say of a key.
#[derive(Default)]
struct KeyEvents {
    refusals: HashSet<u32>,
    principals: BTreeSet<Text>,
    /// First and last event that used it.
    uses: Option<(u32, u32)>,
}

impl KeyEvents {
    fn note_uses(&mut self, from: u32, to: u32) {
        let (first, last) = self.uses.unwrap_or((from, to));
        self.uses = Some((first.min(from), last.max(to)));
    }

    fn note_principal(&mut self, principal: &Text) {
        // Few make all the calls.
        if !self.principals.contains(principal) {
            self.principals.insert(principal.clone());
        }
    }

    fn append(&mut self, other: Self) {
        self.refusals.extend(other.refusals);
        self.principals.extend(other.principals);
        if let Some((first, last)) = other.uses {
            self.note_uses(first, last);
        }
    }
}

/// The keys of nodes, as far as these have been noted.
#[derive(Default)]
pub(super) struct KeyTallies {
    tallies: BTreeMap<Text, Tally>,
}

impl KeyTallies {
    pub(super) fn of(nodes: &[Node], events: &[Box<Event>]) -> Self {
        let of_chunks: Vec<Self> = nodes
            .par_chunks(NODES_AT_ONCE)
            .map(|nodes| {
                let mut tallies = Self::default();
                nodes.iter().for_each(|node| tallies.note(node, events));
                tallies
            })
            .collect();
        let mut tallies = Self::default();
        of_chunks.into_iter().for_each(|later| tallies.append(later));
        tallies
    }

    fn note(&mut self, node: &Node, events: &[Box<Event>]) {
        let tallies = &mut self.tallies;
        let mut of_node = BTreeSet::new();
        for volume in &node.volumes {
            let Some(key) = &volume.key_arn else {
                continue;
            };
            let tally = match tallies.get_mut(key) {
                Some(tally) => tally,
                None => tallies.entry(key.clone()).or_default(),
            };
            tally.is_known = true;
            tally.volumes += u64::from(volume.outcome == VolumeOutcome::Used);
            if of_node.insert(key) {
                tally.nodes += 1;
            }
        }
        for entry in &node.timeline {
            // The role says how a call of KMS ended, without a look at the event.
            let is_refusal = match entry.role {
                TimelineRole::Refusal => true,
                TimelineRole::KeyUse
                | TimelineRole::Grant
                | TimelineRole::VolumeOpened
                | TimelineRole::GrantEnded => false,
                _ => continue,
            };
            let event = &events[entry.event as usize];
            let Detail::Kms(kms) = &event.detail else {
                continue;
            };
            let Some(key) = &kms.key_arn else {
                continue;
            };
            let tally = match tallies.get_mut(key) {
                Some(tally) => tally,
                None => tallies.entry(key.clone()).or_default(),
            };
            // A refusal counts even where the node lived on and its volumes are under another key.
            tally.is_known |= is_refusal;
            let of_key = if tally.is_known { &mut tally.events } else { &mut tally.events_before };
            if is_refusal {
                of_key.refusals.insert(entry.event);
            } else {
                of_key.note_uses(entry.event, entry.event);
            }
            if let Some(principal) = event.identity.principal() {
                of_key.note_principal(principal);
            }
        }
    }

    /// Adds what later nodes say: as if all had been noted one after the other.
    fn append(&mut self, later: Self) {
        for (key, later) in later.tallies {
            let tally = self.tallies.entry(key).or_default();
            let before = if tally.is_known { &mut tally.events } else { &mut tally.events_before };
            before.append(later.events_before);
            tally.is_known |= later.is_known;
            tally.nodes += later.nodes;
            tally.volumes += later.volumes;
            tally.events.append(later.events);
        }
    }

    /// One summary per key, sorted by ARN.
    pub(super) fn summaries(self, events: &[Box<Event>], history: &History) -> Vec<KeySummary> {
        let mut aliases = history.alias_names();
        self.tallies
            .into_iter()
            .filter(|(_, tally)| tally.is_known)
            .map(|(key_arn, tally)| {
                let arn = KeyArn::parse(&key_arn);
                let time = |index: u32| events[index as usize].time;
                KeySummary {
                    account_id: arn.map(|arn| arn.account_id.into()),
                    region: arn.map(|arn| arn.region.into()),
                    aliases: aliases.remove(&key_arn).unwrap_or_default(),
                    nodes: tally.nodes,
                    volumes: tally.volumes,
                    denials: tally.events.refusals.len() as u64,
                    principals: tally.events.principals.into_iter().collect(),
                    first_used: tally.events.uses.map(|(first, _)| time(first)),
                    last_used: tally.events.uses.map(|(_, last)| time(last)),
                    state: history.key_states(&key_arn).last().map(|state| state.value),
                    key_arn,
                }
            })
            .collect()
    }
}
