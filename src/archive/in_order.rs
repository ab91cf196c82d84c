//! Reads objects with several workers and hands on what matters in the order of the objects.
//!
//! For who writes records again: objects come in; their relevant records come out as bytes, object after
//! object, each followed by what was covered of it and the hash of its stored bytes. Memory is bounded: a
//! worker that is ahead waits.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::object::{ObjectReader, WHOLE_BYTES_MAX};
use super::{Fate, Place, Progress, ReadOptions, RecordSink};
use crate::event::{Coverage, EventParser, ParseError, Parsed, Text};
use crate::source::{Fetch, SourceObject};

/// Records are handed on when they are this many bytes together.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces of one object that wait at most.
const PIECES_WAITING_MAX: usize = 4;
/// Objects that are read or wait, for each worker.
const OBJECTS_AHEAD: usize = 8;

/// Relevant records of one object, in their order.
#[derive(Debug, Default)]
pub struct Kept {
    /// Their bytes, one after the other.
    pub bytes: Vec<u8>,
    /// Each of them.
    pub records: Vec<KeptRecord>,
}

/// One relevant record.
#[derive(Debug)]
pub struct KeptRecord {
    /// Where it ends in the bytes; it begins where the one before it ends.
    pub end: usize,
    /// Its index in the object, from 0.
    pub index: u64,
    /// The first half of the SHA-256 of its bytes: exact copies have the same.
    pub digest: [u8; 16],
    /// Unix second.
    pub second: i64,
    /// Account and region, as the coverage knows them.
    pub scope: (Text, Text),
}

/// One object, read.
#[derive(Debug)]
pub struct ObjectRead {
    /// What was covered of it; `selected` counts exact copies too.
    pub coverage: Coverage,
    /// SHA-256 of its stored bytes and their number, where all of them could be read.
    pub stored: Option<([u8; 32], u64)>,
    /// The object's revision as it was when it was opened.
    pub revision: Option<String>,
}

/// What comes of an object: any number of `Records`, then one `Over`.
#[derive(Debug)]
pub enum Step {
    /// Some of its records.
    Records(Kept),
    /// It is over.
    Over(Box<ObjectRead>),
}

/// Reads `objects`, and gives `take` the index of an object and what comes of it, in order. What extracts among the
/// objects lack is a loss of the whole, given at the end.
///
/// # Errors
/// The first error of `take`, which ends the reading.
pub fn read_in_order<E>(
    objects: &[SourceObject],
    options: &ReadOptions,
    progress: &dyn Progress,
    mut take: impl FnMut(usize, Step) -> Result<(), E>,
) -> Result<(), E> {
    progress.begin(objects.len() as u64, objects.iter().map(|object| object.size).sum());
    let workers = options.jobs.clamp(1, objects.len().max(1));
    let large = objects.iter().filter(|object| object.size.is_none_or(|size| size > WHOLE_BYTES_MAX as u64));
    let is_pipelined = large.count() < options.jobs;
    let (announce, announced) = sync_channel(workers * OBJECTS_AHEAD);
    // Who takes an object announces it while it holds the lock: so objects are announced in their order.
    let next = Mutex::new((0, announce));
    let is_over = Arc::new(AtomicBool::new(false));
    let work = || {
        let mut reader = ObjectReader::new(options, progress, false).pipelined(is_pipelined);
        let mut parser = EventParser::default();
        while let Some((index, pieces)) = take_object(&next, objects.len()) {
            let mut sink = Keeper { kept: Kept::default(), pieces, parser, is_over: &is_over };
            let whole = Arc::new(Hashing::new(&objects[index], &is_over));
            let mut object = SourceObject::remote(&whole.object.uri, whole.object.size, whole.clone());
            object.is_named_as_log = whole.object.is_named_as_log;
            reader.read(&object, index, &mut sink);
            sink.flush();
            let Outcome { stored, revision } = whole.outcome();
            let over = ObjectRead { coverage: reader.take_coverage(), stored, revision };
            // Who does not listen any more has an error to tell.
            let _ = sink.pieces.send(Step::Over(Box::new(over)));
            parser = sink.parser;
            if is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
        let outcome = (0..objects.len()).try_for_each(|index| {
            let Ok(pieces): Result<Receiver<Step>, _> = announced.recv() else { return Ok(()) };
            pieces.into_iter().try_for_each(|step| take(index, step))
        });
        // Workers that wait to announce or to send find nobody listening.
        is_over.store(true, Ordering::Relaxed);
        drop(announced);
        outcome
    })
}

type Announce = SyncSender<Receiver<Step>>;

fn take_object(next: &Mutex<(usize, Announce)>, count: usize) -> Option<(usize, SyncSender<Step>)> {
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    let index = next.0;
    if index == count {
        return None;
    }
    let (pieces, received) = sync_channel(PIECES_WAITING_MAX);
    next.1.send(received).ok()?;
    next.0 += 1;
    Some((index, pieces))
}

/// Keeps relevant records, and sends them on in pieces.
struct Keeper<'a> {
    kept: Kept,
    pieces: SyncSender<Step>,
    parser: EventParser,
    is_over: &'a AtomicBool,
}

impl Keeper<'_> {
    fn flush(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if !kept.records.is_empty() && self.pieces.send(Step::Records(kept)).is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }
}

impl RecordSink for Keeper<'_> {
    fn record(&mut self, raw: &[u8], place: Place<'_>) -> Result<Fate, ParseError> {
        let event = match self.parser.parse(raw, place.origin())? {
            Parsed::Irrelevant => return Ok(Fate::PassedOver),
            Parsed::Relevant(event) => event,
        };
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(raw)[..16]);
        self.kept.bytes.extend_from_slice(raw);
        self.kept.records.push(KeptRecord {
            end: self.kept.bytes.len(),
            index: place.record,
            digest,
            second: event.time.second(),
            scope: (event.account_id, event.region),
        });
        if self.kept.bytes.len() >= PIECE_BYTES {
            self.flush();
        }
        Ok(Fate::Selected)
    }
}

/// An object whose stored bytes are hashed while they are read, all of them: the reader stops where it
/// finds no log, or damage.
struct Hashing {
    object: SourceObject,
    outcome: Arc<Mutex<Outcome>>,
    is_over: Arc<AtomicBool>,
}

/// What is known of an object's stored bytes.
#[derive(Default)]
struct Outcome {
    stored: Option<([u8; 32], u64)>,
    revision: Option<String>,
}

impl Hashing {
    fn new(object: &SourceObject, is_over: &Arc<AtomicBool>) -> Self {
        Self { object: object.clone(), outcome: Arc::default(), is_over: is_over.clone() }
    }

    fn outcome(&self) -> Outcome {
        std::mem::take(&mut *self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fetch for Hashing {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        // Asked before the first byte is read: a change while reading shows as another revision later.
        let revision = self.object.revision();
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).revision = revision;
        Ok(Box::new(HashingRead {
            input: self.object.open()?,
            hash: Sha256::new(),
            bytes: 0,
            is_whole: true,
            outcome: self.outcome.clone(),
            is_over: self.is_over.clone(),
        }))
    }
}

struct HashingRead {
    input: Box<dyn Read + Send>,
    hash: Sha256,
    bytes: u64,
    is_whole: bool,
    outcome: Arc<Mutex<Outcome>>,
    is_over: Arc<AtomicBool>,
}

impl Read for HashingRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over.load(Ordering::Relaxed) {
            self.is_whole = false;
            return Err(io::Error::other("the reading was ended"));
        }
        match self.input.read(buffer) {
            Ok(length) => {
                self.hash.update(&buffer[..length]);
                self.bytes += length as u64;
                Ok(length)
            }
            Err(error) => {
                self.is_whole &= error.kind() == io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }
}

impl Drop for HashingRead {
    fn drop(&mut self) {
        // What the reader had no use for is part of the object all the same.
        if self.is_whole && io::copy(self, &mut io::sink()).is_ok() {
            let hash = std::mem::take(&mut self.hash).finalize().into();
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.stored = Some((hash, self.bytes));
        }
    }
}
