//! Which records can matter, decided on their bytes.
//!
//! The text of one record comes in; whether it may be evidence goes out, with what the coverage needs to
//! know of it. A record that a full parse would have kept is never passed over: whatever is unusual about a
//! record ([`quick`] gives `None`) is looked at member by member, and kept where that leaves a doubt.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::scan::{Scanned, Scanner};
use super::structure::{Member, Members, decode_string, is_container_key};
use crate::event::{KMS_MARKS, RELEVANCE_TABLE, Relevance, TAG_MARKS, Timestamp, relevance};

/// What the coverage notes of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'t> {
    /// When.
    pub time: Timestamp,
    /// In which account; `None` where the record does not tell.
    pub account_id: Option<&'t str>,
    /// In which region; `None` where the record does not tell.
    pub region: Option<&'t str>,
    /// Whether KMS is the source.
    pub is_kms: bool,
}

/// The marks and names of the relevance table, made ready for searching.
pub(super) struct Selector {
    kms_marks: Vec<Finder<'static>>,
    tag_marks: Vec<Finder<'static>>,
    /// Names of the table by length.
    names: Vec<Vec<&'static [u8]>>,
}

const KMS_SOURCE: &str = "kms.amazonaws.com";
/// Longest `eventSource` that the quick way looks back over.
const SOURCE_BYTES_MAX: usize = 96;

impl Selector {
    /// Makes the table ready.
    pub(super) fn new() -> Self {
        let mut names: Vec<Vec<&'static [u8]>> = Vec::new();
        for (_, name, _) in RELEVANCE_TABLE {
            if names.len() <= name.len() {
                names.resize(name.len() + 1, Vec::new());
            }
            names[name.len()].push(name.as_bytes());
        }
        Self {
            kms_marks: KMS_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            tag_marks: TAG_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            names,
        }
    }

    fn is_wanted_name(&self, name: &[u8]) -> bool {
        self.names.get(name.len()).is_some_and(|names| names.contains(&name))
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
        scanner: &Scanner,
    ) -> Option<(bool, Header<'t>)> {
        let end = scanned.end?;
        let raw = &text[start..end];
        if scanned.names != 1 || scanned.has_non_ascii || (scanned.has_backslash && may_hide_names(raw)) {
            return None;
        }
        let head = &text[start..scanned.name_at];
        let (time, source) = time_and_source(head)?;
        let rest = text[scanned.name_at..end].strip_prefix(b"\"eventName\":\"")?;
        let name = until_quote(rest)?;
        let after_name = rest[name.len()..].strip_prefix(b"\",\"awsRegion\":\"")?;
        let region = until_quote(after_name)?;
        let account = scanner.account(text, end)?;
        let source = as_ascii(source)?;
        let header = Header {
            time,
            account_id: Some(as_ascii(account)?),
            region: Some(as_ascii(region)?),
            is_kms: global_source(source) == KMS_SOURCE,
        };
        if !self.is_wanted_name(name) {
            return Some((false, header));
        }
        let name = as_ascii(name)?;
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

/// `…"eventTime":"2026-01-01T00:00:00Z","eventSource":"…",` at the end of `head`.
fn time_and_source(head: &[u8]) -> Option<(Timestamp, &[u8])> {
    let head = head.strip_suffix(b"\",")?;
    let source_at = head.len() - head.iter().rev().take(SOURCE_BYTES_MAX).position(|byte| *byte == b'"')?;
    let (head, source) = head.split_at(source_at);
    let head = head.strip_suffix(b"\",\"eventSource\":\"")?;
    let (head, time) = head.split_at_checked(head.len().checked_sub(20)?)?;
    let is_member = head.ends_with(b",\"eventTime\":\"") || head.ends_with(b"{\"eventTime\":\"");
    Some((Timestamp::parse_canonical(time)?, source)).filter(|_| is_member)
}

/// The text before the closing quote, if nothing in it is escaped.
fn until_quote(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().position(|byte| *byte == b'"' || *byte == b'\\')?;
    (text[length] == b'"').then(|| &text[..length])
}

fn as_ascii(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
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
            account_id: self.account_id.as_deref().filter(|text| !text.is_empty()),
            region: self.region.as_deref().filter(|text| !text.is_empty()),
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
            value.filter(|value| value.first() == Some(&b'"')).and_then(decode_string)
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
