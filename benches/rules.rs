//! All rules, and the incidents made from their findings: 1 thousand, 10 thousand and 100 thousand nodes, and how
//! the time grows.
//!
//! Every 20th node is refused its key; the keys have policies of the largest size, so that each refusal is put to
//! one. Prints wall time for each size and the growth per node: 1.0 is linear. Argument: the largest number of
//! nodes, 100,000 if not given.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use keytrail::correlate::{Case, Evidence, Question, correlate};
use keytrail::event::{Coverage, Detail, Event, EventParser, Origin, Parsed};
use keytrail::rules;
use support::stream::Launches;

/// Statements of each key policy: about the 32 KB that AWS allows.
const STATEMENTS: usize = 150;

fn main() {
    let largest = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000);
    let mut before: Option<f64> = None;
    for count in [1_000, 10_000, 100_000].into_iter().filter(|count| *count <= largest) {
        let case = case(count);
        let begin = Instant::now();
        let findings = rules::evaluate(&case);
        let judged = begin.elapsed();
        let incidents = rules::incidents(&case, &findings);
        let whole = begin.elapsed();
        let microseconds = whole.as_secs_f64() * 1e6 / f64::from(count);
        let growth =
            before.map_or(String::new(), |before| format!(", {:.2}x per node", microseconds / before));
        println!(
            "{} nodes, {} events: {:.3} s for {} findings, {:.3} s for {} incidents, {microseconds:.1} µs per node{growth}",
            case.nodes.len(),
            case.events.len(),
            judged.as_secs_f64(),
            findings.len(),
            (whole - judged).as_secs_f64(),
            incidents.len(),
        );
        before = Some(microseconds);
    }
}

fn case(nodes: u32) -> Case {
    let mut parser = EventParser::default();
    let mut events: Vec<Box<Event>> = Vec::new();
    let mut parse = |text: &str, events: &mut Vec<Box<Event>>| {
        let origin = Origin { object: "bench".into(), record: events.len() as u64 };
        if let Ok(Parsed::Relevant(event)) = parser.parse(text.as_bytes(), origin) {
            events.push(event);
        }
    };
    for record in Launches::new(7, u64::from(nodes), 5, 0).flatten() {
        parse(&record.text, &mut events);
    }
    let keys: BTreeSet<String> = events
        .iter()
        .filter_map(|event| match &event.detail {
            Detail::LaunchTemplate(template) => Some(template.mappings.iter().flatten()),
            _ => None,
        })
        .flatten()
        .filter_map(|mapping| mapping.kms_key.as_deref().map(str::to_owned))
        .collect();
    for (number, key) in keys.iter().enumerate() {
        parse(&key_policy(number, key), &mut events);
    }
    let mut coverage = Coverage::default();
    for event in &events {
        let scope = (event.account_id.clone(), event.region.clone());
        let is_kms = &*event.source == "kms.amazonaws.com";
        coverage.scopes.entry(scope).or_default().note(event.time.second(), is_kms);
    }
    correlate(Evidence::gather(events), coverage, &Question::default())
}

/// PutKeyPolicy with a policy that names many roles, none of them Karpenter's.
fn key_policy(number: usize, key: &str) -> String {
    let statements: Vec<String> = (0..STATEMENTS)
        .map(|index| {
            format!(
                r#"{{\"Sid\":\"Role{index}\",\"Effect\":\"Allow\",\"Principal\":{{\"AWS\":\"arn:aws:iam::111122223333:role/team-{index}\"}},\"Action\":[\"kms:Encrypt\",\"kms:Decrypt\",\"kms:ReEncrypt*\",\"kms:GenerateDataKey*\"],\"Resource\":\"*\"}}"#
            )
        })
        .collect();
    format!(
        r#"{{"eventVersion":"1.10","userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/Admin/maria","accountId":"111122223333"}},"eventTime":"2026-01-04T23:00:00Z","eventSource":"kms.amazonaws.com","eventName":"PutKeyPolicy","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.93","userAgent":"aws-cli/2.32.3","requestParameters":{{"keyId":"{key}","policyName":"default","policy":"{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}"}},"responseElements":{{"keyId":"{key}"}},"eventID":"{number:08x}-aaaa-4000-8000-000000000000","recipientAccountId":"111122223333"}}"#,
        statements.join(",")
    )
}
