//! One object, from its bytes to its records.
//!
//! An opened source object comes in; its records go to the sink, its losses and counts into the coverage.
//! Small gzip objects are inflated as a whole, everything else passes through a window whose size depends on
//! the largest record, not on the object. Nothing about one object is ever fatal.

use std::io::{Cursor, Read};

use super::blocks::Backend;
use super::deflate::HISTORY_BYTES;
use super::framing::{Framing, ValueSink};
use super::inflate::{Compression, Fault, Inflater, WholeInflater};
use super::select::Selector;
use super::tally::{Scopes, Tally};
use super::unwrap::Unwrapping;
use super::{Progress, ReadOptions, RecordSink};
use crate::event::{Coverage, LossKind};
use crate::source::SourceObject;

/// Objects up to this stored size are taken into memory as they are.
const WHOLE_BYTES_MAX: usize = 8 << 20;
/// Text up to this size is inflated as a whole.
const WHOLE_TEXT_BYTES_MAX: usize = 64 << 20;
/// Text inflated at a time where it is not taken as a whole.
const CHUNK_BYTES: usize = 256 << 10;
const INPUT_BYTES: usize = 128 << 10;

/// Reads objects one after another; keeps its buffers.
pub(super) struct ObjectReader<'a> {
    options: &'a ReadOptions,
    progress: &'a dyn Progress,
    takes_all: bool,
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
            selector: Selector::new(),
            framing: Framing::new(Backend::detect(), options.record_bytes_max),
            scopes: Scopes::default(),
            coverage: Coverage::default(),
            whole: WholeInflater::new(),
            stored: Vec::new(),
            window: Vec::new(),
        }
    }

    /// What was covered.
    pub(super) fn into_coverage(mut self) -> Coverage {
        self.scopes.settle(&mut self.coverage);
        self.coverage
    }

    /// Reads one object to its end, or to its damage.
    pub(super) fn read(&mut self, object: &SourceObject, object_index: usize, sink: &mut impl RecordSink) {
        self.framing.reset();
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
                let mut bytes = Bytes {
                    framing: &mut self.framing,
                    whole: &mut self.whole,
                    stored: &mut self.stored,
                    window: &mut self.window,
                    unwrapping: &mut unwrapping,
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
    framing: &'b mut Framing,
    whole: &'b mut WholeInflater,
    stored: &'b mut Vec<u8>,
    window: &'b mut Vec<u8>,
    unwrapping: &'b mut V,
}

impl<V: ValueSink> Bytes<'_, V> {
    fn read(&mut self, mut input: impl Read, size: Option<u64>) -> Result<(), Fault> {
        self.stored.clear();
        let is_small = size.is_some_and(|size| size <= WHOLE_BYTES_MAX as u64);
        // One byte more tells an object that has grown, or that is larger than its listing said.
        let first = if is_small { WHOLE_BYTES_MAX + 1 } else { INPUT_BYTES };
        let unreadable = |error: std::io::Error| Fault {
            kind: LossKind::Unreadable,
            detail: format!("reading fails: {error}"),
        };
        input.by_ref().take(first as u64).read_to_end(self.stored).map_err(unreadable)?;
        if self.stored.is_empty() {
            return Err(Fault { kind: LossKind::EmptyObject, detail: "the object is empty".to_owned() });
        }
        let is_whole = self.stored.len() < first;
        let compression = Compression::of(self.stored);
        if is_whole
            && compression == Compression::Gzip
            && let Some(text) = self.whole.inflate(self.stored, WHOLE_TEXT_BYTES_MAX)
        {
            check_is_log(text, true)?;
            self.framing.advance(text, 0, true, self.unwrapping);
            return Ok(());
        }
        if is_whole && compression == Compression::None {
            check_is_log(self.stored, true)?;
            self.framing.advance(self.stored, 0, true, self.unwrapping);
            return Ok(());
        }
        let stored = std::mem::take(self.stored);
        let result = {
            let inflater = Inflater::new(compression, Cursor::new(&stored[..]).chain(input))?;
            self.pass_through_window(inflater)
        };
        *self.stored = stored;
        result
    }

    /// Inflates piece by piece. A fault is told after everything before it was read.
    fn pass_through_window<R: Read>(&mut self, mut inflater: Inflater<R>) -> Result<(), Fault> {
        // In the window: text kept as history only, text not read yet (from `start`), free space (from `end`).
        let (mut start, mut end, mut offset) = (0, 0, 0u64);
        let mut wanted = 1;
        let mut is_checked = false;
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
            let outcome = inflater.inflate(&mut self.window[..limit], end);
            let (written, fault) = match outcome {
                Ok(end_of_text) => (end_of_text - end, None),
                Err(fault) => (0, Some(fault)),
            };
            end += written;
            let is_last = written == 0;
            let text = &self.window[start..end];
            if !is_last && text.len() < wanted {
                continue;
            }
            if !is_checked {
                if let Err(no_log) = check_is_log(text, is_last) {
                    return Err(fault.unwrap_or(no_log));
                }
                is_checked = !text.trim_ascii_start().is_empty();
            }
            let advance = self.framing.advance(text, offset, is_last, self.unwrapping);
            start += advance.consumed;
            offset += advance.consumed as u64;
            wanted = advance.wanted;
            if is_last {
                return fault.map_or(Ok(()), Err);
            }
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
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[' | b'0'..=b'9' | 0x1e) => Ok(()),
        None if is_whole => fault(LossKind::EmptyObject, "the object holds nothing but white space"),
        None => Ok(()),
        Some(_) => fault(LossKind::InvalidJson, "the text does not begin as JSON does"),
    }
}

/// Tells the progress of every byte read.
struct Counted<'p, R> {
    input: R,
    progress: &'p dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.progress.consumed(length as u64);
        Ok(length)
    }
}
