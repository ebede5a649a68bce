//! Records as the model has them: everything that the rules look at, and nothing else.

use core::fmt;

/// A device key; some are roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// A root of the genesis.
    R1,
    /// A root of the genesis.
    R2,
    /// A root of some genesis, or a key that a rotation makes one.
    R3,
    /// A device.
    A,
    /// A device.
    B,
    /// A device.
    C,
    /// A device.
    D,
}

/// A set of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys(u8);

impl Keys {
    /// These keys.
    pub fn of(keys: &[Key]) -> Self {
        Self(keys.iter().fold(0, |set, key| set | 1 << *key as u8))
    }

    /// With one more.
    pub fn with(self, key: Key) -> Self {
        Self(self.0 | 1 << key as u8)
    }

    /// Whether the key is among them.
    pub fn has(self, key: Key) -> bool {
        self.0 & 1 << key as u8 != 0
    }

    /// How many are in both.
    pub fn shared(self, other: Self) -> u32 {
        (self.0 & other.0).count_ones()
    }
}

/// A record's place in its menu. A record refers only to records before it, as one that names hashes must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u8);

/// A set of records of one menu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(pub u64);

impl Set {
    /// The first records of a menu.
    pub fn first(count: usize) -> Self {
        Self((1 << count) - 1)
    }

    /// Whether the record is in it.
    pub fn has(self, id: Id) -> bool {
        self.0 & 1 << id.0 != 0
    }

    /// With one more.
    pub fn with(self, id: Id) -> Self {
        Self(self.0 | 1 << id.0)
    }

    /// With one less.
    pub fn without(self, id: Id) -> Self {
        Self(self.0 & !(1 << id.0))
    }

    /// What is in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this one alone.
    pub fn but(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether they share a record.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// How many.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The records, ascending.
    pub fn iter(self) -> impl Iterator<Item = Id> {
        (0..64).filter(move |at| self.0 & 1 << at != 0).map(Id)
    }
}

impl FromIterator<Id> for Set {
    fn from_iter<I: IntoIterator<Item = Id>>(ids: I) -> Self {
        ids.into_iter().fold(Self::default(), Self::with)
    }
}

/// Partitions, as bits.
pub type Scope = u8;
/// A partition.
pub const NORTH: Scope = 1;
/// Another partition.
pub const SOUTH: Scope = 2;
/// Both.
pub const EVERYWHERE: Scope = NORTH | SOUTH;

/// Times in which something holds, both ends included.
pub type Period = (u8, u8);
/// At every time.
pub const ALWAYS: Period = (0, u8::MAX);

/// Of what a revocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Of {
    /// A device: all that it writes.
    Device(Key),
    /// A delegation or grant: all that is written under it. On a shared tablet others go on.
    Position(Id),
}

impl Of {
    /// Whether a record that is written under this position is meant.
    pub fn means(self, position: Option<Id>, record: &Record) -> bool {
        match self {
            Self::Device(device) => record.author == device,
            Self::Position(of) => position == Some(of),
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The workspace begins.
    Genesis {
        /// Its roots.
        roots: Keys,
        /// How many must stand behind a record.
        threshold: u32,
    },
    /// Other roots from now on.
    Rotation {
        /// The genesis or rotation that it succeeds.
        of: Id,
        /// The roots from now on.
        roots: Keys,
        /// How many must stand behind a record from now on.
        threshold: u32,
        /// What goes on counting of what the roots before stood behind.
        tips: Set,
    },
    /// A device may admit.
    Delegation {
        /// The device.
        to: Key,
        /// Where.
        scope: Scope,
        /// Whether it may let others admit.
        may_delegate: bool,
        /// When.
        period: Period,
    },
    /// A device may work.
    Grant {
        /// The device.
        to: Key,
        /// Where: one partition.
        scope: Scope,
        /// When.
        period: Period,
    },
    /// Of what a device wrote, or of what was written under a position, only what leads to these tips counts.
    Revocation {
        /// The device or the position.
        of: Of,
        /// The tips, at most one for each branch.
        tips: Set,
    },
    /// More tips for a revocation or a rotation.
    Honour {
        /// The revocation or rotation.
        of: Id,
        /// The tips that it adds.
        tips: Set,
    },
    /// Any change set that is no record.
    Work {
        /// Where: one partition.
        scope: Scope,
    },
}

/// A change set, as far as the rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What it is called in traces.
    pub name: String,
    /// Who wrote it.
    pub author: Key,
    /// Which of the author's chains it is in.
    pub incarnation: u8,
    /// The one before it in its chain.
    pub previous: Option<Id>,
    /// The header's time.
    pub time: u8,
    /// The roots that endorsed it.
    pub endorsed: Keys,
    /// The delegation or grant that it names as the one it is written under.
    pub under: Option<Id>,
    /// Stands for the hash where the rules compare ids: who writes much can have any.
    pub hash: u8,
    /// What it says.
    pub what: What,
}

impl Record {
    /// The roots, and others, that stand behind it: who wrote it and who endorsed it.
    pub fn behind(&self) -> Keys {
        self.endorsed.with(self.author)
    }

    /// Whom a delegation or a grant is to.
    pub fn to(&self) -> Option<Key> {
        match self.what {
            What::Delegation { to, .. } | What::Grant { to, .. } => Some(to),
            What::Genesis { .. }
            | What::Rotation { .. }
            | What::Revocation { .. }
            | What::Honour { .. }
            | What::Work { .. } => None,
        }
    }

    /// The tips that it names.
    pub fn tips(&self) -> Set {
        match self.what {
            What::Rotation { tips, .. } | What::Revocation { tips, .. } | What::Honour { tips, .. } => tips,
            What::Genesis { .. } | What::Delegation { .. } | What::Grant { .. } | What::Work { .. } => Set::default(),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
