//! Shapes of records: all of their text but the texts and numbers that are their values.
//!
//! Records of one kind differ in little else. So where a record has the shape of an earlier one, as comparing its
//! bytes with that shape tells, it needs no reading: the entries are the earlier one's, and only where the values
//! stand was found on the way. Shapes that begin alike share their beginning, so that a record is compared once,
//! however many shapes are known. What is kept is bounded, and serves speed alone: with the same bytes, a record
//! read by its shape is what it would be without.

use super::plain::{Quotes, integer_end};
use super::{Document, Entry, Kind, Parts};

/// Shapes known at a time. When there are more, all are forgotten.
const SHAPES_MAX: usize = 256;
/// Text of all shapes known at a time.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Records that are longer are not worth remembering.
const RECORD_BYTES_MAX: usize = 32 << 10;

/// No step.
const NONE: u32 = u32::MAX;

/// The shapes of records read before.
#[derive(Default)]
pub(super) struct Shapes {
    /// The texts of the records that the shapes were taken from.
    text: String,
    /// The first of these is the first step of all shapes.
    steps: Vec<Step>,
    shapes: Vec<Shape>,
}

struct Shape {
    entries: Vec<Entry>,
    /// Where its record begins in the text.
    text_start: usize,
}

/// What follows a value, up to the next value.
struct Step {
    /// Where it stands in the text.
    start: u32,
    end: u32,
    then: Then,
    /// The step to compare if this one is not what follows.
    other: u32,
}

/// What follows a step's text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// A text (between quotes that belong to the steps), then another step.
    Text(u32),
    /// An integer, then another step.
    Integer(u32),
    /// The record's end; this is its shape.
    End(u32),
}

impl Shapes {
    /// The shape of `raw`, if it is known; then, `values` are where its values stand.
    pub(super) fn find(&self, raw: &[u8], quotes: Quotes<'_>, values: &mut Vec<(u32, u32)>) -> Option<u32> {
        values.clear();
        let (mut at, mut next) = (0, 0);
        loop {
            let step = self.steps.get(next as usize)?;
            next = step.other;
            let Some(start) = behind(raw, at, &self.text.as_bytes()[step.start as usize..step.end as usize])
            else {
                continue;
            };
            let end = match step.then {
                Then::Text(_) => quotes.next_from(start),
                Then::Integer(_) => integer_end(raw, start),
                Then::End(shape) if start == raw.len() => return Some(shape),
                Then::End(_) => None,
            };
            if let (Some(end), Then::Text(following) | Then::Integer(following)) = (end, step.then) {
                values.push((start as u32, end as u32));
                (at, next) = (end, following);
            }
        }
    }

    /// The document of a record that has a shape.
    pub(super) fn document<'a>(
        &'a self,
        shape: u32,
        text: &'a str,
        values: &'a [(u32, u32)],
    ) -> Document<'a> {
        let shape = &self.shapes[shape as usize];
        Document { entries: &shape.entries, keys: &self.text[shape.text_start..], values, text }
    }

    /// Remembers the shape of a record that has none of the known ones.
    pub(super) fn learn(&mut self, text: &str, parts: &Parts) {
        if text.len() > RECORD_BYTES_MAX {
            return;
        }
        if self.shapes.len() >= SHAPES_MAX || self.text.len() + text.len() > TEXT_BYTES_MAX {
            *self = Self::default();
        }
        let text_start = self.text.len();
        self.text.push_str(text);
        let kinds =
            parts.entries.iter().filter(|entry| entry.value != Entry::NO_VALUE).map(|entry| entry.kind);
        let (mut before, mut at) = (None, text_start);
        for (kind, (start, end)) in kinds.zip(&parts.values) {
            let then = if kind == Kind::Text { Then::Text(NONE) } else { Then::Integer(NONE) };
            before = Some(self.step(before, at, text_start + *start as usize, then));
            at = text_start + *end as usize;
        }
        self.step(before, at, self.text.len(), Then::End(self.shapes.len() as u32));
        self.shapes.push(Shape { entries: parts.entries.clone(), text_start });
    }

    /// The step behind `before` with the text from `start` to `end`: a known one, or a new one.
    fn step(&mut self, before: Option<u32>, start: usize, end: usize, then: Then) -> u32 {
        let is_same = |one: Then, two: Then| std::mem::discriminant(&one) == std::mem::discriminant(&two);
        let text = |step: &Step| &self.text[step.start as usize..step.end as usize];
        let first = match before.map(|before| self.steps[before as usize].then) {
            Some(Then::Text(first) | Then::Integer(first)) => first,
            Some(Then::End(_)) => NONE,
            None if self.steps.is_empty() => NONE,
            None => 0,
        };
        let (mut next, mut last) = (first, NONE);
        while let Some(step) = self.steps.get(next as usize) {
            if is_same(step.then, then) && text(step) == &self.text[start..end] {
                return next;
            }
            (next, last) = (step.other, next);
        }
        let new = self.steps.len() as u32;
        self.steps.push(Step { start: start as u32, end: end as u32, then, other: NONE });
        match (self.steps.get_mut(last as usize), before) {
            (Some(last), _) => last.other = new,
            (None, Some(before)) => match &mut self.steps[before as usize].then {
                Then::Text(first) | Then::Integer(first) => *first = new,
                Then::End(_) => {}
            },
            (None, None) => {}
        }
        new
    }
}

/// The position behind `expected`, if it stands at `at`: quicker than asking the library, for texts so short.
#[inline(always)]
fn behind(raw: &[u8], at: usize, expected: &[u8]) -> Option<usize> {
    let end = at + expected.len();
    let found = raw.get(at..end)?;
    let is_same = match (found.last_chunk::<8>(), expected.last_chunk::<8>()) {
        (Some(found_end), Some(expected_end)) => {
            let mut words = found.as_chunks::<8>().0.iter().zip(expected.as_chunks::<8>().0);
            found_end == expected_end && words.all(|(found, expected)| found == expected)
        }
        _ => found.iter().eq(expected),
    };
    is_same.then_some(end)
}
