//! The analysis as a timeline for Timesketch: JSON lines that its importer takes as they are.
//!
//! A case and its findings come in; a row per event goes out, and rows for what was concluded, each at the time
//! that it is about: how a node's launch and end are judged, what the rules find, what failed to launch, how far
//! the archive reaches. Each has the importer's mandatory fields `message`, `datetime` and `timestamp_desc`.
//! People read these rows in a browser: every text of a log is made safe to show.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::ser::CompactFormatter;

use super::cited::{Cited, cited, decisive_events};
use super::document::{contract_name, rules_by_node, sorted_losses, write_escaped};
use super::explanation::{end_sentence, verdict_sentence};
use super::sanitize::sanitize;
use crate::correlate::{Case, Confidence, LaunchFailure, Node};
use crate::event::{Detail, Id, Text, Timestamp};
use crate::rules::{Finding, SubjectKind};

/// Instances named in one row before the rest is only counted.
const INSTANCES_NAMED_MAX: usize = 100;
/// Losses named in the row about the archive before the rest is only counted.
const LOSSES_NAMED_MAX: usize = 100;

/// One row: what all rows have, and what those of its kind have.
#[derive(Serialize)]
struct Row<D> {
    message: String,
    datetime: String,
    /// Microseconds since 1970.
    timestamp: i64,
    timestamp_desc: &'static str,
    tag: Vec<String>,
    data_type: &'static str,
    #[serde(flatten)]
    detail: D,
}

impl<D: Serialize> Row<D> {
    fn new(kind: &Kind, at: Timestamp, message: &str, tag: Vec<String>, detail: D) -> Self {
        Self {
            message: sanitize(message).into_owned(),
            // The importer's documentation shows an offset in figures.
            datetime: at.to_string().replace('Z', "+00:00"),
            timestamp: at.second() * 1_000_000,
            timestamp_desc: kind.time,
            tag,
            data_type: kind.name,
            detail,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_escaped(&mut *out, self, CompactFormatter)?;
        out.write_all(b"\n")
    }
}

/// A kind of row, and what its time is the time of.
struct Kind {
    name: &'static str,
    time: &'static str,
}

const EVENT: Kind = Kind { name: "keytrail:event", time: "Event Time" };
const LAUNCH: Kind = Kind { name: "keytrail:verdict", time: "Node Launched" };
const END: Kind = Kind { name: "keytrail:end", time: "Node Ended" };
const FAILURE: Kind = Kind { name: "keytrail:launch-failure", time: "Launch Failed" };
const FINDING: Kind = Kind { name: "keytrail:finding", time: "Decisive Event" };
const ARCHIVE: Kind = Kind { name: "keytrail:archive", time: "Last Record" };

#[derive(Serialize)]
struct EventDetail {
    account_id: String,
    region: String,
    event_id: String,
    event_source: String,
    event_name: String,
    request_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    principal_arn: Option<String>,
    invoked_by: Option<String>,
    user_agent: String,
    source_ip: String,
    key_arn: Option<String>,
    volume_id: Option<String>,
    confidence: Confidence,
    rules: Vec<&'static str>,
    instance_id: Vec<String>,
    instances: usize,
    origin_object: String,
    origin_record: u64,
}

#[derive(Serialize)]
struct NodeDetail {
    account_id: String,
    region: String,
    instance_id: String,
    node_name: Option<String>,
    cluster: Option<String>,
    nodepool: Option<String>,
    nodeclass: Option<String>,
    nodeclaim: Option<String>,
    instance_type: Option<String>,
    principal_arn: Option<String>,
    key_verdict: String,
    key_origin: String,
    expected_key: Option<String>,
    used_keys: Vec<String>,
    termination_cause: Option<String>,
    termination_actor: Option<String>,
    termination_confidence: Option<Confidence>,
    rules: Vec<&'static str>,
}

#[derive(Serialize)]
struct FailureDetail {
    account_id: String,
    region: String,
    event_id: String,
    event_name: String,
    principal_arn: Option<String>,
    cluster: Option<String>,
    nodepool: Option<String>,
    nodeclass: Option<String>,
    error_code: String,
    error_message: Option<String>,
    count: u64,
}

#[derive(Serialize)]
struct FindingDetail {
    rule: &'static str,
    rule_name: &'static str,
    severity: &'static str,
    confidence: Confidence,
    subject_kind: SubjectKind,
    subject_id: String,
    explanation: String,
    evidence: Vec<String>,
    ruled_out: Vec<String>,
    missing: Vec<String>,
    remediation: Option<String>,
    remediation_target: Option<String>,
}

#[derive(Serialize)]
struct ArchiveDetail {
    account_id: String,
    region: String,
    first_event: Option<Timestamp>,
    kms_events_seen: bool,
    objects_read: u64,
    objects_failed: u64,
    records_read: u64,
    records_lost: u64,
    losses: Vec<String>,
}

/// Writes the rows: events in order of time, then what is concluded. A case of which nothing was read has none.
///
/// # Errors
/// When `out` fails.
pub fn write_timesketch(out: &mut dyn Write, case: &Case, findings: &[Finding]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for event in cited(case, findings) {
        event_row(&event).write(&mut out)?;
    }
    let rules = rules_by_node(findings);
    for node in &case.nodes {
        let rules = rules.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
        if let Some(at) = node.launched_at {
            launch_row(case, node, at, rules).write(&mut out)?;
        }
        if let Some(at) = node.ended_at {
            end_row(node, at, rules).write(&mut out)?;
        }
    }
    for failure in &case.launch_failures {
        failure_row(failure).write(&mut out)?;
    }
    let scopes = case.coverage.reported_scopes();
    let end = scopes.iter().filter_map(|scope| scope.last_event).max();
    for (finding, decisive) in findings.iter().zip(decisive_events(case, findings)) {
        // What rests on the absence of events is known when the archive ends.
        if let Some(at) = decisive.map(|event| case.events[event as usize].time).or(end) {
            finding_row(finding, at).write(&mut out)?;
        }
    }
    write_archive(&mut out, case)?;
    out.flush()
}

fn event_row(cited: &Cited<'_>) -> Row<EventDetail> {
    let event = cited.event;
    let mut tag: Vec<String> = cited.roles().into_iter().map(contract_name).collect();
    let mut rules: Vec<&'static str> = cited.findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    tag.extend(rules.iter().map(|rule| (*rule).to_owned()));
    let (key, volume) = match &event.detail {
        Detail::Kms(kms) => (kms.key_arn.as_ref(), kms.volume_id.as_ref()),
        Detail::Policy(change) => (change.key.as_ref(), None),
        Detail::KeyState(change) => (change.key.as_ref(), None),
        Detail::Alias(change) => (change.target.as_ref(), None),
        _ => (None, None),
    };
    let detail = EventDetail {
        account_id: safe(&event.account_id),
        region: safe(&event.region),
        event_id: id(&event.event_id),
        event_source: safe(&event.source),
        event_name: safe(&event.name),
        request_id: event.request_id.as_ref().map(id),
        error_code: event.error.as_ref().map(|error| safe(&error.code)),
        error_message: event.error.as_ref().map(|error| safe(&error.message)),
        principal_arn: known(event.identity.principal()),
        invoked_by: known(event.identity.invoked_by.as_ref()),
        user_agent: safe(&event.user_agent),
        source_ip: safe(&event.source_ip),
        key_arn: known(key),
        volume_id: known(volume),
        confidence: cited.confidence(),
        rules,
        instance_id: cited
            .nodes
            .iter()
            .take(INSTANCES_NAMED_MAX)
            .map(|(node, _)| safe(&node.instance_id))
            .collect(),
        instances: cited.nodes.len(),
        origin_object: safe(&event.origin.object),
        origin_record: event.origin.record,
    };
    Row::new(&EVENT, event.time, &cited.summary(), tag, detail)
}

fn launch_row(case: &Case, node: &Node, at: Timestamp, rules: &[&'static str]) -> Row<NodeDetail> {
    let verdict = contract_name(node.key_verdict);
    let message =
        format!("Node {}{}: {verdict}. {}", node.instance_id, pool(node), verdict_sentence(case, node));
    Row::new(&LAUNCH, at, &message, tags(verdict, rules), node_detail(node, rules))
}

fn end_row(node: &Node, at: Timestamp, rules: &[&'static str]) -> Row<NodeDetail> {
    let cause = node.termination.as_ref().map_or_else(|| "ended".to_owned(), |end| contract_name(end.cause));
    let message = format!("Node {}{}: {cause}. {}", node.instance_id, pool(node), end_sentence(node));
    Row::new(&END, at, &message, tags(cause, rules), node_detail(node, rules))
}

fn tags(first: String, rules: &[&'static str]) -> Vec<String> {
    std::iter::once(first).chain(rules.iter().map(|rule| (*rule).to_owned())).collect()
}

fn pool(node: &Node) -> String {
    node.nodepool.as_ref().map_or_else(String::new, |nodepool| format!(" of nodepool {nodepool}"))
}

fn node_detail(node: &Node, rules: &[&'static str]) -> NodeDetail {
    let expected = node.expected_key.as_ref();
    let end = node.termination.as_ref();
    NodeDetail {
        account_id: safe(&node.account_id),
        region: safe(&node.region),
        instance_id: safe(&node.instance_id),
        node_name: known(node.node_name.as_ref()),
        cluster: known(node.cluster.as_ref()),
        nodepool: known(node.nodepool.as_ref()),
        nodeclass: known(node.nodeclass.as_ref()),
        nodeclaim: known(node.nodeclaim.as_ref()),
        instance_type: known(node.instance_type.as_ref()),
        principal_arn: known(node.principal_arn.as_ref()),
        key_verdict: contract_name(node.key_verdict),
        key_origin: contract_name(node.key_origin),
        expected_key: known(expected.and_then(|key| key.key_arn.as_ref().or(key.written.as_ref()))),
        used_keys: node.used_keys.iter().map(|key| safe(key)).collect(),
        termination_cause: end.map(|end| contract_name(end.cause)),
        termination_actor: known(end.and_then(|end| end.actor.as_ref())),
        termination_confidence: end.map(|end| end.confidence),
        rules: rules.to_vec(),
    }
}

fn failure_row(failure: &LaunchFailure) -> Row<FailureDetail> {
    let pool = failure.nodepool.as_ref().map_or_else(String::new, |pool| format!(" for nodepool {pool}"));
    let message =
        format!("{}{pool} made no instance: {} ×{}", failure.event_name, failure.error_code, failure.count);
    let detail = FailureDetail {
        account_id: safe(&failure.account_id),
        region: safe(&failure.region),
        event_id: id(&failure.event_id),
        event_name: safe(&failure.event_name),
        principal_arn: known(failure.principal_arn.as_ref()),
        cluster: known(failure.cluster.as_ref()),
        nodepool: known(failure.nodepool.as_ref()),
        nodeclass: known(failure.nodeclass.as_ref()),
        error_code: safe(&failure.error_code),
        error_message: known(failure.error_message.as_ref()),
        count: failure.count,
    };
    Row::new(&FAILURE, failure.at, &message, vec!["launch-failure".to_owned()], detail)
}

fn finding_row(finding: &Finding, at: Timestamp) -> Row<FindingDetail> {
    let all = |texts: &[String]| texts.iter().map(|text| safe(text)).collect();
    let message = format!("{} {}: {}", finding.rule, finding.severity.name(), finding.title);
    let tag = [finding.rule, finding.name, finding.severity.name()].map(str::to_owned).to_vec();
    let detail = FindingDetail {
        rule: finding.rule,
        rule_name: finding.name,
        severity: finding.severity.name(),
        confidence: finding.confidence,
        subject_kind: finding.subject.kind,
        subject_id: safe(&finding.subject.id),
        explanation: safe(&finding.explanation),
        evidence: finding.evidence.iter().map(id).collect(),
        ruled_out: all(&finding.ruled_out),
        missing: all(&finding.missing),
        remediation: finding.remediation.as_ref().map(|remedy| safe(&remedy.summary)),
        remediation_target: finding.remediation.as_ref().map(|remedy| safe(&remedy.target)),
    };
    Row::new(&FINDING, at, &message, tag, detail)
}

/// A row per account and region: how far the archive reaches there, and what was read in all.
fn write_archive(out: &mut impl Write, case: &Case) -> io::Result<()> {
    let coverage = &case.coverage;
    let losses: Vec<String> = sorted_losses(case)
        .into_iter()
        .take(LOSSES_NAMED_MAX)
        .map(|loss| {
            let record = loss.record.map_or_else(String::new, |record| format!(" record {record}"));
            safe(&format!("{}{record}: {}: {}", loss.object, contract_name(loss.kind), loss.detail))
        })
        .collect();
    for scope in coverage.reported_scopes() {
        let Some(at) = scope.last_event else { continue };
        let kms = if scope.kms_events_seen { "" } else { ", without any KMS event" };
        let message = format!(
            "The records of {} {} end here{kms}. In all, {} records were read and {} lost; {} objects failed.",
            scope.account_id,
            scope.region,
            coverage.records.read,
            coverage.records.lost,
            coverage.objects.failed
        );
        let detail = ArchiveDetail {
            account_id: safe(&scope.account_id),
            region: safe(&scope.region),
            first_event: scope.first_event,
            kms_events_seen: scope.kms_events_seen,
            objects_read: coverage.objects.read,
            objects_failed: coverage.objects.failed,
            records_read: coverage.records.read,
            records_lost: coverage.records.lost,
            losses: losses.clone(),
        };
        Row::new(&ARCHIVE, at, &message, vec!["archive".to_owned()], detail).write(out)?;
    }
    Ok(())
}

fn safe(text: &str) -> String {
    sanitize(text).into_owned()
}

fn known(text: Option<&Text>) -> Option<String> {
    text.map(|text| safe(text))
}

fn id(id: &Id) -> String {
    safe(&id.to_string())
}

#[cfg(test)]
mod tests;
