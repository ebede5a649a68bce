#![no_main]
//! A store with known content whose file, or whose rows, were changed behind its back.
//!
//! Proves: opening, reading, verifying, repairing, appending, merging and compacting give an error or an answer, never a
//! panic that gets out; an entry that is given as right is one that was written, with the header and body that it had;
//! a store that verifies as clean holds what it held at some commit; and one that nothing was done to holds exactly what
//! was written.

use arbitrary::Arbitrary;
use changeset::{
    Author, Cursor, DocumentId, DocumentKey, Draft, Edit, IntentName, Kind, LogIncarnation, Partition, Path,
    RunningHash, Script, Value, Verified,
};
use fieldbook_fuzz::harm::{Disk, FileHarm, RowHarm, harm_file, harm_rows, used};
use fieldbook_fuzz::{author, partition, workspace};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use storage::{
    Backend, Batch, DocumentRecord, Held, Lane, LogKey, MemoryBackend, MergeLimits, Options, Random, RedbBackend,
    Source, StorageError, Store,
};

/// What redb said when it panicked last: it trusts its file, and the store catches that. Only what gets out is a fault.
static PANIC: Mutex<String> = Mutex::new(String::new());

#[derive(Arbitrary, Clone, Debug)]
struct Plan {
    harm: Harm,
    acts: Vec<Act>,
}

#[derive(Arbitrary, Clone, Debug)]
enum Harm {
    /// Of the file that redb keeps.
    File(Vec<FileHarm>),
    /// Of rows in such a file, whose checksums then hold.
    RowsInFile(Vec<RowHarm>),
    /// Of rows, without a file below them: many more cases in the same time.
    Rows(Vec<RowHarm>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Act {
    Verify,
    Repair,
    Append,
    AppendPeers,
    Note,
    Release,
    Merge,
    Compact,
    Redraw,
    Open,
}

fn log(number: u8) -> LogKey {
    let name = if number == 0 { partition() } else { Partition::new("south").expect("a name") };
    LogKey::new(workspace(), name)
}

fn document(number: u8) -> DocumentKey {
    let kind = if number == 9 { "access" } else { "inspection" };
    DocumentKey { kind: Kind::new(kind).expect("a kind"), id: DocumentId::from_parts(7, [number; 10]) }
}

fn record(author: &mut Author, number: u8, parents: &[&Verified], grant: Option<&Verified>) -> Verified {
    let edits = vec![Edit::Put { path: Path::new("status").expect("a path"), value: Value::Int(i64::from(number)) }];
    let draft = Draft {
        document: document(number),
        parents: parents.iter().map(|parent| parent.id()).collect(),
        grant: grant.map(Verified::id),
        schema_version: 1,
        intent: IntentName::new("edit").expect("a name"),
        group: None,
        script: Script { reason: None, edits },
    };
    author.record(draft, 1_000).expect("it is in every limit")
}

fn signed(author: &mut Author, number: u8, parents: &[&Verified], grant: Option<&Verified>) -> Verified {
    let recorded = record(author, number, parents, grant);
    author.sign(&recorded).expect("the key signs")
}

fn options() -> Options {
    let mut options = Options::default();
    options.is_stepped = true;
    options.merge_when_idle = false;
    options.cache_bytes = 64 << 10;
    options.random = Random::seeded(7);
    options.clock = Arc::new(|| 1_000);
    options
}

fn from_peer(number: u8) -> Source {
    Source::Peer(*author(number).actor().key(), LogIncarnation::from_bytes([number; 8]))
}

/// What was written, and what may be written yet.
struct Written {
    /// The log with number 0, in its order.
    entries: Vec<Verified>,
    /// What waits for it.
    waits: Vec<Verified>,
    own_next: Verified,
    peers_next: Vec<Verified>,
    batches: Vec<Batch>,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let (mut own, mut peer, mut other, mut late) = (author(1), author(2), author(3), author(4));
    let first = signed(&mut own, 1, &[], None);
    let mut run: Vec<Verified> = (0..3).map(|number| record(&mut peer, number, &[], None)).collect();
    run.push(signed(&mut peer, 2, &[], Some(&first)));
    let access = signed(&mut own, 9, &[], Some(&first));
    let after = signed(&mut own, 2, &[&run[3]], None);
    // A restored device writes under a number that it used.
    let mut restored = author(2).after(&run[3]);
    let fork = signed(&mut restored, 3, &[], None);
    let again = signed(&mut peer, 2, &[&after], None);
    let (missing, waiting) = (signed(&mut late, 1, &[], None), signed(&mut late, 1, &[], None));
    let held = signed(&mut other, 1, &[], None);
    let own_next = signed(&mut own, 2, &[&again], None);
    let peers_next = vec![signed(&mut peer, 2, &[&own_next], None), missing];
    let (log, south) = (log(0), log(1));
    let record = DocumentRecord {
        key: document(1),
        position: 2,
        indexed: vec![("status".to_owned(), b"open".to_vec()), ("status".to_owned(), b"late".to_vec())],
        summary: vec![1; 20],
    };
    let place = |position: u64| Cursor {
        log: LogIncarnation::from_bytes([3; 8]),
        position,
        hash: RunningHash::from_bytes([8; 32]),
    };
    let key = *peer.actor().key();
    let batches = vec![
        Batch::new().append(log.clone(), vec![first.clone()], Source::Own, None),
        Batch::new().append(log.clone(), run.clone(), from_peer(2), Some(place(4))),
        Batch::new().append(log.clone(), vec![access.clone(), after.clone()], Source::Own, None),
        Batch::new().append(log.clone(), vec![fork.clone()], Source::File, None),
        Batch::new().append(log.clone(), vec![again.clone(), waiting.clone()], from_peer(2), Some(place(6))),
        Batch::new().hold(log.clone(), vec![held.clone()], Held::Admission("no grant".to_owned()), from_peer(3)),
        Batch::new()
            .receipt(log.clone(), key, place(1), vec![1, 2, 3])
            .cursor(log.clone(), key, Some(place(7)))
            .snapshot(log.clone(), document(1), Some(vec![5; 300]))
            .document(log.clone(), record)
            .draft(log.clone(), "draft", Some(vec![1]))
            .meta("meta", Some(vec![1])),
        Batch::new().append(south, Vec::new(), Source::Own, None),
    ];
    let entries = [vec![first], run, vec![access, after, fork, again]].concat();
    Written { entries, waits: vec![waiting, held], own_next, peers_next, batches }
});

fn build(backend: Arc<dyn Backend>) {
    let store = Store::with_backend(backend, options()).expect("a new store");
    for batch in &WRITTEN.batches {
        store.commit_now(Lane::Local, batch.clone()).expect("it is written");
    }
    assert!(store.verify(|_| {}).expect("it is read").is_clean());
}

static MEMORY: LazyLock<MemoryBackend> = LazyLock::new(|| {
    let backend = MemoryBackend::new();
    build(Arc::new(backend.clone()));
    backend
});

/// The file, and its blocks that hold anything.
static FILE: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let disk = Disk::default();
    build(over(&disk).expect("a new file"));
    let bytes = disk.bytes();
    let used = used(&bytes);
    (bytes, used)
});

fn over(disk: &Disk) -> Result<Arc<dyn Backend>, StorageError> {
    let disk = disk.clone();
    Ok(Arc::new(RedbBackend::over(move || disk.clone(), &options())?))
}

/// Everything that can be given as right: the entries that were written, and those that may be.
static RIGHT: LazyLock<HashMap<changeset::ChangeSetId, Verified>> = LazyLock::new(|| {
    let written = &*WRITTEN;
    let all = written.entries.iter().chain(&written.waits).chain(&written.peers_next).chain([&written.own_next]);
    all.map(|entry| (entry.id(), entry.clone())).collect()
});

fn all_right<'a>(entries: impl IntoIterator<Item = &'a Verified>) {
    for entry in entries {
        let written = RIGHT.get(&entry.id()).expect("an entry that nobody wrote was given as right");
        assert_eq!((entry.header(), entry.body()), (written.header(), written.body()));
    }
}

/// Asks everything. Answers may be errors that say something.
fn read(store: &Store) -> Result<(), StorageError> {
    let told = |error: StorageError| assert!(!error.to_string().is_empty());
    let view = store.view()?;
    let known = view.logs()?;
    for log in known.iter().take(3) {
        if let Ok(entries) = view.entries(log, 0..u64::MAX) {
            all_right(&entries);
        }
        if let Ok(entries) = view.access_entries(log) {
            all_right(&entries);
        }
        if let Ok(waiting) = view.inbox(log) {
            all_right(waiting.iter().map(|waiting| &waiting.entry));
        }
        let values = &b""[..]..&[255; 3][..];
        view.log(log).err().into_iter().for_each(told);
        view.pages(log, 0, 99).err().into_iter().for_each(told);
        view.tips(log).err().into_iter().for_each(told);
        view.own_after(log, 2).err().into_iter().for_each(told);
        view.peers(log).err().into_iter().for_each(told);
        view.documents(log, None).err().into_iter().for_each(told);
        view.document(log, &document(1)).err().into_iter().for_each(told);
        view.snapshot(log, &document(1)).err().into_iter().for_each(told);
        view.drafts(log).err().into_iter().for_each(told);
        view.scan(log, &document(1).kind, "status", values, 9, None).err().into_iter().for_each(told);
    }
    let log = log(0);
    for position in [0, 3, 8] {
        view.page_at(&log, position).err().into_iter().for_each(told);
        view.page_ids(&log, position).err().into_iter().for_each(told);
        if let Ok(entries) = view.span(&log, position, position + 2) {
            all_right(&entries);
        }
    }
    for entry in [&WRITTEN.entries[1], &WRITTEN.entries[8], &WRITTEN.waits[0]] {
        view.known(&log, &entry.id()).err().into_iter().for_each(told);
        if let Ok(lines) = view.lines(&log, &[(entry.id(), Vec::new())], None, 1 << 20) {
            all_right(&lines.entries);
        }
    }
    view.meta("meta")?;
    Ok(())
}

/// What is wrong is found and named; what is clean holds what some commit wrote. Gives the places of damaged pages.
fn verify(store: &Store) -> Vec<(LogKey, u64)> {
    let Ok(report) = store.verify(|_| {}) else { return Vec::new() };
    assert!(report.findings.iter().all(|finding| !finding.to_string().is_empty()));
    if report.is_clean() {
        let view = store.view().expect("it was read just now");
        let entries = view.entries(&log(0), 0..u64::MAX).expect("what verified is read");
        let is_new = |entry: &&Verified| !WRITTEN.entries.iter().any(|other| other.id() == entry.id());
        let old: Vec<_> = entries.iter().filter(|entry| !is_new(entry)).map(Verified::id).collect();
        assert!(WRITTEN.entries.iter().map(Verified::id).take(old.len()).eq(old), "clean, and not what was written");
    }
    let damages = report.findings.into_iter().map(|finding| finding.damage);
    damages.filter_map(|damage| Some((damage.log?, damage.position?))).take(8).collect()
}

fn repair(store: &Store) {
    for (log, position) in verify(store) {
        let Ok(ids) = store.view().and_then(|view| view.page_ids(&log, position)) else { continue };
        let entries: Vec<Verified> = ids.iter().filter_map(|id| RIGHT.get(id)).cloned().collect();
        match store.repair(&log, position, entries.clone()) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(()) => {
                let found = store.view().and_then(|view| view.entries(&log, position..position + 1));
                if let Ok(found) = found {
                    assert!(found.iter().all(|found| entries.iter().any(|entry| entry.id() == found.id())));
                }
            }
        }
    }
}

fn append(store: &Store, entries: &[Verified], source: Source) {
    let batch = Batch::new().append(log(0), entries.to_vec(), source, None);
    match store.commit_now(Lane::Local, batch) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(committed) => {
            let entered: Vec<&Verified> = committed.appended.iter().flat_map(|appended| &appended.entered).collect();
            all_right(entered.iter().copied());
            for entry in entered {
                let has = store.view().and_then(|view| view.has(&log(0), &entry.id()));
                assert!(has.unwrap_or(true), "what entered the log is in it");
            }
        }
    }
}

fn act(store: &Store, act: Act) {
    match act {
        Act::Verify => drop(verify(store)),
        Act::Repair => repair(store),
        Act::Append => append(store, std::slice::from_ref(&WRITTEN.own_next), Source::Own),
        Act::AppendPeers => append(store, &WRITTEN.peers_next, from_peer(2)),
        Act::Note => {
            let key = *author(2).actor().key();
            let batch = Batch::new()
                .cursor(log(0), key, None)
                .snapshot(log(0), document(1), Some(vec![6; 30]))
                .remove_document(log(0), document(1))
                .draft(log(0), "draft", None)
                .meta("meta", Some(vec![2]));
            drop(store.commit_now(Lane::Remote, batch));
        }
        Act::Release => {
            let ids = WRITTEN.waits.iter().map(Verified::id).collect();
            drop(store.commit_now(Lane::Local, Batch::new().release(log(0), ids)));
        }
        Act::Merge => {
            let mut limits = MergeLimits::default();
            (limits.pages, limits.keep) = (2, 0);
            drop(store.merge_pages(&log(0), limits));
        }
        Act::Compact => drop(store.compact()),
        Act::Redraw => drop(store.redraw(storage::Redraw::Asked)),
        Act::Open => {}
    }
}

/// Exactly what was written.
fn is_whole(store: &Store) {
    assert!(store.verify(|_| {}).expect("it is read").is_clean());
    let view = store.view().expect("it is read");
    assert_eq!(view.entries(&log(0), 0..u64::MAX).expect("they are read"), WRITTEN.entries);
    assert_eq!(view.inbox(&log(0)).expect("they are read").len(), WRITTEN.waits.len());
    assert_eq!(view.snapshot(&log(0), &document(1)).expect("it is read"), Some(vec![5; 300]));
    assert_eq!(view.meta("meta").expect("it is read"), Some(vec![1]));
}

fn use_it(open: &dyn Fn() -> Result<Arc<dyn Backend>, StorageError>, is_untouched: bool, acts: &[Act]) {
    let mut acts = acts.iter().take(6).peekable();
    for _ in 0..3 {
        let store = open().and_then(|backend| Store::with_backend(backend, options()));
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                assert!(!is_untouched, "{error}");
                return assert!(!error.to_string().is_empty());
            }
        };
        if is_untouched && acts.peek().is_none() {
            is_whole(&store);
        }
        drop(read(&store));
        for next in acts.by_ref() {
            if matches!(next, Act::Open) {
                break;
            }
            act(&store, *next);
        }
        drop(read(&store));
        drop(store);
        if acts.peek().is_none() {
            return;
        }
    }
}

fn run(plan: &Plan) {
    match &plan.harm {
        Harm::File(harms) => {
            let (file, used) = &*FILE;
            let mut bytes = file.clone();
            harm_file(&mut bytes, used, harms);
            let is_untouched = bytes == *file;
            let disk = Disk::new(bytes);
            use_it(&|| over(&disk), is_untouched, &plan.acts);
        }
        Harm::RowsInFile(harms) => {
            let disk = Disk::new(FILE.0.clone());
            if over(&disk).and_then(|backend| harm_rows(&*backend, harms)).is_ok() {
                use_it(&|| over(&disk), harms.is_empty(), &plan.acts);
            }
        }
        Harm::Rows(harms) => {
            let backend = MEMORY.copy();
            if harm_rows(&backend, harms).is_ok() {
                use_it(&|| Ok(Arc::new(backend.clone())), harms.is_empty(), &plan.acts);
            }
        }
    }
}

fuzz_target!(
    init: {
        // The fuzzer ends the process at every panic; here those that the store catches are part of the case.
        std::panic::set_hook(Box::new(|info| {
            *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
    },
    |plan: Plan| {
        if catch_unwind(AssertUnwindSafe(|| run(&plan))).is_err() {
            eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
            std::process::abort();
        }
    }
);
