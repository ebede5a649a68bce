//! Everything a replica keeps, in one file: the logs of change sets, their indexes, and the state of its peers.
//!
//! A [`Store`] holds one append-only log for each [`LogKey`] (workspace and partition). [`Store::commit`] hands a
//! [`Batch`] to one writer thread, which groups everything waiting, what a person did here first, into one transaction of
//! the [`Backend`], and replies when it is durable. Entries enter a log only after what they name and with a signature
//! that attests them; others wait in the inbox and enter by themselves. A group commit appends one page for each log
//! and source, sealed with the device key: it is stored as it is sent. [`Store::view`] gives one consistent snapshot.
//!
//! ```
//! use changeset::{Partition, WorkspaceId};
//! use storage::{Batch, Lane, LogKey, Options, Source, Store};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("store");
//! let store = Store::create(&path, Options::default())?;
//! let log = LogKey::new(WorkspaceId::from_bytes([1; 32]), Partition::new("harbour-7")?);
//! let batch = Batch::new().append(log.clone(), Vec::new(), Source::Own, None).draft(log.clone(), "note", Some(vec![1]));
//! store.commit_now(Lane::Local, batch)?;
//! assert_eq!(store.view()?.draft(&log, "note")?, Some(vec![1]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Copies
//!
//! A store that was copied or put back must not go on under its old names: two stores would write different entries
//! under one number, and serve different logs under one incarnation. [`Store::open`] notices by a mark beside the file
//! (and by device and inode) and answers [`Opened::Redrawn`]; [`Store::redraw`] does the same when a peer saw it.
//!
//! # Faults
//!
//! Every call can fail, and says what was tried on what. A full disk is [`StorageError::Full`]; the store works again
//! when there is room. A process that limits its file size (`RLIMIT_FSIZE`) has to ignore `SIGXFSZ` to hear of it. What
//! lies in pages and records carries a check of its own and is [`StorageError::Damaged`] when it does not match;
//! [`Store::verify`] finds the rest, [`Store::repair`] puts a page back. redb can panic on trees that were altered behind
//! its back: that is caught here and is an error too, where panics unwind.
//!
//! # Format
//!
//! Tables, keys, values, crash order and the format version are specified in `spec/storage.md`. An entry's index rows are
//! 114 bytes (74 by position, 18 by id, 22 by chain), 18 more for an own one, and names of actors, documents and
//! grants once each.

mod append;
mod backend;
mod backup;
mod batch;
mod codec;
mod error;
mod group;
mod inbox;
mod index;
mod lines;
mod log_record;
mod maintain;
mod mark;
mod memory;
mod merge;
mod model;
mod options;
mod outside;
mod overlay;
mod pages;
mod redb_backend;
mod redraw;
mod repair;
mod rows;
mod store;
mod verify;
mod view;
mod writer;

pub use backend::{Backend, Order, Read, Row, Table, Write};
pub use batch::{Appended, Batch, Committed, Lane, Listener};
pub use error::{Damage, Replace, StorageError};
pub use maintain::{Finding, MergeLimits, Merged, Progress, Report};
pub use memory::MemoryBackend;
pub use model::{
    DocumentRecord, Held, KnownEntry, Lines, LogKey, LogState, PeerState, Redraw, Refusal, Source, StoredPage, Tip,
    Waiting,
};
pub use options::Options;
pub use outside::{Clock, Random, system_clock};
pub use redb_backend::RedbBackend;
pub use store::{Opened, Store};
pub use view::{LogReader, View};
