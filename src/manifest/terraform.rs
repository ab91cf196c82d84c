//! `terraform show -json` (or `tofu show -json`) of a plan or a state.
//!
//! Text goes in, a [`Manifest`] comes out: keys and aliases, node classes within `kubectl_manifest` and
//! `kubernetes_manifest`, launch templates. What is known only after apply, or marked as sensitive, stays
//! unknown and is noted; it never passes for a key.

mod document;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use self::document::{Document, Module, Resource, configured_address};
use super::object::Reader;
use super::settings::{Settings, truth};
use super::tree::{Field, Source, Tree, Value};
use super::yaml;
use super::{
    AliasSetting, Encryption, KeyForm, KeySetting, LaunchTemplate, MANIFEST_BYTES_MAX, Manifest,
    ManifestError, Mapping, NoteKind,
};
use crate::event::{KeyArn, Text};

/// Reads the JSON of a plan or a state; `file` is only for positions.
///
/// # Errors
/// If the text is not what `terraform show -json` prints, if an object in it is not of the shape that its kind
/// has, or if one object is given twice with different keys.
pub fn parse_terraform(file: &str, text: &str) -> Result<Manifest, ManifestError> {
    let source = Source::file(file);
    let malformed = |line: usize, column: usize, message: String| {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        ManifestError::Malformed { position: source.position(number(line), number(column)), message }
    };
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(malformed(1, 1, format!("more than {MANIFEST_BYTES_MAX} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document: Document<'_> = serde_json::from_str(text).map_err(|error| {
        let message = format!("not the JSON of `terraform show -json`: {error}");
        malformed(error.line(), error.column(), message)
    })?;
    document.check().map_err(|message| malformed(1, 1, message))?;
    let mut reading = Reading {
        file: file.into(),
        changes: document.changes(),
        references: document.references(),
        manifest: Manifest::default(),
        key_arns: BTreeMap::new(),
        aliases: Vec::new(),
    };
    if let Some(state) = document.data_sources() {
        reading.read_module(state, true)?;
    }
    if let Some(values) = document.values() {
        reading.read_module(values, false)?;
    }
    reading.resolve_aliases()?;
    Ok(reading.manifest)
}

/// What is gathered on the way through all modules.
struct Reading<'a> {
    file: Text,
    /// What a plan says about values that it does not know, by the resource's address.
    changes: BTreeMap<&'a str, document::Marks>,
    /// What the configuration of a resource refers to, by its address without indices.
    references: BTreeMap<String, Text>,
    manifest: Manifest,
    /// Key id -> ARN; `None` where replicas share the id.
    key_arns: BTreeMap<Text, Option<Text>>,
    aliases: Vec<(Source, Tree)>,
}

impl Reading<'_> {
    fn read_module(&mut self, module: &Module<'_>, is_data_only: bool) -> Result<(), ManifestError> {
        for resource in &module.resources {
            if !is_data_only || resource.mode.as_deref() == Some("data") {
                self.read_resource(resource)?;
            }
        }
        for child in &module.child_modules {
            self.read_module(child, is_data_only)?;
        }
        Ok(())
    }

    fn read_resource(&mut self, resource: &Resource<'_>) -> Result<(), ManifestError> {
        if !document::KINDS.contains(&&*resource.kind) {
            return Ok(());
        }
        let source = Source {
            file: self.file.clone(),
            address: Some(resource.address.as_str().into()),
            refers_to: self.references.get(&configured_address(&resource.address)).cloned(),
        };
        let malformed = |error: serde_json::Error| ManifestError::Malformed {
            position: source.position(1, 1),
            message: format!("the values of the resource cannot be read: {error}"),
        };
        let values = resource.values().map_err(malformed)?;
        let marks = self.changes.get(resource.address.as_str());
        let sensitive = resource.sensitive().map_err(malformed)?;
        let sensitive = marks.and_then(|marks| marks.sensitive.as_ref()).or(sensitive.as_ref());
        // A provider may mark all of a manifest as sensitive: only names, devices and keys are taken from it.
        let sensitive = if resource.kind == "kubectl_manifest" { None } else { sensitive };
        let tree = tree(&values, marks.and_then(|marks| marks.unknown.as_ref()), sensitive);
        match &*resource.kind {
            "aws_kms_alias" => {
                self.aliases.push((source, tree));
                Ok(())
            }
            "kubectl_manifest" => self.read_kubectl_manifest(&source, &tree),
            "kubernetes_manifest" => {
                let Some(object) = tree.get("manifest").or_else(|| tree.get("object")) else {
                    return Ok(());
                };
                let mut reader = Reader::new(&mut self.manifest, &source);
                reader.read(object, &[])?;
                reader.finish();
                Ok(())
            }
            "helm_release" => {
                self.note_helm_release(&source, &values);
                Ok(())
            }
            "aws_launch_template" => self.read_launch_template(&source, &tree),
            _ => {
                self.note_key(&tree);
                Ok(())
            }
        }
    }

    fn note_key(&mut self, tree: &Tree) {
        let (Some(id), Some(arn)) = (tree.text_of("key_id"), tree.text_of("arn")) else {
            return;
        };
        // A key id may also be given as an ARN to a data source.
        if KeyForm::of(arn) != KeyForm::Key || KeyArn::parse(id).is_some() {
            return;
        }
        let known = self.key_arns.entry(id.into()).or_insert_with(|| Some(arn.into()));
        if known.as_deref() != Some(arn) {
            *known = None;
        }
    }

    fn read_kubectl_manifest(&mut self, source: &Source, tree: &Tree) -> Result<(), ManifestError> {
        let Some(body) = tree.get("yaml_body") else {
            return Ok(());
        };
        match &body.value {
            Value::Scalar(text) => yaml::read_into(&mut self.manifest, source, text),
            _ => {
                let mut reader = Reader::new(&mut self.manifest, source);
                reader.read(body, &[])?;
                reader.finish();
                Ok(())
            }
        }
    }

    fn note_helm_release(&mut self, source: &Source, values: &Json) {
        let text = |name: &str| values.get(name).and_then(Json::as_str).unwrap_or_default();
        if text("chart").contains("karpenter") || text("name").contains("karpenter") {
            let message = "a Helm release may hold node classes, which are not read: give `helm get manifest` \
                           of it with --nodeclass";
            self.manifest.note(NoteKind::Unresolved, &source.position(1, 1), message);
        }
    }

    fn read_launch_template(&mut self, source: &Source, tree: &Tree) -> Result<(), ManifestError> {
        let name = tree.text_of("name").map(Text::from);
        let shown = name.as_deref().or(source.address.as_deref()).unwrap_or_default();
        let owner = format!("launch template `{shown}`");
        let mut settings = Settings { manifest: &mut self.manifest, source, owner };
        let mut mappings = Vec::new();
        for item in tree.get("block_device_mappings").map_or(&[][..], Tree::items) {
            mappings.push(template_mapping(&mut settings, item));
        }
        let id = tree.text_of("id").map(Text::from);
        let before = source.address.as_deref().and_then(|address| self.changes.get(address)?.version_before);
        // An apply that changes a template makes its next version; one that replaces it makes another template.
        let next = before.filter(|_| id.is_some()).and_then(|before| before.checked_add(1));
        let version = tree.text_of("latest_version").and_then(|version| version.parse().ok()).or(next);
        let position = source.position(1, 1);
        self.manifest.add_launch_template(LaunchTemplate { id, name, version, mappings, position })
    }

    /// Every alias goes by its ARN: a name alone would hold in any account and region.
    fn resolve_aliases(&mut self) -> Result<(), ManifestError> {
        for (source, tree) in std::mem::take(&mut self.aliases) {
            let position = source.position(1, 1);
            let name = tree.text_of("name").unwrap_or("(known after apply)");
            let target = ["target_key_arn", "target_key_id"]
                .into_iter()
                .filter_map(|field| tree.text_of(field))
                .find(|text| KeyForm::of(text) == KeyForm::Key);
            let Some(target) = target else {
                let message = format!(
                    "`{name}` points to a key that is not known before apply: {}",
                    source.after_apply()
                );
                self.manifest.note(NoteKind::Unresolved, &position, message);
                continue;
            };
            let known = self.key_arns.get(target).and_then(Option::as_deref);
            let target = known.unwrap_or(target);
            let derived = || {
                let KeyArn { partition, region, account_id, .. } = KeyArn::parse(target)?;
                Some(KeyArn { partition, region, account_id, resource: name }.to_string())
            };
            let arn = tree.text_of("arn").map(str::to_owned).or_else(derived);
            match arn.filter(|arn| KeyArn::parse(arn).is_some_and(|arn| arn.alias().is_some())) {
                Some(arn) => {
                    let setting = AliasSetting { key: target.into(), position };
                    self.manifest.add_alias(arn.into(), setting)?;
                }
                None => {
                    let message =
                        format!("in which account and region `{name}` is, is not known before apply");
                    self.manifest.note(NoteKind::Unresolved, &position, message);
                }
            }
        }
        Ok(())
    }
}

fn template_mapping(settings: &mut Settings<'_>, item: &Tree) -> Mapping {
    let device = item.text_of("device_name").map(Text::from);
    let shown = device.as_ref().map_or_else(|| "a device".to_owned(), |device| format!("`{device}`"));
    let ebs = item.get("ebs").and_then(|list| list.items().first());
    let text_of = |name: &str| ebs.and_then(|ebs| ebs.text_of(name)).filter(|text| !text.is_empty());
    let position = settings.source.position(1, 1);
    let encrypted = match ebs.and_then(|ebs| ebs.get("encrypted")).map(|tree| &tree.value) {
        Some(Value::Scalar(text)) => match truth(text) {
            Some(true) => Encryption::On,
            Some(false) => Encryption::Off,
            None => Encryption::NotSaid,
        },
        Some(Value::AfterApply | Value::Sensitive) => Encryption::Unresolved,
        _ => Encryption::NotSaid,
    };
    let kms_key: Option<KeySetting> = match ebs.and_then(|ebs| ebs.get("kms_key_id")).map(|tree| &tree.value)
    {
        Some(Value::Scalar(text)) if !text.is_empty() => {
            Some(settings.key_setting(text, position.clone(), &shown))
        }
        Some(Value::AfterApply) => {
            let text = settings.source.after_apply();
            Some(settings.unknown_key(text, KeyForm::AfterApply, position.clone(), &shown))
        }
        Some(Value::Sensitive) => {
            Some(settings.unknown_key("(sensitive)".into(), KeyForm::Sensitive, position.clone(), &shown))
        }
        _ => None,
    };
    let mapping = Mapping {
        device,
        is_root: false,
        is_ebs: ebs.is_some(),
        encrypted,
        kms_key,
        snapshot_id: text_of("snapshot_id").map(Text::from),
        position,
    };
    settings.check(&mapping, &shown);
    mapping
}

/// JSON as a tree, with what is unknown or sensitive in the places that Terraform marks with `true`.
fn tree(value: &Json, unknown: Option<&Json>, sensitive: Option<&Json>) -> Tree {
    let is_marked = |marks: Option<&Json>| marks == Some(&Json::Bool(true));
    let value = if is_marked(unknown) {
        Value::AfterApply
    } else if is_marked(sensitive) {
        Value::Sensitive
    } else {
        match value {
            Json::Null => match unknown {
                // A value may be left out where only a part of it is unknown.
                Some(Json::Object(fields)) if !fields.is_empty() => object(None, unknown, sensitive),
                _ => Value::Null,
            },
            Json::Bool(truth) => Value::Scalar(truth.to_string()),
            Json::Number(number) => Value::Scalar(number.to_string()),
            Json::String(text) => Value::Scalar(text.clone()),
            Json::Array(items) => Value::Sequence(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        tree(
                            item,
                            unknown.and_then(|marks| marks.get(index)),
                            sensitive.and_then(|marks| marks.get(index)),
                        )
                    })
                    .collect(),
            ),
            Json::Object(fields) => object(Some(fields), unknown, sensitive),
        }
    };
    Tree { value, line: 1, column: 1 }
}

fn object(
    fields: Option<&serde_json::Map<String, Json>>,
    unknown: Option<&Json>,
    sensitive: Option<&Json>,
) -> Value {
    let mut found: Vec<Field> = Vec::new();
    for (name, value) in fields.into_iter().flatten() {
        let unknown = unknown.and_then(|marks| marks.get(name));
        let sensitive = sensitive.and_then(|marks| marks.get(name));
        found.push(Field { name: name.clone(), line: 1, tree: tree(value, unknown, sensitive) });
    }
    for (name, marks) in unknown.and_then(Json::as_object).into_iter().flatten() {
        if fields.is_none_or(|fields| !fields.contains_key(name)) {
            found.push(Field { name: name.clone(), line: 1, tree: tree(&Json::Null, Some(marks), None) });
        }
    }
    Value::Mapping(found)
}

#[cfg(test)]
mod tests;
