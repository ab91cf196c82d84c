//! The EKS cluster's key for secrets is used for EBS volumes.
//!
//! A node's volumes and the secrets keys that the archive knows come in; a finding goes out, observed where EKS was
//! told the key, inferred where only its alias says so.

use super::finding::{Finding, Severity, Subject};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::{key_name, plain};
use crate::correlate::{Confidence, Volume, VolumeOutcome, WrittenKey, is_same_key};
use crate::event::Event;

pub(super) static RULE: Rule = Rule {
    id: "KT205",
    name: "cluster-secrets-key-used",
    severity: Severity::Medium,
    summary: "The EKS cluster's secrets key is used for EBS volumes.",
    docs: "\
## Concludes

A volume of the node is under (or was refused) the key that encrypts the Kubernetes secrets of the cluster. Its policy is made for EKS:
Karpenter's role is usually missing there, and who may start nodes should not thereby get at the secrets' key. Whether the launch
worked or not, the two keys should be separate.

## Evidence required

A KMS event of the node that names the key, and CreateCluster or AssociateEncryptionConfig with the same key for the cluster
(observed); or the alias `alias/eks/CLUSTER`, which the Terraform EKS module gives to it, pointing to the key (inferred).

## What would disprove it

An AssociateEncryptionConfig with another key before the launch.

## Blind spots

A cluster made before the archive begins shows neither; then the key counts as an ordinary one.

## References

- <https://docs.aws.amazon.com/eks/latest/userguide/enable-kms.html>
- <https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3037>
",
    evaluate: Evaluate::Node(evaluate),
};

/// The event that shows a key to be the cluster's, and how sure that is.
fn secrets_key<'a>(view: &NodeView<'a>, key: &str) -> Option<(&'a Event, Confidence)> {
    let node = view.node;
    let told = view.facts.secrets_keys(key).iter().find(|known| {
        let is_of_cluster = match (known.cluster, &node.cluster) {
            (Some(known), Some(own)) => known == own,
            _ => true,
        };
        is_of_cluster
            && (&known.place.0, &known.place.1) == (&node.account_id, &node.region)
            && node.launched_at.is_none_or(|at| known.since <= at)
    });
    if let Some(told) = told {
        return Some((told.event, Confidence::Observed));
    }
    let alias =
        WrittenKey::read(&format!("alias/eks/{}", node.cluster.as_ref()?), &node.account_id, &node.region);
    let target = view.facts.case.history.alias_target(&alias, node.launched_at?)?;
    is_same_key(&target.value, key).then(|| (view.facts.event(target.event), Confidence::Inferred))
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    let node = view.node;
    let found = node.volumes.iter().find_map(|volume| {
        let key = volume.key_arn.as_deref()?;
        secrets_key(view, key).map(|(event, confidence)| (volume, key, event, confidence))
    });
    let Some((volume, key, event, confidence)) = found else {
        return match view.lack_of_key_evidence() {
            Some(lack) => Verdict::undetermined(lack),
            None => Verdict::Silent,
        };
    };
    let cluster = node
        .cluster
        .as_deref()
        .map_or_else(|| "the cluster".to_owned(), |name| format!("cluster {}", plain(name)));
    let says = match confidence {
        Confidence::Observed => {
            format!("{} at {} made it the key of the secrets", plain(&event.name), event.time)
        }
        Confidence::Inferred => {
            format!("the alias alias/eks/{} leads to it", plain(node.cluster.as_deref().unwrap_or_default()))
        }
    };
    let mut evidence = volume.evidence.clone();
    evidence.push(event.event_id.clone());
    evidence.extend(view.launch_evidence());
    Verdict::fires(Finding {
        explanation: format!(
            "{}: {} {} {}, which is the key of the Kubernetes secrets of {cluster}: {says}. Its policy is made for EKS, \
             and Karpenter's volumes tie every node to it. Give the nodes a key of their own.{}",
            view.named(),
            super::wrong_key::volumes(&[volume]),
            describe(volume),
            plain(key),
            view.join_words(&[volume])
        ),
        evidence,
        missing: match confidence {
            Confidence::Observed => Vec::new(),
            Confidence::Inferred => {
                vec![
                    "the cluster's CreateCluster or AssociateEncryptionConfig: not in the archive".to_owned(),
                ]
            }
        },
        remediation: remedy::dedicated_key(node),
        ..RULE.finding(
            Subject::node(view),
            confidence.max(volume.confidence),
            match volume.outcome {
                VolumeOutcome::Used => {
                    format!("Volumes under {}, the secrets key of {cluster}", key_name(key))
                }
                VolumeOutcome::Denied | VolumeOutcome::Failed => {
                    format!("Volumes asked for {}, the secrets key of {cluster}", key_name(key))
                }
            },
        )
    })
}

fn describe(volume: &Volume) -> &'static str {
    match volume.outcome {
        VolumeOutcome::Used => "is under",
        VolumeOutcome::Denied | VolumeOutcome::Failed => "asked for and was refused",
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::correlate::Confidence;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{KEY, Log, NO_RESOURCE_POLICY, OTHER_KEY, finding, is_undetermined, of_node};

    fn cluster(log: &mut Log, name: &str, key: &str) {
        let rest = format!(
            r#""requestParameters":{{"name":"{name}","version":"1.31","encryptionConfig":[{{"resources":["secrets"],"provider":{{"keyArn":"{key}"}}}}]}},"responseElements":{{"cluster":{{"name":"{name}"}}}}"#
        );
        log.by_terraform("06:00:00", ("eks", "CreateCluster"), &rest);
    }

    #[test]
    fn fires_whether_the_launch_works_or_is_refused() {
        let mut log = Log::new();
        cluster(&mut log, "demo", KEY);
        let made = log.last_id();
        log.template(KEY).healthy("a", "10:00:00", KEY).launch("b", "10:01:00");
        log.denied("b", "10:01:02", "CreateGrant", KEY, NO_RESOURCE_POLICY);
        for (letter, words, title) in
            [("a", "is under", "Volumes under"), ("b", "asked for and was refused", "Volumes asked for")]
        {
            let finding = finding(of_node(&RULE, &log.case(), letter));
            assert_eq!(finding.confidence, Confidence::Observed);
            assert!(finding.explanation.contains(words), "{}", finding.explanation);
            assert!(finding.title.starts_with(title), "{}", finding.title);
            assert!(finding.evidence.contains(&made));
            assert!(finding.remediation.expect("a remedy").documents[0].body.contains("aws_kms_alias"));
        }
    }

    #[test]
    fn fires_as_inferred_by_the_alias_of_the_terraform_module() {
        let mut log = Log::new();
        log.alias("06:00:00", "CreateAlias", "alias/eks/demo", KEY)
            .template(KEY)
            .healthy("a", "10:00:00", KEY);
        assert_eq!(finding(of_node(&RULE, &log.case(), "a")).confidence, Confidence::Inferred);
    }

    #[test]
    fn silent_for_the_secrets_key_of_another_cluster_and_for_another_key() {
        let mut log = Log::new();
        cluster(&mut log, "other", KEY);
        cluster(&mut log, "demo", OTHER_KEY);
        log.template(KEY).healthy("a", "10:00:00", KEY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_without_kms_events_of_the_launch() {
        let mut log = Log::new();
        cluster(&mut log, "demo", KEY);
        log.template(KEY).launch("a", "10:00:00");
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
