//! `keytrail analyze`: one row per node.

use std::io::{self, Write as _};

use super::Outcome;
use super::arguments::{Analyze, Format, OutputArguments, ReadingArguments};
use super::pipeline::{self, Answer};
use super::progress::Bar;
use super::{output, window};
use crate::archive::ReadOptions;
use crate::correlate::{Expectations, Filter, Question};
use crate::event::Timestamp;
use crate::report::{self, Style};
use crate::source::{SourceObject, disk};

pub(super) fn run(arguments: &Analyze, is_quiet: bool) -> anyhow::Result<Outcome> {
    let question = question(arguments)?;
    output::check(&arguments.output)?;
    let mut objects: Vec<SourceObject> = Vec::new();
    for source in &arguments.sources {
        objects.extend(disk::list(source)?);
    }
    let bar = Bar::new(is_quiet);
    let answer = pipeline::answer(&objects, &read_options(&arguments.reading), &question, &bar);
    bar.finish();
    conclude(&answer, &arguments.output, is_quiet, arguments.reading.strict, &[])
}

fn question(arguments: &Analyze) -> anyhow::Result<Question> {
    let now = jiff::Timestamp::now().as_second();
    let window = window::read(&arguments.window, Timestamp::from_second(now))?;
    let filter = &arguments.filter;
    Ok(Question {
        expectations: Expectations {
            key: arguments.keys.expect_key.clone(),
            aliases: arguments.keys.alias.iter().cloned().collect(),
        },
        filter: Filter {
            from: window.from,
            to: window.to,
            accounts: filter.account.clone(),
            regions: filter.region.clone(),
            clusters: filter.cluster.clone(),
            nodepools: filter.nodepool.clone(),
            all_launches: filter.all_launches,
        },
    })
}

fn read_options(arguments: &ReadingArguments) -> ReadOptions {
    let default = ReadOptions::default();
    ReadOptions {
        jobs: arguments.jobs.map_or(default.jobs, usize::from),
        record_bytes_max: arguments.record_bytes_max.unwrap_or(default.record_bytes_max),
    }
}

/// Writes the results and the summary, and says how the run ended.
pub(super) fn conclude(
    answer: &Answer,
    output: &OutputArguments,
    is_quiet: bool,
    is_strict: bool,
    next_commands: &[&str],
) -> anyhow::Result<Outcome> {
    output::write(answer, output)?;
    if !is_quiet {
        let mut err = anstream::AutoStream::auto(io::stderr().lock());
        if matches!(output.output, Format::Table | Format::Wide) {
            writeln!(err)?;
        }
        report::write_summary(&mut err, &answer.case, next_commands, Style::coloured())?;
    }
    let is_lossy = !answer.case.coverage.losses.is_empty();
    Ok(if is_strict && is_lossy { Outcome::Inconclusive } else { Outcome::Done })
}
