use super::RULE;
use crate::correlate::Confidence;
use crate::rules::rule::Verdict;
use crate::rules::testing::{
    FOREIGN_KEY, KEY, Log, NO_IDENTITY_POLICY, NO_RESOURCE_POLICY, ROLE, finding, is_undetermined, of_key,
    policy_for,
};

const OTHER: &str = "arn:aws:iam::111122223333:role/Backup";

/// A log with a policy for `before`, then one for `after` half an hour before the first refusal.
fn changed(before: Option<&str>, after: &str) -> Log {
    let mut log = Log::new();
    if let Some(before) = before {
        log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(before));
    }
    log.template(KEY).policy("09:30:00", KEY, &policy_for(after));
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    log
}

#[test]
fn fires_when_the_statement_of_the_role_was_lost() {
    let finding = finding(of_key(&RULE, &changed(Some(ROLE), OTHER).case(), KEY));
    assert_eq!(finding.confidence, Confidence::Observed);
    assert_eq!(
        finding.title,
        "Policy of key 11111111-2222-3333-4444-555555555555 changed by Admin with Terraform, and \
         KarpenterControllerRole-demo lost kms:CreateGrant"
    );
    for words in ["session maria", "203.0.113.93", "30 min after that", "may no longer", "KarpenterNodes"] {
        assert!(finding.explanation.contains(words), "{words}: {}", finding.explanation);
    }
    assert!(finding.remediation.expect("a remedy").target.contains(KEY));
    assert_eq!(finding.evidence.len(), 3);
}

#[test]
fn fires_when_the_statement_of_the_role_gave_way_to_the_accounts() {
    let log = changed(Some(ROLE), "arn:aws:iam::111122223333:root");
    assert_eq!(finding(of_key(&RULE, &log.case(), KEY)).confidence, Confidence::Observed);
}

#[test]
fn fires_for_the_change_that_took_it_away_though_another_followed() {
    let mut log = changed(Some(ROLE), OTHER);
    log.policy("09:40:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Third"));
    let finding = finding(of_key(&RULE, &log.case(), KEY));
    assert!(finding.explanation.starts_with("At 2026-03-02T09:30:00Z"), "{}", finding.explanation);
}

#[test]
fn fires_as_inferred_without_the_earlier_policy() {
    let finding = finding(of_key(&RULE, &changed(None, OTHER).case(), KEY));
    assert_eq!(finding.confidence, Confidence::Inferred);
    assert!(finding.missing.iter().any(|text| text.starts_with("the policy before the change")));
}

#[test]
fn silent_when_the_change_does_not_explain_the_refusal() {
    for (before, after) in [(Some(ROLE), ROLE), (Some(OTHER), "arn:aws:iam::111122223333:role/Third")] {
        assert_eq!(of_key(&RULE, &changed(before, after).case(), KEY), Verdict::Silent);
    }
}

#[test]
fn silent_when_the_lost_statement_was_back_before_the_refusal() {
    let mut log = changed(Some(ROLE), OTHER);
    log.policy("09:40:00", KEY, &policy_for(ROLE));
    assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
}

#[test]
fn silent_when_the_same_role_was_refused_before_the_change() {
    let mut log = Log::new();
    log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE)).template(KEY);
    log.denied("b", "09:00:00", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    log.policy("09:30:00", KEY, &policy_for(OTHER));
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
}

#[test]
fn silent_for_a_change_after_the_first_refusal() {
    let mut log = Log::new();
    log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE)).template(KEY);
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    log.policy("10:00:03", KEY, &policy_for(OTHER));
    log.launch("b", "10:10:00").denied("b", "10:10:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
}

#[test]
fn silent_for_a_change_more_than_a_day_before() {
    let mut log = Log::new();
    log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE));
    log.policy("2026-03-01T09:59:00Z", KEY, &policy_for(OTHER)).template(KEY);
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
}

#[test]
fn silent_for_a_key_that_was_not_refused() {
    let mut log = Log::new();
    log.template(KEY).policy("09:30:00", KEY, &policy_for(OTHER)).healthy("a", "10:00:00", KEY);
    assert_eq!(of_key(&RULE, &log.case(), KEY), Verdict::Silent);
}

#[test]
fn undetermined_when_the_archive_begins_less_than_a_day_before() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    assert!(is_undetermined(&of_key(&RULE, &log.case(), KEY)));
}

#[test]
fn undetermined_without_the_archive_of_the_keys_account() {
    let mut log = Log::new();
    log.template(FOREIGN_KEY).launch("a", "10:00:00");
    log.denied("a", "10:00:02", "CreateGrant", FOREIGN_KEY, NO_RESOURCE_POLICY);
    let Verdict::Undetermined(missing) = of_key(&RULE, &log.case(), FOREIGN_KEY) else {
        panic!("a foreign key's changes are not in this archive");
    };
    assert!(missing[0].contains("444455556666"), "{missing:?}");
}

#[test]
fn undetermined_when_the_new_policy_leaves_it_to_iam_and_the_old_one_is_not_known() {
    assert!(is_undetermined(&of_key(&RULE, &changed(None, "arn:aws:iam::111122223333:root").case(), KEY)));
}

const DENIED: &str = "with an explicit deny in a resource-based policy";

/// The role's policy, and a Deny with these members.
fn policy_with_deny(members: &str) -> String {
    let deny = format!(r#",{{"Sid":"Guard","Effect":"Deny","Principal":"*","Resource":"*",{members}}}]}}"#);
    format!("{}{deny}", policy_for(ROLE).strip_suffix("]}").expect("the statements end the policy"))
}

/// A log with the two policies, and a refusal for this reason half an hour after the second.
fn replaced(before: &str, after: &str, reason: &str) -> Log {
    let mut log = Log::new();
    log.policy("2026-02-01T08:00:00Z", KEY, before).template(KEY).policy("09:30:00", KEY, after);
    log.launch("a", "10:00:00").denied("a", "10:00:02", "CreateGrant", KEY, reason);
    log
}

const OF_NETWORK: &str =
    r#""Action":"kms:*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-0aaaaaaaaaaaaaaaa"}}"#;

#[test]
fn fires_as_inferred_for_an_added_deny_whose_condition_cannot_be_decided() {
    let log = replaced(&policy_for(ROLE), &policy_with_deny(OF_NETWORK), DENIED);
    let finding = finding(of_key(&RULE, &log.case(), KEY));
    assert_eq!(finding.confidence, Confidence::Inferred);
    assert!(
        finding.explanation.contains("statement 3 \"Guard\" of the new policy"),
        "{}",
        finding.explanation
    );
    assert!(finding.missing.iter().any(|text| text.contains("aws:SourceVpc")), "{:?}", finding.missing);
    let remedy = finding.remediation.expect("a remedy");
    assert!(remedy.summary.starts_with("Remove statement 3 \"Guard\""), "{}", remedy.summary);
    assert_eq!(remedy.documents, [], "no Allow undoes a Deny");
}

#[test]
fn fires_as_observed_for_an_added_deny_that_applies_and_says_to_remove_it() {
    let log = replaced(&policy_for(ROLE), &policy_with_deny(r#""Action":"kms:CreateGrant""#), DENIED);
    let finding = finding(of_key(&RULE, &log.case(), KEY));
    assert_eq!(finding.confidence, Confidence::Observed);
    assert!(finding.explanation.contains("denies it by statement 3 \"Guard\""), "{}", finding.explanation);
    let remedy = finding.remediation.expect("a remedy");
    assert!(remedy.summary.starts_with("Remove statement 3 \"Guard\"") && remedy.documents.is_empty());
}

#[test]
fn undetermined_for_a_deny_that_was_there_before_or_that_the_message_does_not_name() {
    let with_deny = policy_with_deny(OF_NETWORK);
    for (before, reason) in [(&with_deny, DENIED), (&policy_for(ROLE), NO_IDENTITY_POLICY)] {
        assert!(is_undetermined(&of_key(&RULE, &replaced(before, &with_deny, reason).case(), KEY)));
    }
}

#[test]
fn silent_for_an_added_deny_of_another_action() {
    let other = policy_with_deny(r#""Action":"kms:ScheduleKeyDeletion""#);
    assert_eq!(of_key(&RULE, &replaced(&policy_for(ROLE), &other, DENIED).case(), KEY), Verdict::Silent);
}

#[test]
fn fires_as_inferred_for_a_change_in_the_second_of_the_refusal() {
    let mut log = Log::new();
    log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE)).template(KEY).launch("a", "10:00:00");
    log.policy("10:00:02", KEY, &policy_for(OTHER));
    log.denied("a", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
    let finding = finding(of_key(&RULE, &log.case(), KEY));
    assert_eq!(finding.confidence, Confidence::Inferred);
    assert!(finding.explanation.contains("In the same second, at"), "{}", finding.explanation);
}
