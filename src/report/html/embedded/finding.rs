//! Rows of findings and their remedies, and which of them concern which node.
//!
//! Findings come in, rows go out, in the order of [`FINDING`] and [`REMEDY`]; a remedy that many findings share is
//! written once.

use std::collections::{BTreeSet, HashMap};

use super::EventNumbers;
use super::cell::{Cell, Strings};
use crate::correlate::Case;
use crate::event::Id;
use crate::report::document::contract_name;
use crate::rules::{Finding, Incident, Remediation, SubjectKind};

/// Columns of a finding.
pub(super) const FINDING: &[&str] = &[
    "rule:s",
    "name:s",
    "severity:s",
    "confidence:s",
    "subject_kind:s",
    "subject:s",
    "title:p",
    "explanation:p",
    "evidence:N",
    "ruled_out:S",
    "missing:S",
    "remedy:n",
];

/// Columns of a remedy.
pub(super) const REMEDY: &[&str] = &["summary:s", "target:s", "documents:r:document"];

/// Columns of a text to paste.
pub(super) const DOCUMENT: &[&str] = &["format:s", "body:s"];

/// Which findings concern a node.
#[derive(Debug, Default)]
pub(super) struct Concerning {
    /// Their numbers: those about it, then those about other things that cite its events or belong to its incidents.
    pub(super) findings: Vec<usize>,
    /// The place among these of the one whose remedy its incident recommends.
    pub(super) recommended: Option<usize>,
}

/// The findings that concern the nodes with these indices; for each node, which of them do.
pub(super) fn of_nodes<'a>(
    case: &Case,
    findings: &'a [Finding],
    incidents: &[Incident],
    nodes: &[usize],
) -> (Vec<Concerning>, Vec<&'a Finding>) {
    let mut of_incidents: HashMap<&str, Vec<&Incident>> = HashMap::new();
    for incident in incidents {
        for id in &incident.nodes {
            of_incidents.entry(id).or_default().push(incident);
        }
    }
    let mut own: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut citing: HashMap<&Id, Vec<usize>> = HashMap::new();
    for (number, finding) in findings.iter().enumerate() {
        if finding.subject.kind == SubjectKind::Node {
            own.entry(&finding.subject.id).or_default().push(number);
        } else {
            for id in &finding.evidence {
                citing.entry(id).or_default().push(number);
            }
        }
    }
    let mut kept = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut place = |number: usize| {
        *places.entry(number).or_insert_with(|| {
            kept.push(&findings[number]);
            kept.len() - 1
        })
    };
    let of_nodes = nodes
        .iter()
        .map(|index| {
            let node = &case.nodes[*index];
            let about_it = own.get(&*node.instance_id).into_iter().flatten().copied();
            let ids = node.timeline.iter().map(|entry| &case.events[entry.event as usize].event_id);
            let mut wider: BTreeSet<usize> = ids.filter_map(|id| citing.get(id)).flatten().copied().collect();
            let incidents = of_incidents.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
            let told = incidents.iter().flat_map(|incident| &incident.findings).copied();
            wider.extend(told.filter(|number| findings[*number].subject.kind != SubjectKind::Node));
            let numbers: Vec<usize> = about_it.chain(wider).collect();
            let remedies = incidents.iter().filter_map(|incident| incident.remedy);
            let place_of = |remedy: usize| {
                // An equal remedy of the node itself stands for that of another node.
                let is_equal = |number: &usize| findings[*number].remediation == findings[remedy].remediation;
                let itself = numbers.iter().position(|number| *number == remedy);
                itself.or_else(|| numbers.iter().position(is_equal))
            };
            let recommended = remedies.filter_map(place_of).next();
            Concerning { findings: numbers.into_iter().map(&mut place).collect(), recommended }
        })
        .collect();
    (of_nodes, kept)
}

/// Rows of the findings, in their order, and of the remedies that they refer to.
pub(super) fn rows(
    findings: &[&Finding],
    numbers: &EventNumbers<'_>,
    strings: &mut Strings,
) -> (Vec<Vec<Cell>>, Vec<Vec<Cell>>) {
    let mut remedies = Vec::new();
    let mut known: HashMap<(&str, Vec<&str>), usize> = HashMap::new();
    let rows = findings
        .iter()
        .map(|finding| {
            let remedy = finding.remediation.as_ref().map_or(Cell::None, |remedy| {
                let bodies = remedy.documents.iter().map(|document| &*document.body).collect();
                let number = *known.entry((&remedy.target, bodies)).or_insert_with(|| {
                    remedies.push(remedy_row(remedy, strings));
                    remedies.len() - 1
                });
                Cell::Index(number)
            });
            vec![
                strings.text(finding.rule),
                strings.text(finding.name),
                strings.text(&contract_name(finding.severity)),
                strings.text(&contract_name(finding.confidence)),
                strings.text(&contract_name(finding.subject.kind)),
                strings.text(&finding.subject.id),
                strings.phrase(&finding.title),
                strings.phrase(&finding.explanation),
                numbers.of(&finding.evidence),
                strings.list(finding.ruled_out.iter().map(String::as_str)),
                strings.list(finding.missing.iter().map(String::as_str)),
                remedy,
            ]
        })
        .collect();
    (rows, remedies)
}

fn remedy_row(remedy: &Remediation, strings: &mut Strings) -> Vec<Cell> {
    let documents = remedy.documents.iter();
    let documents =
        documents.map(|document| vec![strings.text(document.format), strings.lines(&document.body)]);
    let documents = Cell::Rows(documents.collect());
    vec![strings.text(&remedy.summary), strings.text(&remedy.target), documents]
}
