//! Fixtures: a workspace, its devices and documents, all from small numbers.

use changeset::{
    Author, ChangeSetId, Cursor, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Incarnation, IntentName, Kind,
    LogIncarnation, Partition, Path, PublicKey, RunningHash, Script, SeededEntropy, Signer, Verified, WorkspaceId,
};
use std::sync::Arc;
use storage::{Appended, Batch, Lane, LogKey, Options, Source, Store};

pub(crate) const NOW: u64 = 1_760_000_000_000;
pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([0x57; 32]);

pub(crate) fn log() -> LogKey {
    LogKey::new(WORKSPACE, Partition::new("harbour-7").unwrap())
}

pub(crate) fn key(device: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[device; 32]))
}

/// What a device gives from its one log.
pub(crate) fn from_peer(device: u8) -> Source {
    Source::Peer(peer(device), LogIncarnation::from_bytes([device; 8]))
}

pub(crate) fn peer(device: u8) -> PublicKey {
    key(device).public_key()
}

pub(crate) fn author(device: u8) -> Author {
    author_in(device, &log())
}

pub(crate) fn author_in(device: u8, log: &LogKey) -> Author {
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    let incarnation = Incarnation::from_bytes([device; 8]);
    Author::new(key(device), log.workspace, log.partition.clone(), incarnation, entropy)
}

pub(crate) fn document_of(kind: &str, number: u8) -> DocumentKey {
    DocumentKey { kind: Kind::new(kind).unwrap(), id: DocumentId::from_parts(NOW, [number; 10]) }
}

pub(crate) fn document(number: u8) -> DocumentKey {
    document_of("inspection", number)
}

pub(crate) fn draft(document: DocumentKey, parents: &[&Verified], text: &str) -> Draft {
    Draft {
        document,
        parents: parents.iter().map(|parent| parent.id()).collect(),
        grant: None,
        schema_version: 1,
        intent: IntentName::new("record_outcome").unwrap(),
        group: None,
        script: Script {
            reason: None,
            edits: vec![Edit::Put { path: Path::new("status").unwrap(), value: text.into() }],
        },
    }
}

/// Records one small change set, unsigned.
pub(crate) fn record(author: &mut Author, number: u8, parents: &[&Verified]) -> Verified {
    author.record(draft(document(number), parents, "passed"), NOW).unwrap()
}

/// Records one small change set and signs it.
pub(crate) fn signed(author: &mut Author, number: u8, parents: &[&Verified]) -> Verified {
    let recorded = record(author, number, parents);
    author.sign(&recorded).unwrap()
}

pub(crate) fn signed_chain(author: &mut Author, count: usize) -> Vec<Verified> {
    (0..count).map(|_| signed(author, 1, &[])).collect()
}

/// A run of which only the last entry is signed.
pub(crate) fn run(author: &mut Author, count: usize) -> Vec<Verified> {
    let mut entries: Vec<Verified> = (0..count).map(|_| record(author, 1, &[])).collect();
    let last = entries.pop().unwrap();
    entries.push(author.sign(&last).unwrap());
    entries
}

/// What an author restored from a backup writes after `last`.
pub(crate) fn fork_after(device: u8, last: &Verified, number: u8) -> Verified {
    let mut restored = author(device).after(last);
    let recorded = restored.record(draft(document(number), &[], "failed"), NOW + 7).unwrap();
    restored.sign(&recorded).unwrap()
}

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.merge_when_idle = false;
    options
}

pub(crate) fn memory() -> Store {
    Store::in_memory(options()).unwrap()
}

pub(crate) fn append(store: &Store, entries: &[Verified]) -> Appended {
    append_from(store, entries, from_peer(9))
}

pub(crate) fn append_from(store: &Store, entries: &[Verified], source: Source) -> Appended {
    let batch = Batch::new().append(log(), entries.to_vec(), source, None);
    store.commit_now(Lane::Remote, batch).unwrap().appended.pop().unwrap()
}

pub(crate) fn ids(entries: &[Verified]) -> Vec<ChangeSetId> {
    entries.iter().map(Verified::id).collect()
}

/// Every entry of the log, in order.
pub(crate) fn all(store: &Store) -> Vec<Verified> {
    store.view().unwrap().entries(&log(), 0..u64::MAX).unwrap()
}

/// Some place of some log.
pub(crate) fn cursor(position: u64) -> Cursor {
    let hash = RunningHash::from_bytes([position as u8; 32]);
    Cursor { log: LogIncarnation::from_bytes([8; 8]), position, hash }
}

#[track_caller]
pub(crate) fn assert_clean(store: &Store) {
    let report = store.verify(|_| {}).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}
