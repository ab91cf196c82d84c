//! Finds where records end and where their names stand, 64 bytes at a time.
//!
//! Text and the position of an object's brace come in; a [`Scanned`] goes out. Text is surveyed ahead, a batch of
//! blocks at a time: a block becomes one bitmask per character that matters (quotes, backslashes, braces, the `N`
//! of `"eventName"`), a prefix xor over the unescaped quotes tells what lies inside strings, and counts of the
//! braces outside keep the depth. Few blocks hold the end of an object or a key that is asked for; those are
//! gathered without a branch that a processor could mispredict, and looked at closely afterwards.
//! The grammar is not checked: positions are right for well-formed text, and within bounds for any other.

use std::num::NonZeroUsize;

use super::blocks::{Backend, Masks};

const NAME_KEY: &[u8; 11] = b"\"eventName\"";
const ACCOUNT_KEY: &[u8; 20] = b"\"recipientAccountId\"";
/// The `N` of `"eventName"` and the `A` of `"recipientAccountId"` stand this far behind the opening quote.
const NAME_LETTER_DISTANCE: usize = 6;
const ACCOUNT_LETTER_DISTANCE: usize = 10;
/// Blocks of a batch; a power of two.
const BATCH_BLOCKS_MAX: usize = 256;
/// Blocks of the first batch, and how much larger the next is: little is surveyed in vain where text is damaged.
const BATCH_BLOCKS_FIRST: usize = 4;
const BATCH_GROWTH: usize = 4;

/// What one pass over an object saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Position of the opening brace.
    pub start: usize,
    pub end: Option<NonZeroUsize>,
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

impl Scanned {
    /// Position behind the closing brace; `None` where the text ends before.
    pub(super) fn end(&self) -> Option<usize> {
        self.end.map(NonZeroUsize::get)
    }
}

/// Scans objects of one text, one after another.
pub(super) struct Scanner {
    backend: Backend,
    batch: Batch,
    batch_blocks: usize,
    carry: Carry,
    /// Text before this position was surveyed.
    surveyed: usize,
    /// Objects found ahead; those before `next` were given out. The last one has no end yet if `is_inside`.
    found: Vec<Scanned>,
    next: usize,
    is_inside: bool,
}

impl Scanner {
    /// Ready for any text.
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            batch: Batch::default(),
            batch_blocks: BATCH_BLOCKS_FIRST,
            carry: Carry::default(),
            surveyed: 0,
            found: Vec::new(),
            next: 0,
            is_inside: false,
        }
    }

    /// Forgets what was found ahead: positions are of another text from now on.
    pub(super) fn reset(&mut self) {
        // Nothing lies behind this: the next object is surveyed from its own start.
        self.restart(usize::MAX);
    }

    /// Scans the object whose opening brace is at `at`; between two calls of [`Self::reset`], `text` must be the same.
    /// An end beyond `limit` is not looked for, but may be found.
    #[inline]
    pub(super) fn object(&mut self, text: &[u8], at: usize, limit: usize) -> &Scanned {
        if self.is_next(at) {
            self.next += 1;
        } else {
            self.pass_over(at);
            if self.is_next(at) {
                self.next += 1;
            } else {
                self.survey_object(text, at, limit);
            }
        }
        &self.found[self.next - 1]
    }

    /// Whether the next object found ahead begins at `at`, and has an end.
    #[inline]
    fn is_next(&self, at: usize) -> bool {
        self.found.get(self.next).is_some_and(|found| found.start == at && found.end.is_some())
    }

    /// Passes over objects that stand before `at`, which are part of something else there.
    fn pass_over(&mut self, at: usize) {
        let before = |found: &&Scanned| found.end().is_some_and(|end| end <= at);
        self.next += self.found[self.next..].iter().take_while(before).count();
    }

    /// Surveys text until the object that begins at `at` is the first one found, and given out.
    fn survey_object(&mut self, text: &[u8], at: usize, limit: usize) {
        if text.get(at) != Some(&b'{') {
            debug_assert!(false, "no object begins at {at}");
            self.restart(usize::MAX);
            self.found.push(Scanned { start: at, ..Scanned::default() });
            self.next = 1;
            return;
        }
        // What was surveyed is of use if it ends before the object or inside it.
        let left = &self.found[self.next..];
        let is_ahead = match (left, self.is_inside) {
            ([unfinished], true) => unfinished.start == at,
            ([], false) => self.surveyed <= at,
            _ => false,
        };
        if !is_ahead {
            self.restart(at);
        }
        loop {
            self.found.drain(..self.next);
            self.next = 0;
            let is_over = !self.survey(text) || self.surveyed >= limit.min(text.len());
            match self.found.first() {
                Some(first) if first.start == at && (first.end.is_some() || is_over) => break,
                Some(first) if first.start == at => {}
                None if !is_over => {}
                // Something else than objects stands before this one.
                _ => self.restart(at),
            }
        }
        self.next = 1;
    }

    fn restart(&mut self, at: usize) {
        self.found.clear();
        self.next = 0;
        self.is_inside = false;
        self.carry = Carry::default();
        self.surveyed = at;
        self.batch_blocks = BATCH_BLOCKS_FIRST;
    }

    /// Surveys the next batch of blocks; `false` if more braces close than were opened.
    fn survey(&mut self, text: &[u8]) -> bool {
        let base = self.surveyed;
        let rest = &text[base..];
        let (blocks, rest) = rest.as_chunks::<64>();
        if blocks.is_empty() {
            let mut filled = [b' '; 64];
            filled[..rest.len()].copy_from_slice(rest);
            self.backend.survey(&[filled], &mut self.carry, &mut self.batch);
            self.surveyed = text.len();
        } else {
            let blocks = &blocks[..blocks.len().min(self.batch_blocks)];
            self.backend.survey(blocks, &mut self.carry, &mut self.batch);
            self.surveyed += blocks.len() * 64;
            self.batch_blocks = (self.batch_blocks * BATCH_GROWTH).min(BATCH_BLOCKS_MAX);
        }
        let is_sound = (0..self.batch.count).all(|slot| self.look(text, base, slot));
        if self.is_inside {
            self.note_bytes(base, self.surveyed - 1);
        }
        is_sound
    }

    /// Notes what the current object has of rare bytes, of those of this batch up to `last`.
    #[inline]
    fn note_bytes(&mut self, base: usize, last: usize) {
        if let Some(current) = self.found.last_mut()
            && (self.batch.has_backslash || self.batch.has_non_ascii)
        {
            let block = |position: usize| position.saturating_sub(base) / 64;
            current.has_backslash |= (block(current.start)..=block(last))
                .any(|block| self.batch.backslash_blocks[block / 64] >> (block % 64) & 1 == 1);
            current.has_non_ascii |= self.batch.has_non_ascii;
        }
    }

    /// Looks at a block that was gathered; `false` if more braces close than were opened.
    #[inline]
    fn look(&mut self, text: &[u8], base: usize, slot: usize) -> bool {
        let batch = &self.batch;
        let (number, may_end) = (batch.block[slot] >> 1, batch.block[slot] & 1 == 1);
        let at = base + number as usize * 64;
        let depth = batch.depth[slot];
        let (letters, open, close) = (batch.letters[slot], batch.open[slot], batch.close[slot]);
        if !may_end {
            self.note_keys(text, at, letters, open, close, depth);
            return true;
        }
        // Nearly always one object ends here, with a brace for each level, and at most one begins behind it.
        if letters == 0 && (1..=4).contains(&depth) {
            let closing = (1..depth).fold(close, |close, _| close & close.wrapping_sub(1));
            let end = closing & closing.wrapping_neg();
            let before = end.wrapping_sub(1);
            if open & before == 0 && closing == end {
                self.end_object(base, at + end.trailing_zeros() as usize);
                if open != 0 {
                    self.begin_object(at + open.trailing_zeros() as usize);
                }
                return true;
            }
        }
        self.look_closely(text, base, slot)
    }

    /// Goes through a block brace by brace.
    fn look_closely(&mut self, text: &[u8], base: usize, slot: usize) -> bool {
        let batch = &self.batch;
        let at = base + (batch.block[slot] >> 1) as usize * 64;
        let mut depth = batch.depth[slot];
        let (letters, open, close) = (batch.letters[slot], batch.open[slot], batch.close[slot]);
        let mut marks = letters | open | close;
        while marks != 0 {
            let bit = marks & marks.wrapping_neg();
            let position = at + marks.trailing_zeros() as usize;
            if open & bit != 0 {
                if depth == 0 {
                    self.begin_object(position);
                }
                depth += 1;
            } else if close & bit != 0 {
                depth -= 1;
                match depth {
                    0 => self.end_object(base, position),
                    ..0 => return false,
                    _ => {}
                }
            } else if depth == 1 {
                self.note_key(text, position);
            }
            marks &= marks - 1;
        }
        true
    }

    /// Notes keys in a block that no object ends in.
    #[inline]
    fn note_keys(&mut self, text: &[u8], at: usize, mut letters: u64, open: u64, close: u64, depth: i32) {
        while letters != 0 {
            let bit = letters.trailing_zeros();
            let before = (1u64 << bit) - 1;
            let depth = if (open | close) & before == 0 {
                depth
            } else {
                depth + (open & before).count_ones().cast_signed()
                    - (close & before).count_ones().cast_signed()
            };
            if depth == 1 {
                self.note_key(text, at + bit as usize);
            }
            letters &= letters - 1;
        }
    }

    #[inline]
    fn note_key(&mut self, text: &[u8], letter_at: usize) {
        let Some(current) = self.found.last_mut() else { return };
        if text[letter_at] == b'N' {
            let key_at = letter_at - NAME_LETTER_DISTANCE;
            if is_key(text, key_at, NAME_KEY) {
                current.name_at = key_at;
                current.names += 1;
            }
        } else {
            let key_at = letter_at - ACCOUNT_LETTER_DISTANCE;
            if is_key(text, key_at, ACCOUNT_KEY) {
                current.account_at = key_at;
                current.accounts += 1;
            }
        }
    }

    #[inline]
    fn begin_object(&mut self, start: usize) {
        self.is_inside = true;
        self.found.push(Scanned { start, ..Scanned::default() });
    }

    #[inline]
    fn end_object(&mut self, base: usize, closing_brace: usize) {
        self.note_bytes(base, closing_brace);
        self.is_inside = false;
        if let Some(current) = self.found.last_mut() {
            current.end = NonZeroUsize::new(closing_brace + 1);
        }
    }
}

/// What is carried from block to block.
#[derive(Clone, Copy, Default)]
pub(super) struct Carry {
    /// Braces open; below zero where more were closed.
    depth: i32,
    /// All ones while the text is inside a string.
    inside: u64,
    /// One if the next byte is escaped.
    escape: u64,
    quotes: u64,
}

/// The blocks of a batch that must be looked at: an object may end in them, or keys may stand there.
pub(super) struct Batch {
    count: usize,
    /// Which block of the batch, shifted by one, and in the lowest bit whether an object may end in it.
    block: [u32; BATCH_BLOCKS_MAX],
    /// Depth before the block.
    depth: [i32; BATCH_BLOCKS_MAX],
    /// What may be letters of keys.
    letters: [u64; BATCH_BLOCKS_MAX],
    /// Braces outside strings.
    open: [u64; BATCH_BLOCKS_MAX],
    close: [u64; BATCH_BLOCKS_MAX],
    /// Whether a backslash stands in any of the blocks, and in which: one bit each.
    has_backslash: bool,
    backslash_blocks: [u64; BATCH_BLOCKS_MAX / 64],
    /// Whether a byte beyond ASCII stands in any of the blocks; for the backend to say.
    pub(super) has_non_ascii: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            count: 0,
            block: [0; BATCH_BLOCKS_MAX],
            depth: [0; BATCH_BLOCKS_MAX],
            letters: [0; BATCH_BLOCKS_MAX],
            open: [0; BATCH_BLOCKS_MAX],
            close: [0; BATCH_BLOCKS_MAX],
            has_backslash: false,
            backslash_blocks: [0; BATCH_BLOCKS_MAX / 64],
            has_non_ascii: false,
        }
    }
}

/// Surveys up to [`BATCH_BLOCKS_MAX`] blocks.
///
/// `masks` and `prefix_xor` are the processor's own; inlined, so that the loop is compiled for it too.
#[inline(always)]
pub(super) fn survey_blocks(
    blocks: &[[u8; 64]],
    carry: &mut Carry,
    batch: &mut Batch,
    mut masks: impl FnMut(&[u8; 64]) -> Masks,
    prefix_xor: impl Fn(u64) -> u64,
) {
    let Carry { mut depth, mut inside, mut escape, quotes: mut quotes_before } = *carry;
    let (mut count, mut has_backslash) = (0, false);
    batch.backslash_blocks = [0; BATCH_BLOCKS_MAX / 64];
    for (number, block) in (0u32..).zip(blocks) {
        let masks = masks(block);
        let mut quotes = masks.quote;
        if masks.backslash | escape != 0 {
            has_backslash = true;
            let word = (number / 64) as usize & (BATCH_BLOCKS_MAX / 64 - 1);
            batch.backslash_blocks[word] |= 1 << (number % 64);
            quotes &= !escaped(masks.backslash, &mut escape);
        }
        let in_string = prefix_xor(quotes) ^ inside;
        inside = (in_string.cast_signed() >> 63).cast_unsigned();
        let open = masks.open & !in_string;
        let close = masks.close & !in_string;
        let behind = |distance: usize| (quotes << distance) | (quotes_before >> (64 - distance));
        let letters = in_string
            & (masks.name_letter & behind(NAME_LETTER_DISTANCE)
                | masks.account_letter & behind(ACCOUNT_LETTER_DISTANCE));
        quotes_before = quotes;
        let closes = close.count_ones().cast_signed();
        // Written in any case: most are overwritten by the next block.
        let may_end = closes >= depth;
        let slot = count & (BATCH_BLOCKS_MAX - 1);
        batch.block[slot] = number << 1 | u32::from(may_end);
        batch.depth[slot] = depth;
        batch.letters[slot] = letters;
        batch.open[slot] = open;
        batch.close[slot] = close;
        count += usize::from((letters != 0) | may_end);
        depth = depth.wrapping_add(open.count_ones().cast_signed()).wrapping_sub(closes);
    }
    *carry = Carry { depth, inside, escape, quotes: quotes_before };
    batch.count = count;
    batch.has_backslash = has_backslash;
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
