//! Signed change sets: the one thing that Fieldbook replicates.
//!
//! A device's [`Author`] records what a person did as an edit [`Script`]: paths, values, text inserts and deletes, but
//! never the bytes of a CRDT library. The script becomes the [`Body`] of a change set: a [`Skeleton`] that says what is
//! touched, and values apart from it, each under a salted commitment, so that single values can be purged while every
//! signature still verifies. A [`Header`] chains it to the author's previous change set and to the document's heads; the
//! id is a keyed hash of the header, and the signature is over the id. One signature attests the whole chain up to it.
//!
//! Change sets travel and rest in pages ([`encode_page`], [`decode_page`]) or in a [`Bundle`]. What was received is
//! [`Signed`] or an [`UnverifiedPage`], which show nothing of their content; only verifying gives [`Verified`].
//!
//! This crate knows no CRDT, does no I/O, and reads no clock. The bytes are specified in `spec/change-set.md`.
//!
//! ```
//! use changeset::{Author, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Incarnation, IntentName, Kind, Partition};
//! use changeset::{Path, Script, SeededEntropy, Signed, WorkspaceId};
//! use std::sync::Arc;
//!
//! let key = Arc::new(DeviceKey::from_secret(&[7; 32]));
//! let (workspace, partition) = (WorkspaceId::from_bytes([1; 32]), Partition::new("harbour-7")?);
//! let incarnation = Incarnation::from_bytes([2; 8]);
//! let entropy = Box::new(SeededEntropy::new(1));
//! let mut author = Author::new(key, workspace, partition.clone(), incarnation, entropy);
//!
//! let document = DocumentKey { kind: Kind::new("inspection")?, id: DocumentId::from_parts(0, [3; 10]) };
//! let edits = vec![Edit::Put { path: Path::new("status")?, value: "draft".into() }];
//! let draft = Draft {
//!     document,
//!     parents: Vec::new(),
//!     grant: None,
//!     schema_version: 1,
//!     intent: IntentName::new("create")?,
//!     group: None,
//!     script: Script { reason: None, edits },
//! };
//! let recorded = author.record(draft, 1_700_000_000_000)?;
//! let bytes = author.sign(&recorded)?.to_bytes().expect("it was just signed");
//!
//! let received = Signed::from_bytes(&bytes, workspace, &partition)?.verify()?;
//! assert_eq!(received.id(), recorded.id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod author;
mod body;
mod bundle;
pub mod cbor;
mod entry;
mod error;
pub mod hash;
mod header;
mod id;
mod key;
pub mod limits;
mod log;
mod log_page;
mod page;
mod planted;
mod runs;
mod script;
mod value;

pub use author::{Author, Draft, Entropy, RecordError, SeededEntropy};
pub use body::{Body, Group};
pub use bundle::{BUNDLE_MAGIC, Bundle, cut_pages};
pub use entry::{Actor, Signed, Verified};
pub use error::{DecodeError, Fault, PageError, VerifyError};
pub use hash::RunningHash;
pub use header::{FORMAT_PLAIN, Header};
pub use id::{
    ActorId, BranchName, ChangeSetId, DocumentId, DocumentKey, GroupId, Incarnation, IntentName, Kind, LogIncarnation,
    Partition, Path, PublicKey, WorkspaceId,
};
pub use key::{DeviceKey, SignError, Signature, Signer};
pub use log::{ActorPrefix, Cursor, HeaderFault, Known, Log, MemoryLog, prefix};
pub use log_page::LogPage;
pub use page::{UnverifiedPage, decode_page, encode_page, pack_page, unpack_page};
#[cfg(feature = "planted")]
#[doc(hidden)]
pub use planted::plant;
#[doc(hidden)]
pub use planted::planted;
pub use runs::{danger_encode_unattested, decode_runs, encode_runs};
pub use script::{Edit, ItemRange, ItemRef, Line, Op, Script, Skeleton};
pub use value::{Attachment, Decimal, Reference, Value, ValueType, increment_from_bytes, increment_to_bytes};
