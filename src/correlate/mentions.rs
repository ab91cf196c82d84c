//! Which events name which instance: what nodes are made from.
//!
//! Events come in one after the other, as [`Mentions`]; then these are put together by instance. Nodes can then
//! be made on all cores, each from its own events, which are read from memory once for it. A mention never says what
//! its event does, only where the instance stands in it.

use hashbrown::{HashMap, HashSet};

use super::grouped::Grouped;
use super::launches::{is_by_auto_mode, is_by_karpenter};
use super::name::Name;
use crate::event::{Detail, Event, InstanceState, Text, VolumeChange};

/// An event that names an instance, as a part of the instance's story.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mention {
    /// Index of the event.
    pub(super) event: u32,
    /// Which of those that the event lists it is.
    pub(super) place: u32,
    pub(super) kind: MentionKind,
}

/// What the event is for the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MentionKind {
    /// Made it.
    Made,
    /// Happened to it afterwards.
    #[default]
    Later,
    /// Tagged it, by Karpenter's own hand.
    TaggedByKarpenter,
}

/// Whether a node is known from an event on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Introduces {
    Always,
    /// Only if a role of Karpenter's made the call: a tagging.
    ByRole,
    /// The event counts only for a node that is known.
    Never,
}

/// A mention while the instance has no number.
#[derive(Debug)]
struct Named<'a> {
    name: Name<'a>,
    mention: Mention,
    introduces: Introduces,
}

/// The mentions of a run of events, in their order.
#[derive(Debug, Default)]
pub(super) struct Mentions<'a> {
    /// By successful RunInstances and CreateFleet.
    made: Vec<Named<'a>>,
    /// By what happens to instances afterwards.
    later: Vec<Named<'a>>,
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
                note(&mut self.made, index, MentionKind::Made, Introduces::Always, ids);
            }
            Detail::Fleet(fleet) if !fleet.dry_run => {
                let ids = fleet.instances.iter().map(|instance| &instance.instance_id);
                note(&mut self.made, index, MentionKind::Made, Introduces::Always, ids);
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
                let (kind, introduces) = if is_karpenters {
                    (MentionKind::TaggedByKarpenter, Introduces::Always)
                } else {
                    (MentionKind::Later, Introduces::ByRole)
                };
                for (place, id) in (0u32..).zip(resources).filter(|(_, id)| id.starts_with("i-")) {
                    let mention = Mention { event: index, place, kind };
                    later.push(Named { name: Name::of(id), mention, introduces });
                }
            }
            Detail::Termination(states) => {
                let introduces = if is_error { Introduces::Never } else { Introduces::Always };
                note(later, index, MentionKind::Later, introduces, ids(states));
            }
            Detail::SpotInterruption(instances) => {
                note(later, index, MentionKind::Later, Introduces::Always, instances.iter())
            }
            Detail::AutoScalingTermination { instance_id: Some(instance) } if !is_error => {
                note(later, index, MentionKind::Later, Introduces::Always, std::iter::once(instance));
            }
            Detail::Stop(states) | Detail::Start(states) if !is_error => {
                note(later, index, MentionKind::Later, Introduces::Never, ids(states));
            }
            Detail::Volume(VolumeChange::Attached { volume_id: Some(_), instance_id: Some(instance) }) => {
                note(later, index, MentionKind::Later, Introduces::Never, std::iter::once(instance));
            }
            _ => {}
        }
    }
}

fn note<'a>(
    mentions: &mut Vec<Named<'a>>,
    event: u32,
    kind: MentionKind,
    introduces: Introduces,
    ids: impl Iterator<Item = &'a Text>,
) {
    mentions.extend((0u32..).zip(ids).map(|(place, id)| Named {
        name: Name::of(id),
        mention: Mention { event, place, kind },
        introduces,
    }));
}

impl Mention {
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

/// Instances as numbers, in the order in which nodes become known, and the mentions of each.
#[derive(Debug)]
pub(super) struct Instances<'a> {
    numbers: HashMap<Name<'a>, u32>,
    mentions: Grouped<Mention>,
}

impl<'a> Instances<'a> {
    /// Puts the mentions of all runs of events together, which come in their order.
    pub(super) fn find(
        events: &[Box<Event>],
        runs: &[Mentions<'a>],
        karpenter_roles: &HashSet<Text>,
    ) -> Self {
        let mut numbers: HashMap<Name<'a>, u32> = HashMap::new();
        let count = |lists: fn(&Mentions<'_>) -> usize| runs.iter().map(lists).sum::<usize>();
        let mut mentions = Vec::with_capacity(count(|run| run.made.len() + run.later.len()));
        let made = runs.iter().flat_map(|run| &run.made);
        for named in made.chain(runs.iter().flat_map(|run| &run.later)) {
            let Named { name, introduces, .. } = named;
            let mut mention = named.mention;
            let is_introduced = match introduces {
                Introduces::Always => true,
                Introduces::Never => false,
                Introduces::ByRole => {
                    let role = events[mention.event as usize].identity.issuer_arn.as_ref();
                    let is_karpenters = role.is_some_and(|role| karpenter_roles.contains(role));
                    if is_karpenters {
                        mention.kind = MentionKind::TaggedByKarpenter;
                    }
                    is_karpenters
                }
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
            mentions.push((instance, mention));
        }
        let mentions = Grouped::new(numbers.len(), mentions.iter().copied());
        Self { numbers, mentions }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&self, name: Name<'_>) -> Option<u32> {
        self.numbers.get(&name).copied()
    }

    /// How an instance was made, then what happened to it afterwards; each in the order of the events. It is known
    /// from the first of them on.
    pub(super) fn mentions_of(&self, instance: u32) -> &[Mention] {
        self.mentions.of(instance)
    }
}
