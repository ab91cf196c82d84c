//! What the key policy said to a refused call, where the archive holds the policy of that time.
//!
//! A refusal comes in; the decision of the last policy put on the key before it goes out. What the archive does
//! not hold is named as missing.

use super::refusal::Refusal;
use super::tool::with_tool;
use super::view::{Facts, NodeView};
use super::wording::plain;
use crate::event::{Detail, Event, KeyArn};
use crate::policy::{Decision, Effect, Policy, Request, Statement, StatementName, decide, ec2_endpoint};

/// What a policy said.
pub(super) struct Said<'a> {
    /// The event that put the policy in place.
    pub(super) event: &'a Event,
    /// The decision, as a sentence with a space before it.
    pub(super) sentence: String,
    /// Whether the policy leaves it to the IAM policies of the caller's account.
    pub(super) is_delegated: bool,
    /// Whether the policy allows it to the caller by name, or to everyone.
    pub(super) is_allowed: bool,
}

/// The key policy that KMS gives to a key made without one: the account's IAM policies decide.
const DEFAULT_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Enable IAM User Permissions",
    "Effect":"Allow","Principal":{"AWS":"ACCOUNT"},"Action":"kms:*","Resource":"*"}]}"#;

/// The policy that an event put in place; `None` where the record does not hold it, or holds no policy.
pub(crate) fn policy_of(event: &Event) -> Option<Policy> {
    let Detail::Policy(change) = &event.detail else {
        return None;
    };
    match &change.policy {
        Some(text) => Policy::parse(text).ok(),
        None if change.is_creation && !event.omitted => {
            Policy::parse(&DEFAULT_POLICY.replace("ACCOUNT", &event.account_id)).ok()
        }
        None => None,
    }
}

/// The events that put a policy on the key before another event, in order of time.
pub(super) fn changes_before<'a>(facts: &Facts<'a>, key_arn: &str, before: u32) -> Vec<&'a Event> {
    let changes = facts.case.history.policies(key_arn);
    let count = changes.partition_point(|change| change.event < before);
    changes[..count].iter().map(|change| facts.event(change.event)).collect()
}

/// What `policy` says to the refused call. `None` if role, action or key are not known.
pub(super) fn decision(policy: &Policy, refusal: &Refusal<'_>) -> Option<Decision> {
    let principal_arn = refusal.principal()?;
    let action = refusal.denial.action?;
    let via_service = ec2_endpoint(&refusal.event.region);
    let principal_account = principal_arn.split(':').nth(4)?;
    Some(decide(
        policy,
        &Request {
            principal_arn,
            session_name: refusal.event.identity.session_name(),
            principal_account,
            action,
            key_arn: refusal.key_arn()?,
            via_service: Some(&via_service),
            grant_is_for_aws_resource: (action == "kms:CreateGrant").then_some(true),
        },
    ))
}

/// Whether a Deny statement means principal, action and key of the refused call, and its conditions hold or cannot
/// be decided.
fn is_deny_of(policy: &Policy, statement: &Statement, refusal: &Refusal<'_>) -> bool {
    if statement.effect != Effect::Deny {
        return false;
    }
    // Asked as an Allow that stands alone: what such a policy does not refuse, the Deny may refuse.
    let mut alone = statement.clone();
    alone.effect = Effect::Allow;
    let alone = Policy { has_variables: policy.has_variables, statements: vec![alone] };
    !matches!(decision(&alone, refusal), None | Some(Decision::NotAllowed))
}

/// Whether a Deny of the policy applies to the refused call, or may apply.
pub(super) fn has_matching_deny(policy: &Policy, refusal: &Refusal<'_>) -> bool {
    policy.statements.iter().any(|statement| is_deny_of(policy, statement, refusal))
}

/// The Deny statements of `new` that apply to the refused call, or may apply, and that `old` does not have.
pub(super) fn added_denies(old: Option<&Policy>, new: &Policy, refusal: &Refusal<'_>) -> Vec<StatementName> {
    let is_same = |one: &Statement, other: &Statement| {
        (one.effect, &one.principals, &one.actions, &one.resources, &one.conditions)
            == (other.effect, &other.principals, &other.actions, &other.resources, &other.conditions)
    };
    let is_old = |statement: &Statement| {
        old.is_some_and(|old| old.statements.iter().any(|known| is_same(known, statement)))
    };
    let added = new.statements.iter().filter(|statement| is_deny_of(new, statement, refusal));
    added.filter(|statement| !is_old(statement)).map(|statement| statement.name.clone()).collect()
}

/// The policy without these statements.
pub(super) fn without_denies(policy: &Policy, denies: &[StatementName]) -> Policy {
    let kept = policy.statements.iter().filter(|statement| !denies.contains(&statement.name));
    Policy { has_variables: policy.has_variables, statements: kept.cloned().collect() }
}

/// The last event that put a policy on the key before another event.
fn last_before(facts: &Facts<'_>, key_arn: &str, before: u32) -> Option<u32> {
    let changes = facts.case.history.policies(key_arn);
    let count = changes.partition_point(|change| change.event < before);
    changes[..count].last().map(|change| change.event)
}

/// What the key policy in force said to the refused call.
pub(super) fn said<'a>(view: &NodeView<'a>, refusal: &Refusal<'a>) -> Option<Said<'a>> {
    let index = last_before(view.facts, refusal.key_arn()?, refusal.index)?;
    let event = view.facts.event(index);
    let policy = view.facts.policy(index)?;
    let decision = decision(&policy, refusal)?;
    let words = match &decision {
        Decision::Allowed { statement } => format!("allows it by {statement}"),
        Decision::AllowedByRootDelegation { statement } => {
            format!("leaves it to the IAM policies of the caller's account by {statement}")
        }
        Decision::ExplicitDeny { statement } => format!("denies it by {statement}"),
        Decision::NotAllowed => "has no statement that allows it".to_owned(),
        Decision::CannotDecide { why } => format!("may or may not allow it ({why})"),
    };
    let sentence =
        format!(" The key policy, put in place at {}{}, {}.", event.time, with_tool(event), plain(&words));
    Some(Said {
        event,
        sentence,
        is_delegated: matches!(decision, Decision::AllowedByRootDelegation { .. }),
        is_allowed: matches!(decision, Decision::Allowed { .. }),
    })
}

/// What is missing to know the key policy.
pub(super) fn lack(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Option<String> {
    let key = refusal.key_arn()?;
    if last_before(view.facts, key, refusal.index).is_some() {
        return Some(format!("the text of the key policy of {}: the record does not hold it", plain(key)));
    }
    let account = KeyArn::parse(key).map_or("its account", |arn| arn.account_id);
    Some(format!(
        "the key policy of {} at that time: no PutKeyPolicy or CreateKey of it precedes the refusal in this \
         archive (account {account})",
        plain(key)
    ))
}
