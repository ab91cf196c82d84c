//! AWS as a source, over real HTTP: everything here talks to a server on loopback (`server.rs`, `server.py`).

mod lookup;
mod s3;
#[allow(dead_code, reason = "each test uses its own part of it")]
mod sample;
#[allow(dead_code, reason = "each test uses its own part of it")]
mod server;
mod server_itself;
mod verify;
