//! Kinds of documents: schemas as data, intents, lifecycles, and the two models. Everything here goes through
//! [`State`](crate::State) and [`Edits`](crate::Edits) and is public, so that apps declare kinds of their own in the same way.

mod action;
mod checks;
mod decode;
mod edit_rules;
mod entries;
mod exact;
#[cfg(test)]
mod fake;
mod fields;
mod file;
mod intent;
mod json;
mod lifecycle;
mod models;
mod needs;
mod pattern;
mod plan;
mod position;
mod registry;
mod rule;
mod schema;
mod timestamp;

pub use action::{Action, Model};
pub use checks::Checks;
pub use decode::{JsonError, from_json};
pub use entries::{EntryId, Place, entries, entry_exists, place_entry};
pub use exact::{Amount, Exact};
pub use fields::{Code, Fields};
pub use file::{ContentHash, FileRef};
pub use intent::{Intent, Violation};
pub use json::{Json, Removed, document_json, value_json};
pub use lifecycle::{Lifecycle, Origin, Row};
pub use models::{inspection, order, standard_kinds};
pub use needs::{Deferral, Facts, Needs, Permission, Refusal, check};
pub use plan::{Change, Plan, Step, TextEdit};
pub use position::Position;
pub use registry::{AnyIntent, IntentDefinition, IntentError, KindDefinition, KindRegistry, RegistryError};
pub use rule::{FieldRule, FieldType, RuleFault};
pub use schema::{Schema, SchemaError};
pub use timestamp::Timestamp;
