//! CSV files in memory, read strictly (RFC 4180), and the indexes that look-ups and joins search.
//!
//! The `csv` crate reads a quote that is never closed as one cell up to the end of the file, and text after a closing
//! quote as part of the cell, and says nothing; an import has to name both. On well-formed files the two agree, which a
//! property test holds them to.

use crate::error::{Fault, FileFault, ImportError, Problem, shorten};
use crate::limits::{MAX_CELLS, MAX_COLUMNS, MAX_COUNTED, MAX_CSV_BYTES, MAX_ROWS, MAX_SHOWN};
use core::cmp::Ordering;
use core::str;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A CSV file: the rows that are well formed. The others are in the problems.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: Arc<str>,
    pub(crate) columns: Vec<String>,
    /// Whether every row is well formed: only then is what cannot be found really not there.
    pub(crate) whole: bool,
    /// The text of all cells, one behind the other, and where each ends.
    text: String,
    ends: Vec<u32>,
    /// The physical line where each row begins.
    lines: Vec<u32>,
}

impl Table {
    /// Reads the file with the given number among the files of the import.
    pub(crate) fn read(
        number: usize,
        name: &str,
        bytes: &[u8],
        delimiter: u8,
        problems: &mut Problems,
    ) -> Result<Self, ImportError> {
        let name: Arc<str> = name.into();
        let refuse = |fault| ImportError::File { file: Arc::clone(&name), fault };
        if bytes.len() > MAX_CSV_BYTES {
            return Err(refuse(FileFault::TooLarge));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(refuse(FileFault::Utf16));
        }
        let mut reader = Reader::new(bytes, delimiter);
        let mut row = RawRow::default();
        if !reader.read(&mut row, MAX_COLUMNS) {
            return Err(refuse(FileFault::Empty));
        }
        if row.count > MAX_COLUMNS {
            return Err(refuse(FileFault::TooManyColumns));
        }
        let columns: Vec<String> = match row.check(bytes, row.count) {
            Ok(text) => row.cells(text).map(str::to_owned).collect(),
            Err((_, fault)) => return Err(refuse(FileFault::Header { line: row.line, fault })),
        };
        let mut table = Self {
            name: Arc::clone(&name),
            columns,
            whole: true,
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        while reader.read(&mut row, table.columns.len()) {
            match row.check(bytes, table.columns.len()) {
                Ok(text) => {
                    if table.lines.len() == MAX_ROWS {
                        return Err(refuse(FileFault::TooManyRows { line: row.line }));
                    }
                    if table.ends.len() + row.ends.len() > MAX_CELLS {
                        return Err(refuse(FileFault::TooManyCells { line: row.line }));
                    }
                    let start = table.text.len();
                    table.text.push_str(text);
                    // A file has at most 2²⁸ bytes, so its offsets and lines fit in 32 bits.
                    table.ends.extend(row.ends.iter().map(|end| (start + end) as u32));
                    table.lines.push(row.line as u32);
                }
                Err((column, fault)) => {
                    table.whole = false;
                    problems.add(number, &table, row.line, column, None, fault);
                }
            }
            if problems.is_full() {
                break;
            }
        }
        Ok(table)
    }

    pub(crate) fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The line where a row begins, from 1.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().map_or(0, u64::from)
    }

    /// The text of a cell; empty for one that does not exist.
    pub(crate) fn cell(&self, row: usize, column: usize) -> &str {
        let cell = row * self.columns.len() + column;
        let end = |cell: usize| self.ends.get(cell).map(|end| *end as usize);
        let start = if cell == 0 { Some(0) } else { end(cell - 1) };
        start.zip(end(cell)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }

    /// Whether the row has these texts in these columns, or comes before or after one that has.
    fn compare(&self, row: usize, columns: &[usize], key: &[&str]) -> Ordering {
        columns
            .iter()
            .zip(key)
            .map(|(column, text)| self.cell(row, *column).cmp(text))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// The texts of a row in these columns.
    pub(crate) fn key(&self, row: usize, columns: &[usize]) -> Vec<&str> {
        columns.iter().map(|column| self.cell(row, *column)).collect()
    }
}

/// The rows of a table in the order of some of its columns.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) table: usize,
    pub(crate) columns: Vec<usize>,
    order: Vec<u32>,
}

impl Index {
    pub(crate) fn new(number: usize, table: &Table, columns: Vec<usize>) -> Self {
        let mut order: Vec<u32> = (0..table.rows() as u32).collect();
        // A stable sort: rows of one key stay in the order of the file.
        order.sort_by(|left, right| {
            let cells = |row: u32| columns.iter().map(move |column| table.cell(row as usize, *column));
            cells(*left).cmp(cells(*right))
        });
        Self { table: number, columns, order }
    }

    /// The rows with this key, in the order of the file.
    pub(crate) fn find(&self, table: &Table, key: &[&str]) -> &[u32] {
        let compare = |row: &u32| table.compare(*row as usize, &self.columns, key);
        let from = self.order.partition_point(|row| compare(row).is_lt());
        let rest = self.order.get(from..).unwrap_or_default();
        let count = rest.partition_point(|row| compare(row).is_eq());
        rest.get(..count).unwrap_or_default()
    }

    /// Every row whose key an earlier row has, with the first such row.
    pub(crate) fn repeats<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (usize, usize)> + 'a {
        let equal = |left: &u32, right: &u32| {
            self.columns
                .iter()
                .all(|column| table.cell(*left as usize, *column) == table.cell(*right as usize, *column))
        };
        self.order.chunk_by(equal).flat_map(|group| {
            let first = group.first().copied().unwrap_or_default() as usize;
            group.iter().skip(1).map(move |row| (*row as usize, first))
        })
    }
}

/// What is wrong so far: the first problems in the order of files, lines and columns, and their number. A cell counts
/// once, however many fields and records stumble over it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    seen: HashSet<(usize, u64, Option<usize>)>,
    kept: BTreeMap<(usize, u64, Option<usize>), Problem>,
}

impl Problems {
    pub(crate) fn add(
        &mut self,
        number: usize,
        table: &Table,
        line: u64,
        column: Option<usize>,
        value: Option<&str>,
        fault: Fault,
    ) {
        let key = (number, line, column);
        if self.is_full() || !self.seen.insert(key) {
            return;
        }
        if self.kept.len() == MAX_SHOWN {
            match self.kept.last_entry() {
                Some(last) if *last.key() > key => drop(last.remove()),
                _ => return,
            }
        }
        let column = column.and_then(|column| table.columns.get(column)).map(|name| shorten(name));
        let value = value.map(shorten);
        self.kept.insert(key, Problem { file: Arc::clone(&table.name), line, column, value, fault });
    }

    pub(crate) fn is_full(&self) -> bool {
        self.total() >= MAX_COUNTED
    }

    pub(crate) fn total(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(crate) fn into_kept(self) -> Vec<Problem> {
        self.kept.into_values().collect()
    }
}

/// Reads rows, however broken they are, and always gets to the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    delimiter: u8,
    /// The byte that ends a physical line: what an editor counts.
    newline: u8,
}

/// One row; the buffers are used again for the next.
#[derive(Default)]
struct RawRow {
    line: u64,
    /// The bytes of the file that the row takes, without its line end.
    from: usize,
    to: usize,
    /// The text of the cells, quotes removed, and where each ends in it.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Where each cell starts in the file.
    starts: Vec<usize>,
    /// How many cells there are, also those that were not kept.
    count: usize,
    fault: Option<Fault>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        let newline = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes, at, line: 1, delimiter, newline }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes `count` bytes and gives them.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let end = self.bytes.len().min(self.at + count);
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.line += taken.iter().filter(|byte| **byte == self.newline).count() as u64;
        self.at = end;
        taken
    }

    /// Takes up to the first byte that fits, or to the end.
    fn take_until(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.take(rest.iter().position(|byte| fits(*byte)).unwrap_or(rest.len()))
    }

    /// Reads the next row that is not an empty line. Keeps at most `most` cells, and counts all.
    fn read(&mut self, row: &mut RawRow, most: usize) -> bool {
        self.take_until(|byte| !is_line_end(byte));
        if self.peek().is_none() {
            return false;
        }
        (row.line, row.from, row.count, row.fault) = (self.line, self.at, 0, None);
        row.text.clear();
        row.ends.clear();
        row.starts.clear();
        loop {
            let start = self.at;
            self.read_cell(row);
            row.count += 1;
            if row.count <= most {
                row.starts.push(start);
                row.ends.push(row.text.len());
            }
            if self.peek() != Some(self.delimiter) {
                break;
            }
            self.take(1);
        }
        row.to = self.at;
        let crlf = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(b"\r\n"));
        self.take(if crlf { 2 } else { 1 });
        true
    }

    fn read_cell(&mut self, row: &mut RawRow) {
        if self.peek() == Some(b'"') {
            let opened = self.line;
            self.take(1);
            loop {
                row.text.extend_from_slice(self.take_until(|byte| byte == b'"'));
                if self.peek().is_none() {
                    row.fault.get_or_insert(Fault::OpenQuote { opened });
                    return;
                }
                self.take(1);
                if self.peek() != Some(b'"') {
                    break;
                }
                row.text.extend_from_slice(self.take(1));
            }
            if self.peek().is_some_and(|byte| byte != self.delimiter && !is_line_end(byte)) {
                row.fault.get_or_insert(Fault::AfterQuote { at: self.line });
            }
        }
        let delimiter = self.delimiter;
        row.text.extend_from_slice(self.take_until(|byte| byte == delimiter || is_line_end(byte)));
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

impl RawRow {
    /// The text of the cells if the row is well formed, else the column and the fault.
    fn check(&self, bytes: &[u8], wanted: usize) -> Result<&str, (Option<usize>, Fault)> {
        if let Some(fault) = self.fault.clone() {
            return Err((None, fault));
        }
        // Delimiters, quotes and line ends are ASCII: the bytes of the row are UTF-8 if and only if all its cells are.
        if let Err(error) = str::from_utf8(bytes.get(self.from..self.to).unwrap_or_default()) {
            let offset = self.from + error.valid_up_to();
            let column = self.starts.partition_point(|start| *start <= offset).checked_sub(1);
            return Err((column, Fault::NotUtf8 { offset: offset as u64 }));
        }
        if self.count != wanted {
            return Err((None, Fault::Ragged { found: self.count, wanted }));
        }
        str::from_utf8(&self.text)
            .map_err(|error| (None, Fault::NotUtf8 { offset: (self.from + error.valid_up_to()) as u64 }))
    }

    fn cells<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| text.get(start..*end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> (Vec<Vec<String>>, Vec<Problem>) {
        let mut problems = Problems::default();
        let table = Table::read(0, "a.csv", text, b',', &mut problems).unwrap();
        let cells = |row| (0..table.columns.len()).map(|column| table.cell(row, column).to_owned()).collect();
        ((0..table.rows()).map(cells).collect(), problems.into_kept())
    }

    #[test]
    fn quotes_line_ends_and_empty_lines() {
        let (rows, problems) = read("\u{feff}a,b\r\n\r\n\"x\r\n\"\"y\"\"\",\"\"\r\n,2 \"in\"\n\n\"é😀\",z".as_bytes());
        assert_eq!(problems, []);
        assert_eq!(rows, [["x\r\n\"y\"", ""], ["", "2 \"in\""], ["é😀", "z"]]);
    }

    #[test]
    fn broken_rows_are_named_by_line() {
        let text = b"a,b\n1\n1,2,3\n\"x\n\"y,2\n\n1,\xc3\"\xa9\nok,ok\n1,\"open\n\n";
        let (rows, problems) = read(text);
        assert_eq!(rows, [["ok", "ok"]]);
        let found: Vec<(u64, Fault)> = problems.into_iter().map(|problem| (problem.line, problem.fault)).collect();
        let ragged = |found| Fault::Ragged { found, wanted: 2 };
        let offset = text.iter().position(|byte| *byte == 0xc3).unwrap() as u64;
        assert_eq!(
            found,
            [
                (2, ragged(1)),
                (3, ragged(3)),
                (4, Fault::AfterQuote { at: 5 }),
                (7, Fault::NotUtf8 { offset }),
                (9, Fault::OpenQuote { opened: 9 }),
            ]
        );
    }

    #[test]
    fn two_halves_of_a_letter_in_two_cells_are_not_utf8() {
        let (rows, problems) = read(b"a,b\n\xc3,\xa9\n");
        assert!(rows.is_empty());
        assert_eq!(problems.first().and_then(|problem| problem.column.as_deref()), Some("a"));
    }

    #[test]
    fn files_that_are_no_csv_are_refused() {
        let fault = |bytes: &[u8]| match Table::read(0, "a.csv", bytes, b',', &mut Problems::default()) {
            Err(ImportError::File { fault, .. }) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(b""), FileFault::Empty);
        assert_eq!(fault(b"\n\r\n"), FileFault::Empty);
        assert_eq!(fault(b"\xff\xfea\0"), FileFault::Utf16);
        assert_eq!(fault(b"\"a,b\n"), FileFault::Header { line: 1, fault: Fault::OpenQuote { opened: 1 } });
        assert_eq!(fault(",".repeat(MAX_COLUMNS).as_bytes()), FileFault::TooManyColumns);
    }

    #[test]
    fn lines_of_old_files_end_with_a_carriage_return() {
        let mut problems = Problems::default();
        let table = Table::read(0, "a.csv", b"a\r1\r\r2\r", b',', &mut problems).unwrap();
        assert_eq!((table.line(0), table.line(1)), (2, 4));
    }

    #[test]
    fn an_index_finds_rows_in_file_order() {
        let mut problems = Problems::default();
        let table = Table::read(0, "a.csv", b"k,l\nb,1\na,1\nb,2\nb,1\n", b',', &mut problems).unwrap();
        let index = Index::new(0, &table, vec![0]);
        assert_eq!(index.find(&table, &["b"]), [0, 2, 3]);
        assert_eq!(index.find(&table, &["c"]), [] as [u32; 0]);
        let both = Index::new(0, &table, vec![0, 1]);
        assert_eq!(both.repeats(&table).collect::<Vec<_>>(), [(3, 0)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// What the `csv` crate writes, it and this reader read alike.
        #[test]
        fn well_formed_files_read_as_the_csv_crate_reads_them(
            rows in prop::collection::vec(prop::collection::vec("[a-z\"\r\n, é😀]{0,6}", 3), 0..8),
            crlf in any::<bool>(),
        ) {
            let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
            writer.write_record(["x", "y", "z"]).unwrap();
            rows.iter().for_each(|row| writer.write_record(row).unwrap());
            let bytes = writer.into_inner().unwrap();
            let oracle: Vec<Vec<String>> = csv::Reader::from_reader(bytes.as_slice())
                .records()
                .map(|row| row.unwrap().iter().map(str::to_owned).collect())
                .collect();
            let (read, problems) = read(&bytes);
            prop_assert_eq!(problems, []);
            prop_assert_eq!(&read, &oracle);
            prop_assert_eq!(&read, &rows);
        }

        #[test]
        fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut problems = Problems::default();
            if let Ok(table) = Table::read(0, "a.csv", &bytes, b',', &mut problems) {
                let ended = table.rows() + problems.total() as usize;
                prop_assert!(ended <= bytes.len());
            }
        }
    }
}
