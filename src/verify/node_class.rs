//! What the given manifests say of a node, and where.
//!
//! Manifests and nodes come in; locations, reasons why a key cannot be compared, and one assertion per node class
//! go out: a node class that no node was launched of is not proven by the nodes of another.

use super::{Assertion, Check, Context, Location, Notice};
use crate::correlate::{DeviceKey, Node};
use crate::event::Text;
use crate::manifest::{KeyForm, LaunchTemplate, Mapping, NodeClass, NodeClassKind, NoteKind, Position};
use crate::rules::wording::plain;
use crate::rules::{Subject, SubjectKind};

impl From<&Position> for Location {
    fn from(position: &Position) -> Self {
        Self {
            file: position.file.clone(),
            address: position.address.clone(),
            line: position.line.into(),
            column: position.column.into(),
        }
    }
}

/// Where a mapping sets its key, or would.
fn place_of(mapping: &Mapping) -> &Position {
    mapping.kms_key.as_ref().map_or(&mapping.position, |key| &key.position)
}

/// The mapping of a device; where no device is named, the first that names a key.
fn mapping_of<'a>(mappings: &'a [Mapping], device: Option<&Text>) -> Option<&'a Mapping> {
    let mut volumes = mappings.iter().filter(|mapping| mapping.is_ebs);
    match device {
        Some(name) => volumes.find(|mapping| mapping.device.as_ref() == Some(name)),
        None => {
            let volumes: Vec<&Mapping> = volumes.collect();
            volumes.iter().find(|mapping| mapping.kms_key.is_some()).or(volumes.first()).copied()
        }
    }
}

fn is_version_of(node: &Node, template: &LaunchTemplate) -> bool {
    template.is_version(node.launch_template.as_ref().and_then(|launched| launched.version.as_deref()))
}

impl<'a> Context<'a> {
    /// The node's class, if a manifest holds it.
    pub(super) fn node_class(&self, node: &Node) -> Option<&'a NodeClass> {
        self.demand.expectations.node_class_of(node)
    }

    /// The manifest's mapping of a node's device.
    pub(super) fn mapping(&self, node: &Node, device: Option<&Text>) -> Option<&'a Mapping> {
        if let Some(class) = self.node_class(node) {
            return mapping_of(&class.mappings, device);
        }
        let template = self.launch_template(node).filter(|template| is_version_of(node, template))?;
        mapping_of(&template.mappings, device)
    }

    /// The launch template of a node as Terraform has it, in whatever version: the one that its class names, or that
    /// it was launched from.
    fn launch_template(&self, node: &Node) -> Option<&'a LaunchTemplate> {
        let manifest = &self.demand.expectations.manifest;
        match self.node_class(node) {
            Some(class) => manifest.launch_template(None, Some(class.launch_template.as_ref()?)),
            None => manifest.launch_template(Some(&node.launch_template.as_ref()?.id), None),
        }
    }

    /// The launch template whose version in the manifest is not the one that the node was launched with.
    pub(super) fn other_version(&self, node: &Node) -> Option<&'a LaunchTemplate> {
        self.launch_template(node).filter(|template| !is_version_of(node, template))
    }

    /// Where a manifest sets the key of a device.
    pub(super) fn location(&self, node: &Node, device: &DeviceKey) -> Option<Location> {
        let mapping = self.mapping(node, device.device.as_ref());
        mapping.map(place_of).or_else(|| Some(&self.node_class(node)?.position)).map(Location::from)
    }

    /// EBS devices that the node's class maps, or its launch template as Terraform has it, by name where it has one;
    /// `None` where no manifest says.
    pub(super) fn node_class_devices(&self, node: &Node) -> Option<Vec<Option<Text>>> {
        let mappings = match self.node_class(node) {
            Some(NodeClass { launch_template: None, mappings, .. }) => mappings,
            Some(_) => &self.launch_template(node)?.mappings,
            // Another version may have had other devices.
            None => &self.launch_template(node).filter(|template| is_version_of(node, template))?.mappings,
        };
        // Without mappings of its own, Karpenter takes those of the AMI family.
        (!mappings.is_empty()).then(|| {
            let volumes = mappings.iter().filter(|mapping| mapping.is_ebs);
            volumes.map(|mapping| mapping.device.clone()).collect()
        })
    }

    /// How many EBS devices the node's class maps.
    pub(super) fn node_class_mappings(&self, node: &Node) -> Option<usize> {
        self.node_class_devices(node).map(|devices| devices.len())
    }

    /// Whether the node runs Bottlerocket, whose image has two volumes.
    pub(super) fn is_bottlerocket(&self, node: &Node) -> bool {
        let family = self.node_class(node).and_then(|class| class.ami_family.as_deref());
        family.is_some_and(|family| family.eq_ignore_ascii_case("bottlerocket"))
    }

    /// Why a key of a manifest cannot be compared, and what would help.
    pub(super) fn why_unwritten(&self, node: &Node, device: &DeviceKey) -> Option<(String, String)> {
        if device.key.source != crate::correlate::KeySource::NodeClass {
            return None;
        }
        if let Some(unread) = self.node_class(node).and_then(|class| class.unread.as_ref())
            && device.key.written.as_ref() == Some(unread)
        {
            return Some((
                "a part of the node class is filled in elsewhere: a key may be set there".to_owned(),
                "the manifest as it is applied (rendered, substituted), or --expect-key".to_owned(),
            ));
        }
        let key = self.mapping(node, device.device.as_ref())?.kms_key.as_ref()?;
        let (why, remedy) = match key.form {
            KeyForm::Key => return None,
            KeyForm::Placeholder => (
                "the manifest has a placeholder where the key is to stand",
                "the manifest as it is applied (rendered, substituted), or --expect-key",
            ),
            KeyForm::AfterApply => (
                "Terraform knows the key only after apply",
                "`terraform show -json` of the state after apply, or --expect-key",
            ),
            KeyForm::Sensitive => ("Terraform keeps the key as sensitive", "--expect-key"),
            KeyForm::NotAKey => (
                "that is no way to write a key",
                "a key id, key ARN, alias (alias/NAME) or alias ARN in the manifest",
            ),
        };
        Some((why.to_owned(), remedy.to_owned()))
    }

    /// One assertion per given node class: that a node of it was launched. With a filter for nodepools, only
    /// classes of those pools.
    pub(super) fn node_classes_launched(&self, judged: &[&Node]) -> Vec<Assertion> {
        let pools = &self.demand.filter.nodepools;
        let is_wanted = |class: &NodeClass| {
            pools.is_empty()
                || self.demand.expectations.manifest.node_pools.iter().any(|pool| {
                    pools.contains(&pool.name)
                        && pool
                            .node_class
                            .as_ref()
                            .is_some_and(|(kind, name)| (*kind, name) == (class.kind, &class.name))
                })
        };
        let classes = self.demand.expectations.manifest.node_classes.iter().filter(|class| is_wanted(class));
        classes
            .map(|class| {
                let nodes = judged
                    .iter()
                    .filter(|node| self.node_class(node).is_some_and(|own| std::ptr::eq(own, class)))
                    .count();
                let name = format!("{} {}", kind_name(class.kind), plain(&class.name));
                let text = match nodes {
                    0 => format!("No node of {name} was launched"),
                    1 => format!("1 node of {name} was launched"),
                    more => format!("{more} nodes of {name} were launched"),
                };
                let mut assertion = Assertion::of_run(Check::NodeClassLaunched, Some(&plain(&class.name)), text);
                assertion.location = Some(Location::from(&class.position));
                if nodes > 0 {
                    return assertion;
                }
                assertion
                    .inconclusive(
                        "nodes of other classes prove nothing for this one",
                        "a launch from it within the time window and the filters, or only the manifests of what is \
                         to be proven (or --nodepool, with the NodePool's manifest)",
                    )
                    .awaited(true)
            })
            .collect()
    }

    /// What the manifests themselves need said, and nodes that they say nothing of.
    pub(super) fn manifest_notices(&self) -> Vec<Notice> {
        let manifest = &self.demand.expectations.manifest;
        let mut notices: Vec<Notice> = manifest
            .notes
            .iter()
            .filter(|note| note.kind != NoteKind::Ignored)
            .map(|note| Notice {
                rule: None,
                subject: None,
                text: plain(&note.message),
                evidence: Vec::new(),
                location: Some(Location::from(&note.position)),
            })
            .collect();
        if manifest.node_classes.is_empty() {
            return notices;
        }
        for node in self.case.nodes.iter().filter(|node| self.is_judged(node)) {
            if self.node_class(node).is_some() {
                continue;
            }
            let class = node.nodeclass.as_deref().or(node.nodepool.as_deref());
            let of = class.map_or_else(String::new, |name| format!(" ({})", plain(name)));
            notices.push(Notice {
                rule: None,
                subject: Some(Subject { kind: SubjectKind::Node, id: node.instance_id.clone() }),
                text: format!("Its node class{of} is in no given manifest"),
                evidence: Vec::new(),
                location: None,
            });
        }
        notices
    }
}

fn kind_name(kind: NodeClassKind) -> &'static str {
    match kind {
        NodeClassKind::Ec2NodeClass => "EC2NodeClass",
        NodeClassKind::AutoModeNodeClass => "NodeClass",
        NodeClassKind::AwsNodeTemplate => "AWSNodeTemplate",
        NodeClassKind::InlineProvider => "the provider of Provisioner",
    }
}
