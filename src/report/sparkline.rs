//! Launches and ends of each nodepool over time, in two lines of a screen: that something dies, and since when,
//! is seen before a word is read.
//!
//! A case comes in, a few lines go out if the screen is wide enough and there is something to see; else nothing.
//! Deaths that KMS caused are counted apart, in words and not in colour only.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use super::sanitize::sanitize;
use super::style::{Line, Tone, fitted, width};
use super::table::{Layout, write_more};
use crate::correlate::{Case, Node, TerminationCause};
use crate::event::Timestamp;

/// Narrower screens are left to the table.
const SCREEN_COLUMNS_MIN: usize = 100;
/// Columns of the bars, one per period, where there is room for as many.
const PERIODS_MAX: usize = 72;
/// Nodepools shown before the rest is counted.
const NODEPOOLS_SHOWN_MAX: usize = 6;
/// Columns of a nodepool's name.
const NAME_COLUMNS_MAX: usize = 20;
/// Lengths of a period, in seconds: those that people count in.
const PERIOD_SECONDS: [i64; 20] = [
    1, 5, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800,
    604_800, 2_592_000, 31_536_000,
];
const OF_A_REFUSED_KEY: &str = " of a refused key";
const BARS: [&str; 9] = ["·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// What happened to the nodes of one nodepool, period by period.
struct Activity {
    launched: Vec<u64>,
    ended: Vec<u64>,
    ended_by_kms: Vec<u64>,
}

/// The periods into which the time of a case is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Periods {
    begin: i64,
    seconds: i64,
    count: usize,
}

/// Writes two lines per nodepool, the one with the most deaths first; nothing where a screen is narrow or
/// unknown, or where fewer than two nodes were launched or ended.
///
/// # Errors
/// When `out` fails.
pub fn write_sparklines(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let Some(columns) = layout.columns.filter(|columns| *columns >= SCREEN_COLUMNS_MIN) else {
        return Ok(());
    };
    let names = case.nodes.iter().map(|node| width(&sanitize(pool_name(node))));
    let name_columns = names.max().unwrap_or(0).min(NAME_COLUMNS_MAX);
    // What stands around the bars: the name, what they count, and two numbers.
    let digits = case.nodes.len().to_string().len();
    let around =
        name_columns + "  launched  ".len() + "  ".len() + ", ".len() + OF_A_REFUSED_KEY.len() + 2 * digits;
    let Some(periods) = Periods::of(&case.nodes, columns.saturating_sub(around).min(PERIODS_MAX)) else {
        return Ok(());
    };
    let mut out = BufWriter::new(out);
    let mut pools = activities(&case.nodes, periods);
    let more = pools.len().saturating_sub(NODEPOOLS_SHOWN_MAX);
    pools.truncate(NODEPOOLS_SHOWN_MAX);
    let heading = format!("LAUNCHES AND ENDS  {}", periods.spelled());
    Line::new(layout.style).push(Tone::Heading, &heading).write(&mut out)?;
    for (name, activity) in &pools {
        let name = fitted(name, name_columns);
        let launched: u64 = activity.launched.iter().sum();
        let line = Line::new(layout.style)
            .push(Tone::Plain, &name)
            .gap(name_columns.saturating_sub(width(&name)) + 2)
            .push(Tone::Faint, "launched  ");
        bars(line, &activity.launched, &[], Tone::Good)
            .gap(2)
            .push(Tone::Plain, &launched.to_string())
            .write(&mut out)?;
        let (ended, by_kms): (u64, u64) = (activity.ended.iter().sum(), activity.ended_by_kms.iter().sum());
        let line = Line::new(layout.style).gap(name_columns + 2).push(Tone::Faint, "ended     ");
        let mut line = bars(line, &activity.ended, &activity.ended_by_kms, Tone::Plain)
            .gap(2)
            .push(Tone::Plain, &ended.to_string());
        if by_kms > 0 {
            line = line.push(Tone::Bad, &format!(", {by_kms}{OF_A_REFUSED_KEY}"));
        }
        line.write(&mut out)?;
    }
    write_more(&mut out, more, "nodepools", layout.style)?;
    writeln!(out)?;
    out.flush()
}

impl Periods {
    /// The periods that hold every launch and end, as short as the columns allow.
    fn of(nodes: &[Node], periods_max: usize) -> Option<Self> {
        let times = nodes.iter().flat_map(|node| node.launched_at.into_iter().chain(node.ended_at));
        let seconds = times.map(Timestamp::second);
        let (first, last, number) = seconds
            .fold((i64::MAX, i64::MIN, 0usize), |(first, last, number), at| {
                (first.min(at), last.max(at), number + 1)
            });
        if number < 2 || first == last || nodes.len() < 2 {
            return None;
        }
        PERIOD_SECONDS.into_iter().find_map(|seconds| {
            let begin = first.div_euclid(seconds) * seconds;
            let count = usize::try_from((last - begin) / seconds + 1).ok()?;
            (count <= periods_max).then_some(Self { begin, seconds, count })
        })
    }

    fn place(self, at: Timestamp) -> usize {
        usize::try_from((at.second() - self.begin) / self.seconds).unwrap_or(0).min(self.count - 1)
    }

    /// `2026-05-06 11:08 to 11:47 UTC, 1 column is 1 minute`.
    fn spelled(self) -> String {
        let end = self.begin + self.seconds * i64::try_from(self.count).unwrap_or(i64::MAX);
        let text = |second: i64| Timestamp::from_second(second).to_string().replace('T', " ");
        let (begin, end) = (text(self.begin), text(end));
        let digits = if self.seconds < 60 { 19 } else { 16 };
        let (begin, end) = (begin.get(..digits).unwrap_or(&begin), end.get(..digits).unwrap_or(&end));
        let end = if begin.get(..10) == end.get(..10) { end.get(11..).unwrap_or(end) } else { end };
        let (number, unit) = match self.seconds {
            seconds if seconds % 86_400 == 0 => (seconds / 86_400, "day"),
            seconds if seconds % 3_600 == 0 => (seconds / 3_600, "hour"),
            seconds if seconds % 60 == 0 => (seconds / 60, "minute"),
            seconds => (seconds, "second"),
        };
        let plural = if number == 1 { "" } else { "s" };
        format!("{begin} to {end} UTC, 1 column is {number} {unit}{plural}")
    }
}

fn pool_name(node: &Node) -> &str {
    node.nodepool.as_deref().unwrap_or("-")
}

/// The nodepools with what happened in each: most deaths by KMS first, then most ends, then by name.
fn activities(nodes: &[Node], periods: Periods) -> Vec<(String, Activity)> {
    let mut pools: BTreeMap<&str, Activity> = BTreeMap::new();
    for node in nodes {
        let pool = pools.entry(pool_name(node)).or_insert_with(|| Activity {
            launched: vec![0; periods.count],
            ended: vec![0; periods.count],
            ended_by_kms: vec![0; periods.count],
        });
        if let Some(at) = node.launched_at {
            pool.launched[periods.place(at)] += 1;
        }
        if let Some(at) = node.ended_at {
            pool.ended[periods.place(at)] += 1;
            let is_by_kms = node.termination.as_ref().is_some_and(|end| {
                matches!(end.cause, TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable)
            });
            pool.ended_by_kms[periods.place(at)] += u64::from(is_by_kms);
        }
    }
    let mut pools: Vec<(String, Activity)> =
        pools.into_iter().map(|(name, activity)| (sanitize(name).into_owned(), activity)).collect();
    // The sort is stable, and they come sorted by name.
    pools.sort_by_key(|(_, activity)| {
        let total = |counts: &[u64]| std::cmp::Reverse(counts.iter().sum::<u64>());
        (total(&activity.ended_by_kms), total(&activity.ended), total(&activity.launched))
    });
    pools
}

/// Adds a bar per period, as high as its share of the busiest; red where some of it is among `bad`.
fn bars(line: Line, counts: &[u64], bad: &[u64], tone: Tone) -> Line {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut runs: Vec<(Tone, String)> = Vec::new();
    for (index, count) in counts.iter().enumerate() {
        // Rounded up: what happened at all is seen.
        let bar = BARS[usize::try_from((count * 8).div_ceil(most)).unwrap_or(8).min(8)];
        let tone = match count {
            0 => Tone::Faint,
            _ if bad.get(index).is_some_and(|bad| *bad > 0) => Tone::Bad,
            _ => tone,
        };
        match runs.last_mut() {
            Some((last, run)) if *last == tone => run.push_str(bar),
            _ => runs.push((tone, bar.to_owned())),
        }
    }
    runs.into_iter().fold(line, |line, (tone, run)| line.push(tone, &run))
}

#[cfg(test)]
mod tests {
    use super::{Periods, write_sparklines};
    use crate::correlate::{Case, Confidence, Node, Termination, TerminationCause};
    use crate::report::incident::{hostile_case, node, time};
    use crate::report::{Layout, Style, is_hazardous};

    fn written(case: &Case, columns: Option<usize>) -> String {
        let mut bytes = Vec::new();
        write_sparklines(&mut bytes, case, Layout { columns, style: Style::plain() })
            .expect("memory does not fail");
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn ended(mut node: Node, cause: TerminationCause, at: &str) -> Node {
        node.ended_at = Some(time(at));
        node.termination = Some(Termination {
            cause,
            at: time(at),
            actor: None,
            confidence: Confidence::Observed,
            evidence: Vec::new(),
        });
        node
    }

    /// Ten nodes of one pool, a minute apart, of which the last six die of a refusal; one of another pool.
    fn loop_of_deaths() -> Case {
        let mut case = Case::default();
        for minute in 0..10 {
            let at = |second: u32| format!("2026-03-02T10:{minute:02}:{second:02}Z");
            let node = node(&format!("i-{minute:017x}"), &at(0));
            case.nodes.push(match minute {
                0..4 => node,
                _ => ended(node, TerminationCause::KmsDenied, &at(20)),
            });
        }
        let mut other = node("i-0fffffffffffffff0", "2026-03-02T10:00:30Z");
        other.nodepool = Some("batch".into());
        case.nodes.push(ended(other, TerminationCause::SpotInterruption, "2026-03-02T10:09:59Z"));
        case
    }

    #[test]
    fn deaths_are_seen_where_they_begin() {
        assert_eq!(
            written(&loop_of_deaths(), Some(100)),
            "LAUNCHES AND ENDS  2026-03-02 10:00:00 to 10:10:00 UTC, 1 column is 15 seconds
default  launched  █···█···█···█···█···█···█···█···█···█···  10
         ended     ·················█···█···█···█···█···█··  6, 6 of a refused key
batch    launched  ··█·····································  1
         ended     ·······································█  1

"
        );
    }

    #[test]
    fn a_narrow_screen_or_none_or_nothing_to_compare_shows_nothing() {
        let case = loop_of_deaths();
        assert_eq!(written(&case, Some(99)), "");
        assert_eq!(written(&case, None), "");
        assert_eq!(written(&Case::default(), Some(200)), "");
        let one = Case { nodes: case.nodes[..1].to_vec(), ..Case::default() };
        assert_eq!(written(&one, Some(200)), "");
    }

    #[test]
    fn no_line_is_wider_than_the_narrowest_screen() {
        let mut case = loop_of_deaths();
        for (number, node) in case.nodes.iter_mut().enumerate() {
            node.nodepool = Some(format!("a-nodepool-with-a-long-name-{number}").into());
        }
        let crowd = case.nodes[9].clone();
        case.nodes.extend(std::iter::repeat_n(crowd, 20_000));
        let text = written(&case, Some(100));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.ends_with("and 5 more nodepools\n\n"), "{text}");
    }

    #[test]
    fn periods_are_those_that_people_count_in() {
        let spelled = |last: &str| {
            let nodes = [node("i-1", "2026-03-02T10:00:07Z"), node("i-2", last)];
            Periods::of(&nodes, 60).map(super::Periods::spelled)
        };
        for (last, text) in [
            ("2026-03-02T10:00:08Z", "2026-03-02 10:00:07 to 10:00:09 UTC, 1 column is 1 second"),
            ("2026-03-02T10:59:59Z", "2026-03-02 10:00 to 11:00 UTC, 1 column is 1 minute"),
            ("2026-03-02T23:00:00Z", "2026-03-02 10:00 to 23:15 UTC, 1 column is 15 minutes"),
            ("2026-03-09T10:00:00Z", "2026-03-02 08:00 to 2026-03-09 12:00 UTC, 1 column is 4 hours"),
            ("2027-03-02T10:00:00Z", "2026-02-26 00:00 to 2027-03-04 00:00 UTC, 1 column is 7 days"),
        ] {
            assert_eq!(spelled(last).as_deref(), Some(text));
        }
        assert_eq!(spelled("9999-12-31T23:59:59Z"), None, "no column can be made of millennia");
        assert_eq!(spelled("2026-03-02T10:00:07Z"), None, "nothing has passed");
    }

    #[test]
    fn hostile_names_do_nothing() {
        let text = written(&hostile_case(), Some(120));
        assert!(text.contains("launched"), "{text}");
        assert_eq!(text.replace('\n', "").find(is_hazardous), None, "{text}");
    }
}
