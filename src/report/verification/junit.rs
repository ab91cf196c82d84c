//! A verification as JUnit XML: one suite per node, one case per check of it.
//!
//! A failure is a `failure`; what is inconclusive is an `error`, so that no reader of the file takes it for a
//! pass. Characters that XML cannot hold are made visible.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::report::sanitize::sanitize;
use crate::verify::{Assertion, JudgedNode, Outcome, Verification};

/// Writes the verification as JUnit XML.
///
/// # Errors
/// When `out` fails.
pub fn write_junit(out: &mut dyn Write, verification: &Verification) -> io::Result<()> {
    let mut report = Report::new("keytrail verify");
    let mut run = TestSuite::new("run");
    let mut nodes = verification.nodes.iter().peekable();
    let mut suite: Option<(&JudgedNode, TestSuite)> = None;
    for assertion in &verification.assertions {
        let Some(node) = &assertion.node else {
            run.add_test_case(case(assertion, "keytrail.run"));
            continue;
        };
        // Assertions follow the order of the nodes.
        if suite.as_ref().is_none_or(|(judged, _)| judged.instance_id != *node)
            && let Some(next) = nodes.next()
            && let Some((_, done)) = suite.replace((next, suite_of(next)))
        {
            report.add_test_suite(done);
        }
        if let Some((judged, suite)) = &mut suite {
            let class = format!("keytrail.{}", judged.nodepool.as_deref().unwrap_or("node"));
            suite.add_test_case(case(assertion, &class));
        }
    }
    report.test_suites.insert(0, run);
    if let Some((_, last)) = suite {
        report.add_test_suite(last);
    }
    // The counts of the report are those of its suites.
    let suites = std::mem::take(&mut report.test_suites);
    (report.tests, report.failures, report.errors) = (0, 0, 0);
    report.add_test_suites(suites);
    report.serialize(out).map_err(io::Error::other)
}

fn suite_of(node: &JudgedNode) -> TestSuite {
    let mut suite = TestSuite::new(text(&node.instance_id));
    for (name, value) in [
        ("account", Some(&node.account_id)),
        ("region", Some(&node.region)),
        ("cluster", node.cluster.as_ref()),
        ("nodepool", node.nodepool.as_ref()),
        ("nodeclass", node.nodeclass.as_ref()),
        ("node_name", node.node_name.as_ref()),
    ] {
        if let Some(value) = value {
            suite.add_property((name, &*text(value)));
        }
    }
    suite
}

fn case(assertion: &Assertion, class: &str) -> TestCase {
    let kind = match assertion.result {
        Outcome::Pass => None,
        Outcome::Fail => Some((NonSuccessKind::Failure, "fail")),
        Outcome::Inconclusive => Some((NonSuccessKind::Error, "inconclusive")),
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some((kind, name)) => {
            let mut status = TestCaseStatus::non_success(kind);
            status
                .set_type(name)
                .set_message(text(&assertion.text))
                .set_description(text_lines(&details(assertion)));
            status
        }
    };
    let mut case = TestCase::new(text(&assertion.id), status);
    case.set_classname(text(class));
    if assertion.result == Outcome::Pass {
        case.set_system_out(text_lines(&details(assertion)));
    }
    case
}

fn details(assertion: &Assertion) -> Vec<String> {
    let mut lines = vec![assertion.text.clone()];
    lines.extend(assertion.why.as_ref().map(|why| format!("why: {why}")));
    lines.extend(assertion.would_be_conclusive.as_ref().map(|remedy| format!("it would take: {remedy}")));
    if let Some(location) = &assertion.location {
        lines.push(format!("set at: {location}"));
    }
    if !assertion.findings.is_empty() {
        lines.push(format!("rules: {}", assertion.findings.join(", ")));
    }
    if !assertion.evidence.is_empty() {
        let ids: Vec<String> = assertion.evidence.iter().map(ToString::to_string).collect();
        lines.push(format!("evidence: {}", ids.join(", ")));
    }
    lines
}

/// Text without what XML cannot hold.
fn text(text: &str) -> String {
    // Neither control characters nor these two are characters of XML.
    sanitize(text).replace('\u{fffe}', r"\u{fffe}").replace('\u{ffff}', r"\u{ffff}")
}

fn text_lines(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
    lines.join("\n")
}
