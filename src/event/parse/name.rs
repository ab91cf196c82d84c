//! The names of members that some kind of event is read for.
//!
//! A member's name as text comes in, a [`Name`] goes out: what it is called is decided once, when the record is taken
//! apart, and looking a member up compares numbers. Names differ in case between APIs, so that case counts for
//! nothing here; who does care asks whether the name [is spelled](Spelled) as below.

/// A name that some kind of event is read for; or any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u8);

/// A name found in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    pub(super) name: Name,
    /// Whether the record spells it as [`SPELLINGS`] does; never for a name that is not asked for.
    pub(super) is_exact: bool,
}

/// How many of [`SPELLINGS`] a record's top level may have, and the place of other names before them.
pub(super) const TOP_LEVEL: usize = 22;

/// Each name in one of its spellings, those of the top level first. The empty one stands for all other names. What a
/// reader asks for and is not here does not compile.
const SPELLINGS: [&str; 146] = [
    "",
    "eventID",
    "eventTime",
    "eventSource",
    "eventName",
    "eventType",
    "awsRegion",
    "recipientAccountId",
    "userIdentity",
    "userAgent",
    "sourceIPAddress",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "serviceEventDetails",
    "resources",
    "requestID",
    "sharedEventID",
    "addendum",
    "omitted",
    "accountId",
    "advancedEventSelectors",
    "aliasName",
    "arn",
    "availabilityZone",
    "aws:ebs:id",
    "blockDeviceMapping",
    "BlockDeviceMappings",
    "blockDeviceMappingSet",
    "clientToken",
    "clusterName",
    "code",
    "constraints",
    "CopyImageRequest",
    "CopyImageResponse",
    "CopySnapshotRequest",
    "CopySnapshotResponse",
    "CreateFleetRequest",
    "CreateFleetResponse",
    "CreateLaunchTemplateRequest",
    "CreateLaunchTemplateResponse",
    "CreateLaunchTemplateVersionRequest",
    "CreateLaunchTemplateVersionResponse",
    "DefaultTargetCapacityType",
    "DefaultVersion",
    "deletionDate",
    "description",
    "destinationEncryptionContext",
    "destinationKeyId",
    "DeviceName",
    "dryRun",
    "ebs",
    "encrypted",
    "encryptionConfig",
    "encryptionContext",
    "encryptionContextEquals",
    "encryptionContextSubset",
    "equals",
    "errorSet",
    "eventSelectors",
    "excludeManagementEventSources",
    "field",
    "fieldSelectors",
    "fleetId",
    "fleetInstanceSet",
    "granteePrincipal",
    "grantId",
    "hostnameType",
    "imageId",
    "includeManagementEvents",
    "instanceId",
    "instanceIds",
    "instanceIdSet",
    "instanceLifecycle",
    "instanceMarketOptions",
    "instancesSet",
    "instanceType",
    "invokedBy",
    "item",
    "items",
    "key",
    "keyArn",
    "keyId",
    "keyMetadata",
    "kmsKeyId",
    "launchTemplate",
    "launchTemplateAndOverrides",
    "LaunchTemplateConfig",
    "LaunchTemplateConfigs",
    "LaunchTemplateData",
    "launchTemplateId",
    "launchTemplateName",
    "launchTemplateSpecification",
    "launchTemplateVersion",
    "lifecycle",
    "marketType",
    "member",
    "ModifyEbsDefaultKmsKeyIdRequest",
    "ModifyEbsDefaultKmsKeyIdResponse",
    "ModifyLaunchTemplateRequest",
    "name",
    "networkInterfaceId",
    "NoDevice",
    "notEquals",
    "originalEventID",
    "overrides",
    "placement",
    "policy",
    "previousState",
    "principalId",
    "privateDnsName",
    "privateDnsNameOptions",
    "provider",
    "readWriteType",
    "ResetEbsDefaultKmsKeyIdRequest",
    "ResetEbsDefaultKmsKeyIdResponse",
    "resourceId",
    "resourcesSet",
    "resourceType",
    "rootDeviceName",
    "rootDeviceType",
    "sessionContext",
    "sessionIssuer",
    "SetDefaultVersion",
    "snapshotId",
    "sourceEncryptionContext",
    "sourceImageId",
    "sourceSnapshotId",
    "SourceVersion",
    "tag",
    "tags",
    "tagSet",
    "tagSpecification",
    "tagSpecifications",
    "tagSpecificationSet",
    "TargetCapacitySpecification",
    "targetKeyId",
    "trailName",
    "type",
    "value",
    "version",
    "versionNumber",
    "VirtualName",
    "volumeId",
];

/// Twice as many slots as names, or more.
const SLOTS: usize = 512;

/// Each name, in its slot or the next free one behind it. No name has number 0.
const TABLE: [u8; SLOTS] = {
    assert!(SPELLINGS.len() <= SLOTS / 2 && SPELLINGS.len() <= u8::MAX as usize);
    let mut table = [0; SLOTS];
    let mut number = 1;
    while number < SPELLINGS.len() {
        let mut slot = slot(SPELLINGS[number].as_bytes());
        while table[slot] != 0 {
            assert!(
                !SPELLINGS[table[slot] as usize].eq_ignore_ascii_case(SPELLINGS[number]),
                "a name is there twice"
            );
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = number as u8;
        number += 1;
    }
    table
};

/// A slot that does not depend on case.
#[inline(always)]
const fn slot(name: &[u8]) -> usize {
    let (first, middle, last) = match name {
        [] => (0, 0, 0),
        [.., last] => (name[0] | 0x20, name[name.len() / 2] | 0x20, *last | 0x20),
    };
    (name.len() * 37 + first as usize * 5 + middle as usize * 67 + last as usize * 29) % SLOTS
}

/// Whether two texts of one length are the same: quicker than asking the library, for texts so short.
#[inline(always)]
fn are_same(one: &[u8], two: &[u8]) -> bool {
    if let (Some(one_end), Some(two_end)) = (one.last_chunk::<8>(), two.last_chunk::<8>()) {
        let words = one.as_chunks::<8>().0.iter().zip(two.as_chunks::<8>().0);
        return one_end == two_end && words.fold(true, |is_same, (one, two)| is_same & (one == two));
    }
    one.iter().eq(two)
}

impl Name {
    /// Any name that is not asked for, and no name at all.
    pub(super) const OTHER: Self = Self(0);

    /// The name that is asked for as `spelling`, to be evaluated while compiling.
    pub(super) const fn of(spelling: &str) -> Self {
        let mut number = 1;
        while number < SPELLINGS.len() {
            if SPELLINGS[number].eq_ignore_ascii_case(spelling) {
                return Self(number as u8);
            }
            number += 1;
        }
        panic!("a name that is not among those of members that are read");
    }

    /// The name's number: below [`TOP_LEVEL`] for those of the top level, 0 for all that are not asked for.
    #[inline(always)]
    pub(super) fn number(self) -> usize {
        usize::from(self.0)
    }

    /// How [`SPELLINGS`] spells it.
    pub(super) fn spelling(self) -> &'static str {
        SPELLINGS[usize::from(self.0)]
    }
}

impl Spelled {
    /// A value that has no name.
    pub(super) const UNNAMED: Self = Self { name: Name::OTHER, is_exact: false };

    /// What `name` is called.
    #[inline]
    pub(super) fn find(name: &[u8]) -> Self {
        let mut slot = slot(name);
        loop {
            let number = TABLE[slot];
            if number == 0 {
                return Self::UNNAMED;
            }
            let spelling = SPELLINGS[usize::from(number)].as_bytes();
            if spelling.len() == name.len() {
                let is_exact = are_same(spelling, name);
                if is_exact || spelling.eq_ignore_ascii_case(name) {
                    return Self { name: Name(number), is_exact };
                }
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// The [`Name`] with a spelling.
macro_rules! name {
    ($spelling:literal) => {
        const { crate::event::parse::name::Name::of($spelling) }
    };
}

/// The [`Name`]s with some spellings.
macro_rules! names {
    ($($spelling:literal),+ $(,)?) => {
        const { [$(crate::event::parse::name::Name::of($spelling)),+] }
    };
}

pub(super) use {name, names};

#[cfg(test)]
mod tests {
    use super::{Name, SPELLINGS, Spelled, TOP_LEVEL};

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for (number, spelling) in SPELLINGS.iter().enumerate().skip(1) {
            let found = Spelled::find(spelling.as_bytes());
            assert_eq!((found.name.number(), found.is_exact), (number, true), "{spelling}");
            assert_eq!(found.name.spelling(), *spelling);
            let upper = spelling.to_ascii_uppercase();
            let found = Spelled::find(upper.as_bytes());
            assert_eq!((found.name.number(), found.is_exact), (number, upper == *spelling), "{upper}");
            for other in [
                &spelling[1..],
                &format!("{spelling}s"),
                &format!("x{spelling}"),
                &spelling.replace('e', "é"),
            ] {
                let is_name = SPELLINGS[1..].iter().any(|name| name.eq_ignore_ascii_case(other));
                assert_eq!(Spelled::find(other.as_bytes()).name != Name::OTHER, is_name, "{other}");
            }
        }
        for other in ["", "e", "EVENT", "[aws:ebs:id", "aws\u{1a}ebs:id"] {
            assert_eq!(Spelled::find(other.as_bytes()), Spelled::UNNAMED, "{other}");
        }
        assert_eq!(Name::of("omitted").number(), TOP_LEVEL - 1);
    }
}
