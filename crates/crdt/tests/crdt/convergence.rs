//! Every causal order, every batching, every save and load gives one digest.

use crate::support::{History, Options, Random, WORKSPACE, checked_digest, empty, history, partition_name};
use changeset::Verified;
use crdt::{Judgement, Partition};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Applies a history in a random order and batching; what lacks something waits and must be taken in the end.
fn apply_shuffled(random: &mut Random, partition: &mut Partition, entries: &[Verified]) {
    let mut order = entries.to_vec();
    random.shuffle(&mut order);
    let mut rest = &order[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(1 + random.below(rest.len().min(12)));
        let applied = partition.apply(batch.to_vec());
        assert!(applied.faults.is_empty(), "{:?}", applied.faults);
        rest = later;
    }
}

fn refused(partition: &Partition, entries: &[Verified]) -> usize {
    entries.iter().filter(|entry| !partition.log().contains(&entry.id())).count()
}

/// The same change sets without the values that the judgement purges.
fn redacted(history: &History) -> Vec<Verified> {
    let redact = |entry: &Verified| match history.judgement.purges.get(&entry.id()) {
        Some(values) => entry.redact(&values.iter().map(|value| *value as usize).collect::<Vec<_>>()),
        None => entry.clone(),
    };
    history.entries.iter().map(redact).collect()
}

fn check(history: &History, seed: u64) {
    let mut random = Random::new(seed ^ 0xabcd);
    let mut straight = empty();
    straight.apply(history.entries.clone());
    let plain = checked_digest(&mut straight);
    straight.set_judgement(history.judgement.clone());
    let judged = checked_digest(&mut straight);

    // Another order, and the judgement from the start.
    let mut early = empty();
    early.set_judgement(history.judgement.clone());
    apply_shuffled(&mut random, &mut early, &history.entries);
    assert_eq!(refused(&early, &history.entries), refused(&straight, &history.entries));
    assert_eq!(checked_digest(&mut early), judged);

    // Redacted copies say the same as whole ones under the same judgement.
    let mut purged = empty();
    apply_shuffled(&mut random, &mut purged, &redacted(history));
    purged.set_judgement(history.judgement.clone());
    assert_eq!(checked_digest(&mut purged), judged);

    // The mask flips on, half on, and off while change sets come.
    let mut flipping = empty();
    let half = Judgement {
        mask: history.judgement.mask.iter().filter(|_| random.chance(50)).copied().collect(),
        purges: BTreeMap::new(),
    };
    let (first, second) = history.entries.split_at(history.entries.len() / 2);
    apply_shuffled(&mut random, &mut flipping, second);
    flipping.set_judgement(history.judgement.clone());
    apply_shuffled(&mut random, &mut flipping, first);
    flipping.set_judgement(half);
    flipping.set_judgement(Judgement::default());
    assert_eq!(checked_digest(&mut flipping), plain);

    // Save and load: from the log with snapshots, then more on top.
    let mut saved = empty();
    saved.set_judgement(history.judgement.clone());
    saved.apply(first.to_vec());
    let keys: Vec<_> = saved.documents().map(|document| document.key().clone()).collect();
    let snapshots =
        keys.iter().map(|key| (key.clone(), saved.document_mut(key).unwrap().snapshot().unwrap())).collect();
    let log = saved.log().entries().to_vec();
    let before = checked_digest(&mut saved);
    let (mut loaded, _, used) =
        Partition::open(WORKSPACE, partition_name(), history.judgement.clone(), log, &snapshots);
    assert!(
        used.values().all(|used| matches!(used, crdt::SnapshotUse::Used | crdt::SnapshotUse::StructureOnly)),
        "{used:?}"
    );
    assert_eq!(checked_digest(&mut loaded), before);
    apply_shuffled(&mut random, &mut loaded, &history.entries);
    assert_eq!(checked_digest(&mut loaded), judged);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn honest_histories_converge(seed: u64, steps in 1usize..30) {
        let options = Options { actors: 3, documents: 1, hostile: false, forks: false };
        check(&history(seed, steps, &options), seed);
    }

    #[test]
    fn forked_histories_converge(seed: u64, steps in 1usize..30) {
        let options = Options { actors: 3, documents: 2, hostile: false, forks: true };
        check(&history(seed, steps, &options), seed);
    }

    #[test]
    fn hostile_histories_converge(seed: u64, steps in 1usize..30) {
        let options = Options { actors: 5, documents: 2, hostile: true, forks: true };
        check(&history(seed, steps, &options), seed);
    }
}
