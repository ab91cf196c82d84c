//! The key does not exist where it was looked for: wrong region, wrong account, or an alias without a target.
//!
//! A node's refusals and its configuration come in, a finding that compares the key as written with the node's
//! account and region goes out.

use super::finding::{Remediation, Severity};
use super::key_condition;
use super::key_pending_deletion::is_known_deleted;
use super::refusal::{Fit, Refusal};
use super::remedy;
use super::resource_policy_denial::is_known_to_exist;
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{who, with_tool};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::{DeviceKey, KeySource, WrittenKey};
use crate::event::{DenialKind, Detail, Event, KeyArn, Text};
use crate::manifest::KeyForm;

pub(super) static RULE: Rule = Rule {
    id: "KT106",
    name: "kms-key-not-found",
    severity: Severity::Critical,
    summary: "The key was not found: wrong region, wrong account, or an alias without a target.",
    docs: "\
## Concludes

The configuration names a key or alias that does not exist where the node was launched: a key id of another region or account, or an
alias that points to nothing.

## Evidence required

A KMS event with `NotFoundException` (or an invalid key id), joined to the node. Inferred: AWS's ambiguous `does not exist, does not
exist in this region, or you are not allowed to access` for a key that nobody in the archive used.

## What would disprove it

A use of the same key in the same region by anybody; a deletion of the key in the archive (KT105).

## Blind spots

A key id without a region is read as one of the node's own account and region: that is how EC2 reads it. The ambiguous message can
as well mean a missing permission. Who deleted an alias is known only where DeleteAlias is in the archive.

## References

- <https://docs.aws.amazon.com/kms/latest/developerguide/find-cmk-id-arn.html>
- <https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>
",
    evaluate: Evaluate::Node(evaluate),
};

fn fit(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Fit {
    match refusal.denial.kind {
        DenialKind::KeyNotFound if is_known_deleted(view, refusal) => Fit::No,
        DenialKind::KeyNotFound => Fit::Yes,
        DenialKind::Ambiguous if !is_known_to_exist(view, refusal) => Fit::Probably(
            "whether the key exists or is only not allowed: AWS's message leaves it open".to_owned(),
        ),
        _ => Fit::No,
    }
}

/// The alias that the configuration names and that was deleted before the refusal.
struct Deletion<'a> {
    alias: &'a Text,
    event: &'a Event,
    /// Where it led before.
    target: Option<&'a Text>,
}

fn deletion<'a>(view: &NodeView<'a>) -> Option<Deletion<'a>> {
    let node = view.node;
    let at = node.launched_at?;
    node.expected_keys.iter().filter_map(|device| device.key.written.as_deref()).find_map(|written| {
        let written = WrittenKey::read(written, &node.account_id, &node.region);
        let changes = view.facts.case.history.alias_changes(&written);
        let known = &changes[..changes.partition_point(|change| change.time <= at)];
        let (last, earlier) = known.split_last()?;
        let event = view.facts.event(last.event);
        match &event.detail {
            Detail::Alias(change) if change.is_deletion => Some(Deletion {
                alias: &change.alias,
                event,
                target: earlier.iter().rev().find_map(|change| change.value.as_ref()),
            }),
            _ => None,
        }
    })
}

fn remedy_of(view: &NodeView<'_>, deletion: Option<&Deletion<'_>>) -> Option<Remediation> {
    let target = deletion.and_then(|deletion| deletion.target);
    let Some(mut remedy) = target.and_then(|target| remedy::name_key(view, Some(target))) else {
        return remedy::dedicated_key(view.node);
    };
    remedy.summary.push_str(" Or make the alias again (`aws kms create-alias`).");
    Some(remedy)
}

/// What is wrong with where the key was looked for.
fn place(view: &NodeView<'_>, refusal: &Refusal<'_>) -> String {
    let node = view.node;
    // A manifest may hold a placeholder in the key's place.
    let is_known = |device: &&DeviceKey| {
        let form = device.key.written.as_deref().map(KeyForm::of);
        device.key.source != KeySource::NodeClass || form == Some(KeyForm::Key)
    };
    let written: Vec<&str> = node
        .expected_keys
        .iter()
        .filter(is_known)
        .filter_map(|device| device.key.written.as_deref())
        .collect();
    let aliased = node.expected_keys.iter().find(|device| {
        device.key.written.as_deref().is_some_and(|written| {
            written.starts_with("alias/") || KeyArn::parse(written).is_some_and(|arn| arn.alias().is_some())
        })
    });
    if let Some(device) = aliased {
        let alias = plain(device.key.written.as_deref().unwrap_or_default());
        return match device.key.key_arn.as_deref() {
            Some(target) => format!("The configuration names {alias}, which led to {}.", plain(target)),
            None => format!("The configuration names {alias}, and the archive knows no key behind it."),
        };
    }
    let named = written.first().copied().or(refusal.key_arn()).and_then(KeyArn::parse);
    let mut text = match named {
        Some(arn) if arn.region != &*node.region => {
            format!("The key belongs to region {}, the node to {}.", plain(arn.region), node.region)
        }
        Some(arn) if arn.account_id != &*node.account_id => {
            format!("The key belongs to account {}, the node to {}.", plain(arn.account_id), node.account_id)
        }
        _ if refusal.denial.kind == DenialKind::Ambiguous => format!(
            "Nobody in the archive used such a key in account {}, region {}.",
            node.account_id, node.region
        ),
        _ => format!("KMS knows no such key in account {}, region {}.", node.account_id, node.region),
    };
    if let Some(bare) = written.first().filter(|written| KeyArn::parse(written).is_none()) {
        text.push_str(&format!(
            " The configuration names {} without account and region: such an id is looked for in the node's own.",
            plain(bare)
        ));
    }
    text
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let deletion = deletion(view);
    let verdict = key_condition::judge(
        &RULE,
        view,
        |refusal| fit(view, refusal),
        |refusals| {
            let is_ambiguous = refusals.iter().all(|refusal| refusal.denial.kind == DenialKind::Ambiguous);
            let mut meaning = place(view, refusals[0]);
            if is_ambiguous {
                meaning.insert_str(
                    0,
                    "AWS's message leaves open whether the key does not exist there or the role is not allowed to use it. ",
                );
            }
            let title = match &deletion {
                Some(deletion) => format!("{} was deleted before the launch", plain(deletion.alias)),
                None if is_ambiguous => "the key does not exist there, or the role may not use it".to_owned(),
                None => "the key does not exist there".to_owned(),
            };
            (title, meaning)
        },
        &[],
        |_| remedy_of(view, deletion.as_ref()),
    );
    match (verdict, &deletion) {
        (Verdict::Fires(mut finding), Some(deletion)) => {
            let event = deletion.event;
            finding.explanation.push_str(&format!(
                " {} by {}{} at {} deleted {}{}.",
                plain(&event.name),
                who(event),
                with_tool(event),
                event.time,
                plain(deletion.alias),
                deletion.target.map_or_else(String::new, |key| format!(", which led to {}", plain(key)))
            ));
            finding.evidence.push(event.event_id.clone());
            Verdict::Fires(finding)
        }
        (verdict, _) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, ROLE, finding, is_undetermined, of_node};

    const CALL: &str = "GenerateDataKeyWithoutPlaintext";

    #[test]
    fn fires_for_a_key_id_that_is_not_of_this_region() {
        let mut log = Log::new();
        log.template("11111111-2222-3333-4444-555555555555").launch("a", "10:00:00");
        log.kms_error(
            "a",
            "10:00:02",
            CALL,
            "NotFoundException",
            &format!("Key '{KEY}' does not exist"),
            ROLE,
        );
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.explanation.contains("without account and region"), "{}", finding.explanation);
    }

    #[test]
    fn fires_for_an_alias_without_a_target() {
        let mut log = Log::new();
        log.template("alias/karpenter").launch("a", "10:00:00");
        let message = "Alias arn:aws:kms:us-east-1:111122223333:alias/karpenter is not found.";
        log.kms_error("a", "10:00:02", CALL, "NotFoundException", message, ROLE);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert!(finding.explanation.contains("names alias/karpenter"), "{}", finding.explanation);
    }

    #[test]
    fn fires_as_inferred_when_aws_leaves_it_open() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        let message = "The ciphertext refers to a customer master key that does not exist, does not exist in this \
                       region, or you are not allowed to access.";
        log.kms_error("a", "10:00:02", "CreateGrant", "AccessDeniedException", message, ROLE);
        let finding = finding(of_node(&RULE, &log.case(), "a"));
        assert_eq!(finding.confidence, Confidence::Inferred);
        assert!(
            finding.title.ends_with("does not exist there, or the role may not use it"),
            "{}",
            finding.title
        );
        assert!(finding.explanation.contains("leaves open"), "{}", finding.explanation);
        assert!(!finding.explanation.contains("knows no such key"), "{}", finding.explanation);
    }

    #[test]
    fn fires_and_names_who_deleted_the_alias_before_the_launch() {
        for (at, is_cause) in [("09:00:00", true), ("10:30:00", false)] {
            let mut log = Log::new();
            log.alias("07:00:00", "CreateAlias", "alias/karpenter", KEY).template("alias/karpenter");
            let message = "Alias arn:aws:kms:us-east-1:111122223333:alias/karpenter is not found.";
            let delete = format!(
                r#""requestParameters":{{"aliasName":"alias/karpenter"}},"responseElements":null,"resources":[{{"accountId":"111122223333","ARN":"{KEY}"}},{{"accountId":"111122223333","ARN":"arn:aws:kms:us-east-1:111122223333:alias/karpenter"}}]"#
            );
            log.by_terraform(at, ("kms", "DeleteAlias"), &delete);
            let deletion = log.last_id();
            log.launch("a", "10:00:00");
            log.kms_error("a", "10:00:02", CALL, "NotFoundException", message, ROLE);
            let finding = finding(of_node(&RULE, &log.case(), "a"));
            assert_eq!(finding.evidence.contains(&deletion), is_cause);
            assert_eq!(finding.title.ends_with("alias/karpenter was deleted before the launch"), is_cause);
            assert_eq!(
                finding.explanation.contains("role/Admin with Terraform"),
                is_cause,
                "{}",
                finding.explanation
            );
        }
    }

    #[test]
    fn silent_for_a_key_that_was_deleted() {
        let mut log = Log::new();
        log.template(KEY).key_state("09:30:00", "DeleteKey", KEY).launch("a", "10:00:00");
        log.kms_error(
            "a",
            "10:00:02",
            CALL,
            "NotFoundException",
            &format!("Key '{KEY}' does not exist"),
            ROLE,
        );
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        log.template("alias/karpenter").launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
