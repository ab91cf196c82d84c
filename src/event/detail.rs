//! What each kind of event says beyond the fields that all records have.

use super::Text;

/// The part of a record that depends on its event name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// EC2 `CreateLaunchTemplate` or `CreateLaunchTemplateVersion`.
    LaunchTemplate(Box<LaunchTemplate>),
    /// EC2 `ModifyLaunchTemplate`: the template's default version changes.
    LaunchTemplateDefault(Box<LaunchTemplateDefault>),
    /// EC2 `CreateFleet`.
    Fleet(Box<FleetLaunch>),
    /// EC2 `RunInstances`.
    Launch(Box<Launch>),
    /// EC2 `CreateTags`.
    Tagging {
        /// Ids of the tagged resources.
        resources: Box<[Text]>,
        /// The tags that matter here.
        tags: Box<NodeTags>,
    },
    /// EC2 `TerminateInstances`.
    Termination(Vec<InstanceState>),
    /// EC2 `StopInstances`.
    Stop(Vec<InstanceState>),
    /// EC2 `StartInstances`.
    Start(Vec<InstanceState>),
    /// EC2 `BidEvictedEvent`: spot instances taken back.
    SpotInterruption(Vec<Text>),
    /// EC2 `DeleteNetworkInterface`.
    NetworkInterfaceDeletion {
        /// Interface id.
        network_interface_id: Option<Text>,
    },
    /// Auto Scaling `TerminateInstanceInAutoScalingGroup`.
    AutoScalingTermination {
        /// Instance id.
        instance_id: Option<Text>,
    },
    /// EC2 `EnableEbsEncryptionByDefault`, `DisableEbsEncryptionByDefault`, `ModifyEbsDefaultKmsKeyId`,
    /// `ResetEbsDefaultKmsKeyId`.
    EbsDefault(EbsDefault),
    /// EC2 `RegisterImage`, `CopyImage`, `CreateImage`, `CopySnapshot`.
    ImageCopy(Box<ImageCopy>),
    /// EC2 `CreateVolume`, `AttachVolume`, `SharedSnapshotVolumeCreated`.
    Volume(VolumeChange),
    /// KMS cryptographic operations and grants: the use of a key.
    Kms(Box<KmsUse>),
    /// KMS `PutKeyPolicy`, or `CreateKey` with the policy it was made with.
    Policy(Box<PolicyChange>),
    /// KMS `CreateAlias`, `UpdateAlias`, `DeleteAlias`.
    Alias(AliasChange),
    /// KMS `EnableKey`, `DisableKey`, `ScheduleKeyDeletion`, `CancelKeyDeletion`, `DeleteKey`,
    /// `DeleteImportedKeyMaterial`, `ImportKeyMaterial`.
    KeyState(Box<KeyStateChange>),
    /// EKS `CreateCluster` or `AssociateEncryptionConfig` with the key of the cluster's secrets.
    ClusterSecrets {
        /// Cluster name.
        cluster: Option<Text>,
        /// Key ARN as given.
        key: Option<Text>,
    },
    /// CloudTrail `PutEventSelectors`.
    Selectors(EventSelectors),
}

/// A launch template, or a version of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaunchTemplate {
    /// Template id, from the response.
    pub template_id: Option<Text>,
    /// Template name.
    pub name: Option<Text>,
    /// The version made: 1 for `CreateLaunchTemplate`.
    pub version: Option<u64>,
    /// For a new version: the version whose unnamed parameters it takes over.
    pub source_version: Option<Text>,
    /// AMI.
    pub image_id: Option<Text>,
    /// Block device mappings; `None` when the request has no such parameter (or CloudTrail left it out).
    pub mappings: Option<Vec<BlockDevice>>,
    /// Whether the request was a dry run.
    pub dry_run: bool,
}

/// Which version of a launch template is used where none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaunchTemplateDefault {
    /// Template id.
    pub template_id: Option<Text>,
    /// Template name.
    pub name: Option<Text>,
    /// The new default version.
    pub default_version: Option<u64>,
}

/// One block device mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockDevice {
    /// Device name, such as `/dev/xvda`.
    pub device: Option<Text>,
    /// `Encrypted`.
    pub encrypted: Option<bool>,
    /// `KmsKeyId` as written: key id, key ARN, alias or alias ARN.
    pub kms_key: Option<Text>,
    /// `SnapshotId`.
    pub snapshot_id: Option<Text>,
    /// Whether the mapping is of an EBS volume (not `VirtualName`, not `NoDevice`).
    pub is_ebs: bool,
}

/// `CreateFleet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetLaunch {
    /// Fleet id, from the response.
    pub fleet_id: Option<Text>,
    /// Instances made.
    pub instances: Vec<FleetInstance>,
    /// Errors of the response, one per code and message, with how often each occurs.
    pub errors: Vec<FleetError>,
    /// `DefaultTargetCapacityType` as logged: `spot` or `on-demand`.
    pub capacity_type: Option<Text>,
    /// Tags of the request.
    pub tags: NodeTags,
    /// Launch templates that the request names.
    pub launch_templates: Vec<NamedTemplate>,
    /// Whether the request was a dry run.
    pub dry_run: bool,
}

/// A launch template as a request names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedTemplate {
    /// Template id.
    pub id: Option<Text>,
    /// Template name.
    pub name: Option<Text>,
    /// Version as written: a number, `$Latest` or `$Default`.
    pub version: Option<Text>,
}

/// An instance of a `CreateFleet` response.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetInstance {
    /// Instance id.
    pub instance_id: Text,
    /// Instance type.
    pub instance_type: Option<Text>,
    /// `spot` or `on-demand`.
    pub lifecycle: Option<Text>,
    /// Launch template id used.
    pub template_id: Option<Text>,
    /// Launch template version used.
    pub template_version: Option<Text>,
    /// Availability zone.
    pub availability_zone: Option<Text>,
    /// AMI of the override.
    pub image_id: Option<Text>,
}

/// An error of a `CreateFleet` response.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetError {
    /// Code as logged.
    pub code: Text,
    /// Message of the first error with this code.
    pub message: Text,
    /// How often the code occurs.
    pub count: u64,
}

/// `RunInstances`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Launch {
    /// Instances made.
    pub instances: Vec<LaunchedInstance>,
    /// `clientToken`.
    pub client_token: Option<Text>,
    /// Launch template id.
    pub template_id: Option<Text>,
    /// Launch template name.
    pub template_name: Option<Text>,
    /// Launch template version as written: a number, `$Latest` or `$Default`.
    pub template_version: Option<Text>,
    /// Availability zone of the request.
    pub availability_zone: Option<Text>,
    /// Instance type of the request.
    pub instance_type: Option<Text>,
    /// AMI of the request.
    pub image_id: Option<Text>,
    /// Whether the request asks for spot capacity.
    pub is_spot: bool,
    /// Tags of the request.
    pub tags: NodeTags,
    /// Whether the request was a dry run.
    pub dry_run: bool,
}

/// An instance of a `RunInstances` response.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaunchedInstance {
    /// Instance id.
    pub instance_id: Text,
    /// AMI.
    pub image_id: Option<Text>,
    /// Instance type.
    pub instance_type: Option<Text>,
    /// Availability zone.
    pub availability_zone: Option<Text>,
    /// Private DNS name: the node's name unless the subnet names nodes by resource.
    pub private_dns_name: Option<Text>,
    /// Whether the node's name is the instance id (`hostnameType: resource-name`).
    pub is_named_by_resource: bool,
    /// `instanceLifecycle`: `spot`, or absent.
    pub lifecycle: Option<Text>,
    /// `rootDeviceName`: the AMI's, such as `/dev/xvda`.
    pub root_device: Option<Text>,
    /// Whether the root device is on instance store (`rootDeviceType`), so that the image brings no EBS volume.
    pub has_instance_store_root: bool,
    /// Tags of the instance.
    pub tags: NodeTags,
}

/// The tags of an instance that say what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTags {
    /// `Name`.
    pub name: Option<Text>,
    /// `eks:eks-cluster-name`, else the suffix of `kubernetes.io/cluster/…`, else
    /// `karpenter.sh/managed-by`.
    pub cluster: Option<Text>,
    /// `karpenter.sh/nodepool`, `eks:kubernetes-node-pool-name`, or `karpenter.sh/provisioner-name` of
    /// old versions.
    pub nodepool: Option<Text>,
    /// `karpenter.k8s.aws/ec2nodeclass` or `eks:kubernetes-node-class-name`.
    pub nodeclass: Option<Text>,
    /// `karpenter.sh/nodeclaim`.
    pub nodeclaim: Option<Text>,
    /// `aws:ec2:fleet-id`.
    pub fleet_id: Option<Text>,
    /// `aws:ec2launchtemplate:id`.
    pub template_id: Option<Text>,
    /// `aws:ec2launchtemplate:version`.
    pub template_version: Option<Text>,
    /// `aws:autoscaling:groupName`.
    pub auto_scaling_group: Option<Text>,
    /// Whether a tag says that EKS Auto Mode made the instance.
    pub is_auto_mode: bool,
    /// Whether a tag key of Karpenter is present, even with an empty value.
    pub is_karpenter: bool,
}

/// An instance in the request or response of `TerminateInstances` and its like.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceState {
    /// Instance id.
    pub instance_id: Text,
    /// `previousState.name`: `running`, `pending`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub previous: Option<Text>,
}

/// A change of the account's EBS defaults in one region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EbsDefault {
    /// Encryption by default was switched on or off.
    Encryption(bool),
    /// The default key was set to this key, as the response (else the request) names it.
    Key(Option<Text>),
    /// The default key was reset to the AWS managed key, which the response may name.
    Reset(Option<Text>),
}

/// How an AMI or snapshot came to its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageCopy {
    /// AMI made, if one was.
    pub image_id: Option<Text>,
    /// Snapshot made, if one was.
    pub snapshot_id: Option<Text>,
    /// AMI copied from.
    pub source_image_id: Option<Text>,
    /// Snapshots copied from, or that a registered AMI's mappings name.
    pub source_snapshot_ids: Vec<Text>,
    /// Key named in the request, as written.
    pub kms_key: Option<Text>,
    /// Whether the request asks for encryption.
    pub encrypted: Option<bool>,
}

/// A volume made or attached outside of a launch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeChange {
    /// `CreateVolume`.
    Created {
        /// Volume id; `None` if the call failed.
        volume_id: Option<Text>,
        /// Key named, as written.
        kms_key: Option<Text>,
        /// Snapshot it was made from.
        snapshot_id: Option<Text>,
    },
    /// `AttachVolume`.
    Attached {
        /// Volume id.
        volume_id: Option<Text>,
        /// Instance id.
        instance_id: Option<Text>,
    },
    /// `SharedSnapshotVolumeCreated`, in the snapshot owner's account.
    FromSharedSnapshot {
        /// Snapshot id.
        snapshot_id: Option<Text>,
    },
}

/// KMS operations that use a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KmsOperation {
    /// `GenerateDataKeyWithoutPlaintext`: EBS makes a volume's data key.
    GenerateDataKeyWithoutPlaintext,
    /// `GenerateDataKey`.
    GenerateDataKey,
    /// `CreateGrant`.
    CreateGrant,
    /// `ReEncrypt`: from an encrypted snapshot's key to the volume's key.
    ReEncrypt,
    /// `Decrypt`: a volume is opened.
    Decrypt,
    /// `DescribeKey`.
    DescribeKey,
    /// `RetireGrant`.
    RetireGrant,
    /// `RevokeGrant`.
    RevokeGrant,
}

/// The use of a key, a grant on it, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KmsUse {
    /// Which operation.
    pub operation: KmsOperation,
    /// `requestParameters.keyId` (or `destinationKeyId`) as written; may be an alias.
    pub requested_key: Option<Text>,
    /// ARN of the key used: from `resources` (the last for `ReEncrypt`), else from the response, else,
    /// for a refusal, from the message.
    pub key_arn: Option<Text>,
    /// For `ReEncrypt`: ARN of the snapshot's key.
    pub source_key_arn: Option<Text>,
    /// Volume of the encryption context.
    pub volume_id: Option<Text>,
    /// Snapshot of the (source) encryption context.
    pub snapshot_id: Option<Text>,
    /// Instance that a grant is for.
    pub grantee_instance_id: Option<Text>,
    /// Grantee as written.
    pub grantee: Option<Text>,
    /// Grant made, retired or revoked.
    pub grant_id: Option<Text>,
}

/// A key policy put in place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyChange {
    /// Key ARN if known, else the key id as written.
    pub key: Option<Text>,
    /// The policy document as logged; `None` where the record has none (the default policy, or left out).
    pub policy: Option<Box<str>>,
    /// Whether this is `CreateKey`.
    pub is_creation: bool,
    /// Description given to a new key.
    pub description: Option<Text>,
}

/// A change of an alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AliasChange {
    /// Alias name, with `alias/`.
    pub alias: Text,
    /// Key that the alias now points to: ARN if known, else as written; `None` when the alias was deleted.
    pub target: Option<Text>,
    /// Whether the alias was deleted.
    pub is_deletion: bool,
}

/// A change of a key's state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyStateChange {
    /// Key ARN if known, else the key id as written.
    pub key: Option<Text>,
    /// The state that the change leads to: `enabled`, `disabled`, `pending-deletion`, `deleted` or
    /// `pending-import`.
    pub state: &'static str,
    /// Day of deletion as logged, for a scheduled deletion.
    pub deletion_date: Option<Text>,
}

/// What a trail was told to record.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventSelectors {
    /// Trail name or ARN.
    pub trail: Option<Text>,
    /// Whether KMS events are excluded.
    pub excludes_kms: bool,
    /// Whether read-only events are left out.
    pub write_only: bool,
    /// Whether no management events are recorded at all.
    pub no_management_events: bool,
}
