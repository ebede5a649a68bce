//! Chains taken out of the log, cursors, and merged pages.

use crate::support::from_peer;
use crate::support::{
    all, append, append_from, assert_clean, author, fork_after, ids, log, memory, options, run, signed, signed_chain,
};
use changeset::{Cursor, RunningHash, Verified, decode_runs, encode_runs};
use storage::{MergeLimits, Source, Store};

/// What another side makes of entries that were sent to it verbatim.
fn received(entries: &[Verified]) -> Vec<Verified> {
    let bytes = encode_runs(entries).unwrap();
    decode_runs(&bytes, &log().workspace, &log().partition).unwrap().verify().unwrap()
}

fn small() -> MergeLimits {
    let mut limits = MergeLimits::default();
    limits.pages = 2;
    limits
}

#[test]
fn a_line_goes_back_to_what_is_known_and_ends_signed() {
    let store = memory();
    let (mut a, mut b) = (author(1), author(2));
    let a_entries = run(&mut a, 6);
    let b_entries = signed_chain(&mut b, 4);
    append(&store, &a_entries);
    b_entries.iter().for_each(|entry| drop(append(&store, std::slice::from_ref(entry))));
    let view = store.view().unwrap();
    let want = |tip: &Verified, known: &[&Verified]| (tip.id(), known.iter().map(|entry| entry.id()).collect());
    let lines = view.lines(&log(), &[want(&a_entries[5], &[&a_entries[1]])], None, usize::MAX).unwrap();
    assert_eq!((ids(&lines.entries), lines.next), (ids(&a_entries[2..]), None));
    // In the middle of a run: on to the signature.
    let lines = view.lines(&log(), &[want(&a_entries[3], &[&a_entries[2]])], None, usize::MAX).unwrap();
    assert_eq!(ids(&lines.entries), ids(&a_entries[3..]));
    assert_eq!(received(&lines.entries).len(), 3);
    let wants = [want(&b_entries[3], &[]), want(&a_entries[5], &[])];
    let lines = view.lines(&log(), &wants, None, usize::MAX).unwrap();
    assert_eq!(ids(&lines.entries), [ids(&a_entries), ids(&b_entries)].concat());
    // In portions: never cut inside a run.
    let (mut after, mut portions) = (None, Vec::new());
    loop {
        let lines = view.lines(&log(), &wants, after, 1).unwrap();
        assert_eq!(received(&lines.entries), lines.entries);
        portions.push(lines.entries.len());
        after = lines.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(portions, [6, 1, 1, 1, 1]);
    let none = view.lines(&log(), &[want(&signed(&mut author(8), 1, &[]), &[])], None, 9).unwrap();
    assert!(none.entries.is_empty() && none.next.is_none());
}

#[test]
fn a_line_of_one_branch_leaves_the_other_out() {
    let store = memory();
    let entries = signed_chain(&mut author(1), 4);
    let fork = fork_after(1, &entries[1], 1);
    append(&store, &entries);
    append(&store, std::slice::from_ref(&fork));
    let lines = store.view().unwrap().lines(&log(), &[(fork.id(), vec![])], None, usize::MAX).unwrap();
    assert_eq!(ids(&lines.entries), ids(&[entries[0].clone(), entries[1].clone(), fork]));
}

#[test]
fn a_span_brings_the_signatures_that_it_needs() {
    let store = memory();
    let entries = run(&mut author(1), 8);
    append(&store, &entries);
    let view = store.view().unwrap();
    assert_eq!(ids(&view.span(&log(), 2, 3).unwrap()), ids(&entries[2..]));
    assert_eq!(ids(&view.span(&log(), 7, 99).unwrap()), ids(&entries[7..]));
    assert!(view.span(&log(), 8, 9).unwrap().is_empty());
}

/// Every place that the log ever had still matches after merging, also inside a page; others never do.
#[test]
fn cursors_match_before_and_after_merging() {
    let store = memory();
    let (mut a, mut b) = (author(1), author(2));
    let mut places = Vec::new();
    for round in 0..30_u8 {
        let author = if round % 3 == 0 { &mut a } else { &mut b };
        let source = if round % 3 == 0 { Source::Own } else { from_peer(9) };
        let entries = run(author, 2);
        places.push(append_from(&store, &entries, source).end);
    }
    let before = all(&store);
    let log_of = |store: &Store| store.view().unwrap().log(&log()).unwrap().unwrap();
    let end = log_of(&store).end;
    let mut hash = RunningHash::start(&log().workspace, &log().partition, &end.log);
    for (position, entry) in before.iter().enumerate() {
        places.push(Cursor { log: end.log, position: position as u64, hash });
        hash = hash.then(&entry.id());
    }
    let check = |store: &Store| {
        let view = store.view().unwrap();
        for place in &places {
            assert!(view.matches(&log(), place).unwrap(), "{place:?}");
            let other = RunningHash::from_bytes([1; 32]);
            assert!(!view.matches(&log(), &Cursor { hash: other, ..*place }).unwrap());
            assert!(!view.matches(&log(), &Cursor { position: place.position + 61, ..*place }).unwrap());
        }
    };
    check(&store);
    let pages = log_of(&store).pages;
    let merged = store.merge_pages(&log(), small()).unwrap();
    assert_eq!((pages, merged.from, merged.to), (30, 30, 1));
    check(&store);
    let after = log_of(&store);
    assert_eq!((after.end, after.pages), (end, 1));
    assert_eq!(ids(&all(&store)), ids(&before));
    let page = store.view().unwrap().page_at(&log(), 33).unwrap().unwrap();
    assert_eq!((page.first, page.end.position, page.source), (0, 60, Source::Mixed));
    assert_eq!(store.view().unwrap().own_after(&log(), 0).unwrap().0, 20);
    assert_clean(&store);
    // A line out of a merged page still ends signed.
    let lines = store.view().unwrap().lines(&log(), &[(before[0].id(), vec![])], None, usize::MAX).unwrap();
    assert_eq!(received(&lines.entries), lines.entries);
    append(&store, &run(&mut a, 3));
    assert_clean(&store);
    assert_eq!(store.merge_pages(&log(), small()).unwrap().to, 1);
    assert_clean(&store);
}

/// Many small pages become few while nobody asks for anything.
#[test]
fn the_writer_merges_when_it_has_nothing_else_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut with = options();
    with.merge_when_idle = true;
    with.quick_repair = false;
    let store = Store::create(&path, with.clone()).unwrap();
    let entries = signed_chain(&mut author(1), 1200);
    for two in entries.chunks(2) {
        append(&store, two);
    }
    let pages = || store.view().unwrap().log(&log()).unwrap().unwrap().pages;
    // The writer is at it now; a test that never sees the end of that is ended by its runner.
    while pages() > 100 {
        std::thread::yield_now();
    }
    drop(store);
    let (store, opened) = Store::open(&path, with).unwrap();
    assert_eq!(opened, storage::Opened::Same);
    assert_eq!(ids(&all(&store)), ids(&entries));
    assert_clean(&store);
}

/// Where each page begins.
fn firsts(store: &Store) -> Vec<u64> {
    let (view, mut firsts, mut at) = (store.view().unwrap(), Vec::new(), 0);
    while let Some(page) = view.page_at(&log(), at).unwrap() {
        firsts.push(page.first);
        at = page.end.position;
    }
    firsts
}

/// A writer that looks after each commit whether enough came for a merge makes the pages that one makes which looks once,
/// also after its log began anew.
#[test]
fn pages_are_the_same_however_often_the_writer_looks_for_small_ones() {
    let mut with = options();
    (with.merge_when_idle, with.is_stepped) = (true, true);
    let [often, once] = [(); 2].map(|()| Store::in_memory(with.clone()).unwrap());
    let (mut a, mut merges) = (author(1), 0);
    for round in 0..700_u64 {
        let entries = run(&mut a, usize::try_from(1 + round % 5).unwrap());
        for store in [&often, &once] {
            append(store, &entries);
            if round == 350 {
                store.redraw(storage::Redraw::RolledBack).unwrap();
            }
        }
        let before = firsts(&often).len();
        while often.step() {}
        merges += usize::from(firsts(&often).len() < before);
    }
    assert!(merges >= 3, "{merges}");
    assert!(firsts(&once).len() == 700);
    while once.step() {}
    assert_eq!(firsts(&often), firsts(&once));
    assert_eq!(all(&often), all(&once));
    assert_clean(&often);
}
