//! Pages: how runs of change sets are stored and sent.
//!
//! A page stands at one place of one log. What the page or the log before it already says is not said again: actors,
//! documents, previous change sets and parents are short references, body hashes and sequences are derived, and only
//! the last entry of a run carries a signature, because each header names the one before. Reading a page gives
//! change sets only after every signature held and every entry was attested by one.

use crate::body::Body;
use crate::cbor::{Kind as Item, Reader, Writer};
use crate::entry::{Actor, Unproven, Verified};
use crate::error::{DecodeError, Fault, PageError, VerifyError};
use crate::hash::change_set_id;
use crate::header::{FORMAT_PLAIN, Header};
use crate::id::{ActorId, ChangeSetId, DocumentId, DocumentKey, Kind, Partition, WorkspaceId};
use crate::key::{Signature, Verifier};
use crate::limits::{
    MAX_BODY_BYTES, MAX_KIND_BYTES, MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_PARENTS, MAX_RUN_BYTES, MAX_RUN_ENTRIES,
    MAX_SEQUENCE, MAX_TIME_MS, MIN_COMPRESSED_PAGE_BYTES,
};
use crate::log::{ActorPrefix, Known, Log, prefix};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

const VERSION: u64 = 1;

/// Writes entries as one page of `log`, which holds all that came before. Entries stand in causal order.
///
/// # Errors
/// [`PageError::Unsigned`] if the last entry of a run has no signature, [`PageError::TooLarge`],
/// [`PageError::Missing`] if an entry's `previous` is neither in the page nor in the log.
pub fn encode_page(entries: &[Verified], log: &impl Log) -> Result<Vec<u8>, PageError> {
    if entries.len() > MAX_PAGE_ENTRIES {
        return Err(PageError::TooLarge { limit: MAX_PAGE_ENTRIES });
    }
    let signed = choose_signatures(entries)?;
    let (index, found) = (HashMap::new(), HashMap::new());
    let mut writer = PageWriter { entries, log, index, tables: Tables::default(), found };
    let mut body = Writer::with_capacity(128 * entries.len());
    for (index, (entry, signature)) in entries.iter().zip(signed).enumerate() {
        writer.write(&mut body, index, entry, signature)?;
        if writer.index.insert(entry.id(), index).is_some() {
            return Err(PageError::Entry { entry: index, error: repeat() });
        }
    }
    let tables = writer.tables;
    let mut out = Writer::with_capacity(body.len() + 64);
    out.array(5);
    out.uint(VERSION);
    out.array(tables.actors.list.len());
    for actor in &tables.actors.list {
        match log.actor(prefix(&actor.id())) {
            Some(known) if known.id() == actor.id() => out.bytes(&prefix(&actor.id())),
            _ => out.bytes(&actor.to_bytes()),
        }
    }
    out.array(tables.documents.list.len());
    for document in &tables.documents.list {
        out.array(2);
        out.text(document.kind.as_str());
        out.bytes(document.id.as_bytes());
    }
    out.array(tables.grants.list.len());
    tables.grants.list.iter().for_each(|grant| out.bytes(grant.as_bytes()));
    out.array(entries.len());
    out.raw(&body.into_bytes());
    let bytes = out.into_bytes();
    if bytes.len() > MAX_PAGE_BYTES { Err(PageError::TooLarge { limit: MAX_PAGE_BYTES }) } else { Ok(bytes) }
}

/// A log holds an entry once, and so does a page.
pub(crate) fn repeat() -> DecodeError {
    DecodeError { place: "page, entries", offset: 0, fault: Fault::Unsorted }
}

/// For each entry the signature that the page carries: that of every entry that no later one names as its previous,
/// and of as many others as keep runs within half their limit, or within it where signatures are far apart.
pub(crate) fn choose_signatures(entries: &[Verified]) -> Result<Vec<Option<Signature>>, PageError> {
    let unsigned_before = unsigned_before(entries);
    let mut unsigned_after: HashMap<ChangeSetId, (usize, usize)> = HashMap::new();
    let mut chosen = vec![None; entries.len()];
    for ((entry, before), chosen) in entries.iter().zip(unsigned_before).zip(&mut chosen).rev() {
        let after = unsigned_after.get(&entry.id()).copied();
        let (count, bytes) = after.unwrap_or((0, 0));
        let is_end = after.is_none();
        let length = entry.header().body_length as usize;
        let long = count >= MAX_RUN_ENTRIES / 2 || bytes >= MAX_RUN_BYTES / 2;
        let needed = before.0 + 1 + count > MAX_RUN_ENTRIES
            || before.1.saturating_add(length).saturating_add(bytes) > MAX_RUN_BYTES;
        let carries = entry.signature().is_some() && (is_end || long || needed);
        if is_end && !carries {
            return Err(PageError::Unsigned { id: entry.id() });
        }
        let run = if carries { (1, length) } else { (count + 1, bytes.saturating_add(length)) };
        if run.0 > MAX_RUN_ENTRIES || (run.0 > 1 && run.1 > MAX_RUN_BYTES) {
            return Err(VerifyError::RunTooLong { id: entry.id() }.into());
        }
        if carries {
            *chosen = entry.signature().copied();
        }
        if let Some(previous) = entry.header().previous {
            // A fork: the shorter of two runs attests it.
            let shortest = unsigned_after.entry(previous).or_insert(run);
            *shortest = (*shortest).min(run);
        }
    }
    Ok(chosen)
}

/// For each entry how many entries and bytes stand before it in its run, back to the last one with a signature.
fn unsigned_before(entries: &[Verified]) -> Vec<(usize, usize)> {
    let mut up_to: HashMap<ChangeSetId, (usize, usize)> = HashMap::new();
    let step = |entry: &Verified| {
        let before = entry.header().previous.and_then(|previous| up_to.get(&previous).copied()).unwrap_or((0, 0));
        let length = entry.header().body_length as usize;
        let own = if entry.signature().is_some() { (0, 0) } else { (before.0 + 1, before.1.saturating_add(length)) };
        up_to.insert(entry.id(), own);
        before
    };
    entries.iter().map(step).collect()
}

/// A list without repeats; entries name its members by number.
pub(crate) struct Table<T> {
    pub(crate) list: Vec<T>,
    numbers: HashMap<T, u64>,
}

impl<T: Clone + Eq + Hash> Table<T> {
    pub(crate) fn number(&mut self, value: &T) -> u64 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.list.len() as u64;
        self.list.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { list: Vec::new(), numbers: HashMap::new() }
    }
}

/// What the entries of a page have in common.
#[derive(Default)]
struct Tables {
    actors: Table<Arc<Actor>>,
    documents: Table<DocumentKey>,
    grants: Table<ChangeSetId>,
}

struct PageWriter<'a, L> {
    entries: &'a [Verified],
    log: &'a L,
    index: HashMap<ChangeSetId, usize>,
    tables: Tables,
    /// The documents of entries of the log that were searched: each is asked for once.
    found: HashMap<(ActorPrefix, u64), Option<DocumentKey>>,
}

/// How far back an author's own chain is searched for an entry of the same document, to name the document by it.
const OWN_DOCUMENT_SEARCH: u64 = 64;

impl<L: Log> PageWriter<'_, L> {
    /// An entry of this page or of the log before it.
    fn held(&self, id: &ChangeSetId) -> Option<Known> {
        match self.index.get(id) {
            Some(index) => self.entries.get(*index).map(Known::from),
            None => self.log.known(id),
        }
    }

    /// Whether the short reference means this entry.
    fn is_short(&self, prefix: ActorPrefix, sequence: u64, id: &ChangeSetId) -> bool {
        self.log.find(prefix, sequence).is_some_and(|found| found.id == *id)
    }

    /// The document of an entry of the log.
    fn document_at(&mut self, prefix: ActorPrefix, sequence: u64) -> Option<&DocumentKey> {
        let find = || self.log.find(prefix, sequence).map(|found| found.document);
        self.found.entry((prefix, sequence)).or_insert_with(find).as_ref()
    }

    fn write(
        &mut self,
        out: &mut Writer,
        index: usize,
        entry: &Verified,
        signature: Option<Signature>,
    ) -> Result<(), PageError> {
        let header = entry.header();
        let own = prefix(&entry.actor().id());
        let body = entry.body().to_bytes();
        let plain = header.format == FORMAT_PLAIN && header.body_length == body.len() as u64;
        out.array(if plain { 8 } else { 10 });
        out.uint(self.tables.actors.number(entry.actor()));
        let mut before = None;
        match &header.previous {
            None => out.null(),
            Some(previous) => {
                let missing = PageError::Missing { entry: index, what: "its previous change set" };
                before = Some(self.held(previous).ok_or(missing)?);
                match self.index.get(previous) {
                    Some(known) => out.uint(*known as u64),
                    None if self.is_short(own, header.sequence - 1, previous) => out.int(-(header.sequence as i64 - 1)),
                    None => out.bytes(previous.as_bytes()),
                }
            }
        }
        self.write_document(out, entry, own, before.as_ref());
        out.array(header.parents.len());
        for parent in &header.parents {
            match (self.index.get(parent), self.log.known(parent)) {
                (Some(known), _) => out.uint(*known as u64),
                (None, Some(held)) if self.is_short(prefix(&held.actor.id()), held.sequence, parent) => {
                    out.array(2);
                    out.bytes(&prefix(&held.actor.id()));
                    out.uint(held.sequence);
                }
                (None, _) => out.bytes(parent.as_bytes()),
            }
        }
        // A time below that of `previous` is a header fault: such an entry is in no log.
        let base = before.as_ref().map_or(0, |before| before.time);
        let fault = DecodeError { place: "time", offset: 0, fault: Fault::Unsorted };
        out.uint(header.time.checked_sub(base).ok_or(PageError::Entry { entry: index, error: fault })?);
        match &header.grant {
            None => out.null(),
            Some(grant) => out.uint(self.tables.grants.number(grant)),
        }
        match signature {
            None => out.null(),
            Some(signature) => out.bytes(signature.as_bytes()),
        }
        if !plain {
            out.uint(header.format);
            out.uint(header.body_length);
        }
        out.raw(&body);
        Ok(())
    }

    /// The document: that of the first parent (or of `previous`, without parents), one named in this page before, that
    /// of an own entry a little further back, or a new one of the page's table; the first that fits.
    fn write_document(&mut self, out: &mut Writer, entry: &Verified, own: ActorPrefix, before: Option<&Known>) {
        let header = entry.header();
        let neighbour = match header.parents.first() {
            Some(parent) => self.held(parent),
            None => before.cloned(),
        };
        if neighbour.is_some_and(|neighbour| neighbour.document == header.document) {
            return out.null();
        }
        if !self.tables.documents.numbers.contains_key(&header.document) {
            let from = header.sequence.saturating_sub(OWN_DOCUMENT_SEARCH).max(1);
            let is_of_it = |sequence: &u64| self.document_at(own, *sequence) == Some(&header.document);
            let earlier = (from..header.sequence).rev().find(is_of_it);
            if let Some(sequence) = earlier {
                return out.int(-(sequence as i64));
            }
        }
        out.uint(self.tables.documents.number(&header.document));
    }
}

/// A page's entries before any signature was checked.
pub struct UnverifiedPage {
    pub(crate) entries: Vec<(Unproven, Option<Signature>)>,
}

impl core::fmt::Debug for UnverifiedPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "UnverifiedPage({} entries)", self.entries.len())
    }
}

/// Reads a page that follows on `log`.
///
/// # Errors
/// [`PageError`] that names the entry; nothing is taken.
pub fn decode_page(
    bytes: &[u8],
    workspace: &WorkspaceId,
    partition: &Partition,
    log: &impl Log,
) -> Result<UnverifiedPage, PageError> {
    let mut reader = Reader::new(bytes, "page");
    if bytes.len() > MAX_PAGE_BYTES {
        return Err(PageError::TooLarge { limit: MAX_PAGE_BYTES });
    }
    reader.array_of(5)?;
    let version = reader.uint(u64::MAX)?;
    if version != VERSION {
        return Err(reader.fault_at(1, Fault::UnknownCode(version)).into());
    }
    reader.place("page, actors");
    let mut actors = Vec::new();
    for _ in 0..reader.array(MAX_PAGE_ENTRIES)? {
        let at = reader.position();
        let bytes = reader.bytes(40)?;
        let actor = match (<[u8; 8]>::try_from(bytes), <[u8; 40]>::try_from(bytes)) {
            (Ok(prefix), _) => log.actor(prefix),
            (_, Ok(whole)) => Some(Arc::new(Actor::from_bytes(*workspace, partition.clone(), &whole))),
            _ => return Err(reader.fault_at(at, Fault::WrongLength { wanted: 40 }).into()),
        };
        actors.push(actor.ok_or_else(|| reader.fault_at(at, Fault::BadReference("an actor")))?);
    }
    reader.place("page, documents");
    let mut documents = Vec::new();
    for _ in 0..reader.array(MAX_PAGE_ENTRIES)? {
        reader.array_of(2)?;
        let at = reader.position();
        let kind = Kind::new(reader.text(MAX_KIND_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        documents.push(DocumentKey { kind, id: DocumentId::from_bytes(reader.fixed()?) });
    }
    reader.place("page, grants");
    let mut grants = Vec::new();
    for _ in 0..reader.array(MAX_PAGE_ENTRIES)? {
        grants.push(ChangeSetId::from_bytes(reader.fixed()?));
    }
    reader.place("page, entries");
    let count = reader.array(MAX_PAGE_ENTRIES)?;
    let (entries, index) = (Vec::with_capacity(count), HashMap::with_capacity(count));
    let mut page = PageReader { log, actors, documents, grants, entries, index };
    for entry in 0..count {
        page.read(&mut reader, entry)?;
    }
    reader.place("page");
    reader.finish()?;
    Ok(UnverifiedPage { entries: page.entries })
}

struct PageReader<'a, L> {
    log: &'a L,
    actors: Vec<Arc<Actor>>,
    documents: Vec<DocumentKey>,
    grants: Vec<ChangeSetId>,
    entries: Vec<(Unproven, Option<Signature>)>,
    index: HashMap<ChangeSetId, usize>,
}

impl<L: Log> PageReader<'_, L> {
    fn in_page(&self, number: u64) -> Option<Known> {
        self.entries.get(usize::try_from(number).ok()?).map(|(entry, _)| Known::from(entry))
    }

    fn by_id(&self, id: &ChangeSetId) -> Option<Known> {
        match self.index.get(id) {
            Some(number) => self.in_page(*number as u64),
            None => self.log.known(id),
        }
    }

    fn read(&mut self, reader: &mut Reader<'_>, entry: usize) -> Result<(), PageError> {
        let at_entry = |error: DecodeError| PageError::Entry { entry, error };
        let missing = |what| PageError::Missing { entry, what };
        reader.place("page, entries");
        let start = reader.position();
        let items = reader.array(10).map_err(at_entry)?;
        if items != 8 && items != 10 {
            return Err(at_entry(reader.fault_at(start, Fault::WrongLength { wanted: 8 })));
        }
        let at = reader.position();
        let number = reader.uint(MAX_PAGE_ENTRIES as u64).map_err(at_entry)?;
        let no_actor = || at_entry(reader.fault_at(at, Fault::BadReference("an actor")));
        let actor = Arc::clone(self.actors.get(number as usize).ok_or_else(no_actor)?);
        let own = prefix(&actor.id());

        let at = reader.position();
        let previous = match reader.peek() {
            Some(Item::Null) => {
                reader.null();
                None
            }
            Some(Item::Uint) => Some(self.in_page(reader.uint(u64::MAX).map_err(at_entry)?)),
            Some(Item::Negative) => Some(self.log.find(own, own_sequence(reader).map_err(at_entry)?)),
            _ => Some(self.by_id(&ChangeSetId::from_bytes(reader.fixed().map_err(at_entry)?))),
        };
        let previous = match previous {
            None => None,
            Some(found) => Some(found.ok_or_else(|| missing("its previous change set"))?),
        };
        if previous.as_ref().is_some_and(|previous| previous.actor.id() != actor.id()) {
            return Err(at_entry(reader.fault_at(at, Fault::BadReference("a change set of this actor"))));
        }

        let at = reader.position();
        let document = match reader.peek() {
            Some(Item::Null) => {
                reader.null();
                None
            }
            Some(Item::Negative) => {
                let sequence = own_sequence(reader).map_err(at_entry)?;
                Some(self.log.find(own, sequence).ok_or_else(|| missing("its document"))?.document)
            }
            _ => {
                let number = reader.uint(MAX_PAGE_ENTRIES as u64).map_err(at_entry)?;
                let no_document = || at_entry(reader.fault_at(at, Fault::BadReference("a document")));
                Some(self.documents.get(number as usize).ok_or_else(no_document)?.clone())
            }
        };

        let count = reader.array(MAX_PARENTS).map_err(at_entry)?;
        let mut parents = Vec::with_capacity(count);
        let mut first = None;
        for _ in 0..count {
            let (id, found) = match reader.peek() {
                Some(Item::Uint) => {
                    let found =
                        self.in_page(reader.uint(u64::MAX).map_err(at_entry)?).ok_or_else(|| missing("a parent"))?;
                    (found.id, Some(found))
                }
                Some(Item::Array) => {
                    reader.array_of(2).map_err(at_entry)?;
                    let prefix = reader.fixed().map_err(at_entry)?;
                    let sequence = reader.uint(MAX_SEQUENCE).map_err(at_entry)?;
                    let found = self.log.find(prefix, sequence).ok_or_else(|| missing("a parent"))?;
                    (found.id, Some(found))
                }
                _ => {
                    let id = ChangeSetId::from_bytes(reader.fixed().map_err(at_entry)?);
                    (id, if parents.is_empty() && document.is_none() { self.by_id(&id) } else { None })
                }
            };
            if parents.is_empty() {
                first = found.map(|found| found.document);
            }
            parents.push(id);
        }
        let neighbour = if count == 0 { previous.as_ref().map(|previous| previous.document.clone()) } else { first };
        let document = document.or(neighbour).ok_or_else(|| missing("its document"))?;

        let base = previous.as_ref().map_or(0, |previous| previous.time);
        let time = base + reader.uint(MAX_TIME_MS).map_err(at_entry)?;
        let at = reader.position();
        let grant = if reader.null() {
            None
        } else {
            let number = reader.uint(MAX_PAGE_ENTRIES as u64).map_err(at_entry)?;
            let no_grant = || at_entry(reader.fault_at(at, Fault::BadReference("a grant")));
            Some(*self.grants.get(number as usize).ok_or_else(no_grant)?)
        };
        let signature =
            if reader.null() { None } else { Some(Signature::from_bytes(reader.fixed().map_err(at_entry)?)) };
        let explicit = if items == 10 {
            let format = reader.uint(u64::MAX).map_err(at_entry)?;
            Some((format, reader.uint(MAX_BODY_BYTES as u64).map_err(at_entry)?))
        } else {
            None
        };
        let from = reader.position();
        let body = Body::read(reader).map_err(at_entry)?;
        let length = (reader.position() - from) as u64;
        let (format, body_length) = explicit.unwrap_or((FORMAT_PLAIN, length));
        let header = Header {
            format,
            sequence: previous.as_ref().map_or(1, |previous| previous.sequence + 1),
            previous: previous.map(|previous| previous.id),
            document,
            parents,
            time,
            grant,
            body_hash: body.hash(),
            body_length,
        };
        header.check().map_err(|fault| at_entry(DecodeError { place: "header", offset: start, fault }))?;
        let id = change_set_id(&actor.id(), &header.to_bytes());
        if self.index.insert(id, entry).is_some() {
            return Err(at_entry(DecodeError { offset: start, ..repeat() }));
        }
        self.entries.push((Unproven { id, actor, header, body }, signature));
        Ok(())
    }
}

/// A negative number -s means sequence s of the entry's own actor, in the log before this page.
fn own_sequence(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    Ok(reader.int()?.unsigned_abs())
}

impl UnverifiedPage {
    /// The ids that the entries have if they verify, in page order.
    pub fn claimed_ids(&self) -> impl Iterator<Item = ChangeSetId> + '_ {
        self.entries.iter().map(|(entry, _)| entry.id)
    }

    /// The entries without any check of a signature: for what this replica verified itself before it stored it, and
    /// whose bytes a check of its own protects since. An entry that nobody signed must never come this way.
    pub fn danger_trust(self) -> Vec<Verified> {
        self.entries.into_iter().map(|(entry, signature)| entry.proven(signature)).collect()
    }

    /// Checks every signature and that each entry is attested by one. One signature (37 µs) attests a whole run, each
    /// entry of which costs its hash (0.3 µs).
    ///
    /// # Errors
    /// [`VerifyError`] of the first entry, in page order from the end, that does not hold; nothing is taken.
    pub fn verify(self) -> Result<Vec<Verified>, VerifyError> {
        let mut verifiers: HashMap<ActorId, Verifier> = HashMap::new();
        // For each change set that a proven later one names as previous: how many entries and bytes since a signature.
        let mut attested: HashMap<ChangeSetId, (usize, usize)> = HashMap::new();
        for (entry, signature) in self.entries.iter().rev() {
            let length = entry.header.body_length as usize;
            let run = match (signature, attested.get(&entry.id)) {
                (Some(signature), _) => {
                    let verifier = match verifiers.entry(entry.actor.id()) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(Verifier::new(entry.actor.key())?),
                    };
                    verifier.verify(entry.id, signature)?;
                    (1, length)
                }
                (None, Some((count, bytes))) => (count + 1, bytes.saturating_add(length)),
                (None, None) => return Err(VerifyError::Unattested { id: entry.id }),
            };
            if run.0 > MAX_RUN_ENTRIES || (run.0 > 1 && run.1 > MAX_RUN_BYTES) {
                return Err(VerifyError::RunTooLong { id: entry.id });
            }
            if let Some(previous) = entry.header.previous {
                let shortest = attested.entry(previous).or_insert(run);
                *shortest = (*shortest).min(run);
            }
        }
        Ok(self.entries.into_iter().map(|(entry, signature)| entry.proven(signature)).collect())
    }
}

const STORED_PLAIN: u8 = 0;
const STORED_ZSTD: u8 = 1;

/// The form in which a log stores and a session sends a page: one byte that says how, then the page, compressed where
/// that makes it smaller.
pub fn pack_page(page: &[u8]) -> Vec<u8> {
    let packed = |how, bytes: &[u8]| [&[how], bytes].concat();
    if page.len() >= MIN_COMPRESSED_PAGE_BYTES
        && let Ok(compressed) = zstd::bulk::compress(page, 3)
        && compressed.len() < page.len()
    {
        return packed(STORED_ZSTD, &compressed);
    }
    packed(STORED_PLAIN, page)
}

/// Undoes [`pack_page`]. The size is bounded before and after decompression.
///
/// # Errors
/// [`PageError::Compression`], [`PageError::TooLarge`] or [`PageError::Malformed`].
pub fn unpack_page(stored: &[u8]) -> Result<Vec<u8>, PageError> {
    if stored.len() > MAX_PAGE_BYTES + 1 {
        return Err(PageError::TooLarge { limit: MAX_PAGE_BYTES });
    }
    match stored.split_first() {
        Some((&STORED_PLAIN, page)) => Ok(page.to_vec()),
        Some((&STORED_ZSTD, compressed)) => zstd::bulk::decompress(compressed, MAX_PAGE_BYTES)
            .map_err(|_| PageError::Compression { limit: MAX_PAGE_BYTES }),
        Some((other, _)) => {
            let fault = Fault::UnknownCode(u64::from(*other));
            Err(DecodeError { place: "stored page", offset: 0, fault }.into())
        }
        None => Err(DecodeError { place: "stored page", offset: 0, fault: Fault::Truncated }.into()),
    }
}
