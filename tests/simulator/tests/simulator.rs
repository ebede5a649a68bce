//! Hundreds of seeds, the same every time.

use simulator::{Scenario, Size, World, many, run, shrink};
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

/// Each edit that was counted is on four devices and a relay: the judge compares what all of them hold. People wrote in the
/// same records without having seen each other's work, or nothing would have been merged.
#[test]
fn a_story_for_measuring_ends_with_everything_everywhere() {
    let mut worlds = [(); 2].map(|()| World::new(Scenario::new(4, Size::calm(400))).unwrap());
    let [first, second] = worlds.each_mut().map(simulator::play);
    let [mut world, again] = worlds;
    assert_eq!((first, &world.story, &world.counts), (second, &again.story, &again.counts));
    assert_eq!(simulator::fault_of(&mut world), None);
    assert!(world.counts.edits > 300 && world.counts.sessions >= 12, "{:?}", world.counts);
    let apart = simulator::calm::written_apart(&world);
    assert!(apart > 50, "{apart} of {} edits beside another one", world.counts.edits);
}
