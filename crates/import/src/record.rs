//! Records: what one row of the source becomes, with the rows that are joined to it.

use crate::error::{Fault, ImportError, shorten};
use crate::import::{Entry, Field, Import, Join, Origin, PathTemplate, Slot, Split};
use crate::limits::{MAX_RECORD_BYTES, MAX_RECORD_SKELETON_BYTES};
use crate::mapping::{Missing, Repeats};
use crate::table::{Problems, Table};
use crate::template::{Template, segment};
use changeset::limits::{MAX_OPS, MAX_PATH_BYTES, MAX_TIME_MS, MAX_VALUE_BYTES};
use changeset::{DocumentId, DocumentKey, Kind, Path, Value};
use core::str::FromStr;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One document to be: what a single intent writes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The document. The same row gives the same document on every device, see [`document_id`].
    pub key: DocumentKey,
    /// The CSV file with the row.
    pub source: Arc<str>,
    /// The physical line where the row begins, from 1.
    pub line: u64,
    /// The values, each path once; those of joined entries behind those of the record itself.
    pub puts: Vec<(Path, Value)>,
    /// The text fields; none is empty.
    pub texts: Vec<(Path, String)>,
}

/// One of several equal shares of an import, written `2/3`: the rows whose number, counted from 0, leaves the remainder
/// 1 when divided by 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    part: u64,
    parts: u64,
}

impl Part {
    /// Everything.
    pub const WHOLE: Self = Self { part: 1, parts: 1 };

    /// The part of this number, from 1 to `parts`.
    ///
    /// # Errors
    /// [`ImportError::Part`] if there is no such part.
    pub fn new(part: u64, parts: u64) -> Result<Self, ImportError> {
        if (1..=parts).contains(&part) { Ok(Self { part, parts }) } else { Err(ImportError::Part { part, parts }) }
    }

    /// Whether the row of this number, from 0, belongs to it.
    pub(crate) fn has(self, row: u64) -> bool {
        row % self.parts == self.part - 1
    }
}

impl FromStr for Part {
    type Err = ImportError;

    /// Reads `2/3`. What is not of this form counts as part 0 of 0.
    fn from_str(text: &str) -> Result<Self, ImportError> {
        let number = |text: &str| text.parse().unwrap_or_default();
        let (part, parts) = text.split_once('/').unwrap_or_default();
        Self::new(number(part), number(parts))
    }
}

/// The id of the document that a row makes: version 7, from `time_ms` (0 where the mapping names no column for it) and
/// ten bytes of blake3 `derive_key("fieldbook v1 import", kind ‖ 0x00 ‖ label ‖ 0x00 ‖ key)`, where each value of the
/// key is preceded by its length in bytes as 8 bytes little-endian. So two devices that import the same row, be it from
/// copies of the file or from later editions of it, name the same document, as long as its key and time are the same.
pub fn document_id<'a>(kind: &Kind, label: &str, key: impl IntoIterator<Item = &'a str>, time_ms: u64) -> DocumentId {
    let mut hasher = blake3::Hasher::new_derive_key("fieldbook v1 import");
    hasher.update(kind.as_str().as_bytes()).update(&[0]).update(label.as_bytes()).update(&[0]);
    for value in key {
        hasher.update(&(value.len() as u64).to_le_bytes()).update(value.as_bytes());
    }
    let mut random = [0; 10];
    hasher.finalize_xof().fill(&mut random);
    DocumentId::from_parts(time_ms, random)
}

/// The position of an entry by its number, from 0, as the models number entries that are appended: a letter that tells
/// the count of digits (`i` one, `j` two, …), then the number among those of its length in base 36. Positions sort by
/// their bytes as the numbers do.
///
/// ```
/// use fieldbook_import::position;
///
/// assert_eq!([0, 35, 36, 36 + 1296].map(position), ["i0", "iz", "j00", "k000"]);
/// ```
pub fn position(number: u64) -> String {
    let (mut letter, mut digits, mut rest, mut span) = (b'i', 1, number, 36_u64);
    while rest >= span {
        rest -= span;
        digits += 1;
        letter += 1;
        // Beyond 64 bits there are no more numbers to place.
        span = span.saturating_mul(36);
    }
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        let digit = (rest % 36) as u8;
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        rest /= 36;
    }
    core::iter::once(letter).chain(text).map(char::from).collect()
}

/// Makes the record of one row.
pub(crate) struct Builder<'a, 'p> {
    import: &'a Import,
    problems: &'p mut Problems,
    row: usize,
    puts: Vec<(Path, Value)>,
    texts: Vec<(Path, String)>,
    /// What the change set's skeleton and whole body will take at most.
    skeleton_bytes: usize,
    bytes: usize,
    last: Option<LookedUp<'a>>,
    broken: bool,
    /// The record is beyond a limit: nothing more is added.
    full: bool,
}

/// The row that fields are read from.
#[derive(Clone, Copy)]
struct Scope<'a, 'c> {
    number: usize,
    table: &'a Table,
    row: usize,
    captures: &'c [Option<&'a str>],
    /// The column that captures come from.
    split: Option<usize>,
}

/// A cell, or a whole row.
#[derive(Clone, Copy)]
struct Place<'a> {
    number: usize,
    table: &'a Table,
    row: usize,
    column: Option<usize>,
}

impl<'a> Scope<'a, '_> {
    fn value(&self, slot: Slot) -> Option<&'a str> {
        match slot {
            Slot::Column(column) => Some(self.table.cell(self.row, column)),
            Slot::Capture(capture) => self.captures.get(capture).copied().flatten(),
        }
    }

    /// The place of a value, or the row's without one.
    fn at(&self, slot: Option<Slot>) -> Place<'a> {
        let column = match slot {
            Some(Slot::Column(column)) => Some(column),
            Some(Slot::Capture(_)) => self.split,
            None => None,
        };
        Place { number: self.number, table: self.table, row: self.row, column }
    }
}

/// The answer to a look-up.
struct LookedUp<'a> {
    index: usize,
    key: Vec<&'a str>,
    row: Option<usize>,
}

/// What a field finds before it is converted.
enum Found<'a> {
    Nothing,
    /// A problem that is already noted.
    Broken,
    Text(Cow<'a, str>, Place<'a>),
    Constant(&'a Value),
}

impl<'a, 'p> Builder<'a, 'p> {
    pub(crate) fn new(import: &'a Import, problems: &'p mut Problems, row: usize) -> Self {
        Self {
            import,
            problems,
            row,
            puts: Vec::new(),
            texts: Vec::new(),
            skeleton_bytes: 0,
            bytes: 0,
            last: None,
            broken: false,
            full: false,
        }
    }

    /// The record, if nothing is wrong with it; what is wrong was added to the problems.
    pub(crate) fn build(mut self) -> Option<Record> {
        let import = self.import;
        let table = import.tables.first()?;
        let scope = Scope { number: 0, table, row: self.row, captures: &[], split: None };
        let id = self.id(&scope);
        for field in &import.fields {
            self.field(field, None, &scope);
        }
        for join in &import.joins {
            self.join(join, &scope);
        }
        for split in &import.splits {
            self.split(split, &scope);
        }
        if !self.broken {
            self.check_paths(&scope);
        }
        if self.broken {
            return None;
        }
        Some(Record {
            key: DocumentKey { kind: import.kind.clone(), id },
            source: Arc::clone(&table.name),
            line: table.line(self.row),
            puts: self.puts,
            texts: self.texts,
        })
    }

    fn problem(&mut self, at: Place<'_>, value: Option<&str>, fault: Fault) {
        self.broken = true;
        self.problems.add(at.number, at.table, at.table.line(at.row), at.column, value, fault);
    }

    fn is_null(&self, text: &str) -> bool {
        self.import.nulls.iter().any(|null| null == text)
    }

    fn id(&mut self, scope: &Scope<'a, '_>) -> DocumentId {
        let import = self.import;
        for column in &import.key {
            let text = scope.table.cell(scope.row, *column);
            if self.is_null(text) {
                self.problem(scope.at(Some(Slot::Column(*column))), Some(text), Fault::NoKey);
            }
        }
        let mut time = 0;
        if let Some((column, rule)) = &import.created {
            let text = scope.table.cell(scope.row, *column);
            let at = scope.at(Some(Slot::Column(*column)));
            match rule.read(text, "created") {
                Ok(Some(Value::Timestamp(ms))) => match u64::try_from(ms) {
                    Ok(ms) if ms <= MAX_TIME_MS => time = ms,
                    _ => self.problem(at, Some(text), Fault::NoIdTime),
                },
                Ok(_) => {}
                Err(fault) => self.problem(at, Some(text), fault),
            }
        }
        document_id(&import.kind, &import.label, scope.table.key(scope.row, &import.key), time)
    }

    /// Writes what a field gives; `entry` is the path of the entry that the field belongs to.
    fn field(&mut self, field: &'a Field, entry: Option<&str>, scope: &Scope<'a, '_>) {
        let (value, at) = match self.find(field, scope) {
            Found::Broken => return,
            Found::Nothing => (None, scope.at(None)),
            Found::Constant(value) => (Some(value.clone()), scope.at(None)),
            Found::Text(text, at) => match field.rule.read(&text, &field.path.text) {
                Ok(value) => (value, at),
                Err(fault) => return self.problem(at, Some(&text), fault),
            },
        };
        let value = match value {
            Some(Value::String(text)) if text.len() > MAX_VALUE_BYTES => {
                return self.problem(at, Some(&text), Fault::TooLong { bytes: text.len(), limit: MAX_VALUE_BYTES });
            }
            // A text without characters is one where nothing was ever written.
            Some(Value::String(text)) if field.text && text.is_empty() => return,
            Some(value) => value,
            None if field.keep_null => Value::Null,
            None => return,
        };
        if let Some(path) = self.path(&field.path, entry, scope) {
            self.write(path, value, field.text, scope);
        }
    }

    /// Adds a value or text to the record, unless it would be beyond what a change set takes.
    fn write(&mut self, path: Path, value: Value, text: bool, scope: &Scope<'a, '_>) {
        /// What an op takes in a skeleton beside its path, at most.
        const OP_BYTES: usize = 24;
        /// What a value takes beside its own bytes, and what any value takes that is no string, at most.
        const VALUE_BYTES: usize = 9 + 64;
        let length = if let Value::String(text) = &value { text.len() } else { 0 };
        self.skeleton_bytes += path.as_str().len() + OP_BYTES;
        self.bytes += path.as_str().len() + OP_BYTES + length + VALUE_BYTES;
        let fault = if self.puts.len() + self.texts.len() == MAX_OPS {
            Fault::TooManyValues { limit: MAX_OPS }
        } else if self.skeleton_bytes > MAX_RECORD_SKELETON_BYTES {
            Fault::PathsTooLong { limit: MAX_RECORD_SKELETON_BYTES }
        } else if self.bytes > MAX_RECORD_BYTES {
            Fault::TooManyBytes { limit: MAX_RECORD_BYTES }
        } else {
            if text && let Value::String(value) = value {
                self.texts.push((path, value));
            } else {
                self.puts.push((path, value));
            }
            return;
        };
        self.full = true;
        // The row of the source, though it may be a joined one that is too much.
        let at =
            Place { number: 0, table: self.import.tables.first().unwrap_or(scope.table), row: self.row, column: None };
        self.problem(at, None, fault);
    }

    fn find(&mut self, field: &'a Field, scope: &Scope<'a, '_>) -> Found<'a> {
        let import = self.import;
        let (index, from, column, missing) = match &field.from {
            Origin::Constant(value) => return Found::Constant(value),
            Origin::Slot(slot) => {
                let text = scope.value(*slot);
                return text.map_or(Found::Nothing, |text| Found::Text(Cow::Borrowed(text), scope.at(Some(*slot))));
            }
            Origin::Template(template) => return self.fill(template, field, scope),
            Origin::Lookup { index, from, column, missing } => (*index, from, *column, *missing),
        };
        let key: Option<Vec<&str>> = from.iter().map(|slot| scope.value(*slot)).collect();
        let Some(key) = key else { return Found::Nothing };
        let Some(number) = import.indexes.get(index).map(|index| index.table) else { return Found::Nothing };
        let Some(table) = import.tables.get(number) else { return Found::Nothing };
        if key.iter().any(|cell| self.is_null(cell)) {
            return Found::Nothing;
        }
        match (self.look_up(index, table, &key), missing) {
            (Some(row), _) => {
                let at = Place { number, table, row, column: Some(column) };
                Found::Text(Cow::Borrowed(table.cell(row, column)), at)
            }
            (None, Missing::Null) => Found::Nothing,
            // It may be one of the broken rows, which are reported.
            (None, Missing::Error) if !table.whole => {
                self.broken = true;
                Found::Broken
            }
            (None, Missing::Error) => {
                let fault = Fault::NotFound { file: Arc::clone(&table.name) };
                self.problem(scope.at(from.first().copied()), Some(&key.join(", ")), fault);
                Found::Broken
            }
        }
    }

    /// The row of a key. Fields that look up the same row mostly follow each other, so the last answer is kept.
    fn look_up(&mut self, index: usize, table: &Table, key: &[&'a str]) -> Option<usize> {
        match &self.last {
            Some(last) if last.index == index && last.key == key => last.row,
            _ => {
                let row = self.import.indexes.get(index)?.find(table, key).first().map(|row| *row as usize);
                self.last = Some(LookedUp { index, key: key.to_vec(), row });
                row
            }
        }
    }

    /// The text of a template, in which nulls are empty; nothing if all its values are null.
    fn fill(&mut self, template: &Template<Slot>, field: &Field, scope: &Scope<'a, '_>) -> Found<'a> {
        let mut some = template.slots().next().is_none();
        let text = template.render(|slot, out| {
            let value = scope.value(*slot).filter(|text| field.rule.nulls.iter().all(|null| null != text));
            if let Some(value) = value {
                some = true;
                out.push_str(value);
            }
            if out.len() > MAX_VALUE_BYTES { Err(out.len()) } else { Ok(()) }
        });
        let at = scope.at(template.slots().next().copied());
        match text {
            Ok(text) if some => Found::Text(Cow::Owned(text), at),
            Ok(_) => Found::Nothing,
            Err(bytes) => {
                self.problem(at, None, Fault::TooLong { bytes, limit: MAX_VALUE_BYTES });
                Found::Broken
            }
        }
    }

    /// The path that a template makes of the row, each value as one segment or part of one.
    fn path(&mut self, path: &PathTemplate, entry: Option<&str>, scope: &Scope<'a, '_>) -> Option<Path> {
        let relative = self.segments(path, scope)?;
        let text = entry.map_or_else(|| relative.clone(), |entry| format!("{entry}/{relative}"));
        let path_or_fault = Path::new(&text);
        if path_or_fault.is_err() {
            let at = scope.at(path.template.slots().next().copied());
            self.problem(at, None, Fault::BadPath { path: shorten(&text) });
        }
        path_or_fault.ok()
    }

    fn segments(&mut self, path: &PathTemplate, scope: &Scope<'a, '_>) -> Option<String> {
        let text = path.template.render(|slot, out| {
            let empty = Fault::NoSegment { template: path.text.clone() };
            match scope.value(*slot) {
                Some(text) if !text.is_empty() && !self.is_null(text) => {
                    if text.len() > MAX_PATH_BYTES {
                        return Err((*slot, Fault::BadPath { path: shorten(&path.text) }));
                    }
                    out.push_str(&segment(text));
                    Ok(())
                }
                _ => Err((*slot, empty)),
            }
        });
        match text {
            Ok(text) => Some(text),
            Err((slot, fault)) => {
                self.problem(scope.at(Some(slot)), scope.value(slot), fault);
                None
            }
        }
    }

    fn join(&mut self, join: &'a Join, scope: &Scope<'a, '_>) {
        let import = self.import;
        let indexes = import.indexes.get(join.children).zip(import.indexes.get(join.parents));
        let Some((children, parents)) = indexes else { return };
        let Some(table) = import.tables.get(children.table) else { return };
        let key = scope.table.key(scope.row, &parents.columns);
        let mut ids = BTreeMap::new();
        for (number, row) in children.find(table, &key).iter().enumerate() {
            let scope = Scope { number: children.table, table, row: *row as usize, captures: &[], split: None };
            self.entry(&join.entry, number, &mut ids, &scope);
            if self.full {
                break;
            }
        }
    }

    fn split(&mut self, split: &'a Split, scope: &Scope<'a, '_>) {
        let text = scope.table.cell(scope.row, split.column);
        if self.is_null(text) {
            return;
        }
        let mut ids = BTreeMap::new();
        let mut captures = vec![None; split.captures];
        for (number, piece) in text.split(&split.separator).enumerate() {
            if !split.patterns.iter().any(|pattern| pattern.capture(piece, &mut captures)) {
                let at = scope.at(Some(Slot::Column(split.column)));
                return self.problem(at, None, Fault::NoPattern { piece: shorten(piece) });
            }
            let scope = Scope { captures: &captures, split: Some(split.column), ..*scope };
            self.entry(&split.entry, number, &mut ids, &scope);
            if self.full {
                break;
            }
        }
    }

    /// Writes one entry: its marker, its position and its fields. `ids` holds the ids so far, each with the last suffix
    /// that was given to it.
    fn entry(&mut self, entry: &'a Entry, number: usize, ids: &mut BTreeMap<String, u64>, scope: &Scope<'a, '_>) {
        let Some(mut id) = self.segments(&entry.id, scope) else { return };
        if let Some(wanted) = ids.get(&id).copied() {
            if entry.repeats == Repeats::Error {
                let at = scope.at(entry.id.template.slots().next().copied());
                return self.problem(at, None, Fault::SameEntry { id });
            }
            // A suffix may be taken by an entry that has it from its own values.
            let suffixed = |number: u64| format!("{id}-{number}");
            let free = (wanted + 1..).find(|number| !ids.contains_key(&suffixed(*number))).unwrap_or(wanted + 1);
            let suffixed = suffixed(free);
            ids.insert(core::mem::replace(&mut id, suffixed), free);
        }
        ids.insert(id.clone(), 1);
        let prefix = format!("{}/{id}", entry.into);
        for (name, value) in [(".", Value::Bool(true)), ("position", Value::String(position(number as u64)))] {
            match Path::new(&format!("{prefix}/{name}")) {
                Ok(path) => self.write(path, value, false, scope),
                Err(_) => {
                    let at = scope.at(entry.id.template.slots().next().copied());
                    return self.problem(at, None, Fault::BadPath { path: shorten(&prefix) });
                }
            }
        }
        for field in &entry.fields {
            if self.full {
                break;
            }
            self.field(field, Some(&prefix), scope);
        }
    }

    /// Paths are nested for people: each must be written once, and none inside another.
    fn check_paths(&mut self, scope: &Scope<'a, '_>) {
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        let paths = || self.puts.iter().map(|(path, _)| path).chain(self.texts.iter().map(|(path, _)| path));
        let twice = paths().find(|path| !taken.insert(path.as_str()));
        let inside = || {
            let ancestors = |path: &&Path| {
                let text = path.as_str();
                text.match_indices('/').any(|(at, _)| text.get(..at).is_some_and(|ancestor| taken.contains(ancestor)))
            };
            paths().find(ancestors)
        };
        if let Some(path) = twice.or_else(inside) {
            let fault = Fault::SamePath { path: path.to_string() };
            self.problem(scope.at(None), None, fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_numbers_do() {
        let numbers =
            [0, 1, 9, 10, 35, 36, 1_679_615, 1_679_616, 2_821_109_907_455, 2_821_109_907_456, u64::MAX - 1, u64::MAX];
        let positions: Vec<String> = numbers.into_iter().map(position).collect();
        assert!(positions.is_sorted_by(|left, right| left < right), "{positions:?}");
        assert_eq!((0..5000).map(position).collect::<BTreeSet<_>>().len(), 5000);
    }

    #[test]
    fn parts_take_every_row_once() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        for row in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.has(row)).count(), 1);
        }
        assert!((0..10).all(|row| Part::WHOLE.has(row)));
        for bad in ["0/3", "4/3", "0/0", "1", "", "-1/3", "a/b"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_row_names_its_document() {
        let kind = Kind::new("order").unwrap();
        let id = document_id(&kind, "orders.csv", ["10249"], 0);
        assert_eq!(id.to_uuid(), "00000000-0000-79df-adef-fec801eb7d55");
        assert_ne!(id, document_id(&kind, "orders.csv", ["1", "0249"], 0));
        assert_ne!(document_id(&kind, "orders.csv", ["1", "2"], 0), document_id(&kind, "orders.csv", ["12", ""], 0));
    }
}
