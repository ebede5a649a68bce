//! Replicas in one thread on a clock of the test: whoever holds a [`World`] says when each does what.

use access::{Actions, Genesis, Grant, Kinds, Person, Record, Role};
use bytes::Bytes;
use changeset::{
    Author, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Edit, IntentName, Kind, Partition, Path, PublicKey,
    Script, SeededEntropy, Signer, Value, Verified, WorkspaceId,
};
use replica::{Driver, Options, Replica};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use storage::{Batch, Lane, LogKey, MemoryBackend, Random, Source, Store, Waiting};
use sync::{Code, Event, Tier};

pub(crate) const HOUR_MS: u64 = 3_600_000;
/// Everything moves within this; pings come later.
const SOON: Duration = Duration::from_secs(5);

pub(crate) fn yard() -> Partition {
    Partition::new("yard").unwrap()
}

fn key(number: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[number; 32]))
}

/// Machines and the lines between them, in a workspace whose root is the device with key 1.
pub(crate) struct World {
    pub(crate) workspace: WorkspaceId,
    genesis: Genesis,
    now: Instant,
    now_ms: u64,
    pub(crate) machines: Vec<Machine>,
    lines: Vec<Line>,
}

/// A store, its replica, and what its owner writes.
pub(crate) struct Machine {
    key: u8,
    tier: Tier,
    disk: MemoryBackend,
    clock: Arc<AtomicU64>,
    pub(crate) replica: Replica,
    /// The last of the chain in each partition.
    last: BTreeMap<Partition, Verified>,
    documents: u64,
}

struct Line {
    ends: [Driver; 2],
    flight: [VecDeque<Bytes>; 2],
    seen: [Arc<Mutex<Vec<Seen>>>; 2],
    /// Whether frames to an end wait.
    is_held: [bool; 2],
}

/// What a session told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Opened(Partition, bool),
    Denied(Partition),
    Refused(ChangeSetId, Code),
    Level(Partition),
    Closed(Code),
}

impl Seen {
    fn of(event: &Event) -> Vec<Self> {
        match event {
            Event::Opened { partition, read } => vec![Self::Opened(partition.clone(), *read)],
            Event::Denied { partition, .. } => vec![Self::Denied(partition.clone())],
            Event::Refused { entries, .. } => entries.iter().map(|(id, code)| Self::Refused(*id, *code)).collect(),
            Event::Level { partition } => vec![Self::Level(partition.clone())],
            Event::Closed(error) => vec![Self::Closed(error.code())],
            _ => vec![],
        }
    }
}

impl Machine {
    fn open(key_of: u8, tier: Tier, disk: MemoryBackend, clock: Arc<AtomicU64>, seed: u64) -> Self {
        let mut of_store = storage::Options::default();
        let (hand, dial) = (Arc::clone(&clock), Arc::clone(&clock));
        of_store.random = Random::seeded(seed);
        of_store.clock = Arc::new(move || hand.load(Ordering::Relaxed));
        of_store.signer = Some(key(key_of));
        of_store.is_stepped = true;
        let store = Store::with_backend(Arc::new(disk.clone()), of_store).unwrap();
        let mut options = Options::new(tier);
        options.clock = Arc::new(move || dial.load(Ordering::Relaxed));
        options.policy.free_disk_min = 0;
        options.policy.relays = [7, 8, 9].map(|relay| key(relay).public_key()).into();
        let replica = Replica::new(store, options).unwrap();
        Self { key: key_of, tier, disk, clock, replica, last: BTreeMap::new(), documents: 1000 * seed }
    }

    pub(crate) fn public(&self) -> PublicKey {
        key(self.key).public_key()
    }

    fn log(&self, workspace: WorkspaceId, at: &Partition) -> LogKey {
        LogKey::new(workspace, at.clone())
    }

    fn draft(&mut self, kind: &str, grant: Option<ChangeSetId>) -> Draft {
        self.documents += 1;
        let mut number = [self.key; 10];
        number[..8].copy_from_slice(&self.documents.to_be_bytes());
        let edits =
            vec![Edit::Put { path: Path::new("note").unwrap(), value: Value::Bytes(vec![self.documents as u8; 16]) }];
        Draft {
            document: DocumentKey {
                kind: Kind::new(kind).unwrap(),
                id: DocumentId::from_parts(1_760_000_000_000, number),
            },
            parents: vec![],
            grant,
            schema_version: 1,
            intent: IntentName::new("create").unwrap(),
            group: None,
            script: Script { reason: None, edits },
        }
    }

    fn author(&self, workspace: WorkspaceId, at: &Partition) -> Author {
        let incarnation = self.replica.store().incarnation();
        let entropy = Box::new(SeededEntropy::new(self.documents));
        let author = Author::new(key(self.key), workspace, at.clone(), incarnation, entropy);
        match self.last.get(at).filter(|last| last.actor() == author.actor()) {
            Some(last) => author.after(last),
            None => author,
        }
    }

    /// A change set in the chain of this machine's owner; it is in no log yet.
    fn record(&mut self, workspace: WorkspaceId, at: &Partition, draft: Draft, is_signed: bool) -> Verified {
        let mut author = self.author(workspace, at);
        let now_ms = self.clock.load(Ordering::Relaxed);
        let recorded = author.record(draft, now_ms).unwrap();
        let entry = if is_signed { author.sign(&recorded).unwrap() } else { recorded };
        self.last.insert(at.clone(), entry.clone());
        entry
    }

    fn keep(&mut self, workspace: WorkspaceId, at: &Partition, entries: Vec<Verified>) {
        let batch = Batch::new().append(self.log(workspace, at), entries, Source::Own, None);
        self.replica.store().commit_now(Lane::Local, batch).unwrap();
    }
}

impl World {
    /// Machine 0 is the root's.
    pub(crate) fn new() -> Self {
        let now_ms = 1_772_434_800_000;
        let roots = [key(1).public_key()].into();
        let genesis = Genesis { name: "Yard".into(), roots, threshold: 1, nonce: [7; 16], time_ms: now_ms };
        let workspace = genesis.workspace().unwrap();
        let mut world =
            Self { workspace, genesis, now: Instant::now(), now_ms, machines: Vec::new(), lines: Vec::new() };
        world.machine(1, Tier::Device);
        let record = Record::Genesis(world.genesis.clone());
        world.access(0, &authority(), &record);
        world
    }

    /// A machine with an empty store, whose clock is right.
    pub(crate) fn machine(&mut self, key: u8, tier: Tier) -> usize {
        let clock = Arc::new(AtomicU64::new(self.now_ms));
        let seed = self.machines.len() as u64 + 1;
        self.machines.push(Machine::open(key, tier, MemoryBackend::new(), clock, seed));
        self.machines.len() - 1
    }

    /// A machine over a copy of another one's store, which neither of the two noticed.
    pub(crate) fn copy(&mut self, of: usize) -> usize {
        let seed = self.machines.len() as u64 + 1;
        let old = &self.machines[of];
        let clock = Arc::new(AtomicU64::new(self.now_ms));
        let mut machine = Machine::open(old.key, old.tier, old.disk.copy(), clock, seed);
        machine.last = old.last.clone();
        self.machines.push(machine);
        self.machines.len() - 1
    }

    /// The clock of a machine shows another time.
    pub(crate) fn set_clock(&mut self, machine: usize, now_ms: u64) {
        self.machines[machine].clock.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn access(&mut self, machine: usize, at: &Partition, record: &Record) -> ChangeSetId {
        let workspace = self.workspace;
        let machine = &mut self.machines[machine];
        let mut draft = machine.draft("access", None);
        draft.script = record.to_script(&[], None).unwrap();
        let entry = machine.record(workspace, at, draft, true);
        machine.keep(workspace, at, vec![entry.clone()]);
        machine.replica.take_records(&workspace, std::slice::from_ref(&entry)).unwrap();
        entry.id()
    }

    /// The root lets a key into the yard, for a day from `from_ms` on.
    pub(crate) fn grant_from(&mut self, machine: usize, from_ms: u64) -> ChangeSetId {
        let of = &self.machines[machine];
        let record = Record::Grant(Grant {
            partition: yard(),
            device: of.public(),
            person: Person { id: format!("p{}", of.key), name: format!("Person {}", of.key) },
            role: Role::new("worker").unwrap(),
            kinds: Kinds::All,
            actions: Actions::All,
            not_before_ms: from_ms,
            not_after_ms: from_ms + 24 * HOUR_MS,
        });
        self.access(0, &yard(), &record)
    }

    /// The root lets a machine's key into the yard.
    pub(crate) fn grant(&mut self, machine: usize) -> ChangeSetId {
        self.grant_from(machine, self.now_ms - HOUR_MS)
    }

    /// A machine's owner saves something in the yard.
    pub(crate) fn write(&mut self, machine: usize, grant: Option<ChangeSetId>) -> ChangeSetId {
        self.write_run(machine, &[grant])[0]
    }

    /// A machine's owner saves several things at once: one run, signed at its end.
    pub(crate) fn write_run(&mut self, machine: usize, grants: &[Option<ChangeSetId>]) -> Vec<ChangeSetId> {
        let workspace = self.workspace;
        let machine = &mut self.machines[machine];
        let mut entries = Vec::new();
        for (number, grant) in grants.iter().enumerate() {
            let draft = machine.draft("inspection", *grant);
            entries.push(machine.record(workspace, &yard(), draft, number + 1 == grants.len()));
        }
        let ids = entries.iter().map(Verified::id).collect();
        machine.keep(workspace, &yard(), entries);
        ids
    }

    /// A machine's owner saves something in the document of a change set that the machine has, on top of it.
    pub(crate) fn write_on(&mut self, machine: usize, id: &ChangeSetId) -> ChangeSetId {
        let workspace = self.workspace;
        let machine = &mut self.machines[machine];
        let log = machine.log(workspace, &yard());
        let view = machine.replica.store().view().unwrap();
        let at = view.known(&log, id).unwrap().unwrap().position;
        let entry = view.span(&log, at, at).unwrap().into_iter().find(|entry| entry.id() == *id).unwrap();
        let mut draft = machine.draft("inspection", None);
        draft.document = entry.header().document.clone();
        draft.parents = vec![*id];
        let entry = machine.record(workspace, &yard(), draft, true);
        let id = entry.id();
        machine.keep(workspace, &yard(), vec![entry]);
        id
    }

    /// `from` calls `to`, about the authority and the yard.
    pub(crate) fn call(&mut self, from: usize, to: usize) -> usize {
        self.call_about(from, to, &[authority(), yard()])
    }

    pub(crate) fn call_about(&mut self, from: usize, to: usize, partitions: &[Partition]) -> usize {
        let seen: [Arc<Mutex<Vec<Seen>>>; 2] = Default::default();
        let observer = |side: usize| {
            let seen = Arc::clone(&seen[side]);
            Box::new(move |event: &Event, _: &sync::Session| seen.lock().unwrap().extend(Seen::of(event)))
        };
        let caller = &self.machines[from].replica;
        let calling = caller.caller(self.workspace, partitions.to_vec(), observer(0), self.now).unwrap();
        let answering = self.machines[to].replica.answerer(observer(1), self.now).unwrap();
        let (ends, flight) = ([calling, answering], Default::default());
        self.lines.push(Line { ends, flight, seen, is_held: [false; 2] });
        self.lines.len() - 1
    }

    /// `from` calls `to` until both have what the other had: who learns in a session that more is open calls again.
    pub(crate) fn meet(&mut self, from: usize, to: usize) {
        for _ in 0..3 {
            let line = self.call(from, to);
            self.drive();
            let is_level = self.is_level(line, 0);
            self.cut(line);
            if is_level {
                return;
            }
        }
        panic!("{from} and {to} do not come level: {:?}", self.lines.last().map(|line| &line.seen));
    }

    /// Frames on a line wait from now on, or go on.
    pub(crate) fn hold(&mut self, line: usize, is_held: bool) {
        self.lines[line].is_held = [is_held; 2];
    }

    /// Frames to an end wait from now on.
    pub(crate) fn hold_to(&mut self, line: usize, side: usize) {
        self.lines[line].is_held[side] = true;
    }

    /// All frames that wait for an end arrive at once; nobody works. Gives how many there were.
    pub(crate) fn deliver(&mut self, line: usize, side: usize) -> usize {
        let Line { ends, flight, .. } = &mut self.lines[line];
        let frames = std::mem::take(&mut flight[side]);
        for frame in &frames {
            ends[side].handle_frame(frame, self.now);
            ends[side].poll(self.now);
        }
        frames.len()
    }

    /// An end takes in what its replica answered.
    pub(crate) fn poll(&mut self, line: usize, side: usize) {
        self.lines[line].ends[side].poll(self.now);
    }

    /// A line is cut: both ends notice.
    pub(crate) fn cut(&mut self, line: usize) {
        for end in &mut self.lines[line].ends {
            end.handle_end(replica::LinkError::Gone);
        }
        self.lines[line].flight = Default::default();
    }

    /// What an end of a line was told so far.
    pub(crate) fn seen(&self, line: usize, side: usize) -> Vec<Seen> {
        self.lines[line].seen[side].lock().unwrap().clone()
    }

    pub(crate) fn has_seen(&self, line: usize, side: usize, what: &Seen) -> bool {
        self.lines[line].seen[side].lock().unwrap().contains(what)
    }

    /// Change sets of ours that the peer has not acknowledged, and those of the peer's that are not here.
    pub(crate) fn lag(&self, line: usize, side: usize) -> (u64, u64) {
        let lag = self.lines[line].ends[side].session().lag();
        lag.fold((0, 0), |(ours, theirs), (_, to_send, to_take)| (ours + to_send, theirs + to_take))
    }

    pub(crate) fn is_level(&self, line: usize, side: usize) -> bool {
        self.lines[line].ends[side].session().is_level()
    }

    fn step(&mut self) -> bool {
        let mut any = false;
        for machine in &self.machines {
            while machine.replica.step() {
                any = true;
            }
        }
        self.exchange() || any
    }

    /// Ends take in what was answered, and one frame each that waits for them.
    fn exchange(&mut self) -> bool {
        let (now, mut any) = (self.now, false);
        for line in &mut self.lines {
            for side in 0..2 {
                let Line { ends, flight, is_held, .. } = line;
                ends[side].poll(now);
                while let Some(frame) = ends[side].poll_transmit() {
                    any = true;
                    flight[1 - side].push_back(frame);
                }
                if is_held[side] {
                    continue;
                }
                if ends[side].may_read()
                    && let Some(frame) = flight[side].pop_front()
                {
                    any = true;
                    ends[side].handle_frame(&frame, now);
                    ends[side].poll(now);
                }
            }
        }
        any
    }

    /// Until nothing happens any more without time passing.
    pub(crate) fn rush(&mut self) {
        while self.step() {}
    }

    /// Until nothing happens any more but pings.
    pub(crate) fn drive(&mut self) {
        self.until(self.now + SOON);
    }

    /// So much time passes.
    pub(crate) fn wait(&mut self, length: Duration) {
        let until = self.now + length;
        self.until(until);
        self.now = until;
    }

    /// Each machine does one thing, and one frame arrives at each end.
    pub(crate) fn once(&mut self) {
        for machine in &self.machines {
            machine.replica.step();
        }
        self.exchange();
    }

    fn until(&mut self, until: Instant) {
        for _ in 0..1_000_000 {
            if self.step() {
                continue;
            }
            let ends = self.lines.iter_mut().flat_map(|line| &mut line.ends);
            let due = ends.filter_map(|end| Some((end.poll_timeout().filter(|at| *at <= until)?, end)));
            let Some((at, end)) = due.min_by_key(|(at, _)| *at) else { return };
            self.now = self.now.max(at);
            end.handle_timeout(self.now);
        }
        panic!("no end to it");
    }

    /// Whether a machine has something in its log of the yard.
    pub(crate) fn has(&self, machine: usize, id: &ChangeSetId) -> bool {
        let log = LogKey::new(self.workspace, yard());
        self.machines[machine].replica.store().view().unwrap().has(&log, id).unwrap()
    }

    /// What a machine has put aside, or keeps waiting, of the yard.
    pub(crate) fn inbox(&self, machine: usize) -> Vec<Waiting> {
        let log = LogKey::new(self.workspace, yard());
        self.machines[machine].replica.store().view().unwrap().inbox(&log).unwrap()
    }
}

pub(crate) fn authority() -> Partition {
    Partition::new(access::PARTITION_AUTHORITY).unwrap()
}
