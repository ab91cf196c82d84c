//! An account and region that otherwise logs steadily was silent for hours.
//!
//! The coverage of the archive, hour by hour, comes in; one finding per silence goes out, for accounts and regions
//! of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Severity, Subject};
use super::remediation;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::FleetView;
use super::wording::{span, verb};
use crate::correlate::{Confidence, Node};
use crate::event::{Id, ScopeActivity, Text, Timestamp};

pub(super) static RULE: Rule = Rule {
    id: "KT502",
    name: "silence",
    severity: Severity::Medium,
    summary: "Silence of at least 2 h in an account and region of the nodes that otherwise logs steadily.",
    docs: "\
## Concludes

The archive lacks what happened in these hours: logging was stopped, files are missing from the copy, or delivery failed. Launches, refusals and
changes of that time are not seen, and what seems unchanged before and after may have changed twice.

## Evidence required

Two records, at least 2 h apart, with none between them in the account and region, while of the up to 12 hours on either side at least 2 and at
least five sixths hold records. All records count, relevant or not.

## What would disprove it

Records of that time in another copy of the archive; a digest file that lists none.

## Blind spots

An account that sleeps at night is silent too; where silences recur (more than two in the archive, and more than one in two days), none is
reported. A silence at the beginning or end of the archive cannot be seen, nor one in what `lookup:` gave: the event history is asked for the events that
matter only, and cannot be switched off.

## References

- <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html>
- <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StopLogging.html>
",
    evaluate: Evaluate::Fleet(evaluate),
};

/// Shortest silence that counts.
const SILENCE_SECONDS_MIN: i64 = 2 * 3_600;
/// Hours on either side that must be steady.
const NEIGHBOUR_HOURS: i64 = 12;
/// Fewest hours with records on either side.
const ACTIVE_HOURS_MIN: i64 = 2;
/// Most silences of an account that is not regularly silent.
const SILENCES_MAX: usize = 2;

/// A silence: the second of the last record before it and of the first after it.
type Gap = (i64, i64);

fn gaps(activity: &ScopeActivity) -> Vec<Gap> {
    let hours: Vec<_> = activity.hours.values().collect();
    hours
        .windows(2)
        .map(|pair| (pair[0].last_second, pair[1].first_second))
        .filter(|(from, to)| to - from >= SILENCE_SECONDS_MIN)
        .collect()
}

/// Whether the hours from `from` to `to` hold records, but for one in six.
fn is_steady(activity: &ScopeActivity, from: i64, to: i64) -> bool {
    let hours = to - from + 1;
    let active = i64::try_from(activity.hours.range(from..=to).count()).unwrap_or(i64::MAX);
    active >= ACTIVE_HOURS_MIN && active * 6 >= hours * 5
}

/// What an account and region says of its silences.
enum Scope {
    /// Steady but for these.
    Silences(Vec<Gap>),
    /// No silence, or silent as a habit.
    None,
    /// Too little to tell.
    TooLittle,
}

fn scope(activity: &ScopeActivity) -> Scope {
    let (Some((&first, _)), Some((&last, _))) =
        (activity.hours.first_key_value(), activity.hours.last_key_value())
    else {
        return Scope::TooLittle;
    };
    let all = gaps(activity);
    let days = usize::try_from((last - first) / 24).unwrap_or(0);
    if all.len() > SILENCES_MAX && all.len() > days / 2 {
        return Scope::None;
    }
    let hour = |second: i64| second.div_euclid(3_600);
    let is_surrounded = |(from, to): &Gap| {
        let (before, after) = (hour(*from), hour(*to));
        is_steady(activity, (before - NEIGHBOUR_HOURS + 1).max(first), before)
            && is_steady(activity, after, (after + NEIGHBOUR_HOURS - 1).min(last))
    };
    let silences: Vec<Gap> = all.iter().copied().filter(is_surrounded).collect();
    match (silences.is_empty(), all.is_empty()) {
        (false, _) => Scope::Silences(silences),
        (true, false) => Scope::TooLittle,
        (true, true) => Scope::None,
    }
}

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let case = view.facts.case;
    let places: BTreeSet<(&Text, &Text)> =
        case.nodes.iter().map(|node| (&node.account_id, &node.region)).collect();
    let mut found: BTreeMap<(&Text, &Text), Vec<Gap>> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for (place, activity) in &case.coverage.scopes {
        let (account_id, region) = place;
        // Where records were asked for by their names, others may have been logged in between.
        if !places.contains(&(account_id, region)) || case.coverage.selections.contains(place) {
            continue;
        }
        match scope(activity) {
            Scope::None => {}
            Scope::TooLittle => verdicts.push(Verdict::undetermined(format!(
                "whether {account_id}/{region} logs steadily: the archive holds too few hours of it around its silences"
            ))),
            Scope::Silences(gaps) => _ = found.insert((account_id, region), gaps),
        }
    }
    if found.is_empty() {
        return if verdicts.is_empty() { vec![Verdict::Silent] } else { verdicts };
    }
    // The records of evidence next to each silence.
    let mut events: BTreeMap<(&Text, &Text), Vec<(i64, &Id)>> = BTreeMap::new();
    for event in &case.events {
        let place = (&event.account_id, &event.region);
        if found.contains_key(&place) {
            events.entry(place).or_default().push((event.time.second(), &event.event_id));
        }
    }
    let mut nodes = view.nodes_by_place();
    for (place, gaps) in &found {
        let events = events.get(place).map_or(&[][..], Vec::as_slice);
        let nodes = nodes.remove(place).unwrap_or_default();
        verdicts.extend(gaps.iter().map(|gap| fire(*place, *gap, events, &nodes)));
    }
    verdicts
}

fn fire(
    (account_id, region): (&Text, &Text),
    (from, to): Gap,
    events: &[(i64, &Id)],
    nodes: &[&Node],
) -> Verdict {
    let after = events.partition_point(|(second, _)| *second <= from);
    let neighbours = [after.checked_sub(1), Some(after)];
    let evidence =
        neighbours.into_iter().flatten().filter_map(|index| events.get(index)).map(|(_, id)| (*id).clone());
    let alive = nodes.iter().filter(|node| {
        node.launched_at.is_some_and(|at| at.second() <= from)
            && node.ended_at.is_none_or(|end| end.second() >= to)
    });
    let alive = alive.count();
    let (begin, end) = (Timestamp::from_second(from), Timestamp::from_second(to));
    Verdict::fires(Finding {
        explanation: format!(
            "Account {account_id}, region {region}, logs steadily, but the archive holds no record between {begin} and \
             {end} ({}). Launches, refusals and changes of that time are not seen. {alive} of its nodes {} launched before and had not ended then, as far as the archive shows.",
            span(to - from),
            verb(alive, "was", "were")
        ),
        evidence: evidence.collect(),
        ruled_out: Vec::new(),
        missing: vec![format!(
            "every record of account {account_id}, region {region}, from {begin} to {end}"
        )],
        remediation: remediation::look_for_records(account_id, region, (from, to)).ok(),
        ..RULE.finding(
            Subject::place(account_id, region),
            Confidence::Observed,
            format!("No record of account {account_id}, {region} for {} from {begin} on", span(to - from)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{ACCOUNT, KEY, Log, is_undetermined, of_fleet, only_finding};

    /// A log with one node, in a scope with records in these hours of the day.
    fn active(hours: &[i64]) -> Log {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "08:10:00", KEY);
        let midnight = crate::event::Timestamp::parse("2026-03-02T00:00:00Z").expect("a time").second();
        let scope = log.coverage.scopes.entry((ACCOUNT.into(), "us-east-1".into())).or_default();
        for hour in hours {
            for minute in 0..60 {
                scope.note(midnight + hour * 3_600 + minute * 60, false);
            }
        }
        log
    }

    #[test]
    fn fires_for_a_silence_among_steady_hours() {
        let finding = only_finding(of_fleet(&RULE, &active(&[4, 5, 6, 7, 8, 12, 13, 14]).case()));
        assert_eq!(
            finding.title,
            "No record of account 111122223333, us-east-1 for 3 h 1 min from 2026-03-02T08:59:00Z on"
        );
        assert!(finding.explanation.contains("1 of its nodes"), "{}", finding.explanation);
        assert!(!finding.evidence.is_empty());
        let commands = &finding.remediation.expect("where to look").documents[0].body;
        for words in ["--start-time 2026-03-02T08:59:00Z", "--end-time 2026-03-02T12:00:00Z"] {
            assert!(commands.contains(words), "{commands}");
        }
    }

    #[test]
    fn silent_without_a_gap_of_two_hours() {
        assert_eq!(of_fleet(&RULE, &active(&[4, 5, 6, 7, 8, 9, 11, 12]).case()), [Verdict::Silent]);
    }

    #[test]
    fn silent_where_records_were_asked_for_by_their_names() {
        let mut log = active(&[4, 5, 6, 7, 8, 12, 13, 14]);
        log.coverage.selections.insert((ACCOUNT.into(), "us-east-1".into()));
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn silent_where_silences_are_a_habit() {
        let hours: Vec<i64> = (0..5).flat_map(|day| (8..18).map(move |hour| day * 24 + hour)).collect();
        assert_eq!(of_fleet(&RULE, &active(&hours).case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_where_the_hours_around_it_are_not_steady() {
        let verdicts = of_fleet(&RULE, &active(&[0, 2, 4, 6, 8, 12, 14, 16]).case());
        assert!(verdicts.iter().all(is_undetermined), "{verdicts:?}");
    }

    #[test]
    fn undetermined_where_too_few_hours_surround_the_gap() {
        let verdicts = of_fleet(&RULE, &active(&[8, 12]).case());
        assert!(verdicts.iter().all(is_undetermined), "{verdicts:?}");
    }
}
