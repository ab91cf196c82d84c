//! Masks with NEON, for aarch64.
//!
//! Blocks of 64 bytes come in, one bitmask per character goes out. It must stay within NEON: carry-less multiplication
//! (PMULL) is optional in the architecture and would save three of some 130 instructions that a block costs.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vmaxvq_u8, vorrq_u8, vpaddq_u8,
    vreinterpretq_u64_u8,
};
use std::hint::black_box;

use super::{Batch, Carry, Masks, portable_prefix_xor, survey_blocks};

/// What each of eight neighbouring bytes adds to the byte of a mask that stands for them.
const BIT_WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

#[target_feature(enable = "neon")]
pub(super) fn survey(blocks: &[[u8; 64]], carry: &mut Carry, batch: &mut Batch) {
    // Not to be known to the compiler: it would see that no two weights overlap, make "or" of the pairwise additions,
    // and need three instructions for each.
    let weights = load(black_box(&BIT_WEIGHTS));
    let mut all = vdupq_n_u8(0);
    survey_blocks(blocks, carry, batch, |block| masks(block, weights, &mut all), portable_prefix_xor);
    batch.has_non_ascii = !vmaxvq_u8(all).is_ascii();
}

#[target_feature(enable = "neon")]
#[inline]
fn masks(block: &[u8; 64], weights: uint8x16_t, all: &mut uint8x16_t) -> Masks {
    let (quarters, _) = block.as_chunks::<16>();
    let quarters = [load(&quarters[0]), load(&quarters[1]), load(&quarters[2]), load(&quarters[3])];
    let low = vorrq_u8(quarters[0], quarters[1]);
    let high = vorrq_u8(quarters[2], quarters[3]);
    *all = vorrq_u8(*all, vorrq_u8(low, high));
    let [quote, backslash] = equal(quarters, weights, [b'"', b'\\']);
    let [open, close] = equal(quarters, weights, [b'{', b'}']);
    let [name_letter, account_letter] = equal(quarters, weights, [b'N', b'A']);
    Masks { quote, backslash, open, close, name_letter, account_letter }
}

/// The masks of two characters: the last step of gathering bits has room for both.
#[target_feature(enable = "neon")]
#[inline]
fn equal(quarters: [uint8x16_t; 4], weights: uint8x16_t, [one, other]: [u8; 2]) -> [u64; 2] {
    let both = vpaddq_u8(bits_of_pairs(quarters, weights, one), bits_of_pairs(quarters, weights, other));
    let both = vreinterpretq_u64_u8(both);
    [vgetq_lane_u64::<0>(both), vgetq_lane_u64::<1>(both)]
}

/// Where `byte` stands, four bytes of the block to a byte: bits 0-3 in the first of two, bits 4-7 in the second.
#[target_feature(enable = "neon")]
#[inline]
fn bits_of_pairs(quarters: [uint8x16_t; 4], weights: uint8x16_t, byte: u8) -> uint8x16_t {
    let wanted = vdupq_n_u8(byte);
    let [first, second, third, fourth] = quarters.map(|quarter| vandq_u8(vceqq_u8(quarter, wanted), weights));
    vpaddq_u8(vpaddq_u8(first, second), vpaddq_u8(third, fourth))
}

#[target_feature(enable = "neon")]
#[inline]
#[allow(unsafe_code, reason = "the load takes a pointer")]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: there are 16 bytes, and the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, HIGH_BITS, portable_masks};
    use super::{BIT_WEIGHTS, Batch, Carry, Masks, load, masks, vdupq_n_u8};

    #[target_feature(enable = "neon")]
    fn masks_of(block: &[u8; 64]) -> Masks {
        masks(block, load(&BIT_WEIGHTS), &mut vdupq_n_u8(0))
    }

    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    fn neon_masks(block: &[u8; 64]) -> Masks {
        // SAFETY: NEON is part of aarch64.
        unsafe { masks_of(block) }
    }

    #[test]
    fn aarch64_never_falls_back_to_integer_arithmetic() {
        assert_eq!(Backend::detect(), Backend::Neon);
    }

    #[test]
    fn every_byte_at_every_position_gives_the_masks_of_integer_arithmetic() {
        for byte in 0..=u8::MAX {
            for position in 0..64 {
                for around in [b' ', b'"', b'\\', b'{', b'}', b'N', b'A', 0xff] {
                    let mut block = [around; 64];
                    block[position] = byte;
                    let expected = portable_masks(&block, &mut 0);
                    assert_eq!(neon_masks(&block), expected, "{byte} at {position} among {around}");
                }
            }
        }
    }

    #[test]
    fn bytes_mixed_in_any_way_give_the_masks_of_integer_arithmetic() {
        let wanted = br#""\{}NAx "#;
        let mut state = 1u64;
        for _ in 0..20_000 {
            let block: [u8; 64] = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                wanted[(state >> 61) as usize]
            });
            assert_eq!(neon_masks(&block), portable_masks(&block, &mut 0), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_noticed_in_any_block_and_nothing_else_is() {
        for byte in [0, b'"', 0x7f, 0x80, 0xe9, 0xff] {
            for position in 0..3 * 64 {
                let mut blocks = [[b' '; 64]; 3];
                blocks[position / 64][position % 64] = byte;
                for backend in [Backend::Neon, Backend::Portable] {
                    let mut batch = Batch::default();
                    backend.survey(&blocks, &mut Carry::default(), &mut batch);
                    let is_beyond = u64::from(byte) & HIGH_BITS != 0;
                    assert_eq!(batch.has_non_ascii, is_beyond, "{backend:?}: {byte} at {position}");
                }
            }
        }
    }
}
