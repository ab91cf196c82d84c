//! What lies in AWS: the only home of its SDK.
//!
//! Options as the AWS CLI has them come in, [`SourceObject`](super::SourceObject)s go out. A [`Session`] holds
//! credentials, region and the one runtime on which every request runs. Nothing secret is ever shown or logged, and
//! nothing here runs unless a source in AWS was asked for.

mod failure;
mod repeat;
pub mod s3;
mod session;

pub use failure::{AwsError, Refuser};
pub use session::{Retries, Session, SessionOptions};
