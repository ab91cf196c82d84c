//! Reads the records of an extract that is a Parquet file.
//!
//! The bytes of a Parquet file come in, the text of `{"Records":[…]}` goes out, row group by row group, so that
//! everything behind it reads as from any other object. Memory is bounded by one row group; the bytes
//! are put into a temporary file, because the format begins at its end. The file may be anybody's: what
//! it makes the library do, even a panic, is an error here.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::io::SerReader as _;
use polars::io::parquet::read::{ParallelStrategy, ParquetReader};

use super::left_out::EXTRACT_MEMBER;

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// The metadata of the file that tells what was left out.
pub const PARQUET_METADATA_KEY: &str = "keytrail.extract";
/// The column with the records.
pub const PARQUET_RECORD_COLUMN: &str = "record";

/// Larger row groups are refused; keytrail writes far smaller ones.
const ROW_GROUP_BYTES_MAX: usize = 512 << 20;

/// The text of an extract.
pub(super) struct ParquetText {
    file: File,
    /// Rows of the row groups that are left, the first last.
    groups: Vec<usize>,
    row: usize,
    left_out: String,
    text: Cursor<Vec<u8>>,
    has_records: bool,
    is_over: bool,
}

impl ParquetText {
    /// Of the bytes of a file; `None` if it is a Parquet file of another kind.
    pub(super) fn new(mut input: impl Read) -> io::Result<Option<Self>> {
        let mut file = tempfile::tempfile()?;
        io::copy(&mut input, &mut file)?;
        file.rewind()?;
        let copy = file.try_clone()?;
        let read = guarded(move || {
            let mut reader = ParquetReader::new(copy);
            let metadata = reader.get_metadata().map_err(io::Error::other)?.clone();
            let pairs = metadata.key_value_metadata().iter().flatten();
            let left_out =
                pairs.filter(|pair| pair.key == PARQUET_METADATA_KEY).find_map(|pair| pair.value.clone());
            let Some(left_out) = left_out else { return Ok(None) };
            let mut groups = Vec::new();
            for group in metadata.row_groups.iter().rev() {
                if group.total_byte_size() > ROW_GROUP_BYTES_MAX || group.num_rows() > ROW_GROUP_BYTES_MAX {
                    return Err(io::Error::other("a row group is too large"));
                }
                groups.push(group.num_rows());
            }
            Ok(Some((groups, left_out)))
        })?;
        Ok(read.map(|(groups, left_out)| Self {
            file,
            groups,
            row: 0,
            left_out,
            text: Cursor::new(b"{\"Records\":[".to_vec()),
            has_records: false,
            is_over: false,
        }))
    }

    /// Makes the text of the next row group, or of the end.
    fn next_text(&mut self) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.text).into_inner();
        text.clear();
        if let Some(rows) = self.groups.pop() {
            let copy = self.file.try_clone()?;
            let (row, mut has_records) = (self.row, self.has_records);
            text = guarded(move || {
                let frame = ParquetReader::new(copy)
                    .read_parallel(ParallelStrategy::None)
                    .with_columns(Some(vec![PARQUET_RECORD_COLUMN.to_owned()]))
                    .with_slice(Some((row, rows)))
                    .finish()
                    .map_err(io::Error::other)?;
                let column = frame.column(PARQUET_RECORD_COLUMN).map_err(io::Error::other)?;
                for record in column.str().map_err(io::Error::other)?.iter() {
                    let Some(record) = record else { return Err(io::Error::other("a row without a record")) };
                    if std::mem::replace(&mut has_records, true) {
                        text.push(b',');
                    }
                    text.extend_from_slice(record.as_bytes());
                }
                Ok(text)
            })?;
            self.has_records |= !text.is_empty();
            self.row += rows;
        } else {
            text.extend_from_slice(format!("],\"{EXTRACT_MEMBER}\":{}}}", self.left_out).as_bytes());
            self.is_over = true;
        }
        self.text = Cursor::new(text);
        Ok(())
    }
}

impl Read for ParquetText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.text.read(buffer)? {
                0 if !self.is_over && !buffer.is_empty() => self.next_text()?,
                length => return Ok(length),
            }
        }
    }
}

/// A panic of the library over a hostile file is an error like any other.
fn guarded<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(io::Error::other("no readable Parquet file")))
}
