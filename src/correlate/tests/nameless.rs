//! Data keys of a launch whose record does not say for which volume they are.

use super::record::*;

const A: &str = "i-0a";
const B: &str = "i-0b";

/// GenerateDataKeyWithoutPlaintext by EC2 without an encryption context.
fn nameless(second: i64, key: &str, request_id: &str) -> Record {
    data_key(second, "vol-0f", key, request_id).asks(format!(r#"{{"numberOfBytes":64,"keyId":"{key}"}}"#))
}

fn one_launch() -> Vec<Record> {
    vec![configured(KEY), launch(0, &[A], "r1")]
}

#[test]
fn a_data_key_without_a_volume_is_a_volumes_all_the_same() {
    let opened = opened(1, "vol-0a", A, KEY, "r1");
    let case = case(&all(&[&one_launch(), &opened, &[nameless(2, OTHER, "r1"), nameless(3, OTHER, "r1")]]));
    assert_eq!(says(&case, A), "mismatch unknown [KEY,OTHER] -");
    assert_eq!(volumes(&case, A), ["launch used KEY vol-0a", "launch used OTHER -"]);
}

#[test]
fn what_cloudtrail_left_out_of_a_record_leaves_its_key() {
    let opened = opened(1, "vol-0a", A, KEY, "r1");
    let omitted = |record: Record| record.asks(r#"{"omitted":true}"#);
    let with = |record: Record| case(&all(&[&one_launch(), &opened, &[record]]));
    let other = with(omitted(data_key(2, "vol-0b", OTHER, "r1")));
    assert_eq!(says(&other, A), "mismatch unknown [KEY,OTHER] -");
    // Grants follow data keys; by themselves they make no volume.
    let granted = with(omitted(grant(2, "vol-0b", A, OTHER, "r1")));
    assert_eq!(volumes(&granted, A), ["launch used KEY vol-0a"]);
    let keyless = Record::new(2, "kms", "GenerateDataKeyWithoutPlaintext")
        .through("ec2-frontend-api.amazonaws.com")
        .id("r1")
        .asks(r#"{"omitted":true}"#);
    assert_eq!(volumes(&with(keyless.clone()), A), ["launch used KEY vol-0a", "launch used ? -"]);
    assert!(says(&with(keyless), A).starts_with("unknown "));
}

#[test]
fn a_data_key_without_a_volume_may_be_that_of_a_volume_that_is_known() {
    let granted = [grant(1, "vol-0a", A, KEY, "r1"), decrypt(2, "vol-0a", A, KEY, "r1")];
    let own = case(&all(&[&one_launch(), &granted, &[nameless(1, KEY, "r1")]]));
    assert_eq!(volumes(&own, A), ["launch used KEY vol-0a"]);
    let other = case(&all(&[&one_launch(), &granted, &[nameless(1, OTHER, "r1")]]));
    assert_eq!(volumes(&other, A), ["launch used KEY vol-0a", "launch used OTHER -"]);
}

#[test]
fn only_the_launchs_own_request_makes_a_volume_of_it() {
    let opened = opened(1, "vol-0a", A, KEY, "r1");
    for request in ["r2", "k1"] {
        let other = [nameless(2, OTHER, request)];
        let case = case(&all(&[&one_launch(), &opened, &[launch(2, &[B], "r2")], &other]));
        assert_eq!(says(&case, A), "match configured [KEY] -", "{request}");
        assert_eq!(volumes(&case, B).len(), usize::from(request == "r2"));
    }
}
