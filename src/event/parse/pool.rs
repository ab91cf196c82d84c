//! Texts and identities that many events share.
//!
//! Borrowed text comes in, a shared copy goes out: the same one as before, if it was seen lately. Each text
//! has one slot, and the last to use a slot keeps it, so that the pool never grows, is never rebuilt, and
//! stays in the processor's cache whatever the records hold. Sharing saves memory and decides nothing: two
//! events may hold equal texts that are not the same.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::identity::IdentityTexts;
use crate::event::{Identity, RELEVANCE_TABLE, Text};

const TEXT_SLOTS: usize = 1 << 12;
const IDENTITY_SLOTS: usize = 1 << 10;

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

/// What has lost its slot, a short while before it is let go.
///
/// Letting go of a text that others hold counts it down, and a text that was not seen for long is in no cache: the
/// count is asked for when the slot is lost, and has arrived when it is counted down.
struct Leaving<T: ?Sized> {
    values: [Option<Arc<T>>; LEAVING],
    next: usize,
}

const LEAVING: usize = 16;

impl<T: ?Sized> Leaving<T> {
    const NONE: Self = Self { values: [const { None }; LEAVING], next: 0 };

    fn take(&mut self, value: Option<Arc<T>>) {
        if let Some(value) = value {
            black_box(Arc::strong_count(&value));
            self.values[self.next] = Some(value);
            self.next = (self.next + 1) % LEAVING;
        }
    }
}

pub(super) struct Pool {
    hasher: DefaultHashBuilder,
    leaving_texts: Leaving<str>,
    leaving_identities: Leaving<Identity>,
    texts: Box<[Slot<Text>]>,
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
            leaving_texts: Leaving::NONE,
            leaving_identities: Leaving::NONE,
            texts: empty_slots(TEXT_SLOTS),
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

impl Pool {
    pub(super) fn text(&mut self, text: &str) -> Text {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text.as_bytes());
        let (slot, tag) = slot_and_tag(hasher.finish(), TEXT_SLOTS);
        let slot = &mut self.texts[slot];
        if slot.tag == tag
            && let Some(known) = &slot.value
            && **known == *text
        {
            return known.clone();
        }
        let text: Text = text.into();
        slot.tag = tag;
        self.leaving_texts.take(slot.value.replace(text.clone()));
        text
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
        let before = std::mem::replace(&mut self.identities[slot], Slot { tag, value: Some(seen) });
        self.leaving_identities.take(before.value.map(|seen| seen.identity));
        identity
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Pool, TEXT_SLOTS};

    #[test]
    fn a_text_seen_lately_is_shared_and_many_others_take_nothing_away_but_sharing() {
        let mut pool = Pool::default();
        let one = pool.text("vol-0aaaaaaaaaaaaaaaa");
        assert!(Arc::ptr_eq(&one, &pool.text("vol-0aaaaaaaaaaaaaaaa")));
        for number in 0..TEXT_SLOTS * 4 {
            let text = format!("vol-{number:017x}");
            assert_eq!(*pool.text(&text), *text);
        }
        assert_eq!(one, pool.text("vol-0aaaaaaaaaaaaaaaa"));
        assert_eq!(&*pool.text(""), "");
    }
}
