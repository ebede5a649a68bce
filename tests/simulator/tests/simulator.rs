//! Hundreds of seeds, the same every time.

use simulator::{Scenario, Size, many, run, shrink};
use std::time::Duration;

/// Every seed of a run of three hundred. A failure is made short and named by the line that repeats it.
#[test]
fn three_hundred_seeds_agree_with_each_other_and_with_the_model() {
    let mut failed = None;
    let (mut edits, mut claims, mut crashes) = (0, 0, 0);
    many::play(1..301, Size::quick(), many::cores(), |seed, outcome| {
        edits += outcome.counts.edits;
        claims += outcome.claims;
        crashes += outcome.counts.crashes;
        failed = failed.take().or(outcome.fault.map(|fault| (seed, fault)));
        failed.is_none()
    });
    if let Some((seed, fault)) = failed {
        let scenario = Scenario::new(seed, Size::quick());
        let whole = scenario.steps.len();
        let short = shrink::shrink(&scenario, Duration::from_secs(60));
        let line = shrink::repeats(&short, whole);
        panic!("seed {seed} fails: {fault}\nrepeat with: cargo run --release -p fieldbook-simulator -- {line} --story");
    }
    // What was never exchanged proves nothing.
    assert!(edits > 20_000 && claims > 50_000 && crashes > 100, "{edits} edits, {claims} claims, {crashes} crashes");
}

#[test]
fn a_seed_is_the_same_story_every_time() {
    for seed in [3, 11] {
        let [first, second] = [(); 2].map(|()| run(Scenario::new(seed, Size::quick())));
        assert_eq!(first.story, second.story);
        assert_eq!(first.counts, second.counts);
    }
}

#[test]
fn a_story_is_made_short_and_repeated_by_its_numbers() {
    let scenario = Scenario::new(7, Size::quick());
    let numbers: Vec<usize> = scenario.numbers().into_iter().step_by(3).collect();
    let kept = scenario.keeping(&numbers);
    assert_eq!(kept.numbers(), numbers);
    let line = shrink::repeats(&kept, scenario.steps.len());
    assert!(line.starts_with("--seed 7 --keep 0,3,6"), "{line}");
    assert!(run(kept).fault.is_none());
}
