//! `keytrail demo`: an incident that is built in, through the same steps as any archive.

use std::io::{self, Write as _};

use super::Outcome;
use super::analyze::conclude;
use super::arguments::{Demo, Format};
use super::{output, pipeline};
use crate::archive::{Quiet, ReadOptions};
use crate::correlate::Question;
use crate::source::SourceObject;

const STORY: &str = "\
A key policy is overwritten by Terraform; from then on KMS refuses the key to Karpenter's nodes.
";

pub(super) fn run(arguments: &Demo, is_quiet: bool) -> anyhow::Result<Outcome> {
    output::check(&arguments.output)?;
    if !is_quiet && matches!(arguments.output.output, Format::Table | Format::Wide) {
        writeln!(io::stderr(), "{STORY}")?;
    }
    let objects: Vec<SourceObject> = super::demo_objects::OBJECTS
        .iter()
        .map(|(uri, bytes)| SourceObject::memory(uri, *bytes))
        .collect();
    let answer = pipeline::answer(&objects, &ReadOptions::default(), &Question::default(), &Quiet);
    conclude(&answer, &arguments.output, is_quiet, false, &["keytrail analyze ./AWSLogs"])
}
