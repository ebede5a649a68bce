//! A proxy that counts what goes over a socket, both ways.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands between a device and a relay on loopback. Its threads end with their connections and the process.
pub(crate) struct Proxy {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn before(url: &str) -> Self {
        let to: SocketAddr = url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), bytes: Arc::default() };
        let bytes = Arc::clone(&proxy.bytes);
        std::thread::spawn(move || {
            while let Ok((device, _)) = listener.accept() {
                let relay = TcpStream::connect(to).unwrap();
                for (from, to) in [(&device, &relay), (&relay, &device)] {
                    let (from, to, bytes) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&bytes));
                    std::thread::spawn(move || carry(from, to, &bytes));
                }
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Bytes since this was last asked.
    pub(crate) fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = [0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        bytes.fetch_add(count as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
