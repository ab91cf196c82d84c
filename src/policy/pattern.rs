//! The wildcards of the policy language: `*` for any characters, `?` for one.
//!
//! A pattern and a text go in, whether they match comes out. Time is at most the product of both lengths.

/// Whether `text` matches `pattern`, letter by letter.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let letters = |text: &str| text.chars().collect::<Vec<_>>();
    run(&letters(pattern), &letters(text), '*', |wanted, letter| wanted == '?' || wanted == letter)
}

/// As [`matches()`], for ASCII letters of either case: action names.
pub(super) fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Whether everything that `narrow` matches is matched by `wide` too. May miss it in odd cases
/// (`a*?` and `a?*`), never claims it wrongly.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    run(wide.as_bytes(), narrow.as_bytes(), b'*', |wanted, letter| match wanted {
        b'?' => letter != b'*' && letter.is_ascii(),
        _ => wanted == letter,
    })
}

/// Whether `arn` matches `pattern` part by part: a wildcard does not reach over the first five colons.
pub(super) fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (mut wanted, mut parts) = (pattern.splitn(6, ':'), arn.splitn(6, ':'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if matches(wanted, part) => {}
            _ => return false,
        }
    }
}

/// The usual greedy search: on a mismatch, the last `*` takes one more letter.
fn run<T: Copy + PartialEq>(pattern: &[T], text: &[T], any: T, fits: impl Fn(T, T) -> bool) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(&wanted) if wanted == any => {
                star = Some((at, position));
                at += 1;
            }
            Some(&wanted) if fits(wanted, text[position]) => {
                at += 1;
                position += 1;
            }
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    at = *star_at + 1;
                    position = *taken;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == any)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{arn_matches, covers, matches, matches_ignoring_case};

    /// The definition, written down: exponential, for short texts only.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            (Some(('?', rest)), Some((_, text))) => defined(rest, text),
            (Some((wanted, rest)), Some((letter, text))) => wanted == letter && defined(rest, text),
            _ => false,
        }
    }

    #[test]
    fn actions_match_in_either_case() {
        assert!(matches_ignoring_case("KMS:reencrypt*", "kms:ReEncryptFrom"));
        assert!(matches_ignoring_case("kms:GenerateDataKey*", "kms:GenerateDataKeyWithoutPlaintext"));
        assert!(matches_ignoring_case("*", "kms:Decrypt"));
        assert!(!matches_ignoring_case("kms:Decrypt", "kms:Decrypts"));
        assert!(!matches_ignoring_case("kms:?", "kms:"));
    }

    #[test]
    fn wildcards_of_an_arn_stay_in_their_part() {
        let role = "arn:aws:iam::111122223333:role/team/karpenter";
        assert!(arn_matches("arn:aws:iam::111122223333:role/*", role));
        assert!(arn_matches("arn:*:iam::*:role/team/karpente?", role));
        assert!(arn_matches("*", role));
        assert!(!arn_matches("arn:aws:iam::*", role));
        assert!(!arn_matches("arn:*karpenter", role));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one_and_not_the_reverse() {
        for (wide, narrow) in
            [("kms:*", "kms:CreateGrant"), ("*", "kms:*"), ("kms:ReEncrypt*", "kms:ReEncryptT?")]
        {
            assert!(covers(wide, narrow), "{wide} {narrow}");
            assert!(!covers(narrow, wide), "{narrow} {wide}");
        }
        assert!(!covers("kms:?", "kms:*"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        assert!(!matches(&("*a".repeat(1_000) + "b"), &"a".repeat(4_000)));
    }

    proptest! {
        #[test]
        fn matching_is_the_definition(pattern in "[ab?*é]{0,7}", text in "[abé]{0,7}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), defined(&letters(&pattern), &letters(&text)));
        }

        #[test]
        fn covering_is_never_claimed_wrongly(wide in "[ab?*]{0,6}", narrow in "[ab?*]{0,6}", text in "[ab]{0,6}") {
            if covers(&wide, &narrow) && matches(&narrow, &text) {
                prop_assert!(matches(&wide, &text));
            }
        }
    }
}
