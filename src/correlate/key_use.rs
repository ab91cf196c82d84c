//! Which KMS event belongs to which node, strongest join first: request id, instance, volume; and where
//! these give nothing, the same session shortly after the launch, marked as inferred.

mod index;

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::case::Confidence;
use super::grouped::Grouped;
use super::history::{CLOCK_SKEW_SECONDS_MAX, History};
use super::kinds::{Kinds, UsePlace};
use super::launches::{Draft, Drafts};
use crate::event::{
    Denial, Event, Id, KmsOperation, KmsUse, Text, is_key_state_failure, is_refusal, is_throttling,
};
pub(super) use index::Numbered;
use index::{Index, Use};

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
    /// Whether it made the data key of a volume.
    pub(super) is_data_key: bool,
    /// Whether KMS refused what a launch needs.
    is_refusal: bool,
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

/// Joins the KMS events to the nodes. Returns the refusals that EC2 was given for a launch and that belong to no
/// node that is known.
pub(super) fn join(
    events: &[Box<Event>],
    history: &History,
    kinds: &Kinds<'_>,
    numbered: &Numbered<'_>,
    cleanups: &HashMap<&Id, Vec<u32>>,
    drafts: &mut Drafts<'_>,
) -> Vec<u32> {
    drafts.drafts.par_iter_mut().for_each(|draft| draft.volumes_made = volumes_made(draft, history));
    let index = Index::build(events, kinds, numbered, cleanups, drafts);
    let Joined { mut joins, asked, apart } = join_requests(&index, drafts);
    let unjoined = join_by_session(&index, drafts, &apart, &mut joins);
    let by_node = (0u32..).zip(&joins).map(|(number, (node, _))| (*node, number));
    let by_node = Grouped::new(drafts.drafts.len(), by_node);
    drafts.drafts.par_iter_mut().zip(&index.opened).enumerate().for_each(|(node, (draft, is_opened))| {
        let node = u32::try_from(node).expect("fewer than four billion instances");
        draft.key_uses = by_node.of(node).iter().map(|join| joins[*join as usize].1).collect();
        draft.key_uses.sort_by_key(|join| join.event);
        draft.is_opened = *is_opened;
    });
    for node in asked {
        drafts.drafts[node as usize].is_kms_asked = true;
    }
    unjoined
}

/// What was found of some requests, one after the other.
#[derive(Default)]
struct Joined {
    /// Nodes, and what is joined to them.
    joins: Vec<(u32, JoinedUse)>,
    /// Nodes that a request launched alone which asked KMS for something.
    asked: Vec<u32>,
    /// Uses of one request that nothing joins, as numbers.
    apart: Vec<Vec<u32>>,
}

/// The joining of one request after the other.
struct Joining<'i, 'a> {
    index: &'i Index<'a>,
    drafts: &'i Drafts<'i>,
    joined: Joined,
}

/// Joins the uses of each request: one of them may name what the others do not. Then those without a request.
fn join_requests(index: &Index<'_>, drafts: &Drafts<'_>) -> Joined {
    let numbered = || index.uses.par_iter().enumerate();
    let joining = || Joining { index, drafts, joined: Joined::default() };
    let of_requests = numbered().filter_map(|(number, used)| {
        let number = u32::try_from(number).expect("fewer than four billion events");
        let request = used.request?;
        let group = index.uses_by_request.of(request);
        (group[0] == number).then(|| (group, index.launches.of(request)))
    });
    let of_requests = of_requests.fold(joining, |mut joining, (group, launched)| {
        joining.join_group(group, launched);
        joining
    });
    let alone =
        numbered().filter(|(_, used)| used.request.is_none()).fold(joining, |mut joining, (number, _)| {
            joining.join_group(&[u32::try_from(number).expect("fewer than four billion events")], &[]);
            joining
        });
    let mut all = Joined::default();
    let found: Vec<Joined> = of_requests.chain(alone).map(|joining| joining.joined).collect();
    for mut found in found {
        all.joins.append(&mut found.joins);
        all.asked.append(&mut found.asked);
        all.apart.append(&mut found.apart);
    }
    all
}

impl Joining<'_, '_> {
    fn used(&self, number: u32) -> &Use {
        &self.index.uses[number as usize]
    }

    fn is_open(&self, node: u32) -> bool {
        self.index.opened[node as usize]
    }

    /// Which of several instances of one request a refusal may be for: those that did not open their volumes, and
    /// if all of these lived, the others that did not. A refusal is somebody's: if all lived, it is noted with all.
    fn refused(&self, launched: &[u32]) -> Vec<u32> {
        let is_lifeless = |node: u32| self.drafts.drafts[node as usize].life.is_none();
        let is_explained = launched.iter().any(|node| !self.is_open(*node) && is_lifeless(*node));
        let is_candidate = |node: &u32| !self.is_open(*node) || !is_explained && is_lifeless(*node);
        let candidates: Vec<u32> = launched.iter().copied().filter(is_candidate).collect();
        if candidates.is_empty() { launched.to_vec() } else { candidates }
    }

    /// Joins a use to one of several candidates of a request that made the nodes `launched`.
    fn note(&mut self, number: u32, node: u32, candidates: usize, launched: &[u32]) {
        let used = *self.used(number);
        let is_certain = candidates == 1 && (launched.len() < 2 || used.node.is_some());
        self.joined.joins.push((
            node,
            JoinedUse {
                event: used.event,
                confidence: if is_certain { Confidence::Observed } else { Confidence::Inferred },
                is_of_launch_request: launched.contains(&node),
                is_data_key: used.is_data_key,
                is_refusal: used.is_refusal,
            },
        ));
    }

    /// Joins the uses of one request, which made the nodes `launched`.
    fn join_group(&mut self, group: &[u32], launched: &[u32]) {
        let place = self.index.rows[group[0] as usize].place;
        let is_here = |node: &u32| is_same_place(place, &self.drafts.drafts[*node as usize]);
        let launched: Vec<u32> = launched.iter().copied().filter(is_here).collect();
        if let [only] = launched[..] {
            self.joined.asked.push(only);
            for &number in group {
                // A volume that another node is known to hold is that node's, whatever the request.
                self.note(number, self.used(number).node.unwrap_or(only), 1, &launched);
            }
            return;
        }
        let mut unnamed = Vec::new();
        for &number in group {
            match self.used(number).node {
                Some(node) => self.note(number, node, 1, &launched),
                None => unnamed.push(number),
            }
        }
        if !unnamed.is_empty() {
            self.join_unnamed(group, unnamed, &launched);
        }
    }

    /// Joins what names no node to one that its request leads to.
    fn join_unnamed(&mut self, group: &[u32], unnamed: Vec<u32>, launched: &[u32]) {
        if !launched.is_empty() {
            // Those that opened their volumes need no further explanation.
            let open: Vec<u32> = launched.iter().copied().filter(|node| !self.is_open(*node)).collect();
            let has_refusal = unnamed.iter().any(|number| self.used(*number).is_refusal);
            // A data key without a grant explains a refused grant.
            let candidates = if has_refusal { self.refused(launched) } else { open };
            for number in unnamed {
                for &node in &candidates {
                    self.note(number, node, candidates.len(), launched);
                }
            }
            return;
        }
        let index = self.index;
        let request_id = index.events[self.used(group[0]).event as usize].request_id.as_ref();
        let mut named = group.iter().filter_map(|number| self.used(*number).node);
        let only_named = named.next().filter(|first| named.all(|other| other == *first));
        let node = request_id.and_then(|id| index.later_node(id)).or(only_named);
        if let Some(node) = node {
            for number in unnamed {
                self.note(number, node, 1, launched);
            }
        } else if !request_id.is_some_and(|id| index.is_of_other_call(id)) {
            self.joined.apart.push(unnamed);
        }
    }
}

/// How many EBS volumes the launch made, as its launch template says; at least one. `None` where the archive does
/// not hold the template.
fn volumes_made(draft: &Draft, history: &History) -> Option<usize> {
    let template = draft.node.launch_template.as_ref()?;
    history.volumes_made(&template.id, template.version.as_deref(), draft.node.launched_at?)
}

/// Caller's account (or the record's, where the caller is a service) and region are the node's.
fn is_same_place(place: UsePlace<'_>, draft: &Draft) -> bool {
    let UsePlace { region, account_id, caller } = place;
    let node = &draft.node;
    *region == *node.region && (*caller == *node.account_id || *account_id == *node.account_id)
}

/// (session ARN, account, region) -> launches by time.
type Sessions<'a> = HashMap<(&'a Text, &'a Text, &'a Text), Vec<(i64, u32)>>;

fn launches_by_session<'a>(events: &'a [Box<Event>], drafts: &'a Drafts<'_>) -> Sessions<'a> {
    let mut launches: Sessions<'_> = HashMap::new();
    for (number, draft) in (0u32..).zip(&drafts.drafts) {
        let Some(event) = draft.launch.or(draft.fleet).map(|index| &events[index as usize]) else {
            continue;
        };
        if let Some(session) = &event.identity.arn {
            let key = (session, &draft.node.account_id, &draft.node.region);
            launches.entry(key).or_default().push((event.time.second(), number));
        }
    }
    for list in launches.values_mut() {
        list.sort_unstable();
    }
    launches
}

/// The weakest join, of uses that no other joins: the same session, account and region, shortly after the launch.
/// Returns what EC2 was refused and not even this joins.
fn join_by_session(
    index: &Index<'_>,
    drafts: &Drafts<'_>,
    apart: &[Vec<u32>],
    joins: &mut Vec<(u32, JoinedUse)>,
) -> Vec<u32> {
    if apart.is_empty() {
        return Vec::new();
    }
    let events = index.events;
    let used = |number: u32| &index.uses[number as usize];
    let refused: HashSet<u32> = joins
        .iter()
        .filter(|(_, join)| join.is_of_launch_request && join.confidence == Confidence::Observed)
        .filter(|(_, join)| join.is_refusal)
        .map(|(node, _)| *node)
        .collect();
    let sessions = launches_by_session(events, drafts);
    let mut joined: HashSet<u32> = HashSet::new();
    let mut taken: HashMap<u32, u32> = HashMap::new();
    for group in apart {
        let first = &events[used(group[0]).event as usize];
        let Some(session) = first.identity.arn.as_ref().filter(|_| first.identity.is_invoked_by_ec2()) else {
            continue;
        };
        let has_refusal = group.iter().any(|number| used(*number).is_refusal);
        let account = first.identity.account_id.as_ref().unwrap_or(&first.account_id);
        let Some(launches) = sessions.get(&(session, account, &first.region)) else {
            continue;
        };
        let time = first.time.second();
        let from = launches.partition_point(|(launch, _)| *launch < time - SESSION_JOIN_SECONDS_MAX);
        let candidates: Vec<u32> = launches[from..]
            .iter()
            .take_while(|(launch, _)| *launch <= time + CLOCK_SKEW_SECONDS_MAX)
            .map(|(_, node)| *node)
            .filter(|node| !index.opened[*node as usize] && !refused.contains(node))
            // Who lived was not refused; what it used is another matter.
            .filter(|node| !has_refusal || drafts.drafts[*node as usize].life.is_none())
            .collect();
        for &node in &candidates {
            let taken = taken.entry(node).or_default();
            if *taken >= SESSION_JOINS_MAX {
                continue;
            }
            *taken += u32::try_from(group.len()).unwrap_or(u32::MAX);
            joined.extend(group);
            joins.extend(group.iter().map(|number| {
                let Use { event, is_data_key, is_refusal, .. } = *used(*number);
                let confidence = Confidence::Inferred;
                (node, JoinedUse { event, confidence, is_of_launch_request: false, is_data_key, is_refusal })
            }));
        }
    }
    let unjoined =
        apart.iter().flatten().filter(|number| !joined.contains(*number)).map(|number| used(*number));
    unjoined
        .filter(|used| used.is_refusal && events[used.event as usize].identity.is_invoked_by_ec2())
        .map(|used| used.event)
        .collect()
}
