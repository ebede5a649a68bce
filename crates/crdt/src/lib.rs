//! Documents that fall out of replaying change sets: structure through Automerge, texts through Yrs.

mod chains;
mod conflict;
mod digest;
mod document;
mod judgement;
mod kinds;
mod partition;
mod state;
mod text_diff;
mod transaction;
pub mod yjs;

pub use chains::{Fork, HeaderFault};
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
pub use partition::{Applied, DocumentChange, MAX_WAITING, Partition, Rejection, Waiting};
pub use state::{EditError, EditRules, Edits, State};
pub use transaction::{Commit, Transaction};
