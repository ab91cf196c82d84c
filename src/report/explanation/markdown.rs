//! The explanation as Markdown, for a ticket or a pull request.
//!
//! An [`Explanation`] comes in, GitHub-flavoured Markdown goes out. Texts of a log stand in code spans or are
//! escaped, so that none of them becomes markup, a link or HTML; texts ready to paste stand in fences longer
//! than any run of backticks in them ([`inert`](crate::report::markdown::inert)).

use std::io::{self, BufWriter, Write};

use super::exhibit::Numbers;
use super::terminal::by_hand;
use super::wording::{delta, moment, verdict_name};
use super::{Cause, Explanation, Mark, Remedy, Step, key, node};
use crate::event::Text;
use crate::report::document::contract_name;
use crate::report::markdown::inert::{cell, code, escaped, write_fenced};

/// Events cited in one place before the rest is counted.
const CITED_MAX: usize = 12;
/// Lines of a list before the rest is counted.
const LINES_SHOWN_MAX: usize = 50;
/// Rows of a table before the rest is counted.
const ROWS_SHOWN_MAX: usize = 200;

/// Writes the explanation as Markdown.
///
/// # Errors
/// When `out` fails.
pub fn write_explanation_markdown(out: &mut dyn Write, explanation: &Explanation) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let numbers = Numbers::new(&explanation.custody);
    write_title(&mut out, explanation)?;
    write_causes(&mut out, &explanation.causes, &numbers)?;
    write_related(&mut out, &explanation.related)?;
    write_timeline(&mut out, explanation)?;
    write_keys(&mut out, explanation, &numbers)?;
    write_key(&mut out, explanation, &numbers)?;
    write_list(&mut out, "Ruled out", &explanation.ruled_out)?;
    write_list(&mut out, "Not in the archive", &explanation.missing)?;
    write_remedies(&mut out, &explanation.remedies)?;
    write_custody(&mut out, explanation)?;
    writeln!(out, "\n{}", escaped(&explanation.reading.sentence()))?;
    out.flush()
}

fn write_title(out: &mut dyn Write, explanation: &Explanation) -> io::Result<()> {
    let id = code(&explanation.subject.id);
    let facts = match (&explanation.node, &explanation.key) {
        (Some(account), _) => {
            writeln!(out, "# Node {id}: {}\n", verdict_name(account.node.key_verdict))?;
            node::facts(account)
        }
        (None, Some(account)) => {
            writeln!(out, "# Key {id}\n")?;
            key::facts(account)
        }
        (None, None) => Vec::new(),
    };
    writeln!(out, "| | |\n|---|---|")?;
    for (label, text) in facts {
        writeln!(out, "| {label} | {} |", escaped(&text))?;
    }
    if explanation.subject.given != *explanation.subject.id {
        writeln!(out, "| asked for | {} |", cell(&explanation.subject.given))?;
    }
    writeln!(
        out,
        "\n## Verdict\n\n**{}** {}",
        escaped(&explanation.verdict.sentence),
        escaped(&explanation.verdict.end)
    )
}

fn write_causes(out: &mut dyn Write, causes: &[Cause], numbers: &Numbers<'_>) -> io::Result<()> {
    if causes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Cause")?;
    for cause in causes.iter().take(LINES_SHOWN_MAX) {
        let confidence = contract_name(cause.confidence);
        let of = if cause.nodes > 1 { format!(", {} nodes", cause.nodes) } else { String::new() };
        let label = match (cause.rule, cause.severity) {
            (Some(rule), Some(severity)) => format!("{rule}, {}, {confidence}{of}", contract_name(severity)),
            _ => format!("{confidence}{of}"),
        };
        writeln!(out, "\n**{}** ({label})", escaped(&cause.title))?;
        if !cause.explanation.is_empty() {
            writeln!(out, "\n{}", escaped(&cause.explanation))?;
        }
        let cited = numbers.cite(&cause.evidence, CITED_MAX);
        if !cited.is_empty() {
            writeln!(out, "\nEvidence: {}", escaped(&cited))?;
        }
    }
    write_more(out, causes.len().saturating_sub(LINES_SHOWN_MAX), "conclusions")
}

fn write_related(out: &mut dyn Write, related: &[Cause]) -> io::Result<()> {
    if related.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Elsewhere\n\nSame key, nodepool or account; not what happened to this node:\n")?;
    for cause in related.iter().take(LINES_SHOWN_MAX) {
        writeln!(out, "- {} {}", cause.rule.unwrap_or_default(), escaped(&cause.title))?;
    }
    write_more(out, related.len().saturating_sub(LINES_SHOWN_MAX), "conclusions")
}

fn write_timeline(out: &mut dyn Write, explanation: &Explanation) -> io::Result<()> {
    if explanation.timeline.is_empty() {
        return Ok(());
    }
    let launcher = explanation.node.as_ref().and_then(|account| account.node.principal_arn.as_ref());
    writeln!(out, "\n## Timeline\n\n| # | UTC | since launch | | event |\n|---|---|---|---|---|")?;
    for step in explanation.timeline.iter().take(ROWS_SHOWN_MAX) {
        write_step(out, step, launcher)?;
    }
    write_more(out, explanation.timeline.len().saturating_sub(ROWS_SHOWN_MAX), "events")?;
    writeln!(out, "\n✗ refused, ★ launch, ◆ configuration, † end")
}

fn write_step(out: &mut dyn Write, step: &Step, launcher: Option<&Text>) -> io::Result<()> {
    let mark = match step.mark {
        Some(Mark::Refused) => "✗",
        Some(Mark::Launch) => "★",
        Some(Mark::Configuration) => "◆",
        Some(Mark::End) => "†",
        None => "",
    };
    let since = step.since_launch_seconds.map_or_else(String::new, delta);
    let by = by_hand(step, launcher);
    let by = if by.is_empty() { by } else { format!(" ({})", escaped(&by)) };
    writeln!(
        out,
        "| {} | {} | {since} | {mark} | {}{by} |",
        step.number,
        moment(step.entry.time),
        escaped(&step.entry.summary)
    )
}

fn write_keys(out: &mut dyn Write, explanation: &Explanation, numbers: &Numbers<'_>) -> io::Result<()> {
    let Some(account) = &explanation.node else { return Ok(()) };
    if account.configured.is_empty() && account.used.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Keys\n\n| | | key | evidence |\n|---|---|---|---|")?;
    let arn = |arn: &Option<Text>| arn.as_ref().map_or_else(String::new, |arn| format!("<br>{}", cell(arn)));
    for key in account.configured.iter().take(ROWS_SHOWN_MAX) {
        writeln!(
            out,
            "| configured | {} | {}{} | {} |",
            key.device.as_ref().map_or_else(|| "all devices".to_owned(), |device| cell(device)),
            escaped(&key.sentence),
            arn(&key.key_arn),
            escaped(&numbers.cite(&key.evidence, CITED_MAX))
        )?;
    }
    for key in account.used.iter().take(ROWS_SHOWN_MAX) {
        writeln!(
            out,
            "| {} | {} | {}{} | {} |",
            contract_name(key.outcome),
            key.volume_id.as_ref().map_or_else(|| "a volume not named".to_owned(), |volume| cell(volume)),
            escaped(&key.sentence),
            arn(&key.key_arn),
            escaped(&numbers.cite(&key.evidence, CITED_MAX))
        )?;
    }
    let more = account.configured.len().saturating_sub(ROWS_SHOWN_MAX)
        + account.used.len().saturating_sub(ROWS_SHOWN_MAX);
    write_more(out, more, "devices and volumes")
}

fn write_key(out: &mut dyn Write, explanation: &Explanation, numbers: &Numbers<'_>) -> io::Result<()> {
    let Some(account) = &explanation.key else { return Ok(()) };
    if !account.node_groups.is_empty() {
        writeln!(out, "\n## Nodes\n")?;
        for group in account.node_groups.iter().take(LINES_SHOWN_MAX) {
            writeln!(out, "- **{}**: {}", verdict_name(group.key_verdict), escaped(&key::group_text(group)))?;
        }
        write_more(out, account.node_groups.len().saturating_sub(LINES_SHOWN_MAX), "groups of nodes")?;
    }
    if !account.refusals.is_empty() {
        writeln!(out, "\n## Refusals\n")?;
        for group in account.refusals.iter().take(LINES_SHOWN_MAX) {
            let cited = numbers.cite(&group.evidence, CITED_MAX);
            writeln!(out, "- {} {}", escaped(&key::refusal_text(group)), escaped(&cited))?;
        }
        write_more(out, account.refusals.len().saturating_sub(LINES_SHOWN_MAX), "kinds of refusal")?;
    }
    Ok(())
}

fn write_list(out: &mut dyn Write, heading: &str, texts: &[String]) -> io::Result<()> {
    if texts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {heading}\n")?;
    for text in texts.iter().take(LINES_SHOWN_MAX) {
        writeln!(out, "- {}", escaped(text))?;
    }
    write_more(out, texts.len().saturating_sub(LINES_SHOWN_MAX), "of these")
}

fn write_remedies(out: &mut dyn Write, remedies: &[Remedy]) -> io::Result<()> {
    if remedies.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Fix")?;
    for remedy in remedies.iter().take(LINES_SHOWN_MAX) {
        writeln!(out, "\n**{}** ({})", escaped(&remedy.summary), remedy.rules.join(", "))?;
        writeln!(out, "\nTarget: {}", escaped(&remedy.target))?;
        for document in &remedy.documents {
            write_fenced(out, document)?;
        }
    }
    write_more(out, remedies.len().saturating_sub(LINES_SHOWN_MAX), "remedies")
}

fn write_custody(out: &mut dyn Write, explanation: &Explanation) -> io::Result<()> {
    if explanation.custody.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Evidence\n\n| # | event id | call | object | record |\n|---|---|---|---|---|")?;
    for exhibit in explanation.custody.iter().take(ROWS_SHOWN_MAX) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            exhibit.number,
            cell(&exhibit.event_id.to_string()),
            cell(&exhibit.event_name),
            cell(&exhibit.origin.object),
            exhibit.origin.record
        )?;
    }
    write_more(out, explanation.custody.len().saturating_sub(ROWS_SHOWN_MAX), "events")
}

fn write_more(out: &mut dyn Write, count: usize, what: &str) -> io::Result<()> {
    if count == 0 { Ok(()) } else { writeln!(out, "\nand {count} more {what}; `-o json` has all") }
}
