//! Many seeds at once, one in each thread.

use crate::{Outcome, Scenario, Size, run};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Plays seeds on so many threads; `hear` gets each outcome as it comes and says whether to go on.
pub fn play(seeds: Range<u64>, size: Size, threads: usize, mut hear: impl FnMut(u64, Outcome) -> bool) {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (outcomes, heard) = mpsc::channel();
        for _ in 0..threads.max(1) {
            let (outcomes, next, is_over, end) = (outcomes.clone(), &next, &is_over, seeds.end);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || outcomes.send((seed, run(Scenario::new(seed, size)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(outcomes);
        while let Ok((seed, outcome)) = heard.recv() {
            if !hear(seed, outcome) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// As many threads as there are cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
