//! Bytes of one record -> [`Event`].
//!
//! simd-json makes a tape of the record in buffers that live as long as the parser; only the members that
//! the event's kind needs are looked at. What cannot be read as expected is absent, never an error, except
//! the few fields without which a record says nothing.

mod ec2;
mod identity;
mod kms;
mod member;
mod pool;
mod tags;

use simd_json::tape::{Tape, Value};

use self::identity::IdentityTexts;
use self::member::Member;
use self::pool::{Pool, Repeated};
use super::relevance::row;
use super::{
    ApiError, Detail, Event, EventSelectors, Id, Identity, Origin, RELEVANCE_TABLE, Relevance, Timestamp,
};

/// Parses records; keeps its buffers and its pool of shared texts from record to record.
pub struct EventParser {
    text: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<Tape<'static>>,
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
#[derive(Clone, Copy)]
struct TopLevel<'tape, 'input> {
    event_id: Member<'tape, 'input>,
    event_time: Member<'tape, 'input>,
    event_source: Member<'tape, 'input>,
    event_name: Member<'tape, 'input>,
    event_type: Member<'tape, 'input>,
    region: Member<'tape, 'input>,
    recipient: Member<'tape, 'input>,
    identity: Member<'tape, 'input>,
    user_agent: Member<'tape, 'input>,
    source_ip: Member<'tape, 'input>,
    error_code: Member<'tape, 'input>,
    error_message: Member<'tape, 'input>,
    request: Member<'tape, 'input>,
    response: Member<'tape, 'input>,
    additional: Member<'tape, 'input>,
    service_details: Member<'tape, 'input>,
    resources: Member<'tape, 'input>,
    request_id: Member<'tape, 'input>,
    shared_event_id: Member<'tape, 'input>,
    addendum: Member<'tape, 'input>,
    omitted: Member<'tape, 'input>,
}

impl<'tape, 'input> TopLevel<'tape, 'input> {
    /// Of a name that occurs twice, the last value counts, as in most JSON readers.
    fn read(record: Value<'tape, 'input>) -> Option<Self> {
        let absent = Member::ABSENT;
        let mut top = Self {
            event_id: absent,
            event_time: absent,
            event_source: absent,
            event_name: absent,
            event_type: absent,
            region: absent,
            recipient: absent,
            identity: absent,
            user_agent: absent,
            source_ip: absent,
            error_code: absent,
            error_message: absent,
            request: absent,
            response: absent,
            additional: absent,
            service_details: absent,
            resources: absent,
            request_id: absent,
            shared_event_id: absent,
            addendum: absent,
            omitted: absent,
        };
        for (name, value) in record.as_object()?.iter() {
            // AWS's own samples capitalise some names.
            let field = match name {
                "eventID" => &mut top.event_id,
                "eventTime" => &mut top.event_time,
                "eventSource" => &mut top.event_source,
                "eventName" => &mut top.event_name,
                "eventType" => &mut top.event_type,
                "awsRegion" => &mut top.region,
                "recipientAccountId" => &mut top.recipient,
                "userIdentity" | "UserIdentity" => &mut top.identity,
                "userAgent" => &mut top.user_agent,
                "sourceIPAddress" => &mut top.source_ip,
                "errorCode" | "ErrorCode" => &mut top.error_code,
                "errorMessage" | "ErrorMessage" => &mut top.error_message,
                "requestParameters" | "RequestParameters" => &mut top.request,
                "responseElements" | "ResponseElements" => &mut top.response,
                "additionalEventData" | "AdditionalEventData" => &mut top.additional,
                "serviceEventDetails" | "ServiceEventDetails" => &mut top.service_details,
                "resources" | "Resources" => &mut top.resources,
                "requestID" => &mut top.request_id,
                "sharedEventID" => &mut top.shared_event_id,
                "addendum" => &mut top.addendum,
                "omitted" => &mut top.omitted,
                _ => continue,
            };
            *field = Member::new(value);
        }
        Some(top)
    }

    fn is_omitting(&self) -> bool {
        [
            self.omitted,
            self.request.get("omitted"),
            self.response.get("omitted"),
            self.additional.get("omitted"),
        ]
        .iter()
        .any(|member| member.flag() == Some(true))
    }
}

/// Of the record's length, which begins what its digest is made from.
const LENGTH_BYTES: usize = size_of::<u64>();

impl Default for EventParser {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            buffers: simd_json::Buffers::new(4096),
            tape: Some(Tape::null()),
            pool: Pool::default(),
        }
    }
}

impl EventParser {
    /// Parses the bytes of one record, a JSON object.
    ///
    /// # Errors
    /// When the bytes are no JSON, no CloudTrail record, or one without a time, a source or a name.
    pub fn parse(&mut self, raw: &[u8], origin: Origin) -> Result<Parsed, ParseError> {
        // In-place unescaping needs bytes of its own, and room behind them for wide loads. The length before
        // them is for the digest, which is taken before anything is unescaped.
        self.text.clear();
        self.text.extend_from_slice(&(raw.len() as u64).to_le_bytes());
        self.text.extend_from_slice(raw);
        let digest = twox_hash::XxHash3_64::oneshot(&self.text);
        self.text.resize(self.text.len() + simd_json::INPUT_PADDING, 0);
        let text = &mut self.text[LENGTH_BYTES..];
        let mut tape = self.tape.take().unwrap_or_else(Tape::null).reset();
        let outcome = match simd_json::fill_tape_padded(text, raw.len(), &mut self.buffers, &mut tape) {
            Ok(()) => read_record(&mut self.pool, tape.as_value(), digest, origin),
            Err(_) if std::str::from_utf8(raw).is_err() => Err(ParseError::InvalidUtf8),
            Err(error) => Err(ParseError::InvalidJson(error.to_string())),
        };
        self.tape = Some(tape.reset());
        outcome
    }
}

fn read_record(
    pool: &mut Pool,
    record: Value<'_, '_>,
    digest: u64,
    origin: Origin,
) -> Result<Parsed, ParseError> {
    let top = TopLevel::read(record).ok_or(ParseError::NotARecord("not a JSON object"))?;
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
            None => Id::new(&format!("no-event-id:{digest:016x}")),
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
        amends: top.addendum.get("originalEventID").text().map(Id::new),
        detail,
        origin,
        digest,
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
        }
        (Relevance::TagMarks, Detail::Tagging { resources, tags }) => {
            resources.iter().any(|id| id.starts_with("i-")) && **tags != super::NodeTags::default()
        }
        _ => true,
    }
}

fn read_detail(
    pool: &mut Pool,
    top: &TopLevel<'_, '_>,
    source: &str,
    name: &str,
    error: Option<&ApiError>,
) -> Option<Detail> {
    match source {
        "ec2.amazonaws.com" => ec2::read(pool, top, name),
        "kms.amazonaws.com" => kms::read(pool, top, name, error),
        "autoscaling.amazonaws.com" => Some(Detail::AutoScalingTermination {
            instance_id: pool.optional(top.request.get("instanceId").text()),
        }),
        "eks.amazonaws.com" => {
            let key = top
                .request
                .get("encryptionConfig")
                .items()
                .find_map(|config| config.get("provider").get("keyArn").text())?;
            Some(Detail::ClusterSecrets {
                cluster: pool.optional(top.request.get_first(&["name", "clusterName"]).text()),
                key: Some(pool.text(key)),
            })
        }
        "cloudtrail.amazonaws.com" => Some(Detail::Selectors(read_selectors(pool, top.request))),
        _ => None,
    }
}

fn read_selectors(pool: &mut Pool, request: Member<'_, '_>) -> EventSelectors {
    let mut found =
        EventSelectors { trail: pool.optional(request.get("trailName").text()), ..EventSelectors::default() };
    let simple: Vec<_> = request.get("eventSelectors").items().collect();
    let management: Vec<_> = simple
        .iter()
        .filter(|selector| selector.get("includeManagementEvents").flag() != Some(false))
        .collect();
    if !simple.is_empty() {
        found.no_management_events = management.is_empty();
        found.excludes_kms = !management.is_empty()
            && management.iter().all(|selector| {
                let mut excluded = selector.get("excludeManagementEventSources").items();
                excluded.any(|source| source.text() == Some("kms.amazonaws.com"))
            });
        found.write_only = !management.is_empty()
            && management.iter().all(|selector| selector.get("readWriteType").text() == Some("WriteOnly"));
    }
    let advanced: Vec<_> = request.get("advancedEventSelectors").items().collect();
    if !advanced.is_empty() {
        let field = |selector: &Member<'_, '_>, name: &str, test: &str, value: &str| {
            selector.get("fieldSelectors").items().any(|field| {
                field.get("field").text() == Some(name)
                    && field.get(test).items().any(|item| item.text() == Some(value))
            })
        };
        let management: Vec<_> = advanced
            .iter()
            .filter(|selector| field(selector, "eventCategory", "equals", "Management"))
            .collect();
        found.no_management_events = management.is_empty();
        found.excludes_kms = !management.is_empty()
            && management
                .iter()
                .all(|selector| field(selector, "eventSource", "notEquals", "kms.amazonaws.com"));
        found.write_only = !management.is_empty()
            && management.iter().all(|selector| field(selector, "readOnly", "equals", "false"));
    }
    found
}

#[cfg(test)]
mod tests;
