//! Pages while both sides grow.

use crate::model::{Replica, yard};
use crate::world::World;
use sync::limits::MIN_WINDOW_BYTES;
use sync::{Config, Event, Tier};

fn pair(seed: u64) -> World {
    World::new(seed, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)])
}

fn pages(world: &World, link: usize, side: usize) -> usize {
    world.links[link].ends[side].sent.iter().filter(|frame| frame[0] == 0x87).count()
}

#[test]
fn one_change_set_goes_one_way() {
    let mut world = pair(1);
    world.replicas[0].grow(1, 50);
    let link = world.sync(0, 1);
    world.assert_level(link);
    let marks = world.marks(link);
    world.replicas[0].grow(1, 1);
    world.drive();
    world.assert_level(link);
    println!("one change set, pushed and acknowledged: {:?}", world.traffic(link, marks));
    let acknowledged = world.events(link, 0).iter().rev().find_map(|event| match event {
        Event::Acknowledged { upto, tier, .. } => Some((upto.position, *tier)),
        _ => None,
    });
    assert_eq!(acknowledged, Some((51, Tier::Relay)));
    // The receipt is kept, and proves it to anybody.
    assert_eq!(world.replicas[0].yard().receipts.last().unwrap().1.upto, world.replicas[0].yard().end());
}

/// Work on both sides at every moment, as on a busy morning: everything arrives once, and nothing goes back to who gave it.
#[test]
fn both_sides_grow_while_they_stream() {
    for seed in 0..60 {
        let mut world = pair(seed).with_delays(seed % 40, (seed * 7) % 50);
        let link = world.sync(0, 1);
        for round in 0..20 {
            world.run(1 + (seed as usize + round) % 9);
            world.replicas[(seed as usize + round) % 2].grow(1, 1 + round % 3);
        }
        world.drive();
        world.assert_level(link);
        for side in 0..2 {
            let own = world.replicas[side].yard();
            let mine = own.pages.iter().filter(|page| page.source == crate::model::Source::Own).count();
            assert_eq!(pages(&world, link, side), mine, "seed {seed}, side {side}: nothing is sent twice or back");
        }
    }
}

/// A new device fetches all from a relay; from then on what it writes is its own and not sent back to it.
#[test]
fn entries_are_not_echoed_to_who_gave_them() {
    let mut world = pair(1);
    world.replicas[1].grow(2, 20);
    let link = world.sync(0, 1);
    world.assert_level(link);
    for _ in 0..10 {
        world.replicas[0].grow(1, 2);
        world.drive();
    }
    world.assert_level(link);
    assert_eq!(pages(&world, link, 1), 1, "only what the device did not write");
    assert_eq!(pages(&world, link, 0), 10);
}

/// A third replica gets everything from the relay, whoever wrote it.
#[test]
fn a_relay_passes_on_what_it_was_given() {
    let replicas = vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay), Replica::new(3, Tier::Device)];
    let mut world = World::new(5, replicas).with_delays(10, 10);
    let one = world.connect(0, 1);
    let other = world.connect(2, 1);
    world.open(one, 0, yard());
    world.open(other, 0, yard());
    for round in 0..30 {
        world.run(round % 11);
        world.replicas[round % 3].grow(1, 1);
    }
    world.drive();
    world.assert_level(one);
    world.assert_level(other);
    assert_eq!(world.replicas[2].yard().ids().len(), 30);
}

/// A peer on a slow line must not make anybody hold its backlog in memory.
#[test]
fn a_slow_reader_never_gets_more_than_its_window() {
    let mut world = pair(3).with_delays(500, 0);
    let mut config = Config::new(Tier::Relay);
    config.window_bytes = MIN_WINDOW_BYTES;
    world.configs.insert(1, config);
    world.replicas[0].padding = 100;
    for _ in 0..100 {
        world.replicas[0].grow(1, 20);
    }
    let largest = world.replicas[0].yard().pages.iter().map(|page| page.bytes.len()).max().unwrap() as u64;
    let link = world.connect(0, 1);
    world.open(link, 0, yard());
    let mut most = 0;
    for _ in 0..5000 {
        world.run(1);
        most = most.max(world.session(link, 0).in_flight());
    }
    world.drive();
    world.assert_level(link);
    assert!(most > MIN_WINDOW_BYTES / 2 && most <= MIN_WINDOW_BYTES + largest, "{most}");
}

/// A page larger than the whole window travels alone.
#[test]
fn a_page_larger_than_the_window_travels_alone() {
    let mut world = pair(3).with_delays(5, 5);
    let mut config = Config::new(Tier::Relay);
    config.window_bytes = MIN_WINDOW_BYTES;
    world.configs.insert(1, config);
    world.replicas[0].padding = 1000;
    for _ in 0..3 {
        world.replicas[0].grow(1, 100);
    }
    assert!(world.replicas[0].yard().pages.iter().all(|page| page.bytes.len() as u64 > MIN_WINDOW_BYTES));
    let link = world.connect(0, 1);
    world.open(link, 0, yard());
    for _ in 0..200 {
        world.run(1);
        let in_flight = world.session(link, 0).in_flight();
        assert!(in_flight < 2 * world.replicas[0].yard().pages[0].bytes.len() as u64);
    }
    world.drive();
    world.assert_level(link);
}

/// Merged in the background, a page holds more than what was sent of it: who stands inside it is sent it whole.
#[test]
fn merged_pages_are_sent_to_who_stands_inside_them() {
    let mut world = pair(3);
    world.replicas[0].grow(1, 5);
    world.replicas[0].grow(1, 5);
    let link = world.sync(0, 1);
    world.cut(link);
    world.replicas[0].grow(1, 5);
    let key = world.replicas[0].key.clone();
    world.replicas[0].yard_mut().merge_pages(&key);
    assert_eq!(world.replicas[0].yard().pages.len(), 1);
    let link = world.sync(0, 1);
    world.assert_level(link);
    assert!(!world.has(link, 0, |event| matches!(event, Event::Reconciled { .. })));
}

/// A device that lags is told by how much, and when it is level.
#[test]
fn the_lag_counts_down_to_level() {
    let mut world = pair(9).with_delays(20, 20);
    for _ in 0..10 {
        world.replicas[0].grow(1, 10);
        world.replicas[1].grow(1, 10);
    }
    let link = world.connect(0, 1);
    world.open(link, 0, yard());
    let mut last = (u64::MAX, u64::MAX);
    for _ in 0..4000 {
        world.run(1);
        if world.has(link, 0, |event| matches!(event, Event::Opened { .. })) {
            let (_, ours, theirs) = world.links[link].ends[0].session.lag().next().unwrap();
            if world.has(link, 0, |event| matches!(event, Event::Level { .. })) {
                assert_eq!((ours, theirs), (0, 0), "level is not said too early");
                break;
            }
            assert!(ours <= last.0.max(200) && theirs <= last.1.max(200));
            last = (ours, theirs);
        }
    }
    world.drive();
    world.assert_level(link);
}
