//! Texts in Markdown that stay text: in code spans, in prose, in fences.
//!
//! Texts of a log come in, GitHub-flavoured Markdown goes out in which none of them becomes markup, a link,
//! a mention or HTML, and no character steers a screen.

use std::io::{self, Write};

use crate::report::sanitize::sanitize;
use crate::rules::Document;

/// Writes a text ready to paste, in a fence longer than any run of backticks in it.
pub(in crate::report) fn write_fenced(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let fence = "`".repeat(longest_run(&document.body).max(2) + 1);
    writeln!(out, "\n{fence}{}", language(document.format))?;
    for line in document.body.lines() {
        writeln!(out, "{}", sanitize(line))?;
    }
    writeln!(out, "{fence}")
}

/// The language that a fence names.
fn language(format: &str) -> &'static str {
    match format {
        "iam-json" => "json",
        "terraform" => "hcl",
        "yaml" => "yaml",
        "aws-cli" => "sh",
        _ => "",
    }
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A code span that shows exactly `text`.
pub(in crate::report) fn code(text: &str) -> String {
    let text = sanitize(text);
    if text.trim().is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A code span for a table, where a pipe would end the cell even inside a code span.
pub(in crate::report) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Prose in which nothing is markup.
pub(in crate::report) fn escaped(text: &str) -> String {
    let text = sanitize(text);
    let mut safe = String::with_capacity(text.len() + text.len() / 8);
    let mut is_start = true;
    let mut digits = false;
    for (at, character) in text.char_indices() {
        let rest = &text[at..];
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' => safe.extend(['\\', character]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // No mention of a user, no address, no link: nobody must be led anywhere by a log.
            '@' => safe.push_str("&#64;"),
            ':' if rest.starts_with("://") => safe.push_str("&#58;"),
            'w' | 'W' if rest.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www.")) => {
                safe.push_str(if character == 'w' { "&#119;" } else { "&#87;" });
            }
            '-' | '+' | '=' if is_start => safe.extend(['\\', character]),
            '.' | ')' if digits => safe.extend(['\\', character]),
            _ => safe.push(character),
        }
        digits = character.is_ascii_digit() && (is_start || digits);
        is_start = is_start && character == ' ';
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{cell, code, escaped};

    #[test]
    fn code_spans_hold_any_text() {
        for (text, shown) in [
            ("i-0aaaaaaaaaaaaaaaa", "`i-0aaaaaaaaaaaaaaaa`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("`a", "`` `a ``"),
            ("", ""),
            ("\u{1b}[2J\n", r"`\u{1b}[2J\u{a}`"),
        ] {
            assert_eq!(code(text), shown);
        }
        assert_eq!(cell("a|b"), "`a\\|b`");
    }

    #[test]
    fn prose_is_no_markup() {
        for (text, shown) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("**bold** _it_ [a](b) `c` ~~d~~ | e", r"\*\*bold\*\* \_it\_ \[a\](b) \`c\` \~\~d\~\~ \| e"),
            (
                "https://evil.example www.evil.example @octocat",
                "https&#58;//evil.example &#119;ww.evil.example &#64;octocat",
            ),
            ("- item", r"\- item"),
            ("1. item", r"1\. item"),
            ("# heading", r"\# heading"),
            ("no 1. in the middle, t3.large", "no 1. in the middle, t3.large"),
            ("&lt;", "&amp;lt;"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
