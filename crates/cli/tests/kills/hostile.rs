//! What others send that must not count: refused or put aside with a sentence, and right again once it is put right.

use crate::support::{App, Desk, OFFICE, RelayProcess, office};
use crate::wire::{Answering, PAGE, Proxy, Way, send_raw};
use fieldbook::changeset::{self, Bundle, Verified, decode_page, encode_page};
use fieldbook::storage::{LogKey, Options, Store};
use fieldbook::{DeviceKey, Signer as _};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A handshake of these versions, from a key that nobody knows.
fn hello(min: u64, max: u64) -> Vec<u8> {
    let mut out = changeset::cbor::Writer::new();
    out.array(8);
    out.text("fieldbook");
    out.uint(min);
    out.uint(max);
    out.bytes(&[1; 32]);
    out.bytes(DeviceKey::from_secret(&[1; 32]).public_key().as_bytes());
    out.bytes(&[2; 32]);
    out.uint(0);
    out.uint(4 << 20);
    [vec![16], out.into_bytes()].concat()
}

fn refusal(code: u64, text: &str) -> Vec<u8> {
    let mut out = changeset::cbor::Writer::new();
    out.array(3);
    out.uint(code);
    out.text(text);
    out.null();
    [vec![19], out.into_bytes()].concat()
}

fn text_of(answers: &[Vec<u8>]) -> String {
    answers.iter().map(|answer| String::from_utf8_lossy(answer).into_owned()).collect()
}

#[test]
fn a_forged_signature_is_refused_and_stays_where_it_is() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.member("ben");
    let before = desk.converge(&["ana", "ben"], &relay);
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "Signed by Ben."]);
    // Into Ben's own store, as somebody would who has the device and not the key.
    let put = |is_forged: bool| {
        let (store, _) = Store::open(desk.store("ben"), Options::default()).unwrap();
        let view = store.view().unwrap();
        let log = view.logs().unwrap().into_iter().find(|log: &LogKey| log.partition == office()).unwrap();
        let end = view.log(&log).unwrap().unwrap().end.position;
        let page = view.page_at(&log, end - 1).unwrap().unwrap();
        let entries: Vec<Verified> = view.entries(&log, page.first..end).unwrap();
        let signature = entries.last().unwrap().signature().unwrap();
        let reader = view.log_reader(&log).unwrap();
        let mut bytes = encode_page(&entries, &reader).unwrap();
        let signature = &signature.as_bytes()[..];
        let at = bytes.windows(64).position(|window| window == signature).unwrap();
        bytes[at + 20] ^= 1;
        let trusted = decode_page(&bytes, &log.workspace, &log.partition, &reader).unwrap().danger_trust();
        reader.finish().unwrap();
        drop(view);
        if is_forged {
            store.repair(&log, page.first, trusted).unwrap();
        }
        page.first
    };
    let first = put(true);
    let said = desk.run(&["-C", "ben", "verify"]);
    said.says(1, &["signature does not hold", &format!("position {first}")]);
    let said = desk.run(&["-C", "ben", "sync", &relay.url, "--timeout", "20"]);
    said.says(1, &[&relay.url, "signature"]);
    // Nobody got it, and the relay serves on.
    assert_eq!(desk.converge(&["ana"], &relay), before);
    // The same flip again makes it right.
    put(true);
    desk.converge(&["ana", "ben"], &relay);
    assert_eq!(desk.note("ana"), "Signed by Ben.");
}

#[test]
fn an_author_whom_nobody_let_in_counts_nowhere_until_somebody_does() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    let before = desk.converge(&["ana"], &relay);
    let key = desk.stranger("eve");
    let order = r#"{"number":"E-1","currency":"EUR","customer_number":"C9","customer_name":"Eve"}"#;
    let said = desk.run(&["-C", "eve", "do", "new:order", "create", order]);
    said.says(0, &["not let into office yet", "counts once it is"]);
    let said = desk.run(&["-C", "eve", "sync", &relay.url]);
    said.says(1, &[OFFICE, "grant"]);
    assert_eq!(desk.converge(&["ana"], &relay), before, "nothing went through the relay");
    // On a stick it comes all the same: before its grant. It is held, and shown as such.
    desk.ok(&["-C", "eve", "export", "--signed", "eve.fieldbook"]);
    let said = desk.run(&["-C", "ana", "merge", "eve.fieldbook"]);
    said.says(0, &["do not count", "fieldbook status"]);
    desk.run(&["-C", "ana", "show", "E-1"]).says(3, &["E-1"]);
    desk.run(&["-C", "ana", "status"]).says(0, &["do not count", "has no grant in office", "ask who admits devices"]);
    let held = desk.digest("ana");
    // The grant comes after the data, and all of it counts.
    desk.ok(&["-C", "ana", "grant", &key, "--person", "Eve"]);
    assert_ne!(desk.digest("ana"), held);
    desk.ok(&["-C", "ana", "show", "E-1"]);
    // In Ana's log the work stands before the grant, so the relay, which has judged it by then, wants it offered again.
    let said = desk.run(&["-C", "ana", "sync", &relay.url]);
    assert!(said.code == Some(0) || said.error.contains("is offered again"), "{said:?}");
    desk.converge(&["ana", "eve"], &relay);
    assert_eq!(desk.json(&["-C", "eve", "status"])["outbox"]["count"], 0);
}

#[test]
fn an_expired_grant_leaves_a_device_reading_and_its_words_as_drafts() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    let key = desk.stranger("ben");
    desk.ok(&["-C", "ana", "grant", &key, "--person", "Ben", "--until", "1h"]);
    let before = desk.converge(&["ana", "ben"], &relay);
    // Two days later by its clock.
    let mut app = App::start(&["at", desk.store("ben").to_str().unwrap(), "2", "Too late. "]);
    let why = app.hears("not permitted:");
    assert!(why.contains("ended") && why.contains("ask for a new one"), "{why}");
    app.end();
    assert_eq!(desk.converge(&["ana", "ben"], &relay), before);
    // The command has only the system's clock: this grant ended before it came.
    let key = desk.stranger("eve");
    desk.ok(&["-C", "ana", "grant", &key, "--person", "Eve", "--until", "2020-12-31"]);
    desk.sync("ana", &relay);
    desk.run(&["-C", "eve", "sync", &relay.url]).says(1, &[OFFICE, "its grant has ended", "for a new one"]);
    // What comes on a stick can be read all the same; what is typed is kept as a draft.
    desk.ok(&["-C", "ana", "export", "--signed", "ana.fieldbook"]);
    desk.ok(&["-C", "eve", "merge", "ana.fieldbook"]);
    assert_eq!(desk.note("eve"), "Ring at gate 4.");
    let before = desk.digest("eve");
    let said = desk.run(&["-C", "eve", "text", "A-1", "notes", "--set", "Typed too late."]);
    said.says(1, &["ended 2020-12-31", "ask for a new one", "draft"]);
    assert_eq!(desk.digest("eve"), before);
    desk.run(&["-C", "eve", "drafts", "show", "1"]).says(0, &["Typed too late."]);
    desk.ok(&["-C", "ana", "grant", &key, "--person", "Eve"]);
    desk.converge(&["ana", "eve"], &relay);
    desk.ok(&["-C", "eve", "drafts", "retry", "1"]);
    desk.converge(&["ana", "eve"], &relay);
    assert_eq!(desk.note("ana"), "Typed too late.");
    assert_eq!(desk.json(&["-C", "eve", "drafts"]), serde_json::json!([]));
}

#[test]
fn another_workspace_is_turned_away_at_both_doors() {
    let (desk, other) = (Desk::new(), Desk::new());
    let before = desk.digest("ana");
    let own = desk.workspace();
    let relay = RelayProcess::start(&desk.path("relay"), &["--set", &format!("workspaces={own}")]);
    desk.sync("ana", &relay);
    other.run(&["-C", "ana", "sync", &relay.url]).says(1, &["is not kept here", "ask who runs this relay"]);
    let file = desk.path("other.fieldbook");
    other.ok(&["-C", "ana", "export", "--signed", file.to_str().unwrap()]);
    desk.run(&["-C", "ana", "merge", "other.fieldbook"])
        .says(3, &["other.fieldbook", "workspace", "nothing was taken"]);
    assert_eq!(desk.digest("ana"), before);
    desk.sync("ana", &relay);
}

#[test]
fn a_frame_over_the_limit_and_an_old_version_get_a_sentence_and_harm_nobody() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    let before = desk.converge(&["ana"], &relay);
    let large = vec![0; changeset::limits::MAX_PAGE_BYTES + 2048];
    let said = text_of(&send_raw(&relay.url, large));
    assert!(said.to_lowercase().contains("too l") || said.contains("limit") || said.contains("size"), "{said}");
    let said = text_of(&send_raw(&relay.url, hello(0, 0)));
    assert!(said.contains("versions 0 to 0") && said.contains("update"), "{said}");
    assert_eq!(desk.converge(&["ana"], &relay), before);
    // The other way round: a relay of another age, which says so in its own words.
    let old = Answering::with(refusal(2, "this relay speaks versions 7 to 9; update your program"));
    let said = desk.run(&["-C", "ana", "sync", &old.url, "--timeout", "10"]);
    said.says(1, &[&old.url, "versions 7 to 9", "update"]);
    let large = Answering::with(vec![1; changeset::limits::MAX_PAGE_BYTES + 2048]);
    let said = desk.run(&["-C", "ana", "sync", &large.url, "--timeout", "10"]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    assert!(said.error.contains(&large.url), "{}", said.error);
    assert_eq!(desk.converge(&["ana"], &relay), before);
}

#[test]
fn what_lacks_its_parent_is_not_shown_without_it() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.member("ben");
    desk.converge(&["ana", "ben"], &relay);
    desk.ok(&["-C", "ana", "export", "--signed", "start.fieldbook"]);
    // Two change sets in two pages of the relay's log, of which the first is lost on the way.
    for words in ["Parent.", "Child."] {
        desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", words]);
        desk.sync("ana", &relay);
    }
    desk.ok(&["-C", "ana", "export", "--signed", "whole.fieldbook"]);
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let proxy = Proxy::before(
        &relay.url,
        Arc::new(move |way, frame: Vec<u8>| {
            let is_lost = way == Way::ToDevice && frame[0] == PAGE && count.fetch_add(1, Ordering::SeqCst) == 0;
            (!is_lost).then_some(frame)
        }),
    );
    let before = desk.digest("ben");
    let said = desk.run(&["-C", "ben", "sync", &proxy.url, "--timeout", "5"]);
    if said.code != Some(0) {
        said.says(1, &[&proxy.url, "a page is missing", "sync again"]);
    }
    assert!(lost.load(Ordering::SeqCst) > 0, "a page was lost");
    let note = desk.note("ben");
    assert!(note == "Ring at gate 4." && desk.digest("ben") == before || note == "Child.", "{note}");
    desk.converge(&["ana", "ben"], &relay);
    assert_eq!(desk.note("ben"), "Child.");
    // A bundle cannot even be written so.
    let read = |name: &str| Bundle::read_all(&fs::read(desk.path(name)).unwrap(), |_| ()).unwrap();
    let (mut start, whole) = (read("start.fieldbook"), read("whole.fieldbook"));
    start.last_mut().unwrap().entries.push(whole.last().unwrap().entries.last().unwrap().clone());
    let error = start.last().unwrap().to_bytes().unwrap_err().to_string();
    assert!(error.contains("previous change set"), "{error}");
}

#[test]
fn a_broken_row_and_a_command_against_the_rules_change_nothing() {
    let desk = Desk::new();
    let mapping = "kind = \"order\"\nsource = \"rows.csv\"\nkey = \"No\"\n\
                   [[field]]\npath = \"freight\"\ncolumn = \"Freight\"\ntype = \"decimal\"\n";
    fs::write(desk.path("rows.toml"), mapping).unwrap();
    fs::write(desk.path("rows.csv"), "No,Freight\n1,3.50\n2,cheap\n3,4\n").unwrap();
    let before = desk.digest("ana");
    let import = ["-C", "ana", "import", "--mapping", "rows.toml"];
    desk.run(&import).says(3, &["nothing was imported", "rows.csv", "line 3", "Freight", "cheap"]);
    assert_eq!(desk.digest("ana"), before);
    desk.run(&["-C", "ana", "do", "A-1", "deliver"]).says(1, &["nothing was changed", "status"]);
    assert_eq!(desk.digest("ana"), before);
    fs::write(desk.path("rows.csv"), "No,Freight\n1,3.50\n2,7\n3,4\n").unwrap();
    assert_eq!(desk.json(&import)["new"], 3);
}
