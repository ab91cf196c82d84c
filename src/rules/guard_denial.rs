//! KMS refused because of a guard: an explicit deny, or a boundary, session, endpoint or organisation policy.
//!
//! A node's refusals come in, a finding that names the kind of guard goes out. Which document it is, CloudTrail
//! does not say, unless it is the key policy.

use std::collections::BTreeSet;

use super::finding::{Remediation, Severity};
use super::refusal::{self, Fit, Refusal, Wording, is_unspecified};
use super::remediation::{self, Target};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{list, plain};
use crate::event::{DenialKind, ExplicitDenyIn};

pub(super) static RULE: Rule = Rule {
    id: "KT103",
    name: "kms-denied-by-guard",
    severity: Severity::Critical,
    summary: "KMS refused a volume's key because of an explicit deny, or because a boundary, session or organisation policy does not allow it.",
    docs: "\
## Concludes

A guard refuses the key, whatever role and key policies allow: an explicit deny (in an identity-based, resource-based, session,
service control, resource control or VPC endpoint policy, or a permissions boundary), or a guard that does not allow the action.
Adding an allow to the key policy does not help.

## Evidence required

A KMS event with `AccessDenied` whose message says `with an explicit deny in …` or `because no … allows` for a guard, joined to the node.

## What would disprove it

The same call by the same role on the same key succeeding at the same time.

## Blind spots

The message names the kind of policy, not which one. Organisation policies and boundaries are not in KMS's records. Conditions
on networks (`aws:SourceIp`, `aws:SourceVpc`) refuse EBS because AWS makes the call, which looks like any other explicit deny.

## References

- <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
- <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
- <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html>
",
    evaluate: Evaluate::Node(evaluate),
};

/// The kind of guard, and whether it denies by name; `None` for a refusal that no guard makes.
fn guard(kind: DenialKind) -> Option<(&'static str, bool)> {
    Some(match kind {
        DenialKind::NoPermissionsBoundary => ("permissions boundary", false),
        DenialKind::NoSessionPolicy => ("session policy", false),
        DenialKind::NoServiceControlPolicy => ("service control policy", false),
        DenialKind::NoResourceControlPolicy => ("resource control policy", false),
        DenialKind::NoVpcEndpointPolicy => ("VPC endpoint policy", false),
        DenialKind::ExplicitDeny(place) => (
            match place {
                ExplicitDenyIn::IdentityPolicy => "identity-based policy",
                ExplicitDenyIn::ResourcePolicy => "resource-based policy (the key policy)",
                ExplicitDenyIn::ServiceControlPolicy => "service control policy",
                ExplicitDenyIn::ResourceControlPolicy => "resource control policy",
                ExplicitDenyIn::PermissionsBoundary => "permissions boundary",
                ExplicitDenyIn::SessionPolicy => "session policy",
                ExplicitDenyIn::VpcEndpointPolicy => "VPC endpoint policy",
                ExplicitDenyIn::Unnamed => "policy that the message does not name",
            },
            true,
        ),
        _ => return None,
    })
}

fn fit(refusal: &Refusal<'_>) -> Fit {
    match refusal.denial.kind {
        kind if guard(kind).is_some() => Fit::Yes,
        kind if is_unspecified(kind) => {
            Fit::Unclear("which policy refused: the message does not name it".to_owned())
        }
        _ => Fit::No,
    }
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    refusal::judge(
        &RULE,
        view,
        fit,
        |refusals| {
            let guards: BTreeSet<String> = refusals
                .iter()
                .filter_map(|refusal| guard(refusal.denial.kind))
                .map(|(name, denies)| {
                    if denies { format!("explicit deny in a {name}") } else { format!("no {name} allows it") }
                })
                .collect();
            let guards = list(guards, 3).replace("in a identity", "in an identity");
            Wording {
                meaning: format!(
                    " The message names the guard: {guards}. An allow elsewhere does not help: the guard itself has to \
                     let the action pass."
                ),
                title: guards,
            }
        },
        |refusals| refusals.first().and_then(|refusal| open(refusal)),
    )
}

/// Lets the guard pass the action: what a guard that allows nothing must allow, or which deny is to be narrowed.
fn open(refusal: &Refusal<'_>) -> Option<Remediation> {
    let (name, denies) = guard(refusal.denial.kind)?;
    let principal = refusal.principal().map_or_else(|| "the role".to_owned(), plain);
    let key = refusal.key_arn().map_or_else(|| "the key".to_owned(), plain);
    let action = refusal.action();
    if denies {
        return Some(remedy::words(
            format!(
                "Except {principal} from the statement that denies {action} on {key}, or narrow its condition."
            ),
            format!("deny statement in the {name} that applies to {principal}"),
        ));
    }
    let mut remedy = remedy::words(
        format!("Let the {name} of {principal} allow what EBS needs of {key}."),
        format!("{name} of {principal}"),
    );
    if let Ok(target) = Target::new(refusal.principal()?, refusal.key_arn()?)
        && !target.role.is_service_linked()
    {
        // The statements are those of a role's policy; a guard only has to hold them as well.
        let documents = remediation::allow_in_role_policy(&target).documents;
        remedy.documents.extend(documents.into_iter().filter(|document| document.format == "iam-json"));
    }
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, finding, is_undetermined, of_node};

    fn refused(reason: &str) -> Verdict {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, reason);
        of_node(&RULE, &log.case(), "a")
    }

    #[test]
    fn fires_and_names_the_kind_of_guard() {
        for (reason, words) in [
            (
                "with an explicit deny in a service control policy",
                "explicit deny in a service control policy",
            ),
            (
                "with an explicit deny in an identity-based policy",
                "explicit deny in an identity-based policy",
            ),
            ("because no permissions boundary allows the ACTION action", "no permissions boundary allows it"),
            ("because no session policy allows the ACTION action", "no session policy allows it"),
        ] {
            let finding = finding(refused(reason));
            assert!(finding.title.ends_with(words), "{}", finding.title);
            assert_eq!(finding.confidence, Confidence::Observed);
            assert!(finding.remediation.is_some());
        }
    }

    #[test]
    fn fires_with_the_statement_for_a_boundary_but_none_against_a_deny() {
        let allow = finding(refused("because no permissions boundary allows the ACTION action"));
        assert_eq!(allow.remediation.expect("a remedy").documents.len(), 1);
        let deny = finding(refused("with an explicit deny in a session policy"));
        assert!(deny.remediation.expect("a remedy").documents.is_empty());
        assert!(deny.ruled_out.iter().any(|text| text.starts_with("not a missing statement")));
    }

    #[test]
    fn silent_when_an_allow_is_missing() {
        assert_eq!(refused(NO_IDENTITY_POLICY), Verdict::Silent);
    }

    #[test]
    fn undetermined_when_the_message_names_no_policy() {
        assert!(is_undetermined(&refused("")));
    }
}
