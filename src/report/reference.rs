//! The reference of the outputs for programs, generated from the definition of the columns.
//!
//! Nothing comes in but [`super::columns`], a page of Markdown goes out: `docs/outputs.md`.

use std::fmt::{self, Write as _};

use super::columns::{Findings, Nodes, Rows, SENTENCES, Timeline, Type, Volumes};

/// The reference of the outputs for programs and of all columns, as Markdown.
#[must_use]
pub fn column_reference() -> String {
    let mut page = String::from(
        "# Outputs for programs\n\n\
         ## JSON\n\n\
         `-o json` writes one document; [schema.json](schema.json) is its JSON Schema, with the meaning of each\n\
         field. `null` means unknown. Characters that a terminal would obey instead of show are written as\n\
         `\\u001b`, which every parser reads back as the character.\n\n\
         `-o jsonl` writes the elements of the document's `nodes`, one per line, and nothing else. What is not\n\
         about one node (coverage, failed launches, keys, findings in full) is in the document only.\n\n\
         ## Timesketch\n\n\
         `-o timesketch` writes JSON lines that Timesketch imports as they are, from a file named `FILE.jsonl`. Every\n\
         row has `message`, `datetime`, `timestamp` (microseconds since 1970), `timestamp_desc`, a list `tag` and\n\
         `data_type`:\n\n\
         | `data_type` | a row per | its time | its tags |\n|---|---|---|---|\n\
         | `keytrail:event` | event that a node's timeline, a finding or a failed launch cites | `eventTime` | roles as in the table `timeline`, rules |\n\
         | `keytrail:verdict` | node | its launch | verdict, rules |\n\
         | `keytrail:end` | node that ended | its end | cause, rules |\n\
         | `keytrail:launch-failure` | launch without an instance | the call | `launch-failure` |\n\
         | `keytrail:finding` | finding | the event that decides it, else the last record | rule, its name, severity |\n\
         | `keytrail:archive` | account and region | the last record there; losses are listed | `archive` |\n\n\
         The other fields are named as in the tables below. Rows are for people: texts are made safe to show as in CSV.\n\
         An event of several nodes is one row, with up to 100 of them in `instance_id` and their number in\n\
         `instances`.\n\n\
         A finding is decided by the first refusal (KT1xx), the first use of a key (KT2xx), the last change of the alias\n\
         (KT204), the last event (KT3xx) or the change that it names (KT4xx); others by their first evidence.\n\n\
         ## OCSF\n\n\
         `-o ocsf` writes each of those events as a line of [OCSF](https://schema.ocsf.io/1.5.0/classes/api_activity) 1.5.0\n\
         API Activity (class 6003, profile `cloud`); [schema-ocsf.json](schema-ocsf.json) is the part of that class that\n\
         is used. `severity_id` is that of the worst finding that the event decides, and 1 without one; a refusal and the\n\
         end of a node decide all findings that rest on them. `enrichments`\n\
         has up to 50 nodes that the event is evidence for, with verdict, origin of the key, cause of the end, role of\n\
         the event and rules. `unmapped` has the ids of the findings' rules, the number of nodes, and where the record\n\
         was read. Parameters of requests and responses are not repeated: `metadata.uid` is the `eventID`. There is no\n\
         room for the coverage of the archive, which the command says on stderr.\n\n\
         ## Markdown\n\n\
         `-o markdown` is for people: what happened, the nodes, the timelines of up to three of the worst, keys, what is\n\
         not known, the fix, and what was read. Its form may change.\n\n\
         ## CSV and Parquet\n\n\
         The tables hold what the document holds, flat and with the same names: what is nested there is joined\n\
         with `_` here. Rows are in the order of the document. Null means unknown.\n\n\
         | type | in CSV | in Parquet |\n|---|---|---|\n\
         | text | made safe to show, see below; null is an empty cell | string |\n\
         | time | RFC 3339, UTC, such as `2026-03-02T10:00:00Z` | timestamp in milliseconds, UTC |\n\
         | integer | decimal | 64-bit integer |\n\
         | list | joined by a blank | list of strings |\n\
         | list of sentences | joined by `; ` | list of strings |\n\n\
         CSV is made for spreadsheets: characters that a screen would obey instead of show are written as `\\u{1b}`,\n\
         and a text that a spreadsheet would take for a formula gets an apostrophe before it, also after a `;`\n\
         within a text. It has no room for the coverage of the archive, which the command says on stderr.\n\
         Parquet holds every text as logged, and the coverage as JSON under the key `keytrail.coverage` of the\n\
         file's metadata (with at most 1,000 losses).\n",
    );
    fn section<T: Rows>(page: &mut String) -> fmt::Result {
        write!(page, "\n### {}\n\n{}\n\n| column | type | meaning |\n|---|---|---|\n", T::NAME, T::DOC)?;
        for column in T::COLUMNS {
            let kind = match column.kind {
                Type::Text => "text",
                Type::Time => "time",
                Type::Integer => "integer",
                SENTENCES => "list of sentences",
                Type::List(_) => "list",
            };
            writeln!(page, "| `{}` | {kind} | {} |", column.name, column.doc)?;
        }
        Ok(())
    }
    for section in [section::<Nodes>, section::<Volumes>, section::<Timeline>, section::<Findings>] {
        section(&mut page).expect("writing to a string cannot fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::column_reference;

    #[test]
    fn the_committed_column_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/outputs.md");
        if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
            std::fs::write(path, column_reference()).expect("docs/ is writable");
        }
        let committed = std::fs::read_to_string(path).expect("docs/outputs.md is committed");
        assert!(
            committed == column_reference(),
            "docs/outputs.md is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
        );
    }
}
