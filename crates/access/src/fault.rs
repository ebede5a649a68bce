//! Why a change set of kind `access` is no record.

use changeset::{DecodeError, Path};
use core::fmt;

/// A named part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A workspace's name.
    WorkspaceName,
    /// The label of a delegation.
    Label,
    /// A person's id.
    PersonId,
    /// A person's name.
    PersonName,
    /// A role.
    Role,
    /// The roots of a workspace.
    Roots,
    /// The threshold of a workspace.
    Threshold,
    /// The partitions of a delegation.
    Partitions,
    /// The kinds of a grant.
    Kinds,
    /// The actions of a grant.
    Actions,
    /// The endorsements.
    Endorsements,
    /// The type of a record.
    Type,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkspaceName => "the workspace's name",
            Self::Label => "the label",
            Self::PersonId => "the person's id",
            Self::PersonName => "the person's name",
            Self::Role => "the role",
            Self::Roots => "the list of roots",
            Self::Threshold => "the threshold",
            Self::Partitions => "the list of partitions",
            Self::Kinds => "the list of kinds",
            Self::Actions => "the list of actions",
            Self::Endorsements => "the list of endorsements",
            Self::Type => "the record's type",
        })
    }
}

/// Why a change set of kind `access` is no record, or why a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The change set is of another kind.
    #[error("a change set of kind {0} is no access record")]
    OtherKind(changeset::Kind),
    /// The body is of a format that only newer versions read.
    #[error("written in format {0}, which only a newer version reads")]
    NewerFormat(u64),
    /// The skeleton cannot be read.
    #[error("the script cannot be read: {0}")]
    Unreadable(DecodeError),
    /// The change set names parents; a record stands by itself.
    #[error("a record stands by itself, this one names parents")]
    HasParents,
    /// The script has no op.
    #[error("the path `{0}` is missing")]
    Missing(&'static str),
    /// An op that is no put.
    #[error("`{0}` is not simply written; a record knows no other op")]
    NotAPut(Path),
    /// A put of another type than bytes.
    #[error("`{0}` is not of type bytes")]
    WrongType(Path),
    /// A path that no record has, or not at this place.
    #[error("`{0}` does not belong here in a record")]
    Unexpected(Path),
    /// A path written twice.
    #[error("`{0}` is written twice")]
    Duplicate(Path),
    /// A value longer than its limit.
    #[error("`{path}` is over the limit of {limit} bytes")]
    TooLong {
        /// Where.
        path: Path,
        /// The limit in bytes.
        limit: usize,
    },
    /// A value that is not as long as the script says.
    #[error("`{0}` is not as long as the script says")]
    Unfit(Path),
    /// A value that is not here. The whole change set may still come.
    #[error("the value of `{0}` is not here; ask another replica for the whole record")]
    ValueMissing(Path),
    /// The bytes of the record are not what they should be.
    #[error("{0}")]
    Malformed(DecodeError),
    /// A text that may not stand there.
    #[error("{0} is empty, too long, or has characters that may not stand in it")]
    BadName(Item),
    /// A list that is empty, too long, unsorted, or has repeats.
    #[error("{0} is empty, too long, unsorted, or has repeats")]
    BadList(Item),
    /// A threshold that is zero or more than there are roots.
    #[error("a threshold of {threshold} with {roots} roots")]
    BadThreshold {
        /// The threshold.
        threshold: u64,
        /// How many roots there are.
        roots: usize,
    },
    /// A period that ends before it begins, or later than any time.
    #[error("a period from {not_before_ms} to {not_after_ms}")]
    BadPeriod {
        /// Its start, in ms since 1970.
        not_before_ms: u64,
        /// Its end, in ms since 1970.
        not_after_ms: u64,
    },
    /// An unknown record cannot be written, only kept.
    #[error("a record of a type that this version does not know cannot be written by it")]
    CannotWrite,
}

impl From<DecodeError> for RecordFault {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}
