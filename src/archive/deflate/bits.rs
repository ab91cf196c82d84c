//! The bits of an input, lowest first.

/// Bits that are next, and where the rest of them stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Bits {
    pub buffer: u64,
    pub count: u32,
    /// Where in the input the next refill begins.
    pub at: usize,
}

impl Bits {
    /// At least 56 bits are there afterwards; zeros where the input is over.
    #[inline]
    pub(super) fn refill(&mut self, input: &[u8]) {
        let rest = input.get(self.at..).unwrap_or_default();
        let word = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            last
        });
        self.buffer |= u64::from_le_bytes(word) << self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// At least `count` bits are there afterwards, of 56 at most.
    #[inline]
    pub(super) fn have(&mut self, count: u32, input: &[u8]) {
        if self.count < count {
            self.refill(input);
        }
    }

    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = (self.buffer & ((1 << count) - 1)) as u32;
        self.skip(count);
        bits
    }

    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer >>= count;
        self.count -= count;
    }

    /// Where the first byte begins that no bit was taken of.
    #[inline]
    pub(super) fn byte_at(&self) -> usize {
        self.at - (self.count >> 3) as usize
    }
}
