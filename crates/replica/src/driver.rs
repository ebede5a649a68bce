//! The driver of a session: takes input, drains outputs, arms one timer. It decides nothing.

use crate::connection::Connection;
use crate::error::LinkError;
use crate::replica::{Inner, Replica};
use crate::serve::Asker;
use crate::take::refused_name;
use bytes::Bytes;
use changeset::{ChangeSetId, Partition, PublicKey, WorkspaceId};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
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

impl Replica {
    /// Calls a peer over a connection and keeps the session until it ends.
    ///
    /// # Errors
    /// [`LinkError`], also when the peer closes in good order: what ended it.
    ///
    /// Cancel safe: dropping it drops the connection, and loses nothing that was acknowledged.
    pub async fn call(
        &self,
        connection: Connection,
        workspace: WorkspaceId,
        partitions: Vec<Partition>,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Result<(), LinkError> {
        let (config, signer) = (self.config(), self.inner.store.signer());
        let mut session = Session::call(config, signer, workspace, None, nonce()?, Instant::now());
        let now = Instant::now();
        for partition in partitions {
            session.open(partition, now);
        }
        run(&self.inner, connection, session, true, commands, observer).await
    }

    /// Answers a peer that called over a connection, and keeps the session until it ends.
    ///
    /// # Errors
    /// As for [`Replica::call`].
    pub async fn answer(
        &self,
        connection: Connection,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Result<(), LinkError> {
        let (config, signer) = (self.config(), self.inner.store.signer());
        let session = Session::answer(config, signer, nonce()?, Instant::now());
        run(&self.inner, connection, session, false, commands, observer).await
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
}

fn nonce() -> Result<[u8; 32], LinkError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|_| LinkError::Random)?;
    Ok(nonce)
}

struct Driver {
    inner: Arc<Inner>,
    session: Session,
    is_caller: bool,
    number: u64,
    wake: Arc<Notify>,
    /// Boxed, because a channel takes room for 32 at once.
    answers: mpsc::UnboundedSender<Box<(RequestId, Response)>>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Partitions that are open, and those that were denied to us and are asked for again when the authority changes.
    open: BTreeSet<Partition>,
    denied: BTreeSet<Partition>,
    /// Partitions that the peer asks for, while that is judged, and those that were denied to it: when it is let in, the
    /// door is opened from this side.
    judging: BTreeMap<RequestId, Partition>,
    shut: BTreeSet<Partition>,
    /// Partitions that the peer has open and may not read.
    blind: BTreeSet<Partition>,
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

impl Drop for Driver {
    fn drop(&mut self) {
        self.inner.sessions.end(self.number);
    }
}

async fn run(
    inner: &Arc<Inner>,
    connection: Connection,
    session: Session,
    is_caller: bool,
    mut commands: mpsc::UnboundedReceiver<Command>,
    observer: Observer,
) -> Result<(), LinkError> {
    let Connection { mut incoming, mut outgoing } = connection;
    let wake = Arc::new(Notify::new());
    let (answers, mut answered) = mpsc::unbounded_channel();
    let number = inner.sessions.begin(inner.now_ms(), Arc::clone(&wake));
    let mut driver = Driver {
        inner: Arc::clone(inner),
        session,
        is_caller,
        number,
        wake: Arc::clone(&wake),
        answers,
        queue: VecDeque::new(),
        queued: 0,
        open: BTreeSet::new(),
        denied: BTreeSet::new(),
        judging: BTreeMap::new(),
        shut: BTreeSet::new(),
        blind: BTreeSet::new(),
        under_way: 0,
        closing: None,
        refused: BTreeMap::new(),
        reconciled: BTreeSet::new(),
        observer,
        outcome: None,
    };
    let mut is_commanded = true;
    let mut needs_flush = false;
    let mut last_words = None;
    loop {
        driver.drain();
        if driver.outcome.is_some() && last_words.is_none() {
            last_words = Some(Instant::now() + LAST_WORDS_TIMEOUT);
        }
        needs_flush |= !driver.queue.is_empty();
        if driver.outcome.is_some() && driver.queue.is_empty() && !needs_flush {
            break;
        }
        let timeout = driver.session.poll_timeout();
        let is_over = driver.outcome.is_some();
        let may_read = driver.queued < MAX_QUEUED_BYTES && !is_over && driver.closing.is_none();
        tokio::select! {
            biased;
            sent = send(&mut outgoing, &mut driver.queue, &mut driver.queued, &inner.counters), if needs_flush => {
                needs_flush = false;
                if let Err(error) = sent {
                    driver.end(Err(LinkError::Broken(error)));
                    driver.queue.clear();
                }
            }
            Some(answer) = answered.recv(), if !is_over => {
                driver.answer(*answer);
                while let Ok(answer) = answered.try_recv() {
                    driver.answer(*answer);
                }
            }
            frame = incoming.next(), if may_read => match frame {
                Some(Ok(frame)) => {
                    inner.counters.bytes_in.add(frame.len() as u64);
                    driver.session.handle_message(&frame, Instant::now());
                }
                Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    // The line is good; what came over it is not. Whoever sent it hears why.
                    driver.session.close(Code::TOO_LARGE, &error.to_string(), Instant::now());
                    driver.drain();
                    driver.end(Err(LinkError::Broken(error)));
                }
                Some(Err(error)) => driver.end(Err(LinkError::Broken(error))),
                None => driver.end(Err(LinkError::Gone)),
            },
            () = wake.notified(), if !is_over => driver.woken(),
            command = commands.recv(), if is_commanded && !is_over => match command {
                Some(command) => driver.command(command),
                None => is_commanded = false,
            },
            () = sleep_until(timeout), if timeout.is_some() && !is_over => {
                driver.session.handle_timeout(Instant::now());
            }
            // A peer that does not read does not hold what it will not hear.
            () = sleep_until(last_words), if is_over => break,
        }
    }
    let outcome = driver.outcome.take().unwrap_or(Ok(()));
    drop(driver);
    if !matches!(outcome, Err(LinkError::Gone)) {
        // Read to the end: a connection that is closed over unread bytes is reset, and the last words with it.
        let goodbye = async {
            use futures_util::SinkExt;
            let _ = outgoing.close().await;
            while let Some(Ok(_)) = incoming.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
    outcome
}

/// How many bytes of pages a relay reads for a session at once.
const RELAY_READ_BYTES: usize = 256 << 10;
/// How long the last words may take when a session is over.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the transport's own goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Hands frames to the transport as far as it takes them, then flushes. Cancel safe: a frame leaves the queue only when
/// the transport has it.
async fn send(
    outgoing: &mut std::pin::Pin<Box<dyn futures_util::Sink<Bytes, Error = std::io::Error> + Send>>,
    queue: &mut VecDeque<Bytes>,
    queued: &mut usize,
    counters: &crate::Counters,
) -> std::io::Result<()> {
    poll_fn(|cx| {
        while !queue.is_empty() {
            match outgoing.as_mut().poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(frame) = queue.pop_front() {
                *queued = queued.saturating_sub(frame.len());
                counters.bytes_out.add(frame.len() as u64);
                if let Err(error) = outgoing.as_mut().start_send(frame) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        outgoing.as_mut().poll_flush(cx)
    })
    .await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn end(&mut self, outcome: Result<(), LinkError>) {
        if self.outcome.is_none() {
            if outcome.is_err() {
                self.inner.counters.failures.one();
            }
            self.outcome = Some(outcome);
        }
    }

    fn drain(&mut self) {
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
                self.request(id, request);
                is_idle = false;
            }
            while let Some(event) = self.session.poll_event() {
                self.event(event);
                is_idle = false;
            }
        }
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

    fn request(&mut self, id: RequestId, request: Request) {
        if let Request::Admit { workspace, .. } = &request {
            // Cheap, and before anything is proven: not worth a thread.
            let verdict = self.inner.admit(workspace);
            return self.session.handle_storage(id, Response::Admitted(verdict), Instant::now());
        }
        let (Some(peer), Some(workspace)) = (self.session.peer(), self.session.workspace()) else { return };
        let tier = self.believed(&peer, self.session.peer_tier().unwrap_or(Tier::Device));
        let log = request.partition().and_then(|partition| self.session.peer_log(partition));
        let asker = Asker { workspace, peer, tier, log };
        self.under_way += 1;
        if let Request::Open { partition, peer_log: Some(_), .. } = &request {
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

    fn answer(&mut self, (id, response): (RequestId, Response)) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(partition) = self.judging.remove(&id) {
            match response {
                Response::Denied(_) => drop(self.shut.insert(partition)),
                Response::Opened { read: false, .. } => drop(self.blind.insert(partition)),
                _ => {}
            }
        }
        self.session.handle_storage(id, response, Instant::now());
        // What the answer leads to is asked before anything ends.
        self.drain();
        self.close_if_idle();
    }

    fn close_if_idle(&mut self) {
        if self.under_way == 0
            && let Some((code, text)) = &self.closing
        {
            self.session.close(*code, text, Instant::now());
        }
    }

    fn event(&mut self, event: Event) {
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
                    self.grown(partition, &log);
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
                }
            }
            Event::RolledBack { partition } => self.rolled_back(partition),
            Event::PeerRolledBack { partition } => {
                tracing::warn!(%partition, "the peer was restored from a copy; what it lost is sent again");
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
    fn rolled_back(&mut self, partition: &Partition) {
        if self.inner.options.tier != Tier::Device {
            return tracing::warn!(%partition, "a peer is further in this log than it goes");
        }
        let replica = Replica { inner: Arc::clone(&self.inner) };
        if let Err(error) = replica.redraw(Redraw::RolledBack) {
            return tracing::warn!(%error, "new incarnations could not be drawn");
        }
        let text = "this store was put back or copied; it begins new logs and calls again";
        self.session.close(Code::ROLLED_BACK, text, Instant::now());
    }

    fn woken(&mut self) {
        let Some(workspace) = self.session.workspace() else { return };
        for partition in self.open.clone() {
            let log = LogKey::new(workspace, partition.clone());
            self.grown(&partition, &log);
        }
        if self.inner.sessions.take_authority_changed(self.number) {
            // Either side may open: whoever hears first that the door is open now.
            for partition in std::mem::take(&mut self.denied) {
                self.session.open(partition, Instant::now());
            }
            self.open_shut(workspace);
            self.close_if_idle();
        }
    }

    /// Opens what the peer asked for in vain and may read now.
    fn open_shut(&mut self, workspace: WorkspaceId) {
        let (Some(peer), Ok(held)) = (self.session.peer(), self.inner.workspace(&workspace)) else { return };
        let (authority, now_ms) = (held.read(), self.inner.now_ms());
        let is_in = |partition: &Partition| authority.admission(&peer, partition, now_ms).read;
        let (ready, shut) = std::mem::take(&mut self.shut).into_iter().partition(is_in);
        self.shut = shut;
        let ready: BTreeSet<Partition> = ready;
        if self.closing.is_none() && self.blind.iter().any(is_in) {
            // What was opened without reading stays so in this session.
            self.closing = Some((Code::GOING, "more is open to you now than when you called; call again".to_owned()));
        }
        for partition in ready {
            self.session.open(partition, Instant::now());
        }
    }

    fn grown(&mut self, partition: &Partition, log: &LogKey) {
        if let Some(end) = self.inner.watch.end(log) {
            self.session.handle_grown(partition, end, Instant::now());
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open(partition) => self.session.open(partition, Instant::now()),
            Command::Knock(name) => self.session.knock(&name),
            Command::AskKnocks => self.session.ask_knocks(),
            // What is being stored is acknowledged first; nothing more is read.
            Command::Close(code, text) => {
                self.closing = Some((code, text));
                self.close_if_idle();
            }
        }
    }
}
