//! Which records can matter, decided on their bytes.
//!
//! The text of one record comes in; whether it may be evidence goes out, with what the coverage needs to
//! know of it. A record that a full parse would have kept is never passed over: whatever is unusual about a
//! record ([`quick`] gives `None`) is looked at member by member, and kept where that leaves a doubt.

use std::borrow::Cow;
use std::cell::Cell;

use memchr::memmem::Finder;

use super::scan::Scanned;
use super::structure::{Member, Members, decode_string, is_container_key};
use crate::event::{KMS_MARKS, RELEVANCE_TABLE, Relevance, TAG_MARKS, Timestamp, relevance};

/// What the coverage notes of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'t> {
    /// When.
    pub time: Timestamp,
    /// In which account; `None` where the record does not tell.
    pub account_id: Option<&'t [u8]>,
    /// In which region; `None` where the record does not tell.
    pub region: Option<&'t [u8]>,
    /// Whether KMS is the source.
    pub is_kms: bool,
}

/// The marks and names of the relevance table, made ready for searching.
pub(super) struct Selector {
    kms_marks: Vec<Finder<'static>>,
    tag_marks: Vec<Finder<'static>>,
    /// The table's names, by [`name_slot`].
    names: Vec<Vec<&'static [u8]>>,
    /// The time read last, as text and as value: records of one second follow each other.
    time: Cell<([u8; 20], Timestamp)>,
}

const KMS_SOURCE: &str = "kms.amazonaws.com";
/// Longest `eventSource` that the quick way looks back over.
const SOURCE_BYTES_MAX: usize = 96;

impl Selector {
    /// Makes the table ready.
    pub(super) fn new() -> Self {
        let mut names: Vec<Vec<&'static [u8]>> = vec![Vec::new(); NAME_SLOTS];
        for (_, name, _) in RELEVANCE_TABLE {
            names[name_slot(name.as_bytes())].push(name.as_bytes());
        }
        Self {
            kms_marks: KMS_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            tag_marks: TAG_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            names,
            time: Cell::default(),
        }
    }

    fn is_wanted_name(&self, name: &[u8]) -> bool {
        self.names[name_slot(name)].contains(&name)
    }

    #[inline]
    fn time(&self, text: &[u8; 20]) -> Option<Timestamp> {
        let (known, time) = self.time.get();
        if known == *text {
            return Some(time);
        }
        let time = Timestamp::parse_canonical(text)?;
        self.time.set((*text, time));
        Some(time)
    }

    /// Whether a record of this source and name may matter. `raw` must hold no escaped characters that
    /// could hide a mark, else every record with marks to look for is kept.
    fn keeps(&self, source: &str, name: &str, raw: &[u8], may_hide_marks: bool) -> bool {
        let marks = match relevance(global_source(source), name) {
            None => return false,
            Some(Relevance::Always) => return true,
            Some(Relevance::KmsMarks) => &self.kms_marks,
            Some(Relevance::TagMarks) => &self.tag_marks,
        };
        may_hide_marks || marks.iter().any(|mark| mark.find(raw).is_some())
    }

    /// Decides on a record of CloudTrail's own layout; `None` if it is laid out in any other way.
    ///
    /// `raw` is the record, which begins at `start` of `text`; `scanned` is what the scan of it saw.
    pub(super) fn quick<'t>(
        &self,
        text: &'t [u8],
        start: usize,
        scanned: &Scanned,
    ) -> Option<(bool, Header<'t>)> {
        let end = scanned.end?;
        let raw = &text[start..end];
        if scanned.names != 1
            || scanned.accounts != 1
            || scanned.has_non_ascii
            || (scanned.has_backslash && may_hide_names(raw))
        {
            return None;
        }
        let (time, source) = time_and_source(&text[start..scanned.name_at])?;
        let (name, rest) = string_after(b"\"eventName\":\"", &text[scanned.name_at..end])?;
        let (region, _) = string_after(b"\",\"awsRegion\":\"", rest)?;
        let (account_id, _) = string_after(b"\"recipientAccountId\":\"", &text[scanned.account_at..end])?;
        let header = Header {
            time: self.time(time)?,
            account_id: Some(account_id),
            region: Some(region),
            is_kms: source.strip_suffix(b".cn").unwrap_or(source) == KMS_SOURCE.as_bytes(),
        };
        if !self.is_wanted_name(name) {
            return Some((false, header));
        }
        let (source, name) = (std::str::from_utf8(source).ok()?, std::str::from_utf8(name).ok()?);
        // A name of the table under another source: a second `eventSource` elsewhere could be the one
        // that a full parse takes.
        relevance(global_source(source), name)?;
        Some((self.keeps(source, name, raw, false), header))
    }

    /// Decides on a record, knowing its members.
    pub(super) fn decide(&self, record: &Record<'_>, raw: &[u8]) -> bool {
        record.is_ambiguous || self.keeps(&record.source, &record.name, raw, may_hide_names(raw))
    }
}

/// A source's name as outside China, where it ends in `.cn`.
fn global_source(source: &str) -> &str {
    source.strip_suffix(".cn").unwrap_or(source)
}

/// Slots of the table of names, and the slot of one: nearly all other names find theirs empty.
const NAME_SLOTS: usize = 1024;

fn name_slot(name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    let middle = name.get(name.len() / 2).copied().unwrap_or(0);
    (name.len() + usize::from(first) * 5 + usize::from(middle) * 23 + usize::from(last) * 101) % NAME_SLOTS
}

/// `…,"eventTime":"2026-01-01T00:00:00Z","eventSource":"…",` at the end of `head`.
#[inline]
fn time_and_source(head: &[u8]) -> Option<(&[u8; 20], &[u8])> {
    let head = strip_end(head, b"\",")?;
    let source_at = head.len() - head.iter().rev().take(SOURCE_BYTES_MAX).position(|byte| *byte == b'"')?;
    let (head, source) = head.split_at(source_at);
    let head = strip_end(head, b"\",\"eventSource\":\"")?;
    let (head, time) = head.split_last_chunk::<20>()?;
    let before = strip_end(head, b"\"eventTime\":\"")?.last()?;
    (matches!(before, b',' | b'{') && !source.is_empty()).then_some((time, source))
}

#[inline]
fn strip_end<'t, const N: usize>(text: &'t [u8], end: &[u8; N]) -> Option<&'t [u8]> {
    let (text, found) = text.split_last_chunk::<N>()?;
    (found == end).then_some(text)
}

/// The text between `opening` and the next quote, and what follows; `None` where anything in it is escaped,
/// or nothing is in it.
#[inline]
fn string_after<'t, const N: usize>(opening: &[u8; N], text: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
    let (found, text) = text.split_first_chunk::<N>()?;
    if found != opening {
        return None;
    }
    let length = text.iter().position(|byte| *byte == b'"' || *byte == b'\\')?;
    (text[length] == b'"' && length > 0).then(|| text.split_at(length))
}

/// Whether `raw` holds an escape that can stand for an ordinary character: `\u…` or `\/`.
fn may_hide_names(raw: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
        match raw.get(at + found + 1) {
            Some(b'u' | b'/') => return true,
            Some(_) => at += found + 2,
            None => return false,
        }
    }
    false
}

/// What a well-formed object is.
#[derive(Debug)]
pub(super) enum Shape<'t> {
    /// A CloudTrail record.
    Record(Record<'t>),
    /// A CloudTrail record without a time, a source or a name.
    Incomplete(&'static str),
    /// A wrapper whose member, a JSON string, is the record's text: a LookupEvents event, a CloudWatch
    /// Logs event.
    Quoted(&'t [u8]),
    /// A wrapper whose member is the record: an EventBridge envelope. With the member's position.
    Wrapped(&'t [u8], usize),
    /// An object with an array of records or wrappers.
    Container,
    /// Recognised as something else that AWS writes: a digest, an Insight, a notification.
    Foreign,
    /// Anything else.
    Other,
}

/// The deciding members of a record.
#[derive(Debug)]
pub(super) struct Record<'t> {
    time: Timestamp,
    source: Cow<'t, str>,
    name: Cow<'t, str>,
    region: Option<Cow<'t, str>>,
    account_id: Option<Cow<'t, str>>,
    /// A deciding member stands there twice.
    is_ambiguous: bool,
}

impl Record<'_> {
    /// What the coverage notes.
    pub(super) fn header(&self) -> Header<'_> {
        Header {
            time: self.time,
            account_id: self.account_id.as_deref().map(str::as_bytes),
            region: self.region.as_deref().map(str::as_bytes),
            is_kms: global_source(&self.source) == KMS_SOURCE,
        }
    }
}

#[derive(Default)]
struct Deciding<'t> {
    time: Option<&'t [u8]>,
    source: Option<&'t [u8]>,
    name: Option<&'t [u8]>,
    region: Option<&'t [u8]>,
    recipient: Option<&'t [u8]>,
    identity: Option<&'t [u8]>,
    version: Option<&'t [u8]>,
    category: Option<&'t [u8]>,
    quoted: Option<&'t [u8]>,
    detail_type: Option<&'t [u8]>,
    detail: Option<(&'t [u8], usize)>,
    is_container: bool,
    is_foreign: bool,
    is_ambiguous: bool,
}

impl<'t> Deciding<'t> {
    fn of(object: &'t [u8]) -> Self {
        let mut deciding = Self::default();
        for Member { key, value, value_at } in Members::of(object) {
            let place = match &*key {
                "eventTime" => &mut deciding.time,
                "eventSource" => &mut deciding.source,
                "eventName" => &mut deciding.name,
                "awsRegion" => &mut deciding.region,
                "recipientAccountId" => &mut deciding.recipient,
                "userIdentity" | "UserIdentity" => &mut deciding.identity,
                "eventVersion" => &mut deciding.version,
                "eventCategory" => &mut deciding.category,
                "detail-type" => &mut deciding.detail_type,
                "CloudTrailEvent" | "message" if value.first() == Some(&b'"') => &mut deciding.quoted,
                "detail" if value.first() == Some(&b'{') => {
                    deciding.detail = Some((value, value_at));
                    continue;
                }
                key if is_container_key(key) && value.first() == Some(&b'[') => {
                    deciding.is_container = true;
                    continue;
                }
                "insightDetails" | "digestS3Object" | "s3ObjectKey" | "messageType" => {
                    deciding.is_foreign = true;
                    continue;
                }
                _ => continue,
            };
            deciding.is_ambiguous |= place.is_some();
            *place = Some(value);
        }
        deciding
    }
}

impl<'t> Shape<'t> {
    /// Looks at the members of `object`, a well-formed JSON object.
    pub(super) fn of(object: &'t [u8]) -> Self {
        let deciding = Deciding::of(object);
        let text = |value: Option<&'t [u8]>| {
            let text = value.filter(|value| value.first() == Some(&b'"')).and_then(decode_string);
            text.filter(|text| !text.is_empty())
        };
        let source = text(deciding.source);
        // S3, SQS and other notifications name their source so.
        let is_notification = source.as_deref().is_some_and(|source| source.starts_with("aws:"));
        let is_insight = text(deciding.category).is_some_and(|category| category == "Insight");
        if is_notification || is_insight || (deciding.is_foreign && source.is_none()) {
            return if deciding.is_container { Self::Container } else { Self::Foreign };
        }
        let (time, name) = (text(deciding.time), text(deciding.name));
        if time.is_none() && name.is_none() && source.is_none() {
            if let Some(quoted) = deciding.quoted {
                return Self::Quoted(quoted);
            }
            if let Some((detail, at)) = deciding.detail {
                return match text(deciding.detail_type) {
                    Some(kind) if kind.ends_with("via CloudTrail") => Self::Wrapped(detail, at),
                    Some(_) => Self::Foreign,
                    None => Self::Other,
                };
            }
            return match (deciding.is_container, deciding.version) {
                (true, _) => Self::Container,
                (false, Some(_)) => Self::Incomplete("no eventTime"),
                (false, None) => Self::Other,
            };
        }
        if name.is_none() && source.is_none() {
            return Self::Other;
        }
        let Some(time) = time.and_then(|time| Timestamp::parse(&time)) else {
            return Self::Incomplete("no eventTime, or one that is no time");
        };
        let Some(source) = source else { return Self::Incomplete("no eventSource") };
        let Some(name) = name else { return Self::Incomplete("no eventName") };
        Self::Record(Record {
            time,
            source,
            name,
            region: text(deciding.region),
            account_id: text(deciding.recipient).or_else(|| text(account_of_identity(deciding.identity?))),
            is_ambiguous: deciding.is_ambiguous,
        })
    }
}

/// `userIdentity.accountId`.
fn account_of_identity(identity: &[u8]) -> Option<&[u8]> {
    if identity.first() != Some(&b'{') {
        return None;
    }
    Members::of(identity).filter(|member| member.key == "accountId").last().map(|member| member.value)
}
