//! A store: one replica's logs and state.

use crate::backend::Backend;
use crate::backup;
use crate::batch::{Batch, Committed, Lane, Listener};
use crate::error::{Replace, StorageError};
use crate::maintain::{MergeLimits, Merged, Progress, Report};
use crate::mark::{self, Identity};
use crate::memory::MemoryBackend;
use crate::merge;
use crate::model::{LogKey, Redraw};
use crate::options::Options;
use crate::redb_backend::{RedbBackend, io_error};
use crate::redraw;
use crate::repair;
use crate::verify;
use crate::view::View;
use crate::writer::Shared;
use changeset::{DeviceKey, Incarnation, PublicKey, Signer, Verified};
use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Whether a store is the one that was last closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// It is.
    Same,
    /// It may have been copied or put back: new incarnations were drawn for this device's actors and for every log.
    Redrawn(Redraw),
}

/// One replica's logs and state. Clones share it; the last one dropped closes it after what was committed is done.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Where the file lies, if copies of it are to be noticed.
    path: Option<PathBuf>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by something that the writer itself called: it ends by itself then.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != std::thread::current().id()) {
            let _the_writer_panicked = writer.join();
        }
        if let Some(path) = &self.path {
            // Without a new mark a copy made before this moment and put back later would not be noticed until a peer
            // sees it.
            let _mark_stays = mark::renew(&*self.shared.backend, path);
        }
    }
}

impl Store {
    /// Creates a store in a new file.
    ///
    /// # Errors
    /// [`StorageError::Path`] where a file is already, [`StorageError::Io`].
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let backend: Arc<dyn Backend> = Arc::new(RedbBackend::create(path, &options)?);
        let identity = Self::begin(&*backend, &options)?;
        mark::renew(&*backend, path)?;
        Self::start(backend, options, identity, Some(path.to_owned()))
    }

    /// Opens a store.
    ///
    /// # Errors
    /// [`StorageError::Path`] where no file is, [`StorageError::NotAStore`], [`StorageError::Locked`],
    /// [`StorageError::NewerFormat`], [`StorageError::WrongSigner`], [`StorageError::Io`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<(Self, Opened), StorageError> {
        let path = path.as_ref();
        let backend: Arc<dyn Backend> = Arc::new(RedbBackend::open(path, &options)?);
        let (identity, found) = {
            let read = backend.read()?;
            mark::check_format(&*read, path)?;
            (mark::identity(&*read)?, mark::look(&*read, path)?)
        };
        let mut store = Self::start(backend, options, identity, None)?;
        if let Some(why) = found {
            store.redraw(why)?;
        }
        mark::renew(&*store.inner.shared.backend, path)?;
        if let Some(inner) = Arc::get_mut(&mut store.inner) {
            inner.path = Some(path.to_owned());
        }
        Ok((store, found.map_or(Opened::Same, Opened::Redrawn)))
    }

    /// A new store in memory.
    ///
    /// # Errors
    /// [`StorageError::Io`] if the system gives no random bytes.
    pub fn in_memory(options: Options) -> Result<Self, StorageError> {
        Self::with_backend(Arc::new(MemoryBackend::new()), options)
    }

    /// A store over a backend: opened if there is one in it, created otherwise. Copies are not noticed here.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn with_backend(backend: Arc<dyn Backend>, options: Options) -> Result<Self, StorageError> {
        let is_store = {
            let read = backend.read()?;
            let is_store = mark::format(&*read)?.is_some();
            if is_store {
                mark::check_format(&*read, Path::new(""))?;
            }
            is_store
        };
        let identity = if is_store { mark::identity(&*backend.read()?)? } else { Self::begin(&*backend, &options)? };
        Self::start(backend, options, identity, None)
    }

    /// Makes a store of empty tables.
    fn begin(backend: &dyn Backend, options: &Options) -> Result<Identity, StorageError> {
        let given = options.signer.as_ref().map(|signer| signer.public_key());
        let identity = Identity::draw(given, &options.role, &options.random)?;
        backend.write(&mut |write| mark::create(write, &identity))?;
        Ok(identity)
    }

    fn start(
        backend: Arc<dyn Backend>,
        options: Options,
        identity: Identity,
        path: Option<PathBuf>,
    ) -> Result<Self, StorageError> {
        let wrong = || StorageError::WrongSigner { wanted: identity.key.to_string() };
        let signer: Arc<dyn Signer> = match (&options.signer, &identity.secret) {
            (Some(given), _) if given.public_key() == identity.key => Arc::clone(given),
            (None, Some(secret)) => Arc::new(DeviceKey::from_secret(secret)),
            (Some(_), _) | (None, None) => return Err(wrong()),
        };
        let shared = Arc::new(Shared::new(backend, options, signer, identity));
        let mut writer = None;
        if !shared.options.is_stepped {
            let writing = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("fieldbook-writer".to_owned()).spawn(move || writing.run());
            writer = Some(thread.map_err(|error| io_error("starting the writer's thread", error))?);
        }
        Ok(Self { inner: Arc::new(Inner { shared, writer: Mutex::new(writer), path }) })
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    fn identity(&self) -> Identity {
        self.shared().identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The device key's public half.
    pub fn device_key(&self) -> PublicKey {
        self.shared().signer.public_key()
    }

    /// The device key.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.shared().signer)
    }

    /// The incarnation of this store's actors.
    pub fn incarnation(&self) -> Incarnation {
        self.identity().incarnation
    }

    /// What the store is, as given when it was created.
    pub fn role(&self) -> String {
        self.identity().role
    }

    /// The bytes that the store takes on disk.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn size(&self) -> Result<u64, StorageError> {
        self.shared().backend.size()
    }

    /// One consistent snapshot. Holding it for long keeps what is replaced meanwhile from being reused.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn view(&self) -> Result<View, StorageError> {
        Ok(View::new(self.shared().backend.read()?, Arc::clone(&self.inner.shared)))
    }

    /// Hands a batch to the writer; `done` hears on the writer's thread when it is durable, or why it is not. It must
    /// not block. With a full lane it hears [`StorageError::Busy`] at once, on the caller's thread.
    pub fn commit(
        &self,
        lane: Lane,
        batch: Batch,
        done: impl FnOnce(Result<Committed, StorageError>) + Send + 'static,
    ) {
        self.shared().push(lane, batch, Box::new(done), false);
    }

    /// Commits a batch and waits until it is durable, also for a place in the lane. Never call it on the writer's
    /// thread (from `done` or a listener).
    ///
    /// # Errors
    /// [`StorageError`]; nothing of the batch was stored.
    pub fn commit_now(&self, lane: Lane, batch: Batch) -> Result<Committed, StorageError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let done = move |outcome| {
            let _nobody_waits = send.send(outcome);
        };
        self.shared().push(lane, batch, Box::new(done), true);
        if self.shared().options.is_stepped {
            // Whoever waits writes, and what was handed over before goes first, as with a writer of its own.
            while self.step() {
                if let Ok(outcome) = receive.try_recv() {
                    return outcome;
                }
            }
        }
        receive.recv().unwrap_or(Err(StorageError::Closed))
    }

    /// Writes the next group, or merges one page if there is nothing to write. Gives whether there was anything to do. For
    /// stores that are stepped ([`Options::is_stepped`]); never from `done` or a listener.
    pub fn step(&self) -> bool {
        self.shared().step()
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &Options {
        &self.shared().options
    }

    /// Calls `listener` on the writer's thread for each append and release whose entries became durable. It must not
    /// block.
    pub fn listen(&self, listener: Listener) {
        self.shared().listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::from(listener));
    }

    /// Draws new incarnations for this device's actors and for every log, whose pages are sealed anew.
    ///
    /// # Errors
    /// [`StorageError`]; the incarnations are as before then.
    pub fn redraw(&self, why: Redraw) -> Result<(), StorageError> {
        // Held until the end, so that no author begins with the old incarnation meanwhile.
        let mut identity = self.shared().identity.write().unwrap_or_else(PoisonError::into_inner);
        let Shared { backend, signer, names, options, .. } = self.shared();
        let new = Identity { incarnation: Incarnation::from_bytes(options.random.bytes()?), ..identity.clone() };
        backend.write(&mut |write| {
            mark::put_identity(write, &new)?;
            redraw::logs(write, &**signer, names, &options.random, why)
        })?;
        *identity = new;
        Ok(())
    }

    /// Joins small neighbouring pages of a log. Positions never change.
    ///
    /// # Errors
    /// [`StorageError`]; what was merged before it stays merged.
    pub fn merge_pages(&self, log: &LogKey, limits: MergeLimits) -> Result<Merged, StorageError> {
        let Shared { backend, signer, names, .. } = self.shared();
        merge::all(&**backend, &**signer, names, log, &limits)
    }

    /// Gives unused space back to the system. Nothing is written meanwhile; about 3 s for 500 MB.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn compact(&self) -> Result<(), StorageError> {
        self.shared().backend.compact()
    }

    /// Copies the store to a new file while it runs: its state as of the call. The copy opens as
    /// [`Redraw::Backup`].
    ///
    /// # Errors
    /// [`StorageError`]; no file is at `to` then.
    pub fn backup(&self, to: impl AsRef<Path>, progress: impl FnMut(Progress)) -> Result<(), StorageError> {
        backup::backup(self.view()?.read(), to.as_ref(), progress)
    }

    /// Puts a backup in place as a new store file; it opens as [`Redraw::Backup`].
    ///
    /// # Errors
    /// [`StorageError`]; no file is at `to` then.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), StorageError> {
        backup::restore(from.as_ref(), to.as_ref())
    }

    /// Checks every page, hash, seal, signature, reference and index row of one snapshot.
    ///
    /// # Errors
    /// [`StorageError`] of the disk. What is wrong with the content is in the report.
    pub fn verify(&self, progress: impl FnMut(Progress)) -> Result<Report, StorageError> {
        let view = self.view()?;
        verify::verify(view.read(), &self.device_key(), progress)
    }

    /// Replaces the page that holds a position by the same entries, fetched again.
    ///
    /// # Errors
    /// [`Replace`]; the page is as before then.
    pub fn repair(&self, log: &LogKey, position: u64, entries: Vec<Verified>) -> Result<(), Replace> {
        let Shared { backend, signer, names, .. } = self.shared();
        repair::page(&**backend, &**signer, names, log, position, &entries)
    }
}
