//! Shapes, partitions, copies and amendments of records.

use super::record::*;
use crate::correlate::{Case, Evidence, Question, correlate};
use crate::event::Coverage;

const A: &str = "i-0a";

fn duplicates(records: &[Record]) -> u64 {
    Evidence::gather(events(records)).duplicates
}

fn says_of(records: &[Record]) -> String {
    says(&case(records), A)
}

#[test]
fn other_partitions() {
    for (partition, region, suffix) in [("aws-cn", "cn-north-1", ".cn"), ("aws-us-gov", "us-gov-west-1", "")]
    {
        let text = |record: &Record, number: usize| {
            let text = record.text(number).replace("arn:aws:", &format!("arn:{partition}:"));
            text.replace("us-east-1", region)
                .replace(".amazonaws.com\"", &format!(".amazonaws.com{suffix}\""))
        };
        for (key, verdict) in [(KEY, "match"), (OTHER, "mismatch")] {
            for written in [KEY, KEY_ID] {
                let records =
                    all(&[&[configured(written), launch(0, &[A], "r1")], &opened(1, "vol-0a", A, key, "r1")]);
                let texts: Vec<String> =
                    records.iter().enumerate().map(|(number, record)| text(record, number)).collect();
                let case = case_of_texts(&texts);
                assert_eq!(says(&case, A).split(' ').next(), Some(verdict), "{partition} {written}");
                assert_eq!(node(&case, A).region.as_ref(), region);
            }
        }
        let denied = [launch(0, &[A], "r1"), refused(1, "CreateGrant", KEY, "k1")];
        let texts: Vec<String> =
            denied.iter().enumerate().map(|(number, record)| text(record, number)).collect();
        assert_eq!(says(&case_of_texts(&texts), A), "denied unknown [] kms-denied?", "{partition}");
    }
}

fn case_of_texts(texts: &[String]) -> Case {
    use crate::event::{EventParser, Origin, Parsed};
    let mut parser = EventParser::default();
    let events = texts
        .iter()
        .filter_map(|text| match parser.parse(text.as_bytes(), Origin { object: "log".into(), record: 0 }) {
            Ok(Parsed::Relevant(event)) => Some(event),
            Ok(Parsed::Irrelevant) => None,
            Err(error) => panic!("{error}: {text}"),
        })
        .collect();
    correlate(Evidence::gather(events), Coverage::default(), &Question::default())
}

#[test]
fn capitalised_members() {
    let records =
        [configured(KEY), launch(0, &[A], "r1"), grant(1, "vol-0a", A, KEY, "r1"), evicted(60, &[A])];
    let texts: Vec<String> = records
        .iter()
        .enumerate()
        .map(|(number, record)| {
            record
                .text(number)
                .replace("requestParameters", "RequestParameters")
                .replace("responseElements", "ResponseElements")
                .replace("\"resources\":[{\"accountId", "\"Resources\":[{\"accountId")
        })
        .collect();
    assert_eq!(says(&case_of_texts(&texts), A), "match configured [KEY] spot-interruption");
}

#[test]
fn omitted_fields_are_not_known_and_not_fatal() {
    let omitted = r#"{"omitted":true}"#;
    let template = configured(KEY).asks(omitted);
    let used = opened(1, "vol-0a", A, KEY, "r1");
    assert_eq!(says_of(&all(&[&[template, launch(0, &[A], "r1")], &used])), "no-expectation unknown [KEY] -");
    let data = r#"{"CreateLaunchTemplateRequest":{"LaunchTemplateName":"karpenter.k8s.aws/1","LaunchTemplateData":{"omitted":true}}}"#;
    let template = configured(KEY).asks(data);
    assert_eq!(says_of(&all(&[&[template, launch(0, &[A], "r1")], &used])), "no-expectation unknown [KEY] -");
    let launch = launch(0, &[A], "r1").answers(omitted);
    assert_eq!(case(&[launch]).nodes.len(), 0);
}

#[test]
fn of_two_copies_the_one_that_says_more_counts() {
    let whole = launch(0, &[A], "r1").event_id("same");
    let cut = whole.clone().answers(r#"{"omitted":true}"#);
    for copies in [[whole.clone(), cut.clone()], [cut, whole]] {
        let records = all(&[&[configured(KEY)], &copies, &opened(1, "vol-0a", A, OTHER, "r1")]);
        assert_eq!(says_of(&records), "mismatch unknown [OTHER] -");
        assert_eq!(duplicates(&records), 1);
    }
}

#[test]
fn exact_copies_count_once() {
    let records =
        all(&[&[configured(KEY), launch(0, &[A], "r1").event_id("l")], &opened(1, "vol-0a", A, KEY, "r1")]);
    let doubled = all(&[&records, &[launch(0, &[A], "r1").event_id("l")]]);
    assert_eq!(duplicates(&doubled), 1);
    assert_eq!(says_of(&doubled), says_of(&records));
}

#[test]
fn one_event_id_in_two_accounts_is_two_records() {
    let here = grant(1, "vol-0a", A, KEY, "r1").event_id("same");
    let there = here.clone().received_by(OTHER_ACCOUNT);
    let records = [configured(KEY), launch(0, &[A], "r1"), here, there];
    assert_eq!(duplicates(&records), 0);
    assert_eq!(says_of(&records), "match configured [KEY] -");
}

#[test]
fn an_amendment_takes_the_place_of_what_it_amends() {
    let first = grant(1, "vol-0a", A, OTHER, "r1").event_id("first");
    let addendum = r#","addendum":{"reason":"UPDATED_DATA","updatedFields":"requestParameters,resources","originalRequestID":"r1","originalEventID":"first"}"#;
    for id in ["second", "first"] {
        let second = grant(1, "vol-0a", A, KEY, "r1").event_id(id).more(addendum);
        let records = [configured(KEY), launch(0, &[A], "r1"), first.clone(), second];
        assert_eq!(says_of(&records), "match configured [KEY] -", "{id}");
    }
    let late = grant(1, "vol-0a", A, OTHER, "r1")
        .event_id("first")
        .more(r#","addendum":{"reason":"DELIVERY_DELAY"}"#);
    assert_eq!(says_of(&[configured(KEY), launch(0, &[A], "r1"), late]), "mismatch unknown [OTHER] -");
}

#[test]
fn an_amendment_in_one_account_leaves_the_record_of_another() {
    let here = grant(1, "vol-0a", A, KEY, "r1").event_id("same");
    let there = here
        .clone()
        .received_by(OTHER_ACCOUNT)
        .event_id("other")
        .more(r#","addendum":{"reason":"UPDATED_DATA","originalEventID":"same"}"#);
    let gathered = Evidence::gather(events(&[here, there]));
    assert_eq!(gathered.events.len(), 2);
}

#[test]
fn numbers_and_flags_written_as_text_and_the_other_way_round() {
    let number = launch_with(0, &[A], "r1", r#""launchTemplate":{"launchTemplateId":"lt-0a","version":1},"#);
    let template = configured(KEY);
    let text = template.text(0).replace("\"Encrypted\":true", "\"Encrypted\":\"true\"");
    let records = all(&[&[number], &opened(1, "vol-0a", A, KEY, "r1")]);
    let mut texts: Vec<String> =
        records.iter().enumerate().map(|(index, record)| record.text(index + 1)).collect();
    texts.push(text);
    assert_eq!(says(&case_of_texts(&texts), A), "match configured [KEY] -");
}

#[test]
fn hostile_values_are_no_panic() {
    for value in ["[]", "{}", "1", "true", "\"\"", "[[[]]]", "[null]", r#"{"items":{"items":{"items":[1]}}}"#]
    {
        let records = [
            configured(KEY).asks(value).answers(value),
            launch(0, &[A], "r1").asks(value).answers(value),
            fleet(0, value, value),
            fleet(0, &fleet_item(value), value),
            template(0, "lt-0a", value),
            registered(0, A).asks(value),
            terminate(0, A, "running").asks(value).answers(value),
            grant(1, "vol-0a", A, KEY, "r1").asks(value).answers(value),
            Record::new(0, "eks", "CreateCluster").asks(value),
            Record::new(0, "kms", "CreateAlias").asks(value),
            Record::new(0, "kms", "PutKeyPolicy").asks(value),
        ];
        let _ = case(&records);
    }
}
