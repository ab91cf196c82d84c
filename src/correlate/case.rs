//! The case: what the evidence says about every node, failed launch and key. The fields of [`Node`],
//! [`LaunchFailure`] and [`KeySummary`] are those of the JSON output, with the same names.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{Coverage, Event, Id, Origin, Text, Timestamp};

/// Everything found out. Byte for byte the same for any order or split of the input.
#[derive(Debug, Default)]
pub struct Case {
    /// The evidence, sorted by time, causal rank and event id.
    pub events: Vec<Box<Event>>,
    /// What was read and what was lost.
    pub coverage: Coverage,
    /// Nodes, sorted by launch time, account, region and instance id.
    pub nodes: Vec<Node>,
    /// Launches that made no instance, sorted by time, event id and code.
    pub launch_failures: Vec<LaunchFailure>,
    /// Keys that launches used or were refused, sorted by ARN.
    pub keys: Vec<KeySummary>,
    /// What was configured when.
    pub history: super::History,
    /// Refusals of calls that EC2 made for launches and that no node could be found for, as indices into
    /// `events`.
    pub unjoined_refusals: Vec<u32>,
}

/// One instance, from its launch to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Node {
    /// EC2 instance id.
    pub instance_id: Text,
    /// Kubernetes node name: the instance's private DNS name, or its id where the subnet names nodes so.
    pub node_name: Option<Text>,
    /// Account of the instance.
    pub account_id: Text,
    /// Region of the instance.
    pub region: Text,
    /// Availability zone.
    pub availability_zone: Option<Text>,
    /// Instance type.
    pub instance_type: Option<Text>,
    /// AMI.
    pub image_id: Option<Text>,
    /// Spot or on-demand.
    pub capacity_type: Option<CapacityType>,
    /// What launched it.
    pub provisioner: Provisioner,
    /// Version in Karpenter's user agent, as written there.
    pub karpenter_version: Option<Text>,
    /// Cluster name.
    pub cluster: Option<Text>,
    /// NodePool (or Provisioner of old versions).
    pub nodepool: Option<Text>,
    /// EC2NodeClass.
    pub nodeclass: Option<Text>,
    /// NodeClaim: tagged only once the node registered.
    pub nodeclaim: Option<Text>,
    /// EC2 Fleet.
    pub fleet_id: Option<Text>,
    /// Launch template.
    pub launch_template: Option<LaunchTemplateRef>,
    /// Who launched it: the role's ARN for an assumed role, else the identity's ARN or service name.
    pub principal_arn: Option<Text>,
    /// Time of the launch; `null` if the archive does not hold it.
    pub launched_at: Option<Timestamp>,
    /// Time of the end; `null` if the archive does not show one.
    pub ended_at: Option<Timestamp>,
    /// The key that the node should use, where all of its devices should use the same.
    pub expected_key: Option<ExpectedKey>,
    /// The expected key of each block device mapping.
    pub expected_keys: Vec<DeviceKey>,
    /// The keys that the launch template named at launch, where the node class of today names others.
    #[serde(skip)]
    pub template_keys: Vec<DeviceKey>,
    /// Volumes, sorted by role, id and key.
    pub volumes: Vec<Volume>,
    /// Keys of the launch volumes whose outcome is `used`.
    pub used_keys: Vec<Text>,
    /// Whether the launch's volumes are under the expected key.
    pub key_verdict: KeyVerdict,
    /// Where the deciding key came from: the refused one, else one that is not as expected, else the used one.
    pub key_origin: KeyOrigin,
    /// How it ended; `null` if the archive does not show an end.
    pub termination: Option<Termination>,
    /// Its events, as indices into [`Case::events`].
    #[serde(skip)]
    pub timeline: Vec<TimelineRef>,
}

/// A launch template and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LaunchTemplateRef {
    /// Template id.
    pub id: Text,
    /// Version as logged.
    pub version: Option<Text>,
}

/// Spot or on-demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityType {
    /// Spot.
    Spot,
    /// On-demand.
    OnDemand,
}

/// What launched an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioner {
    /// The customer's own Karpenter.
    Karpenter,
    /// EKS Auto Mode: Karpenter run by AWS.
    EksAutoMode,
    /// An Auto Scaling group (managed node groups too).
    Autoscaling,
    /// Anything else.
    #[default]
    Other,
}

/// The key that was configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExpectedKey {
    /// As written: key id, key ARN, alias or alias ARN; `null` where the configuration names no key.
    pub written: Option<Text>,
    /// The key's ARN; `null` for an alias that neither the archive nor `--alias` resolves.
    pub key_arn: Option<Text>,
    /// Where the expectation comes from.
    pub source: KeySource,
    /// Events that say so (the launch template, the alias's history).
    pub evidence: Vec<Id>,
}

/// The expected key of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeviceKey {
    /// Device name; `null` for a key given by a flag, which holds for all devices.
    pub device: Option<Text>,
    /// The key.
    #[serde(flatten)]
    pub key: ExpectedKey,
}

/// Where an expectation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// `--expect-key`.
    Flag,
    /// A node class manifest given by the user.
    NodeClass,
    /// The launch template in the archive.
    LaunchTemplate,
}

/// One EBS volume of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Volume {
    /// Volume id; `null` where no event says it: KMS logs none with a refusal, and CloudTrail may leave it out.
    pub volume_id: Option<Text>,
    /// ARN of the key used, or of the key refused; `null` where no event names it, or two name different ones.
    pub key_arn: Option<Text>,
    /// Where the key came from.
    pub key_origin: KeyOrigin,
    /// Made by the launch, or attached later; `null` where the archive does not show the launch.
    pub role: Option<VolumeRole>,
    /// What happened.
    pub outcome: VolumeOutcome,
    /// Events that say so.
    pub evidence: Vec<Id>,
    /// How the volume's events were joined to this node.
    #[serde(skip)]
    pub confidence: Confidence,
}

/// Part of the launch or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeRole {
    /// Made by the launch.
    Launch,
    /// Attached afterwards (a persistent volume).
    AttachedLater,
}

/// What happened with a volume's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeOutcome {
    /// KMS used the key for the volume.
    Used,
    /// KMS refused for want of permission.
    Denied,
    /// KMS refused for the key's state.
    Failed,
}

/// Whether a launch's volumes are under the expected key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyVerdict {
    /// Every volume is under the expected key.
    Match,
    /// Some volume is under another key.
    Mismatch,
    /// KMS refused a key at launch.
    Denied,
    /// The key is known, but nothing to compare it with.
    NoExpectation,
    /// The launch made no use of KMS, in an archive that shows other launches' use of it.
    Unencrypted,
    /// KMS evidence is missing, or an alias cannot be resolved.
    #[default]
    Unknown,
}

/// Where a key came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrigin {
    /// The launch template, or where that is not known the node class, names it.
    Configured,
    /// `alias/aws/ebs`.
    AwsManaged,
    /// A customer key that is the account's default for EBS.
    AccountDefault,
    /// The key of the AMI's snapshot.
    AmiSnapshot,
    /// The EKS cluster's key for secrets.
    ClusterSecrets,
    /// None of these.
    Other,
    /// The archive does not say.
    #[default]
    Unknown,
}

/// How sure a statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The cited events say it.
    #[default]
    Observed,
    /// The cited events suggest it.
    Inferred,
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Termination {
    /// Why.
    pub cause: TerminationCause,
    /// When.
    pub at: Timestamp,
    /// Who: the identity of the decisive event.
    pub actor: Option<Text>,
    /// How sure.
    pub confidence: Confidence,
    /// Events that say so.
    pub evidence: Vec<Id>,
}

/// Why a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TerminationCause {
    /// KMS refused a key for want of permission.
    KmsDenied,
    /// KMS refused a key for its state.
    KmsKeyUnusable,
    /// EC2 took spot capacity back.
    SpotInterruption,
    /// Karpenter ended a node that never registered.
    RegistrationTimeout,
    /// Karpenter ended it; CloudTrail does not hold the reason.
    TerminatedByKarpenter,
    /// Auto Scaling ended it.
    TerminatedByAutoscaling,
    /// Another principal ended it.
    TerminatedByPrincipal,
    /// EC2 gave the launch up.
    LaunchAborted,
}

/// A launch that made no instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LaunchFailure {
    /// When.
    pub at: Timestamp,
    /// Account.
    pub account_id: Text,
    /// Region.
    pub region: Text,
    /// The event.
    pub event_id: Id,
    /// `CreateFleet` or `RunInstances`.
    pub event_name: Text,
    /// Who tried.
    pub principal_arn: Option<Text>,
    /// Cluster name.
    pub cluster: Option<Text>,
    /// NodePool.
    pub nodepool: Option<Text>,
    /// EC2NodeClass.
    pub nodeclass: Option<Text>,
    /// Code without `Client.` or `Server.`.
    pub error_code: Text,
    /// Message.
    pub error_message: Option<Text>,
    /// How often the event holds this code.
    pub count: u64,
    /// What tried.
    #[serde(skip)]
    pub provisioner: Provisioner,
}

/// One key, over all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeySummary {
    /// ARN.
    pub key_arn: Text,
    /// Account that owns it.
    pub account_id: Option<Text>,
    /// Region.
    pub region: Option<Text>,
    /// Aliases that point to it at the end of the archive.
    pub aliases: Vec<Text>,
    /// Nodes whose launch used it or was refused it.
    pub nodes: u64,
    /// Volumes under it.
    pub volumes: u64,
    /// Refusals.
    pub denials: u64,
    /// Principals that used it or were refused it for a node.
    pub principals: Vec<Text>,
    /// First use for a node.
    pub first_used: Option<Timestamp>,
    /// Last use for a node.
    pub last_used: Option<Timestamp>,
    /// State at the end of the archive; `null` if nothing says.
    pub state: Option<KeyState>,
}

/// State of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Usable.
    Enabled,
    /// Disabled.
    Disabled,
    /// Waiting for its deletion.
    PendingDeletion,
    /// Deleted.
    Deleted,
    /// Without key material.
    PendingImport,
}

/// One entry of a node's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineRef {
    /// Index into [`Case::events`].
    pub event: u32,
    /// What the event is for the node.
    pub role: TimelineRole,
    /// How the event was joined to the node.
    pub confidence: Confidence,
}

/// What an event is for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimelineRole {
    /// Says which key was configured (launch template, alias).
    Configuration,
    /// Asked for capacity.
    Fleet,
    /// Made the instance.
    Launch,
    /// Used a key for a volume.
    KeyUse,
    /// Granted the use of a key.
    Grant,
    /// Opened a volume.
    VolumeOpened,
    /// Was refused by KMS.
    Refusal,
    /// Was throttled by KMS.
    Throttled,
    /// Tagged the instance: the node registered.
    Registration,
    /// Attached a volume.
    VolumeAttached,
    /// Retired or revoked a grant.
    GrantEnded,
    /// Stopped or started the instance.
    StateChange,
    /// EC2 cleaned up after a launch.
    Cleanup,
    /// Ended the instance.
    End,
    /// Tried to end the instance and failed, or came too late.
    EndAttempt,
}

/// One entry of a node's timeline, as reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimelineEntry {
    /// When.
    pub time: Timestamp,
    /// The event.
    pub event_id: Id,
    /// Service.
    pub event_source: Text,
    /// API call.
    pub event_name: Text,
    /// What the event is for the node.
    pub role: TimelineRole,
    /// One sentence.
    pub summary: String,
    /// Error code as logged.
    pub error_code: Option<Text>,
    /// Where it was read.
    pub origin: Origin,
}
