//! What the parts of an open store share, and the thread that builds documents.

use crate::changes::{Change, MAX_WAITING};
use crate::error::Error;
use crate::partition::{Cell, Partition};
use crate::states::Outbox;
use crate::summary::Listing;
use changeset::{ChangeSetId, Kind, Partition as PartitionName, WorkspaceId};
use crdt::KindRegistry;
use replica::Replica;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use storage::{LogKey, Source, Store};
use tokio::sync::{broadcast, watch};

pub(crate) struct Shared {
    pub(crate) replica: Replica,
    pub(crate) workspace: WorkspaceId,
    pub(crate) kinds: KindRegistry,
    listings: BTreeMap<String, Listing>,
    standard: Listing,
    cells: RwLock<BTreeMap<PartitionName, Arc<Cell>>>,
    changes: broadcast::Sender<Change>,
    work: Work,
    pub(crate) outbox: watch::Sender<Outbox>,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Fieldbook({} in {})", self.replica.key().short(), self.workspace.short())
    }
}

/// What the background has to do.
#[derive(Debug, Default)]
struct Work {
    state: Mutex<Due>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Due {
    something: bool,
    rejudge: bool,
    stop: bool,
}

impl Shared {
    pub(crate) fn new(
        replica: Replica,
        workspace: WorkspaceId,
        kinds: KindRegistry,
        listings: BTreeMap<String, Listing>,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            replica,
            workspace,
            kinds,
            listings,
            standard: Listing::standard(),
            cells: RwLock::default(),
            changes: broadcast::Sender::new(MAX_WAITING),
            work: Work::default(),
            outbox: watch::Sender::new(Outbox::default()),
        });
        let weak = Arc::downgrade(&shared);
        shared.replica.listen(Box::new(move |log, appended| {
            if let Some(shared) = weak.upgrade() {
                shared.heard(log, appended);
            }
        }));
        shared
    }

    pub(crate) fn store(&self) -> &Store {
        self.replica.store()
    }

    /// So many random bytes.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], Error> {
        Ok(self.store().options().random.bytes()?)
    }

    pub(crate) fn listing(&self, kind: &Kind) -> &Listing {
        self.listings.get(kind.as_str()).unwrap_or(&self.standard)
    }

    pub(crate) fn partition(self: &Arc<Self>, name: &PartitionName) -> Partition {
        let known = self.cells.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let cell = known.unwrap_or_else(|| {
            let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Cell::new(LogKey::new(self.workspace, name.clone())));
            Arc::clone(cells.entry(name.clone()).or_insert_with(new))
        });
        Partition { shared: Arc::clone(self), cell }
    }

    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn tell(&self, change: Change) {
        // Without subscribers nobody hears it.
        let _ = self.changes.send(change);
    }

    /// On the writer's thread: what entered a log from elsewhere is taken in by the background.
    fn heard(&self, log: &LogKey, appended: &storage::Appended) {
        if log.workspace != self.workspace || appended.entered.is_empty() {
            return;
        }
        // Own work is in memory already.
        if appended.source != Source::Own {
            let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(cell) = cells.get(&log.partition) {
                cell.arrived(&appended.entered);
            }
        }
        let is_record = |entry: &changeset::Verified| entry.header().document.kind.as_str() == access::KIND_ACCESS;
        self.wake(appended.entered.iter().any(is_record));
    }

    /// There is something to build, or what counts may have moved.
    pub(crate) fn wake(&self, rejudge: bool) {
        let mut due = self.work.state.lock().unwrap_or_else(PoisonError::into_inner);
        due.something = true;
        due.rejudge |= rejudge;
        self.work.changed.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.work.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.work.changed.notify_one();
    }

    /// The grant in force behind an entry, by its chain.
    pub(crate) fn grant_in_force(&self, documents: &crdt::Partition, id: &ChangeSetId) -> Option<ChangeSetId> {
        let mut at = documents.log().get(id);
        while let Some(entry) = at {
            if entry.header().grant.is_some() {
                return entry.header().grant;
            }
            at = entry.header().previous.and_then(|previous| documents.log().get(&previous));
        }
        None
    }

    pub(crate) fn outbox_changed(&self) {
        if let Ok(outbox) = crate::wait::outbox(self) {
            self.outbox.send_replace(outbox);
        }
    }
}

/// Builds documents while there are any to build. Ends when told to, or when nobody holds the store any more.
pub(crate) fn background(shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let weak = Arc::downgrade(shared);
    std::thread::Builder::new().name("fieldbook-build".into()).spawn(move || {
        while let Some(due) = wait(&weak) {
            let Some(shared) = weak.upgrade() else { return };
            for cell in shared.cells() {
                let partition = Partition { shared: Arc::clone(&shared), cell };
                let mut rejudge = due.rejudge;
                loop {
                    match partition.step(rejudge) {
                        Ok(true) => rejudge = false,
                        Ok(false) => break,
                        Err(error) => {
                            // What failed is tried again with the next arrival, and whoever reads gets the error.
                            tracing::warn!(%error, partition = %partition.name(), "documents could not be built");
                            break;
                        }
                    }
                    if shared.work.state.lock().unwrap_or_else(PoisonError::into_inner).stop {
                        return;
                    }
                    // Readers come first.
                    std::thread::yield_now();
                }
            }
        }
    })
}

/// One step of what the background does, on this thread. Gives whether there was anything to do.
pub(crate) fn build_step(shared: &Arc<Shared>) -> Result<bool, Error> {
    let due = std::mem::take(&mut *shared.work.state.lock().unwrap_or_else(PoisonError::into_inner));
    let mut is_more = false;
    if due.something {
        for cell in shared.cells() {
            is_more |= Partition { shared: Arc::clone(shared), cell }.step(due.rejudge)?;
        }
    }
    if is_more {
        shared.wake(false);
    }
    Ok(is_more)
}

/// Waits for something to do; none when it is over.
fn wait(shared: &Weak<Shared>) -> Option<Due> {
    let shared = shared.upgrade()?;
    let mut due = shared.work.state.lock().unwrap_or_else(PoisonError::into_inner);
    while !due.something && !due.stop {
        due = shared.work.changed.wait(due).unwrap_or_else(PoisonError::into_inner);
    }
    if due.stop { None } else { Some(std::mem::take(&mut *due)) }
}
