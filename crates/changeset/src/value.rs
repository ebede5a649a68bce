//! Values: what a put writes, and its exact bytes.

use crate::cbor::{Reader, Writer};
use crate::error::{DecodeError, Fault};
use crate::id::{DocumentId, DocumentKey, Kind, Partition};
use crate::limits::{
    MAX_COUNTER, MAX_DECIMAL_SCALE, MAX_KIND_BYTES, MAX_MEDIA_TYPE_BYTES, MAX_PARTITION_BYTES, MAX_VALUE_BYTES,
};
use core::fmt;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, said on purpose.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal; money is never a float.
    Decimal(Decimal),
    /// A finite float, for measurements.
    Float(f64),
    /// Text that is replaced as a whole.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Milliseconds since 1970, UTC.
    Timestamp(i64),
    /// The start of a counter, of magnitude at most 2³¹ - 1; increments add to it.
    Counter(i64),
    /// Another document.
    Reference(Reference),
    /// A file, by its hash.
    Attachment(Attachment),
}

/// An exact decimal number: `mantissa / 10^scale`. The scale is kept as written: 12.50 is not 12.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits as one whole number.
    pub mantissa: i64,
    /// How many of the digits stand after the point; at most 18.
    pub scale: u8,
}

/// A document, perhaps of another partition of the same workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Its partition.
    pub partition: Partition,
    /// Its kind and id.
    pub document: DocumentKey,
}

/// A file that travels apart from the change sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attachment {
    /// blake3 of the content.
    pub hash: [u8; 32],
    /// Its length in bytes.
    pub length: u64,
    /// For example `image/jpeg`.
    pub media_type: String,
}

/// The type that a skeleton names for a value. `null`, `true` and `false` share [`ValueType::Simple`], so that a
/// redacted skeleton does not tell which of them it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ValueType {
    /// Null, true or false.
    Simple = 0,
    /// [`Value::Int`].
    Int = 1,
    /// [`Value::Decimal`].
    Decimal = 2,
    /// [`Value::Float`].
    Float = 3,
    /// [`Value::String`].
    String = 4,
    /// [`Value::Bytes`].
    Bytes = 5,
    /// [`Value::Timestamp`].
    Timestamp = 6,
    /// [`Value::Counter`].
    Counter = 7,
    /// [`Value::Reference`].
    Reference = 8,
    /// [`Value::Attachment`].
    Attachment = 9,
}

impl ValueType {
    /// The type with this code.
    pub fn from_code(code: u64) -> Option<Self> {
        [
            Self::Simple,
            Self::Int,
            Self::Decimal,
            Self::Float,
            Self::String,
            Self::Bytes,
            Self::Timestamp,
            Self::Counter,
            Self::Reference,
            Self::Attachment,
        ]
        .get(usize::try_from(code).ok()?)
        .copied()
    }

    /// The code in a skeleton.
    pub fn code(self) -> u64 {
        self as u64
    }

    /// What a purged value of this type counts as.
    pub fn zero(self) -> Value {
        match self {
            Self::Counter => Value::Counter(0),
            Self::Simple
            | Self::Int
            | Self::Decimal
            | Self::Float
            | Self::String
            | Self::Bytes
            | Self::Timestamp
            | Self::Reference
            | Self::Attachment => Value::Null,
        }
    }
}

impl Value {
    /// The type that a skeleton names for it.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Null | Self::Bool(_) => ValueType::Simple,
            Self::Int(_) => ValueType::Int,
            Self::Decimal(_) => ValueType::Decimal,
            Self::Float(_) => ValueType::Float,
            Self::String(_) => ValueType::String,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Timestamp(_) => ValueType::Timestamp,
            Self::Counter(_) => ValueType::Counter,
            Self::Reference(_) => ValueType::Reference,
            Self::Attachment(_) => ValueType::Attachment,
        }
    }

    /// The value's bytes: strings and bytes as they are, everything else as deterministic CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Self::String(text) => return text.as_bytes().to_vec(),
            Self::Bytes(bytes) => return bytes.clone(),
            Self::Null => out.null(),
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) | Self::Timestamp(value) | Self::Counter(value) => out.int(*value),
            Self::Float(value) => out.float(*value),
            Self::Decimal(Decimal { mantissa, scale }) => {
                out.array(2);
                out.int(*mantissa);
                out.uint(u64::from(*scale));
            }
            Self::Reference(Reference { partition, document }) => {
                out.array(3);
                out.text(partition.as_str());
                out.text(document.kind.as_str());
                out.bytes(document.id.as_bytes());
            }
            Self::Attachment(Attachment { hash, length, media_type }) => {
                out.array(3);
                out.bytes(hash);
                out.uint(*length);
                out.text(media_type);
            }
        }
        out.into_bytes()
    }

    /// The value of this type with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes do not fit the type; receivers then treat the value as purged.
    pub fn from_bytes(value_type: ValueType, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "value");
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(reader.fault(Fault::OverLimit { limit: MAX_VALUE_BYTES as u64 }));
        }
        let value = match value_type {
            ValueType::String => {
                return match core::str::from_utf8(bytes) {
                    Ok(text) => Ok(Self::String(text.to_owned())),
                    Err(error) => Err(reader.fault_at(error.valid_up_to(), Fault::NotUtf8)),
                };
            }
            ValueType::Bytes => return Ok(Self::Bytes(bytes.to_vec())),
            ValueType::Simple if reader.null() => Self::Null,
            ValueType::Simple => Self::Bool(reader.bool()?),
            ValueType::Int => Self::Int(reader.int()?),
            ValueType::Timestamp => Self::Timestamp(reader.int()?),
            ValueType::Counter => Self::Counter(counter_amount(&mut reader)?),
            ValueType::Float => Self::Float(reader.float()?),
            ValueType::Decimal => {
                reader.array_of(2)?;
                let mantissa = reader.int()?;
                let scale = reader.uint(u64::from(MAX_DECIMAL_SCALE))? as u8;
                Self::Decimal(Decimal { mantissa, scale })
            }
            ValueType::Reference => {
                reader.array_of(3)?;
                let partition =
                    Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault(fault))?;
                let kind = Kind::new(reader.text(MAX_KIND_BYTES)?).map_err(|fault| reader.fault(fault))?;
                let id = DocumentId::from_bytes(reader.fixed()?);
                Self::Reference(Reference { partition, document: DocumentKey { kind, id } })
            }
            ValueType::Attachment => {
                reader.array_of(3)?;
                let hash = reader.fixed()?;
                let length = reader.uint(u64::MAX)?;
                let media_type = reader.text(MAX_MEDIA_TYPE_BYTES)?.to_owned();
                Self::Attachment(Attachment { hash, length, media_type })
            }
        };
        reader.finish()?;
        Ok(value)
    }

    /// Whether an author may write it: what [`Value::from_bytes`] would refuse must not be signed.
    ///
    /// # Errors
    /// The [`DecodeError`] that every receiver would find.
    pub fn check(&self) -> Result<(), DecodeError> {
        Self::from_bytes(self.value_type(), &self.to_bytes()).map(|_| ())
    }
}

/// The bytes of an increment's amount.
pub fn increment_to_bytes(amount: i64) -> Vec<u8> {
    let mut out = Writer::new();
    out.int(amount);
    out.into_bytes()
}

/// The amount of an increment with these bytes.
///
/// # Errors
/// [`DecodeError`] if it is no integer of magnitude at most 2³¹ - 1; receivers then treat it as purged.
pub fn increment_from_bytes(bytes: &[u8]) -> Result<i64, DecodeError> {
    let mut reader = Reader::new(bytes, "increment");
    let amount = counter_amount(&mut reader)?;
    reader.finish()?;
    Ok(amount)
}

fn counter_amount(reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
    let amount = reader.int()?;
    if (-MAX_COUNTER..=MAX_COUNTER).contains(&amount) {
        Ok(amount)
    } else {
        Err(reader.fault_at(0, Fault::OverLimit { limit: MAX_COUNTER as u64 }))
    }
}

impl Decimal {
    /// Reads plain digits with an optional sign and point, for example `-12.50`. No exponent, no spaces.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= MAX_DECIMAL_SCALE)?;
        if whole.is_empty() || (digits.contains('.') && fraction.is_empty()) {
            return None;
        }
        let mut mantissa: i64 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = i64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
            let step = if negative { -digit } else { digit };
            mantissa = mantissa.checked_mul(10)?.checked_add(step)?;
        }
        Some(Self { mantissa, scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let point = if scale == 0 { "" } else { "." };
        f.pad(&format!("{sign}{whole}{point}{fraction}"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.partition, self.document.kind, self.document.id.to_uuid())
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("blake3:")?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ";length={};type={}", self.length, self.media_type)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Self::Decimal(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let reference = Reference {
            partition: Partition::new("north").unwrap(),
            document: DocumentKey { kind: Kind::new("order").unwrap(), id: DocumentId::from_bytes([7; 16]) },
        };
        let attachment = Attachment { hash: [1; 32], length: 1 << 40, media_type: "image/jpeg".into() };
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Decimal(Decimal { mantissa: -1250, scale: 2 }),
            Value::Float(0.1),
            Value::String("Åß😀".into()),
            Value::Bytes(vec![0, 255]),
            Value::Timestamp(-1),
            Value::Counter(-MAX_COUNTER),
            Value::Reference(reference),
            Value::Attachment(attachment),
        ] {
            assert_eq!(Value::from_bytes(value.value_type(), &value.to_bytes()), Ok(value.clone()));
            assert_eq!(ValueType::from_code(value.value_type().code()), Some(value.value_type()));
        }
        assert_eq!(ValueType::from_code(10), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Value::Counter(MAX_COUNTER + 1).check().is_err());
        assert!(Value::Float(f64::NAN).check().is_err());
        assert!(Value::String("x".repeat(MAX_VALUE_BYTES + 1)).check().is_err());
        assert!(Value::from_bytes(ValueType::Simple, &[0xf6, 0xf6]).is_err());
    }

    #[test]
    fn decimals_are_exact() {
        for text in ["0", "-0.05", "12.50", "9223372036854775807", "0.000000000000000001"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "-", ".5", "5.", "1e3", "+1", "1,5", "9223372036854775808", "0.0000000000000000001"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }
}
