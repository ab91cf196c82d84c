//! Rules: from a case to findings. One rule, one file: what it concludes, its logic and its tests.
//!
//! A [`Case`] comes in, [`Finding`]s go out, sorted by severity, rule and subject; each cites the events that it
//! rests on. Nothing here does I/O or reads a clock, and no rule knows another. What the archive does not show
//! makes a verdict undetermined, never a finding.

mod account_default_changed;
mod account_default_used;
mod alias_repointed;
mod aws_managed_key_used;
pub mod catalogue;
mod cluster_secrets_key_used;
mod ending;
mod event_facts;
mod finding;
mod foreign_key_used;
mod grant_ended;
mod guard_denial;
mod identity_policy_denial;
mod incident;
mod key_condition;
mod key_disabled;
mod key_not_found;
mod key_pending_deletion;
mod key_policy;
mod key_policy_changed;
mod key_state_changed;
mod kms_events_absent;
mod launch_aborted;
mod launch_failure;
mod launch_loop;
mod records_lost;
mod recovery;
mod refusal;
mod registration_timeout;
pub mod remediation;
mod remedy;
mod resource_policy_denial;
mod rule;
mod ruled_out;
mod service_linked_role_denial;
mod several_keys_used;
mod silence;
mod snapshot_key_denial;
mod snapshot_key_kept;
mod spot_interruption;
mod terminated_by_auto_scaling;
mod terminated_by_karpenter;
mod terminated_by_principal;
#[cfg(test)]
pub(crate) mod testing;
mod tool;
mod unencrypted_volumes;
mod view;
pub(crate) mod wording;
mod wrong_key;

pub use finding::{Document, Finding, Remediation, Severity, Subject, SubjectKind};
pub use incident::{Incident, incidents};
pub(crate) use key_policy::policy_of;
pub use rule::{HEADINGS, Rule, Verdict};

use rayon::prelude::*;

use crate::correlate::{Case, Node};
use rule::Evaluate;
use view::{Facts, FleetView, KeyView};

/// All rules, sorted by id.
pub static RULES: &[&Rule] = &[
    &identity_policy_denial::RULE,
    &resource_policy_denial::RULE,
    &guard_denial::RULE,
    &key_disabled::RULE,
    &key_pending_deletion::RULE,
    &key_not_found::RULE,
    &snapshot_key_denial::RULE,
    &service_linked_role_denial::RULE,
    &account_default_used::RULE,
    &aws_managed_key_used::RULE,
    &snapshot_key_kept::RULE,
    &alias_repointed::RULE,
    &cluster_secrets_key_used::RULE,
    &foreign_key_used::RULE,
    &unencrypted_volumes::RULE,
    &several_keys_used::RULE,
    &spot_interruption::RULE,
    &registration_timeout::RULE,
    &terminated_by_karpenter::RULE,
    &terminated_by_principal::RULE,
    &launch_aborted::RULE,
    &launch_loop::RULE,
    &launch_failure::RULE,
    &terminated_by_auto_scaling::RULE,
    &key_policy_changed::RULE,
    &account_default_changed::RULE,
    &key_state_changed::RULE,
    &grant_ended::RULE,
    &kms_events_absent::RULE,
    &silence::RULE,
    &records_lost::RULE,
];

/// The rule with this id, in upper or lower case.
#[must_use]
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(id)).copied()
}

/// What the rules conclude: the worst first, then by rule and subject. Takes time linear in the case, but for
/// sorting.
#[must_use]
pub fn evaluate(case: &Case) -> Vec<Finding> {
    let mut found = judge_all(&Facts::gather(case), Ranked::new);
    found.par_sort_unstable_by(|one, two| {
        let (rank, one, two) = (one.rank.cmp(&two.rank), &one.kept, &two.kept);
        rank.then_with(|| {
            (&one.subject, &one.title, &one.evidence).cmp(&(&two.subject, &two.title, &two.evidence))
        })
    });
    found.into_iter().map(|ranked| *ranked.kept).collect()
}

/// How bad a finding is, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
}

/// What is left of the findings of [`evaluate`], in the same order, where nobody is shown what they say: then most of
/// it is never written.
#[must_use]
pub fn concerns(case: &Case) -> Vec<Concern> {
    let mut facts = Facts::gather(case);
    facts.are_words_wanted = false;
    let mut found = judge_all(&facts, |finding| {
        let Ranked { rank, kept } = Ranked::new(finding);
        Ranked { rank, kept: Concern { severity: kept.severity, subject: kept.subject } }
    });
    found.par_sort_unstable_by(|one, two| {
        one.rank.cmp(&two.rank).then_with(|| one.kept.subject.cmp(&two.kept.subject))
    });
    found.into_iter().map(|ranked| ranked.kept).collect()
}

/// What `keep` keeps of all findings, in no order.
fn judge_all<'a, T: Send>(facts: &'a Facts<'a>, keep: fn(Box<Finding>) -> T) -> Vec<T> {
    let (mut found, of_others): (Vec<T>, Vec<T>) = rayon::join(
        || {
            facts
                .case
                .nodes
                .par_iter()
                .flat_map_iter(|node| findings_of_node(facts, node).map(keep))
                .collect()
        },
        || {
            let keys = facts.keys();
            RULES.par_iter().flat_map_iter(|rule| findings_of_others(facts, &keys, rule).map(keep)).collect()
        },
    );
    found.extend(of_others);
    found
}

/// A finding, or what is kept of it, and what decides its place among nearly all others: comparing that needs no look
/// at the finding.
struct Ranked<T> {
    /// The worst first, then by rule, kind of subject, and how the subject's id begins.
    rank: (std::cmp::Reverse<Severity>, &'static str, SubjectKind, [u8; ID_BYTES_COMPARED]),
    kept: T,
}

/// More than an instance id has.
const ID_BYTES_COMPARED: usize = 20;

impl Ranked<Box<Finding>> {
    fn new(finding: Box<Finding>) -> Self {
        let Subject { kind, id } = &finding.subject;
        let mut beginning = [0; ID_BYTES_COMPARED];
        let length = id.len().min(ID_BYTES_COMPARED);
        beginning[..length].copy_from_slice(&id.as_bytes()[..length]);
        Self { rank: (std::cmp::Reverse(finding.severity), finding.rule, *kind, beginning), kept: finding }
    }
}

/// What a rule concludes of keys or of the whole fleet.
fn findings_of_others<'a>(
    facts: &'a Facts<'a>,
    keys: &'a [KeyView<'a>],
    rule: &'static Rule,
) -> impl Iterator<Item = Box<Finding>> + use<'a> {
    let verdicts: Vec<Verdict> = match rule.evaluate {
        Evaluate::Node(_) => Vec::new(),
        Evaluate::Key(evaluate) => keys.iter().map(evaluate).collect(),
        Evaluate::Fleet(evaluate) => evaluate(&FleetView { facts }),
    };
    verdicts.into_iter().filter_map(Verdict::into_finding)
}

fn findings_of_node<'a>(
    facts: &'a Facts<'a>,
    node: &'a Node,
) -> impl Iterator<Item = Box<Finding>> + use<'a> {
    let view = facts.node(node);
    RULES.iter().filter_map(move |rule| match rule.evaluate {
        Evaluate::Node(evaluate) => evaluate(&view).into_finding(),
        Evaluate::Key(_) | Evaluate::Fleet(_) => None,
    })
}

/// What each rule that looks at single nodes says of one node of the case; rules in the order of their ids.
#[must_use]
pub fn verdicts(case: &Case, instance_id: &str) -> Vec<(&'static Rule, Verdict)> {
    let Some(node) = case.nodes.iter().find(|node| *node.instance_id == *instance_id) else {
        return Vec::new();
    };
    let facts = Facts::gather(case);
    let view = facts.node(node);
    let judge = |rule: &&'static Rule| match rule.evaluate {
        Evaluate::Node(evaluate) => Some((*rule, evaluate(&view))),
        Evaluate::Key(_) | Evaluate::Fleet(_) => None,
    };
    RULES.iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests;
