//! States that can be read and watched.

use changeset::ChangeSetId;
use std::time::Duration;
use tokio::sync::watch;

/// How this device stands with a peer, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connectivity {
    /// Not connected.
    Offline {
        /// Since when, in milliseconds since 1970.
        since_ms: u64,
    },
    /// Trying.
    Connecting {
        /// Which attempt since it was connected last, from 1.
        attempt: u32,
        /// When the next one follows, if this one failed: milliseconds since 1970.
        next_try_ms: Option<u64>,
        /// Why the last one failed.
        error: Option<String>,
    },
    /// Exchanging.
    Syncing {
        /// Change sets still to be acknowledged by the peer.
        to_send: u64,
        /// Change sets known of and still to be received.
        to_receive: u64,
    },
    /// Both sides hold what the other had. What came from another relay since the call began is left to the relays to exchange
    /// for up to ten minutes, and not waited for.
    UpToDate {
        /// When that was last so, in milliseconds since 1970.
        as_of_ms: u64,
    },
    /// Connected, and something is not permitted.
    Restricted {
        /// What, and what to do.
        why: String,
    },
}

/// Own work that no relay has acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outbox {
    /// How many change sets.
    pub count: u64,
    /// The time of the oldest, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Those that a relay refused; they stay here and are offered again.
    pub refused: Vec<ChangeSetId>,
}

/// What came and waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inbox {
    /// Change sets that wait for others.
    pub waiting: u64,
    /// Change sets that do not count until their authority is known.
    pub undecided: u64,
    /// Documents that have something new and are not built yet.
    pub pending_documents: u64,
}

/// A state that changes: read it, or wait for it. Clones watch the same.
#[derive(Clone, Debug)]
pub struct Watched<T>(pub(crate) watch::Receiver<T>);

impl<T: Clone> Watched<T> {
    /// As it is now.
    pub fn now(&self) -> T {
        self.0.borrow().clone()
    }

    /// Waits until it changed since this was last asked; none when nothing changes any more. Cancel safe.
    pub async fn changed(&mut self) -> Option<T> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits until it is as wanted; none when nothing changes any more. Cancel safe.
    pub async fn until(&mut self, wanted: impl FnMut(&T) -> bool) -> Option<T> {
        self.0.wait_for(wanted).await.ok().map(|state| state.clone())
    }
}

/// How long to wait before attempt `attempt` (from 1): exponential from half a second to a minute, with full jitter, so
/// that a thousand devices do not come back at once. `random` is uniform over all its values.
pub(crate) fn backoff(attempt: u32, random: u32) -> Duration {
    let ceiling_ms = 500u64.saturating_mul(1 << attempt.saturating_sub(1).min(7)).min(60_000);
    Duration::from_millis(ceiling_ms * u64::from(random) / u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_a_minute_and_is_spread_over_all_of_it() {
        assert_eq!(backoff(1, u32::MAX), Duration::from_millis(500));
        assert_eq!(backoff(1, 0), Duration::ZERO);
        assert_eq!(backoff(40, u32::MAX), Duration::from_secs(60));
        assert!(backoff(4, u32::MAX / 2) < backoff(4, u32::MAX));
    }
}
