//! How waiting for evidence ended.

use schemars::JsonSchema;
use serde::Serialize;

/// The waiting for evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// How it ended.
    pub ended: WaitEnd,
    /// How long it might have taken, in seconds.
    pub seconds_max: u64,
    /// How often the sources were read.
    pub looks: u64,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitEnd {
    /// Nothing that time could bring was missing any more.
    Complete,
    /// Something failed that nothing that might still come could undo.
    Failed,
    /// Time was out.
    TimedOut,
    /// The user stopped it.
    Interrupted,
}

impl Wait {
    /// In a sentence, without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        let looks = if self.looks == 1 { "1 look".to_owned() } else { format!("{} looks", self.looks) };
        match self.ended {
            WaitEnd::Complete => {
                format!("Waited for evidence: all that time could bring was there after {looks}")
            }
            WaitEnd::Failed => {
                format!("Waited for evidence: ended early after {looks}, because a failure is final")
            }
            WaitEnd::TimedOut => {
                format!("Waited for evidence: {} s were over, after {looks}", self.seconds_max)
            }
            WaitEnd::Interrupted => {
                format!("Waited for evidence: interrupted after {looks}; this is what was known by then")
            }
        }
    }
}
