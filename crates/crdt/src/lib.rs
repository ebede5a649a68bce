//! Documents that fall out of replaying change sets: structure through Automerge, texts through Yrs.
//!
//! A [`Partition`] takes verified change sets in any order and shows [`Document`]s; what lacks its parents waits, visibly.
//! Everything shown is a pure function of the set held and of a [`Judgement`] (what is masked, what was purged): two
//! partitions with the same of both have the same [`Digest`]. A [`Transaction`] records what one person did as the script
//! of one change set. Neither engine ever sees a byte from a peer: both are fed what was rebuilt from the scripts.
//!
//! Taking and building come apart where an application asks: [`Partition::receive`] takes change sets and leaves their
//! documents *pending*, [`Partition::materialise`] builds one.
//!
//! - Reading: the [`State`] trait, on a document, on a document at earlier heads, and inside a transaction;
//!   [`Document::resolution`] and [`Document::conflicts`] for who said what else; [`Document::history`],
//!   [`Document::spans`] and [`Document::cursor`].
//! - Kinds: a [`Schema`] as data, [`Intent`]s with validation, and the models [`inspection`] and [`order`]; an app declares
//!   its own through the same public traits.
//!
//! No I/O, no clock, no randomness: times and entropy come from the caller. Nothing here blocks or spawns; a partition is
//! `Send`, and one thread at a time writes to it. The rules are specified in `spec/documents.md`.
//!
//! ```
//! use changeset::{Author, DeviceKey, DocumentId, DocumentKey, Incarnation, IntentName, Kind, Partition as Name, Path};
//! use changeset::{SeededEntropy, Value, WorkspaceId};
//! use crdt::{Commit, Edits, Partition, State};
//! use std::sync::Arc;
//!
//! let (workspace, name) = (WorkspaceId::from_bytes([1; 32]), Name::new("harbour-7")?);
//! let device = |number: u8| {
//!     let (key, entropy) = (DeviceKey::from_secret(&[number; 32]), SeededEntropy::new(number.into()));
//!     let incarnation = Incarnation::from_bytes([number; 8]);
//!     (Partition::new(workspace, name.clone()), Author::new(Arc::new(key), workspace, name.clone(), incarnation, Box::new(entropy)))
//! };
//! let ((mut here, mut ana), (mut there, mut ben)) = (device(1), device(2));
//! let crane = DocumentKey { kind: Kind::new("inspection")?, id: DocumentId::from_parts(0, [3; 10]) };
//! let (picked, note) = (Path::new("picked")?, Path::new("note")?);
//!
//! let mut tx = here.transact(&mut ana, &crane, 1_000);
//! tx.put(&picked, Value::Counter(0))?;
//! tx.insert_text(&note, 0, "rope worn")?;
//! tx.commit(Commit::new(IntentName::new("create")?))?;
//! there.apply(here.log().entries().to_vec());
//!
//! // Both go on without hearing of each other.
//! for (partition, author, amount, text) in [(&mut here, &mut ana, 5, "Steel "), (&mut there, &mut ben, 2, "Thin ")] {
//!     let mut tx = partition.transact(author, &crane, 2_000);
//!     tx.increment(&picked, amount)?;
//!     tx.insert_text(&note, 0, text)?;
//!     tx.commit(Commit::new(IntentName::new("edit")?))?;
//! }
//! there.apply(here.log().entries().to_vec());
//! here.apply(there.log().entries().to_vec());
//! let shown = here.document(&crane).ok_or("it was created")?;
//! assert_eq!(shown.value(&picked), Some(Value::Counter(7)));
//! assert_eq!(shown.text(&note).map(|text| text.len()), Some("Steel Thin rope worn".len()));
//! assert_eq!(here.digest(), there.digest());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chains;
mod conflict;
mod digest;
mod document;
mod judgement;
mod kinds;
mod partition;
mod pending;
mod state;
mod text_diff;
mod transaction;
pub mod yjs;

pub use chains::Fork;
pub use changeset::HeaderFault;
pub use conflict::{Contender, Resolution, Rule};
pub use digest::Digest;
pub use document::engine::EngineError;
pub use document::snapshot::SnapshotUse;
pub use document::texts::TextEngineError;
pub use document::{Cursor, CursorSide, Document, DocumentAt, HistoryEntry, Span};
pub use judgement::{Judgement, Standing};
pub use kinds::{
    Action, Amount, AnyIntent, Change, Checks, Code, ContentHash, Deferral, EntryId, Exact, Facts, FieldRule,
    FieldType, Fields, FileRef, Intent, IntentDefinition, IntentError, Json, JsonError, KindDefinition, KindRegistry,
    Lifecycle, Model, Needs, Origin, Permission, Place, Plan, Position, Refusal, RegistryError, Removed, Row,
    RuleFault, Schema, SchemaError, Step, TextEdit, Timestamp, Violation, check, document_json, entries, entry_exists,
    from_json, inspection, order, place_entry, standard_kinds, value_json,
};
pub use partition::{Applied, DocumentChange, MAX_WAITING, Partition, Received, Rejection, Waiting};
pub use state::{EditError, EditRules, Edits, State};
pub use transaction::{Commit, Transaction};
