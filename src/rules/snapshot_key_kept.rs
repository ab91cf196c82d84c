//! A volume kept the key of the AMI's snapshot instead of the expected key.
//!
//! A node's volumes and what is known of its AMI come in, a finding that names both keys goes out.

use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::plain;
use super::wrong_key::{self, Cause};
use crate::correlate::{KeyOrigin, TimelineRole, VolumeOutcome};
use crate::event::{Detail, KmsOperation};

pub(super) static RULE: Rule = Rule {
    id: "KT203",
    name: "snapshot-key-kept",
    severity: Severity::High,
    summary: "A volume kept the AMI snapshot's key instead of the expected key.",
    docs: "\
## Concludes

A volume of the launch is under the key of the AMI's snapshot, while the configuration names another. EC2 keeps the key of an encrypted
snapshot that the account owns wherever the mapping of that device names no key; encryption by default does not change that.

## Evidence required

A KMS event of the launch that names the key, and a ReEncrypt from the same key or the copying of the AMI or its snapshot under it; and a
configuration that names another key.

## What would disprove it

A mapping of the launch template that names the key; the key being the account's default.

## Blind spots

An AMI that was copied before the archive begins has no known key unless ReEncrypt shows it. CloudTrail does not say which volume
is the root volume.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html>
- <https://karpenter.sh/docs/concepts/nodeclasses/#specblockdevicemappings>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let kept = view.unexpected_volumes().into_iter().filter(|volume| {
        volume.key_origin == KeyOrigin::AmiSnapshot && volume.outcome == VolumeOutcome::Used
    });
    if kept.count() == 0
        && view.unexpected_volumes().iter().any(|volume| volume.key_origin == KeyOrigin::AmiSnapshot)
    {
        // The snapshot's key refused: the volume kept nothing.
        return Verdict::Silent;
    }
    wrong_key::judge(&RULE, view, KeyOrigin::AmiSnapshot, |volumes| {
        let node = view.node;
        let key = volumes.iter().find_map(|volume| volume.key_arn.as_deref()).unwrap_or_default();
        let copied =
            node.image_id.as_deref().and_then(|image| view.facts.case.history.image_has_key(image, key));
        let re_encrypted = view.events(TimelineRole::KeyUse).find(|event| {
            matches!(&event.detail, Detail::Kms(kms) if kms.operation == KmsOperation::ReEncrypt
                && kms.source_key_arn.as_deref() == Some(key))
        });
        let image = node.image_id.as_deref().map_or_else(|| "the AMI".to_owned(), plain);
        Cause {
            title: "it is the AMI snapshot's key",
            explanation: format!(
                "The snapshot of {image} is under that key. EC2 keeps it for a volume whose mapping names no key, such \
                 as a root device that the node class does not list."
            ),
            events: copied.map(|event| view.facts.event(event)).into_iter().chain(re_encrypted).collect(),
            missing: vec!["which volume is the root volume: CloudTrail does not say".to_owned()],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_RESOURCE_POLICY, OTHER_KEY, ROLE, finding, is_undetermined, of_node,
    };

    fn copied(log: &mut Log) -> &mut Log {
        let rest = format!(
            r#""requestParameters":{{"sourceImageId":"ami-0bbbbbbbbbbbbbbbb","encrypted":true,"kmsKeyId":"{OTHER_KEY}"}},"responseElements":{{"imageId":"ami-0aaaaaaaaaaaaaaaa"}}"#
        );
        log.by_terraform("08:30:00", ("ec2", "CopyImage"), &rest)
    }

    #[test]
    fn fires_when_the_volume_kept_the_key_of_a_copied_image() {
        let mut log = Log::new();
        copied(&mut log);
        let copy = log.last_id();
        log.template(KEY).healthy("a", "10:00:00", OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.evidence.contains(&copy));
        assert!(finding.title.ends_with("it is the AMI snapshot's key"), "{}", finding.title);
        assert!(finding.explanation.contains("ami-0aaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn silent_when_the_image_is_under_the_expected_key_or_its_key_refused() {
        let mut log = Log::new();
        copied(&mut log).template(OTHER_KEY).healthy("a", "10:00:00", OTHER_KEY);
        log.launch("b", "10:01:00");
        let call = ("ReEncrypt", "kms:ReEncryptFrom");
        log.denied_as("b", "10:01:02", call, FOREIGN_KEY, NO_RESOURCE_POLICY, ROLE);
        for letter in ["a", "b"] {
            assert_eq!(of_node(&RULE, &log.case(), letter), Verdict::Silent);
        }
    }

    #[test]
    fn undetermined_when_nothing_tells_the_images_key() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", OTHER_KEY);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
