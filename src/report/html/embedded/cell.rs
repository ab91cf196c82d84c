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
    /// Numbers of strings.
    Texts(Vec<usize>),
    Numbers(Vec<usize>),
    Rows(Vec<Vec<Cell>>),
}

/// All strings, each once.
#[derive(Default)]
pub(super) struct Strings {
    numbers: HashMap<Shown, usize>,
    all: Vec<Shown>,
    /// How often each is referred to.
    uses: Vec<usize>,
}

/// New numbers for strings: the more often one is used, the shorter its number.
pub(super) struct Renumbering(Vec<usize>);

impl Renumbering {
    pub(super) fn apply(&self, rows: &mut [Vec<Cell>]) {
        for cell in rows.iter_mut().flatten() {
            match cell {
                Cell::Text(number) => *number = self.0[*number],
                Cell::Phrase(numbers) | Cell::Texts(numbers) => {
                    numbers.iter_mut().for_each(|number| *number = self.0[*number]);
                }
                Cell::Rows(rows) => self.apply(rows),
                Cell::None | Cell::Number(_) | Cell::Index(_) | Cell::Numbers(_) => {}
            }
        }
    }
}

impl Strings {
    pub(super) fn number(&mut self, text: Shown) -> usize {
        if let Some(number) = self.numbers.get(&text) {
            self.uses[*number] += 1;
            return *number;
        }
        self.all.push(text.clone());
        self.uses.push(1);
        self.numbers.insert(text, self.all.len() - 1);
        self.all.len() - 1
    }

    /// The strings in their final order, and the numbers that they have there.
    pub(super) fn by_use(self) -> (Vec<Shown>, Renumbering) {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by_key(|number| std::cmp::Reverse(self.uses[*number]));
        let mut renumbering = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            renumbering[*old] = new;
        }
        let mut all: Vec<Option<Shown>> = self.all.into_iter().map(Some).collect();
        let sorted = order.into_iter().filter_map(|old| all[old].take()).collect();
        (sorted, Renumbering(renumbering))
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
        Cell::Texts(texts.into_iter().map(|text| self.number(Shown::text(text))).collect())
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
    fn what_is_used_most_gets_the_first_numbers() {
        let mut strings = Strings::default();
        let mut rows =
            vec![vec![strings.text("once"), strings.text("often"), strings.list(["often", "twice"])]];
        rows.push(vec![Cell::Rows(vec![vec![strings.text("twice"), strings.phrase("often vol-0aaaaaaa")]])]);
        let (all, renumbering) = strings.by_use();
        renumbering.apply(&mut rows);
        let all: Vec<&str> = all.iter().map(|text| text.as_str()).collect();
        assert_eq!(all, ["often", "twice", "once", "often \u{0}", "vol-0aaaaaaa"]);
        assert_eq!(rows[0], [Cell::Text(2), Cell::Text(0), Cell::Texts(vec![0, 1])]);
        assert_eq!(rows[1], [Cell::Rows(vec![vec![Cell::Text(1), Cell::Phrase(vec![3, 4])]])]);
    }

    #[test]
    fn a_text_that_holds_the_mark_of_a_gap_has_it_escaped() {
        let mut strings = Strings::default();
        assert_eq!(strings.phrase("a \u{0} b"), Cell::Text(0));
        assert_eq!(strings.all[0].as_str(), "a \\u{0} b");
    }
}
