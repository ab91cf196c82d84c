//! What the rules about a wrong key share: the volumes that are not under the expected key, and the finding.
//!
//! A node and the origin that a rule is about come in; a verdict that names both keys goes out.

use super::finding::{Finding, Subject};
use super::remedy;
use super::rule::{Rule, Verdict};
use super::view::{NodeView, outcome_words};
use super::wording::{count, key_name, list, plain};
use crate::correlate::{Confidence, KeyOrigin, KeySource, KeyVerdict, Volume, VolumeOutcome};
use crate::event::{Event, Text};

/// What a rule adds: who or what chose the key.
pub(super) struct Cause<'a> {
    /// In the title, after the key.
    pub(super) title: &'static str,
    /// Sentences.
    pub(super) explanation: String,
    /// Events that say so.
    pub(super) events: Vec<&'a Event>,
    /// What is missing to be sure.
    pub(super) missing: Vec<String>,
}

/// Judges a node by its volumes under an unexpected key that came from `origin`.
pub(super) fn judge<'a>(
    rule: &Rule,
    view: &NodeView<'a>,
    origin: KeyOrigin,
    cause: impl FnOnce(&[&'a Volume]) -> Cause<'a>,
) -> Verdict {
    let node = view.node;
    let unexpected = view.unexpected_volumes();
    let wrong: Vec<&Volume> =
        unexpected.iter().copied().filter(|volume| volume.key_origin == origin).collect();
    let Some(first) = wrong.first() else {
        return not_fired(view, &unexpected);
    };
    let wrong_key = first.key_arn.clone().unwrap_or_default();
    let expected: Vec<&Text> =
        node.expected_keys.iter().filter_map(|device| device.key.key_arn.as_ref()).collect();
    let cause = cause(&wrong);
    let mut explanation = format!(
        "{}: {} of its launch {} {}, though {}.",
        view.named(),
        volumes(&wrong),
        if wrong.len() == 1 { outcome_words(first) } else { plural(outcome_words(first)) },
        plain(&wrong_key),
        expectation(view, &expected)
    );
    explanation.push(' ');
    explanation.push_str(&cause.explanation);
    if let Some(root) = remedy::unlisted_root_device(view) {
        explanation.push_str(&format!(
            " The AMI's root device is {}, which {} does not list.",
            plain(root),
            configuration(view)
        ));
    }
    explanation.push_str(&view.join_words(&wrong));
    if first.outcome != VolumeOutcome::Used {
        explanation.push_str(" KMS refused that key, so the node did not live to use it.");
    }
    let mut evidence: Vec<_> = wrong.iter().flat_map(|volume| volume.evidence.iter().cloned()).collect();
    evidence.extend(node.expected_keys.iter().flat_map(|device| device.key.evidence.iter().cloned()));
    evidence.extend(cause.events.iter().map(|event| event.event_id.clone()));
    evidence.extend(view.launch_evidence());
    let confidence = wrong.iter().map(|volume| volume.confidence).min().unwrap_or(Confidence::Inferred);
    let used = if first.outcome == VolumeOutcome::Used { "used" } else { "asked for" };
    let title = format!(
        "{} {used} instead of {}: {}",
        capital(&key_name(&wrong_key)),
        list(expected.iter().map(|key| key_name(key)), 2),
        cause.title
    );
    Verdict::fires(Finding {
        explanation,
        evidence,
        ruled_out: vec![
            "not an alias read wrongly: keys are compared by account, region and key id".to_owned(),
        ],
        missing: cause.missing,
        remediation: remedy::name_key(view, expected.first().map(|key| &***key)),
        ..rule.finding(Subject::node(view), confidence, title)
    })
}

/// Silent, or what is missing to compare keys, or to say where one came from.
fn not_fired(view: &NodeView<'_>, unexpected: &[&Volume]) -> Verdict {
    let node = view.node;
    if let Some(lack) = view.lack_of_key_evidence() {
        return Verdict::undetermined(lack);
    }
    if node.expected_keys.is_empty() {
        return Verdict::undetermined(
            "the key that the node should use: its launch template is not in the archive, and nobody told",
        );
    }
    if node.key_verdict == KeyVerdict::Unknown {
        let unresolved = node.expected_keys.iter().find(|device| device.key.key_arn.is_none());
        let written = unresolved.and_then(|device| device.key.written.as_deref());
        return Verdict::undetermined(match written {
            Some(alias) => format!("the key behind {}", plain(alias)),
            None => "the keys of some of the launch's volumes".to_owned(),
        });
    }
    if unexpected.iter().any(|volume| volume.key_origin == KeyOrigin::Unknown) {
        return Verdict::undetermined(
            "where the key came from: the archive holds neither the account's default as of the launch nor the \
             image's copying",
        );
    }
    Verdict::Silent
}

/// `volume vol-…`, `2 volumes`, or `a volume` where KMS logged none.
pub(super) fn volumes(volumes: &[&Volume]) -> String {
    match volumes {
        [only] => only
            .volume_id
            .as_deref()
            .map_or_else(|| "a volume".to_owned(), |id| format!("volume {}", plain(id))),
        several => count(several.len(), "volume"),
    }
}

fn plural(words: &'static str) -> &'static str {
    match words {
        "is under" => "are under",
        _ => "were to be under",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn source_words(source: KeySource) -> &'static str {
    match source {
        KeySource::Flag => "--expect-key",
        KeySource::NodeClass => "the node class",
        KeySource::LaunchTemplate => "the launch template",
    }
}

/// What lists the devices of a node.
fn configuration(view: &NodeView<'_>) -> &'static str {
    let mut sources = view.node.expected_keys.iter().map(|device| device.key.source);
    source_words(sources.find(|source| *source != KeySource::Flag).unwrap_or(KeySource::LaunchTemplate))
}

/// `the launch template asks for arn:… (alias/…)`.
fn expectation(view: &NodeView<'_>, expected: &[&Text]) -> String {
    let first = view.node.expected_keys.iter().find(|device| device.key.key_arn.is_some());
    let source = first.map_or("the launch template", |device| source_words(device.key.source));
    let written =
        first.and_then(|device| device.key.written.as_deref()).filter(|written| !written.starts_with("arn:"));
    let keys = list(expected.iter().map(|key| &***key), 3);
    match written {
        Some(written) => format!("{source} asks for {keys} (written as {})", plain(written)),
        None => format!("{source} asks for {keys}"),
    }
}
