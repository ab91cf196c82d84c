//! One CloudTrail record.

use std::sync::Arc;

use super::{Detail, Id, Identity, Text, Timestamp};

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
pub struct Origin {
    /// The object's URI or path.
    pub object: Text,
    /// Index of the record in the object, from 0.
    pub record: u64,
}

/// `errorCode` and `errorMessage` of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiError {
    /// The code as logged, with its `Client.` or `Server.` prefix if it has one.
    pub code: Text,
    /// The message; empty when the record has none.
    pub message: Text,
}

impl ApiError {
    /// The code without `Client.` or `Server.`.
    #[must_use]
    pub fn bare_code(&self) -> &str {
        self.code.strip_prefix("Client.").or_else(|| self.code.strip_prefix("Server.")).unwrap_or(&self.code)
    }
}

/// One CloudTrail record that matters for the question.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `eventID`; where a record has none, an id made from its bytes that starts with `no-event-id:`.
    pub event_id: Id,
    /// `eventTime`: when the service completed the request, to the second.
    pub time: Timestamp,
    /// `eventSource`, such as `kms.amazonaws.com`.
    pub source: Text,
    /// `eventName`, such as `CreateGrant`.
    pub name: Text,
    /// `awsRegion`.
    pub region: Text,
    /// `recipientAccountId`: the account whose trail holds this record; the caller's account where a
    /// record lacks it.
    pub account_id: Text,
    /// `requestID`.
    pub request_id: Option<Id>,
    /// `sharedEventID`: pairs the copies of one KMS event in two accounts.
    pub shared_event_id: Option<Id>,
    /// `userIdentity`.
    pub identity: Arc<Identity>,
    /// `userAgent`.
    pub user_agent: Text,
    /// `sourceIPAddress`.
    pub source_ip: Text,
    /// `errorCode` and `errorMessage`.
    pub error: Option<ApiError>,
    /// Whether CloudTrail says that it left out a field for its size.
    pub omitted: bool,
    /// `addendum.originalEventID`: the event that this record amends.
    pub amends: Option<Box<Id>>,
    /// What the record says beyond the fields that all records have.
    pub detail: Detail,
    /// Where it was read.
    pub origin: Origin,
    /// Hash of the record's bytes: tells apart two records of one event id.
    pub digest: u64,
}

#[cfg(test)]
mod tests {
    use super::Event;

    #[test]
    fn an_event_is_no_larger_than_a_piece_of_the_allocator() {
        // The next size of piece is 256 bytes, for each of perhaps millions of events.
        assert!(size_of::<Event>() <= 224, "{}", size_of::<Event>());
    }
}
