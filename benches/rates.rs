//! Raw rates worth knowing, without budgets.

use changeset::{Author, Bundle, Draft, Edit, LogIncarnation, MemoryLog, Script, Value, decode_page, encode_page};
use crdt::{Judgement, Partition};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fieldbook_benches::{Shape, author, document, empty, field, history, intent, partition_name, reread, workspace};
use std::collections::BTreeMap;
use std::time::Duration;

fn draft() -> Draft {
    let put = |number: usize| Edit::Put { path: field(number), value: Value::String(format!("value {number:014}")) };
    Draft {
        document: document(0),
        parents: Vec::new(),
        grant: None,
        schema_version: 0,
        intent: intent(),
        group: None,
        script: Script { reason: None, edits: (0..3).map(put).collect() },
    }
}

fn recording(c: &mut Criterion) {
    let record = |author: &mut Author| author.record(draft(), 1_800_000_000_000).expect("it is within the limits");
    let mut own = author(0);
    c.bench_function("record", |b| b.iter(|| record(&mut own)));
    c.bench_function("record and sign", |b| {
        b.iter(|| {
            let entry = record(&mut own);
            own.sign(&entry).expect("a key in memory signs")
        });
    });
}

fn pages(c: &mut Criterion) {
    let entries = history(Shape::Linear(4), 1_000);
    let page = encode_page(&entries, &MemoryLog::new()).expect("every run is signed");
    let name = partition_name();
    let mut group = c.benchmark_group("a page of 1,000");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("encode", |b| b.iter(|| encode_page(&entries, &MemoryLog::new())));
    group.bench_function("decode", |b| b.iter(|| decode_page(&page, &workspace(), &name, &MemoryLog::new())));
    group.bench_function("decode and verify", |b| {
        b.iter(|| decode_page(&page, &workspace(), &name, &MemoryLog::new()).map(changeset::UnverifiedPage::verify));
    });
    group.finish();
}

fn bundles(c: &mut Criterion) {
    let log = LogIncarnation::from_bytes([3; 8]);
    let entries = history(Shape::Linear(4), 20_000);
    let bundle = Bundle { workspace: workspace(), partition: partition_name(), log, entries };
    let bytes = bundle.to_bytes().expect("every run is signed");
    let mut group = c.benchmark_group("a bundle of 20,000");
    group.throughput(Throughput::Elements(20_000));
    group.bench_function("read", |b| b.iter(|| Bundle::from_bytes(&bytes, |_| ())));
    group.finish();
}

fn opening(c: &mut Criterion) {
    let entries = history(Shape::Linear(4), 10_000);
    let mut partition = empty();
    partition.apply(entries.iter().cloned());
    let snapshot = partition.document_mut(&document(0)).and_then(|document| document.snapshot().ok());
    let snapshots: BTreeMap<_, _> = snapshot.map(|snapshot| (document(0), snapshot)).into_iter().collect();
    let open = |entries, snapshots: &BTreeMap<_, _>| {
        let (mut partition, ..) =
            Partition::open(workspace(), partition_name(), Judgement::default(), entries, snapshots);
        let heads = partition.automerge_heads().expect("Automerge takes what was rebuilt");
        (partition, heads)
    };
    let mut group = c.benchmark_group("a document of 10,000, with its image");
    group.bench_function("from its history", |b| {
        b.iter_batched(|| reread(&entries), |entries| open(entries, &BTreeMap::new()), BatchSize::PerIteration);
    });
    group.bench_function("from its history and a snapshot", |b| {
        b.iter_batched(|| reread(&entries), |entries| open(entries, &snapshots), BatchSize::PerIteration);
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

criterion_group! {
    name = rates;
    config = short();
    targets = recording, pages, bundles, opening
}
criterion_main!(rates);
