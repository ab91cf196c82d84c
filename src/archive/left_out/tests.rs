use super::{ExtractPart, elements, parse};
use crate::archive::{Quiet, ReadOptions, read};
use crate::event::{Coverage, Loss, LossKind};
use crate::source::SourceObject;

fn coverage() -> Coverage {
    let mut coverage = Coverage::default();
    coverage.objects.read = 3;
    coverage.objects.failed = 1;
    coverage.records.read = 12;
    coverage.records.passed_over = 7;
    coverage.records.duplicate = 4;
    coverage.records.lost = 1;
    for record in 0..4_321 {
        coverage.losses.push(Loss {
            object: "logs/\u{1b}[31mé.json.gz".into(),
            record: Some(record),
            kind: LossKind::InvalidJson,
            detail: "no JSON \"here\"".to_owned(),
        });
        let scope = (format!("{}", 111_122_223_333 + record % 7).into(), "us-east-1".into());
        let second = 1_700_000_000 + i64::try_from(record).expect("small") * 3_600;
        coverage.scopes.entry(scope).or_default().note(second, record % 2 == 0);
    }
    coverage.selections.insert(("111122223333".into(), "us-east-1".into()));
    coverage
}

#[test]
fn what_is_written_is_read_back_from_pieces_of_bounded_size() {
    let place = ExtractPart { extract: "e", part: 3, parts: Some(4) };
    let mut sum = Coverage::default();
    let elements = elements(&coverage(), place);
    assert!(elements.len() >= 5, "{}", elements.len());
    for element in elements {
        assert!(element.len() < 1 << 20, "{}", element.len());
        let read = parse(&element).expect("its own form");
        assert_eq!((&*read.extract, read.part, read.parts), ("e", 3, Some(4)));
        sum.merge(read.coverage);
    }
    assert_eq!(sum, coverage());
}

#[test]
fn what_cannot_be_true_is_refused() {
    let element = |records: &str, hours: &str| {
        format!(
            r#"{{"keytrailLeftOut":1,"extract":"e","part":1,"objects":{{"read":1,"skipped":0,"failed":0}},"records":{records},"losses":[],"scopes":[{{"account_id":"a","region":"r","kms_events_seen":true,"hours":{hours}}}]}}"#
        )
    };
    let none = r#"{"passed_over":0,"duplicate":0,"lost":0}"#;
    assert!(parse(element(none, "[[3600,3700,2]]").as_bytes()).is_ok());
    for (records, hours) in [
        (r#"{"passed_over":18446744073709551615,"duplicate":0,"lost":0}"#, "[]"),
        (r#"{"passed_over":-1,"duplicate":0,"lost":0}"#, "[]"),
        (r#"{"passed_over":1}"#, "[]"),
        (none, "[[3600,7300,2]]"),
        (none, "[[3700,3600,2]]"),
        (none, "[[9223372036854775807,9223372036854775807,1]]"),
        (none, "[[-9223372036854775808,-9223372036854775808,1]]"),
        (none, "[[3600,3600,18446744073709551615]]"),
    ] {
        assert!(parse(element(records, hours).as_bytes()).is_err(), "{records} {hours}");
    }
    let newer = element(none, "[]").replace(r#""keytrailLeftOut":1"#, r#""keytrailLeftOut":2"#);
    let error = parse(newer.as_bytes()).expect_err("another version").to_string();
    assert!(error.contains("newer keytrail"), "{error}");
}

fn coverage_of(text: &str) -> Coverage {
    let object = SourceObject::memory("part.json", text.as_bytes());
    let coverage = read(&[object], &ReadOptions::default(), &Quiet).coverage;
    assert!(coverage.records.balance(), "{:?}", coverage.records);
    coverage
}

const RECORD: &str = r#"{"eventVersion":"1.09","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"eventTime":"2026-03-02T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"us-east-1","sourceIPAddress":"ec2.amazonaws.com","userAgent":"ec2.amazonaws.com","requestParameters":PARAMETERS,"responseElements":null,"requestID":"r","eventID":"e","eventType":"AwsApiCall","recipientAccountId":"111122223333"}"#;
const ELEMENT: &str = r#"{"keytrailLeftOut":1,"extract":"e","part":1,"parts":1,"objects":{"read":5,"skipped":2,"failed":0},"records":{"passed_over":90,"duplicate":0,"lost":0},"losses":[],"scopes":[]}"#;

#[test]
fn an_object_of_an_extract_covers_what_its_source_covered() {
    let text =
        format!(r#"{{"Records":[{}],"keytrailExtract":[{ELEMENT}]}}"#, RECORD.replace("PARAMETERS", "null"));
    let coverage = coverage_of(&text);
    assert_eq!((coverage.objects.read, coverage.objects.skipped), (5, 2));
    assert_eq!((coverage.records.read, coverage.records.selected), (91, 1));
    assert_eq!(coverage.losses, []);
}

#[test]
fn what_stands_inside_a_record_says_nothing_of_an_extract() {
    for parameters in [ELEMENT.to_owned(), format!(r#"{{"keytrailExtract":[{ELEMENT}]}}"#)] {
        let record = RECORD.replace("PARAMETERS", &parameters);
        for text in [format!(r#"{{"Records":[{record}]}}"#), record.clone(), format!("[{record}]")] {
            let coverage = coverage_of(&text);
            assert_eq!((coverage.objects.read, coverage.records.read), (1, 1), "{text}");
        }
        // A record that carries the mark itself is a record.
        let marked = record.replacen('{', r#"{"keytrailLeftOut":1,"keytrailManifest":"end","#, 1);
        let coverage = coverage_of(&format!(r#"{{"Records":[{marked}]}}"#));
        assert_eq!((coverage.objects.read, coverage.records.selected), (1, 1));
    }
}

#[test]
fn an_account_that_cannot_be_read_is_a_loss_beside_its_records() {
    let record = RECORD.replace("PARAMETERS", "null");
    for element in [
        r#"{"keytrailLeftOut":1}"#.to_owned(),
        r#"{"keytrailLeftOut":"x"}"#.to_owned(),
        ELEMENT.replace(r#""keytrailLeftOut":1"#, r#""keytrailLeftOut":7"#),
        ELEMENT.replace("90", "99999999999999999999"),
        ELEMENT.replace(r#""read":5"#, r#""read":18446744073709551615"#),
    ] {
        let coverage = coverage_of(&format!(r#"{{"Records":[{record}],"keytrailExtract":[{element}]}}"#));
        assert_eq!(coverage.records.selected, 1);
        let kinds: Vec<_> = coverage.losses.iter().map(|loss| loss.kind).collect();
        assert_eq!(kinds, [LossKind::IncompleteExtract], "{element}");
    }
}

#[test]
fn many_lies_of_large_counts_do_not_overflow() {
    let element =
        ELEMENT.replace("90", &(1u64 << 40).to_string()).replace(r#""read":5"#, r#""read":1099511627776"#);
    let elements = vec![element; 1_000].join(",");
    let coverage = coverage_of(&format!(r#"{{"Records":[],"keytrailExtract":[{elements}]}}"#));
    assert_eq!(coverage.records.passed_over, 1_000 << 40);
}

#[test]
fn a_manifest_cut_anywhere_is_no_whole_extract() {
    let begin = r#"{"keytrailManifest":"begin","version":1,"extract":"e"}"#;
    let whole = format!("{begin}\n{{\"keytrailManifest\":\"end\",\"extract\":\"e\",\"parts\":0}}\n");
    assert_eq!(coverage_of(&whole).losses, []);
    for cut in begin.len()..whole.len() - 1 {
        let losses = coverage_of(&whole[..cut]).losses;
        assert!(losses.iter().any(|loss| loss.kind == LossKind::IncompleteExtract), "{cut}: {losses:?}");
    }
}
