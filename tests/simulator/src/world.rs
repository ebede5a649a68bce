//! The world: machines, lines between them, and one queue of what happens next.

use crate::clock::{Micros, Time};
use crate::dice::Dice;
use crate::disk::Image;
use crate::harm::Harm;
use crate::ledger::Ledger;
use crate::machine::{Body, Machine, Role, Session};
use crate::scenario::{Scenario, Step};
use changeset::{Partition as PartitionName, WorkspaceId};
use fieldbook::{Error, Fieldbook, Invitation, NewWorkspace};
use replica::LinkError;
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

    // ---- Machines ----------------------------------------------------------------------------------------------------

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

    // ---- Lines -------------------------------------------------------------------------------------------------------

    fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    fn dial(&mut self, from: usize, to: usize) {
        self.is_dialing.remove(&(from, to));
        let is_there = |machine: usize| self.machines[machine].body.is_some();
        if !is_there(from) {
            return;
        }
        let is_kept = |line: &Line| line.ends == [from, to] && !line.is_gone[0];
        if self.lines.values().any(is_kept) {
            return;
        }
        if !is_there(to) || self.is_blocked(from, to) || self.is_blocked(to, from) {
            return self.dial_again(from, to);
        }
        let now = self.time.instant();
        let ends = [(from, true), (to, false)];
        let mut sessions = Vec::new();
        for (machine, is_caller) in ends {
            match self.machines[machine].session(self.workspace, is_caller, now) {
                Ok(Some(session)) => sessions.push(session),
                // Its disk fails just now.
                _ => {
                    self.lost_power(machine);
                    return self.dial_again(from, to);
                }
            }
        }
        self.dialing.remove(&(from, to));
        let line = self.next_line;
        self.next_line += 1;
        self.counts.sessions += 1;
        let empty = || [VecDeque::new(), VecDeque::new()];
        let new =
            Line { ends: [from, to], flight: empty(), last: [0; 2], is_gone: [false; 2], timers: [None; 2], old: None };
        self.lines.insert(line, new);
        for ((machine, _), session) in ends.into_iter().zip(sessions) {
            self.machines[machine].sessions.insert(line, session);
        }
        for machine in [from, to] {
            self.poll(machine, line);
            self.work(machine);
        }
    }

    /// Which end of a line a machine is; a machine does not call itself.
    fn end_of(&self, machine: usize, line: u64) -> Option<usize> {
        self.lines.get(&line)?.ends.iter().position(|end| *end == machine)
    }

    /// Lets a session go on, and takes what it sends.
    fn poll(&mut self, machine: usize, line: u64) {
        let Some(end) = self.end_of(machine, line) else { return };
        let now = self.time.instant();
        let Some(session) = self.machines[machine].sessions.get_mut(&line) else { return };
        session.poll(now);
        let mut frames = Vec::new();
        while let Some(frame) = session.driver().poll_transmit() {
            frames.push(frame.to_vec());
        }
        let (timeout, is_over) = (session.driver().poll_timeout(), session.driver().outcome().is_some());
        for frame in frames {
            self.send(line, end, frame);
        }
        if let Some(at) = timeout.map(|at| self.time.of(at) + 1)
            && let Some(known) = self.lines.get_mut(&line).map(|line| &mut line.timers[end])
            && known.is_none_or(|known| at < known || known < self.time.now())
        {
            *known = Some(at);
            self.at(at, Event::Timer(line, end));
        }
        self.observe(machine);
        if is_over {
            self.hang_up(line, end);
        }
    }

    fn send(&mut self, line: u64, end: usize, mut frame: Vec<u8>) {
        let delay = self.scenario.delay + self.dice.below(self.scenario.delay);
        let now = self.time.now();
        let Some(ends) = self.lines.get(&line).map(|line| line.ends) else { return };
        let (from, to) = (ends[end], ends[1 - end]);
        self.counts.bytes += frame.len() as u64;
        let is_slow = self.slow.contains_key(&from) || self.slow.contains_key(&to);
        let weight = frame.len() as u64 * if is_slow { 2 * MILLI } else { 1 };
        let is_tampered = self.tampered.contains_key(&from) || self.tampered.contains_key(&to);
        let Some(open) = self.lines.get_mut(&line) else { return };
        let mut frames = Vec::new();
        if is_tampered {
            match self.dice.below(12) {
                0 => {
                    let at = self.dice.index(frame.len());
                    if let Some(byte) = frame.get_mut(at) {
                        *byte ^= 1 << self.dice.below(8);
                    }
                }
                1 => frames.extend(open.old.clone()),
                2 => {
                    let length = self.dice.index(frame.len());
                    frame.truncate(length);
                }
                3 => frame = (0..self.dice.below(300)).map(|byte| byte.to_le_bytes()[0]).collect(),
                4 => open.old = Some(frame.clone()),
                _ => {}
            }
        }
        frames.push(frame);
        for frame in frames {
            let at = (now + delay).max(open.last[1 - end] + weight);
            open.last[1 - end] = at;
            open.flight[1 - end].push_back(frame);
            self.serial += 1;
            self.queue.insert((at, self.serial), Event::Deliver(line, 1 - end));
        }
    }

    fn deliver(&mut self, line: u64, end: usize) {
        let Some(ends) = self.lines.get(&line).map(|line| line.ends) else { return };
        let (from, to) = (ends[1 - end], ends[end]);
        if self.is_blocked(from, to) {
            return self.after(SECOND, Event::Deliver(line, end));
        }
        let Some(session) = self.machines[to].sessions.get_mut(&line) else { return };
        if session.driver().outcome().is_none() && !session.driver().may_read() {
            return self.after(20 * MILLI, Event::Deliver(line, end));
        }
        let Some(frame) = self.lines.get_mut(&line).and_then(|line| line.flight[end].pop_front()) else { return };
        self.counts.frames += 1;
        session.driver().handle_frame(&frame, self.time.instant());
        self.poll(to, line);
        self.work(to);
    }

    fn timer(&mut self, line: u64, end: usize) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        let machine = open.ends[end];
        open.timers[end] = None;
        let Some(session) = self.machines[machine].sessions.get_mut(&line) else { return };
        session.driver().handle_timeout(self.time.instant());
        self.poll(machine, line);
        self.work(machine);
    }

    /// An end is done with a line: what it sent still arrives, then the other end notices.
    fn hang_up(&mut self, line: u64, end: usize) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        if open.is_gone[end] {
            return;
        }
        open.is_gone[end] = true;
        let (machine, at) = (open.ends[end], open.last[1 - end] + MILLI);
        if let Some(mut session) = self.machines[machine].sessions.remove(&line)
            && let Some(Err(error)) = session.driver().outcome()
        {
            let text = format!("machine {machine}: line {line} ends: {error}");
            self.tell(|| text);
        }
        self.at(at, Event::Broken(line, 1 - end));
        self.redial(line, end);
    }

    fn broken(&mut self, line: u64, end: usize) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        let machine = open.ends[end];
        let was_open = !open.is_gone[end];
        open.is_gone[end] = true;
        if open.is_gone[1 - end] {
            self.lines.remove(&line);
        }
        if let Some(mut session) = self.machines[machine].sessions.remove(&line) {
            session.driver().handle_end(LinkError::Gone);
        }
        if was_open && end == 0 {
            self.work(machine);
        }
        self.redial_to(machine);
    }

    fn redial(&mut self, line: u64, end: usize) {
        if end == 0 {
            let Some(ends) = self.lines.get(&line).map(|line| line.ends) else { return };
            let pause = self.dice.below(8 * SECOND);
            self.dial_after(pause, ends[0], ends[1]);
        }
    }

    /// Calls again everybody that it calls; those that are connected stay so.
    fn redial_to(&mut self, machine: usize) {
        self.dial_all(machine, 8 * SECOND);
    }

    /// All lines of a machine break: what is on its way is lost, and each other end notices some time later.
    fn cut_all(&mut self, number: usize) {
        let lines: Vec<u64> =
            self.lines.iter().filter(|(_, line)| line.ends.contains(&number)).map(|(line, _)| *line).collect();
        for line in lines {
            for end in [0, 1] {
                let delay = self.dice.below(30 * SECOND);
                if let Some(open) = self.lines.get_mut(&line) {
                    // Some of what was sent still arrives: a suffix is lost.
                    let keep = self.dice.index(open.flight[end].len() + 1);
                    open.flight[end].truncate(keep);
                }
                self.after(delay, Event::Broken(line, end));
            }
        }
    }

    // ---- Steps -------------------------------------------------------------------------------------------------------

    fn step(&mut self, number: usize) {
        let timed = self.scenario.steps[number].clone();
        let (number, step) = (timed.number, timed.step);
        let mut dice = Dice::new(self.scenario.seed, 0x1000 + number as u64);
        match step {
            Step::Edit { machine } => return self.edit(machine, &mut dice),
            Step::Harm { machine } => return self.do_harm(machine, &mut dice),
            _ => self.tell(|| format!("step {number}: {step:?}")),
        }
        match step {
            Step::Edit { .. } | Step::Harm { .. } => {}
            Step::Crash { machine, calls, off } => {
                self.machines[machine].disk.cut_after(calls);
                // Whatever is read or written next; if nothing is, it goes on its own.
                self.after(off, Event::PowerOn(machine));
                self.work(machine);
            }
            Step::Sleep { machine, off } => {
                self.machines[machine].is_asleep = true;
                self.switch_off(machine);
                self.after(off, Event::Awake(machine));
            }
            Step::Cut { machine } => self.cut_all(machine),
            Step::Block { from, to, length } => {
                *self.blocked.entry((from, to)).or_default() += 1;
                self.after(length, Event::Clear(Trouble::Block(from, to)));
            }
            Step::Slow { machine, length } => {
                *self.slow.entry(machine).or_default() += 1;
                self.after(length, Event::Clear(Trouble::Slow(machine)));
            }
            Step::Clock { machine, offset_ms } => self.machines[machine].clock.set_offset(offset_ms),
            Step::Full { machine, length } => {
                self.machines[machine].disk.set_full(true);
                self.after(length, Event::Clear(Trouble::Full(machine)));
            }
            Step::Fail { machine, calls } => self.machines[machine].disk.fail(calls),
            Step::Backup { machine } => {
                let image = self.machines[machine].disk.image();
                self.backups.insert(machine, image);
            }
            Step::Restore { machine } => self.restore(machine),
            Step::Clone { machine } => self.clone_of(machine),
            Step::Grant { machine, partition, length } => self.grant(machine, partition, length),
            Step::Tamper { machine, length } => {
                *self.tampered.entry(machine).or_default() += 1;
                self.after(length, Event::Clear(Trouble::Tamper(machine)));
            }
            Step::Turn { machine } => self.turn(machine),
        }
    }

    fn clear(&mut self, trouble: &Trouble) {
        fn less<K: Ord + Copy>(of: &mut BTreeMap<K, u32>, key: K) {
            if let Some(count) = of.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    of.remove(&key);
                }
            }
        }
        match trouble {
            Trouble::Block(from, to) => less(&mut self.blocked, (*from, *to)),
            Trouble::Slow(machine) => less(&mut self.slow, *machine),
            Trouble::Tamper(machine) => less(&mut self.tampered, *machine),
            Trouble::Full(machine) => {
                self.machines[*machine].disk.set_full(false);
                self.work(*machine);
            }
        }
    }

    fn edit(&mut self, number: usize, dice: &mut Dice) {
        let partition = self.partitions[dice.index(self.partitions.len())].clone();
        let Some(book) = self.machines[number].book() else { return };
        match crate::people::act(book, &partition, dice) {
            Ok(saved) => {
                self.counts.edits += saved.len() as u64;
                let now = self.time.now();
                self.ledger.saved(&mut self.machines[number], saved, now);
            }
            Err(error) => {
                self.counts.refused += 1;
                self.judge_error(number, &error);
            }
        }
        if !self.lost_power(number) {
            self.poll_all(number);
            self.work(number);
        }
    }

    /// What nothing that a person does may lead to.
    fn judge_error(&mut self, number: usize, error: &Error) {
        if matches!(error, Error::Text { .. } | Error::Refused { .. }) {
            self.ledger.broken(format!("machine {number}: an edit fails: {error}"));
        }
    }

    fn do_harm(&mut self, number: usize, dice: &mut Dice) {
        let which = dice.index(self.partitions.len());
        let partition = self.partitions[which].clone();
        let (workspace, now_ms) = (self.workspace, self.time.wall_ms());
        let machine = &self.machines[number];
        let Some(store) = machine.store() else { return };
        let harm = self.harm.entry((number, which));
        let harm = harm.or_insert_with(|| Harm::new(workspace, partition, machine.signer(), dice));
        match harm.act(store, now_ms, dice) {
            Ok(()) => self.counts.harm += 1,
            Err(error) => self.tell(|| format!("machine {number} fails to do harm: {error:#}")),
        }
        self.poll_all(number);
        self.work(number);
    }

    fn grant(&mut self, number: usize, partition: usize, length: Option<Micros>) {
        let name = self.partitions[partition].clone();
        let key = self.machines[number].public_key();
        let Some(book) = self.machines[0].book() else { return };
        let mut invitation = Invitation::new(key, &format!("machine {number}"), "inspector", 0);
        if let Some(length) = length {
            invitation.not_before_ms = self.time.wall_ms().saturating_sub(1000);
            invitation.not_after_ms = self.time.wall_ms() + length / 1000;
        }
        match book.grant(&name, &invitation) {
            Ok(saved) => {
                let (now, id) = (self.time.now(), saved.id);
                self.ledger.saved(&mut self.machines[0], vec![saved], now);
                let signer = self.machines[number].signer();
                if self.machines[number].role == Role::Author {
                    let (workspace, dice) = (self.workspace, &mut self.dice);
                    let harm = self.harm.entry((number, partition));
                    harm.or_insert_with(|| Harm::new(workspace, name, signer, dice)).let_in(id);
                }
            }
            Err(error) => self.judge_error(0, &error),
        }
        if !self.lost_power(0) {
            self.poll_all(0);
            self.work(0);
        }
    }

    /// The last backup of its disk is put back.
    fn restore(&mut self, number: usize) {
        let Some(image) = self.backups.get(&number) else { return };
        let disk = crate::disk::Disk::with(image);
        self.switch_off(number);
        let machine = &mut self.machines[number];
        machine.disk = disk;
        machine.rollbacks += 1;
        machine.promised.clear();
        self.ledger.rolled_back(number);
        let off = self.dice.below(5 * SECOND);
        self.after(off, Event::PowerOn(number));
    }

    /// A second device begins with what is on the first one's disk.
    fn clone_of(&mut self, number: usize) {
        const MAX_MACHINES: usize = 14;
        if self.machines[number].role != Role::Device || self.machines.len() >= MAX_MACHINES {
            return;
        }
        let new = self.machines.len();
        let original = &self.machines[number];
        let image = original.disk.image();
        let key = self.scenario.cast.get(number).map_or(0, |_| number as u64);
        let mut clone = Machine::new(new, Role::Device, self.scenario.seed, key, false, &self.time);
        clone.disk = crate::disk::Disk::with(&image);
        clone.homes.clone_from(&original.homes);
        clone.partitions.clone_from(&original.partitions);
        if clone.public_key() != original.public_key() {
            // A clone of a clone.
            return;
        }
        self.machines.push(clone);
        self.power_on(new);
    }

    /// A relay that means harm goes on as if what happened since it last turned had not.
    fn turn(&mut self, number: usize) {
        if self.machines[number].body.is_none() {
            return;
        }
        let shown = self.machines[number].disk.image();
        self.switch_off(number);
        if let Some(other) = self.faces.insert(number, shown) {
            self.machines[number].disk = crate::disk::Disk::with(&other);
        }
        self.ledger.rolled_back(number);
        self.power_on(number);
    }

    fn observe(&mut self, number: usize) {
        if self.machines[number].role != Role::Device || self.scenario.is_calm {
            return;
        }
        let lines: Vec<(u64, usize)> = self.machines[number]
            .sessions
            .keys()
            .filter_map(|line| {
                let ends = self.lines.get(line)?.ends;
                Some((*line, if ends[0] == number { ends[1] } else { ends[0] }))
            })
            .collect();
        let now = self.time.now();
        self.ledger.observe(&mut self.machines, number, &lines, self.workspace, now);
    }

    // ---- Healing -----------------------------------------------------------------------------------------------------

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
                self.switch_off(number);
                self.machines[number].homes.clear();
                continue;
            }
            let role = self.machines[number].role;
            let relays: Vec<usize> =
                (0..self.scenario.cast.len()).filter(|other| self.machines[*other].role == Role::Relay).collect();
            let machine = &mut self.machines[number];
            // Everybody calls every relay, and relays each other, so that nobody is left apart.
            machine.homes = match role {
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
