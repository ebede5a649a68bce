//! Why a call to a replica failed.

use storage::StorageError;

/// Why a call to a replica failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A thread could not be started, or the system gave no random bytes.
    #[error("{doing}: {error}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
}

/// Why no session came about, or why one ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address is none.
    #[error("{url}: {what}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No connection.
    #[error("connecting to {url}: {error}")]
    Connect {
        /// Where to.
        url: String,
        /// What happened.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] std::io::Error),
    /// The peer closed the connection without a word.
    #[error("the connection was closed without a word")]
    Gone,
    /// The session failed.
    #[error(transparent)]
    Session(#[from] sync::SessionError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}
