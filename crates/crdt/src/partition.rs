//! A partition in memory: its set of change sets, and every document that falls out of it.

use crate::chains::{Chains, Fork, HeaderFault};
use crate::document::Document;
use crate::document::engine::EngineError;
use crate::document::snapshot::SnapshotUse;
use crate::document::texts::TextEngineError;
use crate::judgement::Judgement;
use crate::transaction::Transaction;
use changeset::{
    Author, BranchName, ChangeSetId, DocumentKey, Log, MemoryLog, Partition as PartitionName, Path, SignError,
    Verified, WorkspaceId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The most change sets that wait for others. Beyond it a change set is refused, and whoever sent it keeps it.
pub const MAX_WAITING: usize = 1 << 16;

/// A partition: takes verified change sets in any order and any batches, and shows the documents they make.
///
/// Everything it shows is a pure function of the set it holds and of the [`Judgement`]: two partitions with the same
/// set and judgement have the same [`Partition::digest`], whatever the order of arrival.
#[derive(Debug)]
pub struct Partition {
    workspace: WorkspaceId,
    name: PartitionName,
    log: MemoryLog,
    chains: Chains,
    documents: BTreeMap<DocumentKey, Document>,
    judgement: Arc<Judgement>,
    waiting: BTreeMap<ChangeSetId, Verified>,
    /// For each change set that is not held, those that wait for it.
    waiting_for: HashMap<ChangeSetId, Vec<ChangeSetId>>,
}

/// What became of a batch.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Applied {
    /// New in the set, in the order they entered it.
    pub accepted: Vec<ChangeSetId>,
    /// Not taken, and never to be taken, or not now; each with the reason.
    pub refused: Vec<(ChangeSetId, Rejection)>,
    /// What may show something else now: the paths of each document, with the change sets that touched them.
    pub changes: Vec<DocumentChange>,
    /// Engines that failed; the history is intact.
    pub faults: Vec<(DocumentKey, TextEngineError)>,
}

/// The paths of one document that a batch changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// The document.
    pub document: DocumentKey,
    /// Each path with the change sets that touched it; with none where a changed judgement or a fork moved it.
    pub paths: BTreeMap<Path, Vec<ChangeSetId>>,
}

/// Why a change set is not in the set and does not wait either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Its header contradicts what it names.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// It belongs to another workspace or partition.
    #[error("it belongs to another workspace or partition")]
    WrongPartition,
    /// Too many wait already.
    #[error("{MAX_WAITING} change sets wait for others already; send what they wait for first")]
    TooManyWaiting,
}

/// A change set that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: ChangeSetId,
    /// What it names that is not held.
    pub missing: Vec<ChangeSetId>,
}

impl Partition {
    /// An empty partition.
    pub fn new(workspace: WorkspaceId, name: PartitionName) -> Self {
        Self {
            workspace,
            name,
            log: MemoryLog::new(),
            chains: Chains::default(),
            documents: BTreeMap::new(),
            judgement: Arc::new(Judgement::default()),
            waiting: BTreeMap::new(),
            waiting_for: HashMap::new(),
        }
    }

    /// A partition with these change sets, in log order, opening documents from snapshots where they fit. A snapshot is
    /// a cache: one that does not fit is passed over, and the answer says so.
    pub fn open(
        workspace: WorkspaceId,
        name: PartitionName,
        judgement: Judgement,
        entries: impl IntoIterator<Item = Verified>,
        snapshots: &BTreeMap<DocumentKey, Vec<u8>>,
    ) -> (Self, Applied, BTreeMap<DocumentKey, SnapshotUse>) {
        let mut partition = Self::new(workspace, name);
        partition.judgement = Arc::new(judgement);
        let mut batch = Batch::default();
        for entry in entries {
            partition.take(entry, &mut batch);
        }
        partition.rebuild(&mut batch);
        let mut uses = BTreeMap::new();
        for (key, bytes) in snapshots {
            let used = partition.documents.get_mut(key).map_or(SnapshotUse::Stale, |document| document.adopt(bytes));
            uses.insert(key.clone(), used);
        }
        let applied = partition.finish(batch);
        (partition, applied, uses)
    }

    /// The workspace.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The partition's name.
    pub fn name(&self) -> &PartitionName {
        &self.name
    }

    /// The set, in the order it came: an order in which every change set comes after what it names.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// The documents, by kind and id.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// One document; none if no change set of it is held.
    pub fn document(&self, key: &DocumentKey) -> Option<&Document> {
        self.documents.get(key)
    }

    /// One document, for what feeds its engine.
    pub fn document_mut(&mut self, key: &DocumentKey) -> Option<&mut Document> {
        self.documents.get_mut(key)
    }

    /// What counts.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The change sets that wait for others, with what each lacks.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.waiting.values().map(|entry| Waiting { id: entry.id(), missing: self.missing(entry) }).collect()
    }

    /// Every fork of a chain that is held.
    pub fn forks(&self) -> Vec<Fork> {
        self.chains.forks()
    }

    fn missing(&self, entry: &Verified) -> Vec<ChangeSetId> {
        let header = entry.header();
        header.previous.iter().chain(&header.parents).filter(|id| !self.chains.contains(id)).copied().collect()
    }

    /// Takes change sets in any order. What lacks something it names waits; what is held already is passed over.
    /// Texts are brought up to date once for the whole batch, so a large batch costs far less than many small ones.
    pub fn apply(&mut self, entries: impl IntoIterator<Item = Verified>) -> Applied {
        let mut batch = Batch::default();
        for entry in entries {
            self.take(entry, &mut batch);
        }
        self.rebuild(&mut batch);
        self.finish(batch)
    }

    /// Sets what counts. Documents that see nothing differently stay as they are, all others are rebuilt.
    pub fn set_judgement(&mut self, judgement: Judgement) -> Applied {
        let touched = self.judgement.differences(&judgement);
        let mask_moved = self.judgement.mask != judgement.mask;
        self.judgement = Arc::new(judgement);
        let mut batch = Batch::default();
        if mask_moved {
            let judgement = Arc::clone(&self.judgement);
            batch.rebuild = self.chains.rename_all(&|id| judgement.is_masked(id));
        }
        for id in &touched {
            batch.rebuild.extend(self.log.get(id).map(|entry| entry.header().document.clone()));
        }
        for document in self.documents.values_mut() {
            document.set_judgement(&self.judgement);
        }
        self.rebuild(&mut batch);
        self.finish(batch)
    }

    /// A transaction of `author` on a document, which need not exist yet. `now_ms` is the device's wall clock.
    pub fn transact<'a>(&'a mut self, author: &'a mut Author, document: &DocumentKey, now_ms: u64) -> Transaction<'a> {
        Transaction::new(self, author, document.clone(), now_ms)
    }

    /// Signs the last change set of the author's chain, which attests all before it. Call once for a group of commits,
    /// before they are stored or sent.
    ///
    /// # Errors
    /// [`SignError`] from the author's signer.
    pub fn sign(&mut self, author: &Author) -> Result<(), SignError> {
        let tip = author.tip().and_then(|tip| self.log.get(&tip));
        if let Some(tip) = tip.filter(|tip| tip.signature().is_none()) {
            self.log.replace(author.sign(&tip)?);
        }
        Ok(())
    }

    fn take(&mut self, entry: Verified, batch: &mut Batch) {
        let id = entry.id();
        if *entry.actor().workspace() != self.workspace || *entry.actor().partition() != self.name {
            return batch.applied.refused.push((id, Rejection::WrongPartition));
        }
        if self.chains.contains(&id) {
            return self.complete(&entry, batch);
        }
        let missing = self.missing(&entry);
        if missing.is_empty() {
            return self.enter(entry, batch);
        }
        if self.waiting.contains_key(&id) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            return batch.applied.refused.push((id, Rejection::TooManyWaiting));
        }
        for lacked in missing {
            self.waiting_for.entry(lacked).or_default().push(id);
        }
        self.waiting.insert(id, entry);
    }

    /// Another copy of what is held: it may bring a value or a signature that is lacking.
    fn complete(&mut self, entry: &Verified, batch: &mut Batch) {
        let Some(held) = self.log.get(&entry.id()) else { return };
        let document = &held.header().document;
        let lacks_value = held.skeleton().is_ok_and(|skeleton| self.judgement.misses_value(&held, skeleton));
        if lacks_value && !entry.body().is_purged() {
            self.log.replace(entry.clone());
            if let Some(document) = self.documents.get_mut(document) {
                document.replace(entry);
            }
            batch.rebuild.insert(document.clone());
        } else if held.signature().is_none() && entry.signature().is_some() && held.body() == entry.body() {
            self.log.replace(entry.clone());
        }
    }

    /// Enters a change set that lacks nothing, and then whatever waited for it.
    fn enter(&mut self, entry: Verified, batch: &mut Batch) {
        let mut ready = vec![entry];
        while let Some(entry) = ready.pop() {
            let id = entry.id();
            if let Err(fault) = self.chains.check(&entry) {
                batch.applied.refused.push((id, fault.into()));
                continue;
            }
            self.admit(entry, batch);
            for waiter in self.waiting_for.remove(&id).unwrap_or_default() {
                let is_ready = self.waiting.get(&waiter).is_some_and(|entry| self.missing(entry).is_empty());
                if is_ready {
                    ready.extend(self.waiting.remove(&waiter));
                }
            }
        }
    }

    fn admit(&mut self, entry: Verified, batch: &mut Batch) {
        let id = entry.id();
        let key = entry.header().document.clone();
        let judgement = Arc::clone(&self.judgement);
        batch.rebuild.append(&mut self.chains.push(&entry, &|id| judgement.is_masked(id)));
        let implied = self.chains.implied_parent(&entry);
        let name = self.chains.name(&id).unwrap_or_else(|| BranchName::from_bytes(*entry.actor().id().as_bytes()));
        let document =
            self.documents.entry(key.clone()).or_insert_with(|| Document::new(key.clone(), Arc::clone(&judgement)));
        for path in document.push(entry.clone(), implied, name) {
            batch.changes.entry(key.clone()).or_default().entry(path).or_default().push(id);
        }
        batch.touched.insert(key);
        self.log.push(entry);
        batch.applied.accepted.push(id);
    }

    fn rebuild(&mut self, batch: &mut Batch) {
        for key in std::mem::take(&mut batch.rebuild) {
            let Some(document) = self.documents.get_mut(&key) else { continue };
            let chains = &self.chains;
            let name_of = |id: &ChangeSetId| chains.name(id).unwrap_or_else(|| BranchName::from_bytes(*id.as_bytes()));
            for path in document.rebuild(&self.judgement, name_of) {
                batch.changes.entry(key.clone()).or_default().entry(path).or_default();
            }
            batch.touched.insert(key);
        }
    }

    fn finish(&mut self, batch: Batch) -> Applied {
        let mut applied = batch.applied;
        for key in batch.touched {
            let Some(document) = self.documents.get_mut(&key) else { continue };
            if let Err(error) = document.settle() {
                applied.faults.push((key, error));
            }
        }
        applied.changes =
            batch.changes.into_iter().map(|(document, paths)| DocumentChange { document, paths }).collect();
        applied
    }

    /// What a transaction recorded; `typed` is the client id under which its text stands in the live texts already.
    pub(crate) fn commit(&mut self, entry: Verified, typed: Option<u64>) -> Applied {
        let mut batch = Batch::default();
        let key = entry.header().document.clone();
        self.admit(entry, &mut batch);
        if batch.rebuild.is_empty()
            && let Some(document) = self.documents.get_mut(&key)
        {
            let last = document.len().saturating_sub(1) as u32;
            if typed.is_some() {
                document.finish_editing(typed.map(|client| (last, client)));
            }
        } else if let Some(document) = self.documents.get_mut(&key) {
            document.finish_editing(None);
        }
        self.rebuild(&mut batch);
        self.finish(batch)
    }

    /// A transaction that typed into the live texts was dropped.
    pub(crate) fn abandon(&mut self, key: &DocumentKey) {
        if let Some(document) = self.documents.get_mut(key) {
            document.finish_editing(None);
            // Nobody waits for an answer here. What the engine did not take shows as a fault of the next batch.
            let _ = document.settle();
        }
    }

    pub(crate) fn document_or_new(&mut self, key: &DocumentKey) -> &mut Document {
        let judgement = Arc::clone(&self.judgement);
        self.documents.entry(key.clone()).or_insert_with(|| Document::new(key.clone(), judgement))
    }

    /// Forgets a document that a dropped transaction began.
    pub(crate) fn drop_if_empty(&mut self, key: &DocumentKey) {
        if self.documents.get(key).is_some_and(Document::is_empty) {
            self.documents.remove(key);
        }
    }

    /// The name that the next change set of this author will stand under, or none if it will fork the chain, and its
    /// implied parent in a document.
    pub(crate) fn next_of(&self, author: &Author, key: &DocumentKey) -> (Option<BranchName>, Option<ChangeSetId>) {
        let start = BranchName::from_bytes(*author.actor().id().as_bytes());
        let is_free = self.chains.is_free_after(&author.actor().id(), author.tip());
        let Some(tip) = author.tip() else { return (is_free.then_some(start), None) };
        let name = self.chains.name(&tip).unwrap_or(start);
        (is_free.then_some(name), self.chains.last_before(&tip, key))
    }

    /// The Automerge heads of every document, for comparing two partitions' engines.
    ///
    /// # Errors
    /// [`EngineError`] of the first document whose engine failed.
    pub fn automerge_heads(&mut self) -> Result<BTreeMap<DocumentKey, Vec<[u8; 32]>>, EngineError> {
        let mut heads = BTreeMap::new();
        for (key, document) in &mut self.documents {
            heads.insert(key.clone(), document.automerge_heads()?);
        }
        Ok(heads)
    }
}

/// What is known of a batch while it is applied.
#[derive(Default)]
struct Batch {
    applied: Applied,
    changes: BTreeMap<DocumentKey, BTreeMap<Path, Vec<ChangeSetId>>>,
    touched: BTreeSet<DocumentKey>,
    rebuild: BTreeSet<DocumentKey>,
}
