//! What a person sees: colours, progress, a pipe that closes, and texts of a log that want to do harm.

use std::io::{BufRead as _, BufReader};

use super::keytrail::{Run, keytrail, sample_text};

const ESCAPE: char = '\u{1b}';

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let demo = |arguments: &str| keytrail(&format!("demo {arguments}"));
    assert!(!demo("").succeed().stdout.contains(ESCAPE));
    assert!(demo("--color always").succeed().stdout.contains(ESCAPE));
    let no_color = demo("").environment("NO_COLOR", "1").succeed();
    assert!(!no_color.stdout.contains(ESCAPE) && !no_color.stderr.contains(ESCAPE));
    let forced = demo("").environment("CLICOLOR_FORCE", "1").succeed();
    assert!(forced.stdout.contains(ESCAPE) && forced.stderr.contains(ESCAPE));
    let both = demo("").environment("CLICOLOR_FORCE", "1").environment("NO_COLOR", "1").succeed();
    assert!(!both.stdout.contains(ESCAPE) && !both.stderr.contains(ESCAPE));
    assert!(!demo("--color never").environment("CLICOLOR_FORCE", "1").succeed().stdout.contains(ESCAPE));
}

#[test]
fn results_and_summary_go_different_ways_and_quiet_leaves_the_results() {
    let loud = keytrail("analyze sample-logs/01-healthy").succeed();
    assert!(loud.stdout.contains("i-0903171f8d8044392") && !loud.stdout.contains("records read"));
    assert!(loud.stderr.contains("records read"), "{}", loud.stderr);
    let quiet = keytrail("analyze sample-logs/01-healthy --quiet").succeed();
    assert_eq!(quiet.stdout, loud.stdout);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn there_is_no_progress_bar_without_a_terminal() {
    let run = keytrail("analyze sample-logs").succeed();
    assert!(!run.stderr.contains('\r') && !run.stderr.contains(ESCAPE), "{:?}", run.stderr);
    assert!(!run.stderr.contains('█') && !run.stderr.contains(" left"), "{}", run.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for arguments in
        ["rules", "schema", "analyze sample-logs -o json", "analyze sample-logs -o csv --table timeline"]
    {
        let run = keytrail(arguments);
        let mut child = run.command().spawn().expect("keytrail can be started");
        let mut reader = BufReader::with_capacity(1, child.stdout.take().expect("a pipe"));
        reader.read_line(&mut String::new()).expect("a first line");
        drop(reader);
        let output = child.wait_with_output().expect("keytrail ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {stderr}");
        assert!(!stderr.contains("error"), "{arguments}: {stderr}");
    }
}

/// Nodepools with names that nobody gives in good faith, as CloudTrail writes them.
fn hostile(output: &str) -> Run {
    let name = r#""=cmd|' /C calc'!A1\u001b[2J\u001b]0;owned\u0007\u202egnp.\n\u0000<script>""#;
    let text = sample_text("01-healthy");
    let hostile = text.replace("\"general\"", name);
    assert!(hostile.matches("owned").count() > 3, "the name is in the logs");
    keytrail(&format!("analyze - {output}")).input(hostile).succeed()
}

fn has_hazard(text: &str) -> bool {
    text.chars().any(|letter| (letter.is_control() && letter != '\n') || letter == '\u{202e}')
}

#[test]
fn no_text_of_a_log_steers_the_terminal() {
    for output in ["-o table", "-o wide", "--color never"] {
        let run = hostile(output);
        assert!(run.stdout.contains("owned"), "the name is shown: {}", run.stdout);
        assert!(!has_hazard(&run.stdout), "{output}: {:?}", run.stdout);
        assert!(!has_hazard(&run.stderr), "{output}: {:?}", run.stderr);
    }
}

#[test]
fn no_text_of_a_log_is_a_formula() {
    for table in ["nodes", "volumes", "timeline", "findings"] {
        let text = hostile(&format!("-o csv --table {table}")).stdout;
        assert!(!has_hazard(&text.replace('\r', "")), "{table}: {text:?}");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        for row in reader.records() {
            for cell in &row.expect("a row") {
                assert!(!cell.starts_with(['=', '+', '-', '@']), "{table}: {cell:?}");
            }
        }
    }
}

#[test]
fn programs_get_the_text_as_it_was_logged() {
    let document = hostile("-o json");
    assert!(!has_hazard(&document.stdout), "JSON escapes what steers");
    let pool = document.json()["nodes"][0]["nodepool"].as_str().expect("a nodepool").to_owned();
    assert_eq!(pool, "=cmd|' /C calc'!A1\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gnp.\n\0<script>");
}

#[test]
fn a_path_that_steers_the_terminal_is_shown_safely_in_errors() {
    let run = keytrail("analyze").argument("no\u{1b}[2J\u{202e}such").fail(&["no such file or directory"]);
    assert!(!has_hazard(&run.stderr), "{:?}", run.stderr);
}
