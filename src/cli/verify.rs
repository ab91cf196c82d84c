//! `keytrail verify`: is the configured key applied? Pass 0, fail 1, inconclusive 3.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::arguments::{FilterArguments, KeyArguments, ReadingArguments, WindowArguments};
use super::destination::{check, put_in_place};
use super::next::{self, Run};
use super::output::{TOOL, layout, layout_of_messages};
use super::pipeline::{self, Answer};
use super::progress::Bar;
use super::sources::{AwsArguments, NothingListed, Sources};
use super::wait::{self, Look, Patience};
use super::{Outcome, manifest, window};
use crate::correlate::Question;
use crate::report;
use crate::source::disk;
use crate::verify::{Demand, Outcome as Verdict, Verification, Wait, WaitEnd, verify};

#[derive(Clone, Debug, Args)]
pub(super) struct Verify {
    /// Directories or files with CloudTrail records, `s3://bucket/prefix`, `lookup:`, or `-` for standard input: as for
    /// `analyze`.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    window: WindowArguments,
    #[command(flatten)]
    filter: FilterArguments,
    #[command(flatten)]
    keys: KeyArguments,
    /// How many nodes must have been launched; with fewer, the result is inconclusive.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "What must hold")]
    min_nodes: u32,
    /// Read the sources again and again until each node has its KMS evidence, or this time is over: 15m.
    #[arg(long, value_name = "DURATION", help_heading = "Waiting")]
    wait: Option<String>,
    /// Time between two looks.
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "wait", help_heading = "Waiting")]
    poll_interval: String,
    #[command(flatten)]
    output: VerifyOutput,
    #[command(flatten)]
    reading: ReadingArguments,
    #[command(flatten)]
    aws: AwsArguments,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
struct VerifyOutput {
    /// Form of the result on standard output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: VerifyFormat,
    /// Also write JUnit XML: one suite per node, one case per check.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also write SARIF 2.1.0, with the manifest's line that sets the key.
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Also write Markdown for a job's summary, at most 1 MiB.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Also write annotations to standard error.
    #[arg(long, value_enum, value_name = "FOR")]
    annotations: Option<Annotations>,
    /// Overwrite files that exist and are not empty.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    /// For the screen.
    #[default]
    Table,
    /// One JSON document; `keytrail schema verify` describes it.
    Json,
    /// For a job's summary or a pull request.
    Markdown,
    /// Nothing.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Annotations {
    /// Workflow commands of GitHub Actions.
    Github,
}

/// What one reading of the sources says.
struct Reading {
    answer: Answer,
    verification: Verification,
    /// Where it was read; `None` where nothing was.
    sources: Option<Sources>,
}

impl Look for Reading {
    fn verification(&self) -> &Verification {
        &self.verification
    }
}

pub(super) fn run(arguments: &Verify, is_quiet: bool) -> anyhow::Result<Outcome> {
    manifest::check_standard_input(&arguments.sources, &arguments.keys)?;
    let question = Arc::new(pipeline::question(&arguments.window, &arguments.filter, &arguments.keys)?);
    let patience = patience(arguments)?;
    for path in files(&arguments.output) {
        check(path, arguments.output.force)?;
    }
    check_apart(&arguments.output)?;
    let Some(patience) = patience else {
        let reading = look(arguments, &question, is_quiet)?;
        return conclude(arguments, &question, &reading, None, is_quiet);
    };
    let (again, asked) = (arguments.clone(), Arc::clone(&question));
    // The bar of each look would hide what is being waited for.
    let (reading, wait) = wait::until_told(patience, is_quiet, move || look(&again, &asked, true))?;
    let reading = match reading {
        Some(reading) => reading,
        None => judge(Answer::default(), arguments, &question),
    };
    let outcome = conclude(arguments, &question, &reading, Some(wait), is_quiet)?;
    // Who stopped the wait has a part of the answer.
    let is_partial = wait.ended == WaitEnd::Interrupted && outcome == Outcome::Done;
    Ok(if is_partial { Outcome::Inconclusive } else { outcome })
}

/// Reads the sources once, and judges what they say.
fn look(arguments: &Verify, question: &Question, is_quiet: bool) -> anyhow::Result<Reading> {
    let sources = match Sources::list(&arguments.sources, &arguments.aws, question, is_quiet) {
        Err(error) if arguments.wait.is_some() && is_yet_empty(&error) => None,
        listed => Some(listed?),
    };
    let bar = Bar::new(is_quiet);
    let options = pipeline::read_options(&arguments.reading);
    let objects = sources.as_ref().map_or(&[][..], |sources| &sources.objects);
    let answer = pipeline::answer(objects, &options, question, &bar);
    bar.finish();
    if let Some(sources) = &sources {
        sources.check(&answer.case)?;
    }
    Ok(Reading { sources, ..judge(answer, arguments, question) })
}

/// Whether a source holds nothing: what is waited for may still come there.
fn is_yet_empty(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(disk::ListError::EmptyDirectory { .. }))
        || error.is::<NothingListed>()
}

fn judge(answer: Answer, arguments: &Verify, question: &Question) -> Reading {
    let demand = Demand {
        filter: &question.filter,
        expectations: &question.expectations,
        nodes_min: usize::try_from(arguments.min_nodes).unwrap_or(usize::MAX),
    };
    let verification = verify(&answer.case, &answer.findings, demand);
    Reading { answer, verification, sources: None }
}

fn patience(arguments: &Verify) -> anyhow::Result<Option<Patience>> {
    let Some(text) = &arguments.wait else {
        return Ok(None);
    };
    if arguments.sources.iter().any(|source| source == Path::new("-")) {
        bail!("--wait: standard input can be read only once; name a source that grows");
    }
    let seconds = |option: &str, text: &str| -> anyhow::Result<u64> {
        let seconds = window::seconds(text).with_context(|| format!("{option} {text}"))?;
        Ok(u64::try_from(seconds).unwrap_or_default().max(1))
    };
    Ok(Some(Patience {
        seconds_max: seconds("--wait", text)?,
        interval: Duration::from_secs(seconds("--poll-interval", &arguments.poll_interval)?),
    }))
}

fn files(output: &VerifyOutput) -> impl Iterator<Item = &Path> {
    [&output.junit, &output.sarif, &output.markdown].into_iter().flatten().map(PathBuf::as_path)
}

/// Two results in one file would leave the last of them.
fn check_apart(output: &VerifyOutput) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in files(output) {
        // What exists under two names is the same too.
        let place = path.canonicalize().or_else(|_| std::path::absolute(path));
        if !seen.insert(place.unwrap_or_else(|_| path.to_owned())) {
            bail!("{}: is named for two results; name a file for each", path.display());
        }
    }
    Ok(())
}

/// Writes the result everywhere it is wanted.
fn conclude(
    arguments: &Verify,
    question: &Question,
    reading: &Reading,
    wait: Option<Wait>,
    is_quiet: bool,
) -> anyhow::Result<Outcome> {
    let Reading { answer, verification, sources } = reading;
    let (case, output) = (&answer.case, &arguments.output);
    if let Some(path) = &output.junit {
        put_in_place(path, output.force, |out| report::write_junit(out, verification))?;
    }
    if let Some(path) = &output.sarif {
        put_in_place(path, output.force, |out| report::write_sarif(out, verification, TOOL))?;
    }
    if let Some(path) = &output.markdown {
        put_in_place(path, output.force, |out| {
            report::write_verification_markdown(out, case, verification, wait)
        })?;
    }
    write(output.output, reading, wait).context("writing to standard output")?;
    if !is_quiet {
        manifest::write_summary(&question.expectations, case)?;
    }
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    if output.annotations.is_some() {
        // GitHub reads both streams; standard output is for the result.
        report::write_github_annotations(&mut err, verification).context("writing to standard error")?;
    }
    if !is_quiet {
        if output.output == VerifyFormat::Table {
            writeln!(err)?;
        }
        let next = next_command(verification, arguments);
        let layout = layout_of_messages();
        report::write_summary(&mut err, case, &question.filter, next.as_deref().as_slice(), layout)?;
    }
    drop(err);
    if let Some(sources) = sources {
        sources.conclude(case, is_quiet)?;
    }
    Ok(match verification.result {
        Verdict::Pass => Outcome::Done,
        Verdict::Fail => Outcome::Failed,
        Verdict::Inconclusive => Outcome::Inconclusive,
    })
}

/// The command that explains the first node that failed, else the first that is inconclusive.
fn next_command(verification: &Verification, arguments: &Verify) -> Option<String> {
    let first = |result: Verdict| {
        let mut nodes = verification.nodes.iter().filter(|node| node.result == result);
        nodes.find(|node| next::is_instance_id(&node.instance_id))
    };
    let node = first(Verdict::Fail).or_else(|| first(Verdict::Inconclusive))?;
    let Verify { sources, keys, window, filter, aws, .. } = arguments;
    Some(next::explain(&node.instance_id, Run { sources, window, filter, keys, aws }))
}

fn write(format: VerifyFormat, reading: &Reading, wait: Option<Wait>) -> io::Result<()> {
    let Reading { answer, verification, .. } = reading;
    let mut out = io::stdout().lock();
    match format {
        VerifyFormat::Table => {
            let mut out = anstream::AutoStream::auto(out);
            report::write_verification(&mut out, verification, wait, layout())
        }
        VerifyFormat::Json => {
            report::write_verification_json(&mut out, &answer.case, verification, wait, TOOL)
        }
        VerifyFormat::Markdown => {
            report::write_verification_markdown(&mut out, &answer.case, verification, wait)
        }
        VerifyFormat::None => Ok(()),
    }
}
