//! The incidents of `sample-logs/`, one function each, grouped by what goes wrong.
//!
//! [`samples`] gives every directory and its log files. What a tool should conclude stands in the
//! directory's `expected.json` and `README.md`, which are written by hand.

mod capacity;
mod endings;
mod gaps;
mod healthy;
mod key_policies;
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

/// The sample whose files are damaged on purpose.
const RECORDS_LOST: &str = "32-records-lost";

/// A sample's name and the function that writes its records from a seed.
type Entry = (&'static str, fn(u64) -> Vec<Record>);

const ENTRIES: &[Entry] = &[
    ("01-healthy", healthy::karpenter),
    ("02-role-not-allowed-on-key", refusals::role_not_allowed),
    ("03-create-grant-denied", refusals::grant_denied),
    ("04-account-default-used", wrong_keys::account_default),
    ("05-ami-snapshot-key-kept", wrong_keys::ami_snapshot),
    ("06-cross-account-ami-reencrypt-denied", refusals::foreign_image),
    ("07-policy-overwritten-by-terraform", refusals::policy_overwritten),
    ("08-spot-interruption", endings::spot_interruption),
    ("09-launch-loop", refusals::launch_loop),
    ("10-alias-repointed", wrong_keys::alias_repointed),
    ("11-auto-mode", refusals::auto_mode),
    ("12-cluster-secrets-key", refusals::cluster_secrets_key),
    ("13-key-disabled", unusable_keys::disabled),
    ("14-key-pending-deletion", unusable_keys::pending_deletion),
    ("15-key-not-found", unusable_keys::not_found),
    ("16-node-group-role-denied", refusals::node_group_role),
    ("17-service-control-policy", refusals::service_control_policy),
    ("18-registration-timeout", endings::registration_timeout),
    ("19-terminated-by-person", endings::terminated_by_person),
    ("20-launches-failed-for-capacity", capacity::launches_failed),
    ("21-grant-revoked", endings::grant_revoked),
    ("22-kms-events-excluded", gaps::kms_events_excluded),
    ("23-silence", gaps::silence),
    ("24-default-key-changed", wrong_keys::default_key_changed),
    ("25-unencrypted", wrong_keys::unencrypted),
    ("26-multi-region-key", healthy::multi_region_key),
    ("27-key-of-another-account", wrong_keys::foreign_key),
    ("28-terminated-by-auto-scaling", endings::terminated_by_auto_scaling),
    ("29-provisioner-era", healthy::provisioner_era),
    ("30-aws-managed-key-used", wrong_keys::aws_managed_key),
    ("31-launch-aborted", endings::launch_aborted),
    (RECORDS_LOST, gaps::records_lost),
    ("33-refusal-without-request-id", gaps::refusal_without_request_id),
    ("34-read-only-events-missing", gaps::read_only_events_missing),
    ("35-several-instances-in-one-request", gaps::several_instances_in_one_request),
    ("36-launched-before-the-archive", gaps::launched_before_the_archive),
    ("37-alias-unresolved", gaps::alias_unresolved),
    ("38-throttled", healthy::throttled),
];

/// Every sample, in the order of the directories.
pub fn samples() -> Vec<Sample> {
    (1..)
        .zip(ENTRIES)
        .map(|(seed, (directory, write))| {
            let mut files = archive::bucket(seed, write(seed));
            if *directory == RECORDS_LOST {
                gaps::damage(&mut files);
            }
            Sample { directory, files }
        })
        .collect()
}
