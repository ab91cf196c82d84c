//! JSON text whose members stand in the order in which they were written, as in CloudTrail's own files.
//!
//! Values come in, compact text comes out. It never sorts or drops members.

use std::fmt::Write as _;

/// A finished JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

/// A JSON object under construction.
pub struct Object(String);

/// What can stand as a JSON value.
pub trait Value {
    /// Appends the value's text.
    fn append(&self, text: &mut String);
}

impl Json {
    /// `null`.
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// An array.
    pub fn array<V: Value>(items: impl IntoIterator<Item = V>) -> Self {
        let mut text = String::from("[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            item.append(&mut text);
        }
        text.push(']');
        Self(text)
    }
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a member.
    pub fn member(&mut self, name: &str, value: impl Value) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        name.append(&mut self.0);
        self.0.push(':');
        value.append(&mut self.0);
    }

    /// Adds a member if there is a value.
    pub fn member_if(&mut self, name: &str, value: Option<impl Value>) {
        if let Some(value) = value {
            self.member(name, value);
        }
    }

    /// The finished object.
    pub fn finish(mut self) -> Json {
        self.0.push('}');
        Json(self.0)
    }
}

impl Value for Json {
    fn append(&self, text: &mut String) {
        text.push_str(&self.0);
    }
}

impl Value for str {
    fn append(&self, text: &mut String) {
        text.push('"');
        for character in self.chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                control if u32::from(control) < 0x20 => {
                    write!(text, "\\u{:04x}", u32::from(control)).expect("writing to a string cannot fail");
                }
                other => text.push(other),
            }
        }
        text.push('"');
    }
}

impl Value for String {
    fn append(&self, text: &mut String) {
        self.as_str().append(text);
    }
}

impl Value for bool {
    fn append(&self, text: &mut String) {
        text.push_str(if *self { "true" } else { "false" });
    }
}

impl Value for i64 {
    fn append(&self, text: &mut String) {
        write!(text, "{self}").expect("writing to a string cannot fail");
    }
}

impl<V: Value + ?Sized> Value for &V {
    fn append(&self, text: &mut String) {
        (*self).append(text);
    }
}

/// Writes a JSON object, members in the order given.
macro_rules! object {
    ($($name:literal : $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an object may have no members")]
        let mut object = $crate::support::json::Object::new();
        $(object.member($name, $value);)*
        object.finish()
    }};
}
pub(crate) use object;
