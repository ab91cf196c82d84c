//! Which events name which instance: what nodes are made from.
//!
//! Events come in one after the other, as [`Mention`]s; then all mentions are put together by instance. Nodes can then
//! be made on all cores, each from its own events, which are read from memory once for it. A mention never says what
//! its event does, only where the instance stands in it.

use hashbrown::{HashMap, HashSet};

use super::grouped::Grouped;
use super::launches::{is_by_auto_mode, is_by_karpenter};
use super::name::Name;
use crate::event::{Detail, Event, InstanceState, Text, VolumeChange};

/// An event that names an instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mention<'a> {
    name: Name<'a>,
    /// Index of the event.
    pub(super) event: u32,
    /// Which of those that the event lists it is.
    pub(super) place: u32,
    introduces: Introduces,
}

/// Whether a node is known from such an event on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Introduces {
    Always,
    /// Only if a role of Karpenter's made the call.
    ByRole,
    /// The event counts only for a node that is known.
    Never,
}

/// The mentions of a run of events, in their order.
#[derive(Debug, Default)]
pub(super) struct Mentions<'a> {
    /// By successful RunInstances and CreateFleet.
    made: Vec<Mention<'a>>,
    /// By what happens to instances afterwards.
    later: Vec<Mention<'a>>,
}

impl<'a> Mentions<'a> {
    /// Notes the instances that a RunInstances or CreateFleet made.
    pub(super) fn note_made(&mut self, index: u32, event: &'a Event) {
        if event.error.is_some() {
            return;
        }
        match &event.detail {
            Detail::Launch(launch) if !launch.dry_run => {
                let ids = launch.instances.iter().map(|instance| &instance.instance_id);
                note(&mut self.made, index, Introduces::Always, ids);
            }
            Detail::Fleet(fleet) if !fleet.dry_run => {
                let ids = fleet.instances.iter().map(|instance| &instance.instance_id);
                note(&mut self.made, index, Introduces::Always, ids);
            }
            _ => {}
        }
    }

    /// Notes the instances that are tagged, ended, stopped or given a volume.
    pub(super) fn note_later(&mut self, index: u32, event: &'a Event) {
        let is_error = event.error.is_some();
        let later = &mut self.later;
        let ids = |states: &'a [InstanceState]| states.iter().map(|state| &state.instance_id);
        match &event.detail {
            Detail::Tagging { resources, .. } if !is_error => {
                // Anybody can write Karpenter's tags; only Karpenter's own say that there is a node.
                let is_karpenters = is_by_karpenter(event) || is_by_auto_mode(event);
                let introduces = if is_karpenters { Introduces::Always } else { Introduces::ByRole };
                for (place, id) in (0u32..).zip(resources).filter(|(_, id)| id.starts_with("i-")) {
                    later.push(Mention { name: Name::of(id), event: index, place, introduces });
                }
            }
            Detail::Termination(states) => {
                let introduces = if is_error { Introduces::Never } else { Introduces::Always };
                note(later, index, introduces, ids(states));
            }
            Detail::SpotInterruption(instances) => note(later, index, Introduces::Always, instances.iter()),
            Detail::AutoScalingTermination { instance_id: Some(instance) } if !is_error => {
                note(later, index, Introduces::Always, std::iter::once(instance));
            }
            Detail::Stop(states) | Detail::Start(states) if !is_error => {
                note(later, index, Introduces::Never, ids(states));
            }
            Detail::Volume(VolumeChange::Attached { volume_id: Some(_), instance_id: Some(instance) }) => {
                note(later, index, Introduces::Never, std::iter::once(instance));
            }
            _ => {}
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.made.extend(other.made);
        self.later.extend(other.later);
    }
}

fn note<'a>(
    mentions: &mut Vec<Mention<'a>>,
    event: u32,
    introduces: Introduces,
    ids: impl Iterator<Item = &'a Text>,
) {
    let named = (0u32..).zip(ids);
    mentions.extend(named.map(|(place, id)| Mention { name: Name::of(id), event, place, introduces }));
}

impl Mention<'_> {
    /// Whether Karpenter, or EKS for it, made the call: a tagging.
    pub(super) fn is_karpenters(&self, event: &Event, karpenter_roles: &HashSet<Text>) -> bool {
        match self.introduces {
            Introduces::Always => true,
            Introduces::ByRole => is_by_role(event, karpenter_roles),
            Introduces::Never => false,
        }
    }

    /// The instance's id.
    pub(super) fn instance<'e>(&self, event: &'e Event) -> &'e Text {
        let place = self.place as usize;
        let id = match &event.detail {
            Detail::Launch(launch) => launch.instances.get(place).map(|instance| &instance.instance_id),
            Detail::Fleet(fleet) => fleet.instances.get(place).map(|instance| &instance.instance_id),
            Detail::Tagging { resources, .. } => resources.get(place),
            Detail::Termination(states) => states.get(place).map(|state| &state.instance_id),
            Detail::SpotInterruption(instances) => instances.get(place),
            Detail::AutoScalingTermination { instance_id } => instance_id.as_ref(),
            _ => None,
        };
        id.expect("the mention was made from this event, and may introduce the instance")
    }
}

fn is_by_role(event: &Event, karpenter_roles: &HashSet<Text>) -> bool {
    event.identity.issuer_arn.as_ref().is_some_and(|role| karpenter_roles.contains(role))
}

/// Instances as numbers, in the order in which nodes become known, and the mentions of each.
#[derive(Debug)]
pub(super) struct Instances<'a> {
    numbers: HashMap<Name<'a>, u32>,
    mentions: &'a Mentions<'a>,
    /// Numbers of mentions: first those by which instances were made, then the later ones. Those before a node is known
    /// are left out.
    by_instance: Grouped,
}

impl<'a> Instances<'a> {
    pub(super) fn find(
        events: &[Box<Event>],
        mentions: &'a Mentions<'a>,
        karpenter_roles: &HashSet<Text>,
    ) -> Self {
        let mut numbers: HashMap<Name<'a>, u32> = HashMap::new();
        let all = mentions.made.iter().chain(&mentions.later);
        let mut counted = Vec::with_capacity(mentions.made.len() + mentions.later.len());
        for (mention, Mention { name, event, introduces, .. }) in (0u32..).zip(all) {
            let is_introduced = match introduces {
                Introduces::Always => true,
                Introduces::ByRole => is_by_role(&events[*event as usize], karpenter_roles),
                Introduces::Never => false,
            };
            let instance = if is_introduced {
                let next = u32::try_from(numbers.len()).expect("fewer than four billion instances");
                *numbers.entry(*name).or_insert(next)
            } else {
                match numbers.get(name) {
                    Some(known) => *known,
                    None => continue,
                }
            };
            counted.push((instance, mention));
        }
        let by_instance = Grouped::new(numbers.len(), counted.iter().copied());
        Self { numbers, mentions, by_instance }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&self, name: Name<'_>) -> Option<u32> {
        self.numbers.get(&name).copied()
    }

    /// How an instance was made, and what happened to it afterwards; each in the order of the events. The first of
    /// both is the one from which on it is known.
    pub(super) fn mentions_of(&self, instance: u32) -> (Each<'_, 'a>, Each<'_, 'a>) {
        let (made, later) = (&self.mentions.made, &self.mentions.later);
        let all = self.by_instance.of(instance);
        let makers = all.partition_point(|mention| (*mention as usize) < made.len());
        let (of_made, of_later) = all.split_at(makers);
        (
            Each { numbers: of_made.iter(), mentions: made, before: 0 },
            Each { numbers: of_later.iter(), mentions: later, before: made.len() },
        )
    }
}

/// Mentions of one instance.
#[derive(Clone, Debug)]
pub(super) struct Each<'i, 'a> {
    numbers: std::slice::Iter<'i, u32>,
    mentions: &'i [Mention<'a>],
    /// How many mentions are numbered before these.
    before: usize,
}

impl<'i, 'a> Iterator for Each<'i, 'a> {
    type Item = &'i Mention<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.numbers.next().map(|number| &self.mentions[*number as usize - self.before])
    }
}
