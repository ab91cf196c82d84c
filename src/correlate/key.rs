//! Keys as people write them, and when two of them are the same.

use crate::event::{KeyArn, Text, partition_of_region};

/// A key as written in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenKey {
    /// A key ARN, or a key id made into one.
    Arn(Text),
    /// An alias, with `alias/`, in an account and region.
    Alias {
        /// Name with `alias/`.
        name: Text,
        /// Account.
        account_id: Text,
        /// Region.
        region: Text,
    },
}

impl WrittenKey {
    /// Reads a key id, key ARN, alias or alias ARN as it is meant in an account and region.
    #[must_use]
    pub fn read(written: &str, account_id: &str, region: &str) -> Self {
        let written = written.trim();
        if let Some(arn) = KeyArn::parse(written) {
            return match arn.alias() {
                Some(alias) => Self::Alias {
                    name: alias.into(),
                    account_id: arn.account_id.into(),
                    region: arn.region.into(),
                },
                None => Self::Arn(written.into()),
            };
        }
        if written.starts_with("alias/") {
            return Self::Alias {
                name: written.into(),
                account_id: account_id.into(),
                region: region.into(),
            };
        }
        let partition = partition_of_region(region);
        Self::Arn(format!("arn:{partition}:kms:{region}:{account_id}:key/{written}").into())
    }
}

/// Whether [`WrittenKey::read`] would read an alias.
pub(super) fn is_alias(written: &str) -> bool {
    let written = written.trim();
    match KeyArn::parse(written) {
        Some(arn) => arn.alias().is_some(),
        None => written.starts_with("alias/"),
    }
}

/// Whether two key ARNs name the same key: same account, region and key id. Multi-Region keys share the id
/// but are another key in another region.
#[must_use]
pub fn is_same_key(one: &str, two: &str) -> bool {
    if one == two {
        return true;
    }
    match (KeyArn::parse(one), KeyArn::parse(two)) {
        (Some(one), Some(two)) => {
            (one.account_id, one.region, one.resource) == (two.account_id, two.region, two.resource)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{WrittenKey, is_alias, is_same_key};

    #[test]
    fn every_way_to_write_a_key() {
        let read = |written| WrittenKey::read(written, "111122223333", "us-gov-west-1");
        let arn = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd";
        assert_eq!(read("mrk-1234abcd"), WrittenKey::Arn(arn.into()));
        assert_eq!(read(arn), WrittenKey::Arn(arn.into()));
        let alias = |account_id: &str, region: &str| WrittenKey::Alias {
            name: "alias/ebs".into(),
            account_id: account_id.into(),
            region: region.into(),
        };
        assert_eq!(read("alias/ebs"), alias("111122223333", "us-gov-west-1"));
        assert_eq!(
            read("arn:aws-us-gov:kms:us-gov-east-1:444455556666:alias/ebs"),
            alias("444455556666", "us-gov-east-1")
        );
        for (written, is_read_as_alias) in [
            ("mrk-1234abcd", false),
            (arn, false),
            (" alias/ebs", true),
            ("arn:aws-us-gov:kms:us-gov-east-1:444455556666:alias/ebs\n", true),
            ("arn:aws-us-gov:iam::444455556666:alias/ebs", false),
            ("", false),
        ] {
            assert_eq!(is_alias(written), is_read_as_alias, "{written:?}");
            assert_eq!(matches!(read(written), WrittenKey::Alias { .. }), is_read_as_alias, "{written:?}");
        }
    }

    #[test]
    fn a_multi_region_key_is_another_key_in_another_region() {
        let east = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd";
        let west = "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd";
        let foreign = "arn:aws:kms:us-east-1:444455556666:key/mrk-1234abcd";
        assert!(is_same_key(east, east));
        assert!(!is_same_key(east, west));
        assert!(!is_same_key(east, foreign));
    }
}
