//! Archives: records laid out as CloudTrail delivers them to a bucket.
//!
//! Records come in, files (path and bytes) go out: one per account, region and five minutes of delivery,
//! records in no order, gzip without a time stamp. Only [`write_to`] and [`write_stream`] touch the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

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
    /// Whether the stored bytes no longer hold all of the text.
    pub is_damaged: bool,
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
            File { path, text, bytes, is_damaged: false }
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

/// What [`write_stream`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub files: u64,
    /// Records.
    pub records: u64,
    /// Bytes before compression.
    pub inflated_bytes: u64,
}

/// Writes batches of records to files of `records_per_file` records below `root`, laid out as a bucket of one
/// account and region. Holds one batch at a time; records of different batches keep their order.
pub fn write_stream(
    root: &Path,
    batches: impl IntoIterator<Item = Vec<Record>>,
    records_per_file: u64,
) -> io::Result<Written> {
    const FILE_STARTS_BYTES: &[u8] = b"{\"Records\":[";
    const FILE_ENDS_BYTES: &[u8] = b"]}";
    let mut written = Written::default();
    let mut ids = Ids::new(records_per_file);
    let mut open: Option<(GzEncoder<BufWriter<fs::File>>, u64)> = None;
    for record in batches.into_iter().flatten() {
        let (mut encoder, records) = match open.take() {
            Some(opened) => opened,
            None => {
                let slot = (record.time + SLOT_SECONDS).div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
                let key = object_key(&record.account_id, &record.region, slot, &ids.file_suffix());
                let path = root.join(key);
                fs::create_dir_all(path.parent().expect("a key has folders"))?;
                let file = BufWriter::new(fs::File::create(path)?);
                let mut encoder = GzBuilder::new().mtime(0).write(file, Compression::default());
                encoder.write_all(FILE_STARTS_BYTES)?;
                written.files += 1;
                written.inflated_bytes += (FILE_STARTS_BYTES.len() + FILE_ENDS_BYTES.len()) as u64;
                (encoder, 0)
            }
        };
        if records > 0 {
            encoder.write_all(b",")?;
            written.inflated_bytes += 1;
        }
        encoder.write_all(record.text.as_bytes())?;
        written.inflated_bytes += record.text.len() as u64;
        written.records += 1;
        if records + 1 == records_per_file {
            encoder.write_all(FILE_ENDS_BYTES)?;
            encoder.finish()?.flush()?;
        } else {
            open = Some((encoder, records + 1));
        }
    }
    if let Some((mut encoder, _)) = open {
        encoder.write_all(FILE_ENDS_BYTES)?;
        encoder.finish()?.flush()?;
    }
    Ok(written)
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
