//! KMS key policies: read one, decide what it lets a principal do, compare two versions.
//!
//! Policy text comes in, as `PutKeyPolicy` logs it or `aws kms get-key-policy` prints it; a [`Policy`], a
//! [`Decision`] or a [`PolicyDifference`] goes out. Only the key policy is judged: IAM policies, boundaries and
//! organisation policies are not in CloudTrail. Nothing here does I/O, and what depends on facts that a log
//! does not hold (network addresses, tags, organisation ids) is [`Decision::CannotDecide`], never a guess.

mod compare;
mod condition;
mod decide;
mod document;
mod ebs;
mod pattern;
mod principal;

pub use compare::{PermissionChange, PolicyDifference, StatementChange, compare};
pub use condition::Condition;
pub use decide::{Decision, Request, decide};
pub use document::{Effect, POLICY_BYTES_MAX, Policy, PolicyError, Selection, Statement, StatementName};
pub use ebs::{EBS_ACTIONS, EbsAction, Need, decide_launch, ec2_endpoint};
pub use principal::{Principal, Principals};

#[cfg(test)]
mod oracle_tests;

/// `text` with every character escaped that could steer a terminal or turn the reading direction.
fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        let is_direction =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || is_direction {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}
