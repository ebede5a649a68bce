//! How entries enter a log: causal order, the inbox, forks, runs, faults, limits.

use crate::support::from_peer;
use crate::support::{
    NOW, all, append, append_from, assert_clean, author, author_in, cursor, document_of, draft, fork_after, ids, log,
    memory, options, peer, record, run, signed, signed_chain,
};
use changeset::{
    Header, HeaderFault, Log, LogPage, Partition, RunningHash, Verified, decode_page, prefix, unpack_page,
};
use proptest::prelude::*;
use storage::{Batch, Held, Lane, LogKey, Source, StorageError, Store};

#[test]
fn entries_stand_in_the_order_in_which_they_came() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 5);
    let first = append(&store, &entries[..3]);
    let second = append(&store, &entries);
    assert_eq!((ids(&first.entered), first.known), (ids(&entries[..3]), 0));
    assert_eq!((ids(&second.entered), second.known), (ids(&entries[3..]), 3));
    assert_eq!(ids(&all(&store)), ids(&entries));

    let view = store.view().unwrap();
    let state = view.log(&log()).unwrap().unwrap();
    let mut hash = RunningHash::start(&log().workspace, &log().partition, &state.end.log);
    hash = entries.iter().fold(hash, |hash, entry| hash.then(&entry.id()));
    assert_eq!((state.end, state.pages, state.waiting), (second.end, 2, 0));
    assert_eq!((state.end.position, state.end.hash), (5, hash));
    let known = view.known(&log(), &entries[3].id()).unwrap().unwrap();
    assert_eq!((known.position, known.known.sequence, known.previous), (3, 4, Some(entries[2].id())));
    assert!(!view.has(&log(), &record(&mut author(7), 1, &[]).id()).unwrap());
    assert_clean(&store);
}

/// What is stored is what a receiver reads: sealed, and referring only to what stands before it.
#[test]
fn a_page_is_sealed_and_readable_by_a_receiver() {
    let (sender, receiver) = (memory(), memory());
    let entries = run(&mut author(1), 9);
    append(&sender, &entries[..0]);
    append(&sender, &entries);
    let page = sender.view().unwrap().page_at(&log(), 4).unwrap().unwrap();
    assert_eq!((page.first, page.end.position, page.source), (0, 9, from_peer(9)));
    let frame = LogPage::from_bytes(&page.frame).unwrap();
    assert!(frame.is_sealed_by(&sender.device_key(), &log().workspace));
    let view = receiver.view().unwrap();
    let key = log();
    let reader = view.log_reader(&key).unwrap();
    let bytes = unpack_page(&frame.packed).unwrap();
    let read = decode_page(&bytes, &key.workspace, &key.partition, &reader).unwrap().verify().unwrap();
    reader.finish().unwrap();
    assert_eq!(ids(&append(&receiver, &read).entered), ids(&entries));
    assert_clean(&receiver);
}

#[test]
fn what_misses_something_waits_and_enters_by_itself() {
    let store = memory();
    let (mut a, mut b) = (author(1), author(2));
    let a1 = signed(&mut a, 1, &[]);
    let b1 = signed(&mut b, 1, &[&a1]);
    let b2 = signed(&mut b, 1, &[]);
    let out = append(&store, &[b2.clone(), b1.clone()]);
    assert!(out.entered.is_empty());
    assert_eq!(out.waiting, ids(&[b2.clone(), b1.clone()]));
    let view = store.view().unwrap();
    let waiting = view.inbox(&log()).unwrap();
    assert_eq!(waiting.len(), 2);
    let why = |entry: &Verified| waiting.iter().find(|held| held.entry == *entry).unwrap().why.clone();
    assert_eq!(why(&b1), Held::Missing(vec![a1.id()]));
    assert_eq!(why(&b2), Held::Missing(vec![b1.id()]));
    // A page may refer to what waits.
    let key = log();
    let reader = view.log_reader(&key).unwrap();
    assert_eq!(reader.known(&b1.id()).unwrap().id, b1.id());
    assert_eq!(reader.find(prefix(&b1.actor().id()), 2).unwrap().id, b2.id());
    assert!(reader.actor(prefix(&b1.actor().id())).is_some());
    assert_clean(&store);

    let out = append_from(&store, std::slice::from_ref(&a1), Source::File);
    assert_eq!(ids(&out.entered), ids(&[a1, b1, b2]));
    let view = store.view().unwrap();
    assert!(view.inbox(&log()).unwrap().is_empty());
    // Each keeps the source that gave it: two pages.
    assert_eq!(
        view.pages(&log(), 0, 9).unwrap().iter().map(|page| page.source).collect::<Vec<_>>(),
        [Source::File, from_peer(9)]
    );
    assert_clean(&store);
}

#[test]
fn an_unsigned_entry_enters_with_its_signed_successor() {
    let store = memory();
    let entries = run(&mut author(1), 4);
    let out = append(&store, &entries[..2]);
    assert_eq!((out.entered.len(), out.waiting.len()), (0, 2));
    assert_eq!(store.view().unwrap().inbox(&log()).unwrap().iter().filter(|w| w.why == Held::Unsigned).count(), 1);
    let out = append(&store, &entries[2..3]);
    assert_eq!(out.entered.len(), 0);
    let out = append(&store, &entries[3..]);
    assert_eq!(ids(&out.entered), ids(&entries));
    assert_clean(&store);
}

/// A parent that no signature attests holds back what names it, and nothing else.
#[test]
fn what_rests_on_an_unsigned_entry_waits_with_it() {
    let store = memory();
    let (mut a, mut b) = (author(1), author(2));
    let a1 = record(&mut a, 1, &[]);
    let b1 = signed(&mut b, 2, &[]);
    let b2 = signed(&mut b, 1, &[&a1]);
    let out = append(&store, &[a1.clone(), b1.clone(), b2.clone()]);
    assert_eq!(ids(&out.entered), [b1.id()]);
    assert_eq!(out.waiting, ids(&[a1.clone(), b2.clone()]));
    let out = append(&store, &[a.sign(&a1).unwrap()]);
    assert_eq!(ids(&out.entered), ids(&[a1, b2]));
    assert_clean(&store);
}

#[test]
fn both_branches_of_a_fork_stand_in_the_log() {
    let store = memory();
    let mut a = author(1);
    let entries = signed_chain(&mut a, 3);
    let fork = fork_after(1, &entries[0], 1);
    append(&store, &entries);
    append(&store, std::slice::from_ref(&fork));
    let on_fork = fork_after(1, &fork, 2);
    append(&store, std::slice::from_ref(&on_fork));
    let tips = store.view().unwrap().tips(&log()).unwrap();
    assert_eq!(tips.iter().map(|tip| (tip.sequence, tip.position)).collect::<Vec<_>>(), [(3, 2), (3, 4)]);
    assert_eq!(ids(&all(&store)).len(), 5);
    assert_clean(&store);
}

/// A hostile author's header contradicts what it names.
#[test]
fn a_header_fault_is_refused_for_good_also_when_it_waited() {
    let store = memory();
    let mut a = author(1);
    let a1 = signed(&mut a, 1, &[]);
    let (honest, body) = (record(&mut a, 1, &[]), record(&mut author(3), 1, &[]));
    let header = Header { time: NOW - 1, ..honest.header().clone() };
    let mut hostile = author(1).after(&a1);
    let late = hostile.danger_append(header, honest.body().clone());
    let late = hostile.sign(&late).unwrap();
    assert_eq!(body.header().sequence, 1);
    let out = append(&store, std::slice::from_ref(&late));
    assert_eq!(out.waiting, [late.id()]);
    let out = append(&store, std::slice::from_ref(&a1));
    assert_eq!((ids(&out.entered), out.refused), (vec![a1.id()], vec![(late.id(), HeaderFault::Time)]));
    let out = append(&store, std::slice::from_ref(&late));
    assert_eq!(out.refused, [(late.id(), HeaderFault::Time)]);
    assert!(store.view().unwrap().inbox(&log()).unwrap().is_empty());
    assert_clean(&store);
}

#[test]
fn held_entries_enter_when_released_and_not_before() {
    let store = memory();
    let entries = run(&mut author(1), 3);
    let why = Held::Admission("no grant yet".to_owned());
    let hold = Batch::new().hold(log(), entries.clone(), why.clone(), from_peer(2));
    store.commit_now(Lane::Remote, hold.clone()).unwrap();
    store.commit_now(Lane::Remote, hold).unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.log(&log()).unwrap().unwrap().waiting, 3);
    assert!(view.inbox(&log()).unwrap().iter().all(|waiting| waiting.why == why));
    // What comes after them does not pull them in.
    let mut a = author(1).after(&entries[2]);
    let next = signed(&mut a, 1, &[]);
    assert_eq!(append(&store, std::slice::from_ref(&next)).waiting, [next.id()]);
    let release = Batch::new().release(log(), ids(&entries)).release(log(), vec![next.id()]);
    let out = store.commit_now(Lane::Local, release).unwrap().appended;
    assert_eq!(ids(&out[0].entered), [ids(&entries), vec![next.id()]].concat());
    assert!(out[1].entered.is_empty());
    assert_clean(&store);
}

#[test]
fn a_held_entry_that_is_given_again_enters_and_a_discarded_one_is_gone() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 2);
    let why = Held::Admission("quota".to_owned());
    store.commit_now(Lane::Remote, Batch::new().hold(log(), entries.clone(), why, Source::File)).unwrap();
    assert_eq!(append(&store, &entries[..1]).entered.len(), 1);
    store.commit_now(Lane::Remote, Batch::new().discard(log(), ids(&entries))).unwrap();
    assert_eq!(store.view().unwrap().log(&log()).unwrap().unwrap().waiting, 0);
    assert_clean(&store);
}

#[test]
fn a_full_inbox_says_what_it_did_not_take_and_leaves_the_cursor() {
    let mut options = options();
    options.inbox_entries = 2;
    let store = Store::in_memory(options).unwrap();
    let mut a = author(1);
    let entries = signed_chain(&mut a, 4);
    let other = signed(&mut author(2), 3, &[]);
    let mut given = entries[1..].to_vec();
    given.push(other.clone());
    let batch = Batch::new().append(log(), given, from_peer(9), Some(cursor(4)));
    let out = store.commit_now(Lane::Remote, batch).unwrap().appended.pop().unwrap();
    assert_eq!(ids(&out.entered), [other.id()]);
    assert_eq!((out.waiting, out.overflow), (ids(&entries[1..3]), ids(&entries[3..])));
    assert_eq!(store.view().unwrap().peer(&log(), &peer(9)).unwrap().cursor, None);
    let hold = Batch::new().hold(log(), vec![entries[3].clone()], Held::Admission(String::new()), Source::File);
    let error = store.commit_now(Lane::Remote, hold).unwrap_err();
    assert!(matches!(error, StorageError::InboxFull { entries: 2, .. }), "{error}");
    assert_clean(&store);
}

#[test]
fn the_cursor_is_set_with_the_entries_and_without_any() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 1);
    for (given, place) in [(entries, 7), (Vec::new(), 9)] {
        let batch = Batch::new().append(log(), given, from_peer(9), Some(cursor(place)));
        store.commit_now(Lane::Remote, batch).unwrap();
        let state = store.view().unwrap().peer(&log(), &peer(9)).unwrap();
        assert_eq!(state.cursor, Some(cursor(place)));
    }
    let batch = Batch::new().receipt(log(), peer(9), cursor(1), vec![1, 2]).cursor(log(), peer(9), None);
    store.commit_now(Lane::Remote, batch).unwrap();
    let peers = store.view().unwrap().peers(&log()).unwrap();
    let (name, state) = peers.first().unwrap();
    assert_eq!((*name, state.cursor, state.acknowledged), (peer(9), None, Some(cursor(1))));
    assert_eq!(state.receipt.as_deref(), Some(&[1, 2][..]));
    assert!(state.receipt_ms > NOW);
    assert_clean(&store);
}

#[test]
fn own_entries_are_counted_and_access_entries_listed() {
    let store = memory();
    let mut a = author(1);
    let own: Vec<Verified> = (0..3)
        .map(|number| {
            let recorded = a.record(draft(document_of("access", number), &[], "x"), NOW + u64::from(number)).unwrap();
            a.sign(&recorded).unwrap()
        })
        .collect();
    append(&store, &signed_chain(&mut author(2), 2));
    append_from(&store, &own, Source::Own);
    let view = store.view().unwrap();
    assert_eq!(view.own_after(&log(), 0).unwrap(), (3, Some(NOW)));
    assert_eq!(view.own_after(&log(), 3).unwrap(), (2, Some(NOW + 1)));
    assert_eq!(view.own_after(&log(), 5).unwrap(), (0, None));
    assert_eq!(ids(&view.access_entries(&log()).unwrap()), ids(&own));
    assert!(view.known(&log(), &own[0].id()).unwrap().unwrap().own);
    assert_clean(&store);
}

#[test]
fn the_grant_in_force_is_the_last_one_named() {
    let store = memory();
    let mut a = author(1);
    let grant = record(&mut author(5), 1, &[]).id();
    let granted = a.record(changeset::Draft { grant: Some(grant), ..draft(document_of("order", 1), &[], "x") }, NOW);
    let granted = a.sign(&granted.unwrap()).unwrap();
    let next = signed(&mut a, 1, &[]);
    append(&store, &[granted.clone(), next.clone()]);
    let view = store.view().unwrap();
    for entry in [granted, next] {
        assert_eq!(view.known(&log(), &entry.id()).unwrap().unwrap().grant, Some(grant));
    }
    assert_clean(&store);
}

#[test]
fn another_partition_and_a_mixed_source_are_refused_whole() {
    let store = memory();
    let other = LogKey::new(log().workspace, Partition::new("elsewhere").unwrap());
    let stranger = signed(&mut author_in(1, &other), 1, &[]);
    let own = signed(&mut author(1), 1, &[]);
    let batch = Batch::new().append(log(), vec![own.clone(), stranger], Source::File, None);
    assert!(matches!(store.commit_now(Lane::Local, batch), Err(StorageError::Misuse { .. })));
    let batch = Batch::new().append(log(), vec![own], Source::Mixed, None);
    assert!(matches!(store.commit_now(Lane::Local, batch), Err(StorageError::Misuse { .. })));
    assert!(store.view().unwrap().logs().unwrap().is_empty());
    assert_clean(&store);
}

/// More than a page holds is cut into several.
#[test]
fn a_long_append_becomes_several_pages() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 5000);
    append(&store, &entries);
    assert!(store.view().unwrap().log(&log()).unwrap().unwrap().pages > 1);
    assert_eq!(ids(&all(&store)), ids(&entries));
    assert_clean(&store);
}

/// A run longer than the limits allow never enters; a page of it could not be read.
#[test]
fn a_run_without_end_waits() {
    let store = memory();
    let entries = run(&mut author(1), changeset::limits::MAX_RUN_ENTRIES + 1);
    let out = append(&store, &entries);
    assert_eq!((out.entered.len(), out.waiting.len()), (0, entries.len()));
    assert_clean(&store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order and the portions in which a history comes, all of it stands in the log in causal order.
    #[test]
    fn any_order_ends_in_the_same_set(
        order in Just((0..24_usize).collect::<Vec<_>>()).prop_shuffle(),
        portion in 1..9_usize,
        signatures in proptest::collection::vec(any::<bool>(), 24),
    ) {
        let mut authors = [author(1), author(2), author(3)];
        let mut history: Vec<Verified> = Vec::new();
        for (number, is_signed) in signatures.iter().enumerate() {
            let parents: Vec<Verified> = history.iter().rev().nth(number % 3).cloned().into_iter().collect();
            let author = &mut authors[number % 3];
            let entry = record(author, 1, &parents.iter().collect::<Vec<_>>());
            history.push(if *is_signed || number >= 21 { author.sign(&entry).unwrap() } else { entry });
        }
        let store = memory();
        for portion in order.chunks(portion) {
            let portion: Vec<Verified> = portion.iter().map(|number| history[*number].clone()).collect();
            append(&store, &portion);
        }
        let held = all(&store);
        prop_assert_eq!(held.len(), history.len());
        for (position, entry) in held.iter().enumerate() {
            let needs = entry.header().previous.iter().chain(&entry.header().parents);
            for need in needs {
                prop_assert!(held[..position].iter().any(|before| before.id() == *need));
            }
        }
        prop_assert!(store.view().unwrap().inbox(&log()).unwrap().is_empty());
        assert_clean(&store);
    }
}
