//! What a replica counts. Device and relay count the same things under the same names.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// Counts since the replica was opened.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: Counter,)*
        }

        impl Counters {
            /// Every counter by name, with what it counts.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_start(), self.$name.get()),)*]
            }
        }
    };
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Sessions whose handshake was completed.
    sessions,
    /// Attempts to connect to a peer.
    attempts,
    /// Sessions and attempts that ended with an error.
    failures,
    /// Bytes of frames received.
    bytes_in,
    /// Bytes of frames sent.
    bytes_out,
    /// Change sets that entered a log from peers.
    change_sets_in,
    /// Change sets sent in pages.
    change_sets_out,
    /// Pages received.
    pages_in,
    /// Pages sent.
    pages_out,
    /// Change sets that peers sent and that were held already.
    duplicates,
    /// Change sets put aside until their authority is known.
    held,
    /// Change sets that were put aside and entered later.
    released,
    /// Change sets that were refused.
    refused,
    /// Receipts received.
    receipts,
    /// Comparisons of tips that came to an end.
    reconciliations,
    /// Deliveries that were committed, or failed to be.
    commits,
    /// Microseconds from handing a delivery to the writer until it was durable, over all of them.
    commit_microseconds,
    /// Times that a peer was asked to wait.
    busy,
    /// Pages that were asked for again as runs.
    verbatim,
}
