//! Refusal messages of KMS: who was refused what, on which key, and for want of what.

/// A refusal, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    /// Principal named in the message (a session ARN for an assumed role).
    pub principal: Option<&'a str>,
    /// Action, such as `kms:CreateGrant`.
    pub action: Option<&'a str>,
    /// Key ARN named in the message.
    pub key_arn: Option<&'a str>,
    /// Which kind of policy refused.
    pub kind: DenialKind,
}

/// Which kind of policy refused, as far as the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialKind {
    /// "because no identity-based policy allows": neither the role's policies nor the key policy allow it.
    NoIdentityPolicy,
    /// "because no resource-based policy allows": the key policy does not allow it.
    NoResourcePolicy,
    /// "because no permissions boundary allows".
    NoPermissionsBoundary,
    /// "because no session policy allows".
    NoSessionPolicy,
    /// "because no service control policy allows".
    NoServiceControlPolicy,
    /// "because no resource control policy allows".
    NoResourceControlPolicy,
    /// "because no VPC endpoint policy allows".
    NoVpcEndpointPolicy,
    /// "with an explicit deny in …": the words that name the policy.
    ExplicitDeny(ExplicitDenyIn),
    /// The key is disabled.
    KeyDisabled,
    /// The key waits for its deletion.
    KeyPendingDeletion,
    /// The key, or the alias's target, does not exist here.
    KeyNotFound,
    /// "does not exist, does not exist in this region, or you are not allowed to access": AWS does not say which.
    Ambiguous,
    /// The message says no more than that access was denied.
    Unspecified,
}

/// Where an explicit deny stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExplicitDenyIn {
    /// A policy of the role or user.
    IdentityPolicy,
    /// The key policy.
    ResourcePolicy,
    /// A service control policy of the organisation.
    ServiceControlPolicy,
    /// A resource control policy of the organisation.
    ResourceControlPolicy,
    /// The permissions boundary.
    PermissionsBoundary,
    /// The session policy.
    SessionPolicy,
    /// A VPC endpoint policy.
    VpcEndpointPolicy,
    /// Words that are not known.
    Unnamed,
}

impl<'a> Denial<'a> {
    /// Takes a refusal apart.
    #[must_use]
    pub fn parse(_code: &str, message: &'a str) -> Option<Self> {
        let (_, tail) = message.split_once("on resource: ")?;
        Some(Self {
            principal: None,
            action: None,
            key_arn: tail.split([' ', ',']).next(),
            kind: DenialKind::Unspecified,
        })
    }
}
