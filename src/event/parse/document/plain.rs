//! One pass over a record that is written as CloudTrail writes nearly all of them.
//!
//! Bytes come in, entries go out; or nothing, if anything at all is unusual: white space between values, an
//! escape, a number that is no short integer, deep nesting, or text that is no JSON. So
//! what comes out is always right, and whoever gets nothing asks simd-json.

use super::{Entry, Kind};

/// Deeper nesting is unusual.
const DEPTH_MAX: usize = 32;
/// Longer numbers are unusual; all of up to so many digits fit into 64 bits with a sign.
const DIGITS_MAX: usize = 18;

/// Reads `raw` into `entries`; gives it as text. `quotes` is a buffer to use again.
pub(super) fn read<'a>(raw: &'a [u8], entries: &mut Vec<Entry>, quotes: &mut Vec<u64>) -> Option<&'a str> {
    if raw.len() >= u32::MAX as usize || !is_ordinary(raw) {
        return None;
    }
    let text = std::str::from_utf8(raw).ok()?;
    entries.clear();
    find_quotes(raw, quotes);
    let quotes = Quotes { blocks: quotes, at: 0, block: 0 };
    read_values(raw, quotes, entries).map(|()| text)
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

/// The quotes of a record, one after another. As none is escaped, they open and close strings by turns.
struct Quotes<'q> {
    blocks: &'q [u64],
    /// What is left of the block at hand.
    block: u64,
    /// How many blocks were begun.
    at: usize,
}

impl Quotes<'_> {
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

    /// Beginning and end of the string whose opening quote is at `at`.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<(usize, usize)> {
        if self.next()? != at {
            return None;
        }
        Some((at + 1, self.next()?))
    }
}

/// What is open around a value.
struct Open {
    /// Entries of the arrays and objects, outermost first.
    containers: [(u32, bool); DEPTH_MAX],
    depth: usize,
}

fn read_values(text: &[u8], mut quotes: Quotes<'_>, entries: &mut Vec<Entry>) -> Option<()> {
    let mut open = Open { containers: [(0, false); DEPTH_MAX], depth: 0 };
    let (mut at, mut key) = (0, (0, 0));
    loop {
        let first = *text.get(at)?;
        match first {
            b'"' => {
                let (start, end) = quotes.string(at)?;
                push(entries, Kind::Text, key, (start, end));
                at = end + 1;
            }
            b'{' | b'[' => {
                at += 1;
                let is_object = first == b'{';
                let container = entries.len() as u32;
                push(entries, if is_object { Kind::Object } else { Kind::Array }, key, (0, 0));
                // The closing brackets stand two behind the opening ones.
                if text.get(at) != Some(&(first + 2)) {
                    *open.containers.get_mut(open.depth)? = (container, is_object);
                    open.depth += 1;
                    key = if is_object { key_at(text, &mut quotes, &mut at)? } else { (0, 0) };
                    continue;
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let end = integer_end(text, at)?;
                push(entries, Kind::Integer, key, (at, end));
                at = end;
            }
            _ => {
                let (kind, length) = word(&text[at..])?;
                push(entries, kind, key, (0, 0));
                at += length;
            }
        }
        // Behind a value: the ends of what it is in, then the next one.
        loop {
            let Some(around) = open.depth.checked_sub(1) else {
                return (at == text.len()).then_some(());
            };
            let (container, is_object) = open.containers[around];
            let next = *text.get(at)?;
            at += 1;
            if next == b',' {
                key = if is_object { key_at(text, &mut quotes, &mut at)? } else { (0, 0) };
                break;
            }
            if next != if is_object { b'}' } else { b']' } {
                return None;
            }
            entries[container as usize].next = entries.len() as u32;
            open.depth = around;
        }
    }
}

/// Lengths are below 4 Gi here, and so is the number of entries.
#[inline(always)]
fn push(entries: &mut Vec<Entry>, kind: Kind, key: (usize, usize), text: (usize, usize)) {
    entries.push(Entry {
        kind,
        key_start: key.0 as u32,
        key_end: key.1 as u32,
        start: text.0 as u32,
        end: text.1 as u32,
        next: entries.len() as u32 + 1,
    });
}

/// The member's name at `at`, which moves behind its colon.
#[inline(always)]
fn key_at(text: &[u8], quotes: &mut Quotes<'_>, at: &mut usize) -> Option<(usize, usize)> {
    let (start, end) = quotes.string(*at)?;
    if text.get(end + 1) != Some(&b':') {
        return None;
    }
    *at = end + 2;
    Some((start, end))
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
fn integer_end(text: &[u8], at: usize) -> Option<usize> {
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
