//! Gathering: events from any number of readers, in any order, become one sorted set without copies.

use hashbrown::HashSet;
use rayon::prelude::*;
use std::cmp::{Ordering, Reverse};

use crate::event::{Coverage, Detail, Event, Id, KmsOperation, Text, Timestamp};

/// A set of events, each once, in a fixed order.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Sorted by time, causal rank, event id and account.
    pub events: Vec<Box<Event>>,
    /// How many copies were left out.
    pub duplicates: u64,
}

impl Evidence {
    /// Gathers `events`. The same set of records, split and ordered in any way, gives the same evidence.
    ///
    /// Copies are records of one event id, account and addendum. Where copies differ (one trail left a field
    /// out for its size), the one that says more is kept. Copies that name different keys are all kept.
    #[must_use]
    pub fn gather(events: Vec<Box<Event>>) -> Self {
        let read = events.len();
        let mut ordered: Vec<Ordered> = events.into_par_iter().map(Ordered::new).collect();
        ordered
            .par_sort_by(|one, two| one.key().cmp(&two.key()).then_with(|| compare(&one.event, &two.event)));
        ordered.dedup_by(|next, kept| next.beginning == kept.beginning && is_copy(&next.event, &kept.event));
        let has_amendments = ordered.iter().any(|ordered| ordered.is_amendment);
        let mut events: Vec<Box<Event>> = ordered.into_iter().map(|ordered| ordered.event).collect();
        // Collected in place: what the keys took is given back.
        events.shrink_to_fit();
        if has_amendments {
            leave_out_amended(&mut events);
        }
        let duplicates = (read - events.len()) as u64;
        Self { events, duplicates }
    }

    /// Moves the copies from `selected` to `duplicate`.
    pub fn settle(&self, coverage: &mut Coverage) {
        coverage.records.selected -= self.duplicates;
        coverage.records.duplicate += self.duplicates;
    }
}

/// Whether two records are of one event, and of one state of it.
fn is_copy(one: &Event, two: &Event) -> bool {
    one.event_id == two.event_id
        && one.account_id == two.account_id
        && one.amends == two.amends
        && !is_of_other_key(&one.detail, &two.detail)
}

/// A record that a later one amends is an earlier state of the same event.
fn leave_out_amended(events: &mut Vec<Box<Event>>) {
    let amended: HashSet<(Id, Text)> = events
        .iter()
        .filter_map(|event| Some((event.amends.as_deref()?.clone(), event.account_id.clone())))
        .collect();
    events.retain(|event| {
        let state = (event.event_id.clone(), event.account_id.clone());
        event.amends.is_some() || !amended.contains(&state)
    });
}

/// An event, and what decides its place among nearly all others: comparing that needs no look at the event.
struct Ordered {
    time: Timestamp,
    /// How the event id begins.
    beginning: u64,
    event: Box<Event>,
    /// Causal rank.
    rank: u8,
    is_amendment: bool,
}

impl Ordered {
    fn new(event: Box<Event>) -> Self {
        Self {
            time: event.time,
            beginning: event.event_id.beginning(),
            rank: rank(&event.detail),
            is_amendment: event.amends.is_some(),
            event,
        }
    }

    fn key(&self) -> (Timestamp, u8, u64) {
        (self.time, self.rank, self.beginning)
    }
}

/// The order of events of one time, rank and beginning of an id. Of copies, the one that says most comes first.
fn compare(one: &Event, two: &Event) -> Ordering {
    (&one.event_id, &one.account_id, &one.amends)
        .cmp(&(&two.event_id, &two.account_id, &two.amends))
        .then_with(|| one.omitted.cmp(&two.omitted))
        .then_with(|| Reverse(&one.detail).cmp(&Reverse(&two.detail)))
        .then_with(|| one.digest.cmp(&two.digest))
        .then_with(|| one.origin.cmp(&two.origin))
}

/// Whether two copies of a use of a key name different keys: neither is worth more than the other.
fn is_of_other_key(one: &Detail, two: &Detail) -> bool {
    let (Detail::Kms(one), Detail::Kms(two)) = (one, two) else {
        return false;
    };
    matches!((&one.key_arn, &two.key_arn), (Some(one), Some(two)) if one != two)
}

/// Order of cause and effect among events of one second.
fn rank(detail: &Detail) -> u8 {
    match detail {
        Detail::LaunchTemplate(_)
        | Detail::LaunchTemplateDefault(_)
        | Detail::EbsDefault(_)
        | Detail::ImageCopy(_)
        | Detail::Policy(_)
        | Detail::Alias(_)
        | Detail::KeyState(_)
        | Detail::ClusterSecrets { .. }
        | Detail::Selectors(_) => 0,
        Detail::Fleet(_) => 1,
        Detail::Launch(_) | Detail::Start(_) => 2,
        Detail::Volume(_) => 3,
        Detail::Kms(kms) => match kms.operation {
            KmsOperation::DescribeKey => 0,
            KmsOperation::ReEncrypt => 4,
            KmsOperation::GenerateDataKeyWithoutPlaintext | KmsOperation::GenerateDataKey => 5,
            KmsOperation::CreateGrant => 6,
            KmsOperation::Decrypt => 7,
            KmsOperation::RetireGrant | KmsOperation::RevokeGrant => 11,
        },
        Detail::Tagging { .. } => 8,
        Detail::Stop(_) => 9,
        Detail::SpotInterruption(_) | Detail::Termination(_) | Detail::AutoScalingTermination { .. } => 10,
        Detail::NetworkInterfaceDeletion { .. } => 12,
    }
}
