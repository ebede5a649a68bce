//! Pages as rows: cutting and sealing them, finding them, reading them.

use crate::backend::{Order, Row, Table, Write};
use crate::codec::{Key, LogNumber, checked, position_of, unchecked};
use crate::error::StorageError;
use crate::index::{Index, LogBefore, read_source, source_bytes};
use crate::log_record::LogRecord;
use crate::model::{Source, StoredPage};
use changeset::{Cursor, LogPage, RunningHash, Signer, Verified, decode_page, encode_page, pack_page, unpack_page};
use core::ops::Bound;
use std::sync::Arc;

/// A page's row: check, length of the source, source, frame.
fn value(key: &[u8], source: &Source, frame: &[u8]) -> Vec<u8> {
    let source = source_bytes(source);
    let length = [u8::try_from(source.len()).unwrap_or(u8::MAX)];
    checked(Table::Pages, key, &[&length[..], &source, frame].concat())
}

/// Packs entries as the page that begins at `first`. Their own index rows may stand already.
pub(crate) fn pack(index: &Index<'_>, first: u64, entries: &[Verified]) -> Result<Vec<u8>, StorageError> {
    let log = LogBefore::new(index, first);
    let page = encode_page(entries, &log);
    let page = page.map_err(|error| StorageError::Page { doing: "cutting a page", log: index.log.clone(), error });
    Ok(pack_page(&log.finish(page)?))
}

/// Seals a page and writes it. Gives the bytes of its row.
pub(crate) fn put(
    write: &mut dyn Write,
    number: LogNumber,
    record: &LogRecord,
    signer: &dyn Signer,
    (first, end): (u64, Cursor),
    source: &Source,
    packed: Vec<u8>,
) -> Result<u64, StorageError> {
    let key = Key::of(number).position(first);
    let page = LogPage::seal(signer, &record.key.workspace, record.key.partition.clone(), first, end, packed);
    let page = page.map_err(|error| StorageError::Sign(Arc::new(error)))?;
    let value = value(&key, source, &page.to_bytes());
    write.put(Table::Pages, &key, &value)?;
    Ok(value.len() as u64)
}

/// A row as the page that it is, checked.
pub(crate) fn read_row(index: &Index<'_>, row: &Row) -> Result<StoredPage, StorageError> {
    let (key, value) = row;
    let first = position_of(key);
    let damage = |what| index.damage(Table::Pages, Some(first), what);
    let content = unchecked(Table::Pages, key, value).map_err(|_| damage("a page does not match its check"))?;
    let split = || {
        let (length, rest) = content.split_first()?;
        let (source, frame) = rest.split_at_checked(usize::from(*length))?;
        Some((read_source(source)?, frame))
    };
    let (source, frame) = split().ok_or_else(|| damage("a page is not in its form"))?;
    let page = LogPage::from_bytes(frame).map_err(|_| damage("a page is not in its form"))?;
    if page.first != first || page.partition != index.log.partition {
        return Err(damage("a page stands at another place than it says"));
    }
    let end = page.end();
    Ok(StoredPage { first, end, source, frame: Arc::from(frame) })
}

/// The row of the page that contains a position, unchecked.
pub(crate) fn row_at(index: &Index<'_>, position: u64) -> Result<Option<Row>, StorageError> {
    let (from, to) = (index.key(), index.key().position(position));
    let (from, to) = (Bound::Included(&from[..]), Bound::Included(&to[..]));
    Ok(index.read.scan(Table::Pages, from, to, Order::Backward, 1)?.pop())
}

/// The page that contains a position before the end of the log.
pub(crate) fn at(index: &Index<'_>, position: u64) -> Result<StoredPage, StorageError> {
    let damage = |what| index.damage(Table::Pages, Some(position), what);
    let row = row_at(index, position)?.ok_or_else(|| damage("a page is missing"))?;
    let page = read_row(index, &row)?;
    if page.end.position <= position {
        return Err(damage("a page is missing"));
    }
    Ok(page)
}

/// At most `limit` rows of pages that begin at `first` or later.
pub(crate) fn rows_from(index: &Index<'_>, first: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
    let from = index.key().position(first);
    let end = crate::codec::after_prefix(&index.key());
    let to = crate::codec::prefix_end(&end);
    index.read.scan(Table::Pages, Bound::Included(&from), to, Order::Forward, limit)
}

/// The entries of a page. No signature is checked again: the row's check stands for the page, and the running hash for what
/// the page refers to, which comes from rows that have no check. `before` is the end of the page that was read last: where
/// this one follows it, its row is not read again.
pub(crate) fn entries(
    index: &Index<'_>,
    page: &StoredPage,
    before: &mut Option<Cursor>,
) -> Result<Vec<Verified>, StorageError> {
    let damage = |what| index.damage(Table::Pages, Some(page.first), what);
    let frame = LogPage::from_bytes(&page.frame).map_err(|_| damage("a page is not in its form"))?;
    let page_error = |error| StorageError::Page { doing: "reading a page", log: index.log.clone(), error };
    let unpacked = unpack_page(&frame.packed).map_err(page_error)?;
    let log = LogBefore::new(index, page.first);
    let read = decode_page(&unpacked, &index.log.workspace, &index.log.partition, &log).map_err(page_error);
    let entries = log.finish(read)?.danger_trust();
    if entries.len() as u64 != page.end.position - page.first {
        return Err(damage("a page has another number of entries than it says"));
    }
    let start = match (page.first.checked_sub(1), before.filter(|end| end.position == page.first)) {
        (None, _) => RunningHash::start(&index.log.workspace, &index.log.partition, &page.end.log),
        (Some(_), Some(end)) => end.hash,
        (Some(last), None) => at(index, last)?.end.hash,
    };
    if entries.iter().fold(start, |hash, entry| hash.then(&entry.id())) != page.end.hash {
        return Err(damage("a page gives other entries than its running hash says: what it refers to is damaged"));
    }
    *before = Some(page.end);
    Ok(entries)
}

/// The running hash at a position, from the end of the page before or from within one.
pub(crate) fn hash_at(index: &Index<'_>, record: &LogRecord, position: u64) -> Result<RunningHash, StorageError> {
    if position == 0 {
        return Ok(record.start());
    }
    if position == record.end.position {
        return Ok(record.end.hash);
    }
    let page = at(index, position - 1)?;
    if page.end.position == position {
        return Ok(page.end.hash);
    }
    let mut hash = match page.first {
        0 => record.start(),
        first => at(index, first - 1)?.end.hash,
    };
    for row in index.rows(page.first, position)? {
        hash = hash.then(&row.id);
    }
    Ok(hash)
}
