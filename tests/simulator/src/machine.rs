//! A machine: a disk, a clock that may be wrong, and what runs on it while the power is on.

use crate::clock::{Time, WallClock};
use crate::dice::Dice;
use crate::disk::Disk;
use changeset::{ChangeSetId, DeviceKey, Partition as PartitionName, PublicKey, Signer, WorkspaceId};
use fieldbook::{Connectivity, Fieldbook, Settings, SteppedLink};
use replica::{Driver, LinkError, Options as ReplicaOptions, Replica};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use storage::{Held, LogKey, Options, Random, Store};
use sync::Tier;

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A device of somebody who does nothing wrong.
    Device,
    /// A relay that does nothing wrong.
    Relay,
    /// A relay near the devices that calls another one.
    Gateway,
    /// A device of somebody who was let in and means harm.
    Author,
    /// A device of somebody whom nobody let in.
    Stranger,
    /// A relay that shows different logs to different callers, by turns.
    TwoFaced,
}

impl Role {
    /// Whether what it holds is held to the rules.
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Device | Self::Relay | Self::Gateway)
    }

    /// Whether it keeps sessions with many.
    pub fn is_relay(self) -> bool {
        matches!(self, Self::Relay | Self::Gateway | Self::TwoFaced)
    }

    fn tier(self) -> Tier {
        match self {
            Self::Device | Self::Author | Self::Stranger => Tier::Device,
            Self::Gateway => Tier::Relay,
            Self::Relay | Self::TwoFaced => Tier::Core,
        }
    }
}

/// What runs on a machine.
#[derive(Debug)]
pub enum Body {
    /// The crate that apps embed.
    Device(Fieldbook),
    /// A replica without documents.
    Bare(Replica),
}

impl Body {
    /// The replica beneath.
    pub fn replica(&self) -> &Replica {
        match self {
            Self::Device(book) => book.replica(),
            Self::Bare(replica) => replica,
        }
    }
}

/// One end of a line.
#[derive(Debug)]
pub enum Session {
    /// A device's.
    Device(SteppedLink),
    /// A relay's.
    Bare(Driver),
}

impl Session {
    /// What drives it.
    pub fn driver(&mut self) -> &mut Driver {
        match self {
            Self::Device(link) => link.driver(),
            Self::Bare(driver) => driver,
        }
    }

    /// The session itself.
    pub fn session(&self) -> &sync::Session {
        match self {
            Self::Device(link) => link.session(),
            Self::Bare(driver) => driver.session(),
        }
    }

    /// Takes in whatever happened.
    pub fn poll(&mut self, now: Instant) {
        match self {
            Self::Device(link) => link.poll(now),
            Self::Bare(driver) => driver.poll(now),
        }
    }

    /// How it stands, where a person would see it.
    pub fn connectivity(&self) -> Option<Connectivity> {
        match self {
            Self::Device(link) => Some(link.connectivity()),
            Self::Bare(_) => None,
        }
    }
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Where it stands in the world's list.
    pub number: usize,
    /// What it is.
    pub role: Role,
    /// Its disk.
    pub disk: Disk,
    /// Its wall clock.
    pub clock: WallClock,
    /// What runs on it, while the power is on.
    pub body: Option<Body>,
    /// Its ends of lines, by the line's number.
    pub sessions: BTreeMap<u64, Session>,
    /// Whom it calls.
    pub homes: Vec<usize>,
    /// Partitions that it keeps.
    pub partitions: Vec<PartitionName>,
    /// Whether it is switched off by its user.
    pub is_asleep: bool,
    /// Whether it is to do a step soon.
    pub is_working: bool,
    /// How often it was put back to an older state, or copied.
    pub rollbacks: u64,
    /// What was said to be durable on it: it must be there, unless the machine was put back since.
    pub promised: BTreeMap<PartitionName, BTreeSet<ChangeSetId>>,
    /// Relays whose word is believed that they are.
    pub relays: BTreeSet<PublicKey>,
    /// Bytes that one peer may have on their way to it.
    pub window_bytes: u64,
    /// Whether it ever called stored what it forgot.
    pub has_lied: bool,
    key: DeviceKey,
    starts: u64,
    seed: u64,
}

impl Machine {
    /// A machine with an empty disk that was never started. `key` says which key it has: clones share it.
    pub fn new(number: usize, role: Role, seed: u64, key: u64, is_file: bool, time: &Time) -> Self {
        let mut secret = [0; 32];
        let mut dice = Dice::new(seed, 0x6b65_7900 + key);
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&dice.bits().to_le_bytes());
        }
        // Small windows fill, and credit shows.
        let is_small = Dice::new(seed, 0x7769_6e64 + number as u64).chance(50);
        let usual = ReplicaOptions::new(role.tier()).window_bytes;
        Self {
            number,
            role,
            has_lied: false,
            window_bytes: if is_small { sync::limits::MIN_WINDOW_BYTES } else { usual },
            disk: Disk::new(is_file),
            clock: WallClock::new(time),
            body: None,
            sessions: BTreeMap::new(),
            homes: Vec::new(),
            partitions: Vec::new(),
            is_asleep: false,
            is_working: false,
            rollbacks: 0,
            promised: BTreeMap::new(),
            relays: BTreeSet::new(),
            key: DeviceKey::from_secret(&secret),
            starts: 0,
            seed,
        }
    }

    /// Its key.
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// Its signer.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::new(self.key.clone())
    }

    fn storage_options(&mut self) -> Options {
        self.starts += 1;
        let mut options = Options::default();
        let machine = self.number as u64;
        options.random = Random::seeded(Dice::new(self.seed, 0x7261_6e64 + (machine << 16) + self.starts).bits());
        options.clock = self.clock.clock();
        options.signer = Some(self.signer());
        options.is_stepped = true;
        options
    }

    fn replica_options(&self) -> ReplicaOptions {
        let mut options = ReplicaOptions::new(self.role.tier());
        options.clock = self.clock.clock();
        options.policy.free_disk_min = 0;
        options.policy.relays = self.relays.clone();
        options.window_bytes = self.window_bytes;
        options
    }

    /// What a device is opened with.
    ///
    /// # Errors
    /// If the kinds contradict each other, which they do not.
    pub fn settings(&mut self) -> anyhow::Result<(Store, Settings)> {
        let options = self.storage_options();
        let store = Store::with_backend(self.disk.backend(&options)?, options)?;
        let mut settings = Settings::new()?;
        settings.kinds.register(example_meter::definition()?)?;
        settings.replica = self.replica_options();
        Ok((store, settings))
    }

    /// The power comes on: what is on the disk is opened.
    ///
    /// # Errors
    /// If it does not open, which the disk's faults explain or nothing does.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let (store, settings) = self.settings()?;
        self.body = Some(match self.role {
            Role::Device => Body::Device(Fieldbook::open_in(store, settings)?),
            _ => Body::Bare(Replica::new(store, self.replica_options())?),
        });
        Ok(())
    }

    /// The power goes off.
    pub fn stop(&mut self) {
        self.sessions.clear();
        self.body = None;
    }

    /// The device, if it is one and is on.
    pub fn book(&self) -> Option<&Fieldbook> {
        match &self.body {
            Some(Body::Device(book)) => Some(book),
            _ => None,
        }
    }

    /// The store, if the power is on.
    pub fn store(&self) -> Option<&Store> {
        self.body.as_ref().map(|body| body.replica().store())
    }

    /// A session in which it calls (or answers), if it is on.
    ///
    /// # Errors
    /// [`LinkError`] or an error of its disk.
    pub fn session(&self, workspace: WorkspaceId, is_caller: bool, now: Instant) -> anyhow::Result<Option<Session>> {
        Ok(match &self.body {
            None => None,
            Some(Body::Device(book)) => Some(Session::Device(book.stepped_link(is_caller, now)?)),
            Some(Body::Bare(replica)) => {
                let observer = Box::new(|_: &sync::Event, _: &sync::Session| ());
                let mut names = vec![PartitionName::new(access::PARTITION_AUTHORITY)?];
                names.extend(self.partitions.iter().cloned());
                let driver = if is_caller {
                    replica.caller(workspace, names, observer, now)
                } else {
                    replica.answerer(observer, now)
                };
                Some(Session::Bare(driver.map_err(|error: LinkError| anyhow::anyhow!(error))?))
            }
        })
    }

    /// One thing that waits to be done. Gives whether there was any.
    pub fn step(&self) -> bool {
        match &self.body {
            None => false,
            Some(body) => {
                let is_done = body.replica().step();
                // What cannot be built now, as on a disk that fails, is tried again when more comes.
                is_done || matches!(body, Body::Device(book) if book.step().unwrap_or(false))
            }
        }
    }

    /// Everything in its log of a partition.
    ///
    /// # Errors
    /// An error of its disk.
    pub fn ids(&self, workspace: WorkspaceId, partition: &PartitionName) -> anyhow::Result<BTreeSet<ChangeSetId>> {
        self.disk.watched(|| self.look_for_ids(workspace, partition))
    }

    fn look_for_ids(&self, workspace: WorkspaceId, partition: &PartitionName) -> anyhow::Result<BTreeSet<ChangeSetId>> {
        let Some(store) = self.store() else { return Ok(BTreeSet::new()) };
        let (view, log) = (store.view()?, LogKey::new(workspace, partition.clone()));
        let Some(state) = view.log(&log)? else { return Ok(BTreeSet::new()) };
        let mut ids = BTreeSet::new();
        let mut at = 0;
        while at < state.end.position {
            let page = view.page_ids(&log, at)?;
            at += page.len() as u64;
            anyhow::ensure!(!page.is_empty(), "the log of {partition} ends at {at}, and says that it goes further");
            ids.extend(page);
        }
        Ok(ids)
    }

    /// Whether an entry is in its log, on or off. None may be counted as lost that cannot be looked at just now.
    pub fn disk_has(&self, workspace: WorkspaceId, partition: &PartitionName, id: &ChangeSetId) -> bool {
        self.has(workspace, partition, id).unwrap_or(true)
    }

    /// Whether an entry is in its log, or waits there for others; none if that cannot be told now.
    pub fn has(&self, workspace: WorkspaceId, partition: &PartitionName, id: &ChangeSetId) -> Option<bool> {
        let log = LogKey::new(workspace, partition.clone());
        self.disk.watched(|| {
            let view = self.store()?.view().ok()?;
            if view.has(&log, id).ok()? {
                return Some(true);
            }
            // What waits for others is as durable; what waits to be admitted is not taken yet.
            let waits = |held: &storage::Waiting| held.entry.id() == *id && !matches!(held.why, Held::Admission(_));
            Some(view.inbox(&log).ok()?.iter().any(waits))
        })
    }
}
