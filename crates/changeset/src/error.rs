//! Why bytes were refused: every error names the place and the reason.

use crate::id::ChangeSetId;

/// Bytes that are not what they should be: the place, the offset of the first wrong byte in it, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}, byte {offset}: {fault}")]
pub struct DecodeError {
    /// The part that was read, for example `header`.
    pub place: &'static str,
    /// The offset in that part, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a byte string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end inside an item.
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes follow the last item.
    #[error("bytes follow after the end")]
    TrailingBytes,
    /// An integer or length could be written shorter.
    #[error("not the shortest form")]
    NotShortest,
    /// Indefinite lengths and reserved values are not deterministic.
    #[error("indefinite lengths and reserved values are not allowed")]
    IndefiniteLength,
    /// Another item was wanted.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A length or number is over its named limit.
    #[error("over the limit of {limit}")]
    OverLimit {
        /// The limit.
        limit: u64,
    },
    /// A length is not the one wanted.
    #[error("expected a length of {wanted}")]
    WrongLength {
        /// The length wanted.
        wanted: usize,
    },
    /// A text string is not UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// A float is infinite, not a number, or negative zero.
    #[error("not a finite float, or negative zero")]
    NotFinite,
    /// A name breaks its pattern.
    #[error("not a valid {0}")]
    BadName(&'static str),
    /// A number that must not be zero is.
    #[error("must not be zero")]
    Zero,
    /// A list that must be sorted without repeats is not.
    #[error("not sorted, or a repeat")]
    Unsorted,
    /// A code or version that this format does not know.
    #[error("unknown code {0}")]
    UnknownCode(u64),
    /// A reference to something that does not exist.
    #[error("refers to {0} that does not exist")]
    BadReference(&'static str),
    /// The same content has a shorter or other required form.
    #[error("not the canonical form: {0}")]
    NotCanonical(&'static str),
    /// A recorded check value is not what the content gives.
    #[error("{0} does not match the content")]
    Mismatch(&'static str),
}

/// Why a change set or a run of them was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are malformed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The author's key is not a point of the curve, or one of small order.
    #[error("the author's key {0} is not a valid ed25519 key")]
    BadKey(String),
    /// The body is not the one that the header names.
    #[error("change set {id}: the body does not match the header's body hash")]
    BodyMismatch {
        /// The id that the header has.
        id: ChangeSetId,
    },
    /// The signature is not the author's over this id.
    #[error("change set {id}: the signature does not verify")]
    BadSignature {
        /// The id that was signed, as computed from the header.
        id: ChangeSetId,
    },
    /// A change set has neither a signature nor a signed successor in the same run.
    #[error("change set {id}: no signature attests it")]
    Unattested {
        /// The id.
        id: ChangeSetId,
    },
    /// More entries or bytes between two signatures than the limits allow.
    #[error("change set {id}: too many entries or bytes without a signature")]
    RunTooLong {
        /// The id of the first entry beyond the limit.
        id: ChangeSetId,
    },
}

/// A page or bundle that was refused; nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The bytes are malformed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Entry `entry` (counted from 0) is malformed or refers to what is not held.
    #[error("entry {entry}: {error}")]
    Entry {
        /// The entry's number in the page.
        entry: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// An entry refers to what the log does not hold.
    #[error("entry {entry}: needs {what}, which this log does not hold")]
    Missing {
        /// The entry's number in the page.
        entry: usize,
        /// What is not held.
        what: &'static str,
    },
    /// A signature, hash or key does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Page `page` of a bundle was refused.
    #[error("page {page}: {error}")]
    InPage {
        /// The page's number in the bundle, from 0.
        page: usize,
        /// Why.
        error: Box<Self>,
    },
    /// Bundle `bundle` of a file of several was refused.
    #[error("bundle {bundle}: {error}")]
    InBundle {
        /// The bundle's number in the file, from 0.
        bundle: usize,
        /// Why.
        error: Box<Self>,
    },
    /// The compressed bytes do not decompress within the limit.
    #[error("the page does not decompress to at most {limit} bytes")]
    Compression {
        /// The limit in bytes.
        limit: usize,
    },
    /// An entry to be written has neither a signature nor a signed successor in the page.
    #[error("change set {id} is the last of its run and has no signature yet: sign the chain before cutting a page")]
    Unsigned {
        /// The entry.
        id: ChangeSetId,
    },
    /// The entries to be written do not fit in one page.
    #[error("more than {limit} entries or bytes in one page: cut several")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
    /// An entry to be written belongs to another workspace or partition.
    #[error("change set {id} belongs to another workspace or partition")]
    WrongPartition {
        /// The entry.
        id: ChangeSetId,
    },
}
