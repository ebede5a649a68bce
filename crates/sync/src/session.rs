//! A session: one connection to one peer, from the hello to the close.

use crate::channel::{Channel, Context};
use crate::error::{Code, SessionError};
use crate::event::Event;
use crate::frame::{Direction, Frame, Lane, Runs};
use crate::handshake::{Answering, Calling, Heard, Met, refusal, shortened, shortened_to};
use crate::limits::{Config, MAX_CHANNELS, MAX_KNOCKS, MAX_NAME_BYTES, MAX_WINDOW_BYTES, Tier};
use crate::message::Message;
use crate::output::{Asked, Output};
use crate::receipt::Receipt;
use crate::storage::{Denial, Request, RequestId, Response};
use changeset::{Cursor, LogIncarnation, LogPage, Partition, PublicKey, Signer, WorkspaceId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A session without I/O, async or clock.
///
/// Feed it with [`Session::handle_message`], [`Session::handle_storage`], [`Session::handle_timeout`] and
/// [`Session::handle_grown`]; after each, drain in this order: [`Session::poll_transmit`] until none (send the frames in
/// order, keep what the transport does not take), [`Session::poll_storage`] until none, [`Session::poll_event`] until
/// none; then arm one timer for [`Session::poll_timeout`]. After [`Event::Closed`] it stays closed: what
/// [`Session::poll_transmit`] still gives is sent, what [`Session::poll_storage`] still gives is noted (receipts, most of
/// all), and answers change nothing any more.
///
/// The same inputs at the same times give the same outputs: randomness comes in at the start, and nothing that goes out
/// depends on the order of a hash map.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    is_caller: bool,
    out: Output,
    /// Boxed, because a node of the map has room for eleven, and most sessions have two.
    channels: BTreeMap<Partition, Box<Channel>>,
    wanted: Vec<Partition>,
    /// The partition that was last given room in the window; others come first the next time.
    last_pumped: Option<Partition>,
    in_flight: u64,
    queued: u64,
    heard_at: Instant,
    pinged: bool,
    began: Instant,
}

#[derive(Debug)]
enum Phase {
    Calling(Calling),
    /// An answerer that has heard nothing yet.
    Silent([u8; 32]),
    Judging(Heard, [u8; 32]),
    Answering(Answering),
    Ready(Ready),
    Closed,
    /// Between two phases, inside one call.
    Moving,
}

#[derive(Debug)]
struct Ready {
    met: Met,
    incoming: Lane,
}

impl Session {
    /// Calls a peer. `nonce` is 32 random bytes; `expected` is the key that the peer must have, if it is known.
    pub fn call(
        config: Config,
        signer: Arc<dyn Signer>,
        workspace: WorkspaceId,
        expected: Option<PublicKey>,
        nonce: [u8; 32],
        now: Instant,
    ) -> Self {
        let key = signer.public_key();
        let (calling, hello) = Calling::begin(&key, workspace, expected, config.tier, config.window_bytes, nonce);
        let mut session = Self::new(config, signer, true, Phase::Calling(calling), now);
        session.out.own_frame(hello);
        session
    }

    /// Waits for a peer that calls. `nonce` is 32 random bytes.
    pub fn answer(config: Config, signer: Arc<dyn Signer>, nonce: [u8; 32], now: Instant) -> Self {
        Self::new(config, signer, false, Phase::Silent(nonce), now)
    }

    fn new(config: Config, signer: Arc<dyn Signer>, is_caller: bool, phase: Phase, now: Instant) -> Self {
        Self {
            config,
            phase,
            is_caller,
            out: Output::new(signer),
            channels: BTreeMap::new(),
            wanted: Vec::new(),
            last_pumped: None,
            in_flight: 0,
            queued: 0,
            heard_at: now,
            pinged: false,
            began: now,
        }
    }

    /// The peer's key, once it is proven.
    pub fn peer(&self) -> Option<PublicKey> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready.met.peer),
            _ => None,
        }
    }

    /// The workspace, once the handshake is over.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready.met.workspace),
            _ => None,
        }
    }

    /// What the peer says it is, once the handshake is over.
    pub fn peer_tier(&self) -> Option<Tier> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready.met.tier),
            _ => None,
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether everything that both sides had in the open partitions is on both sides, and at least one is open.
    pub fn is_level(&self) -> bool {
        let mut open = self.channels.values().filter(|channel| !channel.is_denied()).peekable();
        open.peek().is_some() && open.all(|channel| channel.is_level())
    }

    /// For each open partition: how many change sets of ours the peer has not acknowledged, and how many of the peer's are
    /// known of and not here.
    pub fn lag(&self) -> impl Iterator<Item = (&Partition, u64, u64)> {
        self.channels.iter().filter(|(_, channel)| !channel.is_denied()).map(|(partition, channel)| {
            let (ours, theirs) = channel.lag();
            (partition, ours, theirs)
        })
    }

    /// Bytes of pages on their way to the peer that it has not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The incarnation of the peer's log of a partition, once it is known: with the peer's key it names the source of what
    /// it gives, and what need not be offered back.
    pub fn peer_log(&self, partition: &Partition) -> Option<LogIncarnation> {
        self.channels.get(partition).and_then(|channel| channel.peer_log())
    }

    /// Opens a partition, now or as soon as the handshake is over. One that is open stays as it is; one that was denied is
    /// asked for again. Beyond [`MAX_CHANNELS`] there is an [`Event::Denied`].
    pub fn open(&mut self, partition: Partition, now: Instant) {
        match &self.phase {
            Phase::Closed => {}
            Phase::Ready(_) => {
                match self.channels.get(&partition) {
                    Some(channel) if !channel.is_denied() => return,
                    None if self.channels.len() >= MAX_CHANNELS => {
                        let denial = too_many_channels();
                        return self.out.event(Event::Denied { partition, denial });
                    }
                    Some(_) | None => {}
                }
                let channel = self.with_context(now, |cx| Channel::ask(partition.clone(), cx));
                self.channels.extend(channel.map(|channel| (partition, Box::new(channel))));
                self.settle(now);
            }
            _ => self.wanted.push(partition),
        }
    }

    /// Asks to be let in, under a name; what is over [`MAX_NAME_BYTES`] of it is cut off. Nothing happens in a session that
    /// is over.
    pub fn knock(&mut self, name: &str) {
        if self.is_closed() {
            return;
        }
        let name = shortened_to(name, MAX_NAME_BYTES).to_owned();
        self.out.message(Message::Knock { name });
        self.seal();
    }

    /// Asks who knocked. Nothing happens in a session that is over.
    pub fn ask_knocks(&mut self) {
        if self.is_closed() {
            return;
        }
        self.out.message(Message::AskKnocks);
        self.seal();
    }

    /// Ends the session in good order: what may be said late is said, then the reason.
    pub fn close(&mut self, code: Code, text: &str, now: Instant) {
        let _ = self.each_channel(now, Channel::flush);
        if matches!(self.phase, Phase::Silent(_) | Phase::Judging(..)) {
            // The caller waits for a welcome.
            self.out.own_frame(refusal(code, text, None));
        }
        self.end(SessionError::Closed { code, text: text.to_owned(), retry_after_ms: None }, true);
    }

    /// A log grew.
    pub fn handle_grown(&mut self, partition: &Partition, end: Cursor, now: Instant) {
        if self.channels.contains_key(partition) {
            let _ = self.on_channel(partition, now, |channel, cx| {
                channel.handle_grown(end, cx);
                Ok(())
            });
            self.settle(now);
        }
    }

    /// A frame came.
    pub fn handle_message(&mut self, bytes: &[u8], now: Instant) {
        self.heard_at = now;
        self.pinged = false;
        if let Err(error) = self.message(bytes, now) {
            self.fail(error);
        }
        self.settle(now);
    }

    fn message(&mut self, bytes: &[u8], now: Instant) -> Result<(), SessionError> {
        match std::mem::replace(&mut self.phase, Phase::Moving) {
            Phase::Calling(calling) => {
                let (met, proof) = calling.handle(bytes, self.out.signer())?;
                self.out.own_frame(proof);
                self.meet(met, now);
            }
            Phase::Silent(nonce) => {
                let heard = match Heard::read(bytes) {
                    Ok(heard) => heard,
                    Err(error) => {
                        self.out.own_frame(refusal(error.code(), &error.to_string(), None));
                        return Err(error);
                    }
                };
                let (workspace, peer, tier) = (heard.workspace, heard.peer, heard.tier);
                self.phase = Phase::Judging(heard, nonce);
                self.out.ask(None, Asked::Admit, Request::Admit { workspace, peer, tier });
            }
            Phase::Judging(..) => return Err(SessionError::Protocol("a word before the welcome")),
            Phase::Answering(answering) => {
                let met = answering.handle(bytes)?;
                self.meet(met, now);
            }
            Phase::Ready(mut ready) => {
                let incoming = read_frame(&mut ready, bytes);
                // Whatever the frame is: who sent a bad one is told.
                self.phase = Phase::Ready(ready);
                match incoming? {
                    Incoming::Control(messages) => {
                        for message in messages {
                            self.control(message, now)?;
                            if self.is_closed() {
                                break;
                            }
                        }
                    }
                    Incoming::Page(page) => {
                        let partition = page.partition.clone();
                        self.on_channel(&partition, now, |channel, cx| channel.handle_page(bytes, &page, cx))?;
                    }
                    Incoming::Runs(runs) => {
                        let partition = runs.partition.clone();
                        self.on_channel(&partition, now, |channel, cx| channel.handle_runs(runs, cx))?;
                    }
                    Incoming::Receipt(receipt, bytes) => {
                        let partition = receipt.partition.clone();
                        self.on_channel(&partition, now, |channel, cx| channel.handle_receipt(receipt, bytes, cx))?;
                    }
                }
            }
            Phase::Closed => self.phase = Phase::Closed,
            Phase::Moving => {}
        }
        Ok(())
    }

    fn meet(&mut self, met: Met, now: Instant) {
        let (own, theirs) = match self.is_caller {
            true => (Direction::FromCaller, Direction::FromAnswerer),
            false => (Direction::FromAnswerer, Direction::FromCaller),
        };
        self.out.met(met.workspace, Lane::new(met.session, own));
        let Met { workspace, peer, tier, .. } = met;
        self.out.event(Event::Met { workspace, peer, tier });
        let incoming = Lane::new(met.session, theirs);
        self.phase = Phase::Ready(Ready { met, incoming });
        for partition in std::mem::take(&mut self.wanted) {
            self.open(partition, now);
        }
    }

    fn control(&mut self, message: Message, now: Instant) -> Result<(), SessionError> {
        match message {
            Message::Open { partition, end, place, read } => self.asked(partition, end, place, read, now),
            Message::Opened { partition, end, place, fits, read } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_opened(end, place, fits, read, cx))
            }
            Message::Denied { partition, code, text } => self.on_channel(&partition, now, |channel, cx| {
                channel.handle_denied(code, text, cx);
                Ok(())
            }),
            Message::Tips { partition, bytes } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_tips(bytes, cx))
            }
            Message::Show { partition, ids, last } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_show(&ids, last, cx))
            }
            Message::Have { partition, tips, last } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_have(tips, last, cx))
            }
            Message::Want { partition, wants } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_want(wants, cx))
            }
            Message::Verbatim { partition, first, count } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_verbatim(first, count, cx))
            }
            Message::Taken { partition } => self.on_channel(&partition, now, Channel::handle_taken),
            Message::Done { partition } => self.on_channel(&partition, now, Channel::handle_done),
            Message::Settled { partition } => self.on_channel(&partition, now, Channel::handle_settled),
            Message::Skip { partition, from, position, hash } => self.on_channel(&partition, now, |channel, cx| {
                let log = channel.peer_log().ok_or(SessionError::Protocol("a skip in a log that is not open"))?;
                channel.handle_skip(from, Cursor { log, position, hash }, cx)
            }),
            Message::Refused { partition, entries } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_refused(entries, cx))
            }
            Message::Busy { partition, retry_after_ms } => {
                self.on_channel(&partition, now, |channel, cx| channel.handle_busy(retry_after_ms, cx))
            }
            Message::Ping => {
                self.out.pong();
                Ok(())
            }
            Message::Pong => Ok(()),
            Message::Knock { name } => {
                if self.out.is_asked(|asked| matches!(asked, Asked::Knock)) {
                    return Err(SessionError::Protocol("it knocks again before it was heard"));
                }
                self.out.ask(None, Asked::Knock, Request::Knock { name });
                Ok(())
            }
            Message::AskKnocks => {
                if self.out.is_asked(|asked| matches!(asked, Asked::Knocks)) {
                    return Err(SessionError::Protocol("it asks again before it was answered"));
                }
                self.out.ask(None, Asked::Knocks, Request::Knocks);
                Ok(())
            }
            Message::Knocks { knocks } => {
                self.out.event(Event::Knocks(knocks));
                Ok(())
            }
            Message::Close { code, text } => {
                self.end(SessionError::Closed { code, text, retry_after_ms: None }, false);
                Ok(())
            }
        }
    }

    fn asked(
        &mut self,
        partition: Partition,
        end: Cursor,
        place: Option<Cursor>,
        read: bool,
        now: Instant,
    ) -> Result<(), SessionError> {
        let count = self.channels.len();
        match self.channels.get_mut(&partition) {
            // Two opens crossed: the caller's counts.
            Some(channel) if channel.is_asking() && self.is_caller => {
                channel.cross();
                return Ok(());
            }
            Some(channel) if !channel.is_asking() && !channel.is_denied() => {
                return Err(SessionError::Protocol("a partition is opened twice"));
            }
            None if count >= MAX_CHANNELS => {
                let Denial { code, text, .. } = too_many_channels();
                self.out.message(Message::Denied { partition, code, text });
                return Ok(());
            }
            // What our own open asked of storage is not waited for: its answer is not the answer to this.
            Some(_) => self.out.forget(&partition),
            None => {}
        }
        let channel = self.with_context(now, |cx| Channel::asked(partition.clone(), end, place, read, cx));
        self.channels.extend(channel.map(|channel| (partition, Box::new(channel))));
        Ok(())
    }

    /// A request was answered.
    pub fn handle_storage(&mut self, id: RequestId, answer: Response, now: Instant) {
        if let Err(error) = self.storage(id, answer, now) {
            self.fail(error);
        }
        self.settle(now);
    }

    fn storage(&mut self, id: RequestId, answer: Response, now: Instant) -> Result<(), SessionError> {
        // What a closed channel or session asked for is not waited for.
        let Some((partition, asked)) = self.out.answered(id) else { return Ok(()) };
        if let Some(partition) = partition {
            return self.on_channel(&partition, now, |channel, cx| channel.handle_storage(asked, answer, cx));
        }
        match answer {
            Response::Failed(why) => Err(SessionError::Storage(why)),
            Response::Admitted(verdict) => self.admitted(verdict),
            Response::Knocks(mut knocks) => {
                knocks.truncate(MAX_KNOCKS);
                for knock in &mut knocks {
                    knock.name = shortened_to(&knock.name, MAX_NAME_BYTES).to_owned();
                }
                self.out.message(Message::Knocks { knocks });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn admitted(&mut self, verdict: Result<(), Denial>) -> Result<(), SessionError> {
        let (heard, nonce) = match std::mem::replace(&mut self.phase, Phase::Moving) {
            Phase::Judging(heard, nonce) => (heard, nonce),
            other => {
                self.phase = other;
                return Ok(());
            }
        };
        match verdict {
            Ok(()) => {
                let (answering, welcome) =
                    heard.welcome(self.out.signer(), self.config.tier, self.config.window_bytes, nonce)?;
                self.out.own_frame(welcome);
                self.phase = Phase::Answering(answering);
                Ok(())
            }
            Err(Denial { code, text, retry_after_ms }) => {
                self.out.own_frame(refusal(code, &text, retry_after_ms));
                Err(SessionError::Closed { code, text, retry_after_ms })
            }
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_ready = matches!(self.phase, Phase::Ready(_));
        let since = now.saturating_duration_since(self.heard_at);
        if self.is_closed() {
            return;
        }
        if !is_ready {
            if now.saturating_duration_since(self.began) >= self.config.handshake_timeout {
                self.fail(SessionError::Timeout(self.config.handshake_timeout));
            }
        } else if since >= 2 * self.config.ping_after {
            self.fail(SessionError::Timeout(2 * self.config.ping_after));
        } else {
            if since >= self.config.ping_after && !self.pinged {
                self.pinged = true;
                self.out.message(Message::Ping);
            }
            if let Err(error) = self.each_channel(now, Channel::handle_timeout) {
                self.fail(error);
            }
        }
        self.settle(now);
    }

    /// When [`Session::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::Ready(_) => {
                let quiet = if self.pinged { 2 * self.config.ping_after } else { self.config.ping_after };
                let channels = self.channels.values().filter_map(|channel| channel.timeout()).min();
                Some(channels.map_or(self.heard_at + quiet, |at| at.min(self.heard_at + quiet)))
            }
            _ => Some(self.began + self.config.handshake_timeout),
        }
    }

    /// The next frame to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Arc<[u8]>> {
        self.out.poll_transmit()
    }

    /// The next request to the replica's storage.
    #[must_use]
    pub fn poll_storage(&mut self) -> Option<(RequestId, Request)> {
        self.out.poll_request()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }

    /// After every input: channels that may go on, levels, and the frame that holds what was said.
    fn settle(&mut self, now: Instant) {
        while self.out.should_look_again() {
            if let Err(error) = self.look_again(now) {
                self.fail(error);
            }
            for channel in self.channels.values_mut() {
                channel.check_level(&mut self.out);
            }
        }
        if let Err(error) = self.out.check_limits() {
            self.fail(error);
        }
        self.seal();
    }

    /// The window is shared: whoever was given room last comes last.
    fn look_again(&mut self, now: Instant) -> Result<(), SessionError> {
        let Phase::Ready(ready) = &self.phase else { return Ok(()) };
        let Self { config, in_flight, queued, out, channels, last_pumped, .. } = self;
        let session = &ready.met.session;
        let window = ready.met.window.min(MAX_WINDOW_BYTES);
        let mut cx = Context { config, window, in_flight, queued, session, now, out };
        let last = last_pumped.clone();
        let is_later = |partition: &Partition| last.as_ref().is_some_and(|last| partition > last);
        let mut is_first = true;
        for turn in [true, false] {
            for (partition, channel) in channels.iter_mut().filter(|(partition, _)| is_later(partition) == turn) {
                if channel.look_again(&mut cx)? && is_first {
                    *last_pumped = Some(partition.clone());
                    is_first = false;
                }
            }
        }
        Ok(())
    }

    fn seal(&mut self) {
        self.out.seal();
        if let Some(error) = self.out.failure() {
            self.fail(error.into());
        }
    }

    fn fail(&mut self, error: SessionError) {
        // A peer that said goodbye hears nothing more.
        let tell = matches!(self.phase, Phase::Ready(_));
        self.end(error, tell);
    }

    fn end(&mut self, error: SessionError, tell: bool) {
        if self.is_closed() {
            return;
        }
        if tell {
            let text = match &error {
                SessionError::Closed { text, .. } => text.clone(),
                other => other.to_string(),
            };
            self.out.message(Message::Close { code: error.code(), text: shortened(&text).to_owned() });
            self.out.seal();
        }
        self.phase = Phase::Closed;
        self.out.forget_requests();
        self.out.event(Event::Closed(error));
    }

    fn with_context<T>(&mut self, now: Instant, act: impl FnOnce(&mut Context<'_>) -> T) -> Option<T> {
        let Phase::Ready(ready) = &self.phase else { return None };
        let window = ready.met.window.min(MAX_WINDOW_BYTES);
        let Self { config, in_flight, queued, out, .. } = self;
        Some(act(&mut Context { config, window, in_flight, queued, session: &ready.met.session, now, out }))
    }

    fn on_channel(
        &mut self,
        partition: &Partition,
        now: Instant,
        act: impl FnOnce(&mut Channel, &mut Context<'_>) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let Phase::Ready(ready) = &self.phase else { return Ok(()) };
        let Self { config, in_flight, queued, out, channels, .. } = self;
        let Some(channel) = channels.get_mut(partition) else {
            return Err(SessionError::Protocol("a partition that was never opened"));
        };
        let (window, session) = (ready.met.window.min(MAX_WINDOW_BYTES), &ready.met.session);
        act(channel, &mut Context { config, window, in_flight, queued, session, now, out })
    }

    fn each_channel(
        &mut self,
        now: Instant,
        act: impl Fn(&mut Channel, &mut Context<'_>) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let Phase::Ready(ready) = &self.phase else { return Ok(()) };
        let Self { config, in_flight, queued, out, channels, .. } = self;
        let (window, session) = (ready.met.window.min(MAX_WINDOW_BYTES), &ready.met.session);
        let mut cx = Context { config, window, in_flight, queued, session, now, out };
        for channel in channels.values_mut() {
            act(channel, &mut cx)?;
        }
        Ok(())
    }
}

/// A frame whose signature held.
enum Incoming<'a> {
    Control(Vec<Message>),
    Page(LogPage<'a>),
    Runs(Runs<'a>),
    Receipt(Receipt, &'a [u8]),
}

fn read_frame<'a>(ready: &mut Ready, bytes: &'a [u8]) -> Result<Incoming<'a>, SessionError> {
    let Ready { met, incoming } = ready;
    Ok(match Frame::read(bytes)? {
        Frame::Control(rest) => Incoming::Control(incoming.open(&met.peer, rest)?),
        Frame::Page(bytes) => Incoming::Page(LogPage::from_bytes(bytes)?),
        Frame::Runs(rest) => Incoming::Runs(incoming.open_runs(&met.peer, rest)?),
        Frame::Receipt(rest) => {
            let receipt = Receipt::from_bytes(rest)?;
            if !receipt.is_signed_by(&met.peer, &met.workspace) {
                return Err(SessionError::Forged("receipt"));
            }
            Incoming::Receipt(receipt, rest)
        }
    })
}

fn too_many_channels() -> Denial {
    let text = format!("more than {MAX_CHANNELS} partitions in one session: close some");
    Denial { code: Code::QUOTA, text, retry_after_ms: None }
}
