//! Text that may stand in the page.
//!
//! Any text comes in; what goes out has its invisible and direction-changing characters written as escapes such
//! as `\u{202e}`. Views of the page hold [`Shown`] only, so that no text of a log reaches it otherwise; markup is
//! escaped by the templates and by the embedded JSON.

use std::fmt;

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
    fn lines_stay_lines_and_everything_else_becomes_visible() {
        assert_eq!(
            Shown::lines("{\r\n  \"a\": \"\u{202e}b\"\n}\n").as_str(),
            "{\n  \"a\": \"\\u{202e}b\"\n}"
        );
        assert_eq!(Shown::text("a\nb\u{200b}").as_str(), "a\\u{a}b\\u{200b}");
    }
}
