//! From the values of an object to its records: takes wrappers off, decides, hands records on.
//!
//! Objects come in from the framing, records go out to a [`RecordSink`]; every value seen ends up with exactly
//! one fate in the object's tally. The names of objects decide nothing here.

use super::blocks::Backend;
use super::framing::{Framing, ValueSink, container_member};
use super::left_out;
use super::scan::Scanned;
use super::select::{Header, Selector, Shape};
use super::structure::{Extent, decode_string, extent, skip_whitespace};
use super::tally::{Scopes, Tally};
use super::{Fate, Place, RecordSink};
use crate::event::{Coverage, LossKind, ParseError, Text};

/// Wrappers inside wrappers, beyond which nothing is unwrapped.
const NESTING_MAX: u32 = 4;

/// Reads the values of one object.
pub(super) struct Unwrapping<'a, S> {
    pub object: &'a Text,
    pub object_index: usize,
    pub selector: &'a Selector,
    /// Whether the sink gets every record, not only those that can matter.
    pub takes_all: bool,
    pub sink: &'a mut S,
    pub scopes: &'a mut Scopes,
    pub coverage: &'a mut Coverage,
    pub tally: Tally,
    pub nesting: u32,
    pub record_bytes_max: usize,
}

impl<S: RecordSink> Unwrapping<'_, S> {
    fn lose(&mut self, kind: LossKind, offset: u64, detail: &str) {
        self.tally.seen += 1;
        self.tally.lose(self.object, kind, at_byte(detail, offset));
    }

    fn record(&mut self, raw: &[u8], offset: u64, is_kept: bool, header: &Header<'_>) {
        self.tally.seen += 1;
        if !is_kept && !self.takes_all {
            self.tally.passed_over += 1;
            self.scopes.note(header, self.coverage);
            return;
        }
        let place =
            Place { object: self.object, object_index: self.object_index, record: self.tally.seen - 1 };
        let fate = match self.sink.record(raw, place) {
            Ok(fate) => fate,
            Err(error) => {
                let kind = loss_kind(&error);
                self.tally.lose(self.object, kind, at_byte(&error.to_string(), offset));
                return;
            }
        };
        match fate {
            Fate::Selected => self.tally.selected += 1,
            Fate::PassedOver => self.tally.passed_over += 1,
        }
        self.scopes.note(header, self.coverage);
    }

    /// An object that is no record in CloudTrail's own layout.
    fn unusual(&mut self, object: &[u8], offset: u64) {
        if std::str::from_utf8(object).is_err() {
            if !self.container_of(object, offset) {
                self.lose(LossKind::InvalidUtf8, offset, "bytes that are no UTF-8");
            }
            return;
        }
        match extent(object, 0) {
            Extent::Complete(_) => {}
            Extent::Incomplete => {
                return self.lose(LossKind::InvalidJson, offset, "the record ends inside a value");
            }
            Extent::Invalid(error) => {
                if !self.container_of(object, offset) {
                    let detail = format!("no JSON from byte {} on", offset + error as u64);
                    self.lose(LossKind::InvalidJson, offset, &detail);
                }
                return;
            }
        }
        match Shape::of(object) {
            Shape::Record(record) => {
                let is_kept = self.selector.decide(&record, object);
                self.record(object, offset, is_kept, &record.header());
            }
            Shape::Incomplete(missing) => self.lose(LossKind::IncompleteRecord, offset, missing),
            Shape::Quoted(quoted) => self.quoted(quoted, offset),
            Shape::LookedUp(quoted) => {
                self.scopes.begin(true, self.coverage);
                self.quoted(quoted, offset);
            }
            Shape::Wrapped(record, at) if self.nesting < NESTING_MAX => {
                self.nesting += 1;
                self.unusual(record, offset + at as u64);
                self.nesting -= 1;
            }
            Shape::LeftOut => match left_out::parse(object) {
                Ok(left_out) => self.tally.note_left_out(self.object, left_out),
                Err(error) => self.lose(LossKind::IncompleteExtract, offset, &error.to_string()),
            },
            Shape::Manifest => match left_out::parse_manifest(object) {
                Ok(line) => self.tally.note_manifest(line),
                Err(_) => self.stranger(offset),
            },
            Shape::Container if self.container_of(object, offset) => {}
            Shape::Foreign => {
                self.tally.seen += 1;
                self.tally.pass_over_foreign();
            }
            Shape::Container | Shape::Wrapped(..) | Shape::Other => self.stranger(offset),
        }
    }

    fn stranger(&mut self, offset: u64) {
        self.lose(LossKind::NotARecord, offset, "a value that is no CloudTrail record");
    }

    /// A record that is written as a string.
    fn quoted(&mut self, quoted: &[u8], offset: u64) {
        let Some(text) = decode_string(quoted) else {
            return self.lose(LossKind::InvalidJson, offset, "an escape that stands for no character");
        };
        let text = text.as_bytes();
        let start = skip_whitespace(text, 0);
        if text.get(start) != Some(&b'{') || self.nesting >= NESTING_MAX {
            return self.stranger(offset);
        }
        let end = text.trim_ascii_end().len();
        self.nesting += 1;
        self.unusual(&text[start..end], offset);
        self.nesting -= 1;
    }

    /// Reads the elements of an object's array of records, if it has one.
    fn container_of(&mut self, object: &[u8], offset: u64) -> bool {
        if self.nesting >= NESTING_MAX {
            return false;
        }
        let Some(inside) = container_member(object) else { return false };
        let mut framing = Framing::new(Backend::detect(), self.record_bytes_max);
        framing.reset_to_elements();
        self.nesting += 1;
        self.container();
        framing.advance(&object[inside..], offset + inside as u64, true, self);
        self.nesting -= 1;
        true
    }
}

impl<S: RecordSink> ValueSink for Unwrapping<'_, S> {
    fn object(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        offset: u64,
        scanned: Option<&Scanned>,
    ) -> bool {
        let damaged_before = self.tally.damaged();
        if let Some(scanned) = scanned
            && let Some((is_kept, header)) = &self.selector.quick(text, start, scanned)
        {
            self.record(&text[start..end], offset, *is_kept, header);
        } else {
            self.unusual(&text[start..end], offset);
        }
        self.tally.damaged() == damaged_before
    }

    fn other_value(&mut self, value: &[u8], offset: u64) {
        match value {
            [b'"', ..] => self.quoted(value, offset),
            _ => self.stranger(offset),
        }
    }

    fn broken_value(&mut self, kind: LossKind, offset: u64, detail: &str) {
        self.lose(kind, offset, detail);
    }

    fn cut_off(&mut self) {
        self.tally.cut_off();
    }

    fn fault(&mut self, kind: LossKind, offset: u64, detail: &str) {
        self.tally.fail(self.object, kind, at_byte(detail, offset));
    }

    fn container(&mut self) {
        self.tally.note_container();
    }
}

fn at_byte(detail: &str, offset: u64) -> String {
    format!("{detail} (at byte {offset} of the inflated text)")
}

fn loss_kind(error: &ParseError) -> LossKind {
    match error {
        ParseError::InvalidJson(_) => LossKind::InvalidJson,
        ParseError::InvalidUtf8 => LossKind::InvalidUtf8,
        ParseError::NotARecord(_) => LossKind::NotARecord,
        ParseError::Incomplete(_) => LossKind::IncompleteRecord,
    }
}
