//! Why nothing was imported: every error names the place and the cure.

use crate::limits::{MAX_CELLS, MAX_COLUMNS, MAX_CSV_BYTES, MAX_FILES, MAX_MAPPING_BYTES, MAX_ROWS, MAX_SHOWN};
use core::fmt;
use std::io;
use std::sync::Arc;

/// Why a mapping or one of its files cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The mapping file is wrong at this place.
    #[error("{mapping}, line {line}, column {column}: {fault}")]
    Mapping {
        /// The mapping file.
        mapping: Arc<str>,
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1.
        column: u32,
        /// What is wrong there.
        fault: MappingFault,
    },
    /// A file could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A CSV file cannot be used as a whole.
    #[error("{file}: {fault}")]
    File {
        /// The file.
        file: Arc<str>,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// A share that does not exist was asked for.
    #[error("part {part} of {parts} does not exist: parts are counted from 1 to their number, as in 1/3, 2/3, 3/3")]
    Part {
        /// Which part was asked for.
        part: u64,
        /// Of how many.
        parts: u64,
    },
}

/// What is wrong with a mapping file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFault {
    /// It is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("{message}; correct the mapping file here")]
    Syntax {
        /// What the TOML reader says.
        message: String,
    },
    /// It is not UTF-8.
    #[error("byte {offset} is not UTF-8 text; save the mapping file as UTF-8")]
    NotUtf8 {
        /// The offset of the first wrong byte.
        offset: usize,
    },
    /// It is over [`MAX_MAPPING_BYTES`].
    #[error("the mapping file has {bytes} bytes, more than the limit of {MAX_MAPPING_BYTES}; split it into several")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It names more than [`MAX_FILES`] files.
    #[error("this is the {}th CSV file, more than one mapping may read; split the mapping into several", MAX_FILES + 1)]
    TooManyFiles,
    /// A name breaks its pattern.
    #[error("{name:?} is not a valid {what}; change it to fit the pattern")]
    BadName {
        /// The name.
        name: String,
        /// What it should be, with the pattern.
        what: &'static str,
    },
    /// The file has no such column.
    #[error("{file} has no column {column:?}; {}", suggest(.suggestion.as_deref(), .columns))]
    UnknownColumn {
        /// The CSV file.
        file: Arc<str>,
        /// The column that the mapping names.
        column: String,
        /// The most similar column.
        suggestion: Option<String>,
        /// All columns of the file.
        columns: Vec<String>,
    },
    /// Several columns of the file have this name.
    #[error("{file} has several columns {column:?}; rename all but one in the header row")]
    AmbiguousColumn {
        /// The CSV file.
        file: Arc<str>,
        /// The column that the mapping names.
        column: String,
    },
    /// No pattern of the split captures this name.
    #[error("no pattern captures {capture:?}; {}", suggest(.suggestion.as_deref(), .captures))]
    UnknownCapture {
        /// The name that the mapping gives.
        capture: String,
        /// The most similar capture.
        suggestion: Option<String>,
        /// All captures of the split.
        captures: Vec<String>,
    },
    /// Two fields write the same path, or one writes inside the other.
    #[error("path {path:?} clashes with {other:?} of another field; give each field a path of its own")]
    SamePath {
        /// The path of this field.
        path: String,
        /// The path of the field before.
        other: String,
    },
    /// A literal value cannot be what the field wants.
    #[error("{value} is no value of type {wanted}; {cure}")]
    BadLiteral {
        /// The value as the mapping has it.
        value: String,
        /// The type of the field.
        wanted: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// Another rule of the mapping file is broken.
    #[error("{problem}; {cure}")]
    Rule {
        /// What is wrong.
        problem: &'static str,
        /// What to do.
        cure: &'static str,
    },
}

/// What is wrong with a CSV file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// There is no header row.
    #[error("the file is empty; its first row must name the columns")]
    Empty,
    /// The first bytes are the mark of UTF-16.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// The header row is broken.
    #[error("line {line}, the header row: {fault}")]
    Header {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It is over [`MAX_CSV_BYTES`].
    #[error("the file has more than the limit of {MAX_CSV_BYTES} bytes; split it into several files")]
    TooLarge,
    /// It has more rows than [`MAX_ROWS`].
    #[error("line {line}: the file has more than the limit of {MAX_ROWS} rows; split it into several files")]
    TooManyRows {
        /// The first line over the limit.
        line: u64,
    },
    /// It has more columns than [`MAX_COLUMNS`].
    #[error("the header row has more than the limit of {MAX_COLUMNS} columns; remove those that are not needed")]
    TooManyColumns,
    /// It has more cells than [`MAX_CELLS`].
    #[error("line {line}: the file has more than the limit of {MAX_CELLS} cells; split it into several files")]
    TooManyCells {
        /// The first line over the limit.
        line: u64,
    },
}

/// Why a [`Source`](crate::Source) could not give a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such file.
    #[error("{name}: there is no such file in {place}; {}", suggest(.suggestion.as_deref(), &[]))]
    NotFound {
        /// The file.
        name: String,
        /// Where it was looked for.
        place: String,
        /// The most similar name there.
        suggestion: Option<String>,
    },
    /// The name leads out of the folder.
    #[error("{name:?} is not a file name inside the folder of the data; use a relative name without `..`")]
    BadName {
        /// The name.
        name: String,
    },
    /// The file is over [`MAX_CSV_BYTES`].
    #[error("{name}: the file has more than the limit of {MAX_CSV_BYTES} bytes; split it into several files")]
    TooLarge {
        /// The file.
        name: String,
    },
    /// The operating system refused.
    #[error("{name}: cannot be read: {error}; check that it is a file that you may read")]
    Io {
        /// The file.
        name: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Everything that is wrong with the rows; nothing was imported. At most [`MAX_SHOWN`] problems are kept, in the order
/// of files and lines, and all are counted, up to [`MAX_COUNTED`](crate::limits::MAX_COUNTED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportErrors {
    pub(crate) problems: Vec<Problem>,
    pub(crate) total: u64,
    pub(crate) complete: bool,
}

impl ImportErrors {
    /// The first problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether every row was checked; not so when checking ended at
    /// [`MAX_COUNTED`](crate::limits::MAX_COUNTED) problems.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl fmt::Display for ImportErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.complete { "" } else { "at least " };
        let plural = if self.total == 1 { "" } else { "s" };
        write!(f, "nothing was imported: {least}{} problem{plural}", self.total)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        match self.total.saturating_sub(self.problems.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {least}{more} more"),
        }
    }
}

impl std::error::Error for ImportErrors {}

/// One broken place of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file.
    pub file: Arc<str>,
    /// The physical line where the row begins, from 1.
    pub line: u64,
    /// The column, unless the whole row is meant.
    pub column: Option<String>,
    /// The start of the value there.
    pub value: Option<String>,
    /// What is wrong and what to do.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column:?}")?;
        }
        if let Some(value) = &self.value {
            write!(f, ", value {value:?}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What is wrong with a row or a cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The row has more or fewer cells than the header.
    #[error("the row has {found} cells, the header {wanted}; look for a missing or extra delimiter or quote")]
    Ragged {
        /// The cells of the row.
        found: usize,
        /// The columns of the header.
        wanted: usize,
    },
    /// A quoted cell never ends.
    #[error("the quote that opens on line {opened} is never closed; close it, or double it if it belongs to the text")]
    OpenQuote {
        /// The line of the opening quote.
        opened: u64,
    },
    /// Text follows a closing quote.
    #[error("text follows the closing quote on line {at}; double the quotes that belong to the text")]
    AfterQuote {
        /// The line of the closing quote.
        at: u64,
    },
    /// Bytes that are not UTF-8.
    #[error("byte {offset} of the file is not UTF-8 text; save the file as UTF-8")]
    NotUtf8 {
        /// The offset in the file.
        offset: u64,
    },
    /// A key cell is null.
    #[error("the key is empty, so the record has no name of its own; fill the cell in, or choose other key columns")]
    NoKey,
    /// The key appeared before.
    #[error(
        "the key is the same as on line {first}; remove one of the rows, or name more columns in the mapping's key"
    )]
    SameKey {
        /// The line that has it, too.
        first: u64,
    },
    /// The row of a join belongs to no record.
    #[error("no row of {parent} has this key; add it there, or set `orphans = \"ignore\"` for this join")]
    NoParent {
        /// The file that the row should belong to.
        parent: Arc<str>,
    },
    /// A look-up found nothing.
    #[error("no row of {file} has this key; add it there, or set `missing = \"null\"` for this look-up")]
    NotFound {
        /// The file that was looked in.
        file: Arc<str>,
    },
    /// The field's map does not know the value.
    #[error("the map of {path:?} does not have it; add it there, or set `otherwise`")]
    NotInMap {
        /// The path of the field.
        path: String,
    },
    /// The value is not of the field's type.
    #[error("it is no {wanted}; correct the cell, or change the type of the field")]
    NotOfType {
        /// The type, with how it is written.
        wanted: &'static str,
    },
    /// The value would not be kept as it is written.
    #[error("it would be kept as {kept:?}; write it so, use `type = \"string\"`, or allow it with `exact = false`")]
    NotExact {
        /// What would be kept.
        kept: String,
    },
    /// A timestamp does not fit its format.
    #[error("it is no date and time written as {format:?}; correct the cell or the format")]
    NotTime {
        /// The format.
        format: String,
    },
    /// A timestamp is finer than a millisecond.
    #[error("it is finer than a millisecond; use `type = \"string\"`, or cut it off with `exact = false`")]
    TooFine,
    /// The time of a document id is out of range.
    #[error("it is not between the years 1970 and 10889, as the time of a document id must be; leave out `created`")]
    NoIdTime,
    /// No pattern of a split fits a piece.
    #[error("no pattern fits the part {piece:?}; correct the cell, or add a pattern")]
    NoPattern {
        /// The start of the piece.
        piece: String,
    },
    /// An entry would have an empty id, or a path an empty segment.
    #[error("a value that makes up the path {template:?} is empty; fill it in, or use other columns for the path")]
    NoSegment {
        /// The template.
        template: String,
    },
    /// Two rows of a join, or two pieces of a split, make the same entry.
    #[error("entry {id:?} appears twice in this record; use more columns for its id, or set `repeats = \"suffix\"`")]
    SameEntry {
        /// The id of the entry.
        id: String,
    },
    /// A path that the row makes is not valid.
    #[error("{path:?} is no valid path: at most 255 bytes in 16 segments; use shorter values for it")]
    BadPath {
        /// The start of the path.
        path: String,
    },
    /// Two values of the record have the same path, or one path lies inside another.
    #[error("path {path:?} is written twice, or lies inside another that is written; give each value its own path")]
    SamePath {
        /// The path.
        path: String,
    },
    /// A value is over its limit.
    #[error("it has {bytes} bytes, a value at most {limit}; shorten it, or split it into several fields")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A record has more values than a change set takes.
    #[error("the record has more than {limit} values, as many as one change set takes; split it into several records")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// The paths of a record are longer than a change set takes.
    #[error(
        "the paths of the record take more than {limit} bytes; split it into several records, or use shorter paths"
    )]
    PathsTooLong {
        /// The limit.
        limit: usize,
    },
    /// A record has more bytes than a change set takes.
    #[error("the record takes more than {limit} bytes, as many as one change set takes; split it into several records")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
}

/// What to do about a name that is not there.
fn suggest(suggestion: Option<&str>, all: &[String]) -> String {
    match suggestion {
        Some(name) => format!("did you mean {name:?}?"),
        None if all.is_empty() => "check the spelling".to_owned(),
        None => match all {
            [only] if only.contains(';') || only.contains('\t') => {
                format!("its only column is {:?}: set `delimiter` to what stands between the columns", shorten(only))
            }
            _ => {
                let shown: Vec<String> =
                    all.iter().take(MAX_SHOWN).map(|name| format!("{:?}", shorten(name))).collect();
                let more = if all.len() > shown.len() { ", …" } else { "" };
                format!("there are {}{more}", shown.join(", "))
            }
        },
    }
}

/// The start of a value: as much as an error message should show.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The name most similar to `wanted`, if one is similar enough to be a slip.
pub(crate) fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 64;
    let plain = |name: &str| -> Vec<char> { name.chars().take(LONGEST).flat_map(char::to_lowercase).collect() };
    let target = plain(wanted);
    let most = target.len().div_ceil(3);
    names
        .into_iter()
        .map(|name| (distance(&target, &plain(name)), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// The number of characters to insert, delete or replace.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.iter().enumerate() {
        let mut diagonal = index;
        let mut last = index + 1;
        if let Some(first) = row.first_mut() {
            *first = last;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(right) {
            let here = if from == to { diagonal } else { 1 + diagonal.min(last).min(*cell) };
            diagonal = *cell;
            *cell = here;
            last = here;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_a_slip_away() {
        let names = ["OrderID", "CustomerID", "Freight"];
        assert_eq!(closest("Freigth", names), Some("Freight".to_owned()));
        assert_eq!(closest("orderid", names), Some("OrderID".to_owned()));
        assert_eq!(closest("Colour", names), None);
        assert_eq!(distance(&['a', 'b'], &[]), 2);
        assert_eq!(distance(&['k', 'i', 't'], &['s', 'i', 't', 's']), 2);
    }
}
