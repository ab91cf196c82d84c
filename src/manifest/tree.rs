//! A document as a tree in which everything knows its place: what YAML and Terraform's JSON have in common.
//!
//! Scalars stay the text that they are, for no setting of interest is a number.

use super::ManifestError;
use super::position::Position;
use super::template;
use crate::event::Text;

/// One value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    pub(super) value: Value,
    /// From 1; 1 where the value is in no text.
    pub(super) line: u32,
    /// From 1.
    pub(super) column: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Scalar(String),
    Sequence(Vec<Tree>),
    Mapping(Vec<(String, Tree)>),
    /// Known only after `terraform apply`.
    AfterApply,
    /// Marked as sensitive in Terraform, and so neither compared nor shown.
    Sensitive,
}

/// Where a tree comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Text,
    /// Terraform resource.
    pub(super) address: Option<Text>,
    /// What the resource refers to, in place of a value that is known only after apply.
    pub(super) refers_to: Option<Text>,
}

impl Source {
    pub(super) fn file(file: &str) -> Self {
        Self { file: file.into(), address: None, refers_to: None }
    }

    pub(super) fn at(&self, tree: &Tree) -> Position {
        self.position(tree.line, tree.column)
    }

    pub(super) fn position(&self, line: u32, column: u32) -> Position {
        Position { file: self.file.clone(), address: self.address.clone(), line, column }
    }

    pub(super) fn malformed(&self, tree: &Tree, message: impl Into<String>) -> ManifestError {
        ManifestError::Malformed { position: self.at(tree), message: message.into() }
    }

    /// What stands for a value that is known only after apply.
    pub(super) fn after_apply(&self) -> Text {
        self.refers_to.clone().unwrap_or_else(|| "(known after apply)".into())
    }
}

impl Tree {
    /// The value of a field; `None` if it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Mapping(fields) = &self.value else {
            return None;
        };
        let (_, tree) = fields.iter().find(|(field, _)| field == name)?;
        (tree.value != Value::Null).then_some(tree)
    }

    /// The value at the end of a path of fields.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, name| tree.get(name))
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar field.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Puts the template directives back that [`template::mask`] hid from the YAML parser.
    pub(super) fn unmask(&mut self) {
        match &mut self.value {
            Value::Scalar(text) => *text = template::unmask(text),
            Value::Sequence(items) => items.iter_mut().for_each(Self::unmask),
            Value::Mapping(fields) => {
                for (name, tree) in fields {
                    *name = template::unmask(name);
                    tree.unmask();
                }
            }
            Value::Null | Value::AfterApply | Value::Sensitive => {}
        }
    }
}
