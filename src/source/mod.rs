//! Where bytes come from: a directory, a file, standard input, memory, or a remote store.
//!
//! A SOURCE as the user writes it comes in; [`SourceObject`]s go out, sorted, each with a way to open it.
//! Nothing here looks into the bytes: whether an object is a log is for `archive` to find out, and
//! the kinds of source must differ nowhere above this module.

#[cfg(feature = "aws")]
pub mod aws;
pub mod disk;

use std::cmp::Reverse;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::Text;

/// One object: a file, an S3 object, a page of an API, standard input.
#[derive(Clone)]
pub struct SourceObject {
    /// The object's path or URI, as reports cite it.
    pub uri: Text,
    /// Stored size in bytes, where the listing told it.
    pub size: Option<u64>,
    /// Whether the object claims to be a log, by its name or because the user named it: then it is a
    /// loss if it holds none. Anything else that holds no log is merely skipped.
    pub is_named_as_log: bool,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Disk(PathBuf),
    StandardInput,
    Memory(Arc<[u8]>),
    Remote(Arc<dyn Fetch>),
}

/// The directory in which downloads are written until they are whole; nothing in it is a log.
pub const INCOMPLETE_DIRECTORY: &str = ".keytrail-incomplete";

/// The order in which readers open objects of these sizes: the largest first, so that no large one is begun
/// last. An object of unknown size may be the largest of all.
#[must_use]
pub fn reading_order(sizes: impl IntoIterator<Item = Option<u64>>) -> Vec<usize> {
    let mut order: Vec<(Reverse<u64>, usize)> = sizes
        .into_iter()
        .enumerate()
        .map(|(index, size)| (Reverse(size.unwrap_or(u64::MAX)), index))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

/// Opens an object of a remote store.
pub trait Fetch: Send + Sync {
    /// Begins reading the object's bytes from its start. May be called more than once.
    ///
    /// # Errors
    /// When the object cannot be opened; reading may fail later too.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// What changes whenever the object's bytes change, such as its ETag, where the store tells.
    fn revision(&self) -> Option<String> {
        None
    }
}

impl SourceObject {
    /// A file. `uri` is its path, lossily decoded where it is no UTF-8; the path itself is what is opened.
    #[must_use]
    pub fn file(path: PathBuf, size: Option<u64>) -> Self {
        let uri: Text = path.to_string_lossy().into();
        Self { is_named_as_log: has_log_name(&uri), uri, size, place: Place::Disk(path) }
    }

    /// Standard input, `-`. It can be opened once.
    #[must_use]
    pub fn standard_input() -> Self {
        Self { uri: "-".into(), size: None, is_named_as_log: true, place: Place::StandardInput }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory(uri: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            uri: uri.into(),
            size: Some(bytes.len() as u64),
            is_named_as_log: has_log_name(uri),
            place: Place::Memory(bytes),
        }
    }

    /// An object of a remote store.
    #[must_use]
    pub fn remote(uri: &str, size: Option<u64>, fetch: Arc<dyn Fetch>) -> Self {
        Self { uri: uri.into(), size, is_named_as_log: has_log_name(uri), place: Place::Remote(fetch) }
    }

    /// An object or folder that is known by its name to hold no records: it counts as skipped and is never read.
    #[must_use]
    pub fn passed_over(uri: &str) -> Self {
        Self { is_named_as_log: false, ..Self::memory(uri, Vec::new()) }
    }

    /// Begins reading the object from its start.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match &self.place {
            Place::Disk(path) => Ok(Box::new(File::open(path)?)),
            Place::StandardInput => Ok(Box::new(io::stdin())),
            Place::Memory(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            Place::Remote(fetch) => fetch.open(),
        }
    }

    /// What changes whenever the object's bytes change: a file's time of modification, a remote object's
    /// ETag; `None` where nothing tells.
    #[must_use]
    pub fn revision(&self) -> Option<String> {
        match &self.place {
            Place::Disk(path) => {
                let modified = path.metadata().ok()?.modified().ok()?;
                let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
                Some(format!("modified:{}.{:09}", since.as_secs(), since.subsec_nanos()))
            }
            Place::Remote(fetch) => fetch.revision(),
            Place::StandardInput | Place::Memory(_) => None,
        }
    }
}

impl fmt::Debug for SourceObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SourceObject").field("uri", &self.uri).field("size", &self.size).finish()
    }
}

/// Whether a name is one that logs have: `.json`, `.jsonl`, `.ndjson`, `.gz`, `.zst`, in any case.
#[must_use]
pub fn has_log_name(name: &str) -> bool {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    // An archive of files is no log, although it is compressed as logs are.
    let is_archive = stem.len() >= 4 && stem.is_char_boundary(stem.len() - 4) && {
        stem[stem.len() - 4..].eq_ignore_ascii_case(".tar")
    };
    !is_archive
        && ["json", "jsonl", "ndjson", "gz", "zst", "zstd"]
            .iter()
            .any(|log_extension| extension.eq_ignore_ascii_case(log_extension))
}

#[cfg(test)]
mod tests {
    use super::{SourceObject, has_log_name, reading_order};
    use std::io::Read;

    #[test]
    fn log_names_are_told_by_their_extension() {
        for name in
            ["a.json", "AWSLogs/1/x.json.gz", "C:\\logs\\a.JSONL", "x.ndjson.zst", "trail.gz", "é.json"]
        {
            assert!(has_log_name(name), "{name}");
        }
        for name in ["README.md", "flows.csv", "json", "dir.json/README", "logs.tar.gz", ""] {
            assert!(!has_log_name(name), "{name}");
        }
    }

    #[test]
    fn the_largest_objects_are_read_first_and_equal_ones_in_their_order() {
        let sizes = [Some(5), Some(9), None, Some(5), Some(0), Some(9)];
        assert_eq!(reading_order(sizes), [2, 1, 5, 0, 3, 4]);
    }

    #[test]
    fn an_object_in_memory_opens_again_and_again() {
        let object = SourceObject::memory("memory:a.json", b"{}".to_vec());
        assert_eq!(object.size, Some(2));
        for _ in 0..2 {
            let mut text = String::new();
            object.open().expect("memory opens").read_to_string(&mut text).expect("memory reads");
            assert_eq!(text, "{}");
        }
    }
}
