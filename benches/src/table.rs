//! Measuring, and the table of what came out.

use std::time::{Duration, Instant};

/// How long `work` takes, and what it gives.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The median time; of an even number the higher one of the two in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rows of name, measured, budget, and whether it is kept.
#[derive(Debug, Default)]
pub struct Table(Vec<[String; 4]>);

impl Table {
    /// A row: `measured` must not exceed `budget`; both are printed with this number of decimals and the unit.
    pub fn row(&mut self, name: impl Into<String>, measured: f64, budget: f64, decimals: usize, unit: &str) {
        let verdict = if measured <= budget { "ok" } else { "OVER" };
        let show = |value: f64| format!("{value:.decimals$} {unit}");
        self.0.push([name.into(), show(measured), format!("<= {}", show(budget)), verdict.into()]);
    }

    /// A row without a budget.
    pub fn note(&mut self, name: impl Into<String>, measured: impl Into<String>) {
        self.0.push([name.into(), measured.into(), String::new(), String::new()]);
    }

    /// Prints the rows, aligned.
    pub fn print(&self) {
        let [name, measured, budget, verdict] = ["what", "measured", "budget", ""];
        println!("{name:<68} {measured:>18} {budget:>12}  {verdict}");
        for [name, measured, budget, verdict] in &self.0 {
            println!("{name:<68} {measured:>18} {budget:>12}  {verdict}");
        }
    }
}
