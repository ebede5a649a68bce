//! Real processes that are killed, lied to and starved: devices and a relay lose nothing that they reported as saved, and say
//! what is wrong, where, and what helps.
//!
//! A device is the `fieldbook` command, or this test binary started again as an app that embeds the crate ([`driver`]):
//! the command ends after each change, and an app that is killed in the middle of its work does not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod crashes;
mod damage;
mod driver;
mod hostile;
mod limits;
mod support;
mod traces;
mod wire;
