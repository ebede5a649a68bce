//! Bundles, and the set of change sets that is in one.

use crate::Id;
use crate::cbor::decode_at;
use crate::entry::Entry;
use crate::names::is_partition;
use crate::page::Log;
use crate::refused::{At, Need, Refused};
use std::collections::{BTreeSet, HashMap};

/// One partition as a bundle holds it: read, with all hashes, chains and signatures checked.
#[derive(Clone, Debug)]
pub struct Partition {
    workspace: Id,
    name: String,
    running_hash: Id,
    /// The set, in causal order.
    pub(crate) entries: Vec<Entry>,
    by_id: HashMap<Id, usize>,
    waiting: Vec<Entry>,
}

/// Reads a file of one bundle or more, one directly behind the other, in which everything must hold.
///
/// # Errors
/// [`Refused`], with the place, if anything does not.
pub fn read(bundles: &[u8]) -> Result<Vec<Partition>, Refused> {
    let mut partitions: Vec<Partition> = Vec::new();
    let mut at = 0;
    while at < bundles.len() || partitions.is_empty() {
        let number = partitions.len();
        (number < 1024).need("file of bundles: too many")?;
        let (log, end) = read_bundle(bundles, at).at("bundle", number)?;
        let partition = Partition::of(log).at("bundle", number)?;
        partitions.push(partition);
        at = end;
    }
    let first = partitions[0].workspace;
    partitions.iter().all(|it| it.workspace == first).need("file of bundles: of several workspaces")?;
    Ok(partitions)
}

/// The log in the bundle that begins here, and where it ends.
pub(crate) fn read_bundle(data: &[u8], start: usize) -> Result<(Log, usize), Refused> {
    data[start..].starts_with(b"FBBUNDL1").need("not a bundle: wrong first 8 bytes")?;
    let (item, end) = decode_at(data, start + 8)?;
    let [workspace, name, incarnation, pages, running] = item.array().need("bundle: not an array of 5")?;
    let name = name.text().filter(|name| is_partition(name)).need("bundle: partition")?;
    let incarnation = incarnation.fixed().need("bundle: log")?;
    let pages = pages.list().filter(|pages| pages.len() <= 1 << 20).need("bundle: pages")?;
    let running: Id = running.fixed().need("bundle: running hash")?;
    let mut log = Log::new(workspace.fixed().need("bundle: workspace")?, name, &incarnation);
    for (number, page) in pages.iter().enumerate() {
        let page = page.bytes().need("bundle: pages")?;
        let entries = log.read_page(page).at("page", number)?;
        log.append(entries).at("page", number)?;
    }
    (log.running == running).need("bundle: running hash differs")?;
    Ok((log, end))
}

impl Partition {
    fn of(log: Log) -> Result<Self, Refused> {
        let mut partition = Self::empty(log.workspace, log.partition);
        partition.running_hash = log.running;
        partition.admit(log.entries)?;
        Ok(partition)
    }

    pub(crate) fn empty(workspace: Id, name: String) -> Self {
        Self { workspace, name, running_hash: [0; 32], entries: Vec::new(), by_id: HashMap::new(), waiting: Vec::new() }
    }

    /// Takes what arrives, in any order. What lacks its previous or a parent waits.
    pub(crate) fn admit(&mut self, arrived: Vec<Entry>) -> Result<(), Refused> {
        let mut waiting: HashMap<Id, Vec<Entry>> = HashMap::new();
        for (number, first) in arrived.into_iter().enumerate() {
            let mut ready = vec![first];
            while let Some(entry) = ready.pop() {
                if self.by_id.contains_key(&entry.id) {
                    continue;
                }
                let mut named = entry.previous.iter().chain(&entry.parents);
                if let Some(missing) = named.find(|id| !self.by_id.contains_key(*id)) {
                    waiting.entry(*missing).or_default().push(entry);
                    continue;
                }
                self.check_header(&entry).at("change set", number)?;
                ready.extend(waiting.remove(&entry.id).unwrap_or_default());
                self.by_id.insert(entry.id, self.entries.len());
                self.entries.push(entry);
            }
        }
        self.waiting = waiting.into_values().flatten().collect();
        self.waiting.sort_by_key(|entry| entry.id);
        self.waiting.dedup_by_key(|entry| entry.id);
        Ok(())
    }

    /// What the header says of what it names.
    fn check_header(&self, entry: &Entry) -> Result<(), Refused> {
        if let Some(before) = entry.previous.and_then(|id| self.entry(&id)) {
            (before.actor == entry.actor).need("previous is of another actor")?;
            (entry.sequence == before.sequence + 1).need("sequence does not follow that of previous")?;
            (entry.time >= before.time).need("time below that of previous")?;
        }
        let mut parents = entry.parents.iter().filter_map(|id| self.entry(id));
        let is_there = |parent: &Entry| (&parent.kind, parent.document) == (&entry.kind, entry.document);
        parents.all(is_there).need("parent of another document")
    }

    /// The workspace that it is of.
    pub fn workspace(&self) -> Id {
        self.workspace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hash over the ids of the log in its order: a cursor.
    pub fn running_hash(&self) -> Id {
        self.running_hash
    }

    /// The ids of the set in causal order: what a change set names comes before it.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.entries.iter().map(|entry| entry.id)
    }

    /// The change sets of the set in the same order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// One of the set.
    pub fn entry(&self, id: &Id) -> Option<&Entry> {
        self.place(id).map(|place| &self.entries[place])
    }

    /// What is in the bundle and lacks its previous or a parent: not in the set.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.iter()
    }

    pub(crate) fn place(&self, id: &Id) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// All that the parents of a change set reach, the implied parent among them, without itself. Costs a
    /// pass over the partition.
    pub fn past(&self, id: &Id) -> BTreeSet<Id> {
        let implied = crate::fold::implied_parents(self);
        let mut past = BTreeSet::new();
        let mut next: Vec<usize> = self.place(id).into_iter().collect();
        while let Some(place) = next.pop() {
            let named = self.entries[place].parents.iter().filter_map(|parent| self.place(parent));
            for parent in named.chain(implied[place]) {
                if past.insert(self.entries[parent].id) {
                    next.push(parent);
                }
            }
        }
        past
    }

    /// The change sets of a document that are in no other's past, ascending.
    pub fn heads(&self, kind: &str, document: &[u8; 16]) -> Vec<Id> {
        let implied = crate::fold::implied_parents(self);
        let members = self.entries.iter().enumerate();
        let members = members.filter(|(_, entry)| entry.kind == kind && entry.document == *document);
        let members: Vec<(usize, &Entry)> = members.collect();
        let mut heads: BTreeSet<Id> = members.iter().map(|(_, entry)| entry.id).collect();
        for (place, entry) in members {
            let implied = implied[place].map(|parent| self.entries[parent].id);
            entry.parents.iter().chain(&implied).for_each(|parent| {
                heads.remove(parent);
            });
        }
        heads.into_iter().collect()
    }
}
