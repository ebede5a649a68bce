//! The model against the examples of the specification, and against the crates.

mod crates;
mod edits;
mod faults;
mod histories;
mod vectors;
