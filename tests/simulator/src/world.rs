//! The world: machines, lines between them, and one queue of what happens next.

mod lines;
mod steps;

use crate::clock::{Micros, Time};
use crate::dice::Dice;
use crate::disk::Image;
use crate::harm::Harm;
use crate::ledger::Ledger;
use crate::machine::{Body, Machine, Role, Session};
use crate::scenario::Scenario;
use changeset::{Partition as PartitionName, WorkspaceId};
use fieldbook::{Fieldbook, Invitation, NewWorkspace};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What happens next.
#[derive(Debug)]
enum Event {
    Step(usize),
    /// A machine does some of what waits.
    Work(usize),
    /// The moment that a session asked for.
    Timer(u64, usize),
    /// A frame arrives at an end of a line.
    Deliver(u64, usize),
    /// An end of a line notices that it is broken.
    Broken(u64, usize),
    Dial(usize, usize),
    PowerOn(usize),
    Awake(usize),
    Clear(Trouble),
}

/// What goes away by itself.
#[derive(Debug)]
enum Trouble {
    Block(usize, usize),
    Slow(usize),
    Full(usize),
    Tamper(usize),
    Lie(usize),
}

/// A connection between two machines. End 0 called.
#[derive(Debug)]
struct Line {
    ends: [usize; 2],
    /// Frames on their way to each end.
    flight: [VecDeque<Vec<u8>>; 2],
    /// When the last of them arrives.
    last: [Micros; 2],
    is_gone: [bool; 2],
    /// When each end's timer was asked for.
    timers: [Option<Micros>; 2],
    /// A frame that was sent before, for whoever replays.
    old: Option<Vec<u8>>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events handled.
    pub events: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes of frames sent.
    pub bytes: u64,
    /// Change sets saved by honest devices.
    pub edits: u64,
    /// Things that people tried and that were refused.
    pub refused: u64,
    /// Change sets by those who mean harm.
    pub harm: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Times that the power went.
    pub crashes: u64,
}

/// The world of a scenario.
#[derive(Debug)]
pub struct World {
    /// What is played.
    pub scenario: Scenario,
    /// The true time.
    pub time: Time,
    /// The machines. Clones come behind those of the cast.
    pub machines: Vec<Machine>,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The partitions beside the authority.
    pub partitions: Vec<PartitionName>,
    /// What was promised.
    pub ledger: Ledger,
    /// What was counted.
    pub counts: Counts,
    /// What happened, for people: the last so many lines.
    pub story: VecDeque<String>,
    /// Whether the faults are over.
    pub is_healing: bool,
    lines: BTreeMap<u64, Line>,
    next_line: u64,
    queue: BTreeMap<(Micros, u64), Event>,
    serial: u64,
    dice: Dice,
    blocked: BTreeMap<(usize, usize), u32>,
    /// Who is about to call whom, and how often it was tried in vain.
    dialing: BTreeMap<(usize, usize), u32>,
    is_dialing: BTreeSet<(usize, usize)>,
    slow: BTreeMap<usize, u32>,
    tampered: BTreeMap<usize, u32>,
    backups: BTreeMap<usize, Image>,
    faces: BTreeMap<usize, Image>,
    harm: BTreeMap<(usize, usize), Harm>,
}

const SECOND: Micros = 1_000_000;
const MILLI: Micros = 1_000;
const MAX_STORY: usize = 400;

impl World {
    /// The world of a scenario, with its workspace founded and everybody invited who is from the beginning.
    ///
    /// # Errors
    /// If the beginning itself fails, which nothing explains.
    pub fn new(scenario: Scenario) -> anyhow::Result<Self> {
        let (time, seed) = (Time::default(), scenario.seed);
        let parts = scenario.cast.iter().enumerate();
        let machines: Vec<Machine> = parts
            .map(|(number, part)| Machine::new(number, part.role, seed, number as u64, part.is_file, &time))
            .collect();
        let names = ["north-pier", "south-pier"].iter().take(scenario.partitions);
        let partitions = names.map(|name| PartitionName::new(name)).collect::<Result<Vec<_>, _>>()?;
        let mut world = Self {
            dice: Dice::new(seed, 0x0077_6f72_6c64),
            time,
            machines,
            workspace: WorkspaceId::from_bytes([0; 32]),
            partitions,
            ledger: Ledger::default(),
            counts: Counts::default(),
            story: VecDeque::new(),
            is_healing: false,
            lines: BTreeMap::new(),
            next_line: 0,
            queue: BTreeMap::new(),
            serial: 0,
            blocked: BTreeMap::new(),
            dialing: BTreeMap::new(),
            is_dialing: BTreeSet::new(),
            slow: BTreeMap::new(),
            tampered: BTreeMap::new(),
            backups: BTreeMap::new(),
            faces: BTreeMap::new(),
            harm: BTreeMap::new(),
            scenario,
        };
        world.begin()?;
        Ok(world)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let relays = self.machines.iter().filter(|machine| matches!(machine.role, Role::Relay | Role::Gateway));
        let relays: BTreeSet<_> = relays.map(Machine::public_key).collect();
        let root = changeset::DeviceKey::from_secret(&[self.scenario.seed.to_le_bytes()[0]; 32]);
        for number in 0..self.machines.len() {
            let (partitions, homes) = (self.partitions.clone(), self.scenario.homes[number].clone());
            let machine = &mut self.machines[number];
            machine.partitions.clone_from(&partitions);
            machine.homes = homes;
            machine.relays = if machine.role.is_relay() { relays.clone() } else { Default::default() };
            let name = format!("machine {number}");
            match (number, machine.role) {
                (0, _) => {
                    let (store, settings) = machine.settings()?;
                    let new = NewWorkspace {
                        name: "Harbour".into(),
                        roots: vec![&root],
                        threshold: 1,
                        device: name.clone(),
                        person: name,
                        partition: partitions[0].clone(),
                    };
                    let book = Fieldbook::create_in(store, &new, settings)?;
                    self.workspace = book.workspace();
                    for partition in &partitions[1..] {
                        book.grant(partition, &Invitation::new(book.key(), "machine 0", "admin", 0))?;
                    }
                    machine.body = Some(Body::Device(book));
                }
                (_, Role::Device) => {
                    let (store, settings) = machine.settings()?;
                    let book = Fieldbook::join_in(store, self.workspace, &name, &partitions, settings)?;
                    machine.body = Some(Body::Device(book));
                }
                _ => machine.start()?,
            }
        }
        for number in 1..self.machines.len() {
            if self.scenario.invited[number] && matches!(self.machines[number].role, Role::Device | Role::Author) {
                for partition in 0..self.partitions.len() {
                    self.grant(number, partition, None);
                }
            }
        }
        for number in 0..self.machines.len() {
            self.dial_all(number, 2 * SECOND);
            self.work(number);
        }
        let steps: Vec<Micros> = self.scenario.steps.iter().map(|timed| timed.at).collect();
        for (number, at) in steps.into_iter().enumerate() {
            self.at(at, Event::Step(number));
        }
        Ok(())
    }

    fn at(&mut self, at: Micros, event: Event) {
        self.serial += 1;
        self.queue.insert((at.max(self.time.now()), self.serial), event);
    }

    fn after(&mut self, delay: Micros, event: Event) {
        self.at(self.time.now() + delay, event);
    }

    /// Adds a line to the story.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.story.len() >= MAX_STORY {
            self.story.pop_front();
        }
        let seconds = self.time.now() as f64 / SECOND as f64;
        self.story.push_back(format!("{seconds:>14.3} s  {}", line()));
    }

    /// Plays until a moment. Stops at the first thing that is wrong.
    pub fn play(&mut self, until: Micros) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until || self.ledger.is_broken() {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.time.set(at);
            self.counts.events += 1;
            self.handle(event);
        }
        if !self.ledger.is_broken() {
            self.time.set(until.max(self.time.now()));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Step(number) => self.step(number),
            Event::Work(machine) => self.do_work(machine),
            Event::Timer(line, end) => self.timer(line, end),
            Event::Deliver(line, end) => self.deliver(line, end),
            Event::Broken(line, end) => self.broken(line, end),
            Event::Dial(from, to) => self.dial(from, to),
            Event::PowerOn(machine) => self.power_on(machine),
            Event::Awake(machine) => {
                self.machines[machine].is_asleep = false;
                self.power_on(machine);
            }
            Event::Clear(trouble) => self.clear(&trouble),
        }
    }

    /// A machine has something to do soon.
    fn work(&mut self, machine: usize) {
        if self.machines[machine].body.is_some() && !self.machines[machine].is_working {
            self.machines[machine].is_working = true;
            let delay = self.dice.range(100, 3 * MILLI);
            self.after(delay, Event::Work(machine));
        }
    }

    fn do_work(&mut self, number: usize) {
        self.machines[number].is_working = false;
        if self.machines[number].body.is_none() {
            return;
        }
        let mut is_more = false;
        for _ in 0..self.dice.range(1, 12) {
            if !self.machines[number].step() {
                break;
            }
            is_more = true;
        }
        if self.lost_power(number) {
            return;
        }
        self.poll_all(number);
        // What the sessions asked for just now.
        is_more |= self.machines[number].step();
        if !self.lost_power(number) && is_more {
            self.work(number);
        }
    }

    fn poll_all(&mut self, number: usize) {
        let lines: Vec<u64> = self.machines[number].sessions.keys().copied().collect();
        for line in lines {
            self.poll(number, line);
        }
    }

    /// Whether the power of a machine went during what it just did.
    fn lost_power(&mut self, number: usize) -> bool {
        if self.machines[number].body.is_none() {
            return true;
        }
        if !self.machines[number].disk.is_dead() {
            return false;
        }
        self.counts.crashes += 1;
        self.tell(|| format!("machine {number} loses power"));
        self.switch_off(number);
        true
    }

    fn switch_off(&mut self, number: usize) {
        self.machines[number].stop();
        self.machines[number].is_working = false;
        self.cut_all(number);
    }

    fn power_on(&mut self, number: usize) {
        if self.machines[number].is_asleep || self.machines[number].body.is_some() {
            return;
        }
        let mut dice = Dice::new(self.dice.bits(), 1);
        let machine = &mut self.machines[number];
        machine.disk.revive(&mut dice);
        if let Err(error) = machine.start() {
            return self.ledger.broken(format!("machine {number} does not start after its power came back: {error:#}"));
        }
        self.tell(|| format!("machine {number} starts"));
        self.ledger.started(&self.machines[number], self.workspace);
        self.dial_all(number, SECOND);
        self.work(number);
    }

    fn dial_all(&mut self, number: usize, spread: Micros) {
        for home in self.machines[number].homes.clone() {
            let delay = self.dice.below(spread);
            self.dial_after(delay, number, home);
        }
    }

    fn dial_after(&mut self, delay: Micros, from: usize, to: usize) {
        if self.is_dialing.insert((from, to)) {
            self.after(delay, Event::Dial(from, to));
        }
    }

    /// Nobody is there: it is tried again, ever more seldom.
    fn dial_again(&mut self, from: usize, to: usize) {
        let tries = self.dialing.entry((from, to)).or_default();
        *tries += 1;
        let most = ((2 * SECOND) << (*tries).min(9)).min(self.scenario.end / 20 + 20 * SECOND);
        let pause = self.dice.range(SECOND, most);
        self.dial_after(pause, from, to);
    }

    /// All faults end: who means harm is shut out, power and lines are good, everybody is let in.
    pub fn heal(&mut self) {
        self.is_healing = true;
        self.tell(|| "all faults end".to_owned());
        (self.blocked, self.slow, self.tampered) = Default::default();
        self.dialing.clear();
        self.is_dialing.clear();
        for number in 0..self.machines.len() {
            let machine = &mut self.machines[number];
            machine.disk.set_full(false);
            machine.disk.fail(0);
            machine.is_asleep = false;
            if !machine.role.is_honest() {
                self.ledger.shut_out(&self.machines[number], self.workspace, &self.partitions);
                self.switch_off(number);
                self.machines[number].homes.clear();
                continue;
            }
            let role = self.machines[number].role;
            let relays: Vec<usize> =
                (0..self.scenario.cast.len()).filter(|other| self.machines[*other].role == Role::Relay).collect();
            let machine = &mut self.machines[number];
            // Everybody calls every relay, and most relays each other, so that nobody is left apart.
            machine.homes = match role {
                Role::Relay if self.scenario.is_apart => Vec::new(),
                Role::Relay => relays.into_iter().filter(|other| *other < number).collect(),
                _ => relays,
            };
            if machine.disk.is_dead() {
                self.switch_off(number);
            }
            // A cut that was still to come does not come.
            self.machines[number].disk.spare();
            self.power_on(number);
        }
        for number in 0..self.machines.len() {
            if self.machines[number].role == Role::Device && number < self.scenario.cast.len() {
                for partition in 0..self.partitions.len() {
                    self.grant(number, partition, None);
                }
            }
            if self.machines[number].role.is_honest() {
                self.dial_all(number, SECOND);
                self.work(number);
            }
        }
    }

    /// How every machine stands, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for machine in &self.machines {
            let state = if machine.body.is_some() { "on" } else { "off" };
            let key = machine.public_key();
            let mut ends = Vec::new();
            for partition in &self.partitions {
                let log = storage::LogKey::new(self.workspace, partition.clone());
                let end = machine.disk.watched(|| machine.store()?.view().ok()?.log(&log).ok()?);
                let inbox = machine.disk.watched(|| machine.store()?.view().ok()?.inbox(&log).ok()).unwrap_or_default();
                for held in inbox.iter().take(40) {
                    lines.push(format!("    {} waits: {:?}", held.entry.id().short(), held.why));
                }
                ends.extend(end.map(|state| format!("{partition} {} + {}", state.end.position, state.waiting)));
            }
            lines.push(format!(
                "machine {} {:?} {} {state}, put back {} times, clock {:+} ms: {}",
                machine.number,
                machine.role,
                key.short(),
                machine.rollbacks,
                machine.clock.offset_ms(),
                ends.join(", ")
            ));
            for (line, session) in &machine.sessions {
                let ends = self.lines.get(line).map_or([0; 2], |line| line.ends);
                let lag: Vec<String> = session
                    .session()
                    .lag()
                    .map(|(partition, ours, theirs)| format!("{partition} {ours} to give {theirs} to take"))
                    .collect();
                lines.push(format!("    line {line} {ends:?} {:?} {}", session.connectivity(), lag.join(", ")));
            }
        }
        lines
    }

    /// The sessions of a machine and how they stand.
    pub fn sessions_of(&self, number: usize) -> impl Iterator<Item = &Session> {
        self.machines[number].sessions.values()
    }
}
