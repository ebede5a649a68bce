//! The sync protocol, two sessions at a time, on a virtual clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod asking;
mod comparing;
mod cutting;
mod handshake;
mod limits;
mod model;
mod opening;
mod puppet;
mod refusing;
mod schedules;
mod streaming;
mod tampering;
mod vectors;
mod world;
