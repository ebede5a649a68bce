//! Joining small pages: fewer rows, fewer signatures, and zstd has something to work on. Positions never change.

use crate::backend::{Backend, Table, Write};
use crate::error::StorageError;
use crate::index::{Index, Names};
use crate::log_record::{self, LogRecord};
use crate::maintain::{MergeLimits, Merged};
use crate::model::{LogKey, Source, StoredPage};
use crate::pages;
use changeset::limits::MAX_PAGE_ENTRIES;
use changeset::{Signer, Verified};
use std::sync::Mutex;

/// Neighbours that become one page.
struct Run {
    pages: Vec<StoredPage>,
    /// Nothing after them would fit: merging never comes back to them.
    is_full: bool,
}

/// How many rows are read at a time.
const ROWS: usize = 64;

/// Merges the next run of small pages, if there is one. With `full_only` what could still grow is left alone, so that
/// each entry is written again once. Gives whether there may be more to do.
pub(crate) fn step(
    backend: &dyn Backend,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    log: &LogKey,
    limits: &MergeLimits,
    full_only: bool,
) -> Result<bool, StorageError> {
    // Looked for in a snapshot first: where there is nothing to do nothing is written.
    let mut merged = Merged::default();
    let more = {
        let read = backend.read()?;
        let Some((number, record)) = log_record::find(&*read, log)? else { return Ok(false) };
        let index = Index { read: &*read, number, log, names };
        next(&index, &record, record.merged, limits, full_only)?.is_some()
    };
    if !more {
        return Ok(false);
    }
    backend.write(&mut |write| merge_next(write, signer, names, log, limits, full_only, 0, &mut merged).map(|_| ()))?;
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
        let mut entries: Vec<Verified> = Vec::new();
        for page in &run.pages {
            entries.extend(pages::entries(&index, page)?);
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
    let most = limits.entries.min(MAX_PAGE_ENTRIES as u64);
    let last = record.end.position.saturating_sub(if full_only { limits.keep } else { 0 });
    let mut run: Vec<StoredPage> = Vec::new();
    let (mut entries, mut bytes, mut next) = (0, 0, from);
    loop {
        let rows = pages::rows_from(index, next, ROWS)?;
        let read = rows.len();
        for row in rows {
            let page = pages::read_row(index, &row)?;
            next = page.end.position;
            if page.end.position > last {
                break;
            }
            let (more, longer) = (page.end.position - page.first, page.frame.len() as u64);
            if !run.is_empty() && (entries + more > most || bytes + longer > limits.bytes) {
                if full_only || run.len() >= limits.pages.max(2) {
                    return Ok(Some(Run { pages: run, is_full: true }));
                }
                run.clear();
                (entries, bytes) = (0, 0);
            }
            run.push(page);
            entries += more;
            bytes += longer;
        }
        if read < ROWS || next > last {
            break;
        }
    }
    let is_worth = !full_only && run.len() >= limits.pages.max(2);
    Ok(is_worth.then_some(Run { pages: run, is_full: false }))
}
