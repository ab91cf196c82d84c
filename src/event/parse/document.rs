//! A record's JSON as a flat list of its values: the shape in which everything else here reads it.
//!
//! The bytes of one record come in, a [`Document`] goes out, whose buffers serve one record after another. Records as
//! CloudTrail writes them (compact, nothing escaped, plain integers) are read by [`plain`] in one pass,
//! or taken from the [`shape`] of an earlier one; all others by simd-json, which alone says what is no JSON. All give
//! the same document, which tests hold.

mod plain;
mod shape;

use simd_json::StaticNode;
use simd_json::tape::{Node, Tape};

use self::plain::Quotes;
use self::shape::Shapes;
use super::ParseError;
use super::name::Spelled;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    /// A whole number; its text is that of the number.
    Integer,
    /// Any other number.
    Fraction,
    Text,
    Array,
    Object,
}

/// One value, with the name it has as a member of an object. What is inside an array or object follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Spelled,
    /// Where the name stands in the document's keys.
    key_start: u32,
    key_end: u32,
    /// Which of the document's values this is, if it is a text or number.
    value: u32,
    /// Index of the entry behind this value and all that is inside.
    pub(super) next: u32,
}

impl Entry {
    /// The value of what is no text and no number.
    const NO_VALUE: u32 = u32::MAX;
}

/// The values of one record in the order of its text; the first is the record itself.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) entries: &'a [Entry],
    keys: &'a str,
    /// Where texts and numbers stand in the text.
    values: &'a [(u32, u32)],
    text: &'a str,
}

/// What a reader makes of a record.
#[derive(Default)]
struct Parts {
    entries: Vec<Entry>,
    values: Vec<(u32, u32)>,
}

impl Parts {
    fn clear(&mut self) {
        self.entries.clear();
        self.values.clear();
    }

    /// With the text that names and values stand in.
    fn document<'a>(&'a self, text: &'a str) -> Document<'a> {
        Document { entries: &self.entries, keys: text, values: &self.values, text }
    }
}

impl Document<'_> {
    /// Without any value.
    pub(super) const EMPTY: Document<'static> = Document { entries: &[], keys: "", values: &[], text: "" };

    /// A value as JSON text, however deeply nested.
    pub(super) fn json_text(&self, index: u32) -> String {
        let mut json = String::new();
        // Arrays and objects that are open: where they end, and with which bracket.
        let mut open: Vec<(u32, char)> = Vec::new();
        let mut at = index;
        loop {
            let entry = &self.entries[at as usize];
            if open.last().is_some_and(|(_, bracket)| *bracket == '}') {
                json.push_str(&quoted(self.key(entry)));
                json.push(':');
            }
            match entry.kind {
                Kind::Null => json.push_str("null"),
                Kind::True => json.push_str("true"),
                Kind::False => json.push_str("false"),
                Kind::Integer | Kind::Fraction => json.push_str(self.text(entry)),
                Kind::Text => json.push_str(&quoted(self.text(entry))),
                Kind::Array | Kind::Object => {
                    let (opening, closing) = if entry.kind == Kind::Array { ('[', ']') } else { ('{', '}') };
                    json.push(opening);
                    open.push((entry.next, closing));
                }
            }
            at += 1;
            let is_first = matches!(entry.kind, Kind::Array | Kind::Object) && at < entry.next;
            while let Some(&(_, closing)) = open.last().filter(|(end, _)| *end == at) {
                json.push(closing);
                open.pop();
            }
            if open.is_empty() {
                return json;
            }
            if !is_first {
                json.push(',');
            }
        }
    }
}

/// A text as JSON writes it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("any text can be written as JSON")
}

impl<'a> Document<'a> {
    /// Text of a text or number; empty for what is neither.
    pub(super) fn text(&self, entry: &Entry) -> &'a str {
        let (start, end) = self.values.get(entry.value as usize).copied().unwrap_or_default();
        &self.text[start as usize..end as usize]
    }

    /// Name of a member; empty for what is none.
    pub(super) fn key(&self, entry: &Entry) -> &'a str {
        &self.keys[entry.key_start as usize..entry.key_end as usize]
    }
}

/// Makes documents; keeps its buffers.
pub(super) struct DocumentReader {
    parts: Parts,
    quotes: Vec<u64>,
    shapes: Shapes,
    /// Texts of a document that simd-json read, one behind another.
    texts: String,
    careful: Careful,
}

/// What simd-json works in.
struct Careful {
    bytes: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<Tape<'static>>,
}

impl Default for DocumentReader {
    fn default() -> Self {
        Self {
            parts: Parts::default(),
            quotes: Vec::new(),
            shapes: Shapes::default(),
            texts: String::new(),
            careful: Careful {
                bytes: Vec::new(),
                buffers: simd_json::Buffers::new(4096),
                tape: Some(Tape::null()),
            },
        }
    }
}

impl DocumentReader {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// When the bytes are no JSON or no UTF-8.
    pub(super) fn read<'a>(&'a mut self, raw: &'a [u8]) -> Result<Document<'a>, ParseError> {
        let Some(text) = plain::prepare(raw, &mut self.quotes) else {
            return self.read_carefully(raw);
        };
        let quotes = Quotes::new(&self.quotes);
        if let Some(shape) = self.shapes.find(raw, quotes, &mut self.parts.values) {
            return Ok(self.shapes.document(shape, text, &self.parts.values));
        }
        if plain::read(raw, quotes, &mut self.parts).is_none() {
            return self.read_carefully(raw);
        }
        self.shapes.learn(text, &self.parts);
        Ok(self.parts.document(text))
    }

    fn read_carefully(&mut self, raw: &[u8]) -> Result<Document<'_>, ParseError> {
        self.parts.clear();
        self.texts.clear();
        // In-place unescaping needs bytes of its own, and room behind them for wide loads.
        let Careful { bytes, buffers, tape: kept } = &mut self.careful;
        bytes.clear();
        bytes.extend_from_slice(raw);
        bytes.resize(raw.len() + simd_json::INPUT_PADDING, 0);
        let mut tape = kept.take().unwrap_or_else(Tape::null).reset();
        let outcome = match simd_json::fill_tape_padded(bytes, raw.len(), buffers, &mut tape) {
            Ok(()) => {
                take_over(&tape.0, &mut self.parts, &mut self.texts);
                Ok(())
            }
            Err(_) if std::str::from_utf8(raw).is_err() => Err(ParseError::InvalidUtf8),
            Err(error) => Err(ParseError::InvalidJson(error.to_string())),
        };
        *kept = Some(tape.reset());
        outcome.map(|()| self.parts.document(&self.texts))
    }
}

/// Appends `text`; gives where it begins and ends. simd-json takes no input of 4 GiB, and unescaping makes texts
/// shorter.
fn keep(texts: &mut String, text: &str) -> (u32, u32) {
    let start = texts.len();
    texts.push_str(text);
    let place = |at: usize| u32::try_from(at).expect("a record of less than 4 GiB");
    (place(start), place(texts.len()))
}

/// Copies simd-json's tape.
fn take_over(nodes: &[Node<'_>], parts: &mut Parts, texts: &mut String) {
    let Parts { entries, values } = parts;
    // Arrays and objects that are open: their entry and how many values are still to come.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut key = None;
    for node in nodes {
        let is_in_object = open.last().is_some_and(|(entry, _)| entries[*entry].kind == Kind::Object);
        if let (true, None, Node::String(name)) = (is_in_object, key, node) {
            key = Some((Spelled::find(name.as_bytes()), keep(texts, name)));
            continue;
        }
        let (kind, value, inside) = match node {
            Node::String(text) => (Kind::Text, Some(keep(texts, text)), 0),
            Node::Object { len, .. } => (Kind::Object, None, *len),
            Node::Array { len, .. } => (Kind::Array, None, *len),
            Node::Static(StaticNode::Null) => (Kind::Null, None, 0),
            Node::Static(StaticNode::Bool(true)) => (Kind::True, None, 0),
            Node::Static(StaticNode::Bool(false)) => (Kind::False, None, 0),
            Node::Static(StaticNode::F64(number)) => {
                (Kind::Fraction, Some(keep(texts, &number.to_string())), 0)
            }
            Node::Static(StaticNode::I64(number)) => {
                (Kind::Integer, Some(keep(texts, &number.to_string())), 0)
            }
            Node::Static(StaticNode::U64(number)) => {
                (Kind::Integer, Some(keep(texts, &number.to_string())), 0)
            }
        };
        let (name, (key_start, key_end)) = key.take().unwrap_or((Spelled::UNNAMED, (0, 0)));
        if let Some((_, left)) = open.last_mut() {
            *left -= 1;
        }
        let place = value.map_or(Entry::NO_VALUE, |_| count(values.len()));
        values.extend(value);
        let index = entries.len();
        entries.push(Entry { kind, name, key_start, key_end, value: place, next: count(index + 1) });
        if matches!(kind, Kind::Array | Kind::Object) {
            open.push((index, inside));
        }
        while let Some((entry, 0)) = open.last() {
            entries[*entry].next = count(entries.len());
            open.pop();
        }
    }
}

fn count(entries: usize) -> u32 {
    u32::try_from(entries).expect("no more values than bytes, of which there are less than 4 Gi")
}

#[cfg(test)]
mod tests;
