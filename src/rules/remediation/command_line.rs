//! Commands of the AWS CLI.
//!
//! Validated names come in, lines for a POSIX shell go out. Each script stops at its first failure where a
//! later line depends on an earlier one, and none changes more than it says.

use super::super::finding::Document;
use super::quote::shell;
use super::statement::{self, Statement};
use super::target::{Key, Role, Target};

/// What a service-linked role needs of a grant, as AWS documents it for Auto Scaling.
const GRANT_OPERATIONS: [&str; 8] = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

fn document(body: String) -> Document {
    Document { format: "aws-cli", body }
}

/// `--region … --key-id …` of a KMS command.
fn key_options(key: &Key<'_>) -> String {
    format!("--region {} --key-id {}", shell(key.region().name()), shell(key.arn()))
}

/// Adds the statements to the key policy that is in force, which is read first and kept as a file. Appending
/// leaves every statement that is there, so it cannot lock anybody out.
pub(super) fn put_key_policy(key: &Key<'_>, statements: &[Statement]) -> Document {
    let options = key_options(key);
    document(format!(
        "# In account {account}. Adds to the policy in force; key-policy.json keeps the old one.\n\
         aws kms get-key-policy {options} \\\n  --policy-name default --query Policy --output text > key-policy.json &&\n\
         jq --argjson added {added} \\\n  '.Statement |= ((if type == \"array\" then . else [.] end) + $added)' \\\n  \
         key-policy.json > key-policy-new.json &&\n\
         aws kms put-key-policy {options} \\\n  --policy-name default --policy file://key-policy-new.json\n",
        account = key.account_id(),
        added = shell(&statement::list_line(statements)),
    ))
}

/// Gives the role the statements as an inline policy.
pub(super) fn put_role_policy(role: &Role<'_>, statements: &[Statement]) -> Document {
    let kind = if role.is_user() { "user" } else { "role" };
    document(format!(
        "# In account {}.\naws iam put-{kind}-policy --{kind}-name {} \\\n  --policy-name karpenter-ebs-key \\\n  \
         --policy-document {}\n",
        role.account_id(),
        shell(role.name()),
        shell(&statement::policy_line(statements)),
    ))
}

/// Makes a grant for the target's role.
pub(super) fn create_grant(target: &Target<'_>) -> Document {
    document(format!(
        "# In account {}.\naws kms create-grant {} \\\n  --grantee-principal {} \\\n  --operations {}\n",
        target.role.account_id(),
        key_options(&target.key),
        shell(target.role.arn()),
        GRANT_OPERATIONS.join(" "),
    ))
}

pub(super) fn enable_key(key: &Key<'_>) -> Document {
    document(format!("# In account {}.\naws kms enable-key {}\n", key.account_id(), key_options(key)))
}

/// A key whose deletion is cancelled is disabled.
pub(super) fn cancel_key_deletion(key: &Key<'_>) -> Document {
    let options = key_options(key);
    document(format!(
        "# In account {}.\naws kms cancel-key-deletion {options} &&\naws kms enable-key {options}\n",
        key.account_id()
    ))
}

pub(super) fn modify_ebs_default_key(key: &Key<'_>) -> Document {
    let region = shell(key.region().name());
    document(format!(
        "# In the account of the nodes.\naws ec2 modify-ebs-default-kms-key-id --region {region} --kms-key-id {} &&\n\
         aws ec2 enable-ebs-encryption-by-default --region {region}\n",
        shell(key.arn())
    ))
}

pub(super) fn update_alias(key: &Key<'_>, alias: &str) -> Document {
    document(format!(
        "# In account {}.\naws kms update-alias --region {} \\\n  --alias-name {} \\\n  --target-key-id {}\n",
        key.account_id(),
        shell(key.region().name()),
        shell(alias),
        shell(key.arn()),
    ))
}

pub(super) fn copy_image(key: &Key<'_>, image_id: &str) -> Document {
    let region = shell(key.region().name());
    document(format!(
        "# In the account of the nodes.\naws ec2 copy-image --region {region} --source-region {region} \\\n  \
         --source-image-id {} --name {} \\\n  --encrypted --kms-key-id {}\n",
        shell(image_id),
        shell(&format!("{image_id}-own-key")),
        shell(key.arn()),
    ))
}
