//! What a session tells its driver.

use crate::error::{Code, SessionError};
use crate::limits::Tier;
use crate::message::Knock;
use crate::storage::Denial;
use changeset::{ChangeSetId, Cursor, Partition, PublicKey, WorkspaceId};
use std::time::Duration;

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Both sides proved their keys.
    Met {
        /// The workspace.
        workspace: WorkspaceId,
        /// The peer.
        peer: PublicKey,
        /// What it says it is.
        tier: Tier,
    },
    /// A partition is open.
    Opened {
        /// Which.
        partition: Partition,
        /// Whether we may read.
        read: bool,
    },
    /// A partition was not opened.
    Denied {
        /// Which.
        partition: Partition,
        /// Why.
        denial: Denial,
    },
    /// The peer holds our log durably up to here.
    Acknowledged {
        /// Which log.
        partition: Partition,
        /// Up to where.
        upto: Cursor,
        /// How many entries it keeps aside until their authority is known.
        held: u64,
        /// How many it refused.
        refused: u64,
        /// What it is.
        tier: Tier,
    },
    /// The peer refused entries; they stay here.
    Refused {
        /// Where.
        partition: Partition,
        /// Which, and why.
        entries: Vec<(ChangeSetId, Code)>,
    },
    /// The peer asked us to wait.
    Paused {
        /// Where.
        partition: Partition,
        /// For how long.
        wait: Duration,
    },
    /// A comparison is over: what the peer had is here.
    Reconciled {
        /// Where.
        partition: Partition,
    },
    /// The peer was further in our log than the log goes, or on another one: this store was rolled back or copied. It must
    /// draw new incarnations before it writes again.
    RolledBack {
        /// Where.
        partition: Partition,
    },
    /// The peer's log does not have our place in it any more, or it compares all though it has: it was restored from a copy,
    /// or what it was told got lost with a line.
    PeerRolledBack {
        /// Where.
        partition: Partition,
    },
    /// Both sides hold what the other had when this was said.
    Level {
        /// Where.
        partition: Partition,
    },
    /// Who knocked.
    Knocks(Vec<Knock>),
    /// The session is over; nothing comes any more.
    Closed(SessionError),
}
