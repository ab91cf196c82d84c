//! Container shapes: where one value ends and the next begins.
//!
//! Inflated text comes in, window by window; every object found between the containers' brackets goes to a
//! [`ValueSink`]. Text may be one `{"Records":[…]}`, an array, one record, JSON lines or JSON without
//! separators, in any mixture. Damage is reported and stepped over, never silently; nothing here holds on
//! to more than one value, and no byte is looked at more often than a constant number of times.

mod heads;

use memchr::{memchr, memchr2};

pub(super) use self::heads::container_member;
use self::heads::{
    Prefix, TIME_PREFIX_BYTES_MAX, array_member, container_head, is_end_of_element, time_prefix,
    value_behind_damage,
};

use super::blocks::Backend;
use super::scan::{Scanned, Scanner};
use super::structure::{Extent, extent, skip_whitespace, string_end};
use crate::event::LossKind;

/// Takes what the framing finds.
pub(super) trait ValueSink {
    /// An object at `start..end` of `text`; `offset` is its place in the whole inflated text. `scanned` is
    /// what one pass over it saw, if there was one. Tells whether its text is sound.
    fn object(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        offset: u64,
        scanned: Option<&Scanned>,
    ) -> bool;
    /// A well-formed value that is no object: `value` is its text.
    fn other_value(&mut self, value: &[u8], offset: u64);
    /// A value that cannot be read.
    fn broken_value(&mut self, kind: LossKind, offset: u64, detail: &str);
    /// Behind a broken value nothing further was found, although there should be more.
    fn cut_off(&mut self);
    /// The text cannot be read to its end.
    fn fault(&mut self, kind: LossKind, offset: u64, detail: &str);
    /// An array that holds records by its name.
    fn container(&mut self);
}

/// How far elements are looked for behind one that has no end. Longer ones take the slow way.
const ENDLESS_BYTES_MAX: usize = 4 << 10;
/// How far behind an error a damaged object is still searched for an array of records.
const DAMAGED_BYTES_MAX: usize = 512;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between values of the text itself.
    Between,
    /// In an array, between its elements; `in_object` if it is the member of an object.
    Elements { in_object: bool },
    /// Behind an element of an array that is damaged, and may have seemed to end early.
    Doubt { in_object: bool },
    /// Behind the array of an object, among its further members.
    Members,
    /// In a value that is too large or of no interest.
    Skip { skip: Skip, then: After },
    /// In damaged text, on the way to the next value.
    Seek { then: After },
    /// Nothing more can be read.
    Stopped,
}

/// Where a state leads back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Between,
    Elements { in_object: bool },
    Members,
}

impl From<After> for State {
    fn from(after: After) -> Self {
        match after {
            After::Between => Self::Between,
            After::Elements { in_object } => Self::Elements { in_object },
            After::Members => Self::Members,
        }
    }
}

/// What one step came to.
enum Step {
    /// Go on from here.
    At(usize),
    /// The value at this position is not complete in this window.
    More(usize),
}

/// Splits inflated text into values.
pub(super) struct Framing {
    state: State,
    scanner: Scanner,
    value_bytes_max: usize,
    /// No newline stands between the value at hand and this offset, lest a long line be searched once per
    /// value.
    newline: u64,
    /// Offset of the last error that the grammar gave, lest one error be met once per line.
    last_error: Option<u64>,
    /// An element was looked for up to this offset, and has no end: those before it are not looked for as far, lest
    /// the text be searched once per element.
    endless: u64,
}

/// How far the window was read.
pub(super) struct Advance {
    /// Bytes that need not be shown again.
    pub consumed: usize,
    /// Bytes that the next window must hold at least, unless it is the last.
    pub wanted: usize,
}

impl Framing {
    /// Values over `value_bytes_max` bytes are reported and skipped.
    pub(super) fn new(backend: Backend, value_bytes_max: usize) -> Self {
        Self {
            state: State::Between,
            scanner: Scanner::new(backend),
            value_bytes_max,
            newline: 0,
            last_error: None,
            endless: 0,
        }
    }

    /// Begins a new text.
    pub(super) fn reset(&mut self) {
        self.state = State::Between;
        self.newline = 0;
        self.last_error = None;
        self.endless = 0;
    }

    /// Begins with the elements of an array that is the member of an object.
    pub(super) fn reset_to_elements(&mut self) {
        self.reset();
        self.state = State::Elements { in_object: true };
    }

    /// Reads what `text` holds; `offset` is its place in the whole text, `is_last` whether nothing follows.
    pub(super) fn advance(
        &mut self,
        text: &[u8],
        offset: u64,
        is_last: bool,
        sink: &mut impl ValueSink,
    ) -> Advance {
        let window = Window { text, offset, is_last };
        self.scanner.reset();
        let mut at = 0;
        loop {
            let step = match self.state {
                State::Between => self.between(&window, at, sink),
                State::Elements { in_object } => self.element(&window, at, in_object, sink),
                State::Doubt { in_object } => self.doubt(&window, at, After::Elements { in_object }),
                State::Members => self.member(&window, at, sink),
                State::Skip { skip, then } => self.skip(&window, at, skip, then),
                State::Seek { then } => self.seek(&window, at, then),
                State::Stopped => Step::At(text.len()),
            };
            match step {
                Step::At(next) if next < text.len() => at = next,
                Step::At(next) => {
                    if is_last && self.state != State::Stopped {
                        self.finish(&window, sink);
                    }
                    return Advance { consumed: next.min(text.len()), wanted: 1 };
                }
                Step::More(next) => {
                    // Twice as much each time keeps the bytes looked at again below those read.
                    let wanted = (text.len() - next).saturating_mul(2).max(1);
                    return Advance { consumed: next, wanted };
                }
            }
        }
    }

    /// The text is over: whatever is still open was cut off.
    fn finish(&mut self, window: &Window<'_>, sink: &mut impl ValueSink) {
        let end = window.offset_of(window.text.len());
        match self.state {
            State::Between | State::Stopped | State::Seek { then: After::Between } => {}
            State::Elements { .. } | State::Doubt { .. } => {
                sink.fault(LossKind::TruncatedJson, end, "the text ends inside an array of records");
            }
            State::Members | State::Skip { .. } => {
                sink.fault(LossKind::TruncatedJson, end, "the text ends inside an object");
            }
            // The loss itself is known already.
            State::Seek { .. } => sink.cut_off(),
        }
        self.state = State::Stopped;
    }

    fn between(&mut self, window: &Window<'_>, at: usize, sink: &mut impl ValueSink) -> Step {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        // Record separators (RFC 7464) and stray commas between values are nobody's data.
        let text = window.text;
        let mut at = at;
        if window.offset_of(at) == 0 && text.starts_with(BYTE_ORDER_MARK) {
            at += BYTE_ORDER_MARK.len();
        }
        loop {
            at = skip_whitespace(text, at);
            match text.get(at) {
                Some(0x1e | b',') => at += 1,
                None => return Step::At(at),
                Some(b'{') => return self.top_object(window, at, sink),
                Some(b'[') => {
                    self.state = State::Elements { in_object: false };
                    return Step::At(at + 1);
                }
                Some(b'0'..=b'9') => {
                    return match time_prefix(&text[at..]) {
                        Prefix::Before(length) => self.top_object(window, at + length, sink),
                        Prefix::Unknown if !window.is_last => Step::More(at),
                        Prefix::Unknown | Prefix::None => self.garbage(window, at, sink),
                    };
                }
                Some(b'"') => return self.top_string(window, at, sink),
                Some(_) => return self.garbage(window, at, sink),
            }
        }
    }

    /// A string that is no array's element: a record that was written as one, or text that is no JSON.
    fn top_string(&mut self, window: &Window<'_>, at: usize, sink: &mut impl ValueSink) -> Step {
        let text = window.text;
        if text.get(at + 1).is_some_and(|first| *first != b'{') {
            return self.garbage(window, at, sink);
        }
        match extent(text, at) {
            Extent::Complete(end) => {
                sink.other_value(&text[at..end], window.offset_of(at));
                Step::At(end)
            }
            Extent::Incomplete if window.is_last => self.garbage(window, at, sink),
            Extent::Incomplete if text.len() - at > self.value_bytes_max => {
                self.oversize(window, at, After::Between, sink)
            }
            Extent::Incomplete => Step::More(at),
            Extent::Invalid(_) => self.garbage(window, at, sink),
        }
    }

    fn garbage(&mut self, window: &Window<'_>, at: usize, sink: &mut impl ValueSink) -> Step {
        sink.broken_value(LossKind::InvalidJson, window.offset_of(at), "text that is no JSON");
        self.state = State::Seek { then: After::Between };
        Step::At(at)
    }

    /// An object that is no array's element: a container, a record on a line of its own, or either of them
    /// spread over several lines.
    fn top_object(&mut self, window: &Window<'_>, at: usize, sink: &mut impl ValueSink) -> Step {
        let text = window.text;
        if let Some(inside) = container_head(&text[at..]) {
            return self.enter(at + inside, sink);
        }
        let line_end = self.line_end(window, at);
        let limit = line_end.unwrap_or(text.len());
        let scanned = self.scanner.object(text, at, limit);
        if let Some(end) = scanned.end().filter(|end| *end <= limit) {
            if end - at <= self.value_bytes_max {
                sink.object(text, at, end, window.offset_of(at), Some(scanned));
                return Step::At(end);
            }
            return match container_member(&text[at..end]) {
                Some(inside) => self.enter(at + inside, sink),
                None => self.oversize(window, at, After::Between, sink),
            };
        }
        if line_end.is_none() && !window.is_last && text.len() - at <= self.value_bytes_max {
            return match container_member(&text[at..]) {
                Some(inside) => self.enter(at + inside, sink),
                None => Step::More(at),
            };
        }
        let extent = extent(text, at);
        if let Extent::Complete(end) = extent {
            sink.object(text, at, end, window.offset_of(at), None);
            return Step::At(end);
        }
        let reach = match extent {
            Extent::Invalid(error) => error.saturating_add(DAMAGED_BYTES_MAX),
            _ => text.len(),
        };
        if reach > text.len() && !window.is_last {
            return Step::More(at);
        }
        if let Some(inside) = container_member(&text[at..reach.min(text.len())]) {
            return self.enter(at + inside, sink);
        }
        let error = match extent {
            Extent::Invalid(error) => {
                let detail = format!("no JSON from byte {} on", window.offset_of(error));
                sink.broken_value(LossKind::InvalidJson, window.offset_of(at), &detail);
                error
            }
            _ if text.len() - at > self.value_bytes_max => {
                return self.oversize(window, at, After::Between, sink);
            }
            _ if !window.is_last => return Step::More(at),
            _ => {
                sink.broken_value(
                    LossKind::TruncatedJson,
                    window.offset_of(at),
                    "the text ends inside a record",
                );
                text.len()
            }
        };
        self.behind_damage(window, at, error, After::Between)
    }

    /// Goes on inside the array of a container.
    fn enter(&mut self, at: usize, sink: &mut impl ValueSink) -> Step {
        sink.container();
        self.state = State::Elements { in_object: true };
        Step::At(at)
    }

    /// Where to look for the next value after an error: on the next line, unless that has led to the same
    /// error before.
    fn behind_damage(&mut self, window: &Window<'_>, at: usize, error: usize, then: After) -> Step {
        self.state = State::Seek { then };
        let error_offset = window.offset_of(error);
        if self.last_error == Some(error_offset) {
            // The error may be the very first character of a line that begins a value.
            return Step::At(error.saturating_sub(1).max(at + 1));
        }
        self.last_error = Some(error_offset);
        Step::At(at + 1)
    }

    fn element(
        &mut self,
        window: &Window<'_>,
        at: usize,
        in_object: bool,
        sink: &mut impl ValueSink,
    ) -> Step {
        let text = window.text;
        let mut at = at;
        let then = After::Elements { in_object };
        loop {
            match text.get(at) {
                Some(b'{') => {}
                Some(b',' | b' ' | b'\n' | b'\r' | b'\t') => {
                    at += 1;
                    continue;
                }
                Some(b']') => {
                    self.state = if in_object { State::Members } else { State::Between };
                    return Step::At(at + 1);
                }
                None => return Step::At(at),
                Some(_) => return self.odd_element(window, at, then, sink),
            }
            let is_behind_damage = window.offset_of(at) < self.endless;
            let limit = if is_behind_damage { at + ENDLESS_BYTES_MAX } else { text.len() };
            let scanned = self.scanner.object(text, at, limit);
            let Some(end) = scanned.end().filter(|end| *end <= limit) else {
                return self.odd_element(window, at, then, sink);
            };
            if end - at > self.value_bytes_max {
                return self.oversize(window, at, then, sink);
            }
            let is_sound = sink.object(text, at, end, window.offset_of(at), Some(scanned));
            at = end;
            // A damaged record may seem to end early; what follows then is still part of it.
            if !is_sound {
                self.state = State::Doubt { in_object };
                return self.doubt(window, at, then);
            }
        }
    }

    /// Behind a damaged element: whether the array goes on here.
    fn doubt(&mut self, window: &Window<'_>, at: usize, then: After) -> Step {
        match is_end_of_element(&window.text[at..]) {
            Some(false) => self.state = State::Seek { then },
            None if !window.is_last => return Step::More(at),
            Some(true) | None => self.state = then.into(),
        }
        Step::At(at)
    }

    /// An element that is no object, or not complete in this window, or broken.
    fn odd_element(
        &mut self,
        window: &Window<'_>,
        at: usize,
        then: After,
        sink: &mut impl ValueSink,
    ) -> Step {
        let text = window.text;
        let offset = window.offset_of(at);
        let is_oversize = text.len() - at > self.value_bytes_max;
        if text[at] == b'{' {
            let was_looked_for = offset < self.endless && text.len() - at >= ENDLESS_BYTES_MAX;
            if !window.is_last && !is_oversize && !was_looked_for {
                return Step::More(at);
            }
            if offset >= self.endless {
                self.endless = window.offset_of(text.len());
            }
        }
        match extent(text, at) {
            // The end of a number is only known from what follows it.
            Extent::Complete(end) if end < text.len() || window.is_last => {
                if text[at] == b'{' {
                    sink.object(text, at, end, offset, None);
                } else {
                    sink.other_value(&text[at..end], offset);
                }
                Step::At(end)
            }
            Extent::Complete(_) | Extent::Incomplete if is_oversize => self.oversize(window, at, then, sink),
            Extent::Complete(_) | Extent::Incomplete if !window.is_last => Step::More(at),
            Extent::Complete(_) | Extent::Incomplete => {
                sink.broken_value(LossKind::TruncatedJson, offset, "the text ends inside a record");
                self.behind_damage(window, at, text.len(), then)
            }
            Extent::Invalid(error) => {
                let detail = format!("no JSON from byte {} on", window.offset_of(error));
                sink.broken_value(LossKind::InvalidJson, offset, &detail);
                self.behind_damage(window, at, error, then)
            }
        }
    }

    fn oversize(&mut self, window: &Window<'_>, at: usize, then: After, sink: &mut impl ValueSink) -> Step {
        let detail = format!("the record is larger than {} bytes", self.value_bytes_max);
        sink.broken_value(LossKind::RecordTooLarge, window.offset_of(at), &detail);
        self.state = State::Skip { skip: Skip::default(), then };
        Step::At(at)
    }

    fn member(&mut self, window: &Window<'_>, at: usize, sink: &mut impl ValueSink) -> Step {
        let text = window.text;
        let at = skip_whitespace(text, at);
        match text.get(at) {
            None => return Step::At(at),
            Some(b',') => return Step::At(at + 1),
            Some(b'}') => {
                self.state = State::Between;
                return Step::At(at + 1);
            }
            Some(b'"') => {}
            Some(_) => {
                sink.broken_value(LossKind::InvalidJson, window.offset_of(at), "text that is no JSON");
                self.state = State::Seek { then: After::Between };
                return Step::At(at);
            }
        }
        let head = &text[at..];
        if let Some(inside) = array_member(head) {
            return self.enter(at + inside, sink);
        }
        // Keys and white space have no size limit of their own; whatever is longer is text to pass over.
        let value_at =
            string_end(head, 0).map(|end| skip_whitespace(head, end)).filter(|colon| *colon < head.len());
        match value_at {
            Some(colon) if head[colon] == b':' => {
                let value = skip_whitespace(head, colon + 1);
                if value == head.len() {
                    return if window.is_last { Step::At(text.len()) } else { Step::More(at) };
                }
                self.state = State::Skip { skip: Skip::default(), then: After::Members };
                Step::At(at + value)
            }
            None if !window.is_last && head.len() <= self.value_bytes_max => Step::More(at),
            _ => {
                self.state = State::Skip { skip: Skip::default(), then: After::Members };
                Step::At(at)
            }
        }
    }

    fn skip(&mut self, window: &Window<'_>, at: usize, mut skip: Skip, then: After) -> Step {
        match skip.run(&window.text[at..]) {
            Some(length) => {
                self.state = then.into();
                Step::At(at + length)
            }
            None => {
                self.state = State::Skip { skip, then };
                Step::At(window.text.len())
            }
        }
    }

    /// Looks for a place where a value surely begins: a line that begins with a bracket or a time, or, inside
    /// an array, CloudTrail's own first member.
    fn seek(&mut self, window: &Window<'_>, at: usize, then: After) -> Step {
        let text = &window.text[at..];
        match value_behind_damage(text, matches!(then, After::Elements { .. })) {
            Some(found) => {
                self.state = then.into();
                Step::At(at + found + 1)
            }
            None if window.is_last => Step::At(window.text.len()),
            None => {
                // What may be the beginning of a mark is shown again.
                let keep = text.len().min(TIME_PREFIX_BYTES_MAX);
                let next = window.text.len() - keep;
                if next <= at { Step::More(at) } else { Step::More(next) }
            }
        }
    }

    /// The end of the line that `at` is in, if the window holds it.
    fn line_end(&mut self, window: &Window<'_>, at: usize) -> Option<usize> {
        let inside =
            |offset: u64| usize::try_from(offset.saturating_sub(window.offset)).unwrap_or(usize::MAX);
        let searched = inside(self.newline).max(at).min(window.text.len());
        let Some(found) = memchr(b'\n', &window.text[searched..]) else {
            self.newline = window.offset_of(window.text.len());
            return None;
        };
        self.newline = window.offset_of(searched + found);
        Some(searched + found)
    }
}

struct Window<'t> {
    text: &'t [u8],
    offset: u64,
    is_last: bool,
}

impl Window<'_> {
    fn offset_of(&self, at: usize) -> u64 {
        self.offset + at as u64
    }
}

/// Passes over a value without holding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Skip {
    depth: u64,
    in_string: bool,
    is_escaped: bool,
}

impl Skip {
    /// The length of the rest of the value, if it ends in `text`.
    fn run(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < text.len() {
            if self.in_string {
                if self.is_escaped {
                    self.is_escaped = false;
                    at += 1;
                    continue;
                }
                at += memchr2(b'"', b'\\', &text[at..])?;
                self.is_escaped = text[at] == b'\\';
                self.in_string = self.is_escaped;
                at += 1;
                if !self.in_string && self.depth == 0 {
                    return Some(at);
                }
                continue;
            }
            match text[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' | b',' if self.depth == 0 => return Some(at),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }
}
