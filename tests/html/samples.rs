//! Every sample: the page is quiet, asks for nothing, and shows what the JSON document holds.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::browser::Deeds;
use super::{chromium, report, sample};

fn document(source: &Path) -> Value {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(["--quiet", "analyze", "--output", "json", "--all-launches"])
        .arg(source)
        .output()
        .expect("the command can be started");
    serde_json::from_slice(&run.stdout).expect("a document")
}

#[test]
fn every_sample_is_shown_quietly_and_completely() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    let mut names: Vec<String> = fs::read_dir(root)
        .expect("the samples can be listed")
        .map(|entry| entry.expect("the samples can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    assert!(names.len() >= 38);
    for name in names {
        let source = sample(&name);
        let file = report(&source, directory.path(), &name);
        let document = document(&source);
        let mut page = browser.page();
        page.open(&file);
        let nodes = document["nodes"].as_array().expect("nodes");
        let ids: Vec<&str> = nodes.iter().map(|node| node["instance_id"].as_str().expect("an id")).collect();
        let lanes = page.value("[...document.querySelectorAll('.lane a')].map((a) => a.textContent).sort()");
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        assert_eq!(lanes, Value::from(sorted), "{name}");
        let rows = page.value("[...document.querySelectorAll('#rows th')].map((th) => th.textContent)");
        assert_eq!(rows, Value::from(ids), "{name}");
        let refusals = nodes.iter().filter(|node| node["key_verdict"] == "denied").count();
        let marked = page.value(
            "[...document.querySelectorAll('.lane')].filter((lane) => lane.querySelector('use[href=\"#refusal\"]')).length",
        );
        assert!(
            marked.as_u64().is_some_and(|marked| marked >= refusals as u64),
            "{name}: {marked} of {refusals}"
        );
        for finding in document["findings"].as_array().expect("findings") {
            let (rule, title) = (finding["rule"].as_str().unwrap(), finding["title"].as_str().unwrap());
            let is_shown = page.value(&format!(
                "[...document.querySelectorAll('#findings summary')].some((one) => one.textContent.includes({rule:?}) && \
                 one.textContent.includes({title:?}))"
            ));
            assert_eq!(is_shown, true, "{name}: {rule} {title}");
        }
        assert_eq!(page.deeds(), Deeds::default(), "{name}");
    }
}

#[test]
fn a_policy_change_stands_between_the_nodes_that_lived_and_those_that_died() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = report(&sample("07-policy-overwritten-by-terraform"), directory.path(), "report");
    let mut page = browser.page();
    page.open(&file);
    let lines = page.value(
        "[...document.querySelectorAll('#marks .change-line')].map((l) => l.getBoundingClientRect().x)",
    );
    let lines: Vec<f64> = lines.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(lines.len(), 3, "new key, overwritten policy, repaired policy");
    let deaths = page.value(
        "[...document.querySelectorAll('.lane use[href=\"#refusal\"]')].map((u) => u.getBoundingClientRect().x)",
    );
    let deaths: Vec<f64> = deaths.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!(deaths.len() >= 3);
    assert!(deaths.iter().all(|x| lines[1] < *x && *x < lines[2]), "{lines:?} {deaths:?}");
    let crosses_all = page.value(
        "(() => { const line = document.querySelector('#marks .change-line').getBoundingClientRect(); \
         return [...document.querySelectorAll('.lane')].every((lane) => { const box = lane.getBoundingClientRect(); \
         return line.top <= box.top && line.bottom >= box.bottom; }); })()",
    );
    assert_eq!(crosses_all, true);
}

#[test]
fn a_change_of_the_configured_key_is_marked_before_the_launch_loop() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut page = browser.page();
    page.open(&report(&sample("09-launch-loop"), directory.path(), "report"));
    let flags = page.value("[...document.querySelectorAll('.flag')].map((flag) => flag.textContent)");
    assert!(flags[0].as_str().unwrap().contains("configured key"), "{flags}");
    assert_eq!(flags.as_array().unwrap().len(), 1, "the first template of a nodepool changes nothing");
}

#[test]
fn the_same_case_gives_the_same_bytes_and_only_origins_follow_the_path() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let source = sample("09-launch-loop");
    let one = fs::read(report(&source, directory.path(), "one")).unwrap();
    let two = fs::read(report(&source, directory.path(), "two")).unwrap();
    assert!(one == two);
}
