//! A volume's key belongs to another account than the node.
//!
//! A node's volumes come in; a finding that names the owner goes out. The foreign key of an AMI's snapshot, which
//! EC2 only reads from, is no case.

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{key_name, plain};
use super::wrong_key::volumes;
use crate::correlate::{Confidence, KeyOrigin, Volume, VolumeOutcome};
use crate::event::KeyArn;

pub(super) static RULE: Rule = Rule {
    id: "KT206",
    name: "foreign-key-used",
    severity: Severity::Medium,
    summary: "A volume's key belongs to another account.",
    docs: "\
## Concludes

The node's volumes depend on a key of another account: its owners can disable it, change its policy or delete it, and every launch needs
both the key policy there and the role's policies here. That may be meant (a central key account), and should be known.

## Evidence required

A KMS event of the launch that names a key whose ARN has another account id than the node.

## What would disprove it

Nothing: the account stands in the key's ARN.

## Blind spots

Changes of the key (policy, state) are logged in the owner's account only. The key of a shared AMI's snapshot, which EC2 re-encrypts
from, is not counted here.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    let foreign = |volume: &&Volume| {
        let is_foreign = volume
            .key_arn
            .as_deref()
            .and_then(KeyArn::parse)
            .is_some_and(|arn| arn.account_id != &*node.account_id);
        let is_snapshots =
            volume.key_origin == KeyOrigin::AmiSnapshot && volume.outcome != VolumeOutcome::Used;
        is_foreign && !is_snapshots
    };
    let found: Vec<&Volume> = view.launch_volumes().filter(foreign).collect();
    let Some(first) = found.first() else {
        return match view.lack_of_key_evidence() {
            Some(lack) => Verdict::undetermined(lack),
            None => Verdict::Silent,
        };
    };
    let key = first.key_arn.as_deref().unwrap_or_default();
    let owner = KeyArn::parse(key).map_or("another account", |arn| arn.account_id);
    let mut evidence: Vec<_> = found.iter().flat_map(|volume| volume.evidence.iter().cloned()).collect();
    evidence.extend(view.launch_evidence());
    let refused = first.outcome != VolumeOutcome::Used;
    let is_owner_known = view.facts.case.coverage.scopes.keys().any(|(account, _)| **account == *owner);
    Verdict::fires(Finding {
        explanation: format!(
            "{}: {} of its launch {} {}, a key of account {}{}; the node is in account {}. Whoever controls that account \
             can stop these nodes from starting, and permissions are needed on both sides.{}",
            view.named(),
            volumes(&found),
            if refused {
                "asked for"
            } else if found.len() == 1 {
                "is under"
            } else {
                "are under"
            },
            plain(key),
            plain(owner),
            if refused { ", and KMS refused it" } else { "" },
            node.account_id,
            view.join_words(&found)
        ),
        evidence,
        missing: if is_owner_known {
            Vec::new()
        } else {
            vec![format!(
                "changes of the key: they are logged in account {}, which this archive does not hold",
                plain(owner)
            )]
        },
        remediation: remedy::dedicated_key(node),
        ..RULE.finding(
            Subject::node(view),
            found.iter().map(|volume| volume.confidence).min().unwrap_or(Confidence::Inferred),
            if refused {
                format!("Volumes asked for {} of account {}, and were refused", key_name(key), plain(owner))
            } else {
                format!("Volumes under {} of account {}", key_name(key), plain(owner))
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_RESOURCE_POLICY, ROLE, finding, is_undetermined, of_node,
    };

    #[test]
    fn fires_when_the_volume_is_under_a_key_of_another_account() {
        let mut log = Log::new();
        log.template(FOREIGN_KEY).healthy("a", "10:00:00", FOREIGN_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.ends_with("of account 444455556666"), "{}", finding.title);
        assert!(finding.missing[0].contains("account 444455556666"));
    }

    #[test]
    fn fires_for_a_refused_key_as_asked_for() {
        let mut log = Log::new();
        log.template(FOREIGN_KEY).launch("a", "10:00:00");
        log.denied("a", "10:00:02", "CreateGrant", FOREIGN_KEY, NO_RESOURCE_POLICY);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.title.starts_with("Volumes asked for key 77777777"), "{}", finding.title);
        assert!(!finding.explanation.contains(" under "), "{}", finding.explanation);
    }

    #[test]
    fn silent_when_only_the_snapshots_key_is_foreign() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        let call = ("ReEncrypt", "kms:ReEncryptFrom");
        log.denied_as("a", "10:00:02", call, FOREIGN_KEY, NO_RESOURCE_POLICY, ROLE);
        log.healthy("b", "10:01:00", KEY);
        for letter in ["a", "b"] {
            assert_eq!(of_node(&RULE, &log.case(), letter), Verdict::Silent);
        }
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template(FOREIGN_KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
