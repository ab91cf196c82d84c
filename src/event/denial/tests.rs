use proptest::prelude::*;

use super::{Denial, DenialKind, ExplicitDenyIn, is_key_state_failure, is_refusal, is_throttling};

const SESSION: &str =
    "arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";

fn refusal(tail: &str) -> String {
    format!("User: {SESSION} is not authorized to perform: kms:CreateGrant on resource: {KEY}{tail}")
}

#[test]
fn every_wording_names_its_policy() {
    use DenialKind::*;
    use ExplicitDenyIn::*;
    for (tail, kind) in [
        (" because no identity-based policy allows the kms:CreateGrant action", NoIdentityPolicy),
        (" because no resource-based policy allows the kms:CreateGrant action", NoResourcePolicy),
        (" because no permissions boundary allows the kms:CreateGrant action", NoPermissionsBoundary),
        (" because no session policy allows the kms:CreateGrant action", NoSessionPolicy),
        (" because no service control policy allows the kms:CreateGrant action", NoServiceControlPolicy),
        (" because no resource control policy allows the kms:CreateGrant action", NoResourceControlPolicy),
        (" because no VPC endpoint policy allows the kms:CreateGrant action", NoVpcEndpointPolicy),
        (" with an explicit deny in an identity-based policy", ExplicitDeny(IdentityPolicy)),
        (" with an explicit deny in a resource-based policy", ExplicitDeny(ResourcePolicy)),
        (" with an explicit deny in a service control policy", ExplicitDeny(ServiceControlPolicy)),
        (
            " with an explicit deny in a service control policy: \
             arn:aws:organizations::444455556666:policy/o-exampleorgid/service_control_policy/p-examplepol",
            ExplicitDeny(ServiceControlPolicy),
        ),
        (" with an explicit deny in a resource control policy", ExplicitDeny(ResourceControlPolicy)),
        (" with an explicit deny in a permissions boundary", ExplicitDeny(PermissionsBoundary)),
        (" with an explicit deny in a session policy", ExplicitDeny(SessionPolicy)),
        (" with an explicit deny in a VPC endpoint policy", ExplicitDeny(VpcEndpointPolicy)),
        (" with an explicit deny", ExplicitDeny(Unnamed)),
        (" with an explicit deny in a policy of a kind to come", ExplicitDeny(Unnamed)),
        (" because no policy of a kind to come allows the action", Unspecified),
        ("", Unspecified),
    ] {
        for end in ["", "."] {
            let message = refusal(tail) + end;
            let expected = Denial {
                principal: Some(SESSION),
                action: Some("kms:CreateGrant"),
                key_arn: Some(KEY),
                kind,
            };
            assert_eq!(Denial::parse("AccessDenied", &message), Some(expected.clone()), "{message}");
            assert_eq!(Denial::parse("Client.AccessDeniedException", &message), Some(expected), "{message}");
        }
    }
}

#[test]
fn the_resource_is_optional_and_may_be_an_alias_or_a_star() {
    let alias = "arn:aws-cn:kms:cn-north-1:111122223333:alias/team/ebs";
    let gov = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    for (on_resource, key_arn) in [
        ("".to_owned(), None),
        (" on resource: *".to_owned(), None),
        (" on this resource".to_owned(), None),
        (format!(" on resource: {alias}"), Some(alias)),
        (format!(" on resource: {gov}"), Some(gov)),
        (format!(" on resource: \"{gov}\","), Some(gov)),
        // Not a key: a refusal of another service must not pass for one on a key.
        (" on resource: arn:aws:ec2:us-west-2:111122223333:launch-template/*".to_owned(), None),
        (" on resource: arn:aws:kms:us-east-1:111122223333:key/\u{1b}[31mred".to_owned(), None),
    ] {
        let message = format!(
            "User: {SESSION} is not authorized to perform: kms:ReEncryptTo{on_resource} because no \
             identity-based policy allows the kms:ReEncryptTo action"
        );
        let denial = Denial::parse("AccessDenied", &message).expect("a refusal");
        assert_eq!(denial.key_arn, key_arn, "{message}");
        assert_eq!(denial.action, Some("kms:ReEncryptTo"), "{message}");
        assert_eq!(denial.kind, DenialKind::NoIdentityPolicy, "{message}");
    }
}

#[test]
fn ambiguous_answers_stay_ambiguous() {
    let across = format!(
        "User: {SESSION} is not authorized to perform: kms:GenerateDataKeyWithoutPlaintext on this resource \
         because the resource does not exist in this Region, no resource-based policies allow access, or a \
         resource-based policy explicitly denies access"
    );
    let denial = Denial::parse("AccessDenied", &across).expect("a refusal");
    assert_eq!(denial.kind, DenialKind::Ambiguous);
    assert_eq!(denial.principal, Some(SESSION));
    assert_eq!(denial.action, Some("kms:GenerateDataKeyWithoutPlaintext"));

    let ciphertext = "The ciphertext refers to a customer master key that does not exist, does not exist in \
                      this region, or you are not allowed to access.";
    for code in ["AccessDeniedException", "IncorrectKeyException"] {
        let expected = Denial { principal: None, action: None, key_arn: None, kind: DenialKind::Ambiguous };
        assert_eq!(Denial::parse(code, ciphertext), Some(expected), "{code}");
    }
    assert_eq!(Denial::parse("ThrottlingException", ciphertext), None);
}

#[test]
fn states_of_a_key_are_told_apart() {
    use DenialKind::*;
    let alias = "arn:aws:kms:us-east-1:111122223333:alias/ebs";
    for (code, message, key_arn, kind) in [
        ("DisabledException", format!("{KEY} is disabled."), Some(KEY), KeyDisabled),
        ("Client.Disabled", String::new(), None, KeyDisabled),
        ("KMSInvalidStateException", format!("{KEY} is disabled."), Some(KEY), KeyDisabled),
        ("KMSInvalidStateException", format!("{KEY} is pending deletion."), Some(KEY), KeyPendingDeletion),
        ("KMSInvalidState", format!("{KEY} is pending replica deletion."), Some(KEY), KeyPendingDeletion),
        ("KMSInvalidStateException", format!("{KEY} is pending import."), Some(KEY), KeyUnusable),
        ("KMSInvalidStateException", String::new(), None, KeyUnusable),
        ("KeyUnavailableException", String::new(), None, KeyUnusable),
        ("InvalidKeyUsageException", format!("{KEY} key usage is SIGN_VERIFY"), Some(KEY), KeyUnusable),
        ("NotFoundException", format!("Key '{KEY}' does not exist"), Some(KEY), KeyNotFound),
        ("NotFoundException", format!("Alias {alias} is not found."), Some(alias), KeyNotFound),
        ("NotFoundException", "Invalid keyId '1234'".to_owned(), None, KeyNotFound),
        ("ValidationException", "Invalid keyId 1234".to_owned(), None, KeyNotFound),
        ("NotFoundException", String::new(), None, KeyNotFound),
    ] {
        let expected = Denial { principal: None, action: None, key_arn, kind };
        assert_eq!(Denial::parse(code, &message), Some(expected), "{code} {message}");
        assert!(is_key_state_failure(code, &message), "{code} {message}");
        assert!(!is_refusal(code), "{code}");
    }
}

#[test]
fn other_failures_are_neither_refusals_nor_states() {
    for code in [
        "ThrottlingException",
        "Client.RequestLimitExceeded",
        "LimitExceededException",
        "KMSInternalException",
        "Server.DependencyTimeoutException",
        "DryRunOperationException",
        "Client.DryRunOperation",
        "InvalidGrantTokenException",
        "IncorrectKeyException",
        "Client.InsufficientInstanceCapacity",
        "",
    ] {
        for message in [String::new(), refusal(" because no identity-based policy allows the action")] {
            assert_eq!(Denial::parse(code, &message), None, "{code} {message}");
            assert!(!is_refusal(code) && !is_key_state_failure(code, &message), "{code}");
        }
    }
    let grant = "Grant with id 8c94d1f12f5e69f440bae30eaec9570bb1fb7358824f9ddfa1aa5a0dab1a59b2 not found";
    assert_eq!(Denial::parse("NotFoundException", grant), None);
    assert!(is_throttling("ThrottlingException") && is_throttling("Client.RequestLimitExceeded"));
    assert!(!is_throttling("LimitExceededException") && !is_throttling("AccessDenied"));
}

#[test]
fn a_refusal_without_a_message_is_unspecified() {
    for code in ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"] {
        for message in ["", "   ", "You are not authorized to perform this operation.", "User: is not"] {
            let denial = Denial::parse(code, message).expect("a refusal");
            assert_eq!((denial.principal, denial.action, denial.key_arn), (None, None, None));
            assert_eq!(denial.kind, DenialKind::Unspecified);
        }
    }
}

#[test]
fn a_refusal_of_ec2_is_read_behind_its_preamble() {
    let message = "You are not authorized to perform this operation. User: \
                   arn:aws:sts::111122223333:assumed-role/demo/1768825272022703283 is not authorized to perform: \
                   ec2:CreateFleet on resource: arn:aws:ec2:us-west-2:111122223333:launch-template/* because no \
                   identity-based policy allows the ec2:CreateFleet action. Encoded authorization failure message: T-kSWIRFn32";
    let denial = Denial::parse("Client.UnauthorizedOperation", message).expect("a refusal");
    assert_eq!(denial.principal, Some("arn:aws:sts::111122223333:assumed-role/demo/1768825272022703283"));
    assert_eq!(denial.action, Some("ec2:CreateFleet"));
    assert_eq!(denial.key_arn, None);
    assert_eq!(denial.kind, DenialKind::NoIdentityPolicy);
}

#[test]
fn a_cut_message_yields_nothing_that_is_not_whole() {
    let role = "r".repeat(400);
    let whole = format!(
        "User: arn:aws:sts::111122223333:assumed-role/{role}/1 is not authorized to perform: kms:CreateGrant on \
         resource: {KEY} because no resource-based policy allows the kms:CreateGrant action"
    );
    for length in 0..whole.len() {
        for mark in ["", "..."] {
            let cut = format!("{}{mark}", &whole[..length]);
            let denial = Denial::parse("AccessDenied", &cut).expect("a refusal");
            assert!(denial.key_arn.is_none_or(|arn| arn == KEY), "{cut}");
            if mark == "..." {
                assert!(denial.action.is_none_or(|action| action == "kms:CreateGrant"), "{cut}");
            }
            assert!(matches!(denial.kind, DenialKind::Unspecified | DenialKind::NoResourcePolicy), "{cut}");
        }
    }
    // `reso` may begin two kinds; `resource-` only one.
    let kind = |tail| Denial::parse("AccessDenied", &refusal(tail)).expect("a refusal").kind;
    assert_eq!(kind(" because no reso"), DenialKind::Unspecified);
    assert_eq!(kind(" because no resource-"), DenialKind::NoResourcePolicy);
    assert_eq!(kind(" with an explicit deny in a se..."), DenialKind::ExplicitDeny(ExplicitDenyIn::Unnamed));
    assert_eq!(
        kind(" with an explicit deny in a ser..."),
        DenialKind::ExplicitDeny(ExplicitDenyIn::ServiceControlPolicy)
    );
}

#[test]
fn names_in_the_message_cannot_fake_a_reason() {
    // Role names hold no spaces, but resource names of other services might.
    let message = format!(
        "User: because no session policy allows x is not authorized to perform: kms:Decrypt on resource: {KEY} \
         because no identity-based policy allows the kms:Decrypt action"
    );
    let denial = Denial::parse("AccessDenied", &message).expect("a refusal");
    assert_eq!(denial.kind, DenialKind::NoIdentityPolicy);
    assert_eq!(denial.principal, None);
}

#[test]
fn time_stays_linear_in_hostile_messages() {
    for unit in ["arn:", "User: ", " is not authorized to perform: ", " because no ", "arn:aws:kms:a:1:key/ "]
    {
        let message = unit.repeat(4_000_000 / unit.len());
        let _ = Denial::parse("AccessDenied", &message);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_parts_come_from_the_message(
        code in "(Client\\.)?(AccessDenied|KMSInvalidState|NotFound|Disabled|[a-zA-Z.]{0,12})(Exception)?",
        message in "(User: |\\PC| is not authorized to perform: |kms:|arn:aws:kms:|key/|…|\\.\\.\\.| because no |é){0,24}",
    ) {
        if let Some(denial) = Denial::parse(&code, &message) {
            for part in [denial.principal, denial.action, denial.key_arn].into_iter().flatten() {
                prop_assert!(message.contains(part) && part.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
