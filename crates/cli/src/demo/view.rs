//! What is seen while the demo runs: lines of the story, and in a terminal a table below them that redraws in place.

use crate::demo::cast::{Player, RELAY};
use crate::output::{bytes, count, line, shorten};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr as _;

/// How often the table is drawn at most.
const FRAME: Duration = Duration::from_millis(80);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A program reads the JSON at the end.
    Quiet,
    /// One line after another.
    Plain,
    /// A table that redraws.
    Live,
}

/// The view. Dropping it leaves the terminal as a person wants it.
#[derive(Debug)]
pub(crate) struct View {
    mode: Mode,
    begun: Instant,
    drawn: Instant,
    lines: usize,
}

impl View {
    pub(crate) fn new(is_quiet: bool, is_plain: bool) -> Self {
        let mode = match (is_quiet, is_plain || !io::stdout().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Plain,
            (false, false) => Mode::Live,
        };
        Self { mode, begun: Instant::now(), drawn: Instant::now(), lines: 0 }
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// When the table is to be drawn next.
    pub(crate) fn next_frame(&self) -> Instant {
        self.drawn + if self.mode == Mode::Live { FRAME } else { Duration::from_secs(3600) }
    }

    /// A line of the story; it stays.
    pub(crate) fn say(&mut self, text: &str, players: &[Player]) -> io::Result<()> {
        let time = self.begun.elapsed().as_secs_f64();
        match self.mode {
            Mode::Quiet => Ok(()),
            Mode::Plain => line(&format!("{time:5.1} s  {text}")),
            Mode::Live => {
                self.erase()?;
                let width = width().saturating_sub(10).max(30);
                for (at, part) in wrap(text, width).iter().enumerate() {
                    if at == 0 {
                        line(&format!("\x1b[2m{time:5.1} s\x1b[0m  {part}"))?;
                    } else {
                        line(&format!("         {part}"))?;
                    }
                }
                self.draw(players)
            }
        }
    }

    /// How long a person takes to read a line of the story; programs and files take none.
    pub(crate) fn reading_time(&self, text: &str) -> Duration {
        match self.mode {
            Mode::Live => Duration::from_millis(150 + 7 * text.width() as u64),
            Mode::Quiet | Mode::Plain => Duration::ZERO,
        }
    }

    /// Draws the table if it is time to.
    pub(crate) fn frame(&mut self, players: &[Player]) -> io::Result<()> {
        if Instant::now() < self.next_frame() {
            return Ok(());
        }
        self.erase()?;
        self.draw(players)
    }

    /// Takes the table away, for what follows.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.erase()
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.lines > 0 {
            write!(io::stdout(), "\x1b[{}A\x1b[J", self.lines)?;
            self.lines = 0;
        }
        Ok(())
    }

    fn draw(&mut self, players: &[Player]) -> io::Result<()> {
        self.drawn = Instant::now();
        if self.mode != Mode::Live {
            return Ok(());
        }
        let width = width();
        let rows = rows(players, self.begun.elapsed(), width);
        let mut out = io::stdout().lock();
        for row in &rows {
            writeln!(out, "{row}")?;
        }
        self.lines = rows.len();
        out.flush()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _the_terminal_is_gone = self.erase();
    }
}

/// How many columns the terminal has.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col));
    size.ok().filter(|columns| *columns > 0).unwrap_or(80)
}

const HEADS: [&str; 8] = ["", "state", "outbox", "to get", "held", "in", "out", "digest"];
const WIDTHS: [usize; 8] = [7, 12, 6, 6, 7, 9, 9, 8];

fn rows(players: &[Player], time: Duration, width: usize) -> Vec<String> {
    let saved: usize = players.iter().map(|player| player.saved.len()).sum();
    let title = format!("── {:.1} s ── {} reported as saved ", time.as_secs_f64(), count(saved));
    let title = format!("{title}{}", "─".repeat(width.saturating_sub(title.width() + 1)));
    let mut rows = vec![shorten(&title, width.saturating_sub(1)), row(&HEADS.map(str::to_owned), "", "last", width)];
    for (who, player) in players.iter().enumerate() {
        let is_relay = who == RELAY;
        let (is_here, state) = (player.is_running(), &player.state);
        let (bytes_in, bytes_out) = player.bytes();
        let or_nothing = |is_shown: bool, text: String| if is_shown { text } else { String::new() };
        let size = |number: u64| bytes(usize::try_from(number).unwrap_or(usize::MAX));
        let number = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX));
        let word = match (is_here, state.connectivity.as_str()) {
            (true, "") => "starting",
            (true, word) => word,
            (false, _) => player.absent,
        };
        let colour = match word {
            "up to date" => "32",
            "syncing" | "not let in" => "33",
            "killed" | "broken" => "31",
            "offline" | "not here yet" | "ended" => "2",
            _ if is_relay => "32",
            _ => "33",
        };
        let cells = [
            player.name.clone(),
            word.to_owned(),
            or_nothing(is_here && !is_relay, number(state.outbox)),
            or_nothing(is_here && !is_relay, number(state.to_receive)),
            or_nothing(state.held > 0, number(state.held)),
            or_nothing(bytes_in > 0, size(bytes_in)),
            or_nothing(bytes_out > 0, size(bytes_out)),
            player.digest.as_deref().and_then(|digest| digest.get(..8)).unwrap_or("").to_owned(),
        ];
        rows.push(row(&cells, colour, &player.last, width));
    }
    rows
}

/// A row that fits the terminal; the last cell takes what is left, and cells are left out where there is no room.
fn row(cells: &[String; 8], colour: &str, last: &str, width: usize) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for (at, (cell, column)) in cells.iter().zip(WIDTHS).enumerate() {
        if used + column + 2 > width {
            break;
        }
        let cell = shorten(cell, column);
        let space = " ".repeat(column.saturating_sub(cell.width()));
        let is_number = (2..7).contains(&at);
        let cell = if is_number { format!("{space}{cell}") } else { format!("{cell}{space}") };
        let is_coloured = at == 1 && !colour.is_empty();
        text.push_str(&if is_coloured { format!("\x1b[{colour}m{cell}\x1b[0m  ") } else { format!("{cell}  ") });
        used += column + 2;
    }
    if width > used + 8 {
        text.push_str(&shorten(last, width - used - 1));
    }
    text
}

/// A text in lines of at most `width` columns, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if !last.is_empty() && last.width() + 1 + word.width() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let mut player = Player::default();
        player.name = "Chloé".into();
        player.last = "保存しました ".repeat(20);
        player.state.held = 1_234_567;
        for width in [20, 40, 80, 200] {
            for row in rows(std::slice::from_ref(&player), Duration::from_secs(3), width) {
                let plain = row.replace("\x1b[32m", "").replace("\x1b[2m", "").replace("\x1b[0m", "");
                assert!(plain.width() <= width, "{} > {width}: {plain}", plain.width());
            }
        }
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }
}
