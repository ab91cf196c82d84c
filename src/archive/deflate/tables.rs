//! Decoding tables: from the lengths of a block's codes to an entry for every sequence of bits.
//!
//! Code lengths come in, a main table with subtables behind it is filled. A set of codes that is no prefix
//! code is refused, so every index that bits can form has an entry.

use super::DeflateError;

pub(super) const LITERAL_BITS: u32 = 11;
pub(super) const DISTANCE_BITS: u32 = 8;
pub(super) const LITERAL_TABLE: usize = 4096;
pub(super) const DISTANCE_TABLE: usize = 1024;

// An entry: the bits it takes in 0..=7, those of them that are the code (or index a subtable) in 8..=11,
// flags in 13..=15 and 31, the value (a literal, a base, where a subtable begins) in 16..=30.
pub(super) const LITERAL: u32 = 1 << 31;
pub(super) const EXCEPTIONAL: u32 = 1 << 15;
pub(super) const SUBTABLE: u32 = 1 << 14;
pub(super) const END_OF_BLOCK: u32 = 1 << 13;
pub(super) const INVALID: u32 = EXCEPTIONAL;

/// Base and extra bits of the lengths 257..286.
pub(super) const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// Builds a decoding table of `table_bits` and the subtables behind it from the lengths of the codes.
/// `entry` gives a symbol's entry without its bits, and how many extra bits follow its code.
pub(super) fn build(
    lengths: &[u8],
    table: &mut [u32],
    table_bits: u32,
    may_be_single: bool,
    entry: impl Fn(u32) -> (u32, u32),
) -> Result<(), DeflateError> {
    const LENGTH_MAX: usize = 15;
    let mut counts = [0u32; LENGTH_MAX + 1];
    for length in lengths {
        counts[usize::from(*length)] += 1;
    }
    counts[0] = 0;
    let (mut next_codes, mut code, mut left) = ([0u32; LENGTH_MAX + 1], 0u32, 1i32);
    for length in 1..=LENGTH_MAX {
        code = (code + counts[length - 1]) << 1;
        next_codes[length] = code;
        left = (left << 1) - counts[length] as i32;
        if left < 0 {
            return Err(DeflateError::Corrupt("too many codes of a length"));
        }
    }
    let longest = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    if left > 0 && !(may_be_single && longest <= 1) {
        return Err(DeflateError::Corrupt("a set of codes with gaps"));
    }
    let main = 1usize << table_bits;
    table[..main].fill(INVALID);
    let mut free = main;
    let mut next_codes_ahead = next_codes;
    if longest > table_bits as usize {
        // How long the longest code is behind each index of the main table.
        for length in lengths.iter().filter(|length| **length > 0) {
            let length = u32::from(*length);
            let code = next_codes_ahead[length as usize].reverse_bits() >> (32 - length);
            next_codes_ahead[length as usize] += 1;
            if length > table_bits {
                let slot = &mut table[code as usize & (main - 1)];
                let known = if *slot == INVALID { 0 } else { *slot >> 8 & 15 };
                *slot = EXCEPTIONAL | SUBTABLE | known.max(length - table_bits) << 8 | table_bits;
            }
        }
        for index in 0..main {
            if table[index] & SUBTABLE != 0 {
                let size = 1usize << (table[index] >> 8 & 15);
                table
                    .get_mut(free..free + size)
                    .ok_or(DeflateError::Corrupt("too many codes"))?
                    .fill(INVALID);
                table[index] |= (free as u32) << 16;
                free += size;
            }
        }
    }
    for (symbol, length) in (0u32..).zip(lengths).filter(|(_, length)| **length > 0) {
        let length = u32::from(*length);
        let code = (next_codes[length as usize].reverse_bits() >> (32 - length)) as usize;
        next_codes[length as usize] += 1;
        let (entry, extra) = entry(symbol);
        if length <= table_bits {
            let entry = entry | length << 8 | (length + extra);
            table[..main].iter_mut().skip(code).step_by(1 << length).for_each(|slot| *slot = entry);
        } else {
            let slot = table[code & (main - 1)];
            let (begin, size) = ((slot >> 16) as usize & 0x7fff, 1usize << (slot >> 8 & 15));
            let rest = length - table_bits;
            let entry = entry | rest << 8 | (rest + extra);
            table[begin..begin + size]
                .iter_mut()
                .skip(code >> table_bits)
                .step_by(1 << rest)
                .for_each(|slot| *slot = entry);
        }
    }
    Ok(())
}
