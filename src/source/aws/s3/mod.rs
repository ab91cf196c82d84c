//! `s3://bucket/prefix`: the objects of a bucket, listed as far as they are wanted and downloaded ahead of their readers.
//!
//! A location and a selection come in, [`SourceObject`]s go out, sorted by key. What is in an object is for `archive`
//! to find out; an object that cannot be had is an error when it is opened, never a gap.

mod bucket;
mod download;
mod layout;
mod listing;
mod prefetch;
mod save;

use std::fmt;
use std::sync::Arc;

pub use bucket::S3Options;
pub use layout::Selection;
pub use save::{SaveDirectory, SaveFailures};

use super::{AwsError, Session};
use crate::source::SourceObject;
use bucket::Bucket;
use download::Target;
use listing::Found;

/// What the user names: a bucket, and a folder, an object or the beginning of keys in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The bucket, or the ARN of an access point.
    pub bucket: String,
    /// Folder, object or beginning of keys; may be empty.
    pub prefix: String,
}

impl Location {
    /// Reads `s3://bucket/prefix`; `None` if there is no bucket in it.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix("s3://")?;
        // The ARN of an access point holds a `/` of its own.
        let begin = if name.starts_with("arn:") { name.find('/').map_or(0, |at| at + 1) } else { 0 };
        let end = name[begin..].find('/').map_or(name.len(), |at| begin + at);
        let (bucket, prefix) = (&name[..end], name.get(end + 1..).unwrap_or_default());
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// The wanted objects of a location.
pub struct Listing {
    bucket: Arc<Bucket>,
    found: Found,
}

impl Listing {
    /// Lists a location. `tell` hears now and then how many objects were found.
    ///
    /// # Errors
    /// When S3 refuses or does not answer.
    pub fn of(
        session: &Session,
        location: &Location,
        options: S3Options,
        selection: &Selection,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Self, AwsError> {
        session.runtime().block_on(async {
            let bucket = Arc::new(Bucket::locate(session, location, options).await?);
            let found = listing::list(&bucket, location, selection, tell).await?;
            Ok(Self { bucket, found })
        })
    }

    /// How many objects are wanted.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.found.objects.len()
    }

    /// Stored bytes of the wanted objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.found.objects.iter().map(|object| object.size).sum()
    }

    /// Folders and objects that are outside of the selection; what is inside of such folders is not counted.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.found.left_out
    }
}

/// The objects of all listings, in their order, downloaded ahead together; saved, where a directory is given.
#[must_use]
pub fn source_objects(
    session: &Session,
    listings: Vec<Listing>,
    save: Option<&Arc<SaveDirectory>>,
) -> Vec<Vec<SourceObject>> {
    let mut targets = Vec::new();
    let mut passed_over = Vec::with_capacity(listings.len());
    let mut counts = Vec::with_capacity(listings.len());
    for Listing { bucket, found } in listings {
        counts.push(found.objects.len());
        passed_over
            .push(found.passed_over.iter().map(|name| format!("s3://{}/{name}", bucket.name)).collect());
        targets
            .extend(found.objects.into_iter().map(|listed| Target { bucket: Arc::clone(&bucket), listed }));
    }
    let named: Vec<(String, u64, bool)> = targets
        .iter()
        .map(|Target { bucket, listed }| {
            (format!("s3://{}/{}", bucket.name, listed.key), listed.size, listed.is_named)
        })
        .collect();
    let mut objects = named.into_iter().zip(prefetch::prefetched(session, targets, save)).map(
        |((uri, size, is_named), fetch)| {
            let mut object = SourceObject::remote(&uri, Some(size), fetch);
            object.is_named_as_log |= is_named;
            object
        },
    );
    counts
        .into_iter()
        .zip(passed_over)
        .map(|(count, passed_over): (usize, Vec<String>)| {
            let passed_over = passed_over.iter().map(|uri| SourceObject::passed_over(uri));
            objects.by_ref().take(count).chain(passed_over).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Location;

    fn parts(uri: &str) -> Option<(String, String)> {
        Location::parse(uri).map(|location| (location.bucket, location.prefix))
    }

    #[test]
    fn a_location_is_a_bucket_and_a_prefix() {
        let some = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(parts("s3://logs"), some("logs", ""));
        assert_eq!(parts("s3://logs/"), some("logs", ""));
        assert_eq!(parts("s3://logs/a/b"), some("logs", "a/b"));
        assert_eq!(parts("s3://logs//a/"), some("logs", "/a/"));
        let access_point = "arn:aws:s3:us-east-1:111122223333:accesspoint/logs";
        assert_eq!(parts(&format!("s3://{access_point}/AWSLogs/")), some(access_point, "AWSLogs/"));
        assert_eq!(parts(&format!("s3://{access_point}")), some(access_point, ""));
    }

    #[test]
    fn what_names_no_bucket_is_no_location() {
        for uri in ["s3:", "s3://", "s3:///a", "S3://logs", "logs/a", ""] {
            assert_eq!(parts(uri), None, "{uri}");
        }
    }
}
