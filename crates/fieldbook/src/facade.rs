//! The store of a device: open, edit, read, subscribe, connect.

use crate::changes::Changes;
use crate::error::Error;
use crate::links::{Link, Run, SteppedLink, SyncReport, Wishes, direct, link, stepped};
use crate::members::NewWorkspace;
use crate::partition::{Partition, Saved};
use crate::shared::{Shared, background, build_step};
use crate::states::{Connectivity, Inbox, Outbox, Watched};
use crate::summary::Listing;
use crate::wait::{Reached, outbox, peers, reached};
use access::{KeyText, PARTITION_AUTHORITY};
use changeset::{
    Bundle, ChangeSetId, DocumentId, DocumentKey, Kind, Partition as PartitionName, PublicKey, WorkspaceId,
};
use crdt::KindRegistry;
use replica::{Connection, Options as ReplicaOptions, Replica, Trust};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage::{Batch, Lane, LogKey, Opened as StoreOpened, Progress, Report, Source, Store};
use sync::Tier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

/// How a store is opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The kinds of documents that the app knows; others are kept and shown too. Default: inspections and orders.
    pub kinds: KindRegistry,
    /// By what documents of a kind are listed; kinds without an entry are listed by [`Listing::standard`].
    pub listings: BTreeMap<String, Listing>,
    /// Options of the store beneath.
    pub storage: storage::Options,
    /// Options of the replica beneath.
    pub replica: ReplicaOptions,
    /// Certificates to trust beside the public ones (DER), for relays with their own.
    pub certificates: Vec<Vec<u8>>,
    /// Whether relays elsewhere may be talked to without TLS. Default no.
    pub allow_plain: bool,
}

impl Settings {
    /// The defaults.
    ///
    /// # Errors
    /// [`crdt::SchemaError`] if the standard kinds contradict each other, which they do not.
    pub fn new() -> Result<Self, crdt::SchemaError> {
        Ok(Self {
            kinds: crdt::standard_kinds()?,
            listings: BTreeMap::new(),
            storage: storage::Options::default(),
            replica: ReplicaOptions::new(Tier::Device),
            certificates: Vec::new(),
            allow_plain: false,
        })
    }
}

/// The store of a device in a workspace. Clones share it; every method may be called from any thread. Close it with
/// [`Fieldbook::close`]; one that is dropped loses nothing that was reported as saved.
#[derive(Clone, Debug)]
pub struct Fieldbook {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keep: Arc<Keep>,
}

/// What ends with the last clone.
#[derive(Debug)]
pub(crate) struct Keep {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    background: Mutex<Option<JoinHandle<()>>>,
    pub(crate) trust: Trust,
    redrawn: bool,
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.background.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
        // A runtime cannot be waited for inside another; what runs in it loses nothing.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) const WORKSPACE: &str = "workspace";
pub(crate) const PARTITIONS: &str = "partitions";
const NAME: &str = "name";

impl Fieldbook {
    /// Makes a store in a new workspace, of which this device is the first; see [`NewWorkspace`]. What the roots sign is
    /// asked of them once, here; their keys are not kept in the store.
    ///
    /// # Errors
    /// [`Error::Storage`] if there is something at the path, [`Error::Endorse`] if a root does not sign.
    pub fn create(path: impl AsRef<Path>, new: &NewWorkspace<'_>, settings: Settings) -> Result<Self, Error> {
        Self::create_in(Store::create(path, settings.storage.clone())?, new, settings)
    }

    /// As [`Fieldbook::create`], in a new store that lies elsewhere, as one in memory.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Endorse`].
    pub fn create_in(store: Store, new: &NewWorkspace<'_>, settings: Settings) -> Result<Self, Error> {
        let genesis = new.genesis(&store, store.options().random.bytes()?)?;
        let fieldbook =
            Self::begin(store, genesis.workspace()?, &new.device, std::slice::from_ref(&new.partition), settings)?;
        fieldbook.found(new, genesis)?;
        Ok(fieldbook)
    }

    /// Makes a store in a workspace that exists. It shows its key ([`Fieldbook::key_text`]) to somebody who may let it in,
    /// or knocks at a relay; until then its work is kept as drafts.
    ///
    /// # Errors
    /// [`Error::Storage`] if there is something at the path.
    pub fn join(
        path: impl AsRef<Path>,
        workspace: WorkspaceId,
        device: &str,
        partitions: &[PartitionName],
        settings: Settings,
    ) -> Result<Self, Error> {
        Self::join_in(Store::create(path, settings.storage.clone())?, workspace, device, partitions, settings)
    }

    /// As [`Fieldbook::join`], in a new store that lies elsewhere.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn join_in(
        store: Store,
        workspace: WorkspaceId,
        device: &str,
        partitions: &[PartitionName],
        settings: Settings,
    ) -> Result<Self, Error> {
        let fieldbook = Self::begin(store, workspace, device, partitions, settings)?;
        for partition in partitions {
            fieldbook.partition(partition)?.introduce(device)?;
        }
        Ok(fieldbook)
    }

    pub(crate) fn begin(
        store: Store,
        workspace: WorkspaceId,
        device: &str,
        partitions: &[PartitionName],
        settings: Settings,
    ) -> Result<Self, Error> {
        let batch = Batch::new()
            .meta(WORKSPACE, Some(workspace.as_bytes().to_vec()))
            .meta(NAME, Some(device.as_bytes().to_vec()))
            .meta(PARTITIONS, Some(joined(partitions)));
        store.commit_now(Lane::Local, batch)?;
        Self::with_store(store, settings, false)
    }

    /// Opens a store.
    ///
    /// # Errors
    /// [`Error::Storage`] with what was tried and the cure: no store, another process, a newer format, a full or failed
    /// disk; [`Error::NoWorkspace`].
    pub fn open(path: impl AsRef<Path>, settings: Settings) -> Result<Self, Error> {
        let (store, opened) = Store::open(path, settings.storage.clone())?;
        Self::with_store(store, settings, opened != StoreOpened::Same)
    }

    /// Opens a store that lies elsewhere.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::NoWorkspace`].
    pub fn open_in(store: Store, settings: Settings) -> Result<Self, Error> {
        Self::with_store(store, settings, false)
    }

    fn with_store(store: Store, settings: Settings, redrawn: bool) -> Result<Self, Error> {
        let workspace = store.view()?.meta(WORKSPACE)?;
        let workspace = workspace.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or(Error::NoWorkspace)?;
        let trust = Trust::new(settings.certificates, settings.allow_plain)
            .map_err(|error| Error::System { doing: "reading a certificate", error: std::io::Error::other(error) })?;
        let replica = Replica::new(store, settings.replica)?;
        let shared = Shared::new(replica, WorkspaceId::from_bytes(workspace), settings.kinds, settings.listings);
        let (mut runtime, mut thread) = (None, None);
        if !shared.store().options().is_stepped {
            let threads = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("fieldbook-net")
                .enable_all()
                .build()
                .map_err(|error| Error::System { doing: "starting the network threads", error })?;
            threads.spawn(watch_outbox(Arc::downgrade(&shared)));
            runtime = Some(threads);
            thread = Some(
                background(&shared)
                    .map_err(|error| Error::System { doing: "starting the thread that builds documents", error })?,
            );
        }
        let keep = Keep { shared: Arc::clone(&shared), runtime, background: Mutex::new(thread), trust, redrawn };
        let fieldbook = Self { shared, keep: Arc::new(keep) };
        fieldbook.shared.outbox_changed();
        Ok(fieldbook)
    }

    /// Whether opening found that the store was copied or put back, and drew new incarnations.
    pub fn was_put_back(&self) -> bool {
        self.keep.redrawn
    }

    /// The workspace.
    pub fn workspace(&self) -> WorkspaceId {
        self.shared.workspace
    }

    /// This device's public key.
    pub fn key(&self) -> PublicKey {
        self.shared.store().device_key()
    }

    /// This device's key as 52 characters, to show to somebody who lets it in.
    pub fn key_text(&self) -> KeyText {
        KeyText::of_key(&self.key())
    }

    /// What this device calls itself.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn device_name(&self) -> Result<String, Error> {
        let name = self.shared.store().view()?.meta(NAME)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// The kinds of documents that the app knows.
    pub fn kinds(&self) -> &KindRegistry {
        &self.shared.kinds
    }

    /// The partitions that are kept, the authority left out.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn partitions(&self) -> Result<Vec<PartitionName>, Error> {
        let text = self.shared.store().view()?.meta(PARTITIONS)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(|name| PartitionName::new(name).ok()).collect())
    }

    /// Keeps a partition from now on. Links that are open take it up when they connect next.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn add_partition(&self, name: &PartitionName) -> Result<Partition, Error> {
        let mut partitions = self.partitions()?;
        if !partitions.contains(name) {
            partitions.push(name.clone());
            let batch = Batch::new().meta(PARTITIONS, Some(joined(&partitions)));
            self.shared.store().commit_now(Lane::Local, batch)?;
        }
        Ok(self.shared.partition(name))
    }

    /// A partition that is kept.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Storage`].
    pub fn partition(&self, name: &PartitionName) -> Result<Partition, Error> {
        if name.as_str() == PARTITION_AUTHORITY || self.partitions()?.contains(name) {
            Ok(self.shared.partition(name))
        } else {
            Err(Error::UnknownPartition(name.clone()))
        }
    }

    pub(crate) fn authority(&self) -> Result<Partition, Error> {
        Ok(self.shared.partition(&PartitionName::new(PARTITION_AUTHORITY)?))
    }

    /// A document of a kind that does not exist yet. Its id begins with the time.
    ///
    /// # Errors
    /// [`Error::Name`] if the kind's name breaks its pattern.
    pub fn new_document(&self, kind: &str) -> Result<DocumentKey, Error> {
        Ok(DocumentKey {
            kind: Kind::new(kind)?,
            id: DocumentId::from_parts(self.shared.replica.now_ms(), self.shared.random()?),
        })
    }

    /// Hears of every change from now on.
    pub fn subscribe(&self) -> Changes {
        Changes { receiver: self.shared.subscribe() }
    }

    /// Own work that no relay has acknowledged, as a state to watch.
    pub fn outbox(&self) -> Watched<Outbox> {
        Watched(self.shared.outbox.subscribe())
    }

    /// Own work that no relay has acknowledged, read now.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn outbox_now(&self) -> Result<Outbox, Error> {
        outbox(&self.shared)
    }

    /// What came and waits, read now.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn inbox(&self) -> Result<Inbox, Error> {
        let view = self.shared.store().view()?;
        let mut inbox = Inbox::default();
        for log in view.logs()? {
            inbox.waiting += view.log(&log)?.map_or(0, |state| state.waiting);
        }
        for cell in self.shared.cells() {
            let partition = Partition { shared: Arc::clone(&self.shared), cell };
            let (documents, undecided) = partition.pending_documents();
            inbox.pending_documents += documents;
            inbox.undecided += undecided;
        }
        Ok(inbox)
    }

    /// How the partitions stand in the store, the authority first.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn partition_states(&self) -> Result<Vec<PartitionState>, Error> {
        let view = self.shared.store().view()?;
        let mut states = Vec::new();
        for name in std::iter::once(PartitionName::new(PARTITION_AUTHORITY)?).chain(self.partitions()?) {
            let log = LogKey::new(self.shared.workspace, name.clone());
            let state = view.log(&log)?;
            states.push(PartitionState {
                name,
                documents: view.documents(&log, None)?.len() as u64,
                change_sets: state.map_or(0, |state| state.end.position),
                bytes: state.map_or(0, |state| state.bytes),
                waiting: state.map_or(0, |state| state.waiting),
            });
        }
        Ok(states)
    }

    /// How far each peer came with each partition, by receipts that hold for the logs as they are.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn peers(&self) -> Result<Vec<PeerProgress>, Error> {
        peers(&self.shared)
    }

    /// Keeps something of the app's own in the store, on this device only: durable when it returns; none forgets it.
    ///
    /// # Errors
    /// [`Error::Storage`]: also for a name of more than 250 bytes.
    pub fn remember(&self, name: &str, value: Option<&[u8]>) -> Result<(), Error> {
        let batch = Batch::new().meta(format!("app/{name}"), value.map(<[u8]>::to_vec));
        self.shared.store().commit_now(Lane::Local, batch)?;
        Ok(())
    }

    /// What was kept by [`Fieldbook::remember`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.shared.store().view()?.meta(&format!("app/{name}"))?)
    }

    /// Waits until a change has reached a tier. Cancel safe. It says yes only of what a receipt proves.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Timeout`].
    pub async fn wait(&self, change: &Saved, tier: Reached, at_most: Duration) -> Result<(), Error> {
        let mut moved = self.shared.replica.acknowledged();
        let wait = async {
            while reached(&self.shared, change)? < tier {
                // It moves when a receipt became durable, and lives as long as the store.
                let _ = moved.changed().await;
            }
            Ok(())
        };
        tokio::time::timeout(at_most, wait).await.map_err(|_| Error::Timeout(at_most))?
    }

    /// As [`Fieldbook::wait`], for threads that are not async.
    ///
    /// # Errors
    /// As for [`Fieldbook::wait`].
    pub fn wait_blocking(&self, change: &Saved, tier: Reached, at_most: Duration) -> Result<(), Error> {
        self.block_on(self.wait(change, tier, at_most))
    }

    /// How far a change came, read now.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn reached(&self, change: &Saved) -> Result<Reached, Error> {
        reached(&self.shared, change)
    }

    /// Connects to a relay (`wss://…`, or `ws://` on this machine) and stays connected until the link is dropped. Several
    /// relays are several links.
    ///
    /// # Errors
    /// [`Error::Storage`] if the partitions could not be read. Whether it connects is the link's state.
    pub fn connect(&self, url: &str) -> Result<Link, Error> {
        self.connect_with(url, Wishes::default())
    }

    /// As [`Fieldbook::connect`], and asks to be let in each time it connects: somebody with authority sees the name and
    /// the key. When this device is let in the link goes on as any other.
    ///
    /// # Errors
    /// As for [`Fieldbook::connect`].
    pub fn connect_and_knock(&self, url: &str) -> Result<Link, Error> {
        self.connect_with(url, Wishes { knock: Some(self.device_name()?), ..Wishes::default() })
    }

    fn connect_with(&self, url: &str, wishes: Wishes) -> Result<Link, Error> {
        let (partitions, trust) = (self.partitions()?, self.keep.trust.clone());
        Ok(link(&self.shared, self.runtime()?.handle(), partitions, url.to_owned(), trust, wishes))
    }

    /// Syncs with another device over any ordered, reliable stream of bytes. One side is the caller.
    ///
    /// # Errors
    /// [`Error::Storage`] if the partitions could not be read.
    pub fn link<S: AsyncRead + AsyncWrite + Send + 'static>(&self, stream: S, is_caller: bool) -> Result<Link, Error> {
        let handle = self.runtime()?.handle();
        let _inside = handle.enter();
        Ok(direct(&self.shared, handle, self.partitions()?, Connection::stream(stream), is_caller))
    }

    /// Exchanges with a relay once, until both sides hold what the other had, and hangs up. Blocks; not for async code,
    /// which uses [`Fieldbook::connect`].
    ///
    /// # Errors
    /// [`Error::Link`], [`Error::Timeout`], [`Error::Storage`].
    pub fn sync(&self, url: &str, at_most: Duration) -> Result<SyncReport, Error> {
        self.exchange(url, Wishes::default(), at_most, |_| ())
    }

    /// As [`Fieldbook::sync`]; `progress` hears how far it is, on the thread that called.
    ///
    /// # Errors
    /// As for [`Fieldbook::sync`].
    pub fn sync_watched(
        &self,
        url: &str,
        at_most: Duration,
        progress: impl FnMut(&Connectivity),
    ) -> Result<SyncReport, Error> {
        self.exchange(url, Wishes::default(), at_most, progress)
    }

    /// Asks at a relay to be let in; somebody with authority sees the name and a code to compare.
    ///
    /// # Errors
    /// As for [`Fieldbook::sync`].
    pub fn knock(&self, url: &str, at_most: Duration) -> Result<SyncReport, Error> {
        let name = Some(self.device_name()?);
        self.exchange(url, Wishes { knock: name, ..Wishes::default() }, at_most, |_| ())
    }

    /// Asks a relay who knocked.
    ///
    /// # Errors
    /// As for [`Fieldbook::sync`].
    pub fn knocks(&self, url: &str, at_most: Duration) -> Result<SyncReport, Error> {
        self.exchange(url, Wishes { ask_knocks: true, ..Wishes::default() }, at_most, |_| ())
    }

    fn exchange(
        &self,
        url: &str,
        wishes: Wishes,
        at_most: Duration,
        mut progress: impl FnMut(&Connectivity),
    ) -> Result<SyncReport, Error> {
        let state = tokio::sync::watch::Sender::new(Connectivity::Offline { since_ms: self.shared.replica.now_ms() });
        let mut watched = state.subscribe();
        let run = Run { shared: Arc::clone(&self.shared), partitions: self.partitions()?, state, wishes };
        let exchange = async {
            let connection = Connection::connect(url, &self.keep.trust).await?;
            let session = run.once(connection, true);
            tokio::pin!(session);
            loop {
                tokio::select! {
                    report = &mut session => return report,
                    Ok(()) = watched.changed() => progress(&watched.borrow_and_update()),
                }
            }
        };
        self.block_on(async { tokio::time::timeout(at_most, exchange).await.map_err(|_| Error::Timeout(at_most))? })
    }

    fn runtime(&self) -> Result<&Runtime, Error> {
        let gone = || Error::System { doing: "using the network threads", error: std::io::ErrorKind::NotFound.into() };
        self.keep.runtime.as_ref().ok_or_else(gone)
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime()?.block_on(future)
    }

    /// A bundle file of a partition: the authority and the partition, verifiable by themselves, for a USB stick.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Bundle`].
    pub fn export(&self, partition: &PartitionName) -> Result<Vec<u8>, Error> {
        self.export_several(std::slice::from_ref(partition))
    }

    /// As [`Fieldbook::export`], of several partitions in one file.
    ///
    /// # Errors
    /// As for [`Fieldbook::export`].
    pub fn export_several(&self, partitions: &[PartitionName]) -> Result<Vec<u8>, Error> {
        let view = self.shared.store().view()?;
        let mut bytes = Vec::new();
        let authority = PartitionName::new(PARTITION_AUTHORITY)?;
        let others = partitions.iter().filter(|name| **name != authority).cloned();
        for name in std::iter::once(authority.clone()).chain(others) {
            let log = LogKey::new(self.shared.workspace, name.clone());
            let Some(end) = view.log(&log)?.map(|state| state.end) else { continue };
            let entries = view.entries(&log, 0..end.position)?;
            let bundle = Bundle { workspace: self.shared.workspace, partition: name, log: end.log, entries };
            bytes.extend(bundle.to_bytes()?);
        }
        Ok(bytes)
    }

    /// Takes in bundles that were read from a file. Gives what was new. What can never enter a log is named in
    /// [`Imported::refused`]; the rest is taken.
    ///
    /// # Errors
    /// [`Error::OtherWorkspace`], [`Error::Storage`]; nothing of the file was taken then.
    pub fn import(&self, bundles: Vec<Bundle>) -> Result<Imported, Error> {
        if let Some(other) = bundles.iter().find(|bundle| bundle.workspace != self.shared.workspace) {
            return Err(Error::OtherWorkspace { found: other.workspace, own: self.shared.workspace });
        }
        let (mut batch, mut records) = (Batch::new(), Vec::new());
        let own: Vec<_> = bundles
            .iter()
            .map(|bundle| {
                changeset::Actor::new(
                    bundle.workspace,
                    bundle.partition.clone(),
                    self.key(),
                    self.shared.store().incarnation(),
                )
                .id()
            })
            .collect();
        for bundle in bundles {
            if bundle.partition.as_str() != PARTITION_AUTHORITY {
                self.add_partition(&bundle.partition)?;
            }
            let is_record = |entry: &&changeset::Verified| entry.header().document.kind.as_str() == access::KIND_ACCESS;
            records.extend(bundle.entries.iter().filter(is_record).cloned());
            let log = LogKey::new(bundle.workspace, bundle.partition);
            batch = batch.append(log, bundle.entries, Source::File, None);
        }
        let committed = self.shared.store().commit_now(Lane::Local, batch)?;
        let mut imported = Imported::default();
        let mut is_own = false;
        for appended in &committed.appended {
            imported.new += appended.entered.len();
            imported.known += appended.known;
            imported.waiting += appended.waiting.len();
            is_own |= appended.entered.iter().any(|entry| own.contains(&entry.actor().id()));
            imported.documents.extend(appended.entered.iter().map(|entry| entry.header().document.clone()));
            imported.refused.extend(appended.refused.iter().map(|(id, fault)| (*id, fault.to_string())));
            imported.refused.extend(appended.overflow.iter().map(|id| (*id, "too many wait for others".to_owned())));
        }
        self.shared.replica.take_records(&self.shared.workspace, &records)?;
        self.shared.wake(true);
        if is_own {
            // Own work that this store did not have: it was copied or put back, and writes under new names from here on.
            self.shared.replica.redraw(storage::Redraw::RolledBack)?;
            imported.was_put_back = true;
        }
        Ok(imported)
    }

    /// Copies the store to a new file while it is used. The copy holds the device's key: keep it as safe as the device.
    ///
    /// # Errors
    /// [`Error::Storage`]; no file is at `to` then.
    pub fn backup(&self, to: impl AsRef<Path>, progress: impl FnMut(Progress)) -> Result<(), Error> {
        Ok(self.shared.store().backup(to, progress)?)
    }

    /// Puts a backup in place as a new store. When it is opened it begins new logs, and what others had since comes back
    /// from them.
    ///
    /// # Errors
    /// [`Error::Storage`]; no file is at `to` then.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Error> {
        Ok(Store::restore(from, to)?)
    }

    /// Joins small pages and gives unused space back to the system. Nothing is written meanwhile.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn compact(&self) -> Result<(), Error> {
        for log in self.shared.store().view()?.logs()? {
            self.shared.store().merge_pages(&log, storage::MergeLimits::default())?;
        }
        Ok(self.shared.store().compact()?)
    }

    /// Checks every page, hash, seal, signature and index row.
    ///
    /// # Errors
    /// [`Error::Storage`] of the disk. What is wrong with the content is in the report.
    pub fn verify(&self, progress: impl FnMut(Progress)) -> Result<Report, Error> {
        Ok(self.shared.store().verify(progress)?)
    }

    /// Bytes of the store on disk.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn size(&self) -> Result<u64, Error> {
        Ok(self.shared.store().size()?)
    }

    /// The replica beneath: counters, sessions, and whatever a program wants that serves others itself.
    pub fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// A session of a store that is stepped, in which it calls or answers.
    ///
    /// # Errors
    /// [`Error::Storage`] if the partitions could not be read, [`Error::Link`] without random bytes.
    pub fn stepped_link(&self, is_caller: bool, now: Instant) -> Result<SteppedLink, Error> {
        stepped(&self.shared, self.partitions()?, is_caller, now)
    }

    /// Builds some of what arrived. Gives whether there was anything to build. For stores that are stepped
    /// ([`storage::Options::is_stepped`]), which have no threads and connect to nothing by themselves: whoever steps them
    /// runs [`replica::Driver`]s over [`Fieldbook::replica`].
    ///
    /// # Errors
    /// [`Error`] as for [`Partition::settle`].
    pub fn step(&self) -> Result<bool, Error> {
        build_step(&self.shared)
    }

    /// Waits for a change; for documentation and tests.
    #[doc(hidden)]
    pub fn block_on_change(&self, changes: &mut Changes) {
        if let Some(runtime) = &self.keep.runtime {
            runtime.block_on(changes.next());
        }
    }

    /// Ends background work and waits for it. Links must be closed before. Everything that was reported as saved is.
    pub fn close(self) {
        self.shared.stop();
        if let Some(thread) = self.keep.background.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Keeps the outbox's state true as receipts come, as long as the store is open.
async fn watch_outbox(shared: std::sync::Weak<Shared>) {
    let Some(mut moved) = shared.upgrade().map(|shared| shared.replica.acknowledged()) else { return };
    while moved.changed().await.is_ok() {
        match shared.upgrade() {
            Some(shared) => shared.outbox_changed(),
            None => return,
        }
    }
}

/// What came of taking in bundles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Change sets that were new.
    pub new: usize,
    /// Change sets that were held already.
    pub known: usize,
    /// Change sets that wait for others.
    pub waiting: usize,
    /// The documents that have something new.
    pub documents: BTreeSet<DocumentKey>,
    /// Change sets that can never enter a log, and why.
    pub refused: Vec<(ChangeSetId, String)>,
    /// Whether they showed that this store was copied or put back; new incarnations were drawn.
    pub was_put_back: bool,
}

/// How a partition stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionState {
    /// Which; the authority is among them.
    pub name: PartitionName,
    /// Documents in the lists.
    pub documents: u64,
    /// Change sets in the log.
    pub change_sets: u64,
    /// Bytes of the log's pages.
    pub bytes: u64,
    /// Change sets that wait for others or to be let in.
    pub waiting: u64,
}

/// How far a peer came with the log of a partition, by the last receipt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerProgress {
    /// The partition.
    pub partition: PartitionName,
    /// The peer.
    pub peer: PublicKey,
    /// What it is.
    pub reached: Reached,
    /// Change sets of the log that it has.
    pub acknowledged: u64,
    /// Change sets of the log in all.
    pub total: u64,
    /// When its receipt was stored, in milliseconds since 1970.
    pub at_ms: u64,
}

fn joined(partitions: &[PartitionName]) -> Vec<u8> {
    partitions.iter().map(PartitionName::as_str).collect::<Vec<_>>().join("\n").into_bytes()
}
