//! Events of one volume, or copies of one event, that name different keys.

use super::record::*;

const A: &str = "i-0a";

fn with(records: &[Record]) -> String {
    let case = case(&all(&[&[configured(KEY), launch(0, &[A], "r1")], records]));
    format!("{}; {}", says(&case, A), volumes(&case, A).join(", "))
}

const NEITHER: &str = "unknown unknown [] -; launch used ? vol-0a";
const ONE: &str = "match configured [KEY] -; launch used KEY vol-0a";

#[test]
fn a_volume_that_is_said_to_have_two_keys_is_proven_to_have_neither() {
    let key_of = |key| data_key(1, "vol-0a", key, "r1");
    let grant_of = |key| grant(2, "vol-0a", A, key, "r1");
    let opened_by = |key| decrypt(3, "vol-0a", A, key, "r1");
    assert_eq!(with(&[key_of(KEY), grant_of(KEY), opened_by(KEY)]), ONE);
    for (data, granted, opened) in
        [(KEY, OTHER, OTHER), (OTHER, KEY, KEY), (KEY, KEY, OTHER), (KEY, OTHER, KEY), (OTHER, OTHER, KEY)]
    {
        let said = with(&[key_of(data), grant_of(granted), opened_by(opened)]);
        assert_eq!(said, NEITHER, "{data} {granted} {opened}");
        let backwards = with(&[opened_by(opened), grant_of(granted), key_of(data)]);
        assert_eq!(backwards, NEITHER);
    }
    assert_eq!(with(&[key_of(KEY), key_of(OTHER), grant_of(KEY)]), NEITHER);
}

#[test]
fn the_snapshots_key_and_a_refused_one_contradict_nothing() {
    let opened = opened(1, "vol-0a", A, KEY, "r1");
    assert_eq!(with(&all(&[&opened, &[re_encrypt(1, "vol-0a", OTHER, KEY, "r1")]])), ONE);
    let source_alone = Record::new(1, "kms", "ReEncrypt")
        .through("ec2-frontend-api.amazonaws.com")
        .id("r1")
        .asks(r#"{"sourceEncryptionContext":{"aws:ebs:id":"snap-0a"},"destinationEncryptionContext":{"aws:ebs:id":"vol-0a"}}"#)
        .resource(OTHER);
    assert_eq!(with(&all(&[&opened, &[source_alone]])), ONE);
    let refused = [refused(1, "Decrypt", OTHER, "r1")];
    assert_eq!(with(&all(&[&opened, &refused])), ONE);
}

#[test]
fn copies_of_one_event_that_name_different_keys_are_both_kept() {
    let copy = |key| data_key(1, "vol-0a", key, "r1").event_id("e1");
    let more = [grant(2, "vol-0a", A, KEY, "r1")];
    assert_eq!(with(&all(&[&[copy(KEY), copy(KEY), copy(KEY)], &more])), ONE);
    for copies in [[KEY, OTHER, KEY], [OTHER, KEY, KEY], [KEY, KEY, OTHER]] {
        assert_eq!(with(&copies.map(copy)), NEITHER);
    }
    // A copy that says less is none that says otherwise.
    let without = Record::new(1, "kms", "GenerateDataKeyWithoutPlaintext")
        .through("ec2-frontend-api.amazonaws.com")
        .id("r1")
        .event_id("e1")
        .asks(r#"{"omitted":true}"#);
    assert_eq!(with(&all(&[&[copy(KEY), without], &more])), ONE);
}
