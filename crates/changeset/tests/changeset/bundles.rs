//! A bundle carries a partition's whole log, in pages, and holds as a whole or not at all.

use crate::support::{
    NOW, WORKSPACE, author, author_in, document, draft, ids, partition, put, raw_bundle, record, record_signed,
};
use changeset::cbor::Reader;
use changeset::limits::{MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_RUN_ENTRIES};
use changeset::{
    Bundle, Fault, LogIncarnation, MemoryLog, PageError, Partition, RunningHash, Value, Verified, WorkspaceId,
    encode_page,
};

fn log() -> LogIncarnation {
    LogIncarnation::from_bytes([8; 8])
}

fn bundle(entries: Vec<Verified>) -> Bundle {
    Bundle { workspace: WORKSPACE, partition: partition(), log: log(), entries }
}

/// The sizes of a bundle's pages.
fn pages(bytes: &[u8]) -> Vec<usize> {
    let mut reader = Reader::new(&bytes[8..], "bundle");
    reader.array_of(5).unwrap();
    reader.fixed::<32>().unwrap();
    reader.text(63).unwrap();
    reader.fixed::<8>().unwrap();
    let count = reader.array(usize::MAX).unwrap();
    (0..count).map(|_| reader.bytes(MAX_PAGE_BYTES).unwrap().len()).collect()
}

fn comes_back(bundle: &Bundle) -> Vec<usize> {
    let bytes = bundle.to_bytes().unwrap();
    let mut heard = Vec::new();
    let read = Bundle::from_bytes(&bytes, |verified| heard.push(verified)).unwrap();
    assert_eq!(ids(&read.entries), ids(&bundle.entries));
    assert_eq!((read.workspace, &read.partition, read.log), (bundle.workspace, &bundle.partition, bundle.log));
    assert_eq!(read.to_bytes().unwrap(), bytes, "what was read is written the same");
    let pages = pages(&bytes);
    assert_eq!(heard.len(), pages.len());
    assert_eq!(heard.last().copied().unwrap_or(0), bundle.entries.len());
    pages
}

#[test]
fn an_empty_log_is_a_bundle_without_pages() {
    assert_eq!(comes_back(&bundle(Vec::new())), [0; 0]);
}

#[test]
fn many_entries_are_cut_into_pages_that_refer_back() {
    let mut authors = [author(1), author(2), author(3)];
    let mut entries: Vec<Verified> = Vec::new();
    for turn in 0..5_000_usize {
        let author = &mut authors[turn % 3];
        let parents: Vec<&Verified> = entries.last().into_iter().collect();
        let entry = record(author, 1, &parents);
        // Group commits of some ten entries each.
        entries.push(if turn % 31 < 3 || turn >= 4_997 { author.sign(&entry).unwrap() } else { entry });
    }
    let pages = comes_back(&bundle(entries));
    assert_eq!(pages.len(), 3);
}

#[test]
fn large_entries_are_cut_by_bytes() {
    let mut author = author(1);
    let photo = |author: &mut changeset::Author, fill: u8| {
        let edits = vec![put("photo", Value::Bytes(vec![fill; 200_000]))];
        let recorded = author.record(draft(document(1), &[], edits), NOW).unwrap();
        author.sign(&recorded).unwrap()
    };
    let entries = (0..60).map(|fill| photo(&mut author, fill)).collect();
    let pages = comes_back(&bundle(entries));
    assert!(pages.len() >= 2);
    assert!(pages.iter().all(|bytes| *bytes <= MAX_PAGE_BYTES));
}

/// An author that signed nothing for long: its run must not be cut open, and a page may grow past its aim for it.
#[test]
fn no_page_ends_inside_a_run() {
    let (mut one, mut two) = (author(1), author(2));
    let mut entries: Vec<Verified> = (0..2_040).map(|_| record_signed(&mut one, 1, &[])).collect();
    entries.extend((0..MAX_RUN_ENTRIES - 1).map(|_| record(&mut two, 2, &[])));
    entries.push(record_signed(&mut two, 2, &[]));
    entries.extend((0..10).map(|_| record_signed(&mut one, 1, &[])));
    assert_eq!(comes_back(&bundle(entries)).len(), 2);
}

/// Merged pages drop inner signatures, so a log may hold a page that is open nearly to its end. If one begins before the
/// place where a cut is sought, the cut must go before it, not through it.
#[test]
fn a_cut_goes_before_runs_that_it_cannot_close() {
    let mut short = author(1);
    let mut entries: Vec<Verified> = (0..1_500).map(|_| record_signed(&mut short, 1, &[])).collect();
    let mut authors: Vec<changeset::Author> = (2..6).map(author).collect();
    let turns = 900;
    for turn in 0..turns {
        for author in &mut authors {
            let entry = record(author, 2, &[]);
            entries.push(if turn + 1 == turns { author.sign(&entry).unwrap() } else { entry });
        }
    }
    assert!(entries.len() > MAX_PAGE_ENTRIES);
    assert_eq!(comes_back(&bundle(entries)).len(), 2);
}

/// `body_length` is the author's word; a page's size is not.
#[test]
fn pages_are_cut_by_what_bodies_take_not_by_what_headers_say() {
    let mut hostile = author(1);
    let edits = vec![put("photo", Value::Bytes(vec![1; 200_000]))];
    let body = author(2).record(draft(document(1), &[], edits), NOW).unwrap().body().clone();
    let mut entries: Vec<Verified> = Vec::new();
    for _ in 0..50 {
        let mut header = crate::support::header_after(entries.last(), &body);
        header.body_length = 0;
        let entry = hostile.danger_append(header, body.clone());
        entries.push(hostile.sign(&entry).unwrap());
    }
    assert!(comes_back(&bundle(entries)).len() >= 2);
}

#[test]
fn an_unsigned_tip_is_refused() {
    let mut author = author(1);
    let first = record_signed(&mut author, 1, &[]);
    let tip = record(&mut author, 1, &[]);
    let error = bundle(vec![first.clone(), tip.clone()]).to_bytes().unwrap_err();
    assert_eq!(error, PageError::Unsigned { id: tip.id() });
    assert!(bundle(vec![first, author.sign(&tip).unwrap()]).to_bytes().is_ok());
}

#[test]
fn an_entry_of_another_partition_or_workspace_is_refused() {
    let stranger = record_signed(&mut author_in(1, Partition::new("north").unwrap()), 1, &[]);
    let own = record_signed(&mut author(1), 1, &[]);
    let error = bundle(vec![own.clone(), stranger.clone()]).to_bytes().unwrap_err();
    assert_eq!(error, PageError::WrongPartition { id: stranger.id() });
    let other = Bundle { workspace: WorkspaceId::from_bytes([1; 32]), ..bundle(vec![own.clone()]) };
    assert_eq!(other.to_bytes().unwrap_err(), PageError::WrongPartition { id: own.id() });
}

/// A bundle that says another partition or workspace gives other ids: no signature holds.
#[test]
fn a_bundle_cannot_be_moved() {
    let own = record_signed(&mut author(1), 1, &[]);
    let page = encode_page(std::slice::from_ref(&own), &MemoryLog::new()).unwrap();
    let sealed = |workspace: WorkspaceId, name: &str| {
        let name = Partition::new(name).unwrap();
        let end = RunningHash::start(&workspace, &name, &log()).then(&own.id());
        let pages = [page.clone()];
        Bundle::from_bytes(&raw_bundle(&workspace, name.as_str(), log().as_bytes(), &pages, end.as_bytes()), |_| ())
    };
    assert_eq!(sealed(WORKSPACE, "harbour-7").unwrap().entries, std::slice::from_ref(&own));
    for (workspace, name) in [(WORKSPACE, "harbour-8"), (WorkspaceId::from_bytes([1; 32]), "harbour-7")] {
        let error = sealed(workspace, name).unwrap_err();
        let PageError::InPage { page: 0, error } = error else { panic!("{error}") };
        assert!(matches!(*error, PageError::Verify(_)), "{error}");
    }
}

#[test]
fn a_running_hash_that_does_not_match_is_refused() {
    let own = record_signed(&mut author(1), 1, &[]);
    let mut bytes = bundle(vec![own]).to_bytes().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let error = Bundle::from_bytes(&bytes, |_| ()).unwrap_err();
    assert!(matches!(&error, PageError::Malformed(error) if error.fault == Fault::Mismatch("the running hash")));
}

#[test]
fn the_page_at_fault_is_named() {
    let mut author = author(1);
    let (first, second) = (record_signed(&mut author, 1, &[]), record_signed(&mut author, 1, &[]));
    let held = crate::support::log_of([&first]);
    let good = encode_page(std::slice::from_ref(&first), &MemoryLog::new()).unwrap();
    let mut bad = encode_page(std::slice::from_ref(&second), &held).unwrap();
    *bad.last_mut().unwrap() ^= 1;
    let start = RunningHash::start(&WORKSPACE, &partition(), &log());
    let end = start.then(&first.id()).then(&second.id());
    let bytes = raw_bundle(&WORKSPACE, "harbour-7", log().as_bytes(), &[good, bad], end.as_bytes());
    let error = Bundle::from_bytes(&bytes, |_| ()).unwrap_err();
    assert!(matches!(error, PageError::InPage { page: 1, .. }));
    assert!(error.to_string().starts_with("page 1: change set "), "{error}");
}

/// A log holds an entry once, so a bundle does too: otherwise one log would have many bundles and running hashes.
#[test]
fn an_entry_that_comes_twice_is_refused() {
    let own = record_signed(&mut author(1), 1, &[]);
    let page = encode_page(std::slice::from_ref(&own), &MemoryLog::new()).unwrap();
    let end = RunningHash::start(&WORKSPACE, &partition(), &log()).then(&own.id()).then(&own.id());
    let bytes = raw_bundle(&WORKSPACE, "harbour-7", log().as_bytes(), &[page.clone(), page], end.as_bytes());
    assert!(Bundle::from_bytes(&bytes, |_| ()).is_err());
    assert!(bundle(vec![own.clone(), own]).to_bytes().is_err());
}

#[test]
fn a_file_of_several_bundles_is_read_whole_and_says_which_of_them_is_wrong() {
    let mut writer = author(1);
    let first = record_signed(&mut writer, 1, &[]);
    let one = bundle(vec![first.clone()]).to_bytes().unwrap();
    let two = bundle(vec![first.clone(), record_signed(&mut writer, 2, &[&first])]).to_bytes().unwrap();
    let file = [&one[..], &two].concat();
    let mut heard = Vec::new();
    let read = Bundle::read_all(&file, |verified| heard.push(verified)).unwrap();
    assert_eq!(read.iter().map(|bundle| bundle.entries.len()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(heard, [1, 3]);
    assert_eq!(Bundle::read_all(&one, |_| ()).unwrap().len(), 1);
    // Where one is asked for, a second is too much.
    assert!(Bundle::from_bytes(&file, |_| ()).unwrap_err().to_string().contains("follow"));
    let last = Bundle::read_all(&file[..file.len() - 1], |_| ()).unwrap_err();
    assert!(last.to_string().starts_with("bundle 1: "), "{last}");
    assert!(Bundle::read_all(&[], |_| ()).unwrap_err().to_string().contains("FBBUNDL1"));
    let garbage = [&file[..], b"x"].concat();
    assert!(Bundle::read_all(&garbage, |_| ()).unwrap_err().to_string().starts_with("bundle 2: "));
}
