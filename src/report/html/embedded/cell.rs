//! Cells of the embedded tables, and the strings that they refer to.
//!
//! Texts come in, numbers go out: each text is kept once. Of sentences, ids are taken out, so that thousands of
//! sentences that differ in an id are one.

use std::collections::HashMap;

use serde::Serialize;

use crate::report::html::shown::Shown;

/// A word of a sentence with a digit is taken out if it is at least that long.
const ID_CHARACTERS_MIN: usize = 6;
/// Stands for a word that was taken out; no shown text has it.
const GAP: &str = "\u{0}";

/// One cell.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    None,
    Number(i64),
    /// Number of a row of another table.
    Index(usize),
    /// Number of a string.
    Text(usize),
    /// A string with gaps, and the strings in them.
    Phrase(Vec<usize>),
    Numbers(Vec<usize>),
    Rows(Vec<Vec<Cell>>),
}

/// All strings, each once.
#[derive(Default)]
pub(super) struct Strings {
    numbers: HashMap<Shown, usize>,
    pub(super) all: Vec<Shown>,
}

impl Strings {
    pub(super) fn number(&mut self, text: Shown) -> usize {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        self.all.push(text.clone());
        self.numbers.insert(text, self.all.len() - 1);
        self.all.len() - 1
    }

    pub(super) fn text(&mut self, text: &str) -> Cell {
        Cell::Text(self.number(Shown::text(text)))
    }

    pub(super) fn lines(&mut self, text: &str) -> Cell {
        Cell::Text(self.number(Shown::lines(text)))
    }

    pub(super) fn optional(&mut self, text: Option<&str>) -> Cell {
        text.map_or(Cell::None, |text| self.text(text))
    }

    pub(super) fn list<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Cell {
        Cell::Numbers(texts.into_iter().map(|text| self.number(Shown::text(text))).collect())
    }

    /// A sentence without its ids, and the ids.
    pub(super) fn phrase(&mut self, text: &str) -> Cell {
        let shown = Shown::text(text);
        let mut filling = Vec::new();
        let words: Vec<&str> = shown
            .as_str()
            .split(' ')
            .map(|word| {
                let is_id = word.len() >= ID_CHARACTERS_MIN && word.bytes().any(|byte| byte.is_ascii_digit());
                if is_id {
                    filling.push(word);
                    GAP
                } else {
                    word
                }
            })
            .collect();
        if filling.is_empty() {
            return Cell::Text(self.number(shown));
        }
        let mut numbers = vec![self.number(Shown::with_gaps(words.join(" ")))];
        numbers.extend(filling.into_iter().map(|word| self.number(Shown::text(word))));
        Cell::Phrase(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Strings};

    #[test]
    fn sentences_that_differ_in_an_id_share_their_words() {
        let mut strings = Strings::default();
        let one = strings.phrase("Volume vol-0aaaaaaa… was opened with key 11111111…");
        let two = strings.phrase("Volume vol-0bbbbbbb… was opened with key 11111111…");
        assert_eq!(one, Cell::Phrase(vec![0, 1, 2]));
        assert_eq!(two, Cell::Phrase(vec![0, 3, 2]));
        assert_eq!(strings.all[0].as_str(), "Volume \u{0} was opened with key \u{0}");
        assert_eq!(strings.phrase("no id at all"), Cell::Text(4));
    }

    #[test]
    fn a_text_that_holds_the_mark_of_a_gap_has_it_escaped() {
        let mut strings = Strings::default();
        assert_eq!(strings.phrase("a \u{0} b"), Cell::Text(0));
        assert_eq!(strings.all[0].as_str(), "a \\u{0} b");
    }
}
