//! The catalogue of rules, for a screen.
//!
//! Rules come in, a line of each goes out; where the screen is too narrow for a line, its summary stands below.

use std::io::{self, BufWriter, Write};

use super::style::{Line, Tone};
use super::table::Layout;
use crate::rules::{Rule, Severity};

/// Where the summaries begin that stand below their rule.
const INDENT_COLUMNS: usize = 7;

/// Writes id, severity, name and summary of each rule.
///
/// # Errors
/// When `out` fails.
pub fn write_catalogue(out: &mut dyn Write, rules: &[&Rule], layout: Layout) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let widest = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let before_summary = INDENT_COLUMNS + "critical  ".len() + widest + 2;
    let longest = rules.iter().map(|rule| rule.summary.chars().count()).max().unwrap_or(0);
    let is_narrow = layout.columns.is_some_and(|columns| columns < before_summary + longest);
    for rule in rules {
        let tone = match rule.severity {
            Severity::Critical | Severity::High => Tone::Bad,
            Severity::Medium => Tone::Warning,
            Severity::Low | Severity::Info => Tone::Plain,
        };
        let severity = rule.severity.name();
        let line = Line::new(layout.style)
            .push(Tone::Heading, rule.id)
            .gap(INDENT_COLUMNS.saturating_sub(rule.id.len()))
            .push(tone, severity)
            .gap("critical  ".len().saturating_sub(severity.len()))
            .push(Tone::Plain, rule.name);
        if is_narrow {
            line.write(&mut out)?;
            Line::new(layout.style).gap(INDENT_COLUMNS).push(Tone::Plain, rule.summary).write_within(
                &mut out,
                layout.columns,
                INDENT_COLUMNS,
            )?;
        } else {
            line.gap(widest - rule.name.len() + 2).push(Tone::Plain, rule.summary).write(&mut out)?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::write_catalogue;
    use crate::report::{Layout, Style};
    use crate::rules::RULES;

    fn written(columns: Option<usize>) -> String {
        let mut bytes = Vec::new();
        write_catalogue(&mut bytes, RULES, Layout { columns, style: Style::plain() })
            .expect("memory does not fail");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_rule_is_a_line_where_there_is_room_and_a_paragraph_where_there_is_not() {
        assert_eq!(written(None).lines().count(), RULES.len());
        assert_eq!(written(Some(400)), written(None));
        for columns in [60, 80, 100] {
            let text = written(Some(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            for rule in RULES {
                assert!(text.contains(rule.id) && text.contains(rule.name), "{}", rule.id);
            }
        }
        assert!(written(Some(80)).starts_with(
            "KT101  critical  kms-denied-by-identity-policy\n       KMS refused a volume's key because no"
        ));
    }
}
