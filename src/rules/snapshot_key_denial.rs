//! ReEncrypt was refused: the AMI snapshot's key differs from the node's key, and one of them refuses.
//!
//! A node's refusals come in; a finding that says which of the two keys refused, and how to need only one, goes
//! out.

use super::finding::{Remediation, Severity};
use super::refusal::{self, Fit, Refusal, Wording};
use super::remediation::{self, Key};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::NodeView;
use super::wording::plain;
use crate::correlate::is_same_key;
use crate::event::{DenialKind, KmsOperation};

pub(super) static RULE: Rule = Rule {
    id: "KT107",
    name: "kms-reencrypt-denied",
    severity: Severity::Critical,
    summary: "ReEncrypt was refused: the AMI snapshot's key differs from the node's key, and one of them refuses.",
    docs: "\
## Concludes

The AMI's snapshot is encrypted under another key than the node's volume. EC2 takes the data key from under the first
(`kms:ReEncryptFrom`) and puts it under the second (`kms:ReEncryptTo`); one of the two keys refuses that to the launching role.

## Evidence required

A refused KMS event named `ReEncrypt`, or one whose message names `kms:ReEncryptFrom` or `kms:ReEncryptTo`, joined to the node,
and two different keys: the refused one and the one that the node should use or that another event of the launch names.

## What would disprove it

Both keys being the same: EC2 calls ReEncrypt then too, and a refusal is an ordinary missing permission (KT101, KT102).

## Blind spots

CloudTrail holds no owner and no key of an AMI, unless its copying is in the archive. Where the node's key refuses, the snapshot's key
is not named anywhere.

## References

- <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html>
- <https://docs.aws.amazon.com/kms/latest/APIReference/API_ReEncrypt.html>
- <https://github.com/aws/karpenter-provider-aws/issues/5690>
",
    evaluate: Evaluate::Node(evaluate),
};

fn is_re_encrypt(refusal: &Refusal<'_>) -> bool {
    let action = refusal.denial.action.unwrap_or_default();
    refusal.kms.operation == KmsOperation::ReEncrypt || action.starts_with("kms:ReEncrypt")
}

fn is_of_source(refusal: &Refusal<'_>) -> bool {
    refusal.denial.action == Some("kms:ReEncryptFrom")
}

/// Keys that the node should use, or that its launch used.
fn own_keys<'a>(view: &NodeView<'a>) -> Vec<&'a str> {
    let expected = view.node.expected_keys.iter().filter_map(|device| device.key.key_arn.as_deref());
    expected.chain(view.node.used_keys.iter().map(AsRef::as_ref)).collect()
}

fn fit(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Fit {
    let is_about_permission = !matches!(
        refusal.denial.kind,
        DenialKind::KeyDisabled
            | DenialKind::KeyPendingDeletion
            | DenialKind::KeyUnusable
            | DenialKind::KeyNotFound
    );
    if !is_re_encrypt(refusal) || !is_about_permission {
        return Fit::No;
    }
    let own = own_keys(view);
    let Some(key) = refusal.key_arn() else {
        return Fit::Unclear("which key refused: the message does not name it".to_owned());
    };
    let is_own = own.iter().any(|own| is_same_key(own, key));
    match (is_of_source(refusal), is_own) {
        // The snapshot is under the node's own key: nothing differs.
        (true, true) => Fit::No,
        (true, false) if own.is_empty() => {
            Fit::Unclear("the key that the node should use, to compare the snapshot's key with".to_owned())
        }
        (true, false) => Fit::Yes,
        (false, true) => Fit::Unclear(
            "the key of the AMI's snapshot: only the volume's key refused, and both may be the same"
                .to_owned(),
        ),
        (false, false) => Fit::Unclear("which of the two keys refused".to_owned()),
    }
}

fn evaluate(view: &NodeView<'_>) -> Verdict {
    refusal::judge(
        &RULE,
        view,
        |refusal| fit(view, refusal),
        |refusals| {
            let image = view.node.image_id.as_deref().map_or_else(|| "the AMI".to_owned(), plain);
            let source = refusals[0].key_arn().map_or_else(|| "another key".to_owned(), plain);
            let own = own_keys(view).first().map_or_else(|| "its own key".to_owned(), |key| plain(key));
            Wording {
                title: "the AMI's snapshot is under another key".into(),
                meaning: format!(
                    " The snapshot of {image} is under {source}, the node's volume is to be under {own}; EC2 has to \
                     re-encrypt, and the snapshot's key does not let the role do that."
                ),
            }
        },
        |refusals| refusals.first().and_then(|refusal| copy_or_allow(view, refusal)),
    )
}

/// Under the node's own key, an image needs no other; else the snapshot's key has to let the role in.
fn copy_or_allow(view: &NodeView<'_>, refusal: &Refusal<'_>) -> Option<Remediation> {
    let own = own_keys(view).first().and_then(|key| Key::new(key).ok());
    let image = view.node.image_id.as_deref();
    let copy = own.zip(image).and_then(|(key, image)| remediation::copy_image(&key, image).ok());
    let allow = remedy::allow(refusal.principal(), refusal.key_arn(), false);
    match (copy, allow) {
        (Some(mut copy), Some(allow)) => {
            copy.summary = format!("{} Or: {}", copy.summary, allow.summary);
            copy.target = format!("{}; or {}", copy.target, allow.target);
            copy.documents.extend(allow.documents);
            Some(copy)
        }
        (copy, allow) => copy.or(allow),
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_RESOURCE_POLICY, ROLE, finding, is_undetermined, of_node,
    };

    fn refused(expected: &str, action: &str, key: &str) -> Verdict {
        let mut log = Log::new();
        log.template(expected).launch("a", "10:00:00");
        log.denied_as("a", "10:00:02", ("ReEncrypt", action), key, NO_RESOURCE_POLICY, ROLE);
        of_node(&RULE, &log.case(), "a")
    }

    #[test]
    fn fires_when_the_snapshots_key_refuses() {
        let finding = finding(refused(KEY, "kms:ReEncryptFrom", FOREIGN_KEY));
        assert!(finding.title.ends_with("the AMI's snapshot is under another key"));
        for words in [FOREIGN_KEY, KEY, "ami-0aaaaaaaaaaaaaaaa"] {
            assert!(finding.explanation.contains(words), "{}", finding.explanation);
        }
        let remedy = finding.remediation.expect("a remedy");
        assert!(remedy.documents[0].body.contains("copy-image"), "{}", remedy.documents[0].body);
        assert!(remedy.target.contains("444455556666"));
    }

    #[test]
    fn silent_when_the_snapshot_is_under_the_nodes_own_key() {
        assert_eq!(refused(KEY, "kms:ReEncryptFrom", KEY), Verdict::Silent);
    }

    #[test]
    fn silent_when_the_data_key_was_refused() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        log.denied("a", "10:00:02", "GenerateDataKeyWithoutPlaintext", KEY, NO_RESOURCE_POLICY);
        assert_eq!(of_node(&RULE, &log.case(), "a"), Verdict::Silent);
    }

    #[test]
    fn undetermined_when_only_the_nodes_key_refused() {
        assert!(is_undetermined(&refused(KEY, "kms:ReEncryptTo", KEY)));
    }

    #[test]
    fn undetermined_without_a_key_to_compare_with() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        let call = ("ReEncrypt", "kms:ReEncryptFrom");
        log.denied_as("a", "10:00:02", call, FOREIGN_KEY, NO_RESOURCE_POLICY, ROLE);
        assert!(is_undetermined(&of_node(&RULE, &log.case(), "a")));
    }
}
