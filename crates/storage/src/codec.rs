//! Keys and values as they lie in the tables. Integers in keys are big-endian, so that their order is the order of bytes.

use crate::backend::Table;
use crate::error::{Damage, StorageError};
use changeset::cbor::{Reader, Writer};
use changeset::{ChangeSetId, Cursor, DecodeError, DocumentKey, LogIncarnation, RunningHash};
use core::ops::Bound;

/// A log's short number, so that keys stay short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogNumber(pub(crate) u32);

/// The largest position: six bytes.
pub(crate) const MAX_POSITION: u64 = (1 << 48) - 1;
/// The most bytes of a name of a draft, an index or a value of the replica.
pub(crate) const MAX_NAME_BYTES: usize = 255;
/// The most bytes of an index value.
pub(crate) const MAX_INDEX_VALUE_BYTES: usize = 1024;

/// A key under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn of(log: LogNumber) -> Self {
        Self(log.0.to_be_bytes().to_vec())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    pub(crate) fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(crate) fn position(self, position: u64) -> Self {
        self.bytes(&six(position))
    }

    /// A text of at most 255 bytes, its length before it.
    pub(crate) fn text(self, text: &str) -> Self {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX)).bytes(text.as_bytes())
    }

    pub(crate) fn document(self, document: &DocumentKey) -> Self {
        self.text(document.kind.as_str()).bytes(document.id.as_bytes())
    }

    /// Bytes of any length in an order that what follows does not disturb: 0 becomes 0 255, the end is 0 0.
    pub(crate) fn ordered(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0.push(*byte);
            if *byte == 0 {
                self.0.push(255);
            }
        }
        self.bytes(&[0, 0])
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl core::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Undoes [`Key::ordered`]: the bytes, and what follows them.
pub(crate) fn read_ordered(mut key: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::new();
    loop {
        let (first, rest) = key.split_first()?;
        key = rest;
        if *first == 0 {
            let (second, rest) = key.split_first()?;
            key = rest;
            match second {
                0 => return Some((bytes, key)),
                255 => {}
                _ => return None,
            }
        }
        bytes.push(*first);
    }
}

/// The first key after every key that starts with `prefix`; none if there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 255)?;
    let mut key = prefix.get(..=last)?.to_vec();
    if let Some(byte) = key.last_mut() {
        *byte += 1;
    }
    Some(key)
}

/// The upper bound of a scan of all keys that start with a prefix.
pub(crate) fn prefix_end(end: &Option<Vec<u8>>) -> Bound<&[u8]> {
    end.as_deref().map_or(Bound::Unbounded, Bound::Excluded)
}

pub(crate) fn six(number: u64) -> [u8; 6] {
    let [_, _, bytes @ ..] = number.min(MAX_POSITION).to_be_bytes();
    bytes
}

/// A big-endian number of at most eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The position at the end of a key.
pub(crate) fn position_of(key: &[u8]) -> u64 {
    number(key.split_last_chunk::<6>().map_or(&[][..], |(_, position)| position))
}

const CHECK_BYTES: usize = 16;

fn check(table: Table, key: &[u8], content: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.name().as_bytes()).update(&(key.len() as u64).to_be_bytes()).update(key).update(content);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

/// A value with its check before it: sixteen bytes of a hash over table, key and value.
pub(crate) fn checked(table: Table, key: &[u8], content: &[u8]) -> Vec<u8> {
    [&check(table, key, content)[..], content].concat()
}

/// Undoes [`checked`].
pub(crate) fn unchecked<'a>(table: Table, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StorageError> {
    match value.split_at_checked(CHECK_BYTES) {
        Some((found, content)) if found == check(table, key, content) => Ok(content),
        _ => Err(Damage::new(table, "a value does not match its check").into()),
    }
}

/// For values that were checked already: their form is wrong only if this program is.
pub(crate) fn malformed(table: Table) -> impl Fn(DecodeError) -> StorageError {
    move |_| Damage::new(table, "a value is not in its form").into()
}

pub(crate) fn write_cursor(out: &mut Writer, cursor: Option<&Cursor>) {
    match cursor {
        None => out.null(),
        Some(cursor) => {
            out.array(3);
            out.bytes(cursor.log.as_bytes());
            out.uint(cursor.position);
            out.bytes(cursor.hash.as_bytes());
        }
    }
}

pub(crate) fn read_cursor(reader: &mut Reader<'_>) -> Result<Option<Cursor>, DecodeError> {
    if reader.null() {
        return Ok(None);
    }
    reader.array_of(3)?;
    let log = LogIncarnation::from_bytes(reader.fixed()?);
    let position = reader.uint(u64::MAX)?;
    Ok(Some(Cursor { log, position, hash: RunningHash::from_bytes(reader.fixed()?) }))
}

/// The part of an id that the id index keeps; the rest is compared with the entry's row.
pub(crate) fn id_prefix(id: &ChangeSetId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// A name that fits a key.
pub(crate) fn check_name(doing: &'static str, name: &str) -> Result<(), StorageError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(StorageError::Misuse { doing, what: "the name has more than 255 bytes" });
    }
    Ok(())
}
