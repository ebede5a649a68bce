//! Rows that are read and written by name: peers, documents and their indexes, snapshots, drafts, values of the replica.

use crate::backend::{Order, Read, Row, Table, Write};
use crate::codec::{
    Key, LogNumber, MAX_INDEX_VALUE_BYTES, MAX_NAME_BYTES, MAX_POSITION, after_prefix, check_name, checked, malformed,
    prefix_end, read_cursor, read_ordered, unchecked, write_cursor,
};
use crate::error::{Damage, StorageError};
use crate::index::read_document;
use crate::model::{DocumentRecord, PeerState};
use changeset::cbor::{Reader, Writer};
use changeset::{Cursor, DecodeError, DocumentId, DocumentKey, Kind, PublicKey};
use core::ops::{Bound, Range};

/// The most bytes of a value: a snapshot, a receipt, a draft, a summary.
pub(crate) const MAX_VALUE_BYTES: usize = 64 << 20;
/// The most index values of a document record.
const MAX_INDEXED: usize = 256;

pub(crate) fn get(read: &(impl Read + ?Sized), table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    match read.get(table, key)? {
        Some(value) => Ok(Some(unchecked(table, key, &value)?.to_vec())),
        None => Ok(None),
    }
}

fn set(write: &mut dyn Write, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
    match value {
        Some(value) if value.len() > MAX_VALUE_BYTES => {
            Err(StorageError::Misuse { doing: "keeping a value", what: "it has more than 64 MiB" })
        }
        Some(value) => write.put(table, key, &checked(table, key, value)),
        None => write.delete(table, key),
    }
}

/// Every row whose key starts with `prefix`, checked.
pub(crate) fn with_prefix(read: &(impl Read + ?Sized), table: Table, prefix: &[u8]) -> Result<Vec<Row>, StorageError> {
    let end = after_prefix(prefix);
    let rows = read.scan(table, Bound::Included(prefix), prefix_end(&end), Order::Forward, usize::MAX)?;
    let row = |(key, value): (Vec<u8>, Vec<u8>)| {
        let content = unchecked(table, &key, &value)?.to_vec();
        Ok((key, content))
    };
    rows.into_iter().map(row).collect()
}

fn key_damage(table: Table) -> StorageError {
    Damage::new(table, "a key is not in its form").into()
}

// Peers.

fn peer_key(number: LogNumber, peer: &PublicKey) -> Key {
    Key::of(number).bytes(peer.as_bytes())
}

fn read_peer(bytes: &[u8]) -> Result<PeerState, DecodeError> {
    let mut reader = Reader::new(bytes, "peer row");
    reader.array_of(4)?;
    let (cursor, acknowledged) = (read_cursor(&mut reader)?, read_cursor(&mut reader)?);
    let receipt = if reader.null() { None } else { Some(reader.bytes(MAX_VALUE_BYTES)?.to_vec()) };
    let receipt_ms = reader.uint(u64::MAX)?;
    reader.finish()?;
    Ok(PeerState { cursor, acknowledged, receipt, receipt_ms })
}

pub(crate) fn peer(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    peer: &PublicKey,
) -> Result<PeerState, StorageError> {
    let row = get(read, Table::Peers, &peer_key(number, peer))?;
    row.map_or_else(|| Ok(PeerState::default()), |row| read_peer(&row).map_err(malformed(Table::Peers)))
}

pub(crate) fn peers(
    read: &(impl Read + ?Sized),
    number: LogNumber,
) -> Result<Vec<(PublicKey, PeerState)>, StorageError> {
    let peer = |(key, row): (Vec<u8>, Vec<u8>)| {
        let name = key.get(4..).and_then(|name| <[u8; 32]>::try_from(name).ok());
        let name = name.ok_or_else(|| key_damage(Table::Peers))?;
        Ok((PublicKey::from_bytes(name), read_peer(&row).map_err(malformed(Table::Peers))?))
    };
    with_prefix(read, Table::Peers, &Key::of(number))?.into_iter().map(peer).collect()
}

fn set_peer(
    write: &mut dyn Write,
    number: LogNumber,
    name: &PublicKey,
    change: impl FnOnce(&mut PeerState),
) -> Result<(), StorageError> {
    let mut state = peer(&*write, number, name)?;
    change(&mut state);
    let mut out = Writer::new();
    out.array(4);
    write_cursor(&mut out, state.cursor.as_ref());
    write_cursor(&mut out, state.acknowledged.as_ref());
    match &state.receipt {
        Some(receipt) => out.bytes(receipt),
        None => out.null(),
    }
    out.uint(state.receipt_ms);
    set(write, Table::Peers, &peer_key(number, name), Some(&out.into_bytes()))
}

pub(crate) fn set_cursor(
    write: &mut dyn Write,
    number: LogNumber,
    peer: &PublicKey,
    cursor: Option<Cursor>,
) -> Result<(), StorageError> {
    set_peer(write, number, peer, |state| state.cursor = cursor)
}

pub(crate) fn set_receipt(
    write: &mut dyn Write,
    number: LogNumber,
    peer: &PublicKey,
    acknowledged: Cursor,
    bytes: &[u8],
    now_ms: u64,
) -> Result<(), StorageError> {
    set_peer(write, number, peer, |state| {
        state.acknowledged = Some(acknowledged);
        state.receipt = Some(bytes.to_vec());
        state.receipt_ms = now_ms;
    })
}

// Snapshots, drafts, values of the replica.

fn document_key(number: LogNumber, document: &DocumentKey) -> Key {
    Key::of(number).document(document)
}

pub(crate) fn snapshot(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    document: &DocumentKey,
) -> Result<Option<Vec<u8>>, StorageError> {
    get(read, Table::Snapshots, &document_key(number, document))
}

pub(crate) fn set_snapshot(
    write: &mut dyn Write,
    number: LogNumber,
    document: &DocumentKey,
    bytes: Option<&[u8]>,
) -> Result<(), StorageError> {
    set(write, Table::Snapshots, &document_key(number, document), bytes)
}

pub(crate) fn draft(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    name: &str,
) -> Result<Option<Vec<u8>>, StorageError> {
    get(read, Table::Drafts, &Key::of(number).bytes(name.as_bytes()))
}

pub(crate) fn drafts(read: &(impl Read + ?Sized), number: LogNumber) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
    let draft = |(key, row): (Vec<u8>, Vec<u8>)| {
        let name = key.get(4..).and_then(|name| core::str::from_utf8(name).ok());
        Ok((name.ok_or_else(|| key_damage(Table::Drafts))?.to_owned(), row))
    };
    with_prefix(read, Table::Drafts, &Key::of(number))?.into_iter().map(draft).collect()
}

pub(crate) fn set_draft(
    write: &mut dyn Write,
    number: LogNumber,
    name: &str,
    bytes: Option<&[u8]>,
) -> Result<(), StorageError> {
    check_name("keeping a draft", name)?;
    set(write, Table::Drafts, &Key::of(number).bytes(name.as_bytes()), bytes)
}

pub(crate) fn set_meta(write: &mut dyn Write, name: &str, bytes: Option<&[u8]>) -> Result<(), StorageError> {
    check_name("keeping a value", name)?;
    set(write, Table::Meta, name.as_bytes(), bytes)
}

// Documents and their indexes.

pub(crate) fn read_record(key: &[u8], row: &[u8]) -> Result<DocumentRecord, StorageError> {
    let document = key.get(4..).and_then(read_document).ok_or_else(|| key_damage(Table::Documents))?;
    let read = || {
        let mut reader = Reader::new(row, "document row");
        reader.array_of(3)?;
        let position = reader.uint(MAX_POSITION)?;
        let mut indexed = Vec::new();
        for _ in 0..reader.array(MAX_INDEXED)? {
            reader.array_of(2)?;
            let name = reader.text(MAX_NAME_BYTES)?.to_owned();
            indexed.push((name, reader.bytes(MAX_INDEX_VALUE_BYTES)?.to_vec()));
        }
        let summary = reader.bytes(MAX_VALUE_BYTES)?.to_vec();
        reader.finish()?;
        Ok(DocumentRecord { key: document, position, indexed, summary })
    };
    read().map_err(malformed(Table::Documents))
}

pub(crate) fn document(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    document: &DocumentKey,
) -> Result<Option<DocumentRecord>, StorageError> {
    let key = document_key(number, document);
    get(read, Table::Documents, &key)?.map(|row| read_record(&key, &row)).transpose()
}

pub(crate) fn documents(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    kind: Option<&Kind>,
) -> Result<Vec<DocumentRecord>, StorageError> {
    let prefix = kind.map_or_else(|| Key::of(number), |kind| Key::of(number).text(kind.as_str()));
    with_prefix(read, Table::Documents, &prefix)?.iter().map(|(key, row)| read_record(key, row)).collect()
}

fn index_prefix(number: LogNumber, kind: &Kind, name: &str) -> Key {
    Key::of(number).text(kind.as_str()).text(name)
}

pub(crate) fn index_keys(number: LogNumber, record: &DocumentRecord) -> impl Iterator<Item = Key> + '_ {
    record.indexed.iter().map(move |(name, value)| {
        index_prefix(number, &record.key.kind, name).ordered(value).bytes(record.key.id.as_bytes())
    })
}

pub(crate) fn remove_document(write: &mut dyn Write, number: LogNumber, key: &DocumentKey) -> Result<(), StorageError> {
    let Some(old) = document(&*write, number, key)? else { return Ok(()) };
    for row in index_keys(number, &old) {
        write.delete(Table::Indexes, &row)?;
    }
    write.delete(Table::Documents, &document_key(number, key))
}

pub(crate) fn set_document(
    write: &mut dyn Write,
    number: LogNumber,
    record: &DocumentRecord,
) -> Result<(), StorageError> {
    const DOING: &str = "keeping a document's record";
    let refuse = |what| Err(StorageError::Misuse { doing: DOING, what });
    if record.indexed.len() > MAX_INDEXED {
        return refuse("it has more than 256 index values");
    }
    for (name, value) in &record.indexed {
        check_name(DOING, name)?;
        if value.len() > MAX_INDEX_VALUE_BYTES {
            return refuse("an index value has more than 1,024 bytes");
        }
    }
    if record.position > MAX_POSITION {
        return refuse("its position is beyond the largest");
    }
    remove_document(write, number, &record.key)?;
    let mut out = Writer::with_capacity(record.summary.len() + 64);
    out.array(3);
    out.uint(record.position);
    out.array(record.indexed.len());
    for (name, value) in &record.indexed {
        out.array(2);
        out.text(name);
        out.bytes(value);
    }
    out.bytes(&record.summary);
    set(write, Table::Documents, &document_key(number, &record.key), Some(&out.into_bytes()))?;
    for row in index_keys(number, record) {
        write.put(Table::Indexes, &row, &[])?;
    }
    Ok(())
}

pub(crate) fn scan(
    read: &(impl Read + ?Sized),
    number: LogNumber,
    kind: &Kind,
    name: &str,
    values: Range<&[u8]>,
    limit: usize,
    after: Option<&(Vec<u8>, DocumentKey)>,
) -> Result<Vec<(Vec<u8>, DocumentKey)>, StorageError> {
    let prefix = || index_prefix(number, kind, name);
    let from = match after {
        Some((value, document)) => Bound::Excluded(prefix().ordered(value).bytes(document.id.as_bytes())),
        None => Bound::Included(prefix().ordered(values.start)),
    };
    let from = match &from {
        Bound::Excluded(key) => Bound::Excluded(&key[..]),
        Bound::Included(key) => Bound::Included(&key[..]),
        Bound::Unbounded => Bound::Unbounded,
    };
    let end = prefix().ordered(values.end);
    let length = prefix().len();
    let row = |(key, _): (Vec<u8>, Vec<u8>)| {
        let (value, id) = key.get(length..).and_then(read_ordered)?;
        let id = DocumentId::from_bytes(<[u8; 16]>::try_from(id).ok()?);
        Some((value, DocumentKey { kind: kind.clone(), id }))
    };
    let rows = read.scan(Table::Indexes, from, Bound::Excluded(&end), Order::Forward, limit)?;
    rows.into_iter().map(|found| row(found).ok_or_else(|| key_damage(Table::Indexes))).collect()
}
