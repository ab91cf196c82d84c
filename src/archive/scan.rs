//! Finds where a record ends and where its name stands, 64 bytes at a time.
//!
//! Text and the position of an object's brace come in; a [`Scanned`] goes out. A block of text becomes one
//! bitmask per character that matters (quotes, backslashes, braces, the `N` of `"eventName"`); a prefix xor
//! over the unescaped quotes tells what lies inside strings, and counts of the braces outside keep the depth.
//! The grammar is not checked: positions are right for well-formed text, and within bounds for any other.

use super::blocks::{Backend, Masks};

/// Blocks whose state is kept, to look back from a record's end.
const RECENT_BLOCKS: usize = 16;
const BLOCK: usize = 64;
const NAME_KEY: &[u8] = b"\"eventName\"";
/// The `N` of `"eventName"` stands this far behind the opening quote.
const NAME_LETTER_DISTANCE: usize = 6;
const ACCOUNT_MEMBER: &[u8] = b",\"recipientAccountId\":\"";

/// What one pass over an object saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Position behind the closing brace; `None` where the text ends before.
    pub end: Option<usize>,
    /// Position of the opening quote of the last `"eventName"` that is a key of the object itself.
    pub name_at: usize,
    /// How many such keys there are.
    pub names: u32,
    /// Whether the object may hold a backslash.
    pub has_backslash: bool,
    /// Whether the object may hold a byte beyond ASCII.
    pub has_non_ascii: bool,
}

/// State at the beginning of a block, and the braces in it.
#[derive(Clone, Copy, Default)]
struct BlockState {
    depth: u32,
    open: u64,
    close: u64,
}

/// Scans objects; keeps the state of the last blocks of the last one.
pub(super) struct Scanner {
    backend: Backend,
    recent: [BlockState; RECENT_BLOCKS],
    start: usize,
    account_finder: memchr::memmem::Finder<'static>,
}

impl Scanner {
    /// With the fastest means that this processor has.
    pub(super) fn new() -> Self {
        Self::with_backend(Backend::detect())
    }

    /// With given means.
    pub(super) fn with_backend(backend: Backend) -> Self {
        Self {
            backend,
            recent: [BlockState::default(); RECENT_BLOCKS],
            start: 0,
            account_finder: memchr::memmem::Finder::new(ACCOUNT_MEMBER),
        }
    }

    /// Scans the object whose opening brace is at `start`.
    pub(super) fn scan(&mut self, text: &[u8], start: usize) -> Scanned {
        debug_assert_eq!(text.get(start), Some(&b'{'));
        self.start = start;
        let mut walk = Walk::new(text, start, &mut self.recent);
        self.backend.for_each_block(text, start, &mut walk);
        walk.scanned
    }

    /// The value of the last `"recipientAccountId"` near the end of the object scanned last, if it is a
    /// plain member of the object itself.
    pub(super) fn account<'t>(&self, text: &'t [u8], end: usize) -> Option<&'t [u8]> {
        // The oldest block of the ring may be the one that the newest has just taken the place of.
        let reach = (RECENT_BLOCKS - 1) * BLOCK;
        let last_block = (end - 1 - self.start) / BLOCK;
        let oldest = self.start + (last_block * BLOCK).saturating_sub(reach - BLOCK);
        let tail = &text[oldest..end];
        let mut account = None;
        for found in self.account_finder.find_iter(tail) {
            let at = oldest + found;
            if self.depth_at(at) != 1 {
                continue;
            }
            let value_at = at + ACCOUNT_MEMBER.len();
            let value = &text[value_at..end];
            let length = memchr::memchr2(b'"', b'\\', value)?;
            if value[length] == b'\\' {
                return None;
            }
            account = Some(&value[..length]);
        }
        account
    }

    fn depth_at(&self, at: usize) -> u32 {
        let distance = at - self.start;
        let block = &self.recent[distance / BLOCK % RECENT_BLOCKS];
        let before = (1u64 << (distance % BLOCK)) - 1;
        block.depth + (block.open & before).count_ones() - (block.close & before).count_ones()
    }
}

/// The pass over one object.
pub(super) struct Walk<'t> {
    text: &'t [u8],
    recent: &'t mut [BlockState; RECENT_BLOCKS],
    scanned: Scanned,
    block_index: usize,
    depth: u32,
    /// All ones while the text is inside a string.
    in_string: u64,
    /// One if the next byte is escaped.
    escape: u64,
    quotes: u64,
}

impl<'t> Walk<'t> {
    fn new(text: &'t [u8], start: usize, recent: &'t mut [BlockState; RECENT_BLOCKS]) -> Self {
        debug_assert!(start < text.len());
        Self {
            text,
            recent,
            scanned: Scanned::default(),
            block_index: 0,
            depth: 0,
            in_string: 0,
            escape: 0,
            quotes: 0,
        }
    }

    /// Takes in the block at `at`; `true` once the object has ended.
    #[inline(always)]
    pub(super) fn block(&mut self, at: usize, masks: Masks, prefix_xor: impl Fn(u64) -> u64) -> bool {
        let mut quotes = masks.quote;
        if masks.backslash | self.escape != 0 {
            self.scanned.has_backslash = true;
            quotes &= !escaped(masks.backslash, &mut self.escape);
        }
        self.scanned.has_non_ascii |= masks.has_non_ascii;
        let in_string = prefix_xor(quotes) ^ self.in_string;
        self.in_string = ((in_string as i64) >> 63) as u64;
        let open = masks.open & !in_string;
        let close = masks.close & !in_string;
        let behind_quote = (quotes << NAME_LETTER_DISTANCE) | (self.quotes >> (64 - NAME_LETTER_DISTANCE));
        let letters = masks.letter & behind_quote & in_string;
        self.quotes = quotes;
        self.recent[self.block_index % RECENT_BLOCKS] = BlockState { depth: self.depth, open, close };
        self.block_index += 1;
        let closes = close.count_ones();
        if closes < self.depth {
            if letters != 0 {
                self.look_for_names(at, letters, open, close);
            }
            self.depth = self.depth + open.count_ones() - closes;
            return false;
        }
        self.look_closely(at, letters, open, close)
    }

    /// Notes names in a block that the object does not end in.
    fn look_for_names(&mut self, at: usize, mut letters: u64, open: u64, close: u64) {
        while letters != 0 {
            let bit = letters.trailing_zeros();
            let before = (1u64 << bit) - 1;
            if self.depth + (open & before).count_ones() - (close & before).count_ones() == 1 {
                self.note_name(at + bit as usize);
            }
            letters &= letters - 1;
        }
    }

    /// Goes through a block brace by brace; `true` if the object ends in it.
    fn look_closely(&mut self, at: usize, letters: u64, open: u64, close: u64) -> bool {
        let mut marks = letters | open | close;
        while marks != 0 {
            let bit = marks & marks.wrapping_neg();
            let position = at + marks.trailing_zeros() as usize;
            if open & bit != 0 {
                self.depth += 1;
            } else if close & bit != 0 {
                self.depth -= 1;
                if self.depth == 0 {
                    self.scanned.end = Some(position + 1);
                    return true;
                }
            } else if self.depth == 1 {
                self.note_name(position);
            }
            marks &= marks - 1;
        }
        false
    }

    fn note_name(&mut self, letter_at: usize) {
        let name_at = letter_at - NAME_LETTER_DISTANCE;
        let rest = &self.text[name_at..];
        if !rest.starts_with(NAME_KEY) {
            return;
        }
        let colon = super::structure::skip_whitespace(rest, NAME_KEY.len());
        if rest.get(colon) == Some(&b':') {
            self.scanned.name_at = name_at;
            self.scanned.names += 1;
        }
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
