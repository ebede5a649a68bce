//! Places that do not fit: first meetings, restored and copied stores, forks.

use crate::model::{NOW, Replica, Source, Store, author, write, yard};
use crate::world::World;
use changeset::Verified;
use sync::{Event, Tier};

fn pair(seed: u64) -> World {
    World::new(seed, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]).with_delays(10, 10)
}

fn resync(world: &mut World, caller: usize, answerer: usize) -> usize {
    let link = world.sync(caller, answerer);
    world.assert_level(link);
    // And once is enough.
    world.cut(link);
    let again = world.sync(caller, answerer);
    world.assert_level(again);
    assert!(!world.has(again, 0, |event| matches!(event, Event::Reconciled { .. })), "the places were not kept");
    let pages =
        |side: usize| world.links[again].ends[side].sent.iter().filter(|frame| frame[0] != 1 && frame[0] < 16).count();
    assert_eq!((pages(0), pages(1)), (0, 0), "a second sync moves nothing");
    world.cut(again);
    link
}

#[test]
fn a_first_meeting_of_two_stores_costs_what_differs() {
    let mut world = pair(1);
    let mut common: Vec<Verified> = Vec::new();
    for device in 0..99 {
        let mut author = author(100 + device, 1, yard());
        common.extend((0..100).map(|number| write(&mut author, number, &[], "passed", NOW)));
    }
    let mut author = author(50, 1, yard());
    common.extend((0..90).map(|number| write(&mut author, number, &[], "passed", NOW)));
    assert_eq!(common.len(), 9990);
    let mut other_order = common.clone();
    other_order.reverse();
    other_order.sort_by_key(|entry| entry.header().sequence);
    for chunk in common.chunks(1000) {
        world.replicas[0].hold(chunk, Source::Own);
    }
    for chunk in other_order.chunks(700) {
        world.replicas[1].hold(chunk, Source::Own);
    }
    world.replicas[0].grow(1, 5);
    world.replicas[1].grow(2, 5);
    let link = world.sync(0, 1);
    world.assert_level(link);
    assert_eq!(world.replicas[0].yard().ids().len(), 10_000);
    let (frames, bytes) = world.traffic(link, [0, 0]);
    println!("first meeting, 10 of 10,000 differ: {frames} frames, {bytes} bytes");
    assert!(bytes <= 64 << 10, "{bytes}");
    for side in 0..2 {
        assert!(world.has(link, side, |event| matches!(event, Event::Reconciled { .. })));
    }
}

/// A backup was played back: the log is shorter and the old incarnation. Both sides hear of it, nothing of what the other
/// kept is lost, and what the restored side does next arrives.
#[test]
fn a_restored_replica_gets_back_what_it_lost() {
    // Who was restored; who calls; whether it grew past its old place before they met; on other work or new log incarnation.
    for restored in 0..2 {
        for caller in 0..2 {
            for growth in [0, 2, 30] {
                for is_noticed in [false, true] {
                    let case = format!("restored {restored}, caller {caller}, growth {growth}, noticed {is_noticed}");
                    let mut world = pair(7);
                    world.replicas[restored].grow(1, 5);
                    let first = world.sync(0, 1);
                    world.cut(first);
                    let backup = world.replicas[restored].yard().clone();
                    for round in 0..4 {
                        world.replicas[round % 2].grow(1, 3);
                    }
                    let second = world.sync(0, 1);
                    world.assert_level(second);
                    world.cut(second);
                    *world.replicas[restored].yard_mut() = backup;
                    if is_noticed {
                        let mut store = Store::new(yard(), 77);
                        let key = world.replicas[restored].key.clone();
                        let held = world.replicas[restored].yard().entries.entries().to_vec();
                        store.append(held, Source::Own, &key);
                        *world.replicas[restored].yard_mut() = store;
                    }
                    // A device that noticed draws a new incarnation of its actor; else it forks.
                    world.replicas[restored].grow(if is_noticed { 9 } else { 1 }, growth);
                    world.replicas[1 - restored].grow(1, 2);
                    let link = resync(&mut world, caller, 1 - caller);
                    assert_eq!(world.replicas[0].yard().ids().len(), 5 + 12 + growth + 2, "{case}");
                    let side_of = |replica: usize| usize::from(replica != caller);
                    let rolled = world.has(link, side_of(restored), |event| matches!(event, Event::RolledBack { .. }));
                    assert_eq!(rolled, !is_noticed, "{case}");
                    let told =
                        world.has(link, side_of(1 - restored), |event| matches!(event, Event::PeerRolledBack { .. }));
                    assert_eq!(told, !is_noticed, "{case}: the peer hears of it");
                }
            }
        }
    }
}

/// Work goes on while tips are compared.
#[test]
fn both_sides_grow_while_they_compare() {
    for seed in 0..60 {
        let mut world = pair(seed).with_delays(seed % 30, (seed * 3) % 40);
        world.replicas[0].grow(1, 40);
        world.replicas[1].grow(2, 40);
        let link = world.connect(0, 1);
        world.open(link, seed as usize % 2, yard());
        for round in 0..30 {
            world.run(1 + (seed as usize + round) % 6);
            world.replicas[(seed as usize + round) % 2].grow(1, 1);
        }
        world.drive();
        world.assert_level(link);
    }
}

/// Two devices with one key: a phone's backup on a second phone, both at work. Each is its own source.
#[test]
fn cloned_devices_are_two_sources() {
    let replicas = vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay), Replica::new(1, Tier::Device)];
    let mut world = World::new(3, replicas).with_delays(10, 10);
    *world.replicas[2].yard_mut() = Store::new(yard(), 31);
    let one = world.connect(0, 1);
    let other = world.connect(2, 1);
    world.open(one, 0, yard());
    world.open(other, 0, yard());
    for round in 0..20 {
        world.run(round);
        world.replicas[0].grow(1, 1);
        world.replicas[2].grow(31, 1);
    }
    world.drive();
    world.assert_level(one);
    world.assert_level(other);
    assert_eq!(world.replicas[1].yard().ids().len(), 40);
    world.cut(one);
    world.cut(other);
    // Each has its own place at the relay, which calls back.
    world.replicas[0].grow(1, 1);
    world.replicas[2].grow(31, 1);
    for clone in [0, 2, 0, 2] {
        let link = world.sync(clone, 1);
        world.assert_level(link);
        assert!(!world.has(link, 0, |event| matches!(event, Event::Reconciled { .. })), "the place of the other clone");
        world.cut(link);
    }
}

/// A relay lost its disk: every device gives back all that it holds, also what once came from the relay.
#[test]
fn a_wiped_relay_gets_everything_again() {
    let mut world = pair(4);
    world.replicas[0].grow(1, 10);
    world.replicas[1].grow(2, 10);
    let link = world.sync(0, 1);
    world.assert_level(link);
    world.cut(link);
    *world.replicas[1].yard_mut() = Store::new(yard(), 44);
    let link = resync(&mut world, 0, 1);
    assert_eq!(world.replicas[1].yard().ids().len(), 20);
    let questions = world.has(link, 0, |event| matches!(event, Event::Reconciled { .. }));
    assert!(!questions, "an empty log needs no comparison");
}

/// Two stores that wrote under one number: both branches arrive everywhere, and short references that mean another
/// branch here are asked for in full.
#[test]
fn both_branches_of_a_fork_arrive_everywhere() {
    let replicas = vec![
        Replica::new(1, Tier::Device),
        Replica::new(2, Tier::Relay),
        Replica::new(1, Tier::Device),
        Replica::new(4, Tier::Device),
    ];
    let mut world = World::new(6, replicas).with_delays(5, 5);
    world.replicas[0].grow(1, 3);
    let link = world.sync(0, 1);
    world.cut(link);
    // The copy writes on under the same incarnation of the actor, in a log of its own.
    let mut copy = Store::new(yard(), 61);
    let key = world.replicas[0].key.clone();
    copy.append(world.replicas[0].yard().entries.entries().to_vec(), Source::Own, &key);
    *world.replicas[2].yard_mut() = copy;
    world.replicas[0].grow(1, 4);
    let fork = world.replicas[2].grow(1, 4);
    assert!(!world.replicas[0].yard().entries.contains(&fork[0]), "a fork");
    let links = [0, 2, 3].map(|device| {
        let link = world.connect(device, 1);
        world.open(link, 0, yard());
        link
    });
    world.drive();
    // Both go on, on their own branch.
    for _ in 0..3 {
        world.replicas[0].grow(1, 1);
        world.replicas[2].grow(1, 1);
        world.replicas[3].grow(4, 1);
        world.drive();
    }
    for link in links {
        world.assert_level(link);
    }
}

/// What a page says in short means another branch here, so it is asked for again in full.
#[test]
fn a_short_reference_to_another_branch_is_asked_for_verbatim() {
    let mut world = pair(1);
    let mut base = author(1, 1, yard());
    let one = write(&mut base, 1, &[], "draft", NOW);
    let left = write(&mut author(1, 1, yard()).after(&one), 1, &[], "left", NOW + 1);
    let right = write(&mut author(1, 1, yard()).after(&one), 1, &[], "right", NOW + 2);
    let after_left = write(&mut author(1, 1, yard()).after(&left), 2, &[], "on", NOW + 3);
    world.replicas[0].hold(&[one.clone(), left], Source::Own);
    world.replicas[1].hold(&[one, right], Source::Own);
    let link = world.sync(0, 1);
    world.assert_level(link);
    let before = world.replicas[1].requests.iter().filter(|request| *request == "TakeRuns").count();
    // In this log sequence 2 is `left`; at the relay `right` stands first.
    let key = world.replicas[0].key.clone();
    world.replicas[0].yard_mut().append(vec![after_left.clone()], Source::Own, &key);
    let end = world.replicas[0].yard().end();
    world.replicas[0].grown.push((yard(), end));
    world.drive();
    world.assert_level(link);
    assert!(world.replicas[1].yard().entries.contains(&after_left.id()));
    assert_eq!(world.replicas[1].requests.iter().filter(|request| *request == "TakeRuns").count(), before + 1);
    assert!(world.replicas[0].requests.iter().any(|request| request == "Span"));
    assert_eq!(world.replicas[0].yard().receipts.last().unwrap().1.upto, end, "and acknowledged");
}

/// Pages that follow on one that does not resolve wait for it, and nothing is taken twice or lost.
#[test]
fn pages_behind_one_that_does_not_resolve_wait() {
    for seed in 0..30 {
        let mut world = pair(seed).with_delays(seed % 20, 40);
        let mut base = author(1, 1, yard());
        let one = write(&mut base, 1, &[], "draft", NOW);
        let left = write(&mut author(1, 1, yard()).after(&one), 1, &[], "left", NOW + 1);
        let right = write(&mut author(1, 1, yard()).after(&one), 1, &[], "right", NOW + 2);
        world.replicas[0].hold(&[one.clone(), left.clone()], Source::Own);
        world.replicas[1].hold(&[one, right], Source::Own);
        let link = world.sync(0, 1);
        let key = world.replicas[0].key.clone();
        let mut last = left;
        for number in 0..6 {
            world.replicas[0].grow(7, 2);
            let next = write(&mut author(1, 1, yard()).after(&last), number, &[], "on", NOW + 3);
            world.replicas[0].yard_mut().append(vec![next.clone()], Source::Own, &key);
            last = next;
            world.replicas[0].grow(8, 1);
            world.run(seed as usize % 5);
        }
        world.drive();
        world.assert_level(link);
        assert!(world.replicas[0].requests.iter().any(|request| request == "Span"));
    }
}

/// A relay that does not keep an entry has a hole in its log; what refers to it is asked for in full, and waits.
#[test]
fn a_page_that_refers_to_what_is_not_held_is_asked_for_verbatim() {
    let mut world = pair(2);
    let mut stranger = author(9, 9, yard());
    world.replicas[1].policy.refuse.insert(stranger.actor().id());
    let strange = write(&mut stranger, 1, &[], "from a stranger", NOW);
    world.replicas[0].hold(std::slice::from_ref(&strange), Source::Own);
    let link = world.sync(0, 1);
    // Its parent is named in short, because it is in this log.
    let mut own = author(1, 1, yard());
    let on_top = write(&mut own, 1, &[strange.id()], "on top", NOW + 1);
    let beside = write(&mut author(3, 1, yard()), 2, &[], "beside", NOW + 1);
    let key = world.replicas[0].key.clone();
    world.replicas[0].yard_mut().append(vec![on_top.clone()], Source::Own, &key);
    world.replicas[0].yard_mut().append(vec![beside.clone()], Source::Own, &key);
    let end = world.replicas[0].yard().end();
    world.replicas[0].grown.push((yard(), end));
    world.drive();
    assert!(world.replicas[0].requests.iter().any(|request| request == "Span"));
    assert_eq!(world.replicas[1].yard().inbox.len(), 1);
    assert!(world.replicas[1].yard().entries.contains(&beside.id()), "the rest goes on");
    assert_eq!(world.replicas[0].yard().receipts.last().unwrap().1.upto, end);
    assert!(world.closed(link, 0).is_none());
    // Once the stranger is known, the next meeting of another holder brings it, and what waited enters.
    world.replicas[1].policy.refuse.clear();
    world.replicas[1].hold(&[strange], Source::Own);
    assert!(world.replicas[1].yard().entries.contains(&on_top.id()));
}

/// Many partitions are compared at once through the smallest windows, some settled first on one side, some on the other: pages
/// of one must not take the room that the lines of another wait for.
#[test]
fn many_comparisons_share_small_windows() {
    for seed in 0..6 {
        let mut world = pair(seed).with_delays(7, 30);
        let sites: Vec<_> = (0..12).map(|number| crate::model::partition(&format!("site-{number}"))).collect();
        for (number, site) in sites.iter().enumerate() {
            for replica in 0..2 {
                let mut config = sync::Config::new(world.replicas[replica].tier);
                config.window_bytes = sync::limits::MIN_WINDOW_BYTES;
                world.configs.insert(replica, config);
                world.replicas[replica].padding = if number % 2 == replica { 3000 } else { 10 };
                for _ in 0..4 {
                    world.replicas[replica].grow_in(site, 1, 20);
                }
            }
        }
        let link = world.connect(0, 1);
        for (number, site) in sites.iter().enumerate() {
            world.open(link, number % 2, site.clone());
        }
        for round in 0..60 {
            world.run(5);
            for replica in 0..2 {
                world.replicas[replica].padding = 4000;
                world.replicas[replica].grow_in(&sites[round % 12], 1, 10);
            }
        }
        world.drive();
        world.assert_closed_is_none(link);
        for site in &sites {
            assert_eq!(
                world.replicas[0].stores[site].ids(),
                world.replicas[1].stores[site].ids(),
                "seed {seed}, {site}"
            );
        }
        assert!(world.session(link, 0).is_level() && world.session(link, 1).is_level());
    }
}

/// More than one frame holds: the next part of the lines is read when the one before is durable at the peer.
#[test]
fn long_lines_come_in_parts() {
    for long in 0..2 {
        let mut world = pair(8);
        let mut config = sync::Config::new(world.replicas[1 - long].tier);
        config.window_bytes = sync::limits::MIN_WINDOW_BYTES;
        world.configs.insert(1 - long, config);
        // Nothing goes the other way that could wake it.
        world.replicas[1 - long].grow(1, 1);
        world.replicas[long].padding = 2000;
        world.replicas[long].grow(1, 100);
        let link = world.sync(0, 1);
        world.assert_level(link);
        let frames = world.links[link].ends[long].sent.iter().filter(|frame| frame[0] == 2);
        let parts: Vec<usize> = frames.map(|frame| frame.len()).collect();
        assert!(parts.len() > 4 && parts.iter().all(|bytes| *bytes < 64 << 10), "{parts:?}");
    }
}
