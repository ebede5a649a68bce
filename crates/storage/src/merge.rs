//! Joining small pages: fewer rows, fewer signatures, and zstd has something to work on. Positions never change.

use crate::backend::{Backend, Table, Write};
use crate::error::StorageError;
use crate::index::{Index, Names};
use crate::log_record::{self, LogRecord};
use crate::maintain::{MergeLimits, Merged};
use crate::model::{LogKey, Source, StoredPage};
use crate::pages;
use changeset::limits::MAX_PAGE_ENTRIES;
use changeset::{LogIncarnation, Signer, Verified};
use std::sync::Mutex;

/// Neighbours that become one page.
struct Run {
    pages: Vec<StoredPage>,
    /// Nothing after them would fit: merging never comes back to them.
    is_full: bool,
}

/// How many rows are read at a time.
const ROWS: usize = 64;

/// How far the small pages of a log were counted, so that none is read twice before there are enough for a merge.
#[derive(Debug)]
pub(crate) struct Counted {
    log: LogIncarnation,
    /// Where merging stood when counting began.
    merged: u64,
    /// The position behind what was counted.
    next: u64,
    sum: Sum,
}

impl Counted {
    fn new(record: &LogRecord) -> Self {
        Self { log: record.end.log, merged: record.merged, next: record.merged, sum: Sum::default() }
    }

    fn is_of(&self, record: &LogRecord) -> bool {
        (self.log, self.merged) == (record.end.log, record.merged)
    }

    /// Counts on, up to the page with which there is enough for a full one. Gives whether there is.
    fn is_full(&mut self, index: &Index<'_>, record: &LogRecord, limits: &MergeLimits) -> Result<bool, StorageError> {
        let last = record.end.position.saturating_sub(limits.keep);
        while self.next < last {
            // No page is empty: no more of them than entries are left to count.
            let most = usize::try_from(last - self.next).unwrap_or(ROWS).min(ROWS);
            let rows = pages::rows_from(index, self.next, most)?;
            if rows.is_empty() {
                return Ok(false);
            }
            for row in rows {
                let page = pages::read_row(index, &row)?;
                if page.end.position > last {
                    return Ok(false);
                }
                if self.sum.is_full_before(&page, limits) {
                    return Ok(true);
                }
                self.sum.add(&page);
                self.next = page.end.position;
            }
        }
        Ok(false)
    }
}

/// What some neighbours hold together.
#[derive(Debug, Default)]
struct Sum {
    entries: u64,
    bytes: u64,
}

impl Sum {
    /// Whether a page does not fit any more.
    fn is_full_before(&self, page: &StoredPage, limits: &MergeLimits) -> bool {
        let most = limits.entries.min(MAX_PAGE_ENTRIES as u64);
        let (entries, bytes) = (page.end.position - page.first, page.frame.len() as u64);
        self.entries > 0 && (self.entries + entries > most || self.bytes + bytes > limits.bytes)
    }

    fn add(&mut self, page: &StoredPage) {
        self.entries += page.end.position - page.first;
        self.bytes += page.frame.len() as u64;
    }
}

/// Merges the next run of small pages, if there is a full one: what could still grow is left alone, so that each entry is
/// written again once. `counted` is what the last call left. Gives whether there may be more to do.
pub(crate) fn step(
    backend: &dyn Backend,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    log: &LogKey,
    limits: &MergeLimits,
    counted: &mut Option<Counted>,
) -> Result<bool, StorageError> {
    // Looked for in a snapshot first: where there is nothing to do nothing is written.
    let mut merged = Merged::default();
    let more = {
        let read = backend.read()?;
        let Some((number, record)) = log_record::find(&*read, log)? else { return Ok(false) };
        let index = Index { read: &*read, number, log, names };
        let so_far = match counted.take().filter(|counted| counted.is_of(&record)) {
            Some(so_far) => counted.insert(so_far),
            None => counted.insert(Counted::new(&record)),
        };
        so_far.is_full(&index, &record, limits)?
    };
    if !more {
        return Ok(false);
    }
    *counted = None;
    backend.write(&mut |write| merge_next(write, signer, names, log, limits, true, 0, &mut merged).map(|_| ()))?;
    Ok(true)
}

/// Merges all small pages of a log.
pub(crate) fn all(
    backend: &dyn Backend,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    log: &LogKey,
    limits: &MergeLimits,
) -> Result<Merged, StorageError> {
    let mut merged = Merged::default();
    let mut from = Some(0);
    while let Some(position) = from {
        let mut done = merged;
        backend.write(&mut |write| {
            done = merged;
            from = merge_next(write, signer, names, log, limits, false, position, &mut done)?;
            Ok(())
        })?;
        merged = done;
    }
    Ok(merged)
}

/// Merges one run at or after `from` and gives where to go on.
#[expect(clippy::too_many_arguments, reason = "two callers, and each argument is another thing")]
fn merge_next(
    write: &mut dyn Write,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    log: &LogKey,
    limits: &MergeLimits,
    full_only: bool,
    from: u64,
    merged: &mut Merged,
) -> Result<Option<u64>, StorageError> {
    let Some((number, mut record)) = log_record::find(&*write, log)? else { return Ok(None) };
    let from = if full_only { record.merged } else { from };
    let (run, packed, first, end, source) = {
        let index = Index { read: &*write, number, log, names };
        let Some(run) = next(&index, &record, from, limits, full_only)? else { return Ok(None) };
        let (mut entries, mut before): (Vec<Verified>, _) = (Vec::new(), None);
        for page in &run.pages {
            entries.extend(pages::entries(&index, page, &mut before)?);
        }
        let (Some(head), Some(tail)) = (run.pages.first(), run.pages.last()) else { return Ok(None) };
        let source = if run.pages.iter().all(|page| page.source == head.source) { head.source } else { Source::Mixed };
        let (first, end) = (head.first, tail.end);
        let packed = if run.pages.len() > 1 { pages::pack(&index, first, &entries)? } else { Vec::new() };
        (run, packed, first, end, source)
    };
    if run.pages.len() > 1 {
        for page in &run.pages {
            let key = crate::codec::Key::of(number).position(page.first);
            let old = write.get(Table::Pages, &key)?.map_or(0, |value| value.len() as u64);
            record.bytes = record.bytes.saturating_sub(old);
            write.delete(Table::Pages, &key)?;
        }
        record.bytes += pages::put(write, number, &record, signer, (first, end), &source, packed)?;
        record.pages = record.pages + 1 - run.pages.len() as u64;
        merged.from += run.pages.len() as u64;
        merged.to += 1;
    }
    if run.is_full && record.merged <= first {
        record.merged = end.position;
    }
    log_record::put(write, number, &record)?;
    Ok(Some(end.position))
}

/// The next pages that are worth a merge.
fn next(
    index: &Index<'_>,
    record: &LogRecord,
    from: u64,
    limits: &MergeLimits,
    full_only: bool,
) -> Result<Option<Run>, StorageError> {
    let last = record.end.position.saturating_sub(if full_only { limits.keep } else { 0 });
    let mut run: Vec<StoredPage> = Vec::new();
    let (mut sum, mut next) = (Sum::default(), from);
    loop {
        let rows = pages::rows_from(index, next, ROWS)?;
        let read = rows.len();
        for row in rows {
            let page = pages::read_row(index, &row)?;
            next = page.end.position;
            if page.end.position > last {
                break;
            }
            if sum.is_full_before(&page, limits) {
                if full_only || run.len() >= limits.pages.max(2) {
                    return Ok(Some(Run { pages: run, is_full: true }));
                }
                run.clear();
                sum = Sum::default();
            }
            sum.add(&page);
            run.push(page);
        }
        if read < ROWS || next > last {
            break;
        }
    }
    let is_worth = !full_only && run.len() >= limits.pages.max(2);
    Ok(is_worth.then_some(Run { pages: run, is_full: false }))
}
