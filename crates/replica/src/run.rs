//! Running a driver over a connection.

use crate::connection::Connection;
use crate::counters::Counters;
use crate::driver::{Command, Driver, Observer};
use crate::error::LinkError;
use crate::replica::Replica;
use bytes::Bytes;
use changeset::{Partition, WorkspaceId};
use futures_util::{Sink, SinkExt, StreamExt};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the last words may take when a session is over.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the transport's own goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

impl Replica {
    /// Calls a peer over a connection and keeps the session until it ends.
    ///
    /// # Errors
    /// [`LinkError`], also when the peer closes in good order: what ended it.
    ///
    /// Cancel safe: dropping it drops the connection, and loses nothing that was acknowledged.
    pub async fn call(
        &self,
        connection: Connection,
        workspace: WorkspaceId,
        partitions: Vec<Partition>,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Result<(), LinkError> {
        let driver = self.caller(workspace, partitions, observer, Instant::now())?;
        run(connection, driver, commands, self.counters()).await
    }

    /// Answers a peer that called over a connection, and keeps the session until it ends.
    ///
    /// # Errors
    /// As for [`Replica::call`].
    pub async fn answer(
        &self,
        connection: Connection,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Result<(), LinkError> {
        let driver = self.answerer(observer, Instant::now())?;
        run(connection, driver, commands, self.counters()).await
    }
}

async fn run(
    connection: Connection,
    mut driver: Driver,
    mut commands: mpsc::UnboundedReceiver<Command>,
    counters: &Counters,
) -> Result<(), LinkError> {
    let Connection { mut incoming, mut outgoing } = connection;
    let wake = Arc::clone(&driver.wake);
    let mut is_commanded = true;
    let mut needs_flush = false;
    let mut last_words = None;
    loop {
        driver.drain(Instant::now());
        let is_over = driver.outcome().is_some();
        if is_over && last_words.is_none() {
            last_words = Some(Instant::now() + LAST_WORDS_TIMEOUT);
        }
        needs_flush |= !driver.queue.is_empty();
        if is_over && driver.queue.is_empty() && !needs_flush {
            break;
        }
        let (timeout, may_read) = (driver.poll_timeout(), driver.may_read());
        tokio::select! {
            biased;
            sent = send(&mut outgoing, &mut driver.queue, &mut driver.queued, counters), if needs_flush => {
                needs_flush = false;
                if let Err(error) = sent {
                    driver.handle_end(LinkError::Broken(error));
                }
            }
            Some(answer) = driver.answered.recv(), if !is_over => {
                let now = Instant::now();
                driver.answer(*answer, now);
                while let Ok(answer) = driver.answered.try_recv() {
                    driver.answer(*answer, now);
                }
            }
            frame = incoming.next(), if may_read => match frame {
                Some(Ok(frame)) => driver.handle_frame(&frame, Instant::now()),
                Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    driver.handle_garbage(error, Instant::now());
                }
                Some(Err(error)) => driver.end(Err(LinkError::Broken(error))),
                None => driver.end(Err(LinkError::Gone)),
            },
            () = wake.notified(), if !is_over => driver.woken(Instant::now()),
            command = commands.recv(), if is_commanded && !is_over => match command {
                Some(command) => driver.command(command, Instant::now()),
                None => is_commanded = false,
            },
            () = sleep_until(timeout), if timeout.is_some() => driver.handle_timeout(Instant::now()),
            // A peer that does not read does not hold what it will not hear.
            () = sleep_until(last_words), if is_over => break,
        }
    }
    let outcome = driver.take_outcome();
    drop(driver);
    if !matches!(outcome, Err(LinkError::Gone)) {
        // Read to the end: a connection that is closed over unread bytes is reset, and the last words with it.
        let goodbye = async {
            let _ = outgoing.close().await;
            while let Some(Ok(_)) = incoming.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
    outcome
}

/// Hands frames to the transport as far as it takes them, then flushes. Cancel safe: a frame leaves the queue only when
/// the transport has it.
async fn send(
    outgoing: &mut Pin<Box<dyn Sink<Bytes, Error = std::io::Error> + Send>>,
    queue: &mut VecDeque<Bytes>,
    queued: &mut usize,
    counters: &Counters,
) -> std::io::Result<()> {
    poll_fn(|cx| {
        while !queue.is_empty() {
            match outgoing.as_mut().poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(frame) = queue.pop_front() {
                *queued = queued.saturating_sub(frame.len());
                counters.bytes_out.add(frame.len() as u64);
                if let Err(error) = outgoing.as_mut().start_send(frame) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        outgoing.as_mut().poll_flush(cx)
    })
    .await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
