//! The words that findings share: names cut to what a reader needs, spans of time, lists that end.
//!
//! Text from a log comes in, one line of bounded length without control characters goes out. Ids that a reader
//! may have to look up (key ARNs, instance ids) are never shortened here.

use std::fmt::Display;

use crate::event::KeyArn;

/// Longest text taken over from a log, in characters.
const LOG_TEXT_CHARACTERS_MAX: usize = 1_024;

/// `text` on one line, cut where it is long.
pub(crate) fn plain(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len().min(LOG_TEXT_CHARACTERS_MAX) + 16);
    for letter in text.chars().take(LOG_TEXT_CHARACTERS_MAX) {
        if letter.is_control() {
            // As the outputs write such a character where they show a text of the log as it is.
            plain.push_str(&format!("\\u{{{:x}}}", u32::from(letter)));
        } else {
            plain.push(letter);
        }
    }
    if text.chars().nth(LOG_TEXT_CHARACTERS_MAX).is_some() {
        plain.push('…');
    }
    plain
}

/// Whether [`plain`] would leave `text` as it is, as nearly all texts are.
pub(crate) fn is_plain(text: &str) -> bool {
    text.len() <= LOG_TEXT_CHARACTERS_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The first `most` items, and how many more there are.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(most).map(|item| plain(&item.to_string())).collect();
    match items.count() {
        0 => match shown.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => shown.concat(),
        },
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Clauses that hold commas themselves: the first `most`, and how many more there are.
pub(crate) fn clauses(items: impl IntoIterator<Item = String>, most: usize) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(most).map(|item| plain(&item)).collect();
    match items.count() {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: usize, singular: &str) -> String {
    match (number, singular) {
        (1, _) => format!("1 {singular}"),
        (_, "launch") => format!("{number} launches"),
        (_, "alias") => format!("{number} aliases"),
        _ => format!("{number} {singular}s"),
    }
}

/// `1 node dies`, `2 nodes die`: the verb to go with [`count`].
pub(crate) fn verb<'a>(number: usize, singular: &'a str, plural: &'a str) -> &'a str {
    if number == 1 { singular } else { plural }
}

/// The name of a role or user, without account and path; anything else as it is.
pub(crate) fn principal_name(principal: &str) -> String {
    if !principal.starts_with("arn:") {
        return plain(principal);
    }
    let name = match principal.split_once(":assumed-role/") {
        Some((_, session)) => session.split_once('/').map_or(session, |(role, _)| role),
        None => principal.rsplit(['/', ':']).next().unwrap_or(principal),
    };
    plain(name)
}

/// `key 1111…` for a title: the whole key id, without account, and without region but for a multi-Region key,
/// whose replicas have the same id.
pub(crate) fn key_name(arn: &str) -> String {
    match KeyArn::parse(arn) {
        Some(key) => match key.key_id() {
            Some(id) if id.starts_with("mrk-") => format!("key {} in {}", plain(id), plain(key.region)),
            Some(id) => format!("key {}", plain(id)),
            None => plain(key.resource),
        },
        None => format!("key {}", plain(arn)),
    }
}

/// `45 s`, `12 min`, `3 h 20 min`, `12 days`.
pub(crate) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => match seconds % 3_600 / 60 {
            0 => format!("{} h", seconds / 3_600),
            minutes => format!("{} h {minutes} min", seconds / 3_600),
        },
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{clauses, count, key_name, list, plain, principal_name, span};

    #[test]
    fn text_from_a_log_stays_on_one_short_line() {
        assert_eq!(plain("a\nb\u{1b}c"), r"a\u{a}b\u{1b}c");
        assert_eq!(plain(&"x".repeat(2_000)).chars().count(), 1_025);
    }

    #[test]
    fn lists_end() {
        assert_eq!(list(["a"], 3), "a");
        assert_eq!(list(["a", "b", "c"], 3), "a, b and c");
        assert_eq!(list(["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(clauses(["a, b".to_owned(), "c".to_owned(), "d".to_owned()], 2), "a, b; c; and 1 more");
        assert_eq!(count(1, "launch"), "1 launch");
        assert_eq!(count(2, "launch"), "2 launches");
    }

    #[test]
    fn names_without_their_account() {
        for (principal, name) in [
            (
                "arn:aws:iam::111122223333:role/path/KarpenterControllerRole-demo",
                "KarpenterControllerRole-demo",
            ),
            ("arn:aws:sts::111122223333:assumed-role/Role/1768825272022703283", "Role"),
            ("ec2.amazonaws.com", "ec2.amazonaws.com"),
        ] {
            assert_eq!(principal_name(principal), name);
        }
        assert_eq!(
            key_name("arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd"),
            "key mrk-1234abcd in us-east-1"
        );
        assert_eq!(key_name("arn:aws:kms:us-east-1:111122223333:alias/ebs"), "alias/ebs");
    }

    #[test]
    fn spans_in_the_unit_that_fits() {
        for (seconds, text) in [
            (-1, "0 s"),
            (45, "45 s"),
            (900, "15 min"),
            (12_000, "3 h 20 min"),
            (7_200, "2 h"),
            (864_000, "10 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
