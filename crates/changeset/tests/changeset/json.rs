//! The inputs of a vector as JSON that a person can read. Numbers inside values are decimal strings, so that no JSON reader
//! rounds them; bytes are hexadecimal.

use changeset::{
    Attachment, Body, ChangeSetId, Decimal, DocumentId, DocumentKey, Edit, Group, GroupId, Header, IntentName,
    ItemRange, ItemRef, Kind, Line, Partition, Path, Reference, Script, Value,
};
use serde_json::Value as Json;
use std::path::PathBuf;

pub(crate) fn to_hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("text wanted: {json}"))
}

pub(crate) fn bytes(json: &Json) -> Vec<u8> {
    from_hex(text(json))
}

pub(crate) fn fixed<const N: usize>(json: &Json) -> [u8; N] {
    bytes(json).try_into().unwrap()
}

pub(crate) fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap_or_else(|| panic!("a list wanted: {json}"))
}

fn number<T: std::str::FromStr>(json: &Json) -> T {
    text(json).parse().unwrap_or_else(|_| panic!("a number as text wanted: {json}"))
}

fn uint(json: &Json) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("a number wanted: {json}"))
}

fn id(json: &Json) -> Option<ChangeSetId> {
    if json.is_null() { None } else { Some(ChangeSetId::from_bytes(fixed(json))) }
}

fn document(json: &Json) -> DocumentKey {
    DocumentKey { kind: Kind::new(text(&json["kind"])).unwrap(), id: DocumentId::from_bytes(fixed(&json["document"])) }
}

pub(crate) fn header(json: &Json) -> Header {
    Header {
        format: uint(&json["format"]),
        sequence: uint(&json["sequence"]),
        previous: id(&json["previous"]),
        document: document(json),
        parents: list(&json["parents"]).iter().map(|parent| ChangeSetId::from_bytes(fixed(parent))).collect(),
        time: uint(&json["time"]),
        grant: id(&json["grant"]),
        body_hash: fixed(&json["body_hash"]),
        body_length: uint(&json["body_length"]),
    }
}

/// A body from its script, or from skeleton and values as bytes where no script has them.
pub(crate) fn body(json: &Json) -> Body {
    let (skeleton, values) = if json["script"].is_null() {
        (bytes(&json["skeleton"]), list(&json["values"]).iter().map(bytes).collect())
    } else {
        let (skeleton, values) = script(&json["script"]).split();
        (skeleton.to_bytes(), values)
    };
    let group = &json["group"];
    let group = (!group.is_null()).then(|| Group {
        id: GroupId::from_bytes(fixed(&group["id"])),
        index: uint(&group["index"]) as u32,
        count: uint(&group["count"]) as u32,
    });
    let intent = IntentName::new(text(&json["intent"])).unwrap();
    Body::new(uint(&json["schema_version"]) as u32, intent, group, skeleton, fixed(&json["salt"]), values)
}

pub(crate) fn script(json: &Json) -> Script {
    let reason = &json["reason"];
    Script {
        reason: (!reason.is_null()).then(|| text(reason).to_owned()),
        edits: list(&json["edits"]).iter().map(edit).collect(),
    }
}

fn edit(json: &Json) -> Edit {
    let path = Path::new(text(&json["path"])).unwrap();
    match text(&json["op"]) {
        "put" => Edit::Put { path, value: value(&json["value"]) },
        "delete" => Edit::Delete { path },
        "increment" => Edit::Increment { path, amount: number(&json["amount"]) },
        "insert-text" => {
            let text = text(&json["text"]).to_owned();
            Edit::InsertText { path, left: origin(&json["left"]), right: origin(&json["right"]), text }
        }
        "delete-text" => {
            let range = |json: &Json| ItemRange { start: item(json), length: uint(&json["length"]) as u32 };
            Edit::DeleteText { path, ranges: list(&json["ranges"]).iter().map(range).collect() }
        }
        other => panic!("no op {other}"),
    }
}

fn origin(json: &Json) -> Option<ItemRef> {
    (!json.is_null()).then(|| item(json))
}

fn item(json: &Json) -> ItemRef {
    let line = match text(&json["line"]) {
        "own" => Line::Own,
        _ => Line::Named(fixed(&json["line"])),
    };
    ItemRef { line, clock: uint(&json["clock"]) as u32 }
}

fn value(json: &Json) -> Value {
    let value = &json["value"];
    match text(&json["type"]) {
        "null" => Value::Null,
        "bool" => Value::Bool(value.as_bool().unwrap()),
        "int" => Value::Int(number(value)),
        "decimal" => Value::Decimal(Decimal { mantissa: number(&json["mantissa"]), scale: uint(&json["scale"]) as u8 }),
        "float" => Value::Float(number(value)),
        "string" => Value::String(text(value).to_owned()),
        "bytes" => Value::Bytes(bytes(value)),
        "timestamp" => Value::Timestamp(number(value)),
        "counter" => Value::Counter(number(value)),
        "reference" => Value::Reference(Reference {
            partition: Partition::new(text(&json["partition"])).unwrap(),
            document: document(json),
        }),
        "attachment" => Value::Attachment(Attachment {
            hash: fixed(&json["hash"]),
            length: number(&json["length"]),
            media_type: text(&json["media_type"]).to_owned(),
        }),
        other => panic!("no type {other}"),
    }
}

/// The checked-in vectors of this name, after writing them anew if `FIELDBOOK_WRITE_VECTORS` is set.
pub(crate) fn vectors(name: &str, made: &Json) -> Json {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name);
    if std::env::var_os("FIELDBOOK_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let held = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&held).unwrap()
}
