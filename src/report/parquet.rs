//! The flat tables as Parquet, for queries.
//!
//! Rows of [`super::columns`] come in, a Parquet file with typed columns goes out, one row group after the
//! other: memory is bounded by a row group, not by the table. Texts are written as logged. The coverage of
//! the archive goes into the file's metadata, so that no file is ever without it.

use std::io::{self, BufWriter, Write};

use polars::io::parquet::write::{BatchedWriter, KeyValueMetadata, ParquetCompression, ParquetWriter};
use polars::prelude::{
    DataFrame, DataType, Field, Int64Chunked, IntoColumn, ListBuilderTrait, ListStringChunkedBuilder,
    NewChunkedArray, PolarsResult, Schema, StringChunkedBuilder, TimeUnit, TimeZone,
};

use super::columns::{Findings, Nodes, Rows, Source, Table, Timeline, Type, Value, Volumes};
use super::document::{Tool, coverage_line};
use crate::correlate::Case;
use crate::rules::Finding;

/// Rows of one row group, which is what is held in memory at a time.
const ROW_GROUP_ROWS: usize = 1 << 16;
/// Losses that the file's metadata name; their full count is in the counts of objects and records.
const LOSSES_MAX: usize = 1_000;
const MILLISECONDS_PER_SECOND: i64 = 1_000;

/// Writes one table, compressed with zstd.
///
/// # Errors
/// When `out` fails.
pub fn write_parquet(
    out: &mut dyn Write,
    case: &Case,
    findings: &[Finding],
    table: Table,
    tool: Tool<'_>,
) -> io::Result<()> {
    let source = Source::new(case, findings);
    let metadata = metadata(case, tool)?;
    let mut out = Witness { out, error: None };
    let written = match table {
        Table::Nodes => write_rows::<Nodes>(&mut out, &source, metadata),
        Table::Volumes => write_rows::<Volumes>(&mut out, &source, metadata),
        Table::Timeline => write_rows::<Timeline>(&mut out, &source, metadata),
        Table::Findings => write_rows::<Findings>(&mut out, &source, metadata),
    };
    written.map_err(|error| out.error.unwrap_or_else(|| io::Error::other(error)))
}

/// A writer that keeps its first error: the Parquet library hands errors on as texts, and "no space left"
/// or "broken pipe" must stay what they are.
struct Witness<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl Witness<'_> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error.get_or_insert(error);
            }
            kind.into()
        })
    }
}

impl Write for Witness<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.note(result)
    }
}

fn metadata(case: &Case, tool: Tool<'_>) -> io::Result<KeyValueMetadata> {
    Ok(KeyValueMetadata::from_static(vec![
        ("keytrail.tool".to_owned(), format!("{} {}", tool.name, tool.version)),
        ("keytrail.coverage".to_owned(), coverage_line(case, LOSSES_MAX)?),
    ]))
}

fn write_rows<T: Rows>(
    out: &mut Witness<'_>,
    source: &Source<'_>,
    metadata: KeyValueMetadata,
) -> PolarsResult<()> {
    let mut out = BufWriter::new(out);
    let schema: Schema =
        T::COLUMNS.iter().map(|column| Field::new(column.name.into(), data_type(column.kind))).collect();
    let mut writer = ParquetWriter::new(&mut out)
        .with_compression(ParquetCompression::Zstd(None))
        .set_parallel(false)
        .with_key_value_metadata(Some(metadata))
        .batched(&schema)?;
    let mut group = RowGroup::new::<T>();
    for row in T::rows(source) {
        for (cells, column) in group.columns.iter_mut().zip(T::COLUMNS) {
            cells.push((column.get)(&row));
        }
        group.rows += 1;
        if group.rows == ROW_GROUP_ROWS {
            std::mem::replace(&mut group, RowGroup::new::<T>()).write(&mut writer)?;
        }
    }
    group.write(&mut writer)?;
    writer.finish()?;
    drop(writer);
    out.flush()?;
    Ok(())
}

fn data_type(kind: Type) -> DataType {
    match kind {
        Type::Text => DataType::String,
        Type::Time => DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)),
        Type::Integer => DataType::Int64,
        Type::List(_) => DataType::List(Box::new(DataType::String)),
    }
}

/// The rows of one row group, column by column.
struct RowGroup {
    columns: Vec<Cells>,
    rows: usize,
}

/// The cells of one column.
enum Cells {
    Text(StringChunkedBuilder),
    Number { name: &'static str, kind: Type, numbers: Vec<Option<i64>> },
    List(Box<ListStringChunkedBuilder>),
}

impl RowGroup {
    fn new<T: Rows>() -> Self {
        let columns = T::COLUMNS
            .iter()
            .map(|column| match column.kind {
                Type::Text => Cells::Text(StringChunkedBuilder::new(column.name.into(), 0)),
                Type::List(_) => {
                    Cells::List(Box::new(ListStringChunkedBuilder::new(column.name.into(), 0, 0)))
                }
                Type::Time | Type::Integer => {
                    Cells::Number { name: column.name, kind: column.kind, numbers: Vec::new() }
                }
            })
            .collect();
        Self { columns, rows: 0 }
    }

    fn write<W: Write>(self, writer: &mut BatchedWriter<W>) -> PolarsResult<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns = self.columns.into_iter().map(Cells::finish).collect();
        writer.write_batch(&DataFrame::new(self.rows, columns)?)
    }
}

impl Cells {
    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), Value::Null) => builder.append_null(),
            (Self::List(builder), Value::List(texts)) => {
                builder.append_values_iter(texts.iter().map(AsRef::as_ref));
            }
            (Self::List(builder), Value::Null) => builder.append_null(),
            (Self::Number { numbers, .. }, Value::Time(at)) => {
                numbers.push(Some(at.second() * MILLISECONDS_PER_SECOND));
            }
            (Self::Number { numbers, .. }, Value::Integer(number)) => {
                numbers.push(Some(i64::try_from(number).unwrap_or(i64::MAX)));
            }
            (Self::Number { numbers, .. }, Value::Null) => numbers.push(None),
            _ => unreachable!("a column's getter gives values of the column's type"),
        }
    }

    fn finish(self) -> polars::prelude::Column {
        match self {
            Self::Text(builder) => builder.finish().into_column(),
            Self::List(mut builder) => builder.finish().into_column(),
            Self::Number { name, kind, numbers } => {
                let numbers = Int64Chunked::from_slice_options(name.into(), &numbers);
                match kind {
                    Type::Time => {
                        numbers.into_datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)).into_column()
                    }
                    _ => numbers.into_column(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
