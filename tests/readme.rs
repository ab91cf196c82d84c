//! The commands of the README, the guide and the help texts run, and print what it says they print.
//!
//! Of each `console` block the lines after `$ ` are run by a shell, in a directory in which `./AWSLogs` is the
//! archive of the demo and in which the page's earlier commands were run. What stands between two commands must be
//! their output, both streams together. With `KEYTRAIL_UPDATE_DOCS` set, the guide's outputs are written anew.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../docs/guide.md");

/// A command line, and the output that is shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    command: String,
    output: String,
}

fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_console = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            examples.push(Example { command: command.to_owned(), output: String::new() });
        } else if is_console {
            let example = examples.last_mut().expect("a console block begins with a command");
            example.output.push_str(line);
            example.output.push('\n');
        }
    }
    examples
}

/// A directory in which the commands of a page make sense.
fn place() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().expect("a directory can be made");
    let samples = root.join("sample-logs");
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, directory.path().join(name)).expect("a link can be made");
    };
    link(&samples, "sample-logs");
    link(&samples.join("07-policy-overwritten-by-terraform/AWSLogs"), "AWSLogs");
    directory
}

/// Runs a command line as a shell does, with the `keytrail` under test.
fn run(command: &str) -> (bool, String) {
    run_in(place().path(), command)
}

fn run_in(directory: &Path, command: &str) -> (bool, String) {
    let built = Path::new(env!("CARGO_BIN_EXE_keytrail"));
    let path = std::env::var_os("PATH").expect("there is a PATH");
    let bin = built.parent().expect("in a directory").to_owned();
    let paths = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)));
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(directory)
        .env("PATH", paths.expect("a PATH"))
        .env_remove("CLICOLOR_FORCE")
        .stdout(writer.try_clone().expect("a pipe has two ends"))
        .stderr(writer);
    let mut child = shell.spawn().expect("a shell can be started");
    // The ends of the pipe that the builder holds must go, or the reading never ends.
    drop(shell);
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("the output is UTF-8");
    (child.wait().expect("the shell ends").success(), output)
}

#[test]
fn commands_run_and_print_what_is_shown() {
    let mut ran = 0;
    for Example { command, output } in examples(README) {
        // `cargo run --release -- ARGUMENTS` is the command under test; other cargo commands are of no use here.
        let command = command.replace("cargo run --release --", "keytrail");
        if command.starts_with("cargo ") {
            continue;
        }
        assert!(command.starts_with("keytrail "), "`{command}` cannot be tried");
        let (is_success, printed) = run(&command);
        assert!(is_success, "`{command}` fails: {printed}");
        if !output.is_empty() {
            assert_eq!(printed, output, "`{command}` prints something else");
        }
        ran += 1;
    }
    assert!(ran > 8, "only {ran} commands were tried");
}

#[test]
fn the_guide_can_be_walked_and_prints_what_is_shown() {
    let directory = place();
    if std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide.md");
        std::fs::write(path, with_outputs(GUIDE, directory.path())).expect("docs/ is writable");
        return;
    }
    let examples = examples(GUIDE);
    assert!(examples.len() > 8, "only {} commands", examples.len());
    for Example { command, output } in examples {
        let (is_success, printed) = run_in(directory.path(), &command);
        assert!(is_success, "`{command}` fails: {printed}");
        assert!(
            printed == output || output.is_empty(),
            "`{command}` prints something else; run with KEYTRAIL_UPDATE_DOCS=1, and read the difference: {printed}"
        );
    }
}

/// A page in which whatever is shown below a command is what it prints now.
fn with_outputs(markdown: &str, directory: &Path) -> String {
    let mut page = String::new();
    let mut lines = markdown.lines().peekable();
    let mut is_console = false;
    while let Some(line) = lines.next() {
        page.push_str(line);
        page.push('\n');
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            let printed = run_in(directory, command).1;
            let mut is_shown = false;
            while lines.next_if(|next| !next.starts_with("```") && !next.starts_with("$ ")).is_some() {
                is_shown = true;
            }
            if is_shown {
                page.push_str(&printed);
            }
        }
    }
    page
}

#[test]
fn outputs_of_a_page_are_written_anew_where_some_are_shown() {
    let directory = place();
    let page = "a\n```console\n$ echo new\nold\nolder\n$ echo unseen\n```\n```sh\n$ echo no\nleft\n```\n";
    assert_eq!(
        with_outputs(page, directory.path()),
        "a\n```console\n$ echo new\nnew\n$ echo unseen\n```\n```sh\n$ echo no\nleft\n```\n"
    );
}

#[test]
fn examples_of_the_help_texts_run() {
    let directory = place();
    let mut ran = 0;
    let command = keytrail::cli::command();
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
        for example in examples.lines().map(str::trim).filter(|line| line.starts_with("keytrail ")) {
            // Buckets and CloudTrail's API are for other tests.
            if example.contains("s3://") || example.contains("lookup:") {
                continue;
            }
            let (is_success, printed) = run_in(directory.path(), example);
            assert!(is_success, "`{example}` fails: {printed}");
            ran += 1;
        }
    }
    assert!(ran > 12, "only {ran} examples were tried");
}

#[test]
fn the_readme_shows_a_real_output() {
    assert!(examples(README).iter().any(|example| example.output.contains("kms-denied")));
}

#[test]
fn links_to_files_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/cli.md",
        "docs/guide.md",
        "docs/limits.md",
        "docs/outputs.md",
    ];
    for document in documents {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        let directory = root.join(document).parent().expect("in a directory").to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().expect("a part");
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            links += 1;
            let file = target.split('#').next().expect("a part");
            assert!(directory.join(file).exists(), "{document} links to {target}");
        }
    }
    assert!(links > 10, "only {links} links were looked at");
}

#[test]
fn a_block_is_read_as_commands_and_their_output() {
    let example = |command: &str, output: &str| Example { command: command.into(), output: output.into() };
    assert_eq!(
        examples("```console\n$ a\n$ b c\nout\n\nput\n```\n$ no\n```sh\n$ no\n```\n"),
        [example("a", ""), example("b c", "out\n\nput\n")]
    );
}

#[test]
fn a_failing_command_and_both_streams_are_seen() {
    assert!(!run("keytrail analyze no/such/place").0);
    let (is_success, printed) = run("keytrail analyze sample-logs/01-healthy");
    assert!(is_success && printed.contains("i-0903171f8d8044392") && printed.contains("records read"));
}
