//! `keytrail extract`: the relevant records only, as an archive that gives the same answers.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::Outcome;
use super::arguments::{ReadingArguments, WindowArguments, parse_account, parse_bytes};
use super::progress::Bar;
use super::sources::{self, AwsArguments, Sources};
use super::{pipeline, window};
use crate::correlate::{Case, Filter, Question};
use crate::event::{Text, Timestamp};
use crate::extract::{self, Existing, Extracted, Request};
use crate::report::sanitize;

pub(super) const AFTER_HELP: &str = "The extract is a SOURCE itself: it gives the same nodes and findings, and the coverage of what it was made from.
No record is filtered out: a launch template, an alias or a key policy from before a time window, or from another
account, is evidence too. To extract less, name a smaller part of the archive as SOURCE; of S3, --account, --region,
--from and --to choose the objects, with the margins of `analyze`.

Exit codes:
  0  done
  2  usage error, or an error that ended the run
  3  records or objects were lost, with --strict";

#[derive(Debug, Args)]
pub(super) struct Extract {
    /// Directories or files with CloudTrail records, s3://BUCKET/PREFIX, or `-` for standard input: as for `analyze`.
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
    narrowing: Narrowing,
    #[command(flatten)]
    aws: AwsArguments,
    #[command(flatten)]
    reading: ReadingArguments,
}

/// Which objects of a bucket. They filter no records.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to read of S3")]
struct Narrowing {
    /// Logs of this account; repeatable.
    #[arg(long, value_name = "ACCOUNT", value_parser = parse_account)]
    account: Vec<Text>,
    /// Logs of this region; repeatable.
    #[arg(long, value_name = "REGION")]
    region: Vec<Text>,
    /// What nodes launched at or after this time (RFC 3339, or a date) need.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// What nodes launched before this time (RFC 3339, or a date) need.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Narrowing {
    fn filter(&self) -> anyhow::Result<Filter> {
        let window = WindowArguments { since: None, from: self.from.clone(), to: self.to.clone() };
        // Without --since, no time depends on the present.
        let window = window::read(&window, Timestamp::default())?;
        Ok(Filter {
            from: window.from,
            to: window.to,
            accounts: self.account.clone(),
            regions: self.region.clone(),
            ..Filter::default()
        })
    }

    /// As words of a command line, each with a blank before it.
    fn words(&self) -> String {
        let mut words = String::new();
        let lists = [("--account", &self.account), ("--region", &self.region)];
        for (option, texts) in lists {
            for text in texts {
                words.push_str(&format!(" {option} {text}"));
            }
        }
        for (option, time) in [("--from", &self.from), ("--to", &self.to)] {
            if let Some(time) = time {
                words.push_str(&format!(" {option} {time}"));
            }
        }
        words
    }
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
    let mut narrowing = arguments.narrowing.words();
    if !narrowing.is_empty() && !arguments.sources.iter().any(|source| sources::is_in_aws(source)) {
        bail!(
            "{}: only chooses what is read of S3; of a source on disk, name a smaller part",
            narrowing.trim_start()
        );
    }
    for account in &arguments.aws.key_account {
        narrowing.push_str(&format!(" --key-account {account}"));
    }
    let question = Question { filter: arguments.narrowing.filter()?, ..Question::default() };
    let mut listed = Sources::list(&arguments.sources, &arguments.aws, &question, is_quiet)?;
    let sources: Vec<String> =
        arguments.sources.iter().map(|source| source.to_string_lossy().into_owned()).collect();
    let options = pipeline::read_options(&arguments.reading);
    let tool = format!("{} {}", super::output::TOOL.name, super::output::TOOL.version);
    let request = Request {
        objects: std::mem::take(&mut listed.objects),
        sources: &sources,
        narrowing: narrowing.trim_start(),
        out: &arguments.out,
        existing,
        part_bytes: arguments.part_bytes,
        options: &options,
        tool: &tool,
    };
    let bar = Bar::new(is_quiet);
    let extracted = extract::extract(request, &bar);
    bar.finish();
    let extracted = extracted?;
    if !is_quiet {
        write_summary(&mut anstream::stderr().lock(), &arguments.out.to_string_lossy(), &extracted)?;
    }
    let mut case = Case::default();
    case.coverage.objects = extracted.objects;
    case.coverage.records.read = extracted.records.read;
    case.coverage.losses = extracted.losses.clone();
    listed.conclude(&case, is_quiet)?;
    listed.check(&case)?;
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
