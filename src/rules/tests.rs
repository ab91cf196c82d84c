//! The registry: what holds for every rule, and the pages made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::testing::{KEY, Log, NO_IDENTITY_POLICY, OTHER_KEY, instance};
use super::{Concern, HEADINGS, RULES, Severity, Verdict, catalogue, concerns, evaluate, rule, verdicts};
use crate::correlate::{Case, Confidence};

const IDS: [&str; 31] = [
    "KT101", "KT102", "KT103", "KT104", "KT105", "KT106", "KT107", "KT108", "KT201", "KT202", "KT203",
    "KT204", "KT205", "KT206", "KT207", "KT208", "KT301", "KT302", "KT303", "KT304", "KT305", "KT306",
    "KT307", "KT308", "KT401", "KT402", "KT403", "KT404", "KT501", "KT502", "KT503",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> PathBuf {
    root().join("docs/rules")
}

#[test]
fn ids_are_those_of_the_design_unique_and_sorted() {
    let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids, IDS);
}

#[test]
fn names_say_a_cause_in_lower_case_and_are_unique() {
    let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    for name in names {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
    }
}

#[test]
fn a_rule_is_found_by_its_id_in_any_case() {
    assert_eq!(rule("kt101").map(|rule| rule.id), Some("KT101"));
    assert!(rule("KT999").is_none());
}

#[test]
fn documentation_has_every_heading_in_order_with_text_below_it() {
    for rule in RULES {
        let headings: Vec<_> = rule.docs.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{}", rule.id);
        for section in rule.docs.split("## ").skip(1) {
            let text = section.split_once('\n').map_or("", |(_, text)| text);
            assert!(text.trim().len() > 20, "{}: {section}", rule.id);
        }
        let references = rule.docs.rsplit("## References").next().unwrap_or_default();
        let links = references.lines().filter(|line| line.starts_with("- <https://") && line.ends_with('>'));
        assert!(links.count() >= 2, "{}", rule.id);
        assert!(rule.summary.ends_with('.') && !rule.summary.contains('\n'), "{}", rule.id);
    }
}

#[test]
fn every_rule_is_tested_to_fire_to_be_silent_and_to_be_undetermined() {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for entry in fs::read_dir(root().join("src/rules")).expect("the rules' sources") {
        let path = entry.expect("a source").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("a source");
        if let Some(id) = IDS.iter().find(|id| text.contains(&format!("    id: \"{id}\","))) {
            text.push_str(&fs::read_to_string(path.with_extension("").join("tests.rs")).unwrap_or_default());
            assert!(sources.insert(id, text).is_none(), "{id} has two files");
        }
    }
    for id in IDS {
        let source = sources.get(id).unwrap_or_else(|| panic!("{id} has no file"));
        for kind in ["fn fires", "fn silent", "fn undetermined"] {
            assert!(source.contains(kind), "{id} lacks a test: {kind}");
        }
    }
}

#[test]
fn pages_are_those_of_the_rules() {
    let mut written: BTreeMap<String, String> =
        RULES.iter().map(|rule| (format!("{}.md", rule.id), rule.page())).collect();
    written.insert("README.md".to_owned(), catalogue::index());
    if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
        for (name, text) in &written {
            fs::write(pages().join(name), text).expect("docs/rules is writable");
        }
    }
    for (name, text) in &written {
        let page = fs::read_to_string(pages().join(name)).unwrap_or_default();
        assert!(page == *text, "docs/rules/{name} is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1");
    }
    let number = fs::read_dir(pages()).expect("the pages").count();
    assert_eq!(number, written.len(), "a page without a rule");
}

/// Two nodes refused, one under another key, one ended by Karpenter.
fn mixed() -> Case {
    let mut log = Log::new();
    log.default_key("07:00:00", OTHER_KEY).template(KEY);
    for (letter, minute) in [("b", 1), ("a", 0)] {
        log.launch(letter, &format!("10:0{minute}:00"));
        log.denied(letter, &format!("10:0{minute}:02"), "CreateGrant", KEY, NO_IDENTITY_POLICY);
    }
    log.healthy("c", "10:05:00", OTHER_KEY).registered("c", "10:06:00");
    log.healthy("d", "10:05:00", KEY).registered("d", "10:06:00").terminated(&["d"], "10:50:00", "running");
    log.case()
}

#[test]
fn findings_come_worst_first_then_by_rule_and_subject() {
    let findings = evaluate(&mixed());
    let order: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.rule)).collect();
    assert_eq!(
        order,
        [
            (Severity::Critical, "KT101"),
            (Severity::Critical, "KT101"),
            (Severity::High, "KT201"),
            (Severity::Medium, "KT402"),
            (Severity::Info, "KT303"),
        ]
    );
    assert_eq!(*findings[0].subject.id, instance("a"));
}

#[test]
fn every_finding_says_what_rests_on_what() {
    for finding in evaluate(&mixed()) {
        assert!(!finding.evidence.is_empty(), "{finding:?}");
        let unique: BTreeSet<_> = finding.evidence.iter().collect();
        assert_eq!(unique.len(), finding.evidence.len(), "{finding:?}");
        assert!(finding.explanation.ends_with('.') || finding.explanation.ends_with('"'), "{finding:?}");
        assert_eq!(Some(finding.name), rule(finding.rule).map(|rule| rule.name));
    }
}

#[test]
fn verdicts_of_a_node_name_every_rule_about_nodes() {
    let case = mixed();
    let of_node = verdicts(&case, &instance("a"));
    let fired: Vec<_> = of_node
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Fires(_)))
        .map(|(rule, _)| rule.id)
        .collect();
    assert_eq!(fired, ["KT101"]);
    assert!(of_node.len() > 20);
    assert!(verdicts(&case, "i-0ffffffffffffffff").is_empty());
}

#[test]
fn a_join_by_time_makes_every_finding_about_the_key_inferred() {
    let mut log = Log::new();
    log.default_key("07:00:00", OTHER_KEY).template(KEY).launch("a", "10:00:00").launch("b", "10:00:00");
    log.data_key("c", "10:00:02", OTHER_KEY);
    let findings = evaluate(&log.case());
    let about_keys: Vec<_> = findings.iter().filter(|finding| finding.rule == "KT201").collect();
    assert_eq!(about_keys.len(), 2);
    for finding in about_keys {
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.explanation.contains("2 nodes come into question"), "{}", finding.explanation);
    }
}

#[test]
fn text_from_a_log_makes_no_second_line() {
    let mut log = Log::new();
    log.template(KEY).nodepool("default\\n\\u001b[2J");
    for letter in ["a", "b", "c"] {
        log.launch(letter, "10:00:00").denied(letter, "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    }
    let case = log.case();
    let findings = evaluate(&case);
    assert_eq!(findings.len(), 4);
    for finding in &findings {
        let texts = [&finding.title, &finding.explanation]
            .into_iter()
            .chain(&finding.missing)
            .chain(&finding.ruled_out);
        for text in texts {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
    for incident in super::incidents(&case, &findings) {
        assert!(!incident.title.chars().any(char::is_control), "{:?}", incident.title);
    }
}

#[test]
fn rules_know_no_files_and_no_clock() {
    for entry in fs::read_dir(root().join("src/rules")).expect("the rules' sources") {
        let path = entry.expect("a source").path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for what in ["std::fs", "SystemTime::now", "Instant::now"] {
            assert!(!text.contains(what), "{}: {what}", path.display());
        }
    }
}

#[test]
fn concerns_are_the_findings_without_their_words() {
    let mut log = Log::new();
    log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
    log.terminated_by_person("a", "11:00:00");
    log.healthy("b", "10:10:00", KEY).terminated_by_person("b", "11:00:00");
    let case = log.case();
    let findings = evaluate(&case);
    assert!(findings.len() >= 2, "{findings:?}");
    let left: Vec<Concern> = findings
        .into_iter()
        .map(|finding| Concern { severity: finding.severity, subject: finding.subject })
        .collect();
    assert_eq!(concerns(&case), left);
}
