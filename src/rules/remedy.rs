//! From what a rule knows of role, key and node to a remedy with documents ready to paste.
//!
//! Names from a log come in; where one of them is not what such a name must be, the remedy is a sentence
//! without documents.

use super::finding::Remediation;
use super::remediation::{self, Key, NodeClass, Region, Role, Target};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::Node;

/// A remedy in words.
pub(super) fn words(summary: impl Into<String>, target: impl Into<String>) -> Remediation {
    Remediation { summary: summary.into(), target: target.into(), documents: Vec::new() }
}

/// Lets the principal use the key; `is_delegated`: the key policy leaves that to the role's policies.
pub(super) fn allow(
    principal: Option<&str>,
    key_arn: Option<&str>,
    is_delegated: bool,
) -> Option<Remediation> {
    let (principal, key_arn) = (principal?, key_arn?);
    let Ok(target) = Target::new(principal, key_arn) else {
        return Some(words(
            format!("Allow {} to use {} for EBS.", plain(principal), plain(key_arn)),
            format!("key policy of {}", plain(key_arn)),
        ));
    };
    Some(if target.role.is_service_linked() {
        remediation::allow_service_linked_role(&target)
    } else if target.is_across_accounts() {
        remediation::allow_across_accounts(&target)
    } else if is_delegated {
        remediation::allow_in_role_policy(&target)
    } else {
        remediation::allow_in_key_policy(&target)
    })
}

/// The node class of a node, with the devices that its configuration names.
pub(super) fn node_class(node: &Node) -> NodeClass<'_> {
    let devices = node.expected_keys.iter().filter_map(|device| device.device.as_deref());
    NodeClass::new(node.nodeclass.as_deref(), devices)
}

/// Names a key in the node class of a node, for the devices that its configuration names and the root device.
pub(super) fn name_key(view: &NodeView<'_>, key_arn: Option<&str>) -> Option<Remediation> {
    let key = Key::new(key_arn?).ok()?;
    let node = view.node;
    let named = node.expected_keys.iter().filter_map(|device| device.device.as_deref());
    let class = NodeClass::new(node.nodeclass.as_deref(), named.chain(view.root_device()));
    let mut remedy = remediation::name_key_in_node_class(&key, &class);
    if let Some(root) = unlisted_root_device(view) {
        remedy.summary.push_str(&format!(
            " The root device of the AMI is {}: a mapping for another device adds a volume and leaves the root \
             volume without a key.",
            plain(root)
        ));
    }
    Some(remedy)
}

/// The AMI's root device, if the configuration names devices and this is none of them.
pub(super) fn unlisted_root_device<'a>(view: &NodeView<'a>) -> Option<&'a str> {
    let mut named = view.node.expected_keys.iter().filter_map(|device| device.device.as_deref()).peekable();
    named.peek()?;
    view.root_device().filter(|root| !named.any(|device| device == *root))
}

/// A key of Karpenter's own for the nodes like this one.
pub(super) fn dedicated_key(node: &Node) -> Option<Remediation> {
    let role = Role::new(node.principal_arn.as_deref()?).ok()?;
    let region = Region::new(&node.region).ok()?;
    Some(remediation::use_dedicated_key(&role, region, node.cluster.as_deref(), &node_class(node)))
}
