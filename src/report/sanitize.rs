//! Makes the invisible visible: every character of a log that a terminal, an editor or a reader's eye would
//! obey instead of show becomes an escape such as `\u{1b}`.
//!
//! Text from a log comes in, text that is safe to show goes out. Used by every output that people look at;
//! JSON has its own escapes for the same characters ([`super::document`]).

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character must not reach a screen as it is: control characters (C0, DEL, C1), direction marks,
/// embeddings, overrides and isolates, characters without width, variation selectors and tags, line and
/// paragraph separators.
#[must_use]
pub fn is_hazardous(character: char) -> bool {
    match character {
        ' '..='~' => false,
        _ if character.is_control() => true,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Replaces every hazardous character by `\u{…}` with its code point in hexadecimal. Text without one is
/// handed back as it is.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(is_hazardous) else { return Cow::Borrowed(text) };
    let mut safe = String::with_capacity(text.len() + 16);
    safe.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_hazardous(character) {
            write!(safe, "\\u{{{:x}}}", u32::from(character)).expect("writing to a string cannot fail");
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::{is_hazardous, sanitize};

    #[test]
    fn escape_sequences_become_text() {
        assert_eq!(sanitize("\u{1b}[31mred\u{1b}]0;title\u{7}"), r"\u{1b}[31mred\u{1b}]0;title\u{7}");
        assert_eq!(sanitize("\u{9b}2J \u{7f}"), r"\u{9b}2J \u{7f}");
        assert_eq!(sanitize("two\r\nlines\tand a tab"), r"two\u{d}\u{a}lines\u{9}and a tab");
    }

    #[test]
    fn text_cannot_change_its_direction_or_hide() {
        assert_eq!(sanitize("key\u{202e}gpj.exe"), r"key\u{202e}gpj.exe");
        assert_eq!(sanitize("\u{2066}a\u{2069}\u{200b}b\u{feff}"), r"\u{2066}a\u{2069}\u{200b}b\u{feff}");
        assert_eq!(sanitize("line\u{2028}paragraph\u{2029}"), r"line\u{2028}paragraph\u{2029}");
        assert_eq!(sanitize("hidden\u{e0041}"), r"hidden\u{e0041}");
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        for text in ["", "i-0aaaaaaaaaaaaaaaa", "Zürich, 東京, مرحبا, héllo", r"\u{1b} as written"] {
            assert!(matches!(sanitize(text), std::borrow::Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn nothing_hazardous_is_left_in_the_result() {
        let everything: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(!sanitize(&everything).contains(is_hazardous));
    }
}
