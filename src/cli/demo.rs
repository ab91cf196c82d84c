//! `keytrail demo`: an incident that is built in, through the same steps as any archive.

use std::io::{self, Write as _};

use include_dir::{Dir, DirEntry, include_dir};

use super::Outcome;
use super::analyze::conclude;
use super::arguments::{Demo, Format};
use super::{output, pipeline};
use crate::archive::{Quiet, ReadOptions};
use crate::correlate::Question;
use crate::source::SourceObject;

const STORY: &str = "\
Terraform overwrites a key's policy: KMS refuses the key to Karpenter's nodes.
";

static INCIDENT: Dir<'_> =
    include_dir!("$CARGO_MANIFEST_DIR/sample-logs/07-policy-overwritten-by-terraform/AWSLogs");

pub(super) fn run(arguments: &Demo, is_quiet: bool) -> anyhow::Result<Outcome> {
    output::check(&arguments.output)?;
    if !is_quiet && matches!(arguments.output.output, Format::Table | Format::Wide) {
        writeln!(io::stderr(), "{STORY}")?;
    }
    let mut objects = Vec::new();
    collect(&INCIDENT, &mut objects);
    let question = Question::default();
    let answer = pipeline::answer(&objects, &ReadOptions::default(), &question, &Quiet);
    conclude(&answer, &question.filter, &arguments.output, is_quiet, &["keytrail analyze ./AWSLogs"])?;
    Ok(Outcome::Done)
}

fn collect(directory: &Dir<'static>, objects: &mut Vec<SourceObject>) {
    for entry in directory.entries() {
        match entry {
            DirEntry::Dir(inner) => collect(inner, objects),
            DirEntry::File(file) => {
                objects
                    .push(SourceObject::memory(&format!("demo:{}", file.path().display()), file.contents()));
            }
        }
    }
}
