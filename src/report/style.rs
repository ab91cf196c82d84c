//! Colours, and lines of text that are safe to show.
//!
//! Texts come in with the meaning that they carry, lines with or without terminal styles go out. A [`Line`]
//! is the only way in which tables and summaries write text: it sanitizes everything, so that no escape
//! sequence but those of a [`Style`] ever gets through. No text needs its colour to be understood.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style as Ansi};
use unicode_width::UnicodeWidthChar;

use super::sanitize::sanitize;
use super::wrap::pieces;

/// Which terminal style each meaning has. Colours are ANSI sequences in the output: whoever owns the
/// terminal decides whether they are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    heading: Ansi,
    good: Ansi,
    warning: Ansi,
    bad: Ansi,
    faint: Ansi,
}

/// What a piece of text means, as far as its colour goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Style {
    /// No styles at all.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// The colours of a terminal: green for what is as expected, yellow for what is not, red for what
    /// killed a node.
    #[must_use]
    pub fn coloured() -> Self {
        Self {
            heading: Ansi::new().bold(),
            good: AnsiColor::Green.on_default(),
            warning: AnsiColor::Yellow.on_default(),
            bad: AnsiColor::Red.on_default().bold(),
            faint: Ansi::new().dimmed(),
        }
    }

    fn of(&self, tone: Tone) -> Ansi {
        match tone {
            Tone::Plain => Ansi::new(),
            Tone::Heading => self.heading,
            Tone::Good => self.good,
            Tone::Warning => self.warning,
            Tone::Bad => self.bad,
            Tone::Faint => self.faint,
        }
    }
}

/// One line on its way to a screen.
#[derive(Default)]
pub(super) struct Line {
    text: String,
    style: Style,
}

impl Line {
    pub(super) fn new(style: Style) -> Self {
        Self { text: String::new(), style }
    }

    /// Adds a text.
    pub(super) fn push(mut self, tone: Tone, text: &str) -> Self {
        let style = self.style.of(tone);
        self.text.push_str(&style.render().to_string());
        self.text.push_str(&sanitize(text));
        self.text.push_str(&style.render_reset().to_string());
        self
    }

    /// Adds blanks.
    pub(super) fn gap(mut self, columns: usize) -> Self {
        self.text.extend(std::iter::repeat_n(' ', columns));
        self
    }

    /// Screen columns that it takes.
    pub(super) fn columns(&self) -> usize {
        shown_width(&self.text)
    }

    /// Writes the line, without blanks at its end, and its end.
    pub(super) fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
        out.write_all(self.text.as_bytes())
    }
}

impl Line {
    /// Writes the line, broken at blanks where it is wider than the screen, and within words that no line has
    /// room for. What follows a break is indented.
    pub(super) fn write_within(
        self,
        out: &mut dyn Write,
        columns: Option<usize>,
        indent: usize,
    ) -> io::Result<()> {
        let Some(columns) = columns else { return self.write(out) };
        let mut text = String::with_capacity(self.text.len() + 16);
        let (mut used, mut blanks, mut has_word) = (0, 0, false);
        for (index, word) in self.text.split(' ').enumerate() {
            blanks += usize::from(index > 0);
            let room = columns.saturating_sub(indent).max(8);
            let whole = if shown_width(word) <= room { vec![word] } else { styled_pieces(word, room) };
            for piece in whole {
                // An empty word is one more blank; a style by itself takes no room.
                let shown = shown_width(piece);
                if shown > 0 {
                    if has_word && used + blanks + shown > columns {
                        text.truncate(text.trim_end_matches(' ').len());
                        text.push('\n');
                        (used, blanks) = (0, indent);
                    }
                    text.extend(std::iter::repeat_n(' ', blanks));
                    used += blanks + shown;
                    (blanks, has_word) = (0, true);
                }
                text.push_str(piece);
            }
        }
        Self { text, style: self.style }.write(out)
    }
}

/// Texts are sanitized: an escape character is the beginning of a style, which ends with an `m`.
const STYLE: char = '\u{1b}';

/// Screen columns of a text with styles in it.
fn shown_width(text: &str) -> usize {
    let mut parts = text.split(STYLE);
    let first = parts.next().map_or(0, width);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, shown)| width(shown))).sum::<usize>()
}

/// A word that no line has room for: the styles before it, pieces of it, and what follows them.
fn styled_pieces(text: &str, columns: usize) -> Vec<&str> {
    let mut begin = 0;
    while text[begin..].starts_with(STYLE) {
        let Some(end) = text[begin..].find('m') else { break };
        begin += end + 1;
    }
    let end = text[begin..].find(STYLE).map_or(text.len(), |end| begin + end);
    let inner = pieces(&text[begin..end], columns);
    std::iter::once(&text[..begin]).chain(inner).chain([&text[end..]]).collect()
}

/// Screen columns that a sanitized text takes.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(|one| one.width().unwrap_or(0)).sum() }
}

/// A sanitized text cut to `columns`, with an ellipsis where something was cut. Combining characters take
/// no column; a text with a heap of them is cut too.
pub(super) fn fitted(text: &str, columns: usize) -> Cow<'_, str> {
    const CHARACTERS_PER_COLUMN_MAX: usize = 4;
    let characters_max = columns * CHARACTERS_PER_COLUMN_MAX;
    if width(text) <= columns && text.chars().nth(characters_max).is_none() {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let end = text
        .char_indices()
        .enumerate()
        .find_map(|(count, (at, character))| {
            used += character.width().unwrap_or(0);
            (used >= columns || count >= characters_max).then_some(at)
        })
        .unwrap_or(text.len());
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::{Line, Style, Tone, fitted, width};

    #[test]
    fn texts_are_cut_to_screen_columns() {
        for (text, columns, shown) in [
            ("default", 7, "default"),
            ("default", 6, "defau…"),
            ("東京東京", 8, "東京東京"),
            ("東京東京", 7, "東京東…"),
            ("東京東京", 6, "東京…"),
            ("日", 1, "…"),
            ("", 0, ""),
        ] {
            assert_eq!(fitted(text, columns), shown, "{text} in {columns}");
            assert!(width(&fitted(text, columns)) <= columns.max(1));
        }
    }

    #[test]
    fn heaps_of_combining_characters_are_cut() {
        let heap = format!("a{}", "\u{301}".repeat(10_000));
        assert_eq!(width(&heap), 1);
        assert!(fitted(&heap, 8).chars().count() <= 33);
        assert_eq!(fitted("e\u{301}te\u{301}", 3), "e\u{301}te\u{301}");
    }

    #[test]
    fn a_line_breaks_between_words_and_keeps_its_styles() {
        let written = |style, columns| {
            let mut bytes = Vec::new();
            let line = Line::new(style)
                .push(Tone::Warning, "check: ")
                .push(Tone::Plain, "one two three")
                .push(Tone::Bad, " four");
            line.write_within(&mut bytes, columns, 7).expect("memory does not fail");
            String::from_utf8(bytes).expect("UTF-8")
        };
        assert_eq!(written(Style::plain(), None), "check: one two three four\n");
        assert_eq!(written(Style::plain(), Some(25)), "check: one two three four\n");
        assert_eq!(written(Style::plain(), Some(24)), "check: one two three\n       four\n");
        assert_eq!(written(Style::plain(), Some(14)), "check: one two\n       three\n       four\n");
        assert_eq!(
            written(Style::plain(), Some(3)),
            "check:\n       one\n       two\n       three\n       four\n"
        );
        let coloured = written(Style::coloured(), Some(14));
        let mut plain = coloured.clone();
        while let Some(begin) = plain.find('\u{1b}') {
            let end = begin + plain[begin..].find('m').expect("the end of a style");
            plain.replace_range(begin..=end, "");
        }
        assert_eq!(plain, written(Style::plain(), Some(14)), "{coloured:?}");
        assert_eq!(coloured.matches("\u{1b}[31m").count(), 1, "{coloured:?}");
    }

    #[test]
    fn a_line_holds_no_escape_sequence_but_its_own() {
        let written = |style| {
            let mut bytes = Vec::new();
            let line = Line::new(style).push(Tone::Bad, "denied").gap(2).push(Tone::Plain, "\u{1b}[2J\n");
            line.write(&mut bytes).expect("memory does not fail");
            String::from_utf8(bytes).expect("UTF-8")
        };
        assert_eq!(written(Style::plain()), "denied  \\u{1b}[2J\\u{a}\n");
        assert_eq!(written(Style::coloured()), "\u{1b}[1m\u{1b}[31mdenied\u{1b}[0m  \\u{1b}[2J\\u{a}\n");
    }
}
