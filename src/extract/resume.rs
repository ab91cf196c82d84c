//! Finds out how far an interrupted run came, and what of it still holds.
//!
//! The manifest, the parts and the objects as they are now come in; what need not be read again goes out. A batch
//! is made again as a whole if one of its objects has changed or one of its parts is not as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashbrown::{HashMap, HashSet};

use super::manifest::{self, Batch, Begin, Concluded, Line, Manifest, Object};
use super::target::Target;
use super::{ExtractError, Extracted, Request, writer};
use crate::archive::{Quiet, Step, read_in_order};
use crate::event::{ExtractParts, Text};
use crate::source::SourceObject;

/// Where to go on.
pub(super) struct Resumed {
    pub begin: Begin,
    pub manifest: Manifest,
    pub digests: HashSet<[u8; 16]>,
    pub next_part: u32,
    pub next_batch: u32,
    pub is_ended: bool,
    pub extracts: BTreeMap<Text, ExtractParts>,
    /// What earlier runs did.
    pub extracted: Extracted,
    /// How often each object was read.
    done: HashMap<Text, u32>,
}

impl Resumed {
    /// Nothing was done before, or nothing that counts.
    pub(super) fn fresh(manifest: Manifest, begin: &Begin, extracted: Extracted) -> Self {
        Self {
            begin: begin.clone(),
            manifest,
            digests: HashSet::new(),
            next_part: 1,
            next_batch: 1,
            is_ended: false,
            extracts: BTreeMap::new(),
            extracted,
            done: HashMap::new(),
        }
    }

    /// Whether an object need not be read; to be asked once for each.
    pub(super) fn take_done(&mut self, object: &Text) -> bool {
        take_done(&mut self.done, object)
    }
}

fn take_done(done: &mut HashMap<Text, u32>, object: &Text) -> bool {
    match done.get_mut(object) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// Takes up an interrupted run.
pub(super) fn resume(target: &Target, begin: &Begin, request: &Request<'_>) -> Result<Resumed, ExtractError> {
    let path = &target.working_manifest;
    let read = manifest::read(path)?;
    compare(&read.begin, begin)
        .map_or(Ok(()), |difference| Err(ExtractError::OtherArguments { path: path.clone(), difference }))?;
    // Locked before anything is touched.
    let manifest = Manifest::open(path, read.bytes)?;
    let mut extracted = Extracted::default();
    let count = read.batches.len();
    let batches = still_valid(target, read.batches, request.objects, &mut extracted);
    let is_ended = read.is_ended && batches.len() == count;
    let mut left = done(&batches);
    let is_ended = is_ended && request.objects.iter().all(|object| take_done(&mut left, &object.uri));
    let kept: BTreeSet<u32> = batches.iter().flat_map(|batch| &batch.parts).map(|part| part.part).collect();
    let manifest = if is_ended || (!read.is_ended && batches.len() == count) {
        manifest
    } else {
        drop(manifest);
        Manifest::create(path, &rewritten(&read.begin, &batches))?
    };
    target.remove_parts(|part| kept.contains(&part))?;
    let done = done(&batches);
    let mut extracts: BTreeMap<Text, ExtractParts> = BTreeMap::new();
    for batch in &batches {
        for object in &batch.objects {
            object.add_to(&mut extracted);
            for (extract, parts) in &object.extracts {
                extracts.entry(extract.clone()).or_default().merge(parts.clone());
            }
        }
        extracted.parts += u32::try_from(batch.parts.len()).unwrap_or(u32::MAX);
        extracted.bytes += batch.parts.iter().filter_map(|part| part.bytes).sum::<u64>();
        extracted.resumed += batch.objects.len() as u64;
    }
    Ok(Resumed {
        begin: read.begin,
        manifest,
        digests: digests(target, &kept, request)?,
        next_part: kept.last().map_or(1, |last| last.saturating_add(1)),
        next_batch: u32::try_from(batches.len()).unwrap_or(u32::MAX).saturating_add(1),
        is_ended,
        extracts,
        extracted,
        done,
    })
}

fn done(batches: &[Concluded]) -> HashMap<Text, u32> {
    let mut done: HashMap<Text, u32> = HashMap::new();
    for object in batches.iter().flat_map(|batch| &batch.objects) {
        *done.entry(object.object.clone()).or_default() += 1;
    }
    done
}

/// What a file holds that is whole; `None` if objects have changed or are new since, which `extracted` tells then.
///
/// # Errors
/// When it was made with other arguments.
pub(super) fn whole(
    path: &Path,
    begin: &Begin,
    objects: &[SourceObject],
    outdated: &mut Extracted,
) -> Result<Option<Extracted>, ExtractError> {
    let read = manifest::read(path)?;
    if let Some(difference) = compare(&read.begin, begin) {
        return Err(ExtractError::OtherArguments { path: path.to_owned(), difference });
    }
    let mut extracted = Extracted { was_complete: true, ..Extracted::default() };
    let then: HashMap<&Text, &Object> =
        read.batches.iter().flat_map(|batch| &batch.objects).map(|object| (&object.object, object)).collect();
    let now = objects.iter().filter(|object| {
        then.get(&object.uri).is_none_or(|then| then.sha256.is_none() || !is_as_read(then, object))
    });
    outdated.changed = now.map(|object| object.uri.clone()).collect();
    for batch in &read.batches {
        for object in &batch.objects {
            object.add_to(&mut extracted);
        }
        extracted.resumed += batch.objects.len() as u64;
    }
    extracted.losses.sort_unstable();
    Ok(outdated.changed.is_empty().then_some(extracted))
}

/// Which argument differs.
fn compare(then: &Begin, now: &Begin) -> Option<String> {
    if then.sources != now.sources {
        return Some(format!("sources {} then, {} now", then.sources.join(" "), now.sources.join(" ")));
    }
    let numbers = [
        ("--record-bytes-max", then.record_bytes_max, now.record_bytes_max),
        ("--part-bytes", then.part_bytes, now.part_bytes),
    ];
    if let Some((name, then, now)) = numbers.into_iter().find(|(_, then, now)| then != now) {
        return Some(format!("{name} {then} then, {now} now"));
    }
    (then.tool != now.tool).then(|| format!("{} then, {} now", then.tool, now.tool))
}

/// The batches that need not be made again.
fn still_valid(
    target: &Target,
    batches: Vec<Concluded>,
    objects: &[SourceObject],
    extracted: &mut Extracted,
) -> Vec<Concluded> {
    let mut listed: HashMap<&Text, Vec<&SourceObject>> = HashMap::new();
    for object in objects {
        listed.entry(&object.uri).or_default().push(object);
    }
    let mut numbers = BTreeSet::new();
    let mut is_one_dropped = false;
    let mut valid = Vec::new();
    for batch in batches {
        let mut is_valid = true;
        let mut gone = Vec::new();
        for object in &batch.objects {
            match listed.get(&object.object) {
                None => gone.push(object.object.clone()),
                Some(listed) if !listed.iter().any(|listed| is_as_read(object, listed)) => {
                    is_valid = false;
                    extracted.changed.push(object.object.clone());
                }
                // It may be readable now.
                Some(_) if object.sha256.is_none() => {
                    is_valid = false;
                    extracted.retried.push(object.object.clone());
                }
                Some(_) => {}
            }
        }
        for part in &batch.parts {
            let as_written = part.bytes.zip(part.sha256.clone());
            if !numbers.insert(part.part)
                || as_written.is_none()
                || writer::stored(target, part.part) != as_written
            {
                is_valid = false;
                extracted.damaged.push(super::target::part_name(part.part));
            }
        }
        // A batch of no objects tells what the sources lack, which is found out anew.
        is_valid &= !batch.objects.is_empty();
        // Copies were left out for records that stood in what is dropped.
        is_valid &= !(is_one_dropped && batch.duplicates > 0);
        if is_valid {
            extracted.gone.extend(gone);
            valid.push(batch);
        } else {
            is_one_dropped = true;
        }
    }
    valid
}

fn is_as_read(read: &Object, listed: &SourceObject) -> bool {
    read.size == listed.size && read.revision == listed.revision()
}

/// A manifest of these batches, as an interrupted run would have left it.
fn rewritten(begin: &Begin, batches: &[Concluded]) -> Vec<u8> {
    let mut lines = super::first_line(begin);
    for (number, concluded) in (1..).zip(batches) {
        for part in &concluded.parts {
            manifest::write_line(&mut lines, &Line::Part(part.clone()));
        }
        for object in &concluded.objects {
            manifest::write_line(&mut lines, &Line::Object(object.clone()));
        }
        let batch = Batch::of(number, std::slice::from_ref(concluded));
        manifest::write_line(&mut lines, &Line::Batch(batch));
    }
    lines
}

/// The digests of the records that are in the extract already.
fn digests(
    target: &Target,
    parts: &BTreeSet<u32>,
    request: &Request<'_>,
) -> Result<HashSet<[u8; 16]>, ExtractError> {
    let objects: Vec<SourceObject> =
        parts.iter().map(|part| SourceObject::file(target.part(*part), None)).collect();
    let mut digests = HashSet::new();
    read_in_order(&objects, request.options, &Quiet, |_, step| {
        if let Step::Records(kept) = step {
            digests.extend(kept.records.iter().map(|record| record.digest));
        }
        Ok(())
    })?;
    Ok(digests)
}
