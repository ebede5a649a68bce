//! A page with its place in a log, sealed by the replica that keeps the log: how pages are stored and sent.
//!
//! The stored bytes are the sent bytes, so a relay hands the same buffer to every subscriber. The seal is one signature
//! for each page, made when the page is cut: a log that was rewritten is provable by two seals, and one that was merely
//! restored has another incarnation.

use crate::cbor::{Reader, Writer};
use crate::error::{DecodeError, Fault};
use crate::hash::{CONTEXT_PAGE_SEAL, RunningHash, statement};
use crate::id::{LogIncarnation, Partition, PublicKey, WorkspaceId};
use crate::key::{SignError, Signature, Signer};
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_PARTITION_BYTES};
use crate::log::Cursor;
use std::borrow::Cow;

/// The largest log position.
const MAX_POSITION: u64 = (1 << 48) - 1;

/// A page at its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage<'a> {
    /// The partition.
    pub partition: Partition,
    /// The incarnation of the log.
    pub log: LogIncarnation,
    /// The position of the page's first entry: how many entries stand before it.
    pub first: u64,
    /// How many entries it has; at least 1.
    pub count: u64,
    /// The running hash after its last entry.
    pub hash: RunningHash,
    /// The seal: by the replica that keeps the log, over all of the above and the workspace.
    pub seal: Signature,
    /// The page, as [`crate::pack_page`] gives it.
    pub packed: Cow<'a, [u8]>,
}

impl<'a> LogPage<'a> {
    /// Seals a page.
    ///
    /// # Errors
    /// [`SignError`] of the signer.
    pub fn seal(
        signer: &dyn Signer,
        workspace: &WorkspaceId,
        partition: Partition,
        first: u64,
        end: Cursor,
        packed: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, SignError> {
        let Cursor { log, position, hash } = end;
        let count = position.saturating_sub(first);
        let seal = signer.sign(&seal_statement(workspace, &partition, &log, first, count, &hash))?;
        Ok(Self { partition, log, first, count, hash, seal, packed: packed.into() })
    }

    /// The place after its last entry.
    pub fn end(&self) -> Cursor {
        Cursor { log: self.log, position: self.first + self.count, hash: self.hash }
    }

    /// Whether `key` sealed it, for a log of this workspace. The content is not covered: that is proven by its authors.
    pub fn is_sealed_by(&self, key: &PublicKey, workspace: &WorkspaceId) -> bool {
        let statement = seal_statement(workspace, &self.partition, &self.log, self.first, self.count, &self.hash);
        key.has_signed(&statement, &self.seal)
    }

    /// The bytes: `[partition, log incarnation, first, count, running hash, seal, packed page]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.packed.len() + 200);
        out.array(7);
        out.text(self.partition.as_str());
        out.bytes(self.log.as_bytes());
        out.uint(self.first);
        out.uint(self.count);
        out.bytes(self.hash.as_bytes());
        out.bytes(self.seal.as_bytes());
        out.bytes(&self.packed);
        out.into_bytes()
    }

    /// Reads a page's place; the page itself stays as it lies.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "page of a log");
        reader.array_of(7)?;
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let log = LogIncarnation::from_bytes(reader.fixed()?);
        let first = reader.uint(MAX_POSITION)?;
        let at = reader.position();
        let count = reader.uint(MAX_PAGE_ENTRIES as u64)?;
        if count == 0 {
            return Err(reader.fault_at(at, Fault::Zero));
        }
        let hash = RunningHash::from_bytes(reader.fixed()?);
        let seal = Signature::from_bytes(reader.fixed()?);
        let packed = Cow::Borrowed(reader.bytes(MAX_PAGE_BYTES + 1)?);
        reader.finish()?;
        Ok(Self { partition, log, first, count, hash, seal, packed })
    }
}

/// What a seal signs.
fn seal_statement(
    workspace: &WorkspaceId,
    partition: &Partition,
    log: &LogIncarnation,
    first: u64,
    count: u64,
    hash: &RunningHash,
) -> [u8; 32] {
    let mut out = Writer::with_capacity(192);
    out.array(6);
    out.bytes(workspace.as_bytes());
    out.text(partition.as_str());
    out.bytes(log.as_bytes());
    out.uint(first);
    out.uint(count);
    out.bytes(hash.as_bytes());
    statement(CONTEXT_PAGE_SEAL, &out.into_bytes())
}
