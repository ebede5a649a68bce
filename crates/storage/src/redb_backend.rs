//! The backend in one file.

use crate::backend::{Backend, Order, Read, Row, Table, Write};
use crate::error::{Damage, StorageError};
use crate::options::Options;
use crate::overlay::is_empty_range;
use core::fmt;
use core::ops::Bound;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The first bytes of every redb file.
const REDB_MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type OpenDatabase = Box<dyn Fn() -> Result<Database, StorageError> + Send + Sync>;
type Length = Box<dyn Fn() -> Result<u64, StorageError> + Send + Sync>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// Tables in one redb file, or in any [`redb::StorageBackend`].
pub struct RedbBackend {
    open: OpenDatabase,
    length: Length,
    /// None after a failure until it was opened again.
    database: RwLock<Option<Database>>,
    quick_repair: bool,
    /// The disk failed since it was opened.
    is_broken: Arc<AtomicBool>,
}

impl fmt::Debug for RedbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbBackend").field("quick_repair", &self.quick_repair).finish_non_exhaustive()
    }
}

impl RedbBackend {
    /// Creates a file; fails where one is.
    ///
    /// # Errors
    /// [`StorageError::Path`], [`StorageError::Full`], [`StorageError::Io`].
    pub fn create(path: &Path, options: &Options) -> Result<Self, StorageError> {
        const DOING: &str = "creating the store";
        let mut new = File::options();
        new.write(true).create_new(true);
        // The device's secret key is in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
        match new.open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let what = "a file is there already; open it, or name another path";
                return Err(StorageError::Path { doing: DOING, path: path.to_owned(), what });
            }
            Err(error) => return Err(io_error(DOING, error)),
        }
        Self::in_file(path, options)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`StorageError::Locked`], [`StorageError::NotAStore`], [`StorageError::Path`], [`StorageError::Io`].
    pub fn open(path: &Path, options: &Options) -> Result<Self, StorageError> {
        const DOING: &str = "opening the store";
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = "no file is there; create a store, or name its path";
                return Err(StorageError::Path { doing: DOING, path: path.to_owned(), what });
            }
            Err(error) => return Err(io_error(DOING, error)),
        };
        let mut magic = [0; REDB_MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) if magic == REDB_MAGIC => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(io_error(DOING, error)),
            Ok(()) | Err(_) => return Err(StorageError::NotAStore { path: path.to_owned() }),
        }
        drop(file);
        Self::in_file(path, options)
    }

    fn in_file(path: &Path, options: &Options) -> Result<Self, StorageError> {
        let (cache, at) = (options.cache_bytes, path.to_owned());
        let open = move || {
            guarded(|| Database::builder().set_cache_size(cache).create(&at).map_err(|error| open_error(error, &at)))
        };
        let at = path.to_owned();
        let length = move || match std::fs::metadata(&at) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(io_error("asking for the size of the store", error)),
        };
        Self::new(Box::new(open), Box::new(length), options)
    }

    /// Tables in the storage that `open` gives, anew each time it is reopened. For fault tests.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn over<S: redb::StorageBackend>(
        open: impl Fn() -> S + Send + Sync + 'static,
        options: &Options,
    ) -> Result<Self, StorageError> {
        let cache = options.cache_bytes;
        let storage = Arc::new(open);
        let again = Arc::clone(&storage);
        let database = move || {
            guarded(|| {
                Database::builder()
                    .set_cache_size(cache)
                    .create_with_backend(again())
                    .map_err(|error| open_error(error, &PathBuf::new()))
            })
        };
        let length = move || storage().len().map_err(|error| io_error("asking for the size of the store", error));
        Self::new(Box::new(database), Box::new(length), options)
    }

    fn new(open: OpenDatabase, length: Length, options: &Options) -> Result<Self, StorageError> {
        let database = RwLock::new(Some(open()?));
        Ok(Self { open, length, database, quick_repair: options.quick_repair, is_broken: Arc::default() })
    }

    fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        // After the disk failed the database refuses everything until it is opened again.
        if self.is_broken.load(Ordering::Relaxed) {
            self.reopen()?;
        }
        let ran = self.with_open(run);
        noted(&self.is_broken, ran)
    }

    fn with_open<T>(&self, run: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StorageError::Closed)?;
        guarded(|| run(database))
    }
}

/// Remembers that the disk failed.
fn noted<T>(is_broken: &AtomicBool, ran: Result<T, StorageError>) -> Result<T, StorageError> {
    let is_failed = matches!(ran, Err(StorageError::Io { .. } | StorageError::Full { .. } | StorageError::Closed));
    if is_failed && !changeset::planted("a failed read breaks the store") {
        is_broken.store(true, Ordering::Relaxed);
    }
    ran
}

/// redb trusts the file between its own checks and can panic on one that was altered: here that is an error.
fn guarded<T>(run: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let panicked = |_| Err(Damage::new(Table::System, "the file's trees are not as they were written").into());
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(panicked)
}

pub(crate) fn io_error(doing: &'static str, error: std::io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => StorageError::Full { doing },
        _ => StorageError::Io { doing, error: Arc::new(error) },
    }
}

fn error(doing: &'static str, error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(error) => io_error(doing, error),
        redb::Error::Corrupted(_) => Damage::new(Table::System, "the file's trees are not as they were written").into(),
        other => StorageError::Io { doing, error: Arc::new(other) },
    }
}

fn open_error(failed: redb::DatabaseError, path: &Path) -> StorageError {
    match failed {
        redb::DatabaseError::DatabaseAlreadyOpen | redb::DatabaseError::LockProtocolMismatch => {
            StorageError::Locked { path: path.to_owned() }
        }
        redb::DatabaseError::UpgradeRequired(_) => StorageError::NotAStore { path: path.to_owned() },
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
            StorageError::NotAStore { path: path.to_owned() }
        }
        other => error("opening the store", other),
    }
}

impl Backend for RedbBackend {
    fn read(&self) -> Result<Box<dyn Read + Send + Sync>, StorageError> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(|failed| error("reading", failed))?;
            let is_broken = Arc::clone(&self.is_broken);
            Ok(Box::new(RedbRead { transaction, is_broken }) as Box<dyn Read + Send + Sync>)
        })
    }

    fn write(&self, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>) -> Result<(), StorageError> {
        const DOING: &str = "committing";
        self.with(|database| {
            let mut transaction = database.begin_write().map_err(|failed| error(DOING, failed))?;
            transaction.set_quick_repair(self.quick_repair);
            let written = write(&mut RedbWrite { transaction: &transaction, tables: RefCell::default() });
            match written {
                Ok(()) => transaction.commit().map_err(|failed| error(DOING, failed)),
                Err(refused) => {
                    // Where the disk failed it cannot be undone either; opening again undoes it.
                    if transaction.abort().is_err() {
                        self.is_broken.store(true, Ordering::Relaxed);
                    }
                    Err(refused)
                }
            }
        })
    }

    fn compact(&self) -> Result<(), StorageError> {
        const DOING: &str = "compacting";
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_mut().ok_or(StorageError::Closed)?;
        guarded(|| {
            loop {
                match database.compact() {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(redb::CompactionError::TransactionInProgress) => {
                        let what = "a view is held; drop it and try again";
                        return Err(StorageError::Misuse { doing: DOING, what });
                    }
                    Err(failed) => return Err(error(DOING, failed)),
                }
            }
        })
    }

    fn size(&self) -> Result<u64, StorageError> {
        (self.length)()
    }

    fn reopen(&self) -> Result<(), StorageError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Dropped first: its lock would keep the file from being opened again.
        guarded(|| {
            *database = None;
            Ok(())
        })?;
        *database = Some((self.open)()?);
        self.is_broken.store(false, Ordering::Relaxed);
        Ok(())
    }
}

struct RedbRead {
    transaction: ReadTransaction,
    /// A read that fails breaks the database for everybody, until it is opened again.
    is_broken: Arc<AtomicBool>,
}

const READING: &str = "reading";

fn rows(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    order: Order,
    limit: usize,
) -> Result<Vec<Row>, StorageError> {
    let mut range = table.range::<&[u8]>((from, to)).map_err(|failed| error(READING, failed))?;
    let mut rows = Vec::new();
    while rows.len() < limit {
        let next = match order {
            Order::Forward => range.next(),
            Order::Backward => range.next_back(),
        };
        let Some(row) = next else { break };
        let (key, value) = row.map_err(|failed| error(READING, failed))?;
        rows.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(rows)
}

impl Read for RedbRead {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let ran = guarded(|| {
            let table = match self.transaction.open_table(definition(table)) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(failed) => return Err(error(READING, failed)),
            };
            let value = table.get(key).map_err(|failed| error(READING, failed))?;
            Ok(value.map(|value| value.value().to_vec()))
        });
        noted(&self.is_broken, ran)
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        if is_empty_range(from, to) {
            return Ok(Vec::new());
        }
        let ran = guarded(|| match self.transaction.open_table(definition(table)) {
            Ok(table) => rows(&table, from, to, order, limit),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            Err(failed) => Err(error(READING, failed)),
        });
        noted(&self.is_broken, ran)
    }
}

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Tables are opened once in a transaction, when they are first used.
struct RedbWrite<'t> {
    transaction: &'t WriteTransaction,
    tables: RefCell<BTreeMap<Table, OpenTable<'t>>>,
}

impl<'t> RedbWrite<'t> {
    fn with<T>(
        &self,
        table: Table,
        run: impl FnOnce(&mut OpenTable<'t>) -> Result<T, redb::StorageError>,
    ) -> Result<T, StorageError> {
        const DOING: &str = "writing";
        let mut tables = self.tables.borrow_mut();
        if let std::collections::btree_map::Entry::Vacant(vacant) = tables.entry(table) {
            vacant.insert(self.transaction.open_table(definition(table)).map_err(|failed| error(DOING, failed))?);
        }
        match tables.get_mut(&table) {
            Some(table) => run(table).map_err(|failed| error(DOING, failed)),
            None => Ok(Err(redb::StorageError::DatabaseClosed).map_err(|failed| error(DOING, failed))?),
        }
    }
}

impl Read for RedbWrite<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.with(table, |table| Ok(table.get(key)?.map(|value| value.value().to_vec())))
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        if is_empty_range(from, to) {
            return Ok(Vec::new());
        }
        self.with(table, |table| Ok(rows(table, from, to, order, limit)))?
    }
}

impl Write for RedbWrite<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.with(table, |table| table.insert(key, value).map(|_| ()))
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        self.with(table, |table| table.remove(key).map(|_| ()))
    }
}
