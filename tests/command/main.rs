//! The command as its users run it: the built program, its exit code, and what it writes where.

mod exports;
mod extract;
#[cfg(feature = "parquet")]
mod extract_parquet;
mod filters;
mod keytrail;
mod manifests;
mod manual;
mod screen;
mod sources;
mod terminal;
mod verify;
