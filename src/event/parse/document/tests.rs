//! What the quick reader gives is what simd-json gives; the two are compared on records and on what damage makes of
//! them.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::{Document, DocumentReader, Kind, plain};

/// Every value with its kind, name, text and extent.
fn described(document: &Document<'_>) -> Vec<(Kind, String, String, u32)> {
    document
        .entries
        .iter()
        .map(|entry| {
            (entry.kind, document.key(entry).to_owned(), document.text(entry).to_owned(), entry.next)
        })
        .collect()
}

/// What the quick reader says, and what simd-json says.
fn both(raw: &[u8]) -> (Option<String>, Option<String>) {
    let shown = |document: &Document<'_>| format!("{:?} {}", described(document), document.json_text(0));
    let mut entries = Vec::new();
    let quick = plain::read(raw, &mut entries, &mut Vec::new())
        .map(|text| shown(&Document { entries: &entries, text }));
    let mut reader = DocumentReader::default();
    let careful = reader.read_carefully(raw).ok().map(|document| shown(&document));
    (quick, careful)
}

static RECORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/event");
    let mut records: Vec<Vec<u8>> = std::fs::read_dir(directory)
        .expect("the seeds")
        .map(|file| std::fs::read(file.expect("a seed").path()).expect("a seed").trim_ascii_end().to_vec())
        .collect();
    records.sort();
    records
});

#[test]
fn records_as_cloudtrail_writes_them_are_read_in_one_pass() {
    let records = &*RECORDS;
    let quick =
        records.iter().filter(|raw| plain::read(raw, &mut Vec::new(), &mut Vec::new()).is_some()).count();
    assert!(quick * 10 > records.len() * 9, "{quick} of {}", records.len());
    for raw in records {
        let (quick, careful) = both(raw);
        assert!(careful.is_some());
        assert!(quick.is_none() || quick == careful, "{}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn what_is_unusual_is_left_to_simd_json_and_what_is_not_is_read() {
    for (json, is_quick) in [
        (r#"{}"#, true),
        (r#"[]"#, true),
        (r#"{"a":[],"b":{},"c":[{}],"d":[[],[1]]}"#, true),
        (r#"{"a":null,"b":true,"c":false,"d":0,"e":-7,"f":123456789012345678,"g":""}"#, true),
        (r#"{"a":1,"a":2,"A":{"a":3}}"#, true),
        (r#"{"":{"":[""]}}"#, true),
        (r#""text""#, true),
        (r#"{ "a":1}"#, false),
        (r#"{"a":1} "#, false),
        ("{\"a\":\n1}", false),
        (r#"{"a":1.5}"#, false),
        (r#"{"a":1e3}"#, false),
        (r#"{"a":-0}"#, false),
        (r#"{"a":1234567890123456789}"#, false),
        (r#"{"a":18446744073709551615,"b":18446744073709551616}"#, false),
        (r#"{"a":"\u0041\n"}"#, false),
        (r#"{"a\"":"ä"}"#, false),
        (r#"{"ä":"日本"}"#, true),
    ] {
        let (quick, careful) = both(json.as_bytes());
        assert!(careful.is_some(), "{json}");
        assert_eq!(quick.is_some(), is_quick, "{json}");
        assert!(quick.is_none() || quick == careful, "{json}: {quick:?} {careful:?}");
    }
    let deep = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(both(deep(33).as_bytes()).0.is_some());
    assert!(both(deep(34).as_bytes()).0.is_none());
}

#[test]
fn text_that_is_no_json_is_no_document() {
    for json in [
        "",
        "{",
        "}",
        "[",
        "{]",
        "[}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "[1,]",
        "[,1]",
        r#"{,"a":1}"#,
        r#"{"a":1}}"#,
        r#"{"a":1}{}"#,
        r#"{a:1}"#,
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":1.}"#,
        r#"{"a":+1}"#,
        r#"{"a":tru}"#,
        r#"{"a":nul"#,
        r#"{"a":truex}"#,
        r#"{"a":1x}"#,
        r#"{"a":"x}"#,
        r#"{"a":"b""c":1}"#,
        r#"{"a":[1 2]}"#,
        r#"["a":1]"#,
        r#"{"a",1}"#,
        "{\"a\":\"\t\"}",
        "{\"a\":\"\u{1}\"}",
        "1 2",
    ] {
        assert_eq!(both(json.as_bytes()).0, None, "{json}");
        assert!(DocumentReader::default().read(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn json_text_is_written_however_deep_it_is() {
    // simd-json goes no deeper than 1,024.
    let deep = 1_000;
    let json = [r#"{"policy":"#, &"[".repeat(deep), &"]".repeat(deep), "}"].concat();
    let mut reader = DocumentReader::default();
    let document = reader.read(json.as_bytes()).expect("JSON");
    assert_eq!(document.json_text(0), json);
    let escaped = r#"{"a\"b":["\\",1.5,{"c":[]},{}],"d":"é"}"#;
    assert_eq!(reader.read(escaped.as_bytes()).expect("JSON").json_text(0), escaped);
}

/// Bytes put into a record, or in place of some of it.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\\"",
            "\\u0041",
            " ",
            "\n",
            "0",
            "-",
            "1",
            ".5",
            "e1",
            "null",
            "true",
            "false",
            "\"a\":",
            "\"a\":1,",
            "{\"a\":[]},",
            "é",
            "\u{7f}",
            "",
            "\"\"",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_readers_agree_on_damaged_records(
        which in any::<proptest::sample::Index>(),
        damages in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..6, piece()), 0..4),
    ) {
        let records = &*RECORDS;
        let mut raw = which.get(records).clone();
        for (place, removed, piece) in damages {
            let at = place.index(raw.len() + 1);
            let end = (at + removed).min(raw.len());
            raw.splice(at..end, piece);
        }
        let (quick, careful) = both(&raw);
        prop_assert!(quick.is_none() || quick == careful, "{}", String::from_utf8_lossy(&raw));
    }
}
