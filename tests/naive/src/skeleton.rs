//! Skeletons: what a script does, without its values.

use crate::Id;
use crate::cbor::{Item, decode};
use crate::names::{MAX_OPS, MAX_U32, MAX_VALUE, is_path};
use crate::refused::{At, Need, Refused};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skeleton {
    pub(crate) lines: Vec<Id>,
    pub(crate) ops: Vec<Op>,
    /// Of the values, the reason's first.
    pub(crate) lengths: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) path: String,
    pub(crate) act: Act,
}

/// `value` is the number of the op's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Put { code: u64, value: usize },
    Delete,
    Increment { value: usize },
    InsertText { left: Option<Place>, right: Option<Place>, value: usize, points: u64 },
    DeleteText { ranges: Vec<(Place, u64)> },
}

impl Act {
    pub(crate) fn is_structural(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete | Self::Increment { .. })
    }
}

/// What names a unit: the number of a line, 0 the own one, and a clock on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) clock: u64,
}

impl Skeleton {
    pub(crate) fn read(data: &[u8]) -> Result<Self, Refused> {
        (data.len() <= 1 << 19).need("skeleton: too long")?;
        let item = decode(data)?;
        let [reason, lines, script] = item.array().need("skeleton: not an array of 3")?;
        let lines = lines.list().filter(|lines| lines.len() <= 1024).need("skeleton: lines")?;
        let lines: Option<Vec<Id>> = lines.iter().map(Item::fixed).collect();
        let lines = lines.need("skeleton: lines")?;
        (lines.iter().collect::<BTreeSet<_>>().len() == lines.len()).need("skeleton: a line twice")?;
        let script = script.list().filter(|script| script.len() <= MAX_OPS).need("skeleton: ops")?;
        let mut reader = Reader { lines, used: 0, paths: Vec::new(), lengths: Vec::new() };
        if !reason.is_null() {
            reader.value(reason)?;
        }
        let ops = script.iter().enumerate().map(|(number, op)| reader.op(op).at("op", number));
        let ops = ops.collect::<Result<_, _>>()?;
        (reader.used == reader.lines.len()).need("skeleton: a line that no op names")?;
        Ok(Self { lines: reader.lines, ops, lengths: reader.lengths })
    }
}

struct Reader {
    lines: Vec<Id>,
    /// How many of the lines were named.
    used: usize,
    paths: Vec<String>,
    lengths: Vec<u64>,
}

impl Reader {
    fn op(&mut self, item: &Item<'_>) -> Result<Op, Refused> {
        let [code, path, rest @ ..] = item.list().need("skeleton: op")? else { return None.need("skeleton: op") };
        let path = self.path(path)?;
        let act = match (code, rest) {
            (Item::Uint(0), [code, length]) => {
                Act::Put { code: code.uint(9).need("skeleton: type")?, value: self.value(length)? }
            }
            (Item::Uint(1), []) => Act::Delete,
            (Item::Uint(2), [length]) => Act::Increment { value: self.value(length)? },
            (Item::Uint(3), [left, right, length, points]) => {
                let (left, right) = (self.origin(left)?, self.origin(right)?);
                let points = points.uint(MAX_VALUE).filter(|points| *points >= 1).need("skeleton: points")?;
                let value = self.value(length)?;
                let fits = (points..=4 * points).contains(&self.lengths[value]);
                fits.need("skeleton: points do not fit the length")?;
                Act::InsertText { left, right, value, points }
            }
            (Item::Uint(4), [ranges]) => Act::DeleteText { ranges: self.ranges(ranges)? },
            _ => return None.need("skeleton: op"),
        };
        Ok(Op { path, act })
    }

    /// Written out where it is new, else the number that it got there.
    fn path(&mut self, item: &Item<'_>) -> Result<String, Refused> {
        if let Item::Uint(number) = item {
            let known = usize::try_from(*number).ok().and_then(|number| self.paths.get(number));
            return known.cloned().need("skeleton: path number");
        }
        let path = item.text().filter(|path| is_path(path)).need("skeleton: path")?.to_owned();
        (!self.paths.contains(&path)).need("skeleton: path written out twice")?;
        self.paths.push(path.clone());
        Ok(path)
    }

    fn value(&mut self, length: &Item<'_>) -> Result<usize, Refused> {
        self.lengths.push(length.uint(MAX_VALUE).need("skeleton: length of a value")?);
        Ok(self.lengths.len() - 1)
    }

    fn origin(&mut self, item: &Item<'_>) -> Result<Option<Place>, Refused> {
        if item.is_null() {
            return Ok(None);
        }
        let [line, clock] = item.array().need("skeleton: origin")?;
        self.place(line, clock).map(Some)
    }

    fn place(&mut self, line: &Item<'_>, clock: &Item<'_>) -> Result<Place, Refused> {
        let line = line.uint(self.lines.len() as u64).need("skeleton: line")? as usize;
        let clock = clock.uint(MAX_U32).need("skeleton: clock")?;
        (line <= self.used + 1).need("skeleton: lines not in the order of first use")?;
        self.used = self.used.max(line);
        Ok(Place { line, clock })
    }

    fn ranges(&mut self, item: &Item<'_>) -> Result<Vec<(Place, u64)>, Refused> {
        let items = item.list().filter(|it| (1..=4096).contains(&it.len())).need("skeleton: ranges")?;
        let mut ranges: Vec<(Place, u64)> = Vec::new();
        for item in items {
            let [line, clock, count] = item.array().need("skeleton: range")?;
            let place = self.place(line, clock)?;
            let most = MAX_U32 - place.clock;
            let count = count.uint(most).filter(|count| *count >= 1).need("skeleton: count of a range")?;
            // The own line comes first, then the others by name; a gap between any two of one line.
            let is_apart = ranges.last().is_none_or(|(last, count)| match (last.line, place.line) {
                (before, now) if before == now => last.clock + count < place.clock,
                (0, _) => true,
                (_, 0) => false,
                (before, now) => self.lines[before - 1] < self.lines[now - 1],
            });
            is_apart.need("skeleton: ranges not ascending and apart")?;
            ranges.push((place, count));
        }
        Ok(ranges)
    }
}
