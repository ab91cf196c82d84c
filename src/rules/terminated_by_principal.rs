//! A principal that is neither Karpenter nor Auto Scaling ended the node.
//!
//! A node comes in; a finding that says who, from where and with what goes out.

use super::ending::{self, Words};
use super::finding::{Remediation, Severity};
use super::remediation;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::NodeView;
use super::wording::{plain, principal_name};
use crate::correlate::{Confidence, Node, TerminationCause};
use crate::event::{Event, IdentityKind};

pub(super) static RULE: Rule = Rule {
    id: "KT304",
    name: "terminated-by-principal",
    severity: Severity::Medium,
    summary: "Another principal than Karpenter ended the node: who, from where, with what.",
    docs: "\
## Concludes

A person, a role or another controller called TerminateInstances for a node of Karpenter's. Karpenter replaces it if its pods still
need it.

## Evidence required

TerminateInstances without Karpenter's user agent that names the instance.

## What would disprove it

The instance having been shutting down already (then the finding is inferred and says so).

## Blind spots

User agent and source address are the caller's own words and its last hop. A call by a service on somebody's behalf names the service.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>
- <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    ending::judge(&RULE, view, TerminationCause::TerminatedByPrincipal, |end| {
        let (mut ruled_out, mut missing) = ending::about_keys(view);
        ruled_out.push("not Karpenter: the call lacks its user agent".to_owned());
        ruled_out.push("not a spot interruption: the archive shows no BidEvictedEvent before it".to_owned());
        let event = ending::event(view, end);
        let actor = event.map_or_else(|| "an unnamed principal".to_owned(), who);
        let tool = event.map(with_tool).unwrap_or_default();
        let from = event
            .filter(|event| !event.source_ip.is_empty())
            .map_or_else(String::new, |event| format!(" from {}", plain(&event.source_ip)));
        let session = event
            .and_then(|event| event.identity.session_name())
            .map_or_else(String::new, |session| format!(" (session {})", plain(session)));
        if end.confidence == Confidence::Inferred {
            missing.push("what ended it first: it was already shutting down when the call came".to_owned());
        }
        // A call that found the node shutting down did not end it.
        let remediation = event
            .filter(|_| end.confidence == Confidence::Observed)
            .map(|event| remedy(view.node, event, &actor));
        Words {
            title: format!("Terminated by {}{tool}", principal_name(&actor)),
            explanation: format!(
                "{}: at {}{} {actor}{session} terminated it{tool}{from}.",
                view.named(),
                end.at,
                ending::age(view, end)
            ),
            ruled_out,
            missing,
            remediation,
        }
    })
}

fn remedy(node: &Node, event: &Event, actor: &str) -> Remediation {
    // The event history knows a session or user by its name.
    let is_user = event.identity.kind == IdentityKind::User;
    let user = event.identity.arn.as_deref().filter(|_| is_user).and_then(|arn| arn.rsplit('/').next());
    let documents = event.identity.session_name().or(user).and_then(|name| {
        remediation::look_what_else_was_done(&node.account_id, &node.region, name, event.time).ok()
    });
    let documents = documents.unwrap_or_default();
    let look = if documents.is_empty() { "" } else { ", and see what else was done around that time" };
    Remediation {
        summary: format!(
            "If it was not meant, ask who used {actor}{look}. To take a node out, delete its node claim \
             (`kubectl delete nodeclaim`): Karpenter drains it first."
        ),
        target: format!("use of {actor}"),
        documents,
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, finding, is_undetermined, of_node, session};

    #[test]
    fn fires_and_says_who_from_where_and_with_what() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
        log.terminated_by_person("a", "11:00:00");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.title, "Terminated by Admin with the AWS CLI");
        for words in ["arn:aws:iam::111122223333:role/Admin", "session maria", "203.0.113.93", "60 min after"]
        {
            assert!(finding.explanation.contains(words), "{}", finding.explanation);
        }
        let remedy = finding.remediation.expect("where to look");
        assert!(remedy.summary.contains("arn:aws:iam::111122223333:role/Admin"), "{}", remedy.summary);
        let commands = &remedy.documents[0].body;
        let around = "--start-time 2026-03-02T10:45:00Z --end-time 2026-03-02T11:15:00Z";
        assert!(commands.contains("AttributeValue='maria'") && commands.contains(around), "{commands}");
    }

    #[test]
    fn who_only_found_the_node_shutting_down_is_not_asked_to_change_anything() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00");
        let who = session("arn:aws:iam::111122223333:role/Admin", "maria", None);
        log.terminated_by(&["a"], "11:00:00", "shutting-down", &who, "aws-cli/2.32.3");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert_eq!(finding.remediation, None);
    }

    #[test]
    fn silent_when_karpenter_ended_it() {
        let mut log = Log::new();
        log.launch("a", "10:00:00").registered("a", "10:01:00").terminated(&["a"], "11:00:00", "running");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_an_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
