//! Whatever happens in whatever order, the end is the same.

use crate::model::{Replica, Source, Store, yard};
use crate::world::World;
use proptest::prelude::*;
use sync::Tier;

#[derive(Clone, Debug)]
enum Step {
    Grow {
        replica: usize,
        count: usize,
    },
    Run {
        steps: usize,
    },
    Connect {
        device: usize,
    },
    Cut {
        which: usize,
    },
    /// Keep a copy of a device's store, for later.
    BackUp {
        replica: usize,
    },
    /// Play the copy back; the log incarnation is new if it is noticed.
    Restore {
        replica: usize,
        is_noticed: bool,
    },
    Busy {
        replica: usize,
    },
    Merge {
        replica: usize,
    },
    Wipe {
        replica: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 1..4usize).prop_map(|(replica, count)| Step::Grow { replica, count }),
        8 => (1..60usize).prop_map(|steps| Step::Run { steps }),
        4 => (0..2usize).prop_map(|device| Step::Connect { device }),
        2 => (0..8usize).prop_map(|which| Step::Cut { which }),
        1 => (0..3usize).prop_map(|replica| Step::BackUp { replica }),
        1 => (0..3usize, any::<bool>()).prop_map(|(replica, is_noticed)| Step::Restore { replica, is_noticed }),
        1 => (0..3usize).prop_map(|replica| Step::Busy { replica }),
        1 => (0..3usize).prop_map(|replica| Step::Merge { replica }),
        1 => (0..3usize).prop_map(|replica| Step::Wipe { replica }),
    ]
}

/// A store is never changed under a live session: that is how a replica is restored, too.
fn disconnect(world: &mut World, replica: usize) {
    for link in 0..world.links.len() {
        if world.links[link].ends.iter().any(|end| end.replica == replica) {
            world.cut(link);
        }
    }
}

/// Replica 2 is the relay of two devices. What it found when it was new, all of it lost work: a place that moved before the
/// peer had back what it lost; a page given by who only gave what it waited for; a place that fitted again because the log
/// grew while the answer was looked up; a wait in the middle of a comparison.
fn run(seed: u64, delays: (u64, u64), steps: &[Step]) {
    let replicas = vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Device), Replica::new(3, Tier::Relay)];
    let mut world = World::new(seed, replicas).with_delays(delays.0, delays.1);
    let mut copies: [Option<Store>; 3] = [None, None, None];
    let mut incarnation = 100;
    for step in steps {
        match *step {
            Step::Grow { replica, count } => {
                world.replicas[replica].grow(1, count);
            }
            Step::Run { steps } => world.run(steps),
            Step::Connect { device } => {
                for link in 0..world.links.len() {
                    if world.links[link].ends[0].replica == device {
                        world.cut(link);
                    }
                }
                let link = world.connect(device, 2);
                world.open(link, seed as usize % 2, yard());
            }
            Step::Cut { which } if which < world.links.len() => world.cut(which),
            Step::BackUp { replica } => copies[replica] = Some(world.replicas[replica].yard().clone()),
            Step::Restore { replica, is_noticed } => {
                if let Some(copy) = copies[replica].clone() {
                    disconnect(&mut world, replica);
                    let key = world.replicas[replica].key.clone();
                    let mut store = copy;
                    if is_noticed {
                        incarnation += 1;
                        let old = store;
                        store = Store::new(yard(), incarnation);
                        store.append(old.entries.entries().to_vec(), Source::Own, &key);
                        store.append(old.inbox.into_iter().map(|(entry, _)| entry).collect(), Source::Own, &key);
                        store.places = old.places;
                    }
                    *world.replicas[replica].yard_mut() = store;
                }
            }
            Step::Busy { replica } => {
                world.replicas[replica].policy.waits = 1;
                world.replicas[replica].policy.wait_ms = 700;
            }
            Step::Merge { replica } => {
                let key = world.replicas[replica].key.clone();
                world.replicas[replica].yard_mut().merge_pages(&key);
            }
            Step::Wipe { replica } => {
                disconnect(&mut world, replica);
                incarnation += 1;
                *world.replicas[replica].yard_mut() = Store::new(yard(), incarnation);
            }
            Step::Cut { .. } => {}
        }
    }
    // Heal: as often as news may have to travel.
    for link in 0..world.links.len() {
        if !world.links[link].is_cut {
            for side in 0..2 {
                let closed = world.closed(link, side);
                assert!(closed.is_none(), "{closed:?}");
            }
        }
        world.cut(link);
    }
    for device in [0, 1, 0] {
        let link = world.sync(device, 2);
        world.assert_level(link);
        world.cut(link);
    }
    let ids = world.replicas[2].yard().ids();
    assert!(world.replicas.iter().all(|replica| replica.yard().ids() == ids));
    for device in 0..2 {
        let link = world.sync(device, 2);
        world.assert_level(link);
        for end in &world.links[link].ends {
            assert!(end.sent.iter().all(|frame| ![0x87, 2].contains(&frame[0])), "the second sync moves something");
        }
        world.cut(link);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_all_end_level(
        seed: u64,
        delays in (0..40u64, 0..40u64),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        run(seed, delays, &steps);
    }
}
