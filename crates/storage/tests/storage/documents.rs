//! Records, declared indexes, snapshots, drafts, values of the replica.

use crate::support::{assert_clean, document, document_of, log, memory};
use changeset::{DocumentKey, Kind};
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::{Batch, DocumentRecord, Lane, StorageError, Store};

fn commit(store: &Store, batch: Batch) {
    store.commit_now(Lane::Local, batch).unwrap();
}

fn record(key: DocumentKey, indexed: &[(&str, &[u8])]) -> DocumentRecord {
    let indexed = indexed.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    DocumentRecord { key, position: 3, indexed, summary: b"shown".to_vec() }
}

#[test]
fn values_come_back_and_go() {
    let store = memory();
    let batch = Batch::new()
        .meta("name", Some(vec![1]))
        .draft(log(), "draft", Some(vec![2]))
        .draft(log(), "other", Some(Vec::new()))
        .snapshot(log(), document(1), Some(vec![3]));
    commit(&store, batch);
    let view = store.view().unwrap();
    assert_eq!(view.meta("name").unwrap(), Some(vec![1]));
    assert_eq!(view.meta("none").unwrap(), None);
    assert_eq!(view.drafts(&log()).unwrap(), [("draft".to_owned(), vec![2]), ("other".to_owned(), vec![])]);
    assert_eq!(view.draft(&log(), "draft").unwrap(), Some(vec![2]));
    assert_eq!(view.snapshot(&log(), &document(1)).unwrap(), Some(vec![3]));
    assert_clean(&store);
    let batch = Batch::new().meta("name", None).draft(log(), "draft", None).snapshot(log(), document(1), None);
    commit(&store, batch);
    let view = store.view().unwrap();
    assert_eq!((view.meta("name").unwrap(), view.draft(&log(), "draft").unwrap()), (None, None));
    assert_eq!(view.snapshot(&log(), &document(1)).unwrap(), None);
    assert_clean(&store);
}

#[test]
fn what_is_too_long_is_refused_and_the_batch_with_it() {
    let store = memory();
    let long = "x".repeat(256);
    for batch in [
        Batch::new().meta("kept", Some(vec![1])).meta(&*long, Some(vec![1])),
        Batch::new().meta("kept", Some(vec![1])).draft(log(), &*long, Some(vec![1])),
        Batch::new().meta("kept", Some(vec![1])).document(log(), record(document(1), &[(&long, b"")])),
        Batch::new().meta("kept", Some(vec![1])).document(log(), record(document(1), &[("a", &[0; 1025])])),
    ] {
        assert!(matches!(store.commit_now(Lane::Local, batch), Err(StorageError::Misuse { .. })));
        assert_eq!(store.view().unwrap().meta("kept").unwrap(), None);
    }
    assert_clean(&store);
}

#[test]
fn a_new_record_replaces_its_index_rows() {
    let store = memory();
    let kind = Kind::new("inspection").unwrap();
    let scan = |name: &str| {
        let view = store.view().unwrap();
        view.scan(&log(), &kind, name, b""..&[255; 9], 9, None).unwrap().len()
    };
    commit(&store, Batch::new().document(log(), record(document(1), &[("status", b"open"), ("due", b"1")])));
    assert_eq!((scan("status"), scan("due"), scan("none")), (1, 1, 0));
    commit(&store, Batch::new().document(log(), record(document(1), &[("status", b"done")])));
    assert_eq!((scan("status"), scan("due")), (1, 0));
    let view = store.view().unwrap();
    assert_eq!(view.document(&log(), &document(1)).unwrap(), Some(record(document(1), &[("status", b"done")])));
    commit(&store, Batch::new().document(log(), record(document_of("order", 1), &[("status", b"open")])));
    let view = store.view().unwrap();
    assert_eq!(view.documents(&log(), None).unwrap().len(), 2);
    assert_eq!(view.documents(&log(), Some(&kind)).unwrap().len(), 1);
    assert_eq!(scan("status"), 1);
    assert_clean(&store);
    commit(&store, Batch::new().remove_document(log(), document(1)));
    assert_eq!(scan("status"), 0);
    assert_clean(&store);
}

fn a_value() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)], 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scans give values in the order of their bytes, however they begin or end, in portions of any size.
    #[test]
    fn scans_follow_the_order_of_values(
        values in proptest::collection::vec(a_value(), 1..24),
        (from, to) in (a_value(), a_value()),
        portion in 1..5_usize,
    ) {
        let store = memory();
        let mut model: BTreeMap<(Vec<u8>, DocumentKey), ()> = BTreeMap::new();
        let mut batch = Batch::new();
        for (number, value) in values.iter().enumerate() {
            batch = batch.document(log(), record(document(number as u8), &[("value", value)]));
            model.insert((value.clone(), document(number as u8)), ());
        }
        commit(&store, batch);
        let view = store.view().unwrap();
        let kind = Kind::new("inspection").unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rows = view.scan(&log(), &kind, "value", &from..&to, portion, after.as_ref()).unwrap();
            after = rows.last().cloned();
            found.extend(rows);
            if after.is_none() {
                break;
            }
        }
        let wanted: Vec<_> = model.into_keys().filter(|(value, _)| *value >= from && *value < to).collect();
        prop_assert_eq!(found, wanted);
    }
}
