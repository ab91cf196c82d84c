//! Explanations of hand-made cases, one of them an attacker's.

use serde_json::Value;

use super::{
    ExplanationDocument, Subject, SubjectError, explain, find_subject, write_explanation,
    write_explanation_json, write_explanation_markdown, write_explanation_schema,
};
use crate::correlate::Case;
use crate::report::document::schema_of;
use crate::report::incident::{
    self, HOSTILE, RIGHT_KEY, WRONG_KEY, case, findings, hostile_case, hostile_findings,
};
use crate::report::style::width;
use crate::report::{Layout, Style, Tool, is_hazardous};
use crate::rules::{Document, Finding, Remediation};

const TOOL: Tool<'static> = Tool { name: "keytrail", version: "0.1.0" };
const DENIED: &str = "i-0cccccccccccccccc";

fn written(
    case: &Case,
    findings: &[Finding],
    given: &str,
    write: impl Fn(&mut Vec<u8>, &super::Explanation),
) -> String {
    let subject = find_subject(case, given).unwrap_or_else(|error| panic!("{given}: {error}"));
    let mut bytes = Vec::new();
    write(&mut bytes, &explain(case, findings, &subject, given));
    String::from_utf8(bytes).expect("UTF-8")
}

fn screen(case: &Case, findings: &[Finding], given: &str) -> String {
    written(case, findings, given, |out, explanation| {
        let layout = Layout { columns: Some(80), style: Style::plain() };
        write_explanation(out, explanation, layout).expect("memory does not fail");
    })
}

fn markdown(case: &Case, findings: &[Finding], given: &str) -> String {
    written(case, findings, given, |out, explanation| {
        write_explanation_markdown(out, explanation).expect("memory does not fail");
    })
}

fn json(case: &Case, findings: &[Finding], given: &str) -> String {
    written(case, findings, given, |out, explanation| {
        write_explanation_json(out, explanation, TOOL).expect("memory does not fail");
    })
}

/// The text of a section of the screen, without its heading.
fn section<'a>(screen: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        screen.split_once(&format!("\n{heading}")).unwrap_or_else(|| panic!("no {heading}: {screen}"));
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    rest.split_once("\n\n").map_or(rest, |(section, _)| section)
}

#[test]
fn a_refused_node_is_told_from_what_it_is_to_the_fix() {
    let text = screen(&case(), &findings(), DENIED);
    let headings = ["Node ", "VERDICT", "CAUSE", "TIMELINE (UTC)", "KEYS", "RULED OUT", "FIX", "EVIDENCE"];
    let found: Vec<usize> = headings
        .iter()
        .map(|heading| text.find(heading).unwrap_or_else(|| panic!("{heading}: {text}")))
        .collect();
    assert!(found.is_sorted(), "{found:?}");
    assert!(
        text.contains("  ended      2026-03-02 10:05:02 UTC, lived 2s, kms-denied (observed)\n"),
        "{text}"
    );
    assert_eq!(
        section(&text, "VERDICT"),
        "  denied: KMS refused kms:CreateGrant on key 11111111… to\n  KarpenterControllerRole-demo: no \
         identity-based policy allows it.\n  It died of that; KMS refused 2s after its launch, and the archive does not log\n  the end itself."
    );
    assert_eq!(
        section(&text, "CAUSE"),
        "  KT101 critical, observed: KMS refused kms:CreateGrant to\n    KarpenterControllerRole-demo\n      \
         Neither the role nor the key policy allows it.\n      evidence [1]"
    );
    assert!(section(&text, "TIMELINE").contains("  10:05:02      +2s  ✗  KMS refused CreateGrant"), "{text}");
    assert_eq!(section(&text, "RULED OUT"), "  - an explicit deny: the message names none");
    assert!(section(&text, "NOT IN THE ARCHIVE").contains("(KT503)"), "{text}");
    assert!(text.contains("    --- iam-json\n    {\n      \"Effect\": \"Allow\"\n    }\n"), "{text}");
    assert!(text.contains("    [1]   record 4     00000004-0000-4000-8000-000000000000\n"), "{text}");
    assert!(
        text.contains("3210 records in 12 objects read, 2 losses: what they held is not known"),
        "{text}"
    );
}

#[test]
fn a_finding_of_another_node_is_not_told() {
    let text = screen(&case(), &findings(), "i-0bbbbbbbbbbbbbbbb");
    assert!(!text.contains("KT101"), "{text}");
    assert!(!text.contains("\nFIX"), "{text}");
    assert_eq!(
        section(&text, "VERDICT"),
        "  mismatch: The volume of its launch is under another key: 99999999…, the\n  account's default key for \
         EBS, instead of 11111111….\n  The archive shows no end of it."
    );
    assert!(section(&text, "KEYS").contains("  used     ≠  vol-0bbbbbbbbbbbbbbbb: key 99999999…"), "{text}");
}

#[test]
fn without_findings_the_end_and_the_volumes_speak() {
    let text = screen(&case(), &[], DENIED);
    assert!(
        section(&text, "CAUSE").starts_with("  observed: It died of that; KMS refused 2s after its launch"),
        "{text}"
    );
    let text = screen(&case(), &[], "i-0aaaaaaaaaaaaaaaa");
    assert!(
        section(&text, "CAUSE")
            .starts_with("  observed: EC2 took the spot capacity back 30m00s after its launch"),
        "{text}"
    );
    assert!(section(&text, "TIMELINE").contains("+0s  ★  EC2 made the instance"), "{text}");
    assert!(section(&text, "TIMELINE").contains("+30m00s  †  EC2 took the spot capacity back"), "{text}");
}

#[test]
fn a_node_without_a_launch_is_unknown_and_has_no_deltas() {
    let text = screen(&case(), &[], "i-0dddddddddddddddd");
    assert!(text.contains("  launched   not in the archive\n"), "{text}");
    assert!(
        section(&text, "VERDICT").starts_with("  unknown: The archive does not hold its launch"),
        "{text}"
    );
    assert!(section(&text, "TIMELINE").contains("  11:00:00           †  "), "{text}");
}

#[test]
fn a_node_has_many_names_and_each_of_them_finds_it() {
    let case = case();
    for given in [
        "i-0aaaaaaaaaaaaaaaa",
        "ip-10-0-0-1.ec2.internal",
        "default-x7k2p",
        "vol-0aaaaaaaaaaaaaaaa",
        "i-0aaa",
        "i-0aaaaaaa…",
        "  vol-0aa ",
    ] {
        assert_eq!(find_subject(&case, given), Ok(Subject::Node(&case.nodes[0])), "{given}");
    }
    for given in [RIGHT_KEY, "11111111-2222-3333-4444-555555555555", "11111111…"] {
        assert_eq!(find_subject(&case, given), Ok(Subject::Key(RIGHT_KEY.into())), "{given}");
    }
}

#[test]
fn a_name_of_several_is_no_subject() {
    let case = case();
    let Err(SubjectError::Ambiguous { count, candidates, .. }) = find_subject(&case, "i-0") else {
        panic!("four nodes begin with i-0");
    };
    assert_eq!((count, candidates.len()), (4, 4));
    assert_eq!(candidates[0].name, "i-0aaaaaaaaaaaaaaaa");
    assert_eq!(candidates[2].description, "node of nodepool default, launched 2026-03-02 10:05:00, denied");

    let mut reused = incident::case();
    reused.nodes[1].nodeclaim = reused.nodes[0].nodeclaim.clone();
    assert!(matches!(find_subject(&reused, "default-x7k2p"), Err(SubjectError::Ambiguous { count: 2, .. })));
    // A whole name counts before the beginnings of others.
    reused.nodes[2].nodeclaim = Some("default-x7k2p-2".into());
    reused.nodes[1].nodeclaim = None;
    assert_eq!(find_subject(&reused, "default-x7k2p"), Ok(Subject::Node(&reused.nodes[0])));
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_ones() {
    let case = case();
    let nearest = |given: &str| {
        let error = find_subject(&case, given).expect_err("nothing has that name");
        error.candidates().iter().map(|candidate| candidate.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(nearest("i-0cccccccccccccccd"), [DENIED]);
    assert_eq!(nearest("2222-3333"), [RIGHT_KEY]);
    assert_eq!(nearest("vol-0aaaaaaaaaaaaaaax"), ["i-0aaaaaaaaaaaaaaaa"]);
    for given in ["", "…", "something else", "i-", "vol-1234"] {
        assert!(nearest(given).is_empty(), "{given}: {:?}", nearest(given));
    }
}

#[test]
fn an_alias_leads_to_its_key_and_one_that_nothing_resolves_says_so() {
    let mut case = case();
    let key = case.nodes[0].expected_key.as_mut().expect("an expected key");
    key.written = Some("alias/karpenter-ebs".into());
    for given in
        ["alias/karpenter-ebs", "arn:aws:kms:us-east-1:111122223333:alias/karpenter-ebs", "alias/karp"]
    {
        assert_eq!(find_subject(&case, given), Ok(Subject::Key(RIGHT_KEY.into())), "{given}");
    }
    let key = case.nodes[0].expected_key.as_mut().expect("an expected key");
    key.key_arn = None;
    let error = find_subject(&case, "alias/karpenter-ebs").expect_err("no record shows its key");
    assert_eq!(error, SubjectError::Unresolved { alias: "alias/karpenter-ebs".to_owned() });
    // In two places one name is two aliases.
    let mut elsewhere = incident::node("i-0eeeeeeeeeeeeeeee", "2026-03-02T10:09:00Z");
    let key = elsewhere.expected_key.as_mut().expect("an expected key");
    key.written = Some("arn:aws:kms:us-west-2:111122223333:alias/karpenter-ebs".into());
    key.key_arn = Some(WRONG_KEY.into());
    case.nodes.push(elsewhere);
    let error = find_subject(&case, "alias/karpenter-ebs").expect_err("two aliases have that name");
    assert_eq!(error.candidates().len(), 2, "{error}");
}

#[test]
fn a_key_is_told_with_its_nodes_and_refusals() {
    let text = screen(&case(), &findings(), RIGHT_KEY);
    assert!(text.starts_with(&format!("Key {RIGHT_KEY}\n")), "{text}");
    assert!(
        section(&text, "VERDICT")
            .starts_with("  Key 11111111… was used by 1 node (1 volume) and refused to 1."),
        "{text}"
    );
    assert!(
        section(&text, "NODES").contains("denied  1 node of nodepool default, cluster demo, kms-denied"),
        "{text}"
    );
    assert!(
        section(&text, "REFUSALS").starts_with("  ✗ 1 × kms:CreateGrant to KarpenterControllerRole-demo"),
        "{text}"
    );
    assert!(!text.contains("i-0bbbbbbbbbbbbbbbb"), "a node under another key: {text}");
    let mut case = case();
    let mut wrong = case.keys[0].clone();
    (wrong.key_arn, wrong.denials) = (WRONG_KEY.into(), 0);
    case.keys.push(wrong);
    let other = screen(&case, &findings(), WRONG_KEY);
    assert!(other.contains("was used by 1 node (1 volume) and refused to none."), "{other}");
    assert!(!other.contains("REFUSALS"), "{other}");
}

#[test]
fn many_nodes_of_a_key_are_counted_not_listed() {
    let mut case = case();
    let model = case.nodes[2].clone();
    for number in 0..5_000u32 {
        let mut node = model.clone();
        node.instance_id = format!("i-1{number:016x}").into();
        node.nodepool = Some(format!("pool-{}", number % 100).into());
        case.nodes.push(node);
    }
    let text = screen(&case, &[], RIGHT_KEY);
    assert!(text.contains("50 nodes of nodepool pool-0"), "{text}");
    assert!(text.contains("more groups of nodes; -o json has all"), "{text}");
    assert!(text.lines().count() < 150, "{}", text.lines().count());
}

#[test]
fn a_long_timeline_is_cut_in_the_middle_and_keeps_what_is_decisive() {
    let mut case = case();
    let middle = case.events[1].clone();
    let template = case.nodes[0].timeline[1];
    for number in 0..1_000u32 {
        let mut event = middle.clone();
        event.event_id = incident::id(1_000 + number);
        case.events.push(event);
        let index = u32::try_from(case.events.len() - 1).expect("a small number");
        case.nodes[0].timeline.push(crate::correlate::TimelineRef { event: index, ..template });
    }
    let text = screen(&case, &[], "i-0aaaaaaaaaaaaaaaa");
    assert!(text.contains("more events here; -o json has all"), "{text}");
    assert!(text.contains("  ★  ") && text.contains("  †  "), "{text}");
    assert!(text.lines().count() < 300, "{}", text.lines().count());
    let whole: Value = serde_json::from_str(&json(&case, &[], "i-0aaaaaaaaaaaaaaaa")).expect("JSON");
    assert_eq!(whole["timeline"].as_array().map(Vec::len), Some(1_003));
}

/// The schema with `additionalProperties: false` wherever properties are listed: a field that is not
/// described fails.
fn closed_schema() -> Value {
    fn close(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.values_mut().for_each(close);
                if object.contains_key("properties") && !object.contains_key("$ref") {
                    object.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
                }
            }
            Value::Array(array) => array.iter_mut().for_each(close),
            _ => {}
        }
    }
    let mut schema = serde_json::to_value(schema_of::<ExplanationDocument<'_>>()).expect("JSON");
    close(&mut schema);
    schema
}

#[test]
fn json_is_as_its_schema_says() {
    let validator = jsonschema::validator_for(&closed_schema()).expect("a schema");
    let hostile = hostile_case();
    for (case, findings) in [(&case(), findings()), (&hostile, hostile_findings())] {
        for given in [DENIED, "i-0aaaaaaaaaaaaaaaa", RIGHT_KEY] {
            let text = json(case, &findings, given);
            let value: Value = serde_json::from_str(&text).expect("JSON");
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{given}: {errors:?}");
            assert_eq!(text.replace('\n', "").find(is_hazardous), None);
        }
    }
    let mut value: Value = serde_json::from_str(&json(&case(), &findings(), DENIED)).expect("JSON");
    value["verdict"]["sentence"] = Value::Null;
    assert!(!validator.is_valid(&value), "a document that is wrong passes");
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema-explain.json");
    let mut bytes = Vec::new();
    write_explanation_schema(&mut bytes).expect("memory does not fail");
    let current = String::from_utf8(bytes).expect("UTF-8");
    if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
        std::fs::write(path, &current).expect("docs/ is writable");
    }
    let committed = std::fs::read_to_string(path).expect("docs/schema-explain.json is committed");
    assert!(
        committed == current,
        "docs/schema-explain.json is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
    );
}

#[test]
fn json_holds_the_log_texts_as_logged() {
    let value: Value =
        serde_json::from_str(&json(&hostile_case(), &[], "i-0aaaaaaaaaaaaaaaa")).expect("JSON");
    assert_eq!(value["node"]["nodepool"], HOSTILE);
    assert_eq!(value["timeline"][0]["user_agent"], HOSTILE);
    assert_eq!(value["custody"][0]["origin"]["object"], HOSTILE);
}

/// Text that tries to break out of Markdown, besides what [`HOSTILE`] does.
const MARKUP: &str = "```\n````js\n|<script>alert(1)</script>|<!-- [x](javascript:alert(1)) ![](http://evil.example/a.png) ~~~";

fn markup_case() -> (Case, Vec<Finding>) {
    let mut case = hostile_case();
    for node in &mut case.nodes {
        node.nodepool = Some(MARKUP.into());
        node.cluster = Some(MARKUP.into());
        node.node_name = Some(MARKUP.into());
    }
    for event in &mut case.events {
        event.user_agent = MARKUP.into();
        event.source_ip = MARKUP.into();
        event.origin.object = MARKUP.into();
        if let Some(error) = &mut event.error {
            error.code = MARKUP.into();
        }
    }
    let mut findings = findings();
    findings[0].title = MARKUP.into();
    findings[0].explanation = MARKUP.into();
    findings[0].ruled_out = vec![MARKUP.into(), HOSTILE.into()];
    findings[0].remediation = Some(Remediation {
        summary: MARKUP.into(),
        target: MARKUP.into(),
        documents: vec![
            Document { format: "iam-json", body: format!("{{\n{MARKUP}\n``````\n}}\u{1b}[2J") },
            Document { format: "terraform", body: "resource {}\n".to_owned() },
        ],
    });
    (case, findings)
}

/// Lines of Markdown that are outside of fences; fails where a fence is left open.
fn outside_of_fences(markdown: &str) -> Vec<&str> {
    let mut open: Option<usize> = None;
    let mut outside = Vec::new();
    for line in markdown.lines() {
        let backticks = line.len() - line.trim_start_matches('`').len();
        match open {
            Some(length) => {
                if backticks >= length && line.trim_start_matches('`').trim().is_empty() {
                    open = None;
                }
            }
            None if backticks >= 3 && !line[backticks..].contains('`') => open = Some(backticks),
            None => outside.push(line),
        }
    }
    assert_eq!(open, None, "a fence is left open");
    outside
}

#[test]
fn markdown_cannot_be_broken_out_of() {
    let (case, findings) = markup_case();
    for given in [DENIED, "i-0aaaaaaaaaaaaaaaa", RIGHT_KEY] {
        let text = markdown(&case, &findings, given);
        assert_eq!(text.replace('\n', "").find(is_hazardous), None, "{given}");
        for line in outside_of_fences(&text) {
            let prose = without_code_spans(line).replace("<br>", "");
            assert!(!prose.contains('<'), "HTML in {line}");
            assert!(!prose.replace("\\]", "").contains("]("), "a link in {line}");
            assert!(!prose.contains("://"), "an address in {line}");
            assert!(!line.starts_with('#') || line.starts_with("# ") || line.starts_with("## "), "{line}");
        }
        // Every row of a table has as many cells as its heading.
        let mut cells = None;
        for line in outside_of_fences(&text) {
            let count = line.replace("\\|", "").matches('|').count();
            if !line.starts_with('|') {
                cells = None;
                continue;
            }
            assert_eq!(*cells.get_or_insert(count), count, "{line}");
        }
    }
    let text = markdown(&case, &findings, DENIED);
    assert!(text.contains("\n```````json\n{\n```\n````js\n"), "{text}");
    assert!(text.contains("\n```hcl\nresource {}\n```\n"), "{text}");
}

/// A line without what stands in code spans: runs of backticks, neither escaped, of the same length.
fn without_code_spans(line: &str) -> String {
    let mut prose = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        if rest[..at].ends_with('\\') {
            prose.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        }
        let length = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let fence = "`".repeat(length);
        prose.push_str(&rest[..at]);
        let mut from = at + length;
        let end = loop {
            let found =
                from + rest[from..].find(&fence).unwrap_or_else(|| panic!("an open code span in {line}"));
            let run = rest[found..].len() - rest[found..].trim_start_matches('`').len();
            if run == length {
                break found;
            }
            from = found + run;
        };
        rest = &rest[end + length..];
    }
    prose + rest
}

#[test]
fn a_screen_of_hostile_texts_is_harmless_and_fits() {
    let (markup, markup_findings) = markup_case();
    for (case, findings) in [(&hostile_case(), &hostile_findings()), (&markup, &markup_findings)] {
        for given in [DENIED, "i-0aaaaaaaaaaaaaaaa", RIGHT_KEY] {
            let text = screen(case, findings, given);
            assert_eq!(text.replace('\n', "").find(is_hazardous), None, "{given}");
            let prose = text.split("    --- ").next().expect("a first part");
            for line in prose.lines() {
                assert!(width(line) <= 80, "{} columns: {line}", width(line));
            }
        }
    }
}

#[test]
fn any_screen_is_wide_enough() {
    for columns in [1, 40, 57, 100, 400] {
        let text = written(&case(), &findings(), DENIED, |out, explanation| {
            let layout = Layout { columns: Some(columns), style: Style::plain() };
            write_explanation(out, explanation, layout).expect("memory does not fail");
        });
        let most = text.lines().map(width).max().expect("lines");
        assert!(most <= columns.clamp(40, 100), "{most} of {columns} columns");
    }
}

#[test]
fn colours_are_the_only_escape_sequences() {
    let text = written(&hostile_case(), &hostile_findings(), DENIED, |out, explanation| {
        let layout = Layout { columns: Some(80), style: Style::coloured() };
        write_explanation(out, explanation, layout).expect("memory does not fail");
    });
    assert!(text.contains("\u{1b}[31m"), "the verdict has its colour");
    for sequence in text.split('\u{1b}').skip(1) {
        let end = sequence.find('m').expect("a colour ends in m");
        assert!(sequence[1..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "{sequence}");
    }
}
