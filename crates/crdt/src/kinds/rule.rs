//! Field rules: the type of a field and what its values must keep to.

use crate::kinds::exact::{Amount, Exact};
use crate::kinds::intent::Violation;
use crate::kinds::pattern::Pattern;
use crate::kinds::timestamp::Timestamp;
use changeset::Value;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldType {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// An exact decimal, or a whole number.
    Decimal,
    /// A float; never money.
    Float,
    /// Text that is replaced as a whole.
    String,
    /// Bytes.
    Bytes,
    /// A moment of the years 0000 to 9999.
    Timestamp,
    /// A number that several people add to.
    Counter,
    /// Another document.
    Reference,
    /// A file.
    Attachment,
    /// Text that several people write at once.
    Text,
    /// The sign that an entry of a collection exists; its pattern ends in `*/.`.
    Marker,
}

/// The rule for every field that its pattern fits. `FieldRule { required: true, ..FieldRule::new(…) }` sets the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// Which fields, for example `items/*/outcome`; `*` stands for one whole segment. Where several patterns fit a path,
    /// the one with a literal segment further left is in force.
    pub pattern: String,
    /// What the field holds.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Whether null may be written: nothing, said on purpose.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nullable: bool,
    /// Whether the field must be there, and, if a string or text, not blank: in the document, or, where the pattern
    /// has a `*`, in every existing entry.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// The strings that may be written; any, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The smallest number that may be written. Timestamps are compared in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Amount>,
    /// The largest number that may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Amount>,
    /// The greatest length: Unicode code points of a string or text, bytes of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What people call the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The unit of the number, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What is wrong with a [`FieldRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleFault {
    /// The pattern is none.
    #[error("is no pattern; join segments of a-z 0-9 _ . - by `/`, with `*` for one whole segment")]
    BadPattern,
    /// The pattern stands in an earlier rule too.
    #[error("has a rule already, fields[{other}]; keep one of the two")]
    Duplicate {
        /// The number of the earlier rule, from 0.
        other: usize,
    },
    /// A marker elsewhere, or something else at a marker's place.
    #[error("a pattern ends in `*/.` exactly if its type is marker; change one of the two")]
    MarkerMismatch,
    /// The type knows no such rule.
    #[error("`{rule}` does not apply to fields of type {field_type}; leave it out")]
    NotForType {
        /// The rule.
        rule: &'static str,
        /// The field's type.
        field_type: FieldType,
    },
    /// The smallest value is above the largest.
    #[error("min {min} is above max {max}; swap them")]
    EmptyRange {
        /// The smallest value.
        min: Amount,
        /// The largest value.
        max: Amount,
    },
    /// A required field whose entries cannot be listed.
    #[error(
        "`required` needs a last segment that is no `*` and, for each `*` before it, a marker rule such as `items/*/.`; add it"
    )]
    RequiredWithoutMarker,
}

impl FieldRule {
    /// The rule that fields of this pattern are of this type, and nothing else.
    pub fn new(pattern: impl Into<String>, field_type: FieldType) -> Self {
        Self {
            pattern: pattern.into(),
            field_type,
            nullable: false,
            required: false,
            one_of: Vec::new(),
            min: None,
            max: None,
            max_length: None,
            title: None,
            unit: None,
        }
    }

    /// The compiled pattern, if the rule makes sense by itself.
    pub(crate) fn compile(&self) -> Result<Pattern, RuleFault> {
        let pattern = Pattern::parse(&self.pattern).ok_or(RuleFault::BadPattern)?;
        if pattern.is_marker() != (self.field_type == FieldType::Marker) {
            return Err(RuleFault::MarkerMismatch);
        }
        let (nullable, range, length) = match self.field_type {
            FieldType::Int | FieldType::Decimal | FieldType::Float | FieldType::Timestamp => (true, true, false),
            FieldType::String | FieldType::Bytes => (true, false, true),
            FieldType::Bool | FieldType::Reference | FieldType::Attachment => (true, false, false),
            FieldType::Counter => (false, true, false),
            FieldType::Text => (false, false, true),
            FieldType::Marker => (false, false, false),
        };
        for (given, applies, rule) in [
            (self.nullable, nullable, "nullable"),
            (self.min.is_some(), range, "min"),
            (self.max.is_some(), range, "max"),
            (self.max_length.is_some(), length, "max_length"),
            (!self.one_of.is_empty(), self.field_type == FieldType::String, "one_of"),
        ] {
            if given && !applies {
                return Err(RuleFault::NotForType { rule, field_type: self.field_type });
            }
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min.exact() > max.exact() => Err(RuleFault::EmptyRange { min, max }),
            (Some(_) | None, Some(_) | None) => Ok(pattern),
        }
    }

    /// What stands against a value in a field of this rule.
    pub(crate) fn check_value(&self, path: &str, value: &Value) -> Result<(), Violation> {
        let violation = |problem: String, cure: String| Err(Violation::new(path, problem, cure));
        let number: Option<(Exact, &dyn fmt::Display)> = match (self.field_type, value) {
            (_, Value::Null) if self.nullable => return Ok(()),
            (FieldType::Text, _) => {
                return violation(
                    format!("is a text, but {} was put there", kind_of(value)),
                    "edit the text".to_owned(),
                );
            }
            (FieldType::Decimal, Value::Decimal(decimal)) => Some((Exact::from(*decimal), decimal)),
            (FieldType::Int | FieldType::Decimal, Value::Int(number))
            | (FieldType::Counter, Value::Counter(number))
            | (FieldType::Timestamp, Value::Timestamp(number)) => Some((Exact::from(*number), number)),
            (FieldType::Float, Value::Float(float)) => return self.check_float(path, *float),
            (FieldType::Bool, Value::Bool(_))
            | (FieldType::Marker, Value::Bool(true))
            | (FieldType::String, Value::String(_))
            | (FieldType::Bytes, Value::Bytes(_))
            | (FieldType::Reference, Value::Reference(_))
            | (FieldType::Attachment, Value::Attachment(_)) => None,
            (wanted, other) => {
                return violation(format!("is {}", kind_of(other)), format!("write {}", wanted.expected()));
            }
        };
        if let Value::Timestamp(ms) = value
            && Timestamp::from_ms(*ms).is_none()
        {
            return violation(
                format!("{ms} ms is outside the years 0000 to 9999"),
                "write milliseconds since 1970".to_owned(),
            );
        }
        if let Some((number, text)) = number {
            let below = self.min.is_some_and(|min| number < min.exact());
            let above = self.max.is_some_and(|max| number > max.exact());
            if below || above {
                return violation(format!("{text} is out of range"), self.range_cure());
            }
        }
        if let Value::String(text) = value {
            self.check_length(path, text.chars().count(), "characters")?;
            self.check_blank(path, text)?;
            if !self.one_of.is_empty() && !self.one_of.contains(text) {
                return violation(format!("is {text:?}"), format!("write one of {}", self.one_of.join(", ")));
            }
        }
        if let Value::Bytes(bytes) = value {
            self.check_length(path, bytes.len(), "bytes")?;
        }
        Ok(())
    }

    /// What stands against a text that reads so.
    pub(crate) fn check_text(&self, path: &str, text: &str) -> Result<(), Violation> {
        self.check_text_length(path, text.chars().count())?;
        self.check_blank(path, text)
    }

    /// What stands against a text of this length.
    pub(crate) fn check_text_length(&self, path: &str, length: usize) -> Result<(), Violation> {
        self.check_length(path, length, "characters")
    }

    fn check_blank(&self, path: &str, text: &str) -> Result<(), Violation> {
        if self.required && text.trim().is_empty() { Err(self.missing(path)) } else { Ok(()) }
    }

    fn check_length(&self, path: &str, length: usize, unit: &str) -> Result<(), Violation> {
        match self.max_length {
            Some(max) if length > max => {
                Err(Violation::new(path, format!("has {length} {unit}"), format!("shorten it to {max}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Bounds of floats are compared as floats: a float has no exact decimal value worth keeping.
    fn check_float(&self, path: &str, value: f64) -> Result<(), Violation> {
        let bound = |bound: Option<Amount>| bound.and_then(|amount| amount.to_string().parse::<f64>().ok());
        let below = bound(self.min).is_some_and(|min| value < min);
        let above = bound(self.max).is_some_and(|max| value > max);
        if below || above || !value.is_finite() {
            return Err(Violation::new(path, format!("{value} is out of range"), self.range_cure()));
        }
        Ok(())
    }

    fn range_cure(&self) -> String {
        let unit = self.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("write a number from {min} to {max}{unit}"),
            (Some(min), None) => format!("write at least {min}{unit}"),
            (None, Some(max)) => format!("write at most {max}{unit}"),
            (None, None) => "write a finite number".to_owned(),
        }
    }

    /// The violation of a required field that is not there.
    pub(crate) fn missing(&self, path: &str) -> Violation {
        let name = self.title.as_deref().map(|title| format!(" ({title})")).unwrap_or_default();
        Violation::new(path, "is missing", format!("write {}{name}", self.field_type.expected()))
    }
}

impl FieldType {
    /// What a person should write.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Decimal => "a decimal such as 12.50",
            Self::Float => "a float",
            Self::String => "a string",
            Self::Bytes => "bytes",
            Self::Timestamp => "a time",
            Self::Counter => "a counter",
            Self::Reference => "a reference to a document",
            Self::Attachment => "an attachment",
            Self::Text => "a text",
            Self::Marker => "true, by adding an entry",
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Decimal => "decimal",
            Self::Float => "float",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Counter => "counter",
            Self::Reference => "reference",
            Self::Attachment => "attachment",
            Self::Text => "text",
            Self::Marker => "marker",
        })
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Int(_) => "an int",
        Value::Decimal(_) => "a decimal",
        Value::Float(_) => "a float",
        Value::String(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "a timestamp",
        Value::Counter(_) => "a counter",
        Value::Reference(_) => "a reference",
        Value::Attachment(_) => "an attachment",
    }
}
