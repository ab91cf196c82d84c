//! Auto Scaling ended the node.
//!
//! A node comes in; a finding that cites Auto Scaling's call goes out.

use super::ending::{self, Words};
use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::who;
use super::view::NodeView;
use crate::correlate::TerminationCause;
use crate::event::Detail;

pub(super) static RULE: Rule = Rule {
    id: "KT308",
    name: "terminated-by-auto-scaling",
    severity: Severity::Info,
    summary: "Auto Scaling ended the node.",
    docs: "\
## Concludes

An Auto Scaling group (a managed node group's too) ended the instance: the group shrank, rebalanced its zones, refreshed its instances,
or found the instance unhealthy. Keys and permissions have nothing to do with it.

## Evidence required

TerminateInstances invoked by `autoscaling.amazonaws.com`, or TerminateInstanceInAutoScalingGroup, for the instance.

## What would disprove it

The instance having been shutting down already.

## Blind spots

The group's reason is in its scaling activities, not in CloudTrail.

## References

- <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>
- <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-verify-scaling-activity.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    ending::judge(&RULE, view, TerminationCause::TerminatedByAutoscaling, |end| {
        let (ruled_out, mut missing) = ending::about_keys(view);
        missing.push("the group's reason: DescribeScalingActivities shows it".to_owned());
        let asked = ending::event(view, end)
            .filter(|event| matches!(event.detail, Detail::AutoScalingTermination { .. }))
            .map_or_else(String::new, |event| format!(" as {} asked", who(event)));
        Words {
            title: "Terminated by Auto Scaling".to_owned(),
            explanation: format!(
                "{}: at {}{} Auto Scaling terminated it{asked}.",
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
    use crate::rules::testing::{Log, finding, is_undetermined, of_node, session};

    const AUTO_SCALING: &str = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";

    #[test]
    fn fires_when_auto_scaling_ended_the_instance() {
        let mut log = Log::new();
        let identity = session(AUTO_SCALING, "AutoScaling", Some("autoscaling.amazonaws.com"));
        log.launch_as("a", "10:00:00", &identity, "on-demand");
        log.terminated_by(&["a"], "12:00:00", "running", &identity, "autoscaling.amazonaws.com");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.explanation.contains("2 h after its launch"), "{}", finding.explanation);
    }

    #[test]
    fn silent_when_a_person_ended_an_instance_of_the_group() {
        let mut log = Log::new();
        let identity = session(AUTO_SCALING, "AutoScaling", Some("autoscaling.amazonaws.com"));
        log.launch_as("a", "10:00:00", &identity, "on-demand").terminated_by_person("a", "12:00:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_an_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
