//! Why a call failed.

use access::Why;
use changeset::{ChangeSetId, DocumentKey, PageError, Partition, RecordError, SignError, WorkspaceId};
use crdt::{EditError, EngineError, TextEngineError, Violation};
use replica::{LinkError, ReplicaError};
use storage::StorageError;

/// Why a call failed. What is offline, unknown or not permitted yet is a state and not an error; these are errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. [`StorageError::Full`] is a state that an app shows: nothing was lost, and it works again once
    /// there is room.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The replica failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The connection or the session failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This device may not do that, and what can be done about it.
    #[error("not permitted: {0}")]
    NotPermitted(Box<Why>),
    /// It is against the rules of the kind; every violation at once. Nothing was recorded.
    #[error("against the rules: {}", list(.0))]
    Rules(Vec<Violation>),
    /// An edit was refused. Nothing was recorded.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Every receiver would refuse the change set. Nothing was recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The device key did not sign. Nothing was recorded.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A bundle or page could not be read; nothing was taken from it.
    #[error("the bundle cannot be read: {0}")]
    Bundle(#[from] PageError),
    /// A change set of a bundle was refused.
    #[error("change set {id} was refused: {why}")]
    Refused {
        /// Which.
        id: ChangeSetId,
        /// Why.
        why: String,
    },
    /// It belongs elsewhere; nothing was taken.
    #[error("it belongs to workspace {found}…, this store is of {own}…; nothing was taken", found = .found.short(), own = .own.short())]
    OtherWorkspace {
        /// Where it belongs.
        found: WorkspaceId,
        /// What this store is of.
        own: WorkspaceId,
    },
    /// The partition is not kept here.
    #[error("partition {0} is not kept in this store; add it first")]
    UnknownPartition(Partition),
    /// A text engine failed; the history is intact.
    #[error("{document}: {fault}")]
    Text {
        /// The document.
        document: DocumentKey,
        /// What happened.
        fault: TextEngineError,
    },
    /// A structure engine failed; the history is intact.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A record of access cannot be written.
    #[error("the record cannot be written: {0}")]
    Access(#[from] access::RecordFault),
    /// A root key did not endorse.
    #[error(transparent)]
    Endorse(#[from] access::EndorseError),
    /// A name breaks its pattern.
    #[error("{0}")]
    Name(#[from] changeset::Fault),
    /// The store is not one of a device in a workspace.
    #[error("this store belongs to no workspace: it was not made by `create` or `join`")]
    NoWorkspace,
    /// A thread or the runtime could not be started, or the system gave no random bytes.
    #[error("{doing}: {error}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// It took longer than allowed.
    #[error("it took longer than {0:?}; what was acknowledged until then holds, the rest goes on next time")]
    Timeout(std::time::Duration),
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}
