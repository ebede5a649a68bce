//! Lines that break.

use crate::model::{Replica, Store, yard};
use crate::world::World;
use sync::Tier;

/// An exchange with everything in it: pages both ways, left-out pages, a wait, and optionally a comparison first.
fn exchange(seed: u64, is_first_meeting: bool, cut_after: Option<usize>) -> World {
    let mut world =
        World::new(seed, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]).with_delays(9, 9);
    world.replicas[0].grow(1, 4);
    if is_first_meeting {
        world.replicas[1].grow(2, 4);
    }
    let link = world.connect(0, 1);
    world.links[link].cut_after = cut_after;
    world.open(link, 0, yard());
    world.replicas[1].policy.wait_ms = 500;
    for round in 0..6 {
        world.run(9);
        world.replicas[round % 2].grow(1, 2);
        if round == 3 {
            world.replicas[1].policy.waits = 1;
        }
    }
    world.drive();
    world
}

/// Wherever the line breaks, the next session finds its way, and what was acknowledged is there.
#[test]
fn a_line_that_breaks_after_any_frame() {
    for is_first_meeting in [false, true] {
        let whole = exchange(3, is_first_meeting, None);
        whole.assert_level(0);
        let frames = whole.traffic(0, [0, 0]).0;
        assert!(frames > 15);
        for seed in [3, 4] {
            for cut in 1..=frames {
                let mut world = exchange(seed, is_first_meeting, Some(cut));
                // What either holds a receipt for is at the other.
                for replica in 0..2 {
                    for (_, receipt) in &world.replicas[replica].yard().receipts {
                        let own = world.replicas[replica].yard();
                        let upto = receipt.upto.position as usize;
                        let other = world.replicas[1 - replica].yard().ids();
                        assert!(own.entries.entries()[..upto].iter().all(|entry| other.contains(&entry.id())));
                    }
                }
                world.cut(0);
                let link = world.sync(0, 1);
                world.assert_level(link);
                let expected = 4 + 12 + if is_first_meeting { 4 } else { 0 };
                assert_eq!(world.replicas[0].yard().ids().len(), expected, "cut after {cut}");
            }
        }
    }
}

/// The line broke between the transaction and the receipt, and what was refused may have been lost with it: the next session
/// compares, so that what is synced can be proven, and the one after it does not.
#[test]
fn a_receipt_that_was_lost_is_made_up_for_by_one_comparison() {
    let mut world = World::new(5, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]).with_delays(9, 9);
    let first = world.sync(0, 1);
    world.replicas[0].grow(1, 3);
    while !world.replicas[1].requests.iter().any(|request| request == "Take") {
        world.run(1);
    }
    world.cut(first);
    assert!(world.replicas[0].yard().receipts.is_empty());
    let asks = |world: &World, link: usize| {
        let frames = world.links[link].ends[0].sent.iter().filter(|frame| frame[0] == 1);
        frames.filter(|frame| frame.windows(2).any(|pair| pair == [0x83, 3])).count()
    };
    let second = world.sync(0, 1);
    world.assert_level(second);
    assert_eq!(asks(&world, second), 1);
    assert_eq!(world.replicas[0].yard().receipts.last().unwrap().1.upto, world.replicas[0].yard().end());
    // What came from the relay itself needs no receipt.
    world.replicas[1].grow(2, 2);
    world.drive();
    world.cut(second);
    let third = world.sync(0, 1);
    world.assert_level(third);
    assert_eq!(asks(&world, third), 0);
}

/// A replica lost work that others hold, and the line breaks again and again while it gets it back. Whichever half of the
/// recovery was done, the other half is not forgotten.
#[test]
fn a_line_that_breaks_while_lost_work_comes_back() {
    for how in ["restored", "wiped"] {
        for lost in 0..2 {
            for caller in 0..2 {
                let prepare = || {
                    let replicas = vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)];
                    let mut world = World::new(5, replicas).with_delays(9, 9);
                    world.replicas[0].grow(1, 3);
                    let first = world.sync(0, 1);
                    world.cut(first);
                    let backup = world.replicas[lost].yard().clone();
                    for round in 0..4 {
                        world.replicas[round % 2].grow(1, 2);
                        let link = world.sync(0, 1);
                        world.wait(std::time::Duration::from_secs(5));
                        world.cut(link);
                    }
                    let kept = world.replicas[1 - lost].yard().ids();
                    *world.replicas[lost].yard_mut() = if how == "wiped" { Store::new(yard(), 55) } else { backup };
                    // Something new on each side, so that both logs are further than the places.
                    world.replicas[lost].grow(9, 1);
                    world.replicas[1 - lost].grow(8, 1);
                    (world, kept)
                };
                for cut in 1..40 {
                    let (mut world, kept) = prepare();
                    for _ in 0..2 {
                        let link = world.connect(caller, 1 - caller);
                        world.links[link].cut_after = Some(cut);
                        world.open(link, 0, yard());
                        world.drive();
                        world.cut(link);
                    }
                    let link = world.sync(caller, 1 - caller);
                    world.assert_level(link);
                    assert!(world.replicas[lost].yard().ids().is_superset(&kept), "{how} {lost} {caller} {cut}");
                }
            }
        }
    }
}

/// The same inputs at the same times give the same bytes.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |seed: u64| {
        let world = exchange(seed, true, None);
        [0, 1].map(|side| world.links[0].ends[side].sent.clone())
    };
    for seed in 0..5 {
        assert_eq!(bytes(seed), bytes(seed));
    }
    assert_ne!(bytes(1), bytes(2));
}
