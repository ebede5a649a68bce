//! A peer that is moved by hand: it proves its key and then says whatever a test has it say. Its frames are made by code
//! of its own, so that what both sides of the crate agree on by mistake is seen.

use crate::model::{NOW, Replica, WORKSPACE, key};
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_FRAME, CONTEXT_PROOF, CONTEXT_SESSION, statement};
use changeset::{Cursor, DeviceKey, LogIncarnation, Partition, RunningHash, Signer};
use std::sync::Arc;
use std::time::Instant;
use sync::{Config, Event, Message, Receipt, Request, RequestId, Session, SessionError, Statement, Tier};

/// The puppet's key and the incarnation of its logs.
pub(crate) const NUMBER: u8 = 99;

pub(crate) struct Puppet {
    pub(crate) session: Session,
    pub(crate) replica: Replica,
    pub(crate) key: Arc<DeviceKey>,
    pub(crate) id: [u8; 32],
    pub(crate) counter: u64,
    pub(crate) now: Instant,
    pub(crate) frames: Vec<Arc<[u8]>>,
    pub(crate) events: Vec<Event>,
    /// Requests are kept here instead of answered.
    pub(crate) keeps: bool,
    pub(crate) kept: Vec<(RequestId, Request)>,
}

pub(crate) fn hello(versions: (u64, u64), window: u64, tier: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(8);
    out.text("fieldbook");
    out.uint(versions.0);
    out.uint(versions.1);
    out.bytes(WORKSPACE.as_bytes());
    out.bytes(key(NUMBER).public_key().as_bytes());
    out.bytes(&[5; 32]);
    out.uint(tier);
    out.uint(window);
    [vec![16], out.into_bytes()].concat()
}

impl Puppet {
    /// A session of `replica` that the puppet called, with the handshake behind it.
    pub(crate) fn call(replica: Replica, window: u64) -> Self {
        Self::call_with(replica, window, None)
    }

    pub(crate) fn call_with(replica: Replica, window: u64, config: Option<Config>) -> Self {
        let now = Instant::now();
        let config = config.unwrap_or_else(|| Config::new(replica.tier));
        let session = Session::answer(config, replica.key.clone(), [6; 32], now);
        let (frames, events, kept) = (Vec::new(), Vec::new(), Vec::new());
        let key = key(NUMBER);
        let (id, counter, keeps) = ([0; 32], 0, false);
        let mut puppet = Self { session, replica, key, id, counter, now, frames, events, keeps, kept };
        let hello = hello((1, 1), window, 0);
        puppet.feed(&hello);
        let welcome = puppet.frames.remove(0);
        let content = Self::welcome_content(&welcome);
        let transcript = [hello.as_slice(), content].concat();
        let mut out = Writer::new();
        out.bytes(puppet.key.sign(&statement(CONTEXT_PROOF, &transcript)).unwrap().as_bytes());
        puppet.id = statement(CONTEXT_SESSION, &transcript);
        puppet.feed(&[vec![18], out.into_bytes()].concat());
        assert!(puppet.session.peer().is_some());
        puppet
    }

    pub(crate) fn welcome_content(welcome: &[u8]) -> &[u8] {
        let mut reader = Reader::new(&welcome[1..], "welcome");
        reader.array_of(2).unwrap();
        reader.array_of(5).unwrap();
        reader.uint(9).unwrap();
        let _: ([u8; 32], [u8; 32]) = (reader.fixed().unwrap(), reader.fixed().unwrap());
        reader.uint(9).unwrap();
        reader.uint(u64::MAX).unwrap();
        &welcome[2..1 + reader.position()]
    }

    /// Gives the session a frame and takes what it has to say.
    pub(crate) fn feed(&mut self, frame: &[u8]) {
        self.session.handle_message(frame, self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        loop {
            let mut is_idle = true;
            while let Some(frame) = self.session.poll_transmit() {
                self.frames.push(frame);
            }
            while let Some((id, request)) = self.session.poll_storage() {
                is_idle = false;
                if self.keeps && !matches!(request, Request::Admit { .. }) {
                    self.kept.push((id, request));
                    continue;
                }
                let peer = self.key.public_key();
                let log = LogIncarnation::from_bytes([NUMBER; 8]);
                let answer = self.replica.answer(&request, peer, Tier::Device, Some(log));
                self.session.handle_storage(id, answer, self.now);
            }
            while let Some(event) = self.session.poll_event() {
                self.events.push(event);
            }
            if is_idle {
                return;
            }
        }
    }

    pub(crate) fn sign(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        // The puppet called: its direction is 0.
        let bound = [&self.id[..], &[kind, 0], &self.counter.to_be_bytes(), payload].concat();
        self.counter += 1;
        let signature = self.key.sign(&statement(CONTEXT_FRAME, &bound)).unwrap();
        [&[kind][..], signature.as_bytes(), payload].concat()
    }

    pub(crate) fn control(&mut self, messages: &[Message]) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(messages.len());
        messages.iter().for_each(|message| message.write(&mut out));
        self.sign(1, &out.into_bytes())
    }

    pub(crate) fn say(&mut self, messages: &[Message]) {
        let frame = self.control(messages);
        self.feed(&frame);
    }

    /// Where the puppet's log of a partition ends, as far as it says.
    pub(crate) fn end(position: u64) -> Cursor {
        Cursor { log: LogIncarnation::from_bytes([NUMBER; 8]), position, hash: RunningHash::from_bytes([8; 32]) }
    }

    /// Opens a partition with an empty log.
    pub(crate) fn open(&mut self, partition: &Partition) {
        self.open_at(partition, 0);
    }

    pub(crate) fn open_at(&mut self, partition: &Partition, position: u64) {
        let end = Self::end(position);
        self.say(&[Message::Open { partition: partition.clone(), end, place: None, read: true }]);
    }

    pub(crate) fn receipt(&self, partition: &Partition, upto: Cursor) -> Vec<u8> {
        let content =
            Statement { partition: partition.clone(), upto, held: 0, refused: 0, tier: Tier::Device, time_ms: NOW };
        let receipt = Receipt::sign(&*self.key, &WORKSPACE, content).unwrap();
        [vec![3], receipt.to_bytes()].concat()
    }

    pub(crate) fn runs(&mut self, partition: &Partition, page: Option<(u64, u64, [u8; 32])>, packed: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3);
        out.text(partition.as_str());
        match page {
            None => out.null(),
            Some((first, count, hash)) => {
                out.array(3);
                out.uint(first);
                out.uint(count);
                out.bytes(&hash);
            }
        }
        out.bytes(packed);
        self.sign(2, &out.into_bytes())
    }

    pub(crate) fn error(&self) -> Option<&SessionError> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(error) => Some(error),
            _ => None,
        })
    }

    /// The session ended for a reason with these words.
    #[track_caller]
    pub(crate) fn assert_closed(&self, words: &str) {
        let error = self.error().map(ToString::to_string);
        assert!(error.as_ref().is_some_and(|error| error.contains(words)), "{words}: {error:?}");
    }
}
