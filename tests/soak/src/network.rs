//! The network between devices and relays: a proxy for each pair, which cuts, stalls one way, delays, and ends connections
//! at any byte.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How it is between two machines just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Nobody gets through.
    pub(crate) is_closed: bool,
    /// Nothing goes to the relay, nothing comes from it.
    pub(crate) is_stalled: [bool; 2],
    /// Whatever comes waits so long.
    pub(crate) delay: Duration,
    /// How often all connections were broken.
    cuts: u64,
}

/// A device and the relay that it calls.
pub(crate) type Pair = (usize, usize);

#[derive(Debug)]
struct Line {
    weather: watch::Sender<Weather>,
    /// So many bytes go through before the connection ends inside a frame; the largest number for no end.
    left: Arc<AtomicU64>,
    url: String,
}

/// All lines. They end with it.
#[derive(Debug)]
pub(crate) struct Network {
    runtime: Runtime,
    lines: BTreeMap<Pair, Line>,
    /// Where each relay listens now.
    relays: Vec<Arc<Mutex<Option<SocketAddr>>>>,
}

const ENDLESS: u64 = u64::MAX;

impl Network {
    pub(crate) fn new(relays: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, lines: BTreeMap::new(), relays: (0..relays).map(|_| Arc::default()).collect() })
    }

    /// A relay listens there from now on.
    pub(crate) fn move_relay(&self, relay: usize, address: SocketAddr) -> anyhow::Result<()> {
        let relay = self.relays.get(relay).context("there is such a relay")?;
        *relay.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        Ok(())
    }

    /// Where a device calls a relay.
    pub(crate) fn url(&mut self, pair: Pair) -> anyhow::Result<String> {
        if let Some(line) = self.lines.get(&pair) {
            return Ok(line.url.clone());
        }
        let relay = Arc::clone(self.relays.get(pair.1).context("there is such a relay")?);
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("ws://{}", listener.local_addr()?);
        let (weather, left) = (watch::Sender::new(Weather::default()), Arc::new(AtomicU64::new(ENDLESS)));
        self.runtime.spawn(serve(listener, relay, weather.subscribe(), Arc::clone(&left)));
        self.lines.insert(pair, Line { weather, left, url: url.clone() });
        Ok(url)
    }

    /// The weather changes on a line.
    pub(crate) fn change(&self, pair: Pair, change: impl FnOnce(&mut Weather)) {
        if let Some(line) = self.lines.get(&pair) {
            line.weather.send_modify(change);
        }
    }

    /// All connections of a line break.
    pub(crate) fn cut(&self, pair: Pair) {
        self.change(pair, |weather| weather.cuts += 1);
    }

    /// The connections of a line break after so many more bytes.
    pub(crate) fn cut_after(&self, pair: Pair, bytes: u64) {
        if let Some(line) = self.lines.get(&pair) {
            line.left.store(bytes, Ordering::Relaxed);
        }
    }

    /// Fair weather between two.
    pub(crate) fn clear(&self, pair: Pair) {
        self.change(pair, |weather| *weather = Weather { cuts: weather.cuts, ..Weather::default() });
    }

    /// Fair weather everywhere.
    pub(crate) fn heal(&self) {
        for (pair, line) in &self.lines {
            line.left.store(ENDLESS, Ordering::Relaxed);
            self.clear(*pair);
        }
    }
}

async fn serve(
    listener: TcpListener,
    relay: Arc<Mutex<Option<SocketAddr>>>,
    weather: watch::Receiver<Weather>,
    left: Arc<AtomicU64>,
) {
    while let Ok((device, _)) = listener.accept().await {
        let address = *relay.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = *weather.borrow();
        // Whoever is not let through is hung up on.
        if let (Some(address), false) = (address, begun.is_closed) {
            tokio::spawn(carry(device, address, weather.clone(), begun.cuts, Arc::clone(&left)));
        }
    }
}

async fn carry(
    device: TcpStream,
    relay: SocketAddr,
    weather: watch::Receiver<Weather>,
    cuts: u64,
    left: Arc<AtomicU64>,
) {
    // A relay that was killed: the device is cut off too.
    let Ok(relay) = TcpStream::connect(relay).await else { return };
    let _slower = (device.set_nodelay(true), relay.set_nodelay(true));
    let ((device_in, device_out), (relay_in, relay_out)) = (device.into_split(), relay.into_split());
    let mut cut = weather.clone();
    tokio::select! {
        () = pass(device_in, relay_out, 0, weather.clone(), &left) => {}
        () = pass(relay_in, device_out, 1, weather, &left) => {}
        _ = cut.wait_for(|now| now.is_closed || now.cuts != cuts) => {}
    }
}

/// Passes bytes on in one direction until the connection ends.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: usize,
    mut weather: watch::Receiver<Weather>,
    left: &AtomicU64,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        let Ok(delay) = weather.wait_for(|now| !now.is_stalled[way]).await.map(|now| now.delay) else { return };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let rest = |left: u64| (left != ENDLESS).then(|| left.saturating_sub(count as u64));
        let allowed = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).unwrap_or(ENDLESS);
        let whole = count as u64 <= allowed;
        let count = if whole { count } else { usize::try_from(allowed).unwrap_or(count) };
        if to.write_all(bytes.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
        if !whole {
            // The next connection lives.
            left.store(ENDLESS, Ordering::Relaxed);
            return;
        }
    }
}
