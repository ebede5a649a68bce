//! Replicas, links between them, and a clock that only tests move. Everything follows from a seed.

use crate::model::{Replica, WORKSPACE, yard};
use changeset::{Cursor, LogIncarnation, Partition, PublicKey, Signer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use sync::{Config, Event, Receipt, Request, RequestId, Response, Session, SessionError, Tier};

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}

/// One side of a link.
pub(crate) struct End {
    pub(crate) replica: usize,
    pub(crate) session: Session,
    /// Frames on their way here.
    arriving: VecDeque<(Instant, Arc<[u8]>)>,
    /// Requests that storage did not look at yet, and answers that did not come back yet.
    asked: Vec<(Instant, RequestId, Request, Whose)>,
    answered: Vec<(Instant, RequestId, Response)>,
    pub(crate) events: Vec<Event>,
    /// What this side sent.
    pub(crate) sent: Vec<Arc<[u8]>>,
}

/// The peer that a request is about, as it is known when the request is made.
type Whose = (PublicKey, Tier, Option<LogIncarnation>);

pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    pub(crate) is_cut: bool,
    delivered: usize,
    /// The link breaks when so many frames were delivered.
    pub(crate) cut_after: Option<usize>,
}

type Tamper = Box<dyn FnMut(usize, &[u8]) -> Vec<Vec<u8>>>;

pub(crate) struct World {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) links: Vec<Link>,
    pub(crate) now: Instant,
    pub(crate) dice: Dice,
    /// The most that a frame, and a request or its answer, takes.
    pub(crate) frame_delay_ms: u64,
    pub(crate) storage_delay_ms: u64,
    pub(crate) configs: BTreeMap<usize, Config>,
    /// What happens to frames from one side of link 0 on their way.
    pub(crate) tamper: Option<Tamper>,
    nonce: u8,
}

impl World {
    pub(crate) fn new(seed: u64, replicas: Vec<Replica>) -> Self {
        Self {
            replicas,
            links: Vec::new(),
            now: *BASE,
            dice: Dice::new(seed),
            frame_delay_ms: 0,
            storage_delay_ms: 0,
            configs: BTreeMap::new(),
            tamper: None,
            nonce: 0,
        }
    }

    pub(crate) fn with_delays(mut self, frame_ms: u64, storage_ms: u64) -> Self {
        (self.frame_delay_ms, self.storage_delay_ms) = (frame_ms, storage_ms);
        self
    }

    fn config(&self, replica: usize) -> Config {
        self.configs.get(&replica).cloned().unwrap_or_else(|| Config::new(self.replicas[replica].tier))
    }

    /// A new session between two replicas; nothing is opened yet.
    pub(crate) fn connect(&mut self, caller: usize, answerer: usize) -> usize {
        self.nonce += 2;
        let [one, other] = [caller, answerer].map(|replica| Arc::clone(&self.replicas[replica].key));
        let nonces = [[self.nonce; 32], [self.nonce + 1; 32]];
        let call = Session::call(self.config(caller), one, WORKSPACE, Some(other.public_key()), nonces[0], self.now);
        let answer = Session::answer(self.config(answerer), other, nonces[1], self.now);
        self.link([(caller, call), (answerer, answer)])
    }

    pub(crate) fn link(&mut self, ends: [(usize, Session); 2]) -> usize {
        let ends = ends.map(|(replica, session)| End {
            replica,
            session,
            arriving: VecDeque::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
        });
        self.links.push(Link { ends, is_cut: false, delivered: 0, cut_after: None });
        self.links.len() - 1
    }

    /// Connects two replicas, has the caller open [`yard`], and lets everything happen.
    pub(crate) fn sync(&mut self, caller: usize, answerer: usize) -> usize {
        let link = self.connect(caller, answerer);
        self.open(link, 0, yard());
        self.drive();
        link
    }

    pub(crate) fn open(&mut self, link: usize, side: usize, partition: Partition) {
        let now = self.now;
        self.links[link].ends[side].session.open(partition, now);
    }

    pub(crate) fn session(&mut self, link: usize, side: usize) -> &mut Session {
        &mut self.links[link].ends[side].session
    }

    pub(crate) fn cut(&mut self, link: usize) {
        let link = &mut self.links[link];
        link.is_cut = true;
        for end in &mut link.ends {
            end.arriving.clear();
            // What storage did is done; what it did not do yet, it may do or not.
            end.answered.clear();
            end.asked.clear();
        }
    }

    fn later(&mut self, most_ms: u64) -> Instant {
        self.now + Duration::from_millis(self.dice.roll(most_ms + 1))
    }

    /// Takes what sessions have to say. Gives whether there was anything.
    fn drain(&mut self) -> bool {
        let mut any = false;
        for number in 0..self.links.len() {
            if self.links[number].is_cut {
                continue;
            }
            for side in 0..2 {
                let other_replica = self.links[number].ends[1 - side].replica;
                while let Some(frame) = self.links[number].ends[side].session.poll_transmit() {
                    any = true;
                    self.check_receipt(number, side, &frame);
                    self.links[number].ends[side].sent.push(Arc::clone(&frame));
                    let at = self.later(self.frame_delay_ms);
                    let other = &mut self.links[number].ends[1 - side].arriving;
                    // In order: no frame overtakes another.
                    let at = other.back().map_or(at, |(last, _)| at.max(*last));
                    match &mut self.tamper {
                        Some(tamper) if number == 0 => {
                            other.extend(tamper(side, &frame).into_iter().map(|frame| (at, frame.into())));
                        }
                        _ => other.push_back((at, frame)),
                    }
                }
                while let Some((id, request)) = self.links[number].ends[side].session.poll_storage() {
                    any = true;
                    let at = self.later(self.storage_delay_ms);
                    let end = &mut self.links[number].ends[side];
                    let log = peer_log_of(&end.session, &request);
                    let peer = self.replicas[other_replica].public();
                    let tier = self.replicas[other_replica].tier;
                    end.asked.push((at, id, request, (peer, tier, log)));
                }
                while let Some(event) = self.links[number].ends[side].session.poll_event() {
                    any = true;
                    self.links[number].ends[side].events.push(event);
                }
            }
        }
        for replica in 0..self.replicas.len() {
            for (partition, end) in std::mem::take(&mut self.replicas[replica].grown) {
                any = true;
                self.tell(replica, &partition, end);
            }
        }
        any
    }

    fn tell(&mut self, replica: usize, partition: &Partition, end: Cursor) {
        let now = self.now;
        let ends = self.links.iter_mut().filter(|link| !link.is_cut).flat_map(|link| &mut link.ends);
        for end_of_link in ends.filter(|end| end.replica == replica) {
            end_of_link.session.handle_grown(partition, end, now);
        }
    }

    /// A receipt never names what is not durable.
    fn check_receipt(&self, link: usize, side: usize, frame: &[u8]) {
        if frame.first() == Some(&3) {
            let receipt = Receipt::from_bytes(&frame[1..]).unwrap();
            let end = &self.links[link].ends[side];
            let store = &self.replicas[end.replica].stores[&receipt.partition];
            let peer =
                end.session.peer().or_else(|| Some(self.replicas[self.links[link].ends[1 - side].replica].public()));
            let place =
                store.place(peer.unwrap(), Some(receipt.upto.log)).expect("a receipt before anything is durable");
            assert!(place.position >= receipt.upto.position, "a receipt for what is not durable");
        }
    }

    /// When the next thing happens, timers apart.
    fn next_arrival(&self) -> Option<Instant> {
        let ends = self.links.iter().filter(|link| !link.is_cut).flat_map(|link| &link.ends);
        ends.flat_map(|end| {
            let frames = end.arriving.front().map(|(at, _)| *at);
            let asked = end.asked.iter().map(|(at, ..)| *at);
            frames.into_iter().chain(asked).chain(end.answered.iter().map(|(at, ..)| *at))
        })
        .min()
    }

    fn next_timer(&self) -> Option<Instant> {
        let ends = self.links.iter().filter(|link| !link.is_cut).flat_map(|link| &link.ends);
        ends.filter_map(|end| end.session.poll_timeout()).min()
    }

    /// Lets everything happen that is due; gives whether something was.
    fn step(&mut self) -> bool {
        let mut any = self.drain();
        let now = self.now;
        for number in 0..self.links.len() {
            for side in 0..2 {
                if self.links[number].is_cut {
                    continue;
                }
                let end = &mut self.links[number].ends[side];
                if end.arriving.front().is_some_and(|(at, _)| *at <= now)
                    && let Some((_, frame)) = end.arriving.pop_front()
                {
                    end.session.handle_message(&frame, now);
                    any = true;
                    let link = &mut self.links[number];
                    link.delivered += 1;
                    if link.cut_after == Some(link.delivered) {
                        self.cut(number);
                        continue;
                    }
                }
                let end = &mut self.links[number].ends[side];
                if let Some(at) = end.asked.iter().position(|(at, ..)| *at <= now) {
                    let (_, id, request, (peer, tier, log)) = end.asked.remove(at);
                    let answer = self.replicas[end.replica].answer(&request, peer, tier, log);
                    let at = self.later(self.storage_delay_ms);
                    self.links[number].ends[side].answered.push((at, id, answer));
                    any = true;
                }
                let end = &mut self.links[number].ends[side];
                if let Some(at) = end.answered.iter().position(|(at, ..)| *at <= now) {
                    let (_, id, answer) = end.answered.remove(at);
                    end.session.handle_storage(id, answer, now);
                    any = true;
                }
                let end = &mut self.links[number].ends[side];
                if end.session.poll_timeout().is_some_and(|at| at <= now) {
                    end.session.handle_timeout(now);
                    any = true;
                }
            }
        }
        self.drain() || any
    }

    /// Until nothing happens any more but pings.
    pub(crate) fn drive(&mut self) {
        for _ in 0..2_000_000 {
            if self.step() {
                continue;
            }
            let timer = self.next_timer().filter(|at| *at <= self.now + Duration::from_secs(12));
            match self.next_arrival().into_iter().chain(timer).min() {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
        }
        panic!("no end to it");
    }

    /// At most so many steps.
    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if !self.step() {
                match self.next_arrival().into_iter().chain(self.next_timer()).min() {
                    Some(at) if at <= self.now + Duration::from_secs(12) => self.now = self.now.max(at),
                    _ => return,
                }
            }
        }
    }

    /// Lets time pass, and what happens in it.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.next_arrival().into_iter().chain(self.next_timer()).min().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            while self.step() {}
        }
        self.now = until;
        while self.step() {}
    }

    /// The bytes that both sides of a link sent, and how many frames, from the `from`th frame of each on.
    pub(crate) fn traffic(&self, link: usize, from: [usize; 2]) -> (usize, usize) {
        let ends = self.links[link].ends.iter().zip(from);
        let frames: Vec<&Arc<[u8]>> = ends.flat_map(|(end, from)| &end.sent[from..]).collect();
        (frames.len(), frames.iter().map(|frame| frame.len()).sum())
    }

    pub(crate) fn marks(&self, link: usize) -> [usize; 2] {
        [0, 1].map(|side| self.links[link].ends[side].sent.len())
    }

    pub(crate) fn events(&self, link: usize, side: usize) -> &[Event] {
        &self.links[link].ends[side].events
    }

    pub(crate) fn has(&self, link: usize, side: usize, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events(link, side).iter().any(is_it)
    }

    /// Why the session of a side ended.
    pub(crate) fn closed(&self, link: usize, side: usize) -> Option<&SessionError> {
        self.events(link, side).iter().find_map(|event| match event {
            Event::Closed(error) => Some(error),
            _ => None,
        })
    }

    pub(crate) fn assert_closed_is_none(&self, link: usize) {
        for side in 0..2 {
            assert!(self.closed(link, side).is_none(), "side {side}: {:?}", self.closed(link, side));
        }
    }

    /// What was said, for a test that fails.
    pub(crate) fn print(&self, link: usize) {
        for (side, end) in self.links[link].ends.iter().enumerate() {
            for frame in &end.sent {
                match frame[0] {
                    1 => {
                        let mut reader = changeset::cbor::Reader::new(&frame[65..], "frame");
                        for _ in 0..reader.array(9999).unwrap() {
                            println!("{side} says {:?}", sync::Message::read(&mut reader).unwrap());
                        }
                    }
                    0x87 => {
                        let page = changeset::LogPage::from_bytes(frame).unwrap();
                        println!("{side} sends page {} + {}", page.first, page.count);
                    }
                    3 => println!("{side} acknowledges {:?}", Receipt::from_bytes(&frame[1..]).unwrap().upto),
                    kind => println!("{side} sends {kind}, {} bytes", frame.len()),
                }
            }
        }
    }

    /// Both sides are level, hold the same, and nothing went wrong.
    pub(crate) fn assert_level(&self, link: usize) {
        for side in 0..2 {
            if self.closed(link, side).is_some() || !self.links[link].ends[side].session.is_level() {
                self.print(link);
            }
            assert!(self.closed(link, side).is_none(), "side {side}: {:?}", self.closed(link, side));
            let session = &self.links[link].ends[side].session;
            assert!(
                session.is_level(),
                "side {side} is not level: {:?} {session:#?}",
                session.lag().collect::<Vec<_>>()
            );
            assert_eq!(session.in_flight(), 0);
        }
        let [one, other] = [0, 1].map(|side| &self.replicas[self.links[link].ends[side].replica]);
        if one.yard().ids() != other.yard().ids() {
            self.print(link);
        }
        assert_eq!(one.yard().ids(), other.yard().ids());
        assert!(one.yard().inbox.is_empty() && other.yard().inbox.is_empty());
    }
}

fn peer_log_of(session: &Session, request: &Request) -> Option<LogIncarnation> {
    match request {
        Request::Read { partition, .. } | Request::Take { partition, .. } | Request::TakeRuns { partition, .. } => {
            session.peer_log(partition)
        }
        _ => None,
    }
}
