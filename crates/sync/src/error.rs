//! Why a session ends, and the code that the peer is told.

use changeset::{DecodeError, SignError};

/// A reason to end a session or to refuse something, as it travels: a number that old peers may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u64);

impl Code {
    /// The work is done.
    pub const DONE: Self = Self(0);
    /// The replica is shutting down; come back.
    pub const GOING: Self = Self(1);
    /// Too much to do right now; come back later.
    pub const BUSY: Self = Self(2);
    /// No version in common.
    pub const VERSION: Self = Self(3);
    /// The workspace is not kept here.
    pub const UNKNOWN_WORKSPACE: Self = Self(4);
    /// The device never held a grant here.
    pub const NO_GRANT: Self = Self(5);
    /// The grant does not open this partition, or no longer.
    pub const NOT_PERMITTED: Self = Self(6);
    /// A quota is used up.
    pub const QUOTA: Self = Self(7);
    /// The disk is full or failed.
    pub const STORAGE: Self = Self(8);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(9);
    /// A frame is over its limit.
    pub const TOO_LARGE: Self = Self(10);
    /// A signature, seal or hash of the peer's does not hold.
    pub const FORGED: Self = Self(11);
    /// The peer is silent.
    pub const TIMEOUT: Self = Self(12);
    /// The peer is not the one that was expected.
    pub const WRONG_PEER: Self = Self(13);
    /// This replica's own key or code failed.
    pub const INTERNAL: Self = Self(14);
    /// This replica's log was rolled back or copied, as the peer's place in it shows; it begins anew.
    pub const ROLLED_BACK: Self = Self(15);
    /// A change set is put aside until its authority is known: it is durable, and nobody else is given it.
    pub const HELD: Self = Self(16);
}

/// Why a session failed. The first four are the peer's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Bytes that are no message.
    #[error("the peer sent bytes that are no message: {0}")]
    Malformed(#[from] DecodeError),
    /// A frame over its limit.
    #[error("the peer sent a frame of {bytes} bytes, over the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A message that has no place here.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// A signature that does not hold.
    #[error("the peer's {0} does not verify")]
    Forged(&'static str),
    /// No version in common.
    #[error("the peer speaks versions {min} to {max} of the protocol, this is version {own}: update the older side")]
    Version {
        /// The peer's oldest version.
        min: u64,
        /// Its newest.
        max: u64,
        /// Ours.
        own: u64,
    },
    /// Another key than the one expected.
    #[error("the peer has another key than expected")]
    WrongPeer,
    /// Nothing came for too long.
    #[error("the peer did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The peer ended the session.
    #[error("the peer ended the session (code {}): {text}", code.0)]
    Closed {
        /// Its reason.
        code: Code,
        /// Its words.
        text: String,
        /// When it asks us to come back, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Our own key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Our own storage failed.
    #[error("this replica's storage failed: {0}")]
    Storage(String),
}

impl SessionError {
    /// What the peer is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Protocol(_) => Code::PROTOCOL,
            Self::TooLarge { .. } => Code::TOO_LARGE,
            Self::Forged(_) => Code::FORGED,
            Self::Version { .. } => Code::VERSION,
            Self::WrongPeer => Code::WRONG_PEER,
            Self::Timeout(_) => Code::TIMEOUT,
            Self::Closed { code, .. } => *code,
            Self::Sign(_) => Code::INTERNAL,
            Self::Storage(_) => Code::STORAGE,
        }
    }
}
