//! Ordered tables with atomic, durable commits: all that a log needs of a database.

use crate::error::StorageError;
use core::fmt::Debug;
use core::ops::Bound;

/// A table: byte strings in the order of their bytes. The keys of each are documented in `spec/storage.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// What the store is: format, device key, incarnation.
    System,
    /// Named values of the replica.
    Meta,
    /// From a log's name to its number.
    LogNames,
    /// From a log's number to where it stands.
    Logs,
    /// Pages by log and first position.
    Pages,
    /// What the index says of an entry, by log and position.
    Entries,
    /// Positions by log and the start of an id.
    Ids,
    /// Positions by log, actor prefix and sequence.
    Chains,
    /// Short numbers for actors, documents, grants and sources of a log, both ways.
    Names,
    /// The ends of chains.
    Tips,
    /// Positions and times of own entries.
    Own,
    /// Positions of entries of kind `access`.
    Access,
    /// What is kept of peers.
    Peers,
    /// Entries that wait.
    Inbox,
    /// From what is missing to what waits for it.
    Awaited,
    /// Document records.
    Documents,
    /// Index rows of document records.
    Indexes,
    /// Snapshots of documents.
    Snapshots,
    /// Drafts.
    Drafts,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::System,
        Self::Meta,
        Self::LogNames,
        Self::Logs,
        Self::Pages,
        Self::Entries,
        Self::Ids,
        Self::Chains,
        Self::Names,
        Self::Tips,
        Self::Own,
        Self::Access,
        Self::Peers,
        Self::Inbox,
        Self::Awaited,
        Self::Documents,
        Self::Indexes,
        Self::Snapshots,
        Self::Drafts,
    ];

    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Meta => "meta",
            Self::LogNames => "log_names",
            Self::Logs => "logs",
            Self::Pages => "pages",
            Self::Entries => "entries",
            Self::Ids => "ids",
            Self::Chains => "chains",
            Self::Names => "names",
            Self::Tips => "tips",
            Self::Own => "own",
            Self::Access => "access",
            Self::Peers => "peers",
            Self::Inbox => "inbox",
            Self::Awaited => "awaited",
            Self::Documents => "documents",
            Self::Indexes => "indexes",
            Self::Snapshots => "snapshots",
            Self::Drafts => "drafts",
        }
    }
}

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Forward,
    /// Highest key first.
    Backward,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Reads one state of the tables.
pub trait Read {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StorageError`] of the disk or of a damaged file.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// At most `limit` rows between two keys. An empty or inverted range has none.
    ///
    /// # Errors
    /// [`StorageError`] of the disk or of a damaged file.
    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError>;
}

/// Reads and writes within one transaction; it reads its own writes.
pub trait Write: Read {
    /// Sets the value under a key.
    ///
    /// # Errors
    /// [`StorageError`]; the transaction fails as a whole then.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// [`StorageError`]; the transaction fails as a whole then.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError>;
}

/// Ordered tables with snapshots and atomic, durable commits. All log logic stands above this trait, once.
pub trait Backend: Debug + Send + Sync {
    /// A snapshot: what was committed before this call and nothing that is committed after.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    fn read(&self) -> Result<Box<dyn Read + Send + Sync>, StorageError>;

    /// Runs `write` in a transaction and commits it. All or nothing: with an error of `write` or of the commit nothing
    /// is stored, and with `Ok` everything is durable. Transactions wait for each other.
    ///
    /// # Errors
    /// The error of `write`, or [`StorageError`] of the disk. After an error of the disk [`Backend::reopen`] may be
    /// needed before anything works again.
    fn write(&self, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>) -> Result<(), StorageError>;

    /// Gives unused space back to the system where that is possible. Slow; nothing is written meanwhile.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    fn compact(&self) -> Result<(), StorageError>;

    /// The bytes it takes.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    fn size(&self) -> Result<u64, StorageError>;

    /// Opens the same storage again after an error, at its last commit.
    ///
    /// # Errors
    /// [`StorageError`] while the disk still fails.
    fn reopen(&self) -> Result<(), StorageError>;
}
