use super::{NODES_MAX, write_html};
use crate::correlate::{Case, KeyVerdict, Node};
use crate::report::document::Tool;
use crate::report::{incident, is_hazardous};
use crate::rules::testing::{KEY, Log, NO_RESOURCE_POLICY, ROLE, policy_for};
use crate::rules::{Finding, evaluate};

fn html(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    let tool = Tool { name: "keytrail", version: "0" };
    write_html(&mut bytes, case, findings, tool).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

fn embedded(html: &str) -> serde_json::Value {
    let (_, rest) = html.split_once("id=\"data\">").expect("the element");
    let (json, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn every_node_has_a_lane_a_row_and_details() {
    let html = html(&incident::case(), &incident::findings());
    assert_eq!(html.matches("data-node=").count(), 4);
    assert_eq!(html.matches("<tr id=\"node-").count(), 4);
    let data = embedded(&html);
    assert_eq!(data["nodes"].as_array().map(Vec::len), Some(4));
    let columns = data["columns"]["node"].as_array().map(Vec::len);
    assert!(data["nodes"].as_array().unwrap().iter().all(|row| row.as_array().map(Vec::len) == columns));
    for (table, rows) in
        [("event", "events"), ("finding", "findings"), ("remedy", "remedies"), ("caller", "callers")]
    {
        let columns = data["columns"][table].as_array().map(Vec::len);
        let rows = data[rows].as_array().unwrap();
        assert!(
            !rows.is_empty() && rows.iter().all(|row| row.as_array().map(Vec::len) == columns),
            "{table}"
        );
    }
}

#[test]
fn a_card_names_the_command_that_explains_its_node() {
    let html = html(&incident::case(), &incident::findings());
    assert!(html.contains("<code>keytrail explain i-0cccccccccccccccc</code>, with the same sources"));
}

#[test]
fn losses_and_coverage_are_told() {
    let html = html(&incident::case(), &incident::findings());
    assert!(html.contains("3210 read = 6 selected + 3203 passed over + 0 duplicate + 1 lost"));
    assert!(html.contains("logs/two.json.gz: truncated-compression: the stream ends early at byte 812"));
    assert!(html.contains("2026-03-02 09:58:00 to 2026-03-02 11:02:30 UTC"));
}

#[test]
fn failed_launches_are_told_and_marked() {
    let html = html(&incident::case(), &incident::findings());
    assert!(html.contains("InsufficientInstanceCapacity") && html.contains("none left"));
    assert!(html.contains("class=\"g-failed\""));
}

#[test]
fn nothing_invisible_and_no_markup_of_a_log_reaches_the_page() {
    let mut case = incident::hostile_case();
    let markup = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}";
    for node in &mut case.nodes {
        node.cluster = Some(markup.into());
        node.node_name = Some(markup.into());
    }
    case.coverage.losses[0].detail = markup.to_owned();
    let html = html(&case, &incident::hostile_findings());
    assert_eq!(html.find(|one| one != '\n' && is_hazardous(one)), None);
    assert_eq!(html.matches("<script").count(), 2, "the data and the script");
    assert!(!html.contains("<img") && !html.contains("href=\"java"));
    assert!(html.contains(r"\u{202e}kcatta"));
    assert!(html.contains("&#60;img src=x onerror"));
}

#[test]
fn an_empty_case_says_that_there_is_nothing() {
    let html = html(&Case::default(), &[]);
    assert!(html.contains("Empty archive") && html.contains("no record read"));
    assert!(!html.contains("id=\"timeline\"") && !html.contains("id=\"flow\""));
}

#[test]
fn too_many_nodes_keep_those_with_the_worst_news() {
    let healthy = Node {
        key_verdict: KeyVerdict::Match,
        launched_at: Some(incident::time("2026-03-02T10:00:00Z")),
        ..Node::default()
    };
    let mut nodes = vec![healthy; NODES_MAX + 10];
    nodes[NODES_MAX + 5].key_verdict = KeyVerdict::Denied;
    nodes[NODES_MAX + 5].instance_id = "i-0refused".into();
    let html = html(&Case { nodes, ..Case::default() }, &[]);
    assert_eq!(html.matches("data-node=").count(), NODES_MAX);
    assert!(html.contains("10 nodes have no lane and no details here"));
    assert!(html.contains(">i-0refused</a>"));
}

#[test]
fn inferred_events_are_hollow_and_said_to_be_inferred() {
    let mut case = incident::case();
    for entry in case.nodes.iter_mut().flat_map(|node| &mut node.timeline) {
        entry.confidence = crate::correlate::Confidence::Inferred;
    }
    let html = html(&case, &incident::findings());
    assert!(html.contains("class=\"g-launch inferred\""));
    assert!(html.contains("hollow: inferred"));
}

#[test]
fn a_node_tells_of_the_change_that_led_to_its_refusal_and_opens_the_fix_of_its_incident() {
    let mut log = Log::new();
    log.policy("08:00:00", KEY, &policy_for(ROLE)).template(KEY);
    log.policy("09:55:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Backup"));
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_RESOURCE_POLICY);
    let case = log.case();
    let data = embedded(&html(&case, &evaluate(&case)));
    let column = |table: &str, name: &str| {
        let columns = data["columns"][table].as_array().expect("columns");
        columns
            .iter()
            .position(|column| column.as_str().is_some_and(|own| own.split(':').next() == Some(name)))
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let text = |cell: &serde_json::Value| match cell.as_u64() {
        Some(number) => data["strings"][number as usize].as_str().expect("a string").to_owned(),
        None => String::new(),
    };
    let node = &data["nodes"][0];
    let steps = node[column("node", "timeline")].as_array().expect("steps");
    let times: Vec<i64> = steps
        .iter()
        .map(|step| step[column("step", "event")].as_u64().expect("an event") as usize)
        .map(|event| data["events"][event][column("event", "time")].as_i64().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let marks: Vec<String> = steps.iter().map(|step| text(&step[column("step", "change")])).collect();
    assert_eq!(marks.iter().filter(|mark| *mark == "key policy").count(), 2, "{marks:?}");
    let recommended = node[column("node", "recommended")].as_u64().expect("a recommended fix") as usize;
    let finding = node[column("node", "findings")][recommended].as_u64().expect("a finding") as usize;
    let finding = &data["findings"][finding];
    assert_eq!(text(&finding[column("finding", "rule")]), "KT401");
    let cited: Vec<u64> = finding[column("finding", "evidence")]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .collect();
    assert!(cited.is_sorted() && cited.len() >= 3, "in order of time: {cited:?}");
}

#[test]
fn launch_failures_are_counted_in_one_unit() {
    let html = html(&incident::case(), &incident::findings());
    assert!(html.contains("<b>12</b> <span>launch failures</span>"));
    assert!(html.contains("title=\"launch failures\">12<"));
}
