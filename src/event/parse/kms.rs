//! KMS events: the use of keys, grants, refusals, and changes of policies, aliases and states.

use super::TopLevel;
use super::identity::infrastructure_instance;
use super::member::Member;
use super::name::{name, names};
use super::pool::{Pool, Repeated};
use crate::event::{
    AliasChange, ApiError, Denial, Detail, KeyArn, KeyStateChange, KmsOperation, KmsUse, PolicyChange, Text,
};

pub(super) fn read(
    pool: &mut Pool,
    top: &TopLevel<'_>,
    name: &str,
    error: Option<&ApiError>,
) -> Option<Detail> {
    let operation = match name {
        "GenerateDataKeyWithoutPlaintext" => KmsOperation::GenerateDataKeyWithoutPlaintext,
        "GenerateDataKey" => KmsOperation::GenerateDataKey,
        "CreateGrant" => KmsOperation::CreateGrant,
        "ReEncrypt" => KmsOperation::ReEncrypt,
        "Decrypt" => KmsOperation::Decrypt,
        "DescribeKey" => KmsOperation::DescribeKey,
        "RetireGrant" => KmsOperation::RetireGrant,
        "RevokeGrant" => KmsOperation::RevokeGrant,
        "PutKeyPolicy" | "CreateKey" => {
            return Some(Detail::Policy(Box::new(policy_change(pool, top, name))));
        }
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            return alias_change(pool, top, name).map(Detail::Alias);
        }
        _ => return key_state_change(pool, top, name).map(|change| Detail::KeyState(Box::new(change))),
    };
    Some(Detail::Kms(Box::new(key_use(pool, top, operation, error))))
}

/// ARNs of the keys (not aliases) that the record lists as resources.
fn key_resources<'input>(top: &TopLevel<'input>) -> impl Iterator<Item = &'input str> {
    top.resources
        .items()
        .filter_map(|resource| resource.get(name!("ARN")).text())
        .filter(|arn| KeyArn::parse(arn).is_some_and(|arn| arn.key_id().is_some()))
}

fn key_use(pool: &mut Pool, top: &TopLevel<'_>, operation: KmsOperation, error: Option<&ApiError>) -> KmsUse {
    let response = top.response;
    let [constraints, context, destination_context, source_context, grantee, key, destination_key, grant] =
        top.request.get_each(names![
            "constraints",
            "encryptionContext",
            "destinationEncryptionContext",
            "sourceEncryptionContext",
            "granteePrincipal",
            "keyId",
            "destinationKeyId",
            "grantId",
        ]);
    let [subset, equals] = constraints.get_each(names!["encryptionContextSubset", "encryptionContextEquals"]);
    let ebs_ids = [context, destination_context, source_context, subset, equals]
        .map(|context| context.get(name!("aws:ebs:id")).text());
    let ebs_id = |prefix: &str| ebs_ids.into_iter().flatten().find(|id| id.starts_with(prefix));
    let grantee = grantee.text();
    let grantee_instance = grantee.and_then(infrastructure_instance);
    let requested_key = if key.is_present() { key } else { destination_key }.text();
    let mut keys = key_resources(top);
    let (first_key, last_key) = (keys.next(), keys.last());
    let as_key_arn = |text: &&str| KeyArn::parse(text).is_some_and(|arn| arn.key_id().is_some());
    let key_arn = last_key
        .or(first_key)
        .or_else(|| response.get(name!("keyId")).text().filter(as_key_arn))
        .or(requested_key.filter(as_key_arn))
        .or_else(|| {
            error.and_then(|error| Denial::parse(&error.code, &error.message)?.key_arn).filter(as_key_arn)
        });
    let grant_id = response
        .get(name!("grantId"))
        .text()
        .or_else(|| grant.text())
        .or_else(|| top.additional.get(name!("grantId")).text());
    KmsUse {
        operation,
        requested_key: requested_key.map(|key| pool.repeated(Repeated::Key, key)),
        key_arn: key_arn.map(|key| pool.repeated(Repeated::Key, key)),
        source_key_arn: match (operation, last_key) {
            (KmsOperation::ReEncrypt, Some(_)) => pool.optional(first_key),
            _ => None,
        },
        volume_id: pool.optional_passing(ebs_id("vol-")),
        snapshot_id: pool.optional(ebs_id("snap-")),
        grantee_instance_id: pool.optional_passing(grantee_instance),
        grantee: match grantee_instance {
            Some(_) => pool.optional_passing(grantee),
            None => pool.optional(grantee),
        },
        // In hardly any other record: not worth a slot of the pool.
        grant_id: grant_id.map(Text::from),
    }
}

/// The key that a management event is about: its ARN where the record has it.
fn managed_key(pool: &mut Pool, top: &TopLevel<'_>) -> Option<Text> {
    let metadata = top.response.get(name!("keyMetadata")).get(name!("arn")).text();
    let named = [top.response.get(name!("keyId")), top.request.get(name!("keyId"))];
    let key = key_resources(top)
        .next()
        .or(metadata)
        .or_else(|| named.iter().filter_map(|member| member.text()).find(|text| text.starts_with("arn:")))
        .or_else(|| named.iter().find_map(|member| member.text()));
    pool.optional(key)
}

fn policy_change(pool: &mut Pool, top: &TopLevel<'_>, name: &str) -> PolicyChange {
    let policy = top.request.get(name!("policy"));
    let text = policy.text().map(str::to_owned).or_else(|| policy.json_text());
    PolicyChange {
        key: managed_key(pool, top),
        policy: text.map(String::into_boxed_str),
        is_creation: name == "CreateKey",
        description: pool.optional(top.request.get(name!("description")).text()),
    }
}

fn alias_change(pool: &mut Pool, top: &TopLevel<'_>, name: &str) -> Option<AliasChange> {
    let alias = top.request.get(name!("aliasName")).text()?;
    let alias = KeyArn::parse(alias).and_then(|arn| arn.alias()).unwrap_or(alias);
    let is_deletion = name == "DeleteAlias";
    let written = top.request.get(name!("targetKeyId")).text();
    // The record may list the alias and more than one key, in any order.
    let listed: Vec<_> = key_resources(top).collect();
    let target = written
        .and_then(|written| listed.iter().copied().find(|arn| arn.ends_with(written)))
        .or(written.filter(|written| written.starts_with("arn:")))
        .or_else(|| if listed.len() == 1 { listed.first().copied() } else { None })
        .or(written);
    Some(AliasChange {
        alias: pool.text(alias),
        target: if is_deletion { None } else { pool.optional(target) },
        is_deletion,
    })
}

fn key_state_change(pool: &mut Pool, top: &TopLevel<'_>, name: &str) -> Option<KeyStateChange> {
    let state = match name {
        "EnableKey" | "ImportKeyMaterial" => "enabled",
        // A key whose deletion is cancelled stays disabled until it is enabled.
        "DisableKey" | "CancelKeyDeletion" => "disabled",
        "ScheduleKeyDeletion" => "pending-deletion",
        "DeleteKey" => "deleted",
        "DeleteImportedKeyMaterial" => "pending-import",
        _ => return None,
    };
    let deletion_date: Member<'_> = top.response.get(name!("deletionDate"));
    Some(KeyStateChange {
        key: managed_key(pool, top),
        state,
        deletion_date: pool.written(deletion_date.written()),
    })
}
