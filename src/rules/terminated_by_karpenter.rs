//! Karpenter ended the node; CloudTrail does not hold its reason.
//!
//! A node comes in; a finding with what age and company of the node suggest, each marked as a suggestion, goes out.

use super::ending::{self, Words};
use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::count;
use crate::correlate::{Termination, TerminationCause};
use crate::event::Detail;

pub(super) static RULE: Rule = Rule {
    id: "KT303",
    name: "terminated-by-karpenter",
    severity: Severity::Info,
    summary: "Karpenter ended the node; the reason is not in CloudTrail, the pattern may suggest one.",
    docs: "\
## Concludes

Karpenter called TerminateInstances for the node. That is its everyday work: consolidation, drift, expiry, an interruption it was
warned of, a deleted node claim.

## Evidence required

TerminateInstances with Karpenter's user agent that names the instance and found it running.

## What would disprove it

A refusal of KMS at launch, a BidEvictedEvent of the instance, or an age that fits the registration timeout (KT302).

## Blind spots

The reason (Underutilized, Empty, Drifted, Expired, Interrupted, unhealthy, garbage collected) is in Karpenter's log, metrics and
Kubernetes events only. What age and company of the node suggest is no proof.

## References

- <https://karpenter.sh/docs/concepts/disruption/>
- <https://karpenter.sh/docs/reference/metrics/>
",
    evaluate: Evaluate::Node(evaluate),
};

/// `expireAfter` of a NodePool that does not say otherwise.
const EXPIRY_SECONDS_DEFAULT: i64 = 720 * 3_600;

/// How far from its expiry a node may be ended for it.
const EXPIRY_SECONDS_TOLERANCE: i64 = 2 * 3_600;

/// Younger nodes than this are rarely consolidated or expired.
const YOUNG_SECONDS_MAX: i64 = 10 * 60;

fn evaluate(view: &NodeView<'_>) -> Verdict {
    ending::judge(&RULE, view, TerminationCause::TerminatedByKarpenter, |end| {
        let (mut ruled_out, mut missing) = ending::about_keys(view);
        ruled_out.push("not a spot interruption: the archive shows no BidEvictedEvent of it".to_owned());
        missing.push(
            "Karpenter's reason: it is in its log, metrics and Kubernetes events, not in CloudTrail"
                .to_owned(),
        );
        Words {
            title: "Terminated by Karpenter".to_owned(),
            explanation: format!(
                "{}: at {}{} Karpenter terminated it.{}",
                view.named(),
                end.at,
                ending::age(view, end),
                pattern(view, end)
            ),
            ruled_out,
            missing,
            remediation: None,
        }
    })
}

/// What the node's age, its registration and those that were ended with it suggest.
fn pattern(view: &NodeView<'_>, end: &Termination) -> String {
    let mut suggestions = Vec::new();
    let others = ending::event(view, end).and_then(|event| match &event.detail {
        Detail::Termination(instances) => instances.len().checked_sub(1).filter(|others| *others > 0),
        _ => None,
    });
    if let Some(others) = others {
        suggestions.push(format!(
            "{} ended in the same call, as in consolidation, drift or when a NodePool is deleted",
            count(others, "other instance")
        ));
    }
    if let Some(seconds) = ending::lifetime_seconds(view, end) {
        if (seconds - EXPIRY_SECONDS_DEFAULT).abs() <= EXPIRY_SECONDS_TOLERANCE {
            suggestions.push("its age is Karpenter's default expiry of 720 h".to_owned());
        } else if !view.is_registered() {
            suggestions.push(
                "it was never tagged as a registered node, so its node claim was deleted early".to_owned(),
            );
        } else if seconds < YOUNG_SECONDS_MAX {
            suggestions.push(
                "it had registered and was young, as when the pods that it was made for went away".to_owned(),
            );
        }
    }
    if suggestions.is_empty() {
        return String::new();
    }
    format!(" What the pattern suggests: {}.", suggestions.join("; "))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, finding, is_undetermined, of_node};

    #[test]
    fn fires_and_says_what_the_pattern_suggests() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "2026-02-01T10:00:00Z", KEY).registered("a", "2026-02-01T10:01:00Z");
        log.launch("b", "10:00:00")
            .registered("b", "10:01:00")
            .launch("d", "10:00:00")
            .registered("d", "10:01:00");
        log.terminated(&["a"], "2026-03-03T10:30:00Z", "running").terminated(
            &["b", "d"],
            "11:00:00",
            "running",
        );
        let case = log.case();
        let expired = finding(of_node(&RULE, &case, "a"));
        assert!(expired.explanation.contains("default expiry of 720 h"), "{}", expired.explanation);
        let together = finding(of_node(&RULE, &case, "b"));
        assert!(together.explanation.contains("1 other instance ended"), "{}", together.explanation);
    }

    #[test]
    fn silent_when_a_person_ended_it() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00").terminated_by_person("a", "11:00:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_an_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
