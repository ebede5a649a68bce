//! What is asked of the authority, and what it answers.

use crate::why::Why;
use changeset::{ChangeSetId, IntentName, Kind, Partition, PublicKey, Verified};

/// What of a change set decides whether it counts: its header, and the intent, which every body shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The change set.
    pub id: ChangeSetId,
    /// The partition that it stands in.
    pub partition: Partition,
    /// The key that wrote it.
    pub author: PublicKey,
    /// The kind of its document.
    pub kind: Kind,
    /// The person's command, where it is known.
    pub intent: Option<IntentName>,
    /// The header's time, in ms since 1970.
    pub time_ms: u64,
    /// The grant in force: the one that the header names, or else the last one named before it along its line
    /// (following `previous`). None if the line has named none.
    pub grant: Option<ChangeSetId>,
}

impl Claim {
    /// The claim of a change set. `inherited` is the grant in force after its `previous`.
    pub fn of(change_set: &Verified, inherited: Option<ChangeSetId>) -> Self {
        let header = change_set.header();
        Self {
            id: change_set.id(),
            partition: change_set.actor().partition().clone(),
            author: *change_set.actor().key(),
            kind: header.document.kind.clone(),
            intent: Some(change_set.body().intent.clone()),
            time_ms: header.time,
            grant: header.grant.or(inherited),
        }
    }
}

/// Whether a change set counts. A pure function of the change sets held: the same wherever the same set is held, in
/// whatever order it came and whatever the clocks say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It counts.
    Accepted {
        /// The grant that lets it; none for records and for what devices say of themselves.
        grant: Option<ChangeSetId>,
    },
    /// Not decided by what is held; counts as masked until it is.
    Pending(Why),
    /// Its content does not count. It is kept, and shown with the reason.
    Masked(Why),
    /// It has no content that could count.
    Invalid(Why),
}

impl Verdict {
    /// Whether it counts.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// The reason, unless it counts.
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Accepted { .. } => None,
            Self::Pending(why) | Self::Masked(why) | Self::Invalid(why) => Some(why),
        }
    }
}

/// What became of a change set that the authority was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// Of another kind than `access`, or of another workspace: nothing was kept.
    Ignored,
    /// Held before, and nothing is new in it.
    Known,
    /// Kept; it decides nothing so far. The reason may lapse when other records arrive.
    Kept(Why),
    /// Kept, and it counts. Verdicts may have changed.
    Counts {
        /// The records that count from now on because of it, ascending; itself left out.
        also: Vec<ChangeSetId>,
    },
}

/// What a peer may do in a partition now, by this replica's clock. Never changes a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// Whether it may read.
    pub read: bool,
    /// Whether its own entries are taken.
    pub push: Push,
}

/// Whether the entries that a peer brings are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Push {
    /// Taken, each judged by [`crate::Authority::admit`].
    Accept,
    /// Taken, but what [`crate::Authority::admit`] holds goes to a bounded place beside the log.
    Quarantine(Why),
    /// Not taken: the sender keeps it and is told why.
    Refuse(Why),
}

/// Whether one entry enters the log now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admit {
    /// It does, whatever its verdict.
    Take,
    /// Kept beside the log and tried again when the authority changes.
    Hold(Why),
    /// Not stored and not acknowledged.
    Refuse(Why),
}

/// How a device stands in a partition, for its screen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// A grant is in force until this time, in ms since 1970.
    Full {
        /// The latest end of the grants in force.
        until_ms: u64,
    },
    /// Every grant has lapsed: what is here can be seen, new work is kept as drafts.
    ViewOnly {
        /// When the last one lapsed, in ms since 1970.
        expired_ms: u64,
    },
    /// The first grant begins later.
    NotYet {
        /// When, in ms since 1970.
        from_ms: u64,
    },
    /// No grant.
    None,
}

/// Whether a device may write grants in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MayGrant {
    /// By itself.
    Yes,
    /// With the endorsements of this many other roots.
    WithRoots(usize),
    /// Not at all.
    No,
}

/// Whether a person may do something now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// They may.
    Allowed {
        /// The grant to name; none for records and for what devices say of themselves.
        grant: Option<ChangeSetId>,
    },
    /// They may not.
    Forbidden(Why),
}
