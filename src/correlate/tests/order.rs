//! The same records in any order, split or multiplied give the same case.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::record::*;
use crate::correlate::{Case, Evidence, Filter, Question, correlate};
use crate::event::{Coverage, Event};

/// Incidents of every kind, close together: same seconds, same session, shared requests.
fn mixed() -> Vec<Record> {
    let alias = |second: i64, target: &str| {
        Record::new(second, "kms", "UpdateAlias")
            .by(person(), AWS_CLI)
            .asks(format!(r#"{{"aliasName":"alias/x","targetKeyId":"{target}"}}"#))
    };
    all(&[
        &[
            configured(KEY),
            template(0, "lt-0b", &mapping("/dev/xvda", "alias/x")),
            alias(0, KEY),
            alias(0, OTHER),
            fleet(0, &fleet_item(r#"["i-0a","i-0b"]"#).replace("on-demand", "spot"), "{}"),
            launch(0, &["i-0a"], "r1"),
            launch(0, &["i-0b"], "r2"),
            launch_with(
                0,
                &["i-0c", "i-0d"],
                "r3",
                r#""launchTemplate":{"launchTemplateId":"lt-0b","version":"1"},"#,
            ),
            launch_with(0, &["i-0e"], "r4", ""),
            refused(0, "GenerateDataKeyWithoutPlaintext", KEY, "k1"),
            refused(0, "CreateGrant", OTHER, "r2"),
            refused(1, "CreateGrant", THIRD, "r3"),
            data_key(1, "vol-0c", KEY, "r3"),
            data_key(1, "vol-0d", OTHER, "r3"),
            data_key_of(1, "vol-0e", "alias/aws/ebs", THIRD, "k9"),
            grant(1, "vol-0c", "i-0c", KEY, "r3"),
            re_encrypt(1, "vol-0a", OTHER, KEY, "r1"),
            registered(60, "i-0a"),
            terminate(60, "i-0a", "running"),
            evicted(60, &["i-0a", "i-0b", "i-0c"]),
            terminate(60, "i-0c", "running").by(person(), AWS_CLI),
            cleaned_up(10, "r2"),
            attach(60, "vol-0f", "i-0a", "a1"),
            grant(60, "vol-0f", "i-0a", OTHER, "a1"),
            fleet(5, "{}", r#"[{"errorCode":"A","errorMessage":"x"},{"errorCode":"B","errorMessage":"y"}]"#),
            launch_with(5, &[], "r8", "").fails("Server.InsufficientInstanceCapacity", "no"),
        ],
        &opened(1, "vol-0a", "i-0a", KEY, "r1"),
        // Copies that differ, in one account and in two.
        &[
            grant(2, "vol-0b", "i-0b", KEY, "k5").event_id("same"),
            grant(2, "vol-0b", "i-0b", OTHER, "k5").event_id("same"),
            grant(2, "vol-0b", "i-0b", THIRD, "k5").event_id("same").more(r#","omitted":true"#),
            grant(2, "vol-0b", "i-0b", KEY, "k5").event_id("same").received_by(OTHER_ACCOUNT),
            grant(2, "vol-0b", "i-0b", THIRD, "k5")
                .event_id("amends")
                .more(r#","addendum":{"reason":"UPDATED_DATA","originalEventID":"same"}"#),
        ],
    ])
}

fn told(events: Vec<Box<Event>>) -> String {
    let filter = Filter { all_launches: true, ..Filter::default() };
    let question = Question { filter, ..Question::default() };
    let Case { events, nodes, launch_failures, keys, .. } =
        correlate(Evidence::gather(events), Coverage::default(), &question);
    let timelines: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            let entries = node.timeline.iter();
            entries
                .map(|entry| {
                    let event = &events[entry.event as usize];
                    format!("{} {:?} {:?} {}", event.event_id, entry.role, entry.confidence, event.account_id)
                })
                .collect()
        })
        .collect();
    let nodes = serde_json::to_string_pretty(&nodes).expect("JSON");
    let failures = serde_json::to_string_pretty(&launch_failures).expect("JSON");
    let keys = serde_json::to_string_pretty(&keys).expect("JSON");
    format!("{nodes}\n{failures}\n{keys}\n{timelines:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_copies_give_the_same_case(
        order in Just((0..events(&mixed()).len()).collect::<Vec<_>>()).prop_shuffle(),
        copies in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let parsed = events(&mixed());
        let expected = told(parsed.clone());
        let mut shuffled: Vec<_> = order.iter().map(|index| parsed[*index].clone()).collect();
        for copy in copies {
            let again = copy.get(&parsed).clone();
            shuffled.insert(copy.index(shuffled.len()), again);
        }
        prop_assert_eq!(told(shuffled), expected);
    }

    #[test]
    fn what_is_missing_changes_no_order_and_causes_no_panic(
        kept in subsequence((0..events(&mixed()).len()).collect::<Vec<_>>(), 0..=events(&mixed()).len()),
        seed in any::<u64>(),
    ) {
        let parsed = events(&mixed());
        let part: Vec<_> = kept.iter().map(|index| parsed[*index].clone()).collect();
        let mut turned = part.clone();
        if !turned.is_empty() {
            let by = usize::try_from(seed % turned.len() as u64).expect("small");
            turned.rotate_left(by);
            turned.reverse();
        }
        prop_assert_eq!(told(turned), told(part));
    }
}

#[test]
fn the_mixed_case_holds_what_it_is_meant_to() {
    let case = case_of_all(&mixed());
    assert_eq!(case.nodes.len(), 5);
    assert_eq!(case.launch_failures.len(), 3, "two codes of the fleet and one attempt");
}
