//! What happens to a store behind its back: bytes of its file, or rows of its tables.

use arbitrary::Arbitrary;
use redb::StorageBackend;
use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::{Backend, Order, Row, StorageError, Table};

/// The most harms of one case.
const MAX_HARMS: usize = 12;
/// No file here grows beyond this: a damaged length is a full disk, not all the memory.
const MAX_FILE_BYTES: u64 = 32 << 20;
const BLOCK: usize = 512;

/// What is done to the bytes of a file. Places are counted among the blocks that hold anything.
#[derive(Arbitrary, Clone, Debug)]
pub enum FileHarm {
    Flip { at: u32, bit: u8 },
    Set { at: u32, to: Vec<u8> },
    Zero { at: u32, length: u16 },
    Swap { one: u16, other: u16 },
    Copy { from: u16, to: u16 },
    Cut { to: u32 },
    Longer { by: u16 },
}

/// What is done to rows of the tables.
#[derive(Arbitrary, Clone, Debug)]
pub struct RowHarm {
    table: u8,
    row: u8,
    how: HowRow,
}

#[derive(Arbitrary, Clone, Debug)]
enum HowRow {
    Flip {
        at: u16,
        bit: u8,
    },
    Set {
        at: u16,
        to: Vec<u8>,
    },
    Zero {
        at: u16,
        length: u8,
    },
    Cut {
        to: u16,
    },
    Longer(Vec<u8>),
    Delete,
    /// The value of another row of the table.
    Swap {
        other: u8,
    },
    /// The same under another key.
    Rename {
        at: u8,
        to: u8,
    },
    Add {
        key: Vec<u8>,
        value: Vec<u8>,
    },
}

/// A file in memory, shared by all that open it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    /// A disk with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// What is on it.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, offset: u64, length: usize) -> Result<(MutexGuard<'_, Vec<u8>>, usize, usize), Error> {
        let file = self.lock();
        let from = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let to = from.checked_add(length).filter(|to| *to <= file.len()).ok_or(ErrorKind::UnexpectedEof)?;
        Ok((file, from, to))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let (file, from, to) = self.range(offset, out.len())?;
        out.copy_from_slice(&file[from..to]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        if length > MAX_FILE_BYTES {
            return Err(ErrorKind::StorageFull.into());
        }
        self.lock().resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let (mut file, from, to) = self.range(offset, data.len())?;
        file[from..to].copy_from_slice(data);
        Ok(())
    }
}

/// Where the blocks of a file begin that hold anything.
pub fn used(bytes: &[u8]) -> Vec<usize> {
    let blocks = bytes.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0));
    blocks.map(|(number, _)| number * BLOCK).collect()
}

fn fill(bytes: &mut [u8], from: usize, with: impl IntoIterator<Item = u8>) {
    bytes.iter_mut().skip(from).zip(with).for_each(|(byte, with)| *byte = with);
}

/// Harms a file; `used` are its blocks as [`used`] gives them.
pub fn harm_file(bytes: &mut Vec<u8>, used: &[usize], harms: &[FileHarm]) {
    let block = |number: u16| used[usize::from(number) % used.len()];
    let place = |at: u32| block((at / BLOCK as u32) as u16) + at as usize % BLOCK;
    for harm in harms.iter().take(MAX_HARMS) {
        match harm {
            FileHarm::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(place(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            FileHarm::Set { at, to } => fill(bytes, place(*at), to.iter().copied()),
            FileHarm::Zero { at, length } => fill(bytes, place(*at), (0..*length).map(|_| 0)),
            FileHarm::Swap { one, other } => {
                let (one, other) = (block(*one), block(*other));
                if one.max(other) + BLOCK <= bytes.len() {
                    (0..BLOCK).for_each(|at| bytes.swap(one + at, other + at));
                }
            }
            FileHarm::Copy { from, to } => {
                let from = block(*from);
                let copy: Vec<u8> = bytes.iter().skip(from).take(BLOCK).copied().collect();
                fill(bytes, block(*to), copy);
            }
            FileHarm::Cut { to } => bytes.truncate(place(*to)),
            FileHarm::Longer { by } => bytes.resize(bytes.len() + usize::from(*by), 0xa5),
        }
    }
}

fn rows(backend: &dyn Backend, table: Table) -> Result<Vec<Row>, StorageError> {
    backend.read()?.scan(table, Bound::Unbounded, Bound::Unbounded, Order::Forward, usize::MAX)
}

/// Harms rows of tables.
///
/// # Errors
/// [`StorageError`] of the backend.
pub fn harm_rows(backend: &dyn Backend, harms: &[RowHarm]) -> Result<(), StorageError> {
    for RowHarm { table, row, how } in harms.iter().take(MAX_HARMS) {
        let table = Table::ALL[usize::from(*table) % Table::ALL.len()];
        let rows = rows(backend, table)?;
        let at = |number: u8| rows.get(usize::from(number).checked_rem(rows.len())?).cloned();
        let Some((key, mut value)) = at(*row) else { continue };
        let place = |at: u16| usize::from(at).checked_rem(value.len()).unwrap_or(0);
        let (mut put, mut delete) = (None, None);
        match how {
            HowRow::Flip { at, bit } => {
                let at = place(*at);
                if let Some(byte) = value.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            HowRow::Set { at, to } => {
                let at = place(*at);
                fill(&mut value, at, to.iter().copied());
            }
            HowRow::Zero { at, length } => {
                let at = place(*at);
                fill(&mut value, at, (0..*length).map(|_| 0));
            }
            HowRow::Cut { to } => value.truncate(place(*to)),
            HowRow::Longer(more) => value.extend(more),
            HowRow::Delete => delete = Some(key.clone()),
            HowRow::Swap { other } => {
                if let Some((other_key, other_value)) = at(*other) {
                    put = Some((other_key, std::mem::replace(&mut value, other_value)));
                }
            }
            HowRow::Rename { at, to } => {
                let mut other = key.clone();
                if let Some(byte) = usize::from(*at).checked_rem(other.len()).and_then(|at| other.get_mut(at)) {
                    *byte = *to;
                }
                delete = Some(key.clone());
                put = Some((other, value.clone()));
            }
            HowRow::Add { key, value } => put = Some((key.clone(), value.clone())),
        }
        backend.write(&mut |write| {
            write.put(table, &key, &value)?;
            if let Some(key) = &delete {
                write.delete(table, key)?;
            }
            if let Some((key, value)) = &put {
                write.put(table, key, value)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
