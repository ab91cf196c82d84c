//! Which records can matter: the one table that the typed parser and the selection on raw bytes share.

/// How much must be known of a record to decide whether it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// Every record of this source and name matters.
    Always,
    /// A KMS operation that every service calls: it matters if it failed, if it is about an EBS volume,
    /// a snapshot or an instance, or if EC2's front end made it, whatever CloudTrail left out of it; see
    /// [`KMS_MARKS`].
    KmsMarks,
    /// `CreateTags`: matters if it tags an instance; see [`TAG_MARKS`].
    TagMarks,
}

/// A KMS record matters only if one of these stands somewhere in its text (with no character escaped). AWS's
/// own samples write `ErrorCode` too.
pub const KMS_MARKS: [&str; 5] =
    ["aws:ebs:id", "ec2-infrastructure", "rrorCode\"", "alias/", "ec2-frontend-api"];

/// A `CreateTags` record matters only if one of these stands somewhere in its text (with no character escaped).
pub const TAG_MARKS: [&str; 1] = ["\"i-"];

/// Event source, event name and what else decides. Sorted by source and name.
pub const TABLE: [(&str, &str, Relevance); 46] = [
    ("autoscaling.amazonaws.com", "TerminateInstanceInAutoScalingGroup", Relevance::Always),
    ("cloudtrail.amazonaws.com", "PutEventSelectors", Relevance::Always),
    ("ec2.amazonaws.com", "AttachVolume", Relevance::Always),
    ("ec2.amazonaws.com", "BidEvictedEvent", Relevance::Always),
    ("ec2.amazonaws.com", "CopyImage", Relevance::Always),
    ("ec2.amazonaws.com", "CopySnapshot", Relevance::Always),
    ("ec2.amazonaws.com", "CreateFleet", Relevance::Always),
    ("ec2.amazonaws.com", "CreateImage", Relevance::Always),
    ("ec2.amazonaws.com", "CreateLaunchTemplate", Relevance::Always),
    ("ec2.amazonaws.com", "CreateLaunchTemplateVersion", Relevance::Always),
    ("ec2.amazonaws.com", "CreateTags", Relevance::TagMarks),
    ("ec2.amazonaws.com", "CreateVolume", Relevance::Always),
    ("ec2.amazonaws.com", "DeleteNetworkInterface", Relevance::Always),
    ("ec2.amazonaws.com", "DisableEbsEncryptionByDefault", Relevance::Always),
    ("ec2.amazonaws.com", "EnableEbsEncryptionByDefault", Relevance::Always),
    ("ec2.amazonaws.com", "ModifyEbsDefaultKmsKeyId", Relevance::Always),
    ("ec2.amazonaws.com", "ModifyLaunchTemplate", Relevance::Always),
    ("ec2.amazonaws.com", "RegisterImage", Relevance::Always),
    ("ec2.amazonaws.com", "ResetEbsDefaultKmsKeyId", Relevance::Always),
    ("ec2.amazonaws.com", "RunInstances", Relevance::Always),
    ("ec2.amazonaws.com", "SharedSnapshotVolumeCreated", Relevance::Always),
    ("ec2.amazonaws.com", "StartInstances", Relevance::Always),
    ("ec2.amazonaws.com", "StopInstances", Relevance::Always),
    ("ec2.amazonaws.com", "TerminateInstances", Relevance::Always),
    ("eks.amazonaws.com", "AssociateEncryptionConfig", Relevance::Always),
    ("eks.amazonaws.com", "CreateCluster", Relevance::Always),
    ("kms.amazonaws.com", "CancelKeyDeletion", Relevance::Always),
    ("kms.amazonaws.com", "CreateAlias", Relevance::Always),
    ("kms.amazonaws.com", "CreateGrant", Relevance::KmsMarks),
    ("kms.amazonaws.com", "CreateKey", Relevance::Always),
    ("kms.amazonaws.com", "Decrypt", Relevance::KmsMarks),
    ("kms.amazonaws.com", "DeleteAlias", Relevance::Always),
    ("kms.amazonaws.com", "DeleteImportedKeyMaterial", Relevance::Always),
    ("kms.amazonaws.com", "DeleteKey", Relevance::Always),
    ("kms.amazonaws.com", "DescribeKey", Relevance::KmsMarks),
    ("kms.amazonaws.com", "DisableKey", Relevance::Always),
    ("kms.amazonaws.com", "EnableKey", Relevance::Always),
    ("kms.amazonaws.com", "GenerateDataKey", Relevance::KmsMarks),
    ("kms.amazonaws.com", "GenerateDataKeyWithoutPlaintext", Relevance::KmsMarks),
    ("kms.amazonaws.com", "ImportKeyMaterial", Relevance::Always),
    ("kms.amazonaws.com", "PutKeyPolicy", Relevance::Always),
    ("kms.amazonaws.com", "ReEncrypt", Relevance::KmsMarks),
    ("kms.amazonaws.com", "RetireGrant", Relevance::Always),
    ("kms.amazonaws.com", "RevokeGrant", Relevance::Always),
    ("kms.amazonaws.com", "ScheduleKeyDeletion", Relevance::Always),
    ("kms.amazonaws.com", "UpdateAlias", Relevance::Always),
];

/// Looks a source and name up; `None` for records that never matter.
#[must_use]
pub fn relevance(source: &str, name: &str) -> Option<Relevance> {
    row(source, name).map(|row| TABLE[row].2)
}

/// The row of [`TABLE`] with a source and name.
pub(super) fn row(source: &str, name: &str) -> Option<usize> {
    rows_named(name.as_bytes()).find(|row| TABLE[*row].0 == source)
}

/// The rows of [`TABLE`] with a name.
pub(crate) fn rows_named(name: &[u8]) -> impl Iterator<Item = usize> {
    let (first, next) = &SLOTS;
    let mut row = usize::from(first[slot(name)]);
    std::iter::from_fn(move || {
        while let Some((_, table_name, _)) = TABLE.get(row) {
            let found = row;
            row = usize::from(next[row]);
            if table_name.as_bytes() == name {
                return Some(found);
            }
        }
        None
    })
}

/// Slots of the table of names: nearly all names that are not in it find theirs empty.
const SLOT_COUNT: usize = 1024;
/// Where no row is, or no further one.
const NO_ROW: u8 = TABLE.len() as u8;

/// The first row of each slot, and for each row the next one of the same slot.
static SLOTS: ([u8; SLOT_COUNT], [u8; TABLE.len()]) = {
    let (mut first, mut next) = ([NO_ROW; SLOT_COUNT], [NO_ROW; TABLE.len()]);
    let mut row = TABLE.len();
    while row > 0 {
        row -= 1;
        let slot = slot(TABLE[row].1.as_bytes());
        next[row] = first[slot];
        first[slot] = row as u8;
    }
    (first, next)
};

const fn slot(name: &[u8]) -> usize {
    let [first, middle, last] = match name {
        [] => [0; 3],
        [first, ..] => [*first, name[name.len() / 2], name[name.len() - 1]],
    };
    (name.len() + first as usize * 5 + middle as usize * 23 + last as usize * 101) % SLOT_COUNT
}

#[cfg(test)]
mod tests {
    use super::{Relevance, TABLE, relevance};

    #[test]
    fn the_table_is_sorted_and_looked_up() {
        assert!(TABLE.is_sorted_by_key(|(source, name, _)| (*source, *name)));
        assert_eq!(relevance("kms.amazonaws.com", "Decrypt"), Some(Relevance::KmsMarks));
        assert_eq!(relevance("s3.amazonaws.com", "CreateTags"), None);
        assert_eq!(relevance("ec2.amazonaws.com", "DescribeInstances"), None);
        assert_eq!(relevance("ec2.amazonaws.com", ""), None);
        for (row, (source, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(super::row(source, name), Some(row));
        }
    }
}
