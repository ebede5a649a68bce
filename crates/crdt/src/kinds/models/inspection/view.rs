//! An inspection as people see it.

use super::{Coordinates, InspectionResult, Outcome, Reading, Risk, Severity, Stage};
use crate::{Amount, Fields, State, Timestamp};
use changeset::{Attachment, Value};

/// An inspection, read out of a state. A field that is absent is none, and so is a choice that only a newer version
/// knows; [`Schema::violations`](crate::Schema::violations) names the latter.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// How far it has come; none if it was not created.
    pub status: Option<Stage>,
    /// The template's name and version.
    pub template: Option<String>,
    /// What kind of visit.
    pub inspection_type: Option<String>,
    /// How much is at stake.
    pub risk: Option<Risk>,
    /// What is inspected.
    pub subject: Subject,
    /// When.
    pub scheduled_at: Option<Timestamp>,
    /// By whom.
    pub assignee: Option<String>,
    /// The checklist, in order.
    pub items: Vec<ChecklistItem>,
    /// What was found, in words.
    pub findings: Option<String>,
    /// What it came to.
    pub result: Option<InspectionResult>,
    /// Who stands by it, in the order of time.
    pub signoffs: Vec<SignedOff>,
    /// Why a reviewer rejected it.
    pub rejection: Option<String>,
}

/// What is inspected.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its name.
    pub name: Option<String>,
    /// What kind of subject it is.
    pub category: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Where it is, if both latitude and longitude are known.
    pub coordinates: Option<Coordinates>,
}

/// One item of the checklist.
#[derive(Clone, Debug, PartialEq)]
pub struct ChecklistItem {
    /// Its id.
    pub id: String,
    /// What is looked at.
    pub prompt: Option<String>,
    /// What it came to.
    pub outcome: Option<Outcome>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// What was measured.
    pub reading: Option<Reading>,
    /// The unit in which it is measured, also before it was.
    pub unit: Option<String>,
    /// What was noted.
    pub note: Option<String>,
    /// Photos and files, sorted by hash.
    pub attachments: Vec<Attachment>,
}

/// That a person stands by the inspection.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedOff {
    /// Its id.
    pub id: String,
    /// Who.
    pub person: Option<String>,
    /// As what.
    pub role: Option<String>,
    /// In which words.
    pub statement: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
}

impl Inspection {
    /// Reads the inspection.
    pub fn read(state: &dyn State) -> Self {
        let fields = Fields::new(state);
        let signoffs = fields.entries("signoffs").map(|(id, fields)| SignedOff::read(id, &fields));
        let mut signoffs: Vec<SignedOff> = signoffs.collect();
        signoffs.sort_by_key(|signoff| signoff.at);
        Self {
            status: fields.code("status"),
            template: fields.string("template"),
            inspection_type: fields.string("inspection_type"),
            risk: fields.code("risk"),
            subject: Subject::read(&fields.below("subject")),
            scheduled_at: fields.timestamp("scheduled_at"),
            assignee: fields.string("assignee"),
            items: fields.entries("items").map(|(id, fields)| ChecklistItem::read(id, &fields)).collect(),
            findings: fields.text("findings"),
            result: fields.code("result"),
            signoffs,
            rejection: fields.string("rejection"),
        }
    }
}

impl Subject {
    fn read(fields: &Fields<'_>) -> Self {
        let coordinates = fields.decimal("latitude").zip(fields.decimal("longitude"));
        Self {
            name: fields.string("name"),
            category: fields.string("category"),
            address: fields.string("address"),
            coordinates: coordinates.map(|(latitude, longitude)| Coordinates {
                latitude: Amount::from(latitude),
                longitude: Amount::from(longitude),
            }),
        }
    }
}

impl ChecklistItem {
    fn read(id: String, fields: &Fields<'_>) -> Self {
        let unit = fields.string("unit");
        let attachment = |(_, value)| if let Value::Attachment(file) = value { Some(file) } else { None };
        Self {
            id,
            prompt: fields.string("prompt"),
            outcome: fields.code("outcome"),
            severity: fields.code("severity"),
            reading: fields
                .decimal("measured")
                .map(|value| Reading { value: Amount::from(value), unit: unit.clone().unwrap_or_default() }),
            unit,
            note: fields.text("note"),
            attachments: fields.values_below("attachments").into_iter().filter_map(attachment).collect(),
        }
    }
}

impl SignedOff {
    fn read(id: String, fields: &Fields<'_>) -> Self {
        Self {
            id,
            person: fields.string("person"),
            role: fields.string("role"),
            statement: fields.string("statement"),
            at: fields.timestamp("at"),
        }
    }
}
