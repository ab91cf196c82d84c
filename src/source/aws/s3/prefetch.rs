//! Downloads objects before a reader asks for them, as many at a time as a far store needs, in bounded memory.
//!
//! Targets come in, in any order; each is a [`Fetch`] of its own. Downloads are begun in the order in which readers open
//! objects ([`reading_order`]); an object that is opened out of turn is begun at once, so that
//! no order can lock readers and downloads against each other.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::super::Session;
use super::download::{Download, DownloadError, Target, WHOLE_BYTES_MAX};
use super::save::{SaveDirectory, Saving};
use crate::source::{Fetch, reading_order};

/// Objects downloaded at a time.
const DOWNLOADS_MAX: usize = 64;
/// Bytes that wait for their readers, at most.
const WAITING_BYTES_MAX: u32 = 32 << 20;
/// What a large object counts for: few of them are begun ahead, as a server closes connections that rest.
const LARGE_BYTES: u32 = WAITING_BYTES_MAX / 4;
/// What any object counts for at least.
const SMALL_BYTES_MIN: u32 = 16 << 10;
/// Bytes of a large object handed on at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces of a large object that wait for their reader.
const PIECES_MAX: usize = 8;

/// Downloads in a reader's order; shared by its objects.
struct Prefetch {
    handle: Handle,
    /// Until the first object is opened.
    queue: Mutex<Option<Vec<Arc<Entry>>>>,
    downloads: Arc<Semaphore>,
    waiting_bytes: Arc<Semaphore>,
}

/// An object to be opened.
struct Entry {
    target: Target,
    slot: Mutex<Slot>,
}

/// What is under way for an object.
enum Slot {
    Waiting,
    Begun(Incoming),
    Taken,
}

/// Bytes on their way to a reader.
struct Incoming {
    pieces: mpsc::Receiver<Result<Piece, DownloadError>>,
    /// The share of the waiting bytes; given back with the reader.
    _share: Option<OwnedSemaphorePermit>,
}

struct Piece {
    bytes: Vec<u8>,
    is_last: bool,
}

/// An object of S3.
struct RemoteObject {
    // The session keeps the runtime alive; nothing that runs on it may own one.
    _session: Session,
    prefetch: Arc<Prefetch>,
    entry: Arc<Entry>,
    save: Option<Arc<SaveDirectory>>,
}

/// What opens each of `targets`, in their order.
pub(super) fn prefetched(
    session: &Session,
    targets: Vec<Target>,
    save: Option<&Arc<SaveDirectory>>,
) -> Vec<Arc<dyn Fetch>> {
    let entries: Vec<Arc<Entry>> = targets
        .into_iter()
        .map(|target| Arc::new(Entry { target, slot: Mutex::new(Slot::Waiting) }))
        .collect();
    let order = reading_order(entries.iter().map(|entry| Some(entry.target.listed.size)));
    let queue = order.into_iter().map(|index| Arc::clone(&entries[index])).collect();
    let prefetch = Arc::new(Prefetch {
        handle: session.runtime().handle().clone(),
        queue: Mutex::new(Some(queue)),
        downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        waiting_bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)),
    });
    entries
        .into_iter()
        .map(|entry| -> Arc<dyn Fetch> {
            let (prefetch, save) = (Arc::clone(&prefetch), save.map(Arc::clone));
            Arc::new(RemoteObject { _session: session.clone(), prefetch, entry, save })
        })
        .collect()
}

impl Prefetch {
    /// Begins the downloads, with the first object that is opened.
    fn begin(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            let (downloads, waiting_bytes) = (Arc::clone(&self.downloads), Arc::clone(&self.waiting_bytes));
            self.handle.spawn(run_ahead(queue, downloads, waiting_bytes));
        }
    }
}

async fn run_ahead(queue: Vec<Arc<Entry>>, downloads: Arc<Semaphore>, waiting_bytes: Arc<Semaphore>) {
    for entry in queue {
        let size = entry.target.listed.size;
        let share = if size > WHOLE_BYTES_MAX {
            LARGE_BYTES
        } else {
            u32::try_from(size).unwrap_or(LARGE_BYTES).max(SMALL_BYTES_MIN)
        };
        // The semaphores are never closed.
        let Ok(share) = Arc::clone(&waiting_bytes).acquire_many_owned(share).await else { return };
        let Ok(download) = Arc::clone(&downloads).acquire_owned().await else { return };
        let mut slot = entry.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Waiting) {
            *slot = Slot::Begun(spawn(&Handle::current(), &entry, Some(share), Some(download)));
        }
    }
}

/// Begins a download.
fn spawn(
    handle: &Handle,
    entry: &Arc<Entry>,
    share: Option<OwnedSemaphorePermit>,
    download: Option<OwnedSemaphorePermit>,
) -> Incoming {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let entry = Arc::clone(entry);
    handle.spawn(async move {
        // Who does not read on has dropped the other end; then there is nothing left to do.
        let _ = deliver(&entry.target, &sender).await;
        drop(download);
    });
    Incoming { pieces, _share: share }
}

type Sender = mpsc::Sender<Result<Piece, DownloadError>>;

async fn deliver(
    target: &Target,
    sender: &Sender,
) -> Result<(), mpsc::error::SendError<Result<Piece, DownloadError>>> {
    if target.listed.size <= WHOLE_BYTES_MAX {
        let bytes = target.whole().await;
        return sender.send(bytes.map(|bytes| Piece { bytes, is_last: true })).await;
    }
    let mut download = Download::new(target);
    let mut bytes = Vec::with_capacity(2 * PIECE_BYTES);
    loop {
        match download.next(&mut bytes).await {
            Ok(true) if bytes.len() < PIECE_BYTES => {}
            Ok(true) => {
                let bytes = std::mem::replace(&mut bytes, Vec::with_capacity(2 * PIECE_BYTES));
                sender.send(Ok(Piece { bytes, is_last: false })).await?;
            }
            Ok(false) => return sender.send(Ok(Piece { bytes, is_last: true })).await,
            Err(error) => return sender.send(Err(error)).await,
        }
    }
}

impl Fetch for RemoteObject {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.prefetch.begin();
        let slot = {
            let mut slot = self.entry.slot.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Slot::Taken)
        };
        let incoming = match slot {
            Slot::Begun(incoming) => incoming,
            Slot::Waiting | Slot::Taken => spawn(&self.prefetch.handle, &self.entry, None, None),
        };
        let saving = self
            .save
            .as_ref()
            .map(|save| save.begin(&self.entry.target.bucket.name, &self.entry.target.listed.key));
        let mut reader = Reader { incoming, piece: Vec::new(), at: 0, is_last: false, saving };
        // An object that cannot be had is told at once.
        reader.receive()?;
        Ok(Box::new(reader))
    }
}

/// Reads what comes in; saves it, where that is wanted.
struct Reader {
    incoming: Incoming,
    piece: Vec<u8>,
    at: usize,
    is_last: bool,
    saving: Option<Saving>,
}

impl Reader {
    fn receive(&mut self) -> io::Result<()> {
        let piece = self.incoming.pieces.blocking_recv();
        let piece = piece.ok_or_else(|| io::Error::other("the download was given up"))?;
        let Piece { bytes, is_last } = piece.map_err(io::Error::other)?;
        if let Some(saving) = &mut self.saving {
            saving.write(&bytes);
            if is_last {
                saving.finish();
            }
        }
        (self.piece, self.at, self.is_last) = (bytes, 0, is_last);
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.is_last {
                return Ok(0);
            }
            self.receive()?;
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Drop for Reader {
    /// What a reader has no use for is saved all the same.
    fn drop(&mut self) {
        while self.saving.is_some() && !self.is_last && self.receive().is_ok() {}
    }
}
