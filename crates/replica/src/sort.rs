//! Which of a delivery may enter a log, and which of what was put aside may after all.

use crate::error::ReplicaError;
use crate::replica::Inner;
use crate::serve::Asker;
use access::{Admit, Claim, KIND_ACCESS, Taken};
use changeset::{ChangeSetId, Verified, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::{Batch, Held, Lane, LogKey, StorageError, View, Waiting};
use sync::{Code, Tier};

/// What of a delivery goes where.
#[derive(Default)]
pub(crate) struct Sorted {
    /// In causal order.
    pub(crate) enter: Vec<Verified>,
    pub(crate) hold: BTreeMap<String, Vec<Verified>>,
    /// Put aside before, and needed now.
    pub(crate) release: Vec<ChangeSetId>,
    pub(crate) refused: Vec<(ChangeSetId, Code)>,
    pub(crate) is_authority_changed: bool,
}

fn is_record(entry: &Verified) -> bool {
    entry.header().document.kind.as_str() == KIND_ACCESS
}

/// What an entry stands on.
fn named(entry: &Verified) -> impl Iterator<Item = &ChangeSetId> {
    entry.header().previous.iter().chain(&entry.header().parents)
}

impl Inner {
    /// Sorts entries by whether they may enter. Records of access are taken into account at once, so that a grant and what
    /// it covers may come together.
    pub(crate) fn sort(&self, asker: &Asker, log: &LogKey, entries: Vec<Verified>) -> Result<Sorted, String> {
        let workspace = self.workspace(&log.workspace).map_err(|error| error.to_string())?;
        let mut sorted = Sorted::default();
        // A relay that is believed to be one judged already, at a time when it may have known better.
        if !self.options.policy.judge || asker.tier != Tier::Device {
            if entries.iter().any(is_record) {
                let mut authority = workspace.write();
                for entry in entries.iter().filter(|entry| is_record(entry)) {
                    sorted.is_authority_changed |= matches!(authority.take(entry), Taken::Counts { .. });
                }
            }
            sorted.enter = entries;
            return self.with_their_past(sorted, log);
        }
        let view = self.store.view().map_err(|error| error.to_string())?;
        let now_ms = self.now_ms();
        let mut grants: BTreeMap<ChangeSetId, Option<ChangeSetId>> = BTreeMap::new();
        let mut gone: BTreeSet<ChangeSetId> = BTreeSet::new();
        let mut admitted = Vec::new();
        let mut waiting = None;
        for entry in entries {
            let (id, header) = (entry.id(), entry.header());
            let inherited = match header.previous.as_ref().and_then(|previous| grants.get(previous)) {
                Some(grant) => *grant,
                None if header.grant.is_some() => None,
                None => inherited_grant(&view, log, &entry, &mut waiting).map_err(|error| error.to_string())?,
            };
            grants.insert(id, header.grant.or(inherited));
            // What follows on something that was refused could never enter.
            if named(&entry).any(|named| gone.contains(named)) {
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
                Admit::Take => admitted.push((entry, None)),
                Admit::Hold(why) => admitted.push((entry, Some(why.to_string()))),
                // Anything but a clear yes is not stored; the sender keeps it.
                _ => {
                    gone.insert(id);
                    sorted.refused.push((id, Code::NO_GRANT));
                }
            }
        }
        // What is taken could not enter a log without what it stands on: so that is taken too, whatever its own row says.
        let mut needed: BTreeSet<ChangeSetId> = BTreeSet::new();
        if admitted.iter().any(|(_, why)| why.is_some()) {
            for held in inbox(&view, log, &mut waiting).map_err(|error| error.to_string())? {
                if let Held::Missing(missing) = &held.why {
                    needed.extend(missing);
                }
            }
        }
        take_past(&mut admitted, needed);
        for (entry, why) in admitted {
            match why {
                None => sorted.enter.push(entry),
                Some(why) => sorted.hold.entry(why).or_default().push(entry),
            }
        }
        self.with_their_past(sorted, log)
    }

    /// Adds to what may enter what it stands on and was put aside before.
    fn with_their_past(&self, mut sorted: Sorted, log: &LogKey) -> Result<Sorted, String> {
        if !self.options.policy.judge {
            return Ok(sorted);
        }
        let failed = |error: StorageError| error.to_string();
        let view = self.store.view().map_err(failed)?;
        let here: BTreeSet<ChangeSetId> = sorted.enter.iter().map(Verified::id).collect();
        let mut needed = Vec::new();
        for id in sorted.enter.iter().flat_map(named) {
            if !here.contains(id) && !view.has(log, id).map_err(failed)? {
                needed.push(*id);
            }
        }
        // Reading the inbox costs what is in it: only for what is missing.
        if !needed.is_empty() {
            sorted.release = closure(needed, &put_aside(view.inbox(log).map_err(failed)?));
        }
        Ok(sorted)
    }

    /// The authority of a workspace changed: what was held is judged again, and sessions look whether more is open now.
    pub(crate) fn authority_changed(self: &Arc<Self>, workspace: &WorkspaceId) {
        self.sessions.authority_changed(workspace);
        if !self.options.policy.judge || changeset::planted("what is put aside is not judged again") {
            return;
        }
        let (inner, workspace) = (Arc::clone(self), *workspace);
        self.workers.run(move || {
            if let Err(error) = inner.judge_again(&workspace) {
                tracing::warn!(%error, "what is held could not be judged again; it is at the next change");
            }
        });
    }

    fn judge_again(self: &Arc<Self>, id: &WorkspaceId) -> Result<(), ReplicaError> {
        let (workspace, now_ms) = (self.workspace(id)?, self.now_ms());
        let view = self.store.view()?;
        let logs: Vec<LogKey> = view.logs()?.into_iter().filter(|log| log.workspace == *id).collect();
        let mut is_changed = false;
        for log in logs {
            let put_aside = put_aside(view.inbox(&log)?);
            let mut inbox = None;
            let mut ready = Vec::new();
            for entry in put_aside.values() {
                let admit = if is_record(entry) {
                    workspace.read().admit_record(entry, now_ms)
                } else {
                    let inherited = inherited_grant(&view, &log, entry, &mut inbox)?;
                    workspace.read().admit(&Claim::of(entry, inherited), now_ms)
                };
                if admit == Admit::Take {
                    ready.push(entry.id());
                    is_changed |= matches!(workspace.write().take(entry), Taken::Counts { .. });
                }
            }
            let ready = closure(ready, &put_aside);
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
}

/// Takes also what is needed, all that the taken stand on, and what signs for them.
fn take_past(admitted: &mut [(Verified, Option<String>)], mut needed: BTreeSet<ChangeSetId>) {
    let mut unsigned = BTreeSet::new();
    loop {
        for (entry, why) in admitted.iter_mut().rev() {
            let is_needed =
                needed.contains(&entry.id()) && !changeset::planted("the past of what is admitted is put aside");
            if why.is_none() || is_needed {
                *why = None;
                needed.extend(named(entry));
                if entry.signature().is_none() {
                    unsigned.insert(entry.id());
                }
            }
        }
        // Whoever signs for a run signs at its end.
        let signs = |entry: &Verified| entry.header().previous.is_some_and(|previous| unsigned.contains(&previous));
        let next: Vec<ChangeSetId> =
            admitted.iter().filter(|(entry, why)| why.is_some() && signs(entry)).map(|(entry, _)| entry.id()).collect();
        if next.iter().all(|id| needed.contains(id)) {
            return;
        }
        needed.extend(next);
    }
}

fn put_aside(inbox: Vec<Waiting>) -> BTreeMap<ChangeSetId, Verified> {
    let is_held = |held: &Waiting| matches!(held.why, Held::Admission(_));
    inbox.into_iter().filter(is_held).map(|held| (held.entry.id(), held.entry)).collect()
}

/// Those of `needed` that were put aside, with all put aside that they stand on and what signs for them.
fn closure(mut needed: Vec<ChangeSetId>, put_aside: &BTreeMap<ChangeSetId, Verified>) -> Vec<ChangeSetId> {
    let mut found = BTreeSet::new();
    while let Some(id) = needed.pop() {
        if let Some(entry) = put_aside.get(&id)
            && found.insert(id)
        {
            needed.extend(named(entry));
            if entry.signature().is_none() {
                let follows = |other: &&Verified| other.header().previous == Some(id);
                needed.extend(put_aside.values().filter(follows).map(Verified::id));
            }
        }
    }
    found.into_iter().collect()
}

/// The inbox, read once and only where it is needed.
fn inbox<'a>(
    view: &View,
    log: &LogKey,
    waiting: &'a mut Option<BTreeMap<ChangeSetId, Waiting>>,
) -> Result<impl Iterator<Item = &'a Waiting>, StorageError> {
    if waiting.is_none() {
        *waiting = Some(view.inbox(log)?.into_iter().map(|held| (held.entry.id(), held)).collect());
    }
    Ok(waiting.iter().flat_map(BTreeMap::values))
}

/// The grant in force before an entry, along its line through the log and the inbox.
fn inherited_grant(
    view: &View,
    log: &LogKey,
    entry: &Verified,
    waiting: &mut Option<BTreeMap<ChangeSetId, Waiting>>,
) -> Result<Option<ChangeSetId>, StorageError> {
    let mut at = entry.header().previous;
    while let Some(id) = at {
        if let Some(known) = view.known(log, &id)? {
            return Ok(known.grant);
        }
        inbox(view, log, waiting).map(drop)?;
        let Some(before) = waiting.as_ref().and_then(|waiting| waiting.get(&id)) else { return Ok(None) };
        if let Some(grant) = before.entry.header().grant {
            return Ok(Some(grant));
        }
        at = before.entry.header().previous;
    }
    Ok(None)
}
