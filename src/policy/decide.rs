//! What a key policy says to a request.
//!
//! A policy and a request come in, a [`Decision`] goes out. As AWS does it: a deny that applies wins, else an
//! allow that applies, else nothing is allowed. Whatever stays unknown stays unknown unless it cannot matter.

use super::condition::Truth;
use super::document::{Effect, Policy, Selection, Statement, StatementName};
use super::pattern;
use super::principal::Means;

/// A call on a key by a role or user, directly or through a service that acts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// ARN of the role (or user) that calls; a session's ARN where the role's is not known.
    pub principal_arn: &'a str,
    /// Name of the role's session, if known.
    pub session_name: Option<&'a str>,
    /// Account of the role.
    pub principal_account: &'a str,
    /// Action, such as `kms:CreateGrant`; no wildcards.
    pub action: &'a str,
    /// ARN of the key.
    pub key_arn: &'a str,
    /// `kms:ViaService`: the service that calls for the role, such as `ec2.us-east-1.amazonaws.com`; `None` for
    /// a call without one.
    pub via_service: Option<&'a str>,
    /// `kms:GrantIsForAWSResource`; `None` for actions that make no grant.
    pub grant_is_for_aws_resource: Option<bool>,
}

/// What the key policy says.
///
/// For a caller of another account than the key's, the IAM policies of the caller's account must allow the
/// action as well, whatever the key policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it to the caller by name, or to everyone.
    Allowed {
        /// Which.
        statement: StatementName,
    },
    /// A statement allows it to the caller's account: the account's IAM policies decide.
    AllowedByRootDelegation {
        /// Which.
        statement: StatementName,
    },
    /// A statement denies it.
    ExplicitDeny {
        /// Which.
        statement: StatementName,
    },
    /// No statement allows it.
    NotAllowed,
    /// It depends on facts that are not known.
    CannotDecide {
        /// The statement, and the condition key or operator that it depends on.
        why: String,
    },
}

/// What `policy` says to `request`.
///
/// A deny that may or may not apply makes this [`Decision::CannotDecide`], unless nothing allows the action
/// anyway. Where the account is allowed and a statement that names the role cannot be decided, the account's
/// delegation is reported: that much is certain.
#[must_use]
pub fn decide(policy: &Policy, request: &Request<'_>) -> Decision {
    let mut allowed: Option<&StatementName> = None;
    let mut delegated: Option<&StatementName> = None;
    let mut perhaps_allowed: Option<String> = None;
    let mut perhaps_denied: Option<String> = None;
    for statement in &policy.statements {
        match (statement.effect, statement.applies(request, policy.has_variables)) {
            (_, Means::Not) => {}
            (Effect::Deny, Means::Directly | Means::ByAccount) => {
                return Decision::ExplicitDeny { statement: statement.name.clone() };
            }
            (Effect::Allow, Means::Directly) => _ = allowed.get_or_insert(&statement.name),
            (Effect::Allow, Means::ByAccount) => _ = delegated.get_or_insert(&statement.name),
            (effect, Means::Unknown(why)) => {
                let perhaps = if effect == Effect::Deny { &mut perhaps_denied } else { &mut perhaps_allowed };
                perhaps.get_or_insert_with(|| format!("{}: {why}", statement.name));
            }
        }
    }
    let is_perhaps_allowed = allowed.is_some() || delegated.is_some() || perhaps_allowed.is_some();
    if let Some(why) = perhaps_denied.filter(|_| is_perhaps_allowed) {
        return Decision::CannotDecide { why };
    }
    if let Some(statement) = allowed {
        return Decision::Allowed { statement: statement.clone() };
    }
    if let Some(statement) = delegated {
        return Decision::AllowedByRootDelegation { statement: statement.clone() };
    }
    perhaps_allowed.map_or(Decision::NotAllowed, |why| Decision::CannotDecide { why })
}

impl Statement {
    /// How the statement applies to the request, if it does: all of its elements must fit.
    fn applies(&self, request: &Request<'_>, has_variables: bool) -> Means {
        let principals = self.principals.mean(request);
        if principals == Means::Not || !self.actions.selects(request.action, pattern::matches_ignoring_case) {
            return Means::Not;
        }
        let mut unknown = None;
        if has_variables && self.resources.patterns.iter().any(|pattern| pattern.contains("${")) {
            unknown = Some("Resource holds a policy variable".to_owned());
        } else if !self.resources.selects(request.key_arn, pattern::arn_matches) {
            return Means::Not;
        }
        for condition in &self.conditions {
            match condition.holds(request, has_variables) {
                Truth::Yes => {}
                Truth::No => return Means::Not,
                Truth::Unknown(why) => _ = unknown.get_or_insert(why),
            }
        }
        match (principals, unknown) {
            (principals, None) => principals,
            (_, Some(why)) => Means::Unknown(why),
        }
    }
}

impl Selection {
    fn selects(&self, text: &str, matches: impl Fn(&str, &str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, text)) != self.is_negated
    }
}

#[cfg(test)]
mod tests;
