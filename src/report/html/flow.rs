//! From the configured keys to the used ones, at a glance: bands as wide as the number of nodes. A node whose
//! volumes met several keys has a part in several bands, and counts once in each block.
//!
//! A case comes in; blocks and bands with their places in an SVG go out, the largest first. What does not fit is
//! put together under one name, and counted.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::Outcome;
use super::shown::Shown;
use crate::correlate::{Case, KeyOrigin, KeyVerdict, Node, VolumeOutcome, VolumeRole, is_same_key};
use crate::event::Text;
use crate::report::abbreviate::{limited, short_key};
use crate::report::explanation::wording::{expected_name, origin};

/// Most blocks on one side.
const BLOCKS_MAX: usize = 10;
/// Height that all nodes together take, in units of the SVG.
const HEIGHT: f64 = 150.0;
const BAND_HEIGHT_MIN: f64 = 1.5;
/// A block is at least as high as its label.
const BLOCK_PITCH_MIN: f64 = 40.0;
const GAP: f64 = 12.0;
const TOP: f64 = 8.0;
/// Where bands begin and end.
const LEFT: f64 = 300.0;
const RIGHT: f64 = 660.0;
const LABEL_CHARACTERS_MAX: usize = 40;

/// The figure.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) height: u32,
    pub(super) configured: Vec<Block>,
    pub(super) used: Vec<Block>,
    pub(super) bands: Vec<Band>,
}

/// A key on one side.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) name: Shown,
    pub(super) note: Shown,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) nodes: usize,
}

/// Nodes that go from one key to another.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) outcome: Outcome,
    pub(super) path: String,
    pub(super) from: Shown,
    pub(super) to: Shown,
    pub(super) note: Shown,
    pub(super) nodes: usize,
    /// Launch volumes of these nodes that the band stands for.
    pub(super) volumes: usize,
}

/// Whose volumes go one way.
#[derive(Debug, Default)]
struct Share {
    /// Indices of nodes.
    nodes: BTreeSet<usize>,
    volumes: usize,
}

/// Identity, name and note of a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    identity: String,
    name: String,
    note: String,
}

impl End {
    fn new(identity: &str, name: &str, note: &str) -> Self {
        Self { identity: identity.to_owned(), name: name.to_owned(), note: note.to_owned() }
    }

    fn others() -> Self {
        Self::new("others", "other keys", "")
    }
}

/// Draws the flow; `None` without nodes whose launch the archive holds.
pub(super) fn flow(case: &Case) -> Option<Flow> {
    let aliases: BTreeMap<&str, &str> =
        case.keys.iter().filter_map(|key| Some((&*key.key_arn, &**key.aliases.first()?))).collect();
    let mut links: BTreeMap<(End, End, Outcome), Share> = BTreeMap::new();
    for (index, node) in case.nodes.iter().enumerate().filter(|(_, node)| node.launched_at.is_some()) {
        let from = configured(node, &aliases);
        for ((to, outcome), volumes) in used(node, &aliases) {
            let share = links.entry((from.clone(), to, outcome)).or_default();
            share.nodes.insert(index);
            share.volumes += volumes;
        }
    }
    if links.is_empty() {
        return None;
    }
    let (left, right) = (largest(&links, |link| &link.0), largest(&links, |link| &link.1));
    let mut kept: BTreeMap<(usize, usize, Outcome), Share> = BTreeMap::new();
    for ((from, to, outcome), share) in links {
        let place =
            |ends: &[End], end: &End| ends.iter().position(|own| own == end).unwrap_or(ends.len() - 1);
        let own = kept.entry((place(&left, &from), place(&right, &to), outcome)).or_default();
        own.nodes.extend(share.nodes);
        own.volumes += share.volumes;
    }
    Some(draw(&left, &right, &kept))
}

/// The ends with most nodes; where there are more, the last stands for all others.
fn largest(
    links: &BTreeMap<(End, End, Outcome), Share>,
    side: impl Fn(&(End, End, Outcome)) -> &End,
) -> Vec<End> {
    let mut nodes: BTreeMap<&End, BTreeSet<usize>> = BTreeMap::new();
    for (link, share) in links {
        nodes.entry(side(link)).or_default().extend(&share.nodes);
    }
    let mut sorted: Vec<(&End, usize)> = nodes.into_iter().map(|(end, nodes)| (end, nodes.len())).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut ends: Vec<End> = sorted.iter().map(|(end, _)| (*end).clone()).collect();
    if ends.len() > BLOCKS_MAX {
        ends.truncate(BLOCKS_MAX - 1);
        ends.push(End::others());
    }
    ends
}

fn configured(node: &Node, aliases: &BTreeMap<&str, &str>) -> End {
    match (&node.expected_key, node.expected_keys.len()) {
        (Some(key), _) => match (&key.key_arn, &key.written) {
            (None, None) => End::new("none", "no key named", "left to the account's default"),
            // By its own name if that is an alias, else by the alias that the archive shows.
            (Some(arn), _) => match (expected_name(key), aliases.get(&**arn)) {
                (name, Some(alias)) if !name.starts_with("alias/") => {
                    End::new(arn, &format!("{alias} ({name})"), "configured")
                }
                (name, _) => End::new(arn, &name, "configured"),
            },
            (None, Some(written)) => End::new(written, &expected_name(key), "configured; not resolved"),
        },
        (None, 0) => End::new("unknown", "configuration not known", "no launch template in the archive"),
        (None, devices) => {
            let keys: BTreeSet<String> =
                node.expected_keys.iter().map(|own| expected_name(&own.key)).collect();
            let name = keys.into_iter().collect::<Vec<_>>().join(" + ");
            End::new(&format!("per device {name}"), &name, &format!("by device ({devices})"))
        }
    }
}

/// The keys that a node's launch met, and how many of its volumes each.
fn used(node: &Node, aliases: &BTreeMap<&str, &str>) -> BTreeMap<(End, Outcome), usize> {
    let expected: Vec<&Text> = node.expected_keys.iter().filter_map(|own| own.key.key_arn.as_ref()).collect();
    let launch = node.volumes.iter().filter(|volume| volume.role == Some(VolumeRole::Launch));
    let met = launch.map(|volume| {
        let Some(arn) = &volume.key_arn else {
            return (End::new("not logged", "a key not logged", "refused"), Outcome::Refused);
        };
        let short = short_key(arn);
        let name = match aliases.get(&**arn) {
            Some(alias) => format!("{alias} ({short})"),
            None => short,
        };
        let note = origin_note(volume.key_origin);
        if volume.outcome != VolumeOutcome::Used {
            let end = End::new(&format!("refused {arn}"), &name, &format!("refused by KMS; {note}"));
            return (end, Outcome::Refused);
        }
        let outcome = match node.key_verdict {
            KeyVerdict::NoExpectation | KeyVerdict::Unknown => Outcome::NotKnown,
            _ if expected.iter().any(|own| is_same_key(own, arn)) => Outcome::AsExpected,
            _ if expected.is_empty() => Outcome::NotKnown,
            _ => Outcome::OtherKey,
        };
        (End::new(arn, &name, note), outcome)
    });
    let mut ends = BTreeMap::new();
    for end in met {
        *ends.entry(end).or_default() += 1;
    }
    match (ends.is_empty(), node.key_verdict) {
        (false, _) => ends,
        (true, KeyVerdict::Unencrypted) => {
            BTreeMap::from([((End::new("unencrypted", "no key", "not encrypted"), Outcome::OtherKey), 0)])
        }
        (true, _) => BTreeMap::from([(
            (End::new("unknown", "not known", "no KMS event in the archive"), Outcome::NotKnown),
            0,
        )]),
    }
}

fn origin_note(key_origin: KeyOrigin) -> &'static str {
    match key_origin {
        KeyOrigin::Unknown => "origin not known",
        KeyOrigin::AwsManaged => "the AWS managed key",
        KeyOrigin::Other => "neither configured nor a default",
        known => origin(known),
    }
}

fn draw(left: &[End], right: &[End], links: &BTreeMap<(usize, usize, Outcome), Share>) -> Flow {
    let total: usize = links.values().map(|share| share.nodes.len()).sum();
    let scale = HEIGHT / total as f64;
    let thickness = |nodes: usize| (nodes as f64 * scale).max(BAND_HEIGHT_MIN);
    let column = |ends: &[End], of_link: fn(&(usize, usize, Outcome)) -> usize| {
        let mut y = TOP;
        let mut blocks = Vec::new();
        let mut tops = Vec::new();
        for (index, end) in ends.iter().enumerate() {
            let own = links.iter().filter(|(link, _)| of_link(link) == index);
            let (height, nodes) =
                own.fold((0.0, BTreeSet::<usize>::new()), |(height, mut all), (_, share)| {
                    all.extend(&share.nodes);
                    (height + thickness(share.nodes.len()), all)
                });
            tops.push(y);
            blocks.push(Block {
                name: shown(&end.name),
                note: shown(&end.note),
                y: number(y),
                height: number(height),
                nodes: nodes.len(),
            });
            y += (height + GAP).max(BLOCK_PITCH_MIN);
        }
        (blocks, tops, y)
    };
    let (configured, mut from_tops, from_bottom) = column(left, |link| link.0);
    let (used, mut to_tops, to_bottom) = column(right, |link| link.1);
    let mut bands = Vec::new();
    for (&(from, to, outcome), share) in links {
        let height = thickness(share.nodes.len());
        let (y_from, y_to) = (from_tops[from], to_tops[to]);
        from_tops[from] += height;
        to_tops[to] += height;
        bands.push(Band {
            outcome,
            path: band_path(y_from, y_to, height),
            from: shown(&left[from].name),
            to: shown(&right[to].name),
            note: shown(&right[to].note),
            nodes: share.nodes.len(),
            volumes: share.volumes,
        });
    }
    // Bounded by the number of blocks.
    Flow { height: from_bottom.max(to_bottom).ceil() as u32, configured, used, bands }
}

fn shown(text: &str) -> Shown {
    Shown::text(&limited(text, LABEL_CHARACTERS_MAX))
}

fn band_path(from: f64, to: f64, height: f64) -> String {
    let middle = number((LEFT + RIGHT) / 2.0);
    let (left, right) = (number(LEFT), number(RIGHT));
    format!(
        "M{left} {}C{middle} {} {middle} {} {right} {}V{}C{middle} {} {middle} {} {left} {}z",
        number(from),
        number(from),
        number(to),
        number(to),
        number(to + height),
        number(to + height),
        number(from + height),
        number(from + height)
    )
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS_MAX, flow};
    use crate::correlate::{Case, Node, Volume, VolumeRole};
    use crate::report::html::outcome::Outcome;
    use crate::report::incident;

    #[test]
    fn each_node_goes_from_its_configured_key_to_the_one_it_met() {
        let flow = flow(&incident::case()).expect("a flow");
        let outcomes: Vec<Outcome> = flow.bands.iter().map(|band| band.outcome).collect();
        assert!(outcomes.contains(&Outcome::Refused) && outcomes.contains(&Outcome::OtherKey), "{flow:#?}");
        let nodes: usize = flow.configured.iter().map(|block| block.nodes).sum();
        assert_eq!(nodes, flow.used.iter().map(|block| block.nodes).sum::<usize>());
        assert!(flow.used.iter().any(|block| block.note.as_str().starts_with("refused by KMS")), "{flow:#?}");
    }

    #[test]
    fn a_node_whose_volumes_met_two_keys_counts_once_and_its_volumes_are_volumes() {
        let mut node = incident::case().nodes.remove(0);
        let volume = |key: &str| Volume {
            key_arn: Some(key.into()),
            role: Some(VolumeRole::Launch),
            ..node.volumes[0].clone()
        };
        node.volumes =
            vec![volume(incident::RIGHT_KEY), volume(incident::WRONG_KEY), volume(incident::WRONG_KEY)];
        let flow = flow(&Case { nodes: vec![node.clone(), node], ..Case::default() }).expect("a flow");
        assert_eq!(flow.configured.iter().map(|block| block.nodes).collect::<Vec<_>>(), [2]);
        assert_eq!(flow.used.iter().map(|block| block.nodes).collect::<Vec<_>>(), [2, 2]);
        let mut bands: Vec<_> = flow.bands.iter().map(|band| (band.nodes, band.volumes)).collect();
        bands.sort_unstable();
        assert_eq!(bands, [(2, 2), (2, 4)]);
    }

    #[test]
    fn many_keys_are_put_together() {
        let template = incident::case().nodes.remove(0);
        let nodes = (0..100).map(|index| {
            let key =
                format!("arn:aws:kms:us-east-1:111122223333:key/{index:08}-0000-4000-8000-000000000000");
            let volume = Volume {
                key_arn: Some(key.as_str().into()),
                role: Some(VolumeRole::Launch),
                ..template.volumes[0].clone()
            };
            Node { volumes: vec![volume], ..template.clone() }
        });
        let flow = flow(&Case { nodes: nodes.collect(), ..Case::default() }).expect("a flow");
        assert_eq!(flow.used.len(), BLOCKS_MAX);
        assert_eq!(flow.used.iter().map(|block| block.nodes).sum::<usize>(), 100);
        assert!(flow.height < 2_000);
    }

    #[test]
    fn without_a_launch_there_is_no_flow() {
        assert!(flow(&Case::default()).is_none());
    }
}
