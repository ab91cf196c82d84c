//! What stands in words beside the figures: incidents, findings, nodes, keys, failed launches, what was read.
//!
//! A case, its findings and incidents come in; views of them go out, of bounded length, each saying how much was
//! left out. All text in them is [`Shown`].

use std::collections::{BTreeMap, HashMap};

use super::outcome::Outcome;
use super::shown::Shown;
use crate::correlate::{Case, Confidence, Node};
use crate::event::{Event, Id, Text, Timestamp};
use crate::report::abbreviate::short_key;
use crate::report::document::{contract_name, sorted_losses};
use crate::report::explanation::wording::{expected_name, moment, span};
use crate::report::pointer;
use crate::rules::{self, Finding, Incident, Remediation, Severity, SubjectKind};

const GROUPS_MAX: usize = 200;
const SUBJECTS_MAX: usize = 30;
const EVIDENCE_MAX: usize = 12;
/// Rows of nodes that need no script.
const ROWS_MAX: usize = 100;
const KEYS_MAX: usize = 200;
const FAILURES_MAX: usize = 100;
const LOSSES_MAX: usize = 200;
const SCOPES_MAX: usize = 200;
const CAUSES_MAX: usize = 8;

/// At most so many, and how many more there are.
#[derive(Debug)]
pub(super) struct Limited<T> {
    pub(super) all: Vec<T>,
    pub(super) left_out: usize,
}

impl<T> Limited<T> {
    fn new(mut items: impl Iterator<Item = T>, most: usize) -> Self {
        Self { all: items.by_ref().take(most).collect(), left_out: items.count() }
    }
}

/// One incident of the summary.
#[derive(Debug)]
pub(super) struct IncidentCard {
    pub(super) number: usize,
    pub(super) severity: &'static str,
    pub(super) is_inferred: bool,
    pub(super) title: Shown,
    pub(super) causes: Vec<Shown>,
    pub(super) also: Vec<Shown>,
    pub(super) nodes: usize,
    pub(super) rules: Vec<&'static str>,
    pub(super) fix: Option<Shown>,
    /// The command that explains its first node.
    pub(super) command: Option<Shown>,
    /// The group of findings with its fix, else its first.
    pub(super) group: Option<usize>,
    /// From when to when, in seconds since the axis begins.
    pub(super) window: Option<(i64, i64)>,
}

/// Findings of one rule that say the same.
#[derive(Debug)]
pub(super) struct FindingGroup {
    pub(super) number: usize,
    pub(super) rule: &'static str,
    pub(super) name: &'static str,
    pub(super) concludes: &'static str,
    pub(super) severity: &'static str,
    pub(super) observed: usize,
    pub(super) inferred: usize,
    pub(super) title: Shown,
    pub(super) explanation: Shown,
    pub(super) kind: String,
    pub(super) subjects: Limited<About>,
    pub(super) evidence: Limited<Evidence>,
    pub(super) ruled_out: Vec<Shown>,
    pub(super) missing: Vec<Shown>,
    pub(super) remedy: Option<Remedy>,
}

/// What a finding is about.
#[derive(Debug)]
pub(super) struct About {
    pub(super) id: Shown,
    /// Its number among the nodes of the page, if it is one of them.
    pub(super) node: Option<usize>,
}

/// An event that is cited.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) at: String,
    pub(super) name: Shown,
    pub(super) id: Shown,
    pub(super) origin: Shown,
}

/// What to change.
#[derive(Debug)]
pub(super) struct Remedy {
    pub(super) summary: Shown,
    pub(super) target: Shown,
    pub(super) documents: Vec<(&'static str, Shown)>,
}

/// A node in a row.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) id: Shown,
    pub(super) nodepool: Shown,
    pub(super) launched: String,
    pub(super) lived: String,
    pub(super) expected: Shown,
    pub(super) used: Shown,
    pub(super) outcome: Outcome,
    pub(super) verdict: String,
    pub(super) cause: String,
}

/// A key in a row.
#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) arn: Shown,
    pub(super) aliases: Shown,
    pub(super) nodes: u64,
    pub(super) volumes: u64,
    pub(super) denials: u64,
    pub(super) state: String,
}

/// Launches that failed alike.
#[derive(Debug)]
pub(super) struct FailureRow {
    pub(super) code: Shown,
    pub(super) nodepool: Shown,
    pub(super) message: Shown,
    pub(super) count: u64,
    pub(super) first: String,
    pub(super) last: String,
}

/// Groups findings by rule and title, in their order, and says for each finding in which group it is. `nodes` are
/// the indices of the page's nodes.
pub(super) fn group(
    case: &Case,
    findings: &[Finding],
    nodes: &[usize],
) -> (Limited<FindingGroup>, Vec<usize>) {
    let numbers: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(number, index)| (&*case.nodes[*index].instance_id, number)).collect();
    let events: HashMap<&Id, &Event> = case.events.iter().map(|event| (&event.event_id, &**event)).collect();
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    let mut members: Vec<Vec<&Finding>> = Vec::new();
    let mut groups = Vec::with_capacity(findings.len());
    for finding in findings {
        let number = *known.entry((finding.rule, &finding.title)).or_insert_with(|| {
            members.push(Vec::new());
            members.len() - 1
        });
        members[number].push(finding);
        groups.push(number);
    }
    let views =
        members.iter().enumerate().map(|(number, members)| finding_group(number, members, &events, &numbers));
    (Limited::new(views, GROUPS_MAX), groups)
}

fn finding_group(
    number: usize,
    members: &[&Finding],
    events: &HashMap<&Id, &Event>,
    numbers: &HashMap<&str, usize>,
) -> FindingGroup {
    let first = members[0];
    let inferred = members.iter().filter(|finding| finding.confidence == Confidence::Inferred).count();
    let mut cited: Vec<&Event> = first.evidence.iter().filter_map(|id| events.get(id).copied()).collect();
    let left_out = cited.len().saturating_sub(EVIDENCE_MAX);
    // What is cited first matters most.
    cited.truncate(EVIDENCE_MAX);
    cited.sort_by_key(|event| (event.time, &event.event_id));
    let evidence = cited.into_iter().map(|event| Evidence {
        at: moment(event.time),
        name: Shown::text(&event.name),
        id: Shown::text(&event.event_id.to_string()),
        origin: Shown::text(&format!("{} record {}", event.origin.object, event.origin.record)),
    });
    let about = |finding: &&Finding| About {
        id: Shown::text(&finding.subject.id),
        node: numbers
            .get(&*finding.subject.id)
            .copied()
            .filter(|_| finding.subject.kind == SubjectKind::Node),
    };
    FindingGroup {
        number,
        rule: first.rule,
        name: first.name,
        concludes: rules::rule(first.rule).map_or("", |rule| rule.summary),
        severity: first.severity.name(),
        observed: members.len() - inferred,
        inferred,
        title: Shown::text(&first.title),
        explanation: Shown::text(&first.explanation),
        kind: contract_name(first.subject.kind),
        subjects: Limited::new(members.iter().map(about), SUBJECTS_MAX),
        evidence: Limited { all: evidence.collect(), left_out },
        ruled_out: first.ruled_out.iter().map(|text| Shown::text(text)).collect(),
        missing: first.missing.iter().map(|text| Shown::text(text)).collect(),
        remedy: first.remediation.as_ref().map(remedy),
    }
}

fn remedy(remediation: &Remediation) -> Remedy {
    let documents = remediation.documents.iter();
    Remedy {
        summary: Shown::text(&remediation.summary),
        target: Shown::text(&remediation.target),
        documents: documents.map(|document| (document.format, Shown::lines(&document.body))).collect(),
    }
}

/// The incidents as cards; `start` is the second at which the axis begins.
pub(super) fn cards(
    incidents: &[&Incident],
    findings: &[Finding],
    groups: &[usize],
    start: Option<i64>,
) -> Vec<IncidentCard> {
    let card = |(number, incident): (usize, &&Incident)| {
        let remedy = incident.remedy.and_then(|index| findings.get(index)?.remediation.as_ref());
        let finding = incident.remedy.or_else(|| incident.findings.first().copied());
        let times = (start, incident.began_at, incident.last_at);
        IncidentCard {
            number,
            severity: incident.severity.name(),
            is_inferred: incident.confidence == Confidence::Inferred,
            title: Shown::text(&incident.title),
            causes: incident.causes.iter().take(CAUSES_MAX).map(|text| Shown::text(text)).collect(),
            also: incident.also.iter().map(|text| Shown::text(text)).collect(),
            nodes: incident.nodes.len(),
            rules: incident.rules.clone(),
            fix: remedy.map(|remedy| Shown::text(&remedy.summary)),
            command: pointer::explain(incident).map(|command| Shown::text(&command)),
            group: finding.and_then(|index| groups.get(index).copied()).filter(|group| *group < GROUPS_MAX),
            window: match times {
                (Some(start), Some(began), Some(last)) => {
                    Some((began.second() - start, last.second() - start))
                }
                _ => None,
            },
        }
    };
    incidents.iter().enumerate().map(card).collect()
}

/// The first nodes as rows, in the order of the page's nodes.
pub(super) fn node_rows(case: &Case, nodes: &[usize]) -> Limited<NodeRow> {
    Limited::new(nodes.iter().map(|index| node_row(&case.nodes[*index])), ROWS_MAX)
}

fn node_row(node: &Node) -> NodeRow {
    let lived = node.launched_at.zip(node.ended_at).map(|(launch, end)| span(end.second() - launch.second()));
    let expected = match (&node.expected_key, node.expected_keys.is_empty()) {
        (Some(key), _) => expected_name(key),
        (None, true) => "not known".to_owned(),
        (None, false) => "by device".to_owned(),
    };
    let mut keys: Vec<String> = Vec::new();
    for volume in &node.volumes {
        let Some(arn) = &volume.key_arn else { continue };
        let refused = volume.outcome != crate::correlate::VolumeOutcome::Used;
        let key = format!("{}{}", short_key(arn), if refused { " refused" } else { "" });
        if volume.role == Some(crate::correlate::VolumeRole::Launch) && !keys.contains(&key) && keys.len() < 3
        {
            keys.push(key);
        }
    }
    NodeRow {
        id: Shown::text(&node.instance_id),
        nodepool: Shown::text(node.nodepool.as_deref().unwrap_or("-")),
        launched: node.launched_at.map_or_else(|| "before the archive".to_owned(), moment),
        lived: lived.unwrap_or_else(|| "-".to_owned()),
        expected: Shown::text(&expected),
        used: Shown::text(&if keys.is_empty() { "-".to_owned() } else { keys.join(", ") }),
        outcome: Outcome::of(node),
        verdict: contract_name(node.key_verdict),
        cause: node.termination.as_ref().map_or_else(
            || "-".to_owned(),
            |end| match end.confidence {
                Confidence::Observed => contract_name(end.cause),
                Confidence::Inferred => format!("{} (inferred)", contract_name(end.cause)),
            },
        ),
    }
}

pub(super) fn key_rows(case: &Case) -> Limited<KeyRow> {
    let row = |key: &crate::correlate::KeySummary| KeyRow {
        arn: Shown::text(&key.key_arn),
        aliases: Shown::text(&key.aliases.join(", ")),
        nodes: key.nodes,
        volumes: key.volumes,
        denials: key.denials,
        state: key.state.map_or_else(|| "not known".to_owned(), contract_name),
    };
    Limited::new(case.keys.iter().map(row), KEYS_MAX)
}

pub(super) fn failure_rows(case: &Case) -> Limited<FailureRow> {
    type Alike<'a> = (&'a Text, Option<&'a Text>);
    struct Group<'a> {
        count: u64,
        first: Timestamp,
        last: Timestamp,
        message: Option<&'a Text>,
    }
    let mut groups: BTreeMap<Alike<'_>, Group<'_>> = BTreeMap::new();
    for failure in &case.launch_failures {
        let group = groups.entry((&failure.error_code, failure.nodepool.as_ref())).or_insert(Group {
            count: 0,
            first: failure.at,
            last: failure.at,
            message: failure.error_message.as_ref(),
        });
        group.count += failure.count;
        group.first = group.first.min(failure.at);
        group.last = group.last.max(failure.at);
    }
    let mut sorted: Vec<(Alike<'_>, Group<'_>)> = groups.into_iter().collect();
    sorted.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let rows = sorted.into_iter().map(|((code, nodepool), group)| FailureRow {
        code: Shown::text(code),
        nodepool: Shown::text(nodepool.map_or("-", |name| name)),
        message: Shown::text(group.message.map_or("", |message| message)),
        count: group.count,
        first: moment(group.first),
        last: moment(group.last),
    });
    Limited::new(rows, FAILURES_MAX)
}

/// One loss, in words.
pub(super) fn losses(case: &Case) -> Limited<Shown> {
    let losses = sorted_losses(case).into_iter().map(|loss| {
        let record = loss.record.map_or_else(String::new, |record| format!(" record {record}"));
        Shown::text(&format!("{}{record}: {}: {}", loss.object, contract_name(loss.kind), loss.detail))
    });
    Limited::new(losses, LOSSES_MAX)
}

/// Accounts and regions, each with its period and whether KMS events were seen.
pub(super) fn scopes(case: &Case) -> Limited<(Shown, String, bool)> {
    let scopes = case.coverage.reported_scopes().into_iter().map(|scope| {
        let period = match (scope.first_event, scope.last_event) {
            (Some(first), Some(last)) => format!("{} to {} UTC", moment(first), moment(last)),
            _ => String::new(),
        };
        (Shown::text(&format!("{} {}", scope.account_id, scope.region)), period, scope.kms_events_seen)
    });
    Limited::new(scopes, SCOPES_MAX)
}

/// Which of the incidents are told, and how many are merely for information.
pub(super) fn told(incidents: &[Incident], most: usize) -> (Limited<&Incident>, usize) {
    let quiet = incidents.iter().filter(|incident| incident.severity == Severity::Info).count();
    (Limited::new(incidents.iter().filter(|incident| incident.severity > Severity::Info), most), quiet)
}
