//! Makes a story that fails short: steps are left out as long as something is still wrong.

use crate::run;
use crate::scenario::Scenario;
use std::time::{Duration, Instant};

/// The shortest story that was found within a time in which something is wrong, though perhaps not the same thing. Steps
/// are left out in halves, quarters, and so on (Zeller's ddmin).
pub fn shrink(scenario: &Scenario, at_most: Duration) -> Scenario {
    let begun = Instant::now();
    let mut best = scenario.clone();
    let mut parts = 2;
    while best.steps.len() > 1 && begun.elapsed() < at_most {
        let numbers = best.numbers();
        let size = numbers.len().div_ceil(parts);
        let shorter = numbers.chunks(size).find_map(|part| {
            if begun.elapsed() >= at_most {
                return None;
            }
            let rest: Vec<usize> = numbers.iter().copied().filter(|number| !part.contains(number)).collect();
            let candidate = best.keeping(&rest);
            run(candidate.clone()).fault.is_some().then_some(candidate)
        });
        match shorter {
            Some(shorter) => {
                best = shorter;
                parts = parts.saturating_sub(1).max(2);
            }
            None if size <= 1 => break,
            None => parts = (parts * 2).min(numbers.len()),
        }
    }
    best
}

/// The arguments of `simulate` that repeat a story.
pub fn repeats(scenario: &Scenario, whole: usize) -> String {
    let mut line = format!("--seed {}", scenario.seed);
    if scenario.steps.len() < whole {
        let numbers: Vec<String> = scenario.numbers().iter().map(usize::to_string).collect();
        line.push_str(&format!(" --keep {}", if numbers.is_empty() { "none".to_owned() } else { numbers.join(",") }));
    }
    line
}
