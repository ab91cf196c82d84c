//! Several manifests made one. The same object given twice is noted; given twice with different keys it is an
//! error, for nothing says which of them a cluster runs.

use std::fmt;

use super::{
    LaunchTemplate, Manifest, ManifestError, Mapping, NodeClass, NodePool, Note, NoteKind, Position,
};
use crate::event::Text;

/// One object with two meanings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{second}: {object} `{name}` is also set at {first}, and they differ in {difference}; give one of them"
)]
pub struct Conflict {
    /// What kind of object.
    pub object: &'static str,
    /// Its name.
    pub name: Text,
    /// What differs.
    pub difference: &'static str,
    /// The first place.
    pub first: Position,
    /// The second place.
    pub second: Position,
}

/// Objects of one kind; more than any cluster has.
const OBJECTS_MAX: usize = 5_000;

impl Manifest {
    /// Takes over all of `other`.
    ///
    /// # Errors
    /// If an object of `other` is already there, with other keys, or if there are too many objects.
    pub fn merge(&mut self, other: Self) -> Result<(), ManifestError> {
        for class in other.node_classes {
            self.add_node_class(class)?;
        }
        for pool in other.node_pools {
            self.add_node_pool(pool)?;
        }
        for template in other.launch_templates {
            self.add_launch_template(template)?;
        }
        for (alias, setting) in other.aliases {
            self.add_alias(alias, setting)?;
        }
        self.notes.extend(other.notes);
        Ok(())
    }

    pub(super) fn note(&mut self, kind: NoteKind, position: &Position, message: impl fmt::Display) {
        self.notes.push(Note { kind, position: position.clone(), message: message.to_string() });
    }

    pub(super) fn add_node_class(&mut self, class: NodeClass) -> Result<(), ManifestError> {
        let known =
            self.node_classes.iter().find(|known| (known.kind, &known.name) == (class.kind, &class.name));
        let Some(known) = known else {
            within_limit(self.node_classes.len(), &class.position)?;
            self.node_classes.push(class);
            return Ok(());
        };
        let is_same = is_same_mappings(&known.mappings, &class.mappings)
            && (&known.unread, &known.launch_template) == (&class.unread, &class.launch_template);
        self.repeated(
            "node class",
            class.name,
            is_same,
            "their volumes",
            known.position.clone(),
            class.position,
        )
    }

    pub(super) fn add_node_pool(&mut self, pool: NodePool) -> Result<(), ManifestError> {
        let known = self
            .node_pools
            .iter()
            .find(|known| (&known.name, known.is_provisioner) == (&pool.name, pool.is_provisioner));
        let Some(known) = known else {
            within_limit(self.node_pools.len(), &pool.position)?;
            self.node_pools.push(pool);
            return Ok(());
        };
        let is_same = known.node_class == pool.node_class;
        self.repeated(
            "node pool",
            pool.name,
            is_same,
            "their node class",
            known.position.clone(),
            pool.position,
        )
    }

    pub(super) fn add_launch_template(&mut self, template: LaunchTemplate) -> Result<(), ManifestError> {
        let known = self.launch_templates.iter().find(|known| match (&known.id, &template.id) {
            (Some(known), Some(id)) => known == id,
            _ => known.name.is_some() && known.name == template.name,
        });
        let Some(known) = known else {
            within_limit(self.launch_templates.len(), &template.position)?;
            self.launch_templates.push(template);
            return Ok(());
        };
        let is_same = is_same_mappings(&known.mappings, &template.mappings);
        let name = template.name.or(template.id).unwrap_or_default();
        self.repeated(
            "launch template",
            name,
            is_same,
            "their volumes",
            known.position.clone(),
            template.position,
        )
    }

    pub(super) fn add_alias(
        &mut self,
        alias: Text,
        setting: super::AliasSetting,
    ) -> Result<(), ManifestError> {
        let Some(known) = self.aliases.get(&alias) else {
            self.aliases.insert(alias, setting);
            return Ok(());
        };
        let is_same = known.key == setting.key;
        self.repeated("alias", alias, is_same, "their key", known.position.clone(), setting.position)
    }

    fn repeated(
        &mut self,
        object: &'static str,
        name: Text,
        is_same: bool,
        difference: &'static str,
        first: Position,
        second: Position,
    ) -> Result<(), ManifestError> {
        if !is_same {
            return Err(Box::new(Conflict { object, name, difference, first, second }).into());
        }
        self.note(NoteKind::Repeated, &second, format_args!("{object} `{name}` is also set at {first}"));
        Ok(())
    }
}

fn within_limit(count: usize, position: &Position) -> Result<(), ManifestError> {
    if count < OBJECTS_MAX {
        return Ok(());
    }
    let message = format!("more than {OBJECTS_MAX} objects of one kind");
    Err(ManifestError::Malformed { position: position.clone(), message })
}

/// Whether mappings say the same, wherever they are written.
fn is_same_mappings(one: &[Mapping], other: &[Mapping]) -> bool {
    let said = |mapping: &Mapping| {
        let key = mapping.kms_key.as_ref().map(|key| (key.text.clone(), key.form));
        let Mapping { device, is_root, is_ebs, encrypted, snapshot_id, .. } = mapping.clone();
        (device, is_root, is_ebs, encrypted, key, snapshot_id)
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| said(one) == said(other))
}
