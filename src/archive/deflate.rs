//! DEFLATE (RFC 1951), piece by piece, into a window that the caller keeps.
//!
//! An input and a window come in; text goes into the window. It is here because whole-buffer decoders need
//! the memory of the whole text, and the streaming ones of the usual libraries take half as long again. The
//! plan is that of libdeflate: tables of ready-made entries, many bits at a time, wide copies. Whatever the
//! stream holds, nothing is read or written out of bounds, and no text is made up where it ends early.

mod tables;

use std::io::{self, Read};

use self::tables::{
    DISTANCE_BITS, DISTANCE_TABLE, END_OF_BLOCK, EXCEPTIONAL, INVALID, LENGTHS, LITERAL, LITERAL_BITS,
    LITERAL_TABLE, SUBTABLE, build,
};

/// How far back a match may reach.
pub(super) const HISTORY_BYTES: usize = 32 * 1024;
/// Free space that a window needs for the decoder to go on.
pub(super) const FREE_BYTES_MIN: usize = MATCH_BYTES_MAX + COPY_BYTES + 8;

const MATCH_BYTES_MAX: usize = 258;
/// Matches are copied by this many bytes.
const COPY_BYTES: usize = 32;
/// Input below which each symbol is checked for the end of the stream.
const INPUT_MARGIN: usize = 32;
/// A block's header with its code lengths is never longer.
const HEADER_BYTES_MAX: usize = 1024;
const INPUT_BYTES: usize = 128 * 1024;

/// Why decoding stops.
#[derive(Debug)]
pub(super) enum DeflateError {
    /// The input cannot be read.
    Input(io::Error),
    /// The input ends early.
    Truncated,
    /// The input is no DEFLATE stream.
    Corrupt(&'static str),
}

/// Compressed bytes, read ahead.
pub(super) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    is_over: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; INPUT_BYTES + INPUT_MARGIN], at: 0, end: 0, is_over: false }
    }

    /// What is read ahead, at least `wanted` bytes of it unless the input is over.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8], DeflateError> {
        debug_assert!(wanted <= INPUT_BYTES / 2);
        while self.end - self.at < wanted && !self.is_over {
            if self.at > INPUT_BYTES / 2 {
                self.buffer.copy_within(self.at..self.end, 0);
                (self.at, self.end) = (0, self.end - self.at);
            }
            match self.reader.read(&mut self.buffer[self.end..INPUT_BYTES]) {
                Ok(0) => {
                    self.is_over = true;
                    // The decoder looks a few bytes too far, and must not see old ones.
                    self.buffer[self.end..self.end + INPUT_MARGIN].fill(0);
                }
                Ok(length) => self.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DeflateError::Input(error)),
            }
        }
        Ok(&self.buffer[self.at..self.end])
    }

    /// Goes past bytes that were read ahead.
    pub(super) fn consume(&mut self, length: usize) {
        self.at = (self.at + length).min(self.end);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BlockHeader,
    Stored(usize),
    Coded,
    Over,
}

/// The bits of the input that are next.
#[derive(Clone, Copy)]
struct Bits {
    buffer: u64,
    count: u32,
    /// Where in the input's buffer the next refill begins.
    at: usize,
}

impl Bits {
    /// At least 56 bits are there afterwards; zeros where the input is over.
    #[inline(always)]
    fn refill(&mut self, input: &[u8]) {
        let word = input[self.at..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        self.buffer |= word << self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        let bits = (self.buffer & ((1 << count) - 1)) as u32;
        self.skip(count);
        bits
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.buffer >>= count;
        self.count -= count;
    }

    /// Where the first byte begins that no bit was taken of.
    #[inline(always)]
    fn byte_at(&self) -> usize {
        self.at - (self.count >> 3) as usize
    }
}

/// A decoder of one stream after another.
pub(super) struct Deflate {
    state: State,
    is_last_block: bool,
    buffer: u64,
    count: u32,
    /// Text of the stream so far: matches reach no further back.
    written: u64,
    literals: Box<[u32; LITERAL_TABLE]>,
    distances: Box<[u32; DISTANCE_TABLE]>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            state: State::BlockHeader,
            is_last_block: false,
            buffer: 0,
            count: 0,
            written: 0,
            literals: Box::new([INVALID; LITERAL_TABLE]),
            distances: Box::new([INVALID; DISTANCE_TABLE]),
        }
    }

    /// Begins a new stream.
    pub(super) fn reset(&mut self) {
        self.state = State::BlockHeader;
        self.is_last_block = false;
        self.buffer = 0;
        self.count = 0;
        self.written = 0;
    }

    /// Whether the stream has ended; the input stands behind it then.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Decodes into `window` from `at` on, until less than [`FREE_BYTES_MIN`] is free or the stream ends.
    /// Gives the end of the text, and what stopped it, if anything did. Before `at` the window must hold
    /// the text so far, as far back as a match may reach.
    pub(super) fn inflate<R: Read>(
        &mut self,
        input: &mut Input<R>,
        window: &mut [u8],
        at: usize,
    ) -> (usize, Result<(), DeflateError>) {
        let start = at;
        let mut at = at;
        let reach = usize::try_from(self.written).unwrap_or(usize::MAX);
        let oldest = start.saturating_sub(reach);
        let outcome = loop {
            if self.state == State::Over || window.len() - at < FREE_BYTES_MIN {
                break Ok(());
            }
            let step = match self.state {
                State::BlockHeader => self.block_header(input),
                State::Stored(left) => self.stored(input, window, &mut at, left),
                State::Coded => self.coded(input, window, &mut at, oldest),
                State::Over => Ok(()),
            };
            if let Err(error) = step {
                break Err(error);
            }
        };
        self.written += (at - start) as u64;
        (at, outcome)
    }

    fn bits(&self, at: usize) -> Bits {
        Bits { buffer: self.buffer, count: self.count, at }
    }

    /// Keeps the bits of a byte that was begun, and gives the rest back to the input.
    fn keep<R>(&mut self, bits: Bits, input: &mut Input<R>) -> Result<(), DeflateError> {
        let at = bits.byte_at();
        if at > input.end {
            return Err(DeflateError::Truncated);
        }
        input.at = at;
        self.count = bits.count & 7;
        self.buffer = bits.buffer & ((1 << self.count) - 1);
        Ok(())
    }

    fn block_header<R: Read>(&mut self, input: &mut Input<R>) -> Result<(), DeflateError> {
        input.peek(HEADER_BYTES_MAX)?;
        let mut bits = self.bits(input.at);
        bits.refill(&input.buffer);
        self.is_last_block = bits.take(1) == 1;
        let kind = bits.take(2);
        let state = match kind {
            0 => {
                // The rest of the byte is of no meaning.
                bits.skip(bits.count & 7);
                self.keep(bits, input)?;
                let head = input.peek(4)?;
                let Some([low, high, not_low, not_high]) = head.first_chunk::<4>().copied() else {
                    return Err(DeflateError::Truncated);
                };
                if [low, high] != [!not_low, !not_high] {
                    return Err(DeflateError::Corrupt("a stored block's length is wrong"));
                }
                input.consume(4);
                self.state = State::Stored(usize::from(u16::from_le_bytes([low, high])));
                return Ok(());
            }
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                self.build_tables(&lengths, &[5; 32])?;
                State::Coded
            }
            2 => {
                self.read_tables(&mut bits, input)?;
                State::Coded
            }
            _ => return Err(DeflateError::Corrupt("a block of no known kind")),
        };
        self.keep(bits, input)?;
        self.state = state;
        Ok(())
    }

    fn read_tables<R>(&mut self, bits: &mut Bits, input: &Input<R>) -> Result<(), DeflateError> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        bits.refill(&input.buffer);
        let literal_count = bits.take(5) as usize + 257;
        let distance_count = bits.take(5) as usize + 1;
        let code_count = bits.take(4) as usize + 4;
        if literal_count > 286 || distance_count > 30 {
            return Err(DeflateError::Corrupt("too many codes"));
        }
        let mut code_lengths = [0; 19];
        for index in &ORDER[..code_count] {
            bits.refill(&input.buffer);
            code_lengths[*index] = bits.take(3) as u8;
        }
        let mut codes = [INVALID; 128];
        build(&code_lengths, &mut codes, 7, false, |symbol| (symbol << 16, 0))?;
        let mut lengths = [0u8; 286 + 30];
        let total = literal_count + distance_count;
        let mut filled = 0;
        while filled < total {
            bits.refill(&input.buffer);
            if bits.byte_at() > input.end {
                return Err(DeflateError::Truncated);
            }
            let entry = codes[(bits.buffer & 127) as usize];
            if entry & EXCEPTIONAL != 0 {
                return Err(DeflateError::Corrupt("a code length of no code"));
            }
            bits.skip(entry & 0xff);
            let (length, repeats) = match entry >> 16 {
                16 if filled == 0 => {
                    return Err(DeflateError::Corrupt("a repeated length without one before"));
                }
                16 => (lengths[filled - 1], 3 + bits.take(2) as usize),
                17 => (0, 3 + bits.take(3) as usize),
                18 => (0, 11 + bits.take(7) as usize),
                length => (length as u8, 1),
            };
            if filled + repeats > total {
                return Err(DeflateError::Corrupt("too many code lengths"));
            }
            lengths[filled..filled + repeats].fill(length);
            filled += repeats;
        }
        if lengths[256] == 0 {
            return Err(DeflateError::Corrupt("a block without an end"));
        }
        self.build_tables(&lengths[..literal_count], &lengths[literal_count..total])
    }

    fn build_tables(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), DeflateError> {
        build(literals, &mut self.literals[..], LITERAL_BITS, true, |symbol| match symbol {
            0..256 => (LITERAL | symbol << 16, 0),
            256 => (EXCEPTIONAL | END_OF_BLOCK, 0),
            257..286 => {
                let (base, extra) = LENGTHS[symbol as usize - 257];
                (u32::from(base) << 16, u32::from(extra))
            }
            _ => (INVALID, 0),
        })?;
        build(distances, &mut self.distances[..], DISTANCE_BITS, true, |symbol| match symbol {
            0..30 => {
                let extra = (symbol / 2).saturating_sub(1);
                let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
                ((base + 1) << 16, extra)
            }
            _ => (INVALID, 0),
        })
    }

    fn stored<R: Read>(
        &mut self,
        input: &mut Input<R>,
        window: &mut [u8],
        at: &mut usize,
        left: usize,
    ) -> Result<(), DeflateError> {
        if left > 0 {
            let source = input.peek(1)?;
            let length = left.min(source.len()).min(window.len() - *at);
            if length == 0 {
                return Err(DeflateError::Truncated);
            }
            window[*at..*at + length].copy_from_slice(&source[..length]);
            input.consume(length);
            *at += length;
            self.state = State::Stored(left - length);
            return Ok(());
        }
        self.end_of_block();
        Ok(())
    }

    fn end_of_block(&mut self) {
        self.state = if self.is_last_block { State::Over } else { State::BlockHeader };
    }

    /// Decodes symbols until the block, the free space or the input at hand ends.
    fn coded<R: Read>(
        &mut self,
        input: &mut Input<R>,
        window: &mut [u8],
        at: &mut usize,
        oldest: usize,
    ) -> Result<(), DeflateError> {
        input.peek(2 * INPUT_MARGIN)?;
        let mut run = Run {
            bits: self.bits(input.at),
            input: &input.buffer,
            window,
            at: *at,
            oldest,
            literals: &self.literals,
            distances: &self.distances,
        };
        let is_ample = input.end - input.at >= 2 * INPUT_MARGIN;
        let outcome = if is_ample { run.quickly(input.end - INPUT_MARGIN) } else { run.carefully(input.end) };
        *at = run.at;
        let bits = run.bits;
        match outcome {
            Ok(is_end_of_block) => {
                self.keep(bits, input)?;
                if is_end_of_block {
                    self.end_of_block();
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// One run through coded symbols.
struct Run<'r> {
    bits: Bits,
    input: &'r [u8],
    window: &'r mut [u8],
    at: usize,
    oldest: usize,
    literals: &'r [u32; LITERAL_TABLE],
    distances: &'r [u32; DISTANCE_TABLE],
}

impl Run<'_> {
    /// Decodes while input before `input_end` and free space last; `true` at the end of the block.
    fn quickly(&mut self, input_end: usize) -> Result<bool, DeflateError> {
        let Some(at_max) = self.window.len().checked_sub(FREE_BYTES_MIN) else { return Ok(false) };
        let (mut bits, mut at) = (self.bits, self.at);
        let (input, literals, distances) = (self.input, self.literals, self.distances);
        let window = &mut *self.window;
        let outcome = loop {
            if bits.at > input_end || at > at_max {
                break Ok(false);
            }
            bits.refill(input);
            let mut entry = literals[(bits.buffer & ((1 << LITERAL_BITS) - 1)) as usize];
            // Up to three literals fit in the bits at hand, with what a length takes after two of them.
            if entry & LITERAL != 0 {
                bits.skip(entry & 0xff);
                window[at] = (entry >> 16) as u8;
                at += 1;
                entry = literals[(bits.buffer & ((1 << LITERAL_BITS) - 1)) as usize];
                if entry & LITERAL != 0 {
                    bits.skip(entry & 0xff);
                    window[at] = (entry >> 16) as u8;
                    at += 1;
                    entry = literals[(bits.buffer & ((1 << LITERAL_BITS) - 1)) as usize];
                    if entry & LITERAL != 0 {
                        bits.skip(entry & 0xff);
                        window[at] = (entry >> 16) as u8;
                        at += 1;
                        continue;
                    }
                }
            }
            if entry & EXCEPTIONAL != 0 {
                if entry & SUBTABLE != 0 {
                    bits.skip(entry & 0xff);
                    entry = literals[subtable_index(entry, bits.buffer) & (LITERAL_TABLE - 1)];
                    if entry & LITERAL != 0 {
                        bits.skip(entry & 0xff);
                        window[at] = (entry >> 16) as u8;
                        at += 1;
                        continue;
                    }
                }
                if entry & EXCEPTIONAL != 0 {
                    if entry & END_OF_BLOCK == 0 {
                        break Err(DeflateError::Corrupt("a code of no symbol"));
                    }
                    bits.skip(entry & 0xff);
                    break Ok(true);
                }
            }
            let length = value(entry, &mut bits) as usize;
            bits.refill(input);
            let mut entry = distances[(bits.buffer & ((1 << DISTANCE_BITS) - 1)) as usize];
            if entry & EXCEPTIONAL != 0 {
                if entry & SUBTABLE != 0 {
                    bits.skip(entry & 0xff);
                    entry = distances[subtable_index(entry, bits.buffer) & (DISTANCE_TABLE - 1)];
                }
                if entry & EXCEPTIONAL != 0 {
                    break Err(DeflateError::Corrupt("a code of no distance"));
                }
            }
            let distance = value(entry, &mut bits) as usize;
            if distance > at - self.oldest {
                break Err(DeflateError::Corrupt("a match that reaches back too far"));
            }
            copy_match(window, at, distance, length);
            at += length;
        };
        (self.bits, self.at) = (bits, at);
        outcome
    }

    /// The same, symbol by symbol, where the input is about to end.
    fn carefully(&mut self, input_end: usize) -> Result<bool, DeflateError> {
        while self.window.len() - self.at >= FREE_BYTES_MIN {
            let mut bits = self.bits;
            bits.refill(self.input);
            let mut entry = self.literals[(bits.buffer & ((1 << LITERAL_BITS) - 1)) as usize];
            if entry & SUBTABLE != 0 && entry & LITERAL == 0 {
                bits.skip(entry & 0xff);
                entry = self.literals[subtable_index(entry, bits.buffer) & (LITERAL_TABLE - 1)];
            }
            let is_literal = entry & LITERAL != 0;
            let (mut length, mut distance) = (0, 0);
            if is_literal || entry & END_OF_BLOCK != 0 {
                bits.skip(entry & 0xff);
            } else if entry & EXCEPTIONAL == 0 {
                length = value(entry, &mut bits) as usize;
                bits.refill(self.input);
                let mut entry = self.distances[(bits.buffer & ((1 << DISTANCE_BITS) - 1)) as usize];
                if entry & SUBTABLE != 0 {
                    bits.skip(entry & 0xff);
                    entry = self.distances[subtable_index(entry, bits.buffer) & (DISTANCE_TABLE - 1)];
                }
                if entry & EXCEPTIONAL == 0 {
                    distance = value(entry, &mut bits) as usize;
                }
            }
            if bits.byte_at() > input_end {
                return Err(DeflateError::Truncated);
            }
            self.bits = bits;
            if is_literal {
                self.window[self.at] = (entry >> 16) as u8;
                self.at += 1;
            } else if entry & END_OF_BLOCK != 0 && entry & EXCEPTIONAL != 0 {
                return Ok(true);
            } else if distance == 0 {
                return Err(DeflateError::Corrupt("a code of no symbol or distance"));
            } else if distance > self.at - self.oldest {
                return Err(DeflateError::Corrupt("a match that reaches back too far"));
            } else {
                copy_match(self.window, self.at, distance, length);
                self.at += length;
            }
        }
        Ok(false)
    }
}

#[inline(always)]
fn subtable_index(entry: u32, buffer: u64) -> usize {
    let index_bits = entry >> 8 & 15;
    (entry >> 16 & 0x7fff) as usize + (buffer & ((1 << index_bits) - 1)) as usize
}

/// The base of an entry and its extra bits.
#[inline(always)]
fn value(entry: u32, bits: &mut Bits) -> u32 {
    let taken = entry & 0xff;
    let extra = ((bits.buffer & ((1 << taken) - 1)) >> (entry >> 8 & 15)) as u32;
    bits.skip(taken);
    (entry >> 16) + extra
}

/// Copies a match; [`COPY_BYTES`] of free space behind it are written too.
#[inline(always)]
fn copy_match(window: &mut [u8], at: usize, distance: usize, length: usize) {
    let (text, free) = window.split_at_mut(at);
    let source = &text[at - distance..];
    if distance >= length + COPY_BYTES - 1 || (distance >= COPY_BYTES && length <= COPY_BYTES) {
        // Source and destination of each step are apart: every byte read is older than this match.
        let mut done = 0;
        while done < length {
            let Some(chunk) = source[done..].first_chunk::<COPY_BYTES>() else { break };
            let Some(target) = free[done..].first_chunk_mut::<COPY_BYTES>() else { break };
            *target = *chunk;
            done += COPY_BYTES;
        }
        return;
    }
    if distance == 1 {
        free[..length].fill(source[0]);
        return;
    }
    overlapping_match(window, at, distance, length);
}

/// A match that runs into itself, or nearly so.
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

#[cfg(test)]
mod tests;
