//! Bytes of one record -> [`Event`].
//!
//! The record becomes a [`Document`] in buffers that live as long as the parser; only the members that
//! the event's kind needs are looked at. What cannot be read as expected is absent, never an error, except
//! the few fields without which a record says nothing.

mod document;
mod ec2;
mod identity;
mod kms;
mod member;
mod name;
mod pool;
mod tags;

use std::hash::{Hash as _, Hasher as _};

use twox_hash::XxHash3_64;

use self::document::{Document, DocumentReader};
use self::identity::IdentityTexts;
use self::member::Member;
use self::name::{Name, TOP_LEVEL, name, names};
use self::pool::{Pool, Repeated};
use super::relevance::row;
use super::{
    ApiError, Detail, Event, EventSelectors, Id, Identity, Origin, RELEVANCE_TABLE, Relevance, Timestamp,
};

/// Parses records; keeps its buffers and its pool of shared texts from record to record.
#[derive(Default)]
pub struct EventParser {
    reader: DocumentReader,
    pool: Pool,
}

/// What one record turned out to be.
#[derive(Debug)]
pub enum Parsed {
    /// Evidence.
    Relevant(Box<Event>),
    /// A CloudTrail record of no use for the question.
    Irrelevant,
}

/// Why a record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The text is no JSON.
    #[error("invalid JSON: {0}")]
    InvalidJson(String),
    /// The text is no UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// The value is no CloudTrail record.
    #[error("not a CloudTrail record: {0}")]
    NotARecord(&'static str),
    /// A CloudTrail record without what every record has.
    #[error("incomplete record: {0}")]
    Incomplete(&'static str),
}

/// The members of a record's top level that any kind may need.
struct TopLevel<'a> {
    event_id: Member<'a>,
    event_time: Member<'a>,
    event_source: Member<'a>,
    event_name: Member<'a>,
    event_type: Member<'a>,
    region: Member<'a>,
    recipient: Member<'a>,
    identity: Member<'a>,
    user_agent: Member<'a>,
    source_ip: Member<'a>,
    error_code: Member<'a>,
    error_message: Member<'a>,
    request: Member<'a>,
    response: Member<'a>,
    additional: Member<'a>,
    service_details: Member<'a>,
    resources: Member<'a>,
    request_id: Member<'a>,
    shared_event_id: Member<'a>,
    addendum: Member<'a>,
    omitted: Member<'a>,
}

impl<'a> TopLevel<'a> {
    /// Of a name that occurs twice, the last value counts, as in most JSON readers.
    fn read(record: Member<'a>) -> Option<Self> {
        if !record.is_object() {
            return None;
        }
        let mut found = [Member::ABSENT; TOP_LEVEL];
        for member in record.members() {
            let spelled = member.spelled();
            if let Some(place) = found.get_mut(spelled.name.number())
                && (spelled.is_exact || is_capitalised(member.key(), spelled.name))
            {
                *place = member.value();
            }
        }
        let at = |name: Name| found[name.number()];
        Some(Self {
            event_id: at(name!("eventID")),
            event_time: at(name!("eventTime")),
            event_source: at(name!("eventSource")),
            event_name: at(name!("eventName")),
            event_type: at(name!("eventType")),
            region: at(name!("awsRegion")),
            recipient: at(name!("recipientAccountId")),
            identity: at(name!("userIdentity")),
            user_agent: at(name!("userAgent")),
            source_ip: at(name!("sourceIPAddress")),
            error_code: at(name!("errorCode")),
            error_message: at(name!("errorMessage")),
            request: at(name!("requestParameters")),
            response: at(name!("responseElements")),
            additional: at(name!("additionalEventData")),
            service_details: at(name!("serviceEventDetails")),
            resources: at(name!("resources")),
            request_id: at(name!("requestID")),
            shared_event_id: at(name!("sharedEventID")),
            addendum: at(name!("addendum")),
            omitted: at(name!("omitted")),
        })
    }

    fn is_omitting(&self) -> bool {
        [
            self.omitted,
            self.request.get(name!("omitted")),
            self.response.get(name!("omitted")),
            self.additional.get(name!("omitted")),
        ]
        .iter()
        .any(|member| member.flag() == Some(true))
    }
}

/// Whether a name of the top level is written as AWS's own samples write some: with a capital.
fn is_capitalised(key: &str, name: Name) -> bool {
    const CAPITALISED: [Name; 8] = names![
        "userIdentity",
        "errorCode",
        "errorMessage",
        "requestParameters",
        "responseElements",
        "additionalEventData",
        "serviceEventDetails",
        "resources",
    ];
    CAPITALISED.contains(&name)
        && key.starts_with(|first: char| first.is_ascii_uppercase())
        && key[1..] == name.spelling()[1..]
}

impl EventParser {
    /// Parses the bytes of one record, a JSON object.
    ///
    /// # Errors
    /// When the bytes are no JSON, no CloudTrail record, or one without a time, a source or a name.
    pub fn parse(&mut self, raw: &[u8], origin: Origin) -> Result<Parsed, ParseError> {
        let document = self.reader.read(raw)?;
        read_record(&mut self.pool, &document, raw, origin)
    }
}

/// What a record without an id is called, in every release.
fn id_from_bytes(raw: &[u8]) -> Id {
    let mut hasher = XxHash3_64::default();
    raw.hash(&mut hasher);
    Id::new(&format!("no-event-id:{:016x}", hasher.finish()))
}

fn read_record(
    pool: &mut Pool,
    document: &Document<'_>,
    raw: &[u8],
    origin: Origin,
) -> Result<Parsed, ParseError> {
    let top = TopLevel::read(Member::root(document)).ok_or(ParseError::NotARecord("not a JSON object"))?;
    let (source, name) = match (top.event_source.text(), top.event_name.text()) {
        (Some(source), Some(name)) => (source, name),
        (None, None) => return Err(ParseError::NotARecord("no eventSource and no eventName")),
        (None, Some(_)) => return Err(ParseError::Incomplete("no eventSource")),
        (Some(_), None) => return Err(ParseError::Incomplete("no eventName")),
    };
    if source == "aws:s3" {
        return Err(ParseError::NotARecord("an S3 event notification"));
    }
    let Some(time) = top.event_time.text().and_then(Timestamp::parse) else {
        return Err(ParseError::Incomplete("no readable eventTime"));
    };
    let source = source.strip_suffix(".cn").unwrap_or(source);
    let Some(row) = row(source, name) else {
        return Ok(Parsed::Irrelevant);
    };
    if top.event_type.text() == Some("AwsCloudTrailInsight") {
        return Ok(Parsed::Irrelevant);
    }
    let error = top.error_code.text().map(|code| ApiError {
        code: pool.text(code),
        message: pool.text(top.error_message.text().unwrap_or_default()),
    });
    let Some(detail) = read_detail(pool, &top, source, name, error.as_ref()) else {
        return Ok(Parsed::Irrelevant);
    };
    let identity = pool.identity(&IdentityTexts::read(top.identity));
    if !is_about_nodes(RELEVANCE_TABLE[row].2, &detail, &identity, error.as_ref()) {
        return Ok(Parsed::Irrelevant);
    }
    let account_id = match (top.recipient.text(), &identity.account_id) {
        (Some(recipient), Some(caller)) if *recipient == **caller => caller.clone(),
        (None, Some(caller)) => caller.clone(),
        (recipient, _) => pool.text(recipient.unwrap_or_default()),
    };
    let (source, name) = pool.names(row);
    Ok(Parsed::Relevant(Box::new(Event {
        event_id: match top.event_id.text() {
            Some(id) => Id::new(id),
            None => id_from_bytes(raw),
        },
        time,
        source,
        name,
        region: pool.repeated(Repeated::Region, top.region.text().unwrap_or_default()),
        account_id,
        request_id: top.request_id.text().map(Id::new),
        shared_event_id: top.shared_event_id.text().map(Id::new),
        identity,
        user_agent: pool.repeated(Repeated::UserAgent, top.user_agent.text().unwrap_or_default()),
        source_ip: pool.repeated(Repeated::SourceIp, top.source_ip.text().unwrap_or_default()),
        error,
        omitted: top.is_omitting(),
        amends: top.addendum.get(name!("originalEventID")).text().map(|id| Box::new(Id::new(id))),
        detail,
        origin,
        digest: XxHash3_64::oneshot(raw),
    })))
}

/// The decision that the names alone do not give.
fn is_about_nodes(
    relevance: Relevance,
    detail: &Detail,
    identity: &Identity,
    error: Option<&ApiError>,
) -> bool {
    match (relevance, detail) {
        (Relevance::KmsMarks, Detail::Kms(kms)) => {
            error.is_some()
                || kms.volume_id.is_some()
                || kms.snapshot_id.is_some()
                || kms.grantee_instance_id.is_some()
                || identity.instance_id.is_some()
                || kms.requested_key.as_deref().is_some_and(|key| key.contains("alias/"))
                || identity.is_invoked_by(crate::event::EC2_FRONT_END)
        }
        (Relevance::TagMarks, Detail::Tagging { resources, tags }) => {
            resources.iter().any(|id| id.starts_with("i-")) && **tags != super::NodeTags::default()
        }
        _ => true,
    }
}

fn read_detail(
    pool: &mut Pool,
    top: &TopLevel<'_>,
    source: &str,
    name: &str,
    error: Option<&ApiError>,
) -> Option<Detail> {
    match source {
        "ec2.amazonaws.com" => ec2::read(pool, top, name),
        "kms.amazonaws.com" => kms::read(pool, top, name, error),
        "autoscaling.amazonaws.com" => Some(Detail::AutoScalingTermination {
            instance_id: pool.optional_passing(top.request.get(name!("instanceId")).text()),
        }),
        "eks.amazonaws.com" => {
            let key = top
                .request
                .get(name!("encryptionConfig"))
                .items()
                .find_map(|config| config.get(name!("provider")).get(name!("keyArn")).text())?;
            Some(Detail::ClusterSecrets {
                cluster: pool.optional(top.request.get_first(&names!["name", "clusterName"]).text()),
                key: Some(pool.text(key)),
            })
        }
        "cloudtrail.amazonaws.com" => Some(Detail::Selectors(read_selectors(pool, top.request))),
        _ => None,
    }
}

fn read_selectors(pool: &mut Pool, request: Member<'_>) -> EventSelectors {
    let mut found = EventSelectors {
        trail: pool.optional(request.get(name!("trailName")).text()),
        ..EventSelectors::default()
    };
    let simple: Vec<_> = request.get(name!("eventSelectors")).items().collect();
    let management: Vec<_> = simple
        .iter()
        .filter(|selector| selector.get(name!("includeManagementEvents")).flag() != Some(false))
        .collect();
    if !simple.is_empty() {
        found.no_management_events = management.is_empty();
        found.excludes_kms = !management.is_empty()
            && management.iter().all(|selector| {
                let mut excluded = selector.get(name!("excludeManagementEventSources")).items();
                excluded.any(|source| source.text() == Some("kms.amazonaws.com"))
            });
        found.write_only = !management.is_empty()
            && management
                .iter()
                .all(|selector| selector.get(name!("readWriteType")).text() == Some("WriteOnly"));
    }
    let advanced: Vec<_> = request.get(name!("advancedEventSelectors")).items().collect();
    if !advanced.is_empty() {
        let field = |selector: &Member<'_>, name: &str, test: Name, value: &str| {
            selector.get(name!("fieldSelectors")).items().any(|field| {
                field.get(name!("field")).text() == Some(name)
                    && field.get(test).items().any(|item| item.text() == Some(value))
            })
        };
        let management: Vec<_> = advanced
            .iter()
            .filter(|selector| field(selector, "eventCategory", name!("equals"), "Management"))
            .collect();
        found.no_management_events = management.is_empty();
        found.excludes_kms = !management.is_empty()
            && management
                .iter()
                .all(|selector| field(selector, "eventSource", name!("notEquals"), "kms.amazonaws.com"));
        found.write_only = !management.is_empty()
            && management.iter().all(|selector| field(selector, "readOnly", name!("equals"), "false"));
    }
    found
}

#[cfg(test)]
mod tests;
