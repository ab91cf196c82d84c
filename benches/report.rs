//! The HTML report of thousands of nodes: bytes, time to write, and time to first paint in a browser.
//!
//! Arguments: the number of nodes, 5,000 if not given, and a file to keep the page in. Without Chromium the browser's
//! part is left out.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../tests/html/browser.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod browser;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Instant;

use keytrail::correlate::{Case, Evidence, Question, correlate};
use keytrail::event::{Coverage, EventParser, Origin, Parsed};
use keytrail::report::{self, Tool};
use keytrail::rules;
use support::stream::Launches;

const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| !one.starts_with("--")).collect();
    let nodes = arguments.iter().find_map(|text| text.parse().ok()).unwrap_or(5_000);
    let kept = arguments.iter().find(|text| text.ends_with(".html"));
    let case = case(nodes);
    let findings = rules::evaluate(&case);
    let tool = Tool { name: "keytrail", version: env!("CARGO_PKG_VERSION") };
    let mut bytes = Vec::new();
    let start = Instant::now();
    report::write_html(&mut bytes, &case, &findings, tool).expect("memory does not fail");
    println!(
        "{} nodes: {:.1} MB, written in {:.2} s",
        case.nodes.len(),
        bytes.len() as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("report.html");
    std::fs::write(&file, &bytes).expect("the page can be written");
    if let Some(kept) = kept {
        std::fs::copy(&file, kept).expect("the page can be kept");
    }
    match browser::find() {
        Some(program) => paint(&program, &file),
        None => println!("no Chromium is installed: first paint is not measured"),
    }
}

/// First paint, and when the page answers, in milliseconds since the navigation began.
fn paint(program: &Path, file: &Path) {
    let mut browser = browser::Browser::start(program);
    for _ in 0..ROUNDS {
        let mut page = browser.page();
        page.open(file);
        let figures = page.value(
            "[performance.getEntriesByName('first-contentful-paint')[0].startTime, \
             performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]",
        );
        let figure = |at: usize| figures[at].as_f64().unwrap_or(f64::NAN);
        println!("first paint {:.0} ms, document complete {:.0} ms", figure(0), figure(1));
    }
}

/// Launches, a twentieth of them refused.
fn case(nodes: u64) -> Case {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    for (number, record) in (0..).zip(Launches::new(1, nodes, 20, 0).flatten()) {
        let object =
            format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/05/{:04}.json.gz", number / 500);
        let origin = Origin { object: object.as_str().into(), record: number % 500 };
        if let Ok(Parsed::Relevant(event)) = parser.parse(record.text.as_bytes(), origin) {
            events.push(event);
        }
    }
    correlate(Evidence::gather(events), Coverage::default(), &Question::default())
}
