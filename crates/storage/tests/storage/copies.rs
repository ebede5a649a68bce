//! Copies, restores, other files: a store knows whether it is still the one that was closed.

use crate::support::{all, append, append_from, assert_clean, author, ids, key, log, memory, options, signed_chain};
use changeset::{LogPage, Signer};
use std::fs;
use std::path::Path;
use storage::{Backend, LogState, Opened, RedbBackend, Redraw, Source, StorageError, Store, Table};

fn open(path: &Path) -> (Store, Opened) {
    Store::open(path, options()).unwrap()
}

fn state(store: &Store) -> LogState {
    store.view().unwrap().log(&log()).unwrap().unwrap()
}

#[test]
fn a_store_that_nobody_touched_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, options()).unwrap();
    let entries = signed_chain(&mut author(1), 3);
    append(&store, &entries);
    let before = (store.device_key(), store.incarnation(), state(&store));
    drop(store);
    for _ in 0..2 {
        let (store, opened) = open(&path);
        assert_eq!(opened, Opened::Same);
        assert_eq!((store.device_key(), store.incarnation(), state(&store)), before);
        assert_eq!((ids(&all(&store)), store.role()), (ids(&entries), "device".to_owned()));
        assert_clean(&store);
    }
}

/// An older copy put back over the file, one put beside it, one without its mark: new incarnations, and no page that
/// names the old one.
#[test]
fn a_copy_draws_new_incarnations() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let store = Store::create(&path, options()).unwrap();
    let entries = signed_chain(&mut author(1), 3);
    append(&store, &entries[..1]);
    append(&store, &entries[1..]);
    let before = (store.device_key(), store.incarnation(), state(&store));
    let old_cursor = before.2.end;
    drop(store);
    fs::copy(&path, &copy).unwrap();
    fs::copy(folder.path().join("store.mark"), folder.path().join("copy.mark")).unwrap();
    drop(open(&path).0);
    // Written over the file in place: the inode stays.
    fs::write(&path, fs::read(&copy).unwrap()).unwrap();
    let without_mark = folder.path().join("other");
    fs::copy(&copy, &without_mark).unwrap();
    for (path, why) in [(&path, Redraw::Mark), (&copy, Redraw::File), (&without_mark, Redraw::Mark)] {
        let (store, opened) = open(path);
        assert_eq!(opened, Opened::Redrawn(why));
        let now = state(&store);
        assert_eq!(store.device_key(), before.0);
        assert_ne!(store.incarnation(), before.1);
        assert_ne!(now.end.log, old_cursor.log);
        assert_eq!((now.end.position, now.pages), (3, 2));
        let view = store.view().unwrap();
        assert!(!view.matches(&log(), &old_cursor).unwrap());
        assert!(view.matches(&log(), &now.end).unwrap());
        for page in view.pages(&log(), 0, 9).unwrap() {
            let frame = LogPage::from_bytes(&page.frame).unwrap();
            assert_eq!(frame.log, now.end.log);
            assert!(frame.is_sealed_by(&store.device_key(), &log().workspace));
        }
        drop(view);
        assert_eq!(ids(&all(&store)), ids(&entries));
        assert_clean(&store);
        drop(store);
        assert_eq!(open(path).1, Opened::Same);
    }
}

#[test]
fn a_store_is_redrawn_when_a_peer_showed_that_it_was_rolled_back() {
    let store = memory();
    append(&store, &signed_chain(&mut author(1), 3));
    let (before, incarnation) = (state(&store), store.incarnation());
    store.redraw(Redraw::RolledBack).unwrap();
    assert_ne!(state(&store).end.log, before.end.log);
    assert_ne!(store.incarnation(), incarnation);
    append(&store, &signed_chain(&mut author(2), 3));
    assert_clean(&store);
}

#[test]
fn a_backup_of_a_running_store_opens_elsewhere_as_redrawn() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("store"), folder.path().join("backup"));
    let store = Store::create(&path, options()).unwrap();
    let entries = signed_chain(&mut author(1), 40);
    entries.chunks(2).for_each(|two| drop(append(&store, two)));
    let mut heard = Vec::new();
    store.backup(&backup, |progress| heard.push(progress)).unwrap();
    let last = heard.last().unwrap();
    assert!(last.done == last.total && last.done > 8000, "{last:?}");
    append_from(&store, &signed_chain(&mut author(2), 1), Source::Own);
    assert!(matches!(store.backup(&backup, |_| {}), Err(StorageError::Path { .. })));
    let restored = folder.path().join("restored");
    Store::restore(&backup, &restored).unwrap();
    assert!(matches!(Store::restore(&backup, &restored), Err(StorageError::Path { .. })));
    for path in [&backup, &restored] {
        let (copy, opened) = open(path);
        assert_eq!(opened, Opened::Redrawn(Redraw::Backup));
        assert_eq!(copy.device_key(), store.device_key());
        assert_eq!(ids(&all(&copy)), ids(&entries));
        assert_clean(&copy);
    }
    assert!(
        fs::read_dir(folder.path())
            .unwrap()
            .all(|file| { !file.unwrap().file_name().to_string_lossy().contains("unfinished") })
    );
}

#[test]
fn other_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let error = |name: &str| Store::open(at(name), options()).unwrap_err();
    assert!(matches!(error("none"), StorageError::Path { .. }));
    fs::write(at("text"), "no store at all, but long enough for a header").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("short"), b"redb\x1a\x0a\xa9\x0d\x0a").unwrap();
    drop(redb::Database::create(at("redb")).unwrap());
    for name in ["text", "empty", "redb"] {
        let error = error(name);
        assert!(matches!(error, StorageError::NotAStore { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name));
        assert!(Store::restore(at(name), at("to")).is_err());
        assert!(!at("to").exists());
    }
    let short = error("short");
    assert!(matches!(short, StorageError::NotAStore { .. } | StorageError::Damaged(_) | StorageError::Io { .. }));

    let path = at("store");
    let store = Store::create(&path, options()).unwrap();
    assert!(matches!(Store::create(&path, options()), Err(StorageError::Path { .. })));
    let locked = error("store");
    assert!(matches!(locked, StorageError::Locked { .. }), "{locked}");
    drop(store);
    let backend = RedbBackend::open(&path, &options()).unwrap();
    let newer = [b"fieldbook store ".as_slice(), &2_u32.to_be_bytes()].concat();
    backend.write(&mut |write| write.put(Table::System, b"format", &newer)).unwrap();
    drop(backend);
    let newer = error("store");
    assert!(matches!(newer, StorageError::NewerFormat { found: 2, known: 1 }), "{newer}");
}

#[test]
fn a_store_of_a_hardware_key_keeps_no_secret_and_wants_that_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut with = options();
    with.signer = Some(key(5));
    let store = Store::create(&path, with.clone()).unwrap();
    assert_eq!(store.device_key(), key(5).public_key());
    drop(store);
    assert!(matches!(Store::open(&path, options()), Err(StorageError::WrongSigner { .. })));
    let mut other = options();
    other.signer = Some(key(6));
    assert!(matches!(Store::open(&path, other), Err(StorageError::WrongSigner { .. })));
    assert_eq!(Store::open(&path, with).unwrap().1, Opened::Same);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(32).any(|window| window == [5; 32]));
}
