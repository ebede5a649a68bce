//! What a session asks of the replica's storage, as values, and the answers.
//!
//! A session never touches a log. It says what it needs, the driver does it (off the thread that moves bytes, if it can),
//! and hands back the answer under the same number. Every answer can be [`Response::Failed`].

use crate::error::Code;
use crate::limits::Tier;
use crate::message::{Knock, Tip, Want};
use changeset::{ChangeSetId, Cursor, LogIncarnation, Partition, PublicKey, RunningHash, WorkspaceId};
use std::sync::Arc;

/// The number of a request; answers come in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// A peer says hello: may it go on? Cheap checks only, because nothing is proven yet. Answer: [`Response::Admitted`].
    Admit {
        /// The workspace that it wants.
        workspace: WorkspaceId,
        /// The key that it says it has.
        peer: PublicKey,
        /// What it says it is.
        tier: Tier,
    },
    /// What is known for opening a partition with this peer. Answer: [`Response::Opened`] or [`Response::Denied`].
    Open {
        /// Which.
        partition: Partition,
        /// The incarnation of the peer's log, once it is known.
        peer_log: Option<LogIncarnation>,
        /// The peer's place in our log, as it says.
        place: Option<Cursor>,
    },
    /// Whether a cursor is a place of our log. Answer: [`Response::Fits`].
    Fits {
        /// Which log.
        partition: Partition,
        /// The place.
        cursor: Cursor,
    },
    /// Pages of our log from a position on. Answer: [`Response::Pages`].
    Read {
        /// Which log.
        partition: Partition,
        /// The position.
        from: u64,
        /// About how many bytes; at least one page.
        max_bytes: usize,
    },
    /// Pages of the peer's log, each following on the one before: check the seals, decode, verify, judge, append, and set
    /// our place in the peer's log behind them, in one transaction. The first may begin behind our place: the peer said
    /// that what lies between is not for us. It may also begin before it, and repeat what is here. Answer:
    /// [`Response::Taken`], [`Response::Unresolved`], [`Response::Wait`] or [`Response::Bad`].
    Take {
        /// Which partition.
        partition: Partition,
        /// The pages as they came.
        pages: Vec<Vec<u8>>,
    },
    /// Runs of the peer, the same way; its log is [`crate::Session::peer_log`]. Answer: as for [`Request::Take`], but
    /// [`Response::Unresolved`] ends the session.
    TakeRuns {
        /// Which partition.
        partition: Partition,
        /// The runs as they came.
        packed: Vec<u8>,
        /// Our place in the peer's log afterwards, where they stand for a page.
        place: Option<Cursor>,
    },
    /// All tips of our log. Answer: [`Response::Tips`].
    Tips {
        /// Which log.
        partition: Partition,
    },
    /// Which of these tips are not held, and what to ask for. Answer: [`Response::Lacking`].
    Lacking {
        /// Which log.
        partition: Partition,
        /// The peer's tips.
        tips: Vec<Tip>,
    },
    /// Lines of our log, as runs. Answer: [`Response::Runs`].
    Lines {
        /// Which log.
        partition: Partition,
        /// Which lines.
        wants: Vec<Want>,
        /// Go on behind this position.
        after: Option<u64>,
        /// About how many bytes.
        max_bytes: usize,
    },
    /// A page of our log as runs. Answer: [`Response::Runs`] with `page` filled in, or [`Response::Bad`].
    Span {
        /// Which log.
        partition: Partition,
        /// The position of the page's first entry.
        first: u64,
        /// How many entries it had when it was sent.
        count: u64,
    },
    /// Our place in the peer's log. Answer: [`Response::Stored`], or [`Response::Bad`] with [`Code::ROLLED_BACK`] if it
    /// contradicts the place that is kept, which a copy of the peer may have moved.
    Place {
        /// Which partition.
        partition: Partition,
        /// The place.
        place: Cursor,
        /// Whether any place that is kept is void, since all was compared.
        anew: bool,
    },
    /// A receipt that was verified. Answer: [`Response::Stored`].
    Receipt {
        /// Which partition.
        partition: Partition,
        /// The peer's place in our log.
        upto: Cursor,
        /// The receipt's bytes.
        receipt: Vec<u8>,
    },
    /// Entries that the peer refused. Answer: [`Response::Stored`].
    Refused {
        /// Which partition.
        partition: Partition,
        /// Which, and why.
        entries: Vec<(ChangeSetId, Code)>,
    },
    /// A device asks to be let in. Answer: [`Response::Stored`].
    Knock {
        /// What it calls itself.
        name: String,
    },
    /// Who knocked; empty where the peer may not know. Answer: [`Response::Knocks`].
    Knocks,
}

impl Request {
    /// The partition that it is about; none where it is about the peer.
    pub fn partition(&self) -> Option<&Partition> {
        match self {
            Self::Admit { .. } | Self::Knock { .. } | Self::Knocks => None,
            Self::Open { partition, .. }
            | Self::Fits { partition, .. }
            | Self::Read { partition, .. }
            | Self::Take { partition, .. }
            | Self::TakeRuns { partition, .. }
            | Self::Tips { partition }
            | Self::Lacking { partition, .. }
            | Self::Lines { partition, .. }
            | Self::Span { partition, .. }
            | Self::Place { partition, .. }
            | Self::Receipt { partition, .. }
            | Self::Refused { partition, .. } => Some(partition),
        }
    }
}

/// A page to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The bytes of [`changeset::LogPage`], shared by all that read it.
    pub bytes: Arc<[u8]>,
    /// The place behind it.
    pub end: Cursor,
    /// Whether the peer need not be sent it: it came from this log of the peer (the same key and the incarnation that
    /// [`crate::Session::peer_log`] gives), or from another relay and the peer is one too. What an earlier log of the peer
    /// gave is for it: it was wiped or restored, and may stand in the middle of getting back what it lost.
    pub skip: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// To [`Request::Admit`]: go on, or the reason why not.
    Admitted(Result<(), Denial>),
    /// To [`Request::Open`].
    Opened {
        /// Where our log ends.
        end: Cursor,
        /// Whether the peer's place is one of our log; false where it named none.
        fits: bool,
        /// Our place in the peer's log.
        place: Option<Cursor>,
        /// Whether the peer may read our log, whoever asked for it to be opened.
        read: bool,
        /// Up to where in our log, as it is, a receipt of the peer is held. What stands right behind it and came from this
        /// peer counts as receipted: it needs no proof that the peer has what it gave. If the peer's place is beyond, what it
        /// holds is compared.
        receipted: u64,
    },
    /// To [`Request::Open`].
    Denied(Denial),
    /// To [`Request::Fits`].
    Fits(bool),
    /// To [`Request::Read`]; [`Response::Bad`] where the peer may not read any more.
    Pages(Vec<Page>),
    /// To [`Request::Take`] and [`Request::TakeRuns`]: everything is durable.
    Taken {
        /// Entries that wait for their authority, over the whole log.
        held: u64,
        /// Entries that are not kept, and why.
        refused: Vec<(ChangeSetId, Code)>,
        /// The wall clock, for the receipt.
        time_ms: u64,
    },
    /// To [`Request::Take`]: this page refers to what is not held, or gives other ids than were signed, so it is asked for
    /// again as runs. The pages before it, taken already or not, are given again alone, for the answer about them.
    Unresolved {
        /// The number of the page among those given.
        page: usize,
    },
    /// To [`Request::Take`] and [`Request::TakeRuns`]: not now. Nothing was taken.
    Wait {
        /// For how long, in milliseconds.
        retry_after_ms: u64,
    },
    /// To [`Request::Take`], [`Request::TakeRuns`], [`Request::Place`] and [`Request::Span`]: the peer sent something that
    /// it must not.
    Bad {
        /// What the peer is told.
        code: Code,
        /// What a person reads.
        text: String,
    },
    /// To [`Request::Tips`].
    Tips(Vec<Tip>),
    /// To [`Request::Lacking`].
    Lacking(Vec<Want>),
    /// To [`Request::Lines`] and [`Request::Span`].
    Runs {
        /// The runs, packed; none where there are none.
        packed: Option<Vec<u8>>,
        /// Go on behind this position; none when this was all.
        next: Option<u64>,
        /// The running hash behind the page, for [`Request::Span`].
        hash: Option<RunningHash>,
    },
    /// To [`Request::Knocks`].
    Knocks(Vec<Knock>),
    /// Done, durably.
    Stored,
    /// The storage failed; the session ends, and what was not acknowledged is sent again another time.
    Failed(String),
}

/// A refusal with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// For programs.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub text: String,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
}
