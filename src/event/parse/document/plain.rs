//! One pass over a record that is written as CloudTrail writes nearly all of them.
//!
//! Bytes come in, entries go out; or nothing, if anything at all is unusual: white space between values, an
//! escape, a number that is no short integer, deep nesting, or text that is no JSON. So
//! what comes out is always right, and whoever gets nothing asks simd-json.

use super::{Entry, Kind, Parts, Spelled};

/// Deeper nesting is unusual.
const DEPTH_MAX: usize = 32;
/// Longer numbers are unusual; all of up to so many digits fit into 64 bits with a sign.
const DIGITS_MAX: usize = 18;

/// Gives `raw` as text if nothing about its characters is unusual, and finds its quotes.
pub(super) fn prepare<'a>(raw: &'a [u8], quotes: &mut Vec<u64>) -> Option<&'a str> {
    if raw.len() >= u32::MAX as usize || !is_ordinary(raw) {
        return None;
    }
    find_quotes(raw, quotes);
    simdutf8::basic::from_utf8(raw).ok()
}

/// Whether no byte is a backslash or a control character.
fn is_ordinary(raw: &[u8]) -> bool {
    const WIDTH: usize = 32;
    let is_unusual = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'\\');
    // Side by side and without an early end, so that many bytes are looked at at once.
    let mut found_in_blocks = [0; WIDTH];
    let (blocks, rest) = raw.as_chunks::<WIDTH>();
    for block in blocks {
        for (found, byte) in found_in_blocks.iter_mut().zip(block) {
            *found |= is_unusual(*byte);
        }
    }
    let found = rest.iter().fold(0, |found, byte| found | is_unusual(*byte));
    found == 0 && found_in_blocks == [0; WIDTH]
}

/// Where the quotes are: bit `n` of a block is set if its byte `n` is one.
fn find_quotes(raw: &[u8], quotes: &mut Vec<u64>) {
    quotes.clear();
    let (blocks, rest) = raw.as_chunks::<64>();
    quotes.extend(blocks.iter().map(quotes_in));
    let mut filled = [0; 64];
    filled[..rest.len()].copy_from_slice(rest);
    quotes.push(quotes_in(&filled));
}

/// Eight bytes are summed up to one, in a shape that compilers have instructions for.
#[inline(always)]
fn quotes_in(block: &[u8; 64]) -> u64 {
    let mut bits = [0u8; 64];
    for (index, (bit, byte)) in bits.iter_mut().zip(block).enumerate() {
        *bit = if *byte == b'"' { 1 << (index % 8) } else { 0 };
    }
    let mut sums = [0; 8];
    for (sum, bits) in sums.iter_mut().zip(bits.as_chunks::<8>().0) {
        *sum = bits.iter().fold(0u8, |sum, bit| sum.wrapping_add(*bit));
    }
    u64::from_le_bytes(sums)
}

/// The quotes of a record that was [prepared](prepare). As none is escaped, they open and close strings by turns.
#[derive(Clone, Copy)]
pub(super) struct Quotes<'q> {
    blocks: &'q [u64],
    /// What is left of the block at hand.
    block: u64,
    /// How many blocks were begun.
    at: usize,
}

impl<'q> Quotes<'q> {
    /// From what [`prepare`] found.
    pub(super) fn new(blocks: &'q [u64]) -> Self {
        Self { blocks, at: 0, block: 0 }
    }

    /// The position of the first quote that is at `at` or behind.
    #[inline(always)]
    pub(super) fn next_from(&self, at: usize) -> Option<usize> {
        let mut block = at / 64;
        let mut bits = self.blocks.get(block)? & (u64::MAX << (at % 64));
        while bits == 0 {
            block += 1;
            bits = *self.blocks.get(block)?;
        }
        Some(block * 64 + bits.trailing_zeros() as usize)
    }

    /// The position of the next quote.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.block == 0 {
            self.block = *self.blocks.get(self.at)?;
            self.at += 1;
        }
        let bit = self.block.trailing_zeros() as usize;
        self.block &= self.block - 1;
        Some((self.at - 1) * 64 + bit)
    }

    /// Beginning and end of the string whose opening quote is at `at`. Everything before `at` was read, and all its
    /// quotes were asked for.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<(usize, usize)> {
        self.next()?;
        Some((at + 1, self.next()?))
    }
}

/// An array or object that is open.
#[derive(Clone, Copy)]
struct Open {
    entry: u32,
    is_object: bool,
}

/// A member's name, and where it stands.
type Key = (Spelled, usize, usize);

const NO_KEY: Key = (Spelled::UNNAMED, 0, 0);

/// Reads a record that was [prepared](prepare).
pub(super) fn read(text: &[u8], mut quotes: Quotes<'_>, parts: &mut Parts) -> Option<()> {
    parts.clear();
    // What is open around the innermost array or object, outermost first.
    let mut around = [Open { entry: 0, is_object: false }; DEPTH_MAX];
    let mut depth = 0;
    let mut innermost = around[0];
    let (mut at, mut key) = (0, NO_KEY);
    loop {
        let first = *text.get(at)?;
        match first {
            b'"' => {
                let (start, end) = quotes.string(at)?;
                push_value(parts, Kind::Text, key, (start, end));
                at = end + 1;
            }
            b'{' | b'[' => {
                at += 1;
                let is_object = first == b'{';
                let entry = parts.entries.len() as u32;
                push(parts, if is_object { Kind::Object } else { Kind::Array }, key);
                // The closing brackets stand two behind the opening ones.
                if text.get(at) != Some(&(first + 2)) {
                    *around.get_mut(depth)? = innermost;
                    depth += 1;
                    innermost = Open { entry, is_object };
                    key = if is_object { key_at(text, &mut quotes, &mut at)? } else { NO_KEY };
                    continue;
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let end = integer_end(text, at)?;
                push_value(parts, Kind::Integer, key, (at, end));
                at = end;
            }
            _ => {
                let (kind, length) = word(&text[at..])?;
                push(parts, kind, key);
                at += length;
            }
        }
        // Behind a value: the ends of what it is in, then the next one.
        loop {
            if depth == 0 {
                return (at == text.len()).then_some(());
            }
            let next = *text.get(at)?;
            at += 1;
            if next == b',' {
                key = if innermost.is_object { key_at(text, &mut quotes, &mut at)? } else { NO_KEY };
                break;
            }
            if next != if innermost.is_object { b'}' } else { b']' } {
                return None;
            }
            parts.entries[innermost.entry as usize].next = parts.entries.len() as u32;
            depth -= 1;
            innermost = around[depth];
        }
    }
}

/// Lengths are below 4 Gi here, and so is the number of entries.
#[inline(always)]
fn push(parts: &mut Parts, kind: Kind, key: Key) {
    let next = parts.entries.len() as u32 + 1;
    let (name, key_start, key_end) = (key.0, key.1 as u32, key.2 as u32);
    parts.entries.push(Entry { kind, name, key_start, key_end, value: Entry::NO_VALUE, next });
}

/// Pushes a text or number that stands at `place`.
#[inline(always)]
fn push_value(parts: &mut Parts, kind: Kind, key: Key, place: (usize, usize)) {
    let next = parts.entries.len() as u32 + 1;
    let (name, key_start, key_end) = (key.0, key.1 as u32, key.2 as u32);
    parts.entries.push(Entry { kind, name, key_start, key_end, value: parts.values.len() as u32, next });
    parts.values.push((place.0 as u32, place.1 as u32));
}

/// The member's name at `at`, which moves behind its colon.
#[inline(always)]
fn key_at(text: &[u8], quotes: &mut Quotes<'_>, at: &mut usize) -> Option<Key> {
    if text.get(*at) != Some(&b'"') {
        return None;
    }
    let (start, end) = quotes.string(*at)?;
    if text.get(end + 1) != Some(&b':') {
        return None;
    }
    *at = end + 2;
    Some((Spelled::find(&text[start..end]), start, end))
}

/// What `null`, `true` or `false` at the text's start means, and its length.
#[inline(always)]
fn word(text: &[u8]) -> Option<(Kind, usize)> {
    if text.starts_with(b"null") {
        Some((Kind::Null, 4))
    } else if text.starts_with(b"true") {
        Some((Kind::True, 4))
    } else {
        text.starts_with(b"false").then_some((Kind::False, 5))
    }
}

/// The position behind the integer at `at`; nothing, if it is another number or written as no JSON number is.
pub(super) fn integer_end(text: &[u8], at: usize) -> Option<usize> {
    let start = at + usize::from(text[at] == b'-');
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_plain = match digits {
        1 => start == at || text[start] != b'0',
        2..=DIGITS_MAX => text[start] != b'0',
        _ => false,
    };
    let end = start + digits;
    (is_plain && !matches!(text.get(end), Some(b'.' | b'e' | b'E'))).then_some(end)
}
