//! One signature attests the whole chain up to it, and nothing enters a set that none attests.

use crate::support::{
    IDENTITY_SIGNATURE, NOW, Raw, RawEntry, RawPage, SMALL_R, TORSION_FAILS, TORSION_HOLDS, TORSION_KEY, WEAK_KEYS,
    author, author_bytes, crafted, fork_after, header_after, plus_group_order, read_page, read_signed, record,
    record_signed, signature_from_hex, small_body,
};
use changeset::limits::{MAX_BODY_BYTES, MAX_RUN_BYTES, MAX_RUN_ENTRIES};
use changeset::{Author, Header, MemoryLog, PageError, Signature, Verified, VerifyError, encode_page};
use ed25519_dalek::{Signature as DalekSignature, Verifier as _, VerifyingKey};

/// A chain of unsigned entries of one document.
fn chain(author: &mut Author, count: usize) -> Vec<Verified> {
    (0..count).map(|_| record(author, 1, &[])).collect()
}

/// A page of one chain that carries exactly these signatures.
fn page_with(entries: &[Verified], signatures: impl Fn(usize) -> Option<Signature>) -> Vec<u8> {
    let raw = entries.iter().enumerate().map(|(index, entry)| match index.checked_sub(1) {
        None => RawEntry::first(entry, signatures(0)),
        Some(before) => RawEntry::following(entry, before as u64, entries[before].header().time, signatures(index)),
    });
    RawPage::of(&entries[0], raw.collect()).to_bytes()
}

fn read(bytes: &[u8]) -> Result<Vec<Verified>, PageError> {
    read_page(bytes, &MemoryLog::new())
}

#[test]
fn one_signature_attests_a_run() {
    let mut author = author(1);
    let mut entries = chain(&mut author, 10);
    entries[9] = author.sign(&entries[9]).unwrap();
    let page = encode_page(&entries, &MemoryLog::new()).unwrap();
    assert_eq!(page, page_with(&entries, |index| entries[index].signature().copied()));
    let read = read(&page).unwrap();
    assert_eq!(read, entries);
    assert_eq!(read.iter().filter(|entry| entry.signature().is_some()).count(), 1);
    // And says so of each: alone none of the others can be shown to anybody.
    assert!(read[0].to_bytes().is_none() && read[9].to_bytes().is_some());
}

#[test]
fn signatures_inside_a_run_are_left_out() {
    let mut author = author(1);
    let entries: Vec<Verified> = (0..10).map(|_| record_signed(&mut author, 1, &[])).collect();
    let read = read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap();
    let signed: Vec<bool> = read.iter().map(|entry| entry.signature().is_some()).collect();
    assert_eq!(signed, [&[false; 9][..], &[true]].concat());
}

#[test]
fn an_entry_that_nothing_attests_is_refused() {
    let mut author = author(1);
    let entries: Vec<Verified> = (0..3).map(|_| record_signed(&mut author, 1, &[])).collect();
    let signature = |index: usize| entries[index].signature().copied();
    let unattested = |id| PageError::Verify(VerifyError::Unattested { id });
    // A signature attests what came before it, never what came after.
    let error = read(&page_with(&entries, |index| if index == 1 { signature(1) } else { None })).unwrap_err();
    assert_eq!(error, unattested(entries[2].id()));
    assert_eq!(read(&page_with(&entries, |_| None)).unwrap_err(), unattested(entries[2].id()));
    assert!(read(&page_with(&entries, |index| if index == 2 { signature(2) } else { None })).is_ok());
    let unsigned = record(&mut author, 1, &[]);
    let error = encode_page(&[entries[0].clone(), unsigned.clone()], &crate::support::log_of(&entries)).unwrap_err();
    assert_eq!(error, PageError::Unsigned { id: unsigned.id() });
}

/// That the log holds a signed successor does not help: a page is checked by itself.
#[test]
fn a_signature_in_another_page_attests_nothing_here() {
    let mut author = author(1);
    let entries = chain(&mut author, 2);
    let last = author.sign(&entries[1]).unwrap();
    let error = encode_page(&entries[..1], &crate::support::log_of([&last])).unwrap_err();
    assert_eq!(error, PageError::Unsigned { id: entries[0].id() });
}

#[test]
fn either_branch_of_a_fork_attests_what_is_before_it() {
    let mut author = author(1);
    let root = record(&mut author, 1, &[]);
    let left = record(&mut author, 1, &[]);
    let left_end = record_signed(&mut author, 1, &[]);
    let right = fork_after(1, &root, 2, &[]);
    let log = MemoryLog::new();
    for entries in [
        vec![root.clone(), right.clone()],
        vec![root.clone(), left.clone(), left_end.clone()],
        vec![root.clone(), left.clone(), left_end, right.clone()],
    ] {
        assert_eq!(read_page(&encode_page(&entries, &log).unwrap(), &log).unwrap(), entries);
    }
    // But not the other branch.
    let error = encode_page(&[root, left.clone(), right], &log).unwrap_err();
    assert_eq!(error, PageError::Unsigned { id: left.id() });
}

/// A store that was copied before it wrote anything: both chains are proven by the one device key.
#[test]
fn a_fork_at_sequence_1_is_two_chains_with_one_key() {
    let first = record_signed(&mut author(1), 1, &[]);
    let second = record_signed(&mut author(1), 2, &[]);
    assert_ne!(first, second);
    assert_eq!(first.actor().id(), second.actor().id());
    let entries = [first, second];
    assert_eq!(read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap(), entries);
}

#[test]
fn a_run_has_a_most_of_entries() {
    let mut author = author(1);
    let mut entries = chain(&mut author, MAX_RUN_ENTRIES + 1);
    let sign_last = |entries: &mut Vec<Verified>, author: &Author| {
        let last = entries.pop().unwrap();
        entries.push(author.sign(&last).unwrap());
    };
    sign_last(&mut entries, &author);
    let too_long = VerifyError::RunTooLong { id: entries[0].id() };
    assert_eq!(encode_page(&entries, &MemoryLog::new()).unwrap_err(), too_long.clone().into());
    let page = page_with(&entries, |index| entries[index].signature().copied());
    assert_eq!(read(&page).unwrap_err(), too_long.into());

    entries.pop();
    sign_last(&mut entries, &author);
    assert_eq!(entries.len(), MAX_RUN_ENTRIES);
    assert_eq!(read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap(), entries);
    // Where inner signatures are at hand, runs are kept within half of it.
    let all: Vec<Verified> = entries.iter().map(|entry| author.sign(entry).unwrap()).collect();
    let read = read(&encode_page(&all, &MemoryLog::new()).unwrap()).unwrap();
    let signed: Vec<usize> = (0..read.len()).filter(|index| read[*index].signature().is_some()).collect();
    assert_eq!(signed, [MAX_RUN_ENTRIES / 2 - 1, MAX_RUN_ENTRIES - 1]);
}

/// Entries that say that their bodies are as large as can be.
fn heavy(count: usize) -> (Author, Vec<Verified>) {
    let mut author = author(1);
    let body = small_body();
    let mut entries: Vec<Verified> = Vec::new();
    for _ in 0..count {
        let header = Header { body_length: MAX_BODY_BYTES as u64, ..header_after(entries.last(), &body) };
        entries.push(author.danger_append(header, body.clone()));
    }
    (author, entries)
}

#[test]
fn a_run_has_a_most_of_bytes() {
    let most = MAX_RUN_BYTES / MAX_BODY_BYTES;
    for (count, fits) in [(most, true), (most + 1, false)] {
        let (author, mut entries) = heavy(count);
        entries[count - 1] = author.sign(&entries[count - 1]).unwrap();
        let page = page_with(&entries, |index| entries[index].signature().copied());
        let encoded = encode_page(&entries, &MemoryLog::new());
        if fits {
            assert_eq!(encoded.unwrap(), page);
            assert_eq!(read(&page).unwrap(), entries);
        } else {
            let too_long = VerifyError::RunTooLong { id: entries[0].id() };
            assert_eq!(encoded.unwrap_err(), too_long.clone().into());
            assert_eq!(read(&page).unwrap_err(), too_long.into());
        }
    }
}

/// Two group commits, each signed at its end, with no other signatures at hand. The one between them was left out
/// because the run after it is short, and then the run before it was too long: no page could be written.
#[test]
fn a_signature_that_the_run_before_it_needs_is_carried() {
    let mut author = author(1);
    let mut entries = chain(&mut author, MAX_RUN_ENTRIES + 100);
    for at in [MAX_RUN_ENTRIES - 1, MAX_RUN_ENTRIES + 99] {
        entries[at] = author.sign(&entries[at]).unwrap();
    }
    assert_eq!(read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap(), entries);

    let most = MAX_RUN_BYTES / MAX_BODY_BYTES;
    let (author, mut entries) = heavy(most + 1);
    for at in [most - 1, most] {
        entries[at] = author.sign(&entries[at]).unwrap();
    }
    assert_eq!(read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap(), entries);
}

/// The shorter branch attests: a long one beside it does not make the run too long.
#[test]
fn at_a_fork_the_shorter_branch_counts() {
    let mut author = author(1);
    let mut entries = chain(&mut author, MAX_RUN_ENTRIES + 1);
    let last = entries.pop().unwrap();
    entries.push(author.sign(&last).unwrap());
    entries.push(fork_after(1, &entries[0], 1, &[]));
    assert_eq!(read(&encode_page(&entries, &MemoryLog::new()).unwrap()).unwrap(), entries);
}

#[test]
fn a_signature_of_another_actor_is_refused() {
    let (mut one, mut two) = (author(1), author(2));
    let (own, other) = (record_signed(&mut one, 1, &[]), record_signed(&mut two, 1, &[]));
    let own_bytes = own.to_bytes().unwrap();
    let mut bytes = own_bytes.clone();
    // array head, author with its head, head of the signature
    let at = 1 + 42 + 2;
    assert_eq!(&bytes[at..at + 64], own.signature().unwrap().as_bytes());
    bytes[at..at + 64].copy_from_slice(other.signature().unwrap().as_bytes());
    assert_eq!(read_signed(&bytes).unwrap_err(), VerifyError::BadSignature { id: own.id() });
    // The other's name over the same header is another id, which nobody signed.
    let mut bytes = own_bytes;
    bytes[3..43].copy_from_slice(&author_bytes(&other));
    assert!(matches!(read_signed(&bytes).unwrap_err(), VerifyError::BadSignature { id } if id != own.id()));

    let page = page_with(std::slice::from_ref(&own), |_| other.signature().copied());
    assert_eq!(read(&page).unwrap_err(), VerifyError::BadSignature { id: own.id() }.into());
    let mut renamed = RawPage::of(&own, vec![RawEntry::first(&own, own.signature().copied())]);
    renamed.actors = vec![author_bytes(&other)];
    assert!(matches!(read(&renamed.to_bytes()).unwrap_err(), PageError::Verify(VerifyError::BadSignature { .. })));
}

/// Every signature in a page is checked, also one that no entry needs.
#[test]
fn a_bad_signature_inside_a_run_is_refused() {
    let mut author = author(1);
    let entries: Vec<Verified> = (0..3).map(|_| record_signed(&mut author, 1, &[])).collect();
    let page = page_with(&entries, |index| entries[if index == 1 { 0 } else { index }].signature().copied());
    assert_eq!(read(&page).unwrap_err(), VerifyError::BadSignature { id: entries[1].id() }.into());
}

/// Whoever could sign with a key of small order could sign everything: loose verification takes this one.
#[test]
fn weak_keys_are_refused_before_any_signature() {
    for key in WEAK_KEYS {
        let entry = crafted(key, IDENTITY_SIGNATURE);
        let error = VerifyError::BadKey(key.to_owned());
        assert_eq!(read_signed(&entry.to_bytes().unwrap()).unwrap_err(), error);
        assert_eq!(read(&encode_page(&[entry], &MemoryLog::new()).unwrap()).unwrap_err(), error.into());
    }
    let entry = crafted(WEAK_KEYS[0], IDENTITY_SIGNATURE);
    assert!(loose(&entry).is_ok(), "loose verification takes it");
}

/// Verification as RFC 8032 allows it at its loosest without the cofactor.
fn loose(entry: &Verified) -> Result<(), ed25519_dalek::SignatureError> {
    let signature = DalekSignature::from_bytes(entry.signature().unwrap().as_bytes());
    VerifyingKey::from_bytes(entry.actor().key().as_bytes())?.verify(entry.id().as_bytes(), &signature)
}

#[test]
fn a_signature_has_one_form() {
    let entry = record_signed(&mut author(1), 1, &[]);
    let of = |signature: Signature| read(&page_with(std::slice::from_ref(&entry), |_| Some(signature)));
    assert_eq!(of(*entry.signature().unwrap()).unwrap(), std::slice::from_ref(&entry));
    let bad = VerifyError::BadSignature { id: entry.id() };
    assert_eq!(of(plus_group_order(entry.signature().unwrap())).unwrap_err(), bad.clone().into());
    assert_eq!(of(signature_from_hex(SMALL_R)).unwrap_err(), bad.into());
    let small_r = crafted(&entry.actor().key().to_string(), SMALL_R);
    assert_eq!(small_r.id(), entry.id(), "the signature below was made for this id");
    assert!(loose(&small_r).is_ok(), "loose verification takes it");
}

/// A key with a component of small order: its holder may sign, and all agree which of its signatures hold.
#[test]
fn the_equation_is_the_one_without_cofactor() {
    let (holds, fails) = (crafted(TORSION_KEY, TORSION_HOLDS), crafted(TORSION_KEY, TORSION_FAILS));
    assert_eq!(holds.id(), fails.id());
    assert_eq!(read_signed(&holds.to_bytes().unwrap()).unwrap(), holds);
    assert_eq!(read_signed(&fails.to_bytes().unwrap()).unwrap_err(), VerifyError::BadSignature { id: fails.id() });
}

/// The time of an entry in a page is counted from its previous: one below it cannot be written.
#[test]
fn a_time_below_that_of_previous_has_no_page() {
    let mut author = author(1);
    let first = record_signed(&mut author, 1, &[]);
    let body = small_body();
    let late = author.danger_append(Header { time: NOW - 1, ..header_after(Some(&first), &body) }, body);
    let late = author.sign(&late).unwrap();
    let error = encode_page(&[first, late], &MemoryLog::new()).unwrap_err();
    assert!(matches!(&error, PageError::Entry { entry: 1, error } if error.place == "time"), "{error}");
}

/// A wrong reference inside a page gives another header, and the signature fails.
#[test]
fn an_entry_cannot_be_moved_along_its_chain() {
    let mut author = author(1);
    let entries: Vec<Verified> = (0..3).map(|_| record_signed(&mut author, 1, &[])).collect();
    let mut raw = RawPage::of(&entries[0], Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let signature = entry.signature().copied();
        raw.entries.push(match index {
            0 => RawEntry::first(entry, signature),
            _ => RawEntry { previous: Raw::Int(0), ..RawEntry::following(entry, 0, NOW, signature) },
        });
    }
    let error = read(&raw.to_bytes()).unwrap_err();
    assert!(matches!(error, PageError::Verify(VerifyError::BadSignature { id }) if id != entries[2].id()));
}
