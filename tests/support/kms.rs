//! KMS's records of an encrypted launch: data key, re-encryption, grants, opened volumes, refusals.
//!
//! One function per record that EC2 causes; [`Refusal`] writes KMS's messages in its own words.

use super::cluster::{Cluster, Node};
use super::identity::{self, Session};
use super::ids::Ids;
use super::json::{Json, object};
use super::record::Draft;

const FRONT_END: &str = "ec2-frontend-api.amazonaws.com";

/// A KMS call of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The volume's data key.
    GenerateDataKeyWithoutPlaintext,
    /// The grants for instance and service.
    CreateGrant,
    /// From the snapshot's key to the volume's key.
    ReEncrypt,
}

/// A refusal by KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which call.
    pub call: Call,
    /// `errorCode`.
    pub code: String,
    /// `errorMessage`.
    pub message: String,
}

impl Call {
    /// `eventName`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKeyWithoutPlaintext => "GenerateDataKeyWithoutPlaintext",
            Self::CreateGrant => "CreateGrant",
            Self::ReEncrypt => "ReEncrypt",
        }
    }
}

impl Refusal {
    /// `AccessDenied`: `principal` may not perform `action` on `key`, and `reason` says why.
    pub fn access_denied(call: Call, principal: &str, action: &str, key: &str, reason: &str) -> Self {
        Self {
            call,
            code: "AccessDenied".to_owned(),
            message: format!(
                "User: {principal} is not authorized to perform: {action} on resource: {key} {reason}"
            ),
        }
    }

    /// Neither the role's policies nor the key policy allow it.
    pub fn by_identity_policy(call: Call, principal: &str, action: &str, key: &str) -> Self {
        let reason = format!("because no identity-based policy allows the {action} action");
        Self::access_denied(call, principal, action, key, &reason)
    }

    /// The key policy does not allow it.
    pub fn by_resource_policy(call: Call, principal: &str, action: &str, key: &str) -> Self {
        let reason = format!("because no resource-based policy allows the {action} action");
        Self::access_denied(call, principal, action, key, &reason)
    }

    /// The key is disabled.
    pub fn disabled(call: Call, key: &str) -> Self {
        Self { call, code: "DisabledException".to_owned(), message: format!("{key} is disabled.") }
    }

    /// The key waits for its deletion.
    pub fn pending_deletion(call: Call, key: &str) -> Self {
        Self {
            call,
            code: "KMSInvalidStateException".to_owned(),
            message: format!("{key} is pending deletion."),
        }
    }

    /// Too many calls: no refusal, EC2 tries again.
    pub fn throttled(call: Call) -> Self {
        Self {
            call,
            code: "ThrottlingException".to_owned(),
            message:
                "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
                    .to_owned(),
        }
    }

    /// There is no such key here.
    pub fn not_found(call: Call, key: &str) -> Self {
        Self { call, code: "NotFoundException".to_owned(), message: format!("Key '{key}' does not exist") }
    }
}

/// The key of a KMS record, as `resources` names it.
pub fn key_resource(key: &str) -> Json {
    let account_id = key.split(':').nth(4).expect("a key ARN has an account");
    object! { "accountId": account_id, "type": "AWS::KMS::Key", "ARN": key }
}

/// A KMS call made inside AWS.
fn internal_call(ids: &mut Ids, cluster: &Cluster, name: &str, time: i64, caller: &str) -> Draft {
    let mut draft = Draft::call(ids, "kms", name, time);
    draft.event_id = ids.service_uuid();
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
    draft.made_by_service(caller);
    draft.shared_event_id = Some(ids.uuid());
    draft.is_internal = true;
    draft.is_read_only = !matches!(name, "CreateGrant" | "RetireGrant");
    draft
}

/// A KMS call that EC2 makes with the session's rights.
fn forwarded_call(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    name: &str,
    time: i64,
    request_id: &str,
) -> Draft {
    let mut draft = internal_call(ids, cluster, name, time, FRONT_END);
    draft.identity = session.identity_through(FRONT_END);
    draft.request_id = Some(request_id.to_owned());
    draft
}

/// `GenerateDataKeyWithoutPlaintext` for a volume; `requested` is the key as EC2 was told it.
pub fn generate_data_key(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    time: i64,
    volume: Volume<'_>,
) -> Draft {
    let name = "GenerateDataKeyWithoutPlaintext";
    let mut draft = forwarded_call(ids, cluster, session, name, time, volume.request_id);
    draft.request = object! {
        "encryptionContext": object! { "aws:ebs:id": volume.volume_id },
        "keyId": volume.requested,
        "numberOfBytes": 64,
    };
    draft.additional = Some(object! { "keyMaterialId": key_material(volume.key) });
    draft.resources = Some(Json::array([key_resource(volume.key)]));
    draft
}

/// A volume and its key in one request.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    /// Volume id.
    pub volume_id: &'a str,
    /// The key as written: id, ARN or alias.
    pub requested: &'a str,
    /// The key's ARN.
    pub key: &'a str,
    /// Request id.
    pub request_id: &'a str,
}

/// `ReEncrypt` from a snapshot's key to the volume's key.
pub fn re_encrypt(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    time: i64,
    volume: Volume<'_>,
    snapshot: (&str, &str),
) -> Draft {
    let (snapshot_id, snapshot_key) = snapshot;
    let mut draft = forwarded_call(ids, cluster, session, "ReEncrypt", time, volume.request_id);
    draft.request = object! {
        "sourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "sourceEncryptionContext": object! { "aws:ebs:id": snapshot_id },
        "sourceAAD": "AAAAAAAAAAAAAAAAAAAAAA==",
        "destinationKeyId": volume.requested,
        "destinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "destinationEncryptionContext": object! { "aws:ebs:id": volume.volume_id },
        "destinationAAD": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    draft.additional = Some(object! {
        "sourceKeyMaterialId": key_material(snapshot_key),
        "destinationKeyMaterialId": key_material(volume.key),
    });
    draft.resources = Some(Json::array([key_resource(snapshot_key), key_resource(volume.key)]));
    draft
}

/// The copy of a KMS record that the owner of a key in another account gets.
pub fn for_key_owner(ids: &mut Ids, draft: &Draft, session: &Session, key: &str) -> Draft {
    let mut copy = draft.clone();
    copy.identity = session.identity_for_key_owner(FRONT_END);
    copy.event_id = ids.service_uuid();
    key.split(':').nth(4).expect("a key ARN has an account").clone_into(&mut copy.account_id);
    copy
}

/// `CreateGrant` for the instance or, without one, for the EC2 service.
pub fn create_grant(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    time: i64,
    volume: Volume<'_>,
    grant: (&str, Option<&str>),
) -> Draft {
    let (grant_id, instance_id) = grant;
    let service = format!("ec2.{}.amazonaws.com", cluster.region);
    let grantee = instance_id.map_or_else(
        || service.clone(),
        |id| format!("arn:aws:sts::{}:assumed-role/aws:ec2-infrastructure/{id}", cluster.account_id),
    );
    let mut draft = forwarded_call(ids, cluster, session, "CreateGrant", time, volume.request_id);
    draft.request = object! {
        "constraints": object! {
            "encryptionContextSubset": object! { "aws:ebs:id": volume.volume_id },
        },
        "operations": Json::array(["Decrypt"]),
        "keyId": volume.key,
        "granteePrincipal": grantee,
        "retiringPrincipal": service,
    };
    draft.response = object! { "grantId": grant_id, "keyId": volume.key };
    draft.resources = Some(Json::array([key_resource(volume.key)]));
    draft
}

/// A refused call: no parameters, no resources; the key stands in the message only.
pub fn refused(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    time: i64,
    request_id: &str,
    refusal: &Refusal,
) -> Draft {
    let mut draft = forwarded_call(ids, cluster, session, refusal.call.name(), time, request_id);
    draft.error = Some((refusal.code.clone(), refusal.message.clone()));
    draft
}

/// `Decrypt` by EBS itself, with a request id of its own.
pub fn decrypt_by_ebs(ids: &mut Ids, cluster: &Cluster, time: i64, volume: Volume<'_>) -> Draft {
    let mut draft = internal_call(ids, cluster, "Decrypt", time, "ebs.amazonaws.com");
    draft.identity = identity::service("ebs.amazonaws.com");
    decrypted(&mut draft, volume);
    draft
}

/// `Decrypt` by the instance: the volume is open.
pub fn decrypt_by_instance(
    ids: &mut Ids,
    cluster: &Cluster,
    time: i64,
    node: &Node,
    volume: Volume<'_>,
) -> Draft {
    let mut draft = internal_call(ids, cluster, "Decrypt", time, "AWS Internal");
    draft.identity = identity::ec2_infrastructure(
        ids,
        &cluster.account_id,
        &cluster.region,
        &node.instance_id,
        node.launched,
    );
    draft.request_id = Some(volume.request_id.to_owned());
    decrypted(&mut draft, volume);
    draft
}

fn decrypted(draft: &mut Draft, volume: Volume<'_>) {
    draft.request = object! {
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "encryptionContext": object! { "aws:ebs:id": volume.volume_id },
    };
    draft.additional = Some(object! { "keyMaterialId": key_material(volume.key) });
    draft.resources = Some(Json::array([key_resource(volume.key)]));
}

/// `RetireGrant` when an instance ends.
pub fn retire_grant(
    ids: &mut Ids,
    cluster: &Cluster,
    time: i64,
    grant: (&str, &str),
    request_id: Option<&str>,
) -> Draft {
    let (grant_id, key) = grant;
    let mut draft = internal_call(ids, cluster, "RetireGrant", time, "AWS Internal");
    draft.identity = identity::service("AWS Internal");
    draft.response = object! { "keyId": key };
    draft.additional = Some(object! { "grantId": grant_id });
    if let Some(request_id) = request_id {
        draft.request_id = Some(request_id.to_owned());
    }
    draft.resources = Some(Json::array([key_resource(key)]));
    draft
}

/// Id of a key's material: the same for the same key id, also in another region.
pub fn key_material(key: &str) -> String {
    let key_id = key.rsplit('/').next().expect("a split has a last part");
    let seed = key_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ids::new(seed).long_hex()
}
