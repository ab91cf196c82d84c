//! 5,000 nodes: the file stays small, and the page stays usable.

use std::fs;

use keytrail::correlate::{Case, Evidence, Question, correlate};
use keytrail::event::{Coverage, EventParser, Origin, Parsed};
use keytrail::report::{self, Tool};
use keytrail::rules;

use super::browser::Deeds;
use super::chromium;
use super::support::stream::Launches;

const NODES: u64 = 5_000;
const BYTES_MAX: usize = 15_000_000;

fn case() -> Case {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    let records = Launches::new(1, NODES, 20, 0).flatten();
    for (number, record) in (0..).zip(records) {
        let object =
            format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/05/{:04}.json.gz", number / 500);
        let origin = Origin { object: object.as_str().into(), record: number % 500 };
        if let Ok(Parsed::Relevant(event)) = parser.parse(record.text.as_bytes(), origin) {
            events.push(event);
        }
    }
    correlate(Evidence::gather(events), Coverage::default(), &Question::default())
}

#[test]
fn five_thousand_nodes_stay_small_and_usable() {
    let case = case();
    assert_eq!(case.nodes.len() as u64, NODES);
    let findings = rules::evaluate(&case);
    let mut bytes = Vec::new();
    let tool = Tool { name: "keytrail", version: "0" };
    report::write_html(&mut bytes, &case, &findings, tool).expect("memory does not fail");
    assert!(bytes.len() < BYTES_MAX, "{} bytes", bytes.len());

    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("report.html");
    fs::write(&file, bytes).expect("it can be written");
    let mut page = browser.page();
    page.open(&file);
    assert_eq!(page.value("document.querySelectorAll('.lane').length"), NODES);
    assert_eq!(
        page.value("document.querySelectorAll('.pool[open]').length"),
        0,
        "large pools are closed at first"
    );
    assert_eq!(page.value("document.querySelectorAll('#rows tr').length"), 100, "the table has pages");
    let refused = case.nodes.iter().filter(|node| {
        node.termination
            .as_ref()
            .is_some_and(|end| end.cause == keytrail::correlate::TerminationCause::KmsDenied)
    });
    let refused = refused.count();
    page.value(
        "for (const box of document.querySelectorAll('input[name=outcome]')) \
         if (box.checked !== (box.value === 'refused')) box.click();",
    );
    assert_eq!(page.value("document.querySelectorAll('.lane:not([hidden])').length"), refused);
    assert_eq!(
        page.value("document.getElementById('count').textContent"),
        format!("{refused} of 5,000 nodes")
    );
    let last = &*case.nodes[case.nodes.len() - 1].instance_id;
    page.value("document.getElementById('clear').click()");
    page.value(&format!("document.getElementById('find').value = {last:?}; document.getElementById('find').form.requestSubmit();"));
    let found =
        page.value("[...document.querySelectorAll('.lane:not([hidden]) a')].map((a) => a.textContent)");
    assert_eq!(found, serde_json::json!([last]));
    page.value("document.querySelector('.lane:not([hidden]) a').click()");
    page.wait_for("document.getElementById('detail').open");
    assert_eq!(page.value("document.getElementById('detail-title').textContent"), last);
    assert_eq!(page.deeds(), Deeds::default());
}
