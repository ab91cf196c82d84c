//! `userIdentity`.

use super::Pool;
use super::member::Member;
use crate::event::{Identity, IdentityKind, Text};

pub(super) fn read(pool: &mut Pool, identity: Member<'_, '_>) -> Identity {
    let arn = identity.get("arn").text();
    let principal_id = identity.get("principalId").text();
    let kind = match identity.get("type").text() {
        Some("AssumedRole") => IdentityKind::AssumedRole,
        Some(
            "IAMUser" | "Root" | "FederatedUser" | "SAMLUser" | "WebIdentityUser" | "IdentityCenterUser",
        ) => IdentityKind::User,
        Some("AWSService") => IdentityKind::AwsService,
        Some("AWSAccount") => IdentityKind::AwsAccount,
        _ => IdentityKind::Other,
    };
    let issuer = identity.get("sessionContext").get("sessionIssuer").get("arn").text();
    let issuer_arn = match (kind, issuer, arn) {
        (_, Some(issuer), _) => Some(pool.text(issuer)),
        (IdentityKind::AssumedRole, None, Some(arn)) => role_of_session(arn).map(|role| pool.text(&role)),
        _ => None,
    };
    let instance = [arn, principal_id].into_iter().flatten().find_map(infrastructure_instance);
    let invoked_by = identity.get("invokedBy").text();
    Identity {
        kind,
        arn: pool.optional(arn),
        account_id: pool.optional(identity.get("accountId").text()),
        principal_id: pool.optional(principal_id),
        issuer_arn,
        invoked_by: pool.optional(invoked_by.map(|service| service.strip_suffix(".cn").unwrap_or(service))),
        instance_id: instance.map(|instance| pool.text(instance)),
    }
}

/// The instance of `aws:ec2-infrastructure/i-…` or, in old records, `aws:ec2-infrastructure:i-…`.
pub(super) fn infrastructure_instance(text: &str) -> Option<&str> {
    let (_, tail) = text.split_once("aws:ec2-infrastructure")?;
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
