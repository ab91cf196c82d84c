//! What a rule looks at: one node, one key, or the whole fleet, with the facts that several rules need.
//!
//! [`Facts`] are gathered once from the case, in time linear in it; a view borrows from them and costs no more
//! than the node or key that it shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hashbrown::{HashMap, HashSet};

use super::event_facts::{EventFacts, KeyUseFacts};
use super::key_policy;
use super::refusal::Refusal;
use super::wording::is_plain;
use crate::correlate::{
    Case, Confidence, KeySummary, KeyVerdict, Node, Place, TimelineRole, Volume, VolumeOutcome, VolumeRole,
    WrittenKey, is_same_key,
};
use crate::event::{Detail, Event, Id, Text, Timestamp};
use crate::policy::Policy;

/// What several rules need to know of a case.
pub(super) struct Facts<'a> {
    pub(super) case: &'a Case,
    /// Whether findings are shown to anybody: if not, rules may leave out what only a reader needs.
    pub(super) are_words_wanted: bool,
    /// How many nodes each event was joined to that names none of them.
    sharers: HashMap<u32, usize>,
    /// Policies by the event that put them in place, parsed once.
    policies: Mutex<HashMap<u32, Option<Arc<Policy>>>>,
    /// The events by what rules ask for.
    events: EventFacts,
    /// What the KMS events say of keys and calls.
    key_uses: OnceLock<KeyUseFacts>,
    /// Key ARN -> key of a cluster's secrets.
    cluster_keys: HashMap<String, Vec<SecretsKey<'a>>>,
    /// First launch of a node under each key that an alias led to.
    alias_launches: HashMap<AliasKey, Vec<AliasLaunch<'a>>>,
    /// (alias, key) -> place in its list of `alias_launches`.
    alias_keys: HashMap<(AliasKey, Text), usize>,
    /// (key, who launched) -> launches that used the key, in order of time.
    launches_by_key: HashMap<(&'a str, &'a str), Vec<Timestamp>>,
}

/// (account, region, alias).
type AliasKey = (Text, Text, Text);

/// A key that an alias led to, and the first launch that it led there.
pub(super) struct AliasLaunch<'a> {
    pub(super) key: Text,
    pub(super) first: &'a Node,
    pub(super) nodes: usize,
}

/// The secrets key of a cluster.
pub(super) struct SecretsKey<'a> {
    pub(super) cluster: Option<&'a Text>,
    pub(super) place: &'a Place,
    pub(super) since: Timestamp,
    pub(super) event: &'a Event,
}

/// One node.
pub(super) struct NodeView<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) node: &'a Node,
    /// What KMS refused for its volumes, in order of time.
    pub(super) refusals: Vec<Refusal<'a>>,
}

/// One key that launches used or were refused.
pub(super) struct KeyView<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) key: &'a KeySummary,
    /// What KMS refused on it for the launches of the case's nodes, each event once, in order of time.
    pub(super) refusals: Vec<Refusal<'a>>,
    /// Ids of the nodes that were refused it at launch.
    pub(super) refused_nodes: Vec<&'a Text>,
}

/// Everything.
pub(super) struct FleetView<'a> {
    pub(super) facts: &'a Facts<'a>,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(case: &'a Case) -> Self {
        let (events, mut facts) =
            rayon::join(|| EventFacts::gather(&case.events), || Self::gather_from_nodes(case));
        facts.events = events;
        // Asked for only where a launch was refused or opened no volume: then by many nodes, and best found by all
        // workers.
        let is_asked_for =
            |node: &Node| matches!(node.key_verdict, KeyVerdict::Denied | KeyVerdict::Unencrypted);
        if case.nodes.iter().any(is_asked_for) {
            facts.key_uses = OnceLock::from(KeyUseFacts::gather(&case.events));
        }
        facts
    }

    /// What the KMS events say, found when it is first asked for.
    fn key_uses(&self) -> &KeyUseFacts {
        // One worker alone: what other workers do meanwhile may ask for the same.
        self.key_uses.get_or_init(|| KeyUseFacts::of_chunk(0, &self.case.events))
    }

    /// All but what the events alone say.
    fn gather_from_nodes(case: &'a Case) -> Self {
        let mut facts = Self {
            case,
            are_words_wanted: true,
            events: EventFacts::default(),
            key_uses: OnceLock::new(),
            sharers: HashMap::new(),
            policies: Mutex::default(),
            cluster_keys: HashMap::new(),
            alias_launches: HashMap::new(),
            alias_keys: HashMap::new(),
            launches_by_key: HashMap::new(),
        };
        for node in &case.nodes {
            for entry in &node.timeline {
                if entry.confidence == Confidence::Inferred {
                    *facts.sharers.entry(entry.event).or_default() += 1;
                }
            }
            facts.note_alias(node);
            facts.note_launch(node);
        }
        let mut told = HashSet::new();
        for known in case.history.cluster_keys() {
            let arn = match &known.value.key {
                WrittenKey::Arn(arn) => Some(arn.clone()),
                alias @ WrittenKey::Alias { .. } => {
                    case.history.alias_target(alias, known.time).map(|target| target.value)
                }
            };
            // They are sorted by time: the first of a cluster and key says since when.
            let mut is_new =
                |arn: &Text| told.insert((arn.clone(), &known.value.cluster, &known.value.place));
            if let Some(arn) = arn.filter(&mut is_new) {
                facts.cluster_keys.entry(arn.to_string()).or_default().push(SecretsKey {
                    cluster: known.value.cluster.as_ref(),
                    place: &known.value.place,
                    since: known.time,
                    event: &case.events[known.event as usize],
                });
            }
        }
        facts
    }

    /// Notes the keys that a launch used.
    fn note_launch(&mut self, node: &'a Node) {
        if node.key_verdict == KeyVerdict::Denied {
            return;
        }
        if let (Some(principal), Some(at)) = (node.principal_arn.as_deref(), node.launched_at) {
            for key in &node.used_keys {
                self.launches_by_key.entry((&**key, principal)).or_default().push(at);
            }
        }
    }

    /// The last refusal of the same call as `refused` (key, principal and API call), and its successes after that.
    pub(super) fn since_last_refusal<'s>(
        &'s self,
        key: &'s str,
        refused: &'s Event,
    ) -> Option<(u32, &'s [u32])> {
        let outcomes = self.key_uses().outcomes(key, refused.identity.principal()?, &refused.name)?;
        let last = outcomes.last_refusal?;
        let after = outcomes.successes.partition_point(|index| *index < last);
        Some((last, &outcomes.successes[after..]))
    }

    /// When the principal of `refused` launched under the key after `since`.
    pub(super) fn launches_since<'s>(
        &'s self,
        key: &'s str,
        refused: &'s Event,
        since: Timestamp,
    ) -> &'s [Timestamp] {
        let Some(principal) = refused.identity.principal() else {
            return &[];
        };
        let launches = self.launches_by_key.get(&(key, &**principal)).map_or(&[][..], Vec::as_slice);
        &launches[launches.partition_point(|at| *at <= since)..]
    }

    /// Notes which key the alias in a node's configuration led to.
    fn note_alias(&mut self, node: &'a Node) {
        for (alias, key) in aliased_keys(node) {
            let launches = self.alias_launches.entry(alias.clone()).or_default();
            // Nodes are sorted by launch: the first seen is the first launched.
            let place = *self.alias_keys.entry((alias, key.clone())).or_insert(launches.len());
            match launches.get_mut(place) {
                Some(launch) => launch.nodes += 1,
                None => launches.push(AliasLaunch { key, first: node, nodes: 1 }),
            }
        }
    }

    pub(super) fn event(&self, index: u32) -> &'a Event {
        &self.case.events[index as usize]
    }

    /// The successful changes of accounts' defaults for EBS, in order of time.
    pub(super) fn default_changes(&self) -> impl Iterator<Item = &'a Event> {
        self.events.default_changes.iter().map(|index| self.event(*index))
    }

    /// The successful PutEventSelectors, in order of time.
    pub(super) fn selectors(&self) -> impl Iterator<Item = &'a Event> {
        self.events.selectors.iter().map(|index| self.event(*index))
    }

    /// The events that CloudTrail left a field out of, in order of time.
    pub(super) fn omitted(&self) -> impl Iterator<Item = &'a Event> {
        self.events.omitted.iter().map(|index| self.event(*index))
    }

    /// Failed calls on a key in the whole archive, in order of time.
    pub(super) fn failures_of(&self, key: &str) -> &[u32] {
        self.key_uses().failures(key)
    }

    /// The first event in the archive that used the key.
    pub(super) fn first_use(&self, key: &str) -> Option<&'a Event> {
        self.key_uses().first_use(key).map(|index| self.event(index))
    }

    /// The data key of some volume, made in a place nearest to `at`.
    pub(super) fn nearest_data_key(
        &self,
        account_id: &str,
        region: &str,
        at: Timestamp,
    ) -> Option<&'a Event> {
        let indices = self.key_uses().data_keys(account_id, region)?;
        let after = indices.partition_point(|index| self.event(*index).time < at);
        let distance = |index: &u32| (self.event(*index).time.second() - at.second()).abs();
        let near = indices[after.saturating_sub(1)..].iter().take(2);
        near.min_by_key(|index| distance(index)).map(|index| self.event(*index))
    }

    /// Where a key is known as that of a cluster's secrets.
    pub(super) fn secrets_keys(&self, key: &str) -> &[SecretsKey<'a>] {
        self.cluster_keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// The last other key that an alias led a launch to before `at`.
    pub(super) fn other_key_before(
        &self,
        alias: &AliasKey,
        key: &str,
        at: Timestamp,
    ) -> Option<&AliasLaunch<'a>> {
        let launches = self.alias_launches.get(alias)?;
        let count = launches.partition_point(|launch| launch.first.launched_at < Some(at));
        // Each key is listed once: of two neighbours, one is another.
        launches[..count].iter().rev().take(2).find(|launch| !is_same_key(&launch.key, key))
    }

    /// The policy that an event put in place; see [`key_policy::policy_of`].
    pub(super) fn policy(&self, event: u32) -> Option<Arc<Policy>> {
        // Whoever panicked here left a map that is whole.
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        policies
            .entry(event)
            .or_insert_with(|| key_policy::policy_of(self.event(event)).map(Arc::new))
            .clone()
    }

    /// How many nodes come into question for an event that names none of them.
    pub(super) fn sharers(&self, event: u32) -> usize {
        self.sharers.get(&event).copied().unwrap_or(1)
    }

    pub(super) fn node(&'a self, node: &'a Node) -> NodeView<'a> {
        NodeView { facts: self, node, refusals: Refusal::of_node(self, node) }
    }

    /// The keys that launches used or were refused, each with its refusals.
    pub(super) fn keys(&'a self) -> Vec<KeyView<'a>> {
        let mut refusals: HashMap<&str, BTreeMap<u32, Refusal<'a>>> = HashMap::new();
        let mut nodes: HashMap<&str, Vec<&'a Text>> = HashMap::new();
        for node in &self.case.nodes {
            let mut keys = HashSet::new();
            for refusal in Refusal::of_node(self, node) {
                let Some(key) = refusal.kms.key_arn.as_deref().filter(|_| refusal.is_launch) else {
                    continue;
                };
                if keys.insert(key) {
                    nodes.entry(key).or_default().push(&node.instance_id);
                }
                let known = refusals.entry(key).or_default().entry(refusal.index);
                // The surest join counts: another node only comes into question too.
                known
                    .and_modify(|known| known.confidence = known.confidence.min(refusal.confidence))
                    .or_insert(refusal);
            }
        }
        self.case
            .keys
            .iter()
            .map(|key| KeyView {
                facts: self,
                key,
                refusals: refusals.remove(&*key.key_arn).unwrap_or_default().into_values().collect(),
                refused_nodes: nodes.remove(&*key.key_arn).unwrap_or_default(),
            })
            .collect()
    }
}

/// The aliases in a node's configuration, each with the key that its launch used through it.
pub(super) fn aliased_keys(node: &Node) -> Vec<(AliasKey, Text)> {
    let mut found: Vec<(AliasKey, Text)> = Vec::new();
    for device in &node.expected_keys {
        let (Some(written), Some(key)) = (&device.key.written, &device.key.key_arn) else {
            continue;
        };
        let WrittenKey::Alias { name, account_id, region } =
            WrittenKey::read(written, &node.account_id, &node.region)
        else {
            continue;
        };
        let is_used = node.used_keys.iter().any(|used| is_same_key(used, key));
        if is_used && !found.iter().any(|(_, known)| known == key) {
            found.push(((account_id, region, name), key.clone()));
        }
    }
    found
}

impl<'a> NodeView<'a> {
    /// The node's events with a role, in order of time.
    pub(super) fn events(&self, role: TimelineRole) -> impl Iterator<Item = &'a Event> + use<'a> {
        let facts = self.facts;
        let node = self.node;
        node.timeline.iter().filter(move |entry| entry.role == role).map(|entry| facts.event(entry.event))
    }

    /// Ids of the events that made the node.
    pub(super) fn launch_evidence(&self) -> Vec<Id> {
        let launch = self.events(TimelineRole::Launch).next();
        let made_by = launch.or_else(|| self.events(TimelineRole::Fleet).next());
        made_by.map(|event| event.event_id.clone()).into_iter().collect()
    }

    /// The AMI's root device, as RunInstances answered.
    pub(super) fn root_device(&self) -> Option<&'a str> {
        let launch = self.events(TimelineRole::Launch).next()?;
        let Detail::Launch(launch) = &launch.detail else {
            return None;
        };
        let own = launch.instances.iter().find(|instance| instance.instance_id == self.node.instance_id);
        own?.root_device.as_deref()
    }

    /// Volumes of the launch.
    pub(super) fn launch_volumes(&self) -> impl Iterator<Item = &'a Volume> + use<'a> {
        self.node.volumes.iter().filter(|volume| volume.role == Some(VolumeRole::Launch))
    }

    /// Whether the archive shows the node alive: registered, or given a volume, stopped or started.
    pub(super) fn is_registered(&self) -> bool {
        self.node.nodeclaim.is_some() || self.events(TimelineRole::Registration).next().is_some()
    }

    /// Why nothing can be said of the keys of the launch, if that is so.
    pub(super) fn lack_of_key_evidence(&self) -> Option<String> {
        let node = self.node;
        if node.launched_at.is_none() {
            return Some("the launch of the node: it is older than the archive".to_owned());
        }
        let is_dark = node.key_verdict == KeyVerdict::Unknown && self.launch_volumes().next().is_none();
        is_dark.then(|| "the KMS events of the launch: the archive holds none".to_owned())
    }

    /// The launch's volumes under a key that no device should have. Devices whose mapping names no key may have
    /// any: as many volumes as there are such devices are no case.
    pub(super) fn unexpected_volumes(&self) -> Vec<&'a Volume> {
        let node = self.node;
        if !matches!(node.key_verdict, KeyVerdict::Mismatch | KeyVerdict::Denied) {
            return Vec::new();
        }
        let expected = &node.expected_keys;
        let named: Vec<&Text> = expected.iter().filter_map(|device| device.key.key_arn.as_ref()).collect();
        let written = expected.iter().filter(|device| device.key.written.is_some()).count();
        if named.is_empty() || named.len() < written {
            return Vec::new();
        }
        let is_unexpected = |volume: &&Volume| {
            volume.key_arn.as_ref().is_some_and(|key| !named.iter().any(|name| is_same_key(name, key)))
        };
        let unexpected: Vec<&Volume> = self.launch_volumes().filter(is_unexpected).collect();
        if unexpected.len() > expected.len() - written { unexpected } else { Vec::new() }
    }

    /// What a reader must know of how a volume was tied to the node; empty where an event names both.
    pub(super) fn join_words(&self, volumes: &[&Volume]) -> String {
        let ids: HashSet<&Id> = volumes
            .iter()
            .filter(|volume| volume.confidence == Confidence::Inferred)
            .flat_map(|volume| &volume.evidence)
            .collect();
        let inferred = self.node.timeline.iter().filter(|entry| {
            entry.confidence == Confidence::Inferred && ids.contains(&self.facts.event(entry.event).event_id)
        });
        match inferred.map(|entry| self.facts.sharers(entry.event)).max() {
            None => String::new(),
            Some(1) => {
                " No event names volume and node together; session, account, region and time tie them."
                    .to_owned()
            }
            Some(nodes) => {
                format!(" No event names volume and node together: {nodes} nodes come into question.")
            }
        }
    }

    /// The node as a sentence begins with it: id, nodepool, cluster.
    pub(super) fn named(&self) -> String {
        named(self.node)
    }
}

/// `Node i-… (nodepool default of cluster demo)`.
pub(super) fn named(node: &Node) -> String {
    let id = &*node.instance_id;
    let text = match (node.nodepool.as_deref(), node.cluster.as_deref()) {
        (Some(nodepool), Some(cluster)) => {
            ["Node ", id, " (nodepool ", nodepool, " of cluster ", cluster, ")"].concat()
        }
        (Some(nodepool), None) => ["Node ", id, " (nodepool ", nodepool, ")"].concat(),
        (None, Some(cluster)) => ["Node ", id, " (cluster ", cluster, ")"].concat(),
        (None, None) => ["Node ", id].concat(),
    };
    if is_plain(&text) { text } else { super::wording::plain(&text) }
}

/// The words for what happened with a volume's key.
pub(super) fn outcome_words(volume: &Volume) -> &'static str {
    match volume.outcome {
        VolumeOutcome::Used => "is under",
        VolumeOutcome::Denied | VolumeOutcome::Failed => "was to be under",
    }
}

impl<'a> FleetView<'a> {
    /// The nodes of each account and region.
    pub(super) fn nodes_by_place(&self) -> BTreeMap<(&'a Text, &'a Text), Vec<&'a Node>> {
        let mut places: BTreeMap<_, Vec<&Node>> = BTreeMap::new();
        for node in &self.facts.case.nodes {
            places.entry((&node.account_id, &node.region)).or_default().push(node);
        }
        places
    }
}

impl<'a> KeyView<'a> {
    /// State changes of the key, with their events; its creation is none.
    pub(super) fn state_changes(&self) -> Vec<(&'a Event, crate::correlate::KeyState)> {
        let case = self.facts.case;
        case.history
            .key_states(&self.key.key_arn)
            .iter()
            .map(|change| (self.facts.event(change.event), change.value))
            .filter(|(event, _)| matches!(event.detail, Detail::KeyState(_)))
            .collect()
    }
}
