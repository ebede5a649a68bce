//! What the parent says to its processes and what they answer: one line of JSON each, over standard input and output.

use anyhow::Context as _;
use changeset::ChangeSetId;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use storage::Store;

/// The partition that everybody shares.
pub(crate) const PARTITION: &str = "north-pier";

/// What a process is asked to do. It answers with one [`Heard::Done`] or [`Heard::Failed`], in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Call every relay anew: the system says that there is a network.
    Connect,
    /// Let a device in.
    Invite { key: String, person: String },
    /// Edit from now on, with pauses of so many milliseconds on average.
    Work { pause_ms: u64 },
    /// Edit no more.
    Rest,
    /// The wall clock is off by so much from now on.
    Clock { offset_ms: i64 },
    /// Copy the store to a new file. Answers with [`Heard::BackedUp`].
    Backup { to: PathBuf },
    /// Digests and what does not count.
    Standing,
    /// Write a bundle of everything that is held.
    Export { to: PathBuf },
    /// Check every page, hash and signature of the store.
    Verify,
    /// End in good order.
    Quit,
}

/// What a process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Heard {
    /// It runs: who it is, and what is on its disk.
    Ready {
        /// Its key, as 52 characters.
        key: String,
        /// Its workspace, as 52 characters; nothing for a relay.
        workspace: String,
        /// Where it listens; nothing for a device.
        address: String,
        /// Whether opening found that the store was copied or put back.
        was_put_back: bool,
        /// Every change set in its logs.
        ids: Vec<String>,
    },
    /// A command was carried out.
    Done,
    /// A command could not be carried out, or something is wrong.
    Failed { why: String },
    /// These are durable: the call that made them has returned.
    Saved { ids: Vec<String> },
    /// These are at a relay, by its receipt.
    Relayed { ids: Vec<String> },
    /// These entered a log, and are durable there.
    Held { ids: Vec<String> },
    /// The copy is whole.
    BackedUp { to: PathBuf },
    /// How it stands.
    State(State),
    /// What is held, and what counts of it.
    Standing(Standing),
    /// What checking the store found.
    Verified { pages: u64, entries: u64, findings: Vec<String> },
}

/// How a process stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// One for each relay that is called.
    pub(crate) lines: Vec<String>,
    pub(crate) is_up_to_date: bool,
    /// Own work that no relay has acknowledged.
    pub(crate) outbox: u64,
    /// Change sets that wait for others.
    pub(crate) waiting: u64,
    /// Change sets that do not count.
    pub(crate) undecided: u64,
    /// Edits that the rules did not allow.
    pub(crate) refused: u64,
    /// Bytes of the store.
    pub(crate) size: u64,
    pub(crate) sessions: u64,
}

/// What a device holds, and what counts of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// By partition, the authority first.
    pub(crate) digests: Vec<(String, String)>,
    pub(crate) undecided: Vec<String>,
    pub(crate) documents: u64,
    pub(crate) forks: u64,
}

/// Says a line, whole and at once. Fails when the parent is gone.
pub(crate) fn say(heard: &Heard) -> io::Result<()> {
    let mut text = serde_json::to_string(heard)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The commands as they come. When the parent is gone the process ends where it stands: what it said to be saved is.
pub(crate) fn commands() -> Receiver<Command> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(command) => drop(send.send(command)),
                Err(error) => {
                    let _nobody_listens = say(&Heard::Failed { why: format!("cannot understand {line}: {error}") });
                }
            }
        }
        std::process::exit(0);
    });
    receive
}

/// Ends with the parent in any case: also while it is stopped, when it cannot see that nobody listens any more.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Says what enters the logs of a replica, in order. The listener is called on the writer's thread and must not wait for
/// whoever reads: a thread of its own writes.
pub(crate) fn tell_what_enters(replica: &replica::Replica) {
    let (send, entered) = mpsc::channel::<Vec<ChangeSetId>>();
    replica.listen(Box::new(move |_, appended| {
        let ids: Vec<ChangeSetId> = appended.entered.iter().map(|entry| entry.id()).collect();
        if !ids.is_empty() {
            drop(send.send(ids));
        }
    }));
    std::thread::spawn(move || {
        for ids in entered {
            if say(&Heard::Held { ids: hex(&ids) }).is_err() {
                return;
            }
        }
    });
}

pub(crate) fn hex<'a>(ids: impl IntoIterator<Item = &'a ChangeSetId>) -> Vec<String> {
    ids.into_iter().map(ToString::to_string).collect()
}

/// How many entries are read of a log at once.
const READ_AT_ONCE: u64 = 1024;

/// Every change set in the logs of a store.
pub(crate) fn ids(store: &Store) -> anyhow::Result<Vec<ChangeSetId>> {
    let view = store.view()?;
    let mut ids = Vec::new();
    for log in view.logs()? {
        let end = view.log(&log)?.map_or(0, |state| state.end.position);
        let mut at = 0;
        while at < end {
            // In portions, so that looking does not count as what the process takes.
            let entries = view.entries(&log, at..(at + READ_AT_ONCE).min(end))?;
            anyhow::ensure!(!entries.is_empty(), "the log of {} ends at {at}, and says {end}", log.partition);
            at += entries.len() as u64;
            ids.extend(entries.iter().map(|entry| entry.id()));
        }
    }
    Ok(ids)
}

/// An id as it was said.
pub(crate) fn id(hex: &str) -> anyhow::Result<ChangeSetId> {
    let mut bytes = [0; 32];
    anyhow::ensure!(hex.len() == 64, "{hex} is no id");
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = hex.get(at * 2..at * 2 + 2).context("an id is ASCII")?;
        *byte = u8::from_str_radix(digits, 16).with_context(|| format!("{hex} is no id"))?;
    }
    Ok(ChangeSetId::from_bytes(bytes))
}
