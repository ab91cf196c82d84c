//! The structure of JSON text, read without building values.
//!
//! Text comes in, positions and slices of it go out. Except for [`extent`], which checks the grammar,
//! functions here expect text that was checked before; on any other text they end early but never panic.

use std::borrow::Cow;

use memchr::memchr2;
use serde::de::IgnoredAny;

use super::left_out::EXTRACT_MEMBER;

/// How far a value reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The value ends before this position.
    Complete(usize),
    /// The text ends inside the value.
    Incomplete,
    /// The text is no JSON from about this position on; exact where a character stands that must not.
    Invalid(usize),
}

/// Finds the end of the value that begins at `at`, checking its grammar.
pub(super) fn extent(text: &[u8], at: usize) -> Extent {
    let rest = &text[at..];
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
    match values.next() {
        None => Extent::Incomplete,
        Some(Ok(IgnoredAny)) => Extent::Complete(at + values.byte_offset()),
        Some(Err(error)) if error.is_eof() => Extent::Incomplete,
        Some(Err(error)) => {
            // The column counts bytes from the line's start, the line from 1.
            let line_start = match error.line() {
                0 | 1 => 0,
                line => memchr::memchr_iter(b'\n', rest).nth(line - 2).map_or(0, |newline| newline + 1),
            };
            Extent::Invalid((at + line_start + error.column().saturating_sub(1)).min(text.len()))
        }
    }
}

/// The first position from `at` on that holds no white space.
pub(super) fn skip_whitespace(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len())
}

/// The position behind the string whose opening quote is at `at`.
pub(super) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The position behind the value at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => {
            let mut depth = 0u32;
            let mut at = at;
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let rest = &text[at..];
            let length = rest.iter().position(|byte| b",}] \t\r\n".contains(byte)).unwrap_or(rest.len());
            Some(at + length)
        }
    }
}

/// The text between a string's quotes, unescaped. `None` where an escape means no character.
pub(super) fn decode_string(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(quoted).ok().map(Cow::Owned)
}

/// A member of an object.
pub(super) struct Member<'t> {
    /// The key, unescaped.
    pub key: Cow<'t, str>,
    /// The text of the value.
    pub value: &'t [u8],
    /// Where the value begins in the object's text.
    pub value_at: usize,
}

/// The members of an object, in order. Ends where the object, its text, or its well-formedness ends.
pub(super) struct Members<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Members<'t> {
    /// Of the object whose brace is `text`'s first byte.
    pub(super) fn of(text: &'t [u8]) -> Self {
        Self { text, at: 1 }
    }

    /// The next key and where its value begins, whether or not the value is complete.
    pub(super) fn next_key(&mut self) -> Option<(Cow<'t, str>, usize)> {
        let mut at = skip_whitespace(self.text, self.at);
        if self.text.get(at) == Some(&b',') {
            at = skip_whitespace(self.text, at + 1);
        }
        if self.text.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = string_end(self.text, at)?;
        let key = decode_string(&self.text[at..key_end])?;
        let colon = skip_whitespace(self.text, key_end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let value_at = skip_whitespace(self.text, colon + 1);
        self.at = value_at;
        Some((key, value_at))
    }

    /// Goes past the value that [`Self::next_key`] stopped at.
    pub(super) fn skip_value(&mut self) -> Option<&'t [u8]> {
        let end = value_end(self.text, self.at)?;
        let value = &self.text[self.at..end];
        self.at = end;
        Some(value)
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = Member<'t>;

    fn next(&mut self) -> Option<Member<'t>> {
        let (key, value_at) = self.next_key()?;
        let value = self.skip_value()?;
        Some(Member { key, value, value_at })
    }
}

/// Where an array inside an object's text begins, by the name of the member: the containers of records.
pub(super) fn is_container_key(key: &str) -> bool {
    matches!(key, "Records" | "Events" | "logEvents" | EXTRACT_MEMBER)
}

#[cfg(test)]
mod tests {
    use super::{Extent, Members, decode_string, extent};

    #[test]
    fn extents_of_whole_cut_and_broken_values() {
        assert_eq!(extent(b"{\"a\":[1,{}]} {", 0), Extent::Complete(12));
        assert_eq!(extent(b"  {\"a\":[1,{}]", 2), Extent::Incomplete);
        assert_eq!(extent(b"{\"a\":\n\n{\"b\":1}\n{", 0), Extent::Invalid(15));
        assert_eq!(extent(b"xx{\"a\" 1}", 2), Extent::Invalid(7));
        assert_eq!(extent(b"{\"a\":\"b\n\"}", 0), Extent::Invalid(6));
    }

    #[test]
    fn nesting_without_end_is_no_trouble() {
        assert_eq!(extent(&vec![b'['; 1 << 20], 0), Extent::Incomplete);
    }

    #[test]
    fn members_are_read_whatever_their_escapes_and_nesting() {
        let text = br#"{ "a" : "x\"}" ,"\u0062":{"c":["}"]},"d":null,"e":1.5 }"#;
        let members: Vec<(String, String)> = Members::of(text)
            .map(|member| {
                assert!(text[member.value_at..].starts_with(member.value));
                (member.key.into_owned(), String::from_utf8_lossy(member.value).into_owned())
            })
            .collect();
        let expected = [("a", r#""x\"}""#), ("b", r#"{"c":["}"]}"#), ("d", "null"), ("e", "1.5")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(members, expected);
    }

    #[test]
    fn strings_are_unescaped_or_refused() {
        assert_eq!(decode_string(br#""a\u0041\n""#).as_deref(), Some("aA\n"));
        assert_eq!(decode_string(br#""\ud800""#), None);
        assert_eq!(decode_string(b"\"\xff\""), None);
        assert_eq!(decode_string(b"\""), None);
    }
}
