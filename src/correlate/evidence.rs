//! Gathering: events from any number of readers, in any order, become one sorted set without copies.

use hashbrown::HashSet;
use std::cmp::Reverse;

use crate::event::{Coverage, Detail, Event, Id, KmsOperation, Text};

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
    /// out for its size), the one that says more is kept.
    #[must_use]
    pub fn gather(mut events: Vec<Box<Event>>) -> Self {
        let read = events.len();
        events.sort_by(|one, two| {
            let identity = |event: &Event| (event.time, rank(&event.detail));
            (identity(one), &one.event_id, &one.account_id, &one.amends)
                .cmp(&(identity(two), &two.event_id, &two.account_id, &two.amends))
                .then_with(|| one.omitted.cmp(&two.omitted))
                .then_with(|| Reverse(&one.detail).cmp(&Reverse(&two.detail)))
                .then_with(|| one.digest.cmp(&two.digest))
                .then_with(|| one.origin.cmp(&two.origin))
        });
        events.dedup_by(|next, kept| {
            next.event_id == kept.event_id && next.account_id == kept.account_id && next.amends == kept.amends
        });
        // A record that a later one amends is an earlier state of the same event.
        let amended: HashSet<(Id, Text)> = events
            .iter()
            .filter_map(|event| Some((event.amends.clone()?, event.account_id.clone())))
            .collect();
        if !amended.is_empty() {
            events.retain(|event| {
                let state = (event.event_id.clone(), event.account_id.clone());
                event.amends.is_some() || !amended.contains(&state)
            });
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

/// Order of cause and effect among events of one second.
fn rank(detail: &Detail) -> u8 {
    match detail {
        Detail::LaunchTemplate(_)
        | Detail::LaunchTemplateDefault { .. }
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
