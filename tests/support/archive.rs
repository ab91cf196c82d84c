//! Archives: records laid out as CloudTrail delivers them to a bucket.
//!
//! Records come in, files (path and bytes) go out: one per account, region and five minutes of delivery,
//! records in no order, gzip without a time stamp. Nothing is written to disk except by [`write_to`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::container;
use super::ids::Ids;
use super::record::Record;

/// Seconds of one delivery slot.
const SLOT_SECONDS: i64 = 300;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the archive's root, with `/`.
    pub path: String,
    /// Bytes before compression.
    pub text: String,
    /// Bytes as stored.
    pub bytes: Vec<u8>,
}

/// The files of a trail's bucket for these records, sorted by path.
pub fn bucket(seed: u64, records: Vec<Record>) -> Vec<File> {
    let mut ids = Ids::new(seed ^ 0xA5C1_1FE5);
    let mut slots: BTreeMap<(String, String, i64), Vec<(u64, Record)>> = BTreeMap::new();
    for record in records {
        let delay = 100 + i64::try_from(ids.below(320)).expect("small");
        let slot = (record.time + delay).div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
        let place = ids.bits();
        slots
            .entry((record.account_id.clone(), record.region.clone(), slot))
            .or_default()
            .push((place, record));
    }
    slots
        .into_iter()
        .map(|((account_id, region, slot), mut records)| {
            records.sort_by_key(|(place, _)| *place);
            let text = container::records(records.iter().map(|(_, record)| record));
            let path = object_key(&account_id, &region, slot, &ids.file_suffix());
            let bytes = container::gzip(text.as_bytes());
            File { path, text, bytes }
        })
        .collect()
}

/// A log file's key.
pub fn object_key(account_id: &str, region: &str, slot: i64, suffix: &str) -> String {
    let time = super::record::iso(slot);
    let (day, clock) = time.split_once('T').expect("a time has a day and a clock");
    let (year, month_day) = day.split_once('-').expect("a day has a year");
    let compact_day = day.replace('-', "");
    let compact_clock = clock[..5].replace(':', "");
    format!(
        "AWSLogs/{account_id}/CloudTrail/{region}/{year}/{}/\
         {account_id}_CloudTrail_{region}_{compact_day}T{compact_clock}Z_{suffix}.json.gz",
        month_day.replace('-', "/")
    )
}

/// Writes files below `root`.
pub fn write_to(root: &Path, files: &[File]) -> io::Result<()> {
    for file in files {
        let path = root.join(file.path.split('/').collect::<PathBuf>());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, &file.bytes)?;
    }
    Ok(())
}
