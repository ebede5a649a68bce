//! Lines between machines: calling, frames on their way, what breaks and what notices.

use super::{Event, Line, MILLI, SECOND, World};
use replica::LinkError;
use std::collections::VecDeque;

impl World {
    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    pub(super) fn dial(&mut self, from: usize, to: usize) {
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
    pub(super) fn end_of(&self, machine: usize, line: u64) -> Option<usize> {
        self.lines.get(&line)?.ends.iter().position(|end| *end == machine)
    }

    /// Lets a session go on, and takes what it sends.
    pub(super) fn poll(&mut self, machine: usize, line: u64) {
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

    pub(super) fn send(&mut self, line: u64, end: usize, mut frame: Vec<u8>) {
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

    pub(super) fn deliver(&mut self, line: u64, end: usize) {
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

    pub(super) fn timer(&mut self, line: u64, end: usize) {
        let Some(open) = self.lines.get_mut(&line) else { return };
        let machine = open.ends[end];
        open.timers[end] = None;
        let Some(session) = self.machines[machine].sessions.get_mut(&line) else { return };
        session.driver().handle_timeout(self.time.instant());
        self.poll(machine, line);
        self.work(machine);
    }

    /// An end is done with a line: what it sent still arrives, then the other end notices.
    pub(super) fn hang_up(&mut self, line: u64, end: usize) {
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

    pub(super) fn broken(&mut self, line: u64, end: usize) {
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

    pub(super) fn redial(&mut self, line: u64, end: usize) {
        if end == 0 && self.calls_by_itself() {
            let Some(ends) = self.lines.get(&line).map(|line| line.ends) else { return };
            let pause = self.dice.below(8 * SECOND);
            self.dial_after(pause, ends[0], ends[1]);
        }
    }

    /// Calls again everybody that it calls; those that are connected stay so.
    pub(super) fn redial_to(&mut self, machine: usize) {
        if self.calls_by_itself() {
            self.dial_all(machine, 8 * SECOND);
        }
    }

    /// Whether machines call again on their own. Where is measured they meet when the story says so.
    pub(super) fn calls_by_itself(&self) -> bool {
        !self.scenario.is_calm || self.is_healing
    }

    /// All lines of a machine break: what is on its way is lost, and each other end notices some time later.
    pub(super) fn cut_all(&mut self, number: usize) {
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

    /// All lines of all machines break.
    pub fn cut_everything(&mut self) {
        // Whoever waits long before it calls again does not wait this time: all that call each other meet.
        self.dialing.clear();
        self.is_dialing.clear();
        for number in 0..self.machines.len() {
            self.cut_all(number);
        }
    }
}
