//! Members of a parsed record, read leniently: CloudTrail writes one thing in many shapes.
//!
//! A list can be an array, `{"items": […]}`, `{"item": …}`, a lone element, `""`, `{}` or `null`; a flag
//! can be a boolean or text; a number can be text and text a number; names differ in case between APIs.

use simd_json::prelude::*;
use simd_json::tape::Value;

/// A value of the record; absent and `null` are the same.
#[derive(Clone, Copy)]
pub(super) struct Member<'tape, 'input>(Option<Value<'tape, 'input>>);

impl<'tape, 'input> Member<'tape, 'input> {
    pub(super) const ABSENT: Self = Self(None);

    pub(super) fn new(value: Value<'tape, 'input>) -> Self {
        Self((!value.is_null()).then_some(value))
    }

    pub(super) fn is_present(self) -> bool {
        self.0.is_some()
    }

    /// The member named `name`, whatever its case; the first of several.
    pub(super) fn get(self, name: &str) -> Self {
        let Some(object) = self.0.and_then(|value| value.as_object()) else {
            return Self::ABSENT;
        };
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or(Self::ABSENT, |(_, value)| Self::new(value))
    }

    /// The first of `names` that is present.
    pub(super) fn get_first(self, names: &[&str]) -> Self {
        names.iter().map(|name| self.get(name)).find(|member| member.is_present()).unwrap_or(Self::ABSENT)
    }

    /// The first member with one of `names` that is a list or an object: elements of converted lists carry
    /// their own number as `"tag": n` beside the `"Tag"` that is meant.
    pub(super) fn get_list(self, names: &[&str]) -> Self {
        self.members()
            .into_iter()
            .filter(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)))
            .map(|(_, member)| member)
            .find(|member| member.0.is_some_and(|value| value.is_array() || value.is_object()))
            .unwrap_or(Self::ABSENT)
    }

    /// The member `NAMERequest` or `NAMEResponse` of newer EC2 APIs, else the value itself.
    pub(super) fn unwrapped(self, wrapper: &str) -> Self {
        let inner = self.get(wrapper);
        if inner.is_present() { inner } else { self }
    }

    /// Text, if it is a string with something in it.
    pub(super) fn text(self) -> Option<&'input str> {
        let text: &'input str = self.0?.into_string()?;
        (!text.is_empty()).then_some(text)
    }

    /// Text, or a number or flag written out.
    pub(super) fn written(self) -> Option<std::borrow::Cow<'input, str>> {
        if let Some(text) = self.text() {
            return Some(text.into());
        }
        let value = self.0?;
        if let Some(number) = value.as_u64() {
            Some(number.to_string().into())
        } else if let Some(number) = value.as_i64() {
            Some(number.to_string().into())
        } else if let Some(number) = value.as_f64() {
            Some(number.to_string().into())
        } else {
            value.as_bool().map(|flag| flag.to_string().into())
        }
    }

    /// A flag, as a boolean or as text.
    pub(super) fn flag(self) -> Option<bool> {
        if let Some(flag) = self.0?.as_bool() {
            return Some(flag);
        }
        let text = self.text()?;
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }

    /// A whole number, as a number or as text.
    pub(super) fn number(self) -> Option<u64> {
        self.0?.as_u64().or_else(|| self.text()?.parse().ok())
    }

    /// The elements of a list in any of its shapes.
    pub(super) fn items(self) -> Vec<Self> {
        let Some(value) = self.0 else {
            return Vec::new();
        };
        if let Some(array) = value.as_array() {
            return array.iter().map(Self::new).filter(|item| item.is_present()).collect();
        }
        if let Some(object) = value.as_object() {
            if object.is_empty() {
                return Vec::new();
            }
            for (key, inner) in object.iter() {
                if ["items", "item", "member"].iter().any(|name| key.eq_ignore_ascii_case(name)) {
                    return Self::new(inner).items();
                }
            }
            return vec![self];
        }
        match self.text() {
            Some(_) => vec![self],
            None => Vec::new(),
        }
    }

    /// Name and value of every member.
    pub(super) fn members(self) -> Vec<(&'input str, Self)> {
        self.0
            .and_then(|value| value.as_object())
            .map(|object| object.iter().map(|(key, value)| (key, Self::new(value))).collect())
            .unwrap_or_default()
    }

    /// An object as JSON text.
    pub(super) fn json_text(self) -> Option<String> {
        self.0.filter(|value| value.is_object()).map(|value| value.encode())
    }
}
