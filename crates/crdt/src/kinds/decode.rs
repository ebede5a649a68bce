//! Reading JSON that people wrote: an error names the field, not only the column.

use serde::de::DeserializeOwned;

/// JSON that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}{}: {problem}", self.field())]
pub struct JsonError {
    /// The field, for example `lines[0].quantity`; empty for the whole.
    pub place: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1; 0 at the start of a line.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl JsonError {
    fn field(&self) -> String {
        if self.place.is_empty() { String::new() } else { format!(", field `{}`", self.place) }
    }
}

/// Reads a value from JSON text.
///
/// # Errors
/// [`JsonError`] for the first thing that does not fit.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let mut problem = error.to_string();
        if let Some(rest) = problem.strip_suffix(&format!(" at line {line} column {column}")) {
            problem = rest.to_owned();
        }
        let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let place = place_at(text.as_bytes().get(..before + column).unwrap_or(text.as_bytes()));
        JsonError { place, line, column, problem }
    })
}

enum Frame {
    /// An object, the last string seen in it, and whether that is the key of the value being read.
    Object {
        key: String,
        in_value: bool,
    },
    Array {
        index: usize,
    },
}

/// The field in which a reader stands that has read this much.
fn place_at(read: &[u8]) -> String {
    let mut frames: Vec<Frame> = Vec::new();
    let mut bytes = read.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, frames.last_mut()) {
            (b'{', _) => frames.push(Frame::Object { key: String::new(), in_value: false }),
            (b'[', _) => frames.push(Frame::Array { index: 0 }),
            (b'}' | b']', _) => {
                frames.pop();
            }
            (b'"', frame) => {
                let text = string(&mut bytes);
                if let Some(Frame::Object { key, in_value: false }) = frame {
                    *key = text;
                }
            }
            (b':', Some(Frame::Object { in_value, .. })) => *in_value = true,
            (b',', Some(Frame::Object { in_value, .. })) => *in_value = false,
            (b',', Some(Frame::Array { index })) => *index += 1,
            _ => {}
        }
    }
    let mut place = String::new();
    for frame in &frames {
        match frame {
            Frame::Array { index } => place.push_str(&format!("[{index}]")),
            Frame::Object { key, in_value: true } => {
                place.push_str(if place.is_empty() { "" } else { "." });
                place.push_str(key);
            }
            Frame::Object { in_value: false, .. } => {}
        }
    }
    place
}

/// The rest of a string up to its closing quote, escapes as written.
fn string(bytes: &mut impl Iterator<Item = u8>) -> String {
    let mut text = Vec::new();
    while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
        text.push(byte);
        if byte == b'\\' {
            text.extend(bytes.next());
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amount, EntryId};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoded")]
    struct Order {
        number: String,
        #[serde(default)]
        lines: Vec<Line>,
        #[serde(default)]
        first: Option<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoded")]
    struct Line {
        id: EntryId,
        quantity: Amount,
    }

    fn error(text: &str) -> JsonError {
        from_json::<Order>(text).unwrap_err()
    }

    #[test]
    fn an_error_names_the_field_and_what_is_expected() {
        for (json, place, problem) in [
            (r#"{}"#, "", "missing field `number`"),
            (r#"{"number": 7}"#, "number", "expected a string"),
            (r#"{"number": {"a": 1}}"#, "number", "expected a string"),
            (r#"{"number": "1", "nummer": 2}"#, "", "unknown field `nummer`, expected one of `number`"),
            (
                r#"{"number": "1", "lines": [{"id": "a", "quantity": 1}, {"id": "b"}]}"#,
                "lines[1]",
                "missing field `quantity`",
            ),
            (r#"{"number": "1", "lines": [{"id": "a", "quantity": 1.5}]}"#, "lines[0].quantity", "decimal as a string"),
            (r#"{"number": "\"}{", "lines": [{"id": "A"}]}"#, "lines[0].id", "expected the id of an entry"),
            (r#"{"number": "1", "lines": {}}"#, "lines", "expected a sequence"),
            (r#"{"number": "1", "first": {"id": "a", "quantity": true}}"#, "first.quantity", "decimal as a string"),
        ] {
            let error = error(json);
            assert_eq!(error.place, place, "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_and_broken_json_is_named() {
        let error = error("{\n  \"number\": \"ä\",\n  \"lines\": [\n    {\"id\": \"x\", \"quantity\": []}]}");
        assert_eq!((error.line, error.place.as_str()), (4, "lines[0].quantity"));
        assert!(error.to_string().starts_with("line 4, column "), "{error}");
        assert!(error.to_string().contains("field `lines[0].quantity`: invalid type: sequence"), "{error}");
        for broken in ["", "{", "{\"number\"", "[1,", "{\"number\": \"1\"} x", "\u{0}", "\"\\"] {
            assert!(from_json::<Order>(broken).is_err(), "{broken}");
        }
    }
}
