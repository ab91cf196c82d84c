//! Changes of configuration: keys, policies, aliases, EBS defaults, trails; and who makes them.
//!
//! Each call adds one record to an [`Incident`]. Times and callers come in; nothing is decided here.

use super::cluster::Cluster;
use super::identity::{self, Role, Session};
use super::ids::Ids;
use super::incident::Incident;
use super::json::{Json, Object, object};
use super::kms::{key_material, key_resource};
use super::record::{Draft, iso};

const XMLNS: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// Somebody who is not the controller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// ARN of the session or user.
    pub arn: String,
    /// `userIdentity`.
    pub identity: Json,
    /// `sourceIPAddress`.
    pub source_ip: String,
    /// `userAgent`.
    pub user_agent: String,
}

impl Caller {
    /// A person with the AWS CLI, through IAM Identity Center.
    pub fn person(ids: &mut Ids, cluster: &Cluster, name: &str, since: i64) -> Self {
        let mut role = Role::new(ids, &cluster.account_id, "AWSReservedSSO_PlatformAdmin_1b74cd717d47002b");
        "/aws-reserved/sso.amazonaws.com/".clone_into(&mut role.path);
        let session = Session::new(ids, &role, name, since);
        Self {
            arn: session.arn(),
            identity: session.identity(),
            source_ip: "198.51.100.24".to_owned(),
            user_agent: "aws-cli/2.27.50 md/awscrt#0.26.1 ua/2.1 os/macos#24.5.0 md/arch#arm64 \
                         lang/python#3.13.4 md/pyimpl#CPython m/Z,b,E cfg/retry-mode#standard md/installer#exe"
                .to_owned(),
        }
    }

    /// Terraform in a pipeline's role.
    pub fn terraform(ids: &mut Ids, cluster: &Cluster, since: i64) -> Self {
        let role = Role::new(ids, &cluster.account_id, "terraform-pipeline");
        let session = Session::new(ids, &role, "run-4f1c2a", since);
        Self {
            arn: session.arn(),
            identity: session.identity(),
            source_ip: "198.51.100.77".to_owned(),
            user_agent: "APN/1.0 HashiCorp/1.0 Terraform/1.12.2 (+https://www.terraform.io) \
                         terraform-provider-aws/6.2.0 (+https://registry.terraform.io/providers/hashicorp/aws) \
                         aws-sdk-go-v2/1.36.5 ua/2.1 os/linux lang/go#1.23.8 md/GOOS#linux md/GOARCH#amd64 \
                         api/kms#1.41.2"
                .to_owned(),
        }
    }

    /// An IAM user with the SDK for Python.
    pub fn script_of_user(ids: &mut Ids, cluster: &Cluster, name: &str) -> Self {
        Self {
            arn: format!("arn:aws:iam::{}:user/{name}", cluster.account_id),
            identity: identity::user(ids, &cluster.account_id, name),
            source_ip: "192.0.2.45".to_owned(),
            user_agent: "Boto3/1.40.2 md/Botocore#1.40.2 ua/2.1 os/linux#6.8.0-1031-aws md/arch#x86_64 \
                         lang/python#3.12.3 md/pyimpl#CPython m/Z,b,D cfg/retry-mode#legacy Botocore/1.40.2"
                .to_owned(),
        }
    }

    /// A call in the cluster's account and region.
    pub fn call(
        &self,
        ids: &mut Ids,
        cluster: &Cluster,
        service: &'static str,
        name: &str,
        time: i64,
    ) -> Draft {
        let mut draft = Draft::call(ids, service, name, time);
        cluster.region.clone_into(&mut draft.region);
        cluster.account_id.clone_into(&mut draft.account_id);
        draft.identity = self.identity.clone();
        self.source_ip.clone_into(&mut draft.source_ip);
        self.user_agent.clone_into(&mut draft.user_agent);
        draft
    }
}

/// `AttachVolume` and its request id.
pub fn attach_volume(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    time: i64,
    volume_and_instance: (&str, &str),
) -> (Draft, String) {
    let (volume_id, instance_id) = volume_and_instance;
    let caller = Caller {
        arn: session.arn(),
        identity: session.identity(),
        source_ip: cluster.controller_ip.clone(),
        user_agent: "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.4 md/GOOS#linux md/GOARCH#amd64 \
                     api/ec2#1.218.0 ebs.csi.aws.com/v1.45.0 m/E"
            .to_owned(),
    };
    let mut draft = caller.call(ids, cluster, "ec2", "AttachVolume", time);
    let request_id = draft.request_id.clone().expect("a call has a request id");
    draft.request = object! { "volumeId": volume_id, "instanceId": instance_id, "device": "/dev/xvdaa" };
    draft.response = object! {
        "requestId": &request_id,
        "volumeId": volume_id,
        "instanceId": instance_id,
        "device": "/dev/xvdaa",
        "status": "attaching",
        "attachTime": time * 1000,
        "deleteOnTermination": false,
    };
    (draft, request_id)
}

impl Incident {
    fn change_key(
        &mut self,
        caller: &Caller,
        time: i64,
        name: &str,
        key: &str,
        contents: (Json, Json),
    ) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "kms", name, time);
        (draft.request, draft.response) = contents;
        draft.resources = Some(Json::array([key_resource(key)]));
        self.write(draft)
    }

    /// `PutKeyPolicy` with the whole policy.
    pub fn put_key_policy(&mut self, caller: &Caller, time: i64, key: &str, policy: &str) -> String {
        let request = object! {
            "keyId": key,
            "policyName": "default",
            "policy": policy,
            "bypassPolicyLockoutSafetyCheck": false,
        };
        self.change_key(caller, time, "PutKeyPolicy", key, (request, object! { "keyId": key }))
    }

    /// `CreateKey` with its first policy.
    pub fn create_key(&mut self, caller: &Caller, time: i64, key: &str, made: (&str, &str)) -> String {
        let (description, policy) = made;
        let request = object! {
            "policy": policy,
            "bypassPolicyLockoutSafetyCheck": false,
            "description": description,
            "keySpec": "SYMMETRIC_DEFAULT",
            "keyUsage": "ENCRYPT_DECRYPT",
            "multiRegion": false,
            "origin": "AWS_KMS",
        };
        let response = object! {
            "keyMetadata": object! {
                "aWSAccountId": &self.cluster.account_id,
                "keyId": key.rsplit('/').next().expect("a split has a last part"),
                "arn": key,
                "creationDate": iso(time),
                "enabled": true,
                "description": description,
                "keySpec": "SYMMETRIC_DEFAULT",
                "keyUsage": "ENCRYPT_DECRYPT",
                "keyState": "Enabled",
                "origin": "AWS_KMS",
                "keyManager": "CUSTOMER",
                "encryptionAlgorithms": Json::array(["SYMMETRIC_DEFAULT"]),
                "multiRegion": false,
                "currentKeyMaterialId": key_material(key),
            },
        };
        self.change_key(caller, time, "CreateKey", key, (request, response))
    }

    /// `DisableKey`.
    pub fn disable_key(&mut self, caller: &Caller, time: i64, key: &str) -> String {
        let contents = (object! { "keyId": key }, object! { "keyId": key });
        self.change_key(caller, time, "DisableKey", key, contents)
    }

    /// `EnableKey`.
    pub fn enable_key(&mut self, caller: &Caller, time: i64, key: &str) -> String {
        let contents = (object! { "keyId": key }, object! { "keyId": key });
        self.change_key(caller, time, "EnableKey", key, contents)
    }

    /// `ScheduleKeyDeletion` in seven days.
    pub fn schedule_key_deletion(&mut self, caller: &Caller, time: i64, key: &str) -> String {
        const WAITING_SECONDS: i64 = 7 * 24 * 3600;
        let request = object! { "keyId": key, "pendingWindowInDays": 7 };
        let response = object! {
            "keyId": key,
            "deletionDate": iso(time + WAITING_SECONDS),
            "keyState": "PendingDeletion",
            "pendingWindowInDays": 7,
        };
        self.change_key(caller, time, "ScheduleKeyDeletion", key, (request, response))
    }

    /// `RevokeGrant`.
    pub fn revoke_grant(&mut self, caller: &Caller, time: i64, grant: (&str, &str)) -> String {
        let (grant_id, key) = grant;
        let request = object! { "keyId": key, "grantId": grant_id };
        self.change_key(caller, time, "RevokeGrant", key, (request, object! { "keyId": key }))
    }

    /// `CreateAlias` or `UpdateAlias`: `alias` (with `alias/`) points to `key` from now on.
    pub fn point_alias(&mut self, caller: &Caller, time: i64, name: &str, alias: &str, key: &str) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "kms", name, time);
        let key_id = key.rsplit('/').next().expect("a split has a last part");
        draft.request = object! { "aliasName": alias, "targetKeyId": key_id };
        let (prefix, _) = key.split_once(":key/").expect("a key ARN");
        let alias_resource = object! {
            "accountId": &self.cluster.account_id,
            "type": "AWS::KMS::Alias",
            "ARN": format!("{prefix}:{alias}"),
        };
        draft.resources = Some(Json::array([alias_resource, key_resource(key)]));
        self.write(draft)
    }

    fn change_ebs_default(&mut self, caller: &Caller, time: i64, name: &str, key: Option<&str>) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "ec2", name, time);
        let mut request = Object::new();
        let mut response = Object::new();
        response.member("xmlns", XMLNS);
        response.member("requestId", draft.request_id.as_ref().expect("a call has a request id"));
        if let Some(key) = key {
            request.member(&format!("{name}Request"), object! { "KmsKeyId": key });
            response.member("kmsKeyId", key);
        } else {
            request.member(&format!("{name}Request"), "");
            if name == "ResetEbsDefaultKmsKeyId" {
                response.member("kmsKeyId", "alias/aws/ebs");
            } else {
                response.member("ebsEncryptionByDefault", name.starts_with("Enable"));
            }
        }
        let mut wrapper = Object::new();
        wrapper.member(&format!("{name}Response"), response.finish());
        draft.request = request.finish();
        draft.response = wrapper.finish();
        self.write(draft)
    }

    /// `ModifyEbsDefaultKmsKeyId`.
    pub fn set_ebs_default_key(&mut self, caller: &Caller, time: i64, key: &str) -> String {
        self.change_ebs_default(caller, time, "ModifyEbsDefaultKmsKeyId", Some(key))
    }

    /// `EnableEbsEncryptionByDefault`.
    pub fn enable_ebs_encryption(&mut self, caller: &Caller, time: i64) -> String {
        self.change_ebs_default(caller, time, "EnableEbsEncryptionByDefault", None)
    }

    /// `ResetEbsDefaultKmsKeyId`: back to the AWS managed key.
    pub fn reset_ebs_default_key(&mut self, caller: &Caller, time: i64) -> String {
        self.change_ebs_default(caller, time, "ResetEbsDefaultKmsKeyId", None)
    }

    /// `PutEventSelectors` that leaves KMS out.
    pub fn exclude_kms_events(&mut self, caller: &Caller, time: i64, trail: &str) -> String {
        self.put_event_selectors(caller, time, trail, ("All", &["kms.amazonaws.com"]))
    }

    /// `PutEventSelectors` that leaves read-only events out.
    pub fn exclude_read_only_events(&mut self, caller: &Caller, time: i64, trail: &str) -> String {
        self.put_event_selectors(caller, time, trail, ("WriteOnly", &[]))
    }

    fn put_event_selectors(
        &mut self,
        caller: &Caller,
        time: i64,
        trail: &str,
        selection: (&str, &[&str]),
    ) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "cloudtrail", "PutEventSelectors", time);
        let (read_write_type, excluded_sources) = selection;
        let selectors = Json::array([object! {
            "readWriteType": read_write_type,
            "includeManagementEvents": true,
            "dataResources": Json::array::<Json>([]),
            "excludeManagementEventSources": Json::array(excluded_sources.iter().copied()),
        }]);
        let arn =
            format!("arn:aws:cloudtrail:{}:{}:trail/{trail}", self.cluster.region, self.cluster.account_id);
        draft.request = object! { "trailName": trail, "eventSelectors": &selectors };
        draft.response = object! { "trailARN": arn, "eventSelectors": &selectors };
        self.write(draft)
    }

    /// EKS `CreateCluster` whose secrets `key` encrypts.
    pub fn create_cluster(&mut self, caller: &Caller, time: i64, key: &str) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "eks", "CreateCluster", time);
        let role_arn = format!("arn:aws:iam::{}:role/{}-cluster", self.cluster.account_id, self.cluster.name);
        let encryption = Json::array([object! {
            "resources": Json::array(["secrets"]),
            "provider": object! { "keyArn": key },
        }]);
        let network = object! { "subnetIds": Json::array(self.cluster.subnets.iter()) };
        draft.request = object! {
            "name": &self.cluster.name,
            "version": "1.33",
            "roleArn": &role_arn,
            "resourcesVpcConfig": &network,
            "encryptionConfig": &encryption,
            "clientRequestToken": self.ids.uuid(),
        };
        draft.response = object! {
            "cluster": object! {
                "name": &self.cluster.name,
                "arn": format!(
                    "arn:aws:eks:{}:{}:cluster/{}",
                    self.cluster.region, self.cluster.account_id, self.cluster.name
                ),
                "createdAt": iso(time),
                "version": "1.33",
                "roleArn": &role_arn,
                "resourcesVpcConfig": &network,
                "status": "CREATING",
                "encryptionConfig": &encryption,
            },
        };
        self.write(draft)
    }

    /// `CopyImage`: an AMI of our own, encrypted under `key`.
    pub fn copy_image(&mut self, caller: &Caller, time: i64, source: &str, key: &str) -> String {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "ec2", "CopyImage", time);
        let image_id = self.ids.ec2("ami");
        draft.request = object! {
            "sourceRegion": &self.cluster.region,
            "sourceImageId": source,
            "name": "golden-node-image",
            "encrypted": true,
            "kmsKeyId": key,
        };
        draft.response = object! {
            "requestId": draft.request_id.as_ref().expect("a call has a request id"),
            "imageId": &image_id,
        };
        self.write(draft);
        image_id
    }
}
