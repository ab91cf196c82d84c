//! Held to zlib on text, on noise, on damage, and on every size of window and of input.

use std::io::{self, Read, Write};

use proptest::prelude::*;

use super::{Deflate, DeflateError, FREE_BYTES_MIN, HISTORY_BYTES, Input, Processor};

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

/// Inflates through a window of little more than the history; gives the text and what stopped it, and how
/// many bytes of the input were left.
fn inflate(stream: &[u8], trickle: usize, free: usize) -> (Vec<u8>, Result<(), DeflateError>, usize) {
    let [first, others @ ..] = &processors()[..] else { panic!("there is always one") };
    let found = inflate_on(*first, stream, trickle, free);
    for other in others {
        let (text, outcome, left) = inflate_on(*other, stream, trickle, free);
        assert!(text == found.0 && left == found.2, "the same on every processor");
        assert_eq!(format!("{outcome:?}"), format!("{:?}", found.1), "the same on every processor");
    }
    let whole = inflate_as_a_whole(stream);
    if found.1.is_ok() {
        assert!(whole == Some((stream.len() - found.2, found.0.clone())), "the same as a whole");
    } else {
        assert!(whole.is_none(), "a whole of a damaged stream");
    }
    found
}

/// What this machine's processor can be taken for.
fn processors() -> Vec<Processor> {
    let best = Processor::detect();
    let lesser = match best {
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => vec![Processor::Avx2, Processor::Any],
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => vec![Processor::Any],
        Processor::Any => vec![],
    };
    [vec![best], lesser].concat()
}

/// The length of a stream and its text, if it is whole.
fn inflate_as_a_whole(stream: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut window = vec![0; 2 << 20];
    let (taken, end) = Deflate::new().inflate_whole(stream, &mut window).ok()??;
    window.truncate(end);
    Some((taken, window))
}

fn inflate_on(
    processor: Processor,
    stream: &[u8],
    trickle: usize,
    free: usize,
) -> (Vec<u8>, Result<(), DeflateError>, usize) {
    let mut deflate = Deflate::compiled_for(processor);
    let mut input = Input::new(Trickle(stream, trickle));
    let mut window = vec![0; HISTORY_BYTES + FREE_BYTES_MIN + free];
    let (mut text, mut at) = (Vec::new(), 0);
    loop {
        if at > HISTORY_BYTES {
            window.copy_within(at - HISTORY_BYTES..at, 0);
            at = HISTORY_BYTES;
        }
        let (end, outcome) = deflate.inflate(&mut input, &mut window, at);
        text.extend_from_slice(&window[at..end]);
        at = end;
        if outcome.is_err() || deflate.is_over() {
            let mut left = 0;
            loop {
                let ahead = input.peek(1).expect("memory").len();
                if ahead == 0 {
                    break;
                }
                left += ahead;
                input.consume(ahead);
            }
            return (text, outcome, left);
        }
    }
}

fn deflated(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// What zlib makes of a stream: the text, if the stream is whole.
fn zlib(stream: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    flate2::read::DeflateDecoder::new(stream).read_to_end(&mut text).ok().map(|_| text)
}

fn texts() -> Vec<Vec<u8>> {
    let mut noise = Vec::new();
    let mut state = 1u32;
    for _ in 0..200_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push((state >> 24) as u8);
    }
    let words: Vec<u8> = noise.iter().flat_map(|byte| format!("word{} ", byte % 61).into_bytes()).collect();
    // Symbols of very different frequency have long codes.
    let skewed: Vec<u8> = noise.iter().map(|byte| (byte.leading_zeros() as u8 * 7) ^ (byte >> 7)).collect();
    let far: Vec<u8> = [&noise[..32_768], &noise[..32_768], &noise[..300]].concat();
    vec![
        Vec::new(),
        b"a".to_vec(),
        vec![b'a'; 100_000],
        b"ab".repeat(50_000),
        b"abcdefg".repeat(9_999),
        noise,
        words,
        skewed,
        far,
    ]
}

#[test]
fn agrees_with_zlib_at_every_level_and_size_of_window() {
    for text in texts() {
        for level in [0, 1, 6, 9] {
            let stream = [deflated(&text, level), b"behind".to_vec()].concat();
            for (trickle, free) in [(1 << 20, 1 << 18), (1 << 20, 0), (1, 700), (1000, 31)] {
                let (found, outcome, left) = inflate(&stream, trickle, free);
                assert!(outcome.is_ok(), "{outcome:?}");
                assert!(found == text, "level {level}, {} bytes", text.len());
                assert_eq!(left, 6, "the input stands behind the stream");
            }
        }
    }
}

#[test]
fn a_stream_cut_anywhere_gives_its_beginning_and_ends_early() {
    let text: Vec<u8> =
        b"some {\"text\":\"text\"} ".iter().copied().cycle().take(3_000).chain(0..=255).collect();
    let stream = deflated(&text, 6);
    for length in 0..stream.len() {
        let (found, outcome, _) = inflate(&stream[..length], 1 << 20, 5_000);
        assert!(matches!(outcome, Err(DeflateError::Truncated)), "{length}: {outcome:?}");
        assert!(text.starts_with(&found), "{length}");
    }
}

#[test]
fn a_match_before_the_beginning_is_refused() {
    // A fixed block whose first symbol is a match of length 3 at distance 1.
    let stream = [0b0000_0011, 0b0000_0010, 0, 0, 0, 0, 0, 0];
    let (found, outcome, _) = inflate(&stream, 10, 0);
    assert!(found.is_empty());
    assert!(matches!(outcome, Err(DeflateError::Corrupt(_))), "{outcome:?}");
}

#[test]
fn an_old_stream_is_out_of_reach_of_the_next() {
    let first = deflated(b"the text of the first stream", 6);
    let mut deflate = Deflate::new();
    let mut window = vec![0; 10_000];
    let (end, outcome) = deflate.inflate(&mut Input::new(&first[..]), &mut window, 0);
    assert!(outcome.is_ok() && deflate.is_over());
    deflate.reset();
    let stream = [0b0000_0011, 0b0000_0010, 0, 0, 0, 0, 0, 0];
    let (_, outcome) = deflate.inflate(&mut Input::new(&stream[..]), &mut window, end);
    assert!(matches!(outcome, Err(DeflateError::Corrupt(_))), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn damage_is_taken_as_zlib_takes_it(
        seed in prop::collection::vec(prop::sample::select(b"abcdefgh{}\":, \x00\xff".to_vec()), 1..600),
        repeats in 1usize..20,
        level in 0u32..10,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut stream = deflated(&seed.repeat(repeats), level);
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] ^= byte;
        }
        let (found, outcome, _) = inflate(&stream, 1 << 20, 100_000);
        match zlib(&stream) {
            Some(text) => {
                prop_assert!(outcome.is_ok(), "{:?}", outcome);
                prop_assert_eq!(found, text);
            }
            None => prop_assert!(outcome.is_err()),
        }
    }

    #[test]
    fn noise_is_taken_as_zlib_takes_it(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        let (found, outcome, _) = inflate(&stream, 7, 0);
        match zlib(&stream) {
            Some(text) => prop_assert_eq!(found, text),
            None => prop_assert!(outcome.is_err()),
        }
    }
}
