//! Copies of a store, made while it runs, and put in place.

use crate::backend::{Backend, Order, Read, Table};
use crate::error::StorageError;
use crate::maintain::Progress;
use crate::mark::{self, Mark};
use crate::options::Options;
use crate::redb_backend::{RedbBackend, io_error};
use core::ops::Bound;
use std::path::{Path, PathBuf};

/// Rows of one transaction of a copy, and the bytes after which it ends all the same.
const ROWS: usize = 1000;
const BYTES: usize = 8 << 20;

/// A file under a name of its own until it is whole; removed if it never is.
struct Unfinished {
    path: PathBuf,
    is_done: bool,
}

impl Unfinished {
    fn beside(to: &Path, doing: &'static str) -> Result<Self, StorageError> {
        if to.exists() {
            let what = "a file is there already; name another path";
            return Err(StorageError::Path { doing, path: to.to_owned(), what });
        }
        let mut name = to.as_os_str().to_owned();
        name.push(".unfinished");
        let path = PathBuf::from(name);
        // What an earlier attempt left behind, if a crash ended it.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(doing, error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path, is_done: false })
    }

    /// Gives it its name, durably.
    fn finish(mut self, to: &Path, doing: &'static str) -> Result<(), StorageError> {
        let renamed = || {
            std::fs::File::open(&self.path)?.sync_all()?;
            // A hard link fails where a file is by now; a rename would replace it.
            match std::fs::hard_link(&self.path, to) {
                Ok(()) => std::fs::remove_file(&self.path)?,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => std::fs::rename(&self.path, to)?,
            }
            mark::sync_folder(to)
        };
        renamed().map_err(|error| io_error(doing, error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            let _stays_until_the_next_attempt = std::fs::remove_file(&self.path);
        }
    }
}

/// Copies every row of a snapshot to a new file, whose mark says that it is a backup.
pub(crate) fn backup(
    from: &(dyn Read + Send + Sync),
    to: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<(), StorageError> {
    const DOING: &str = "writing a backup to";
    let file = Unfinished::beside(to, DOING)?;
    let total = crate::log_record::all(from)?.iter().map(|(_, record)| record.bytes).sum();
    let mut done = 0;
    {
        let copy = RedbBackend::create(&file.path, &Options::default())?;
        copy_rows(from, &copy, |bytes| {
            done += bytes;
            progress(Progress { done, total: u64::max(total, done) });
        })?;
        copy.write(&mut |write| mark::put_mark(write, Mark::BACKUP))?;
    }
    file.finish(to, DOING)
}

/// Copies every row; `progress` hears the bytes of pages copied.
pub(crate) fn copy_rows(
    from: &(dyn Read + Send + Sync),
    to: &dyn Backend,
    mut progress: impl FnMut(u64),
) -> Result<(), StorageError> {
    for table in Table::ALL {
        let mut after: Option<Vec<u8>> = None;
        // Pages are few and large, so they are read a few at a time.
        let rows = if table == Table::Pages { 16 } else { ROWS };
        loop {
            let mut next = after.clone();
            let (mut bytes, mut is_last) = (0, false);
            to.write(&mut |write| {
                next.clone_from(&after);
                bytes = 0;
                while bytes < BYTES {
                    let start = next.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                    let found = from.scan(table, start, Bound::Unbounded, Order::Forward, rows)?;
                    is_last = found.len() < rows;
                    for (key, value) in &found {
                        write.put(table, key, value)?;
                        bytes += key.len() + value.len();
                    }
                    next = found.into_iter().next_back().map(|(key, _)| key).or(next.take());
                    if is_last {
                        break;
                    }
                }
                Ok(())
            })?;
            after = next;
            if table == Table::Pages {
                progress(bytes as u64);
            }
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

/// Puts a copy of a backup in place.
pub(crate) fn restore(from: &Path, to: &Path) -> Result<(), StorageError> {
    const DOING: &str = "restoring a backup to";
    let file = Unfinished::beside(to, DOING)?;
    if !from.is_file() {
        let what = "no file is there; name the backup";
        return Err(StorageError::Path { doing: "reading the backup", path: from.to_owned(), what });
    }
    std::fs::copy(from, &file.path).map_err(|error| io_error(DOING, error))?;
    let named = |error| match error {
        StorageError::NotAStore { .. } => StorageError::NotAStore { path: from.to_owned() },
        other => other,
    };
    {
        let copy = RedbBackend::open(&file.path, &Options::default()).map_err(named)?;
        mark::check_format(&*copy.read()?, from)?;
        copy.write(&mut |write| mark::put_mark(write, Mark::BACKUP))?;
    }
    file.finish(to, DOING)
}
