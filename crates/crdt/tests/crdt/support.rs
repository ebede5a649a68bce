//! Replicas, histories and checks that the tests share.

use automerge::{Automerge, ROOT, ReadDoc};
use changeset::*;
use crdt::{Commit, Digest, Edits, Judgement, Partition, State, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 32]);

pub(crate) fn partition_name() -> changeset::Partition {
    changeset::Partition::new("harbour-7").unwrap()
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

pub(crate) fn intent(text: &str) -> IntentName {
    IntentName::new(text).unwrap()
}

pub(crate) fn key(number: u8) -> DocumentKey {
    DocumentKey { kind: Kind::new("inspection").unwrap(), id: DocumentId::from_parts(u64::from(number), [number; 10]) }
}

pub(crate) fn author(device: u8) -> Author {
    author_in(device, device)
}

pub(crate) fn author_in(device: u8, incarnation: u8) -> Author {
    let signer = Arc::new(DeviceKey::from_secret(&[device + 1; 32]));
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    Author::new(signer, WORKSPACE, partition_name(), Incarnation::from_bytes([incarnation; 8]), entropy)
}

pub(crate) fn empty() -> Partition {
    Partition::new(WORKSPACE, partition_name())
}

/// A device: its store and its author.
pub(crate) struct Replica {
    pub(crate) partition: Partition,
    pub(crate) author: Author,
    pub(crate) now: u64,
}

impl Replica {
    pub(crate) fn new(device: u8) -> Self {
        Self { partition: empty(), author: author(device), now: 1_000 + u64::from(device) }
    }

    pub(crate) fn edit(&mut self, document: &DocumentKey, edit: impl FnOnce(&mut Transaction<'_>)) -> Verified {
        self.now += 10;
        let mut tx = self.partition.transact(&mut self.author, document, self.now);
        edit(&mut tx);
        tx.commit(Commit::new(intent("edit"))).unwrap().0
    }

    pub(crate) fn send_all_to(&self, other: &mut Self) {
        let applied = other.partition.apply(self.partition.log().entries().to_vec());
        assert!(applied.refused.is_empty() && applied.faults.is_empty(), "{applied:?}");
    }

    pub(crate) fn text(&self, document: &DocumentKey, field: &str) -> String {
        self.partition.document(document).and_then(|document| document.text(&path(field))).unwrap_or_default()
    }

    pub(crate) fn value(&self, document: &DocumentKey, at: &str) -> Option<Value> {
        self.partition.document(document)?.value(&path(at))
    }
}

/// Small, fast, and the same everywhere.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

const PATHS: [&str; 6] = ["status", "items/7/.", "items/7/outcome", "items/8/.", "picked", "risk"];
const FIELDS: [&str; 2] = ["findings", "items/7/note"];
const STRINGS: [&str; 6] = ["a", "bc", "😀", "x😀y", "ÅΩ", "hello "];

/// What a hostile but authorised author, honest ones, and restored devices did, with what was decided about it.
pub(crate) struct History {
    pub(crate) entries: Vec<Verified>,
    pub(crate) judgement: Judgement,
}

pub(crate) struct Options {
    pub(crate) actors: usize,
    pub(crate) documents: u8,
    pub(crate) hostile: bool,
    pub(crate) forks: bool,
}

/// A random history from a seed. The same seed gives the same bytes.
pub(crate) fn history(seed: u64, steps: usize, options: &Options) -> History {
    let mut random = Random::new(seed);
    let mut replicas: Vec<Replica> = (0..options.actors as u8).map(Replica::new).collect();
    let mut all: Vec<Verified> = Vec::new();
    for _ in 0..steps {
        let at = random.below(replicas.len());
        match random.below(10) {
            0..=4 => {
                let document = key(random.below(usize::from(options.documents)) as u8);
                let now_jump = random.below(30) as u64;
                let replica = &mut replicas[at];
                replica.now = (replica.now + now_jump).saturating_sub(12);
                let before = replica.partition.log().entries().len();
                let count = 1 + random.below(4);
                replica.edit(&document, |tx| (0..count).for_each(|_| honest_edit(&mut random, tx)));
                all.extend(replica.partition.log().entries()[before..].iter().cloned());
            }
            5..=6 => {
                let from = random.below(replicas.len());
                let entries = replicas[from].partition.log().entries().to_vec();
                let part = if random.chance(50) { entries.len() } else { random.below(entries.len() + 1) };
                replicas[at].partition.apply(entries[..part].to_vec());
            }
            7 if options.forks => restore(&mut random, &mut replicas[at], at as u8),
            8..=9 if options.hostile => {
                let entry = hostile_entry(&mut random, &mut replicas[at], &all, options.documents);
                all.push(entry.clone());
                // A hostile device may or may not keep what it sent.
                replicas[at].partition.apply([entry]);
            }
            _ => {}
        }
    }
    let mut judgement = Judgement::default();
    for entry in &all {
        if random.chance(8) {
            judgement.mask.insert(entry.id());
        }
        let values = entry.body().value_count();
        if values > 0 && random.chance(8) {
            judgement.purges.entry(entry.id()).or_default().insert(random.below(values) as u32);
        }
    }
    History { entries: all, judgement }
}

/// A device restored from an older copy: it forgets its newer work and writes on under the same numbers.
fn restore(random: &mut Random, replica: &mut Replica, device: u8) {
    let entries = replica.partition.log().entries();
    let kept = entries[..random.below(entries.len() + 1)].to_vec();
    let own = author(device);
    let last = kept.iter().rev().find(|entry| entry.actor().id() == own.actor().id()).cloned();
    replica.author = match last {
        Some(last) => own.after(&last),
        None => own,
    };
    replica.partition = empty();
    replica.partition.apply(kept);
}

fn honest_edit(random: &mut Random, tx: &mut Transaction<'_>) {
    let at = path(random.pick(&PATHS).unwrap());
    let field = path(random.pick(&FIELDS).unwrap());
    match random.below(8) {
        0..=2 => {
            let value = random_value(random);
            tx.put(&at, value).unwrap();
        }
        3 => tx.delete(&at).unwrap(),
        4 => {
            let _ = tx.increment(&at, random.below(9) as i64 - 4);
        }
        5..=6 => {
            let length = tx.text(&field).unwrap_or_default().chars().count();
            let text = random.pick(&STRINGS).unwrap();
            tx.insert_text(&field, random.below(length + 1), text).unwrap();
        }
        _ => {
            let length = tx.text(&field).unwrap_or_default().chars().count();
            let from = random.below(length + 1);
            tx.delete_text(&field, from, random.below(length - from + 1).min(3)).unwrap();
        }
    }
}

fn random_value(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => Value::Bool(random.chance(50)),
        2 => Value::Int(random.below(5) as i64),
        3 => Value::Decimal(Decimal { mantissa: random.below(500) as i64, scale: 2 }),
        4 => Value::Counter(random.below(10) as i64),
        5 => Value::Timestamp(random.below(100) as i64),
        _ => Value::String((*random.pick(&["open", "pass", "fail"]).unwrap()).to_owned()),
    }
}

/// Form and signature are right; what it says is not what any honest device would.
fn hostile_entry(random: &mut Random, replica: &mut Replica, all: &[Verified], documents: u8) -> Verified {
    let document = key(random.below(usize::from(documents)) as u8);
    let same: Vec<&Verified> = all.iter().filter(|entry| entry.header().document == document).collect();
    let mut parents = BTreeSet::new();
    for _ in 0..random.below(4) {
        parents.extend(random.pick(&same).map(|entry| entry.id()));
    }
    let mut edits = Vec::new();
    for _ in 0..random.below(4) {
        edits.push(hostile_edit(random, &same));
    }
    let script = Script { reason: random.chance(20).then(|| "because".to_owned()), edits };
    let draft = Draft {
        document: document.clone(),
        parents: parents.into_iter().collect(),
        grant: None,
        schema_version: 0,
        intent: intent("edit"),
        group: None,
        script,
    };
    let time = random.below(3000) as u64;
    if random.chance(12) {
        return malformed_entry(random, replica, draft, time);
    }
    replica.author.record(draft, time).unwrap()
}

/// Bodies that no honest author writes: unreadable skeletons, values that do not fit, lengths that lie, newer formats.
fn malformed_entry(random: &mut Random, replica: &mut Replica, draft: Draft, time: u64) -> Verified {
    let (skeleton, mut values) = draft.script.split();
    let mut format = FORMAT_PLAIN;
    let mut skeleton_bytes = skeleton.to_bytes();
    let mut extra = 0;
    match random.below(5) {
        0 => format = 2,
        1 => skeleton_bytes.push(0),
        2 => extra = 1,
        3 => values.iter_mut().for_each(|value| value.push(0xff)),
        _ => values.push(vec![1]),
    }
    let body = Body::new(0, draft.intent, None, skeleton_bytes, [9; 16], values);
    let (previous, sequence) = match replica.author.tip() {
        None => (None, 1),
        Some(tip) => {
            let log = replica.partition.log();
            (Some(tip), log.get(&tip).map_or(2, |entry| entry.header().sequence + 1))
        }
    };
    let before = previous.and_then(|tip| replica.partition.log().get(&tip)).map_or(0, |entry| entry.header().time);
    let header = Header {
        format,
        sequence,
        previous,
        document: draft.document,
        parents: draft.parents,
        time: time.max(before),
        grant: None,
        body_hash: body.hash(),
        body_length: body.whole_length(&skeleton) + extra,
    };
    replica.author.danger_append(header, body)
}

fn hostile_edit(random: &mut Random, same: &[&Verified]) -> Edit {
    let at = path(random.pick(&PATHS).unwrap());
    let field = path(random.pick(&FIELDS).unwrap());
    let item = |random: &mut Random| {
        let line = match random.below(4) {
            0 => Line::Own,
            1 => Line::Named([7; 32]),
            2 => same.get(random.below(same.len())).map_or(Line::Own, |entry| Line::Named(*entry.id().as_bytes())),
            _ => same
                .get(random.below(same.len()))
                .map_or(Line::Own, |entry| Line::Named(*entry.actor().id().as_bytes())),
        };
        ItemRef { line, clock: random.below(12) as u32 }
    };
    match random.below(6) {
        0 => Edit::Put { path: at, value: random_value(random) },
        1 => Edit::Delete { path: at },
        2 => Edit::Increment { path: at, amount: random.below(7) as i64 },
        3..=4 => {
            let left = random.chance(70).then(|| item(random));
            let right = random.chance(70).then(|| item(random));
            Edit::InsertText { path: field, left, right, text: (*random.pick(&STRINGS).unwrap()).to_owned() }
        }
        _ => {
            let start = item(random);
            Edit::DeleteText { path: field, ranges: vec![ItemRange { start, length: 1 + random.below(4) as u32 }] }
        }
    }
}

/// The digest, after the engines were checked against the index.
pub(crate) fn checked_digest(partition: &mut Partition) -> (Digest, BTreeMap<DocumentKey, Vec<[u8; 32]>>) {
    let heads = partition.automerge_heads().unwrap();
    let keys: Vec<DocumentKey> = partition.documents().map(|document| document.key().clone()).collect();
    for key in keys {
        let document = partition.document_mut(&key).unwrap();
        let saved = document.save_automerge().unwrap();
        let image = Automerge::load(&saved).expect("every save loads");
        let mut image_heads: Vec<[u8; 32]> = image.get_heads().into_iter().map(|hash| hash.0).collect();
        image_heads.sort_unstable();
        assert_eq!(image_heads, heads[&key]);
        check_image(document, &image);
    }
    (partition.digest(), heads)
}

/// What Automerge shows is what the index says: the same values at the same paths, by the same ops.
fn check_image(document: &crdt::Document, image: &Automerge) {
    let mut in_image: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for at in image.keys(ROOT) {
        let mut values: Vec<String> =
            image.get_all(ROOT, at.as_str()).unwrap().into_iter().map(|(value, _)| plain(&value)).collect();
        values.sort();
        in_image.insert(at, values);
    }
    let mut in_index: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for at in document.paths("") {
        if let Some(resolution) = document.resolution(&at) {
            let mut values: Vec<String> =
                resolution.contenders.iter().filter_map(|contender| contender.value.as_ref()).map(as_plain).collect();
            values.sort();
            in_index.insert(at.to_string(), values);
        }
    }
    assert_eq!(in_index, in_image);
}

fn plain(value: &automerge::Value<'_>) -> String {
    match value.as_scalar() {
        Some(automerge::ScalarValue::Counter(counter)) => format!("counter {}", i64::from(counter)),
        Some(automerge::ScalarValue::Str(text)) => format!("str {text}"),
        Some(automerge::ScalarValue::Int(value)) => format!("int {value}"),
        Some(automerge::ScalarValue::Timestamp(value)) => format!("time {value}"),
        Some(automerge::ScalarValue::Boolean(value)) => format!("bool {value}"),
        Some(automerge::ScalarValue::Null) => "null".to_owned(),
        other => panic!("unexpected {other:?}"),
    }
}

fn as_plain(value: &Value) -> String {
    match value {
        Value::Counter(sum) => format!("counter {sum}"),
        Value::String(text) => format!("str {text}"),
        Value::Decimal(decimal) => format!("str {decimal}"),
        Value::Int(value) => format!("int {value}"),
        Value::Timestamp(value) => format!("time {value}"),
        Value::Bool(value) => format!("bool {value}"),
        Value::Null => "null".to_owned(),
        other => panic!("unexpected {other:?}"),
    }
}
