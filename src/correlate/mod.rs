//! From events to nodes, failed launches and keys. Pure, deterministic, and blind to the order in which
//! events arrive.
//!
//! [`Evidence::gather`] makes one sorted set of the events; [`correlate`] builds the histories
//! ([`History`]), the nodes and what is joined to them, and judges each node by its own evidence. What a
//! join cannot prove is marked as inferred; what the archive does not show stays unknown.

mod case;
mod evidence;
mod expectation;
mod failures;
mod filter;
mod grouped;
mod history;
mod key;
mod key_use;
mod kinds;
mod launches;
mod mentions;
mod name;
mod summary;
mod termination;
mod verdict;
mod volumes;

pub use case::*;
pub use evidence::Evidence;
pub use expectation::Expectations;
pub use filter::Filter;
pub use history::{ClusterKey, ConfiguredMappings, Dated, DefaultKey, History, Place};
pub use key::{WrittenKey, is_same_key};
pub use key_use::SESSION_JOIN_SECONDS_MAX;
pub use termination::REGISTRATION_TIMEOUT_SECONDS;
pub use verdict::RECORDING_SECONDS_MAX;

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::event::{Coverage, Event, Id, Text, Timestamp};
use expectation::{Resolver, common_key, differ};
use key_use::Numbered;
use kinds::Kinds;
use launches::{Draft, Drafts};
use summary::KeyTallies;

/// What is asked of the evidence.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What the user says about keys.
    pub expectations: Expectations,
    /// Which nodes are of interest.
    pub filter: Filter,
}

/// Builds the case. `coverage` must already be settled with the evidence.
#[must_use]
pub fn correlate(evidence: Evidence, coverage: Coverage, question: &Question) -> Case {
    let events = evidence.events;
    let kinds = Kinds::find(&events);
    let ((history, numbered), mut drafts) = rayon::join(
        || (History::build(&events, &kinds.configuration), Numbered::find(&events, &kinds)),
        || Drafts::build(&events, &kinds),
    );
    let cleanups = termination::cleanups(&events, &kinds);
    let unjoined_refusals = key_use::join(&events, &history, &kinds, &numbered, &cleanups, &mut drafts);
    drop(numbered);
    let resolver = Resolver { events: &events, history: &history, expectations: &question.expectations };
    let ((launch_failures, recorded), (later, ended_grants)) = rayon::join(
        || (failures::find(&events, &kinds), verdict::RecordedKeyUse::build(&events, &kinds, &drafts)),
        || (volumes::LaterVolumes::build(&events, &kinds), volumes::ended_grants(&events, &kinds)),
    );
    // What served the joining is given back before the nodes are made.
    let mut drafts = drafts.into_drafts();
    drop(kinds);
    let context = Context { resolver, later, ended_grants, cleanups, recorded };
    drafts.retain(|draft| question.filter.may_admit(&draft.node));
    sort(&mut drafts);
    let mut nodes: Vec<Node> = drafts.into_par_iter().map(|draft| context.judge(draft)).collect();
    if question.filter.from.is_some() || question.filter.to.is_some() {
        nodes.retain(|node| question.filter.admits_node(node));
    }
    drop(context);
    let launch_failures =
        launch_failures.into_iter().filter(|failure| question.filter.admits_failure(failure)).collect();
    let unjoined_refusals: Vec<u32> = unjoined_refusals
        .into_iter()
        .filter(|event| question.filter.admits_event(&events[*event as usize]))
        .collect();
    let keys = KeyTallies::of(&nodes, &events).summaries(&events, &history);
    Case { events, coverage, nodes, launch_failures, keys, history, unjoined_refusals }
}

/// Sorts by launch, then by place and id; nodes whose launch is not known come last.
fn sort(drafts: &mut Vec<Box<Draft>>) {
    let mut ordered: Vec<(bool, Option<Timestamp>, Box<Draft>)> = std::mem::take(drafts)
        .into_iter()
        .map(|draft| (draft.node.launched_at.is_none(), draft.node.launched_at, draft))
        .collect();
    ordered.par_sort_unstable_by(|one, two| {
        let launch = (one.0, one.1).cmp(&(two.0, two.1));
        launch.then_with(|| {
            let (one, two) = (&one.2.node, &two.2.node);
            (&one.account_id, &one.region, &one.instance_id).cmp(&(
                &two.account_id,
                &two.region,
                &two.instance_id,
            ))
        })
    });
    drafts.extend(ordered.into_iter().map(|(_, _, draft)| draft));
}

/// What all nodes are judged with.
struct Context<'a> {
    resolver: Resolver<'a>,
    later: volumes::LaterVolumes<'a>,
    ended_grants: HashMap<&'a Text, Vec<u32>>,
    cleanups: HashMap<&'a Id, Vec<u32>>,
    recorded: verdict::RecordedKeyUse<'a>,
}

impl Context<'_> {
    fn judge(&self, mut draft: Box<Draft>) -> Node {
        let events: &[Box<Event>] = self.resolver.events;
        let mut found = volumes::find(&mut draft, events, &self.later);
        volumes::note_ended_grants(&mut draft, events, &self.ended_grants);
        let configured = self.resolver.configured(&draft);
        let expected = self.resolver.expected(&draft, &configured);
        for volume in &mut found {
            volume.volume.key_origin =
                verdict::origin_of(&self.resolver, &draft, &configured, &expected, volume);
        }
        let mut refused_by: Vec<u32> = found
            .iter()
            .filter(|found| {
                found.volume.role == Some(VolumeRole::Launch) && found.volume.outcome != VolumeOutcome::Used
            })
            .flat_map(|found| found.events.iter().copied())
            .filter(|event| events[*event as usize].error.is_some())
            .collect();
        refused_by.sort_unstable();
        refused_by.dedup();
        // Collecting would keep the larger places of what was found.
        let mut volumes = Vec::with_capacity(found.len());
        volumes.extend(found.into_iter().map(|found| found.volume));
        let found: Vec<Volume> = volumes;
        let (key_verdict, deciding) = verdict::judge(&draft, &found, &expected, &self.recorded);
        let termination = termination::find(&mut draft, events, &found, &refused_by, &self.cleanups);
        if let Some(mappings) = &configured.mappings {
            for event in &mappings.events {
                draft.note(*event, TimelineRole::Configuration);
            }
        }
        draft.timeline.sort_by_key(|entry| (entry.event, entry.role));
        draft.timeline.dedup_by_key(|entry| entry.event);
        let Draft { mut node, timeline, .. } = *draft;
        node.key_verdict = key_verdict;
        node.key_origin = deciding.map_or(KeyOrigin::Unknown, |index| found[index].key_origin);
        node.used_keys = used_keys(&found);
        node.expected_key = common_key(&expected);
        if expected.iter().any(|device| device.key.source == KeySource::NodeClass)
            && configured.mappings.is_some()
            && differ(&configured.keys, &expected)
        {
            node.template_keys = configured.keys;
        }
        node.expected_keys = expected;
        node.volumes = found;
        node.ended_at = termination.as_ref().map(|termination| termination.at);
        node.termination = termination;
        node.timeline = timeline;
        node
    }
}

/// Keys of the launch's volumes that were used, each once.
fn used_keys(volumes: &[Volume]) -> Vec<Text> {
    let mut keys: Vec<Text> = volumes
        .iter()
        .filter(|volume| volume.role == Some(VolumeRole::Launch) && volume.outcome == VolumeOutcome::Used)
        .filter_map(|volume| volume.key_arn.clone())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests;
