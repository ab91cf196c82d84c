//! Shares the objects among workers.
//!
//! Each worker lives as long as the reading and keeps its buffers; it takes the largest object that is left,
//! so that no large one is begun last. What the workers found is put together in an order that does not
//! depend on who read what.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::object::{ObjectReader, WHOLE_BYTES_MAX};
use super::{Fate, Place, Progress, Quiet, ReadOptions, Reading, RecordSink};
use crate::event::{Coverage, Event, EventParser, ParseError, Parsed};
use crate::source::{SourceObject, reading_order};

/// Reads `objects`: their relevant events and what was covered.
pub fn read(objects: &[SourceObject], options: &ReadOptions, progress: &dyn Progress) -> Reading {
    let (sinks, coverage) = read_with(objects, options, progress, EventSink::default);
    let mut pieces: Vec<Piece> = sinks.into_iter().flat_map(|sink| sink.pieces).collect();
    pieces.sort_unstable_by_key(|piece| piece.object_index);
    let mut events = Vec::with_capacity(pieces.iter().map(|piece| piece.events.len()).sum());
    for piece in pieces {
        events.extend(piece.events);
    }
    Reading { events, coverage }
}

/// Reads `objects` into sinks, one per worker. A sink gets the records that can matter: all that a full parse
/// would keep, and some more. The losses are sorted.
pub fn read_with<S: RecordSink>(
    objects: &[SourceObject],
    options: &ReadOptions,
    progress: &dyn Progress,
    sink: impl Fn() -> S + Sync,
) -> (Vec<S>, Coverage) {
    progress.begin(objects.len() as u64, objects.iter().map(|object| object.size).sum());
    let order = reading_order(objects.iter().map(|object| object.size));
    // Large objects that are fewer than the workers leave some of them idle, unless each takes two threads.
    let large = objects.iter().filter(|object| object.size.is_none_or(|size| size > WHOLE_BYTES_MAX as u64));
    let is_pipelined = large.count() < options.jobs;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sink = sink();
        let mut reader = ObjectReader::new(options, progress, false).pipelined(is_pipelined);
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            reader.read(&objects[*index], *index, &mut sink);
        }
        (sink, reader.into_coverage())
    };
    let workers = options.jobs.clamp(1, objects.len().max(1));
    // One worker a thread for the whole reading: work split finer would make its buffers anew each time.
    let outcomes = match rayon::ThreadPoolBuilder::new().num_threads(workers).build() {
        Ok(pool) if workers > 1 => pool.broadcast(|_| work()),
        _ => vec![work()],
    };
    let mut coverage = Coverage::default();
    let mut sinks = Vec::with_capacity(outcomes.len());
    for (sink, covered) in outcomes {
        sinks.push(sink);
        coverage.merge(covered);
    }
    coverage.settle_extracts();
    coverage.losses.sort_unstable();
    (sinks, coverage)
}

/// Finds a record's bytes again, by its index in the object; `None` if they cannot be read any more.
#[must_use]
pub fn raw_record(object: &SourceObject, index: u64) -> Option<Vec<u8>> {
    let options = ReadOptions { jobs: 1, ..ReadOptions::default() };
    let mut finder = Finder { index, raw: None };
    ObjectReader::new(&options, &Quiet, true).read(object, 0, &mut finder);
    finder.raw
}

struct Finder {
    index: u64,
    raw: Option<Vec<u8>>,
}

impl RecordSink for Finder {
    fn record(&mut self, raw: &[u8], place: Place<'_>) -> Result<Fate, ParseError> {
        if place.record == self.index {
            self.raw = Some(raw.to_vec());
        }
        Ok(Fate::PassedOver)
    }
}

/// Parses records into events, kept by object.
#[derive(Default)]
struct EventSink {
    parser: EventParser,
    pieces: Vec<Piece>,
}

struct Piece {
    object_index: usize,
    events: Vec<Box<Event>>,
}

impl RecordSink for EventSink {
    fn record(&mut self, raw: &[u8], place: Place<'_>) -> Result<Fate, ParseError> {
        let event = match self.parser.parse(raw, place.origin())? {
            Parsed::Irrelevant => return Ok(Fate::PassedOver),
            Parsed::Relevant(event) => event,
        };
        match self.pieces.last_mut() {
            Some(piece) if piece.object_index == place.object_index => piece.events.push(event),
            _ => self.pieces.push(Piece { object_index: place.object_index, events: vec![event] }),
        }
        Ok(Fate::Selected)
    }
}
