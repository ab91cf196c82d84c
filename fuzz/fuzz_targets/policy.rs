//! One or two key policies, a zero byte between them -> `Policy::parse`, decisions and comparisons.
//!
//! Whatever the texts are, nothing panics; a policy equals itself; no control character of a policy reaches a line
//! that is printed; a statement that denies everything to everyone leaves nothing allowed.

#![no_main]

use keytrail::policy::{Decision, Policy, Request, compare, decide};
use libfuzzer_sys::fuzz_target;

const REQUEST: Request<'_> = Request {
    principal_arn: "arn:aws:iam::111122223333:role/KarpenterController",
    session_name: Some("1772445600000000000"),
    principal_account: "111122223333",
    action: "kms:CreateGrant",
    key_arn: "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555",
    via_service: Some("ec2.us-east-1.amazonaws.com"),
    grant_is_for_aws_resource: Some(true),
};

const DENY_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

fuzz_target!(|text: &str| {
    let (old, new) = text.split_once('\0').unwrap_or((text, DENY_ALL));
    let (old, new) = match (Policy::parse(old), Policy::parse(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return no_control(&error.to_string()),
    };
    assert!(compare(&old, &old).is_empty(), "a policy differs from itself");
    let difference = compare(&old, &new);
    difference.lines().iter().for_each(|line| no_control(line));
    for request in [
        REQUEST,
        Request { action: "kms:Decrypt", via_service: None, grant_is_for_aws_resource: None, ..REQUEST },
        Request { principal_account: "444455556666", session_name: None, ..REQUEST },
    ] {
        let decision = decide(&old, &request);
        if difference.is_empty() {
            let kind = std::mem::discriminant(&decision);
            assert_eq!(kind, std::mem::discriminant(&decide(&new, &request)), "equal policies decide alike");
        }
        if let Decision::CannotDecide { why } = &decision {
            no_control(why);
        }
        let mut denying = old.clone();
        denying.statements.extend(Policy::parse(DENY_ALL).expect("a policy").statements);
        assert!(
            matches!(decide(&denying, &request), Decision::ExplicitDeny { .. }),
            "allowed although everything is denied"
        );
    }
});

fn no_control(line: &str) {
    assert!(!line.chars().any(char::is_control), "{line:?}");
}
