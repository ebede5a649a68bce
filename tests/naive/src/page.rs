//! Pages, read against the log that lies before them.

use crate::Id;
use crate::body::Body;
use crate::cbor::{Item, decode};
use crate::entry::{Entry, Header, Writer, read_writer};
use crate::hash::{keyed, running_start};
use crate::names::{MAX_BODY, is_kind};
use crate::refused::{At, Need, Refused};
use std::collections::HashMap;

type Prefix = [u8; 8];

fn prefix(actor: &Id) -> Prefix {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&actor[..8]);
    prefix
}

/// The entries of one partition in the order of a log, with what short references look up.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) workspace: Id,
    pub(crate) partition: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) running: Id,
    by_id: HashMap<Id, usize>,
    /// The lowest position by actor prefix and sequence.
    lowest: HashMap<(Prefix, u64), usize>,
    /// The lowest position by actor prefix.
    actors: HashMap<Prefix, usize>,
}

impl Log {
    pub(crate) fn new(workspace: Id, partition: &str, incarnation: &[u8; 8]) -> Self {
        Self {
            workspace,
            partition: partition.to_owned(),
            entries: Vec::new(),
            running: running_start(&workspace, partition, incarnation),
            by_id: HashMap::new(),
            lowest: HashMap::new(),
            actors: HashMap::new(),
        }
    }

    pub(crate) fn append(&mut self, entries: Vec<Entry>) -> Result<(), Refused> {
        for entry in entries {
            let position = self.entries.len();
            self.by_id.insert(entry.id, position).is_none().need("log: an entry twice")?;
            self.lowest.entry((prefix(&entry.actor), entry.sequence)).or_insert(position);
            self.actors.entry(prefix(&entry.actor)).or_insert(position);
            self.running = keyed(&self.running, &entry.id);
            self.entries.push(entry);
        }
        Ok(())
    }

    pub(crate) fn read_page(&self, data: &[u8]) -> Result<Vec<Entry>, Refused> {
        (data.len() <= 1 << 23).need("page: too long")?;
        let item = decode(data)?;
        let [version, actors, documents, grants, entries] = item.array().need("page: not an array of 5")?;
        (*version == Item::Uint(1)).need("page: version")?;
        let table = |item: &'_ Item<'_>| item.list().filter(|items| items.len() <= 4096).is_some();
        [actors, documents, grants, entries].into_iter().all(table).need("page: table")?;
        let list = |item| -> &[Item<'_>] { Item::list(item).unwrap_or_default() };
        let writers = list(actors).iter().map(|item| self.writer(item).need("page: actor"));
        let documents = list(documents).iter().map(|item| read_document(item).need("page: document"));
        let grants: Option<Vec<Id>> = list(grants).iter().map(Item::fixed).collect();
        let mut page = Page {
            log: self,
            writers: writers.collect::<Result<_, _>>()?,
            documents: documents.collect::<Result<_, _>>()?,
            grants: grants.need("page: grant")?,
            entries: Vec::new(),
            signatures: Vec::new(),
            by_id: HashMap::new(),
        };
        for (number, item) in list(entries).iter().enumerate() {
            let (entry, signature) = page.entry(item).at("entry", number)?;
            let is_new = page.by_id.insert(entry.id, number).is_none();
            is_new.need("page: an entry twice").at("entry", number)?;
            page.entries.push(entry);
            page.signatures.push(signature);
        }
        check_attested(&page.entries)?;
        for (number, (entry, signature)) in page.entries.iter().zip(&page.signatures).enumerate() {
            signature.map_or(Ok(()), |signature| entry.check_signature(&signature)).at("entry", number)?;
        }
        Ok(page.entries)
    }

    /// Written out, or the actor of the lowest entry whose actor begins so.
    fn writer(&self, item: &Item<'_>) -> Option<Writer> {
        let Some(prefix) = item.fixed::<8>() else {
            return read_writer(&self.workspace, &self.partition, item);
        };
        let known = &self.entries[*self.actors.get(&prefix)?];
        Some(Writer { author: known.author, incarnation: known.incarnation, actor: known.actor })
    }
}

fn read_document(item: &Item<'_>) -> Option<(String, [u8; 16])> {
    let [kind, document] = item.array()?;
    let kind = kind.text().filter(|kind| is_kind(kind))?;
    Some((kind.to_owned(), document.fixed()?))
}

/// A page that is being read: its tables, and its entries so far.
struct Page<'a> {
    log: &'a Log,
    writers: Vec<Writer>,
    documents: Vec<(String, [u8; 16])>,
    grants: Vec<Id>,
    entries: Vec<Entry>,
    signatures: Vec<Option<[u8; 64]>>,
    by_id: HashMap<Id, usize>,
}

fn from_table<'a, T>(table: &'a [T], number: &Item<'_>) -> Option<&'a T> {
    table.get(usize::try_from(number.uint(u64::MAX)?).ok()?)
}

impl Page<'_> {
    fn entry(&self, item: &Item<'_>) -> Result<(Entry, Option<[u8; 64]>), Refused> {
        let items = item.list().need("entry: not an array")?;
        let [actor, previous, document, parents, time, grant, signature, rest @ ..] = items else {
            return None.need("entry: not an array of 8 or 10");
        };
        let writer = from_table(&self.writers, actor).need("entry: actor number")?;
        let before = match previous {
            Item::Null => None,
            Item::Array(_) => return None.need("entry: previous"),
            _ => Some(self.held(writer, previous).need("entry: previous is not held")?),
        };
        before.is_none_or(|before| before.actor == writer.actor).need("entry: previous is of another actor")?;
        let parents = parents.list().filter(|parents| parents.len() <= 32).need("entry: parents")?;
        let parents: Option<Vec<Id>> = parents.iter().map(|parent| self.parent(writer, parent)).collect();
        let parents = parents.need("entry: parent is not held")?;
        let (kind, document) = self.document(writer, document, &parents, before).need("entry: document")?;
        let time = time.uint(u64::MAX).need("entry: time")?;
        let grant = if grant.is_null() { None } else { Some(*from_table(&self.grants, grant).need("entry: grant")?) };
        let signature = if signature.is_null() { None } else { Some(signature.fixed().need("entry: signature")?) };
        let (format, body, body_length) = match rest {
            [item] => (1, Body::read(item)?, item.encode().len() as u64),
            [format, length, item] => {
                let format = format.uint(u64::MAX).need("entry: format")?;
                (format, Body::read(item)?, length.uint(MAX_BODY).need("entry: body length")?)
            }
            _ => return None.need("entry: not an array of 8 or 10"),
        };
        let header = Header {
            format,
            sequence: before.map_or(1, |before| before.sequence + 1),
            previous: before.map(|before| before.id),
            kind,
            document,
            parents,
            time: time.checked_add(before.map_or(0, |before| before.time)).need("entry: time")?,
            grant,
            body_hash: body.hash(),
            body_length,
        };
        header.check()?;
        Ok((header.into_entry(writer, body, signature.is_some()), signature))
    }

    /// The entry before this one that a reference means.
    fn held(&self, writer: &Writer, reference: &Item<'_>) -> Option<&Entry> {
        let lowest = |prefix, sequence| self.log.lowest.get(&(prefix, sequence)).map(|at| &self.log.entries[*at]);
        match reference {
            Item::Uint(_) => from_table(&self.entries, reference),
            Item::Nint(n) => lowest(prefix(&writer.actor), n + 1),
            Item::Bytes(_) => self.by_its_id(&reference.fixed()?),
            Item::Array(_) => {
                let [prefix, sequence] = reference.array()?;
                lowest(prefix.fixed()?, sequence.uint(u64::MAX)?)
            }
            Item::Null | Item::Text(_) => None,
        }
    }

    fn by_its_id(&self, id: &Id) -> Option<&Entry> {
        let here = self.by_id.get(id).map(|at| &self.entries[*at]);
        here.or_else(|| self.log.by_id.get(id).map(|at| &self.log.entries[*at]))
    }

    /// A parent's id stands for itself, held or not.
    fn parent(&self, writer: &Writer, reference: &Item<'_>) -> Option<Id> {
        match reference {
            Item::Bytes(_) => reference.fixed(),
            Item::Nint(_) => None,
            _ => self.held(writer, reference).map(|parent| parent.id),
        }
    }

    fn document(
        &self,
        writer: &Writer,
        reference: &Item<'_>,
        parents: &[Id],
        before: Option<&Entry>,
    ) -> Option<(String, [u8; 16])> {
        let neighbour = match reference {
            Item::Uint(_) => return from_table(&self.documents, reference).cloned(),
            Item::Nint(_) => self.held(writer, reference)?,
            Item::Null => parents.first().map_or(before, |parent| self.by_its_id(parent))?,
            _ => return None,
        };
        Some((neighbour.kind.clone(), neighbour.document))
    }
}

/// Every entry is signed, or named as previous by a later attested one, within a run of bounded length.
fn check_attested(entries: &[Entry]) -> Result<(), Refused> {
    // The least of the runs of later entries, by what they name as previous.
    let mut least: HashMap<Id, (u64, u64)> = HashMap::new();
    for (number, entry) in entries.iter().enumerate().rev() {
        let run = if entry.is_signed {
            (1, entry.body_length)
        } else {
            let (count, bytes) = least.get(&entry.id).need("not attested").at("entry", number)?;
            (count + 1, bytes + entry.body_length)
        };
        let is_short = run.0 <= 1024 && (run.0 == 1 || run.1 <= 1 << 22);
        is_short.need("run too long").at("entry", number)?;
        if let Some(previous) = entry.previous {
            let known = least.entry(previous).or_insert(run);
            *known = run.min(*known);
        }
    }
    Ok(())
}
