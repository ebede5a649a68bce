//! Waiting for a change to reach a tier, and what has reached none.

use crate::error::Error;
use crate::facade::PeerProgress;
use crate::partition::Saved;
use crate::shared::Shared;
use crate::states::Outbox;
use changeset::{ChangeSetId, PublicKey};
use storage::{LogKey, View};
use sync::{Receipt, Tier};

/// How far a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It is durable on this device.
    Device,
    /// Another device has it.
    Peer,
    /// A relay has it.
    Relay,
    /// A relay at the centre has it.
    Core,
}

impl Reached {
    fn of(tier: Tier) -> Self {
        match tier {
            Tier::Device => Self::Peer,
            Tier::Relay => Self::Relay,
            Tier::Core => Self::Core,
        }
    }
}

/// The furthest that a change came, by the receipts held. A receipt counts only for the log as it is: one for a log that
/// was put back or begun anew proves nothing about what stands in it now.
pub(crate) fn reached(shared: &Shared, saved: &Saved) -> Result<Reached, Error> {
    let view = shared.store().view()?;
    let log = LogKey::new(shared.workspace, saved.partition.clone());
    let mut reached = Reached::Device;
    // Where it stands is asked of the index: a group commit may have put others' entries behind it.
    let Some(known) = view.known(&log, &saved.id)? else { return Ok(reached) };
    for (peer, acknowledged, tier) in acknowledged(&view, &log)? {
        let is_refused = || refused(&view, shared, &log, &peer).is_ok_and(|ids| ids.contains(&saved.id));
        if acknowledged > known.position && tier > reached && !is_refused() {
            reached = tier;
        }
    }
    Ok(reached)
}

/// How far each peer came with each log.
pub(crate) fn peers(shared: &Shared) -> Result<Vec<PeerProgress>, Error> {
    let view = shared.store().view()?;
    let mut all = Vec::new();
    for log in view.logs()?.into_iter().filter(|log| log.workspace == shared.workspace) {
        let total = view.log(&log)?.map_or(0, |state| state.end.position);
        for (peer, acknowledged, reached) in acknowledged(&view, &log)? {
            let at_ms = view.peer(&log, &peer)?.receipt_ms;
            let partition = log.partition.clone();
            all.push(PeerProgress { partition, peer, reached, acknowledged, total, at_ms });
        }
    }
    Ok(all)
}

/// For each peer with a receipt that holds for this log: how far, and what it is.
fn acknowledged(view: &View, log: &LogKey) -> Result<Vec<(PublicKey, u64, Reached)>, Error> {
    let Some(end) = view.log(log)?.map(|state| state.end) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (peer, state) in view.peers(log)? {
        let (Some(upto), Some(receipt)) = (state.acknowledged, state.receipt) else { continue };
        let tier = Receipt::from_bytes(&receipt).map_or(Reached::Peer, |receipt| Reached::of(receipt.tier));
        if upto.log == end.log {
            all.push((peer, upto.position, tier));
        }
    }
    Ok(all)
}

fn refused(view: &View, shared: &Shared, log: &LogKey, peer: &PublicKey) -> Result<Vec<ChangeSetId>, Error> {
    let name = replica::refused_name(shared.workspace, &log.partition, peer);
    let bytes = view.meta(&name)?.unwrap_or_default();
    Ok(bytes.as_chunks::<32>().0.iter().map(|id| ChangeSetId::from_bytes(*id)).collect())
}

/// Own work that no relay has acknowledged, over all partitions.
pub(crate) fn outbox(shared: &Shared) -> Result<Outbox, Error> {
    let view = shared.store().view()?;
    let mut outbox = Outbox::default();
    for log in view.logs()?.into_iter().filter(|log| log.workspace == shared.workspace) {
        let relays: Vec<_> =
            acknowledged(&view, &log)?.into_iter().filter(|(_, _, tier)| *tier >= Reached::Relay).collect();
        let best = relays.iter().max_by_key(|(_, position, _)| *position);
        let (count, oldest) = view.own_after(&log, best.map_or(0, |(_, position, _)| *position))?;
        outbox.count += count;
        outbox.oldest_ms = [outbox.oldest_ms, oldest].into_iter().flatten().min();
        if let Some((peer, _, _)) = best {
            outbox.refused.extend(refused(&view, shared, &log, peer)?);
        }
    }
    Ok(outbox)
}
