//! What a store gives and takes: plain data.

use changeset::{
    ActorId, ChangeSetId, Cursor, DocumentKey, HeaderFault, Known, LogIncarnation, Partition, PublicKey, Verified,
    WorkspaceId,
};
use std::sync::Arc;

/// Which log: each workspace has one for every partition that the replica keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The partition.
    pub partition: Partition,
}

impl LogKey {
    /// The key of these two.
    pub fn new(workspace: WorkspaceId, partition: Partition) -> Self {
        Self { workspace, partition }
    }
}

impl core::fmt::Display for LogKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}…/{}", self.workspace.short(), self.partition)
    }
}

/// Who gave an entry to this replica. Entries are not offered back to their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// This replica's own author wrote it.
    Own,
    /// A peer sent it, from this log of its own. Two copies of one device have one key, but not one log: what came from the
    /// one is offered to the other.
    Peer(PublicKey, LogIncarnation),
    /// It was read from a bundle or another file.
    File,
    /// A page merged from pages of several sources. Never given to an append.
    Mixed,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogState {
    /// The place after its last entry; its `log` is the log's incarnation.
    pub end: Cursor,
    /// How many pages it has.
    pub pages: u64,
    /// The bytes of its pages as stored.
    pub bytes: u64,
    /// How many entries wait in its inbox.
    pub waiting: u64,
    /// The bytes of the entries that wait.
    pub waiting_bytes: u64,
}

/// A page as it lies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredPage {
    /// The position of its first entry.
    pub first: u64,
    /// The place after its last entry.
    pub end: Cursor,
    /// Who gave its entries.
    pub source: Source,
    /// The bytes of the [`changeset::LogPage`], sealed by this replica: what is sent.
    pub frame: Arc<[u8]>,
}

/// What the index says of an entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownEntry {
    /// Id, actor, sequence, time and document.
    pub known: Known,
    /// Its position in the log.
    pub position: u64,
    /// The change set before it in its chain.
    pub previous: Option<ChangeSetId>,
    /// The grant that its header names, or the last one named before it in its chain.
    pub grant: Option<ChangeSetId>,
    /// Whether this replica's own author wrote it.
    pub own: bool,
}

/// An entry that no other entry of the log names as its previous: the end of one branch of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Tip {
    /// The actor.
    pub actor: ActorId,
    /// Its number in the chain.
    pub sequence: u64,
    /// Its id.
    pub id: ChangeSetId,
    /// Its position in this log.
    pub position: u64,
}

/// Entries that end signed, in log order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Lines {
    /// The entries.
    pub entries: Vec<Verified>,
    /// Ask again with this as `after`; none when all were given.
    pub next: Option<u64>,
}

/// Why an entry waits in the inbox instead of standing in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// What it names as previous or parent is not in the log. It enters by itself when they do.
    Missing(Vec<ChangeSetId>),
    /// It has no signature of its own and no signed successor came yet. It enters with that one.
    Unsigned,
    /// Admission was not given; the text says why, in the words of whoever decides. Only a release lets it enter.
    Admission(String),
}

/// An entry in the inbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// The entry; it may have no signature of its own.
    pub entry: Verified,
    /// Why it waits.
    pub why: Held,
    /// Who gave it.
    pub source: Source,
    /// When it came, by this replica's clock: milliseconds since 1970.
    pub since_ms: u64,
}

/// What is kept of a peer for one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// Our place in the peer's log: what it gave us up to there is durable here.
    pub cursor: Option<Cursor>,
    /// The peer's place in our log, as its last receipt says.
    pub acknowledged: Option<Cursor>,
    /// The bytes of that signed receipt.
    pub receipt: Option<Vec<u8>>,
    /// When that receipt was stored, by this replica's clock: milliseconds since 1970; 0 without one.
    pub receipt_ms: u64,
}

/// What is kept of a materialised document: a cache that can be computed again from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRecord {
    /// The document.
    pub key: DocumentKey,
    /// The log position that this record covers: every entry before it is taken into account.
    pub position: u64,
    /// The values by which the document is found: index name (at most 255 bytes) and value (at most 1,024 bytes), whose
    /// byte order is the order of scans. A name may occur more than once.
    pub indexed: Vec<(String, Vec<u8>)>,
    /// What a list shows of it, opaque here.
    pub summary: Vec<u8>,
}

/// Why the store drew new incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redraw {
    /// The store was made by [`crate::Store::backup`] or [`crate::Store::restore`].
    Backup,
    /// The mark beside the file is missing, or names another opening: one of the two was copied or put back.
    Mark,
    /// The file is not the one it was: another device or inode.
    File,
    /// A peer showed entries or pages of ours that we no longer hold.
    RolledBack,
    /// An operator asked for it.
    Asked,
}

/// An entry refused for good, and why.
pub type Refusal = (ChangeSetId, HeaderFault);
