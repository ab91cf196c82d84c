//! `keytrail analyze`: one row per node.

use std::io::{self, Write as _};

use super::Outcome;
use super::arguments::{Analyze, Format, OutputArguments};
use super::next::{self, Run};
use super::pipeline::{self, Answer};
use super::progress::Bar;
use super::sources::Sources;
use super::{manifest, output};
use crate::correlate::{Filter, KeyVerdict};
use crate::report;
use crate::rules::Severity;

pub(super) fn run(arguments: &Analyze, is_quiet: bool) -> anyhow::Result<Outcome> {
    manifest::check_standard_input(&arguments.sources, &arguments.keys)?;
    let question = pipeline::question(&arguments.window, &arguments.filter, &arguments.keys)?;
    output::check(&arguments.output)?;
    let sources = Sources::list(&arguments.sources, &arguments.aws, &question, is_quiet)?;
    let bar = Bar::new(is_quiet);
    let options = pipeline::read_options(&arguments.reading);
    let answer = if arguments.output.shows_findings() {
        pipeline::answer(&sources.objects, &options, &question, &bar)
    } else {
        pipeline::answer_without_words(&sources.objects, &options, &question, &bar)
    };
    bar.finish();
    sources.check(&answer.case)?;
    // Who wants no messages is given no advice.
    let next = if is_quiet {
        None
    } else {
        let run = Run {
            sources: &arguments.sources,
            window: &arguments.window,
            filter: &arguments.filter,
            keys: &arguments.keys,
            aws: &arguments.aws,
        };
        next::command(&answer.case, answer.concerns(), run)
    };
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    conclude(&answer, &question.filter, &arguments.output, is_quiet, &next)?;
    sources.conclude(&answer.case, is_quiet)?;
    if !is_quiet {
        manifest::write_summary(&question.expectations, &answer.case)?;
    }
    let is_lossy = !answer.case.coverage.losses.is_empty();
    let is_too_severe = arguments.fail_on.is_some_and(|limit| {
        // A wrong key is wrong even where no rule can say where it came from.
        let is_mismatch = answer.case.nodes.iter().any(|node| node.key_verdict == KeyVerdict::Mismatch);
        is_mismatch && limit <= Severity::High || answer.concerns().any(|(severity, _)| severity >= limit)
    });
    // The process ends: giving back millions of pieces one by one would only delay that.
    std::mem::forget(answer);
    // Who wants no losses cannot trust a verdict that was reached with some.
    Ok(if arguments.reading.strict && is_lossy {
        Outcome::Inconclusive
    } else if is_too_severe {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

/// Writes the results and the summary.
pub(super) fn conclude(
    answer: &Answer,
    filter: &Filter,
    output: &OutputArguments,
    is_quiet: bool,
    next_commands: &[&str],
) -> anyhow::Result<()> {
    output::write(answer, output)?;
    if !is_quiet {
        let mut err = anstream::AutoStream::auto(io::stderr().lock());
        if matches!(output.output, Format::Table | Format::Wide) {
            writeln!(err)?;
        }
        report::write_summary(&mut err, &answer.case, filter, next_commands, output::layout_of_messages())?;
    }
    Ok(())
}
