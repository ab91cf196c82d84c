//! `keytrail extract`: the relevant records only, as an archive that gives the same answers.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use super::arguments::{KeyArguments, ReadingArguments, parse_bytes};
use super::pipeline;
use super::progress::Bar;
use super::sources::{AwsArguments, Sources};
use crate::correlate::Filter;
use crate::extract::{self, Existing, Extracted, Request};
use crate::report::sanitize;

pub(super) const AFTER_HELP: &str = "The extract is a SOURCE itself: it gives the same nodes and findings, and the coverage of what it was made from.
There are no filters: a launch template, an alias or a key policy from before a time window, or from another
account, is evidence too. To extract less, name a smaller part of the archive as SOURCE.

Exit codes:
  0  done
  2  usage error, or an error that ended the run
  3  records or objects were lost, with --strict";

#[derive(Debug, Args)]
pub(super) struct Extract {
    /// Directories or files with CloudTrail records, or `-` for standard input: as for `analyze`.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Where to: a directory, or a file that ends in .json.gz or .parquet.
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    out: PathBuf,
    /// Go on where an earlier run was interrupted; objects that have changed since are read again.
    #[arg(long, conflicts_with = "force", help_heading = "Output")]
    resume: bool,
    /// Overwrite an extract that exists.
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Text in one object of a directory, about (k, m and g are understood).
    #[arg(long, value_name = "BYTES", default_value = "8m", value_parser = parse_bytes, help_heading = "Output")]
    part_bytes: usize,
    #[command(flatten)]
    reading: ReadingArguments,
}

/// Objects that a message names.
const NAMED_MAX: usize = 5;

pub(super) fn run(arguments: &Extract, is_quiet: bool) -> anyhow::Result<Outcome> {
    let existing = match (arguments.resume, arguments.force) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Overwrite,
        _ => Existing::Refuse,
    };
    extract::check(&arguments.out, existing)?;
    let listed = Sources::list(
        &arguments.sources,
        &AwsArguments::default(),
        &Filter::default(),
        &KeyArguments::default(),
        is_quiet,
    )?;
    let objects = &listed.objects;
    let sources: Vec<String> =
        arguments.sources.iter().map(|source| source.to_string_lossy().into_owned()).collect();
    let options = pipeline::read_options(&arguments.reading);
    let tool = format!("{} {}", super::output::TOOL.name, super::output::TOOL.version);
    let request = Request {
        objects,
        sources: &sources,
        out: &arguments.out,
        existing,
        part_bytes: arguments.part_bytes,
        options: &options,
        tool: &tool,
    };
    let bar = Bar::new(is_quiet);
    let extracted = extract::extract(&request, &bar);
    bar.finish();
    let extracted = extracted?;
    if !is_quiet {
        write_summary(&mut anstream::stderr().lock(), &arguments.out.to_string_lossy(), &extracted)?;
    }
    let is_lossy = !extracted.losses.is_empty();
    Ok(if arguments.reading.strict && is_lossy { Outcome::Inconclusive } else { Outcome::Done })
}

fn write_summary(out: &mut impl Write, target: &str, extracted: &Extracted) -> io::Result<()> {
    let Extracted { objects, records, losses, .. } = extracted;
    writeln!(out, "{} objects read, {} skipped, {} failed", objects.read, objects.skipped, objects.failed)?;
    writeln!(
        out,
        "{} records read = {} kept + {} passed over + {} duplicate + {} lost",
        records.read, records.kept, records.passed_over, records.duplicate, records.lost
    )?;
    for loss in losses.iter().take(NAMED_MAX) {
        let record = loss.record.map(|record| format!(" record {record}")).unwrap_or_default();
        let kind = serde_json::to_value(loss.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or_default();
        writeln!(out, "lost:  {}{record}: {kind}: {}", sanitize(&loss.object), sanitize(&loss.detail))?;
    }
    write_more(out, losses.len(), "losses")?;
    let lists = [
        ("changed since, read again: ", texts(&extracted.changed)),
        ("could not be read, tried again: ", texts(&extracted.retried)),
        ("no longer in the source, kept as read: ", texts(&extracted.gone)),
        ("missing or damaged, made again: ", texts(&extracted.damaged)),
    ];
    for (what, names) in lists {
        for name in names.iter().take(NAMED_MAX) {
            writeln!(out, "{what}{}", sanitize(name))?;
        }
        write_more(out, names.len(), "such")?;
    }
    if extracted.was_complete {
        return writeln!(out, "{}: was complete already", sanitize(target));
    }
    if extracted.resumed > 0 {
        writeln!(out, "{} objects were read by an earlier run", extracted.resumed)?;
    }
    let size = indicatif::HumanBytes(extracted.bytes);
    let manifest = extracted.manifest.to_string_lossy().into_owned();
    let parts =
        if extracted.parts == 1 { "1 object".to_owned() } else { format!("{} objects", extracted.parts) };
    writeln!(out, "wrote {parts}, {size}: {}; manifest: {}", sanitize(target), sanitize(&manifest))
}

fn texts<T: AsRef<str>>(texts: &[T]) -> Vec<&str> {
    texts.iter().map(AsRef::as_ref).collect()
}

fn write_more(out: &mut impl Write, count: usize, what: &str) -> io::Result<()> {
    match count.checked_sub(NAMED_MAX) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "and {more} more {what}"),
    }
}
