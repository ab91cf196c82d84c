//! The shapes in which CloudTrail records travel, and how they are compressed.
//!
//! Records come in, bytes go out; the records' own text is never changed.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};

use super::json::{Json, Object, object};
use super::record::{Record, iso};

fn raw(record: &Record) -> Json {
    Json(record.text.clone())
}

/// `{"Records":[…]}`, as in a trail's bucket.
pub fn records<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let mut object = Object::new();
    object.member("Records", Json::array(records.into_iter().map(raw)));
    object.finish().0
}

/// A bare array.
pub fn bare_array(records: &[Record]) -> String {
    Json::array(records.iter().map(raw)).0
}

/// One record per line.
pub fn json_lines(records: &[Record]) -> String {
    records.iter().map(|record| format!("{}\n", record.text)).collect()
}

/// A page of `LookupEvents`: newest first, each record a string.
pub fn lookup_page(records: &[Record], next_token: Option<&str>) -> String {
    let mut newest_first: Vec<&Record> = records.iter().collect();
    newest_first.sort_by_key(|record| std::cmp::Reverse(record.time));
    let events = newest_first.into_iter().map(|record| {
        object! {
            "EventId": &record.event_id,
            "EventName": &record.name,
            "ReadOnly": if record.is_read_only { "true" } else { "false" },
            "EventTime": iso(record.time),
            "EventSource": &record.source,
            "Resources": Json::array::<Json>([]),
            "CloudTrailEvent": &record.text,
        }
    });
    let mut page = Object::new();
    page.member("Events", Json::array(events));
    page.member_if("NextToken", next_token);
    page.finish().0
}

/// One EventBridge event.
pub fn event_bridge(record: &Record) -> String {
    let service = record.source.split('.').next().expect("a split has a first part");
    let envelope = object! {
        "version": "0",
        "id": &record.event_id,
        "detail-type": "AWS API Call via CloudTrail",
        "source": format!("aws.{service}"),
        "account": &record.account_id,
        "time": iso(record.time),
        "region": &record.region,
        "resources": Json::array::<Json>([]),
        "detail": raw(record),
    };
    envelope.0
}

/// A CloudWatch Logs subscription payload.
pub fn cloudwatch_logs(records: &[Record]) -> String {
    let events = (0_i64..).zip(records).map(|(index, record)| {
        object! {
            "id": format!("{index:056}"),
            "timestamp": record.time * 1000,
            "message": &record.text,
        }
    });
    let account_id = records.first().map_or("111122223333", |record| record.account_id.as_str());
    let payload = object! {
        "messageType": "DATA_MESSAGE",
        "owner": account_id,
        "logGroup": "CloudTrail/management",
        "logStream": format!("{account_id}_CloudTrail_eu-west-1"),
        "subscriptionFilters": Json::array(["to-archive"]),
        "logEvents": Json::array(events),
    };
    payload.0
}

/// One gzip member without a time stamp.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory can be written to");
    encoder.finish().expect("memory can be written to")
}

/// Several gzip members in one file.
pub fn gzip_members<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    parts.into_iter().flat_map(gzip).collect()
}

/// Zstandard.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory can be read and written to")
}
