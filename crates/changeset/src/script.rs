//! The edit script of a change set: what it does, with its values apart.
//!
//! The *skeleton* says which paths, ops, types, text positions and lengths; the values stand beside it, each under a
//! salted commitment of its own, so that single ones can be purged while the signature still verifies and the
//! structure can still be rebuilt.

use crate::cbor::{Kind as Item, Reader, Writer};
use crate::error::{DecodeError, Fault};
use crate::id::Path;
use crate::limits::{MAX_LINES, MAX_OPS, MAX_PATH_BYTES, MAX_SKELETON_BYTES, MAX_TEXT_RANGES, MAX_VALUE_BYTES};
use crate::value::{Value, ValueType, increment_to_bytes};
use std::collections::{HashMap, HashSet};

/// What a script says, values apart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Skeleton {
    /// The length in bytes of the person's reason, which is then value 0.
    pub reason: Option<u32>,
    /// What is done, in order.
    pub ops: Vec<Op>,
}

/// One op of a skeleton. Each op but [`Op::Delete`] and [`Op::DeleteText`] has one value, in op order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a value at a path, over everything visible there.
    Put {
        /// Where.
        path: Path,
        /// The type of the value.
        value_type: ValueType,
        /// The length of the value in bytes.
        bytes: u32,
    },
    /// Removes everything visible at a path.
    Delete {
        /// Where.
        path: Path,
    },
    /// Adds to a counter.
    Increment {
        /// Where.
        path: Path,
        /// The length of the amount in bytes.
        bytes: u32,
    },
    /// Inserts text between two items.
    InsertText {
        /// The text field.
        path: Path,
        /// The item before, or the start of the field.
        left: Option<ItemRef>,
        /// The item after, or the end of the field.
        right: Option<ItemRef>,
        /// The length of the text in UTF-8 bytes.
        bytes: u32,
        /// Its length in Unicode code points.
        points: u32,
    },
    /// Deletes ranges of text.
    DeleteText {
        /// The text field.
        path: Path,
        /// What is deleted: sorted by line (the own one first, then by name) and clock, with a gap between any two of
        /// one line.
        ranges: Vec<ItemRange>,
    },
}

impl Op {
    /// The path or text field that the op touches.
    pub fn path(&self) -> &Path {
        match self {
            Self::Put { path, .. }
            | Self::Delete { path }
            | Self::Increment { path, .. }
            | Self::InsertText { path, .. }
            | Self::DeleteText { path, .. } => path,
        }
    }

    /// The length in bytes of the op's value, if it has one.
    pub fn value_bytes(&self) -> Option<u32> {
        match self {
            Self::Put { bytes, .. } | Self::Increment { bytes, .. } | Self::InsertText { bytes, .. } => Some(*bytes),
            Self::Delete { .. } | Self::DeleteText { .. } => None,
        }
    }
}

/// Whose inserts a clock counts; see rule 13 in `spec/documents.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    /// The line of the change set that speaks, its own earlier ops included.
    Own,
    /// The actor with this id, or the line that ends with the change set of this id.
    Named([u8; 32]),
}

/// One character of a text: the `clock`-th code point that a line inserted in this document, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemRef {
    /// Whose.
    pub line: Line,
    /// Which.
    pub clock: u32,
}

/// `length` characters from `start` on along one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemRange {
    /// The first character.
    pub start: ItemRef,
    /// How many; at least 1.
    pub length: u32,
}

const PUT: u64 = 0;
const DELETE: u64 = 1;
const INCREMENT: u64 = 2;
const INSERT_TEXT: u64 = 3;
const DELETE_TEXT: u64 = 4;

impl Skeleton {
    /// The lengths of the values in order: the reason's first, then each op's that has one.
    pub fn value_lengths(&self) -> impl Iterator<Item = u32> + '_ {
        self.reason.into_iter().chain(self.ops.iter().filter_map(Op::value_bytes))
    }

    /// The bytes, as `spec/change-set.md` lays them out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lines = self.lines();
        let mut paths: HashMap<&Path, usize> = HashMap::new();
        let mut out = Writer::with_capacity(32 + 32 * self.ops.len());
        out.array(3);
        match self.reason {
            Some(length) => out.uint(u64::from(length)),
            None => out.null(),
        }
        out.array(lines.len());
        lines.iter().for_each(|line| out.bytes(line));
        let lines: HashMap<[u8; 32], usize> = lines.into_iter().zip(1..).collect();
        out.array(self.ops.len());
        for op in &self.ops {
            let (code, items) = match op {
                Op::Put { .. } => (PUT, 4),
                Op::Delete { .. } => (DELETE, 2),
                Op::Increment { .. } => (INCREMENT, 3),
                Op::InsertText { .. } => (INSERT_TEXT, 6),
                Op::DeleteText { .. } => (DELETE_TEXT, 3),
            };
            out.array(items);
            out.uint(code);
            match paths.get(op.path()) {
                Some(index) => out.uint(*index as u64),
                None => {
                    out.text(op.path().as_str());
                    paths.insert(op.path(), paths.len());
                }
            }
            match op {
                Op::Put { value_type, bytes, .. } => {
                    out.uint(value_type.code());
                    out.uint(u64::from(*bytes));
                }
                Op::Delete { .. } => {}
                Op::Increment { bytes, .. } => out.uint(u64::from(*bytes)),
                Op::InsertText { left, right, bytes, points, .. } => {
                    for origin in [left, right] {
                        match origin {
                            None => out.null(),
                            Some(item) => {
                                out.array(2);
                                write_item(&mut out, &lines, item);
                            }
                        }
                    }
                    out.uint(u64::from(*bytes));
                    out.uint(u64::from(*points));
                }
                Op::DeleteText { ranges, .. } => {
                    out.array(ranges.len());
                    for range in ranges {
                        out.array(3);
                        write_item(&mut out, &lines, &range.start);
                        out.uint(u64::from(range.length));
                    }
                }
            }
        }
        out.into_bytes()
    }

    /// Reads a skeleton strictly.
    ///
    /// # Errors
    /// [`DecodeError`]; an entry with such a skeleton is in its chain, but has no content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "skeleton");
        if bytes.len() > MAX_SKELETON_BYTES {
            return Err(reader.fault(Fault::OverLimit { limit: MAX_SKELETON_BYTES as u64 }));
        }
        reader.array_of(3)?;
        let reason = if reader.null() { None } else { Some(reader.uint(MAX_VALUE_BYTES as u64)? as u32) };
        let lines_at = reader.position();
        let mut lines: Vec<[u8; 32]> = Vec::new();
        for _ in 0..reader.array(MAX_LINES)? {
            lines.push(reader.fixed()?);
        }
        let mut names = Names { lines, named: 0, paths: Vec::new(), seen: HashSet::new() };
        let count = reader.array(MAX_OPS)?;
        let mut ops = Vec::with_capacity(count);
        for _ in 0..count {
            ops.push(read_op(&mut reader, &mut names)?);
        }
        reader.finish()?;
        let skeleton = Self { reason, ops };
        // The table lists each line once, in the order of first use.
        if names.named != names.lines.len() || has_repeat(&names.lines) {
            return Err(reader.fault_at(lines_at, Fault::NotCanonical("each line once, in order of first use")));
        }
        Ok(skeleton)
    }

    /// The lines that the ops name, in order of first use.
    fn lines(&self) -> Vec<[u8; 32]> {
        let mut lines = Vec::new();
        let mut known = HashSet::new();
        let mut seen = |item: &ItemRef| {
            if let Line::Named(line) = item.line
                && known.insert(line)
            {
                lines.push(line);
            }
        };
        for op in &self.ops {
            match op {
                Op::InsertText { left, right, .. } => left.iter().chain(right).for_each(&mut seen),
                Op::DeleteText { ranges, .. } => ranges.iter().for_each(|range| seen(&range.start)),
                Op::Put { .. } | Op::Delete { .. } | Op::Increment { .. } => {}
            }
        }
        lines
    }
}

fn has_repeat(lines: &[[u8; 32]]) -> bool {
    let mut sorted: Vec<&[u8; 32]> = lines.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair.first() == pair.last())
}

fn write_item(out: &mut Writer, lines: &HashMap<[u8; 32], usize>, item: &ItemRef) {
    let index = match item.line {
        Line::Own => 0,
        Line::Named(line) => lines.get(&line).copied().unwrap_or_default(),
    };
    out.uint(index as u64);
    out.uint(u64::from(item.clock));
}

/// The tables that ops refer into while a skeleton is read.
struct Names {
    lines: Vec<[u8; 32]>,
    /// How many lines were named so far; the next new one must be the next of the table.
    named: usize,
    paths: Vec<Path>,
    /// The same paths: a list of thousands is not searched for each.
    seen: HashSet<Path>,
}

fn read_op(reader: &mut Reader<'_>, names: &mut Names) -> Result<Op, DecodeError> {
    let start = reader.position();
    let items = reader.array(6)?;
    let code = reader.uint(u64::MAX)?;
    let path = read_path(reader, names)?;
    let op = match (code, items) {
        (PUT, 4) => {
            let at = reader.position();
            let code = reader.uint(u64::MAX)?;
            let value_type = ValueType::from_code(code).ok_or_else(|| reader.fault_at(at, Fault::UnknownCode(code)))?;
            Op::Put { path, value_type, bytes: reader.uint(MAX_VALUE_BYTES as u64)? as u32 }
        }
        (DELETE, 2) => Op::Delete { path },
        (INCREMENT, 3) => Op::Increment { path, bytes: reader.uint(MAX_VALUE_BYTES as u64)? as u32 },
        (INSERT_TEXT, 6) => {
            let left = read_origin(reader, names)?;
            let right = read_origin(reader, names)?;
            let bytes = reader.uint(MAX_VALUE_BYTES as u64)? as u32;
            let at = reader.position();
            let points = reader.uint(u64::from(bytes))? as u32;
            // UTF-8 takes one to four bytes a code point.
            if points == 0 || bytes.div_ceil(4) > points {
                return Err(reader.fault_at(at, Fault::BadReference("a text of this length")));
            }
            Op::InsertText { path, left, right, bytes, points }
        }
        (DELETE_TEXT, 3) => {
            let count = reader.array(MAX_TEXT_RANGES)?;
            if count == 0 {
                return Err(reader.fault(Fault::Zero));
            }
            let mut ranges: Vec<ItemRange> = Vec::with_capacity(count);
            for _ in 0..count {
                let from = reader.position();
                reader.array_of(3)?;
                let start = read_item(reader, names)?;
                // In order, apart and never twice: what a deletion costs is bounded by the text there is.
                let follows = |last: &ItemRange| {
                    (last.start.line, last.start.clock.saturating_add(last.length)) < (start.line, start.clock)
                };
                if !ranges.last().is_none_or(follows) {
                    return Err(reader.fault_at(from, Fault::Unsorted));
                }
                let at = reader.position();
                let length = reader.uint32()?;
                if length == 0 {
                    return Err(reader.fault_at(at, Fault::Zero));
                }
                if start.clock.checked_add(length).is_none() {
                    return Err(reader.fault_at(at, Fault::OverLimit { limit: u64::from(u32::MAX) }));
                }
                ranges.push(ItemRange { start, length });
            }
            Op::DeleteText { path, ranges }
        }
        _ => return Err(reader.fault_at(start, Fault::UnknownCode(code))),
    };
    Ok(op)
}

/// A path is written out where it first appears and by its number after that.
fn read_path(reader: &mut Reader<'_>, names: &mut Names) -> Result<Path, DecodeError> {
    let at = reader.position();
    if reader.peek() == Some(Item::Uint) {
        let index = reader.uint(MAX_OPS as u64)?;
        return names
            .paths
            .get(index as usize)
            .cloned()
            .ok_or_else(|| reader.fault_at(at, Fault::BadReference("a path")));
    }
    let path = Path::new(reader.text(MAX_PATH_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
    if !names.seen.insert(path.clone()) {
        return Err(reader.fault_at(at, Fault::NotCanonical("a path that appeared before is named by its number")));
    }
    names.paths.push(path.clone());
    Ok(path)
}

fn read_origin(reader: &mut Reader<'_>, names: &mut Names) -> Result<Option<ItemRef>, DecodeError> {
    if reader.null() {
        return Ok(None);
    }
    reader.array_of(2)?;
    read_item(reader, names).map(Some)
}

fn read_item(reader: &mut Reader<'_>, names: &mut Names) -> Result<ItemRef, DecodeError> {
    let at = reader.position();
    let line = match reader.uint(MAX_LINES as u64)? as usize {
        0 => Line::Own,
        index => {
            let line = names.lines.get(index - 1).ok_or_else(|| reader.fault_at(at, Fault::BadReference("a line")))?;
            if index - 1 > names.named {
                return Err(reader.fault_at(at, Fault::NotCanonical("each line once, in order of first use")));
            }
            names.named = names.named.max(index);
            Line::Named(*line)
        }
    };
    Ok(ItemRef { line, clock: reader.uint32()? })
}

/// A script with its values, as an author records it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// What is done, in order.
    pub edits: Vec<Edit>,
}

/// One op with its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// See [`Op::Put`].
    Put {
        /// Where.
        path: Path,
        /// What.
        value: Value,
    },
    /// See [`Op::Delete`].
    Delete {
        /// Where.
        path: Path,
    },
    /// See [`Op::Increment`].
    Increment {
        /// Where.
        path: Path,
        /// How much.
        amount: i64,
    },
    /// See [`Op::InsertText`].
    InsertText {
        /// The text field.
        path: Path,
        /// The item before.
        left: Option<ItemRef>,
        /// The item after.
        right: Option<ItemRef>,
        /// What; not empty.
        text: String,
    },
    /// See [`Op::DeleteText`].
    DeleteText {
        /// The text field.
        path: Path,
        /// What.
        ranges: Vec<ItemRange>,
    },
}

impl Edit {
    /// The path or text field that the edit touches.
    pub fn path(&self) -> &Path {
        match self {
            Self::Put { path, .. }
            | Self::Delete { path }
            | Self::Increment { path, .. }
            | Self::InsertText { path, .. }
            | Self::DeleteText { path, .. } => path,
        }
    }
}

impl Script {
    /// Whether nothing is done and nothing is said.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.reason.is_none()
    }

    /// Splits it into skeleton and values.
    pub fn split(&self) -> (Skeleton, Vec<Vec<u8>>) {
        let mut values = Vec::with_capacity(self.edits.len() + 1);
        let reason = self.reason.as_ref().map(|reason| keep(&mut values, reason.as_bytes().to_vec()));
        let ops = self
            .edits
            .iter()
            .map(|edit| match edit {
                Edit::Put { path, value } => Op::Put {
                    path: path.clone(),
                    value_type: value.value_type(),
                    bytes: keep(&mut values, value.to_bytes()),
                },
                Edit::Delete { path } => Op::Delete { path: path.clone() },
                Edit::Increment { path, amount } => {
                    Op::Increment { path: path.clone(), bytes: keep(&mut values, increment_to_bytes(*amount)) }
                }
                Edit::InsertText { path, left, right, text } => Op::InsertText {
                    path: path.clone(),
                    left: *left,
                    right: *right,
                    bytes: keep(&mut values, text.as_bytes().to_vec()),
                    points: text.chars().count() as u32,
                },
                Edit::DeleteText { path, ranges } => Op::DeleteText { path: path.clone(), ranges: ranges.clone() },
            })
            .collect();
        (Skeleton { reason, ops }, values)
    }
}

fn keep(values: &mut Vec<Vec<u8>>, value: Vec<u8>) -> u32 {
    let bytes = value.len() as u32;
    values.push(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    fn item(line: Line, clock: u32) -> ItemRef {
        ItemRef { line, clock }
    }

    fn sample() -> Script {
        let other = Line::Named([9; 32]);
        Script {
            reason: Some("gauge misread".into()),
            edits: vec![
                Edit::Put { path: path("status"), value: "draft".into() },
                Edit::Put { path: path("status"), value: Value::Null },
                Edit::Delete { path: path("items/7/.") },
                Edit::Increment { path: path("picked"), amount: -3 },
                Edit::InsertText {
                    path: path("note"),
                    left: Some(item(other, 70_000)),
                    right: Some(item(Line::Own, 0)),
                    text: "Öl 😀".into(),
                },
                Edit::DeleteText {
                    path: path("note"),
                    ranges: vec![ItemRange { start: item(Line::Named([8; 32]), 3), length: 2 }],
                },
            ],
        }
    }

    #[test]
    fn a_skeleton_comes_back_and_lists_its_values_in_order() {
        let (skeleton, values) = sample().split();
        assert_eq!(Skeleton::from_bytes(&skeleton.to_bytes()), Ok(skeleton.clone()));
        assert!(skeleton.value_lengths().eq(values.iter().map(|value| value.len() as u32)));
        assert_eq!(values[0], b"gauge misread");
    }

    #[test]
    fn every_truncation_is_refused_and_every_accepted_mutation_is_canonical() {
        let bytes = sample().split().0.to_bytes();
        for end in 0..bytes.len() {
            assert!(Skeleton::from_bytes(&bytes[..end]).is_err());
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutated = bytes.clone();
                mutated[at] ^= 1 << bit;
                if let Ok(skeleton) = Skeleton::from_bytes(&mutated) {
                    assert_eq!(skeleton.to_bytes(), mutated);
                }
            }
        }
    }

    #[test]
    fn a_text_length_that_no_utf8_has_is_refused() {
        let op = |bytes, points| Op::InsertText { path: path("t"), left: None, right: None, bytes, points };
        for (bytes, points, fits) in [(4, 1, true), (5, 1, false), (3, 4, false), (0, 0, false), (8, 2, true)] {
            let skeleton = Skeleton { reason: None, ops: vec![op(bytes, points)] };
            assert_eq!(Skeleton::from_bytes(&skeleton.to_bytes()).is_ok(), fits, "{bytes} {points}");
        }
    }
}
