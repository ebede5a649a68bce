//! Disks that fail: power goes at any call, what was not synced is lost or torn, room runs out, calls fail for a while.
//!
//! Two kinds stand under the same store code. One keeps tables in memory and fails between transactions: fast, for most
//! machines. The other is the real redb over a file in memory whose every read, write and sync may be the last.

use crate::dice::Dice;
use redb::StorageBackend;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::{Backend, MemoryBackend, Options, Read, RedbBackend, StorageError, Write};

/// What is to go wrong.
#[derive(Debug, Default)]
struct Faults {
    calls: u64,
    /// The call at which the power goes.
    cut_at: Option<u64>,
    is_dead: bool,
    /// So many calls to come fail.
    failing: u32,
    /// Somebody looks from outside: nothing fails, and nothing is counted.
    is_watched: bool,
    /// No room for anything new.
    is_full: bool,
    /// Every transaction is said to be stored, and none is: how a relay lies about what it has.
    forgets: bool,
}

impl Faults {
    fn call(&mut self) -> Result<(), Error> {
        if self.is_watched {
            return Ok(());
        }
        self.calls += 1;
        if self.cut_at.is_some_and(|at| self.calls >= at) {
            self.is_dead = true;
        }
        if self.is_dead {
            return Err(Error::other("the power is gone"));
        }
        if self.failing > 0 {
            self.failing -= 1;
            return Err(Error::other("the disk does not answer"));
        }
        Ok(())
    }
}

/// A disk of a machine. It outlives what runs on it.
#[derive(Clone, Debug)]
pub struct Disk {
    faults: Arc<Mutex<Faults>>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Tables(MemoryBackend),
    File(Arc<Mutex<File>>),
}

/// A copy of what a disk held.
#[derive(Clone, Debug)]
pub struct Image(ImageContent);

#[derive(Clone, Debug)]
enum ImageContent {
    Tables(MemoryBackend),
    File(Vec<u8>),
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    seen: Vec<u8>,
    /// What was done since the last sync: a length, or bytes at a place.
    pending: Vec<(u64, Option<Vec<u8>>)>,
}

const SECTOR: usize = 512;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// An empty disk; `is_file` says whether redb runs on it.
    pub fn new(is_file: bool) -> Self {
        let content = if is_file { Content::File(Arc::default()) } else { Content::Tables(MemoryBackend::new()) };
        Self { faults: Arc::default(), content }
    }

    /// A disk with this on it.
    pub fn with(image: &Image) -> Self {
        let content = match &image.0 {
            ImageContent::Tables(tables) => Content::Tables(tables.copy()),
            ImageContent::File(bytes) => {
                let file = File { synced: bytes.clone(), seen: bytes.clone(), pending: Vec::new() };
                Content::File(Arc::new(Mutex::new(file)))
            }
        };
        Self { faults: Arc::default(), content }
    }

    /// What is on it, as another process that copies the file finds it.
    pub fn image(&self) -> Image {
        Image(match &self.content {
            Content::Tables(tables) => ImageContent::Tables(tables.copy()),
            Content::File(file) => ImageContent::File(lock(file).synced.clone()),
        })
    }

    /// The power goes at the so-manieth call from now.
    pub fn cut_after(&self, calls: u64) {
        let mut faults = lock(&self.faults);
        faults.cut_at = Some(faults.calls + calls);
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        lock(&self.faults).is_dead
    }

    /// Looks at what is there without touching it.
    pub fn watched<T>(&self, look: impl FnOnce() -> T) -> T {
        lock(&self.faults).is_watched = true;
        let seen = look();
        lock(&self.faults).is_watched = false;
        seen
    }

    /// A cut that was still to come does not come.
    pub fn spare(&self) {
        lock(&self.faults).cut_at = None;
    }

    /// From now on, or no more, what is written to tables is forgotten at once, and called stored.
    pub fn set_forgetful(&self, forgets: bool) {
        lock(&self.faults).forgets = forgets;
    }

    /// So many calls from now fail.
    pub fn fail(&self, calls: u32) {
        lock(&self.faults).failing = calls;
    }

    /// Whether there is no room.
    pub fn set_full(&self, is_full: bool) {
        lock(&self.faults).is_full = is_full;
    }

    /// The power comes back. What was not synced is gone, kept, or kept in parts, as the dice say.
    pub fn revive(&self, dice: &mut Dice) {
        *lock(&self.faults) = Faults::default();
        let Content::File(file) = &self.content else { return };
        let mut file = lock(file);
        let how = dice.below(3);
        let mut image = file.synced.clone();
        if how > 0 {
            for (at, what) in std::mem::take(&mut file.pending) {
                let Some(bytes) = what else {
                    image.resize(usize::try_from(at).unwrap_or(0), 0);
                    continue;
                };
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    // Any sectors of any writes.
                    let from = usize::try_from(at).unwrap_or(0) + number * SECTOR;
                    if (how == 1 || dice.chance(50)) && from + sector.len() <= image.len() {
                        image[from..from + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
        file.pending.clear();
        file.seen.clone_from(&image);
        file.synced = image;
    }

    /// The backend of a store on this disk.
    ///
    /// # Errors
    /// [`StorageError`] if the disk fails while it is opened.
    pub fn backend(&self, options: &Options) -> Result<Arc<dyn Backend>, StorageError> {
        Ok(match &self.content {
            Content::Tables(tables) => Arc::new(Tables { inner: tables.clone(), faults: Arc::clone(&self.faults) }),
            Content::File(file) => {
                let (file, faults) = (Arc::clone(file), Arc::clone(&self.faults));
                let open = move || OpenFile { file: Arc::clone(&file), faults: Arc::clone(&faults) };
                Arc::new(RedbBackend::over(open, options)?)
            }
        })
    }
}

/// Tables in memory whose transactions fail.
#[derive(Debug)]
struct Tables {
    inner: MemoryBackend,
    faults: Arc<Mutex<Faults>>,
}

impl Tables {
    fn call(&self, doing: &'static str) -> Result<(), StorageError> {
        lock(&self.faults).call().map_err(|error| StorageError::Io { doing, error: Arc::new(error) })
    }
}

impl Backend for Tables {
    fn read(&self) -> Result<Box<dyn Read + Send + Sync>, StorageError> {
        self.call("reading")?;
        self.inner.read()
    }

    fn write(&self, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>) -> Result<(), StorageError> {
        const DOING: &str = "committing";
        self.call(DOING)?;
        if lock(&self.faults).is_full {
            return Err(StorageError::Full { doing: DOING });
        }
        if lock(&self.faults).forgets {
            return self.inner.copy().write(write);
        }
        self.inner.write(write)?;
        // The power may go when everything is on the disk and before anybody heard of it.
        let mut faults = lock(&self.faults);
        faults.calls += 1;
        faults.is_dead |= faults.cut_at.is_some_and(|at| faults.calls >= at);
        if faults.is_dead {
            return Err(StorageError::Io { doing: DOING, error: Arc::new(Error::other("the power is gone")) });
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StorageError> {
        self.inner.compact()
    }

    fn size(&self) -> Result<u64, StorageError> {
        self.inner.size()
    }

    fn reopen(&self) -> Result<(), StorageError> {
        self.call("opening again")
    }
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<Mutex<File>>,
    faults: Arc<Mutex<Faults>>,
}

impl OpenFile {
    fn call(&self) -> Result<(), Error> {
        lock(&self.faults).call()
    }
}

fn place(at: u64) -> Result<usize, Error> {
    usize::try_from(at).map_err(|_| Error::from(ErrorKind::InvalidInput))
}

impl StorageBackend for OpenFile {
    fn len(&self) -> Result<u64, Error> {
        self.call()?;
        Ok(lock(&self.file).seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.call()?;
        let (file, from) = (lock(&self.file), place(offset)?);
        let found = file.seen.get(from..from + out.len()).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.call()?;
        let mut file = lock(&self.file);
        if lock(&self.faults).is_full && len > file.seen.len() as u64 {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        file.seen.resize(place(len)?, 0);
        file.pending.push((len, None));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.call()?;
        let mut file = lock(&self.file);
        for (at, what) in std::mem::take(&mut file.pending) {
            let at = place(at)?;
            match what {
                None => file.synced.resize(at, 0),
                Some(bytes) => {
                    if file.synced.len() < at + bytes.len() {
                        file.synced.resize(at + bytes.len(), 0);
                    }
                    file.synced[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.call()?;
        let (mut file, from) = (lock(&self.file), place(offset)?);
        let into = file.seen.get_mut(from..from + data.len()).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        into.copy_from_slice(data);
        file.pending.push((offset, Some(data.to_vec())));
        Ok(())
    }
}
