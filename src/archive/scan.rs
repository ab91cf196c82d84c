//! Finds where a record ends and where its name stands, 64 bytes at a time.
//!
//! Text and the position of an object's brace come in; a [`Scanned`] goes out. A block of text becomes one
//! bitmask per character that matters (quotes, backslashes, braces, the `N` of `"eventName"`); a prefix xor
//! over the unescaped quotes tells what lies inside strings, and counts of the braces outside keep the depth.
//! The grammar is not checked: positions are right for well-formed text, and within bounds for any other.

use super::blocks::Masks;

const NAME_KEY: &[u8; 11] = b"\"eventName\"";
const ACCOUNT_KEY: &[u8; 20] = b"\"recipientAccountId\"";
/// The `N` of `"eventName"` and the `A` of `"recipientAccountId"` stand this far behind the opening quote.
const NAME_LETTER_DISTANCE: usize = 6;
const ACCOUNT_LETTER_DISTANCE: usize = 10;

/// What one pass over an object saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Position behind the closing brace; `None` where the text ends before.
    pub end: Option<usize>,
    /// Position of the opening quote of the last `"eventName"` that is a key of the object itself.
    pub name_at: usize,
    /// How many such keys there are.
    pub names: u32,
    /// The same for `"recipientAccountId"`.
    pub account_at: usize,
    /// How many such keys there are.
    pub accounts: u32,
    /// Whether the object may hold a backslash.
    pub has_backslash: bool,
    /// Whether the object may hold a byte beyond ASCII.
    pub has_non_ascii: bool,
}

/// What is carried from block to block; it stays in registers.
struct Carry {
    depth: u32,
    /// All ones while the text is inside a string.
    inside: u64,
    /// One if the next byte is escaped.
    escape: u64,
    quotes: u64,
}

/// Scans the object whose opening brace is at `start`, block by block.
///
/// `masks` and `prefix_xor` are the processor's own; inlined, so that the loop is compiled for it too.
#[inline(always)]
pub(super) fn scan_blocks(
    text: &[u8],
    start: usize,
    mut masks: impl FnMut(&[u8; 64]) -> Masks,
    prefix_xor: impl Fn(u64) -> u64,
) -> Scanned {
    debug_assert_eq!(text.get(start), Some(&b'{'));
    let mut scanned = Scanned::default();
    let mut carry = Carry { depth: 0, inside: 0, escape: 0, quotes: 0 };
    let (blocks, rest) = text[start..].as_chunks::<64>();
    for (index, block) in blocks.iter().enumerate() {
        let at = start + index * 64;
        if scan_block(text, at, masks(block), &prefix_xor, &mut carry, &mut scanned) {
            return scanned;
        }
    }
    let at = start + blocks.len() * 64;
    if !rest.is_empty() {
        let mut filled = [b' '; 64];
        filled[..rest.len()].copy_from_slice(rest);
        scan_block(text, at, masks(&filled), &prefix_xor, &mut carry, &mut scanned);
    }
    scanned
}

/// Takes in one block; `true` once the object has ended.
#[inline(always)]
fn scan_block(
    text: &[u8],
    at: usize,
    masks: Masks,
    prefix_xor: impl Fn(u64) -> u64,
    carry: &mut Carry,
    scanned: &mut Scanned,
) -> bool {
    let mut quotes = masks.quote;
    if masks.backslash | carry.escape != 0 {
        scanned.has_backslash = true;
        quotes &= !escaped(masks.backslash, &mut carry.escape);
    }
    let in_string = prefix_xor(quotes) ^ carry.inside;
    carry.inside = (in_string.cast_signed() >> 63).cast_unsigned();
    let open = masks.open & !in_string;
    let close = masks.close & !in_string;
    let before = carry.quotes;
    let behind = |distance: usize| (quotes << distance) | (before >> (64 - distance));
    let letters = in_string
        & (masks.name_letter & behind(NAME_LETTER_DISTANCE)
            | masks.account_letter & behind(ACCOUNT_LETTER_DISTANCE));
    carry.quotes = quotes;
    let closes = close.count_ones();
    if closes < carry.depth {
        if letters != 0 {
            note_keys(text, at, letters, open, close, carry.depth, scanned);
        }
        carry.depth = carry.depth + open.count_ones() - closes;
        return false;
    }
    match look_closely(text, at, letters, open, close, carry.depth, scanned) {
        Some(depth) => {
            carry.depth = depth;
            false
        }
        None => true,
    }
}

/// Notes keys in a block that the object does not end in. Out of line, like the next: the loop over the
/// blocks needs the registers.
#[inline(never)]
fn note_keys(
    text: &[u8],
    at: usize,
    mut letters: u64,
    open: u64,
    close: u64,
    depth: u32,
    scanned: &mut Scanned,
) {
    while letters != 0 {
        let bit = letters.trailing_zeros();
        let before = (1u64 << bit) - 1;
        if depth + (open & before).count_ones() - (close & before).count_ones() == 1 {
            note_key(text, at + bit as usize, scanned);
        }
        letters &= letters - 1;
    }
}

/// Goes through a block brace by brace; gives the depth behind it, or nothing if the object ends in it.
#[inline(never)]
fn look_closely(
    text: &[u8],
    at: usize,
    letters: u64,
    open: u64,
    close: u64,
    mut depth: u32,
    scanned: &mut Scanned,
) -> Option<u32> {
    let mut marks = letters | open | close;
    while marks != 0 {
        let bit = marks & marks.wrapping_neg();
        let position = at + marks.trailing_zeros() as usize;
        if open & bit != 0 {
            depth += 1;
        } else if close & bit != 0 {
            depth -= 1;
            if depth == 0 {
                scanned.end = Some(position + 1);
                return None;
            }
        } else if depth == 1 {
            note_key(text, position, scanned);
        }
        marks &= marks - 1;
    }
    Some(depth)
}

#[inline]
fn note_key(text: &[u8], letter_at: usize, scanned: &mut Scanned) {
    if text[letter_at] == b'N' {
        let key_at = letter_at - NAME_LETTER_DISTANCE;
        if is_key(text, key_at, NAME_KEY) {
            scanned.name_at = key_at;
            scanned.names += 1;
        }
    } else {
        let key_at = letter_at - ACCOUNT_LETTER_DISTANCE;
        if is_key(text, key_at, ACCOUNT_KEY) {
            scanned.account_at = key_at;
            scanned.accounts += 1;
        }
    }
}

#[inline]
fn is_key<const N: usize>(text: &[u8], at: usize, key: &[u8; N]) -> bool {
    let rest = &text[at..];
    rest.first_chunk::<N>() == Some(key) && {
        rest.get(N) == Some(&b':') || rest.get(super::structure::skip_whitespace(rest, N)) == Some(&b':')
    }
}

/// The characters that a backslash before them escapes; `carry` is one if that reaches into the next block.
fn escaped(backslash: u64, carry: &mut u64) -> u64 {
    const ODD_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // In a run of backslashes every other one is escaped itself: subtracting the run's start from the
    // odd bits flips them through the run, which tells runs of odd from runs of even length.
    let starting = backslash & !*carry;
    let flipped = ((starting << 1) | ODD_BITS).wrapping_sub(starting) ^ ODD_BITS;
    let escaped = flipped ^ (backslash | *carry);
    *carry = (flipped & backslash) >> 63;
    escaped
}
