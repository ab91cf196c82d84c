//! One pass over a record that is written as CloudTrail writes nearly all of them.
//!
//! Bytes come in, entries go out; or nothing, if anything at all is unusual: white space between values, an
//! escape, a character beyond ASCII, a number that is no short integer, deep nesting, or text that is no JSON. So
//! what comes out is always right, and whoever gets nothing asks simd-json.

use super::{Entry, Kind};

/// Deeper nesting is unusual.
const DEPTH_MAX: usize = 32;
/// Longer numbers are unusual; all of up to so many digits fit into 64 bits with a sign.
const DIGITS_MAX: usize = 18;

/// Reads `raw` into `entries`; gives it as text.
pub(super) fn read<'a>(raw: &'a [u8], entries: &mut Vec<Entry>) -> Option<&'a str> {
    if raw.len() >= u32::MAX as usize || !is_ordinary(raw) {
        return None;
    }
    entries.clear();
    read_values(raw, entries)?;
    std::str::from_utf8(raw).ok()
}

/// Whether all bytes are printable ASCII and none is a backslash.
fn is_ordinary(raw: &[u8]) -> bool {
    let is_unusual = |byte: &u8| byte.wrapping_sub(b' ') > b'~' - b' ' || *byte == b'\\';
    // Without an early end, so that many bytes are looked at at once.
    raw.chunks(1024).all(|chunk| !chunk.iter().fold(false, |found, byte| found | is_unusual(byte)))
}

/// What is open around a value.
struct Open {
    /// Entries of the arrays and objects, outermost first.
    containers: [(u32, bool); DEPTH_MAX],
    depth: usize,
}

fn read_values(text: &[u8], entries: &mut Vec<Entry>) -> Option<()> {
    let mut open = Open { containers: [(0, false); DEPTH_MAX], depth: 0 };
    let (mut at, mut key) = (0, (0, 0));
    loop {
        let first = *text.get(at)?;
        match first {
            b'"' => {
                let end = quote_at(text, at + 1)?;
                push(entries, Kind::Text, key, (at + 1, end));
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
                    key = if is_object { key_at(text, &mut at)? } else { (0, 0) };
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
                key = if is_object { key_at(text, &mut at)? } else { (0, 0) };
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
fn key_at(text: &[u8], at: &mut usize) -> Option<(usize, usize)> {
    if text.get(*at) != Some(&b'"') {
        return None;
    }
    let start = *at + 1;
    let end = quote_at(text, start)?;
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

/// The first quote from `from` on, eight bytes at a time.
#[inline(always)]
fn quote_at(text: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    while let Some(word) = text.get(at..)?.first_chunk::<8>() {
        let difference = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
        // The lowest bit set is that of the first quote; bits above it may be wrong.
        let quotes = difference.wrapping_sub(ONES) & !difference & (ONES << 7);
        if quotes != 0 {
            return Some(at + (quotes.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = text[at..].iter().position(|byte| *byte == b'"')?;
    Some(at + rest)
}
