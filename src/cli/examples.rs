//! The examples that each subcommand's help shows before its options, and that its manual page ends with.
//!
//! Every line that begins with `keytrail` is run by a test, on an archive in `./AWSLogs`.

pub(super) const KEYTRAIL: &str = "Examples:
  keytrail demo
  keytrail analyze ./AWSLogs
  keytrail analyze ./AWSLogs --from 2026-05-06T11:30:00Z --nodepool general
  keytrail analyze s3://my-trail-bucket --since 6h --region eu-west-1 --profile log-archive
  keytrail explain i-057f01a3e2626bbae ./AWSLogs
  aws cloudtrail lookup-events --output json | keytrail analyze -";

pub(super) const ANALYZE: &str = "Examples:
  keytrail analyze ./AWSLogs
  keytrail analyze ./AWSLogs --since 2d --cluster orders
  keytrail analyze s3://my-trail-bucket --since 6h --region eu-west-1 --profile log-archive
  keytrail analyze lookup: --since 2h --region eu-west-1
  keytrail analyze ./AWSLogs --expect-key alias/karpenter-ebs-key -o json > case.json
  keytrail analyze ./AWSLogs -o markdown > incident.md
  keytrail analyze ./AWSLogs --export html=incident.html --export timesketch=timeline.jsonl
  keytrail analyze ./AWSLogs -o none --export csv=tables
  keytrail analyze ./AWSLogs --strict --fail-on high || echo \"exit code $?\"
  aws cloudtrail lookup-events --output json | keytrail analyze -";

pub(super) const EXPLAIN: &str = "Examples:
  keytrail explain i-057f01a3e2626bbae ./AWSLogs
  keytrail explain i-057f ./AWSLogs -o markdown > ticket.md
  keytrail explain arn:aws:kms:eu-west-1:123456789012:key/ed0b94da-c9c1-4389-80e4-227726e63811 ./AWSLogs";

pub(super) const EXTRACT: &str = "Examples:
  keytrail extract ./AWSLogs --out relevant
  keytrail analyze relevant";

pub(super) const VERIFY: &str = "Examples:
  keytrail verify ./AWSLogs --expect-key alias/karpenter-ebs-key || echo \"exit code $?\"
  keytrail verify s3://my-trail-bucket --since 1h --nodeclass default.yaml --junit keytrail.xml
  keytrail verify lookup: --since 15m --wait 15m --nodeclass default.yaml";

pub(super) const RULES: &str = "Examples:
  keytrail rules
  keytrail rules KT101";

pub(super) const DEMO: &str = "Examples:
  keytrail demo
  keytrail demo -o json > case.json";

pub(super) const SCHEMA: &str = "Examples:
  keytrail schema > schema.json
  keytrail schema explain";

pub(super) const COMPLETIONS: &str = "Examples:
  keytrail completions bash > keytrail.bash
  keytrail completions zsh > _keytrail
  keytrail completions fish > keytrail.fish";

pub(super) const MAN: &str = "Examples:
  keytrail man ./man1";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_subcommand_has_examples_of_itself() {
        let command = crate::cli::command();
        let mut names = BTreeSet::new();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            let examples = subcommand.get_before_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.starts_with("Examples:\n  "), "{name} has no examples");
            assert!(examples.contains(&format!("keytrail {name}")), "{name}: {examples}");
            assert!(examples.lines().all(|line| line.chars().count() <= 110), "{name}: {examples}");
            names.insert(name.to_owned());
        }
        assert!(names.contains("analyze") && names.len() > 6, "{names:?}");
    }
}
