//! One object's bytes, whole in spite of what happens on the way.
//!
//! A listed object comes in, its bytes go out, as many as the listing and the answer say. A body that breaks or stalls
//! goes on where it broke, if the object is still the same; nothing of two versions is ever mixed.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;

use super::super::AwsError;
use super::super::repeat::{Backoff, Remedy, remedy};
use super::bucket::{Bucket, Listed};

/// Objects up to this size are delivered as a whole.
pub(super) const WHOLE_BYTES_MAX: u64 = 4 << 20;
/// A body that gives nothing for so long is stalled.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// Attempts without progress in between.
const ATTEMPTS_MAX: u32 = 8;
/// Bytes that count as progress: less, and a server could keep a download busy for ever.
const PROGRESS_BYTES: u64 = 64 << 10;
/// How often an object may be replaced under us before it is given up.
const VERSIONS_MAX: u32 = 3;

/// Why an object's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// S3 or KMS refuses.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// It was listed, and is not there.
    #[error("the object is gone: it was deleted after it was listed")]
    Gone,
    /// It is not what was listed, or what the first bytes were of.
    #[error("the object was replaced while it was read")]
    Replaced,
    /// Its checksum is wrong.
    #[error("the bytes are not those that S3 stored: {detail}")]
    Corrupt {
        /// What does not fit.
        detail: String,
    },
    /// The body does not come to its end.
    #[error("the body breaks off at byte {read} of {size}, again and again: {detail}")]
    Broken {
        /// Bytes read until then.
        read: u64,
        /// Bytes that the object has.
        size: u64,
        /// What happened last.
        detail: String,
    },
}

/// An object and the bucket that it is in.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) bucket: Arc<Bucket>,
    pub(super) listed: Listed,
}

impl Target {
    /// All bytes of a small object.
    pub(super) async fn whole(&self) -> Result<Vec<u8>, DownloadError> {
        let mut bytes =
            Vec::with_capacity(usize::try_from(self.listed.size.min(WHOLE_BYTES_MAX)).unwrap_or(0));
        let mut download = Download::new(self);
        let mut versions_left = VERSIONS_MAX;
        loop {
            match download.next(&mut bytes).await {
                Ok(true) => {}
                Ok(false) => return Ok(bytes),
                // Nothing was delivered yet: what is there now is as good as what was listed.
                Err(DownloadError::Replaced | DownloadError::Corrupt { .. }) if versions_left > 0 => {
                    versions_left -= 1;
                    self.bucket.retries.note();
                    bytes.clear();
                    download = Download::of_any_version(self);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A download, as far as it got.
pub(super) struct Download<'t> {
    target: &'t Target,
    body: Option<ByteStream>,
    /// Bytes delivered.
    offset: u64,
    /// Bytes of the body that were delivered already, where the server does not give parts.
    repeated: u64,
    size: u64,
    etag: Option<String>,
    /// Whether size and ETag are those of the version that is read.
    is_version_known: bool,
    backoff: Backoff,
    progress: u64,
}

impl<'t> Download<'t> {
    /// Of the version that was listed.
    pub(super) fn new(target: &'t Target) -> Self {
        let listed = &target.listed;
        Self {
            target,
            body: None,
            offset: 0,
            repeated: 0,
            size: listed.size,
            etag: listed.etag.clone(),
            is_version_known: true,
            backoff: Backoff::new(ATTEMPTS_MAX),
            progress: 0,
        }
    }

    /// Of whatever version is there now, as long as it is small.
    fn of_any_version(target: &'t Target) -> Self {
        Self { etag: None, is_version_known: false, ..Self::new(target) }
    }

    /// Appends some more bytes to `bytes`; `false` if there are no more.
    pub(super) async fn next(&mut self, bytes: &mut Vec<u8>) -> Result<bool, DownloadError> {
        loop {
            let Some(body) = &mut self.body else {
                self.body = Some(self.ask().await?);
                continue;
            };
            let detail = match tokio::time::timeout(STALL, body.next()).await {
                Ok(Some(Ok(piece))) => {
                    let repeated = self.repeated.min(piece.len() as u64);
                    self.repeated -= repeated;
                    let piece = &piece[usize::try_from(repeated).unwrap_or(piece.len())..];
                    if self.offset + piece.len() as u64 > self.size {
                        return Err(DownloadError::Replaced);
                    }
                    if piece.is_empty() {
                        continue;
                    }
                    self.offset += piece.len() as u64;
                    self.progress += piece.len() as u64;
                    bytes.extend_from_slice(piece);
                    return Ok(true);
                }
                Ok(None) if self.offset == self.size => return Ok(false),
                Ok(None) => "the connection ended".to_owned(),
                // All bytes came, so what is wrong is their checksum.
                Ok(Some(Err(error))) if self.offset == self.size => {
                    return Err(DownloadError::Corrupt { detail: cause(&error) });
                }
                Ok(Some(Err(error))) => cause(&error),
                Err(_) => format!("nothing came for {} s", STALL.as_secs()),
            };
            self.body = None;
            if self.progress >= PROGRESS_BYTES {
                self.backoff.reset();
            }
            self.progress = 0;
            let Some(pause) = self.backoff.next(false) else {
                return Err(DownloadError::Broken { read: self.offset, size: self.size, detail });
            };
            self.target.bucket.retries.note();
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks for the object, from where it broke off.
    async fn ask(&mut self) -> Result<ByteStream, DownloadError> {
        let Target { bucket, listed } = self.target;
        loop {
            let request = bucket
                .client
                .get_object()
                .bucket(&bucket.name)
                .key(&listed.key)
                .set_if_match(self.etag.clone())
                .set_range((self.offset > 0).then(|| format!("bytes={}-", self.offset)))
                .set_request_payer(bucket.payer());
            let error = match request.send().await {
                Ok(output) => return self.accept(output),
                Err(error) => error,
            };
            if let Some(error) = final_error(&error) {
                return Err(error);
            }
            let remedy = remedy(&error);
            let Some(pause) =
                (remedy != Remedy::None).then(|| self.backoff.next(remedy == Remedy::Wait)).flatten()
            else {
                return Err(bucket.failure("GetObject", &error).into());
            };
            bucket.retries.note();
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes an answer, if it is of the version that is read.
    fn accept(&mut self, output: GetObjectOutput) -> Result<ByteStream, DownloadError> {
        let length = output.content_length().and_then(|length| u64::try_from(length).ok());
        let is_part = output.content_range().is_some();
        if is_part
            && !output.content_range().is_some_and(|range| {
                range.starts_with(&format!("bytes {}-", self.offset))
                    && range.ends_with(&format!("/{}", self.size))
            })
        {
            return Err(DownloadError::Replaced);
        }
        self.repeated = if is_part { 0 } else { self.offset };
        if !self.is_version_known {
            self.size = length.filter(|size| *size <= WHOLE_BYTES_MAX).ok_or(DownloadError::Replaced)?;
            self.etag = output.e_tag().map(str::to_owned);
            self.is_version_known = true;
        }
        let expected = if is_part { self.size - self.offset } else { self.size };
        if length.is_some_and(|length| length != expected) {
            return Err(DownloadError::Replaced);
        }
        Ok(output.body)
    }
}

/// An error that says that the object is not what it was.
fn final_error(error: &SdkError<GetObjectError>) -> Option<DownloadError> {
    let status = error.raw_response()?.status().as_u16();
    match status {
        412 | 416 => Some(DownloadError::Replaced),
        _ if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
            Some(DownloadError::Gone)
        }
        _ => None,
    }
}

/// The last cause in a chain of errors.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
