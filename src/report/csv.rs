//! The flat tables as CSV, for spreadsheets and scripts.
//!
//! Rows of [`super::columns`] come in, RFC 4180 text with a header line goes out, row by row. No cell can be
//! taken for a formula, and no character of a log can steer a screen.

use std::borrow::Cow;
use std::io::{self, Write};

use super::columns::{Findings, Nodes, Rows, Source, Table, Timeline, Type, Value, Volumes};
use super::sanitize::sanitize;
use crate::correlate::Case;
use crate::rules::Finding;

/// Writes one table.
///
/// # Errors
/// When `out` fails.
pub fn write_csv(out: &mut dyn Write, case: &Case, findings: &[Finding], table: Table) -> io::Result<()> {
    let source = Source::new(case, findings);
    match table {
        Table::Nodes => write_rows::<Nodes>(out, &source),
        Table::Volumes => write_rows::<Volumes>(out, &source),
        Table::Timeline => write_rows::<Timeline>(out, &source),
        Table::Findings => write_rows::<Findings>(out, &source),
    }
}

fn write_rows<T: Rows>(out: &mut dyn Write, source: &Source<'_>) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(T::COLUMNS.iter().map(|column| column.name)).map_err(io_error)?;
    for row in T::rows(source) {
        for column in T::COLUMNS {
            writer.write_field(cell((column.get)(&row), column.kind).as_bytes()).map_err(io_error)?;
        }
        writer.write_record(None::<&[u8]>).map_err(io_error)?;
    }
    writer.flush()
}

/// The error of the writer beneath: a closed pipe must stay recognisable as one.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn cell(value: Value<'_>, kind: Type) -> Cow<'_, str> {
    match (value, kind) {
        (Value::Null, _) => Cow::Borrowed(""),
        (Value::Text(Cow::Borrowed(text)), _) => inert(text),
        (Value::Text(Cow::Owned(text)), _) => Cow::Owned(inert(&text).into_owned()),
        (Value::Time(at), _) => Cow::Owned(at.to_string()),
        (Value::Integer(number), _) => Cow::Owned(number.to_string()),
        (Value::List(texts), Type::List(separator)) => Cow::Owned(inert(&texts.join(separator)).into_owned()),
        (Value::List(_), _) => unreachable!("only list columns hold lists"),
    }
}

/// A text that neither a screen nor a spreadsheet obeys. A spreadsheet that separates cells by `;` would cut
/// a text there, so that the apostrophe is needed after each `;` too.
fn inert(text: &str) -> Cow<'_, str> {
    let safe = sanitize(text);
    if !safe.split(';').any(is_formula) {
        return safe;
    }
    let parts = safe
        .split(';')
        .map(|part| if is_formula(part) { Cow::Owned(format!("'{part}")) } else { Cow::Borrowed(part) });
    Cow::Owned(parts.collect::<Vec<_>>().join(";"))
}

/// Whether a spreadsheet takes a text for a formula, or may do so once it has taken blanks off. Characters
/// are compared in their full-width forms too. Tabs and line ends are no concern: they are escaped.
fn is_formula(text: &str) -> bool {
    text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '−', '﹢', '﹣', '﹦', '﹫'])
}

#[cfg(test)]
mod tests;
