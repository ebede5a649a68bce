//! What is written at once, and what came of it.

use crate::error::StorageError;
use crate::model::{DocumentRecord, Held, LogKey, Source};
use changeset::{ChangeSetId, Cursor, DocumentKey, HeaderFault, PublicKey, Verified};

/// Which lane a batch waits in: what a person does here goes before what peers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// This replica's own work.
    Local,
    /// What came from peers, and caches.
    Remote,
}

/// Operations that become durable together or not at all, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append { log: LogKey, entries: Vec<Verified>, source: Source, cursor: Option<Cursor> },
    Hold { log: LogKey, entries: Vec<Verified>, why: Held, source: Source },
    Release { log: LogKey, ids: Vec<ChangeSetId> },
    Discard { log: LogKey, ids: Vec<ChangeSetId> },
    Receipt { log: LogKey, peer: PublicKey, acknowledged: Cursor, bytes: Vec<u8> },
    Cursor { log: LogKey, peer: PublicKey, cursor: Option<Cursor> },
    Snapshot { log: LogKey, document: DocumentKey, bytes: Option<Vec<u8>> },
    Document { log: LogKey, record: DocumentRecord },
    RemoveDocument { log: LogKey, document: DocumentKey },
    Meta { name: String, bytes: Option<Vec<u8>> },
    Draft { log: LogKey, name: String, bytes: Option<Vec<u8>> },
}

impl Batch {
    /// An empty batch. Committing it costs a place in a group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it has no operation.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    fn with(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Appends entries to a log, in causal order where they are; what misses something waits in the inbox. `cursor` is
    /// our place in the log of the peer that gave them: it is set in the same transaction, also when no entry is new,
    /// and not set if an entry had no room ([`Appended::overflow`]).
    #[must_use]
    pub fn append(self, log: LogKey, entries: Vec<Verified>, source: Source, cursor: Option<Cursor>) -> Self {
        self.with(Op::Append { log, entries, source, cursor })
    }

    /// Keeps entries in the inbox until they are released. Those in the log or held already stay as they are.
    #[must_use]
    pub fn hold(self, log: LogKey, entries: Vec<Verified>, why: Held, source: Source) -> Self {
        self.with(Op::Hold { log, entries, why, source })
    }

    /// Lets held entries enter; what they miss they wait for. Ids that are not held are passed over.
    #[must_use]
    pub fn release(self, log: LogKey, ids: Vec<ChangeSetId>) -> Self {
        self.with(Op::Release { log, ids })
    }

    /// Forgets held entries.
    #[must_use]
    pub fn discard(self, log: LogKey, ids: Vec<ChangeSetId>) -> Self {
        self.with(Op::Discard { log, ids })
    }

    /// Keeps a peer's signed receipt: it holds our log up to `acknowledged`.
    #[must_use]
    pub fn receipt(self, log: LogKey, peer: PublicKey, acknowledged: Cursor, bytes: Vec<u8>) -> Self {
        self.with(Op::Receipt { log, peer, acknowledged, bytes })
    }

    /// Sets or forgets our place in a peer's log.
    #[must_use]
    pub fn cursor(self, log: LogKey, peer: PublicKey, cursor: Option<Cursor>) -> Self {
        self.with(Op::Cursor { log, peer, cursor })
    }

    /// Keeps or forgets a document's snapshot: a cache, opaque here.
    #[must_use]
    pub fn snapshot(self, log: LogKey, document: DocumentKey, bytes: Option<Vec<u8>>) -> Self {
        self.with(Op::Snapshot { log, document, bytes })
    }

    /// Keeps a document's record; its index rows replace those of the record before.
    #[must_use]
    pub fn document(self, log: LogKey, record: DocumentRecord) -> Self {
        self.with(Op::Document { log, record })
    }

    /// Forgets a document's record and its index rows.
    #[must_use]
    pub fn remove_document(self, log: LogKey, document: DocumentKey) -> Self {
        self.with(Op::RemoveDocument { log, document })
    }

    /// Keeps or forgets a value of the replica under a name of at most 255 bytes.
    #[must_use]
    pub fn meta(self, name: impl Into<String>, bytes: Option<Vec<u8>>) -> Self {
        self.with(Op::Meta { name: name.into(), bytes })
    }

    /// Keeps or forgets a draft under a name of at most 255 bytes.
    #[must_use]
    pub fn draft(self, log: LogKey, name: impl Into<String>, bytes: Option<Vec<u8>>) -> Self {
        self.with(Op::Draft { log, name: name.into(), bytes })
    }
}

/// What came of one append or release.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Appended {
    /// What entered the log, in log order: what was given, and what waited for it.
    pub entered: Vec<Verified>,
    /// What of the given now waits in the inbox.
    pub waiting: Vec<ChangeSetId>,
    /// What never enters any log, and why; also what waited and turned out so.
    pub refused: Vec<(ChangeSetId, HeaderFault)>,
    /// What was not stored because the inbox is full: its giver keeps it. The giver's cursor was not moved then.
    pub overflow: Vec<ChangeSetId>,
    /// How many of the given were in the log already.
    pub known: usize,
    /// The end of the log as of the whole group.
    pub end: Cursor,
    /// Who gave them.
    pub source: Source,
}

/// What came of a batch. It is durable.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Committed {
    /// One for each append and release of the batch, in order.
    pub appended: Vec<Appended>,
}

/// What hears of each append and release whose entries became durable.
pub type Listener = Box<dyn Fn(&LogKey, &Appended) + Send + Sync>;

/// What hears of a batch's end.
pub(crate) type Done = Box<dyn FnOnce(Result<Committed, StorageError>) + Send>;
