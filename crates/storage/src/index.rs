//! What stands in a log, by position, id, and place in a chain. About 114 bytes for each entry: a row of 74 under its
//! position, 18 under its id, 22 under its actor and sequence.

use crate::backend::{Order, Read, Table, Write};
use crate::codec::{Key, LogNumber, after_prefix, id_prefix, number, position_of, prefix_end, six};
use crate::error::{Damage, StorageError};
use crate::model::{KnownEntry, LogKey, Source};
use changeset::limits::MAX_KIND_BYTES;
use changeset::{
    Actor, ActorPrefix, ChangeSetId, DocumentId, DocumentKey, Incarnation, Kind, Known, Log, LogIncarnation, PublicKey,
    Verified, prefix,
};
use core::ops::Bound;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What has a short number in a log. A name's row leads to its number; the number's row, under the tag with the highest
/// bit set, leads back. Numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Actor = 1,
    Document = 2,
    Grant = 3,
    Source = 4,
}

impl Tag {
    pub(crate) const ALL: [Self; 4] = [Self::Actor, Self::Document, Self::Grant, Self::Source];
    pub(crate) const BACK: u8 = 0x80;
}

/// Rows read before, since names never change once they have a number. Dropped when a batch that made names fails.
#[derive(Debug, Default)]
pub(crate) struct Names {
    actors: HashMap<(LogNumber, u32), Arc<Actor>>,
    documents: HashMap<(LogNumber, u32), DocumentKey>,
}

/// The most names kept in memory; beyond it all are dropped and read again.
const MAX_NAMES: usize = 1 << 14;

/// What the index keeps of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryRow {
    pub(crate) id: ChangeSetId,
    pub(crate) actor: u32,
    pub(crate) sequence: u32,
    pub(crate) time: u64,
    pub(crate) document: u32,
    /// The grant in force; 0 for none.
    pub(crate) grant: u32,
    /// The position of the previous change set.
    pub(crate) previous: Option<u64>,
    pub(crate) source: u32,
}

pub(crate) const ENTRY_ROW_BYTES: usize = 64;

impl EntryRow {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRY_ROW_BYTES);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.actor.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&six(self.time));
        out.extend_from_slice(&self.document.to_be_bytes());
        out.extend_from_slice(&self.grant.to_be_bytes());
        out.extend_from_slice(&six(self.previous.map_or(0, |position| position + 1)));
        out.extend_from_slice(&self.source.to_be_bytes());
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<32>()?;
        let (actor, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let (time, rest) = rest.split_first_chunk::<6>()?;
        let (document, rest) = rest.split_first_chunk::<4>()?;
        let (grant, rest) = rest.split_first_chunk::<4>()?;
        let (previous, rest) = rest.split_first_chunk::<6>()?;
        Some(Self {
            id: ChangeSetId::from_bytes(*id),
            actor: u32::from_be_bytes(*actor),
            sequence: u32::from_be_bytes(*sequence),
            time: number(time),
            document: u32::from_be_bytes(*document),
            grant: u32::from_be_bytes(*grant),
            previous: number(previous).checked_sub(1),
            source: u32::from_be_bytes(<[u8; 4]>::try_from(rest).ok()?),
        })
    }
}

/// The index of one log.
pub(crate) struct Index<'a> {
    pub(crate) read: &'a dyn Read,
    pub(crate) number: LogNumber,
    pub(crate) log: &'a LogKey,
    pub(crate) names: &'a Mutex<Names>,
}

fn names(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    if names.actors.len() + names.documents.len() > MAX_NAMES {
        *names = Names::default();
    }
    names
}

impl<'a> Index<'a> {
    pub(crate) fn key(&self) -> Key {
        Key::of(self.number)
    }

    pub(crate) fn damage(&self, table: Table, position: Option<u64>, what: &'static str) -> StorageError {
        Damage { table, log: Some(self.log.clone()), position, what }.into()
    }

    /// The row at a position.
    pub(crate) fn row(&self, position: u64) -> Result<EntryRow, StorageError> {
        let value = self.read.get(Table::Entries, &self.key().position(position))?;
        let damage = |what| self.damage(Table::Entries, Some(position), what);
        let value = value.ok_or_else(|| damage("a row is missing"))?;
        EntryRow::from_bytes(&value).ok_or_else(|| damage("a row has another length"))
    }

    /// The rows at positions from `first` to before `end`.
    pub(crate) fn rows(&self, first: u64, end: u64) -> Result<Vec<EntryRow>, StorageError> {
        let (from, to) = (self.key().position(first), self.key().position(end));
        let (from, to) = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        let found = self.read.scan(Table::Entries, from, to, Order::Forward, usize::MAX)?;
        if found.len() as u64 != end.saturating_sub(first) {
            return Err(self.damage(Table::Entries, Some(first), "a row is missing"));
        }
        let row = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let damage = || self.damage(Table::Entries, Some(position_of(key)), "a row has another length");
            EntryRow::from_bytes(value).ok_or_else(damage)
        };
        found.iter().map(row).collect()
    }

    /// Where an entry stands.
    pub(crate) fn position(&self, id: &ChangeSetId) -> Result<Option<u64>, StorageError> {
        Ok(self.find_id(id)?.map(|(position, _)| position))
    }

    pub(crate) fn find_id(&self, id: &ChangeSetId) -> Result<Option<(u64, EntryRow)>, StorageError> {
        let prefix = self.key().bytes(&id_prefix(id));
        for position in self.positions(Table::Ids, &prefix, usize::MAX)? {
            let row = self.row(position)?;
            if row.id == *id {
                return Ok(Some((position, row)));
            }
        }
        Ok(None)
    }

    /// The positions at the ends of the keys with this prefix, at most `limit`, lowest keys first.
    pub(crate) fn positions(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<u64>, StorageError> {
        let end = after_prefix(prefix);
        let rows = self.read.scan(table, Bound::Included(prefix), prefix_end(&end), Order::Forward, limit)?;
        Ok(rows.iter().map(|(key, _)| position_of(key)).collect())
    }

    /// The entry at the lowest position before `before` with this prefix and sequence.
    pub(crate) fn find(
        &self,
        prefix: ActorPrefix,
        sequence: u64,
        before: u64,
    ) -> Result<Option<(u64, EntryRow)>, StorageError> {
        let Ok(sequence) = u32::try_from(sequence) else { return Ok(None) };
        let key = self.key().bytes(&prefix).u32(sequence);
        match self.positions(Table::Chains, &key, 1)?.first() {
            Some(position) if *position < before => Ok(Some((*position, self.row(*position)?))),
            _ => Ok(None),
        }
    }

    /// The actor that entered first of those with this prefix, if it entered before `before`.
    pub(crate) fn actor_of(&self, prefix: ActorPrefix, before: u64) -> Result<Option<Arc<Actor>>, StorageError> {
        let key = self.key().byte(Tag::Actor as u8).bytes(&prefix);
        let end = after_prefix(&key);
        let rows = self.read.scan(Table::Names, Bound::Included(&key), prefix_end(&end), Order::Forward, 1)?;
        let Some((key, value)) = rows.first() else { return Ok(None) };
        let (Some((_, name)), Some((first, _))) = (key.split_last_chunk::<4>(), value.split_first_chunk::<6>()) else {
            return Err(self.damage(Table::Names, None, "a row has another length"));
        };
        if number(first) >= before {
            return Ok(None);
        }
        self.actor(u32::from_be_bytes(*name)).map(Some)
    }

    fn name(&self, tag: Tag, name: u32) -> Result<Vec<u8>, StorageError> {
        let key = self.key().byte(tag as u8 | Tag::BACK).u32(name);
        self.read.get(Table::Names, &key)?.ok_or_else(|| self.damage(Table::Names, None, "a number has no name"))
    }

    pub(crate) fn actor(&self, name: u32) -> Result<Arc<Actor>, StorageError> {
        if let Some(actor) = names(self.names).actors.get(&(self.number, name)) {
            return Ok(Arc::clone(actor));
        }
        let bytes = self.name(Tag::Actor, name)?;
        let damage = || self.damage(Table::Names, None, "an actor has another length");
        let (key, incarnation) = bytes.split_first_chunk::<32>().ok_or_else(damage)?;
        let incarnation = <[u8; 8]>::try_from(incarnation).map_err(|_| damage())?;
        let LogKey { workspace, partition } = self.log;
        let incarnation = Incarnation::from_bytes(incarnation);
        let actor = Arc::new(Actor::new(*workspace, partition.clone(), PublicKey::from_bytes(*key), incarnation));
        names(self.names).actors.insert((self.number, name), Arc::clone(&actor));
        Ok(actor)
    }

    pub(crate) fn document(&self, name: u32) -> Result<DocumentKey, StorageError> {
        if let Some(document) = names(self.names).documents.get(&(self.number, name)) {
            return Ok(document.clone());
        }
        let document = read_document(&self.name(Tag::Document, name)?)
            .ok_or_else(|| self.damage(Table::Names, None, "a document is not in its form"))?;
        names(self.names).documents.insert((self.number, name), document.clone());
        Ok(document)
    }

    pub(crate) fn grant(&self, name: u32) -> Result<Option<ChangeSetId>, StorageError> {
        if name == 0 {
            return Ok(None);
        }
        let damage = |_| self.damage(Table::Names, None, "a grant has another length");
        let id = <[u8; 32]>::try_from(self.name(Tag::Grant, name)?).map_err(|bytes| damage(bytes.len()))?;
        Ok(Some(ChangeSetId::from_bytes(id)))
    }

    pub(crate) fn source(&self, name: u32) -> Result<Source, StorageError> {
        read_source(&self.name(Tag::Source, name)?)
            .ok_or_else(|| self.damage(Table::Names, None, "a source is not in its form"))
    }

    pub(crate) fn known_of(&self, row: &EntryRow) -> Result<Known, StorageError> {
        Ok(Known {
            id: row.id,
            actor: self.actor(row.actor)?,
            sequence: u64::from(row.sequence),
            time: row.time,
            document: self.document(row.document)?,
        })
    }

    pub(crate) fn known(&self, id: &ChangeSetId) -> Result<Option<KnownEntry>, StorageError> {
        let Some((position, row)) = self.find_id(id)? else { return Ok(None) };
        let previous = match row.previous {
            Some(position) => Some(self.row(position)?.id),
            None => None,
        };
        Ok(Some(KnownEntry {
            known: self.known_of(&row)?,
            position,
            previous,
            grant: self.grant(row.grant)?,
            own: self.source(row.source)? == Source::Own,
        }))
    }
}

pub(crate) fn document_bytes(document: &DocumentKey) -> Vec<u8> {
    Key::default().document(document).into_bytes()
}

pub(crate) fn read_document(bytes: &[u8]) -> Option<DocumentKey> {
    let (length, rest) = bytes.split_first()?;
    let (kind, id) = rest.split_at_checked(usize::from(*length).min(MAX_KIND_BYTES))?;
    let kind = Kind::new(core::str::from_utf8(kind).ok()?).ok()?;
    Some(DocumentKey { kind, id: DocumentId::from_bytes(<[u8; 16]>::try_from(id).ok()?) })
}

pub(crate) fn source_bytes(source: &Source) -> Vec<u8> {
    match source {
        Source::Own => vec![0],
        Source::File => vec![1],
        Source::Mixed => vec![2],
        Source::Peer(key, log) => [&[3], &key.as_bytes()[..], log.as_bytes()].concat(),
    }
}

pub(crate) fn read_source(bytes: &[u8]) -> Option<Source> {
    match bytes.split_first()? {
        (0, []) => Some(Source::Own),
        (1, []) => Some(Source::File),
        (2, []) => Some(Source::Mixed),
        (3, peer) => {
            let (key, log) = peer.split_first_chunk::<32>()?;
            let log = LogIncarnation::from_bytes(<[u8; 8]>::try_from(log).ok()?);
            Some(Source::Peer(PublicKey::from_bytes(*key), log))
        }
        _ => None,
    }
}

fn actor_bytes(actor: &Actor) -> Vec<u8> {
    [&actor.key().as_bytes()[..], actor.incarnation().as_bytes()].concat()
}

/// The number of a name, given now if it has none. An actor's row also keeps the position at which it entered.
fn intern(
    write: &mut dyn Write,
    number: LogNumber,
    tag: Tag,
    content: &[u8],
    lookup: Result<&[u8], (ActorPrefix, u64)>,
) -> Result<u32, StorageError> {
    let back = Key::of(number).byte(tag as u8 | Tag::BACK);
    let damage = || StorageError::from(Damage::new(Table::Names, "a row has another length"));
    let forward = Key::of(number).byte(tag as u8);
    match lookup {
        Ok(name) => {
            if let Some(value) = write.get(Table::Names, &forward.bytes(name))? {
                return Ok(u32::from_be_bytes(<[u8; 4]>::try_from(&value[..]).map_err(|_| damage())?));
            }
        }
        Err((prefix, _)) => {
            let key = forward.bytes(&prefix);
            let end = after_prefix(&key);
            let from = Bound::Included(&key[..]);
            for (key, _) in write.scan(Table::Names, from, prefix_end(&end), Order::Forward, usize::MAX)? {
                let (_, name) = key.split_last_chunk::<4>().ok_or_else(damage)?;
                if write.get(Table::Names, &back.clone().bytes(name))?.as_deref() == Some(content) {
                    return Ok(u32::from_be_bytes(*name));
                }
            }
        }
    }
    let end = after_prefix(&back);
    let last = write.scan(Table::Names, Bound::Included(&back), prefix_end(&end), Order::Backward, 1)?;
    let last = last.first().and_then(|(key, _)| key.last_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let name = last + 1;
    write.put(Table::Names, &back.u32(name), content)?;
    let forward = Key::of(number).byte(tag as u8);
    match lookup {
        Ok(content) => write.put(Table::Names, &forward.bytes(content), &name.to_be_bytes())?,
        Err((prefix, position)) => write.put(Table::Names, &forward.bytes(&prefix).u32(name), &six(position))?,
    }
    Ok(name)
}

/// Kind of the entries that the access table lists.
pub(crate) const ACCESS_KIND: &str = "access";

/// Adds the rows of an entry that enters at a position. Its previous stands in the log already.
pub(crate) fn insert(
    write: &mut dyn Write,
    number: LogNumber,
    log: &LogKey,
    cache: &Mutex<Names>,
    position: u64,
    entry: &Verified,
    source: &Source,
) -> Result<(), StorageError> {
    let header = entry.header();
    let index = Index { read: &*write, number, log, names: cache };
    let previous = match &header.previous {
        None => None,
        Some(id) => {
            let missing = || index.damage(Table::Ids, Some(position), "its previous change set has no row");
            Some(index.find_id(id)?.ok_or_else(missing)?)
        }
    };
    let prefix = prefix(&entry.actor().id());
    let actor = match &previous {
        Some((_, row)) => row.actor,
        None => intern(write, number, Tag::Actor, &actor_bytes(entry.actor()), Err((prefix, position)))?,
    };
    let grant = match (&header.grant, &previous) {
        (Some(id), _) => intern(write, number, Tag::Grant, id.as_bytes(), Ok(id.as_bytes()))?,
        (None, Some((_, row))) => row.grant,
        (None, None) => 0,
    };
    let (document, source_name) = (document_bytes(&header.document), source_bytes(source));
    let row = EntryRow {
        id: entry.id(),
        actor,
        sequence: u32::try_from(header.sequence).unwrap_or(u32::MAX),
        time: header.time,
        document: intern(write, number, Tag::Document, &document, Ok(&document))?,
        grant,
        previous: previous.as_ref().map(|(position, _)| *position),
        source: intern(write, number, Tag::Source, &source_name, Ok(&source_name))?,
    };
    let key = || Key::of(number);
    write.put(Table::Entries, &key().position(position), &row.to_bytes())?;
    write.put(Table::Ids, &key().bytes(&id_prefix(&row.id)).position(position), &[])?;
    write.put(Table::Chains, &key().bytes(&prefix).u32(row.sequence).position(position), &[])?;
    if let Some((position, _)) = previous {
        write.delete(Table::Tips, &key().position(position))?;
    }
    write.put(Table::Tips, &key().position(position), &[])?;
    if *source == Source::Own {
        write.put(Table::Own, &key().position(position), &six(header.time))?;
    }
    if header.document.kind.as_str() == ACCESS_KIND {
        write.put(Table::Access, &key().position(position), &[])?;
    }
    Ok(())
}

/// A log up to a position, as pages refer to it. [`Log`] cannot fail, so the first error is kept.
pub(crate) struct LogBefore<'a> {
    index: &'a Index<'a>,
    before: u64,
    error: RefCell<Option<StorageError>>,
}

impl<'a> LogBefore<'a> {
    pub(crate) fn new(index: &'a Index<'a>, before: u64) -> Self {
        Self { index, before, error: RefCell::new(None) }
    }

    /// What was made with this log, or the error that it hid.
    pub(crate) fn finish<T>(self, made: Result<T, StorageError>) -> Result<T, StorageError> {
        match self.error.into_inner() {
            Some(error) => Err(error),
            None => made,
        }
    }

    fn keep<T>(&self, found: Result<Option<T>, StorageError>) -> Option<T> {
        found.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            None
        })
    }
}

impl Log for LogBefore<'_> {
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known> {
        let found = self.index.find(prefix, sequence, self.before);
        self.keep(found.and_then(|found| found.map(|(_, row)| self.index.known_of(&row)).transpose()))
    }

    fn known(&self, id: &ChangeSetId) -> Option<Known> {
        let found = self.index.find_id(id).map(|found| found.filter(|(position, _)| *position < self.before));
        self.keep(found.and_then(|found| found.map(|(_, row)| self.index.known_of(&row)).transpose()))
    }

    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>> {
        self.keep(self.index.actor_of(prefix, self.before))
    }
}
