//! What a session has to say: frames in order, requests, events.

use crate::error::SessionError;
use crate::event::Event;
use crate::frame::{Lane, Runs, receipt_frame};
use crate::limits::{MAX_MESSAGES, MAX_REQUESTS, MAX_UNSENT_BYTES};
use crate::message::Message;
use crate::receipt::{Receipt, Statement};
use crate::storage::{Request, RequestId};
use changeset::{Cursor, Partition, SignError, Signer, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What an outstanding request was about: as much as its answer needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Admit,
    Knock,
    Knocks,
    Open,
    Fits(Cursor),
    /// Pages from this position.
    Read(u64),
    /// What the peer sent, or our place in its log.
    Write,
    Tips,
    Lacking,
    Lines,
    Span {
        first: u64,
        count: u64,
    },
    /// A receipt or refused entries.
    Note,
}

/// The outputs, before they are polled.
#[derive(Debug)]
pub(crate) struct Output {
    signer: Arc<dyn Signer>,
    workspace: Option<WorkspaceId>,
    lane: Option<Lane>,
    /// Control messages that go into the next frame.
    messages: Vec<Message>,
    /// Frames, and whether they count as unsent: pages of the log are shared.
    frames: VecDeque<(Arc<[u8]>, bool)>,
    unsent_bytes: usize,
    requests: VecDeque<(RequestId, Request)>,
    events: VecDeque<Event>,
    next_request: u64,
    /// What was asked, until it is answered, with the partition that asked.
    asked: BTreeMap<RequestId, (Option<Partition>, Asked)>,
    /// What storage has and nobody waits for any more. It counts until it is answered: else a partition that is opened and
    /// denied again and again would give storage any number of questions.
    forgotten: BTreeSet<RequestId>,
    look_again: bool,
    error: Option<SignError>,
}

impl Output {
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            signer,
            workspace: None,
            lane: None,
            messages: Vec::new(),
            frames: VecDeque::new(),
            unsent_bytes: 0,
            requests: VecDeque::new(),
            events: VecDeque::new(),
            next_request: 0,
            asked: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            look_again: false,
            error: None,
        }
    }

    pub(crate) fn met(&mut self, workspace: WorkspaceId, lane: Lane) {
        self.workspace = Some(workspace);
        self.lane = Some(lane);
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    pub(crate) fn message(&mut self, message: Message) {
        self.messages.push(message);
        if self.messages.len() >= MAX_MESSAGES / 2 || message_bytes(&self.messages) > MESSAGE_BYTES {
            self.seal();
        }
    }

    /// One answer to however many questions in a frame.
    pub(crate) fn pong(&mut self) {
        if self.messages.last() != Some(&Message::Pong) {
            self.message(Message::Pong);
        }
    }

    /// What was said so far goes out before whatever follows.
    pub(crate) fn seal(&mut self) {
        // Before the handshake is over nothing is said; it waits.
        let Some(lane) = &mut self.lane else { return };
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() {
            return;
        }
        let sealed = lane.seal(&*self.signer, &messages);
        self.push_signed(sealed);
    }

    fn push_signed(&mut self, frame: Result<Vec<u8>, SignError>) {
        match frame {
            Ok(frame) => self.push(frame.into(), true),
            Err(error) => self.error = Some(error),
        }
    }

    fn push(&mut self, frame: Arc<[u8]>, is_own: bool) {
        if is_own {
            self.unsent_bytes += frame.len();
        }
        self.frames.push_back((frame, is_own));
    }

    /// A page of the log.
    pub(crate) fn shared_frame(&mut self, bytes: Arc<[u8]>) {
        self.seal();
        self.push(bytes, false);
    }

    pub(crate) fn own_frame(&mut self, bytes: Vec<u8>) {
        self.seal();
        self.push(bytes.into(), true);
    }

    pub(crate) fn runs(&mut self, runs: &Runs<'_>) {
        self.seal();
        if let Some(lane) = &mut self.lane {
            let sealed = lane.seal_runs(&*self.signer, runs);
            self.push_signed(sealed);
        }
    }

    pub(crate) fn receipt(&mut self, content: Statement) -> Result<(), SessionError> {
        let Some(workspace) = self.workspace else { return Ok(()) };
        let receipt = Receipt::sign(&*self.signer, &workspace, content)?;
        self.own_frame(receipt_frame(&receipt.to_bytes()));
        Ok(())
    }

    pub(crate) fn request(&mut self, partition: &Partition, asked: Asked, request: Request) {
        self.ask(Some(partition.clone()), asked, request);
    }

    pub(crate) fn ask(&mut self, partition: Option<Partition>, asked: Asked, request: Request) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, (partition, asked));
        self.requests.push_back((id, request));
    }

    pub(crate) fn answered(&mut self, id: RequestId) -> Option<(Option<Partition>, Asked)> {
        self.forgotten.remove(&id);
        self.asked.remove(&id)
    }

    /// What a partition asked for is not waited for any more.
    pub(crate) fn forget(&mut self, partition: &Partition) {
        let forgotten = self.asked.extract_if(.., |_, (by, _)| by.as_ref() == Some(partition));
        self.forgotten.extend(forgotten.map(|(id, _)| id));
        // What storage did not hear of yet it need not answer.
        self.requests.retain(|(id, _)| !self.forgotten.remove(id));
    }

    /// Whether a request like this one is not answered yet.
    pub(crate) fn is_asked(&self, is_like: impl Fn(&Asked) -> bool) -> bool {
        self.asked.values().any(|(_, asked)| is_like(asked))
    }

    /// A peer that asks for more than it reads, or faster than storage answers, loses its session.
    pub(crate) fn check_limits(&self) -> Result<(), SessionError> {
        if self.unsent_bytes > MAX_UNSENT_BYTES {
            Err(SessionError::Protocol("it asks for more than it reads"))
        } else if self.asked.len() + self.forgotten.len() > MAX_REQUESTS {
            Err(SessionError::Protocol("it asks faster than it is answered"))
        } else {
            Ok(())
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A channel may go on, or be level.
    pub(crate) fn look_again(&mut self) {
        self.look_again = true;
    }

    pub(crate) fn should_look_again(&mut self) -> bool {
        std::mem::take(&mut self.look_again)
    }

    /// A signature that failed, once.
    pub(crate) fn failure(&mut self) -> Option<SignError> {
        self.error.take()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Arc<[u8]>> {
        let (frame, is_own) = self.frames.pop_front()?;
        if is_own {
            self.unsent_bytes -= frame.len();
        }
        Some(frame)
    }

    pub(crate) fn poll_request(&mut self) -> Option<(RequestId, Request)> {
        self.requests.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Nothing is asked of storage any more but to note what the peer said.
    pub(crate) fn forget_requests(&mut self) {
        self.requests.retain(|(_, request)| {
            matches!(request, Request::Receipt { .. } | Request::Refused { .. } | Request::Knock { .. })
        });
        self.asked.clear();
        self.forgotten.clear();
    }
}

/// Well below the limit of a control frame, since one message is added at a time.
const MESSAGE_BYTES: usize = 96 << 10;

fn message_bytes(messages: &[Message]) -> usize {
    let bytes = |message: &Message| match message {
        Message::Show { ids, .. } => 34 * ids.len(),
        Message::Have { tips, .. } => 74 * tips.len(),
        Message::Want { wants, .. } => wants.iter().map(|want| 36 + 34 * want.known.len()).sum(),
        Message::Tips { bytes, .. } => bytes.len(),
        Message::Refused { entries, .. } => 40 * entries.len(),
        Message::Knocks { knocks } => 200 * knocks.len(),
        Message::Denied { text, .. } | Message::Close { text, .. } => text.len() + 80,
        _ => 160,
    };
    messages.iter().map(bytes).sum()
}
