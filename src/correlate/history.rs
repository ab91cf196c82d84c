//! What was configured when: launch templates, aliases, EBS defaults, key states, and where keys come from.
//!
//! Built once from the sorted evidence; every question is asked "as of" a time, and only successful changes
//! count. Where the archive does not reach back, the answer is "not known", never "not so".

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::case::KeyState;
use super::key::{WrittenKey, is_same_key};
use super::kinds::at;
use crate::event::{
    BlockDevice, Detail, EbsDefault, Event, ImageCopy, KeyArn, KeyStateChange, Text, Timestamp,
};

/// Account and region.
pub type Place = (Text, Text);

/// A fact and the event that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated<T> {
    /// Since when.
    pub time: Timestamp,
    /// What.
    pub value: T,
    /// Index of the event.
    pub event: u32,
}

/// All histories.
#[derive(Debug, Default)]
pub struct History {
    templates: HashMap<Text, Vec<Dated<TemplateVersion>>>,
    template_names: HashMap<Text, Vec<Dated<Text>>>,
    template_defaults: HashMap<Text, Vec<Dated<u64>>>,
    aliases: BTreeMap<(Place, Text), Vec<Dated<Option<Text>>>>,
    default_keys: BTreeMap<Place, Vec<Dated<DefaultKey>>>,
    default_encryption: BTreeMap<Place, Vec<Dated<bool>>>,
    aws_managed_keys: BTreeMap<Text, u32>,
    aws_managed_key_of: BTreeMap<Place, Dated<Text>>,
    key_states: BTreeMap<Text, Vec<Dated<KeyState>>>,
    policies: BTreeMap<Text, Vec<Dated<()>>>,
    cluster_keys: Vec<Dated<ClusterKey>>,
    image_keys: HashMap<Text, Dated<Text>>,
    snapshot_keys: HashMap<Text, Dated<Text>>,
    image_snapshots: HashMap<Text, Vec<Text>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TemplateVersion {
    version: Option<u64>,
    source_version: Option<Text>,
    mappings: Option<Vec<BlockDevice>>,
}

/// The account's default key for EBS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultKey {
    /// A key that was set.
    Key(WrittenKey),
    /// The AWS managed key, after a reset.
    AwsManaged,
}

/// The key of a cluster's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterKey {
    /// Cluster name.
    pub cluster: Option<Text>,
    /// The key.
    pub key: WrittenKey,
    /// Account and region of the cluster.
    pub place: Place,
}

/// Block device mappings of a launch template, and the events that say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredMappings {
    /// The mappings.
    pub mappings: Vec<BlockDevice>,
    /// Indices of the events.
    pub events: Vec<u32>,
}

impl History {
    /// Builds the histories from sorted events, of which `configuration` are those that matter here.
    pub(super) fn build(events: &[Box<Event>], configuration: &[u32]) -> Self {
        let mut history = Self::default();
        // Where an alias led when it was last used, and how many changes of aliases were known then: as long as there
        // are no more, the same use says nothing new.
        let mut led_to: HashMap<(&str, &str, &str), (&str, u32)> = HashMap::new();
        let mut changes = 0;
        for (index, event) in at(events, configuration).filter(|(_, event)| event.error.is_none()) {
            let Detail::Kms(kms) = &event.detail else {
                changes += u32::from(matches!(event.detail, Detail::Alias(_)));
                history.note(event, index);
                continue;
            };
            let (Some(requested), Some(arn)) = (&kms.requested_key, &kms.key_arn) else {
                continue;
            };
            let alias = (&**requested, &*event.account_id, &*event.region);
            if led_to.get(&alias) != Some(&(arn, changes)) {
                changes += u32::from(history.note_key_use(event, requested, arn, index));
                led_to.insert(alias, (arn, changes));
            }
        }
        history
    }

    fn note(&mut self, event: &Event, index: u32) {
        let time = event.time;
        let place = || (event.account_id.clone(), event.region.clone());
        match &event.detail {
            Detail::LaunchTemplate(template) if !template.dry_run => {
                let Some(id) = &template.template_id else {
                    return;
                };
                if let Some(name) = template.name.as_ref().filter(|_| template.version == Some(1)) {
                    push(self.template_names.entry(name.clone()).or_default(), time, id.clone(), index);
                }
                let version = TemplateVersion {
                    version: template.version,
                    source_version: template.source_version.clone(),
                    mappings: template.mappings.clone(),
                };
                push(self.templates.entry(id.clone()).or_default(), time, version, index);
            }
            Detail::LaunchTemplateDefault(change) => {
                let id = change.template_id.clone().or_else(|| {
                    let name = change.name.as_ref()?;
                    Some(as_of(self.template_names.get(name)?, time)?.value.clone())
                });
                if let (Some(id), Some(version)) = (id, change.default_version) {
                    push(self.template_defaults.entry(id).or_default(), time, version, index);
                }
            }
            Detail::Alias(change) => {
                let target = change.target.as_ref().map(|target| {
                    match WrittenKey::read(target, &event.account_id, &event.region) {
                        WrittenKey::Arn(arn) => arn,
                        WrittenKey::Alias { name, .. } => name,
                    }
                });
                self.aliases.entry((place(), change.alias.clone())).or_default().push(Dated {
                    time,
                    value: target,
                    event: index,
                });
            }
            Detail::EbsDefault(change) => self.note_default(event, change, index),
            Detail::KeyState(change) => self.note_key_state(event, change, index),
            Detail::Policy(change) => {
                if let Some(key) = &change.key {
                    if change.is_creation {
                        push_state(&mut self.key_states, event, key, KeyState::Enabled, index);
                    }
                    let arn = key_arn(event, key);
                    self.policies.entry(arn).or_default().push(Dated { time, value: (), event: index });
                }
            }
            Detail::ClusterSecrets { cluster, key: Some(key) } => self.cluster_keys.push(Dated {
                time,
                value: ClusterKey {
                    cluster: cluster.clone(),
                    key: WrittenKey::read(key, &event.account_id, &event.region),
                    place: place(),
                },
                event: index,
            }),
            Detail::ImageCopy(copy) => self.note_image(event, copy, index),
            _ => {}
        }
    }

    fn note_default(&mut self, event: &Event, change: &EbsDefault, index: u32) {
        let time = event.time;
        let place = (event.account_id.clone(), event.region.clone());
        let key = match change {
            EbsDefault::Encryption(enabled) => {
                let changes = self.default_encryption.entry(place).or_default();
                changes.push(Dated { time, value: *enabled, event: index });
                return;
            }
            EbsDefault::Key(None) => return,
            EbsDefault::Key(Some(key)) => match WrittenKey::read(key, &event.account_id, &event.region) {
                WrittenKey::Alias { name, .. } if &*name == AWS_EBS_ALIAS => DefaultKey::AwsManaged,
                key => DefaultKey::Key(key),
            },
            EbsDefault::Reset(key) => {
                if let Some(arn) = key.as_ref().filter(|key| is_key_arn(key)) {
                    self.note_aws_managed(arn, time, index);
                }
                DefaultKey::AwsManaged
            }
        };
        self.default_keys.entry(place).or_default().push(Dated { time, value: key, event: index });
    }

    fn note_image(&mut self, event: &Event, copy: &ImageCopy, index: u32) {
        let time = event.time;
        let key =
            copy.kms_key.as_ref().map(|key| match WrittenKey::read(key, &event.account_id, &event.region) {
                WrittenKey::Arn(arn) => arn,
                alias @ WrittenKey::Alias { .. } => {
                    self.alias_target(&alias, time).map_or_else(|| key.clone(), |found| found.value)
                }
            });
        if let Some(image) = &copy.image_id {
            self.image_snapshots.insert(image.clone(), copy.source_snapshot_ids.clone());
            if let Some(key) = &key {
                self.image_keys.insert(image.clone(), Dated { time, value: key.clone(), event: index });
            }
        }
        if let (Some(snapshot), Some(key)) = (&copy.snapshot_id, key) {
            self.snapshot_keys.insert(snapshot.clone(), Dated { time, value: key, event: index });
        }
    }

    /// Notes that KMS took `requested` for the key `arn`. Returns whether that is a change of an alias.
    fn note_key_use(&mut self, event: &Event, requested: &str, arn: &Text, index: u32) -> bool {
        let WrittenKey::Alias { name, account_id, region } =
            WrittenKey::read(requested, &event.account_id, &event.region)
        else {
            return false;
        };
        if !is_key_arn(arn) {
            return false;
        }
        if &*name == AWS_EBS_ALIAS {
            self.note_aws_managed(arn, event.time, index);
        }
        // KMS resolved the alias: as good as a record of its last change.
        let seen = self.aliases.entry(((account_id, region), name)).or_default();
        let is_change = seen.last().is_none_or(|last| last.value.as_ref() != Some(arn));
        if is_change {
            seen.push(Dated { time: event.time, value: Some(arn.clone()), event: index });
        }
        is_change
    }

    fn note_aws_managed(&mut self, arn: &Text, time: Timestamp, event: u32) {
        self.aws_managed_keys.entry(arn.clone()).or_insert(event);
        if let Some(key) = KeyArn::parse(arn) {
            let place = (key.account_id.into(), key.region.into());
            self.aws_managed_key_of.entry(place).or_insert(Dated { time, value: arn.clone(), event });
        }
    }

    fn note_key_state(&mut self, event: &Event, change: &KeyStateChange, index: u32) {
        let Some(key) = &change.key else {
            return;
        };
        let state = match change.state {
            "enabled" => KeyState::Enabled,
            "disabled" => KeyState::Disabled,
            "pending-deletion" => KeyState::PendingDeletion,
            "pending-import" => KeyState::PendingImport,
            _ => KeyState::Deleted,
        };
        push_state(&mut self.key_states, event, key, state, index);
    }

    /// The key that an alias pointed to. `None`: not known; also after its deletion.
    #[must_use]
    pub fn alias_target(&self, alias: &WrittenKey, at: Timestamp) -> Option<Dated<Text>> {
        let WrittenKey::Alias { name, account_id, region } = alias else {
            return None;
        };
        let changes = self.aliases.get(&((account_id.clone(), region.clone()), name.clone()))?;
        let last = as_of(changes, at)?;
        Some(Dated { time: last.time, value: last.value.clone()?, event: last.event })
    }

    /// All changes of an alias.
    #[must_use]
    pub fn alias_changes(&self, alias: &WrittenKey) -> &[Dated<Option<Text>>] {
        let WrittenKey::Alias { name, account_id, region } = alias else {
            return &[];
        };
        self.aliases.get(&((account_id.clone(), region.clone()), name.clone())).map_or(&[], Vec::as_slice)
    }

    /// Names of the aliases that point to each key at the end of the archive.
    #[must_use]
    pub fn alias_names(&self) -> HashMap<Text, Vec<Text>> {
        let mut names: HashMap<Text, Vec<Text>> = HashMap::new();
        for ((_, name), changes) in &self.aliases {
            if let Some(target) = changes.last().and_then(|last| last.value.as_ref()) {
                names.entry(target.clone()).or_default().push(name.clone());
            }
        }
        names
    }

    /// Every alias, with where it is and its changes.
    pub fn aliases(&self) -> impl Iterator<Item = (&(Place, Text), &[Dated<Option<Text>>])> {
        self.aliases.iter().map(|(alias, changes)| (alias, changes.as_slice()))
    }

    /// The event that shows a key to be the AWS managed key of EBS.
    #[must_use]
    pub fn aws_managed(&self, arn: &str) -> Option<u32> {
        self.aws_managed_keys.get(arn).copied()
    }

    /// The AWS managed key of EBS in a place, if an event names it.
    #[must_use]
    pub fn aws_managed_key_of(&self, place: &Place) -> Option<&Dated<Text>> {
        self.aws_managed_key_of.get(place)
    }

    /// The account's default key for EBS as of a time.
    #[must_use]
    pub fn default_key(&self, place: &Place, at: Timestamp) -> Option<&Dated<DefaultKey>> {
        as_of(self.default_keys.get(place)?, at)
    }

    /// All changes of the account's default key for EBS.
    #[must_use]
    pub fn default_key_changes(&self, place: &Place) -> &[Dated<DefaultKey>] {
        self.default_keys.get(place).map_or(&[], Vec::as_slice)
    }

    /// All changes of encryption by default.
    #[must_use]
    pub fn default_encryption_changes(&self, place: &Place) -> &[Dated<bool>] {
        self.default_encryption.get(place).map_or(&[], Vec::as_slice)
    }

    /// The ARN of a default key as of a time, through its alias if it is written as one.
    #[must_use]
    pub fn default_key_arn(&self, key: &DefaultKey, at: Timestamp) -> Option<Text> {
        match key {
            DefaultKey::Key(WrittenKey::Arn(arn)) => Some(arn.clone()),
            DefaultKey::Key(alias) => self.alias_target(alias, at).map(|found| found.value),
            DefaultKey::AwsManaged => None,
        }
    }

    /// State changes of a key.
    #[must_use]
    pub fn key_states(&self, arn: &str) -> &[Dated<KeyState>] {
        self.key_states.get(arn).map_or(&[], Vec::as_slice)
    }

    /// State of a key as of a time.
    #[must_use]
    pub fn key_state(&self, arn: &str, at: Timestamp) -> Option<&Dated<KeyState>> {
        as_of(self.key_states(arn), at)
    }

    /// Policies put on a key (and its creation), as indices of events.
    #[must_use]
    pub fn policies(&self, arn: &str) -> &[Dated<()>] {
        self.policies.get(arn).map_or(&[], Vec::as_slice)
    }

    /// Keys whose policy or state changed, by ARN (or as written, where no account is known); a key may come
    /// twice.
    pub fn changed_keys(&self) -> impl Iterator<Item = &Text> {
        self.policies.keys().chain(self.key_states.keys())
    }

    /// Keys of clusters' secrets.
    #[must_use]
    pub fn cluster_keys(&self) -> &[Dated<ClusterKey>] {
        &self.cluster_keys
    }

    /// The event that says that an AMI's snapshot is under `arn`.
    #[must_use]
    pub fn image_has_key(&self, image: &str, arn: &str) -> Option<u32> {
        if let Some(key) = self.image_keys.get(image).filter(|key| is_same_key(&key.value, arn)) {
            return Some(key.event);
        }
        self.image_snapshots
            .get(image)?
            .iter()
            .filter_map(|snapshot| self.snapshot_keys.get(snapshot))
            .find(|key| is_same_key(&key.value, arn))
            .map(|key| key.event)
    }

    /// Id of a launch template as of a time.
    #[must_use]
    pub fn template_id(&self, name: &str, at: Timestamp) -> Option<&Text> {
        as_of(self.template_names.get(name)?, at).map(|found| &found.value)
    }

    /// How many EBS volumes a version of a launch template makes, at least one; `None` if the archive does not hold it.
    pub(super) fn volumes_made(&self, id: &str, version: Option<&str>, at: Timestamp) -> Option<usize> {
        let (mappings, _) = self.mappings_with_events(id, version, at)?;
        Some(mappings.iter().filter(|mapping| mapping.is_ebs).count().max(1))
    }

    /// The block device mappings of a version of a launch template; `None` if the archive does not hold it.
    #[must_use]
    pub fn mappings(&self, id: &str, version: Option<&str>, at: Timestamp) -> Option<ConfiguredMappings> {
        let (mappings, events) = self.mappings_with_events(id, version, at)?;
        Some(ConfiguredMappings { mappings: mappings.to_vec(), events })
    }

    fn mappings_with_events(
        &self,
        id: &str,
        version: Option<&str>,
        at: Timestamp,
    ) -> Option<(&[BlockDevice], Vec<u32>)> {
        let mut versions: Vec<&Dated<TemplateVersion>> = self
            .templates
            .get(id)?
            .iter()
            .filter(|entry| entry.time.second() <= at.second() + CLOCK_SKEW_SECONDS_MAX)
            .collect();
        let mut number = self.version_number(id, &versions, version, at)?;
        let mut events = Vec::new();
        let mut seen = HashSet::new();
        // A version takes over what it does not name from its source version, and so on.
        while seen.insert(number) {
            let found = versions.iter().find(|entry| entry.value.version == Some(number))?;
            events.push(found.event);
            if let Some(mappings) = &found.value.mappings {
                events.sort_unstable();
                return Some((mappings, events));
            }
            let (source, made) = (found.value.source_version.as_deref()?, found.time);
            versions.retain(|entry| entry.value.version < Some(number));
            number = self.version_number(id, &versions, Some(source), made)?;
        }
        None
    }

    fn version_number(
        &self,
        id: &str,
        versions: &[&Dated<TemplateVersion>],
        written: Option<&str>,
        at: Timestamp,
    ) -> Option<u64> {
        match written {
            Some("$Latest") => versions.iter().filter_map(|entry| entry.value.version).max(),
            Some("$Default") | None => {
                let changed = self.template_defaults.get(id).and_then(|changes| as_of(changes, at));
                match changed {
                    Some(change) => Some(change.value),
                    // The first version is the default until that is changed, if the archive saw it made.
                    None => {
                        versions.iter().find_map(|entry| entry.value.version.filter(|version| *version == 1))
                    }
                }
            }
            Some(number) => number.parse().ok(),
        }
    }
}

fn is_key_arn(text: &str) -> bool {
    KeyArn::parse(text).is_some_and(|arn| arn.key_id().is_some())
}

/// Events of one launch are stamped by different hosts: either may seem the earlier one.
pub(super) const CLOCK_SKEW_SECONDS_MAX: i64 = 1;

/// The alias of the AWS managed key of EBS.
pub const AWS_EBS_ALIAS: &str = "alias/aws/ebs";

fn push<T>(entries: &mut Vec<Dated<T>>, time: Timestamp, value: T, event: u32) {
    entries.push(Dated { time, value, event });
}

fn key_arn(event: &Event, key: &str) -> Text {
    match WrittenKey::read(key, &event.account_id, &event.region) {
        WrittenKey::Arn(arn) => arn,
        WrittenKey::Alias { name, .. } => name,
    }
}

fn push_state(
    states: &mut BTreeMap<Text, Vec<Dated<KeyState>>>,
    event: &Event,
    key: &str,
    state: KeyState,
    index: u32,
) {
    let changes = states.entry(key_arn(event, key)).or_default();
    changes.push(Dated { time: event.time, value: state, event: index });
}

/// The last entry at or before `at`. Entries are sorted by time.
fn as_of<T>(entries: &[Dated<T>], at: Timestamp) -> Option<&Dated<T>> {
    let count = entries.partition_point(|entry| entry.time <= at);
    entries[..count].last()
}
