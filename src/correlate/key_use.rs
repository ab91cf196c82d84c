//! Which KMS event belongs to which node, strongest join first: request id, instance, volume; and where
//! these give nothing, the same session shortly after the launch, marked as inferred.

use hashbrown::{HashMap, HashSet};

use super::case::Confidence;
use super::history::{CLOCK_SKEW_SECONDS_MAX, History};
use super::launches::{Draft, Drafts};
use crate::event::{
    Denial, Detail, Event, Id, IdentityKind, KmsOperation, KmsUse, Text, VolumeChange, is_key_state_failure,
    is_refusal, is_throttling,
};

/// How long after its launch a node's KMS events may come, in seconds, where only the session joins them.
pub const SESSION_JOIN_SECONDS_MAX: i64 = 30;

/// How many KMS events one node takes by its session alone: where a whole fleet's events cannot be told apart,
/// more of the same say no more, and every pair of event and node would be a quadratic heap.
const SESSION_JOINS_MAX: u32 = 256;

/// A KMS event joined to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinedUse {
    /// Index of the event.
    pub(super) event: u32,
    /// How it was joined.
    pub(super) confidence: Confidence,
    /// Whether it carries the request id of the node's RunInstances.
    pub(super) is_of_launch_request: bool,
}

/// What a KMS event says about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UseResult {
    /// The key was used.
    Success,
    /// Refused for want of permission.
    Denied,
    /// Refused for the key's state.
    Failed,
    /// Too many calls, or another failure that says nothing about key or permission.
    Passing,
}

/// Reads the result of a KMS event.
pub(super) fn result_of(event: &Event) -> UseResult {
    let Some(error) = &event.error else {
        return UseResult::Success;
    };
    if is_throttling(&error.code) {
        UseResult::Passing
    } else if is_refusal(&error.code) {
        UseResult::Denied
    } else if is_key_state_failure(&error.code, &error.message) {
        UseResult::Failed
    } else if Denial::parse(&error.code, &error.message).is_some() {
        UseResult::Denied
    } else {
        UseResult::Passing
    }
}

/// The KMS events of volumes, indexed by what joins them.
struct Index<'a> {
    events: &'a [Box<Event>],
    /// Request id -> nodes that the RunInstances, or the CreateFleet, with this id made.
    launches: HashMap<&'a Id, Vec<usize>>,
    /// Request ids of calls that are no launch: CreateVolume, AttachVolume, StartInstances, image copies.
    others: HashSet<&'a Id>,
    /// Request id of an AttachVolume or StartInstances, successful or not -> node.
    later_requests: HashMap<&'a Id, usize>,
    /// Volume -> node, where one event names both.
    volumes: HashMap<&'a Text, usize>,
    /// Nodes whose volumes are all open: as many were opened, or their keys granted, as the launch made.
    opened: HashSet<usize>,
}

/// KMS operations that may belong to a node's volumes.
fn is_use(kms: &KmsUse) -> bool {
    !matches!(kms.operation, KmsOperation::RetireGrant | KmsOperation::RevokeGrant)
}

/// Whether the event says that KMS refused what a launch needs. A launch does not need its caller to decrypt:
/// the grants are used; nor does EC2 look the key up in the caller's name.
pub(super) fn refusal_of(event: &Event, kms: &KmsUse) -> Option<UseResult> {
    let is_needed = match kms.operation {
        KmsOperation::Decrypt => event.identity.instance_id.is_some(),
        KmsOperation::DescribeKey | KmsOperation::RetireGrant | KmsOperation::RevokeGrant => false,
        KmsOperation::GenerateDataKeyWithoutPlaintext
        | KmsOperation::GenerateDataKey
        | KmsOperation::CreateGrant
        | KmsOperation::ReEncrypt => true,
    };
    let result = result_of(event);
    (is_needed && matches!(result, UseResult::Denied | UseResult::Failed)).then_some(result)
}

fn is_refusal_event(event: &Event) -> bool {
    matches!(&event.detail, Detail::Kms(kms) if refusal_of(event, kms).is_some())
}

/// The node that the event itself names: the grantee of a grant, or the instance whose volume was opened.
fn named_instance<'a>(event: &'a Event, kms: &'a KmsUse) -> Option<&'a Text> {
    kms.grantee_instance_id.as_ref().or(event.identity.instance_id.as_ref())
}

/// Joins the KMS events to the nodes. Returns the refusals that EC2 was given for a launch and that belong to no
/// node that is known.
pub(super) fn join(events: &[Box<Event>], history: &History, drafts: &mut Drafts) -> Vec<u32> {
    let (foreign_copies, index) =
        rayon::join(|| copies_in_owners_account(events), || Index::build(events, history, drafts));
    // Events without a direct join, by request id: one of them may name what the others do not.
    let mut groups: HashMap<&Id, Vec<u32>> = HashMap::new();
    let mut joins: Vec<(usize, JoinedUse)> = Vec::new();
    let mut asked: Vec<usize> = Vec::new();
    let mut order: Vec<&Id> = Vec::new();
    let mut alone: Vec<u32> = Vec::new();
    for (number, event) in (0u32..).zip(events) {
        let Detail::Kms(kms) = &event.detail else {
            continue;
        };
        if !is_use(kms) || foreign_copies.contains(&number) {
            continue;
        }
        match &event.request_id {
            Some(id) => {
                let group = groups.entry(id).or_default();
                if group.is_empty() {
                    order.push(id);
                }
                group.push(number);
            }
            None => alone.push(number),
        }
    }
    let mut fallback = Fallback::build(events, drafts);
    for id in order {
        index.join_group(&groups[id], Some(id), drafts, &mut joins, &mut asked, &mut fallback);
    }
    for number in alone {
        index.join_group(&[number], None, drafts, &mut joins, &mut asked, &mut fallback);
    }
    let refused: HashSet<usize> = joins
        .iter()
        .filter(|(_, join)| join.is_of_launch_request && join.confidence == Confidence::Observed)
        .filter(|(_, join)| is_refusal_event(&events[join.event as usize]))
        .map(|(draft, _)| *draft)
        .collect();
    fallback.join(events, drafts, &index.opened, &refused, &mut joins);
    let joined: HashSet<u32> = joins.iter().map(|(_, join)| join.event).collect();
    let unjoined = fallback
        .groups
        .iter()
        .flatten()
        .copied()
        .filter(|event| !joined.contains(event))
        .filter(|event| {
            let event = &events[*event as usize];
            is_refusal_event(event) && event.identity.is_invoked_by_ec2()
        })
        .collect();
    for (draft, join) in joins {
        drafts.drafts[draft].key_uses.push(join);
    }
    for draft in asked {
        drafts.drafts[draft].is_kms_asked = true;
    }
    for (number, draft) in drafts.drafts.iter_mut().enumerate() {
        draft.key_uses.sort_by_key(|join| join.event);
        draft.is_opened = index.opened.contains(&number);
        draft.volumes_made = volumes_made(draft, history);
    }
    unjoined
}

/// KMS logs a cross-account call in the key owner's account too. Where the caller's record is at hand, the
/// owner's copy adds nothing.
fn copies_in_owners_account(events: &[Box<Event>]) -> HashSet<u32> {
    let is_owners = |event: &Event| event.identity.kind == IdentityKind::AwsAccount;
    let callers: HashSet<(&Id, &Text)> = events
        .iter()
        .filter(|event| matches!(event.detail, Detail::Kms(_)) && !is_owners(event))
        .filter_map(|event| Some((event.shared_event_id.as_ref()?, &event.name)))
        .collect();
    (0u32..)
        .zip(events)
        .filter(|(_, event)| {
            is_owners(event)
                && event.shared_event_id.as_ref().is_some_and(|id| callers.contains(&(id, &event.name)))
        })
        .map(|(number, _)| number)
        .collect()
}

impl<'a> Index<'a> {
    fn build(events: &'a [Box<Event>], history: &History, drafts: &Drafts) -> Self {
        let mut index = Self {
            events,
            launches: HashMap::new(),
            others: HashSet::new(),
            later_requests: HashMap::new(),
            volumes: HashMap::new(),
            opened: HashSet::new(),
        };
        for (number, draft) in drafts.drafts.iter().enumerate() {
            let made_by = [draft.launch, draft.fleet].into_iter().flatten();
            for id in made_by.filter_map(|event| events[event as usize].request_id.as_ref()) {
                let nodes = index.launches.entry(id).or_default();
                if nodes.last() != Some(&number) {
                    nodes.push(number);
                }
            }
        }
        // Nodes -> volumes opened, or whose keys were granted to the instance.
        let mut opened: HashMap<usize, HashSet<Option<&Text>>> = HashMap::new();
        for event in events {
            match &event.detail {
                Detail::Volume(change) => index.note_volume_change(event, change, drafts),
                Detail::Start(instances) => {
                    index.others.extend(&event.request_id);
                    if let ([only], Some(id)) = (instances.as_slice(), &event.request_id)
                        && let Some(&draft) = drafts.by_instance.get(&only.instance_id)
                    {
                        index.later_requests.insert(id, draft);
                    }
                }
                Detail::Stop(_) | Detail::Termination(_) | Detail::ImageCopy(_) => {
                    index.others.extend(&event.request_id);
                }
                Detail::Kms(kms) if event.error.is_none() && is_use(kms) => {
                    let Some(&draft) = named_instance(event, kms).and_then(|id| drafts.by_instance.get(id))
                    else {
                        continue;
                    };
                    opened.entry(draft).or_default().insert(kms.volume_id.as_ref());
                    if let Some(volume) = &kms.volume_id {
                        index.volumes.insert(volume, draft);
                    }
                }
                _ => {}
            }
        }
        let cleanups = super::termination::cleanups(events);
        index.opened = opened
            .into_iter()
            .filter(|(number, volumes)| {
                let draft = &drafts.drafts[*number];
                let request = draft.launch.and_then(|launch| events[launch as usize].request_id.as_ref());
                volumes.len() >= volumes_made(draft, history).unwrap_or(1)
                    && !request.is_some_and(|id| cleanups.contains_key(id))
            })
            .map(|(number, _)| number)
            .collect();
        index
    }

    fn note_volume_change(&mut self, event: &'a Event, change: &'a VolumeChange, drafts: &Drafts) {
        self.others.extend(&event.request_id);
        let VolumeChange::Attached { volume_id, instance_id: Some(instance) } = change else {
            return;
        };
        let Some(&draft) = drafts.by_instance.get(instance) else {
            return;
        };
        if let Some(id) = &event.request_id {
            self.later_requests.insert(id, draft);
        }
        if let (Some(volume), None) = (volume_id, &event.error) {
            self.volumes.entry(volume).or_insert(draft);
        }
    }

    /// The node that the event names, directly or through its volume.
    fn direct(&self, number: u32, drafts: &Drafts) -> Option<usize> {
        let event = &self.events[number as usize];
        let Detail::Kms(kms) = &event.detail else {
            return None;
        };
        match named_instance(event, kms) {
            Some(instance) => drafts.by_instance.get(instance).copied(),
            None => kms.volume_id.as_ref().and_then(|volume| self.volumes.get(volume)).copied(),
        }
    }

    /// Which of several instances of one request a refusal may be for: those that did not open their volumes, and
    /// if all of these lived, the others that did not. A refusal is somebody's: if all lived, it is noted with all.
    fn refused(&self, launched: &[usize], drafts: &Drafts) -> Vec<usize> {
        let is_lifeless = |draft: &usize| drafts.drafts[*draft].life.is_none();
        let is_open = |draft: &usize| !self.opened.contains(draft);
        let is_explained = launched.iter().any(|draft| is_open(draft) && is_lifeless(draft));
        let is_candidate = |draft: &&usize| is_open(draft) || !is_explained && is_lifeless(draft);
        let candidates: Vec<usize> = launched.iter().filter(is_candidate).copied().collect();
        if candidates.is_empty() { launched.to_vec() } else { candidates }
    }

    /// Joins the events of one request.
    fn join_group(
        &self,
        group: &[u32],
        request_id: Option<&Id>,
        drafts: &Drafts,
        joins: &mut Vec<(usize, JoinedUse)>,
        asked: &mut Vec<usize>,
        fallback: &mut Fallback,
    ) {
        let launched = request_id.and_then(|id| self.launches.get(id)).map_or(&[][..], Vec::as_slice);
        let launched: Vec<usize> = launched
            .iter()
            .copied()
            .filter(|draft| is_same_place(&self.events[group[0] as usize], drafts, *draft))
            .collect();
        let mut joined = |draft: usize, event: u32, candidates: usize| {
            let is_certain = candidates == 1 && (launched.len() < 2 || self.direct(event, drafts).is_some());
            joins.push((
                draft,
                JoinedUse {
                    event,
                    confidence: if is_certain { Confidence::Observed } else { Confidence::Inferred },
                    is_of_launch_request: launched.contains(&draft),
                },
            ));
        };
        if let [only] = launched[..] {
            asked.push(only);
            for &event in group {
                // A volume that another node is known to hold is that node's, whatever the request.
                joined(self.direct(event, drafts).unwrap_or(only), event, 1);
            }
            return;
        }
        let named: HashSet<usize> = group.iter().filter_map(|event| self.direct(*event, drafts)).collect();
        let mut unnamed = Vec::new();
        for &event in group {
            match self.direct(event, drafts) {
                Some(draft) => joined(draft, event, 1),
                None => unnamed.push(event),
            }
        }
        if unnamed.is_empty() {
            return;
        }
        if !launched.is_empty() {
            // Those that opened their volumes need no further explanation.
            let open: Vec<usize> =
                launched.iter().copied().filter(|draft| !self.opened.contains(draft)).collect();
            let is_refused = |event: &u32| is_refusal_event(&self.events[*event as usize]);
            let refused =
                if unnamed.iter().any(is_refused) { self.refused(&launched, drafts) } else { Vec::new() };
            for event in unnamed {
                // A data key without a grant explains a refused grant.
                let candidates = if refused.is_empty() { &open } else { &refused };
                for &draft in candidates {
                    joined(draft, event, candidates.len());
                }
            }
        } else if let Some(&draft) = request_id.and_then(|id| self.later_requests.get(id)) {
            for event in unnamed {
                joined(draft, event, 1);
            }
        } else if named.len() == 1 {
            let draft = named.into_iter().next().expect("one element");
            for event in unnamed {
                joined(draft, event, 1);
            }
        } else if !request_id.is_some_and(|id| self.others.contains(id)) {
            fallback.groups.push(unnamed);
        }
    }
}

/// How many EBS volumes the launch made, as its launch template says; at least one. `None` where the archive does
/// not hold the template.
fn volumes_made(draft: &Draft, history: &History) -> Option<usize> {
    let template = draft.node.launch_template.as_ref()?;
    let mappings = history.mappings(&template.id, template.version.as_deref(), draft.node.launched_at?)?;
    Some(mappings.mappings.iter().filter(|mapping| mapping.is_ebs).count().max(1))
}

/// Caller's account (or the record's, where the caller is a service) and region are the node's.
fn is_same_place(event: &Event, drafts: &Drafts, draft: usize) -> bool {
    let node = &drafts.drafts[draft].node;
    let caller = event.identity.account_id.as_ref().unwrap_or(&event.account_id);
    event.region == node.region && (*caller == node.account_id || event.account_id == node.account_id)
}

/// The weakest join: the same session, account and region, shortly after the launch.
struct Fallback {
    /// (session ARN, account, region) -> launches by time.
    launches: HashMap<(Text, Text, Text), Vec<(i64, usize)>>,
    /// Events of one request that nothing else joins.
    groups: Vec<Vec<u32>>,
}

impl Fallback {
    fn build(events: &[Box<Event>], drafts: &Drafts) -> Self {
        let mut launches: HashMap<_, Vec<(i64, usize)>> = HashMap::new();
        for (number, draft) in drafts.drafts.iter().enumerate() {
            let Some(event) = draft.launch.or(draft.fleet).map(|index| &events[index as usize]) else {
                continue;
            };
            if let Some(session) = &event.identity.arn {
                let key = (session.clone(), draft.node.account_id.clone(), draft.node.region.clone());
                launches.entry(key).or_default().push((event.time.second(), number));
            }
        }
        for list in launches.values_mut() {
            list.sort_unstable();
        }
        Self { launches, groups: Vec::new() }
    }

    fn join(
        &self,
        events: &[Box<Event>],
        drafts: &Drafts,
        opened: &HashSet<usize>,
        refused: &HashSet<usize>,
        joins: &mut Vec<(usize, JoinedUse)>,
    ) {
        let mut taken: HashMap<usize, u32> = HashMap::new();
        for group in &self.groups {
            let first = &events[group[0] as usize];
            let Some(session) = first.identity.arn.as_ref().filter(|_| first.identity.is_invoked_by_ec2())
            else {
                continue;
            };
            let has_refusal = group.iter().any(|event| is_refusal_event(&events[*event as usize]));
            let account = first.identity.account_id.as_ref().unwrap_or(&first.account_id);
            let key = (session.clone(), account.clone(), first.region.clone());
            let Some(launches) = self.launches.get(&key) else {
                continue;
            };
            let time = first.time.second();
            let from = launches.partition_point(|(launch, _)| *launch < time - SESSION_JOIN_SECONDS_MAX);
            let candidates: Vec<usize> = launches[from..]
                .iter()
                .take_while(|(launch, _)| *launch <= time + CLOCK_SKEW_SECONDS_MAX)
                .map(|(_, draft)| *draft)
                .filter(|draft| !opened.contains(draft) && !refused.contains(draft))
                // Who lived was not refused; what it used is another matter.
                .filter(|draft| !has_refusal || drafts.drafts[*draft].life.is_none())
                .collect();
            for &draft in &candidates {
                let taken = taken.entry(draft).or_default();
                if *taken >= SESSION_JOINS_MAX {
                    continue;
                }
                *taken += u32::try_from(group.len()).unwrap_or(u32::MAX);
                joins.extend(group.iter().map(|&event| {
                    (
                        draft,
                        JoinedUse { event, confidence: Confidence::Inferred, is_of_launch_request: false },
                    )
                }));
            }
        }
    }
}
