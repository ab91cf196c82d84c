//! What a call was about, as OCSF resources: keys, volumes, instances, templates.
//!
//! An event comes in, its resources go out, each once, in the order in which the event names them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::event::{Detail, Event, KeyArn, KmsUse, Text, VolumeChange};

/// Resources of one event before the rest is left out: a fleet may make a thousand instances.
const RESOURCES_MAX: usize = 100;
const INSTANCE: &str = "AWS::EC2::Instance";
const KEY: &str = "AWS::KMS::Key";
const SNAPSHOT: &str = "AWS::EC2::Snapshot";
const TEMPLATE: &str = "AWS::EC2::LaunchTemplate";
const VOLUME: &str = "AWS::EC2::Volume";

/// A resource of an event.
#[derive(Serialize)]
pub(super) struct Resource<'a> {
    pub(super) uid: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
}

#[derive(Serialize)]
struct Owner<'a> {
    account: Account<'a>,
}

/// An AWS account.
#[derive(Serialize)]
pub(super) struct Account<'a> {
    uid: &'a str,
    type_id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> Account<'a> {
    pub(super) fn aws(uid: &'a str) -> Self {
        Self { uid, type_id: 10, kind: "AWS Account" }
    }
}

/// The resources that an event names.
pub(super) fn resources(event: &Event) -> Vec<Resource<'_>> {
    let mut found: Vec<(&'static str, &str)> = Vec::new();
    match &event.detail {
        Detail::Kms(kms) => of_kms(kms, &mut found),
        Detail::Launch(launch) => {
            note(&mut found, TEMPLATE, launch.template_id.as_ref());
            found.extend(launch.instances.iter().map(|own| (INSTANCE, &*own.instance_id)));
        }
        Detail::Fleet(fleet) => {
            note(&mut found, "AWS::EC2::EC2Fleet", fleet.fleet_id.as_ref());
            found.extend(fleet.instances.iter().map(|own| (INSTANCE, &*own.instance_id)));
        }
        Detail::LaunchTemplate(template) => note(&mut found, TEMPLATE, template.template_id.as_ref()),
        Detail::LaunchTemplateDefault(change) => note(&mut found, TEMPLATE, change.template_id.as_ref()),
        Detail::Tagging { resources, .. } => found.extend(resources.iter().map(|id| (kind_of(id), &**id))),
        Detail::Termination(instances) | Detail::Stop(instances) | Detail::Start(instances) => {
            found.extend(instances.iter().map(|own| (INSTANCE, &*own.instance_id)));
        }
        Detail::SpotInterruption(instances) => found.extend(instances.iter().map(|id| (INSTANCE, &**id))),
        Detail::NetworkInterfaceDeletion { network_interface_id } => {
            note(&mut found, "AWS::EC2::NetworkInterface", network_interface_id.as_ref());
        }
        Detail::AutoScalingTermination { instance_id } => note(&mut found, INSTANCE, instance_id.as_ref()),
        Detail::EbsDefault(_) => {}
        Detail::ImageCopy(copy) => {
            note(&mut found, "AWS::EC2::Image", copy.image_id.as_ref());
            note(&mut found, SNAPSHOT, copy.snapshot_id.as_ref());
            note(&mut found, KEY, copy.kms_key.as_ref());
        }
        Detail::Volume(VolumeChange::Created { volume_id, kms_key, snapshot_id }) => {
            note(&mut found, VOLUME, volume_id.as_ref());
            note(&mut found, KEY, kms_key.as_ref());
            note(&mut found, SNAPSHOT, snapshot_id.as_ref());
        }
        Detail::Volume(VolumeChange::Attached { volume_id, instance_id }) => {
            note(&mut found, VOLUME, volume_id.as_ref());
            note(&mut found, INSTANCE, instance_id.as_ref());
        }
        Detail::Volume(VolumeChange::FromSharedSnapshot { snapshot_id }) => {
            note(&mut found, SNAPSHOT, snapshot_id.as_ref());
        }
        Detail::Policy(change) => note(&mut found, KEY, change.key.as_ref()),
        Detail::Alias(change) => {
            found.push(("AWS::KMS::Alias", &change.alias));
            note(&mut found, KEY, change.target.as_ref());
        }
        Detail::KeyState(change) => note(&mut found, KEY, change.key.as_ref()),
        Detail::ClusterSecrets { cluster, key } => {
            note(&mut found, "AWS::EKS::Cluster", cluster.as_ref());
            note(&mut found, KEY, key.as_ref());
        }
        Detail::Selectors(selectors) => note(&mut found, "AWS::CloudTrail::Trail", selectors.trail.as_ref()),
    }
    let mut known = BTreeSet::new();
    found
        .into_iter()
        .filter(|(_, uid)| !uid.is_empty() && known.insert(*uid))
        .take(RESOURCES_MAX)
        .map(|(kind, uid)| resource(kind, uid))
        .collect()
}

fn of_kms<'a>(kms: &'a KmsUse, found: &mut Vec<(&'static str, &'a str)>) {
    note(found, KEY, kms.key_arn.as_ref().or(kms.requested_key.as_ref()));
    note(found, KEY, kms.source_key_arn.as_ref());
    note(found, VOLUME, kms.volume_id.as_ref());
    note(found, SNAPSHOT, kms.snapshot_id.as_ref());
    note(found, INSTANCE, kms.grantee_instance_id.as_ref());
}

fn note<'a>(found: &mut Vec<(&'static str, &'a str)>, kind: &'static str, uid: Option<&'a Text>) {
    found.extend(uid.map(|uid| (kind, &**uid)));
}

/// The type of a tagged resource, by its id.
fn kind_of(id: &str) -> &'static str {
    match id.split_once('-').map(|(kind, _)| kind) {
        Some("i") => INSTANCE,
        Some("vol") => VOLUME,
        Some("snap") => SNAPSHOT,
        Some("lt") => TEMPLATE,
        Some("eni") => "AWS::EC2::NetworkInterface",
        Some("ami") => "AWS::EC2::Image",
        _ => "Other",
    }
}

fn resource<'a>(kind: &'static str, uid: &'a str) -> Resource<'a> {
    // A key is often another account's, and says so in its ARN.
    let arn = KeyArn::parse(uid);
    Resource {
        uid,
        kind,
        region: arn.as_ref().map(|arn| arn.region),
        owner: arn.map(|arn| Owner { account: Account::aws(arn.account_id) }),
    }
}
