//! Puts the parts of an extract together into one Parquet file, for queries.
//!
//! The parts of a directory come in, checked against their hashes; one file with typed columns, the record itself and
//! where it was read goes out, one row group after the other. What was left out stands in the file's metadata, so that
//! the file is a source like any other extract.

use std::io::{BufWriter, Write};

use polars::io::parquet::write::{BatchedWriter, KeyValueMetadata, ParquetCompression, ParquetWriter};
use polars::prelude::{
    DataFrame, DataType, Field, Int64Chunked, IntoColumn, NewChunkedArray, PolarsResult, Schema,
    StringChunkedBuilder, TimeUnit, TimeZone,
};

use super::manifest;
use super::single_file::{Hashing, Record, conclude, for_each_record};
use super::target::Target;
use super::{ExtractError, Extracted};
use crate::archive::{
    ExtractPart, PARQUET_METADATA_KEY, PARQUET_RECORD_COLUMN, ReadOptions, left_out_elements,
};
use crate::event::{Event, EventParser, Origin, Parsed};

/// Rows of one row group at most.
const ROW_GROUP_ROWS: usize = 1 << 16;
/// Bytes of the records of one row group, about: what is held in memory at a time.
const ROW_GROUP_BYTES: usize = 16 << 20;
const MILLISECONDS_PER_SECOND: i64 = 1_000;

const TIME: &str = "event_time";
const INDEX: &str = "object_record";
/// The columns of texts before the record itself.
const TEXTS: [&str; 14] = [
    "event_id",
    "event_source",
    "event_name",
    "account_id",
    "region",
    "request_id",
    "shared_event_id",
    "principal_arn",
    "user_agent",
    "source_ip",
    "error_code",
    "error_message",
    "object",
    "object_sha256",
];

/// Writes the file and its manifest, and removes the parts.
pub(super) fn write(
    target: &Target,
    options: &ReadOptions,
    extracted: &mut Extracted,
) -> Result<(), ExtractError> {
    let failed = |source| ExtractError::Write { path: target.out.clone(), source };
    let library = |error| failed(std::io::Error::other(error));
    let read = manifest::read(&target.working_manifest)?;
    // The metadata is needed first, and only known when all was read.
    let left_out = for_each_record(target, &read, options, |_| Ok(()))?;
    let place = ExtractPart { extract: &read.begin.extract, part: 1, parts: Some(1) };
    let mut text = b"[".to_vec();
    text.extend(left_out_elements(&left_out, place).join(&b','));
    text.push(b']');
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    let metadata = KeyValueMetadata::from_static(vec![
        ("keytrail.tool".to_owned(), read.begin.tool.clone()),
        (PARQUET_METADATA_KEY.to_owned(), text),
    ]);
    let mut file = manifest::new_beside(&target.out)?;
    let mut out = Hashing::new(BufWriter::new(file.as_file_mut()));
    let mut writer = ParquetWriter::new(&mut out)
        .with_compression(ParquetCompression::Zstd(None))
        .set_parallel(false)
        .with_key_value_metadata(Some(metadata))
        .batched(&schema())
        .map_err(library)?;
    let mut rows = Rows::default();
    for_each_record(target, &read, options, |record| {
        rows.push(&record);
        if rows.is_full() { rows.write(&mut writer).map_err(std::io::Error::other) } else { Ok(()) }
    })?;
    rows.write(&mut writer).map_err(library)?;
    writer.finish().map_err(library)?;
    drop(writer);
    let stored = out.finish().map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    manifest::persist(file, &target.out)?;
    conclude(target, &read, stored, extracted)
}

fn schema() -> Schema {
    let time = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
    let mut fields = vec![Field::new(TIME.into(), time)];
    fields.extend(TEXTS.map(|name| Field::new(name.into(), DataType::String)));
    fields.push(Field::new(INDEX.into(), DataType::Int64));
    fields.push(Field::new(PARQUET_RECORD_COLUMN.into(), DataType::String));
    fields.into_iter().collect()
}

/// The rows of one row group.
struct Rows {
    parser: EventParser,
    times: Vec<Option<i64>>,
    texts: Vec<StringChunkedBuilder>,
    indices: Vec<Option<i64>>,
    raw: StringChunkedBuilder,
    bytes: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            parser: EventParser::default(),
            times: Vec::new(),
            texts: TEXTS.map(|name| StringChunkedBuilder::new(name.into(), 0)).into(),
            indices: Vec::new(),
            raw: StringChunkedBuilder::new(PARQUET_RECORD_COLUMN.into(), 0),
            bytes: 0,
        }
    }
}

impl Rows {
    fn push(&mut self, record: &Record<'_>) {
        let origin = Origin { object: record.object.clone(), record: record.index };
        let event = match self.parser.parse(record.raw, origin) {
            Ok(Parsed::Relevant(event)) => Some(event),
            // It was relevant when it was read, so this does not come to pass; the record itself is what counts.
            Ok(Parsed::Irrelevant) | Err(_) => None,
        };
        let event = event.as_deref();
        self.times.push(event.map(|event| event.time.second() * MILLISECONDS_PER_SECOND));
        for (builder, text) in self.texts.iter_mut().zip(texts(event, record)) {
            builder.append_option(text.as_deref());
        }
        self.indices.push(i64::try_from(record.index).ok());
        // Records are checked for UTF-8 before they are kept.
        self.raw.append_value(String::from_utf8_lossy(record.raw));
        self.bytes += record.raw.len();
    }

    fn is_full(&self) -> bool {
        self.indices.len() >= ROW_GROUP_ROWS || self.bytes >= ROW_GROUP_BYTES
    }

    fn write<W: Write>(&mut self, writer: &mut BatchedWriter<W>) -> PolarsResult<()> {
        let rows = std::mem::take(self);
        self.parser = rows.parser;
        let count = rows.indices.len();
        if count == 0 {
            return Ok(());
        }
        let numbers =
            |name: &str, numbers: &[Option<i64>]| Int64Chunked::from_slice_options(name.into(), numbers);
        let times = numbers(TIME, &rows.times).into_datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
        let mut columns = vec![times.into_column()];
        columns.extend(rows.texts.into_iter().map(|builder| builder.finish().into_column()));
        columns.push(numbers(INDEX, &rows.indices).into_column());
        columns.push(rows.raw.finish().into_column());
        writer.write_batch(&DataFrame::new(count, columns)?)
    }
}

/// A row's texts, in the order of the columns.
fn texts(event: Option<&Event>, record: &Record<'_>) -> [Option<String>; TEXTS.len()] {
    let of = |text: fn(&Event) -> Option<String>| event.and_then(text).filter(|text| !text.is_empty());
    [
        of(|event| Some(event.event_id.to_string())),
        of(|event| Some(event.source.to_string())),
        of(|event| Some(event.name.to_string())),
        of(|event| Some(event.account_id.to_string())),
        of(|event| Some(event.region.to_string())),
        of(|event| event.request_id.as_ref().map(ToString::to_string)),
        of(|event| event.shared_event_id.as_ref().map(ToString::to_string)),
        of(|event| event.identity.principal().map(ToString::to_string)),
        of(|event| Some(event.user_agent.to_string())),
        of(|event| Some(event.source_ip.to_string())),
        of(|event| event.error.as_ref().map(|error| error.code.to_string())),
        of(|event| event.error.as_ref().map(|error| error.message.to_string())),
        Some(record.object.to_string()),
        record.object_sha256.map(str::to_owned),
    ]
}
