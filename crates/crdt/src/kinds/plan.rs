//! What an intent writes, as data: checked against the schema before, and recorded as edits.

use crate::kinds::entries::{EntryId, Place, path, place_entry};
use crate::kinds::timestamp::Timestamp;
use crate::state::{EditError, Edits};
use changeset::{Path, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The writes of one intent, in order. Built from what the intent says alone, without looking at the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// One write of a [`Plan`]. Paths are strings here, since parts of them come from callers; they are checked when the
/// plan is checked or applied.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Puts a value.
    Put {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Puts the time of the transaction.
    PutNow {
        /// Where.
        path: String,
    },
    /// Deletes a value.
    Delete {
        /// Where.
        path: String,
    },
    /// Adds to a counter.
    Increment {
        /// The counter.
        path: String,
        /// How much.
        amount: i64,
    },
    /// Changes a text.
    Text {
        /// The text field.
        path: String,
        /// How.
        edit: TextEdit,
    },
    /// Writes an entry's position.
    Place {
        /// The collection.
        collection: String,
        /// The entry.
        id: EntryId,
        /// Where it goes.
        place: Place,
    },
}

impl Plan {
    /// A plan that writes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The writes so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// And puts a value.
    pub fn put(self, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.step(Step::Put { path: path.into(), value: value.into() })
    }

    /// And puts a value if there is one.
    pub fn put_some(self, path: impl Into<String>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.put(path, value),
            None => self,
        }
    }

    /// And puts the time of the transaction.
    pub fn put_now(self, path: impl Into<String>) -> Self {
        self.step(Step::PutNow { path: path.into() })
    }

    /// And keeps, clears or sets a field.
    pub fn change<T: Clone + Into<Value>>(self, path: impl Into<String>, change: &Change<T>) -> Self {
        match change {
            Change::Keep => self,
            Change::Clear => self.delete(path),
            Change::Set(value) => self.put(path, value.clone()),
        }
    }

    /// And deletes a value.
    pub fn delete(self, path: impl Into<String>) -> Self {
        self.step(Step::Delete { path: path.into() })
    }

    /// And adds to a counter.
    pub fn increment(self, path: impl Into<String>, amount: i64) -> Self {
        self.step(Step::Increment { path: path.into(), amount })
    }

    /// And changes a text.
    pub fn text(self, path: impl Into<String>, edit: TextEdit) -> Self {
        self.step(Step::Text { path: path.into(), edit })
    }

    /// And makes an entry exist, at a place.
    pub fn add_entry(self, collection: &str, id: &EntryId, place: Place) -> Self {
        self.put(format!("{collection}/{id}/."), true).move_entry(collection, id, place)
    }

    /// And moves an entry.
    pub fn move_entry(self, collection: &str, id: &EntryId, place: Place) -> Self {
        self.step(Step::Place { collection: collection.to_owned(), id: id.clone(), place })
    }

    /// And removes an entry: its marker alone, so that what others wrote into it meanwhile is kept.
    pub fn remove_entry(self, collection: &str, id: &EntryId) -> Self {
        self.delete(format!("{collection}/{id}/."))
    }

    /// And makes a removed entry exist again, at its old place.
    pub fn restore_entry(self, collection: &str, id: &EntryId) -> Self {
        self.put(format!("{collection}/{id}/."), true)
    }

    /// And the writes of another plan.
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Records the writes.
    ///
    /// # Errors
    /// The first [`EditError`]; what was recorded before stays in the transaction, which the caller should drop.
    pub fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
        for step in &self.steps {
            match step {
                Step::Put { path: to, value } => edits.put(&path(to)?, value.clone())?,
                Step::PutNow { path: to } => {
                    let now = Timestamp::from_clock(edits.now_ms());
                    edits.put(&path(to)?, now.into())?;
                }
                Step::Delete { path: at } => edits.delete(&path(at)?)?,
                Step::Increment { path: at, amount } => edits.increment(&path(at)?, *amount)?,
                Step::Text { path: at, edit } => edit.apply(edits, &path(at)?)?,
                Step::Place { collection, id, place } => place_entry(edits, collection, id.as_str(), place)?,
            }
        }
        Ok(())
    }
}

/// What an intent does to one optional field. In JSON: left out, `null`, or the new value. Only what changes is
/// written, so that two people who change different fields of one address both keep their work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Leaves it as it is. Intents skip it when they are written: `skip_serializing_if = "Change::is_keep"`.
    #[default]
    Keep,
    /// Removes it.
    Clear,
    /// Writes it.
    Set(T),
}

impl<T> Change<T> {
    /// Whether nothing changes.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The new value.
    pub fn set(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }

    /// The change with another form of the value.
    pub fn map<U>(&self, form: impl FnOnce(&T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(form(value)),
        }
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.set().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

/// A change to a text field. Positions and lengths count Unicode code points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TextEdit {
    /// Makes the text read so; what others write meanwhile in the parts that stay is kept.
    Replace(String),
    /// Writes at the end.
    Append(String),
    /// Writes before the character at a position.
    Insert {
        /// How many characters stay before it.
        position: usize,
        /// What is written.
        text: String,
    },
    /// Deletes characters.
    Delete {
        /// How many characters stay before them.
        position: usize,
        /// How many are deleted.
        length: usize,
    },
}

impl TextEdit {
    /// The length of the text after this edit, or the length that the text would need for it to be possible.
    pub(crate) fn length_after(&self, length: usize) -> Result<usize, usize> {
        let added = |text: &String| text.chars().count();
        match self {
            Self::Replace(text) => Ok(added(text)),
            Self::Append(text) => Ok(length.saturating_add(added(text))),
            Self::Insert { position, text } if *position <= length => Ok(length.saturating_add(added(text))),
            Self::Insert { position, .. } => Err(*position),
            Self::Delete { position, length: deleted } => {
                let end = position.saturating_add(*deleted);
                if end <= length { Ok(length - deleted) } else { Err(end) }
            }
        }
    }

    fn apply(&self, edits: &mut dyn Edits, path: &Path) -> Result<(), EditError> {
        match self {
            Self::Replace(text) => edits.replace_text(path, text),
            Self::Append(text) => {
                let end = edits.text(path).map_or(0, |old| old.chars().count());
                edits.insert_text(path, end, text)
            }
            Self::Insert { position, text } => edits.insert_text(path, *position, text),
            Self::Delete { position, length } => edits.delete_text(path, *position, *length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::entries::entries;
    use crate::kinds::fake::Fake;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Address {
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        street: Change<String>,
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        city: Change<String>,
    }

    #[test]
    fn a_change_is_absent_null_or_a_value() {
        for (json, street, city) in [
            ("{}", Change::Keep, Change::Keep),
            (r#"{"street":null}"#, Change::Clear, Change::Keep),
            (r#"{"city":"Oslo"}"#, Change::Keep, Change::Set("Oslo".to_owned())),
        ] {
            let address: Address = serde_json::from_str(json).unwrap();
            assert_eq!(address, Address { street, city });
            assert_eq!(serde_json::to_string(&address).unwrap(), json);
        }
    }

    #[test]
    fn a_plan_writes_in_order() {
        let mut fake = Fake::at(7);
        fake.set("old", "x");
        let id = EntryId::new("7").unwrap();
        let plan = Plan::new()
            .put("picked", Value::Counter(1))
            .increment("picked", 2)
            .put_now("at")
            .change("old", &Change::<String>::Clear)
            .change("kept", &Change::<String>::Keep)
            .put_some("none", None::<&str>)
            .add_entry("items", &id, Place::Last)
            .text("note", TextEdit::Append("añb".into()))
            .then(Plan::new().text("note", TextEdit::Insert { position: 2, text: "–".into() }))
            .text("note", TextEdit::Delete { position: 0, length: 1 });
        plan.apply(&mut fake).unwrap();
        assert_eq!((fake.get("picked"), fake.get("at")), (Some(Value::Counter(3)), Some(Value::Timestamp(7))));
        assert_eq!((fake.get("old"), fake.get("none"), fake.get("kept")), (None, None, None));
        assert_eq!(entries(&fake, "items"), ["7"]);
        assert_eq!(crate::Fields::new(&fake).text("note").as_deref(), Some("ñ–b"));
        Plan::new().remove_entry("items", &id).apply(&mut fake).unwrap();
        assert!(entries(&fake, "items").is_empty() && fake.get("items/7/position").is_some());
        assert!(matches!(Plan::new().put("A", 1).apply(&mut fake), Err(EditError::BadPath { .. })));
    }

    #[test]
    fn the_length_after_an_edit_is_known_before() {
        for (edit, after) in [
            (TextEdit::Replace("ñandú".into()), Ok(5)),
            (TextEdit::Append("é".into()), Ok(4)),
            (TextEdit::Insert { position: 3, text: "ab".into() }, Ok(5)),
            (TextEdit::Insert { position: 4, text: "ab".into() }, Err(4)),
            (TextEdit::Delete { position: 1, length: 2 }, Ok(1)),
            (TextEdit::Delete { position: 1, length: 3 }, Err(4)),
            (TextEdit::Delete { position: usize::MAX, length: 2 }, Err(usize::MAX)),
        ] {
            assert_eq!(edit.length_after(3), after, "{edit:?}");
        }
    }
}
