//! The rest of an account: reads, sessions, S3's use of KMS, Karpenter's own reads and dry runs.
//!
//! Nothing here belongs to a launch. It keeps the log steady and most of its records irrelevant, as in life.

use super::cluster::{Cluster, Era, NodePool};
use super::configuration::Caller;
use super::ec2::{self, Fleet};
use super::identity::{self, Role, Session};
use super::ids::Ids;
use super::incident::Incident;
use super::json::{Json, object};
use super::kms::{key_material, key_resource};
use super::record::{Draft, iso};

/// How much noise, from when to when.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// First Unix second.
    pub from: i64,
    /// Last Unix second.
    pub to: i64,
    /// Seconds between two bursts.
    pub every_seconds: i64,
    /// Whether KMS's part of it is logged.
    pub has_kms: bool,
    /// Whether read-only events are logged.
    pub has_read_only: bool,
}

impl Noise {
    /// A burst about every three minutes.
    pub fn steady(from: i64, to: i64) -> Self {
        Self { from, to, every_seconds: 170, has_kms: true, has_read_only: true }
    }

    /// The same without KMS events.
    pub fn without_kms(self) -> Self {
        Self { has_kms: false, ..self }
    }

    /// The same without read-only events.
    pub fn without_read_only(self) -> Self {
        Self { has_read_only: false, ..self }
    }
}

impl Incident {
    /// Fills a span of time with ordinary records.
    pub fn make_noise(&mut self, noise: Noise) {
        let account_id = self.cluster.account_id.clone();
        let application = Role::new(&mut self.ids, &account_id, "orders-service");
        let bucket_key = self.key();
        let mut time = noise.from;
        let mut turn = 0_u64;
        while time <= noise.to {
            if !noise.has_read_only {
                let draft = report_instance(&mut self.ids, &self.cluster, time);
                self.write(draft);
                time += noise.every_seconds;
                continue;
            }
            let draft = self.describe(time, turn);
            self.write(draft);
            let second = time + 1 + i64::try_from(self.ids.below(90)).expect("small");
            let draft = match turn % 5 {
                0 => assume_role(&mut self.ids, &self.cluster, &application, second),
                1 if noise.has_kms => {
                    s3_data_key(&mut self.ids, &self.cluster, &application, &bucket_key, second)
                }
                2 => get_caller_identity(&mut self.ids, &self.cluster, second),
                3 if noise.has_kms => {
                    s3_decrypt(&mut self.ids, &self.cluster, &application, &bucket_key, second)
                }
                4 => report_instance(&mut self.ids, &self.cluster, second),
                _ => list_buckets(&mut self.ids, &self.cluster, &application, second),
            };
            self.write(draft);
            turn += 1;
            time += noise.every_seconds;
        }
    }

    /// One of the reads that a controller makes all the time.
    fn describe(&mut self, time: i64, turn: u64) -> Draft {
        let (name, request) = match turn % 3 {
            0 => (
                "DescribeInstances",
                object! {
                    "instancesSet": object! {},
                    "filterSet": object! {
                        "items": Json::array([
                            filter("tag-key", "karpenter.sh/nodepool"),
                            filter("tag:eks:eks-cluster-name", &self.cluster.name),
                            filter("instance-state-name", "running"),
                        ]),
                    },
                },
            ),
            1 => (
                "DescribeLaunchTemplates",
                object! {
                    "DescribeLaunchTemplatesRequest": object! {
                        "Filter": object! {
                            "Name": "tag:karpenter.k8s.aws/cluster",
                            "tag": 1,
                            "Value": object! { "tag": 1, "content": &self.cluster.name },
                        },
                    },
                },
            ),
            _ => (
                "DescribeSubnets",
                object! {
                    "filterSet": object! {
                        "items": Json::array([filter("tag:karpenter.sh/discovery", &self.cluster.name)]),
                    },
                    "subnetSet": object! {},
                },
            ),
        };
        let mut draft = if self.cluster.era == Era::NodeGroup {
            let caller = Caller::script_of_user(&mut self.ids, &self.cluster, "inventory");
            caller.call(&mut self.ids, &self.cluster, "ec2", name, time)
        } else {
            ec2::controller_call(&mut self.ids, &self.cluster, "ec2", name, time)
        };
        draft.request = request;
        draft.is_read_only = true;
        draft
    }

    /// Karpenter checks a node class: dry runs that would succeed.
    pub fn dry_run(&mut self, time: i64, nodeclass: &str) {
        let template = self.unrecorded_template("/dev/xvda");
        let pool = NodePool::new("", nodeclass);
        let fleet =
            Fleet { capacity_type: "on-demand", capacity: 1, types: &["m6i.xlarge"], is_dry_run: true };
        let mut draft = ec2::create_fleet(&mut self.ids, &self.cluster, time, &pool, &template, &fleet);
        refuse_as_dry_run(&mut draft);
        self.write(draft);

        let mut draft = ec2::controller_call(&mut self.ids, &self.cluster, "ec2", "RunInstances", time);
        draft.request = object! {
            "instancesSet": object! {
                "items": Json::array([object! {
                    "imageId": &template.image_id,
                    "minCount": 1,
                    "maxCount": 1,
                }]),
            },
            "instanceType": "m6i.xlarge",
            "blockDeviceMapping": object! {},
            "monitoring": object! { "enabled": false },
            "subnetId": ec2::subnet(&self.cluster, 'a'),
            "disableApiTermination": false,
            "disableApiStop": false,
            "clientToken": self.ids.uuid(),
        };
        refuse_as_dry_run(&mut draft);
        self.write(draft);
    }
}

fn refuse_as_dry_run(draft: &mut Draft) {
    draft.response = Json::null();
    draft.error = Some((
        "Client.DryRunOperation".to_owned(),
        "Request would have succeeded, but DryRun flag is set.".to_owned(),
    ));
}

fn filter(name: &str, value: &str) -> Json {
    object! {
        "name": name,
        "valueSet": object! { "items": Json::array([object! { "value": value }]) },
    }
}

fn in_cluster(draft: &mut Draft, cluster: &Cluster) {
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
}

fn assume_role(ids: &mut Ids, cluster: &Cluster, role: &Role, time: i64) -> Draft {
    let mut draft = Draft::call(ids, "sts", "AssumeRole", time);
    in_cluster(&mut draft, cluster);
    draft.identity = identity::service("ec2.amazonaws.com");
    draft.made_by_service("ec2.amazonaws.com");
    let session_name = ids.ec2("i");
    draft.request = object! { "roleArn": role.arn(), "roleSessionName": &session_name };
    draft.response = object! {
        "credentials": object! {
            "accessKeyId": format!("ASIA{}", ids.capitals(16)),
            "sessionToken": "<sensitiveDataRemoved>",
            "expiration": iso(time + 6 * 3600),
        },
    };
    draft.is_read_only = true;
    draft.shared_event_id = Some(ids.uuid());
    draft.resources = Some(Json::array([object! {
        "accountId": &cluster.account_id,
        "type": "AWS::IAM::Role",
        "ARN": role.arn(),
    }]));
    draft
}

fn get_caller_identity(ids: &mut Ids, cluster: &Cluster, time: i64) -> Draft {
    let caller = Caller::script_of_user(ids, cluster, "deploy-bot");
    let mut draft = caller.call(ids, cluster, "sts", "GetCallerIdentity", time);
    draft.is_read_only = true;
    draft
}

fn list_buckets(ids: &mut Ids, cluster: &Cluster, role: &Role, time: i64) -> Draft {
    let session = Session::new(ids, role, "orders", time - 600);
    let mut draft = Draft::call(ids, "s3", "ListBuckets", time);
    in_cluster(&mut draft, cluster);
    draft.identity = session.identity();
    "10.20.4.17".clone_into(&mut draft.source_ip);
    "[aws-sdk-java/2.31.50 ua/2.1 os/Linux lang/java#21.0.7 md/OpenJDK_64-Bit_Server_VM md/vendor#Amazon.com_Inc.]"
        .clone_into(&mut draft.user_agent);
    draft.request = object! { "Host": format!("s3.{}.amazonaws.com", cluster.region) };
    draft.additional = Some(object! {
        "SignatureVersion": "SigV4",
        "CipherSuite": "TLS_AES_128_GCM_SHA256",
        "bytesTransferredIn": 0,
        "AuthenticationMethod": "AuthHeader",
        "bytesTransferredOut": 1472,
    });
    draft.is_read_only = true;
    draft
}

/// The Systems Manager agent of a server reports itself: a write that every account logs all day.
fn report_instance(ids: &mut Ids, cluster: &Cluster, time: i64) -> Draft {
    let role = Role::new(ids, &cluster.account_id, "bastion");
    let instance_id = ids.ec2("i");
    let session = Session::new(ids, &role, &instance_id, time - 1200);
    let mut draft = Draft::call(ids, "ssm", "UpdateInstanceInformation", time);
    in_cluster(&mut draft, cluster);
    draft.identity = session.identity();
    "198.51.100.130".clone_into(&mut draft.source_ip);
    "aws-sdk-go/1.55.5 (go1.24.4; linux; amd64) amazon-ssm-agent/3.3.2471.0"
        .clone_into(&mut draft.user_agent);
    draft.request = object! {
        "instanceId": &instance_id,
        "agentVersion": "3.3.2471.0",
        "agentStatus": "Active",
        "platformType": "Linux",
        "platformName": "Amazon Linux",
        "platformVersion": "2023",
        "iPAddress": "10.0.8.21",
        "computerName": "ip-10-0-8-21.internal",
        "agentName": "amazon-ssm-agent",
    };
    draft
}

fn s3_call(ids: &mut Ids, cluster: &Cluster, role: &Role, name: &str, key: &str, time: i64) -> Draft {
    let session = Session::new(ids, role, "orders", time - 600);
    let mut draft = Draft::call(ids, "kms", name, time);
    in_cluster(&mut draft, cluster);
    draft.identity = session.identity_through("AWS Internal");
    draft.made_by_service("AWS Internal");
    draft.is_internal = true;
    draft.is_read_only = true;
    draft.additional = Some(object! { "keyMaterialId": key_material(key) });
    draft.resources = Some(Json::array([key_resource(key)]));
    draft
}

fn s3_data_key(ids: &mut Ids, cluster: &Cluster, role: &Role, key: &str, time: i64) -> Draft {
    let mut draft = s3_call(ids, cluster, role, "GenerateDataKey", key, time);
    draft.request = object! {
        "keySpec": "AES_256",
        "encryptionContext": object! { "aws:s3:arn": "arn:aws:s3:::orders-archive" },
        "keyId": key,
    };
    draft
}

fn s3_decrypt(ids: &mut Ids, cluster: &Cluster, role: &Role, key: &str, time: i64) -> Draft {
    let mut draft = s3_call(ids, cluster, role, "Decrypt", key, time);
    draft.request = object! {
        "encryptionContext": object! { "aws:s3:arn": "arn:aws:s3:::orders-archive" },
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
    };
    draft
}
