//! The driver of a session, without transport and clock: it hands frames in and out, has the replica answer what the session
//! asks of storage, and tells it what happens elsewhere. [`crate::Replica::call`] runs one over a connection; a simulation
//! runs many on virtual time.

use crate::error::LinkError;
use crate::given::Given;
use crate::replica::{Inner, Replica};
use crate::serve::Asker;
use crate::take::{owed_name, refused_name};
use bytes::Bytes;
use changeset::{ChangeSetId, Partition, PublicKey, WorkspaceId};
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{LogKey, Redraw};
use sync::{Code, Config, Event, Request, RequestId, Response, Session, SessionError, Tier};
use tokio::sync::{Notify, mpsc};

/// What a running session is told from outside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Open this partition.
    Open(Partition),
    /// Ask to be let in, under this name.
    Knock(String),
    /// Ask who knocked.
    AskKnocks,
    /// End in good order: what came is stored and acknowledged, then the reason is said. What ends so is no error.
    Close(Code, String),
}

/// Hears of a session's events while it runs. It must not block.
pub type Observer = Box<dyn FnMut(&Event, &Session) + Send>;

/// Frames that wait for the transport; beyond so many bytes nothing more is read from the peer.
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// How many bytes of pages a relay reads for a session at once.
const RELAY_READ_BYTES: usize = 256 << 10;
/// What a device leaves to relays among themselves is looked at so often: what one of them did not show to have from one time to
/// the next is compared in a new session.
const OWED_WAIT: Duration = Duration::from_secs(300);

impl Replica {
    /// A session in which this replica calls, and what drives it.
    ///
    /// # Errors
    /// [`LinkError::Random`].
    pub fn caller(
        &self,
        workspace: WorkspaceId,
        partitions: Vec<Partition>,
        observer: Observer,
        now: Instant,
    ) -> Result<Driver, LinkError> {
        let (config, signer) = (self.config(), self.inner.store.signer());
        let mut session = Session::call(config, signer, workspace, None, self.nonce()?, now);
        for partition in partitions {
            session.open(partition, now);
        }
        Ok(Driver::new(&self.inner, session, true, observer))
    }

    /// A session in which this replica answers a peer that called, and what drives it.
    ///
    /// # Errors
    /// [`LinkError::Random`].
    pub fn answerer(&self, observer: Observer, now: Instant) -> Result<Driver, LinkError> {
        let session = Session::answer(self.config(), self.inner.store.signer(), self.nonce()?, now);
        Ok(Driver::new(&self.inner, session, false, observer))
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.inner.options.tier);
        config.window_bytes = self.inner.options.window_bytes;
        if self.inner.options.tier != Tier::Device {
            // Many read at once.
            config.read_bytes = RELAY_READ_BYTES;
        }
        config
    }

    fn nonce(&self) -> Result<[u8; 32], LinkError> {
        self.inner.store.options().random.bytes().map_err(|_| LinkError::Random)
    }
}

/// One session of a replica. It does nothing by itself: after anything was handed in, [`Driver::poll`] it and take what it
/// has to send; and poll it whenever the replica worked.
pub struct Driver {
    inner: Arc<Inner>,
    session: Session,
    is_caller: bool,
    number: u64,
    pub(crate) wake: Arc<Notify>,
    answers: mpsc::UnboundedSender<Answer>,
    pub(crate) answered: mpsc::UnboundedReceiver<Answer>,
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) queued: usize,
    /// Partitions that are open, and those that were denied to us and are asked for again when the authority changes.
    open: BTreeSet<Partition>,
    denied: BTreeSet<Partition>,
    /// Partitions that are opened by either side, while the peer's right is judged, and those that were denied to it: when it is let in, the
    /// door is opened from this side.
    judging: BTreeMap<RequestId, Partition>,
    shut: BTreeSet<Partition>,
    /// What the peer gave in this session.
    given: Arc<Given>,
    /// When it is looked whether the peer has what another relay gave.
    look_at: Option<Instant>,
    /// Partitions that the peer has open and may not read.
    blind: BTreeSet<Partition>,
    /// Receipts and refusals that wait for the one before them in their partition to be stored, which stands first: an older
    /// receipt stored after a newer one would take back what is proven.
    notes: BTreeMap<Partition, VecDeque<(RequestId, Request)>>,
    /// How many requests are not answered yet.
    under_way: usize,
    /// How the session is to end as soon as nothing is under way.
    closing: Option<(Code, String)>,
    /// What the peer refused in this session, and where all was offered again by a comparison.
    refused: BTreeMap<Partition, BTreeSet<ChangeSetId>>,
    reconciled: BTreeSet<Partition>,
    observer: Observer,
    outcome: Option<Result<(), LinkError>>,
}

/// What the replica answered. Boxed, because a channel takes room for 32 at once.
pub(crate) type Answer = Box<(RequestId, Response)>;

impl core::fmt::Debug for Driver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Driver({}, {:?})", self.number, self.outcome)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inner.sessions.end(self.number);
    }
}

impl Driver {
    fn new(inner: &Arc<Inner>, session: Session, is_caller: bool, observer: Observer) -> Self {
        let wake = Arc::new(Notify::new());
        let (answers, answered) = mpsc::unbounded_channel();
        Self {
            inner: Arc::clone(inner),
            session,
            is_caller,
            number: inner.sessions.begin(inner.now_ms(), Arc::clone(&wake)),
            wake,
            answers,
            answered,
            queue: VecDeque::new(),
            queued: 0,
            open: BTreeSet::new(),
            denied: BTreeSet::new(),
            judging: BTreeMap::new(),
            shut: BTreeSet::new(),
            given: Arc::default(),
            look_at: None,
            blind: BTreeSet::new(),
            notes: BTreeMap::new(),
            under_way: 0,
            closing: None,
            refused: BTreeMap::new(),
            reconciled: BTreeSet::new(),
            observer,
            outcome: None,
        }
    }

    /// A frame came from the peer.
    pub fn handle_frame(&mut self, frame: &[u8], now: Instant) {
        self.inner.counters.bytes_in.add(frame.len() as u64);
        self.session.handle_message(frame, now);
    }

    /// The moment came that [`Driver::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if self.look_at.is_some_and(|at| at <= now) && self.closing.is_none() {
            self.look_at = Some(now + OWED_WAIT);
            // Not while anything is on its way.
            if self.given.owes_for_long() && self.session.is_level() {
                let text = "another relay gave what you may not have; this device calls again to compare";
                self.closing = Some((Code::GOING, text.to_owned()));
                self.close_if_idle(now);
            }
        }
    }

    /// The connection is gone, or broken: nothing more comes and goes.
    pub fn handle_end(&mut self, error: LinkError) {
        self.end(Err(error));
        self.queue.clear();
        self.queued = 0;
    }

    /// What came is no frame, though the line is good: whoever sent it hears why, then the session ends.
    pub(crate) fn handle_garbage(&mut self, error: std::io::Error, now: Instant) {
        self.session.close(Code::TOO_LARGE, &error.to_string(), now);
        self.drain(now);
        self.end(Err(LinkError::Broken(error)));
    }

    /// Takes in what the replica answered and what it woke this session for, and makes what there is to send.
    pub fn poll(&mut self, now: Instant) {
        if self.outcome.is_none() {
            while let Ok(answer) = self.answered.try_recv() {
                self.answer(*answer, now);
            }
            if self.wake.notified().now_or_never().is_some() {
                self.woken(now);
            }
        }
        self.drain(now);
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let frame = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.len());
        self.inner.counters.bytes_out.add(frame.len() as u64);
        Some(frame)
    }

    /// When [`Driver::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.outcome.is_some() {
            return None;
        }
        self.session.poll_timeout().into_iter().chain(self.look_at.filter(|_| self.closing.is_none())).min()
    }

    /// Whether frames may be handed in now: not while too much waits to be sent, and none to a session that ends.
    pub fn may_read(&self) -> bool {
        self.queued < MAX_QUEUED_BYTES && self.outcome.is_none() && self.closing.is_none()
    }

    /// How it ended, if it did. What is still to be sent are its last words.
    pub fn outcome(&self) -> Option<&Result<(), LinkError>> {
        self.outcome.as_ref()
    }

    pub(crate) fn take_outcome(&mut self) -> Result<(), LinkError> {
        self.outcome.take().unwrap_or(Ok(()))
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn end(&mut self, outcome: Result<(), LinkError>) {
        if self.outcome.is_none() {
            if outcome.is_err() {
                self.inner.counters.failures.one();
            }
            self.outcome = Some(outcome);
        }
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        // Answering a request or an event may give more to send.
        let mut is_idle = false;
        while !is_idle {
            is_idle = true;
            while let Some(frame) = self.session.poll_transmit() {
                let frame = Bytes::from_owner(frame);
                self.queued += frame.len();
                self.queue.push_back(frame);
            }
            while let Some((id, request)) = self.session.poll_storage() {
                self.request(id, request, now);
                is_idle = false;
            }
            while let Some(event) = self.session.poll_event() {
                self.event(event, now);
                is_idle = false;
            }
        }
        self.look_at = self.given.owes_any().then(|| self.look_at.unwrap_or(now + OWED_WAIT));
        let session = &self.session;
        self.inner.sessions.update(self.number, |live| {
            live.in_flight = session.in_flight();
            for (partition, ours, theirs) in session.lag() {
                match live.lag.get_mut(partition) {
                    Some(lag) => *lag = (ours, theirs),
                    None => drop(live.lag.insert(partition.clone(), (ours, theirs))),
                }
            }
        });
    }

    fn request(&mut self, id: RequestId, request: Request, now: Instant) {
        if let Request::Admit { workspace, .. } = &request {
            // Cheap, and before anything is proven: not worth a thread.
            let verdict = self.inner.admit(workspace);
            return self.session.handle_storage(id, Response::Admitted(verdict), now);
        }
        self.under_way += 1;
        if let Request::Receipt { partition, .. } | Request::Refused { partition, .. } = &request {
            let notes = self.notes.entry(partition.clone()).or_default();
            notes.push_back((id, request.clone()));
            if notes.len() > 1 && !changeset::planted("receipts are stored in any order") {
                return;
            }
        }
        self.ask(id, request);
    }

    fn ask(&mut self, id: RequestId, request: Request) {
        let (Some(peer), Some(workspace)) = (self.session.peer(), self.session.workspace()) else { return };
        let tier = self.believed(&peer, self.session.peer_tier().unwrap_or(Tier::Device));
        let log = request.partition().and_then(|partition| self.session.peer_log(partition));
        let asker = Asker { workspace, peer, tier, log, given: Arc::clone(&self.given) };
        if let Request::Open { partition, .. } = &request {
            self.judging.insert(id, partition.clone());
        }
        let (inner, answers) = (Arc::clone(&self.inner), self.answers.clone());
        self.inner.workers.run(move || {
            let reply = move |response| drop(answers.send(Box::new((id, response))));
            inner.serve(asker, request, Box::new(reply));
        });
    }

    /// Anybody can say that it is a relay, and relays read everything: only who was called is believed, and who is listed.
    fn believed(&self, peer: &PublicKey, tier: Tier) -> Tier {
        if self.is_caller || self.inner.options.policy.relays.contains(peer) { tier } else { Tier::Device }
    }

    pub(crate) fn answer(&mut self, (id, response): (RequestId, Response), now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(partition) = self.judging.remove(&id) {
            match response {
                Response::Denied(_) => drop(self.shut.insert(partition)),
                Response::Opened { read: false, .. } => drop(self.blind.insert(partition)),
                _ => {}
            }
        }
        self.next_note(id);
        self.session.handle_storage(id, response, now);
        // What the answer leads to is asked before anything ends.
        self.drain(now);
        self.close_if_idle(now);
    }

    /// A note is stored: the next of its partition follows.
    fn next_note(&mut self, id: RequestId) {
        let is_first = |notes: &VecDeque<(RequestId, Request)>| notes.front().is_some_and(|(first, _)| *first == id);
        let Some(partition) = self.notes.iter().find(|(_, notes)| is_first(notes)).map(|(name, _)| name.clone()) else {
            return;
        };
        let Some(notes) = self.notes.get_mut(&partition) else { return };
        notes.pop_front();
        match notes.front().cloned() {
            Some((id, request)) => self.ask(id, request),
            None => drop(self.notes.remove(&partition)),
        }
    }

    fn close_if_idle(&mut self, now: Instant) {
        if self.under_way == 0
            && let Some((code, text)) = &self.closing
        {
            self.session.close(*code, text, now);
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        match &event {
            Event::Met { workspace, peer, tier } => {
                self.inner.counters.sessions.one();
                let tier = &self.believed(peer, *tier);
                self.inner.met(peer, *tier);
                self.inner.sessions.update(self.number, |live| {
                    (live.workspace, live.peer, live.tier) = (Some(*workspace), Some(*peer), *tier);
                });
                tracing::debug!(peer = %peer.short(), workspace = %workspace.short(), ?tier, "met");
            }
            Event::Opened { partition, .. } => {
                self.denied.remove(partition);
                self.shut.remove(partition);
                self.open.insert(partition.clone());
                if let Some(workspace) = self.session.workspace() {
                    let log = LogKey::new(workspace, partition.clone());
                    self.inner.watch.wait(&log, &self.wake);
                    // What grew between the look at the log and now.
                    self.grown(partition, &log, now);
                }
                self.inner.sessions.update(self.number, |live| live.stuck = None);
            }
            Event::Denied { partition, denial } => {
                self.denied.insert(partition.clone());
                let text = format!("{partition}: {}", denial.text);
                self.inner.sessions.update(self.number, |live| live.stuck = Some(text));
            }
            Event::Paused { partition, wait } => {
                let text = format!("{partition}: asked to wait for {} s", wait.as_secs());
                self.inner.sessions.update(self.number, |live| live.stuck = Some(text));
            }
            Event::Reconciled { partition } => {
                self.inner.counters.reconciliations.one();
                self.reconciled.insert(partition.clone());
            }
            Event::Refused { partition, entries } => {
                let ids = entries.iter().map(|(id, _)| *id);
                self.refused.entry(partition.clone()).or_default().extend(ids);
            }
            Event::Level { partition } if self.reconciled.remove(partition) => {
                // Everything was offered again: what is refused now is all that is.
                if let (Some(workspace), Some(peer)) = (self.session.workspace(), self.session.peer()) {
                    let refused = self.refused.get(partition).into_iter().flatten();
                    self.inner.set_refused(refused_name(workspace, partition, &peer), refused);
                    if !self.given.owes(partition) {
                        self.inner.set_even(owed_name(workspace, partition, &peer));
                    }
                }
            }
            Event::RolledBack { partition } => self.rolled_back(partition, now),
            Event::PeerRolledBack { partition } => {
                tracing::info!(%partition, "the peer compares all: it was put back, or what it was told got lost with a line");
            }
            Event::Closed(_) => {}
            _ => {}
        }
        (self.observer)(&event, &self.session);
        if let Event::Closed(error) = event {
            let is_good =
                self.closing.is_some() || matches!(&error, SessionError::Closed { code, .. } if *code == Code::DONE);
            self.end(if is_good { Ok(()) } else { Err(error.into()) });
        }
    }

    /// A device draws new incarnations on a peer's word, which costs little; a relay keeps its logs, whose hashes show what
    /// does not fit, and is not made to rewrite them by anybody who says so.
    fn rolled_back(&mut self, partition: &Partition, now: Instant) {
        if changeset::planted("incarnations are kept after a restore") {
            return;
        }
        if self.inner.options.tier != Tier::Device {
            return tracing::warn!(%partition, "a peer is further in this log than it goes");
        }
        let replica = Replica { inner: Arc::clone(&self.inner) };
        if let Err(error) = replica.redraw(Redraw::RolledBack) {
            return tracing::warn!(%error, "new incarnations could not be drawn");
        }
        self.begin_anew(now);
    }

    fn begin_anew(&mut self, now: Instant) {
        let text = "this store was put back or copied; it begins new logs and calls again";
        self.session.close(Code::ROLLED_BACK, text, now);
    }

    pub(crate) fn woken(&mut self, now: Instant) {
        let Some(workspace) = self.session.workspace() else { return };
        if self.inner.sessions.is_redrawn(self.number) && !changeset::planted("sessions go on after logs began anew") {
            return self.begin_anew(now);
        }
        for partition in self.open.clone() {
            let log = LogKey::new(workspace, partition.clone());
            self.grown(&partition, &log, now);
        }
        if self.inner.sessions.take_authority_changed(self.number) {
            // Either side may open: whoever hears first that the door is open now.
            for partition in std::mem::take(&mut self.denied) {
                self.session.open(partition, now);
            }
            self.open_shut(workspace, now);
            self.close_if_idle(now);
        }
    }

    /// Opens what the peer asked for in vain and may read now.
    fn open_shut(&mut self, workspace: WorkspaceId, now: Instant) {
        let (Some(peer), Ok(held)) = (self.session.peer(), self.inner.workspace(&workspace)) else { return };
        let (authority, now_ms) = (held.read(), self.inner.now_ms());
        let is_in = |partition: &Partition| authority.admission(&peer, partition, now_ms).read;
        let (ready, shut) = std::mem::take(&mut self.shut).into_iter().partition(is_in);
        self.shut = shut;
        let ready: BTreeSet<Partition> = ready;
        let is_stuck = changeset::planted("who is let in later stays blind");
        if self.closing.is_none() && !is_stuck && self.blind.iter().any(is_in) {
            // What was opened without reading stays so in this session.
            self.closing = Some((Code::GOING, "more is open to you now than when you called; call again".to_owned()));
        }
        for partition in ready {
            self.session.open(partition, now);
        }
    }

    fn grown(&mut self, partition: &Partition, log: &LogKey, now: Instant) {
        if let Some(end) = self.inner.watch.end(log) {
            self.session.handle_grown(partition, end, now);
        }
    }

    /// What the session is told from outside.
    pub fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Open(partition) => self.session.open(partition, now),
            Command::Knock(name) => self.session.knock(&name),
            Command::AskKnocks => self.session.ask_knocks(),
            // What is being stored is acknowledged first; nothing more is read.
            Command::Close(code, text) => {
                self.closing = Some((code, text));
                self.close_if_idle(now);
            }
        }
    }
}
