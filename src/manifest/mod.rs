//! What the user's own manifests say about keys: node classes, node pools, aliases and launch templates.
//!
//! Text comes in: YAML as it is applied to a cluster, or the JSON of `terraform show -json`; a [`Manifest`] goes
//! out, with the place of every setting. Nothing here does I/O, and no placeholder (`${…}`, `{{ … }}`, a value
//! that Terraform knows only after apply) ever passes for a key: it is kept as [`KeyForm::Placeholder`] or
//! [`KeyForm::AfterApply`], and noted.

mod key_form;
mod merge;
mod object;
mod position;
mod settings;
mod template;
mod terraform;
mod tree;
mod yaml;

pub use merge::Conflict;
pub use position::Position;
pub use terraform::parse_terraform;
pub use yaml::parse_yaml;

use std::collections::BTreeMap;

use crate::event::Text;

/// Largest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// Everything that manifests say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Node classes of every era, in the order read. One kind and name comes once.
    pub node_classes: Vec<NodeClass>,
    /// Node pools (and Provisioners of old versions), in the order read. One kind and name comes once.
    pub node_pools: Vec<NodePool>,
    /// Launch templates that Terraform manages.
    pub launch_templates: Vec<LaunchTemplate>,
    /// Aliases that Terraform manages, by alias ARN, or by name where Terraform does not know the ARN.
    pub aliases: BTreeMap<Text, AliasSetting>,
    /// What was not understood or needs saying.
    pub notes: Vec<Note>,
}

/// One node class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeClass {
    /// Which kind of object it is.
    pub kind: NodeClassKind,
    /// `apiVersion` as written.
    pub api_version: Text,
    /// `metadata.name`; for a provider that is written inside a Provisioner, the Provisioner's name.
    pub name: Text,
    /// Where its name is set.
    pub position: Position,
    /// AMI family as written, or that of an alias in `amiSelectorTerms`.
    pub ami_family: Option<Text>,
    /// Its block device mappings. Empty: Karpenter uses the default of the AMI family, which is encrypted under
    /// the account's default key.
    pub mappings: Vec<Mapping>,
    /// A launch template of the user's own, by name; then the node class has no mappings of its own.
    pub launch_template: Option<Text>,
    /// A part that could not be read: a template directive or a placeholder where settings should be, or a
    /// value that Terraform knows only after apply. Then a key that is not set here may still be set.
    pub unread: Option<Text>,
}

/// Which kind of object a node class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeClassKind {
    /// `EC2NodeClass` of `karpenter.k8s.aws`.
    Ec2NodeClass,
    /// `NodeClass` of `eks.amazonaws.com`: EKS Auto Mode.
    AutoModeNodeClass,
    /// `AWSNodeTemplate`, before Karpenter 0.32.
    AwsNodeTemplate,
    /// `spec.provider` inside a Provisioner, before Karpenter 0.32.
    InlineProvider,
}

/// One block device mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Device name as written, which may be a placeholder; `None` for EKS Auto Mode's one storage setting, which
    /// holds for all volumes.
    pub device: Option<Text>,
    /// Whether `rootVolume` is set.
    pub is_root: bool,
    /// Whether the mapping makes an EBS volume (and not an instance store volume or no device).
    pub is_ebs: bool,
    /// Whether it is to be encrypted.
    pub encrypted: Encryption,
    /// Its key; `None` where it names none, so that EC2 decides (see the account's default key).
    pub kms_key: Option<KeySetting>,
    /// The snapshot that the volume is made from.
    pub snapshot_id: Option<Text>,
    /// Where the mapping begins.
    pub position: Position,
}

/// Whether a volume is to be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// `encrypted: true`.
    On,
    /// `encrypted: false`.
    Off,
    /// Nothing is said: encryption by default, or the snapshot, decides.
    #[default]
    NotSaid,
    /// A placeholder, or known only after apply.
    Unresolved,
}

/// A key as set by a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetting {
    /// As written; for a value that Terraform does not show, what it refers to (`aws_kms_key.ebs.arn`), or
    /// `(known after apply)`, or `(sensitive)`.
    pub text: Text,
    /// What the text is. Only a [`KeyForm::Key`] may be compared.
    pub form: KeyForm,
    /// Where the key is set.
    pub position: Position,
}

/// What the text of a key setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Key id, key ARN, alias or alias ARN.
    Key,
    /// A placeholder that something else fills in: `${…}`, `{{ … }}`, `<…>`.
    Placeholder,
    /// Terraform knows it only after apply.
    AfterApply,
    /// Terraform marks it as sensitive.
    Sensitive,
    /// None of the ways to write a key: EC2 would refuse it.
    NotAKey,
}

/// One node pool, or a Provisioner of old versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePool {
    /// `metadata.name`.
    pub name: Text,
    /// Kind and name of the node class that it refers to.
    pub node_class: Option<(NodeClassKind, Text)>,
    /// Whether it is a Provisioner.
    pub is_provisioner: bool,
    /// Where its name is set.
    pub position: Position,
}

/// A launch template that Terraform manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// Id, where Terraform knows it.
    pub id: Option<Text>,
    /// Name, where Terraform knows it.
    pub name: Option<Text>,
    /// The version that the mappings are of: the latest, or the one that apply will make; `None` where Terraform does
    /// not say.
    pub version: Option<u64>,
    /// Its block device mappings.
    pub mappings: Vec<Mapping>,
    /// The resource.
    pub position: Position,
}

/// What an alias points to, as Terraform has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasSetting {
    /// Key ARN, or key id.
    pub key: Text,
    /// The resource.
    pub position: Position,
}

/// Something in a manifest that needs saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What kind of note.
    pub kind: NoteKind,
    /// Where.
    pub position: Position,
    /// One sentence, without a full stop; quotes the manifest, so that it must be made safe before it is shown.
    pub message: String,
}

/// Kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// A placeholder, or a value known only after apply, where a key or a name is wanted.
    Unresolved,
    /// A key is not written as a key, or the combination of settings is one that EC2 refuses.
    Invalid,
    /// An object of a kind that says nothing about keys.
    Ignored,
    /// A volume of the node for which the node class names no key, while it names one for another.
    Uncovered,
    /// The same object, with the same keys, is given twice.
    Repeated,
}

/// A manifest that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML or JSON, or not of the shape that its kind has.
    #[error("{position}: {message}")]
    Malformed {
        /// Where.
        position: Position,
        /// What is wrong.
        message: String,
    },
    /// One object is given twice, with different keys.
    #[error(transparent)]
    Conflict(#[from] Box<Conflict>),
}

impl Manifest {
    /// The node class of a node, by the names that its tags hold: of the node class (since Karpenter 0.33) or of
    /// the node pool.
    #[must_use]
    pub fn node_class_of(
        &self,
        is_auto_mode: bool,
        node_class: Option<&str>,
        node_pool: Option<&str>,
    ) -> Option<&NodeClass> {
        let find = |kind: NodeClassKind, name: &str| {
            self.node_classes.iter().find(|class| class.kind == kind && &*class.name == name)
        };
        if let Some(name) = node_class {
            let kind =
                if is_auto_mode { NodeClassKind::AutoModeNodeClass } else { NodeClassKind::Ec2NodeClass };
            return find(kind, name);
        }
        let name = node_pool?;
        // A tag of a node does not tell a NodePool from a Provisioner: only one that is not ambiguous counts.
        let mut pools = self.node_pools.iter().filter(|pool| {
            let kind = pool.node_class.as_ref().map(|(kind, _)| *kind);
            &*pool.name == name && (kind == Some(NodeClassKind::AutoModeNodeClass)) == is_auto_mode
        });
        let (pool, None) = (pools.next()?, pools.next()) else {
            return None;
        };
        let (kind, name) = pool.node_class.as_ref()?;
        find(*kind, name)
    }

    /// The launch template of an id or a name.
    #[must_use]
    pub fn launch_template(&self, id: Option<&str>, name: Option<&str>) -> Option<&LaunchTemplate> {
        let is_wanted = |template: &&LaunchTemplate| {
            let is = |one: &Option<Text>, other: Option<&str>| one.is_some() && one.as_deref() == other;
            is(&template.id, id) || is(&template.name, name)
        };
        self.launch_templates.iter().find(is_wanted)
    }
}

impl Manifest {
    /// Keys that node classes and launch templates name, and those that aliases point to, as written.
    pub fn named_keys(&self) -> impl Iterator<Item = &Text> {
        let node_classes = self.node_classes.iter().flat_map(|class| &class.mappings);
        let templates = self.launch_templates.iter().flat_map(|template| &template.mappings);
        let settings = node_classes.chain(templates).filter_map(|mapping| mapping.kms_key.as_ref());
        let keys = settings.filter(|key| key.form == KeyForm::Key).map(|key| &key.text);
        keys.chain(self.aliases.values().map(|alias| &alias.key))
    }
}

impl LaunchTemplate {
    /// Whether a launch with a version of the template, as logged, had these mappings, as far as Terraform says
    /// which version they are of.
    #[must_use]
    pub fn is_version(&self, launched: Option<&str>) -> bool {
        let Some(version) = self.version else {
            return true;
        };
        // Of a template with one version, `$Latest` and `$Default` are that one.
        launched
            .and_then(|launched| launched.parse().ok())
            .map_or(version == 1, |number: u64| number == version)
    }
}

impl Mapping {
    /// Whether the mapping names a key that can be compared.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.kms_key.as_ref().is_some_and(|key| key.form == KeyForm::Key)
    }
}
