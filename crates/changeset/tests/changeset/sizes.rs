//! Sizes are promises (rule 25 and "Storage"): each is asserted as a byte count, and printed.

use crate::support::{
    NOW, author, document, draft, header_after, log_of, put, read_page, read_signed, record, small_body,
};
use changeset::{Body, ChangeSetId, Edit, Header, IntentName, MemoryLog, Script, Value, Verified, encode_page};

/// A body of more than 65,535 bytes, whose length takes five bytes in a header.
fn large_body() -> Body {
    let (skeleton, values) = Script { reason: None, edits: vec![put("photo", Value::Bytes(vec![7; 70_000]))] }.split();
    Body::new(1, IntentName::new("attach").unwrap(), None, skeleton.to_bytes(), [9; 16], values)
}

fn signed_overhead(grant: Option<ChangeSetId>) -> usize {
    let mut author = author(1);
    let body = large_body();
    let header = Header {
        sequence: 65_535,
        previous: Some(ChangeSetId::from_bytes([1; 32])),
        parents: vec![ChangeSetId::from_bytes([2; 32])],
        grant,
        ..header_after(None, &body)
    };
    assert_eq!(header.document.kind.as_str().len(), 10);
    let entry = author.danger_append(header, body.clone());
    let bytes = author.sign(&entry).unwrap().to_bytes().unwrap();
    assert_eq!(read_signed(&bytes).unwrap().id(), entry.id());
    bytes.len() - body.to_bytes().len()
}

#[test]
fn a_signed_form_takes_at_most_260_bytes_plus_body_and_300_with_a_grant() {
    let (without, with) = (signed_overhead(None), signed_overhead(Some(ChangeSetId::from_bytes([3; 32]))));
    println!("signed form: {without} bytes plus body, {with} with a grant");
    assert!(without <= 260, "{without}");
    assert!(with <= 300, "{with}");
}

/// Two people who answer each other in one document, fifty times each.
fn conversation() -> Vec<Verified> {
    let (mut one, mut two) = (author(1), author(2));
    let mut entries: Vec<Verified> = Vec::new();
    for turn in 0..100_u64 {
        let author = if turn % 2 == 0 { &mut one } else { &mut two };
        let parents: Vec<&Verified> = entries.last().into_iter().collect();
        let draft = draft(document(1), &parents, vec![put("status", "passed")]);
        let recorded = author.record(draft, NOW + turn * 40_000).unwrap();
        entries.push(author.sign(&recorded).unwrap());
    }
    entries
}

fn bodies(entries: &[Verified]) -> usize {
    entries.iter().map(|entry| entry.body().to_bytes().len()).sum()
}

#[test]
fn an_entry_inside_a_run_takes_at_most_40_bytes_plus_body() {
    let entries = conversation();
    let log = MemoryLog::new();
    let size = |entries: &[Verified]| encode_page(entries, &log).unwrap().len() - bodies(entries);
    let average = size(&entries) as f64 / entries.len() as f64;
    // What one more entry costs a page that knows both actors and the document.
    let most = (2..entries.len()).map(|held| size(&entries[..=held]) - size(&entries[..held])).max().unwrap();
    println!("page of 100 entries: {average:.1} bytes an entry plus body on average, at most {most} for one more");
    assert!(average <= 40.0, "{average}");
    assert!(most <= 40, "{most}");
    assert_eq!(read_page(&encode_page(&entries, &log).unwrap(), &log).unwrap(), entries);
}

/// An entry of sequence 65,535 that comes `later` ms after the one before it.
fn alone(parents: usize, own_document: bool, later: u64) -> usize {
    let (mut one, mut two) = (author(1), author(2));
    let body = small_body();
    let at = |sequence, fill| Header {
        sequence,
        previous: Some(ChangeSetId::from_bytes([fill; 32])),
        ..header_after(None, &body)
    };
    let earlier = one.danger_append(at(65_533, 1), body.clone());
    let mut before = header_after(Some(&earlier), &body);
    if own_document {
        // The chain went through another document since, so that `previous` does not tell the document.
        before.document = document(2);
    }
    let before = one.danger_append(before, body.clone());
    let other = two.danger_append(at(65_535, 2), body.clone());
    let entry = Header {
        time: NOW + later,
        parents: [other.id()].into_iter().take(parents).collect(),
        ..header_after(Some(&before), &body)
    };
    let entry = one.danger_append(entry, body.clone());
    let entry = one.sign(&entry).unwrap();
    let log = log_of([&earlier, &before, &other]);
    let page = encode_page(std::slice::from_ref(&entry), &log).unwrap();
    assert_eq!(read_page(&page, &log).unwrap()[0].id(), entry.id());
    page.len() - body.to_bytes().len()
}

#[test]
fn an_entry_alone_takes_at_most_110_bytes_plus_body() {
    const DAY: u64 = 86_400_000;
    let most =
        [alone(0, false, 30 * DAY), alone(0, true, 30 * DAY), alone(1, false, 30 * DAY), alone(1, true, 30 * DAY)];
    println!(
        "page of one entry: {} bytes plus body without parents, {} with the document named by sequence, {} and {} with a parent",
        most[0], most[1], most[2], most[3]
    );
    assert!(most.iter().all(|bytes| *bytes <= 110), "{most:?}");
}

#[test]
fn a_body_of_three_fields_takes_at_most_175_bytes() {
    let edits: Vec<Edit> =
        ["items/7/outcome", "items/7/comment", "items/7/measure"].map(|at| put(at, "a text of 20 bytes!!")).into();
    assert!(edits.iter().all(|edit| matches!(edit, Edit::Put { path, .. } if path.as_str().len() == 15)));
    let recorded = author(1).record(draft(document(1), &[], edits), NOW).unwrap();
    let values: usize = (0..3).map(|index| recorded.body().value(index).unwrap().len()).sum();
    assert_eq!(values, 60);
    let bytes = recorded.body().to_bytes().len();
    println!("body of three fields with 60 bytes of values: {bytes} bytes");
    assert!(bytes <= 175, "{bytes}");
    assert_eq!(recorded.header().body_length, bytes as u64);
}

#[test]
fn body_length_is_that_of_the_whole_body_at_every_size_of_a_value() {
    // The head of a value's length grows at each of these.
    for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 262_144] {
        let value = Value::Bytes(vec![1; length]);
        let edits = vec![put("photo", value), put("status", true), put("count", 5_i64)];
        let recorded = author(1).record(draft(document(1), &[], edits), NOW).unwrap();
        let purged = recorded.redact(&[0]);
        assert_eq!(recorded.header().body_length, recorded.body().to_bytes().len() as u64, "{length}");
        assert_eq!(purged.body().whole_length(purged.skeleton().unwrap()), recorded.header().body_length, "{length}");
    }
    assert_eq!(record(&mut author(1), 1, &[]).header().body_length, small_body().to_bytes().len() as u64);
}
