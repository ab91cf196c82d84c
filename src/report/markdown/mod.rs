//! The analysis as Markdown, for a ticket or a post-mortem.
//!
//! A case and its findings come in, GitHub-flavoured Markdown goes out: what happened, the nodes, the timelines
//! of the worst of them, what is not known, the fix, and what was read. Of everything there may be many of, the
//! worst is shown and the rest is counted, so that the page stays one that people read.

pub(super) mod inert;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};

use super::document::{Tool, contract_name, timeline_entry};
use super::explanation::{delta, moment};
use super::pointer;
use super::style::Style;
use super::summary::write_summary;
use super::table::key_texts;
use crate::correlate::{Case, Confidence, Filter, KeyVerdict, Node, TimelineRef, TimelineRole};
use crate::event::{Id, Text, Timestamp};
use crate::rules::{Finding, Incident, Severity, incidents};
use inert::{cell, code, escaped, write_fenced};

/// Incidents told before the rest is counted.
const INCIDENTS_SHOWN_MAX: usize = 10;
/// Nodes named in one incident before the rest is counted.
const NODES_NAMED_MAX: usize = 12;
/// Rows of a table before the rest is counted.
const ROWS_SHOWN_MAX: usize = 100;
/// Nodes whose timeline is shown: the first one of each of the worst incidents.
const TIMELINES_SHOWN_MAX: usize = 3;
/// Events of one timeline before the rest is counted.
const STEPS_SHOWN_MAX: usize = 40;
/// Remedies written out before the rest is counted.
const REMEDIES_SHOWN_MAX: usize = 5;

/// Writes the analysis as Markdown.
///
/// # Errors
/// When `out` fails.
pub fn write_markdown(
    out: &mut dyn Write,
    case: &Case,
    findings: &[Finding],
    tool: Tool<'_>,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let incidents = incidents(case, findings);
    let (told, quiet): (Vec<&Incident>, Vec<&Incident>) =
        incidents.iter().partition(|incident| incident.severity > Severity::Info);
    writeln!(out, "# Keys of Karpenter's nodes: {}", headline(case))?;
    write_incidents(&mut out, &told, &quiet, findings)?;
    write_nodes(&mut out, case)?;
    write_timelines(&mut out, case, &told, findings)?;
    write_launch_failures(&mut out, case)?;
    write_keys(&mut out, case)?;
    write_unknown(&mut out, &told, findings)?;
    write_remedies(&mut out, &told, findings)?;
    write_coverage(&mut out, case, tool)?;
    out.flush()
}

/// `6 nodes, 3 match, 3 denied`.
fn headline(case: &Case) -> String {
    let mut counts: BTreeMap<KeyVerdict, usize> = BTreeMap::new();
    for node in &case.nodes {
        *counts.entry(node.key_verdict).or_default() += 1;
    }
    let nodes = match case.nodes.len() {
        0 => "no nodes".to_owned(),
        1 => "1 node".to_owned(),
        all => format!("{all} nodes"),
    };
    let verdicts = counts.into_iter().map(|(verdict, count)| format!("{count} {}", contract_name(verdict)));
    std::iter::once(nodes).chain(verdicts).collect::<Vec<_>>().join(", ")
}

fn write_incidents(
    out: &mut dyn Write,
    told: &[&Incident],
    quiet: &[&Incident],
    findings: &[Finding],
) -> io::Result<()> {
    writeln!(out, "\n## What happened\n")?;
    if told.is_empty() {
        writeln!(out, "Nothing that a rule calls more than information.")?;
    }
    for (number, incident) in (1..).zip(told.iter().take(INCIDENTS_SHOWN_MAX)) {
        let mut labels = incident.rules.clone();
        let confidence = contract_name(incident.confidence);
        labels.push(&confidence);
        let severity = incident.severity.name();
        writeln!(
            out,
            "{number}. **{severity}: {}** ({})",
            escaped(&incident.title),
            escaped(&labels.join(", "))
        )?;
        for cause in &incident.causes {
            writeln!(out, "   - because: {}", escaped(cause))?;
        }
        for also in &incident.also {
            writeln!(out, "   - also: {}", escaped(also))?;
        }
        if let Some(remedy) = incident.remedy.and_then(|index| findings.get(index)?.remediation.as_ref()) {
            writeln!(out, "   - fix: {}", escaped(&remedy.summary))?;
        }
        if !incident.nodes.is_empty() {
            let named: Vec<String> =
                incident.nodes.iter().take(NODES_NAMED_MAX).map(|node| code(node)).collect();
            let more = match incident.nodes.len().saturating_sub(NODES_NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(out, "   - nodes: {}{more}", named.join(", "))?;
        }
        if let Some(command) = pointer::explain(incident) {
            writeln!(out, "   - how that is known: {}, with the same sources", code(&command))?;
        }
    }
    write_more(out, told.len().saturating_sub(INCIDENTS_SHOWN_MAX), "incidents")?;
    if !quiet.is_empty() {
        let rules: BTreeSet<&str> =
            quiet.iter().flat_map(|incident| incident.rules.iter().copied()).collect();
        let nodes: BTreeSet<&Text> = quiet.iter().flat_map(|incident| &incident.nodes).collect();
        let rules = rules.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(out, "\nFor information: {rules}, about {} nodes.", nodes.len())?;
    }
    Ok(())
}

/// How much a verdict matters to who has room for a few nodes only.
fn concern(node: &Node) -> u8 {
    match node.key_verdict {
        KeyVerdict::Denied => 0,
        KeyVerdict::Mismatch => 1,
        KeyVerdict::Unencrypted => 2,
        KeyVerdict::Unknown => 3,
        KeyVerdict::NoExpectation => 4,
        KeyVerdict::Match => 5,
    }
}

fn write_nodes(out: &mut dyn Write, case: &Case) -> io::Result<()> {
    if case.nodes.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<(usize, &Node)> = case.nodes.iter().enumerate().collect();
    // The sort is stable: of equal concern, the earliest launches are shown.
    shown.sort_by_key(|(_, node)| concern(node));
    shown.truncate(ROWS_SHOWN_MAX);
    shown.sort_by_key(|(index, _)| *index);
    writeln!(
        out,
        "\n## Nodes\n\n| node | nodepool | launched (UTC) | expected key | used key | result | end | cause |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    for (_, node) in shown {
        let (expected, used) = key_texts(node);
        let used = match used.strip_prefix('!') {
            Some(refused) => format!("{} refused", cell(refused)),
            None => known(&used),
        };
        let cause = node.termination.as_ref().map_or_else(String::new, |end| {
            let doubt = if end.confidence == Confidence::Inferred { " (inferred)" } else { "" };
            format!("{}{doubt}", contract_name(end.cause))
        });
        writeln!(
            out,
            "| {} | {} | {} | {} | {used} | {} | {} | {cause} |",
            cell(&node.instance_id),
            node.nodepool.as_ref().map_or_else(String::new, |nodepool| cell(nodepool)),
            time(node.launched_at),
            known(&expected),
            contract_name(node.key_verdict),
            time(node.ended_at)
        )?;
    }
    write_more(out, case.nodes.len().saturating_sub(ROWS_SHOWN_MAX), "nodes")
}

/// A key's cell; nothing where the tables for the screen have a dash.
fn known(key: &str) -> String {
    if key == "-" { String::new() } else { cell(key) }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, moment)
}

fn write_timelines(
    out: &mut dyn Write,
    case: &Case,
    told: &[&Incident],
    findings: &[Finding],
) -> io::Result<()> {
    let mut shown: Vec<(&Node, &Incident)> = Vec::new();
    for incident in told {
        let Some(first) = incident.nodes.first() else { continue };
        let is_shown = shown.iter().any(|(node, _)| node.instance_id == *first);
        if let Some(node) = case.nodes.iter().find(|node| node.instance_id == *first)
            && !is_shown
        {
            shown.push((node, incident));
        }
        if shown.len() == TIMELINES_SHOWN_MAX {
            break;
        }
    }
    shown
        .into_iter()
        .try_for_each(|(node, incident)| write_timeline(out, case, node, &changes(case, incident, findings)))
}

/// The changes that led to an incident, as indices of events: the first event that the finding about each cites.
fn changes(case: &Case, incident: &Incident, findings: &[Finding]) -> Vec<u32> {
    let ids: BTreeSet<&Id> = incident
        .findings
        .iter()
        .filter_map(|index| findings.get(*index))
        .filter(|finding| matches!(finding.rule, "KT401" | "KT402" | "KT403"))
        .filter_map(|finding| finding.evidence.first())
        .collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let events = (0u32..).zip(&case.events);
    events.filter(|(_, event)| ids.contains(&event.event_id)).map(|(index, _)| index).collect()
}

fn write_timeline(out: &mut dyn Write, case: &Case, node: &Node, changes: &[u32]) -> io::Result<()> {
    writeln!(
        out,
        "\n## Timeline of {}\n\n| UTC | since launch | role | event |\n|---|---|---|---|",
        code(&node.instance_id)
    )?;
    let change = |event: &u32| TimelineRef {
        event: *event,
        role: TimelineRole::Configuration,
        confidence: Confidence::Observed,
    };
    let own: BTreeSet<u32> = node.timeline.iter().map(|reference| reference.event).collect();
    let more = changes.iter().filter(|event| !own.contains(event)).map(change);
    let mut references: Vec<TimelineRef> = node.timeline.iter().copied().chain(more).collect();
    // Events are sorted by time and cause, so their places are too.
    references.sort_by_key(|reference| reference.event);
    // What came long before is context; what happened to the node is the story.
    let skipped = references.len().saturating_sub(STEPS_SHOWN_MAX);
    for reference in references.iter().skip(skipped) {
        let entry = timeline_entry(case, node, reference);
        let since = node
            .launched_at
            .map_or_else(String::new, |launched| delta(entry.time.second() - launched.second()));
        let role = match reference.role {
            TimelineRole::Refusal => "**refusal**".to_owned(),
            _ if changes.contains(&reference.event) => "**change**".to_owned(),
            role => contract_name(role),
        };
        let doubt = if reference.confidence == Confidence::Inferred { " (inferred)" } else { "" };
        writeln!(out, "| {} | {since} | {role} | {}{doubt} |", moment(entry.time), escaped(&entry.summary))?;
    }
    write_more(out, skipped, "events before these")
}

fn write_launch_failures(out: &mut dyn Write, case: &Case) -> io::Result<()> {
    let mut kinds: BTreeMap<(&str, &str, &str), (u64, Timestamp, Timestamp)> = BTreeMap::new();
    for failure in &case.launch_failures {
        let nodepool = failure.nodepool.as_deref().unwrap_or_default();
        let (count, first, last) = kinds
            .entry((&failure.error_code, nodepool, &failure.event_name))
            .or_insert((0, failure.at, failure.at));
        *count = count.saturating_add(failure.count);
        (*first, *last) = ((*first).min(failure.at), (*last).max(failure.at));
    }
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Launches that made no instance\n\n| error | count | nodepool | call | first (UTC) | last (UTC) |\n\
         |---|---|---|---|---|---|"
    )?;
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, ..))| std::cmp::Reverse(*count));
    for ((code, nodepool, call), (count, first, last)) in kinds.iter().take(ROWS_SHOWN_MAX) {
        writeln!(
            out,
            "| {} | {count} | {} | {} | {} | {} |",
            cell(code),
            cell(nodepool),
            cell(call),
            moment(*first),
            moment(*last)
        )?;
    }
    write_more(out, kinds.len().saturating_sub(ROWS_SHOWN_MAX), "kinds of failure")
}

fn write_keys(out: &mut dyn Write, case: &Case) -> io::Result<()> {
    if case.keys.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Keys\n\n| key | aliases | nodes | volumes | refusals | state at the end |\n|---|---|---|---|---|---|"
    )?;
    for key in case.keys.iter().take(ROWS_SHOWN_MAX) {
        let aliases: Vec<String> = key.aliases.iter().map(|alias| cell(alias)).collect();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            cell(&key.key_arn),
            aliases.join(", "),
            key.nodes,
            key.volumes,
            key.denials,
            key.state.map_or_else(String::new, contract_name)
        )?;
    }
    write_more(out, case.keys.len().saturating_sub(ROWS_SHOWN_MAX), "keys")
}

/// What the archive does not show, of all that is told.
fn write_unknown(out: &mut dyn Write, told: &[&Incident], findings: &[Finding]) -> io::Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for finding in
        told.iter().flat_map(|incident| &incident.findings).filter_map(|index| findings.get(*index))
    {
        missing.extend(finding.missing.iter().map(String::as_str).filter(|text| known.insert(text)));
    }
    if missing.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Not known\n")?;
    for text in missing.iter().take(ROWS_SHOWN_MAX) {
        writeln!(out, "- {}", escaped(text))?;
    }
    write_more(out, missing.len().saturating_sub(ROWS_SHOWN_MAX), "of these")
}

fn write_remedies(out: &mut dyn Write, told: &[&Incident], findings: &[Finding]) -> io::Result<()> {
    let mut remedies: Vec<&Finding> = Vec::new();
    for finding in told.iter().filter_map(|incident| findings.get(incident.remedy?)) {
        if !remedies.iter().any(|shown| shown.remediation == finding.remediation) {
            remedies.push(finding);
        }
    }
    if remedies.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Fix")?;
    for finding in remedies.iter().take(REMEDIES_SHOWN_MAX) {
        let Some(remedy) = &finding.remediation else { continue };
        writeln!(out, "\n**{}** ({})", escaped(&remedy.summary), finding.rule)?;
        writeln!(out, "\nTarget: {}", escaped(&remedy.target))?;
        for document in &remedy.documents {
            write_fenced(out, document)?;
        }
    }
    write_more(out, remedies.len().saturating_sub(REMEDIES_SHOWN_MAX), "remedies")
}

fn write_coverage(out: &mut dyn Write, case: &Case, tool: Tool<'_>) -> io::Result<()> {
    let mut summary = Vec::new();
    write_summary(&mut summary, case, &Filter::default(), &[], Style::plain())?;
    writeln!(out, "\n## What was read\n")?;
    for line in String::from_utf8_lossy(&summary).lines() {
        writeln!(out, "- {}", escaped(line))?;
    }
    let made = format!("Made from CloudTrail records by {} {}.", tool.name, tool.version);
    writeln!(out, "\n{}", escaped(&made))
}

fn write_more(out: &mut dyn Write, count: usize, what: &str) -> io::Result<()> {
    if count == 0 { Ok(()) } else { writeln!(out, "\nand {count} more {what}; `-o json` has all") }
}

#[cfg(test)]
mod tests;
