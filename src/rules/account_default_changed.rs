//! The account's default key for EBS, or encryption by default, really changed where these nodes are.
//!
//! All nodes and the changes of the EBS defaults come in; one finding per account and region goes out. Setting a
//! default to what it was is no change.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Severity, Subject};
use super::remediation::{self, Key};
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::FleetView;
use super::wording::{clauses, count, key_name, plain, principal_name, verb};
use crate::correlate::{Confidence, KeyOrigin, Node, WrittenKey};
use crate::event::{Detail, EbsDefault, Event, Text};

pub(super) static RULE: Rule = Rule {
    id: "KT402",
    name: "account-default-changed",
    severity: Severity::Medium,
    summary: "The account's default key for EBS or encryption by default really changed, in an account and region of the nodes.",
    docs: "\
## Concludes

From that time on, volumes whose mapping names no key are made under another key, or are encrypted (or no longer are). Every launch with
such a mapping is concerned, not only Karpenter's.

## Evidence required

ModifyEbsDefaultKmsKeyId, ResetEbsDefaultKmsKeyId, EnableEbsEncryptionByDefault or DisableEbsEncryptionByDefault that succeeded, in an account and
region of the nodes, and led to another value than before. Where the value before is not in the archive: inferred.

## What would disprove it

The value before having been the same.

## Blind spots

Read-only calls do not show the value in CloudTrail. The default key counts also while encryption by default is off, for mappings that ask
for encryption without a key.

## References

- <https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html>
- <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyEbsDefaultKmsKeyId.html>
- <https://github.com/aws/karpenter-provider-aws/issues/1407>
",
    evaluate: Evaluate::Fleet(evaluate),
};

const AWS_MANAGED: &str = "alias/aws/ebs";

/// Most changes that the explanation lists.
const CHANGES_MAX: usize = 6;

type Place<'a> = (&'a Text, &'a Text);

/// A change of a default.
struct Change<'a> {
    event: &'a Event,
    /// In words, without who and when.
    words: String,
    /// The same for a title.
    title: String,
    /// Whether the value before is known.
    is_certain: bool,
}

/// The defaults of one place while the events are read.
#[derive(Default)]
struct Defaults<'a> {
    key: Option<String>,
    encryption: Option<bool>,
    changes: Vec<Change<'a>>,
    /// The key before the last change of it.
    key_before: Option<String>,
    nameless: usize,
}

impl<'a> Defaults<'a> {
    fn note(&mut self, view: &FleetView<'a>, event: &'a Event, change: &EbsDefault) {
        let key = match change {
            EbsDefault::Encryption(enabled) => {
                if self.encryption != Some(*enabled) {
                    let words =
                        if *enabled { "encryption by default on" } else { "encryption by default off" };
                    let is_certain = self.encryption.is_some();
                    self.changes.push(Change {
                        event,
                        words: words.to_owned(),
                        title: words.to_owned(),
                        is_certain,
                    });
                }
                self.encryption = Some(*enabled);
                return;
            }
            EbsDefault::Key(None) => {
                self.nameless += 1;
                self.key = None;
                return;
            }
            EbsDefault::Key(Some(written)) => resolved(view, event, written),
            EbsDefault::Reset(_) => AWS_MANAGED.to_owned(),
        };
        if self.key.as_ref() != Some(&key) {
            let before = self.key.as_ref().map_or_else(String::new, |before| format!(" (before: {before})"));
            let words = format!("default key {key}{before}");
            let title = format!("default {}", key_name(&key));
            self.changes.push(Change { event, words, title, is_certain: self.key.is_some() });
            self.key_before = self.key.take();
        }
        self.key = Some(key);
    }
}

/// The default key by its ARN where that is known, so that an alias and its key are the same.
fn resolved(view: &FleetView<'_>, event: &Event, written: &str) -> String {
    let read = WrittenKey::read(written, &event.account_id, &event.region);
    let key = match &read {
        WrittenKey::Arn(arn) => Some(arn.clone()),
        WrittenKey::Alias { name, .. } if **name == *AWS_MANAGED => Some(AWS_MANAGED.into()),
        alias @ WrittenKey::Alias { .. } => {
            view.facts.case.history.alias_target(alias, event.time).map(|target| target.value)
        }
    };
    match key {
        Some(arn) if view.facts.case.history.aws_managed(&arn).is_some() => AWS_MANAGED.to_owned(),
        Some(arn) => plain(&arn),
        None => plain(written),
    }
}

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let case = view.facts.case;
    let places: BTreeSet<Place<'_>> =
        case.nodes.iter().map(|node| (&node.account_id, &node.region)).collect();
    let mut defaults: BTreeMap<Place<'_>, Defaults<'_>> = BTreeMap::new();
    for event in view.facts.default_changes() {
        let place = (&event.account_id, &event.region);
        if let Detail::EbsDefault(change) = &event.detail
            && places.contains(&place)
        {
            defaults.entry(place).or_default().note(view, event, change);
        }
    }
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut nodes = view.nodes_by_place();
    for (place, found) in defaults {
        if !found.changes.is_empty() {
            verdicts.push(fire(place, &found, nodes.remove(&place).unwrap_or_default()));
        } else if found.nameless > 0 {
            verdicts.push(Verdict::undetermined(format!(
                "the key that became the default in {}/{}: the record does not name it",
                place.0, place.1
            )));
        }
    }
    if verdicts.is_empty() { vec![Verdict::Silent] } else { verdicts }
}

fn fire((account_id, region): Place<'_>, found: &Defaults<'_>, nodes: Vec<&Node>) -> Verdict {
    let changes = &found.changes;
    let first = changes[0].event;
    let concerned =
        nodes.into_iter().filter(|node| node.launched_at.is_some_and(|at| at >= first.time)).filter(|node| {
            node.volumes
                .iter()
                .any(|volume| matches!(volume.key_origin, KeyOrigin::AccountDefault | KeyOrigin::AwsManaged))
        });
    let concerned = concerned.count();
    let listed = changes.iter().map(|change| {
        let event = change.event;
        format!("{} at {} by {}{}", change.words, event.time, who(event), with_tool(event))
    });
    let is_certain = changes.iter().any(|change| change.is_certain);
    let missing = if changes.iter().all(|change| change.is_certain) {
        Vec::new()
    } else {
        vec!["the default before the first change: the archive does not reach back, so it may have been the same".to_owned()]
    };
    let back = found.key_before.as_deref().and_then(|key| Key::new(key).ok());
    let last = &changes[changes.len() - 1];
    let last_by = principal_name(&who(last.event));
    let remediation = back.map(|key| {
        let mut remedy = remediation::make_account_default(&key);
        remedy.summary = format!(
            "Name the key that is meant in the node class, for every device: then no default decides, and nothing \
             else changes. The last change was {} at {} by {last_by}{}. To take it back for every new volume of the \
             account in {region} that names no key, not only Karpenter's, make {} the default again.",
            last.title,
            last.event.time,
            with_tool(last.event),
            key_name(key.arn())
        );
        remedy
    });
    let times = match changes.len() {
        1 => format!("changed by {last_by}"),
        more => format!("changed {more} times, last by {last_by}"),
    };
    Verdict::fires(Finding {
        explanation: format!(
            "In account {account_id}, region {region}, the defaults for EBS changed: {}. {} launched since {} a \
             default key.",
            clauses(listed, CHANGES_MAX),
            count(concerned, "node"),
            verb(concerned, "has", "have")
        ),
        evidence: changes.iter().map(|change| change.event.event_id.clone()).collect(),
        ruled_out: Vec::new(),
        missing,
        remediation,
        ..RULE.finding(
            Subject::place(account_id, region),
            if is_certain { Confidence::Observed } else { Confidence::Inferred },
            format!("EBS defaults of account {account_id} in {region} {times}: {}", last.title),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, OTHER_KEY, is_undetermined, of_fleet, only_finding};

    #[test]
    fn fires_when_the_default_key_became_another() {
        let mut log = Log::new();
        log.default_key("2026-02-01T08:00:00Z", KEY).default_key("09:00:00", OTHER_KEY);
        log.healthy("a", "10:00:00", OTHER_KEY);
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert_eq!(&*finding.subject.id, "111122223333/us-east-1");
        for words in
            [&format!("(before: {KEY})") as &str, "role/Admin with Terraform", "1 node launched since has"]
        {
            assert!(finding.explanation.contains(words), "{words}: {}", finding.explanation);
        }
        assert!(finding.title.contains("changed 2 times, last by Admin: default key "), "{}", finding.title);
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.documents[0].body.contains(KEY));
        assert!(
            remedy.summary.starts_with("Name the key that is meant in the node class"),
            "{}",
            remedy.summary
        );
        assert!(
            remedy.summary.contains("at 2026-03-02T09:00:00Z by Admin with Terraform"),
            "{}",
            remedy.summary
        );
    }

    #[test]
    fn fires_as_inferred_when_the_value_before_is_not_known() {
        let mut log = Log::new();
        let rest = r#""requestParameters":{"EnableEbsEncryptionByDefaultRequest":""},"responseElements":{"EnableEbsEncryptionByDefaultResponse":{"ebsEncryptionByDefault":true}}"#;
        log.by_terraform("09:00:00", ("ec2", "EnableEbsEncryptionByDefault"), rest).launch("a", "10:00:00");
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(finding.title.ends_with("encryption by default on"), "{}", finding.title);
    }

    #[test]
    fn fires_once_for_a_value_that_is_set_again() {
        let mut log = Log::new();
        log.default_key("08:00:00", KEY).default_key("09:00:00", KEY).healthy("a", "10:00:00", KEY);
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.evidence.len(), 1);
    }

    #[test]
    fn silent_for_a_place_without_nodes_and_for_a_change_that_failed() {
        let mut log = Log::new();
        let rest = r#""errorCode":"Client.UnauthorizedOperation","errorMessage":"You are not authorized","requestParameters":{"ModifyEbsDefaultKmsKeyIdRequest":{"KmsKeyId":"alias/x"}},"responseElements":null"#;
        log.by_terraform("09:00:00", ("ec2", "ModifyEbsDefaultKmsKeyId"), rest).launch("a", "10:00:00");
        let identity =
            r#"{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/maria","accountId":"111122223333"}"#;
        let elsewhere = format!(
            r#""requestParameters":{{"ModifyEbsDefaultKmsKeyIdRequest":{{"KmsKeyId":"{KEY}"}}}},"responseElements":null"#
        );
        log.record_in(
            "eu-west-1",
            "09:00:00",
            ("ec2", "ModifyEbsDefaultKmsKeyId"),
            identity,
            "aws-cli/2.1",
            &elsewhere,
        );
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_when_the_record_names_no_key() {
        let mut log = Log::new();
        let rest = r#""requestParameters":{"omitted":true},"responseElements":null"#;
        log.by_terraform("09:00:00", ("ec2", "ModifyEbsDefaultKmsKeyId"), rest).launch("a", "10:00:00");
        assert!(of_fleet(&RULE, &log.case()).iter().any(is_undetermined));
    }
}
