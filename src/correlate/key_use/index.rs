//! What joining needs to know of the KMS events, and which nodes requests and volumes lead to.
//!
//! The events and the nodes in the making come in. Each KMS event is read once; from then on it is a row of numbers:
//! its request and the node that it names.

use std::sync::OnceLock;

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::super::grouped::Grouped;
use super::super::kinds::{KeyUse, Kinds, at};
use super::super::launches::{Draft, Drafts};
use super::super::name::Name;
use crate::event::{Detail, Event, Id, IdentityKind, Text, VolumeChange};

/// A KMS event that may belong to a node's volumes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// Index of the event.
    pub(super) event: u32,
    /// Number of its request.
    pub(super) request: Option<u32>,
    /// The node that it names, directly or through its volume.
    pub(super) node: Option<u32>,
    /// Whether KMS refused what a launch needs.
    pub(super) is_refusal: bool,
    /// Whether it made the data key of a volume.
    pub(super) is_data_key: bool,
}

/// The KMS events of volumes, indexed by what joins them.
pub(super) struct Index<'a> {
    pub(super) events: &'a [Box<Event>],
    kinds: &'a Kinds<'a>,
    /// In the order of the events.
    pub(super) uses: Vec<Use>,
    /// What each use is made from.
    pub(super) rows: &'a [&'a KeyUse<'a>],
    /// Number of a request -> its uses.
    pub(super) uses_by_request: Grouped,
    /// Number of a request -> nodes that the RunInstances, or the CreateFleet, with this id made.
    pub(super) launches: Grouped,
    /// Whether each node's volumes are all open: as many were opened, or their keys granted, as the launch made.
    pub(super) opened: Vec<bool>,
    /// Request id of an AttachVolume or StartInstances, successful or not -> node.
    later_requests: HashMap<&'a Id, u32>,
    others: OnceLock<HashSet<&'a Id>>,
}

/// The uses, with their requests and volumes as numbers: what can be said of them before the nodes are known.
pub(in super::super) struct Numbered<'a> {
    /// In the order of the events, without copies.
    uses: Vec<&'a KeyUse<'a>>,
    requests: HashMap<&'a Id, u32>,
    /// Number of each use's request.
    request_of: Vec<Option<u32>>,
    volumes: HashMap<Name<'a>, u32>,
    /// Number of each use's volume, from 1; 0 where no event names it.
    volume_of: Vec<u32>,
}

impl<'a> Numbered<'a> {
    pub(in super::super) fn find(events: &[Box<Event>], kinds: &'a Kinds<'a>) -> Self {
        let copies = copies_in_owners_account(events, kinds);
        let uses: Vec<&KeyUse<'_>> = kinds.key_uses().filter(|used| !copies.contains(&used.event)).collect();
        let next = |known: usize| u32::try_from(known).expect("fewer than four billion events");
        let ((requests, request_of), (volumes, volume_of)) = rayon::join(
            || {
                let mut requests = HashMap::new();
                let mut number = |id| {
                    let next = next(requests.len());
                    *requests.entry(id).or_insert(next)
                };
                let request_of = uses.iter().map(|used| used.request_id.as_ref().map(&mut number)).collect();
                (requests, request_of)
            },
            || {
                let mut volumes = HashMap::new();
                let mut number = |volume| {
                    let next = next(volumes.len() + 1);
                    *volumes.entry(volume).or_insert(next)
                };
                let volume_of = uses.iter().map(|used| used.volume.map_or(0, &mut number)).collect();
                (volumes, volume_of)
            },
        );
        Self { uses, requests, request_of, volumes, volume_of }
    }
}

impl<'a> Index<'a> {
    pub(super) fn build(
        events: &'a [Box<Event>],
        kinds: &'a Kinds<'a>,
        numbered: &'a Numbered<'a>,
        cleanups: &HashMap<&Id, Vec<u32>>,
        drafts: &Drafts<'_>,
    ) -> Self {
        let (launches, (nodes, opened)) = rayon::join(
            || launches(events, numbered, drafts),
            || nodes_named(events, kinds, numbered, drafts),
        );
        let columns = numbered.request_of.iter().zip(nodes);
        let uses = numbered.uses.iter().zip(columns).map(|(used, (request, node))| Use {
            event: used.event,
            request: *request,
            node,
            is_refusal: used.is_refusal,
            is_data_key: used.is_data_key,
        });
        let with_request = (0u32..).zip(&numbered.request_of);
        let with_request = with_request.filter_map(|(number, request)| Some(((*request)?, number)));
        let opened = opened_volumes(opened, drafts.drafts.len());
        let is_open = |(draft, opened): (&Draft, usize)| {
            let request = || events[draft.launch? as usize].request_id.as_ref();
            opened >= draft.volumes_made.unwrap_or(1)
                && (cleanups.is_empty() || !request().is_some_and(|id| cleanups.contains_key(id)))
        };
        Self {
            events,
            kinds,
            uses: uses.collect(),
            rows: &numbered.uses,
            uses_by_request: Grouped::new(numbered.requests.len(), with_request),
            launches,
            opened: drafts.drafts.iter().map(|draft| &**draft).zip(opened).map(is_open).collect(),
            later_requests: later_requests(events, kinds, drafts),
            others: OnceLock::new(),
        }
    }

    /// The node of the AttachVolume or StartInstances with this request id.
    pub(super) fn later_node(&self, request_id: &Id) -> Option<u32> {
        self.later_requests.get(request_id).copied()
    }

    /// Whether the request is a call that is no launch: CreateVolume, AttachVolume, StartInstances, image copies.
    pub(super) fn is_of_other_call(&self, request_id: &Id) -> bool {
        let others = self.others.get_or_init(|| {
            let volumes = at(self.events, &self.kinds.volumes);
            let ends = at(self.events, &self.kinds.ends);
            let copies = at(self.events, &self.kinds.configuration)
                .filter(|(_, event)| matches!(event.detail, Detail::ImageCopy(_)));
            volumes.chain(ends).chain(copies).filter_map(|(_, event)| event.request_id.as_ref()).collect()
        });
        others.contains(request_id)
    }
}

/// KMS logs a cross-account call in the key owner's account too. Where the caller's record is at hand, the
/// owner's copy adds nothing.
fn copies_in_owners_account(events: &[Box<Event>], kinds: &Kinds<'_>) -> HashSet<u32> {
    if kinds.foreign_uses.is_empty() {
        return HashSet::new();
    }
    let call = |event: &Event| Some((event.shared_event_id.clone()?, event.name.clone()));
    let callers: HashSet<(Id, Text)> = kinds
        .key_uses()
        .map(|used| &*events[used.event as usize])
        .filter(|event| event.identity.kind != IdentityKind::AwsAccount)
        .filter_map(call)
        .collect();
    at(events, &kinds.foreign_uses)
        .filter(|(_, event)| call(event).is_some_and(|call| callers.contains(&call)))
        .map(|(index, _)| index)
        .collect()
}

/// The nodes that each of the uses' requests made.
fn launches(events: &[Box<Event>], numbered: &Numbered<'_>, drafts: &Drafts<'_>) -> Grouped {
    let mut made: Vec<(u32, u32)> = Vec::with_capacity(drafts.drafts.len());
    for (node, draft) in (0u32..).zip(&drafts.drafts) {
        let made_by = [draft.launch, draft.fleet].into_iter().flatten();
        let ids = made_by.filter_map(|event| events[event as usize].request_id.as_ref());
        for request in ids.filter_map(|id| numbered.requests.get(id)) {
            let pair = (*request, node);
            if made.last() != Some(&pair) {
                made.push(pair);
            }
        }
    }
    Grouped::new(numbered.requests.len(), made.into_iter())
}

/// A node, and the number of a volume that was opened for it or whose key was granted to it; 0 for a volume that
/// no event names.
type Opened = (u32, u32);

/// The node that each use names, itself or through its volume; and the volumes opened for each node.
fn nodes_named(
    events: &[Box<Event>],
    kinds: &Kinds<'_>,
    numbered: &Numbered<'_>,
    drafts: &Drafts<'_>,
) -> (Vec<Option<u32>>, Vec<Opened>) {
    let node_of = |instance| drafts.number(instance);
    // The node that each use names itself, where it names an instance.
    let own: Vec<Option<Option<u32>>> =
        numbered.uses.par_iter().map(|used| used.instance.map(node_of)).collect();
    // Number of a volume -> node, where one event names both. The first stands for no volume.
    let mut holders: Vec<Option<u32>> = vec![None; numbered.volumes.len() + 1];
    let mut opened = Vec::with_capacity(numbered.uses.len());
    for ((used, own), volume) in numbered.uses.iter().zip(&own).zip(&numbered.volume_of) {
        if let (Some(Some(node)), true) = (own, used.is_success) {
            opened.push((*node, *volume));
            if *volume > 0 {
                holders[*volume as usize] = Some(*node);
            }
        }
    }
    // What an instance opens is its own; that it is attached says less.
    for (_, event) in at(events, &kinds.volumes).filter(|(_, event)| event.error.is_none()) {
        if let Detail::Volume(VolumeChange::Attached { volume_id: Some(volume), instance_id: Some(instance) }) =
            &event.detail
            && let Some(node) = node_of(Name::of(instance))
            && let Some(volume) = numbered.volumes.get(&Name::of(volume))
        {
            holders[*volume as usize].get_or_insert(node);
        }
    }
    // Whoever names an instance, be it a node or not, says no more by the volume.
    let by_volume = numbered.volume_of.iter().map(|volume| holders[*volume as usize]);
    let nodes = own.iter().zip(by_volume).map(|(own, by_volume)| own.unwrap_or(by_volume));
    (nodes.collect(), opened)
}

/// How many volumes were opened for each of `nodes` nodes.
fn opened_volumes(mut opened: Vec<Opened>, nodes: usize) -> Vec<usize> {
    opened.sort_unstable();
    opened.dedup();
    let mut counts = vec![0; nodes];
    for (node, _) in opened {
        counts[node as usize] += 1;
    }
    counts
}

fn later_requests<'a>(
    events: &'a [Box<Event>],
    kinds: &Kinds<'_>,
    drafts: &Drafts<'_>,
) -> HashMap<&'a Id, u32> {
    let mut requests = HashMap::new();
    for (_, event) in at(events, &kinds.volumes) {
        let instance = match &event.detail {
            Detail::Volume(VolumeChange::Attached { instance_id, .. }) => instance_id.as_ref(),
            Detail::Start(instances) => match instances.as_slice() {
                [only] => Some(&only.instance_id),
                _ => None,
            },
            _ => None,
        };
        let node = instance.and_then(|instance| drafts.number(Name::of(instance)));
        if let (Some(id), Some(node)) = (&event.request_id, node) {
            requests.insert(id, node);
        }
    }
    requests
}
