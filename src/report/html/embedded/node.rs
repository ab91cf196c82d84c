//! Rows of nodes: what is known of each, its volumes and its timeline.
//!
//! A node of the case comes in, one row goes out, in the order of [`NODE`].

use super::cell::{Cell, Strings};
use super::finding::Concerning;
use super::{EventNumbers, VOLUMES_MAX};
use crate::correlate::{Case, Confidence, DeviceKey, Node, Provisioner, TimelineRef, TimelineRole, Volume};
use crate::event::Id;
use crate::report::document::contract_name;
use crate::report::explanation::wording::{end_sentence, expected_name, verdict_sentence};
use crate::report::html::change;
use crate::report::html::outcome::Outcome;
use crate::report::sentence::sentence;

/// Columns of a node.
pub(super) const NODE: &[&str] = &[
    "instance_id:s",
    "node_name:s",
    "nodeclaim:s",
    "cluster:s",
    "nodepool:s",
    "nodeclass:s",
    "account_id:s",
    "region:s",
    "availability_zone:s",
    "instance_type:s",
    "capacity_type:s",
    "image_id:s",
    "launch_template:s",
    "fleet_id:s",
    "launched_by:s",
    "principal_arn:s",
    "launched_at:n",
    "ended_at:n",
    "outcome:s",
    "key_verdict:s",
    "key_origin:s",
    "cause:s",
    "cause_confidence:s",
    "verdict:p",
    "end:p",
    "expected_key:s",
    "used_keys:S",
    "expected:r:expected",
    "volumes:r:volume",
    "volumes_left_out:n",
    "timeline:r:step",
    "steps_left_out:n",
    "findings:N",
    "recommended:n",
];

/// Columns of an expected key.
pub(super) const EXPECTED: &[&str] = &["device:s", "written:s", "key_arn:s", "source:s", "steps:N"];

/// Columns of a volume.
pub(super) const VOLUME: &[&str] =
    &["volume_id:s", "key_arn:s", "origin:s", "role:s", "outcome:s", "inferred:n", "steps:N"];

/// Columns of an entry of a timeline.
pub(super) const STEP: &[&str] = &["event:n", "role:s", "inferred:n", "summary:p", "change:s"];

pub(super) fn row(
    case: &Case,
    index: usize,
    (steps, concerning): (&[TimelineRef], &Concerning),
    (start, steps_max): (i64, usize),
    numbers: &EventNumbers<'_>,
    strings: &mut Strings,
) -> Vec<Cell> {
    let node = &case.nodes[index];
    let launched_by = match (node.provisioner, node.karpenter_version.as_deref()) {
        (Provisioner::Karpenter, Some(version)) => format!("karpenter {version}"),
        (provisioner, _) => contract_name(provisioner),
    };
    let template = node.launch_template.as_ref().map(|template| match &template.version {
        Some(version) => format!("{} version {version}", template.id),
        None => template.id.to_string(),
    });
    let seconds =
        |at: Option<crate::event::Timestamp>| at.map_or(Cell::None, |at| Cell::Number(at.second() - start));
    let ending = node.termination.as_ref();
    let expected_key = node.expected_key.as_ref().map(expected_name);
    let volumes = node.volumes.iter().take(VOLUMES_MAX);
    vec![
        strings.text(&node.instance_id),
        strings.optional(node.node_name.as_deref()),
        strings.optional(node.nodeclaim.as_deref()),
        strings.optional(node.cluster.as_deref()),
        strings.optional(node.nodepool.as_deref()),
        strings.optional(node.nodeclass.as_deref()),
        strings.text(&node.account_id),
        strings.text(&node.region),
        strings.optional(node.availability_zone.as_deref()),
        strings.optional(node.instance_type.as_deref()),
        strings.optional(node.capacity_type.map(contract_name).as_deref()),
        strings.optional(node.image_id.as_deref()),
        strings.optional(template.as_deref()),
        strings.optional(node.fleet_id.as_deref()),
        strings.text(&launched_by),
        strings.optional(node.principal_arn.as_deref()),
        seconds(node.launched_at),
        seconds(node.ended_at),
        strings.text(Outcome::of(node).class()),
        strings.text(&contract_name(node.key_verdict)),
        strings.text(&contract_name(node.key_origin)),
        strings.optional(ending.map(|ending| contract_name(ending.cause)).as_deref()),
        strings.optional(ending.map(|ending| contract_name(ending.confidence)).as_deref()),
        strings.phrase(&verdict_sentence(case, node)),
        strings.phrase(&end_sentence(node)),
        strings.optional(expected_key.as_deref()),
        strings.list(node.used_keys.iter().map(|key| &**key)),
        Cell::Rows(node.expected_keys.iter().map(|own| expected_row(case, own, steps, strings)).collect()),
        Cell::Rows(volumes.map(|volume| volume_row(case, volume, steps, strings)).collect()),
        left_out(node.volumes.len(), VOLUMES_MAX),
        Cell::Rows(steps.iter().map(|entry| step_row(case, node, entry, numbers, strings)).collect()),
        left_out(node.timeline.len(), steps_max),
        Cell::Numbers(concerning.findings.clone()),
        concerning.recommended.map_or(Cell::None, Cell::Index),
    ]
}

/// The steps of a node, at most so many: those that decide its fate come first, in order of time again.
pub(super) fn decisive_steps(node: &Node, most: usize) -> Vec<TimelineRef> {
    let rank = |entry: &TimelineRef| match entry.role {
        TimelineRole::Refusal | TimelineRole::Launch | TimelineRole::End => 0,
        TimelineRole::KeyUse | TimelineRole::Configuration | TimelineRole::Cleanup => 1,
        TimelineRole::Registration | TimelineRole::Fleet | TimelineRole::EndAttempt => 2,
        _ => 3,
    };
    let mut steps = node.timeline.clone();
    if steps.len() > most {
        // The sort keeps the order of time among equals.
        steps.sort_by_key(rank);
        steps.truncate(most);
        steps.sort_by_key(|entry| entry.event);
    }
    steps
}

fn left_out(all: usize, kept: usize) -> Cell {
    Cell::Index(all.saturating_sub(kept))
}

/// Which steps of the node, from 1, are the events with these ids.
fn cited(case: &Case, steps: &[TimelineRef], ids: &[Id]) -> Cell {
    let is_cited = |step: &TimelineRef| ids.contains(&case.events[step.event as usize].event_id);
    Cell::Numbers((1..).zip(steps).filter(|(_, step)| is_cited(step)).map(|(number, _)| number).collect())
}

fn expected_row(case: &Case, own: &DeviceKey, steps: &[TimelineRef], strings: &mut Strings) -> Vec<Cell> {
    vec![
        strings.optional(own.device.as_deref()),
        strings.optional(own.key.written.as_deref()),
        strings.optional(own.key.key_arn.as_deref()),
        strings.text(&contract_name(own.key.source)),
        cited(case, steps, &own.key.evidence),
    ]
}

fn volume_row(case: &Case, volume: &Volume, steps: &[TimelineRef], strings: &mut Strings) -> Vec<Cell> {
    vec![
        strings.optional(volume.volume_id.as_deref()),
        strings.optional(volume.key_arn.as_deref()),
        strings.text(&contract_name(volume.key_origin)),
        strings.optional(volume.role.map(contract_name).as_deref()),
        strings.text(&contract_name(volume.outcome)),
        Cell::Number(i64::from(volume.confidence == Confidence::Inferred)),
        cited(case, steps, &volume.evidence),
    ]
}

fn step_row(
    case: &Case,
    node: &Node,
    entry: &TimelineRef,
    numbers: &EventNumbers<'_>,
    strings: &mut Strings,
) -> Vec<Cell> {
    let event = &case.events[entry.event as usize];
    let number = numbers.by_index.get(&entry.event).copied().unwrap_or_default();
    vec![
        Cell::Index(number),
        strings.text(&contract_name(entry.role)),
        Cell::Number(i64::from(entry.confidence == Confidence::Inferred)),
        strings.phrase(&sentence(event, entry.role, node)),
        strings.optional(change::mark(&event.detail).filter(|_| entry.role == TimelineRole::Configuration)),
    ]
}

#[cfg(test)]
mod tests {
    use super::decisive_steps;
    use crate::correlate::{Confidence, Node, TimelineRef, TimelineRole};

    #[test]
    fn a_long_timeline_keeps_what_decides_in_order_of_time() {
        let step = |event, role| TimelineRef { event, role, confidence: Confidence::Observed };
        let mut timeline = vec![step(0, TimelineRole::Launch)];
        timeline.extend((1..500).map(|event| step(event, TimelineRole::VolumeOpened)));
        timeline.extend([step(500, TimelineRole::Refusal), step(501, TimelineRole::End)]);
        let node = Node { timeline, ..Node::default() };
        let kept: Vec<u32> = decisive_steps(&node, 5).iter().map(|step| step.event).collect();
        assert_eq!(kept, [0, 1, 2, 500, 501]);
        assert_eq!(decisive_steps(&node, 1_000).len(), 502);
    }
}
