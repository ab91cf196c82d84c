//! Which key a node should use: from a flag, else from its node class, else from its launch template, with
//! aliases resolved as of the launch.

use std::collections::BTreeMap;

use super::case::{DeviceKey, ExpectedKey, KeySource, Node, Provisioner};
use super::history::{AWS_EBS_ALIAS, ConfiguredMappings, History};
use super::key::{WrittenKey, is_alias, is_same_key};
use super::launches::Draft;
use crate::event::{Detail, Event, Id, Text, Timestamp};
use crate::manifest::{KeyForm, Manifest, Mapping, NodeClass};

/// What the user says about keys.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The key that every node should use: key id, key ARN, alias or alias ARN.
    pub key: Option<Text>,
    /// Aliases and their keys: alias name or alias ARN -> key id or key ARN. Asked only where the archive
    /// does not resolve an alias.
    pub aliases: BTreeMap<Text, Text>,
    /// Node classes, node pools, launch templates and aliases of the user's own manifests. Its aliases are
    /// asked last.
    pub manifest: Manifest,
}

impl Expectations {
    /// Everything that is said to be a key, as written; some are aliases.
    pub fn named_keys(&self) -> impl Iterator<Item = &Text> {
        self.key.iter().chain(self.aliases.values()).chain(self.manifest.named_keys())
    }

    /// The node class that a node belongs to, by its tags.
    #[must_use]
    pub fn node_class_of(&self, node: &Node) -> Option<&NodeClass> {
        let is_auto_mode = match node.provisioner {
            Provisioner::EksAutoMode => true,
            Provisioner::Karpenter => false,
            Provisioner::Autoscaling | Provisioner::Other => return None,
        };
        self.manifest.node_class_of(is_auto_mode, node.nodeclass.as_deref(), node.nodepool.as_deref())
    }
}

/// The configuration of one node.
#[derive(Debug, Default)]
pub(super) struct Configured {
    /// Mappings of its launch template, if the archive holds it.
    pub(super) mappings: Option<ConfiguredMappings>,
    /// Keys that the launch template names, one per EBS mapping.
    pub(super) keys: Vec<DeviceKey>,
    /// Keys that its node class names, one per EBS mapping; `None` where no manifest holds its node class.
    pub(super) node_class_keys: Option<Vec<DeviceKey>>,
}

/// Resolves keys for one node.
pub(super) struct Resolver<'a> {
    pub(super) events: &'a [Box<Event>],
    pub(super) history: &'a History,
    pub(super) expectations: &'a Expectations,
}

impl Resolver<'_> {
    /// ARN of a key as written, as of the node's launch, and the events that say so.
    pub(super) fn resolve(&self, written: &str, draft: &Draft, at: Timestamp) -> (Option<Text>, Vec<u32>) {
        let node = &draft.node;
        let alias = match WrittenKey::read(written, &node.account_id, &node.region) {
            WrittenKey::Arn(arn) => return (Some(arn), Vec::new()),
            alias @ WrittenKey::Alias { .. } => alias,
        };
        let WrittenKey::Alias { name, account_id, region } = &alias else {
            return (None, Vec::new());
        };
        // The node's own KMS events may name the alias and the key it led to.
        for join in &draft.key_uses {
            let event = &self.events[join.event as usize];
            let Detail::Kms(kms) = &event.detail else {
                continue;
            };
            if let (Some(requested), Some(arn), None) = (&kms.requested_key, &kms.key_arn, &event.error)
                && is_alias(requested)
                && WrittenKey::read(requested, &node.account_id, &node.region) == alias
            {
                return (Some(arn.clone()), vec![join.event]);
            }
        }
        if &**name == AWS_EBS_ALIAS
            && let Some(key) = self.history.aws_managed_key_of(&(account_id.clone(), region.clone()))
        {
            return (Some(key.value.clone()), vec![key.event]);
        }
        if let Some(target) = self.history.alias_target(&alias, at) {
            return (Some(target.value), vec![target.event]);
        }
        let told = self
            .expectations
            .aliases
            .iter()
            .chain(self.expectations.manifest.aliases.iter().map(|(given, setting)| (given, &setting.key)))
            .find(|(given, _)| WrittenKey::read(given, account_id, region) == alias);
        match told.map(|(_, key)| WrittenKey::read(key, account_id, region)) {
            Some(WrittenKey::Arn(arn)) if !self.is_refuted(&alias, &arn, at) => (Some(arn), Vec::new()),
            _ => (None, Vec::new()),
        }
    }

    /// Whether the archive contradicts the key that the user or Terraform gives for an alias that it does not
    /// resolve itself: the alias had been deleted, or the first that is known of it after the launch is that it was
    /// made or moved, or that it led to another key. What is told is what holds now.
    fn is_refuted(&self, alias: &WrittenKey, told: &str, at: Timestamp) -> bool {
        let changes = self.history.alias_changes(alias);
        let is_deleted = changes.iter().any(|change| change.time <= at);
        let next = changes.iter().find(|change| change.time > at);
        is_deleted
            || next.is_some_and(|next| {
                let is_set = matches!(self.events[next.event as usize].detail, Detail::Alias(_));
                next.value.as_ref().is_some_and(|key| is_set || !is_same_key(key, told))
            })
    }

    /// What the launch template and the node class configure.
    pub(super) fn configured(&self, draft: &Draft) -> Configured {
        let Some(at) = draft.node.launched_at else {
            return Configured::default();
        };
        let mut configured = self.template(draft, at);
        let node_class = self.expectations.node_class_of(&draft.node);
        configured.node_class_keys = node_class.and_then(|class| self.node_class_keys(class, draft, at));
        configured
    }

    /// What the launch template configures: as the archive holds it, else as Terraform has it.
    fn template(&self, draft: &Draft, at: Timestamp) -> Configured {
        let template = draft.node.launch_template.as_ref();
        let named = draft
            .named_template()
            .and_then(|(name, version)| Some((self.history.template_id(name, at)?, version)));
        let known = template.map(|template| (&template.id, template.version.as_deref())).or(named);
        let archived = known.and_then(|(id, version)| self.history.mappings(id, version, at));
        let Some(mappings) = archived else {
            let id = known.map(|(id, _)| &**id);
            let name = draft.named_template().map(|(name, _)| &**name);
            let version =
                known.map_or_else(|| draft.named_template().and_then(|(_, named)| named), |(_, of)| of);
            let managed = self.expectations.manifest.launch_template(id, name);
            let keys = managed
                .filter(|template| template.is_version(version))
                .map(|template| self.mapping_keys(&template.mappings, KeySource::LaunchTemplate, draft, at));
            return Configured { keys: keys.unwrap_or_default(), ..Configured::default() };
        };
        let keys = mappings
            .mappings
            .iter()
            .filter(|mapping| mapping.is_ebs)
            .map(|mapping| {
                let mut events = mappings.events.clone();
                // What EC2 was given literally, a placeholder that nobody filled in, is no key.
                let named = mapping.kms_key.as_ref().filter(|written| KeyForm::of(written) == KeyForm::Key);
                let key_arn = named.and_then(|written| {
                    let (arn, said_by) = self.resolve(written, draft, at);
                    events.extend(said_by);
                    arn
                });
                DeviceKey {
                    device: mapping.device.clone(),
                    key: ExpectedKey {
                        written: mapping.kms_key.clone(),
                        key_arn,
                        source: KeySource::LaunchTemplate,
                        evidence: self.ids(events),
                    },
                }
            })
            .collect();
        Configured { mappings: Some(mappings), keys, node_class_keys: None }
    }

    /// The keys that a node class names; `None` where it names a launch template that no manifest holds.
    fn node_class_keys(&self, class: &NodeClass, draft: &Draft, at: Timestamp) -> Option<Vec<DeviceKey>> {
        let manifest = &self.expectations.manifest;
        let mappings = match &class.launch_template {
            Some(name) => &manifest.launch_template(None, Some(name))?.mappings,
            None => &class.mappings,
        };
        let mut keys = self.mapping_keys(mappings, KeySource::NodeClass, draft, at);
        if class.unread.is_some() || keys.is_empty() {
            // What could not be read may name a key, which nothing resolves; what is not there names none.
            let written = class.unread.clone();
            keys.push(manifest_key(None, written, None, KeySource::NodeClass));
        }
        Some(keys)
    }

    fn mapping_keys(
        &self,
        mappings: &[Mapping],
        source: KeySource,
        draft: &Draft,
        at: Timestamp,
    ) -> Vec<DeviceKey> {
        mappings
            .iter()
            .filter(|mapping| mapping.is_ebs)
            .map(|mapping| {
                let mut key = manifest_key(mapping.device.clone(), None, None, source);
                if let Some(setting) = &mapping.kms_key {
                    key.key.written = Some(setting.text.clone());
                    // A placeholder is no key, whatever it looks like.
                    if setting.form == KeyForm::Key {
                        let (arn, events) = self.resolve(&setting.text, draft, at);
                        key.key.key_arn = arn;
                        key.key.evidence = self.ids(events);
                    }
                }
                key
            })
            .collect()
    }

    /// The expected keys of a node: the flag's, else the node class's, else the launch template's.
    pub(super) fn expected(&self, draft: &Draft, configured: &Configured) -> Vec<DeviceKey> {
        let Some(written) = &self.expectations.key else {
            return configured.node_class_keys.as_ref().unwrap_or(&configured.keys).clone();
        };
        let (key_arn, events) = match draft.node.launched_at {
            Some(at) => self.resolve(written, draft, at),
            None => (None, Vec::new()),
        };
        vec![DeviceKey {
            device: None,
            key: ExpectedKey {
                written: Some(written.clone()),
                key_arn,
                source: KeySource::Flag,
                evidence: self.ids(events),
            },
        }]
    }

    pub(super) fn ids(&self, mut events: Vec<u32>) -> Vec<Id> {
        events.sort_unstable();
        events.dedup();
        events.into_iter().map(|event| self.events[event as usize].event_id.clone()).collect()
    }
}

fn manifest_key(
    device: Option<Text>,
    written: Option<Text>,
    key_arn: Option<Text>,
    source: KeySource,
) -> DeviceKey {
    DeviceKey { device, key: ExpectedKey { written, key_arn, source, evidence: Vec::new() } }
}

/// Whether two configurations name different keys for the same device, as far as both are known. A key that
/// holds for all devices is compared with each.
pub(super) fn differ(one: &[DeviceKey], other: &[DeviceKey]) -> bool {
    let is_same_device = |one: &DeviceKey, other: &DeviceKey| {
        one.device.is_none() || other.device.is_none() || one.device == other.device
    };
    let is_named = |key: &ExpectedKey| key.written.as_deref().map(KeyForm::of) == Some(KeyForm::Key);
    let differs = |one: &ExpectedKey, other: &ExpectedKey| match (&one.key_arn, &other.key_arn) {
        (Some(one), Some(other)) => !is_same_key(one, other),
        // An alias that nothing resolves differs from no key, and from nothing else that can be said.
        _ => is_named(one) && other.written.is_none() || is_named(other) && one.written.is_none(),
    };
    let is_named_in =
        |device: &DeviceKey, list: &[DeviceKey]| list.iter().any(|own| is_same_device(own, device));
    one.iter().any(|one| {
        let is_different =
            other.iter().any(|other| is_same_device(one, other) && differs(&one.key, &other.key));
        is_different || is_named(&one.key) && !is_named_in(one, other)
    }) || other.iter().any(|other| is_named(&other.key) && !is_named_in(other, one))
}

/// The one key that all devices should use; `None` where they differ or none is configured.
pub(super) fn common_key(keys: &[DeviceKey]) -> Option<ExpectedKey> {
    let (first, rest) = keys.split_first()?;
    first.key.written.as_ref()?;
    let is_same = |other: &DeviceKey| match (&first.key.key_arn, &other.key.key_arn) {
        (Some(one), Some(two)) => is_same_key(one, two),
        (None, None) => first.key.written == other.key.written,
        _ => false,
    };
    if !rest.iter().all(is_same) {
        return None;
    }
    let mut common = first.key.clone();
    for other in rest {
        for id in &other.key.evidence {
            if !common.evidence.contains(id) {
                common.evidence.push(id.clone());
            }
        }
    }
    Some(common)
}
