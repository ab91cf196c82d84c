//! Incidents and near-misses, written as CloudTrail writes them, against answers worked out by hand from what
//! CloudTrail can and cannot show.
//!
//! Each file holds one question: which events belong to a node ([`joins`]), which key it should have and had
//! ([`keys`], [`manifests`]), what records say that lack something or contradict each other ([`nameless`],
//! [`contradictions`]), which refusals stand ([`refusals`]), what can be said without KMS events ([`verdicts`]), how
//! it ended ([`ends`]), which launches failed ([`failed_launches`]), whose nodes these are ([`owners`]), shapes and
//! copies of records ([`shapes`]), and that the order of events changes nothing ([`order`]).

mod contradictions;
mod ends;
mod failed_launches;
mod joins;
mod keys;
mod manifests;
mod nameless;
mod order;
mod owners;
mod record;
mod refusals;
mod shapes;
mod verdicts;
