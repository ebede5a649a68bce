//! One partition in one session: two directions, each a cursor in the other side's log.
//!
//! This file opens a partition and hands what comes to the part that it is for. [`sending`] reads pages from our log and
//! keeps the peer's window, [`receiving`] has what comes taken and acknowledges it, and [`comparing`] brings two sides
//! together whose places do not fit: a first meeting, a restored or copied store.

mod comparing;
mod receiving;
mod sending;

use crate::error::{Code, SessionError};
use crate::event::Event;
use crate::handshake::shortened;
use crate::limits::Config;
use crate::message::{Message, Place};
use crate::output::{Asked, Output};
use crate::storage::{Denial, Request, Response};
use changeset::{Cursor, LogIncarnation, Partition};
use comparing::Comparison;
use receiving::Theirs;
use sending::Ours;
use std::time::{Duration, Instant};

/// What a partition's channel needs of its session.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    /// The peer's window and what is in flight to it, over all partitions.
    pub(crate) window: u64,
    pub(crate) in_flight: &'a mut u64,
    /// Bytes from the peer that are not taken yet, over all partitions.
    pub(crate) queued: &'a mut u64,
    pub(crate) session: &'a [u8; 32],
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Output,
}

impl Context<'_> {
    /// The peer made room; any channel may have waited for it.
    fn landed(&mut self, bytes: u64) {
        *self.in_flight = self.in_flight.saturating_sub(bytes);
        self.out.look_again();
    }

    fn taken(&mut self, bytes: u64) {
        if changeset::planted("credit is not given back") {
            return;
        }
        *self.queued = self.queued.saturating_sub(bytes);
    }
}

/// How far the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// We ask storage what to say in our open, or wait for the answer to it.
    Asking,
    /// The peer asked; storage looks.
    Asked,
    /// Pages may flow; a comparison may go on beside it.
    Open,
    /// Not opened, or not any more.
    Denied,
}

/// One partition of a session.
#[derive(Debug)]
pub(crate) struct Channel {
    partition: Partition,
    is_asker: bool,
    phase: Phase,
    /// The peer's open came while ours was on its way. Ours counts; if it is never said, the peer must hear that.
    is_crossed: bool,
    /// The peer's place in our log as its open had it.
    asked_place: Option<Cursor>,
    ours: Ours,
    theirs: Theirs,
    comparison: Comparison,
    /// Whether it was level when that was last looked at.
    was_level: bool,
}

impl Channel {
    pub(crate) fn ask(partition: Partition, cx: &mut Context<'_>) -> Self {
        let channel = Self::new(partition.clone(), true, Phase::Asking);
        cx.out.request(
            &partition,
            Asked::Open,
            Request::Open { partition: partition.clone(), peer_log: None, place: None },
        );
        channel
    }

    pub(crate) fn asked(
        partition: Partition,
        end: Cursor,
        place: Option<Cursor>,
        read: bool,
        cx: &mut Context<'_>,
    ) -> Self {
        let mut channel = Self::new(partition.clone(), false, Phase::Asked);
        channel.theirs.end = Some(end);
        channel.theirs.end_at_open = Some(end);
        channel.theirs.readable = read;
        channel.asked_place = place;
        let request = Request::Open { partition: partition.clone(), peer_log: Some(end.log), place };
        cx.out.request(&partition, Asked::Open, request);
        channel
    }

    fn new(partition: Partition, is_asker: bool, phase: Phase) -> Self {
        Self {
            partition,
            is_asker,
            phase,
            is_crossed: false,
            asked_place: None,
            ours: Ours::default(),
            theirs: Theirs::default(),
            comparison: Comparison::default(),
            was_level: false,
        }
    }

    /// Whether our own open is on its way, so that one of two that cross must yield.
    pub(crate) fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.phase == Phase::Denied
    }

    /// The peer's open crossed ours, which counts.
    pub(crate) fn cross(&mut self) {
        self.is_crossed = true;
    }

    /// The incarnation of the peer's log, once it is known.
    pub(crate) fn peer_log(&self) -> Option<LogIncarnation> {
        self.theirs.end.map(|end| end.log)
    }

    /// What is not acknowledged yet of our log, and what is known of theirs and not taken yet, in change sets.
    pub(crate) fn lag(&self) -> (u64, u64) {
        let end = self.ours.end.map_or(0, |end| end.position);
        let place = self.theirs.place.map_or(0, |place| place.position);
        (end.saturating_sub(self.ours.arrived()), self.theirs.end.map_or(0, |end| end.position).saturating_sub(place))
    }

    /// Whether both sides hold what the other had, as far as is known here.
    pub(crate) fn is_level(&self) -> bool {
        let (to_send, to_take) = self.lag();
        let is_sent = (to_send == 0 && !self.ours.awaits_receipt)
            || !self.ours.readable
            || changeset::planted("level is said while pages are on their way");
        let is_taken = to_take == 0 || !self.theirs.readable;
        self.phase == Phase::Open && self.comparison.is_idle() && self.theirs.is_idle() && is_sent && is_taken
    }

    /// Says so when both sides came to hold what the other had.
    pub(crate) fn check_level(&mut self, out: &mut Output) {
        let is_level = self.is_level();
        if is_level && !self.was_level {
            out.event(Event::Level { partition: self.partition.clone() });
        }
        self.was_level = is_level;
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        [self.theirs.timeout(), self.ours.timeout()].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        if self.ours.skip_is_due(cx.now) {
            self.say_skip(cx);
        }
        if self.ours.paused_until.is_some_and(|at| at <= cx.now) {
            self.ours.paused_until = None;
        }
        if self.theirs.retry_at.is_some_and(|at| at <= cx.now) {
            self.theirs.retry_at = None;
            self.advance(cx);
        }
        self.look_again(cx).map(|_| ())
    }

    /// After anything that may let this channel go on: room in the window, or an acknowledgement that became due. Gives
    /// whether it goes on with pages.
    pub(crate) fn look_again(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        if self.theirs.ack_at.is_some_and(|at| at <= cx.now) {
            self.acknowledge(cx)?;
        }
        self.serve(cx);
        Ok(self.pump(cx))
    }

    /// What may be said late is said now: the session ends.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        if self.theirs.ack_at.is_some() {
            self.acknowledge(cx)?;
        }
        if self.ours.is_all_sent() {
            self.say_skip(cx);
        }
        Ok(())
    }

    /// Our log grew.
    pub(crate) fn handle_grown(&mut self, end: Cursor, cx: &mut Context<'_>) {
        // Before storage answered our open, the answer may be older than this.
        self.ours.grown = Some(end);
        if self.ours.end.is_some_and(|known| known.log == end.log && known.position < end.position) {
            self.ours.end = Some(end);
            cx.out.look_again();
        }
    }

    /// Nothing more is sent or taken; what it had of the session's windows is given back.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>) {
        let flight = self.ours.flight_bytes() + self.comparison.serving_bytes();
        let queued = self.theirs.queued_bytes();
        self.ours = Ours::default();
        self.theirs = Theirs::default();
        self.comparison = Comparison::default();
        self.phase = Phase::Denied;
        cx.out.forget(&self.partition);
        cx.landed(flight);
        cx.taken(queued);
    }

    fn deny(&mut self, denial: Denial, cx: &mut Context<'_>) {
        self.shut(cx);
        let Denial { code, text, .. } = denial.clone();
        if !self.is_asker || self.is_crossed {
            let text = shortened(&text).to_owned();
            cx.out.message(Message::Denied { partition: self.partition.clone(), code, text });
        }
        if self.is_asker {
            cx.out.event(Event::Denied { partition: self.partition.clone(), denial });
        }
    }

    /// Storage answered what our open or our answer is made of.
    fn opened(&mut self, answer: Response, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let (end, fits, place, read) = match answer {
            Response::Opened { end, fits, place, read, receipted } => {
                self.ours.receipted = receipted;
                (end, fits, place, read)
            }
            Response::Denied(denial) => {
                self.deny(denial, cx);
                return Ok(());
            }
            _ => return Err(SessionError::Storage("an open was answered with something else".into())),
        };
        let grown = self.ours.grown.filter(|grown| grown.log == end.log && grown.position > end.position);
        self.ours.end = Some(grown.unwrap_or(end));
        self.ours.end_at_open = Some(end);
        self.ours.readable = read;
        if self.is_asker {
            self.theirs.place = place;
            cx.out.message(Message::Open { partition: self.partition.clone(), end, place, read });
            return Ok(());
        }
        let asked_place = self.asked_place;
        let fits = fits && asked_place.is_some();
        let their_end = self.theirs.end.unwrap_or(end);
        // A place in another incarnation of their log is none.
        let place = place.filter(|place| their_end.log == place.log);
        // A log that ends before our place was rolled back. The peer hears of our place, so that it knows too; here it
        // counts no more.
        let is_lost = place.is_some_and(|place| {
            place.position > their_end.position || (place.position == their_end.position && place != their_end)
        });
        self.theirs.place = place.filter(|_| !is_lost);
        self.theirs.expected = self.theirs.place.map_or(0, |place| place.position);
        if fits || their_end.position == 0 || end.position == 0 {
            let position = asked_place.filter(|_| fits).map_or(0, |place| place.position);
            self.go_on_from(position, if fits { 0 } else { end.position });
            self.comparison.is_unexpected = self.theirs.place.is_some();
        }
        self.phase = Phase::Open;
        cx.out.message(Message::Opened {
            partition: self.partition.clone(),
            end: if fits && asked_place == Some(end) { None } else { Some(end) },
            place: match place {
                None => Place::None,
                Some(place) if place == their_end => Place::AtEnd,
                Some(place) => Place::At(place),
            },
            fits,
            read,
        });
        cx.out.event(Event::Opened { partition: self.partition.clone(), read: self.theirs.readable });
        if !fits && asked_place.is_some_and(|place| place.log == end.log) {
            cx.out.event(Event::RolledBack { partition: self.partition.clone() });
        }
        if is_lost {
            cx.out.event(Event::PeerRolledBack { partition: self.partition.clone() });
        }
        cx.out.look_again();
        Ok(())
    }

    /// The peer answered our open.
    pub(crate) fn handle_opened(
        &mut self,
        end: Option<Cursor>,
        place: Place,
        fits: bool,
        read: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let (Phase::Asking, true, Some(own_end)) = (self.phase, self.is_asker, self.ours.end_at_open) else {
            return Err(SessionError::Protocol("an answer to no question"));
        };
        if fits && self.theirs.place.is_none() || !fits && end.is_none() {
            return Err(SessionError::Protocol("an answer that contradicts itself"));
        }
        let their_end = end.or(self.theirs.place).ok_or(SessionError::Protocol("an end that was left out"))?;
        if fits
            && self.theirs.place.is_some_and(|place| place.log != their_end.log || place.position > their_end.position)
        {
            return Err(SessionError::Protocol("an end before the place that fits"));
        }
        self.phase = Phase::Open;
        self.theirs.end = Some(their_end);
        self.theirs.end_at_open = Some(their_end);
        self.theirs.readable = read;
        cx.out.event(Event::Opened { partition: self.partition.clone(), read });
        if !fits && self.theirs.place.is_some_and(|place| place.log == their_end.log) {
            cx.out.event(Event::PeerRolledBack { partition: self.partition.clone() });
        }
        self.theirs.place = self.theirs.place.filter(|_| fits);
        self.theirs.expected = self.theirs.place.map_or(0, |place| place.position);
        let nothing_to_find = own_end.position == 0 || their_end.position == 0;
        self.comparison.their_place_fits = fits || nothing_to_find || !read;
        match place {
            Place::AtEnd => {
                self.go_on_from(own_end.position, 0);
                self.compare_unless(self.is_proven(own_end.position), cx);
            }
            // Beyond the end that we named, whatever the log has grown to since: the peer knows that it does not fit, too.
            Place::At(cursor) if cursor.log == own_end.log && cursor.position >= own_end.position => {
                self.fits(cursor, false, cx);
            }
            Place::At(cursor) if cursor.log == own_end.log => {
                let partition = self.partition.clone();
                cx.out.request(&self.partition, Asked::Fits(cursor), Request::Fits { partition, cursor });
            }
            Place::None | Place::At(_) => {
                // Nothing of ours is there, or nothing is here: pages from the start say all.
                if nothing_to_find {
                    self.go_on_from(0, own_end.position);
                }
                self.compare_unless(nothing_to_find || !self.ours.readable, cx);
            }
        }
        Ok(())
    }

    /// Storage said whether the peer's place is one of our log.
    fn fits(&mut self, cursor: Cursor, fits: bool, cx: &mut Context<'_>) {
        if fits {
            self.go_on_from(cursor.position, 0);
        } else {
            cx.out.event(Event::RolledBack { partition: self.partition.clone() });
        }
        self.compare_unless(fits && self.is_proven(cursor.position) || !self.ours.readable, cx);
    }

    /// The peer says that it passed our log up to here. If the receipt for that got lost with an earlier line, what it refused
    /// got lost too, and what was left to another relay it may not have: only a comparison shows what it holds.
    fn is_proven(&self, position: u64) -> bool {
        position <= self.ours.receipted || !self.ours.readable || changeset::planted("a place is taken for a receipt")
    }

    /// Pages go on behind `position`; up to `offer_until` nothing is left out, because the peer lost or never had even
    /// what it gave us.
    fn go_on_from(&mut self, position: u64, offer_until: u64) {
        self.ours.may_send = self.ours.readable;
        self.ours.sent = position;
        self.ours.confirmed = position;
        self.ours.offer_until = offer_until;
    }

    fn compare_unless(&mut self, is_our_place_good: bool, cx: &mut Context<'_>) {
        if !(is_our_place_good && self.comparison.their_place_fits) {
            // Nothing is sent until both know what the other holds.
            self.ours.may_send = false;
            self.compare(cx);
        }
        cx.out.look_again();
    }

    pub(crate) fn handle_denied(&mut self, code: Code, text: String, cx: &mut Context<'_>) {
        self.shut(cx);
        let denial = Denial { code, text, retry_after_ms: None };
        cx.out.event(Event::Denied { partition: self.partition.clone(), denial });
    }

    /// A request was answered.
    pub(crate) fn handle_storage(
        &mut self,
        asked: Asked,
        answer: Response,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        if let Response::Failed(why) = answer {
            return Err(SessionError::Storage(why));
        }
        match (asked, answer) {
            (Asked::Open, answer) => self.opened(answer, cx),
            (Asked::Fits(cursor), Response::Fits(fits)) => {
                self.fits(cursor, fits, cx);
                Ok(())
            }
            (Asked::Read(from), Response::Pages(pages)) => self.pages(from, pages, cx),
            // The peer may not read any more.
            (Asked::Read(_), Response::Bad { code, text }) => {
                Err(SessionError::Closed { code, text, retry_after_ms: None })
            }
            (Asked::Write, answer) => self.written(answer, cx),
            (Asked::Tips, Response::Tips(tips)) => self.tips(&tips, cx),
            (Asked::Lacking, Response::Lacking(wants)) => {
                self.lacking(wants, cx);
                Ok(())
            }
            (Asked::Lines, answer) => self.lines(answer, cx),
            (Asked::Span { first, count }, answer) => self.span(first, count, answer, cx),
            (Asked::Note, Response::Stored) => Ok(()),
            _ => Err(SessionError::Storage("a request was answered with something else".into())),
        }
    }

    fn needs_open(&self) -> Result<(), SessionError> {
        match self.phase {
            Phase::Open => Ok(()),
            _ => Err(SessionError::Protocol("a word in a partition that is not open")),
        }
    }
}

/// Nobody waits longer on a peer's word.
const MAX_WAIT: Duration = Duration::from_secs(600);

fn wait_of(retry_after_ms: u64) -> Duration {
    Duration::from_millis(retry_after_ms).min(MAX_WAIT)
}
