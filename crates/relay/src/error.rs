//! Why a relay did not start, or did not do what an operator asked for.

use crate::config::ConfigError;
use replica::ReplicaError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use storage::StorageError;

/// Why a relay did not start, or did not do what an operator asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder.
    #[error("the data folder {}: {error}; it must be a folder that this process may write", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The address is taken, or is none of this machine's.
    #[error("listening at {address}, as `{option}` says: {error}; {}", cure(error))]
    Listen {
        /// The option.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A certificate or key could not be used.
    #[error("{option} {}: {what}", path.display())]
    Tls {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and the cure.
        what: String,
    },
    /// A thread or the runtime could not be started.
    #[error("{doing}: {error}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The relay's thread ended before it said that it runs.
    #[error("the relay ended while it was starting")]
    Ended,
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there: stop it, or choose another port (0 lets the system choose)"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address: use one of its own, or 0.0.0.0",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right: use a higher one, or give the process CAP_NET_BIND_SERVICE"
        }
        _ => "check the address",
    }
}
