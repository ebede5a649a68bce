//! A replica in memory that answers every request honestly: the naive model that sessions are held against.

use changeset::{
    ActorId, Author, ChangeSetId, Cursor, DeviceKey, DocumentId, DocumentKey, Draft, Edit, HeaderFault, Incarnation,
    IntentName, Kind, Log, LogIncarnation, LogPage, MemoryLog, PageError, Partition, Path, PublicKey, RunningHash,
    Script, SeededEntropy, Signer, Verified, WorkspaceId, decode_page, decode_runs, encode_page, encode_runs,
    pack_page, unpack_page,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use sync::{Code, Denial, Knock, Page, Receipt, Request, Response, Tier, Tip, Want};

pub(crate) const NOW: u64 = 1_760_000_000_000;
pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([0x57; 32]);

pub(crate) fn partition(name: &str) -> Partition {
    Partition::new(name).unwrap()
}

/// A partition with a name of ten letters.
pub(crate) fn yard() -> Partition {
    partition("northyards")
}

pub(crate) fn key(number: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[number; 32]))
}

pub(crate) fn document(number: u64) -> DocumentKey {
    let mut random = [7; 10];
    random[..8].copy_from_slice(&number.to_be_bytes());
    DocumentKey { kind: Kind::new("inspection").unwrap(), id: DocumentId::from_parts(NOW, random) }
}

pub(crate) fn author(device: u8, incarnation: u8, partition: Partition) -> Author {
    let entropy = Box::new(SeededEntropy::new(u64::from(device) << 8 | u64::from(incarnation)));
    Author::new(key(device), WORKSPACE, partition, Incarnation::from_bytes([incarnation; 8]), entropy)
}

pub(crate) fn write(author: &mut Author, number: u64, parents: &[ChangeSetId], text: &str, time: u64) -> Verified {
    let edits = vec![Edit::Put { path: Path::new("status").unwrap(), value: text.into() }];
    let draft = Draft {
        document: document(number),
        parents: parents.to_vec(),
        grant: None,
        schema_version: 1,
        intent: IntentName::new("record_outcome").unwrap(),
        group: None,
        script: Script { reason: None, edits },
    };
    let recorded = author.record(draft, time).unwrap();
    author.sign(&recorded).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Own,
    Peer(PublicKey, LogIncarnation, Tier),
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) end: Cursor,
    pub(crate) source: Source,
}

/// One partition: what is durable.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) partition: Partition,
    pub(crate) log: LogIncarnation,
    pub(crate) entries: MemoryLog,
    pub(crate) hashes: Vec<RunningHash>,
    pub(crate) pages: Vec<Stored>,
    pub(crate) places: Vec<(PublicKey, Cursor)>,
    pub(crate) receipts: Vec<(PublicKey, Receipt)>,
    pub(crate) inbox: Vec<(Verified, Source)>,
    pub(crate) held: BTreeMap<ChangeSetId, Verified>,
    pub(crate) refused: BTreeSet<ChangeSetId>,
    pub(crate) told_refused: BTreeMap<ChangeSetId, Code>,
}

impl Store {
    pub(crate) fn new(partition: Partition, log: u8) -> Self {
        let log = LogIncarnation::from_bytes([log; 8]);
        let start = RunningHash::start(&WORKSPACE, &partition, &log);
        Self {
            partition,
            log,
            entries: MemoryLog::new(),
            hashes: vec![start],
            pages: Vec::new(),
            places: Vec::new(),
            receipts: Vec::new(),
            inbox: Vec::new(),
            held: BTreeMap::new(),
            refused: BTreeSet::new(),
            told_refused: BTreeMap::new(),
        }
    }

    pub(crate) fn end(&self) -> Cursor {
        Cursor { log: self.log, position: self.entries.entries().len() as u64, hash: *self.hashes.last().unwrap() }
    }

    pub(crate) fn ids(&self) -> BTreeSet<ChangeSetId> {
        self.entries.entries().iter().map(Verified::id).collect()
    }

    fn matches(&self, cursor: &Cursor) -> bool {
        cursor.log == self.log && self.hashes.get(cursor.position as usize) == Some(&cursor.hash)
    }

    pub(crate) fn place(&self, peer: PublicKey, log: Option<LogIncarnation>) -> Option<Cursor> {
        let mut places =
            self.places.iter().rev().filter(|(key, place)| *key == peer && log.is_none_or(|log| place.log == log));
        places.next().map(|(_, place)| *place)
    }

    /// Up to where the peer answered for this log, and what it gave behind that.
    fn receipted(&self, peer: PublicKey) -> u64 {
        let receipts = self.receipts.iter().filter(|(key, receipt)| *key == peer && self.matches(&receipt.upto));
        let mut upto = receipts.map(|(_, receipt)| receipt.upto.position).max().unwrap_or(0);
        let mut first = 0;
        for page in &self.pages {
            if first <= upto && matches!(page.source, Source::Peer(key, ..) if key == peer) {
                upto = upto.max(page.end.position);
            }
            first = page.end.position;
        }
        upto
    }

    fn set_place(&mut self, peer: PublicKey, place: Cursor) {
        self.places.retain(|(key, held)| (*key, held.log) != (peer, place.log));
        self.places.push((peer, place));
    }

    pub(crate) fn tips(&self) -> Vec<Tip> {
        let continued: BTreeSet<ChangeSetId> =
            self.entries.entries().iter().filter_map(|entry| entry.header().previous).collect();
        let tip =
            |entry: &Verified| Tip { actor: entry.actor().id(), sequence: entry.header().sequence, id: entry.id() };
        self.entries.entries().iter().filter(|entry| !continued.contains(&entry.id())).map(tip).collect()
    }

    fn is_held(&self, id: &ChangeSetId) -> bool {
        self.entries.contains(id) || self.held.contains_key(id) || self.inbox.iter().any(|(entry, _)| entry.id() == *id)
    }

    fn lacking(&self, tips: &[Tip]) -> Vec<Want> {
        let own = self.tips();
        let want = |tip: &Tip| {
            let mut known: Vec<ChangeSetId> =
                own.iter().filter(|own| own.actor == tip.actor).map(|own| own.id).take(6).collect();
            // And ever further back, for forks.
            let chain = self.chain(&tip.actor);
            let (mut back, mut at) = (1, chain.len());
            while known.len() < 12 && at > 0 {
                at = at.saturating_sub(back);
                back *= 2;
                known.push(chain[at]);
            }
            Want { tip: tip.id, known }
        };
        tips.iter().filter(|tip| !self.is_held(&tip.id)).map(want).collect()
    }

    fn chain(&self, actor: &ActorId) -> Vec<ChangeSetId> {
        self.entries.entries().iter().filter(|entry| entry.actor().id() == *actor).map(Verified::id).collect()
    }

    fn lines(&self, wants: &[Want], after: Option<u64>, max_bytes: usize) -> Response {
        let position: BTreeMap<ChangeSetId, usize> =
            self.entries.entries().iter().enumerate().map(|(at, entry)| (entry.id(), at)).collect();
        let mut wanted = BTreeSet::new();
        for want in wants {
            let mut at = Some(want.tip);
            while let Some(id) = at
                && !want.known.contains(&id)
                && let Some(entry) = self.entries.get(&id)
            {
                wanted.insert(position[&id]);
                at = entry.header().previous;
            }
        }
        let rest: Vec<usize> = wanted.into_iter().filter(|at| after.is_none_or(|after| *at as u64 > after)).collect();
        let mut part = Vec::new();
        let mut bytes = 0;
        for (number, at) in rest.iter().enumerate() {
            let entry = &self.entries.entries()[*at];
            bytes += 200 + entry.header().body_length as usize;
            part.push(entry.clone());
            if bytes < max_bytes && number + 1 < rest.len() {
                continue;
            }
            // A part ends where every run in it is signed.
            if let Ok(runs) = encode_runs(&part) {
                let next = if number + 1 < rest.len() { Some(*at as u64) } else { None };
                return Response::Runs { packed: Some(pack_page(&runs)), next, hash: None };
            }
        }
        assert!(part.is_empty(), "lines that cannot be written");
        Response::Runs { packed: None, next: None, hash: None }
    }

    fn is_applicable(&self, entry: &Verified, batch: &[Verified]) -> bool {
        let known = |id: &ChangeSetId| self.entries.contains(id) || batch.iter().any(|other| other.id() == *id);
        entry.header().previous.iter().all(known) && entry.header().parents.iter().all(known)
    }

    /// Appends what is applicable as one page; what is not waits.
    pub(crate) fn append(&mut self, entries: Vec<Verified>, source: Source, signer: &DeviceKey) {
        let mut batch: Vec<Verified> = Vec::new();
        for entry in entries {
            if self.is_held(&entry.id()) || batch.iter().any(|other| other.id() == entry.id()) {
                continue;
            }
            if self.is_applicable(&entry, &batch) { batch.push(entry) } else { self.inbox.push((entry, source)) }
        }
        self.append_page(batch, source, signer);
        loop {
            let ready =
                self.inbox.iter().position(|(entry, _)| self.is_applicable(entry, &[]) && entry.signature().is_some());
            let Some(at) = ready else { break };
            let (entry, source) = self.inbox.remove(at);
            self.append_page(vec![entry], source, signer);
        }
        // A run whose end waits for something waits with it; once the end may go, all of it goes together.
        loop {
            let mut batch: Vec<Verified> = Vec::new();
            let mut sources: Vec<Source> = Vec::new();
            while let Some(at) = self.inbox.iter().position(|(entry, _)| {
                self.is_applicable(entry, &batch) && !batch.iter().any(|other| other.id() == entry.id())
            }) {
                let (entry, given) = self.inbox[at].clone();
                batch.push(entry);
                sources.push(given);
            }
            // What waited was given by whoever gave it first, not by who gave what it waited for.
            let source = sources.first().copied().filter(|first| sources.iter().all(|other| other == first));
            let source = source.unwrap_or(Source::Own);
            let before = self.entries.entries().len();
            self.inbox.retain(|(entry, _)| !batch.iter().any(|other| other.id() == entry.id()));
            self.append_page(batch, source, signer);
            if self.entries.entries().len() == before {
                break;
            }
        }
    }

    fn append_page(&mut self, mut batch: Vec<Verified>, source: Source, signer: &DeviceKey) {
        let page = loop {
            match encode_page(&batch, &self.entries) {
                Ok(page) => break page,
                // The rest of its run waits, so it does.
                Err(PageError::Unsigned { id }) => {
                    let at = batch.iter().position(|entry| entry.id() == id).unwrap();
                    self.inbox.push((batch.remove(at), source));
                    while let Some(at) = (0..batch.len()).find(|at| !self.is_applicable(&batch[*at], &batch[..*at])) {
                        self.inbox.push((batch.remove(at), source));
                    }
                }
                Err(error) => panic!("{error}"),
            }
        };
        if batch.is_empty() {
            return;
        }
        let first = self.end().position;
        for entry in batch {
            HeaderFault::check(&entry, |id| self.entries.known(id)).unwrap();
            self.hashes.push(self.hashes.last().unwrap().then(&entry.id()));
            assert!(self.entries.push(entry));
        }
        let end = self.end();
        let page = LogPage::seal(signer, &WORKSPACE, self.partition.clone(), first, end, pack_page(&page)).unwrap();
        self.pages.push(Stored { bytes: page.to_bytes().into(), end, source });
    }

    /// Makes one page of all that follow on each other and came from one source.
    pub(crate) fn merge_pages(&mut self, signer: &DeviceKey) {
        let old = std::mem::take(&mut self.pages);
        let mut log = MemoryLog::new();
        let mut groups: Vec<(u64, u64, Source)> = Vec::new();
        let mut first = 0;
        for page in old {
            match groups.last_mut() {
                Some((_, end, source)) if *source == page.source => *end = page.end.position,
                _ => groups.push((first, page.end.position, page.source)),
            }
            first = page.end.position;
        }
        for (first, end, source) in groups {
            let entries = self.entries.entries()[first as usize..end as usize].to_vec();
            let page = pack_page(&encode_page(&entries, &log).unwrap());
            let end = Cursor { log: self.log, position: end, hash: self.hashes[end as usize] };
            let page = LogPage::seal(signer, &WORKSPACE, self.partition.clone(), first, end, page).unwrap();
            self.pages.push(Stored { bytes: page.to_bytes().into(), end, source });
            entries.into_iter().for_each(|entry| assert!(log.push(entry)));
        }
    }
}

/// What a replica decides, apart from what it holds.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    pub(crate) admit: Option<Denial>,
    pub(crate) deny: Option<Denial>,
    pub(crate) is_unreadable: bool,
    /// So many times storage asks to wait.
    pub(crate) waits: usize,
    pub(crate) wait_ms: u64,
    /// These actors' entries are not kept.
    pub(crate) refuse: BTreeSet<ActorId>,
    /// These actors' entries are kept aside.
    pub(crate) hold: BTreeSet<ActorId>,
    pub(crate) fails: bool,
    pub(crate) knocks: Vec<Knock>,
}

pub(crate) struct Replica {
    pub(crate) key: Arc<DeviceKey>,
    pub(crate) tier: Tier,
    pub(crate) stores: BTreeMap<Partition, Store>,
    pub(crate) policy: Policy,
    /// What the sessions have yet to hear.
    pub(crate) grown: Vec<(Partition, Cursor)>,
    pub(crate) requests: Vec<String>,
    written: u64,
    /// So many letters more in every entry, that do not compress away.
    pub(crate) padding: usize,
}

impl Replica {
    /// A replica with one partition, [`yard`].
    pub(crate) fn new(number: u8, tier: Tier) -> Self {
        let stores = BTreeMap::from([(yard(), Store::new(yard(), number))]);
        let (policy, grown, requests) = (Policy::default(), Vec::new(), Vec::new());
        Self { key: key(number), tier, stores, policy, grown, requests, written: 0, padding: 0 }
    }

    pub(crate) fn yard(&self) -> &Store {
        &self.stores[&yard()]
    }

    pub(crate) fn yard_mut(&mut self) -> &mut Store {
        self.stores.get_mut(&yard()).unwrap()
    }

    /// Writes entries of this replica's own actor, each on top of whatever its document has here.
    pub(crate) fn grow(&mut self, incarnation: u8, count: usize) -> Vec<ChangeSetId> {
        self.grow_in(&yard(), incarnation, count)
    }

    pub(crate) fn grow_in(&mut self, partition: &Partition, incarnation: u8, count: usize) -> Vec<ChangeSetId> {
        let own = self.key.to_secret()[0];
        let key = Arc::clone(&self.key);
        let store = self.stores.entry(partition.clone()).or_insert_with(|| Store::new(partition.clone(), own));
        let mut author = author(own, incarnation, partition.clone());
        let last =
            store.tips().into_iter().filter(|tip| tip.actor == author.actor().id()).max_by_key(|tip| tip.sequence);
        if let Some(last) = last {
            author = author.after(store.entries.get(&last.id).unwrap());
        }
        let mut written = Vec::new();
        for _ in 0..count {
            self.written += 1;
            let number = self.written % 5;
            // The document's last entry of another actor is a parent.
            let other =
                store.entries.entries().iter().rev().find(|entry| {
                    entry.header().document == document(number) && entry.actor().id() != author.actor().id()
                });
            let parents: Vec<ChangeSetId> = other.map(Verified::id).into_iter().collect();
            let mut dice = crate::world::Dice::new(self.written);
            let padding: String = (0..self.padding).map(|_| char::from(b'0' + dice.roll(64) as u8)).collect();
            let text = format!("{own}/{incarnation}/{}{padding}", self.written);
            written.push(write(&mut author, number, &parents, &text, NOW + self.written));
        }
        let ids = written.iter().map(Verified::id).collect();
        store.append(written, Source::Own, &key);
        self.grown.push((partition.clone(), store.end()));
        ids
    }

    /// Takes entries that were made elsewhere, as one page.
    pub(crate) fn hold(&mut self, entries: &[Verified], source: Source) {
        let key = Arc::clone(&self.key);
        self.yard_mut().append(entries.to_vec(), source, &key);
    }

    pub(crate) fn admit(&self) -> Response {
        Response::Admitted(match &self.policy.admit {
            None => Ok(()),
            Some(denial) => Err(denial.clone()),
        })
    }

    /// Does what a session asks, durably.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        peer: PublicKey,
        tier: Tier,
        peer_log: Option<LogIncarnation>,
    ) -> Response {
        self.requests.push(format!("{request:?}").split([' ', '{']).next().unwrap().to_owned());
        if self.policy.fails {
            return Response::Failed("the disk is gone".into());
        }
        let own_tier = self.tier;
        match request {
            Request::Admit { .. } => self.admit(),
            Request::Knock { name } => {
                self.policy.knocks.push(Knock { key: peer, name: name.clone(), time_ms: NOW });
                Response::Stored
            }
            Request::Knocks => Response::Knocks(self.policy.knocks.clone()),
            Request::Open { partition, peer_log, place } => {
                if let Some(denial) = &self.policy.deny {
                    return Response::Denied(denial.clone());
                }
                let number = self.key.to_secret()[0];
                let store =
                    self.stores.entry(partition.clone()).or_insert_with(|| Store::new(partition.clone(), number));
                let fits = place.is_some_and(|place| store.matches(&place));
                let read = !self.policy.is_unreadable;
                let (end, receipted) = (store.end(), store.receipted(peer));
                Response::Opened { end, fits, place: store.place(peer, *peer_log), read, receipted }
            }
            Request::Fits { partition, cursor } => Response::Fits(self.stores[partition].matches(cursor)),
            Request::Read { partition, from, max_bytes } => {
                let mut bytes = 0;
                let mut pages = Vec::new();
                for stored in self.stores[partition].pages.iter().filter(|page| page.end.position > *from) {
                    if !pages.is_empty() && bytes + stored.bytes.len() > *max_bytes {
                        break;
                    }
                    bytes += stored.bytes.len();
                    let skip = match stored.source {
                        Source::Own => false,
                        Source::Peer(key, log, from) => {
                            (key == peer && Some(log) == peer_log)
                                || (key != peer
                                    && from != Tier::Device
                                    && tier != Tier::Device
                                    && own_tier == Tier::Device)
                        }
                    };
                    pages.push(Page { bytes: Arc::clone(&stored.bytes), end: stored.end, skip });
                }
                Response::Pages(pages)
            }
            Request::Take { partition, pages } => {
                if let Some(wait) = self.must_wait() {
                    return wait;
                }
                let mut all_refused = Vec::new();
                for (number, bytes) in pages.iter().enumerate() {
                    let page = LogPage::from_bytes(bytes).unwrap();
                    assert_eq!(Some(page.log), peer_log);
                    if !page.is_sealed_by(&peer, &WORKSPACE) {
                        return Response::Bad { code: Code::FORGED, text: "the seal does not hold".into() };
                    }
                    let store = &self.stores[partition];
                    let entries = unpack_page(&page.packed)
                        .and_then(|bytes| decode_page(&bytes, &WORKSPACE, partition, &store.entries))
                        .and_then(|page| Ok(page.verify()?));
                    let Ok(entries) = entries else { return Response::Unresolved { page: number } };
                    // Where our place is the page's start, the running hash shows what the ids must be.
                    if let Some(place) = store.place(peer, peer_log).filter(|place| place.position == page.first) {
                        let hash = entries.iter().fold(place.hash, |hash, entry| hash.then(&entry.id()));
                        if hash != page.hash {
                            return Response::Unresolved { page: number };
                        }
                    }
                    let end = page.end();
                    let answer = self.take(partition, entries, peer, tier, page.log, Some(end));
                    let Response::Taken { held, refused, time_ms } = answer else { panic!("{answer:?}") };
                    all_refused.extend(refused);
                    if number + 1 == pages.len() {
                        return Response::Taken { held, refused: all_refused, time_ms };
                    }
                }
                panic!("no pages")
            }
            Request::TakeRuns { partition, packed, place } => {
                if let Some(wait) = self.must_wait() {
                    return wait;
                }
                let entries = unpack_page(packed)
                    .and_then(|bytes| decode_runs(&bytes, &WORKSPACE, partition))
                    .and_then(|runs| Ok(runs.verify()?));
                match entries {
                    Ok(entries) => self.take(partition, entries, peer, tier, peer_log.unwrap(), *place),
                    Err(error) => Response::Bad { code: Code::FORGED, text: error.to_string() },
                }
            }
            Request::Tips { partition } => Response::Tips(self.stores[partition].tips()),
            Request::Lacking { partition, tips } => Response::Lacking(self.stores[partition].lacking(tips)),
            Request::Lines { partition, wants, after, max_bytes } => {
                self.stores[partition].lines(wants, *after, *max_bytes)
            }
            Request::Span { partition, first, count } => {
                let store = &self.stores[partition];
                let (first, end) = (*first as usize, (first + count) as usize);
                let runs = encode_runs(&store.entries.entries()[first..end]).unwrap();
                Response::Runs { packed: Some(pack_page(&runs)), next: None, hash: Some(store.hashes[end]) }
            }
            Request::Place { partition, place, .. } => {
                let store = self.stores.get_mut(partition).unwrap();
                let before = store.place(peer, Some(place.log)).map_or(0, |place| place.position);
                // Only a log that was rolled back has a place before the one that is known.
                assert!(place.position >= before || !self.requests.is_empty(), "a place moves back");
                store.set_place(peer, *place);
                Response::Stored
            }
            Request::Receipt { partition, upto, receipt } => {
                let receipt = Receipt::from_bytes(receipt).unwrap();
                assert!(receipt.is_signed_by(&peer, &WORKSPACE) && receipt.upto == *upto);
                let store = self.stores.get_mut(partition).unwrap();
                assert!(store.matches(upto), "a receipt for a place that the log does not have");
                store.receipts.push((peer, receipt));
                Response::Stored
            }
            Request::Refused { partition, entries } => {
                self.stores.get_mut(partition).unwrap().told_refused.extend(entries.iter().copied());
                Response::Stored
            }
            other => panic!("{other:?}"),
        }
    }

    fn must_wait(&mut self) -> Option<Response> {
        self.policy.waits = self.policy.waits.checked_sub(1)?;
        Some(Response::Wait { retry_after_ms: self.policy.wait_ms })
    }

    fn take(
        &mut self,
        partition: &Partition,
        entries: Vec<Verified>,
        peer: PublicKey,
        tier: Tier,
        log: LogIncarnation,
        place: Option<Cursor>,
    ) -> Response {
        let store = self.stores.get_mut(partition).unwrap();
        let before = store.end();
        let (mut enter, mut refused) = (Vec::new(), Vec::new());
        for entry in entries {
            let actor = entry.actor().id();
            if self.policy.refuse.contains(&actor) {
                refused.push((entry.id(), Code::NO_GRANT));
                store.refused.insert(entry.id());
            } else if self.policy.hold.contains(&actor) {
                store.held.insert(entry.id(), entry);
            } else {
                enter.push(entry);
            }
        }
        store.append(enter, Source::Peer(peer, log, tier), &self.key);
        if let Some(place) = place {
            store.set_place(peer, place);
        }
        if store.end() != before {
            self.grown.push((partition.clone(), store.end()));
        }
        Response::Taken { held: store.held.len() as u64, refused, time_ms: NOW }
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.key.public_key()
    }
}
