//! Subscriptions: what changed, where, by whom.

use changeset::{ChangeSetId, DocumentKey, Partition, Path};
use std::collections::BTreeMap;
use tokio::sync::broadcast;

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was made here.
    Local,
    /// It came from a peer, a bundle, or a change of what counts.
    Remote,
}

/// A document changed. All of it is durable and can be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The partition.
    pub partition: Partition,
    /// The document.
    pub document: DocumentKey,
    /// Each path with the change sets that touched it; with none where what counts moved. Who wrote a change set is in
    /// the document's history.
    pub paths: BTreeMap<Path, Vec<ChangeSetId>>,
    /// Where it came from.
    pub origin: Origin,
}

/// What a subscription gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A document changed.
    Changed(Change),
    /// The subscriber was too slow, and so many changes are not told one by one: read anew.
    Missed(u64),
}

/// The most changes that wait for a slow subscriber. Beyond it the oldest are dropped and their number is told.
pub(crate) const MAX_WAITING: usize = 1024;

/// A subscription. It holds nothing up: a slow subscriber misses changes and is told how many.
#[derive(Debug)]
pub struct Changes {
    pub(crate) receiver: broadcast::Receiver<Change>,
}

impl Changes {
    /// The next change; none when the store was closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.receiver.recv().await {
            Ok(change) => Some(Notice::Changed(change)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next change if there is one.
    pub fn poll(&mut self) -> Option<Notice> {
        match self.receiver.try_recv() {
            Ok(change) => Some(Notice::Changed(change)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(_) => None,
        }
    }
}
