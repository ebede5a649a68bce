//! One suite over every backend.

use crate::support::options;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Barrier};
use storage::{Backend, MemoryBackend, Order, Read, RedbBackend, StorageError, Table, Write};
use tempfile::TempDir;

type Make = fn() -> (Box<dyn Backend>, Option<TempDir>);

fn memory() -> (Box<dyn Backend>, Option<TempDir>) {
    (Box::new(MemoryBackend::new()), None)
}

fn file() -> (Box<dyn Backend>, Option<TempDir>) {
    let folder = tempfile::tempdir().unwrap();
    (Box::new(RedbBackend::create(&folder.path().join("store"), &options()).unwrap()), Some(folder))
}

const BACKENDS: [Make; 2] = [memory, file];

fn put(backend: &dyn Backend, rows: &[(&[u8], &[u8])]) {
    backend.write(&mut |write| rows.iter().try_for_each(|(key, value)| write.put(Table::Meta, key, value))).unwrap();
}

fn all(read: &(impl Read + ?Sized), table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    read.scan(table, Bound::Unbounded, Bound::Unbounded, Order::Forward, usize::MAX).unwrap()
}

#[test]
fn a_snapshot_stays_as_it_was() {
    for make in BACKENDS {
        let (backend, _folder) = make();
        put(&*backend, &[(b"a", b"1")]);
        let before = backend.read().unwrap();
        put(&*backend, &[(b"a", b"2"), (b"b", b"3")]);
        assert_eq!(before.get(Table::Meta, b"a").unwrap().unwrap(), b"1");
        assert_eq!(all(&*before, Table::Meta).len(), 1);
        assert_eq!(backend.read().unwrap().get(Table::Meta, b"a").unwrap().unwrap(), b"2");
    }
}

#[test]
fn a_transaction_reads_its_own_writes_and_leaves_nothing_when_refused() {
    for make in BACKENDS {
        let (backend, _folder) = make();
        put(&*backend, &[(b"a", b"1")]);
        let refused = backend.write(&mut |write| {
            write.put(Table::Meta, b"b", b"2")?;
            write.delete(Table::Meta, b"a")?;
            assert_eq!(all(&*write, Table::Meta), [(b"b".to_vec(), b"2".to_vec())]);
            Err(StorageError::Closed)
        });
        assert!(matches!(refused, Err(StorageError::Closed)));
        assert_eq!(all(&*backend.read().unwrap(), Table::Meta), [(b"a".to_vec(), b"1".to_vec())]);
    }
}

#[test]
fn empty_and_inverted_ranges_have_no_rows() {
    for make in BACKENDS {
        let (backend, _folder) = make();
        put(&*backend, &[(b"a", b"1"), (b"b", b"2")]);
        let scan = |from: Bound<&[u8]>, to: Bound<&[u8]>| {
            let read = backend.read().unwrap();
            let in_write = std::cell::Cell::new(0);
            backend
                .write(&mut |write| {
                    in_write.set(write.scan(Table::Meta, from, to, Order::Forward, 9)?.len());
                    Ok(())
                })
                .unwrap();
            let found = read.scan(Table::Meta, from, to, Order::Forward, 9).unwrap().len();
            assert_eq!(found, in_write.get());
            found
        };
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        assert_eq!(scan(Bound::Included(b), Bound::Included(a)), 0);
        assert_eq!(scan(Bound::Excluded(a), Bound::Excluded(a)), 0);
        assert_eq!(scan(Bound::Included(a), Bound::Excluded(a)), 0);
        assert_eq!(scan(Bound::Excluded(a), Bound::Unbounded), 1);
        assert_eq!(scan(Bound::Included(a), Bound::Included(a)), 1);
    }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let backend = RedbBackend::create(&path, &options()).unwrap();
    put(&backend, &[(b"a", b"1")]);
    backend.reopen().unwrap();
    put(&backend, &[(b"b", b"2")]);
    drop(backend);
    let backend = RedbBackend::open(&path, &options()).unwrap();
    assert_eq!(all(&*backend.read().unwrap(), Table::Meta).len(), 2);
    backend.compact().unwrap();
    assert_eq!(all(&*backend.read().unwrap(), Table::Meta).len(), 2);
}

#[test]
fn readers_and_writers_of_many_threads_see_whole_transactions() {
    for make in BACKENDS {
        let (backend, _folder) = make();
        let backend: Arc<dyn Backend> = Arc::from(backend);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for writer in 0..2_u8 {
                let (backend, start) = (Arc::clone(&backend), &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..30_u8 {
                        put(&*backend, &[(b"x", &[writer, round]), (b"y", &[writer, round])]);
                    }
                });
            }
            for _ in 0..2 {
                let (backend, start) = (Arc::clone(&backend), &start);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..100 {
                        let read = backend.read().unwrap();
                        assert_eq!(read.get(Table::Meta, b"x").unwrap(), read.get(Table::Meta, b"y").unwrap());
                    }
                });
            }
        });
    }
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, Vec<u8>, Vec<u8>),
    Delete(u8, Vec<u8>),
    Scan(u8, Bound<Vec<u8>>, Bound<Vec<u8>>, bool, usize),
}

fn a_key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..4)
}

fn a_bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), a_key().prop_map(Bound::Included), a_key().prop_map(Bound::Excluded),]
}

fn an_act() -> impl Strategy<Value = Act> {
    let table = 0..2_u8;
    prop_oneof![
        3 => (table.clone(), a_key(), proptest::collection::vec(any::<u8>(), 0..5))
            .prop_map(|(table, key, value)| Act::Put(table, key, value)),
        2 => (table.clone(), a_key()).prop_map(|(table, key)| Act::Delete(table, key)),
        3 => (table, a_bound(), a_bound(), any::<bool>(), 0..6_usize)
            .prop_map(|(table, from, to, backward, limit)| Act::Scan(table, from, to, backward, limit)),
    ]
}

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn table(number: u8) -> Table {
    if number == 0 { Table::Meta } else { Table::Entries }
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn check_scan(read: &(impl Read + ?Sized), model: &Model, act: &Act) {
    let Act::Scan(number, from, to, backward, limit) = act else { return };
    let order = if *backward { Order::Backward } else { Order::Forward };
    let found = read.scan(table(*number), borrowed(from), borrowed(to), order, *limit).unwrap();
    let after = |key: &Vec<u8>| match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let before = |key: &Vec<u8>| match to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    };
    let within = model.iter().filter(|((at, key), _)| at == number && after(key) && before(key));
    let mut wanted: Vec<_> = within.map(|((_, key), value)| (key.clone(), value.clone())).collect();
    if *backward {
        wanted.reverse();
    }
    wanted.truncate(*limit);
    assert_eq!(found, wanted);
}

fn apply(write: &mut dyn Write, model: &mut Model, act: &Act) {
    match act {
        Act::Put(number, key, value) => {
            write.put(table(*number), key, value).unwrap();
            model.insert((*number, key.clone()), value.clone());
        }
        Act::Delete(number, key) => {
            write.delete(table(*number), key).unwrap();
            model.remove(&(*number, key.clone()));
        }
        Act::Scan(..) => check_scan(&*write, model, act),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Transactions of random acts, some refused, against a naive map; scans in and between transactions.
    #[test]
    fn every_backend_is_a_map(transactions in proptest::collection::vec(
        (proptest::collection::vec(an_act(), 0..12), prop::bool::weighted(0.75)), 1..6,
    )) {
        for make in BACKENDS {
            let (backend, _folder) = make();
            let mut model = Model::new();
            for (acts, is_kept) in &transactions {
                let mut next = model.clone();
                let committed = backend.write(&mut |write| {
                    next = model.clone();
                    acts.iter().for_each(|act| apply(write, &mut next, act));
                    if *is_kept { Ok(()) } else { Err(StorageError::Closed) }
                });
                prop_assert_eq!(committed.is_ok(), *is_kept);
                if *is_kept {
                    model = next;
                }
                let read = backend.read().unwrap();
                acts.iter().for_each(|act| check_scan(&*read, &model, act));
            }
        }
    }
}
