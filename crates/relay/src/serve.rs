//! Connections of devices: accepting them, and their sessions.

use crate::relay::{Shared, Stop};
use replica::{Command, Connection, LinkError, websocket_config};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sync::{Code, Event, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async_with_config;

/// Accepts connections until the relay stops, then ends their sessions.
pub(crate) async fn serve(shared: &Arc<Shared>, listener: TcpListener, mut stopping: watch::Receiver<Stop>) {
    let mut tasks = JoinSet::new();
    // One for each connection's task, to tell its session to end.
    let mut commands: BTreeMap<tokio::task::Id, mpsc::UnboundedSender<Command>> = BTreeMap::new();
    loop {
        tokio::select! {
            _ = stopping.changed() => break,
            Some(ended) = tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "a session's task failed");
                        error.id()
                    }
                };
                commands.remove(&id);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    shared.counts.connections.fetch_add(1, Ordering::Relaxed);
                    if tasks.len() >= shared.config.connections_max {
                        // Nothing is said: whatever is said costs more than is there.
                        shared.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let (send, told) = mpsc::unbounded_channel();
                    let task = tasks.spawn(connection(Arc::clone(shared), stream, address, told));
                    commands.insert(task.id(), send);
                }
                // Out of descriptors, mostly: the sessions that end free some.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let deadline = match *stopping.borrow() {
        Stop::Now => Duration::ZERO,
        Stop::Drain | Stop::No => shared.config.drain,
    };
    tracing::info!(connections = tasks.len(), wait = ?deadline, "ending: sessions are told to come back");
    for send in commands.values() {
        let text = "this relay is shutting down; what was acknowledged is stored, come back soon".to_owned();
        let _it_ended = send.send(Command::Close(Code::GOING, text));
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let is_in_time = tokio::select! {
        () = all => true,
        () = tokio::time::sleep(deadline) => false,
        _ = stopping.wait_for(|stop| *stop == Stop::Now) => false,
    };
    if !is_in_time {
        tracing::warn!(
            "some sessions did not end in time and are cut; what they were not told is stored is sent again"
        );
    }
    tasks.shutdown().await;
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: std::net::SocketAddr,
    mut told: mpsc::UnboundedReceiver<Command>,
) {
    let broken = |error: &dyn core::fmt::Display| {
        shared.counts.broken.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%address, %error, "no session came about");
    };
    if let Err(error) = stream.set_nodelay(true) {
        return broken(&error);
    }
    let upgraded = async {
        match &shared.tls {
            None => Box::pin(upgrade(stream)).await,
            Some(tls) => match Box::pin(tls.acceptor().accept(stream)).await {
                Ok(stream) => Box::pin(upgrade(stream)).await,
                Err(error) => Err(format!("TLS: {error}")),
            },
        }
    };
    let connection = tokio::select! {
        upgraded = tokio::time::timeout(shared.config.handshake, upgraded) => match upgraded {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return broken(&error),
            Err(_) => return broken(&"the handshake took too long"),
        },
        // Told to end before anything began.
        _ = told.recv() => return,
    };
    // Boxed, like the upgrade, so that a connection never takes the room of both.
    Box::pin(session(&shared, connection, address, told)).await;
}

async fn upgrade<S>(stream: S) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match accept_async_with_config(stream, Some(websocket_config())).await {
        Ok(socket) => Ok(Connection::websocket(socket)),
        Err(error) => Err(format!("websocket: {error}")),
    }
}

/// Keeps a session, and says in one line how it ended.
async fn session(
    shared: &Shared,
    connection: Connection,
    address: std::net::SocketAddr,
    told: mpsc::UnboundedReceiver<Command>,
) {
    let begun = Instant::now();
    let met = Arc::new(std::sync::Mutex::new(None));
    let noted = Arc::clone(&met);
    let observer = move |event: &Event, _: &Session| {
        if let Event::Met { workspace, peer, tier } = event {
            *noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((*workspace, *peer, *tier));
        }
    };
    let ended = shared.replica.answer(connection, told, Box::new(observer)).await;
    let seconds = begun.elapsed().as_secs_f32();
    let reason = match &ended {
        Ok(()) => "in good order".to_owned(),
        Err(LinkError::Gone) => "the device went away".to_owned(),
        Err(error) => error.to_string(),
    };
    let met = *met.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match met {
        Some((workspace, peer, tier)) => {
            let (workspace, peer) = (workspace.short(), peer.short());
            tracing::info!(%address, %workspace, %peer, ?tier, seconds, reason, "session ended");
        }
        None => tracing::info!(%address, seconds, reason, "session ended before both proved their keys"),
    }
}
