//! Whether a text is a key, or stands for one.

use super::KeyForm;
use crate::event::{KeyArn, is_key_id};

impl KeyForm {
    /// What a text is that stands where a key should be.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if is_placeholder(text) {
            Self::Placeholder
        } else if is_key(text) {
            Self::Key
        } else {
            Self::NotAKey
        }
    }
}

/// Whether something else is to fill in the text or a part of it. None of these characters may stand in a
/// name of Kubernetes, a key, an alias or an ARN of KMS.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.contains(['$', '{', '}', '<', '>', '%', '@'])
}

fn is_key(text: &str) -> bool {
    let text = text.trim();
    let is_alias_letter = |letter: char| letter.is_ascii_alphanumeric() || "/_-".contains(letter);
    let is_alias = |alias: &str| {
        alias.strip_prefix("alias/").is_some_and(|name| !name.is_empty() && name.chars().all(is_alias_letter))
    };
    let Some(arn) = KeyArn::parse(text) else {
        return is_key_id(text) || is_alias(text);
    };
    let is_account = arn.account_id.len() == 12 && arn.account_id.bytes().all(|digit| digit.is_ascii_digit());
    // `us-east-1`: a region has its number at the end, a word that stands for one has not.
    let is_region = arn.region.ends_with(|letter: char| letter.is_ascii_digit());
    is_account && is_region && (arn.key_id().is_some_and(is_key_id) || arn.alias().is_some_and(is_alias))
}

#[cfg(test)]
mod tests {
    use super::KeyForm;

    #[test]
    fn every_way_to_write_a_key_is_a_key() {
        for text in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "alias/karpenter-ebs",
            "alias/aws/ebs",
            "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws-cn:kms:cn-north-1:444455556666:alias/team/ebs",
        ] {
            assert_eq!(KeyForm::of(text), KeyForm::Key, "{text}");
        }
    }

    #[test]
    fn what_something_else_fills_in_is_a_placeholder() {
        for text in [
            "${KMS_KEY_ARN}",
            "$KMS_KEY_ARN",
            "{{ .Values.kmsKeyId }}",
            "<KEY_ID>",
            "arn:aws:kms:${AWS_REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-west-2:111122223333:alias/%{ENVIRONMENT}-ebs",
            "@@kms-key@@",
        ] {
            assert_eq!(KeyForm::of(text), KeyForm::Placeholder, "{text}");
        }
    }

    #[test]
    fn what_is_only_like_a_key_is_none() {
        for text in [
            "",
            "my-key",
            "alias/",
            "alias/two words",
            "1234abcd-12ab-34cd-56ef",
            "arn:aws:kms:us-west-2:ACCOUNT:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:REGION:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-west-2:111122223333:key/KEY_ID",
            "arn:aws:iam::111122223333:role/node",
        ] {
            assert_eq!(KeyForm::of(text), KeyForm::NotAKey, "{text}");
        }
    }
}
