//! What the events of a case say that several rules ask for, found in one pass over all of them.
//!
//! The events come in, lists and maps of their indices go out, each in order of time. To look at an event costs far
//! more than to look at a list: no rule goes through all events by itself.

use std::mem::take;

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::event::{Detail, Event, KmsOperation, KmsUse, is_key_state_failure, is_refusal};

/// Events that one worker looks at before it takes more.
const EVENTS_AT_ONCE: usize = 8_192;

/// (key ARN, principal, API call).
type Call<'a> = (&'a str, &'a str, &'a str);

/// How a call ended, over the whole archive, as indices into the events.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) last_refusal: Option<u32>,
    pub(super) successes: Vec<u32>,
}

/// The events by what rules ask for, as indices.
#[derive(Default)]
pub(super) struct EventFacts<'a> {
    /// Refusals and failures of each key.
    pub(super) failures_by_key: HashMap<&'a str, Vec<u32>>,
    /// GenerateDataKeyWithoutPlaintext for volumes, by account and region.
    pub(super) data_keys: HashMap<(&'a str, &'a str), Vec<u32>>,
    /// First use of each key.
    pub(super) uses_by_key: HashMap<&'a str, u32>,
    /// What EC2 called with a key for somebody: the last refusal and the successes.
    pub(super) calls: HashMap<Call<'a>, Outcomes>,
    /// Changes of an account's defaults for EBS.
    pub(super) default_changes: Vec<u32>,
    /// PutEventSelectors that went well.
    pub(super) selectors: Vec<u32>,
    /// Events that CloudTrail left a field out of.
    pub(super) omitted: Vec<u32>,
}

impl<'a> EventFacts<'a> {
    pub(super) fn gather(events: &'a [Box<Event>]) -> Self {
        let found: Vec<Self> = events
            .par_chunks(EVENTS_AT_ONCE)
            .enumerate()
            .map(|(chunk, events)| {
                let first = u32::try_from(chunk * EVENTS_AT_ONCE).expect("fewer than four billion events");
                let mut facts = Self::default();
                for (index, event) in (first..).zip(events) {
                    facts.note(index, event);
                }
                facts
            })
            .collect();
        let mut all = Self::default();
        for found in found {
            all.append(found);
        }
        all
    }

    fn note(&mut self, index: u32, event: &'a Event) {
        if event.omitted {
            self.omitted.push(index);
        }
        match &event.detail {
            Detail::Kms(kms) => self.note_key_use(index, event, kms),
            Detail::EbsDefault(_) if event.error.is_none() => self.default_changes.push(index),
            Detail::Selectors(_) if event.error.is_none() => self.selectors.push(index),
            _ => {}
        }
    }

    fn note_key_use(&mut self, index: u32, event: &'a Event, kms: &'a KmsUse) {
        let Some(key) = kms.key_arn.as_deref() else {
            return;
        };
        if let Some(principal) = event.identity.principal().filter(|_| event.identity.is_invoked_by_ec2()) {
            let outcomes = self.calls.entry((key, principal, &event.name)).or_default();
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
            self.failures_by_key.entry(key).or_default().push(index);
            return;
        }
        self.uses_by_key.entry(key).or_insert(index);
        if kms.operation == KmsOperation::GenerateDataKeyWithoutPlaintext && kms.volume_id.is_some() {
            self.data_keys.entry((&event.account_id, &event.region)).or_default().push(index);
        }
    }

    /// Adds what later events say.
    #[allow(clippy::iter_over_hash_type, reason = "each entry is added to that of its own key")]
    fn append(&mut self, later: Self) {
        for (key, mut failures) in later.failures_by_key {
            append(self.failures_by_key.entry(key).or_default(), &mut failures);
        }
        for (place, mut data_keys) in later.data_keys {
            append(self.data_keys.entry(place).or_default(), &mut data_keys);
        }
        for (key, first) in later.uses_by_key {
            self.uses_by_key.entry(key).or_insert(first);
        }
        for (call, mut outcomes) in later.calls {
            let known = self.calls.entry(call).or_default();
            known.last_refusal = outcomes.last_refusal.or(known.last_refusal);
            append(&mut known.successes, &mut outcomes.successes);
        }
        self.default_changes.extend(later.default_changes);
        self.selectors.extend(later.selectors);
        self.omitted.extend(later.omitted);
    }
}

fn append(all: &mut Vec<u32>, later: &mut Vec<u32>) {
    if all.is_empty() {
        *all = take(later);
    } else {
        all.append(later);
    }
}
