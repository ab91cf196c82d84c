//! `userIdentity`.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::member::Member;
use super::name::{name, names};
use super::pool::Pool;
use crate::event::identity::session_name;
use crate::event::{Identity, IdentityKind, Text};

/// All that an [`Identity`] is made from.
pub(super) struct IdentityTexts<'a> {
    kind: IdentityKind,
    pub(super) arn: Option<&'a str>,
    pub(super) account_id: Option<&'a str>,
    pub(super) principal_id: Option<&'a str>,
    /// The role's ARN, as the record names it.
    pub(super) issuer: Option<&'a str>,
    /// Without the `.cn` of services in China.
    pub(super) invoked_by: Option<&'a str>,
}

impl<'a> IdentityTexts<'a> {
    pub(super) fn read(identity: Member<'a>) -> Self {
        let [kind, arn, account_id, principal_id, session, invoked_by] = identity.get_each(names![
            "type",
            "arn",
            "accountId",
            "principalId",
            "sessionContext",
            "invokedBy"
        ]);
        let kind = match kind.text() {
            Some("AssumedRole") => IdentityKind::AssumedRole,
            Some(
                "IAMUser" | "Root" | "FederatedUser" | "SAMLUser" | "WebIdentityUser" | "IdentityCenterUser",
            ) => IdentityKind::User,
            Some("AWSService") => IdentityKind::AwsService,
            Some("AWSAccount") => IdentityKind::AwsAccount,
            _ => IdentityKind::Other,
        };
        Self {
            kind,
            arn: arn.text(),
            account_id: account_id.text(),
            principal_id: principal_id.text(),
            issuer: session.get(name!("sessionIssuer")).get(name!("arn")).text(),
            invoked_by: invoked_by.text().map(|service| service.strip_suffix(".cn").unwrap_or(service)),
        }
    }

    /// Whether `identity` was made from the same texts, given that for both the record named the role, or
    /// for neither.
    pub(super) fn are_of(&self, identity: &Identity) -> bool {
        self.kind == identity.kind
            && self.arn == identity.arn.as_deref()
            && self.has_principal_id_of(identity)
            && self.account_id == identity.account_id.as_deref()
            && self.invoked_by == identity.invoked_by.as_deref()
            && (self.issuer.is_none() || self.issuer == identity.issuer_arn.as_deref())
    }

    fn has_principal_id_of(&self, identity: &Identity) -> bool {
        match (self.principal_id, identity.unique_id.as_deref()) {
            (Some(principal_id), Some(unique_id)) if identity.unique_id_precedes_session => {
                let session = principal_id.strip_prefix(unique_id).and_then(|rest| rest.strip_prefix(':'));
                session.is_some() && session == identity.session_name()
            }
            (principal_id, unique_id) => principal_id == unique_id,
        }
    }

    pub(super) fn identity(&self, pool: &mut Pool) -> Identity {
        let issuer_arn = match (self.kind, self.issuer, self.arn) {
            (_, Some(issuer), _) => Some(pool.text(issuer)),
            (IdentityKind::AssumedRole, None, Some(arn)) => role_of_session(arn).map(|role| pool.text(&role)),
            _ => None,
        };
        let instance = [self.arn, self.principal_id].into_iter().flatten().find_map(infrastructure_instance);
        let before_session = self.arn.and_then(session_name).and_then(|session| {
            let before = self.principal_id?.strip_suffix(session)?;
            before.strip_suffix(':')
        });
        Identity {
            kind: self.kind,
            // Names a session, or the instance that a grant was for.
            arn: pool.optional_passing(self.arn),
            account_id: pool.optional(self.account_id),
            unique_id: pool.optional(before_session.or(self.principal_id)),
            unique_id_precedes_session: before_session.is_some(),
            issuer_arn,
            invoked_by: pool.optional(self.invoked_by),
            instance_id: pool.optional_passing(instance),
        }
    }
}

/// The instance of `aws:ec2-infrastructure/i-…` or, in old records, `aws:ec2-infrastructure:i-…`.
pub(super) fn infrastructure_instance(text: &str) -> Option<&str> {
    const ROLE: &str = "aws:ec2-infrastructure";
    static ROLE_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ROLE));
    let tail = &text[ROLE_FINDER.find(text.as_bytes())? + ROLE.len()..];
    let id = tail.strip_prefix(['/', ':'])?;
    let end = id[id.find("i-").filter(|start| *start == 0)? + 2..]
        .find(|letter: char| !letter.is_ascii_hexdigit())
        .map_or(id.len(), |length| length + 2);
    (end > 2).then(|| &id[..end])
}

/// `arn:…:sts::ACCOUNT:assumed-role/ROLE/SESSION` -> `arn:…:iam::ACCOUNT:role/ROLE`: the role without its
/// path, which a session's ARN does not show.
fn role_of_session(arn: &str) -> Option<Text> {
    let (head, tail) = arn.split_once(":assumed-role/")?;
    let (role, _session) = tail.rsplit_once('/')?;
    let head = head.replacen(":sts:", ":iam:", 1);
    Some(format!("{head}:role/{role}").into())
}

#[cfg(test)]
mod tests {
    use super::{infrastructure_instance, role_of_session};

    #[test]
    fn both_forms_of_the_ec2_infrastructure_grantee_name_the_instance() {
        for text in [
            "arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-0aaaaaaaaaaaaaaaa",
            "111122223333:aws:ec2-infrastructure:i-0aaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(infrastructure_instance(text), Some("i-0aaaaaaaaaaaaaaaa"));
        }
        for text in [
            "arn:aws:iam::111122223333:role/aws:ec2-infrastructure",
            "arn:aws:sts::111122223333:assumed-role/node-role/i-0aaaaaaaaaaaaaaaa",
            "ec2.us-east-1.amazonaws.com",
            "111122223333:aws:ec2-infrastructure:",
            "111122223333:aws:ec2-infrastructure:x-i-0a",
        ] {
            assert_eq!(infrastructure_instance(text), None, "{text}");
        }
    }

    #[test]
    fn a_session_without_issuer_still_names_its_role() {
        assert_eq!(
            role_of_session("arn:aws-cn:sts::111122223333:assumed-role/Karpenter/1768825272022703283")
                .as_deref(),
            Some("arn:aws-cn:iam::111122223333:role/Karpenter")
        );
        assert_eq!(role_of_session("arn:aws:iam::111122223333:user/anna"), None);
    }
}
