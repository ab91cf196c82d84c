//! The axis of time that all lanes share.
//!
//! The times of a case come in, an [`Axis`] goes out, which turns a time into a place between its ends. Places
//! are relative, so that a browser can widen the whole without computing anything anew.

use std::fmt;

use crate::correlate::Case;
use crate::event::Timestamp;

/// Shortest axis, in seconds: a single launch needs room too.
const SPAN_SECONDS_MIN: i64 = 300;
/// How far the axis reaches for a change before the first launch, unless the launches themselves span more.
const BEFORE_SECONDS: i64 = 7_200;
/// No change is worth more than a day before or after the launches.
const REACH_SECONDS_MAX: i64 = 86_400;
/// Ticks that a screen has room for.
const TICKS_MAX: i64 = 9;

/// Steps between ticks, in seconds.
const STEPS: [i64; 19] = [
    1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 2_592_000,
];

/// From when to when, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// A place on the axis in millionths, shown in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(i64);

/// A labelled time on the axis.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) place: Place,
    pub(super) label: String,
}

impl Axis {
    /// An axis over the lives of nodes and over failed launches, and over changes near them. `None` where the
    /// case has no time at all.
    pub(super) fn of(case: &Case, changes: &[Timestamp]) -> Option<Self> {
        let lives = case.nodes.iter().flat_map(|node| [node.launched_at, node.ended_at]).flatten();
        let failures = case.launch_failures.iter().map(|failure| failure.at);
        let mut seconds: Vec<i64> = lives.chain(failures).map(Timestamp::second).collect();
        if seconds.is_empty() {
            seconds.extend(changes.iter().map(|at| at.second()));
        }
        let (first, last) = (*seconds.iter().min()?, *seconds.iter().max()?);
        let span = last.saturating_sub(first).max(SPAN_SECONDS_MIN);
        let before = first - span.clamp(BEFORE_SECONDS, REACH_SECONDS_MAX);
        let after = last + span.min(REACH_SECONDS_MAX);
        let near = changes.iter().map(|at| at.second()).filter(|second| (before..=after).contains(second));
        let (start, mut end) = near.fold((first, last), |(start, end), at| (start.min(at), end.max(at)));
        // Nodes that live on are seen to do so for as long as the archive goes on.
        let read_to = case.coverage.scopes.values().filter_map(|scope| scope.last_event()).max();
        if let Some(read_to) = read_to {
            end = end.max(read_to.second().min(last.saturating_add(span / 2)));
        }
        let margin = ((end - start) / 50).max(5);
        let (start, end) = (start - margin, end + margin);
        Some(Self { start, end: end.max(start + SPAN_SECONDS_MIN) })
    }

    pub(super) fn covers(self, at: Timestamp) -> bool {
        (self.start..=self.end).contains(&at.second())
    }

    /// Where a time stands; times outside stand at the nearer end.
    pub(super) fn place(self, second: i64) -> Place {
        let second = i128::from(second.clamp(self.start, self.end));
        let (start, end) = (i128::from(self.start), i128::from(self.end));
        let millionths = (second - start) * 1_000_000 / (end - start).max(1);
        Place(i64::try_from(millionths).expect("at most a million"))
    }

    /// Round times between the ends, not more than a screen has room for.
    pub(super) fn ticks(self) -> Vec<Tick> {
        let span = self.end - self.start;
        let last = STEPS[STEPS.len() - 1];
        let step = STEPS.into_iter().find(|step| span / step < TICKS_MAX).unwrap_or(span / TICKS_MAX + last);
        let first = self.start.div_euclid(step) * step + step;
        (0..TICKS_MAX + 1)
            .map(|number| first + number * step)
            .take_while(|second| *second < self.end)
            .map(|second| {
                let text = Timestamp::from_second(second).to_string();
                let (day, clock) = text.split_once('T').unwrap_or((&text, ""));
                let label = match step {
                    86_400.. => day.to_owned(),
                    60.. => clock.get(..5).unwrap_or(clock).to_owned(),
                    _ => clock.trim_end_matches('Z').to_owned(),
                };
                Tick { place: self.place(second), label }
            })
            .collect()
    }
}

impl Place {
    pub(super) fn until(self, end: Self) -> Self {
        Self((end.0 - self.0).max(0))
    }

    /// Which of `bins` equal parts of the axis it is in.
    pub(super) fn bin(self, bins: usize) -> usize {
        let share = usize::try_from(self.0).unwrap_or(0) * bins / 1_000_000;
        share.min(bins.saturating_sub(1))
    }

    pub(super) fn millionths(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.0 / 10_000, self.0 % 10_000);
        let digits = format!("{rest:04}");
        match digits.trim_end_matches('0') {
            "" => write!(formatter, "{percent}%"),
            digits => write!(formatter, "{percent}.{digits}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;
    use crate::correlate::{Case, Node};
    use crate::event::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn case() -> Case {
        let node = |launch: &str, end: Option<&str>| Node {
            launched_at: Some(at(launch)),
            ended_at: end.map(at),
            ..Node::default()
        };
        let nodes = vec![
            node("2026-03-02T10:00:00Z", Some("2026-03-02T10:20:00Z")),
            node("2026-03-02T10:30:00Z", None),
        ];
        Case { nodes, ..Case::default() }
    }

    #[test]
    fn a_change_near_the_launches_is_on_it_and_one_of_last_month_is_not() {
        let (near, far) = (at("2026-03-02T09:10:00Z"), at("2026-02-01T09:10:00Z"));
        let axis = Axis::of(&case(), &[near, far]).expect("an axis");
        assert!(axis.covers(near) && !axis.covers(far));
        assert!(axis.covers(at("2026-03-02T10:30:00Z")));
        assert!(axis.end - axis.start < 7_200, "{axis:?}");
    }

    #[test]
    fn places_are_shares_of_the_whole() {
        let axis = Axis { start: 1_000, end: 2_000 };
        let places = [0, 1_000, 1_125, 1_333, 2_000, 9_000].map(|second| axis.place(second).to_string());
        assert_eq!(places, ["0%", "0%", "12.5%", "33.3%", "100%", "100%"]);
        assert_eq!(axis.place(2_000).bin(96), 95);
    }

    #[test]
    fn ticks_are_round_and_few() {
        let second = at("2026-03-02T09:58:00Z").second();
        for span in [300, 3_600, 86_400, 40 * 86_400, 4_000 * 86_400] {
            let ticks = Axis { start: second, end: second + span }.ticks();
            assert!((2..=10).contains(&ticks.len()), "{span}: {ticks:?}");
        }
        let ticks = Axis { start: second, end: second + 3_600 }.ticks();
        assert_eq!(ticks[0].label, "10:00");
    }

    #[test]
    fn a_case_without_times_has_none_and_extreme_times_do_no_harm() {
        assert_eq!(Axis::of(&Case::default(), &[]), None);
        let mut case = case();
        case.nodes[0].launched_at = Some(at("0000-01-01T00:00:00Z"));
        case.nodes[1].launched_at = Some(at("9999-12-31T23:59:59Z"));
        let axis = Axis::of(&case, &[]).expect("an axis");
        assert!(axis.ticks().len() <= 10);
        assert_eq!(axis.place(i64::MAX).to_string(), "100%");
    }
}
