//! Which key a node should use: from a flag, else from its launch template, with aliases resolved as of the
//! launch.

use std::collections::BTreeMap;

use super::case::{DeviceKey, ExpectedKey, KeySource};
use super::history::{AWS_EBS_ALIAS, ConfiguredMappings, History};
use super::key::{WrittenKey, is_same_key};
use super::launches::Draft;
use crate::event::{Detail, Event, Id, Text, Timestamp};

/// What the user says about keys.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The key that every node should use: key id, key ARN, alias or alias ARN.
    pub key: Option<Text>,
    /// Aliases and their keys: alias name or alias ARN -> key id or key ARN. Asked only where the archive
    /// does not resolve an alias.
    pub aliases: BTreeMap<Text, Text>,
}

/// The configuration of one node.
#[derive(Debug, Default)]
pub(super) struct Configured {
    /// Mappings of its launch template, if the archive holds it.
    pub(super) mappings: Option<ConfiguredMappings>,
    /// Keys that the launch template names, one per EBS mapping.
    pub(super) keys: Vec<DeviceKey>,
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
        // A deletion in the archive outweighs what the user remembers.
        let is_deleted =
            self.history.alias_changes(&alias).iter().rfind(|change| change.time <= at).is_some();
        let told = self
            .expectations
            .aliases
            .iter()
            .find(|(given, _)| WrittenKey::read(given, account_id, region) == alias);
        match told {
            Some((_, key)) if !is_deleted => match WrittenKey::read(key, account_id, region) {
                WrittenKey::Arn(arn) => (Some(arn), Vec::new()),
                WrittenKey::Alias { .. } => (None, Vec::new()),
            },
            _ => (None, Vec::new()),
        }
    }

    /// What the launch template configures.
    pub(super) fn configured(&self, draft: &Draft) -> Configured {
        let Some(at) = draft.node.launched_at else {
            return Configured::default();
        };
        let template = draft.node.launch_template.as_ref();
        let named = draft
            .named_template()
            .and_then(|(name, version)| Some((self.history.template_id(name, at)?, version)));
        let known = template.map(|template| (&template.id, template.version.as_deref())).or(named);
        let Some((id, version)) = known else {
            return Configured::default();
        };
        let Some(mappings) = self.history.mappings(id, version, at) else {
            return Configured::default();
        };
        let keys = mappings
            .mappings
            .iter()
            .filter(|mapping| mapping.is_ebs)
            .map(|mapping| {
                let mut events = mappings.events.clone();
                let key_arn = mapping.kms_key.as_ref().and_then(|written| {
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
        Configured { mappings: Some(mappings), keys }
    }

    /// The expected keys of a node: the flag's, else the launch template's.
    pub(super) fn expected(&self, draft: &Draft, configured: &Configured) -> Vec<DeviceKey> {
        let Some(written) = &self.expectations.key else {
            return configured.keys.clone();
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
