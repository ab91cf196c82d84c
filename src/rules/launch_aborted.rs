//! EC2 gave a launch up without anybody calling TerminateInstances, and no key was refused.
//!
//! A node comes in; a finding that cites EC2's cleaning up goes out.

use super::ending::{self, Words};
use super::finding::Severity;
use super::remediation::{self, Instance};
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use crate::correlate::{TerminationCause, TimelineRole};

pub(super) static RULE: Rule = Rule {
    id: "KT305",
    name: "launch-aborted",
    severity: Severity::High,
    summary: "EC2 aborted the launch without a TerminateInstances, and KMS refused nothing that the archive shows.",
    docs: "\
## Concludes

RunInstances succeeded, and EC2 gave the instance up within seconds or minutes. The archive holds no refusal of KMS that explains it:
another failure inside EC2 (capacity, a network interface, a volume limit), or a refusal that was not logged.

## Evidence required

DeleteNetworkInterface with the request id of the node's RunInstances (observed), or a first TerminateInstances within five minutes
that found the instance already shutting down (inferred); and no sign of life.

## What would disprove it

A TerminateInstances that found the instance running; a tag that shows that the node registered.

## Blind spots

EC2's StateReason is shown by DescribeInstances only, for about an hour. Where KMS events are missing, a refused key looks the same.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html>
- <https://github.com/aws/karpenter-provider-aws/issues/1760>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    ending::judge(&RULE, view, TerminationCause::LaunchAborted, |end| {
        let node = view.node;
        let (mut ruled_out, mut missing) = ending::about_keys(view);
        ruled_out.push("not a spot interruption: the archive shows no BidEvictedEvent of it".to_owned());
        missing.push("EC2's StateReason of the instance: DescribeInstances alone shows it".to_owned());
        let sign = if view.events(TimelineRole::Cleanup).next().is_some() {
            "deleted its network interface with the request id of the launch"
        } else {
            "had it shutting down already when TerminateInstances was called for it"
        };
        Words {
            title: "Launch aborted by EC2".to_owned(),
            explanation: format!(
                "{}: at {}{} EC2 gave it up: it {sign}. Nothing shows it alive, and nobody ended it.",
                view.named(),
                end.at,
                ending::age(view, end)
            ),
            ruled_out,
            missing,
            remediation: Instance::new(&node.account_id, &node.region, &node.instance_id)
                .ok()
                .map(|instance| remediation::look_why_ec2_gave_it_up(&instance)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        KEY, Log, NO_IDENTITY_POLICY, ROLE, finding, is_undetermined, of_node, request, session,
    };

    fn cleaned_up(log: &mut Log, letter: &str, at: &str) {
        let identity = session(ROLE, "1768825272022703283", Some("ec2.amazonaws.com"));
        let rest = format!(
            r#""requestParameters":{{"networkInterfaceId":"eni-00407d83c64bf356f"}},"responseElements":{{"_return":true}},"requestID":"{}""#,
            request(letter)
        );
        log.record(at, ("ec2", "DeleteNetworkInterface"), &identity, "ec2.amazonaws.com", &rest);
    }

    #[test]
    fn fires_when_ec2_cleans_up_after_the_launch() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY);
        cleaned_up(&mut log, "a", "10:00:20");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.explanation.contains("20 s after its launch"), "{}", finding.explanation);
        let remedy = finding.remediation.expect("where to look");
        assert!(remedy.documents[0].body.contains("--instance-ids 'i-0aaaaaaaaaaaaaaaa'"), "{remedy:?}");
    }

    #[test]
    fn fires_as_inferred_when_karpenter_comes_too_late() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).terminated(&["a"], "10:02:00", "shutting-down");
        assert_eq!(finding(of_node(&RULE, &log.case(), "a")).confidence, Confidence::Inferred);
    }

    #[test]
    fn silent_when_kms_refused_the_key() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").denied(
            "a",
            "10:00:02",
            "CreateGrant",
            KEY,
            NO_IDENTITY_POLICY,
        );
        cleaned_up(&mut log, "a", "10:00:20");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_an_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
