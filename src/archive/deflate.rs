//! DEFLATE (RFC 1951), piece by piece, into a window that the caller keeps.
//!
//! An input and a window come in; text goes into the window. It is here because whole-buffer decoders need
//! the memory of the whole text, and the streaming ones of the usual libraries take half as long again. The
//! plan is that of libdeflate: tables of ready-made entries, many bits at a time, wide copies. All of it is safe code,
//! compiled once more for processors that shift and copy better than the least of their kind. Whatever the
//! stream holds, nothing is read or written out of bounds, and no text is made up where it ends early.

mod bits;
mod processor;
mod symbols;
mod tables;

use std::io::{self, Read};

use self::bits::Bits;
use self::processor::Processor;
pub(super) use self::symbols::FREE_BYTES_MIN;
use self::symbols::{End, Run};
use self::tables::{
    CODE_LENGTH_SYMBOLS, Code, DISTANCE_SYMBOLS, END_OF_BLOCK_SYMBOL, LITERAL_SYMBOLS, Tables,
    code_length_table, taken_bits,
};

/// How far back a match may reach.
pub(super) const HISTORY_BYTES: usize = 32 * 1024;
/// Input that a step may want to see: a block's header with its code lengths is never longer.
const AHEAD_BYTES: usize = 1024;
const INPUT_BYTES: usize = 128 * 1024;
/// The code of a length, and how often it is repeated.
const CODE_LENGTH_BITS_MAX: u32 = 7 + 7;

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
        Self { reader, buffer: vec![0; INPUT_BYTES], at: 0, end: 0, is_over: false }
    }

    /// What is read ahead, at least `wanted` bytes of it unless the input is over.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8], DeflateError> {
        debug_assert!(wanted <= INPUT_BYTES / 2);
        while self.end - self.at < wanted && !self.is_over {
            if self.at > INPUT_BYTES / 2 {
                self.buffer.copy_within(self.at..self.end, 0);
                (self.at, self.end) = (0, self.end - self.at);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_over = true,
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

/// A decoder of one stream after another.
pub(super) struct Deflate {
    processor: Processor,
    state: State,
    is_last_block: bool,
    /// Bits of a byte that was begun.
    bits: Bits,
    /// Text of the stream so far: matches reach no further back.
    written: u64,
    tables: Box<Tables>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self::compiled_for(Processor::detect())
    }

    fn compiled_for(processor: Processor) -> Self {
        Self {
            processor,
            state: State::BlockHeader,
            is_last_block: false,
            bits: Bits::default(),
            written: 0,
            tables: Tables::new(),
        }
    }

    /// Begins a new stream.
    pub(super) fn reset(&mut self) {
        self.state = State::BlockHeader;
        self.is_last_block = false;
        self.bits = Bits::default();
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
        let mut text = Text { oldest: self.oldest(at), window, at };
        let outcome = loop {
            if self.state == State::Over || text.is_full() {
                break Ok(());
            }
            let step = input.peek(AHEAD_BYTES).and_then(|bytes| self.step(bytes, &mut text));
            match step {
                Ok(taken) => input.consume(taken),
                Err(error) => break Err(error),
            }
        };
        self.written += (text.at - at) as u64;
        (text.at, outcome)
    }

    /// Decodes a whole stream that begins `bytes` into `window`, of which [`FREE_BYTES_MIN`] must be free
    /// behind the text. Gives the length of the stream and that of its text; none if the window is too small.
    pub(super) fn inflate_whole(
        &mut self,
        bytes: &[u8],
        window: &mut [u8],
    ) -> Result<Option<(usize, usize)>, DeflateError> {
        self.reset();
        let mut text = Text { oldest: 0, window, at: 0 };
        let mut at = 0;
        while self.state != State::Over {
            if text.is_full() {
                return Ok(None);
            }
            at += self.step(&bytes[at..], &mut text)?;
        }
        Ok(Some((at, text.at)))
    }

    fn oldest(&self, at: usize) -> usize {
        at.saturating_sub(usize::try_from(self.written).unwrap_or(usize::MAX))
    }

    /// Goes on with the input that is next, and gives how much of it was taken. Of an input that is not over it
    /// must see [`AHEAD_BYTES`].
    fn step(&mut self, bytes: &[u8], text: &mut Text<'_>) -> Result<usize, DeflateError> {
        match self.state {
            State::BlockHeader => self.block_header(bytes),
            State::Stored(left) => self.stored(bytes, text, left),
            State::Coded => self.coded(bytes, text),
            State::Over => Ok(0),
        }
    }

    /// Keeps the bits of a byte that was begun, and gives how many bytes were taken.
    fn keep(&mut self, bits: Bits, bytes: &[u8]) -> Result<usize, DeflateError> {
        let at = bits.byte_at();
        if at > bytes.len() {
            return Err(DeflateError::Truncated);
        }
        let count = bits.count & 7;
        self.bits = Bits { buffer: bits.buffer & ((1 << count) - 1), count, at: 0 };
        Ok(at)
    }

    fn block_header(&mut self, bytes: &[u8]) -> Result<usize, DeflateError> {
        let mut bits = self.bits;
        bits.refill(bytes);
        self.is_last_block = bits.take(1) == 1;
        let kind = bits.take(2);
        let state = match kind {
            0 => {
                // The rest of the byte is of no meaning.
                bits.skip(bits.count & 7);
                let at = self.keep(bits, bytes)?;
                let Some([low, high, not_low, not_high]) = bytes[at..].first_chunk::<4>().copied() else {
                    return Err(DeflateError::Truncated);
                };
                if [low, high] != [!not_low, !not_high] {
                    return Err(DeflateError::Corrupt("a stored block's length is wrong"));
                }
                self.state = State::Stored(usize::from(u16::from_le_bytes([low, high])));
                return Ok(at + 4);
            }
            1 => {
                let mut codes = [Code::default(); LITERAL_SYMBOLS + DISTANCE_SYMBOLS];
                let lengths = [(144, 8), (112, 9), (24, 7), (8, 8)].iter();
                let literals = lengths.flat_map(|(count, length)| std::iter::repeat_n(*length, *count));
                for (code, (symbol, length)) in codes.iter_mut().zip((0..).zip(literals)) {
                    *code = Code { symbol, length };
                }
                for (code, symbol) in codes[LITERAL_SYMBOLS..].iter_mut().zip(0..) {
                    *code = Code { symbol, length: 5 };
                }
                let (literals, distances) = codes.split_at(LITERAL_SYMBOLS);
                self.processor.build(&mut self.tables, literals, distances)?;
                State::Coded
            }
            2 => {
                self.read_tables(&mut bits, bytes)?;
                State::Coded
            }
            _ => return Err(DeflateError::Corrupt("a block of no known kind")),
        };
        let taken = self.keep(bits, bytes)?;
        self.state = state;
        Ok(taken)
    }

    fn read_tables(&mut self, bits: &mut Bits, bytes: &[u8]) -> Result<(), DeflateError> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        bits.refill(bytes);
        let literal_count = bits.take(5) as usize + 257;
        let distance_count = bits.take(5) as usize + 1;
        let code_count = bits.take(4) as usize + 4;
        if literal_count > 286 || distance_count > 30 {
            return Err(DeflateError::Corrupt("too many codes"));
        }
        let mut code_lengths = [0; CODE_LENGTH_SYMBOLS];
        for index in &ORDER[..code_count] {
            bits.have(3, bytes);
            code_lengths[*index] = bits.take(3) as u8;
        }
        let table = code_length_table(code_lengths)?;
        // Only what has a code is noted, literals and distances in one list: most symbols have none.
        let mut codes = [Code::default(); LITERAL_SYMBOLS + DISTANCE_SYMBOLS];
        let (mut noted, mut literals, mut has_end) = (0, 0, false);
        let total = literal_count + distance_count;
        let (mut filled, mut length) = (0, 0);
        while filled < total {
            bits.have(CODE_LENGTH_BITS_MAX, bytes);
            if bits.byte_at() > bytes.len() {
                return Err(DeflateError::Truncated);
            }
            let entry = table[(bits.buffer & 127) as usize];
            bits.skip(taken_bits(entry));
            let repeats;
            (length, repeats) = match entry >> 16 {
                16 if filled == 0 => {
                    return Err(DeflateError::Corrupt("a repeated length without one before"));
                }
                16 => (length, 3 + bits.take(2) as usize),
                17 => (0, 3 + bits.take(3) as usize),
                18 => (0, 11 + bits.take(7) as usize),
                length => (length as u8, 1),
            };
            if filled + repeats > total {
                return Err(DeflateError::Corrupt("too many code lengths"));
            }
            if length > 0 {
                for symbol in filled..filled + repeats {
                    let is_literal = symbol < literal_count;
                    let symbol = if is_literal { symbol } else { symbol - literal_count };
                    codes[noted] = Code { symbol: symbol as u16, length };
                    noted += 1;
                    literals += usize::from(is_literal);
                    has_end |= is_literal && symbol == END_OF_BLOCK_SYMBOL;
                }
            }
            filled += repeats;
        }
        if !has_end {
            return Err(DeflateError::Corrupt("a block without an end"));
        }
        let (literals, distances) = codes[..noted].split_at(literals);
        self.processor.build(&mut self.tables, literals, distances)
    }

    fn stored(&mut self, bytes: &[u8], text: &mut Text<'_>, left: usize) -> Result<usize, DeflateError> {
        if left == 0 {
            self.end_of_block();
            return Ok(0);
        }
        let length = left.min(bytes.len()).min(text.window.len() - text.at);
        if length == 0 {
            return Err(DeflateError::Truncated);
        }
        text.window[text.at..text.at + length].copy_from_slice(&bytes[..length]);
        text.at += length;
        self.state = State::Stored(left - length);
        Ok(length)
    }

    fn end_of_block(&mut self) {
        self.state = if self.is_last_block { State::Over } else { State::BlockHeader };
    }

    /// Decodes symbols until the block, the free space or the input at hand ends.
    fn coded(&mut self, bytes: &[u8], text: &mut Text<'_>) -> Result<usize, DeflateError> {
        let mut run = Run {
            bits: self.bits,
            input: bytes,
            window: text.window,
            at: text.at,
            oldest: text.oldest,
            tables: &self.tables,
        };
        let outcome = self.processor.decode(&mut run);
        let bits = run.bits;
        text.at = run.at;
        let end = outcome?;
        let taken = self.keep(bits, bytes)?;
        if end == End::Block {
            self.end_of_block();
        }
        Ok(taken)
    }
}

/// Where text goes.
struct Text<'w> {
    window: &'w mut [u8],
    at: usize,
    /// Matches reach no further back.
    oldest: usize,
}

impl Text<'_> {
    fn is_full(&self) -> bool {
        self.window.len() - self.at < FREE_BYTES_MIN
    }
}

#[cfg(test)]
mod tests;
