//! Which refusals a launch keeps: what a retry, or a node that lived, takes back, and what nothing takes back.

use super::record::*;

const A: &str = "i-0a";
const B: &str = "i-0b";

/// The launch template of one device, or of as many as the launch makes, or none in the archive.
fn templates() -> [(&'static str, Vec<Record>); 3] {
    let two = format!("[{},{}]", mapping("/dev/xvda", KEY), mapping("/dev/xvdb", KEY));
    [
        ("no template", vec![]),
        ("a template of one device", vec![configured(KEY)]),
        ("a template of both devices", vec![template(-3600, "lt-0a", &two)]),
    ]
}

#[test]
fn a_second_volume_whose_grant_was_refused_is_denied_whatever_the_template_and_the_second() {
    for (what, template) in templates() {
        for second in [1, 2, 3] {
            let records = [
                launch(0, &[A], "r1"),
                data_key(1, "vol-0a", KEY, "r1"),
                data_key(1, "vol-0b", KEY, "r1"),
                grant(2, "vol-0a", A, KEY, "r1"),
                refused(second, "CreateGrant", KEY, "r1"),
            ];
            let case = case(&all(&[&template, &records]));
            assert!(says(&case, A).starts_with("denied "), "{what}, {second} s: {}", says(&case, A));
            assert!(says(&case, A).ends_with(" kms-denied"), "{what}, {second} s");
            assert_eq!(
                volumes(&case, A),
                ["launch used KEY vol-0a", "launch denied KEY vol-0b"],
                "{what}, {second} s"
            );
        }
    }
}

#[test]
fn a_second_volume_whose_data_key_was_refused_is_denied_whatever_the_template_and_the_second() {
    for (what, template) in templates() {
        for second in [0, 1, 2] {
            let records = [
                launch(0, &[A], "r1"),
                data_key(1, "vol-0a", KEY, "r1"),
                refused(second, "GenerateDataKeyWithoutPlaintext", KEY, "r1"),
                grant(2, "vol-0a", A, KEY, "r1"),
            ];
            let case = case(&all(&[&template, &records]));
            assert!(says(&case, A).starts_with("denied "), "{what}, {second} s: {}", says(&case, A));
            assert_eq!(
                volumes(&case, A),
                ["launch used KEY vol-0a", "launch denied KEY -"],
                "{what}, {second} s"
            );
        }
    }
}

#[test]
fn a_grant_alone_does_not_take_back_the_refusal_of_another() {
    for second in [1, 2] {
        let records = [
            configured(KEY),
            launch(0, &[A], "r1"),
            data_key(1, "vol-0a", KEY, "r1"),
            grant(2, "vol-0a", A, KEY, "r1"),
            refused(second, "CreateGrant", KEY, "r1"),
        ];
        assert!(says(&case(&records), A).starts_with("denied "), "{second} s");
    }
}

#[test]
fn a_refusal_is_a_retrys_only_if_the_instance_then_opened_all_its_volumes() {
    let refusal = || refused(1, "CreateGrant", KEY, "r1");
    let launch = || launch(0, &[A], "r1");
    let one = opened(1, "vol-0a", A, KEY, "r1");
    let verdict = |lists: &[&[Record]]| says(&case(&all(lists)), A).split(' ').next().map(str::to_owned);
    assert_eq!(verdict(&[&[configured(KEY), launch(), refusal()], &one]).as_deref(), Some("match"));
    assert_eq!(
        verdict(&[&[launch(), refusal()], &one]).as_deref(),
        Some("denied"),
        "how many volumes there were is not known"
    );
    let two = format!("[{},{}]", mapping("/dev/xvda", KEY), mapping("/dev/xvdb", KEY));
    let two = || template(-3600, "lt-0a", &two);
    assert_eq!(verdict(&[&[two(), launch(), refusal()], &one]).as_deref(), Some("denied"), "one of two");
    let other = opened(1, "vol-0b", A, KEY, "r1");
    assert_eq!(verdict(&[&[two(), launch(), refusal()], &one, &other]).as_deref(), Some("match"));
    let late = [configured(KEY), launch(), refused(2, "CreateGrant", KEY, "r1")];
    assert_eq!(verdict(&[&late, &one]).as_deref(), Some("denied"), "refused when it was open already");
    let other_key = [configured(KEY), launch(), refused(1, "CreateGrant", OTHER, "r1")];
    assert_eq!(verdict(&[&other_key, &one]).as_deref(), Some("denied"), "another key's refusal");
}

#[test]
fn a_node_that_lived_was_not_refused_but_shows_the_refusal_in_its_timeline() {
    let records = all(&[
        &[launch(0, &[A], "r1")],
        &opened(1, "vol-0a", A, KEY, "r1"),
        &[refused(2, "GenerateDataKeyWithoutPlaintext", OTHER, "r1"), registered(60, A)],
    ]);
    let case = case(&records);
    assert_eq!(says(&case, A), "no-expectation unknown [KEY] -");
    let shown = node(&case, A).timeline.iter().any(|entry| {
        entry.role == crate::correlate::TimelineRole::Refusal
            && case.events[entry.event as usize].error.is_some()
    });
    assert!(shown);
}

#[test]
fn of_several_instances_of_one_request_somebody_was_refused() {
    let granted = |instance, volume| [data_key(1, volume, KEY, "r1"), grant(1, volume, instance, KEY, "r1")];
    let launch = [launch(0, &[A, B], "r1"), refused(1, "CreateGrant", KEY, "r1")];
    let both = all(&[&launch, &granted(A, "vol-0a"), &granted(B, "vol-0b")]);
    let unclear = case(&both);
    for instance in [A, B] {
        assert_eq!(says(&unclear, instance), "denied unknown [KEY] kms-denied?", "{instance}");
    }
    let lived = case(&all(&[&both, &[registered(60, A)]]));
    assert_eq!(says(&lived, A), "no-expectation unknown [KEY] -");
    assert!(says(&lived, B).starts_with("denied "));
    // No KMS event of the one that lived: the other is left, whatever it was granted.
    let unseen = case(&all(&[&launch, &granted(B, "vol-0b"), &[registered(60, A)]]));
    assert_eq!(says(&unseen, A), "unknown unknown [] -");
    assert!(says(&unseen, B).starts_with("denied "));
    let all_lived = case(&all(&[&both, &[registered(60, A), registered(60, B)]]));
    for instance in [A, B] {
        assert_eq!(says(&all_lived, instance), "no-expectation unknown [KEY] -", "{instance}");
    }
}

#[test]
fn running_soon_after_the_launch_is_no_sign_of_life() {
    let refusals: [&[Record]; 2] = [
        &[refused(1, "GenerateDataKeyWithoutPlaintext", KEY, "r1")],
        &[data_key(1, "vol-0a", KEY, "r1"), refused(2, "CreateGrant", KEY, "r1")],
    ];
    for refusal in refusals {
        let launch = [configured(KEY), launch(0, &[A], "r1")];
        let end =
            |second, state: &str| says(&case(&all(&[&launch, refusal, &[terminate(second, A, state)]])), A);
        for state in ["running", "stopping", "stopped"] {
            for second in [20, 120] {
                assert_eq!(end(second, state), "denied configured [] kms-denied?", "{state}, {second} s");
            }
            assert!(end(600, state).ends_with(" terminated-by-karpenter"), "{state} after ten minutes");
        }
        for state in ["pending", "shutting-down", "terminated"] {
            assert_eq!(end(20, state), "denied configured [] kms-denied", "{state}");
        }
        let registered = all(&[&launch, refusal, &[registered(15, A), terminate(20, A, "running")]]);
        assert!(!says(&case(&registered), A).starts_with("denied "), "it registered");
    }
}
