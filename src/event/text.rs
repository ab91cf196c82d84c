//! Text that many events share: accounts, regions, ARNs, ids.
//!
//! A counted pointer of one word, as an event holds many of them; the length stands before the text itself. Whoever
//! has a [`Text`] uses it as a `str`; how it is kept is known here alone.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

use arcstr::ArcStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Shared text: interned while parsing. Cloning shares it; order and hash are those of the text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(ArcStr);

impl Text {
    /// Whether both are one copy in memory; equal texts need not be.
    #[must_use]
    pub fn ptr_eq(one: &Self, two: &Self) -> bool {
        ArcStr::ptr_eq(&one.0, &two.0)
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    #[inline]
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    #[inline]
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        str::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        str::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Text;

    #[test]
    fn a_text_is_one_word_and_its_absence_takes_no_more() {
        assert_eq!(size_of::<Option<Text>>(), size_of::<usize>());
    }

    #[test]
    fn a_text_is_looked_up_by_what_it_says() {
        let known = HashMap::from([(Text::from("i-0aaaaaaaaaaaaaaaa"), 1), (Text::default(), 2)]);
        assert_eq!(known.get("i-0aaaaaaaaaaaaaaaa"), Some(&1));
        assert_eq!(known.get(""), Some(&2));
        assert_eq!(known.get("i-0aaaaaaaaaaaaaaa"), None);
    }

    #[test]
    fn copies_are_told_apart_only_by_where_they_are() {
        let (one, two) = (Text::from("us-east-1"), Text::from("us-east-1".to_owned()));
        assert!(one == two && !Text::ptr_eq(&one, &two) && Text::ptr_eq(&one, &one.clone()));
        assert!(Text::from("us-east-1") < Text::from("us-east-2") && Text::from("") < Text::from("a"));
    }

    #[test]
    fn a_text_is_written_and_read_as_json_text() {
        let text = Text::from("a \"quoted\" \u{e9}");
        let json = serde_json::to_string(&text).expect("writable");
        assert_eq!(json, r#""a \"quoted\" é""#);
        assert_eq!(serde_json::from_str::<Text>(&json).expect("readable"), text);
    }
}
