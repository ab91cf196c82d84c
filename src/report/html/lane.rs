//! The swim lanes: nodepools, in each a lane per node, on the axis of time.
//!
//! A case comes in, [`Pool`]s go out: a histogram of launches each, and lanes with the life of a node and the
//! events that decide it. Large pools stay closed until somebody looks: their histogram tells the story.

use std::collections::BTreeMap;

use super::axis::{Axis, Place};
use super::outcome::Outcome;
use super::shown::Shown;
use crate::correlate::{Case, Confidence, LaunchFailure, Node, TimelineRole};
use crate::event::Text;

/// Most nodepools that are told apart.
pub(super) const POOLS_MAX: usize = 200;
/// A pool with more lanes is closed at first.
const OPEN_LANES_MAX: usize = 60;
/// All open pools together have no more lanes than this.
const OPEN_LANES_TOTAL_MAX: usize = 300;
/// Lanes that a browser lays out together.
const CHUNK_LANES: usize = 40;
/// Most events drawn on a lane.
const GLYPHS_MAX: usize = 16;
/// Bars of a histogram.
const BINS: usize = 120;
/// Height of a histogram, in its own units.
const HEIGHT: usize = 30;

/// Nodes of one nodepool of a cluster.
#[derive(Debug)]
pub(super) struct Pool {
    /// Its place among the pools, which the script filters by.
    pub(super) number: usize,
    pub(super) name: Shown,
    /// Cluster, account and region.
    pub(super) whereabouts: Shown,
    pub(super) nodes: usize,
    /// How many nodes fared how, the worst first.
    pub(super) counts: Vec<(Outcome, usize)>,
    /// How often a launch failed: one call may hold several failures.
    pub(super) failures: u64,
    pub(super) histogram: Vec<Bars>,
    /// Most launches of one bar.
    pub(super) launches_max: usize,
    pub(super) is_open: bool,
    pub(super) chunks: Vec<Vec<Lane>>,
    pub(super) failure_lane: Vec<Place>,
}

/// The bars of one outcome, as the path of an SVG.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) class: &'static str,
    pub(super) path: String,
}

/// One node.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its index among the nodes of the page.
    pub(super) number: usize,
    pub(super) name: Shown,
    pub(super) outcome: Outcome,
    pub(super) life: Option<Life>,
    pub(super) glyphs: Vec<Glyph>,
}

/// From launch to end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) start: Place,
    pub(super) width: Place,
    /// Whether the archive shows no end, or no beginning.
    pub(super) is_open_ended: bool,
}

/// One event on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) symbol: Symbol,
    pub(super) place: Place,
    pub(super) is_inferred: bool,
}

/// What an event is drawn as; what matters most is drawn last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symbol {
    Launch,
    Registration,
    KeyUse,
    GrantEnded,
    End,
    Refusal,
}

impl Symbol {
    pub(super) const ALL: [Self; 6] =
        [Self::Launch, Self::KeyUse, Self::Registration, Self::Refusal, Self::GrantEnded, Self::End];

    fn of(role: TimelineRole) -> Option<Self> {
        Some(match role {
            TimelineRole::Launch => Self::Launch,
            TimelineRole::KeyUse | TimelineRole::Grant => Self::KeyUse,
            TimelineRole::Registration => Self::Registration,
            TimelineRole::Refusal => Self::Refusal,
            TimelineRole::GrantEnded => Self::GrantEnded,
            TimelineRole::End => Self::End,
            _ => return None,
        })
    }

    /// Its id in the page.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Registration => "registration",
            Self::KeyUse => "key-use",
            Self::GrantEnded => "grant-ended",
            Self::End => "end",
            Self::Refusal => "refusal",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Registration => "registered",
            Self::KeyUse => "key used",
            Self::GrantEnded => "grant ended",
            Self::End => "end",
            Self::Refusal => "refused by KMS",
        }
    }
}

/// Account, region, cluster and nodepool.
type PoolKey<'a> = (&'a Text, &'a Text, Option<&'a Text>, Option<&'a Text>);

/// What falls into one pool.
#[derive(Default)]
struct Members<'a> {
    nodes: Vec<(Option<usize>, &'a Node)>,
    failures: Vec<&'a LaunchFailure>,
}

/// Puts nodes and failed launches into pools, those with the worst news first. `numbers` has for each node of
/// the case its index in the page, if it has a lane there.
pub(super) fn pools(case: &Case, numbers: &[Option<usize>], axis: Axis) -> Vec<Pool> {
    let mut members: BTreeMap<PoolKey<'_>, Members<'_>> = BTreeMap::new();
    for (node, number) in case.nodes.iter().zip(numbers) {
        let key = (&node.account_id, &node.region, node.cluster.as_ref(), node.nodepool.as_ref());
        members.entry(key).or_default().nodes.push((*number, node));
    }
    for failure in &case.launch_failures {
        let key = (&failure.account_id, &failure.region, failure.cluster.as_ref(), failure.nodepool.as_ref());
        members.entry(key).or_default().failures.push(failure);
    }
    let mut sorted: Vec<(PoolKey<'_>, Members<'_>)> = members.into_iter().collect();
    sorted.sort_by_cached_key(|(_, members)| {
        let of = |outcome| members.nodes.iter().filter(|(_, node)| Outcome::of(node) == outcome).count();
        std::cmp::Reverse((
            of(Outcome::Refused),
            of(Outcome::OtherKey),
            of(Outcome::Ended),
            members.failures.len(),
        ))
    });
    let mut open = 0;
    let mut pools: Vec<Pool> = Vec::new();
    let rest = sorted.split_off(sorted.len().min(POOLS_MAX));
    for (key, members) in sorted {
        pools.push(pool(pools.len(), named(key), &members, case, axis, &mut open));
    }
    if !rest.is_empty() {
        let name = (Shown::text(&format!("{} other nodepools", rest.len())), Shown::default());
        let mut all = Members::default();
        for (_, members) in rest {
            all.nodes.extend(members.nodes);
            all.failures.extend(members.failures);
        }
        pools.push(pool(pools.len(), name, &all, case, axis, &mut open));
    }
    pools
}

/// Name and whereabouts of a pool.
fn named((account_id, region, cluster, nodepool): PoolKey<'_>) -> (Shown, Shown) {
    let name = nodepool.map_or("no nodepool", |name| &**name);
    let cluster = cluster.map_or_else(String::new, |cluster| format!("cluster {cluster}, "));
    (Shown::text(name), Shown::text(&format!("{cluster}{account_id} {region}")))
}

fn pool(
    number: usize,
    (name, whereabouts): (Shown, Shown),
    members: &Members<'_>,
    case: &Case,
    axis: Axis,
    open: &mut usize,
) -> Pool {
    let outcomes: Vec<Outcome> = members.nodes.iter().map(|(_, node)| Outcome::of(node)).collect();
    let counts = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome, outcomes.iter().filter(|own| **own == outcome).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let starts: Vec<(Outcome, Place)> = members
        .nodes
        .iter()
        .zip(&outcomes)
        .filter_map(|((_, node), outcome)| {
            Some((*outcome, axis.place(node.launched_at.or(node.ended_at)?.second())))
        })
        .collect();
    let mut failure_lane: Vec<Place> =
        members.failures.iter().map(|failure| axis.place(failure.at.second())).collect();
    failure_lane.sort_unstable();
    let (histogram, launches_max) = histogram(&starts, &failure_lane);
    failure_lane.dedup_by_key(|place| place.bin(BINS * 4));
    let lanes: Vec<Lane> =
        members.nodes.iter().filter_map(|(number, node)| Some(lane((*number)?, node, case, axis))).collect();
    let is_open = lanes.len() <= OPEN_LANES_MAX && *open + lanes.len() <= OPEN_LANES_TOTAL_MAX;
    if is_open {
        *open += lanes.len();
    }
    let mut chunks = Vec::new();
    let mut lanes = lanes.into_iter().peekable();
    while lanes.peek().is_some() {
        chunks.push(lanes.by_ref().take(CHUNK_LANES).collect());
    }
    Pool {
        number,
        name,
        whereabouts,
        nodes: members.nodes.len(),
        counts,
        failures: members.failures.iter().map(|failure| failure.count).sum(),
        histogram,
        launches_max,
        is_open,
        chunks,
        failure_lane,
    }
}

/// Bars of launches over time, stacked with the worst at the bottom, and the most launches of one bar.
fn histogram(starts: &[(Outcome, Place)], failures: &[Place]) -> (Vec<Bars>, usize) {
    const FAILED: usize = Outcome::ALL.len();
    let mut bins = vec![[0usize; FAILED + 1]; BINS];
    for (outcome, place) in starts {
        let at = Outcome::ALL.iter().position(|own| own == outcome).expect("ALL holds every outcome");
        bins[place.bin(BINS)][at] += 1;
    }
    for place in failures {
        bins[place.bin(BINS)][FAILED] += 1;
    }
    let launches_max = bins.iter().map(|bin| bin.iter().sum()).max().unwrap_or(0);
    let scale = launches_max.max(4);
    let mut paths = vec![String::new(); FAILED + 1];
    for (index, bin) in bins.iter().enumerate() {
        let mut below = 0;
        for (path, count) in paths.iter_mut().zip(bin).filter(|(_, count)| **count > 0) {
            // In hundredths, so that a bar of one among thousands keeps a height.
            let height = (count * HEIGHT * 100 / scale).max(100);
            let bottom = (HEIGHT * 100).saturating_sub(below);
            path.push_str(&format!(
                "M{index} {}v-{}h1v{}z",
                decimal(bottom),
                decimal(height.min(bottom)),
                decimal(height.min(bottom))
            ));
            below += height;
        }
    }
    let classes = Outcome::ALL.into_iter().map(Outcome::class).chain(["failed"]);
    let bars = classes.zip(paths).filter(|(_, path)| !path.is_empty());
    (bars.map(|(class, path)| Bars { class, path }).collect(), launches_max)
}

fn decimal(hundredths: usize) -> String {
    match hundredths % 100 {
        0 => (hundredths / 100).to_string(),
        rest => format!("{}.{rest:02}", hundredths / 100),
    }
}

fn lane(number: usize, node: &Node, case: &Case, axis: Axis) -> Lane {
    let start = node.launched_at.map(|at| axis.place(at.second()));
    let end = node.ended_at.map(|at| axis.place(at.second()));
    let life = (start.is_some() || end.is_some()).then(|| {
        let from = start.unwrap_or_else(|| axis.place(axis.start));
        let to = end.unwrap_or_else(|| axis.place(axis.end));
        Life { start: from, width: from.until(to), is_open_ended: start.is_none() || end.is_none() }
    });
    let mut glyphs: Vec<Glyph> = Vec::new();
    for entry in &node.timeline {
        let Some(symbol) = Symbol::of(entry.role) else { continue };
        let event = &case.events[entry.event as usize];
        if !axis.covers(event.time) {
            continue;
        }
        let place = axis.place(event.time.second());
        let is_inferred = entry.confidence == Confidence::Inferred;
        let glyph = Glyph { symbol, place, is_inferred };
        // Several volumes of one launch use their keys in one second.
        if !glyphs.contains(&glyph) {
            glyphs.push(glyph);
        }
        if glyphs.len() > GLYPHS_MAX {
            let least =
                glyphs.iter().enumerate().min_by_key(|(at, glyph)| (glyph.symbol, std::cmp::Reverse(*at)));
            if let Some(least) = least.map(|(at, _)| at) {
                glyphs.remove(least);
            }
        }
    }
    if let (Some(termination), Some(place)) = (&node.termination, end)
        && !glyphs.iter().any(|glyph| glyph.symbol == Symbol::End)
    {
        let is_inferred = termination.confidence == Confidence::Inferred;
        glyphs.push(Glyph { symbol: Symbol::End, place, is_inferred });
    }
    glyphs.sort_by_key(|glyph| (glyph.symbol, glyph.place));
    Lane { number, name: Shown::text(&node.instance_id), outcome: Outcome::of(node), life, glyphs }
}
