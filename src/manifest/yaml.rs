//! Kubernetes manifests in YAML: any number of documents, lists of objects, templates.
//!
//! Text goes in, a [`Manifest`] comes out. Anchors, aliases and depth are bounded, so that no text can blow up.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Spanned};

use super::object::Reader;
use super::template::{self, Directive};
use super::tree::{Source, Tree, Value};
use super::{MANIFEST_BYTES_MAX, Manifest, ManifestError};

/// Values of one text, aliases followed.
const VALUES_MAX: usize = 2_000_000;
/// Values that aliases may add.
const REPEATED_VALUES_MAX: usize = 100_000;
/// Documents of one text.
const DOCUMENTS_MAX: usize = 100_000;

/// Reads Kubernetes manifests; `file` is only for positions.
///
/// # Errors
/// If the text is not YAML, if an object is not of the shape that its kind has, or if one object is given twice
/// with different keys. Objects of other kinds are left alone.
pub fn parse_yaml(file: &str, text: &str) -> Result<Manifest, ManifestError> {
    let mut manifest = Manifest::default();
    read_into(&mut manifest, &Source::file(file), text)?;
    Ok(manifest)
}

/// Reads all objects of a text.
pub(super) fn read_into(manifest: &mut Manifest, source: &Source, text: &str) -> Result<(), ManifestError> {
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!("more than {MANIFEST_BYTES_MAX} bytes");
        return Err(ManifestError::Malformed { position: source.position(1, 1), message });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (masked, directives) = template::mask(text);
    let is_template = masked != text;
    let documents = documents(&masked).map_err(|error| malformed(source, &error, is_template))?;
    let starts = document_starts(&masked);
    let mut reader = Reader::new(manifest, source);
    for mut tree in documents {
        if is_template {
            tree.unmask();
        }
        reader.read(&tree, directives_of(&directives, &starts, tree.line))?;
    }
    reader.finish();
    Ok(())
}

fn documents(text: &str) -> Result<Vec<Tree>, Error> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS_MAX,
            max_nodes: VALUES_MAX,
            max_events: 3 * VALUES_MAX,
            max_recorded_anchor_events: REPEATED_VALUES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_VALUES_MAX,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

fn malformed(source: &Source, error: &Error, is_template: bool) -> ManifestError {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((1, 1), |location| {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        (number(location.line()), number(location.column()))
    });
    // The position is said before the message, and the options are none of the user's.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let mut message = message.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    if is_template {
        message.push_str("; the text is a template: render it first (`helm template`)");
    }
    ManifestError::Malformed { position: source.position(line, column), message }
}

/// Lines on which documents begin.
fn document_starts(text: &str) -> Vec<u32> {
    let lines = text.lines().zip(1u32..);
    lines.filter(|(line, _)| line.starts_with("---")).map(|(_, number)| number).collect()
}

/// The directives in the document of a line. Directives come in the order of lines.
fn directives_of<'a>(directives: &'a [Directive], starts: &[u32], line: u32) -> &'a [Directive] {
    let after = starts.partition_point(|start| *start <= line);
    let first = after.checked_sub(1).map_or(0, |index| starts[index]);
    let end = starts.get(after).copied().unwrap_or(u32::MAX);
    let from = directives.partition_point(|directive| directive.line < first);
    let to = directives.partition_point(|directive| directive.line < end);
    &directives[from..to]
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        // The place where an alias is used matters, not that of its anchor.
        let place = spanned.referenced;
        Ok(Self { value: spanned.value, line: number(place.line()), column: number(place.column()) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar, a sequence or a mapping")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Scalar(value))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Scalar(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = access.next_key::<Value>()? {
            let name = match name {
                Value::Scalar(name) => name,
                // Kubernetes has no such key, but other tools' files in the same directory may.
                _ => String::new(),
            };
            fields.push((name, access.next_value()?));
        }
        Ok(Value::Mapping(fields))
    }
}

#[cfg(test)]
mod tests;
