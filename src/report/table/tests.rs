use unicode_width::UnicodeWidthStr;

use super::{Layout, Spelling, write_table, write_wide_table};
use crate::correlate::{
    Case, Confidence, DeviceKey, ExpectedKey, KeyOrigin, KeySource, KeyVerdict, Node, Termination,
    TerminationCause, VolumeOutcome,
};
use crate::event::Timestamp;
use crate::report::incident::{self, RIGHT_KEY, WRONG_KEY};
use crate::report::{Style, is_hazardous};
use crate::rules::Finding;

fn table(case: &Case, columns: Option<usize>, style: Style) -> String {
    let mut bytes = Vec::new();
    write_table(&mut bytes, case, Layout { columns, style }).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

fn plain(case: &Case, columns: Option<usize>) -> String {
    table(case, columns, Style::plain())
}

fn wide(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    write_wide_table(&mut bytes, case, findings, Style::plain()).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

fn with_nodes(nodes: Vec<Node>) -> Case {
    Case { nodes, ..Case::default() }
}

/// The cells of the only row of a table of one node.
fn cells(node: Node) -> Vec<String> {
    let text = table(&with_nodes(vec![node]), None, Style::plain());
    let row = text.lines().nth(1).expect("a row");
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn eighty_columns() {
    assert_eq!(
        plain(&incident::case(), Some(80)),
        "\
NODE                POOL    LAUNCHED    EXPECTED  USED       RESULT   CAUSE
i-0aaaaaaaaaaaaaaaa default 03-02 10:00 11111111… 11111111…  match    spot
i-0bbbbbbbbbbbbbbbb default 03-02 10:02 11111111… 99999999…  mismatch -
i-0cccccccccccccccc default 03-02 10:05 11111111… !11111111… denied   kms-denied
i-0dddddddddddddddd -       -           -         -          unknown  karpenter
times are UTC · ! refused by KMS

LAUNCH FAILURE                COUNT  NODEPOOL  CALL         LAST
InsufficientInstanceCapacity  12     default   CreateFleet  03-02 10:40
"
    );
}

#[test]
fn more_columns_spell_more_out() {
    assert_eq!(
        plain(&incident::case(), None).lines().take(6).collect::<Vec<_>>(),
        [
            "NODE                 NODEPOOL  LAUNCHED             EXPECTED KEY  USED KEY    RESULT    CAUSE",
            "i-0aaaaaaaaaaaaaaaa  default   2026-03-02 10:00:00  11111111…     11111111…   match     spot-interruption",
            "i-0bbbbbbbbbbbbbbbb  default   2026-03-02 10:02:00  11111111…     99999999…   mismatch  -",
            "i-0cccccccccccccccc  default   2026-03-02 10:05:00  11111111…     !11111111…  denied    kms-denied",
            "i-0dddddddddddddddd  -         -                    -             -           unknown   \
             terminated-by-karpenter",
            "times are UTC · ! refused by KMS",
        ]
    );
    let first_line = |columns| plain(&incident::case(), Some(columns)).lines().next().map(str::to_owned);
    assert_eq!(
        first_line(105).as_deref(),
        Some("NODE                 NODEPOOL  LAUNCHED     EXPECTED KEY  USED KEY    RESULT    CAUSE")
    );
}

#[test]
fn the_readme_lists_each_cause_as_a_narrow_table_writes_it() {
    let readme = include_str!("../../../README.md");
    for cause in [
        TerminationCause::KmsDenied,
        TerminationCause::KmsKeyUnusable,
        TerminationCause::SpotInterruption,
        TerminationCause::RegistrationTimeout,
        TerminationCause::TerminatedByKarpenter,
        TerminationCause::TerminatedByAutoscaling,
        TerminationCause::TerminatedByPrincipal,
        TerminationCause::LaunchAborted,
    ] {
        let confidence = Confidence::Observed;
        let termination =
            Termination { cause, at: Timestamp::default(), actor: None, confidence, evidence: Vec::new() };
        let node = Node { termination: Some(termination), ..Node::default() };
        let written = |spelling| super::cause(&node, spelling).text;
        let row = format!("| `{}` | `{}` | ", written(Spelling::Full), written(Spelling::Short));
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn no_line_is_wider_than_the_screen() {
    for case in [incident::case(), incident::hostile_case()] {
        for columns in [72, 80, 100, 120, 200] {
            let text = table(&case, Some(columns), Style::plain());
            for line in text.lines() {
                assert!(line.width() <= columns, "{} > {columns}: {line}", line.width());
                assert_eq!(line.trim_end(), line);
            }
        }
    }
}

#[test]
fn a_screen_too_narrow_for_anything_still_gets_rows() {
    for columns in [0, 1, 20] {
        let text = plain(&incident::case(), Some(columns));
        assert!(text.contains("i-0aaaaaaa…"), "{text}");
    }
}

#[test]
fn aliases_and_missing_keys_stand_as_written() {
    let bare = || incident::node("i-0aaaaaaaaaaaaaaaa", "2026-03-02T10:00:00Z");
    let expecting = |written: Option<&str>, key_arn: Option<&str>| {
        let key = ExpectedKey {
            written: written.map(Into::into),
            key_arn: key_arn.map(Into::into),
            source: KeySource::LaunchTemplate,
            evidence: Vec::new(),
        };
        let expected_keys = vec![DeviceKey { device: None, key: key.clone() }];
        Node { expected_key: Some(key), expected_keys, ..bare() }
    };
    let keys = |node: Node| cells(node)[3..5].to_vec();
    assert_eq!(keys(expecting(Some("alias/karpenter-ebs"), None)), ["alias/karpenter-ebs", "-"]);
    let resolved = expecting(Some("arn:aws:kms:us-east-1:111122223333:alias/ebs"), Some(RIGHT_KEY));
    assert_eq!(keys(Node { used_keys: vec![RIGHT_KEY.into()], ..resolved }), ["alias/ebs", "11111111…"]);
    let unnamed = Node { key_verdict: KeyVerdict::Unencrypted, ..expecting(None, None) };
    assert_eq!(keys(unnamed), ["none", "none"]);
    assert_eq!(keys(Node { expected_key: None, expected_keys: Vec::new(), ..bare() }), ["-", "-"]);
}

#[test]
fn of_several_keys_the_decisive_one_is_shown_and_the_others_are_counted() {
    let node = Node {
        used_keys: vec![RIGHT_KEY.into(), WRONG_KEY.into()],
        key_verdict: KeyVerdict::Mismatch,
        ..incident::node("i-0aaaaaaaaaaaaaaaa", "2026-03-02T10:00:00Z")
    };
    assert_eq!(cells(node.clone())[4], "99999999… +1");
    let refused = incident::volume(None, WRONG_KEY, KeyOrigin::Other, VolumeOutcome::Failed);
    let node = Node { volumes: vec![refused], key_verdict: KeyVerdict::Denied, ..node };
    assert_eq!(cells(node.clone())[4], "!99999999… +1");
    let text = table(&with_nodes(vec![node]), None, Style::plain());
    assert!(text.ends_with("times are UTC · ! refused by KMS · +n more keys\n"), "{text}");
    let mut differing = incident::node("i-0aaaaaaaaaaaaaaaa", "2026-03-02T10:00:00Z");
    differing.expected_key = None;
    differing.expected_keys.push(differing.expected_keys[0].clone());
    assert_eq!(cells(differing)[3], "11111111… +1");
}

#[test]
fn replicas_of_a_multi_region_key_do_not_look_the_same() {
    let replica = |region: &str| format!("arn:aws:kms:{region}:111122223333:key/mrk-1234abcd12ab34cd56ef");
    let mut node = incident::node("i-0aaaaaaaaaaaaaaaa", "2026-03-02T10:00:00Z");
    for key in node.expected_key.iter_mut().chain(node.expected_keys.iter_mut().map(|own| &mut own.key)) {
        key.written = Some(replica("us-east-1").into());
        key.key_arn.clone_from(&key.written);
    }
    node.used_keys = vec![replica("us-west-2").into()];
    assert_eq!(cells(node)[3..5], ["us-east-1/mrk-1234abcd…", "us-west-2/mrk-1234abcd…"]);
}

#[test]
fn an_inferred_cause_is_marked() {
    let mut case = incident::case();
    case.nodes[0].termination.as_mut().expect("an end").confidence = Confidence::Inferred;
    let text = plain(&case, None);
    assert!(text.contains("spot-interruption?\n"), "{text}");
    assert!(text.contains(" · ? inferred\n"), "{text}");
    assert!(!plain(&incident::case(), None).contains('?'));
}

#[test]
fn colours_change_nothing_but_the_colours() {
    let case = incident::hostile_case();
    let coloured = table(&case, Some(80), Style::coloured());
    let plain = table(&case, Some(80), Style::plain());
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31mdenied\u{1b}[0m"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn hostile_text_does_nothing() {
    let (case, findings) = (incident::hostile_case(), incident::hostile_findings());
    for text in [table(&case, Some(80), Style::plain()), wide(&case, &findings)] {
        assert_eq!(text.replace('\n', "").find(is_hazardous), None);
        assert_eq!(text.lines().filter(|line| line.starts_with("i-0")).count(), 3);
    }
    assert!(
        wide(&case, &findings).contains(r"=cmd|'/c calc'!A1\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{d}\u{a}")
    );
}

#[test]
fn the_wide_table_spells_everything_out() {
    let text = wide(&incident::case(), &incident::findings());
    let lines: Vec<&str> = text.lines().collect();
    let headings: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|text| !text.is_empty()).collect();
    let cells = |line: usize| -> Vec<&str> {
        lines[line].split("  ").map(str::trim).filter(|text| !text.is_empty()).collect()
    };
    assert_eq!(headings.len(), 26);
    assert_eq!(cells(3).len(), 26);
    for (heading, cell) in [
        ("NODE", "i-0cccccccccccccccc"),
        ("ACCOUNT", "111122223333"),
        ("LAUNCH TEMPLATE", "lt-0aaaaaaaaaaaaaaaa:1"),
        ("LAUNCHED", "2026-03-02T10:05:00Z"),
        ("EXPECTED KEY", RIGHT_KEY),
        ("USED KEY", "-"),
        ("REFUSED KEY", RIGHT_KEY),
        ("RESULT", "denied"),
        ("CAUSE", "kms-denied"),
        ("CONFIDENCE", "observed"),
        ("ACTOR", incident::KARPENTER),
        ("FINDINGS", "KT101"),
    ] {
        let column = headings.iter().position(|text| *text == heading).expect(heading);
        assert_eq!(cells(3)[column], cell, "{heading}");
    }
}

#[test]
fn launch_failures_and_findings_are_added_up() {
    let mut case = with_nodes(Vec::new());
    let failure = incident::case().launch_failures.remove(0);
    for number in 0..40 {
        let mut failure = failure.clone();
        failure.error_code = format!("Code{}", number % 20).into();
        failure.count = if number % 20 == 7 { 100 } else { 1 };
        case.launch_failures.push(failure);
    }
    let findings: Vec<Finding> = (0..1_000).flat_map(|_| incident::findings()).collect();
    let text = wide(&case, &findings);
    assert!(text.contains("\ncritical  KT101  1000   KMS refused"), "{text}");
    let text = table(&case, Some(80), Style::plain());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[2].starts_with("Code7") && lines[2].contains(" 200 "), "{text}");
    assert!(text.contains("\nand 10 more kinds of launch failure\n"), "{text}");
    assert_eq!(lines.len(), 1 + 1 + 10 + 1, "{text}");
}

#[test]
fn a_case_without_anything_has_no_lines() {
    assert_eq!(table(&Case::default(), Some(80), Style::plain()), "");
    assert_eq!(wide(&Case::default(), &[]), "");
}

#[test]
fn one_long_name_does_not_widen_every_row() {
    let mut nodes: Vec<Node> =
        (0..1_000).map(|number| incident::node(&format!("i-{number:017}"), "2026-03-02T10:00:00Z")).collect();
    nodes[0].nodepool = Some("x".repeat(100_000).into());
    let case = with_nodes(nodes);
    assert!(table(&case, None, Style::plain()).len() < 1_000 * 250);
    let text = wide(&case, &[]);
    assert!(text.len() < 1_000 * 1_000 + 100_000, "{}", text.len());
    assert!(text.contains(&"x".repeat(100_000)), "the wide table cuts nothing");
}
