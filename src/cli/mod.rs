//! Arguments, wiring, progress, exit codes: the only place where anything is printed.
//!
//! One file per subcommand; [`main`] parses, dispatches and turns the outcome into an exit code. Results go
//! to standard output, everything else to standard error.

mod analyze;
mod arguments;
mod demo;
mod destination;
mod examples;
mod explain;
mod extract;
#[cfg(feature = "aws")]
mod lookup;
mod manifest;
mod manual;
mod next;
mod output;
mod pipeline;
mod progress;
mod rules;
mod sources;
mod verify;
mod wait;
mod window;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use arguments::{Arguments, Command, SchemaOf};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything was done.
    Done,
    /// A finding is too severe, or an assertion does not hold.
    Failed,
    /// Losses, where none are accepted, or an assertion that the evidence does not decide.
    Inconclusive,
    /// The archive does not hold what was asked for; that has been said.
    NotFound,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed => Self::from(1),
            Outcome::Inconclusive => Self::from(3),
            Outcome::NotFound => Self::from(FATAL),
        }
    }
}

/// Exit code of usage errors and of anything that ends a run early.
const FATAL: u8 = 2;

/// Runs the command with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    // Help and errors of usage are written before the arguments are known.
    let command = command().color(color_asked_for(std::env::args_os()));
    let parsed = command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, and clap knows which stream and code each wants.
            let code = u8::try_from(error.exit_code()).unwrap_or(FATAL);
            return match error.print() {
                Ok(()) => {
                    let is_missing = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                    if let Some(source) = source_as_subject(std::env::args_os()).filter(|_| is_missing) {
                        let source = crate::report::sanitize(&source).into_owned();
                        // Nothing can be done about an error message that cannot be written.
                        let _ = writeln!(
                            anstream::stderr(),
                            "\nhint: SUBJECT is missing, the node or key to be explained: keytrail explain SUBJECT {source}"
                        );
                    }
                    ExitCode::from(code)
                }
                Err(_) => ExitCode::from(FATAL),
            };
        }
    };
    arguments.color.write_global();
    match run(arguments) {
        Ok(outcome) => outcome.into(),
        // Who closes the pipe has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = chain(&error);
            let text = crate::report::sanitize(&text);
            // Nothing can be done about an error message that cannot be written.
            let _ = writeln!(anstream::stderr(), "error: {text}");
            ExitCode::from(FATAL)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.command {
        Command::Analyze(analyze) => analyze::run(&analyze, arguments.quiet),
        Command::Demo(demo) => demo::run(&demo, arguments.quiet),
        Command::Explain(explain) => explain::run(&explain, arguments.quiet),
        Command::Extract(extract) => extract::run(&extract, arguments.quiet),
        Command::Verify(verify) => verify::run(&verify, arguments.quiet),
        Command::Rules(rules) => rules::run(&rules),
        Command::Completions(completions) => manual::completions(&completions),
        Command::Man(manual) => manual::write_pages(&manual),
        Command::Schema(schema) => {
            let mut out = io::stdout().lock();
            match schema.of {
                SchemaOf::Analyze => crate::report::write_schema(&mut out),
                SchemaOf::Explain => crate::report::write_explanation_schema(&mut out),
                SchemaOf::Verify => crate::report::write_verification_schema(&mut out),
            }
            .context("writing to standard output")?;
            Ok(Outcome::Done)
        }
    }
}

/// What `--color` says, as clap will read it; the first one counts here, since two are an error anyway.
fn color_asked_for(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
    let asked = arguments.find_map(|argument| {
        let argument = argument.to_string_lossy().into_owned();
        if argument == "--color" {
            Some(None)
        } else {
            argument.strip_prefix("--color=").map(|when| Some(when.to_owned()))
        }
    });
    let when = match asked {
        Some(None) => arguments.next().map(|when| when.to_string_lossy().into_owned()),
        Some(Some(when)) => Some(when),
        None => None,
    };
    when.and_then(|when| when.parse().ok()).unwrap_or(ColorChoice::Auto)
}

/// The source of an `explain` that names nothing else: it was taken for the subject.
fn source_as_subject(arguments: impl Iterator<Item = OsString>) -> Option<String> {
    let mut words = arguments.skip(1).map(|word| word.to_string_lossy().into_owned());
    let is_explain = words.next()? == "explain";
    let source = words.next().filter(|_| is_explain)?;
    let path = std::path::Path::new(&source);
    (sources::is_in_aws(path) || source == "-" || path.exists()).then_some(source)
}

/// An error and its causes; a cause that an error tells itself is not told again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The command as clap knows it: for help texts that are generated into the documentation.
#[must_use]
pub fn command() -> clap::Command {
    manual::with_examples_first(Arguments::command())
}

#[cfg(test)]
mod tests {
    use clap::ColorChoice;

    use super::{chain, color_asked_for};

    #[test]
    fn what_the_system_says_is_told_once() {
        let denied = || std::io::Error::from_raw_os_error(13);
        let error = crate::source::disk::ListError::Unreadable { path: "logs".into(), source: denied() };
        let text = chain(&error.into());
        assert_eq!(text.matches("os error 13").count(), 1, "{text}");
        let text = chain(&anyhow::Error::new(denied()).context("case.json: cannot be written"));
        assert_eq!(text, format!("case.json: cannot be written: {}", denied()));
    }

    #[test]
    fn help_has_the_colours_that_the_arguments_ask_for() {
        let asked = |line: &str| color_asked_for(line.split(' ').map(Into::into));
        assert_eq!(asked("keytrail --color never --help"), ColorChoice::Never);
        assert_eq!(asked("keytrail analyze --color=always --help"), ColorChoice::Always);
        assert_eq!(asked("keytrail analyze --help"), ColorChoice::Auto);
        assert_eq!(asked("keytrail analyze --color"), ColorChoice::Auto);
        assert_eq!(asked("keytrail analyze --color pink"), ColorChoice::Auto);
        assert_eq!(asked("keytrail analyze -- --color never"), ColorChoice::Auto);
    }
}
