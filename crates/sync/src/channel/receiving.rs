//! The peer's log, on its way here.
//!
//! What comes is written one transaction at a time, in order, and acknowledged when it is durable. Pages that follow on
//! each other are taken together.

use super::{Channel, Context, wait_of};
use crate::error::{Code, SessionError};
use crate::frame::Runs;
use crate::limits::{MAX_FRAME_BYTES, MAX_REFUSED};
use crate::message::Message;
use crate::output::Asked;
use crate::receipt::Statement;
use crate::storage::{Request, Response};
use changeset::{ChangeSetId, Cursor, LogPage};
use std::collections::VecDeque;
use std::time::Instant;

/// How far the peer's log is here.
#[derive(Debug, Default)]
pub(super) struct Theirs {
    /// The end that the peer named when the partition was opened, then the furthest that was heard of.
    pub(super) end: Option<Cursor>,
    pub(super) end_at_open: Option<Cursor>,
    /// Our durable place in it.
    pub(super) place: Option<Cursor>,
    /// The position that the next page must begin at, or before.
    pub(super) expected: u64,
    /// What came and is not being written yet.
    queue: VecDeque<Item>,
    /// Lines of a comparison that came and are not being written yet.
    lines: Option<Vec<u8>>,
    /// A comparison is over: our place is where the peer's log ended when the partition was opened.
    arrival: Option<Cursor>,
    writing: Writing,
    /// The most pages in the next transaction, after one that did not resolve: those before the one that did not.
    batch: Option<usize>,
    /// A page that was asked for again.
    verbatim: Option<Verbatim>,
    /// We asked the peer to wait: what was on its way is passed over, it comes again.
    is_behind: bool,
    /// When lines that storage would not take yet are given again.
    pub(super) retry_at: Option<Instant>,
    /// What is durable was not acknowledged yet; when it must be.
    pub(super) ack_at: Option<Instant>,
    unacknowledged_bytes: u64,
    held: u64,
    refused: u64,
    time_ms: u64,
    /// Whether we may read.
    pub(super) readable: bool,
}

#[derive(Debug)]
enum Item {
    Page(Received),
    /// There is nothing for us up to here.
    Skip(Cursor),
}

#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    first: u64,
    end: Cursor,
}

#[derive(Clone, Copy, Debug)]
struct Verbatim {
    first: u64,
    end: Cursor,
    /// Of the page that they stand for, then of the runs.
    bytes: u64,
    is_here: bool,
}

/// The one thing that storage does with what the peer sent.
#[derive(Debug, Default)]
enum Writing {
    #[default]
    Nothing,
    Pages(Vec<Received>),
    Page(Verbatim),
    Lines(Vec<u8>),
    Skip(Cursor),
    Arrival(Cursor),
}

impl Theirs {
    pub(super) fn is_idle(&self) -> bool {
        let is_writing = !matches!(self.writing, Writing::Nothing);
        !is_writing && self.queue.is_empty() && self.lines.is_none() && self.verbatim.is_none()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        [self.ack_at, self.retry_at].into_iter().flatten().min()
    }

    /// Bytes that count as not taken yet.
    pub(super) fn queued_bytes(&self) -> u64 {
        let size = |bytes: &Vec<u8>| bytes.len() as u64;
        let queue = self.queue.iter().map(|item| match item {
            Item::Page(page) => size(&page.bytes),
            Item::Skip(_) => 0,
        });
        let writing = match &self.writing {
            Writing::Pages(pages) => pages.iter().map(|page| size(&page.bytes)).sum(),
            Writing::Lines(packed) => size(packed),
            Writing::Page(verbatim) => verbatim.bytes,
            Writing::Nothing | Writing::Skip(_) | Writing::Arrival(_) => 0,
        };
        let verbatim = self.verbatim.filter(|verbatim| !verbatim.is_here).map_or(0, |verbatim| verbatim.bytes);
        queue.sum::<u64>() + writing + verbatim + self.lines.as_ref().map_or(0, size)
    }

    fn move_to(&mut self, place: Cursor) {
        if self.place.is_none_or(|held| held.position < place.position) {
            self.place = Some(place);
        }
        self.expected = self.expected.max(place.position);
    }
}

impl Channel {
    pub(crate) fn handle_page(
        &mut self,
        bytes: &[u8],
        page: &LogPage<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        self.needs_open()?;
        let end = page.end();
        if self.theirs.end.is_none_or(|known| known.log != page.log) {
            return Err(SessionError::Protocol("a page of a log that is not open"));
        }
        if end.position <= self.theirs.expected {
            // It is here already. If it is durable the peer should know, or its window stays full.
            if self.theirs.place.is_some_and(|place| place.position >= end.position) {
                self.acknowledge_later(cx);
            }
            return Ok(());
        }
        if page.first > self.theirs.expected {
            return if self.theirs.is_behind { Ok(()) } else { Err(SessionError::Protocol("a page is missing")) };
        }
        // More than the window only where a single page is larger.
        receive(bytes.len(), MAX_FRAME_BYTES, cx)?;
        self.theirs.is_behind = false;
        self.theirs.expected = end.position;
        self.heard_of(end);
        self.theirs.queue.push_back(Item::Page(Received { bytes: bytes.to_vec(), first: page.first, end }));
        self.advance(cx);
        Ok(())
    }

    fn heard_of(&mut self, end: Cursor) {
        if self.theirs.end.is_none_or(|known| known.position < end.position) {
            self.theirs.end = Some(end);
        }
    }

    pub(crate) fn handle_skip(&mut self, from: u64, to: Cursor, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.needs_open()?;
        if to.position <= self.theirs.expected {
            return Ok(());
        }
        if from > self.theirs.expected {
            return if self.theirs.is_behind { Ok(()) } else { Err(SessionError::Protocol("a page is missing")) };
        }
        self.theirs.is_behind = false;
        self.theirs.expected = to.position;
        self.heard_of(to);
        if matches!(self.theirs.queue.back(), Some(Item::Skip(_))) {
            self.theirs.queue.pop_back();
        }
        self.theirs.queue.push_back(Item::Skip(to));
        self.advance(cx);
        Ok(())
    }

    pub(crate) fn handle_runs(&mut self, runs: Runs<'_>, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.needs_open()?;
        let bytes = runs.packed.len();
        let Some((first, count, hash)) = runs.page else {
            if !self.comparison.takes_lines() || self.theirs.has_lines() {
                return Err(SessionError::Protocol("runs that nobody asked for"));
            }
            receive(bytes, 2 * MAX_FRAME_BYTES, cx)?;
            self.theirs.lines = Some(runs.packed.to_vec());
            self.advance(cx);
            return Ok(());
        };
        let asked = self.theirs.verbatim.as_mut().filter(|asked| !asked.is_here);
        let asked = asked.ok_or(SessionError::Protocol("a page that nobody asked for"))?;
        if (first, first.saturating_add(count), hash) != (asked.first, asked.end.position, asked.end.hash) {
            return Err(SessionError::Protocol("another page than the one that was asked for"));
        }
        cx.taken(asked.bytes);
        receive(bytes, 2 * MAX_FRAME_BYTES, cx)?;
        asked.is_here = true;
        asked.bytes = bytes as u64;
        let asked = *asked;
        // While a page is waited for nothing else is written.
        self.theirs.writing = Writing::Page(asked);
        let (partition, packed) = (self.partition.clone(), runs.packed.to_vec());
        let request = Request::TakeRuns { partition, packed, place: Some(asked.end) };
        cx.out.request(&self.partition, Asked::Write, request);
        Ok(())
    }

    /// Gives storage the next thing to write, if it is idle.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) {
        let partition = self.partition.clone();
        if !matches!(self.theirs.writing, Writing::Nothing) || self.theirs.verbatim.is_some() {
            return;
        }
        if self.theirs.retry_at.is_none()
            && let Some(packed) = self.theirs.lines.take()
        {
            let request = Request::TakeRuns { partition, packed: packed.clone(), place: None };
            self.theirs.writing = Writing::Lines(packed);
            return cx.out.request(&self.partition, Asked::Write, request);
        }
        if let Some(place) = self.theirs.arrival.take() {
            if self.theirs.place.is_none_or(|held| held.position < place.position) {
                let anew = self.theirs.place.is_none();
                self.theirs.writing = Writing::Arrival(place);
                return cx.out.request(&self.partition, Asked::Write, Request::Place { partition, place, anew });
            }
            self.arrived(cx);
        }
        // A place that does not fit stays as it is until the comparison is over, whatever comes meanwhile.
        let place_fits = self.is_asker && self.theirs.place.is_some();
        if !place_fits && !self.comparison.is_over() {
            return;
        }
        let mut pages = Vec::new();
        while let Some(item) = self.theirs.queue.pop_front() {
            match item {
                Item::Page(page) if self.theirs.place.is_some_and(|held| held.position >= page.end.position) => {
                    cx.taken(page.bytes.len() as u64);
                }
                Item::Page(page) if self.theirs.batch.is_none_or(|most| pages.len() < most) => pages.push(page),
                Item::Skip(place) if self.theirs.place.is_some_and(|held| held.position >= place.position) => {}
                Item::Skip(place) if pages.is_empty() && self.theirs.queue.is_empty() => {
                    self.theirs.writing = Writing::Skip(place);
                    let request = Request::Place { partition, place, anew: false };
                    return cx.out.request(&self.partition, Asked::Write, request);
                }
                // A place is not worth a transaction when pages follow.
                Item::Skip(_) if pages.is_empty() => {}
                item @ (Item::Page(_) | Item::Skip(_)) => {
                    self.theirs.queue.push_front(item);
                    break;
                }
            }
        }
        if !pages.is_empty() {
            self.theirs.batch = None;
            let request = Request::Take { partition, pages: pages.iter().map(|page| page.bytes.clone()).collect() };
            self.theirs.writing = Writing::Pages(pages);
            cx.out.request(&self.partition, Asked::Write, request);
        }
    }

    /// Storage wrote, or would not.
    pub(super) fn written(&mut self, answer: Response, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if let Response::Bad { code, text } = answer {
            return Err(SessionError::Closed { code, text, retry_after_ms: None });
        }
        match (std::mem::take(&mut self.theirs.writing), answer) {
            (Writing::Pages(pages), Response::Taken { held, refused, time_ms }) => {
                let bytes = pages.iter().map(|page| page.bytes.len() as u64).sum();
                cx.taken(bytes);
                if let Some(page) = pages.last() {
                    self.theirs.move_to(page.end);
                }
                self.durable(held, refused, time_ms, bytes, cx);
            }
            (Writing::Pages(pages), Response::Unresolved { page }) => self.unresolved(pages, page, cx)?,
            (Writing::Pages(pages), Response::Wait { retry_after_ms }) => {
                cx.taken(pages.iter().map(|page| page.bytes.len() as u64).sum());
                self.ask_to_wait(retry_after_ms, cx)?;
            }
            (Writing::Page(verbatim), Response::Taken { held, refused, time_ms }) => {
                cx.taken(verbatim.bytes);
                self.theirs.verbatim = None;
                self.theirs.move_to(verbatim.end);
                self.durable(held, refused, time_ms, verbatim.bytes, cx);
            }
            (Writing::Page(verbatim), Response::Wait { retry_after_ms }) => {
                cx.taken(verbatim.bytes);
                self.theirs.verbatim = None;
                self.ask_to_wait(retry_after_ms, cx)?;
            }
            (Writing::Lines(packed), Response::Taken { held, refused, time_ms }) => {
                cx.taken(packed.len() as u64);
                self.report(held, refused, time_ms, cx);
                cx.out.message(Message::Taken { partition: self.partition.clone() });
            }
            (Writing::Lines(packed), Response::Wait { retry_after_ms }) => {
                // The peer waits for our word anyway.
                self.theirs.lines = Some(packed);
                self.theirs.retry_at = Some(cx.now + wait_of(retry_after_ms));
            }
            (Writing::Page(_) | Writing::Lines(_), Response::Unresolved { .. }) => {
                return Err(SessionError::Forged("run of change sets"));
            }
            (Writing::Skip(place), Response::Stored) => self.theirs.move_to(place),
            (Writing::Arrival(place), Response::Stored) => {
                self.theirs.move_to(place);
                self.arrived(cx);
            }
            _ => return Err(SessionError::Storage("what was to be written was answered with something else".into())),
        }
        self.advance(cx);
        cx.out.look_again();
        Ok(())
    }

    /// Page `at` of those refers to what is not held. Those before it are given again alone; then it is asked for as runs.
    fn unresolved(&mut self, mut pages: Vec<Received>, at: usize, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if at >= pages.len() {
            return Err(SessionError::Storage("a page that was not given does not resolve".into()));
        }
        if at > 0 {
            self.theirs.batch = Some(at);
        } else {
            let Received { bytes, first, end } = pages.remove(0);
            self.theirs.verbatim = Some(Verbatim { first, end, bytes: bytes.len() as u64, is_here: false });
            // What is before it first, so that it is the oldest one on its way.
            self.acknowledge(cx)?;
            let (partition, count) = (self.partition.clone(), end.position - first);
            cx.out.message(Message::Verbatim { partition, first, count });
        }
        pages.into_iter().rev().for_each(|page| self.theirs.queue.push_front(Item::Page(page)));
        Ok(())
    }

    fn ask_to_wait(&mut self, retry_after_ms: u64, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let queued = self.theirs.queue.drain(..).map(|item| match item {
            Item::Page(page) => page.bytes.len() as u64,
            Item::Skip(_) => 0,
        });
        let queued = queued.sum();
        cx.taken(queued);
        self.theirs.batch = None;
        let arrival = self.theirs.end_at_open.filter(|_| self.comparison.is_settled());
        let place = [self.theirs.place, arrival].into_iter().flatten().map(|place| place.position).max();
        self.theirs.expected = place.unwrap_or(0);
        self.theirs.is_behind = true;
        // The peer goes on from what we answered for.
        self.acknowledge(cx)?;
        cx.out.message(Message::Busy { partition: self.partition.clone(), retry_after_ms });
        Ok(())
    }

    fn report(&mut self, held: u64, refused: Vec<(ChangeSetId, Code)>, time_ms: u64, cx: &mut Context<'_>) {
        self.theirs.held = held;
        self.theirs.refused += refused.len() as u64;
        self.theirs.time_ms = time_ms;
        for some in refused.chunks(MAX_REFUSED) {
            cx.out.message(Message::Refused { partition: self.partition.clone(), entries: some.to_vec() });
        }
    }

    fn durable(
        &mut self,
        held: u64,
        refused: Vec<(ChangeSetId, Code)>,
        time_ms: u64,
        bytes: u64,
        cx: &mut Context<'_>,
    ) {
        self.report(held, refused, time_ms, cx);
        self.theirs.unacknowledged_bytes += bytes;
        self.acknowledge_later(cx);
        // With more than that the peer would soon have to stop and wait.
        if self.theirs.unacknowledged_bytes >= cx.config.window_bytes / 4 {
            self.theirs.ack_at = Some(cx.now);
        }
    }

    pub(super) fn acknowledge_later(&mut self, cx: &mut Context<'_>) {
        self.theirs.ack_at.get_or_insert(cx.now + cx.config.ack_linger);
        cx.out.look_again();
    }

    pub(super) fn acknowledge(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let due = self.theirs.ack_at.take();
        let (Some(_), Some(upto)) = (due, self.theirs.place) else { return Ok(()) };
        self.theirs.unacknowledged_bytes = 0;
        let Theirs { held, refused, time_ms, .. } = self.theirs;
        let (partition, tier) = (self.partition.clone(), cx.config.tier);
        cx.out.receipt(Statement { partition, upto, held, refused, tier, time_ms })
    }

    /// A comparison is over: our place is where the peer's log ended when the partition was opened.
    pub(super) fn arrive(&mut self, cx: &mut Context<'_>) {
        self.theirs.arrival = self.theirs.end_at_open;
        self.advance(cx);
    }
}

impl Theirs {
    /// Whether lines are here that are not durable yet.
    pub(super) fn has_lines(&self) -> bool {
        self.lines.is_some() || matches!(self.writing, Writing::Lines(_))
    }
}

/// Counts bytes that came; a peer that sends more than our window allows breaks the protocol.
fn receive(bytes: usize, above: usize, cx: &mut Context<'_>) -> Result<(), SessionError> {
    *cx.queued += bytes as u64;
    if *cx.queued > cx.config.window_bytes + above as u64 {
        return Err(SessionError::Protocol("more bytes in flight than the window"));
    }
    Ok(())
}
