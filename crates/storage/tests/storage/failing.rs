//! A disk that does not answer for a moment.

use crate::support::{all, append_from, author, from_peer, ids, log, options, signed_chain};
use redb::StorageBackend;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};
use storage::{RedbBackend, StorageError, Store};

/// A file in memory. One read of it fails.
#[derive(Clone, Debug, Default)]
struct File(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// So many reads are left before the one that fails.
    fails_after: Option<u64>,
}

impl StorageBackend for File {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        match state.fails_after {
            Some(0) => {
                state.fails_after = None;
                return Err(Error::other("the disk does not answer"));
            }
            Some(left) => state.fails_after = Some(left - 1),
            None => {}
        }
        let from = offset as usize;
        let found = state.bytes.get(from..from + out.len()).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.lock().unwrap().bytes.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let from = offset as usize;
        self.0.lock().unwrap().bytes[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// After a read failed the database refuses all others until it is opened again. That was done only when a write had
/// failed too: a device on which nobody wrote showed nothing any more.
#[test]
fn a_read_that_fails_once_leaves_the_next_one_working() {
    let mut options = options();
    // Each read asks the disk.
    options.cache_bytes = 0;
    let file = File::default();
    let again = file.clone();
    let backend = RedbBackend::over(move || again.clone(), &options).unwrap();
    let store = Store::with_backend(Arc::new(backend), options).unwrap();
    let written = signed_chain(&mut author(1), 40);
    for part in written.chunks(4) {
        append_from(&store, part, from_peer(9));
    }
    let mut failures = 0;
    loop {
        file.0.lock().unwrap().fails_after = Some(failures);
        let read = store.view().and_then(|view| view.entries(&log(), 0..u64::MAX));
        let is_over = file.0.lock().unwrap().fails_after.take().is_some();
        if is_over {
            assert_eq!(ids(&read.unwrap()), ids(&written));
            break;
        }
        assert!(matches!(read, Err(StorageError::Io { .. })), "read {failures}: {read:?}");
        assert_eq!(ids(&all(&store)), ids(&written), "after read {failures} failed");
        failures += 1;
    }
    assert!(failures > 10, "only {failures} reads: the disk was not asked");
}
