//! A launch loop: node after node of one nodepool dies young.
//!
//! All nodes come in; one finding per nodepool and loop, with the cause that they have in common, goes out.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Severity, Subject, SubjectKind};
use super::refusal;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::{FleetView, NodeView};
use super::wording::{count, plain, span};
use crate::correlate::{Confidence, Node, TerminationCause, TimelineRole};
use crate::event::Text;

pub(super) static RULE: Rule = Rule {
    id: "KT306",
    name: "launch-loop",
    severity: Severity::Critical,
    summary: "At least 3 nodes of one nodepool died young within an hour: a launch loop, with the common cause.",
    docs: "\
## Concludes

The nodepool makes nodes that die before they are of use, and makes them again: pods stay pending, and every try costs money and API
calls. The finding names what the deaths have in common.

## Evidence required

At least 3 nodes of one nodepool (same account, region and cluster) launched within an hour that ended less than 20 minutes after
their launch. Nodes that had registered and were ended by Karpenter, or by Auto Scaling, are plain scale-down and do not count.

## What would disprove it

A node of the same nodepool launched in between that lived on.

## Blind spots

Nodes whose end is not in the archive do not count. A nodepool's name is known from tags only. Launches that make no instance at all
are KT307.

## References

- <https://karpenter.sh/docs/troubleshooting/>
- <https://github.com/aws/karpenter-provider-aws/issues/5039>
",
    evaluate: Evaluate::Fleet(evaluate),
};

/// Fewest nodes that make a loop.
const NODES_MIN: usize = 3;
/// Time within which they are launched.
const WINDOW_SECONDS: i64 = 3_600;
/// Age at which a node did not die young.
pub(super) const YOUNG_SECONDS_MAX: i64 = 20 * 60;

/// (account, region, cluster, nodepool)
type Pool<'a> = (&'a Text, &'a Text, Option<&'a Text>, Option<&'a Text>);

fn died_young(node: &Node) -> bool {
    let (Some(launched_at), Some(end)) = (node.launched_at, &node.termination) else {
        return false;
    };
    let age = end.at.second() - launched_at.second();
    let is_registered = node.nodeclaim.is_some()
        || node.timeline.iter().any(|entry| entry.role == TimelineRole::Registration);
    let is_scale_down = match end.cause {
        TerminationCause::TerminatedByKarpenter => is_registered,
        TerminationCause::TerminatedByAutoscaling => true,
        _ => false,
    };
    // Clocks of two hosts may differ by a second.
    (-1..YOUNG_SECONDS_MAX).contains(&age) && !is_scale_down
}

/// Runs of nodes, sorted by launch, of which any [`NODES_MIN`] neighbours are launched within the window.
fn loops<'a>(nodes: &[&'a Node]) -> Vec<Vec<&'a Node>> {
    let second = |node: &Node| node.launched_at.unwrap_or_default().second();
    let mut loops: Vec<Vec<&Node>> = Vec::new();
    let mut end = 0;
    for (start, window) in nodes.windows(NODES_MIN).enumerate() {
        if second(window[NODES_MIN - 1]) - second(window[0]) > WINDOW_SECONDS {
            continue;
        }
        let known = end.max(start);
        if start < end {
            loops.last_mut().expect("a run was begun").extend(&nodes[known..start + NODES_MIN]);
        } else {
            loops.push(window.to_vec());
        }
        end = start + NODES_MIN;
    }
    loops
}

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let mut pools: BTreeMap<Pool<'_>, Vec<&Node>> = BTreeMap::new();
    for node in view.facts.case.nodes.iter().filter(|node| died_young(node)) {
        let pool = (&node.account_id, &node.region, node.cluster.as_ref(), node.nodepool.as_ref());
        pools.entry(pool).or_default().push(node);
    }
    let mut verdicts = Vec::new();
    for ((account, region, cluster, nodepool), nodes) in pools {
        for found in loops(&nodes) {
            let views: Vec<NodeView<'_>> = found.into_iter().map(|node| view.facts.node(node)).collect();
            verdicts.push(match nodepool {
                Some(nodepool) => fire(nodepool, cluster, &views),
                None => Verdict::undetermined(format!(
                    "the nodepool of {} in {account}/{region} that died young",
                    count(views.len(), "node")
                )),
            });
        }
    }
    if verdicts.is_empty() { vec![Verdict::Silent] } else { verdicts }
}

fn fire(nodepool: &Text, cluster: Option<&Text>, nodes: &[NodeView<'_>]) -> Verdict {
    let ends = || nodes.iter().filter_map(|view| view.node.termination.as_ref());
    let observed = ends().filter(|end| end.confidence == Confidence::Observed).count();
    let confidence = if observed >= NODES_MIN { Confidence::Observed } else { Confidence::Inferred };
    let first = nodes[0].node.launched_at.unwrap_or_default();
    let last = ends().map(|end| end.at).max().unwrap_or(first);
    let (cause, shared) = common_cause(nodes);
    let belongs = cluster.map_or_else(String::new, |cluster| format!(" of cluster {}", plain(cluster)));
    let mut missing = Vec::new();
    if shared < nodes.len() {
        missing.push(format!("one cause for all: {} of {} have this one", shared, nodes.len()));
    }
    let mut ages: Vec<i64> = nodes
        .iter()
        .filter_map(|view| {
            Some(view.node.termination.as_ref()?.at.second() - view.node.launched_at?.second())
        })
        .collect();
    ages.sort_unstable();
    let typical = ages.get(ages.len() / 2).copied().unwrap_or_default();
    let remedy =
        nodes.iter().find(|view| view.refusals.iter().any(|refusal| refusal.is_launch)).and_then(|view| {
            let refusals: Vec<_> = view.refusals.iter().filter(|refusal| refusal.is_launch).collect();
            let is_denied = view.node.termination.as_ref()?.cause == TerminationCause::KmsDenied;
            if is_denied { refusal::allow(view, &refusals) } else { None }
        });
    Verdict::fires(Finding {
        explanation: format!(
            "Nodepool {}{belongs} launched {} from {first} on that died young, the last at {last}; half of them lived \
             at most {}. What they have in common: {cause}.",
            plain(nodepool),
            count(nodes.len(), "node"),
            span(typical)
        ),
        evidence: ends().flat_map(|end| end.evidence.iter().cloned()).collect(),
        ruled_out: vec![
            "not scale-down: none of them had registered and was then ended by Karpenter or Auto Scaling"
                .to_owned(),
        ],
        missing,
        remediation: remedy,
        ..RULE.finding(
            Subject::new(SubjectKind::Nodepool, nodepool.clone()),
            confidence,
            format!(
                "Launch loop: {} of nodepool {} died young within {}: {cause}",
                count(nodes.len(), "node"),
                plain(nodepool),
                span(last.second() - first.second())
            ),
        )
    })
}

/// What most of the nodes died of, and how many did.
fn common_cause(nodes: &[NodeView<'_>]) -> (String, usize) {
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for view in nodes {
        *causes.entry(cause_of(view)).or_default() += 1;
    }
    // Of equally frequent ones, the first by name.
    let most = causes.into_iter().rev().max_by_key(|(_, number)| *number);
    most.unwrap_or_default()
}

/// What a node died of, in words that are the same for the same cause.
pub(super) fn cause_of(view: &NodeView<'_>) -> String {
    let Some(end) = &view.node.termination else {
        return "no end in the archive".to_owned();
    };
    let refused: Vec<_> = view.refusals.iter().filter(|refusal| refusal.is_launch).collect();
    let what = || {
        let actions: BTreeSet<_> = refused.iter().map(|refusal| refusal.action()).collect();
        if actions.is_empty() { "its key".to_owned() } else { refusal::what(&refused) }
    };
    match end.cause {
        TerminationCause::KmsDenied => format!("KMS refuses {}", what()),
        TerminationCause::KmsKeyUnusable => format!("the key cannot be used: KMS refuses {}", what()),
        TerminationCause::SpotInterruption => "EC2 takes spot capacity back".to_owned(),
        TerminationCause::RegistrationTimeout => "they never register".to_owned(),
        TerminationCause::TerminatedByKarpenter => "Karpenter ends them before they register".to_owned(),
        TerminationCause::TerminatedByAutoscaling => "Auto Scaling ends them".to_owned(),
        TerminationCause::TerminatedByPrincipal => match &end.actor {
            Some(actor) => format!("{} terminates them", plain(actor)),
            None => "somebody terminates them".to_owned(),
        },
        TerminationCause::LaunchAborted => "EC2 aborts the launches".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        KEY, Log, NO_IDENTITY_POLICY, is_undetermined, of_fleet, only_finding, session,
    };

    fn refused(log: &mut Log, letter: &str, at: &str, denied_at: &str) {
        log.launch(letter, at).denied(letter, denied_at, "CreateGrant", KEY, NO_IDENTITY_POLICY);
    }

    #[test]
    fn fires_for_three_nodes_that_die_of_one_cause() {
        let mut log = Log::new();
        log.template(KEY);
        refused(&mut log, "a", "10:00:00", "10:00:02");
        refused(&mut log, "b", "10:20:00", "10:20:02");
        refused(&mut log, "c", "10:59:00", "10:59:02");
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(&*finding.subject.id, "default");
        assert!(
            finding
                .title
                .starts_with("Launch loop: 3 nodes of nodepool default died young within 59 min: KMS")
        );
        assert!(finding.explanation.contains("kms:CreateGrant on key 11111111"), "{}", finding.explanation);
        assert!(finding.remediation.is_some());
    }

    #[test]
    fn fires_once_for_each_of_two_loops() {
        let mut log = Log::new();
        log.template(KEY);
        for (letters, hour) in [(["a", "b", "c", "d"], "10"), (["1", "2", "3", "4"], "15")] {
            for (minute, letter) in letters.iter().enumerate() {
                refused(&mut log, letter, &format!("{hour}:0{minute}:00"), &format!("{hour}:0{minute}:02"));
            }
        }
        let verdicts = of_fleet(&RULE, &log.case());
        let titles: Vec<_> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Fires(finding) => finding.title.split(" of ").next().unwrap_or_default(),
                _ => "",
            })
            .collect();
        assert_eq!(titles, ["Launch loop: 4 nodes", "Launch loop: 4 nodes"]);
    }

    #[test]
    fn silent_for_two_nodes_for_slow_ones_and_for_scale_down() {
        let mut log = Log::new();
        log.template(KEY);
        refused(&mut log, "a", "10:00:00", "10:00:02");
        refused(&mut log, "b", "10:20:00", "10:20:02");
        refused(&mut log, "c", "11:20:00", "11:20:02");
        for letter in ["d", "e", "f"] {
            log.healthy(letter, "12:00:00", KEY).registered(letter, "12:01:00");
        }
        log.terminated(&["d", "e", "f"], "12:10:00", "running");
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_where_the_nodepool_is_not_known() {
        let mut log = Log::new();
        let identity = session("arn:aws:iam::111122223333:role/Admin", "maria", None);
        for letter in ["a", "b", "c"] {
            log.nodepool("").launch_as(letter, "10:00:00", &identity, "on-demand");
            log.terminated_by_person(letter, "10:05:00");
        }
        let verdicts = of_fleet(&RULE, &log.case());
        assert!(verdicts.iter().any(is_undetermined), "{verdicts:?}");
    }
}
