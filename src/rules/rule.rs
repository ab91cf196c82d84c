//! What a rule is: an id, a severity, a page of documentation, and a function from one view to a verdict.
//!
//! A view comes in, one of three verdicts goes out. A rule reads no clock and no file, and knows no other rule.

use hashbrown::HashSet;

use super::finding::{Finding, Severity, Subject, SubjectKind};
use super::view::{FleetView, KeyView, NodeView};
use crate::correlate::Confidence;
use crate::event::Text;

/// The headings of [`Rule::docs`], in order.
pub const HEADINGS: [&str; 5] =
    ["Concludes", "Evidence required", "What would disprove it", "Blind spots", "References"];

/// So many events are compared with each other rather than hashed.
const FEW_EVENTS: usize = 8;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// `KT` and three digits.
    pub id: &'static str,
    /// The cause that it finds, such as `kms-denied-by-identity-policy`.
    pub name: &'static str,
    /// How bad it is, unless a finding says otherwise.
    pub severity: Severity,
    /// One line: when it fires.
    pub summary: &'static str,
    /// Markdown: one `##` section for each of [`HEADINGS`].
    pub docs: &'static str,
    /// The function.
    pub(super) evaluate: Evaluate,
}

/// The function of a rule, by what it looks at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Evaluate {
    /// One node.
    Node(fn(&NodeView<'_>) -> Verdict),
    /// One key that launches used or were refused.
    Key(fn(&KeyView<'_>) -> Verdict),
    /// All nodes, failed launches, accounts and the archive.
    Fleet(fn(&FleetView<'_>) -> Vec<Verdict>),
}

/// What a rule says of what it looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It concludes.
    Fires(Box<Finding>),
    /// The evidence is there, and it is not so.
    Silent,
    /// The archive cannot tell; what is missing.
    Undetermined(Vec<String>),
}

impl Verdict {
    /// Fires, if the finding rests on an event; else it says that nothing can be told.
    pub(super) fn fires(mut finding: Finding) -> Self {
        match finding.evidence.len() {
            0 | 1 => {}
            2..=FEW_EVENTS => {
                let mut kept = 1;
                for next in 1..finding.evidence.len() {
                    if !finding.evidence[..kept].contains(&finding.evidence[next]) {
                        finding.evidence.swap(kept, next);
                        kept += 1;
                    }
                }
                finding.evidence.truncate(kept);
            }
            _ => {
                let mut seen = HashSet::with_capacity(finding.evidence.len());
                finding.evidence.retain(|id| seen.insert(id.clone()));
            }
        }
        if finding.evidence.is_empty() {
            return Self::undetermined("an event that says so");
        }
        Self::Fires(Box::new(finding))
    }

    /// What it concludes.
    pub(super) fn into_finding(self) -> Option<Box<Finding>> {
        match self {
            Self::Fires(finding) => Some(finding),
            Self::Silent | Self::Undetermined(_) => None,
        }
    }

    /// Undetermined, for want of one thing.
    pub(super) fn undetermined(missing: impl Into<String>) -> Self {
        Self::Undetermined(vec![missing.into()])
    }
}

impl Rule {
    /// A finding of this rule whose texts are still to be written.
    pub(super) fn finding(&self, subject: Subject, confidence: Confidence, title: String) -> Finding {
        Finding {
            rule: self.id,
            name: self.name,
            severity: self.severity,
            confidence,
            subject,
            title,
            explanation: String::new(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            missing: Vec::new(),
            remediation: None,
        }
    }

    /// The page of the rule, as in `docs/rules/`.
    #[must_use]
    pub fn page(&self) -> String {
        format!(
            "# {}: {}\n\n{}\n\nSeverity: {}.\n\n{}\n",
            self.id,
            self.name,
            self.summary,
            self.severity.name(),
            self.docs.trim()
        )
    }
}

impl Severity {
    /// As written in the JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Subject {
    pub(super) fn new(kind: SubjectKind, id: impl Into<Text>) -> Self {
        Self { kind, id: id.into() }
    }

    pub(super) fn node(view: &NodeView<'_>) -> Self {
        Self::new(SubjectKind::Node, view.node.instance_id.clone())
    }

    /// An account in a region.
    pub(super) fn place(account_id: &str, region: &str) -> Self {
        Self::new(SubjectKind::Account, format!("{account_id}/{region}"))
    }
}
