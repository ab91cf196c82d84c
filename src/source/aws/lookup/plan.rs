//! Which questions are put to LookupEvents: one per event name, each with its stretch of time.
//!
//! The table of what matters and the window of the nodes come in, queries go out. The service selects by one
//! attribute only; everything else is decided later, on the records. No name of the table is ever left out.

use std::collections::BTreeSet;

use crate::event::{RELEVANCE_TABLE, Timestamp};

/// Every service calls these, thousands of times an hour, and for a node they say something only from its launch
/// on.
const FREQUENT: [&str; 3] = ["Decrypt", "DescribeKey", "GenerateDataKey"];
/// Before the window, they are asked for from so many seconds on: clocks differ, and launches take a while.
const FREQUENT_LOOKBACK_SECONDS: i64 = 600;

/// Rare events that may be as old as the history and still decide which key a node gets.
const SETTINGS: [&str; 22] = [
    "AssociateEncryptionConfig",
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateCluster",
    "CreateKey",
    "DeleteAlias",
    "DeleteImportedKeyMaterial",
    "DeleteKey",
    "DisableEbsEncryptionByDefault",
    "DisableKey",
    "EnableEbsEncryptionByDefault",
    "EnableKey",
    "ImportKeyMaterial",
    "ModifyEbsDefaultKmsKeyId",
    "ModifyLaunchTemplate",
    "PutEventSelectors",
    "PutKeyPolicy",
    "ResetEbsDefaultKmsKeyId",
    "RevokeGrant",
    "ScheduleKeyDeletion",
    "SharedSnapshotVolumeCreated",
    "UpdateAlias",
];

/// What is asked of the history of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The attribute `EventName`.
    pub(super) event_name: &'static str,
    /// Events at or after this time; all that the history has if `None`.
    pub(super) from: Option<Timestamp>,
    /// Events at or before this time; up to now if `None`.
    pub(super) to: Option<Timestamp>,
}

/// The stretch of time that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupWindow {
    /// Nodes launched at or after this time are of interest.
    pub from: Option<Timestamp>,
    /// Nodes launched before this time are of interest.
    pub to: Option<Timestamp>,
    /// How long before `from` evidence may lie, in seconds.
    pub lookback_seconds: i64,
    /// How long after `to` evidence may lie, in seconds.
    pub lookahead_seconds: i64,
}

/// All queries of a region. Those with the most pages come first: at the end a single one of them would be
/// paged through alone.
pub(super) fn queries(window: &LookupWindow) -> Vec<Query> {
    let names: BTreeSet<&'static str> = RELEVANCE_TABLE.iter().map(|(_, name, _)| *name).collect();
    let before = |seconds| window.from.map(|from| Timestamp::from_second(from.second() - seconds));
    let to = window.to.map(|to| Timestamp::from_second(to.second() + window.lookahead_seconds));
    let query = |event_name| {
        let from = if SETTINGS.contains(&event_name) {
            None
        } else if FREQUENT.contains(&event_name) {
            before(FREQUENT_LOOKBACK_SECONDS.min(window.lookback_seconds))
        } else {
            before(window.lookback_seconds)
        };
        Query { event_name, from, to }
    };
    let (frequent, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| FREQUENT.contains(name));
    frequent.into_iter().chain(others).map(query).collect()
}

#[cfg(test)]
mod tests {
    use super::{FREQUENT, LookupWindow, SETTINGS, queries};
    use crate::event::{RELEVANCE_TABLE, Timestamp};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    #[test]
    fn every_event_name_that_matters_is_asked_for_once() {
        let queries = queries(&LookupWindow::default());
        for (_, name, _) in RELEVANCE_TABLE {
            assert_eq!(queries.iter().filter(|query| query.event_name == name).count(), 1, "{name}");
        }
        for name in FREQUENT.iter().chain(&SETTINGS) {
            assert!(queries.iter().any(|query| query.event_name == *name), "{name} is in no table");
        }
        assert!(queries.iter().all(|query| query.from.is_none() && query.to.is_none()));
    }

    #[test]
    fn a_window_is_widened_by_what_an_event_can_decide() {
        let window = LookupWindow {
            from: Some(time("2026-03-02T10:00:00Z")),
            to: Some(time("2026-03-02T12:00:00Z")),
            lookback_seconds: 86_400,
            lookahead_seconds: 3_600,
        };
        let queries = queries(&window);
        let from = |name| {
            let query = queries.iter().find(|query| query.event_name == name).expect("a query");
            query.from.map(|from| from.to_string())
        };
        assert_eq!(from("RunInstances").as_deref(), Some("2026-03-01T10:00:00Z"));
        assert_eq!(from("CreateLaunchTemplate").as_deref(), Some("2026-03-01T10:00:00Z"));
        assert_eq!(from("Decrypt").as_deref(), Some("2026-03-02T09:50:00Z"));
        assert_eq!(from("PutKeyPolicy"), None, "a policy may be as old as the history");
        assert!(queries.iter().all(|query| query.to == Some(time("2026-03-02T13:00:00Z"))));
    }
}
