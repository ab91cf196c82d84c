//! The IAM policies in `docs/aws.md` are what people paste: they must be policies, and no wider than they say.

use std::fs;
use std::path::Path;

use iam_rs::IAMPolicy;
use serde_json::Value;

fn policies() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws.md");
    let text = fs::read_to_string(path).expect("the document can be read");
    text.split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block").to_owned())
        .collect()
}

#[test]
fn every_policy_in_the_document_is_one() {
    let policies = policies();
    assert!(policies.len() >= 5, "{}", policies.len());
    for policy in policies {
        let parsed = serde_json::from_str::<IAMPolicy>(&policy);
        assert!(parsed.is_ok(), "{parsed:?}: {policy}");
    }
}

#[test]
fn no_policy_allows_more_than_reading() {
    const READING: &[&str] =
        &["s3:ListBucket", "s3:GetObject", "kms:Decrypt", "sts:AssumeRole", "cloudtrail:LookupEvents"];
    for policy in policies() {
        let policy: Value = serde_json::from_str(&policy).expect("JSON");
        for statement in policy["Statement"].as_array().expect("statements") {
            let action = statement["Action"].as_str().expect("one action");
            assert!(READING.contains(&action), "{action}");
        }
    }
}
