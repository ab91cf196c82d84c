//! From objects to records: inflates them, splits them into records, selects those that can matter, and
//! accounts for every one.
//!
//! [`SourceObject`](crate::source::SourceObject)s come in; [`Event`]s and a [`Coverage`] go out, the same for
//! any number of workers and any order of objects. Memory is bounded by the workers and the largest record, never by the size of an
//! object. What cannot be read becomes a [`Loss`](crate::event::Loss), never an error, and never silence. An
//! object's name decides nothing but whether it is a loss that no log is in it.

mod blocks;
mod deflate;
mod framing;
mod in_order;
mod inflate;
mod left_out;
mod object;
#[cfg(feature = "parquet")]
mod parquet;
mod pipeline;
mod scan;
mod select;
mod structure;
mod tally;
mod unwrap;
mod workers;

#[cfg(test)]
mod tests;

pub use in_order::{Kept, KeptRecord, ObjectRead, Step, read_in_order};
pub use left_out::{EXTRACT_MEMBER, ExtractPart, elements as left_out_elements};
#[cfg(feature = "parquet")]
pub use parquet::{PARQUET_METADATA_KEY, PARQUET_RECORD_COLUMN};
pub use workers::{raw_record, read, read_with};

use crate::event::{Coverage, Event, Origin, ParseError, Text};

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Workers.
    pub jobs: usize,
    /// Records larger than this are lost; bounds the memory of a worker to a small multiple of it.
    pub record_bytes_max: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            // CloudTrail's own limit is 256 KB, or 1 MB in event data stores.
            record_bytes_max: 16 << 20,
        }
    }
}

/// What reading gave.
#[derive(Debug, Default)]
pub struct Reading {
    /// The events that matter, in the order of the objects and of the records in them, copies included.
    pub events: Vec<Box<Event>>,
    /// What was read. `selected` counts every event, copies too.
    pub coverage: Coverage,
}

/// Is told how far the reading has come, from any worker at any time.
pub trait Progress: Sync {
    /// Before the first object is opened: how many there are, and their stored bytes where all are known.
    fn begin(&self, _objects: u64, _bytes: Option<u64>) {}
    /// So many more stored bytes were read.
    fn consumed(&self, _bytes: u64) {}
    /// So many more records were seen.
    fn records(&self, _count: u64) {}
    /// One more object is over.
    fn object_done(&self) {}
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {}

/// Takes the records that can matter, in one worker.
pub trait RecordSink: Send {
    /// Takes one record.
    ///
    /// # Errors
    /// When it is no record, or not a complete one; it counts as lost then.
    fn record(&mut self, raw: &[u8], place: Place<'_>) -> Result<Fate, ParseError>;
}

/// What a sink made of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is evidence.
    Selected,
    /// It is of no use.
    PassedOver,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The object's URI or path.
    pub object: &'a Text,
    /// The object's place in the list of objects.
    pub object_index: usize,
    /// Index of the record in the object, from 0.
    pub record: u64,
}

impl Place<'_> {
    /// As an event keeps it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { object: self.object.clone(), record: self.record }
    }
}
