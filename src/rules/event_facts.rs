//! What the events of a case say that several rules ask for, found in one pass over all of them.
//!
//! The events come in, lists and maps of their indices go out, each in order of time. To look at an event costs far
//! more than to look at a list: no rule goes through all events by itself. What only refused or unencrypted launches
//! make rules ask for is apart, as it costs most.

use std::mem::take;

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::event::{Detail, Event, KmsOperation, KmsUse, Text, is_key_state_failure, is_refusal};

/// Events that one worker looks at before it takes more.
const EVENTS_AT_ONCE: usize = 8_192;

/// How a call ended, over the whole archive, as indices into the events.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) last_refusal: Option<u32>,
    pub(super) successes: Vec<u32>,
}

/// The events that rules ask for, as indices.
#[derive(Default)]
pub(super) struct EventFacts {
    /// Changes of an account's defaults for EBS.
    pub(super) default_changes: Vec<u32>,
    /// PutEventSelectors that went well.
    pub(super) selectors: Vec<u32>,
    /// Events that CloudTrail left a field out of.
    pub(super) omitted: Vec<u32>,
}

impl EventFacts {
    pub(super) fn gather(events: &[Box<Event>]) -> Self {
        let mut all = Self::default();
        for found in each_chunk(events, Self::of_chunk) {
            all.default_changes.extend(found.default_changes);
            all.selectors.extend(found.selectors);
            all.omitted.extend(found.omitted);
        }
        all
    }

    fn of_chunk(first: u32, events: &[Box<Event>]) -> Self {
        let mut facts = Self::default();
        for (index, event) in (first..).zip(events) {
            if event.omitted {
                facts.omitted.push(index);
            }
            match &event.detail {
                Detail::EbsDefault(_) if event.error.is_none() => facts.default_changes.push(index),
                Detail::Selectors(_) if event.error.is_none() => facts.selectors.push(index),
                _ => {}
            }
        }
        facts
    }
}

/// The KMS events by key and by place, as indices.
#[derive(Default)]
pub(super) struct KeyUseFacts {
    keys: HashMap<Text, OfKey>,
    /// GenerateDataKeyWithoutPlaintext for volumes, by account and region.
    data_keys: HashMap<Text, HashMap<Text, Vec<u32>>>,
}

/// What the events say of one key.
#[derive(Default)]
struct OfKey {
    /// Refusals and failures.
    failures: Vec<u32>,
    first_use: Option<u32>,
    /// What EC2 called for somebody, by principal and API call.
    calls: HashMap<Text, HashMap<Text, Outcomes>>,
}

impl KeyUseFacts {
    /// Gathers with all workers.
    pub(super) fn gather(events: &[Box<Event>]) -> Self {
        let mut all = Self::default();
        for found in each_chunk(events, Self::of_chunk) {
            all.append(found);
        }
        all
    }

    /// Gathers from `events`, of which the first has the index `first`, with one worker.
    pub(super) fn of_chunk(first: u32, events: &[Box<Event>]) -> Self {
        let mut facts = Self::default();
        for (index, event) in (first..).zip(events) {
            if let Detail::Kms(kms) = &event.detail {
                facts.note(index, event, kms);
            }
        }
        facts
    }

    /// Refusals and failures of a key.
    pub(super) fn failures(&self, key: &str) -> &[u32] {
        self.keys.get(key).map_or(&[], |key| &key.failures)
    }

    /// The first use of a key.
    pub(super) fn first_use(&self, key: &str) -> Option<u32> {
        self.keys.get(key)?.first_use
    }

    /// How EC2's calls of one kind with a key for a principal ended.
    pub(super) fn outcomes(&self, key: &str, principal: &str, name: &str) -> Option<&Outcomes> {
        self.keys.get(key)?.calls.get(principal)?.get(name)
    }

    /// GenerateDataKeyWithoutPlaintext for volumes in a place.
    pub(super) fn data_keys(&self, account_id: &str, region: &str) -> Option<&[u32]> {
        Some(self.data_keys.get(account_id)?.get(region)?)
    }

    fn note(&mut self, index: u32, event: &Event, kms: &KmsUse) {
        let Some(key) = &kms.key_arn else {
            return;
        };
        let of_key = entry(&mut self.keys, key);
        if let Some(principal) = event.identity.principal().filter(|_| event.identity.is_invoked_by_ec2()) {
            let outcomes = entry(entry(&mut of_key.calls, principal), &event.name);
            match &event.error {
                None => outcomes.successes.push(index),
                Some(error)
                    if is_refusal(&error.code) || is_key_state_failure(&error.code, &error.message) =>
                {
                    outcomes.last_refusal = Some(index);
                }
                Some(_) => {}
            }
        }
        if event.error.is_some() {
            of_key.failures.push(index);
            return;
        }
        of_key.first_use.get_or_insert(index);
        if kms.operation == KmsOperation::GenerateDataKeyWithoutPlaintext && kms.volume_id.is_some() {
            entry(entry(&mut self.data_keys, &event.account_id), &event.region).push(index);
        }
    }

    /// Adds what later events say.
    #[allow(clippy::iter_over_hash_type, reason = "each entry is added to that of its own key")]
    fn append(&mut self, later: Self) {
        for (key, mut later) in later.keys {
            let known = entry(&mut self.keys, &key);
            append(&mut known.failures, &mut later.failures);
            known.first_use = known.first_use.or(later.first_use);
            for (principal, calls) in later.calls {
                let known = entry(&mut known.calls, &principal);
                for (name, mut later) in calls {
                    let known = entry(known, &name);
                    known.last_refusal = later.last_refusal.or(known.last_refusal);
                    append(&mut known.successes, &mut later.successes);
                }
            }
        }
        for (account_id, regions) in later.data_keys {
            let known = entry(&mut self.data_keys, &account_id);
            for (region, mut later) in regions {
                append(entry(known, &region), &mut later);
            }
        }
    }
}

/// The value of `key`; the key is copied only where it is new.
fn entry<'m, V: Default>(map: &'m mut HashMap<Text, V>, key: &Text) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.clone(), V::default());
    }
    map.get_mut(key).expect("it is there now")
}

fn append(all: &mut Vec<u32>, later: &mut Vec<u32>) {
    if all.is_empty() {
        *all = take(later);
    } else {
        all.append(later);
    }
}

/// What `of_chunk` finds in each part of the events, in their order; it is given the index of the part's first event.
fn each_chunk<T: Send>(events: &[Box<Event>], of_chunk: fn(u32, &[Box<Event>]) -> T) -> Vec<T> {
    let chunks = events.par_chunks(EVENTS_AT_ONCE).enumerate();
    chunks
        .map(|(chunk, events)| {
            let first = u32::try_from(chunk * EVENTS_AT_ONCE).expect("fewer than four billion events");
            of_chunk(first, events)
        })
        .collect()
}
