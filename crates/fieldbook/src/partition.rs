//! One partition of a device: its documents, its author, and what does not count yet.

use crate::changes::{Change, Origin};
use crate::error::Error;
use crate::lists::Complete;
use crate::shared::Shared;
use crate::summary::{Listed, record};
use access::{Check, Claim, Verdict, Why};
use changeset::{Author, ChangeSetId, DocumentKey, Entropy, IntentName, Kind, Partition as PartitionName, Verified};
use crdt::{
    AnyIntent, Applied, Commit, Digest, Document, DocumentChange, EditError, EditRules, Judgement,
    Partition as Documents, Schema, Transaction,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::{Batch, Lane, LogKey, Source};

/// A partition of a device. Clones share it; every method may be called from any thread.
///
/// Methods block: reading waits at most for one document to be built or one commit; writing returns when the change is
/// durable. What peers sent is built in the background, opened and newest documents first; a document is never shown
/// with half a change set.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cell: Arc<Cell>,
}

/// What is known of a partition while the store is open.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) log: LogKey,
    state: Mutex<Option<State>>,
    incoming: Mutex<Vec<Verified>>,
    /// Held while list records are on their way to the disk: who finds none left to write may rely on those of others.
    listing: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) documents: Documents,
    author: Author,
    /// What does not count, and why. Accepted work stays accepted as records are added, so only these are judged again.
    undecided: BTreeMap<ChangeSetId, (Claim, Verdict)>,
    /// The end of each line that was seen last, with the grant in force there.
    lines: HashMap<changeset::ActorId, (ChangeSetId, Option<ChangeSetId>)>,
    opened: BTreeMap<DocumentKey, usize>,
    /// Documents whose list records are behind.
    unlisted: BTreeSet<DocumentKey>,
    /// Every entry of the log below this position is in `documents`.
    covered: u64,
    /// What is written of when the lists were last complete.
    complete: Option<Complete>,
}

/// A change set that is durable here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Its partition.
    pub partition: PartitionName,
    /// Its document.
    pub document: DocumentKey,
    /// Its id.
    pub id: ChangeSetId,
}

/// Why own or others' work does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undecided {
    /// The change set.
    pub id: ChangeSetId,
    /// Whose key wrote it.
    pub author: changeset::PublicKey,
    /// Whether it may count once something else arrives.
    pub is_pending: bool,
    /// Why, and what to do.
    pub why: String,
}

/// The store's random bytes.
struct Salts(storage::Random);

impl Entropy for Salts {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without randomness no salt hides what was redacted: better to stop than to go on.
        self.0.fill(bytes).expect("the operating system gives random bytes");
    }
}

impl Cell {
    pub(crate) fn new(log: LogKey) -> Self {
        Self { log, state: Mutex::new(None), incoming: Mutex::new(Vec::new()), listing: Mutex::new(()) }
    }

    /// Entries that entered the log from elsewhere; called on the writer's thread.
    pub(crate) fn arrived(&self, entries: &[Verified]) {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).extend(entries.iter().cloned());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_incoming(&self) -> Vec<Verified> {
        std::mem::take(&mut *self.incoming.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many entries are read of the log at once while it is opened.
const LOAD_ENTRIES: u64 = 4096;
/// How many list records go into one commit.
const RECORDS_AT_ONCE: usize = 64;

impl State {
    fn load(shared: &Shared, log: &LogKey) -> Result<Self, Error> {
        let (workspace, name) = (log.workspace, log.partition.clone());
        let author = Self::new_author(shared, log);
        let mut state = Self {
            documents: Documents::new(workspace, name),
            author,
            undecided: BTreeMap::new(),
            lines: HashMap::new(),
            opened: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            covered: 0,
            complete: None,
        };
        let view = shared.store().view()?;
        state.complete = Complete::last(&view, log)?;
        let end = view.log(log)?.map_or(0, |log| log.end.position);
        let mut listed: BTreeMap<DocumentKey, u64> = BTreeMap::new();
        if let Some(complete) = &state.complete {
            state.unlisted.extend(complete.undecided());
            for record in view.documents(log, None)? {
                listed.insert(record.key, record.position);
            }
        }
        let own = state.author.actor().id();
        let mut last: Option<Verified> = None;
        let mut at = 0;
        while at < end {
            let entries = view.entries(log, at..(at + LOAD_ENTRIES).min(end))?;
            if entries.is_empty() {
                break;
            }
            for (position, entry) in (at..).zip(&entries) {
                let key = &entry.header().document;
                if listed.get(key).is_none_or(|covered| *covered <= position) {
                    state.unlisted.insert(key.clone());
                }
                let is_later =
                    |last: &Verified| (entry.header().sequence, entry.id()) > (last.header().sequence, last.id());
                if entry.actor().id() == own && last.as_ref().is_none_or(is_later) {
                    last = Some(entry.clone());
                }
            }
            at += entries.len() as u64;
            // Which lists are behind was found above.
            state.take_in(shared, entries)?;
        }
        if let Some(last) = &last {
            state.author = state.author.after(last);
        }
        Ok(state)
    }

    fn new_author(shared: &Shared, log: &LogKey) -> Author {
        let store = shared.store();
        let salts = Box::new(Salts(store.options().random.clone()));
        Author::new(store.signer(), log.workspace, log.partition.clone(), store.incarnation(), salts)
    }

    /// Takes entries that arrived; their documents' lists are behind now.
    fn receive(&mut self, shared: &Shared, entries: Vec<Verified>) -> Result<(), Error> {
        let touched = self.take_in(shared, entries)?;
        self.unlisted.extend(touched);
        Ok(())
    }

    /// Takes entries of the log, with what does not count of them masked before they are seen. Gives their documents.
    fn take_in(&mut self, shared: &Shared, entries: Vec<Verified>) -> Result<BTreeSet<DocumentKey>, Error> {
        let workspace = *self.documents.workspace();
        let (own, is_own_shown) = (shared.store().device_key(), true);
        let (mut mask, lines, undecided) = (Vec::new(), &mut self.lines, &mut self.undecided);
        shared.replica.authority(&workspace, |authority| {
            for entry in &entries {
                let (id, header, actor) = (entry.id(), entry.header(), entry.actor().id());
                let inherited = match (&header.previous, lines.get(&actor)) {
                    (Some(previous), Some((last, grant))) if previous == last => *grant,
                    (Some(previous), _) => shared.grant_in_force(&self.documents, previous),
                    (None, _) => None,
                };
                lines.insert(actor, (id, header.grant.or(inherited)));
                let claim = Claim::of(entry, inherited);
                let verdict = match header.document.kind.as_str() {
                    access::KIND_ACCESS => authority.judge(entry),
                    _ => authority.verdict(&claim),
                };
                if !verdict.is_accepted() {
                    // Own work that waits for a grant is shown here as what it is: a draft.
                    let is_draft = is_own_shown && claim.author == own && matches!(verdict, Verdict::Pending(_));
                    if !is_draft {
                        mask.push(id);
                    }
                    undecided.insert(id, (claim, verdict));
                }
            }
        })?;
        Ok(self.documents.receive(entries, mask).pending)
    }

    /// Judges again what did not count.
    fn judge_again(&mut self, shared: &Shared) -> Result<Applied, Error> {
        let workspace = *self.documents.workspace();
        let (undecided, log) = (&mut self.undecided, self.documents.log());
        let mut accepted = Vec::new();
        shared.replica.authority(&workspace, |authority| {
            undecided.retain(|id, (claim, verdict)| {
                if changeset::planted("a late grant moves nothing") {
                    return true;
                }
                let now = match (claim.kind.as_str(), log.get(id)) {
                    (access::KIND_ACCESS, Some(entry)) => authority.judge(entry),
                    _ => authority.verdict(claim),
                };
                let is_accepted = now.is_accepted();
                *verdict = now;
                if is_accepted {
                    accepted.push(*id);
                }
                !is_accepted
            });
        })?;
        // Also those that were never built: what a list says of them moved all the same.
        let documents = accepted.iter().filter_map(|id| self.documents.log().get(id));
        self.unlisted.extend(documents.map(|entry| entry.header().document.clone()));
        Ok(self.documents.amend_judgement([], accepted))
    }

    /// The documents that have work which does not count.
    fn undecided_documents(&self) -> BTreeSet<DocumentKey> {
        let entries = self.undecided.keys().filter_map(|id| self.documents.log().get(id));
        entries.map(|entry| entry.header().document.clone()).collect()
    }

    fn is_opened(&self, key: &DocumentKey) -> bool {
        self.opened.contains_key(key)
    }
}

impl Partition {
    /// Its name.
    pub fn name(&self) -> &PartitionName {
        &self.cell.log.partition
    }

    /// Runs `act` on the state, read from the store first if it is not here, and with what arrived taken in.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let mut guard = self.cell.lock();
        let mut state = match guard.take() {
            Some(state) => state,
            None => State::load(&self.shared, &self.cell.log)?,
        };
        let mut outcome = Ok(());
        let incoming = self.cell.take_incoming();
        if !incoming.is_empty() {
            outcome = state.receive(&self.shared, incoming);
        }
        // A state that could not take something in is dropped, and read again from the log the next time.
        outcome?;
        let result = act(&mut state);
        *guard = Some(state);
        result
    }

    /// Reads the documents as they were last built. Nothing is built for it; see [`Partition::settle`].
    ///
    /// # Errors
    /// [`Error`] if the log could not be read.
    pub fn read<T>(&self, read: impl FnOnce(&Documents) -> T) -> Result<T, Error> {
        self.with(|state| Ok(read(&state.documents)))
    }

    /// Reads one document, with all that is held of it; none if nothing is.
    ///
    /// # Errors
    /// [`Error`] if the log could not be read or the document's texts could not be built.
    pub fn document<T>(&self, key: &DocumentKey, read: impl FnOnce(&mut Document) -> T) -> Result<Option<T>, Error> {
        self.with(|state| {
            let applied = state.documents.materialise(key);
            self.tell(&applied.changes, Origin::Remote);
            check(&applied)?;
            Ok(state.documents.document_mut(key).map(read))
        })
    }

    /// Says that a document is shown to somebody: it is built before all others when something arrives, until the guard
    /// is dropped.
    ///
    /// # Errors
    /// [`Error`] as for [`Partition::document`].
    pub fn open(&self, key: &DocumentKey) -> Result<Opened, Error> {
        self.document(key, |_| ())?;
        self.with(|state| {
            *state.opened.entry(key.clone()).or_default() += 1;
            Ok(Opened { partition: self.clone(), key: key.clone() })
        })
    }

    /// Builds everything that arrived and brings the lists up to date. The background does the same in its own time.
    ///
    /// # Errors
    /// [`Error`] of the first document that could not be built; the others are.
    pub fn settle(&self) -> Result<(), Error> {
        self.with(|state| {
            let judged = state.judge_again(&self.shared)?;
            self.tell(&judged.changes, Origin::Remote);
            let applied = state.documents.materialise_all();
            self.tell(&applied.changes, Origin::Remote);
            check(&applied)
        })?;
        while self.list_some()? {}
        Ok(())
    }

    /// Brings the lists up to date, and builds only the documents for it whose lists are behind. Costs nothing where nothing
    /// moved since they were complete. `progress` hears how many documents are done, and of how many. A document whose
    /// texts cannot be built stays in the list as it was.
    ///
    /// # Errors
    /// [`Error`] if the log could not be read or the lists could not be written.
    pub fn refresh_lists(&self, mut progress: impl FnMut(usize, usize)) -> Result<(), Error> {
        if self.cell.lock().is_none() {
            let view = self.shared.store().view()?;
            let last = Complete::last(&view, &self.cell.log)?;
            if view.log(&self.cell.log)?.is_none()
                || last.is_some_and(|last| last.holds(&view, &self.cell.log).unwrap_or(false))
            {
                return Ok(());
            }
        }
        let behind: Vec<DocumentKey> = self.with(|state| {
            let judged = state.judge_again(&self.shared)?;
            self.tell(&judged.changes, Origin::Remote);
            Ok(state.unlisted.iter().cloned().collect())
        })?;
        for (number, key) in behind.iter().enumerate() {
            self.with(|state| {
                let applied = state.documents.materialise(key);
                self.tell(&applied.changes, Origin::Remote);
                Ok(())
            })?;
            progress(number + 1, behind.len());
        }
        while self.list_some()? {}
        Ok(())
    }

    /// One step of the background: takes in what arrived, builds one document. Gives whether there is more to do.
    pub(crate) fn step(&self, is_rejudged: bool) -> Result<bool, Error> {
        // What nobody asked for yet is not read; what arrives in it is in the log.
        if self.cell.lock().is_none() {
            self.cell.take_incoming();
            return Ok(false);
        }
        let is_more = self.with(|state| {
            if is_rejudged {
                let applied = state.judge_again(&self.shared)?;
                self.tell(&applied.changes, Origin::Remote);
            }
            let opened = state.documents.pending().map(|(key, _)| key).find(|key| state.is_opened(key));
            let next = opened.or_else(|| state.documents.pending().map(|(key, _)| key).next()).cloned();
            let Some(key) = next else { return Ok(false) };
            let applied = state.documents.materialise(&key);
            self.tell(&applied.changes, Origin::Remote);
            Ok(true)
        })?;
        Ok(is_more || self.list_some()?)
    }

    /// Writes some list records that are behind. Gives whether there may be more.
    fn list_some(&self) -> Result<bool, Error> {
        let _one_at_a_time = self.cell.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let (batch, ready, complete) = self.with(|state| {
            let view = self.shared.store().view()?;
            // The log may have grown since what arrived was taken in: a record must not say that it covers that.
            let end = view.log(&self.cell.log)?.map_or(0, |log| log.end.position);
            if state.documents.log().entries().len() as u64 == end {
                state.covered = end;
            }
            let ready = state.unlisted.iter().filter(|key| state.documents.is_current(key)).take(RECORDS_AT_ONCE);
            let ready: Vec<DocumentKey> = ready.cloned().collect();
            let mut batch = Batch::new();
            // The last records, and that they are the last, are one commit.
            let mut complete = None;
            if ready.len() == state.unlisted.len() && state.covered == end {
                let now = Complete::now(&view, &self.cell.log, state.undecided_documents())?;
                complete = now.filter(|now| state.complete.as_ref() != Some(now));
                if let Some((name, bytes)) = complete.as_ref().map(|complete| complete.to_meta(&self.cell.log)) {
                    batch = batch.meta(name, Some(bytes));
                }
            }
            for key in &ready {
                state.unlisted.remove(key);
                if let Some(document) = state.documents.document(key) {
                    let listing = self.shared.listing(&key.kind);
                    batch = batch.document(self.cell.log.clone(), record(document, listing, state.covered));
                }
            }
            Ok((batch, ready, complete))
        })?;
        if batch.is_empty() {
            return Ok(false);
        }
        let stored = self.shared.store().commit_now(Lane::Remote, batch);
        if let Some(state) = self.cell.lock().as_mut() {
            match &stored {
                Ok(_) if complete.is_some() => state.complete = complete,
                Ok(_) => {}
                Err(_) => state.unlisted.extend(ready),
            }
        }
        stored?;
        Ok(true)
    }

    /// Carries out edits on a document as one change set, under the rules of its kind. Returns when it is durable; none if
    /// nothing was edited.
    ///
    /// # Errors
    /// [`Error::NotPermitted`], [`Error::Edit`], [`Error::Record`], [`Error::Storage`]; nothing was recorded then.
    pub fn edit(
        &self,
        document: &DocumentKey,
        intent: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), EditError>,
    ) -> Result<Option<Saved>, Error> {
        let mut edit = Some(edit);
        let saved = self.batch(|batch| match edit.take() {
            Some(edit) => batch.edit(document, intent, edit),
            None => Ok(()),
        })?;
        Ok(saved.into_iter().next_back())
    }

    /// Carries out an intent as one change set. Returns when it is durable.
    ///
    /// # Errors
    /// [`Error::Rules`] with everything that stands against it, and as for [`Partition::edit`].
    pub fn act(&self, document: &DocumentKey, intent: &AnyIntent) -> Result<Saved, Error> {
        let saved = self.batch(|batch| batch.act(document, intent))?;
        saved.into_iter().next_back().ok_or(Error::Rules(Vec::new()))
    }

    /// Records several change sets in one commit: all of them become durable, or none. Thousands of records cost one sync
    /// and one signature.
    ///
    /// # Errors
    /// The first error of `fill`, or of the commit; nothing was recorded then.
    pub fn batch(&self, fill: impl FnOnce(&mut Writing<'_>) -> Result<(), Error>) -> Result<Vec<Saved>, Error> {
        let mut guard = self.cell.lock();
        let mut state = match guard.take() {
            Some(state) => state,
            None => State::load(&self.shared, &self.cell.log)?,
        };
        let incoming = self.cell.take_incoming();
        if !incoming.is_empty() {
            state.receive(&self.shared, incoming)?;
        }
        if state.author.actor().incarnation() != &self.shared.store().incarnation() {
            state.author = State::new_author(&self.shared, &self.cell.log);
        }
        let mut writing =
            Writing { partition: self, state, recorded: Vec::new(), changes: Vec::new(), is_founding: false };
        // Whatever fails from here on leaves change sets in memory that are not durable: the state is dropped, and read
        // again from the log when it is next asked for.
        let filled = fill(&mut writing);
        let Writing { mut state, recorded, changes, .. } = writing;
        if recorded.is_empty() {
            *guard = Some(state);
            return filled.map(|()| Vec::new());
        }
        filled?;
        state.documents.sign(&state.author)?;
        let entries: Vec<Verified> =
            recorded.iter().filter_map(|(id, _)| state.documents.log().get(id)).cloned().collect();
        let records: Vec<Verified> = entries
            .iter()
            .filter(|entry| entry.header().document.kind.as_str() == access::KIND_ACCESS)
            .cloned()
            .collect();
        let batch = Batch::new().append(self.cell.log.clone(), entries, Source::Own, None);
        self.shared.store().commit_now(Lane::Local, batch)?;
        if !records.is_empty() {
            self.shared.replica.take_records(&self.cell.log.workspace, &records)?;
        }
        state.unlisted.extend(changes.iter().map(|change: &DocumentChange| change.document.clone()));
        *guard = Some(state);
        drop(guard);
        self.tell(&changes, Origin::Local);
        self.shared.wake(!records.is_empty());
        self.shared.outbox_changed();
        let saved = |(id, document): (ChangeSetId, DocumentKey)| Saved { partition: self.name().clone(), document, id };
        Ok(recorded.into_iter().map(saved).collect())
    }

    /// Whether this device may carry out an intent on a kind of documents now.
    ///
    /// # Errors
    /// [`Error`] if the authority could not be read.
    pub fn check(&self, kind: &Kind, intent: &str) -> Result<Result<(), Why>, Error> {
        let (intent, now_ms) = (IntentName::new(intent)?, self.shared.replica.now_ms());
        Ok(self.permit(kind, &intent, now_ms)?.map(|_| ()))
    }

    /// The grant under which this device acts, or why it may not. A device that never had a grant works on drafts.
    fn permit(&self, kind: &Kind, intent: &IntentName, now_ms: u64) -> Result<Result<Option<ChangeSetId>, Why>, Error> {
        let (key, log) = (self.shared.store().device_key(), &self.cell.log);
        let answer = self.shared.replica.authority(&log.workspace, |authority| {
            let check = authority.check(&key, &log.partition, kind, intent, now_ms);
            let is_new = authority.standing(&key, &log.partition, now_ms) == access::Standing::None;
            (check, is_new)
        })?;
        Ok(match answer {
            (Check::Allowed { grant }, _) => Ok(grant),
            // Records of access are never drafts: nobody waits for them to count later.
            (Check::Forbidden(_), true) if kind.as_str() != access::KIND_ACCESS => Ok(None),
            (Check::Forbidden(why), _) => Err(why),
            _ => Ok(None),
        })
    }

    /// Documents of a kind from the lists, without opening any: those that the filter lets through, or all. Without a kind
    /// the filter is passed over. Costs follow what is listed, not what is held. Lists follow shortly after the log; see
    /// [`Partition::refresh_lists`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn list(&self, kind: Option<&Kind>, filter: &Filter) -> Result<Vec<Listed>, Error> {
        let view = self.shared.store().view()?;
        let (Some(index), Some(kind)) = (&filter.index, kind) else {
            return Ok(view.documents(&self.cell.log, kind)?.iter().map(Listed::of).collect());
        };
        let (from, to) = (filter.from.clone(), filter.to.clone());
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let some = view.scan(&self.cell.log, kind, index, from.as_slice()..to.as_slice(), 1000, after.as_ref())?;
            let Some(last) = some.last().cloned() else { return Ok(rows) };
            for (_, key) in &some {
                rows.extend(view.document(&self.cell.log, key)?.as_ref().map(Listed::of));
            }
            after = Some(last);
        }
    }

    /// Keeps what a person typed and may not save (yet), under a name of theirs: durable, on this device only, and never
    /// sent. One under the same name is replaced.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn keep_draft(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let batch = Batch::new().draft(self.cell.log.clone(), name, Some(bytes.to_vec()));
        self.shared.store().commit_now(Lane::Local, batch)?;
        Ok(())
    }

    /// Forgets a draft; nothing happens if there is none of this name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn discard_draft(&self, name: &str) -> Result<(), Error> {
        let batch = Batch::new().draft(self.cell.log.clone(), name, None);
        self.shared.store().commit_now(Lane::Local, batch)?;
        Ok(())
    }

    /// Every draft, by name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn drafts(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(self.shared.store().view()?.drafts(&self.cell.log)?)
    }

    /// The digest of everything that is held; equal wherever the same change sets count.
    ///
    /// # Errors
    /// As for [`Partition::settle`].
    pub fn digest(&self) -> Result<Digest, Error> {
        self.settle()?;
        self.read(Documents::digest)
    }

    /// What is held and does not count, with reasons.
    ///
    /// # Errors
    /// [`Error`] if the log could not be read.
    pub fn undecided(&self) -> Result<Vec<Undecided>, Error> {
        self.with(|state| {
            let row = |(id, (claim, verdict)): (&ChangeSetId, &(Claim, Verdict))| Undecided {
                id: *id,
                author: claim.author,
                is_pending: matches!(verdict, Verdict::Pending(_)),
                why: verdict.why().map(ToString::to_string).unwrap_or_default(),
            };
            Ok(state.undecided.iter().map(row).collect())
        })
    }

    /// How many documents have something new that is not built yet; none if nobody asked for this partition so far.
    pub(crate) fn pending_documents(&self) -> (u64, u64) {
        self.cell
            .lock()
            .as_ref()
            .map_or((0, 0), |state| (state.documents.pending().count() as u64, state.undecided.len() as u64))
    }

    /// What counts.
    ///
    /// # Errors
    /// [`Error`] if the log could not be read.
    pub fn judgement(&self) -> Result<Judgement, Error> {
        self.with(|state| Ok(state.documents.judgement().clone()))
    }

    fn tell(&self, changes: &[DocumentChange], origin: Origin) {
        for change in changes {
            let DocumentChange { document, paths } = change.clone();
            self.shared.tell(Change { partition: self.name().clone(), document, paths, origin });
        }
    }
}

/// A filter of a list: one indexed field and a range of its values.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    index: Option<String>,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Filter {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Documents whose indexed field has this value.
    pub fn equal(index: &str, value: &changeset::Value) -> Self {
        let from = crate::summary::index_bytes(value).unwrap_or_default();
        let mut to = from.clone();
        to.push(0);
        Self { index: Some(index.to_owned()), from, to }
    }

    /// Documents whose indexed field is at least `from` and below `to`, both of one type.
    pub fn between(index: &str, from: &changeset::Value, to: &changeset::Value) -> Self {
        let bytes = |value| crate::summary::index_bytes(value).unwrap_or_default();
        Self { index: Some(index.to_owned()), from: bytes(from), to: bytes(to) }
    }
}

/// Several change sets on their way into one commit.
#[derive(Debug)]
pub struct Writing<'a> {
    partition: &'a Partition,
    state: State,
    recorded: Vec<(ChangeSetId, DocumentKey)>,
    changes: Vec<DocumentChange>,
    /// What is written proves itself, by a hash or the roots' signatures, or was permitted before.
    pub(crate) is_founding: bool,
}

impl Writing<'_> {
    /// As [`Partition::edit`].
    ///
    /// # Errors
    /// As for [`Partition::edit`].
    pub fn edit(
        &mut self,
        document: &DocumentKey,
        intent: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), EditError>,
    ) -> Result<(), Error> {
        let intent = IntentName::new(intent)?;
        let shared = &self.partition.shared;
        let rules = shared.kinds.kind(document.kind.as_str()).map(|kind| KnownFields(kind.schema()));
        let mut commit = self.prepare(document, &intent)?;
        let mut tx = self.state.documents.transact(&mut self.state.author, document, shared.replica.now_ms());
        if let Some(rules) = &rules {
            commit.schema_version = rules.0.version();
            tx = tx.with_rules(rules);
        }
        edit(&mut tx)?;
        if tx.is_empty() {
            return Ok(());
        }
        let (_, applied) = tx.commit(commit)?;
        self.keep(document, applied)
    }

    /// As [`Partition::act`].
    ///
    /// # Errors
    /// As for [`Partition::act`].
    pub fn act(&mut self, document: &DocumentKey, intent: &AnyIntent) -> Result<(), Error> {
        let name = IntentName::new(intent.name())?;
        let shared = &self.partition.shared;
        let mut commit = self.prepare(document, &name)?;
        commit.reason = intent.reason().map(str::to_owned);
        let mut tx = self.state.documents.transact(&mut self.state.author, document, shared.replica.now_ms());
        if let Some(kind) = shared.kinds.kind(document.kind.as_str()) {
            commit.schema_version = kind.schema().version();
            tx = tx.with_rules(kind.schema());
        }
        let violations = intent.validate(&tx);
        if !violations.is_empty() {
            return Err(Error::Rules(violations));
        }
        intent.apply(&mut tx)?;
        let (_, applied) = tx.commit(commit)?;
        self.keep(document, applied)
    }

    /// Sixteen random bytes for a document id.
    pub fn random(&mut self) -> [u8; 16] {
        self.state.author.random()
    }

    fn prepare(&mut self, document: &DocumentKey, intent: &IntentName) -> Result<Commit, Error> {
        if self.is_founding {
            return Ok(Commit::new(intent.clone()));
        }
        let partition = self.partition;
        let now_ms = partition.shared.replica.now_ms();
        let permitted =
            partition.permit(&document.kind, intent, now_ms)?.map_err(|why| Error::NotPermitted(why.into()))?;
        let mut commit = Commit::new(intent.clone());
        let actor = self.state.author.actor().id();
        let in_force = self.state.lines.get(&actor).and_then(|(_, grant)| *grant);
        if permitted.is_some() && permitted != in_force {
            commit.grant = permitted;
        }
        Ok(commit)
    }

    fn keep(&mut self, document: &DocumentKey, applied: Applied) -> Result<(), Error> {
        check(&applied)?;
        let actor = self.state.author.actor().id();
        let is_draft = self.partition.is_draft(document);
        for id in &applied.accepted {
            let Some(entry) = self.state.documents.log().get(id) else { continue };
            let before = self.state.lines.get(&actor).and_then(|(_, grant)| *grant);
            let in_force = entry.header().grant.or(before);
            let claim = Claim::of(entry, before);
            if is_draft && let Some(verdict) = self.partition.verdict(&claim)? {
                self.state.undecided.insert(*id, (claim, verdict));
            }
            self.state.lines.insert(actor, (*id, in_force));
            self.recorded.push((*id, document.clone()));
        }
        self.changes.extend(applied.changes);
        Ok(())
    }
}

impl Partition {
    fn is_draft(&self, document: &DocumentKey) -> bool {
        document.kind.as_str() != access::KIND_ACCESS
    }

    /// The verdict on own work, unless it counts.
    fn verdict(&self, claim: &Claim) -> Result<Option<Verdict>, Error> {
        let verdict = self.shared.replica.authority(&self.cell.log.workspace, |authority| authority.verdict(claim))?;
        Ok(if verdict.is_accepted() { None } else { Some(verdict) })
    }
}

/// A document that is shown to somebody; see [`Partition::open`].
#[derive(Debug)]
pub struct Opened {
    partition: Partition,
    key: DocumentKey,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(state) = self.partition.cell.lock().as_mut()
            && let Some(count) = state.opened.get_mut(&self.key)
        {
            *count -= 1;
            if *count == 0 {
                state.opened.remove(&self.key);
            }
        }
    }
}

/// A schema for what it knows; anything else passes, as imported records have it.
struct KnownFields<'a>(&'a Schema);

impl KnownFields<'_> {
    fn knows(&self, path: &changeset::Path) -> bool {
        self.0.rule(path.as_str()).is_some()
    }
}

impl EditRules for KnownFields<'_> {
    fn check_put(&self, path: &changeset::Path, value: &changeset::Value) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_put(self.0, path, value) } else { Ok(()) }
    }

    fn check_increment(&self, path: &changeset::Path) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_increment(self.0, path) } else { Ok(()) }
    }

    fn check_text(&self, path: &changeset::Path) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_text(self.0, path) } else { Ok(()) }
    }
}

fn check(applied: &Applied) -> Result<(), Error> {
    if let Some((document, fault)) = applied.faults.first() {
        return Err(Error::Text { document: document.clone(), fault: *fault });
    }
    match applied.refused.first() {
        Some((id, why)) => Err(Error::Refused { id: *id, why: why.to_string() }),
        None => Ok(()),
    }
}
