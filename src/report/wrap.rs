//! Lines of prose that fit a screen.
//!
//! Sanitized text comes in, lines of at most so many columns go out. Words too long for a line (paths, ARNs)
//! are broken, behind a slash where there is one. Takes time linear in the text.

use unicode_width::UnicodeWidthChar as _;

/// Characters without width that a line may hold for each of its columns.
const CHARACTERS_PER_COLUMN_MAX: usize = 4;

/// Wraps `text` into lines of at most `columns`; the first of them has only `first` columns.
pub(super) fn wrapped(text: &str, first: usize, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut line = Filling::new(first.max(1));
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let gap = usize::from(!line.text.is_empty());
        if line.takes(word, gap) {
            line.add(word, gap);
            continue;
        }
        if !line.text.is_empty() || first < columns && lines.is_empty() {
            lines.push(std::mem::replace(&mut line, Filling::new(columns)).text);
        }
        for piece in pieces(word, columns) {
            if !line.text.is_empty() {
                lines.push(std::mem::replace(&mut line, Filling::new(columns)).text);
            }
            line.add(piece, 0);
        }
    }
    lines.push(line.text);
    lines
}

/// A line as it fills.
struct Filling {
    text: String,
    columns: usize,
    used: usize,
    characters: usize,
}

impl Filling {
    fn new(columns: usize) -> Self {
        Self { text: String::new(), columns, used: 0, characters: 0 }
    }

    fn takes(&self, word: &str, gap: usize) -> bool {
        let (width, characters) = measure(word);
        self.used + gap + width <= self.columns
            && self.characters + gap + characters <= self.columns * CHARACTERS_PER_COLUMN_MAX
    }

    fn add(&mut self, word: &str, gap: usize) {
        let (width, characters) = measure(word);
        self.text.extend(std::iter::repeat_n(' ', gap));
        self.text.push_str(word);
        self.used += gap + width;
        self.characters += gap + characters;
    }
}

fn measure(word: &str) -> (usize, usize) {
    if word.is_ascii() {
        return (word.len(), word.len());
    }
    word.chars().fold((0, 0), |(width, count), one| (width + one.width().unwrap_or(0), count + 1))
}

/// A word in pieces of at most `columns`.
pub(super) fn pieces(word: &str, columns: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let (mut used, mut characters) = (0, 0);
    let mut slash = None;
    for (at, character) in word.char_indices() {
        let width = character.width().unwrap_or(0);
        if used + width > columns || characters + 1 > columns * CHARACTERS_PER_COLUMN_MAX {
            // A slash in the second half of the piece is a better place to break.
            let end = slash.filter(|slash| slash - start > columns / 2).unwrap_or(at);
            pieces.push(&word[start..end]);
            start = end;
            (used, characters) = measure(&word[start..at]);
            slash = None;
        }
        used += width;
        characters += 1;
        if character == '/' {
            slash = Some(at + 1);
        }
    }
    pieces.push(&word[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::wrapped;
    use crate::report::style::width;

    #[test]
    fn prose_breaks_between_words() {
        assert_eq!(
            wrapped("KMS refused the key to Karpenter", 20, 20),
            ["KMS refused the key", "to Karpenter"]
        );
        assert_eq!(wrapped("KMS refused the key", 7, 20), ["KMS", "refused the key"]);
        assert_eq!(wrapped("refused", 3, 20), ["", "refused"]);
        assert_eq!(wrapped("", 20, 20), [""]);
    }

    #[test]
    fn long_words_break_behind_a_slash_or_anywhere() {
        assert_eq!(
            wrapped("in AWSLogs/111122223333/CloudTrail/us-east-1/file.json.gz", 24, 24),
            ["in", "AWSLogs/111122223333/", "CloudTrail/us-east-1/", "file.json.gz"]
        );
        assert_eq!(wrapped(&"x".repeat(20), 8, 8), ["xxxxxxxx", "xxxxxxxx", "xxxx"]);
        assert_eq!(wrapped("東京東京東", 8, 8), ["東京東京", "東"]);
    }

    #[test]
    fn a_heap_of_combining_characters_does_not_make_an_endless_line() {
        let heap = format!("a{}", "\u{301}".repeat(10_000));
        assert!(wrapped(&heap, 20, 20).iter().all(|line| line.chars().count() <= 80));
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_nothing_is_lost(
            text in "([a-z/]{0,40} ?|[東é] ?){0,12}", first in 1usize..40, columns in 8usize..40
        ) {
            let lines = wrapped(&text, first, columns);
            for (index, line) in lines.iter().enumerate() {
                let limit = if index == 0 { first.max(columns) } else { columns };
                prop_assert!(width(line) <= limit);
            }
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
