//! Which other causes the evidence of a refusal excludes, and what no archive can show.
//!
//! A node and a refusal come in, sentences go out. An event that is absent excludes nothing by itself: such a
//! sentence says that the archive shows none.

use super::refusal::Refusal;
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::{KeyOrigin, KeyState, TerminationCause, TimelineRole};
use crate::event::{DenialKind, ExplicitDenyIn};

/// Causes that a node's refusal and the rest of its evidence exclude.
pub(super) fn of_refusal(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Vec<String> {
    let node = view.node;
    let mut out = Vec::new();
    let kind = refusal.denial.kind;
    if is_of_state(kind) {
        out.push("not a missing permission: the message is about the key itself".to_owned());
    } else if kind != DenialKind::Ambiguous {
        let mut text = "not the key's state: the message is about permission".to_owned();
        let state = refusal
            .key_arn()
            .and_then(|key| view.facts.case.history.key_state(key, refusal.event.time))
            .filter(|state| state.value == KeyState::Enabled);
        if let Some(state) = state {
            text.push_str(&format!(", and the key was enabled since {}", state.time));
        }
        out.push(text);
    }
    match kind {
        DenialKind::NoIdentityPolicy | DenialKind::NoResourcePolicy => {
            out.push("not an explicit deny: the message says that no policy allows it".to_owned());
        }
        DenialKind::ExplicitDeny(place) if place != ExplicitDenyIn::Unnamed => {
            out.push("not a missing statement: the message names an explicit deny".to_owned());
        }
        _ => {}
    }
    if node.key_origin == KeyOrigin::Configured && refusal.is_launch {
        out.push("not the account's default key: the node's configuration names the key".to_owned());
    }
    let is_of_kms = node.termination.as_ref().is_some_and(|end| {
        matches!(end.cause, TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable)
    });
    if is_of_kms {
        out.push(
            "not a spot interruption: the archive shows no BidEvictedEvent that took it running".to_owned(),
        );
        out.push(if view.events(TimelineRole::EndAttempt).next().is_some() {
            "not ended by whoever called TerminateInstances: it was already shutting down".to_owned()
        } else {
            "not ended by a person or by Karpenter: the archive shows no TerminateInstances that found it running"
                .to_owned()
        });
    }
    out
}

/// What no archive shows of a refusal.
pub(super) fn missing(refusal: &Refusal<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    if !is_of_state(refusal.denial.kind) {
        let principal = refusal.principal().map_or_else(|| "the principal".to_owned(), plain);
        missing.push(format!("the IAM policies of {principal}: CloudTrail records of KMS do not hold them"));
    }
    if refusal.is_launch {
        missing.push("EC2's StateReason of the instance: DescribeInstances alone shows it".to_owned());
    }
    missing
}

fn is_of_state(kind: DenialKind) -> bool {
    matches!(
        kind,
        DenialKind::KeyDisabled
            | DenialKind::KeyPendingDeletion
            | DenialKind::KeyUnusable
            | DenialKind::KeyNotFound
    )
}
