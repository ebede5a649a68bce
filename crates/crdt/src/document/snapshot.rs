//! Snapshots: the engines' states with what they cover, so that opening a document need not replay it.
//!
//! A snapshot is a cache that only this replica reads. It names the change sets, standings, branch names and purges that
//! it was built under; where any of them differ it is passed over and the document is rebuilt from its history.

use crate::document::Document;
use crate::document::engine::EngineError;
use changeset::cbor::{Reader, Writer};
use changeset::{DecodeError, Fault};

const VERSION: u64 = 2;

/// What became of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotUse {
    /// Both engines began from it.
    Used,
    /// Structure began from it; the texts are replayed, because a loaded copy could order hostile text otherwise.
    StructureOnly,
    /// It covers another set, judgement or naming; or the document was shown already, or is not held.
    Stale,
    /// Its bytes are no snapshot.
    Damaged(DecodeError),
}

impl Document {
    /// The state of both engines with what it covers.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn snapshot(&mut self) -> Result<Vec<u8>, EngineError> {
        let saved = self.save_automerge()?;
        let mut out = Writer::with_capacity(saved.len() + 100);
        out.array(6);
        out.uint(VERSION);
        out.uint(self.len() as u64);
        out.bytes(&self.coverage());
        out.bytes(&saved);
        match self.texts.snapshot() {
            Some(state) => out.bytes(&state),
            None => out.null(),
        }
        // The engines would take a flipped bit of a text for another letter.
        let mut bytes = out.into_bytes();
        let mut check = Writer::new();
        check.bytes(blake3::hash(&bytes).as_bytes());
        bytes.extend(check.into_bytes());
        Ok(bytes)
    }

    /// How many change sets a snapshot says that it covers: the first of its document in this replica's log.
    pub(crate) fn covered_by(snapshot: &[u8]) -> Option<usize> {
        let mut reader = Reader::new(snapshot, "snapshot");
        reader.array_of(6).ok()?;
        let is_known = reader.uint(u64::MAX).ok()? == VERSION;
        let covered = reader.uint(u64::MAX).ok().filter(|_| is_known)?;
        usize::try_from(covered).ok().filter(|covered| *covered > 0)
    }

    /// What the engines' states depend on: every change set with its standing and name, and the purges.
    fn coverage(&self) -> [u8; 32] {
        let mut set: Vec<_> = self.standings().collect();
        set.sort_unstable_by_key(|(id, _)| *id);
        let mut out = Writer::with_capacity(80 * set.len());
        out.array(set.len());
        for (id, standing) in set {
            out.array(4);
            out.bytes(id.as_bytes());
            out.uint(standing.code());
            out.bytes(self.branch_name(&id).map_or([0; 32], |name| *name.as_bytes()).as_slice());
            let purged = self.judgement.purges.get(&id);
            out.array(purged.map_or(0, std::collections::BTreeSet::len));
            purged.into_iter().flatten().for_each(|value| out.uint(u64::from(*value)));
        }
        *blake3::hash(&out.into_bytes()).as_bytes()
    }

    pub(crate) fn adopt(&mut self, bytes: &[u8]) -> SnapshotUse {
        match self.read_snapshot(bytes) {
            Ok(used) => used,
            Err(error) => SnapshotUse::Damaged(error),
        }
    }

    fn read_snapshot(&mut self, bytes: &[u8]) -> Result<SnapshotUse, DecodeError> {
        let mut reader = Reader::new(bytes, "snapshot");
        reader.array_of(6)?;
        if reader.uint(u64::MAX)? != VERSION || reader.uint(u64::MAX)? != self.len() as u64 {
            return Ok(SnapshotUse::Stale);
        }
        if reader.fixed::<32>()? != self.coverage() {
            return Ok(SnapshotUse::Stale);
        }
        let saved = reader.bytes(usize::MAX)?;
        let texts = if reader.null() { None } else { Some(reader.bytes(usize::MAX)?.to_vec()) };
        let end = reader.position();
        let check = reader.fixed::<32>()?;
        reader.finish()?;
        if blake3::hash(reader.slice(0, end)) != blake3::Hash::from_bytes(check) {
            return Err(reader.fault_at(end, Fault::Mismatch("the snapshot's check value")));
        }
        if !self.engine.adopt(saved, &mut self.structure, &self.graph) {
            return Ok(SnapshotUse::Stale);
        }
        let adopted = texts.is_some_and(|state| self.texts.adopt(state));
        Ok(if adopted { SnapshotUse::Used } else { SnapshotUse::StructureOnly })
    }
}
