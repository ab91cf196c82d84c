//! The AWS managed key of EBS was used although a customer key was expected.
//!
//! A node's volumes come in, a finding with the event that shows the key to be `alias/aws/ebs` goes out.

use super::finding::Severity;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wrong_key::{self, Cause};
use crate::correlate::KeyOrigin;

pub(super) static RULE: Rule = Rule {
    id: "KT202",
    name: "aws-managed-key-used",
    severity: Severity::High,
    summary: "The AWS managed key (alias/aws/ebs) was used although a customer key was expected.",
    docs: "\
## Concludes

A volume of the launch is under `alias/aws/ebs`, while the configuration names a customer key. EC2 takes the AWS managed key where a
mapping asks for encryption without a key, or encryption by default is on, and the account has no default key of its own.

## Evidence required

A KMS event of the launch that names the key, an event that shows the key behind `alias/aws/ebs`, and a configuration that names another.

## What would disprove it

A mapping of the launch template that names `alias/aws/ebs`.

## Blind spots

The key behind `alias/aws/ebs` is known only where an event names both. CloudTrail does not say which volume is the root volume.

## References

- <https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-cmk>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    wrong_key::judge(&RULE, view, KeyOrigin::AwsManaged, |volumes| {
        let history = &view.facts.case.history;
        let shown =
            volumes.iter().filter_map(|volume| history.aws_managed(volume.key_arn.as_deref()?)).next();
        Cause {
            title: "it is the AWS managed key",
            explanation: "That key is behind alias/aws/ebs. EC2 takes it for an encrypted volume whose mapping names \
                          no key, such as a root device that the node class does not list. Its policy cannot be \
                          changed, and no other account can use it."
                .to_owned(),
            events: shown.map(|event| view.facts.event(event)).into_iter().collect(),
            missing: vec!["which volume is the root volume: CloudTrail does not say".to_owned()],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, OTHER_KEY, finding, is_undetermined, of_node, volume};

    #[test]
    fn fires_when_the_aws_managed_key_was_used() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        log.data_key_of("a", "10:00:01", &volume("a"), "alias/aws/ebs", OTHER_KEY)
            .grant("a", "10:00:01", OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.ends_with("it is the AWS managed key"), "{}", finding.title);
        assert!(finding.explanation.contains(KEY) && finding.explanation.contains(OTHER_KEY));
        assert!(finding.remediation.is_some());
    }

    #[test]
    fn silent_when_the_configuration_names_alias_aws_ebs() {
        let mut log = Log::new();
        log.template("alias/aws/ebs").launch("a", "10:00:00");
        log.data_key_of("a", "10:00:01", &volume("a"), "alias/aws/ebs", OTHER_KEY)
            .grant("a", "10:00:01", OTHER_KEY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_the_launch_template() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        log.data_key_of("a", "10:00:01", &volume("a"), "alias/aws/ebs", OTHER_KEY);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
