//! With what a call was made, as far as its user agent says.
//!
//! An event comes in, a name such as `Terraform` goes out. A user agent is written by the caller: it is a
//! hint, never proof.

use super::wording::plain;
use crate::event::Event;

/// What stands in a user agent, and what it means; the first that fits counts.
const TOOLS: [(&str, &str); 17] = [
    ("karpenter.sh-", "Karpenter"),
    ("opentofu", "OpenTofu"),
    ("terragrunt", "Terragrunt"),
    ("terraform", "Terraform"),
    ("pulumi", "Pulumi"),
    ("crossplane", "Crossplane"),
    ("eksctl", "eksctl"),
    ("aws-controllers-k8s", "AWS Controllers for Kubernetes"),
    ("cloudformation.amazonaws.com", "CloudFormation"),
    ("aws-cli/", "the AWS CLI"),
    ("console.amazonaws.com", "the AWS console"),
    ("console.aws.amazon.com", "the AWS console"),
    ("mozilla/", "a browser"),
    ("aws-powershell", "PowerShell"),
    ("boto3/", "Boto3"),
    ("aws-sdk-go", "the AWS SDK for Go"),
    ("aws-internal", "the AWS console"),
];

/// `Terraform`, `the AWS CLI`, …; else the service that made the call, else the user agent; `None` if there is none.
pub(super) fn tool(event: &Event) -> Option<String> {
    let agent = event.user_agent.to_ascii_lowercase();
    if let Some((_, name)) = TOOLS.iter().find(|(mark, _)| agent.contains(mark)) {
        return Some((*name).to_owned());
    }
    if let Some(service) = &event.identity.invoked_by {
        return Some(plain(service));
    }
    (!agent.is_empty()).then(|| plain(&event.user_agent))
}

/// ` with Terraform`, or nothing.
pub(super) fn with_tool(event: &Event) -> String {
    tool(event).map_or_else(String::new, |tool| format!(" with {tool}"))
}

/// Who made the call: the role's or user's ARN, or the service.
pub(super) fn who(event: &Event) -> String {
    event.identity.principal().map_or_else(|| "an unnamed principal".to_owned(), |principal| plain(principal))
}
