//! Whether each volume of a launch is under an expected key, and if not, whose key it is under.

use super::expectation::{Expectation, source_words};
use super::node::launch_volumes;
use super::{Assertion, Check, Context};
use crate::correlate::{
    Confidence, KeyOrigin, KeySource, Node, TimelineRole, Volume, VolumeOutcome, is_same_key,
};
use crate::event::{Detail, KeyArn, Text};
use crate::rules::wording::{count, list, plain};

/// One assertion per volume of the launch that came to be.
pub(super) fn assertions(context: &Context<'_>, node: &Node, expectation: &Expectation) -> Vec<Assertion> {
    let used: Vec<&Volume> =
        launch_volumes(node).filter(|volume| volume.outcome == VolumeOutcome::Used).collect();
    let is_expected = |key: &Text| {
        expectation.keys.iter().chain(&expectation.default_key).any(|expected| is_same_key(expected, key))
    };
    let crowded = crowded(expectation, &used);
    let unexpected =
        used.iter().filter(|volume| volume.key_arn.as_ref().is_some_and(|key| !is_expected(key))).count();
    (1..)
        .zip(used)
        .map(|(number, volume)| {
            let part = volume.volume_id.as_deref().map_or_else(|| format!("volume-{number}"), plain);
            let name = volume.volume_id.as_deref().map_or_else(|| "A volume".to_owned(), plain);
            let mut assertion = Assertion::of_node(Check::VolumeKey, node, Some(&part), String::new());
            assertion.volume_id.clone_from(&volume.volume_id);
            assertion.key_arn.clone_from(&volume.key_arn);
            assertion.evidence.clone_from(&volume.evidence);
            assertion.confidence = volume.confidence;
            assertion.expected_key = match &*expectation.keys {
                [only] => Some(only.clone()),
                [first, rest @ ..] if rest.iter().all(|key| is_same_key(key, first)) => Some(first.clone()),
                _ => None,
            };
            assertion.location = node.expected_keys.iter().find_map(|device| context.location(node, device));
            let Some(key) = &volume.key_arn else {
                let named = named_keys(context, volume);
                if named.len() > 1 {
                    assertion.text = format!("The archive names different keys for {name}: {}", list(named, 4));
                    return assertion.inconclusive(
                        "a volume has one key: its events contradict each other",
                        "a copy of the objects that is known to be whole (keytrail validate), or DescribeVolumes",
                    );
                }
                assertion.text = format!("{name} is under a key that the archive does not name");
                return assertion
                    .inconclusive(
                        "no event of the volume names its key",
                        "its GenerateDataKeyWithoutPlaintext or CreateGrant event",
                    )
                    .awaited(true);
            };
            if is_expected(key) {
                let is_named = expectation.keys.iter().any(|expected| is_same_key(expected, key));
                let as_what = if is_named { "the expected key" } else { "the account's default key" };
                assertion.text = format!("{name} is under {as_what} {}", plain(key));
                return match crowded {
                    Some(Crowded::Default) if !is_named => {
                        assertion.text =
                            format!("{}; {}", assertion.text, instead_of(node, expectation, key));
                        assertion.text.push_str(&too_many(expectation));
                        assertion.findings = context.rules_of(node, |rule| matches!(rule, "KT201" | "KT208"));
                        assertion.failed()
                    }
                    Some(Crowded::Named) if is_named => assertion.inconclusive(
                        "more volumes are under it than devices ask for it: one of them should be under the \
                         account's default key",
                        "name the key of each device in the node class",
                    ),
                    _ => expected(context, node, volume, assertion),
                };
            }
            assertion.text = format!("{name} is under {}{}", plain(key), whose(context, node, volume, key));
            if expectation.unresolved > 0 {
                return assertion.inconclusive(
                    "an expected key is not resolved: it may be this one",
                    "what the expectation lacks (see key-expected)",
                );
            }
            if unexpected <= expectation.free || expectation.keys.is_empty() {
                return assertion.inconclusive(
                    "no key is named for this volume to compare it with",
                    "name the key in the node class, or say with --expect-key which key is meant",
                );
            }
            assertion.findings = context.rules_of(node, |rule| {
                matches!(rule, "KT201" | "KT202" | "KT203" | "KT205" | "KT206" | "KT208")
            });
            assertion.text = format!("{}; {}", assertion.text, instead_of(node, expectation, key));
            assertion.failed()
        })
        .collect()
}

/// Which key more volumes are under than devices may be.
#[derive(Clone, Copy)]
enum Crowded {
    /// The account's default, which only devices without a key may have.
    Default,
    /// A key that devices name, in the place of the account's default.
    Named,
}

/// Where some devices name a key and others leave it to the account's default: CloudTrail does not say which volume
/// is which device, but each key has so many of them.
fn crowded(expectation: &Expectation, used: &[&Volume]) -> Option<Crowded> {
    let default = expectation.default_key.as_ref()?;
    let is_default_named = expectation.keys.iter().any(|key| is_same_key(key, default));
    if expectation.keys.is_empty() || is_default_named {
        return None;
    }
    let (mut by_default, mut named) = (0, 0);
    for key in used.iter().filter_map(|volume| volume.key_arn.as_ref()) {
        by_default += usize::from(is_same_key(key, default));
        named += usize::from(expectation.keys.iter().any(|expected| is_same_key(expected, key)));
    }
    if by_default > expectation.free {
        Some(Crowded::Default)
    } else {
        (named > expectation.keys.len()).then_some(Crowded::Named)
    }
}

fn too_many(expectation: &Expectation) -> String {
    format!(" for all but {}", count(expectation.free, "device"))
}

fn expected(context: &Context<'_>, node: &Node, volume: &Volume, assertion: Assertion) -> Assertion {
    if volume.confidence == Confidence::Observed {
        if context.is_opened(node, volume) {
            return assertion;
        }
        return assertion
            .inconclusive(
                "the archive shows that its data key was made, and not that the volume was opened with it: the \
                 launch may have failed then",
                "its CreateGrant event, its Decrypt, or the node's registration",
            )
            .awaited(true);
    }
    // That some volume of some node is under the right key proves nothing for this one.
    assertion
        .inconclusive(
            "no event names this volume and this node together: it may be another node's",
            "the CreateGrant event for the instance, or its Decrypt",
        )
        .awaited(true)
}

impl Context<'_> {
    /// Whether more is known of a volume than that EC2 asked for its data key: a grant on its key, its opening, or
    /// a sign of the node's life, for which all of its volumes are needed.
    fn is_opened(&self, node: &Node, volume: &Volume) -> bool {
        node.timeline.iter().any(|entry| {
            let event = &self.case.events[entry.event as usize];
            event.error.is_none()
                && match entry.role {
                    TimelineRole::Registration | TimelineRole::VolumeAttached => true,
                    TimelineRole::Grant | TimelineRole::VolumeOpened => {
                        volume.evidence.contains(&event.event_id)
                    }
                    _ => false,
                }
        })
    }
}

/// Keys that events of a volume name.
fn named_keys<'a>(context: &Context<'a>, volume: &Volume) -> Vec<&'a Text> {
    let events = volume.evidence.iter().flat_map(|id| context.events_of(id));
    let mut keys: Vec<&Text> = events
        .filter(|event| event.error.is_none())
        .filter_map(|event| match &event.detail {
            Detail::Kms(kms) => kms.key_arn.as_ref(),
            _ => None,
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Whose key a volume is under, in words.
fn whose(context: &Context<'_>, node: &Node, volume: &Volume, key: &str) -> String {
    match volume.key_origin {
        KeyOrigin::AwsManaged => ", the AWS managed key of EBS (alias/aws/ebs)".to_owned(),
        KeyOrigin::AccountDefault => ", the account's default key for EBS".to_owned(),
        KeyOrigin::AmiSnapshot => ", the key of the image's snapshot".to_owned(),
        KeyOrigin::ClusterSecrets => ", the key of the cluster's secrets".to_owned(),
        KeyOrigin::Configured => {
            let is_template = context.configured(node).template.is_some();
            let by_others = node
                .expected_keys
                .iter()
                .all(|device| matches!(device.key.source, KeySource::Flag | KeySource::NodeClass));
            if is_template && by_others {
                ", the key that its launch template named as of the launch".to_owned()
            } else {
                String::new()
            }
        }
        KeyOrigin::Other | KeyOrigin::Unknown => {
            let names = context.case.keys.iter().find(|known| *known.key_arn == *key);
            match names.map(|known| known.aliases.as_slice()) {
                Some(aliases @ [_, ..]) => format!(" ({})", list(aliases, 3)),
                _ => String::new(),
            }
        }
    }
}

/// What was expected instead, and what the difference is where the ids alone do not show it.
fn instead_of(node: &Node, expectation: &Expectation, key: &str) -> String {
    let source =
        node.expected_keys.first().map_or("the configuration", |device| source_words(device.key.source));
    let mut asked: Vec<&Text> = expectation.keys.iter().collect();
    asked.dedup();
    let asks = format!("{source} asks for {}", list(asked, 4));
    let Some(used) = KeyArn::parse(key) else {
        return asks;
    };
    let wanted: Vec<KeyArn<'_>> = expectation.keys.iter().filter_map(|key| KeyArn::parse(key)).collect();
    if let Some(replica) =
        wanted.iter().find(|wanted| wanted.resource == used.resource && wanted.account_id == used.account_id)
    {
        return format!(
            "{asks}: another region's key of the same id, in {} and not in {}",
            plain(used.region),
            plain(replica.region)
        );
    }
    if !wanted.is_empty() && wanted.iter().all(|wanted| wanted.account_id != used.account_id) {
        return format!(
            "{asks}: a key of another account, {} and not {}",
            plain(used.account_id),
            list(unique(wanted.iter().map(|wanted| wanted.account_id)), 3)
        );
    }
    if !wanted.is_empty() && wanted.iter().all(|wanted| wanted.region != used.region) {
        return format!(
            "{asks}: a key of another region, {} and not {}",
            plain(used.region),
            list(unique(wanted.iter().map(|wanted| wanted.region)), 3)
        );
    }
    asks
}

fn unique<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut unique: Vec<&str> = texts.collect();
    unique.sort_unstable();
    unique.dedup();
    unique
}
