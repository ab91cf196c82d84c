//! Puts the parts of an extract together into one file.
//!
//! The parts of a directory come in, checked against their hashes; one `.json.gz` with one array of all records goes
//! out, and a manifest beside it. Memory is bounded by one part and by what was left out.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::manifest::{self, Line, Part};
use super::target::Target;
use super::{ExtractError, Extracted, hexadecimal, writer};
use crate::archive::{ExtractPart, KeptRecord, Quiet, ReadOptions, Step, read_in_order};
use crate::event::{Coverage, Text};
use crate::source::SourceObject;

/// A record of a part, and where it was read first.
#[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only a table has columns for where"))]
pub(super) struct Record<'a> {
    pub raw: &'a [u8],
    pub object: &'a Text,
    pub index: u64,
    /// SHA-256 of the stored bytes of that object.
    pub object_sha256: Option<&'a str>,
}

/// Gives `take` all records of the parts, in order; gives what was left out of them.
pub(super) fn for_each_record(
    target: &Target,
    read: &manifest::Read,
    options: &ReadOptions,
    mut take: impl FnMut(Record<'_>) -> io::Result<()>,
) -> Result<Coverage, ExtractError> {
    let failed = |source| ExtractError::Write { path: target.out.clone(), source };
    let parts: Vec<&Part> = read.batches.iter().flat_map(|batch| &batch.parts).collect();
    let hashes: BTreeMap<&Text, Option<&str>> = (read.batches.iter())
        .flat_map(|batch| &batch.objects)
        .map(|object| (&object.object, object.sha256.as_deref()))
        .collect();
    let objects: Vec<SourceObject> =
        parts.iter().map(|part| SourceObject::file(target.part(part.part), part.bytes)).collect();
    let mut left_out = Coverage::default();
    let mut kept: BTreeMap<((Text, Text), i64), u64> = BTreeMap::new();
    let mut origins = Vec::new().into_iter();
    let mut at = None;
    read_in_order(&objects, options, &Quiet, |index, step| {
        let part = parts[index];
        let damaged = || ExtractError::Damaged { path: target.part(part.part) };
        if at != Some(index) {
            at = Some(index);
            origins = origins_of(part).into_iter();
        }
        match step {
            Step::Records(pieces) => {
                let mut start = 0;
                for KeptRecord { end, second, scope, .. } in pieces.records {
                    let (object, index) = origins.next().ok_or_else(damaged)?;
                    let object_sha256 = hashes.get(object).copied().flatten();
                    let raw = &pieces.bytes[start..end];
                    take(Record { raw, object, index, object_sha256 }).map_err(failed)?;
                    *kept.entry((scope, second.div_euclid(3_600))).or_default() += 1;
                    start = end;
                }
            }
            Step::Over(over) => {
                let stored = over.stored.map(|(hash, bytes)| (Some(bytes), Some(hexadecimal(&hash))));
                if stored != Some((part.bytes, part.sha256.clone())) || origins.next().is_some() {
                    return Err(damaged());
                }
                left_out.merge(over.coverage);
            }
        }
        Ok(())
    })?;
    left_out.extracts.clear();
    left_out.records.read -= left_out.records.selected;
    left_out.records.selected = 0;
    writer::subtract(&mut left_out, &kept);
    Ok(left_out)
}

fn origins_of(part: &Part) -> Vec<(&Text, u64)> {
    let origins = part.origins.iter();
    origins.flat_map(|origins| origins.records.iter().map(|index| (&origins.object, *index))).collect()
}

/// Writes the file and its manifest, and removes the parts.
pub(super) fn write_gzip(
    target: &Target,
    options: &ReadOptions,
    extracted: &mut Extracted,
) -> Result<(), ExtractError> {
    /// As gzip does unless told otherwise.
    const LEVEL: u32 = 6;
    let failed = |source| ExtractError::Write { path: target.out.clone(), source };
    let read = manifest::read(&target.working_manifest)?;
    let mut file = manifest::new_beside(&target.out)?;
    let hashing = Hashing::new(BufWriter::new(file.as_file_mut()));
    let mut out = GzEncoder::new(hashing, Compression::new(LEVEL));
    out.write_all(b"{\"Records\":[").map_err(failed)?;
    let mut is_first = true;
    let left_out = for_each_record(target, &read, options, |record| {
        if !std::mem::take(&mut is_first) {
            out.write_all(b",")?;
        }
        out.write_all(record.raw)
    })?;
    let mut text = Vec::new();
    let place = ExtractPart { extract: &read.begin.extract, part: 1, parts: Some(1) };
    writer::write_part_end(&mut text, &left_out, place);
    out.write_all(&text).map_err(failed)?;
    let hashing = out.finish().map_err(failed)?;
    let (bytes, sha256) = hashing.finish().map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    manifest::persist(file, &target.out)?;
    conclude(target, &read, (bytes, sha256), extracted)
}

/// The file is whole: writes its manifest, and removes the parts.
pub(super) fn conclude(
    target: &Target,
    read: &manifest::Read,
    (bytes, sha256): (u64, String),
    extracted: &mut Extracted,
) -> Result<(), ExtractError> {
    let name = target.out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut lines = super::first_line(&read.begin);
    let mut is_first = true;
    for concluded in &read.batches {
        for part in &concluded.parts {
            // All pieces are in the one file; the first line says what that is.
            let (bytes, sha256) = if std::mem::take(&mut is_first) {
                (Some(bytes), Some(sha256.clone()))
            } else {
                (None, None)
            };
            let part = Part { part: 1, name: name.clone(), bytes, sha256, ..part.clone() };
            manifest::write_line(&mut lines, &Line::Part(part));
        }
        for object in &concluded.objects {
            manifest::write_line(&mut lines, &Line::Object(object.clone()));
        }
    }
    manifest::write_line(&mut lines, &Line::Batch(manifest::Batch::of(1, &read.batches)));
    extracted.parts = 1;
    extracted.bytes = bytes;
    manifest::write_line(&mut lines, &Line::End(super::end(&read.begin, extracted)));
    manifest::write_whole(&target.manifest, &lines)?;
    target.remove_working_directory()
}

/// Hashes what is written.
pub(super) struct Hashing<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), bytes: 0 }
    }

    /// Number and SHA-256 of the bytes written.
    pub(super) fn finish(mut self) -> io::Result<(u64, String)> {
        self.out.flush()?;
        Ok((self.bytes, hexadecimal(&self.hash.finalize())))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.hash.update(&bytes[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
