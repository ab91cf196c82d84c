//! A verification in every form of output: for the screen, as JSON, for reviewers, for CI.
//!
//! A [`Verification`] and the case that it was made from come in, bytes go out. What failed comes first
//! everywhere. Texts of logs and manifests are made safe for each form: no escape sequence, no markup, no workflow
//! command ever comes from them.

mod annotation;
mod document;
mod junit;
mod markdown;
mod sarif;
mod terminal;

pub use annotation::{ANNOTATIONS_MAX, write_github_annotations};
pub use document::{write_verification_json, write_verification_schema};
pub use junit::write_junit;
pub use markdown::{SUMMARY_BYTES_MAX, write_verification_markdown};
pub use sarif::write_sarif;
pub use terminal::write_verification;

use std::collections::BTreeMap;

use crate::event::Text;
use crate::verify::{Assertion, Check, Outcome, Verification};

/// Assertions with an outcome, in their order.
fn with(verification: &Verification, outcome: Outcome) -> impl Iterator<Item = &Assertion> {
    verification.assertions.iter().filter(move |assertion| assertion.result == outcome)
}

/// `2 nodes: 9 assertions passed, 1 failed, 0 inconclusive`.
fn headline(verification: &Verification) -> String {
    let counts = verification.counts;
    let nodes = verification.nodes.len();
    format!(
        "{nodes} {}: {} {} passed, {} failed, {} inconclusive",
        if nodes == 1 { "node" } else { "nodes" },
        counts.pass,
        if counts.pass == 1 { "assertion" } else { "assertions" },
        counts.fail,
        counts.inconclusive
    )
}

/// The keys that KMS refused, by instance id, each once.
fn refused_keys(verification: &Verification) -> BTreeMap<&Text, Vec<&Text>> {
    let mut refused: BTreeMap<&Text, Vec<&Text>> = BTreeMap::new();
    for assertion in with(verification, Outcome::Fail) {
        if assertion.check != Check::KeyNotRefused {
            continue;
        }
        if let (Some(node), Some(key)) = (&assertion.node, &assertion.key_arn) {
            let keys = refused.entry(node).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    refused
}

/// All that an assertion says, on one line.
fn sentence(assertion: &Assertion) -> String {
    let mut text = assertion.text.clone();
    if let Some(why) = &assertion.why {
        text.push_str(": ");
        text.push_str(why);
    }
    if let Some(remedy) = &assertion.would_be_conclusive {
        text.push_str(". It would take: ");
        text.push_str(remedy);
    }
    text
}

#[cfg(test)]
mod tests;
