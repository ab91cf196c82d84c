//! From sources to the answer: the same steps for every command.

use crate::archive::{self, Progress, ReadOptions};
use crate::correlate::{Case, Evidence, Question, correlate};
use crate::rules::{self, Finding};
use crate::source::SourceObject;

/// What the evidence says.
pub(super) struct Answer {
    pub(super) case: Case,
    pub(super) findings: Vec<Finding>,
}

/// Reads, gathers, correlates and judges.
pub(super) fn answer(
    objects: &[SourceObject],
    options: &ReadOptions,
    question: &Question,
    progress: &dyn Progress,
) -> Answer {
    let reading = archive::read(objects, options, progress);
    let mut coverage = reading.coverage;
    let evidence = Evidence::gather(reading.events);
    evidence.settle(&mut coverage);
    assert!(coverage.records.balance(), "every record has one fate: {:?}", coverage.records);
    let case = correlate(evidence, coverage, question);
    let findings = rules::evaluate(&case);
    Answer { case, findings }
}
