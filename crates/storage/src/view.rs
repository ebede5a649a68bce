//! One consistent snapshot of a store.

use crate::backend::{Order, Read, Table};
use crate::codec::{after_prefix, number, prefix_end};
use crate::error::StorageError;
use crate::inbox;
use crate::index::Index;
use crate::lines;
use crate::log_record::{self, LogRecord};
use crate::model::{DocumentRecord, KnownEntry, Lines, LogKey, LogState, PeerState, StoredPage, Tip, Waiting};
use crate::pages;
use crate::repair;
use crate::rows;
use crate::writer::Shared;
use changeset::{
    Actor, ActorPrefix, ChangeSetId, Cursor, DocumentKey, Kind, Known, Log, MemoryLog, PublicKey, Verified,
};
use core::fmt;
use core::ops::{Bound, Range};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One consistent snapshot of a store.
pub struct View {
    read: Box<dyn Read + Send + Sync>,
    shared: Arc<Shared>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View {
    pub(crate) fn new(read: Box<dyn Read + Send + Sync>, shared: Arc<Shared>) -> Self {
        Self { read, shared }
    }

    pub(crate) fn read(&self) -> &(dyn Read + Send + Sync) {
        &*self.read
    }

    /// Answers from a log; with `none` where it has not begun.
    fn with<T>(
        &self,
        log: &LogKey,
        none: T,
        answer: impl FnOnce(&Index<'_>, &LogRecord) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let Some((number, record)) = log_record::find(&*self.read, log)? else { return Ok(none) };
        answer(&Index { read: &*self.read, number, log, names: &self.shared.names }, &record)
    }

    /// Every log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn logs(&self) -> Result<Vec<LogKey>, StorageError> {
        Ok(log_record::all(&*self.read)?.into_iter().map(|(_, record)| record.key).collect())
    }

    /// Where a log stands; none if it has nothing yet.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn log(&self, log: &LogKey) -> Result<Option<LogState>, StorageError> {
        Ok(log_record::find(&*self.read, log)?.map(|(_, record)| record.state()))
    }

    /// The page that contains a position.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if the page is not as it was written.
    pub fn page_at(&self, log: &LogKey, position: u64) -> Result<Option<StoredPage>, StorageError> {
        self.with(log, None, |index, record| {
            if position < record.end.position { pages::at(index, position).map(Some) } else { Ok(None) }
        })
    }

    /// At most `limit` pages from the one that contains a position.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if a page is not as it was written.
    pub fn pages(&self, log: &LogKey, from: u64, limit: usize) -> Result<Vec<StoredPage>, StorageError> {
        self.with(log, Vec::new(), |index, record| {
            if from >= record.end.position {
                return Ok(Vec::new());
            }
            let first = pages::at(index, from)?.first;
            pages::rows_from(index, first, limit)?.iter().map(|row| pages::read_row(index, row)).collect()
        })
    }

    /// The entries at these positions; those beyond the end are left out. Signatures are not checked again.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if a page is not as it was written.
    pub fn entries(&self, log: &LogKey, positions: Range<u64>) -> Result<Vec<Verified>, StorageError> {
        self.with(log, Vec::new(), |index, record| {
            let (mut next, end) = (positions.start, positions.end.min(record.end.position));
            let (mut found, mut before) = (Vec::new(), None);
            while next < end {
                let page = pages::at(index, next)?;
                let entries = pages::entries(index, &page, &mut before)?;
                let within = |(number, _): &(u64, Verified)| (next..end).contains(number);
                found.extend((page.first..).zip(entries).filter(within).map(|(_, entry)| entry));
                next = page.end.position;
            }
            Ok(found)
        })
    }

    /// What the index says of an entry of the log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn known(&self, log: &LogKey, id: &ChangeSetId) -> Result<Option<KnownEntry>, StorageError> {
        self.with(log, None, |index, _| index.known(id))
    }

    /// Whether an entry is in the log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn has(&self, log: &LogKey, id: &ChangeSetId) -> Result<bool, StorageError> {
        self.with(log, false, |index, _| Ok(index.position(id)?.is_some()))
    }

    /// Whether this log has this place: the same incarnation, and the same entries before it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn matches(&self, log: &LogKey, cursor: &Cursor) -> Result<bool, StorageError> {
        self.with(log, false, |index, record| {
            if cursor.log != record.end.log || cursor.position > record.end.position {
                return Ok(false);
            }
            if changeset::planted("a cursor is believed without its hash") {
                return Ok(true);
            }
            Ok(pages::hash_at(index, record, cursor.position)? == cursor.hash)
        })
    }

    /// The ends of all chains, every branch, sorted.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn tips(&self, log: &LogKey) -> Result<Vec<Tip>, StorageError> {
        self.with(log, Vec::new(), |index, _| {
            let mut tips = Vec::new();
            for position in index.positions(Table::Tips, &index.key(), usize::MAX)? {
                let row = index.row(position)?;
                let (actor, sequence) = (index.actor(row.actor)?.id(), u64::from(row.sequence));
                tips.push(Tip { actor, sequence, id: row.id, position });
            }
            tips.sort_unstable();
            Ok(tips)
        })
    }

    /// For each wanted tip its chain back to an id that the other side knows, each end extended to the next signed entry,
    /// in log order from position `after`, about `max_bytes` of bodies, cut only where all runs end signed.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn lines(
        &self,
        log: &LogKey,
        wants: &[(ChangeSetId, Vec<ChangeSetId>)],
        after: Option<u64>,
        max_bytes: usize,
    ) -> Result<Lines, StorageError> {
        self.with(log, Lines::default(), |index, _| lines::lines(index, wants, after, max_bytes))
    }

    /// The ids of what stands in the page that holds a position, in order, whether or not the page can be read: what
    /// [`crate::Store::repair`] wants.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if the index is not as it was written.
    pub fn page_ids(&self, log: &LogKey, position: u64) -> Result<Vec<ChangeSetId>, StorageError> {
        self.with(log, Vec::new(), |index, record| repair::ids(index, record.end.position, position))
    }

    /// The entries at positions `first` to `last`, both included, and those after it that sign for them.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn span(&self, log: &LogKey, first: u64, last: u64) -> Result<Vec<Verified>, StorageError> {
        self.with(log, Vec::new(), |index, record| {
            let end = record.end.position.min(last.saturating_add(1));
            let wanted = (first..end).collect();
            Ok(lines::gather(index, BTreeSet::clone(&wanted), &wanted, usize::MAX)?.entries)
        })
    }

    /// The entries of kind `access`, in log order.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn access_entries(&self, log: &LogKey) -> Result<Vec<Verified>, StorageError> {
        self.with(log, Vec::new(), |index, _| {
            let positions = index.positions(Table::Access, &index.key(), usize::MAX)?;
            lines::exactly(index, positions.into_iter().collect())
        })
    }

    /// What is kept of a peer; empty if nothing is.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn peer(&self, log: &LogKey, peer: &PublicKey) -> Result<PeerState, StorageError> {
        self.with(log, PeerState::default(), |index, _| rows::peer(&*self.read, index.number, peer))
    }

    /// Every peer of a log, by key.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn peers(&self, log: &LogKey) -> Result<Vec<(PublicKey, PeerState)>, StorageError> {
        self.with(log, Vec::new(), |index, _| rows::peers(&*self.read, index.number))
    }

    /// What waits for a log, by id.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn inbox(&self, log: &LogKey) -> Result<Vec<Waiting>, StorageError> {
        self.with(log, Vec::new(), |index, _| inbox::all(&*self.read, index.number, log))
    }

    /// How many own entries stand at or after a position, and the header time of the first of them.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn own_after(&self, log: &LogKey, position: u64) -> Result<(u64, Option<u64>), StorageError> {
        self.with(log, (0, None), |index, _| {
            let (from, end) = (index.key().position(position), after_prefix(&index.key()));
            let from = Bound::Included(&from[..]);
            let own = self.read.scan(Table::Own, from, prefix_end(&end), Order::Forward, usize::MAX)?;
            Ok((own.len() as u64, own.first().map(|(_, time)| number(time))))
        })
    }

    /// A document's snapshot.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn snapshot(&self, log: &LogKey, document: &DocumentKey) -> Result<Option<Vec<u8>>, StorageError> {
        self.with(log, None, |index, _| rows::snapshot(&*self.read, index.number, document))
    }

    /// A document's record.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn document(&self, log: &LogKey, document: &DocumentKey) -> Result<Option<DocumentRecord>, StorageError> {
        self.with(log, None, |index, _| rows::document(&*self.read, index.number, document))
    }

    /// The records of all documents, or of those of one kind, by kind and id.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn documents(&self, log: &LogKey, kind: Option<&Kind>) -> Result<Vec<DocumentRecord>, StorageError> {
        self.with(log, Vec::new(), |index, _| rows::documents(&*self.read, index.number, kind))
    }

    /// At most `limit` documents of a kind whose value of an index is in `values`, by value, then by id; from behind
    /// `after`, the last of the scan before.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn scan(
        &self,
        log: &LogKey,
        kind: &Kind,
        index: &str,
        values: Range<&[u8]>,
        limit: usize,
        after: Option<&(Vec<u8>, DocumentKey)>,
    ) -> Result<Vec<(Vec<u8>, DocumentKey)>, StorageError> {
        self.with(log, Vec::new(), |view, _| rows::scan(&*self.read, view.number, kind, index, values, limit, after))
    }

    /// A value of the replica.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        rows::get(&*self.read, Table::Meta, name.as_bytes())
    }

    /// A draft.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn draft(&self, log: &LogKey, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.with(log, None, |index, _| rows::draft(&*self.read, index.number, name))
    }

    /// Every draft of a log, by name.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn drafts(&self, log: &LogKey) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.with(log, Vec::new(), |index, _| rows::drafts(&*self.read, index.number))
    }

    /// The log as a received page refers to it: what stands in it, and what waits for it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn log_reader<'a>(&'a self, log: &'a LogKey) -> Result<LogReader<'a>, StorageError> {
        let number = log_record::number_of(&*self.read, log)?;
        let names = &self.shared.names;
        let index = number.map(|number| Index { read: &*self.read, number, log, names });
        Ok(LogReader { index, inbox: OnceCell::new(), error: RefCell::new(None) })
    }
}

/// A log as pages refer to it, with what waits for it: an entry that is held can be referred to. [`Log`] cannot fail:
/// after reading a page ask [`LogReader::finish`] whether the store did.
pub struct LogReader<'a> {
    index: Option<Index<'a>>,
    /// What waits, read when something is first not found in the log.
    inbox: OnceCell<MemoryLog>,
    error: RefCell<Option<StorageError>>,
}

impl fmt::Debug for LogReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("log", &self.index.as_ref().map(|index| index.log)).finish_non_exhaustive()
    }
}

impl LogReader<'_> {
    /// Whether every answer was right.
    ///
    /// # Errors
    /// The first [`StorageError`] that an answer hid.
    pub fn finish(self) -> Result<(), StorageError> {
        self.error.into_inner().map_or(Ok(()), Err)
    }

    fn answer<T>(
        &self,
        find: impl FnOnce(&Index<'_>) -> Result<Option<T>, StorageError>,
        wait: impl FnOnce(&MemoryLog) -> Option<T>,
    ) -> Option<T> {
        let index = self.index.as_ref()?;
        match find(index) {
            Ok(Some(found)) => Some(found),
            Ok(None) => wait(self.inbox.get_or_init(|| self.read_inbox(index))),
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    fn read_inbox(&self, index: &Index<'_>) -> MemoryLog {
        let mut log = MemoryLog::new();
        match inbox::all(index.read, index.number, index.log) {
            Ok(waiting) => waiting.into_iter().for_each(|waiting| {
                log.push(waiting.entry);
            }),
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
            }
        }
        log
    }
}

impl Log for LogReader<'_> {
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known> {
        let in_log = |index: &Index<'_>| match index.find(prefix, sequence, u64::MAX)? {
            Some((_, row)) => index.known_of(&row).map(Some),
            None => Ok(None),
        };
        self.answer(in_log, |inbox| inbox.find(prefix, sequence))
    }

    fn known(&self, id: &ChangeSetId) -> Option<Known> {
        let in_log = |index: &Index<'_>| match index.find_id(id)? {
            Some((_, row)) => index.known_of(&row).map(Some),
            None => Ok(None),
        };
        self.answer(in_log, |inbox| inbox.known(id))
    }

    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>> {
        self.answer(|index| index.actor_of(prefix, u64::MAX), |inbox| inbox.actor(prefix))
    }
}
