//! A verification as one JSON document, and the schema of it.

use std::io::{self, BufWriter, Write};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use crate::correlate::Case;
use crate::report::document::{CoverageDocument, SCHEMA_VERSION, Tool, schema_of, write_escaped};
use crate::verify::{Verification, Wait};

/// Everything that was verified.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "keytrail verification")]
struct VerificationDocument<'a> {
    /// Version of the document's form.
    schema_version: u32,
    /// The program that wrote the document.
    tool: Tool<'a>,
    /// The answer.
    #[serde(flatten)]
    verification: &'a Verification,
    /// How the waiting for evidence ended; `null` where nobody waited.
    wait: Option<Wait>,
    /// What was read, what was lost, and over which accounts, regions and times the records spread.
    coverage: CoverageDocument<'a>,
}

/// Writes the document, indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_verification_json(
    out: &mut dyn Write,
    case: &Case,
    verification: &Verification,
    wait: Option<Wait>,
    tool: Tool<'_>,
) -> io::Result<()> {
    let document = VerificationDocument {
        schema_version: SCHEMA_VERSION,
        tool,
        verification,
        wait,
        coverage: CoverageDocument::new(case, usize::MAX),
    };
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &document, PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes the JSON Schema of [`write_verification_json`], indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_verification_schema(out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &schema_of::<VerificationDocument<'_>>(), PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}
