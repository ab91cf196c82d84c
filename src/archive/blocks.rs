//! 64 bytes -> bitmasks: the only place where keytrail leaves safe Rust.
//!
//! Every byte of every log passes here, so it is done with AVX2 and carry-less multiplication where the
//! processor has them (asked at run time), and with plain integer arithmetic where not. Both give the
//! same masks. Unsafe is one thing only: calling a function compiled for a processor feature, after the
//! feature was detected.

use super::scan::Walk;

/// Bit `n` of a mask is set if byte `n` of the block is that character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub letter: u64,
    /// Whether any byte is beyond ASCII.
    pub has_non_ascii: bool,
}

/// How blocks are turned into masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// AVX2, PCLMULQDQ, POPCNT, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Integer arithmetic on eight bytes at a time.
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
            return Self::Avx2;
        }
        Self::Portable
    }

    /// Hands the blocks of `text` from `start` on to `walk`, until it has enough. The last block is filled
    /// up with spaces.
    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    pub(super) fn for_each_block(self, text: &[u8], start: usize, walk: &mut Walk<'_>) {
        match self {
            // SAFETY: `Avx2` is only made by `detect`, after all of the function's features were found.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::for_each_block(text, start, walk) },
            Self::Portable => for_each_block(text, start, walk, portable_masks, portable_prefix_xor),
        }
    }
}

#[inline(always)]
fn for_each_block(
    text: &[u8],
    start: usize,
    walk: &mut Walk<'_>,
    masks: impl Fn(&[u8; 64]) -> Masks,
    prefix_xor: impl Fn(u64) -> u64,
) {
    let (blocks, rest) = text[start..].as_chunks::<64>();
    let mut at = start;
    for block in blocks {
        if walk.block(at, masks(block), &prefix_xor) {
            return;
        }
        at += 64;
    }
    if !rest.is_empty() {
        let mut block = [b' '; 64];
        block[..rest.len()].copy_from_slice(rest);
        walk.block(at, masks(&block), &prefix_xor);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8,
    };

    use super::{Masks, Walk};

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    pub(super) fn for_each_block(text: &[u8], start: usize, walk: &mut Walk<'_>) {
        super::for_each_block(text, start, walk, |block| masks(block), |mask| prefix_xor(mask));
    }

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    #[inline]
    fn masks(block: &[u8; 64]) -> Masks {
        let word = |index: usize| {
            let (words, _) = block.as_chunks::<8>();
            i64::from_le_bytes(words[index])
        };
        // The compiler turns four adjacent words into one unaligned load.
        let low = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
        let high = _mm256_set_epi64x(word(7), word(6), word(5), word(4));
        Masks {
            quote: equal(low, high, b'"'),
            backslash: equal(low, high, b'\\'),
            open: equal(low, high, b'{'),
            close: equal(low, high, b'}'),
            letter: equal(low, high, b'N'),
            has_non_ascii: _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0,
        }
    }

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    #[inline]
    fn equal(low: __m256i, high: __m256i, byte: u8) -> u64 {
        let wanted = _mm256_set1_epi8(byte.cast_signed());
        let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)).cast_unsigned();
        let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)).cast_unsigned();
        u64::from(low) | u64::from(high) << 32
    }

    /// Bit `n` of the result is the parity of bits `0..=n`.
    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    #[inline]
    fn prefix_xor(mask: u64) -> u64 {
        let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(mask.cast_signed()), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product).cast_unsigned()
    }
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

fn portable_masks(block: &[u8; 64]) -> Masks {
    let (words, _) = block.as_chunks::<8>();
    let mut all = 0;
    let mut masks = Masks { quote: 0, backslash: 0, open: 0, close: 0, letter: 0, has_non_ascii: false };
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let shift = index * 8;
        all |= word;
        masks.quote |= portable_equal(word, b'"') << shift;
        masks.backslash |= portable_equal(word, b'\\') << shift;
        masks.open |= portable_equal(word, b'{') << shift;
        masks.close |= portable_equal(word, b'}') << shift;
        masks.letter |= portable_equal(word, b'N') << shift;
    }
    masks.has_non_ascii = all & HIGH_BITS != 0;
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

fn portable_prefix_xor(mask: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(mask, |mask, shift| mask ^ (mask << shift))
}

#[cfg(test)]
mod tests {
    use super::{portable_masks, portable_prefix_xor};

    #[test]
    fn portable_masks_find_each_character_at_each_position() {
        for position in 0..64 {
            for (byte, which) in
                [(b'"', 0), (b'\\', 1), (b'{', 2), (b'}', 3), (b'N', 4), (0xe9, 5), (b'x', 6)]
            {
                let mut block = [b' '; 64];
                block[position] = byte;
                let masks = portable_masks(&block);
                let found =
                    [masks.quote, masks.backslash, masks.open, masks.close, masks.letter].map(|mask| mask);
                for (index, mask) in found.into_iter().enumerate() {
                    assert_eq!(mask, if index == which { 1 << position } else { 0 }, "{byte} at {position}");
                }
                assert_eq!(masks.has_non_ascii, which == 5);
            }
        }
    }

    #[test]
    fn portable_masks_tell_every_byte_from_the_wanted_ones() {
        for byte in 0..=u8::MAX {
            let masks = portable_masks(&[byte; 64]);
            assert_eq!(masks.quote, if byte == b'"' { u64::MAX } else { 0 }, "{byte}");
            assert_eq!(masks.letter, if byte == b'N' { u64::MAX } else { 0 }, "{byte}");
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
