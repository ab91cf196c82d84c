//! The vocabulary: one CloudTrail record, typed.
//!
//! Bytes of one record come in, one [`Event`] goes out, whatever container the record was found in.
//! Nothing here does I/O or reads a clock. Fields that no rule needs are left in the raw record, which
//! [`Origin`] leads back to.

mod arn;
mod coverage;
mod denial;
mod detail;
mod id;
mod identity;
mod parse;
mod record;
mod relevance;
mod text;
mod time;

pub use arn::{KeyArn, is_key_id, partition_of_region};
pub use coverage::{
    Coverage, ExtractParts, HourActivity, Loss, LossKind, ObjectCounts, RecordCounts, Scope, ScopeActivity,
};
pub use denial::{Denial, DenialKind, ExplicitDenyIn, is_key_state_failure, is_refusal, is_throttling};
pub use detail::{
    AliasChange, BlockDevice, Detail, EbsDefault, EventSelectors, FleetError, FleetInstance, FleetLaunch,
    ImageCopy, InstanceState, KeyStateChange, KmsOperation, KmsUse, Launch, LaunchTemplate,
    LaunchTemplateDefault, LaunchedInstance, NamedTemplate, NodeTags, PolicyChange, VolumeChange,
};
pub use id::Id;
pub use identity::{EC2_FRONT_END, Identity, IdentityKind};
pub use parse::{EventParser, ParseError, Parsed};
pub use record::{ApiError, Event, Origin};
pub(crate) use relevance::rows_named;
pub use relevance::{KMS_MARKS, Relevance, TABLE as RELEVANCE_TABLE, TAG_MARKS, relevance};
pub use text::Text;
pub use time::Timestamp;
