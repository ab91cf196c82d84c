//! EC2 took spot capacity back.
//!
//! A node comes in; a finding that cites the BidEvictedEvent goes out.

use super::ending::{self, Words};
use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::{CapacityType, TerminationCause};

pub(super) static RULE: Rule = Rule {
    id: "KT301",
    name: "spot-interruption",
    severity: Severity::Info,
    summary: "EC2 took the node's spot capacity back.",
    docs: "\
## Concludes

EC2 interrupted the spot instance. Keys and permissions have nothing to do with its end.

## Evidence required

A BidEvictedEvent that lists the instance.

## What would disprove it

Somebody else having ended the instance before.

## Blind spots

The two-minute warning and rebalance recommendations are sent to EventBridge only. Karpenter, warned, may end the node itself first;
the BidEvictedEvent still decides. An instance of a fleet whose interruption event was lost looks like one without an end.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-interruptions.html>
- <https://karpenter.sh/docs/concepts/disruption/#interruption>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    if node.termination.is_none() && node.capacity_type == Some(CapacityType::OnDemand) {
        return Verdict::Silent;
    }
    ending::judge(&RULE, view, TerminationCause::SpotInterruption, |end| {
        let (ruled_out, missing) = ending::about_keys(view);
        let kind = node.instance_type.as_deref().map_or_else(|| "the instance".to_owned(), plain);
        let zone =
            node.availability_zone.as_deref().map_or_else(String::new, |zone| format!(" in {}", plain(zone)));
        Words {
            title: "Spot capacity taken back by EC2".to_owned(),
            explanation: format!(
                "{}: at {}{} EC2 took the spot capacity of {kind}{zone} back.",
                view.named(),
                end.at,
                ending::age(view, end)
            ),
            ruled_out,
            missing,
            remediation: None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, finding, is_undetermined, of_node};

    #[test]
    fn fires_for_the_instance_that_the_event_lists() {
        let mut log = Log::new();
        log.template(KEY)
            .launch_spot("a", "10:00:00")
            .data_key("a", "10:00:00", KEY)
            .registered("a", "10:01:00");
        log.evicted("a", "10:30:00");
        let eviction = log.last_id();
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.evidence.contains(&eviction));
        assert!(finding.explanation.contains("30 min after its launch"), "{}", finding.explanation);
        assert_eq!(finding.ruled_out, ["not a refused key: KMS let the launch use its keys"]);
    }

    #[test]
    fn silent_when_karpenter_ended_a_spot_node_that_no_event_lists() {
        let mut log = Log::new();
        log.launch_spot("a", "10:00:00").launch_spot("b", "10:00:00").registered("a", "10:01:00");
        log.terminated(&["a"], "10:30:00", "running").evicted("b", "10:30:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_for_a_spot_node_without_an_end() {
        let mut log = Log::new();
        log.launch_spot("a", "10:00:00").launch("b", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
        assert_eq!(of_node(&RULE, &log.case(), "b"), Verdict::Silent);
    }
}
