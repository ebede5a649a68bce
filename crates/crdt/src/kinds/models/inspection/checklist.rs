//! The checklist: its items, and what is found at each.

use super::planning::NewItem;
use super::{InspectionModel, Outcome, Severity};
use crate::{Action, Amount, Change, Checks, Code, ContentHash, EntryId, FileRef, Place, Plan, TextEdit};
use serde::{Deserialize, Serialize};

/// The path of an item's field.
fn at(item: &EntryId, field: &str) -> String {
    format!("items/{item}/{field}")
}

fn example_item() -> EntryId {
    EntryId::numbered(22)
}

/// Adds an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddItem {
    /// Its id.
    pub item: EntryId,
    /// What is to be looked at.
    pub prompt: String,
    /// The unit in which it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Where it goes; last, if left out.
    #[serde(default, skip_serializing_if = "Place::is_last")]
    pub place: Place,
}

impl Action for AddItem {
    type Model = InspectionModel;
    const NAME: &'static str = "add_item";
    const SUMMARY: &'static str = "Adds an item to the checklist.";

    fn example() -> Self {
        Self {
            item: EntryId::numbered(55),
            prompt: "Floors, walls and ceilings clean and in good repair".to_owned(),
            unit: None,
            place: Place::After(example_item()),
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.no_entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        let item = NewItem { item: self.item.clone(), prompt: self.prompt.clone(), unit: self.unit.clone() };
        item.plan(self.place.clone())
    }
}

/// Changes what is to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPrompt {
    /// The item.
    pub item: EntryId,
    /// The new prompt.
    pub prompt: String,
}

impl Action for SetPrompt {
    type Model = InspectionModel;
    const NAME: &'static str = "set_prompt";
    const SUMMARY: &'static str = "Changes the prompt of an item.";

    fn example() -> Self {
        Self { item: EntryId::numbered(55), prompt: "Floors and walls clean".to_owned() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        Plan::new().put(at(&self.item, "prompt"), self.prompt.as_str())
    }
}

/// Moves an item within the checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveItem {
    /// The item.
    pub item: EntryId,
    /// Where it goes.
    pub place: Place,
}

impl Action for MoveItem {
    type Model = InspectionModel;
    const NAME: &'static str = "move_item";
    const SUMMARY: &'static str = "Moves an item within the checklist.";

    fn example() -> Self {
        Self { item: EntryId::numbered(55), place: Place::First }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        Plan::new().move_entry("items", &self.item, self.place.clone())
    }
}

/// Removes an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveItem {
    /// The item.
    pub item: EntryId,
}

impl Action for RemoveItem {
    type Model = InspectionModel;
    const NAME: &'static str = "remove_item";
    const SUMMARY: &'static str = "Removes an item from the checklist; what was written in it is kept out of sight.";

    fn example() -> Self {
        Self { item: EntryId::numbered(55) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        Plan::new().remove_entry("items", &self.item)
    }
}

/// Brings a removed item back, with everything that was written in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreItem {
    /// The item.
    pub item: EntryId,
}

impl Action for RestoreItem {
    type Model = InspectionModel;
    const NAME: &'static str = "restore_item";
    const SUMMARY: &'static str = "Brings a removed item back, with everything that was written in it.";

    fn example() -> Self {
        Self { item: EntryId::numbered(55) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.removed_entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        Plan::new().restore_entry("items", &self.item)
    }
}

/// Records what an item came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordOutcome {
    /// The item.
    pub item: EntryId,
    /// What it came to; null takes it back.
    pub outcome: Change<Outcome>,
    /// How bad it is, where it failed.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub severity: Change<Severity>,
}

impl Action for RecordOutcome {
    type Model = InspectionModel;
    const NAME: &'static str = "record_outcome";
    const SUMMARY: &'static str = "Records what an item came to, and how bad it is.";

    fn example() -> Self {
        Self { item: example_item(), outcome: Change::Set(Outcome::Fail), severity: Change::Set(Severity::Major) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
        if self.severity.set().is_some() && self.outcome != Change::Set(Outcome::Fail) {
            let cure = "leave the severity out, or record the outcome fail";
            checks.violation(at(&self.item, "severity"), "only a failed item has a severity", cure);
        }
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .change(at(&self.item, "outcome"), &self.outcome.map(|outcome| outcome.name()))
            .change(at(&self.item, "severity"), &self.severity.map(|severity| severity.name()))
    }
}

/// Records how bad a failed item is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSeverity {
    /// The item.
    pub item: EntryId,
    /// How bad; null takes it back.
    pub severity: Change<Severity>,
}

impl Action for SetSeverity {
    type Model = InspectionModel;
    const NAME: &'static str = "set_severity";
    const SUMMARY: &'static str = "Records how bad a failed item is.";

    fn example() -> Self {
        Self { item: example_item(), severity: Change::Set(Severity::Critical) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
        let outcome = checks.fields().code::<Outcome>(&at(&self.item, "outcome"));
        if self.severity.set().is_some() && outcome != Some(Outcome::Fail) {
            let cure = "first `record_outcome` with fail";
            checks.violation(at(&self.item, "severity"), "only a failed item has a severity", cure);
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().change(at(&self.item, "severity"), &self.severity.map(|severity| severity.name()))
    }
}

/// Records a measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The item.
    pub item: EntryId,
    /// What was read; null takes it back.
    pub reading: Change<Reading>,
}

/// A measured value; the digits are kept as they were read, 71.0 stays 71.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The value.
    pub value: Amount,
    /// Its unit, for example `°C`; `1` for a bare number.
    pub unit: String,
}

impl Action for Measure {
    type Model = InspectionModel;
    const NAME: &'static str = "measure";
    const SUMMARY: &'static str = "Records a measured value with its unit.";

    fn example() -> Self {
        let value = Amount::from(changeset::Decimal { mantissa: 71, scale: 1 });
        Self { item: example_item(), reading: Change::Set(Reading { value, unit: "°C".to_owned() }) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
        if self.reading.set().is_some_and(|reading| reading.unit.trim().is_empty()) {
            checks.violation(at(&self.item, "unit"), "is missing", "write the unit, or 1 for a bare number");
        }
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .change(at(&self.item, "measured"), &self.reading.map(|reading| reading.value))
            .change(at(&self.item, "unit"), &self.reading.map(|reading| reading.unit.clone()))
    }
}

/// Edits the note of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditNote {
    /// The item.
    pub item: EntryId,
    /// The change.
    pub edit: TextEdit,
}

impl Action for EditNote {
    type Model = InspectionModel;
    const NAME: &'static str = "edit_note";
    const SUMMARY: &'static str = "Edits the note of an item.";

    fn example() -> Self {
        Self { item: example_item(), edit: TextEdit::Append("Door seal of the left cooler is torn.".to_owned()) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
    }

    fn plan(&self) -> Plan {
        Plan::new().text(at(&self.item, "note"), self.edit.clone())
    }
}

/// Attaches a file to an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The item.
    pub item: EntryId,
    /// The file.
    pub file: FileRef,
}

fn attachment(item: &EntryId, hash: ContentHash) -> String {
    at(item, &format!("attachments/{}", hash.short()))
}

impl Action for Attach {
    type Model = InspectionModel;
    const NAME: &'static str = "attach";
    const SUMMARY: &'static str = "Attaches a photo or another file to an item.";

    fn example() -> Self {
        let hash = ContentHash::from_bytes([0x0b; 32]);
        Self { item: example_item(), file: FileRef { hash, length: 183_204, media_type: "image/jpeg".to_owned() } }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
        if !self.file.has_media_type() {
            let problem = format!("{:?} is no media type", self.file.media_type);
            checks.violation(attachment(&self.item, self.file.hash), problem, "write one such as image/jpeg");
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().put(attachment(&self.item, self.file.hash), self.file.clone())
    }
}

/// Takes a file off an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The item.
    pub item: EntryId,
    /// The hash of the file's content.
    pub hash: ContentHash,
}

impl Action for Detach {
    type Model = InspectionModel;
    const NAME: &'static str = "detach";
    const SUMMARY: &'static str = "Takes a file off an item.";

    fn example() -> Self {
        Self { item: example_item(), hash: ContentHash::from_bytes([0x0b; 32]) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("items", &self.item);
        checks.present(&attachment(&self.item, self.hash), "name a file that is attached to this item");
    }

    fn plan(&self) -> Plan {
        Plan::new().delete(attachment(&self.item, self.hash))
    }
}

#[cfg(test)]
mod tests {
    // Not `super::*`: `Action` and `Intent` share names.
    use super::{
        AddItem, Attach, Detach, EditNote, Measure, MoveItem, Reading, RecordOutcome, RemoveItem, RestoreItem,
    };
    use super::{SetPrompt, SetSeverity, example_item};
    use crate::inspection::{Inspection, Outcome, Severity};
    use crate::kinds::fake::Fake;
    use crate::{Amount, Change, EntryId, FileRef, Intent, Place, Violation};

    fn started() -> Fake {
        let mut state = Fake::default();
        state.set("status", "in_progress");
        for (id, position) in [("22", "i0"), ("47", "i1")] {
            state.set(&format!("items/{id}/."), true);
            state.set(&format!("items/{id}/position"), position);
            state.set(&format!("items/{id}/prompt"), "look");
        }
        state
    }

    fn refused(intent: &impl Intent, state: &Fake) -> Vec<String> {
        intent.validate(state).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn all_violations_come_at_once_with_path_and_cure() {
        let mut state = started();
        state.set("status", "submitted");
        let intent = RecordOutcome {
            item: EntryId::numbered(99),
            outcome: Change::Set(Outcome::Pass),
            severity: Change::Set(Severity::Minor),
        };
        assert_eq!(
            refused(&intent, &state),
            [
                "status: `record_outcome` is not possible while submitted; first `reopen`",
                "items/99: does not exist; add it first, or name another entry",
                "items/99/severity: only a failed item has a severity; leave the severity out, or record the outcome fail",
            ]
        );
        let file = FileRef { media_type: "jpeg".into(), ..Attach::example().file };
        let violations = refused(&Attach { item: EntryId::numbered(99), file }, &state);
        assert_eq!(violations.len(), 3, "{violations:?}");
    }

    #[test]
    fn what_is_recorded_is_read_back_in_checklist_order() {
        let mut state = started();
        let item = example_item;
        RecordOutcome::example().apply(&mut state).unwrap();
        Measure::example().apply(&mut state).unwrap();
        EditNote::example().apply(&mut state).unwrap();
        Attach::example().apply(&mut state).unwrap();
        MoveItem { item: item(), place: Place::Last }.apply(&mut state).unwrap();
        AddItem { place: Place::First, ..AddItem::example() }.apply(&mut state).unwrap();
        let read = Inspection::read(&state);
        let ids: Vec<&str> = read.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["55", "47", "22"]);
        let last = read.items.last().unwrap();
        assert_eq!((last.outcome, last.severity), (Some(Outcome::Fail), Some(Severity::Major)));
        let measured = last.reading.as_ref().map(|reading| format!("{} {}", reading.value, reading.unit));
        assert_eq!(measured.as_deref(), Some("7.1 °C"));
        assert_eq!(last.note.as_deref(), Some("Door seal of the left cooler is torn."));
        assert_eq!(last.attachments.iter().map(|file| file.length).collect::<Vec<_>>(), [183_204]);

        assert!(refused(&Detach::example(), &state).is_empty());
        Detach::example().apply(&mut state).unwrap();
        assert_eq!(
            refused(&Detach::example(), &state),
            ["items/22/attachments/0b0b0b0b0b0b0b0b: is missing; name a file that is attached to this item"]
        );
        RecordOutcome { item: item(), outcome: Change::Clear, severity: Change::Clear }.apply(&mut state).unwrap();
        Measure { item: item(), reading: Change::Clear }.apply(&mut state).unwrap();
        RemoveItem { item: EntryId::numbered(47) }.apply(&mut state).unwrap();
        let read = Inspection::read(&state);
        assert_eq!((read.items.len(), read.items.last().and_then(|item| item.outcome)), (2, None));
        let restore = RestoreItem { item: EntryId::numbered(47) };
        assert!(refused(&restore, &state).is_empty());
        assert_eq!(refused(&RestoreItem { item: item() }, &state), ["items/22: is not removed; name a removed entry"]);
        assert_eq!(read.items.last().and_then(|item| item.reading.clone()), None);
    }

    #[test]
    fn a_removed_item_takes_no_more_and_its_id_is_not_reused() {
        let mut state = started();
        state.unset("items/22/.");
        assert_eq!(
            refused(&SetSeverity::example(), &state),
            [
                "items/22: was removed; restore it, or name another entry",
                "items/22/severity: only a failed item has a severity; first `record_outcome` with fail",
            ]
        );
        let again = AddItem { item: example_item(), place: Place::Last, ..AddItem::example() };
        assert!(refused(&again, &state).first().is_some_and(|first| first.contains("existed before and was removed")));
    }

    #[test]
    fn a_measure_needs_a_unit_and_a_prompt_needs_words() {
        let reading = Reading { value: Amount::from(7), unit: " ".into() };
        let intent = Measure { item: example_item(), reading: Change::Set(reading) };
        let missing = "items/22/unit: is missing; write the unit, or 1 for a bare number";
        assert_eq!(refused(&intent, &started()), [missing]);
        let intent = SetPrompt { item: example_item(), prompt: String::new() };
        assert_eq!(refused(&intent, &started()), ["items/22/prompt: is missing; write a string (Prompt)"]);
    }
}
