//! What a terminal gets: colours as asked for, lines that fit, and the sparkline where there is room for it.
//!
//! The terminal is made by `script`, which every Linux distribution has.

#![cfg(target_os = "linux")]

use std::process::Command;

const ESCAPE: char = '\u{1b}';
const SAMPLE: &str = "sample-logs/07-policy-overwritten-by-terraform";

/// What a terminal of `columns` shows when a shell runs `command` with `environment`, a line per line.
fn shown(columns: u32, environment: &[(&str, &str)], command: &str) -> Vec<String> {
    let keytrail = env!("CARGO_BIN_EXE_keytrail");
    let line = format!("stty cols {columns} rows 50; {keytrail} {command}");
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        // Where it is set, a dumb terminal is taken for a log that shows colours.
        .env_remove("CI")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null());
    let output = script.output().expect("`script` can be started");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{command}: {text}");
    // A progress bar erases itself; what stays is behind the last return of the carriage.
    text.replace("\r\n", "\n")
        .lines()
        .map(|line| line.rsplit('\r').next().unwrap_or_default().to_owned())
        .collect()
}

/// Columns of a line without its styles.
fn columns(line: &str) -> usize {
    let mut parts = line.split(ESCAPE);
    let first = parts.next().unwrap_or_default().chars().count();
    first + parts.map(|part| part.find('m').map_or(0, |end| part[end + 1..].chars().count())).sum::<usize>()
}

fn has_colour(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains("\u{1b}[31m") || line.contains("\u{1b}[1m"))
}

#[test]
fn a_terminal_gets_colours_unless_somebody_says_no() {
    let command = format!("analyze {SAMPLE}");
    assert!(has_colour(&shown(120, &[], &command)));
    assert!(!has_colour(&shown(120, &[("NO_COLOR", "1")], &command)));
    assert!(!has_colour(&shown(120, &[("CLICOLOR", "0")], &command)));
    assert!(!has_colour(&shown(120, &[("TERM", "dumb")], &command)));
    assert!(!has_colour(&shown(120, &[], &format!("{command} --color never"))));
    // What is typed is meant more than what is set.
    assert!(has_colour(&shown(120, &[("NO_COLOR", "1")], &format!("{command} --color always"))));
}

#[test]
fn help_obeys_the_same() {
    assert!(has_colour(&shown(120, &[], "analyze --help")));
    assert!(!has_colour(&shown(120, &[], "analyze --help --color never")));
    assert!(!has_colour(&shown(120, &[("NO_COLOR", "1")], "analyze --help")));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [80, 100, 160] {
        for command in [
            format!("analyze {SAMPLE}"),
            "analyze sample-logs".to_owned(),
            format!("verify {SAMPLE}; true"),
            "verify sample-logs; true".to_owned(),
            "demo".to_owned(),
            "rules".to_owned(),
            "--help".to_owned(),
            "analyze -h".to_owned(),
        ] {
            for line in shown(width, &[], &command) {
                // A command to be copied is never broken.
                let is_command = line.contains("next:");
                assert!(columns(&line) <= width as usize || is_command, "{command} at {width}: {line}");
            }
        }
    }
}

#[test]
fn a_verification_on_a_narrow_screen_breaks_between_words() {
    let lines = shown(80, &[], &format!("verify {SAMPLE} --color never; true"));
    let key = "arn:aws:kms:eu-west-1:123456789012:key/ed0b94da-c9c1-4389-80e4-227726e63811";
    assert!(lines.contains(&format!("  {key}:")), "the key of the note is whole: {lines:#?}");
    for line in ["fail          i-057f01a3e2626bbae  general  ed0b94da… refused", "  duplicate"] {
        assert!(lines.iter().any(|shown| shown == line), "{line} in {lines:#?}");
    }
}

#[test]
fn launches_and_ends_are_drawn_where_there_is_room() {
    let is_drawn =
        |lines: &[String]| lines.iter().any(|line| line.contains('█') && line.contains("launched"));
    let command = format!("analyze {SAMPLE} --color never --quiet");
    let wide = shown(100, &[], &command);
    assert!(is_drawn(&wide), "{wide:#?}");
    let ended = wide.iter().find(|line| line.contains("ended  ")).expect("a line of ends");
    assert!(ended.ends_with("███········  3, 3 of a refused key"), "{ended}");
    assert!(!is_drawn(&shown(99, &[], &command)));
    assert!(!is_drawn(&shown(160, &[], &format!("{command} -o wide"))), "that has a line per node as it is");
}
