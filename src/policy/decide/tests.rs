use proptest::prelude::*;

use super::{Decision, Request, decide};
use crate::policy::Policy;

const ROLE: &str = "arn:aws:iam::111122223333:role/karpenter/KarpenterControllerRole-demo";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";

fn request<'a>() -> Request<'a> {
    Request {
        principal_arn: ROLE,
        session_name: Some("1768825272022703283"),
        principal_account: "111122223333",
        action: "kms:CreateGrant",
        key_arn: KEY,
        via_service: Some("ec2.us-east-1.amazonaws.com"),
        grant_is_for_aws_resource: Some(true),
    }
}

/// The decision in a word: `allowed`, `delegated`, `denied`, `not allowed`, or why it cannot be decided.
fn word(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { .. } => "allowed".to_owned(),
        Decision::AllowedByRootDelegation { .. } => "delegated".to_owned(),
        Decision::ExplicitDeny { .. } => "denied".to_owned(),
        Decision::NotAllowed => "not allowed".to_owned(),
        Decision::CannotDecide { why } => format!("cannot decide: {why}"),
    }
}

fn decided(statements: &str, request: &Request<'_>) -> String {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    word(&decide(&policy, request))
}

/// An allow of everything to the role under a condition.
fn under(condition: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{ROLE}"}},"Action":"kms:*","Resource":"*","Condition":{{{condition}}}}}"#
    )
}

#[test]
fn principals_mean_the_caller_as_aws_documents() {
    for (principal, allow, deny) in [
        // "The asterisk matches all identities in every account."
        (r#""*""#, "allowed", "denied"),
        (r#"{"AWS":"*"}"#, "allowed", "denied"),
        // "When you specify an AWS account as the principal, the account's IAM policies decide."
        (r#"{"AWS":"111122223333"}"#, "delegated", "denied"),
        (r#"{"AWS":"arn:aws:iam::111122223333:root"}"#, "delegated", "denied"),
        (r#"{"AWS":"444455556666"}"#, "not allowed", "not allowed"),
        (
            r#"{"AWS":"arn:aws:iam::111122223333:role/karpenter/KarpenterControllerRole-demo"}"#,
            "allowed",
            "denied",
        ),
        (
            r#"{"AWS":["444455556666","arn:aws:iam::111122223333:role/karpenter/KarpenterControllerRole-demo"]}"#,
            "allowed",
            "denied",
        ),
        // The path is part of the ARN.
        (
            r#"{"AWS":"arn:aws:iam::111122223333:role/KarpenterControllerRole-demo"}"#,
            "not allowed",
            "not allowed",
        ),
        (
            r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283"}"#,
            "allowed",
            "denied",
        ),
        (
            r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/other"}"#,
            "not allowed",
            "not allowed",
        ),
        // "You cannot use a wildcard to match part of a principal name or ARN."
        (r#"{"AWS":"arn:aws:iam::111122223333:role/*"}"#, "not allowed", "not allowed"),
        // What remains of a deleted role means no role of the same name.
        (r#"{"AWS":"AROADBQP57FF2AEXAMPLE"}"#, "not allowed", "not allowed"),
        (
            r#"{"AWS":"arn:aws:iam::111122223333:user/KarpenterControllerRole-demo"}"#,
            "not allowed",
            "not allowed",
        ),
        (r#"{"Service":"ec2.amazonaws.com"}"#, "not allowed", "not allowed"),
        (
            r#"{"Federated":"arn:aws:iam::111122223333:oidc-provider/example.com"}"#,
            "not allowed",
            "not allowed",
        ),
        (r#"{"Service":"ec2.amazonaws.com","AWS":"111122223333"}"#, "delegated", "denied"),
    ] {
        let allow_it = format!(
            r#"{{"Effect":"Allow","Principal":{principal},"Action":"kms:CreateGrant","Resource":"*"}}"#
        );
        assert_eq!(decided(&allow_it, &request()), allow, "{principal}");
        let deny_it = format!(
            r#"{{"Effect":"Deny","Principal":{principal},"Action":"kms:CreateGrant","Resource":"*"}},
               {{"Effect":"Allow","Principal":"*","Action":"kms:CreateGrant","Resource":"*"}}"#
        );
        let expected = if deny == "denied" { "denied" } else { "allowed" };
        assert_eq!(decided(&deny_it, &request()), expected, "deny to {principal}");
    }
}

#[test]
fn a_session_without_its_role_is_matched_by_role_name() {
    let session = Request {
        principal_arn: "arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283",
        ..request()
    };
    let named =
        format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{ROLE}"}},"Action":"kms:*","Resource":"*"}}"#);
    assert_eq!(decided(&named, &session), "allowed");
    let by_condition = under(r#""ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/x"}"#);
    assert!(decided(&by_condition, &session).contains("aws:PrincipalArn"));

    let one_session = r#"{"Effect":"Allow","Principal":{"AWS":
        "arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/one"},"Action":"kms:*","Resource":"*"}"#;
    let unknown = Request { session_name: None, ..request() };
    assert!(
        decided(one_session, &unknown)
            .starts_with("cannot decide: statement 1: the statement names the session")
    );
}

#[test]
fn not_principal_excepts_only_a_full_list() {
    let session = "arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283";
    let deny = |excepted: &str| {
        format!(
            r#"{{"Effect":"Deny","NotPrincipal":{{"AWS":[{excepted}]}},"Action":"kms:*","Resource":"*"}},
               {{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#
        )
    };
    assert_eq!(decided(&deny(r#""444455556666""#), &request()), "denied");
    assert_eq!(decided(&deny(&format!(r#""111122223333","{ROLE}","{session}""#)), &request()), "allowed");
    for partial in
        [format!(r#""{ROLE}""#), r#""111122223333""#.to_owned(), format!(r#""{ROLE}","{session}""#)]
    {
        assert!(decided(&deny(&partial), &request()).contains("NotPrincipal"), "{partial}");
    }
}

#[test]
fn actions_and_resources_select() {
    for (elements, expected) in [
        (r#""Action":"kms:creategrant","Resource":"*""#, "allowed"),
        (r#""Action":["kms:Decrypt","KMS:Create*"],"Resource":"*""#, "allowed"),
        (r#""Action":"*","Resource":"*""#, "allowed"),
        (r#""Action":"kms:Create?","Resource":"*""#, "not allowed"),
        (r#""NotAction":"kms:Decrypt","Resource":"*""#, "allowed"),
        (r#""NotAction":["kms:Decrypt","kms:*Grant"],"Resource":"*""#, "not allowed"),
        (
            r#""Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555""#,
            "allowed",
        ),
        (r#""Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:key/*""#, "allowed"),
        (r#""Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:alias/ebs""#, "not allowed"),
        (r#""Action":"kms:*","NotResource":"*""#, "not allowed"),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{ROLE}"}},{elements}}}"#);
        assert_eq!(decided(&statement, &request()), expected, "{elements}");
    }
}

#[test]
fn conditions_hold_or_fail_on_what_the_call_carries() {
    for (condition, expected) in [
        (r#""StringEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}"#, "allowed"),
        (
            r#""StringEquals":{"KMS:viaservice":["s3.us-east-1.amazonaws.com","ec2.us-east-1.amazonaws.com"]}"#,
            "allowed",
        ),
        (r#""StringEquals":{"kms:ViaService":"EC2.us-east-1.amazonaws.com"}"#, "not allowed"),
        (r#""StringEquals":{"kms:ViaService":"ec2.*.amazonaws.com"}"#, "not allowed"),
        (r#""StringEqualsIgnoreCase":{"kms:ViaService":"EC2.us-east-1.amazonaws.com"}"#, "allowed"),
        (r#""StringLike":{"kms:ViaService":"ec2.*.amazonaws.com"}"#, "allowed"),
        (r#""StringNotLike":{"kms:ViaService":"ec2.*.amazonaws.com"}"#, "not allowed"),
        (r#""StringNotEquals":{"kms:ViaService":["a","b"]}"#, "allowed"),
        (r#""ForAnyValue:StringEquals":{"kms:ViaService":["a","ec2.us-east-1.amazonaws.com"]}"#, "allowed"),
        (r#""ForAllValues:StringEquals":{"kms:ViaService":"a"}"#, "not allowed"),
        (r#""StringEquals":{"kms:CallerAccount":"111122223333"}"#, "allowed"),
        (r#""StringEquals":{"aws:PrincipalAccount":"444455556666"}"#, "not allowed"),
        (r#""Bool":{"kms:GrantIsForAWSResource":"true"}"#, "allowed"),
        (r#""Bool":{"kms:GrantIsForAWSResource":true}"#, "allowed"),
        (r#""Bool":{"kms:GrantIsForAWSResource":"false"}"#, "not allowed"),
        (r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/karpenter/*"}"#, "allowed"),
        (r#""ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/karpenter/*"}"#, "allowed"),
        (r#""ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/karpenter/*"}"#, "not allowed"),
        (r#""StringEquals":{"aws:SourceAccount":"111122223333"}"#, "not allowed"),
        (r#""StringEqualsIfExists":{"aws:SourceAccount":"444455556666"}"#, "allowed"),
        (r#""Null":{"aws:SourceAccount":"true"}"#, "allowed"),
        (r#""Null":{"kms:ViaService":"true"}"#, "not allowed"),
        (r#""Null":{"kms:ViaService":false}"#, "allowed"),
        (
            r#""StringEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com","kms:CallerAccount":"444455556666"}"#,
            "not allowed",
        ),
        (
            r#""StringEquals":{"kms:CallerAccount":"111122223333"},"Bool":{"kms:GrantIsForAWSResource":"false"}"#,
            "not allowed",
        ),
    ] {
        assert_eq!(decided(&under(condition), &request()), expected, "{condition}");
    }
}

#[test]
fn a_key_that_the_call_does_not_carry_fails_a_condition_unless_it_says_if_exists() {
    let direct =
        Request { via_service: None, grant_is_for_aws_resource: None, action: "kms:Decrypt", ..request() };
    for (condition, expected) in [
        (r#""StringEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}"#, "not allowed"),
        (r#""StringEqualsIfExists":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}"#, "allowed"),
        (r#""StringNotEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}"#, "allowed"),
        (r#""ForAllValues:StringEquals":{"kms:ViaService":"x"}"#, "allowed"),
        (r#""ForAnyValue:StringEquals":{"kms:ViaService":"x"}"#, "not allowed"),
        (r#""ForAnyValue:StringNotEquals":{"kms:ViaService":"x"}"#, "not allowed"),
        (r#""Bool":{"kms:GrantIsForAWSResource":"true"}"#, "not allowed"),
        (r#""BoolIfExists":{"kms:GrantIsForAWSResource":"true"}"#, "allowed"),
        (r#""Null":{"kms:GrantIsForAWSResource":"true"}"#, "allowed"),
    ] {
        assert_eq!(decided(&under(condition), &direct), expected, "{condition}");
    }
}

#[test]
fn what_a_log_does_not_show_is_named_and_not_guessed() {
    for (condition, named) in [
        (
            r#""StringEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}"#,
            "aws:PrincipalOrgID is not in the archive",
        ),
        (r#""IpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#, "aws:SourceIp"),
        (
            r#""StringEquals":{"kms:EncryptionContext:aws:ebs:id":"vol-1"}"#,
            "kms:EncryptionContext:aws:ebs:id",
        ),
        (r#""NumericEquals":{"kms:CallerAccount":"111122223333"}"#, "the operator NumericEquals"),
        (r#""ForNoValue:StringEquals":{"kms:CallerAccount":"1"}"#, "the operator ForNoValue:StringEquals"),
        (r#""ForAnyValue:StringEqualsIfExists":{"aws:SourceAccount":"1"}"#, "aws:SourceAccount"),
        (r#""StringEquals":{"kms:CallerAccount":"${aws:PrincipalAccount}"}"#, "policy variable"),
    ] {
        let answer = decided(&under(condition), &request());
        assert!(answer.starts_with("cannot decide: statement 1: ") && answer.contains(named), "{answer}");
    }
    // What fails anyway needs no further knowledge.
    let fails = under(r#""StringEquals":{"aws:PrincipalOrgID":"o-x","kms:CallerAccount":"444455556666"}"#);
    assert_eq!(decided(&fails, &request()), "not allowed");
    // Before version 2012-10-17 `${` is text.
    let old = format!(r#"{{"Statement":{}}}"#, under(r#""StringLike":{"kms:CallerAccount":"${x}"}"#));
    assert_eq!(decide(&Policy::parse(&old).unwrap(), &request()), Decision::NotAllowed);
}

#[test]
fn a_deny_that_may_apply_leaves_nothing_certain_except_that_nothing_is_allowed() {
    let perhaps = r#"{"Sid":"org only","Effect":"Deny","Principal":"*","Action":"*","Resource":"*",
        "Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}}}"#;
    let allow = under(r#""StringEquals":{"kms:CallerAccount":"111122223333"}"#);
    assert_eq!(
        decided(&format!("{allow},{perhaps}"), &request()),
        "cannot decide: statement 2 \"org only\": aws:PrincipalOrgID is not in the archive"
    );
    assert_eq!(decided(perhaps, &request()), "not allowed");
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}"#;
    assert_eq!(decided(&format!("{allow},{perhaps},{deny}"), &request()), "denied");
}

#[test]
fn a_name_counts_more_than_the_account() {
    let root = r#"{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}"#;
    let named = under("");
    assert_eq!(decided(&format!("{root},{named}"), &request()), "allowed");
    let unsure = under(r#""StringEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}"#);
    assert_eq!(decided(&format!("{unsure},{root}"), &request()), "delegated");
}

#[test]
fn the_policy_of_the_aws_managed_key_allows_the_account_through_ec2() {
    let managed = r#"{"Sid":"Allow access through EBS for all principals in the account that are authorized to use EBS",
        "Effect":"Allow","Principal":{"AWS":"*"},
        "Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:CreateGrant","kms:DescribeKey"],
        "Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333","kms:ViaService":"ec2.us-east-1.amazonaws.com"}}},
        {"Sid":"Allow direct access to key metadata to the account","Effect":"Allow",
        "Principal":{"AWS":"arn:aws:iam::111122223333:root"},
        "Action":["kms:Describe*","kms:Get*","kms:List*","kms:RevokeGrant"],"Resource":"*"}"#;
    assert_eq!(decided(managed, &request()), "allowed");
    let other = Request {
        principal_arn: "arn:aws:iam::444455556666:role/KarpenterControllerRole-demo",
        principal_account: "444455556666",
        ..request()
    };
    assert_eq!(decided(managed, &other), "not allowed");
    assert_eq!(decided(managed, &Request { via_service: None, ..request() }), "not allowed");
}

fn any_statement() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        r#""Principal":"*""#.to_owned(),
        r#""Principal":{"AWS":"111122223333"}"#.to_owned(),
        r#""Principal":{"AWS":"444455556666"}"#.to_owned(),
        format!(r#""Principal":{{"AWS":"{ROLE}"}}"#),
        format!(r#""NotPrincipal":{{"AWS":"{ROLE}"}}"#),
    ]);
    let action = prop::sample::select(vec![
        r#""Action":"kms:*""#,
        r#""Action":"kms:Decrypt""#,
        r#""Action":["kms:CreateGrant","kms:Decrypt"]"#,
        r#""NotAction":"kms:Decrypt""#,
    ]);
    let condition = prop::sample::select(vec![
        r#""Null":{"kms:ViaService":"true"}"#,
        r#""Bool":{"kms:GrantIsForAWSResource":"true"}"#,
        r#""StringNotEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}"#,
        r#""StringEqualsIfExists":{"aws:SourceAccount":"1"}"#,
        "",
    ]);
    (prop::sample::select(vec!["Allow", "Deny"]), principal, action, condition).prop_map(
        |(effect, principal, action, condition)| {
            format!(
                r#"{{"Effect":"{effect}",{principal},{action},"Resource":"*","Condition":{{{condition}}}}}"#
            )
        },
    )
}

/// How far a decision goes towards allowing.
fn rank(answer: &str) -> u8 {
    match answer {
        "denied" | "not allowed" => 0,
        "delegated" => 2,
        "allowed" => 3,
        _ => 1,
    }
}

proptest! {
    #[test]
    fn order_of_statements_does_not_matter(statements in prop::collection::vec(any_statement(), 0..6)) {
        let reversed: Vec<String> = statements.iter().rev().cloned().collect();
        let kind = |answer: String| answer.split(':').next().map(str::to_owned);
        prop_assert_eq!(
            kind(decided(&statements.join(","), &request())),
            kind(decided(&reversed.join(","), &request()))
        );
    }

    #[test]
    fn a_further_deny_never_allows_more_and_a_further_allow_never_less(
        statements in prop::collection::vec(any_statement(), 0..6),
        further in any_statement(),
    ) {
        let before = rank(&decided(&statements.join(","), &request()));
        let mut more = statements;
        let denies = further.contains("\"Deny\"");
        more.push(further);
        let after_answer = decided(&more.join(","), &request());
        let after = rank(&after_answer);
        if denies {
            prop_assert!(after <= before, "{} -> {}", before, after_answer);
        } else {
            // With an undecided deny about, an allow turns a certain no into a perhaps.
            prop_assert!(after >= before, "{} -> {}", before, after_answer);
        }
    }

    #[test]
    fn denying_everything_to_everyone_denies(statements in prop::collection::vec(any_statement(), 0..6)) {
        let mut more = statements;
        more.push(r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}"#.to_owned());
        prop_assert_eq!(decided(&more.join(","), &request()), "denied");
    }
}
