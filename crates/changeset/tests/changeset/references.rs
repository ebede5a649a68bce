//! What a page leaves to its log: short references mean the entry at the lowest position that fits (rule 23).

use crate::support::{
    NOW, Raw, RawEntry, RawPage, author, author_bytes, contains, document, draft, fork_after, ids, log_of, put,
    read_page, record, record_signed,
};
use changeset::{
    Actor, ActorPrefix, ChangeSetId, DecodeError, Fault, Known, Log, MemoryLog, PageError, Verified, VerifyError,
    encode_page,
};
use std::cell::Cell;
use std::sync::Arc;

fn prefix(entry: &Verified) -> [u8; 8] {
    entry.actor().id().as_bytes()[..8].try_into().unwrap()
}

#[test]
fn an_entry_on_a_log_names_nothing_in_full() {
    let (mut a, mut b) = (author(1), author(2));
    let (a1, b1) = (record_signed(&mut a, 1, &[]), record_signed(&mut b, 1, &[]));
    let log = log_of([&a1, &b1]);
    let a2 = record_signed(&mut a, 1, &[&b1]);
    let page = encode_page(std::slice::from_ref(&a2), &log).unwrap();
    for id in [a1.id(), b1.id(), a2.id()] {
        assert!(!contains(&page, id.as_bytes()));
    }
    assert!(!contains(&page, a1.actor().key().as_bytes()));
    assert!(contains(&page, &prefix(&b1)));
    assert_eq!(read_page(&page, &log).unwrap(), [a2]);
}

#[test]
fn where_two_fit_the_lowest_is_short_and_the_other_is_named_in_full() {
    let mut a = author(1);
    let a1 = record_signed(&mut a, 1, &[]);
    let a2 = record_signed(&mut a, 1, &[]);
    let fork = fork_after(1, &a1, 1, &[]);
    let log = log_of([&a1, &a2, &fork]);
    let mut b = author(2);
    // Both siblings as parents, and each as a previous.
    let b1 = record_signed(&mut b, 1, &[&a2, &fork]);
    let on_first = fork_after(1, &a2, 1, &[]);
    let on_second = fork_after(1, &fork, 1, &[]);
    let entries = [b1, on_first, on_second];
    for (entry, full) in entries.iter().zip([true, false, true]) {
        let page = encode_page(std::slice::from_ref(entry), &log).unwrap();
        assert!(!contains(&page, a2.id().as_bytes()));
        assert_eq!(contains(&page, fork.id().as_bytes()), full);
        assert_eq!(read_page(&page, &log).unwrap()[0], *entry);
    }
    let page = encode_page(&entries, &log).unwrap();
    assert_eq!(read_page(&page, &log).unwrap(), entries);
}

/// A receiver that holds the siblings in another order rebuilds other ids: the signature fails, nothing is misplaced,
/// and the run is asked for verbatim.
#[test]
fn against_a_log_in_another_order_the_signature_fails() {
    let mut a = author(1);
    let a1 = record_signed(&mut a, 1, &[]);
    let a2 = record_signed(&mut a, 1, &[]);
    let fork = fork_after(1, &a1, 1, &[]);
    let a3 = record_signed(&mut a, 1, &[]);
    let page = encode_page(std::slice::from_ref(&a3), &log_of([&a1, &a2, &fork])).unwrap();
    assert!(read_page(&page, &log_of([&a1, &a2])).is_ok());
    let other = log_of([&a1, &fork, &a2]);
    let error = read_page(&page, &other).unwrap_err();
    assert!(matches!(error, PageError::Verify(VerifyError::BadSignature { .. })), "{error}");
    // Cut from that log, the same entry names its previous in full.
    let page = encode_page(std::slice::from_ref(&a3), &other).unwrap();
    assert!(contains(&page, a2.id().as_bytes()));
    assert_eq!(read_page(&page, &other).unwrap(), [a3]);
}

#[test]
fn what_is_not_held_is_named() {
    let (mut a, mut b) = (author(1), author(2));
    let a1 = record_signed(&mut a, 1, &[]);
    let b1 = record_signed(&mut b, 1, &[]);
    let a2 = record_signed(&mut a, 2, &[]);
    let a3 = record_signed(&mut a, 1, &[&b1]);
    let log = log_of([&a1, &b1, &a2]);
    let page = encode_page(std::slice::from_ref(&a3), &log).unwrap();
    let missing = |entry, what| PageError::Missing { entry, what };

    let error = encode_page(&[b1.clone(), a3], &log_of([&a1])).unwrap_err();
    assert_eq!(error, missing(1, "its previous change set"));
    assert_eq!(error.to_string(), "entry 1: needs its previous change set, which this log does not hold");
    assert_eq!(read_page(&page, &log_of([&a1, &b1])).unwrap_err(), missing(0, "its previous change set"));
    assert_eq!(read_page(&page, &log_of([&a1, &a2])).unwrap_err(), missing(0, "a parent"));
    let error = read_page(&page, &log_of([&b1])).unwrap_err();
    assert!(
        matches!(&error, PageError::Malformed(DecodeError { fault: Fault::BadReference("an actor"), .. })),
        "{error}"
    );
    let raw = |previous, document, parents| RawPage {
        actors: vec![author_bytes(&a1)],
        ..RawPage::of(&a1, vec![RawEntry { previous, document, parents, ..RawEntry::first(&a1, None) }])
    };
    let empty = MemoryLog::new();
    let unknown = vec![7; 32];
    for (previous, document, parents, what) in [
        (Raw::Int(0), Raw::Null, vec![], "its previous change set"),
        (Raw::Int(-1), Raw::Null, vec![], "its previous change set"),
        (Raw::Bytes(unknown.clone()), Raw::Null, vec![], "its previous change set"),
        (Raw::Null, Raw::Null, vec![], "its document"),
        (Raw::Null, Raw::Int(-1), vec![], "its document"),
        (Raw::Null, Raw::Null, vec![Raw::Bytes(unknown)], "its document"),
        (Raw::Null, Raw::Int(0), vec![Raw::Int(0)], "a parent"),
        (Raw::Null, Raw::Int(0), vec![Raw::Pair([1; 8], 1)], "a parent"),
    ] {
        let error = read_page(&raw(previous, document, parents).to_bytes(), &empty).unwrap_err();
        assert_eq!(error, missing(0, what));
    }
}

/// The log decides whether an entry's parents are held; a page only carries their names.
#[test]
fn a_parent_that_nobody_holds_is_carried_by_its_id() {
    let absent = record(&mut author(2), 1, &[]);
    let entry = record_signed(&mut author(1), 1, &[&absent]);
    let page = encode_page(std::slice::from_ref(&entry), &MemoryLog::new()).unwrap();
    let read = read_page(&page, &MemoryLog::new()).unwrap();
    assert_eq!(read[0].header().parents, [absent.id()]);
    assert_eq!(ids(&read), [entry.id()]);
}

#[test]
fn a_chain_does_not_go_on_after_another_actors_change_set() {
    let a1 = record_signed(&mut author(1), 1, &[]);
    let b1 = record_signed(&mut author(2), 1, &[]);
    let log = log_of([&a1]);
    let previous = Raw::Bytes(a1.id().as_bytes().to_vec());
    let page = RawPage::of(&b1, vec![RawEntry { previous, time: 0, ..RawEntry::first(&b1, b1.signature().copied()) }]);
    let error = read_page(&page.to_bytes(), &log).unwrap_err();
    let PageError::Entry { entry: 0, error: DecodeError { fault, .. } } = error else { panic!("{error}") };
    assert_eq!(fault, Fault::BadReference("a change set of this actor"));
}

/// Chains go through many documents: each entry still reads back in its own.
#[test]
fn documents_are_named_by_table_neighbour_or_earlier_work() {
    let (mut a, mut b) = (author(1), author(2));
    let mut log = MemoryLog::new();
    let mut last: Option<Verified> = None;
    for page in 0..6_u64 {
        let mut entries = Vec::new();
        for turn in 0..40_u64 {
            // Documents 0 to 6 in an order that brings each of them back near and far.
            let number = ((page * 40 + turn) * (turn % 5) % 7) as u8;
            let author = if turn % 3 == 0 { &mut b } else { &mut a };
            let same = last.as_ref().filter(|last| last.header().document == document(number));
            let parents: Vec<&Verified> = same.into_iter().collect();
            let drafted = draft(document(number), &parents, vec![put("turn", turn as i64)]);
            let recorded = author.record(drafted, NOW + turn).unwrap();
            last = Some(recorded.clone());
            entries.push(author.sign(&recorded).unwrap());
        }
        let bytes = encode_page(&entries, &log).unwrap();
        let read = read_page(&bytes, &log).unwrap();
        assert_eq!(read, entries);
        for (read, entry) in read.iter().zip(entries) {
            assert_eq!(read.header(), entry.header());
            log.push(entry);
        }
    }
}

/// Tables may hold what no entry uses, longer references and ten items are read: nothing is addressed by a page's bytes.
#[test]
fn a_page_may_say_the_same_at_more_length() {
    let mut a = author(1);
    let a1 = record_signed(&mut a, 1, &[]);
    let a2 = record_signed(&mut a, 1, &[]);
    let log = log_of([&a1]);
    let short = encode_page(std::slice::from_ref(&a2), &log).unwrap();
    let length = a2.header().body_length;
    let mut long = RawPage::of(
        &a2,
        vec![RawEntry {
            previous: Raw::Bytes(a1.id().as_bytes().to_vec()),
            document: Raw::Int(1),
            time: 0,
            explicit: Some((1, length)),
            ..RawEntry::first(&a2, a2.signature().copied())
        }],
    );
    long.documents.insert(0, document(9));
    long.grants.push(ChangeSetId::from_bytes([1; 32]));
    let long = long.to_bytes();
    assert!(long.len() > short.len());
    let read = read_page(&long, &log).unwrap();
    assert_eq!(read, [a2]);
    assert_eq!(encode_page(&read, &log).unwrap(), short);
}

/// A log that counts how often it is searched by actor and sequence.
struct Searched(MemoryLog, Cell<usize>);

impl Log for Searched {
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known> {
        self.1.set(self.1.get() + 1);
        self.0.find(prefix, sequence)
    }

    fn known(&self, id: &ChangeSetId) -> Option<Known> {
        self.0.known(id)
    }

    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>> {
        self.0.actor(prefix)
    }
}

/// Somebody who brings a hundred new records behind sixty old ones: each entry looks back along its chain for one of the
/// same document, and the log is asked for each place there once.
#[test]
fn a_page_asks_the_log_once_for_each_earlier_entry() {
    let mut a = author(1);
    let old: Vec<Verified> = (0..60).map(|number| record_signed(&mut a, number, &[])).collect();
    // One of them goes on with an old record, which is named by its place in the chain.
    let numbers = [100, 101, 59].into_iter().chain(102..200);
    let new: Vec<Verified> = numbers.map(|number| record_signed(&mut a, number, &[])).collect();
    let log = Searched(log_of(&old), Cell::new(0));
    let page = encode_page(&new, &log).unwrap();
    assert_eq!(read_page(&page, &log.0).unwrap(), new);
    assert!(!contains(&page, document(59).id.as_bytes()) && contains(&page, document(100).id.as_bytes()));
    assert!(log.1.get() <= 60 + new.len() + 1, "{}", log.1.get());
}
