//! The style that a compiler does not hold: names of modules, lengths and openings of files, unfinished code,
//! account ids that could be somebody's, paths of somebody's machine.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

const SOURCE_DIRECTORIES: &[&str] = &["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing of what is inside.
const BANNED_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "shared", "core", "manager"];

/// Account ids that AWS's documentation uses as examples.
const EXAMPLE_ACCOUNTS: &[&str] =
    &["111122223333", "444455556666", "777788889999", "123456789012", "210987654321"];

/// Split, so that this file does not find itself.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimpl", "emented!"), concat!("to", "do!")];

/// Where files stand on machines of people and services.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// A text of the repository, with the path that names it.
struct Text {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &str) -> impl Iterator<Item = PathBuf> {
    WalkDir::new(root().join(directory))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.expect("the repository can be listed"))
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
}

fn read(path: &Path) -> Text {
    let name = path.strip_prefix(root()).expect("below the root").display().to_string();
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = if name.ends_with(".gz") {
        // Some samples are damaged on purpose: what comes before the damage counts.
        let mut inflated = Vec::new();
        let _ = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut inflated);
        inflated
    } else {
        bytes
    };
    Text { path: name, text: String::from_utf8_lossy(&bytes).into_owned() }
}

fn rust_files() -> Vec<Text> {
    let paths = SOURCE_DIRECTORIES.iter().flat_map(|directory| files_below(directory));
    let files: Vec<Text> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| read(&path))
        .collect();
    assert!(files.len() > 100, "only {} source files were found", files.len());
    files
}

/// Everything that is written here: sources, documents, samples, configuration.
fn all_texts() -> Vec<Text> {
    let mut paths: Vec<PathBuf> = SOURCE_DIRECTORIES
        .iter()
        .chain(&["docs", "sample-logs", ".ci", "fuzz/seeds"])
        .flat_map(|directory| files_below(directory))
        .collect();
    for entry in fs::read_dir(root()).expect("the repository can be listed") {
        let path = entry.expect("the repository can be listed").path();
        // Checksums of dependencies may hold any digits, and in a worktree `.git` is a file.
        if path.is_file() && path.file_name().is_some_and(|name| name != "Cargo.lock" && name != ".git") {
            paths.push(path);
        }
    }
    paths.iter().map(|path| read(path)).collect()
}

/// Runs of exactly twelve digits that are no part of a longer word: not the tail of a UUID, a hash or a time.
fn account_ids(text: &str) -> Vec<&str> {
    let is_of_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '.';
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find(|letter: char| letter.is_ascii_digit()).map(|at| rest + at) {
        let length = text[start..].bytes().take_while(u8::is_ascii_digit).count();
        let end = start + length;
        let is_apart = !text[..start].ends_with(is_of_word)
            && !text[end..].starts_with(|letter: char| letter.is_alphanumeric() || letter == '-');
        if length == 12 && is_apart {
            found.push(&text[start..end]);
        }
        rest = end;
    }
    found
}

/// Lines of `texts` that hold one of `banned`.
fn lines_with(texts: &[Text], banned: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for Text { path, text } in texts {
        for (number, line) in (1..).zip(text.lines()) {
            found.extend(
                banned
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{path}:{number}: `{word}`")),
            );
        }
    }
    found
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn names_of_modules_say_what_is_inside() {
    let found: Vec<String> = rust_files()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            path.split('/').any(|part| BANNED_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part)))
        })
        .collect();
    assert_none(&found, "names that say nothing");
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let found: Vec<String> = rust_files()
        .iter()
        .map(|file| (file.text.lines().count(), &file.path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert_none(&found, "files that want to be split");
}

#[test]
fn every_module_says_what_it_is() {
    let found: Vec<String> = rust_files()
        .iter()
        // Of `module/tests.rs`, the module says it.
        .filter(|file| !(file.path.starts_with("src/") && file.path.ends_with("/tests.rs")))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    assert_none(&found, "files that do not begin with `//!`");
}

#[test]
fn nothing_is_left_unfinished() {
    assert_none(&lines_with(&rust_files(), UNFINISHED), "unfinished");
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    assert_none(&lines_with(&all_texts(), MACHINE_PATHS), "paths of a machine");
}

#[test]
fn account_ids_are_nobodys() {
    let texts = all_texts();
    let mut count = 0;
    let mut found = Vec::new();
    for Text { path, text } in &texts {
        for account in account_ids(text) {
            count += 1;
            if !EXAMPLE_ACCOUNTS.contains(&account) {
                found.push(format!("{path}: {account}"));
            }
        }
    }
    assert!(count > 1_000, "only {count} account ids were looked at: are the samples still read?");
    found.dedup();
    assert_none(&found, "account ids that are no examples");
}

#[test]
fn account_ids_are_told_from_other_digits() {
    // Made up here, so that the check of this file does not find it.
    let account = "9".repeat(12);
    for before in ["\"", ":", "/", " ", "_", "="] {
        let text = format!("arn{before}{account}:key");
        assert_eq!(account_ids(&text), [account.as_str()], "{text}");
    }
    for text in [
        format!("11111111-2222-3333-4444-{account}"),
        format!("1{account}"),
        format!("{account}4"),
        format!("0.{account}"),
        format!("{account}abc"),
        "12345".to_owned(),
    ] {
        assert_eq!(account_ids(&text), [""; 0], "{text}");
    }
}

#[test]
fn a_banned_word_is_found_where_it_stands() {
    let text = Text { path: "a.rs".to_owned(), text: format!("fine\n// {}: later", UNFINISHED[0]) };
    assert_eq!(lines_with(&[text], UNFINISHED), [format!("a.rs:2: `{}`", UNFINISHED[0])]);
}
