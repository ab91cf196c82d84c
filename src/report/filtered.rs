//! Whether the filters name anything that the archive has: a typing error must not read as "all is well".
//!
//! A case and the filter come in, sentences go out, each with the names that there are. At most a few are told, made
//! harmless like all text from a log.

use std::collections::BTreeSet;

use super::abbreviate::limited;
use super::sanitize::sanitize;
use crate::correlate::{Case, Filter};
use crate::event::{Detail, NodeTags, Text, Timestamp};

/// Names that are told before the rest is counted.
const NAMES_SHOWN_MAX: usize = 5;
/// Longest name shown, in characters.
const NAME_CHARACTERS_MAX: usize = 80;

/// What the filters ask for and the archive does not have.
pub(super) fn advice(case: &Case, filter: &Filter) -> Vec<String> {
    let mut advice = Vec::new();
    let scopes = &case.coverage.scopes;
    let accounts = || scopes.keys().map(|(account, _)| &**account).collect();
    let regions = || scopes.keys().map(|(_, region)| &**region).collect();
    tell_unknown(&mut advice, ("account", &filter.accounts), accounts);
    tell_unknown(&mut advice, ("region", &filter.regions), regions);
    tell_unknown(&mut advice, ("cluster", &filter.clusters), || names(case, |tags| tags.cluster.as_ref()));
    tell_unknown(&mut advice, ("nodepool", &filter.nodepools), || names(case, |tags| tags.nodepool.as_ref()));
    if case.nodes.is_empty() {
        let reported = case.coverage.reported_scopes();
        let first = reported.iter().filter_map(|scope| scope.first_event).min();
        let last = reported.iter().filter_map(|scope| scope.last_event).max();
        let spelled = |at: Timestamp| at.to_string().replace('T', " ").replace('Z', " UTC");
        if let (Some(from), Some(last)) = (filter.from, last)
            && last < from
        {
            advice.push(format!(
                "the time window begins at {}, and the newest record is of {}",
                spelled(from),
                spelled(last)
            ));
        }
        if let (Some(to), Some(first)) = (filter.to, first)
            && to <= first
        {
            advice.push(format!(
                "the time window ends at {}, and the oldest record is of {}",
                spelled(to),
                spelled(first)
            ));
        }
    }
    advice
}

/// Says which of the names that were asked for the archive does not have, and which it has.
fn tell_unknown<'a>(
    advice: &mut Vec<String>,
    (noun, asked): (&str, &[Text]),
    known: impl FnOnce() -> BTreeSet<&'a str>,
) {
    if asked.is_empty() {
        return;
    }
    let known = known();
    let unknown: BTreeSet<&str> =
        asked.iter().map(|name| &**name).filter(|name| !known.contains(name)).collect();
    if unknown.is_empty() {
        return;
    }
    let there = match known.len() {
        0 => format!("it names no {noun} at all"),
        1 => format!("the only {noun} there is {}", shown(&known)),
        _ => format!("the {noun}s there are {}", shown(&known)),
    };
    advice.push(format!("--{noun} {}: not in this archive; {there}", shown(&unknown)));
}

fn shown(names: &BTreeSet<&str>) -> String {
    let first: Vec<_> = names
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(|name| limited(&sanitize(name), NAME_CHARACTERS_MAX).into_owned())
        .collect();
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What launches and their tags name, whoever the filters admit.
fn names<'a>(case: &'a Case, name: impl Fn(&'a NodeTags) -> Option<&'a Text>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for event in &case.events {
        match &event.detail {
            Detail::Fleet(fleet) => names.extend(name(&fleet.tags).map(|text| &**text)),
            Detail::Launch(launch) => {
                names.extend(name(&launch.tags).map(|text| &**text));
                names.extend(
                    launch.instances.iter().filter_map(|instance| name(&instance.tags)).map(|text| &**text),
                );
            }
            Detail::Tagging { tags, .. } => names.extend(name(tags).map(|text| &**text)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::advice;
    use crate::correlate::{Case, Filter};
    use crate::event::{Detail, Event, FleetLaunch, NodeTags, Timestamp};
    use crate::report::{incident, is_hazardous};

    fn case(nodepools: &[&str]) -> Case {
        let event = |nodepool: &&str| {
            let tags = NodeTags {
                cluster: Some("orders".into()),
                nodepool: Some((*nodepool).into()),
                ..NodeTags::default()
            };
            let mut event: Event = (*incident::case().events[0]).clone();
            event.detail = Detail::Fleet(Box::new(FleetLaunch { tags, ..FleetLaunch::default() }));
            Box::new(event)
        };
        let coverage = incident::case().coverage;
        Case { events: nodepools.iter().map(event).collect(), coverage, ..Case::default() }
    }

    #[test]
    fn a_name_that_the_archive_does_not_have_is_told_with_those_that_it_has() {
        let filter = Filter {
            nodepools: vec!["genral".into(), "batch".into()],
            clusters: vec!["nope".into()],
            regions: vec!["us-east-1".into()],
            accounts: vec!["444455556666".into()],
            ..Filter::default()
        };
        assert_eq!(
            advice(&case(&["general", "batch", "general"]), &filter),
            [
                "--account 444455556666: not in this archive; the only account there is 111122223333",
                "--cluster nope: not in this archive; the only cluster there is orders",
                "--nodepool genral: not in this archive; the nodepools there are batch, general",
            ]
        );
        let filter = Filter { nodepools: vec!["general".into()], ..Filter::default() };
        assert_eq!(advice(&case(&["general"]), &filter), [] as [&str; 0]);
        assert!(advice(&Case::default(), &filter)[0].ends_with("it names no nodepool at all"));
    }

    #[test]
    fn names_are_bounded_and_harmless() {
        let hostile = format!("\u{1b}[31m{}", "x".repeat(10_000));
        let filter = Filter { nodepools: vec!["genral".into()], ..Filter::default() };
        let told = advice(&case(&[&hostile, "a", "b", "c", "d", "e", "f"]), &filter);
        assert!(told[0].len() < 400 && told[0].ends_with("and 2 more"), "{told:?}");
        assert_eq!(told[0].find(is_hazardous), None);
    }

    #[test]
    fn a_window_outside_of_the_archive_says_how_far_the_archive_reaches() {
        let at = |text: &str| Timestamp::parse(text);
        let filter = Filter { from: at("2026-11-24T08:00:00Z"), ..Filter::default() };
        assert_eq!(
            advice(&case(&[]), &filter),
            [
                "the time window begins at 2026-11-24 08:00:00 UTC, and the newest record is of 2026-03-02 11:02:30 UTC"
            ]
        );
        let filter = Filter { to: at("2026-03-01T00:00:00Z"), ..Filter::default() };
        assert!(advice(&case(&[]), &filter)[0].ends_with("the oldest record is of 2026-03-02 09:58:00 UTC"));
        let filter = Filter { from: at("2026-03-02T11:00:00Z"), ..Filter::default() };
        assert_eq!(advice(&case(&[]), &filter), [] as [&str; 0]);
    }
}
