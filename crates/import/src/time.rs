//! Reading dates and times by a format; everything is UTC.

use core::fmt;

/// How a column writes its dates: `%Y` a year of four digits, `%m %d %H %M %S` one or two digits each, `%.3f` a point
/// and three digits of the second (any number from 1 to 9), `%f` one to nine digits of the second, `%%` a percent sign;
/// everything else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeFormat {
    text: String,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// A point and so many digits.
    PointFraction(usize),
    Fraction,
    Literal(char),
}

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFault {
    /// It does not fit the format, or no such day or time exists.
    Form,
    /// It is finer than a millisecond.
    TooFine,
}

impl TimeFormat {
    /// The format of this text.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let mut items = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                items.push(Item::Literal(letter));
                continue;
            }
            let item = match letters.next() {
                Some('Y') => Item::Year,
                Some('m') => Item::Month,
                Some('d') => Item::Day,
                Some('H') => Item::Hour,
                Some('M') => Item::Minute,
                Some('S') => Item::Second,
                Some('f') => Item::Fraction,
                Some('%') => Item::Literal('%'),
                Some('.') => match (letters.next().and_then(|digit| digit.to_digit(10)), letters.next()) {
                    (Some(digits @ 1..=9), Some('f')) => Item::PointFraction(digits as usize),
                    _ => return Err("after `%.` the format needs a digit from 1 to 9 and `f`"),
                },
                _ => return Err("the format has a `%` that means nothing"),
            };
            let is_fraction = |item: &Item| matches!(item, Item::PointFraction(_) | Item::Fraction);
            let again = items.contains(&item) || (is_fraction(&item) && items.iter().any(is_fraction));
            if again && !matches!(item, Item::Literal(_)) {
                return Err("the format has the same part twice");
            }
            items.push(item);
        }
        if [Item::Year, Item::Month, Item::Day].iter().all(|part| items.contains(part)) {
            Ok(Self { text: text.to_owned(), items })
        } else {
            Err("the format lacks one of `%Y`, `%m` and `%d`")
        }
    }

    /// The milliseconds since 1970. Unless `exact`, what is finer than a millisecond is cut off.
    pub(crate) fn parse(&self, text: &str, exact: bool) -> Result<i64, TimeFault> {
        let mut rest = text;
        let (mut year, mut month, mut day) = (0, 0, 0);
        let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
        for item in &self.items {
            match item {
                Item::Year => year = number(&mut rest, 4, 4)?,
                Item::Month => month = number(&mut rest, 1, 2)?,
                Item::Day => day = number(&mut rest, 1, 2)?,
                Item::Hour => hour = number(&mut rest, 1, 2)?,
                Item::Minute => minute = number(&mut rest, 1, 2)?,
                Item::Second => second = number(&mut rest, 1, 2)?,
                Item::PointFraction(digits) => {
                    rest = rest.strip_prefix('.').ok_or(TimeFault::Form)?;
                    nanos = fraction(&mut rest, *digits, *digits)?;
                }
                Item::Fraction => nanos = fraction(&mut rest, 1, 9)?,
                Item::Literal(letter) => rest = rest.strip_prefix(*letter).ok_or(TimeFault::Form)?,
            }
        }
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let real = (1..=12).contains(&month) && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
        if !real || !rest.is_empty() {
            return Err(TimeFault::Form);
        }
        if exact && nanos % 1_000_000 != 0 {
            return Err(TimeFault::TooFine);
        }
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Ok(seconds * 1000 + nanos / 1_000_000)
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Takes `least` to `most` digits, as many as there are.
fn number(rest: &mut &str, least: usize, most: usize) -> Result<i64, TimeFault> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at_checked(count).ok_or(TimeFault::Form)?;
    if count < least {
        return Err(TimeFault::Form);
    }
    *rest = after;
    digits.parse().map_err(|_| TimeFault::Form)
}

/// Takes digits of a fraction of a second and gives nanoseconds.
fn fraction(rest: &mut &str, least: usize, most: usize) -> Result<i64, TimeFault> {
    let before = rest.len();
    let digits = number(rest, least, most)?;
    let count = before - rest.len();
    Ok((count..9).fold(digits, |value, _| value * 10))
}

/// Days from 1 January 1970 in the Gregorian calendar, for years from 0 to 9999 (Howard Hinnant, `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: &str, text: &str) -> Result<i64, TimeFault> {
        TimeFormat::new(format).unwrap().parse(text, true)
    }

    #[test]
    fn dates_and_times_are_read() {
        assert_eq!(parse("%m/%d/%Y", "03/06/2020"), Ok(1_583_452_800_000));
        assert_eq!(parse("%m/%d/%Y", "3/6/2020"), Ok(1_583_452_800_000));
        assert_eq!(parse("%Y%m%d", "20200306"), Ok(1_583_452_800_000));
        assert_eq!(parse("%Y-%m-%d %H:%M:%S%.3f", "1996-07-05 01:02:03.040"), Ok(836_528_523_040));
        assert_eq!(parse("%Y-%m-%d", "1969-12-31"), Ok(-86_400_000));
        assert_eq!(parse("%Y-%m-%d", "0000-02-29"), Ok(-62_162_121_600_000));
        assert_eq!(parse("%Y-%m-%d", "9999-12-31"), Ok(253_402_214_400_000));
        assert_eq!(parse("%Y-%m-%dT%H:%M:%S.%fZ", "1970-01-01T00:00:00.5Z"), Ok(500));
        assert_eq!(parse("%d.%m.%Y %%", "01.01.1970 %"), Ok(0));
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut last = days_since_1970(1599, 12, 31);
        for year in 1600..2400_i64 {
            for month in 1..=12_i64 {
                for day in 1..=31_i64 {
                    if TimeFormat::new("%Y-%m-%d").unwrap().parse(&format!("{year}-{month}-{day}"), true).is_ok() {
                        assert_eq!(days_since_1970(year, month, day), last + 1);
                        last += 1;
                    }
                }
            }
        }
        assert_eq!(last, days_since_1970(2399, 12, 31));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2020-02-30",
            "2019-02-29",
            "1900-02-29",
            "2020-13-01",
            "2020-00-01",
            "2020-01-00",
            "20-01-01",
            "2020-01-01x",
            "2020-1-",
            "２０２０-01-01",
            "-2020-01-01",
            "+020-01-01",
        ] {
            assert_eq!(parse("%Y-%m-%d", bad), Err(TimeFault::Form), "{bad}");
        }
        for bad in ["24:00:00", "23:60:00", "23:59:60"] {
            assert_eq!(parse("%Y-%m-%d %H:%M:%S", &format!("2020-01-01 {bad}")), Err(TimeFault::Form), "{bad}");
        }
        assert_eq!(parse("%Y-%m-%d%.6f", "2020-01-01.000001"), Err(TimeFault::TooFine));
        let format = TimeFormat::new("%Y-%m-%d%.6f").unwrap();
        assert_eq!(format.parse("1970-01-01.001999", false), Ok(1));
    }

    #[test]
    fn formats_that_mean_nothing_are_refused() {
        for bad in
            ["", "%Y-%m", "%Y-%m-%d %Q", "%Y-%m-%d %", "%Y-%m-%d %Y", "%Y-%m-%d%.f", "%Y-%m-%d%.0f", "%Y-%m-%d%.3f%f"]
        {
            assert!(TimeFormat::new(bad).is_err(), "{bad}");
        }
    }
}
