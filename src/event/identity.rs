//! `userIdentity`: who made the call, and through which service.

use std::borrow::Cow;

use super::Text;

/// The service by which EC2 calls KMS for who launches an instance, or makes or attaches a volume.
pub const EC2_FRONT_END: &str = "ec2-frontend-api.amazonaws.com";

/// Who made a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// `type`.
    pub kind: IdentityKind,
    /// `arn`: of the session for an assumed role, of the user otherwise; absent for services.
    pub arn: Option<Text>,
    /// `accountId`: the caller's account.
    pub account_id: Option<Text>,
    /// `principalId` without the session's name: see [`Self::principal_id`].
    pub unique_id: Option<Text>,
    /// Whether `principalId` ends in the session's name, as `AROA…:session` does.
    pub unique_id_precedes_session: bool,
    /// `sessionContext.sessionIssuer.arn`: the role behind an assumed-role session.
    pub issuer_arn: Option<Text>,
    /// `invokedBy`: the AWS service that made the call, for the caller or for itself.
    pub invoked_by: Option<Text>,
    /// Instance that the credentials were issued to: from `inScopeOf`, or from the session of
    /// `aws:ec2-infrastructure`.
    pub instance_id: Option<Text>,
}

/// `userIdentity.type`, as far as a rule needs to tell types apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentityKind {
    /// A session of a role.
    AssumedRole,
    /// An IAM user, a root user or a federated user.
    User,
    /// An AWS service on its own account.
    AwsService,
    /// Another account: the form in which a key's owner sees the caller.
    AwsAccount,
    /// Anything else, or nothing.
    #[default]
    Other,
}

impl Identity {
    /// The role's ARN for an assumed role, else the identity's ARN, else the service's name, else the
    /// caller's account.
    #[must_use]
    pub fn principal(&self) -> Option<&Text> {
        self.issuer_arn
            .as_ref()
            .or(self.arn.as_ref())
            .or(self.invoked_by.as_ref())
            .or(self.account_id.as_ref())
    }

    /// Whether the call was made by or through `service` (such as `ec2fleet.amazonaws.com`).
    #[must_use]
    pub fn is_invoked_by(&self, service: &str) -> bool {
        self.invoked_by.as_deref() == Some(service)
    }

    /// Whether EC2 (its front end, its fleets, EBS, or an unnamed internal service) made the call.
    #[must_use]
    pub fn is_invoked_by_ec2(&self) -> bool {
        matches!(
            self.invoked_by.as_deref(),
            Some(
                EC2_FRONT_END
                    | "ec2.amazonaws.com"
                    | "ec2fleet.amazonaws.com"
                    | "ec2-fleet.amazonaws.com"
                    | "spot.amazonaws.com"
                    | "spotfleet.amazonaws.com"
                    | "autoscaling.amazonaws.com"
                    | "ebs.amazonaws.com"
                    | "AWS Internal"
            )
        )
    }

    /// `principalId`, such as `AROA…:session`.
    #[must_use]
    pub fn principal_id(&self) -> Option<Cow<'_, str>> {
        let unique_id = self.unique_id.as_deref()?;
        if !self.unique_id_precedes_session {
            return Some(unique_id.into());
        }
        Some(format!("{unique_id}:{}", self.session_name().unwrap_or_default()).into())
    }

    /// Name of the role's session, for an assumed role.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        session_name(self.arn.as_deref()?)
    }
}

/// The session in the ARN of an assumed role.
pub(super) fn session_name(arn: &str) -> Option<&str> {
    let (role, session) = arn.rsplit_once('/')?;
    role.contains(":assumed-role/").then_some(session)
}
