//! The replica: one store, the authority of each workspace in it, and what sessions ask of both.

use crate::counters::Counters;
use crate::error::ReplicaError;
use crate::policy::Policy;
use crate::recent::Recent;
use crate::sessions::Sessions;
use crate::watch::Watch;
use crate::workers::Workers;
use access::Authority;
use changeset::{Partition, PublicKey, Verified, WorkspaceId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use storage::{Appended, Clock, LogKey, Redraw, Store, system_clock};
use sync::Tier;

/// How a replica is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// What it is.
    pub tier: Tier,
    /// Whom it lets in and how much it takes; see [`Policy`].
    pub policy: Policy,
    /// Threads that verify pages and read logs. Default: one for each core, at most four. More than cores only make each
    /// slower; one lets a large page delay all others. A replica whose store is stepped has none: see [`Replica::step`].
    pub workers: usize,
    /// Bytes of pages kept in memory for readers that follow closely. Default 4 MiB. Less: the same page is read and
    /// checked again for each of them; more than a few seconds of traffic is of no use.
    pub recent_bytes: usize,
    /// Bytes that one peer may have in flight to this replica. Default 4 MiB on a device, 512 KiB on a relay, where a
    /// thousand may push at once; each costs about ten times that while it is taken. Less than a page of the usual
    /// size and pages travel one by one.
    pub window_bytes: u64,
    /// Whether a device sends to one relay at once what another one gave. Default no: relays that should be equal are
    /// connected themselves, and if they are not, the device finds it by comparing, when it calls or within ten minutes. A
    /// carrier between sites that share no relay sets it. A relay passes on everything.
    pub carry: bool,
    /// The wall clock.
    pub clock: Clock,
}

impl core::fmt::Debug for Options {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Options({:?}, {} workers)", self.tier, self.workers)
    }
}

impl Options {
    /// The defaults for a replica of this tier.
    pub fn new(tier: Tier) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            tier,
            policy: Policy::new(tier),
            workers: cores.min(4),
            recent_bytes: 4 << 20,
            window_bytes: if tier == Tier::Device { 4 << 20 } else { 512 << 10 },
            carry: false,
            clock: system_clock(),
        }
    }
}

/// A replica. Clones share it.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) options: Options,
    pub(crate) counters: Counters,
    pub(crate) watch: Watch,
    pub(crate) recent: Recent,
    pub(crate) sessions: Sessions,
    pub(crate) workers: Workers,
    workspaces: Mutex<BTreeMap<WorkspaceId, Arc<Workspace>>>,
    tiers: Mutex<BTreeMap<PublicKey, Tier>>,
    listeners: RwLock<Vec<Listener>>,
    /// Moves whenever a receipt, or what a peer refused, became durable.
    pub(crate) acknowledged: tokio::sync::watch::Sender<u64>,
    /// What the last write said, if it failed.
    pub(crate) failure: Mutex<Option<String>>,
}

/// Hears of what entered a log, on the writer's thread; it must not block.
pub type Listener = Box<dyn Fn(&LogKey, &Appended) + Send + Sync>;

impl core::fmt::Debug for Inner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Replica({})", self.store.device_key().short())
    }
}

/// One workspace of a replica: who may do what in it.
#[derive(Debug)]
pub(crate) struct Workspace {
    authority: RwLock<Authority>,
}

impl Workspace {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Authority> {
        self.authority.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Authority> {
        self.authority.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const TIER_PREFIX: &str = "tier/";

impl Replica {
    /// A replica over a store.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn new(store: Store, options: Options) -> Result<Self, ReplicaError> {
        let count = if store.options().is_stepped { 0 } else { options.workers.max(1) };
        let workers =
            Workers::new(count).map_err(|error| ReplicaError::System { doing: "starting a worker thread", error })?;
        let inner = Arc::new(Inner {
            recent: Recent::new(options.recent_bytes),
            store,
            options,
            counters: Counters::default(),
            watch: Watch::default(),
            sessions: Sessions::default(),
            workers,
            workspaces: Mutex::default(),
            tiers: Mutex::default(),
            listeners: RwLock::default(),
            acknowledged: tokio::sync::watch::Sender::new(0),
            failure: Mutex::default(),
        });
        // The store outlives nothing here: its writer's listener must not keep the replica alive.
        let weak = Arc::downgrade(&inner);
        inner.store.listen(Box::new(move |log, appended| {
            if let Some(inner) = weak.upgrade() {
                inner.heard(log, appended);
            }
        }));
        Ok(Self { inner })
    }

    /// The store beneath.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// This replica's key.
    pub fn key(&self) -> PublicKey {
        self.inner.store.device_key()
    }

    /// What it was opened with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        (self.inner.options.clock)()
    }

    /// The live sessions and what is known of peers.
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// What the store said when a delivery could not be written, until one could again.
    pub fn store_failure(&self) -> Option<String> {
        self.inner.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that was begun for sessions is done. What is asked for after that is not answered: call it
    /// when the sessions are over, before the last handle is dropped, so that the store is closed then. Never on a thread
    /// of the replica's own (a listener).
    pub fn finish(&self) {
        self.inner.workers.finish();
        // Behind everything that the workers committed.
        let _closed_already = self.inner.store.commit_now(storage::Lane::Remote, storage::Batch::new());
    }

    /// Does one thing that a session asked for, or writes what waits to be written. Gives whether there was anything to
    /// do. For replicas whose store is stepped ([`storage::Options::is_stepped`]).
    pub fn step(&self) -> bool {
        self.inner.workers.step() || self.inner.store.step()
    }

    /// Calls `listener` on the writer's thread for whatever enters a log. It must not block.
    pub fn listen(&self, listener: Listener) {
        self.inner.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Moves whenever a receipt, or what a peer refused, became durable: the moment to look how far own work came.
    pub fn acknowledged(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.acknowledged.subscribe()
    }

    /// Asks who may do what in a workspace.
    ///
    /// # Errors
    /// [`ReplicaError::Storage`] if its records could not be read.
    pub fn authority<T>(&self, workspace: &WorkspaceId, ask: impl FnOnce(&Authority) -> T) -> Result<T, ReplicaError> {
        Ok(ask(&self.inner.workspace(workspace)?.read()))
    }

    /// Takes own records of kind `access` into account, once they are durable.
    ///
    /// # Errors
    /// [`ReplicaError::Storage`].
    pub fn take_records(&self, workspace: &WorkspaceId, entries: &[Verified]) -> Result<(), ReplicaError> {
        let held = self.inner.workspace(workspace)?;
        let mut authority = held.write();
        let mut is_changed = false;
        for entry in entries {
            is_changed |= matches!(authority.take(entry), access::Taken::Counts { .. });
        }
        drop(authority);
        if is_changed {
            self.inner.authority_changed(workspace);
        }
        Ok(())
    }

    /// Draws new incarnations, because a peer showed that this store was rolled back or copied. All sessions end then, and
    /// whoever keeps a link calls again.
    ///
    /// # Errors
    /// [`ReplicaError::Storage`]; nothing changed then.
    pub fn redraw(&self, why: Redraw) -> Result<(), ReplicaError> {
        self.inner.store.redraw(why)?;
        self.inner.watch.forget();
        self.inner.sessions.redrawn();
        Ok(())
    }
}

impl Inner {
    fn heard(&self, log: &LogKey, appended: &Appended) {
        if !appended.entered.is_empty() {
            self.watch.grew(log, appended.end);
        }
        for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener(log, appended);
        }
    }

    /// A workspace's authority, read from its records when it is first asked for.
    pub(crate) fn workspace(&self, id: &WorkspaceId) -> Result<Arc<Workspace>, ReplicaError> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workspace) = workspaces.get(id) {
            return Ok(Arc::clone(workspace));
        }
        let mut authority = Authority::new(*id);
        let view = self.store.view()?;
        for log in view.logs()? {
            if log.workspace == *id {
                for entry in view.access_entries(&log)? {
                    authority.take(&entry);
                }
            }
        }
        let workspace = Arc::new(Workspace { authority: RwLock::new(authority) });
        workspaces.insert(*id, Arc::clone(&workspace));
        Ok(workspace)
    }

    /// Forgets a workspace's authority, because what it took was not stored after all.
    pub(crate) fn forget_workspace(&self, id: &WorkspaceId) {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether anything of a workspace is kept here.
    pub(crate) fn knows(&self, id: &WorkspaceId) -> Result<bool, ReplicaError> {
        Ok(self.store.view()?.logs()?.iter().any(|log| log.workspace == *id))
    }

    /// Remembers what a peer says it is: a device leaves to relays among themselves what came from one of them.
    pub(crate) fn met(&self, peer: &PublicKey, tier: Tier) {
        let mut tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        if tier != Tier::Device && tiers.insert(*peer, tier) != Some(tier) {
            let batch = storage::Batch::new().meta(format!("{TIER_PREFIX}{peer}"), Some(vec![tier.code() as u8]));
            // If it is not kept, what it gave is sent to other relays too; it is told again at the next meeting.
            self.store.commit(storage::Lane::Remote, batch, |_| ());
        }
    }

    pub(crate) fn tier_of(&self, peer: &PublicKey) -> Tier {
        let mut tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tier) = tiers.get(peer) {
            return *tier;
        }
        let stored = self.store.view().and_then(|view| view.meta(&format!("{TIER_PREFIX}{peer}"))).ok().flatten();
        let code = stored.and_then(|bytes| bytes.first().copied()).map_or(0, u64::from);
        let tier = Tier::from_code(code).unwrap_or(Tier::Device);
        tiers.insert(*peer, tier);
        tier
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.options.clock)()
    }

    pub(crate) fn log(workspace: WorkspaceId, partition: Partition) -> LogKey {
        LogKey::new(workspace, partition)
    }
}
