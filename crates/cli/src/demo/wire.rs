//! What the parent says to its processes and what they answer: one line of JSON each, over standard input and output.

use anyhow::Context as _;
use changeset::{ChangeSetId, DocumentId, DocumentKey, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::io::{self, Write};
use std::path::PathBuf;

/// What a process is asked to do. It answers each with one [`Heard::Answer`] or [`Heard::Failed`], in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Connect to the relay and stay connected.
    Connect { url: String },
    /// Hang up.
    Disconnect,
    /// Ask at the relay to be let in.
    Knock { url: String },
    /// Ask the relay who knocked. Answers with keys, names, and a nonce and the code for each.
    Knocks { url: String },
    /// The code that this device shows for a nonce.
    Code { nonce: String },
    /// Let a device in.
    Grant { key: String, person: String },
    /// Write the records that the story begins with, or import one part of the files in `data`.
    Begin { data: Option<PathBuf>, part: u64, of: u64 },
    /// The first records of each kind that have entries.
    Records,
    /// Carry out one edit.
    Edit(Step),
    /// Type a text at the beginning of another, piece by piece, each piece an edit of its own.
    Write { document: Place, path: String, pieces: Vec<String> },
    /// Make so many edits as fast as they can be made.
    Edits { documents: Vec<Place>, count: usize, seed: u64, is_announced: bool },
    /// How much was sent and is not acknowledged.
    Unacknowledged,
    /// Copy the store to a file.
    Backup { to: PathBuf },
    /// Wait until so many change sets are held and nothing of the own work waits for a relay.
    Level { held: u64, seconds: u64 },
    /// The ids of all change sets that are held.
    Ids,
    /// What is held, what of it counts, and the digests.
    Log,
    /// Check every page, hash and signature of the store.
    Verify,
    /// The conflicts; those at these places first.
    Conflicts { first: Vec<(Place, String)>, at_most: usize },
    /// A text with its authors.
    Text { document: Place, path: String },
    /// End in good order.
    Quit,
}

/// One edit as a person makes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) document: Place,
    pub(crate) intent: String,
    pub(crate) path: String,
    pub(crate) what: What,
}

/// What an edit does at its path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Say(String),
    SayNumber(i64),
    StartCounting,
    Count(i64),
    Remove,
    Insert(String),
}

/// A document, as `kind/uuid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place(pub(crate) String);

impl Place {
    pub(crate) fn of(key: &DocumentKey) -> Self {
        Self(format!("{}/{}", key.kind, key.id.to_uuid()))
    }

    pub(crate) fn key(&self) -> anyhow::Result<DocumentKey> {
        let (kind, id) = self.0.split_once('/').context("a document is named by kind/uuid")?;
        Ok(DocumentKey { kind: Kind::new(kind)?, id: DocumentId::from_uuid(id).context("a document has a uuid")? })
    }
}

/// A record that the story can use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) entries: Vec<String>,
}

/// What a process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Heard {
    /// The answer to a command; the first one says that the process is ready.
    Answer { what: Json },
    /// A command could not be carried out.
    Failed { why: String },
    /// A commit is about to be made.
    Saving { number: u64 },
    /// These change sets are durable.
    Saved { ids: Vec<String>, what: String },
    /// How it stands.
    State(State),
}

/// How a process stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) connectivity: String,
    pub(crate) outbox: u64,
    pub(crate) to_receive: u64,
    pub(crate) held: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) sessions: u64,
}

/// Says a line, whole and at once. Fails when the parent is gone, and then so does the process.
pub(crate) fn say(heard: &Heard) -> io::Result<()> {
    let mut text = serde_json::to_string(heard)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

pub(crate) fn hex_ids<'a>(ids: impl Iterator<Item = &'a ChangeSetId>) -> Vec<String> {
    ids.map(ToString::to_string).collect()
}
