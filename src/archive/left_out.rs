//! What an extract says of the records that are not in it, so that reading it covers what its source covers.
//!
//! Each object of an extract is `{"Records":[…],"keytrailExtract":[…]}`. The elements of the second array
//! count the objects and records of the source, list its losses, and tell when each account and region logged.
//! The text may be anybody's: it is checked, and what it cannot truthfully say is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{
    Coverage, HourActivity, Loss, ObjectCounts, RecordCounts, ScopeActivity, Text, Timestamp,
};

/// The member of an object that holds them.
pub const EXTRACT_MEMBER: &str = "keytrailExtract";
/// The member that marks such an element. Its value is the version of the form.
pub(super) const LEFT_OUT_MARK: &str = "keytrailLeftOut";
/// The member that marks a line of a manifest.
pub(super) const MANIFEST_MARK: &str = "keytrailManifest";

const VERSION: u32 = 1;
/// Counts beyond this are no counts; their sums stay far from overflowing.
const COUNT_MAX: u64 = 1 << 40;
/// Losses and hours in one element: it must stay far smaller than the largest record that is read.
const ENTRIES_MAX: usize = 2_000;

/// Which object of which extract an element stands in.
#[derive(Clone, Copy, Debug)]
pub struct ExtractPart<'a> {
    /// The extract's id.
    pub extract: &'a str,
    /// The part's number.
    pub part: u32,
    /// How many parts there are, where the object itself can tell.
    pub parts: Option<u32>,
}

/// Why an element is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeftOutError {
    /// It is not of the form.
    #[error("the extract's account of what it left out cannot be read: {source}")]
    Form {
        #[source]
        source: serde_json::Error,
    },
    /// A later version wrote it.
    #[error("the extract is of form {version}, which a newer keytrail reads")]
    Version { version: u32 },
    /// It says what cannot be.
    #[error("the extract's account of what it left out is wrong: {what}")]
    Wrong { what: &'static str },
}

/// One element, as read.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub extract: Text,
    pub part: u32,
    pub parts: Option<u32>,
    pub coverage: Coverage,
}

#[derive(Serialize, Deserialize)]
struct Element {
    #[serde(rename = "keytrailLeftOut")]
    version: u32,
    extract: Text,
    part: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<u32>,
    objects: ObjectCounts,
    records: Counts,
    losses: Vec<Loss>,
    scopes: Vec<Scope>,
}

#[derive(Default, Serialize, Deserialize)]
struct Counts {
    passed_over: u64,
    duplicate: u64,
    lost: u64,
}

#[derive(Serialize, Deserialize)]
struct Scope {
    account_id: Text,
    region: Text,
    kms_events_seen: bool,
    /// First second, last second and number of records of each hour.
    hours: Vec<(i64, i64, u64)>,
}

/// The elements that stand for `coverage`: of the source's objects, without the records that are kept.
#[must_use]
pub fn elements(coverage: &Coverage, place: ExtractPart<'_>) -> Vec<Vec<u8>> {
    let element = |objects, records, losses, scopes| Element {
        version: VERSION,
        extract: place.extract.into(),
        part: place.part,
        parts: place.parts,
        objects,
        records,
        losses,
        scopes,
    };
    let counts = Counts {
        passed_over: coverage.records.passed_over,
        duplicate: coverage.records.duplicate,
        lost: coverage.records.lost,
    };
    let mut elements = vec![element(coverage.objects, counts, Vec::new(), Vec::new())];
    for losses in coverage.losses.chunks(ENTRIES_MAX) {
        elements.push(element(ObjectCounts::default(), Counts::default(), losses.to_vec(), Vec::new()));
    }
    let mut scopes = Vec::new();
    let mut entries = 0;
    for ((account_id, region), activity) in &coverage.scopes {
        let hours: Vec<_> =
            activity.hours.values().map(|hour| (hour.first_second, hour.last_second, hour.records)).collect();
        let mut pieces: Vec<&[_]> = hours.chunks(ENTRIES_MAX).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        for piece in pieces {
            scopes.push(Scope {
                account_id: account_id.clone(),
                region: region.clone(),
                kms_events_seen: activity.kms_events_seen,
                hours: piece.to_vec(),
            });
            entries += piece.len() + 1;
            if entries >= ENTRIES_MAX {
                entries = 0;
                let scopes = std::mem::take(&mut scopes);
                elements.push(element(ObjectCounts::default(), Counts::default(), Vec::new(), scopes));
            }
        }
    }
    if !scopes.is_empty() {
        elements.push(element(ObjectCounts::default(), Counts::default(), Vec::new(), scopes));
    }
    elements
        .iter()
        .map(|element| serde_json::to_vec(element).expect("texts and numbers can be written as JSON"))
        .collect()
}

/// Reads an element.
pub(super) fn parse(text: &[u8]) -> Result<LeftOut, LeftOutError> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "keytrailLeftOut")]
        version: u32,
    }
    let form = |source| LeftOutError::Form { source };
    let Version { version } = serde_json::from_slice(text).map_err(form)?;
    if version != VERSION {
        return Err(LeftOutError::Version { version });
    }
    let element: Element = serde_json::from_slice(text).map_err(form)?;
    let wrong = |what| Err(LeftOutError::Wrong { what });
    let Element { objects, records, .. } = element;
    let counts =
        [objects.read, objects.skipped, objects.failed, records.passed_over, records.duplicate, records.lost];
    if counts.into_iter().any(|count| count > COUNT_MAX) {
        return wrong("a count that is none");
    }
    let mut scopes: BTreeMap<(Text, Text), ScopeActivity> = BTreeMap::new();
    for scope in element.scopes {
        let activity = scopes.entry((scope.account_id, scope.region)).or_default();
        let mut hours = BTreeMap::new();
        for (first_second, last_second, records) in scope.hours {
            let hour = first_second.div_euclid(3_600);
            let is_time = |second| Timestamp::from_second(second).second() == second;
            if hour != last_second.div_euclid(3_600)
                || first_second > last_second
                || !is_time(first_second)
                || !is_time(last_second)
                || records > COUNT_MAX
            {
                return wrong("an hour that is none");
            }
            hours.insert(hour, HourActivity { first_second, last_second, records });
        }
        activity.merge(&ScopeActivity { kms_events_seen: scope.kms_events_seen, hours });
    }
    let coverage = Coverage {
        objects,
        records: RecordCounts {
            read: records.passed_over + records.duplicate + records.lost,
            selected: 0,
            passed_over: records.passed_over,
            duplicate: records.duplicate,
            lost: records.lost,
        },
        losses: element.losses,
        scopes,
        ..Coverage::default()
    };
    Ok(LeftOut { extract: element.extract, part: element.part, parts: element.parts, coverage })
}

/// What a reader needs to know of a line of a manifest.
#[derive(Debug, Deserialize)]
pub(super) struct ManifestLine {
    #[serde(rename = "keytrailManifest")]
    pub kind: Text,
    #[serde(default)]
    pub extract: Option<Text>,
    #[serde(default)]
    pub parts: Option<u32>,
}

/// Reads a line of a manifest.
pub(super) fn parse_manifest(text: &[u8]) -> Result<ManifestLine, serde_json::Error> {
    serde_json::from_slice(text)
}

#[cfg(test)]
mod tests;
