//! Whether a launch's volumes are under the expected key, and where each key came from.

use hashbrown::HashMap;

use super::case::{Confidence, DeviceKey, KeyOrigin, KeyVerdict, Volume, VolumeOutcome, VolumeRole};
use super::expectation::{Configured, Resolver, common_key};
use super::history::DefaultKey;
use super::key::{WrittenKey, is_same_key};
use super::key_use::{JoinedUse, SESSION_JOIN_SECONDS_MAX};
use super::kinds::{Kinds, at};
use super::launches::{Draft, Drafts};
use super::volumes::FoundVolume;
use crate::event::{Denial, Event, Text, Timestamp};

/// How far from a launch another node's read-only KMS events show that the trail records them, in seconds.
pub const RECORDING_SECONDS_MAX: i64 = 3_600;

/// When each account and region logged the GenerateDataKeyWithoutPlaintext of a launch, and when what trails record
/// was changed.
#[derive(Debug, Default)]
pub(super) struct RecordedKeyUse<'a> {
    uses: HashMap<(&'a str, &'a str), Vec<i64>>,
    /// Account -> when PutEventSelectors was called.
    selectors: HashMap<&'a str, Vec<i64>>,
}

impl<'a> RecordedKeyUse<'a> {
    pub(super) fn build(events: &'a [Box<Event>], kinds: &Kinds<'_>, drafts: &Drafts<'_>) -> Self {
        let mut recorded = Self::default();
        // Read from memory in vain where every node is known to have asked KMS for something.
        if !drafts.drafts.iter().any(|draft| may_be_unencrypted(draft)) {
            return recorded;
        }
        for draft in &drafts.drafts {
            for join in draft.key_uses.iter().filter(|join| is_of_launch(draft, join, events)) {
                let event = &events[join.event as usize];
                let place = (&*event.account_id, &*event.region);
                recorded.uses.entry(place).or_default().push(event.time.second());
            }
        }
        for seconds in recorded.uses.values_mut() {
            seconds.sort_unstable();
        }
        for (_, event) in at(events, &kinds.selectors).filter(|(_, event)| event.error.is_none()) {
            recorded.selectors.entry(&event.account_id).or_default().push(event.time.second());
        }
        recorded
    }

    /// Whether launches around `at` would have left their read-only KMS events in the archive.
    fn is_recording(&self, account_id: &str, region: &str, at: Timestamp) -> bool {
        let Some(seconds) = self.uses.get(&(account_id, region)) else {
            return false;
        };
        // What was recorded on one side of a change of the selectors says nothing of the other side.
        let changes = self.selectors.get(account_id).map_or(&[][..], Vec::as_slice);
        let before = changes.partition_point(|change| *change <= at.second());
        let earliest = changes[..before].last().copied().unwrap_or(i64::MIN);
        let latest = changes.get(before).copied().unwrap_or(i64::MAX);
        let from =
            seconds.partition_point(|second| *second < earliest.max(at.second() - RECORDING_SECONDS_MAX));
        seconds.get(from).is_some_and(|second| *second <= latest.min(at.second() + RECORDING_SECONDS_MAX))
    }
}

/// Whether the event is the data key of a volume that the node's launch made: a storage driver's says nothing of
/// what launches leave behind.
fn is_of_launch(draft: &Draft, join: &JoinedUse, events: &[Box<Event>]) -> bool {
    let is_of_session = || {
        let event = &events[join.event as usize];
        let is_soon = draft
            .node
            .launched_at
            .is_some_and(|launch| event.time.second() - launch.second() <= SESSION_JOIN_SECONDS_MAX);
        is_soon && draft.session(events).is_some_and(|session| event.identity.arn.as_ref() == Some(session))
    };
    join.is_data_key && (join.is_of_launch_request || is_of_session())
}

/// Where a key came from: the first origin that the evidence supports.
pub(super) fn origin_of(
    resolver: &Resolver<'_>,
    draft: &Draft,
    configured: &Configured,
    expected: &[DeviceKey],
    found: &FoundVolume,
) -> KeyOrigin {
    let Some(key) = &found.volume.key_arn else {
        return KeyOrigin::Unknown;
    };
    let is_key = |device: &DeviceKey| device.key.key_arn.as_ref().is_some_and(|arn| is_same_key(arn, key));
    let is_template_known = configured.mappings.is_some();
    // As of the launch: the launch template is what was configured then, the node class what is configured now.
    let named = match &configured.node_class_keys {
        _ if is_template_known => &configured.keys,
        Some(keys) => keys,
        None => expected,
    };
    let refused_source = is_refused_source(resolver, found);
    if named.iter().any(is_key) && !refused_source {
        return KeyOrigin::Configured;
    }
    if resolver.history.aws_managed(key).is_some() {
        return KeyOrigin::AwsManaged;
    }
    let node = &draft.node;
    let place = (node.account_id.clone(), node.region.clone());
    let at = node.launched_at;
    let default = at.and_then(|at| resolver.history.default_key(&place, at));
    let default_arn =
        default.and_then(|default| resolver.history.default_key_arn(&default.value, default.time.max(at?)));
    if default_arn.as_ref().is_some_and(|arn| is_same_key(arn, key)) {
        return KeyOrigin::AccountDefault;
    }
    let is_snapshot_key = refused_source
        || found.re_encrypted_from.as_ref().is_some_and(|source| is_same_key(source, key))
        || node.image_id.as_ref().is_some_and(|image| resolver.history.image_has_key(image, key).is_some());
    if is_snapshot_key {
        return KeyOrigin::AmiSnapshot;
    }
    if is_cluster_key(resolver, draft, key) {
        return KeyOrigin::ClusterSecrets;
    }
    // "Other" needs proof that it is none of the above; what the archive does not reach back to stays open.
    let is_configuration_resolved = is_template_known
        && named.iter().all(|device| device.key.written.is_none() || device.key.key_arn.is_some());
    let is_default_known = match default.map(|default| &default.value) {
        Some(DefaultKey::Key(_)) => default_arn.is_some(),
        // After a reset the default is the AWS managed key, which is known only where an event names it.
        Some(DefaultKey::AwsManaged) => resolver.history.aws_managed_key_of(&place).is_some(),
        None => false,
    };
    if is_configuration_resolved && is_default_known { KeyOrigin::Other } else { KeyOrigin::Unknown }
}

/// A refused ReEncrypt names the key that refused: the snapshot's, if the action is `kms:ReEncryptFrom`.
fn is_refused_source(resolver: &Resolver<'_>, found: &FoundVolume) -> bool {
    let Some(error) = found.refused_by.and_then(|event| resolver.events[event as usize].error.as_ref())
    else {
        return false;
    };
    Denial::parse(&error.code, &error.message).and_then(|denial| denial.action) == Some("kms:ReEncryptFrom")
}

/// The key that EKS was told to encrypt the cluster's secrets with, or the one whose alias the Terraform EKS
/// module reserves for that (`alias/eks/CLUSTER`).
fn is_cluster_key(resolver: &Resolver<'_>, draft: &Draft, key: &str) -> bool {
    let node = &draft.node;
    let at = node.launched_at;
    let is_told = resolver.history.cluster_keys().iter().any(|known| {
        let is_of_cluster = known.value.cluster.is_some() && known.value.cluster == node.cluster;
        let is_of_place = known.value.place == (node.account_id.clone(), node.region.clone());
        let arn = match &known.value.key {
            WrittenKey::Arn(arn) => Some(arn.clone()),
            alias @ WrittenKey::Alias { .. } => resolver
                .history
                .alias_target(alias, at.unwrap_or(known.time).max(known.time))
                .map(|found| found.value),
        };
        is_of_cluster
            && is_of_place
            && at.is_none_or(|at| known.time <= at)
            && arn.is_some_and(|arn| is_same_key(&arn, key))
    });
    if is_told {
        return true;
    }
    let (Some(cluster), Some(at)) = (&node.cluster, at) else {
        return false;
    };
    let alias = WrittenKey::read(&format!("alias/eks/{cluster}"), &node.account_id, &node.region);
    resolver.history.alias_target(&alias, at).is_some_and(|target| is_same_key(&target.value, key))
}

/// The verdict, and the volume that decides it (as an index).
pub(super) fn judge(
    draft: &Draft,
    volumes: &[Volume],
    expected: &[DeviceKey],
    recorded: &RecordedKeyUse<'_>,
) -> (KeyVerdict, Option<usize>) {
    let launch: Vec<usize> =
        (0..volumes.len()).filter(|index| volumes[*index].role == Some(VolumeRole::Launch)).collect();
    let first = launch.first().or(if volumes.is_empty() { None } else { Some(&0) }).copied();
    let Some(launched_at) = draft.node.launched_at else {
        return (KeyVerdict::Unknown, first);
    };
    if let Some(refused) = launch.iter().find(|index| volumes[**index].outcome != VolumeOutcome::Used) {
        return (KeyVerdict::Denied, Some(*refused));
    }
    if launch.is_empty() {
        // Without RunInstances its KMS events may be missing for the same reason.
        let is_unencrypted = may_be_unencrypted(draft)
            && volumes.iter().all(|volume| volume.role == Some(VolumeRole::AttachedLater))
            && recorded.is_recording(&draft.node.account_id, &draft.node.region, launched_at);
        return (if is_unencrypted { KeyVerdict::Unencrypted } else { KeyVerdict::Unknown }, first);
    }
    if launch.iter().any(|index| volumes[*index].key_arn.is_none()) {
        return (KeyVerdict::Unknown, first);
    }
    compare(&launch, volumes, expected)
}

/// Whether nothing of the node's own says that its launch made use of KMS, though it lived.
fn may_be_unencrypted(draft: &Draft) -> bool {
    draft.life.is_some()
        && draft.launch.is_some()
        && !draft.is_kms_asked
        && draft.key_uses.iter().all(|join| !join.is_of_launch_request)
}

/// Compares the launch's volumes, all of them with a known key, with the expected keys.
fn compare(launch: &[usize], volumes: &[Volume], expected: &[DeviceKey]) -> (KeyVerdict, Option<usize>) {
    let first = launch.first().copied();
    let named: Vec<&DeviceKey> = expected.iter().filter(|device| device.key.written.is_some()).collect();
    if named.is_empty() {
        return (KeyVerdict::NoExpectation, first);
    }
    let keys: Vec<&Text> = named.iter().filter_map(|device| device.key.key_arn.as_ref()).collect();
    if keys.len() < named.len() {
        return (KeyVerdict::Unknown, first);
    }
    let is_expected = |index: &usize, key: &Text| {
        volumes[*index].key_arn.as_ref().is_some_and(|used| is_same_key(used, key))
    };
    if common_key(expected).is_some() {
        if let Some(wrong) = launch.iter().find(|index| !is_expected(index, keys[0])) {
            return (KeyVerdict::Mismatch, Some(*wrong));
        }
        // A flag holds for any number of volumes; a launch template says how many there must be.
        let is_complete = named.iter().all(|device| device.device.is_none()) || launch.len() >= named.len();
        return (if is_complete { KeyVerdict::Match } else { KeyVerdict::Unknown }, first);
    }
    // CloudTrail does not say which volume is which device: pair volumes and keys off.
    let mut left: Vec<usize> = launch.to_vec();
    let mut unmet = 0;
    for key in &keys {
        match left.iter().position(|index| is_expected(index, key)) {
            Some(position) => {
                left.remove(position);
            }
            None => unmet += 1,
        }
    }
    let free = expected.len() - named.len();
    if left.len() > free {
        // More volumes are left over than mappings without a key could have made.
        (KeyVerdict::Mismatch, left.first().copied())
    } else if unmet == 0 {
        (KeyVerdict::Match, first)
    } else if launch.len() >= expected.len() {
        (KeyVerdict::Mismatch, left.first().copied().or(first))
    } else {
        (KeyVerdict::Unknown, first)
    }
}

/// The weakest join that the refusals of a launch rest on.
pub(super) fn refusal_confidence(volumes: &[Volume]) -> Confidence {
    volumes
        .iter()
        .filter(|volume| volume.role == Some(VolumeRole::Launch) && volume.outcome != VolumeOutcome::Used)
        .map(|volume| volume.confidence)
        .min()
        .unwrap_or_default()
}
