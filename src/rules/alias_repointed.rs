//! The alias in the configuration was pointed to another key: launches before and after used different keys.
//!
//! A node and the launches through the same alias come in; a finding about the node that came after goes out.

use super::finding::{Finding, Severity, Subject};
use super::remediation::{self, Key};
use super::rule::{Evaluate, Rule, Verdict};
use super::tool::{tool, who, with_tool};
use super::view::{NodeView, aliased_keys};
use super::wording::{count, key_name, plain, principal_name};
use crate::correlate::{Confidence, Dated, WrittenKey, is_same_key};
use crate::event::{Detail, Event, KeyArn, Text};

pub(super) static RULE: Rule = Rule {
    id: "KT204",
    name: "alias-repointed",
    severity: Severity::Medium,
    summary: "The configured alias was repointed: launches before and after used different keys.",
    docs: "\
## Concludes

The node class names an alias, and the alias led earlier launches to another key than this one. Nodes launched before keep their key
as long as they run, so one nodepool has volumes under two keys.

## Evidence required

An earlier node and this one whose configuration names the same alias, with KMS events of both launches naming different keys, and the
change of the alias between them (UpdateAlias, or DeleteAlias and CreateAlias).

## What would disprove it

Both launches under one key; the launches naming different aliases.

## Blind spots

Karpenter does not count a repointed alias as drift. Where the change itself is not in the archive, only the two uses show it.

## References

- <https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html>
- <https://karpenter.sh/docs/concepts/disruption/#drift>
",
    evaluate: Evaluate::Node(evaluate),
};

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    for (alias, key) in aliased_keys(node) {
        let earlier = node.launched_at.and_then(|at| view.facts.other_key_before(&alias, &key, at));
        let Some(earlier) = earlier else {
            continue;
        };
        let written = WrittenKey::Alias { account_id: alias.0, region: alias.1, name: alias.2.clone() };
        let changes = view.facts.case.history.alias_changes(&written);
        let change = changes.iter().rev().find(|change| {
            Some(change.time) <= node.launched_at
                && change.time >= earlier.first.launched_at.unwrap_or_default()
                && change.value.as_ref().is_some_and(|target| is_same_key(target, &key))
        });
        return fire(view, (&alias.2, &key), (earlier.first, earlier.nodes, &earlier.key), change);
    }
    let unresolved = node
        .expected_keys
        .iter()
        .find(|device| device.key.key_arn.is_none() && device.key.written.as_deref().is_some_and(is_alias));
    if let Some(device) = unresolved {
        let written = device.key.written.as_deref().unwrap_or_default();
        return Verdict::undetermined(format!(
            "the key behind {0} as of the launch: give it with --alias {0}=KEY-ARN, or read an archive that reaches \
             back to its CreateAlias or UpdateAlias",
            plain(written)
        ));
    }
    match view.lack_of_key_evidence() {
        Some(lack) => Verdict::undetermined(lack),
        None => Verdict::Silent,
    }
}

fn is_alias(written: &str) -> bool {
    written.starts_with("alias/") || KeyArn::parse(written).is_some_and(|arn| arn.alias().is_some())
}

fn fire(
    view: &NodeView<'_>,
    (alias, key): (&Text, &Text),
    (earlier, nodes, earlier_key): (&crate::correlate::Node, usize, &Text),
    change: Option<&Dated<Option<Text>>>,
) -> Verdict {
    let node = view.node;
    let event = change
        .map(|change| view.facts.event(change.event))
        .filter(|event| matches!(event.detail, Detail::Alias(_)));
    let when = |at: Option<crate::event::Timestamp>| {
        at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
    };
    let mut explanation = format!(
        "{}: its configuration names {}, which led its launch at {} to {}. {} launched before it, the first at {}, \
         got {} through the same alias.",
        view.named(),
        plain(alias),
        when(node.launched_at),
        plain(key),
        count(nodes, "node"),
        when(earlier.launched_at),
        plain(earlier_key)
    );
    let mut evidence: Vec<_> =
        view.launch_volumes().flat_map(|volume| volume.evidence.iter().cloned()).collect();
    let mut missing = Vec::new();
    match event {
        Some(event) => {
            explanation.push_str(&format!(
                " {} at {} by {}{} pointed it to the other key.",
                plain(&event.name),
                event.time,
                who(event),
                with_tool(event)
            ));
            evidence.push(event.event_id.clone());
        }
        None => missing.push(format!("the change of {}: the archive shows only its uses", plain(alias))),
    }
    let before = earlier
        .volumes
        .iter()
        .find(|volume| volume.key_arn.as_ref().is_some_and(|used| is_same_key(used, earlier_key)));
    evidence.extend(before.into_iter().flat_map(|volume| volume.evidence.iter().cloned()));
    let mut remediation =
        Key::new(earlier_key).ok().and_then(|key| remediation::repoint_alias(&key, alias).ok());
    if let Some(remedy) = &mut remediation {
        remedy.summary = choice(alias, (earlier_key, key), event);
    }
    let confidence = view
        .launch_volumes()
        .chain(before)
        .map(|volume| volume.confidence)
        .max()
        .unwrap_or(Confidence::Inferred);
    Verdict::fires(Finding {
        explanation,
        evidence,
        ruled_out: vec!["not a change of the node class: the alias is written the same for both".to_owned()],
        missing,
        remediation,
        ..RULE.finding(
            Subject::node(view),
            confidence,
            format!("{} led to {}, and to {} before", plain(alias), key_name(key), key_name(earlier_key)),
        )
    })
}

/// Which of the keys is meant is the reader's choice: what each costs.
fn choice(alias: &str, (earlier, key): (&str, &str), event: Option<&Event>) -> String {
    let (moved, again) = match event {
        Some(event) => {
            let by = principal_name(&who(event));
            let again = tool(event).map_or_else(String::new, |tool| {
                format!(", and {tool} may move it again unless its configuration is changed")
            });
            (format!("{} at {} by {by}{} moved", plain(&event.name), event.time, with_tool(event)), again)
        }
        None => ("The archive does not show who moved".to_owned(), String::new()),
    };
    let (old, new) = (key_name(earlier), key_name(key));
    format!(
        "{moved} {} from {old} to {new}. If that was meant, replace the nodes that still run under {old}. If not, \
         point the alias back to {old}: that undoes the change{again}, and nodes that run keep the key that they \
         started with.",
        plain(alias)
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, OTHER_KEY, finding, is_undetermined, of_node, volume};

    fn log() -> Log {
        let mut log = Log::new();
        log.alias("07:00:00", "CreateAlias", "alias/karpenter", KEY).template("alias/karpenter");
        log.healthy("a", "09:00:00", KEY);
        log
    }

    #[test]
    fn fires_for_the_node_after_the_change() {
        let mut log = log();
        log.alias("09:30:00", "UpdateAlias", "alias/karpenter", OTHER_KEY);
        let change = log.last_id();
        log.healthy("b", "10:00:00", OTHER_KEY);
        let case = log.case();
        let finding = finding(of_node(&RULE, &case, "b"));
        assert_eq!(finding.confidence, Confidence::Observed);
        assert!(finding.evidence.contains(&change));
        assert!(
            finding.explanation.contains("UpdateAlias at 2026-03-02T09:30:00Z"),
            "{}",
            finding.explanation
        );
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.documents[0].body.contains("update-alias"));
        for words in [
            "by Admin with Terraform moved alias/karpenter from key 11111111-2222-3333-4444-555555555555 to key ",
            "If that was meant, replace the nodes",
            "Terraform may move it again",
        ] {
            assert!(remedy.summary.contains(words), "{words}: {}", remedy.summary);
        }
        assert_eq!(of_node(&RULE, &case, "a"), Verdict::Silent);
    }

    #[test]
    fn fires_without_naming_an_older_change_where_the_last_is_not_in_the_archive() {
        let mut log = Log::new();
        log.alias("06:00:00", "CreateAlias", "alias/karpenter", OTHER_KEY);
        log.alias("07:00:00", "UpdateAlias", "alias/karpenter", KEY).template("alias/karpenter");
        log.healthy("a", "09:00:00", KEY).launch("b", "10:00:00");
        log.data_key_of("b", "10:00:01", &volume("b"), "alias/karpenter", OTHER_KEY);
        let finding = finding(of_node(&RULE, &log.case(), "b"));
        assert!(!finding.explanation.contains("06:00:00"), "{}", finding.explanation);
        assert!(finding.missing[0].starts_with("the change of alias/karpenter"), "{:?}", finding.missing);
    }

    #[test]
    fn silent_when_no_node_was_launched_before_the_change() {
        let mut log = Log::new();
        log.alias("07:00:00", "CreateAlias", "alias/karpenter", KEY).template("alias/karpenter");
        log.alias("08:30:00", "UpdateAlias", "alias/karpenter", OTHER_KEY)
            .healthy("b", "10:00:00", OTHER_KEY);
        assert_eq!(of_node(&RULE, &log.case(), "b"), Verdict::Silent);
    }

    #[test]
    fn silent_when_the_alias_was_set_to_the_same_key_again() {
        let mut log = log();
        log.alias("09:30:00", "UpdateAlias", "alias/karpenter", KEY).healthy("b", "10:00:00", KEY);
        assert_eq!(of_node(&RULE, &log.case(), "b"), Verdict::Silent);
    }

    #[test]
    fn undetermined_for_an_alias_that_the_archive_does_not_resolve() {
        let mut log = Log::new();
        log.template("alias/karpenter").healthy("b", "10:00:00", OTHER_KEY);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "b")));
    }
}
