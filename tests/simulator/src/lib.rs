//! Whole systems on virtual time, from one seed.
//!
//! A [`Scenario`] is drawn from a seed: devices, relays and gateways made of the product's own code, people who edit, disks
//! that fail, lines that break, clocks that are wrong, stores that are put back and copied, and others who mean harm. A
//! [`World`] plays it in one thread, always in the same way. First everything goes wrong that may; then all faults end, and
//! within a time everybody must agree: with each other, and with the naive model of `tests/naive`, which shares no code with
//! the product.

pub mod clock;
pub mod dice;
pub mod disk;
pub mod harm;
pub mod judge;
pub mod ledger;
pub mod machine;
pub mod many;
pub mod people;
pub mod scenario;
pub mod shrink;
pub mod world;

pub use scenario::{Scenario, Size};
pub use world::{Counts, World};

use clock::Micros;

/// How long after the end of all faults everybody must agree.
pub const HEALING: Micros = 15 * 60 * 1_000_000;
/// How often is looked whether everybody does.
const LOOK: Micros = 5_000_000;

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// What was wrong, if anything.
    pub fault: Option<String>,
    /// What was counted.
    pub counts: Counts,
    /// Claims of devices that were checked on the way.
    pub claims: u64,
    /// How long it took to agree after the faults ended.
    pub healed_in: Micros,
    /// What happened, for people: the last lines, and how every machine stood at the end.
    pub story: Vec<String>,
}

/// Plays a scenario to its end.
pub fn run(scenario: Scenario) -> Outcome {
    match World::new(scenario) {
        Ok(mut world) => {
            let (fault, healed_in) = play(&mut world);
            Outcome {
                fault,
                counts: world.counts.clone(),
                claims: world.ledger.checked,
                healed_in,
                story: world.story.iter().cloned().chain(world.describe()).collect(),
            }
        }
        Err(error) => Outcome {
            fault: Some(format!("the world does not begin: {error:#}")),
            counts: Counts::default(),
            claims: 0,
            healed_in: 0,
            story: Vec::new(),
        },
    }
}

fn play(world: &mut World) -> (Option<String>, Micros) {
    let end = world.scenario.end;
    world.play(end);
    world.heal();
    let begun = world.time.now();
    let mut at = begun;
    while at - begun < HEALING && !world.ledger.is_broken() {
        at += LOOK;
        world.play(at);
        if judge::all_level(world) && judge::is_even(world) {
            break;
        }
    }
    let healed_in = at - begun;
    if let Some(fault) = world.ledger.fault() {
        return (Some(fault.to_owned()), healed_in);
    }
    let fault = judge::judge(world).err().map(|fault| format!("{fault:#}"));
    if fault.is_none() && !judge::all_level(world) {
        return (Some("not everybody is up to date, long after all faults ended".to_owned()), healed_in);
    }
    (fault, healed_in)
}
