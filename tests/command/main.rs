//! The command as its users run it: the built program, its exit code, and what it writes where.

mod exports;
mod filters;
mod keytrail;
mod manifests;
mod screen;
mod sources;
