//! Every bit of a signed form, a page and a bundle counts: each single flip and each truncation is refused with a place
//! and a reason, or, in one place only, says the same in other words.

use crate::support::{
    NOW, WORKSPACE, author, document, draft, fork_after, header_after, ids, log_of, partition, path, put, raw_bundle,
    read_page, read_signed, record, record_signed, small_body,
};
use changeset::{
    Bundle, ChangeSetId, Draft, Edit, Group, GroupId, Header, ItemRange, ItemRef, Line, LogIncarnation, MemoryLog,
    RunningHash, Value, Verified, encode_page,
};

/// The bytes with each bit flipped in turn.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}

/// What must not be read: every truncation, and one byte more.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).map(|end| bytes[..end].to_vec()).chain([[bytes, &[0]].concat()])
}

fn rich() -> Verified {
    let mut author = author(1);
    let before = record(&mut author, 1, &[]);
    let line = Line::Named(*before.id().as_bytes());
    let note = path("note");
    let origin = Some(ItemRef { line, clock: 300 });
    let edits = vec![
        put("status", "passed"),
        put("depth", Value::Float(1.5)),
        put("status", Value::Null),
        Edit::Delete { path: path("items/7/.") },
        Edit::Increment { path: path("count"), amount: -2 },
        Edit::InsertText { path: note.clone(), left: origin, right: None, text: "Öl 😀".into() },
        Edit::DeleteText {
            path: note,
            ranges: vec![ItemRange { start: ItemRef { line: Line::Own, clock: 1 }, length: 2 }],
        },
    ];
    let mut draft = Draft {
        parents: vec![ChangeSetId::from_bytes([4; 32]), ChangeSetId::from_bytes([5; 32])],
        grant: Some(ChangeSetId::from_bytes([6; 32])),
        group: Some(Group { id: GroupId::from_bytes([7; 16]), index: 1, count: 2 }),
        ..draft(document(1), &[], edits)
    };
    draft.script.reason = Some("gauge misread".into());
    let recorded = author.record(draft, NOW).unwrap();
    author.sign(&recorded).unwrap()
}

/// No exception: id and signature are functions of the header's bytes, the body hash of every byte of the body, and a
/// strict signature has one form.
#[test]
fn a_signed_form_with_any_change_is_refused() {
    let mut hostile = author(2);
    let body = small_body();
    // Nothing but a merge of heads: no value, so no commitment that would cover a salt.
    let mut merging = author(3);
    let empty = merging.record(draft(document(1), &[], Vec::new()), NOW).unwrap();
    let newer = hostile.danger_append(Header { format: 2, ..header_after(None, &body) }, body);
    let others = [hostile.sign(&newer).unwrap(), merging.sign(&empty).unwrap()];
    for entry in [rich(), rich().redact(&[0, 3])].into_iter().chain(others) {
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(read_signed(&bytes).unwrap(), entry);
        for (bit, flipped) in flips(&bytes) {
            let error = read_signed(&flipped).expect_err(&format!("bit {bit}"));
            assert!(!error.to_string().is_empty(), "bit {bit}");
        }
        for cut in cuts(&bytes) {
            assert!(!read_signed(&cut).expect_err("cut").to_string().is_empty());
        }
    }
}

/// A log with a fork in it, and a page on it that uses every kind of reference.
fn sample() -> (MemoryLog, Vec<Verified>) {
    let (mut a, mut b, mut c) = (author(1), author(2), author(3));
    let a1 = record_signed(&mut a, 1, &[]);
    let a2 = record_signed(&mut a, 1, &[]);
    let a2_fork = fork_after(1, &a1, 1, &[]);
    let b_log: Vec<Verified> = (0..3).map(|_| record_signed(&mut b, 2, &[])).collect();
    let log = log_of([&a1, &a2, &a2_fork].into_iter().chain(&b_log));

    // After the sibling that came second, so `previous` is a full id; the other one as a short parent.
    let mut restored = author(1).after(&a2_fork);
    let a3 = record_signed(&mut restored, 1, &[&a2]);
    // A parent that needs a full id.
    let b4 = record(&mut b, 1, &[&a2_fork]);
    // Another document, named by the author's own earlier work.
    let b5 = record(&mut b, 2, &[]).redact(&[0]);
    let b6 = record_signed(&mut b, 2, &[]);
    // A fork inside the page: two signed branches attest one unsigned entry.
    let c1 = record(&mut c, 3, &[]);
    let grant = Some(ChangeSetId::from_bytes([6; 32]));
    let with_grant = Draft { grant, ..draft(document(3), &[&a3], vec![put("status", "held")]) };
    let c2 = c.record(with_grant, NOW).unwrap();
    let c2 = c.sign(&c2).unwrap();
    let c2_fork = fork_after(3, &c1, 3, &[]);
    let body = small_body();
    let newer = Header { format: 2, document: document(3), ..header_after(Some(&c2), &body) };
    let c3 = c.danger_append(newer, body);
    let c3 = c.sign(&c3).unwrap();
    (log, vec![a3, b4, b5, b6, c1, c2, c2_fork, c3])
}

/// The one exception: a document is named by *any* earlier change set of the author in it, and a flip may name another
/// one. The id is the same, since the header says the document itself; encoding again gives the first form.
#[test]
fn a_page_with_any_change_is_refused_or_says_the_same() {
    let (log, entries) = sample();
    let bytes = encode_page(&entries, &log).unwrap();
    let read = read_page(&bytes, &log).unwrap();
    assert_eq!(read, entries);
    let mut same = Vec::new();
    for (bit, flipped) in flips(&bytes) {
        match read_page(&flipped, &log) {
            Err(error) => assert!(!error.to_string().is_empty(), "bit {bit}"),
            Ok(other) => {
                assert_eq!(ids(&other), ids(&entries), "bit {bit}");
                let content = |entries: &[Verified]| -> Vec<_> {
                    entries.iter().map(|entry| (entry.body().clone(), entry.signature().copied())).collect()
                };
                assert!(content(&other) == content(&read), "bit {bit}");
                assert_eq!(encode_page(&other, &log).unwrap(), bytes, "bit {bit}");
                same.push((bytes[bit / 8], flipped[bit / 8]));
            }
        }
    }
    // Sequence 3 of the author is named; its sequence 1 is in the same document.
    assert_eq!(same, [(0x22, 0x20)]);
    for cut in cuts(&bytes) {
        assert!(!read_page(&cut, &log).expect_err("cut").to_string().is_empty());
    }
}

/// A bundle of two pages.
fn sample_bundle() -> Vec<u8> {
    let (log, entries) = sample();
    let log_incarnation = LogIncarnation::from_bytes([8; 8]);
    let pages = vec![encode_page(log.entries(), &MemoryLog::new()).unwrap(), encode_page(&entries, &log).unwrap()];
    let start = RunningHash::start(&WORKSPACE, &partition(), &log_incarnation);
    let end = log.entries().iter().chain(&entries).fold(start, |running, entry| running.then(&entry.id()));
    raw_bundle(&WORKSPACE, partition().as_str(), log_incarnation.as_bytes(), &pages, end.as_bytes())
}

/// No exception but that of pages; the running hash covers the rest.
#[test]
fn a_bundle_with_any_change_is_refused_or_says_the_same() {
    let bytes = sample_bundle();
    let bundle = Bundle::from_bytes(&bytes, |_| ()).unwrap();
    assert_eq!(bundle.entries.len(), 14);
    let mut same = Vec::new();
    for (bit, flipped) in flips(&bytes) {
        match Bundle::from_bytes(&flipped, |_| ()) {
            Err(error) => assert!(!error.to_string().is_empty(), "bit {bit}"),
            Ok(other) => {
                assert_eq!(ids(&other.entries), ids(&bundle.entries), "bit {bit}");
                same.push((bytes[bit / 8], flipped[bit / 8]));
            }
        }
    }
    assert_eq!(same, [(0x22, 0x20)]);
    for cut in cuts(&bytes) {
        assert!(!Bundle::from_bytes(&cut, |_| ()).expect_err("cut").to_string().is_empty());
    }
}
