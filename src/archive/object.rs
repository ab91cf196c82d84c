//! One object, from its bytes to its records.
//!
//! An opened source object comes in; its records go to the sink, its losses and counts into the coverage.
//! Small gzip objects are inflated as a whole, everything else passes through a window whose size depends on
//! the largest record, not on the object. Nothing about one object is ever fatal.

use std::io::{self, Cursor, Read};

use super::blocks::Backend;
use super::deflate::HISTORY_BYTES;
use super::framing::{Framing, ValueSink};
use super::inflate::{Compression, Fault, Inflater, WholeInflater};
#[cfg(feature = "parquet")]
use super::parquet;
use super::pipeline;
use super::select::Selector;
use super::tally::{Scopes, Tally};
use super::unwrap::Unwrapping;
use super::{Progress, ReadOptions, RecordSink};
use crate::event::{Coverage, LossKind};
use crate::source::SourceObject;

/// Objects up to this stored size are taken into memory as they are.
pub(super) const WHOLE_BYTES_MAX: usize = 4 << 20;
/// Text up to this size is inflated as a whole; beyond it, a cache holds the window but not the text.
const WHOLE_TEXT_BYTES_MAX: usize = 4 << 20;
/// Text inflated at a time where it is not taken as a whole.
const CHUNK_BYTES: usize = 256 << 10;
/// Read first of larger objects, to tell what they are.
const FIRST_BYTES: usize = 64 << 10;

/// Reads objects one after another; keeps its buffers.
pub(super) struct ObjectReader<'a> {
    options: &'a ReadOptions,
    progress: &'a dyn Progress,
    takes_all: bool,
    is_pipelined: bool,
    selector: Selector,
    framing: Framing,
    scopes: Scopes,
    coverage: Coverage,
    whole: WholeInflater,
    stored: Vec<u8>,
    window: Vec<u8>,
}

impl<'a> ObjectReader<'a> {
    /// With empty buffers. `takes_all`: the sink gets every record, not only those that can matter.
    pub(super) fn new(options: &'a ReadOptions, progress: &'a dyn Progress, takes_all: bool) -> Self {
        Self {
            options,
            progress,
            takes_all,
            is_pipelined: false,
            selector: Selector::new(),
            framing: Framing::new(Backend::detect(), options.record_bytes_max),
            scopes: Scopes::default(),
            coverage: Coverage::default(),
            whole: WholeInflater::new(),
            stored: Vec::new(),
            window: Vec::new(),
        }
    }

    /// Inflates what is not small on a thread of its own, ahead of the reading.
    pub(super) fn pipelined(mut self, is_pipelined: bool) -> Self {
        self.is_pipelined = is_pipelined;
        self
    }

    /// What was covered.
    pub(super) fn into_coverage(mut self) -> Coverage {
        self.scopes.settle(&mut self.coverage);
        self.coverage
    }

    /// What was covered since the last time.
    pub(super) fn take_coverage(&mut self) -> Coverage {
        self.scopes.settle(&mut self.coverage);
        std::mem::take(&mut self.coverage)
    }

    /// Reads one object to its end, or to its damage.
    pub(super) fn read(&mut self, object: &SourceObject, object_index: usize, sink: &mut impl RecordSink) {
        self.framing.reset();
        self.scopes.begin(false, &mut self.coverage);
        let mut tally = Tally::default();
        let fault = match object.open() {
            Err(error) => {
                Some(Fault { kind: LossKind::Unreadable, detail: format!("opening fails: {error}") })
            }
            Ok(input) => {
                let mut unwrapping = Unwrapping {
                    object: &object.uri,
                    object_index,
                    selector: &self.selector,
                    takes_all: self.takes_all,
                    sink,
                    scopes: &mut self.scopes,
                    coverage: &mut self.coverage,
                    tally,
                    nesting: 0,
                    record_bytes_max: self.options.record_bytes_max,
                };
                let feed = Feed {
                    framing: &mut self.framing,
                    unwrapping: &mut unwrapping,
                    offset: 0,
                    wanted: 1,
                    is_checked: false,
                };
                let mut bytes = Bytes {
                    feed,
                    whole: &mut self.whole,
                    stored: &mut self.stored,
                    window: &mut self.window,
                    is_pipelined: self.is_pipelined,
                };
                let input = Counted { input, progress: self.progress };
                let outcome = bytes.read(input, object.size);
                tally = unwrapping.tally;
                outcome.err()
            }
        };
        self.progress.records(tally.seen);
        self.progress.object_done();
        if let Some(fault) = fault {
            // An object that is no log is no loss, unless its bytes could not even be asked for.
            let is_loss = object.is_named_as_log || fault.kind == LossKind::Unreadable || tally.seen > 0;
            if is_loss {
                tally.fail(&object.uri, fault.kind, fault.detail);
            }
            let is_expected = is_loss && (object.is_named_as_log || fault.kind == LossKind::Unreadable);
            tally.settle(&object.uri, is_expected, &mut self.coverage);
            return;
        }
        tally.settle(&object.uri, object.is_named_as_log, &mut self.coverage);
    }
}

/// Reads the bytes of one object with the buffers of its reader.
struct Bytes<'b, V> {
    feed: Feed<'b, V>,
    whole: &'b mut WholeInflater,
    stored: &'b mut Vec<u8>,
    window: &'b mut Vec<u8>,
    is_pipelined: bool,
}

impl<V: ValueSink> Bytes<'_, V> {
    fn read(&mut self, mut input: impl Read + Send, size: Option<u64>) -> Result<(), Fault> {
        let is_small = size.is_some_and(|size| size <= WHOLE_BYTES_MAX as u64);
        // One byte more tells an object that has grown, or that is larger than its listing said.
        let first = if is_small { WHOLE_BYTES_MAX + 1 } else { FIRST_BYTES };
        let expected =
            size.map_or(first, |size| usize::try_from(size).unwrap_or(first).saturating_add(1)).max(4 << 10);
        let (length, failure) = read_first(&mut input, self.stored, expected, first);
        if length == 0 {
            return Err(match failure {
                Some(error) => Fault::of_input(&error),
                None => Fault { kind: LossKind::EmptyObject, detail: "the object is empty".to_owned() },
            });
        }
        let is_whole = failure.is_none() && length < first;
        #[cfg(feature = "parquet")]
        if self.stored[..length].starts_with(parquet::MAGIC) {
            let stored = std::mem::take(self.stored);
            let result = self.parquet(Cursor::new(&stored[..length]).chain(Rest { failure, input }));
            *self.stored = stored;
            return result;
        }
        let stored = &self.stored[..length];
        let compression = Compression::of(stored);
        if is_whole
            && compression == Compression::Gzip
            && let Some(text) = self.whole.inflate(stored, WHOLE_TEXT_BYTES_MAX)
        {
            return self.feed.take(text, None).map(drop);
        }
        if is_whole && compression == Compression::None {
            return self.feed.take(stored, None).map(drop);
        }
        let stored = std::mem::take(self.stored);
        let rest = Rest { failure, input };
        let result =
            Inflater::new(compression, Cursor::new(&stored[..length]).chain(rest)).and_then(|inflater| {
                if self.is_pipelined {
                    pipeline::inflate_ahead(inflater, self.window, &mut self.feed)
                } else {
                    self.pass_through_window(inflater)
                }
            });
        *self.stored = stored;
        result
    }

    /// An extract in a Parquet file.
    #[cfg(feature = "parquet")]
    fn parquet(&mut self, input: impl Read) -> Result<(), Fault> {
        let unreadable = |error| Fault::of_input(&error);
        match parquet::ParquetText::new(input).map_err(unreadable)? {
            Some(text) => self.pass_through_window(Inflater::Plain(text)),
            None => Err(Fault {
                kind: LossKind::NotARecord,
                detail: "a Parquet file that is no extract of keytrail".to_owned(),
            }),
        }
    }

    /// Inflates piece by piece. A fault is told after everything before it was read.
    fn pass_through_window<R: Read>(&mut self, mut inflater: Inflater<R>) -> Result<(), Fault> {
        // In the window: text kept as history only, text not read yet (from `start`), free space (from `end`).
        let (mut start, mut end) = (0, 0);
        loop {
            if self.window.len() - end < CHUNK_BYTES {
                let keep_from = start.min(end.saturating_sub(HISTORY_BYTES));
                self.window.copy_within(keep_from..end, 0);
                (start, end) = (start - keep_from, end - keep_from);
                let needed = end + CHUNK_BYTES;
                if self.window.len() < needed {
                    self.window.resize(needed.max(2 * CHUNK_BYTES), 0);
                }
            }
            let limit = self.window.len().min(end + CHUNK_BYTES);
            let before = end;
            let fault = match inflater.inflate(&mut self.window[..limit], end) {
                Ok(end_of_text) => {
                    end = end_of_text;
                    None
                }
                Err(fault) => Some(fault),
            };
            if end > before {
                start += self.feed.take_piece(&self.window[start..end])?;
            } else {
                return self.feed.take(&self.window[start..end], fault).map(drop);
            }
        }
    }
}

/// Reads up to `limit` bytes into `buffer`, of which `expected` are likely; gives how many came, and the error that
/// ended them. The buffer only grows, and is not cleared: nothing is written to it but what is read.
fn read_first(
    input: &mut impl Read,
    buffer: &mut Vec<u8>,
    expected: usize,
    limit: usize,
) -> (usize, Option<io::Error>) {
    let mut length = 0;
    let mut wanted = expected.min(limit);
    while length < limit {
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        let end = buffer.len().min(limit);
        match input.read(&mut buffer[length..end]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(error)),
        }
        if length == end {
            wanted = end.saturating_mul(2).min(limit);
        }
    }
    (length, None)
}

/// Hands inflated text on to the framing.
pub(super) struct Feed<'b, V> {
    framing: &'b mut Framing,
    unwrapping: &'b mut V,
    offset: u64,
    /// Text that the framing wants to see at once, at least.
    wanted: usize,
    is_checked: bool,
}

impl<V: ValueSink> Feed<'_, V> {
    /// Takes text that is not the last; gives how much of it need not be shown again.
    pub(super) fn take_piece(&mut self, text: &[u8]) -> Result<usize, Fault> {
        if text.len() < self.wanted {
            return Ok(0);
        }
        self.check(text, false)?;
        Ok(self.advance(text, false))
    }

    /// Takes the last text, and what stopped the inflating, if anything did.
    pub(super) fn take(&mut self, text: &[u8], fault: Option<Fault>) -> Result<usize, Fault> {
        if let Err(no_log) = self.check(text, true) {
            return Err(fault.unwrap_or(no_log));
        }
        let consumed = self.advance(text, true);
        fault.map_or(Ok(consumed), Err)
    }

    fn check(&mut self, text: &[u8], is_last: bool) -> Result<(), Fault> {
        if !self.is_checked {
            check_is_log(text, is_last)?;
            self.is_checked = !matches!(text.trim_ascii_start(), [] | [b'"']);
        }
        Ok(())
    }

    fn advance(&mut self, text: &[u8], is_last: bool) -> usize {
        let advance = self.framing.advance(text, self.offset, is_last, self.unwrapping);
        self.offset += advance.consumed as u64;
        self.wanted = advance.wanted;
        advance.consumed
    }
}

/// What follows the bytes read first: more bytes, or the error that reading them ended with.
struct Rest<R> {
    failure: Option<io::Error>,
    input: R,
}

impl<R: Read> Read for Rest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => self.input.read(buffer),
        }
    }
}

/// Whether text can hold records at all: it must begin as JSON does, or as an exported line of CloudWatch
/// Logs does.
fn check_is_log(text: &[u8], is_whole: bool) -> Result<(), Fault> {
    let fault = |kind, detail: &str| Err(Fault { kind, detail: detail.to_owned() });
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return fault(LossKind::InvalidUtf8, "UTF-16 text; only UTF-8 is read");
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.trim_ascii_start() {
        // A string is a record only if it holds an object.
        [b'{' | b'[' | b'0'..=b'9' | 0x1e, ..] | [b'"', b'{', ..] => Ok(()),
        [] if is_whole => fault(LossKind::EmptyObject, "the object holds nothing but white space"),
        [] | [b'"'] => Ok(()),
        _ => fault(LossKind::InvalidJson, "the text does not begin as JSON does"),
    }
}

/// Tells the progress of every byte read.
struct Counted<'p, R> {
    input: R,
    progress: &'p dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.progress.consumed(length as u64);
        Ok(length)
    }
}
