//! Launches failed without making an instance: for capacity, quota, addresses or permission.
//!
//! All failed launches come in; one finding per nodepool and error code goes out, so that a loop reads as one.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity, Subject, SubjectKind};
use super::rule::{Evaluate, Rule, Verdict};
use super::view::FleetView;
use super::wording::{count, plain};
use crate::correlate::{Confidence, LaunchFailure};
use crate::event::{Detail, Text, Timestamp};

pub(super) static RULE: Rule = Rule {
    id: "KT307",
    name: "launch-failed",
    severity: Severity::High,
    summary: "Launches failed for capacity, quota, addresses or permission, and made no instance.",
    docs: "\
## Concludes

CreateFleet or RunInstances made no instance. The call may have succeeded all the same: CreateFleet answers 200 with nothing but
errors in its errorSet. No volume was made, so no key is concerned.

## Evidence required

CreateFleet or RunInstances with an error code, or a CreateFleet response with an errorSet and without instances. Dry runs (EC2NodeClass
validation) and attempts inside a fleet that made instances after all do not count. One finding per account, region, cluster,
nodepool and error code; its subject is the first event.

## What would disprove it

An instance in the response.

## Blind spots

A fleet whose response was cut for its size may hide errors. Quotas and free addresses themselves are not in CloudTrail.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
- <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html>
- <https://github.com/aws/karpenter-provider-aws/issues/5850>
",
    evaluate: Evaluate::Fleet(evaluate),
};

/// Kind of reason, what to do about it, and how bad it is.
fn kind(code: &str) -> (&'static str, &'static str, Severity) {
    match code {
        "InsufficientInstanceCapacity"
        | "UnfulfillableCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientCapacity"
        | "InsufficientCapacityOnOutpost"
        | "ReservationCapacityExceeded"
        | "SpotMaxPriceTooLow" => (
            "capacity",
            "Let the NodePool choose among more instance types, zones and capacity types.",
            Severity::Medium,
        ),
        "VcpuLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "InstanceLimitExceeded"
        | "VolumeLimitExceeded"
        | "MaxIOPSLimitExceeded"
        | "MaxSpotFleetRequestCountExceeded" => {
            ("a quota", "Ask for a higher quota of the account in this region, or use less.", Severity::High)
        }
        "InsufficientFreeAddressesInSubnet"
        | "InsufficientAddressCapacity"
        | "PrivateIpAddressLimitExceeded" => (
            "addresses",
            "Give the node class subnets with free addresses, or prefix delegation to the pods.",
            Severity::High,
        ),
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "OptInRequired"
        | "AuthFailure" => (
            "permission",
            "Let the launching role do what the message names; where it is encoded, `aws sts decode-authorization-message` shows it.",
            Severity::High,
        ),
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            ("too many calls", "EC2 throttled the calls; Karpenter tries again by itself.", Severity::Medium)
        }
        _ => (
            "another reason",
            "See what the message names, most often a field of the node class.",
            Severity::High,
        ),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    account_id: &'a Text,
    region: &'a Text,
    cluster: Option<&'a Text>,
    nodepool: Option<&'a Text>,
    error_code: &'a Text,
}

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let case = view.facts.case;
    let mut groups: BTreeMap<Group<'_>, Vec<&LaunchFailure>> = BTreeMap::new();
    for failure in &case.launch_failures {
        let group = Group {
            account_id: &failure.account_id,
            region: &failure.region,
            cluster: failure.cluster.as_ref(),
            nodepool: failure.nodepool.as_ref(),
            error_code: &failure.error_code,
        };
        groups.entry(group).or_default().push(failure);
    }
    // Last launch that made a node, by nodepool.
    let mut made: BTreeMap<(&Text, &Text, Option<&Text>), Timestamp> = BTreeMap::new();
    for node in &case.nodes {
        if let (Some(nodepool), Some(at)) = (&node.nodepool, node.launched_at) {
            let last = made.entry((&node.account_id, nodepool, node.cluster.as_ref())).or_insert(at);
            *last = at.max(*last);
        }
    }
    let mut verdicts: Vec<Verdict> = groups
        .iter()
        .map(|(group, failures)| {
            let last =
                group.nodepool.and_then(|nodepool| made.get(&(group.account_id, nodepool, group.cluster)));
            fire(group, failures, last.copied())
        })
        .collect();
    let cut = view.facts.omitted().filter(|event| {
        matches!(&event.detail, Detail::Fleet(fleet) if event.error.is_none()
            && !fleet.dry_run && fleet.instances.is_empty() && fleet.errors.is_empty())
    });
    match cut.count() {
        0 if verdicts.is_empty() => verdicts.push(Verdict::Silent),
        0 => {}
        number => verdicts.push(Verdict::undetermined(format!(
            "what {} made: CloudTrail left the response out for its size",
            count(number, "CreateFleet call")
        ))),
    }
    verdicts
}

fn fire(group: &Group<'_>, failures: &[&LaunchFailure], last_made: Option<Timestamp>) -> Verdict {
    let (first, last) = (failures[0], failures[failures.len() - 1]);
    let code = plain(group.error_code);
    let (reason, advice, severity) = kind(group.error_code);
    let pool = match (group.nodepool, group.cluster) {
        (Some(nodepool), Some(cluster)) => {
            format!("nodepool {} of cluster {}", plain(nodepool), plain(cluster))
        }
        (Some(nodepool), None) => format!("nodepool {}", plain(nodepool)),
        (None, Some(cluster)) => format!("cluster {}", plain(cluster)),
        (None, None) if group.account_id.is_empty() => format!("region {}", plain(group.region)),
        (None, None) => format!("account {}, region {}", group.account_id, group.region),
    };
    let times: u64 = failures.iter().map(|failure| failure.count).sum();
    let times = count(usize::try_from(times).unwrap_or(usize::MAX), "time");
    let when = if first.at == last.at {
        format!("at {}", first.at)
    } else {
        format!("from {} to {}", first.at, last.at)
    };
    let message = first.error_message.as_deref().map_or_else(String::new, |message| {
        format!(" The first message: {}.", plain(message).trim_end_matches('.'))
    });
    let principal =
        first.principal_arn.as_deref().map_or_else(String::new, |arn| format!(" by {}", plain(arn)));
    let after = match last_made {
        Some(at) if at > last.at => {
            format!(" A launch of the same nodepool made a node afterwards, at {at}.")
        }
        Some(_) => " No later launch of the same nodepool in the archive made a node.".to_owned(),
        None => String::new(),
    };
    Verdict::fires(Finding {
        severity,
        explanation: format!(
            "{}{principal} for {pool} made no instance, {when}: {code} ({times}), which is about {reason}.{message}{after}",
            count(failures.len(), "launch"),
        ),
        evidence: failures.iter().map(|failure| failure.event_id.clone()).collect(),
        ruled_out: vec![
            "not a key: without an instance there is no volume, and KMS was not asked".to_owned(),
        ],
        missing: Vec::new(),
        remediation: Some(super::remedy::words(advice, pool.clone())),
        ..RULE.finding(
            Subject::new(SubjectKind::Launch, first.event_id.to_string()),
            Confidence::Observed,
            format!("{} for {pool} failed: {code}", count(failures.len(), "launch")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::finding::Severity;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{Log, ROLE, is_undetermined, of_fleet, only_finding, session};

    const AGENT: &str = "aws-sdk-go-v2/1.36.3 karpenter.sh-1.5.0 m/h";

    fn fleet(log: &mut Log, at: &str, response: &str) {
        let request = r#""requestParameters":{"CreateFleetRequest":{"Type":"instant","TargetCapacitySpecification":{"DefaultTargetCapacityType":"spot","TotalTargetCapacity":1},"TagSpecification":{"tag":1,"ResourceType":"instance","Tag":[{"tag":1,"Key":"karpenter.sh/nodepool","Value":"gpu"},{"tag":2,"Key":"eks:eks-cluster-name","Value":"demo"}]}}}"#;
        let identity = session(ROLE, "1768825272022703283", None);
        log.record(at, ("ec2", "CreateFleet"), &identity, AGENT, &format!("{request},{response}"));
    }

    fn errors(code: &str) -> String {
        format!(
            r#""responseElements":{{"CreateFleetResponse":{{"fleetId":"fleet-1","fleetInstanceSet":"","errorSet":{{"item":[{{"errorCode":"{code}","errorMessage":"There is no Spot capacity available","lifecycle":"spot"}},{{"errorCode":"{code}","errorMessage":"There is no Spot capacity available","lifecycle":"spot"}}]}}}}}}"#
        )
    }

    #[test]
    fn fires_once_for_equal_failures_of_a_nodepool() {
        let mut log = Log::new();
        fleet(&mut log, "10:00:00", &errors("UnfulfillableCapacity"));
        let first = log.last_id();
        fleet(&mut log, "10:05:00", &errors("UnfulfillableCapacity"));
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(
            finding.title,
            "2 launches for nodepool gpu of cluster demo failed: UnfulfillableCapacity"
        );
        assert_eq!(*finding.subject.id, first.to_string());
        assert_eq!((finding.evidence.len(), finding.severity), (2, Severity::Medium));
        assert!(
            finding.explanation.contains("(4 times), which is about capacity"),
            "{}",
            finding.explanation
        );
    }

    #[test]
    fn fires_for_each_code_with_its_own_advice() {
        let mut log = Log::new();
        fleet(&mut log, "10:00:00", &errors("InsufficientFreeAddressesInSubnet"));
        fleet(&mut log, "10:01:00", &errors("UnauthorizedOperation"));
        let verdicts = of_fleet(&RULE, &log.case());
        assert_eq!(verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Fires(_))).count(), 2);
    }

    #[test]
    fn a_failure_whose_account_is_not_logged_is_told_without_one() {
        let mut case = Log::new().case();
        case.launch_failures.push(crate::correlate::LaunchFailure {
            at: crate::event::Timestamp::from_second(1_772_445_600),
            account_id: "".into(),
            region: "us-west-2".into(),
            event_id: crate::event::Id::new("11111111-2222-3333-4444-555555555555"),
            event_name: "CreateFleet".into(),
            principal_arn: None,
            cluster: None,
            nodepool: None,
            nodeclass: None,
            error_code: "UnfulfillableCapacity".into(),
            error_message: None,
            count: 1,
            provisioner: crate::correlate::Provisioner::Karpenter,
        });
        let finding = only_finding(of_fleet(&RULE, &case));
        assert_eq!(finding.title, "1 launch for region us-west-2 failed: UnfulfillableCapacity");
    }

    #[test]
    fn silent_for_a_fleet_that_made_an_instance_despite_errors() {
        let mut log = Log::new();
        let response = r#""responseElements":{"CreateFleetResponse":{"fleetId":"fleet-1","fleetInstanceSet":{"item":{"lifecycle":"spot","instanceIds":{"item":"i-0aaaaaaaaaaaaaaaa"},"instanceType":"m6i.xlarge"}},"errorSet":{"item":{"errorCode":"UnfulfillableCapacity","errorMessage":"x"}}}}"#;
        fleet(&mut log, "10:00:00", response);
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_when_the_response_was_left_out() {
        let mut log = Log::new();
        fleet(&mut log, "10:00:00", r#""responseElements":{"omitted":true}"#);
        assert!(of_fleet(&RULE, &log.case()).iter().any(is_undetermined));
    }
}
