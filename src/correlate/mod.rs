//! From events to nodes, failed launches and keys. Pure, deterministic, and blind to the order in which
//! events arrive.

mod case;

pub use case::*;
