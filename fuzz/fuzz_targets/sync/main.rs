#![no_main]
//! A hostile conversation: a peer that proved its key, or did not, and then says anything.
//!
//! What it says is typed: any message of any kind, with cursors, tips, pages, runs, receipts and comparisons that are
//! its own, ours, a little off, or made up; and raw frames. Between them come answers of storage, right or errors, time,
//! growth and what a person does. Proves: nothing panics; frames, requests, channels, and bytes in flight stay within the
//! named limits; after its end a session says nothing more and wants nothing; it never wants to be woken in the past; and
//! whatever was said, an honest replica that meets this one afterwards comes to hold the same.
//!
//! The input is one byte that says who calls and how, then records: a kind, a length in two bytes (little-endian), and
//! so many bytes.

mod content;
#[expect(dead_code, reason = "the tests of the crate use the rest")]
#[path = "../../../crates/sync/tests/sync/model.rs"]
mod model;
#[expect(dead_code, reason = "the tests of the crate use the rest")]
#[path = "../../../crates/sync/tests/sync/world.rs"]
mod world;

use arbitrary::{Arbitrary, Unstructured};
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_FRAME, CONTEXT_HELLO, CONTEXT_PROOF, CONTEXT_SESSION, CONTEXT_TIP, statement};
use changeset::{Cursor, LogIncarnation, Partition, Signer};
use content::{AnyPage, AnyReceipt, AnyRuns, CONTENT, OWN, PEER, STORES, THIRD, bytes, replica, sealed};
use fieldbook_fuzz::messages::{AnyCursor, AnyMessage, Content};
use libfuzzer_sys::fuzz_target;
use model::{NOW, Replica, Store, WORKSPACE, key, partition, yard};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use std::time::{Duration, Instant};
use sync::limits::{
    MAX_CHANNELS, MAX_FRAME_BYTES, MAX_MESSAGES, MAX_REQUESTS, MAX_UNSENT_BYTES, MAX_WINDOW_BYTES, MIN_WINDOW_BYTES,
};
use sync::{Code, Config, Denial, Event, Message, Receipt, Request, RequestId, Response, Session, Statement, Tier};
use world::World;

/// The most records of one case.
const MAX_RECORDS: usize = 64;
/// The most messages that all floods of one case send.
const MAX_FLOOD: usize = 3 * MAX_CHANNELS;
/// The most bytes of them.
const MAX_FLOOD_BYTES: usize = 256 << 10;

struct Hostile {
    session: Session,
    own: Replica,
    is_caller: bool,
    id: Option<[u8; 32]>,
    counter: u64,
    now: Instant,
    asked: Vec<(RequestId, Request, Option<LogIncarnation>)>,
    content: Content,
    /// The comparison that the session said last.
    last_tips: Vec<u8>,
    flooded: usize,
    flooded_bytes: usize,
    has_changed: bool,
    /// The session had ended before the last input.
    is_over: bool,
}

impl Hostile {
    fn new(mode: u8) -> Self {
        let now = Instant::now();
        let tier = if mode & 4 == 0 { Tier::Relay } else { Tier::Device };
        let own = replica(OWN, tier, &STORES[0]);
        let mut config = Config::new(tier);
        if mode & 8 != 0 {
            config.window_bytes = MIN_WINDOW_BYTES;
            config.read_bytes = 300;
        }
        let is_caller = mode & 2 != 0;
        let session = if is_caller {
            Session::call(config, own.key.clone(), WORKSPACE, None, [4; 32], now)
        } else {
            Session::answer(config, own.key.clone(), [4; 32], now)
        };
        let (id, counter, asked, last_tips) = (None, 0, Vec::new(), Vec::new());
        let content = CONTENT.clone();
        let (flooded, flooded_bytes, has_changed, is_over) = (0, 0, false, false);
        let mut hostile = Self {
            session,
            own,
            is_caller,
            id,
            counter,
            now,
            asked,
            content,
            last_tips,
            flooded,
            flooded_bytes,
            has_changed,
            is_over,
        };
        if mode & 1 == 1 {
            if is_caller {
                hostile.welcome()
            } else {
                hostile.call()
            }
            assert_eq!(hostile.session.peer(), Some(key(PEER).public_key()));
            hostile.learn();
        }
        hostile.drain();
        hostile
    }

    /// The peer calls.
    fn call(&mut self) {
        let mut hello = Writer::new();
        hello.array(8);
        hello.text("fieldbook");
        hello.uint(1);
        hello.uint(1);
        hello.bytes(WORKSPACE.as_bytes());
        hello.bytes(key(PEER).public_key().as_bytes());
        hello.bytes(&[3; 32]);
        hello.uint(0);
        hello.uint(MIN_WINDOW_BYTES);
        let hello = [vec![16], hello.into_bytes()].concat();
        self.session.handle_message(&hello, self.now);
        let (id, _) = self.session.poll_storage().expect("it asks whether to admit");
        self.session.handle_storage(id, Response::Admitted(Ok(())), self.now);
        let welcome = self.session.poll_transmit().expect("a welcome");
        let mut reader = Reader::new(&welcome[2..], "welcome");
        reader.array_of(5).expect("five items");
        let _ = reader.uint(9).and_then(|_| reader.fixed::<32>()).and_then(|_| reader.fixed::<32>());
        let _ = reader.uint(9).and_then(|_| reader.uint(u64::MAX)).expect("a tier and a window");
        let transcript = [&hello[..], &welcome[2..2 + reader.position()]].concat();
        let mut proof = Writer::new();
        proof.bytes(key(PEER).sign(&statement(CONTEXT_PROOF, &transcript)).expect("the key signs").as_bytes());
        self.session.handle_message(&[vec![18], proof.into_bytes()].concat(), self.now);
        self.id = Some(statement(CONTEXT_SESSION, &transcript));
    }

    /// The peer answers a call.
    fn welcome(&mut self) {
        let hello = self.session.poll_transmit().expect("a hello");
        let mut content = Writer::new();
        content.array(5);
        content.uint(1);
        content.bytes(key(PEER).public_key().as_bytes());
        content.bytes(&[3; 32]);
        content.uint(0);
        content.uint(MIN_WINDOW_BYTES);
        let content = content.into_bytes();
        let transcript = [&hello[..], &content].concat();
        let signature = key(PEER).sign(&statement(CONTEXT_HELLO, &transcript)).expect("the key signs");
        let mut welcome = Writer::new();
        welcome.array(2);
        welcome.raw(&content);
        welcome.bytes(signature.as_bytes());
        self.session.handle_message(&[vec![17], welcome.into_bytes()].concat(), self.now);
        self.id = Some(statement(CONTEXT_SESSION, &transcript));
    }

    fn sign(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let Some(id) = self.id else { return [&[kind], payload].concat() };
        let direction = u8::from(self.is_caller);
        let bound = [&id[..], &[kind, direction], &self.counter.to_be_bytes(), payload].concat();
        self.counter += 1;
        let signature = key(PEER).sign(&statement(CONTEXT_FRAME, &bound)).expect("the key signs");
        [&[kind][..], signature.as_bytes(), payload].concat()
    }

    fn feed(&mut self, frame: &[u8]) {
        self.session.handle_message(frame, self.now);
    }

    /// Gives the length of the frame.
    fn say(&mut self, messages: &[Message]) -> usize {
        let mut payload = Writer::new();
        payload.array(messages.len());
        messages.iter().for_each(|message| message.write(&mut payload));
        let frame = self.sign(1, &payload.into_bytes());
        self.feed(&frame);
        frame.len()
    }

    /// What fits a comparison in this session, given what was said last.
    fn learn(&mut self) {
        let Some(session) = self.id else { return };
        let tips: Vec<_> = STORES[1][&yard()].tips();
        let salted = |id: &[u8; 32]| statement(CONTEXT_TIP, &[&session[..], id].concat());
        self.content.salted = self.content.tips.iter().map(|tip| salted(tip.id.as_bytes())).collect();
        let side = || {
            let mut set = NegentropyStorageVector::new();
            for tip in &tips {
                set.insert(0, Id::from_byte_array(salted(tip.id.as_bytes()))).ok()?;
            }
            set.seal().ok()?;
            Negentropy::owned(set, 0).ok()
        };
        let question = || side()?.initiate().ok();
        let reply = || side()?.reconcile(&self.last_tips).ok();
        let further = || {
            let mut side = side()?;
            side.initiate().ok()?;
            side.reconcile_with_ids(&self.last_tips, &mut Vec::new(), &mut Vec::new()).ok()?
        };
        let comparison = [question(), reply(), further()].into_iter().flatten().collect();
        self.content.comparison = comparison;
    }

    fn runs(&mut self, choice: &AnyRuns) {
        let mut out = Writer::new();
        out.array(3);
        out.text(self.content.partition(choice.partition).as_str());
        match &choice.page {
            None => out.null(),
            Some((first, count)) => {
                let first = self.content.cursor(first);
                let end = self.content.cursor(&AnyCursor::Known(*count));
                out.array(3);
                out.uint(first.position);
                out.uint(end.position.saturating_sub(first.position));
                out.bytes(end.hash.as_bytes());
            }
        }
        out.bytes(&bytes(&choice.packed));
        let frame = self.sign(2, &out.into_bytes());
        self.feed(&frame);
    }

    fn receipt(&mut self, choice: &AnyReceipt) {
        let (partition, upto) = (self.content.partition(choice.partition), self.content.cursor(&choice.upto));
        let AnyReceipt { held, refused, .. } = *choice;
        let content = Statement { partition, upto, held, refused, tier: Tier::Core, time_ms: NOW };
        let signer = key(if choice.is_forged { THIRD } else { PEER });
        let receipt = Receipt::sign(&*signer, &WORKSPACE, content).expect("the key signs");
        self.feed(&[vec![3], receipt.to_bytes()].concat());
    }

    /// Storage answers one request: rightly, or with an error.
    fn answer(&mut self, number: usize, how: &[u8]) {
        let (id, request, log) = self.asked.remove(number);
        let at = |index: usize| how.get(index).copied().unwrap_or(0);
        let wrong = match at(0) {
            250 => Some(Response::Failed("the disk is full".into())),
            251 => Some(Response::Wait { retry_after_ms: u64::from(at(1)) * 100 }),
            252 => Some(Response::Bad { code: Code::FORGED, text: "bad".into() }),
            253 => Some(Response::Unresolved { page: usize::from(at(1)) }),
            254 => Some(Response::Stored),
            255 => {
                let text = "é".repeat(usize::from(at(1)) * 4);
                Some(Response::Denied(Denial { code: Code::NO_GRANT, text, retry_after_ms: None }))
            }
            _ => None,
        };
        let answer = wrong.unwrap_or_else(|| self.right(&request, log));
        self.session.handle_storage(id, answer, self.now);
    }

    fn right(&mut self, request: &Request, log: Option<LogIncarnation>) -> Response {
        match request {
            // A receipt for entries that are not ours proves nothing.
            Request::Receipt { partition, upto, .. } if !self.has(partition, upto) => Response::Stored,
            // The place was another one's: the log was opened anew meanwhile.
            Request::Take { .. } | Request::TakeRuns { .. } if log.is_none() => Response::Stored,
            _ => {
                self.has_changed |= matches!(request, Request::Take { .. } | Request::TakeRuns { .. });
                let answer = self.own.answer(request, key(PEER).public_key(), Tier::Device, log);
                let grown = std::mem::take(&mut self.own.grown);
                grown.into_iter().for_each(|(partition, end)| self.session.handle_grown(&partition, end, self.now));
                answer
            }
        }
    }

    fn has(&self, partition: &Partition, place: &Cursor) -> bool {
        let store = self.own.stores.get(partition).filter(|store| store.log == place.log);
        let hash = |store: &Store| store.hashes.get(usize::try_from(place.position).ok()?).copied();
        store.and_then(hash) == Some(place.hash)
    }

    fn step(&mut self, kind: u8, payload: &[u8]) {
        let at = |index: usize| payload.get(index).copied().unwrap_or(0);
        let mut typed = Unstructured::new(payload);
        match kind % 20 {
            0 => self.feed(payload),
            1 | 2 => {
                let frame = self.sign(kind % 20, payload);
                self.feed(&frame);
            }
            3 | 4 if !self.asked.is_empty() => {
                self.answer(usize::from(at(0)) % self.asked.len(), payload.get(1..).unwrap_or_default());
            }
            5 => self.pass(Duration::from_millis(u64::from(at(0)) * 50)),
            6 => {
                let partition = self.content.partition(at(0));
                if let Some(end) = self.own.stores.get(&partition).map(Store::end) {
                    self.session.handle_grown(&partition, end, self.now);
                }
            }
            7 => self.session.open(self.content.partition(at(0)), self.now),
            8 if at(0) == 7 => self.session.close(Code::GOING, "going", self.now),
            9 | 10 => {
                if let Ok(choices) = Vec::<AnyMessage>::arbitrary_take_rest(typed) {
                    let messages: Vec<Message> =
                        choices.iter().take(MAX_MESSAGES).map(|choice| self.content.message(choice)).collect();
                    self.say(&messages);
                }
            }
            11 => {
                if let Ok(choice) = AnyRuns::arbitrary(&mut typed) {
                    self.runs(&choice);
                }
            }
            12 => {
                if let Ok(choice) = AnyReceipt::arbitrary(&mut typed) {
                    self.receipt(&choice);
                }
            }
            13 => {
                if let Ok(choice) = AnyPage::arbitrary(&mut typed) {
                    let frame = sealed(&self.content, &choice);
                    self.feed(&frame);
                }
            }
            // Storage answers so many requests in order, and rightly.
            14 => {
                for _ in 0..=at(0) % 16 {
                    if !self.asked.is_empty() {
                        self.answer(0, &[]);
                        self.drain();
                    }
                }
            }
            // As long as the session wants to wait.
            15 => {
                if let Some(at) = self.session.poll_timeout() {
                    self.pass(at.saturating_duration_since(self.now));
                }
            }
            16 => {
                self.own.grow_in(&self.content.partition(at(0)), 1, 1);
                self.has_changed = true;
                for (partition, end) in std::mem::take(&mut self.own.grown) {
                    self.session.handle_grown(&partition, end, self.now);
                }
            }
            17 if at(0) & 1 == 0 => self.session.knock(&"é".repeat(usize::from(at(1)))),
            17 => self.session.ask_knocks(),
            18 => self.flood(at(0), typed),
            _ => {}
        }
        self.drain();
    }

    /// One message many times, or in many partitions.
    fn flood(&mut self, how: u8, mut typed: Unstructured<'_>) {
        let _ = typed.arbitrary::<u8>();
        let Ok(choice) = AnyMessage::arbitrary(&mut typed) else { return };
        for _ in 0..usize::from(how >> 1) * 16 {
            if self.flooded >= MAX_FLOOD || self.flooded_bytes >= MAX_FLOOD_BYTES || self.session.is_closed() {
                return;
            }
            let mut messages = Vec::new();
            for _ in 0..16 {
                self.flooded += 1;
                let mut message = self.content.message(&choice);
                if how & 1 == 1
                    && let Message::Open { partition: name, .. } = &mut message
                {
                    *name = partition(&format!("p{}", self.flooded));
                }
                messages.push(message);
            }
            self.flooded_bytes += self.say(&messages);
            self.drain();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "it wants to be woken at once, for ever");
    }

    fn drain(&mut self) {
        let mut bytes = 0;
        while let Some(frame) = self.session.poll_transmit() {
            assert!(frame.len() <= MAX_FRAME_BYTES);
            bytes += frame.len();
            if self.id.is_some() && frame.first() == Some(&1) {
                self.hear(&frame[65..]);
            }
        }
        assert!(bytes as u64 <= MAX_UNSENT_BYTES as u64 + MAX_WINDOW_BYTES + 2 * MAX_FRAME_BYTES as u64);
        while let Some((id, request)) = self.session.poll_storage() {
            let log = request.partition().and_then(|partition| self.session.peer_log(partition));
            self.asked.push((id, request, log));
        }
        assert!(self.asked.len() <= MAX_REQUESTS + 2 * MAX_MESSAGES, "requests are bounded");
        while let Some(event) = self.session.poll_event() {
            if let Event::Closed(error) = event {
                assert!(!error.to_string().is_empty());
            }
        }
        assert!(self.session.lag().count() <= MAX_CHANNELS);
        // Runs that stand for a page are larger than the page.
        assert!(self.session.in_flight() <= MIN_WINDOW_BYTES + MAX_FRAME_BYTES as u64);
        assert!(!self.session.is_level() || self.session.lag().next().is_some());
        assert!(!self.is_over || (bytes == 0 && self.session.poll_timeout().is_none()));
        self.is_over = self.session.is_closed();
    }

    /// What the session says can be read, and a comparison can be answered.
    fn hear(&mut self, payload: &[u8]) {
        let mut reader = Reader::new(payload, "control frame");
        for _ in 0..reader.array(MAX_MESSAGES).expect("a frame holds so many messages") {
            match Message::read(&mut reader).expect("what is said can be read") {
                Message::Tips { bytes, .. } => {
                    self.last_tips = bytes;
                    self.learn();
                }
                Message::Opened { end: Some(end), .. } | Message::Open { end, .. } => {
                    if !self.content.cursors.contains(&end) && self.content.cursors.len() < 64 {
                        self.content.cursors.push(end);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whatever was said: an honest replica and this one come to hold the same.
    fn meet_another(self) {
        let Self { mut own, now: _, .. } = self;
        own.policy = model::Policy::default();
        own.requests.clear();
        let partitions: Vec<Partition> = own.stores.keys().cloned().collect();
        let mut world = World::new(1, vec![own, replica(THIRD, Tier::Device, &STORES[2])]);
        let link = world.connect(1, 0);
        partitions.iter().for_each(|partition| world.open(link, 0, partition.clone()));
        world.drive();
        world.assert_closed_is_none(link);
        for side in 0..2 {
            assert!(world.links[link].ends[side].session.is_level(), "side {side} is not level");
        }
        for partition in &partitions {
            let [one, other] = [0, 1].map(|number: usize| world.replicas[number].stores[partition].ids());
            assert_eq!(one, other, "{partition}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, mut rest)) = data.split_first() else { return };
    let mut hostile = Hostile::new(*mode);
    for _ in 0..MAX_RECORDS {
        let [kind, low, high, after @ ..] = rest else { break };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        hostile.step(*kind, payload);
    }
    if hostile.has_changed {
        hostile.meet_another();
    }
});
