//! Kinds of documents with their schemas and intents, found by name.

use crate::kinds::decode::{JsonError, from_json};
use crate::kinds::intent::{Intent, Violation};
use crate::kinds::needs::{Facts, Needs, Permission, permission};
use crate::kinds::schema::Schema;
use crate::state::{EditError, Edits, State};
use changeset::{IntentName, Kind};
use core::fmt;
use std::collections::BTreeMap;

/// Every kind that an app knows. The two models and the app's own kinds enter alike.
#[derive(Clone, Debug, Default)]
pub struct KindRegistry {
    kinds: BTreeMap<Kind, KindDefinition>,
}

/// A schema and the intents on documents of its kind.
#[derive(Clone, Debug)]
pub struct KindDefinition {
    schema: Schema,
    intents: Vec<IntentDefinition>,
}

/// One intent of a kind, without its type.
#[derive(Clone, Copy)]
pub struct IntentDefinition {
    name: &'static str,
    summary: &'static str,
    example: fn() -> AnyIntent,
    decode: fn(&str) -> Result<AnyIntent, JsonError>,
}

/// An intent of any type.
pub struct AnyIntent(Box<dyn Erased>);

/// Why a kind was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Another definition of this kind is registered.
    #[error("the kind {0} is registered already; register it once, or choose another name")]
    DuplicateKind(Kind),
    /// Two intents of the kind have one name.
    #[error("the kind {kind} has two intents named {name:?}; rename one")]
    DuplicateIntent {
        /// The kind.
        kind: Kind,
        /// The name.
        name: &'static str,
    },
    /// An intent's name is none.
    #[error("the kind {kind} has an intent named {name:?}; use [a-z][a-z0-9_]{{0,47}}")]
    BadIntentName {
        /// The kind.
        kind: Kind,
        /// The name.
        name: &'static str,
    },
}

/// Why an intent was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// No such kind is registered.
    #[error("there is no kind {kind:?}; use one of {}", known.join(", "))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The kind has no such intent.
    #[error("{kind} documents have no intent {name:?}; use one of {}", known.join(", "))]
    UnknownIntent {
        /// The kind.
        kind: Kind,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The JSON is no such intent.
    #[error("intent {name}, {error}; for example {example}")]
    Json {
        /// The intent.
        name: &'static str,
        /// What is wrong.
        error: JsonError,
        /// One that would do.
        example: String,
    },
    /// The intent cannot be written as JSON.
    #[error("intent {name} cannot be written as JSON: {problem}")]
    NotJson {
        /// The intent.
        name: &'static str,
        /// What its serialisation said.
        problem: String,
    },
}

impl KindRegistry {
    /// A registry without kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing was added.
    pub fn register(&mut self, definition: KindDefinition) -> Result<(), RegistryError> {
        let kind = definition.schema.kind().clone();
        if self.kinds.contains_key(&kind) {
            return Err(RegistryError::DuplicateKind(kind));
        }
        for (number, IntentDefinition { name, .. }) in definition.intents.iter().enumerate() {
            if IntentName::new(name).is_err() {
                return Err(RegistryError::BadIntentName { kind, name });
            }
            if definition.intents.iter().take(number).any(|earlier| earlier.name == *name) {
                return Err(RegistryError::DuplicateIntent { kind, name });
            }
        }
        self.kinds.insert(kind, definition);
        Ok(())
    }

    /// Every kind, sorted by name.
    pub fn kinds(&self) -> impl Iterator<Item = &KindDefinition> {
        self.kinds.values()
    }

    /// The kind with this name.
    pub fn kind(&self, name: &str) -> Option<&KindDefinition> {
        self.kinds.get(name)
    }

    /// Reads an intent on documents of a kind from JSON.
    ///
    /// # Errors
    /// [`IntentError`], which names what was expected.
    pub fn decode(&self, kind: &str, intent: &str, json: &str) -> Result<AnyIntent, IntentError> {
        let definition = self.kind(kind).ok_or_else(|| IntentError::UnknownKind {
            kind: kind.to_owned(),
            known: self.kinds.keys().map(ToString::to_string).collect(),
        })?;
        definition.decode(intent, json)
    }
}

impl KindDefinition {
    /// A kind without intents yet.
    pub fn new(schema: Schema) -> Self {
        Self { schema, intents: Vec::new() }
    }

    /// And an intent. Names are checked when the kind is registered.
    pub fn with<I: Intent>(mut self) -> Self {
        self.intents.push(IntentDefinition {
            name: I::NAME,
            summary: I::SUMMARY,
            example: || AnyIntent::new(I::example()),
            decode: |json| from_json::<I>(json).map(AnyIntent::new),
        });
        self
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The intents in the order given.
    pub fn intents(&self) -> &[IntentDefinition] {
        &self.intents
    }

    /// The intent with this name.
    pub fn intent(&self, name: &str) -> Option<&IntentDefinition> {
        self.intents.iter().find(|intent| intent.name == name)
    }

    /// Reads an intent from JSON.
    ///
    /// # Errors
    /// [`IntentError`], which names what was expected.
    pub fn decode(&self, intent: &str, json: &str) -> Result<AnyIntent, IntentError> {
        let definition = self.intent(intent).ok_or_else(|| IntentError::UnknownIntent {
            kind: self.schema.kind().clone(),
            name: intent.to_owned(),
            known: self.intents.iter().map(|intent| intent.name).collect(),
        })?;
        definition.decode(json)
    }
}

impl IntentDefinition {
    /// The intent's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// A typical one.
    pub fn example(&self) -> AnyIntent {
        (self.example)()
    }

    /// Reads one from JSON.
    ///
    /// # Errors
    /// [`IntentError::Json`], with the field, what was expected there, and an example.
    pub fn decode(&self, json: &str) -> Result<AnyIntent, IntentError> {
        (self.decode)(json).map_err(|error| IntentError::Json {
            name: self.name,
            error,
            example: self.example().to_json().unwrap_or_default(),
        })
    }
}

impl fmt::Debug for IntentDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntentDefinition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// [`Intent`] as far as it can be called without knowing the type.
trait Erased: Send + Sync {
    fn name(&self) -> &'static str;
    fn needs(&self) -> Needs;
    fn reason(&self) -> Option<&str>;
    fn validate(&self, state: &dyn State) -> Vec<Violation>;
    fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError>;
    fn to_json(&self) -> serde_json::Result<String>;
}

impl<I: Intent> Erased for I {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn needs(&self) -> Needs {
        Intent::needs(self)
    }

    fn reason(&self) -> Option<&str> {
        Intent::reason(self)
    }

    fn validate(&self, state: &dyn State) -> Vec<Violation> {
        Intent::validate(self, state)
    }

    fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
        Intent::apply(self, edits)
    }

    fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl AnyIntent {
    /// An intent whose type no longer matters.
    pub fn new(intent: impl Intent) -> Self {
        Self(Box::new(intent))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// What it needs beyond the local state.
    pub fn needs(&self) -> Needs {
        self.0.needs()
    }

    /// The person's reason.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason()
    }

    /// Everything that stands against it in this state.
    pub fn validate(&self, state: &dyn State) -> Vec<Violation> {
        self.0.validate(state)
    }

    /// Whether it may run now: see [`check`](crate::check).
    pub fn check(&self, state: &dyn State, facts: &Facts) -> Permission {
        permission(self.needs(), || self.validate(state), facts)
    }

    /// Records its edits.
    ///
    /// # Errors
    /// [`EditError`] of the transaction, which must then be dropped.
    pub fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
        self.0.apply(edits)
    }

    /// Its JSON, which [`IntentDefinition::decode`] reads.
    ///
    /// # Errors
    /// [`IntentError::NotJson`] if its type has no JSON form, such as a map with keys that are no strings.
    pub fn to_json(&self) -> Result<String, IntentError> {
        let json = self.0.to_json();
        json.map_err(|error| IntentError::NotJson { name: self.name(), problem: error.to_string() })
    }
}

impl fmt::Debug for AnyIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.to_json().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;
    use changeset::Path;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rename {
        name: String,
    }

    impl Intent for Rename {
        const NAME: &'static str = "rename";
        const SUMMARY: &'static str = "Gives it a name.";

        fn example() -> Self {
            Self { name: "Harbour crane 7".into() }
        }

        fn needs(&self) -> Needs {
            Needs::Online
        }

        fn validate(&self, _: &dyn State) -> Vec<Violation> {
            if self.name.is_empty() { vec![Violation::new("name", "is empty", "write one")] } else { Vec::new() }
        }

        fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
            edits.put(&Path::new("name").unwrap(), self.name.as_str().into())
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct BadName;

    impl Intent for BadName {
        const NAME: &'static str = "Bad name";
        const SUMMARY: &'static str = "";

        fn example() -> Self {
            Self
        }

        fn validate(&self, _: &dyn State) -> Vec<Violation> {
            Vec::new()
        }

        fn apply(&self, _: &mut dyn Edits) -> Result<(), EditError> {
            Ok(())
        }
    }

    fn thing() -> KindDefinition {
        KindDefinition::new(Schema::from_json(r#"{"kind": "thing", "version": 1, "fields": []}"#).unwrap())
    }

    fn registry() -> KindRegistry {
        let mut registry = KindRegistry::new();
        registry.register(thing().with::<Rename>()).unwrap();
        registry
    }

    #[test]
    fn an_intent_is_found_by_name_and_keeps_its_behaviour() {
        let registry = registry();
        let intent = registry.decode("thing", "rename", r#"{"name": "Pump"}"#).unwrap();
        assert_eq!(format!("{intent:?}"), r#"rename {"name":"Pump"}"#);
        let mut state = Fake::default();
        assert!(matches!(intent.check(&state, &Facts::default()), Permission::Deferred(_)));
        assert!(intent.validate(&state).is_empty());
        intent.apply(&mut state).unwrap();
        assert_eq!(state.string("name"), "Pump");
        let definition = registry.kind("thing").and_then(|kind| kind.intent("rename")).unwrap();
        assert_eq!((definition.name(), definition.summary()), ("rename", "Gives it a name."));
        assert_eq!(definition.example().to_json().unwrap(), r#"{"name":"Harbour crane 7"}"#);
    }

    #[test]
    fn what_cannot_be_decoded_says_what_would_do() {
        let error = |kind, intent, json| registry().decode(kind, intent, json).unwrap_err().to_string();
        assert_eq!(error("thong", "rename", "{}"), "there is no kind \"thong\"; use one of thing");
        assert_eq!(error("thing", "delete", "{}"), "thing documents have no intent \"delete\"; use one of rename");
        assert_eq!(
            error("thing", "rename", r#"{"name": 7}"#),
            "intent rename, line 1, column 10, field `name`: invalid type: integer `7`, expected a string; \
             for example {\"name\":\"Harbour crane 7\"}"
        );
    }

    #[test]
    fn a_kind_is_registered_once_with_distinct_good_names() {
        let mut registry = registry();
        let error = registry.register(thing()).unwrap_err();
        assert_eq!(error, RegistryError::DuplicateKind(Kind::new("thing").unwrap()));
        let twice = KindRegistry::new().register(thing().with::<Rename>().with::<Rename>());
        assert!(matches!(twice, Err(RegistryError::DuplicateIntent { name: "rename", .. })));
        let bad = KindRegistry::new().register(thing().with::<BadName>()).unwrap_err();
        assert_eq!(bad.to_string(), "the kind thing has an intent named \"Bad name\"; use [a-z][a-z0-9_]{0,47}");
    }
}
