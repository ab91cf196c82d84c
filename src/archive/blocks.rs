//! 64 bytes -> bitmasks: the only place where keytrail leaves safe Rust.
//!
//! Every byte of every log passes here, so it is done with AVX2 and carry-less multiplication where the
//! processor has them (asked at run time), and with plain integer arithmetic where not. Both give the
//! same masks. Unsafe is one thing only: calling a function compiled for a processor feature, after the
//! feature was detected.

use super::scan::{Batch, Carry, survey_blocks};

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
            let has_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            return if has_wide { Self::Avx512 } else { Self::Avx2 };
        }
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
    [0, TRACE_WIDTH]
        .into_iter()
        .any(|start| filled[start..].first_chunk::<{ 2 * TRACE_WIDTH }>().is_some_and(has_kms_traces_in))
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_T0, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64,
        _mm_prefetch, _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512,
        _mm512_movepi8_mask, _mm512_or_si512, _mm512_set1_epi8, _mm512_setzero_si512,
    };

    use super::{Batch, Carry, Masks, survey_blocks};

    /// Bytes ahead of the block at hand that are asked for.
    const PREFETCH_DISTANCE: usize = 1 << 10;

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    pub(super) fn survey(blocks: &[[u8; 64]], carry: &mut Carry, batch: &mut Batch) {
        let mut all = _mm256_setzero_si256();
        survey_blocks(blocks, carry, batch, |block| masks(block, &mut all), |mask| prefix_xor(mask));
        batch.has_non_ascii = _mm256_movemask_epi8(all) != 0;
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn has_kms_traces(text: &[u8]) -> bool {
        super::has_kms_traces(text)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx2")]
    pub(super) fn has_kms_traces_512(text: &[u8]) -> bool {
        super::has_kms_traces(text)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    pub(super) fn survey_512(blocks: &[[u8; 64]], carry: &mut Carry, batch: &mut Batch) {
        let mut all = _mm512_setzero_si512();
        survey_blocks(blocks, carry, batch, |block| masks_512(block, &mut all), |mask| prefix_xor(mask));
        batch.has_non_ascii = _mm512_movepi8_mask(all) != 0;
    }

    #[target_feature(enable = "avx512f,avx512bw,avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    #[inline]
    #[allow(unsafe_code, reason = "the load takes a pointer")]
    fn masks_512(block: &[u8; 64], all: &mut __m512i) -> Masks {
        // The processor's own prefetching does not keep up with this.
        _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(PREFETCH_DISTANCE).cast::<i8>());
        // SAFETY: the block is 64 bytes, and the load needs no alignment.
        let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast::<__m512i>()) };
        *all = _mm512_or_si512(*all, block);
        let equal = |byte: u8| _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte.cast_signed()));
        Masks {
            quote: equal(b'"'),
            backslash: equal(b'\\'),
            open: equal(b'{'),
            close: equal(b'}'),
            name_letter: equal(b'N'),
            account_letter: equal(b'A'),
        }
    }

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    #[inline]
    #[allow(unsafe_code, reason = "the loads take pointers")]
    fn masks(block: &[u8; 64], all: &mut __m256i) -> Masks {
        let (low, high) = block.split_at(32);
        // SAFETY: each half is 32 bytes, and the loads need no alignment.
        let (low, high) =
            unsafe { (_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())) };
        *all = _mm256_or_si256(*all, _mm256_or_si256(low, high));
        Masks {
            quote: equal(low, high, b'"'),
            backslash: equal(low, high, b'\\'),
            open: equal(low, high, b'{'),
            close: equal(low, high, b'}'),
            name_letter: equal(low, high, b'N'),
            account_letter: equal(low, high, b'A'),
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
