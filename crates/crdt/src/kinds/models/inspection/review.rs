//! Concluding an inspection: findings, result, sign-offs, and the review.

use super::{Inspection, InspectionModel, InspectionResult, Outcome};
use crate::{Action, Change, Checks, Code, EntryId, Model, Needs, Plan, TextEdit};
use serde::{Deserialize, Serialize};

/// A review decides about what others wrote: it needs a state of the last day.
const REVIEW: Needs = Needs::FreshState { age_ms_max: 86_400_000 };

/// Edits the findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditFindings {
    /// The change.
    pub edit: TextEdit,
}

impl Action for EditFindings {
    type Model = InspectionModel;
    const NAME: &'static str = "edit_findings";
    const SUMMARY: &'static str = "Edits the findings.";

    fn example() -> Self {
        Self { edit: TextEdit::Replace("Cold holding fails in one cooler; all else in good order.".to_owned()) }
    }

    fn plan(&self) -> Plan {
        Plan::new().text("findings", self.edit.clone())
    }
}

/// Records what the whole visit came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordResult {
    /// The result; null takes it back.
    pub result: Change<InspectionResult>,
}

impl Action for RecordResult {
    type Model = InspectionModel;
    const NAME: &'static str = "record_result";
    const SUMMARY: &'static str = "Records what the whole visit came to.";

    fn example() -> Self {
        Self { result: Change::Set(InspectionResult::PassWithConditions) }
    }

    fn plan(&self) -> Plan {
        Plan::new().change("result", &self.result.map(|result| result.name()))
    }
}

/// Signs the inspection off, at the time of the change set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    /// The sign-off's id.
    pub signoff: EntryId,
    /// Who signs.
    pub person: String,
    /// As what, for example `inspector` or `site manager`.
    pub role: String,
    /// In which words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl Action for SignOff {
    type Model = InspectionModel;
    const NAME: &'static str = "sign_off";
    const SUMMARY: &'static str = "Signs the inspection off.";

    fn example() -> Self {
        Self {
            signoff: EntryId::from_bytes([0x5a; 8]),
            person: "Ada Okafor".to_owned(),
            role: "inspector".to_owned(),
            statement: Some("Seen in person on the day of the visit.".to_owned()),
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.no_entry("signoffs", &self.signoff);
    }

    fn plan(&self) -> Plan {
        let at = |field: &str| format!("signoffs/{}/{field}", self.signoff);
        Plan::new()
            .put(at("."), true)
            .put(at("person"), self.person.as_str())
            .put(at("role"), self.role.as_str())
            .put_some(at("statement"), self.statement.as_deref())
            .put_now(at("at"))
    }
}

/// Hands the inspection in for review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {}

impl Action for Submit {
    type Model = InspectionModel;
    const NAME: &'static str = "submit";
    const SUMMARY: &'static str =
        "Hands the inspection in; needs a result, and after a visit an outcome for every item.";

    fn example() -> Self {
        Self {}
    }

    fn check(&self, checks: &mut Checks<'_>) {
        let inspection = Inspection::read(checks.state());
        checks.present("result", "first `record_result`");
        if inspection.result.is_some_and(InspectionResult::is_of_a_visit) {
            for item in &inspection.items {
                let at = |field: &str| format!("items/{}/{field}", item.id);
                if item.outcome.is_none() {
                    checks.present(&at("outcome"), "first `record_outcome`");
                }
                if item.outcome == Some(Outcome::Fail) && item.severity.is_none() {
                    checks.present(&at("severity"), "first `set_severity`: the item failed");
                }
            }
        }
        if let Ok(schema) = InspectionModel::schema() {
            checks.extend(schema.violations(checks.state()));
        }
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }
}

/// Agrees with a submitted inspection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {}

impl Action for Approve {
    type Model = InspectionModel;
    const NAME: &'static str = "approve";
    const SUMMARY: &'static str = "Agrees with a submitted inspection.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }

    fn needs(&self) -> Needs {
        REVIEW
    }
}

/// Does not agree with a submitted inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Why.
    pub reason: String,
}

impl Action for Reject {
    type Model = InspectionModel;
    const NAME: &'static str = "reject";
    const SUMMARY: &'static str = "Does not agree with a submitted inspection, and says why.";

    fn example() -> Self {
        Self { reason: "The cold holding reading names no cooler.".to_owned() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.reason(&self.reason);
    }

    fn plan(&self) -> Plan {
        Plan::new().put("rejection", self.reason.as_str())
    }

    fn needs(&self) -> Needs {
        REVIEW
    }

    fn reason(&self) -> Option<&str> {
        Some(&self.reason)
    }
}

/// Takes a submitted, decided or closed inspection up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reopen {
    /// Why.
    pub reason: String,
}

impl Action for Reopen {
    type Model = InspectionModel;
    const NAME: &'static str = "reopen";
    const SUMMARY: &'static str = "Takes a submitted, decided or closed inspection up again, and says why.";

    fn example() -> Self {
        Self { reason: "Name the cooler.".to_owned() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.reason(&self.reason);
    }

    fn plan(&self) -> Plan {
        Plan::new().delete("rejection")
    }

    fn needs(&self) -> Needs {
        REVIEW
    }

    fn reason(&self) -> Option<&str> {
        Some(&self.reason)
    }
}

/// Puts a decided inspection away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {}

impl Action for Close {
    type Model = InspectionModel;
    const NAME: &'static str = "close";
    const SUMMARY: &'static str = "Puts a decided inspection away.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }

    fn needs(&self) -> Needs {
        REVIEW
    }
}

#[cfg(test)]
mod tests {
    use super::{Reject, Submit};
    use crate::inspection::definition;
    use crate::inspection::{
        Create, Inspection, InspectionModel, InspectionResult, NewItem, Outcome, RecordOutcome, Stage,
    };
    use crate::kinds::fake::Fake;
    use crate::{Change, EntryId, Intent, Model, Removed, Timestamp, Violation, document_json};

    fn act(state: &mut Fake, name: &str, json: Option<&str>) {
        let definition = definition().unwrap();
        let intent = definition.intent(name).unwrap();
        let intent = json.map_or_else(|| intent.example(), |json| intent.decode(json).unwrap());
        let violations = intent.validate(state);
        assert!(violations.is_empty(), "{intent:?}: {violations:?}");
        intent.apply(state).unwrap();
    }

    /// Every intent of the kind, in an order in which an inspection could see them.
    fn closed() -> Fake {
        let mut state = Fake::at(1_772_793_000_000);
        for name in ["create", "set_subject", "set_details", "add_item", "set_prompt", "move_item", "remove_item"] {
            act(&mut state, name, None);
        }
        for name in ["restore_item", "schedule", "assign", "start", "record_outcome", "set_severity", "measure"] {
            act(&mut state, name, None);
        }
        for name in ["edit_note", "attach", "detach", "edit_findings", "record_result", "sign_off"] {
            act(&mut state, name, None);
        }
        act(&mut state, "remove_item", None);
        act(&mut state, "record_outcome", Some(r#"{"item": "10", "outcome": "pass"}"#));
        act(&mut state, "record_outcome", Some(r#"{"item": "47", "outcome": "not_applicable"}"#));
        for name in ["submit", "reject", "reopen", "submit", "approve", "close"] {
            act(&mut state, name, None);
        }
        state
    }

    #[test]
    fn the_examples_tell_one_inspection_from_draft_to_closed() {
        let state = closed();
        let read = Inspection::read(&state);
        assert_eq!((read.status, read.result), (Some(Stage::Closed), Some(InspectionResult::PassWithConditions)));
        assert_eq!((read.rejection, read.assignee.as_deref()), (None, Some("Kim Sørensen")));
        assert_eq!(read.subject.coordinates.map(|place| place.longitude.to_string()).as_deref(), Some("-87.63472"));
        let items: Vec<(&str, Option<Outcome>)> =
            read.items.iter().map(|item| (item.id.as_str(), item.outcome)).collect();
        let outcomes = [Some(Outcome::Pass), Some(Outcome::Fail), Some(Outcome::NotApplicable)];
        assert_eq!(items, ["10", "22", "47"].into_iter().zip(outcomes).collect::<Vec<_>>());
        let signed = read.signoffs.first().and_then(|signoff| signoff.at);
        assert_eq!(signed, Timestamp::parse("2026-03-06T10:30:00Z"));
        assert_eq!(read.scheduled_at, Timestamp::parse("2026-03-06T09:30:00Z"));
        let schema = InspectionModel::schema().unwrap();
        assert_eq!(schema.violations(&state), []);
        let json = document_json(&state, Some(schema), Removed::Hide);
        assert_eq!(json["items"]["22"]["measured"], "7.1");
        assert_eq!(json["items"]["55"], crate::Json::Null);
    }

    #[test]
    fn submitting_lists_everything_that_is_missing() {
        let mut state = Fake::default();
        Create::example().apply(&mut state).unwrap();
        state.set("status", "in_progress");
        state.set("risk", "extreme");
        let refused =
            |state: &Fake| -> Vec<String> { Submit {}.validate(state).iter().map(Violation::to_string).collect() };
        assert_eq!(
            refused(&state),
            ["result: is missing; first `record_result`", "risk: is \"extreme\"; write one of low, medium, high"]
        );
        state.set("risk", "high");
        state.set("result", "fail");
        RecordOutcome { severity: Change::Keep, ..RecordOutcome::example() }.apply(&mut state).unwrap();
        assert_eq!(
            refused(&state),
            [
                "items/10/outcome: is missing; first `record_outcome`",
                "items/22/severity: is missing; first `set_severity`: the item failed",
                "items/47/outcome: is missing; first `record_outcome`",
            ]
        );
        state.set("result", "no_entry");
        assert_eq!(refused(&state), Vec::<String>::new());
        assert_eq!(Inspection::read(&state).items.len(), 3);
    }

    #[test]
    fn deciding_needs_a_reason_and_the_right_stage() {
        let mut state = closed();
        let reasons = |state: &Fake, reason: &str| -> Vec<String> {
            Reject { reason: reason.into() }.validate(state).iter().map(Violation::to_string).collect()
        };
        assert_eq!(
            reasons(&state, "  "),
            [
                "status: `reject` is not possible while closed; first `reopen`, then `submit`",
                "reason: is missing; write why, in a sentence that others will understand",
            ]
        );
        state.set("status", "submitted");
        assert!(reasons(&state, "no photos").is_empty());
        let reject = Reject { reason: "no photos".into() };
        assert_eq!(Intent::reason(&reject), Some("no photos"));
        reject.apply(&mut state).unwrap();
        assert_eq!(state.string("rejection"), "no photos");
    }

    #[test]
    fn an_inspection_is_created_once_from_a_sound_checklist() {
        let mut create = Create::example();
        create.items.extend(create.items.clone().into_iter().take(1));
        create.subject = "x".repeat(201);
        let mut state = Fake::default();
        state.set("status", "draft");
        let violations: Vec<String> = create.validate(&state).iter().map(Violation::to_string).collect();
        assert_eq!(
            violations,
            [
                "status: the document exists already, with the status draft; open it, or create another",
                "items/10: is listed twice; give each item its own id",
                "subject/name: has 201 characters; shorten it to 200",
            ]
        );
        let item = create.items.first().cloned().unwrap();
        create.items = (0..501).map(|id| NewItem { item: EntryId::numbered(id), ..item.clone() }).collect();
        let violations = create.validate(&Fake::default());
        assert!(violations.iter().any(|violation| violation.cure.contains("then use `add_item`")), "{violations:?}");
    }
}
