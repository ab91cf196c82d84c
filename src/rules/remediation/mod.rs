//! What to change, ready to paste: key policy statements, IAM policies, Terraform, EC2NodeClass YAML, AWS CLI.
//!
//! A validated [`Target`], [`Key`] or [`Role`] comes in, a [`Remediation`] with complete documents goes out. The
//! documents give the least that works: one role, one key, the actions of EBS, through EC2 only. Names come
//! from logs that an attacker may have written: nothing reaches a document that was not checked when its type
//! was made, and each writer quotes for its language all the same. Where the evidence does not say what to change,
//! `inspection` says where to look.

mod command_line;
mod inspection;
mod node_class;
mod quote;
mod statement;
mod target;
mod terraform;

pub use inspection::{
    Instance, look_for_records, look_what_else_was_done, look_why_ec2_gave_it_up, look_why_it_never_joined,
};
pub use node_class::NodeClass;
pub use target::{Key, Region, Role, Target, TargetError};

use super::finding::{Document, Remediation};

/// Lets the role use the key, by the key's policy: enough for a role of the key's own account.
#[must_use]
pub fn allow_in_key_policy(target: &Target<'_>) -> Remediation {
    let statements = statement::key_policy(target);
    Remediation {
        summary: format!(
            "Add statements to the key policy, so that EC2 may use the key for {}. In the key's own account that is enough: \
             the role needs no IAM policy besides.",
            target.role.arn()
        ),
        target: format!("statements for the key policy of {}", target.key.arn()),
        documents: vec![
            statement::list_document(&statements),
            terraform::source_policy_document(&statements, &target.key),
            command_line::put_key_policy(&target.key, &statements),
        ],
    }
}

/// Lets the role use the key, by a policy of the role: enough where the key policy leaves the decision to the
/// role's account. A service-linked role gets [`allow_service_linked_role`] instead: it takes no policies.
#[must_use]
pub fn allow_in_role_policy(target: &Target<'_>) -> Remediation {
    if target.role.is_service_linked() {
        return allow_service_linked_role(target);
    }
    let statements = statement::role_policy(target);
    Remediation {
        summary: format!(
            "Give {} an IAM policy, so that EC2 may use the key for it. That is enough as long as the key policy \
             leaves it to the IAM policies of account {}.",
            target.role.arn(),
            target.role.account_id()
        ),
        target: format!("IAM policy of {}", target.role.arn()),
        documents: role_documents(target, &statements),
    }
}

/// Lets a role use a key of another account: by the key policy there and by a policy of the role here, of
/// which neither works alone. A service-linked role gets [`allow_service_linked_role`] instead.
#[must_use]
pub fn allow_across_accounts(target: &Target<'_>) -> Remediation {
    if target.role.is_service_linked() {
        return allow_service_linked_role(target);
    }
    let key_statements = statement::key_policy(target);
    let role_statements = statement::role_policy(target);
    let mut documents = vec![
        statement::list_document(&key_statements),
        command_line::put_key_policy(&target.key, &key_statements),
    ];
    documents.extend(role_documents(target, &role_statements));
    Remediation {
        summary: format!(
            "Add statements to the key policy in account {}, and give {} a policy in account {}: across accounts, \
             both must allow. Of the texts to paste, the first two are for the key policy, the others for the role.",
            target.key.account_id(),
            target.role.arn(),
            target.role.account_id()
        ),
        target: format!("key policy of {} and IAM policy of {}", target.key.arn(), target.role.arn()),
        documents,
    }
}

fn role_documents(target: &Target<'_>, statements: &[statement::Statement]) -> Vec<Document> {
    vec![
        statement::policy_document(statements),
        terraform::role_policy(statements, &target.role),
        command_line::put_role_policy(&target.role, statements),
    ]
}

/// Lets a service-linked role use the key. Its own policies cannot be changed: the key policy must name it, or
/// a grant must be made for it (across accounts, always a grant).
#[must_use]
pub fn allow_service_linked_role(target: &Target<'_>) -> Remediation {
    if target.is_across_accounts() {
        let statements = statement::grant_by_account(target);
        return Remediation {
            summary: format!(
                "Add the statement to the key policy in account {}, then make the grant from account {}.",
                target.key.account_id(),
                target.role.account_id()
            ),
            target: format!(
                "key policy of {} and a grant made in account {}",
                target.key.arn(),
                target.role.account_id()
            ),
            documents: vec![
                statement::list_document(&statements),
                command_line::put_key_policy(&target.key, &statements),
                command_line::create_grant(target),
            ],
        };
    }
    let statements = statement::key_policy(target);
    Remediation {
        summary: format!(
            "Add statements to the key policy, or make a grant: {} is service-linked, so no IAM policy can \
             allow it.",
            target.role.arn()
        ),
        target: format!(
            "key policy of {}, or a grant in account {}",
            target.key.arn(),
            target.key.account_id()
        ),
        documents: vec![
            statement::list_document(&statements),
            terraform::source_policy_document(&statements, &target.key),
            command_line::put_key_policy(&target.key, &statements),
            command_line::create_grant(target),
        ],
    }
}

/// Enables a disabled key.
#[must_use]
pub fn enable_key(key: &Key<'_>) -> Remediation {
    Remediation {
        summary: "Enable the key, or give the node class another one.".to_owned(),
        target: format!("state of {}", key.arn()),
        documents: vec![command_line::enable_key(key)],
    }
}

/// Takes back the deletion of a key, while its waiting period lasts.
#[must_use]
pub fn cancel_key_deletion(key: &Key<'_>) -> Remediation {
    Remediation {
        summary:
            "Cancel the deletion while the waiting period lasts, and enable the key. After that, the key and \
                  every volume under it are lost: give the node class another key."
                .to_owned(),
        target: format!("state of {}", key.arn()),
        documents: vec![command_line::cancel_key_deletion(key)],
    }
}

/// Names the key in the node class, for every device: then neither the account's default nor the image's
/// snapshot chooses it.
#[must_use]
pub fn name_key_in_node_class(key: &Key<'_>, node_class: &NodeClass<'_>) -> Remediation {
    Remediation {
        summary: "Name the key in the node class, for every device.".to_owned(),
        target: node_class.target(),
        documents: vec![node_class::block_device_mappings(node_class, key.arn())],
    }
}

/// Makes a key of Karpenter's own in the role's account, with an alias and a policy, and names it in the node
/// class.
#[must_use]
pub fn use_dedicated_key(
    role: &Role<'_>,
    region: Region<'_>,
    cluster: Option<&str>,
    node_class: &NodeClass<'_>,
) -> Remediation {
    let alias = terraform::dedicated_alias(cluster);
    Remediation {
        summary: format!(
            "Make a key for Karpenter's volumes alone in account {}, region {}, and name it in the node class.",
            role.account_id(),
            region.name()
        ),
        target: format!("a new key in account {}, region {}", role.account_id(), region.name()),
        documents: vec![
            terraform::dedicated_key(role, region, &alias),
            node_class::block_device_mappings(node_class, &alias),
        ],
    }
}

/// Makes the key the account's default for EBS in its region, and turns encryption by default on.
#[must_use]
pub fn make_account_default(key: &Key<'_>) -> Remediation {
    Remediation {
        summary: format!(
            "Make the key the default for new EBS volumes of the account in {}. Every volume that names no key is \
             concerned, not only Karpenter's.",
            key.region().name()
        ),
        target: format!("EBS default key in {}", key.region().name()),
        documents: vec![command_line::modify_ebs_default_key(key)],
    }
}

/// Points an alias back to the key.
///
/// # Errors
///
/// If `alias` is no alias name, or one of those that AWS keeps for itself.
pub fn repoint_alias(key: &Key<'_>, alias: &str) -> Result<Remediation, TargetError> {
    let alias = target::checked_alias(alias)?;
    Ok(Remediation {
        summary: format!("Point {alias} to the key. Nodes that run keep the key that they started with."),
        target: format!("{alias} in account {}, region {}", key.account_id(), key.region().name()),
        documents: vec![command_line::update_alias(key, alias)],
    })
}

/// Copies an image so that its snapshots are under the key, which spares every launch the other key.
///
/// # Errors
///
/// If `image_id` is no image id.
pub fn copy_image(key: &Key<'_>, image_id: &str) -> Result<Remediation, TargetError> {
    let image_id = target::checked_image_id(image_id)?;
    Ok(Remediation {
        summary: format!("Copy {image_id} under the key and let the node class select the copy."),
        target: format!("image {image_id} in {}", key.region().name()),
        documents: vec![command_line::copy_image(key, image_id)],
    })
}

#[cfg(test)]
mod tests;
