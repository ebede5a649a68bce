//! The live sessions, for operators and for those who wait for a change of authority.

use changeset::{Partition, PublicKey, WorkspaceId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sync::{Knock, Tier};
use tokio::sync::Notify;

/// The live sessions of a replica.
#[derive(Debug, Default)]
pub struct Sessions {
    live: Mutex<BTreeMap<u64, Live>>,
    knocks: Mutex<BTreeMap<WorkspaceId, Vec<Knock>>>,
    quotas: Mutex<BTreeMap<(WorkspaceId, PublicKey), (u64, u64)>>,
}

/// What is known of one live session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// The workspace, once the handshake is over.
    pub workspace: Option<WorkspaceId>,
    /// The peer, once the handshake is over.
    pub peer: Option<PublicKey>,
    /// What the peer says it is.
    pub tier: Tier,
    /// When the session began, in milliseconds since 1970.
    pub since_ms: u64,
    /// For each open partition: change sets that the peer has not acknowledged, and change sets of the peer's that are not
    /// here yet.
    pub lag: BTreeMap<Partition, (u64, u64)>,
    /// What stands in the way, in words: a denial, a pause.
    pub stuck: Option<String>,
    /// Bytes of pages on their way to the peer.
    pub in_flight: u64,
    pub(crate) wake: Arc<Notify>,
    /// Whether the authority of its workspace changed since it looked.
    pub(crate) authority_changed: bool,
    /// Whether our own logs began anew since it was opened.
    pub(crate) redrawn: bool,
}

/// The most devices that wait at the door of one workspace.
const MAX_KNOCKS: usize = sync::limits::MAX_KNOCKS;

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All live sessions, by number.
    pub fn live(&self) -> BTreeMap<u64, Live> {
        self.lock().clone()
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn begin(&self, since_ms: u64, wake: Arc<Notify>) -> u64 {
        let mut live = self.lock();
        let number = live.keys().next_back().map_or(0, |last| last + 1);
        let (lag, stuck) = (BTreeMap::new(), None);
        let new = Live {
            workspace: None,
            peer: None,
            tier: Tier::Device,
            since_ms,
            lag,
            stuck,
            in_flight: 0,
            wake,
            authority_changed: false,
            redrawn: false,
        };
        live.insert(number, new);
        number
    }

    pub(crate) fn end(&self, number: u64) {
        self.lock().remove(&number);
    }

    pub(crate) fn update(&self, number: u64, update: impl FnOnce(&mut Live)) {
        if let Some(live) = self.lock().get_mut(&number) {
            update(live);
        }
    }

    /// Wakes every session of a workspace: what was denied may be open now.
    pub(crate) fn authority_changed(&self, workspace: &WorkspaceId) {
        for live in self.lock().values_mut().filter(|live| live.workspace == Some(*workspace)) {
            live.authority_changed = true;
            live.wake.notify_one();
        }
    }

    /// Our logs begin anew: what every session knows of them is void.
    pub(crate) fn redrawn(&self) {
        for live in self.lock().values_mut() {
            live.redrawn = true;
            live.wake.notify_one();
        }
    }

    pub(crate) fn is_redrawn(&self, number: u64) -> bool {
        self.lock().get(&number).is_some_and(|live| live.redrawn)
    }

    pub(crate) fn take_authority_changed(&self, number: u64) -> bool {
        self.lock().get_mut(&number).is_some_and(|live| std::mem::take(&mut live.authority_changed))
    }

    /// A device asks to be let in. The newest [`MAX_KNOCKS`] are kept, one for each device, in memory only: a device
    /// knocks again when it calls again.
    pub(crate) fn knock(&self, workspace: WorkspaceId, knock: Knock) {
        let mut knocks = self.knocks.lock().unwrap_or_else(PoisonError::into_inner);
        let of = knocks.entry(workspace).or_default();
        of.retain(|known| known.key != knock.key);
        if of.len() >= MAX_KNOCKS {
            of.remove(0);
        }
        of.push(knock);
    }

    /// Who knocked at a workspace, those who were let in meanwhile left out.
    pub(crate) fn knocks(&self, workspace: &WorkspaceId, is_in: impl Fn(&PublicKey) -> bool) -> Vec<Knock> {
        let mut knocks = self.knocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of) = knocks.get_mut(workspace) else { return Vec::new() };
        of.retain(|knock| !is_in(&knock.key));
        of.clone()
    }

    /// Counts bytes against a device's quota for the minute. Gives how long to wait, in milliseconds, if it is used up.
    pub(crate) fn spend(&self, who: (WorkspaceId, PublicKey), bytes: u64, quota: u64, now_ms: u64) -> Option<u64> {
        const MINUTE_MS: u64 = 60_000;
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose minute is over are forgotten, so that the map does not grow with everybody who ever came.
        if quotas.len() > 4096 {
            quotas.retain(|_, (since, _)| now_ms.saturating_sub(*since) < MINUTE_MS);
        }
        let (since, spent) = quotas.entry(who).or_insert((now_ms, 0));
        if now_ms.saturating_sub(*since) >= MINUTE_MS {
            (*since, *spent) = (now_ms, 0);
        }
        // Something is always let through, or a page larger than the quota would never come.
        if *spent > 0 && *spent + bytes > quota {
            return Some(MINUTE_MS.saturating_sub(now_ms.saturating_sub(*since)).max(1));
        }
        *spent += bytes;
        None
    }
}
