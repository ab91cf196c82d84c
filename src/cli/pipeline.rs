//! From sources to the answer: the same steps for every command.

use super::arguments::{FilterArguments, KeyArguments, ReadingArguments, WindowArguments};
use super::{manifest, window};
use crate::archive::{self, Progress, ReadOptions};
use crate::correlate::{Case, Evidence, Expectations, Filter, Question, correlate};
use crate::event::Timestamp;
use crate::rules::{self, Finding};
use crate::source::SourceObject;

/// What the evidence says.
pub(super) struct Answer {
    pub(super) case: Case,
    pub(super) findings: Vec<Finding>,
}

/// Reads, gathers, correlates and judges, all of it on as many threads as `options` say.
pub(super) fn answer(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
) -> Answer {
    answer_by(objects, options, question, progress, rules::evaluate)
}

/// As [`answer`], but the findings lack their words: for an answer that nobody reads, and only its gravity counts.
pub(super) fn answer_without_words(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
) -> Answer {
    answer_by(objects, options, question, progress, rules::evaluate_without_words)
}

fn answer_by(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
    evaluate: fn(&Case) -> Vec<Finding>,
) -> Answer {
    let answer = || {
        let reading = archive::read(objects, options, progress);
        let mut coverage = reading.coverage;
        let evidence = Evidence::gather(reading.events);
        evidence.settle(&mut coverage);
        assert!(coverage.records.balance(), "every record has one fate: {:?}", coverage.records);
        let case = correlate(evidence, coverage, question);
        let findings = evaluate(&case);
        Answer { case, findings }
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
