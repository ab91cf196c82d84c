//! The account of one key: its policy, aliases and state over time, the nodes under it, and its refusals.
//!
//! A case, its findings and a key's ARN come in, an [`Explanation`] goes out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::exhibit;
use super::node::{cause, each_once, missing, remedies, step};
use super::wording::{counted, cut, moment, refusal, state};
use super::{
    Asked, Cause, Explanation, KeyAccount, NodeGroup, Reading, RefusalGroup, Step, SubjectKind, Verdict,
};
use crate::correlate::{
    Case, DefaultKey, KeySummary, Node, TimelineRole, VolumeOutcome, WrittenKey, is_same_key,
};
use crate::event::{Denial, Detail, Id, KeyArn, KmsOperation, Text, Timestamp};
use crate::report::abbreviate::{named_key, short_principal};
use crate::report::document::contract_name;
use crate::rules::{self, Finding};

pub(super) fn explain(case: &Case, findings: &[Finding], arn: &Text, given: &str) -> Explanation {
    let summary = case.keys.iter().find(|key| is_same_key(&key.key_arn, arn)).cloned();
    let summary = summary.unwrap_or_else(|| unused(case, arn));
    let nodes: Vec<&Node> = case
        .nodes
        .iter()
        .filter(|node| {
            node.volumes.iter().filter_map(|volume| volume.key_arn.as_ref()).any(|own| is_same_key(own, arn))
        })
        .collect();
    let refusals = refusals(case, arn);
    let mut order = changes(case, arn, given);
    let relevant = relevant_findings(case, findings, arn, &order);
    let firsts = first_of_each_rule(&relevant);
    let own_place = summary.account_id.as_ref().zip(summary.region.as_ref());
    let places: HashSet<String> = nodes
        .iter()
        .map(|node| (&node.account_id, &node.region))
        .chain(own_place)
        .map(|(account_id, region)| format!("{account_id}/{region}"))
        .collect();
    let causes = causes(&relevant);
    let nobody = Node::default();
    let milestones = milestones(case, arn);
    order.extend(milestones.keys());
    let cited: HashSet<&Id> = causes
        .iter()
        .flat_map(|cause| &cause.evidence)
        .chain(refusals.iter().flat_map(|group| &group.evidence))
        .collect();
    let order: Vec<u32> = order.into_iter().collect();
    let custody = exhibit::number(case, &order, &cited);
    let timeline: Vec<Step> = (1u32..)
        .zip(&order)
        .map(|(number, event)| {
            let role = milestones.get(event).copied().unwrap_or(TimelineRole::Configuration);
            step(case, &nobody, number, *event, (role, None))
        })
        .collect();
    Explanation {
        subject: Asked { given: given.to_owned(), kind: SubjectKind::Key, id: arn.clone() },
        verdict: verdict(case, &summary, &nodes, &refusals),
        causes,
        related: Vec::new(),
        timeline,
        ruled_out: each_once(firsts.iter().flat_map(|finding| &finding.ruled_out)),
        missing: missing(findings, &firsts, |id| places.contains(id)),
        remedies: remedies(&relevant),
        custody,
        reading: Reading::of(case, summary.account_id.as_ref(), summary.region.as_ref()),
        node: None,
        key: Some(KeyAccount { summary, node_groups: groups(&nodes), refusals }),
    }
}

/// A key that no node of the case used or was refused.
fn unused(case: &Case, arn: &Text) -> KeySummary {
    let parsed = KeyArn::parse(arn);
    KeySummary {
        key_arn: arn.clone(),
        account_id: parsed.map(|arn| arn.account_id.into()),
        region: parsed.map(|arn| arn.region.into()),
        aliases: case.history.alias_names().remove(arn).unwrap_or_default(),
        nodes: 0,
        volumes: 0,
        denials: 0,
        principals: Vec::new(),
        first_used: None,
        last_used: None,
        state: case.history.key_states(arn).last().map(|state| state.value),
    }
}

/// Findings about the key, then those about defaults that it was made, then those about nodes that name it.
fn relevant_findings<'a>(
    case: &Case,
    findings: &'a [Finding],
    arn: &Text,
    changes: &BTreeSet<u32>,
) -> Vec<&'a Finding> {
    let changes: HashSet<&Id> = changes.iter().map(|event| &case.events[*event as usize].event_id).collect();
    let mut relevant: Vec<(u8, &Finding)> = findings
        .iter()
        .filter_map(|finding| {
            let subject = &finding.subject;
            match subject.kind {
                rules::SubjectKind::Key if is_same_key(&subject.id, arn) => Some((0, finding)),
                rules::SubjectKind::Account if finding.evidence.iter().any(|id| changes.contains(id)) => {
                    Some((1, finding))
                }
                // A node may have troubles of its own: those that speak of this key are the key's.
                rules::SubjectKind::Node if finding.explanation.contains(&**arn) => Some((2, finding)),
                _ => None,
            }
        })
        .collect();
    relevant.sort_by_key(|(rank, _)| *rank);
    relevant.into_iter().map(|(_, finding)| finding).collect()
}

fn first_of_each_rule<'a>(findings: &[&'a Finding]) -> Vec<&'a Finding> {
    let mut seen = HashSet::new();
    findings.iter().filter(|finding| seen.insert(finding.rule)).copied().collect()
}

/// One cause per rule and title: a thousand nodes may die of one.
fn causes(findings: &[&Finding]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let mut known: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for finding in findings {
        match known.get(&(finding.rule, &*finding.title)) {
            Some(index) => {
                let same: &mut Cause = &mut causes[*index];
                if same.nodes == 1 {
                    same.explanation.insert_str(0, "For example: ");
                }
                same.nodes += 1;
                same.evidence.extend(finding.evidence.iter().cloned());
            }
            None => {
                known.insert((finding.rule, &finding.title), causes.len());
                causes.push(cause(finding));
            }
        }
    }
    for cause in &mut causes {
        let mut seen = BTreeSet::new();
        cause.evidence.retain(|id| seen.insert(id.clone()));
    }
    causes
}

/// Everything that was changed about the key: its policy, its state, its aliases, where it is a default.
fn changes(case: &Case, arn: &Text, given: &str) -> BTreeSet<u32> {
    let history = &case.history;
    let mut events: BTreeSet<u32> = history.policies(arn).iter().map(|change| change.event).collect();
    events.extend(history.key_states(arn).iter().map(|change| change.event));
    for ((_, name), changes) in history.aliases() {
        // Who asks for an alias wants to know where else it pointed.
        let is_asked = given == &**name || given.ends_with(&format!(":{name}"));
        let is_of_key = changes.iter().any(|change| change.value.as_ref() == Some(arn));
        let mut previous = None;
        for change in changes {
            let ends = [previous, change.value.as_ref()];
            if is_of_key && (is_asked || ends.into_iter().flatten().any(|end| end == arn)) {
                events.insert(change.event);
            }
            previous = change.value.as_ref();
        }
    }
    if let Some(key) = KeyArn::parse(arn) {
        let place = (key.account_id.into(), key.region.into());
        for change in history.default_key_changes(&place) {
            let target = match &change.value {
                DefaultKey::Key(WrittenKey::Arn(own)) => Some(own.clone()),
                default => history.default_key_arn(default, change.time),
            };
            if target.is_some_and(|target| is_same_key(&target, arn)) {
                events.insert(change.event);
            }
        }
    }
    for known in history.cluster_keys() {
        if matches!(&known.value.key, WrittenKey::Arn(own) if is_same_key(own, arn)) {
            events.insert(known.event);
        }
    }
    // An alias may be known from a use of its key: that is no change.
    events.retain(|event| !matches!(case.events[*event as usize].detail, Detail::Kms(_)));
    events
}

/// The first and last use for a volume, the first and last refusal, and revoked grants.
fn milestones(case: &Case, arn: &Text) -> BTreeMap<u32, TimelineRole> {
    let mut uses = Vec::new();
    let mut refused = Vec::new();
    let mut milestones = BTreeMap::new();
    for (index, event) in (0u32..).zip(&case.events) {
        let Detail::Kms(kms) = &event.detail else { continue };
        if kms.key_arn.as_ref().is_none_or(|own| !is_same_key(own, arn)) {
            continue;
        }
        match (&event.error, kms.operation) {
            (Some(error), _) if Denial::parse(&error.code, &error.message).is_some() => refused.push(index),
            (Some(_), _) => {}
            (None, KmsOperation::RevokeGrant) => {
                milestones.insert(index, TimelineRole::GrantEnded);
            }
            (
                None,
                KmsOperation::GenerateDataKeyWithoutPlaintext
                | KmsOperation::GenerateDataKey
                | KmsOperation::ReEncrypt
                | KmsOperation::CreateGrant,
            ) if kms.volume_id.is_some() => uses.push(index),
            (None, _) => {}
        }
    }
    for (indices, role) in [(uses, TimelineRole::KeyUse), (refused, TimelineRole::Refusal)] {
        milestones.extend(indices.first().into_iter().chain(indices.last()).map(|index| (*index, role)));
    }
    milestones
}

/// Refusals of the key in the whole archive, also of those that were not for a node.
fn refusals(case: &Case, arn: &Text) -> Vec<RefusalGroup> {
    let mut groups: BTreeMap<(Option<Text>, String, &str), RefusalGroup> = BTreeMap::new();
    for event in &case.events {
        let (Detail::Kms(kms), Some(error)) = (&event.detail, &event.error) else { continue };
        let is_of_key = kms.key_arn.as_ref().is_some_and(|own| is_same_key(own, arn));
        if !is_of_key || Denial::parse(&error.code, &error.message).is_none() {
            continue;
        }
        let principal = event.identity.principal().cloned();
        let (action, reason) = refusal(event);
        let group =
            groups.entry((principal.clone(), action.clone(), reason)).or_insert_with(|| RefusalGroup {
                principal,
                action,
                reason: reason.to_owned(),
                count: 0,
                first: event.time,
                last: event.time,
                evidence: vec![event.event_id.clone()],
            });
        group.count += 1;
        group.last = event.time;
        if group.count > 1 {
            group.evidence.truncate(1);
            group.evidence.push(event.event_id.clone());
        }
    }
    let mut groups: Vec<RefusalGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| Reverse(group.count));
    groups
}

fn groups(nodes: &[&Node]) -> Vec<NodeGroup> {
    let mut groups: BTreeMap<_, NodeGroup> = BTreeMap::new();
    for node in nodes {
        let cause = node.termination.as_ref().map(|end| end.cause);
        let name = cause.map(contract_name);
        let group = groups
            .entry((node.cluster.clone(), node.nodepool.clone(), node.key_verdict, name))
            .or_insert_with(|| NodeGroup {
                cluster: node.cluster.clone(),
                nodepool: node.nodepool.clone(),
                key_verdict: node.key_verdict,
                cause,
                nodes: 0,
                first_launched: node.launched_at,
                last_launched: node.launched_at,
                instance_ids: Vec::new(),
            });
        group.nodes += 1;
        group.last_launched = node.launched_at.or(group.last_launched);
        group.instance_ids.push(node.instance_id.clone());
    }
    let mut groups: Vec<NodeGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| Reverse(group.nodes));
    groups
}

fn verdict(case: &Case, summary: &KeySummary, nodes: &[&Node], refusals: &[RefusalGroup]) -> Verdict {
    let name = named_key(&cut(&summary.key_arn));
    let is_under = |node: &&&Node, is_used: bool| {
        node.volumes.iter().any(|volume| {
            let is_key = volume.key_arn.as_ref().is_some_and(|own| is_same_key(own, &summary.key_arn));
            is_key && (volume.outcome == VolumeOutcome::Used) == is_used
        })
    };
    let used = nodes.iter().filter(|node| is_under(node, true)).count() as u64;
    let refused = nodes.iter().filter(|node| is_under(node, false)).count() as u64;
    let volumes = counted(summary.volumes, "volume");
    let mut sentence = match (used, refused) {
        (0, 0) => format!("No node of this archive used key {name} or was refused it"),
        (0, _) => format!("Key {name} was refused to {} and used by none", counted(refused, "node")),
        (_, 0) => format!("Key {name} was used by {} ({volumes}) and refused to none", counted(used, "node")),
        _ => format!("Key {name} was used by {} ({volumes}) and refused to {refused}", counted(used, "node")),
    };
    let count = refusals.iter().map(|group| group.count).sum::<u64>();
    match refusals.first() {
        None => sentence.push('.'),
        Some(first) => {
            let who = first.principal.as_deref().map_or("an unnamed principal", short_principal);
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            let others = if refusals.len() > 1 { ", mostly" } else { "" };
            sentence.push_str(&format!(
                ". KMS refused it {times}{others} to {} for {}: {}.",
                cut(who),
                first.action,
                first.reason
            ));
        }
    }
    let end = match case.history.key_states(&summary.key_arn).last() {
        Some(last) => {
            format!("Since {} it is {}, as far as the archive shows.", moment(last.time), state(last.value))
        }
        None => "The archive shows no change of its state.".to_owned(),
    };
    Verdict { sentence, end }
}

/// What is known of the key, as labels and texts.
pub(super) fn facts(account: &KeyAccount) -> Vec<(&'static str, String)> {
    let key = &account.summary;
    let mut facts = Vec::new();
    let mut add = |label, text: Option<String>| facts.extend(text.map(|text| (label, text)));
    let aliases: Vec<String> = key.aliases.iter().map(|alias| cut(alias)).collect();
    add("aliases", (!aliases.is_empty()).then(|| aliases.join(", ")));
    let place: Vec<String> =
        [&key.account_id, &key.region].into_iter().flatten().map(ToString::to_string).collect();
    add("account", (!place.is_empty()).then(|| place.join(", ")));
    add(
        "state",
        Some(key.state.map_or_else(|| "not in the archive".to_owned(), |value| state(value).to_owned())),
    );
    let at = |time: Option<Timestamp>| time.map(|time| format!("{} UTC", moment(time)));
    add("first used", at(key.first_used));
    add("last used", at(key.last_used));
    let (nodes, volumes) = (counted(key.nodes, "node"), counted(key.volumes, "volume"));
    add("nodes", Some(format!("{nodes}, {volumes}")));
    add(
        "used by",
        (!key.principals.is_empty())
            .then(|| key.principals.iter().map(|who| cut(who)).collect::<Vec<_>>().join(", ")),
    );
    facts
}

/// A group of nodes, in words.
pub(super) fn group_text(group: &NodeGroup) -> String {
    const INSTANCES_SHOWN_MAX: usize = 3;
    let mut text = counted(group.nodes, "node");
    if let Some(nodepool) = &group.nodepool {
        text.push_str(&format!(" of nodepool {}", cut(nodepool)));
    }
    if let Some(cluster) = &group.cluster {
        text.push_str(&format!(", cluster {}", cut(cluster)));
    }
    if let Some(cause) = group.cause {
        text.push_str(&format!(", {}", contract_name(cause)));
    }
    match (group.first_launched, group.last_launched) {
        (Some(first), Some(last)) if first != last => {
            text.push_str(&format!(", launched {} to {}", moment(first), moment(last)));
        }
        (Some(first), _) => text.push_str(&format!(", launched {}", moment(first))),
        _ => {}
    }
    let shown: Vec<String> = group.instance_ids.iter().take(INSTANCES_SHOWN_MAX).map(|id| cut(id)).collect();
    text.push_str(&format!(": {}", shown.join(", ")));
    if group.instance_ids.len() > INSTANCES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", group.instance_ids.len() - INSTANCES_SHOWN_MAX));
    }
    text
}

/// A group of refusals, in words.
pub(super) fn refusal_text(group: &RefusalGroup) -> String {
    let who = group.principal.as_ref().map_or_else(|| "an unnamed principal".to_owned(), |who| cut(who));
    let when = if group.count == 1 {
        moment(group.first)
    } else {
        format!("{} to {}", moment(group.first), moment(group.last))
    };
    format!("{} × {} to {who}: {}; {when}", group.count, group.action, group.reason)
}
