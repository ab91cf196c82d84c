//! The node was launched with unencrypted volumes.
//!
//! A node whose launch made no use of KMS comes in, with the events that show that the trail records such use; an
//! inferred finding goes out.

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{plain, span};
use crate::correlate::{Confidence, KeySource, KeyVerdict, RECORDING_SECONDS_MAX, TimelineRole};

pub(super) static RULE: Rule = Rule {
    id: "KT207",
    name: "unencrypted-volumes",
    severity: Severity::High,
    summary: "The node was launched with unencrypted volumes.",
    docs: "\
## Concludes

The launch made no use of any key, and the node lived: its volumes are not encrypted. Typical for a node class without
`encrypted: true` in an account without encryption by default.

## Evidence required

A node that lived and has no KMS event of its launch, while GenerateDataKeyWithoutPlaintext events of other volumes in the same
account and region within an hour show that the trail records them. Always inferred: it rests on an absence.

## What would disprove it

A KMS event of the launch in another trail or a lost file; DescribeVolumes saying `encrypted: true`.

## Blind spots

Records that were lost, or that CloudTrail delivered after the archive was copied. The archive alone cannot show the volumes.

## References

- <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html>
- <https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    let Some(launched_at) = node.launched_at.filter(|_| node.key_verdict == KeyVerdict::Unencrypted) else {
        return match view.lack_of_key_evidence() {
            Some(lack) => Verdict::undetermined(lack),
            None => Verdict::Silent,
        };
    };
    let Some(recorded) = view.facts.nearest_data_key(&node.account_id, &node.region, launched_at) else {
        return Verdict::undetermined("an event that shows that the trail records the use of keys");
    };
    let alive = [
        TimelineRole::Registration,
        TimelineRole::VolumeAttached,
        TimelineRole::StateChange,
        TimelineRole::End,
    ]
    .into_iter()
    .find_map(|role| view.events(role).next());
    let mut evidence = view.launch_evidence();
    evidence.extend(alive.map(|event| event.event_id.clone()));
    evidence.push(recorded.event_id.clone());
    let asks = node.expected_keys.iter().find_map(|device| device.key.key_arn.as_deref());
    let configured = match asks {
        Some(key) => format!(" Its configuration asks for {}.", plain(key)),
        None if node.expected_keys.is_empty() => String::new(),
        None if node.expected_keys.iter().any(|device| device.key.source == KeySource::NodeClass) => {
            " Its node class names no key that is known.".to_owned()
        }
        None => " Its launch template names no key.".to_owned(),
    };
    let mut missing =
        vec!["the volumes themselves: DescribeVolumes shows whether they are encrypted".to_owned()];
    if !view.facts.case.coverage.losses.is_empty() {
        missing.push("records that could not be read may be those of this launch".to_owned());
    }
    Verdict::fires(Finding {
        explanation: format!(
            "{}: launched at {launched_at}, it lived, and the archive holds no KMS event of its launch. The trail \
             records them: another volume's data key was logged in account {}, region {} at {} ({} apart; at most {} \
             count).{configured} That is what a launch of unencrypted volumes looks like.",
            view.named(),
            node.account_id,
            node.region,
            recorded.time,
            span((recorded.time.second() - launched_at.second()).abs()),
            span(RECORDING_SECONDS_MAX)
        ),
        evidence,
        ruled_out: vec![
            "not a trail without KMS events: those of another launch nearby are in the archive".to_owned(),
            "not a refused key: the node lived".to_owned(),
        ],
        missing,
        remediation: remedy::name_key(view, asks).or_else(|| remedy::dedicated_key(node)),
        ..RULE.finding(
            Subject::node(view),
            Confidence::Inferred,
            "Launched with unencrypted volumes".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, finding, is_undetermined, of_node};

    #[test]
    fn fires_as_inferred_where_other_launches_use_keys() {
        let mut log = Log::new();
        log.template_with("08:00:00", &[("/dev/xvda", r#""Encrypted":false"#)]);
        log.healthy("a", "10:00:00", KEY);
        log.launch("b", "10:05:00").registered("b", "10:06:00");
        let finding = finding(of_node(&RULE, &log.case(), "b"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert_eq!(finding.evidence.len(), 3);
        assert!(finding.explanation.contains("names no key"), "{}", finding.explanation);
    }

    #[test]
    fn silent_for_an_encrypted_node() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", KEY).registered("a", "10:01:00");
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_where_nothing_shows_that_the_trail_records_key_use() {
        let mut log = Log::new();
        log.launch("b", "10:05:00").registered("b", "10:06:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "b")));
    }

    #[test]
    fn undetermined_for_a_node_that_nothing_shows_alive() {
        let mut log = Log::new();
        log.healthy("a", "10:00:00", KEY).launch("b", "10:05:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "b")));
    }
}
