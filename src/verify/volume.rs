//! Whether each volume of a launch is under an expected key, and if not, whose key it is under.

use super::expectation::{Expectation, source_words};
use super::node::launch_volumes;
use super::{Assertion, Check, Context};
use crate::correlate::{Confidence, KeyOrigin, KeySource, Node, Volume, VolumeOutcome, is_same_key};
use crate::event::{KeyArn, Text};
use crate::rules::wording::{list, plain};

/// One assertion per volume of the launch that came to be.
pub(super) fn assertions(context: &Context<'_>, node: &Node, expectation: &Expectation) -> Vec<Assertion> {
    let used: Vec<&Volume> =
        launch_volumes(node).filter(|volume| volume.outcome == VolumeOutcome::Used).collect();
    let is_expected = |key: &Text| {
        expectation.keys.iter().chain(&expectation.default_key).any(|expected| is_same_key(expected, key))
    };
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
                return expected(volume, assertion);
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

fn expected(volume: &Volume, assertion: Assertion) -> Assertion {
    if volume.confidence == Confidence::Observed {
        return assertion;
    }
    // That some volume of some node is under the right key proves nothing for this one.
    assertion
        .inconclusive(
            "no event names this volume and this node together: it may be another node's",
            "the CreateGrant event for the instance, or its Decrypt",
        )
        .awaited(true)
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
