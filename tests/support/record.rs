//! One CloudTrail record: the members that every record has, in the order in which CloudTrail writes them.
//!
//! A [`Draft`] comes in, filled by the modules that know one service's records; a [`Record`] comes out.

use super::ids::Ids;
use super::json::{Json, Object, object};

/// A record as text, and what a container or a file name needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unix second of `eventTime`.
    pub time: i64,
    /// `recipientAccountId`.
    pub account_id: String,
    /// `awsRegion`.
    pub region: String,
    /// `eventID`.
    pub event_id: String,
    /// `eventSource`.
    pub source: String,
    /// `eventName`.
    pub name: String,
    /// `readOnly`.
    pub is_read_only: bool,
    /// The record, compact.
    pub text: String,
}

/// A record under construction.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `eventVersion`.
    pub version: &'static str,
    /// `userIdentity`.
    pub identity: Json,
    /// Unix second of `eventTime`.
    pub time: i64,
    /// Service, such as `ec2`: source and host names are made from it.
    pub service: &'static str,
    /// `eventName`.
    pub name: String,
    /// `awsRegion`.
    pub region: String,
    /// `sourceIPAddress`.
    pub source_ip: String,
    /// `userAgent`.
    pub user_agent: String,
    /// `errorCode` and `errorMessage`.
    pub error: Option<(String, String)>,
    /// `requestParameters`.
    pub request: Json,
    /// `responseElements`.
    pub response: Json,
    /// `additionalEventData`.
    pub additional: Option<Json>,
    /// `requestID`; service events have none.
    pub request_id: Option<String>,
    /// `eventID`.
    pub event_id: String,
    /// `readOnly`.
    pub is_read_only: bool,
    /// `resources`.
    pub resources: Option<Json>,
    /// `eventType`.
    pub event_type: &'static str,
    /// `recipientAccountId`.
    pub account_id: String,
    /// `sharedEventID`.
    pub shared_event_id: Option<String>,
    /// `serviceEventDetails`.
    pub service_details: Option<Json>,
    /// Whether the call came from inside AWS: `vpcEndpointId` "AWS Internal" and no `tlsDetails`.
    pub is_internal: bool,
    /// Whether the request and response members are capitalised, as in some service events.
    pub has_capitalised_parameters: bool,
}

impl Draft {
    /// A call that reached the service's public endpoint; request and response are still `null`.
    pub fn call(ids: &mut Ids, service: &'static str, name: &str, time: i64) -> Self {
        Self {
            version: if service == "ec2" { "1.10" } else { "1.11" },
            identity: Json::null(),
            time,
            service,
            name: name.to_owned(),
            region: String::new(),
            source_ip: String::new(),
            user_agent: String::new(),
            error: None,
            request: Json::null(),
            response: Json::null(),
            additional: None,
            request_id: Some(ids.uuid()),
            event_id: ids.uuid(),
            is_read_only: false,
            resources: None,
            event_type: "AwsApiCall",
            account_id: String::new(),
            shared_event_id: None,
            service_details: None,
            is_internal: false,
            has_capitalised_parameters: false,
        }
    }

    /// Source address and user agent of a call that an AWS service made.
    pub fn made_by_service(&mut self, service_name: &str) {
        service_name.clone_into(&mut self.source_ip);
        service_name.clone_into(&mut self.user_agent);
    }

    /// The finished record.
    pub fn finish(self) -> Record {
        let source = format!("{}.amazonaws.com", self.service);
        let is_from_service = self.user_agent.ends_with(".amazonaws.com");
        let (request_name, response_name) = if self.has_capitalised_parameters {
            ("RequestParameters", "ResponseElements")
        } else {
            ("requestParameters", "responseElements")
        };
        let mut record = Object::new();
        record.member("eventVersion", self.version);
        record.member("userIdentity", self.identity);
        record.member("eventTime", iso(self.time));
        record.member("eventSource", &source);
        record.member("eventName", &self.name);
        record.member("awsRegion", &self.region);
        record.member("sourceIPAddress", self.source_ip);
        record.member("userAgent", self.user_agent);
        if let Some((code, message)) = self.error {
            record.member("errorCode", code);
            if !message.is_empty() {
                record.member("errorMessage", message);
            }
        }
        record.member(request_name, self.request);
        record.member(response_name, self.response);
        record.member_if("additionalEventData", self.additional);
        record.member_if("requestID", self.request_id);
        record.member("eventID", &self.event_id);
        record.member("readOnly", self.is_read_only);
        record.member_if("resources", self.resources);
        record.member("eventType", self.event_type);
        record.member("managementEvent", true);
        record.member("recipientAccountId", &self.account_id);
        record.member_if("sharedEventID", self.shared_event_id);
        record.member_if("serviceEventDetails", self.service_details);
        if self.is_internal {
            record.member("vpcEndpointId", "AWS Internal");
            record.member("vpcEndpointAccountId", "AWS Internal");
        }
        record.member("eventCategory", "Management");
        if !self.is_internal && !is_from_service && self.event_type == "AwsApiCall" {
            record.member("tlsDetails", tls_details(self.service, &self.region));
        }
        Record {
            time: self.time,
            account_id: self.account_id,
            region: self.region,
            event_id: self.event_id,
            source,
            name: self.name,
            is_read_only: self.is_read_only,
            text: record.finish().0,
        }
    }
}

fn tls_details(service: &str, region: &str) -> Json {
    object! {
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
        "clientProvidedHostHeader": format!("{service}.{region}.amazonaws.com"),
    }
}

/// `eventTime` as CloudTrail writes it.
pub fn iso(second: i64) -> String {
    jiff::Timestamp::from_second(second).expect("a time of this century").to_string()
}

/// Unix second of a time such as `2026-03-03T10:00:00Z`.
pub fn second(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_second()
}
