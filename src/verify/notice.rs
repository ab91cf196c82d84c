//! What is worth knowing beside the assertions and decides nothing: findings that no assertion cites, nodes that are
//! not judged, manifests that say less than they seem to.

use std::collections::BTreeSet;

use super::{Assertion, Check, Context, Notice, Outcome};
use crate::correlate::Confidence;
use crate::event::Text;
use crate::rules::wording::plain;
use crate::rules::{Finding, Subject, SubjectKind};

/// The notices, in the order of the findings, then of the nodes.
pub(super) fn notices(context: &Context<'_>, assertions: &[Assertion]) -> Vec<Notice> {
    let cited: BTreeSet<(&'static str, Option<&Text>)> = assertions
        .iter()
        .flat_map(|assertion| assertion.findings.iter().map(|rule| (*rule, assertion.node.as_ref())))
        .collect();
    let is_cited = |finding: &Finding| match finding.subject.kind {
        SubjectKind::Node => cited.contains(&(finding.rule, Some(&finding.subject.id))),
        _ => cited.iter().any(|(rule, _)| *rule == finding.rule),
    };
    // How nodes end (KT30x) is another question, but for launches that failed.
    let is_of_keys = |finding: &Finding| {
        ["KT1", "KT2", "KT4", "KT5"].iter().any(|family| finding.rule.starts_with(family))
            || finding.rule == "KT307"
    };
    let mut notices: Vec<Notice> = context
        .findings
        .iter()
        .filter(|finding| is_of_keys(finding) && !is_cited(finding))
        .map(|finding| Notice {
            rule: Some(finding.rule),
            subject: Some(finding.subject.clone()),
            text: finding.title.clone(),
            evidence: finding.evidence.clone(),
            location: None,
        })
        .collect();
    for node in &context.case.nodes {
        let text = if node.launched_at.is_none() {
            "Not judged: its launch is not in the archive"
        } else if context.is_without_volumes(node) {
            "Not judged: its root is on instance store and no EBS device is mapped, so that no key is applied"
        } else {
            continue;
        };
        notices.push(Notice {
            rule: None,
            subject: Some(Subject { kind: SubjectKind::Node, id: node.instance_id.clone() }),
            text: plain(text),
            evidence: Vec::new(),
            location: None,
        });
    }
    for assertion in assertions {
        // A default may be changed by anybody, for everybody: who relies on it should know.
        let is_by_default = assertion.check == Check::KeyExpected
            && assertion.result == Outcome::Pass
            && assertion.confidence == Confidence::Inferred;
        if let Some(node) = assertion.node.as_ref().filter(|_| is_by_default) {
            notices.push(Notice {
                rule: None,
                subject: Some(Subject { kind: SubjectKind::Node, id: node.clone() }),
                text: assertion.text.clone(),
                evidence: assertion.evidence.clone(),
                location: assertion.location.clone(),
            });
        }
    }
    notices.extend(context.manifest_notices());
    notices
}
