//! The steps of a story: what people do, what goes wrong, who means harm.

use super::{Event, SECOND, Trouble, World};
use crate::clock::Micros;
use crate::dice::Dice;
use crate::harm::Harm;
use crate::machine::{Machine, Role};
use crate::people::Way;
use crate::scenario::Step;
use fieldbook::{Error, Invitation};
use replica::Command;
use std::collections::BTreeMap;

impl World {
    pub(super) fn step(&mut self, number: usize) {
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
            Step::Lie { machine, length } => {
                self.machines[machine].disk.set_forgetful(true);
                self.machines[machine].has_lied = true;
                self.after(length, Event::Clear(Trouble::Lie(machine)));
            }
            Step::Call { machine } => self.dial_all(machine, SECOND),
            Step::Leave { machine } => self.leave(machine),
        }
    }

    pub(super) fn leave(&mut self, number: usize) {
        let now = self.time.instant();
        for session in self.machines[number].sessions.values_mut() {
            session.driver().command(Command::Close(sync::Code::DONE, "done".to_owned()), now);
        }
        self.poll_all(number);
        self.work(number);
    }

    pub(super) fn clear(&mut self, trouble: &Trouble) {
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
            Trouble::Lie(machine) => self.machines[*machine].disk.set_forgetful(false),
            Trouble::Full(machine) => {
                self.machines[*machine].disk.set_full(false);
                self.work(*machine);
            }
        }
    }

    pub(super) fn edit(&mut self, number: usize, dice: &mut Dice) {
        let partition = self.partitions[dice.index(self.partitions.len())].clone();
        let Some(book) = self.machines[number].book() else { return };
        let way = if self.scenario.is_calm { Way::Measured } else { Way::Close };
        match crate::people::act(book, &partition, way, dice) {
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
    pub(super) fn judge_error(&mut self, number: usize, error: &Error) {
        if matches!(error, Error::Text { .. } | Error::Refused { .. }) {
            self.ledger.broken(format!("machine {number}: an edit fails: {error}"));
        }
    }

    pub(super) fn do_harm(&mut self, number: usize, dice: &mut Dice) {
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

    pub(super) fn grant(&mut self, number: usize, partition: usize, length: Option<Micros>) {
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
    pub(super) fn restore(&mut self, number: usize) {
        let Some(image) = self.backups.get(&number) else { return };
        let disk = crate::disk::Disk::with(image);
        if let Some(store) = self.machines[number].store() {
            self.ledger.forgets(&self.machines[number], store.incarnation());
        }
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
    pub(super) fn clone_of(&mut self, number: usize) {
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
    pub(super) fn turn(&mut self, number: usize) {
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

    pub(super) fn observe(&mut self, number: usize) {
        if !self.machines[number].role.is_honest() || self.scenario.is_calm {
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
        self.ledger.windows(&self.machines, number, &lines);
        if self.machines[number].role != Role::Device {
            return;
        }
        let now = self.time.now();
        self.ledger.observe(&mut self.machines, number, &lines, self.workspace, now);
    }
}
