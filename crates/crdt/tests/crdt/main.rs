//! Tests of documents through the public interface alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod basics;
mod behaviours;
mod convergence;
mod editor;
mod late_text;
mod pending;
mod properties;
mod support;
mod traces;
mod vectors;
