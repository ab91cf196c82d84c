//! Which events each step of the correlation has to look at, found in one pass over all of them.
//!
//! The sorted events come in, lists of their indices go out, each in order. To look at an event costs far more than
//! to look at a list: what every step filters for itself is read from memory once per step.

use hashbrown::HashSet;
use rayon::prelude::*;

use super::key::is_alias;
use super::key_use::refusal_of;
use super::launches::is_by_karpenter;
use super::mentions::Mentions;
use super::name::Name;
use crate::event::{Detail, Event, Id, IdentityKind, KmsOperation, KmsUse, Text};

/// Events that one worker looks at before it takes more.
const EVENTS_AT_ONCE: usize = 4_096;

/// Indices of events by what they are good for.
#[derive(Debug, Default)]
pub(super) struct Kinds<'a> {
    /// What the history is made of: templates, aliases, defaults, policies, images; and uses of keys by an alias.
    pub(super) configuration: Vec<u32>,
    /// RunInstances.
    pub(super) launches: Vec<u32>,
    /// CreateFleet.
    pub(super) fleets: Vec<u32>,
    /// Of these, those that made no instance.
    pub(super) fruitless: Vec<u32>,
    /// Which instances launches and fleets made, and what happened to these afterwards; by runs of events.
    pub(super) mentions: Vec<Mentions<'a>>,
    /// Stops and ends.
    pub(super) ends: Vec<u32>,
    /// Calls for volumes, and starts.
    pub(super) volumes: Vec<u32>,
    /// KMS operations that may belong to a node's volumes; by runs of events.
    pub(super) key_uses: Vec<Vec<KeyUse<'a>>>,
    /// Of these, those that the key's owner sees of another account's call.
    pub(super) foreign_uses: Vec<u32>,
    /// RetireGrant and RevokeGrant.
    pub(super) grant_ends: Vec<u32>,
    /// DeleteNetworkInterface.
    pub(super) cleanups: Vec<u32>,
    /// PutEventSelectors.
    pub(super) selectors: Vec<u32>,
    /// The roles of all calls that Karpenter itself made.
    pub(super) karpenter_roles: HashSet<Text>,
}

/// What joining needs to know of a KMS event that may belong to a node's volumes.
#[derive(Debug)]
pub(super) struct KeyUse<'a> {
    /// Index of the event.
    pub(super) event: u32,
    pub(super) request_id: Option<Id>,
    /// The instance that it names: the grantee of a grant, or whose volume was opened.
    pub(super) instance: Option<Name<'a>>,
    pub(super) volume: Option<Name<'a>>,
    /// Where the call was logged, and whose account it was made from.
    pub(super) place: UsePlace<'a>,
    pub(super) is_success: bool,
    /// Whether KMS refused what a launch needs.
    pub(super) is_refusal: bool,
    /// Whether it made the data key of a volume.
    pub(super) is_data_key: bool,
}

/// Where a KMS event was logged, and the account of its caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsePlace<'a> {
    pub(super) region: &'a str,
    pub(super) account_id: &'a str,
    pub(super) caller: &'a str,
}

impl<'a> KeyUse<'a> {
    fn read(index: u32, event: &'a Event, kms: &'a KmsUse) -> Self {
        let is_success = event.error.is_none();
        Self {
            event: index,
            request_id: event.request_id.clone(),
            instance: kms
                .grantee_instance_id
                .as_deref()
                .or(event.identity.instance_id.as_deref())
                .map(Name::of),
            volume: kms.volume_id.as_deref().map(Name::of),
            place: UsePlace {
                region: &event.region,
                account_id: &event.account_id,
                caller: event.identity.account_id.as_ref().unwrap_or(&event.account_id),
            },
            is_success,
            is_refusal: !is_success && refusal_of(event, kms).is_some(),
            is_data_key: kms.operation == KmsOperation::GenerateDataKeyWithoutPlaintext
                && kms.volume_id.is_some(),
        }
    }
}

impl<'a> Kinds<'a> {
    pub(super) fn find(events: &'a [Box<Event>]) -> Self {
        let found: Vec<Self> = events
            .par_chunks(EVENTS_AT_ONCE)
            .enumerate()
            .map(|(chunk, events)| {
                let first = u32::try_from(chunk * EVENTS_AT_ONCE).expect("fewer than four billion events");
                Self::of_chunk(first, events)
            })
            .collect();
        let mut all = Self::default();
        for found in found {
            all.append(found);
        }
        all
    }

    /// The KMS operations that may belong to a node's volumes, in order.
    pub(super) fn key_uses(&self) -> impl Iterator<Item = &KeyUse<'a>> {
        self.key_uses.iter().flatten()
    }

    fn of_chunk(first: u32, events: &'a [Box<Event>]) -> Self {
        let mut kinds = Self::default();
        // What is not needed of it is never touched, and nothing is moved while it grows.
        let (mut mentions, mut key_uses) = (Mentions::default(), Vec::with_capacity(events.len()));
        // Most events share their user agent and role with the one before.
        let mut last: Option<(&Text, &Text)> = None;
        for (index, event) in (first..).zip(events) {
            kinds.note(index, event, &mut mentions, &mut key_uses);
            let Some(role) = &event.identity.issuer_arn else {
                continue;
            };
            let is_seen = last.is_some_and(|(agent, known)| {
                Text::ptr_eq(agent, &event.user_agent) && Text::ptr_eq(known, role)
            });
            if !is_seen && is_by_karpenter(event) && !kinds.karpenter_roles.contains(role) {
                kinds.karpenter_roles.insert(role.clone());
            }
            last = Some((&event.user_agent, role));
        }
        kinds.mentions.push(mentions);
        kinds.key_uses.push(key_uses);
        kinds
    }

    fn note(
        &mut self,
        index: u32,
        event: &'a Event,
        mentions: &mut Mentions<'a>,
        key_uses: &mut Vec<KeyUse<'a>>,
    ) {
        match &event.detail {
            Detail::Kms(kms) => {
                if matches!(kms.operation, KmsOperation::RetireGrant | KmsOperation::RevokeGrant) {
                    self.grant_ends.push(index);
                } else {
                    key_uses.push(KeyUse::read(index, event, kms));
                    if event.identity.kind == IdentityKind::AwsAccount && event.shared_event_id.is_some() {
                        self.foreign_uses.push(index);
                    }
                }
                if event.error.is_none() && kms.requested_key.as_deref().is_some_and(is_alias) {
                    self.configuration.push(index);
                }
            }
            Detail::LaunchTemplate(_)
            | Detail::LaunchTemplateDefault(_)
            | Detail::EbsDefault(_)
            | Detail::ImageCopy(_)
            | Detail::Policy(_)
            | Detail::Alias(_)
            | Detail::KeyState(_)
            | Detail::ClusterSecrets { .. } => self.configuration.push(index),
            Detail::Launch(launch) => {
                self.launches.push(index);
                if launch.instances.is_empty() && !launch.dry_run {
                    self.fruitless.push(index);
                }
                mentions.note_made(index, event);
            }
            Detail::Fleet(fleet) => {
                self.fleets.push(index);
                if fleet.instances.is_empty() && !fleet.dry_run {
                    self.fruitless.push(index);
                }
                mentions.note_made(index, event);
            }
            Detail::Volume(_) | Detail::Start(_) => {
                self.volumes.push(index);
                mentions.note_later(index, event);
            }
            Detail::Termination(_) | Detail::Stop(_) => {
                self.ends.push(index);
                mentions.note_later(index, event);
            }
            Detail::Tagging { .. } | Detail::SpotInterruption(_) | Detail::AutoScalingTermination { .. } => {
                mentions.note_later(index, event);
            }
            Detail::NetworkInterfaceDeletion { .. } => self.cleanups.push(index),
            Detail::Selectors(_) => self.selectors.push(index),
        }
    }

    fn append(&mut self, other: Self) {
        self.configuration.extend(other.configuration);
        self.launches.extend(other.launches);
        self.fleets.extend(other.fleets);
        self.fruitless.extend(other.fruitless);
        self.mentions.extend(other.mentions);
        self.ends.extend(other.ends);
        self.volumes.extend(other.volumes);
        self.key_uses.extend(other.key_uses);
        self.foreign_uses.extend(other.foreign_uses);
        self.grant_ends.extend(other.grant_ends);
        self.cleanups.extend(other.cleanups);
        self.selectors.extend(other.selectors);
        self.karpenter_roles.extend(other.karpenter_roles);
    }
}

/// The events at some indices, with these.
pub(super) fn at<'a, 'i>(
    events: &'a [Box<Event>],
    indices: &'i [u32],
) -> impl Iterator<Item = (u32, &'a Event)> + Clone + use<'a, 'i> {
    indices.iter().map(|index| (*index, &*events[*index as usize]))
}
