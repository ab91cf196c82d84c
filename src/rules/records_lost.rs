//! Records were lost: objects that could not be read, records that are no JSON, fields that CloudTrail left out.
//!
//! The coverage and the events come in; one finding about the archive goes out. A lost object has no event
//! to cite; the coverage names it.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity, Subject, SubjectKind};
use super::remedy;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::FleetView;
use super::wording::{count, list, plain, verb};
use crate::correlate::Confidence;
use crate::event::LossKind;

pub(super) static RULE: Rule = Rule {
    id: "KT503",
    name: "records-lost",
    severity: Severity::Medium,
    summary: "Records were lost: unreadable objects or truncated fields.",
    docs: "\
## Concludes

Part of the archive could not be read, or CloudTrail itself left a field of a record out for its size. What stood there is not known, and
no conclusion rests on its absence.

## Evidence required

An object that cannot be opened, inflated or parsed to its end; a record that is no CloudTrail record; a record that says `omitted`.

## What would disprove it

A whole copy of the same objects.

## Blind spots

A file that was never copied leaves no trace here, but perhaps a silence (KT502). The trail's digests tell it for sure: AWS checks them
with `aws cloudtrail validate-logs`, keytrail does not.

## References

- <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>
- <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html>
",
    evaluate: Evaluate::Fleet(evaluate),
};

/// Most events that the finding names.
const NAMED_MAX: usize = 20;

fn evaluate(view: &FleetView<'_>) -> Vec<Verdict> {
    let case = view.facts.case;
    let coverage = &case.coverage;
    let omitted: Vec<_> = view.facts.omitted().collect();
    if coverage.losses.is_empty() && omitted.is_empty() {
        let is_empty = coverage.objects.read == 0 && coverage.records.read == 0;
        return vec![if is_empty {
            Verdict::undetermined("everything: nothing was read")
        } else {
            Verdict::Silent
        }];
    }
    let mut kinds: BTreeMap<LossKind, usize> = BTreeMap::new();
    for loss in &coverage.losses {
        *kinds.entry(loss.kind).or_default() += 1;
    }
    let mut parts: Vec<String> = kinds.iter().map(|(kind, number)| words(*kind, *number)).collect();
    // The objects' names stand in the coverage: a finding is the same after they were renamed.
    let mut missing: Vec<String> =
        parts.iter().map(|part| format!("what stood in {part}: the coverage's losses name them")).collect();
    if !omitted.is_empty() {
        parts.push(format!("{} of which CloudTrail left a field out", count(omitted.len(), "record")));
    }
    missing.extend(omitted.iter().take(NAMED_MAX).map(|event| {
        format!("a field of {} at {} (event {})", plain(&event.name), event.time, event.event_id)
    }));
    let number = coverage.losses.len() + omitted.len();
    // A loss has no event to cite: the coverage's losses are the evidence.
    vec![Verdict::Fires(Box::new(Finding {
        explanation: format!(
            "The archive holds {}. What stood there is not known: nothing is concluded from its absence, and counts and \
             first times may be wrong by it.",
            list(parts, 12)
        ),
        evidence: omitted.iter().map(|event| event.event_id.clone()).collect(),
        ruled_out: Vec::new(),
        missing,
        remediation: Some(remedy::words(
            "Copy the objects again from the trail's bucket, and read them with `--strict`, which fails as long as \
             something is lost. `aws cloudtrail validate-logs` tells whether the bucket itself is whole.",
            "the archive",
        )),
        ..RULE.finding(
            Subject::new(SubjectKind::Archive, "archive"),
            Confidence::Observed,
            format!("{} of the archive {} lost", count(number, "part"), verb(number, "is", "are")),
        )
    }))]
}

fn words(kind: LossKind, number: usize) -> String {
    let (what, why) = match kind {
        LossKind::Unreadable => ("object", "that could not be opened or fetched"),
        LossKind::EmptyObject => ("object", "without a byte in it"),
        LossKind::TruncatedCompression => ("object", "whose compressed stream ends early"),
        LossKind::CorruptCompression => ("object", "whose compressed stream is damaged"),
        LossKind::TruncatedJson => ("object", "whose JSON ends early"),
        LossKind::InvalidJson => ("place", "where a record should be and no JSON is"),
        LossKind::InvalidUtf8 => ("record", "that is no UTF-8"),
        LossKind::RecordTooLarge => ("record", "larger than the limit"),
        LossKind::NotARecord => ("value", "that is no CloudTrail record"),
        LossKind::IncompleteRecord => ("record", "without what every record has"),
        LossKind::IncompleteExtract => ("extract", "that is not whole"),
    };
    format!("{} {why}", count(number, what))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::event::{Loss, LossKind};
    use crate::rules::rule::Verdict;
    use crate::rules::testing::{Log, is_undetermined, of_fleet, only_finding};

    #[test]
    fn fires_and_names_what_could_not_be_read() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        let loss = |object: &str, kind| Loss {
            object: object.into(),
            record: None,
            kind,
            detail: "ends early".into(),
        };
        log.coverage.losses = vec![
            loss("two.json.gz", LossKind::TruncatedCompression),
            loss("one.json.gz", LossKind::TruncatedCompression),
            loss("three.json.gz", LossKind::EmptyObject),
        ];
        let finding = only_finding(of_fleet(&RULE, &log.case()));
        assert_eq!(finding.title, "3 parts of the archive are lost");
        assert!(finding.explanation.contains("2 objects whose compressed stream ends early"));
        assert_eq!(finding.missing.len(), 2);
        let remedy = finding.remediation.as_ref().expect("a remedy");
        assert!(remedy.summary.contains("`aws cloudtrail validate-logs`"), "{}", remedy.summary);
        assert!(!remedy.summary.contains("keytrail validate"), "there is no such command");
        assert!(!format!("{finding:?}").contains("one.json.gz"), "names of files change nothing");
    }

    #[test]
    fn fires_for_a_field_that_cloudtrail_left_out() {
        let mut log = Log::new();
        log.by_terraform(
            "09:00:00",
            ("ec2", "ModifyEbsDefaultKmsKeyId"),
            r#""requestParameters":{"omitted":true}"#,
        );
        let event = log.last_id();
        assert_eq!(only_finding(of_fleet(&RULE, &log.case())).evidence, [event]);
    }

    #[test]
    fn silent_for_an_archive_read_to_its_end() {
        let mut log = Log::new();
        log.launch("a", "10:00:00");
        assert_eq!(of_fleet(&RULE, &log.case()), [Verdict::Silent]);
    }

    #[test]
    fn undetermined_when_nothing_was_read() {
        assert!(of_fleet(&RULE, &crate::correlate::Case::default()).iter().all(is_undetermined));
    }
}
