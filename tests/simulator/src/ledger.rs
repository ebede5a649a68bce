//! What was promised, and whether it was kept: looked at from outside, by somebody who sees every disk.

use crate::clock::Micros;
use crate::machine::{Machine, Role};
use changeset::{ChangeSetId, Incarnation, Partition as PartitionName, WorkspaceId};
use fieldbook::{Connectivity, Reached, Saved};
use std::collections::{BTreeMap, BTreeSet};
use storage::LogKey;

/// A change set that a device said was saved.
#[derive(Clone, Debug)]
struct Own {
    machine: usize,
    saved: Saved,
    at: Micros,
    /// How often the device had been put back until then.
    rollbacks: u64,
    is_at_relay: bool,
}

/// The book of promises.
#[derive(Debug, Default)]
pub struct Ledger {
    own: Vec<Own>,
    /// Which of them each device has not seen at a relay yet.
    open: BTreeMap<usize, BTreeSet<usize>>,
    /// The last claim of each line: up to date as of when.
    claims: BTreeMap<(usize, u64), u64>,
    versions: BTreeMap<usize, u64>,
    relay_rollbacks: u64,
    /// The incarnation of each device that was put back, and what it had saved until then.
    forgotten: Vec<(usize, Incarnation, BTreeMap<PartitionName, BTreeSet<ChangeSetId>>)>,
    broken: Option<String>,
    /// Claims that were checked.
    pub checked: u64,
}

impl Ledger {
    /// Something is wrong. The first such thing is kept.
    pub fn broken(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// Whether something is wrong.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// What is wrong.
    pub fn fault(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// A device said that these are saved.
    pub fn saved(&mut self, machine: &mut Machine, saved: Vec<Saved>, at: Micros) {
        for saved in saved {
            machine.promised.entry(saved.partition.clone()).or_default().insert(saved.id);
            let own = Own { machine: machine.number, saved, at, rollbacks: machine.rollbacks, is_at_relay: false };
            self.open.entry(machine.number).or_default().insert(self.own.len());
            self.own.push(own);
        }
    }

    /// A machine was put back to an older state: it need not have what it had.
    pub fn rolled_back(&mut self, machine: usize) {
        self.relay_rollbacks += 1;
        self.open.remove(&machine);
    }

    /// A device is about to be put back.
    pub fn forgets(&mut self, machine: &Machine, incarnation: Incarnation) {
        if machine.role == Role::Device {
            self.forgotten.push((machine.number, incarnation, machine.promised.clone()));
        }
    }

    /// A device that was put back and met somebody who has work of its that it lost must write under a new name.
    pub fn old_names(&self, machines: &[Machine], workspace: WorkspaceId) -> Option<String> {
        self.forgotten.iter().find_map(|(number, incarnation, saved)| {
            let device = &machines[*number];
            let store = device.store()?;
            let came_back = |partition: &PartitionName, id: &ChangeSetId| {
                let log = LogKey::new(workspace, partition.clone());
                let known = device.disk.watched(|| store.view().ok()?.known(&log, id).ok()?);
                known.is_some_and(|known| !known.own)
            };
            let is_back = saved.iter().any(|(partition, ids)| ids.iter().any(|id| came_back(partition, id)));
            (is_back && store.incarnation() == *incarnation).then(|| {
                format!("machine {number} was put back, got its own work from others, and writes on under its old name")
            })
        })
    }

    /// Whom nobody let in has nothing but what it wrote itself.
    pub fn shut_out(&mut self, machine: &Machine, workspace: WorkspaceId, partitions: &[PartitionName]) {
        let Some(store) = machine.store().filter(|_| machine.role == Role::Stranger) else { return };
        for partition in partitions {
            let log = LogKey::new(workspace, partition.clone());
            let Some(view) = machine.disk.watched(|| store.view().ok()) else { return };
            let all = view.log(&log).ok().flatten().map_or(0, |state| state.end.position);
            let own = view.own_after(&log, 0).map_or(all, |(own, _)| own);
            self.checked += 1;
            if all > own {
                let (number, others) = (machine.number, all - own);
                self.broken(format!("nobody let machine {number} in, and it has {others} of {partition}"));
            }
        }
    }

    /// A machine opened what was on its disk: everything that it ever called durable must be there.
    pub fn started(&mut self, machine: &Machine, workspace: WorkspaceId) {
        for (partition, ids) in &machine.promised {
            let Ok(held) = machine.ids(workspace, partition) else {
                return self.broken(format!("machine {}: the log of {partition} cannot be read", machine.number));
            };
            let is_kept = |id: &ChangeSetId| held.contains(id) || machine.has(workspace, partition, id) == Some(true);
            if let Some(lost) = ids.iter().find(|id| !is_kept(id)) {
                let number = machine.number;
                return self.broken(format!(
                    "machine {number} lost {} in {partition}, which it had called durable",
                    lost.short()
                ));
            }
            self.checked += ids.len() as u64;
        }
    }

    /// Looks at what a device says of its work after it did something.
    pub fn observe(
        &mut self,
        machines: &mut [Machine],
        number: usize,
        lines: &[(u64, usize)],
        workspace: WorkspaceId,
        now: Micros,
    ) {
        self.receipts(machines, number);
        for (line, peer) in lines {
            let state = machines[number].sessions.get(line).and_then(crate::machine::Session::connectivity);
            let Some(Connectivity::UpToDate { as_of_ms }) = state else { continue };
            if self.claims.insert((number, *line), as_of_ms) != Some(as_of_ms) {
                if machines[*peer].sessions.contains_key(line) {
                    self.rewritten(machines, number, *peer, workspace);
                }
                self.up_to_date(machines, number, *peer, workspace, now);
            }
        }
    }

    /// Nobody has more on its way than the peer has room for, one frame more allowed.
    pub fn windows(&mut self, machines: &[Machine], number: usize, lines: &[(u64, usize)]) {
        for (line, peer) in lines {
            let Some(session) = machines[number].sessions.get(line) else { continue };
            let on_its_way = session.session().in_flight();
            let most = machines[*peer].window_bytes + sync::limits::MAX_FRAME_BYTES as u64;
            if on_its_way > most {
                self.broken(format!(
                    "machine {number} sends {on_its_way} bytes at once to machine {peer}, which takes {most}"
                ));
            }
        }
    }

    /// "At a relay" is said only of what a relay has.
    fn receipts(&mut self, machines: &mut [Machine], number: usize) {
        let Some(book) = machines[number].book().cloned() else { return };
        let version = *book.replica().acknowledged().borrow();
        if self.versions.insert(number, version) == Some(version) {
            return;
        }
        let Some(open) = self.open.get(&number).cloned() else { return };
        for which in open {
            let own = self.own[which].clone();
            let disk = machines[number].disk.clone();
            if !disk.watched(|| book.reached(&own.saved)).is_ok_and(|reached| reached >= Reached::Relay) {
                continue;
            }
            self.checked += 1;
            self.open.entry(number).or_default().remove(&which);
            self.own[which].is_at_relay = true;
            let mut is_there = false;
            for machine in machines.iter_mut().filter(|machine| machine.role.is_relay()) {
                let (workspace, Saved { partition, id, .. }) = (book.workspace(), &own.saved);
                let at = machine.role != Role::TwoFaced && machine.disk_has(workspace, partition, id);
                if at && machine.has(workspace, partition, id) == Some(true) {
                    machine.promised.entry(own.saved.partition.clone()).or_default().insert(own.saved.id);
                }
                // Who means harm may sign what is not so.
                is_there |= at || machine.role == Role::TwoFaced;
            }
            // A relay that was put back may have had it.
            if !is_there && self.relay_rollbacks == 0 {
                self.broken(format!(
                    "machine {number} says that {} in {} is at a relay, and no relay has it",
                    own.saved.id.short(),
                    own.saved.partition
                ));
            }
        }
    }

    /// "Up to date" is said only when the peer has what this device had.
    fn up_to_date(&mut self, machines: &[Machine], number: usize, peer: usize, workspace: WorkspaceId, now: Micros) {
        if !machines[peer].role.is_honest() || self.relay_rollbacks > 0 {
            return;
        }
        let rollbacks = machines[number].rollbacks;
        let is_of =
            |own: &&Own| own.machine == number && own.rollbacks == rollbacks && own.at < now && !own.is_at_relay;
        let mut missing = None;
        for own in self.own.iter().filter(is_of) {
            self.checked += 1;
            let Saved { partition, id, .. } = &own.saved;
            if !machines[peer].disk_has(workspace, partition, id)
                && !is_excused(machines, number, peer, workspace, partition, id)
            {
                missing = Some((partition.clone(), *id, own.at));
                break;
            }
        }
        if let Some((partition, id, at)) = missing {
            let (id, before) = (id.short(), now - at);
            self.broken(format!(
                "machine {number} says that it is up to date with machine {peer}, which has no {id} in {partition}, saved \
                 {before} µs before"
            ));
        }
    }

    /// Whoever is up to date with a peer stands in that peer's log as it is: a log that was rewritten, or shown to others in
    /// another way, has been noticed.
    fn rewritten(&mut self, machines: &[Machine], number: usize, peer: usize, workspace: WorkspaceId) {
        let (device, other) = (&machines[number], &machines[peer]);
        if other.role != Role::TwoFaced || other.has_lied {
            return;
        }
        for partition in &device.partitions {
            let log = LogKey::new(workspace, partition.clone());
            let key = other.public_key();
            let place = device.disk.watched(|| device.store()?.view().ok()?.peer(&log, &key).ok()?.cursor);
            let Some(place) = place else { continue };
            let stands = other.disk.watched(|| other.store()?.view().ok()?.matches(&log, &place).ok());
            self.checked += 1;
            if stands == Some(false) {
                self.broken(format!(
                    "machine {number} says that it is up to date with machine {peer}, whose log of {partition} is not as it was \
                     at {}",
                    place.position
                ));
            }
        }
    }

    /// What must be somewhere: everything that some machine called durable and that was not put back since.
    pub fn must_exist(&self, machines: &[Machine]) -> BTreeMap<PartitionName, BTreeSet<ChangeSetId>> {
        let mut all: BTreeMap<PartitionName, BTreeSet<ChangeSetId>> = BTreeMap::new();
        for machine in machines.iter().filter(|machine| machine.role.is_honest()) {
            for (partition, ids) in &machine.promised {
                all.entry(partition.clone()).or_default().extend(ids);
            }
        }
        all
    }
}

/// Whether a device knows that the peer does not have it: put aside there, or refused.
fn is_excused(
    machines: &[Machine],
    number: usize,
    peer: usize,
    workspace: WorkspaceId,
    partition: &PartitionName,
    id: &ChangeSetId,
) -> bool {
    let log = LogKey::new(workspace, partition.clone());
    let is_held = || {
        let view = machines[peer].store()?.view().ok()?;
        Some(view.inbox(&log).ok()?.iter().any(|held| held.entry.id() == *id))
    };
    let is_refused = || {
        let name = replica::refused_name(workspace, partition, &machines[peer].public_key());
        let bytes = machines[number].store()?.view().ok()?.meta(&name).ok()??;
        Some(bytes.chunks(32).any(|known| known == id.as_bytes()))
    };
    machines[peer].disk.watched(is_held).unwrap_or(false) || machines[number].disk.watched(is_refused).unwrap_or(false)
}
