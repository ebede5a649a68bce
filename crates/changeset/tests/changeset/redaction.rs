//! A purge takes values away and nothing else: id, signature, structure and the other values stay.

use crate::support::{NOW, author, contains, document, draft, partition, put, read_page, read_signed, record};
use crate::support::{WORKSPACE, log_of};
use changeset::{Author, Bundle, LogIncarnation, MemoryLog, Verified, encode_page};

const SECRET: &str = "Erika Mustermann, 0170 5550199";

fn entry(author: &mut Author) -> Verified {
    let mut drafted = draft(document(1), &[], vec![put("contact", SECRET), put("status", "passed")]);
    drafted.script.reason = Some("asked on site".into());
    let recorded = author.record(drafted, NOW).unwrap();
    author.sign(&recorded).unwrap()
}

#[test]
fn it_keeps_id_and_signature_and_hides_the_value() {
    let whole = entry(&mut author(1));
    let purged = whole.redact(&[1]);
    assert!(contains(&whole.to_bytes().unwrap(), SECRET.as_bytes()));
    let bytes = purged.to_bytes().unwrap();
    assert!(!contains(&bytes, SECRET.as_bytes()));
    let read = read_signed(&bytes).unwrap();
    assert_eq!((read.id(), read.signature()), (whole.id(), whole.signature()));
    assert_eq!(read.header(), whole.header());
    assert_eq!(read.skeleton(), whole.skeleton());
    assert!(read.body().is_purged() && !whole.body().is_purged());
    let values = [0, 1, 2].map(|index| read.body().value(index));
    assert_eq!(values, [Some(&b"asked on site"[..]), None, Some(&b"passed"[..])]);
    assert_eq!(read.body().value_count(), 3);
    assert_eq!(read.to_bytes().unwrap(), bytes);
}

/// The salt of the whole body would give those of the purged values, and with them a way to try guesses.
#[test]
fn it_drops_the_salt_of_the_whole() {
    let whole = entry(&mut author(1));
    let bytes = whole.body().to_bytes();
    let at = bytes.windows(17).position(|window| window[0] == 0x50).unwrap();
    let salt = &bytes[at + 1..at + 17];
    assert!(!contains(&whole.redact(&[1]).body().to_bytes(), salt));
    let guess = changeset::hash::value_salt(&salt.try_into().unwrap(), 1);
    assert!(!contains(&whole.redact(&[1]).body().to_bytes(), &guess));
    assert!(contains(&whole.redact(&[0]).body().to_bytes(), &guess), "a survivor carries its own");
}

#[test]
fn it_can_go_on_and_order_does_not_matter() {
    let whole = entry(&mut author(1));
    let steps = whole.redact(&[2]).redact(&[0]).redact(&[0]);
    assert_eq!(steps.body(), whole.redact(&[0, 2]).body());
    let all = whole.redact(&[0, 1, 2]);
    assert_eq!(read_signed(&all.to_bytes().unwrap()).unwrap().id(), whole.id());
    assert_eq!(whole.redact(&[3, 9]).body(), whole.body(), "what does not exist is passed over");
}

#[test]
fn it_survives_pages_and_bundles() {
    let mut author = author(1);
    let first = entry(&mut author).redact(&[1]);
    let second = record(&mut author, 1, &[]).redact(&[0]);
    let third = entry(&mut author);
    let entries = vec![first, second, third];
    let page = encode_page(&entries, &MemoryLog::new()).unwrap();
    assert!(contains(&page, SECRET.as_bytes()), "the third still has it");
    assert!(!contains(&encode_page(&entries[..1], &MemoryLog::new()).unwrap(), SECRET.as_bytes()));
    let read = read_page(&page, &MemoryLog::new()).unwrap();
    let bundle = Bundle {
        workspace: WORKSPACE,
        partition: partition(),
        log: LogIncarnation::from_bytes([1; 8]),
        entries: read.clone(),
    };
    let carried = Bundle::from_bytes(&bundle.to_bytes().unwrap(), |_| ()).unwrap().entries;
    for back in [read, carried] {
        assert_eq!(back, entries);
        for (back, entry) in back.iter().zip(&entries) {
            assert_eq!(back.body(), entry.body());
            assert_eq!(back.header(), entry.header());
        }
    }
}

/// A page on a log where an entry was purged since: references and times do not depend on values.
#[test]
fn pages_that_refer_to_a_purged_entry_stay_valid() {
    let mut author = author(1);
    let first = entry(&mut author);
    let second = entry(&mut author);
    let mut log = log_of([&first]);
    let page = encode_page(std::slice::from_ref(&second), &log).unwrap();
    log.replace(first.redact(&[0, 1, 2]));
    assert!(log.entries()[0].body().is_purged());
    assert_eq!(read_page(&page, &log).unwrap(), std::slice::from_ref(&second));
    assert_eq!(encode_page(&[second], &log).unwrap(), page);
}
