//! Objects that come piece by piece.

use std::io::{self, Read};
use std::sync::Arc;

use crate::source::{Fetch, SourceObject};

/// An object whose size nobody knows, which is therefore read piece by piece; its reads fail at the end if
/// `fails`.
struct Stream {
    bytes: Vec<u8>,
    /// How many bytes a read gives at most.
    piece_bytes: usize,
    fails: bool,
}

impl Fetch for Stream {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset"))
            }
        }
        struct Pieces(io::Cursor<Vec<u8>>, usize);
        impl Read for Pieces {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = buffer.len().min(self.1);
                self.0.read(&mut buffer[..length])
            }
        }
        let bytes = Pieces(io::Cursor::new(self.bytes.clone()), self.piece_bytes);
        Ok(if self.fails { Box::new(bytes.chain(Failing)) } else { Box::new(bytes) })
    }
}

pub(super) fn stream(bytes: Vec<u8>, fails: bool) -> SourceObject {
    SourceObject::remote("a.json", None, Arc::new(Stream { bytes, piece_bytes: usize::MAX, fails }))
}

pub(super) fn stream_in_pieces(bytes: Vec<u8>, piece_bytes: usize) -> SourceObject {
    SourceObject::remote("a.json", None, Arc::new(Stream { bytes, piece_bytes, fails: false }))
}
