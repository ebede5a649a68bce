//! Bringing two sides together whose places do not fit, or are not proven by a receipt.
//!
//! The asker of the partition begins. Both learn which tips the other has and they lack, ask for the lines that lead to
//! them, a few at a time, and take them as runs. When a side holds all that the other's log had when the partition was
//! opened, it moves its place there and says that it is settled; the other goes on with pages from there.

use super::{Channel, Context};
use crate::error::SessionError;
use crate::event::Event;
use crate::frame::Runs;
use crate::limits::{MAX_KNOWN, MAX_OFFERED_TIPS, MAX_RECONCILE_STEPS, MAX_TIPS};
use crate::message::{Message, Tip, Want};
use crate::output::Asked;
use crate::reconcile::Reconcile;
use crate::storage::{Request, Response};
use std::collections::VecDeque;

/// The comparison of tips and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// For the asker: our place in the peer's log fits, or nothing is to be found there.
    pub(super) their_place_fits: bool,
    /// For the other side: our place is in the peer's log, as far as was seen; a comparison says that it may not be.
    pub(super) is_unexpected: bool,
    has_begun: bool,
    state: Option<Reconcile>,
    /// The peer's first question, while storage gathers our tips.
    question: Option<Vec<u8>>,
    steps: usize,
    have: Vec<Tip>,
    need: Vec<[u8; 32]>,
    /// The peer's tips that we may lack, until lines to them were asked for.
    offered: VecDeque<Tip>,
    offers: usize,
    has_all_offers: bool,
    search: Search,
    /// Lines that the peer asked for, while they are sent.
    serving: Option<Serving>,
    /// We hold what they had.
    is_settled: bool,
    is_peer_settled: bool,
}

/// What is done about tips that we may lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Search {
    #[default]
    Idle,
    /// Storage looks which are lacking.
    Looking,
    /// The peer sends lines.
    Asking,
    Over,
}

#[derive(Debug)]
struct Serving {
    wants: Vec<Want>,
    after: Option<u64>,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next part may be read when there is room.
    Next,
    Reading,
    /// Bytes on their way, until the peer made them durable; whether they are the last.
    Sent {
        bytes: u64,
        is_last: bool,
    },
}

impl Comparison {
    pub(super) fn is_idle(&self) -> bool {
        !self.has_begun || (self.is_settled && self.serving.is_none())
    }

    pub(super) fn serving_bytes(&self) -> u64 {
        match self.serving {
            Some(Serving { step: Step::Sent { bytes, .. }, .. }) => bytes,
            _ => 0,
        }
    }

    /// Both sides hold what the other had; or they never compared.
    pub(super) fn is_over(&self) -> bool {
        !self.has_begun || (self.is_settled && self.is_peer_settled)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.has_begun && self.is_settled
    }

    pub(super) fn takes_lines(&self) -> bool {
        self.search == Search::Asking
    }

    fn step(&mut self) -> Result<(), SessionError> {
        self.steps += 1;
        if self.steps > MAX_RECONCILE_STEPS {
            return Err(SessionError::Protocol("a comparison that does not end"));
        }
        Ok(())
    }
}

impl Channel {
    pub(super) fn compare(&mut self, cx: &mut Context<'_>) {
        self.begin_comparison();
        let partition = self.partition.clone();
        cx.out.request(&self.partition, Asked::Tips, Request::Tips { partition });
    }

    fn begin_comparison(&mut self) {
        self.comparison.has_begun = true;
        // Nothing comes from a log that we may not read, and the peer waits for no word about it.
        self.comparison.is_settled = !self.theirs.readable;
        self.comparison.is_peer_settled = !self.ours.readable;
    }

    /// Storage gathered our tips.
    pub(super) fn tips(&mut self, tips: &[Tip], cx: &mut Context<'_>) -> Result<(), SessionError> {
        let mut state = Reconcile::new(cx.session, tips)?;
        let bytes = match self.comparison.question.take() {
            Some(question) => state.handle_question(&question)?,
            None => state.begin()?,
        };
        self.comparison.state = Some(state);
        cx.out.message(Message::Tips { partition: self.partition.clone(), bytes });
        Ok(())
    }

    pub(crate) fn handle_tips(&mut self, bytes: Vec<u8>, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.needs_open()?;
        self.comparison.step()?;
        let partition = self.partition.clone();
        if self.is_asker {
            return self.handle_answer(&bytes, cx);
        }
        if !self.comparison.has_begun {
            self.begin_comparison();
            if self.comparison.is_unexpected {
                cx.out.event(Event::PeerRolledBack { partition: partition.clone() });
            }
            self.comparison.question = Some(bytes);
            cx.out.request(&self.partition, Asked::Tips, Request::Tips { partition });
            return Ok(());
        }
        let state = self.comparison.state.as_mut().ok_or(SessionError::Protocol("a question out of turn"))?;
        let bytes = state.handle_question(&bytes)?;
        cx.out.message(Message::Tips { partition, bytes });
        Ok(())
    }

    fn handle_answer(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), SessionError> {
        let partition = self.partition.clone();
        let state = self.comparison.state.as_mut().ok_or(SessionError::Protocol("an answer to no question"))?;
        let step = state.handle_answer(bytes)?;
        self.comparison.have.extend(step.have);
        self.comparison.need.extend(step.need);
        if self.comparison.need.len() > MAX_OFFERED_TIPS || self.comparison.have.len() > state.len() {
            return Err(SessionError::Protocol("more tips than a comparison may find"));
        }
        if let Some(bytes) = step.reply {
            cx.out.message(Message::Tips { partition, bytes });
            return Ok(());
        }
        self.comparison.state = None;
        let have = std::mem::take(&mut self.comparison.have);
        let need = std::mem::take(&mut self.comparison.need);
        if self.ours.readable {
            for (tips, last) in parts(&have) {
                cx.out.message(Message::Have { partition: partition.clone(), tips, last });
            }
        }
        if self.theirs.readable {
            for (ids, last) in parts(&need) {
                cx.out.message(Message::Show { partition: partition.clone(), ids, last });
            }
        }
        cx.out.look_again();
        Ok(())
    }

    pub(crate) fn handle_show(
        &mut self,
        ids: &[[u8; 32]],
        last: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let state = self.comparison.state.as_ref().filter(|_| !self.is_asker && self.ours.readable);
        let state = state.ok_or(SessionError::Protocol("a question outside a comparison"))?;
        let tips: Vec<Tip> = ids.iter().filter_map(|id| state.tip(id)).collect();
        cx.out.message(Message::Have { partition: self.partition.clone(), tips, last });
        if last {
            self.comparison.state = None;
        }
        Ok(())
    }

    pub(crate) fn handle_have(&mut self, tips: Vec<Tip>, last: bool, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if !self.comparison.has_begun || self.comparison.has_all_offers || self.comparison.is_settled {
            return Err(SessionError::Protocol("tips outside a comparison"));
        }
        self.comparison.offers += tips.len();
        if self.comparison.offers > MAX_OFFERED_TIPS {
            return Err(SessionError::Protocol("more tips than a comparison may find"));
        }
        self.comparison.offered.extend(tips);
        self.comparison.has_all_offers = last;
        self.search(cx);
        Ok(())
    }

    /// Goes on with the next few tips that we may lack.
    fn search(&mut self, cx: &mut Context<'_>) {
        if self.comparison.search != Search::Idle {
            return;
        }
        let partition = self.partition.clone();
        let count = self.comparison.offered.len().min(TIPS_AT_ONCE);
        if count > 0 {
            let tips = self.comparison.offered.drain(..count).collect();
            self.comparison.search = Search::Looking;
            cx.out.request(&self.partition, Asked::Lacking, Request::Lacking { partition, tips });
        } else if self.comparison.has_all_offers {
            self.comparison.search = Search::Over;
            self.settle(cx);
        }
    }

    /// Storage said what is to be asked for.
    pub(super) fn lacking(&mut self, mut wants: Vec<Want>, cx: &mut Context<'_>) {
        wants.truncate(TIPS_AT_ONCE);
        wants.iter_mut().for_each(|want| want.known.truncate(MAX_KNOWN));
        if wants.is_empty() {
            self.comparison.search = Search::Idle;
            self.search(cx);
        } else {
            self.comparison.search = Search::Asking;
            cx.out.message(Message::Want { partition: self.partition.clone(), wants });
        }
    }

    pub(crate) fn handle_done(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.comparison.search != Search::Asking || self.theirs.has_lines() {
            return Err(SessionError::Protocol("the end of lines out of turn"));
        }
        self.comparison.search = Search::Idle;
        self.search(cx);
        Ok(())
    }

    /// Everything that the peer's log had when the partition was opened is durable here.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.comparison.is_settled = true;
        cx.out.message(Message::Settled { partition: self.partition.clone() });
        if let Some(end) = self.theirs.end_at_open {
            self.theirs.expected = self.theirs.expected.max(end.position);
        }
        self.finish_if_both_settled(cx);
    }

    /// Our place moves only when the peer holds all of ours, too. Else a line that breaks between the two would leave us with
    /// a place that fits, and the peer without what it once gave us and lost: nobody would offer that again. Pages go on
    /// then as well, and not before: they would fill the window that lines of other partitions wait for.
    fn finish_if_both_settled(&mut self, cx: &mut Context<'_>) {
        cx.out.look_again();
        if !self.comparison.is_over() {
            return;
        }
        // Who may not read got nothing, and is not counted as level with us.
        if let Some(end) = self.ours.end_at_open.filter(|_| self.ours.readable) {
            // Pages that were sent beside the comparison are on their way still.
            let confirmed = self.ours.confirmed.max(end.position);
            self.go_on_from(self.ours.sent.max(end.position), 0);
            self.ours.confirmed = confirmed;
            // It follows on what the peer moves its place to.
            self.ours.awaits_receipt = self.is_asker && end.position > self.ours.receipted;
        }
        if self.theirs.readable {
            self.arrive(cx);
        }
    }

    /// Our place in the peer's log is where that ended when the partition was opened.
    pub(super) fn arrived(&mut self, cx: &mut Context<'_>) {
        self.theirs.ack_at = Some(cx.now);
        cx.out.event(Event::Reconciled { partition: self.partition.clone() });
        cx.out.look_again();
    }

    /// The peer holds all that we held when the partition was opened.
    pub(crate) fn handle_settled(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if !self.comparison.has_begun || self.comparison.is_peer_settled {
            return Err(SessionError::Protocol("settled outside a comparison"));
        }
        if self.comparison.serving.is_some() {
            return Err(SessionError::Protocol("settled before the lines came"));
        }
        self.comparison.is_peer_settled = true;
        self.finish_if_both_settled(cx);
        Ok(())
    }

    pub(crate) fn handle_want(&mut self, wants: Vec<Want>, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if !self.comparison.has_begun || self.comparison.is_peer_settled || self.comparison.serving.is_some() {
            return Err(SessionError::Protocol("lines are asked for out of turn"));
        }
        self.comparison.serving = Some(Serving { wants, after: None, step: Step::Next });
        self.serve(cx);
        Ok(())
    }

    /// Reads the next part of the lines that the peer asked for, if there is room for it.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>) {
        let room = cx.window.saturating_sub(*cx.in_flight);
        let Some(serving) = &mut self.comparison.serving else { return };
        if serving.step != Step::Next || room == 0 {
            return;
        }
        serving.step = Step::Reading;
        let max_bytes = cx.config.read_bytes.min(usize::try_from(cx.window / 2).unwrap_or(usize::MAX));
        let (partition, wants, after) = (self.partition.clone(), serving.wants.clone(), serving.after);
        cx.out.request(&self.partition, Asked::Lines, Request::Lines { partition, wants, after, max_bytes });
    }

    pub(super) fn lines(&mut self, answer: Response, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let Response::Runs { packed, next, .. } = answer else {
            return Err(SessionError::Storage("lines were answered with something else".into()));
        };
        let Some(serving) = &mut self.comparison.serving else { return Ok(()) };
        let partition = self.partition.clone();
        let Some(packed) = packed else {
            self.comparison.serving = None;
            cx.out.message(Message::Done { partition });
            cx.out.look_again();
            return Ok(());
        };
        let bytes = packed.len() as u64;
        serving.after = next;
        serving.step = Step::Sent { bytes, is_last: next.is_none() };
        *cx.in_flight += bytes;
        cx.out.runs(&Runs { partition, page: None, packed: &packed });
        Ok(())
    }

    /// The runs sent last are durable at the peer.
    pub(crate) fn handle_taken(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let sent = self.comparison.serving.as_mut().map(|serving| std::mem::replace(&mut serving.step, Step::Next));
        let Some(Step::Sent { bytes, is_last }) = sent else {
            return Err(SessionError::Protocol("an answer to runs that were not sent"));
        };
        cx.landed(bytes);
        if is_last {
            self.comparison.serving = None;
            cx.out.message(Message::Done { partition: self.partition.clone() });
        }
        Ok(())
    }
}

/// The most tips that are looked up, and lines that are asked for, at once: each may name [`MAX_KNOWN`] ids, and the frame
/// has a limit.
const TIPS_AT_ONCE: usize = 128;

/// A list in messages of at most [`MAX_TIPS`] items, the last one marked; one empty message for an empty list.
fn parts<T: Clone>(items: &[T]) -> Vec<(Vec<T>, bool)> {
    let mut parts: Vec<(Vec<T>, bool)> = items.chunks(MAX_TIPS).map(|part| (part.to_vec(), false)).collect();
    match parts.last_mut() {
        Some((_, last)) => *last = true,
        None => parts.push((Vec::new(), true)),
    }
    parts
}
