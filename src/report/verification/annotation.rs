//! A verification as GitHub's workflow commands: `::error file=…,line=…::…`.
//!
//! A verification comes in, lines for a step's log go out. GitHub shows ten errors and ten warnings of a step; what
//! is beyond that is counted in the last of them.

use std::io::{self, BufWriter, Write};

use super::{sentence, with};
use crate::report::abbreviate::limited;
use crate::report::sanitize::sanitize;
use crate::verify::{Location, Outcome, Verification};

/// How many annotations of one level GitHub shows of a step.
pub const ANNOTATIONS_MAX: usize = 10;

/// Longest message, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 2_000;

/// Writes one command per failed and inconclusive assertion, and one per notice, each level bounded.
///
/// # Errors
/// When `out` fails.
pub fn write_github_annotations(out: &mut dyn Write, verification: &Verification) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for (outcome, level, label) in
        [(Outcome::Fail, "error", "failed"), (Outcome::Inconclusive, "warning", "inconclusive")]
    {
        let messages: Vec<(String, Option<&Location>, String)> = with(verification, outcome)
            .map(|assertion| {
                let node = assertion.node.as_deref().map_or_else(String::new, |node| format!("{node}: "));
                let title = format!("keytrail: {} {label}", assertion.check.name());
                let at = assertion.location.as_ref().filter(|location| location.address.is_some());
                let at = at.map_or_else(String::new, |location| format!(" (set at {location})"));
                (title, assertion.location.as_ref(), format!("{node}{}{at}", sentence(assertion)))
            })
            .collect();
        write_level(&mut out, level, &messages)?;
    }
    let notices: Vec<(String, Option<&Location>, String)> = verification
        .notices
        .iter()
        .map(|notice| {
            let title = format!("keytrail: {}", notice.rule.unwrap_or("notice"));
            (title, notice.location.as_ref(), notice.sentence())
        })
        .collect();
    write_level(&mut out, "notice", &notices)?;
    out.flush()
}

fn write_level(
    out: &mut dyn Write,
    level: &str,
    messages: &[(String, Option<&Location>, String)],
) -> io::Result<()> {
    let shown = if messages.len() > ANNOTATIONS_MAX { ANNOTATIONS_MAX - 1 } else { messages.len() };
    for (title, location, message) in &messages[..shown] {
        let mut properties = String::new();
        if let Some(location) = location.filter(|location| location.address.is_none()) {
            properties =
                format!("file={},line={},col={},", property(&location.file), location.line, location.column);
        }
        writeln!(out, "::{level} {properties}title={}::{}", property(title), data(message))?;
    }
    match messages.len() - shown {
        0 => Ok(()),
        more => writeln!(out, "::{level} title=keytrail::and {more} more of this kind: see the report"),
    }
}

/// The message of a command.
fn data(text: &str) -> String {
    let text = sanitize(text);
    limited(&text, MESSAGE_CHARACTERS_MAX).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn a_text_ends_neither_its_property_nor_its_line() {
        assert_eq!(property("a:b,c%d"), "a%3Ab%2Cc%25d");
        assert_eq!(data("100 %: a, b::c"), "100 %25: a, b::c");
        // Line ends of a log are made visible before they could be commands of their own.
        assert_eq!(data("x\r\n::error::owned"), r"x\u{d}\u{a}::error::owned");
        assert!(data(&"x".repeat(10_000)).chars().count() <= 2_001);
    }
}
