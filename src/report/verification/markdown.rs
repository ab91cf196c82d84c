//! A verification as Markdown, for the summary of a CI job.
//!
//! A verification comes in, GitHub-flavoured Markdown goes out, never more than GitHub takes. What failed comes
//! first; where something has to be left out, it is said how much.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use super::{headline, refused_keys, with};
use crate::correlate::Case;
use crate::report::abbreviate::limited;
use crate::report::document::sorted_losses;
use crate::report::markdown::inert::{cell, escaped};
use crate::verify::{Assertion, Outcome, Verification, Wait};

/// What GitHub takes as the summary of a step, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 1 << 20;

/// Kept free for headings and the words about what was left out.
const RESERVED_BYTES: usize = 8 << 10;
/// Longest text of one cell, in characters.
const CELL_CHARACTERS_MAX: usize = 2_000;
/// Events cited in one row.
const CITED_MAX: usize = 5;
/// Rows of assertions that passed: a reviewer does not read more.
const PASSED_ROWS_MAX: usize = 500;

/// Text with a limit.
struct Page {
    text: String,
    bytes_max: usize,
}

impl Page {
    /// Adds a row, if there is room for it.
    fn add(&mut self, row: &str) -> bool {
        if self.text.len() + row.len() > self.bytes_max {
            return false;
        }
        self.text.push_str(row);
        true
    }

    /// Adds rows below a heading as long as there is room, and says how many are left out.
    fn section(&mut self, heading: &str, rows: impl Iterator<Item = String>, rows_max: usize, what: &str) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() || !self.add(heading) {
            return;
        }
        let mut left_out = 0usize;
        for (number, row) in rows.enumerate() {
            if left_out > 0 || number >= rows_max || !self.add(&row) {
                left_out += 1;
            }
        }
        if left_out > 0 {
            // There is always room for that: it is what is reserved.
            let _ = writeln!(self.text, "\n{left_out} more {what} are left out: they are in `-o json`.");
        }
    }
}

/// Writes the verification as Markdown of at most [`SUMMARY_BYTES_MAX`].
///
/// # Errors
/// When `out` fails.
pub fn write_verification_markdown(
    out: &mut dyn Write,
    case: &Case,
    verification: &Verification,
    wait: Option<Wait>,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    out.write_all(page(case, verification, wait, SUMMARY_BYTES_MAX - RESERVED_BYTES).as_bytes())?;
    out.flush()
}

pub(super) fn page(case: &Case, verification: &Verification, wait: Option<Wait>, bytes_max: usize) -> String {
    let mut page = Page { text: String::new(), bytes_max };
    let (sign, verdict) = match verification.result {
        Outcome::Pass => ("✅", "the configured key is applied"),
        Outcome::Fail => ("❌", "the configured key is not applied"),
        Outcome::Inconclusive => ("⚠️", "inconclusive"),
    };
    let _ = writeln!(page.text, "## {sign} keytrail verify: {verdict}\n\n{}.", headline(verification));
    if let Some(wait) = wait {
        let _ = writeln!(page.text, "\n{}.", wait.sentence());
    }
    for (outcome, heading) in [(Outcome::Fail, "Failed"), (Outcome::Inconclusive, "Inconclusive")] {
        page.section(
            &format!("\n### {heading}\n\n| Check | Node | What was found | Evidence |\n|---|---|---|---|\n"),
            with(verification, outcome).map(row),
            usize::MAX,
            "assertions",
        );
    }
    let refused = refused_keys(verification);
    page.section(
        "\n### Nodes\n\n| Node | Nodepool | Launched | Keys | Result |\n|---|---|---|---|---|\n",
        verification.nodes.iter().map(|node| {
            let used = node.used_keys.iter().map(|key| short_cell(key));
            let not_given = refused.get(&node.instance_id).map_or(&[][..], Vec::as_slice);
            let not_given = not_given.iter().map(|key| format!("{} refused", short_cell(key)));
            let keys: Vec<String> = not_given.chain(used).take(4).collect();
            let launched = node.launched_at.map_or_else(String::new, |at| at.to_string());
            format!(
                "| {} | {} | {launched} | {} | {} |\n",
                short_cell(&node.instance_id),
                node.nodepool.as_deref().map_or_else(String::new, short_cell),
                keys.join("<br>"),
                node.result.name()
            )
        }),
        usize::MAX,
        "nodes",
    );
    page.section(
        "\n### Worth knowing\n\n",
        verification.notices.iter().map(|notice| {
            let rule = notice.rule.map_or_else(String::new, |rule| format!("{rule}: "));
            format!("- {rule}{}\n", short(&notice.sentence()))
        }),
        PASSED_ROWS_MAX,
        "notices",
    );
    page.section(
        "\n### Passed\n\n| Check | Node | What was found | Evidence |\n|---|---|---|---|\n",
        with(verification, Outcome::Pass).map(row),
        PASSED_ROWS_MAX,
        "assertions",
    );
    let records = case.coverage.records;
    page.add(&format!(
        "\n{} records read, {} lost; {} objects read, {} failed.\n",
        records.read, records.lost, case.coverage.objects.read, case.coverage.objects.failed
    ));
    page.section(
        "\nLost:\n\n",
        sorted_losses(case)
            .into_iter()
            .map(|loss| format!("- {}: {}\n", short_cell(&loss.object), short(&loss.detail))),
        20,
        "losses",
    );
    page.text
}

fn row(assertion: &Assertion) -> String {
    let mut found = short(&assertion.text);
    if let Some(why) = &assertion.why {
        let _ = write!(found, "<br>Why: {}", short(why));
    }
    if let Some(remedy) = &assertion.would_be_conclusive {
        let _ = write!(found, "<br>It would take: {}", short(remedy));
    }
    if let Some(location) = &assertion.location {
        let _ = write!(found, "<br>Set at {}", short_cell(&location.to_string()));
    }
    let mut evidence: Vec<String> = assertion.findings.iter().map(|rule| (*rule).to_owned()).collect();
    evidence.extend(assertion.evidence.iter().take(CITED_MAX).map(|id| short_cell(&id.to_string())));
    if assertion.evidence.len() > CITED_MAX {
        evidence.push(format!("and {} more", assertion.evidence.len() - CITED_MAX));
    }
    format!(
        "| {} | {} | {found} | {} |\n",
        assertion.check.name(),
        assertion.node.as_deref().map_or_else(String::new, short_cell),
        evidence.join("<br>")
    )
}

fn short(text: &str) -> String {
    escaped(&limited(text, CELL_CHARACTERS_MAX))
}

fn short_cell(text: &str) -> String {
    cell(&limited(text, CELL_CHARACTERS_MAX))
}
