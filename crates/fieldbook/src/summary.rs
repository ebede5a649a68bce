//! What lists show of a document, and by what they find it, without opening it.

use changeset::{DocumentKey, Path, Value};
use crdt::{Document, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::DocumentRecord;

/// What a list shows of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Summary {
    /// The first of the title fields that has a value.
    pub title: Option<String>,
    /// The indexed fields, as people read them.
    pub fields: BTreeMap<String, String>,
    /// How many change sets the document has.
    pub change_sets: u64,
    /// How many conflicts it shows.
    pub conflicts: u64,
    /// The greatest time of a change set, in milliseconds since 1970.
    pub last_change_ms: u64,
}

/// By what documents of a kind are found and named in lists.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Fields to find by.
    pub indexed: Vec<String>,
    /// Fields to name a document by; the first that has a value.
    pub titles: Vec<String>,
}

impl Listing {
    /// What inspections and orders are found by: status, assignee, dates, numbers, names.
    pub fn standard() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            indexed: list(&[
                "status",
                "assignee",
                "number",
                "employee",
                "result",
                "risk",
                "scheduled_at",
                "dates/ordered",
                "dates/required",
                "dates/dispatched",
                "dates/delivered",
                "customer/number",
                "customer/name",
                "subject/name",
            ]),
            titles: list(&["subject/name", "customer/name", "name", "site"]),
        }
    }
}

/// The bytes under which a value is indexed: in byte order, values of one type stand in the order of the values.
pub(crate) fn index_bytes(value: &Value) -> Option<Vec<u8>> {
    const MAX_INDEXED_BYTES: usize = 512;
    let ordered = |tag: u8, number: i64| {
        let mut bytes = vec![tag];
        bytes.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        Some(bytes)
    };
    match value {
        Value::Bool(value) => Some(vec![1, u8::from(*value)]),
        Value::Int(value) | Value::Counter(value) => ordered(2, *value),
        Value::Timestamp(value) => ordered(3, *value),
        Value::String(text) => {
            let mut end = text.len().min(MAX_INDEXED_BYTES);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let mut bytes = vec![4];
            bytes.extend(&text.as_bytes()[..end]);
            Some(bytes)
        }
        _ => None,
    }
}

/// The record of a document as it is.
pub(crate) fn record(document: &Document, listing: &Listing, position: u64) -> DocumentRecord {
    let value = |name: &String| Path::new(name).ok().and_then(|path| document.value(&path));
    let mut summary = Summary {
        title: listing.titles.iter().find_map(value).map(|value| plain(&value)),
        change_sets: document.len() as u64,
        conflicts: document.conflict_count() as u64,
        last_change_ms: document.newest_ms(),
        ..Summary::default()
    };
    let mut indexed = Vec::new();
    for name in &listing.indexed {
        let Some(value) = value(name) else { continue };
        indexed.extend(index_bytes(&value).map(|bytes| (name.clone(), bytes)));
        summary.fields.insert(name.clone(), plain(&value));
    }
    // A map of texts and numbers always has a JSON form.
    let summary = serde_json::to_vec(&summary).unwrap_or_default();
    DocumentRecord { key: document.key().clone(), position, indexed, summary }
}

/// A document in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Which.
    pub key: DocumentKey,
    /// What is shown of it.
    pub summary: Summary,
}

impl Listed {
    pub(crate) fn of(record: &DocumentRecord) -> Self {
        Self { key: record.key.clone(), summary: serde_json::from_slice(&record.summary).unwrap_or_default() }
    }
}

/// A value as people read it in a list.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) | Value::Counter(value) => value.to_string(),
        Value::Decimal(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Timestamp(value) => {
            crdt::Timestamp::from_ms(*value).map_or_else(|| value.to_string(), |time| time.to_string())
        }
        Value::Null => "null".into(),
        other => format!("{other:?}"),
    }
}
