//! Schemas: what the documents of a kind hold, as data.
//!
//! A schema binds the *author*: a transaction refuses a write that breaks it. Receivers never refuse anything because
//! of a schema; they keep what they are given, unknown paths too, and show [`Schema::violations`] of the merged state.
//! So replicas of different versions agree.

use crate::kinds::decode::{JsonError, from_json};
use crate::kinds::entries::entries;
use crate::kinds::intent::Violation;
use crate::kinds::pattern::{Pattern, PatternIndex};
use crate::kinds::rule::{FieldRule, FieldType, RuleFault};
use crate::state::State;
use changeset::{Kind, Path, Value};
use serde::{Deserialize, Serialize};

/// The fields of one kind of document. In JSON:
///
/// ```
/// let schema = crdt::Schema::from_json(r#"{
///     "kind": "meter-reading",
///     "version": 1,
///     "fields": [
///         { "pattern": "meter", "type": "string", "required": true, "max_length": 40 },
///         { "pattern": "readings/*/.", "type": "marker" },
///         { "pattern": "readings/*/value", "type": "decimal", "min": "0", "unit": "kWh", "required": true }
///     ]
/// }"#)?;
/// assert_eq!(schema.version(), 1);
/// # Ok::<(), crdt::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SchemaSource", into = "SchemaSource")]
pub struct Schema {
    kind: Kind,
    version: u32,
    fields: Vec<FieldRule>,
    /// The compiled patterns, one for each field.
    patterns: Vec<Pattern>,
    index: PatternIndex,
}

/// A schema as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaSource {
    kind: String,
    version: u32,
    fields: Vec<FieldRule>,
}

/// Why a schema was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The JSON is no schema.
    #[error("schema, {0}")]
    Json(#[from] JsonError),
    /// The kind is no name of a kind.
    #[error("schema, field `kind`: {kind:?} is no kind; use [a-z][a-z0-9_-]{{0,31}}")]
    BadKind {
        /// What was given.
        kind: String,
    },
    /// Versions count from 1.
    #[error("schema, field `version`: is 0; count versions from 1")]
    VersionZero,
    /// A rule is wrong.
    #[error("schema, field `fields[{number}]`: {pattern:?}: {fault}")]
    Rule {
        /// The rule's number, from 0.
        number: usize,
        /// Its pattern.
        pattern: String,
        /// What is wrong with it.
        fault: RuleFault,
    },
}

impl Schema {
    /// The checked schema.
    ///
    /// # Errors
    /// [`SchemaError`] for the first thing that is wrong.
    pub fn new(kind: Kind, version: u32, fields: Vec<FieldRule>) -> Result<Self, SchemaError> {
        if version == 0 {
            return Err(SchemaError::VersionZero);
        }
        let mut patterns = Vec::with_capacity(fields.len());
        let mut index = PatternIndex::default();
        let fault = |number: usize, rule: &FieldRule, fault: RuleFault| SchemaError::Rule {
            number,
            pattern: rule.pattern.clone(),
            fault,
        };
        for (number, rule) in fields.iter().enumerate() {
            let pattern = rule.compile().map_err(|error| fault(number, rule, error))?;
            let inserted = index.insert(&pattern, number);
            inserted.map_err(|other| fault(number, rule, RuleFault::Duplicate { other }))?;
            patterns.push(pattern);
        }
        for (number, (rule, pattern)) in fields.iter().zip(&patterns).enumerate() {
            let listable = !pattern.ends_in_any() && pattern.markers().all(|marker| index.find(&marker).is_some());
            if rule.required && !listable {
                return Err(fault(number, rule, RuleFault::RequiredWithoutMarker));
            }
        }
        Ok(Self { kind, version, fields, patterns, index })
    }

    /// Reads a schema.
    ///
    /// # Errors
    /// [`SchemaError`], which names the place and the cure.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        from_json::<SchemaSource>(text)?.try_into()
    }

    /// The kind of document.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The version that change sets name.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The rules, in the order given.
    pub fn fields(&self) -> &[FieldRule] {
        &self.fields
    }

    /// The rule for a path; none if the schema does not know the path.
    pub fn rule(&self, path: &str) -> Option<&FieldRule> {
        self.index.lookup(path).and_then(|number| self.fields.get(number))
    }

    /// Whether a path that looks so is the collection of existing or removed entries: `items` where there is a rule
    /// `items/*/.`.
    pub fn is_collection(&self, path: &str) -> bool {
        self.rule(&format!("{path}/x/.")).is_some_and(|rule| rule.field_type == FieldType::Marker)
    }

    /// What stands against putting a value at a path.
    ///
    /// # Errors
    /// The violation: an unknown path, the wrong type, or a value against the rule.
    pub fn check_put(&self, path: &Path, value: &Value) -> Result<(), Violation> {
        self.known(path)?.check_value(path.as_str(), value)
    }

    /// What stands against editing the text at a path.
    ///
    /// # Errors
    /// The violation: an unknown path, or no text field.
    pub fn check_text(&self, path: &Path) -> Result<(), Violation> {
        self.known_as(path, FieldType::Text, "put a value instead")
    }

    /// What stands against adding to the counter at a path.
    ///
    /// # Errors
    /// The violation: an unknown path, or no counter.
    pub fn check_increment(&self, path: &Path) -> Result<(), Violation> {
        self.known_as(path, FieldType::Counter, "put a value instead of adding to it")
    }

    fn known(&self, path: &Path) -> Result<&FieldRule, Violation> {
        self.rule(path.as_str()).ok_or_else(|| {
            let problem = format!("is no field of {} documents (schema version {})", self.kind, self.version);
            Violation::new(path.as_str(), problem, "check the spelling, or add a rule for it to the schema")
        })
    }

    fn known_as(&self, path: &Path, wanted: FieldType, cure: &str) -> Result<(), Violation> {
        let found = self.known(path)?.field_type;
        if found == wanted {
            return Ok(());
        }
        Err(Violation::new(path.as_str(), format!("is of type {found}, not {wanted}"), cure))
    }

    /// Everything in a merged state that breaks a rule, sorted by path: shown to people, never a reason to refuse
    /// anything. Unknown paths, and what is left of removed entries, are no violations. Costs one look at every path.
    pub fn violations(&self, state: &dyn State) -> Vec<Violation> {
        let mut found = Vec::new();
        for path in state.paths("") {
            let Some(rule) = self.rule(path.as_str()) else { continue };
            if self.in_removed_entry(state, path.as_str()) {
                continue;
            }
            let value = state.value(&path).map(|value| rule.check_value(path.as_str(), &value));
            found.extend(value.and_then(Result::err));
            if let Some(text) = state.text(&path) {
                found.extend(self.check_text(&path).and_then(|()| rule.check_text(path.as_str(), &text)).err());
            }
        }
        for (rule, pattern) in self.fields.iter().zip(&self.patterns).filter(|(rule, _)| rule.required) {
            for text in pattern.expand(&mut |collection| entries(state, collection)) {
                // Where a better fitting rule is in force, that one decides.
                let in_force = self.rule(&text).is_some_and(|other| core::ptr::eq(other, rule));
                let path = Path::new(&text).ok().filter(|_| in_force);
                let is_text = rule.field_type == FieldType::Text;
                let missing =
                    |path: &Path| if is_text { state.text(path).is_none() } else { state.value(path).is_none() };
                if path.as_ref().is_some_and(missing) {
                    found.push(rule.missing(&text));
                }
            }
        }
        found.sort();
        found
    }

    /// Whether the path lies in an entry whose marker is not visible.
    pub(crate) fn in_removed_entry(&self, state: &dyn State, path: &str) -> bool {
        path.match_indices('/').filter_map(|(end, _)| path.get(..end)).any(|entry| {
            let marker = format!("{entry}/.");
            let is_marker = self.rule(&marker).is_some_and(|rule| rule.field_type == FieldType::Marker);
            is_marker && Path::new(&marker).is_ok_and(|marker| state.value(&marker).is_none())
        })
    }
}

impl TryFrom<SchemaSource> for Schema {
    type Error = SchemaError;

    fn try_from(source: SchemaSource) -> Result<Self, SchemaError> {
        let kind = Kind::new(&source.kind).map_err(|_| SchemaError::BadKind { kind: source.kind })?;
        Self::new(kind, source.version, source.fields)
    }
}

impl From<Schema> for SchemaSource {
    fn from(schema: Schema) -> Self {
        Self { kind: schema.kind.as_str().to_owned(), version: schema.version, fields: schema.fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;
    use changeset::{Attachment, Decimal};

    const VISIT: &str = r#"{"kind": "visit", "version": 2, "fields": [
        {"pattern": "status", "type": "string", "required": true, "one_of": ["open", "done"], "title": "Status"},
        {"pattern": "price", "type": "decimal", "min": "0.10", "max": 100, "unit": "EUR"},
        {"pattern": "count", "type": "int", "nullable": true, "min": -1},
        {"pattern": "ratio", "type": "float", "max": "0.5"},
        {"pattern": "at", "type": "timestamp"},
        {"pattern": "seen", "type": "counter", "min": 0},
        {"pattern": "key", "type": "bytes", "max_length": 2},
        {"pattern": "note", "type": "text", "max_length": 5},
        {"pattern": "items/*/.", "type": "marker"},
        {"pattern": "items/*/prompt", "type": "string", "required": true, "max_length": 4},
        {"pattern": "items/*/ok", "type": "bool"},
        {"pattern": "items/*/files/*", "type": "attachment"}
    ]}"#;

    fn schema() -> Schema {
        Schema::from_json(VISIT).unwrap()
    }

    fn put(path: &str, value: impl Into<Value>) -> String {
        match schema().check_put(&Path::new(path).unwrap(), &value.into()) {
            Ok(()) => String::new(),
            Err(violation) => violation.to_string(),
        }
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(Decimal::parse(text).unwrap())
    }

    #[test]
    fn a_put_is_held_to_its_rule() {
        for (path, value) in [
            ("status", Value::from("done")),
            ("price", decimal("0.1")),
            ("price", decimal("100.000000000000000")),
            ("price", Value::Int(7)),
            ("count", Value::Null),
            ("count", Value::Int(-1)),
            ("ratio", Value::Float(0.5)),
            ("at", Value::Timestamp(-1)),
            ("seen", Value::Counter(0)),
            ("key", Value::Bytes(vec![1, 2])),
            ("items/7/.", Value::Bool(true)),
            ("items/7/prompt", Value::from("ñandú"[..5].to_owned())),
            (
                "items/7/files/0b3f",
                Value::Attachment(Attachment { hash: [0; 32], length: 1, media_type: "a/b".into() }),
            ),
        ] {
            assert_eq!(put(path, value.clone()), "", "{path} {value:?}");
        }
        for (path, value, message) in [
            ("status", Value::from("closed"), "status: is \"closed\"; write one of open, done"),
            ("status", Value::from(" "), "status: is missing; write a string (Status)"),
            ("status", Value::Null, "status: is null; write a string"),
            (
                "price",
                decimal("0.0999999999999999"),
                "price: 0.0999999999999999 is out of range; write a number from 0.10 to 100 EUR",
            ),
            ("price", decimal("100.01"), "price: 100.01 is out of range; write a number from 0.10 to 100 EUR"),
            ("price", Value::Float(1.0), "price: is a float; write a decimal such as 12.50"),
            ("count", Value::Int(-2), "count: -2 is out of range; write at least -1"),
            ("count", decimal("1"), "count: is a decimal; write a whole number"),
            ("ratio", Value::Float(0.51), "ratio: 0.51 is out of range; write at most 0.5"),
            ("ratio", Value::Float(f64::NAN), "ratio: NaN is out of range; write at most 0.5"),
            (
                "at",
                Value::Timestamp(i64::MAX),
                "at: 9223372036854775807 ms is outside the years 0000 to 9999; write milliseconds since 1970",
            ),
            ("seen", Value::Int(1), "seen: is an int; write a counter"),
            ("key", Value::Bytes(vec![0; 3]), "key: has 3 bytes; shorten it to 2"),
            ("note", Value::from("x"), "note: is a text, but a string was put there; edit the text"),
            ("items/7/.", Value::Bool(false), "items/7/.: is a bool; write true, by adding an entry"),
            ("items/7/prompt", Value::from("ñandú"), "items/7/prompt: has 5 characters; shorten it to 4"),
            (
                "items/7/promt",
                Value::from("x"),
                "items/7/promt: is no field of visit documents (schema version 2); check the spelling, or add a rule for it to the schema",
            ),
        ] {
            assert_eq!(put(path, value), message);
        }
    }

    #[test]
    fn texts_and_counters_take_only_their_own_edits() {
        let (note, seen) = (Path::new("note").unwrap(), Path::new("seen").unwrap());
        assert_eq!(schema().check_text(&note), Ok(()));
        assert_eq!(schema().check_increment(&seen), Ok(()));
        let violation = schema().check_text(&seen).unwrap_err();
        assert_eq!(violation.to_string(), "seen: is of type counter, not text; put a value instead");
        assert!(schema().check_increment(&note).is_err());
        assert!(schema().check_text(&Path::new("unknown").unwrap()).is_err());
    }

    #[test]
    fn a_merged_state_is_shown_with_all_its_violations() {
        let mut state = Fake::default();
        state.set("price", decimal("200"));
        state.set("unknown/path", 1);
        state.write("note", "much too long");
        state.write("ratio", "text in a float");
        state.set("items/1/.", true);
        state.set("items/1/ok", "yes");
        state.set("items/2/.", true);
        state.set("items/2/prompt", "why");
        state.set("items/gone/prompt", "removed, and too long");
        state.set("items/gone/files/x", 1);
        let found: Vec<String> = schema().violations(&state).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "items/1/ok: is a string; write true or false",
                "items/1/prompt: is missing; write a string",
                "note: has 13 characters; shorten it to 5",
                "price: 200 is out of range; write a number from 0.10 to 100 EUR",
                "ratio: is of type float, not text; put a value instead",
                "status: is missing; write a string (Status)",
            ]
        );
        assert!(schema().is_collection("items") && !schema().is_collection("items/1/files"));
    }

    #[test]
    fn a_schema_comes_back_from_its_json() {
        let json = serde_json::to_string(&schema()).unwrap();
        assert_eq!(Schema::from_json(&json), Ok(schema()));
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema());
    }

    #[test]
    fn a_bad_schema_is_refused_with_place_and_cure() {
        let error = |fields: &str| {
            Schema::from_json(&format!(r#"{{"kind": "x", "version": 1, "fields": [{fields}]}}"#))
                .unwrap_err()
                .to_string()
        };
        for (fields, message) in [
            (r#"{"pattern": "a"}"#, "schema, line 1, column 55, field `fields[0]`: missing field `type`"),
            (
                r#"{"pattern": "a", "type": "txt"}"#,
                "field `fields[0].type`: unknown variant `txt`, expected one of `bool`",
            ),
            (r#"{"pattern": "a", "type": "int", "mim": 1}"#, "unknown field `mim`, expected one of `pattern`"),
            (r#"{"pattern": "a", "type": "int", "min": 1.5}"#, "field `fields[0].min`: invalid type: floating point"),
            (r#"{"pattern": "a/b*", "type": "int"}"#, "field `fields[0]`: \"a/b*\": is no pattern; join"),
            (
                r#"{"pattern": "a", "type": "int"}, {"pattern": "a", "type": "int"}"#,
                "`fields[1]`: \"a\": has a rule already, fields[0]",
            ),
            (r#"{"pattern": "a/*/.", "type": "bool"}"#, "exactly if its type is marker"),
            (r#"{"pattern": "a", "type": "marker"}"#, "exactly if its type is marker"),
            (
                r#"{"pattern": "a", "type": "text", "nullable": true}"#,
                "`nullable` does not apply to fields of type text",
            ),
            (r#"{"pattern": "a", "type": "bool", "one_of": ["x"]}"#, "`one_of` does not apply to fields of type bool"),
            (r#"{"pattern": "a", "type": "int", "min": 2, "max": "1.99"}"#, "min 2 is above max 1.99; swap them"),
            (r#"{"pattern": "a/*/b", "type": "int", "required": true}"#, "`required` needs a last segment"),
            (r#"{"pattern": "a/*", "type": "int", "required": true}"#, "`required` needs a last segment"),
        ] {
            let message_found = error(fields);
            assert!(message_found.contains(message), "{message_found}");
        }
        let bad_kind = Schema::from_json(r#"{"kind": "X", "version": 1, "fields": []}"#).unwrap_err();
        assert_eq!(bad_kind.to_string(), "schema, field `kind`: \"X\" is no kind; use [a-z][a-z0-9_-]{0,31}");
        let zero = Schema::from_json(r#"{"kind": "x", "version": 0, "fields": []}"#);
        assert_eq!(zero, Err(SchemaError::VersionZero));
    }
}
