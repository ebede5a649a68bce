//! A device as an app that embeds the crate: this test binary, started again. It prints what it did in lines that begin
//! with `> `, each after the call that did it has returned.

use crate::support::{PATIENCE, office};
use fieldbook::{ChangeSetId, DocumentKey, Edits, Error, Fieldbook, Kind, Path, Reached, Saved, Settings, State};
use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The variable with what the device is to do, one word in a line.
pub(crate) const ARGUMENTS: &str = "FIELDBOOK_TEST_DEVICE";

/// What other tests start as a process of its own; without the variable there is nothing to do.
#[test]
fn a_device() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let words: Vec<&str> = arguments.lines().collect();
    // The harness has begun a line of its own.
    println!();
    match words[..] {
        ["write", store, name] => write(store, name, None),
        ["write", store, name, url] => write(store, name, Some(url)),
        ["hold", store] => hold(store),
        ["at", store, days, text] => at(store, days, text),
        ["type", store] => crate::traces::type_trace(store),
        _ => panic!("{words:?}"),
    }
}

pub(crate) fn say(line: &str) {
    println!("> {line}");
}

pub(crate) fn notes() -> Path {
    Path::new("notes").unwrap()
}

pub(crate) fn order(book: &Fieldbook) -> DocumentKey {
    let partition = book.partition(&office()).unwrap();
    partition.refresh_lists(|_, _| ()).unwrap();
    let all = partition.list(Some(&Kind::new("order").unwrap()), &fieldbook::Filter::all()).unwrap();
    all.first().expect("the device has the order").key.clone()
}

fn insert(book: &Fieldbook, order: &DocumentKey, text: &str) -> Saved {
    let partition = book.partition(&office()).unwrap();
    partition.edit(order, "edit_text", |tx| tx.insert_text(&notes(), 0, text)).unwrap().unwrap()
}

/// Writes until it is killed, and says of each change when it is saved and when a relay has it.
fn write(store: &str, name: &str, url: Option<&str>) {
    let book = Fieldbook::open(store, Settings::new().unwrap()).unwrap();
    let order = order(&book);
    let _link = url.map(|url| book.connect(url).unwrap());
    let (send, saved) = channel();
    if url.is_some() {
        let book = book.clone();
        std::thread::spawn(move || tell_receipts(&book, &saved));
    }
    say(if book.was_put_back() { "open again" } else { "open" });
    for number in 0_u64.. {
        let saved = insert(&book, &order, &format!("{name}{number} "));
        say(&format!("saved {}", saved.id));
        let _nobody_waits = send.send(saved);
        if url.is_some() {
            // As fast as three people who never sleep, not as fast as the disk.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn tell_receipts(book: &Fieldbook, saved: &Receiver<Saved>) {
    for saved in saved {
        book.wait_blocking(&saved, Reached::Relay, PATIENCE * 10).unwrap();
        say(&format!("relayed {}", saved.id));
    }
}

/// Keeps the store open until nobody writes to it any more.
fn hold(store: &str) {
    let book = Fieldbook::open(store, Settings::new().unwrap()).unwrap();
    say("open");
    wait_for_end();
    book.close();
}

/// Writes one text as a device whose clock is so many days off, or at `1970`.
fn at(store: &str, days: &str, text: &str) {
    let mut settings = Settings::new().unwrap();
    let system = fieldbook::replica::system_clock();
    let days: Option<i64> = days.parse().ok();
    settings.replica.clock = Arc::new(move || match days {
        Some(days) => system().saturating_add_signed(days * 86_400_000),
        None => 1_000,
    });
    let book = Fieldbook::open(store, settings).unwrap();
    let partition = book.partition(&office()).unwrap();
    match partition.edit(&order(&book), "edit_text", |tx| tx.insert_text(&notes(), 0, text)) {
        Ok(saved) => say(&format!("saved {}", saved.unwrap().id)),
        Err(Error::NotPermitted(why)) => say(&format!("not permitted: {why}")),
        Err(error) => panic!("{error}"),
    }
    drop(partition);
    book.close();
}

pub(crate) fn wait_for_end() {
    for _ in std::io::stdin().lock().lines() {}
}

/// The ids of the lines that begin so.
pub(crate) fn ids(lines: &[String], beginning: &str) -> Vec<ChangeSetId> {
    lines.iter().filter_map(|line| line.strip_prefix(beginning)).map(|id| crate::support::id(id.trim())).collect()
}

/// The text as a device shows it.
pub(crate) fn text(book: &Fieldbook, order: &DocumentKey) -> String {
    let partition = book.partition(&office()).unwrap();
    partition.document(order, |document| document.text(&notes())).unwrap().flatten().unwrap_or_default()
}
