//! The manifest of an extract: what was read, with hashes, and where what was kept of it stands.
//!
//! JSON lines. The first says what was asked for; then come batches, each of the lines of its parts and its
//! objects and one that concludes it; the last says that the extract is whole. A batch counts once its concluding line
//! is on disk, and what follows the last such line is of an interrupted run. The text may be anybody's: names of
//! files are never taken from it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ExtractError;
use crate::event::{ExtractParts, LossKind, ObjectCounts, Text};

/// Version of the form.
pub(super) const VERSION: u32 = 1;
/// How the names of files begin that are not whole yet.
pub(super) const TEMPORARY_PREFIX: &str = ".keytrail-extract-";
/// A longer line is none of ours.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "keytrailManifest", rename_all = "lowercase")]
pub(super) enum Line {
    Begin(Begin),
    Part(Part),
    Object(Object),
    Batch(Batch),
    End(End),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub version: u32,
    pub tool: String,
    /// Made from the arguments and the listing.
    pub extract: String,
    pub sources: Vec<String>,
    /// What narrowed the sources, as words of a command line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub narrowing: String,
    pub record_bytes_max: u64,
    pub part_bytes: u64,
}

/// An object of the extract.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub part: u32,
    /// Relative to the manifest.
    pub name: String,
    /// Stored size; none where the line tells a piece of one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of the stored bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    pub records: u64,
    pub origins: Vec<Origins>,
}

/// Where records of a part were read, in their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Origins {
    pub object: Text,
    /// Their indices in the object.
    pub records: Vec<u64>,
}

/// An object of the source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Object {
    pub object: Text,
    /// Stored size as listed.
    pub size: Option<u64>,
    pub revision: Option<String>,
    /// Stored bytes read, and their SHA-256; `null` where they could not all be read.
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    pub objects: ObjectCounts,
    pub records: Counts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<ObjectLoss>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extracts: BTreeMap<Text, ExtractParts>,
}

/// What became of the records of one or more objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read: the sum of the others.
    pub read: u64,
    /// Written to the extract.
    pub kept: u64,
    /// Of no use for the question.
    pub passed_over: u64,
    /// Exact copies of kept records.
    pub duplicate: u64,
    /// Not readable.
    pub lost: u64,
}

impl Counts {
    /// Adds other records.
    pub(super) fn add(&mut self, other: Self) {
        for (own, others) in [
            (&mut self.read, other.read),
            (&mut self.kept, other.kept),
            (&mut self.passed_over, other.passed_over),
            (&mut self.duplicate, other.duplicate),
            (&mut self.lost, other.lost),
        ] {
            *own = own.saturating_add(others);
        }
    }

    /// Whether every record read has exactly one fate.
    #[must_use]
    pub fn balance(&self) -> bool {
        let fates = [self.kept, self.passed_over, self.duplicate, self.lost];
        fates.into_iter().try_fold(0u64, u64::checked_add) == Some(self.read)
    }
}

/// A loss in an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectLoss {
    /// Where an extract tells it of another object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Text>,
    pub record: Option<u64>,
    pub kind: LossKind,
    pub detail: String,
}

/// Concludes a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    pub batch: u32,
    pub parts: u32,
    pub objects: u64,
    /// Copies left out, of records in this batch and the ones before.
    pub duplicates: u64,
}

impl Batch {
    /// Concludes what was concluded in several.
    pub(super) fn of(batch: u32, concluded: &[Concluded]) -> Self {
        let parts: usize = concluded.iter().map(|concluded| concluded.parts.len()).sum();
        let objects: usize = concluded.iter().map(|concluded| concluded.objects.len()).sum();
        Self {
            batch,
            parts: u32::try_from(parts).unwrap_or(u32::MAX),
            objects: objects as u64,
            duplicates: concluded.iter().fold(0, |sum, concluded| sum.saturating_add(concluded.duplicates)),
        }
    }
}

/// The extract is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub extract: String,
    /// How many parts there are.
    pub parts: u32,
    pub objects: u64,
    pub records: Counts,
}

/// A batch, as read.
#[derive(Debug, Default)]
pub(super) struct Concluded {
    pub parts: Vec<Part>,
    pub objects: Vec<Object>,
    pub duplicates: u64,
}

/// A manifest, as read.
#[derive(Debug)]
pub(super) struct Read {
    pub begin: Begin,
    pub batches: Vec<Concluded>,
    pub is_ended: bool,
    /// Up to where it counts.
    pub bytes: u64,
}

/// Where the manifest of a directory is.
pub(super) fn path_in(directory: &Path) -> PathBuf {
    directory.join("manifest.jsonl")
}

/// Reads a manifest. What an interrupted run left behind its last batch is passed over.
pub(super) fn read(path: &Path) -> Result<Read, ExtractError> {
    let failed = |source| ExtractError::Read { path: path.to_owned(), source };
    let invalid = |line: u64, what: String| ExtractError::Manifest { path: path.to_owned(), line, what };
    let mut input = BufReader::new(File::open(path).map_err(failed)?);
    let (mut offset, mut number) = (0, 0);
    let mut text = Vec::new();
    let mut begin = None;
    let mut batches = Vec::new();
    let mut batch = Concluded::default();
    let (mut is_ended, mut bytes) = (false, 0);
    loop {
        text.clear();
        let length =
            io::Read::take(&mut input, LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(failed)?;
        number += 1;
        if text.last() != Some(&b'\n') {
            if length as u64 == LINE_BYTES_MAX {
                return Err(invalid(number, "the line is too long".to_owned()));
            }
            break;
        }
        offset += length as u64;
        let line: Line = match serde_json::from_slice(&text) {
            Ok(line) => line,
            Err(error) => return Err(invalid(number, error.to_string())),
        };
        match (line, &begin) {
            (Line::Begin(first), None) => {
                if first.version != VERSION {
                    return Err(invalid(number, format!("version {} is not known", first.version)));
                }
                begin = Some(first);
                bytes = offset;
            }
            (Line::Begin(_), Some(_)) | (_, None) => {
                return Err(invalid(number, "a manifest begins with one line `begin`".to_owned()));
            }
            _ if is_ended => return Err(invalid(number, "nothing follows the line `end`".to_owned())),
            (Line::Part(part), _) => batch.parts.push(part),
            (Line::Object(object), _) => batch.objects.push(object),
            (Line::Batch(concluded), _) => {
                batch.duplicates = concluded.duplicates;
                batches.push(std::mem::take(&mut batch));
                bytes = offset;
            }
            (Line::End(_), _) => {
                is_ended = true;
                bytes = offset;
            }
        }
    }
    let begin = begin.ok_or_else(|| invalid(1, "there is no line `begin`".to_owned()))?;
    Ok(Read { begin, batches, is_ended, bytes })
}

/// A line as it is written.
pub(super) fn write_line(out: &mut Vec<u8>, line: &Line) {
    serde_json::to_writer(&mut *out, line).expect("texts and numbers can be written as JSON");
    out.push(b'\n');
}

/// A manifest that is written, and locked as long as it is.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    file: File,
}

impl Manifest {
    /// Begins a manifest with `lines`, in place of any that is there. It appears whole.
    pub(super) fn create(path: &Path, lines: &[u8]) -> Result<Self, ExtractError> {
        write_whole(path, lines)?;
        Self::open(path, lines.len() as u64)
    }

    /// Goes on behind `bytes` bytes of a manifest.
    pub(super) fn open(path: &Path, bytes: u64) -> Result<Self, ExtractError> {
        let failed = |source| ExtractError::Write { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        lock(&file, path)?;
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0)).map(drop)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Says if another run writes to a manifest.
    pub(super) fn check_free(path: &Path) -> Result<(), ExtractError> {
        let file = File::open(path).map_err(|source| ExtractError::Read { path: path.to_owned(), source })?;
        lock(&file, path)
    }

    /// Adds lines; they are on disk when this returns.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), ExtractError> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        written.map_err(|source| ExtractError::Write { path: self.path.clone(), source })
    }
}

fn lock(file: &File, path: &Path) -> Result<(), ExtractError> {
    match file.try_lock() {
        // Not every file system can lock: then nobody else is known of.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(ExtractError::Busy { path: path.to_owned() }),
    }
}

/// Writes a file that appears whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ExtractError> {
    let failed = |source| ExtractError::Write { path: path.to_owned(), source };
    let mut file = new_beside(path)?;
    file.as_file_mut().write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    persist(file, path)
}

/// A temporary file that is to become `path`.
pub(super) fn new_beside(path: &Path) -> Result<tempfile::NamedTempFile, ExtractError> {
    let file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(directory_of(path));
    // What was made for a while is of no interest: the path that was asked for is told.
    let file =
        file.map_err(|error| ExtractError::Write { path: path.to_owned(), source: error.kind().into() })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are private; if that stays so, it does no harm.
        let _ = file.as_file().set_permissions(fs::Permissions::from_mode(0o644));
    }
    Ok(file)
}

/// Puts a written file in its place; both are on disk when this returns.
pub(super) fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), ExtractError> {
    let failed = |source| ExtractError::Write { path: path.to_owned(), source };
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_directory(directory_of(path)).map_err(failed)
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Has the names in a directory written to disk.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}
