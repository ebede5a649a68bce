//! A partition in memory: its set of change sets, and every document that falls out of it.

use crate::chains::{Chains, Fork};
use crate::document::Document;
use crate::document::engine::EngineError;
use crate::document::snapshot::SnapshotUse;
use crate::document::texts::TextEngineError;
use crate::judgement::Judgement;
use crate::pending::{Lacking, Pending};
use crate::transaction::Transaction;
use changeset::{
    Author, BranchName, ChangeSetId, DocumentKey, HeaderFault, Log as _, MemoryLog, Partition as PartitionName, Path,
    SignError, Verified, WorkspaceId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most change sets that wait for others. Beyond it a change set is refused, and whoever sent it keeps it.
pub const MAX_WAITING: usize = 1 << 16;

/// A partition: takes verified change sets in any order and any batches, and shows the documents they make.
///
/// Everything it shows is a pure function of the set it holds and of the [`Judgement`]: two partitions with the same
/// set and judgement have the same [`Partition::digest`], whatever the order of arrival.
///
/// [`Partition::apply`] does all at once. [`Partition::receive`] only takes change sets into the set; the documents stay
/// *pending*, showing what they showed, until [`Partition::materialise`] builds them, in whatever order the caller likes:
/// those that are open first, then [`Partition::pending`], newest first. A document shows whole change sets only, all of
/// them under one judgement and one naming, never a part of what it takes.
#[derive(Debug)]
pub struct Partition {
    workspace: WorkspaceId,
    name: PartitionName,
    log: MemoryLog,
    chains: Chains,
    documents: BTreeMap<DocumentKey, Document>,
    pending: Pending,
    judgement: Judgement,
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

impl Applied {
    /// Puts what happened before this in front of it.
    pub(crate) fn add_earlier(&mut self, earlier: Self) {
        self.accepted.splice(..0, earlier.accepted);
        self.refused.splice(..0, earlier.refused);
        self.faults.splice(..0, earlier.faults);
        let mut changes: BTreeMap<DocumentKey, BTreeMap<Path, Vec<ChangeSetId>>> = BTreeMap::new();
        for change in earlier.changes.into_iter().chain(std::mem::take(&mut self.changes)) {
            let paths = changes.entry(change.document).or_default();
            for (path, mut ids) in change.paths {
                paths.entry(path).or_default().append(&mut ids);
            }
        }
        self.changes = changes.into_iter().map(|(document, paths)| DocumentChange { document, paths }).collect();
    }
}

/// What became of a batch that was received without building documents.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// New in the set, in the order they entered it.
    pub accepted: Vec<ChangeSetId>,
    /// Not taken, and never to be taken, or not now; each with the reason.
    pub refused: Vec<(ChangeSetId, Rejection)>,
    /// The documents that may show something else once they are materialised.
    pub pending: BTreeSet<DocumentKey>,
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
            pending: Pending::default(),
            judgement: Judgement::default(),
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
        let (mut partition, received) = Self::open_pending(workspace, name, judgement, entries);
        let mut applied = Applied { accepted: received.accepted, refused: received.refused, ..Applied::default() };
        let mut uses = BTreeMap::new();
        for key in received.pending {
            match snapshots.get(&key) {
                Some(snapshot) => {
                    let used = partition.build(&key, Some(snapshot), None, &mut applied);
                    uses.insert(key, used.unwrap_or(SnapshotUse::Stale));
                }
                None => {
                    partition.build(&key, None, None, &mut applied);
                }
            }
        }
        for key in snapshots.keys() {
            uses.entry(key.clone()).or_insert(SnapshotUse::Stale);
        }
        (partition, applied, uses)
    }

    /// A partition with these change sets, in log order, and no document built: all of them are pending, and begin from
    /// snapshots by [`Partition::materialise_from`]. Costs about 2 µs for each change set.
    pub fn open_pending(
        workspace: WorkspaceId,
        name: PartitionName,
        judgement: Judgement,
        entries: impl IntoIterator<Item = Verified>,
    ) -> (Self, Received) {
        let mut partition = Self { judgement, ..Self::new(workspace, name) };
        let received = partition.receive(entries, []);
        (partition, received)
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

    /// The documents as last materialised, by kind and id; those that never were are not among them.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// One document as last materialised; none if it never was. See [`Partition::is_current`].
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

    /// Whether a document shows all that is held of it, as it counts now. So does one of which nothing is held.
    pub fn is_current(&self, document: &DocumentKey) -> bool {
        !self.pending.contains(document)
    }

    /// The documents that are pending, each with how many change sets it has not taken (0 where only names, standings or
    /// a missing value moved); greatest header time first. Finding the first one is cheap.
    pub fn pending(&self) -> impl Iterator<Item = (&DocumentKey, usize)> {
        self.pending.newest_first()
    }

    /// The documents that are pending and what they lack, by kind and id.
    pub(crate) fn lacking(&self) -> impl Iterator<Item = (&DocumentKey, &Lacking)> {
        self.pending.iter()
    }

    /// Takes change sets in any order. What lacks something it names waits; what is held already is passed over.
    /// The documents that this touches are materialised, with whatever was pending of them; others stay as they are.
    /// Texts are brought up to date once for the whole batch, so a large batch costs far less than many small ones.
    pub fn apply(&mut self, entries: impl IntoIterator<Item = Verified>) -> Applied {
        let received = self.receive(entries, []);
        let mut applied = Applied { accepted: received.accepted, refused: received.refused, ..Applied::default() };
        for key in received.pending {
            self.build(&key, None, None, &mut applied);
        }
        applied
    }

    /// Takes change sets like [`Partition::apply`], but builds no document: those touched are pending. About 2 µs for
    /// each change set, however long its document is.
    ///
    /// `mask` joins the mask before any of them enters, so that what arrives masked is never shown, not for a moment.
    /// It may name change sets that are not held yet. Where it names one that is shown, that document is pending and
    /// shows it until it is materialised; [`Partition::amend_judgement`] hides at once.
    pub fn receive(
        &mut self,
        entries: impl IntoIterator<Item = Verified>,
        mask: impl IntoIterator<Item = ChangeSetId>,
    ) -> Received {
        let moved = mask.into_iter().filter(|id| self.judgement.mask.insert(*id)).collect();
        let mut received = Received { pending: self.mark_moved(&moved), ..Received::default() };
        for entry in entries {
            self.take(entry, &mut received);
        }
        received
    }

    /// Brings one document up to date: takes all that is pending of it in one batch and settles its texts once; builds
    /// it anew first where names, standings or values moved. Nothing if it is not pending.
    pub fn materialise(&mut self, document: &DocumentKey) -> Applied {
        let mut applied = Applied::default();
        self.build(document, None, None, &mut applied);
        applied
    }

    /// Brings a document that was never materialised up to date, beginning from a snapshot of it where that fits. What
    /// came after the snapshot was taken is applied on top. On a document that is shown already it is passed over.
    pub fn materialise_from(&mut self, document: &DocumentKey, snapshot: &[u8]) -> (Applied, SnapshotUse) {
        let mut applied = Applied::default();
        let used = self.build(document, Some(snapshot), None, &mut applied);
        (applied, used.unwrap_or(SnapshotUse::Stale))
    }

    /// Brings every document up to date; after it nothing is pending.
    pub fn materialise_all(&mut self) -> Applied {
        let mut applied = Applied::default();
        let keys: Vec<DocumentKey> = self.pending.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.build(&key, None, None, &mut applied);
        }
        applied
    }

    /// Sets what counts. Documents that see nothing differently stay as they are, all others that are shown are
    /// materialised, so that nothing that this masks is shown once it returns.
    pub fn set_judgement(&mut self, judgement: Judgement) -> Applied {
        let moved = self.judgement.differences(&judgement);
        self.judgement = judgement;
        self.build_moved(&moved)
    }

    /// Adds to the mask and takes from it; an id in both is masked. Like [`Partition::set_judgement`], but what it costs
    /// follows what moved, not the mask: the documents that show one of these or a name that moved with them are built
    /// anew, and those that are not shown cost nothing.
    pub fn amend_judgement(
        &mut self,
        add: impl IntoIterator<Item = ChangeSetId>,
        remove: impl IntoIterator<Item = ChangeSetId>,
    ) -> Applied {
        let mut moved: BTreeSet<ChangeSetId> = remove.into_iter().filter(|id| self.judgement.mask.remove(id)).collect();
        for id in add {
            // Taken away above and given back: it did not move.
            if self.judgement.mask.insert(id) && !moved.remove(&id) {
                moved.insert(id);
            }
        }
        self.build_moved(&moved)
    }

    fn build_moved(&mut self, moved: &BTreeSet<ChangeSetId>) -> Applied {
        let mut applied = Applied::default();
        if changeset::planted("the mask moves and nothing is rebuilt") {
            return applied;
        }
        for key in self.mark_moved(moved) {
            self.build(&key, None, None, &mut applied);
        }
        applied
    }

    /// What counts of these change sets moved: names the forks among them again, and gives the documents that show
    /// something of it, which are pending now. What is not built yet is judged when it is.
    fn mark_moved(&mut self, moved: &BTreeSet<ChangeSetId>) -> BTreeSet<DocumentKey> {
        let judgement = &self.judgement;
        let renamed = self.chains.rename_forks(moved, &|id| judgement.is_masked(id));
        let mut touched = BTreeSet::new();
        for key in renamed {
            self.mark_renamed(key, &mut touched);
        }
        for id in moved {
            let Some(header) = self.log.get(id).map(Verified::header) else { continue };
            if self.documents.get(&header.document).is_some_and(|document| document.holds(id)) {
                self.pending.of(&header.document, header.time).is_moved = true;
                touched.insert(header.document.clone());
            }
        }
        touched
    }

    /// Names moved in a document. One that is not shown takes the names as they are when it is built.
    fn mark_renamed(&mut self, key: DocumentKey, touched: &mut BTreeSet<DocumentKey>) {
        let Some(document) = self.documents.get(&key) else { return };
        if !self.pending.is_moved(&key) {
            self.pending.of(&key, document.newest_ms()).is_moved = true;
        }
        touched.insert(key);
    }

    /// A transaction of `author` on a document, which need not exist yet. `now_ms` is the device's wall clock. The
    /// document is materialised first, since an author builds on all that is held of it; what that changed is in
    /// [`Transaction::materialised`].
    pub fn transact<'a>(&'a mut self, author: &'a mut Author, document: &DocumentKey, now_ms: u64) -> Transaction<'a> {
        let materialised = self.materialise(document);
        Transaction::new(self, author, document.clone(), now_ms, materialised)
    }

    /// Signs the last change set of the author's chain, which attests all before it. Call once for a group of commits,
    /// before they are stored or sent.
    ///
    /// # Errors
    /// [`SignError`] from the author's signer.
    pub fn sign(&mut self, author: &Author) -> Result<(), SignError> {
        let tip = author.tip().and_then(|tip| self.log.get(&tip));
        if let Some(tip) = tip.filter(|tip| tip.signature().is_none()) {
            let signed = author.sign(tip)?;
            self.log.replace(signed);
        }
        Ok(())
    }

    fn take(&mut self, entry: Verified, received: &mut Received) {
        let id = entry.id();
        if *entry.actor().workspace() != self.workspace || *entry.actor().partition() != self.name {
            return received.refused.push((id, Rejection::WrongPartition));
        }
        if self.chains.contains(&id) {
            return self.complete(&entry, received);
        }
        let missing = self.missing(&entry);
        if missing.is_empty() {
            return self.enter(entry, received);
        }
        if self.waiting.contains_key(&id) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            return received.refused.push((id, Rejection::TooManyWaiting));
        }
        for lacked in missing {
            self.waiting_for.entry(lacked).or_default().push(id);
        }
        self.waiting.insert(id, entry);
    }

    /// Another copy of what is held: it may bring a value or a signature that is lacking.
    fn complete(&mut self, entry: &Verified, received: &mut Received) {
        let Some(held) = self.log.get(&entry.id()) else { return };
        let lacks_value = held.skeleton().is_ok_and(|skeleton| self.judgement.misses_value(held, skeleton));
        let brings_value = lacks_value && !entry.body().is_purged();
        let brings_signature = held.signature().is_none() && entry.signature().is_some() && held.body() == entry.body();
        if !brings_value && !brings_signature {
            return;
        }
        self.log.replace(entry.clone());
        let (key, id) = (&entry.header().document, entry.id());
        if brings_value {
            if self.documents.get(key).is_some_and(|document| document.holds(&id)) {
                self.pending.of(key, entry.header().time).completed.push(id);
            }
            received.pending.insert(key.clone());
        }
    }

    /// Enters a change set that lacks nothing, and then whatever waited for it.
    fn enter(&mut self, entry: Verified, received: &mut Received) {
        let mut ready = vec![entry];
        while let Some(entry) = ready.pop() {
            let id = entry.id();
            if let Err(fault) = HeaderFault::check(&entry, |id| self.log.known(id)) {
                received.refused.push((id, fault.into()));
                continue;
            }
            self.admit(entry, received);
            for waiter in self.waiting_for.remove(&id).unwrap_or_default() {
                let is_ready = self.waiting.get(&waiter).is_some_and(|entry| self.missing(entry).is_empty());
                if is_ready {
                    ready.extend(self.waiting.remove(&waiter));
                }
            }
        }
    }

    fn admit(&mut self, entry: Verified, received: &mut Received) {
        let (id, header) = (entry.id(), entry.header());
        let judgement = &self.judgement;
        for key in self.chains.push(&entry, &|id| judgement.is_masked(id)) {
            self.mark_renamed(key, &mut received.pending);
        }
        self.pending.of(&header.document, header.time).entries.push(id);
        received.pending.insert(header.document.clone());
        received.accepted.push(id);
        self.log.push(entry);
    }

    /// Brings a document up to date. `snapshot` is where it may begin; `typed` is the client id under which the text of
    /// the one change set that is pending stands in the live texts already.
    fn build(
        &mut self,
        key: &DocumentKey,
        snapshot: Option<&[u8]>,
        typed: Option<u64>,
        applied: &mut Applied,
    ) -> Option<SnapshotUse> {
        let lacking = self.pending.take(key)?;
        let (chains, log, judgement) = (&self.chains, &self.log, &self.judgement);
        let document = self.documents.entry(key.clone()).or_insert_with(|| Document::new(key.clone()));
        let snapshot = snapshot.filter(|_| document.is_empty());
        let mut paths: BTreeMap<Path, Vec<ChangeSetId>> = BTreeMap::new();
        // First what is there, then what comes: so everything is pushed under the names and standings that hold now.
        if lacking.needs_rebuild() {
            lacking.completed.iter().filter_map(|id| log.get(id)).for_each(|entry| document.replace(entry));
            let moved = document.rebuild(judgement, |entry| chains.name_of(entry));
            paths.extend(moved.into_iter().map(|path| (path, Vec::new())));
        }
        // A snapshot was taken of the first change sets of the log; the names may say that it fits no more.
        let covered = snapshot.and_then(Document::covered_by).unwrap_or(usize::MAX).min(lacking.entries.len());
        let mut used = None;
        for (number, id) in lacking.entries.iter().enumerate() {
            let Some(entry) = log.get(id) else { continue };
            let pushed = document.push(entry.clone(), chains.implied_parent(entry), chains.name_of(entry), judgement);
            for path in pushed {
                paths.entry(path).or_default().push(*id);
            }
            if number + 1 == covered {
                used = snapshot.map(|snapshot| document.adopt(snapshot));
            }
        }
        if let Some(client) = typed.filter(|_| !lacking.needs_rebuild()) {
            let last = document.len().saturating_sub(1) as u32;
            document.finish_editing(Some((last, client)));
        }
        if let Err(error) = document.settle() {
            applied.faults.push((key.clone(), error));
        }
        if !paths.is_empty() {
            applied.changes.push(DocumentChange { document: key.clone(), paths });
        }
        used
    }

    /// What a transaction recorded; `typed` is the client id under which its text stands in the live texts already.
    pub(crate) fn commit(&mut self, entry: Verified, typed: Option<u64>) -> Applied {
        let own = entry.header().document.clone();
        let mut received = Received::default();
        self.admit(entry, &mut received);
        let mut applied = Applied { accepted: received.accepted, ..Applied::default() };
        // Where the author's chain forks, documents with moved names come with it.
        for key in received.pending {
            self.build(&key, None, typed.filter(|_| key == own), &mut applied);
        }
        applied
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
        self.documents.entry(key.clone()).or_insert_with(|| Document::new(key.clone()))
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

    /// The Automerge heads of every document as last materialised, for comparing two partitions' engines once nothing
    /// is pending.
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
