//! What stands between a device and a relay, and what no device of ours sends.

use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// The first byte of a frame with a page of a log.
pub(crate) const PAGE: u8 = 0x87;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToRelay,
    ToDevice,
}

/// What becomes of a frame: what is sent on, if anything.
pub(crate) type Hand = Arc<dyn Fn(Way, Vec<u8>) -> Option<Vec<u8>> + Send + Sync>;

/// A websocket proxy that may change and drop frames.
pub(crate) struct Proxy {
    _runtime: Runtime,
    pub(crate) url: String,
}

impl Proxy {
    pub(crate) fn before(relay: &str, hand: Hand) -> Self {
        Self::with(relay, move || Arc::clone(&hand))
    }

    /// With a hand of its own for each connection.
    pub(crate) fn with(relay: &str, hand: impl Fn() -> Hand + Send + 'static) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let relay = relay.to_owned();
        runtime.spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                tokio::spawn(carry(device, relay.clone(), hand()));
            }
        });
        Self { _runtime: runtime, url }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn carry(device: TcpStream, relay: String, hand: Hand) {
    let Ok(device) = accept_async(device).await else { return };
    // A relay that was killed: the device is cut off too.
    let Some(relay) = dial(&relay).await else { return };
    let ((device_out, device_in), (relay_out, relay_in)) = (device.split(), relay.split());
    tokio::select! {
        () = pass(device_in, relay_out, Way::ToRelay, &hand) => {}
        () = pass(relay_in, device_out, Way::ToDevice, &hand) => {}
    }
}

async fn dial(url: &str) -> Option<WebSocketStream<TcpStream>> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(client_async(url, stream).await.ok()?.0)
}

type Error = tokio_tungstenite::tungstenite::Error;

async fn pass(
    mut from: impl futures_util::Stream<Item = Result<Message, Error>> + Unpin,
    mut to: impl futures_util::Sink<Message, Error = Error> + Unpin,
    way: Way,
    hand: &Hand,
) {
    while let Some(Ok(message)) = from.next().await {
        let message = match message {
            Message::Binary(bytes) => match hand(way, bytes.to_vec()) {
                Some(bytes) => Message::binary(bytes),
                None => continue,
            },
            other => other,
        };
        if to.send(message).await.is_err() {
            break;
        }
    }
    let _ended_already = to.close().await;
}

/// Sends one frame to a relay as the first of a session, and gives what it answers until it closes.
pub(crate) fn send_raw(url: &str, frame: Vec<u8>) -> Vec<Vec<u8>> {
    runtime().block_on(async {
        let mut socket = dial(url).await.unwrap();
        // It may close before it has read all of it.
        let _closed_early = socket.send(Message::binary(frame)).await;
        let mut answers = Vec::new();
        let all = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Binary(bytes) = message {
                    answers.push(bytes.to_vec());
                }
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, all).await.expect("the relay closes");
        answers
    })
}

/// A relay of another age: answers every caller with one frame.
pub(crate) struct Answering {
    _runtime: Runtime,
    pub(crate) url: String,
}

impl Answering {
    pub(crate) fn with(frame: Vec<u8>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                let Ok(mut device) = accept_async(device).await else { continue };
                let _hello = device.next().await;
                let _gone = device.send(Message::binary(frame.clone())).await;
                let _gone = device.close(None).await;
                while let Some(Ok(_)) = device.next().await {}
            }
        });
        Self { _runtime: runtime, url }
    }
}
