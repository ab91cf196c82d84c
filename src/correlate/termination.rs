//! How a node ended, strongest evidence first.

use std::mem::take;

use hashbrown::HashMap;

use super::case::{
    Confidence, Provisioner, Termination, TerminationCause, TimelineRole, Volume, VolumeOutcome, VolumeRole,
};
use super::key_use::SESSION_JOIN_SECONDS_MAX;
use super::kinds::{Kinds, at};
use super::launches::{Draft, is_by_auto_mode, is_by_karpenter};
use super::verdict::refusal_confidence;
use crate::event::{Detail, Event, Id, Text};

/// Karpenter deletes a node claim whose node has not registered after 15 minutes; the call follows within
/// seconds. Source: `registrationTimeout` of Karpenter's liveness controller.
pub const REGISTRATION_TIMEOUT_SECONDS: std::ops::RangeInclusive<i64> = 14 * 60..=16 * 60;

/// A launch whose instance is already shutting down when somebody wants to end it, this soon and without a sign
/// of life, was given up by EC2: Karpenter comes for a node that has not registered after 15 minutes.
pub const ABORTED_LAUNCH_SECONDS_MAX: i64 = 16 * 60;

/// How long an instance must have lived, in seconds, before its state `running` shows that its volumes opened: EC2
/// reports the state at once, also of a launch that it is about to give up.
const RUNNING_IS_LIFE_SECONDS_MIN: i64 = 120;

/// DeleteNetworkInterface events by the request that they clean up after.
pub(super) fn cleanups<'a>(events: &'a [Box<Event>], kinds: &Kinds<'_>) -> HashMap<&'a Id, Vec<u32>> {
    let mut cleanups: HashMap<&Id, Vec<u32>> = HashMap::new();
    for (index, event) in at(events, &kinds.cleanups) {
        if let Some(id) = &event.request_id {
            cleanups.entry(id).or_default().push(index);
        }
    }
    cleanups
}

/// State of the instance before the event, if the event says it.
fn previous_state<'a>(event: &'a Event, instance: &Text) -> Option<&'a str> {
    match &event.detail {
        Detail::Termination(instances) => {
            instances.iter().find(|state| state.instance_id == *instance)?.previous.as_deref()
        }
        _ => None,
    }
}

fn is_running(state: Option<&str>) -> bool {
    matches!(state, Some("running" | "stopping" | "stopped"))
}

/// Notes what the ends of a node show of its life: who is ended while running, some time after the launch, was alive.
pub(super) fn note_life(draft: &mut Draft, events: &[Box<Event>]) {
    for &end in &draft.ends {
        let event = &events[end as usize];
        let lived = draft.node.launched_at.map(|launch| event.time.second() - launch.second());
        let was_running = lived.is_none_or(|seconds| seconds > RUNNING_IS_LIFE_SECONDS_MIN)
            && is_running(previous_state(event, &draft.node.instance_id));
        // Spot capacity is taken from what runs; one that fails at launch is gone before.
        let was_interrupted = matches!(event.detail, Detail::SpotInterruption(_))
            && lived.is_some_and(|seconds| seconds > SESSION_JOIN_SECONDS_MAX);
        if event.error.is_none() && (was_running || was_interrupted) {
            draft.life.get_or_insert(end);
        }
    }
}

/// The end of the node, with the roles of its events noted in the timeline.
pub(super) fn find(
    draft: &mut Draft,
    events: &[Box<Event>],
    volumes: &[Volume],
    refused_by: &[u32],
    cleanups: &HashMap<&Id, Vec<u32>>,
) -> Option<Termination> {
    let launch_request = draft.launch.and_then(|index| events[index as usize].request_id.as_ref());
    let aborts: Vec<u32> = launch_request
        .filter(|_| draft.launched_together < 2)
        .and_then(|id| cleanups.get(id))
        .cloned()
        .unwrap_or_default();
    for &event in &aborts {
        draft.note(event, TimelineRole::Cleanup);
    }
    let ends: Vec<u32> = take(&mut draft.ends);
    let instance = draft.node.instance_id.clone();
    let is_effective = |index: &u32| {
        let event = &events[*index as usize];
        event.error.is_none()
            && !matches!(previous_state(event, &instance), Some("shutting-down" | "terminated"))
    };
    for end in &ends {
        draft.note(*end, if is_effective(end) { TimelineRole::End } else { TimelineRole::EndAttempt });
    }
    let found = by_kms(draft, events, volumes, refused_by, &aborts, &ends)
        .or_else(|| by_event(draft, events, &ends, is_effective))
        .or_else(|| by_abort(draft, events, &aborts, &ends));
    found.map(|(cause, decisive, confidence, mut evidence)| {
        evidence.sort_unstable();
        evidence.dedup();
        let decisive = &events[decisive as usize];
        // The refusal is why; EC2's cleaning up, where it was logged, is when.
        let is_by_kms = matches!(cause, TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable);
        let cleanup = aborts.first().filter(|_| is_by_kms).map(|abort| events[*abort as usize].time);
        Termination {
            cause,
            at: cleanup.unwrap_or(decisive.time),
            actor: decisive.identity.principal().cloned(),
            confidence,
            evidence: evidence.iter().map(|index| events[*index as usize].event_id.clone()).collect(),
        }
    })
}

type Found = (TerminationCause, u32, Confidence, Vec<u32>);

fn by_kms(
    draft: &Draft,
    events: &[Box<Event>],
    volumes: &[Volume],
    refused_by: &[u32],
    aborts: &[u32],
    ends: &[u32],
) -> Option<Found> {
    let refused: Vec<&Volume> = volumes
        .iter()
        .filter(|volume| volume.role == Some(VolumeRole::Launch) && volume.outcome != VolumeOutcome::Used)
        .collect();
    if refused.is_empty() || draft.life.is_some() {
        return None;
    }
    let is_denied = refused.iter().any(|volume| volume.outcome == VolumeOutcome::Denied);
    let cause = if is_denied { TerminationCause::KmsDenied } else { TerminationCause::KmsKeyUnusable };
    let decisive = *refused_by.first()?;
    let mut evidence = refused_by.to_vec();
    evidence.extend(draft.launch);
    evidence.extend(aborts);
    // Who comes to end it and finds it dying confirms that it died by itself.
    evidence.extend(ends.iter().filter(|index| {
        matches!(
            previous_state(&events[**index as usize], &draft.node.instance_id),
            Some("shutting-down" | "terminated")
        )
    }));
    // Somebody was there before EC2 gave it up, as far as is logged.
    let is_ended_running = ends.iter().any(|index| {
        let event = &events[*index as usize];
        event.error.is_none() && is_running(previous_state(event, &draft.node.instance_id))
    });
    let confidence = if is_ended_running { Confidence::Inferred } else { refusal_confidence(volumes) };
    Some((cause, decisive, confidence, evidence))
}

fn by_event(
    draft: &Draft,
    events: &[Box<Event>],
    ends: &[u32],
    is_effective: impl Fn(&u32) -> bool,
) -> Option<Found> {
    let first = ends.iter().copied().find(|index| is_effective(index))?;
    let interruption = ends.iter().copied().find(|index| {
        events[*index as usize].error.is_none()
            && matches!(events[*index as usize].detail, Detail::SpotInterruption(_))
    });
    let event = &events[first as usize];
    let is_auto_mode = draft.node.provisioner == Provisioner::EksAutoMode;
    let is_karpenters = is_by_karpenter(event) || is_auto_mode && is_by_auto_mode(event);
    // Karpenter hears of an interruption two minutes ahead and ends the node itself.
    if let Some(interruption) = interruption
        && (interruption == first || is_karpenters)
    {
        return Some((
            TerminationCause::SpotInterruption,
            interruption,
            Confidence::Observed,
            vec![interruption],
        ));
    }
    if is_karpenters {
        let lived = draft.node.launched_at.map(|launch| event.time.second() - launch.second());
        let is_timeout = draft.node.provisioner == Provisioner::Karpenter
            && !draft.is_registered
            && draft.attachments.is_empty()
            && lived.is_some_and(|seconds| REGISTRATION_TIMEOUT_SECONDS.contains(&seconds));
        if is_timeout {
            let mut evidence = vec![first];
            evidence.extend(draft.launch.or(draft.fleet));
            return Some((TerminationCause::RegistrationTimeout, first, Confidence::Inferred, evidence));
        }
        return Some((TerminationCause::TerminatedByKarpenter, first, Confidence::Observed, vec![first]));
    }
    let is_auto_scaling = event.identity.is_invoked_by("autoscaling.amazonaws.com")
        || matches!(event.detail, Detail::AutoScalingTermination { .. });
    let cause = if is_auto_scaling {
        TerminationCause::TerminatedByAutoscaling
    } else {
        TerminationCause::TerminatedByPrincipal
    };
    Some((cause, first, Confidence::Observed, vec![first]))
}

fn by_abort(draft: &Draft, events: &[Box<Event>], aborts: &[u32], ends: &[u32]) -> Option<Found> {
    if let Some(&first) = aborts.first() {
        let mut evidence = aborts.to_vec();
        evidence.extend(draft.launch);
        return (draft.life.is_none()).then_some((
            TerminationCause::LaunchAborted,
            first,
            Confidence::Observed,
            evidence,
        ));
    }
    // Only attempts to end an instance that was already ending.
    let late = ends.iter().copied().find(|index| events[*index as usize].error.is_none())?;
    let event = &events[late as usize];
    let lived = draft.node.launched_at.map(|launch| event.time.second() - launch.second());
    let is_young = draft.life.is_none() && lived.is_some_and(|seconds| seconds <= ABORTED_LAUNCH_SECONDS_MAX);
    let cause = if is_young {
        TerminationCause::LaunchAborted
    } else if is_by_karpenter(event) {
        TerminationCause::TerminatedByKarpenter
    } else if event.identity.is_invoked_by("autoscaling.amazonaws.com") {
        TerminationCause::TerminatedByAutoscaling
    } else {
        TerminationCause::TerminatedByPrincipal
    };
    let mut evidence = vec![late];
    evidence.extend(draft.launch.filter(|_| is_young));
    Some((cause, late, Confidence::Inferred, evidence))
}
