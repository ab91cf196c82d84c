//! Numbers for the events that an explanation cites.
//!
//! Indices of a case's events and ids that findings cite come in; numbered [`Exhibit`]s go out, so that a
//! sentence can point to its evidence in two digits. An id that no event of the case bears gets no number.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Exhibit;
use crate::correlate::Case;
use crate::event::Id;

/// The events that bear the given ids, as indices in their order.
pub(super) fn indices(case: &Case, ids: &HashSet<&Id>) -> BTreeSet<u32> {
    if ids.is_empty() {
        return BTreeSet::new();
    }
    (0u32..).zip(&case.events).filter(|(_, event)| ids.contains(&event.event_id)).map(|(at, _)| at).collect()
}

/// Numbers the events of a timeline first, then those that are cited besides.
pub(super) fn number(case: &Case, timeline: &[u32], cited: &HashSet<&Id>) -> Vec<Exhibit> {
    let told: HashSet<u32> = timeline.iter().copied().collect();
    let more = indices(case, cited).into_iter().filter(|index| !told.contains(index));
    (1u32..)
        .zip(timeline.iter().copied().chain(more))
        .map(|(number, index)| {
            let event = &case.events[index as usize];
            Exhibit {
                number,
                event_id: event.event_id.clone(),
                event_name: event.name.clone(),
                time: event.time,
                origin: event.origin.clone(),
            }
        })
        .collect()
}

/// From ids to numbers.
pub(super) struct Numbers<'a>(HashMap<&'a Id, u32>);

impl<'a> Numbers<'a> {
    pub(super) fn new(custody: &'a [Exhibit]) -> Self {
        let mut numbers = HashMap::new();
        for exhibit in custody {
            numbers.entry(&exhibit.event_id).or_insert(exhibit.number);
        }
        Self(numbers)
    }

    /// `[2] [5]`, sorted, each once; at most `most` of them, then how many more.
    pub(super) fn cite(&self, ids: &[Id], most: usize) -> String {
        let numbers: BTreeSet<u32> = ids.iter().filter_map(|id| self.0.get(id).copied()).collect();
        let mut text: Vec<String> = numbers.iter().take(most).map(|number| format!("[{number}]")).collect();
        if numbers.len() > most {
            text.push(format!("and {} more", numbers.len() - most));
        }
        text.join(" ")
    }
}
