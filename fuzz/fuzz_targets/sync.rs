#![no_main]
//! Frames into an answering session, before and after a real handshake, with storage answers, time and growth between them.
//!
//! Control frames and runs are signed for the session here, so that what is mutated reaches the messages. Proves: nothing
//! panics; what a peer makes a session hold stays within the named limits; after its end it asks and says nothing more.
//!
//! The input is one byte that says whether the handshake is real, then records: a kind, a length in two bytes
//! (little-endian), and so many bytes.

use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_FRAME, CONTEXT_PROOF, CONTEXT_SESSION, statement};
use changeset::{
    ChangeSetId, Cursor, DeviceKey, LogIncarnation, LogPage, MemoryLog, RunningHash, Signer, encode_page,
    encode_runs, pack_page,
};
use fieldbook_fuzz::{BUNDLE, partition, workspace};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use sync::limits::{MAX_FRAME_BYTES, MAX_REQUESTS, MAX_UNSENT_BYTES, MAX_WINDOW_BYTES, MIN_WINDOW_BYTES};
use sync::{Code, Config, Denial, Page, Request, RequestId, Response, Session, Tier, Tip, Want};

static OWN: LazyLock<Arc<DeviceKey>> = LazyLock::new(|| Arc::new(DeviceKey::from_secret(&[2; 32])));
static PEER: LazyLock<DeviceKey> = LazyLock::new(|| DeviceKey::from_secret(&[1; 32]));

/// Our log: the history that all targets share, in two pages, and as runs.
struct Own {
    pages: Vec<Page>,
    runs: Vec<u8>,
    hash: RunningHash,
    tips: Vec<Tip>,
}

static LOG: LazyLock<Own> = LazyLock::new(|| {
    let entries = &BUNDLE.entries;
    let log = LogIncarnation::from_bytes([2; 8]);
    let mut hash = RunningHash::start(&workspace(), &partition(), &log);
    let mut held = MemoryLog::new();
    let mut pages = Vec::new();
    // A page ends where every run in it is signed.
    let mut first = 0;
    for at in 1..=entries.len() {
        let Ok(page) = encode_page(&entries[first..at], &held) else { continue };
        if at < entries.len() && pages.len() == 1 {
            continue;
        }
        let mut end = hash;
        entries[first..at].iter().for_each(|entry| end = end.then(&entry.id()));
        let cursor = Cursor { log, position: at as u64, hash: end };
        let page = LogPage::seal(&**OWN, &workspace(), partition(), first as u64, cursor, pack_page(&page));
        let bytes = page.expect("the key signs").to_bytes().into();
        pages.push(Page { bytes, end: cursor, skip: false });
        entries[first..at].iter().for_each(|entry| assert!(held.push(entry.clone())));
        (hash, first) = (end, at);
    }
    let tips = entries.iter().map(|entry| Tip {
        actor: entry.actor().id(),
        sequence: entry.header().sequence,
        id: entry.id(),
    });
    let runs = pack_page(&encode_runs(entries).expect("all runs of the bundle are signed"));
    Own { pages, runs, hash, tips: tips.collect() }
});

/// A place of the peer's log or ours that the fuzzer can hit.
fn cursor(choice: u8) -> Cursor {
    let log = LogIncarnation::from_bytes([if choice & 1 == 0 { 1 } else { 2 }; 8]);
    match choice >> 1 {
        0 => LOG.pages.last().expect("there are pages").end,
        1 => LOG.pages[0].end,
        2 => Cursor { log, position: 0, hash: LOG.hash },
        other => Cursor { log, position: u64::from(other), hash: RunningHash::from_bytes([8; 32]) },
    }
}

fn answer(request: &Request, how: &[u8]) -> Response {
    let at = |index: usize| how.get(index).copied().unwrap_or(0);
    match at(0) {
        250 => return Response::Failed("the disk is full".into()),
        251 => return Response::Wait { retry_after_ms: u64::from(at(1)) * 100 },
        252 => return Response::Bad { code: Code::FORGED, text: "bad".into() },
        253 => return Response::Unresolved { page: usize::from(at(1)) },
        254 => return Response::Stored,
        _ => {}
    }
    let id = |fill: u8| ChangeSetId::from_bytes([fill; 32]);
    match request {
        Request::Admit { .. } => Response::Admitted(Ok(())),
        Request::Open { place, .. } => {
            if at(0) == 1 {
                let text = "x".repeat(usize::from(at(1)) * 4);
                return Response::Denied(Denial { code: Code::NO_GRANT, text, retry_after_ms: None });
            }
            let fits = at(1) & 1 == 1 && place.is_some();
            let ours = if at(2) & 1 == 1 { Some(cursor(at(2))) } else { None };
            Response::Opened { end: cursor(at(3)), fits, place: ours, read: at(1) & 2 == 0, receipted: u64::from(at(4)) }
        }
        Request::Fits { .. } => Response::Fits(at(0) & 1 == 1),
        Request::Read { from, .. } => {
            let pages = LOG.pages.iter().filter(|page| page.end.position > *from);
            Response::Pages(pages.cloned().map(|page| Page { skip: at(0) & 1 == 1, ..page }).collect())
        }
        Request::Take { .. } | Request::TakeRuns { .. } => {
            let refused = (0..at(0) & 3).map(|fill| (id(fill), Code::NO_GRANT)).collect();
            Response::Taken { held: u64::from(at(1)), refused, time_ms: 1 }
        }
        Request::Tips { .. } => Response::Tips(LOG.tips[..usize::from(at(0)).min(LOG.tips.len())].to_vec()),
        Request::Lacking { tips, .. } => {
            let want = |tip: &Tip| Want { tip: tip.id, known: vec![id(at(1)); usize::from(at(2))] };
            Response::Lacking(if at(0) & 1 == 1 { tips.iter().map(want).collect() } else { Vec::new() })
        }
        Request::Lines { .. } => {
            let next = if at(0) & 2 == 2 { Some(u64::from(at(1))) } else { None };
            Response::Runs { packed: (at(0) & 1 == 1).then(|| LOG.runs.clone()), next, hash: None }
        }
        Request::Span { .. } => {
            Response::Runs { packed: Some(LOG.runs.clone()), next: None, hash: (at(0) & 1 == 0).then_some(LOG.hash) }
        }
        Request::Knocks => Response::Knocks(Vec::new()),
        _ => Response::Stored,
    }
}

struct Peer {
    session: Session,
    id: Option<[u8; 32]>,
    counter: u64,
    now: Instant,
    asked: Vec<(RequestId, Request)>,
    /// The session had ended before the last input.
    is_over: bool,
}

impl Peer {
    fn sign(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let Some(id) = self.id else { return [&[kind], payload].concat() };
        let bound = [&id[..], &[kind, 0], &self.counter.to_be_bytes(), payload].concat();
        self.counter += 1;
        let signature = PEER.sign(&statement(CONTEXT_FRAME, &bound)).expect("the key signs");
        [&[kind][..], signature.as_bytes(), payload].concat()
    }

    fn shake_hands(&mut self) {
        let mut hello = Writer::new();
        hello.array(8);
        hello.text("fieldbook");
        hello.uint(1);
        hello.uint(1);
        hello.bytes(workspace().as_bytes());
        hello.bytes(PEER.public_key().as_bytes());
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
        proof.bytes(PEER.sign(&statement(CONTEXT_PROOF, &transcript)).expect("the key signs").as_bytes());
        self.session.handle_message(&[vec![18], proof.into_bytes()].concat(), self.now);
        assert_eq!(self.session.peer(), Some(PEER.public_key()));
        self.id = Some(statement(CONTEXT_SESSION, &transcript));
    }

    fn drain(&mut self) {
        let mut bytes = 0;
        while let Some(frame) = self.session.poll_transmit() {
            assert!(frame.len() <= MAX_FRAME_BYTES);
            bytes += frame.len();
        }
        assert!(bytes as u64 <= MAX_UNSENT_BYTES as u64 + MAX_WINDOW_BYTES + 2 * MAX_FRAME_BYTES as u64);
        while let Some(asked) = self.session.poll_storage() {
            self.asked.push(asked);
        }
        assert!(self.asked.len() <= MAX_REQUESTS + 2048, "requests are bounded");
        while self.session.poll_event().is_some() {}
        let _ = (self.session.is_level(), self.session.lag().count(), self.session.poll_timeout());
        assert!(self.session.in_flight() <= MIN_WINDOW_BYTES + MAX_FRAME_BYTES as u64);
        assert!(!self.is_over || (bytes == 0 && self.session.poll_timeout().is_none()));
        self.is_over = self.session.is_closed();
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let session = Session::answer(Config::new(Tier::Relay), OWN.clone(), [4; 32], now);
    let mut peer = Peer { session, id: None, counter: 0, now, asked: Vec::new(), is_over: false };
    let Some((mode, mut rest)) = data.split_first() else { return };
    if mode & 1 == 1 {
        peer.shake_hands();
        peer.drain();
    }
    while let [kind, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        let at = |index: usize| payload.get(index).copied().unwrap_or(0);
        match kind % 9 {
            0 => peer.session.handle_message(payload, peer.now),
            1 | 2 => {
                let frame = peer.sign(kind % 9, payload);
                peer.session.handle_message(&frame, peer.now);
            }
            3 | 4 if !peer.asked.is_empty() => {
                let (id, request) = peer.asked.remove(usize::from(at(0)) % peer.asked.len());
                let answer = answer(&request, payload.get(1..).unwrap_or_default());
                peer.session.handle_storage(id, answer, peer.now);
            }
            5 => {
                peer.now += Duration::from_millis(u64::from(at(0)) * 50);
                peer.session.handle_timeout(peer.now);
            }
            6 => peer.session.handle_grown(&partition(), cursor(at(0)), peer.now),
            7 => peer.session.open(partition(), peer.now),
            8 if at(0) == 7 => peer.session.close(Code::GOING, "going", peer.now),
            // A page that is sealed, at a place that is chosen.
            8 => {
                let (first, count) = (u64::from(at(0)), u64::from(at(1)));
                let end = Cursor { position: first + count, ..cursor(8) };
                let page = LogPage::seal(&*PEER, &workspace(), partition(), first, end, payload);
                peer.session.handle_message(&page.expect("the key signs").to_bytes(), peer.now);
            }
            _ => {}
        }
        peer.drain();
    }
});
