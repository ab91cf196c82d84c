//! The KMS events of launches are not in this archive: excluded by selectors, or read-only events left out.
//!
//! All nodes and the trail's settings come in; one finding per account and region goes out.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::{FleetView, NodeView};
use super::wording::{count, plain, verb};
use crate::correlate::{Confidence, TimelineRole};
use crate::event::{Detail, Event, EventSelectors, KmsOperation, Text};

pub(super) static RULE: Rule = Rule {
    id: "KT501",
    name: "kms-events-absent",
    severity: Severity::High,
    summary: "KMS events of launches are not in this archive: excluded by selectors, or read-only events left out.",
    docs: "\
## Concludes

The archive cannot say which keys these launches used: the trail was told not to record KMS events, records writes only
(GenerateDataKeyWithoutPlaintext and Decrypt are reads, CreateGrant is a write), or the archive lacks them for another reason. Nothing follows
for the volumes: they may be encrypted, and under any key.

## Evidence required

Launches without KMS events, and a PutEventSelectors before them that excludes KMS or reads, with no such event in the account's archive
from then to the launches (observed); or
CreateGrant events of launches in an account and region without any GenerateDataKeyWithoutPlaintext or Decrypt of a volume (inferred); or
launches in an account and region without a single KMS event (inferred).

## What would disprove it

KMS events of the same launches in another trail. A trail told to record no management events at all proves nothing: the launches themselves
are management events.

## Blind spots

Several trails may feed one archive. Selectors set before the archive begins are not known. Launches without encryption in an account that
uses KMS for nothing at all look the same.

## References

- <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-management-events-with-cloudtrail.html>
- <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutEventSelectors.html>
",
    evaluate: Evaluate::Fleet(evaluate),
};

/// Most launches that a finding cites.
const CITED_MAX: usize = 20;

type Place<'a> = (&'a Text, &'a Text);

/// The launches of one account and region.
#[derive(Default)]
struct Launches<'a> {
    /// Without any KMS event.
    dark: Vec<NodeView<'a>>,
    /// With a grant, but without the read-only events.
    half_dark: Vec<NodeView<'a>>,
}

/// How long after a launch its KMS events may come, in seconds.
const LAUNCH_SECONDS_MAX: i64 = 60;

/// Which KMS events the archive does hold: a trail that was told to leave them out explains nothing where another
/// one records them.
#[derive(Default)]
struct Recorded<'a> {
    /// Times of KMS events by account, sorted.
    kms: BTreeMap<&'a Text, Vec<i64>>,
    /// Times of read-only KMS events by account, sorted.
    reads: BTreeMap<&'a Text, Vec<i64>>,
    /// Places with a read-only KMS event of a volume.
    volume_reads: BTreeSet<Place<'a>>,
}

impl<'a> Recorded<'a> {
    fn note(&mut self, event: &'a Event) {
        if *event.source != *"kms.amazonaws.com" {
            return;
        }
        self.kms.entry(&event.account_id).or_default().push(event.time.second());
        let Detail::Kms(kms) = &event.detail else {
            return;
        };
        let is_read = matches!(
            kms.operation,
            KmsOperation::GenerateDataKeyWithoutPlaintext
                | KmsOperation::GenerateDataKey
                | KmsOperation::Decrypt
                | KmsOperation::ReEncrypt
                | KmsOperation::DescribeKey
        );
        if is_read {
            self.reads.entry(&event.account_id).or_default().push(event.time.second());
            if kms.volume_id.is_some() {
                self.volume_reads.insert((&event.account_id, &event.region));
            }
        }
    }

    fn has_kms(&self, account_id: &Text, window: (i64, i64)) -> bool {
        is_within(self.kms.get(account_id), window)
    }

    fn has_reads(&self, account_id: &Text, window: (i64, i64)) -> bool {
        is_within(self.reads.get(account_id), window)
    }
}

fn is_within(seconds: Option<&Vec<i64>>, (from, to): (i64, i64)) -> bool {
    seconds.is_some_and(|seconds| {
        let first = seconds.partition_point(|second| *second < from);
        seconds.get(first).is_some_and(|second| *second <= to)
    })
}

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let case = view.facts.case;
    let mut places: BTreeMap<Place<'_>, Launches<'_>> = BTreeMap::new();
    for node in case.nodes.iter().filter(|node| node.launched_at.is_some()) {
        let node = view.facts.node(node);
        let has = |role| node.node.timeline.iter().any(|entry| entry.role == role);
        let launches = places.entry((&node.node.account_id, &node.node.region)).or_default();
        if node.lack_of_key_evidence().is_some() {
            launches.dark.push(node);
        } else if has(TimelineRole::Grant) && !has(TimelineRole::KeyUse) && !has(TimelineRole::VolumeOpened) {
            launches.half_dark.push(node);
        }
    }
    places.retain(|_, launches| !launches.dark.is_empty() || !launches.half_dark.is_empty());
    if places.is_empty() {
        return vec![Verdict::Silent];
    }
    let mut recorded = Recorded::default();
    case.events.iter().for_each(|event| recorded.note(event));
    let mut selectors: BTreeMap<&Text, Vec<(&Event, &EventSelectors)>> = BTreeMap::new();
    for event in view.facts.selectors() {
        if let Detail::Selectors(set) = &event.detail {
            selectors.entry(&event.account_id).or_default().push((event, set));
        }
    }
    let mut verdicts = Vec::new();
    for (place, launches) in &places {
        let set = selectors.get(place.0).map_or(&[][..], Vec::as_slice);
        let scope = (place.0.clone(), place.1.clone());
        let is_kms_seen = case.coverage.scopes.get(&scope).is_some_and(|scope| scope.kms_events_seen);
        verdicts.push(judge(*place, launches, set, &recorded, is_kms_seen));
    }
    verdicts
}

fn judge(
    place: Place<'_>,
    launches: &Launches<'_>,
    selectors: &[(&Event, &EventSelectors)],
    recorded: &Recorded<'_>,
    is_kms_seen: bool,
) -> Verdict {
    for (event, set) in selectors.iter().rev() {
        let is_after = |view: &&NodeView<'_>| view.node.launched_at.is_some_and(|at| at >= event.time);
        let dark: Vec<_> = launches.dark.iter().filter(is_after).collect();
        let half: Vec<_> = launches.half_dark.iter().filter(is_after).collect();
        let last = dark.iter().chain(&half).filter_map(|view| view.node.launched_at).max();
        let Some(last) = last else {
            continue;
        };
        let window = (event.time.second(), last.second() + LAUNCH_SECONDS_MAX);
        let (why, affected) = if set.excludes_kms && !dark.is_empty() && !recorded.has_kms(place.0, window) {
            ("excludes KMS events", dark)
        } else if set.write_only && !recorded.has_reads(place.0, window) {
            (
                "records writes only, and most KMS events of a launch are reads",
                dark.into_iter().chain(half).collect(),
            )
        } else {
            continue;
        };
        let trail = set
            .trail
            .as_deref()
            .map_or_else(|| "the trail".to_owned(), |trail| format!("trail {}", plain(trail)));
        let says = format!(
            "PutEventSelectors by {}{} at {} told {trail} what to record: since then it {why}",
            who(event),
            with_tool(event),
            event.time
        );
        return fire(place, &affected, &says, Some(event));
    }
    if !launches.half_dark.is_empty() && !recorded.volume_reads.contains(&place) {
        let affected: Vec<_> = launches.half_dark.iter().collect();
        let says = "their CreateGrant events are in the archive, and not one GenerateDataKeyWithoutPlaintext or \
                    Decrypt of a volume: read-only events are left out";
        return fire(place, &affected, says, None);
    }
    if launches.dark.is_empty() {
        return Verdict::Silent;
    }
    if !is_kms_seen {
        let affected: Vec<_> = launches.dark.iter().collect();
        return fire(
            place,
            &affected,
            "the archive holds not one KMS event of this account and region",
            None,
        );
    }
    Verdict::undetermined(format!(
        "why {} in {}/{} {} no KMS events, while the archive holds others",
        count(launches.dark.len(), "launch"),
        place.0,
        place.1,
        verb(launches.dark.len(), "shows", "show")
    ))
}

fn fire(
    (account_id, region): Place<'_>,
    affected: &[&NodeView<'_>],
    says: &str,
    selectors: Option<&Event>,
) -> Verdict {
    let mut evidence: Vec<_> = selectors.map(|event| event.event_id.clone()).into_iter().collect();
    for view in affected.iter().take(CITED_MAX) {
        evidence.extend(view.launch_evidence());
        evidence.extend(view.events(TimelineRole::Grant).take(1).map(|event| event.event_id.clone()));
    }
    Verdict::fires(Finding {
        explanation: format!(
            "For {} in account {account_id}, region {region}, the keys cannot be told, or not fully: {says}. Their \
             volumes may be encrypted or not, and under any key.",
            count(affected.len(), "launch")
        ),
        evidence,
        ruled_out: Vec::new(),
        missing: vec![
            "the KMS events of these launches: in another trail, in Event history (90 days), or nowhere"
                .to_owned(),
        ],
        remediation: Some(remedy::words(
            "Let a trail record management events of KMS, reads and writes (ReadWriteType All, nothing excluded), or \
             read the last 90 days with the source lookup:.",
            format!("event selectors of the trail of account {account_id}"),
        )),
        ..RULE.finding(
            Subject::place(account_id, region),
            if selectors.is_some() { Confidence::Observed } else { Confidence::Inferred },
            format!(
                "KMS events of {} in account {account_id}, {region} are not in this archive",
                count(affected.len(), "launch")
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, OTHER_KEY, is_undetermined, of_fleet, only_finding};

    fn selectors(log: &mut Log, at: &str, selector: &str) {
        let rest = format!(
            r#""requestParameters":{{"trailName":"main","eventSelectors":[{selector}]}},"responseElements":{{"trailARN":"arn:aws:cloudtrail:us-east-1:111122223333:trail/main"}}"#
        );
        log.by_terraform(at, ("cloudtrail", "PutEventSelectors"), &rest);
    }

    #[test]
    fn fires_when_the_selectors_exclude_kms() {
        let mut log = Log::new();
        selectors(
            &mut log,
            "09:00:00",
            r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#,
        );
        let set = log.last_id();
        log.launch("a", "10:00:00").registered("a", "10:01:00");
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.evidence.contains(&set));
        assert!(finding.explanation.contains("since then it excludes KMS events"), "{}", finding.explanation);
    }

    #[test]
    fn fires_as_inferred_when_only_writes_are_there() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").grant("a", "10:00:01", KEY);
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.explanation.contains("read-only events are left out"));
    }

    #[test]
    fn fires_as_inferred_without_a_single_kms_event() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00");
        assert_eq!(only_finding(of_fleet(&RULE, &log.case())).confidence, Confidence::Inferred);
    }

    #[test]
    fn undetermined_where_another_trail_records_kms_events() {
        for selector in [
            r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#,
            r#"{"readWriteType":"WriteOnly","includeManagementEvents":true}"#,
            r#"{"readWriteType":"ReadOnly","includeManagementEvents":false}"#,
        ] {
            let mut log = Log::new();
            selectors(&mut log, "09:00:00", selector);
            log.healthy("b", "09:30:00", KEY).launch("a", "10:00:00");
            let verdicts = of_fleet(&RULE, &log.case());
            assert!(verdicts.iter().all(is_undetermined), "{selector}: {verdicts:?}");
        }
    }

    #[test]
    fn fires_when_the_trail_records_writes_only() {
        let mut log = Log::new();
        selectors(&mut log, "09:00:00", r#"{"readWriteType":"WriteOnly","includeManagementEvents":true}"#);
        log.launch("a", "10:00:00").grant("a", "10:00:01", KEY);
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.explanation.contains("records writes only"), "{}", finding.explanation);
    }

    #[test]
    fn silent_where_launches_show_their_keys_though_a_trail_excludes_them() {
        let mut log = Log::new();
        selectors(
            &mut log,
            "09:00:00",
            r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#,
        );
        log.healthy("a", "10:00:00", KEY);
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn fires_for_missing_reads_though_an_older_trail_excluded_kms() {
        let mut log = Log::new();
        selectors(
            &mut log,
            "09:00:00",
            r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#,
        );
        log.launch("a", "10:00:00").grant("a", "10:00:01", KEY);
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.explanation.contains("read-only events are left out"), "{}", finding.explanation);
    }

    #[test]
    fn silent_where_only_one_launch_lacks_its_reads() {
        let mut log = Log::new();
        log.healthy("a", "10:00:00", KEY).launch("b", "10:05:00").grant("b", "10:05:01", KEY);
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_where_only_some_launches_show_none() {
        let mut log = Log::new();
        log.healthy("a", "10:00:00", OTHER_KEY).launch("b", "10:05:00");
        let verdicts = of_fleet(&RULE, &log.case());
        assert!(verdicts.iter().any(is_undetermined), "{verdicts:?}");
    }
}
