//! Tables, progress and errors on the terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr;

/// Prints a line to standard output.
///
/// # Errors
/// What writing gave; a pipe that was closed ends the program quietly.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Prints JSON with indentation.
///
/// # Errors
/// What writing gave.
pub(crate) fn json(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value:#}")
}

/// Prints JSON on one line, for what goes on.
///
/// # Errors
/// What writing gave.
pub(crate) fn json_line(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value}")
}

pub(crate) fn error(text: &str) {
    let _ = writeln!(io::stderr(), "fieldbook: {text}");
}

/// A remark beside the answer.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

/// How a column of a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    /// For numbers.
    Right,
}

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// Prints it, each line indented by `indent` columns.
    ///
    /// # Errors
    /// What writing gave.
    pub(crate) fn print(&self, indent: usize) -> io::Result<()> {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.chain(names.get(at)).map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        // A table of names and values needs no heads.
        let heads = if names.iter().all(String::is_empty) { Vec::new() } else { vec![&names, &rule] };
        for row in heads.into_iter().chain(&self.rows) {
            let mut text = " ".repeat(indent);
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let space = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => text.extend([cell.as_str(), &space]),
                    Align::Right => text.extend([space.as_str(), cell]),
                }
                text.push_str("  ");
            }
            line(text.trim_end())?;
        }
        Ok(())
    }
}

/// Line breaks and control characters of data must not break a table.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `width` columns of a text, with an ellipsis where something was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let text = one_line(text);
    if text.width() <= width {
        return text;
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + 2 > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// A number of things, with thousands set apart.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 change set`, `2 change sets`.
pub(crate) fn things(number: usize, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A size with its unit.
pub(crate) fn bytes(number: usize) -> String {
    match number {
        0..10_000 => format!("{} B", count(number)),
        10_000..10_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

/// A duration with its unit.
pub(crate) fn duration(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

/// How long ago, in the largest unit that fits.
pub(crate) fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Progress of long work on standard error, only where a person watches and only when it takes a while.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    shown: Instant,
    is_on: bool,
    was_shown: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, shown: Instant::now(), is_on: io::stderr().is_terminal(), was_shown: false }
    }

    pub(crate) fn at(&mut self, done: usize, total: Option<usize>) {
        if !self.is_on || self.shown.elapsed() < Duration::from_millis(200) {
            return;
        }
        self.shown = Instant::now();
        self.was_shown = true;
        let of = total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
        let _ = write!(io::stderr(), "\r\x1b[K{} {}{of}", self.what, count(done));
        let _ = io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.was_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_fit_their_columns() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(shorten("ab\ncd", 5), "ab cd");
        assert_eq!(shorten("漢字漢字", 5), "漢字…");
        assert_eq!(things(1, "fork"), "1 fork");
    }
}
