//! From sources to the answer: the same steps for every command.

use super::arguments::{FilterArguments, KeyArguments, ReadingArguments, WindowArguments};
use super::{manifest, window};
use crate::archive::{self, Progress, ReadOptions};
use crate::correlate::{Case, Evidence, Expectations, Filter, Question, correlate};
use crate::event::Timestamp;
use crate::rules::{self, Concern, Finding, Severity, Subject};
use crate::source::SourceObject;

/// What the evidence says.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) case: Case,
    /// Empty where nobody is to be shown what they say.
    pub(super) findings: Vec<Finding>,
    /// What is left of the findings then; otherwise empty.
    concerns: Vec<Concern>,
}

impl Answer {
    /// How bad each finding is and what it is about, the worst first.
    pub(super) fn concerns(&self) -> impl Iterator<Item = (Severity, &Subject)> {
        let of_findings = self.findings.iter().map(|finding| (finding.severity, &finding.subject));
        of_findings.chain(self.concerns.iter().map(|concern| (concern.severity, &concern.subject)))
    }
}

/// Reads, gathers, correlates and judges, all of it on as many threads as `options` say.
pub(super) fn answer(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
) -> Answer {
    answer_by(objects, options, question, progress, |case| (rules::evaluate(case), Vec::new()))
}

/// As [`answer`], where nobody is to be shown what the findings say.
pub(super) fn answer_without_words(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
) -> Answer {
    answer_by(objects, options, question, progress, |case| (Vec::new(), rules::concerns(case)))
}

fn answer_by(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
    judge: fn(&Case) -> (Vec<Finding>, Vec<Concern>),
) -> Answer {
    let answer = || {
        let reading = archive::read(objects, options, progress);
        let mut coverage = reading.coverage;
        let evidence = Evidence::gather(reading.events);
        evidence.settle(&mut coverage);
        assert!(coverage.records.balance(), "every record has one fate: {:?}", coverage.records);
        let case = correlate(evidence, coverage, question);
        let (findings, concerns) = judge(&case);
        Answer { case, findings, concerns }
    };
    match rayon::ThreadPoolBuilder::new().num_threads(options.jobs).build() {
        Ok(pool) => pool.install(answer),
        Err(_) => answer(),
    }
}

/// The question that the arguments ask.
pub(super) fn question(
    window: &WindowArguments,
    filter: &FilterArguments,
    keys: &KeyArguments,
) -> anyhow::Result<Question> {
    let now = jiff::Timestamp::now().as_second();
    let window = window::read(window, Timestamp::from_second(now))?;
    Ok(Question {
        expectations: Expectations {
            key: keys.expect_key.clone(),
            aliases: keys.alias.iter().cloned().collect(),
            manifest: manifest::read(keys)?,
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

/// How to read, as the arguments say.
pub(super) fn read_options(arguments: &ReadingArguments) -> ReadOptions {
    let default = ReadOptions::default();
    ReadOptions {
        jobs: arguments.jobs.map_or(default.jobs, usize::from),
        record_bytes_max: arguments.record_bytes_max.unwrap_or(default.record_bytes_max),
    }
}
