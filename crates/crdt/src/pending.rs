//! What is held of documents and not shown yet: taken into the chains and the log, and left for later.

use changeset::{ChangeSetId, DocumentKey};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What one document lacks to show all that is held of it.
///
/// Ids alone: names, implied parents, standings and copies are looked up when the document is built, so nothing that
/// moves in the meantime can leave a stale one here.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    /// The change sets that it has not taken, in log order.
    pub(crate) entries: Vec<ChangeSetId>,
    /// Those it has taken of which a fuller copy is held now.
    pub(crate) completed: Vec<ChangeSetId>,
    /// Whether names or standings of what it has taken moved.
    pub(crate) is_moved: bool,
    /// The greatest header time of all this; only orders the work.
    newest_ms: u64,
}

impl Lacking {
    /// Whether what the document has taken must be built anew before it takes more.
    pub(crate) fn needs_rebuild(&self) -> bool {
        self.is_moved || !self.completed.is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    documents: BTreeMap<DocumentKey, Lacking>,
    /// Beside it, so that the newest is found without sorting: a caller asks again after each document.
    by_time: BTreeSet<(Reverse<u64>, DocumentKey)>,
}

impl Pending {
    pub(crate) fn contains(&self, key: &DocumentKey) -> bool {
        self.documents.contains_key(key)
    }

    /// Whether names or standings moved of what a document has taken.
    pub(crate) fn is_moved(&self, key: &DocumentKey) -> bool {
        self.documents.get(key).is_some_and(|lacking| lacking.is_moved)
    }

    /// The documents and what they lack, by kind and id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DocumentKey, &Lacking)> {
        self.documents.iter()
    }

    /// The documents, newest first, each with how many change sets it has not taken.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (&DocumentKey, usize)> {
        let count = |key| self.documents.get(key).map_or(0, |lacking| lacking.entries.len());
        self.by_time.iter().map(move |(_, key)| (key, count(key)))
    }

    /// What a document lacks, to be added to; `time_ms` of what is added.
    pub(crate) fn of(&mut self, key: &DocumentKey, time_ms: u64) -> &mut Lacking {
        let known = self.documents.get(key).map(|lacking| lacking.newest_ms);
        if known.is_none_or(|known| known < time_ms) {
            if let Some(known) = known {
                self.by_time.remove(&(Reverse(known), key.clone()));
            }
            self.by_time.insert((Reverse(time_ms), key.clone()));
        }
        let lacking = self.documents.entry(key.clone()).or_default();
        lacking.newest_ms = lacking.newest_ms.max(time_ms);
        lacking
    }

    pub(crate) fn take(&mut self, key: &DocumentKey) -> Option<Lacking> {
        let lacking = self.documents.remove(key)?;
        self.by_time.remove(&(Reverse(lacking.newest_ms), key.clone()));
        Some(lacking)
    }
}
