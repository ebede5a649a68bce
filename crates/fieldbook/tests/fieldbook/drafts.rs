//! Work of those who are not let in yet, or not any more.

use crate::support::{PATIENCE, Site, converge, note, path, pier, relay, sync, until, write};
use fieldbook::{Connectivity, Edits, Error, Fieldbook, Invitation, Reached, Settings, Standing};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn work_done_before_the_grant_is_a_draft_and_counts_once_it_comes() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    sync(&site.ana, &relay);
    let ben = site.stranger("ben");
    let crane = ben.new_document("inspection").unwrap();
    let draft = write(&ben, &crane, "found a crack");
    assert_eq!(note(&ben, &crane).as_deref(), Some("found a crack"), "its author sees it");
    let denied = ben.sync(&relay.address(), PATIENCE).unwrap().denied;
    assert!(denied.iter().any(|(partition, why)| *partition == pier() && why.contains("grant")), "{denied:?}");
    assert_eq!(ben.reached(&draft).unwrap(), Reached::Device);
    assert_eq!(ben.outbox_now().unwrap().count, 2, "the draft and the device's name wait");

    site.ana.grant(&pier(), &Invitation::new(ben.key(), "Ben", "inspector", 0)).unwrap();
    converge(&[&site.ana, &ben], &relay);
    assert_eq!(note(&site.ana, &crane).as_deref(), Some("found a crack"));
    assert_eq!(ben.reached(&draft).unwrap(), Reached::Relay);
    assert_eq!(ben.outbox_now().unwrap().count, 0);
    assert!(ben.partition(&pier()).unwrap().undecided().unwrap().is_empty());
}

#[test]
fn the_door_opens_while_a_stranger_stands_before_it() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let ben = site.stranger("ben");
    let crane = ben.new_document("inspection").unwrap();
    write(&ben, &crane, "found a crack");
    let links = (site.ana.connect(&relay.address()).unwrap(), ben.connect(&relay.address()).unwrap());
    until(&ben, || matches!(links.1.connectivity().now(), Connectivity::Restricted { .. }));
    site.ana.grant(&pier(), &Invitation::new(ben.key(), "Ben", "inspector", 0)).unwrap();
    until(&site.ana, || note(&site.ana, &crane).as_deref() == Some("found a crack"));
    until(&ben, || matches!(links.1.connectivity().now(), Connectivity::UpToDate { .. }));
}

#[test]
fn an_expired_grant_leaves_the_device_reading() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let now_ms = site.ana.replica().now_ms();
    let clock = Arc::new(AtomicU64::new(now_ms));
    let mut settings = Settings::new().unwrap();
    let hand = Arc::clone(&clock);
    settings.replica.clock = Arc::new(move || hand.load(Ordering::SeqCst));
    let file = site.folder.path().join("ben");
    let ben = Fieldbook::join(file, site.ana.workspace(), "ben", &[pier()], settings).unwrap();
    let mut hour = Invitation::new(ben.key(), "Ben", "inspector", 0);
    hour.not_after_ms = now_ms + 3_600_000;
    site.ana.grant(&pier(), &hour).unwrap();
    let crane = site.ana.new_document("inspection").unwrap();
    write(&site.ana, &crane, "seen");
    converge(&[&site.ana, &ben], &relay);
    write(&ben, &crane, "in time ");

    clock.store(now_ms + 2 * 3_600_000, Ordering::SeqCst);
    let at_ben = ben.partition(&pier()).unwrap();
    let late = at_ben.edit(&crane, "note", |tx| tx.insert_text(&path("note"), 0, "late "));
    assert!(matches!(late, Err(Error::NotPermitted(_))), "{late:?}");
    assert_eq!(note(&ben, &crane).as_deref(), Some("in time seen"), "what is here can be read");
    let standing = ben.standing(&pier()).unwrap();
    assert_eq!(standing, Standing::ViewOnly { expired_ms: now_ms + 3_600_000 });
    // What was written in time still goes out, and counts.
    sync(&ben, &relay);
    sync(&site.ana, &relay);
    assert_eq!(note(&site.ana, &crane).as_deref(), Some("in time seen"));
}
