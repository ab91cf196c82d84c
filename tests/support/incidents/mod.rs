//! The incidents of `sample-logs/`, one function each, grouped by what goes wrong.
//!
//! [`samples`] gives every directory and its log files. What a tool should conclude stands in the
//! directory's `expected.json` and `README.md`, which are written by hand.

mod endings;
mod gaps;
mod healthy;
mod refusals;
mod unusable_keys;
mod wrong_keys;

use super::archive::{self, File};
use super::record::Record;

/// One directory of `sample-logs/`.
pub struct Sample {
    /// Name of the directory.
    pub directory: &'static str,
    /// Its log files.
    pub files: Vec<File>,
}

/// A sample's name and the function that writes its records from a seed.
type Entry = (&'static str, fn(u64) -> Vec<Record>);

const ENTRIES: &[Entry] = &[
    ("01-healthy", healthy::karpenter),
    ("02-role-not-allowed-on-key", refusals::role_not_allowed),
    ("03-create-grant-denied", refusals::grant_denied),
    ("04-account-default-used", wrong_keys::account_default),
];

/// Every sample, in the order of the directories.
pub fn samples() -> Vec<Sample> {
    (1..)
        .zip(ENTRIES)
        .map(|(seed, (directory, write))| Sample { directory, files: archive::bucket(seed, write(seed)) })
        .collect()
}
