//! Devices and a relay in one thread, on a clock of the test.

use crate::support::{harbour, pier};
use fieldbook::{Connectivity, DeviceKey, Fieldbook, Settings, SteppedLink};
use replica::{Driver, Options, Replica};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use storage::{Random, Store};
use sync::Tier;

pub(crate) const HOUR_MS: u64 = 3_600_000;
/// Everything moves within this; pings come later.
const SOON: Duration = Duration::from_secs(5);

/// Who is there, and the lines between them.
pub(crate) struct World {
    clock: Arc<AtomicU64>,
    now: Instant,
    pub(crate) books: Vec<Fieldbook>,
    pub(crate) relay: Replica,
    lines: Vec<Line>,
}

enum End {
    Device(SteppedLink),
    Relay(Driver),
}

struct Line {
    ends: [End; 2],
    flight: [VecDeque<Vec<u8>>; 2],
    is_held: bool,
}

impl End {
    fn poll(&mut self, now: Instant) -> &mut Driver {
        match self {
            Self::Device(link) => {
                link.poll(now);
                link.driver()
            }
            Self::Relay(driver) => {
                driver.poll(now);
                driver
            }
        }
    }
}

fn store(seed: u64, clock: &Arc<AtomicU64>) -> Store {
    let mut options = storage::Options::default();
    let hand = Arc::clone(clock);
    options.random = Random::seeded(seed);
    options.clock = Arc::new(move || hand.load(Ordering::Relaxed));
    options.is_stepped = true;
    // What was signed alone stays so, and can be judged alone.
    options.merge_when_idle = false;
    Store::in_memory(options).unwrap()
}

fn settings(clock: &Arc<AtomicU64>) -> Settings {
    let mut settings = Settings::new().unwrap();
    let hand = Arc::clone(clock);
    settings.replica.clock = Arc::new(move || hand.load(Ordering::Relaxed));
    settings
}

impl World {
    /// Device 0 is Ana's, who founded the workspace; device 1 is Ben's, whom nobody let in yet.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(1_772_434_800_000));
        let root = DeviceKey::from_secret(&[7; 32]);
        let ana = Fieldbook::create_in(store(1, &clock), &harbour(&root), settings(&clock)).unwrap();
        let workspace = ana.workspace();
        let ben = Fieldbook::join_in(store(2, &clock), workspace, "ben", &[pier()], settings(&clock)).unwrap();
        let mut options = Options::new(Tier::Relay);
        options.clock = settings(&clock).replica.clock;
        options.policy.free_disk_min = 0;
        let relay = Replica::new(store(3, &clock), options).unwrap();
        Self { clock, now: Instant::now(), books: vec![ana, ben], relay, lines: Vec::new() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Time passes for the wall clocks; nothing else happens.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// A device calls the relay.
    pub(crate) fn call_relay(&mut self, from: usize) -> usize {
        let answering = self.relay.answerer(Box::new(|_, _| ()), self.now).unwrap();
        self.connect(from, End::Relay(answering))
    }

    /// A device calls another one.
    pub(crate) fn call(&mut self, from: usize, to: usize) -> usize {
        let answering = self.books[to].stepped_link(false, self.now).unwrap();
        self.connect(from, End::Device(answering))
    }

    fn connect(&mut self, from: usize, to: End) -> usize {
        let calling = self.books[from].stepped_link(true, self.now).unwrap();
        self.lines.push(Line { ends: [End::Device(calling), to], flight: Default::default(), is_held: false });
        self.lines.len() - 1
    }

    /// Nothing gets through any more, and nobody notices.
    pub(crate) fn hold(&mut self, line: usize) {
        self.lines[line].is_held = true;
    }

    /// An end notices that the peer is silent: its timers come until it is over.
    pub(crate) fn give_up(&mut self, line: usize, side: usize) {
        let end = &mut self.lines[line].ends[side];
        while let Some(at) = end.poll(self.now).poll_timeout() {
            self.now = self.now.max(at);
            end.poll(self.now).handle_timeout(self.now);
        }
        assert!(end.poll(self.now).outcome().is_some());
    }

    /// A line is cut: both ends notice.
    pub(crate) fn cut(&mut self, line: usize) {
        for end in &mut self.lines[line].ends {
            end.poll(self.now).handle_end(replica::LinkError::Gone);
        }
        self.lines[line].flight = Default::default();
    }

    /// How a device says that it stands with the other side.
    pub(crate) fn connectivity(&self, line: usize, side: usize) -> Connectivity {
        match &self.lines[line].ends[side] {
            End::Device(link) => link.connectivity(),
            End::Relay(_) => panic!("a relay shows nobody how it stands"),
        }
    }

    fn step(&mut self) -> bool {
        let (now, mut any) = (self.now, false);
        let replicas = self.books.iter().map(Fieldbook::replica).chain([&self.relay]);
        for replica in replicas {
            while replica.step() {
                any = true;
            }
        }
        for book in &self.books {
            any |= book.step().unwrap();
        }
        for Line { ends, flight, is_held } in &mut self.lines {
            for side in 0..2 {
                let driver = ends[side].poll(now);
                while let Some(frame) = driver.poll_transmit() {
                    any = true;
                    flight[1 - side].push_back(frame.to_vec());
                }
                if !*is_held
                    && driver.may_read()
                    && let Some(frame) = flight[side].pop_front()
                {
                    any = true;
                    driver.handle_frame(&frame, now);
                    ends[side].poll(now);
                }
            }
        }
        any
    }

    /// Until nothing happens any more but pings.
    pub(crate) fn drive(&mut self) {
        let until = self.now + SOON;
        for _ in 0..1_000_000 {
            if self.step() {
                continue;
            }
            let now = self.now;
            let ends = self.lines.iter_mut().flat_map(|line| &mut line.ends).map(|end| end.poll(now));
            let due = ends.filter_map(|end| Some((end.poll_timeout().filter(|at| *at <= until)?, end)));
            let Some((at, end)) = due.min_by_key(|(at, _)| *at) else { return };
            self.now = self.now.max(at);
            end.handle_timeout(self.now);
        }
        panic!("no end to it");
    }
}
