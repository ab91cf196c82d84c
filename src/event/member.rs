//! JSON members.
