//! A group commit: many batches in one transaction, each of which enters as a whole or not at all.

use crate::append::{Door, Outcome};
use crate::backend::Write;
use crate::batch::{Appended, Batch, Committed, Op};
use crate::codec::LogNumber;
use crate::error::StorageError;
use crate::inbox;
use crate::index::{Index, Names};
use crate::log_record::{self, LogRecord};
use crate::model::{Held, LogKey, Source, Waiting};
use crate::outside::Random;
use crate::overlay::{Overlay, apply};
use crate::pages;
use crate::rows;
use changeset::{Cursor, LogIncarnation, RunningHash, Signer, Verified, cut_pages};
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

/// What every group needs.
pub(crate) struct Context<'a> {
    pub(crate) signer: &'a dyn Signer,
    pub(crate) names: &'a Mutex<Names>,
    /// Entries and bytes of an inbox.
    pub(crate) limits: (u64, u64),
    pub(crate) now_ms: u64,
    pub(crate) random: &'a Random,
}

/// What came of a batch, and for listeners which log each part was about.
pub(crate) type Outcomes = Vec<Result<(Committed, Vec<LogKey>), StorageError>>;

/// A log in this group, with the pages that are cut at its end.
struct OpenLog {
    number: LogNumber,
    record: LogRecord,
    open: Vec<OpenPage>,
}

struct OpenPage {
    source: Source,
    first: u64,
    start: RunningHash,
    entries: Vec<Verified>,
}

/// What a log was before a batch touched it.
struct Saved {
    record: LogRecord,
    pages: usize,
    entries: usize,
}

struct Group<'a> {
    context: &'a Context<'a>,
    logs: BTreeMap<LogKey, OpenLog>,
    saved: BTreeMap<LogKey, Option<Saved>>,
}

/// Writes a group into a transaction. A batch that is refused leaves no trace and fails no other.
///
/// # Errors
/// What fails the group as a whole: the disk, the signer, a page that cannot be cut.
pub(crate) fn write(to: &mut dyn Write, batches: &[Batch], context: &Context<'_>) -> Result<Outcomes, StorageError> {
    let mut group = Group { context, logs: BTreeMap::new(), saved: BTreeMap::new() };
    let mut outcomes = Outcomes::new();
    let changes = {
        let mut overlay = Overlay::new(&*to);
        for batch in batches {
            let mut over = Overlay::new(&overlay);
            let outcome = group.batch(&mut over, batch);
            match outcome {
                Ok(committed) => {
                    let changes = over.into_changes();
                    apply(&changes, &mut overlay)?;
                    group.saved.clear();
                    outcomes.push(Ok(committed));
                }
                // The disk or what lies on it: nothing after it can be trusted to go well.
                Err(error @ (StorageError::Io { .. } | StorageError::Full { .. })) => return Err(error),
                Err(refused) => {
                    group.undo();
                    *context.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Names::default();
                    outcomes.push(Err(refused));
                }
            }
        }
        group.cut(&mut overlay)?;
        overlay.into_changes()
    };
    for (committed, logs) in outcomes.iter_mut().flatten() {
        for (appended, log) in committed.appended.iter_mut().zip(logs) {
            if let Some(open) = group.logs.get(log) {
                appended.end = open.record.end;
            }
        }
    }
    apply(&changes, to)?;
    Ok(outcomes)
}

impl Group<'_> {
    fn batch(&mut self, write: &mut dyn Write, batch: &Batch) -> Result<(Committed, Vec<LogKey>), StorageError> {
        let mut committed = Committed::default();
        let mut logs = Vec::new();
        for op in &batch.ops {
            match op {
                Op::Append { log, entries, source, cursor } => {
                    committed.appended.push(self.append(write, log, entries, *source, *cursor)?);
                    logs.push(log.clone());
                }
                Op::Hold { log, entries, why, source } => self.hold(write, log, entries, why, *source)?,
                Op::Release { log, ids } => {
                    let open = self.open(write, log)?;
                    let mut given = Vec::new();
                    for id in ids.iter().collect::<HashSet<_>>() {
                        given.extend(inbox::get(&*write, open.number, log, id)?);
                    }
                    // Those of one run in the order of their chain.
                    given
                        .sort_by_key(|waiting| (waiting.since_ms, waiting.entry.header().sequence, waiting.entry.id()));
                    let given = given.into_iter().map(|waiting| (waiting.entry, waiting.source)).collect();
                    let outcome = self.enter(write, log, given)?;
                    committed.appended.push(self.appended(log, outcome, Source::Mixed));
                    logs.push(log.clone());
                }
                Op::Discard { log, ids } => {
                    let open = self.open(write, log)?;
                    for id in ids {
                        inbox::unpark(write, open.number, &mut open.record, id)?;
                    }
                }
                Op::Receipt { log, peer, acknowledged, bytes } => {
                    let (number, now_ms) = (self.open(write, log)?.number, self.context.now_ms);
                    rows::set_receipt(write, number, peer, *acknowledged, bytes, now_ms)?;
                }
                Op::Cursor { log, peer, cursor } => {
                    let number = self.open(write, log)?.number;
                    rows::set_cursor(write, number, peer, *cursor)?;
                }
                Op::Snapshot { log, document, bytes } => {
                    let number = self.open(write, log)?.number;
                    rows::set_snapshot(write, number, document, bytes.as_deref())?;
                }
                Op::Document { log, record } => {
                    let number = self.open(write, log)?.number;
                    rows::set_document(write, number, record)?;
                }
                Op::RemoveDocument { log, document } => {
                    let number = self.open(write, log)?.number;
                    rows::remove_document(write, number, document)?;
                }
                Op::Meta { name, bytes } => rows::set_meta(write, name, bytes.as_deref())?,
                Op::Draft { log, name, bytes } => {
                    let number = self.open(write, log)?.number;
                    rows::set_draft(write, number, name, bytes.as_deref())?;
                }
            }
        }
        Ok((committed, logs))
    }

    /// A log as this group has it; begun if it is new.
    fn open(&mut self, write: &mut dyn Write, log: &LogKey) -> Result<&mut OpenLog, StorageError> {
        if !self.logs.contains_key(log) {
            self.saved.entry(log.clone()).or_insert(None);
            let (number, record) = match log_record::find(&*write, log)? {
                Some(found) => found,
                None => log_record::begin(write, log, LogIncarnation::from_bytes(self.context.random.bytes()?))?,
            };
            self.logs.insert(log.clone(), OpenLog { number, record, open: Vec::new() });
        }
        let Some(open) = self.logs.get_mut(log) else {
            return Err(StorageError::Misuse { doing: "opening a log", what: "it is not there" });
        };
        self.saved.entry(log.clone()).or_insert_with(|| {
            let entries = open.open.last().map_or(0, |page| page.entries.len());
            Some(Saved { record: open.record.clone(), pages: open.open.len(), entries })
        });
        Ok(open)
    }

    /// Puts every log back to what it was before the batch.
    fn undo(&mut self) {
        for (log, saved) in core::mem::take(&mut self.saved) {
            match (saved, self.logs.get_mut(&log)) {
                (Some(saved), Some(open)) => {
                    open.record = saved.record;
                    open.open.truncate(saved.pages);
                    if let Some(last) = open.open.last_mut() {
                        last.entries.truncate(saved.entries);
                    }
                }
                (None, _) => {
                    self.logs.remove(&log);
                }
                (Some(_), None) => {}
            }
        }
    }

    fn check(&self, log: &LogKey, entries: &[Verified], source: Source) -> Result<(), StorageError> {
        const DOING: &str = "taking in entries";
        if source == Source::Mixed {
            return Err(StorageError::Misuse { doing: DOING, what: "their source must be one of those who give" });
        }
        let is_here = |entry: &&Verified| {
            *entry.actor().workspace() == log.workspace && *entry.actor().partition() == log.partition
        };
        if entries.iter().filter(is_here).count() < entries.len() {
            let what = "one of them belongs to another workspace or partition";
            return Err(StorageError::Misuse { doing: DOING, what });
        }
        Ok(())
    }

    fn append(
        &mut self,
        write: &mut dyn Write,
        log: &LogKey,
        entries: &[Verified],
        source: Source,
        cursor: Option<Cursor>,
    ) -> Result<Appended, StorageError> {
        self.check(log, entries, source)?;
        let outcome = self.enter(write, log, entries.iter().map(|entry| (entry.clone(), source)).collect())?;
        if let (Source::Peer(peer, _), Some(cursor), true) = (&source, cursor, outcome.overflow.is_empty()) {
            let number = self.open(write, log)?.number;
            rows::set_cursor(write, number, peer, Some(cursor))?;
        }
        Ok(self.appended(log, outcome, source))
    }

    fn enter(
        &mut self,
        write: &mut dyn Write,
        log: &LogKey,
        given: Vec<(Verified, Source)>,
    ) -> Result<Outcome, StorageError> {
        let context = self.context;
        let open = self.open(write, log)?;
        let (mut position, mut hash) = (open.record.end.position, open.record.end.hash);
        let mut door = Door {
            write,
            number: open.number,
            record: &mut open.record,
            names: context.names,
            limits: context.limits,
            now_ms: context.now_ms,
        };
        let outcome = door.enter(given)?;
        for (entry, source) in &outcome.entered {
            match open.open.last_mut() {
                Some(page) if page.source == *source => page.entries.push(entry.clone()),
                _ => open.open.push(OpenPage {
                    source: *source,
                    first: position,
                    start: hash,
                    entries: vec![entry.clone()],
                }),
            }
            position += 1;
            hash = hash.then(&entry.id());
        }
        Ok(outcome)
    }

    fn appended(&self, log: &LogKey, outcome: Outcome, source: Source) -> Appended {
        let Outcome { entered, waiting, refused, overflow, known } = outcome;
        let entered = entered.into_iter().map(|(entry, _)| entry).collect();
        let none = LogIncarnation::from_bytes([0; 8]);
        let start = || Cursor { log: none, position: 0, hash: RunningHash::from_bytes([0; 32]) };
        let end = self.logs.get(log).map_or_else(start, |open| open.record.end);
        Appended { entered, waiting, refused, overflow, known, end, source }
    }

    fn hold(
        &mut self,
        write: &mut dyn Write,
        log: &LogKey,
        entries: &[Verified],
        why: &Held,
        source: Source,
    ) -> Result<(), StorageError> {
        const DOING: &str = "holding entries";
        self.check(log, entries, source)?;
        if !matches!(why, Held::Admission(_)) {
            let what = "only admission is decided by others; what is missing the log sees by itself";
            return Err(StorageError::Misuse { doing: DOING, what });
        }
        let Context { names, limits, now_ms, .. } = *self.context;
        let open = self.open(write, log)?;
        for entry in entries {
            let index = Index { read: &*write, number: open.number, log, names };
            if index.position(&entry.id())?.is_some() || inbox::has(&*write, open.number, &entry.id())? {
                continue;
            }
            let waiting = Waiting { entry: entry.clone(), why: why.clone(), source, since_ms: now_ms };
            if !inbox::park(write, open.number, &mut open.record, limits, &waiting)? {
                return Err(StorageError::InboxFull { log: log.clone(), entries: limits.0, bytes: limits.1 });
            }
        }
        Ok(())
    }

    /// Cuts what entered into pages and writes the rows of the logs.
    fn cut(&mut self, write: &mut Overlay<'_>) -> Result<(), StorageError> {
        for (key, log) in &mut self.logs {
            for page in core::mem::take(&mut log.open) {
                let (mut first, mut hash) = (page.first, page.start);
                for entries in cut_pages(&page.entries) {
                    hash = entries.iter().fold(hash, |hash, entry| hash.then(&entry.id()));
                    let position = first + entries.len() as u64;
                    let end = Cursor { log: log.record.end.log, position, hash };
                    let names = self.context.names;
                    let packed = {
                        let index = Index { read: &*write, number: log.number, log: key, names };
                        pages::pack(&index, first, entries)?
                    };
                    let signer = self.context.signer;
                    let place = (first, end);
                    log.record.bytes +=
                        pages::put(write, log.number, &log.record, signer, place, &page.source, packed)?;
                    log.record.pages += 1;
                    first = position;
                }
            }
            log_record::put(write, log.number, &log.record)?;
        }
        Ok(())
    }
}
