//! Exact arithmetic with decimals, and the form in which intents and schemas write them.

use changeset::limits::MAX_DECIMAL_SCALE;
use changeset::{Decimal, Value};
use core::cmp::Ordering;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A decimal in JSON: a string such as `"12.50"`, or a whole number. A number with a point is refused, because JSON
/// readers take it as a float and it may have lost digits before it gets here.
///
/// Two amounts are equal if they are written alike; [`Exact`] compares by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Amount(Decimal);

impl Amount {
    /// Reads plain digits with an optional sign and point.
    pub fn parse(text: &str) -> Option<Self> {
        Decimal::parse(text).map(Self)
    }

    /// The decimal as written.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The number for exact arithmetic.
    pub fn exact(self) -> Exact {
        Exact::from(self.0)
    }

    /// The value to store where whole numbers are usual, for example a quantity: an int if it is whole (also when
    /// written 3.0), otherwise a decimal. Money is stored with [`Value::from`], which keeps 18.00 as written.
    pub fn to_whole_value(self) -> Value {
        let whole = Some(self.exact()).filter(|exact| exact.scale == 0);
        whole.and_then(|exact| i64::try_from(exact.mantissa).ok()).map_or(Value::Decimal(self.0), Value::Int)
    }
}

impl From<Decimal> for Amount {
    fn from(decimal: Decimal) -> Self {
        Self(decimal)
    }
}

impl From<i64> for Amount {
    fn from(whole: i64) -> Self {
        Self(Decimal { mantissa: whole, scale: 0 })
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        Self::Decimal(amount.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a string, such as \"12.50\", or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                Amount::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Amount, E> {
                Ok(Amount::from(whole))
            }

            fn visit_u64<E: de::Error>(self, whole: u64) -> Result<Amount, E> {
                let whole = i64::try_from(whole).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(whole), &self));
                whole.map(Amount::from)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An exact number `mantissa / 10^scale` for sums, products and comparisons. Compared by value: 12.50 equals 12.5.
/// Every operation is exact or gives none; the only rounding is [`Exact::round`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exact {
    /// No multiple of ten unless the scale is 0, so that equal numbers have equal parts.
    mantissa: i128,
    scale: u32,
}

impl Exact {
    /// 0.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };
    /// 1.
    pub const ONE: Self = Self { mantissa: 1, scale: 0 };

    fn new(mut mantissa: i128, mut scale: u32) -> Self {
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// The sum; none if it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self::new(self.mantissa_at(scale)?.checked_add(other.mantissa_at(scale)?)?, scale))
    }

    /// The difference; none if it does not fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { mantissa: other.mantissa.checked_neg()?, scale: other.scale })
    }

    /// The product; none if it does not fit.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        Some(Self::new(self.mantissa.checked_mul(other.mantissa)?, self.scale.checked_add(other.scale)?))
    }

    /// The nearest decimal with `digits` digits after the point; exactly between two, the one further from zero:
    /// 0.125 becomes 0.13 and -0.125 becomes -0.13. None if it does not fit a [`Decimal`].
    pub fn round(self, digits: u8) -> Option<Decimal> {
        let wanted = u32::from(digits);
        if digits > MAX_DECIMAL_SCALE {
            return None;
        }
        let mantissa = match self.scale.checked_sub(wanted) {
            None | Some(0) => self.mantissa_at(wanted)?,
            Some(surplus) => match 10_i128.checked_pow(surplus) {
                Some(unit) => {
                    let (quotient, rest) = (self.mantissa / unit, self.mantissa % unit);
                    // Doubling the rest could overflow; what is missing to the full unit cannot.
                    let away = rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs();
                    quotient + if away { self.mantissa.signum() } else { 0 }
                }
                // The unit is beyond ten times any mantissa.
                None => 0,
            },
        };
        Some(Decimal { mantissa: i64::try_from(mantissa).ok()?, scale: digits })
    }

    /// The smallest whole number that is not less; none if it does not fit.
    pub fn ceil(self) -> Option<i64> {
        // A unit of 10^39 and more is beyond any mantissa: what is left is below one.
        let Some(unit) = 10_i128.checked_pow(self.scale) else { return Some(i64::from(self.mantissa > 0)) };
        let floor = self.mantissa.div_euclid(unit);
        i64::try_from(floor + i128::from(self.mantissa.rem_euclid(unit) != 0)).ok()
    }

    fn mantissa_at(self, scale: u32) -> Option<i128> {
        // Zero fits every scale, also one whose power of ten does not.
        if self.mantissa == 0 {
            return Some(0);
        }
        self.mantissa.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }
}

impl From<Decimal> for Exact {
    fn from(decimal: Decimal) -> Self {
        Self::new(i128::from(decimal.mantissa), u32::from(decimal.scale))
    }
}

impl From<i64> for Exact {
    fn from(whole: i64) -> Self {
        Self { mantissa: i128::from(whole), scale: 0 }
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.mantissa_at(scale), other.mantissa_at(scale)) {
            (Some(left), Some(right)) => left.cmp(&right),
            // What does not fit when widened is further from zero than what does, and only the one with the smaller
            // scale is widened at all.
            (None, _) => self.mantissa.cmp(&0),
            (_, None) => 0.cmp(&other.mantissa),
        }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Amount::parse(text).unwrap().exact()
    }

    #[test]
    fn halves_go_away_from_zero() {
        for (text, digits, rounded) in [
            ("0.125", 2, "0.13"),
            ("-0.125", 2, "-0.13"),
            ("0.1249999", 2, "0.12"),
            ("-0.1249999", 2, "-0.12"),
            ("0.005", 2, "0.01"),
            ("-0.004", 2, "0.00"),
            ("2.5", 0, "3"),
            ("-2.5", 0, "-3"),
            ("7", 3, "7.000"),
            ("9.995", 2, "10.00"),
        ] {
            assert_eq!(exact(text).round(digits).unwrap().to_string(), rounded, "{text}");
        }
    }

    #[test]
    fn arithmetic_is_exact_or_none() {
        let third = exact("0.1").checked_add(exact("0.2")).unwrap();
        assert_eq!(third, exact("0.3"));
        assert_eq!(exact("1").checked_sub(exact("0.15")).unwrap(), exact("0.850"));
        assert_eq!(exact("-1.5").checked_mul(exact("0.02")).unwrap(), exact("-0.03"));
        let largest = exact("9223372036854775807");
        let square = largest.checked_mul(largest).unwrap();
        assert_eq!(square.checked_mul(largest), None);
        assert_eq!(square.round(0), None);
        assert_eq!(largest.round(1), None);
        assert_eq!(largest.round(0).unwrap().to_string(), "9223372036854775807");
        let tiny = exact("0.000000000000000001");
        let cube = tiny.checked_mul(tiny).and_then(|square| square.checked_mul(tiny)).unwrap();
        assert_eq!(cube.round(2).unwrap().to_string(), "0.00");
        assert_eq!(square.checked_add(cube), None);
    }

    #[test]
    fn order_is_by_value_even_where_widening_overflows() {
        assert_eq!(exact("12.50"), exact("12.5"));
        assert!(exact("-0.1") < exact("-0.09"));
        let tiny = exact("0.000000000000000001");
        let cube = tiny.checked_mul(tiny).and_then(|square| square.checked_mul(tiny)).unwrap();
        let largest = exact("9223372036854775807");
        assert_eq!((cube.cmp(&largest), largest.cmp(&cube)), (Ordering::Less, Ordering::Greater));
        assert!(exact("-9223372036854775807") < cube && cube > Exact::ZERO);
        assert_eq!(cube.checked_add(Exact::ZERO), Some(cube));
    }

    #[test]
    fn ceil_counts_every_begun_unit() {
        for (text, whole) in [("2.5", 3), ("2.0", 2), ("0", 0), ("-2.5", -2), ("0.000000000000000001", 1)] {
            assert_eq!(exact(text).ceil(), Some(whole), "{text}");
        }
    }

    #[test]
    fn json_keeps_the_digits_as_written() {
        for (json, text) in [("\"12.50\"", "12.50"), ("7", "7"), ("-3", "-3")] {
            assert_eq!(serde_json::from_str::<Amount>(json).unwrap().to_string(), text);
        }
        assert_eq!(serde_json::to_string(&Amount::parse("-0.10").unwrap()).unwrap(), "\"-0.10\"");
        for bad in ["12.5", "\"1e3\"", "18446744073709551615", "true", "\"\""] {
            let error = serde_json::from_str::<Amount>(bad).unwrap_err().to_string();
            assert!(error.contains("a decimal as a string, such as \"12.50\""), "{bad}: {error}");
        }
    }

    #[test]
    fn whole_amounts_are_stored_as_ints_and_others_as_written() {
        let value = |text| Amount::parse(text).unwrap().to_whole_value();
        assert_eq!(value("3"), Value::Int(3));
        assert_eq!(value("3.00"), Value::Int(3));
        assert_eq!(value("2.50"), Value::Decimal(Decimal { mantissa: 250, scale: 2 }));
        assert_eq!(Value::from(Amount::parse("18.00").unwrap()), Value::Decimal(Decimal { mantissa: 1800, scale: 2 }));
    }
}
