//! What is asserted of one node: its expectation, refusals, encryption, volumes.
//!
//! A node comes in, its assertions go out, in the order of [`Check`]. Volumes attached later are not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::expectation::{self, Configured, Expectation};
use super::{Assertion, Check, Context, Outcome, volume};
use crate::correlate::{
    Confidence, KeyVerdict, Node, Provisioner, TimelineRole, Volume, VolumeOutcome, VolumeRole,
};
use crate::event::{Detail, Id, KmsOperation, Text};
use crate::rules::wording::{count, list, plain};

/// After a refusal, a node that got the key in the end shows its life within this time, in seconds.
const RECOVERY_SECONDS_MAX: i64 = 120;

/// Volumes of a node of EKS Auto Mode.
const AUTO_MODE_VOLUMES: usize = 2;

/// Everything asserted of a node.
pub(super) fn assertions(context: &Context<'_>, node: &Node) -> Vec<Assertion> {
    let configured = context.configured(node);
    let mut expectation = expectation::read(context, node, &configured);
    let mut assertions = std::mem::take(&mut expectation.assertions);
    let refusals = refusals(context, node);
    let is_refused = refusals.iter().any(|assertion| assertion.result == Outcome::Fail);
    assertions.extend(refusals);
    if !is_refused || used_volumes(node) > 0 {
        // Where nothing but a refusal is known, no volume came to be.
        assertions.push(encrypted(context, node, &configured));
    }
    assertions.extend(volume::assertions(context, node, &expectation));
    assertions.extend(device_keys(context, node, &expectation));
    if !is_refused {
        // A launch that was refused a key may have ended before all of its volumes were asked for.
        assertions.extend(volume_count(context, node, &configured));
    }
    let is_passed = assertions.iter().all(|assertion| assertion.result == Outcome::Pass);
    if is_passed && !matches!(node.key_verdict, KeyVerdict::Match | KeyVerdict::NoExpectation) {
        assertions.push(verdict(node));
    }
    assertions
}

/// Two looks at a node that do not agree prove nothing.
fn verdict(node: &Node) -> Assertion {
    let name = serde_json::to_value(node.key_verdict).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("another").to_owned();
    let text = format!("The verdict on its volumes is {name}");
    Assertion::of_node(Check::VolumeKey, node, Some("verdict"), text)
        .inconclusive(
            "no volume by itself shows that the key is not applied, and all of them together do not show that it is",
            "what `keytrail explain` names as missing",
        )
        .awaited(true)
}

/// Volumes of the launch with an outcome.
pub(super) fn launch_volumes(node: &Node) -> impl Iterator<Item = &Volume> {
    node.volumes.iter().filter(|volume| volume.role == Some(VolumeRole::Launch))
}

pub(super) fn used_volumes(node: &Node) -> usize {
    launch_volumes(node).filter(|volume| volume.outcome == VolumeOutcome::Used).count()
}

impl Context<'_> {
    /// Whether records reach so far beyond a launch that what it did at once should be among them.
    fn is_beyond_launch(&self, node: &Node) -> bool {
        node.launched_at.is_some_and(|at| {
            let scope = self.case.coverage.scopes.get(&(node.account_id.clone(), node.region.clone()));
            scope
                .and_then(crate::event::ScopeActivity::last_event)
                .is_some_and(|last| last.second() >= at.second() + RECOVERY_SECONDS_MAX)
        })
    }
}

/// One failure per refused key, or a pass where KMS gave what was asked.
fn refusals(context: &Context<'_>, node: &Node) -> Vec<Assertion> {
    let refused: Vec<&Volume> =
        launch_volumes(node).filter(|volume| volume.outcome != VolumeOutcome::Used).collect();
    if refused.is_empty() {
        return overcome(context, node);
    }
    let is_of_refusal = |rule: &str| rule.starts_with("KT1");
    let findings = context.rules_of(node, is_of_refusal);
    let is_recovered_yet = context.is_beyond_launch(node);
    (1..)
        .zip(refused)
        .map(|(number, volume)| {
            let key = volume.key_arn.as_deref().map_or_else(|| "a key".to_owned(), plain);
            let of = volume.volume_id.as_deref().map_or_else(String::new, |id| format!(" for {}", plain(id)));
            let why = match volume.outcome {
                VolumeOutcome::Denied => "for want of permission",
                _ => "for the key's state: disabled, pending deletion or not found",
            };
            let part = volume.volume_id.as_deref().map_or_else(|| format!("refusal-{number}"), plain);
            let joined = match volume.confidence {
                Confidence::Observed => "",
                Confidence::Inferred => {
                    " (no event names the node: another of the same launch comes into question too)"
                }
            };
            let text = format!("KMS refused {key}{of}, {why}{joined}");
            let mut assertion = Assertion::of_node(Check::KeyNotRefused, node, Some(&part), text).failed();
            assertion.is_final = is_recovered_yet;
            assertion.volume_id.clone_from(&volume.volume_id);
            assertion.key_arn.clone_from(&volume.key_arn);
            assertion.confidence = volume.confidence;
            assertion.evidence.clone_from(&volume.evidence);
            assertion.findings.clone_from(&findings);
            assertion
        })
        .collect()
}

/// Where a node lived or opened its volumes although KMS refused something at first: whether it gave the same keys
/// in the end. A key that it never gave is one that EC2 asked for, and some volume may be without it.
fn overcome(context: &Context<'_>, node: &Node) -> Vec<Assertion> {
    let events =
        || node.timeline.iter().map(|entry| (entry.role, &context.case.events[entry.event as usize]));
    let launches: BTreeSet<&Id> = events()
        .filter(|(_, event)| matches!(event.detail, Detail::Launch(_) | Detail::Fleet(_)))
        .filter_map(|(_, event)| event.request_id.as_ref())
        .collect();
    // What a storage driver was given later, for a volume of its own, the launch was not given.
    let of_volumes: BTreeSet<&Id> = launch_volumes(node).flat_map(|volume| &volume.evidence).collect();
    let mut given: BTreeSet<&Text> = BTreeSet::new();
    let mut refused: BTreeMap<&Text, Vec<Id>> = BTreeMap::new();
    let mut is_refused = false;
    for (role, event) in events() {
        let Detail::Kms(kms) = &event.detail else { continue };
        let is_of_launch = event.request_id.as_ref().is_some_and(|id| launches.contains(id));
        if event.error.is_none() && (is_of_launch || of_volumes.contains(&event.event_id)) {
            given.extend(kms.key_arn.iter().chain(&kms.source_key_arn));
        }
        let is_needed = match kms.operation {
            KmsOperation::Decrypt => event.identity.instance_id.is_some(),
            KmsOperation::DescribeKey | KmsOperation::RetireGrant | KmsOperation::RevokeGrant => false,
            _ => true,
        };
        if role == TimelineRole::Refusal && is_needed && is_of_launch {
            is_refused = true;
            if let Some(key) = &kms.key_arn {
                refused.entry(key).or_default().push(event.event_id.clone());
            }
        }
    }
    refused.retain(|key, _| !given.contains(*key));
    if refused.is_empty() {
        if used_volumes(node) == 0 {
            return Vec::new();
        }
        let text =
            if is_refused { "KMS gave every key that it refused at first" } else { "KMS refused no key" };
        return vec![Assertion::of_node(Check::KeyNotRefused, node, None, text.to_owned())];
    }
    (1..)
        .zip(refused)
        .map(|(number, (key, evidence))| {
            let text = format!("KMS refused {} to the launch, and the node came up all the same", plain(key));
            let part = format!("refusal-{number}");
            let mut assertion = Assertion::of_node(Check::KeyNotRefused, node, Some(&part), text);
            assertion.key_arn = Some(key.clone());
            assertion.evidence = evidence;
            assertion
                .inconclusive(
                    "the archive does not show that the key was given afterwards, nor what became of the volume that \
                     it was for",
                    "the KMS events of the same minutes, or DescribeVolumes",
                )
                .awaited(true)
        })
        .collect()
}

/// Whether the volumes are encrypted at all, as far as KMS was asked.
fn encrypted(context: &Context<'_>, node: &Node, configured: &Configured<'_>) -> Assertion {
    let used = used_volumes(node);
    if used > 0 {
        let text = format!("KMS gave keys to {}", count(used, "volume"));
        let mut assertion = Assertion::of_node(Check::Encrypted, node, None, text);
        assertion.evidence =
            evidence_of(launch_volumes(node).filter(|volume| volume.outcome == VolumeOutcome::Used));
        return assertion;
    }
    let assertion = Assertion::of_node(
        Check::Encrypted,
        node,
        None,
        "No KMS event shows that a volume of the launch is encrypted".to_owned(),
    );
    let launched = node.launched_at.unwrap_or_default();
    let is_settled = context.is_settled(&node.account_id, &node.region, launched);
    if node.key_verdict == KeyVerdict::Unencrypted && is_settled {
        let mut failed = assertion.failed();
        failed.text =
            "The launch made no use of KMS, in an archive that shows other launches' use of it: its volumes \
                       are not encrypted"
                .to_owned();
        failed.confidence = Confidence::Inferred;
        failed.is_final = false;
        failed.findings = context.rules_of(node, |rule| rule == "KT207");
        let findings = context.of_node.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
        failed.evidence = findings
            .iter()
            .filter(|finding| finding.rule == "KT207")
            .flat_map(|finding| finding.evidence.clone())
            .collect();
        return failed;
    }
    no_evidence(context, node, configured, assertion, is_settled)
}

/// Why there is no KMS evidence of a launch.
fn no_evidence(
    context: &Context<'_>,
    node: &Node,
    configured: &Configured<'_>,
    mut assertion: Assertion,
    is_settled: bool,
) -> Assertion {
    let place = format!("{}/{}", node.account_id, node.region);
    let absent =
        context.findings.iter().find(|finding| finding.rule == "KT501" && *finding.subject.id == *place);
    if let Some(absent) = absent {
        assertion.findings = vec!["KT501"];
        assertion.evidence = absent.evidence.iter().take(20).cloned().collect();
        // Until the records of the time after the launch are there, KMS events may only be late.
        let is_told = absent.confidence == Confidence::Observed;
        return assertion
            .inconclusive(
                format!("the archive holds no KMS events of launches: {}", absent.title),
                "a trail that records management events of KMS, reads too (ReadWriteType All, nothing excluded)",
            )
            .awaited(!is_told);
    }
    let throttled: Vec<Id> = node
        .timeline
        .iter()
        .filter(|entry| entry.role == TimelineRole::Throttled)
        .map(|entry| context.case.events[entry.event as usize].event_id.clone())
        .collect();
    if !throttled.is_empty() {
        assertion.evidence = throttled;
        return assertion
            .inconclusive(
                "KMS throttled the calls of the launch, and the archive does not show that they were made again",
                "a launch that KMS does not throttle",
            )
            .awaited(true);
    }
    if !is_settled {
        return assertion
            .inconclusive(
                "the archive ends less than 15 minutes after the launch: CloudTrail may not have delivered its KMS \
                 events yet",
                "the records of the next minutes: CloudTrail delivers within about 5 minutes, sometimes 15 or more \
                 (--wait 15m)",
            )
            .awaited(true);
    }
    let says_no = configured.mappings().any(|mapping| mapping.encrypted == Some(false));
    let also = if says_no { "; its launch template says encrypted: false" } else { "" };
    assertion
        .inconclusive(
            format!(
                "the archive holds no KMS event of the launch, and nothing that shows that the trail would have \
                 recorded one{also}"
            ),
            "the KMS events of the same time (reads too), or DescribeVolumes",
        )
        .awaited(true)
}

/// Where devices have different keys: CloudTrail does not say which volume is which device, but how many volumes
/// each key must have.
fn device_keys(context: &Context<'_>, node: &Node, expectation: &Expectation) -> Option<Assertion> {
    if node.expected_key.is_some() || expectation.keys.len() < 2 || expectation.unresolved > 0 {
        return None;
    }
    let keys = list(expectation.keys.iter(), 4);
    let text = format!("The devices ask for {keys}");
    let mut assertion = Assertion::of_node(Check::DeviceKeys, node, None, text);
    let is_wanted = |rule: &str| matches!(rule, "KT201" | "KT202" | "KT203" | "KT208");
    let volumes = launch_volumes(node).filter(|volume| volume.outcome == VolumeOutcome::Used);
    assertion.evidence = evidence_of(volumes);
    match node.key_verdict {
        KeyVerdict::Match => {
            assertion.text.push_str(", and each has its volume");
            Some(assertion)
        }
        KeyVerdict::Mismatch => {
            assertion.text.push_str(&format!(
                "; the volumes are under {}",
                list(launch_volumes(node).filter_map(|volume| volume.key_arn.as_ref()), 4)
            ));
            assertion.findings = context.rules_of(node, is_wanted);
            Some(assertion.failed())
        }
        _ => None,
    }
}

/// Whether as many volumes are evidenced as the configuration made.
fn volume_count(context: &Context<'_>, node: &Node, configured: &Configured<'_>) -> Option<Assertion> {
    let used = used_volumes(node);
    if used == 0 {
        // That is told already.
        return None;
    }
    let Some(mapped) = mapped_devices(context, node, configured) else {
        return unknown_count(context, node, used);
    };
    let unmapped = unmapped_device(context, node, configured, &mapped);
    let wanted = mapped.len() + usize::from(unmapped.is_some());
    let text = format!("{} with KMS evidence, {wanted} expected", count(used, "volume"));
    let mut assertion = Assertion::of_node(Check::VolumeCount, node, None, text);
    if let Some(template) = &configured.template {
        let events = template.events.iter().map(|event| &context.case.events[*event as usize]);
        assertion.evidence = events.map(|event| event.event_id.clone()).collect();
    }
    if used >= wanted {
        return Some(assertion);
    }
    let is_settled =
        node.launched_at.is_some_and(|at| context.is_settled(&node.account_id, &node.region, at));
    let plain_devices: Vec<String> = configured
        .mappings()
        .filter(|mapping| mapping.encrypted == Some(false) && mapping.kms_key.is_none())
        .map(|mapping| mapping.device.as_deref().map_or_else(|| "a device".to_owned(), plain))
        .collect();
    if is_settled && used + plain_devices.len() >= wanted && !plain_devices.is_empty() {
        assertion.text = format!(
            "The launch template says encrypted: false for {}, and KMS was not asked for it: that volume is not \
             encrypted",
            list(plain_devices, 4)
        );
        assertion.confidence = Confidence::Inferred;
        let mut failed = assertion.failed();
        failed.is_final = false;
        return Some(failed);
    }
    let why = match unmapped {
        Some(device) if used + 1 == wanted => format!(
            "{device} is not among the configured devices: its volume comes from the image, and KMS was not asked for \
             it; it may be unencrypted"
        ),
        _ => "the KMS events of a volume are missing: it may be unencrypted, or its events are lost or late"
            .to_owned(),
    };
    Some(
        assertion
            .inconclusive(
                why,
                "the KMS events of each volume, or DescribeVolumes; map every device of the image with encrypted: true \
                 and the key",
            )
            .awaited(true),
    )
}

/// Where nothing says how many volumes the launch made: whether there is a sign that one is missing.
fn unknown_count(context: &Context<'_>, node: &Node, used: usize) -> Option<Assertion> {
    let text = format!("{} with KMS evidence; how many were configured is not known", count(used, "volume"));
    let assertion = Assertion::of_node(Check::VolumeCount, node, None, text);
    let most = context.volumes_max.get(&image_of(node)?).copied().unwrap_or_default();
    if used < most {
        return Some(
            assertion
                .inconclusive(
                    format!("another node of the same launch template and image has {most}"),
                    "the KMS events of each volume, or the configuration (--nodeclass, --terraform)",
                )
                .awaited(true),
        );
    }
    (!context.is_beyond_launch(node)).then(|| {
        assertion
            .inconclusive(
                "the archive ends less than two minutes after the launch: the KMS events of another volume may come",
                "the records of the next minutes (--wait 15m), or the configuration (--nodeclass, --terraform)",
            )
            .awaited(true)
    })
}

/// What nodes with equally many volumes have in common: launch template, its version, image.
pub(super) type Image<'a> = (Option<&'a Text>, Option<&'a Text>, Option<&'a Text>);

pub(super) fn image_of(node: &Node) -> Option<Image<'_>> {
    node.launched_at?;
    let template = node.launch_template.as_ref();
    Some((
        template.map(|template| &template.id),
        template.and_then(|template| template.version.as_ref()),
        node.image_id.as_ref(),
    ))
}

/// Devices that the configuration maps, by name where it has one; `None` where no configuration is known.
fn mapped_devices(
    context: &Context<'_>,
    node: &Node,
    configured: &Configured<'_>,
) -> Option<Vec<Option<Text>>> {
    let of_template: Option<Vec<Option<Text>>> = configured
        .template
        .as_ref()
        .map(|_| configured.mappings().map(|mapping| mapping.device.clone()).collect());
    let of_class = context.node_class_devices(node);
    // Its node class says nothing of devices: there is always one for the system and one for data.
    let is_auto_mode = node.provisioner == Provisioner::EksAutoMode;
    let of_class = if is_auto_mode { Some(vec![None; AUTO_MODE_VOLUMES]) } else { of_class };
    match (of_template, of_class) {
        // The manifest may be newer than the launch: none of what either names may be missing.
        (Some(template), Some(class)) if class.len() > template.len() => Some(class),
        (Some(template), _) => Some(template),
        (None, class) => class,
    }
}

/// A device that the image has and the configuration does not map.
fn unmapped_device(
    context: &Context<'_>,
    node: &Node,
    configured: &Configured<'_>,
    mapped: &[Option<Text>],
) -> Option<String> {
    // Without any mapping Karpenter uses those of the AMI family; a device without a name may be any.
    if mapped.is_empty() || mapped.iter().any(Option::is_none) {
        return None;
    }
    let is_mapped = |device: &str| mapped.iter().flatten().any(|name| **name == *device);
    if let Some(instance) = configured.instance
        && !instance.has_instance_store_root
        && let Some(root) = instance.root_device.as_deref()
        && !is_mapped(root)
    {
        return Some(format!("the root device {}", plain(root)));
    }
    let bottlerocket = context.is_bottlerocket(node);
    let missing = ["/dev/xvda", "/dev/xvdb"].into_iter().find(|device| !is_mapped(device));
    missing.filter(|_| bottlerocket).map(|device| format!("Bottlerocket's {device}"))
}

pub(super) fn evidence_of<'a>(volumes: impl Iterator<Item = &'a Volume>) -> Vec<Id> {
    let mut seen = std::collections::HashSet::new();
    volumes.flat_map(|volume| &volume.evidence).filter(|id| seen.insert((*id).clone())).cloned().collect()
}
