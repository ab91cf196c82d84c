//! 64 bytes -> bitmasks: with `deflate/processor.rs` the only place where keytrail leaves safe Rust.
//!
//! Every byte of every log passes here, so it is done with AVX-512, or AVX2 and carry-less multiplication, where an
//! x86-64 processor has them (asked at run time), with NEON on aarch64 (which always has it), and with plain integer
//! arithmetic elsewhere. All give the same masks. Unsafe are two things only: calling a function compiled for a
//! processor feature that is there, and loading a block from its address.

use super::scan::{Batch, Carry, survey_blocks};

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Bit `n` of a mask is set if byte `n` of the block is that character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// `{`
    pub open: u64,
    /// `}`
    pub close: u64,
    /// `N`
    pub name_letter: u64,
    /// `A`
    pub account_letter: u64,
}

/// How blocks are turned into masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// AVX-512 F and BW, and all of the next.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, PCLMULQDQ, POPCNT, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON, which every aarch64 processor has; masks are numbered as a little-endian one lays bytes out.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
    /// Integer arithmetic on eight bytes at a time: for all other processors, and what tests compare with.
    #[cfg_attr(
        all(target_arch = "aarch64", target_endian = "little", not(test)),
        allow(dead_code, reason = "every such processor has better")
    )]
    Portable,
}

impl Backend {
    /// The fastest one that this processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
        {
            let has_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            return if has_wide { Self::Avx512 } else { Self::Avx2 };
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        return Self::Neon;
        #[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
        Self::Portable
    }

    /// Whether one of [`KMS_TRACES`] stands in `text`.
    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    pub(super) fn has_kms_traces(self, text: &[u8]) -> bool {
        match self {
            // SAFETY: these two are only made by `detect`, after the function's features were found.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::has_kms_traces_512(text) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::has_kms_traces(text) },
            // What the compiler may use without being asked has NEON in it.
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => has_kms_traces(text),
            Self::Portable => has_kms_traces(text),
        }
    }

    /// Surveys the blocks of a batch.
    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    pub(super) fn survey(self, blocks: &[[u8; 64]], carry: &mut Carry, batch: &mut Batch) {
        match self {
            // SAFETY: these two are only made by `detect`, after all of the function's features were found.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::survey_512(blocks, carry, batch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::survey(blocks, carry, batch) },
            // SAFETY: NEON is part of aarch64.
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => unsafe { neon::survey(blocks, carry, batch) },
            Self::Portable => {
                let mut all = 0;
                survey_blocks(
                    blocks,
                    carry,
                    batch,
                    |block| portable_masks(block, &mut all),
                    portable_prefix_xor,
                );
                batch.has_non_ascii = all & HIGH_BITS != 0;
            }
        }
    }
}

/// Of each of [`KMS_MARKS`](crate::event::KMS_MARKS), three characters and where in it they stand. What lacks them
/// lacks the mark; hardly anything else in a record has them. Nearly all KMS records lack them all, which one look tells.
pub(super) const KMS_TRACES: [[(u8, usize); 3]; 5] = [
    [(b'w', 1), (b'b', 5), (b'd', 9)],
    [(b'2', 2), (b'f', 6), (b'u', 12)],
    [(b'C', 4), (b'd', 6), (b'"', 8)],
    [(b'l', 1), (b'a', 3), (b'/', 5)],
    [(b'2', 2), (b'f', 4), (b'p', 14)],
];

/// Bytes that are looked at side by side for traces; none is longer.
const TRACE_WIDTH: usize = 64;

/// Whether one of [`KMS_TRACES`] stands in `text`.
///
/// Inlined, so that the loops are compiled for the processor's own features.
#[inline(always)]
fn has_kms_traces(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<{ 2 * TRACE_WIDTH }>) {
        if has_kms_traces_in(block) {
            return true;
        }
        at += TRACE_WIDTH;
    }
    // The rest is shorter than two blocks: what begins in either of them is looked for with nothing behind.
    let rest = &text[at.min(text.len())..];
    let mut filled = [0; 3 * TRACE_WIDTH];
    filled[..rest.len()].copy_from_slice(rest);
    let start = filled.first_chunk().unwrap_or(&[0; 2 * TRACE_WIDTH]);
    let end = filled.last_chunk().unwrap_or(&[0; 2 * TRACE_WIDTH]);
    has_kms_traces_in(start) || has_kms_traces_in(end)
}

/// Whether a trace begins in the first half of `block`.
#[inline(always)]
fn has_kms_traces_in(block: &[u8; 2 * TRACE_WIDTH]) -> bool {
    let mut found = [0; TRACE_WIDTH];
    for [(one, one_at), (two, two_at), (three, three_at)] in &KMS_TRACES {
        let ones = &block[*one_at..*one_at + TRACE_WIDTH];
        let twos = &block[*two_at..*two_at + TRACE_WIDTH];
        let threes = &block[*three_at..*three_at + TRACE_WIDTH];
        for (((found, first), second), third) in found.iter_mut().zip(ones).zip(twos).zip(threes) {
            *found |= u8::from(first == one) & u8::from(second == two) & u8::from(third == three);
        }
    }
    found.iter().fold(0, |any, found| any | found) != 0
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The masks of a block; all of its bytes go into `all`.
fn portable_masks(block: &[u8; 64], all: &mut u64) -> Masks {
    let (words, _) = block.as_chunks::<8>();
    let mut masks = Masks::default();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let shift = index * 8;
        *all |= word;
        masks.quote |= portable_equal(word, b'"') << shift;
        masks.backslash |= portable_equal(word, b'\\') << shift;
        masks.open |= portable_equal(word, b'{') << shift;
        masks.close |= portable_equal(word, b'}') << shift;
        masks.name_letter |= portable_equal(word, b'N') << shift;
        masks.account_letter |= portable_equal(word, b'A') << shift;
    }
    masks
}

/// Which of eight bytes equal `byte`, as eight bits.
fn portable_equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    // Without a carry from byte to byte: a high bit is set where the byte is not zero.
    let nonzero = ((difference & !HIGH_BITS) + !HIGH_BITS) | difference;
    // The multiplication gathers the eight high bits, each moved to a place of its own, in the top byte.
    ((!nonzero & HIGH_BITS) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Bit `n` of the result is the parity of bits `0..=n`.
fn portable_prefix_xor(mask: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(mask, |mask, shift| mask ^ (mask << shift))
}

#[cfg(test)]
mod tests {
    use super::{HIGH_BITS, portable_masks, portable_prefix_xor};

    #[test]
    fn portable_masks_find_each_character_at_each_position() {
        for position in 0..64 {
            for (byte, which) in
                [(b'"', 0), (b'\\', 1), (b'{', 2), (b'}', 3), (b'N', 4), (0xe9, 5), (b'A', 6), (b'x', 7)]
            {
                let mut block = [b' '; 64];
                block[position] = byte;
                let mut all = 0;
                let masks = portable_masks(&block, &mut all);
                let found = [
                    masks.quote,
                    masks.backslash,
                    masks.open,
                    masks.close,
                    masks.name_letter,
                    0,
                    masks.account_letter,
                ];
                for (index, mask) in found.into_iter().enumerate().filter(|(index, _)| *index != 5) {
                    assert_eq!(mask, if index == which { 1 << position } else { 0 }, "{byte} at {position}");
                }
                assert_eq!(all & HIGH_BITS != 0, which == 5);
            }
        }
    }

    #[test]
    fn portable_masks_tell_every_byte_from_the_wanted_ones() {
        for byte in 0..=u8::MAX {
            let masks = portable_masks(&[byte; 64], &mut 0);
            assert_eq!(masks.quote, if byte == b'"' { u64::MAX } else { 0 }, "{byte}");
            assert_eq!(masks.name_letter, if byte == b'N' { u64::MAX } else { 0 }, "{byte}");
        }
    }

    #[test]
    fn prefix_xor_is_the_parity_up_to_each_bit() {
        for mask in [0, 1, 0b1001_0100, u64::MAX, 0x8000_0000_0000_0001, 0x0123_4567_89ab_cdef] {
            for bit in 0..64 {
                let parity = (mask & (u64::MAX >> (63 - bit))).count_ones() & 1;
                assert_eq!(portable_prefix_xor(mask) >> bit & 1, u64::from(parity));
            }
        }
    }
}
