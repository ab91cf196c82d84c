use proptest::prelude::*;

use super::{Effect, POLICY_BYTES_MAX, Policy, PolicyError, Selection};
use crate::policy::{Principal, Principals};

const STATEMENT: &str =
    r#"{"Sid":"one","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}"#;

fn problem(text: &str) -> String {
    Policy::parse(text).expect_err("no policy").to_string()
}

#[test]
fn one_statement_or_a_list_is_read() {
    let one =
        Policy::parse(&format!(r#"{{"Version":"2012-10-17","Id":"x","Statement":{STATEMENT}}}"#)).unwrap();
    let list = Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{STATEMENT}]}}"#)).unwrap();
    assert_eq!(one, list);
    let statement = &one.statements[0];
    assert_eq!(statement.name.to_string(), "statement 1 \"one\"");
    assert_eq!(statement.effect, Effect::Allow);
    assert_eq!(statement.principals, Principals::Of(vec![Principal::Account("111122223333".to_owned())]));
    assert_eq!(statement.actions, Selection { is_negated: false, patterns: vec!["kms:*".to_owned()] });
    assert!(one.has_variables);
}

#[test]
fn the_answer_of_get_key_policy_is_unwrapped() {
    let bare = format!("{{\n  \"Statement\": [{STATEMENT}]\n}}");
    let wrapped = serde_json::json!({ "Policy": bare, "PolicyName": "default" }).to_string();
    assert_eq!(Policy::parse(&wrapped).unwrap(), Policy::parse(&bare).unwrap());
    assert!(problem(r#"{"Policy":"{\"Statement\":1}"}"#).starts_with("line 1, column 14 of the key policy"));
}

#[test]
fn what_aws_refuses_is_an_error_with_its_place() {
    for (text, place, words) in [
        ("", "line 1, column 0", "EOF"),
        ("{\"Statement\":[\n{\"Effect\":\"allow\"}]}", "line 2, column 17", "unknown variant `allow`"),
        ("{\"Statement\":[]} x", "line 1, column 18", "trailing characters"),
        ("[]", "line 1", "invalid"),
        ("{}", "line 1, column 2", "missing field `Statement`"),
        ("{\"Statement\":[\n\n{\"Action\":\"*\"}]}", "line 3", "missing field `Effect`"),
        (r#"{"Version":"2012-10-18","Statement":[]}"#, "line 1", "unknown variant `2012-10-18`"),
        (r#"{"Statement":[{"Effect":"Allow","Actions":"*"}]}"#, "line 1", "unknown field `Actions`"),
        (r#"{"Statement":[{"Effect":"Allow","Effect":"Deny"}]}"#, "line 1", "duplicate field"),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
            "line 1",
            "Principal or NotPrincipal",
        ),
        (r#"{"Statement":[{"Effect":"Allow","Principal":"x"}]}"#, "line 1", "object with AWS"),
        (r#"{"Statement":[{"Effect":"Allow","Principal":{"aws":"*"}}]}"#, "line 1", "unknown field `aws`"),
        (
            r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotAction":"*","Resource":"*"}]}"#,
            "line 1",
            "Action or NotAction",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"}]}"#,
            "line 1",
            "Resource or NotResource",
        ),
        (r#"{"Statement":[{"Effect":"Allow","Action":{}}]}"#, "line 1", "a text or a list of texts"),
        (r#"{"Statement":[{"Effect":"Allow","Action":[[]]}]}"#, "line 1", "a text"),
        (r#"{"Statement":[{"Effect":"Allow","Condition":{"Bool":"x"}}]}"#, "line 1", "condition keys"),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with(place) && problem.contains(words), "{text}: {problem}");
    }
}

#[test]
fn truth_values_and_numbers_are_texts_in_conditions() {
    let text = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*",
        "Condition":{"Bool":{"a":true},"NumericLessThan":{"b":[5,"6"]}}}}"#;
    let policy = Policy::parse(text).unwrap();
    let conditions = &policy.statements[0].conditions;
    assert_eq!(conditions[0].values, ["true"]);
    assert_eq!(conditions[1].values, ["5", "6"]);
}

#[test]
fn size_and_depth_are_bounded() {
    let large = " ".repeat(POLICY_BYTES_MAX + 1);
    assert!(
        matches!(Policy::parse(&large), Err(PolicyError::TooLarge { bytes, .. }) if bytes == large.len())
    );
    for open in ["[", "{\"Statement\":", "{\"Statement\":[{\"Condition\":", "{\"x\":"] {
        let deep = open.repeat(POLICY_BYTES_MAX / open.len());
        assert!(matches!(Policy::parse(&deep), Err(PolicyError::Malformed { .. })), "{open}");
    }
}

#[test]
fn an_error_quotes_nothing_that_steers_a_terminal() {
    let hostile = format!("{{\"Statement\":[{{\"\\u001b[31m{}\":1}}]}}", "x".repeat(1000));
    let problem = problem(&hostile);
    assert!(!problem.contains('\u{1b}') && problem.len() < 300, "{problem}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|[{}\\[\\]:,\"]|\"Statement\":|\"Effect\":\"Allow\"|\"AWS\"|true|1){0,40}") {
        let _ = Policy::parse(&text);
    }
}
