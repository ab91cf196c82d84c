//! The project's own DEFLATE decoder and its gzip reader, held to flate2: the same text, or both refuse.
//!
//! The first byte chooses: a raw stream; a gzip file around a raw stream, with a trailer that fits; or a text to be
//! deflated and damaged in one place. The decoder is no public interface, so its sources are taken in by their path.

#![no_main]

#[path = "../../src/archive"]
mod archive {
    #[allow(dead_code)]
    pub mod deflate;
    #[allow(dead_code)]
    pub mod inflate;

    use std::io::{self, Read};

    use self::deflate::{Deflate, FREE_BYTES_MIN, HISTORY_BYTES, Input};
    use self::inflate::{Compression, Inflater, WholeInflater};

    /// Gives a few bytes at a time.
    struct Trickle<'b>(&'b [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// Room for what the largest inputs can inflate to and more than once round the smallest window.
    pub const TEXT_BYTES_MAX: usize = 1 << 22;

    /// The text up to what stopped it, and whether the stream was whole.
    pub fn inflate_raw(stream: &[u8], trickle: usize, free: usize) -> (Vec<u8>, bool) {
        let mut deflate = Deflate::new();
        let mut input = Input::new(Trickle(stream, trickle));
        through_window(free, |window, at| {
            if deflate.is_over() {
                return (at, Some(true));
            }
            let (end, outcome) = deflate.inflate(&mut input, window, at);
            (end, outcome.is_err().then_some(false))
        })
    }

    /// The text of all members up to what stopped it, and whether the file was whole.
    pub fn inflate_gzip(file: &[u8], trickle: usize, free: usize) -> (Vec<u8>, bool) {
        let mut inflater =
            Inflater::new(Compression::Gzip, Trickle(file, trickle)).expect("gzip needs nothing");
        through_window(free, |window, at| match inflater.inflate(window, at) {
            Ok(end) if end == at => (at, Some(true)),
            Ok(end) => (end, None),
            Err(_) => (at, Some(false)),
        })
    }

    fn through_window(
        free: usize,
        mut piece: impl FnMut(&mut [u8], usize) -> (usize, Option<bool>),
    ) -> (Vec<u8>, bool) {
        let mut window = vec![0; HISTORY_BYTES + FREE_BYTES_MIN + free];
        let (mut text, mut at) = (Vec::new(), 0);
        loop {
            if at > HISTORY_BYTES {
                window.copy_within(at - HISTORY_BYTES..at, 0);
                at = HISTORY_BYTES;
            }
            let (end, verdict) = piece(&mut window, at);
            text.extend_from_slice(&window[at..end]);
            at = end;
            match verdict {
                Some(is_whole) => return (text, is_whole),
                None => assert!(text.len() <= TEXT_BYTES_MAX, "more text than the input can hold"),
            }
        }
    }

    pub fn inflate_whole(file: &[u8]) -> Option<Vec<u8>> {
        WholeInflater::new().inflate(file, TEXT_BYTES_MAX).map(<[u8]>::to_vec)
    }
}

/// What the taken-in sources know as the crate's own.
mod event {
    pub use keytrail::event::LossKind;
}

use std::io::{Read, Write};

use archive::{TEXT_BYTES_MAX, inflate_gzip, inflate_raw, inflate_whole};
use libfuzzer_sys::fuzz_target;

/// DEFLATE expands by no more than 1,032.
const INPUT_BYTES_MAX: usize = TEXT_BYTES_MAX / 1_100;
const TRICKLES: [usize; 4] = [1, 3, 1_000, 1 << 20];
const FREE_BYTES: [usize; 4] = [0, 31, 700, 1 << 17];

fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, form, level, damage], bytes)) = bytes.split_first_chunk::<4>() else { return };
    if bytes.len() > INPUT_BYTES_MAX {
        return;
    }
    let (trickle, free) = (TRICKLES[usize::from(form & 3)], FREE_BYTES[usize::from(form >> 2 & 3)]);
    match mode % 3 {
        0 => raw(bytes, trickle, free),
        1 => gzip(&[member(bytes, level)].concat(), trickle, free),
        _ => {
            let mut stream = deflated(bytes, level);
            let at = usize::from(damage) * stream.len() / 256;
            stream[at] ^= form >> 4;
            raw(&stream, trickle, free);
            let other = member(&deflated(bytes, 1), damage);
            gzip(&[member(&stream, level), other].concat(), trickle, free);
        }
    }
});

fn raw(stream: &[u8], trickle: usize, free: usize) {
    let (text, is_whole) = inflate_raw(stream, trickle, free);
    let mut expected = Vec::new();
    let is_expected = flate2::read::DeflateDecoder::new(stream).read_to_end(&mut expected).is_ok();
    assert_eq!(is_whole, is_expected, "whole or not: {stream:02x?}");
    same_text(&text, &expected, is_whole);
}

fn gzip(file: &[u8], trickle: usize, free: usize) {
    let (text, is_whole) = inflate_gzip(file, trickle, free);
    let mut expected = Vec::new();
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    let is_expected = flate2::read::MultiGzDecoder::new(file).read_to_end(&mut expected).is_ok();
    assert_eq!(is_whole, is_expected, "whole or not: {file:02x?}");
    same_text(&text, &expected, is_whole);
    if let Some(quick) = inflate_whole(file) {
        assert!(is_whole, "the quick way takes what the thorough one refuses: {file:02x?}");
        assert!(quick == text, "the quick way gives another text: {file:02x?}");
    }
}

/// Of a stream that is not whole, both give a beginning.
fn same_text(text: &[u8], expected: &[u8], is_whole: bool) {
    if is_whole {
        assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
    } else {
        let both = text.len().min(expected.len());
        assert!(text[..both] == expected[..both], "another beginning");
    }
}

/// A gzip member around `stream`, with optional fields as `flags` say, and the trailer that fits if any does.
fn member(stream: &[u8], flags: u8) -> Vec<u8> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let flags = flags & (EXTRA | NAME | COMMENT);
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
    if flags & EXTRA != 0 {
        file.extend(b"\x03\x00abc");
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            file.extend(b"name\0");
        }
    }
    let mut text = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(stream);
    let length = match decoder.read_to_end(&mut text) {
        Ok(_) => decoder.total_in() as usize,
        Err(_) => stream.len(),
    };
    file.extend(&stream[..length]);
    file.extend(libdeflater::crc32(&text).to_le_bytes());
    file.extend((text.len() as u32).to_le_bytes());
    file
}

fn deflated(text: &[u8], level: u8) -> Vec<u8> {
    let level = flate2::Compression::new(u32::from(level) % 10);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}
