//! Inspections: a visit to a subject, a checklist worked through on site, a result, and its review.
//!
//! | path | what |
//! | --- | --- |
//! | `status` | draft → scheduled → in_progress → submitted → approved or rejected → closed, with reopen |
//! | `template`, `inspection_type`, `risk` | what kind of visit |
//! | `subject/name`, `category`, `address`, `latitude`, `longitude` | what is inspected, and where |
//! | `scheduled_at`, `assignee` | when and by whom |
//! | `result`, `findings` (text), `rejection` | what came of it |
//! | `items/<id>/`: `.`, `position`, `prompt`, `outcome`, `severity`, `measured`, `unit`, `note` (text) | the checklist |
//! | `items/<id>/attachments/<first 16 digits of the hash>` | photos and files |
//! | `signoffs/<id>/`: `.`, `person`, `role`, `statement`, `at` | who stands by it |
//!
//! Latitude and longitude are only ever written together, and so are a measured value and its unit: of two devices that
//! write at once the same one wins both, and no reading gets the other's unit.

mod checklist;
mod planning;
mod review;
mod stages;
mod view;

pub use checklist::{
    AddItem, Attach, Detach, EditNote, Measure, MoveItem, Reading, RecordOutcome, RemoveItem, RestoreItem, SetPrompt,
    SetSeverity,
};
pub use planning::{Assign, Coordinates, Create, NewItem, Schedule, SetDetails, SetSubject, Start};
pub use review::{Approve, Close, EditFindings, RecordResult, Reject, Reopen, SignOff, Submit};
pub use stages::{InspectionResult, LIFECYCLE, Outcome, Risk, Severity, Stage};
pub use view::{ChecklistItem, Inspection, SignedOff, Subject};

use crate::{KindDefinition, Lifecycle, Model, Schema, SchemaError};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Result<Schema, SchemaError>> =
    LazyLock::new(|| Schema::from_json(include_str!("inspection/schema.json")));

/// The model of inspections, for actions on them.
#[derive(Clone, Copy, Debug)]
pub struct InspectionModel;

impl Model for InspectionModel {
    type Stage = Stage;

    fn lifecycle() -> &'static Lifecycle<Stage> {
        &LIFECYCLE
    }

    fn schema() -> Result<&'static Schema, &'static SchemaError> {
        SCHEMA.as_ref()
    }
}

/// The kind `inspection` with all its intents.
///
/// # Errors
/// [`SchemaError`] if the schema in this crate is none; its tests hold that it is.
pub fn definition() -> Result<KindDefinition, SchemaError> {
    let schema = InspectionModel::schema().map_err(Clone::clone)?;
    Ok(KindDefinition::new(schema.clone())
        .with::<Create>()
        .with::<SetSubject>()
        .with::<SetDetails>()
        .with::<AddItem>()
        .with::<SetPrompt>()
        .with::<MoveItem>()
        .with::<RemoveItem>()
        .with::<RestoreItem>()
        .with::<Schedule>()
        .with::<Assign>()
        .with::<Start>()
        .with::<RecordOutcome>()
        .with::<SetSeverity>()
        .with::<Measure>()
        .with::<EditNote>()
        .with::<Attach>()
        .with::<Detach>()
        .with::<EditFindings>()
        .with::<RecordResult>()
        .with::<SignOff>()
        .with::<Submit>()
        .with::<Reject>()
        .with::<Reopen>()
        .with::<Approve>()
        .with::<Close>())
}
