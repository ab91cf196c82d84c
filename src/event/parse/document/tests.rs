//! What the quick reader gives is what simd-json gives; the two are compared on records and on what damage makes of
//! them.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::plain::{self, Quotes};
use super::{Document, DocumentReader, Kind, Parts};
use crate::event::parse::name::Spelled;

/// Every value with its kind, name, text and extent.
fn described(document: &Document<'_>) -> Vec<(Kind, Spelled, String, String, u32)> {
    document
        .entries
        .iter()
        .map(|entry| {
            let (key, text) = (document.key(entry).to_owned(), document.text(entry).to_owned());
            (entry.kind, entry.name, key, text, entry.next)
        })
        .collect()
}

fn shown(document: &Document<'_>) -> String {
    format!("{:?} {}", described(document), document.json_text(0))
}

/// What the quick reader says.
fn quick(raw: &[u8]) -> Option<String> {
    let (mut quotes, mut parts) = (Vec::new(), Parts::default());
    let text = plain::prepare(raw, &mut quotes)?;
    plain::read(raw, Quotes::new(&quotes), &mut parts)?;
    Some(shown(&parts.document(text)))
}

/// What the quick reader says, and what simd-json says.
fn both(raw: &[u8]) -> (Option<String>, Option<String>) {
    let mut reader = DocumentReader::default();
    let careful = reader.read_carefully(raw).ok().map(|document| shown(&document));
    (quick(raw), careful)
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
    let count = records.iter().filter(|raw| quick(raw).is_some()).count();
    assert!(count * 10 > records.len() * 9, "{count} of {}", records.len());
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

/// The shape by which `reader` would read `raw`, if it knows one.
fn known_shape(reader: &DocumentReader, raw: &[u8]) -> Option<u32> {
    let mut quotes = Vec::new();
    plain::prepare(raw, &mut quotes)?;
    reader.shapes.find(raw, Quotes::new(&quotes), &mut Vec::new())
}

#[test]
fn a_shape_is_all_but_texts_and_numbers() {
    let mut reader = DocumentReader::default();
    let known = r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678"}}"#;
    assert_eq!(known_shape(&reader, known.as_bytes()), None);
    reader.read(known.as_bytes()).expect("JSON");
    for alike in [
        known,
        r#"{"a":"","b":[-234,"longer than the other was",{"c":null}],"d":{"e":true,"f":"}]"}}"#,
        r#"{"a":",","b":[0,"{:[",{"c":null}],"d":{"e":true,"f":""}}"#,
    ] {
        assert!(known_shape(&reader, alike.as_bytes()).is_some(), "{alike}");
        assert_eq!(reader.read(alike.as_bytes()).ok().map(|found| shown(&found)), both(alike.as_bytes()).1);
    }
    for other in [
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":false,"f":"12345678"}}"#,
        r#"{"A":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678"}}"#,
        r#"{"a":1,"b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678"}}"#,
        r#"{"a":"x","b":["1","",{"c":null}],"d":{"e":true,"f":"12345678"}}"#,
        r#"{"a":"x","b":[1.5,"",{"c":null}],"d":{"e":true,"f":"12345678"}}"#,
        r#"{"a":"x","b":[01,"",{"c":null}],"d":{"e":true,"f":"12345678"}}"#,
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678"}}}"#,
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678"}"#,
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"1234"5678"}}"#,
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"1234\"5678"}}"#,
        r#"{"a":"x","b":[1,"",{"c":null}],"d":{"e":true,"f":"12345678","g":0}}"#,
    ] {
        assert_eq!(known_shape(&reader, other.as_bytes()), None, "{other}");
        let careful =
            DocumentReader::default().read_carefully(other.as_bytes()).ok().map(|found| shown(&found));
        // Some begin alike: reading one after the other mixes nothing up.
        assert_eq!(reader.read(other.as_bytes()).ok().map(|found| shown(&found)), careful, "{other}");
        let known_shown = quick(known.as_bytes());
        assert_eq!(reader.read(known.as_bytes()).ok().map(|found| shown(&found)), known_shown, "{other}");
    }
}

#[test]
fn however_many_shapes_there_are_only_some_are_remembered() {
    let mut reader = DocumentReader::default();
    for number in 0..10_000 {
        let json = format!(r#"{{"a{number}":"x","b":{number}}}"#);
        let document = reader.read(json.as_bytes()).expect("JSON");
        assert_eq!(document.json_text(0), json);
        assert!(known_shape(&reader, json.as_bytes()).is_some());
    }
    let first = br#"{"a0":"x","b":0}"#;
    assert_eq!(known_shape(&reader, first), None);
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    reader.read(long.as_bytes()).expect("JSON");
    assert_eq!(known_shape(&reader, long.as_bytes()), None);
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
        // Neither do records read before, of the same shape or nearly so, change anything.
        let mut seasoned = DocumentReader::default();
        for record in [which.get(records), &raw, &raw] {
            let careful = DocumentReader::default().read_carefully(record).ok().map(|document| shown(&document));
            let read = seasoned.read(record).ok().map(|document| shown(&document));
            prop_assert!(read == careful, "{}", String::from_utf8_lossy(record));
        }
    }
}
