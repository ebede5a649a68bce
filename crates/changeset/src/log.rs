//! What pages and chains need to know of the log that they stand in, and a log in memory.

use crate::entry::{Actor, Unproven, Verified};
use crate::hash::RunningHash;
use crate::header::Header;
use crate::id::{ActorId, ChangeSetId, DocumentKey, LogIncarnation};
use std::collections::HashMap;
use std::sync::Arc;

/// The first eight bytes of an actor id: with a sequence number, a short reference into a log.
pub type ActorPrefix = [u8; 8];

/// The first eight bytes of an actor id.
pub fn prefix(actor: &ActorId) -> ActorPrefix {
    let [a, b, c, d, e, f, g, h, ..] = *actor.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// What others that refer to an entry need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: ChangeSetId,
    /// Who wrote it.
    pub actor: Arc<Actor>,
    /// Its number in its chain.
    pub sequence: u64,
    /// Its header's time in milliseconds since 1970.
    pub time: u64,
    /// Its document.
    pub document: DocumentKey,
}

impl From<&Verified> for Known {
    fn from(entry: &Verified) -> Self {
        Self::of(entry.id(), entry.actor(), entry.header())
    }
}

impl From<&Unproven> for Known {
    fn from(entry: &Unproven) -> Self {
        Self::of(entry.id, &entry.actor, &entry.header)
    }
}

impl Known {
    fn of(id: ChangeSetId, actor: &Arc<Actor>, header: &Header) -> Self {
        let Header { sequence, time, document, .. } = header;
        Self { id, actor: Arc::clone(actor), sequence: *sequence, time: *time, document: document.clone() }
    }
}

/// What pages need to know of the log that they stand in.
pub trait Log {
    /// The entry at the lowest position whose actor id starts with `prefix` and that has this sequence number.
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known>;
    /// The entry with this id.
    fn known(&self, id: &ChangeSetId) -> Option<Known>;
    /// The actor of the entry at the lowest position whose actor id starts with `prefix`.
    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>>;
}

/// A place in a replica's log of one partition, with the running hash there: two logs that agree on a cursor agree on
/// everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The incarnation of the log.
    pub log: LogIncarnation,
    /// How many entries stand before it.
    pub position: u64,
    /// The running hash over the ids of those entries.
    pub hash: RunningHash,
}

/// Why an entry never enters the set, whoever sent it: its header contradicts the entries that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The sequence is not that of `previous` plus one.
    #[error("its sequence does not follow that of its previous change set")]
    Sequence,
    /// `previous` was written by another actor.
    #[error("its previous change set is another actor's")]
    Actor,
    /// The time is below that of `previous`.
    #[error("its time is before that of its previous change set")]
    Time,
    /// A parent belongs to another document.
    #[error("one of its parents belongs to another document")]
    ParentDocument,
}

impl HeaderFault {
    /// Checks what an entry's header says of its `previous` and parents, where `known` gives what is held of them.
    ///
    /// # Errors
    /// The fault found first. What is not held is not checked.
    pub fn check(entry: &Verified, known: impl Fn(&ChangeSetId) -> Option<Known>) -> Result<(), Self> {
        let header = entry.header();
        if let Some(previous) = header.previous.and_then(|id| known(&id)) {
            if previous.actor.id() != entry.actor().id() {
                return Err(Self::Actor);
            }
            if previous.sequence + 1 != header.sequence {
                return Err(Self::Sequence);
            }
            if header.time < previous.time {
                return Err(Self::Time);
            }
        }
        let strange = |id: &ChangeSetId| known(id).is_some_and(|parent| parent.document != header.document);
        if header.parents.iter().any(strange) { Err(Self::ParentDocument) } else { Ok(()) }
    }
}

/// A log in memory, in the order of [`MemoryLog::push`].
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    entries: Vec<Verified>,
    by_id: HashMap<ChangeSetId, usize>,
    by_sequence: HashMap<(ActorPrefix, u64), usize>,
    actors: HashMap<ActorPrefix, Arc<Actor>>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry; one that is held already stays where it is. Gives whether it was new.
    pub fn push(&mut self, entry: Verified) -> bool {
        let position = self.entries.len();
        if self.by_id.contains_key(&entry.id()) {
            return false;
        }
        let prefix = prefix(&entry.actor().id());
        self.by_id.insert(entry.id(), position);
        self.by_sequence.entry((prefix, entry.header().sequence)).or_insert(position);
        self.actors.entry(prefix).or_insert_with(|| Arc::clone(entry.actor()));
        self.entries.push(entry);
        true
    }

    /// Replaces a held entry by the same change set with a signature, or with less of its values; the position stays.
    pub fn replace(&mut self, entry: Verified) {
        if let Some(held) = self.by_id.get(&entry.id()).and_then(|position| self.entries.get_mut(*position)) {
            *held = entry;
        }
    }

    /// Whether an entry is held.
    pub fn contains(&self, id: &ChangeSetId) -> bool {
        self.by_id.contains_key(id)
    }

    /// The entry with this id.
    pub fn get(&self, id: &ChangeSetId) -> Option<&Verified> {
        self.by_id.get(id).and_then(|position| self.entries.get(*position))
    }

    /// All entries in log order.
    pub fn entries(&self) -> &[Verified] {
        &self.entries
    }
}

impl Log for MemoryLog {
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known> {
        self.by_sequence.get(&(prefix, sequence)).and_then(|position| self.entries.get(*position)).map(Known::from)
    }

    fn known(&self, id: &ChangeSetId) -> Option<Known> {
        self.get(id).map(Known::from)
    }

    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>> {
        self.actors.get(&prefix).cloned()
    }
}
