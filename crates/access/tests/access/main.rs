//! Tests of access through the public interface alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod admission;
mod authority;
mod hostile;
mod joining;
mod naive;
mod properties;
mod records;
mod support;
mod vectors;
mod verdicts;
