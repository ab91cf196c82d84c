use proptest::prelude::*;

use super::{PolicyDifference, compare};
use crate::policy::Policy;

const ROOT: &str = r#"{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}"#;
const USE: &str = r#"{"Sid":"Allow use of the key","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/karpenter","arn:aws:iam::111122223333:role/backup"]},"Action":["kms:Decrypt","kms:GenerateDataKey*","kms:DescribeKey"],"Resource":"*"}"#;
const GRANT: &str = r#"{"Sid":"Allow grants","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/karpenter"},"Action":"kms:CreateGrant","Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"}}}"#;

fn policy(statements: &[&str]) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    Policy::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn lines(old: &[&str], new: &[&str]) -> Vec<String> {
    compare(&policy(old), &policy(new)).lines()
}

#[test]
fn a_lost_statement_says_who_may_no_longer_do_what() {
    assert_eq!(
        lines(&[ROOT, USE, GRANT], &[ROOT, USE]),
        [
            "statement 3 \"Allow grants\" is gone",
            "arn:aws:iam::111122223333:role/karpenter may no longer kms:CreateGrant, if kms:GrantIsForAWSResource \
             Bool true (statement 3 \"Allow grants\")",
        ]
    );
    assert_eq!(
        lines(&[ROOT, USE], &[ROOT, USE, GRANT]),
        [
            "statement 3 \"Allow grants\" is new",
            "arn:aws:iam::111122223333:role/karpenter may now kms:CreateGrant, if kms:GrantIsForAWSResource \
             Bool true (statement 3 \"Allow grants\")",
        ]
    );
}

#[test]
fn a_changed_statement_is_told_principal_by_principal_and_action_by_action() {
    let without_role = USE.replace(r#""arn:aws:iam::111122223333:role/karpenter","#, "");
    assert_eq!(
        lines(&[ROOT, USE], &[ROOT, &without_role]),
        [
            "statement 2 \"Allow use of the key\" changed",
            "arn:aws:iam::111122223333:role/karpenter may no longer kms:Decrypt, kms:DescribeKey, \
             kms:GenerateDataKey* (statement 2 \"Allow use of the key\")",
        ]
    );
    let narrower = USE.replace("kms:GenerateDataKey*", "kms:GenerateDataKey");
    // The narrower action was allowed before too: it is not won.
    assert_eq!(
        lines(&[USE], &[&narrower]),
        [
            "statement 1 \"Allow use of the key\" changed",
            "arn:aws:iam::111122223333:role/backup may no longer kms:GenerateDataKey* (statement 1 \"Allow use of the \
             key\")",
            "arn:aws:iam::111122223333:role/karpenter may no longer kms:GenerateDataKey* (statement 1 \"Allow use of \
             the key\")",
        ]
    );
}

#[test]
fn order_case_names_and_one_or_many_make_no_difference() {
    let shuffled = r#"{"Sid":"renamed","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/backup","arn:aws:iam::111122223333:role/karpenter"]},"Action":["KMS:describekey","kms:GenerateDataKey*","kms:Decrypt"],"Resource":["*"]}"#;
    let root = ROOT.replace("arn:aws:iam::111122223333:root", "111122223333");
    let grant = GRANT.replace("\"true\"", "true");
    let difference = compare(&policy(&[ROOT, USE, GRANT]), &policy(&[&grant, shuffled, &root]));
    assert!(difference.is_empty(), "{difference:#?}");
}

#[test]
fn a_permission_that_a_wider_one_still_covers_is_not_lost() {
    let wide = r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}"#;
    let difference = compare(&policy(&[USE, GRANT]), &policy(&[wide]));
    assert!(difference.lost.is_empty(), "{:#?}", difference.lines());
    // But what only the account's IAM policies may still allow is lost.
    let difference = compare(&policy(&[ROOT, GRANT]), &policy(&[ROOT]));
    assert_eq!(difference.lost.len(), 1);
    // Nor is a permission kept that now stands under another condition.
    let other = GRANT.replace("true", "false");
    let difference = compare(&policy(&[GRANT]), &policy(&[&other]));
    assert_eq!((difference.lost.len(), difference.won.len(), difference.statements_changed.len()), (1, 1, 1));
}

#[test]
fn a_new_deny_is_told() {
    let deny = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/admin"},"NotAction":["kms:Describe*"],"Resource":"*"}"#;
    assert_eq!(
        lines(&[ROOT], &[ROOT, deny]),
        [
            "statement 2 is new",
            "everyone but arn:aws:iam::111122223333:role/admin is now denied everything but kms:describe* (statement 2)",
        ]
    );
    assert!(lines(&[ROOT, deny], &[ROOT])[1].contains("is no longer denied"));
}

#[test]
fn a_policy_replaced_by_the_default_loses_everything_but_the_account() {
    let told = lines(&[ROOT, USE, GRANT], &[ROOT]);
    assert_eq!(told.iter().filter(|line| line.contains("is gone")).count(), 2, "{told:#?}");
    assert_eq!(
        told.iter().filter(|line| line.contains("role/karpenter may no longer")).count(),
        2,
        "{told:#?}"
    );
}

#[test]
fn huge_policies_are_compared_by_statement_only_and_in_time() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(|index| format!("{:?}", item(index))).collect::<Vec<_>>().join(",")
    };
    let principals = list(3_000, &|index| format!("{index:012}"));
    let actions = list(3_000, &|index| format!("k:*{index}"));
    let statement = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":[{principals}]}},"Action":[{actions}],"Resource":"*"}}"#
    );
    let difference = compare(&policy(&[&statement]), &policy(&[ROOT]));
    assert!(difference.is_too_large && difference.lost.is_empty());
    assert_eq!(difference.statements_changed.len() + difference.statements_lost.len(), 1);
    assert!(difference.lines().iter().any(|line| line.contains("too many")));

    // As large as is still compared: every action is a pattern, in every scope.
    let actions = list(500, &|index| format!("kms:*{index}*a"));
    let other_actions = list(500, &|index| format!("kms:*{index}*b"));
    let principals = list(40, &|index| format!("{index:012}"));
    let statement = |actions: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":[{principals}]}},"Action":[{actions}],"Resource":"*"}}"#
        )
    };
    let difference = compare(&policy(&[&statement(&actions)]), &policy(&[&statement(&other_actions)]));
    assert_eq!(difference.lost.len(), 40);
    assert!(difference.lines().len() <= 201 && difference.lines().iter().all(|line| line.len() < 2_000));
}

#[test]
fn hostile_names_cannot_steer_a_terminal() {
    let hostile = r#"{"Sid":"\u001b[31m\u202e","Effect":"Allow","Principal":{"AWS":"\u001b]0;x\u0007"},"Action":"kms:\n","Resource":"\u0000","Condition":{"\u001b":{"\u001b":"\u001b"}}}"#;
    for line in lines(&[ROOT], &[hostile]) {
        assert!(!line.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{line:?}");
    }
}

fn any_policy() -> impl Strategy<Value = Vec<String>> {
    let statement = (
        prop::sample::select(vec!["Allow", "Deny"]),
        prop::sample::select(vec![r#""*""#, r#"{"AWS":"111122223333"}"#, r#"{"AWS":["444455556666","111122223333"]}"#]),
        prop::sample::select(vec![r#""kms:*""#, r#""kms:Decrypt""#, r#"["kms:Decrypt","kms:CreateGrant"]"#]),
        prop::sample::select(vec!["", r#""Bool":{"kms:GrantIsForAWSResource":"true"}"#]),
    )
        .prop_map(|(effect, principal, action, condition)| {
            format!(r#"{{"Effect":"{effect}","Principal":{principal},"Action":{action},"Resource":"*","Condition":{{{condition}}}}}"#)
        });
    prop::collection::vec(statement, 0..5)
}

proptest! {
    #[test]
    fn comparing_is_symmetric_and_a_policy_equals_itself(old in any_policy(), new in any_policy()) {
        let read = |statements: &Vec<String>| policy(&statements.iter().map(String::as_str).collect::<Vec<_>>());
        let (old, new) = (read(&old), read(&new));
        prop_assert_eq!(compare(&old, &old), PolicyDifference::default());
        let (there, back) = (compare(&old, &new), compare(&new, &old));
        prop_assert_eq!(there.lost, back.won);
        prop_assert_eq!(there.won, back.lost);
        prop_assert_eq!(there.statements_lost.len(), back.statements_won.len());
    }
}
