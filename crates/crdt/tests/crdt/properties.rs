//! What must hold for every history, against second opinions: Automerge itself, a naive model, smaller replicas.

use crate::support::{
    History, Options, Random, Replica, author, checked_digest, empty, history, intent, key, partition_name, path,
};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, Change, ROOT, ReadDoc, ScalarValue};
use changeset::*;
use crdt::{Applied, Edits, Fork, Judgement, Partition, State, Transaction};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

const DOCUMENT: u8 = 0;
const FIELD: &str = "findings";
const PATHS: [&str; 4] = ["status", "items/7/.", "picked", "risk"];

fn document(partition: &Partition) -> &crdt::Document {
    partition.document(&key(DOCUMENT)).unwrap()
}

/// An honest replica and an Automerge document that is told the same edits by Automerge's own interface.
struct Mirrored {
    replica: Replica,
    mirror: AutoCommit,
    /// What it holds in the order of arrival, with the change that Automerge made of it, if any.
    log: Vec<(Verified, Option<Change>)>,
}

impl Mirrored {
    fn new(device: u8) -> Self {
        let replica = Replica::new(device);
        let actor = ActorId::from(replica.author.actor().id().as_bytes().as_slice());
        Self { replica, mirror: AutoCommit::new().with_actor(actor), log: Vec::new() }
    }

    fn edit(&mut self, random: &mut Random) {
        let mirror = &mut self.mirror;
        let count = 1 + random.below(4);
        let entry = self.replica.edit(&key(DOCUMENT), |tx| (0..count).for_each(|_| mirrored_edit(random, tx, mirror)));
        let made = mirror.commit_with(CommitOptions::default().with_time(0));
        let change = made.and_then(|hash| mirror.get_change_by_hash(&hash));
        self.log.push((entry, change));
    }

    fn read(&mut self, other: &[(Verified, Option<Change>)]) {
        for (entry, change) in other {
            if self.replica.partition.apply([entry.clone()]).accepted.is_empty() {
                continue;
            }
            self.mirror.apply_changes(change.clone()).unwrap();
            self.log.push((entry.clone(), change.clone()));
        }
    }

    fn check(&mut self) {
        let Some(document) = self.replica.partition.document_mut(&key(DOCUMENT)) else { return };
        for at in PATHS {
            let shown = document.resolution(&path(at)).map(|found| found.contenders).unwrap_or_default();
            let mut ours: Vec<String> =
                shown.iter().filter_map(|contender| contender.value.as_ref()).map(|v| scalar(v).to_string()).collect();
            let theirs = self.mirror.get_all(ROOT, at).unwrap();
            let mut theirs: Vec<String> = theirs.iter().map(|(value, _)| value.to_string()).collect();
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{at}");
        }
    }

    /// Not only the same values: the very same changes, but for one dependency. Automerge names an actor's own last
    /// change even where another dependency builds on it.
    fn check_changes(&mut self) {
        let Some(document) = self.replica.partition.document_mut(&key(DOCUMENT)) else { return };
        let image = automerge::Automerge::load(&document.save_automerge().unwrap()).unwrap();
        assert_eq!(told(&image.get_changes(&[])), told(&self.mirror.get_changes(&[])));
    }
}

/// What changes say, with names in place of hashes.
fn told(changes: &[Change]) -> BTreeSet<String> {
    let name = |change: &Change| (change.actor_id().to_hex_string(), change.seq());
    let names: HashMap<_, _> = changes.iter().map(|change| (change.hash(), name(change))).collect();
    let tell = |change: &Change| {
        let (actor, sequence) = name(change);
        let own_last = (actor.clone(), sequence - 1);
        let deps: BTreeSet<_> = change.deps().iter().map(|hash| &names[hash]).filter(|dep| **dep != own_last).collect();
        let change = change.decode();
        format!("{actor} {sequence} {} {deps:?} {:?}", change.start_op, change.operations)
    };
    changes.iter().map(tell).collect()
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Counter(start) => ScalarValue::counter(*start),
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Null => ScalarValue::Null,
        other => panic!("unexpected {other:?}"),
    }
}

/// One edit in both. Left out is what Automerge does otherwise on purpose: it adds to every counter in conflict, and
/// writes nothing where the value is there already.
fn mirrored_edit(random: &mut Random, tx: &mut Transaction<'_>, mirror: &mut AutoCommit) {
    let at = *random.pick(&PATHS).unwrap();
    let there = mirror.get_all(ROOT, at).unwrap();
    let is_counter =
        matches!(there.as_slice(), [(value, _)] if matches!(value.as_scalar(), Some(ScalarValue::Counter(_))));
    match random.below(6) {
        0..=2 => {
            let value = match random.below(6) {
                0 => Value::Null,
                1 => Value::Bool(random.chance(50)),
                2 => Value::Int(random.below(4) as i64),
                3..=4 => Value::Counter(random.below(9) as i64),
                _ => (*random.pick(&["open", "pass", "fail"]).unwrap()).into(),
            };
            if there.iter().any(|(held, _)| held.as_scalar() == Some(&scalar(&value))) {
                return;
            }
            tx.put(&path(at), value.clone()).unwrap();
            mirror.put(ROOT, at, scalar(&value)).unwrap();
        }
        3 => {
            tx.delete(&path(at)).unwrap();
            if !there.is_empty() {
                mirror.delete(ROOT, at).unwrap();
            }
        }
        _ if is_counter => {
            let amount = random.below(9) as i64 - 4;
            tx.increment(&path(at), amount).unwrap();
            mirror.increment(ROOT, at, amount).unwrap();
        }
        _ => {}
    }
}

/// Rules 6 to 11 word by word: explicit sets of ancestors over headers and scripts, every op against every other.
#[derive(Default)]
struct Model {
    puts: Vec<ModelPut>,
    past: HashMap<ChangeSetId, HashSet<ChangeSetId>>,
    last_op: HashMap<ChangeSetId, u64>,
    names: HashMap<ChangeSetId, BranchName>,
    newer: HashSet<ChangeSetId>,
    inert: BTreeMap<ChangeSetId, Vec<u32>>,
}

struct ModelPut {
    path: Path,
    entry: ChangeSetId,
    op_number: u64,
    value: Value,
    over: HashSet<ChangeSetId>,
}

impl Model {
    fn of(entries: &[Verified], document: &DocumentKey, judgement: &Judgement) -> Self {
        let mut model = Self::default();
        let by_id: HashMap<ChangeSetId, &Verified> = entries.iter().map(|entry| (entry.id(), entry)).collect();
        for entry in entries {
            let same = |other: &&Verified| {
                other.actor().id() == entry.actor().id() && other.header().previous == entry.header().previous
            };
            let keeper =
                entries.iter().filter(same).map(Verified::id).min_by_key(|id| (judgement.mask.contains(id), *id));
            let start = BranchName::from_bytes(*entry.actor().id().as_bytes());
            let before = entry.header().previous.map_or(start, |previous| model.names[&previous]);
            let name = if keeper == Some(entry.id()) { before } else { hash::branch_name(&before, &entry.id()) };
            model.names.insert(entry.id(), name);
            if entry.header().document == *document {
                let mut line = entry.header().previous.and_then(|id| by_id.get(&id));
                while let Some(before) = line.filter(|before| before.header().document != *document) {
                    line = before.header().previous.and_then(|id| by_id.get(&id));
                }
                model.push(entry, line.map(|entry| entry.id()), judgement);
            }
        }
        model
    }

    fn push(&mut self, entry: &Verified, implied: Option<ChangeSetId>, judgement: &Judgement) {
        let id = entry.id();
        let parents: Vec<ChangeSetId> = entry.header().parents.iter().copied().chain(implied).collect();
        let past: HashSet<ChangeSetId> =
            parents.iter().flat_map(|id| self.past[id].iter().copied().chain([*id])).collect();
        self.past.insert(id, past.clone());
        if entry.is_newer_format() || parents.iter().any(|parent| self.newer.contains(parent)) {
            self.newer.insert(id);
        }
        let Ok(skeleton) = entry.skeleton() else { return };
        let is_whole = skeleton.value_lengths().count() == entry.body().value_count()
            && entry.body().whole_length(skeleton) == entry.header().body_length;
        if self.newer.contains(&id) || !is_whole || judgement.mask.contains(&id) {
            return;
        }
        let mut next_op = 1 + past.iter().filter_map(|id| self.last_op.get(id)).max().unwrap_or(&0);
        let mut number_of_value = usize::from(skeleton.reason.is_some());
        let is_seen = |by: &ChangeSetId| *by == id || past.contains(by);
        for (number, op) in skeleton.ops.iter().enumerate() {
            let index = number_of_value;
            number_of_value += usize::from(op.value_bytes().is_some());
            let purged = judgement.purges.get(&id).is_some_and(|values| values.contains(&(index as u32)));
            let held = entry.body().value(index).filter(|held| Some(held.len() as u32) == op.value_bytes() && !purged);
            let visible: Vec<usize> = (0..self.puts.len())
                .filter(|at| self.puts[*at].path == *op.path() && is_seen(&self.puts[*at].entry))
                .filter(|at| !self.puts[*at].over.iter().any(is_seen))
                .collect();
            match op {
                Op::Put { path, value_type, .. } => {
                    let value = held.and_then(|bytes| Value::from_bytes(*value_type, bytes).ok());
                    let value = value.unwrap_or_else(|| value_type.zero());
                    visible.iter().for_each(|at| self.puts[*at].over.extend([id]));
                    let over = HashSet::new();
                    self.puts.push(ModelPut { path: path.clone(), entry: id, op_number: next_op, value, over });
                }
                Op::Delete { .. } if !visible.is_empty() => {
                    visible.iter().for_each(|at| self.puts[*at].over.extend([id]));
                }
                Op::Increment { .. } => {
                    let counters = visible.iter().filter(|at| matches!(self.puts[**at].value, Value::Counter(_)));
                    let rank = |at: &&usize| (self.puts[**at].op_number, self.names[&self.puts[**at].entry]);
                    match counters.min_by_key(rank).map(|at| &mut self.puts[*at].value) {
                        Some(Value::Counter(sum)) => {
                            *sum += held.and_then(|bytes| increment_from_bytes(bytes).ok()).unwrap_or(0);
                        }
                        _ => {
                            self.inert.entry(id).or_default().push(number as u32);
                            continue;
                        }
                    }
                }
                Op::Delete { .. } => {
                    self.inert.entry(id).or_default().push(number as u32);
                    continue;
                }
                _ => continue,
            }
            self.last_op.insert(id, next_op);
            next_op += 1;
        }
    }

    fn check(&self, document: &crdt::Document) {
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for put in self.puts.iter().filter(|put| put.over.is_empty()) {
            wanted.entry(put.path.to_string()).or_default().push(format!("{:?} {:?}", put.entry, put.value));
        }
        let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resolution in document.paths("").iter().filter_map(|at| document.resolution(at)) {
            let say = |contender: crdt::Contender| format!("{:?} {:?}", contender.change_set, contender.value.unwrap());
            shown.insert(resolution.path.to_string(), resolution.contenders.into_iter().map(say).collect());
        }
        wanted.values_mut().chain(shown.values_mut()).for_each(|values| values.sort());
        assert_eq!(shown, wanted);
        for entry in document.history() {
            assert_eq!(document.branch_name(&entry.id), self.names.get(&entry.id).copied());
            let skeleton = document.change_set(&entry.id).unwrap().skeleton();
            let is_text = |number: &u32| {
                let op = &skeleton.as_ref().unwrap().ops[*number as usize];
                matches!(op, Op::InsertText { .. } | Op::DeleteText { .. })
            };
            let inert: Vec<u32> = entry.inert.into_iter().filter(|number| !is_text(number)).collect();
            assert_eq!(inert, self.inert.get(&entry.id).cloned().unwrap_or_default());
        }
    }
}

fn judged(entries: &[Verified], judgement: &Judgement) -> Partition {
    let mut partition = empty();
    partition.set_judgement(judgement.clone());
    let applied = partition.apply(entries.to_vec());
    assert!(applied.faults.is_empty());
    partition
}

/// Counters put by several at the same path, and added to by those who see them all.
fn counters(seed: u64, steps: usize) -> Vec<Verified> {
    let mut random = Random::new(seed);
    let mut replicas: Vec<Replica> = (0..3).map(Replica::new).collect();
    for _ in 0..steps {
        let (at, from) = (random.below(3), random.below(3));
        if random.chance(40) {
            let entries = replicas[from].partition.log().entries().to_vec();
            replicas[at].partition.apply(entries);
            continue;
        }
        replicas[at].edit(&key(DOCUMENT), |tx| {
            for _ in 0..1 + random.below(2) {
                let picked = path(random.pick(&["picked", "risk"]).unwrap());
                match random.below(8) {
                    0..=3 => drop(tx.increment(&picked, 1 << random.below(20))),
                    4..=6 => tx.put(&picked, Value::Counter(0)).unwrap(),
                    _ => tx.delete(&picked).unwrap(),
                }
            }
        });
    }
    let mut all = empty();
    for replica in &replicas {
        all.apply(replica.partition.log().entries().to_vec());
    }
    all.log().entries().to_vec()
}

/// Somebody who holds exactly what these build on shows what everybody shows at these heads.
fn check_earlier_heads(history: &History, random: &mut Random) {
    let full = judged(&history.entries, &history.judgement);
    let held = full.log().entries();
    if held.is_empty() {
        return;
    }
    for _ in 0..3 {
        let heads: BTreeSet<ChangeSetId> =
            (0..=random.below(3)).filter_map(|_| random.pick(held)).map(Verified::id).collect();
        let mut past = heads.clone();
        for entry in held.iter().rev().filter(|entry| entry.header().document == key(DOCUMENT)) {
            if past.contains(&entry.id()) {
                past.extend(entry.header().parents.iter().chain(&entry.header().previous));
            }
        }
        let exact: Vec<Verified> = held.iter().filter(|entry| past.contains(&entry.id())).cloned().collect();
        let small = judged(&exact, &history.judgement);
        assert_eq!(small.log().entries().len(), past.len());
        let heads: Vec<ChangeSetId> = heads.into_iter().collect();
        let at = document(&full).at(&heads).unwrap();
        let small = document(&small);
        // A fork that only the larger replica knows of gives other names, and so other client ids; the order of
        // concurrent text and the counter that an increment picks may differ then, and nothing else.
        let same_names = past.iter().all(|id| document(&full).branch_name(id) == small.branch_name(id));
        assert_eq!(at.paths(""), small.paths(""));
        for shown in at.paths("") {
            let (before, exact) = (at.text(&shown).unwrap_or_default(), small.text(&shown).unwrap_or_default());
            if same_names {
                assert_eq!((at.value(&shown), &before), (small.value(&shown), &exact), "{shown}");
            }
            let sorted = |text: &str| {
                let mut letters: Vec<char> = text.chars().collect();
                letters.sort_unstable();
                letters
            };
            assert_eq!(sorted(&before), sorted(&exact));
        }
    }
}

/// A device's store is cloned and restored again and again. Every copy writes a character of its own and a path of its
/// own in each change set.
struct Copies {
    branches: Vec<Vec<Verified>>,
    written: u32,
}

impl Copies {
    fn token(number: u32) -> char {
        char::from_u32(0x4e00 + number).unwrap()
    }

    fn entries(&self) -> BTreeMap<ChangeSetId, Verified> {
        self.branches.iter().flatten().map(|entry| (entry.id(), entry.clone())).collect()
    }

    /// Goes on writing after the first `cut` change sets of a branch, as a new branch.
    fn write(&mut self, random: &mut Random, branch: usize, cut: usize, count: usize) {
        let kept: Vec<Verified> = self.branches.get(branch).map_or_else(Vec::new, |branch| branch[..cut].to_vec());
        let author = author(0);
        let author = match kept.last() {
            Some(last) => author.after(last),
            None => author,
        };
        let mut replica = Replica { partition: empty(), author, now: 1_000 };
        replica.partition.apply(kept);
        for _ in 0..count {
            let number = self.written;
            self.written += 1;
            replica.edit(&key(DOCUMENT), |tx| {
                let length = tx.text(&path(FIELD)).unwrap_or_default().chars().count();
                tx.insert_text(&path(FIELD), random.below(length + 1), &Self::token(number).to_string()).unwrap();
                tx.put(&path(&format!("items/{number}/.")), true.into()).unwrap();
                tx.put(&path("status"), Value::Int(i64::from(number))).unwrap();
            });
        }
        self.branches.push(replica.partition.log().entries().to_vec());
    }

    fn forks(&self) -> Vec<Fork> {
        let mut siblings: BTreeMap<Option<ChangeSetId>, Vec<ChangeSetId>> = BTreeMap::new();
        for (id, entry) in self.entries() {
            siblings.entry(entry.header().previous).or_default().push(id);
        }
        let actor = author(0).actor().id();
        let forked = siblings.into_iter().filter(|(_, siblings)| siblings.len() > 1);
        let mut forks: Vec<Fork> = forked.map(|(previous, siblings)| Fork { actor, previous, siblings }).collect();
        forks.sort_by_key(|fork| fork.siblings.first().copied());
        forks
    }

    fn check(&self, partition: &Partition) {
        assert_eq!(partition.forks(), self.forks());
        let text = document(partition).text(&path(FIELD)).unwrap_or_default();
        let mut shown: Vec<char> = text.chars().collect();
        shown.sort_unstable();
        assert_eq!(shown, (0..self.written).map(Self::token).collect::<Vec<_>>());
        for number in 0..self.written {
            assert_eq!(document(partition).value(&path(&format!("items/{number}/."))), Some(true.into()));
        }
        // Who wrote last on a branch, and only they, compete for the shared field.
        let ends: BTreeSet<ChangeSetId> = document(partition).heads().into_iter().collect();
        let status = document(partition).resolution(&path("status")).unwrap();
        assert_eq!(status.contenders.iter().map(|contender| contender.change_set).collect::<BTreeSet<_>>(), ends);
        let names: BTreeSet<BranchName> = ends.iter().map(|id| document(partition).branch_name(id).unwrap()).collect();
        assert_eq!(names.len(), ends.len(), "no two branches end under one name");
    }
}

/// Well-formed inserts with any two characters as origins, in any order, and deletes: what no editor writes.
fn hostile_texts(seed: u64, steps: usize) -> Vec<Verified> {
    let mut random = Random::new(seed);
    let mut replicas: Vec<Replica> = (0..4).map(Replica::new).collect();
    let mut all: Vec<Verified> = Vec::new();
    for _ in 0..steps {
        let at = random.below(replicas.len());
        let from = random.below(replicas.len());
        if random.chance(35) {
            let entries = replicas[from].partition.log().entries().to_vec();
            replicas[at].partition.apply(entries);
        }
        let replica = &mut replicas[at];
        let mut written: BTreeMap<ActorId32, u32> = BTreeMap::new();
        for entry in replica.partition.log().entries() {
            for op in &entry.skeleton().unwrap().ops {
                if let Op::InsertText { points, .. } = op {
                    *written.entry(*entry.actor().id().as_bytes()).or_default() += points;
                }
            }
        }
        let own = *replica.author.actor().id().as_bytes();
        let written: Vec<(ActorId32, u32)> = written.into_iter().collect();
        let item = |random: &mut Random| {
            let (name, count) = random.pick(&written)?;
            let line = if *name == own { Line::Own } else { Line::Named(*name) };
            // Near each other, so that origins cross.
            let clock = count - 1 - random.below((*count as usize).min(6)) as u32;
            Some(ItemRef { line, clock })
        };
        let mut edits = Vec::new();
        for _ in 0..1 + random.below(2) {
            let field = path(FIELD);
            if random.chance(15)
                && let Some(start) = item(&mut random)
            {
                edits.push(Edit::DeleteText { path: field, ranges: vec![ItemRange { start, length: 1 }] });
            } else {
                let (left, right) = (item(&mut random), item(&mut random));
                let (left, right) = (left.filter(|_| random.chance(85)), right.filter(|_| random.chance(85)));
                let text = random.pick(&["a", "bc", "😀", "x😀y"]).unwrap().to_string();
                edits.push(Edit::InsertText { path: field, left, right, text });
            }
        }
        let heads = replica.partition.document(&key(DOCUMENT)).map(crdt::Document::heads).unwrap_or_default();
        let draft = Draft {
            document: key(DOCUMENT),
            parents: heads.into_iter().filter(|head| Some(*head) != replica.author.tip()).collect(),
            grant: None,
            schema_version: 0,
            intent: intent("edit"),
            group: None,
            script: Script { reason: None, edits },
        };
        let entry = replica.author.record(draft, 1_000).unwrap();
        assert_eq!(replica.partition.apply([entry.clone()]).accepted.len(), 1);
        all.push(entry);
    }
    all
}

type ActorId32 = [u8; 32];

/// A long history comes one by one in an order of its own, in batches, and at once, with masks on the way.
fn check_long(entries: &[Verified], judgement: &Judgement, random: &mut Random) {
    let mut at_once = judged(entries, &Judgement::default());
    let plain = checked_digest(&mut at_once);
    let mut order = entries.to_vec();
    random.shuffle(&mut order);
    let mut one_by_one = empty();
    // Somebody who reads everything with some delay: nearly in order, so that checkpoints are left and used.
    let mut late: Vec<(usize, Verified)> = Vec::new();
    let mut nearly: Vec<Verified> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        late.push((number + random.below(60), entry.clone()));
        late.sort_by_key(|(due, _)| *due);
        while late.first().is_some_and(|(due, _)| *due <= number) {
            nearly.push(late.remove(0).1);
        }
    }
    nearly.extend(late.into_iter().map(|(_, entry)| entry));
    for entry in nearly {
        assert!(one_by_one.apply([entry]).faults.is_empty());
    }
    assert_eq!(checked_digest(&mut one_by_one), plain);
    let mut batches = empty();
    for batch in order.chunks(1 + random.below(200)) {
        assert!(batches.apply(batch.to_vec()).faults.is_empty());
    }
    assert_eq!(checked_digest(&mut batches), plain);
    at_once.set_judgement(judgement.clone());
    batches.set_judgement(judgement.clone());
    let masked = checked_digest(&mut batches);
    assert_eq!(checked_digest(&mut at_once), masked);
    // A snapshot, whichever parts of it fit.
    let snapshot = batches.document_mut(&key(DOCUMENT)).unwrap().snapshot().unwrap();
    let snapshots = [(key(DOCUMENT), snapshot)].into();
    let log = batches.log().entries().to_vec();
    let (mut opened, _, _) =
        Partition::open(*batches.workspace(), partition_name(), judgement.clone(), log, &snapshots);
    assert_eq!(checked_digest(&mut opened), masked);
    opened.set_judgement(Judgement::default());
    assert_eq!(checked_digest(&mut opened), plain);
}

/// Each path of each document with what it shows.
fn shown(partition: &Partition) -> BTreeMap<(DocumentKey, Path), (Option<Value>, Option<String>)> {
    let paths = |document: &crdt::Document| {
        let all = document.paths("").into_iter();
        all.map(|at| ((document.key().clone(), at.clone()), (document.value(&at), document.text(&at))))
            .collect::<Vec<_>>()
    };
    partition.documents().flat_map(paths).collect()
}

pub(crate) fn check_names_changes(partition: &mut Partition, act: impl FnOnce(&mut Partition) -> Applied) {
    let before = shown(partition);
    let applied = act(partition);
    let after = shown(partition);
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for at in all.into_iter().filter(|at| before.get(*at) != after.get(*at)) {
        let named = applied.changes.iter().any(|change| change.document == at.0 && change.paths.contains_key(&at.1));
        assert!(named, "{:?} became {:?} at {}, which is not named", before.get(at), after.get(at), at.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn honest_edits_make_the_changes_that_automerge_makes(seed: u64, steps in 1usize..40) {
        let mut random = Random::new(seed);
        let mut all: Vec<Mirrored> = (0..3).map(Mirrored::new).collect();
        for _ in 0..steps {
            let at = random.below(all.len());
            if random.chance(65) {
                all[at].edit(&mut random);
            } else {
                let theirs = all[random.below(3)].log.clone();
                let count = if random.chance(50) { theirs.len() } else { random.below(theirs.len() + 1) };
                all[at].read(&theirs[..count]);
            }
            all[at].check();
        }
        for from in 0..3 {
            let theirs = all[from].log.clone();
            all.iter_mut().for_each(|one| one.read(&theirs));
        }
        for one in &mut all {
            one.check();
            one.check_changes();
        }
    }

    #[test]
    fn visible_values_are_those_of_a_naive_model(seed: u64, steps in 1usize..40) {
        let options = Options { actors: 4, documents: 2, hostile: true, forks: true };
        let history = history(seed, steps, &options);
        for judgement in [&Judgement::default(), &history.judgement] {
            let partition = judged(&history.entries, judgement);
            for document in partition.documents() {
                Model::of(partition.log().entries(), document.key(), judgement).check(document);
            }
        }
    }

    #[test]
    fn conflicting_counters_are_those_of_a_naive_model(seed: u64, steps in 1usize..40) {
        let mut random = Random::new(!seed);
        let entries = counters(seed, steps);
        let mask = entries.iter().filter(|_| random.chance(10)).map(Verified::id).collect();
        for judgement in [Judgement::default(), Judgement { mask, ..Judgement::default() }] {
            let mut partition = judged(&entries, &judgement);
            for document in partition.documents() {
                Model::of(&entries, document.key(), &judgement).check(document);
            }
            checked_digest(&mut partition);
        }
    }

    #[test]
    fn all_branches_of_a_forked_chain_survive(seed: u64, branches in 1usize..6) {
        let mut random = Random::new(seed);
        let mut copies = Copies { branches: Vec::new(), written: 0 };
        let count = random.below(5);
        copies.write(&mut random, 0, 0, count);
        for _ in 0..branches {
            let branch = random.below(copies.branches.len());
            let cut = random.below(copies.branches[branch].len() + 1);
            let count = 1 + random.below(4);
            copies.write(&mut random, branch, cut, count);
        }
        let mut entries: Vec<Verified> = copies.entries().into_values().collect();
        let mut partition = judged(&entries, &Judgement::default());
        copies.check(&partition);
        let digest = checked_digest(&mut partition);
        random.shuffle(&mut entries);
        let mut other = empty();
        for entry in entries.clone() {
            other.apply([entry]);
        }
        copies.check(&other);
        prop_assert_eq!(&checked_digest(&mut other), &digest);
        // Masking a branch takes its own content alone, and lifting the mask gives it back.
        let mask: BTreeSet<ChangeSetId> = entries.iter().filter(|_| random.chance(30)).map(Verified::id).collect();
        other.set_judgement(Judgement { mask: mask.clone(), ..Judgement::default() });
        let kept = document(&other).text(&path(FIELD)).unwrap_or_default();
        prop_assert_eq!(kept.chars().count(), entries.len() - mask.len());
        other.set_judgement(Judgement::default());
        copies.check(&other);
        prop_assert_eq!(&checked_digest(&mut other), &digest);
        // Somebody who read all of it writes on, and so does a copy that has not.
        let mut reader = Replica::new(1);
        reader.partition.apply(entries.clone());
        reader.edit(&key(DOCUMENT), |tx| tx.delete_text(&path(FIELD), 0, 1).unwrap());
        prop_assert_eq!(document(&reader.partition).heads().len(), 1);
        prop_assert_eq!(reader.text(&key(DOCUMENT), FIELD).chars().count(), entries.len() - 1);
    }

    #[test]
    fn earlier_heads_show_what_a_replica_at_them_shows(seed: u64, steps in 1usize..40) {
        let mut random = Random::new(!seed);
        for (hostile, forks) in [(true, false), (false, true), (true, true)] {
            let options = Options { actors: 4, documents: 1, hostile, forks };
            check_earlier_heads(&history(seed, steps, &options), &mut random);
        }
    }

    #[test]
    fn changes_are_named(seed: u64, steps in 1usize..40) {
        let options = Options { actors: 4, documents: 2, hostile: true, forks: true };
        let history = history(seed, steps, &options);
        let mut random = Random::new(!seed);
        let mut entries = history.entries.clone();
        random.shuffle(&mut entries);
        let mut partition = empty();
        for batch in entries.chunks(1 + random.below(8)) {
            check_names_changes(&mut partition, |partition| partition.apply(batch.to_vec()));
            if random.chance(20) {
                let mask = entries.iter().filter(|_| random.chance(10)).map(Verified::id).collect();
                let judgement = Judgement { mask, purges: history.judgement.purges.clone() };
                check_names_changes(&mut partition, |partition| partition.set_judgement(judgement));
            }
        }
        check_names_changes(&mut partition, |partition| partition.set_judgement(history.judgement.clone()));
        check_names_changes(&mut partition, |partition| partition.set_judgement(Judgement::default()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn long_hostile_histories_converge(seed: u64, steps in 400usize..800) {
        let options = Options { actors: 5, documents: 1, hostile: true, forks: true };
        let history = history(seed, steps, &options);
        check_long(&history.entries, &history.judgement, &mut Random::new(!seed));
    }

    #[test]
    fn long_texts_with_crossing_origins_converge(seed: u64, steps in 400usize..600) {
        let entries = hostile_texts(seed, steps);
        let mut random = Random::new(!seed);
        let mask = entries.iter().filter(|_| random.chance(5)).map(Verified::id).collect();
        check_long(&entries, &Judgement { mask, ..Judgement::default() }, &mut random);
    }
}
