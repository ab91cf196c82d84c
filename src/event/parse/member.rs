//! Members of a parsed record, read leniently: CloudTrail writes one thing in many shapes.
//!
//! A list can be an array, `{"items": […]}`, `{"item": …}`, a lone element, `""`, `{}` or `null`; a flag
//! can be a boolean or text; a number can be text and text a number; names differ in case between APIs.

use simd_json::prelude::*;
use simd_json::tape::{Value, array, object};

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

    /// What [`Self::get`] gives for each of `names`, in one pass over the members.
    pub(super) fn get_each<const COUNT: usize>(self, names: [&str; COUNT]) -> [Self; COUNT] {
        let mut found = [None; COUNT];
        for (key, member) in self.members() {
            for (name, found) in names.iter().zip(&mut found) {
                if key.len() == name.len() && found.is_none() && key.eq_ignore_ascii_case(name) {
                    *found = Some(member);
                }
            }
        }
        found.map(|member| member.unwrap_or(Self::ABSENT))
    }

    /// The first of `names` that is present.
    pub(super) fn get_first(self, names: &[&str]) -> Self {
        names.iter().map(|name| self.get(name)).find(|member| member.is_present()).unwrap_or(Self::ABSENT)
    }

    /// The first member with one of `names` that is a list or an object: elements of converted lists carry
    /// their own number as `"tag": n` beside the `"Tag"` that is meant.
    pub(super) fn get_list(self, names: &[&str]) -> Self {
        self.members()
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
    pub(super) fn items(self) -> Items<'tape, 'input> {
        let mut list = self;
        loop {
            let Some(value) = list.0 else {
                return Items::One(None);
            };
            if let Some(array) = value.as_array() {
                return Items::Many(array.iter());
            }
            let Some(object) = value.as_object() else {
                return Items::One(list.text().map(|_| list));
            };
            let is_wrapper =
                |key: &str| ["items", "item", "member"].iter().any(|name| key.eq_ignore_ascii_case(name));
            match object.iter().find(|(key, _)| is_wrapper(key)) {
                Some((_, inner)) => list = Self::new(inner),
                None => return Items::One((!object.is_empty()).then_some(list)),
            }
        }
    }

    /// Name and value of every member.
    pub(super) fn members(self) -> impl Iterator<Item = (&'input str, Self)> {
        let object: Option<object::Object<'tape, 'input>> = self.0.and_then(|value| value.as_object());
        let members: Option<object::Iter<'tape, 'input>> = object.map(|object| object.iter());
        members.into_iter().flatten().map(|(key, value)| (key, Self::new(value)))
    }

    /// An object as JSON text.
    pub(super) fn json_text(self) -> Option<String> {
        self.0.filter(|value| value.is_object()).map(|value| value.encode())
    }
}

/// The elements of a list that are present.
pub(super) enum Items<'tape, 'input> {
    /// Of an array.
    Many(array::Iter<'tape, 'input>),
    /// A lone element, or none.
    One(Option<Member<'tape, 'input>>),
}

impl<'tape, 'input> Iterator for Items<'tape, 'input> {
    type Item = Member<'tape, 'input>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Many(values) => values.map(Member::new).find(|member| member.is_present()),
            Self::One(member) => member.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Member;

    const NAMES: [&str; 4] = ["keyId", "key", "items", "absent"];

    type Found = [Option<String>; NAMES.len()];

    /// What reading members one by one and all at once gives, and the list's elements.
    fn read(json: &str) -> (Found, Found, Vec<Option<String>>) {
        let mut text = json.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut text).expect("JSON");
        let member = Member::new(tape.as_value());
        let written = |member: Member<'_, '_>| member.written().map(std::borrow::Cow::into_owned);
        (
            NAMES.map(|name| written(member.get(name))),
            member.get_each(NAMES).map(written),
            member.items().map(written).collect(),
        )
    }

    #[test]
    fn of_names_alike_but_for_case_the_first_counts_even_if_null() {
        for (json, expected) in [
            (r#"{"KeyId":"a","keyId":"b"}"#, [Some("a"), None, None, None]),
            (r#"{"KEYID":null,"keyId":"b","key":1}"#, [None, Some("1"), None, None]),
            (r#"{"key":"","Key":"x","items":true}"#, [None, None, Some("true"), None]),
            ("[]", [None; 4]),
            ("null", [None; 4]),
            (r#""keyId""#, [None; 4]),
        ] {
            let (one_by_one, at_once, _) = read(json);
            assert_eq!(one_by_one, at_once, "{json}");
            assert_eq!(at_once.each_ref().map(Option::as_deref), expected, "{json}");
        }
    }

    #[test]
    fn lists_in_every_shape_have_the_same_elements() {
        for (json, expected) in [
            (r#"["a",null,"b"]"#, vec![Some("a"), Some("b")]),
            (r#"{"items":["a","b"]}"#, vec![Some("a"), Some("b")]),
            (r#"{"x":1,"Item":{"member":["a","b"]},"items":["c"]}"#, vec![Some("a"), Some("b")]),
            (r#"{"item":"a"}"#, vec![Some("a")]),
            (r#"{"items":null}"#, vec![]),
            (r#"{"items":{}}"#, vec![]),
            (r#"{"x":1}"#, vec![None]),
            (r#""a""#, vec![Some("a")]),
            (r#""""#, vec![]),
            ("7", vec![]),
            ("null", vec![]),
        ] {
            let elements = read(json).2;
            assert_eq!(elements.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{json}");
        }
    }
}
