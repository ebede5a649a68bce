//! The rules that are checked, others that one could think of, and verdicts.

use crate::record::{Id, Set};

/// What decides the points at which one could think of other rules. [`Rules::OURS`] are the ones of the README; the
/// others are there to show what they would lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Whose revocation cuts what.
    pub removers: Removers,
    /// Whose honour counts.
    pub honourers: Honourers,
    /// What a tip that is not held does.
    pub tips: Tips,
    /// Which of two rotations counts.
    pub rotations: Rotations,
    /// Whether what counted may cease to.
    pub memory: Memory,
}

/// Whose revocation cuts what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removers {
    /// What stands below the delegation that the revocation is written under, and nothing else.
    Above,
    /// As above, and what the writer of the revocation wrote under the same delegation.
    AboveAndItself,
    /// Everything of a device that holds anything below the delegation that the revocation is written under.
    AnyAncestor,
    /// Everything; any delegation lets write one.
    AnyDelegate,
    /// Everything; any delegation or grant lets write one.
    AnyGrant,
    /// Everything; any delegation lets write one, and a revocation is itself undone only by one of a later time.
    LaterWins,
}

/// Whose honour counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Honourers {
    /// Who writes under the revocation's own delegation, or one above it.
    SameOrAbove,
    /// Who holds any delegation.
    AnyDelegate,
}

/// What a tip that is not held does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tips {
    /// Makes pending what no held tip leads to.
    PendingBeyondHeld,
    /// Makes pending all that its chain holds.
    PendingAll,
}

/// Which of two rotations that succeed the same roots counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotations {
    /// The one that more roots stand behind, then the lower hash.
    MostRoots,
    /// The one of the later time, then the lower hash.
    LatestTime,
    /// The lower hash.
    LowestHash,
}

/// Whether what counted may cease to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// It is judged again whenever something that it hangs on changes.
    JudgedAgain,
    /// What counted once counts for ever: what arrived first wins.
    Sticks,
}

impl Rules {
    /// The rules of the README.
    pub const OURS: Self = Self {
        removers: Removers::Above,
        honourers: Honourers::SameOrAbove,
        tips: Tips::PendingBeyondHeld,
        rotations: Rotations::MostRoots,
        memory: Memory::JudgedAgain,
    };
}

/// Whether a change set counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// Not decided by what is held.
    Pending(Why),
    /// Kept, and without effect.
    Masked(Why),
}

/// Why a change set does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It is not held.
    NotHeld,
    /// The genesis is not held.
    NoGenesis,
    /// What it is written under, or succeeds, is not held.
    PositionNotHeld,
    /// What it is written under, or succeeds, is pending.
    PositionWaits,
    /// What it is written under, or succeeds, is masked.
    PositionMasked,
    /// A tip that a revocation or rotation names is not held.
    Tip,
    /// Nothing lets its author write it.
    NoAuthority,
    /// Roots stand behind it, too few.
    TooFewRoots,
    /// What it is written under does not cover it.
    NotCovered,
    /// Its author was revoked, and no tip leads to it.
    Revoked,
    /// Roots stood behind it that are no longer roots, and no tip leads to it.
    RotatedOut,
    /// Another rotation of the same roots counts.
    Outvoted,
    /// It must name what it is written under.
    NamesNothing,
    /// The check of a wish took its meaning away.
    Muted,
}

/// A verdict, and where in the tree it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The position that it counts under; none if roots stand behind it, or it does not count.
    pub parent: Option<Id>,
    /// All positions above it, the parent among them.
    pub above: Set,
}

impl Judged {
    pub(crate) const NOT_HELD: Self = Self::not(Verdict::Pending(Why::NotHeld));

    pub(crate) const ROOTED: Self = Self { verdict: Verdict::Accepted, parent: None, above: Set(0) };

    pub(crate) const fn not(verdict: Verdict) -> Self {
        Self { verdict, parent: None, above: Set(0) }
    }

    /// Whether it counts.
    pub fn counts(&self) -> bool {
        self.verdict == Verdict::Accepted
    }

    pub(crate) fn rooted(&self) -> bool {
        self.counts() && self.parent.is_none()
    }
}
