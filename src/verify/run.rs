//! What is asserted of the run as a whole: that there is something to judge, and that nothing is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assertion, Check, Context};
use crate::correlate::Node;
use crate::event::{Detail, Id, LossKind, Text};
use crate::rules::wording::{clauses, count, list, plain};

/// Events that one assertion cites at most.
const CITED_MAX: usize = 100;

/// The assertions that are about no single node.
pub(super) fn assertions(context: &Context<'_>, judged: &[&Node]) -> Vec<Assertion> {
    let mut assertions = vec![nodes_launched(context, judged)];
    assertions.extend(context.node_classes_launched(judged));
    assertions.push(archive_whole(context));
    assertions.extend(launches_made(context));
    assertions.extend(fleets_whole(context, judged));
    assertions.extend(refusals_placed(context));
    assertions
}

fn nodes_launched(context: &Context<'_>, judged: &[&Node]) -> Assertion {
    let wanted = context.demand.nodes_min.max(1);
    let text = format!("{} launched, {wanted} wanted", count(judged.len(), "node"));
    let assertion = Assertion::of_run(Check::NodesLaunched, None, text);
    if judged.len() >= wanted {
        return assertion;
    }
    let mut also = Vec::new();
    let failures = context.case.launch_failures.len();
    if failures > 0 {
        let codes: BTreeMap<&Text, u64> =
            context.case.launch_failures.iter().fold(BTreeMap::new(), |mut codes, failure| {
                *codes.entry(&failure.error_code).or_default() += failure.count;
                codes
            });
        also.push(format!("launches failed: {}", list(codes.keys(), 4)));
    }
    let unseen = context.case.nodes.iter().filter(|node| node.launched_at.is_none()).count();
    if unseen > 0 {
        also.push(format!("{} launched before the archive begins", count(unseen, "node")));
    }
    let without = context.case.nodes.iter().filter(|node| context.is_without_volumes(node)).count();
    if without > 0 {
        also.push(format!("{} without an EBS volume", count(without, "node")));
    }
    let also = if also.is_empty() { String::new() } else { format!(" ({})", clauses(also, 4)) };
    let why = if judged.is_empty() {
        format!("the archive shows no launch of a node within the time window and the filters{also}")
    } else {
        format!("the archive shows fewer launches than --min-nodes asks for{also}")
    };
    assertion
        .inconclusive(
            why,
            "a launch within the time window and the filters, and its records: CloudTrail delivers within about 5 \
             minutes, sometimes 15 or more (--wait 15m); --all-launches for others than Karpenter",
        )
        .awaited(true)
}

fn archive_whole(context: &Context<'_>) -> Assertion {
    let coverage = &context.case.coverage;
    let omitted: Vec<Id> = context
        .case
        .events
        .iter()
        .filter(|event| {
            // What a record of configuration left out changes no launch that is shown.
            event.omitted && matches!(event.detail, Detail::Fleet(_) | Detail::Launch(_) | Detail::Kms(_))
        })
        .map(|event| event.event_id.clone())
        .collect();
    let assertion = Assertion::of_run(
        Check::ArchiveWhole,
        None,
        format!(
            "{} read, {} lost",
            count(usize::try_from(coverage.records.read).unwrap_or(usize::MAX), "record"),
            coverage.records.lost
        ),
    );
    if coverage.losses.is_empty() && omitted.is_empty() {
        return assertion;
    }
    let mut kinds: BTreeMap<LossKind, usize> = BTreeMap::new();
    for loss in &coverage.losses {
        *kinds.entry(loss.kind).or_default() += 1;
    }
    let mut parts: Vec<String> = kinds
        .iter()
        .map(|(kind, number)| {
            let name = serde_json::to_value(kind).ok();
            let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("lost").to_owned();
            format!("{number} {name}")
        })
        .collect();
    if !omitted.is_empty() {
        parts.push(format!("{} with a field that CloudTrail left out", count(omitted.len(), "record")));
    }
    let mut assertion = assertion
        .inconclusive(
            format!("what was lost may be evidence: {}", list(parts, 12)),
            "a whole copy of the same objects (the coverage names what was lost)",
        )
        .awaited(!coverage.losses.is_empty());
    assertion.evidence = omitted.into_iter().take(CITED_MAX).collect();
    assertion.findings = vec!["KT503"];
    assertion
}

/// Whether an error code of EC2 is about a key.
fn is_about_key(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let code = code.strip_prefix("client.").or_else(|| code.strip_prefix("server.")).unwrap_or(&code);
    code.contains("kms") || code.contains("customerkey") || code == "invalidencryptionkey"
}

/// One failure per launch that failed for a key; a pass where launches failed for other reasons only.
fn launches_made(context: &Context<'_>) -> Vec<Assertion> {
    let failures = &context.case.launch_failures;
    failures
        .iter()
        .filter(|failure| is_about_key(&failure.error_code))
        .map(|failure| {
            let part = format!("{}/{}", failure.event_id, plain(&failure.error_code));
            let message = failure
                .error_message
                .as_deref()
                .map_or_else(String::new, |text| format!(": {}", plain(text)));
            let text = format!(
                "{} at {} made no instance, for its key: {}{message}",
                plain(&failure.event_name),
                failure.at,
                plain(&failure.error_code)
            );
            let mut assertion = Assertion::of_run(Check::LaunchesMade, Some(&part), text).failed();
            assertion.evidence = vec![failure.event_id.clone()];
            assertion.findings = vec!["KT307"];
            assertion
        })
        .collect()
}

/// One failure per fleet of a judged node that made some of its instances, and others not for their key.
fn fleets_whole(context: &Context<'_>, judged: &[&Node]) -> Vec<Assertion> {
    let judged: BTreeSet<&Text> = judged.iter().map(|node| &node.instance_id).collect();
    let mut assertions = Vec::new();
    for event in &context.case.events {
        let Detail::Fleet(fleet) = &event.detail else { continue };
        if !fleet.instances.iter().any(|instance| judged.contains(&instance.instance_id)) {
            continue;
        }
        for error in fleet.errors.iter().filter(|error| is_about_key(&error.code)) {
            let part = format!("{}/{}", event.event_id, plain(&error.code));
            let text = format!(
                "{} at {} made fewer instances than it could, for their key: {}: {}",
                plain(&event.name),
                event.time,
                plain(&error.code),
                plain(&error.message)
            );
            let mut assertion = Assertion::of_run(Check::LaunchesMade, Some(&part), text).failed();
            assertion.evidence = vec![event.event_id.clone()];
            assertions.push(assertion);
        }
    }
    assertions
}

/// Refusals by KMS of calls that EC2 made for launches, and no launch to go with them.
fn refusals_placed(context: &Context<'_>) -> Option<Assertion> {
    let case = context.case;
    if case.unjoined_refusals.is_empty() {
        return None;
    }
    let events: Vec<_> = case.unjoined_refusals.iter().map(|index| &case.events[*index as usize]).collect();
    let keys: Vec<&Text> = {
        let mut keys: Vec<&Text> = events
            .iter()
            .filter_map(|event| match &event.detail {
                Detail::Kms(kms) => kms.key_arn.as_ref(),
                _ => None,
            })
            .collect();
        keys.sort();
        keys.dedup();
        keys
    };
    let of_keys = if keys.is_empty() { String::new() } else { format!(" of {}", list(keys, 4)) };
    let text = format!(
        "KMS refused {}{of_keys} to EC2 for launches that are not known",
        count(events.len(), "call")
    );
    let mut assertion = Assertion::of_run(Check::RefusalsPlaced, None, text);
    assertion.evidence = events.iter().take(CITED_MAX).map(|event| event.event_id.clone()).collect();
    let assertion = assertion
        .inconclusive(
            "the archive holds no launch that they could belong to",
            "the RunInstances records of the same time, account and region",
        )
        .awaited(true);
    Some(assertion)
}
