//! Power loss at every call to the disk, and a disk that forgets, reorders and tears what was not synced.

use crate::support::from_peer;
use crate::support::{append_from, author, cursor, document, ids, log, options, peer, run, signed, signed_chain};
use changeset::{ChangeSetId, Verified};
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};
use storage::{
    Batch, DocumentRecord, Held, Lane, MergeLimits, Options, RedbBackend, Redraw, Source, StorageError, Store,
};

/// A disk: what is safe, and what was done since the last sync.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    seen: Vec<u8>,
    pending: Vec<Pending>,
    /// Reads, writes, changes of length and syncs.
    calls: u64,
    /// The call at which the power goes.
    cut_at: Option<u64>,
    is_dead: bool,
    /// Syncs to come until one is swallowed.
    swallow: Option<u64>,
    /// The room that the disk has.
    room: Option<u64>,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

const SECTOR: usize = 512;

impl State {
    fn call(&mut self) -> Result<(), Error> {
        self.calls += 1;
        if self.cut_at.is_some_and(|at| self.calls >= at) {
            self.is_dead = true;
        }
        self.alive()
    }

    fn alive(&self) -> Result<(), Error> {
        if self.is_dead { Err(Error::other("the power is gone")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        let state = self.0.lock().unwrap();
        state.alive()?;
        Ok(state.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let from = offset as usize;
        let found = state.seen.get(from..from + out.len()).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        if state.room.is_some_and(|room| len > room) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        state.seen.resize(len as usize, 0);
        state.pending.push(Pending::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        if let Some(left) = state.swallow {
            state.swallow = left.checked_sub(1);
            if left == 0 {
                return Ok(());
            }
        }
        state.synced = state.seen.clone();
        state.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let from = offset as usize;
        state.seen[from..from + data.len()].copy_from_slice(data);
        state.pending.push(Pending::Write(offset, data.to_vec()));
        Ok(())
    }
}

/// How much of what was not synced the disk keeps.
#[derive(Clone, Copy, Debug)]
enum Loss {
    All,
    Nothing,
    /// Any sectors of any writes, in any order.
    Torn(u64),
}

/// A small generator, so that each loss follows from its seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

impl Disk {
    fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    fn cut_at(&self, call: u64) {
        self.0.lock().unwrap().cut_at = Some(call);
    }

    /// The disk after the power came back.
    fn after(&self, loss: Loss) -> Self {
        let state = self.0.lock().unwrap();
        let image = match loss {
            Loss::All => state.synced.clone(),
            Loss::Nothing => state.seen.clone(),
            Loss::Torn(seed) => {
                let mut dice = Dice(seed);
                let mut image = state.synced.clone();
                let mut pieces = Vec::new();
                for pending in &state.pending {
                    match pending {
                        Pending::Length(len) if dice.next(2) == 0 => image.resize(*len as usize, 0),
                        Pending::Length(_) => {}
                        Pending::Write(offset, data) => {
                            let sectors = data.chunks(SECTOR).enumerate();
                            pieces.extend(sectors.map(|(number, piece)| (*offset as usize + number * SECTOR, piece)));
                        }
                    }
                }
                let keep = dice.next(4);
                while !pieces.is_empty() {
                    let (offset, piece) = pieces.swap_remove(dice.next(pieces.len()));
                    if dice.next(4) >= keep
                        && let Some(place) = image.get_mut(offset..offset + piece.len())
                    {
                        place.copy_from_slice(piece);
                    }
                }
                image
            }
        };
        let state = State { seen: image.clone(), synced: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn store(&self, options: Options) -> Result<Store, StorageError> {
        let disk = self.clone();
        let backend = RedbBackend::over(move || disk.clone(), &options)?;
        Store::with_backend(Arc::new(backend), options)
    }
}

/// What was said to be durable.
#[derive(Default)]
struct Said {
    entered: Vec<ChangeSetId>,
    waiting: Vec<ChangeSetId>,
    receipt: Option<Vec<u8>>,
    cursor: Option<u64>,
    snapshot: Option<Vec<u8>>,
    document: Option<u64>,
    draft: Option<Vec<u8>>,
}

/// Some of everything that a store does, until the power goes.
fn live(store: &Store, said: &mut Said) -> Result<(), StorageError> {
    let (mut a, mut b, mut c) = (author(1), author(2), author(3));
    for round in 0..4_u8 {
        let mut entries = run(&mut a, 3);
        entries.extend(signed_chain(&mut b, 2));
        let from = if round % 2 == 0 { Source::Own } else { from_peer(9) };
        let place = u64::from(round);
        let batch = Batch::new().append(log(), entries, from, Some(cursor(place)));
        let out = store.commit_now(Lane::Local, batch)?.appended;
        said.entered.extend(ids(&out[0].entered));
        if round % 2 == 1 {
            said.cursor = Some(place);
        }
        let lost = signed(&mut c, 3, &[]);
        let late = signed(&mut c, 3, &[]);
        let batch = Batch::new().append(log(), vec![late], Source::File, None);
        said.waiting.extend(store.commit_now(Lane::Remote, batch)?.appended[0].waiting.clone());
        let held = signed(&mut author(20 + round), 4, &[]);
        let why = Held::Admission("not yet".to_owned());
        store.commit_now(Lane::Remote, Batch::new().hold(log(), vec![held.clone()], why, Source::File))?;
        said.waiting.push(held.id());
        let receipt = vec![round; 40];
        store.commit_now(Lane::Remote, Batch::new().receipt(log(), peer(9), cursor(place), receipt.clone()))?;
        said.receipt = Some(receipt);
        let bytes = vec![round; 9000];
        let record = DocumentRecord {
            key: document(1),
            position: place,
            indexed: vec![("status".to_owned(), vec![round])],
            summary: vec![round; 30],
        };
        let batch = Batch::new().snapshot(log(), document(1), Some(bytes.clone())).document(log(), record);
        store.commit_now(Lane::Remote, batch.draft(log(), "note", Some(vec![round])))?;
        (said.snapshot, said.document, said.draft) = (Some(bytes), Some(place), Some(vec![round]));
        if round % 2 == 1 {
            let mut limits = MergeLimits::default();
            limits.pages = 2;
            store.merge_pages(&log(), limits)?;
        }
        let batch = Batch::new().append(log(), vec![lost], Source::File, None);
        let out = store.commit_now(Lane::Remote, batch)?.appended;
        said.entered.extend(ids(&out[0].entered));
        said.waiting.retain(|id| !said.entered.contains(id));
    }
    store.redraw(Redraw::Asked)?;
    store.compact()?;
    store.commit_now(Lane::Local, Batch::new().meta("end", Some(vec![1])))?;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let backed_up = store.backup(&to, |_| {});
    assert_eq!(to.exists(), backed_up.is_ok(), "a backup is there as a whole or not at all");
    backed_up?;
    let (copy, _) = Store::open(&to, options())?;
    assert!(copy.verify(|_| {})?.is_clean());
    Ok(())
}

/// Everything said to be durable is there, and what else is there is whole.
fn check(disk: &Disk, said: &Said, options: Options) -> Result<(), String> {
    let failed = |what: &str| Err(what.to_owned());
    let store = disk.store(options).map_err(|error| format!("it does not open: {error}"))?;
    let view = store.view().map_err(|error| error.to_string())?;
    let entries: Vec<Verified> = view.entries(&log(), 0..u64::MAX).map_err(|error| error.to_string())?;
    let mut held = BTreeSet::new();
    for entry in &entries {
        let mut needs = entry.header().previous.iter().chain(&entry.header().parents);
        if !needs.all(|need| held.contains(need)) {
            return failed("an entry stands before what it names");
        }
        held.insert(entry.id());
    }
    if !said.entered.iter().all(|id| held.contains(id)) {
        return failed("an entry is gone");
    }
    let inbox = view.inbox(&log()).map_err(|error| error.to_string())?;
    let waits = |id: &ChangeSetId| held.contains(id) || inbox.iter().any(|waiting| waiting.entry.id() == *id);
    if !said.waiting.iter().all(waits) {
        return failed("a waiting entry is gone");
    }
    let state = view.peer(&log(), &peer(9)).map_err(|error| error.to_string())?;
    if said.receipt.as_ref().is_some_and(|said| state.receipt.as_ref().is_none_or(|found| found < said)) {
        return failed("a receipt is gone");
    }
    if said.cursor.is_some_and(|said| state.cursor.is_none_or(|found| found.position < said)) {
        return failed("a cursor is gone");
    }
    let snapshot = view.snapshot(&log(), &document(1)).map_err(|error| error.to_string())?;
    let draft = view.draft(&log(), "note").map_err(|error| error.to_string())?;
    let record = view.document(&log(), &document(1)).map_err(|error| error.to_string())?;
    if said.snapshot > snapshot || said.draft > draft || said.document > record.map(|record| record.position) {
        return failed("a snapshot, record or draft is gone");
    }
    drop(view);
    let report = store.verify(|_| {}).map_err(|error| error.to_string())?;
    if !report.is_clean() {
        return Err(format!("{:?}", report.findings));
    }
    let next = append_from(&store, &[signed(&mut author(77), 1, &[])], Source::Own);
    if next.entered.len() != 1 {
        return failed("nothing can be appended");
    }
    Ok(())
}

fn cut_everywhere(quick_repair: bool, cache_bytes: usize, step: u64) {
    let options = || {
        let mut options = options();
        options.cache_bytes = cache_bytes;
        options.quick_repair = quick_repair;
        options
    };
    let (mut cuts, mut call) = (0, 1);
    loop {
        let disk = Disk::default();
        let store = disk.store(options()).unwrap();
        disk.cut_at(disk.calls() + call);
        let mut said = Said::default();
        let lived = live(&store, &mut said);
        // Closing is part of it: nothing may be lost there either.
        drop(store);
        for loss in [Loss::All, Loss::Nothing, Loss::Torn(call), Loss::Torn(!call)] {
            let after = disk.after(loss);
            if let Err(what) = check(&after, &said, options()) {
                panic!("quick repair {quick_repair}, cut at call {call}, {loss:?}: {what}");
            }
        }
        if lived.is_ok() && !disk.0.lock().unwrap().is_dead {
            break;
        }
        cuts += 1;
        call += step;
    }
    println!("{cuts} cuts");
    assert!(cuts * step > 300, "only {cuts} cuts: the disk saw nothing");
}

#[test]
fn power_loss_at_every_call_with_quick_repair() {
    cut_everywhere(true, 4 << 20, 1);
}

#[test]
fn power_loss_at_every_call_without_quick_repair() {
    cut_everywhere(false, 4 << 20, 1);
}

/// Without a cache every read asks the disk, also those of a merge and of a backup.
#[test]
fn power_loss_at_reads_too() {
    cut_everywhere(true, 0, 29);
}

/// The tests above can fail: with one sync swallowed an entry that was said to be durable is gone.
#[test]
fn a_swallowed_sync_loses_what_was_said_to_be_durable() {
    for quick_repair in [true, false] {
        let mut options = options();
        options.quick_repair = quick_repair;
        let mut losses = 0;
        for swallowed in 0..2 {
            let disk = Disk::default();
            let store = disk.store(options.clone()).unwrap();
            let mut a = author(1);
            let mut said = Said::default();
            said.entered.extend(ids(&append_from(&store, &signed_chain(&mut a, 2), Source::Own).entered));
            disk.0.lock().unwrap().swallow = Some(swallowed);
            said.entered.extend(ids(&append_from(&store, &signed_chain(&mut a, 1), Source::Own).entered));
            for loss in [Loss::All, Loss::Torn(1), Loss::Torn(2), Loss::Torn(3)] {
                losses += u32::from(check(&disk.after(loss), &said, options.clone()).is_err());
            }
        }
        assert!(losses > 0, "a swallowed sync went unnoticed (quick repair {quick_repair})");
    }
}

/// A full disk refuses the group, loses nothing, and works again once there is room.
#[test]
fn a_full_disk_is_a_state_and_not_the_end() {
    let disk = Disk::default();
    let store = disk.store(options()).unwrap();
    let mut a = author(1);
    let first = append_from(&store, &signed_chain(&mut a, 2), Source::Own);
    let room = disk.0.lock().unwrap().seen.len() as u64;
    disk.0.lock().unwrap().room = Some(room);
    let large = Batch::new().meta("large", Some(vec![7; 8 << 20]));
    for _ in 0..2 {
        let error = store.commit_now(Lane::Local, large.clone()).unwrap_err();
        assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
    }
    let second = append_from(&store, &signed_chain(&mut a, 1), Source::Own);
    assert_eq!(second.entered.len(), 1, "small commits still have room");
    disk.0.lock().unwrap().room = None;
    store.commit_now(Lane::Local, large).unwrap();
    let said = Said { entered: ids(&[first.entered, second.entered].concat()), ..Said::default() };
    drop(store);
    check(&disk.after(Loss::All), &said, options()).unwrap();
}
