//! Masks with AVX-512 or AVX2 and carry-less multiplication.
//!
//! Blocks of 64 bytes come in, one bitmask per character goes out. Nothing here asks what the processor has: whoever
//! calls must have.

use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_prefetch,
    _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_set1_epi8, _mm512_setzero_si512,
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
