//! Lists are read without opening documents, and are complete when they were brought up to date.

use crate::support::{Site, harbour, path, pier};
use fieldbook::{
    Bundle, DeviceKey, DocumentKey, Edits, Error, Fieldbook, Filter, Invitation, Kind, Partition, Settings, Value,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use storage::{Backend, MemoryBackend, Read, StorageError, Store, Write};

fn with_status(partition: &Partition, status: &str) -> Vec<DocumentKey> {
    let kind = Kind::new("inspection").unwrap();
    let listed = partition.list(Some(&kind), &Filter::equal("status", &Value::from(status))).unwrap();
    listed.into_iter().map(|listed| listed.key).collect()
}

fn inspection(book: &Fieldbook, status: &str) -> DocumentKey {
    let key = book.new_document("inspection").unwrap();
    let put = |tx: &mut crdt::Transaction<'_>| tx.put(&path("status"), status.into());
    book.partition(&pier()).unwrap().edit(&key, "create", put).unwrap();
    key
}

/// How many documents had to be looked at.
fn refresh(partition: &Partition) -> usize {
    let mut looked_at = 0;
    partition.refresh_lists(|_, of| looked_at = of).unwrap();
    looked_at
}

#[test]
fn lists_follow_what_was_written_and_what_counts_across_openings() {
    let site = Site::new();
    let own = inspection(&site.ana, "draft");
    let ben = site.stranger("ben");
    let theirs = inspection(&ben, "scheduled");
    let bundles = Bundle::read_all(&ben.export(&pier()).unwrap(), |_| ()).unwrap();
    assert_eq!(site.ana.import(bundles).unwrap().new, 2, "a device names itself, and one inspection");

    let file = site.folder.path().join("ana");
    let ana = site.ana;
    refresh(&ana.partition(&pier()).unwrap());
    ana.close();
    let open = || Fieldbook::open(&file, Settings::new().unwrap()).unwrap();
    let ana = open();
    let partition = ana.partition(&pier()).unwrap();
    assert_eq!(refresh(&partition), 0, "nothing moved since, and nothing is read");
    assert_eq!(with_status(&partition, "draft"), [own]);
    assert_eq!(with_status(&partition, "scheduled"), [], "what does not count is not found");

    // The grant adds nothing to the document, and lets it count.
    ana.grant(&pier(), &Invitation::new(ben.key(), "Ben", "inspector", 0)).unwrap();
    drop(partition);
    ana.close();
    let ana = open();
    let partition = ana.partition(&pier()).unwrap();
    refresh(&partition);
    assert_eq!(with_status(&partition, "scheduled"), std::slice::from_ref(&theirs));

    // What a program that ended at once left behind is caught up with, and nothing else is looked at.
    partition.edit(&theirs, "plan", |tx| tx.put(&path("status"), "in_progress".into())).unwrap();
    drop(partition);
    drop(ana);
    let ana = open();
    let partition = ana.partition(&pier()).unwrap();
    assert!(refresh(&partition) <= 1);
    assert_eq!(with_status(&partition, "scheduled"), []);
    assert_eq!(with_status(&partition, "in_progress"), [theirs]);
    assert_eq!(refresh(&partition), 0);
}

#[test]
fn drafts_and_what_an_app_remembers_stay_on_the_device() {
    let site = Site::new();
    let partition = site.ana.partition(&pier()).unwrap();
    partition.keep_draft("1", b"typed in vain").unwrap();
    site.ana.remember("theme", Some(b"dark")).unwrap();
    let bundle = site.ana.export(&pier()).unwrap();
    assert!(!bundle.windows(5).any(|window| window == b"typed"));
    assert_eq!(partition.drafts().unwrap(), [("1".to_owned(), b"typed in vain".to_vec())]);
    assert_eq!(site.ana.remembered("theme").unwrap().as_deref(), Some(&b"dark"[..]));
    partition.discard_draft("1").unwrap();
    site.ana.remember("theme", None).unwrap();
    assert!(partition.drafts().unwrap().is_empty());
    assert_eq!(site.ana.remembered("theme").unwrap(), None);
}

/// Tables in memory, as on a disk that has no room for a while.
#[derive(Debug, Default)]
struct Crowded {
    tables: MemoryBackend,
    is_full: AtomicBool,
    commits: AtomicUsize,
}

impl Backend for Crowded {
    fn read(&self) -> Result<Box<dyn Read + Send + Sync>, StorageError> {
        self.tables.read()
    }

    fn write(&self, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>) -> Result<(), StorageError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(StorageError::Full { doing: "committing" });
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.tables.write(write)
    }

    fn compact(&self) -> Result<(), StorageError> {
        self.tables.compact()
    }

    fn size(&self) -> Result<u64, StorageError> {
        self.tables.size()
    }

    fn reopen(&self) -> Result<(), StorageError> {
        self.tables.reopen()
    }
}

/// A device over such a disk, whose background runs when it is told to.
fn crowded() -> (Arc<Crowded>, Fieldbook) {
    let disk = Arc::new(Crowded::default());
    let mut options = storage::Options::default();
    options.is_stepped = true;
    let store = Store::with_backend(Arc::clone(&disk) as Arc<dyn Backend>, options).unwrap();
    let root = DeviceKey::from_secret(&[7; 32]);
    (disk, Fieldbook::create_in(store, &harbour(&root), Settings::new().unwrap()).unwrap())
}

/// The disk was full when the list was to be written: nobody may be told afterwards that it is complete without it.
#[test]
fn a_list_record_that_could_not_be_written_is_written_later() {
    let (disk, ana) = crowded();
    let partition = ana.partition(&pier()).unwrap();
    refresh(&partition);
    let first = inspection(&ana, "draft");
    disk.is_full.store(true, Ordering::Relaxed);
    assert!(matches!(partition.refresh_lists(|_, _| ()), Err(Error::Storage(_))));
    disk.is_full.store(false, Ordering::Relaxed);
    let second = inspection(&ana, "scheduled");
    refresh(&partition);
    assert_eq!(with_status(&partition, "draft"), [first]);
    assert_eq!(with_status(&partition, "scheduled"), [second]);
}

/// Each commit is a sync of the disk.
#[test]
fn an_edit_and_what_lists_show_of_it_are_two_commits() {
    let (disk, ana) = crowded();
    let document = inspection(&ana, "draft");
    while ana.step().unwrap() {}
    let before = disk.commits.load(Ordering::Relaxed);
    let partition = ana.partition(&pier()).unwrap();
    partition.edit(&document, "plan", |tx| tx.put(&path("status"), "scheduled".into())).unwrap();
    while ana.step().unwrap() {}
    assert_eq!(disk.commits.load(Ordering::Relaxed) - before, 2);
    assert_eq!(with_status(&partition, "scheduled"), [document]);
    assert_eq!(refresh(&partition), 0);
    assert_eq!(disk.commits.load(Ordering::Relaxed) - before, 2, "the lists are known to be complete");
}
