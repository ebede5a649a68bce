//! Bytes that no device of ours sends.

use crate::support::{World, config, soon, stop};
use changeset::cbor::{Reader, Writer};
use futures_util::{SinkExt, StreamExt};
use relay::Relay;
use sync::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

type Raw = WebSocketStream<TcpStream>;

async fn raw(relay: &Relay) -> Raw {
    let stream = TcpStream::connect(relay.address().trim_start_matches("ws://")).await.unwrap();
    soon("a websocket", client_async(relay.address(), stream)).await.unwrap().0
}

fn hello(min: u64, max: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(8);
    out.text("fieldbook");
    out.uint(min);
    out.uint(max);
    out.bytes(&[1; 32]);
    out.bytes(crate::support::public(1).as_bytes());
    out.bytes(&[2; 32]);
    out.uint(0);
    out.uint(4 << 20);
    let mut frame = vec![16];
    frame.extend(out.into_bytes());
    frame
}

/// The refusal that the relay answers with: its code and its sentence.
async fn refusal(socket: &mut Raw) -> (Code, String) {
    let message = soon("a refusal", socket.next()).await.unwrap().unwrap();
    let Message::Binary(bytes) = message else { panic!("{message:?}") };
    assert_eq!(bytes[0], 19, "{bytes:?}");
    let mut reader = Reader::new(&bytes[1..], "refusal");
    reader.array(3).unwrap();
    let code = Code(reader.uint(u64::MAX).unwrap());
    (code, reader.text(512).unwrap().to_owned())
}

/// Whether the relay closes: nothing but a goodbye comes any more.
async fn is_closed(mut socket: Raw) {
    soon("the close", async { while let Some(Ok(Message::Close(_) | Message::Ping(_))) = socket.next().await {} })
        .await;
}

/// A device of ours is served as before.
async fn still_serves(relay: &Relay) {
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call(relay, &["authority"]).await;
    line.level("authority").await;
    line.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_version_is_told_so_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let mut socket = raw(&relay).await;
    socket.send(Message::binary(hello(0, 0))).await.unwrap();
    let (code, text) = refusal(&mut socket).await;
    assert_eq!(code, Code::VERSION);
    assert!(text.contains("versions 0 to 0") && text.contains("update"), "{text}");
    is_closed(socket).await;
    still_serves(&relay).await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_before_the_handshake_costs_its_connection_only() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let address = relay.address().trim_start_matches("ws://").to_owned();
    for garbage in [&b"\x16\x03\x01\x00\xa5\x01\x00"[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 5000]] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // A relay that has heard enough may have closed before all was sent.
        let _closed_early = stream.write_all(garbage).await;
        let _closed_early = stream.shutdown().await;
        let mut rest = Vec::new();
        let _reset = soon("the close", stream.read_to_end(&mut rest)).await;
    }
    for garbage in [vec![], vec![1, 2, 3], vec![16], vec![0; 2000], vec![255; 100]] {
        let mut socket = raw(&relay).await;
        socket.send(Message::binary(garbage)).await.unwrap();
        let (code, text) = refusal(&mut socket).await;
        assert!([Code::PROTOCOL, Code::TOO_LARGE].contains(&code), "{text}");
        is_closed(socket).await;
    }
    assert_eq!(relay.replica().counters().sessions.get(), 0);
    still_serves(&relay).await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_limit_ends_the_session_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let mut socket = raw(&relay).await;
    let large = vec![0; sync::limits::MAX_FRAME_BYTES + 1];
    // It may close before it has read all of it.
    let _closed_early = socket.send(Message::binary(large)).await;
    let (code, text) = refusal(&mut socket).await;
    assert_eq!(code, Code::TOO_LARGE, "{text}");
    // Refused by its length alone, before it was read.
    assert!(text.contains(&sync::limits::MAX_FRAME_BYTES.to_string()), "{text}");
    still_serves(&relay).await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.handshake = std::time::Duration::from_millis(100);
    let relay = Relay::start(config).unwrap();
    let address = relay.address().trim_start_matches("ws://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let read = soon("the close", stream.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_connections_max_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    (config.connections_max, config.sessions_max) = (2, 1);
    let relay = Relay::start(config).unwrap();
    let address = relay.address().trim_start_matches("ws://").to_owned();
    let _silent = [TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap()];
    let mut third = TcpStream::connect(&address).await.unwrap();
    let read = soon("the close", third.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let (_, text) = crate::admin::look(&relay, "/metrics").await;
    assert!(text.contains("fieldbook_connections_turned_away_total 1\n"), "{text}");
    stop(relay).await;
}
