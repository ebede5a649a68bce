//! The one thread that writes: two lanes, groups, and merging while there is nothing else to do.

use crate::backend::Backend;
use crate::batch::{Appended, Batch, Committed, Done, Lane, Op};
use crate::error::StorageError;
use crate::group::{self, Context, Outcomes};
use crate::index::Names;
use crate::maintain::MergeLimits;
use crate::mark::Identity;
use crate::merge;
use crate::model::LogKey;
use crate::options::Options;
use changeset::Signer;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) type Listener = Arc<dyn Fn(&LogKey, &Appended) + Send + Sync>;

/// What a store's handles and its writer share.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) options: Options,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) identity: RwLock<Identity>,
    /// Names that were committed: views fill it.
    pub(crate) names: Mutex<Names>,
    pub(crate) listeners: Mutex<Vec<Listener>>,
    queue: Mutex<Queue>,
    /// The desk of a writer that is stepped.
    desk: Mutex<Desk>,
    /// Something to write, or the end.
    changed: Condvar,
    /// Room in a lane.
    room: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("backend", &self.backend).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queue {
    local: VecDeque<Job>,
    remote: VecDeque<Job>,
    is_closed: bool,
}

/// What the writer remembers between groups.
#[derive(Default)]
struct Desk {
    names: Mutex<Names>,
    to_merge: BTreeSet<LogKey>,
    counted: BTreeMap<LogKey, Option<merge::Counted>>,
}

struct Job {
    batch: Batch,
    done: Done,
}

impl Queue {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Job> {
        match lane {
            Lane::Local => &mut self.local,
            Lane::Remote => &mut self.remote,
        }
    }
}

/// Entries and bytes that a batch brings.
fn weight(batch: &Batch) -> (usize, usize) {
    batch.ops.iter().fold((0, 0), |(entries, bytes), op| match op {
        Op::Append { entries: given, .. } | Op::Hold { entries: given, .. } => {
            let length = given.iter().map(|entry| entry.header().body_length as usize).sum::<usize>();
            (entries + given.len(), bytes + length)
        }
        Op::Snapshot { bytes: Some(value), .. }
        | Op::Meta { bytes: Some(value), .. }
        | Op::Draft { bytes: Some(value), .. }
        | Op::Receipt { bytes: value, .. } => (entries + 1, bytes + value.len()),
        Op::Document { record, .. } => (entries + 1, bytes + record.summary.len()),
        Op::Release { ids, .. } | Op::Discard { ids, .. } => (entries + ids.len(), bytes),
        Op::Cursor { .. }
        | Op::RemoveDocument { .. }
        | Op::Snapshot { bytes: None, .. }
        | Op::Meta { bytes: None, .. }
        | Op::Draft { bytes: None, .. } => (entries + 1, bytes),
    })
}

impl Shared {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        options: Options,
        signer: Arc<dyn Signer>,
        identity: Identity,
    ) -> Self {
        Self {
            backend,
            options,
            signer,
            identity: RwLock::new(identity),
            names: Mutex::default(),
            listeners: Mutex::default(),
            queue: Mutex::default(),
            desk: Mutex::default(),
            changed: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch into its lane. With `wait` it waits for room; without, `done` hears that there is none.
    pub(crate) fn push(&self, lane: Lane, batch: Batch, done: Done, wait: bool) {
        let mut queue = self.queue();
        loop {
            if queue.is_closed {
                drop(queue);
                return done(Err(StorageError::Closed));
            }
            let waiting = queue.lane(lane).len();
            if waiting < self.options.queue_batches.max(1) {
                break;
            }
            if !wait {
                drop(queue);
                return done(Err(StorageError::Busy { waiting }));
            }
            if self.options.is_stepped {
                drop(queue);
                self.step();
                queue = self.queue();
            } else {
                queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        queue.lane(lane).push_back(Job { batch, done });
        self.changed.notify_one();
    }

    /// What waits is still written; then the writer ends.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.changed.notify_all();
        self.room.notify_all();
    }

    /// The writer's life.
    pub(crate) fn run(&self) {
        let mut desk = Desk::default();
        loop {
            let jobs = {
                let mut queue = self.queue();
                loop {
                    let is_empty = queue.local.is_empty() && queue.remote.is_empty();
                    if !is_empty || (!queue.is_closed && !desk.to_merge.is_empty()) {
                        break;
                    }
                    if queue.is_closed {
                        return;
                    }
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                self.take(&mut queue)
            };
            self.work(jobs, &mut desk);
        }
    }

    /// What the writer does in one turn of its life; gives whether there was anything to do.
    pub(crate) fn step(&self) -> bool {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = self.take(&mut self.queue());
        if jobs.is_empty() && desk.to_merge.is_empty() {
            return false;
        }
        self.work(jobs, &mut desk);
        true
    }

    fn work(&self, jobs: Vec<Job>, desk: &mut Desk) {
        self.room.notify_all();
        if !jobs.is_empty() {
            self.commit(jobs, &desk.names, &mut desk.to_merge);
        } else if let Some(log) = desk.to_merge.pop_first() {
            // One page at a time, so that nobody waits long. What fails here is tried again with the next commit.
            let limits = MergeLimits::default();
            let counted = desk.counted.entry(log.clone()).or_default();
            if let Ok(true) = merge::step(&*self.backend, &*self.signer, &self.names, &log, &limits, counted) {
                desk.to_merge.insert(log);
            }
        }
    }

    /// The next group: local batches first, as many as a group may have.
    fn take(&self, queue: &mut Queue) -> Vec<Job> {
        let mut jobs = Vec::new();
        let (mut entries, mut bytes) = (0, 0);
        while let Some(job) = queue.local.front().or_else(|| queue.remote.front()) {
            let (more, longer) = weight(&job.batch);
            entries += more;
            bytes += longer;
            if !jobs.is_empty() && (entries > self.options.group_entries || bytes > self.options.group_bytes) {
                break;
            }
            let next = queue.local.pop_front().or_else(|| queue.remote.pop_front());
            jobs.extend(next);
        }
        jobs
    }

    fn commit(&self, jobs: Vec<Job>, names: &Mutex<Names>, to_merge: &mut BTreeSet<LogKey>) {
        let (batches, done): (Vec<Batch>, Vec<Done>) = jobs.into_iter().map(|job| (job.batch, job.done)).unzip();
        let outcomes = match self.write(&batches, names) {
            Ok(outcomes) => outcomes,
            // One batch that cannot be written must not take the others with it.
            Err(error) if batches.len() > 1 && !is_of_the_disk(&error) => {
                let one = |batch: &Batch| match self.write(core::slice::from_ref(batch), names) {
                    Ok(mut outcomes) => outcomes.pop().unwrap_or(Err(StorageError::Closed)),
                    Err(error) => Err(error),
                };
                batches.iter().map(one).collect()
            }
            Err(_) if changeset::planted("saved is said before it is durable") => {
                batches.iter().map(|_| Ok((Committed::default(), Vec::new()))).collect()
            }
            Err(error) => batches.iter().map(|_| Err(error.clone())).collect(),
        };
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (outcome, done) in outcomes.into_iter().zip(done) {
            let committed = outcome.map(|(committed, logs): (Committed, Vec<LogKey>)| {
                for (appended, log) in committed.appended.iter().zip(&logs) {
                    if self.options.merge_when_idle && !appended.entered.is_empty() {
                        to_merge.insert(log.clone());
                    }
                    listeners.iter().for_each(|listener| listener(log, appended));
                }
                committed
            });
            done(committed);
        }
    }

    fn write(&self, batches: &[Batch], names: &Mutex<Names>) -> Result<Outcomes, StorageError> {
        let limits = (self.options.inbox_entries, self.options.inbox_bytes);
        let context = Context {
            signer: &*self.signer,
            names,
            limits,
            now_ms: (self.options.clock)(),
            random: &self.options.random,
        };
        let mut outcomes = Outcomes::new();
        let written = self.backend.write(&mut |write| {
            outcomes = group::write(write, batches, &context)?;
            Ok(())
        });
        match written {
            Ok(()) => Ok(outcomes),
            Err(error) => {
                *names.lock().unwrap_or_else(PoisonError::into_inner) = Names::default();
                if is_of_the_disk(&error) {
                    // A database that saw the disk fail refuses everything until it is opened again. While that fails
                    // too, every batch hears so and tries again.
                    let _still_failing = self.backend.reopen();
                }
                Err(error)
            }
        }
    }
}

fn is_of_the_disk(error: &StorageError) -> bool {
    matches!(error, StorageError::Io { .. } | StorageError::Full { .. } | StorageError::Closed)
}
