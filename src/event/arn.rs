//! Key ARNs and what people write in their place.

use std::fmt;

/// A KMS key or alias, named by its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyArn<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: &'a str,
    /// Region.
    pub region: &'a str,
    /// Account that owns the key.
    pub account_id: &'a str,
    /// `key/…` or `alias/…`.
    pub resource: &'a str,
}

impl<'a> KeyArn<'a> {
    /// Reads `arn:PARTITION:kms:REGION:ACCOUNT:key/ID` or `…:alias/NAME`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let partition = parts.next()?;
        if parts.next()? != "kms" {
            return None;
        }
        let (region, account_id, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, name) = resource.split_once('/')?;
        (matches!(kind, "key" | "alias") && !name.is_empty()).then_some(Self {
            partition,
            region,
            account_id,
            resource,
        })
    }

    /// The key id; `None` for an alias.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a str> {
        self.resource.strip_prefix("key/")
    }

    /// The alias name with `alias/`; `None` for a key.
    #[must_use]
    pub fn alias(&self) -> Option<&'a str> {
        self.resource.starts_with("alias/").then_some(self.resource)
    }
}

impl fmt::Display for KeyArn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "arn:{}:kms:{}:{}:{}", self.partition, self.region, self.account_id, self.resource)
    }
}

/// Whether a text is a key id: a UUID, or `mrk-` and 32 digits for a multi-Region key.
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    let is_hexadecimal = |text: &str| text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && is_hexadecimal(digits);
    }
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.into_iter().all(is_hexadecimal)
}

/// The partition that a region belongs to.
#[must_use]
pub fn partition_of_region(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else if region.starts_with("us-iso-") {
        "aws-iso"
    } else if region.starts_with("us-isob-") {
        "aws-iso-b"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyArn, partition_of_region};

    #[test]
    fn key_and_alias_arns_of_every_partition() {
        for text in [
            "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555",
            "arn:aws-cn:kms:cn-north-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/team/ebs",
        ] {
            assert_eq!(KeyArn::parse(text).expect("a key ARN").to_string(), text);
        }
        assert_eq!(
            KeyArn::parse("arn:aws:kms:us-east-1:111122223333:alias/team/ebs").and_then(|arn| arn.alias()),
            Some("alias/team/ebs")
        );
    }

    #[test]
    fn other_text_is_no_key_arn() {
        for text in [
            "",
            "alias/ebs",
            "11111111-2222-3333-4444-555555555555",
            "arn:aws:iam::111122223333:role/key/x",
            "arn:aws:kms:us-east-1:111122223333:key/",
            "arn:aws:kms:us-east-1:111122223333",
        ] {
            assert_eq!(KeyArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn regions_belong_to_partitions() {
        assert_eq!(partition_of_region("eu-west-1"), "aws");
        assert_eq!(partition_of_region("cn-north-1"), "aws-cn");
        assert_eq!(partition_of_region("us-gov-east-1"), "aws-us-gov");
    }
}
