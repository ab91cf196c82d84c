//! Writes the parts and the manifest of an extract.
//!
//! Records come in, in the order of the objects; parts of bounded size go out, compressed by threads of their
//! own. Parts and objects are concluded together, batch by batch: what is on disk behind the last concluded batch
//! counts for nothing. Where a batch ends depends on what was read, never on time or threads.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashSet;
use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

use super::manifest::{
    self, Batch, Begin, Concluded, Counts, Line, Manifest, Object, ObjectLoss, Origins, Part,
};
use super::resume::Resumed;
use super::target::{Form, Target, part_name};
use super::{ExtractError, Extracted, end, hexadecimal};
use crate::archive::{
    EXTRACT_MEMBER, ExtractPart, Kept, ObjectRead, Progress, ReadOptions, Step, left_out_elements,
    read_in_order,
};
use crate::event::{Coverage, ExtractParts, Loss, Text};
use crate::source::SourceObject;

/// Objects in one batch at most.
const BATCH_OBJECTS_MAX: u64 = 2_000;
/// Stored bytes read for one batch, about: what an interruption costs at most.
const BATCH_STORED_BYTES: u64 = 256 << 20;
/// Losses in one batch, about.
const BATCH_LOSSES: usize = 4_000;
/// Threads that compress at most.
const COMPRESSORS_MAX: usize = 4;
/// Of parts that stay: as gzip does unless told otherwise.
const LASTING_LEVEL: i32 = 6;
/// Of parts that are put together into a file: half the time, a quarter more bytes.
const PASSING_LEVEL: i32 = 1;

const PART_BEGIN: &[u8] = b"{\"Records\":[";

/// Puts parts, batches and the manifest together.
pub(super) struct Writer<'a> {
    objects: &'a [SourceObject],
    part_bytes: usize,
    begin: Begin,
    manifest: Manifest,
    compress: SyncSender<PartText>,
    compressed: Receiver<Result<Compressed, ExtractError>>,
    digests: HashSet<[u8; 16]>,
    next_part: u32,
    next_batch: u32,
    batch: OpenBatch,
    object: OpenObject,
    /// Batches whose parts are not all on disk.
    pending: VecDeque<Concluded>,
    /// Parts on disk whose batch is pending.
    written: BTreeMap<u32, Compressed>,
    extracted: Extracted,
    extracts: BTreeMap<Text, ExtractParts>,
}

#[derive(Default)]
struct OpenBatch {
    parts: Vec<Part>,
    /// Text of the part that is being filled; none if there is no such part.
    text: Option<Vec<u8>>,
    objects: Vec<Object>,
    left_out: Coverage,
    text_bytes: usize,
    stored_bytes: u64,
}

/// What is known of the object at hand before it is over.
#[derive(Default)]
struct OpenObject {
    kept: u64,
    duplicate: u64,
    /// Kept records by account, region and hour.
    hours: BTreeMap<((Text, Text), i64), u64>,
}

/// A part to be compressed and written.
struct PartText {
    part: u32,
    path: PathBuf,
    text: Vec<u8>,
}

/// A part on disk.
struct Compressed {
    part: u32,
    bytes: u64,
    sha256: String,
}

impl<'a> Writer<'a> {
    /// Reads `objects` and writes what matters of them behind what was resumed.
    pub(super) fn write(
        target: &Target,
        resumed: Resumed,
        extracted: Extracted,
        objects: &'a [SourceObject],
        part_bytes: usize,
        options: &ReadOptions,
        progress: &dyn Progress,
    ) -> Result<Extracted, ExtractError> {
        if resumed.is_ended && objects.is_empty() {
            return Ok(Extracted { was_complete: true, ..extracted });
        }
        let level = if target.form == Form::Directory { LASTING_LEVEL } else { PASSING_LEVEL };
        let level = CompressionLvl::new(level).expect("a level that gzip has");
        let threads = options.jobs.clamp(1, COMPRESSORS_MAX);
        let (compress, texts) = sync_channel(1);
        let (done, compressed) = channel();
        let texts = Mutex::new(texts);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (texts, done) = (&texts, done.clone());
                scope.spawn(move || compress_parts(level, texts, &done));
            }
            drop(done);
            let mut writer = Writer {
                objects,
                part_bytes,
                begin: resumed.begin,
                manifest: resumed.manifest,
                compress,
                compressed,
                digests: resumed.digests,
                next_part: resumed.next_part,
                next_batch: resumed.next_batch,
                batch: OpenBatch::default(),
                object: OpenObject::default(),
                pending: VecDeque::new(),
                written: BTreeMap::new(),
                extracted,
                extracts: resumed.extracts,
            };
            read_in_order(objects, options, progress, |index, step| match step {
                Step::Records(kept) => writer.records(target, index, &kept),
                Step::Over(over) => writer.over(target, index, *over),
            })?;
            writer.finish(target)
        })
    }

    fn records(&mut self, target: &Target, index: usize, kept: &Kept) -> Result<(), ExtractError> {
        let mut start = 0;
        for record in &kept.records {
            let raw = &kept.bytes[start..record.end];
            start = record.end;
            if !self.digests.insert(record.digest) {
                self.object.duplicate += 1;
                continue;
            }
            self.object.kept += 1;
            let hour = (record.scope.clone(), record.second.div_euclid(3_600));
            *self.object.hours.entry(hour).or_default() += 1;
            self.record(target, index, record.index, raw)?;
        }
        Ok(())
    }

    fn record(&mut self, target: &Target, object: usize, index: u64, raw: &[u8]) -> Result<(), ExtractError> {
        // Twice as much, so that no object's last few records make a part of their own.
        let limit = self.part_bytes.saturating_mul(2);
        let is_full = |text: &Vec<u8>| text.len() > PART_BEGIN.len() && text.len() + raw.len() > limit;
        if self.batch.text.as_ref().is_some_and(is_full) {
            self.close_part(target, &Coverage::default())?;
        }
        self.open_part();
        let (Some(text), Some(part)) = (&mut self.batch.text, self.batch.parts.last_mut()) else {
            unreachable!("a part was opened")
        };
        if part.records > 0 {
            text.push(b',');
        }
        text.extend_from_slice(raw);
        part.records += 1;
        self.batch.text_bytes += raw.len();
        let uri = &self.objects[object].uri;
        match part.origins.last_mut() {
            // Two objects of one name stand behind each other: the indices begin anew.
            Some(origins)
                if origins.object == *uri && origins.records.last().is_some_and(|last| *last < index) =>
            {
                origins.records.push(index);
            }
            _ => part.origins.push(Origins { object: uri.clone(), records: vec![index] }),
        }
        Ok(())
    }

    fn open_part(&mut self) {
        if self.batch.text.is_some() {
            return;
        }
        self.batch.text = Some(PART_BEGIN.to_vec());
        self.batch.parts.push(Part {
            part: self.next_part,
            name: part_name(self.next_part),
            bytes: None,
            sha256: None,
            records: 0,
            origins: Vec::new(),
        });
        self.next_part += 1;
    }

    fn close_part(&mut self, target: &Target, left_out: &Coverage) -> Result<(), ExtractError> {
        let (Some(mut text), Some(part)) = (self.batch.text.take(), self.batch.parts.last()) else {
            return Ok(());
        };
        let place = ExtractPart { extract: &self.begin.extract, part: part.part, parts: None };
        write_part_end(&mut text, left_out, place);
        let path = target.part(part.part);
        // Whoever compresses goes on until there is nothing more, whatever happens.
        let sent = self.compress.send(PartText { part: part.part, path, text });
        debug_assert!(sent.is_ok(), "the compressing threads listen as long as there are texts");
        self.settle(false)
    }

    fn over(&mut self, target: &Target, index: usize, read: ObjectRead) -> Result<(), ExtractError> {
        let open = std::mem::take(&mut self.object);
        let mut left_out = read.coverage;
        left_out.records.read -= open.kept;
        left_out.records.selected = 0;
        left_out.records.duplicate += open.duplicate;
        subtract(&mut left_out, &open.hours);
        let object = &self.objects[index];
        let counts = Counts {
            read: left_out.records.read + open.kept,
            kept: open.kept,
            passed_over: left_out.records.passed_over,
            duplicate: left_out.records.duplicate,
            lost: left_out.records.lost,
        };
        debug_assert!(counts.balance(), "{counts:?}");
        let extracts = std::mem::take(&mut left_out.extracts);
        let line = Object {
            object: object.uri.clone(),
            size: object.size,
            revision: read.revision,
            bytes: read.stored.map(|(_, bytes)| bytes),
            sha256: read.stored.map(|(hash, _)| hexadecimal(&hash)),
            objects: left_out.objects,
            records: counts,
            losses: left_out
                .losses
                .iter()
                // Losses that an extract carries are of its own source's objects.
                .map(|loss| ObjectLoss {
                    object: (loss.object != object.uri).then(|| loss.object.clone()),
                    record: loss.record,
                    kind: loss.kind,
                    detail: loss.detail.clone(),
                })
                .collect(),
            extracts: extracts.clone(),
        };
        for (extract, parts) in extracts {
            self.extracts.entry(extract).or_default().merge(parts);
        }
        line.add_to(&mut self.extracted);
        self.batch.stored_bytes += line.bytes.or(line.size).unwrap_or(0);
        self.batch.objects.push(line);
        self.batch.left_out.merge(left_out);
        let is_full = self.batch.text_bytes >= self.part_bytes
            || self.batch.objects.len() as u64 >= BATCH_OBJECTS_MAX
            || self.batch.stored_bytes >= BATCH_STORED_BYTES
            || self.batch.left_out.losses.len() >= BATCH_LOSSES;
        if is_full { self.close_batch(target) } else { Ok(()) }
    }

    fn close_batch(&mut self, target: &Target) -> Result<(), ExtractError> {
        self.open_part();
        let left_out = std::mem::take(&mut self.batch.left_out);
        self.close_part(target, &left_out)?;
        let batch = std::mem::take(&mut self.batch);
        self.pending.push_back(Concluded {
            duplicates: batch.objects.iter().map(|object| object.records.duplicate).sum(),
            parts: batch.parts,
            objects: batch.objects,
        });
        self.settle(false)
    }

    /// Concludes the batches whose parts are on disk; waits for all of them if `is_last`.
    fn settle(&mut self, is_last: bool) -> Result<(), ExtractError> {
        loop {
            while let Ok(part) = self.compressed.try_recv() {
                let part = part?;
                self.written.insert(part.part, part);
            }
            while let Some(pending) = self.pending.front() {
                if !pending.parts.iter().all(|part| self.written.contains_key(&part.part)) {
                    break;
                }
                if let Some(pending) = self.pending.pop_front() {
                    self.conclude(pending)?;
                }
            }
            if !is_last || self.pending.is_empty() {
                return Ok(());
            }
            if let Ok(part) = self.compressed.recv() {
                let part = part?;
                self.written.insert(part.part, part);
            }
        }
    }

    fn conclude(&mut self, pending: Concluded) -> Result<(), ExtractError> {
        let mut lines = Vec::new();
        let batch = Batch::of(self.next_batch, std::slice::from_ref(&pending));
        self.next_batch += 1;
        for mut part in pending.parts {
            if let Some(written) = self.written.remove(&part.part) {
                part.bytes = Some(written.bytes);
                part.sha256 = Some(written.sha256);
                self.extracted.bytes += written.bytes;
            }
            self.extracted.parts += 1;
            manifest::write_line(&mut lines, &Line::Part(part));
        }
        for object in pending.objects {
            manifest::write_line(&mut lines, &Line::Object(object));
        }
        manifest::write_line(&mut lines, &Line::Batch(batch));
        self.manifest.append(&lines)
    }

    fn finish(mut self, target: &Target) -> Result<Extracted, ExtractError> {
        // What extracts among the sources lack can only be told now.
        let mut lacking = Coverage { extracts: std::mem::take(&mut self.extracts), ..Coverage::default() };
        lacking.settle_extracts();
        self.extracted.losses.extend(lacking.losses.iter().cloned());
        self.batch.left_out.merge(lacking);
        let is_empty = self.batch.objects.is_empty() && self.batch.left_out.losses.is_empty();
        if !is_empty || (self.next_batch == 1 && self.pending.is_empty()) {
            self.close_batch(target)?;
        }
        self.settle(true)?;
        let mut line = Vec::new();
        manifest::write_line(&mut line, &Line::End(end(&self.begin, &self.extracted)));
        self.manifest.append(&line)?;
        Ok(self.extracted)
    }
}

/// The end of a part's text: what was left out, and the brackets.
pub(super) fn write_part_end(text: &mut Vec<u8>, left_out: &Coverage, place: ExtractPart<'_>) {
    text.extend_from_slice(b"],\"");
    text.extend_from_slice(EXTRACT_MEMBER.as_bytes());
    text.extend_from_slice(b"\":[");
    for (index, element) in left_out_elements(left_out, place).into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(&element);
    }
    text.extend_from_slice(b"]}");
}

/// Takes kept records off the activity: they tell of themselves.
pub(super) fn subtract(left_out: &mut Coverage, kept: &BTreeMap<((Text, Text), i64), u64>) {
    for ((scope, hour), count) in kept {
        let Some(activity) = left_out.scopes.get_mut(scope) else { continue };
        if let Some(seen) = activity.hours.get_mut(hour) {
            seen.records = seen.records.saturating_sub(*count);
            if seen.records == 0 {
                activity.hours.remove(hour);
            }
        }
    }
}

impl Object {
    /// Adds the object to what a run reports.
    pub(super) fn add_to(&self, extracted: &mut Extracted) {
        extracted.objects.read = extracted.objects.read.saturating_add(self.objects.read);
        extracted.objects.skipped = extracted.objects.skipped.saturating_add(self.objects.skipped);
        extracted.objects.failed = extracted.objects.failed.saturating_add(self.objects.failed);
        extracted.records.add(self.records);
        extracted.losses.extend(self.losses.iter().map(|loss| Loss {
            object: loss.object.clone().unwrap_or_else(|| self.object.clone()),
            record: loss.record,
            kind: loss.kind,
            detail: loss.detail.clone(),
        }));
    }
}

/// Compresses and writes parts until there are no more, also after an error: whoever sends them must not wait for ever.
fn compress_parts(
    level: CompressionLvl,
    texts: &Mutex<Receiver<PartText>>,
    done: &Sender<Result<Compressed, ExtractError>>,
) {
    let mut compressor = Compressor::new(level);
    loop {
        let text = texts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(text) = text else { return };
        // Who does not listen any more has another error to tell.
        let _ = done.send(write_part(&mut compressor, &text));
    }
}

fn write_part(compressor: &mut Compressor, part: &PartText) -> Result<Compressed, ExtractError> {
    let mut stored = vec![0; compressor.gzip_compress_bound(part.text.len())];
    let length =
        compressor.gzip_compress(&part.text, &mut stored).expect("the buffer is as large as it can become");
    let stored = &stored[..length];
    let failed = |source| ExtractError::Write { path: part.path.clone(), source };
    let mut file = manifest::new_beside(&part.path)?;
    file.as_file_mut().write_all(stored).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    manifest::persist(file, &part.path)?;
    Ok(Compressed { part: part.part, bytes: length as u64, sha256: hexadecimal(&Sha256::digest(stored)) })
}

/// Bytes and hash of a part as it is on disk; `None` if it cannot be read.
pub(super) fn stored(target: &Target, part: u32) -> Option<(u64, String)> {
    let mut file = fs::File::open(target.part(part)).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        match std::io::Read::read(&mut file, &mut buffer).ok()? {
            0 => return Some((bytes, hexadecimal(&hash.finalize()))),
            length => {
                hash.update(&buffer[..length]);
                bytes += length as u64;
            }
        }
    }
}
