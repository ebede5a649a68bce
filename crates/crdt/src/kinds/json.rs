//! Documents as nested JSON, for people and for export.

use crate::kinds::schema::Schema;
use crate::kinds::timestamp::Timestamp;
use crate::state::State;
use changeset::{Path, Value};
use serde_json::{Map, Number, json};
use std::collections::{BTreeMap, BTreeSet};

pub use serde_json::Value as Json;

/// What becomes of entries whose marker is not visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removed {
    /// They are left out.
    #[default]
    Hide,
    /// They are shown with the key `@removed`.
    Show,
}

/// The whole document as one JSON object. Paths become nested objects, sorted by key; entries of collections keep
/// their `position`, which orders them, and their markers are not shown.
///
/// - Decimals and timestamps are strings (`"12.50"`, RFC 3339), bytes are hexadecimal, counters are numbers, texts are
///   strings, references and attachments are objects. A moment outside the years 0000 to 9999 is a number.
/// - With a schema, it tells what is a collection. Without one, whatever has an entry with a visible marker is: a
///   collection of which every entry was removed then shows what is left of them.
/// - Keys with `@` are no segments of paths: where a path has a value and others below it, its own value stands under
///   `@value`, and where it has a value and a text, the text under `@text`. No sane app writes such documents.
pub fn document_json(state: &dyn State, schema: Option<&Schema>, removed: Removed) -> Json {
    let mut root = Node::default();
    let paths = state.paths("");
    for path in &paths {
        let node = path.segments().fold(&mut root, |node, segment| node.below.entry(segment.to_owned()).or_default());
        node.value = state.value(path);
        node.text = state.text(path);
    }
    let is_marker = |path: &Path| path.as_str().ends_with("/.") && state.value(path).is_some();
    let collection =
        |path: &Path| path.as_str().strip_suffix("/.")?.rsplit_once('/').map(|(collection, _)| collection.to_owned());
    let with_entries = paths.iter().filter(|path| is_marker(path)).filter_map(collection).collect();
    Json::Object(Writer { schema, with_entries, removed }.object(root, ""))
}

/// A value as JSON, as [`document_json`] writes it.
pub fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) | Value::Counter(number) => Json::Number(Number::from(*number)),
        Value::Decimal(decimal) => Json::String(decimal.to_string()),
        Value::Float(float) => Number::from_f64(*float).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(hex(bytes)),
        Value::Timestamp(ms) => match Timestamp::from_ms(*ms) {
            Some(moment) => Json::String(moment.to_string()),
            None => Json::Number(Number::from(*ms)),
        },
        Value::Reference(reference) => json!({
            "partition": reference.partition.as_str(),
            "kind": reference.document.kind.as_str(),
            "id": reference.document.id.to_uuid(),
        }),
        Value::Attachment(attachment) => json!({
            "hash": hex(&attachment.hash),
            "length": attachment.length,
            "media_type": attachment.media_type,
        }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the marker's value out of an entry, and what else a hostile document put there stays.
fn take_marker(entry: &mut Node) -> bool {
    let Some(dot) = entry.below.get_mut(".") else { return false };
    let exists = dot.value.take().is_some();
    if dot.text.is_none() && dot.below.is_empty() {
        entry.below.remove(".");
    }
    exists
}

#[derive(Default)]
struct Node {
    value: Option<Value>,
    text: Option<String>,
    below: BTreeMap<String, Self>,
}

struct Writer<'a> {
    schema: Option<&'a Schema>,
    /// The paths right below which there is an entry with a visible marker.
    with_entries: BTreeSet<String>,
    removed: Removed,
}

impl Writer<'_> {
    fn node(&self, mut node: Node, path: &str) -> Json {
        let is_leaf = node.below.is_empty();
        match (node.value.take(), node.text.take()) {
            (Some(value), None) if is_leaf => value_json(&value),
            (None, Some(text)) if is_leaf => Json::String(text),
            (value, text) => {
                let mut object = self.object(node, path);
                object.extend(value.map(|value| ("@value".to_owned(), value_json(&value))));
                object.extend(text.map(|text| ("@text".to_owned(), Json::String(text))));
                Json::Object(object)
            }
        }
    }

    fn object(&self, node: Node, path: &str) -> Map<String, Json> {
        let is_collection = self.is_collection(path);
        let mut object = Map::new();
        for (name, mut below) in node.below {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if !is_collection {
                object.insert(name, self.node(below, &path));
                continue;
            }
            let exists = take_marker(&mut below);
            if exists {
                // An entry of which only the marker is left is an empty object.
                let has_own = below.value.is_some() || below.text.is_some();
                let entry = if has_own { self.node(below, &path) } else { Json::Object(self.object(below, &path)) };
                object.insert(name, entry);
            } else if self.removed == Removed::Show {
                let shown = self.node(below, &path);
                let mut entry = if let Json::Object(entry) = shown {
                    entry
                } else {
                    Map::from_iter([("@value".to_owned(), shown)])
                };
                entry.insert("@removed".to_owned(), Json::Bool(true));
                object.insert(name, entry.into());
            }
        }
        object
    }

    fn is_collection(&self, path: &str) -> bool {
        !path.is_empty()
            && (self.schema.is_some_and(|schema| schema.is_collection(path)) || self.with_entries.contains(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;
    use changeset::{Attachment, Decimal, DocumentId, DocumentKey, Kind, Partition, Reference};

    fn document() -> Fake {
        let mut state = Fake::default();
        state.set("status", "draft");
        state.set("subject/name", "Harbour crane 7");
        state.set("items/7/.", true);
        state.set("items/7/position", "i0");
        state.set("items/7/parts/a/.", true);
        state.set("items/gone/prompt", "removed");
        state.set("lines/gone/price", 1);
        state.write("items/7/note", "nötig");
        state
    }

    fn schema() -> Schema {
        let fields = r#"[{"pattern": "items/*/.", "type": "marker"}, {"pattern": "lines/*/.", "type": "marker"}]"#;
        Schema::from_json(&format!(r#"{{"kind": "x", "version": 1, "fields": {fields}}}"#)).unwrap()
    }

    #[test]
    fn paths_nest_and_removed_entries_are_left_out() {
        assert_eq!(
            document_json(&document(), Some(&schema()), Removed::Hide),
            json!({
                "status": "draft",
                "subject": {"name": "Harbour crane 7"},
                "items": {"7": {"position": "i0", "note": "nötig", "parts": {"a": {}}}},
                "lines": {},
            })
        );
    }

    #[test]
    fn removed_entries_are_shown_if_asked_for() {
        let shown = document_json(&document(), Some(&schema()), Removed::Show);
        assert_eq!(shown["items"]["gone"], json!({"prompt": "removed", "@removed": true}));
        assert_eq!(shown["lines"]["gone"], json!({"price": 1, "@removed": true}));
        assert_eq!(shown["items"]["7"]["position"], json!("i0"));
    }

    #[test]
    fn without_a_schema_visible_markers_tell_what_is_a_collection() {
        let shown = document_json(&document(), None, Removed::Hide);
        assert_eq!(shown["items"]["gone"], Json::Null);
        assert_eq!(shown["lines"], json!({"gone": {"price": 1}}));
        assert_eq!(document_json(&Fake::default(), None, Removed::Hide), json!({}));
    }

    #[test]
    fn every_type_has_its_form() {
        let reference = Reference {
            partition: Partition::new("north").unwrap(),
            document: DocumentKey { kind: Kind::new("order").unwrap(), id: DocumentId::from_bytes([7; 16]) },
        };
        let attachment = Attachment { hash: [0xab; 32], length: 5, media_type: "image/jpeg".into() };
        for (value, form) in [
            (Value::Null, json!(null)),
            (Value::Bool(false), json!(false)),
            (Value::Int(i64::MIN), json!(i64::MIN)),
            (Value::Decimal(Decimal { mantissa: -1250, scale: 2 }), json!("-12.50")),
            (Value::Float(0.5), json!(0.5)),
            (Value::Float(f64::INFINITY), json!(null)),
            (Value::String("x".into()), json!("x")),
            (Value::Bytes(vec![0, 255]), json!("00ff")),
            (Value::Timestamp(1), json!("1970-01-01T00:00:00.001Z")),
            (Value::Timestamp(i64::MAX), json!(i64::MAX)),
            (Value::Counter(3), json!(3)),
            (
                Value::Reference(reference),
                json!({"partition": "north", "kind": "order", "id": "07070707-0707-0707-0707-070707070707"}),
            ),
            (Value::Attachment(attachment), json!({"hash": "ab".repeat(32), "length": 5, "media_type": "image/jpeg"})),
        ] {
            assert_eq!(value_json(&value), form, "{value:?}");
        }
    }

    #[test]
    fn nothing_is_lost_where_paths_contend() {
        let mut state = Fake::default();
        state.set("a", 1);
        state.set("a/b", 2);
        state.set("c", 3);
        state.write("c", "text");
        state.set("items/7/.", true);
        state.set("items/7", 4);
        state.set("items/7/./odd", 6);
        state.set("items/8", 5);
        assert_eq!(
            document_json(&state, None, Removed::Show),
            json!({
                "a": {"@value": 1, "b": 2},
                "c": {"@value": 3, "@text": "text"},
                "items": {"7": {"@value": 4, ".": {"odd": 6}}, "8": {"@value": 5, "@removed": true}},
            })
        );
    }
}
