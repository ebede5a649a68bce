//! Where each log stands: its row, and the way from its name to its number.

use crate::backend::{Order, Read, Table, Write};
use crate::codec::{LogNumber, MAX_POSITION, checked, malformed, unchecked};
use crate::error::{Damage, StorageError};
use crate::model::{LogKey, LogState};
use changeset::cbor::{Reader, Writer};
use changeset::limits::MAX_PARTITION_BYTES;
use changeset::{ChangeSetId, Cursor, DecodeError, LogIncarnation, Partition, RunningHash, WorkspaceId};
use core::ops::Bound;

/// The row of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) key: LogKey,
    pub(crate) end: Cursor,
    pub(crate) pages: u64,
    pub(crate) bytes: u64,
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    /// Merging of full pages has passed this position.
    pub(crate) merged: u64,
}

impl LogRecord {
    pub(crate) fn new(key: LogKey, log: LogIncarnation) -> Self {
        let hash = RunningHash::start(&key.workspace, &key.partition, &log);
        let end = Cursor { log, position: 0, hash };
        Self { key, end, pages: 0, bytes: 0, waiting: 0, waiting_bytes: 0, merged: 0 }
    }

    /// The running hash before the first entry.
    pub(crate) fn start(&self) -> RunningHash {
        RunningHash::start(&self.key.workspace, &self.key.partition, &self.end.log)
    }

    pub(crate) fn push(&mut self, id: &ChangeSetId) {
        self.end.position += 1;
        self.end.hash = self.end.hash.then(id);
    }

    pub(crate) fn state(&self) -> LogState {
        let Self { end, pages, bytes, waiting, waiting_bytes, .. } = self;
        LogState { end: *end, pages: *pages, bytes: *bytes, waiting: *waiting, waiting_bytes: *waiting_bytes }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.array(10);
        out.bytes(self.key.workspace.as_bytes());
        out.text(self.key.partition.as_str());
        out.bytes(self.end.log.as_bytes());
        out.uint(self.end.position);
        out.bytes(self.end.hash.as_bytes());
        for number in [self.pages, self.bytes, self.waiting, self.waiting_bytes, self.merged] {
            out.uint(number);
        }
        out.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "log row");
        reader.array_of(10)?;
        let workspace = WorkspaceId::from_bytes(reader.fixed()?);
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let log = LogIncarnation::from_bytes(reader.fixed()?);
        let position = reader.uint(MAX_POSITION)?;
        let end = Cursor { log, position, hash: RunningHash::from_bytes(reader.fixed()?) };
        let record = Self {
            key: LogKey { workspace, partition },
            end,
            pages: reader.uint(u64::MAX)?,
            bytes: reader.uint(u64::MAX)?,
            waiting: reader.uint(u64::MAX)?,
            waiting_bytes: reader.uint(u64::MAX)?,
            merged: reader.uint(MAX_POSITION)?,
        };
        reader.finish()?;
        Ok(record)
    }
}

fn name_key(log: &LogKey) -> Vec<u8> {
    [log.workspace.as_bytes(), log.partition.as_str().as_bytes()].concat()
}

/// The number of a log, if it has one.
pub(crate) fn number_of(read: &(impl Read + ?Sized), log: &LogKey) -> Result<Option<LogNumber>, StorageError> {
    let Some(value) = read.get(Table::LogNames, &name_key(log))? else {
        return Ok(None);
    };
    let content = unchecked(Table::LogNames, &name_key(log), &value)?;
    match <[u8; 4]>::try_from(content) {
        Ok(number) => Ok(Some(LogNumber(u32::from_be_bytes(number)))),
        Err(_) => Err(Damage::new(Table::LogNames, "a value is not in its form").into()),
    }
}

/// The row of a log by its number.
pub(crate) fn record_of(read: &(impl Read + ?Sized), number: LogNumber) -> Result<LogRecord, StorageError> {
    let key = number.0.to_be_bytes();
    let missing = || StorageError::from(Damage::new(Table::Logs, "a row is missing"));
    let value = read.get(Table::Logs, &key)?.ok_or_else(missing)?;
    LogRecord::from_bytes(unchecked(Table::Logs, &key, &value)?).map_err(malformed(Table::Logs))
}

/// Number and row of a log, if it has any.
pub(crate) fn find(read: &(impl Read + ?Sized), log: &LogKey) -> Result<Option<(LogNumber, LogRecord)>, StorageError> {
    let Some(number) = number_of(read, log)? else { return Ok(None) };
    let record = record_of(read, number)?;
    if record.key != *log {
        return Err(Damage::new(Table::LogNames, "a name leads to another log").into());
    }
    Ok(Some((number, record)))
}

/// Every log, by number.
pub(crate) fn all(read: &(impl Read + ?Sized)) -> Result<Vec<(LogNumber, LogRecord)>, StorageError> {
    let mut logs = Vec::new();
    for (key, value) in read.scan(Table::Logs, Bound::Unbounded, Bound::Unbounded, Order::Forward, usize::MAX)? {
        let record = LogRecord::from_bytes(unchecked(Table::Logs, &key, &value)?).map_err(malformed(Table::Logs))?;
        let number = <[u8; 4]>::try_from(&key[..]).map_err(|_| Damage::new(Table::Logs, "a key has another length"))?;
        logs.push((LogNumber(u32::from_be_bytes(number)), record));
    }
    Ok(logs)
}

/// Writes a log's row.
pub(crate) fn put(write: &mut dyn Write, number: LogNumber, record: &LogRecord) -> Result<(), StorageError> {
    let key = number.0.to_be_bytes();
    write.put(Table::Logs, &key, &checked(Table::Logs, &key, &record.to_bytes()))
}

/// Begins a log: the next number, and rows for both ways.
pub(crate) fn begin(
    write: &mut dyn Write,
    log: &LogKey,
    incarnation: LogIncarnation,
) -> Result<(LogNumber, LogRecord), StorageError> {
    let last = write.scan(Table::Logs, Bound::Unbounded, Bound::Unbounded, Order::Backward, 1)?;
    let last = last.first().and_then(|(key, _)| <[u8; 4]>::try_from(&key[..]).ok()).map_or(0, u32::from_be_bytes);
    let number = LogNumber(last + 1);
    let (name, record) = (name_key(log), LogRecord::new(log.clone(), incarnation));
    write.put(Table::LogNames, &name, &checked(Table::LogNames, &name, &number.0.to_be_bytes()))?;
    put(write, number, &record)?;
    Ok((number, record))
}
