//! One short sentence, without a full stop, for each event of a node's timeline.
//!
//! An event and the node that it concerns come in, a sentence with short ids goes out: the same for the same
//! input, whatever else is in the case. Texts of the log stand in it as logged (cut where they are long);
//! whoever shows them sanitizes them.

use super::abbreviate::{limited, named_key, short_principal, short_resource};
use crate::correlate::{Node, TimelineRole};
use crate::event::{
    AliasChange, ApiError, Detail, EbsDefault, Event, EventSelectors, FleetLaunch, ImageCopy, InstanceState,
    KeyStateChange, KmsOperation, KmsUse, Launch, LaunchTemplate, NodeTags, PolicyChange, Text, VolumeChange,
};

/// Longest text taken over from a log, in characters.
const LOG_TEXT_CHARACTERS_MAX: usize = 80;
/// How many things of one kind a sentence names before it counts the rest.
const NAMED_MAX: usize = 3;

/// Says what `event` was for `node`.
#[must_use]
pub fn sentence(event: &Event, role: TimelineRole, node: &Node) -> String {
    let who = who(event);
    let deed = match &event.detail {
        Detail::Kms(kms) => return kms_sentence(event, kms, role, &who),
        Detail::Fleet(fleet) => return fleet_sentence(event, fleet, &who),
        Detail::Launch(launch) => return launch_sentence(event, launch, node, &who),
        Detail::SpotInterruption(_) => return "EC2 took the spot capacity back".to_owned(),
        Detail::NetworkInterfaceDeletion { network_interface_id } => {
            return format!(
                "EC2 deleted network interface {} as {who}",
                resource(network_interface_id.as_ref())
            );
        }
        Detail::LaunchTemplate(template) => made_template(template),
        Detail::LaunchTemplateDefault(change) => format!(
            "made version {} the default of launch template {}",
            change.default_version.map_or_else(|| "?".to_owned(), |version| version.to_string()),
            named_or_id(change.name.as_ref(), change.template_id.as_ref())
        ),
        Detail::Tagging { tags, .. } => tagged(tags),
        Detail::Termination(instances) => changed_state("terminated", instances, node),
        Detail::Stop(instances) => changed_state("stopped", instances, node),
        Detail::Start(instances) => changed_state("started", instances, node),
        Detail::AutoScalingTermination { .. } => {
            "terminated the instance in its Auto Scaling group".to_owned()
        }
        Detail::EbsDefault(change) => changed_ebs_default(change),
        Detail::ImageCopy(copy) => copied_image(event, copy),
        Detail::Volume(change) => changed_volume(change),
        Detail::Policy(change) => changed_policy(change),
        Detail::Alias(change) => changed_alias(change),
        Detail::KeyState(change) => changed_key_state(change),
        Detail::ClusterSecrets { cluster, key: secrets_key } => format!(
            "set key {} for the secrets of cluster {}",
            key(secrets_key.as_ref()),
            text(cluster.as_ref())
        ),
        Detail::Selectors(selectors) => changed_selectors(selectors),
    };
    match &event.error {
        None => format!("{who} {deed}"),
        Some(error) => failed(event, error, &who),
    }
}

fn failed(event: &Event, error: &ApiError, who: &str) -> String {
    format!("{} by {who} failed with {}", cut(&event.name), cut(&error.code))
}

fn kms_sentence(event: &Event, kms: &KmsUse, role: TimelineRole, who: &str) -> String {
    let used = key(kms.key_arn.as_ref().or(kms.requested_key.as_ref()));
    let operation = cut(&event.name);
    if let Some(error) = &event.error {
        if role == TimelineRole::Throttled {
            return format!("KMS throttled {operation} on key {used} by {who}");
        }
        let volume = match &kms.volume_id {
            Some(id) => format!(" for volume {}", short_resource(&cut(id))),
            None => String::new(),
        };
        return format!("KMS refused {operation} on key {used}{volume} to {who}: {}", reason(error));
    }
    let volume = resource(kms.volume_id.as_ref());
    match kms.operation {
        KmsOperation::GenerateDataKeyWithoutPlaintext | KmsOperation::GenerateDataKey => {
            format!("KMS made a data key for volume {volume} under key {used}")
        }
        KmsOperation::CreateGrant => {
            let grantee = match (&kms.grantee_instance_id, &kms.grantee) {
                (Some(instance), _) => format!("instance {}", short_resource(&cut(instance))),
                (None, Some(grantee)) => cut(short_principal(grantee)),
                (None, None) => "an unnamed grantee".to_owned(),
            };
            format!("KMS granted {grantee} the use of key {used} for volume {volume}")
        }
        KmsOperation::ReEncrypt => format!(
            "KMS re-encrypted the data key of snapshot {} from key {} for volume {volume} under key {used}",
            resource(kms.snapshot_id.as_ref()),
            key(kms.source_key_arn.as_ref())
        ),
        KmsOperation::Decrypt => format!("Volume {volume} was opened with key {used} by {who}"),
        KmsOperation::RetireGrant => format!("A grant on key {used} was retired by {who}"),
        KmsOperation::RevokeGrant => format!("A grant on key {used} was revoked by {who}"),
        KmsOperation::DescribeKey => {
            format!("{who} called {operation} on key {used}")
        }
    }
}

/// Why KMS refused: the words of the message that name the policy, else the error code.
fn reason(error: &ApiError) -> String {
    let message: &str = &error.message;
    let words = message
        .split_once(" because ")
        .map(|(_, words)| words)
        .or_else(|| message.find("with an explicit deny").map(|start| &message[start..]));
    match words {
        Some(words) => cut(words.trim_end_matches('.')),
        None => cut(&error.code),
    }
}

fn fleet_sentence(event: &Event, fleet: &FleetLaunch, who: &str) -> String {
    if let Some(error) = &event.error {
        return failed(event, error, who);
    }
    let instances = match &fleet.capacity_type {
        Some(capacity_type) => format!("{} instance", cut(capacity_type)),
        None => "instance".to_owned(),
    };
    let made = counted(fleet.instances.len(), &instances);
    if fleet.errors.is_empty() {
        return format!("{who} asked a fleet for capacity: {made} made");
    }
    let errors = fleet.errors.iter().map(|error| format!("{} ×{}", cut(&error.code), error.count));
    format!("{who} asked a fleet for capacity: {made} made, errors: {}", first_of(errors))
}

fn launch_sentence(event: &Event, launch: &Launch, node: &Node, who: &str) -> String {
    if let Some(error) = &event.error {
        return failed(event, error, who);
    }
    let own = launch.instances.iter().find(|instance| instance.instance_id == node.instance_id);
    let kind = own.and_then(|instance| instance.instance_type.as_ref()).or(launch.instance_type.as_ref());
    let zone =
        own.and_then(|instance| instance.availability_zone.as_ref()).or(launch.availability_zone.as_ref());
    let template = match (&launch.template_id, &launch.template_name) {
        (None, None) => String::new(),
        (id, name) => format!(" from launch template {}", id_or_named(id.as_ref(), name.as_ref())),
    };
    let made = match launch.instances.len() {
        0 | 1 => "the instance".to_owned(),
        all => format!("the instance, one of {all}"),
    };
    format!(
        "{} made {made} ({}, {}){template} for {who}",
        if launch.is_spot { "EC2 spot" } else { "EC2" },
        text(kind),
        text(zone)
    )
}

fn made_template(template: &LaunchTemplate) -> String {
    let version = match template.version {
        Some(version) => format!(" version {version}"),
        None => String::new(),
    };
    let name = named_or_id(template.name.as_ref(), template.template_id.as_ref());
    let keys = match &template.mappings {
        None => "which shows no block devices".to_owned(),
        Some(mappings) => {
            let named: Vec<String> = mappings
                .iter()
                .filter(|mapping| mapping.is_ebs)
                .filter_map(|mapping| {
                    let written = mapping.kms_key.as_ref()?;
                    Some(format!("{} for {}", named_key(&cut(written)), text(mapping.device.as_ref())))
                })
                .collect();
            match named.len() {
                0 => "which names no key".to_owned(),
                _ => format!("which names key {}", first_of(named.into_iter())),
            }
        }
    };
    format!("made launch template {name}{version}, {keys}")
}

fn tagged(tags: &NodeTags) -> String {
    match (&tags.name, &tags.nodeclaim) {
        (Some(name), Some(claim)) => {
            format!("tagged the instance as node {} of NodeClaim {}", cut(name), cut(claim))
        }
        (Some(name), None) => format!("tagged the instance as node {}", cut(name)),
        (None, Some(claim)) => format!("tagged the instance with NodeClaim {}", cut(claim)),
        (None, None) => "tagged the instance".to_owned(),
    }
}

fn changed_state(verb: &str, instances: &[InstanceState], node: &Node) -> String {
    let own = instances.iter().find(|instance| instance.instance_id == node.instance_id);
    let others = match instances.len() {
        0 | 1 => String::new(),
        all => format!(", one of {all}"),
    };
    match own.and_then(|instance| instance.previous.as_ref()) {
        Some(previous) => format!("{verb} the instance{others}, which was {}", cut(previous)),
        None => format!("{verb} the instance{others}"),
    }
}

fn changed_ebs_default(change: &EbsDefault) -> String {
    match change {
        EbsDefault::Encryption(true) => "switched EBS encryption by default on".to_owned(),
        EbsDefault::Encryption(false) => "switched EBS encryption by default off".to_owned(),
        EbsDefault::Key(new_key) => format!("made key {} the default for EBS", key(new_key.as_ref())),
        EbsDefault::Reset(_) => "reset the default key for EBS to the AWS managed key".to_owned(),
    }
}

fn copied_image(event: &Event, copy: &ImageCopy) -> String {
    let made = resource(copy.image_id.as_ref().or(copy.snapshot_id.as_ref()));
    let from = copy.source_image_id.as_ref().or(copy.source_snapshot_ids.first());
    let from = from.map_or(String::new(), |id| format!(" from {}", short_resource(&cut(id))));
    let under =
        copy.kms_key.as_ref().map_or(String::new(), |written| format!(" under key {}", key(Some(written))));
    format!("made {made}{from}{under} ({})", cut(&event.name))
}

fn changed_volume(change: &VolumeChange) -> String {
    match change {
        VolumeChange::Created { volume_id, kms_key, .. } => {
            let under = kms_key
                .as_ref()
                .map_or(String::new(), |written| format!(" under key {}", key(Some(written))));
            format!("made volume {}{under}", resource(volume_id.as_ref()))
        }
        VolumeChange::Attached { volume_id, instance_id } => format!(
            "attached volume {} to instance {}",
            resource(volume_id.as_ref()),
            resource(instance_id.as_ref())
        ),
        VolumeChange::FromSharedSnapshot { snapshot_id } => {
            format!("made a volume from shared snapshot {}", resource(snapshot_id.as_ref()))
        }
    }
}

fn changed_policy(change: &PolicyChange) -> String {
    let changed = key(change.key.as_ref());
    if change.is_creation {
        format!("made key {changed}")
    } else {
        format!("replaced the policy of key {changed}")
    }
}

fn changed_alias(change: &AliasChange) -> String {
    if change.is_deletion {
        format!("deleted {}", cut(&change.alias))
    } else {
        format!("pointed {} to key {}", cut(&change.alias), key(change.target.as_ref()))
    }
}

fn changed_key_state(change: &KeyStateChange) -> String {
    match &change.deletion_date {
        Some(date) => format!("made key {} {} for {}", key(change.key.as_ref()), change.state, cut(date)),
        None => format!("made key {} {}", key(change.key.as_ref()), change.state),
    }
}

fn changed_selectors(selectors: &EventSelectors) -> String {
    let mut left_out = Vec::new();
    if selectors.no_management_events {
        left_out.push("management events");
    }
    if selectors.excludes_kms {
        left_out.push("KMS events");
    }
    if selectors.write_only {
        left_out.push("read-only events");
    }
    let trail = text(selectors.trail.as_deref().map(short_principal));
    if left_out.is_empty() {
        format!("let trail {trail} record all management events")
    } else {
        format!("told trail {trail} to leave out {}", left_out.join(" and "))
    }
}

/// Who made the call, by name.
fn who(event: &Event) -> String {
    event
        .identity
        .principal()
        .map_or_else(|| "an unnamed caller".to_owned(), |principal| cut(short_principal(principal)))
}

fn key(written: Option<&Text>) -> String {
    written.map_or_else(|| "(not logged)".to_owned(), |written| cut(&named_key(written)))
}

fn resource(id: Option<&Text>) -> String {
    id.map_or_else(|| "(not logged)".to_owned(), |id| short_resource(&cut(id)))
}

fn text<T: AsRef<str>>(value: Option<T>) -> String {
    value.map_or_else(|| "(not logged)".to_owned(), |value| cut(value.as_ref()))
}

fn named_or_id(name: Option<&Text>, id: Option<&Text>) -> String {
    name.map_or_else(|| resource(id), |name| cut(name))
}

fn id_or_named(id: Option<&Text>, name: Option<&Text>) -> String {
    id.map_or_else(|| text(name), |id| short_resource(&cut(id)))
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn first_of(mut all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    let named = all.by_ref().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn cut(logged: &str) -> String {
    limited(logged, LOG_TEXT_CHARACTERS_MAX).into_owned()
}

#[cfg(test)]
mod tests;
