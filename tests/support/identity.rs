//! `userIdentity` in the forms that CloudTrail writes: role sessions (with and without a service acting for
//! them), users, services, and the instance's own identity towards KMS.

use super::ids::Ids;
use super::json::{Json, Object, object};
use super::record::iso;

/// An IAM role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Account.
    pub account_id: String,
    /// Path with both slashes, such as `/` or `/aws-service-role/autoscaling.amazonaws.com/`.
    pub path: String,
    /// Name.
    pub name: String,
    /// `AROA…`.
    pub unique_id: String,
    /// OIDC provider of a role for a service account.
    pub oidc_provider: Option<String>,
}

/// A session of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The role.
    pub role: Role,
    /// Session name.
    pub name: String,
    /// Unix second of its creation.
    pub created: i64,
    /// `ASIA…`.
    pub access_key: String,
}

impl Role {
    /// A role of an account, without a path.
    pub fn new(ids: &mut Ids, account_id: &str, name: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            path: "/".to_owned(),
            name: name.to_owned(),
            unique_id: format!("AROA{}", ids.capitals(17)),
            oidc_provider: None,
        }
    }

    /// The role that Auto Scaling launches instances with.
    pub fn of_auto_scaling(ids: &mut Ids, account_id: &str) -> Self {
        Self {
            path: "/aws-service-role/autoscaling.amazonaws.com/".to_owned(),
            ..Self::new(ids, account_id, "AWSServiceRoleForAutoScaling")
        }
    }

    /// ARN of the role.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role{}{}", self.account_id, self.path, self.name)
    }
}

impl Session {
    /// A session of `role`.
    pub fn new(ids: &mut Ids, role: &Role, name: &str, created: i64) -> Self {
        Self {
            role: role.clone(),
            name: name.to_owned(),
            created,
            access_key: format!("ASIA{}", ids.capitals(16)),
        }
    }

    /// ARN of the session.
    pub fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{}", self.role.account_id, self.role.name, self.name)
    }

    /// The session's own call.
    pub fn identity(&self) -> Json {
        self.write(true, None)
    }

    /// A call that `service` made with the session's rights.
    pub fn identity_through(&self, service: &str) -> Json {
        self.write(service == "ec2-frontend-api.amazonaws.com", Some(service))
    }

    fn write(&self, has_access_key: bool, invoked_by: Option<&str>) -> Json {
        let mut context = Object::new();
        context.member(
            "sessionIssuer",
            object! {
                "type": "Role",
                "principalId": &self.role.unique_id,
                "arn": self.role.arn(),
                "accountId": &self.role.account_id,
                "userName": &self.role.name,
            },
        );
        if let Some(provider) = &self.role.oidc_provider {
            context.member(
                "webIdFederationData",
                object! { "federatedProvider": provider, "attributes": object! {} },
            );
        }
        context.member("attributes", session_attributes(self.created));

        let mut identity = Object::new();
        identity.member("type", "AssumedRole");
        identity.member("principalId", format!("{}:{}", self.role.unique_id, self.name));
        identity.member("arn", self.arn());
        identity.member("accountId", &self.role.account_id);
        if has_access_key {
            identity.member("accessKeyId", &self.access_key);
        }
        identity.member("sessionContext", context.finish());
        identity.member_if("invokedBy", invoked_by);
        identity.finish()
    }

    /// The form in which the owner of a key in another account sees a call of this session.
    pub fn identity_for_key_owner(&self, service: &str) -> Json {
        object! {
            "type": "AWSAccount",
            "principalId": format!("{}:{}", self.role.unique_id, self.name),
            "accountId": &self.role.account_id,
            "invokedBy": service,
        }
    }
}

fn session_attributes(created: i64) -> Json {
    object! { "creationDate": iso(created), "mfaAuthenticated": "false" }
}

/// An IAM user.
pub fn user(ids: &mut Ids, account_id: &str, name: &str) -> Json {
    object! {
        "type": "IAMUser",
        "principalId": format!("AIDA{}", ids.capitals(17)),
        "arn": format!("arn:aws:iam::{account_id}:user/{name}"),
        "accountId": account_id,
        "accessKeyId": format!("AKIA{}", ids.capitals(16)),
        "userName": name,
    }
}

/// A service on its own account.
pub fn service(name: &str) -> Json {
    object! { "type": "AWSService", "invokedBy": name }
}

/// The instance's own identity, with which EC2 opens its volumes.
pub fn ec2_infrastructure(
    ids: &mut Ids,
    account_id: &str,
    region: &str,
    instance_id: &str,
    created: i64,
) -> Json {
    let issuer = object! {
        "type": "Role",
        "principalId": format!("{account_id}:aws:ec2-infrastructure"),
        "arn": format!("arn:aws:iam::{account_id}:role/aws:ec2-infrastructure"),
        "accountId": account_id,
        "userName": "aws:ec2-infrastructure",
    };
    object! {
        "type": "AssumedRole",
        "principalId": format!("{account_id}:aws:ec2-infrastructure:{instance_id}"),
        "arn": format!("arn:aws:sts::{account_id}:assumed-role/aws:ec2-infrastructure/{instance_id}"),
        "accountId": account_id,
        "accessKeyId": format!("ASIA{}", ids.capitals(16)),
        "sessionContext": object! { "sessionIssuer": issuer, "attributes": session_attributes(created) },
        "invokedBy": "AWS Internal",
        "inScopeOf": object! {
            "issuerType": "AWS::EC2::Instance",
            "credentialsIssuedTo": format!("arn:aws:ec2:{region}:{account_id}:instance/{instance_id}"),
        },
    }
}
