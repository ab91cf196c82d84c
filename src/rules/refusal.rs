//! What KMS refused a node's volumes, taken apart once for the rules that ask which policy or state it was.
//!
//! A node's timeline comes in, [`Refusal`]s go out. A rule says which of them it is about; what the message
//! leaves open is said as missing, never filled in.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::finding::{Finding, Severity, Subject};
use super::recovery::Recovery;
use super::remedy;
use super::rule::{Rule, Verdict};
use super::view::{Facts, NodeView};
use super::wording::{key_name, list, plain, principal_name, span};
use super::{key_policy, ruled_out};
use crate::correlate::{Confidence, Node, TimelineRole, VolumeOutcome, VolumeRole};
use crate::event::{Denial, DenialKind, Detail, Event, KeyArn, KmsUse};

/// One refused call for a volume of a node.
#[derive(Clone, Debug)]
pub(super) struct Refusal<'a> {
    /// Index of the event.
    pub(super) index: u32,
    pub(super) event: &'a Event,
    pub(super) kms: &'a KmsUse,
    pub(super) denial: Denial<'a>,
    /// Whether it was for a volume of the launch: then the node died of it.
    pub(super) is_launch: bool,
    /// How it was joined to the node.
    pub(super) confidence: Confidence,
}

/// What a rule says of one refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is about that.
    Yes,
    /// It is about that, as far as can be told; what is missing.
    Probably(String),
    /// It is about something else.
    No,
    /// The archive cannot tell; what is missing.
    Unclear(String),
}

impl<'a> Refusal<'a> {
    /// The refusals of a node's volumes. Those that the launch got over (it was granted on a second try) are no
    /// refusals of a volume, and are left out.
    pub(super) fn of_node(facts: &Facts<'a>, node: &'a Node) -> Vec<Self> {
        let refused = node.volumes.iter().filter(|volume| volume.outcome != VolumeOutcome::Used);
        let (mut at_launch, mut later) = (HashSet::new(), HashSet::new());
        for volume in refused {
            let ids = if volume.role == Some(VolumeRole::Launch) { &mut at_launch } else { &mut later };
            ids.extend(&volume.evidence);
        }
        if at_launch.is_empty() && later.is_empty() {
            return Vec::new();
        }
        let mut refusals = Vec::new();
        for entry in node.timeline.iter().filter(|entry| entry.role == TimelineRole::Refusal) {
            let event = facts.event(entry.event);
            let is_launch = at_launch.contains(&event.event_id);
            if !is_launch && !later.contains(&event.event_id) {
                continue;
            }
            let (Detail::Kms(kms), Some(error)) = (&event.detail, &event.error) else {
                continue;
            };
            if let Some(denial) = Denial::parse(&error.code, &error.message) {
                let confidence = entry.confidence;
                refusals.push(Self { index: entry.event, event, kms, denial, is_launch, confidence });
            }
        }
        refusals
    }

    /// ARN of the refused role or user; the session's where its role is not known.
    pub(super) fn principal(&self) -> Option<&'a str> {
        let identity = &self.event.identity;
        let named = self.denial.principal.filter(|principal| KeyArn::parse(principal).is_none());
        identity.issuer_arn.as_deref().or(named).or(identity.arn.as_deref())
    }

    /// The action refused: as the message names it, else by the call's name.
    pub(super) fn action(&self) -> String {
        self.denial.action.map_or_else(|| format!("kms:{}", plain(&self.event.name)), plain)
    }

    pub(super) fn key_arn(&self) -> Option<&'a str> {
        self.kms.key_arn.as_deref().or(self.denial.key_arn)
    }

    /// Whether the key belongs to another account than the caller; `None` if either is not known.
    pub(super) fn is_across_accounts(&self) -> Option<bool> {
        let key = KeyArn::parse(self.key_arn()?)?;
        let caller = self.event.identity.account_id.as_deref().unwrap_or(&self.event.account_id);
        Some(key.account_id != caller)
    }
}

/// What a rule about refusals adds to the common sentences.
pub(super) struct Wording {
    /// What the title says after the colon.
    pub(super) title: String,
    /// What it means, in sentences.
    pub(super) meaning: String,
}

/// Judges a node by its refusals: `fit` says which of them the rule is about, `words` what they mean.
pub(super) fn judge<'a>(
    rule: &Rule,
    view: &NodeView<'a>,
    fit: impl Fn(&Refusal<'a>) -> Fit,
    words: impl FnOnce(&[&Refusal<'a>]) -> Wording,
    remedy: impl FnOnce(&[&Refusal<'a>]) -> Option<super::Remediation>,
) -> Verdict {
    let (mut fitting, mut missing, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    let mut confidence = Confidence::Inferred;
    for refusal in &view.refusals {
        match fit(refusal) {
            Fit::No => continue,
            Fit::Unclear(lack) => {
                unclear.push(lack);
                continue;
            }
            Fit::Yes => confidence = confidence.min(refusal.confidence),
            Fit::Probably(lack) => missing.push(lack),
        }
        fitting.push(refusal);
    }
    let Some(first) = fitting.first() else {
        if view.refusals.is_empty() {
            unclear.extend(view.lack_of_key_evidence());
        }
        unclear.dedup();
        return if unclear.is_empty() { Verdict::Silent } else { Verdict::Undetermined(unclear) };
    };
    let Wording { title, meaning } = words(&fitting);
    let is_launch = fitting.iter().any(|refusal| refusal.is_launch);
    let mut evidence: Vec<_> = fitting.iter().map(|refusal| refusal.event.event_id.clone()).collect();
    evidence.extend(view.launch_evidence());
    let mut explanation = happening(view, &fitting);
    explanation.push_str(&meaning);
    if let Some(said) = key_policy::said(view, first) {
        explanation.push_str(&said.sentence);
        evidence.push(said.event.event_id.clone());
    } else {
        missing.extend(key_policy::lack(view, first));
    }
    missing.extend(ruled_out::missing(first));
    missing.dedup();
    let title = format!("KMS refuses {}: {title}", what(&fitting));
    let mut remediation = remedy(&fitting);
    if let Some(recovery) = Recovery::of(view.facts, &fitting) {
        recovery.tell(&mut explanation, &mut evidence, &mut remediation);
    }
    Verdict::fires(Finding {
        severity: if is_launch { rule.severity } else { Severity::High },
        explanation,
        evidence,
        ruled_out: ruled_out::of_refusal(view, first),
        missing,
        remediation,
        ..rule.finding(Subject::node(view), confidence, title)
    })
}

/// `kms:CreateGrant on key 1111… to KarpenterControllerRole-demo`.
pub(super) fn what(refusals: &[&Refusal<'_>]) -> String {
    let actions: BTreeSet<String> = refusals.iter().map(|refusal| refusal.action()).collect();
    let mut text = list(actions, 3);
    let keys: BTreeSet<&str> = refusals.iter().filter_map(|refusal| refusal.key_arn()).collect();
    if !keys.is_empty() {
        text.push_str(&format!(" on {}", list(keys.into_iter().map(key_name), 2)));
    }
    let principals: BTreeSet<&str> = refusals.iter().filter_map(|refusal| refusal.principal()).collect();
    if !principals.is_empty() {
        text.push_str(&format!(" to {}", list(principals.into_iter().map(principal_name), 2)));
    }
    text
}

/// When, what, on which key, to whom, and what became of the node.
fn happening(view: &NodeView<'_>, refusals: &[&Refusal<'_>]) -> String {
    let node = view.node;
    let first = refusals[0];
    let actions: BTreeSet<String> = refusals.iter().map(|refusal| refusal.action()).collect();
    let keys: BTreeSet<&str> = refusals.iter().filter_map(|refusal| refusal.key_arn()).collect();
    let on = if keys.is_empty() { "a key that the message does not name".to_owned() } else { list(keys, 3) };
    let to = first.principal().map_or_else(|| "an unnamed principal".to_owned(), plain);
    let what = if first.is_launch {
        "launch"
    } else if node.launched_at.is_some() {
        "later volume"
    } else {
        "volume"
    };
    let mut text = format!(
        "{}: at {} KMS refused {} on {on} to {to}, for its {what}.",
        view.named(),
        first.event.time,
        list(actions, 4)
    );
    if let (true, Some(launched_at)) = (first.is_launch, node.launched_at) {
        text.push_str(&format!(" It was launched at {launched_at}"));
        match &node.termination {
            Some(end) if end.at >= launched_at => {
                text.push_str(&format!(" and ended {} later.", span(end.at.second() - launched_at.second())))
            }
            _ => text.push('.'),
        }
    }
    if first.confidence == Confidence::Inferred {
        let sharers = view.facts.sharers(first.index);
        text.push_str(&if sharers > 1 {
            format!(" No request id ties the refusal to one node: {sharers} nodes come into question.")
        } else {
            " No request id ties the refusal to the node; session, account, region and time do.".to_owned()
        });
    }
    text
}

/// The remedy of a missing permission: by the role's policy where the key policy leaves it to that, else by the
/// key policy, across accounts by both.
pub(super) fn allow(view: &NodeView<'_>, refusals: &[&Refusal<'_>]) -> Option<super::Remediation> {
    let refusal = refusals.first()?;
    let is_delegated = key_policy::said(view, refusal).is_some_and(|said| said.is_delegated);
    remedy::allow(refusal.principal(), refusal.key_arn(), is_delegated)
}

/// Which refusals say neither which policy refused nor more than that access was denied.
pub(super) fn is_unspecified(kind: DenialKind) -> bool {
    kind == DenialKind::Unspecified
}
