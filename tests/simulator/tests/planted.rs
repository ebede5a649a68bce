//! The simulator is worth what it finds: each bug that is planted here must be caught within fifty seeds of the default run.

use simulator::{Scenario, Size, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const BUGS: &[&str] = &[
    "a failed read breaks the store",
    "a grant never ends",
    "a lagging reader skips a page",
    "a late grant moves nothing",
    "a write removes what it did not see",
    "an op that found nothing is emitted",
    "anybody may read",
    "incarnations are kept after a restore",
    "level is said while pages are on their way",
    "own previous change set is no parent",
    "saved is said before it is durable",
    "sessions are not told that a log grew",
    "text of a masked author is shown",
    "the fork that came first keeps the name",
    "the mask moves and nothing is rebuilt",
    "the value that arrived last wins",
    "tips leave branches out",
    "what a copy gave is not sent to the other",
    "what is put aside is called synced",
    "who is let in later stays blind",
];

const SEEDS: u64 = 50;

#[test]
fn every_planted_bug_is_caught_within_fifty_seeds() {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..simulator::many::cores() {
            scope.spawn(|| {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    changeset::plant(Some(bug));
                    let caught = (1..=SEEDS).find_map(|seed| {
                        let fault = run(Scenario::new(seed, Size::quick())).fault?;
                        Some((seed, fault))
                    });
                    changeset::plant(None);
                    match &caught {
                        Some((seed, fault)) => eprintln!("seed {seed:>2} catches {bug:?}: {fault}"),
                        None => eprintln!("MISSED  {bug:?}"),
                    }
                    if let (None, Ok(mut missed)) = (caught, rows.lock()) {
                        missed.push(*bug);
                    }
                }
            });
        }
    });
    let missed = rows.into_inner().unwrap_or_default();
    if !missed.is_empty() {
        panic!("not caught within {SEEDS} seeds: {missed:#?}");
    }
}
