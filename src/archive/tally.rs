//! Keeps count of what became of one object's records, and of where and when records were logged.
//!
//! Fates and losses come in as they happen; at the object's end they go into the [`Coverage`], or are
//! dropped if the object turned out to hold no CloudTrail records. Memory does not grow with the losses.

use super::left_out::{LeftOut, ManifestLine};
use super::select::Header;
use crate::event::{Coverage, ExtractParts, HourActivity, Loss, LossKind, ScopeActivity, Text};

/// Losses of one object that are listed one by one; beyond them only their number is told.
const LOSSES_PER_OBJECT_MAX: usize = 1_000;
/// Losses of its source that one object of an extract may tell.
const LOSSES_CARRIED_MAX: usize = 1 << 18;

/// What became of one object's records.
#[derive(Default)]
pub(super) struct Tally {
    /// Values seen: also the index of the next record.
    pub seen: u64,
    pub selected: u64,
    pub passed_over: u64,
    lost: u64,
    damaged: u64,
    /// Of the lost ones: well-formed values that are no CloudTrail records.
    strangers: u64,
    /// Of those passed over: records of other kinds that AWS writes.
    foreign: u64,
    losses: Vec<Loss>,
    losses_unlisted: u64,
    has_container: bool,
    /// Whether the object could not be read to its end.
    is_cut: bool,
    /// The object is of an extract: what that left out.
    left_out: Option<Box<Coverage>>,
    /// The object is an extract's manifest.
    manifest: Option<Manifest>,
}

/// What was seen of a manifest.
struct Manifest {
    extract: Text,
    /// How many parts there are; unknown until its last line.
    parts: Option<u32>,
}

impl Tally {
    /// How many values were lost so far because their text is damaged.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Loses the value seen last.
    pub(super) fn lose(&mut self, object: &Text, kind: LossKind, detail: String) {
        self.lost += 1;
        self.damaged += u64::from(matches!(kind, LossKind::InvalidJson | LossKind::InvalidUtf8));
        self.strangers += u64::from(kind == LossKind::NotARecord);
        self.is_cut |= kind == LossKind::TruncatedJson;
        self.list(Loss { object: object.clone(), record: Some(self.seen - 1), kind, detail });
    }

    /// The value seen last is of another kind that AWS writes.
    pub(super) fn pass_over_foreign(&mut self) {
        self.passed_over += 1;
        self.foreign += 1;
    }

    /// The object cannot be read to its end.
    pub(super) fn fail(&mut self, object: &Text, kind: LossKind, detail: String) {
        self.is_cut = true;
        self.list(Loss { object: object.clone(), record: None, kind, detail });
    }

    /// The object cannot be read to its end, which a loss has told already.
    pub(super) fn cut_off(&mut self) {
        self.is_cut = true;
    }

    /// The object has an array that holds records by its name.
    pub(super) fn note_container(&mut self) {
        self.has_container = true;
    }

    /// The object tells what the extract that it is of left out.
    pub(super) fn note_left_out(&mut self, object: &Text, told: LeftOut) {
        let left_out = self.left_out.get_or_insert_default();
        let mut coverage = told.coverage;
        coverage.losses.truncate(LOSSES_CARRIED_MAX.saturating_sub(left_out.losses.len()));
        left_out.merge(coverage);
        let parts = ExtractParts {
            seen: [told.part].into(),
            expected: told.parts,
            is_unfinished: false,
            object: Some(object.clone()),
        };
        left_out.extracts.entry(told.extract).or_default().merge(parts);
    }

    /// A line of a manifest.
    pub(super) fn note_manifest(&mut self, line: ManifestLine) {
        if let (Some(extract), "begin" | "end") = (line.extract, &*line.kind) {
            let parts = if &*line.kind == "end" { line.parts } else { None };
            self.manifest = Some(Manifest { extract, parts });
        }
    }

    /// The object was an extract's manifest: it is neither a log nor a stranger.
    fn settle_manifest(object: &Text, manifest: Manifest, coverage: &mut Coverage) {
        let parts = ExtractParts {
            expected: manifest.parts,
            is_unfinished: manifest.parts.is_none(),
            object: Some(object.clone()),
            ..ExtractParts::default()
        };
        if parts.is_unfinished {
            coverage.objects.failed += 1;
            coverage.losses.push(Loss {
                object: object.clone(),
                record: None,
                kind: LossKind::IncompleteExtract,
                detail: "the extract was not finished; `keytrail extract --resume` finishes it".to_owned(),
            });
        }
        coverage.extracts.entry(manifest.extract).or_default().merge(parts);
    }

    fn list(&mut self, loss: Loss) {
        // What befell the object itself is few and always listed.
        if loss.record.is_none() || self.losses.len() < LOSSES_PER_OBJECT_MAX {
            self.losses.push(loss);
        } else {
            self.losses_unlisted += 1;
        }
    }

    /// The object is over: adds it to `coverage`. An object without a single record is a loss only if it
    /// claims to be a log and is damaged.
    pub(super) fn settle(mut self, object: &Text, is_named_as_log: bool, coverage: &mut Coverage) {
        debug_assert_eq!(self.seen, self.selected + self.passed_over + self.lost);
        if self.selected + self.passed_over == 0
            && self.left_out.is_none()
            && let Some(manifest) = self.manifest.take()
        {
            return Self::settle_manifest(object, manifest, coverage);
        }
        let holds_records = self.selected + self.passed_over > self.foreign;
        let is_damaged = self.is_cut || self.lost > self.strangers;
        let is_log =
            holds_records || if is_damaged { is_named_as_log } else { self.seen == 0 && self.has_container };
        if !is_log {
            coverage.objects.skipped += 1;
            return;
        }
        if self.losses_unlisted > 0 {
            let detail = format!("{} further records lost, not listed one by one", self.losses_unlisted);
            let kind = self.losses.last().map_or(LossKind::InvalidJson, |loss| loss.kind);
            self.losses.push(Loss { object: object.clone(), record: None, kind, detail });
        }
        if self.is_cut {
            coverage.objects.failed += 1;
        } else if self.left_out.is_none() {
            coverage.objects.read += 1;
        }
        coverage.records.read += self.seen;
        coverage.records.selected += self.selected;
        coverage.records.passed_over += self.passed_over;
        coverage.records.lost += self.lost;
        coverage.losses.append(&mut self.losses);
        // The objects of the source count, not the one that stands for them.
        if let Some(left_out) = self.left_out {
            coverage.merge(*left_out);
        }
    }
}

/// Notes activity per account and region; quick where one record follows another of the same scope and hour.
#[derive(Default)]
pub(super) struct Scopes {
    recent: Option<Recent>,
}

struct Recent {
    account_id: Text,
    region: Text,
    hour: i64,
    first_second: i64,
    last_second: i64,
    records: u64,
    kms_events_seen: bool,
}

impl Scopes {
    /// Notes one record.
    pub(super) fn note(&mut self, header: &Header<'_>, coverage: &mut Coverage) {
        let (Some(account_id), Some(region)) = (header.account_id, header.region) else { return };
        let second = header.time.second();
        let hour = second.div_euclid(3600);
        if let Some(recent) = &mut self.recent
            && recent.hour == hour
            && recent.account_id.as_bytes() == account_id
            && recent.region.as_bytes() == region
        {
            recent.first_second = recent.first_second.min(second);
            recent.last_second = recent.last_second.max(second);
            recent.records += 1;
            recent.kms_events_seen |= header.is_kms;
            return;
        }
        let (account_id, region) = match self.recent.take() {
            Some(recent)
                if recent.account_id.as_bytes() == account_id && recent.region.as_bytes() == region =>
            {
                let texts = (Text::clone(&recent.account_id), Text::clone(&recent.region));
                recent.settle(coverage);
                texts
            }
            other => {
                if let Some(recent) = other {
                    recent.settle(coverage);
                }
                (text(account_id), text(region))
            }
        };
        self.recent = Some(Recent {
            account_id,
            region,
            hour,
            first_second: second,
            last_second: second,
            records: 1,
            kms_events_seen: header.is_kms,
        });
    }

    /// Moves everything noted into `coverage`.
    pub(super) fn settle(&mut self, coverage: &mut Coverage) {
        if let Some(recent) = self.recent.take() {
            recent.settle(coverage);
        }
    }
}

fn text(bytes: &[u8]) -> Text {
    String::from_utf8_lossy(bytes).into()
}

impl Recent {
    fn settle(self, coverage: &mut Coverage) {
        let hour = HourActivity {
            first_second: self.first_second,
            last_second: self.last_second,
            records: self.records,
        };
        let activity =
            ScopeActivity { kms_events_seen: self.kms_events_seen, hours: [(self.hour, hour)].into() };
        coverage.scopes.entry((self.account_id, self.region)).or_default().merge(&activity);
    }
}
