//! An app's own kind works through the registry like the models that come with Fieldbook.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use changeset::{Path, Value};
use crdt::{AnyIntent, Deferral, EditError, Edits, Facts, KindRegistry, Permission, Removed, State, document_json};
use example_meter::Meter;
use std::collections::BTreeMap;

/// A document in a map.
#[derive(Default)]
struct Paper {
    values: BTreeMap<Path, Value>,
    texts: BTreeMap<Path, String>,
}

impl State for Paper {
    fn value(&self, path: &Path) -> Option<Value> {
        self.values.get(path).cloned()
    }

    fn text(&self, path: &Path) -> Option<String> {
        self.texts.get(path).cloned()
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let paths = self.values.keys().chain(self.texts.keys());
        let mut paths: Vec<Path> = paths.filter(|path| path.as_str().starts_with(prefix)).cloned().collect();
        paths.sort();
        paths
    }
}

impl Edits for Paper {
    fn put(&mut self, path: &Path, value: Value) -> Result<(), EditError> {
        self.values.insert(path.clone(), value);
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<(), EditError> {
        self.values.remove(path);
        Ok(())
    }

    fn increment(&mut self, path: &Path, _: i64) -> Result<(), EditError> {
        Err(EditError::NoCounter { path: path.clone() })
    }

    fn insert_text(&mut self, path: &Path, position: usize, text: &str) -> Result<(), EditError> {
        let old = self.texts.entry(path.clone()).or_default();
        let at = old.char_indices().nth(position).map_or(old.len(), |(at, _)| at);
        old.insert_str(at, text);
        Ok(())
    }

    fn delete_text(&mut self, path: &Path, position: usize, _: usize) -> Result<(), EditError> {
        Err(EditError::OutOfRange { path: path.clone(), position, length: 0 })
    }

    fn replace_text(&mut self, path: &Path, text: &str) -> Result<(), EditError> {
        self.texts.insert(path.clone(), text.to_owned());
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        0
    }
}

fn kinds() -> KindRegistry {
    let mut kinds = crdt::standard_kinds().unwrap();
    kinds.register(example_meter::definition().unwrap()).unwrap();
    kinds
}

fn decode(name: &str, json: &str) -> AnyIntent {
    kinds().decode("meter-reading", name, json).unwrap()
}

#[test]
fn a_meter_is_installed_read_and_closed() {
    let kinds = kinds();
    let definition = kinds.kind("meter-reading").unwrap();
    let mut paper = Paper::default();
    for intent in definition.intents() {
        let example = intent.example();
        assert_eq!(example.validate(&paper), [], "{example:?}");
        let json = example.to_json().unwrap();
        intent.decode(&json).unwrap().apply(&mut paper).unwrap();
    }
    assert_eq!(definition.schema().violations(&paper), []);
    let meter = Meter::read(&paper);
    assert_eq!((meter.number.as_deref(), meter.readings.len()), (Some("1EMH0010"), 1));
    let shown = document_json(&paper, Some(definition.schema()), Removed::Hide);
    assert_eq!(
        shown,
        serde_json::json!({
            "status": "closed",
            "site": "Pump house 3",
            "meter": "1EMH0010",
            "unit": "kWh",
            "remarks": "The cover is loose. ",
            "readings": {"1": {"position": "i0", "value": "18204", "read_at": "2026-03-31T16:00:00Z"}},
        })
    );
}

#[test]
fn its_own_rules_and_the_shared_ones_are_reported_together() {
    let mut paper = Paper::default();
    decode("install", r#"{"site": "Pump house 3", "meter": "7", "unit": "kWh"}"#).apply(&mut paper).unwrap();
    let reading = |id: &str, value: &str| {
        decode("record_reading", &format!(r#"{{"reading": "{id}", "value": "{value}", "read_at": "2026-03-31"}}"#))
    };
    reading("march", "100.5").apply(&mut paper).unwrap();
    let refused =
        |intent: AnyIntent| -> Vec<String> { intent.validate(&paper).iter().map(ToString::to_string).collect() };
    assert_eq!(
        refused(reading("march", "-1")),
        [
            "readings/march: exists already; change it, or choose another id",
            "readings/march/value: -1 is less than the reading of 2026-03-31T00:00:00Z; read again: it should be at least 100.500",
            "readings/march/value: -1 is out of range; write at least 0",
        ]
    );
    assert_eq!(refused(reading("april", "100.50")), Vec::<String>::new());
    assert_eq!(
        refused(decode("install", r#"{"site": "x", "meter": "7", "unit": "litres"}"#)),
        [
            "status: the document exists already, with the status open; open it, or create another",
            "unit: is \"litres\"; write one of kWh, m3",
        ]
    );
    assert_eq!(refused(decode("remark", r#"{"text": " "}"#)), ["remarks: nothing would change; write a remark"]);
}

#[test]
fn closing_waits_for_a_connection() {
    let mut paper = Paper::default();
    decode("install", r#"{"site": "Pump house 3", "meter": "7", "unit": "m3"}"#).apply(&mut paper).unwrap();
    let close = decode("close_meter", "{}");
    let facts = Facts::default();
    assert_eq!(close.check(&paper, &facts), Permission::Deferred(Deferral::Offline));
    assert_eq!(close.check(&paper, &Facts { online: true, ..facts }), Permission::Allowed);
}
