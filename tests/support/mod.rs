//! CloudTrail records as AWS writes them, incidents made of them, and archives made of incidents.
//!
//! Tests include it with `mod support;`, examples and benches with `#[path = "../tests/support/mod.rs"]`.
//! Everything is made from seeds: the same program always writes the same bytes. Account ids are the
//! reserved example ones. [`incident::Incident`] is the way in.

#![allow(dead_code, reason = "each test, example and bench uses its own part of it")]

pub mod archive;
pub mod cluster;
pub mod configuration;
pub mod container;
pub mod ec2;
pub mod ending;
pub mod identity;
pub mod ids;
pub mod incident;
pub mod incidents;
pub mod json;
pub mod kms;
pub mod noise;
pub mod record;
pub mod stream;
