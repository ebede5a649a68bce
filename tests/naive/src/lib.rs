//! The judge of the simulator: what the bundles of replicas must mean, computed from `spec/` alone.
//!
//! It shares nothing with the crates that it judges: plain sets, maps and vectors, blake3 and ed25519. [`read()`] takes a
//! file of bundles and refuses what does not hold; [`verdicts`] says which change sets count by the records among them;
//! [`state()`] rebuilds every document of a partition under a mask, as [`masked_for`] gives it. Each module follows one part
//! of the specification, and says its rules without cleverness: everything is computed anew each time.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let partitions = naive::read(&std::fs::read("stick.fieldbook")?)?;
//! let verdicts = naive::verdicts(&partitions);
//! for partition in &partitions {
//!     let mask = naive::masked_for(&verdicts, partition, None);
//!     println!("{} {:x?}", partition.name(), naive::state(partition, &mask).digest);
//! }
//! # Ok(())
//! # }
//! ```

mod access;
mod bits;
mod body;
mod cbor;
mod conflict;
mod document;
mod entry;
mod fold;
mod hash;
mod names;
mod page;
mod partition;
mod record;
mod refused;
mod skeleton;
mod state;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use access::{Verdict, masked_for, verdicts};
pub use conflict::{Conflict, Rule};
pub use entry::Entry;
pub use fold::Fork;
pub use partition::{Partition, read};
pub use refused::Refused;
pub use state::{Document, Purges, Said, Standing, State, Value, state, state_with};

/// An id, a key or a hash.
pub type Id = [u8; 32];
