//! From the text of a cell to a value.

use crate::error::{Fault, MappingFault, shorten};
use crate::time::{TimeFault, TimeFormat};
use changeset::limits::{MAX_COUNTER, MAX_VALUE_BYTES};
use changeset::{Decimal, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The types that a field of a mapping can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Type {
    String,
    Int,
    Decimal,
    Float,
    Bool,
    Timestamp,
    Counter,
}

impl Type {
    /// Its name and how it is written, for errors.
    fn wanted(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "whole number such as -12, of at most 18 digits",
            Self::Decimal => "decimal number such as -12.50, of at most 18 digits",
            Self::Float => "finite number such as -12.5 or 3e8",
            Self::Bool => "truth value (true, false, yes, no, 1 or 0)",
            Self::Timestamp => "timestamp",
            Self::Counter => "whole number between -2147483647 and 2147483647",
        }
    }
}

/// How the cells of a field become values.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// As the mapping says; a string if it says nothing.
    pub(crate) kind: Option<Type>,
    /// There if the type is a timestamp.
    pub(crate) format: Option<TimeFormat>,
    /// Whether a value must be kept as it is written.
    pub(crate) exact: bool,
    pub(crate) map: BTreeMap<String, Value>,
    pub(crate) otherwise: Otherwise,
    /// The texts that mean that there is no value.
    pub(crate) nulls: Arc<[String]>,
}

/// What a cell becomes that the map does not have.
#[derive(Clone, Debug)]
pub(crate) enum Otherwise {
    /// What it would be without a map.
    Keep,
    Error,
    Value(Value),
}

impl Rule {
    /// The value of a cell, or none if the cell is null. A map comes before everything else, so it can name nulls too.
    pub(crate) fn read(&self, text: &str, path: &str) -> Result<Option<Value>, Fault> {
        if let Some(value) = self.map.get(text) {
            return Ok(Some(value.clone()));
        }
        if self.nulls.iter().any(|null| null == text) {
            return Ok(None);
        }
        match &self.otherwise {
            Otherwise::Keep => self.parse(text).map(Some),
            Otherwise::Error => Err(Fault::NotInMap { path: path.to_owned() }),
            Otherwise::Value(value) => Ok(Some(value.clone())),
        }
    }

    /// The value that a text stands for, map and nulls apart.
    fn parse(&self, text: &str) -> Result<Value, Fault> {
        let kind = self.kind.unwrap_or(Type::String);
        let not_of_type = Fault::NotOfType { wanted: kind.wanted() };
        match kind {
            Type::String if text.len() > MAX_VALUE_BYTES => {
                Err(Fault::TooLong { bytes: text.len(), limit: MAX_VALUE_BYTES })
            }
            Type::String => Ok(Value::String(text.to_owned())),
            Type::Int => self.integer(text).map(Value::Int),
            Type::Counter => match self.integer(text)? {
                number if (-MAX_COUNTER..=MAX_COUNTER).contains(&number) => Ok(Value::Counter(number)),
                _ => Err(not_of_type),
            },
            Type::Decimal => {
                let number = Decimal::parse(&self.number(text)).ok_or(not_of_type)?;
                self.same(text, number)?;
                Ok(Value::Decimal(number))
            }
            Type::Float => {
                // What Rust reads beside digits is `inf`, `nan` and their like.
                let digits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
                let number: Option<f64> = text.parse().ok().filter(|number: &f64| digits && number.is_finite());
                // Adding zero makes -0 to 0, the only zero that a value may be.
                number.map(|number| Value::Float(number + 0.0)).ok_or(not_of_type)
            }
            Type::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(Value::Bool(true)),
                "false" | "no" | "0" => Ok(Value::Bool(false)),
                _ => Err(not_of_type),
            },
            Type::Timestamp => {
                let format = self.format.as_ref().ok_or(not_of_type)?;
                match format.parse(text, self.exact) {
                    Ok(time) => Ok(Value::Timestamp(time)),
                    Err(TimeFault::Form) => Err(Fault::NotTime { format: format.to_string() }),
                    Err(TimeFault::TooFine) => Err(Fault::TooFine),
                }
            }
        }
    }

    fn integer(&self, text: &str) -> Result<i64, Fault> {
        let wanted = self.kind.unwrap_or(Type::Int).wanted();
        let number: i64 = self.number(text).parse().map_err(|_| Fault::NotOfType { wanted })?;
        self.same(text, number)?;
        Ok(number)
    }

    /// The digits to parse. Unless exact: without spaces around, plus sign and leading zeros, with digits on both sides
    /// of a point.
    fn number(&self, text: &str) -> String {
        if self.exact {
            return text.to_owned();
        }
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) {
            return text.to_owned();
        }
        let digits = digits.trim_start_matches('0');
        let zero = if digits.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "0" };
        format!("{sign}{zero}{}", digits.strip_suffix('.').unwrap_or(digits))
    }

    fn same(&self, text: &str, number: impl ToString) -> Result<(), Fault> {
        if !self.exact {
            return Ok(());
        }
        let kept = number.to_string();
        if kept == text { Ok(()) } else { Err(Fault::NotExact { kept }) }
    }

    /// The value that a literal of the mapping stands for: strings are read as cells are, other literals must be of
    /// the field's type, or give it theirs if the mapping names none.
    pub(crate) fn literal(&self, literal: &toml::Value) -> Result<Value, MappingFault> {
        let cure = match (literal, self.kind) {
            (toml::Value::String(text), _) => match self.parse(text) {
                Ok(value) => return Ok(value),
                Err(_) => "write it as a cell of this type is written",
            },
            (toml::Value::Integer(number), None | Some(Type::Int)) => return Ok(Value::Int(*number)),
            (toml::Value::Integer(number), Some(Type::Counter)) if (-MAX_COUNTER..=MAX_COUNTER).contains(number) => {
                return Ok(Value::Counter(*number));
            }
            (toml::Value::Integer(number), Some(Type::Decimal)) => {
                return Ok(Value::Decimal(Decimal { mantissa: *number, scale: 0 }));
            }
            (toml::Value::Float(number), None | Some(Type::Float)) if number.is_finite() => {
                return Ok(Value::Float(number + 0.0));
            }
            (toml::Value::Boolean(value), None | Some(Type::Bool)) => return Ok(Value::Bool(*value)),
            (toml::Value::Datetime(_), _) => "write it in quotes, as a cell is written, with `type` and `format`",
            (toml::Value::Array(_) | toml::Value::Table(_), _) => "a field has one value: use one field for each",
            (toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_), _) => {
                "write it in quotes, as a cell of this type is written, or change the type"
            }
        };
        let wanted = self.kind.unwrap_or(Type::String).wanted();
        Err(MappingFault::BadLiteral { value: shorten(&plain(literal)), wanted, cure })
    }
}

/// A literal for an error message.
fn plain(literal: &toml::Value) -> String {
    match literal {
        toml::Value::String(text) => format!("{:?}", shorten(text)),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(_) => "an array".to_owned(),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Type) -> Rule {
        let format = (kind == Type::Timestamp).then(|| TimeFormat::new("%Y-%m-%d").unwrap());
        let nulls = Arc::new(["NULL".to_owned()]);
        Rule { kind: Some(kind), format, exact: true, map: BTreeMap::new(), otherwise: Otherwise::Keep, nulls }
    }

    fn decimal(mantissa: i64, scale: u8) -> Value {
        Value::Decimal(Decimal { mantissa, scale })
    }

    #[test]
    fn cells_become_values_of_the_type() {
        for (kind, text, value) in [
            (Type::String, " 007 ", " 007 ".into()),
            (Type::Int, "-12", Value::Int(-12)),
            (Type::Decimal, "-87.6345245683107", decimal(-876_345_245_683_107, 13)),
            (Type::Decimal, "0", decimal(0, 0)),
            (Type::Decimal, "12.50", decimal(1250, 2)),
            (Type::Float, "3e8", Value::Float(3e8)),
            (Type::Bool, "Yes", Value::Bool(true)),
            (Type::Bool, "0", Value::Bool(false)),
            (Type::Timestamp, "1970-01-02", Value::Timestamp(86_400_000)),
            (Type::Counter, "7", Value::Counter(7)),
        ] {
            assert_eq!(rule(kind).read(text, "p"), Ok(Some(value)), "{kind:?} {text}");
            assert_eq!(rule(kind).read("NULL", "p"), Ok(None));
        }
        // The only zero that a value may be.
        let Ok(Some(Value::Float(zero))) = rule(Type::Float).read("-0", "p") else { panic!("a float") };
        assert!(zero.is_sign_positive());
    }

    #[test]
    fn what_would_not_be_kept_as_written_is_refused_unless_allowed() {
        for (kind, text, kept) in [
            (Type::Int, "007", "7"),
            (Type::Int, "+7", "7"),
            (Type::Decimal, "-0.00", "0.00"),
            (Type::Decimal, "05.10", "5.10"),
        ] {
            assert_eq!(rule(kind).read(text, "p"), Err(Fault::NotExact { kept: kept.to_owned() }), "{text}");
            let loose = Rule { exact: false, ..rule(kind) };
            assert_eq!(loose.read(text, "p"), rule(kind).read(kept, "p"), "{text}");
        }
        let loose = Rule { exact: false, ..rule(Type::Decimal) };
        for (text, value) in
            [(".5", decimal(5, 1)), (" -5. ", decimal(-5, 0)), ("000", decimal(0, 0)), ("+0.10", decimal(10, 2))]
        {
            assert_eq!(loose.read(text, "p"), Ok(Some(value)), "{text}");
        }
        for bad in ["", "-", ".", "+-1", "--1", "1 2"] {
            assert!(loose.read(bad, "p").is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (kind, bad) in [
            (Type::Int, "9223372036854775808"),
            (Type::Int, "1.0"),
            (Type::Int, ""),
            (Type::Decimal, "1e3"),
            (Type::Decimal, "1,5"),
            (Type::Float, "inf"),
            (Type::Float, "1e999"),
            (Type::Float, "NaN"),
            (Type::Bool, "maybe"),
            (Type::Counter, "2147483648"),
        ] {
            let wanted = kind.wanted();
            assert_eq!(rule(kind).read(bad, "p"), Err(Fault::NotOfType { wanted }), "{bad}");
        }
        assert!(matches!(rule(Type::Timestamp).read("soon", "p"), Err(Fault::NotTime { .. })));
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        assert!(matches!(rule(Type::String).read(&long, "p"), Err(Fault::TooLong { .. })));
    }

    #[test]
    fn a_map_comes_before_nulls_and_types() {
        let map = BTreeMap::from([("one".to_owned(), Value::Int(1)), ("NULL".to_owned(), Value::Int(0))]);
        let keep = Rule { map, ..rule(Type::Int) };
        assert_eq!(keep.read("one", "p"), Ok(Some(Value::Int(1))));
        assert_eq!(keep.read("NULL", "p"), Ok(Some(Value::Int(0))));
        assert_eq!(keep.read("2", "p"), Ok(Some(Value::Int(2))));
        let strict = Rule { otherwise: Otherwise::Error, ..keep.clone() };
        assert_eq!(strict.read("2", "p"), Err(Fault::NotInMap { path: "p".to_owned() }));
        let other = Rule { otherwise: Otherwise::Value(Value::Int(9)), ..keep };
        assert_eq!(other.read("2", "p"), Ok(Some(Value::Int(9))));
    }

    #[test]
    fn literals_are_of_the_type_or_give_it() {
        let untyped = Rule { kind: None, ..rule(Type::String) };
        assert_eq!(untyped.literal(&toml::Value::Integer(3)), Ok(Value::Int(3)));
        assert_eq!(untyped.literal(&toml::Value::Boolean(true)), Ok(Value::Bool(true)));
        assert_eq!(untyped.literal(&toml::Value::Float(0.5)), Ok(Value::Float(0.5)));
        assert_eq!(rule(Type::Counter).literal(&toml::Value::Integer(0)), Ok(Value::Counter(0)));
        assert_eq!(rule(Type::Decimal).literal(&toml::Value::Integer(3)), Ok(decimal(3, 0)));
        assert_eq!(rule(Type::Decimal).literal(&"1.50".into()), Ok(decimal(150, 2)));
        for (kind, bad) in [
            (Type::Decimal, toml::Value::Float(0.5)),
            (Type::Int, toml::Value::Boolean(true)),
            (Type::Int, "x".into()),
            (Type::Counter, toml::Value::Integer(1 << 40)),
            (Type::Float, toml::Value::Float(f64::NAN)),
            (Type::String, toml::Value::Array(Vec::new())),
        ] {
            assert!(matches!(rule(kind).literal(&bad), Err(MappingFault::BadLiteral { .. })), "{bad:?}");
        }
    }
}
