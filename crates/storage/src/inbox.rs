//! What waits: entries that miss something, are attested by nothing yet, or were not admitted.

use crate::backend::{Order, Read, Table, Write};
use crate::codec::{Key, LogNumber, after_prefix, checked, malformed, prefix_end, unchecked};
use crate::error::{Damage, StorageError};
use crate::index::{read_source, source_bytes};
use crate::log_record::LogRecord;
use crate::model::{Held, LogKey, Waiting};
use changeset::cbor::{Reader, Writer};
use changeset::limits::{MAX_PAGE_BYTES, MAX_PARENTS};
use changeset::{ChangeSetId, DecodeError, PageError, Verified, danger_encode_unattested, decode_runs};
use core::ops::Bound;

/// The most bytes of an admission's reason; the rest is cut off.
pub(crate) const MAX_REASON_BYTES: usize = 1024;

fn key(number: LogNumber, id: &ChangeSetId) -> Key {
    Key::of(number).bytes(id.as_bytes())
}

fn awaited(number: LogNumber, missing: &ChangeSetId, waiter: &ChangeSetId) -> Key {
    key(number, missing).bytes(waiter.as_bytes())
}

fn encode(waiting: &Waiting) -> Result<Vec<u8>, PageError> {
    let run = danger_encode_unattested(core::slice::from_ref(&waiting.entry))?;
    let mut out = Writer::with_capacity(run.len() + 128);
    out.array(5);
    match &waiting.why {
        Held::Missing(ids) => {
            out.uint(0);
            out.array(ids.len());
            ids.iter().for_each(|id| out.bytes(id.as_bytes()));
        }
        Held::Unsigned => {
            out.uint(1);
            out.null();
        }
        Held::Admission(reason) => {
            out.uint(2);
            let end = (0..=reason.len().min(MAX_REASON_BYTES)).rev().find(|end| reason.is_char_boundary(*end));
            out.text(end.and_then(|end| reason.get(..end)).unwrap_or_default());
        }
    }
    out.bytes(&source_bytes(&waiting.source));
    out.uint(waiting.since_ms);
    out.bytes(&run);
    Ok(out.into_bytes())
}

fn decode(bytes: &[u8], log: &LogKey) -> Result<Option<Waiting>, DecodeError> {
    let mut reader = Reader::new(bytes, "inbox row");
    reader.array_of(5)?;
    let why = match reader.uint(2)? {
        0 => {
            let mut ids = Vec::new();
            for _ in 0..reader.array(MAX_PARENTS + 1)? {
                ids.push(ChangeSetId::from_bytes(reader.fixed()?));
            }
            Held::Missing(ids)
        }
        1 => {
            reader.null();
            Held::Unsigned
        }
        _ => Held::Admission(reader.text(MAX_REASON_BYTES)?.to_owned()),
    };
    let source = read_source(reader.bytes(64)?);
    let since_ms = reader.uint(u64::MAX)?;
    let run = reader.bytes(MAX_PAGE_BYTES)?;
    reader.finish()?;
    let page = decode_runs(run, &log.workspace, &log.partition).ok();
    let entry = page.and_then(|page| page.danger_trust().into_iter().next());
    Ok(entry.zip(source).map(|(entry, source)| Waiting { entry, why, source, since_ms }))
}

fn read_row(log: &LogKey, key: &[u8], value: &[u8]) -> Result<Waiting, StorageError> {
    let waiting = decode(unchecked(Table::Inbox, key, value)?, log).map_err(malformed(Table::Inbox))?;
    waiting.ok_or_else(|| Damage::new(Table::Inbox, "a value is not in its form").into())
}

/// What waits under an id.
pub(crate) fn get(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    log: &LogKey,
    id: &ChangeSetId,
) -> Result<Option<Waiting>, StorageError> {
    let key = key(number, id);
    read.get(Table::Inbox, &key)?.map(|value| read_row(log, &key, &value)).transpose()
}

/// Whether something waits under an id.
pub(crate) fn has(read: &(impl Read + ?Sized), number: LogNumber, id: &ChangeSetId) -> Result<bool, StorageError> {
    Ok(read.get(Table::Inbox, &key(number, id))?.is_some())
}

/// Everything that waits for a log, by id.
pub(crate) fn all(read: &(impl Read + ?Sized), number: LogNumber, log: &LogKey) -> Result<Vec<Waiting>, StorageError> {
    let prefix = Key::of(number);
    let end = after_prefix(&prefix);
    let rows = read.scan(Table::Inbox, Bound::Included(&prefix), prefix_end(&end), Order::Forward, usize::MAX)?;
    rows.iter().map(|(key, value)| read_row(log, key, value)).collect()
}

/// The ids of what waits for an id.
pub(crate) fn waiters(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    missing: &ChangeSetId,
) -> Result<Vec<ChangeSetId>, StorageError> {
    let prefix = key(number, missing);
    let end = after_prefix(&prefix);
    let rows = read.scan(Table::Awaited, Bound::Included(&prefix), prefix_end(&end), Order::Forward, usize::MAX)?;
    let waiter = |(key, _): &(Vec<u8>, Vec<u8>)| {
        let damage = || Damage::new(Table::Awaited, "a key has another length").into();
        key.last_chunk::<32>().map(|id| ChangeSetId::from_bytes(*id)).ok_or_else(damage)
    };
    rows.iter().map(waiter).collect()
}

/// Lets an entry wait. Gives whether there was room.
pub(crate) fn park(
    write: &mut dyn Write,
    number: LogNumber,
    record: &mut LogRecord,
    limits: (u64, u64),
    waiting: &Waiting,
) -> Result<bool, StorageError> {
    let id = waiting.entry.id();
    let key = key(number, &id);
    let doing = "keeping an entry that waits";
    let row = encode(waiting).map_err(|error| StorageError::Page { doing, log: record.key.clone(), error })?;
    let value = checked(Table::Inbox, &key, &row);
    let bytes = record.waiting_bytes.saturating_add(value.len() as u64);
    if record.waiting >= limits.0 || bytes > limits.1 {
        return Ok(false);
    }
    write.put(Table::Inbox, &key, &value)?;
    if let Held::Missing(ids) = &waiting.why {
        for missing in ids {
            write.put(Table::Awaited, &awaited(number, missing, &id), &[])?;
        }
    }
    record.waiting += 1;
    record.waiting_bytes = bytes;
    Ok(true)
}

/// Takes an entry out, if it waits, whatever for.
pub(crate) fn unpark(
    write: &mut dyn Write,
    number: LogNumber,
    record: &mut LogRecord,
    id: &ChangeSetId,
) -> Result<Option<Waiting>, StorageError> {
    let key = key(number, id);
    let Some(value) = write.get(Table::Inbox, &key)? else { return Ok(None) };
    let waiting = read_row(&record.key, &key, &value)?;
    write.delete(Table::Inbox, &key)?;
    if let Held::Missing(ids) = &waiting.why {
        for missing in ids {
            write.delete(Table::Awaited, &awaited(number, missing, id))?;
        }
    }
    record.waiting = record.waiting.saturating_sub(1);
    record.waiting_bytes = record.waiting_bytes.saturating_sub(value.len() as u64);
    Ok(Some(waiting))
}

/// What an entry names as previous and as parents.
pub(crate) fn needs(entry: &Verified) -> impl Iterator<Item = &ChangeSetId> {
    entry.header().previous.iter().chain(&entry.header().parents)
}
