//! Which key a node's volumes should be under, as far as its configuration says.
//!
//! A node comes in; its expected keys go out with one assertion per device: resolved, named but not resolved, or not
//! named at all. A key that nobody named is never taken for expected, but where the archive shows that the account's
//! default for EBS was set to it before the launch.

use super::{Assertion, Check, Context, Location};
use crate::correlate::{Confidence, ConfiguredMappings, DefaultKey, DeviceKey, KeySource, Node, WrittenKey};
use crate::event::{BlockDevice, Detail, Id, LaunchedInstance, Text};
use crate::manifest::{Encryption, LaunchTemplate};
use crate::rules::wording::plain;

const NAME_THE_KEY: &str = "name the key (kmsKeyID of the node class's blockDeviceMappings), or say with --expect-key which key is meant";

/// What is expected of one node's volumes.
pub(super) struct Expectation {
    /// Resolved keys, one per device that names one.
    pub(super) keys: Vec<Text>,
    /// The account's default key as of the launch, where a device names no key and the archive shows the default.
    pub(super) default_key: Option<Text>,
    /// Devices that name no key.
    pub(super) free: usize,
    /// Devices that name a key which does not resolve.
    pub(super) unresolved: usize,
    /// One per device, or one for the node where nothing is configured.
    pub(super) assertions: Vec<Assertion>,
}

/// What the archive shows of a node's configuration, whatever was expected.
pub(super) struct Configured<'a> {
    /// Its launch template's mappings.
    pub(super) template: Option<ConfiguredMappings>,
    /// The instance, as RunInstances answered.
    pub(super) instance: Option<&'a LaunchedInstance>,
}

impl Configured<'_> {
    /// The launch template's EBS mappings.
    pub(super) fn mappings(&self) -> impl Iterator<Item = &BlockDevice> {
        self.template.iter().flat_map(|template| &template.mappings).filter(|mapping| mapping.is_ebs)
    }
}

impl<'a> Context<'a> {
    pub(super) fn configured(&self, node: &Node) -> Configured<'a> {
        let template = node.launch_template.as_ref().zip(node.launched_at).and_then(|(template, at)| {
            self.case.history.mappings(&template.id, template.version.as_deref(), at)
        });
        let instance =
            node.timeline.iter().find_map(|entry| match &self.case.events[entry.event as usize].detail {
                Detail::Launch(launch) => {
                    launch.instances.iter().find(|instance| instance.instance_id == node.instance_id)
                }
                _ => None,
            });
        Configured { template, instance }
    }

    /// Whether the node has no EBS volume at all: its root is on instance store, and its template maps none.
    pub(super) fn is_without_volumes(&self, node: &Node) -> bool {
        if !node.volumes.is_empty() {
            return false;
        }
        let configured = self.configured(node);
        configured.instance.is_some_and(|instance| instance.has_instance_store_root)
            && configured.template.is_some()
            && configured.mappings().next().is_none()
            && self.node_class_mappings(node).is_none_or(|count| count == 0)
    }

    fn event_id(&self, index: u32) -> Id {
        self.case.events[index as usize].event_id.clone()
    }
}

/// Reads the expectation of a node.
pub(super) fn read(context: &Context<'_>, node: &Node, configured: &Configured<'_>) -> Expectation {
    let mut expectation =
        Expectation { keys: Vec::new(), default_key: None, free: 0, unresolved: 0, assertions: Vec::new() };
    let is_by_flag = node.expected_keys.iter().any(|device| device.key.source == KeySource::Flag);
    if let Some(template) = context.other_version(node).filter(|_| !is_by_flag) {
        expectation.assertions.push(other_version(node, template));
    } else if node.expected_keys.is_empty() {
        expectation.assertions.push(nothing_configured(context, node, configured));
    }
    for (index, device) in node.expected_keys.iter().enumerate() {
        let part = match &device.device {
            Some(name) => Some(plain(name)),
            None if node.expected_keys.len() > 1 => Some(format!("device-{}", index + 1)),
            None => None,
        };
        let assertion = match (&device.key.written, &device.key.key_arn) {
            (Some(written), Some(arn)) => {
                expectation.keys.push(arn.clone());
                resolved(context, node, device, part.as_deref(), (written, arn))
            }
            (Some(written), None) => {
                expectation.unresolved += 1;
                unresolved(context, node, device, part.as_deref(), written)
            }
            (None, _) => {
                expectation.free += 1;
                let (assertion, default) = unnamed(context, node, device, part.as_deref(), configured);
                expectation.default_key = expectation.default_key.or(default);
                assertion
            }
        };
        let mut assertion = assertion;
        assertion.device = device.device.clone();
        assertion.location = context.location(node, device);
        expectation.assertions.push(assertion);
    }
    expectation
}

/// `the launch template`, `--expect-key`, `the node class`.
pub(super) fn source_words(source: KeySource) -> &'static str {
    match source {
        KeySource::Flag => "--expect-key",
        KeySource::NodeClass => "the node class",
        KeySource::LaunchTemplate => "the launch template",
    }
}

fn for_device(device: &DeviceKey) -> String {
    device.device.as_deref().map_or_else(String::new, |name| format!(" for {}", plain(name)))
}

fn resolved(
    context: &Context<'_>,
    node: &Node,
    device: &DeviceKey,
    part: Option<&str>,
    (written, arn): (&Text, &Text),
) -> Assertion {
    let written_as = if written == arn {
        String::new()
    } else if is_told(context, node, written) {
        format!(" (written as {}, which --alias or Terraform resolves)", plain(written))
    } else {
        format!(" (written as {})", plain(written))
    };
    let source = source_words(device.key.source);
    let text = format!("{source} asks for {}{written_as}{}", plain(arn), for_device(device));
    let mut assertion = Assertion::of_node(Check::KeyExpected, node, part, capital(&text));
    assertion.expected_key = Some(arn.clone());
    assertion.evidence.clone_from(&device.key.evidence);
    assertion
}

/// Whether an alias is resolved by what the user gave, for want of an event that says so.
fn is_told(context: &Context<'_>, node: &Node, written: &str) -> bool {
    let alias = WrittenKey::read(written, &node.account_id, &node.region);
    let (WrittenKey::Alias { name, .. }, Some(at)) = (&alias, node.launched_at) else {
        return false;
    };
    let is_alias = |given: &Text| WrittenKey::read(given, &node.account_id, &node.region) == alias;
    let is_requested = node.timeline.iter().any(|entry| {
        matches!(&context.case.events[entry.event as usize].detail,
            Detail::Kms(kms) if kms.requested_key.as_ref().is_some_and(is_alias))
    });
    !is_requested && &**name != "alias/aws/ebs" && context.case.history.alias_target(&alias, at).is_none()
}

fn unresolved(
    context: &Context<'_>,
    node: &Node,
    device: &DeviceKey,
    part: Option<&str>,
    written: &Text,
) -> Assertion {
    let source = source_words(device.key.source);
    let text = format!("{source} asks for {}{}", plain(written), for_device(device));
    let mut assertion = Assertion::of_node(Check::KeyExpected, node, part, capital(&text));
    assertion.expected_key = Some(written.clone());
    assertion.evidence.clone_from(&device.key.evidence);
    if let Some((why, remedy)) = context.why_unwritten(node, device) {
        return assertion.inconclusive(why, remedy);
    }
    let is_alias =
        matches!(WrittenKey::read(written, &node.account_id, &node.region), WrittenKey::Alias { .. });
    if is_alias {
        let awaits =
            node.launched_at.is_some_and(|at| !context.is_settled(&node.account_id, &node.region, at));
        return assertion
            .inconclusive(
                "the archive does not show which key the alias led to as of the launch",
                format!(
                    "--alias {}=KEY-ARN, or an archive that reaches back to the alias's CreateAlias or UpdateAlias",
                    plain(written)
                ),
            )
            .awaited(awaits);
    }
    assertion.inconclusive(
        "which key that is cannot be told",
        "write the key as its ARN, key id or alias, or give it with --expect-key",
    )
}

/// What the configuration that names no key says of a device: whether it is encrypted, and from which snapshot.
fn settings(
    context: &Context<'_>,
    node: &Node,
    device: &DeviceKey,
    configured: &Configured<'_>,
) -> (Option<bool>, Option<Text>) {
    if device.key.source == KeySource::NodeClass {
        let Some(mapping) = context.mapping(node, device.device.as_ref()) else {
            return (None, None);
        };
        let encrypted = match mapping.encrypted {
            Encryption::On => Some(true),
            Encryption::Off => Some(false),
            Encryption::NotSaid | Encryption::Unresolved => None,
        };
        return (encrypted, mapping.snapshot_id.clone());
    }
    let mapping = configured.mappings().find(|mapping| mapping.device == device.device);
    mapping.map_or((None, None), |mapping| (mapping.encrypted, mapping.snapshot_id.clone()))
}

/// A device without a key, and the account's default key where the archive shows it.
fn unnamed(
    context: &Context<'_>,
    node: &Node,
    device: &DeviceKey,
    part: Option<&str>,
    configured: &Configured<'_>,
) -> (Assertion, Option<Text>) {
    let source = source_words(device.key.source);
    let (encrypted, snapshot) = settings(context, node, device, configured);
    let encrypted = match encrypted {
        Some(true) => " (encrypted: true, without a key)",
        Some(false) => " (encrypted: false)",
        None => "",
    };
    let text = format!("{source} names no key{}{encrypted}", for_device(device));
    let mut assertion = Assertion::of_node(Check::KeyExpected, node, part, capital(&text));
    assertion.evidence.clone_from(&device.key.evidence);
    let place = (node.account_id.clone(), node.region.clone());
    let history = &context.case.history;
    let default = node.launched_at.and_then(|at| history.default_key(&place, at));
    let changed = history
        .default_key_changes(&place)
        .iter()
        .find(|change| context.first_launches.get(&place).is_some_and(|first| change.time > *first));
    if let (Some(changed), None) = (changed, &snapshot) {
        assertion.evidence.push(context.event_id(changed.event));
        let why = format!(
            "the account's default key decides, and it was changed at {}, between or after the launches",
            changed.time
        );
        return (assertion.inconclusive(why, NAME_THE_KEY), None);
    }
    if let (Some(default), None) = (default, &snapshot)
        && let (DefaultKey::Key(_), Some(at)) = (&default.value, node.launched_at)
        && let Some(arn) = history.default_key_arn(&default.value, default.time.max(at))
    {
        assertion.text = format!(
            "{}: the account's default key decides, set to {} at {}",
            assertion.text,
            plain(&arn),
            default.time
        );
        assertion.confidence = Confidence::Inferred;
        assertion.expected_key = Some(arn.clone());
        assertion.evidence.push(context.event_id(default.event));
        return (assertion, Some(arn));
    }
    let why = match snapshot {
        Some(snapshot) => format!(
            "the volume is made from {}: it keeps the snapshot's key, or takes the account's default",
            plain(&snapshot)
        ),
        None => "the account's default key for EBS, or the image's snapshot, decides; the archive does not show a \
                 default that was set before the launch"
            .to_owned(),
    };
    (assertion.inconclusive(why, NAME_THE_KEY), None)
}

/// What a manifest asks of one version of a launch template says nothing of a node that another version made.
fn other_version(node: &Node, template: &LaunchTemplate) -> Assertion {
    let version = template.version.map_or_else(String::new, |version| format!("version {version} of "));
    let name = template.name.as_ref().or(template.id.as_ref()).map_or_else(String::new, |name| plain(name));
    let text = format!("The manifest has {version}the launch template {name}");
    let mut assertion = Assertion::of_node(Check::KeyExpected, node, Some("launch-template"), text);
    assertion.location = Some(Location::from(&template.position));
    let launched = node.launch_template.as_ref().and_then(|launched| launched.version.as_deref());
    let why = match launched.filter(|version| version.parse::<u64>().is_ok()) {
        Some(version) => format!("the node was launched with version {}", plain(version)),
        None => "the archive does not show with which version the node was launched".to_owned(),
    };
    assertion.inconclusive(
        why,
        "a launch with that version, or the manifest of the version that was launched (or --expect-key)",
    )
}

fn nothing_configured(context: &Context<'_>, node: &Node, configured: &Configured<'_>) -> Assertion {
    let text = "No expected key is known".to_owned();
    let assertion = Assertion::of_node(Check::KeyExpected, node, None, text);
    let at = node.launched_at;
    let is_settled = at.is_some_and(|at| context.is_settled(&node.account_id, &node.region, at));
    match (&configured.template, &node.launch_template) {
        (Some(template), _) => {
            let mut assertion = assertion.inconclusive(
                "the launch template maps no EBS device: the image and the account's default key decide",
                NAME_THE_KEY,
            );
            assertion.evidence = template.events.iter().map(|event| context.event_id(*event)).collect();
            assertion
        }
        (None, Some(template)) => assertion
            .inconclusive(
                format!(
                    "the archive does not hold the creation of the launch template {} and no manifest or flag names a key",
                    plain(&template.id)
                ),
                "--nodeclass, --terraform or --expect-key, or an archive that reaches back to the CreateLaunchTemplate",
            )
            .awaited(!is_settled),
        (None, None) => assertion
            .inconclusive(
                "the archive shows no launch template of the node, and no manifest or flag names a key",
                "--nodeclass, --terraform or --expect-key",
            )
            .awaited(!is_settled),
    }
}

/// A sentence's first letter; flags stay as they are.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
