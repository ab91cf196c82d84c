//! Rules: from a case to findings. One rule sees the case and says what it concludes; it does no I/O and
//! reads no clock.

mod finding;
pub mod remediation;

pub use finding::{Document, Finding, Remediation, Severity, Subject, SubjectKind};

/// What the rules conclude.
#[must_use]
pub fn evaluate(_case: &crate::correlate::Case) -> Vec<Finding> {
    Vec::new()
}
