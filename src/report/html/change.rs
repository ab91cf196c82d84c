//! Configuration changes that could matter to the nodes: key policies, key states, aliases, EBS defaults, and launch
//! templates that name another key than a nodepool had.
//!
//! A case and its findings come in, [`Change`]s in order of time go out: those of keys that the nodes expect,
//! use or were refused, of aliases that they name, and of the EBS defaults of their accounts and regions. Whether
//! a change did any harm is for the rules to say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::axis::{Axis, Place};
use super::shown::Shown;
use crate::correlate::{Case, Node, TimelineRole, WrittenKey};
use crate::event::{Detail, EbsDefault, Id, Text, Timestamp};
use crate::policy::compare;
use crate::report::sentence::sentence;
use crate::rules::{Finding, policy_of};

/// Most changes that are shown; the rest is counted.
pub(super) const CHANGES_MAX: usize = 200;

/// Most flags that have room for a label.
const LABELS_MAX: usize = 12;

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    /// Its number in the page, from 1.
    pub(super) number: usize,
    pub(super) at: Timestamp,
    /// What was changed: `key policy`, `default key`, ...
    pub(super) subject: &'static str,
    pub(super) what: Shown,
    pub(super) event_name: Shown,
    pub(super) event_id: Shown,
    /// Place on the axis; `None` where it lies outside.
    pub(super) place: Option<Place>,
    /// On which of the rows of flags it stands, so that neighbours do not hide each other.
    pub(super) row: usize,
    /// Rules whose findings cite it.
    pub(super) rules: Vec<&'static str>,
}

/// The changes, and how many were left out.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) told: Vec<Change>,
    pub(super) left_out: usize,
    /// Whether there is room to write on the flags what was changed.
    pub(super) is_labelled: bool,
    /// How many rows of flags there are.
    pub(super) rows: usize,
}

/// Events of changes, in order of time.
pub(super) fn events_of_changes(case: &Case) -> BTreeSet<u32> {
    let history = &case.history;
    let mut events = BTreeSet::new();
    let keys: BTreeSet<&Text> = case.nodes.iter().flat_map(keys_of).collect();
    for key in &keys {
        events.extend(history.policies(key).iter().map(|change| change.event));
        events.extend(history.key_states(key).iter().map(|change| change.event));
    }
    let mut named = BTreeSet::new();
    for node in &case.nodes {
        for written in node.expected_keys.iter().filter_map(|own| own.key.written.as_ref()) {
            if let WrittenKey::Alias { name, account_id, region } =
                WrittenKey::read(written, &node.account_id, &node.region)
            {
                named.insert(((account_id, region), name));
            }
        }
    }
    for (alias, changes) in history.aliases() {
        let mut previous = None;
        for change in changes {
            let targets = [previous, change.value.as_ref()];
            if named.contains(alias) || targets.into_iter().flatten().any(|arn| keys.contains(arn)) {
                events.insert(change.event);
            }
            previous = change.value.as_ref();
        }
    }
    let places: BTreeSet<(Text, Text)> =
        case.nodes.iter().map(|node| (node.account_id.clone(), node.region.clone())).collect();
    for place in &places {
        events.extend(history.default_key_changes(place).iter().map(|change| change.event));
        events.extend(history.default_encryption_changes(place).iter().map(|change| change.event));
    }
    events.extend(templates_with_another_key(case));
    // An alias may be known from a use of its key: that is no change.
    events.retain(|event| subject(&case.events[*event as usize].detail).is_some());
    events
}

/// Launch templates with which a nodepool's configured key became another.
fn templates_with_another_key(case: &Case) -> BTreeSet<u32> {
    let mut last = HashMap::new();
    let mut events = BTreeSet::new();
    for node in &case.nodes {
        let template = node
            .timeline
            .iter()
            .rfind(|entry| matches!(case.events[entry.event as usize].detail, Detail::LaunchTemplate(_)));
        let Some(template) = template else { continue };
        let pool = (&node.account_id, &node.region, &node.cluster, &node.nodepool);
        let keys: Vec<_> =
            node.expected_keys.iter().map(|own| (&own.device, &own.key.key_arn, &own.key.written)).collect();
        if let Some(previous) = last.insert(pool, keys.clone())
            && previous != keys
        {
            events.insert(template.event);
        }
    }
    events
}

/// The keys that a node expects, uses or was refused.
fn keys_of(node: &Node) -> impl Iterator<Item = &Text> {
    let expected = node.expected_keys.iter().filter_map(|own| own.key.key_arn.as_ref());
    expected.chain(node.volumes.iter().filter_map(|volume| volume.key_arn.as_ref()))
}

/// What a step in a node's story is marked with that is a change of the configuration, not the configuration itself.
pub(super) fn mark(detail: &Detail) -> Option<&'static str> {
    match detail {
        Detail::LaunchTemplate(_) => None,
        _ => subject(detail),
    }
}

fn subject(detail: &Detail) -> Option<&'static str> {
    Some(match detail {
        Detail::Policy(change) if change.is_creation => "new key",
        Detail::Policy(_) => "key policy",
        Detail::Alias(_) => "alias",
        Detail::KeyState(_) => "key state",
        Detail::EbsDefault(EbsDefault::Encryption(_)) => "default encryption",
        Detail::EbsDefault(_) => "default key",
        Detail::LaunchTemplate(_) => "configured key",
        _ => return None,
    })
}

/// Changes of policies that give back what the change before took away, each with the time of that one. Only
/// `events` are looked at.
fn restored(case: &Case, events: &[u32]) -> HashMap<u32, Timestamp> {
    let keys: BTreeSet<&Text> = case.nodes.iter().flat_map(keys_of).collect();
    let mut restored = HashMap::new();
    for key in keys {
        for versions in case.history.policies(key).windows(3) {
            let [before, without, after] = [0, 1, 2].map(|version| versions[version].event);
            if events.binary_search(&after).is_err() {
                continue;
            }
            let policy = |event: u32| policy_of(&case.events[event as usize]);
            let (Some(old), Some(lacking), Some(new)) = (policy(before), policy(without), policy(after))
            else {
                continue;
            };
            let has_lost = |from, to| {
                let difference = compare(from, to);
                (!difference.lost.is_empty(), difference.is_too_large)
            };
            if has_lost(&old, &lacking) == (true, false) && has_lost(&old, &new) == (false, false) {
                restored.insert(after, case.events[without as usize].time);
            }
        }
    }
    restored
}

impl Changes {
    /// Tells the changes. Where there are too many, those that findings cite come first, then the latest.
    pub(super) fn tell(
        case: &Case,
        findings: &[Finding],
        events: &BTreeSet<u32>,
        axis: Option<Axis>,
    ) -> Self {
        let mut rules: HashMap<&Id, BTreeSet<&'static str>> = HashMap::new();
        for finding in findings {
            for id in &finding.evidence {
                rules.entry(id).or_default().insert(finding.rule);
            }
        }
        let is_cited = |event: &u32| rules.contains_key(&case.events[*event as usize].event_id);
        let mut chosen: Vec<u32> = events.iter().copied().collect();
        chosen.sort_by_key(|event| (!is_cited(event), std::cmp::Reverse(*event)));
        let left_out = chosen.len().saturating_sub(CHANGES_MAX);
        chosen.truncate(CHANGES_MAX);
        chosen.sort_unstable();
        let restored = restored(case, &chosen);
        let on_axis = |event: &&u32| axis.is_some_and(|axis| axis.covers(case.events[**event as usize].time));
        let is_labelled = chosen.iter().filter(on_axis).count() <= LABELS_MAX;
        let mut rows = FlagRows::new(if is_labelled { 125_000 } else { 28_000 });
        let told: Vec<Change> = (1..)
            .zip(chosen)
            .map(|(number, index)| {
                let event = &case.events[index as usize];
                let place =
                    axis.filter(|axis| axis.covers(event.time)).map(|axis| axis.place(event.time.second()));
                let rules = rules.get(&event.event_id);
                let mut what = sentence(event, TimelineRole::Configuration, &Node::default());
                if let Some(at) = restored.get(&index) {
                    what.push_str(&format!(
                        "; changed back: it gives back what the change of {at} took away"
                    ));
                }
                let subject = match subject(&event.detail) {
                    Some(_) if restored.contains_key(&index) => "key policy changed back",
                    subject => subject.unwrap_or("configuration"),
                };
                Change {
                    number,
                    at: event.time,
                    subject,
                    what: Shown::text(&what),
                    event_name: Shown::text(&event.name),
                    event_id: Shown::text(&event.event_id.to_string()),
                    place,
                    row: place.map_or(0, |place| rows.free(place)),
                    rules: rules.into_iter().flatten().copied().collect(),
                }
            })
            .collect();
        let rows = told.iter().map(|change| change.row + 1).max().unwrap_or(0);
        Self { told, left_out, is_labelled, rows }
    }

    /// Those that stand on the axis.
    pub(super) fn on_axis(&self) -> impl Iterator<Item = (&Change, Place)> {
        self.told.iter().filter_map(|change| Some((change, change.place?)))
    }
}

impl Change {
    /// Whether its flag would leave the axis to the right.
    pub(super) fn is_late(&self) -> bool {
        self.place.is_some_and(|place| place.millionths() > 880_000)
    }
}

/// Which flags stand where already.
struct FlagRows {
    /// How much of the axis a flag takes, in millionths.
    width: i64,
    last: BTreeMap<usize, Place>,
}

impl FlagRows {
    const ROWS: usize = 3;

    fn new(width: i64) -> Self {
        Self { width, last: BTreeMap::new() }
    }

    /// The first row with room at `place`; where none has, the one whose last flag is farthest.
    fn free(&mut self, place: Place) -> usize {
        let distance = |row: &usize| match self.last.get(row) {
            Some(last) => last.until(place).millionths(),
            None => i64::MAX,
        };
        let row = (0..Self::ROWS).find(|row| distance(row) >= self.width);
        let row = row.or_else(|| (0..Self::ROWS).max_by_key(|row| (distance(row), std::cmp::Reverse(*row))));
        let row = row.unwrap_or(0);
        self.last.insert(row, place);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, events_of_changes};
    use crate::correlate::{Case, DeviceKey, ExpectedKey, KeySource, TimelineRef, TimelineRole};
    use crate::event::Detail;
    use crate::report::html::axis::Axis;
    use crate::report::incident::{self, event, time};
    use crate::rules::testing::{KEY, Log, ROLE, policy_for};

    /// Two nodes of one nodepool, each from a launch template of its own.
    fn case(keys: [&str; 2]) -> Case {
        let mut case = incident::case();
        let template = |number, at| {
            Box::new(event(number, at, "CreateLaunchTemplate", Detail::LaunchTemplate(Box::default())))
        };
        case.events = vec![template(1, "2026-03-02T09:59:00Z"), template(2, "2026-03-02T10:29:00Z")];
        case.nodes.truncate(2);
        for (event, (node, key)) in (0..).zip(case.nodes.iter_mut().zip(keys)) {
            node.nodepool = Some("default".into());
            node.cluster = None;
            node.timeline = vec![TimelineRef {
                event,
                role: TimelineRole::Configuration,
                confidence: Default::default(),
            }];
            let key = ExpectedKey {
                written: Some(key.into()),
                key_arn: Some(key.into()),
                source: KeySource::LaunchTemplate,
                evidence: Vec::new(),
            };
            node.expected_keys = vec![DeviceKey { device: None, key }];
        }
        case
    }

    #[test]
    fn a_template_with_another_key_is_a_change_and_one_with_the_same_is_none() {
        let changed = case([incident::RIGHT_KEY, incident::WRONG_KEY]);
        assert_eq!(events_of_changes(&changed).into_iter().collect::<Vec<_>>(), [1]);
        assert!(events_of_changes(&case([incident::RIGHT_KEY, incident::RIGHT_KEY])).is_empty());
        let axis = Axis::of(&changed, &[time("2026-03-02T10:29:00Z")]);
        let changes = Changes::tell(&changed, &[], &events_of_changes(&changed), axis);
        assert_eq!(changes.told[0].subject, "configured key");
        assert_eq!(changes.on_axis().count(), 1);
    }

    #[test]
    fn a_policy_that_gives_back_what_was_lost_is_said_to_be_changed_back() {
        let other = policy_for("arn:aws:iam::111122223333:role/Backup");
        for (last, is_back) in
            [(policy_for(ROLE), true), (policy_for("arn:aws:iam::111122223333:role/C"), false)]
        {
            let mut log = Log::new();
            log.policy("08:00:00", KEY, &policy_for(ROLE)).template(KEY);
            log.policy("09:00:00", KEY, &other).policy("10:00:00", KEY, &last).healthy("a", "10:30:00", KEY);
            let case = log.case();
            let changes = Changes::tell(&case, &[], &events_of_changes(&case), None);
            let told: Vec<bool> = changes
                .told
                .iter()
                .filter(|change| change.event_name.as_str() == "PutKeyPolicy")
                .map(|change| change.subject == "key policy changed back")
                .collect();
            assert_eq!(told, [false, false, is_back], "{:?}", changes.told);
        }
    }
}
