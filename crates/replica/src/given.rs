//! What the peer of a session gave in it: it need not be sent back.

use changeset::{ChangeSetId, Partition};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By the peer's key and log alone it cannot be told who gave something: a copy of a store has both until it notices. What
/// stood in our log when the session opened is known to whoever has our place in its log; what came since is known to it if
/// it came in this session.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<BTreeMap<Partition, Part>>);

#[derive(Debug)]
struct Part {
    /// Where our log ended when the partition was opened.
    began: u64,
    /// What came since and was not passed by its reader yet.
    ids: HashSet<ChangeSetId>,
}

impl Given {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition is opened, and our log ends there.
    pub(crate) fn began(&self, partition: &Partition, end: u64) {
        self.lock().entry(partition.clone()).or_insert_with(|| Part { began: end, ids: HashSet::new() });
    }

    /// The peer gives these.
    pub(crate) fn add(&self, partition: &Partition, ids: impl Iterator<Item = ChangeSetId>) {
        if let Some(part) = self.lock().get_mut(partition) {
            part.ids.extend(ids);
        }
    }

    /// Whether everything before a position stood there when the partition was opened.
    pub(crate) fn is_old(&self, partition: &Partition, end: u64) -> bool {
        self.lock().get(partition).is_some_and(|part| end <= part.began)
    }

    /// Whether the peer gave all of these in this session. They are forgotten then, since a reader passes them once; who
    /// reads them again is sent them, which costs bytes alone.
    pub(crate) fn take(&self, partition: &Partition, ids: &[ChangeSetId]) -> bool {
        let mut parts = self.lock();
        let Some(part) = parts.get_mut(partition) else { return false };
        let is_all = ids.iter().all(|id| part.ids.contains(id));
        if is_all {
            part.ids.retain(|id| !ids.contains(id));
        }
        is_all
    }
}
