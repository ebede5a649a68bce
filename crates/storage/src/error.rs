//! Why storage failed: what was tried on what, and what helps.

use crate::backend::Table;
use crate::model::LogKey;
use changeset::{PageError, SignError};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a call to a store failed. Cheap to clone: every batch of a failed group gets the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk or the file's size limit is full; nothing of the group was stored. Works again once there is room.
    #[error("{doing}: no room left on the disk; free some and try again, nothing was lost")]
    Full {
        /// What was tried.
        doing: &'static str,
    },
    /// The disk failed.
    #[error("{doing}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the store open.
    #[error("opening {path}: another process has this store open; close it there, or open another store", path = .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("opening the store: its format is {found}, this version reads up to {known}; update this program")]
    NewerFormat {
        /// The file's format version.
        found: u64,
        /// The newest that this version reads.
        known: u64,
    },
    /// The file is no store.
    #[error("opening {path}: this is no Fieldbook store; name another file, or create a store where there is none", path = .path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// Something is at the path already, or nothing is.
    #[error("{doing} {path}: {what}", path = .path.display())]
    Path {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The store was created with a device key elsewhere, or with another one.
    #[error("opening the store: it belongs to the device key {wanted}; give the signer of that key")]
    WrongSigner {
        /// The key of the store, in hexadecimal digits.
        wanted: String,
    },
    /// What is stored is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A page could not be written or read.
    #[error("{doing} in the log {log}: {error}")]
    Page {
        /// What was tried.
        doing: &'static str,
        /// The log.
        log: LogKey,
        /// Why not.
        #[source]
        error: PageError,
    },
    /// The device key did not sign; nothing of the group was stored.
    #[error("sealing a page: {0}")]
    Sign(#[source] Arc<SignError>),
    /// A batch asked for what cannot be; nothing of it was stored.
    #[error("{doing}: {what}")]
    Misuse {
        /// What was asked for.
        doing: &'static str,
        /// Why it cannot be.
        what: &'static str,
    },
    /// The inbox of a log has no room for what should be held; nothing of the batch was stored, its giver keeps it.
    #[error(
        "holding entries for the log {log}: its inbox is at its limit of {entries} entries and {bytes} bytes; release or discard some, or raise the limits"
    )]
    InboxFull {
        /// The log.
        log: LogKey,
        /// The most entries.
        entries: u64,
        /// The most bytes.
        bytes: u64,
    },
    /// The lane's queue is full; nothing was stored. Try again when some of what waits is done.
    #[error("committing: {waiting} batches wait already; try again later")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What is stored under a key is not what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is damaged: {what} in table {table:?}{at}; run verify, then repair from a peer or restore a backup", at = place(.log.as_ref(), *.position))]
pub struct Damage {
    /// The table.
    pub table: Table,
    /// The log, where it is known.
    pub log: Option<LogKey>,
    /// The position in that log, where it is known.
    pub position: Option<u64>,
    /// What is wrong.
    pub what: &'static str,
}

impl Damage {
    pub(crate) fn new(table: Table, what: &'static str) -> Self {
        Self { table, log: None, position: None, what }
    }
}

fn place(log: Option<&LogKey>, position: Option<u64>) -> String {
    match (log, position) {
        (Some(log), Some(position)) => format!(", log {log}, position {position}"),
        (Some(log), None) => format!(", log {log}"),
        (None, _) => String::new(),
    }
}

/// Why a damaged page was not replaced.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Replace {
    /// The entries given are not those that stand there.
    #[error("entry {entry} given for the page is not the one that stands there")]
    Other {
        /// The number of the entry in the page.
        entry: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
