//! Whether the configured key is applied: the question of a test launch before a rollout, and of every run in CI.
//!
//! A [`Case`], its [`Finding`]s and what was expected come in; a [`Verification`] goes out: a list of assertions,
//! each passed, failed or inconclusive, with the events that say so. Pure and deterministic. What the archive
//! does not show never passes: it is inconclusive, and says what would make it conclusive.

mod expectation;
mod node;
mod node_class;
mod notice;
mod run;
mod volume;
mod wait;

pub use wait::{Wait, WaitEnd};

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use crate::correlate::{Case, Confidence, Expectations, Filter, KeyVerdict, Node, Place};
use crate::event::{Event, Id, Text, Timestamp};
use crate::rules::{Finding, Subject, SubjectKind};

/// How long after an event CloudTrail may still deliver what happened at the same time, in seconds. Until the
/// archive reaches so far beyond a launch, what it lacks of that launch proves nothing.
pub const DELIVERY_SECONDS_MAX: i64 = 900;

/// What is asked of a case.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The filter that the case was made with.
    pub filter: &'a Filter,
    /// What the user said about keys when the case was made.
    pub expectations: &'a Expectations,
    /// How many nodes must have been launched for the proof to count; at least 1.
    pub nodes_min: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verification {
    /// The whole: failed if any assertion failed, else inconclusive if any is, else passed.
    pub result: Outcome,
    /// How many assertions ended how.
    pub counts: Counts,
    /// The nodes that were judged, in the order of the case.
    pub nodes: Vec<JudgedNode>,
    /// Everything that was asserted: of the run as a whole, then node by node.
    pub assertions: Vec<Assertion>,
    /// What is worth knowing and decides nothing.
    pub notices: Vec<Notice>,
}

/// How an assertion ended, or all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The evidence says that it holds.
    Pass,
    /// The evidence does not tell.
    Inconclusive,
    /// The evidence says that it does not hold.
    Fail,
}

/// How many assertions ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Passed.
    pub pass: usize,
    /// Failed.
    pub fail: usize,
    /// Inconclusive.
    pub inconclusive: usize,
}

/// A node that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JudgedNode {
    /// EC2 instance id.
    pub instance_id: Text,
    /// Kubernetes node name.
    pub node_name: Option<Text>,
    /// Account.
    pub account_id: Text,
    /// Region.
    pub region: Text,
    /// Cluster.
    pub cluster: Option<Text>,
    /// NodePool.
    pub nodepool: Option<Text>,
    /// EC2NodeClass.
    pub nodeclass: Option<Text>,
    /// Time of the launch.
    pub launched_at: Option<Timestamp>,
    /// Time of the end; `null` if the archive does not show one.
    pub ended_at: Option<Timestamp>,
    /// Keys of the launch's volumes.
    pub used_keys: Vec<Text>,
    /// The verdict of `keytrail analyze`.
    pub key_verdict: KeyVerdict,
    /// The worst of its assertions.
    pub result: Outcome,
}

/// What an assertion is about. The name is the same in every output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Enough nodes were launched.
    NodesLaunched,
    /// A node of the node class was launched.
    NodeClassLaunched,
    /// Nothing of the archive was lost.
    ArchiveWhole,
    /// No launch failed for a key.
    LaunchesMade,
    /// Every refusal of a key belongs to a launch that is known.
    RefusalsPlaced,
    /// The node's configuration names a key, and the key is known.
    KeyExpected,
    /// KMS refused no key at the launch.
    KeyNotRefused,
    /// The launch's volumes are encrypted.
    Encrypted,
    /// A volume is under the expected key.
    VolumeKey,
    /// Devices with different keys each have their own.
    DeviceKeys,
    /// There is evidence of as many volumes as were configured.
    VolumeCount,
}

/// One thing that was asserted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Assertion {
    /// Unique in the document and the same in the next run over the same records:
    /// `CHECK`, `CHECK/INSTANCE`, `CHECK/INSTANCE/VOLUME`.
    pub id: String,
    /// What it is about.
    pub check: Check,
    /// How it ended.
    pub result: Outcome,
    /// The node's instance id; `null` for what is asserted of the run as a whole.
    pub node: Option<Text>,
    /// The device, where the configuration tells one.
    pub device: Option<Text>,
    /// The volume, where the archive tells one.
    pub volume_id: Option<Text>,
    /// ARN of the key that was expected, or as it is written where that does not resolve.
    pub expected_key: Option<Text>,
    /// ARN of the key used or refused.
    pub key_arn: Option<Text>,
    /// What was found, in a sentence.
    pub text: String,
    /// Why the evidence does not tell; `null` unless inconclusive.
    pub why: Option<String>,
    /// What would make it conclusive; `null` unless inconclusive.
    pub would_be_conclusive: Option<String>,
    /// How sure a pass or a failure is.
    pub confidence: Confidence,
    /// Events that say so.
    pub evidence: Vec<Id>,
    /// Rules with a finding on the same, such as `KT201`.
    pub findings: Vec<&'static str>,
    /// Where the manifest sets the key; `null` where no manifest does.
    pub location: Option<Location>,
    /// Whether time may bring the evidence.
    #[serde(skip)]
    pub is_awaited: bool,
    /// Whether nothing that may still come can undo it.
    #[serde(skip)]
    pub is_final: bool,
}

/// A place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Location {
    /// The file, as given.
    pub file: Text,
    /// Address of the Terraform resource; then line and column count in the text that the resource holds.
    pub address: Option<Text>,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
}

/// Something worth knowing that decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notice {
    /// The rule that says so; `null` for what verification itself noticed.
    pub rule: Option<&'static str>,
    /// What it is about; `null` where it is about a manifest.
    pub subject: Option<Subject>,
    /// One sentence.
    pub text: String,
    /// Events that say so.
    pub evidence: Vec<Id>,
    /// Where in a manifest; `null` where it is about none.
    pub location: Option<Location>,
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, address, line, column } = self;
        match address {
            None => write!(formatter, "{file}:{line}:{column}"),
            Some(address) => write!(formatter, "{file}: {address}: line {line}, column {column}"),
        }
    }
}

impl Notice {
    /// What it is about and what there is to know, in a line.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (&self.subject, &self.location) {
            (Some(subject), _) => format!("{}: {}", subject.id, self.text),
            (None, Some(location)) => format!("{location}: {}", self.text),
            (None, None) => self.text.clone(),
        }
    }
}

impl Outcome {
    /// As written in the JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    /// All checks, in the order in which they are reported.
    pub const ALL: [Self; 11] = [
        Self::NodesLaunched,
        Self::NodeClassLaunched,
        Self::ArchiveWhole,
        Self::LaunchesMade,
        Self::RefusalsPlaced,
        Self::KeyExpected,
        Self::KeyNotRefused,
        Self::Encrypted,
        Self::VolumeKey,
        Self::DeviceKeys,
        Self::VolumeCount,
    ];

    /// As written in the JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NodesLaunched => "nodes-launched",
            Self::NodeClassLaunched => "node-class-launched",
            Self::ArchiveWhole => "archive-whole",
            Self::LaunchesMade => "launches-made",
            Self::RefusalsPlaced => "refusals-placed",
            Self::KeyExpected => "key-expected",
            Self::KeyNotRefused => "key-not-refused",
            Self::Encrypted => "encrypted",
            Self::VolumeKey => "volume-key",
            Self::DeviceKeys => "device-keys",
            Self::VolumeCount => "volume-count",
        }
    }

    /// What it asserts, in one line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::NodesLaunched => "Enough nodes were launched for the proof to count.",
            Self::NodeClassLaunched => "A node of each given node class was launched.",
            Self::ArchiveWhole => "Nothing of the archive was lost.",
            Self::LaunchesMade => "No launch failed for a key.",
            Self::RefusalsPlaced => "Every refusal of a key belongs to a launch that the archive shows.",
            Self::KeyExpected => "The node's configuration names a key, and which key that is is known.",
            Self::KeyNotRefused => "KMS refused no key at the launch.",
            Self::Encrypted => "The volumes of the launch are encrypted.",
            Self::VolumeKey => "The volume is under the expected key.",
            Self::DeviceKeys => "Devices with different keys are each under their own.",
            Self::VolumeCount => "There is evidence of as many volumes as were configured.",
        }
    }
}

impl Verification {
    /// Whether time may bring evidence that is missing, and no failure is final.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.has_final_failure() && self.awaited().next().is_some()
    }

    /// Assertions whose evidence may still come.
    pub fn awaited(&self) -> impl Iterator<Item = &Assertion> {
        self.assertions.iter().filter(|assertion| assertion.is_awaited)
    }

    /// Whether something failed that nothing that may still come can undo.
    #[must_use]
    pub fn has_final_failure(&self) -> bool {
        self.assertions.iter().any(|assertion| assertion.result == Outcome::Fail && assertion.is_final)
    }
}

/// Asserts what `demand` asks of a case. `findings` are those of [`crate::rules::evaluate`] for it. Takes time
/// linear in the case, but for sorting.
#[must_use]
pub fn verify(case: &Case, findings: &[Finding], demand: Demand<'_>) -> Verification {
    let context = Context::new(case, findings, demand);
    let judged: Vec<&Node> = case.nodes.iter().filter(|node| context.is_judged(node)).collect();
    let mut assertions = run::assertions(&context, &judged);
    let mut nodes = Vec::with_capacity(judged.len());
    for node in judged {
        let of_node = node::assertions(&context, node);
        let result = of_node.iter().map(|assertion| assertion.result).max().unwrap_or(Outcome::Inconclusive);
        nodes.push(JudgedNode::new(node, result));
        assertions.extend(of_node);
    }
    for assertion in &mut assertions {
        // What rests on an absence, or on a refusal just now, may still be undone.
        assertion.is_awaited |= assertion.result == Outcome::Fail && !assertion.is_final;
    }
    make_unique(&mut assertions);
    let mut counts = Counts::default();
    for assertion in &assertions {
        *match assertion.result {
            Outcome::Pass => &mut counts.pass,
            Outcome::Fail => &mut counts.fail,
            Outcome::Inconclusive => &mut counts.inconclusive,
        } += 1;
    }
    // There is always an assertion on the number of nodes; without one, nothing would be proven.
    let result = assertions.iter().map(|assertion| assertion.result).max().unwrap_or(Outcome::Inconclusive);
    let notices = notice::notices(&context, &assertions);
    Verification { result, counts, nodes, assertions, notices }
}

/// Numbers the ids that a log or a manifest made the same.
fn make_unique(assertions: &mut [Assertion]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for assertion in assertions {
        let times = seen.entry(assertion.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            assertion.id = format!("{}#{times}", assertion.id);
        }
    }
}

/// What all assertions are made from.
struct Context<'a> {
    case: &'a Case,
    findings: &'a [Finding],
    demand: Demand<'a>,
    /// Findings about each node, by instance id.
    of_node: BTreeMap<&'a str, Vec<&'a Finding>>,
    /// The first launch of each account and region.
    first_launches: BTreeMap<Place, Timestamp>,
    /// Most volumes with KMS evidence, by launch template, version and image.
    volumes_max: BTreeMap<node::Image<'a>, usize>,
    /// Events by id, made when they are asked for.
    events: OnceCell<HashMap<&'a Id, Vec<u32>>>,
}

impl<'a> Context<'a> {
    fn new(case: &'a Case, findings: &'a [Finding], demand: Demand<'a>) -> Self {
        let mut of_node: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in findings.iter().filter(|finding| finding.subject.kind == SubjectKind::Node) {
            of_node.entry(&finding.subject.id).or_default().push(finding);
        }
        let mut volumes_max = BTreeMap::new();
        for node in &case.nodes {
            if let Some(image) = node::image_of(node) {
                let most = volumes_max.entry(image).or_default();
                *most = node::used_volumes(node).max(*most);
            }
        }
        let mut first_launches = BTreeMap::new();
        for node in &case.nodes {
            // Nodes are sorted by launch.
            if let Some(at) = node.launched_at {
                first_launches.entry((node.account_id.clone(), node.region.clone())).or_insert(at);
            }
        }
        Self { case, findings, demand, of_node, first_launches, volumes_max, events: OnceCell::new() }
    }

    /// Rules of one of `ids` with a finding about a node, sorted.
    fn rules_of(&self, node: &Node, is_wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let of_node = self.of_node.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
        let mut rules: Vec<&'static str> =
            of_node.iter().map(|finding| finding.rule).filter(|rule| is_wanted(rule)).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// Events of an id: copies that differ share it.
    fn events_of(&self, id: &Id) -> impl Iterator<Item = &'a Event> {
        let events = self.events.get_or_init(|| {
            let mut events: HashMap<&Id, Vec<u32>> = HashMap::new();
            for (index, event) in (0u32..).zip(&self.case.events) {
                events.entry(&event.event_id).or_default().push(index);
            }
            events
        });
        let case = self.case;
        events.get(id).into_iter().flatten().map(move |index| &*case.events[*index as usize])
    }

    /// Whether the archive reaches so far beyond a time, in an account and region, that what it lacks will hardly
    /// come any more.
    fn is_settled(&self, account_id: &Text, region: &Text, at: Timestamp) -> bool {
        let scope = self.case.coverage.scopes.get(&(account_id.clone(), region.clone()));
        scope
            .and_then(crate::event::ScopeActivity::last_event)
            .is_some_and(|last| last.second() >= at.second() + DELIVERY_SECONDS_MAX)
    }

    /// Whether a node's launch is in the archive and made volumes that a key could be applied to.
    fn is_judged(&self, node: &Node) -> bool {
        node.launched_at.is_some() && !self.is_without_volumes(node)
    }
}

impl JudgedNode {
    fn new(node: &Node, result: Outcome) -> Self {
        Self {
            instance_id: node.instance_id.clone(),
            node_name: node.node_name.clone(),
            account_id: node.account_id.clone(),
            region: node.region.clone(),
            cluster: node.cluster.clone(),
            nodepool: node.nodepool.clone(),
            nodeclass: node.nodeclass.clone(),
            launched_at: node.launched_at,
            ended_at: node.ended_at,
            used_keys: node.used_keys.clone(),
            key_verdict: node.key_verdict,
            result,
        }
    }
}

impl Assertion {
    /// Of the run as a whole.
    fn of_run(check: Check, part: Option<&str>, text: String) -> Self {
        let id = match part {
            Some(part) => format!("{}/{part}", check.name()),
            None => check.name().to_owned(),
        };
        Self {
            id,
            check,
            result: Outcome::Pass,
            node: None,
            device: None,
            volume_id: None,
            expected_key: None,
            key_arn: None,
            text,
            why: None,
            would_be_conclusive: None,
            confidence: Confidence::Observed,
            evidence: Vec::new(),
            findings: Vec::new(),
            location: None,
            is_awaited: false,
            is_final: false,
        }
    }

    /// Of a node, or of one `part` of it.
    fn of_node(check: Check, node: &Node, part: Option<&str>, text: String) -> Self {
        let id = match part {
            Some(part) => format!("{}/{}/{part}", check.name(), node.instance_id),
            None => format!("{}/{}", check.name(), node.instance_id),
        };
        Self { id, node: Some(node.instance_id.clone()), ..Self::of_run(check, None, text) }
    }

    /// Failed, for good.
    fn failed(mut self) -> Self {
        self.result = Outcome::Fail;
        self.is_final = true;
        self
    }

    /// Inconclusive.
    fn inconclusive(mut self, why: impl Into<String>, would_be_conclusive: impl Into<String>) -> Self {
        self.result = Outcome::Inconclusive;
        self.why = Some(why.into());
        self.would_be_conclusive = Some(would_be_conclusive.into());
        self
    }

    /// What time may bring.
    fn awaited(mut self, is_awaited: bool) -> Self {
        self.is_awaited = is_awaited;
        self
    }
}

#[cfg(test)]
mod tests;
