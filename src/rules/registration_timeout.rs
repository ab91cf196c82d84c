//! Karpenter ended a node that never registered, a quarter of an hour after its launch.
//!
//! A node comes in; an inferred finding goes out: age and missing tags suggest the timeout, no event says it.

use super::ending::{self, Words};
use super::finding::{Remediation, Severity};
use super::remediation::{self, Instance};
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use crate::correlate::{Node, TerminationCause};

pub(super) static RULE: Rule = Rule {
    id: "KT302",
    name: "registration-timeout",
    severity: Severity::High,
    summary: "Karpenter ended a node that did not register in time (inferred).",
    docs: "\
## Concludes

The instance started, its volumes opened, and the kubelet never joined the cluster: Karpenter gives such a node up after 15 minutes. Look
at the network path to the API server, the node role's access entry, the bootstrap (user data, AMI), not at the key.

## Evidence required

TerminateInstances by Karpenter 14 to 16 minutes after the launch, of a node that Karpenter never tagged with
`karpenter.sh/nodeclaim` or a node name, as it does on registration. Always inferred.

## What would disprove it

CreateTags with the node claim or name; a refused key (KT101 to KT108).

## Blind spots

CloudTrail does not hold Karpenter's reason. CreateTags events may be missing from the archive. The timeout can be configured.

## References

- <https://karpenter.sh/docs/troubleshooting/#node-not-ready>
- <https://karpenter.sh/docs/concepts/disruption/>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    ending::judge(&RULE, view, TerminationCause::RegistrationTimeout, |end| {
        let (mut ruled_out, mut missing) = ending::about_keys(view);
        ruled_out.push("not a spot interruption: the archive shows no BidEvictedEvent of it".to_owned());
        missing.push(
            "Karpenter's reason: it is in the node claim's conditions and events, not in CloudTrail"
                .to_owned(),
        );
        Words {
            title: "Node never registered and was given up".to_owned(),
            explanation: format!(
                "{}: at {}{} Karpenter terminated it. It was running, but Karpenter never tagged it with a node claim \
                 or name, as it does once a node registers, and 15 minutes is how long Karpenter waits. Look at the \
                 node's bootstrap, its role's access to the cluster, and the network.",
                view.named(),
                end.at,
                ending::age(view, end)
            ),
            ruled_out,
            missing,
            remediation: remedy(view.node),
        }
    })
}

fn remedy(node: &Node) -> Option<Remediation> {
    let instance = Instance::new(&node.account_id, &node.region, &node.instance_id).ok()?;
    remediation::look_why_it_never_joined(&instance, node.cluster.as_deref()).ok()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, finding, is_undetermined, of_node};

    #[test]
    fn fires_as_inferred_after_a_quarter_of_an_hour_without_tags() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:01", KEY).grant("a", "10:00:01", KEY);
        log.terminated(&["a"], "10:15:05", "running");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.explanation.contains("15 min after its launch"), "{}", finding.explanation);
        let remedy = finding.remediation.expect("where to look");
        let commands = &remedy.documents[0].body;
        assert!(commands.contains("--instance-id 'i-0aaaaaaaaaaaaaaaa'"), "{commands}");
        assert!(commands.contains("--cluster-name 'demo'"), "{commands}");
    }

    #[test]
    fn silent_for_a_node_that_registered() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00").terminated(&["a"], "10:15:05", "running");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_an_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
