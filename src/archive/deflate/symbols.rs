//! The symbols of a block: literals and matches, by the tables of the block.
//!
//! Nearly all time of inflating passes in [`Chain::round`]. It waits for the way from one symbol to the next (look up
//! an entry, drop its bits, look up the next) and for branches that were foretold wrongly, so an entry holds two
//! literals where both codes fit, a match is copied in as few steps as there can be, and what can be checked once for
//! a whole round is. [`Run::carefully`] does the same symbol by symbol where the input is about to end.

use super::DeflateError;
use super::bits::Bits;
use super::tables::{
    DISTANCE_BITS, DISTANCE_TABLE, END_OF_BLOCK, EXCEPTIONAL, LITERAL, LITERAL_BITS, LITERAL_TABLE, SUBTABLE,
    Tables, code_bits, literal_count, literals, subtable_index, taken_bits, value,
};

/// Free space that a window needs for the decoder to go on: what one round writes at most.
pub(in super::super) const FREE_BYTES_MIN: usize = ROUND_LITERALS_MAX + MATCH_BYTES_MAX + COPY_BYTES;

const MATCH_BYTES_MAX: usize = 258;
/// Matches are copied by this many bytes.
const COPY_BYTES: usize = 128;
/// Literals of one round: three entries of two.
const ROUND_LITERALS_MAX: usize = 6;
/// Input that a round looks at: a word, and another one up to seven bytes behind it.
const ROUND_INPUT_BYTES: usize = 16;

const LITERAL_MASK: u64 = (1 << LITERAL_BITS) - 1;
const DISTANCE_MASK: u64 = (1 << DISTANCE_BITS) - 1;

/// Why a run through symbols ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Free space or input is running out.
    Short,
    /// The block is over.
    Block,
}

/// One run through coded symbols.
pub(super) struct Run<'r> {
    pub bits: Bits,
    pub input: &'r [u8],
    pub window: &'r mut [u8],
    pub at: usize,
    /// Matches reach no further back.
    pub oldest: usize,
    pub tables: &'r Tables,
}

impl Run<'_> {
    /// Decodes until the block, the input or the free space ends.
    #[inline(always)]
    pub(super) fn decode(&mut self) -> Result<End, DeflateError> {
        if self.input.len() - self.bits.at < 2 * ROUND_INPUT_BYTES {
            return self.carefully();
        }
        let mut chain = Chain::new(self);
        let outcome = loop {
            if let Some(outcome) = chain.round(self.window, self.oldest, self.tables) {
                break outcome;
            }
        };
        self.bits =
            Bits { buffer: chain.buffer, count: chain.count & 63, at: self.input.len() - chain.input.len() };
        self.at = chain.at;
        outcome
    }

    /// Decodes symbol by symbol, to the very end of the input.
    #[cold]
    #[inline(never)]
    fn carefully(&mut self) -> Result<End, DeflateError> {
        while self.window.len() - self.at >= FREE_BYTES_MIN {
            let mut bits = self.bits;
            bits.refill(self.input);
            let mut entry = self.tables.literals[(bits.buffer & LITERAL_MASK) as usize];
            if entry & LITERAL == 0 && entry & SUBTABLE != 0 {
                bits.skip(taken_bits(entry));
                entry = self.tables.literals[subtable_index(entry, bits.buffer) & (LITERAL_TABLE - 1)];
            }
            let is_literal = entry & LITERAL != 0;
            let (mut length, mut distance) = (0, 0);
            if is_literal {
                // Of two literals the first: the second may lie beyond the input.
                bits.skip(code_bits(entry));
            } else if entry & END_OF_BLOCK != 0 {
                bits.skip(taken_bits(entry));
            } else if entry & EXCEPTIONAL == 0 {
                length = value(entry, bits.buffer) as usize;
                bits.skip(taken_bits(entry));
                bits.refill(self.input);
                let mut entry = self.tables.distances[(bits.buffer & DISTANCE_MASK) as usize];
                if entry & SUBTABLE != 0 {
                    bits.skip(taken_bits(entry));
                    entry = self.tables.distances[subtable_index(entry, bits.buffer) & (DISTANCE_TABLE - 1)];
                }
                if entry & EXCEPTIONAL == 0 {
                    distance = value(entry, bits.buffer) as usize;
                    bits.skip(taken_bits(entry));
                }
            }
            if bits.byte_at() > self.input.len() {
                return Err(DeflateError::Truncated);
            }
            self.bits = bits;
            if is_literal {
                [self.window[self.at], _] = literals(entry);
                self.at += 1;
            } else if entry & END_OF_BLOCK != 0 {
                return Ok(End::Block);
            } else if distance == 0 {
                return Err(DeflateError::Corrupt("a code of no symbol or distance"));
            } else if distance > self.at - self.oldest {
                return Err(DeflateError::Corrupt("a match that reaches back too far"));
            } else {
                copy_match(self.window, self.at, distance, length);
                self.at += length;
            }
        }
        Ok(End::Short)
    }
}

/// What is carried from symbol to symbol.
struct Chain<'i> {
    buffer: u64,
    /// Bits at hand, in the lowest six bits of this: those above are left as they come.
    count: u32,
    /// What the next refill begins with.
    input: &'i [u8],
    at: usize,
    /// Of the bits at hand: looked up as soon as they are known.
    entry: u32,
}

impl<'i> Chain<'i> {
    #[inline(always)]
    fn new(run: &Run<'i>) -> Self {
        let mut bits = run.bits;
        bits.refill(run.input);
        let entry = run.tables.literals[(bits.buffer & LITERAL_MASK) as usize];
        Self { buffer: bits.buffer, count: bits.count, input: &run.input[bits.at..], at: run.at, entry }
    }

    /// Decodes a few literals, or fewer of them and a match; tells why not to go on, if so.
    #[inline(always)]
    fn round(
        &mut self,
        window: &mut [u8],
        oldest: usize,
        tables: &Tables,
    ) -> Option<Result<End, DeflateError>> {
        let (Some(ahead), Some(free)) = (
            self.input.first_chunk::<ROUND_INPUT_BYTES>(),
            window.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<FREE_BYTES_MIN>),
        ) else {
            return Some(Ok(End::Short));
        };
        let mut read = self.refill(ahead, 0);
        let mut written = 0;
        if self.entry & LITERAL != 0 {
            written = put(free, 0, self.entry);
            self.next(tables);
            if self.entry & LITERAL != 0 {
                written += put(free, written, self.entry);
                self.next(tables);
                if self.entry & LITERAL != 0 {
                    written += put(free, written, self.entry);
                    self.next(tables);
                    self.at += written;
                    self.input = &self.input[read..];
                    return None;
                }
            }
        }
        self.at += written;
        if self.entry & EXCEPTIONAL != 0 {
            if self.entry & SUBTABLE != 0 {
                self.skip(self.entry);
                self.entry = tables.literals[subtable_index(self.entry, self.buffer) & (LITERAL_TABLE - 1)];
                if self.entry & LITERAL != 0 {
                    self.at += put(free, written, self.entry);
                    self.next(tables);
                    self.input = &self.input[read..];
                    return None;
                }
            }
            if self.entry & EXCEPTIONAL != 0 {
                if self.entry & END_OF_BLOCK == 0 {
                    return Some(Err(DeflateError::Corrupt("a code of no symbol")));
                }
                self.skip(self.entry);
                self.input = &self.input[read..];
                return Some(Ok(End::Block));
            }
        }
        let length = value(self.entry, self.buffer) as usize;
        self.skip(self.entry);
        read += self.refill(ahead, read);
        let mut entry = tables.distances[(self.buffer & DISTANCE_MASK) as usize];
        if entry & EXCEPTIONAL != 0 {
            if entry & SUBTABLE != 0 {
                self.skip(entry);
                entry = tables.distances[subtable_index(entry, self.buffer) & (DISTANCE_TABLE - 1)];
            }
            if entry & EXCEPTIONAL != 0 {
                return Some(Err(DeflateError::Corrupt("a code of no distance")));
            }
        }
        let distance = value(entry, self.buffer) as usize;
        self.skip(entry);
        self.entry = tables.literals[(self.buffer & LITERAL_MASK) as usize];
        self.input = &self.input[read..];
        if distance > self.at - oldest {
            return Some(Err(DeflateError::Corrupt("a match that reaches back too far")));
        }
        copy_match(window, self.at, distance, length);
        self.at += length;
        None
    }

    /// At least 56 bits are there afterwards. Gives how many bytes of `ahead` were taken, from `at` on, which is
    /// at most seven.
    #[inline(always)]
    fn refill(&mut self, ahead: &[u8; ROUND_INPUT_BYTES], at: usize) -> usize {
        if let Some(word) = ahead[at & 7..].first_chunk::<8>() {
            self.buffer |= u64::from_le_bytes(*word) << (self.count & 63);
        }
        let taken = !self.count >> 3 & 7;
        self.count |= 56;
        taken as usize
    }

    #[inline(always)]
    fn skip(&mut self, entry: u32) {
        self.buffer >>= taken_bits(entry);
        self.count = self.count.wrapping_sub(entry);
    }

    #[inline(always)]
    fn next(&mut self, tables: &Tables) {
        self.skip(self.entry);
        self.entry = tables.literals[(self.buffer & LITERAL_MASK) as usize];
    }
}

/// Writes the literals of an entry behind `at` others, and gives how many they are.
#[inline(always)]
fn put(free: &mut [u8; FREE_BYTES_MIN], at: usize, entry: u32) -> usize {
    if let Some(target) = free[at & 7..].first_chunk_mut::<2>() {
        *target = literals(entry);
    }
    literal_count(entry)
}

/// Copies a match; up to [`COPY_BYTES`] of free space behind it are written too.
#[inline(always)]
fn copy_match(window: &mut [u8], at: usize, distance: usize, length: usize) {
    let source = at - distance;
    if distance >= COPY_BYTES || distance >= length {
        // No step reads what a later one writes.
        window.copy_within(source..source + COPY_BYTES, at);
        let mut done = COPY_BYTES;
        while done < length {
            window.copy_within(source + done..source + done + COPY_BYTES, at + done);
            done += COPY_BYTES;
        }
        return;
    }
    overlapping_match(window, at, distance, length);
}

/// A match that runs into itself.
#[cold]
#[inline(never)]
fn overlapping_match(window: &mut [u8], at: usize, distance: usize, length: usize) {
    let source = at - distance;
    let mut done = 0;
    while done < length {
        // What is there already repeats; each step doubles it.
        let step = (distance + done).min(length - done);
        window.copy_within(source..source + step, at + done);
        done += step;
    }
}
