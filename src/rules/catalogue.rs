//! The pages of the rules, as they stand in `docs/rules/`.
//!
//! The registry comes in, Markdown goes out. The pages in the repository are compared with it by a test, and
//! written by `KEYTRAIL_UPDATE_DOCS=1 cargo test --lib`.

use super::RULES;

/// What the first digit of an id means.
const GROUPS: [(&str, &str); 5] = [
    ("KT1", "KMS refused a key at launch"),
    ("KT2", "Another key than expected"),
    ("KT3", "How nodes end, and launches that fail"),
    ("KT4", "Changes that matter"),
    ("KT5", "What the archive does not show"),
];

/// The index of all rules, in Markdown.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# Rules\n\nEach rule fires, is silent, or is undetermined and says what is missing. A finding cites the \
         events that it rests on;\n`confidence` is `inferred` where a join or a reason is not observed. The pages are \
         made from the rules' own text.\n",
    );
    for (group, title) in GROUPS {
        text.push_str(&format!(
            "\n## {title}\n\n| Rule | Name | Severity | Fires when |\n|---|---|---|---|\n"
        ));
        for rule in RULES.iter().filter(|rule| rule.id.starts_with(group)) {
            text.push_str(&format!(
                "| [{}]({}.md) | {} | {} | {} |\n",
                rule.id,
                rule.id,
                rule.name,
                rule.severity.name(),
                rule.summary.trim_end_matches('.')
            ));
        }
    }
    text
}
