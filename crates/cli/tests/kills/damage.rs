//! Bits that flip: where they are stored, and on the way.

use crate::support::{Desk, RelayProcess, office};
use crate::wire::{PAGE, Proxy, Way};
use fieldbook::storage::{LogKey, Options, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The frames of the pages of a log, as they lie in a store that nobody has open.
fn pages(store: &Path) -> Vec<(u64, Arc<[u8]>)> {
    let (store, _) = Store::open(store, Options::default()).unwrap();
    let view = store.view().unwrap();
    let log = view.logs().unwrap().into_iter().find(|log: &LogKey| log.partition == office()).unwrap();
    let pages = view.pages(&log, 0, usize::MAX).unwrap();
    pages.into_iter().map(|page| (page.first, page.frame)).collect()
}

/// Flips a bit wherever these bytes lie in a file. Gives how often.
fn flip(file: &Path, bytes: &[u8], at: usize) -> usize {
    let mut content = std::fs::read(file).unwrap();
    let places: Vec<usize> = content
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, window)| *window == bytes)
        .map(|(place, _)| place)
        .collect();
    for place in &places {
        content[place + at] ^= 4;
    }
    std::fs::write(file, content).unwrap();
    places.len()
}

#[test]
fn a_flipped_bit_in_a_stored_page_is_found_named_and_fetched_again() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.member("ben");
    let before = desk.converge(&["ana", "ben"], &relay);
    for (device, which) in [("ana", 0), ("ana", usize::MAX), ("ben", 0), ("ben", usize::MAX)] {
        let store = desk.store(device);
        let pages = pages(&store);
        let (first, frame) = &pages[which.min(pages.len() - 1)];
        // Somewhere in the packed entries.
        assert!(flip(&store, frame, frame.len() - 9) > 0);
        let place = format!("position {first}");
        let said = desk.run(&["-C", device, "verify"]);
        said.says(1, &["store is damaged", "office", &place, "verify --repair"]);
        // Nothing is made of what is damaged.
        assert_ne!(desk.run(&["-C", device, "text", "A-1", "notes", "--set", "Lost?"]).code, Some(0));
        desk.run(&["-C", device, "verify", "--repair", "ws://127.0.0.1:1"]).says(3, &["ws://127.0.0.1:1"]);
        let said = desk.run(&["-C", device, "verify", "--repair", &relay.url]);
        said.says(0, &["1 page fetched again", &place, &relay.url]);
        assert_eq!(desk.digest(device), before);
    }
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "Whole again."]);
    desk.converge(&["ana", "ben"], &relay);
    assert_eq!(desk.note("ben"), "Whole again.");
}

#[test]
fn what_no_relay_has_cannot_be_fetched_and_the_answer_says_so() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.sync("ana", &relay);
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "Not synced."]);
    let store = desk.store("ana");
    let pages = pages(&store);
    let (first, frame) = pages.last().unwrap();
    assert!(flip(&store, frame, frame.len() - 9) > 0);
    let said = desk.run(&["-C", "ana", "verify", "--repair", &relay.url]);
    said.says(1, &["does not have", "restore a backup", &format!("position {first}")]);
}

#[test]
fn a_flipped_bit_in_a_received_page_is_not_taken_and_comes_right_the_next_time() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.member("ben");
    desk.converge(&["ana", "ben"], &relay);
    for way in [Way::ToDevice, Way::ToRelay] {
        let (writes, other) = if way == Way::ToDevice { ("ana", "ben") } else { ("ben", "ana") };
        for from_end in [1, 40, 150, 300] {
            let before = desk.digest(other);
            let wanted = format!("{way:?} {from_end}");
            desk.ok(&["-C", writes, "text", "A-1", "notes", "--set", &wanted]);
            if way == Way::ToDevice {
                desk.sync(writes, &relay);
            }
            let flipped = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&flipped);
            let hand = move |going, mut bytes: Vec<u8>| {
                if going == way && bytes[0] == PAGE && count.fetch_add(1, Ordering::SeqCst) == 0 {
                    let at = bytes.len().saturating_sub(from_end).max(1);
                    bytes[at] ^= 1;
                }
                Some(bytes)
            };
            let proxy = Proxy::before(&relay.url, Arc::new(hand));
            let said = desk.run(&["-C", "ben", "sync", &proxy.url, "--timeout", "20"]);
            assert!(flipped.load(Ordering::SeqCst) > 0, "a page went by");
            // Either it is asked for in full and comes right at once, or the session ends and says why.
            eprintln!("{wanted}: {:?} {}", said.code, said.error.trim());
            if said.code != Some(0) {
                said.says(1, &[&proxy.url, "page", "sync again"]);
                if way == Way::ToDevice {
                    assert_eq!(desk.digest("ben"), before, "nothing of it was taken");
                }
            }
            desk.converge(&["ana", "ben"], &relay);
            assert_eq!(desk.note(other), wanted);
        }
    }
}
