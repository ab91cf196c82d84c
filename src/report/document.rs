//! The JSON output: the document, one line per node, and the published schema of both.
//!
//! A case and its findings come in, bytes go out node by node, so that the output of a large case needs no
//! second copy of it in memory. The names and the order of the fields are a contract. Characters that a
//! terminal would obey are written as JSON escapes: the text that a parser reads back is the logged text.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::sanitize::is_hazardous;
use super::sentence::sentence;
use crate::correlate::{Case, KeySummary, LaunchFailure, Node, TimelineEntry, TimelineRef};
use crate::event::{Loss, ObjectCounts, RecordCounts, Scope};
use crate::rules::{Finding, SubjectKind};

/// Version of the document's form: rises when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The program that wrote an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

/// Everything found out.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "keytrail analysis")]
struct Document<'a> {
    /// Version of the document's form.
    schema_version: u32,
    /// The program that wrote the document.
    tool: Tool<'a>,
    /// What was read, what was lost, and over which accounts, regions and times the records spread.
    coverage: CoverageDocument<'a>,
    /// Nodes, sorted by launch time, account, region and instance id.
    #[schemars(with = "Vec<NodeDocument>")]
    nodes: Nodes<'a>,
    /// Launches that made no instance.
    launch_failures: &'a [LaunchFailure],
    /// Keys that launches used or were refused.
    keys: &'a [KeySummary],
    /// What the rules conclude.
    findings: &'a [Finding],
}

/// What was read and what was lost.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Coverage")]
pub(super) struct CoverageDocument<'a> {
    /// Objects by fate.
    objects: ObjectCounts,
    /// Records by fate: `read` is the sum of the others.
    records: RecordCounts,
    /// Objects and records that could not be (wholly) read, sorted.
    losses: Vec<&'a Loss>,
    /// Accounts and regions seen, sorted.
    scopes: Vec<Scope>,
}

/// One instance, from its launch to its end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Node")]
struct NodeDocument<'a> {
    /// What is known of the node.
    #[serde(flatten)]
    node: &'a Node,
    /// Ids of the rules with a finding about this node, sorted.
    findings: Vec<&'static str>,
    /// Its events in order of time and cause.
    #[schemars(with = "Vec<TimelineEntry>")]
    timeline: Timeline<'a>,
}

/// Nodes that become [`NodeDocument`]s one at a time, as they are written.
struct Nodes<'a> {
    case: &'a Case,
    rules: BTreeMap<&'a str, Vec<&'static str>>,
}

/// References that become [`TimelineEntry`]s one at a time, as they are written.
struct Timeline<'a> {
    case: &'a Case,
    node: &'a Node,
}

impl<'a> CoverageDocument<'a> {
    pub(super) fn new(case: &'a Case, losses_max: usize) -> Self {
        let mut losses = sorted_losses(case);
        losses.truncate(losses_max);
        Self {
            objects: case.coverage.objects,
            records: case.coverage.records,
            losses,
            scopes: case.coverage.reported_scopes(),
        }
    }
}

impl<'a> Nodes<'a> {
    fn new(case: &'a Case, findings: &'a [Finding]) -> Self {
        Self { case, rules: rules_by_node(findings) }
    }

    fn documents(&self) -> impl Iterator<Item = NodeDocument<'a>> {
        self.case.nodes.iter().map(|node| NodeDocument {
            node,
            findings: self.rules.get(&*node.instance_id).cloned().unwrap_or_default(),
            timeline: Timeline { case: self.case, node },
        })
    }
}

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.documents())
    }
}

impl Serialize for Timeline<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.node.timeline.iter().map(|reference| timeline_entry(self.case, self.node, reference)),
        )
    }
}

/// Ids of the rules that have a finding about each node, sorted; by instance id.
pub(super) fn rules_by_node(findings: &[Finding]) -> BTreeMap<&str, Vec<&'static str>> {
    let mut rules: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.subject.kind == SubjectKind::Node) {
        rules.entry(&finding.subject.id).or_default().push(finding.rule);
    }
    for ids in rules.values_mut() {
        ids.sort_unstable();
        ids.dedup();
    }
    rules
}

/// The reported form of one entry of `node`'s timeline.
#[must_use]
pub fn timeline_entry(case: &Case, node: &Node, reference: &TimelineRef) -> TimelineEntry {
    let event = &case.events[reference.event as usize];
    TimelineEntry {
        time: event.time,
        event_id: event.event_id.clone(),
        event_source: event.source.clone(),
        event_name: event.name.clone(),
        role: reference.role,
        summary: sentence(event, reference.role, node),
        error_code: event.error.as_ref().map(|error| error.code.clone()),
        origin: event.origin.clone(),
    }
}

/// The name of an enum's value, as in the document.
pub(super) fn contract_name(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => unreachable!("the enums of a case are written as strings"),
    }
}

/// The losses of a case as every output shows them: sorted by object, record and kind.
pub(super) fn sorted_losses(case: &Case) -> Vec<&Loss> {
    let mut losses: Vec<&Loss> = case.coverage.losses.iter().collect();
    losses.sort_unstable();
    losses
}

/// Writes the whole document, indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_json(out: &mut dyn Write, case: &Case, findings: &[Finding], tool: Tool<'_>) -> io::Result<()> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        tool,
        coverage: CoverageDocument::new(case, usize::MAX),
        nodes: Nodes::new(case, findings),
        launch_failures: &case.launch_failures,
        keys: &case.keys,
        findings,
    };
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &document, PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The document's `coverage` on one line, with at most `losses_max` of the losses.
#[cfg(feature = "parquet")]
pub(super) fn coverage_line(case: &Case, losses_max: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    write_escaped(&mut bytes, &CoverageDocument::new(case, losses_max), CompactFormatter)?;
    Ok(String::from_utf8(bytes).expect("JSON is UTF-8"))
}

/// Writes one line per node: the elements of the document's `nodes`, nothing else. Coverage, failed
/// launches, keys and findings about other things than nodes are in the document only.
///
/// # Errors
/// When `out` fails.
pub fn write_json_lines(out: &mut dyn Write, case: &Case, findings: &[Finding]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for node in Nodes::new(case, findings).documents() {
        write_escaped(&mut out, &node, CompactFormatter)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The JSON Schema of the document; `#/$defs/Node` is that of one line of [`write_json_lines`].
#[must_use]
pub fn schema() -> schemars::Schema {
    schema_of::<Document<'_>>()
}

/// The JSON Schema of a document, in the form in which schemas are published.
pub(super) fn schema_of<T: JsonSchema>() -> schemars::Schema {
    let plain_links = |schema: &mut schemars::Schema| {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
    };
    SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(plain_links))
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Writes the schema, indented, with a line end at its end.
///
/// # Errors
/// When `out` fails.
pub fn write_schema(out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write_escaped(&mut out, &schema(), PrettyFormatter::new())?;
    out.write_all(b"\n")?;
    out.flush()
}

pub(super) fn write_escaped(
    out: &mut impl Write,
    value: &impl Serialize,
    formatter: impl Formatter,
) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Escaping(formatter));
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// A formatter that writes hazardous characters of strings as JSON escapes and leaves all else to another.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hazardous) {
            let hazard = rest[at..].chars().next().expect("a character was found there");
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in hazard.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hazard.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests;
