use std::io::{self, Cursor, Write};

use polars::io::SerReader;
use polars::io::parquet::read::ParquetReader;
use polars::prelude::{AnyValue, DataFrame, DataType, TimeUnit, TimeZone};

use super::{ROW_GROUP_ROWS, write_parquet};
use crate::correlate::Case;
use crate::event::Timestamp;
use crate::report::incident::{self, HOSTILE};
use crate::report::{Table, Tool, write_csv};
use crate::rules::Finding;

const TOOL: Tool<'_> = Tool { name: "keytrail", version: "0.1.0" };

fn bytes(case: &Case, findings: &[Finding], table: Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_parquet(&mut bytes, case, findings, table, TOOL).expect("memory does not fail");
    bytes
}

fn frame(case: &Case, findings: &[Finding], table: Table) -> DataFrame {
    ParquetReader::new(Cursor::new(bytes(case, findings, table))).finish().expect("a Parquet file")
}

/// A cell as CSV writes it, `separator` between the texts of a list.
fn as_text(value: &AnyValue<'_>, separator: &str) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Int64(number) => number.to_string(),
        AnyValue::Datetime(milliseconds, TimeUnit::Milliseconds, Some(zone)) if **zone == TimeZone::UTC => {
            assert_eq!(milliseconds % 1_000, 0);
            Timestamp::from_second(milliseconds / 1_000).to_string()
        }
        AnyValue::List(series) => {
            let texts = series.str().expect("a list of texts");
            texts.iter().map(|text| text.expect("a text")).collect::<Vec<_>>().join(separator)
        }
        other => panic!("unexpected value {other:?}"),
    }
}

#[test]
fn every_cell_is_what_csv_says() {
    let (case, findings) = (incident::case(), incident::findings());
    for table in Table::ALL {
        let frame = frame(&case, &findings, table);
        let mut text = Vec::new();
        write_csv(&mut text, &case, &findings, table).expect("memory does not fail");
        let mut reader = csv::Reader::from_reader(&*text);
        let headings: Vec<String> = reader.headers().expect("headings").iter().map(str::to_owned).collect();
        let names: Vec<String> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
        assert_eq!(names, headings, "{table}");
        let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(frame.height(), rows.len(), "{table}");
        for (column, heading) in frame.columns().iter().zip(&headings) {
            let is_sentences = ["ruled_out", "missing"].contains(&heading.as_str());
            let separator = if is_sentences { "; " } else { " " };
            for (index, row) in rows.iter().enumerate() {
                let value = column.get(index).expect("a cell");
                let at = headings.iter().position(|name| name == heading).expect("a column");
                assert_eq!(as_text(&value, separator), row[at], "{table}.{heading}");
            }
        }
    }
}

#[test]
fn columns_have_types() {
    let frame = frame(&incident::case(), &incident::findings(), Table::Timeline);
    let of = |name: &str| frame.column(name).expect("a column").dtype().clone();
    assert_eq!(of("time"), DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)));
    assert_eq!(of("origin_record"), DataType::Int64);
    assert_eq!(of("summary"), DataType::String);
    let frame = self::frame(&incident::case(), &incident::findings(), Table::Nodes);
    assert_eq!(
        frame.column("used_keys").expect("a column").dtype(),
        &DataType::List(Box::new(DataType::String))
    );
    let launched = frame.column("launched_at").expect("a column");
    assert_eq!(launched.null_count(), 1);
    assert_eq!(frame.column("termination_evidence").expect("a column").null_count(), 1);
}

#[test]
fn texts_are_as_logged_and_the_file_has_no_wrong_end() {
    let frame = frame(&incident::hostile_case(), &incident::hostile_findings(), Table::Nodes);
    let pool = frame.column("nodepool").expect("a column").get(0).expect("a cell");
    assert_eq!(as_text(&pool, ""), HOSTILE);
    let file = bytes(&incident::case(), &[], Table::Nodes);
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    assert!(file == bytes(&incident::case(), &[], Table::Nodes), "the same case gives the same bytes");
}

#[test]
fn a_table_without_rows_has_its_columns() {
    for table in Table::ALL {
        let frame = frame(&Case::default(), &[], table);
        assert_eq!(frame.height(), 0, "{table}");
        assert!(frame.width() > 10, "{table}");
    }
}

#[test]
fn the_file_carries_the_coverage_and_compresses() {
    let mut case = incident::case();
    case.coverage.losses[0].object = HOSTILE.into();
    let file = bytes(&case, &incident::findings(), Table::Nodes);
    let mut reader = ParquetReader::new(Cursor::new(file));
    let metadata = reader.get_metadata().expect("metadata").clone();
    let pairs = metadata.key_value_metadata().as_ref().expect("key and value");
    let value = |key: &str| {
        let pair = pairs.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("{key}"));
        pair.value.clone().expect("a value")
    };
    assert_eq!(value("keytrail.tool"), "keytrail 0.1.0");
    let coverage: serde_json::Value = serde_json::from_str(&value("keytrail.coverage")).expect("JSON");
    assert_eq!(coverage["records"]["read"], 3210);
    assert_eq!(coverage["losses"][0]["object"], HOSTILE);
    let codec = metadata.row_groups[0].parquet_columns()[0].compression();
    assert_eq!(format!("{codec:?}"), "Zstd");
}

#[test]
fn large_tables_are_written_in_row_groups() {
    let mut case = incident::case();
    let reference = case.nodes[0].timeline[0];
    case.nodes.truncate(1);
    case.nodes[0].timeline = vec![reference; 2 * ROW_GROUP_ROWS + 7];
    let file = bytes(&case, &[], Table::Timeline);
    let mut reader = ParquetReader::new(Cursor::new(file));
    let groups: Vec<usize> =
        reader.get_metadata().expect("metadata").row_groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 7]);
    assert_eq!(reader.finish().expect("a Parquet file").height(), 2 * ROW_GROUP_ROWS + 7);
}

#[test]
fn a_writer_that_fails_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = write_parquet(&mut Full, &incident::case(), &[], Table::Nodes, TOOL).expect_err("no room");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
