//! `errorCode`, a line end, `errorMessage` -> `Denial::parse`.
//!
//! Whatever the texts are, it does not panic, says nothing that is not in the message, and calls nothing a refusal
//! that is throttling.

#![no_main]

use keytrail::event::{Denial, KeyArn, is_key_state_failure, is_refusal, is_throttling};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (code, message) = text.split_once('\n').unwrap_or(("AccessDenied", text));
    let denial = Denial::parse(code, message);
    assert_eq!(denial, Denial::parse(code, message));
    if is_throttling(code) {
        assert_eq!(denial, None, "throttling is no refusal");
    } else if is_refusal(code) || is_key_state_failure(code, message) {
        assert!(denial.is_some(), "{code:?} without a denial");
    }
    let Some(denial) = denial else { return };
    for part in [denial.principal, denial.action, denial.key_arn].into_iter().flatten() {
        assert!(message.contains(part), "{part:?} is made up");
        assert!(!part.is_empty(), "nothing is told as something");
    }
    if let Some(arn) = denial.key_arn {
        let _ = KeyArn::parse(arn);
    }
});
