//! Random histories of a workspace, written by the crates: honest devices, restored ones, and authors who write what
//! nobody honest would. The same seed gives the same bytes.

use crate::tests::edits::{Random, crossing_edit, honest_edit, hostile_edit, path};
use access::{Actions, Delegation, Endorsement, Genesis, Grant, Kinds, Person, Record, Role, Scope};
use changeset::{
    Author, Body, Bundle, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Edit, FORMAT_PLAIN, Header,
    Incarnation, IntentName, Kind, LogIncarnation, Op, Partition as Name, Script, SeededEntropy, Signer, Value,
    Verified, WorkspaceId,
};
use crdt::{Commit, Judgement, Partition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const AUTHORITY: &str = "authority";
pub(crate) const NORTH: &str = "north";
/// Devices 1 to 3 are the roots, the rest write.
const ROOTS: std::ops::Range<u8> = 1..4;
const KINDS: [&str; 4] = ["inspection", "order", "device", "access"];
const INTENTS: [&str; 3] = ["edit", "sign", "close"];

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn device_key(device: u8) -> DeviceKey {
    DeviceKey::from_secret(&[device; 32])
}

/// A device that writes in the partition.
struct Device {
    number: u8,
    author: Author,
    partition: Partition,
    now: u64,
}

/// What was written, in the order in which it came to somebody: what a change set names came before it.
pub(crate) struct History {
    pub(crate) workspace: WorkspaceId,
    /// The records of `authority`.
    pub(crate) records: Vec<Verified>,
    /// All of the partition, records among it.
    pub(crate) entries: Vec<Verified>,
    /// What is masked beyond verdicts, and what was purged.
    pub(crate) judgement: Judgement,
}

impl History {
    /// The file that a device would write.
    pub(crate) fn file(&self) -> Vec<u8> {
        let bundle = |partition: &str, entries: &[Verified]| {
            let log = LogIncarnation::from_bytes([5; 8]);
            let (workspace, partition) = (self.workspace, name(partition));
            Bundle { workspace, partition, log, entries: entries.to_vec() }.to_bytes().unwrap()
        };
        [bundle(AUTHORITY, &self.records), bundle(NORTH, &self.entries)].concat()
    }
}

pub(crate) struct Options {
    pub(crate) steps: usize,
    pub(crate) devices: u8,
    pub(crate) documents: usize,
    pub(crate) hostile: bool,
    /// Values left out, purges and masks.
    pub(crate) judged: bool,
    /// How many of a hundred steps write a record.
    pub(crate) records: usize,
    /// Whether some name a parent that nobody has.
    pub(crate) gaps: bool,
}

struct World {
    random: Random,
    workspace: WorkspaceId,
    genesis: Genesis,
    incarnations: u64,
    devices: Vec<Device>,
    /// What devices name as their grant, with the device that it is for.
    grants: Vec<(ChangeSetId, u8)>,
    history: History,
    documents: usize,
}

pub(crate) fn history(seed: u64, options: &Options) -> History {
    let mut world = World::new(seed, options);
    world.found(options);
    for _ in 0..options.steps {
        let at = world.random.below(world.devices.len());
        if world.random.chance(options.records) {
            world.write_record();
            continue;
        }
        match world.random.below(20) {
            0..=9 => world.write_honestly(at),
            10..=13 => world.send(at),
            14 if options.hostile => world.restore(at),
            15..=19 if options.hostile => world.write_hostile(at, options.gaps),
            _ => {}
        }
    }
    if options.judged {
        world.judge();
    }
    world.arrive();
    world.history
}

/// Texts whose origins cross, so that it shows in what order scripts are applied.
pub(crate) fn crossing_texts(seed: u64, steps: usize) -> History {
    let options = Options { steps, devices: 4, documents: 1, hostile: false, judged: false, records: 0, gaps: false };
    let mut world = World::new(seed, &options);
    world.found(&options);
    for _ in 0..steps {
        let at = world.random.below(world.devices.len());
        if world.random.chance(35) {
            world.send(at);
        }
        world.write_crossing(at);
    }
    world.arrive();
    world.history
}

impl World {
    fn new(seed: u64, options: &Options) -> Self {
        let mut random = Random(seed);
        let genesis = Genesis {
            name: "Fjord Bygg".into(),
            roots: ROOTS.map(|root| device_key(root).public_key()).collect(),
            threshold: if options.hostile { 1 + random.below(2) as u8 } else { 1 },
            nonce: [7; 16],
            time_ms: 0,
        };
        let workspace = genesis.workspace().unwrap();
        let (records, entries, judgement) = (Vec::new(), Vec::new(), Judgement::default());
        let history = History { workspace, records, entries, judgement };
        let mut world = Self {
            random,
            workspace,
            genesis,
            incarnations: 0,
            devices: Vec::new(),
            grants: Vec::new(),
            history,
            documents: options.documents,
        };
        for number in 0..options.devices {
            let device = ROOTS.end + number;
            let author = world.author(device, NORTH, 1000 + u64::from(number));
            let partition = Partition::new(workspace, name(NORTH));
            world.devices.push(Device { number: device, author, partition, now: 100 + u64::from(number) });
        }
        world
    }

    fn author(&self, device: u8, partition: &str, incarnation: u64) -> Author {
        let incarnation_bytes = Incarnation::from_bytes(incarnation.to_be_bytes());
        let entropy = Box::new(SeededEntropy::new(incarnation));
        Author::new(Arc::new(device_key(device)), self.workspace, name(partition), incarnation_bytes, entropy)
    }

    /// The genesis, and a grant for most devices; sometimes nothing.
    fn found(&mut self, options: &Options) {
        let other = Genesis { nonce: [8; 16], ..self.genesis.clone() };
        if options.hostile {
            self.carry(51, AUTHORITY, &Record::Genesis(other), &[], 0);
        }
        if !options.hostile || self.random.chance(94) {
            let record = Record::Genesis(self.genesis.clone());
            self.carry(50, AUTHORITY, &record, &[], 0);
        }
        for device in 4..6 {
            let delegation = self.delegation(device);
            self.carry(1, AUTHORITY, &Record::Delegation(delegation), &[1, 2], 0);
        }
        let devices: Vec<u8> = self.devices.iter().map(|device| device.number).collect();
        for device in devices {
            if options.hostile && self.random.chance(30) {
                continue;
            }
            let grant = Grant { device: device_key(device).public_key(), ..wide_grant() };
            let id = self.carry(1, NORTH, &Record::Grant(grant), &[1, 2], 0);
            self.grants.push((id, device));
        }
    }

    /// A record as a change set of its own, first of an incarnation.
    fn carry(&mut self, by: u8, at: &str, record: &Record, endorsed: &[u8], time: u64) -> ChangeSetId {
        let endorse = |root: &u8| Endorsement::sign(&self.workspace, record, &device_key(*root)).unwrap();
        let endorsements: Vec<Endorsement> = endorsed.iter().map(endorse).collect();
        let script = record.to_script(&endorsements, None).unwrap();
        self.carry_script(by, at, script, time)
    }

    fn carry_script(&mut self, by: u8, at: &str, script: Script, time: u64) -> ChangeSetId {
        self.incarnations += 1;
        let mut author = self.author(by, at, self.incarnations);
        let mut number = [0; 10];
        number[..8].copy_from_slice(&self.incarnations.to_be_bytes());
        let document = DocumentKey { kind: Kind::new("access").unwrap(), id: DocumentId::from_parts(0, number) };
        let recorded = author.record(draft(document, "admit", script), time).unwrap();
        let mut signed = author.sign(&recorded).unwrap();
        let id = signed.id();
        if self.history.judgement.mask.is_empty() && self.incarnations > 12 && self.random.chance(6) {
            signed = signed.redact(&[0]);
        }
        if at == AUTHORITY { &mut self.history.records } else { &mut self.history.entries }.push(signed);
        id
    }

    fn delegation(&mut self, to: u8) -> Delegation {
        let random = &mut self.random;
        let scopes = [
            Scope::All,
            Scope::Named([name(NORTH)].into()),
            Scope::Named([name(AUTHORITY), name(NORTH)].into()),
            Scope::Named([name("south")].into()),
        ];
        let not_before_ms = random.below(300) as u64;
        Delegation {
            to: device_key(to).public_key(),
            label: "office".into(),
            partitions: random.pick(&scopes).unwrap().clone(),
            may_delegate: random.chance(60),
            not_before_ms,
            not_after_ms: not_before_ms + random.below(1500) as u64,
        }
    }

    /// A record as it comes: often of somebody who may not, or saying too much.
    fn write_record(&mut self) {
        let (by, to) = (1 + self.random.below(7) as u8, 3 + self.random.below(6) as u8);
        let delegation = self.delegation(to);
        let random = &mut self.random;
        let (not_before_ms, time) = (random.below(500) as u64, random.below(1000) as u64);
        let endorsed: Vec<u8> = (1..5).filter(|_| random.chance(25)).collect();
        let is_placed = random.chance(90);
        let grant = Grant {
            partition: name(if random.chance(85) { NORTH } else { AUTHORITY }),
            device: device_key(to).public_key(),
            kinds: if random.chance(50) { Kinds::All } else { Kinds::Named([Kind::new("order").unwrap()].into()) },
            actions: if random.chance(50) { Actions::All } else { Actions::Named([intent("sign")].into()) },
            not_before_ms,
            not_after_ms: not_before_ms + random.below(1000) as u64,
            ..wide_grant()
        };
        let id = match random.below(20) {
            0 => self.carry_script(by, NORTH, record_script(vec![0xff]), time),
            // Of a type to come: `["revocation"]`.
            1 => self.carry_script(by, NORTH, record_script([&[0x81, 0x6a][..], b"revocation"].concat()), time),
            2 => self.carry_script(by, NORTH, Script::default(), time),
            3..=9 => {
                let at = if is_placed { AUTHORITY } else { NORTH };
                self.carry(by, at, &Record::Delegation(delegation), &endorsed, time)
            }
            _ => self.carry(by, if is_placed { NORTH } else { AUTHORITY }, &Record::Grant(grant), &endorsed, time),
        };
        self.grants.push((id, to));
    }

    /// Mostly one of its own, if it has one.
    fn grant_of(&mut self, device: u8) -> Option<ChangeSetId> {
        let random = &mut self.random;
        let own: Vec<ChangeSetId> = self.grants.iter().filter(|(_, of)| *of == device).map(|(id, _)| *id).collect();
        match random.below(20) {
            0..=15 => random.pick(&own).copied(),
            16..=18 => random.pick(&self.grants).map(|(id, _)| *id),
            _ => Some(ChangeSetId::from_bytes([8; 32])),
        }
    }

    fn key(&mut self) -> DocumentKey {
        let number = self.random.below(self.documents);
        let kind = Kind::new(KINDS[number % KINDS.len()]).unwrap();
        DocumentKey { kind, id: DocumentId::from_parts(number as u64, [number as u8; 10]) }
    }

    fn push(&mut self, at: usize, entry: &Verified) {
        let signed = self.devices[at].author.sign(entry).unwrap();
        self.history.entries.push(signed);
    }

    fn write_honestly(&mut self, at: usize) {
        let document = self.key();
        let number = self.devices[at].number;
        let grant = if self.random.chance(25) { self.grant_of(number) } else { None };
        let mut commit = Commit::new(intent(self.random.pick(&INTENTS).unwrap()));
        commit.grant = grant;
        let (random, device) = (&mut self.random, &mut self.devices[at]);
        device.now += random.below(30) as u64;
        let before = device.partition.log().entries().len();
        let count = 1 + random.below(4);
        let mut tx = device.partition.transact(&mut device.author, &document, device.now);
        (0..count).for_each(|_| honest_edit(random, &mut tx));
        tx.commit(commit).unwrap();
        let written = device.partition.log().entries()[before..].to_vec();
        written.iter().for_each(|entry| self.push(at, entry));
    }

    /// What another one holds, or the first part of it.
    fn send(&mut self, to: usize) {
        let from = self.random.below(self.devices.len());
        let entries = self.devices[from].partition.log().entries().to_vec();
        let part = if self.random.chance(50) { entries.len() } else { self.random.below(entries.len() + 1) };
        self.devices[to].partition.apply(entries[..part].to_vec());
    }

    /// A device restored from an older copy: it forgets its newer work and writes on under the same numbers.
    fn restore(&mut self, at: usize) {
        let entries = self.devices[at].partition.log().entries();
        let kept = entries[..self.random.below(entries.len() + 1)].to_vec();
        let number = self.devices[at].number;
        let own = self.author(number, NORTH, 1000 + u64::from(number - ROOTS.end));
        let last = kept.iter().rev().find(|entry| entry.actor().id() == own.actor().id());
        let device = &mut self.devices[at];
        device.author = last.map_or_else(|| own, |last| self_after(&self.workspace, number, last));
        device.partition = Partition::new(self.workspace, name(NORTH));
        device.partition.apply(kept);
    }

    /// Inserts between any two characters near the ends of lines, and deletes.
    fn write_crossing(&mut self, at: usize) {
        let document = self.key();
        let (random, device) = (&mut self.random, &mut self.devices[at]);
        let mut written: BTreeMap<[u8; 32], u32> = BTreeMap::new();
        for entry in device.partition.log().entries() {
            let inserted = entry.skeleton().unwrap().ops.iter().map(|op| match op {
                Op::InsertText { points, .. } => *points,
                _ => 0,
            });
            *written.entry(*entry.actor().id().as_bytes()).or_default() += inserted.sum::<u32>();
        }
        written.retain(|_, count| *count > 0);
        let written: Vec<([u8; 32], u32)> = written.into_iter().collect();
        let own = *device.author.actor().id().as_bytes();
        let edits = (0..1 + random.below(2)).map(|_| crossing_edit(random, &own, &written)).collect();
        let heads = device.partition.document(&document).map(crdt::Document::heads).unwrap_or_default();
        let parents = heads.into_iter().filter(|head| Some(*head) != device.author.tip()).collect();
        let draft = Draft { parents, ..draft(document, "edit", Script { reason: None, edits }) };
        let entry = device.author.record(draft, 1000).unwrap();
        assert_eq!(device.partition.apply([entry.clone()]).accepted.len(), 1);
        self.push(at, &entry);
    }

    /// Form and signature are right; what it says is not what any honest device would.
    fn write_hostile(&mut self, at: usize, gaps: bool) {
        let (document, number) = (self.key(), self.devices[at].number);
        let grant = if self.random.chance(15) { self.grant_of(number) } else { None };
        let all = &self.history.entries;
        let same: Vec<Verified> = all.iter().filter(|entry| entry.header().document == document).cloned().collect();
        let random = &mut self.random;
        let mut parents: BTreeSet<ChangeSetId> = BTreeSet::new();
        for _ in 0..random.below(4) {
            parents.extend(random.pick(&same).map(Verified::id));
        }
        if gaps && random.chance(2) {
            parents.insert(ChangeSetId::from_bytes([9; 32]));
        }
        let edits = (0..random.below(5)).map(|_| hostile_edit(random, &same)).collect();
        let script = Script { reason: random.chance(20).then(|| "because".to_owned()), edits };
        let parents = parents.into_iter().collect();
        let draft = Draft { parents, grant, ..draft(document, random.pick(&INTENTS).unwrap(), script) };
        let (time, is_malformed, is_kept) = (random.below(600) as u64, random.chance(12), random.chance(70));
        let device = &mut self.devices[at];
        let entry = if is_malformed {
            malformed(random, device, draft, time)
        } else {
            device.author.record(draft, time).unwrap()
        };
        if is_kept {
            device.partition.apply([entry.clone()]);
        }
        self.push(at, &entry);
    }

    /// In an order of its own, in which every change set comes after what it names.
    fn arrive(&mut self) {
        let written = std::mem::take(&mut self.history.entries);
        let mut missing: BTreeSet<ChangeSetId> = written.iter().map(Verified::id).collect();
        let mut left: Vec<Option<Verified>> = written.into_iter().map(Some).collect();
        while !missing.is_empty() {
            // From somewhere among the first ones: a burst of what is ready there.
            let first = left.iter().position(Option::is_some).unwrap_or(0);
            let start = first + self.random.below(40.min(left.len() - first));
            for slot in left.iter_mut().skip(start).take(1 + self.random.below(6)) {
                let is_ready = |entry: &Verified| {
                    let header = entry.header();
                    !header.previous.iter().chain(&header.parents).any(|named| missing.contains(named))
                };
                if let Some(entry) = slot.take_if(|entry| is_ready(entry)) {
                    missing.remove(&entry.id());
                    self.history.entries.push(entry);
                }
            }
        }
    }

    /// Values are left out, purged, or both; change sets are masked.
    fn judge(&mut self) {
        let random = &mut self.random;
        for entry in &mut self.history.entries {
            if entry.header().document.kind.as_str() == "access" {
                continue;
            }
            if random.chance(8) {
                self.history.judgement.mask.insert(entry.id());
            }
            let values = entry.body().value_count();
            if values > 0 && random.chance(10) {
                let value = random.below(values);
                if random.chance(60) {
                    *entry = entry.redact(&[value]);
                }
                if random.chance(70) {
                    self.history.judgement.purges.entry(entry.id()).or_default().insert(value as u32);
                }
            }
        }
    }
}

fn wide_grant() -> Grant {
    Grant {
        partition: name(NORTH),
        device: device_key(ROOTS.end).public_key(),
        person: Person { id: "p".into(), name: "P".into() },
        role: Role::new("worker").unwrap(),
        kinds: Kinds::All,
        actions: Actions::All,
        not_before_ms: 0,
        not_after_ms: 1 << 40,
    }
}

fn self_after(workspace: &WorkspaceId, device: u8, last: &Verified) -> Author {
    let entropy = Box::new(SeededEntropy::new(last.header().sequence));
    let incarnation = *last.actor().incarnation();
    Author::new(Arc::new(device_key(device)), *workspace, name(NORTH), incarnation, entropy).after(last)
}

fn intent(text: &str) -> IntentName {
    IntentName::new(text).unwrap()
}

fn draft(document: DocumentKey, command: &str, script: Script) -> Draft {
    Draft { document, parents: vec![], grant: None, schema_version: 0, intent: intent(command), group: None, script }
}

fn record_script(bytes: Vec<u8>) -> Script {
    Script { reason: None, edits: vec![Edit::Put { path: path("record"), value: Value::Bytes(bytes) }] }
}

/// Unreadable skeletons, values that do not fit, lengths that lie, newer formats.
fn malformed(random: &mut Random, device: &mut Device, draft: Draft, time: u64) -> Verified {
    let (skeleton, mut values) = draft.script.split();
    let (mut format, mut bytes, mut extra) = (FORMAT_PLAIN, skeleton.to_bytes(), 0);
    match random.below(5) {
        0 => format = 2,
        1 => bytes.push(0),
        2 => extra = 1,
        3 => values.iter_mut().for_each(|value| value.push(0xff)),
        _ => values.push(vec![1]),
    }
    let body = Body::new(0, draft.intent, None, bytes, [9; 16], values);
    let tip = device.author.tip();
    // Where its own set lacks what it wrote last, it cannot say a sequence that holds.
    let before = tip.and_then(|tip| device.partition.log().get(&tip)).map(|entry| entry.header().clone());
    if before.is_none() && tip.is_some() {
        return device.author.record(self::draft(draft.document, "edit", Script::default()), time).unwrap();
    }
    let header = Header {
        format,
        sequence: before.as_ref().map_or(1, |before| before.sequence + 1),
        previous: tip,
        document: draft.document,
        parents: draft.parents,
        time: time.max(before.as_ref().map_or(0, |before| before.time)),
        grant: draft.grant,
        body_hash: body.hash(),
        body_length: body.whole_length(&skeleton) + extra,
    };
    device.author.danger_append(header, body)
}

/// The ids that a judgement names, by what it says.
pub(crate) fn purges(judgement: &Judgement) -> BTreeMap<crate::Id, BTreeSet<usize>> {
    let numbers = |values: &BTreeSet<u32>| values.iter().map(|value| *value as usize).collect();
    judgement.purges.iter().map(|(id, values)| (*id.as_bytes(), numbers(values))).collect()
}
