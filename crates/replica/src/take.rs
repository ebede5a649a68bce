//! Taking what peers send: decode, verify, judge, append.

use crate::overlay::Overlay;
use crate::replica::Inner;
use crate::serve::{Asker, Reply};
use access::{Admit, Claim, KIND_ACCESS, Taken};
use changeset::{
    ChangeSetId, Cursor, LogPage, PageError, Partition, RunningHash, Verified, WorkspaceId, decode_page, decode_runs,
    unpack_page,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use storage::{Batch, Held, Lane, LogKey, Source, StorageError, View};
use sync::{Code, Response, Tier};

/// What of a delivery goes where.
#[derive(Default)]
struct Sorted {
    enter: Vec<Verified>,
    hold: BTreeMap<String, Vec<Verified>>,
    refused: Vec<(ChangeSetId, Code)>,
    is_authority_changed: bool,
}

impl Inner {
    /// Takes pages of a peer's log.
    pub(crate) fn take_pages(self: &Arc<Self>, asker: Asker, partition: Partition, pages: Vec<Vec<u8>>, reply: Reply) {
        let log = Self::log(asker.workspace, partition);
        let bytes = pages.iter().map(|page| page.len() as u64).sum();
        if let Some(answer) = self.must_wait(asker, &log, bytes) {
            return reply(answer);
        }
        self.counters.pages_in.add(pages.len() as u64);
        let read = match self.read_pages(asker, &log, &pages) {
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
        if let Some(answer) = self.must_wait(asker, &log, packed.len() as u64) {
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

    fn read_pages(&self, asker: Asker, log: &LogKey, pages: &[Vec<u8>]) -> Result<Read, Response> {
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
                    let start = RunningHash::start(&log.workspace, &log.partition, &page.log);
                    let before = match place {
                        _ if page.first == 0 => Some(start),
                        Some(place) if place.log == page.log && place.position == page.first => Some(place.hash),
                        // A page that was merged since begins before our place.
                        _ => None,
                    };
                    let after = before.map(|hash| entries.iter().fold(hash, |hash, entry| hash.then(&entry.id())));
                    if after.is_some_and(|hash| hash != page.hash) {
                        let text = format!("the running hash behind the page at position {} is another", page.first);
                        return Err(Response::Bad { code: Code::FORGED, text });
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
        let sorted = match self.sort(&log, entries) {
            Ok(sorted) => sorted,
            Err(why) => return reply(Response::Failed(why)),
        };
        let Sorted { enter, hold, refused, is_authority_changed } = sorted;
        let source = asker.log.map_or(Source::File, |log| Source::Peer(asker.peer, log));
        let mut batch = Batch::new();
        let held: u64 = hold.values().map(|entries| entries.len() as u64).sum();
        for (why, entries) in hold {
            batch = batch.hold(log.clone(), entries, Held::Admission(why), source);
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

    /// Sorts entries by whether they may enter. Records of access are taken into account at once, so that a grant and what
    /// it covers may come together.
    fn sort(&self, log: &LogKey, entries: Vec<Verified>) -> Result<Sorted, String> {
        let workspace = self.workspace(&log.workspace).map_err(|error| error.to_string())?;
        let mut sorted = Sorted::default();
        let is_record = |entry: &Verified| entry.header().document.kind.as_str() == KIND_ACCESS;
        if !self.options.policy.judge {
            if entries.iter().any(is_record) {
                let mut authority = workspace.write();
                for entry in entries.iter().filter(|entry| is_record(entry)) {
                    sorted.is_authority_changed |= matches!(authority.take(entry), Taken::Counts { .. });
                }
            }
            sorted.enter = entries;
            return Ok(sorted);
        }
        let view = self.store.view().map_err(|error| error.to_string())?;
        let now_ms = self.now_ms();
        let mut grants: BTreeMap<ChangeSetId, Option<ChangeSetId>> = BTreeMap::new();
        let mut gone: BTreeSet<ChangeSetId> = BTreeSet::new();
        for entry in entries {
            let (id, header) = (entry.id(), entry.header());
            let inherited = match &header.previous {
                None => None,
                Some(previous) => match grants.get(previous) {
                    Some(grant) => *grant,
                    None => view.known(log, previous).map_err(|error| error.to_string())?.and_then(|known| known.grant),
                },
            };
            grants.insert(id, header.grant.or(inherited));
            // What follows on something that was refused could never enter.
            if header.previous.iter().chain(&header.parents).any(|named| gone.contains(named)) {
                gone.insert(id);
                sorted.refused.push((id, Code::NO_GRANT));
                continue;
            }
            let admit = if is_record(&entry) {
                let admit = workspace.read().admit_record(&entry, now_ms);
                if admit == Admit::Take {
                    sorted.is_authority_changed |= matches!(workspace.write().take(&entry), Taken::Counts { .. });
                }
                admit
            } else {
                workspace.read().admit(&Claim::of(&entry, inherited), now_ms)
            };
            match admit {
                Admit::Take => sorted.enter.push(entry),
                Admit::Hold(why) => sorted.hold.entry(why.to_string()).or_default().push(entry),
                // Anything but a clear yes is not stored; the sender keeps it.
                _ => {
                    gone.insert(id);
                    sorted.refused.push((id, Code::NO_GRANT));
                }
            }
        }
        Ok(sorted)
    }

    /// The authority of a workspace changed: what was held is judged again, and sessions look whether more is open now.
    pub(crate) fn authority_changed(self: &Arc<Self>, workspace: &WorkspaceId) {
        self.sessions.authority_changed(workspace);
        if !self.options.policy.judge {
            return;
        }
        let (inner, workspace) = (Arc::clone(self), *workspace);
        self.workers.run(move || {
            if let Err(error) = inner.judge_again(&workspace) {
                tracing::warn!(%error, "what is held could not be judged again; it is at the next change");
            }
        });
    }

    fn judge_again(self: &Arc<Self>, id: &WorkspaceId) -> Result<(), crate::ReplicaError> {
        let (workspace, now_ms) = (self.workspace(id)?, self.now_ms());
        let view = self.store.view()?;
        let logs: Vec<LogKey> = view.logs()?.into_iter().filter(|log| log.workspace == *id).collect();
        let mut is_changed = false;
        for log in logs {
            let waiting: Vec<_> =
                view.inbox(&log)?.into_iter().filter(|held| matches!(held.why, Held::Admission(_))).collect();
            let mut ready = Vec::new();
            for held in &waiting {
                let entry = &held.entry;
                let admit = if entry.header().document.kind.as_str() == KIND_ACCESS {
                    workspace.read().admit_record(entry, now_ms)
                } else {
                    let inherited = inherited_grant(&view, &log, entry, &waiting)?;
                    workspace.read().admit(&Claim::of(entry, inherited), now_ms)
                };
                if admit == Admit::Take {
                    ready.push(entry.id());
                    is_changed |= matches!(workspace.write().take(entry), Taken::Counts { .. });
                }
            }
            if !ready.is_empty() {
                self.counters.released.add(ready.len() as u64);
                self.store.commit(Lane::Remote, Batch::new().release(log, ready), |_| ());
            }
        }
        if is_changed {
            self.authority_changed(id);
        }
        Ok(())
    }

    /// Whether a delivery must wait for a quota or for room on the disk.
    fn must_wait(&self, asker: Asker, log: &LogKey, bytes: u64) -> Option<Response> {
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

fn inherited_grant(
    view: &View,
    log: &LogKey,
    entry: &Verified,
    waiting: &[storage::Waiting],
) -> Result<Option<ChangeSetId>, StorageError> {
    let mut at = entry.header().previous;
    while let Some(id) = at {
        if let Some(known) = view.known(log, &id)? {
            return Ok(known.grant);
        }
        let Some(before) = waiting.iter().find(|held| held.entry.id() == id) else { return Ok(None) };
        if let Some(grant) = before.entry.header().grant {
            return Ok(Some(grant));
        }
        at = before.entry.header().previous;
    }
    Ok(None)
}

fn bad(error: &PageError) -> Response {
    Response::Bad { code: Code::FORGED, text: error.to_string() }
}
