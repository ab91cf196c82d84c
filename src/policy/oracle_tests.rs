//! Decisions compared with those of an independent evaluator, on generated policies and requests.
//!
//! The evaluator knows no account delegation, so policies here name roles and everyone; it has one answer for
//! what is not known, so requests here carry every key that the policies ask for, or none. It takes `ArnEquals`
//! by the letter, where AWS lets it match as `ArnLike` does, so wildcards stand only under the latter.

use iam_rs::{Arn, Context, Decision as OracleDecision, IAMPolicy, IAMRequest, Principal, PrincipalId};
use proptest::prelude::*;

use super::{Decision, Policy, Request, decide};

const ROLES: [&str; 2] =
    ["arn:aws:iam::111122223333:role/KarpenterControllerRole-demo", "arn:aws:iam::444455556666:role/other"];
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";

fn any_condition() -> impl Strategy<Value = String> {
    let text_operator = prop::sample::select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
        "StringEqualsIfExists",
        "StringLikeIfExists",
        "StringNotEqualsIfExists",
    ]);
    let text_key = prop::sample::select(vec!["kms:ViaService", "kms:CallerAccount", "aws:PrincipalAccount"]);
    let text_value = prop::sample::select(vec![
        r#""ec2.us-east-1.amazonaws.com""#,
        r#""EC2.us-east-1.amazonaws.com""#,
        r#""ec2.*.amazonaws.com""#,
        r#"["111122223333","s3.us-east-1.amazonaws.com"]"#,
        r#""4444????6666""#,
        r#""*""#,
    ]);
    let arn_condition = prop::sample::select(vec![
        r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}"#,
        r#""ArnLikeIfExists":{"aws:PrincipalArn":"arn:aws:iam::*:role/other"}"#,
        r#""ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/Karpenter*"}"#,
        r#""ArnEquals":{"aws:PrincipalArn":["arn:aws:iam::444455556666:role/other","arn:aws:iam::111122223333:user/x"]}"#,
        r#""ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/other"}"#,
    ]);
    let truth = prop::sample::select(vec![r#""true""#, r#""false""#]);
    prop_oneof![
        3 => (text_operator, text_key, text_value)
            .prop_map(|(operator, key, value)| format!(r#""{operator}":{{"{key}":{value}}}"#)),
        1 => arn_condition.prop_map(str::to_owned),
        1 => (prop::sample::select(vec!["Bool", "BoolIfExists", "Null"]), truth.clone())
            .prop_map(|(operator, value)| format!(r#""{operator}":{{"kms:GrantIsForAWSResource":{value}}}"#)),
        1 => truth.prop_map(|value| format!(r#""Null":{{"kms:ViaService":{value}}}"#)),
        1 => Just(String::new()),
    ]
}

fn any_statement() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        r#""*""#.to_owned(),
        format!(r#"{{"AWS":"{}"}}"#, ROLES[0]),
        format!(r#"{{"AWS":["{}","{}"]}}"#, ROLES[0], ROLES[1]),
        r#"{"AWS":"*"}"#.to_owned(),
        r#"{"Service":"ec2.amazonaws.com"}"#.to_owned(),
    ]);
    let action = prop::sample::select(vec![
        r#""Action":"kms:*""#,
        r#""Action":"kms:CreateGrant""#,
        r#""Action":["kms:ReEncrypt*","kms:Decrypt"]"#,
        r#""Action":"kms:?ecrypt""#,
        r#""NotAction":["kms:Decrypt","kms:Create*"]"#,
    ]);
    let resource = prop::sample::select(vec![
        r#""*""#.to_owned(),
        format!("\"{KEY}\""),
        r#""arn:aws:kms:us-east-1:111122223333:key/*""#.to_owned(),
        r#""arn:aws:kms:us-east-1:444455556666:key/*""#.to_owned(),
    ]);
    (prop::sample::select(vec!["Allow", "Allow", "Deny"]), principal, action, resource, any_condition()).prop_map(
        |(effect, principal, action, resource, condition)| {
            format!(
                r#"{{"Effect":"{effect}","Principal":{principal},{action},"Resource":{resource},"Condition":{{{condition}}}}}"#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decisions_agree_with_an_independent_evaluator(
        statements in prop::collection::vec(any_statement(), 1..5),
        role in 0..2usize,
        action in prop::sample::select(vec!["kms:CreateGrant", "kms:Decrypt", "kms:ReEncryptFrom", "kms:Encrypt"]),
        via_service in prop::sample::select(vec![
            None, Some("ec2.us-east-1.amazonaws.com"), Some("s3.us-east-1.amazonaws.com"),
        ]),
        grant_is_for_aws_resource in prop::sample::select(vec![None, Some(true), Some(false)]),
    ) {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        let principal_account = ROLES[role].split(':').nth(4).unwrap();
        let request = Request {
            principal_arn: ROLES[role],
            session_name: None,
            principal_account,
            action,
            key_arn: KEY,
            via_service,
            grant_is_for_aws_resource,
        };
        let ours = match decide(&Policy::parse(&text).unwrap(), &request) {
            Decision::Allowed { .. } => OracleDecision::Allow,
            Decision::ExplicitDeny { .. } => OracleDecision::Deny,
            Decision::NotAllowed => OracleDecision::NotApplicable,
            other => panic!("{other:?} for {text}"),
        };

        let mut context = Context::new()
            .with_string("kms:CallerAccount", principal_account)
            .with_string("aws:PrincipalAccount", principal_account)
            .with_string("aws:PrincipalArn", ROLES[role]);
        if let Some(service) = via_service {
            context = context.with_string("kms:ViaService", service);
        }
        if let Some(truth) = grant_is_for_aws_resource {
            context = context.with_boolean("kms:GrantIsForAWSResource", truth);
        }
        let caller = Principal::Aws(PrincipalId::String(ROLES[role].to_owned()));
        let oracle_request = IAMRequest::new_with_context(caller, action, Arn::parse(KEY).unwrap(), context);
        let oracle_policy: IAMPolicy = serde_json::from_str(&text).unwrap();
        let theirs = iam_rs::evaluate_policy(&oracle_policy, &oracle_request).unwrap();
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}
