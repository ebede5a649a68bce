//! Preparing an inspection: what, where, when, by whom.

use super::{InspectionModel, Risk};
use crate::{Action, Amount, Change, Checks, Code, EntryId, Place, Plan, Timestamp};
use serde::{Deserialize, Serialize};

/// The most items that an inspection is created with; each takes four edits, and a change set holds 4096.
const NEW_ITEMS_MAX: usize = 500;

/// Begins an inspection, perhaps with the checklist of its template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// What is inspected.
    pub subject: String,
    /// For example `Canvass` or `Complaint`.
    pub inspection_type: String,
    /// The template's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How much is at stake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The checklist, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<NewItem>,
}

/// An item of a new inspection's checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewItem {
    /// Its id.
    pub item: EntryId,
    /// What is to be looked at.
    pub prompt: String,
    /// The unit in which it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl NewItem {
    pub(super) fn plan(&self, place: Place) -> Plan {
        Plan::new()
            .add_entry("items", &self.item, place)
            .put(format!("items/{}/prompt", self.item), self.prompt.as_str())
            .put_some(format!("items/{}/unit", self.item), self.unit.as_deref())
    }
}

impl Action for Create {
    type Model = InspectionModel;
    const NAME: &'static str = "create";
    const SUMMARY: &'static str = "Begins an inspection, perhaps with the checklist of its template.";

    fn example() -> Self {
        let item = |number: u64, prompt: &str, unit: Option<&str>| NewItem {
            item: EntryId::numbered(number),
            prompt: prompt.to_owned(),
            unit: unit.map(str::to_owned),
        };
        Self {
            subject: "Cafe Sushi-Wells".to_owned(),
            inspection_type: "Canvass".to_owned(),
            template: Some("food-2026.1".to_owned()),
            risk: Some(Risk::High),
            items: vec![
                item(10, "Adequate handwashing sinks, supplied and accessible", None),
                item(22, "Proper cold holding temperatures", Some("°C")),
                item(47, "Contact surfaces cleanable and properly constructed", None),
            ],
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        for (number, NewItem { item, .. }) in self.items.iter().enumerate() {
            if self.items.iter().take(number).any(|earlier| earlier.item == *item) {
                checks.violation(format!("items/{item}"), "is listed twice", "give each item its own id");
            }
        }
        if self.items.len() > NEW_ITEMS_MAX {
            let problem = format!("{} items are too many for one step", self.items.len());
            checks.violation("items", problem, format!("create it with {NEW_ITEMS_MAX}, then use `add_item`"));
        }
    }

    fn plan(&self) -> Plan {
        let plan = Plan::new()
            .put("subject/name", self.subject.as_str())
            .put("inspection_type", self.inspection_type.as_str())
            .put_some("template", self.template.as_deref())
            .put_some("risk", self.risk.map(Code::name));
        self.items.iter().fold(plan, |plan, item| plan.then(item.plan(Place::Last)))
    }
}

/// Changes what is inspected, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSubject {
    /// Its name.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub name: Change<String>,
    /// What kind of subject it is, for example `Restaurant`.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub category: Change<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub address: Change<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub coordinates: Change<Coordinates>,
}

/// A place on earth, WGS 84, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// From -90 (south) to 90 (north).
    pub latitude: Amount,
    /// From -180 (west) to 180 (east).
    pub longitude: Amount,
}

impl Action for SetSubject {
    type Model = InspectionModel;
    const NAME: &'static str = "set_subject";
    const SUMMARY: &'static str = "Changes what is inspected, and where it is.";

    fn example() -> Self {
        let coordinates = Amount::parse("41.90692").zip(Amount::parse("-87.63472"));
        let coordinates = coordinates.map(|(latitude, longitude)| Coordinates { latitude, longitude });
        Self {
            address: Change::Set("1342 N Wells St".to_owned()),
            category: Change::Set("Restaurant".to_owned()),
            coordinates: coordinates.map_or(Change::Keep, Change::Set),
            ..Self::default()
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "name, category, address, coordinates");
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .change("subject/name", &self.name)
            .change("subject/category", &self.category)
            .change("subject/address", &self.address)
            .change("subject/latitude", &self.coordinates.map(|place| place.latitude))
            .change("subject/longitude", &self.coordinates.map(|place| place.longitude))
    }
}

/// Changes the kind of visit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDetails {
    /// The template's name and version.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub template: Change<String>,
    /// For example `Canvass` or `Complaint`.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub inspection_type: Change<String>,
    /// How much is at stake.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub risk: Change<Risk>,
}

impl Action for SetDetails {
    type Model = InspectionModel;
    const NAME: &'static str = "set_details";
    const SUMMARY: &'static str = "Changes template, inspection type or risk.";

    fn example() -> Self {
        Self { risk: Change::Set(Risk::Medium), ..Self::default() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "template, inspection_type, risk");
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .change("template", &self.template)
            .change("inspection_type", &self.inspection_type)
            .change("risk", &self.risk.map(|risk| risk.name()))
    }
}

/// Sets the date, or moves it while the visit has not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When.
    pub at: Timestamp,
    /// By whom.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub assignee: Change<String>,
}

impl Action for Schedule {
    type Model = InspectionModel;
    const NAME: &'static str = "schedule";
    const SUMMARY: &'static str = "Sets the date, or moves it while the visit has not begun.";

    fn example() -> Self {
        Self { at: Timestamp::from_clock(1_772_789_400_000), assignee: Change::Set("Ada Okafor".to_owned()) }
    }

    fn plan(&self) -> Plan {
        Plan::new().put("scheduled_at", self.at).change("assignee", &self.assignee)
    }
}

/// Gives the inspection to somebody, or to nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// Who; null for nobody.
    pub assignee: Change<String>,
}

impl Action for Assign {
    type Model = InspectionModel;
    const NAME: &'static str = "assign";
    const SUMMARY: &'static str = "Gives the inspection to somebody, or to nobody.";

    fn example() -> Self {
        Self { assignee: Change::Set("Kim Sørensen".to_owned()) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "assignee");
    }

    fn plan(&self) -> Plan {
        Plan::new().change("assignee", &self.assignee)
    }
}

/// Begins the visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {}

impl Action for Start {
    type Model = InspectionModel;
    const NAME: &'static str = "start";
    const SUMMARY: &'static str = "Begins the visit.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }
}
