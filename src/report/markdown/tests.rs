use super::write_markdown;
use crate::correlate::{Case, KeyVerdict};
use crate::report::{Tool, incident, is_hazardous};
use crate::rules::Finding;

const TOOL: Tool<'static> = Tool { name: "keytrail", version: "1.2.3" };

fn markdown(case: &Case, findings: &[Finding]) -> String {
    let mut bytes = Vec::new();
    write_markdown(&mut bytes, case, findings, TOOL).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_page_tells_what_happened_to_which_nodes_and_how_to_mend_it() {
    let page = markdown(&incident::case(), &incident::findings());
    assert!(
        page.starts_with("# Keys of Karpenter's nodes: 4 nodes, 1 match, 1 mismatch, 1 denied, 1 unknown\n")
    );
    for part in [
        "1. **critical: 1 node of nodepool default in cluster demo at 2026-03-02T10:05:00Z: KMS refused",
        "   - nodes: `i-0cccccccccccccccc`\n   - how that is known: `keytrail explain i-0cccccccccccccccc`, with the same \
         sources\n",
        "| `i-0bbbbbbbbbbbbbbbb` | `default` | 2026-03-02 10:02:00 | `11111111…` | `99999999…` | mismatch |  |  |\n",
        "| `i-0cccccccccccccccc` | `default` | 2026-03-02 10:05:00 | `11111111…` | `11111111…` refused | denied \
         | 2026-03-02 10:05:02 | kms-denied |\n",
        "\n## Timeline of `i-0cccccccccccccccc`\n",
        "| 2026-03-02 10:05:02 | +2s | **refusal** | KMS refused CreateGrant on key 11111111… to",
        "| `InsufficientInstanceCapacity` | 12 | `default` | `CreateFleet` |",
        "| 2 | 1 | 1 | enabled |\n",
        "\n## Not known\n\n- one record\n- one object\n",
        "\n```json\n{\n  \"Effect\": \"Allow\"\n}\n```\n",
        "- 12 objects read, 1 skipped, 1 failed; records: 6 selected",
        "- lost:  logs/one.json.gz record 9: invalid-json: no JSON at byte 4711\n",
        "\nMade from CloudTrail records by keytrail 1.2.3.\n",
    ] {
        assert!(page.contains(part), "{part}\n is not in\n{page}");
    }
}

#[test]
fn an_empty_case_says_what_was_read() {
    let page = markdown(&Case::default(), &[]);
    assert!(page.starts_with("# Keys of Karpenter's nodes: no nodes\n"), "{page}");
    assert!(page.contains("- check: no CloudTrail record was read"), "{page}");
    for absent in ["## Nodes", "## Timeline", "## Fix", "## Keys", "## Not known", "## Launches"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
}

#[test]
fn of_many_nodes_the_worst_are_shown_and_the_rest_counted() {
    let mut case = incident::case();
    let denied = case.nodes[2].clone();
    case.nodes = (0..5_000)
        .map(|number| {
            let mut node = incident::node(&format!("i-{number:017x}"), "2026-03-02T10:00:00Z");
            node.key_verdict = KeyVerdict::Match;
            node
        })
        .collect();
    case.nodes.push(denied);
    let page = markdown(&case, &incident::findings());
    assert!(page.contains("| `i-0cccccccccccccccc` |"), "the worst node is shown");
    assert!(page.contains("\nand 4901 more nodes; `-o json` has all\n"), "{page}");
    assert!(page.len() < 60_000, "{} bytes", page.len());
}

#[test]
fn no_text_of_a_log_becomes_markup() {
    let mut case = incident::hostile_case();
    for node in &mut case.nodes {
        node.nodepool = Some("`|<img src=x onerror=alert(1)>| [a](javascript:alert(1)) @octocat".into());
    }
    case.launch_failures[0].error_code = "<script>alert(1)</script>|x".into();
    let page = markdown(&case, &incident::hostile_findings());
    assert_eq!(page.replace('\n', "").find(is_hazardous), None);
    for line in page.lines() {
        // Within code spans all is text; outside of them nothing may open markup.
        let outside = outside_of_code(line).replace("\\[", "").replace("\\]", "");
        assert!(!outside.contains('<') && !outside.contains("](") && !outside.contains('@'), "{line}");
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    for row in page.lines().filter(|line| line.starts_with("| `i-")) {
        assert_eq!(cells(row), 9, "{row}");
    }
}

/// A line without its code spans, as CommonMark finds them.
fn outside_of_code(line: &str) -> String {
    let mut outside = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let is_escaped = rest[..at].ends_with('\\');
        let run = rest[at..].bytes().take_while(|byte| *byte == b'`').count();
        let fence = "`".repeat(run);
        outside.push_str(&rest[..at]);
        let inner = &rest[at + run..];
        let end = inner
            .match_indices(&fence)
            .map(|(end, _)| end)
            .find(|end| !inner[end + run..].starts_with('`') && !inner[..*end].ends_with('`'));
        match end {
            Some(end) if !is_escaped => rest = &inner[end + run..],
            _ => {
                outside.push_str(&fence);
                rest = inner;
            }
        }
    }
    outside + rest
}
