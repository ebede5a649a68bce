//! The relay, over real sockets on loopback and as a real process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod admin;
mod exchange;
mod hostile;
mod process;
mod settings;
mod support;
mod tls;
