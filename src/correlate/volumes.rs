//! A node's volumes: which key each is under, or was refused, and whether the launch made it.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::case::{Confidence, TimelineRef, TimelineRole, Volume, VolumeOutcome, VolumeRole};
use super::key::is_same_key;
use super::key_use::{JoinedUse, SESSION_JOIN_SECONDS_MAX, UseResult, refusal_of, result_of};
use super::kinds::{Kinds, at};
use super::launches::Draft;
use crate::event::{Detail, Event, Id, KmsOperation, KmsUse, Text, Timestamp, VolumeChange};

/// Calls that are no launch, by what they say of volumes.
#[derive(Debug, Default)]
pub(super) struct LaterVolumes<'a> {
    /// Volumes made by CreateVolume.
    created: HashSet<&'a Text>,
    /// Request ids of AttachVolume.
    attachments: HashSet<&'a Id>,
    /// Request ids of StartInstances.
    starts: HashSet<&'a Id>,
}

impl<'a> LaterVolumes<'a> {
    pub(super) fn build(events: &'a [Box<Event>], kinds: &Kinds<'_>) -> Self {
        let mut later = Self::default();
        for (_, event) in at(events, &kinds.volumes) {
            match &event.detail {
                Detail::Volume(VolumeChange::Created { volume_id, .. }) => later.created.extend(volume_id),
                Detail::Volume(VolumeChange::Attached { .. }) => later.attachments.extend(&event.request_id),
                Detail::Start(_) => later.starts.extend(&event.request_id),
                _ => {}
            }
        }
        later
    }
}

/// What is known of one volume while its events are read.
#[derive(Debug, Default)]
struct VolumeFacts<'a> {
    key: Option<(u8, Text)>,
    /// The first key that its data key, a grant or its opening names, and whether another names a different one.
    named: Option<Text>,
    is_contradicted: bool,
    has_data_key: bool,
    is_granted: bool,
    is_of_launch_request: bool,
    is_attached_later: bool,
    is_of_launch_session: bool,
    is_of_other_session: bool,
    first_second: Option<i64>,
    requests: Requests<'a>,
    denied: Option<VolumeOutcome>,
    re_encrypted_from: Option<Text>,
    confidence: Confidence,
    evidence: Vec<u32>,
}

/// Ids of requests; nearly always there is but one.
#[derive(Debug, Default)]
struct Requests<'a> {
    first: Option<&'a Id>,
    others: HashSet<&'a Id>,
}

impl<'a> Requests<'a> {
    fn insert(&mut self, id: &'a Id) {
        if *self.first.get_or_insert(id) != id {
            self.others.insert(id);
        }
    }

    fn contains(&self, id: &Id) -> bool {
        self.first == Some(id) || self.others.contains(id)
    }
}

/// A refusal that no volume id comes with.
struct Refusal<'a> {
    event: u32,
    kms: &'a KmsUse,
    outcome: VolumeOutcome,
    join: JoinedUse,
    request: Option<&'a Id>,
    is_later: bool,
}

/// A volume, and the snapshot's key that it was re-encrypted from.
#[derive(Debug)]
pub(super) struct FoundVolume {
    pub(super) volume: Volume,
    pub(super) re_encrypted_from: Option<Text>,
    /// The action refused, for a refusal.
    pub(super) refused_by: Option<u32>,
    /// Indices of the events that say so.
    pub(super) events: Vec<u32>,
}

/// How sure the key of a volume is, by the operation that names it: the later ones repeat the first.
fn key_rank(operation: KmsOperation) -> u8 {
    match operation {
        KmsOperation::GenerateDataKeyWithoutPlaintext | KmsOperation::GenerateDataKey => 4,
        KmsOperation::ReEncrypt => 3,
        KmsOperation::CreateGrant => 2,
        KmsOperation::Decrypt => 1,
        _ => 0,
    }
}

fn is_data_key(operation: KmsOperation) -> bool {
    matches!(operation, KmsOperation::GenerateDataKeyWithoutPlaintext | KmsOperation::GenerateDataKey)
}

/// Reads the volumes of a node from the KMS events joined to it, and notes those events in its timeline.
pub(super) fn find(draft: &mut Draft, events: &[Box<Event>], later: &LaterVolumes<'_>) -> Vec<FoundVolume> {
    let mut facts: BTreeMap<Text, VolumeFacts<'_>> = BTreeMap::new();
    let mut refusals = Vec::new();
    let mut nameless = Vec::new();
    for (volume, attached) in &draft.attachments {
        let volume = facts.entry(volume.clone()).or_default();
        volume.is_attached_later = true;
        volume.evidence.push(*attached);
    }
    let session = draft.session(events);
    let uses = std::mem::take(&mut draft.key_uses);
    let opened_at = opened_at(draft, &uses, events);
    let successes = if opened_at.is_some() { successes(&uses, events) } else { HashMap::new() };
    for join in &uses {
        let event = &events[join.event as usize];
        let Detail::Kms(kms) = &event.detail else {
            continue;
        };
        let result = result_of(event);
        draft.timeline.push(TimelineRef {
            event: join.event,
            role: timeline_role(kms.operation, result),
            confidence: join.confidence,
        });
        let outcome = match (result, refusal_of(event, kms)) {
            (UseResult::Success, _) => None,
            (_, Some(UseResult::Denied)) => Some(VolumeOutcome::Denied),
            (_, Some(UseResult::Failed)) => Some(VolumeOutcome::Failed),
            _ => continue,
        };
        let is_opened_later = opened_at.is_some_and(|second| second > event.time.second());
        let went_well = call_of(event).and_then(|call| successes.get(&call));
        if outcome.is_some() && is_opened_later && went_well.is_some_and(|time| *time >= event.time) {
            continue;
        }
        let request = event.request_id.as_ref();
        let is_attachment = request.is_some_and(|id| later.attachments.contains(id));
        let is_later = is_attachment || request.is_some_and(|id| later.starts.contains(id));
        match (&kms.volume_id, outcome) {
            (Some(volume), outcome) => {
                let volume = facts.entry(volume.clone()).or_default();
                volume.take(event, kms, join, outcome);
                volume.note_session(event, session);
                volume.is_attached_later |= is_attachment && !join.is_of_launch_request;
            }
            (None, Some(outcome)) => refusals.push(Refusal {
                event: join.event,
                kms,
                outcome,
                join: *join,
                request: event.request_id.as_ref(),
                is_later,
            }),
            (None, None) if join.is_of_launch_request && is_data_key(kms.operation) => {
                nameless.push((*join, kms.key_arn.as_ref()));
            }
            (None, None) => {}
        }
    }
    for (id, volume) in &mut facts {
        volume.is_attached_later |= later.created.contains(id) && !volume.is_of_launch_request;
    }
    // A node that lived opened the volumes of its launch: what was refused at first was granted later.
    let is_alive = draft.life.is_some();
    let mut found: Vec<FoundVolume> = Vec::new();
    let mut known = HashMap::new();
    for refusal in refusals {
        let role = refusal_role(draft, &refusal, events);
        if is_alive && role == Some(VolumeRole::Launch) {
            continue;
        }
        if !give_to_volumes(&refusal, &mut facts) {
            give_to_no_volume(&refusal, role, events, &mut found, &mut known);
        }
    }
    add_nameless(&nameless, &facts, events, &mut found);
    draft.key_uses = uses;
    let has_launch_volume =
        facts.values().any(|volume| volume.role(draft, false) == Some(VolumeRole::Launch));
    for (id, volume) in facts {
        // AttachVolume alone says nothing of a key.
        if volume.key.is_none() && volume.denied.is_none() {
            continue;
        }
        let role = volume.role(draft, has_launch_volume);
        found.push(volume.into_found(id, role, is_alive, events));
    }
    found.sort_by(|one, two| {
        let key = |found: &FoundVolume| {
            let volume = &found.volume;
            (volume.role.is_none(), volume.role, volume.volume_id.is_none(), volume.volume_id.clone())
        };
        key(one).cmp(&key(two)).then_with(|| {
            (&one.volume.key_arn, one.volume.outcome).cmp(&(&two.volume.key_arn, two.volume.outcome))
        })
    });
    found
}

/// Operation, request and key of a call.
type Call<'a> = (KmsOperation, Option<&'a Id>, &'a Text);

/// The second by which the instance itself had opened every volume of its launch. `None` where one is not known to
/// be open, or where nothing says how many there are: a grant for one volume says nothing of the next.
fn opened_at(draft: &Draft, uses: &[JoinedUse], events: &[Box<Event>]) -> Option<i64> {
    let made = draft.volumes_made.filter(|_| draft.is_opened)?;
    let mut opened: HashMap<&Text, Option<i64>> = HashMap::new();
    for event in uses.iter().map(|join| &events[join.event as usize]).filter(|event| event.error.is_none()) {
        let Detail::Kms(kms) = &event.detail else {
            continue;
        };
        let Some(volume) = &kms.volume_id else {
            continue;
        };
        let second = opened.entry(volume).or_default();
        if kms.operation == KmsOperation::Decrypt && event.identity.instance_id.is_some() {
            *second = (*second).max(Some(event.time.second()));
        }
    }
    // `None` is less than every second.
    opened.values().copied().min().flatten().filter(|_| opened.len() >= made)
}

/// When each call last went well. The same call, refused before that in the same request, was a retry, if all
/// volumes were opened afterwards.
fn successes<'a>(uses: &[JoinedUse], events: &'a [Box<Event>]) -> HashMap<Call<'a>, Timestamp> {
    let mut successes: HashMap<Call<'_>, Timestamp> = HashMap::new();
    for event in uses.iter().map(|join| &events[join.event as usize]).filter(|event| event.error.is_none()) {
        if let Some(call) = call_of(event) {
            let last = successes.entry(call).or_insert(event.time);
            *last = event.time.max(*last);
        }
    }
    successes
}

fn call_of(event: &Event) -> Option<Call<'_>> {
    match &event.detail {
        Detail::Kms(kms) => Some((kms.operation, event.request_id.as_ref(), kms.key_arn.as_ref()?)),
        _ => None,
    }
}

fn timeline_role(operation: KmsOperation, result: UseResult) -> TimelineRole {
    match (result, operation) {
        (UseResult::Denied | UseResult::Failed, _) => TimelineRole::Refusal,
        (UseResult::Passing, _) => TimelineRole::Throttled,
        (UseResult::Success, KmsOperation::CreateGrant) => TimelineRole::Grant,
        (UseResult::Success, KmsOperation::Decrypt) => TimelineRole::VolumeOpened,
        (UseResult::Success, KmsOperation::RetireGrant | KmsOperation::RevokeGrant) => {
            TimelineRole::GrantEnded
        }
        (UseResult::Success, _) => TimelineRole::KeyUse,
    }
}

fn refusal_role(draft: &Draft, refusal: &Refusal<'_>, events: &[Box<Event>]) -> Option<VolumeRole> {
    if refusal.is_later && !refusal.join.is_of_launch_request {
        return Some(VolumeRole::AttachedLater);
    }
    let launched_at = draft.node.launched_at?;
    let second = events[refusal.event as usize].time.second() - launched_at.second();
    (refusal.join.is_of_launch_request || second <= SESSION_JOIN_SECONDS_MAX).then_some(VolumeRole::Launch)
}

/// KMS logs no volume with a refusal. Where CreateGrant was refused, it was for a volume of the same request
/// whose data key exists and whose grant does not.
fn give_to_volumes(refusal: &Refusal<'_>, facts: &mut BTreeMap<Text, VolumeFacts<'_>>) -> bool {
    if refusal.kms.operation != KmsOperation::CreateGrant {
        return false;
    }
    let mut is_given = false;
    for volume in facts.values_mut() {
        let is_of_request = refusal.request.is_some_and(|id| volume.requests.contains(id));
        let is_of_key = match (&refusal.kms.key_arn, &volume.key) {
            (Some(refused), Some((_, key))) => is_same_key(refused, key),
            _ => true,
        };
        if is_of_request && is_of_key && !volume.is_granted && volume.key.is_some() {
            volume.denied = volume.denied.max(Some(refusal.outcome));
            volume.confidence = volume.confidence.max(refusal.join.confidence);
            volume.evidence.push(refusal.event);
            is_given = true;
        }
    }
    is_given
}

/// Refusals of one key and outcome make one entry: how many volumes they were for is not logged.
fn give_to_no_volume<'a>(
    refusal: &Refusal<'a>,
    role: Option<VolumeRole>,
    events: &[Box<Event>],
    found: &mut Vec<FoundVolume>,
    known: &mut HashMap<(Option<&'a Text>, VolumeOutcome, Option<VolumeRole>), usize>,
) {
    let event_id = events[refusal.event as usize].event_id.clone();
    let next = found.len();
    let same = *known.entry((refusal.kms.key_arn.as_ref(), refusal.outcome, role)).or_insert(next);
    if let Some(known) = found.get_mut(same) {
        known.volume.evidence.push(event_id);
        known.volume.confidence = known.volume.confidence.min(refusal.join.confidence);
        known.events.push(refusal.event);
        return;
    }
    found.push(FoundVolume {
        volume: Volume {
            volume_id: None,
            key_arn: refusal.kms.key_arn.clone(),
            key_origin: super::case::KeyOrigin::Unknown,
            role,
            outcome: refusal.outcome,
            evidence: vec![event_id],
            confidence: refusal.join.confidence,
        },
        re_encrypted_from: None,
        refused_by: Some(refusal.event),
        events: vec![refusal.event],
    });
}

/// A data key that EC2 was given for the launch is a volume's, even where CloudTrail left out which: one entry per
/// key, for the same volume's may be among them twice, and none where it may be that of a volume that is known.
fn add_nameless(
    nameless: &[(JoinedUse, Option<&Text>)],
    facts: &BTreeMap<Text, VolumeFacts<'_>>,
    events: &[Box<Event>],
    found: &mut Vec<FoundVolume>,
) {
    let without: HashSet<Option<&Text>> = facts
        .values()
        .filter(|volume| volume.is_granted && !volume.has_data_key && !volume.is_attached_later)
        .map(|volume| volume.key.as_ref().map(|(_, key)| key))
        .collect();
    let may_be_known = |key: Option<&Text>| match key {
        Some(_) => without.contains(&key) || without.contains(&None),
        None => !without.is_empty(),
    };
    let mut known: HashMap<Option<&Text>, usize> = HashMap::new();
    for &(join, key) in nameless.iter().filter(|(_, key)| !may_be_known(*key)) {
        let event_id = events[join.event as usize].event_id.clone();
        let next = found.len();
        let entry = *known.entry(key).or_insert(next);
        if let Some(entry) = found.get_mut(entry) {
            entry.volume.evidence.push(event_id);
            entry.volume.confidence = entry.volume.confidence.min(join.confidence);
            entry.events.push(join.event);
            continue;
        }
        found.push(FoundVolume {
            volume: Volume {
                volume_id: None,
                key_arn: key.cloned(),
                key_origin: super::case::KeyOrigin::Unknown,
                role: Some(VolumeRole::Launch),
                outcome: VolumeOutcome::Used,
                evidence: vec![event_id],
                confidence: join.confidence,
            },
            re_encrypted_from: None,
            refused_by: None,
            events: vec![join.event],
        });
    }
}

impl<'a> VolumeFacts<'a> {
    fn take(&mut self, event: &'a Event, kms: &KmsUse, join: &JoinedUse, outcome: Option<VolumeOutcome>) {
        self.evidence.push(join.event);
        if let Some(id) = &event.request_id {
            self.requests.insert(id);
        }
        self.is_of_launch_request |= join.is_of_launch_request;
        self.first_second =
            Some(self.first_second.map_or(event.time.second(), |first| first.min(event.time.second())));
        self.confidence = self.confidence.max(join.confidence);
        if outcome.is_some() {
            self.denied = self.denied.max(outcome);
            if self.key.is_none() {
                self.key = kms.key_arn.clone().map(|key| (0, key));
            }
            return;
        }
        self.has_data_key |= is_data_key(kms.operation);
        // A re-encryption may list but one of its two keys.
        if let Some(key) = kms.key_arn.as_ref().filter(|_| kms.operation != KmsOperation::ReEncrypt) {
            let named = self.named.get_or_insert_with(|| key.clone());
            self.is_contradicted |= !is_same_key(named, key);
        }
        let rank = key_rank(kms.operation);
        if let Some(key) = &kms.key_arn
            && self.key.as_ref().is_none_or(|(known, _)| *known < rank)
        {
            self.key = Some((rank, key.clone()));
        }
        self.is_granted |= matches!(kms.operation, KmsOperation::CreateGrant | KmsOperation::Decrypt);
        if kms.operation == KmsOperation::ReEncrypt {
            self.re_encrypted_from.clone_from(&kms.source_key_arn);
        }
    }

    /// A launch uses KMS in the session that launched, or through the role of a service of AWS. What the instance
    /// itself opens says nothing of that.
    fn note_session(&mut self, event: &Event, launched_by: Option<&Text>) {
        let identity = &event.identity;
        let made_by = identity.arn.as_ref().filter(|_| identity.instance_id.is_none());
        let (Some(made_by), Some(launched_by)) = (made_by, launched_by) else {
            return;
        };
        // Texts of events are shared: most that are the same are so at first sight.
        if Text::ptr_eq(made_by, launched_by) || made_by == launched_by {
            self.is_of_launch_session = true;
            return;
        }
        let is_services =
            identity.issuer_arn.as_ref().is_some_and(|role| role.contains("/aws-service-role/"));
        self.is_of_other_session |= !is_services;
    }

    /// `has_launch_volume`: whether another volume is known to be the launch's.
    fn role(&self, draft: &Draft, has_launch_volume: bool) -> Option<VolumeRole> {
        if self.is_of_launch_request {
            return Some(VolumeRole::Launch);
        }
        if self.is_attached_later {
            return Some(VolumeRole::AttachedLater);
        }
        let launched_at = draft.node.launched_at?;
        let after = self.first_second? - launched_at.second();
        let is_of_others = self.is_of_other_session && !self.is_of_launch_session;
        if after <= SESSION_JOIN_SECONDS_MAX && !is_of_others {
            Some(VolumeRole::Launch)
        } else {
            has_launch_volume.then_some(VolumeRole::AttachedLater)
        }
    }

    fn into_found(
        mut self,
        id: Text,
        role: Option<VolumeRole>,
        is_alive: bool,
        events: &[Box<Event>],
    ) -> FoundVolume {
        self.evidence.sort_unstable();
        self.evidence.dedup();
        let denied = self.denied.filter(|_| !(is_alive && role == Some(VolumeRole::Launch)));
        let refused_by = denied.and_then(|_| {
            self.evidence.iter().copied().find(|index| events[*index as usize].error.is_some())
        });
        FoundVolume {
            volume: Volume {
                volume_id: Some(id),
                // A volume has one key: of two, neither is proven.
                key_arn: self.key.map(|(_, key)| key).filter(|_| !self.is_contradicted),
                key_origin: super::case::KeyOrigin::Unknown,
                role,
                outcome: denied.unwrap_or(VolumeOutcome::Used),
                evidence: self
                    .evidence
                    .iter()
                    .map(|index| events[*index as usize].event_id.clone())
                    .collect(),
                confidence: self.confidence,
            },
            re_encrypted_from: self.re_encrypted_from,
            refused_by,
            events: self.evidence,
        }
    }
}

/// Grants made for a node's volumes and when they ended.
pub(super) fn note_ended_grants(draft: &mut Draft, events: &[Box<Event>], ended: &HashMap<&Text, Vec<u32>>) {
    let mut noted: Vec<u32> = Vec::new();
    for join in &draft.key_uses {
        let Detail::Kms(kms) = &events[join.event as usize].detail else {
            continue;
        };
        if kms.operation == KmsOperation::CreateGrant
            && let Some(grant) = &kms.grant_id
        {
            noted.extend(ended.get(grant).into_iter().flatten());
        }
    }
    noted.sort_unstable();
    noted.dedup();
    for event in noted {
        draft.note(event, TimelineRole::GrantEnded);
    }
}

/// RetireGrant and RevokeGrant, by grant.
pub(super) fn ended_grants<'a>(events: &'a [Box<Event>], kinds: &Kinds<'_>) -> HashMap<&'a Text, Vec<u32>> {
    let mut ended: HashMap<&Text, Vec<u32>> = HashMap::new();
    for (index, event) in at(events, &kinds.grant_ends) {
        if let Detail::Kms(kms) = &event.detail
            && let (Some(grant), None) = (&kms.grant_id, &event.error)
        {
            ended.entry(grant).or_default().push(index);
        }
    }
    ended
}
