//! What the peer of a session gave in it: it need not be sent back. And what it was not given, because another relay is
//! trusted to.

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
    /// What was left to another relay to give to the peer, and what the peer did not give since; that of the last wait, and
    /// that of those before it.
    owed: HashSet<ChangeSetId>,
    long_owed: HashSet<ChangeSetId>,
}

/// The most that is kept of what a peer gave, which matters until our reader passed it; beyond it some is sent back, which
/// costs bytes alone.
const MAX_GIVEN: usize = 1 << 16;

/// The most that is looked for; of what is beyond, nothing is said until it is fewer.
const MAX_OWED: usize = 1 << 16;

impl Part {
    fn owes(&self) -> bool {
        !self.owed.is_empty() || !self.long_owed.is_empty()
    }
}

impl Given {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition is opened, and our log ends there.
    pub(crate) fn began(&self, partition: &Partition, end: u64) {
        self.lock().entry(partition.clone()).or_insert_with(|| Part {
            began: end,
            ids: HashSet::new(),
            owed: HashSet::new(),
            long_owed: HashSet::new(),
        });
    }

    /// The peer gives these.
    pub(crate) fn add(&self, partition: &Partition, ids: impl Iterator<Item = ChangeSetId>) {
        if let Some(part) = self.lock().get_mut(partition) {
            if part.ids.len() > MAX_GIVEN {
                part.ids.clear();
            }
            for id in ids {
                part.owed.remove(&id);
                part.long_owed.remove(&id);
                part.ids.insert(id);
            }
        }
    }

    /// These came from another relay and are not sent: the two are expected to exchange them.
    pub(crate) fn owe(&self, partition: &Partition, ids: &[ChangeSetId]) {
        if let Some(part) = self.lock().get_mut(partition) {
            let room = MAX_OWED.saturating_sub(part.owed.len() + part.long_owed.len());
            let owed = ids.iter().filter(|id| !part.ids.contains(id)).take(room).copied();
            part.owed.extend(owed);
        }
    }

    /// Whether the peer did not show that it has what was left to another relay, in any partition.
    pub(crate) fn owes_any(&self) -> bool {
        self.lock().values().any(Part::owes)
    }

    /// The same of one partition.
    pub(crate) fn owes(&self, partition: &Partition) -> bool {
        self.lock().get(partition).is_some_and(Part::owes)
    }

    /// A wait is over. Gives whether something is owed since the one before.
    pub(crate) fn owes_for_long(&self) -> bool {
        let mut parts = self.lock();
        let is_old = parts.values().any(|part| !part.long_owed.is_empty());
        parts.values_mut().for_each(|part| part.long_owed.extend(part.owed.drain()));
        is_old
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
            for id in ids {
                part.ids.remove(id);
            }
        }
        is_all
    }
}
