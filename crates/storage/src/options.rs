//! How a store is kept.

use crate::outside::{Clock, Random, system_clock};
use changeset::Signer;
use core::fmt;
use std::sync::Arc;

/// Options of a store. Every default is meant for a phone; a relay raises the cache and the groups.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Bytes of the file kept in memory. Default 4 MiB. Less: every read goes to the system's cache (still hundreds of
    /// thousands a second). More: memory that does nothing once the working set fits.
    pub cache_bytes: usize,
    /// Whether every commit also writes what makes opening after a crash fast. Default true: 0.7 ms after a crash
    /// instead of 300 ms for each million records, at half the rate of durable commits (group commit hides most of it).
    pub quick_repair: bool,
    /// The most batches that wait in each lane. Default 1,024. Fewer: senders hear [`crate::StorageError::Busy`] sooner.
    /// More: memory, and a longer wait behind others.
    pub queue_batches: usize,
    /// The most entries of one group commit. Default 4,096. 1 turns grouping off (a sync for each batch); more makes one
    /// transaction, and what waits behind it, longer.
    pub group_entries: usize,
    /// The most bytes of entries of one group commit. Default 4 MiB; see `group_entries`.
    pub group_bytes: usize,
    /// The most entries that wait in the inbox of one log. Default 16,384. Less: sooner [`crate::Appended::overflow`].
    /// More: that much more disk a peer can fill with entries whose parents never come.
    pub inbox_entries: u64,
    /// The most bytes of entries that wait in the inbox of one log. Default 64 MiB; see `inbox_entries`.
    pub inbox_bytes: u64,
    /// Whether the writer merges small pages while it has nothing else to do. Default true. Without it a log of
    /// single edits takes about twice the space and a first meeting costs a signature check for each entry.
    pub merge_when_idle: bool,
    /// The device key, where it lives in hardware. Default none: the store draws a secret and keeps it.
    pub signer: Option<Arc<dyn Signer>>,
    /// What this store is, for people and for [`crate::Store::role`]: `device`, `relay`. Default `device`. Only read at
    /// create.
    pub role: String,
    /// Where keys and incarnations are drawn from. Default: the operating system.
    pub random: Random,
    /// The wall clock, by which receipts and what waits are dated. Default: the system's.
    pub clock: Clock,
    /// Whether nothing is written but when [`crate::Store::step`] is called (or somebody waits in
    /// [`crate::Store::commit_now`]): for simulations, where one thread does everything in an order that a seed gives.
    /// Default false: a thread of the store's own writes.
    pub is_stepped: bool,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({}, {} cache bytes, {:?})", self.role, self.cache_bytes, self.random)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 20,
            quick_repair: true,
            queue_batches: 1024,
            group_entries: 4096,
            group_bytes: 4 << 20,
            inbox_entries: 16_384,
            inbox_bytes: 64 << 20,
            merge_when_idle: true,
            signer: None,
            role: "device".to_owned(),
            random: Random::system(),
            clock: system_clock(),
            is_stepped: false,
        }
    }
}
