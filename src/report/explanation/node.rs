//! The account of one node.
//!
//! A case, its findings and a node of it come in, an [`Explanation`] goes out. The timeline holds, besides the
//! node's own events, the changes of configuration that its keys depended on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::exhibit;
use super::wording::{
    cut, denial_reason, end_sentence, expected_name, moment, origin, source, span, verdict_sentence,
};
use super::{
    Asked, Cause, ConfiguredKey, Explanation, Mark, NodeAccount, Reading, Remedy, Step, SubjectKind, UsedKey,
    Verdict,
};
use crate::correlate::{
    Case, Confidence, DefaultKey, DeviceKey, KeyOrigin, KeySource, Node, Place, TimelineRef, TimelineRole,
    Volume, VolumeOutcome, VolumeRole, WrittenKey, is_same_key,
};
use crate::event::{Denial, Detail, Event, Id, Text, Timestamp};
use crate::manifest::KeyForm;
use crate::report::abbreviate::{named_key, short_principal};
use crate::report::document::timeline_entry;
use crate::report::sentence::sentence;
use crate::rules::{self, Finding};

/// How long before a launch a change of configuration is told although nothing cites it, in seconds.
const CONTEXT_SECONDS: i64 = 86_400;

/// An event of the timeline before it is told: what it is for the node, and how it was joined.
type Told = (TimelineRole, Option<Confidence>);

pub(super) fn explain(case: &Case, findings: &[Finding], node: &Node, given: &str) -> Explanation {
    let (configured, used) = (configured_keys(node), used_keys(case, node));
    let Relevant { causes: relevant, related } = Relevant::select(case, findings, node, &used);
    let mut events: BTreeMap<u32, Told> = BTreeMap::new();
    for entry in &node.timeline {
        events.insert(entry.event, (entry.role, Some(entry.confidence)));
    }
    for event in context(case, node, &relevant) {
        events.entry(event).or_insert((TimelineRole::Configuration, None));
    }
    let causes = causes(case, node, &relevant);
    let cited: HashSet<&Id> = causes
        .iter()
        .flat_map(|cause| &cause.evidence)
        .chain(configured.iter().flat_map(|key| &key.evidence))
        .chain(used.iter().flat_map(|key| &key.evidence))
        .collect();
    let order: Vec<u32> = events.keys().copied().collect();
    let custody = exhibit::number(case, &order, &cited);
    let timeline = (1u32..)
        .zip(&events)
        .map(|(number, (event, told))| step(case, node, number, *event, *told))
        .collect();
    Explanation {
        subject: Asked { given: given.to_owned(), kind: SubjectKind::Node, id: node.instance_id.clone() },
        verdict: Verdict { sentence: verdict_sentence(case, node), end: end_sentence(node) },
        causes,
        related: related.into_iter().map(cause).collect(),
        timeline,
        ruled_out: each_once(relevant.iter().flat_map(|finding| &finding.ruled_out)),
        missing: missing(findings, &relevant, |id| *id == format!("{}/{}", node.account_id, node.region)),
        remedies: remedies_of(case, findings, &relevant, node),
        custody,
        reading: Reading::of(case, Some(&node.account_id), Some(&node.region)),
        node: Some(NodeAccount {
            lived_seconds: node
                .launched_at
                .zip(node.ended_at)
                .map(|(launch, end)| end.second() - launch.second()),
            node: node.clone(),
            configured,
            used,
        }),
        key: None,
    }
}

/// Findings that have to do with a node.
struct Relevant<'a> {
    /// About the node, then those about its nodepool, keys and account that cite its events.
    causes: Vec<&'a Finding>,
    /// About its nodepool, keys and account, but not about what happened to it.
    related: Vec<&'a Finding>,
}

impl<'a> Relevant<'a> {
    fn select(case: &Case, findings: &'a [Finding], node: &Node, used: &[UsedKey]) -> Self {
        let keys = keys_of(node);
        let account = format!("{}/{}", node.account_id, node.region);
        let timeline = node.timeline.iter().map(|entry| &case.events[entry.event as usize].event_id);
        let own: HashSet<&Id> = timeline.chain(used.iter().flat_map(|key| &key.evidence)).collect();
        let is_refused = |key: &str| {
            used.iter().any(|volume| {
                volume.outcome != VolumeOutcome::Used
                    && volume.key_arn.as_ref().is_some_and(|own| is_same_key(own, key))
            })
        };
        let mut pool: Option<HashSet<&Id>> = None;
        let (mut causes, mut wider, mut related) = (Vec::new(), Vec::new(), Vec::new());
        for finding in findings {
            let id: &str = &finding.subject.id;
            let is_cited = || finding.evidence.iter().any(|id| own.contains(id));
            match finding.subject.kind {
                rules::SubjectKind::Node if *id == *node.instance_id => causes.push(finding),
                // A finding about a key cites only the first of its refusals.
                rules::SubjectKind::Key if is_refused(id) => wider.push(finding),
                rules::SubjectKind::Key if keys.iter().any(|key| is_same_key(key, id)) => {
                    if is_cited() { &mut wider } else { &mut related }.push(finding);
                }
                rules::SubjectKind::Account if *id == account && !is_about_archive(finding) => {
                    if is_cited() { &mut wider } else { &mut related }.push(finding);
                }
                rules::SubjectKind::Nodepool if node.nodepool.as_deref() == Some(id) => {
                    // Nodepools of several clusters may have one name: their events tell them apart.
                    let pool = pool.get_or_insert_with(|| events_of_pool(case, node));
                    if is_cited() {
                        wider.push(finding);
                    } else if finding.evidence.iter().any(|id| pool.contains(id)) {
                        related.push(finding);
                    }
                }
                _ => {}
            }
        }
        // A change that led to it (KT4..) is nearer to the cause than what it led to elsewhere.
        wider.sort_by_key(|finding| !finding.rule.starts_with("KT4"));
        causes.extend(wider);
        Self { causes, related }
    }
}

/// What mends the node's trouble, as the rules see it together with the other nodes', comes first.
fn remedies_of(case: &Case, findings: &[Finding], relevant: &[&Finding], node: &Node) -> Vec<Remedy> {
    let incidents = rules::incidents(case, findings);
    let incident = incidents.iter().find(|incident| incident.nodes.contains(&node.instance_id));
    let first = incident.and_then(|incident| findings.get(incident.remedy?));
    let mut sorted = relevant.to_vec();
    sorted.sort_by_key(|finding| {
        // The incident may name the finding of another node that says the same.
        !first.is_some_and(|first| first.rule == finding.rule && first.title == finding.title)
    });
    remedies(&sorted)
}

fn events_of_pool<'a>(case: &'a Case, node: &Node) -> HashSet<&'a Id> {
    let pool = |node: &Node| {
        (node.account_id.clone(), node.region.clone(), node.cluster.clone(), node.nodepool.clone())
    };
    let own = pool(node);
    case.nodes
        .iter()
        .filter(|other| other.nodepool == node.nodepool && pool(other) == own)
        .flat_map(|other| &other.timeline)
        .map(|entry| &case.events[entry.event as usize].event_id)
        .collect()
}

/// Whether a finding says what the archive lacks: rules from KT501 on.
pub(super) fn is_about_archive(finding: &Finding) -> bool {
    finding.subject.kind == rules::SubjectKind::Archive || finding.rule.starts_with("KT5")
}

/// ARNs of the node's keys: expected, used, refused.
fn keys_of(node: &Node) -> BTreeSet<&Text> {
    let expected = node.expected_keys.iter().filter_map(|own| own.key.key_arn.as_ref());
    let single = node.expected_key.iter().filter_map(|key| key.key_arn.as_ref());
    expected.chain(single).chain(node.volumes.iter().filter_map(|volume| volume.key_arn.as_ref())).collect()
}

/// Changes of configuration that the node's keys depended on: those that something cites, and those of the
/// day before the launch and of the node's life.
fn context(case: &Case, node: &Node, findings: &[&Finding]) -> BTreeSet<u32> {
    let history = &case.history;
    let keys = keys_of(node);
    let place = (node.account_id.clone(), node.region.clone());
    let mut events = BTreeSet::new();
    if let Some(at) = node.launched_at.or(node.ended_at) {
        let from = Timestamp::from_second(at.second() - CONTEXT_SECONDS);
        let to = node.ended_at.unwrap_or(Timestamp::from_second(i64::MAX));
        let is_near = |time: Timestamp| from <= time && time <= to;
        for key in &keys {
            let policies = history.policies(key).iter().map(|change| (change.time, change.event));
            let states = history.key_states(key).iter().map(|change| (change.time, change.event));
            events.extend(policies.chain(states).filter(|(time, _)| is_near(*time)).map(|(_, event)| event));
        }
        let written: HashSet<(Place, Text)> = node
            .expected_keys
            .iter()
            .filter_map(|own| match WrittenKey::read(own.key.written.as_ref()?, &place.0, &place.1) {
                WrittenKey::Alias { name, account_id, region } => Some(((account_id, region), name)),
                WrittenKey::Arn(_) => None,
            })
            .collect();
        for (alias, changes) in history.aliases() {
            let is_named = written.contains(alias);
            let mut previous = None;
            for change in changes {
                let is_about = is_named
                    || [previous, change.value.as_ref()].into_iter().flatten().any(|arn| keys.contains(arn));
                if is_about && is_near(change.time) {
                    events.insert(change.event);
                }
                previous = change.value.as_ref();
            }
        }
        let defaults = history.default_key_changes(&place).iter().map(|change| (change.time, change.event));
        let switches =
            history.default_encryption_changes(&place).iter().map(|change| (change.time, change.event));
        events.extend(defaults.chain(switches).filter(|(time, _)| is_near(*time)).map(|(_, event)| event));
    }
    let expected = node.expected_keys.iter().flat_map(|own| &own.key.evidence);
    let cited: HashSet<&Id> = expected.chain(findings.iter().flat_map(|finding| &finding.evidence)).collect();
    events.extend(
        exhibit::indices(case, &cited)
            .into_iter()
            .filter(|event| is_configuration(&case.events[*event as usize].detail)),
    );
    events.extend(node.volumes.iter().filter_map(|volume| origin_event(case, node, volume)));
    // An alias may be known from a use of its key: that is no change of configuration.
    events.retain(|event| is_configuration(&case.events[*event as usize].detail));
    events
}

fn is_configuration(detail: &Detail) -> bool {
    matches!(
        detail,
        Detail::LaunchTemplate(_)
            | Detail::LaunchTemplateDefault(_)
            | Detail::EbsDefault(_)
            | Detail::ImageCopy(_)
            | Detail::Policy(_)
            | Detail::Alias(_)
            | Detail::KeyState(_)
            | Detail::ClusterSecrets { .. }
            | Detail::Selectors(_)
    )
}

/// The event that shows where a volume's key came from, besides the launch template.
fn origin_event(case: &Case, node: &Node, volume: &Volume) -> Option<u32> {
    let (key, history) = (volume.key_arn.as_ref()?, &case.history);
    let at = node.launched_at?;
    let place = (node.account_id.clone(), node.region.clone());
    match volume.key_origin {
        KeyOrigin::AccountDefault => Some(history.default_key(&place, at)?.event),
        KeyOrigin::AwsManaged => {
            let default = history.default_key(&place, at)?;
            (default.value == DefaultKey::AwsManaged).then_some(default.event)
        }
        KeyOrigin::AmiSnapshot => history.image_has_key(node.image_id.as_ref()?, key),
        KeyOrigin::ClusterSecrets => history
            .cluster_keys()
            .iter()
            .rfind(|known| known.time <= at && is_named(case, &known.value.key, key, at))
            .map(|known| known.event),
        KeyOrigin::Configured | KeyOrigin::Other | KeyOrigin::Unknown => None,
    }
}

fn is_named(case: &Case, written: &WrittenKey, key: &Text, at: Timestamp) -> bool {
    match written {
        WrittenKey::Arn(arn) => is_same_key(arn, key),
        alias @ WrittenKey::Alias { .. } => {
            case.history.alias_target(alias, at).is_some_and(|target| is_same_key(&target.value, key))
        }
    }
}

/// One entry of a timeline.
pub(super) fn step(case: &Case, node: &Node, number: u32, index: u32, (role, joined): Told) -> Step {
    let event = &case.events[index as usize];
    let reference = TimelineRef { event: index, role, confidence: joined.unwrap_or_default() };
    Step {
        number,
        entry: timeline_entry(case, node, &reference),
        since_launch_seconds: node.launched_at.map(|launch| event.time.second() - launch.second()),
        mark: mark(event, role),
        actor: event.identity.principal().cloned(),
        session: event.identity.session_name().map(ToOwned::to_owned),
        source_ip: event.source_ip.clone(),
        user_agent: event.user_agent.clone(),
        joined,
    }
}

fn mark(event: &Event, role: TimelineRole) -> Option<Mark> {
    match role {
        TimelineRole::Refusal => Some(Mark::Refused),
        TimelineRole::Launch => event.error.is_none().then_some(Mark::Launch),
        TimelineRole::Configuration => Some(Mark::Configuration),
        TimelineRole::End => Some(Mark::End),
        _ => None,
    }
}

fn configured_keys(node: &Node) -> Vec<ConfiguredKey> {
    node.expected_keys
        .iter()
        .map(|own| {
            let key = &own.key;
            let name = expected_name(key);
            let sentence = match (&key.written, &key.key_arn, key.source) {
                (None, _, source_of) => {
                    format!("{} names no key", source(source_of))
                }
                (Some(written), None, KeySource::NodeClass) if KeyForm::of(written) != KeyForm::Key => {
                    format!("the node class has {name} in the key's place, which is no key")
                }
                (Some(_), None, source_of) => {
                    format!("{} names {name}; no record shows which key that is", source(source_of))
                }
                (Some(_), Some(_), KeySource::Flag) => format!("{name}, as given with --expect-key"),
                (Some(_), Some(_), source_of) => format!("{name}, named by {}", source(source_of)),
            };
            let sentence = sentence + &at_launch(node, own);
            ConfiguredKey {
                device: own.device.clone(),
                written: key.written.clone(),
                key_arn: key.key_arn.clone(),
                sentence,
                evidence: key.evidence.clone(),
            }
        })
        .collect()
}

/// What the launch template named at launch, where that is not what the node class names now.
fn at_launch(node: &Node, expected: &DeviceKey) -> String {
    let of_device = |own: &&DeviceKey| expected.device.is_none() || own.device == expected.device;
    let is_same = |own: &DeviceKey| match (&own.key.key_arn, &expected.key.key_arn) {
        (Some(one), Some(other)) => is_same_key(one, other),
        (one, other) => one.is_none() == other.is_none(),
    };
    if node.template_keys.is_empty() {
        return String::new();
    }
    match node.template_keys.iter().find(of_device) {
        Some(own) if is_same(own) => String::new(),
        Some(own) => format!("; at launch, the launch template named {}", expected_name(&own.key)),
        None => "; at launch, the launch template did not list the device".to_owned(),
    }
}

fn used_keys(case: &Case, node: &Node) -> Vec<UsedKey> {
    let expected: Vec<&Text> = node.expected_keys.iter().filter_map(|own| own.key.key_arn.as_ref()).collect();
    let own = node.timeline.iter().map(|entry| &case.events[entry.event as usize]);
    let refusals: HashMap<&Id, Denial<'_>> = own
        .filter_map(|event| {
            let error = event.error.as_ref()?;
            Some((&event.event_id, Denial::parse(&error.code, &error.message)?))
        })
        .collect();
    node.volumes
        .iter()
        .map(|volume| {
            let mut evidence = volume.evidence.clone();
            if let Some(event) = origin_event(case, node, volume) {
                evidence.push(case.events[event as usize].event_id.clone());
            }
            UsedKey {
                volume_id: volume.volume_id.clone(),
                role: volume.role,
                outcome: volume.outcome,
                key_arn: volume.key_arn.clone(),
                key_origin: volume.key_origin,
                is_expected: match (&volume.key_arn, expected.is_empty()) {
                    (Some(arn), false) => Some(expected.iter().any(|own| is_same_key(own, arn))),
                    _ => None,
                },
                sentence: used_sentence(case, node, volume, &refusals),
                evidence,
            }
        })
        .collect()
}

fn used_sentence(case: &Case, node: &Node, volume: &Volume, refusals: &HashMap<&Id, Denial<'_>>) -> String {
    let key = match &volume.key_arn {
        Some(arn) => format!("key {}", named_key(&cut(arn))),
        None => "a key not logged".to_owned(),
    };
    let mut sentence = format!("{key}, {}", origin(volume.key_origin));
    if let Some(event) = origin_event(case, node, volume).map(|event| &case.events[event as usize])
        && matches!(event.detail, Detail::EbsDefault(_))
    {
        let who = event.identity.principal().map_or("an unnamed principal", |who| short_principal(who));
        sentence.push_str(&format!(", set {} by {}", moment(event.time), cut(who)));
    }
    let reason = volume
        .evidence
        .iter()
        .filter(|_| volume.outcome != VolumeOutcome::Used)
        .find_map(|id| Some(denial_reason(refusals.get(id)?.kind)));
    sentence.extend(reason.map(|reason| format!("; {reason}")));
    if volume.role == Some(VolumeRole::AttachedLater) {
        sentence.push_str("; attached after the launch, not judged");
    }
    if volume.confidence == Confidence::Inferred {
        sentence.push_str("; inferred from session, account, region and time");
    }
    sentence
}

/// What the findings conclude; without one about the node, what its end says.
fn causes(case: &Case, node: &Node, findings: &[&Finding]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = findings.iter().map(|finding| cause(finding)).collect();
    let is_concluded = findings.iter().any(|finding| finding.subject.kind == rules::SubjectKind::Node);
    if let Some(end) = node.termination.as_ref().filter(|_| !is_concluded) {
        let decisive = end.evidence.iter().find_map(|id| {
            node.timeline.iter().find(|entry| case.events[entry.event as usize].event_id == *id)
        });
        let explanation = decisive.map_or_else(String::new, |entry| {
            let event = &case.events[entry.event as usize];
            format!("{}, {}.", sentence(event, entry.role, node), moment(event.time))
        });
        causes.insert(
            0,
            Cause {
                rule: None,
                severity: None,
                confidence: end.confidence,
                about: None,
                nodes: 1,
                title: end_sentence(node).trim_end_matches('.').to_owned(),
                explanation,
                evidence: end.evidence.clone(),
            },
        );
    }
    causes
}

pub(super) fn cause(finding: &Finding) -> Cause {
    Cause {
        rule: Some(finding.rule),
        severity: Some(finding.severity),
        confidence: finding.confidence,
        about: Some(finding.subject.clone()),
        nodes: 1,
        title: finding.title.clone(),
        explanation: finding.explanation.clone(),
        evidence: finding.evidence.clone(),
    }
}

pub(super) fn each_once<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(*text)).cloned().collect()
}

/// What the relevant findings miss, and what the archive lacks as a whole or in a place (`ACCOUNT/REGION`).
pub(super) fn missing(
    findings: &[Finding],
    relevant: &[&Finding],
    is_place: impl Fn(&str) -> bool,
) -> Vec<String> {
    let archive: Vec<String> = findings
        .iter()
        .filter(|finding| is_about_archive(finding))
        .filter(|finding| {
            finding.subject.kind != rules::SubjectKind::Account || is_place(&finding.subject.id)
        })
        .map(|finding| format!("{} ({})", finding.title, finding.rule))
        .collect();
    each_once(relevant.iter().flat_map(|finding| &finding.missing).chain(&archive))
}

/// What the findings advise, each text once.
pub(super) fn remedies(findings: &[&Finding]) -> Vec<Remedy> {
    let mut remedies: Vec<Remedy> = Vec::new();
    let mut known: HashMap<(&str, Vec<&str>), usize> = HashMap::new();
    for finding in findings {
        let Some(advice) = &finding.remediation else { continue };
        let bodies = advice.documents.iter().map(|document| &*document.body).collect();
        let index = *known.entry((&advice.target, bodies)).or_insert(remedies.len());
        match remedies.get_mut(index) {
            Some(same) if same.rules.contains(&finding.rule) => {}
            Some(same) => same.rules.push(finding.rule),
            None => remedies.push(Remedy {
                rules: vec![finding.rule],
                summary: advice.summary.clone(),
                target: advice.target.clone(),
                documents: advice.documents.clone(),
            }),
        }
    }
    remedies
}

/// What is known of the node besides its keys, as labels and texts.
pub(super) fn facts(account: &NodeAccount) -> Vec<(&'static str, String)> {
    let node = &account.node;
    let mut facts = Vec::new();
    let mut add = |label: &'static str, parts: Vec<Option<String>>| {
        let text: Vec<String> = parts.into_iter().flatten().collect();
        if !text.is_empty() {
            facts.push((label, text.join(", ")));
        }
    };
    let named = |what: &str, name: &Option<Text>| name.as_ref().map(|name| format!("{what}{name}"));
    let plain = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
    add("node", vec![plain(&node.node_name), named("NodeClaim ", &node.nodeclaim)]);
    add("cluster", vec![plain(&node.cluster)]);
    add("nodepool", vec![plain(&node.nodepool), named("node class ", &node.nodeclass)]);
    add(
        "account",
        vec![
            Some(node.account_id.to_string()),
            Some(node.availability_zone.as_ref().unwrap_or(&node.region).to_string()),
        ],
    );
    let capacity = node.capacity_type.map(crate::report::document::contract_name);
    add("instance", vec![plain(&node.instance_type), capacity, plain(&node.image_id)]);
    let template = node.launch_template.as_ref().map(|template| match &template.version {
        Some(version) => format!("{} version {version}", template.id),
        None => template.id.to_string(),
    });
    add("template", vec![template, plain(&node.fleet_id)]);
    let by = node.principal_arn.as_ref().map(|principal| format!("by {principal}"));
    let what = match (node.provisioner, &node.karpenter_version) {
        (crate::correlate::Provisioner::Karpenter, Some(version)) => format!("Karpenter {version}"),
        (provisioner, _) => crate::report::document::contract_name(provisioner),
    };
    match node.launched_at {
        Some(at) => add("launched", vec![Some(format!("{} UTC", moment(at))), by, Some(what)]),
        None => add("launched", vec![Some("not in the archive".to_owned())]),
    }
    match (&node.termination, account.lived_seconds) {
        (Some(end), lived) => add(
            "ended",
            vec![
                Some(format!("{} UTC", moment(end.at))),
                lived.map(|seconds| format!("lived {}", span(seconds))),
                Some(format!(
                    "{} ({})",
                    crate::report::document::contract_name(end.cause),
                    crate::report::document::contract_name(end.confidence)
                )),
            ],
        ),
        (None, _) => add("ended", vec![Some("not in the archive".to_owned())]),
    }
    facts
}
