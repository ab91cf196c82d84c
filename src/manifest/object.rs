//! Kubernetes objects: which of them say something about keys, and who refers to whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::key_form::is_placeholder;
use super::settings::Settings;
use super::template::Directive;
use super::tree::{Source, Tree, Value};
use super::{Encryption, Manifest, ManifestError, Mapping, NodeClass, NodeClassKind, NodePool, NoteKind};
use crate::event::Text;

/// How deep lists of lists may be.
const LIST_DEPTH_MAX: usize = 4;

/// Reads the objects of one text into a manifest.
pub(super) struct Reader<'a> {
    manifest: &'a mut Manifest,
    source: &'a Source,
    /// Kinds that say nothing about keys: how many objects, and the first of them.
    ignored: BTreeMap<String, (usize, super::Position)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(manifest: &'a mut Manifest, source: &'a Source) -> Self {
        Self { manifest, source, ignored: BTreeMap::new() }
    }

    /// Reads one document. `directives`: what stood for whole lines of it.
    pub(super) fn read(&mut self, tree: &Tree, directives: &[Directive]) -> Result<(), ManifestError> {
        self.read_nested(tree, directives, 0)
    }

    /// Notes what was left alone.
    pub(super) fn finish(self) {
        let Some((_, position)) = self.ignored.values().min_by_key(|(_, position)| position) else {
            return;
        };
        let mut message = String::from("nothing about keys in");
        for (index, (kind, (count, _))) in self.ignored.iter().enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            let _ = write!(message, "{separator}{count} {kind}");
        }
        let position = position.clone();
        self.manifest.note(NoteKind::Ignored, &position, message);
    }

    fn read_nested(
        &mut self,
        tree: &Tree,
        directives: &[Directive],
        depth: usize,
    ) -> Result<(), ManifestError> {
        match &tree.value {
            Value::Null => return Ok(()),
            Value::Mapping(_) => {}
            Value::AfterApply => {
                let message = format!(
                    "an object that may be a node class is known only after apply: {}",
                    self.source.after_apply()
                );
                self.manifest.note(NoteKind::Unresolved, &self.source.at(tree), message);
                return Ok(());
            }
            Value::Scalar(_) | Value::Sequence(_) | Value::Sensitive => {
                return self.ignore("document that is no Kubernetes object", tree);
            }
        }
        let (Some(api_version), Some(kind)) = (tree.text_of("apiVersion"), tree.text_of("kind")) else {
            return self.ignore("document that is no Kubernetes object", tree);
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        match (group, kind) {
            (_, kind) if kind.ends_with("List") && depth < LIST_DEPTH_MAX => {
                for item in tree.get("items").map_or(&[][..], Tree::items) {
                    self.read_nested(item, directives, depth + 1)?;
                }
                Ok(())
            }
            ("karpenter.k8s.aws", "EC2NodeClass") => {
                self.expect_version(tree, version, &["v1", "v1beta1"]);
                self.read_node_class(tree, NodeClassKind::Ec2NodeClass, directives)
            }
            ("karpenter.k8s.aws", "AWSNodeTemplate") => {
                self.expect_version(tree, version, &["v1alpha1"]);
                self.read_node_class(tree, NodeClassKind::AwsNodeTemplate, directives)
            }
            ("eks.amazonaws.com", "NodeClass") => {
                self.expect_version(tree, version, &["v1"]);
                self.read_node_class(tree, NodeClassKind::AutoModeNodeClass, directives)
            }
            ("karpenter.sh", "NodePool") => {
                self.expect_version(tree, version, &["v1", "v1beta1"]);
                self.read_node_pool(tree)
            }
            ("karpenter.sh", "Provisioner") => {
                self.expect_version(tree, version, &["v1alpha5"]);
                self.read_provisioner(tree, directives)
            }
            _ => self.ignore(kind, tree),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the match above")]
    fn ignore(&mut self, kind: &str, tree: &Tree) -> Result<(), ManifestError> {
        let position = self.source.at(tree);
        // Kinds are few; a text made to have many must not make a long note.
        let kind = if self.ignored.len() < 20 { kind } else { "other" };
        self.ignored.entry(kind.to_owned()).or_insert((0, position)).0 += 1;
        Ok(())
    }

    fn expect_version(&mut self, tree: &Tree, version: &str, known: &[&str]) {
        if !known.contains(&version) {
            let message = format!("unknown version `{version}`, read like {}", known[0]);
            self.manifest.note(NoteKind::Invalid, &self.source.at(tree), message);
        }
    }

    fn name(&mut self, tree: &Tree) -> Result<(Text, super::Position), ManifestError> {
        let Some(name) = tree.find(&["metadata", "name"]) else {
            return Err(self.source.malformed(tree, "the object has no `metadata.name`"));
        };
        let position = self.source.at(name);
        let text: Text = match &name.value {
            Value::Scalar(text) => text.as_str().into(),
            Value::AfterApply => self.source.after_apply(),
            _ => return Err(self.source.malformed(name, "`metadata.name` must be a text")),
        };
        if is_placeholder(&text) || name.value == Value::AfterApply {
            let message = format!("the name is not known (`{text}`), so that no node can be matched with it");
            self.manifest.note(NoteKind::Unresolved, &position, message);
        }
        Ok((text, position))
    }

    fn read_node_class(
        &mut self,
        tree: &Tree,
        kind: NodeClassKind,
        directives: &[Directive],
    ) -> Result<(), ManifestError> {
        let (name, position) = self.name(tree)?;
        let spec = tree.get("spec");
        let mut settings =
            Settings { manifest: self.manifest, source: self.source, owner: format!("node class `{name}`") };
        let (mappings, mut unread) = match kind {
            NodeClassKind::AutoModeNodeClass => settings.auto_mode_storage(spec)?,
            _ => settings.mappings(spec)?,
        };
        if let (None, Some(directive)) = (&unread, directives.first()) {
            unread = Some(directive.text.as_str().into());
            let message = format!("a template directive stands for a part of {}", settings.owner);
            let at = self.source.position(directive.line, 1);
            settings.manifest.note(NoteKind::Unresolved, &at, message);
        }
        let class = NodeClass {
            kind,
            api_version: tree.text_of("apiVersion").unwrap_or_default().into(),
            name,
            position,
            ami_family: spec.and_then(ami_family),
            mappings,
            launch_template: spec.and_then(launch_template),
            unread,
        };
        self.add_node_class(class)
    }

    fn add_node_class(&mut self, class: NodeClass) -> Result<(), ManifestError> {
        self.note_uncovered_volumes(&class);
        self.manifest.add_node_class(class)
    }

    /// A volume that the AMI brings and the node class does not map is left to the account's defaults.
    fn note_uncovered_volumes(&mut self, class: &NodeClass) {
        let is_any_encrypted = class.mappings.iter().any(|mapping| mapping.kms_key.is_some());
        let family = class.ami_family.as_deref().unwrap_or_default().to_ascii_lowercase();
        let volumes: &[(&str, &str)] = match family.as_str() {
            "bottlerocket" => &[("/dev/xvda", "the system's volume"), ("/dev/xvdb", "the data volume")],
            "al2" | "al2023" => &[("/dev/xvda", "the root volume")],
            _ => &[],
        };
        if !is_any_encrypted || class.unread.is_some() {
            return;
        }
        for (device, what) in volumes {
            let mapping = class
                .mappings
                .iter()
                .find(|mapping| mapping.device.as_deref() == Some(device) && mapping.is_ebs);
            let is_covered = mapping.is_some_and(|mapping| {
                mapping.kms_key.is_some() || mapping.encrypted == Encryption::Unresolved
            });
            // A device name that is not known may be this one.
            if !is_covered
                && class
                    .mappings
                    .iter()
                    .all(|mapping| mapping.device.as_deref().is_some_and(|device| !is_placeholder(device)))
            {
                let position = mapping.map_or(&class.position, |mapping| &mapping.position).clone();
                let message = format!(
                    "node class `{}` names no key for `{device}`, {what} of its AMI family",
                    class.name
                );
                self.manifest.note(NoteKind::Uncovered, &position, message);
            }
        }
    }

    fn read_node_pool(&mut self, tree: &Tree) -> Result<(), ManifestError> {
        let (name, position) = self.name(tree)?;
        let reference = tree.find(&["spec", "template", "spec", "nodeClassRef"]);
        let node_class = reference.and_then(|reference| {
            let kind = match reference.text_of("kind") {
                Some("NodeClass") => NodeClassKind::AutoModeNodeClass,
                Some("EC2NodeClass") | None => NodeClassKind::Ec2NodeClass,
                Some(_) => return None,
            };
            Some((kind, reference.text_of("name")?.into()))
        });
        self.manifest.add_node_pool(NodePool { name, node_class, is_provisioner: false, position })
    }

    fn read_provisioner(&mut self, tree: &Tree, directives: &[Directive]) -> Result<(), ManifestError> {
        let (name, position) = self.name(tree)?;
        let reference = tree.find(&["spec", "providerRef"]).and_then(|reference| reference.text_of("name"));
        let provider = tree.find(&["spec", "provider"]);
        let node_class = match (reference, provider) {
            (Some(reference), _) => Some((NodeClassKind::AwsNodeTemplate, reference.into())),
            (None, Some(_)) => Some((NodeClassKind::InlineProvider, name.clone())),
            (None, None) => None,
        };
        if let (None, Some(provider)) = (reference, provider) {
            let owner = format!("provisioner `{name}`");
            let mut settings = Settings { manifest: self.manifest, source: self.source, owner };
            let (mappings, unread) = settings.mappings(Some(provider))?;
            let class = NodeClass {
                kind: NodeClassKind::InlineProvider,
                api_version: tree.text_of("apiVersion").unwrap_or_default().into(),
                name: name.clone(),
                position: position.clone(),
                ami_family: ami_family(provider),
                mappings,
                launch_template: launch_template(provider),
                unread: unread.or_else(|| Some(directives.first()?.text.as_str().into())),
            };
            self.add_node_class(class)?;
        }
        self.manifest.add_node_pool(NodePool { name, node_class, is_provisioner: true, position })
    }
}

impl Mapping {
    /// The one storage setting of an EKS Auto Mode node class, which holds for the root and the data volume.
    pub(super) fn of_all_volumes(position: super::Position) -> Self {
        Self {
            device: None,
            is_root: true,
            is_ebs: true,
            encrypted: Encryption::On,
            kms_key: None,
            snapshot_id: None,
            position,
        }
    }
}

/// `amiFamily`, or the family of an alias such as `bottlerocket@latest`.
fn ami_family(spec: &Tree) -> Option<Text> {
    let family = spec.text_of("amiFamily").or_else(|| {
        let terms = spec.get("amiSelectorTerms")?.items();
        let alias = terms.iter().find_map(|term| term.text_of("alias"))?;
        Some(alias.split_once('@').map_or(alias, |(family, _)| family))
    })?;
    Some(family.into())
}

fn launch_template(spec: &Tree) -> Option<Text> {
    spec.text_of("launchTemplate").or_else(|| spec.text_of("launchTemplateName")).map(Text::from)
}
