//! A customer key that is the account's default for EBS was used instead of the expected key.
//!
//! A node's volumes and the account's default as of its launch come in, a finding that names both keys goes out.

use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::NodeView;
use super::wrong_key::{self, Cause};
use crate::correlate::KeyOrigin;

pub(super) static RULE: Rule = Rule {
    id: "KT201",
    name: "account-default-key-used",
    severity: Severity::High,
    summary: "A customer key that is the account's default for EBS was used instead of the expected key.",
    docs: "\
## Concludes

A volume of the launch is under (or was refused) the account's default key for EBS, a customer key, while the configuration names
another. EC2 takes the default for every volume whose mapping names no key: most often the mapping names a device that is not the
AMI's root device, so that the root volume has no mapping.

## Evidence required

A KMS event of the launch that names the key, the launch template (or what the user expects) that names another, and the
ModifyEbsDefaultKmsKeyId before the launch that made the key the default.

## What would disprove it

A mapping of the launch template that names the key; a change of the default between the two.

## Blind spots

CloudTrail does not say which volume is the root volume. A default that was set before the archive begins is not known: then the
origin of the key stays open.

## References

- <https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html>
- <https://karpenter.sh/docs/concepts/nodeclasses/#specblockdevicemappings>
- <https://github.com/aws/karpenter-provider-aws/issues/1407>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    wrong_key::judge(&RULE, view, KeyOrigin::AccountDefault, |_| {
        let node = view.node;
        let place = (node.account_id.clone(), node.region.clone());
        let default = node
            .launched_at
            .and_then(|at| view.facts.case.history.default_key(&place, at))
            .map(|default| view.facts.event(default.event));
        let since = default.map_or_else(String::new, |event| {
            format!(" since {}, set by {}{}", event.time, who(event), with_tool(event))
        });
        Cause {
            title: "it is the account's default",
            explanation: format!(
                "That key is the default for EBS in account {}, region {}{since}. EC2 takes the default for a volume \
                 whose mapping names no key, such as a root device that the node class does not list.",
                node.account_id, node.region
            ),
            events: default.into_iter().collect(),
            missing: vec!["which volume is the root volume: CloudTrail does not say".to_owned()],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, NO_IDENTITY_POLICY, OTHER_KEY, finding, is_undetermined, of_node};

    #[test]
    fn fires_when_the_default_key_was_used() {
        let mut log = Log::new();
        log.default_key("09:00:00", OTHER_KEY);
        let default = log.last_id();
        log.template(KEY).healthy("a", "10:00:00", OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.evidence.contains(&default));
        assert!(finding.explanation.contains("role/Admin with Terraform"), "{}", finding.explanation);
        assert!(finding.title.contains("instead of key 11111111"), "{}", finding.title);
        assert!(finding.remediation.expect("a remedy").documents[0].body.contains(KEY));
    }

    #[test]
    fn fires_and_names_the_root_device_that_no_mapping_lists() {
        let mut log = Log::new();
        let named = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
        log.default_key("09:00:00", OTHER_KEY).template_with("09:10:00", &[("/dev/sdb", &named)]);
        log.healthy("a", "10:00:00", OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.explanation.contains("root device is /dev/xvda"), "{}", finding.explanation);
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.documents[0].body.contains("/dev/xvda"), "{}", remedy.documents[0].body);
    }

    #[test]
    fn fires_for_the_default_key_that_was_refused() {
        let mut log = Log::new();
        log.default_key("09:00:00", OTHER_KEY).template(KEY).launch("a", "10:00:00");
        log.denied("a", "10:00:02", "GenerateDataKeyWithoutPlaintext", OTHER_KEY, NO_IDENTITY_POLICY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.contains("asked for"), "{}", finding.title);
    }

    #[test]
    fn silent_when_the_default_is_the_expected_key_or_no_mapping_names_one() {
        let mut log = Log::new();
        log.default_key("09:00:00", KEY).template(KEY).healthy("a", "10:00:00", KEY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
        let mut log = Log::new();
        let named = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
        log.default_key("09:00:00", OTHER_KEY);
        log.template_with("09:10:00", &[("/dev/xvda", &named), ("/dev/xvdb", r#""Encrypted":true"#)]);
        log.healthy("a", "10:00:00", KEY).data_key_of("a", "10:00:00", "vol-0b", OTHER_KEY, OTHER_KEY);
        log.grant_of("a", "10:00:00", "vol-0b", OTHER_KEY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn silent_when_the_default_was_refused_for_a_device_that_names_no_key() {
        let mut log = Log::new();
        let named = format!(r#""Encrypted":true,"KmsKeyId":"{KEY}""#);
        log.default_key("09:00:00", OTHER_KEY);
        log.template_with("09:10:00", &[("/dev/xvda", &named), ("/dev/xvdb", r#""Encrypted":true"#)]);
        log.launch("a", "10:00:00").data_key("a", "10:00:01", KEY);
        log.denied("a", "10:00:02", "GenerateDataKeyWithoutPlaintext", OTHER_KEY, NO_IDENTITY_POLICY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_when_the_origin_of_the_key_is_not_in_the_archive() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "10:00:00", OTHER_KEY);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
