//! Key policies as people write them: for Karpenter's role, without it, and for a cluster's secrets.
//!
//! Role ARNs come in, the policy's text goes out, spaced as Terraform and the console send it.

const USE_ACTIONS: &str =
    r#"["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"]"#;

fn root_statement(account_id: &str) -> String {
    format!(
        r#"{{"Sid":"EnableIAMUserPermissions","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account_id}:root"}},"Action":"kms:*","Resource":"*"}}"#
    )
}

fn use_statement(sid: &str, role_arn: &str) -> String {
    format!(
        r#"{{"Sid":"{sid}","Effect":"Allow","Principal":{{"AWS":"{role_arn}"}},"Action":{USE_ACTIONS},"Resource":"*"}}"#
    )
}

fn grant_statement(sid: &str, role_arn: &str) -> String {
    format!(
        r#"{{"Sid":"{sid}","Effect":"Allow","Principal":{{"AWS":"{role_arn}"}},"Action":"kms:CreateGrant","Resource":"*","Condition":{{"Bool":{{"kms:GrantIsForAWSResource":"true"}}}}}}"#
    )
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

/// The root account, and `role_arn` for its nodes' volumes.
pub fn for_karpenter(account_id: &str, role_arn: &str) -> String {
    document(&[
        root_statement(account_id),
        use_statement("AllowKarpenterToUseTheKey", role_arn),
        grant_statement("AllowKarpenterToAttachVolumes", role_arn),
    ])
}

/// The root account and a backup role: nothing for Karpenter.
pub fn without_karpenter(account_id: &str) -> String {
    let backup_role = format!("arn:aws:iam::{account_id}:role/service-role/AWSBackupDefaultServiceRole");
    document(&[root_statement(account_id), use_statement("AllowBackup", &backup_role)])
}

/// The cluster's role and an administrator, without delegation to the account.
pub fn for_cluster_secrets(account_id: &str, cluster_role_arn: &str) -> String {
    let administrator = format!("arn:aws:iam::{account_id}:role/key-administrator");
    document(&[
        format!(
            r#"{{"Sid":"KeyAdministration","Effect":"Allow","Principal":{{"AWS":"{administrator}"}},"Action":["kms:Describe*","kms:Get*","kms:List*","kms:PutKeyPolicy","kms:ScheduleKeyDeletion","kms:CancelKeyDeletion"],"Resource":"*"}}"#
        ),
        use_statement("ClusterSecrets", cluster_role_arn),
        grant_statement("ClusterSecretsGrants", cluster_role_arn),
    ])
}
