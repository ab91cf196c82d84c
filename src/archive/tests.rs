//! The reader as a whole: shapes, compressions, damage, accounting.

mod oracle;
mod stream;

use std::io::Write;

use stream::stream;

use super::{Fate, Place, Quiet, ReadOptions, RecordSink, raw_record, read_with};
use crate::event::{Coverage, LossKind, ParseError, relevance};
use crate::source::SourceObject;

/// Keeps what it gets if a plain parse and the relevance table say so.
#[derive(Default)]
pub(super) struct Collector {
    /// Object, index, text.
    pub records: Vec<(String, u64, String)>,
}

impl RecordSink for Collector {
    fn record(&mut self, raw: &[u8], place: Place<'_>) -> Result<Fate, ParseError> {
        let value: serde_json::Value =
            serde_json::from_slice(raw).map_err(|error| ParseError::InvalidJson(error.to_string()))?;
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        if relevance(text("eventSource"), text("eventName")).is_none() {
            return Ok(Fate::PassedOver);
        }
        let raw = String::from_utf8(raw.to_vec()).map_err(|_| ParseError::InvalidUtf8)?;
        self.records.push((place.object.to_string(), place.record, raw));
        Ok(Fate::Selected)
    }
}

pub(super) fn read_objects(objects: &[SourceObject], options: &ReadOptions) -> (Collector, Coverage) {
    let (sinks, coverage) = read_with(objects, options, &Quiet, Collector::default);
    let mut records: Vec<_> = sinks.into_iter().flat_map(|sink| sink.records).collect();
    records.sort();
    assert!(coverage.records.balance(), "{:?}", coverage.records);
    assert_eq!(
        coverage.objects.read + coverage.objects.skipped + coverage.objects.failed,
        objects.len() as u64
    );
    (Collector { records }, coverage)
}

/// Reads one object: indexes of the selected records, and the coverage.
fn read_bytes(name: &str, bytes: &[u8]) -> (Vec<u64>, Coverage) {
    let (collector, coverage) = read_objects(
        &[SourceObject::memory(name, bytes)],
        &ReadOptions { jobs: 1, ..ReadOptions::default() },
    );
    (collector.records.into_iter().map(|(_, index, _)| index).collect(), coverage)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A record as CloudTrail writes it.
pub(super) fn record(source: &str, name: &str, second: u32) -> String {
    format!(
        concat!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE:s","#,
            r#""arn":"arn:aws:sts::111122223333:assumed-role/Karpenter/s","accountId":"111122223333"}},"#,
            r#""eventTime":"2026-03-02T10:00:{:02}Z","eventSource":"{}","eventName":"{}","awsRegion":"us-east-1","#,
            r#""sourceIPAddress":"192.0.2.1","userAgent":"a {{\"b\"}}","requestParameters":null,"#,
            r#""responseElements":null,"requestID":"r","eventID":"e-{}","readOnly":false,"#,
            r#""eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"444455556666","#,
            r#""eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3"}}}}"#
        ),
        second, source, name, second
    )
}

fn launch(second: u32) -> String {
    record("ec2.amazonaws.com", "RunInstances", second)
}

fn describe(second: u32) -> String {
    record("ec2.amazonaws.com", "DescribeInstances", second)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

fn losses(coverage: &Coverage) -> Vec<(Option<u64>, LossKind)> {
    coverage.losses.iter().map(|loss| (loss.record, loss.kind)).collect()
}

#[test]
fn strings_that_hold_no_record_are_no_records() {
    let texts = format!(r#"["a text",{},"{{","\ud800",null,7]"#, quoted(&launch(1)));
    let (records, coverage) = read_bytes("a.json", texts.as_bytes());
    assert_eq!(records, [1]);
    assert_eq!(
        losses(&coverage),
        [
            (Some(2), LossKind::InvalidJson),
            (Some(3), LossKind::InvalidJson),
            (Some(0), LossKind::NotARecord),
            (Some(4), LossKind::NotARecord),
            (Some(5), LossKind::NotARecord),
        ]
    );
    // A table of texts is no log, whatever its quotes look like.
    for other in ["\"a\",\"b\"\n\"1\",\"{2\"\n", "[\"a\",\"b\"]", "\"", "\"{", "\"{}\""] {
        let (records, coverage) = read_bytes("notes.txt", other.as_bytes());
        assert_eq!((records.len(), coverage.objects.skipped), (0, 1), "{other}: {:?}", coverage);
    }
}

#[test]
fn every_container_shape_gives_the_same_records() {
    let records = [launch(1), describe(2), launch(3)];
    let pretty = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        serde_json::to_string_pretty(&value).expect("JSON")
    };
    let joined = records.join(",");
    let lookup = |record: &String| {
        format!(r#"{{"EventId":"e","EventName":"x","EventTime":1.5,"CloudTrailEvent":{}}}"#, quoted(record))
    };
    let envelope = |record: &String| {
        format!(
            r#"{{"version":"0","id":"i","detail-type":"AWS API Call via CloudTrail","source":"aws.ec2","detail":{record}}}"#
        )
    };
    let message = |record: &String| format!(r#"{{"id":"1","timestamp":1,"message":{}}}"#, quoted(record));
    let each = |wrap: &dyn Fn(&String) -> String, separator: &str| {
        records.iter().map(wrap).collect::<Vec<_>>().join(separator)
    };
    let plain = |record: &String| record.clone();
    let shapes = [
        format!(r#"{{"Records":[{joined}]}}"#),
        format!(r#"{{"first":{{"Records":1}},"Records":[{joined}],"last":[1,{{}}]}}"#),
        pretty(&format!(r#"{{"Records":[{joined}]}}"#)),
        pretty(&format!(r#"{{"first":[],"Records":[{joined}]}}"#)),
        format!("[{joined}]"),
        format!("[\n{}\n]\n", records.join(",\n")),
        records.join("\n"),
        records.join("\r\n") + "\r\n",
        records.concat(),
        format!("\u{feff}{}", records.join("\n")),
        each(&|record| pretty(record), "\n"),
        each(&|record| format!(r#"{{"Records":[{record}]}}"#), "\n"),
        format!(r#"{{"Events":[{}],"NextToken":"x"}}"#, each(&lookup, ",")),
        format!(r#"{{"NextToken":"x","Events":[{}]}}"#, each(&lookup, ",")),
        pretty(&format!(r#"{{"Events":[{}]}}"#, each(&lookup, ","))),
        format!("[{}]", each(&lookup, ",")),
        each(&lookup, "\n"),
        each(&envelope, "\n"),
        each(&envelope, ""),
        format!("[{}]", each(&envelope, ", ")),
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logEvents":[{}]}}"#,
            each(&message, ",")
        ),
        each(&|record| format!("2026-03-02T10:00:00.123Z {record}"), "\n"),
        each(&|record| format!("2026-03-02T10:00:00.123000+00:00 111122223333_CloudTrail {record}"), "\n"),
        each(&plain, "\u{1e}"),
        // `lookup-events --query 'Events[].CloudTrailEvent'`, and what jq makes of it.
        format!("[\n    {}\n]\n", each(&|record| quoted(record), ",\n    ")),
        each(&|record| quoted(record), "\n"),
    ];
    let (_, canonical) = read_bytes("a.json", shapes[0].as_bytes());
    assert_eq!(canonical.records.read, 3);
    for shape in shapes {
        for bytes in [
            shape.clone().into_bytes(),
            gzip(shape.as_bytes()),
            zstd::encode_all(shape.as_bytes(), 1).expect("zstd"),
        ] {
            let (selected, mut coverage) = read_bytes("a.json", &bytes);
            assert_eq!(selected, [0, 2], "{shape}");
            // Only what LookupEvents gives was asked for by what it is.
            let selections = std::mem::take(&mut coverage.selections);
            assert_eq!(selections.is_empty(), !shape.contains("CloudTrailEvent"), "{shape}");
            assert_eq!(coverage, canonical, "{shape}");
        }
    }
}

#[test]
fn scopes_tell_account_region_time_and_kms_of_every_record() {
    let text = format!(
        r#"{{"Records":[{},{},{},{}]}}"#,
        describe(7),
        record("kms.amazonaws.com", "ListKeys", 3),
        describe(5).replace("us-east-1", "eu-west-1"),
        describe(9).replace(r#""recipientAccountId":"444455556666","#, "").replace("us-east-1", "eu-west-1"),
    );
    let (_, coverage) = read_bytes("a.json", text.as_bytes());
    let scopes: Vec<(String, String, String, String, bool)> = coverage
        .reported_scopes()
        .into_iter()
        .map(|scope| {
            let time =
                |time: Option<crate::event::Timestamp>| time.expect("a time").to_string()[17..19].to_owned();
            (
                scope.account_id.to_string(),
                scope.region.to_string(),
                time(scope.first_event),
                time(scope.last_event),
                scope.kms_events_seen,
            )
        })
        .collect();
    let scope = |account: &str, region: &str, first: &str, last: &str, kms| {
        (account.to_owned(), region.to_owned(), first.to_owned(), last.to_owned(), kms)
    };
    assert_eq!(
        scopes,
        [
            scope("111122223333", "eu-west-1", "09", "09", false),
            scope("444455556666", "eu-west-1", "05", "05", false),
            scope("444455556666", "us-east-1", "03", "07", true),
        ]
    );
}

#[test]
fn a_nested_recipient_account_is_not_the_records_account() {
    let nested = describe(1).replace(
        r#""tlsDetails":{"tlsVersion":"TLSv1.3"}"#,
        r#""tlsDetails":{"tlsVersion":"TLSv1.3","recipientAccountId":"123456789012"}"#,
    );
    let (_, coverage) = read_bytes("a.json", nested.as_bytes());
    assert_eq!(coverage.reported_scopes()[0].account_id.as_ref(), "444455556666");
}

#[test]
fn all_gzip_members_are_read_even_equal_ones() {
    let page = |second| gzip(format!(r#"{{"Records":[{}]}}"#, launch(second)).as_bytes());
    let (selected, coverage) = read_bytes("a.json.gz", &[page(1), page(1), page(2)].concat());
    assert_eq!(selected, [0, 1, 2]);
    assert_eq!((coverage.objects.read, coverage.objects.failed), (1, 0));
    let frames = zstd::encode_all(launch(1).as_bytes(), 1).expect("zstd").repeat(2);
    assert_eq!(read_bytes("a.json.zst", &frames).0, [0, 1]);
}

#[test]
fn garbage_behind_the_last_gzip_member_is_a_loss() {
    let mut bytes = gzip(format!(r#"{{"Records":[{}]}}"#, launch(1)).as_bytes());
    bytes.extend_from_slice(b"garbage");
    let (selected, coverage) = read_bytes("a.json.gz", &bytes);
    assert_eq!(selected, [0]);
    assert_eq!(losses(&coverage), [(None, LossKind::CorruptCompression)]);
    assert_eq!(coverage.objects.failed, 1);
}

#[test]
fn truncated_gzip_reports_a_loss_and_keeps_what_came_before() {
    let records: Vec<String> = (0..50).map(launch).collect();
    let whole = gzip(format!(r#"{{"Records":[{}]}}"#, records.join(",")).as_bytes());
    let (selected, coverage) = read_bytes("a.json.gz", &whole[..whole.len() - 20]);
    assert!(!selected.is_empty());
    assert!(losses(&coverage).contains(&(None, LossKind::TruncatedCompression)), "{:?}", coverage.losses);
    assert_eq!(coverage.objects.failed, 1);
    // Without its trailer alone, every record is there and the loss is told all the same.
    let (selected, coverage) = read_bytes("a.json.gz", &whole[..whole.len() - 3]);
    assert_eq!(selected.len(), 50);
    assert_eq!(losses(&coverage), [(None, LossKind::TruncatedCompression)]);
}

#[test]
fn a_wrong_checksum_is_a_loss() {
    let mut bytes = gzip(launch(1).as_bytes());
    let trailer = bytes.len() - 8;
    bytes[trailer] ^= 1;
    let (selected, coverage) = read_bytes("a.json.gz", &bytes);
    assert_eq!(selected, [0]);
    assert_eq!(losses(&coverage), [(None, LossKind::CorruptCompression)]);
}

#[test]
fn truncated_zstd_reports_a_loss() {
    let bytes = zstd::encode_all(launch(1).as_bytes(), 1).expect("zstd");
    let (_, coverage) = read_bytes("a.json.zst", &bytes[..bytes.len() - 5]);
    assert!(losses(&coverage).contains(&(None, LossKind::TruncatedCompression)), "{:?}", coverage.losses);
}

#[test]
fn text_cut_inside_a_record_loses_that_record_only() {
    let whole = format!(r#"{{"Records":[{},{}]}}"#, launch(1), launch(2));
    let (selected, coverage) = read_bytes("a.json", &whole.as_bytes()[..whole.len() - 30]);
    assert_eq!(selected, [0]);
    assert_eq!(losses(&coverage), [(Some(1), LossKind::TruncatedJson)]);
    assert_eq!((coverage.records.read, coverage.records.lost, coverage.objects.failed), (2, 1, 1));
    let detail = &coverage.losses[0].detail;
    assert!(detail.contains(&format!("byte {}", whole.find(&launch(2)).expect("there"))), "{detail}");
}

#[test]
fn text_cut_between_records_is_told_although_no_record_is_lost() {
    let whole = format!(r#"{{"Records":[{},"#, launch(1));
    let (selected, coverage) = read_bytes("a.json", whole.as_bytes());
    assert_eq!(selected, [0]);
    assert_eq!(losses(&coverage), [(None, LossKind::TruncatedJson)]);
}

#[test]
fn a_broken_line_costs_that_line_only() {
    let cut = &launch(2)[..200];
    let unclosed = launch(3).replace(r#""requestID":"r","#, r#""requestID":"r,"#);
    let half = r#"{"requestParameters":{"a":[{"b":1},"#;
    for broken in [cut, unclosed.as_str(), half, "garbage", r#"{"a" 1}"#, r#"{"a":"#] {
        let text = [&launch(1), broken, &launch(4), &describe(5)].map(ToString::to_string).join("\n");
        let (selected, coverage) = read_bytes("a.jsonl", text.as_bytes());
        assert_eq!(selected, [0, 2], "{broken}");
        assert_eq!(losses(&coverage), [(Some(1), LossKind::InvalidJson)], "{broken}");
        assert_eq!(coverage.objects.read, 1, "{broken}");
    }
}

#[test]
fn damage_inside_an_array_is_stepped_over() {
    let unclosed = launch(2).replace(r#""requestID":"r","#, r#""requestID":"r,"#);
    let text = format!(r#"{{"Records":[{},{unclosed},{},{}]}}"#, launch(1), launch(3), describe(4));
    let (selected, coverage) = read_bytes("a.json", text.as_bytes());
    assert_eq!(selected, [0, 2]);
    assert_eq!(losses(&coverage), [(Some(1), LossKind::InvalidJson)]);
    assert_eq!(coverage.records.read, 4);
}

#[test]
fn values_among_records_that_are_none_are_lost() {
    let text = format!(r#"[{},1,"x",{{"a":1}},[{}],null]"#, launch(1), launch(2));
    let (selected, coverage) = read_bytes("a.json", text.as_bytes());
    assert_eq!(selected, [0]);
    assert_eq!(coverage.records.lost, 5);
    assert!(coverage.losses.iter().all(|loss| loss.kind == LossKind::NotARecord));
}

#[test]
fn a_record_without_time_source_or_name_is_incomplete() {
    for member in ["eventTime", "eventSource", "eventName"] {
        let text = format!("[{},{}]", launch(1), launch(2).replace(member, "x"));
        let (selected, coverage) = read_bytes("a.json", text.as_bytes());
        assert_eq!(selected, [0], "{member}");
        assert_eq!(losses(&coverage), [(Some(1), LossKind::IncompleteRecord)], "{member}");
    }
}

#[test]
fn bytes_that_are_no_utf8_lose_one_record() {
    let text = format!("[{},{},{}]", launch(1), launch(2), launch(3));
    let mut bytes = text.into_bytes();
    let at = launch(1).len() + 40;
    bytes[at] = 0xff;
    let (selected, coverage) = read_bytes("a.json", &bytes);
    assert_eq!(selected, [0, 2]);
    assert_eq!(losses(&coverage), [(Some(1), LossKind::InvalidUtf8)]);
    let umlaut = format!("[{}]", launch(1).replace("192.0.2.1", "é"));
    assert_eq!(read_bytes("a.json", umlaut.as_bytes()).0, [0]);
}

#[test]
fn what_is_no_log_is_skipped_or_lost_by_its_name() {
    let digest = r#"{"awsAccountId":"111122223333","digestStartTime":"2026-03-02T10:00:00Z","digestS3Object":"x","logFiles":[]}"#;
    let insight = r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-02T10:00:00Z","awsRegion":"us-east-1","eventID":"e","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","insightDetails":{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances"},"eventCategory":"Insight"}]}"#;
    let notification = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-03-02T10:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"x"},"s3":{}}]}"#;
    let interruption = r#"{"version":"0","detail-type":"EC2 Spot Instance Interruption Warning","source":"aws.ec2","detail":{"instance-id":"i-0aaaaaaaaaaaaaaaa"}}"#;
    for text in [digest, insight, notification, interruption, r#"{"a":1}"#, "[1,2]", r#"{"a":1}{"b":2}"#] {
        for name in ["a.json", "README"] {
            let (_, coverage) = read_bytes(name, text.as_bytes());
            assert_eq!(coverage.objects.skipped, 1, "{text}");
            assert_eq!((coverage.records.read, coverage.losses.len()), (0, 0), "{text}");
        }
    }
    let damaged: [(&[u8], LossKind); 6] = [
        (b"", LossKind::EmptyObject),
        (b" \n", LossKind::EmptyObject),
        (b"hello", LossKind::InvalidJson),
        (b"{hello", LossKind::InvalidJson),
        (b"\xff\xfe{\0", LossKind::InvalidUtf8),
        (b"\x1f\x8b", LossKind::TruncatedCompression),
    ];
    for (bytes, kind) in damaged {
        let (_, coverage) = read_bytes("a.json", bytes);
        assert_eq!(
            (coverage.objects.failed + coverage.objects.read, coverage.objects.skipped),
            (1, 0),
            "{bytes:?}"
        );
        assert_eq!(losses(&coverage).first().map(|loss| loss.1), Some(kind), "{bytes:?}");
        let (_, coverage) = read_bytes("marker", bytes);
        assert_eq!((coverage.objects.skipped, coverage.losses.len()), (1, 0), "{bytes:?}");
    }
}

#[test]
fn an_empty_array_of_records_is_a_log() {
    let (_, coverage) = read_bytes("a.json", br#"{"Records":[]}"#);
    assert_eq!((coverage.objects.read, coverage.records.read), (1, 0));
}

#[test]
fn an_object_that_cannot_be_opened_is_a_loss() {
    let missing = SourceObject::file("/nonexistent/x.json".into(), Some(5));
    let (_, coverage) = read_objects(&[missing], &ReadOptions::default());
    assert_eq!(losses(&coverage), [(None, LossKind::Unreadable)]);
    assert_eq!(coverage.objects.failed, 1);
}

#[test]
fn a_record_over_the_cap_is_lost_and_the_next_is_read() {
    let large = launch(2).replace("192.0.2.1", &"x".repeat(5_000));
    for (text, name) in [
        (format!(r#"{{"Records":[{},{large},{}]}}"#, launch(1), launch(3)), "a.json"),
        ([launch(1), large.clone(), launch(3)].join("\n"), "a.jsonl"),
        ([launch(1), large.clone(), launch(3)].concat(), "a.json"),
    ] {
        let object = SourceObject::memory(name, text.into_bytes());
        let options = ReadOptions { jobs: 1, record_bytes_max: 4_000 };
        let (collector, coverage) = read_objects(&[object], &options);
        assert_eq!(collector.records.iter().map(|(_, index, _)| *index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(losses(&coverage), [(Some(1), LossKind::RecordTooLarge)]);
        assert_eq!(coverage.objects.read, 1);
    }
}

#[test]
fn a_bomb_is_one_loss_in_bounded_memory() {
    let mut bomb = br#"{"Records":[{"eventName":""#.to_vec();
    bomb.resize(20 << 20, b'a');
    let (_, coverage) = read_bytes("a.json.gz", &gzip(&bomb));
    assert_eq!(losses(&coverage), [(None, LossKind::TruncatedJson), (Some(0), LossKind::RecordTooLarge)]);
    assert_eq!(coverage.records.lost, 1);
}

#[test]
fn losses_of_one_object_are_listed_up_to_a_limit_and_counted_beyond() {
    let text = format!("[{}{}]", "1,".repeat(5_000), launch(1));
    let (selected, coverage) = read_bytes("a.json", text.as_bytes());
    assert_eq!(selected, [5_000]);
    assert_eq!(coverage.records.lost, 5_000);
    assert_eq!(coverage.losses.len(), 1_001);
    assert!(coverage.losses[0].detail.contains("4000 further"), "{:?}", coverage.losses[0]);
}

#[test]
fn a_raw_record_is_found_again_by_its_origin() {
    let wrapped = format!(r#"{{"Events":[{{"CloudTrailEvent":{}}}]}}"#, quoted(&describe(2)));
    let text = [launch(1), wrapped].join("\n");
    let object = SourceObject::memory("a.jsonl.gz", gzip(text.as_bytes()));
    assert_eq!(raw_record(&object, 0), Some(launch(1).into_bytes()));
    assert_eq!(raw_record(&object, 1), Some(describe(2).into_bytes()));
    assert_eq!(raw_record(&object, 2), None);
}

#[test]
fn jobs_and_order_of_objects_change_nothing() {
    let mut objects: Vec<SourceObject> = (0..40u32)
        .map(|index| {
            let text = format!(r#"{{"Records":[{},{},{{"a":1}}]}}"#, launch(index), describe(index + 1));
            SourceObject::memory(&format!("{index:02}.json.gz"), gzip(text.as_bytes()))
        })
        .collect();
    let (one, coverage) = read_objects(&objects, &ReadOptions { jobs: 1, ..ReadOptions::default() });
    for jobs in [2, 7] {
        objects.reverse();
        objects.swap(3, 17);
        let (many, same) = read_objects(&objects, &ReadOptions { jobs, ..ReadOptions::default() });
        assert_eq!(one.records, many.records);
        assert_eq!(coverage, same);
    }
}

#[test]
fn an_object_reads_alike_as_a_whole_piece_by_piece_and_ahead() {
    let large = launch(30).replace("192.0.2.1", &"x\\n".repeat(250_000));
    let mut records: Vec<String> = (0..900u32)
        .map(|index| if index % 3 == 0 { launch(index % 60) } else { describe(index % 60) })
        .collect();
    records.insert(450, large);
    records.insert(600, r#"{"a":1}"#.to_owned());
    let array = format!(r#"{{"x":{{}},"Records":[{}]}}"#, records.join(","));
    let lines = records.join("\n");
    let texts = [
        array.clone().into_bytes(),
        lines.clone().into_bytes(),
        records.concat().into_bytes(),
        array.as_bytes()[..array.len() - 50].to_vec(),
        lines.replacen("DescribeInstances\"", "DescribeInstances", 5).into_bytes(),
        array.replacen("DescribeInstances\"", "DescribeInstances", 5).into_bytes(),
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let compressed = gzip(&text);
        let members = [gzip(&text[..text.len() / 3]), gzip(&text[text.len() / 3..])].concat();
        let zstd = zstd::encode_all(&text[..], 1).expect("memory");
        let mut stored = vec![compressed];
        if index == 0 {
            stored.extend([text.clone(), members, zstd]);
        }
        let whole = [SourceObject::memory("a.json", text.clone())];
        let options = |jobs| ReadOptions { jobs, record_bytes_max: 2 << 20 };
        let (expected, coverage) = read_objects(&whole, &options(1));
        assert!(expected.records.len() > 280, "{}", expected.records.len());
        for bytes in stored {
            for jobs in [1, 2] {
                let (found, same) = read_objects(&[stream(bytes.clone(), false)], &options(jobs));
                assert!(found.records == expected.records, "{jobs} jobs");
                assert_eq!(same, coverage);
            }
            let (found, same) = read_objects(&[SourceObject::memory("a.json", bytes)], &options(1));
            assert!(found.records == expected.records);
            assert_eq!(same, coverage);
        }
    }
}

#[test]
fn records_read_before_the_connection_breaks_are_kept() {
    let text = format!(r#"{{"Records":[{},{}"#, launch(1), launch(2));
    for jobs in [1, 2] {
        let options = ReadOptions { jobs, ..ReadOptions::default() };
        let (found, coverage) = read_objects(&[stream(text.clone().into_bytes(), true)], &options);
        assert_eq!(found.records.len(), 2);
        assert_eq!(losses(&coverage), [(None, LossKind::Unreadable), (None, LossKind::TruncatedJson)]);
        assert_eq!(coverage.objects.failed, 1);
    }
}

#[test]
fn a_record_over_the_cap_is_lost_in_a_stream_too() {
    let large = launch(2).replace("192.0.2.1", &"x".repeat(5 << 20));
    for text in [
        format!(r#"{{"Records":[{},{large},{}]}}"#, launch(1), launch(3)),
        format!(r#"{{"a":"{}","Records":[{},{large},{}]}}"#, "y".repeat(100), launch(1), launch(3)),
        [launch(1), large.clone(), launch(3)].join("\n"),
    ] {
        for jobs in [1, 2] {
            let options = ReadOptions { jobs, record_bytes_max: 1 << 20 };
            let (found, coverage) = read_objects(&[stream(gzip(text.as_bytes()), false)], &options);
            let indexes: Vec<u64> = found.records.iter().map(|(_, index, _)| *index).collect();
            assert_eq!(indexes, [0, 2]);
            assert_eq!(losses(&coverage), [(Some(1), LossKind::RecordTooLarge)]);
        }
    }
}

#[test]
fn text_that_would_be_read_over_and_over_is_read_in_linear_time() {
    let megabyte = 1usize << 20;
    let texts = [
        "{\"a\":[\n".repeat(megabyte / 7),
        "{\"a\":\n".repeat(megabyte / 6),
        "{\"a\":1,\n{\"a\":1,\n".repeat(megabyte / 16),
        format!("{{\"Records\":[{}", "{\"a\":[".repeat(megabyte / 6)),
        "[".repeat(megabyte),
        "{\"Records\":[".repeat(megabyte / 12),
        "x\n{".repeat(megabyte / 3),
        "{}".repeat(megabyte / 2),
        "{}\n".repeat(megabyte / 3),
        format!("[{}", "{},".repeat(megabyte / 3)),
        "2026-03-02T10:00:00Z ".repeat(megabyte / 21),
        "2026-03-02T10:00:00Z {".repeat(megabyte / 22),
        format!("{{\"Records\":[{}", "{\"eventVersion\":{,".repeat(megabyte / 18)),
        format!("{{\"Records\":[{}", "{\"eventVersion\":\"1,".repeat(megabyte / 19)),
        format!("{{\"Records\":[{}", "\n{\"a\":{,".repeat(megabyte / 8)),
        format!("{{\"Records\":[{}", "\n{\"a\":\"1,".repeat(megabyte / 9)),
        "{\"eventVersion\":{\n".repeat(megabyte / 18),
    ];
    for text in texts {
        let (_, coverage) = read_bytes("a.json", text.as_bytes());
        let (_, same) = read_objects(
            &[stream(text.clone().into_bytes(), false)],
            &ReadOptions { jobs: 1, ..ReadOptions::default() },
        );
        assert_eq!(coverage.records, same.records, "{}", &text[..20]);
    }
}
