//! Bytes of one object -> `archive::read`.
//!
//! Whatever the bytes are: no panic, every record has one fate, and the same bytes plain, compressed, in small
//! reads, in windows and without a known size give the same. Lines that are records, put into each container,
//! must give exactly the events that a full parse of each line gives.

#![no_main]

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use keytrail::archive::{Quiet, ReadOptions, Reading, read};
use keytrail::event::{Coverage, EventParser, Origin, Parsed};
use keytrail::source::{Fetch, SourceObject};
use libfuzzer_sys::fuzz_target;

/// Small, so that records beyond it are met too.
const RECORD_BYTES_MAX: usize = 4096;
/// The reader takes that much of an object of unknown size before anything passes through its window.
const FIRST_BYTES: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    same_in_every_wrapping(bytes);
    // A byte order mark is one at the beginning only.
    if bytes.first().is_some_and(u8::is_ascii) && !is_compressed(bytes) {
        same_in_windows(bytes);
    }
    let records: Vec<&str> =
        std::str::from_utf8(bytes).unwrap_or_default().lines().filter(|line| is_record(line)).collect();
    if !records.is_empty() {
        same_as_a_full_parse(&records);
    }
});

fn same_in_every_wrapping(bytes: &[u8]) {
    let plain = read_one(SourceObject::memory("a.json", bytes));
    for object in [
        SourceObject::memory("a.json.gz", gzip(bytes)),
        SourceObject::memory("a.json.zst", zstd::encode_all(bytes, 1).expect("memory")),
        SourceObject::remote("a.json", None, Arc::new(Trickle(bytes.to_vec()))),
        SourceObject::remote("a.json.gz", None, Arc::new(Trickle(gzip(bytes)))),
    ] {
        // Compressed or empty bytes mean something else once they are compressed again.
        if !is_compressed(bytes) && !bytes.is_empty() {
            let wrapped = read_one(object);
            let uri = &wrapped.coverage.losses;
            assert_eq!(counted(&wrapped.coverage), counted(&plain.coverage), "{uri:?}");
            assert_eq!(indexes(&wrapped), indexes(&plain), "{uri:?}");
        }
    }
}

/// What is large passes through a window, and its values are cut by the window's borders: white space makes it so.
fn same_in_windows(bytes: &[u8]) {
    let mut text = vec![b' '; FIRST_BYTES];
    text.extend(bytes);
    let whole = read_one(SourceObject::memory("a.json", text.clone()));
    for jobs in [1, 2] {
        let trickled = SourceObject::remote("a.json", None, Arc::new(Trickle(text.clone())));
        let windowed = read_with(trickled, jobs);
        assert_eq!(counted(&windowed.coverage), counted(&whole.coverage), "{:?}", windowed.coverage.losses);
        assert_eq!(indexes(&windowed), indexes(&whole), "{:?}", windowed.coverage.losses);
    }
}

fn same_as_a_full_parse(records: &[&str]) {
    let mut parser = EventParser::default();
    let expected: Vec<u64> = (0..)
        .zip(records)
        .filter(|(index, record)| {
            let origin = Origin { object: "a.json".into(), record: *index };
            matches!(parser.parse(record.as_bytes(), origin), Ok(Parsed::Relevant(_)))
        })
        .map(|(index, _)| index)
        .collect();
    let strings: Vec<String> =
        records.iter().map(|record| serde_json::Value::from(*record).to_string()).collect();
    for text in [
        format!("[{}]", strings.join(",")),
        strings.join("\n"),
        format!("{{\"Records\":[{}]}}", records.join(",")),
        format!("[{}]", records.join(" , ")),
        records.join("\n"),
        records.concat(),
    ] {
        let reading = read_one(SourceObject::memory("a.json", text.clone().into_bytes()));
        assert_eq!(indexes(&reading), expected, "{text}");
        if reading.coverage.objects.skipped == 0 {
            assert_eq!(reading.coverage.records.read, records.len() as u64, "{text}");
        }
    }
}

/// Whether a line is an object with what makes it a CloudTrail record and nothing that makes it a container, an
/// Insight or a notification, and is below the cap.
fn is_record(line: &str) -> bool {
    let Ok(members) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) else {
        return false;
    };
    let text = |key: &str| members.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    line.len() < RECORD_BYTES_MAX / 2
        && !text("eventTime").is_empty()
        && !text("eventName").is_empty()
        && !text("eventSource").is_empty()
        && !text("eventSource").starts_with("aws:")
        && text("eventCategory") != "Insight"
        && !["Records", "Events", "logEvents"].iter().any(|key| members.contains_key(*key))
}

fn read_one(object: SourceObject) -> Reading {
    read_with(object, 1)
}

/// With two jobs, a large object is inflated on a thread of its own.
fn read_with(object: SourceObject, jobs: usize) -> Reading {
    let options = ReadOptions { jobs, record_bytes_max: RECORD_BYTES_MAX };
    let reading = read(&[object], &options, &Quiet);
    let Coverage { objects, records, losses, .. } = &reading.coverage;
    assert!(records.balance(), "{records:?}");
    assert_eq!(records.selected, reading.events.len() as u64, "selected are the events that came");
    assert_eq!(objects.read + objects.skipped + objects.failed, 1, "{objects:?}");
    let lost = losses.iter().filter(|loss| loss.record.is_some()).count();
    assert!(lost as u64 <= records.lost, "{losses:?}");
    assert!(objects.failed == 0 || !losses.is_empty(), "a failed object has a loss");
    reading
}

type Counts = (keytrail::event::ObjectCounts, keytrail::event::RecordCounts, usize);

fn counted(coverage: &Coverage) -> Counts {
    (coverage.objects, coverage.records, coverage.losses.len())
}

fn indexes(reading: &Reading) -> Vec<u64> {
    reading.events.iter().map(|event| event.origin.record).collect()
}

fn is_compressed(bytes: &[u8]) -> bool {
    let is_skippable = bytes.len() >= 4 && bytes[0] & 0xf0 == 0x50 && bytes[1..4] == [0x2a, 0x4d, 0x18];
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Gives a few bytes at a time.
struct Trickle(Vec<u8>);

impl Fetch for Trickle {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Few(Cursor::new(self.0.clone()))))
    }
}

struct Few(Cursor<Vec<u8>>);

impl Read for Few {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7);
        self.0.read(&mut buffer[..length])
    }
}
