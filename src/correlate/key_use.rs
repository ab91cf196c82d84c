//! Which KMS event belongs to which node, strongest join first: request id, instance, volume; and where
//! these give nothing, the same session shortly after the launch, marked as inferred.

use hashbrown::{HashMap, HashSet};

use super::case::Confidence;
use super::launches::Drafts;
use crate::event::{
    Denial, Detail, Event, Id, IdentityKind, KmsOperation, KmsUse, Text, VolumeChange, is_key_state_failure,
    is_refusal, is_throttling,
};

/// How long after its launch a node's KMS events may come, in seconds, where only the session joins them.
pub const SESSION_JOIN_SECONDS_MAX: i64 = 30;

/// RunInstances and its KMS events are stamped by different hosts: either may seem the earlier one.
const CLOCK_SKEW_SECONDS_MAX: i64 = 1;

/// A KMS event joined to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinedUse {
    /// Index of the event.
    pub(super) event: u32,
    /// How it was joined.
    pub(super) confidence: Confidence,
    /// Whether it carries the request id of the node's RunInstances.
    pub(super) is_of_launch_request: bool,
    /// Among how many nodes the join could not choose; 1 if it had no choice.
    pub(super) candidates: u32,
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
    /// Request id of an AttachVolume, successful or not -> node.
    attachments: HashMap<&'a Id, usize>,
    /// Volume -> node, where one event names both.
    volumes: HashMap<&'a Text, usize>,
    /// Nodes that opened a volume or were granted the use of its key.
    opened: HashSet<usize>,
}

/// KMS operations that EC2 performs when it launches an instance.
fn is_launch_operation(kms: &KmsUse) -> bool {
    !matches!(kms.operation, KmsOperation::RetireGrant | KmsOperation::RevokeGrant)
}

/// The node that the event itself names: the grantee of a grant, or the instance whose volume was opened.
fn named_instance<'a>(event: &'a Event, kms: &'a KmsUse) -> Option<&'a Text> {
    kms.grantee_instance_id.as_ref().or(event.identity.instance_id.as_ref())
}

/// Joins the KMS events to the nodes.
pub(super) fn join(events: &[Box<Event>], drafts: &mut Drafts) {
    let foreign_copies = copies_in_owners_account(events);
    let index = Index::build(events, drafts);
    // Events without a direct join, by request id: one of them may name what the others do not.
    let mut groups: HashMap<&Id, Vec<u32>> = HashMap::new();
    let mut joins: Vec<(usize, JoinedUse)> = Vec::new();
    let mut order: Vec<&Id> = Vec::new();
    let mut alone: Vec<u32> = Vec::new();
    for (number, event) in (0u32..).zip(events) {
        let Detail::Kms(kms) = &event.detail else {
            continue;
        };
        if !is_launch_operation(kms) || foreign_copies.contains(&number) {
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
        index.join_group(&groups[id], Some(id), drafts, &mut joins, &mut fallback);
    }
    for number in alone {
        index.join_group(&[number], None, drafts, &mut joins, &mut fallback);
    }
    let refused: HashSet<usize> = joins
        .iter()
        .filter(|(_, join)| join.is_of_launch_request && join.confidence == Confidence::Observed)
        .filter(|(_, join)| {
            matches!(result_of(&events[join.event as usize]), UseResult::Denied | UseResult::Failed)
        })
        .map(|(draft, _)| *draft)
        .collect();
    fallback.join(events, drafts, &index.opened, &refused, &mut joins);
    for (draft, join) in joins {
        drafts.drafts[draft].key_uses.push(join);
    }
    for draft in &mut drafts.drafts {
        draft.key_uses.sort_by_key(|join| join.event);
    }
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
    fn build(events: &'a [Box<Event>], drafts: &Drafts) -> Self {
        let mut index = Self {
            events,
            launches: HashMap::new(),
            others: HashSet::new(),
            attachments: HashMap::new(),
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
        for event in events {
            match &event.detail {
                Detail::Volume(change) => {
                    index.others.extend(&event.request_id);
                    if let (VolumeChange::Attached { instance_id: Some(instance), .. }, Some(request)) =
                        (change, &event.request_id)
                        && let Some(&draft) = drafts.by_instance.get(instance)
                    {
                        index.attachments.insert(request, draft);
                    }
                    if let (
                        VolumeChange::Attached { volume_id: Some(volume), instance_id: Some(instance) },
                        None,
                    ) = (change, &event.error)
                        && let Some(&draft) = drafts.by_instance.get(instance)
                    {
                        index.volumes.entry(volume).or_insert(draft);
                    }
                }
                Detail::Start(_) | Detail::Stop(_) | Detail::Termination(_) | Detail::ImageCopy(_) => {
                    index.others.extend(&event.request_id);
                }
                Detail::Kms(kms) if event.error.is_none() && is_launch_operation(kms) => {
                    let Some(&draft) = named_instance(event, kms).and_then(|id| drafts.by_instance.get(id))
                    else {
                        continue;
                    };
                    index.opened.insert(draft);
                    if let Some(volume) = &kms.volume_id {
                        index.volumes.insert(volume, draft);
                    }
                }
                _ => {}
            }
        }
        index
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

    /// Joins the events of one request.
    fn join_group(
        &self,
        group: &[u32],
        request_id: Option<&Id>,
        drafts: &Drafts,
        joins: &mut Vec<(usize, JoinedUse)>,
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
                    candidates: u32::try_from(candidates).unwrap_or(u32::MAX),
                },
            ));
        };
        if let [only] = launched[..] {
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
            // One request, several instances: those that opened their volumes need no further explanation.
            let open: Vec<usize> =
                launched.iter().copied().filter(|draft| !self.opened.contains(draft)).collect();
            for event in unnamed {
                for &draft in &open {
                    joined(draft, event, open.len());
                }
            }
        } else if let Some(&draft) = request_id.and_then(|id| self.attachments.get(id)) {
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
        for group in &self.groups {
            let first = &events[group[0] as usize];
            let Some(session) = first.identity.arn.as_ref().filter(|_| first.identity.is_invoked_by_ec2())
            else {
                continue;
            };
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
                .filter(|draft| drafts.drafts[*draft].life.is_none())
                .collect();
            for &draft in &candidates {
                joins.extend(group.iter().map(|&event| {
                    (
                        draft,
                        JoinedUse {
                            event,
                            confidence: Confidence::Inferred,
                            is_of_launch_request: false,
                            candidates: u32::try_from(candidates.len()).unwrap_or(u32::MAX),
                        },
                    )
                }));
            }
        }
    }
}
