//! Whom and what a remedy is for, checked once and for all.
//!
//! Text from a log comes in, a type whose text has only the letters of such a name goes out, or an error.
//! Everything that a document quotes passes through here.

use crate::event::KeyArn;

/// Why no document can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The principal cannot be named in a policy: a service, a session whose role's path is not known.
    #[error("the principal is no ARN of a role or user")]
    NotARoleOrUser,
    /// The key is not known by its ARN: an alias that is not resolved, a key id without a region.
    #[error("the key is no ARN of a key")]
    NotAKey,
    /// A role cannot use a key of another partition.
    #[error("role and key belong to different partitions")]
    PartitionsDiffer,
    /// Not the name of a region.
    #[error("not a region")]
    NotARegion,
    /// Not an alias, or one of AWS's own.
    #[error("not an alias that an account can change")]
    NotAnAlias,
    /// Not an image id.
    #[error("not an image id")]
    NotAnImageId,
    /// Not an account id.
    #[error("not an account id")]
    NotAnAccountId,
    /// Not an instance id.
    #[error("not an instance id")]
    NotAnInstanceId,
    /// Not a name that a cluster can have.
    #[error("not the name of a cluster")]
    NotACluster,
    /// Not a name that a session or a user can have.
    #[error("not the name of a session or user")]
    NotAUserName,
}

/// A role (or user) by its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role<'a> {
    arn: &'a str,
    partition: &'a str,
    account_id: &'a str,
    resource: &'a str,
}

/// A key by its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    arn: &'a str,
    partition: &'a str,
    account_id: &'a str,
    region: Region<'a>,
}

/// A region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region<'a>(&'a str);

/// A role and the key that it must be able to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Who.
    pub role: Role<'a>,
    /// What.
    pub key: Key<'a>,
}

impl<'a> Target<'a> {
    /// A target from two ARNs.
    ///
    /// # Errors
    ///
    /// If one of them is not what it should be, or holds a letter that no such ARN has.
    pub fn new(role_arn: &'a str, key_arn: &'a str) -> Result<Self, TargetError> {
        let target = Self { role: Role::new(role_arn)?, key: Key::new(key_arn)? };
        let is_one = target.role.partition == target.key.partition;
        is_one.then_some(target).ok_or(TargetError::PartitionsDiffer)
    }

    /// Whether the key belongs to another account than the role.
    #[must_use]
    pub fn is_across_accounts(&self) -> bool {
        self.role.account_id != self.key.account_id
    }
}

impl<'a> Role<'a> {
    /// A role or user by `arn:PARTITION:iam::ACCOUNT:role/…` or `…:user/…`.
    ///
    /// # Errors
    ///
    /// [`TargetError::NotARoleOrUser`].
    pub fn new(arn: &'a str) -> Result<Self, TargetError> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account_id, resource] = parts[..] else {
            return Err(TargetError::NotARoleOrUser);
        };
        let is_name = |text: &str| consists_of(text, b"+=,.@_-");
        let is_known = (resource.starts_with("role/") || resource.starts_with("user/"))
            && resource.split('/').all(is_name);
        let is_valid =
            is_known && is_partition(partition) && is_account_id(account_id) && resource.len() <= 600;
        is_valid.then_some(Self { arn, partition, account_id, resource }).ok_or(TargetError::NotARoleOrUser)
    }

    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &'a str {
        self.arn
    }

    /// The account.
    #[must_use]
    pub fn account_id(&self) -> &'a str {
        self.account_id
    }

    /// The partition.
    pub(super) fn partition(&self) -> &'a str {
        self.partition
    }

    /// The name without its path.
    pub(super) fn name(&self) -> &'a str {
        self.resource.rsplit('/').next().unwrap_or(self.resource)
    }

    pub(super) fn is_user(&self) -> bool {
        self.resource.starts_with("user/")
    }

    /// Whether a service owns the role, so that its policies cannot be changed.
    #[must_use]
    pub fn is_service_linked(&self) -> bool {
        self.resource.starts_with("role/aws-service-role/")
    }
}

impl<'a> Key<'a> {
    /// A key by `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
    ///
    /// # Errors
    ///
    /// [`TargetError::NotAKey`], also for the ARN of an alias.
    pub fn new(arn: &'a str) -> Result<Self, TargetError> {
        let key = KeyArn::parse(arn).ok_or(TargetError::NotAKey)?;
        let is_key = key.key_id().is_some_and(|id| consists_of(id, b"-") && id.len() <= 128);
        let region = Region::new(key.region).map_err(|_| TargetError::NotAKey)?;
        let is_valid = is_key && is_partition(key.partition) && is_account_id(key.account_id);
        is_valid
            .then_some(Self { arn, partition: key.partition, account_id: key.account_id, region })
            .ok_or(TargetError::NotAKey)
    }

    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &'a str {
        self.arn
    }

    /// The account that owns the key.
    #[must_use]
    pub fn account_id(&self) -> &'a str {
        self.account_id
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> Region<'a> {
        self.region
    }
}

impl<'a> Region<'a> {
    /// A region by its name.
    ///
    /// # Errors
    ///
    /// [`TargetError::NotARegion`].
    pub fn new(name: &'a str) -> Result<Self, TargetError> {
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let is_valid = is_name && name.contains('-') && !name.starts_with('-') && name.len() <= 32;
        is_valid.then_some(Self(name)).ok_or(TargetError::NotARegion)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.0
    }
}

/// `alias/NAME`, if an account can change it.
pub(super) fn checked_alias(alias: &str) -> Result<&str, TargetError> {
    let name = alias.strip_prefix("alias/").ok_or(TargetError::NotAnAlias)?;
    let is_valid = consists_of(name, b"/_-") && !name.starts_with("aws/") && alias.len() <= 256;
    is_valid.then_some(alias).ok_or(TargetError::NotAnAlias)
}

/// `ami-…`.
pub(super) fn checked_image_id(image_id: &str) -> Result<&str, TargetError> {
    let is_valid =
        image_id.strip_prefix("ami-").is_some_and(|digits| digits.len() <= 32 && consists_of(digits, b""));
    is_valid.then_some(image_id).ok_or(TargetError::NotAnImageId)
}

/// Twelve digits.
pub(super) fn checked_account_id(account_id: &str) -> Result<&str, TargetError> {
    is_account_id(account_id).then_some(account_id).ok_or(TargetError::NotAnAccountId)
}

/// `i-…`.
pub(super) fn checked_instance_id(instance_id: &str) -> Result<&str, TargetError> {
    let is_valid =
        instance_id.strip_prefix("i-").is_some_and(|digits| digits.len() <= 32 && consists_of(digits, b""));
    is_valid.then_some(instance_id).ok_or(TargetError::NotAnInstanceId)
}

/// The name of an EKS cluster.
pub(super) fn checked_cluster(cluster: &str) -> Result<&str, TargetError> {
    let is_valid = consists_of(cluster, b"-_") && !cluster.starts_with(['-', '_']) && cluster.len() <= 100;
    is_valid.then_some(cluster).ok_or(TargetError::NotACluster)
}

/// The name of a role's session or of a user, without the `,` and `=` that the AWS CLI would take for its own.
pub(super) fn checked_user_name(name: &str) -> Result<&str, TargetError> {
    let is_valid = consists_of(name, b"+.@_-") && name.len() <= 64;
    is_valid.then_some(name).ok_or(TargetError::NotAUserName)
}

fn is_partition(text: &str) -> bool {
    text == "aws" || text.strip_prefix("aws-").is_some_and(|rest| rest.len() <= 16 && consists_of(rest, b"-"))
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// At least one letter or digit of ASCII or one of `also`, and nothing else.
pub(super) fn consists_of(text: &str, also: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}
