//! What the given manifests say of a node, and where.

use super::{Assertion, Context, Location, Notice};
use crate::correlate::{DeviceKey, Node};
use crate::event::Text;

impl Context<'_> {
    /// Where a manifest sets the key of a device.
    pub(super) fn location(&self, _node: &Node, _device: &DeviceKey) -> Option<Location> {
        None
    }

    /// EBS devices that the node's class maps, by name where it has one; `None` without a manifest of it.
    pub(super) fn node_class_devices(&self, _node: &Node) -> Option<Vec<Option<Text>>> {
        None
    }

    /// How many EBS devices the node's class maps.
    pub(super) fn node_class_mappings(&self, node: &Node) -> Option<usize> {
        self.node_class_devices(node).map(|devices| devices.len())
    }

    /// Whether the node runs Bottlerocket, whose image has two volumes.
    pub(super) fn is_bottlerocket(&self, _node: &Node) -> bool {
        false
    }

    /// Why a key of a manifest cannot be compared, and what would help.
    pub(super) fn why_unwritten(&self, _node: &Node, _device: &DeviceKey) -> Option<(String, String)> {
        None
    }

    /// One assertion per given node class: that a node of it was launched.
    pub(super) fn node_classes_launched(&self, _judged: &[&Node]) -> Vec<Assertion> {
        Vec::new()
    }

    /// What the manifests themselves need said.
    pub(super) fn manifest_notices(&self) -> Vec<Notice> {
        Vec::new()
    }
}
