//! Policy statements: the one place that decides what is allowed, whatever language it is written in.
//!
//! A target comes in, statements go out; as JSON here, as Terraform from the same values elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::finding::Document;
use super::target::{Region, Role, Target};
use crate::policy::ec2_endpoint;

/// What EBS does with a key for a role, apart from grants.
const USE_ACTIONS: [&str; 5] =
    ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"];

/// An allowing statement of a key policy or IAM policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Letters and digits only, as IAM wants it.
    pub(super) sid: &'static str,
    /// ARN; `None` in a policy of the principal's own.
    pub(super) principal: Option<String>,
    pub(super) actions: Vec<String>,
    pub(super) resource: String,
    /// Operator, key, value.
    pub(super) conditions: Vec<(&'static str, &'static str, String)>,
}

/// For the key policy: the role may use the key through EC2, and EC2 may make grants for it.
pub(super) fn key_policy(target: &Target<'_>) -> Vec<Statement> {
    for_role(&target.role, target.key.region(), Some(target.role.arn().to_owned()), "*")
}

/// For the role: the same on this one key.
pub(super) fn role_policy(target: &Target<'_>) -> Vec<Statement> {
    for_role(&target.role, target.key.region(), None, target.key.arn())
}

/// For the policy of a key that is still to be made: the account keeps its control, the role may use the key.
pub(super) fn new_key_policy(role: &Role<'_>, region: Region<'_>) -> Vec<Statement> {
    let mut statements = vec![Statement {
        sid: "AccountAdministersKey",
        principal: Some(format!("arn:{}:iam::{}:root", role.partition(), role.account_id())),
        actions: vec!["kms:*".to_owned()],
        resource: "*".to_owned(),
        conditions: Vec::new(),
    }];
    statements.extend(for_role(role, region, Some(role.arn().to_owned()), "*"));
    statements
}

/// For the policy of a key of another account: the account of a service-linked role may make grants for that
/// role alone.
pub(super) fn grant_by_account(target: &Target<'_>) -> Vec<Statement> {
    let role = &target.role;
    vec![Statement {
        sid: "AccountMakesGrantForServiceLinkedRole",
        principal: Some(format!("arn:{}:iam::{}:root", role.partition(), role.account_id())),
        actions: vec!["kms:CreateGrant".to_owned()],
        resource: "*".to_owned(),
        conditions: vec![("StringEquals", "kms:GranteePrincipal", role.arn().to_owned())],
    }]
}

fn for_role(
    role: &Role<'_>,
    region: Region<'_>,
    principal: Option<String>,
    resource: &str,
) -> Vec<Statement> {
    // A service-linked role is documented without this condition: its service need not come through EC2.
    let through_ec2 = (!role.is_service_linked()).then(|| ec2_endpoint(region.name()));
    let through_ec2 = through_ec2.map(|endpoint| ("StringEquals", "kms:ViaService", endpoint));
    let for_service = ("Bool", "kms:GrantIsForAWSResource", "true".to_owned());
    vec![
        Statement {
            sid: "EbsUsesKey",
            principal: principal.clone(),
            actions: USE_ACTIONS.map(str::to_owned).to_vec(),
            resource: resource.to_owned(),
            conditions: through_ec2.clone().into_iter().collect(),
        },
        // Only grants have the key `kms:GrantIsForAWSResource`: on the other actions it would deny them.
        Statement {
            sid: "EbsMakesGrants",
            principal,
            actions: vec!["kms:CreateGrant".to_owned()],
            resource: resource.to_owned(),
            conditions: std::iter::once(for_service).chain(through_ec2).collect(),
        },
    ]
}

/// In the order in which people write the elements.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatementJson<'a> {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<PrincipalJson<'a>>,
    action: &'a [String],
    resource: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<&'static str, &'a str>>,
}

#[derive(Serialize)]
struct PrincipalJson<'a> {
    #[serde(rename = "AWS")]
    aws: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyJson<'a> {
    version: &'static str,
    statement: Vec<StatementJson<'a>>,
}

impl Statement {
    fn json(&self) -> StatementJson<'_> {
        let mut condition: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (operator, key, value) in &self.conditions {
            condition.entry(*operator).or_default().insert(*key, value.as_str());
        }
        StatementJson {
            sid: self.sid,
            effect: "Allow",
            principal: self.principal.as_deref().map(|aws| PrincipalJson { aws }),
            action: &self.actions,
            resource: &self.resource,
            condition,
        }
    }
}

fn list(statements: &[Statement]) -> Vec<StatementJson<'_>> {
    statements.iter().map(Statement::json).collect()
}

fn policy(statements: &[Statement]) -> PolicyJson<'_> {
    PolicyJson { version: "2012-10-17", statement: list(statements) }
}

const WHY_JSON: &str = "texts and maps with text keys are always JSON";

/// The statements as a JSON list on one line.
pub(super) fn list_line(statements: &[Statement]) -> String {
    serde_json::to_string(&list(statements)).expect(WHY_JSON)
}

/// The statements as a whole policy on one line.
pub(super) fn policy_line(statements: &[Statement]) -> String {
    serde_json::to_string(&policy(statements)).expect(WHY_JSON)
}

/// The statements as a JSON list, to be added to the `Statement` of a policy that exists. Deliberately no whole
/// policy: pasted over a key policy, it would lock the account out.
pub(super) fn list_document(statements: &[Statement]) -> Document {
    let json = serde_json::to_string_pretty(&list(statements)).expect(WHY_JSON);
    Document { format: "iam-json", body: json + "\n" }
}

/// The statements as a whole policy.
pub(super) fn policy_document(statements: &[Statement]) -> Document {
    let json = serde_json::to_string_pretty(&policy(statements)).expect(WHY_JSON);
    Document { format: "iam-json", body: json + "\n" }
}
