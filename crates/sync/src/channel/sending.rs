//! Our log, on its way to the peer.
//!
//! Pages are read from the log behind the peer's place, as long as the peer's window has room. A slow peer has no queue
//! here; it lags, and reads what it missed later from the log.

use super::{Channel, Context, Phase, wait_of};
use crate::error::{Code, SessionError};
use crate::event::Event;
use crate::frame::Runs;
use crate::message::Message;
use crate::output::Asked;
use crate::receipt::Receipt;
use crate::storage::{Page, Request, Response};
use changeset::{ChangeSetId, Cursor, LogPage};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far our log is with the peer.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// Where it ends.
    pub(super) end: Option<Cursor>,
    /// Where it ended when the partition was opened.
    pub(super) end_at_open: Option<Cursor>,
    /// The last end that was heard of, perhaps before storage answered what the open says.
    pub(super) grown: Option<Cursor>,
    /// Whether the peer may read and we know from where.
    pub(super) may_send: bool,
    /// Whether the peer may read at all.
    pub(super) readable: bool,
    /// Pages up to here are sent even if they came from the peer.
    pub(super) offer_until: u64,
    /// What was sent, or left out.
    pub(super) sent: u64,
    /// What the peer answered for: its place when it was opened, its receipts, the end of a comparison.
    pub(super) confirmed: u64,
    /// Up to where a receipt was held when the partition was opened.
    pub(super) receipted: u64,
    /// A receipt must come before the two are level: the one for a comparison.
    pub(super) awaits_receipt: bool,
    /// What was sent and is not acknowledged.
    flight: VecDeque<Sent>,
    is_reading: bool,
    /// What was left out and not said yet.
    skip: Option<Skip>,
    /// The peer asked us to wait until then.
    pub(super) paused_until: Option<Instant>,
}

/// A page on its way.
#[derive(Debug)]
struct Sent {
    first: u64,
    end: Cursor,
    bytes: u64,
    /// It was asked for again, as runs.
    is_respelled: bool,
}

/// Entries that are not for the peer.
#[derive(Clone, Copy, Debug)]
struct Skip {
    from: u64,
    to: Cursor,
    /// When to say so if nothing follows.
    at: Instant,
}

/// How long "nothing for you" waits for something else to be said. It only spares the peer a look at the next meeting.
const SKIP_LINGER: Duration = Duration::from_secs(1);

impl Ours {
    pub(super) fn is_all_sent(&self) -> bool {
        self.end.is_some_and(|end| self.sent >= end.position) && self.flight.is_empty()
    }

    /// Up to where everything is at the peer, or not for it.
    pub(super) fn arrived(&self) -> u64 {
        self.flight.front().map_or(self.sent, |page| page.first.min(self.sent))
    }

    pub(super) fn flight_bytes(&self) -> u64 {
        self.flight.iter().map(|page| page.bytes).sum()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let skip = self.skip.filter(|_| self.is_all_sent()).map(|skip| skip.at);
        [skip, self.paused_until].into_iter().flatten().min()
    }

    pub(super) fn skip_is_due(&self, now: Instant) -> bool {
        self.skip.is_some_and(|skip| skip.at <= now) && self.is_all_sent()
    }
}

impl Channel {
    pub(super) fn say_skip(&mut self, cx: &mut Context<'_>) {
        if let Some(Skip { from, to: Cursor { position, hash, .. }, .. }) = self.ours.skip.take() {
            cx.out.message(Message::Skip { partition: self.partition.clone(), from, position, hash });
        }
    }

    /// Asks for the next pages, if they may be sent and there is room; gives whether it does.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(end) = self.ours.end else { return false };
        let room = cx.window.saturating_sub(*cx.in_flight);
        let may = self.phase == Phase::Open && self.ours.may_send && self.ours.paused_until.is_none();
        if !may || self.ours.is_reading || self.ours.sent >= end.position || room == 0 {
            return false;
        }
        self.ours.is_reading = true;
        let max_bytes = cx.config.read_bytes.min(usize::try_from(room).unwrap_or(usize::MAX));
        let (partition, from) = (self.partition.clone(), self.ours.sent);
        cx.out.request(&self.partition, Asked::Read(from), Request::Read { partition, from, max_bytes });
        true
    }

    pub(super) fn pages(&mut self, from: u64, pages: Vec<Page>, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.ours.is_reading = false;
        if from != self.ours.sent || !self.ours.may_send || self.ours.paused_until.is_some() {
            // Meanwhile the peer asked to wait, or a comparison ended: these are not the next pages any more.
            cx.out.look_again();
            return Ok(());
        }
        if pages.is_empty() {
            return Err(SessionError::Storage("the log ends before its end".into()));
        }
        for page in pages {
            if page.end.position <= self.ours.sent {
                continue;
            }
            if page.skip && page.end.position > self.ours.offer_until {
                // What the peer heard of when it opened the partition, it waits for.
                let is_awaited = self.ours.end_at_open.is_some_and(|end| page.end.position <= end.position);
                let at = if is_awaited { cx.now } else { cx.now + SKIP_LINGER };
                let from = self.ours.skip.map_or(self.ours.sent, |skip| skip.from);
                self.ours.skip = Some(Skip { from, to: page.end, at });
                self.ours.sent = page.end.position;
                continue;
            }
            let bytes = page.bytes.len() as u64;
            if from > 0 && page.end.position % 5 == 0 && changeset::planted("a lagging reader skips a page") {
                self.ours.sent = page.end.position;
                continue;
            }
            // One page always fits; the rest is read again when there is room.
            if *cx.in_flight > 0 && *cx.in_flight + bytes > cx.window {
                break;
            }
            let first = LogPage::from_bytes(&page.bytes)
                .map_err(|error| SessionError::Storage(format!("a page of the log is damaged: {error}")))?
                .first;
            // A page that is missing is told from one that is left out: what is left out is signed for.
            self.say_skip(cx);
            self.ours.sent = page.end.position;
            self.ours.flight.push_back(Sent { first, end: page.end, bytes, is_respelled: false });
            *cx.in_flight += bytes;
            cx.out.shared_frame(page.bytes);
        }
        if self.ours.skip_is_due(cx.now) {
            self.say_skip(cx);
        }
        if self.ours.sent > from {
            // If nothing fitted, the next receipt makes room.
            cx.out.look_again();
        }
        Ok(())
    }

    pub(crate) fn handle_receipt(
        &mut self,
        receipt: Receipt,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        self.needs_open()?;
        let upto = receipt.upto;
        if self.ours.end.is_none_or(|end| end.log != upto.log) || upto.position > self.ours.sent {
            return Err(SessionError::Protocol("a receipt for what was not sent"));
        }
        while let Some(page) = self.ours.flight.pop_front_if(|page| page.end.position <= upto.position) {
            if page.end.position == upto.position && page.end.hash != upto.hash {
                return Err(SessionError::Protocol("a receipt for another log"));
            }
            cx.landed(page.bytes);
        }
        self.ours.confirmed = self.ours.confirmed.max(upto.position);
        self.ours.awaits_receipt = false;
        let partition = self.partition.clone();
        let request = Request::Receipt { partition: partition.clone(), upto, receipt: bytes.to_vec() };
        cx.out.request(&self.partition, Asked::Note, request);
        let Receipt { held, refused, tier, .. } = receipt;
        cx.out.event(Event::Acknowledged { partition, upto, held, refused, tier });
        cx.out.look_again();
        Ok(())
    }

    pub(crate) fn handle_busy(&mut self, retry_after_ms: u64, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.needs_open()?;
        let dropped = self.ours.flight_bytes();
        self.ours.flight.clear();
        cx.landed(dropped);
        self.ours.sent = self.ours.confirmed;
        // It is found again on the way from there.
        self.ours.skip = None;
        let wait = wait_of(retry_after_ms);
        self.ours.paused_until = Some(cx.now + wait);
        cx.out.event(Event::Paused { partition: self.partition.clone(), wait });
        Ok(())
    }

    /// The peer does not keep these.
    pub(crate) fn handle_refused(
        &mut self,
        entries: Vec<(ChangeSetId, Code)>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        self.needs_open()?;
        let partition = self.partition.clone();
        let request = Request::Refused { partition: partition.clone(), entries: entries.clone() };
        cx.out.request(&self.partition, Asked::Note, request);
        cx.out.event(Event::Refused { partition, entries });
        Ok(())
    }

    pub(crate) fn handle_verbatim(&mut self, first: u64, count: u64, cx: &mut Context<'_>) -> Result<(), SessionError> {
        // The peer acknowledges what is before it first, so it can only be the oldest one; and once is enough.
        let oldest = self.ours.flight.front_mut().filter(|page| {
            (page.first, page.end.position) == (first, first.saturating_add(count)) && !page.is_respelled
        });
        let oldest = oldest.ok_or(SessionError::Protocol("a page is asked for again out of turn"))?;
        oldest.is_respelled = true;
        let partition = self.partition.clone();
        cx.out.request(&self.partition, Asked::Span { first, count }, Request::Span { partition, first, count });
        Ok(())
    }

    pub(super) fn span(
        &mut self,
        first: u64,
        count: u64,
        answer: Response,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let (packed, hash) = match answer {
            Response::Runs { packed: Some(packed), hash: Some(hash), .. } => (packed, hash),
            Response::Bad { code, text } => return Err(SessionError::Closed { code, text, retry_after_ms: None }),
            _ => return Err(SessionError::Storage("a page that was sent is gone".into())),
        };
        cx.out.runs(&Runs { partition: self.partition.clone(), page: Some((first, count, hash)), packed: &packed });
        Ok(())
    }
}
