//! A verification for the screen: the verdict, what failed, what is inconclusive and why, and a line per node.

use std::io::{self, BufWriter, Write};

use super::{headline, refused_keys, with};
use crate::event::Text;
use crate::report::abbreviate::{limited, short_key};
use crate::report::style::{Line, Tone, width};
use crate::report::table::{Layout, write_more};
use crate::verify::{Assertion, JudgedNode, Outcome, Verification, Wait};

/// Assertions of one outcome that are shown before the rest is counted.
const ASSERTIONS_SHOWN_MAX: usize = 100;
/// Nodes that are shown before the rest is counted.
const NODES_SHOWN_MAX: usize = 100;
/// Notices that are shown before the rest is counted.
const NOTICES_SHOWN_MAX: usize = 20;
/// Events cited below an assertion.
const CITED_MAX: usize = 3;
/// How far the rest of a line is indented that the screen has no room for.
const INDENT_COLUMNS: usize = 2;
/// Longest text taken over, in characters.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// Writes the verification for people.
///
/// # Errors
/// When `out` fails.
pub fn write_verification(
    out: &mut dyn Write,
    verification: &Verification,
    wait: Option<Wait>,
    layout: Layout,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let style = layout.style;
    let (word, tone) = word_of(verification.result);
    Line::new(style)
        .push(tone, &word.to_uppercase())
        .push(Tone::Plain, &format!("  {}", headline(verification)))
        .write_within(&mut out, layout.columns, INDENT_COLUMNS)?;
    if let Some(wait) = wait {
        Line::new(style).push(Tone::Faint, &wait.sentence()).write_within(
            &mut out,
            layout.columns,
            INDENT_COLUMNS,
        )?;
    }
    for outcome in [Outcome::Fail, Outcome::Inconclusive] {
        let total = with(verification, outcome).count();
        for assertion in with(verification, outcome).take(ASSERTIONS_SHOWN_MAX) {
            writeln!(out)?;
            write_assertion(&mut out, assertion, layout)?;
        }
        write_more(&mut out, total.saturating_sub(ASSERTIONS_SHOWN_MAX), "assertions", style)?;
    }
    if !verification.nodes.is_empty() {
        writeln!(out)?;
    }
    write_nodes(&mut out, verification, layout)?;
    write_more(&mut out, verification.nodes.len().saturating_sub(NODES_SHOWN_MAX), "nodes", style)?;
    if !verification.notices.is_empty() {
        writeln!(out)?;
    }
    for notice in verification.notices.iter().take(NOTICES_SHOWN_MAX) {
        let rule = notice.rule.map_or_else(String::new, |rule| format!("{rule}  "));
        write_field(&mut out, "note:  ", Tone::Warning, &format!("{rule}{}", notice.sentence()), layout)?;
    }
    write_more(&mut out, verification.notices.len().saturating_sub(NOTICES_SHOWN_MAX), "notes", style)?;
    out.flush()
}

/// A line per node, all of them with short forms of keys where one would be wider than the screen.
fn write_nodes(out: &mut dyn Write, verification: &Verification, layout: Layout) -> io::Result<()> {
    let refused = refused_keys(verification);
    let line = |node: &JudgedNode, written: &dyn Fn(&str) -> String| {
        let (word, tone) = word_of(node.result);
        let refused = refused.get(&node.instance_id).map_or(&[][..], Vec::as_slice);
        Line::new(layout.style)
            .push(tone, &format!("{word:<12}"))
            .push(Tone::Plain, &format!("  {}  ", limited(&node.instance_id, 64)))
            .push(Tone::Plain, &limited(node.nodepool.as_deref().unwrap_or("-"), 64))
            .push(Tone::Faint, &format!("  {}", limited(&keys_of(node, refused, written), 160)))
    };
    let shown = || verification.nodes.iter().take(NODES_SHOWN_MAX);
    let fits = |columns: usize| shown().all(|node| line(node, &str::to_owned).columns() <= columns);
    let written: &dyn Fn(&str) -> String =
        if layout.columns.is_none_or(fits) { &str::to_owned } else { &short_key };
    for node in shown() {
        line(node, written).write_within(out, layout.columns, INDENT_COLUMNS)?;
    }
    Ok(())
}

/// The keys that were refused, then those that were used.
fn keys_of(node: &JudgedNode, refused: &[&Text], written: &dyn Fn(&str) -> String) -> String {
    let not_given = match refused {
        [] => None,
        [only] => Some(format!("{} refused", written(only))),
        several => Some(format!("{} keys refused", several.len())),
    };
    let used = match &*node.used_keys {
        [] if not_given.is_some() => None,
        [] => Some("no key seen".to_owned()),
        [only] => Some(written(only)),
        several => Some(format!("{} keys", several.len())),
    };
    not_given.into_iter().chain(used).collect::<Vec<String>>().join(", ")
}

fn word_of(outcome: Outcome) -> (&'static str, Tone) {
    let tone = match outcome {
        Outcome::Pass => Tone::Good,
        Outcome::Fail => Tone::Bad,
        Outcome::Inconclusive => Tone::Warning,
    };
    (outcome.name(), tone)
}

fn write_assertion(out: &mut dyn Write, assertion: &Assertion, layout: Layout) -> io::Result<()> {
    let (word, tone) = word_of(assertion.result);
    let mut line = Line::new(layout.style)
        .push(tone, &format!("{word:<12}"))
        .push(Tone::Heading, &format!("  {}", assertion.check.name()));
    if let Some(node) = &assertion.node {
        line = line.push(Tone::Plain, &format!("  {}", limited(node, 64)));
    }
    if let Some(device) = &assertion.device {
        line = line.push(Tone::Plain, &format!("  {}", limited(device, 64)));
    }
    line.write_within(out, layout.columns, INDENT_COLUMNS)?;
    write_field(out, "  ", Tone::Plain, &assertion.text, layout)?;
    if let Some(why) = &assertion.why {
        write_field(out, "  why:           ", Tone::Faint, why, layout)?;
    }
    if let Some(remedy) = &assertion.would_be_conclusive {
        write_field(out, "  it would take: ", Tone::Faint, remedy, layout)?;
    }
    if let Some(location) = &assertion.location {
        write_field(out, "  set at:        ", Tone::Faint, &location.to_string(), layout)?;
    }
    if !assertion.findings.is_empty() {
        write_field(out, "  rules:         ", Tone::Faint, &assertion.findings.join(", "), layout)?;
    }
    if !assertion.evidence.is_empty() {
        let ids: Vec<String> = assertion.evidence.iter().take(CITED_MAX).map(ToString::to_string).collect();
        let more = assertion.evidence.len().saturating_sub(CITED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        write_field(out, "  evidence:      ", Tone::Faint, &format!("{}{more}", ids.join(", ")), layout)?;
    }
    Ok(())
}

/// A label and a text, wrapped to the screen below it; further left where a word would not fit there.
fn write_field(out: &mut dyn Write, label: &str, tone: Tone, text: &str, layout: Layout) -> io::Result<()> {
    let text = limited(text, TEXT_CHARACTERS_MAX);
    let indent = label.chars().count();
    let widest = text.split(' ').map(width).max().unwrap_or_default();
    let fits = layout.columns.is_none_or(|columns| indent + widest <= columns);
    let indent = if fits { indent } else { indent.min(INDENT_COLUMNS) };
    Line::new(layout.style).push(tone, label).push(Tone::Plain, &text).write_within(
        out,
        layout.columns,
        indent,
    )
}
