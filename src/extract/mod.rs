//! Extracts: the relevant records of an archive, written again as an archive that gives the same answers.
//!
//! Objects come in; a directory of CloudTrail `.json.gz` objects, or one file, goes out, with a manifest of
//! what was read. Records are written byte for byte as they were read. What is left out is counted and told
//! ([`crate::archive::ExtractPart`]), so that nothing is concluded from its absence. Parts appear whole; an interrupted
//! run can be resumed. The order of what is written never depends on the number of workers.

mod manifest;
#[cfg(feature = "parquet")]
mod parquet;
mod resume;
mod single_file;
mod target;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use self::manifest::Counts;
use self::manifest::{Begin, End, Line, Manifest};
use self::resume::Resumed;
use self::target::{Form, State, Target};
use self::writer::Writer;
use crate::archive::{Progress, ReadOptions};
use crate::event::{Loss, ObjectCounts, Text};
use crate::source::SourceObject;

/// What to extract, and where to.
#[derive(Debug)]
pub struct Request<'a> {
    /// What to read.
    pub objects: Vec<SourceObject>,
    /// The sources as the user named them: a run is resumed with the same ones only.
    pub sources: &'a [String],
    /// What narrowed them, as words of a command line; also to be the same.
    pub narrowing: &'a str,
    /// A directory, or a file that ends in `.json.gz` or `.parquet`.
    pub out: &'a Path,
    /// What to do with what is there already.
    pub existing: Existing,
    /// Text in one object of the extract, about.
    pub part_bytes: usize,
    /// How to read.
    pub options: &'a ReadOptions,
    /// Name and version of the program, for the manifest.
    pub tool: &'a str,
}

/// What to do with an extract that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to touch it.
    Refuse,
    /// Put the new one in its place.
    Overwrite,
    /// Go on where it was interrupted.
    Resume,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Objects of the source, those of earlier runs included.
    pub objects: ObjectCounts,
    /// Records of the source, those of earlier runs included.
    pub records: Counts,
    /// Everything that could not be read.
    pub losses: Vec<Loss>,
    /// Stored bytes written.
    pub bytes: u64,
    /// How many objects the extract has.
    pub parts: u32,
    /// Where the manifest is.
    pub manifest: PathBuf,
    /// Objects that were read by an earlier run and need not be read again.
    pub resumed: u64,
    /// Objects that have changed since an earlier run read them, and were read again.
    pub changed: Vec<Text>,
    /// Objects that an earlier run could not read to their last byte, and that were tried again.
    pub retried: Vec<Text>,
    /// Objects that are no more, and of which the extract holds what was read.
    pub gone: Vec<Text>,
    /// Parts of an earlier run that were missing or damaged, and were made again.
    pub damaged: Vec<String>,
    /// Whether there was nothing left to do.
    pub was_complete: bool,
}

/// Why there is no extract.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Something is at the target.
    #[error("{}: exists already; continue it with --resume, or overwrite it with --force", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// Something that is no extract is at the target.
    #[error("{}: is no extract and not empty; name a new directory", path.display())]
    NoExtract {
        /// The target.
        path: PathBuf,
    },
    /// The target's name does not say what to write.
    #[error("{}: name a directory{}", path.display(), if cfg!(feature = "parquet") { ", a file that ends in .json.gz, or one that ends in .parquet" } else { " or a file that ends in .json.gz; this keytrail was built without Parquet" })]
    Form {
        /// The target.
        path: PathBuf,
    },
    /// A device, a pipe or a socket is at the target.
    #[error("{}: is no regular file; an extract and its manifest are files: name another place", path.display())]
    NoFile {
        /// The target.
        path: PathBuf,
    },
    /// The extract would become part of what is read.
    #[error("{}: lies within the source {}; name a place outside", path.display(), source_path.display())]
    InsideSource {
        /// The target.
        path: PathBuf,
        /// The source.
        source_path: PathBuf,
    },
    /// The run to be resumed was another one.
    #[error("{}: was begun with other arguments ({difference}); use the same ones, or begin again with --force", path.display())]
    OtherArguments {
        /// The manifest.
        path: PathBuf,
        /// Which arguments, then and now.
        difference: String,
    },
    /// Standard input cannot be read a second time.
    #[error("standard input cannot be resumed: save it to a file first")]
    ResumesStandardInput,
    /// Another run is at work.
    #[error("{}: another run writes to it", path.display())]
    Busy {
        /// The manifest.
        path: PathBuf,
    },
    /// A manifest that this program did not write so.
    #[error("{}: line {line} is not of a manifest: {what}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A file of the extract cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the extract cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The parts changed while they were put together.
    #[error("{}: is not as it was written", path.display())]
    Damaged {
        /// The part.
        path: PathBuf,
    },
}

/// Says early, before anything is listed or read, that nothing can be written to `out`.
///
/// # Errors
/// As [`extract`] would.
pub fn check(out: &Path, existing: Existing) -> Result<(), ExtractError> {
    Target::of(out)?.state(existing).map(drop)
}

/// Extracts what matters.
///
/// # Errors
/// When the target is not usable or cannot be written. What cannot be read is a loss, and no error.
pub fn extract(request: Request<'_>, progress: &dyn Progress) -> Result<Extracted, ExtractError> {
    let target = Target::of(request.out)?;
    target.check_outside(request.sources)?;
    if request.existing == Existing::Resume && request.objects.iter().any(|object| &*object.uri == "-") {
        return Err(ExtractError::ResumesStandardInput);
    }
    let state = target.state(request.existing)?;
    let begin = begin(&request);
    let mut outdated = Extracted::default();
    if state == State::Complete {
        let whole = resume::whole(&target.manifest, &begin, &request.objects, &mut outdated)?;
        if let Some(whole) = whole {
            return Ok(Extracted { manifest: target.manifest, ..whole });
        }
    }
    let mut resumed = if state == State::Interrupted && request.existing == Existing::Resume {
        resume::resume(&target, &begin, &request.objects, request.options)?
    } else {
        if state == State::Interrupted {
            // Whoever writes to it must not lose it under way.
            Manifest::check_free(&target.working_manifest)?;
        }
        target.clear()?;
        let manifest = Manifest::create(&target.working_manifest, &first_line(&begin))?;
        Resumed::fresh(manifest, &begin, outdated)
    };
    // What is not read is let go of: a store that fetches ahead need not fetch it.
    let mut objects = request.objects;
    objects.retain(|object| !resumed.take_done(&object.uri));
    let extracted = std::mem::take(&mut resumed.extracted);
    let mut extracted =
        Writer::write(&target, resumed, extracted, &objects, request.part_bytes, request.options, progress)?;
    extracted.manifest.clone_from(&target.manifest);
    match target.form {
        Form::Directory => {}
        Form::Gzip => single_file::write_gzip(&target, request.options, &mut extracted)?,
        #[cfg(feature = "parquet")]
        Form::Parquet => parquet::write(&target, request.options, &mut extracted)?,
    }
    extracted.losses.sort_unstable();
    Ok(extracted)
}

fn begin(request: &Request<'_>) -> Begin {
    let mut hash = Sha256::new();
    for text in request.sources {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    for object in &request.objects {
        hash.update(object.uri.as_bytes());
        hash.update(object.size.unwrap_or(u64::MAX).to_le_bytes());
    }
    Begin {
        version: manifest::VERSION,
        tool: request.tool.to_owned(),
        extract: hexadecimal(&hash.finalize()[..8]),
        sources: request.sources.to_vec(),
        narrowing: request.narrowing.to_owned(),
        record_bytes_max: request.options.record_bytes_max as u64,
        part_bytes: request.part_bytes as u64,
    }
}

fn first_line(begin: &Begin) -> Vec<u8> {
    let mut line = Vec::new();
    manifest::write_line(&mut line, &Line::Begin(begin.clone()));
    line
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

/// The last line.
fn end(begin: &Begin, extracted: &Extracted) -> End {
    End {
        extract: begin.extract.clone(),
        parts: extracted.parts,
        objects: extracted.objects.read + extracted.objects.skipped + extracted.objects.failed,
        records: extracted.records,
    }
}
