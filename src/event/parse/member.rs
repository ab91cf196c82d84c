//! Members of a parsed record, read leniently: CloudTrail writes one thing in many shapes.
//!
//! A list can be an array, `{"items": […]}`, `{"item": …}`, a lone element, `""`, `{}` or `null`; a flag
//! can be a boolean or text; a number can be text and text a number; names differ in case between APIs.

use std::borrow::Cow;

use super::document::{Document, Entry, Kind};
use super::name::{Name, Spelled, names};

/// A value of the record; absent and `null` are the same.
#[derive(Clone, Copy)]
pub(super) struct Member<'a>(Option<Place<'a>>);

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    document: &'a Document<'a>,
    index: u32,
}

impl<'a> Place<'a> {
    fn entry(self) -> &'a Entry {
        &self.document.entries[self.index as usize]
    }

    /// What is directly inside an array or object.
    fn inside(self) -> Inside<'a> {
        Inside { document: self.document, index: self.index + 1, end: self.entry().next }
    }
}

/// The values directly inside an array or object.
#[derive(Clone)]
pub(super) struct Inside<'a> {
    document: &'a Document<'a>,
    index: u32,
    end: u32,
}

impl<'a> Iterator for Inside<'a> {
    type Item = Named<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.end {
            return None;
        }
        let place = Place { document: self.document, index: self.index };
        self.index = place.entry().next;
        Some(Named(place))
    }
}

/// A value inside an array or object; in an object it has a name.
#[derive(Clone, Copy)]
pub(super) struct Named<'a>(Place<'a>);

impl<'a> Named<'a> {
    #[inline]
    pub(super) fn value(self) -> Member<'a> {
        Member((self.0.entry().kind != Kind::Null).then_some(self.0))
    }

    #[inline]
    pub(super) fn spelled(self) -> Spelled {
        self.0.entry().name
    }

    /// The name as the record has it.
    pub(super) fn key(self) -> &'a str {
        self.0.document.key(self.0.entry())
    }

    /// Whether the value is called `name`, in any case.
    #[inline]
    fn is(self, name: Name) -> bool {
        self.spelled().name == name
    }
}

impl<'a> Member<'a> {
    pub(super) const ABSENT: Self = Self(None);

    /// The record itself.
    pub(super) fn root(document: &'a Document<'a>) -> Self {
        Self(Some(Place { document, index: 0 }))
    }

    fn kind(self) -> Option<Kind> {
        Some(self.0?.entry().kind)
    }

    pub(super) fn is_present(self) -> bool {
        self.0.is_some()
    }

    pub(super) fn is_object(self) -> bool {
        self.kind() == Some(Kind::Object)
    }

    /// The member named `name`; the first of several.
    #[inline]
    pub(super) fn get(self, name: Name) -> Self {
        self.members().find(|member| member.is(name)).map_or(Self::ABSENT, Named::value)
    }

    /// What [`Self::get`] gives for each of `names`, in one pass over the members.
    pub(super) fn get_each<const COUNT: usize>(self, names: [Name; COUNT]) -> [Self; COUNT] {
        let mut found: [Option<Self>; COUNT] = [None; COUNT];
        for member in self.members() {
            if let Some(at) = names.iter().position(|name| member.is(*name))
                && found[at].is_none()
            {
                found[at] = Some(member.value());
            }
        }
        found.map(|member| member.unwrap_or(Self::ABSENT))
    }

    /// The first of `names` that is present.
    pub(super) fn get_first(self, names: &[Name]) -> Self {
        names.iter().map(|name| self.get(*name)).find(|member| member.is_present()).unwrap_or(Self::ABSENT)
    }

    /// The first member with one of `names` that is a list or an object: elements of converted lists carry
    /// their own number as `"tag": n` beside the `"Tag"` that is meant.
    pub(super) fn get_list(self, names: &[Name]) -> Self {
        self.members()
            .filter(|member| names.contains(&member.spelled().name))
            .map(Named::value)
            .find(|member| matches!(member.kind(), Some(Kind::Array | Kind::Object)))
            .unwrap_or(Self::ABSENT)
    }

    /// The member `NAMERequest` or `NAMEResponse` of newer EC2 APIs, else the value itself.
    pub(super) fn unwrapped(self, wrapper: Name) -> Self {
        let inner = self.get(wrapper);
        if inner.is_present() { inner } else { self }
    }

    /// Text, if it is a string with something in it.
    #[inline]
    pub(super) fn text(self) -> Option<&'a str> {
        let place = self.0?;
        let entry = place.entry();
        if entry.kind != Kind::Text {
            return None;
        }
        let text = place.document.text(entry);
        (!text.is_empty()).then_some(text)
    }

    /// Text, or a number or flag written out.
    pub(super) fn written(self) -> Option<Cow<'a, str>> {
        let place = self.0?;
        match place.entry().kind {
            Kind::Integer | Kind::Fraction => Some(place.document.text(place.entry()).into()),
            Kind::True => Some("true".into()),
            Kind::False => Some("false".into()),
            Kind::Text => self.text().map(Cow::Borrowed),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// A flag, as a boolean or as text.
    pub(super) fn flag(self) -> Option<bool> {
        match self.kind()? {
            Kind::True => return Some(true),
            Kind::False => return Some(false),
            _ => {}
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
        let place = self.0?;
        match place.entry().kind {
            Kind::Integer => place.document.text(place.entry()).parse().ok(),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The elements of a list in any of its shapes.
    pub(super) fn items(self) -> Items<'a> {
        let mut list = self;
        loop {
            let Some(place) = list.0 else {
                return Items::One(None);
            };
            match place.entry().kind {
                Kind::Array => return Items::Many(place.inside()),
                Kind::Object => {}
                _ => return Items::One(list.text().map(|_| list)),
            }
            let mut inside = place.inside();
            match inside
                .clone()
                .find(|member| names!["items", "item", "member"].contains(&member.spelled().name))
            {
                Some(inner) => list = inner.value(),
                None => return Items::One(inside.next().map(|_| list)),
            }
        }
    }

    /// What `read` makes of the elements of a list, in no more memory than they take: most lists have one element, and
    /// collecting makes room for four.
    pub(super) fn read_items<T>(self, read: impl FnMut(Self) -> Option<T>) -> Vec<T> {
        let mut found = Vec::with_capacity(self.items().count());
        found.extend(self.items().filter_map(read));
        found
    }

    /// Name and value of every member of an object.
    #[inline]
    pub(super) fn members(self) -> Inside<'a> {
        match self.0 {
            Some(place) if place.entry().kind == Kind::Object => place.inside(),
            // Nothing is inside of anything else.
            Some(place) => Inside { document: place.document, index: 0, end: 0 },
            None => Inside { document: &Document::EMPTY, index: 0, end: 0 },
        }
    }

    /// An object as JSON text.
    pub(super) fn json_text(self) -> Option<String> {
        let place = self.0.filter(|place| place.entry().kind == Kind::Object)?;
        Some(place.document.json_text(place.index))
    }
}

/// The elements of a list that are present.
pub(super) enum Items<'a> {
    /// Of an array.
    Many(Inside<'a>),
    /// A lone element, or none.
    One(Option<Member<'a>>),
}

impl<'a> Iterator for Items<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Many(values) => values.map(Named::value).find(|member| member.is_present()),
            Self::One(member) => member.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, Name, names};
    use crate::event::parse::document::DocumentReader;

    const NAMES: [Name; 4] = names!["keyId", "key", "items", "policy"];

    type Found = [Option<String>; NAMES.len()];

    /// What reading members one by one and all at once gives, and the list's elements.
    fn read(json: &str) -> (Found, Found, Vec<Option<String>>) {
        let mut reader = DocumentReader::default();
        let document = reader.read(json.as_bytes()).expect("JSON");
        let member = Member::root(&document);
        let written = |member: Member<'_>| member.written().map(std::borrow::Cow::into_owned);
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
