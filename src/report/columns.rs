//! The flat tables: which rows each has, and its columns with name, meaning, type and getter.
//!
//! One definition for every tabular output. A case and its findings come in, rows and their values go out
//! one at a time; how a value is written is the business of each output. Names are those of the JSON
//! document; what is nested there is joined with `_` here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::document::{contract_name, rules_by_node, timeline_entry};
use crate::correlate::{Case, ExpectedKey, Node, Termination, TimelineEntry, Volume};
use crate::event::{Id, Text, Timestamp};
use crate::rules::Finding;

/// The flat tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// One row per node.
    Nodes,
    /// One row per volume of a node.
    Volumes,
    /// One row per event of a node's timeline.
    Timeline,
    /// One row per finding.
    Findings,
}

/// A text that names no table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no table is named `{name}`; there are {}", Table::ALL.map(Table::name).join(", "))]
pub struct UnknownTable {
    /// The text.
    pub name: String,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 4] = [Self::Nodes, Self::Volumes, Self::Timeline, Self::Findings];

    /// The table's name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nodes => Nodes::NAME,
            Self::Volumes => Volumes::NAME,
            Self::Timeline => Timeline::NAME,
            Self::Findings => Findings::NAME,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Table {
    type Err = UnknownTable;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|table| table.name() == name)
            .ok_or_else(|| UnknownTable { name: name.to_owned() })
    }
}

/// What the rows are made from.
pub(super) struct Source<'a> {
    case: &'a Case,
    findings: &'a [Finding],
    rules: BTreeMap<&'a str, Vec<&'static str>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(case: &'a Case, findings: &'a [Finding]) -> Self {
        Self { case, findings, rules: rules_by_node(findings) }
    }
}

/// One cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Time(Timestamp),
    Integer(u64),
    List(Vec<Cow<'a, str>>),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Time,
    Integer,
    /// Texts, and what separates them where a cell must be one text.
    List(&'static str),
}

/// Separates ids, ARNs and names, none of which holds a blank.
const IDS: Type = Type::List(" ");
/// Separates sentences.
pub(super) const SENTENCES: Type = Type::List("; ");

/// One column of a table.
pub(super) struct Column<T: Rows> {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) kind: Type,
    pub(super) get: for<'r> fn(&'r T::Row<'_>) -> Value<'r>,
}

/// A table's rows and columns.
pub(super) trait Rows: Sized + 'static {
    /// What a row is made from.
    type Row<'a>;
    const NAME: &'static str;
    const DOC: &'static str;
    const COLUMNS: &'static [Column<Self>];

    /// All rows in the order of the document.
    fn rows<'a>(source: &'a Source<'a>) -> impl Iterator<Item = Self::Row<'a>>;
}

const fn column<T: Rows>(
    name: &'static str,
    kind: Type,
    get: for<'r> fn(&'r T::Row<'_>) -> Value<'r>,
    doc: &'static str,
) -> Column<T> {
    Column { name, doc, kind, get }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn known(value: Option<&Text>) -> Value<'_> {
    value.map_or(Value::Null, |known| text(known))
}

fn time(at: Option<Timestamp>) -> Value<'static> {
    at.map_or(Value::Null, Value::Time)
}

fn name(value: impl Serialize) -> Value<'static> {
    Value::Text(Cow::Owned(contract_name(value)))
}

fn name_if_known(value: Option<impl Serialize>) -> Value<'static> {
    value.map_or(Value::Null, name)
}

fn ids(ids: &[Id]) -> Value<'static> {
    Value::List(ids.iter().map(|id| Cow::Owned(id.to_string())).collect())
}

fn texts<T: AsRef<str>>(texts: &[T]) -> Value<'_> {
    Value::List(texts.iter().map(|text| Cow::Borrowed(text.as_ref())).collect())
}

fn of_key(node: &Node, get: impl FnOnce(&ExpectedKey) -> Value<'_>) -> Value<'_> {
    node.expected_key.as_ref().map_or(Value::Null, get)
}

fn of_end(node: &Node, get: impl FnOnce(&Termination) -> Value<'_>) -> Value<'_> {
    node.termination.as_ref().map_or(Value::Null, get)
}

/// `DEVICE=KEY` for each mapping; the key as written, else its ARN, else nothing.
fn keys_by_device(node: &Node) -> Value<'_> {
    let one = |device: Option<&Text>, key: &ExpectedKey| {
        let written = key.written.as_deref().or(key.key_arn.as_deref()).unwrap_or_default();
        format!("{}={written}", device.map_or("*", |device| device))
    };
    Value::List(node.expected_keys.iter().map(|own| Cow::Owned(one(own.device.as_ref(), &own.key))).collect())
}

/// One row per node.
pub(super) struct Nodes;

/// A node and the rules that have a finding about it.
pub(super) struct NodeRow<'a> {
    node: &'a Node,
    rules: &'a [&'static str],
}

impl Rows for Nodes {
    type Row<'a> = NodeRow<'a>;
    const NAME: &'static str = "nodes";
    const DOC: &'static str = "One row per node.";
    const COLUMNS: &'static [Column<Self>] = &[
        column("instance_id", Type::Text, |row| text(&row.node.instance_id), "EC2 instance id."),
        column(
            "node_name",
            Type::Text,
            |row| known(row.node.node_name.as_ref()),
            "Kubernetes node name: the private DNS name, or the instance id where the subnet names nodes so.",
        ),
        column("account_id", Type::Text, |row| text(&row.node.account_id), "Account of the instance."),
        column("region", Type::Text, |row| text(&row.node.region), "Region of the instance."),
        column(
            "availability_zone",
            Type::Text,
            |row| known(row.node.availability_zone.as_ref()),
            "Availability zone.",
        ),
        column("instance_type", Type::Text, |row| known(row.node.instance_type.as_ref()), "Instance type."),
        column("image_id", Type::Text, |row| known(row.node.image_id.as_ref()), "AMI."),
        column(
            "capacity_type",
            Type::Text,
            |row| name_if_known(row.node.capacity_type),
            "`spot` or `on-demand`.",
        ),
        column(
            "provisioner",
            Type::Text,
            |row| name(row.node.provisioner),
            "What launched it: `karpenter`, `eks-auto-mode`, `autoscaling` or `other`.",
        ),
        column(
            "karpenter_version",
            Type::Text,
            |row| known(row.node.karpenter_version.as_ref()),
            "Version in Karpenter's user agent, as written there.",
        ),
        column("cluster", Type::Text, |row| known(row.node.cluster.as_ref()), "Cluster name."),
        column("nodepool", Type::Text, |row| known(row.node.nodepool.as_ref()), "NodePool."),
        column("nodeclass", Type::Text, |row| known(row.node.nodeclass.as_ref()), "EC2NodeClass."),
        column(
            "nodeclaim",
            Type::Text,
            |row| known(row.node.nodeclaim.as_ref()),
            "NodeClaim; known only of nodes that registered.",
        ),
        column("fleet_id", Type::Text, |row| known(row.node.fleet_id.as_ref()), "EC2 Fleet."),
        column(
            "launch_template_id",
            Type::Text,
            |row| known(row.node.launch_template.as_ref().map(|template| &template.id)),
            "Launch template.",
        ),
        column(
            "launch_template_version",
            Type::Text,
            |row| known(row.node.launch_template.as_ref().and_then(|template| template.version.as_ref())),
            "Version of the launch template, as logged.",
        ),
        column(
            "principal_arn",
            Type::Text,
            |row| known(row.node.principal_arn.as_ref()),
            "Who launched it: a role's ARN, else the identity's ARN or service name.",
        ),
        column("launched_at", Type::Time, |row| time(row.node.launched_at), "Time of the launch."),
        column("ended_at", Type::Time, |row| time(row.node.ended_at), "Time of the end."),
        column(
            "expected_key_written",
            Type::Text,
            |row| of_key(row.node, |key| known(key.written.as_ref())),
            "The expected key as it was configured: key id, ARN, alias or alias ARN.",
        ),
        column(
            "expected_key_arn",
            Type::Text,
            |row| of_key(row.node, |key| known(key.key_arn.as_ref())),
            "ARN of the expected key (`expected_key.key_arn` in JSON); null for an alias that could not be resolved.",
        ),
        column(
            "expected_key_source",
            Type::Text,
            |row| of_key(row.node, |key| name(key.source)),
            "Where the expectation comes from: `flag`, `node-class` or `launch-template`.",
        ),
        column(
            "expected_key_evidence",
            IDS,
            |row| of_key(row.node, |key| ids(&key.evidence)),
            "Ids of the events that say so.",
        ),
        column(
            "expected_keys",
            IDS,
            |row| keys_by_device(row.node),
            "`DEVICE=KEY` of each block device mapping, the key as written; `*` is every device.",
        ),
        column(
            "volume_ids",
            IDS,
            |row| {
                let known = row.node.volumes.iter().filter_map(|volume| volume.volume_id.as_deref());
                Value::List(known.map(Cow::Borrowed).collect())
            },
            "Volumes of known id (`volumes[].volume_id` in JSON); the table `volumes` has them all.",
        ),
        column(
            "used_keys",
            IDS,
            |row| texts(&row.node.used_keys),
            "ARNs of the keys under which the launch's volumes are.",
        ),
        column(
            "key_verdict",
            Type::Text,
            |row| name(row.node.key_verdict),
            "`match`, `mismatch`, `denied`, `no-expectation`, `unencrypted` or `unknown`.",
        ),
        column(
            "key_origin",
            Type::Text,
            |row| name(row.node.key_origin),
            "Where the deciding key came from: `configured`, `aws-managed`, `account-default`, `ami-snapshot`, \
             `cluster-secrets`, `other` or `unknown`.",
        ),
        column(
            "termination_cause",
            Type::Text,
            |row| of_end(row.node, |end| name(end.cause)),
            "Why it ended: `kms-denied`, `kms-key-unusable`, `spot-interruption`, `registration-timeout`, \
             `terminated-by-karpenter`, `terminated-by-autoscaling`, `terminated-by-principal` or \
             `launch-aborted`; null where the archive shows no end.",
        ),
        column(
            "termination_at",
            Type::Time,
            |row| of_end(row.node, |end| Value::Time(end.at)),
            "Time of the decisive event.",
        ),
        column(
            "termination_actor",
            Type::Text,
            |row| of_end(row.node, |end| known(end.actor.as_ref())),
            "Identity of the decisive event.",
        ),
        column(
            "termination_confidence",
            Type::Text,
            |row| of_end(row.node, |end| name(end.confidence)),
            "`observed` or `inferred`.",
        ),
        column(
            "termination_evidence",
            IDS,
            |row| of_end(row.node, |end| ids(&end.evidence)),
            "Ids of the events that say so.",
        ),
        column("findings", IDS, |row| texts(row.rules), "Rules with a finding about the node."),
    ];

    fn rows<'a>(source: &'a Source<'a>) -> impl Iterator<Item = NodeRow<'a>> {
        source.case.nodes.iter().map(|node| NodeRow {
            node,
            rules: source.rules.get(&*node.instance_id).map_or(&[][..], Vec::as_slice),
        })
    }
}

/// One row per volume of a node.
pub(super) struct Volumes;

/// A volume and its node.
pub(super) struct VolumeRow<'a> {
    node: &'a Node,
    volume: &'a Volume,
}

impl Rows for Volumes {
    type Row<'a> = VolumeRow<'a>;
    const NAME: &'static str = "volumes";
    const DOC: &'static str = "One row per volume of a node.";
    const COLUMNS: &'static [Column<Self>] = &[
        column("instance_id", Type::Text, |row| text(&row.node.instance_id), "EC2 instance id of the node."),
        column("account_id", Type::Text, |row| text(&row.node.account_id), "Account of the instance."),
        column("region", Type::Text, |row| text(&row.node.region), "Region of the instance."),
        column("cluster", Type::Text, |row| known(row.node.cluster.as_ref()), "Cluster name."),
        column("nodepool", Type::Text, |row| known(row.node.nodepool.as_ref()), "NodePool."),
        column("launched_at", Type::Time, |row| time(row.node.launched_at), "Time of the node's launch."),
        column(
            "volume_id",
            Type::Text,
            |row| known(row.volume.volume_id.as_ref()),
            "EBS volume id; null where no event says it, as for a refusal that no volume can be matched with.",
        ),
        column(
            "key_arn",
            Type::Text,
            |row| known(row.volume.key_arn.as_ref()),
            "ARN of the key used or refused; null where no event names it, or two name different ones.",
        ),
        column(
            "key_origin",
            Type::Text,
            |row| name(row.volume.key_origin),
            "Where the key came from: `configured`, `aws-managed`, `account-default`, `ami-snapshot`, \
             `cluster-secrets`, `other` or `unknown`.",
        ),
        column(
            "role",
            Type::Text,
            |row| name_if_known(row.volume.role),
            "`launch` or `attached-later`; null where the archive does not show the launch.",
        ),
        column(
            "outcome",
            Type::Text,
            |row| name(row.volume.outcome),
            "`used`; `denied` for want of permission; `failed` for the key's state.",
        ),
        column("evidence", IDS, |row| ids(&row.volume.evidence), "Ids of the events that say so."),
    ];

    fn rows<'a>(source: &'a Source<'a>) -> impl Iterator<Item = VolumeRow<'a>> {
        source
            .case
            .nodes
            .iter()
            .flat_map(|node| node.volumes.iter().map(move |volume| VolumeRow { node, volume }))
    }
}

/// One row per event of a node's timeline.
pub(super) struct Timeline;

/// An entry of a node's timeline.
pub(super) struct TimelineRow<'a> {
    node: &'a Node,
    entry: TimelineEntry,
}

impl Rows for Timeline {
    type Row<'a> = TimelineRow<'a>;
    const NAME: &'static str = "timeline";
    const DOC: &'static str = "One row per event of a node's timeline, node by node.";
    const COLUMNS: &'static [Column<Self>] = &[
        column("instance_id", Type::Text, |row| text(&row.node.instance_id), "EC2 instance id of the node."),
        column("account_id", Type::Text, |row| text(&row.node.account_id), "Account of the instance."),
        column("region", Type::Text, |row| text(&row.node.region), "Region of the instance."),
        column("time", Type::Time, |row| Value::Time(row.entry.time), "`eventTime`."),
        column(
            "event_id",
            Type::Text,
            |row| Value::Text(Cow::Owned(row.entry.event_id.to_string())),
            "`eventID`.",
        ),
        column("event_source", Type::Text, |row| text(&row.entry.event_source), "`eventSource`."),
        column("event_name", Type::Text, |row| text(&row.entry.event_name), "`eventName`."),
        column(
            "role",
            Type::Text,
            |row| name(row.entry.role),
            "What the event is for the node: `configuration`, `fleet`, `launch`, `key-use`, `grant`, \
             `volume-opened`, `refusal`, `throttled`, `registration`, `volume-attached`, `grant-ended`, \
             `state-change`, `cleanup`, `end` or `end-attempt`.",
        ),
        column("summary", Type::Text, |row| text(&row.entry.summary), "One sentence."),
        column(
            "error_code",
            Type::Text,
            |row| known(row.entry.error_code.as_ref()),
            "`errorCode` as logged.",
        ),
        column(
            "origin_object",
            Type::Text,
            |row| text(&row.entry.origin.object),
            "URI or path of the object in which the record was read.",
        ),
        column(
            "origin_record",
            Type::Integer,
            |row| Value::Integer(row.entry.origin.record),
            "Index of the record in the object, from 0.",
        ),
    ];

    fn rows<'a>(source: &'a Source<'a>) -> impl Iterator<Item = TimelineRow<'a>> {
        let case = source.case;
        case.nodes.iter().flat_map(move |node| {
            node.timeline
                .iter()
                .map(move |reference| TimelineRow { node, entry: timeline_entry(case, node, reference) })
        })
    }
}

/// One row per finding.
pub(super) struct Findings;

impl Rows for Findings {
    type Row<'a> = &'a Finding;
    const NAME: &'static str = "findings";
    const DOC: &'static str = "One row per finding. Texts to paste are in the JSON document only.";
    const COLUMNS: &'static [Column<Self>] = &[
        column("rule", Type::Text, |row| text(row.rule), "Rule id."),
        column("name", Type::Text, |row| text(row.name), "Rule name."),
        column(
            "severity",
            Type::Text,
            |row| name(row.severity),
            "`critical`, `high`, `medium`, `low` or `info`.",
        ),
        column("confidence", Type::Text, |row| name(row.confidence), "`observed` or `inferred`."),
        column(
            "subject_kind",
            Type::Text,
            |row| name(row.subject.kind),
            "What the finding is about: `node`, `launch`, `nodepool`, `key`, `account` or `archive`.",
        ),
        column("subject_id", Type::Text, |row| text(&row.subject.id), "Its id."),
        column("title", Type::Text, |row| text(&row.title), "One line."),
        column("explanation", Type::Text, |row| text(&row.explanation), "A few sentences."),
        column("evidence", IDS, |row| ids(&row.evidence), "Ids of the events that the finding rests on."),
        column(
            "ruled_out",
            SENTENCES,
            |row| texts(&row.ruled_out),
            "Other causes that the evidence excludes, and why.",
        ),
        column("missing", SENTENCES, |row| texts(&row.missing), "What the archive does not show."),
        column(
            "remediation_summary",
            Type::Text,
            |row| row.remediation.as_ref().map_or(Value::Null, |remedy| text(&remedy.summary)),
            "What to do.",
        ),
        column(
            "remediation_target",
            Type::Text,
            |row| row.remediation.as_ref().map_or(Value::Null, |remedy| text(&remedy.target)),
            "What is to be changed.",
        ),
    ];

    fn rows<'a>(source: &'a Source<'a>) -> impl Iterator<Item = &'a Finding> {
        source.findings.iter()
    }
}

#[cfg(test)]
mod tests;
