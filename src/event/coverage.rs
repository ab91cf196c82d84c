//! What was read, what was not, and where: the account that every output carries.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Text, Timestamp};

/// Objects and records accounted for. Merging two coverages in any order gives the same result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Objects by fate.
    pub objects: ObjectCounts,
    /// Records by fate.
    pub records: RecordCounts,
    /// Everything that could not be read, sorted when reported.
    pub losses: Vec<Loss>,
    /// Activity per account and region, over all records read, relevant or not.
    pub scopes: BTreeMap<(Text, Text), ScopeActivity>,
    /// Extracts among the objects, by their id.
    pub extracts: BTreeMap<Text, ExtractParts>,
}

/// Which parts of one extract were read, and how many it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractParts {
    /// Numbers of the parts read to their end.
    pub seen: BTreeSet<u32>,
    /// How many there are, where that was told.
    pub expected: Option<u32>,
    /// Whether its manifest says that it was not finished; that is a loss already.
    pub is_unfinished: bool,
    /// The first object of it, by name.
    pub object: Option<Text>,
}

/// Objects (files, S3 objects, pages of an API) by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectCounts {
    /// Read to their end.
    pub read: u64,
    /// Recognised as holding no CloudTrail records (digests, Insights, notifications, other files).
    pub skipped: u64,
    /// Not readable to their end; each has a [`Loss`].
    pub failed: u64,
}

/// Records by fate: `read` is always the sum of the four others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordCounts {
    /// Records seen.
    pub read: u64,
    /// Kept as evidence.
    pub selected: u64,
    /// Seen and of no use for the question.
    pub passed_over: u64,
    /// Copies of a selected record (overlapping trails, copied archives).
    pub duplicate: u64,
    /// Seen but not readable; each has a [`Loss`].
    pub lost: u64,
}

impl RecordCounts {
    /// Whether every record read has exactly one fate.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.read == self.selected + self.passed_over + self.duplicate + self.lost
    }
}

/// One object or record that could not be (wholly) read.
///
/// Ordered by kind, record and detail before object, so that renaming objects changes nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// The object's URI or path.
    pub object: Text,
    /// Index of the record in the object, from 0; `null` when the object itself is at fault.
    pub record: Option<u64>,
    /// What kind of loss.
    pub kind: LossKind,
    /// What happened, with the byte offset in the inflated object where that is known.
    pub detail: String,
}

impl Ord for Loss {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |loss: &Self| (loss.kind, loss.record);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.detail.cmp(&other.detail))
            .then_with(|| self.object.cmp(&other.object))
    }
}

impl PartialOrd for Loss {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Kinds of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// The object could not be opened or its bytes not be fetched.
    Unreadable,
    /// An object of a log file's name without a byte in it.
    EmptyObject,
    /// The compressed stream ends early.
    TruncatedCompression,
    /// The compressed stream is damaged (bad header, bad code, wrong checksum or length).
    CorruptCompression,
    /// The JSON text ends in the middle of a value.
    TruncatedJson,
    /// Text that is no JSON where a record should be.
    InvalidJson,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A record larger than the cap on one record's size.
    RecordTooLarge,
    /// A well-formed JSON value that is no CloudTrail record, among records.
    NotARecord,
    /// A CloudTrail record without what every record has (a time, a source, a name).
    IncompleteRecord,
    /// An extract that was not finished, or of which parts are missing.
    IncompleteExtract,
}

/// When an account and region logged, hour by hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeActivity {
    /// Whether any KMS event was read.
    pub kms_events_seen: bool,
    /// Hour since 1970 -> first and last event second in that hour, and how many records.
    pub hours: BTreeMap<i64, HourActivity>,
}

/// The records of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourActivity {
    /// Unix second of the first event.
    pub first_second: i64,
    /// Unix second of the last event.
    pub last_second: i64,
    /// How many records.
    pub records: u64,
}

/// [`ScopeActivity`] as reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Scope {
    /// Account.
    pub account_id: Text,
    /// Region.
    pub region: Text,
    /// Time of the first record read.
    pub first_event: Option<Timestamp>,
    /// Time of the last record read.
    pub last_event: Option<Timestamp>,
    /// Whether any KMS event was read: without one, the archive says nothing about keys.
    pub kms_events_seen: bool,
}

impl ScopeActivity {
    /// Notes one record at `second` (Unix time).
    pub fn note(&mut self, second: i64, is_kms: bool) {
        self.kms_events_seen |= is_kms;
        let hour = self.hours.entry(second.div_euclid(3600)).or_insert(HourActivity {
            first_second: second,
            last_second: second,
            records: 0,
        });
        hour.first_second = hour.first_second.min(second);
        hour.last_second = hour.last_second.max(second);
        hour.records += 1;
    }

    /// Adds what another reader saw of the same scope.
    pub fn merge(&mut self, other: &Self) {
        self.kms_events_seen |= other.kms_events_seen;
        for (hour, activity) in &other.hours {
            self.hours
                .entry(*hour)
                .and_modify(|own| {
                    own.first_second = own.first_second.min(activity.first_second);
                    own.last_second = own.last_second.max(activity.last_second);
                    own.records += activity.records;
                })
                .or_insert(*activity);
        }
    }

    /// Time of the first record.
    #[must_use]
    pub fn first_event(&self) -> Option<Timestamp> {
        let (_, hour) = self.hours.first_key_value()?;
        Some(Timestamp::from_second(hour.first_second))
    }

    /// Time of the last record.
    #[must_use]
    pub fn last_event(&self) -> Option<Timestamp> {
        let (_, hour) = self.hours.last_key_value()?;
        Some(Timestamp::from_second(hour.last_second))
    }
}

impl ExtractParts {
    /// Adds what another reader saw of the same extract.
    pub fn merge(&mut self, other: Self) {
        self.seen.extend(other.seen);
        self.expected = self.expected.max(other.expected);
        self.is_unfinished |= other.is_unfinished;
        self.object = match (self.object.take(), other.object) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }
}

impl Coverage {
    /// Adds another reader's coverage.
    pub fn merge(&mut self, other: Self) {
        self.objects.read += other.objects.read;
        self.objects.skipped += other.objects.skipped;
        self.objects.failed += other.objects.failed;
        self.records.read += other.records.read;
        self.records.selected += other.records.selected;
        self.records.passed_over += other.records.passed_over;
        self.records.duplicate += other.records.duplicate;
        self.records.lost += other.records.lost;
        self.losses.extend(other.losses);
        for (scope, activity) in other.scopes {
            self.scopes.entry(scope).or_default().merge(&activity);
        }
        for (extract, parts) in other.extracts {
            self.extracts.entry(extract).or_default().merge(parts);
        }
    }

    /// Notes a loss for every extract of which parts are missing. To be called once, when all was merged.
    pub fn settle_extracts(&mut self) {
        for parts in std::mem::take(&mut self.extracts).into_values() {
            let seen = parts.seen.len();
            let detail = match parts.expected {
                _ if parts.is_unfinished => continue,
                Some(expected) if seen >= expected as usize => continue,
                Some(expected) => format!("{seen} of {expected} parts of this extract were read"),
                None => format!(
                    "{seen} parts of an extract were read, and not its manifest, which tells how many there are"
                ),
            };
            let object = parts.object.unwrap_or_default();
            self.losses.push(Loss { object, record: None, kind: LossKind::IncompleteExtract, detail });
        }
    }

    /// The scopes as reported, sorted by account and region.
    #[must_use]
    pub fn reported_scopes(&self) -> Vec<Scope> {
        self.scopes
            .iter()
            .map(|((account_id, region), activity)| Scope {
                account_id: account_id.clone(),
                region: region.clone(),
                first_event: activity.first_event(),
                last_event: activity.last_event(),
                kms_events_seen: activity.kms_events_seen,
            })
            .collect()
    }
}
