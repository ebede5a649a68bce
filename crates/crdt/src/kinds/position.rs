//! Positions: short strings that order the entries of a collection, with room between any two.

use core::fmt;
use core::iter;

/// A place in an order, as a string of `[0-9a-z]` that sorts bytewise. Between any two positions, before the first and
/// behind the last there is always another, so moving an entry writes that entry's `position` alone.
///
/// A position is a whole number and a fraction, both in base 36. The whole number begins with a digit that tells sign
/// and length (`i0` is zero, `iz` 35, `j00` 36, `hz` is minus one), so that appending ten thousand entries one after the
/// other takes positions of at most four characters. The fraction never ends in `0`.
///
/// Two devices may choose the same position at once; entries are then ordered by their ids.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(String);

/// The digit that begins whole numbers from zero on; smaller ones begin the negative numbers.
const FIRST_POSITIVE: u8 = 18;
const BASE: u8 = 36;

impl Position {
    /// The checked position; none if the string could not have come from here.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().map(digit_of).collect::<Option<_>>()?;
        let (whole, fraction) = split(&digits)?;
        // The least whole number alone would have nothing before it.
        let least = fraction.is_empty() && whole.iter().all(|digit| *digit == 0);
        (!least && fraction.last() != Some(&0)).then(|| Self(text.to_owned()))
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A position behind `lower` and before `upper`, as short as possible; none stands for the end on that side. None
    /// if `lower` is not before `upper`.
    pub fn between(lower: Option<&Self>, upper: Option<&Self>) -> Option<Self> {
        if let (Some(lower), Some(upper)) = (lower, upper)
            && lower >= upper
        {
            return None;
        }
        let lower = lower.map(Self::digits);
        let upper = upper.map(Self::digits);
        let digits = match (lower.as_deref().and_then(split), upper.as_deref().and_then(split)) {
            (None, None) => vec![FIRST_POSITIVE, 0],
            (None, Some((whole, fraction))) => before(whole, fraction),
            (Some((whole, fraction)), None) => behind(whole, fraction),
            (Some((whole, fraction)), Some((upper_whole, upper_fraction))) => {
                if whole == upper_whole {
                    joined(whole, &middle(fraction, Some(upper_fraction)))
                } else {
                    next_whole(whole)
                        .filter(|next| next.as_slice() != upper_whole || !upper_fraction.is_empty())
                        .unwrap_or_else(|| joined(whole, &middle(fraction, None)))
                }
            }
        };
        Some(Self(digits.into_iter().map(char_of).collect()))
    }

    fn digits(&self) -> Vec<u8> {
        self.0.bytes().filter_map(digit_of).collect()
    }
}

fn before(whole: &[u8], fraction: &[u8]) -> Vec<u8> {
    let is_least = |whole: &[u8]| whole.iter().all(|digit| *digit == 0);
    if is_least(whole) {
        return joined(whole, &middle(&[], Some(fraction)));
    }
    if !fraction.is_empty() {
        return whole.to_vec();
    }
    match previous_whole(whole) {
        Some(previous) if is_least(&previous) => joined(&previous, &middle(&[], None)),
        Some(previous) => previous,
        // Only the least whole number has none before it.
        None => joined(whole, &middle(&[], Some(fraction))),
    }
}

fn behind(whole: &[u8], fraction: &[u8]) -> Vec<u8> {
    next_whole(whole).unwrap_or_else(|| joined(whole, &middle(fraction, None)))
}

/// The fraction strictly between two, with `None` for one: their common beginning, then a digit between the first two
/// that differ; where these are neighbours, the upper one if more follows it there, else a digit further on.
fn middle(lower: &[u8], upper: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut upper = upper;
    let mut lower = lower.iter().copied().chain(iter::repeat(0));
    loop {
        // The lower fraction goes on with zeros for ever, but `upper` above it or 36 ends this.
        let low = lower.next().unwrap_or(0);
        let high = match upper {
            Some(upper) => upper.first().copied().unwrap_or(BASE),
            None => BASE,
        };
        if high.saturating_sub(low) > 1 {
            out.push(low + (high - low) / 2);
            return out;
        }
        if high > low && upper.is_some_and(|upper| upper.len() > 1) {
            out.push(high);
            return out;
        }
        out.push(low);
        upper = if high > low { None } else { upper.and_then(|upper| upper.get(1..)) };
    }
}

/// The whole number and the fraction; none if the digits are too few.
fn split(digits: &[u8]) -> Option<(&[u8], &[u8])> {
    digits.split_at_checked(whole_length(*digits.first()?))
}

fn whole_length(head: u8) -> usize {
    let digits = if head >= FIRST_POSITIVE { head - FIRST_POSITIVE + 1 } else { FIRST_POSITIVE - head };
    usize::from(digits) + 1
}

fn next_whole(whole: &[u8]) -> Option<Vec<u8>> {
    step_whole(whole, BASE - 1, 0, |digit| digit + 1, |head| head.checked_add(1).filter(|head| *head < BASE))
}

fn previous_whole(whole: &[u8]) -> Option<Vec<u8>> {
    step_whole(whole, 0, BASE - 1, |digit| digit - 1, |head| head.checked_sub(1))
}

/// The neighbour of a whole number: digits that are `full` turn to `empty` from the right, the next one moves a `step`;
/// when all are full, the next head begins with all its digits empty.
fn step_whole(
    whole: &[u8],
    full: u8,
    empty: u8,
    step: fn(u8) -> u8,
    head_step: fn(u8) -> Option<u8>,
) -> Option<Vec<u8>> {
    let (head, digits) = whole.split_first()?;
    let mut digits = digits.to_vec();
    for digit in digits.iter_mut().rev() {
        if *digit != full {
            *digit = step(*digit);
            return Some(joined(&[*head], &digits));
        }
        *digit = empty;
    }
    let head = head_step(*head)?;
    Some(joined(&[head], &vec![empty; whole_length(head) - 1]))
}

fn joined(whole: &[u8], fraction: &[u8]) -> Vec<u8> {
    [whole, fraction].concat()
}

fn digit_of(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'z' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn char_of(digit: u8) -> char {
    char::from(if digit < 10 { b'0' + digit } else { b'a' + (digit - 10) })
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    fn between(lower: &str, upper: &str) -> String {
        let side = |text: &str| (!text.is_empty()).then(|| position(text));
        Position::between(side(lower).as_ref(), side(upper).as_ref()).unwrap().to_string()
    }

    #[test]
    fn neighbours_are_as_documented() {
        assert_eq!(between("", ""), "i0");
        assert_eq!(between("i0", ""), "i1");
        assert_eq!(between("iz", ""), "j00");
        assert_eq!(between("", "i0"), "hz");
        assert_eq!(between("", "h0"), "gzz");
        assert_eq!(between("gzz", "i0"), "h0");
        assert_eq!(between("i0", "i1"), "i0i");
        assert_eq!(between("i0", "i2"), "i1");
        assert_eq!(between("i0", "i01"), "i00i");
        assert_eq!(between("i0", "i1i"), "i1");
        assert_eq!(between("i0z", "i1"), "i0zi");
        assert_eq!(between("i0i", "i0j5"), "i0j");
    }

    #[test]
    fn equal_or_turned_bounds_have_nothing_between() {
        assert_eq!(Position::between(Some(&position("i1")), Some(&position("i1"))), None);
        assert_eq!(Position::between(Some(&position("i2")), Some(&position("i1"))), None);
    }

    #[test]
    fn appending_stays_short_and_inserting_at_one_place_grows_slowly() {
        let mut last = position("i0");
        for _ in 0..10_000 {
            let next = Position::between(Some(&last), None).unwrap();
            assert!(next > last && next.as_str().len() <= 4);
            last = next;
        }
        let (first, mut upper) = (position("i0"), position("i1"));
        for _ in 0..1000 {
            upper = Position::between(Some(&first), Some(&upper)).unwrap();
        }
        assert!(upper.as_str().len() <= 250, "{}", upper.as_str().len());
    }

    #[test]
    fn the_ends_of_the_whole_numbers_still_leave_room() {
        let greatest = position(&"z".repeat(19));
        let beyond = Position::between(Some(&greatest), None).unwrap();
        assert!(beyond > greatest && Position::parse(beyond.as_str()).is_some());
        let nearly_least = position(&format!("{}1", "0".repeat(18)));
        let mut first = nearly_least;
        for _ in 0..20 {
            let before = Position::between(None, Some(&first)).unwrap();
            assert!(before < first && Position::parse(before.as_str()).is_some(), "{before}");
            first = before;
        }
    }

    #[test]
    fn foreign_strings_are_no_positions() {
        let least = "0".repeat(19);
        for text in ["", "i", "j0", "i00", "I0", "i-", "i0é", least.as_str()] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_insertions_keeps_its_order(places in proptest::collection::vec(any::<proptest::sample::Index>(), 1..300)) {
            let mut order: Vec<Position> = Vec::new();
            for place in places {
                let index = place.index(order.len() + 1);
                let lower = index.checked_sub(1).and_then(|before| order.get(before));
                let new = Position::between(lower, order.get(index)).unwrap();
                prop_assert_eq!(Position::parse(new.as_str()), Some(new.clone()));
                order.insert(index, new);
            }
            prop_assert!(order.is_sorted());
            prop_assert!(order.windows(2).all(|pair| pair[0] != pair[1]));
        }

        #[test]
        fn hostile_positions_never_panic(lower in "[0-9a-z]{0,24}", upper in "[0-9a-z]{0,24}") {
            let (lower, upper) = (Position::parse(&lower), Position::parse(&upper));
            if let Some(middle) = Position::between(lower.as_ref(), upper.as_ref()) {
                prop_assert!(lower.is_none_or(|lower| lower < middle));
                prop_assert!(upper.is_none_or(|upper| middle < upper));
            }
        }
    }
}
