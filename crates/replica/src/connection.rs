//! Connections: frames over a websocket, or over any stream of bytes.

use crate::error::LinkError;
use bytes::Bytes;
use futures_util::{Sink, Stream, StreamExt, future};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use sync::limits::MAX_FRAME_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// A connection: frames in order, both ways.
pub struct Connection {
    pub(crate) incoming: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    pub(crate) outgoing: Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>,
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Connection")
    }
}

/// What a websocket of this protocol is limited to. The read buffer is taken eagerly for every connection, so it is
/// small; large frames grow it while they last.
pub fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(16 << 10)
        .max_write_buffer_size(MAX_FRAME_BYTES + (64 << 10))
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
}

impl Connection {
    /// The connection of a websocket whose handshake is over: one binary message for each frame.
    pub fn websocket<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(socket: WebSocketStream<S>) -> Self {
        let (sink, stream) = socket.split();
        let incoming = stream.filter_map(|message| {
            future::ready(match message {
                Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
                Ok(Message::Close(_)) => None,
                // The library answers pings; anything else is passed over.
                Ok(_) => None,
                Err(error @ WsError::Capacity(_)) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
                Err(error) => Some(Err(io::Error::other(error))),
            })
        });
        let outgoing = Outgoing { sink: Some(sink) };
        Self { incoming: Box::pin(incoming), outgoing: Box::pin(outgoing) }
    }

    /// A connection over any ordered, reliable stream of bytes: each frame behind its length in four bytes, big-endian.
    pub fn stream<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        let (sink, stream) = Framed::new(Box::pin(stream), codec).split();
        Self { incoming: Box::pin(stream.map(|frame| frame.map(bytes::BytesMut::freeze))), outgoing: Box::pin(sink) }
    }

    /// Connects to a relay: `ws://host:port` or `wss://host`. `roots` are the certificates to trust beside the public
    /// ones.
    ///
    /// # Errors
    /// [`LinkError::Address`], [`LinkError::Connect`].
    pub async fn connect(url: &str, roots: &Trust) -> Result<Self, LinkError> {
        let bad = |what| LinkError::Address { url: url.to_owned(), what };
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| LinkError::Connect { url: url.to_owned(), error };
        let request =
            url.into_client_request().map_err(|_| bad("not an address; a relay's begins with ws:// or wss://"))?;
        let uri = request.uri();
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(bad("a relay's address begins with ws:// or wss://")),
        };
        let host = uri.host().ok_or_else(|| bad("the host is missing"))?.trim_matches(['[', ']']).to_owned();
        if !secure && !is_loopback(&host) && !roots.allow_plain {
            return Err(bad("without TLS (ws://) only this machine is talked to; use wss://, or allow it explicitly"));
        }
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| failed(error.into()))?;
        tcp.set_nodelay(true).map_err(|error| failed(error.into()))?;
        if !secure {
            let (socket, _) = client_async_with_config(request, tcp, Some(websocket_config()))
                .await
                .map_err(|error| failed(error.into()))?;
            return Ok(Self::websocket(socket));
        }
        let name = ServerName::try_from(host).map_err(|_| bad("the host is no name that a certificate can have"))?;
        let tls = TlsConnector::from(Arc::clone(&roots.tls))
            .connect(name, tcp)
            .await
            .map_err(|error| failed(error.into()))?;
        let (socket, _) = client_async_with_config(request, tls, Some(websocket_config()))
            .await
            .map_err(|error| failed(error.into()))?;
        Ok(Self::websocket(socket))
    }
}

/// The sending half of a websocket: after its first error it says so whenever it is used again, which a session that ends
/// over a broken line does.
struct Outgoing<S> {
    sink: Option<S>,
}

impl<S: Sink<Message, Error = WsError> + Unpin> Outgoing<S> {
    /// Uses the sink while it works.
    fn tried<T>(&mut self, ask: impl FnOnce(Pin<&mut S>) -> Poll<Result<T, WsError>>) -> Poll<Result<T, io::Error>> {
        let Some(sink) = &mut self.sink else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        ask(Pin::new(sink)).map_err(|error| {
            self.sink = None;
            io::Error::other(error)
        })
    }
}

impl<S: Sink<Message, Error = WsError> + Unpin> Sink<Bytes> for Outgoing<S> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tried(|sink| sink.poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> io::Result<()> {
        match self.tried(|sink| Poll::Ready(sink.start_send(Message::Binary(bytes)))) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tried(|sink| sink.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tried(|sink| sink.poll_close(cx))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whom to trust with a connection. What is sent is signed in any case; TLS hides it and keeps strangers from seeing who
/// talks to whom.
#[derive(Clone, Debug)]
pub struct Trust {
    tls: Arc<ClientConfig>,
    allow_plain: bool,
}

impl Trust {
    /// The public certificate authorities, and the certificates given here (DER).
    ///
    /// # Errors
    /// The [`tokio_rustls::rustls::Error`] of the first certificate that is none.
    pub fn new(
        certificates: impl IntoIterator<Item = Vec<u8>>,
        allow_plain: bool,
    ) -> Result<Self, tokio_rustls::rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in certificates {
            roots.add(certificate.into())?;
        }
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), allow_plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, sink};

    #[test]
    fn a_broken_line_stays_broken_and_says_so() {
        let broken = sink::drain()
            .sink_map_err(|never: std::convert::Infallible| -> WsError { match never {} })
            .with(|_: Message| future::ready(Err::<Message, _>(WsError::ConnectionClosed)));
        let mut outgoing = Outgoing { sink: Some(broken.sink_map_err(|error: WsError| error)) };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let outcome = runtime.map(|runtime| {
            runtime.block_on(async {
                let mut errors = 0;
                for _ in 0..3 {
                    errors += usize::from(outgoing.send(Bytes::from_static(b"x")).await.is_err());
                }
                errors + usize::from(outgoing.close().await.is_err())
            })
        });
        assert_eq!(outcome.ok(), Some(4));
    }
}
