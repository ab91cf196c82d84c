//! Keeps the pages of one query until they are read: compressed, in memory as long as they are few, else in a
//! temporary file without a name.
//!
//! Pages come in, an object for the archive goes out, in the form of the AWS CLI: `{"Events":[…]}`, one page per
//! line. Where paging broke off, the object's bytes end with that error.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_cloudtrail::types::Event;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tempfile::{SpooledData, SpooledTempFile};

use crate::event::Timestamp;
use crate::source::Fetch;
use crate::source::aws::s3::SaveDirectory;

/// Compressed pages of one query that stay in memory.
const MEMORY_BYTES_MAX: usize = 1 << 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page<'a> {
    events: Vec<PageEvent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PageEvent<'a> {
    event_id: Option<&'a str>,
    event_name: Option<&'a str>,
    read_only: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    event_time: Option<String>,
    event_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    resources: Vec<PageResource<'a>>,
    cloud_trail_event: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PageResource<'a> {
    resource_type: Option<&'a str>,
    resource_name: Option<&'a str>,
}

impl<'a> From<&'a Event> for PageEvent<'a> {
    fn from(event: &'a Event) -> Self {
        let resource = |resource: &'a aws_sdk_cloudtrail::types::Resource| PageResource {
            resource_type: resource.resource_type(),
            resource_name: resource.resource_name(),
        };
        Self {
            event_id: event.event_id(),
            event_name: event.event_name(),
            read_only: event.read_only(),
            access_key_id: event.access_key_id(),
            event_time: event.event_time().map(|time| Timestamp::from_second(time.secs()).to_string()),
            event_source: event.event_source(),
            username: event.username(),
            resources: event.resources().iter().map(resource).collect(),
            cloud_trail_event: event.cloud_trail_event(),
        }
    }
}

/// Takes pages.
pub(super) struct Spool {
    encoder: GzEncoder<SpooledTempFile>,
}

impl Spool {
    pub(super) fn new() -> Self {
        let file = SpooledTempFile::new(MEMORY_BYTES_MAX);
        // Pages repeat themselves so much that trying harder gains little.
        Self { encoder: GzEncoder::new(file, Compression::fast()) }
    }

    pub(super) fn page(&mut self, events: &[Event]) -> io::Result<()> {
        let page = Page { events: events.iter().map(PageEvent::from).collect() };
        serde_json::to_writer(&mut self.encoder, &page)?;
        self.encoder.write_all(b"\n")
    }

    /// `failure`: what the pages break off with.
    pub(super) fn finish(self, failure: Option<String>) -> io::Result<Spooled> {
        let (bytes, size) = match self.encoder.finish()?.into_inner() {
            SpooledData::InMemory(cursor) => {
                let bytes: Arc<[u8]> = cursor.into_inner().into();
                let size = bytes.len() as u64;
                (Bytes::Memory(bytes), size)
            }
            SpooledData::OnDisk(file) => {
                let size = file.metadata()?.len();
                (Bytes::File(Arc::new(Mutex::new(file))), size)
            }
        };
        Ok(Spooled { bytes, size, failure: failure.map(Arc::from) })
    }
}

/// The pages of one query.
pub(super) struct Spooled {
    bytes: Bytes,
    size: u64,
    failure: Option<Arc<str>>,
}

#[derive(Clone)]
enum Bytes {
    Memory(Arc<[u8]>),
    /// Several may read at once, each at its own place.
    File(Arc<Mutex<File>>),
}

impl Spooled {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Keeps the pages in a directory, unless some are missing: what is saved is whole. `path` is below
    /// `EventHistory`, which is no bucket's name.
    pub(super) fn save(&self, directory: &Arc<SaveDirectory>, path: &str) {
        if self.failure.is_some() {
            return;
        }
        let mut saving = directory.begin("EventHistory", path);
        let mut reader = Reader { bytes: self.bytes.clone(), offset: 0, failure: None };
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return saving.finish(),
                Ok(length) => saving.write(&buffer[..length]),
                Err(error) => return saving.fail(error),
            }
        }
    }
}

impl Fetch for Spooled {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Reader { bytes: self.bytes.clone(), offset: 0, failure: self.failure.clone() }))
    }
}

struct Reader {
    bytes: Bytes,
    offset: u64,
    failure: Option<Arc<str>>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &self.bytes {
            Bytes::Memory(bytes) => {
                let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[offset..]).read(buffer)?
            }
            Bytes::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(self.offset))?;
                file.read(buffer)?
            }
        };
        if length == 0
            && !buffer.is_empty()
            && let Some(failure) = self.failure.take()
        {
            return Err(io::Error::other(failure.to_string()));
        }
        self.offset += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::{MEMORY_BYTES_MAX, Spool};
    use crate::source::Fetch as _;
    use aws_sdk_cloudtrail::types::Event;
    use flate2::read::MultiGzDecoder;
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::io::Read as _;

    fn event(text: &str) -> Event {
        Event::builder().event_name("RunInstances").cloud_trail_event(text).build()
    }

    fn text(spool: Spool) -> String {
        let spooled = spool.finish(None).expect("the spool is kept");
        let mut texts = (0..2).map(|_| {
            let mut text = String::new();
            let bytes = spooled.open().expect("it opens again and again");
            MultiGzDecoder::new(bytes).read_to_string(&mut text).expect("it is gzip");
            text
        });
        let first = texts.next().expect("two texts");
        assert_eq!(Some(&first), texts.next().as_ref());
        first
    }

    #[test]
    fn a_page_is_a_line_with_the_records_as_strings() {
        let mut spool = Spool::new();
        spool.page(&[event("{\"a\":\"\\n\"}")]).expect("memory takes it");
        spool.page(&[]).expect("memory takes it");
        let text = text(spool);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(r#""CloudTrailEvent":"{\"a\":\"\\n\"}""#), "{text}");
        assert!(text.ends_with("{\"Events\":[]}\n"), "{text}");
    }

    #[test]
    fn many_pages_go_to_disk_and_come_back() {
        let mut spool = Spool::new();
        let mut expected = 0;
        for page in 0..40 {
            // Digits without a pattern, so that compression does not keep them in memory.
            let noise: String = (0..4_000)
                .map(|word: u64| {
                    let mut hasher = DefaultHasher::new();
                    (page, word).hash(&mut hasher);
                    format!("{:016x}", hasher.finish())
                })
                .collect();
            expected += noise.len();
            spool.page(&[event(&noise)]).expect("the disk takes it");
        }
        assert!(expected > 2 * MEMORY_BYTES_MAX);
        assert!(text(spool).len() > expected);
    }

    #[test]
    fn pages_that_break_off_end_with_the_error() {
        let mut spool = Spool::new();
        spool.page(&[event("{}")]).expect("memory takes it");
        let spooled = spool.finish(Some("no more".to_owned())).expect("the spool is kept");
        let mut bytes = Vec::new();
        let error = spooled.open().expect("it opens").read_to_end(&mut bytes).expect_err("it breaks off");
        assert_eq!(error.to_string(), "no more");
        assert_eq!(bytes.len() as u64, spooled.size());
    }
}
