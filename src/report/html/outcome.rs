//! How a node fared, in one of five words: what lanes, tables and flows are coloured by.
//!
//! A node's verdict and end come in, an [`Outcome`] goes out. It never says more than these two do; colour is
//! never the only sign of it.

use crate::correlate::{KeyVerdict, Node, TerminationCause};

/// How a node fared, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Outcome {
    /// KMS refused a key.
    Refused,
    /// Under another key than expected, or unencrypted.
    OtherKey,
    /// Ended by something other than its key or plain scale-down.
    Ended,
    /// Nothing to compare its key with, or the key is not known.
    NotKnown,
    /// Under the expected key.
    AsExpected,
}

impl Outcome {
    pub(super) const ALL: [Self; 5] =
        [Self::Refused, Self::OtherKey, Self::Ended, Self::NotKnown, Self::AsExpected];

    pub(super) fn of(node: &Node) -> Self {
        let cause = node.termination.as_ref().map(|termination| termination.cause);
        match (node.key_verdict, cause) {
            (KeyVerdict::Denied, _)
            | (_, Some(TerminationCause::KmsDenied | TerminationCause::KmsKeyUnusable)) => Self::Refused,
            (KeyVerdict::Mismatch | KeyVerdict::Unencrypted, _) => Self::OtherKey,
            (
                _,
                Some(
                    TerminationCause::SpotInterruption
                    | TerminationCause::RegistrationTimeout
                    | TerminationCause::TerminatedByPrincipal
                    | TerminationCause::LaunchAborted,
                ),
            ) => Self::Ended,
            (KeyVerdict::NoExpectation | KeyVerdict::Unknown, _) => Self::NotKnown,
            (KeyVerdict::Match, _) => Self::AsExpected,
        }
    }

    /// Its class in the style sheet, which the script filters by too.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::OtherKey => "other-key",
            Self::Ended => "ended",
            Self::NotKnown => "not-known",
            Self::AsExpected => "as-expected",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Refused => "key refused",
            Self::OtherKey => "another key",
            Self::Ended => "ended otherwise",
            Self::NotKnown => "key not compared",
            Self::AsExpected => "as expected",
        }
    }
}
