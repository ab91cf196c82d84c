//! The report for people: one HTML page that needs nothing but a browser, and no network.
//!
//! A case and its findings come in, one self-contained page goes out: the incidents, swim lanes of all nodes with
//! the configuration changes across them, the way from configured to used keys, findings with their fixes, what was
//! read and lost. It is whole without its script, which adds zoom, filters and the details of single nodes. Nothing
//! of a log becomes markup, style, script or link; the same case gives the same bytes.

mod account;
mod axis;
mod change;
mod content_policy;
mod embedded;
mod flow;
mod lane;
mod outcome;
mod shown;
#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, Write};

use askama::Template;

use self::account::{
    FailureRow, FindingGroup, IncidentCard, KeyRow, Limited, NodeRow, cards, failure_rows, group, key_rows,
    losses, node_rows, scopes, told,
};
use self::axis::{Axis, Tick};
use self::change::{Changes, events_of_changes};
use self::content_policy::content_policy;
use self::embedded::embedded;
use self::flow::{Flow, flow};
use self::lane::{Pool, Symbol, pools};
use self::outcome::Outcome;
use self::shown::Shown;
use super::document::Tool;
use super::summary::grouped;
use crate::correlate::Case;
use crate::event::{ObjectCounts, RecordCounts, Timestamp};
use crate::rules::{self, Finding};

/// Most nodes with a lane and details of their own; those with the worst news come first.
const NODES_MAX: usize = 6_000;
/// Most incidents that are told.
const INCIDENTS_MAX: usize = 30;
/// Incidents that are told without a click.
const INCIDENTS_OPEN_MAX: usize = 5;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    tool: Tool<'a>,
    content_policy: String,
    style: &'static str,
    script: &'static str,
    headline: Shown,
    period: String,
    tiles: Vec<Tile>,
    incidents: Limited<IncidentCard>,
    quiet_incidents: usize,
    axis: Option<Axis>,
    ticks: Vec<Tick>,
    changes: Changes,
    pools: Vec<Pool>,
    symbols: [Symbol; 6],
    /// Those that occur.
    outcomes: Vec<Outcome>,
    lanes: String,
    is_one_lane: bool,
    nodes_left_out: usize,
    flow: Option<Flow>,
    groups: Limited<FindingGroup>,
    nodes: Limited<NodeRow>,
    keys: Limited<KeyRow>,
    failures: Limited<FailureRow>,
    objects: ObjectCounts,
    records: RecordCounts,
    losses: Limited<Shown>,
    scopes: Limited<(Shown, String, bool)>,
    embedded: String,
}

/// A number at the top of the page.
struct Tile {
    class: &'static str,
    count: String,
    label: &'static str,
}

/// Writes the page.
///
/// # Errors
/// When `out` fails.
pub fn write_html(out: &mut dyn Write, case: &Case, findings: &[Finding], tool: Tool<'_>) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    page(case, findings, tool).write_into(&mut out)?;
    out.flush()
}

fn page<'a>(case: &Case, findings: &[Finding], tool: Tool<'a>) -> Page<'a> {
    let change_events = events_of_changes(case);
    let times: Vec<Timestamp> = change_events.iter().map(|event| case.events[*event as usize].time).collect();
    let axis = Axis::of(case, &times);
    let changes = Changes::tell(case, findings, &change_events, axis);
    let shown_nodes = shown_nodes(case);
    let mut numbers = vec![None; case.nodes.len()];
    for (number, index) in shown_nodes.iter().enumerate() {
        numbers[*index] = Some(number);
    }
    let incidents = rules::incidents(case, findings);
    let (told, quiet_incidents) = told(&incidents, INCIDENTS_MAX);
    let (groups, group_of) = group(case, findings, &shown_nodes);
    Page {
        tool,
        content_policy: content_policy(STYLE, SCRIPT),
        style: STYLE,
        script: SCRIPT,
        headline: headline(case),
        period: period(case),
        tiles: tiles(case, &changes),
        incidents: Limited {
            all: cards(&told.all, findings, &group_of, axis.map(|axis| axis.start)),
            left_out: told.left_out,
        },
        quiet_incidents,
        axis,
        ticks: axis.map(Axis::ticks).unwrap_or_default(),
        changes,
        pools: axis.map(|axis| pools(case, &numbers, axis)).unwrap_or_default(),
        symbols: Symbol::ALL,
        outcomes: Outcome::ALL
            .into_iter()
            .filter(|outcome| case.nodes.iter().any(|node| Outcome::of(node) == *outcome))
            .collect(),
        lanes: grouped(shown_nodes.len() as u64),
        is_one_lane: shown_nodes.len() == 1,
        nodes_left_out: case.nodes.len() - shown_nodes.len(),
        flow: flow(case),
        groups,
        nodes: node_rows(case, &shown_nodes),
        keys: key_rows(case),
        failures: failure_rows(case),
        objects: case.coverage.objects,
        records: case.coverage.records,
        losses: losses(case),
        scopes: scopes(case),
        embedded: embedded(case, findings, &incidents, &told.all, &shown_nodes, axis),
    }
}

/// Indices of the nodes that get a lane, in the order of the case.
fn shown_nodes(case: &Case) -> Vec<usize> {
    let mut nodes: Vec<usize> = (0..case.nodes.len()).collect();
    if nodes.len() > NODES_MAX {
        nodes.sort_by_cached_key(|index| (Outcome::of(&case.nodes[*index]), *index));
        nodes.truncate(NODES_MAX);
        nodes.sort_unstable();
    }
    nodes
}

/// The clusters of the case, or its accounts.
fn headline(case: &Case) -> Shown {
    const NAMED_MAX: usize = 3;
    let clusters: std::collections::BTreeSet<&str> =
        case.nodes.iter().filter_map(|node| node.cluster.as_deref()).collect();
    let accounts = case.coverage.scopes.keys().map(|(account_id, _)| &**account_id);
    let accounts: std::collections::BTreeSet<&str> = accounts.collect();
    let (what, names) = if clusters.is_empty() { ("Account", accounts) } else { ("Cluster", clusters) };
    let (number, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
    let named = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    let more = match number.saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Shown::text(&match number {
        0 => "Empty archive".to_owned(),
        _ => format!("{what}{plural} {named}{more}"),
    })
}

/// From the first to the last record read.
fn period(case: &Case) -> String {
    let first = case.coverage.scopes.values().filter_map(|scope| scope.first_event()).min();
    let last = case.coverage.scopes.values().filter_map(|scope| scope.last_event()).max();
    match (first, last) {
        (Some(first), Some(last)) => format!(
            "{} to {} UTC",
            super::explanation::wording::moment(first),
            super::explanation::wording::moment(last)
        ),
        _ => "no record read".to_owned(),
    }
}

fn tiles(case: &Case, changes: &Changes) -> Vec<Tile> {
    let tile = |class, count: usize, label| Tile { class, count: grouped(count as u64), label };
    let plural = |count: usize, one, many| if count == 1 { one } else { many };
    let mut tiles = vec![tile("all", case.nodes.len(), plural(case.nodes.len(), "node", "nodes"))];
    for outcome in Outcome::ALL {
        let count = case.nodes.iter().filter(|node| Outcome::of(node) == outcome).count();
        if count > 0 {
            tiles.push(tile(outcome.class(), count, outcome.label()));
        }
    }
    let failed: u64 = case.launch_failures.iter().map(|failure| failure.count).sum();
    if failed > 0 {
        let label = if failed == 1 { "launch failure" } else { "launch failures" };
        tiles.push(Tile { class: "failed", count: grouped(failed), label });
    }
    let changed = changes.told.len() + changes.left_out;
    if changed > 0 {
        tiles.push(tile("change", changed, plural(changed, "configuration change", "configuration changes")));
    }
    let lost = case.coverage.records.lost + case.coverage.objects.failed;
    if lost > 0 {
        tiles.push(Tile { class: "lost", count: grouped(lost), label: "records or objects lost" });
    }
    tiles
}
