//! A lower layer never imports an upper one, so data can only flow down: reads the paths that begin at the
//! crate's root, in code and tests, file by file.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

/// Each directory of `src`, lower ones first, and the ones that it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("policy", &["event"]),
    ("manifest", &["event"]),
    ("source", &["event"]),
    ("integrity", &["event"]),
    ("archive", &["event", "source"]),
    ("extract", &["event", "source", "archive"]),
    ("correlate", &["event", "policy", "manifest"]),
    ("rules", &["event", "policy", "manifest", "correlate"]),
    ("verify", &["event", "manifest", "correlate", "rules"]),
    ("report", &["event", "policy", "manifest", "integrity", "correlate", "rules", "verify"]),
    (
        "cli",
        &[
            "event",
            "policy",
            "manifest",
            "source",
            "integrity",
            "archive",
            "extract",
            "correlate",
            "rules",
            "verify",
            "report",
        ],
    ),
];

/// A path that leads out of a module and into another of the crate's root.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    module: String,
}

fn leading_name(text: &str) -> &str {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(text.len());
    &text[..end]
}

/// Names at the first level of `{a, b::{c, d}, e}`, of which `text` is what follows the brace.
fn names_in_group(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut depth = 0usize;
    let mut is_start = true;
    for (index, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if letter.is_whitespace() => {}
            _ if is_start && depth == 0 => {
                names.push(leading_name(&text[index..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

/// Imports of a source text. `depth`: how many `super` lead from its module to the crate's root.
fn imports(source: &str, depth: usize) -> Vec<Import> {
    // A link in a comment imports nothing.
    let code: String = source
        .lines()
        .map(|line| if line.trim_start().starts_with("//") { "\n".to_owned() } else { format!("{line}\n") })
        .collect();
    let mut found = Vec::new();
    let mut note = |at: usize, names: &str| {
        let names = match names.strip_prefix('{') {
            Some(group) => names_in_group(group),
            None => vec![leading_name(names)],
        };
        let line = code[..at].matches('\n').count() + 1;
        found.extend(names.into_iter().map(|name| Import { line, module: name.to_owned() }));
    };
    for (at, root) in code.match_indices("crate::") {
        // Neither the tail of another name, nor a text that names a path.
        let is_path =
            !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '"');
        if is_path {
            note(at, &code[at + root.len()..]);
        }
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &code[at..];
        let mut climbed = 0;
        while let Some(above) = rest.strip_prefix("super::") {
            rest = above;
            climbed += 1;
        }
        // A module within the file is deeper than the file: then the path may end below the root, where
        // a module rarely has the name of a layer.
        if climbed >= depth {
            note(at, rest);
        }
    }
    found.retain(|import| LAYERS.iter().any(|(layer, _)| *layer == import.module));
    found
}

/// What is wrong with one file of a layer.
fn wrong_imports(layer: &str, source: &str, depth: usize) -> Vec<Import> {
    let (_, allowed) =
        LAYERS.iter().find(|(known, _)| *known == layer).expect("asked for a layer of the table only");
    imports(source, depth)
        .into_iter()
        .filter(|import| import.module != layer && !allowed.contains(&import.module.as_str()))
        .collect()
}

#[test]
fn no_layer_imports_an_upper_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    let mut wrong = Vec::new();
    for entry in WalkDir::new(&root).sort_by_file_name() {
        let entry = entry.expect("the sources can be listed");
        if !entry.file_type().is_file() {
            continue;
        }
        let inner = entry.path().strip_prefix(&root).expect("below the root");
        let parts: Vec<&str> = inner.iter().map(|part| part.to_str().expect("names are UTF-8")).collect();
        if matches!(parts[..], ["lib.rs" | "main.rs"]) {
            continue;
        }
        let layer = parts[0].trim_end_matches(".rs");
        assert!(
            LAYERS.iter().any(|(known, _)| *known == layer),
            "{layer}: a new directory of src needs its place in the table of layers"
        );
        let depth = if parts.last() == Some(&"mod.rs") { parts.len() - 1 } else { parts.len() };
        let source = fs::read_to_string(entry.path()).expect("sources are text");
        files += 1;
        for import in wrong_imports(layer, &source, depth) {
            wrong.push(format!("src/{}:{}: {layer} imports {}", inner.display(), import.line, import.module));
        }
    }
    assert!(files > 50, "only {files} files were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_itself_has_no_circle() {
    for (index, (layer, allowed)) in LAYERS.iter().enumerate() {
        for lower in *allowed {
            assert!(
                LAYERS[..index].iter().any(|(known, _)| known == lower),
                "{layer} may not import {lower}"
            );
        }
    }
}

#[test]
fn an_upward_import_is_caught_in_every_form() {
    let caught = |layer, source, depth| -> Vec<String> {
        wrong_imports(layer, source, depth).into_iter().map(|import| import.module).collect()
    };
    assert_eq!(caught("event", "use crate::archive::read;", 1), ["archive"]);
    assert_eq!(
        caught("rules", "use crate::{\n    event::{Event, Id},\n    report::Style,\n};", 2),
        ["report"]
    );
    assert_eq!(caught("correlate", "fn f() { crate::source::disk::list(p); }", 2), ["source"]);
    assert_eq!(caught("policy", "pub(crate) use super::super::manifest::Key;", 2), ["manifest"]);
    assert_eq!(caught("report", "use super::{csv, archive::Quiet};", 1), ["archive"]);
}

#[test]
fn what_is_allowed_or_no_import_is_left_alone() {
    for (layer, source) in [
        ("rules", "use crate::correlate::Case;\nuse crate::event::Id;"),
        ("rules", "pub(crate) fn remedy() {}"),
        ("event", "//! See [`crate::report`].\n    /// As [`crate::cli`] shows it."),
        ("event", "use other_crate::archive::Reader;"),
        ("event", "assert!(!source.contains(\"crate::archive\"));"),
        ("report", "use super::super::table::archive;"),
        ("cli", "use crate::{archive, report, rules, source};"),
    ] {
        assert_eq!(wrong_imports(layer, source, 3), [], "{source}");
    }
}
