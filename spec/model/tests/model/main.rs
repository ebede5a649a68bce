//! The model in a reduced form, other rules that it must find out, and the model beside the crate that is built.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod beside_access;
mod checks;
