//! A running relay: its thread, its listeners, and its end.

use crate::admin;
use crate::config::Config;
use crate::error::RelayError;
use crate::serve;
use crate::system;
use crate::tls::Tls;
use changeset::PublicKey;
use replica::{Options, Policy, Replica};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use storage::{Opened, Store};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A relay that runs on threads of its own. Dropping it stops it without waiting for its sessions.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    stop: watch::Sender<Stop>,
}

/// Whether the relay is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It runs.
    No,
    /// It takes nothing new, and sessions end in good order.
    Drain,
    /// Now.
    Now,
}

/// What the parts of a relay share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) replica: Replica,
    pub(crate) tls: Option<Tls>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) started_ms: u64,
    pub(crate) counts: Counts,
    pub(crate) is_draining: AtomicBool,
}

/// What a relay counts beside its replica.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Connections closed at once, because there were too many.
    pub(crate) turned_away: AtomicU64,
    /// Connections that failed before their session: TLS, the upgrade, or too slow.
    pub(crate) broken: AtomicU64,
}

impl Relay {
    /// Opens or creates the store, listens, and serves on threads of its own. Returns when both addresses listen.
    ///
    /// # Errors
    /// [`RelayError`]; nothing runs then.
    pub fn start(config: Config) -> Result<Self, RelayError> {
        config.check()?;
        let tls = Tls::of(&config)?;
        let devices = listen("listen", config.listen)?;
        let admin = listen("admin", config.admin)?;
        let address = local(&devices)?;
        let admin_address = local(&admin)?;
        let store_file = config.data.join("relay.redb");
        let store = open(&config, &store_file)?;
        let replica = Replica::new(store, options(&config))?;
        let shared = Arc::new(Shared {
            started_ms: replica.now_ms(),
            config,
            replica,
            tls,
            address,
            admin: admin_address,
            counts: Counts::default(),
            is_draining: AtomicBool::new(false),
        });
        let runtime = runtime(&shared.config)?;
        let (stop, stopping) = watch::channel(Stop::No);
        let (send, ready) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let run = move || live(theirs, runtime, devices, admin, stopping, &send);
        let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(run);
        let thread = thread.map_err(|error| RelayError::System { doing: "starting the relay's thread", error })?;
        let relay = Self { shared, thread: Some(thread), stop };
        ready.recv().unwrap_or(Err(RelayError::Ended))?;
        Ok(relay)
    }

    /// The websocket address, with the port that was bound: `ws://127.0.0.1:7171`, or `wss://` with TLS.
    pub fn address(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// The address of the admin endpoint: `127.0.0.1:7172`.
    pub fn admin_address(&self) -> SocketAddr {
        self.shared.admin
    }

    /// The relay's key.
    pub fn key(&self) -> PublicKey {
        self.shared.replica.key()
    }

    /// The replica that it is.
    pub fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// Reads the certificate and its key again. Sessions go on as they are.
    ///
    /// # Errors
    /// [`RelayError::Tls`]; the certificate stays as it was.
    pub fn reload_tls(&self) -> Result<(), RelayError> {
        match &self.shared.tls {
            Some(tls) => tls.reload(&self.shared.config),
            None => Ok(()),
        }
    }

    /// Stops: accepts nothing more, tells every session that it is going once what is in flight is stored, waits for at most
    /// `drain_seconds`, and closes the store. Blocks; on a thread of an async runtime use its `spawn_blocking`.
    pub fn stop(mut self) {
        self.end(Stop::Drain);
    }

    fn end(&mut self, how: Stop) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        let _nobody_listens = self.stop.send(how);
        if let Some(thread) = self.thread.take() {
            let _it_panicked = thread.join();
            self.shared.replica.finish();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end(Stop::Now);
    }
}

fn listen(option: &'static str, address: SocketAddr) -> Result<TcpListener, RelayError> {
    let failed = |error| RelayError::Listen { option, address, error };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn local(listener: &TcpListener) -> Result<SocketAddr, RelayError> {
    listener.local_addr().map_err(|error| RelayError::System { doing: "asking for the bound address", error })
}

fn open(config: &Config, file: &Path) -> Result<Store, RelayError> {
    let folder = |error| RelayError::Folder { path: config.data.clone(), error };
    std::fs::create_dir_all(&config.data).map_err(folder)?;
    let mut options = storage::Options::default();
    options.cache_bytes = config.cache_bytes;
    options.role = "relay".to_owned();
    if !file.try_exists().map_err(folder)? {
        return Ok(Store::create(file, options)?);
    }
    let (store, opened) = Store::open(file, options)?;
    if let Opened::Redrawn(why) = opened {
        tracing::warn!(?why, "this store was copied or put back: its logs begin new incarnations, and devices compare");
    }
    Ok(store)
}

fn options(config: &Config) -> Options {
    let mut policy = Policy::new(config.tier);
    policy.workspaces.clone_from(&config.workspaces);
    policy.relays.clone_from(&config.relays);
    policy.sessions_max = config.sessions_max;
    policy.workspace_bytes_max = config.workspace_bytes_max;
    policy.device_bytes_per_minute = config.device_bytes_per_minute;
    policy.free_disk_min = config.free_disk_min;
    let folder = config.data.clone();
    policy.free_disk = Some(Arc::new(move || system::free_disk(&folder)));
    let mut options = Options::new(config.tier);
    options.policy = policy;
    options.recent_bytes = config.recent_bytes;
    options.window_bytes = config.window_bytes;
    options.clock = Arc::clone(&config.clock);
    if config.workers > 0 {
        options.workers = config.workers;
    }
    options
}

fn runtime(config: &Config) -> Result<Runtime, RelayError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if config.io_threads == 0 { cores.min(2) } else { config.io_threads };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("relay-io")
        .enable_all()
        .build()
        .map_err(|error| RelayError::System { doing: "starting the runtime", error })
}

/// The life of the relay's thread.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns what it serves")]
fn live(
    shared: Arc<Shared>,
    runtime: Runtime,
    devices: TcpListener,
    admin: TcpListener,
    stopping: watch::Receiver<Stop>,
    ready: &mpsc::SyncSender<Result<(), RelayError>>,
) {
    runtime.block_on(async {
        let system = |doing| move |error| RelayError::System { doing, error };
        let listeners =
            tokio::net::TcpListener::from_std(devices).map_err(system("listening for devices")).and_then(|devices| {
                Ok((devices, tokio::net::TcpListener::from_std(admin).map_err(system("listening for admin"))?))
            });
        let (devices, admin) = match listeners {
            Ok(listeners) => listeners,
            Err(error) => {
                let _nobody_waits = ready.send(Err(error));
                return;
            }
        };
        let _nobody_waits = ready.send(Ok(()));
        let admin = tokio::spawn(admin::serve(Arc::clone(&shared), admin));
        serve::serve(&shared, devices, stopping).await;
        admin.abort();
        let _ended = admin.await;
    });
    // Whatever blocks yet (a backup) is not waited for longer than this.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
}
