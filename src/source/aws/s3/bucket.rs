//! One bucket and the client that asks it, in the bucket's own region.
//!
//! A location as the user writes it comes in; pages of names go out. A bucket of another region is followed there.
//! Requests are repeated where that may help, and counted when they are.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::types::{EncodingType, RequestPayer};

use super::super::repeat::{Backoff, Remedy, remedy};
use super::super::{AwsError, Retries, Session};
use super::Location;

/// Attempts of a listing.
const ATTEMPTS_MAX: u32 = 8;
/// Attempts of the very first request: it is more likely that there is no network than that it was lost.
const FIRST_ATTEMPTS_MAX: u32 = 4;

/// How to ask S3.
#[derive(Clone, Copy, Debug, Default)]
pub struct S3Options {
    /// `--requester-pays`: whoever reads pays, which some buckets ask for.
    pub requester_pays: bool,
}

/// A bucket that answers. Knows nothing of the session, so that tasks of the session's runtime may hold it.
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) client: Client,
    pub(super) retries: Retries,
    profile: Option<String>,
    options: S3Options,
}

/// An object as the listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    /// Whether the user named this very object.
    pub(super) is_named: bool,
}

/// A page of a listing.
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// Prefixes up to the next `/`, where the listing was by folder.
    pub(super) folders: Vec<String>,
    pub(super) next: Option<String>,
}

impl Bucket {
    /// Asks for the first key below the location, where need be again in the bucket's own region.
    pub(super) async fn locate(
        session: &Session,
        location: &Location,
        options: S3Options,
    ) -> Result<Self, AwsError> {
        let mut bucket = Self::in_region(session, location, options, None);
        let Err(error) = bucket.request(&location.prefix, false, None, Some(1), FIRST_ATTEMPTS_MAX).await
        else {
            return Ok(bucket);
        };
        let asked = session.config_for(None).region().map(ToString::to_string);
        if let Some(home) = bucket.home(&error).await
            && Some(&home) != asked.as_ref()
        {
            bucket = Self::in_region(session, location, options, Some(&home));
            return match bucket.request(&location.prefix, false, None, Some(1), FIRST_ATTEMPTS_MAX).await {
                Ok(_) => Ok(bucket),
                Err(error) => Err(bucket.failure_of_listing(&location.prefix, &error)),
            };
        }
        Err(bucket.failure_of_listing(&location.prefix, &error))
    }

    /// The bucket's own region, as an error of another region's S3 tells it.
    async fn home(&self, error: &SdkError<ListObjectsV2Error>) -> Option<String> {
        const HEADER: &str = "x-amz-bucket-region";
        let response = error.raw_response()?;
        if let Some(home) = response.headers().get(HEADER) {
            return Some(home.to_owned());
        }
        if !matches!(response.status().as_u16(), 301 | 307 | 400) {
            return None;
        }
        match self.client.head_bucket().bucket(&self.name).send().await {
            Ok(output) => output.bucket_region().map(str::to_owned),
            Err(error) => error.raw_response()?.headers().get(HEADER).map(str::to_owned),
        }
    }

    fn in_region(session: &Session, location: &Location, options: S3Options, region: Option<&str>) -> Self {
        let config = Builder::from(&session.config_for(region))
            // Another endpoint rarely has a name for each bucket.
            .force_path_style(session.has_endpoint_url())
            // Every attempt is this module's, so that all are counted and a body is resumed, not begun again.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self {
            name: location.bucket.clone(),
            client: Client::from_conf(config),
            retries: session.retries().clone(),
            profile: session.profile().map(str::to_owned),
            options,
        }
    }

    /// Who pays, as requests say it.
    pub(super) fn payer(&self) -> Option<RequestPayer> {
        self.options.requester_pays.then_some(RequestPayer::Requester)
    }

    /// Why a request about an object or prefix failed.
    pub(super) fn failure<E>(
        &self,
        request: &str,
        error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
    ) -> AwsError
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        AwsError::of_request("S3", request, self.profile.as_deref(), error)
    }

    fn failure_of_listing(&self, prefix: &str, error: &SdkError<ListObjectsV2Error>) -> AwsError {
        self.failure(&format!("listing s3://{}/{prefix}", self.name), error)
    }

    /// A page of the keys that begin with `prefix`; by folder: of those without a further `/`.
    pub(super) async fn page(
        &self,
        prefix: &str,
        is_by_folder: bool,
        continuation: Option<&str>,
    ) -> Result<Page, AwsError> {
        let output = self
            .request(prefix, is_by_folder, continuation, None, ATTEMPTS_MAX)
            .await
            .map_err(|error| self.failure_of_listing(prefix, &error))?;
        Ok(Page::of(&output))
    }

    async fn request(
        &self,
        prefix: &str,
        is_by_folder: bool,
        continuation: Option<&str>,
        keys_max: Option<i32>,
        attempts_max: u32,
    ) -> Result<ListObjectsV2Output, SdkError<ListObjectsV2Error>> {
        let mut backoff = Backoff::new(attempts_max);
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(prefix)
                // Keys may hold characters that XML cannot.
                .encoding_type(EncodingType::Url)
                .set_max_keys(keys_max)
                .set_delimiter(is_by_folder.then(|| "/".to_owned()))
                .set_continuation_token(continuation.map(str::to_owned))
                .set_request_payer(self.payer());
            let error = match request.send().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let remedy = remedy(&error);
            let Some(pause) =
                (remedy != Remedy::None).then(|| backoff.next(remedy == Remedy::Wait)).flatten()
            else {
                return Err(error);
            };
            self.retries.note();
            tokio::time::sleep(pause).await;
        }
    }
}

impl Page {
    fn of(output: &ListObjectsV2Output) -> Self {
        let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
        let decode = |name: &str| if is_encoded { decoded(name) } else { name.to_owned() };
        let objects = output.contents().iter().filter_map(|object| {
            Some(Listed {
                key: decode(object.key()?),
                size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                etag: object.e_tag().map(str::to_owned),
                is_named: false,
            })
        });
        let folders = output.common_prefixes().iter().filter_map(|folder| Some(decode(folder.prefix()?)));
        // A page that says it is not the last and gives no way on would be asked for again and again.
        let next = output.next_continuation_token().filter(|_| output.is_truncated() == Some(true));
        Self { objects: objects.collect(), folders: folders.collect(), next: next.map(str::to_owned) }
    }
}

/// A name as S3 encodes it in listings: `%` and two digits, and `+` for a blank.
fn decoded(name: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = name.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, digit(bytes.get(at)), digit(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn names_of_a_listing_are_decoded() {
        assert_eq!(decoded("AWSLogs/a%20b+c%2Bd/%C3%A9%0A.json"), "AWSLogs/a b c+d/é\n.json");
        assert_eq!(decoded("100%/%4/%zz/%"), "100%/%4/%zz/%");
    }
}
