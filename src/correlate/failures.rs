//! Launches that made no instance.

use hashbrown::HashSet;

use super::case::{LaunchFailure, Provisioner};
use super::kinds::{Kinds, at};
use super::launches::{fleet_of_client_token, is_by_karpenter};
use crate::event::{Detail, Event, FleetError, Launch, NodeTags, Text};

/// Finds the launches that failed, one entry per event and error code.
pub(super) fn find(events: &[Box<Event>], kinds: &Kinds<'_>) -> Vec<LaunchFailure> {
    // An attempt inside a fleet that made instances after all is no failure.
    let made = || at(events, &kinds.fleets).chain(at(events, &kinds.launches)).map(|(_, event)| event);
    if kinds.fruitless.is_empty() {
        return Vec::new();
    }
    let fulfilled: HashSet<&str> = made()
        .filter(|event| event.error.is_none())
        .filter_map(|event| match &event.detail {
            Detail::Fleet(fleet) if !fleet.instances.is_empty() => fleet.fleet_id.as_deref(),
            Detail::Launch(launch) if !launch.instances.is_empty() => fleet_of(launch),
            _ => None,
        })
        .collect();
    let mut failures = Vec::new();
    let fruitless = || at(events, &kinds.fruitless).map(|(_, event)| event);
    let is_fleet = |event: &&Event| matches!(event.detail, Detail::Fleet(_));
    for event in fruitless().filter(is_fleet).chain(fruitless().filter(|event| !is_fleet(event))) {
        match &event.detail {
            Detail::Fleet(fleet) => {
                if is_validation(event, &fleet.tags) {
                    continue;
                }
                let errors = own_error(event).unwrap_or_else(|| fleet.errors.clone());
                push(&mut failures, event, &fleet.tags, errors, kinds);
            }
            Detail::Launch(launch) => {
                let is_made_up_for = fleet_of(launch).is_some_and(|fleet| fulfilled.contains(fleet));
                // Karpenter launches through CreateFleet; a RunInstances of its own only validates.
                if is_made_up_for || is_by_karpenter(event) {
                    continue;
                }
                push(&mut failures, event, &launch.tags, own_error(event).unwrap_or_default(), kinds);
            }
            _ => {}
        }
    }
    failures.sort_by(|one, two| {
        (one.at, &one.event_id, &one.error_code).cmp(&(two.at, &two.event_id, &two.error_code))
    });
    failures
}

/// The fleet that an attempt belongs to, by its tag or its client token.
fn fleet_of(launch: &Launch) -> Option<&str> {
    launch.tags.fleet_id.as_deref().or_else(|| fleet_of_client_token(launch.client_token.as_deref()?))
}

/// Karpenter checks a node class with dry runs whose nodepool tag is empty. One that is refused looks like a
/// refused launch.
fn is_validation(event: &Event, tags: &NodeTags) -> bool {
    is_by_karpenter(event) && tags.is_karpenter && tags.nodepool.is_none() && event.error.is_some()
}

fn own_error(event: &Event) -> Option<Vec<FleetError>> {
    let error = event.error.as_ref()?;
    Some(vec![FleetError { code: error.code.clone(), message: error.message.clone(), count: 1 }])
}

fn push(
    failures: &mut Vec<LaunchFailure>,
    event: &Event,
    tags: &NodeTags,
    errors: Vec<FleetError>,
    kinds: &Kinds<'_>,
) {
    for error in errors {
        let code = error.code.strip_prefix("Client.").or_else(|| error.code.strip_prefix("Server."));
        let code = code.map_or_else(|| error.code.clone(), Text::from);
        if &*code == "DryRunOperation" {
            continue;
        }
        let same = failures
            .iter_mut()
            .rev()
            .take_while(|known| known.event_id == event.event_id)
            .find(|known| known.error_code == code);
        if let Some(known) = same {
            known.count += error.count;
            continue;
        }
        failures.push(LaunchFailure {
            at: event.time,
            account_id: event.account_id.clone(),
            region: event.region.clone(),
            event_id: event.event_id.clone(),
            event_name: event.name.clone(),
            principal_arn: event.identity.principal().cloned(),
            cluster: tags.cluster.clone(),
            nodepool: tags.nodepool.clone(),
            nodeclass: tags.nodeclass.clone(),
            error_code: code,
            error_message: Some(error.message).filter(|message| !message.is_empty()),
            count: error.count,
            provisioner: provisioner(event, tags, kinds),
        });
    }
}

fn provisioner(event: &Event, tags: &NodeTags, kinds: &Kinds<'_>) -> Provisioner {
    let is_fleets = event.identity.is_invoked_by("ec2fleet.amazonaws.com");
    let is_role = event.identity.issuer_arn.as_ref().is_some_and(|role| kinds.karpenter_roles.contains(role));
    if tags.is_auto_mode || event.identity.is_invoked_by("eks.amazonaws.com") {
        Provisioner::EksAutoMode
    } else if event.identity.is_invoked_by("autoscaling.amazonaws.com") || tags.auto_scaling_group.is_some() {
        Provisioner::Autoscaling
    } else if is_by_karpenter(event) || is_fleets && (is_role || tags.is_karpenter && tags.nodepool.is_some())
    {
        Provisioner::Karpenter
    } else {
        Provisioner::Other
    }
}
