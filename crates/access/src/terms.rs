//! What records are made of: scopes, kinds, actions, people, roles, periods.

use crate::fault::{Item, RecordFault};
use crate::limits::{MAX_NAME_BYTES, MAX_ROLE_BYTES, NO_END};
use changeset::{IntentName, Kind, Partition};
use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The kind of every document that this crate reads.
pub const KIND_ACCESS: &str = "access";
/// The kind of the documents in which devices name themselves.
pub const KIND_DEVICE: &str = "device";
/// The partition that genesis and delegations stand in, and that syncs before all others.
pub const PARTITION_AUTHORITY: &str = "authority";

/// The partitions that a delegation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every partition but `authority`, which only a delegation that names it covers.
    All,
    /// These: at least one, at most [`crate::limits::MAX_PARTITIONS`].
    Named(BTreeSet<Partition>),
}

impl Scope {
    /// Whether the partition is covered.
    pub fn covers(&self, partition: &Partition) -> bool {
        match self {
            Self::All => partition.as_str() != PARTITION_AUTHORITY,
            Self::Named(partitions) => partitions.contains(partition),
        }
    }

    /// The first partition of `other` that this scope does not cover; `None` within tells that `other` is everything.
    pub(crate) fn lacks<'a>(&self, other: &'a Self) -> Option<Option<&'a Partition>> {
        match (self, other) {
            (Self::All, Self::All) => None,
            (Self::Named(_), Self::All) => Some(None),
            (_, Self::Named(partitions)) => partitions.iter().find(|partition| !self.covers(partition)).map(Some),
        }
    }

    /// Whether everything that `other` covers is covered here.
    pub fn contains(&self, other: &Self) -> bool {
        self.lacks(other).is_none()
    }
}

/// The kinds of documents that a grant lets write. Kinds limit writing; reading is by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Every kind.
    All,
    /// These: at least one, at most [`crate::limits::MAX_KINDS`].
    Named(BTreeSet<Kind>),
}

impl Kinds {
    /// Whether the kind is covered.
    pub fn covers(&self, kind: &Kind) -> bool {
        match self {
            Self::All => true,
            Self::Named(kinds) => kinds.contains(kind),
        }
    }
}

/// The intents that a grant lets act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actions {
    /// Every intent.
    All,
    /// These: at least one, at most [`crate::limits::MAX_ACTIONS`].
    Named(BTreeSet<IntentName>),
}

impl Actions {
    /// Whether the intent is covered; none where the intent is not known and it matters.
    pub fn covers(&self, intent: Option<&IntentName>) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Named(intents) => intent.map(|intent| intents.contains(intent)),
        }
    }
}

/// A person, as a grant names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// The id that the organisation knows them by. Shown text: see [`check_text`].
    pub id: String,
    /// The name that others read. Shown text: see [`check_text`].
    pub name: String,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What a person is to others, for policies that weigh roles. `[a-z][a-z0-9_-]{0,31}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// The checked role.
    ///
    /// # Errors
    /// [`RecordFault::BadName`] if the text breaks the pattern.
    pub fn new(text: &str) -> Result<Self, RecordFault> {
        let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if first && text.len() <= MAX_ROLE_BYTES && text.bytes().all(rest) {
            Ok(Self(text.into()))
        } else {
            Err(RecordFault::BadName(Item::Role))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Whether a text may stand on a screen as a name: 1 to [`MAX_NAME_BYTES`] bytes, no control characters, and none that
/// turn the reading direction or break the line, so that no name can pass for another by drawing over it.
///
/// # Errors
/// [`RecordFault::BadName`] for this item.
pub fn check_text(item: Item, text: &str) -> Result<(), RecordFault> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let outer_space = text.starts_with(' ') || text.ends_with(' ');
    if text.is_empty() || text.len() > MAX_NAME_BYTES || outer_space || text.chars().any(hidden) {
        Err(RecordFault::BadName(item))
    } else {
        Ok(())
    }
}

/// How a time stands to a period, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Before,
    Inside,
    After,
}

/// The times at which something holds, in ms since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: u64,
    pub(crate) until: u64,
}

impl Period {
    pub(crate) fn at(self, time: u64) -> Within {
        if changeset::planted("a grant never ends") && time > self.until {
            return Within::Inside;
        }
        if time < self.from {
            Within::Before
        } else if time > self.until {
            Within::After
        } else {
            Within::Inside
        }
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.until <= self.until
    }

    pub(crate) fn check(self) -> Result<(), RecordFault> {
        if self.from <= self.until && self.until <= NO_END {
            Ok(())
        } else {
            Err(RecordFault::BadPeriod { not_before_ms: self.from, not_after_ms: self.until })
        }
    }
}
