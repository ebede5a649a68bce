//! Documents that fall out of replaying change sets: structure through Automerge, texts through Yrs.

mod chains;
mod conflict;
mod digest;
mod document;
mod judgement;
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
pub use partition::{Applied, DocumentChange, MAX_WAITING, Partition, Refusal, Waiting};
pub use state::{EditError, EditRules, Edits, State};
pub use transaction::{Commit, Transaction};
