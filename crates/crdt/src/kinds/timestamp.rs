//! Moments: milliseconds since 1970, written for people as RFC 3339 in UTC.

use changeset::Value;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of the years 0000 to 9999, in milliseconds since 1970, UTC. In JSON it is an RFC 3339 string.
///
/// ```
/// let visit: crdt::Timestamp = serde_json::from_str("\"2026-03-06T11:30:00+02:00\"")?;
/// assert_eq!(visit.to_string(), "2026-03-06T09:30:00Z");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The moment this many milliseconds after 1970; none outside the years 0000 to 9999.
    pub fn from_ms(ms: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&ms).then_some(Self(ms))
    }

    /// The moment of a clock that counts milliseconds since 1970; the last of the year 9999 if it is later.
    pub fn from_clock(now_ms: u64) -> Self {
        i64::try_from(now_ms).map_or(Self::MAX, |ms| Self(ms.min(Self::MAX.0)))
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, for example `2026-03-06T09:30:00.250Z` or with an offset such as `+02:00`, and a date alone as
    /// its midnight in UTC. Digits behind the milliseconds are cut off; leap seconds are refused, since no count of
    /// milliseconds can show them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let date = take_date(&mut rest)?;
        let time = if rest.is_empty() { 0 } else { take_time(&mut rest)? };
        if !rest.is_empty() {
            return None;
        }
        Self::from_ms(date + time)
    }
}

/// `YYYY-MM-DD` as milliseconds.
fn take_date(rest: &mut &[u8]) -> Option<i64> {
    let year = take_number(rest, 4)?;
    take_byte(rest, b"-")?;
    let month = take_number(rest, 2)?;
    take_byte(rest, b"-")?;
    let day = take_number(rest, 2)?;
    let days = days_from_civil(year, month, day);
    // Converting back catches the 31st of a month of 30 days and the 29th of February.
    (civil_from_days(days) == (year, month, day)).then_some(days * DAY_MS)
}

/// `Thh:mm:ss[.fff](Z|±hh:mm)` as milliseconds.
fn take_time(rest: &mut &[u8]) -> Option<i64> {
    take_byte(rest, b"Tt ")?;
    let (hour, minute) = take_hour_minute(rest)?;
    take_byte(rest, b":")?;
    let second = take_number(rest, 2).filter(|second| *second < 60)?;
    let mut fraction_ms = 0;
    if take_byte(rest, b".").is_some() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, after) = rest.split_at(digits);
        if fraction.is_empty() {
            return None;
        }
        for place in 0..3 {
            fraction_ms = fraction_ms * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        *rest = after;
    }
    let offset_minutes = match take_byte(rest, b"Zz+-")? {
        b'+' => take_hour_minute(rest).map(|(hour, minute)| hour * 60 + minute)?,
        b'-' => take_hour_minute(rest).map(|(hour, minute)| -(hour * 60 + minute))?,
        _ => 0,
    };
    Some((((hour * 60 + minute - offset_minutes) * 60) + second) * 1000 + fraction_ms)
}

fn take_hour_minute(rest: &mut &[u8]) -> Option<(i64, i64)> {
    let hour = take_number(rest, 2).filter(|hour| *hour < 24)?;
    take_byte(rest, b":")?;
    let minute = take_number(rest, 2).filter(|minute| *minute < 60)?;
    Some((hour, minute))
}

fn take_number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after;
    number.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn take_byte(rest: &mut &[u8], wanted: &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    wanted.contains(first).then(|| {
        *rest = after;
        *first
    })
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year, in eras of 400 years, which all have 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match ms % 1000 {
            0 => f.write_str("Z"),
            fraction => write!(f, ".{fraction:03}Z"),
        }
    }
}

impl From<Timestamp> for Value {
    fn from(moment: Timestamp) -> Self {
        Self::Timestamp(moment.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"2026-03-06T09:30:00Z\" or a date such as \"2026-03-06\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_and_write_alike() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_164_800_007, "2024-02-29T00:00:00.007Z"),
            (Timestamp::MIN.ms(), "0000-01-01T00:00:00Z"),
            (Timestamp::MAX.ms(), "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).unwrap().to_string(), text);
            assert_eq!(Timestamp::parse(text).map(Timestamp::ms), Some(ms), "{text}");
        }
        assert_eq!(Timestamp::from_ms(Timestamp::MIN.ms() - 1), None);
        assert_eq!(Timestamp::from_ms(i64::MAX), None);
        assert_eq!(Timestamp::from_clock(u64::MAX), Timestamp::MAX);
    }

    #[test]
    fn every_day_of_ten_thousand_years_comes_back_in_order() {
        let mut last = String::new();
        for day in Timestamp::MIN.ms() / DAY_MS..=Timestamp::MAX.ms() / DAY_MS {
            let moment = Timestamp::from_ms(day * DAY_MS).unwrap();
            let text = moment.to_string();
            assert!(text > last, "{text} after {last}");
            assert_eq!(Timestamp::parse(&text), Some(moment));
            last = text;
        }
    }

    #[test]
    fn offsets_fractions_and_dates_are_understood() {
        for (text, plain) in [
            ("2026-03-06T00:30:00+01:00", "2026-03-05T23:30:00Z"),
            ("2026-03-05t19:00:00.5-04:30", "2026-03-05T23:30:00.500Z"),
            ("2026-03-06 00:00:00.123987z", "2026-03-06T00:00:00.123Z"),
            ("2026-03-06", "2026-03-06T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), plain);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026",
            "2026-02-29",
            "2026-04-31T00:00:00Z",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00Z ",
            "+026-01-01",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-01-01Ü",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        let error = serde_json::from_str::<Timestamp>("\"tomorrow\"").unwrap_err().to_string();
        assert!(error.contains("tomorrow") && error.contains("expected a time such as"), "{error}");
    }
}
