//! Nodes and what launched them: from RunInstances, CreateFleet, CreateTags and the ends of instances.

use std::sync::LazyLock;

use hashbrown::{HashMap, HashSet};
use memchr::memmem::Finder;
use rayon::prelude::*;

use super::case::{
    CapacityType, Confidence, LaunchTemplateRef, Node, Provisioner, TimelineRef, TimelineRole,
};
use super::kinds::{Kinds, at};
use super::mentions::{Instances, Mention, MentionKind};
use super::name::Name;
use super::termination;
use crate::event::{
    Detail, Event, FleetInstance, FleetLaunch, Launch, LaunchedInstance, NodeTags, Text, VolumeChange,
};

/// A node in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) node: Node,
    /// Its RunInstances.
    pub(super) launch: Option<u32>,
    /// Its CreateFleet.
    pub(super) fleet: Option<u32>,
    /// How many instances its RunInstances made.
    pub(super) launched_together: usize,
    /// Events with a role that is settled.
    pub(super) timeline: Vec<TimelineRef>,
    /// KMS events joined to it.
    pub(super) key_uses: Vec<super::key_use::JoinedUse>,
    /// Volumes attached by AttachVolume.
    pub(super) attachments: Vec<(Text, u32)>,
    /// First event that shows it alive: registered, running when stopped or ended, given a volume.
    pub(super) life: Option<u32>,
    /// Whether all volumes of its launch were opened, or their keys granted to it.
    pub(super) is_opened: bool,
    /// How many volumes the launch made, where the archive holds its launch template.
    pub(super) volumes_made: Option<usize>,
    /// Whether KMS was asked for something in a request that launched this node alone, whoever has it now.
    pub(super) is_kms_asked: bool,
    /// Whether CreateTags of a node claim or node name was seen.
    pub(super) is_registered: bool,
    /// Ends and attempts to end it, as indices of events.
    pub(super) ends: Vec<u32>,
    template_name: Option<Text>,
    template_version: Option<Text>,
}

impl Draft {
    pub(super) fn note(&mut self, event: u32, role: TimelineRole) {
        self.timeline.push(TimelineRef { event, role, confidence: Confidence::Observed });
    }

    /// The session that launched it.
    pub(super) fn session<'a>(&self, events: &'a [Box<Event>]) -> Option<&'a Text> {
        events[self.launch.or(self.fleet)? as usize].identity.arn.as_ref()
    }

    /// Name and version of its launch template, where no id is known.
    pub(super) fn named_template(&self) -> Option<(&Text, Option<&str>)> {
        Some((self.template_name.as_ref()?, self.template_version.as_deref()))
    }
}

/// All nodes in the making.
#[derive(Debug)]
pub(super) struct Drafts<'a> {
    /// By the numbers of `instances`.
    pub(super) drafts: Vec<Box<Draft>>,
    instances: Instances<'a>,
}

/// The version in Karpenter's user agent: the text after `karpenter.sh-`.
pub(super) fn karpenter_version(user_agent: &str) -> Option<&str> {
    const MARK: &str = "karpenter.sh-";
    static MARK_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
    let mut rest = user_agent;
    loop {
        let start = MARK_FINDER.find(rest.as_bytes())?;
        let is_word_start = start == 0 || !rest.as_bytes()[start - 1].is_ascii_alphanumeric();
        let version = &rest[start + MARK.len()..];
        if is_word_start {
            let end =
                version.find(|letter: char| letter.is_whitespace() || letter == '/').unwrap_or(version.len());
            let version = &version[..end];
            return (!version.is_empty()).then(|| {
                let number = version.strip_prefix('v');
                number
                    .filter(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
                    .unwrap_or(version)
            });
        }
        rest = version;
    }
}

/// Whether Karpenter itself made the call.
pub(super) fn is_by_karpenter(event: &Event) -> bool {
    karpenter_version(&event.user_agent).is_some()
}

/// Whether EKS made the call, as it does for EKS Auto Mode.
pub(super) fn is_by_auto_mode(event: &Event) -> bool {
    event.identity.is_invoked_by("eks.amazonaws.com")
        || &*event.user_agent == "eks.amazonaws.com"
        || &*event.source_ip == "eks.amazonaws.com"
}

impl<'a> Drafts<'a> {
    pub(super) fn build(events: &[Box<Event>], kinds: &'a Kinds<'_>) -> Self {
        let instances = Instances::find(events, &kinds.mentions, &kinds.karpenter_roles);
        let fleets = LazyLock::new(|| fleets_by_id(events, &kinds.fleets));
        let making = Making { events, karpenter_roles: &kinds.karpenter_roles, fleets };
        let count = u32::try_from(instances.len()).expect("fewer than four billion instances");
        let drafts = (0..count).into_par_iter().map(|instance| {
            let mut draft = Box::<Draft>::default();
            making.fill(&mut draft, instances.mentions_of(instance));
            draft
        });
        let drafts = drafts.collect();
        Self { drafts, instances }
    }

    pub(super) fn into_drafts(self) -> Vec<Box<Draft>> {
        self.drafts
    }

    /// The place in `drafts` of the node that an event names.
    pub(super) fn number(&self, instance: Name<'_>) -> Option<u32> {
        self.instances.number(instance)
    }
}

/// The CreateFleet of each fleet: the first that made it.
fn fleets_by_id<'a>(events: &'a [Box<Event>], made: &[u32]) -> HashMap<&'a Text, u32> {
    let mut fleets = HashMap::with_capacity(made.len());
    for (index, event) in at(events, made) {
        if let (Detail::Fleet(fleet), None) = (&event.detail, &event.error)
            && let Some(id) = &fleet.fleet_id
        {
            fleets.entry(id).or_insert(index);
        }
    }
    fleets
}

/// What nodes are made with.
struct Making<'e, 'k, F> {
    events: &'e [Box<Event>],
    karpenter_roles: &'k HashSet<Text>,
    /// Asked for only where no CreateFleet lists the instance.
    fleets: LazyLock<HashMap<&'e Text, u32>, F>,
}

impl<'e, F: FnOnce() -> HashMap<&'e Text, u32>> Making<'e, '_, F> {
    /// Fills an empty draft from all that names the node.
    fn fill(&self, draft: &mut Draft, mentions: &[Mention]) {
        let event = |mention: &Mention| &*self.events[mention.event as usize];
        let first = mentions.first().expect("some event introduced it");
        draft.node.instance_id = first.instance(event(first)).clone();
        draft.node.account_id = event(first).account_id.clone();
        draft.node.region = event(first).region.clone();
        let makers = mentions.iter().take_while(|mention| mention.kind == MentionKind::Made).count();
        let (made, later) = mentions.split_at(makers);
        let mut launched_as = None;
        for mention in made {
            let event = event(mention);
            match &event.detail {
                Detail::Launch(launch) if draft.launch.is_none() => {
                    let instance = &launch.instances[mention.place as usize];
                    draft.launch = Some(mention.event);
                    draft.launched_together = launch.instances.len();
                    draft.note(mention.event, TimelineRole::Launch);
                    fill_from_launch(draft, event, launch, instance);
                    launched_as = Some(instance);
                }
                Detail::Fleet(fleet) if draft.fleet.is_none() => {
                    note_fleet(draft, event, mention.event, fleet, &fleet.instances[mention.place as usize]);
                }
                _ => {}
            }
        }
        self.join_fleet(draft);
        for mention in later {
            let is_karpenters = mention.kind == MentionKind::TaggedByKarpenter;
            note_later(draft, event(mention), mention.event, is_karpenters);
        }
        settle(draft, self.events, launched_as, self.karpenter_roles);
        termination::note_life(draft, self.events);
    }

    /// Joins a node to the CreateFleet whose id its tags or client token name, where no response lists it; and to
    /// the launch template that a fleet names, where nothing nearer does.
    fn join_fleet(&self, draft: &mut Draft) {
        if draft.fleet.is_none()
            && let Some(&index) = draft.node.fleet_id.as_ref().and_then(|id| self.fleets.get(id))
        {
            draft.fleet = Some(index);
            draft.note(index, TimelineRole::Fleet);
        }
        let Some(Detail::Fleet(fleet)) = draft.fleet.map(|index| &self.events[index as usize].detail) else {
            return;
        };
        take_tags(&mut draft.node, &fleet.tags);
        if draft.node.launch_template.is_none()
            && draft.template_name.is_none()
            && let [template] = fleet.launch_templates.as_slice()
        {
            match &template.id {
                Some(id) => {
                    let version = template.version.clone();
                    draft.node.launch_template = Some(LaunchTemplateRef { id: id.clone(), version });
                }
                None => {
                    draft.template_name.clone_from(&template.name);
                    draft.template_version.clone_from(&template.version);
                }
            }
        }
    }
}

fn note_fleet(draft: &mut Draft, event: &Event, index: u32, fleet: &FleetLaunch, instance: &FleetInstance) {
    draft.fleet = Some(index);
    draft.note(index, TimelineRole::Fleet);
    let node = &mut draft.node;
    take_tags(node, &fleet.tags);
    fill(&mut node.instance_type, instance.instance_type.as_ref());
    fill(&mut node.availability_zone, instance.availability_zone.as_ref());
    fill(&mut node.image_id, instance.image_id.as_ref());
    fill(&mut node.fleet_id, fleet.fleet_id.as_ref());
    let lifecycle = instance.lifecycle.as_ref().or(fleet.capacity_type.as_ref());
    match lifecycle.map(AsRef::as_ref) {
        Some("spot") => node.capacity_type = Some(CapacityType::Spot),
        Some("on-demand") if node.capacity_type.is_none() => {
            node.capacity_type = Some(CapacityType::OnDemand);
        }
        _ => {}
    }
    if node.launch_template.is_none() {
        node.launch_template = instance
            .template_id
            .as_ref()
            .map(|id| LaunchTemplateRef { id: id.clone(), version: instance.template_version.clone() });
    }
    node.launched_at = node.launched_at.or(Some(event.time));
    node.principal_arn = node.principal_arn.take().or_else(|| event.identity.principal().cloned());
}

/// Notes a tagging, an end, a stop or an attachment. `is_karpenters`: whether Karpenter made the call; anybody can
/// write its tags, but only Karpenter's own say that a node registered.
fn note_later(draft: &mut Draft, event: &Event, index: u32, is_karpenters: bool) {
    match &event.detail {
        Detail::Tagging { tags, .. } => {
            take_tags(&mut draft.node, tags);
            if (tags.nodeclaim.is_some() || tags.name.is_some()) && is_karpenters {
                draft.note(index, TimelineRole::Registration);
                draft.is_registered = true;
                draft.life.get_or_insert(index);
                if let Some(name) = tags.name.as_ref().filter(|name| !name.contains('/')) {
                    draft.node.node_name = Some(name.clone());
                }
            }
        }
        Detail::Termination(_) | Detail::SpotInterruption(_) | Detail::AutoScalingTermination { .. } => {
            draft.ends.push(index);
        }
        Detail::Stop(_) | Detail::Start(_) => {
            draft.note(index, TimelineRole::StateChange);
            draft.life.get_or_insert(index);
        }
        Detail::Volume(VolumeChange::Attached { volume_id: Some(volume), .. }) => {
            draft.note(index, TimelineRole::VolumeAttached);
            if event.error.is_none() {
                draft.attachments.push((volume.clone(), index));
                draft.life.get_or_insert(index);
            }
        }
        _ => {}
    }
}

fn fill(field: &mut Option<Text>, value: Option<&Text>) {
    if field.is_none() {
        *field = value.cloned();
    }
}

fn take_tags(node: &mut Node, tags: &NodeTags) {
    fill(&mut node.cluster, tags.cluster.as_ref());
    fill(&mut node.nodepool, tags.nodepool.as_ref());
    fill(&mut node.nodeclass, tags.nodeclass.as_ref());
    fill(&mut node.nodeclaim, tags.nodeclaim.as_ref());
    fill(&mut node.fleet_id, tags.fleet_id.as_ref());
    if node.launch_template.is_none() {
        node.launch_template = tags
            .template_id
            .as_ref()
            .map(|id| LaunchTemplateRef { id: id.clone(), version: tags.template_version.clone() });
    }
}

fn fill_from_launch(draft: &mut Draft, event: &Event, launch: &Launch, instance: &LaunchedInstance) {
    let node = &mut draft.node;
    node.launched_at = Some(event.time);
    node.principal_arn = event.identity.principal().cloned();
    fill(&mut node.instance_type, instance.instance_type.as_ref().or(launch.instance_type.as_ref()));
    fill(
        &mut node.availability_zone,
        instance.availability_zone.as_ref().or(launch.availability_zone.as_ref()),
    );
    fill(&mut node.image_id, instance.image_id.as_ref().or(launch.image_id.as_ref()));
    node.node_name = if instance.is_named_by_resource {
        Some(instance.instance_id.clone())
    } else {
        instance.private_dns_name.clone()
    };
    if instance.lifecycle.as_deref() == Some("spot") || launch.is_spot {
        node.capacity_type = Some(CapacityType::Spot);
    } else {
        node.capacity_type = node.capacity_type.or(Some(CapacityType::OnDemand));
    }
    if let Some(id) = &launch.template_id {
        node.launch_template =
            Some(LaunchTemplateRef { id: id.clone(), version: launch.template_version.clone() });
    }
    take_tags(node, &launch.tags);
    take_tags(node, &instance.tags);
    let token_fleet = launch.client_token.as_deref().and_then(fleet_of_client_token);
    if node.fleet_id.is_none() {
        node.fleet_id = token_fleet.map(Text::from);
    }
    draft.template_name.clone_from(&launch.template_name);
    draft.template_version.clone_from(&launch.template_version);
}

/// `fleet-<uuid>-<n>` -> `fleet-<uuid>`.
pub(super) fn fleet_of_client_token(token: &str) -> Option<&str> {
    let (fleet, number) = token.rsplit_once('-')?;
    let is_fleet = fleet.starts_with("fleet-") && fleet.len() == "fleet-".len() + 36;
    (is_fleet && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(fleet)
}

/// The tags that a launch asks for.
fn tags_of(event: &Event) -> Option<&NodeTags> {
    match &event.detail {
        Detail::Launch(launch) => Some(&launch.tags),
        Detail::Fleet(fleet) => Some(&fleet.tags),
        _ => None,
    }
}

/// What launched the node, once all of its events are known. `launched_as`: what its RunInstances says of it.
fn settle(
    draft: &mut Draft,
    events: &[Box<Event>],
    launched_as: Option<&LaunchedInstance>,
    karpenter_roles: &HashSet<Text>,
) {
    let at = |index: Option<u32>| index.map(|index| &*events[index as usize]);
    let (launch, fleet) = (at(draft.launch), at(draft.fleet));
    let made_by = [launch, fleet].into_iter().flatten();
    let instance_tags = launched_as.map(|instance| &instance.tags);
    let tag_sets = || made_by.clone().filter_map(tags_of).chain(instance_tags);
    let is_auto_scaling =
        made_by.clone().any(|event| event.identity.is_invoked_by("autoscaling.amazonaws.com"))
            || tag_sets().any(|tags| tags.auto_scaling_group.is_some());
    let is_auto_mode = made_by.clone().any(is_by_auto_mode) || tag_sets().any(|tags| tags.is_auto_mode);
    let is_fleet_of_karpenter = launch.is_some_and(|event| {
        let by_role = event.identity.issuer_arn.as_ref().is_some_and(|role| karpenter_roles.contains(role));
        // A fleet that is known speaks for itself: tags can be written by anybody.
        let by_tags =
            fleet.is_none() && tag_sets().any(|tags| tags.is_karpenter) && draft.node.nodepool.is_some();
        event.identity.is_invoked_by("ec2fleet.amazonaws.com") && (by_role || by_tags)
    });
    let later = || {
        let noted = draft.timeline.iter().map(|entry| entry.event);
        noted.chain(draft.ends.iter().copied()).map(|index| &*events[index as usize])
    };
    let is_only_seen_later = launch.is_none()
        && fleet.is_none()
        && (draft.is_registered || later().any(|event| event.error.is_none() && is_by_karpenter(event)));
    let provisioner = if is_auto_mode {
        Provisioner::EksAutoMode
    } else if is_auto_scaling {
        Provisioner::Autoscaling
    } else if made_by.clone().any(is_by_karpenter) || is_fleet_of_karpenter || is_only_seen_later {
        Provisioner::Karpenter
    } else {
        Provisioner::Other
    };
    draft.node.provisioner = provisioner;
    let version = fleet
        .into_iter()
        .chain(launch)
        .chain(later())
        .find_map(|event| karpenter_version(&event.user_agent))
        .map(Text::from);
    draft.node.karpenter_version = version;
}

#[cfg(test)]
mod tests {
    use super::{fleet_of_client_token, karpenter_version};

    #[test]
    fn karpenters_user_agent_of_every_era() {
        for (user_agent, version) in [
            ("aws-sdk-go/1.44.300 (go1.20; linux; amd64) karpenter.sh-0.29.2", Some("0.29.2")),
            ("aws-sdk-go-v2/1.36.3 ua/2.1 os/linux api/ec2#1.215.0 karpenter.sh-1.5.0 m/h", Some("1.5.0")),
            ("karpenter.sh-v0.16.0-12-gabc123", Some("0.16.0-12-gabc123")),
            ("aws-sdk-go-v2/1.36.3 karpenter.sh-unspecified", Some("unspecified")),
            ("aws-cli/2.32.3 md/command#ec2.terminate-instances", None),
            ("not-karpenter.sh", None),
            ("ec2fleet.amazonaws.com", None),
        ] {
            assert_eq!(karpenter_version(user_agent), version, "{user_agent}");
        }
    }

    #[test]
    fn a_client_token_leads_to_its_fleet() {
        assert_eq!(
            fleet_of_client_token("fleet-1fb4718e-e78e-4e3e-0c18-ad80e56dbf97-0"),
            Some("fleet-1fb4718e-e78e-4e3e-0c18-ad80e56dbf97")
        );
        for token in ["5dd59182-3917-421c-9b2c-7c92954b66ee", "fleet-x-0", ""] {
            assert_eq!(fleet_of_client_token(token), None);
        }
    }
}
