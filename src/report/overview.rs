//! What is going on, at the top of the table: one paragraph per incident, so that twelve equal deaths read as
//! one.
//!
//! Incidents come in, wrapped lines go out, each with the rules to look up. What is of no concern is counted,
//! not told.

use std::io::{self, BufWriter, Write};

use super::pointer;
use super::sanitize::sanitize;
use super::style::{Line, Tone};
use super::table::{Layout, write_more};
use super::wrap::wrapped;
use crate::rules::{Finding, Incident, Severity};

/// Incidents told before the rest is counted.
const INCIDENTS_SHOWN_MAX: usize = 8;
/// Prose wider than this is hard to read.
const COLUMNS_MAX: usize = 110;
const INDENT: usize = 10;

/// Writes the incidents, the worst first as they come; nothing where there is none.
///
/// # Errors
/// When `out` fails.
pub fn write_incidents(
    out: &mut dyn Write,
    incidents: &[Incident],
    findings: &[Finding],
    layout: Layout,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let (told, quiet): (Vec<&Incident>, Vec<&Incident>) =
        incidents.iter().partition(|incident| incident.severity > Severity::Info);
    for incident in told.iter().take(INCIDENTS_SHOWN_MAX) {
        let tone = match incident.severity {
            Severity::Critical | Severity::High => Tone::Bad,
            Severity::Medium => Tone::Warning,
            Severity::Low | Severity::Info => Tone::Plain,
        };
        let label = incident.severity.name();
        let title = match incident.rules.as_slice() {
            [] => incident.title.clone(),
            rules => format!("{} [{}]", incident.title, rules.join(" ")),
        };
        let mut lines = prose(&title, layout).into_iter();
        Line::new(layout.style)
            .push(tone, label)
            .gap(INDENT.saturating_sub(label.len()))
            .push(Tone::Heading, &lines.next().unwrap_or_default())
            .write(&mut out)?;
        write_indented(&mut out, lines, layout, Tone::Heading)?;
        for cause in &incident.causes {
            write_indented(&mut out, prose(&format!("because: {cause}"), layout), layout, Tone::Plain)?;
        }
        for also in &incident.also {
            write_indented(&mut out, prose(&format!("also: {also}"), layout), layout, Tone::Faint)?;
        }
        let remedy = incident.remedy.and_then(|index| findings.get(index)?.remediation.as_ref());
        if let Some(remedy) = remedy {
            let command = pointer::explain(incident).filter(|_| !remedy.documents.is_empty());
            let texts = command
                .map_or_else(String::new, |command| format!(" `{command}` prints the texts to paste."));
            let fix = format!("fix: {}{texts}", remedy.summary);
            write_indented(&mut out, prose(&fix, layout), layout, Tone::Good)?;
        }
    }
    let more = told.len().saturating_sub(INCIDENTS_SHOWN_MAX);
    write_more(
        &mut out,
        more,
        "incidents; --export html=FILE tells of more, -o json of all findings",
        layout.style,
    )?;
    if !quiet.is_empty() {
        let rules: std::collections::BTreeSet<&str> =
            quiet.iter().flat_map(|incident| incident.rules.iter().copied()).collect();
        let rules: Vec<&str> = rules.into_iter().collect();
        let nodes: usize = quiet.iter().map(|incident| incident.nodes.len()).sum();
        let noun = if nodes == 1 { "node" } else { "nodes" };
        let text = match nodes {
            // Archives, keys and accounts have findings too.
            0 => rules.join(" "),
            _ => format!("{nodes} {noun} with {}", rules.join(" ")),
        };
        let label =
            if told.is_empty() { "nothing of concern; for information: " } else { "for information: " };
        let text = format!("{label}{text}");
        write_indented(&mut out, prose(&text, layout), layout, Tone::Faint)?;
    }
    if !incidents.is_empty() {
        writeln!(out)?;
    }
    out.flush()
}

fn prose(text: &str, layout: Layout) -> Vec<String> {
    let columns = layout.columns.unwrap_or(COLUMNS_MAX).min(COLUMNS_MAX).saturating_sub(INDENT);
    wrapped(&sanitize(text), columns, columns)
}

fn write_indented(
    out: &mut dyn Write,
    lines: impl IntoIterator<Item = String>,
    layout: Layout,
    tone: Tone,
) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| Line::new(layout.style).gap(INDENT).push(tone, &line).write(out))
}

#[cfg(test)]
mod tests {
    use super::write_incidents;
    use crate::correlate::Confidence;
    use crate::report::{Layout, is_hazardous};
    use crate::rules::{Incident, Severity};

    fn incident(severity: Severity, title: &str) -> Incident {
        Incident {
            severity,
            confidence: Confidence::Observed,
            began_at: None,
            last_at: None,
            title: title.to_owned(),
            causes: vec!["the policy of the key was changed with Terraform".to_owned()],
            also: Vec::new(),
            nodes: vec!["i-0aaaaaaaaaaaaaaaa".into()],
            rules: vec!["KT101", "KT306"],
            findings: Vec::new(),
            remedy: None,
        }
    }

    fn written(incidents: &[Incident]) -> String {
        let mut bytes = Vec::new();
        let layout = Layout { columns: Some(80), ..Layout::default() };
        write_incidents(&mut bytes, incidents, &[], layout).expect("memory does not fail");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn an_incident_is_a_paragraph_that_fits_the_screen() {
        let text = written(&[incident(Severity::Critical, &"KMS refuses the key to Karpenter ".repeat(5))]);
        assert!(text.starts_with("critical  KMS refuses"), "{text}");
        assert!(text.contains("[KT101 KT306]") && text.contains("because: the policy"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn what_is_of_no_concern_is_counted_only() {
        let text = written(&[incident(Severity::Info, "terminated by Karpenter")]);
        assert_eq!(text, "          nothing of concern; for information: 1 node with KT101 KT306\n\n");
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn what_is_left_out_says_where_it_is() {
        let text = written(&vec![incident(Severity::High, "KMS refuses the key"); 9]);
        assert!(text.contains("and 1 more incident; --export html=FILE"), "{text}");
        let text = written(&vec![incident(Severity::High, "KMS refuses the key"); 31]);
        assert!(text.contains("and 23 more incidents; --export html=FILE"), "{text}");
    }

    #[test]
    fn no_escape_sequence_gets_through() {
        let text = written(&[incident(Severity::High, "pool \u{1b}[31m\u{202e}x")]);
        assert!(!text.chars().any(|one| one != '\n' && is_hazardous(one)), "{text}");
    }
}
