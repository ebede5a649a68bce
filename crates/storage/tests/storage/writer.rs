//! Groups, lanes, and what one batch's refusal leaves of the others.

use crate::support::{all, assert_clean, author, fork_after, ids, log, memory, options, signed, signed_chain};
use changeset::{Partition, Verified};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use storage::{Batch, Committed, Lane, LogKey, Options, Source, StorageError, Store};

/// Keeps the writer busy until it is told to go on, so that what is committed meanwhile becomes one group.
fn hold_writer(store: &Store) -> Sender<()> {
    let (go, wait) = channel::<()>();
    let (started, start) = channel();
    store.commit(Lane::Local, Batch::new(), move |_| {
        started.send(()).unwrap();
        let _ended = wait.recv();
    });
    start.recv().unwrap();
    go
}

type Outcome = Result<Committed, StorageError>;

fn commit(store: &Store, lane: Lane, batch: Batch) -> Receiver<Outcome> {
    let (send, receive) = channel();
    store.commit(lane, batch, move |outcome| send.send(outcome).unwrap());
    receive
}

fn one(entry: &Verified, source: Source) -> Batch {
    Batch::new().append(log(), vec![entry.clone()], source, None)
}

#[test]
fn appends_of_one_source_in_a_group_become_one_page() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 20);
    let go = hold_writer(&store);
    let outcomes: Vec<_> = entries.iter().map(|entry| commit(&store, Lane::Remote, one(entry, Source::File))).collect();
    go.send(()).unwrap();
    for outcome in outcomes {
        let out = outcome.recv().unwrap().unwrap().appended.pop().unwrap();
        assert_eq!((out.entered.len(), out.end.position), (1, 20));
    }
    assert_eq!(store.view().unwrap().log(&log()).unwrap().unwrap().pages, 1);
    assert_eq!(ids(&all(&store)), ids(&entries));
    assert_clean(&store);
}

#[test]
fn the_local_lane_goes_first() {
    let store = memory();
    let (remote, local) = (signed(&mut author(1), 1, &[]), signed(&mut author(2), 1, &[]));
    let go = hold_writer(&store);
    let first = commit(&store, Lane::Remote, one(&remote, Source::File));
    let second = commit(&store, Lane::Local, one(&local, Source::Own));
    go.send(()).unwrap();
    first.recv().unwrap().unwrap();
    second.recv().unwrap().unwrap();
    assert_eq!(ids(&all(&store)), ids(&[local, remote]));
}

/// In the middle of a group: refused as a whole, and the others are as if it had never been.
#[test]
fn a_refused_batch_leaves_the_rest_of_its_group_alone() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 4);
    let fork = fork_after(1, &entries[0], 2);
    let elsewhere = LogKey::new(log().workspace, Partition::new("elsewhere").unwrap());
    let go = hold_writer(&store);
    let good = commit(&store, Lane::Remote, one(&entries[0], Source::File));
    let bad = Batch::new()
        .append(log(), vec![entries[1].clone(), fork], Source::File, None)
        .append(log(), entries[2..3].to_vec(), Source::Own, None)
        .meta("from the refused", Some(vec![1]))
        .draft(elsewhere, "x".repeat(300), Some(vec![1]));
    let bad = commit(&store, Lane::Remote, bad);
    let after = Batch::new().append(log(), entries[1..].to_vec(), Source::File, None);
    let after = commit(&store, Lane::Remote, after);
    go.send(()).unwrap();
    good.recv().unwrap().unwrap();
    assert!(matches!(bad.recv().unwrap(), Err(StorageError::Misuse { .. })));
    assert_eq!(ids(&after.recv().unwrap().unwrap().appended[0].entered), ids(&entries[1..]));
    let view = store.view().unwrap();
    assert_eq!(view.meta("from the refused").unwrap(), None);
    assert_eq!(view.logs().unwrap(), [log()]);
    assert_eq!(view.log(&log()).unwrap().unwrap().pages, 1);
    assert_eq!(ids(&all(&store)), ids(&entries));
    assert_clean(&store);
}

#[test]
fn a_full_lane_says_so() {
    let mut few: Options = options();
    few.queue_batches = 2;
    let store = Store::in_memory(few).unwrap();
    let go = hold_writer(&store);
    let waiting: Vec<_> = (0..2).map(|_| commit(&store, Lane::Remote, Batch::new())).collect();
    let refused = commit(&store, Lane::Remote, Batch::new());
    assert!(matches!(refused.recv().unwrap(), Err(StorageError::Busy { waiting: 2 })));
    let other_lane = commit(&store, Lane::Local, Batch::new());
    go.send(()).unwrap();
    waiting.into_iter().chain([other_lane]).for_each(|outcome| drop(outcome.recv().unwrap().unwrap()));
    store.commit_now(Lane::Remote, Batch::new()).unwrap();
}

#[test]
fn listeners_hear_what_entered_when_it_is_durable() {
    let store = memory();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (listening, seen) = (Arc::clone(&heard), store.clone());
    store.listen(Box::new(move |log, appended| {
        let held = appended.entered.iter().all(|entry| seen.view().unwrap().has(log, &entry.id()).unwrap());
        listening.lock().unwrap().push((ids(&appended.entered), appended.end.position, held));
    }));
    let entries = signed_chain(&mut author(1), 2);
    for entry in &entries {
        store.commit_now(Lane::Local, one(entry, Source::Own)).unwrap();
    }
    let heard = heard.lock().unwrap();
    assert_eq!(*heard, [(vec![entries[0].id()], 1, true), (vec![entries[1].id()], 2, true)]);
}

/// What was handed over before the last handle is dropped is written.
#[test]
fn closing_writes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, options()).unwrap();
    let entries = signed_chain(&mut author(1), 30);
    let outcomes: Vec<_> = entries.iter().map(|entry| commit(&store, Lane::Local, one(entry, Source::Own))).collect();
    drop(store);
    outcomes.into_iter().for_each(|outcome| drop(outcome.recv().unwrap().unwrap()));
    let (store, _) = Store::open(&path, options()).unwrap();
    assert_eq!(ids(&all(&store)), ids(&entries));
}

#[test]
fn many_threads_commit_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), options()).unwrap();
    std::thread::scope(|scope| {
        for device in 1..5_u8 {
            let store = store.clone();
            scope.spawn(move || {
                for entry in signed_chain(&mut author(device), 25) {
                    store.commit_now(Lane::Remote, one(&entry, Source::File)).unwrap();
                }
            });
        }
    });
    assert_eq!(store.view().unwrap().log(&log()).unwrap().unwrap().end.position, 100);
    assert_clean(&store);
}
