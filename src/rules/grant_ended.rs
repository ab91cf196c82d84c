//! A grant on which a running node's volume depends was revoked or retired.
//!
//! A node and the ends of its grants come in; a finding that says who ended a grant while the node was alive goes
//! out. AWS retiring a grant when an instance stops or ends is normal.

use hashbrown::HashSet;

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::NodeView;
use super::wording::{plain, principal_name};
use crate::correlate::{Confidence, TimelineRole, VolumeOutcome};
use crate::event::{Detail, Event, Id, IdentityKind, KmsOperation};

pub(super) static RULE: Rule = Rule {
    id: "KT404",
    name: "grant-ended",
    severity: Severity::High,
    summary: "A grant of the node was revoked or retired while the node was alive.",
    docs: "\
## Concludes

Somebody took away the grant under which EC2 opens the node's volume. The running instance keeps its disk; after a stop and start, or when
the host has to open the volume again, it fails.

## Evidence required

RevokeGrant or RetireGrant by a role or user (not by AWS for itself) of a grant that a CreateGrant ties to the node's volume, before the
node's end, and not as part of its stopping or ending.

## What would disprove it

The call carrying the request id of TerminateInstances or StopInstances of this node; an end of the node before it.

## Blind spots

A grant made before the archive begins cannot be tied to a node. EC2 may have made a new grant since.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/grant-manage.html#grant-delete>
- <https://docs.aws.amazon.com/ebs/latest/userguide/how-ebs-encryption-works.html>
",
    evaluate: Evaluate::Node(evaluate),
};

/// A grant is retired around the node's end: not before this many seconds before it.
const END_SECONDS_TOLERANCE: i64 = 120;

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    let ended: Vec<&Event> = view.events(TimelineRole::GrantEnded).collect();
    if ended.is_empty() {
        let is_tied = view.events(TimelineRole::Grant).next().is_some();
        let has_keys = view.launch_volumes().any(|volume| volume.outcome == VolumeOutcome::Used);
        return if has_keys && !is_tied {
            Verdict::undetermined(
                "the CreateGrant events of the node's volumes: without them no end of a grant can be tied to it",
            )
        } else {
            Verdict::Silent
        };
    }
    let normal_requests: HashSet<&Id> =
        [TimelineRole::End, TimelineRole::EndAttempt, TimelineRole::StateChange]
            .into_iter()
            .flat_map(|role| view.events(role))
            .filter_map(|event| event.request_id.as_ref())
            .collect();
    let is_while_alive = |event: &&Event| {
        node.ended_at.is_none_or(|end| event.time.second() < end.second() - END_SECONDS_TOLERANCE)
            && event.request_id.as_ref().is_none_or(|id| !normal_requests.contains(id))
    };
    let alive: Vec<&Event> = ended.into_iter().filter(is_while_alive).collect();
    let by_somebody: Vec<&Event> = alive
        .iter()
        .copied()
        .filter(|event| {
            matches!(event.identity.kind, IdentityKind::AssumedRole | IdentityKind::User)
                && event.identity.invoked_by.is_none()
        })
        .collect();
    let Some(first) = by_somebody.first() else {
        let is_open = alive
            .iter()
            .any(|event| event.identity.kind == IdentityKind::Other && event.identity.invoked_by.is_none());
        return if is_open {
            Verdict::undetermined("who ended a grant of the node: the record does not name the caller")
        } else {
            Verdict::Silent
        };
    };
    fire(view, first, &by_somebody)
}

fn fire(view: &NodeView<'_>, first: &Event, all: &[&Event]) -> Verdict {
    let node = view.node;
    let Detail::Kms(kms) = &first.detail else {
        return Verdict::Silent;
    };
    let verb = if kms.operation == KmsOperation::RevokeGrant { "revoked" } else { "retired" };
    let created: Vec<&Event> = view
        .events(TimelineRole::Grant)
        .filter(|event| matches!(&event.detail, Detail::Kms(grant) if grant.grant_id == kms.grant_id))
        .collect();
    let volume = created.iter().find_map(|event| match &event.detail {
        Detail::Kms(grant) => grant.volume_id.as_deref(),
        _ => None,
    });
    let key = kms.key_arn.as_deref().map_or_else(|| "its key".to_owned(), plain);
    let grant = kms.grant_id.as_deref().map_or_else(String::new, |id| format!(" {}", plain(id)));
    let mut evidence: Vec<_> = all.iter().map(|event| event.event_id.clone()).collect();
    evidence.extend(created.iter().map(|event| event.event_id.clone()));
    let mut missing = Vec::new();
    if node.ended_at.is_none() {
        missing.push("the end of the node: the archive shows none, so it counts as alive".to_owned());
    }
    Verdict::fires(Finding {
        explanation: format!(
            "{}: at {} {}{} {verb} the grant{grant} on {key}{}, while the node was alive. It keeps its disk while it \
             runs; after a stop and start EC2 cannot open the volume.",
            view.named(),
            first.time,
            who(first),
            with_tool(first),
            volume.map_or_else(String::new, |id| format!(" for volume {}", plain(id))),
        ),
        evidence,
        ruled_out: vec![
            "not the normal end of a grant: it carries no request id of the node's stopping or ending, and AWS did not make the call".to_owned(),
        ],
        missing,
        remediation: Some(remedy::words(
            "Replace the node: a new launch makes new grants. And leave grants for aws:ec2-infrastructure to EC2.",
            format!("grants on {key}"),
        )),
        ..RULE.finding(
            Subject::node(view),
            Confidence::Observed,
            format!("Grant {verb} by {} while the node was alive", principal_name(&who(first))),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, ROLE, finding, is_undetermined, of_node, session, volume};

    fn healthy() -> Log {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
        log
    }

    fn revoked(log: &mut Log, at: &str) {
        let rest = format!(
            r#""requestParameters":{{"keyId":"{KEY}","grantId":"grant-{}"}},"responseElements":{{"keyId":"{KEY}"}},"requestID":"12121212-0000-4000-8000-000000000000""#,
            volume("a")
        );
        log.by_terraform(at, ("kms", "RevokeGrant"), &rest);
    }

    fn retired_by_aws(log: &mut Log, at: &str, request: &str) {
        let rest = format!(
            r#""requestParameters":null,"responseElements":{{"keyId":"{KEY}"}},"additionalEventData":{{"grantId":"grant-{}"}},"requestID":"{request}""#,
            volume("a")
        );
        let identity = r#"{"type":"AWSService","invokedBy":"AWS Internal"}"#;
        log.record(at, ("kms", "RetireGrant"), identity, "AWS Internal", &rest);
    }

    #[test]
    fn fires_when_a_person_revoked_the_grant_of_a_running_node() {
        let mut log = healthy();
        revoked(&mut log, "11:00:00");
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.title, "Grant revoked by Admin while the node was alive");
        assert!(finding.explanation.contains(&volume("a")), "{}", finding.explanation);
        assert_eq!(finding.evidence.len(), 2);
    }

    #[test]
    fn silent_when_aws_retires_it_at_the_end_or_later() {
        let mut log = healthy();
        log.terminated(&["a"], "12:00:00", "running");
        retired_by_aws(&mut log, "12:00:10", "489d0f1b-598c-4cc0-82fd-37df30fb6b22");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
        let mut log = healthy();
        retired_by_aws(&mut log, "13:00:00", "34343434-0000-4000-8000-000000000000");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    /// RetireGrant by Karpenter's role, directly or through a service.
    fn retired_for_the_role(log: &mut Log, at: &str, invoked_by: Option<&str>, request: &str) {
        let rest = format!(
            r#""requestParameters":null,"responseElements":{{"keyId":"{KEY}"}},"additionalEventData":{{"grantId":"grant-{}"}},"requestID":"{request}""#,
            volume("a")
        );
        log.record(at, ("kms", "RetireGrant"), &session(ROLE, "1768825272022703283", invoked_by), "x", &rest);
    }

    #[test]
    fn silent_when_ec2_retires_it_for_the_role() {
        let mut log = healthy();
        let request = "56565656-0000-4000-8000-000000000000";
        retired_for_the_role(&mut log, "11:00:00", Some("ec2-frontend-api.amazonaws.com"), request);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_when_it_ends_with_the_stopping_of_the_instance() {
        let request = "78787878-0000-4000-8000-000000000000";
        let stop = format!(
            r#""requestParameters":{{"instancesSet":{{"items":[{{"instanceId":"i-0aaaaaaaaaaaaaaaa"}}]}}}},"responseElements":{{"instancesSet":{{"items":[{{"instanceId":"i-0aaaaaaaaaaaaaaaa","previousState":{{"name":"running"}}}}]}}}},"requestID":"{request}""#
        );
        let mut log = healthy();
        log.by_terraform("11:00:00", ("ec2", "StopInstances"), &stop);
        retired_for_the_role(&mut log, "11:00:01", None, request);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_when_it_was_revoked_after_the_end() {
        let mut log = healthy();
        log.terminated(&["a"], "10:30:00", "running");
        revoked(&mut log, "11:00:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_the_grants_of_the_node() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").data_key("a", "10:00:00", KEY);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
