//! The quick ways held to slow, obvious ones on made-up documents: a full parse of every record decides
//! what must be selected, and a byte-by-byte walk says what a scan must see.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::super::blocks::Backend;
use super::super::scan::{Scanned, Scanner};
use super::super::{Quiet, ReadOptions, read};
use super::stream::stream_in_pieces;
use crate::event::{EventParser, Origin, Parsed, RELEVANCE_TABLE};
use crate::source::SourceObject;

/// The members of a record, in order, as text.
#[derive(Clone, Debug)]
struct Members(Vec<(String, String)>);

impl Members {
    fn text(&self, pretty: &str) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{pretty}{key}{pretty}:{pretty}{value}{pretty}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

fn names() -> impl Strategy<Value = (String, String)> {
    let table = (0..RELEVANCE_TABLE.len()).prop_map(|index| {
        let (source, name, _) = RELEVANCE_TABLE[index];
        (source.to_owned(), name.to_owned())
    });
    let others = prop::sample::select(vec![
        ("ec2.amazonaws.com", "DescribeInstances"),
        ("kms.amazonaws.com", "ListKeys"),
        ("s3.amazonaws.com", "GetObject"),
        ("rds.amazonaws.com", "CreateTags"),
        ("ssm.amazonaws.com", "DescribeKey"),
        ("kms.amazonaws.com.cn", "Decrypt"),
        ("ec2.amazonaws.com.cn", "RunInstances"),
        ("", "RunInstances"),
        ("ec2.amazonaws.com", "N"),
    ])
    .prop_map(|(source, name)| (source.to_owned(), name.to_owned()));
    prop_oneof![3 => table, 2 => others]
}

/// Values of `requestParameters` and other members that a hasty scan would stumble over.
fn value() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "null",
        "{}",
        "[]",
        r#"{"encryptionContext":{"aws:ebs:id":"vol-0aaaaaaaaaaaaaaaa"}}"#,
        r#"{"encryptionContext":{"aws\u003aebs:id":"vol-0aaaaaaaaaaaaaaaa"}}"#,
        r#"{"keyId":"alias/x"}"#,
        r#"{"omitted":true}"#,
        r#"{"source":"ec2-frontend-api.amazonaws.com"}"#,
        r#"{"keyId":"alias\/x"}"#,
        r#"{"granteePrincipal":"arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-0aaaaaaaaaaaaaaaa"}"#,
        r#"{"resourcesSet":{"items":[{"resourceId":"i-0aaaaaaaaaaaaaaaa"}]},"tagSet":{"items":[{"key":"karpenter.sh/nodeclaim","value":"x"}]}}"#,
        r#"{"eventName":"RunInstances","recipientAccountId":"123456789012"}"#,
        r#"[{"eventName":"RunInstances"},{"a":{"eventName":"Decrypt"}}]"#,
        r#""{\"eventName\":\"RunInstances\"}""#,
        r#""},{\"eventVersion\":\"""#,
        r#""\\""#,
        r#""\\\\\"{""#,
        r#"{"aliasName":"alias/x","targetKeyId":"11111111-2222-3333-4444-555555555555"}"#,
        "\"é{\"",
        "1.5e3",
        "true",
    ])
    .prop_map(str::to_owned);
    let long = (0usize..300).prop_map(|length| format!("\"{}\"", "N\\\"A{".repeat(length / 5 + 1)));
    let plain = (0usize..200).prop_map(|length| format!("\"{}\"", "x".repeat(length)));
    prop_oneof![4 => fixed, 1 => long, 2 => plain]
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

prop_compose! {
    fn canonical()(
        (source, name) in names(),
        second in 0u32..60,
        before in value(),
        request in value(),
        response in value(),
        service in prop::sample::select(vec![
            "",
            r#","invokedBy":"ec2-frontend-api.amazonaws.com""#,
            r#","invokedBy":"ec2-frontend\u002dapi.amazonaws.com""#,
            r#","invokedBy":"fas.s3.amazonaws.com""#,
        ]),
        has_error in prop::bool::weighted(0.2),
        account in prop::sample::select(vec!["111122223333", "444455556666"]),
    ) -> Members {
        let mut members = vec![
            ("eventVersion", quoted("1.11")),
            ("userIdentity", format!(r#"{{"type":"AssumedRole","accountId":"111122223333"{service}}}"#)),
            ("additionalEventData", before),
            ("eventTime", quoted(&format!("2026-03-02T10:00:{second:02}Z"))),
            ("eventSource", quoted(&source)),
            ("eventName", quoted(&name)),
            ("awsRegion", quoted("us-east-1")),
        ];
        if has_error {
            members.push(("errorCode", quoted("AccessDenied")));
        }
        members.extend([
            ("requestParameters", request),
            ("responseElements", response),
            ("eventID", quoted(&format!("e-{second}"))),
            ("recipientAccountId", quoted(account)),
            ("tlsDetails", r#"{"tlsVersion":"TLSv1.3"}"#.to_owned()),
        ]);
        Members(members.into_iter().map(|(key, value)| (quoted(key), value)).collect())
    }
}

/// Escapes one character of a string that holds no escape yet.
fn escape(text: &str, which: usize) -> String {
    if text.contains('\\') {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let inner = 1 + which % letters.len().saturating_sub(2).max(1);
    letters
        .iter()
        .enumerate()
        .map(|(index, letter)| {
            let is_plain = letter.is_ascii_alphanumeric() || ".:/-".contains(*letter);
            if index == inner && is_plain { format!("\\u{:04x}", *letter as u32) } else { letter.to_string() }
        })
        .collect()
}

/// A record, and whether it has a member twice.
fn mutated() -> impl Strategy<Value = String> {
    let choice = (0u32..9, any::<usize>(), any::<usize>(), names(), value());
    (
        canonical(),
        prop::collection::vec(choice, 0..3),
        prop::sample::select(vec!["", "", " ", "\n  ", "\t\r\n"]),
    )
        .prop_map(|(mut members, mutations, pretty)| {
            for (kind, one, two, (source, name), value) in mutations {
                let count = members.0.len();
                let (one_at, two_at) = (one % count, two % count);
                match kind {
                    0 => members.0.swap(one_at, two_at),
                    1 => members.0[one_at].0 = escape(&members.0[one_at].0, two),
                    2 if members.0[one_at].1.starts_with('"') && !members.0[one_at].1.contains('\\') => {
                        members.0[one_at].1 = escape(&members.0[one_at].1, two);
                    }
                    3 => members.0.insert(one_at, (quoted("eventName"), quoted(&name))),
                    // A second source that is empty makes a full parse lose a record that could be passed over.
                    4 if !source.is_empty() => {
                        members.0.insert(one_at, (quoted("eventSource"), quoted(&source)));
                    }
                    5 => members.0.insert(one_at, (escape("\"eventName\"", two), quoted(&name))),
                    6 => members.0.insert(one_at, (quoted("x"), value)),
                    7 => members.0.insert(one_at, (quoted("recipientAccountId"), quoted("123456789012"))),
                    8 => members.0.insert(one_at, (quoted("x"), quoted("eventName"))),
                    _ => {}
                }
            }
            members.text(pretty)
        })
}

/// Each record as a JSON string, which is how `lookup-events` writes it.
fn as_strings(records: &[String]) -> Vec<String> {
    records.iter().map(|record| serde_json::Value::from(record.as_str()).to_string()).collect()
}

fn read_text(text: &str) -> (Vec<u64>, crate::event::Coverage) {
    let object = SourceObject::memory("a.json", text.as_bytes().to_vec());
    let reading = read(&[object], &ReadOptions { jobs: 1, ..ReadOptions::default() }, &Quiet);
    assert!(reading.coverage.records.balance());
    (reading.events.into_iter().map(|event| event.origin.record).collect(), reading.coverage)
}

/// What a full parse makes of each record: the indexes of those to be selected, and of those lost.
fn full_parse(records: &[String]) -> (Vec<u64>, Vec<u64>) {
    let mut parser = EventParser::default();
    let (mut selected, mut lost) = (Vec::new(), Vec::new());
    for (index, record) in (0..).zip(records) {
        let origin = Origin { object: "a.json".into(), record: index };
        match parser.parse(record.as_bytes(), origin) {
            Ok(Parsed::Relevant(_)) => selected.push(index),
            Ok(Parsed::Irrelevant) => {}
            Err(_) => lost.push(index),
        }
    }
    (selected, lost)
}

/// What one pass must see, byte by byte.
fn walk(text: &[u8], start: usize) -> Scanned {
    let mut seen = Scanned { start, ..Scanned::default() };
    let (mut depth, mut in_string, mut is_escaped) = (0, false, false);
    for at in start..text.len() {
        let is_key = |key: &[u8]| {
            depth == 1
                && text[at..].starts_with(key)
                && text[at + key.len()..].trim_ascii_start().first() == Some(&b':')
        };
        let was_escaped = std::mem::take(&mut is_escaped);
        match text[at] {
            b'"' | b'\\' if was_escaped => {}
            b'\\' => is_escaped = true,
            b'"' => {
                if !in_string && is_key(b"\"eventName\"") {
                    seen.names += 1;
                    seen.name_at = at;
                }
                if !in_string && is_key(b"\"recipientAccountId\"") {
                    seen.accounts += 1;
                    seen.account_at = at;
                }
                in_string = !in_string;
            }
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    seen.end = NonZeroUsize::new(at + 1);
                    break;
                }
            }
            _ => {}
        }
    }
    let raw = &text[start..seen.end().unwrap_or(text.len())];
    seen.has_backslash = raw.contains(&b'\\');
    seen.has_non_ascii = !raw.is_ascii();
    seen
}

fn backends() -> Vec<Backend> {
    #[cfg(target_arch = "x86_64")]
    if Backend::detect() == Backend::Avx512 {
        return vec![Backend::Portable, Backend::Avx2, Backend::Avx512];
    }
    vec![Backend::Portable, Backend::detect()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn selection_keeps_exactly_what_a_full_parse_keeps(
        records in prop::collection::vec(mutated(), 1..6),
        shape in 0u32..6,
    ) {
        let text = match shape {
            0 => format!(r#"{{"Records":[{}]}}"#, records.join(",")),
            1 => format!("{{ \"a\" : 1,\n\"Records\" : [\n{}\n] ,\"b\":[{{}}]}}\n", records.join(" , ")),
            2 => records.join("\n"),
            3 => records.concat(),
            4 => format!("[ {} ]", as_strings(&records).join(",\n")),
            _ => as_strings(&records).join("\n"),
        };
        let (selected, lost) = full_parse(&records);
        let (read, coverage) = read_text(&text);
        prop_assert_eq!(&read, &selected, "{}", text);
        let losses: Vec<u64> = coverage.losses.iter().filter_map(|loss| loss.record).collect();
        // Without a single good record, an object is no log at all.
        if coverage.objects.skipped == 0 {
            prop_assert_eq!(losses, lost, "{}", text);
            prop_assert_eq!(coverage.records.read, records.len() as u64);
        }
    }

    #[test]
    fn records_before_a_cut_are_read_as_if_there_were_none(
        records in prop::collection::vec(mutated(), 1..5),
        cut in any::<prop::sample::Index>(),
        is_lines in any::<bool>(),
    ) {
        let (head, separator) = if is_lines { ("", "\n") } else { (r#"{"Records":["#, ",") };
        let text = format!("{head}{}", records.join(separator));
        let mut cut = cut.index(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut at = head.len();
        let whole: Vec<String> = records
            .iter()
            .take_while(|record| {
                at += record.len() + separator.len();
                at - separator.len() <= cut
            })
            .cloned()
            .collect();
        let (selected, _) = full_parse(&whole);
        let (read, _) = read_text(&text[..cut]);
        // A cut line may leave a shorter value that is whole again; before it, nothing may be missing.
        prop_assert!(read.starts_with(&selected), "{read:?} {selected:?} {}", &text[..cut]);
        prop_assert!(read.len() <= selected.len() + 1);
    }

    #[test]
    fn scans_see_what_a_walk_sees(record in mutated(), before in 0usize..70, after in ".{0,80}") {
        let text = format!("{}{record}{after}", " ".repeat(before));
        let expected = walk(text.as_bytes(), before);
        for backend in backends() {
            let mut scanned = *Scanner::new(backend).object(text.as_bytes(), before, usize::MAX);
            // These two may be true for what stands in the same block.
            prop_assert!(scanned.has_backslash || !expected.has_backslash);
            prop_assert!(scanned.has_non_ascii || !expected.has_non_ascii);
            scanned.has_backslash = expected.has_backslash;
            scanned.has_non_ascii = expected.has_non_ascii;
            prop_assert_eq!(scanned, expected, "{:?} {}", backend, text);
        }
    }

    #[test]
    fn any_bytes_scan_alike_everywhere_and_never_panic(
        bytes in prop::collection::vec(prop::sample::select(br#"{}"\Nx:e"#.to_vec()), 0..400),
    ) {
        let mut text = b"{".to_vec();
        text.extend(bytes);
        let expected = *Scanner::new(Backend::Portable).object(&text, 0, usize::MAX);
        for backend in backends() {
            prop_assert_eq!(*Scanner::new(backend).object(&text, 0, usize::MAX), expected);
        }
    }

    #[test]
    fn any_text_is_read_without_panic_and_accounted_for(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", "\"", "\\", "\n", " ", ":", "\"Records\"", "\"Events\"", "{\"Records\":[", "]}",
            "{\"eventVersion\":", "\"CloudTrailEvent\":\"{}\"", "\"{\\\"eventVersion\\\":1}\"", "\"{", "1", "null", "2026-03-02T10:00:00Z ", "é", "\u{1e}",
            "{\"eventTime\":\"2026-03-02T10:00:00Z\",\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"RunInstances\"}",
        ]), 0..60),
        record_bytes_max in prop::sample::select(vec![8usize, 40, 1 << 20]),
    ) {
        let text = pieces.concat();
        let objects = [
            SourceObject::memory("a.json", text.as_bytes().to_vec()),
            SourceObject::memory("a.json.gz", super::gzip(text.as_bytes())),
            SourceObject::memory("a.json.zst", zstd::encode_all(text.as_bytes(), 1).expect("memory")),
        ];
        let options = ReadOptions { jobs: 1, record_bytes_max };
        let coverages: Vec<_> = objects
            .iter()
            .map(|object| read(std::slice::from_ref(object), &options, &Quiet).coverage)
            .collect();
        for coverage in &coverages {
            prop_assert!(coverage.records.balance());
            prop_assert_eq!(coverage.records, coverages[0].records);
            prop_assert_eq!(coverage.objects, coverages[0].objects);
            prop_assert_eq!(coverage.losses.len(), coverages[0].losses.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn one_object_after_another_is_scanned_as_if_each_stood_alone(
        pieces in prop::collection::vec(
            prop_oneof![
                6 => mutated(),
                2 => prop::sample::select(vec!["{}", "{\"a\":{\"b\":{}}}", "{\"a\":[{},{}]}"]).prop_map(str::to_owned),
                1 => prop::sample::select(vec!["}", "]}", "\"", "\\", "{", "{\"a\":\"", "1", "\"N\""]).prop_map(str::to_owned),
                1 => (0usize..20_000).prop_map(|length| format!("{{\"long\":\"{}\"}}", "}".repeat(length))),
            ],
            1..10,
        ),
        separator in prop::sample::select(vec![",", "", "\n", " , "]),
    ) {
        let text = pieces.join(separator);
        let starts = pieces.iter().scan(0, |at, piece| {
            let start = *at;
            *at += piece.len() + separator.len();
            Some(start)
        });
        let starts: Vec<usize> = starts.filter(|start| text.as_bytes().get(*start) == Some(&b'{')).collect();
        for backend in backends() {
            let mut scanner = Scanner::new(backend);
            for start in &starts {
                let expected = walk(text.as_bytes(), *start);
                let mut scanned = *scanner.object(text.as_bytes(), *start, usize::MAX);
                prop_assert!(scanned.has_backslash || !expected.has_backslash);
                prop_assert!(scanned.has_non_ascii || !expected.has_non_ascii);
                scanned.has_backslash = expected.has_backslash;
                scanned.has_non_ascii = expected.has_non_ascii;
                prop_assert_eq!(scanned, expected, "{:?} from {} of {}", backend, start, text);
            }
        }
    }

    #[test]
    fn text_in_pieces_is_read_as_in_one(
        pieces in prop::collection::vec(
            prop_oneof![
                4 => prop::sample::select(vec![
                    "{\"Records\":[", "[", "]", "]}", "}", "{", ",", "\"", "\\", "\n", " ", "x", "1", "{}", "{\"a\":}", "{\"a\" 1}",
                    "{\"eventVersion\":", "é",
                ]).prop_map(str::to_owned),
                1 => mutated(),
            ],
            0..24,
        ),
        piece_bytes in 1usize..60,
    ) {
        // So much is read at once in any case.
        let text = format!("{}{}", " ".repeat(64 << 10), pieces.concat());
        let options = ReadOptions { jobs: 1, ..ReadOptions::default() };
        let read_one = |object: SourceObject| read(&[object], &options, &Quiet);
        let whole = read_one(SourceObject::memory("a.json", text.as_bytes()));
        let parts = read_one(stream_in_pieces(text.clone().into_bytes(), piece_bytes));
        prop_assert_eq!(&whole.events, &parts.events, "{}", text.trim_start());
        prop_assert_eq!(&whole.coverage, &parts.coverage, "{}", text.trim_start());
    }
}
