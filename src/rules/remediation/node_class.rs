//! The part of an EC2NodeClass that names the key.
//!
//! A node class and a key come in, YAML of `karpenter.k8s.aws/v1` goes out. Sizes and types of volumes are not
//! known here, so the text says to keep them.

use std::fmt::Write;

use super::super::finding::Document;
use super::quote;
use super::target;

/// Root device of the Amazon Linux images, where the devices of a node class are not known.
const USUAL_DEVICE: &str = "/dev/xvda";

/// Most devices that are written out; an instance has fewer.
const DEVICES_MAX: usize = 64;

/// A node class and its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeClass<'a> {
    name: Option<&'a str>,
    devices: Vec<&'a str>,
}

impl<'a> NodeClass<'a> {
    /// A node class by its name and devices, as far as they are known; what is no such name is left out.
    #[must_use]
    pub fn new(name: Option<&'a str>, devices: impl IntoIterator<Item = &'a str>) -> Self {
        let is_name = |name: &&str| {
            name.len() <= 253
                && target::consists_of(name, b"-.")
                && !name.bytes().any(|byte| byte.is_ascii_uppercase())
        };
        let mut known: Vec<&str> = Vec::new();
        for device in
            devices.into_iter().filter(|device| device.len() <= 64 && target::consists_of(device, b"/"))
        {
            if known.len() < DEVICES_MAX && !known.contains(&device) {
                known.push(device);
            }
        }
        Self { name: name.filter(is_name), devices: known }
    }

    /// What is to be changed, in words.
    pub(super) fn target(&self) -> String {
        match self.name {
            Some(name) => format!("EC2NodeClass {name}"),
            None => "EC2NodeClass of the nodes".to_owned(),
        }
    }
}

/// `blockDeviceMappings` with the key: an ARN, or an alias of the nodes' account.
pub(super) fn block_device_mappings(node_class: &NodeClass<'_>, key: &str) -> Document {
    let mut body = String::from(
        "# Keep the other fields, devices, sizes and types of the node class: a list is replaced as a whole.\n\
         apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n",
    );
    let _ = writeln!(body, "  name: {}", quote::yaml(node_class.name.unwrap_or("default")));
    body.push_str("spec:\n  blockDeviceMappings:\n");
    let usual = [USUAL_DEVICE];
    let devices = if node_class.devices.is_empty() { &usual } else { node_class.devices.as_slice() };
    for device in devices {
        let _ = writeln!(body, "    - deviceName: {}", quote::yaml(device));
        let _ = writeln!(body, "      ebs:\n        encrypted: true\n        kmsKeyID: {}", quote::yaml(key));
    }
    Document { format: "yaml", body }
}
