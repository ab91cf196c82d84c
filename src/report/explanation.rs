//! The account of one node or one key: what it is, what happened, why, how that is known, and what to do.
//!
//! A case, its findings and a [`Subject`] come in; an [`Explanation`] goes out, which is written for a
//! terminal, as Markdown or as JSON. Every statement is one of the case or of a finding: nothing is concluded
//! here. What the archive does not show is said, never guessed.

mod exhibit;
mod key;
mod markdown;
mod node;
mod subject;
mod terminal;
#[cfg(test)]
mod tests;
pub(super) mod wording;

use std::io::{self, BufWriter, Write};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::document::{SCHEMA_VERSION, Tool, schema_of, write_escaped};
use crate::correlate::{
    Case, Confidence, KeyOrigin, KeySummary, KeyVerdict, Node, TerminationCause, TimelineEntry,
    VolumeOutcome, VolumeRole,
};
use crate::event::{Id, ObjectCounts, Origin, RecordCounts, Scope, Text, Timestamp};
use crate::rules::{self, Document, Finding, Severity};

pub use markdown::write_explanation_markdown;
pub use subject::{Candidate, Subject, SubjectError, find_subject};
pub use terminal::write_explanation;
pub(super) use wording::{delta, end_sentence, moment, verdict_sentence};

/// What is known of one node or key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    /// What was asked for, and what that is.
    subject: Asked,
    /// The answer in a sentence or two.
    verdict: Verdict,
    /// The node; `null` if the subject is a key.
    node: Option<NodeAccount>,
    /// The key; `null` if the subject is a node.
    key: Option<KeyAccount>,
    /// What the rules conclude, the worst first; without a conclusion, what the node's end says.
    causes: Vec<Cause>,
    /// What the rules conclude about the node's nodepool, keys and account, but not about what happened to it.
    related: Vec<Cause>,
    /// What happened, in order of time and cause.
    timeline: Vec<Step>,
    /// Other causes that the evidence excludes, and why.
    ruled_out: Vec<String>,
    /// What the archive does not show.
    missing: Vec<String>,
    /// What to change.
    remedies: Vec<Remedy>,
    /// Every event that is cited: its number, its id and where it was read.
    custody: Vec<Exhibit>,
    /// What was read.
    reading: Reading,
}

/// What was asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct Asked {
    /// As given by the user.
    given: String,
    /// What it turned out to be.
    kind: SubjectKind,
    /// Instance id, or key ARN.
    id: Text,
}

/// What an explanation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SubjectKind {
    /// A node.
    Node,
    /// A key.
    Key,
}

/// The answer in a sentence or two.
#[derive(Debug, Serialize, JsonSchema)]
struct Verdict {
    /// Which key was used, and whether it is the right one.
    sentence: String,
    /// How the node ended, or in which state the key is.
    end: String,
}

/// A node and its keys.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeAccount {
    #[serde(flatten)]
    node: Node,
    /// Time from launch to end; `null` if one of them is not known.
    lived_seconds: Option<i64>,
    /// Which key was configured, per device.
    configured: Vec<ConfiguredKey>,
    /// Which key each volume is under, and where that key came from.
    used: Vec<UsedKey>,
}

/// The key that was configured for a device.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfiguredKey {
    /// Device name; `null` for a key that holds for all devices.
    device: Option<Text>,
    /// As written.
    written: Option<Text>,
    /// Its ARN, if known.
    key_arn: Option<Text>,
    /// Where that is said.
    sentence: String,
    /// Events that say so.
    evidence: Vec<Id>,
}

/// The key of a volume.
#[derive(Debug, Serialize, JsonSchema)]
struct UsedKey {
    /// Volume; `null` where a refusal names none.
    volume_id: Option<Text>,
    /// Part of the launch, or attached later.
    role: Option<VolumeRole>,
    /// Used, or refused.
    outcome: VolumeOutcome,
    /// The key.
    key_arn: Option<Text>,
    /// Where the key came from.
    key_origin: KeyOrigin,
    /// Whether that is an expected key; `null` where none is known.
    is_expected: Option<bool>,
    /// What happened, and where the key came from.
    sentence: String,
    /// Events that say so.
    evidence: Vec<Id>,
}

/// A key, and the nodes that used it or were refused it.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyAccount {
    #[serde(flatten)]
    summary: KeySummary,
    /// Its nodes by nodepool, verdict and end, the largest group first.
    node_groups: Vec<NodeGroup>,
    /// Refusals of it by principal, action and reason, the most frequent first.
    refusals: Vec<RefusalGroup>,
}

/// Nodes that fared alike.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeGroup {
    /// Cluster.
    cluster: Option<Text>,
    /// NodePool.
    nodepool: Option<Text>,
    /// Verdict.
    key_verdict: KeyVerdict,
    /// End.
    cause: Option<TerminationCause>,
    /// How many.
    nodes: u64,
    /// First launch.
    first_launched: Option<Timestamp>,
    /// Last launch.
    last_launched: Option<Timestamp>,
    /// The instances, by launch.
    instance_ids: Vec<Text>,
}

/// Refusals that are alike.
#[derive(Debug, Serialize, JsonSchema)]
struct RefusalGroup {
    /// Who was refused.
    principal: Option<Text>,
    /// What, such as `kms:CreateGrant`.
    action: String,
    /// Why, in words.
    reason: String,
    /// How often.
    count: u64,
    /// First time.
    first: Timestamp,
    /// Last time.
    last: Timestamp,
    /// The first and the last of them.
    evidence: Vec<Id>,
}

/// A conclusion.
#[derive(Debug, Serialize, JsonSchema)]
struct Cause {
    /// Rule id; `null` where no rule concludes anything.
    rule: Option<&'static str>,
    /// How bad it is.
    severity: Option<Severity>,
    /// How sure it is.
    confidence: Confidence,
    /// What it is about.
    about: Option<rules::Subject>,
    /// Of how many nodes of the key the rule says so; 1 where the subject is a node.
    nodes: u64,
    /// One line.
    title: String,
    /// A few sentences.
    explanation: String,
    /// Events that it rests on.
    evidence: Vec<Id>,
}

/// One event of the timeline.
#[derive(Debug, Serialize, JsonSchema)]
struct Step {
    /// Number of the event in `custody`.
    number: u32,
    #[serde(flatten)]
    entry: TimelineEntry,
    /// Seconds since the launch; negative before it; `null` where there is no launch.
    since_launch_seconds: Option<i64>,
    /// What makes the event decisive.
    mark: Option<Mark>,
    /// Who: the role's ARN for an assumed role, else the identity's ARN or service name.
    actor: Option<Text>,
    /// Name of the role's session.
    session: Option<String>,
    /// `sourceIPAddress`.
    source_ip: Text,
    /// `userAgent`.
    user_agent: Text,
    /// How the event was joined to the node; `null` for a configuration that holds for more than the node.
    joined: Option<Confidence>,
}

/// What makes an event decisive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mark {
    /// KMS refused.
    Refused,
    /// The instance was made.
    Launch,
    /// A configuration was changed.
    Configuration,
    /// The instance was ended.
    End,
}

/// What to change.
#[derive(Debug, Serialize, JsonSchema)]
struct Remedy {
    /// Rules that advise it.
    rules: Vec<&'static str>,
    /// What to do, in a sentence.
    summary: String,
    /// What is to be changed.
    target: String,
    /// Texts ready to paste.
    documents: Vec<Document>,
}

/// An event that is cited.
#[derive(Debug, Serialize, JsonSchema)]
struct Exhibit {
    /// Number, from 1.
    number: u32,
    /// Event id.
    event_id: Id,
    /// API call.
    event_name: Text,
    /// When.
    time: Timestamp,
    /// Where it was read.
    origin: Origin,
}

/// What was read for an explanation.
#[derive(Debug, Serialize, JsonSchema)]
struct Reading {
    /// Objects by fate.
    objects: ObjectCounts,
    /// Records by fate.
    records: RecordCounts,
    /// Objects and records that could not be (wholly) read; `keytrail analyze` lists them.
    losses: u64,
    /// The subject's account and region, as far as records of them were seen.
    scope: Option<Scope>,
}

impl Reading {
    fn of(case: &Case, account_id: Option<&Text>, region: Option<&Text>) -> Self {
        let coverage = &case.coverage;
        let is_subjects =
            |scope: &Scope| Some(&scope.account_id) == account_id && Some(&scope.region) == region;
        Self {
            objects: coverage.objects,
            records: coverage.records,
            losses: coverage.losses.len() as u64,
            scope: coverage.reported_scopes().into_iter().find(is_subjects),
        }
    }

    fn sentence(&self) -> String {
        let scope = match &self.scope {
            Some(Scope { account_id, region, first_event: Some(first), last_event: Some(last), .. }) => {
                let (first, last) = (wording::moment(*first), wording::moment(*last));
                format!("; {} {} from {first} to {last} UTC", wording::cut(account_id), wording::cut(region))
            }
            _ => String::new(),
        };
        let lost = match self.losses {
            0 => "nothing lost".to_owned(),
            1 => "1 loss: what it held is not known".to_owned(),
            losses => format!("{losses} losses: what they held is not known"),
        };
        let objects = wording::counted(self.objects.read, "object");
        format!("{} in {objects} read, {lost}{scope}", wording::counted(self.records.read, "record"))
    }
}

/// The JSON document: an explanation and what wrote it.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "keytrail explanation")]
struct ExplanationDocument<'a> {
    /// Version of the document's form.
    schema_version: u32,
    /// The program that wrote the document.
    tool: Tool<'a>,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Explains `subject`, which the user gave as `given`.
#[must_use]
pub fn explain(case: &Case, findings: &[Finding], subject: &Subject<'_>, given: &str) -> Explanation {
    match subject {
        Subject::Node(node) => node::explain(case, findings, node, given),
        Subject::Key(key) => key::explain(case, findings, key, given),
    }
}

/// Writes the explanation as one JSON document, indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_explanation_json(
    out: &mut dyn Write,
    explanation: &Explanation,
    tool: Tool<'_>,
) -> io::Result<()> {
    let document = ExplanationDocument { schema_version: SCHEMA_VERSION, tool, explanation };
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &document, PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes the JSON Schema of [`write_explanation_json`], indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_explanation_schema(out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &schema_of::<ExplanationDocument<'_>>(), PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}
