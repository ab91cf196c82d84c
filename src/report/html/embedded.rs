//! The details of nodes, events and findings as JSON inside the page, for the script to show on demand.
//!
//! A case and its findings come in, one JSON text goes out in which no `<` stands, so that it cannot end its
//! element. Every text is stored once and referred to by its number; tables name their columns and what is in them.
//! The script writes them as text only.

mod cell;
mod finding;
mod node;

use std::collections::{BTreeSet, HashMap};
use std::io;

use serde::Serialize;
use serde_json::ser::CompactFormatter;

use self::cell::{Cell, Strings};
use super::axis::Axis;
use super::change;
use super::shown::Shown;
use crate::correlate::{Case, Confidence, TimelineRef, TimelineRole};
use crate::event::{Event, Id};
use crate::report::document::write_escaped;
use crate::rules::{Finding, Incident};

/// Most events of one node, of few nodes.
const STEPS_MAX: usize = 200;
/// Most events of one node, of many: as many as a launch, its refusals and its end have.
const STEPS_MIN: usize = 12;
/// Most events of all nodes together, as long as each keeps that many.
const STEPS_TOTAL_MAX: usize = 75_000;
/// Most volumes of one node.
const VOLUMES_MAX: usize = 40;
/// Most events that one finding cites here.
const EVIDENCE_MAX: usize = 60;

/// What the script reads.
#[derive(Serialize)]
struct Embedded {
    /// Unix second from which all times count.
    start: i64,
    /// Unix second at which the axis ends.
    end: i64,
    strings: Vec<Shown>,
    columns: Columns,
    events: Vec<Vec<Cell>>,
    callers: Vec<Vec<Cell>>,
    nodes: Vec<Vec<Cell>>,
    findings: Vec<Vec<Cell>>,
    remedies: Vec<Vec<Cell>>,
    /// For each incident of the page: numbers of its nodes.
    incidents: Vec<Vec<usize>>,
}

/// `name:kind` of each column. Kinds: `s` a string, `n` a number, `p` a phrase (a string, or a list of a string with
/// gaps and what fills them), `S` a list of strings, `N` a list of numbers, `r:TABLE` rows of another table.
#[derive(Serialize)]
struct Columns {
    event: &'static [&'static str],
    caller: &'static [&'static str],
    node: &'static [&'static str],
    expected: &'static [&'static str],
    volume: &'static [&'static str],
    step: &'static [&'static str],
    finding: &'static [&'static str],
    remedy: &'static [&'static str],
    document: &'static [&'static str],
}

/// Which event of the case is which of the page.
struct EventNumbers<'a> {
    by_index: HashMap<u32, usize>,
    by_id: HashMap<&'a Id, usize>,
}

impl<'a> EventNumbers<'a> {
    /// Numbers the events of the given timelines and those that findings cite.
    fn new(case: &'a Case, timelines: &[Vec<TimelineRef>], findings: &[&Finding]) -> (Self, Vec<u32>) {
        let cited: std::collections::HashSet<&Id> =
            findings.iter().flat_map(|finding| finding.evidence.iter().take(EVIDENCE_MAX)).collect();
        let mut chosen: BTreeSet<u32> = timelines.iter().flatten().map(|entry| entry.event).collect();
        let all = (0u32..).zip(&case.events);
        chosen.extend(all.filter(|(_, event)| cited.contains(&event.event_id)).map(|(index, _)| index));
        let order: Vec<u32> = chosen.into_iter().collect();
        let by_index = order.iter().enumerate().map(|(number, index)| (*index, number)).collect();
        let mut by_id = HashMap::new();
        for (number, index) in order.iter().enumerate() {
            by_id.entry(&case.events[*index as usize].event_id).or_insert(number);
        }
        (Self { by_index, by_id }, order)
    }

    /// Numbers of the events with these ids, as far as the page has them, in order of time.
    fn of(&self, ids: &[Id]) -> Cell {
        let cited: BTreeSet<usize> =
            ids.iter().take(EVIDENCE_MAX).filter_map(|id| self.by_id.get(id).copied()).collect();
        Cell::Numbers(cited.into_iter().collect())
    }
}

const EVENT: &[&str] = &["time:n", "id:s", "name:s", "error:p", "caller:n", "object:s", "record:n"];

const CALLER: &[&str] = &["actor:s", "session:s", "address:s", "agent:s"];

/// Who called, from where and with what: many events share them.
#[derive(Default)]
struct Callers {
    numbers: HashMap<[Option<usize>; 4], usize>,
    rows: Vec<Vec<Cell>>,
}

impl Callers {
    fn number(&mut self, event: &Event, strings: &mut Strings) -> usize {
        let mut text = |text: &str| strings.number(Shown::text(text));
        let caller = [
            event.identity.principal().map(|principal| text(principal)),
            event.identity.session_name().map(&mut text),
            Some(text(&event.source_ip)),
            Some(text(&event.user_agent)),
        ];
        *self.numbers.entry(caller).or_insert_with(|| {
            self.rows.push(caller.into_iter().map(|number| number.map_or(Cell::None, Cell::Text)).collect());
            self.rows.len() - 1
        })
    }
}

/// The JSON for the nodes with these indices, in their order; `told` are the incidents that the page shows.
pub(super) fn embedded(
    case: &Case,
    findings: &[Finding],
    incidents: &[Incident],
    told: &[&Incident],
    nodes: &[usize],
    axis: Option<Axis>,
) -> String {
    let (start, end) = axis.map_or((0, 0), |axis| (axis.start, axis.end));
    let steps_max = (STEPS_TOTAL_MAX / nodes.len().max(1)).clamp(STEPS_MIN, STEPS_MAX);
    let (concerning, findings) = finding::of_nodes(case, findings, incidents, nodes);
    let changes = changes_of_findings(case, &findings);
    let timelines: Vec<Vec<TimelineRef>> = nodes
        .iter()
        .zip(&concerning)
        .map(|(index, concerning)| {
            let mut steps = node::decisive_steps(&case.nodes[*index], steps_max);
            add_changes(&mut steps, concerning.findings.iter().flat_map(|place| &changes[*place]));
            steps
        })
        .collect();
    let (numbers, order) = EventNumbers::new(case, &timelines, &findings);
    let mut strings = Strings::default();
    let mut callers = Callers::default();
    let mut events: Vec<Vec<Cell>> = order
        .iter()
        .map(|index| event_row(&case.events[*index as usize], start, &mut callers, &mut strings))
        .collect();
    let mut node_rows: Vec<Vec<Cell>> = nodes
        .iter()
        .zip(timelines.iter().zip(&concerning))
        .map(|(index, (steps, findings))| {
            node::row(case, *index, (steps, findings), (start, steps_max), &numbers, &mut strings)
        })
        .collect();
    let (mut finding_rows, mut remedies) = finding::rows(&findings, &numbers, &mut strings);
    let (strings, renumbering) = strings.by_use();
    for rows in [&mut events, &mut callers.rows, &mut node_rows, &mut finding_rows, &mut remedies] {
        renumbering.apply(rows);
    }
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, index) in nodes.iter().enumerate() {
        places.entry(&case.nodes[*index].instance_id).or_default().push(number);
    }
    let incidents = told
        .iter()
        .map(|incident| incident.nodes.iter().filter_map(|id| places.get(&**id)).flatten().copied().collect())
        .collect();
    let embedded = Embedded {
        start,
        end,
        strings,
        columns: Columns {
            event: EVENT,
            caller: CALLER,
            node: node::NODE,
            expected: node::EXPECTED,
            volume: node::VOLUME,
            step: node::STEP,
            finding: finding::FINDING,
            remedy: finding::REMEDY,
            document: finding::DOCUMENT,
        },
        events,
        callers: callers.rows,
        nodes: node_rows,
        findings: finding_rows,
        remedies,
        incidents,
    };
    to_json(&embedded).expect("writing to memory does not fail")
}

/// For each finding, the configuration changes that it cites, in order of time.
fn changes_of_findings(case: &Case, findings: &[&Finding]) -> Vec<Vec<u32>> {
    let mut places: HashMap<&Id, Vec<usize>> = HashMap::new();
    for (place, finding) in findings.iter().enumerate() {
        for id in &finding.evidence {
            places.entry(id).or_default().push(place);
        }
    }
    let mut changes = vec![Vec::new(); findings.len()];
    for (index, event) in (0u32..).zip(&case.events) {
        if change::mark(&event.detail).is_some() {
            for place in places.get(&event.event_id).into_iter().flatten() {
                changes[*place].push(index);
            }
        }
    }
    changes
}

/// Puts changes that are not yet there among the steps, in order of time.
fn add_changes<'a>(steps: &mut Vec<TimelineRef>, changes: impl Iterator<Item = &'a u32>) {
    let changes: BTreeSet<u32> = changes.take(STEPS_MIN).copied().collect();
    for event in changes {
        if !steps.iter().any(|step| step.event == event) {
            let (role, confidence) = (TimelineRole::Configuration, Confidence::Observed);
            steps.push(TimelineRef { event, role, confidence });
        }
    }
    steps.sort_by_key(|step| step.event);
}

/// `<` stands in strings only, where an escape means the same.
fn to_json(value: &impl Serialize) -> io::Result<String> {
    let mut bytes = Vec::new();
    write_escaped(&mut bytes, value, CompactFormatter)?;
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(text.replace('<', "\\u003c"))
}

fn event_row(event: &Event, start: i64, callers: &mut Callers, strings: &mut Strings) -> Vec<Cell> {
    let error = event.error.as_ref().map(|error| match &*error.message {
        "" => error.code.to_string(),
        message => format!("{}: {message}", error.code),
    });
    vec![
        Cell::Number(event.time.second() - start),
        strings.text(&event.event_id.to_string()),
        strings.text(&event.name),
        error.map_or(Cell::None, |error| strings.phrase(&error)),
        Cell::Index(callers.number(event, strings)),
        strings.text(&event.origin.object),
        Cell::Number(i64::try_from(event.origin.record).unwrap_or(i64::MAX)),
    ]
}

#[cfg(test)]
mod tests {
    use super::to_json;

    #[test]
    fn no_text_can_end_the_element() {
        let json = to_json(&["</script><script>alert(1)</script>", "<!--"]).expect("memory does not fail");
        assert!(!json.contains('<'), "{json}");
        let back: Vec<String> = serde_json::from_str(&json).expect("JSON");
        assert_eq!(back, ["</script><script>alert(1)</script>", "<!--"]);
    }
}
