//! Replacing a damaged page by the same entries, fetched again.

use crate::backend::Backend;
use crate::codec::position_of;
use crate::error::{Replace, StorageError};
use crate::index::{Index, Names};
use crate::log_record;
use crate::model::LogKey;
use crate::model::Source;
use crate::pages;
use changeset::{ChangeSetId, Cursor, Signer, Verified};
use std::sync::Mutex;

/// Where the page that holds a position begins and ends, by what stands around it.
fn span(index: &Index<'_>, log_end: u64, position: u64) -> Result<(u64, u64), StorageError> {
    let row = pages::row_at(index, position)?;
    // A page whose row is gone begins where the one before it ends; that one says so itself.
    let first = match row {
        None => 0,
        Some(row) => match pages::read_row(index, &row) {
            Ok(page) if page.end.position <= position => page.end.position,
            Ok(_) | Err(StorageError::Damaged(_)) => position_of(&row.0),
            Err(error) => return Err(error),
        },
    };
    let next = pages::rows_from(index, first + 1, 1)?;
    Ok((first, next.first().map_or(log_end, |(key, _)| position_of(key))))
}

/// What stands in the page that holds a position, by the index.
pub(crate) fn ids(index: &Index<'_>, log_end: u64, position: u64) -> Result<Vec<ChangeSetId>, StorageError> {
    if position >= log_end {
        return Ok(Vec::new());
    }
    let (first, end) = span(index, log_end, position)?;
    Ok(index.rows(first, end)?.into_iter().map(|row| row.id).collect())
}

/// Writes the page that holds `position` again. The index says which entries stand there; their page says nothing.
pub(crate) fn page(
    backend: &dyn Backend,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    log: &LogKey,
    position: u64,
    entries: &[Verified],
) -> Result<(), Replace> {
    let mut other = None;
    let written = backend.write(&mut |write| {
        const DOING: &str = "repairing a page";
        let refuse = |what| Err(StorageError::Misuse { doing: DOING, what });
        let Some((number, mut record)) = log_record::find(&*write, log)? else {
            return refuse("this replica has no such log");
        };
        if position >= record.end.position {
            return refuse("the position is beyond the end of the log");
        }
        let (first, end, packed, source) = {
            let index = Index { read: &*write, number, log, names };
            let (first, end) = span(&index, record.end.position, position)?;
            let rows = index.rows(first, end)?;
            let differs = |(row, entry): (&crate::index::EntryRow, &Verified)| row.id != entry.id();
            if rows.len() != entries.len() || rows.iter().zip(entries).any(differs) {
                let is_same = |(row, entry): &(&crate::index::EntryRow, &Verified)| row.id == entry.id();
                other = Some(rows.iter().zip(entries).take_while(is_same).count());
                return refuse("other entries stand there");
            }
            let mut hash = pages::hash_at(&index, &record, first)?;
            hash = rows.iter().fold(hash, |hash, row| hash.then(&row.id));
            let is_one = rows.windows(2).all(|pair| pair.first().map(|r| r.source) == pair.last().map(|r| r.source));
            let source = match rows.first() {
                Some(row) if is_one => index.source(row.source)?,
                _ => Source::Mixed,
            };
            let end = Cursor { log: record.end.log, position: end, hash };
            (first, end, pages::pack(&index, first, entries)?, source)
        };
        pages::put(write, number, &record, signer, (first, end), &source, packed)?;
        // What the damaged row added to the sums is not known any more.
        let index = Index { read: &*write, number, log, names };
        (record.pages, record.bytes) = (0, 0);
        let mut next = Some(0);
        while let Some(from) = next.take() {
            for (key, value) in pages::rows_from(&index, from, 64)? {
                record.pages += 1;
                record.bytes += value.len() as u64;
                next = Some(position_of(&key) + 1);
            }
        }
        log_record::put(write, number, &record)
    });
    match (written, other) {
        (Err(_), Some(entry)) => Err(Replace::Other { entry }),
        (written, _) => Ok(written?),
    }
}
