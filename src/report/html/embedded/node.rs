//! Rows of nodes: what is known of each, its volumes and its timeline.
//!
//! A node of the case comes in, one row goes out, in the order of [`NODE`].

use super::cell::{Cell, Strings};
use super::{EventNumbers, STEPS_MAX};
use crate::correlate::{Case, Confidence, DeviceKey, Node, Provisioner, TimelineRef, Volume};
use crate::report::document::contract_name;
use crate::report::explanation::wording::{end_sentence, expected_name, verdict_sentence};
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
    "timeline:r:step",
    "steps_left_out:n",
    "findings:N",
];

/// Columns of an expected key.
pub(super) const EXPECTED: &[&str] = &["device:s", "written:s", "key_arn:s", "source:s", "evidence:N"];

/// Columns of a volume.
pub(super) const VOLUME: &[&str] =
    &["volume_id:s", "key_arn:s", "origin:s", "role:s", "outcome:s", "inferred:n", "evidence:N"];

/// Columns of an entry of a timeline.
pub(super) const STEP: &[&str] = &["event:n", "role:s", "inferred:n", "summary:p"];

pub(super) fn row(
    case: &Case,
    index: usize,
    findings: &[usize],
    start: i64,
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
    let steps = node.timeline.iter().take(STEPS_MAX);
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
        Cell::Rows(node.expected_keys.iter().map(|own| expected_row(own, numbers, strings)).collect()),
        Cell::Rows(node.volumes.iter().map(|volume| volume_row(volume, numbers, strings)).collect()),
        Cell::Rows(steps.map(|entry| step_row(case, node, entry, numbers, strings)).collect()),
        Cell::Number(i64::try_from(node.timeline.len().saturating_sub(STEPS_MAX)).unwrap_or(i64::MAX)),
        Cell::Numbers(findings.to_vec()),
    ]
}

fn expected_row(own: &DeviceKey, numbers: &EventNumbers<'_>, strings: &mut Strings) -> Vec<Cell> {
    vec![
        strings.optional(own.device.as_deref()),
        strings.optional(own.key.written.as_deref()),
        strings.optional(own.key.key_arn.as_deref()),
        strings.text(&contract_name(own.key.source)),
        numbers.of(&own.key.evidence),
    ]
}

fn volume_row(volume: &Volume, numbers: &EventNumbers<'_>, strings: &mut Strings) -> Vec<Cell> {
    vec![
        strings.optional(volume.volume_id.as_deref()),
        strings.optional(volume.key_arn.as_deref()),
        strings.text(&contract_name(volume.key_origin)),
        strings.optional(volume.role.map(contract_name).as_deref()),
        strings.text(&contract_name(volume.outcome)),
        Cell::Number(i64::from(volume.confidence == Confidence::Inferred)),
        numbers.of(&volume.evidence),
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
    ]
}
