//! From a case and its findings to bytes, in every form of output.
//!
//! A [`Case`](crate::correlate::Case) and [`Finding`](crate::rules::Finding)s come in, bytes go out to a
//! writer. Nothing here prints, opens a file or reads a clock, and nothing that a log says can run in the
//! terminal or the spreadsheet that shows it. The same case gives the same bytes.

mod abbreviate;
mod catalogue;
mod cited;
mod columns;
mod csv;
mod document;
mod explanation;
mod filtered;
mod html;
#[cfg(test)]
mod incident;
mod manifest;
mod markdown;
mod ocsf;
mod overview;
#[cfg(feature = "parquet")]
mod parquet;
mod pointer;
mod reference;
mod sanitize;
mod sentence;
mod sparkline;
mod style;
mod summary;
mod table;
mod timesketch;
mod verification;
mod wrap;

pub use catalogue::write_catalogue;
pub use columns::{Table, UnknownTable};
pub use csv::write_csv;
pub use document::{
    SCHEMA_VERSION, Tool, schema, timeline_entry, write_json, write_json_lines, write_schema,
};
pub use explanation::{
    Candidate, Explanation, Subject, SubjectError, explain, find_subject, write_explanation,
    write_explanation_json, write_explanation_markdown, write_explanation_schema,
};
pub use html::write_html;
pub use manifest::{write_manifest_notes, write_manifest_summary};
pub use markdown::write_markdown;
pub use ocsf::write_ocsf;
pub use overview::write_incidents;
#[cfg(feature = "parquet")]
pub use parquet::write_parquet;
pub use reference::column_reference;
pub use sanitize::{is_hazardous, sanitize};
pub use sparkline::write_sparklines;
pub use style::Style;
pub use summary::write_summary;
pub use table::{Layout, write_table, write_wide_table};
pub use timesketch::write_timesketch;
pub use verification::{
    ANNOTATIONS_MAX, SUMMARY_BYTES_MAX, write_github_annotations, write_junit, write_sarif,
    write_verification, write_verification_json, write_verification_markdown, write_verification_schema,
};
