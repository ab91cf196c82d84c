//! Arguments, wiring, progress, exit codes: the only place where anything is printed.
//!
//! One file per subcommand; [`main`] parses, dispatches and turns the outcome into an exit code. Results go
//! to standard output, everything else to standard error.

mod analyze;
mod arguments;
mod demo;
mod explain;
mod manifest;
mod output;
mod pipeline;
mod progress;
mod rules;
mod sources;
mod window;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Command, SchemaOf};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything was done.
    Done,
    /// A finding is too severe.
    Failed,
    /// Losses, where none are accepted.
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, and clap knows which stream and code each wants.
            let code = u8::try_from(error.exit_code()).unwrap_or(FATAL);
            return match error.print() {
                Ok(()) => ExitCode::from(code),
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
            let text = format!("{error:#}");
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
        Command::Rules(rules) => rules::run(&rules),
        Command::Schema(schema) => {
            let mut out = io::stdout().lock();
            match schema.of {
                SchemaOf::Analyze => crate::report::write_schema(&mut out),
                SchemaOf::Explain => crate::report::write_explanation_schema(&mut out),
            }
            .context("writing to standard output")?;
            Ok(Outcome::Done)
        }
    }
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
    Arguments::command()
}
