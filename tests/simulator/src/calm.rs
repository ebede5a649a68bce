//! The story for measuring: people write for a while where there is no network, and then meet at a relay in fair weather.

use crate::clock::Micros;
use crate::dice::Dice;
use crate::machine::Role;
use crate::scenario::{Part, Scenario, Step, Timed};
use crate::world::World;
use std::collections::BTreeSet;

const SECOND: Micros = 1_000_000;
/// How many devices there are.
const DEVICES: usize = 4;
/// When all have met for the first time, and know that they were let in.
const BEGINNING: Micros = 30 * SECOND;
/// How long a meeting lasts.
const MEETING: Micros = 20 * SECOND;
/// How many edits a bout of writing has.
const BOUT: (u64, u64) = (20, 60);
/// How long people pause between two edits.
const PAUSE: (Micros, Micros) = (SECOND / 2, 8 * SECOND);

/// A relay, four devices, and so many edits in all. However long the story is, what happens in a minute of it is alike.
pub(crate) fn scenario(seed: u64, edits: usize, dice: &mut Dice) -> Scenario {
    let part = |role| Part { role, is_file: false };
    let mut cast = vec![part(Role::Device); DEVICES];
    cast.push(part(Role::Relay));
    let mut homes = vec![vec![DEVICES]; DEVICES];
    homes.push(Vec::new());
    let mut steps = Vec::new();
    let mut end = BEGINNING + MEETING;
    for machine in 0..DEVICES {
        let mut add = |at, step| steps.push(Timed { number: 0, at, step });
        add(BEGINNING, Step::Leave { machine });
        let mut at = BEGINNING + dice.below(4 * 60 * SECOND);
        let mut left = edits / DEVICES + usize::from(machine < edits % DEVICES);
        while left > 0 {
            let bout = left.min(usize::try_from(dice.range(BOUT.0, BOUT.1)).unwrap_or(left));
            for _ in 0..bout {
                at += dice.range(PAUSE.0, PAUSE.1);
                add(at, Step::Edit { machine });
            }
            left -= bout;
            add(at + SECOND, Step::Call { machine });
            at += MEETING;
            add(at, Step::Leave { machine });
        }
        end = end.max(at + SECOND);
    }
    Scenario {
        seed,
        cast,
        homes,
        partitions: 1,
        invited: vec![true; DEVICES + 1],
        steps,
        end,
        delay: 20_000,
        is_apart: false,
        is_calm: true,
        windows: vec![(0, end)],
    }
}

/// How many edits were written beside others in the same record: two that stand equally far in its history have not seen
/// each other.
pub fn written_apart(world: &World) -> usize {
    let beside = |document: &crdt::Document| {
        let generations: BTreeSet<u32> = document.history().iter().map(|entry| entry.generation).collect();
        document.len() - generations.len()
    };
    let of = |name| {
        let open = world.machines.first()?.book()?.partition(name).ok()?;
        open.read(|documents| documents.documents().map(beside).sum::<usize>()).ok()
    };
    world.partitions.iter().filter_map(of).sum()
}
