//! The shape of Terraform's JSON, as far as it is of interest: everything else is passed over unparsed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::event::Text;

/// Kinds of resources and data sources that say something about keys.
pub(super) const KINDS: &[&str] = &[
    "aws_kms_alias",
    "aws_kms_external_key",
    "aws_kms_key",
    "aws_kms_replica_external_key",
    "aws_kms_replica_key",
    "aws_launch_template",
    "helm_release",
    "kubectl_manifest",
    "kubernetes_manifest",
];

/// A plan or a state.
#[derive(Debug, Deserialize)]
pub(super) struct Document<'a> {
    format_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    values: Option<Values<'a>>,
    #[serde(borrow)]
    planned_values: Option<Values<'a>>,
    #[serde(borrow)]
    prior_state: Option<State<'a>>,
    #[serde(borrow, default)]
    resource_changes: Vec<Change<'a>>,
    #[serde(borrow)]
    configuration: Option<Configuration<'a>>,
    /// Only in a state file, which is of another form.
    lineage: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct State<'a> {
    #[serde(borrow)]
    values: Option<Values<'a>>,
}

#[derive(Debug, Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    root_module: Option<Module<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Module<'a> {
    #[serde(borrow, default)]
    pub(super) resources: Vec<Resource<'a>>,
    #[serde(borrow, default)]
    pub(super) child_modules: Vec<Module<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Resource<'a> {
    pub(super) address: String,
    pub(super) mode: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
    #[serde(borrow)]
    sensitive_values: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Change<'a> {
    address: String,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    /// Set for an object that was replaced and is still to be deleted.
    #[serde(borrow)]
    deposed: Option<&'a RawValue>,
    #[serde(borrow)]
    change: Option<Difference<'a>>,
}

#[derive(Debug, Deserialize)]
struct Difference<'a> {
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after_unknown: Option<&'a RawValue>,
    #[serde(borrow)]
    after_sensitive: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Configuration<'a> {
    #[serde(borrow)]
    root_module: Option<ConfiguredModule<'a>>,
}

#[derive(Debug, Deserialize)]
struct ConfiguredModule<'a> {
    #[serde(borrow, default)]
    resources: Vec<ConfiguredResource<'a>>,
    #[serde(borrow, default)]
    module_calls: BTreeMap<Cow<'a, str>, ModuleCall<'a>>,
}

#[derive(Debug, Deserialize)]
struct ModuleCall<'a> {
    #[serde(borrow)]
    module: Option<ConfiguredModule<'a>>,
}

#[derive(Debug, Deserialize)]
struct ConfiguredResource<'a> {
    address: String,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    expressions: Option<&'a RawValue>,
}

/// Where a plan marks values as unknown or sensitive, with `true`.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) unknown: Option<Json>,
    pub(super) sensitive: Option<Json>,
    /// The latest version of a launch template before the change.
    pub(super) version_before: Option<u64>,
}

impl<'a> Document<'a> {
    /// Says what is wrong with a document of another form.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(version) = &self.format_version else {
            return Err(if self.lineage.is_some() {
                "a state file; give the output of `terraform show -json`".to_owned()
            } else {
                "not the output of `terraform show -json`: it has no `format_version`".to_owned()
            });
        };
        match version.split('.').next() {
            Some("0" | "1") => Ok(()),
            _ => Err(format!("format version `{version}` is not known")),
        }
    }

    /// What there is, or will be after apply.
    pub(super) fn values(&self) -> Option<&Module<'a>> {
        let values = self.planned_values.as_ref().or(self.values.as_ref())?;
        values.root_module.as_ref()
    }

    /// Data sources that a plan has read are in the prior state.
    pub(super) fn data_sources(&self) -> Option<&Module<'a>> {
        self.prior_state.as_ref()?.values.as_ref()?.root_module.as_ref()
    }

    pub(super) fn changes(&self) -> BTreeMap<&str, Marks> {
        let marks = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let changes = self
            .resource_changes
            .iter()
            .filter(|change| KINDS.contains(&&*change.kind) && change.deposed.is_none());
        let marked = changes.filter_map(|change| {
            let difference = change.change.as_ref()?;
            let marks = Marks {
                unknown: marks(difference.after_unknown),
                sensitive: marks(difference.after_sensitive),
                version_before: (change.kind == "aws_launch_template")
                    .then(|| marks(difference.before)?.get("latest_version")?.as_u64())
                    .flatten(),
            };
            Some((change.address.as_str(), marks))
        });
        marked.collect()
    }

    /// What the configuration of each resource refers to: a key if there is one, else the first.
    pub(super) fn references(&self) -> BTreeMap<String, Text> {
        let mut found = BTreeMap::new();
        if let Some(module) = self.configuration.as_ref().and_then(|all| all.root_module.as_ref()) {
            module.collect("", &mut found);
        }
        found
    }
}

impl ConfiguredModule<'_> {
    fn collect(&self, path: &str, found: &mut BTreeMap<String, Text>) {
        for resource in self.resources.iter().filter(|resource| KINDS.contains(&&*resource.kind)) {
            let expressions = resource.expressions.and_then(|raw| serde_json::from_str(raw.get()).ok());
            let mut references = Vec::new();
            collect_references(expressions.as_ref().unwrap_or(&Json::Null), &mut references);
            let best = references.iter().find(|name| name.contains("kms")).or(references.first());
            if let Some(name) = best {
                found.insert(format!("{path}{}", resource.address), (*name).into());
            }
        }
        for (name, call) in &self.module_calls {
            if let Some(module) = &call.module {
                module.collect(&format!("{path}module.{name}."), found);
            }
        }
    }
}

fn collect_references<'a>(expressions: &'a Json, references: &mut Vec<&'a str>) {
    match expressions {
        Json::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("references", Json::Array(names)) => {
                        references.extend(names.iter().filter_map(Json::as_str));
                    }
                    _ => collect_references(value, references),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}

impl Resource<'_> {
    pub(super) fn values(&self) -> Result<Json, serde_json::Error> {
        self.values.map_or(Ok(Json::Null), |raw| serde_json::from_str(raw.get()))
    }

    pub(super) fn sensitive(&self) -> Result<Option<Json>, serde_json::Error> {
        self.sensitive_values.map(|raw| serde_json::from_str(raw.get())).transpose()
    }
}

/// An address without the indices of `count` and `for_each`: as the configuration has it.
pub(super) fn configured_address(address: &str) -> String {
    let mut plain = String::with_capacity(address.len());
    let mut is_in_index = false;
    let mut is_in_text = false;
    let mut letters = address.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_in_text => {
                letters.next();
            }
            '"' if is_in_index => is_in_text = !is_in_text,
            '[' if !is_in_index => is_in_index = true,
            ']' if is_in_index && !is_in_text => is_in_index = false,
            _ if is_in_index => {}
            _ => plain.push(letter),
        }
    }
    plain
}
