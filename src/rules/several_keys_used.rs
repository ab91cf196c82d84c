//! The volumes of one node are under different keys.
//!
//! A node's volumes come in; a finding that lists them by key goes out, for information where the configuration
//! asks for that.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{clauses, count, list};
use crate::correlate::{Confidence, KeyVerdict, Volume, VolumeOutcome};

pub(super) static RULE: Rule = Rule {
    id: "KT208",
    name: "several-keys-used",
    severity: Severity::Low,
    summary: "The volumes of one node are under different keys.",
    docs: "\
## Concludes

The launch made several volumes, and they are under different keys. Often one of them is the root volume, which the node class does not
list. Every one of these keys must let the launching role in, or no node starts.

## Evidence required

KMS events of the launch that name different keys for different volumes.

## What would disprove it

One of the volumes having been attached later: such volumes are not counted.

## Blind spots

CloudTrail does not say which volume is which device. Where the configuration asks for different keys, the finding is for
information only.

## References

- <https://karpenter.sh/docs/concepts/nodeclasses/#specblockdevicemappings>
- <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    let mut by_key: BTreeMap<&str, Vec<&Volume>> = BTreeMap::new();
    let mut nameless = 0;
    for volume in view.launch_volumes().filter(|volume| volume.outcome == VolumeOutcome::Used) {
        match volume.key_arn.as_deref() {
            Some(key) => by_key.entry(key).or_default().push(volume),
            None => nameless += 1,
        }
    }
    if by_key.len() < 2 {
        return match view.lack_of_key_evidence() {
            Some(lack) => Verdict::undetermined(lack),
            None if nameless > 0 => Verdict::undetermined("the keys of some volumes: no event names them"),
            None => Verdict::Silent,
        };
    }
    let is_meant = node.key_verdict == KeyVerdict::Match;
    let groups = by_key.iter().map(|(key, volumes)| {
        let ids = list(volumes.iter().filter_map(|volume| volume.volume_id.as_deref()), 3);
        format!("{ids} under {key} ({})", origin_words(volumes[0]))
    });
    let explanation = format!(
        "{}: the volumes of its launch are under {} different keys: {}.{}{}",
        view.named(),
        by_key.len(),
        clauses(groups, 5),
        if is_meant {
            " The configuration asks for that, or names no key for some devices."
        } else {
            " Each of these keys must let the launching role in."
        },
        view.join_words(&by_key.values().flatten().copied().collect::<Vec<_>>())
    );
    let volumes = || by_key.values().flatten();
    let mut evidence: Vec<_> = volumes().flat_map(|volume| volume.evidence.iter().cloned()).collect();
    evidence.extend(view.launch_evidence());
    let expected = node.expected_keys.iter().find_map(|device| device.key.key_arn.as_deref());
    Verdict::fires(Finding {
        severity: if is_meant { Severity::Info } else { RULE.severity },
        explanation,
        evidence,
        missing: vec!["which volume is which device: CloudTrail does not say".to_owned()],
        remediation: if is_meant { None } else { remedy::name_key(view, expected) },
        ..RULE.finding(
            Subject::node(view),
            volumes().map(|volume| volume.confidence).max().unwrap_or(Confidence::Inferred),
            format!("{} under {} different keys", count(volumes().count(), "volume"), by_key.len()),
        )
    })
}

fn origin_words(volume: &Volume) -> &'static str {
    use crate::correlate::KeyOrigin;
    match volume.key_origin {
        KeyOrigin::Configured => "configured",
        KeyOrigin::AwsManaged => "the AWS managed key",
        KeyOrigin::AccountDefault => "the account's default",
        KeyOrigin::AmiSnapshot => "the AMI snapshot's key",
        KeyOrigin::ClusterSecrets => "the cluster's secrets key",
        KeyOrigin::Other => "another key",
        KeyOrigin::Unknown => "origin not known",
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::finding::Severity;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, OTHER_KEY, finding, is_undetermined, of_node};

    fn two_volumes(log: &mut Log, second: &str) {
        log.healthy("a", "10:00:00", KEY).data_key_of("a", "10:00:00", "vol-0b", second, second);
        log.grant_of("a", "10:00:00", "vol-0b", second);
    }

    #[test]
    fn fires_when_a_second_volume_is_under_another_key() {
        let mut log = Log::new();
        log.template(KEY);
        two_volumes(&mut log, OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.title, "2 volumes under 2 different keys");
        assert_eq!(finding.severity, Severity::Low);
        assert!(finding.explanation.contains("vol-0b under"), "{}", finding.explanation);
    }

    #[test]
    fn fires_for_information_where_the_configuration_asks_for_it() {
        let mut log = Log::new();
        let ebs = |key| format!(r#""Encrypted":true,"KmsKeyId":"{key}""#);
        log.template_with("08:00:00", &[("/dev/xvda", &ebs(KEY)), ("/dev/xvdb", &ebs(OTHER_KEY))]);
        two_volumes(&mut log, OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.severity, Severity::Info);
        assert_eq!(finding.remediation, None);
    }

    #[test]
    fn silent_for_two_volumes_under_one_key_and_for_one_attached_later() {
        let mut log = Log::new();
        log.template(KEY);
        two_volumes(&mut log, KEY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_when_the_other_volume_was_attached_later() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
        let attach = r#""requestParameters":{"volumeId":"vol-0b","instanceId":"i-0aaaaaaaaaaaaaaaa","device":"/dev/xvdba"},"responseElements":{"status":"attaching"},"requestID":"bbbbbbbb-0000-4000-8000-000000000000""#;
        log.by_terraform("11:00:00", ("ec2", "AttachVolume"), attach);
        log.data_key_of("b", "11:00:00", "vol-0b", OTHER_KEY, OTHER_KEY);
        let case = log.case();
        assert_eq!(case.nodes[0].volumes.len(), 2);
        assert_eq!(of_node(&RULE, &case, "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
