//! Compressed bytes -> text: gzip with all its members, zstd with all its frames, or text as it is.
//!
//! An opened object comes in, inflated text goes out, piece by piece or as a whole. Every fault of the
//! compression becomes a [`Fault`], after the text before it; checksums are always verified. Memory is
//! bounded by the buffers, whatever a stream claims of its own size.

use std::io::{self, BufReader, Read};

use super::deflate::{Deflate, DeflateError, FREE_BYTES_MIN, Input};
use crate::event::LossKind;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// DEFLATE expands no further than this.
const GZIP_RATIO_MAX: usize = 1_032;
/// Larger windows are refused, as by the zstd command.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Why the text of an object ends before it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Kind of loss.
    pub kind: LossKind,
    /// What happened.
    pub detail: String,
}

impl Fault {
    fn new(kind: LossKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// The object cannot be read on.
    pub(super) fn of_input(error: &io::Error) -> Self {
        Self::new(LossKind::Unreadable, format!("reading fails: {error}"))
    }
}

/// How an object is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Told by the first bytes, never by the name.
    pub(super) fn of(first_bytes: &[u8]) -> Self {
        let is_skippable_frame = first_bytes.len() >= 4
            && first_bytes[0] & 0xf0 == 0x50
            && first_bytes[1..4] == [0x2a, 0x4d, 0x18];
        if first_bytes.starts_with(&GZIP_MAGIC[..2]) {
            Self::Gzip
        } else if first_bytes.starts_with(&ZSTD_MAGIC) || is_skippable_frame {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

impl From<DeflateError> for Fault {
    fn from(error: DeflateError) -> Self {
        match error {
            DeflateError::Input(error) => Self::of_input(&error),
            DeflateError::Truncated => truncated(),
            DeflateError::Corrupt(what) => Self::new(LossKind::CorruptCompression, format!("gzip: {what}")),
        }
    }
}

fn truncated() -> Fault {
    Fault::new(LossKind::TruncatedCompression, "the gzip stream ends early")
}

/// Gives text, piece by piece.
pub(super) enum Inflater<R: Read> {
    /// Text as it is.
    Plain(R),
    /// gzip.
    Gzip(Box<Members<R>>),
    /// zstd.
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<R>>>),
}

impl<R: Read> Inflater<R> {
    /// Of an input whose first bytes tell its compression.
    pub(super) fn new(compression: Compression, input: R) -> Result<Self, Fault> {
        Ok(match compression {
            Compression::None => Self::Plain(input),
            Compression::Gzip => Self::Gzip(Box::new(Members::new(input))),
            Compression::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::new(input).map_err(|error| Fault::of_input(&error))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| Fault::of_input(&error))?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Writes text to `window` from `at` on and gives its end; none written means that the text is over.
    /// What stands before `at` must be the text before, as far back as
    /// [`HISTORY_BYTES`](super::deflate::HISTORY_BYTES); much more than
    /// [`FREE_BYTES_MIN`] must be free.
    pub(super) fn inflate(&mut self, window: &mut [u8], at: usize) -> Result<usize, Fault> {
        match self {
            Self::Plain(input) => loop {
                match input.read(&mut window[at..]) {
                    Ok(length) => return Ok(at + length),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Fault::of_input(&error)),
                }
            },
            Self::Gzip(members) => members.inflate(window, at),
            Self::Zstd(decoder) => {
                decoder.read(&mut window[at..]).map(|length| at + length).map_err(|error| {
                    match error.kind() {
                        io::ErrorKind::UnexpectedEof => {
                            Fault::new(LossKind::TruncatedCompression, "the zstd stream ends early")
                        }
                        // What zstd itself finds comes as `Other`; anything else is the input's.
                        io::ErrorKind::Other => {
                            Fault::new(LossKind::CorruptCompression, format!("zstd: {error}"))
                        }
                        _ => Fault::of_input(&error),
                    }
                })
            }
        }
    }
}

/// The members of a gzip file, one after another.
pub(super) struct Members<R> {
    input: Input<R>,
    deflate: Deflate,
    checksum: libdeflater::Crc,
    length: u32,
    member: u64,
    state: MemberState,
    /// What stopped the decoder, told after the text before it.
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberState {
    Header,
    Body,
    Trailer,
    Over,
}

impl<R: Read> Members<R> {
    fn new(input: R) -> Self {
        Self {
            input: Input::new(input),
            deflate: Deflate::new(),
            checksum: libdeflater::Crc::new(),
            length: 0,
            member: 0,
            state: MemberState::Header,
            fault: None,
        }
    }

    fn inflate(&mut self, window: &mut [u8], at: usize) -> Result<usize, Fault> {
        loop {
            if let Some(fault) = self.fault.take() {
                self.state = MemberState::Over;
                return Err(fault);
            }
            match self.state {
                MemberState::Over => return Ok(at),
                MemberState::Header => {
                    if self.member > 0 && self.input.peek(1)?.is_empty() {
                        self.state = MemberState::Over;
                        continue;
                    }
                    self.header()?;
                    self.deflate.reset();
                    self.checksum = libdeflater::Crc::new();
                    self.length = 0;
                    self.state = MemberState::Body;
                }
                MemberState::Body => {
                    let (end, outcome) = self.deflate.inflate(&mut self.input, window, at);
                    self.checksum.update(&window[at..end]);
                    self.length = self.length.wrapping_add((end - at) as u32);
                    self.fault = outcome.err().map(Fault::from);
                    if self.deflate.is_over() {
                        self.state = MemberState::Trailer;
                    }
                    if end > at {
                        return Ok(end);
                    }
                }
                MemberState::Trailer => {
                    self.trailer()?;
                    self.member += 1;
                    self.state = MemberState::Header;
                }
            }
        }
    }

    fn header(&mut self) -> Result<(), Fault> {
        const CHECKSUM: u8 = 2;
        const EXTRA: u8 = 4;
        const NAME: u8 = 8;
        const COMMENT: u8 = 16;
        let head = self.input.peek(GZIP_MAGIC.len())?;
        let head = &head[..head.len().min(GZIP_MAGIC.len())];
        if !GZIP_MAGIC.starts_with(head) {
            let detail = if self.member == 0 {
                "no gzip header".to_owned()
            } else {
                format!("bytes that are no gzip follow member {}", self.member)
            };
            return Err(Fault::new(LossKind::CorruptCompression, detail));
        }
        for _ in GZIP_MAGIC {
            self.byte()?;
        }
        let flags = self.byte()?;
        for _ in 0..6 {
            self.byte()?;
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
            for _ in 0..length {
                self.byte()?;
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                while self.byte()? != 0 {}
            }
        }
        if flags & CHECKSUM != 0 {
            self.byte()?;
            self.byte()?;
        }
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), Fault> {
        let checksum = u32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]);
        let length = u32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]);
        if checksum != self.checksum.sum() || length != self.length {
            let detail = format!("the checksum or length of gzip member {} is wrong", self.member);
            return Err(Fault::new(LossKind::CorruptCompression, detail));
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.input.peek(1)?.first().ok_or_else(truncated)?;
        self.input.consume(1);
        Ok(byte)
    }
}

/// Inflates gzip files of one member as a whole, which is the quickest way.
pub(super) struct WholeInflater {
    deflate: Deflate,
    window: Vec<u8>,
}

impl WholeInflater {
    /// With an empty buffer that grows as needed.
    pub(super) fn new() -> Self {
        Self { deflate: Deflate::new(), window: Vec::new() }
    }

    /// The text of `compressed`, a gzip file of one member whose text is no longer than `text_bytes_max`.
    /// `None` where it is anything else, or is damaged: then it must be inflated piece by piece.
    pub(super) fn inflate(&mut self, compressed: &[u8], text_bytes_max: usize) -> Option<&[u8]> {
        let stream = compressed.get(plain_header_length(compressed)?..)?;
        let (body, trailer) = stream.split_last_chunk::<8>()?;
        let (checksum, length) = trailer.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        if length > text_bytes_max || length / GZIP_RATIO_MAX > body.len() {
            return None;
        }
        if self.window.len() < length + FREE_BYTES_MIN {
            self.window.resize(length + FREE_BYTES_MIN, 0);
        }
        let window = &mut self.window[..length + FREE_BYTES_MIN];
        // With the trailer behind it, the decoder is quick to the very end; the body must end where that begins.
        if self.deflate.inflate_whole(stream, window).ok()?? != (body.len(), length) {
            return None;
        }
        let text = &self.window[..length];
        (libdeflater::crc32(text) == u32::from_le_bytes(*checksum)).then_some(text)
    }
}

/// Length of a gzip header without optional fields, or with a name only.
fn plain_header_length(compressed: &[u8]) -> Option<usize> {
    const NAME: u8 = 8;
    let header = compressed.first_chunk::<10>()?;
    if header[..3] != GZIP_MAGIC {
        return None;
    }
    match header[3] {
        0 => Some(10),
        NAME => Some(10 + memchr::memchr(0, &compressed[10..])? + 1),
        _ => None,
    }
}
