//! Decoding tables: from the lengths of a block's codes to an entry for every sequence of bits.
//!
//! Code lengths come in, a main table with subtables behind it is filled. A set of codes that is no prefix
//! code is refused, so every index that bits can form has an entry.

use super::DeflateError;

pub(super) const LITERAL_BITS: u32 = 11;
pub(super) const DISTANCE_BITS: u32 = 8;
pub(super) const LITERAL_TABLE: usize = 4096;
pub(super) const DISTANCE_TABLE: usize = 1024;
pub(super) const LITERAL_SYMBOLS: usize = 288;
pub(super) const DISTANCE_SYMBOLS: usize = 32;
pub(super) const CODE_LENGTH_SYMBOLS: usize = 19;
pub(super) const END_OF_BLOCK_SYMBOL: usize = 256;
const CODE_LENGTH_BITS: u32 = 7;
const CODE_BITS_MAX: usize = 15;

// An entry, from its lowest bit:
//   0..=5   the bits it takes, with the extra bits behind its code
//   8..=11  the bits of its (first) code, or how many index its subtable
//   12, 13  of literals: how many
//   13..=15 of anything else: flags
//   16..=30 the value: one or two literals (the second one ASCII), a base, where a subtable begins
//   31      whether it is of literals
pub(super) const LITERAL: u32 = 1 << 31;
pub(super) const END_OF_BLOCK: u32 = 1 << 13;
pub(super) const SUBTABLE: u32 = 1 << 14;
pub(super) const EXCEPTIONAL: u32 = 1 << 15;
/// No code: such an entry takes no bits.
const INVALID: u32 = EXCEPTIONAL;
const COUNT_SHIFT: u32 = 12;
/// What a code's length adds to its entry, per bit.
const PER_BIT: u32 = 1 << 8 | 1;

/// A symbol that has a code.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub symbol: u16,
    /// Bits, from 1 to 15.
    pub length: u8,
}

/// What the entries of a block's symbols are found by.
pub(super) struct Tables {
    pub literals: [u32; LITERAL_TABLE],
    pub distances: [u32; DISTANCE_TABLE],
}

impl Tables {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { literals: [INVALID; LITERAL_TABLE], distances: [INVALID; DISTANCE_TABLE] })
    }

    /// Builds both.
    #[inline(always)]
    pub(super) fn build(&mut self, literals: &[Code], distances: &[Code]) -> Result<(), DeflateError> {
        build(literals, &LITERAL_ENTRIES, &mut self.literals, LITERAL_BITS, true)?;
        pair(&mut self.literals);
        build(distances, &DISTANCE_ENTRIES, &mut self.distances, DISTANCE_BITS, true)
    }
}

#[inline(always)]
pub(super) fn taken_bits(entry: u32) -> u32 {
    entry & 63
}

#[inline(always)]
pub(super) fn code_bits(entry: u32) -> u32 {
    entry >> 8 & 15
}

#[inline(always)]
pub(super) fn literal_count(entry: u32) -> usize {
    (entry >> COUNT_SHIFT & 3) as usize
}

#[inline(always)]
pub(super) fn literals(entry: u32) -> [u8; 2] {
    ((entry >> 16) as u16 & 0x7fff).to_le_bytes()
}

#[inline(always)]
pub(super) fn subtable_index(entry: u32, buffer: u64) -> usize {
    (entry >> 16) as usize + (buffer & ((1 << code_bits(entry)) - 1)) as usize
}

/// The base of an entry and its extra bits.
#[inline(always)]
pub(super) fn value(entry: u32, buffer: u64) -> u32 {
    (entry >> 16) + ((buffer & ((1 << taken_bits(entry)) - 1)) >> code_bits(entry)) as u32
}

/// Symbols of code lengths have no extra bits, and their own number as value.
const CODE_LENGTH_ENTRIES: [u32; CODE_LENGTH_SYMBOLS] = {
    let mut entries = [0; CODE_LENGTH_SYMBOLS];
    let mut symbol = 0;
    while symbol < CODE_LENGTH_SYMBOLS {
        entries[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    entries
};

const LITERAL_ENTRIES: [u32; LITERAL_SYMBOLS] = {
    let mut entries = [INVALID; LITERAL_SYMBOLS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol] = LITERAL | 1 << COUNT_SHIFT | (symbol as u32) << 16;
        symbol += 1;
    }
    entries[END_OF_BLOCK_SYMBOL] = EXCEPTIONAL | END_OF_BLOCK;
    let mut base = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries[285] = 258 << 16;
    entries
};

const DISTANCE_ENTRIES: [u32; DISTANCE_SYMBOLS] = {
    let mut entries = [INVALID; DISTANCE_SYMBOLS];
    let mut base = 1;
    let mut symbol = 0;
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol as u32 / 2 - 1 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries
};

/// The table of the codes that the lengths of a block's codes are written in.
pub(super) fn code_length_table(
    lengths: [u8; CODE_LENGTH_SYMBOLS],
) -> Result<[u32; 1 << CODE_LENGTH_BITS], DeflateError> {
    let mut codes = [Code::default(); CODE_LENGTH_SYMBOLS];
    let mut count = 0;
    for (symbol, length) in (0..).zip(lengths).filter(|(_, length)| *length > 0) {
        codes[count] = Code { symbol, length };
        count += 1;
    }
    let mut table = [0; 1 << CODE_LENGTH_BITS];
    build(&codes[..count], &CODE_LENGTH_ENTRIES, &mut table, CODE_LENGTH_BITS, false)?;
    Ok(table)
}

/// Builds a decoding table of `table_bits` and the subtables behind it from codes in the order of their symbols, and
/// from what the entry of each symbol is without its code.
#[inline(always)]
fn build(
    codes: &[Code],
    entries: &[u32],
    table: &mut [u32],
    table_bits: u32,
    may_be_single: bool,
) -> Result<(), DeflateError> {
    let codes = Codes::of(codes, may_be_single)?;
    let mut symbols = codes.symbols.iter();
    let main = 1usize << table_bits;
    if codes.has_gaps {
        table[..main].fill(INVALID);
    }
    // The first bit of a code is the lowest of its index. The table is filled as far as indices of the bits so far
    // reach, and doubled with each further bit.
    let (mut code, mut filled) = (0usize, 1usize);
    for (length, count) in (1..=table_bits).zip(&codes.counts[1..]) {
        table.copy_within(..filled, filled);
        filled *= 2;
        for symbol in symbols.by_ref().take(usize::from(*count)) {
            table[code] = entries[usize::from(*symbol)] + length * PER_BIT;
            code = next_code(code, length);
        }
    }
    let mut free = main;
    let (mut prefix, mut begin, mut size) = (usize::MAX, 0, 0);
    for length in table_bits + 1..=CODE_BITS_MAX as u32 {
        let rest = length - table_bits;
        for left in (1..=codes.counts[length as usize]).rev() {
            let Some(symbol) = symbols.next() else { break };
            if code & (main - 1) != prefix {
                prefix = code & (main - 1);
                let index_bits = codes.index_bits(length, left, table_bits);
                (begin, size) = (free, 1 << index_bits);
                free += size;
                table[prefix] = EXCEPTIONAL | SUBTABLE | (begin as u32) << 16 | index_bits << 8 | table_bits;
            }
            let slots = table.get_mut(begin..begin + size).ok_or(DeflateError::Corrupt("too many codes"))?;
            let entry = entries[usize::from(*symbol)] + rest * PER_BIT;
            slots.iter_mut().skip(code >> table_bits).step_by(1 << rest).for_each(|slot| *slot = entry);
            code = next_code(code, length);
        }
    }
    Ok(())
}

/// The codes of a block.
struct Codes {
    /// How many have which length.
    counts: [u16; CODE_BITS_MAX + 1],
    /// Symbols in the order of their codes.
    symbols: [u16; LITERAL_SYMBOLS],
    /// Whether there are bits that begin no code.
    has_gaps: bool,
}

impl Codes {
    #[inline(always)]
    fn of(codes: &[Code], may_be_single: bool) -> Result<Self, DeflateError> {
        let mut counts = [0; CODE_BITS_MAX + 1];
        for code in codes {
            counts[usize::from(code.length & 15)] += 1;
        }
        let mut next = [0; CODE_BITS_MAX + 1];
        let (mut left, mut before) = (1i32, 0);
        for (next, count) in next.iter_mut().zip(&counts).skip(1) {
            *next = before;
            before += count;
            left = (left << 1) - i32::from(*count);
            if left < 0 {
                return Err(DeflateError::Corrupt("too many codes of a length"));
            }
        }
        let is_single = counts[2..].iter().all(|count| *count == 0);
        if left > 0 && !(may_be_single && is_single) {
            return Err(DeflateError::Corrupt("a set of codes with gaps"));
        }
        let mut symbols = [0; LITERAL_SYMBOLS];
        for code in codes {
            let slot = &mut next[usize::from(code.length & 15)];
            symbols[usize::from(*slot)] = code.symbol;
            *slot += 1;
        }
        Ok(Self { counts, symbols, has_gaps: left > 0 })
    }

    /// How many bits index a subtable whose first code is of `length`, of which `left` more are to come. It has room
    /// for all codes that begin alike: they come one after another, longer and longer.
    #[inline(always)]
    fn index_bits(&self, length: u32, left: u16, table_bits: u32) -> u32 {
        let mut longest = length as usize;
        let mut room = (1i32 << (length - table_bits)) - i32::from(left);
        while room > 0 && longest < CODE_BITS_MAX {
            longest += 1;
            room = 2 * room - i32::from(self.counts[longest]);
        }
        longest as u32 - table_bits
    }
}

/// The code after `code` among those of `length` bits, the first bit lowest; what has no successor ends at zero.
#[inline]
fn next_code(code: usize, length: u32) -> usize {
    let ones = code as u32 ^ ((1 << length) - 1);
    if ones == 0 {
        return 0;
    }
    let bit = 1usize << (31 - ones.leading_zeros());
    code & (bit - 1) | bit
}

/// Makes two literals of one, where the codes of both fit into the bits of the table.
#[inline(always)]
fn pair(table: &mut [u32; LITERAL_TABLE]) {
    const MAIN: usize = 1 << LITERAL_BITS;
    // What each entry adds to one before it; more bits than there are if it cannot be the second.
    let mut seconds = [0; MAIN];
    for (second, entry) in seconds.iter_mut().zip(&table[..MAIN]) {
        let is_ascii_literal = entry & (LITERAL | 0x80 << 16) == LITERAL;
        let added = (entry & 0x7f << 16) << 8 | 1 << COUNT_SHIFT | taken_bits(*entry);
        *second = if is_ascii_literal { added } else { 63 };
    }
    for index in 0..MAIN {
        let first = table[index];
        let second = seconds[(index >> taken_bits(first)) & (MAIN - 1)];
        let fits = (first & LITERAL != 0) & (taken_bits(first) + taken_bits(second) <= LITERAL_BITS);
        table[index] = first + if fits { second } else { 0 };
    }
}
