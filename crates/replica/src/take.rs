//! Taking what peers send: decode, verify, judge, append.

use crate::overlay::Overlay;
use crate::replica::{Inner, Replica};
use crate::serve::{Asker, Reply, copied};
use crate::sort::Sorted;
use changeset::{
    ChangeSetId, Cursor, LogPage, PageError, Partition, RunningHash, Verified, WorkspaceId, decode_page, decode_runs,
    unpack_page,
};
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use storage::{Batch, Held, Lane, LogKey, Redraw, Source, StorageError, View};
use sync::{Code, Response, Tier};

impl Inner {
    /// Takes pages of a peer's log.
    pub(crate) fn take_pages(self: &Arc<Self>, asker: Asker, partition: Partition, pages: Vec<Vec<u8>>, reply: Reply) {
        let log = Self::log(asker.workspace, partition);
        let bytes = pages.iter().map(|page| page.len() as u64).sum();
        if let Some(answer) = self.must_wait(&asker, &log, bytes) {
            return reply(answer);
        }
        self.counters.pages_in.add(pages.len() as u64);
        let read = match self.read_pages(&asker, &log, &pages) {
            Ok(read) => read,
            Err(answer) => return reply(answer),
        };
        let Read { entries, place, unresolved } = read;
        match (unresolved, place) {
            (Some(0), _) | (None, None) => reply(Response::Unresolved { page: 0 }),
            (unresolved, Some(place)) => {
                let reply: Reply = match unresolved {
                    None => reply,
                    // What came before the page is kept; the answer is about the page.
                    Some(page) => Box::new(move |answer| {
                        reply(match answer {
                            Response::Taken { .. } => Response::Unresolved { page },
                            other => other,
                        });
                    }),
                };
                self.enter(asker, log, entries, Some(place), reply);
            }
            (Some(page), None) => reply(Response::Unresolved { page }),
        }
    }

    /// Takes runs of a peer; `place` is where they bring us in the peer's log.
    pub(crate) fn take_runs(
        self: &Arc<Self>,
        asker: Asker,
        partition: Partition,
        packed: &[u8],
        place: Option<Cursor>,
        reply: Reply,
    ) {
        let log = Self::log(asker.workspace, partition);
        if let Some(answer) = self.must_wait(&asker, &log, packed.len() as u64) {
            return reply(answer);
        }
        let read = unpack_page(packed)
            .and_then(|bytes| decode_runs(&bytes, &log.workspace, &log.partition))
            .and_then(|runs| Ok(runs.verify()?));
        match read {
            Ok(entries) => self.enter(asker, log, entries, place, reply),
            Err(error) => reply(bad(&error)),
        }
    }

    fn read_pages(&self, asker: &Asker, log: &LogKey, pages: &[Vec<u8>]) -> Result<Read, Response> {
        let failed = |error: StorageError| Response::Failed(error.to_string());
        let view = self.store.view().map_err(failed)?;
        let mut overlay = Overlay::new(view.log_reader(log).map_err(failed)?);
        let mut read = Read { entries: Vec::new(), place: None, unresolved: None };
        // Our place in the peer's log, and with it the running hash that its next page must go on from.
        let mut place = view.peer(log, &asker.peer).map_err(failed)?.cursor;
        for (number, bytes) in pages.iter().enumerate() {
            let page = LogPage::from_bytes(bytes).map_err(|error| bad(&error.into()))?;
            if !page.is_sealed_by(&asker.peer, &log.workspace) {
                let text = format!("the seal of the page at position {} is not the sender's", page.first);
                return Err(Response::Bad { code: Code::FORGED, text });
            }
            let entries = unpack_page(&page.packed)
                .and_then(|bytes| decode_page(&bytes, &log.workspace, &log.partition, &overlay))
                .and_then(|page| Ok(page.verify()?));
            match entries {
                Ok(entries) if entries.len() as u64 == page.count => {
                    if page.first == 0 {
                        let start = RunningHash::start(&log.workspace, &log.partition, &page.log);
                        if run_on(start, &entries) != page.hash {
                            let text = "the running hash behind the first page is another".into();
                            return Err(Response::Bad { code: Code::FORGED, text });
                        }
                    }
                    if let Some(place) = place.filter(|place| place.log == page.log) {
                        // A page that was merged since begins before our place.
                        let known = usize::try_from(place.position.saturating_sub(page.first)).unwrap_or(usize::MAX);
                        let goes_on = match entries.get(known..) {
                            _ if page.first > place.position => true,
                            Some(new) => run_on(place.hash, new) == page.hash,
                            // All of it was passed before: it is here, or it was refused.
                            None => self.all_known(&view, log, &entries).map_err(failed)?,
                        };
                        if !goes_on {
                            return Err(copied());
                        }
                    }
                    place = Some(page.end());
                    overlay.extend(&entries);
                    read.entries.extend(entries);
                    read.place = Some(page.end());
                }
                Ok(_) => {
                    let text =
                        format!("the page at position {} has another number of entries than it says", page.first);
                    return Err(Response::Bad { code: Code::PROTOCOL, text });
                }
                // What it refers to may be another entry here (a fork), or be refused or gone: asked for in full.
                Err(PageError::Missing { .. } | PageError::Verify(_) | PageError::Entry { .. }) => {
                    read.unresolved = Some(number);
                    break;
                }
                Err(error) => return Err(bad(&error)),
            }
        }
        overlay.base.finish().map_err(failed)?;
        Ok(read)
    }

    /// Whether these hold work under the name that this store writes under which it does not have: it was put back or copied,
    /// and must not go on under that name, or one chain would have two ends. Others may bring it who never saw this log.
    fn is_lost_work(&self, log: &LogKey, entries: &[Verified]) -> Result<bool, StorageError> {
        let (key, incarnation) = (self.store.device_key(), self.store.incarnation());
        let is_named_so = |entry: &&Verified| {
            let actor = entry.actor();
            actor.key() == &key && actor.incarnation() == &incarnation
        };
        let mut own = entries.iter().filter(is_named_so).peekable();
        if own.peek().is_none() || changeset::planted("incarnations are kept after a restore") {
            return Ok(false);
        }
        let view = self.store.view()?;
        for entry in own {
            if !view.has(log, &entry.id())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn all_known(&self, view: &View, log: &LogKey, entries: &[Verified]) -> Result<bool, StorageError> {
        for entry in entries {
            if !view.has(log, &entry.id())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Remembers whether the last write worked. A full lane or inbox is no failure of the store.
    fn noted(&self, error: Option<&StorageError>) {
        let is_failure =
            |error: &&StorageError| !matches!(error, StorageError::Busy { .. } | StorageError::InboxFull { .. });
        let failure = error.filter(is_failure).map(ToString::to_string);
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != failure {
            *last = failure;
        }
    }

    /// Judges entries and commits what is taken.
    fn enter(self: &Arc<Self>, asker: Asker, log: LogKey, entries: Vec<Verified>, place: Option<Cursor>, reply: Reply) {
        let count = entries.len() as u64;
        match self.is_lost_work(&log, &entries) {
            Ok(false) => {}
            Ok(true) => {
                let replica = Replica { inner: Arc::clone(self) };
                if let Err(error) = replica.redraw(Redraw::RolledBack) {
                    return reply(Response::Failed(error.to_string()));
                }
            }
            Err(error) => return reply(Response::Failed(error.to_string())),
        }
        let sorted = match self.sort(&asker, &log, entries) {
            Ok(sorted) => sorted,
            Err(why) => return reply(Response::Failed(why)),
        };
        let Sorted { enter, hold, release, refused, is_authority_changed } = sorted;
        let source = asker.log.map_or(Source::File, |log| Source::Peer(asker.peer, log));
        let mut batch = Batch::new();
        let held: u64 = hold.values().map(|entries| entries.len() as u64).sum();
        let put_aside: Vec<ChangeSetId> = hold.values().flatten().map(Verified::id).collect();
        for (why, entries) in hold {
            batch = batch.hold(log.clone(), entries, Held::Admission(why), source);
        }
        asker.given.add(&log.partition, enter.iter().map(Verified::id));
        if !release.is_empty() {
            self.counters.released.add(release.len() as u64);
            batch = batch.release(log.clone(), release);
        }
        batch = batch.append(log.clone(), enter, source, place);
        let (inner, begun) = (Arc::clone(self), Instant::now());
        self.store.commit(Lane::Remote, batch, move |result| {
            inner.counters.commits.one();
            inner.counters.commit_microseconds.add(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            let committed = match result {
                Ok(committed) => {
                    inner.noted(None);
                    committed
                }
                Err(error) => {
                    inner.noted(Some(&error));
                    if is_authority_changed {
                        inner.forget_workspace(&log.workspace);
                    }
                    return reply(match error {
                        StorageError::Full { .. } | StorageError::Busy { .. } => {
                            Response::Wait { retry_after_ms: FULL_WAIT_MS }
                        }
                        other => Response::Failed(other.to_string()),
                    });
                }
            };
            let mut refused = refused;
            for appended in &committed.appended {
                inner.counters.change_sets_in.add(appended.entered.len() as u64);
                inner.counters.duplicates.add(appended.known as u64);
                refused.extend(appended.refused.iter().map(|(id, _)| (*id, Code::PROTOCOL)));
                refused.extend(appended.overflow.iter().map(|id| (*id, Code::QUOTA)));
            }
            inner.counters.held.add(held);
            inner.counters.refused.add(refused.len() as u64);
            // Who gave them must not take them for synced: nobody else is given what is put aside.
            if !changeset::planted("what is put aside is called synced") {
                refused.extend(put_aside.into_iter().map(|id| (id, Code::HELD)));
            }
            tracing::debug!(%log, peer = %asker.peer.short(), count, held, refused = refused.len(), "took");
            if is_authority_changed {
                inner.authority_changed(&log.workspace);
            }
            let waiting = inner.store.view().and_then(|view| view.log(&log)).ok().flatten();
            let held = waiting.map_or(0, |state| state.waiting);
            let time_ms = inner.now_ms();
            reply(Response::Taken { held, refused, time_ms });
        });
    }

    /// Whether a delivery must wait for a quota or for room on the disk.
    fn must_wait(&self, asker: &Asker, log: &LogKey, bytes: u64) -> Option<Response> {
        let policy = &self.options.policy;
        let wait = |retry_after_ms| {
            self.counters.busy.one();
            Some(Response::Wait { retry_after_ms })
        };
        if asker.tier == Tier::Device
            && let Some(quota) = policy.device_bytes_per_minute
            && let Some(ms) = self.sessions.spend((log.workspace, asker.peer), bytes, quota, self.now_ms())
        {
            return wait(ms);
        }
        if policy.free_disk_min > 0
            && let Some(free) = policy.free_disk.as_ref().and_then(|free| free())
            && free < policy.free_disk_min
        {
            return wait(FULL_WAIT_MS);
        }
        let limit = policy.workspace_bytes_max?;
        let view = self.store.view().ok()?;
        let logs = view.logs().ok()?;
        let used: u64 = logs
            .iter()
            .filter(|other| other.workspace == log.workspace)
            .filter_map(|other| view.log(other).ok().flatten())
            .map(|state| state.bytes + state.waiting_bytes)
            .sum();
        if used >= limit { wait(FULL_WAIT_MS) } else { None }
    }

    /// Sets what a peer refuses, after all was offered to it.
    pub(crate) fn set_refused<'a>(&self, name: String, refused: impl Iterator<Item = &'a ChangeSetId>) {
        let bytes: Vec<u8> = refused.take(MAX_REFUSED_KEPT).flat_map(|id| *id.as_bytes()).collect();
        let held = self.store.view().and_then(|view| view.meta(&name)).ok().flatten();
        if held.unwrap_or_default() == bytes {
            return;
        }
        let bytes = if bytes.is_empty() { None } else { Some(bytes) };
        let acknowledged = self.acknowledged.clone();
        // If it is not kept, what was refused before is offered once more.
        self.store.commit(Lane::Remote, Batch::new().meta(name, bytes), move |_| {
            acknowledged.send_modify(|version| *version += 1);
        });
    }

    /// All that a peer was not given is compared.
    pub(crate) fn set_even(&self, name: String) {
        if self.store.view().and_then(|view| view.meta(&name)).is_ok_and(|kept| kept.is_some()) {
            // If it stays, all is compared once more.
            self.store.commit(Lane::Remote, Batch::new().meta(name, None), |_| ());
        }
    }

    /// Keeps which entries a peer refused, so that they are not called synced and are offered again.
    pub(crate) fn keep_refused(
        &self,
        asker: Asker,
        partition: &Partition,
        entries: &[(ChangeSetId, Code)],
        reply: Reply,
    ) {
        let name = refused_name(asker.workspace, partition, &asker.peer);
        let mut held = match self.store.view().and_then(|view| view.meta(&name)) {
            Ok(held) => held.unwrap_or_default(),
            Err(error) => return reply(Response::Failed(error.to_string())),
        };
        for (id, _) in entries {
            if held.len() < MAX_REFUSED_KEPT * 32 && !held.chunks(32).any(|known| known == id.as_bytes()) {
                held.extend(id.as_bytes());
            }
        }
        self.store.commit(Lane::Remote, Batch::new().meta(name, Some(held)), |result| {
            reply(match result {
                Ok(_) => Response::Stored,
                Err(error) => Response::Failed(error.to_string()),
            });
        });
    }
}

/// The running hash behind these entries, if it is `hash` before them.
fn run_on(hash: RunningHash, entries: &[Verified]) -> RunningHash {
    entries.iter().fold(hash, |hash, entry| hash.then(&entry.id()))
}

/// What was read of pages: entries, the place behind them, and the first page that could not be read by reference.
struct Read {
    entries: Vec<Verified>,
    place: Option<Cursor>,
    unresolved: Option<usize>,
}

/// How long a sender waits when the disk is full.
const FULL_WAIT_MS: u64 = 30_000;
/// The most refused entries that are remembered for a peer; beyond it only their count is known.
const MAX_REFUSED_KEPT: usize = 4096;

/// Where the refused entries of a peer are kept: in the replica's own values.
pub fn refused_name(workspace: WorkspaceId, partition: &Partition, peer: &changeset::PublicKey) -> String {
    format!("refused/{}/{partition}/{}", workspace.short(), peer)
}

/// Where it is kept that a relay answered for a log of which it was not given everything, because another relay had given that.
pub(crate) fn owed_name(workspace: WorkspaceId, partition: &Partition, peer: &changeset::PublicKey) -> String {
    format!("owed/{}/{partition}/{}", workspace.short(), peer)
}

fn bad(error: &PageError) -> Response {
    Response::Bad { code: Code::FORGED, text: error.to_string() }
}
