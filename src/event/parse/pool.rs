//! Texts and identities that many events share.
//!
//! Borrowed text comes in, a shared copy goes out: the same one as before, if it was seen lately. Each text
//! has one slot, and the last to use a slot keeps it, so that the pool never grows, is never rebuilt, and
//! stays in the processor's cache whatever the records hold. Ids that only the records around one launch name
//! have few slots of their own: many slots would be full of texts that never come again and, when they lose their
//! slot at last, have left the cache. Sharing saves memory and decides nothing: two events may hold equal texts
//! that are not the same.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::identity::IdentityTexts;
use crate::event::{Identity, RELEVANCE_TABLE, Text};

const TEXT_SLOTS: usize = 1 << 10;
const PASSING_SLOTS: usize = 1 << 8;
const IDENTITY_SLOTS: usize = 1 << 7;

/// Members that often say the same in record after record.
#[derive(Clone, Copy)]
pub(super) enum Repeated {
    Region,
    UserAgent,
    SourceIp,
    Key,
}

/// A text or identity, with the part of its hash that its slot does not tell.
struct Slot<T> {
    tag: u32,
    value: Option<T>,
}

pub(super) struct Pool {
    hasher: DefaultHashBuilder,
    texts: Box<[Slot<Text>]>,
    passing: Box<[Slot<Text>]>,
    /// What each [`Repeated`] member said last.
    last: [Option<Text>; 4],
    identities: Box<[Slot<SeenIdentity>]>,
    /// Source and name of each row of the relevance table.
    names: Box<[(Text, Text)]>,
}

struct SeenIdentity {
    identity: Arc<Identity>,
    /// Whether the record named the role itself, so that it was not taken from the session's ARN.
    has_issuer: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            texts: empty_slots(TEXT_SLOTS),
            passing: empty_slots(PASSING_SLOTS),
            last: [const { None }; 4],
            identities: empty_slots(IDENTITY_SLOTS),
            names: RELEVANCE_TABLE
                .iter()
                .map(|(source, name, _)| ((*source).into(), (*name).into()))
                .collect(),
        }
    }
}

fn empty_slots<T>(count: usize) -> Box<[Slot<T>]> {
    (0..count).map(|_| Slot { tag: 0, value: None }).collect()
}

/// Splits a hash into a slot of `count` (a power of two) and a tag.
fn slot_and_tag(hash: u64, count: usize) -> (usize, u32) {
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]) as usize & (count - 1), u32::from_le_bytes([e, f, g, h]))
}

fn shared(hasher: &DefaultHashBuilder, slots: &mut [Slot<Text>], text: &str) -> Text {
    let mut hasher = hasher.build_hasher();
    hasher.write(text.as_bytes());
    let (slot, tag) = slot_and_tag(hasher.finish(), slots.len());
    let slot = &mut slots[slot];
    if slot.tag == tag
        && let Some(known) = &slot.value
        && **known == *text
    {
        return known.clone();
    }
    let text: Text = text.into();
    *slot = Slot { tag, value: Some(text.clone()) };
    text
}

impl Pool {
    /// A text that any record may hold: of a role, a key, an image, an instance type.
    pub(super) fn text(&mut self, text: &str) -> Text {
        shared(&self.hasher, &mut self.texts, text)
    }

    /// A text that only the records around one launch hold: of an instance, a volume, a fleet.
    pub(super) fn passing(&mut self, text: &str) -> Text {
        shared(&self.hasher, &mut self.passing, text)
    }

    /// The same as [`Self::text`], quicker if `member` said the same last time.
    pub(super) fn repeated(&mut self, member: Repeated, text: &str) -> Text {
        if let Some(last) = &self.last[member as usize]
            && **last == *text
        {
            return last.clone();
        }
        let text = self.text(text);
        self.last[member as usize] = Some(text.clone());
        text
    }

    pub(super) fn optional(&mut self, text: Option<&str>) -> Option<Text> {
        text.map(|text| self.text(text))
    }

    pub(super) fn optional_passing(&mut self, text: Option<&str>) -> Option<Text> {
        text.map(|text| self.passing(text))
    }

    pub(super) fn written(&mut self, text: Option<Cow<'_, str>>) -> Option<Text> {
        text.map(|text| self.text(&text))
    }

    /// Source and name of a row of the relevance table.
    pub(super) fn names(&self, row: usize) -> (Text, Text) {
        self.names[row].clone()
    }

    pub(super) fn identity(&mut self, texts: &IdentityTexts<'_>) -> Arc<Identity> {
        let mut hasher = self.hasher.build_hasher();
        for text in [texts.principal_id, texts.arn, texts.account_id, texts.invoked_by].into_iter().flatten()
        {
            hasher.write(text.as_bytes());
        }
        let (slot, tag) = slot_and_tag(hasher.finish(), IDENTITY_SLOTS);
        if self.identities[slot].tag == tag
            && let Some(seen) = &self.identities[slot].value
            && seen.has_issuer == texts.issuer.is_some()
            && texts.are_of(&seen.identity)
        {
            return seen.identity.clone();
        }
        let identity = Arc::new(texts.identity(self));
        let seen = SeenIdentity { identity: identity.clone(), has_issuer: texts.issuer.is_some() };
        self.identities[slot] = Slot { tag, value: Some(seen) };
        identity
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, TEXT_SLOTS};
    use crate::event::Text;

    #[test]
    fn a_text_seen_lately_is_shared_and_many_others_take_nothing_away_but_sharing() {
        let mut pool = Pool::default();
        for take in [Pool::text, Pool::passing] {
            let one = take(&mut pool, "vol-0aaaaaaaaaaaaaaaa");
            assert!(Text::ptr_eq(&one, &take(&mut pool, "vol-0aaaaaaaaaaaaaaaa")));
            for number in 0..TEXT_SLOTS * 4 {
                let text = format!("vol-{number:017x}");
                assert_eq!(*take(&mut pool, &text), *text);
            }
            assert_eq!(one, take(&mut pool, "vol-0aaaaaaaaaaaaaaaa"));
            assert_eq!(&*take(&mut pool, ""), "");
        }
    }
}
