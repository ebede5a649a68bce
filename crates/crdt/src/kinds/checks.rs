//! Collecting everything that stands against an intent.

use crate::kinds::entries::{EntryId, Place, entry_exists};
use crate::kinds::fields::Fields;
use crate::kinds::intent::Violation;
use crate::kinds::plan::{Plan, Step, TextEdit};
use crate::kinds::rule::FieldType;
use crate::kinds::schema::Schema;
use crate::state::State;
use changeset::limits::MAX_COUNTER;
use changeset::{Path, Value};
use core::fmt;

/// The violations found so far, and the state that is looked at.
pub struct Checks<'a> {
    state: &'a dyn State,
    found: Vec<Violation>,
}

impl<'a> Checks<'a> {
    /// Nothing found yet.
    pub fn new(state: &'a dyn State) -> Self {
        Self { state, found: Vec::new() }
    }

    /// The state.
    pub fn state(&self) -> &'a dyn State {
        self.state
    }

    /// The state's fields.
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.state)
    }

    /// All violations, each once, in the order found.
    pub fn into_violations(self) -> Vec<Violation> {
        let mut kept: Vec<Violation> = Vec::with_capacity(self.found.len());
        for violation in self.found {
            if !kept.contains(&violation) {
                kept.push(violation);
            }
        }
        kept
    }

    /// Adds one.
    pub fn violation(&mut self, path: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) {
        self.found.push(Violation::new(path, problem, cure));
    }

    /// Adds it if there is one.
    pub fn extend(&mut self, violations: impl IntoIterator<Item = Violation>) {
        self.found.extend(violations);
    }

    /// The entry must exist.
    pub fn entry(&mut self, collection: &str, id: &EntryId) {
        match self.presence(collection, id) {
            Presence::Exists => {}
            Presence::Removed => {
                self.violation(format!("{collection}/{id}"), "was removed", "restore it, or name another entry");
            }
            Presence::Never => {
                let cure = "add it first, or name another entry";
                self.violation(format!("{collection}/{id}"), "does not exist", cure);
            }
        }
    }

    /// The entry must not exist, nor anything that is left of a removed one with this id.
    pub fn no_entry(&mut self, collection: &str, id: &EntryId) {
        match self.presence(collection, id) {
            Presence::Never => {}
            Presence::Exists => {
                self.violation(format!("{collection}/{id}"), "exists already", "change it, or choose another id");
            }
            Presence::Removed => {
                let cure = "restore it, or choose another id";
                self.violation(format!("{collection}/{id}"), "existed before and was removed", cure);
            }
        }
    }

    /// The entry must have been removed.
    pub fn removed_entry(&mut self, collection: &str, id: &EntryId) {
        let problem = match self.presence(collection, id) {
            Presence::Removed => return,
            Presence::Exists => "is not removed",
            Presence::Never => "never existed",
        };
        self.violation(format!("{collection}/{id}"), problem, "name a removed entry");
    }

    fn presence(&self, collection: &str, id: &EntryId) -> Presence {
        if entry_exists(self.state, collection, id.as_str()) {
            Presence::Exists
        } else if self.state.paths(&format!("{collection}/{id}/")).is_empty() {
            Presence::Never
        } else {
            Presence::Removed
        }
    }

    /// The field must hold a value.
    pub fn present(&mut self, path: &str, cure: &str) {
        if self.fields().value(path).is_none_or(|value| value == Value::Null) {
            self.violation(path, "is missing", cure);
        }
    }

    /// The reason must say something, in at most 2000 characters.
    pub fn reason(&mut self, reason: &str) {
        if reason.trim().is_empty() {
            self.violation("reason", "is missing", "write why, in a sentence that others will understand");
        }
        let length = reason.chars().count();
        if length > 2000 {
            self.violation("reason", format!("has {length} characters"), "shorten it to 2000");
        }
    }

    /// An intent that may change several fields must change one.
    pub fn something(&mut self, plan: &Plan, fields: &str) {
        if plan.steps().is_empty() {
            self.violation("", "nothing would change", format!("set at least one of {fields}"));
        }
    }

    /// Every write of the plan must keep to the schema and find what it needs.
    pub fn plan(&mut self, schema: &Schema, plan: &Plan) {
        for step in plan.steps() {
            match step {
                Step::Put { path, value } => self.edit(path, |path, _| schema.check_put(path, value)),
                Step::PutNow { path } => self.edit(path, |path, _| schema.check_put(path, &Value::Timestamp(0))),
                Step::Delete { path } => self.edit(path, |path, _| match schema.rule(path.as_str()) {
                    Some(rule) if rule.required => Err(Violation::new(
                        path.as_str(),
                        "must not be cleared",
                        "write another value, or leave it as it is",
                    )),
                    Some(_) | None => Ok(()),
                }),
                Step::Increment { path, amount } => {
                    self.edit(path, |path, _| {
                        if (-MAX_COUNTER..=MAX_COUNTER).contains(amount) {
                            return schema.check_increment(path);
                        }
                        let problem = format!("{amount} is more than a counter takes at once");
                        Err(Violation::new(path.as_str(), problem, format!("add at most {MAX_COUNTER} either way")))
                    });
                    // A counter that the plan itself puts is there by the time it is added to.
                    let is_put =
                        |step: &Step| matches!(step, Step::Put { path: put, value: Value::Counter(_) } if put == path);
                    if self.fields().counter(path).is_none() && !plan.steps().iter().any(is_put) {
                        self.violation(path, "there is no counter to add to", "add the entry it belongs to first");
                    }
                }
                Step::Text { path, edit } => self.edit(path, |path, state| check_text(schema, path, state, edit)),
                Step::Place { collection, place: Place::After(other), .. } => {
                    let added = format!("{collection}/{other}/.");
                    let is_put = |step: &Step| matches!(step, Step::Put { path, .. } if *path == added);
                    if !plan.steps().iter().any(is_put) {
                        self.entry(collection, other);
                    }
                }
                Step::Place { place: Place::First | Place::Last, .. } => {}
            }
        }
    }

    fn edit(&mut self, text: &str, check: impl FnOnce(&Path, &dyn State) -> Result<(), Violation>) {
        match Path::new(text) {
            Ok(path) => self.found.extend(check(&path, self.state).err()),
            Err(_) => self.violation(text, "is no path", "use segments of a-z 0-9 _ . - joined by /"),
        }
    }
}

/// Whether an entry is there.
enum Presence {
    Exists,
    /// Its marker is gone, what was written in it is not.
    Removed,
    Never,
}

fn check_text(schema: &Schema, path: &Path, state: &dyn State, edit: &TextEdit) -> Result<(), Violation> {
    schema.check_text(path)?;
    let length = state.text(path).map_or(0, |text| text.chars().count());
    let after = edit.length_after(length).map_err(|needed| {
        let problem = format!("has {length} characters, and the edit reaches to {needed}");
        Violation::new(path.as_str(), problem, "read the text again and edit that")
    })?;
    match schema.rule(path.as_str()) {
        Some(rule) if rule.field_type == FieldType::Text => rule.check_text_length(path.as_str(), after),
        Some(_) | None => Ok(()),
    }
}

impl fmt::Debug for Checks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("found", &self.found).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;

    fn schema() -> Schema {
        Schema::from_json(
            r#"{"kind": "x", "version": 1, "fields": [
                {"pattern": "name", "type": "string", "required": true},
                {"pattern": "at", "type": "timestamp"},
                {"pattern": "seen", "type": "counter"},
                {"pattern": "note", "type": "text", "max_length": 5},
                {"pattern": "items/*/.", "type": "marker"},
                {"pattern": "items/*/position", "type": "string"}
            ]}"#,
        )
        .unwrap()
    }

    fn found(state: &Fake, plan: &Plan) -> Vec<String> {
        let mut checks = Checks::new(state);
        checks.plan(&schema(), plan);
        checks.into_violations().iter().map(ToString::to_string).collect()
    }

    fn id(text: &str) -> EntryId {
        EntryId::new(text).unwrap()
    }

    #[test]
    fn a_plan_that_fits_has_no_violations() {
        let mut state = Fake::default();
        state.write("note", "abc");
        let plan = Plan::new()
            .put("name", "x")
            .put_now("at")
            .put("seen", Value::Counter(0))
            .increment("seen", 1)
            .add_entry("items", &id("1"), Place::Last)
            .add_entry("items", &id("2"), Place::After(id("1")))
            .text("note", TextEdit::Append("de".into()));
        assert_eq!(found(&state, &plan), Vec::<String>::new());
    }

    #[test]
    fn every_step_that_does_not_fit_is_named() {
        let mut state = Fake::default();
        state.write("note", "abc");
        let plan = Plan::new()
            .put("name", 7)
            .put("name", 7)
            .put("Name", 7)
            .put_now("name")
            .delete("name")
            .increment("seen", 1 << 40)
            .text("note", TextEdit::Append("def".into()))
            .text("note", TextEdit::Delete { position: 2, length: 2 })
            .move_entry("items", &id("1"), Place::After(id("2")));
        assert_eq!(
            found(&state, &plan),
            [
                "name: is an int; write a string",
                "Name: is no path; use segments of a-z 0-9 _ . - joined by /",
                "name: is a timestamp; write a string",
                "name: must not be cleared; write another value, or leave it as it is",
                "seen: 1099511627776 is more than a counter takes at once; add at most 2147483647 either way",
                "seen: there is no counter to add to; add the entry it belongs to first",
                "note: has 6 characters; shorten it to 5",
                "note: has 3 characters, and the edit reaches to 4; read the text again and edit that",
                "items/2: does not exist; add it first, or name another entry",
            ]
        );
    }

    #[test]
    fn entries_and_reasons_are_looked_at() {
        let mut state = Fake::default();
        state.set("items/1/.", true);
        state.set("items/2/position", "i0");
        state.set("name", Value::Null);
        let mut checks = Checks::new(&state);
        let [one, two, three] = [1, 2, 3].map(EntryId::numbered);
        checks.entry("items", &one);
        checks.no_entry("items", &three);
        checks.removed_entry("items", &two);
        checks.reason("because");
        assert!(checks.found.is_empty());
        checks.entry("items", &two);
        checks.entry("items", &three);
        checks.no_entry("items", &one);
        checks.no_entry("items", &two);
        checks.removed_entry("items", &one);
        checks.removed_entry("items", &three);
        checks.reason(" ");
        checks.reason(&"x".repeat(2001));
        checks.present("name", "name it");
        checks.something(&Plan::new(), "a, b");
        let found: Vec<String> = checks.into_violations().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "items/2: was removed; restore it, or name another entry",
                "items/3: does not exist; add it first, or name another entry",
                "items/1: exists already; change it, or choose another id",
                "items/2: existed before and was removed; restore it, or choose another id",
                "items/1: is not removed; name a removed entry",
                "items/3: never existed; name a removed entry",
                "reason: is missing; write why, in a sentence that others will understand",
                "reason: has 2001 characters; shorten it to 2000",
                "name: is missing; name it",
                "nothing would change; set at least one of a, b",
            ]
        );
    }
}
