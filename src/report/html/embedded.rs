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
use super::shown::Shown;
use crate::correlate::Case;
use crate::event::{Event, Id};
use crate::report::document::write_escaped;
use crate::rules::{Finding, Incident};

/// Most events of one node.
const STEPS_MAX: usize = 200;
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
    fn new(case: &'a Case, nodes: &[usize], findings: &[Finding]) -> (Self, Vec<u32>) {
        let cited: std::collections::HashSet<&Id> =
            findings.iter().flat_map(|finding| finding.evidence.iter().take(EVIDENCE_MAX)).collect();
        let mut chosen: BTreeSet<u32> = nodes
            .iter()
            .flat_map(|node| case.nodes[*node].timeline.iter().take(STEPS_MAX))
            .map(|entry| entry.event)
            .collect();
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

    /// Numbers of the events with these ids, as far as the page has them.
    fn of(&self, ids: &[Id]) -> Cell {
        Cell::Numbers(ids.iter().take(EVIDENCE_MAX).filter_map(|id| self.by_id.get(id).copied()).collect())
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

/// The JSON for the nodes with these indices, in their order.
pub(super) fn embedded(
    case: &Case,
    findings: &[Finding],
    incidents: &[&Incident],
    nodes: &[usize],
    axis: Option<Axis>,
) -> String {
    let (start, end) = axis.map_or((0, 0), |axis| (axis.start, axis.end));
    let (numbers, order) = EventNumbers::new(case, nodes, findings);
    let mut strings = Strings::default();
    let mut callers = Callers::default();
    let events = order
        .iter()
        .map(|index| event_row(&case.events[*index as usize], start, &mut callers, &mut strings))
        .collect();
    let concerning = finding::by_node(case, findings, nodes);
    let node_rows = nodes
        .iter()
        .zip(&concerning)
        .map(|(index, findings)| node::row(case, *index, findings, start, &numbers, &mut strings))
        .collect();
    let (finding_rows, remedies) = finding::rows(findings, &numbers, &mut strings);
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, index) in nodes.iter().enumerate() {
        places.entry(&case.nodes[*index].instance_id).or_default().push(number);
    }
    let incidents = incidents
        .iter()
        .map(|incident| incident.nodes.iter().filter_map(|id| places.get(&**id)).flatten().copied().collect())
        .collect();
    let embedded = Embedded {
        start,
        end,
        strings: strings.all,
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
