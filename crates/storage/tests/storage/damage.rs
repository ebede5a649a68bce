//! Flipped bits and lost rows: never a panic, always found, and a page can be fetched again.

use crate::support::{
    NOW, all, append, append_from, assert_clean, author, cursor, document, document_of, draft, ids, log, options, peer,
    run, signed, signed_chain,
};
use changeset::{Draft, Verified};
use std::ops::Bound;
use std::sync::Arc;
use storage::{
    Backend, Batch, DocumentRecord, Held, Lane, MemoryBackend, Order, RedbBackend, Replace, Row, Source, StorageError,
    Store, Table,
};

/// A store with something in every table.
fn full() -> (MemoryBackend, Store, Vec<Verified>) {
    let backend = MemoryBackend::new();
    let store = Store::with_backend(Arc::new(backend.clone()), options()).unwrap();
    let (mut a, mut b) = (author(1), author(2));
    let entries = run(&mut a, 5);
    append(&store, &entries[..0]);
    append(&store, &entries);
    let grant = Some(entries[0].id());
    let access = b.record(Draft { grant, ..draft(document_of("access", 1), &[], "x") }, NOW).unwrap();
    append_from(&store, &[b.sign(&access).unwrap()], Source::Own);
    let mut c = author(3);
    let (_lost, late) = (signed(&mut c, 1, &[]), signed(&mut c, 1, &[]));
    append(&store, &[late]);
    let record = DocumentRecord {
        key: document(1),
        position: 2,
        indexed: vec![("status".to_owned(), b"open".to_vec())],
        summary: vec![1],
    };
    let held = signed(&mut author(4), 1, &[]);
    let batch = Batch::new()
        .hold(log(), vec![held], Held::Admission("no grant".to_owned()), Source::File)
        .receipt(log(), peer(9), cursor(1), vec![1, 2, 3])
        .snapshot(log(), document(1), Some(vec![1; 50]))
        .document(log(), record)
        .draft(log(), "draft", Some(vec![1]))
        .meta("meta", Some(vec![1]));
    store.commit_now(Lane::Local, batch).unwrap();
    assert_clean(&store);
    (backend, store, entries)
}

fn rows(backend: &dyn Backend, table: Table) -> Vec<Row> {
    let read = backend.read().unwrap();
    read.scan(table, Bound::Unbounded, Bound::Unbounded, Order::Forward, usize::MAX).unwrap()
}

fn put(backend: &dyn Backend, table: Table, key: &[u8], value: &[u8]) {
    backend.write(&mut |write| write.put(table, key, value)).unwrap();
}

/// Everything that can be asked: answers may be errors, never panics.
fn ask_everything(store: &Store, entries: &[Verified]) {
    let Ok(view) = store.view() else { return };
    let key = log();
    drop(view.logs());
    drop(view.log(&key));
    drop(view.pages(&key, 0, 9));
    drop(view.entries(&key, 0..9));
    drop(view.tips(&key));
    drop(view.inbox(&key));
    drop(view.access_entries(&key));
    drop(view.peers(&key));
    drop(view.own_after(&key, 0));
    drop(view.documents(&key, None));
    drop(view.drafts(&key));
    drop(view.snapshot(&key, &document(1)));
    drop(view.meta("meta"));
    let kind = document(1).kind;
    drop(view.scan(&key, &kind, "status", b""..&[255; 3], 9, None));
    for entry in entries {
        drop(view.known(&key, &entry.id()));
        drop(view.lines(&key, &[(entry.id(), vec![])], None, 9));
    }
    drop(view);
    let next = signed_chain(&mut author(6), 1);
    drop(store.commit_now(Lane::Local, Batch::new().append(key, next, Source::File, None)));
}

/// One bit at a time in values of every table, a row cut short, and a row gone.
#[test]
fn damage_in_any_table_is_found_and_never_panics() {
    for table in Table::ALL {
        let (backend, ..) = full();
        let stored = rows(&backend, table);
        assert!(!stored.is_empty(), "{table:?} has no rows to damage");
        for (number, (key, value)) in stored.iter().enumerate() {
            let mut damages: Vec<Option<Vec<u8>>> = Vec::new();
            for bit in (number % 7..value.len() * 8).step_by((value.len() * 8 / 9).max(1)) {
                let mut damaged = value.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                damages.push(Some(damaged));
            }
            damages.push(Some(value.iter().copied().chain([0]).collect()));
            if !value.is_empty() {
                damages.push(Some(value[..value.len() - 1].to_vec()));
            }
            // The values of the replica and what is kept of peers and documents may be there or not.
            let is_optional = matches!(table, Table::Meta | Table::Peers | Table::Snapshots | Table::Drafts)
                || (table == Table::System && key == b"mark");
            if !is_optional {
                damages.push(None);
            }
            for damage in damages {
                let (backend, store, entries) = full_again(&backend, &stored_all(&backend));
                match &damage {
                    Some(damaged) => put(&backend, table, key, damaged),
                    None => backend.write(&mut |write| write.delete(table, key)).unwrap(),
                }
                let report = store.verify(|_| {}).unwrap();
                assert!(!report.is_clean(), "{table:?} {key:02x?} {value:02x?} -> {damage:02x?} was not found");
                assert!(report.findings.iter().all(|finding| !finding.to_string().is_empty()));
                ask_everything(&store, &entries);
                drop(store);
                if let Ok(store) = Store::with_backend(Arc::new(backend.clone()), options()) {
                    ask_everything(&store, &entries);
                }
            }
        }
    }
}

/// Pages refer to earlier ones through rows of the index, which have no check of their own. What such a row gave was taken for
/// what was written: an entry by another author, or on other parents.
#[test]
fn damage_of_the_index_never_gives_an_entry_that_nobody_wrote() {
    let backend = MemoryBackend::new();
    let mut author = author(1);
    let written = {
        let store = Store::with_backend(Arc::new(backend.clone()), options()).unwrap();
        let pages: Vec<Vec<Verified>> = (0..3).map(|_| run(&mut author, 3)).collect();
        pages.iter().for_each(|page| drop(append(&store, page)));
        pages.concat()
    };
    let mut refused = 0;
    for table in [Table::Names, Table::Entries, Table::Ids, Table::Chains] {
        for (key, value) in rows(&backend, table) {
            for bit in 0..value.len() * 8 {
                let damaged = backend.copy();
                let mut flipped = value.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                put(&damaged, table, &key, &flipped);
                let store = Store::with_backend(Arc::new(damaged), options()).unwrap();
                match store.view().unwrap().entries(&log(), 0..9) {
                    Ok(read) => assert_eq!(read, written, "{table:?} {key:02x?}, bit {bit}"),
                    Err(error) => refused += usize::from(!error.to_string().is_empty()),
                }
            }
        }
    }
    assert!(refused > 100, "{refused} were refused");
}

fn stored_all(backend: &MemoryBackend) -> Vec<(Table, Vec<Row>)> {
    Table::ALL.into_iter().map(|table| (table, rows(backend, table))).collect()
}

/// A copy of the same rows in another backend.
fn full_again(_: &MemoryBackend, rows: &[(Table, Vec<Row>)]) -> (MemoryBackend, Store, Vec<Verified>) {
    let backend = MemoryBackend::new();
    backend
        .write(&mut |write| {
            for (table, rows) in rows {
                rows.iter().try_for_each(|(key, value)| write.put(*table, key, value))?;
            }
            Ok(())
        })
        .unwrap();
    let store = Store::with_backend(Arc::new(backend.clone()), options()).unwrap();
    let entries = run(&mut author(1), 5);
    (backend, store, entries)
}

/// A row that should not be there is found in every table of the index.
#[test]
fn rows_of_nothing_are_found() {
    for table in Table::ALL {
        if matches!(table, Table::Meta | Table::System) {
            continue;
        }
        let (backend, store, _) = full();
        put(&backend, table, &[0, 0, 0, 9, 1, 2, 3, 4, 5, 6], &[]);
        assert!(!store.verify(|_| {}).unwrap().is_clean(), "{table:?}: a row of no log");
        let (backend, store, _) = full();
        let mut key = rows(&backend, table).pop().unwrap().0;
        key.push(7);
        put(&backend, table, &key, &[]);
        assert!(!store.verify(|_| {}).unwrap().is_clean(), "{table:?}: a row too many");
    }
}

#[test]
fn a_damaged_page_is_replaced_by_the_same_entries() {
    let backend = MemoryBackend::new();
    let store = Store::with_backend(Arc::new(backend.clone()), options()).unwrap();
    let entries = run(&mut author(1), 9);
    let (mut b, mut sources) = (author(2), Vec::new());
    append(&store, &signed_chain(&mut b, 3));
    append(&store, &entries);
    append(&store, &signed_chain(&mut b, 3));
    let before = all(&store);
    for row in rows(&backend, Table::Pages) {
        sources.push(row.clone());
        for damaged in [Some(vec![0; 40]), None] {
            match damaged {
                Some(value) => put(&backend, Table::Pages, &row.0, &value),
                None => backend.write(&mut |write| write.delete(Table::Pages, &row.0)).unwrap(),
            }
            let first = u64::from(row.0[9]);
            let report = store.verify(|_| {}).unwrap();
            let damage = &report.findings.first().unwrap().damage;
            assert_eq!((damage.table, damage.log.clone()), (Table::Pages, Some(log())));
            assert_eq!(damage.position, Some(first));
            let view = store.view().unwrap();
            assert!(matches!(view.page_at(&log(), first), Err(StorageError::Damaged(_))));
            assert!(view.entries(&log(), first..first + 1).is_err());
            drop(view);
            let count = if first == 3 { 9 } else { 3 };
            let page = &before[first as usize..first as usize + count];
            let other = signed_chain(&mut author(8), count);
            assert!(matches!(store.repair(&log(), first, other), Err(Replace::Other { entry: 0 })));
            assert!(matches!(store.repair(&log(), first, page[1..].to_vec()), Err(Replace::Other { .. })));
            let wanted: Vec<_> = page.iter().map(Verified::id).collect();
            assert_eq!(store.view().unwrap().page_ids(&log(), first + 1).unwrap(), wanted, "though it cannot be read");
            store.repair(&log(), first + 1, page.to_vec()).unwrap();
            assert_clean(&store);
            assert_eq!(ids(&all(&store)), ids(&before));
        }
    }
    assert_eq!(sources.len(), 3);
    assert!(matches!(store.repair(&log(), 99, Vec::new()), Err(Replace::Storage(_))));
}

/// The file itself, a byte at a time at many places: opening and asking give errors or answers.
#[test]
fn a_damaged_file_gives_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut with = options();
    with.cache_bytes = 0;
    let store = Store::create(&path, with.clone()).unwrap();
    let entries = signed_chain(&mut author(1), 40);
    entries.chunks(4).for_each(|some| drop(append(&store, some)));
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for at in (0..used.len()).step_by((used.len() / 150).max(1)) {
        let mut damaged = bytes.clone();
        damaged[used[at]] ^= 0x55;
        let copy = folder.path().join(format!("copy-{at}"));
        std::fs::write(&copy, &damaged).unwrap();
        if let Ok((store, _)) = Store::open(&copy, with.clone()) {
            ask_everything(&store, &entries);
            drop(store.verify(|_| {}));
        }
        drop(RedbBackend::open(&copy, &with));
        drop(std::fs::remove_file(&copy));
    }
}
