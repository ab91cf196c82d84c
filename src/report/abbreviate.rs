//! Short forms of long ids, for tables and sentences: a key's first eight digits, a role's name.
//!
//! Ids as logged come in, text of a few characters goes out. A short form is for reading only: nothing is
//! ever compared or joined by one.

use std::borrow::Cow;

use crate::event::KeyArn;

/// Characters of an id that are shown before the ellipsis.
const ID_CHARACTERS_SHOWN: usize = 8;

/// The short form of a key as written in a log or a configuration: `11111111…` for a key id or ARN,
/// `mrk-1234abcd…` for a multi-Region key, the alias's name for an alias or its ARN.
#[must_use]
pub fn short_key(written: &str) -> String {
    let resource = KeyArn::parse(written).map_or(written, |arn| arn.resource);
    if resource.starts_with("alias/") {
        return resource.to_owned();
    }
    let id = resource.strip_prefix("key/").unwrap_or(resource);
    match id.strip_prefix("mrk-") {
        Some(digits) => format!("mrk-{}", shortened(digits)),
        None => shortened(id),
    }
}

/// The short form of a key for a sentence: of a multi-Region key with its region, since its replicas have the
/// same id and are keys of their own.
#[must_use]
pub fn named_key(written: &str) -> String {
    let short = short_key(written);
    match KeyArn::parse(written) {
        Some(arn) if short.starts_with("mrk-") => format!("{short} in {}", arn.region),
        _ => short,
    }
}

/// Short forms of two keys that differ, such that the short forms differ too: by region for the replicas
/// of a multi-Region key, else by the end of the id.
#[must_use]
pub fn short_keys_apart(one: &str, other: &str) -> (String, String) {
    let (short_one, short_other) = (short_key(one), short_key(other));
    if one == other || short_one != short_other {
        return (short_one, short_other);
    }
    match (KeyArn::parse(one), KeyArn::parse(other)) {
        (Some(arn_one), Some(arn_other)) if arn_one.region != arn_other.region => {
            (format!("{}/{short_one}", arn_one.region), format!("{}/{short_other}", arn_other.region))
        }
        (Some(arn_one), Some(arn_other)) if arn_one.account_id != arn_other.account_id => {
            (format!("{}/{short_one}", arn_one.account_id), format!("{}/{short_other}", arn_other.account_id))
        }
        _ => (tail(one), tail(other)),
    }
}

/// The name at the end of a principal: `KarpenterControllerRole-demo` for a role's ARN,
/// `ec2.amazonaws.com` for a service.
#[must_use]
pub fn short_principal(principal: &str) -> &str {
    if principal.starts_with("arn:") {
        // A session's ARN ends in the session's name, which says nothing; the role's name stands before it.
        if let Some((_, role_and_session)) = principal.split_once(":assumed-role/") {
            return role_and_session.rsplit_once('/').map_or(role_and_session, |(role, _)| role);
        }
        return principal.rsplit(['/', ':']).next().unwrap_or(principal);
    }
    principal
}

/// An EC2 id such as an instance's, cut after its first digits: `i-0aaaaaaa…`.
#[must_use]
pub fn short_resource(id: &str) -> String {
    match id.split_once('-') {
        Some((kind, digits)) => format!("{kind}-{}", shortened(digits)),
        None => shortened(id),
    }
}

/// At most `characters_max` characters of a text, with an ellipsis where it was cut.
#[must_use]
pub fn limited(text: &str, characters_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn shortened(id: &str) -> String {
    limited(id, ID_CHARACTERS_SHOWN).into_owned()
}

fn tail(id: &str) -> String {
    match id.char_indices().rev().nth(ID_CHARACTERS_SHOWN - 1) {
        Some((start, _)) if start > 0 => format!("…{}", &id[start..]),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{limited, named_key, short_key, short_keys_apart, short_principal, short_resource};

    #[test]
    fn keys_are_cut_and_aliases_are_kept() {
        for (written, short) in [
            ("arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555", "11111111…"),
            ("11111111-2222-3333-4444-555555555555", "11111111…"),
            ("arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab", "mrk-1234abcd…"),
            ("alias/aws/ebs", "alias/aws/ebs"),
            ("arn:aws:kms:us-east-1:111122223333:alias/team/ebs", "alias/team/ebs"),
            ("", ""),
            ("ключ-длинный", "ключ-дли…"),
        ] {
            assert_eq!(short_key(written), short, "{written}");
        }
    }

    #[test]
    fn a_replica_of_a_key_is_named_with_its_region() {
        for (written, name) in [
            (
                "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
                "mrk-1234abcd… in eu-west-1",
            ),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", "mrk-1234abcd…"),
            ("arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555", "11111111…"),
            ("arn:aws:kms:us-east-1:111122223333:alias/mrk-team", "alias/mrk-team"),
        ] {
            assert_eq!(named_key(written), name, "{written}");
        }
    }

    #[test]
    fn different_keys_never_look_the_same() {
        let apart = |one: &str, other: &str| {
            short_keys_apart(&format!("arn:aws:kms:{one}"), &format!("arn:aws:kms:{other}"))
        };
        assert_eq!(
            apart("us-east-1:111122223333:key/mrk-1234abcd99", "us-west-2:111122223333:key/mrk-1234abcd99"),
            ("us-east-1/mrk-1234abcd…".to_owned(), "us-west-2/mrk-1234abcd…".to_owned())
        );
        assert_eq!(
            apart(
                "us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555",
                "us-east-1:111122223333:key/11111111-2222-3333-4444-666666666666"
            ),
            ("…55555555".to_owned(), "…66666666".to_owned())
        );
        assert_eq!(
            apart("us-east-1:111122223333:key/11111111-2", "us-east-1:111122223333:key/22222222-3"),
            ("11111111…".to_owned(), "22222222…".to_owned())
        );
    }

    #[test]
    fn principals_are_known_by_their_name() {
        for (principal, short) in [
            (
                "arn:aws:iam::111122223333:role/eks/KarpenterControllerRole-demo",
                "KarpenterControllerRole-demo",
            ),
            ("arn:aws:sts::111122223333:assumed-role/AdminRole/alice@example.com", "AdminRole"),
            ("arn:aws:iam::111122223333:user/alice", "alice"),
            ("arn:aws:iam::111122223333:root", "root"),
            ("ec2.amazonaws.com", "ec2.amazonaws.com"),
        ] {
            assert_eq!(short_principal(principal), short);
        }
    }

    #[test]
    fn other_texts_are_cut_between_characters() {
        assert_eq!(short_resource("i-0aaaaaaaaaaaaaaaa"), "i-0aaaaaaa…");
        assert_eq!(short_resource("i-0abc"), "i-0abc");
        assert_eq!(limited("äöü", 2), "äö…");
        assert_eq!(limited("äöü", 3), "äöü");
    }
}
