//! Every form of a verification: the schema that is published, and texts that are no commands, markup or XML.

use super::markdown::page;
use super::{
    ANNOTATIONS_MAX, SUMMARY_BYTES_MAX, write_github_annotations, write_junit, write_sarif,
    write_verification, write_verification_json, write_verification_markdown, write_verification_schema,
};
use crate::correlate::{Case, Expectations, Filter, Node};
use crate::report::{Layout, Style, Tool, incident, is_hazardous};
use crate::verify::{Demand, Location, Verification, Wait, WaitEnd, verify};

const TOOL: Tool<'static> = Tool { name: "keytrail", version: "0.0.0" };

fn verification(case: &Case) -> Verification {
    let demand = Demand { filter: &Filter::default(), expectations: &Expectations::default(), nodes_min: 1 };
    verify(case, &incident::findings(), demand)
}

/// A case of many nodes, all of them with hostile names and none with an expected key.
fn crowd(nodes: usize) -> Case {
    let mut case = incident::hostile_case();
    let mut template = case.nodes[0].clone();
    template.expected_keys.clear();
    case.nodes = (0..nodes)
        .map(|number| Node {
            instance_id: format!("{}{number}", template.instance_id).into(),
            ..template.clone()
        })
        .collect();
    case
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema-verify.json");
    let current = written(|out| write_verification_schema(out));
    if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
        std::fs::write(path, &current).expect("docs/ is writable");
    }
    let committed = std::fs::read_to_string(path).expect("docs/schema-verify.json is committed");
    assert!(
        committed == current,
        "docs/schema-verify.json is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
    );
}

#[test]
fn nothing_hazardous_reaches_a_screen_a_log_or_a_file() {
    let case = incident::hostile_case();
    let mut verification = verification(&case);
    let hostile = case.nodes[0].nodepool.clone().expect("a hostile name");
    for assertion in &mut verification.assertions {
        assertion.location = Some(Location { file: hostile.clone(), address: None, line: 7, column: 3 });
    }
    let wait = Some(Wait { ended: WaitEnd::TimedOut, seconds_max: 60, looks: 3 });
    for text in [
        written(|out| write_verification(out, &verification, wait, Layout::default())),
        written(|out| {
            let layout = Layout { columns: Some(60), style: Style::plain() };
            write_verification(out, &verification, wait, layout)
        }),
        written(|out| write_verification_json(out, &case, &verification, wait, TOOL)),
        written(|out| write_verification_markdown(out, &case, &verification, wait)),
        written(|out| write_junit(out, &verification)),
        written(|out| write_sarif(out, &verification, TOOL)),
        written(|out| write_github_annotations(out, &verification)),
    ] {
        assert_eq!(text.replace('\n', "").find(is_hazardous), None, "{text}");
    }
    let annotations = written(|out| write_github_annotations(out, &verification));
    for line in annotations.lines() {
        let level = ["::error ", "::warning ", "::notice "].iter().any(|level| line.starts_with(level));
        assert!(level && !line.contains("::error::owned"), "{line}");
    }
}

#[test]
fn a_summary_never_grows_beyond_what_github_takes() {
    let case = crowd(5_000);
    let verification = verification(&case);
    let text = written(|out| write_verification_markdown(out, &case, &verification, None));
    assert!(text.len() <= SUMMARY_BYTES_MAX, "{} bytes", text.len());
    assert!(text.contains("are left out: they are in `-o json`"), "what is missing is said");
    let small = page(&case, &verification, None, 4_000);
    assert!(small.len() <= 4_000 + 8_192, "{} bytes", small.len());
    let whole = written(|out| write_verification_markdown(out, &crowd(2), &verification_of(2), None));
    assert!(!whole.contains("left out"));
}

fn verification_of(nodes: usize) -> Verification {
    verification(&crowd(nodes))
}

#[test]
fn annotations_are_as_many_as_github_shows_and_the_last_counts_the_rest() {
    let text = written(|out| write_github_annotations(out, &verification_of(50)));
    for level in ["::error", "::warning", "::notice"] {
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(level)).collect();
        assert!(lines.len() <= ANNOTATIONS_MAX, "{level}: {}", lines.len());
        if lines.len() == ANNOTATIONS_MAX {
            assert!(lines[ANNOTATIONS_MAX - 1].contains("more of this kind"), "{lines:?}");
        }
    }
    assert!(text.contains("more of this kind"), "{text}");
}

#[test]
fn a_wait_is_told_in_every_form_for_people() {
    let case = incident::case();
    let verification = verification(&case);
    let wait = Some(Wait { ended: WaitEnd::Interrupted, seconds_max: 60, looks: 3 });
    for text in [
        written(|out| write_verification(out, &verification, wait, Layout::default())),
        written(|out| write_verification_markdown(out, &case, &verification, wait)),
    ] {
        assert!(text.contains("interrupted after 3 looks"), "{text}");
    }
}
