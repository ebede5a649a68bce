//! Whole systems on virtual time, from one seed.
//!
//! A [`Scenario`] is drawn from a seed: devices, relays and gateways made of the product's own code, people who edit, disks
//! that fail, lines that break, clocks that are wrong, stores that are put back and copied, and others who mean harm. A
//! [`World`] plays it in one thread, always in the same way. First everything goes wrong that may; then all faults end, and
//! within a time everybody must agree: with each other, and with the naive model of `tests/naive`, which shares no code with
//! the product.

pub mod calm;
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
/// How long everybody meets again after all lines broke, and what that may cost for each partition of a session, pings with it.
const MEETING: Micros = 2 * 60 * 1_000_000;
const MAX_IDLE_BYTES: u64 = 4_000;
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
            let healed_in = play(&mut world);
            let fault = fault_of(&mut world);
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

/// Plays a world's story and lets it heal until everybody has everything; gives how long the healing took.
pub fn play(world: &mut World) -> Micros {
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
    at - begun
}

/// What is wrong with a world that was played, if anything.
pub fn fault_of(world: &mut World) -> Option<String> {
    if let Some(fault) = world.ledger.fault() {
        return Some(fault.to_owned());
    }
    let fault = judge::judge(world).err().map(|fault| format!("{fault:#}"));
    if fault.is_none() && !judge::all_level(world) {
        return Some("not everybody is up to date, long after all faults ended".to_owned());
    }
    // Only now and then: it says the same for most seeds.
    let is_asked = !world.scenario.is_calm && world.scenario.seed.is_multiple_of(4);
    fault.or_else(|| is_asked.then(|| idle(world)).flatten())
}

/// Nothing changed: meeting again costs next to nothing. The cheapest of three rounds counts: in one of them two may still meet
/// that had not met for long.
fn idle(world: &mut World) -> Option<String> {
    let mut cheapest: Option<(u64, u64)> = None;
    for _ in 0..3 {
        let before = world.counts.clone();
        world.cut_everything();
        world.play(world.time.now() + MEETING);
        let (bytes, sessions) = (world.counts.bytes - before.bytes, world.counts.sessions - before.sessions);
        if sessions == 0 {
            return Some("nobody calls again after all lines broke".to_owned());
        }
        cheapest = cheapest.into_iter().chain([(bytes / sessions, sessions)]).min();
    }
    if let Some(fault) = world.ledger.fault() {
        return Some(fault.to_owned());
    }
    // What is refused is offered again each time, whatever it weighs.
    let (bytes, sessions) = cheapest.filter(|_| !judge::is_anything_refused(world))?;
    let limit = MAX_IDLE_BYTES * (1 + world.partitions.len() as u64);
    (bytes > limit)
        .then(|| format!("{sessions} meetings without anything new cost {bytes} bytes each, more than {limit}"))
}
