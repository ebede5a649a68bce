#![no_main]
//! Histories of up to five devices, honest, restored and hostile.
//!
//! Proves: two replicas with the same change sets and the same judgement agree, whatever the order and the batches, with
//! the judgement from the start or at the end, with whole or purged copies, and after masks flipped to and fro; what a
//! device's own store shows is what others make of its log, and a dropped transaction leaves no trace; what Automerge
//! shows is what the index says, and every save loads in Automerge; snapshots open as what they were taken of; what a log
//! holds goes through pages and comes back; and nothing that can be read of a document panics.

use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use changeset::{MemoryLog, Value, Verified, decode_page, encode_page};
use crdt::{CursorSide, Digest, Document, Judgement, Partition, SnapshotUse, State};
use fieldbook_fuzz::history::{History, Plan, empty};
use fieldbook_fuzz::{DEVICES, author, partition, workspace};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, Transact, Update};

/// SplitMix64: the order of arrival follows from the plan.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }
}

fn apply(partition: &mut Partition, batch: &[Verified]) {
    let applied = partition.apply(batch.to_vec());
    assert!(applied.faults.is_empty(), "{:?}", applied.faults);
}

fn apply_shuffled(random: &mut Random, partition: &mut Partition, entries: &[Verified]) {
    let mut order = entries.to_vec();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    let mut rest = &order[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(1 + random.below(rest.len().min(12)));
        apply(partition, batch);
        rest = later;
    }
}

/// What two replicas must agree on: the set, what is shown, and what Automerge made of it.
type Seen = (Vec<changeset::ChangeSetId>, Digest, Vec<Vec<[u8; 32]>>);

fn seen(partition: &mut Partition) -> Seen {
    let heads = partition.automerge_heads().expect("Automerge takes what is rebuilt for it").into_values().collect();
    let mut held: Vec<_> = partition.log().entries().iter().map(Verified::id).collect();
    held.sort_unstable();
    (held, partition.digest(), heads)
}

fn agree(history: &History, plan: &Plan) -> Partition {
    let mut random = Random(plan.order);
    let (first, second) = history.entries.split_at(usize::from(plan.cut).min(history.entries.len()));
    let mut straight = empty();
    apply(&mut straight, &history.entries);
    let plain = seen(&mut straight);
    straight.set_judgement(history.judgement.clone());
    let judged = seen(&mut straight);

    let mut early = empty();
    early.set_judgement(history.judgement.clone());
    apply_shuffled(&mut random, &mut early, &history.entries);
    assert_eq!(seen(&mut early), judged);
    early.set_judgement(Judgement::default());
    assert_eq!(seen(&mut early), plain);

    if !history.judgement.purges.is_empty() {
        let redact = |entry: &Verified| match history.judgement.purges.get(&entry.id()) {
            Some(values) => entry.redact(&values.iter().map(|value| *value as usize).collect::<Vec<_>>()),
            None => entry.clone(),
        };
        let redacted: Vec<Verified> = history.entries.iter().map(redact).collect();
        let mut purged = empty();
        apply_shuffled(&mut random, &mut purged, &redacted);
        purged.set_judgement(history.judgement.clone());
        assert_eq!(seen(&mut purged), judged);
    }

    let half: Judgement = Judgement {
        mask: history.judgement.mask.iter().filter(|_| random.below(2) == 0).copied().collect(),
        purges: BTreeMap::new(),
    };
    let mut flipping = empty();
    flipping.set_judgement(half);
    apply_shuffled(&mut random, &mut flipping, second);
    flipping.set_judgement(history.judgement.clone());
    apply_shuffled(&mut random, &mut flipping, first);
    assert_eq!(seen(&mut flipping), judged);
    straight
}

/// From a snapshot of a first part on.
fn reopened(history: &History, plan: &Plan, judged: &Seen) {
    let mut saved = empty();
    saved.set_judgement(history.judgement.clone());
    apply(&mut saved, &history.entries[..usize::from(plan.cut).min(history.entries.len())]);
    let keys: Vec<_> = saved.documents().map(|document| document.key().clone()).collect();
    let mut snapshot =
        |key: &_| saved.document_mut(key).and_then(|document| document.snapshot().ok()).expect("a snapshot");
    let snapshots = keys.into_iter().map(|key| (key.clone(), snapshot(&key))).collect();
    let log = saved.log().entries().to_vec();
    let (mut opened, _, used) = Partition::open(workspace(), partition(), history.judgement.clone(), log, &snapshots);
    assert!(used.values().all(|used| matches!(used, SnapshotUse::Used | SnapshotUse::StructureOnly)), "{used:?}");
    assert_eq!(seen(&mut opened), seen(&mut saved));
    apply(&mut opened, &history.entries);
    assert_eq!(seen(&mut opened), *judged);
}

/// What a device wrote and read as it went shows what others make of its log.
fn replayed(history: &mut History, plan: &Plan) {
    let count = history.stores.len();
    for store in history.stores.iter_mut().skip(plan.order as usize % count.max(1)).take(2) {
        let mut fresh = empty();
        apply(&mut fresh, store.log().entries());
        assert_eq!(seen(store), seen(&mut fresh));
    }
}

/// A log goes into two pages, signed where runs end, and comes back.
fn paged(straight: &Partition, plan: &Plan) {
    let entries = straight.log().entries();
    let authors: Vec<_> = (0..DEVICES).map(author).collect();
    let (first, second) = entries.split_at(usize::from(plan.cut).min(entries.len()));
    let mut log = MemoryLog::new();
    for part in [first, second] {
        let goes_on = |entry: &Verified| part.iter().any(|later| later.header().previous == Some(entry.id()));
        let sign = |entry: &Verified| {
            let author = authors.iter().find(|author| author.actor().id() == entry.actor().id());
            author.and_then(|author| author.sign(entry).ok()).expect("every entry has one of our authors")
        };
        let part: Vec<Verified> =
            part.iter().map(|entry| if goes_on(entry) { entry.clone() } else { sign(entry) }).collect();
        let page = encode_page(&part, &log).expect("a log goes into pages");
        let read = decode_page(&page, &workspace(), &partition(), &log).expect("what was written is read");
        let read = read.verify().expect("what was signed verifies");
        assert_eq!(read, part);
        for entry in read {
            assert!(log.push(entry.clone()));
            assert_eq!(log.get(&entry.id()), Some(&entry));
        }
    }
}

/// What can be read of a document, and the second opinions.
fn read(partition: &mut Partition, is_honest: bool) {
    let _ = (partition.waiting(), partition.forks());
    let keys: Vec<_> = partition.documents().map(|document| document.key().clone()).collect();
    for key in keys {
        let document = partition.document_mut(&key).expect("it was listed");
        let saved = document.save_automerge().expect("Automerge takes what is rebuilt for it");
        let image = Automerge::load(&saved).expect("every save loads");
        let mut heads: Vec<[u8; 32]> = image.get_heads().into_iter().map(|hash| hash.0).collect();
        heads.sort_unstable();
        assert_eq!(document.automerge_heads().ok(), Some(heads));
        check_image(document, &image);
        let _ = (document.conflicts(), document.history());
        let now = document.at(&document.heads()).expect("its own heads");
        let paths = document.paths("");
        assert_eq!(now.paths(""), paths);
        for path in &paths {
            assert_eq!(now.value(path), document.value(path));
            assert_eq!(now.text(path), document.text(path));
            check_text(document, path);
        }
        check_yjs(document, &paths, is_honest);
    }
}

fn check_text(document: &Document, path: &changeset::Path) {
    let text = document.text(path).unwrap_or_default();
    let spans: String = document.spans(path).into_iter().map(|span| span.text).collect();
    assert_eq!(spans, text);
    for side in [CursorSide::Left, CursorSide::Right] {
        let middle = text.chars().count() / 2;
        let cursor = document.cursor(path, middle, side);
        assert_eq!(document.cursor_position(path, &cursor), middle);
    }
}

/// Other programs load the texts. Of hostile origins they may show another order; see `Document::save_yjs`.
fn check_yjs(document: &Document, paths: &[changeset::Path], is_honest: bool) {
    let doc = Doc::new();
    let update = Update::decode_v1(&document.save_yjs()).expect("every save loads");
    doc.transact_mut().apply_update(update).expect("every save loads");
    let txn = doc.transact();
    assert!(!txn.has_missing_updates());
    for path in paths.iter().filter(|_| is_honest) {
        let text = txn.get_text(path.as_str()).map(|text| text.get_string(&txn)).filter(|text| !text.is_empty());
        assert_eq!(text, document.text(path));
    }
}

/// The same values at the same paths.
fn check_image(document: &Document, image: &Automerge) {
    let mut in_image: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for at in image.keys(ROOT) {
        let all = image.get_all(ROOT, at.as_str()).expect("a key that was listed");
        let mut values: Vec<String> = all.iter().filter_map(|(value, _)| value.as_scalar().map(plain)).collect();
        values.sort();
        in_image.insert(at, values);
    }
    let mut in_index: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for at in document.paths("") {
        let Some(resolution) = document.resolution(&at) else { continue };
        let shown = resolution.contenders.iter().filter_map(|contender| contender.value.as_ref());
        let mut values: Vec<String> = shown.map(as_plain).collect();
        values.sort();
        in_index.insert(at.to_string(), values);
    }
    assert_eq!(in_index, in_image);
}

fn plain(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Counter(sum) => format!("counter {}", i64::from(sum)),
        ScalarValue::Str(text) => format!("string {text:?}"),
        other => format!("{other:?}"),
    }
}

fn as_plain(value: &Value) -> String {
    match value {
        Value::Counter(sum) => format!("counter {sum}"),
        Value::String(text) => format!("string {text:?}"),
        Value::Decimal(decimal) => format!("string {:?}", decimal.to_string()),
        Value::Reference(reference) => format!("string {:?}", reference.to_string()),
        Value::Attachment(attachment) => format!("string {:?}", attachment.to_string()),
        Value::Null => format!("{:?}", ScalarValue::Null),
        Value::Bool(value) => format!("{:?}", ScalarValue::Boolean(*value)),
        Value::Int(value) => format!("{:?}", ScalarValue::Int(*value)),
        Value::Float(value) => format!("{:?}", ScalarValue::F64(*value)),
        Value::Timestamp(value) => format!("{:?}", ScalarValue::Timestamp(*value)),
        Value::Bytes(bytes) => format!("{:?}", ScalarValue::Bytes(bytes.clone())),
    }
}

fuzz_target!(|plan: Plan| {
    let mut history = plan.run();
    replayed(&mut history, &plan);
    let mut straight = agree(&history, &plan);
    let judged = seen(&mut straight);
    reopened(&history, &plan, &judged);
    paged(&straight, &plan);
    read(&mut straight, history.is_honest);
});
