//! Settings of volumes: block device mappings, encryption, keys. The same fields in every era of Karpenter.

use super::tree::{Source, Tree, Value};
use super::{Encryption, KeyForm, KeySetting, Manifest, ManifestError, Mapping, NoteKind, Position};
use crate::event::Text;

/// Reads settings of one object, and notes what is wrong or not known in them.
pub(super) struct Settings<'a> {
    pub(super) manifest: &'a mut Manifest,
    pub(super) source: &'a Source,
    /// Whose settings: ``node class `default` ``.
    pub(super) owner: String,
}

/// Mappings, and what stands for those that could not be read.
type Found = (Vec<Mapping>, Option<Text>);

impl Settings<'_> {
    /// `blockDeviceMappings` of a node class.
    pub(super) fn mappings(&mut self, spec: Option<&Tree>) -> Result<Found, ManifestError> {
        let Some(spec) = spec else {
            return Ok((Vec::new(), None));
        };
        if let Some(unread) = self.unread(spec) {
            return Ok((Vec::new(), Some(unread)));
        }
        let Some(list) = spec.get("blockDeviceMappings") else {
            return Ok((Vec::new(), None));
        };
        if let Some(unread) = self.unread(list) {
            return Ok((Vec::new(), Some(unread)));
        }
        let Value::Sequence(items) = &list.value else {
            return Err(self.source.malformed(list, "`blockDeviceMappings` must be a list"));
        };
        let mut mappings = Vec::with_capacity(items.len());
        let mut unread = None;
        for item in items {
            if let Some(text) = self.unread(item) {
                unread = Some(text);
            } else if let Some(mapping) = self.mapping(item)? {
                mappings.push(mapping);
            }
        }
        Ok((mappings, unread))
    }

    /// `ephemeralStorage` of an EKS Auto Mode node class.
    pub(super) fn auto_mode_storage(&mut self, spec: Option<&Tree>) -> Result<Found, ManifestError> {
        let Some(storage) = spec.and_then(|spec| spec.get("ephemeralStorage")) else {
            return Ok((Vec::new(), spec.and_then(|spec| self.unread(spec))));
        };
        if let Some(unread) = self.unread(storage) {
            return Ok((Vec::new(), Some(unread)));
        }
        if !matches!(storage.value, Value::Mapping(_)) {
            return Err(self.source.malformed(storage, "`ephemeralStorage` must be a mapping"));
        }
        let mut mapping = Mapping::of_all_volumes(self.source.at(storage));
        mapping.kms_key = self.key(storage, "all volumes")?;
        Ok((vec![mapping], None))
    }

    /// What stands in place of settings that should be here.
    fn unread(&mut self, tree: &Tree) -> Option<Text> {
        let text: Text = match &tree.value {
            Value::Scalar(text) if KeyForm::of(text) == KeyForm::Placeholder => text.as_str().into(),
            Value::AfterApply => self.source.after_apply(),
            Value::Sensitive => "(sensitive)".into(),
            _ => return None,
        };
        let message = format!("settings of {} are not known: `{text}` stands for them", self.owner);
        self.manifest.note(NoteKind::Unresolved, &self.source.at(tree), message);
        Some(text)
    }

    fn mapping(&mut self, tree: &Tree) -> Result<Option<Mapping>, ManifestError> {
        match &tree.value {
            Value::Mapping(_) => {}
            Value::Null => return Ok(None),
            _ => return Err(self.source.malformed(tree, "a block device mapping must be a mapping")),
        }
        let device = tree.get("deviceName");
        let name = device.and_then(Tree::text);
        let shown = name.map_or_else(|| "a device".to_owned(), |name| format!("`{name}`"));
        let ebs = tree.get("ebs");
        let mut mapping = Mapping {
            device: name.map(Text::from),
            is_root: tree.text_of("rootVolume").is_some_and(|text| truth(text) == Some(true)),
            is_ebs: ebs.is_some(),
            encrypted: Encryption::NotSaid,
            kms_key: None,
            snapshot_id: None,
            position: self.source.at(tree),
        };
        let Some(ebs) = ebs else {
            return Ok(Some(mapping));
        };
        if let Some(text) = self.unread(ebs) {
            mapping.encrypted = Encryption::Unresolved;
            let form = match ebs.value {
                Value::Sensitive => KeyForm::Sensitive,
                Value::AfterApply => KeyForm::AfterApply,
                _ => KeyForm::Placeholder,
            };
            mapping.kms_key = Some(KeySetting { text, form, position: self.source.at(ebs) });
            return Ok(Some(mapping));
        }
        if !matches!(ebs.value, Value::Mapping(_)) {
            return Err(self.source.malformed(ebs, "`ebs` must be a mapping"));
        }
        mapping.encrypted = self.encryption(ebs.get("encrypted"))?;
        mapping.snapshot_id = ebs.text_of("snapshotID").map(Text::from);
        mapping.kms_key = self.key(ebs, &shown)?;
        self.check(&mapping, &shown);
        Ok(Some(mapping))
    }

    /// Notes a combination that EC2 refuses.
    pub(super) fn check(&mut self, mapping: &Mapping, shown: &str) {
        let Some(key) = &mapping.kms_key else {
            return;
        };
        let what = match mapping.encrypted {
            Encryption::On | Encryption::Unresolved => return,
            Encryption::Off => "is set to be unencrypted",
            Encryption::NotSaid => "is not set to be encrypted",
        };
        let message = format!("{shown} of {} names a key but {what}: EC2 refuses that", self.owner);
        self.manifest.note(NoteKind::Invalid, &key.position, message);
    }

    fn encryption(&mut self, setting: Option<&Tree>) -> Result<Encryption, ManifestError> {
        let Some(setting) = setting else {
            return Ok(Encryption::NotSaid);
        };
        match &setting.value {
            Value::AfterApply | Value::Sensitive => return Ok(Encryption::Unresolved),
            Value::Scalar(text) if KeyForm::of(text) == KeyForm::Placeholder => {
                let message =
                    format!("whether a volume of {} is encrypted is not known: `{text}`", self.owner);
                self.manifest.note(NoteKind::Unresolved, &self.source.at(setting), message);
                return Ok(Encryption::Unresolved);
            }
            _ => {}
        }
        match setting.text().and_then(truth) {
            Some(true) => Ok(Encryption::On),
            Some(false) => Ok(Encryption::Off),
            None => Err(self.source.malformed(setting, "`encrypted` must be true or false")),
        }
    }

    /// `kmsKeyID` among the settings of a volume.
    fn key(&mut self, settings: &Tree, shown: &str) -> Result<Option<KeySetting>, ManifestError> {
        self.note_misspelt_key(settings);
        let Some(tree) = settings.get("kmsKeyID") else {
            return Ok(None);
        };
        let position = self.source.at(tree);
        let key = match &tree.value {
            Value::Scalar(text) => self.key_setting(text, position, shown),
            Value::AfterApply => {
                self.unknown_key(self.source.after_apply(), KeyForm::AfterApply, position, shown)
            }
            Value::Sensitive => self.unknown_key("(sensitive)".into(), KeyForm::Sensitive, position, shown),
            _ => return Err(self.source.malformed(tree, "`kmsKeyID` must be a text")),
        };
        Ok(Some(key))
    }

    pub(super) fn key_setting(&mut self, text: &str, position: Position, shown: &str) -> KeySetting {
        let text = text.trim();
        let form = KeyForm::of(text);
        match form {
            KeyForm::Key => {}
            KeyForm::NotAKey => {
                let message = format!(
                    "the key of {shown} in {} is no key id, key ARN, alias or alias ARN: `{text}`",
                    self.owner
                );
                self.manifest.note(NoteKind::Invalid, &position, message);
            }
            _ => return self.unknown_key(text.into(), form, position, shown),
        }
        KeySetting { text: text.into(), form, position }
    }

    pub(super) fn unknown_key(
        &mut self,
        text: Text,
        form: KeyForm,
        position: Position,
        shown: &str,
    ) -> KeySetting {
        let why = match form {
            KeyForm::AfterApply => format!("is known only after apply: `{text}`"),
            KeyForm::Sensitive => "is marked as sensitive".to_owned(),
            _ => format!("is a placeholder: `{text}`"),
        };
        let message = format!("the key of {shown} in {} {why}", self.owner);
        self.manifest.note(NoteKind::Unresolved, &position, message);
        KeySetting { text, form, position }
    }

    /// Kubernetes drops fields that it does not know, without a word.
    fn note_misspelt_key(&mut self, settings: &Tree) {
        let Value::Mapping(fields) = &settings.value else {
            return;
        };
        for (name, tree) in fields {
            let plain = name.to_ascii_lowercase().replace(['_', '-'], "");
            if name != "kmsKeyID" && matches!(plain.as_str(), "kmskeyid" | "kmskeyarn" | "kmskey") {
                let message =
                    format!("`{name}` in {} is no field and has no effect: it is `kmsKeyID`", self.owner);
                self.manifest.note(NoteKind::Invalid, &self.source.at(tree), message);
            }
        }
    }
}

/// A boolean as YAML of any version writes it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
