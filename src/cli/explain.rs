//! `keytrail explain`: one node or key, from what it is to the fix.

use std::io::{self, Write as _};

use anyhow::Context as _;

use super::Outcome;
use super::arguments::{Explain, ExplanationFormat, FilterArguments, WindowArguments};
use super::manifest;
use super::output::{TOOL, layout, layout_of_messages};
use super::pipeline::{self, Answer};
use super::progress::Bar;
use super::sources::Sources;
use crate::correlate::Case;
use crate::report::{self, Explanation, SubjectError};

pub(super) fn run(arguments: &Explain, is_quiet: bool) -> anyhow::Result<Outcome> {
    manifest::check_standard_input(&arguments.sources, &arguments.keys)?;
    let mut question = pipeline::question(&arguments.window, &arguments.filter, &arguments.keys)?;
    // Who asks for an instance by its id wants it whoever launched it.
    question.filter.all_launches = true;
    let sources = Sources::list(&arguments.sources, &arguments.aws, &question, is_quiet)?;
    let bar = Bar::new(is_quiet);
    let options = pipeline::read_options(&arguments.reading);
    let answer = pipeline::answer(&sources.objects, &options, &question, &bar);
    bar.finish();
    sources.check(&answer.case)?;
    sources.conclude(&answer.case, is_quiet)?;
    let Answer { case, findings, .. } = &answer;
    let subject = match report::find_subject(case, &arguments.subject) {
        Ok(subject) => subject,
        Err(error) => {
            say_not_found(&error, case, arguments)?;
            return Ok(Outcome::NotFound);
        }
    };
    let explanation = report::explain(case, findings, &subject, &arguments.subject);
    write(&explanation, arguments.output).context("writing to standard output")?;
    let is_lossy = !case.coverage.losses.is_empty();
    if is_lossy && !is_quiet {
        let mut err = anstream::AutoStream::auto(io::stderr().lock());
        writeln!(err)?;
        report::write_summary(&mut err, case, &question.filter, &[], layout_of_messages())?;
    }
    if !is_quiet {
        manifest::write_notes(&question.expectations)?;
    }
    Ok(if arguments.reading.strict && is_lossy { Outcome::Inconclusive } else { Outcome::Done })
}

fn write(explanation: &Explanation, format: ExplanationFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        ExplanationFormat::Table => {
            report::write_explanation(&mut anstream::AutoStream::auto(out), explanation, layout())
        }
        ExplanationFormat::Markdown => report::write_explanation_markdown(&mut out, explanation),
        ExplanationFormat::Json => report::write_explanation_json(&mut out, explanation, TOOL),
    }
}

/// Says why there is nothing to explain, and what there is instead.
fn say_not_found(error: &SubjectError, case: &Case, arguments: &Explain) -> io::Result<()> {
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    let show = |text: &str| report::sanitize(text).into_owned();
    writeln!(err, "error: {}", show(&error.to_string()))?;
    let candidates = error.candidates();
    match (error, candidates.is_empty()) {
        (SubjectError::Unknown { .. }, false) => writeln!(err, "the nearest names:")?,
        (SubjectError::Unknown { .. }, true) => writeln!(
            err,
            "hint: the archive shows {} and {} under which they were launched; `keytrail analyze --all-launches` lists \
             them",
            counted(case.nodes.len(), "node"),
            counted(case.keys.len(), "key")
        )?,
        (SubjectError::Ambiguous { count, .. }, _) => {
            let shown = if *count > candidates.len() { "the first of them" } else { "name one of them" };
            writeln!(err, "{shown}:")?;
        }
        (SubjectError::Unresolved { .. }, _) => {}
    }
    for candidate in candidates {
        writeln!(err, "  {}  ({})", show(&candidate.name), show(&candidate.description))?;
    }
    if is_narrowed(&arguments.window, &arguments.filter) {
        writeln!(err, "hint: only nodes that the time window and the filters admit were looked at")?;
    }
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn is_narrowed(window: &WindowArguments, filter: &FilterArguments) -> bool {
    window.since.is_some()
        || window.from.is_some()
        || window.to.is_some()
        || [&filter.account, &filter.region, &filter.cluster, &filter.nodepool]
            .into_iter()
            .any(|list| !list.is_empty())
}
