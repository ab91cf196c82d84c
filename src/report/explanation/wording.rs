//! The words of an explanation: times, spans, where keys come from, how nodes end.
//!
//! Values of a case come in, sentences go out. Texts of a log stand in them as logged; whoever writes them
//! sanitizes them.

use crate::correlate::{
    Case, Confidence, ExpectedKey, KeyOrigin, KeySource, KeyState, KeyVerdict, Node, TerminationCause,
    TimelineRole, Volume, VolumeOutcome, VolumeRole, is_same_key,
};
use crate::event::{Denial, DenialKind, Event, ExplicitDenyIn, Text, Timestamp};
use crate::manifest::KeyForm;
use crate::report::abbreviate::{limited, named_key, short_principal};
use crate::report::document::contract_name;

/// Longest text taken over from a log, in characters.
const LOG_TEXT_CHARACTERS_MAX: usize = 160;

/// `2026-03-02 10:00:00`.
pub(in crate::report) fn moment(at: Timestamp) -> String {
    at.to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}

/// `13s`, `14m58s`, `2h05m`, `3d04h`.
pub(in crate::report) fn span(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..=86_399 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `+3s`, `-18m21s`.
pub(in crate::report) fn delta(seconds: i64) -> String {
    format!("{}{}", if seconds < 0 { '-' } else { '+' }, span(seconds))
}

pub(in crate::report) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A text of a log, cut where it is long.
pub(super) fn cut(text: &str) -> String {
    limited(text, LOG_TEXT_CHARACTERS_MAX).into_owned()
}

pub(super) fn verdict_name(verdict: KeyVerdict) -> String {
    contract_name(verdict)
}

/// A state, as in "the key is …".
pub(super) fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "enabled",
        KeyState::Disabled => "disabled",
        KeyState::PendingDeletion => "waiting for its deletion",
        KeyState::Deleted => "deleted",
        KeyState::PendingImport => "without key material",
    }
}

/// Where a key came from.
pub(in crate::report) fn origin(origin: KeyOrigin) -> &'static str {
    match origin {
        KeyOrigin::Configured => "the configured key",
        KeyOrigin::AwsManaged => "the AWS managed key of EBS (alias/aws/ebs)",
        KeyOrigin::AccountDefault => "the account's default key for EBS",
        KeyOrigin::AmiSnapshot => "the key of the AMI's snapshot",
        KeyOrigin::ClusterSecrets => "the key of the EKS cluster's secrets",
        KeyOrigin::Other => "neither configured nor a default nor the AMI's",
        KeyOrigin::Unknown => "the archive does not show where it came from",
    }
}

/// Where an expectation comes from.
pub(super) fn source(source: KeySource) -> &'static str {
    match source {
        KeySource::Flag => "--expect-key",
        KeySource::NodeClass => "the node class",
        KeySource::LaunchTemplate => "the launch template",
    }
}

/// What a call was refused for.
pub(super) fn denial_reason(kind: DenialKind) -> &'static str {
    match kind {
        DenialKind::NoIdentityPolicy => "no identity-based policy allows it",
        DenialKind::NoResourcePolicy => "no resource-based policy allows it",
        DenialKind::NoPermissionsBoundary => "no permissions boundary allows it",
        DenialKind::NoSessionPolicy => "no session policy allows it",
        DenialKind::NoServiceControlPolicy => "no service control policy allows it",
        DenialKind::NoResourceControlPolicy => "no resource control policy allows it",
        DenialKind::NoVpcEndpointPolicy => "no VPC endpoint policy allows it",
        DenialKind::ExplicitDeny(deny) => match deny {
            ExplicitDenyIn::IdentityPolicy => "an identity-based policy denies it",
            ExplicitDenyIn::ResourcePolicy => "the key policy denies it",
            ExplicitDenyIn::ServiceControlPolicy => "a service control policy denies it",
            ExplicitDenyIn::ResourceControlPolicy => "a resource control policy denies it",
            ExplicitDenyIn::PermissionsBoundary => "a permissions boundary denies it",
            ExplicitDenyIn::SessionPolicy => "a session policy denies it",
            ExplicitDenyIn::VpcEndpointPolicy => "a VPC endpoint policy denies it",
            ExplicitDenyIn::Unnamed => "a policy denies it",
        },
        DenialKind::KeyDisabled => "the key is disabled",
        DenialKind::KeyPendingDeletion => "the key waits for its deletion",
        DenialKind::KeyUnusable => "the key's state does not allow it",
        DenialKind::KeyNotFound => "there is no such key here",
        DenialKind::Ambiguous => "the key does not exist here or may not be used; AWS does not say which",
        DenialKind::Unspecified => "access denied, without a reason",
    }
}

/// Action and reason of a refusal: `kms:CreateGrant`, "no identity-based policy allows it".
pub(super) fn refusal(event: &Event) -> (String, &'static str) {
    let error = event.error.as_ref();
    let denial = error.and_then(|error| Denial::parse(&error.code, &error.message));
    let named = denial.as_ref().and_then(|denial| denial.action).map(cut);
    let action = named.unwrap_or_else(|| format!("kms:{}", cut(&event.name)));
    (action, denial.map_or("the call failed", |denial| denial_reason(denial.kind)))
}

/// An expected key by name: as written, and its id where that is an alias.
pub(in crate::report) fn expected_name(key: &ExpectedKey) -> String {
    match (&key.written, &key.key_arn) {
        (Some(written), arn) => {
            let name = named_key(&cut(written));
            match arn {
                // A bare id does not say of which replica.
                Some(arn) if name.starts_with("mrk-") => named_key(&cut(arn)),
                Some(arn) if name.starts_with("alias/") => format!("{name} ({})", named_key(&cut(arn))),
                _ => name,
            }
        }
        (None, Some(arn)) => named_key(&cut(arn)),
        (None, None) => "no key".to_owned(),
    }
}

/// Whether the launch template of the launch is known to name other keys than those that are expected.
fn was_configured_otherwise(node: &Node) -> bool {
    !node.template_keys.is_empty() || node.expected_keys.iter().any(|own| own.key.source == KeySource::Flag)
}

/// Which keys the node's volumes are under, in a sentence.
pub(in crate::report) fn verdict_sentence(case: &Case, node: &Node) -> String {
    let launch: Vec<&Volume> =
        node.volumes.iter().filter(|volume| volume.role == Some(VolumeRole::Launch)).collect();
    let used = |volume: &&&Volume| volume.outcome == VolumeOutcome::Used;
    let number = launch.iter().filter(used).count() as u64;
    let volumes = match number {
        1 => "The volume of its launch is".to_owned(),
        2 => "Both volumes of its launch are".to_owned(),
        _ => format!("All {number} volumes of its launch are"),
    };
    let expected: Vec<&ExpectedKey> =
        node.expected_keys.iter().map(|own| &own.key).filter(|key| key.written.is_some()).collect();
    match node.key_verdict {
        KeyVerdict::Denied => denied_sentence(case, node, &launch),
        KeyVerdict::Match => match &node.expected_key {
            Some(key) => format!("{volumes} under the expected key, {}.", expected_name(key)),
            None => format!("{volumes} under the expected keys."),
        },
        KeyVerdict::Mismatch => {
            let is_expected = |arn: &Text| {
                expected.iter().filter_map(|key| key.key_arn.as_ref()).any(|own| is_same_key(own, arn))
            };
            let wrong: Vec<&&Volume> = launch
                .iter()
                .filter(|volume| volume.key_arn.as_ref().is_some_and(|arn| !is_expected(arn)))
                .collect();
            let wanted = match &node.expected_key {
                Some(key) => expected_name(key),
                None => "the expected ones".to_owned(),
            };
            match wrong.first() {
                Some(first) => format!(
                    "{} under another key: {}, {}, instead of {wanted}.",
                    match wrong.len() as u64 {
                        wrong if wrong == number => volumes,
                        wrong => format!(
                            "{wrong} of {} of its launch {}",
                            counted(number, "volume"),
                            if wrong == 1 { "is" } else { "are" }
                        ),
                    },
                    first.key_arn.as_ref().map_or_else(|| "?".to_owned(), |arn| named_key(&cut(arn))),
                    match first.key_origin {
                        KeyOrigin::Configured if was_configured_otherwise(node) => {
                            "which the launch template named"
                        }
                        other => origin(other),
                    }
                ),
                None => "Its volumes are not spread over the expected keys as configured.".to_owned(),
            }
        }
        KeyVerdict::NoExpectation => {
            let keys: Vec<String> = node.used_keys.iter().map(|key| named_key(&cut(key))).take(3).collect();
            format!(
                "{volumes} under {} ({}); nothing says which key was expected.",
                keys.join(", "),
                origin(node.key_origin)
            )
        }
        KeyVerdict::Unencrypted => "Its volumes are not encrypted: its launch made no use of KMS, and the \
             archive shows that of other launches at that time."
            .to_owned(),
        KeyVerdict::Unknown => unknown_sentence(node, &launch, &expected),
    }
}

fn denied_sentence(case: &Case, node: &Node, launch: &[&Volume]) -> String {
    let refused = launch.iter().find(|volume| volume.outcome != VolumeOutcome::Used);
    let key = refused
        .and_then(|volume| volume.key_arn.as_ref())
        .map_or_else(|| "a key".to_owned(), |arn| format!("key {}", named_key(&cut(arn))));
    let refusals: Vec<&Event> = node
        .timeline
        .iter()
        .filter(|entry| entry.role == TimelineRole::Refusal)
        .map(|entry| &*case.events[entry.event as usize])
        .collect();
    let Some(first) = refusals.first() else {
        return format!("KMS refused {key} to its launch.");
    };
    let (action, reason) = refusal(first);
    let who = first.identity.principal().map_or("its launch", |principal| short_principal(principal));
    let more = match refusals.len() {
        1 => String::new(),
        all => format!(" ({all} refusals in all)"),
    };
    format!("KMS refused {action} on {key} to {}: {reason}{more}.", cut(who))
}

fn unknown_sentence(node: &Node, launch: &[&Volume], expected: &[&ExpectedKey]) -> String {
    if node.launched_at.is_none() {
        return "The archive does not hold its launch: which keys its volumes are under is not known."
            .to_owned();
    }
    let unresolved = expected.iter().find(|key| key.key_arn.is_none()).and_then(|key| key.written.as_ref());
    if let (Some(alias), false) = (unresolved, launch.is_empty()) {
        let keys: Vec<String> = node.used_keys.iter().map(|key| named_key(&cut(key))).take(3).collect();
        let why = match KeyForm::of(alias) {
            KeyForm::Key => "no record shows the alias's key",
            _ => "the manifest has no key in its place, but what is to become one",
        };
        return format!(
            "Its volumes are under {}; whether that is {} cannot be told: {why}.",
            keys.join(", "),
            cut(alias)
        );
    }
    let is_refused = node.timeline.iter().any(|entry| entry.role == TimelineRole::Refusal);
    if launch.is_empty() && is_refused {
        "KMS refused a call for it, yet it was seen alive: which keys its volumes are under cannot be told."
            .to_owned()
    } else if launch.is_empty() {
        "Which keys its volumes are under cannot be told: the archive holds no KMS event that joins its launch."
            .to_owned()
    } else {
        "Whether its volumes are all under the expected key cannot be told from what the archive holds."
            .to_owned()
    }
}

/// How the node ended, in a sentence.
pub(in crate::report) fn end_sentence(node: &Node) -> String {
    let Some(end) = &node.termination else {
        return "The archive shows no end of it.".to_owned();
    };
    let lived = node.launched_at.map(|at| end.at.second() - at.second());
    let after = match lived {
        Some(seconds) => format!("{} after its launch", span(seconds)),
        None => format!("at {}", moment(end.at)),
    };
    let actor = end.actor.as_deref().map_or("an unnamed principal", short_principal);
    let sentence = match end.cause {
        // Without EC2's clean-up in the archive, the refusal is all that says when.
        TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable
            if !node.timeline.iter().any(|entry| entry.role == TimelineRole::Cleanup) =>
        {
            format!("It died of that; KMS refused {after}, and the archive does not log the end itself.")
        }
        TerminationCause::KmsDenied => format!("It died of that {after}: EC2 gave the launch up."),
        TerminationCause::KmsKeyUnusable => {
            format!("It died of the key's state {after}: EC2 gave the launch up.")
        }
        TerminationCause::SpotInterruption => format!("EC2 took the spot capacity back {after}."),
        TerminationCause::RegistrationTimeout => {
            format!("Karpenter ended it {after}: it had not registered within 15 minutes.")
        }
        TerminationCause::TerminatedByKarpenter => {
            format!("Karpenter ended it {after}; CloudTrail does not hold the reason.")
        }
        TerminationCause::TerminatedByAutoscaling => format!("Auto Scaling ended it {after}."),
        TerminationCause::TerminatedByPrincipal => format!("{} ended it {after}.", cut(actor)),
        TerminationCause::LaunchAborted => format!("EC2 gave the launch up {after}."),
    };
    match end.confidence {
        Confidence::Observed => sentence,
        Confidence::Inferred => format!("{} (inferred).", sentence.trim_end_matches('.')),
    }
}
