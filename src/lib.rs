//! keytrail reads CloudTrail archives and says, for every Karpenter node, which KMS key was configured
//! for its EBS volumes, which one was really used, and why the node ended.
//!
//! Data flows one way, and a lower layer never imports an upper one:
//!
//! ```text
//! event -> archive (fed by source) -> correlate -> rules -> verify -> report -> cli
//! ```
//!
//! `ARCHITECTURE.md` in the repository is the map.

pub mod archive;
pub mod cli;
pub mod correlate;
pub mod event;
pub mod extract;
pub mod manifest;
pub mod policy;
pub mod report;
pub mod rules;
pub mod source;
pub mod verify;
