//! Terraform: policy documents for a key or role that exist, and a key of Karpenter's own.
//!
//! Statements come in, HCL as `terraform fmt` leaves it goes out.

use std::fmt::Write;

use super::super::finding::Document;
use super::quote;
use super::statement::{self, Statement};
use super::target::{self, Key, Region, Role};

const DELETION_WINDOW_DAYS: u32 = 30;

/// The statements as a policy document that the `eks` module adds to the policy of the key that it makes.
pub(super) fn source_policy_document(statements: &[Statement], key: &Key<'_>) -> Document {
    let mut body =
        format!("# For the key that the module makes for the cluster, if that is {}.\n", key.arn());
    body.push_str(
        "# A key made elsewhere takes the same document in the source_policy_documents of its policy.\n",
    );
    push_policy_document(&mut body, "karpenter_ebs", statements);
    body.push_str(
        r#"
module "eks" {
  source = "terraform-aws-modules/eks/aws"

  # Keep the arguments that are there, and add:
  kms_key_source_policy_documents = [data.aws_iam_policy_document.karpenter_ebs.json]
}
"#,
    );
    Document { format: "terraform", body }
}

/// The statements as an inline policy of the role.
pub(super) fn role_policy(statements: &[Statement], role: &Role<'_>) -> Document {
    let mut body = String::new();
    push_policy_document(&mut body, "karpenter_ebs_key", statements);
    let kind = if role.is_user() { "user" } else { "role" };
    let _ = write!(
        body,
        r#"
resource "aws_iam_{kind}_policy" "karpenter_ebs_key" {{
  name   = "karpenter-ebs-key"
  {kind}   = {}
  policy = data.aws_iam_policy_document.karpenter_ebs_key.json
}}
"#,
        quote::hcl(role.name())
    );
    Document { format: "terraform", body }
}

/// Name of the alias of a key of Karpenter's own; with the cluster's name where that fits into an alias.
pub(super) fn dedicated_alias(cluster: Option<&str>) -> String {
    let named = cluster.map(|cluster| format!("alias/karpenter-ebs-{cluster}"));
    named
        .filter(|alias| target::checked_alias(alias).is_ok())
        .unwrap_or_else(|| "alias/karpenter-ebs".to_owned())
}

/// A key, its alias and its policy.
pub(super) fn dedicated_key(role: &Role<'_>, region: Region<'_>, alias: &str) -> Document {
    let mut body =
        format!("# Apply with a provider for account {} and region {}.\n", role.account_id(), region.name());
    push_policy_document(&mut body, "karpenter_ebs", &statement::new_key_policy(role, region));
    let _ = write!(
        body,
        r#"
resource "aws_kms_key" "karpenter_ebs" {{
  description             = "EBS volumes of Karpenter nodes"
  deletion_window_in_days = {DELETION_WINDOW_DAYS}
  enable_key_rotation     = true
  policy                  = data.aws_iam_policy_document.karpenter_ebs.json
}}

resource "aws_kms_alias" "karpenter_ebs" {{
  name          = {}
  target_key_id = aws_kms_key.karpenter_ebs.key_id
}}
"#,
        quote::hcl(alias)
    );
    Document { format: "terraform", body }
}

fn push_policy_document(body: &mut String, name: &str, statements: &[Statement]) {
    let _ = writeln!(body, "data \"aws_iam_policy_document\" \"{name}\" {{");
    for (index, statement) in statements.iter().enumerate() {
        if index > 0 {
            body.push('\n');
        }
        let _ = write!(
            body,
            "  statement {{\n    sid       = {}\n    actions   = {}\n    resources = {}\n",
            quote::hcl(statement.sid),
            quote::hcl_list(&statement.actions),
            quote::hcl_list(std::slice::from_ref(&statement.resource)),
        );
        if let Some(principal) = &statement.principal {
            let _ = write!(
                body,
                "\n    principals {{\n      type        = \"AWS\"\n      identifiers = {}\n    }}\n",
                quote::hcl_list(std::slice::from_ref(principal)),
            );
        }
        for (operator, key, value) in &statement.conditions {
            let _ = write!(
                body,
                "\n    condition {{\n      test     = {}\n      variable = {}\n      values   = {}\n    }}\n",
                quote::hcl(operator),
                quote::hcl(key),
                quote::hcl_list(std::slice::from_ref(value)),
            );
        }
        body.push_str("  }\n");
    }
    body.push_str("}\n");
}
