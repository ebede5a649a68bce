//! Stores that were put back or copied: all edits of all sides end up everywhere, and nobody enrols again.

use crate::support::{PATIENCE, Site, converge, note, pier, relay, sync, write};
use fieldbook::{Fieldbook, Reached, Settings};
use std::time::Duration;

fn open(file: &std::path::Path) -> Fieldbook {
    Fieldbook::open(file, Settings::new().unwrap()).unwrap()
}

/// The classic: the tablet is put back from yesterday's backup, its person goes on working, and the old numbers are used
/// twice.
#[test]
fn a_device_put_back_from_yesterday_gets_its_lost_work_back_and_keeps_the_new() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let ben = site.member("ben");
    let crane = site.ana.new_document("inspection").unwrap();
    write(&ben, &crane, "monday ");
    converge(&[&site.ana, &ben], &relay);
    let backup = site.folder.path().join("backup");
    ben.backup(&backup, |_| ()).unwrap();
    write(&ben, &crane, "tuesday ");
    write(&site.ana, &crane, "ana ");
    converge(&[&site.ana, &ben], &relay);
    let key = ben.key();
    ben.close();

    let file = site.folder.path().join("ben put back");
    Fieldbook::restore(&backup, &file).unwrap();
    let ben = open(&file);
    assert!(ben.was_put_back(), "a backup knows that it is one");
    assert_eq!(ben.key(), key, "nobody enrols again");
    assert_eq!(note(&ben, &crane).as_deref(), Some("monday "));
    let wednesday = write(&ben, &crane, "wednesday ");
    converge(&[&site.ana, &ben], &relay);
    let text = note(&site.ana, &crane).unwrap();
    for day in ["monday", "tuesday", "wednesday", "ana"] {
        assert_eq!(text.matches(day).count(), 1, "{text:?}");
    }
    assert_eq!(ben.reached(&wednesday).unwrap(), Reached::Relay);
}

/// A phone is copied onto another one, file by file, and both are used.
#[test]
fn a_cloned_device_and_its_original_lose_nothing_while_both_are_connected() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let ben = site.member("ben");
    let crane = site.ana.new_document("inspection").unwrap();
    write(&ben, &crane, "before ");
    converge(&[&site.ana, &ben], &relay);
    ben.close();
    let (original, clone) = (site.folder.path().join("ben"), site.folder.path().join("clone"));
    std::fs::copy(&original, &clone).unwrap();
    let (ben, twin) = (open(&original), open(&clone));
    assert!(twin.was_put_back(), "the copy has no mark beside it");
    write(&ben, &crane, "original ");
    write(&twin, &crane, "copy ");
    let links = [&ben, &twin, &site.ana].map(|book| book.connect(&relay.address()).unwrap());
    for (book, link) in [&ben, &twin].into_iter().zip(&links) {
        let saved = write(book, &crane, "live ");
        book.wait_blocking(&saved, Reached::Relay, PATIENCE).unwrap();
        drop(link.connectivity());
    }
    let everything = |book: &Fieldbook| {
        note(book, &crane).is_some_and(|text| {
            text.matches("live").count() == 2
                && ["before", "original", "copy"].iter().all(|word| text.matches(word).count() == 1)
        })
    };
    for book in [&ben, &twin, &site.ana] {
        crate::support::until(book, || everything(book));
    }
    drop(links);
    converge(&[&ben, &twin, &site.ana], &relay);
}

/// The operator puts yesterday's copy of the relay back, and others push to it before the devices that know better come.
#[test]
fn a_relay_put_back_and_grown_past_the_old_place_gets_everything_again() {
    let site = Site::new();
    let (folder, copy) = (site.folder.path().join("relay"), site.folder.path().join("relay.copy"));
    let first = relay(&folder);
    let (ben, eve) = (site.member("ben"), site.member("eve"));
    let crane = site.ana.new_document("inspection").unwrap();
    write(&site.ana, &crane, "old ");
    converge(&[&site.ana, &ben, &eve], &first);
    first.stop();
    std::fs::copy(folder.join("relay.redb"), &copy).unwrap();

    let second = relay(&folder);
    let lost = write(&ben, &crane, "lost-at-the-relay ");
    sync(&ben, &second);
    sync(&site.ana, &second);
    assert_eq!(ben.reached(&lost).unwrap(), Reached::Relay);
    second.stop();

    // Put back over the file, in place: the relay itself cannot tell.
    std::fs::write(folder.join("relay.redb"), std::fs::read(&copy).unwrap()).unwrap();
    let third = relay(&folder);
    for word in ["one ", "two ", "three "] {
        write(&eve, &crane, word);
        sync(&eve, &third);
    }
    converge(&[&site.ana, &ben, &eve], &third);
    let text = note(&eve, &crane).unwrap();
    for word in ["old", "lost-at-the-relay", "one", "two", "three"] {
        assert_eq!(text.matches(word).count(), 1, "{text:?}");
    }
}

/// A relay that lost what it had acknowledged: the device says so as soon as it meets it, not after the next edit.
#[test]
fn what_a_relay_lost_is_not_called_synced() {
    let site = Site::new();
    let folder = site.folder.path().join("relay");
    let first = relay(&folder);
    let crane = site.ana.new_document("inspection").unwrap();
    let saved = write(&site.ana, &crane, "kept ");
    sync(&site.ana, &first);
    assert_eq!(site.ana.reached(&saved).unwrap(), Reached::Relay);
    assert_eq!(site.ana.outbox_now().unwrap().count, 0);
    first.stop();
    std::fs::remove_dir_all(&folder).unwrap();
    let empty = relay(&folder);
    // Another key and an empty log: what the lost relay signed says nothing of this one.
    let saved_now = write(&site.ana, &crane, "new ");
    site.ana.wait_blocking(&saved_now, Reached::Relay, Duration::from_millis(1)).unwrap_err();
    sync(&site.ana, &empty);
    assert_eq!(site.ana.reached(&saved_now).unwrap(), Reached::Relay);
    let ben = site.member("ben");
    converge(&[&site.ana, &ben], &empty);
    assert_eq!(note(&ben, &crane).as_deref(), Some("new kept "));
    assert!(ben.partitions().unwrap().contains(&pier()));
}
