//! Change sets taken at once, documents built later, in any order: it ends as if all had been applied as it came, and on
//! the way a document shows what it showed when it was built last.

use crate::properties::check_names_changes;
use crate::support::{
    History, Options, Random, Replica, WORKSPACE, author, checked_digest, empty, history, intent, key, partition_name,
    path,
};
use changeset::*;
use crdt::{Commit, Digest, Edits, Judgement, Partition, SnapshotUse, State};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NOTE: &str = "findings";

/// A partition that builds late beside one that applies everything as it comes.
struct Pair {
    late: Partition,
    eager: Partition,
    author: Author,
    now: u64,
    own: Vec<Verified>,
    /// Each document as it was when it was built last.
    built: BTreeMap<DocumentKey, Digest>,
}

impl Pair {
    fn new() -> Self {
        let now = 500;
        Self { late: empty(), eager: empty(), author: author(9), now, own: Vec::new(), built: BTreeMap::new() }
    }

    fn check(&mut self) {
        assert_eq!(self.late.log().entries(), self.eager.log().entries());
        assert_eq!(self.late.judgement(), self.eager.judgement());
        assert_eq!(self.late.waiting(), self.eager.waiting());
        let queued: BTreeMap<DocumentKey, usize> =
            self.late.pending().map(|(key, count)| (key.clone(), count)).collect();
        for theirs in self.eager.documents() {
            let (key, mine) = (theirs.key(), self.late.document(theirs.key()));
            let taken = mine.map_or(0, crdt::Document::len);
            assert_eq!(taken + queued.get(key).copied().unwrap_or(0), theirs.len());
            let shown = mine.map(crdt::Document::digest);
            if self.late.is_current(key) {
                assert_eq!(shown, Some(theirs.digest()), "a current document shows all that is held of it");
                self.built.insert(key.clone(), theirs.digest());
            } else {
                assert_eq!(shown, self.built.get(key).copied(), "a pending one what it showed when it was built");
            }
            assert_eq!(self.late.is_current(key), !queued.contains_key(key));
        }
        assert_eq!(self.eager.pending().count(), 0);
        let is_settled = queued.is_empty();
        assert_eq!(self.late.digest() == self.eager.digest(), is_settled);
    }

    /// Takes a batch; some of it is masked as it arrives.
    fn receive(&mut self, random: &mut Random, batch: &[Verified]) {
        let mask: BTreeSet<ChangeSetId> = batch.iter().filter(|_| random.chance(10)).map(Verified::id).collect();
        let mut judgement = self.eager.judgement().clone();
        judgement.mask.extend(mask.iter().copied());
        self.eager.set_judgement(judgement);
        let applied = self.eager.apply(batch.to_vec());
        let received = self.late.receive(batch.to_vec(), mask);
        assert_eq!((received.accepted, received.refused), (applied.accepted, applied.refused));
        for change in &applied.changes {
            assert!(!self.late.is_current(&change.document));
            // One that was never built has nothing that names could move in.
            let is_shown = self.late.document(&change.document).is_some();
            assert!(!is_shown || received.pending.contains(&change.document));
        }
        assert!(received.pending.iter().all(|key| !self.late.is_current(key)));
    }

    fn apply(&mut self, batch: &[Verified]) {
        self.eager.apply(batch.to_vec());
        let applied = self.late.apply(batch.to_vec());
        for id in &applied.accepted {
            let document = &self.late.log().get(id).unwrap().header().document;
            assert!(self.late.is_current(document));
        }
    }

    fn judge(&mut self, random: &mut Random, history: &History) {
        let ids: Vec<ChangeSetId> = history.entries.iter().chain(&self.own).map(Verified::id).collect();
        let mut judgement = self.eager.judgement().clone();
        let before = judgement.mask.clone();
        if random.chance(50) {
            if random.chance(50) {
                judgement = history.judgement.clone();
            }
            judgement.mask.extend(ids.iter().filter(|_| random.chance(5)));
            judgement.mask.retain(|_| random.chance(70));
            judgement.purges.retain(|_, _| random.chance(70));
            self.late.set_judgement(judgement.clone());
        } else {
            let mut pick = |percent: usize| -> BTreeSet<ChangeSetId> {
                ids.iter().filter(|_| random.chance(percent)).copied().collect()
            };
            let (add, remove) = (pick(5), pick(30));
            judgement.mask.retain(|id| !remove.contains(id));
            judgement.mask.extend(add.iter().copied());
            self.late.amend_judgement(add, remove);
        }
        self.eager.set_judgement(judgement);
        // Nothing that this masked is shown.
        for document in self.late.documents() {
            let is_hidden = |id: &ChangeSetId| before.contains(id) || !self.late.judgement().mask.contains(id);
            assert!(document.standings().all(|(id, standing)| is_hidden(&id) || !standing.is_counted()));
        }
    }

    fn transact(&mut self, random: &mut Random) {
        if random.chance(15) {
            // A restored copy of this device: what it writes forks its chain.
            self.author = match random.pick(&self.own) {
                Some(last) => author(9).after(last),
                None => author(9),
            };
        }
        let document = key(random.below(3) as u8);
        self.now += 10;
        let before = self.late.log().entries().len();
        let current = |late: &Partition| -> BTreeSet<DocumentKey> {
            late.documents().map(crdt::Document::key).filter(|key| late.is_current(key)).cloned().collect()
        };
        let current_before = current(&self.late);
        let mut tx = self.late.transact(&mut self.author, &document, self.now);
        if random.chance(60) {
            let length = tx.text(&path(NOTE)).unwrap_or_default().chars().count();
            tx.insert_text(&path(NOTE), random.below(length + 1), "own").unwrap();
        }
        if random.chance(60) {
            tx.put(&path("status"), "own".into()).unwrap();
        }
        if random.chance(20) {
            drop(tx);
            assert!(self.late.is_current(&document));
            return;
        }
        tx.commit(Commit::new(intent("edit"))).unwrap();
        assert!(self.late.is_current(&document));
        assert!(current(&self.late).is_superset(&current_before), "also where its fork renamed them");
        let written = self.late.log().entries()[before..].to_vec();
        self.eager.apply(written.clone());
        self.own.extend(written);
    }

    fn materialise(&mut self, random: &mut Random) {
        let keys: Vec<DocumentKey> = self.late.pending().map(|(key, _)| key.clone()).collect();
        if random.chance(5) {
            check_names_changes(&mut self.late, Partition::materialise_all);
        } else if let Some(key) = random.pick(&keys) {
            check_names_changes(&mut self.late, |late| late.materialise(key));
            assert!(self.late.is_current(key));
        }
    }
}

fn check(history: &History, seed: u64) {
    let mut random = Random::new(seed ^ 0x5151);
    let mut pair = Pair::new();
    // Half of what comes lacks a value at first, and comes whole later.
    let mut order: Vec<Verified> = history.entries.iter().map(|entry| entry.redact(&[0])).collect();
    order.retain(|_| random.chance(30));
    order.extend(history.entries.iter().cloned());
    random.shuffle(&mut order);
    let mut rest = &order[..];
    while !rest.is_empty() {
        match random.below(10) {
            0..=3 => {
                let (batch, later) = rest.split_at(1 + random.below(rest.len().min(8)));
                if random.chance(85) {
                    pair.receive(&mut random, batch)
                } else {
                    pair.apply(batch)
                }
                rest = later;
            }
            4..=6 => pair.materialise(&mut random),
            7 => pair.judge(&mut random, history),
            _ => pair.transact(&mut random),
        }
        pair.check();
    }
    pair.late.set_judgement(history.judgement.clone());
    pair.eager.set_judgement(history.judgement.clone());
    pair.check();
    // What was taken without a value while that was purged, and is not purged any more, is taken whole now.
    pair.receive(&mut random, &history.entries);
    pair.late.set_judgement(history.judgement.clone());
    pair.eager.set_judgement(history.judgement.clone());
    loop {
        let newest = pair.late.pending().next().map(|(key, _)| key.clone());
        let Some(newest) = newest else { break };
        pair.late.materialise(&newest);
    }
    pair.check();
    let mut all = empty();
    all.apply(history.entries.iter().chain(&pair.own).cloned());
    all.set_judgement(history.judgement.clone());
    let wanted = checked_digest(&mut all);
    assert_eq!(checked_digest(&mut pair.eager), wanted);
    assert_eq!(checked_digest(&mut pair.late), wanted);
}

/// Snapshots taken at one time, adopted when more has come, forks and other judgements among it.
fn check_snapshots(history: &History, seed: u64) -> bool {
    let mut random = Random::new(seed ^ 0x7777);
    let mut order = history.entries.clone();
    random.shuffle(&mut order);
    let (first, later) = order.split_at(random.below(order.len() + 1));
    let mut saved = empty();
    saved.set_judgement(history.judgement.clone());
    saved.apply(first.to_vec());
    let keys: Vec<DocumentKey> = saved.documents().map(|document| document.key().clone()).collect();
    let snapshots: BTreeMap<DocumentKey, Vec<u8>> =
        keys.into_iter().map(|key| (key.clone(), saved.document_mut(&key).unwrap().snapshot().unwrap())).collect();
    let log = saved.log().entries().to_vec();
    let (mut opened, received) =
        Partition::open_pending(WORKSPACE, partition_name(), history.judgement.clone(), log.clone());
    assert_eq!(received.accepted, log.iter().map(Verified::id).collect::<Vec<_>>());
    assert!(opened.documents().next().is_none());
    let mut is_used = false;
    let mut adopt = |opened: &mut Partition, random: &mut Random, percent: usize| {
        for (key, snapshot) in &snapshots {
            if random.chance(percent) {
                let is_new = opened.document(key).is_none();
                let (applied, used) = opened.materialise_from(key, snapshot);
                assert!(applied.faults.is_empty() && opened.is_current(key));
                assert!(!matches!(used, SnapshotUse::Damaged(_)) && (is_new || used == SnapshotUse::Stale));
                is_used |= used != SnapshotUse::Stale;
            }
        }
    };
    for batch in later.chunks(1 + random.below(6)) {
        adopt(&mut opened, &mut random, 10);
        opened.receive(batch.to_vec(), []);
        if random.chance(10) {
            let mask: Vec<ChangeSetId> = order.iter().filter(|_| random.chance(5)).map(Verified::id).collect();
            opened.amend_judgement(mask, []);
        }
    }
    if random.chance(50) {
        opened.set_judgement(history.judgement.clone());
    }
    adopt(&mut opened, &mut random, 70);
    opened.set_judgement(history.judgement.clone());
    opened
        .receive(saved.waiting().iter().filter_map(|one| order.iter().find(|entry| entry.id() == one.id)).cloned(), []);
    opened.materialise_all();
    saved.apply(later.to_vec());
    assert_eq!(checked_digest(&mut opened), checked_digest(&mut saved));
    is_used
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn honest_histories_end_as_if_applied_at_once(seed: u64, steps in 1usize..30) {
        check(&history(seed, steps, &Options { actors: 3, documents: 3, hostile: false, forks: false }), seed);
    }

    #[test]
    fn forked_histories_end_as_if_applied_at_once(seed: u64, steps in 1usize..40) {
        check(&history(seed, steps, &Options { actors: 2, documents: 3, hostile: false, forks: true }), seed);
    }

    #[test]
    fn hostile_histories_end_as_if_applied_at_once(seed: u64, steps in 1usize..30) {
        check(&history(seed, steps, &Options { actors: 4, documents: 2, hostile: true, forks: true }), seed);
    }

    #[test]
    fn snapshots_are_adopted_late(seed: u64, steps in 1usize..30) {
        for (hostile, forks) in [(false, false), (false, true), (true, true)] {
            check_snapshots(&history(seed, steps, &Options { actors: 3, documents: 3, hostile, forks }), seed);
        }
    }
}

#[test]
fn late_snapshots_are_used_often_enough_to_be_tested() {
    let options = Options { actors: 3, documents: 3, hostile: false, forks: true };
    let used = (0..100).filter(|seed| check_snapshots(&history(*seed, 30, &options), *seed)).count();
    assert!(used > 50, "{used} of 100");
}

fn note(replica: &mut Replica, document: u8, text: &str) -> Verified {
    replica.edit(&key(document), |tx| tx.insert_text(&path(NOTE), 0, text).unwrap())
}

fn pending(partition: &Partition) -> Vec<(DocumentKey, usize)> {
    partition.pending().map(|(key, count)| (key.clone(), count)).collect()
}

#[test]
fn what_is_received_shows_when_it_is_materialised() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let first = note(&mut ana, 1, "b");
    note(&mut ana, 2, "two");
    let third = note(&mut ana, 1, "a");
    note(&mut ana, 3, "three");
    let received = ben.partition.receive(ana.partition.log().entries().to_vec(), []);
    assert_eq!(received.accepted.len(), 4);
    assert_eq!(received.pending, [key(1), key(2), key(3)].into());
    assert!(ben.partition.documents().next().is_none() && !ben.partition.is_current(&key(1)));
    assert_eq!(pending(&ben.partition), [(key(3), 1), (key(1), 2), (key(2), 1)], "newest first");

    let applied = ben.partition.materialise(&key(1));
    assert!(applied.accepted.is_empty() && applied.faults.is_empty());
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(applied.changes[0].paths[&path(NOTE)], [first.id(), third.id()]);
    assert_eq!(ben.text(&key(1), NOTE), "ab");
    assert!(ben.partition.document(&key(2)).is_none());
    assert_eq!(pending(&ben.partition), [(key(3), 1), (key(2), 1)]);
    assert!(ben.partition.materialise(&key(1)).changes.is_empty(), "nothing is left to do");

    let fifth = note(&mut ana, 1, "x");
    ben.partition.receive([fifth.clone()], []);
    assert_eq!((ben.text(&key(1), NOTE), ben.partition.is_current(&key(1))), ("ab".to_owned(), false));
    assert_eq!(pending(&ben.partition)[0], (key(1), 1), "it is the newest now");
    assert_eq!(ben.partition.materialise_all().changes.len(), 3);
    assert_eq!(ben.text(&key(1), NOTE), "xab");
    assert_eq!(document(&ben).counted_heads(), [fifth.id()]);
    assert_eq!(checked_digest(&mut ben.partition), checked_digest(&mut ana.partition));
}

fn document(replica: &Replica) -> &crdt::Document {
    replica.partition.document(&key(1)).unwrap()
}

#[test]
fn what_arrives_masked_is_never_shown_and_what_is_masked_later_is_hidden_at_once() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let good = note(&mut ana, 1, "good");
    let bad = note(&mut ana, 1, "bad ");
    let other = note(&mut ana, 2, "other");
    ben.partition.receive([good.clone()], []);
    ben.partition.receive([bad.clone(), other.clone()], [bad.id()]);
    ben.partition.materialise(&key(1));
    assert_eq!(ben.text(&key(1), NOTE), "good");
    assert_eq!((document(&ben).heads(), document(&ben).counted_heads()), (vec![bad.id()], vec![good.id()]));

    // A document that is not shown needs no rebuild.
    assert!(ben.partition.amend_judgement([other.id()], []).changes.is_empty());
    assert!(!ben.partition.is_current(&key(2)));
    let applied = ben.partition.amend_judgement([good.id()], [bad.id()]);
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(ben.text(&key(1), NOTE), "bad ");
    assert_eq!(ben.partition.judgement().mask, [good.id(), other.id()].into());
    // In both lists: masked. Nothing moved, so nothing is built.
    assert!(ben.partition.amend_judgement([good.id()], [good.id()]).changes.is_empty());
    assert_eq!(ben.partition.judgement().mask, [good.id(), other.id()].into());

    // One that is shown already counts until its document is built.
    let received = ben.partition.receive([], [bad.id()]);
    assert_eq!((received.pending, ben.text(&key(1), NOTE)), ([key(1)].into(), "bad ".to_owned()));
    assert_eq!(pending(&ben.partition), [(key(2), 1), (key(1), 0)]);
    ben.partition.materialise(&key(1));
    assert_eq!(ben.text(&key(1), NOTE), "");
}

#[test]
fn an_author_builds_on_all_that_is_held_of_the_document() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let first = note(&mut ana, 1, "door");
    note(&mut ana, 2, "other");
    ben.partition.receive(ana.partition.log().entries().to_vec(), []);
    ben.now += 1_000;
    let mut tx = ben.partition.transact(&mut ben.author, &key(1), ben.now);
    assert_eq!(tx.materialised().changes[0].paths[&path(NOTE)], [first.id()]);
    tx.insert_text(&path(NOTE), 4, " shut").unwrap();
    let (second, applied) = tx.commit(Commit::new(intent("edit"))).unwrap();
    assert_eq!(second.header().parents, [first.id()]);
    assert_eq!(applied.accepted, [second.id()]);
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(applied.changes[0].paths[&path(NOTE)], [first.id(), second.id()]);
    assert_eq!(ben.text(&key(1), NOTE), "door shut");
    assert_eq!(pending(&ben.partition), [(key(2), 1)], "no other document is built for it");
}

/// A copy of a device writes on in one document; what it forks stands in another, which is shown, and in a third, which
/// is pending.
#[test]
fn a_fork_renames_what_is_shown_and_what_is_pending() {
    for is_materialised in [false, true] {
        let (mut ana, mut reader) = (Replica::new(0), Replica::new(1));
        let first = note(&mut ana, 1, "one");
        let branch: Vec<Verified> = (0..4).map(|at| note(&mut ana, 2 + at % 2, "more")).collect();
        // Whichever branch has the lower id keeps the name: try until the new one takes it.
        let fork = (0..64)
            .map(|time| {
                let mut copy = Replica::new(0);
                copy.partition.apply([first.clone()]);
                copy.author = author(0).after(&first);
                copy.now = 3_000 + time;
                note(&mut copy, 1, "copy")
            })
            .find(|fork| fork.id() < branch[0].id())
            .unwrap();
        reader.partition.apply([first.clone(), branch[0].clone()]);
        reader.partition.receive(branch[1..].to_vec(), []);
        if is_materialised {
            reader.partition.materialise(&key(3));
        }
        let name = |partition: &Partition, number: u8, id: &ChangeSetId| {
            partition.document(&key(number)).and_then(|document| document.branch_name(id))
        };
        let before = name(&reader.partition, 2, &branch[0].id());
        let received = reader.partition.receive([fork], []);
        let mut renamed: BTreeSet<DocumentKey> = [key(1), key(2)].into();
        renamed.extend(is_materialised.then(|| key(3)));
        assert_eq!(received.pending, renamed);
        assert_eq!(name(&reader.partition, 2, &branch[0].id()), before, "as it was built last");
        reader.partition.materialise_all();
        assert_ne!(name(&reader.partition, 2, &branch[0].id()), before);
        assert_ne!(name(&reader.partition, 3, &branch[1].id()), before);
        let mut all = empty();
        all.apply(reader.partition.log().entries().to_vec());
        assert_eq!(checked_digest(&mut reader.partition), checked_digest(&mut all));
    }
}

#[test]
fn a_snapshot_is_adopted_under_what_came_since_and_passed_over_where_the_mask_moved() {
    let mut ana = Replica::new(0);
    let first = note(&mut ana, 1, "one");
    note(&mut ana, 1, "two ");
    let snapshot = ana.partition.document_mut(&key(1)).unwrap().snapshot().unwrap();
    let log = ana.partition.log().entries().to_vec();
    let since = note(&mut ana, 1, "three ");
    let open = || Partition::open_pending(WORKSPACE, partition_name(), Judgement::default(), log.clone()).0;

    let mut opened = open();
    opened.receive([since.clone()], []);
    let (applied, used) = opened.materialise_from(&key(1), &snapshot);
    assert_eq!((used, applied.changes.len()), (SnapshotUse::Used, 1));
    assert_eq!(checked_digest(&mut opened), checked_digest(&mut ana.partition));
    assert_eq!(opened.materialise_from(&key(1), &snapshot).1, SnapshotUse::Stale, "it is shown already");

    let mut masked = open();
    masked.receive([since], [first.id()]);
    assert_eq!(masked.materialise_from(&key(1), &snapshot).1, SnapshotUse::Stale);
    assert_eq!(masked.document(&key(1)).unwrap().text(&path(NOTE)).unwrap(), "three two ");
}
