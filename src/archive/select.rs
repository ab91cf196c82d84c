//! Which records can matter, decided on their bytes.
//!
//! The text of one record comes in; whether it may be evidence goes out, with what the coverage needs to
//! know of it. A record that a full parse would have kept is never passed over: whatever is unusual about a
//! record ([`Selector::quick`] gives `None`) is looked at member by member, and kept where that leaves a doubt.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use memchr::memmem::Finder;

use super::blocks::Backend;
use super::left_out::{LEFT_OUT_MARK, MANIFEST_MARK};
use super::scan::Scanned;
use super::structure::{Member, Members, decode_string, is_container_key};
use crate::event::{KMS_MARKS, RELEVANCE_TABLE, Relevance, TAG_MARKS, Timestamp, rows_named};

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
    backend: Backend,
    kms_marks: Vec<Finder<'static>>,
    tag_marks: Vec<Finder<'static>>,
    /// The time read last, as text and as value: records of one second follow each other.
    time: Cell<([u8; 20], Timestamp)>,
    /// What stood around names seen lately, by the [`slot`](Around::slot) of the name.
    around: RefCell<Vec<Around>>,
}

/// What stands around a record's name: its source and its region. Few texts stand there again and again, so they are
/// compared as a whole and not taken apart each time.
#[derive(Clone, Default)]
struct Around {
    /// From the end of the time to the end of the region, both with their closing quotes.
    text: Vec<u8>,
    /// Where in it the key of the name begins, and where the region does.
    name_at: usize,
    region_at: usize,
    is_kms: bool,
    relevance: Named,
}

/// What the table says of a source and name.
#[derive(Clone, Copy, Default)]
enum Named {
    /// No source has this name in it.
    #[default]
    Nowhere,
    /// Other sources have.
    Elsewhere,
    Here(Relevance),
}

impl Around {
    /// Slots for what stands around names; a power of two.
    const SLOTS: usize = 256;
    /// Longer texts are unusual, and not remembered.
    const BYTES_MAX: usize = 512;

    /// Names that begin differently are kept apart.
    #[inline]
    fn slot(name_on: &[u8]) -> usize {
        const MIXING: u64 = 0x9e37_79b9_7f4a_7c15;
        let beginning = name_on.first_chunk::<16>().map_or(0, |bytes| {
            let [low, high] =
                [0, 8].map(|at| bytes[at..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word)));
            low.wrapping_mul(MIXING) ^ high
        });
        (beginning.wrapping_mul(MIXING) >> 56) as usize % Self::SLOTS
    }

    /// Takes the text around the name at `name_at` apart, if it is laid out as CloudTrail does.
    fn read(record: &[u8], name_at: usize) -> Option<Self> {
        let (head, source) = source_before(&record[..name_at])?;
        let (name, rest) = string_after(b"\"eventName\":\"", &record[name_at..])?;
        let (region, rest) = string_after(b"\",\"awsRegion\":\"", rest)?;
        let end = record.len() - rest.len();
        if end - head.len() > Self::BYTES_MAX {
            return None;
        }
        let source = global_source(source);
        let mut rows = rows_named(name).peekable();
        let relevance = match rows.peek() {
            None => Named::Nowhere,
            Some(_) => rows
                .find(|row| RELEVANCE_TABLE[*row].0.as_bytes() == source)
                .map_or(Named::Elsewhere, |row| Named::Here(RELEVANCE_TABLE[row].2)),
        };
        Some(Self {
            text: record[head.len()..=end].to_vec(),
            name_at: name_at - head.len(),
            region_at: end - region.len() - head.len(),
            is_kms: source == KMS_SOURCE,
            relevance,
        })
    }

    /// Whether this stands around the name at `name_at` of `record`.
    #[inline]
    fn is_at(&self, record: &[u8], name_at: usize) -> bool {
        let start = name_at.wrapping_sub(self.name_at);
        !self.text.is_empty() && record.get(start..start.wrapping_add(self.text.len())) == Some(&self.text)
    }
}

const KMS_SOURCE: &[u8] = b"kms.amazonaws.com";
/// Length of `"eventName":"`.
const NAME_KEY_BYTES: usize = 13;
/// Longest `eventSource` that the quick way looks back over.
const SOURCE_BYTES_MAX: usize = 96;

impl Selector {
    /// Makes the table ready.
    pub(super) fn new() -> Self {
        Self {
            backend: Backend::detect(),
            kms_marks: KMS_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            tag_marks: TAG_MARKS.iter().map(|mark| Finder::new(*mark)).collect(),
            time: Cell::default(),
            around: RefCell::new(vec![Around::default(); Around::SLOTS]),
        }
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

    /// Whether a record may matter as far as its marks go. `raw` must hold no escaped characters that could
    /// hide a mark.
    fn has_marks(&self, relevance: Relevance, raw: &[u8]) -> bool {
        let marks = match relevance {
            Relevance::Always => return true,
            Relevance::KmsMarks if !self.backend.has_kms_traces(raw) => return false,
            Relevance::KmsMarks => &self.kms_marks,
            Relevance::TagMarks => &self.tag_marks,
        };
        marks.iter().any(|mark| mark.find(raw).is_some())
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
        let end = scanned.end()?;
        let raw = &text[start..end];
        if scanned.names != 1
            || scanned.accounts != 1
            || (scanned.has_backslash && may_hide_names(raw))
            || (scanned.has_non_ascii && std::str::from_utf8(raw).is_err())
        {
            return None;
        }
        let name_at = scanned.name_at - start;
        let slot = Around::slot(raw.get(name_at + NAME_KEY_BYTES..).unwrap_or_default());
        let around = &mut self.around.borrow_mut()[slot];
        if !around.is_at(raw, name_at) {
            *around = Around::read(raw, name_at)?;
        }
        let (account_id, _) = string_after(b"\"recipientAccountId\":\"", &text[scanned.account_at..end])?;
        let around_at = name_at - around.name_at;
        let header = Header {
            time: self.time(time_before(&raw[..around_at])?)?,
            account_id: Some(account_id),
            region: Some(&raw[around_at + around.region_at..around_at + around.text.len() - 1]),
            is_kms: around.is_kms,
        };
        match around.relevance {
            Named::Nowhere => Some((false, header)),
            // A second `eventSource` elsewhere could be the one that a full parse takes.
            Named::Elsewhere => None,
            Named::Here(relevance) => Some((self.has_marks(relevance, raw), header)),
        }
    }

    /// Decides on a record, knowing its members.
    pub(super) fn decide(&self, record: &Record<'_>, raw: &[u8]) -> bool {
        let source = global_source(record.source.as_bytes());
        let row = RELEVANCE_TABLE
            .iter()
            .find(|row| row.0.as_bytes() == source && row.1.as_bytes() == record.name.as_bytes());
        record.is_ambiguous || row.is_some_and(|row| may_hide_names(raw) || self.has_marks(row.2, raw))
    }
}

/// A source's name as outside China, where it ends in `.cn`.
fn global_source(source: &[u8]) -> &[u8] {
    source.strip_suffix(b".cn").unwrap_or(source)
}

/// `","eventSource":"…",` at the end of `head`: what is before it, and the source.
#[inline]
fn source_before(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = strip_end(head, b"\",")?;
    let (head, source) = head.split_at(last_quote_at(head)? + 1);
    let head = strip_end(head, b"\",\"eventSource\":\"")?;
    (!source.is_empty()).then_some((head, source))
}

/// `…,"eventTime":"2026-01-01T00:00:00Z` at the end of `head`: the time.
#[inline]
fn time_before(head: &[u8]) -> Option<&[u8; 20]> {
    let (head, time) = head.split_last_chunk::<20>()?;
    let before = strip_end(head, b"\"eventTime\":\"")?.last()?;
    matches!(before, b',' | b'{').then_some(time)
}

/// The first quote, eight bytes at a time: names are short.
#[inline]
fn quote_at(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let quotes = quotes_in(u64::from_le_bytes(*word));
        if quotes != 0 {
            return Some(index * 8 + (quotes.trailing_zeros() / 8) as usize);
        }
    }
    let found = rest.iter().position(|byte| *byte == b'"')?;
    Some(words.len() * 8 + found)
}

/// The last quote, if it is within [`SOURCE_BYTES_MAX`] of the end.
#[inline]
fn last_quote_at(text: &[u8]) -> Option<usize> {
    let (_, words) = text.as_rchunks::<8>();
    let mut end = text.len();
    for word in words.iter().rev().take(SOURCE_BYTES_MAX / 8) {
        // Read from its end, the first byte that equals is told exactly.
        let quotes = quotes_in(u64::from_be_bytes(*word));
        if quotes != 0 {
            return Some(end - 1 - (quotes.trailing_zeros() / 8) as usize);
        }
        end -= 8;
    }
    None
}

/// The high bit of the lowest byte that is a quote; bits of higher bytes may be wrong.
#[inline]
fn quotes_in(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let difference = word ^ (ONES * b'"' as u64);
    difference.wrapping_sub(ONES) & !difference & (ONES << 7)
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
    let length = quote_at(text)?;
    // A quote behind a backslash is part of the text.
    (length > 0 && text[length - 1] != b'\\').then(|| text.split_at(length))
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
    /// A wrapper whose member, a JSON string, is the record's text: a CloudWatch Logs event.
    Quoted(&'t [u8]),
    /// The same of a LookupEvents event: it was asked for, and others were not.
    LookedUp(&'t [u8]),
    /// A wrapper whose member is the record: an EventBridge envelope. With the member's position.
    Wrapped(&'t [u8], usize),
    /// An object with an array of records or wrappers.
    Container,
    /// What an extract says of the records that are not in it.
    LeftOut,
    /// A line of an extract's manifest.
    Manifest,
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
            is_kms: global_source(self.source.as_bytes()) == KMS_SOURCE,
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
    is_looked_up: bool,
    is_left_out: bool,
    is_manifest: bool,
    is_ambiguous: bool,
}

impl<'t> Deciding<'t> {
    fn of(object: &'t [u8]) -> Self {
        let mut deciding = Self::default();
        for Member { key, value, value_at } in Members::of(object) {
            deciding.is_looked_up |= key == "CloudTrailEvent";
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
                LEFT_OUT_MARK => {
                    deciding.is_left_out = true;
                    continue;
                }
                MANIFEST_MARK => {
                    deciding.is_manifest = true;
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
            if deciding.is_left_out {
                return Self::LeftOut;
            }
            if deciding.is_manifest {
                return Self::Manifest;
            }
            if let Some(quoted) = deciding.quoted {
                return if deciding.is_looked_up { Self::LookedUp(quoted) } else { Self::Quoted(quoted) };
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

#[cfg(test)]
mod tests {
    use super::{Around, Backend, Header, KMS_MARKS, NAME_KEY_BYTES, Selector};
    use crate::archive::blocks::KMS_TRACES;
    use crate::archive::scan::Scanner;

    fn record(source: &str, name: &str, region: &str, more: &str) -> String {
        format!(
            r#"{{"eventVersion":"1.11","eventTime":"2026-01-05T10:00:00Z","eventSource":"{source}","eventName":"{name}","awsRegion":"{region}","requestParameters":{{{more}}},"recipientAccountId":"111122223333"}}"#
        )
    }

    fn quick<'t>(selector: &Selector, text: &'t str) -> Option<(bool, Header<'t>)> {
        let mut scanner = Scanner::new(Backend::detect());
        let scanned = *scanner.object(text.as_bytes(), 0, text.len());
        selector.quick(text.as_bytes(), 0, &scanned)
    }

    #[test]
    fn what_was_seen_around_a_name_decides_on_no_other_record() {
        // All of them in one slot, those with a like beginning as well.
        let names = ["GenerateDataKeyWithoutPlaintext", "GenerateDataKeyWithoutPlaintextX", "Decrypt"];
        let slot = |name: &str| Around::slot(&format!("\"eventName\":\"{name}").as_bytes()[NAME_KEY_BYTES..]);
        assert_eq!(slot(names[0]), slot(names[1]));
        let mut records = Vec::new();
        for name in names {
            for source in ["kms.amazonaws.com", "kms.amazonaws.com.cn", "s3.amazonaws.com"] {
                for region in ["eu-west-1", "eu-west-2", "eu-west-10"] {
                    for more in [r#""a":"aws:ebs:id""#, r#""a":"b""#] {
                        records.push(record(source, name, region, more));
                    }
                }
            }
        }
        let selector = Selector::new();
        for one in &records {
            for other in &records {
                for text in [one, other] {
                    assert_eq!(quick(&selector, text), quick(&Selector::new(), text), "{text}");
                }
            }
        }
        let kept = records.iter().filter(|text| quick(&selector, text).is_some_and(|(is_kept, _)| is_kept));
        assert_eq!(kept.count(), 2 * 2 * 3, "two names of the table, two spellings of KMS, with a mark");
        let header = quick(&selector, &records[0]).expect("the usual layout").1;
        assert_eq!((header.region, header.is_kms), (Some(&b"eu-west-1"[..]), true));
    }

    #[test]
    fn a_long_name_is_not_remembered() {
        let selector = Selector::new();
        let text = record("kms.amazonaws.com", &"x".repeat(2 * Around::BYTES_MAX), "eu-west-1", "");
        assert_eq!(quick(&selector, &text), None);
        assert!(selector.around.borrow().iter().all(|around| around.text.is_empty()));
    }

    #[test]
    fn every_mark_leaves_its_trace_wherever_it_stands() {
        for backend in [Backend::Portable, Backend::detect()] {
            for (mark, trace) in KMS_MARKS.iter().zip(KMS_TRACES) {
                for before in 0..200 {
                    for behind in [0, 1, 63, 64, 65, 127, 128, 200] {
                        let text = ["x".repeat(before), (*mark).to_owned(), "x".repeat(behind)].concat();
                        assert!(backend.has_kms_traces(text.as_bytes()), "{mark} at {before}");
                        let cut = text.replace(&mark[trace[0].1..], "");
                        assert!(!backend.has_kms_traces(cut.as_bytes()), "{mark} at {before}");
                    }
                }
            }
        }
    }
}
