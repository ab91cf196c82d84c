//! The tables for people: one screen line per node, what failed to launch, and what the rules conclude.
//!
//! A case and its findings come in, lines that fit the screen go out. Widths are measured in a first pass
//! over the nodes and lines are written in a second one, so that no line is ever held. Nothing here is for
//! programs to read: that is what JSON and CSV are for.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use super::abbreviate::{short_key, short_keys_apart};
use super::document::{contract_name, rules_by_node};
use super::sanitize::sanitize;
use super::style::{Line, Style, Tone, fitted, width};
use crate::correlate::{
    Case, Confidence, KeyVerdict, Node, TerminationCause, Volume, VolumeOutcome, VolumeRole,
};
use crate::event::{Text, Timestamp};
use crate::rules::{Finding, Severity};

/// How much of a screen a table may take, and in which style.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Screen columns; `None` where lines may be of any length.
    pub columns: Option<usize>,
    /// Colours or none.
    pub style: Style,
}

impl From<Style> for Layout {
    /// Lines of any length.
    fn from(style: Style) -> Self {
        Self { columns: None, style }
    }
}

/// Kinds of launch failures that are listed before the rest is counted.
const LAUNCH_FAILURES_SHOWN_MAX: usize = 10;
/// Widest column of the table of short ids: one long name must not widen all rows.
const CELL_COLUMNS_MAX: usize = 64;
/// Widest padding of the wide table: what is longer sticks out of its column.
const PADDING_COLUMNS_MAX: usize = 128;
/// Screens narrower than this get short dates in the list of launch failures.
const NARROW_COLUMNS_MAX: usize = 100;
/// Stands where nothing is known.
const UNKNOWN: &str = "-";

/// A cell: sanitized text and its meaning.
#[derive(Default)]
struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: sanitize(text.as_ref()).into_owned(), tone }
    }

    fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Tone::Plain, text)
    }

    fn known(text: Option<&Text>) -> Self {
        text.map_or_else(|| Self::new(Tone::Faint, UNKNOWN), Self::plain)
    }
}

/// How much of a row is spelled out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Full,
    Short,
}

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] =
    ["NODE", "NODEPOOL", "LAUNCHED", "EXPECTED KEY", "USED KEY", "RESULT", "CAUSE"];
const HEADINGS_SHORT: [&str; COLUMNS] = ["NODE", "POOL", "LAUNCHED", "EXPECTED", "USED", "RESULT", "CAUSE"];
const NODE: usize = 0;
const NODEPOOL: usize = 1;
const LAUNCHED: usize = 2;
const EXPECTED: usize = 3;
const USED: usize = 4;
const RESULT: usize = 5;
const CAUSE: usize = 6;

/// Columns that are spelled short where the screen is too narrow for all of them in full, in this order.
const SHORTENED: [usize; 6] = [LAUNCHED, CAUSE, EXPECTED, USED, NODEPOOL, RESULT];
/// What is cut where even that is too wide, in this order, and down to how many screen columns. The node's
/// id, which people copy, is cut late.
const CONCESSIONS: [(usize, usize); 9] = [
    (NODEPOOL, 8),
    (EXPECTED, 14),
    (USED, 14),
    (CAUSE, 12),
    (EXPECTED, 9),
    (USED, 10),
    (NODEPOOL, 5),
    (RESULT, 9),
    (NODE, 11),
];

/// How the rows are laid out.
struct Fit {
    spelling: [Spelling; COLUMNS],
    widths: [usize; COLUMNS],
    gap: usize,
}

/// Writes one line per node, then the launches that failed. Writes no line for what there is none of.
///
/// # Errors
/// When `out` fails.
pub fn write_table(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    if !case.nodes.is_empty() {
        let fit = fit(&case.nodes, layout.columns);
        let headings = std::array::from_fn::<_, COLUMNS, _>(|column| {
            Cell::new(Tone::Heading, heading(column, fit.spelling[column]))
        });
        write_row(&mut out, &headings, &fit.widths, fit.gap, layout.style)?;
        let mut marks = Marks::default();
        for node in &case.nodes {
            marks.note(node);
            write_row(&mut out, &row(node, fit.spelling), &fit.widths, fit.gap, layout.style)?;
        }
        marks.write_legend(&mut out, layout.style)?;
    }
    write_launch_failures(&mut out, case, layout)?;
    out.flush()
}

fn heading(column: usize, spelling: Spelling) -> &'static str {
    match spelling {
        Spelling::Full => HEADINGS[column],
        Spelling::Short => HEADINGS_SHORT[column],
    }
}

/// Measures all rows, and finds the fullest spelling that the screen has room for.
fn fit(nodes: &[Node], columns: Option<usize>) -> Fit {
    let mut full = HEADINGS.map(width);
    let mut short = HEADINGS_SHORT.map(width);
    for node in nodes {
        for (spelling, widths) in [(Spelling::Full, &mut full), (Spelling::Short, &mut short)] {
            for (widest, cell) in widths.iter_mut().zip(row(node, [spelling; COLUMNS])) {
                *widest = (*widest).max(width(&cell.text)).min(CELL_COLUMNS_MAX);
            }
        }
    }
    let columns = columns.unwrap_or(usize::MAX);
    let excess = |widths: &[usize; COLUMNS], gap: usize| {
        (widths.iter().sum::<usize>() + gap * (COLUMNS - 1)).saturating_sub(columns)
    };
    let mut fit = Fit { spelling: [Spelling::Full; COLUMNS], widths: full, gap: 2 };
    for column in SHORTENED {
        if excess(&fit.widths, fit.gap) == 0 {
            return fit;
        }
        fit.spelling[column] = Spelling::Short;
        fit.widths[column] = short[column];
    }
    if excess(&fit.widths, fit.gap) == 0 {
        return fit;
    }
    fit.gap = 1;
    for (column, width_min) in CONCESSIONS {
        let wanted = fit.widths[column].saturating_sub(excess(&fit.widths, fit.gap));
        fit.widths[column] = wanted.max(width_min.min(fit.widths[column]));
    }
    fit
}

/// Writes cells, each cut to the width of its column.
fn write_row(
    out: &mut dyn Write,
    cells: &[Cell],
    widths: &[usize],
    gap: usize,
    style: Style,
) -> io::Result<()> {
    let mut line = Line::new(style);
    for (index, (cell, columns)) in cells.iter().zip(widths).enumerate() {
        let text = fitted(&cell.text, *columns);
        line = line.push(cell.tone, &text);
        if index + 1 < cells.len() {
            line = line.gap(columns.saturating_sub(width(&text)) + gap);
        }
    }
    line.write(out)
}

fn row(node: &Node, spelling: [Spelling; COLUMNS]) -> [Cell; COLUMNS] {
    let keys = keys(node);
    [
        Cell::plain(&node.instance_id),
        Cell::known(node.nodepool.as_ref()),
        match node.launched_at {
            Some(at) => Cell::plain(launch_time(at, spelling[LAUNCHED])),
            None => Cell::new(Tone::Faint, UNKNOWN),
        },
        keys.expected,
        keys.used,
        result(node.key_verdict, spelling[RESULT]),
        cause(node, spelling[CAUSE]),
    ]
}

fn launch_time(at: Timestamp, spelling: Spelling) -> String {
    let text = at.to_string().replace('T', " ");
    match spelling {
        Spelling::Full => text.trim_end_matches('Z').to_owned(),
        // Month, day, hour and minute: an archive rarely spans years.
        Spelling::Short => text.get(5..16).unwrap_or(&text).to_owned(),
    }
}

/// The keys of a row, and which marks they bear.
struct Keys {
    expected: Cell,
    used: Cell,
    is_refused: bool,
    are_several: bool,
}

/// The expected key and the key that decided the verdict: the refused one, else the first one that is not
/// as expected, else the first one.
fn keys(node: &Node) -> Keys {
    let refused = refused_volumes(node).find(|volume| volume.role != Some(VolumeRole::AttachedLater));
    let is_expected = |key: &Text| node.expected_keys.iter().any(|own| own.key.key_arn.as_ref() == Some(key));
    let used = match refused {
        Some(volume) => volume.key_arn.as_ref(),
        None => node.used_keys.iter().find(|key| !is_expected(key)).or(node.used_keys.first()),
    };
    let expected = node.expected_key.as_ref().or(node.expected_keys.first().map(|own| &own.key));
    let written = expected.and_then(|key| key.written.as_deref().or(key.key_arn.as_deref()));
    let is_alias = written.is_some_and(|written| short_key(written).starts_with("alias/"));
    let (mut expected_text, mut used_text) = match (expected.and_then(|key| key.key_arn.as_deref()), used) {
        (Some(arn), Some(used)) if !is_alias => short_keys_apart(arn, used),
        _ => (
            written.map_or_else(|| UNKNOWN.to_owned(), short_key),
            used.map_or_else(|| UNKNOWN.to_owned(), |key| short_key(key)),
        ),
    };
    if expected.is_some() && written.is_none() {
        "none".clone_into(&mut expected_text);
    }
    if used.is_none() && node.key_verdict == KeyVerdict::Unencrypted {
        "none".clone_into(&mut used_text);
    }
    let more_expected =
        if node.expected_key.is_none() { node.expected_keys.len().saturating_sub(1) } else { 0 };
    let more_used = node.used_keys.iter().filter(|key| Some(*key) != used).count();
    for (text, more) in [(&mut expected_text, more_expected), (&mut used_text, more_used)] {
        if more > 0 {
            text.push_str(&format!(" +{more}"));
        }
    }
    if refused.is_some() {
        used_text.insert(0, '!');
    }
    let tone = match node.key_verdict {
        KeyVerdict::Denied => Tone::Bad,
        KeyVerdict::Mismatch | KeyVerdict::Unencrypted => Tone::Warning,
        _ => Tone::Plain,
    };
    Keys {
        expected: Cell::plain(expected_text),
        used: Cell::new(tone, used_text),
        is_refused: refused.is_some(),
        are_several: more_expected + more_used > 0,
    }
}

/// The expected key and the deciding key as the table shows them: short, `-` where unknown, the latter with
/// `!` before it where it was refused. Safe to show.
pub(super) fn key_texts(node: &Node) -> (String, String) {
    let keys = keys(node);
    (keys.expected.text, keys.used.text)
}

fn refused_volumes(node: &Node) -> impl Iterator<Item = &Volume> {
    node.volumes
        .iter()
        .filter(|volume| matches!(volume.outcome, VolumeOutcome::Denied | VolumeOutcome::Failed))
}

fn result(verdict: KeyVerdict, spelling: Spelling) -> Cell {
    let tone = match verdict {
        KeyVerdict::Match => Tone::Good,
        KeyVerdict::Mismatch | KeyVerdict::Unencrypted => Tone::Warning,
        KeyVerdict::Denied => Tone::Bad,
        KeyVerdict::NoExpectation => Tone::Plain,
        KeyVerdict::Unknown => Tone::Faint,
    };
    match (verdict, spelling) {
        (KeyVerdict::NoExpectation, Spelling::Short) => Cell::new(tone, "no-expect"),
        _ => Cell::new(tone, contract_name(verdict)),
    }
}

fn cause(node: &Node, spelling: Spelling) -> Cell {
    let Some(termination) = &node.termination else { return Cell::new(Tone::Faint, UNKNOWN) };
    let tone = match termination.cause {
        TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable => Tone::Bad,
        TerminationCause::RegistrationTimeout | TerminationCause::LaunchAborted => Tone::Warning,
        _ => Tone::Plain,
    };
    let mut text = match (spelling, termination.cause) {
        (Spelling::Full, cause) => contract_name(cause),
        (Spelling::Short, TerminationCause::KmsDenied) => "kms-denied".to_owned(),
        (Spelling::Short, TerminationCause::KmsKeyUnusable) => "key-unusable".to_owned(),
        (Spelling::Short, TerminationCause::SpotInterruption) => "spot".to_owned(),
        (Spelling::Short, TerminationCause::RegistrationTimeout) => "registration".to_owned(),
        (Spelling::Short, TerminationCause::TerminatedByKarpenter) => "karpenter".to_owned(),
        (Spelling::Short, TerminationCause::TerminatedByAutoscaling) => "autoscaling".to_owned(),
        (Spelling::Short, TerminationCause::TerminatedByPrincipal) => "principal".to_owned(),
        (Spelling::Short, TerminationCause::LaunchAborted) => "aborted".to_owned(),
    };
    if termination.confidence == Confidence::Inferred {
        text.push('?');
    }
    Cell::new(tone, text)
}

/// Which marks the rows use.
#[derive(Default)]
struct Marks {
    refused: bool,
    several: bool,
    inferred: bool,
}

impl Marks {
    fn note(&mut self, node: &Node) {
        let keys = keys(node);
        self.refused |= keys.is_refused;
        self.several |= keys.are_several;
        self.inferred |= node.termination.as_ref().is_some_and(|end| end.confidence == Confidence::Inferred);
    }

    fn write_legend(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut parts = vec!["times are UTC"];
        for (is_used, meaning) in [
            (self.refused, "! refused by KMS"),
            (self.several, "+n more keys"),
            (self.inferred, "? inferred"),
        ] {
            if is_used {
                parts.push(meaning);
            }
        }
        Line::new(style).push(Tone::Faint, &parts.join(" · ")).write(out)
    }
}

fn write_launch_failures(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let mut kinds: BTreeMap<(&str, &str, &str), (u64, Timestamp)> = BTreeMap::new();
    for failure in &case.launch_failures {
        let nodepool = failure.nodepool.as_deref().unwrap_or(UNKNOWN);
        let (count, last) =
            kinds.entry((&failure.error_code, nodepool, &failure.event_name)).or_insert((0, failure.at));
        *count = count.saturating_add(failure.count);
        *last = (*last).max(failure.at);
    }
    if kinds.is_empty() {
        return Ok(());
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let more = kinds.len().saturating_sub(LAUNCH_FAILURES_SHOWN_MAX);
    kinds.truncate(LAUNCH_FAILURES_SHOWN_MAX);
    let is_narrow = layout.columns.is_some_and(|columns| columns < NARROW_COLUMNS_MAX);
    let spelling = if is_narrow { Spelling::Short } else { Spelling::Full };
    let headings = ["LAUNCH FAILURE", "COUNT", "NODEPOOL", "CALL", "LAST"];
    let mut rows = vec![headings.map(|text| Cell::new(Tone::Heading, text))];
    rows.extend(kinds.into_iter().map(|((code, nodepool, call), (count, last))| {
        [
            Cell::new(Tone::Warning, code),
            Cell::plain(count.to_string()),
            Cell::plain(nodepool),
            Cell::plain(call),
            Cell::plain(launch_time(last, spelling)),
        ]
    }));
    out.write_all(b"\n")?;
    let taken = if is_narrow { 52 } else { 60 };
    let code_columns = layout.columns.unwrap_or(NARROW_COLUMNS_MAX).saturating_sub(taken).max(16);
    write_block(out, &rows, [code_columns, 6, 15, 12, 19], layout.style)?;
    write_more(out, more, "kinds of launch failure", layout.style)
}

fn write_findings(out: &mut dyn Write, findings: &[Finding], layout: Layout) -> io::Result<()> {
    let mut rules: BTreeMap<(std::cmp::Reverse<Severity>, &str), (usize, &Finding)> = BTreeMap::new();
    for finding in findings {
        rules.entry((std::cmp::Reverse(finding.severity), finding.rule)).or_insert((0, finding)).0 += 1;
    }
    if rules.is_empty() {
        return Ok(());
    }
    let mut rows = vec![["SEVERITY", "RULE", "COUNT", "FINDING"].map(|text| Cell::new(Tone::Heading, text))];
    rows.extend(rules.into_values().map(|(count, first)| {
        let tone = match first.severity {
            Severity::Critical | Severity::High => Tone::Bad,
            Severity::Medium => Tone::Warning,
            Severity::Low | Severity::Info => Tone::Plain,
        };
        [
            Cell::new(tone, contract_name(first.severity)),
            Cell::plain(first.rule),
            Cell::plain(count.to_string()),
            Cell::plain(&first.title),
        ]
    }));
    out.write_all(b"\n")?;
    let title_columns = layout.columns.unwrap_or(usize::MAX / 8).saturating_sub(28).max(20);
    write_block(out, &rows, [8, 8, 6, title_columns], layout.style)
}

/// Writes a few rows, each column as wide as its widest cell but no wider than `widths_max`.
fn write_block<const N: usize>(
    out: &mut dyn Write,
    rows: &[[Cell; N]],
    widths_max: [usize; N],
    style: Style,
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for ((widest, cell), width_max) in widths.iter_mut().zip(row).zip(widths_max) {
            *widest = (*widest).max(width(&cell.text)).min(width_max);
        }
    }
    rows.iter().try_for_each(|row| write_row(out, row, &widths, 2, style))
}

/// Says how many more things there are than were listed.
pub(super) fn write_more(out: &mut dyn Write, more: usize, what: &str, style: Style) -> io::Result<()> {
    if more == 0 {
        return Ok(());
    }
    let what = if more == 1 { singular(what) } else { what.to_owned() };
    Line::new(style).push(Tone::Faint, &format!("and {more} more {what}")).write(out)
}

/// One of things that are named in the plural.
fn singular(what: &str) -> String {
    match what {
        "losses" => "loss".to_owned(),
        "accounts and regions" => "account and region".to_owned(),
        _ => {
            let (first, rest) =
                what.split_at(what.find(|letter: char| !letter.is_alphabetic()).unwrap_or(what.len()));
            format!("{}{rest}", first.strip_suffix('s').unwrap_or(first))
        }
    }
}

type WideColumn = (&'static str, fn(&Node, &[&'static str]) -> Cell);

/// All columns of the wide table.
const WIDE_COLUMNS: [WideColumn; 26] = [
    ("NODE", |node, _| Cell::plain(&node.instance_id)),
    ("NAME", |node, _| Cell::known(node.node_name.as_ref())),
    ("ACCOUNT", |node, _| Cell::plain(&node.account_id)),
    ("REGION", |node, _| Cell::plain(&node.region)),
    ("ZONE", |node, _| Cell::known(node.availability_zone.as_ref())),
    ("TYPE", |node, _| Cell::known(node.instance_type.as_ref())),
    ("IMAGE", |node, _| Cell::known(node.image_id.as_ref())),
    ("CAPACITY", |node, _| {
        node.capacity_type.map_or_else(|| Cell::known(None), |kind| Cell::plain(contract_name(kind)))
    }),
    ("PROVISIONER", |node, _| Cell::plain(contract_name(node.provisioner))),
    ("VERSION", |node, _| Cell::known(node.karpenter_version.as_ref())),
    ("CLUSTER", |node, _| Cell::known(node.cluster.as_ref())),
    ("NODEPOOL", |node, _| Cell::known(node.nodepool.as_ref())),
    ("NODECLASS", |node, _| Cell::known(node.nodeclass.as_ref())),
    ("NODECLAIM", |node, _| Cell::known(node.nodeclaim.as_ref())),
    ("LAUNCH TEMPLATE", |node, _| match &node.launch_template {
        Some(template) => match &template.version {
            Some(version) => Cell::plain(format!("{}:{version}", template.id)),
            None => Cell::plain(&template.id),
        },
        None => Cell::known(None),
    }),
    ("LAUNCHED", |node, _| moment(node.launched_at)),
    ("ENDED", |node, _| moment(node.ended_at)),
    ("EXPECTED KEY", |node, _| {
        let mut written: Vec<&str> = node
            .expected_keys
            .iter()
            .filter_map(|own| own.key.written.as_deref().or(own.key.key_arn.as_deref()))
            .collect();
        written.dedup();
        joined(&written)
    }),
    ("USED KEY", |node, _| joined(&node.used_keys)),
    ("REFUSED KEY", |node, _| {
        let mut keys: Vec<&str> =
            refused_volumes(node).filter_map(|volume| volume.key_arn.as_deref()).collect();
        keys.dedup();
        joined(&keys)
    }),
    ("KEY ORIGIN", |node, _| Cell::plain(contract_name(node.key_origin))),
    ("RESULT", |node, _| result(node.key_verdict, Spelling::Full)),
    ("CAUSE", |node, _| cause(node, Spelling::Full)),
    ("CONFIDENCE", |node, _| {
        node.termination
            .as_ref()
            .map_or_else(|| Cell::known(None), |end| Cell::plain(contract_name(end.confidence)))
    }),
    ("ACTOR", |node, _| Cell::known(node.termination.as_ref().and_then(|end| end.actor.as_ref()))),
    ("FINDINGS", |_, rules| joined(rules)),
];

fn moment(at: Option<Timestamp>) -> Cell {
    at.map_or_else(|| Cell::known(None), |at| Cell::plain(at.to_string()))
}

fn joined<T: AsRef<str>>(texts: &[T]) -> Cell {
    if texts.is_empty() {
        return Cell::known(None);
    }
    Cell::plain(texts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","))
}

/// Writes one line per node with everything spelled out, however long the lines become; then the launches
/// that failed and the findings.
///
/// # Errors
/// When `out` fails.
pub fn write_wide_table(
    out: &mut dyn Write,
    case: &Case,
    findings: &[Finding],
    style: Style,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let rules = rules_by_node(findings);
    let cells = |node: &Node| {
        let rules = rules.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
        WIDE_COLUMNS.map(|(_, cell)| cell(node, rules))
    };
    if !case.nodes.is_empty() {
        let mut widths = WIDE_COLUMNS.map(|(heading, _)| width(heading));
        for node in &case.nodes {
            for (widest, cell) in widths.iter_mut().zip(cells(node)) {
                *widest = (*widest).max(width(&cell.text)).min(PADDING_COLUMNS_MAX);
            }
        }
        let headings = WIDE_COLUMNS.map(|(heading, _)| Cell::new(Tone::Heading, heading));
        write_row(&mut out, &headings, &widths, 2, style)?;
        for node in &case.nodes {
            let mut line = Line::new(style);
            for (cell, columns) in cells(node).iter().zip(widths) {
                let padding = columns.saturating_sub(width(&cell.text)) + 2;
                line = line.push(cell.tone, &cell.text).gap(padding);
            }
            line.write(&mut out)?;
        }
    }
    let layout = Layout { columns: None, style };
    write_launch_failures(&mut out, case, layout)?;
    write_findings(&mut out, findings, layout)?;
    out.flush()
}

#[cfg(test)]
mod tests;
