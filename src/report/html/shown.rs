//! Text that may stand in the page.
//!
//! Any text comes in; what goes out has its invisible and direction-changing characters written as escapes such
//! as `\u{202e}`. Views of the page hold [`Shown`] only, so that no text of a log reaches it otherwise; markup is
//! escaped by the templates and by the embedded JSON.

use std::fmt;

use askama::filters::{Escaper, Html};
use serde::{Serialize, Serializer};

use crate::report::sanitize::sanitize;

/// A text that is safe to show, but not yet escaped for HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shown(String);

impl Shown {
    /// One line.
    pub(super) fn text(text: &str) -> Self {
        Self(sanitize(text).into_owned())
    }

    /// Several lines, such as a document to paste; what else is invisible becomes visible.
    pub(super) fn lines(text: &str) -> Self {
        let lines: Vec<_> = text.lines().map(sanitize).collect();
        Self(lines.join("\n"))
    }

    /// A text made of shown words and of marks where words were taken out.
    pub(super) fn with_gaps(text: String) -> Self {
        Self(text)
    }

    /// As HTML, escaped, with what stands between backticks as code. Without a partner a backtick stays one.
    pub(super) fn prose(&self) -> String {
        let parts: Vec<&str> = self.0.split('`').collect();
        let mut html = String::with_capacity(self.0.len());
        for (number, part) in parts.iter().enumerate() {
            let is_code = number % 2 == 1 && number + 1 < parts.len();
            let is_after_code = number % 2 == 0 && number > 0;
            html.push_str(match (is_code, is_after_code) {
                (true, _) => "<code>",
                (false, true) => "</code>",
                (false, false) if number > 0 => "`",
                (false, false) => "",
            });
            Html.write_escaped_str(&mut html, part).expect("writing to a string cannot fail");
        }
        html
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn what_stands_between_backticks_is_code_and_stays_escaped() {
        assert_eq!(
            Shown::text("run `aws <x>`, then `b`").prose(),
            "run <code>aws &#60;x&#62;</code>, then <code>b</code>"
        );
        assert_eq!(Shown::text("one ` only <b>").prose(), "one ` only &#60;b&#62;");
        assert_eq!(Shown::text("`a` and ` b").prose(), "<code>a</code> and ` b");
    }

    #[test]
    fn lines_stay_lines_and_everything_else_becomes_visible() {
        assert_eq!(
            Shown::lines("{\r\n  \"a\": \"\u{202e}b\"\n}\n").as_str(),
            "{\n  \"a\": \"\\u{202e}b\"\n}"
        );
        assert_eq!(Shown::text("a\nb\u{200b}").as_str(), "a\\u{a}b\\u{200b}");
    }
}
