//! Connections to relays and devices, and staying connected.

use crate::error::Error;
use crate::shared::Shared;
use crate::states::{Connectivity, Watched, backoff};
use access::{PARTITION_AUTHORITY, Standing};
use changeset::{ChangeSetId, Partition as PartitionName};
use replica::{Command, Connection, Driver, LinkError, Observer, Trust};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sync::{Code, Denial, Event, Knock, Session};
use tokio::sync::{mpsc, watch};

/// A connection that is kept. Dropping it ends the connection without losing anything; [`Link::close`] ends it in good
/// order.
#[derive(Debug)]
pub struct Link {
    state: Watched<Connectivity>,
    commands: mpsc::UnboundedSender<Command>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// How it stands.
    pub fn connectivity(&self) -> Watched<Connectivity> {
        self.state.clone()
    }

    /// Ends it in good order: what was acknowledged is said, then the peer is told.
    pub async fn close(mut self) {
        let _ = self.commands.send(Command::Close(Code::DONE, "done".into()));
        let _ = tokio::time::timeout(Duration::from_secs(5), &mut self.task).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long nothing moves before one exchange with a peer that asked to wait is over.
const PAUSED_QUIET: Duration = Duration::from_millis(500);

/// What one session of a link has seen.
#[derive(Debug, Default)]
struct Seen {
    level: bool,
    denied: BTreeMap<PartitionName, Denial>,
    held: BTreeMap<PartitionName, u64>,
    refused: BTreeMap<ChangeSetId, Code>,
    paused: BTreeMap<PartitionName, Duration>,
    /// Opened, and nothing of it may be read.
    blind: BTreeSet<PartitionName>,
    knocks: Option<Vec<Knock>>,
    met: bool,
}

/// What is wanted of a session, besides syncing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) knock: Option<String>,
    pub(crate) ask_knocks: bool,
}

/// One session over a connection: opens the authority, then the other partitions, and says how it stands.
pub(crate) struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) partitions: Vec<PartitionName>,
    pub(crate) state: watch::Sender<Connectivity>,
    pub(crate) wishes: Wishes,
}

impl Run {
    fn observer(&self, commands: mpsc::UnboundedSender<Command>, seen: Arc<Mutex<Seen>>, once: bool) -> Observer {
        let (shared, partitions) = (Arc::clone(&self.shared), self.partitions.clone());
        let (state, wishes) = (self.state.clone(), self.wishes.clone());
        let mut is_begun = false;
        let mut open: Vec<PartitionName> = Vec::new();
        Box::new(move |event: &Event, session: &Session| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut is_answered = None;
            match event {
                // How things stood when it ended says nothing of how they stand.
                Event::Closed(_) => return,
                Event::Met { .. } => {
                    seen.met = true;
                    if let Some(name) = &wishes.knock {
                        let _ = commands.send(Command::Knock(name.clone()));
                    }
                    if wishes.ask_knocks {
                        let _ = commands.send(Command::AskKnocks);
                    }
                }
                Event::Level { partition } => is_answered = Some(partition.clone()),
                Event::Denied { partition, denial } => {
                    if partition.as_str() != PARTITION_AUTHORITY {
                        seen.denied.insert(partition.clone(), denial.clone());
                    }
                    is_answered = Some(partition.clone());
                }
                Event::Opened { partition, read } => {
                    seen.denied.remove(partition);
                    if *read {
                        seen.blind.remove(partition);
                    } else {
                        seen.blind.insert(partition.clone());
                    }
                }
                Event::Acknowledged { partition, held, .. } => {
                    seen.held.insert(partition.clone(), *held);
                    seen.paused.remove(partition);
                    shared.outbox_changed();
                }
                Event::Refused { entries, .. } => {
                    seen.refused.extend(entries.iter().copied());
                    shared.outbox_changed();
                }
                Event::Paused { partition, wait } => {
                    seen.paused.insert(partition.clone(), *wait);
                    is_answered = Some(partition.clone());
                }
                Event::Knocks(knocks) => seen.knocks = Some(knocks.clone()),
                _ => {}
            }
            if let Some(partition) = is_answered {
                if !is_begun && partition.as_str() == PARTITION_AUTHORITY {
                    // Who may do what comes first; then the rest, judged by it.
                    is_begun = true;
                    for partition in &partitions {
                        let _ = commands.send(Command::Open(partition.clone()));
                    }
                }
                if !open.contains(&partition) {
                    open.push(partition);
                }
            }
            let is_asked = is_begun && partitions.iter().all(|partition| open.contains(partition));
            let (to_send, to_receive) = session
                .lag()
                .fold((0, 0), |(ours, theirs), (_, to_send, to_receive)| (ours + to_send, theirs + to_receive));
            let is_level = is_asked && (session.is_level() || (partitions.is_empty() && open.len() == 1));
            let is_told = !wishes.ask_knocks || seen.knocks.is_some();
            seen.level |= is_level;
            state.send_replace(match (seen.denied.values().next(), seen.paused.values().next()) {
                (Some(denial), _) if is_asked => Connectivity::Restricted { why: denial.text.clone() },
                (_, Some(wait)) => Connectivity::Restricted { why: busy(*wait) },
                // Level by what may be given.
                _ if is_level && to_send > 0 => Connectivity::Restricted { why: withheld(to_send) },
                _ if is_level && to_receive > 0 => Connectivity::Restricted { why: unseen(to_receive) },
                _ if is_level => Connectivity::UpToDate { as_of_ms: shared.replica.now_ms() },
                _ => Connectivity::Syncing { to_send, to_receive },
            });
            let is_done = is_level || (is_asked && !seen.denied.is_empty());
            if once && is_done && is_told {
                let _ = commands.send(Command::Close(Code::DONE, "done".into()));
            }
        })
    }

    /// One session until both sides are level, or the peer says why not.
    pub(crate) async fn once(&self, connection: Connection, is_caller: bool) -> Result<SyncReport, Error> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let observer = self.observer(commands.clone(), Arc::clone(&seen), true);
        let counters = self.shared.replica.counters();
        let count = || {
            [
                &counters.change_sets_out,
                &counters.change_sets_in,
                &counters.bytes_out,
                &counters.bytes_in,
                &counters.held,
            ]
            .map(replica::Counter::get)
        };
        let before = count();
        let session = self.session(connection, is_caller, receiver, observer);
        tokio::pin!(session);
        let mut moved = before;
        let outcome = loop {
            tokio::select! {
                outcome = &mut session => break outcome,
                () = tokio::time::sleep(PAUSED_QUIET) => {
                    // A peer that takes nothing for now still gives; once it has given all, waiting for it helps nobody.
                    let is_paused = !seen.lock().unwrap_or_else(PoisonError::into_inner).paused.is_empty();
                    if is_paused && moved == count() {
                        let _ = commands.send(Command::Close(Code::DONE, "done".into()));
                    }
                    moved = count();
                }
            }
        };
        let [sent, received, bytes_sent, bytes_received, put_aside] = count();
        let [sent_before, received_before, bytes_sent_before, bytes_received_before, put_aside_before] = before;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Err(error) if !seen.level && seen.denied.is_empty() && seen.paused.is_empty() => Err(error.into()),
            _ => Ok(SyncReport {
                denied: self.denied(&seen)?,
                paused: seen.paused.iter().map(|(name, wait)| (name.clone(), busy(*wait))).collect(),
                knocks: seen.knocks.clone().unwrap_or_default(),
                sent: sent - sent_before,
                received: received - received_before,
                bytes_sent: bytes_sent - bytes_sent_before,
                bytes_received: bytes_received - bytes_received_before,
                held: seen.held.values().sum(),
                put_aside: put_aside - put_aside_before,
                refused: seen.refused.iter().map(|(id, code)| (*id, *code)).collect(),
            }),
        }
    }

    /// What the peer did not open, and what it opened for giving alone to a device that has no right of its own to point to.
    fn denied(&self, seen: &Seen) -> Result<Vec<(PartitionName, String)>, Error> {
        let (replica, workspace) = (&self.shared.replica, &self.shared.workspace);
        let (key, now_ms) = (replica.key(), replica.now_ms());
        let mut denied: Vec<_> = seen.denied.iter().map(|(name, denial)| (name.clone(), denial.text.clone())).collect();
        for name in &seen.blind {
            let standing = replica.authority(workspace, |authority| authority.standing(&key, name, now_ms))?;
            if !matches!(standing, Standing::Full { .. }) && name.as_str() != PARTITION_AUTHORITY {
                let why = "what this device writes is taken there, but nothing is shown to it: its grant has ended or has not \
                           begun; ask who admits devices there for a new one";
                denied.push((name.clone(), why.to_owned()));
            }
        }
        Ok(denied)
    }

    async fn session(
        &self,
        connection: Connection,
        is_caller: bool,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Result<(), LinkError> {
        let replica = &self.shared.replica;
        if is_caller {
            let authority = PartitionName::new(PARTITION_AUTHORITY).into_iter().collect();
            replica.call(connection, self.shared.workspace, authority, commands, observer).await
        } else {
            replica.answer(connection, commands, observer).await
        }
    }

    /// Sessions one after another, with pauses that grow while they fail.
    async fn forever(self, url: String, trust: Trust, mut outer: mpsc::UnboundedReceiver<Command>) {
        let mut attempt = 0u32;
        let mut error = None;
        loop {
            attempt += 1;
            self.state.send_replace(Connectivity::Connecting { attempt, next_try_ms: None, error: error.take() });
            self.shared.replica.counters().attempts.one();
            let mut is_over = false;
            match Connection::connect(&url, &trust).await {
                Ok(connection) => {
                    let (commands, receiver) = mpsc::unbounded_channel();
                    let seen = Arc::new(Mutex::new(Seen::default()));
                    let observer = self.observer(commands.clone(), Arc::clone(&seen), false);
                    let session = self.session(connection, true, receiver, observer);
                    tokio::pin!(session);
                    let outcome = loop {
                        tokio::select! {
                            outcome = &mut session => break outcome,
                            command = outer.recv(), if !is_over => {
                                is_over = matches!(command, None | Some(Command::Close(..)));
                                let _ = commands.send(command.unwrap_or(Command::Close(Code::DONE, "done".into())));
                            }
                        }
                    };
                    if seen.lock().unwrap_or_else(PoisonError::into_inner).met {
                        attempt = 0;
                    }
                    error = outcome.err().map(|error| error.to_string());
                }
                Err(failed) => error = Some(failed.to_string()),
            }
            if is_over {
                break;
            }
            // Without randomness the whole pause is taken.
            let random = self.shared.random().map_or(u32::MAX, u32::from_le_bytes);
            let pause = backoff(attempt.max(1), random);
            let next_try_ms = Some(self.shared.replica.now_ms() + pause.as_millis() as u64);
            self.state.send_replace(Connectivity::Connecting { attempt, next_try_ms, error: error.clone() });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                command = outer.recv() => {
                    if matches!(command, None | Some(Command::Close(..))) {
                        break;
                    }
                }
            }
        }
        self.state.send_replace(Connectivity::Offline { since_ms: self.shared.replica.now_ms() });
    }
}

/// One session without transport and clock, for stores that are stepped: what a [`Link`] runs while it is connected.
#[derive(Debug)]
pub struct SteppedLink {
    driver: Driver,
    commands: mpsc::UnboundedReceiver<Command>,
    state: Watched<Connectivity>,
}

impl SteppedLink {
    /// What drives the session: frames and the time are handed to it.
    pub fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// The session.
    pub fn session(&self) -> &Session {
        self.driver.session()
    }

    /// Takes in whatever happened; see [`Driver::poll`].
    pub fn poll(&mut self, now: Instant) {
        self.driver.poll(now);
        while let Ok(command) = self.commands.try_recv() {
            self.driver.command(command, now);
            self.driver.poll(now);
        }
    }

    /// How it stands, as a person is shown it.
    pub fn connectivity(&self) -> Connectivity {
        self.state.now()
    }
}

pub(crate) fn stepped(
    shared: &Arc<Shared>,
    partitions: Vec<PartitionName>,
    is_caller: bool,
    now: Instant,
) -> Result<SteppedLink, Error> {
    let (state, watched) = watch::channel(Connectivity::Connecting { attempt: 1, next_try_ms: None, error: None });
    let (commands, receiver) = mpsc::unbounded_channel();
    let run = Run { shared: Arc::clone(shared), partitions, state, wishes: Wishes::default() };
    let observer = run.observer(commands, Arc::default(), false);
    let driver = if is_caller {
        let authority = PartitionName::new(PARTITION_AUTHORITY).into_iter().collect();
        shared.replica.caller(shared.workspace, authority, observer, now)
    } else {
        shared.replica.answerer(observer, now)
    };
    Ok(SteppedLink { driver: driver?, commands: receiver, state: Watched(watched) })
}

/// What came of one exchange.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SyncReport {
    /// The partitions that the peer did not open to this device, with what to do; everything else was exchanged.
    pub denied: Vec<(PartitionName, String)>,
    /// The partitions of which the peer takes nothing for now, with what it means; what it did not take stays here.
    pub paused: Vec<(PartitionName, String)>,
    /// Who knocked, where that was asked for.
    pub knocks: Vec<Knock>,
    /// Change sets sent. Counted by the replica, as are those received and the bytes: what other links of it did
    /// meanwhile is among them.
    pub sent: u64,
    /// Change sets received that were new.
    pub received: u64,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Bytes of frames received.
    pub bytes_received: u64,
    /// Change sets of this device's log that the peer keeps aside until it knows their authority.
    pub held: u64,
    /// Change sets received that are put aside here until their authority is known.
    pub put_aside: u64,
    /// Change sets that the peer refused, with its reason; they stay here.
    pub refused: Vec<(ChangeSetId, Code)>,
}

/// What it means that the peer is not given everything.
fn withheld(to_send: u64) -> String {
    let what = if to_send == 1 { "change set is" } else { "change sets are" };
    format!(
        "{to_send} {what} not given to the other side, which has no grant here that is known and still runs; what was saved \
         stays here, and a relay or a device that was let in takes it"
    )
}

/// What it means that this device is not given everything.
fn unseen(to_receive: u64) -> String {
    let what = if to_receive == 1 { "change set is" } else { "change sets are" };
    format!(
        "{to_receive} {what} there and not shown to this device: its grant has ended or has not begun; ask who admits devices \
         there for a new one, what is written here is given all the same"
    )
}

/// What a peer that asks to wait means, for a person.
fn busy(wait: Duration) -> String {
    format!(
        "takes nothing more for now and asks to come back in {} s: it is over a quota or short of disk. What was saved stays here; \
         if it goes on, tell who runs it",
        wait.as_secs().max(1)
    )
}

pub(crate) fn link(
    shared: &Arc<Shared>,
    runtime: &tokio::runtime::Handle,
    partitions: Vec<PartitionName>,
    url: String,
    trust: Trust,
    wishes: Wishes,
) -> Link {
    let (state, watched) = watch::channel(Connectivity::Offline { since_ms: shared.replica.now_ms() });
    let (commands, receiver) = mpsc::unbounded_channel();
    let run = Run { shared: Arc::clone(shared), partitions, state, wishes };
    let task = runtime.spawn(run.forever(url, trust, receiver));
    Link { state: Watched(watched), commands, task }
}

/// A link over a stream that is there already; it ends when the stream does.
pub(crate) fn direct(
    shared: &Arc<Shared>,
    runtime: &tokio::runtime::Handle,
    partitions: Vec<PartitionName>,
    connection: Connection,
    is_caller: bool,
) -> Link {
    let (state, watched) = watch::channel(Connectivity::Connecting { attempt: 1, next_try_ms: None, error: None });
    let (commands, receiver) = mpsc::unbounded_channel();
    let run = Run { shared: Arc::clone(shared), partitions, state, wishes: Wishes::default() };
    let observed = commands.clone();
    let task = runtime.spawn(async move {
        let observer = run.observer(observed, Arc::default(), false);
        if let Err(error) = run.session(connection, is_caller, receiver, observer).await {
            tracing::debug!(%error, "a direct link ended");
        }
        run.state.send_replace(Connectivity::Offline { since_ms: run.shared.replica.now_ms() });
    });
    Link { state: Watched(watched), commands, task }
}
