//! Inflates one object on a thread of its own, ahead of the reading, so that one large object keeps two
//! cores busy.
//!
//! A few buffers go round: the inflating thread fills them with text, the reading side empties them. Memory
//! is those buffers, and the text of a value that spans several of them.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};

use super::deflate::HISTORY_BYTES;
use super::framing::ValueSink;
use super::inflate::{Fault, Inflater};
use super::object::Feed;

/// Text in one buffer; a buffer and its window of history fit into a core's cache.
const TEXT_BYTES: usize = 512 << 10;
/// Buffers that go round.
const BUFFERS: usize = 3;
/// Free space that the inflater is given at least.
const FREE_BYTES_MIN: usize = 16 << 10;

/// Text in a buffer, behind room for what the reading side has left of the text before.
struct Piece {
    buffer: Vec<u8>,
    end: usize,
    is_last: bool,
    fault: Option<Fault>,
}

/// Reads what `inflater` gives to its end. `window` is a buffer to use again.
pub(super) fn inflate_ahead<R: Read + Send, V: ValueSink>(
    inflater: Inflater<R>,
    window: &mut Vec<u8>,
    feed: &mut Feed<'_, V>,
) -> Result<(), Fault> {
    let (empty, empties) = mpsc::channel();
    let (full, fulls) = mpsc::channel();
    for _ in 0..BUFFERS {
        // The other end is still here.
        let _ = empty.send(vec![0; HISTORY_BYTES + TEXT_BYTES]);
    }
    std::thread::scope(|scope| {
        scope.spawn(move || fill(inflater, &empties, &full));
        // Returning drops both channels, which ends the other thread.
        read(&fulls, &empty, window, feed)
    })
}

/// Fills buffers until the text is over or nobody wants more.
fn fill<R: Read>(mut inflater: Inflater<R>, empties: &Receiver<Vec<u8>>, full: &Sender<Piece>) {
    let mut history = Vec::new();
    while let Ok(mut buffer) = empties.recv() {
        buffer[HISTORY_BYTES - history.len()..HISTORY_BYTES].copy_from_slice(&history);
        let mut end = HISTORY_BYTES;
        let (mut is_last, mut fault) = (false, None);
        while !is_last && buffer.len() - end >= FREE_BYTES_MIN {
            match inflater.inflate(&mut buffer, end) {
                Ok(end_of_text) => {
                    is_last = end_of_text == end;
                    end = end_of_text;
                }
                Err(error) => (is_last, fault) = (true, Some(error)),
            }
        }
        history.clear();
        history.extend_from_slice(&buffer[end - HISTORY_BYTES..end]);
        if full.send(Piece { buffer, end, is_last, fault }).is_err() || is_last {
            return;
        }
    }
}

/// Reads the pieces in order.
fn read<V: ValueSink>(
    fulls: &Receiver<Piece>,
    empty: &Sender<Vec<u8>>,
    window: &mut Vec<u8>,
    feed: &mut Feed<'_, V>,
) -> Result<(), Fault> {
    // Text that is not read yet and stands before the next piece.
    let left = window;
    left.clear();
    while let Ok(mut piece) = fulls.recv() {
        let text = if left.len() <= HISTORY_BYTES {
            let start = HISTORY_BYTES - left.len();
            piece.buffer[start..HISTORY_BYTES].copy_from_slice(left);
            left.clear();
            &piece.buffer[start..piece.end]
        } else {
            left.extend_from_slice(&piece.buffer[HISTORY_BYTES..piece.end]);
            &left[..]
        };
        if piece.is_last {
            return feed.take(text, piece.fault).map(drop);
        }
        let consumed = feed.take_piece(text)?;
        if left.is_empty() {
            left.extend_from_slice(&piece.buffer[piece.end - (text.len() - consumed)..piece.end]);
        } else {
            left.drain(..consumed);
        }
        // The other thread may be done already.
        let _ = empty.send(piece.buffer);
    }
    Ok(())
}
