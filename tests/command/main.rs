//! The command as its users run it: the built program, its exit code, and what it writes where.

mod exports;
mod extract;
mod filters;
mod keytrail;
mod manifests;
mod manual;
mod screen;
mod sources;
mod terminal;
mod verify;
